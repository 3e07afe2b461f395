"""What of the fast data path can be used: each part is missing by itself, and never with a crash."""

from __future__ import annotations

import ast
import asyncio
import importlib
import socket
import sys
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import RTCSctpTransport
from OpenSSL import SSL, _util

from p2pcopy.config import NetSettings
from p2pcopy.events import DataPath
from p2pcopy.net import abilities, offload, probe, records, rehearsal
from p2pcopy.net.abilities import Abilities
from p2pcopy.net.findings import Ability
from p2pcopy.net.offload import Offload

NET = Path(__file__).parents[2] / "p2pcopy" / "net"
ALL = NetSettings()
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are there GSO and GRO")


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    """What was found out about the libraries is kept, but not from one test to the next."""
    abilities._faults.cache_clear()
    yield
    abilities._faults.cache_clear()


def found(settings: NetSettings = ALL, loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Abilities:
    async def probed() -> Abilities:
        return abilities.probe(settings)

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(probed())


@needs_linux
def test_here_everything_works() -> None:
    works = Ability(works=True)
    assert found() == Abilities(True, (), works, works, works, works)


# The association


def test_a_setting_turns_it_off() -> None:
    everything = found()
    off = found(NetSettings(fast_path=False))
    assert (off.fast, off.reasons) == (False, ("it is switched off",))
    assert (off.gso, off.gro, off.batch, off.path_mtu) == (
        everything.gso,
        everything.gro,
        everything.batch,
        everything.path_mtu,
    )


@pytest.mark.parametrize(
    ("library", "version"),
    [("pyOpenSSL", "24.3.0"), ("pyOpenSSL", "27.0.0"), ("cryptography", "51.0.0"), ("google-crc32c", "2.0")],
)
def test_an_untested_version_is_a_reason(library: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "version", lambda name: version if name == library else metadata.version(name))
    probe.probe_libraries()  # no error
    here = found()
    assert not here.fast
    assert here.reasons == (f"{library} {version} is not a version that p2pcopy has been tested with",)


def test_so_is_one_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(probe, "version", version)
    assert found().reasons[0] == "pyOpenSSL (version unknown) is not a version that p2pcopy has been tested with"


class Lacking:
    """An object without one member."""

    def __init__(self, whole: Any, missing: str) -> None:
        self._whole, self._missing = whole, missing

    def __getattr__(self, name: str) -> Any:
        if name == self._missing:
            raise AttributeError(f"no {name}")
        return getattr(self._whole, name)


@pytest.mark.parametrize(
    ("owner", "member"),
    [(name, member) for _, name, members in probe.FAST_TOUCHED[:2] for member in members],
)
def test_a_missing_call_into_openssl_is_a_reason(owner: str, member: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_util, owner, Lacking(getattr(_util, owner), member))
    here = found()
    assert not here.fast
    assert here.reasons == (f"there is no OpenSSL._util.{owner}.{member}",)


def test_missing_members_of_classes_are_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(RTCSctpTransport, "_transmit_reconfig")
    monkeypatch.setattr(SSL, "Connection", type("Connection", (), {"_ssl": None, "_into_ssl": None}))
    assert set(found().reasons) == {
        "there is no aiortc.rtcsctptransport.RTCSctpTransport._transmit_reconfig",
        "there is no OpenSSL.SSL.Connection._from_ssl",
    }


def test_missing_modules_and_classes_are_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    touched = (("p2pcopy_no_such_module", "", ("x",)), ("OpenSSL.SSL", "NoSuchClass", ("x",)))
    monkeypatch.setattr(probe, "FAST_TOUCHED", touched)
    module, owner = found().reasons
    assert "p2pcopy_no_such_module" in module
    assert "NoSuchClass" in owner


def test_a_record_layer_that_cannot_even_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "p2pcopy.net.rehearsal", None)
    [reason] = found().reasons
    assert reason.startswith("OpenSSL cannot be called straight: ")


def test_what_openssl_does_is_tried() -> None:
    assert rehearsal.rehearse() == ""


@pytest.mark.parametrize(
    ("call", "does", "reason"),
    [
        ("SSL_write", lambda real: lambda ssl, data, size: -1, "does not encrypt"),
        ("SSL_write", lambda real: lambda ssl, data, size: real(ssl, data, 5) and size, "does not decrypt"),
        ("SSL_read", lambda real: lambda ssl, data, size: min(3, real(ssl, data, size)), "does not decrypt"),
        ("SSL_get_error", lambda real: lambda ssl, result: _util.lib.SSL_ERROR_ZERO_RETURN, "does not decrypt"),
        ("SSL_get_error", lambda real: lambda ssl, result: _util.lib.SSL_ERROR_WANT_READ, "the end of a session"),
        ("SSL_write", lambda real: lambda ssl: 1, "called straight: TypeError"),
        ("BIO_write", lambda real: lambda bio, data, size: 0, "called straight: MemoryError"),
    ],
)
def test_calls_that_do_something_else(
    call: str, does: Callable[[Any], Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = SimpleNamespace(**{call: does(getattr(_util.lib, call))})
    real = _util.lib

    class Changed:
        def __getattr__(self, name: str) -> Any:
            return getattr(changed if name == call else real, name)

    monkeypatch.setattr(records, "lib", Changed())
    here = found()
    assert not here.fast
    assert len(here.reasons) == 1
    assert reason in here.reasons[0]


def test_the_libraries_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []

    def rehearse() -> str:
        asked.append(None)
        return ""

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    assert found().fast
    assert found().fast
    assert len(asked) == 1


_ASSOCIATIONS = ("fastsctp.py", "queueing.py", "sctp.py", "shutdown.py")


def test_the_table_has_every_private_member_that_is_touched() -> None:
    """Of aiortc's association."""
    listed = {member for _, _, members in probe.FAST_TOUCHED for member in members}
    listed |= {member for _, members in probe.TOUCHED for member in members}
    text = "".join((NET / name).read_text(encoding="utf-8") for name in _ASSOCIATIONS)
    source = ast.parse(text.replace("from __future__ import annotations", ""))
    touched = {node.attr for node in ast.walk(source) if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
    classes = [node for node in ast.walk(source) if isinstance(node, ast.ClassDef)]
    overridden = {
        node.name
        for own in classes
        for node in own.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and hasattr(RTCSctpTransport, node.name)
    }
    theirs = {name for name in touched | overridden if probe._has(RTCSctpTransport, name)}
    assert {name for name in theirs if name.startswith("_") and not name.startswith("__")} <= listed


def test_every_entry_of_the_table_is_there() -> None:
    for module, name, members in probe.FAST_TOUCHED:
        owner: Any = importlib.import_module(module)
        owner = getattr(owner, name) if name else owner
        assert [member for member in members if not probe._has(owner, member)] == []
        assert list(members) == sorted(set(members))


# Sockets


@needs_linux
def test_gso_and_gro_are_switched_off_each_by_itself() -> None:
    without_gso, without_gro = found(NetSettings(gso=False)), found(NetSettings(gro=False))
    assert (without_gso.gso.reason, without_gso.gro.works) == ("it is switched off", True)
    assert (without_gro.gro.reason, without_gro.gso.works) == ("it is switched off", True)
    assert without_gso.gso.meaning == "each packet that is sent costs a system call"
    assert without_gso.fast
    assert without_gro.fast


class OtherLoop(BaseSelectorEventLoop):
    """Works, and is none of those that are known."""


def test_another_event_loop() -> None:
    here = found(loop=OtherLoop)
    assert here.fast, "the association needs nothing of the loop"
    for part in (here.gso, here.gro, here.batch):
        assert (part.works, part.reason) == (False, "this event loop keeps sockets to itself")
        assert part.meaning


@pytest.mark.parametrize(
    ("can", "gso", "gro", "batch"),
    [
        (Offload(False, True, True, "GSO: not in this kernel"), "not in this kernel", "", ""),
        (Offload(True, False, True, "GRO: not in this kernel"), "", "not in this kernel", ""),
        (Offload(False, False, True, "GSO: only on Linux, GRO: not there"), "only on Linux", "not there", ""),
        (Offload(False, False, False, "no sockets, none"), *["no sockets, none"] * 3),
    ],
)
def test_what_sockets_cannot_do(can: Offload, gso: str, gro: str, batch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abilities, "available", lambda: can)
    here = found()
    assert (here.gso.reason, here.gro.reason, here.batch.reason) == (gso, gro, batch)
    assert (here.gso.works, here.gro.works, here.batch.works) == (not gso, not gro, not batch)
    assert here.fast


def test_no_socket_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> socket.socket:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(offload, "udp_socket", refused)
    monkeypatch.setattr(abilities, "socket", SimpleNamespace(socket=refused, AF_INET=0, SOCK_DGRAM=0))
    settings = NetSettings(gso=False)

    here = abilities.probe(settings)
    assert (here.gso.reason, here.gro.reason) == ("it is switched off", "Too many open files")
    assert (here.batch.reason, here.path_mtu.reason) == ("Too many open files", "Too many open files")


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "sunos5")
    here = found()
    assert (here.gso.reason, here.gro.reason, here.path_mtu.reason) == ("only on Linux",) * 3
    assert here.batch.works
    assert here.fast


# What is told in the session


def test_what_is_told_when_all_works() -> None:
    told = abilities.describe(found(), Offload(True, True, True), packet_bytes=1472, peer_fast=True)
    assert told == DataPath(True, True, True, 1472, True, "")


def test_what_is_told_of_the_endpoint_in_use() -> None:
    told = abilities.describe(found(), Offload(False, False, True, "the way to the TURN server is TCP"))
    assert told == DataPath(True, False, False, None, None, "the way to the TURN server is TCP")


def test_what_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abilities, "_faults", lambda: ("one", "two"))
    told = abilities.describe(found(), Offload(True, True, True), packet_bytes=1200)
    assert told == DataPath(fast=False, reason="one; two")
    monkeypatch.undo()
    off = found(NetSettings(fast_path=False))
    assert abilities.describe(off, Offload(True, True, True)).reason == "it is switched off"
