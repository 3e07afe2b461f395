"""The kinds of NAT as rules for nftables. Pure.

The router's device towards the middle is called "wan"; those towards the hosts have names that begin with "lan".
"""

from __future__ import annotations

from lab.kinds import Nat

# Shorter than RFC 4787 (REQ-5) asks for, and not rare.
MAPPING_S = 30
FORGET = "flush map ip nat mapped; flush set ip nat asked"


def rules(nat: Nat, address: str, *, shift: int = 0, mapping_s: int = MAPPING_S, refuses: bool = False) -> str:
    """What makes a router a NAT of this kind.

    address: its public IPv4 address; shift: 0 preserves the ports of UDP, any other number gives each port its own other
    one; mapping_s: for how long a cone keeps a mapping that is not used. conntrack's own settings have to say the same.
    refuses: what nobody has asked for is answered (ICMP port unreachable), where it does not just vanish.
    """
    refusal = "meta l4proto udp reject with icmpx port-unreachable"
    return f"""
flush ruleset
table ip nat {{
  map mapped {{
    type inet_service : ipv4_addr . inet_service
    flags dynamic, timeout
    timeout {mapping_s}s
    size 65535
  }}
  set asked {{
    type inet_service . ipv4_addr
    flags dynamic, timeout
    timeout {mapping_s}s
    size 65535
  }}
  chain in {{
    type nat hook prerouting priority dstnat
    {_let_in(nat)}
  }}
  chain out {{
    type nat hook postrouting priority srcnat
    {_give_port(nat, address, shift)}
    oifname "wan" masquerade
  }}
  chain note {{
    type filter hook postrouting priority srcnat + 100
    oifname != "wan" return
    meta l4proto != udp return
    update @asked {{ udp sport . ip daddr }}
    ct direction original update @mapped {{ udp sport : ct original ip saddr . ct original proto-src }}
    ct direction reply update @mapped {{ udp sport : ct reply ip saddr . ct reply proto-src }}
  }}
}}
table inet filter {{
  chain forward {{
    type filter hook forward priority filter
    policy drop
    {"meta l4proto udp drop" if nat is Nat.UDP_BLOCKED else ""}
    ct state established,related accept
    ct status dnat accept
    {f'iifname "wan" {refusal}' if refuses else ""}
    iifname "lan*" oifname "wan" accept # and not to another "lan": there the hosts are isolated
  }}
  chain input {{
    # An unsolicited packet must not leave a conntrack entry: it would take the port from the mapping that the host's own
    # packet is about to make, and give it another one. A refusal leaves none.
    type filter hook input priority filter
    policy accept
    ct state established,related accept
    meta l4proto icmpv6 accept
    iifname "lan*" icmp type echo-request accept
    {f'iifname "wan" {refusal}' if refuses else ""}
    iifname {{ "wan", "lan*" }} drop
  }}
}}
"""


def _let_in(nat: Nat) -> str:
    to_host = "dnat ip to udp dport map @mapped"
    match nat:
        case Nat.FULL_CONE:
            return f'iifname "wan" meta l4proto udp {to_host}'
        case Nat.ADDRESS_RESTRICTED:
            return f'iifname "wan" udp dport . ip saddr @asked {to_host}'
        case _:
            return ""


def _give_port(nat: Nat, address: str, shift: int) -> str:
    if nat is Nat.SYMMETRIC:
        return 'oifname "wan" meta l4proto udp masquerade random,fully-random'
    if shift:
        port = f"jhash ip saddr . udp sport mod 50000 seed {shift} offset 10000"
        return f'oifname "wan" meta l4proto udp snat to {address} : {port}'
    return ""
