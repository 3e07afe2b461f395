"""The fast data path as users meet it: with it and without, on one side and on both, and what is said of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from processes import Ended, Processes
from trees import MIB, facts, make, noise

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are there GSO and GRO")
DATA_PATH = b'"event": "data_path"'
OFF: Mapping[str, str] = {"P2PCOPY_GSO": "off", "P2PCOPY_GRO": "off"}
UNTESTED = """
import importlib.metadata
real = importlib.metadata.version
importlib.metadata.version = lambda name: "99.0" if name == "pyOpenSSL" else real(name)
"""
LACKING = "from OpenSSL._util import lib\nimport OpenSSL._util\nOpenSSL._util.lib = object()\n"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    make(tmp_path / "tree" / "large", noise(4 * MIB))
    for number in range(20):
        make(tmp_path / "tree" / f"small {number}", noise(1000 * number + 1))
    with Processes(tmp_path) as processes:
        yield processes


def transfer(
    start: Processes, sending: Mapping[str, Any], receiving: Mapping[str, Any], *options: str, told: bytes = b""
) -> list[Ended]:
    """Each side: arguments, and how it is started otherwise. told: what both say of it before the transfer may end; how data moves
    is known only when the size of packets is, and that may take longer than to send a few files."""
    sender = start.send(
        "tree", "-", "--name", "last", *options, *sending.get("arguments", ()), keyboard=True, **_rest(sending)
    )
    receiver = start.receive(
        sender.code(), "-o", "out", "-y", *options, *receiving.get("arguments", ()), **_rest(receiving)
    )
    for side in (sender, receiver):
        (side.out if "--json" in options else side.err).wait_for(told)
    sender.close_input()
    ends = [sender.ended(), receiver.ended()]
    assert [end.exit_code for end in ends] == [0, 0], ends
    assert facts(start.work / "out" / "tree") == facts(start.work / "tree")
    return ends


def _rest(how: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in how.items() if name != "arguments"}


FAST: Mapping[str, Any] = {}
STOCK: Mapping[str, Any] = {"arguments": ("--no-fast-path",)}


def data_path(end: Ended) -> dict[str, Any]:
    """What was told first, after the connection and before anything of the transfer is done."""
    names = [event["event"] for event in end.events]
    assert names.index("connected") < names.index("data_path") < names.index("done")
    return end.events[names.index("data_path")]


@needs_linux
def test_both_sides_fast(start: Processes) -> None:
    for end in transfer(start, FAST, FAST, "--json", told=DATA_PATH):
        told = data_path(end)
        assert (told["fast"], told["gso"], told["gro"], told["peer_fast"]) == (True, True, True, True)
        assert (told["reason"], told["v"]) == ("", 1)
        assert 1200 <= told["packet_bytes"] <= 1472


@pytest.mark.parametrize(("sending", "receiving"), [(STOCK, FAST), (FAST, STOCK), (STOCK, STOCK)])
def test_each_side_decides_for_itself(
    sending: Mapping[str, Any], receiving: Mapping[str, Any], start: Processes
) -> None:
    for end, how in zip(
        transfer(start, sending, receiving, "--json", told=DATA_PATH), (sending, receiving), strict=True
    ):
        told = data_path(end)
        if how is STOCK:
            assert (told["fast"], told["gso"], told["gro"]) == (False, False, False)
            assert (told["peer_fast"], told["reason"]) == (None, "it is switched off")
        else:
            assert (told["fast"], told["peer_fast"]) == (True, False)


@pytest.mark.parametrize("switched", [OFF, {"P2PCOPY_GSO": "off"}, {"P2PCOPY_GRO": "no"}])
def test_without_gso_or_gro(switched: Mapping[str, str], start: Processes) -> None:
    off = {"environment": switched}
    for end in transfer(start, off, off, "--json", told=DATA_PATH):
        told = data_path(end)
        assert told["fast"]
        for part in ("gso", "gro"):
            name = part.upper()
            assert (f"{name}: switched off" in told["reason"]) is (f"P2PCOPY_{name}" in switched)
            assert not (told[part] and f"P2PCOPY_{name}" in switched)


@pytest.mark.parametrize(("before", "reason"), [(UNTESTED, "pyOpenSSL 99.0 is not"), (LACKING, "there is no OpenSSL")])
def test_other_libraries(before: str, reason: str, start: Processes) -> None:
    told, other = map(data_path, transfer(start, {"before": before, "anew": True}, FAST, "--json", told=DATA_PATH))
    assert not told["fast"]
    assert reason in told["reason"]
    assert (other["fast"], other["peer_fast"]) == (True, False)


def test_verbose_says_how_data_moves(start: Processes) -> None:
    sent, received = transfer(start, FAST, STOCK, "--verbose", told=b"^data path: ")
    assert re.search(r"^data path: fast \(.*packets of \d+ bytes, stock at the other side\)", sent.err, re.MULTILINE)
    assert "\ndata path: stock, because it is switched off\n" in received.err


def test_a_slow_data_path_is_told_to_both(start: Processes) -> None:
    sent, received = transfer(start, FAST, STOCK, told=b"fast data path")
    assert "the other side does not use the fast data path\n" in sent.err
    assert "the fast data path is not used here, because it is switched off\n" in received.err


def test_a_fast_one_is_not_talked_of(start: Processes) -> None:
    for end in transfer(start, FAST, FAST):
        assert "data path" not in end.err


@needs_linux
def test_the_doctor_shows_each_part(tmp_path: Path) -> None:
    with Processes(tmp_path) as start:
        everything = start.start("doctor", "--no-stun").ended()
        less = start.start("doctor", "--no-stun", "--no-fast-path", environment=OFF).ended()
        lacking = start.start("doctor", "--no-stun", "--json", before=LACKING, anew=True).ended()
    assert [each.exit_code for each in (everything, less, lacking)] == [0, 0, 0]
    text = everything.out.decode()
    for row in ("association +fast", "GSO +works", "GRO +works", "batch reads +works", "path-MTU discovery +works"):
        assert re.search(f"^  {row}$", text, re.MULTILINE)
    assert re.search(r"^  pyOpenSSL [\d.]+, tested$", text, re.MULTILINE)
    text = less.out.decode()
    assert re.search(r"^  association +stock: it is switched off; ", text, re.MULTILINE)
    assert re.search(r"^  GSO +no: it is switched off; ", text, re.MULTILINE)
    [told] = lacking.events
    assert not told["data_path"]["fast"]
    assert "there is no OpenSSL._util.lib.SSL_write" in told["data_path"]["reasons"]
