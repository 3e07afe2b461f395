"""The config file, and what its values become: settings, durations, addresses of servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from p2pcopy import configfile, settings
from p2pcopy.config import parse_duration, parse_size, parse_switch
from p2pcopy.errors import LocalFileError, UsageError
from p2pcopy.keys import SETTINGS
from p2pcopy.net.uri import parse_server_uri
from p2pcopy.options import Meeting, Network

MODULES = ("p2pcopy.config", "p2pcopy.configfile", "p2pcopy.keys", "p2pcopy.net.uri", "p2pcopy.settings")

T = TypeVar("T")

PATH: Final = Path("config.toml")
_DAYS_30: Final = 30 * 86400


def one(data: bytes) -> None:
    table = refused_or(partial(configfile.parse, data, PATH))
    if table is not None:
        assert set(table) <= set(SETTINGS)
        used(table)
    text = data.decode(errors="replace")
    for word in (text, *text.split("\n")[:8]):
        words(word)


def used(table: dict[str, Any]) -> None:
    """No file is read for it, and no variable."""
    table.update(dict.fromkeys(("turn_password_file", "turn_secret_file"), ""))
    if any(name.startswith("P2PCOPY_") for name in os.environ):
        return
    for offering in (True, False):
        net = refused_or(partial(settings.net, table, Network(), Meeting(), offering=offering))
        if net is not None:
            assert 0 < net.wait_s <= _DAYS_30
            assert 0 < net.stall_limit_s <= _DAYS_30


def words(text: str) -> None:
    seconds = refused_or(partial(parse_duration, text))
    assert seconds is None or 0 < seconds <= _DAYS_30
    size = refused_or(partial(parse_size, text))
    assert size is None or size >= 0
    refused_or(partial(parse_switch, text))
    uri = refused_or(partial(parse_server_uri, text))
    if uri is not None:
        assert 1 <= uri.port <= 65535
        assert uri.host


def refused_or(parse: Callable[[], T]) -> T | None:
    try:
        return parse()
    except (UsageError, LocalFileError) as error:
        assert error.message
        return None


def seeds() -> Iterator[bytes]:
    yield b'stun = ["stun:a:1", "stun:b"]\nturn = "turn:a?transport=tcp turns:[2001:db8::1]:5349"\nturn_user = "u"\n'
    yield b'wait = "15m"\nstall_limit = "1h30m"\nrelay = "never"\nfamily = "ipv6"\nexisting = "skip"\n'
    yield b'interface = ["eth0", "Ethernet 2"]\nconfirm = true\ngso = false\ncompress = "always"\noutput = "~/x"\n'
    yield b"[wait]\nx = 1979-05-27T07:32:00Z\n[[stun]]\ny = {a = 1, b = [1.5, inf]}\n"
    yield b"wait = " + b"[" * 2000
    for word in ("90s", "1.5GiB", "on", "turns:[2001:db8::1]:5349", "turn:host:3478?transport=udp", "stun:h"):
        yield word.encode()
