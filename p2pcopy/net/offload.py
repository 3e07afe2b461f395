"""What UDP sockets can do on this system: leave the cutting and joining of datagrams to the kernel (Linux, udp(7))."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
from dataclasses import dataclass
from typing import Final

SOCKET_BUFFER: Final = 4 * 1024 * 1024  # bytes, asked for; many systems give 208 KiB

# <linux/udp.h>
SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
# <linux/in.h>, <linux/in6.h>
_MTU_DISCOVER: Final = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (socket.IPPROTO_IPV6, 23)}
_PMTUDISC_DONT: Final = 0
_PMTUDISC_PROBE: Final = 3
_ETHERNET_PAYLOAD: Final = {socket.AF_INET: 1500 - 20 - 8, socket.AF_INET6: 1500 - 40 - 8}


@dataclass(frozen=True)
class Offload:
    """What a socket does, or is to do. gso: the kernel cuts bursts; gro: it puts together what arrives; batch: the socket is
    read until it is empty. why: one or the other is missing, "" if none is."""

    gso: bool
    gro: bool
    batch: bool
    why: str = ""


EVERYTHING: Final = Offload(gso=True, gro=True, batch=True)


def udp_socket(address: str) -> socket.socket:
    """Not bound yet, of the family of address. Raises OSError."""
    is_ipv6 = ipaddress.ip_address(address).version == 6
    raw = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    raw.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
    return raw


def available() -> Offload:
    """What sockets can do here, under the running event loop, or else under the usual one. Raises OSError."""
    with udp_socket("127.0.0.1") as raw:
        return offload_of(raw)


def offload_of(raw: socket.socket, wish: Offload = EVERYTHING) -> Offload:
    """What this socket can do, of what is wished for. For a fresh socket: the options are tried on it."""
    if not wish.batch or not _leaves_sockets_alone():
        why = "this event loop keeps sockets to itself" if wish.batch else "switched off"
        return Offload(gso=False, gro=False, batch=False, why=why)
    missing = []
    can = {}
    for name, option, wished in (("GSO", UDP_SEGMENT, wish.gso), ("GRO", UDP_GRO, wish.gro)):
        can[option] = wished and sys.platform == "linux" and _has_option(raw, option)
        if not can[option]:
            here = "not in this kernel" if sys.platform == "linux" else "only on Linux"
            missing.append(f"{name}: {here if wished else 'switched off'}")
    return Offload(gso=can[UDP_SEGMENT], gro=can[UDP_GRO], batch=True, why=", ".join(missing))


def probe_mtu(raw: socket.socket, on: bool) -> int:
    """On: datagrams leave as they are, whatever ICMP says (IP_PMTUDISC_PROBE, ip(7)). Off: IP may fragment them.

    The largest UDP payload in bytes worth a try. Raises OSError where it cannot be chosen.
    """
    if sys.platform != "linux":
        raise OSError("only on Linux")
    level, option = _MTU_DISCOVER[raw.family]
    raw.setsockopt(level, option, _PMTUDISC_PROBE if on else _PMTUDISC_DONT)
    return _ETHERNET_PAYLOAD[raw.family]


def _has_option(raw: socket.socket, option: int) -> bool:
    try:
        raw.setsockopt(SOL_UDP, option, 0)
    except OSError:
        return False
    return True


def _leaves_sockets_alone() -> bool:
    """May a socket be read while the loop waits for it? On Windows' default loop the system already holds a read."""
    try:
        return isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)
    except RuntimeError:
        return sys.platform != "win32"
