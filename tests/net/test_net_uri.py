from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.config import DEFAULT_STUN
from p2pcopy.errors import UsageError
from p2pcopy.net.uri import ServerUri, parse_server_uri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stun:stun.example.org", ServerUri("stun", "stun.example.org", 3478, "udp", tls=False)),
        ("stun:192.0.2.1:19302", ServerUri("stun", "192.0.2.1", 19302, "udp", tls=False)),
        ("stun:[2001:DB8::1]:3479", ServerUri("stun", "2001:db8::1", 3479, "udp", tls=False)),
        ("turn:turn.example.org", ServerUri("turn", "turn.example.org", 3478, "udp", tls=False, or_tcp=True)),
        ("turn:turn.example.org?transport=udp", ServerUri("turn", "turn.example.org", 3478, "udp", tls=False)),
        ("turn:[::1]?transport=tcp", ServerUri("turn", "::1", 3478, "tcp", tls=False)),
        ("turns:turn.example.org", ServerUri("turn", "turn.example.org", 5349, "tcp", tls=True)),
        ("turns:turn.example.org:443?transport=tcp", ServerUri("turn", "turn.example.org", 443, "tcp", tls=True)),
    ],
)
def test_reads_what_the_rfcs_allow(text: str, expected: ServerUri) -> None:
    assert parse_server_uri(text) == expected


@pytest.mark.parametrize("url", DEFAULT_STUN)
def test_reads_the_defaults(url: str) -> None:
    assert parse_server_uri(url).kind == "stun"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stun",
        "stun:",
        "http://stun.example.org",
        "STUN.example.org:3478",
        "stun:stun.example.org:",
        "stun:stun.example.org:0",
        "stun:stun.example.org:65536",
        "stun:stun.example.org:99999999999",
        "stun:[192.0.2.1]",
        "stun:[2001:db8::1",
        "stun:2001:db8::1",
        "stun:[1:2]",
        "stun:a b",
        "stun:stun.example.org?transport=udp",
        "stuns:stun.example.org",
        "turns:turn.example.org?transport=udp",
        "turn:turn.example.org?transport=sctp",
        "turn:turn.example.org?x=y",
        "turn:user@turn.example.org",
        "stun:stun.example.org\n",
        "stun:stun.example.org:٣",
    ],
)
def test_refuses_the_rest_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_server_uri(text)
    assert caught.value.hint
    assert not caught.value.message.endswith(".")


@given(
    st.text() | st.from_regex(r"(stuns?|turns?):\[?[0-9a-fA-F:.a-z]*\]?(:[0-9]*)?(\?transport=[a-z]*)?", fullmatch=True)
)
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        uri = parse_server_uri(text)
        assert 1 <= uri.port <= 65535
        assert uri.host
        assert uri.tls <= (uri.transport == "tcp")


@given(st.ip_addresses(), st.integers(1, 65535), st.sampled_from(["udp", "tcp"]))
def test_reads_back_what_is_written(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, transport: str
) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    if address.version == 6 and getattr(address, "scope_id", None):
        return
    uri = parse_server_uri(f"turn:{host}:{port}?transport={transport}")
    assert (uri.host, uri.port, uri.transport) == (str(address), port, transport)
