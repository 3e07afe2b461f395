"""coturn in the laboratory and outside of it."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import PASSWORD, USERNAME, Coturn, Lab, Nat, authority
from lab.sockets import NEVER_S, Address, Udp

pytestmark = pytest.mark.coturn

COOKIE = 0x2112A442
XOR_MAPPED_ADDRESS, CHANGE_REQUEST, OTHER_ADDRESS = 0x0020, 0x0003, 0x802C


def question(*, change: bool = False) -> bytes:
    """A STUN binding request; change: answer from another address and port (RFC 5780, 7.2)."""
    attribute = struct.pack("!HHI", CHANGE_REQUEST, 4, 6) if change else b""
    return struct.pack("!HHI", 1, len(attribute), COOKIE) + os.urandom(12) + attribute


def attributes(answer: bytes) -> dict[int, bytes]:
    found, at = {}, 20
    while at + 4 <= len(answer):
        kind, length = struct.unpack_from("!HH", answer, at)
        found[kind] = answer[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    return found


def address(value: bytes) -> Address:
    return str(ipaddress.ip_address(value[4:8])), int.from_bytes(value[2:4], "big")


def address_seen(answer: bytes) -> Address:
    """What the server says that it sees (XOR-MAPPED-ADDRESS, RFC 8489, 14.2), IPv4."""
    value = attributes(answer)[XOR_MAPPED_ADDRESS]
    number = int.from_bytes(value[4:8], "big") ^ COOKIE
    return str(ipaddress.ip_address(number)), int.from_bytes(value[2:4], "big") ^ (COOKIE >> 16)


def over_tls(server: Coturn, context: ssl.SSLContext) -> ssl.SSLSocket:
    with socket.create_connection((server.address, server.tls_port), 30) as connection:
        return context.wrap_socket(connection, server_hostname=server.address)


def test_it_can_be_killed_and_started_again() -> None:
    with Coturn("127.0.0.1") as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        assert server.stun_url == f"stun:127.0.0.1:{server.port}"
        place = server.ca_file.parent
        certificate = server.ca_file.read_bytes()
        server.stop()
        with pytest.raises(RuntimeError, match="does not run"):
            assert server.pid
        server.start()
        assert server.ca_file.read_bytes() == certificate
        asking.connect(("127.0.0.1", server.port))
        server.freeze()
        asking.send(question())
        asking.settimeout(NEVER_S)
        with pytest.raises(TimeoutError):
            asking.recv(1500)
        server.thaw()
        asking.settimeout(30)
        assert asking.recv(1500)[:2] == b"\x01\x01"
        assert server.credential() == (USERNAME, PASSWORD)
    assert not place.exists()


def test_there_is_one_authority_however_many_threads_ask() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: authority.of_this_run(), range(8)))) == 1


def test_urls() -> None:
    server = Coturn("::1", port=1, tls_port=2)
    assert [server.stun_url, server.turn_url] == ["stun:[::1]:1", "turn:[::1]:1"]
    assert [server.turn_tcp_url, server.turns_url] == ["turn:[::1]:1?transport=tcp", "turns:[::1]:2?transport=tcp"]
    assert server.url_over("udp") == "turn:[::1]:1?transport=udp"
    assert server.url_over("tcp") == server.turn_tcp_url
    assert server.url_over("tls", "192.0.2.1") == "turns:192.0.2.1:2?transport=tcp"
    assert server.url("stun", address="192.0.2.1") == "stun:192.0.2.1:1"


def test_who_trusts_its_authority_gets_tls() -> None:
    with Coturn("127.0.0.1") as server:
        with over_tls(server, ssl.create_default_context(cafile=str(server.ca_file))) as safe:
            safe.send(question())
            assert address_seen(safe.recv(1500))[0] == "127.0.0.1"
        with pytest.raises(ssl.SSLCertVerificationError):
            over_tls(server, ssl.create_default_context())


def test_its_certificate_can_be_for_somebody_else() -> None:
    with Coturn("127.0.0.1", certified=("turn.example",)) as server:
        trusting = ssl.create_default_context(cafile=str(server.ca_file))
        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
            over_tls(server, trusting)


@pytest.mark.lab
@pytest.mark.parametrize(("kind", "let_in"), [(Nat.FULL_CONE, True), (Nat.PORT_RESTRICTED, False)])
def test_with_two_addresses_it_tells_how_a_nat_filters(kind: Nat, let_in: bool) -> None:
    with (
        Lab.between(kind, Nat.NONE) as lab,
        Coturn(Lab.SERVER, also=(Lab.SERVER_2,), lab=lab) as server,
        Udp(lab, "a") as host,
    ):
        host.send(question(), (Lab.SERVER, server.port))
        answer = host.receive()[0]
        assert address_seen(answer) == ("203.0.113.101", host.address[1])
        other = address(attributes(answer)[OTHER_ADDRESS])
        assert other == (Lab.SERVER_2, server.port + 1)
        host.send(question(change=True), (Lab.SERVER, server.port))
        if let_in:
            assert host.receive()[1] == other
        else:
            with pytest.raises(TimeoutError):
                host.receive(NEVER_S)


@pytest.mark.lab
def test_it_speaks_ipv6_and_takes_shared_secrets() -> None:
    with (
        Lab.between(Nat.NONE, Nat.NONE) as lab,
        Coturn(Lab.SERVER, also=(Lab.SERVER6,), lab=lab, secret="s") as server,
        Udp(lab, "m", "::") as asking,
    ):
        asking.send(question(), (Lab.SERVER6, server.port))
        assert asking.receive()[1] == (Lab.SERVER6, server.port)
        username, password = server.credential(60)
        assert username.endswith(":north")
        assert len(password) == 28
