"""TURN servers that travel in offers: which do, with what credential, and what none can be."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.config import IceServer, NetSettings, Relay
from p2pcopy.errors import UsageError
from p2pcopy.net.uri import parse_server_uri
from p2pcopy.signaling.expiry import EPOCH_S, duration, expiry_minute, expiry_time, is_expiry
from p2pcopy.signaling.lent import (
    LentServer,
    credential_end,
    lend,
    lent_servers,
    pack_lent,
    shared_servers,
    time_limited,
)

NOW_S = EPOCH_S + 100 * 86400.0
SECRET = IceServer("turn:one.example.org", secret="s3cret")
NAMED = IceServer("turns:two.example.org", username="me", secret="s3cret")
PASSWORD = IceServer("turn:three.example.org?transport=tcp", "user", "password")


def server(**changes: Any) -> LentServer:
    fields: dict[str, Any] = {
        "host": "turn.example.org",
        "port": 3478,
        "transport": "udp",
        "tls": False,
        "username": "u",
        "password": "p",
    }
    return LentServer(**fields | changes)


def test_a_time_limited_credential_is_what_coturn_computes() -> None:
    username, password = time_limited("s3cret", "me", 1767304920)
    assert username == "1767304920:me"
    assert base64.b64decode(password) == hmac.new(b"s3cret", b"1767304920:me", hashlib.sha1).digest()
    assert time_limited("s3cret", "", 1767304920)[0] == "1767304920"


@given(st.floats(EPOCH_S, EPOCH_S + 1e9), st.floats(0, 30 * 86400))
def test_a_credential_outlives_its_code_by_ten_minutes(now_s: float, wait_s: float) -> None:
    minute = expiry_minute(now_s + wait_s)
    ends_s = credential_end(minute, now_s)
    assert 599.9 < ends_s - (now_s + wait_s) < 660.1
    assert is_expiry(minute, ends_s - 600)
    assert not is_expiry(minute, ends_s - 601)
    assert expiry_time(minute, now_s + wait_s + 600) == ends_s - 600


@pytest.mark.parametrize(
    ("settings", "shared"),
    [
        (NetSettings(), ()),
        (NetSettings(turn=(SECRET, PASSWORD, NAMED)), (SECRET, NAMED)),
        (NetSettings(turn=(PASSWORD,)), ()),
        (NetSettings(turn=(PASSWORD, SECRET), share_relay=True), (PASSWORD, SECRET)),
        (NetSettings(turn=(SECRET, NAMED), share_relay=False), ()),
        (NetSettings(turn=(SECRET, NAMED, PASSWORD), share_relay=True, relay=Relay.ONLY), (SECRET, NAMED)),
        (NetSettings(turn=(SECRET, PASSWORD), share_relay=True, relay=Relay.NEVER), ()),
    ],
)
def test_which_servers_are_lent(settings: NetSettings, shared: tuple[IceServer, ...]) -> None:
    assert shared_servers(settings) == shared
    lent = lent_servers(settings, expires_minute=expiry_minute(NOW_S + 60), now_s=NOW_S)
    assert [each.host for each in lent] == [parse_server_uri(each.url).host for each in shared]


def test_what_is_lent() -> None:
    settings = NetSettings(turn=(NAMED, PASSWORD), share_relay=True)
    temporary, static = lent_servers(settings, expires_minute=expiry_minute(NOW_S + 3600), now_s=NOW_S)
    credential = time_limited("s3cret", "me", int(NOW_S) + 4200)
    assert temporary == LentServer("two.example.org", 5349, "tcp", True, *credential)
    assert temporary.to_ice_server() == IceServer("turns:two.example.org:5349?transport=tcp", *credential)
    assert static.to_ice_server() == IceServer("turn:three.example.org:3478?transport=tcp", "user", "password")
    assert (temporary.is_temporary, static.is_temporary) == (True, False)


@pytest.mark.parametrize("url", ["turn:[2001:db8::1]:99", "turn:192.0.2.1:3478", "turns:a.example:443?transport=tcp"])
def test_url_round_trip(url: str) -> None:
    assert parse_server_uri(lend(IceServer(url, "u", "p"), expires_s=0).url) == parse_server_uri(url)


@pytest.mark.parametrize(
    "given", [IceServer("turn:a.example", "u" * 128, "p" * 128), IceServer("turn:127.1", "u", "p")]
)
def test_what_cannot_travel(given: IceServer) -> None:
    with pytest.raises(UsageError, match="cannot travel") as caught:
        lend(given, expires_s=0)
    assert "--no-share-relay" in caught.value.hint
    assert given.password not in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"host": ""},
        {"host": "a" * 64 + ".example"},
        {"host": "-a.example"},
        {"host": "é.example"},
        {"host": "1.2.3"},
        {"host": "a.0x1"},
        {"host": "0.0.0.0"},
        {"host": "ff02::1"},
        {"host": "fe80::1%eth0"},
        {"port": 0},
        {"port": 65536},
        {"transport": "udp", "tls": True},
        {"transport": "sctp"},
        {"username": ""},
        {"password": "p\n"},
        {"username": "\ud800"},
        {"username": "u" * 200, "password": "p" * 50},
        {"username": "u" * 300},
    ],
)
def test_what_no_server_can_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        server(**changes)


@pytest.mark.parametrize("host", ["localhost", "turn1", "a_b.example", "1a.example", "0xg", "xn--bcher-kva.example"])
def test_names(host: str) -> None:
    assert server(host=host).host == server(host=host.upper() + ".").host == host


def test_as_long_as_it_can_be() -> None:
    assert len(pack_lent(server(username="u" * 100, password="p" * 135))) == 255
    with pytest.raises(ValueError, match="too long"):
        server(username="u" * 100, password="p" * 136)


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("1767304920", "short"),
        ("1767304920", "not base64, but as long as that!"),
        ("1767304920", base64.b64encode(bytes(20)).decode().replace("A=", "B=")),
        ("01767304920", base64.b64encode(bytes(20)).decode()),
        ("1767304920:", base64.b64encode(bytes(20)).decode()),
        ("me", base64.b64encode(bytes(20)).decode()),
        ("1767304920", "é" * 28),
    ],
)
def test_what_only_resembles_a_temporary_credential_travels_as_it_is(username: str, password: str) -> None:
    each = server(username=username, password=password)
    assert not each.is_temporary
    assert pack_lent(each, (), 1312).endswith(password.encode())


def test_a_temporary_credential_of_another_time_travels_as_it_is() -> None:
    username, password = time_limited("s3cret", "", EPOCH_S + 1313 * 60 + 600)
    each = server(username=username, password=password)
    assert each.is_temporary
    assert pack_lent(each, (), 1312).endswith(password.encode())
    assert len(pack_lent(each, (), 1313)) == 1 + 17 + 20


def test_a_password_is_not_shown_by_accident() -> None:
    assert "password" not in repr(lend(PASSWORD, expires_s=0)).replace("password=", "")
    assert "s3cret" not in repr(NetSettings(turn=(SECRET, PASSWORD)))


@pytest.mark.parametrize(
    ("seconds", "words"), [(59, "0 minutes"), (7199, "119 minutes"), (7200, "2 hours"), (172_800, "2 days")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
