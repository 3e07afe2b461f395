"""Addresses at which a side may be reached: which are legal, which help, how they are packed. Pure; see docs/codes.md."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

from p2pcopy.errors import CodeVersion
from p2pcopy.signaling.base32 import SAME_VERSION, take

MAX_CANDIDATES: Final = 8

CandidateType = Literal["host", "srflx", "relay"]
CANDIDATE_TYPES: Final[tuple[CandidateType, ...]] = ("host", "srflx", "relay")

_LOCAL: Final = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))

# Interfaces behind which only this machine's own containers, virtual machines and tunnels are.
_VIRTUAL: Final = re.compile(
    r"docker|br-[0-9a-f]{12}$|veth|virbr|vnet\d|vmnet|vmenet|vmware|vboxnet|virtualbox|hyper-v|bridge1\d\d$"
    r"|cni|cbr\d|flannel|cali|cilium|kube|weave|nerdctl|podman|lxc|lxd|incus"
    r"|tun|tap|utun|wg|wireguard|ipsec\d|tailscale|zt|nebula|nordlynx|awdl|llw\d",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Candidate:
    """An address at which a side may be reached over UDP. Raises ValueError for what no machine can have.

    host: an IPv4 or IPv6 unicast literal, or "<uuid>.local" (mDNS), brought to its canonical form; port: 1 to 65535.
    """

    type: CandidateType
    host: str
    port: int

    def __post_init__(self) -> None:
        if self.type not in CANDIDATE_TYPES:
            raise ValueError(f"{self.type!r} is not a candidate type")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"{self.port} is not a port")
        object.__setattr__(self, "host", _canonical(self.host))

    @property
    def is_mdns(self) -> bool:
        return self.host.endswith(".local")


def _canonical(host: str) -> str:
    if host.lower().endswith(".local"):
        return f"{uuid.UUID(host[:-6])}.local"
    return machine_address(host)


def machine_address(literal: str) -> str:
    """An IPv4 or IPv6 address in its canonical form. Raises ValueError for what no machine can have."""
    address = ipaddress.ip_address(literal)
    if isinstance(address, ipaddress.IPv4Address):
        unusable = address.is_multicast or address.is_reserved or address.packed[0] == 0
    else:
        unusable = address.is_multicast or address.is_unspecified or bool(address.ipv4_mapped or address.scope_id)
    if unusable:
        raise ValueError(f"{address} is not the address of a machine")
    return str(address)


# Which help


def select_candidates(
    gathered: Iterable[Candidate],
    *,
    interfaces: Mapping[str, str] | None = None,
    keep_all: bool = False,
    limit: int = MAX_CANDIDATES,
) -> tuple[Candidate, ...]:
    """The candidates that go into a code, best first, at most limit.

    interfaces: host address to interface name, where known. Left out unless keep_all, or nothing else is there: loopback
    and link-local addresses and those of containers, virtual machines and tunnels. Always left out: duplicates, and a
    srflx candidate whose address is a host candidate's (there is no NAT). The best of each type and address family
    stays in before a second of any.
    """
    everything = list(dict.fromkeys(gathered))
    helpful = [each for each in everything if keep_all or _helps(each, interfaces or {})] or everything
    hosts = {each.host for each in helpful if each.type == "host"}
    ranked = sorted((each for each in helpful if each.type != "srflx" or each.host not in hosts), key=_rank)
    best: dict[tuple[str, int], Candidate] = {}
    for each in ranked:
        best.setdefault((each.type, _family(each)), each)
    chosen = set(list(dict.fromkeys([*best.values(), *ranked]))[:limit])
    return tuple(each for each in ranked if each in chosen)


def _helps(candidate: Candidate, interfaces: Mapping[str, str]) -> bool:
    if candidate.is_mdns or candidate.type == "relay":
        return True
    address = ipaddress.ip_address(candidate.host)
    virtual = candidate.type == "host" and _VIRTUAL.match(interfaces.get(candidate.host, ""))
    return not (address.is_loopback or address.is_link_local or virtual)


def _rank(candidate: Candidate) -> tuple[int, int]:
    """Type first; then the local network before the world, and last what leads nowhere."""
    order = CANDIDATE_TYPES.index(candidate.type)
    if candidate.is_mdns:
        return order, 3
    address = ipaddress.ip_address(candidate.host)
    if address.is_loopback or address.is_link_local:
        return order, 4
    local = any(address in network for network in _LOCAL if network.version == address.version)
    return order, (0 if address.version == 4 else 1) if local else 2


def _family(candidate: Candidate) -> int:
    return 0 if candidate.is_mdns else ipaddress.ip_address(candidate.host).version


# Candidates <-> items. An item is a head (1 byte), an address and a port.
# The head: last (1 bit), form (3 bits), type (2 bits), same port (1 bit), reserved (1 bit).


class _Form(IntEnum):
    IPV4 = 0
    IPV4_192_168 = 1
    IPV4_10 = 2
    IPV6 = 3
    IPV6_SAME_64 = 4
    MDNS = 5
    IPV4_SAME = 6
    EXTENSION = 7


_ADDRESS_SIZE: Final = (4, 2, 3, 16, 8, 16, 0)
_PREFIX: Final = {_Form.IPV4_192_168: b"\xc0\xa8", _Form.IPV4_10: b"\x0a"}
_LAST: Final = 0x80
_SAME_PORT: Final = 0x02
_RESERVED: Final = 0x01


@dataclass(frozen=True)
class Item:
    head: int
    body: bytes


@dataclass(frozen=True)
class Block:
    """An extension block. number: 0 to 15, says what it is; body: at most 255 bytes."""

    number: int
    body: bytes


def pack_items(candidates: tuple[Candidate, ...], blocks: Iterable[Block] = ()) -> bytes:
    """2 to 19 bytes a candidate, then the blocks. Without any, an empty block 0, so that the end is always marked."""
    items = [*_packed(candidates), *(_packed_block(block) for block in blocks)] or [_packed_block(Block(0, b""))]
    items[-1][0] |= _LAST
    return b"".join(items)


def _packed_block(block: Block) -> bytearray:
    return bytearray([_Form.EXTENSION << 4 | block.number, len(block.body)]) + block.body


def _packed(candidates: Iterable[Candidate]) -> Iterator[bytearray]:
    ipv4, ipv6, port = b"", b"", 0
    for candidate in candidates:
        if candidate.is_mdns:
            form, address = _Form.MDNS, uuid.UUID(candidate.host[:-6]).bytes
        elif len(packed := ipaddress.ip_address(candidate.host).packed) == 4:
            form, address = _shortest_ipv4(packed, ipv4)
            ipv4 = packed
        else:
            form, address = (_Form.IPV6_SAME_64, packed[8:]) if packed[:8] == ipv6[:8] else (_Form.IPV6, packed)
            ipv6 = packed
        head = form << 4 | CANDIDATE_TYPES.index(candidate.type) << 2
        same = candidate.port == port
        port = candidate.port
        yield bytearray([head | _SAME_PORT * same]) + address + (b"" if same else port.to_bytes(2, "big"))


def _shortest_ipv4(packed: bytes, before: bytes) -> tuple[_Form, bytes]:
    if packed == before:
        return _Form.IPV4_SAME, b""
    for form, prefix in _PREFIX.items():
        if packed.startswith(prefix):
            return form, packed[len(prefix) :]
    return _Form.IPV4, packed


def split_items(data: bytes, at: int) -> tuple[list[Item], int]:
    """The items from index at on, and the index after the last. Raises CodeTruncated when they run off the end."""
    items = []
    while True:
        head = take(data, at, 1)[0]
        form = head >> 4 & 7
        port_size = 0 if head & _SAME_PORT else 2
        size = 1 + take(data, at + 1, 1)[0] if form == _Form.EXTENSION else _ADDRESS_SIZE[form] + port_size
        items.append(Item(head, take(data, at + 1, size)))
        at += 1 + size
        if head & _LAST:
            return items, at


def unpack_blocks(items: Iterable[Item]) -> tuple[Block, ...]:
    """The extension blocks, also those that only a later version knows."""
    return tuple(Block(item.head & 15, item.body[1:]) for item in items if item.head >> 4 & 7 == _Form.EXTENSION)


def unpack_candidates(items: Iterable[Item]) -> tuple[Candidate, ...]:
    """Raises ValueError for what is not legal, CodeVersion for what only a later version can mean."""
    candidates, ipv4, ipv6, port = [], b"", b"", 0
    for item in items:
        form, kind = _Form(item.head >> 4 & 7), item.head >> 2 & 3
        if form is _Form.EXTENSION:
            continue
        if kind == len(CANDIDATE_TYPES) or item.head & _RESERVED:
            raise CodeVersion("the code has an address of a kind that this version of p2pcopy cannot use", SAME_VERSION)
        address = item.body[: _ADDRESS_SIZE[form]]
        if form is _Form.MDNS:
            host = f"{uuid.UUID(bytes=address)}.local"
        elif form in (_Form.IPV6, _Form.IPV6_SAME_64):
            ipv6 = address if form is _Form.IPV6 else ipv6[:8] + address
            host = str(ipaddress.IPv6Address(ipv6))
        else:
            ipv4 = ipv4 if form is _Form.IPV4_SAME else _PREFIX.get(form, b"") + address
            host = str(ipaddress.IPv4Address(ipv4))
        if not item.head & _SAME_PORT:
            port = int.from_bytes(item.body[-2:], "big")
        candidates.append(Candidate(CANDIDATE_TYPES[kind], host, port))
    return tuple(candidates)
