"""Both sessions in one event loop over a real connection on this machine, with real files on either side."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from meeting import meeting, run
from trees import MIB, copied, leftovers, make, make_odd, noise

from p2pcopy import events
from p2pcopy.config import Compress, Existing, TransferLimits
from p2pcopy.errors import (
    ConnectionLost,
    Declined,
    DryRun,
    InternalError,
    Interrupted,
    LocalFileError,
    P2PCopyError,
    ProtocolError,
)
from p2pcopy.files import tree
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.entrylog import EntryLog
from p2pcopy.files.names import NameGate
from p2pcopy.files.source import BlockReader
from p2pcopy.transfer import blocks, storing
from p2pcopy.transfer.receive_session import Consent, ReceiveSession
from p2pcopy.transfer.send_session import SendSession
from p2pcopy.transfer.wire import LEAST_CREDIT

LIMITS = TransferLimits()
# At most 4 MiB are on their way.
NARROW = replace(LIMITS, max_window=LEAST_CREDIT)


@dataclass
class Ends:
    """How both sides ended, and what they told."""

    sender: SendSession
    receiver: ReceiveSession
    errors: list[P2PCopyError | None]
    sent: list[events.Event] = field(default_factory=list)
    received: list[events.Event] = field(default_factory=list)

    def files(self, told: list[events.Event]) -> dict[str, events.FileStatus]:
        return {event.path: event.status for event in told if isinstance(event, events.File)}


Meddle = Callable[[SendSession, ReceiveSession], None]


def copy(
    work: Path,
    *,
    consent: Consent = Consent(given=True, existing=Existing.REFUSE),  # noqa: B008 - frozen
    answer: Existing | None = None,
    stdin: bytes | None = None,
    meddle: Meddle = lambda sender, receiver: None,
    limits: TransferLimits = LIMITS,
    checksum: bool = False,
) -> Ends:
    """Copy tree (or stdin) of work to out. answer: to the question, None declines. meddle: is called when both have begun."""

    async def ask(*_: Any) -> Existing:
        if answer is None:
            raise Declined("no")
        return answer

    async def both() -> Ends:
        told: tuple[list[events.Event], list[events.Event]] = ([], [])
        sources = tree.prepare(["-"] if stdin is not None else [str(work / "tree")], stdin_name=None)
        log, far_log = EntryLog(), EntryLog()
        reader = BlockReader(
            log,
            block_size=limits.block_size,
            compress=Compress.AUTO,
            stdin=io.BytesIO(stdin) if stdin is not None else None,
        )
        store = DirectoryStore(str(work / "out"), checksum=checksum)
        store.open()
        try:
            async with meeting() as met:
                sender = SendSession(
                    met.left,
                    limits,
                    told[0].append,
                    found=tree.walk(sources, now_ns=time.time_ns()),
                    log=log,
                    reader=reader,
                    software="test",
                )
                receiver = ReceiveSession(
                    met.right,
                    limits,
                    told[1].append,
                    gate=NameGate(os.urandom(16)),
                    log=far_log,
                    store=store,
                    consent=consent,
                    ask=ask,
                    destination="out",
                    software="test",
                )
                runs = [asyncio.create_task(outcome(session)) for session in (sender, receiver)]
                await asyncio.sleep(0)
                meddle(sender, receiver)
                errors = [await run for run in runs]
                return Ends(sender, receiver, errors, *told)
        finally:
            store.close()
            reader.close()
            log.close()
            far_log.close()

    async def outcome(session: SendSession | ReceiveSession) -> P2PCopyError | None:
        try:
            await session.run()
        except P2PCopyError as error:
            return error
        return None

    return run(both())


def test_a_tree_arrives_and_both_know_it(tmp_path: Path) -> None:
    make_odd(tmp_path / "tree")
    make(tmp_path / "tree" / "text", b"compressible " * 200_000)
    ends = copy(tmp_path)
    assert ends.errors == [None, None]
    assert copied(tmp_path / "tree", tmp_path / "out")
    assert ends.sender.machine.files_done == ends.receiver.machine.files_done > 20
    assert ends.sender.machine.bytes_stored == ends.receiver.machine.bytes_stored
    assert ends.receiver.confirmed
    assert ends.sender.seconds > 0
    manifests = [event for told in (ends.sent, ends.received) for event in told if isinstance(event, events.Manifest)]
    assert manifests[0].files == manifests[1].files
    last = [event for event in ends.received if isinstance(event, events.Progress)][-1]
    assert last.bytes_done == last.bytes_total


def test_a_stream_whose_size_nobody_knows(tmp_path: Path) -> None:
    content = noise(2 * MIB)
    ends = copy(tmp_path, stdin=content)
    assert ends.errors == [None, None]
    assert (tmp_path / "out" / "stdin").read_bytes() == content
    assert all(event.bytes_total is None for event in ends.sent if isinstance(event, events.Progress))


def test_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    assert copy(tmp_path).errors == [None, None]
    assert (tmp_path / "out" / "tree").is_dir()


@pytest.mark.parametrize("given", [True, False])
def test_skipping_while_the_manifest_comes_or_after_the_question(tmp_path: Path, given: bool) -> None:
    make(tmp_path / "tree" / "kept", b"new")
    make(tmp_path / "tree" / "other", b"other")
    make(tmp_path / "out" / "tree" / "kept", b"old")
    ends = copy(tmp_path, consent=Consent(given, Existing.SKIP if given else Existing.ASK), answer=Existing.SKIP)
    assert ends.errors == [None, None]
    assert (tmp_path / "out/tree/kept").read_bytes() == b"old"
    for told in (ends.sent, ends.received):
        assert ends.files(told) == {"tree/kept": events.FileStatus.SKIPPED, "tree/other": events.FileStatus.DONE}


def test_names_that_are_taken_are_refused_before_anything_is_stored(tmp_path: Path) -> None:
    for number in range(600):
        make(tmp_path / "tree" / f"{number:04}", b"new")
    make(tmp_path / "out" / "tree" / "0599", b"older")
    ends = copy(tmp_path)
    assert [type(error) for error in ends.errors] == [Declined, Declined]
    assert "1 name is taken at the destination: tree/0599" in str(ends.errors[0])
    assert os.listdir(tmp_path / "out" / "tree") == ["0599"]
    make(tmp_path / "out" / "tree" / "0007", b"older")
    assert "2 names are taken at the destination: tree/0007 is the first" in str(copy(tmp_path).errors[1])


def test_a_dry_run_shows_everything_and_takes_nothing(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "a", b"new")
    make(tmp_path / "tree" / "b", b"new")
    make(tmp_path / "out" / "tree" / "a", b"older")
    ends = copy(tmp_path, consent=Consent(given=True, existing=Existing.REPLACE, dry_run=True))
    assert [type(error) for error in ends.errors] == [Declined, DryRun]
    (manifest,) = [each for each in ends.received if isinstance(each, events.Manifest)]
    assert {line.path: line.status for line in manifest.entries} == {
        "tree": events.Mark.NEW,
        "tree/a": events.Mark.EXISTS,
        "tree/b": events.Mark.NEW,
    }
    assert (tmp_path / "out" / "tree" / "a").read_bytes() == b"older"
    assert os.listdir(tmp_path / "out" / "tree") == ["a"]


def foretold(work: Path, policy: Existing) -> dict[str, events.Mark]:
    """What a dry run says of each file."""
    ends = copy(work, consent=Consent(given=True, existing=policy, dry_run=True))
    (manifest,) = [each for each in ends.received if isinstance(each, events.Manifest)]
    return {line.path: line.status for line in manifest.entries if line.kind == "file"}


def test_what_an_earlier_run_renamed_is_there_already(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "a", b"new")
    make(tmp_path / "out" / "tree" / "a", b"other")
    rename = Consent(given=True, existing=Existing.RENAME)
    assert foretold(tmp_path, Existing.RENAME) == {"tree/a": events.Mark.EXISTS}
    assert copy(tmp_path, consent=rename).errors == [None, None]
    assert foretold(tmp_path, Existing.RENAME) == {"tree/a": events.Mark.SAME}
    assert foretold(tmp_path, Existing.REPLACE) == {"tree/a": events.Mark.EXISTS}
    again = copy(tmp_path, consent=rename)
    assert [event for event in again.received if isinstance(event, events.File)] == [
        events.File("tree/a", events.FileStatus.SKIPPED, "it is there already", "tree/a (1)")
    ]
    assert sorted(os.listdir(tmp_path / "out" / "tree")) == ["a", "a (1)"]


def test_what_was_begun_goes_on_or_starts_over_as_foretold(tmp_path: Path) -> None:
    source, target = tmp_path / "tree" / "file", tmp_path / "out" / "tree" / "file"
    make(source, noise(8 * MIB))
    interrupted(tmp_path)
    assert foretold(tmp_path, Existing.REPLACE) == {"tree/file": events.Mark.BEGUN}
    make(target, b"other")
    assert foretold(tmp_path, Existing.REPLACE) == {"tree/file": events.Mark.BEGUN_EXISTS}
    assert foretold(tmp_path, Existing.SKIP) == {"tree/file": events.Mark.EXISTS}
    target.unlink()
    os.utime(source, (5, 5))
    assert foretold(tmp_path, Existing.REPLACE) == {"tree/file": events.Mark.STALE}
    ends = copy(tmp_path)
    assert ends.errors == [None, None]
    assert ends.receiver.machine.bytes_resumed == 0


@pytest.mark.parametrize("policy", [Existing.SKIP, Existing.REPLACE])
def test_what_has_the_same_content_needs_no_room(tmp_path: Path, policy: Existing) -> None:
    make(tmp_path / "tree" / "file", noise(2 * MIB))
    make(tmp_path / "out" / "tree" / "file", noise(2 * MIB), mtime_s=1)

    def meddle(sender: SendSession, receiver: ReceiveSession) -> None:
        receiver._store.free_bytes = lambda: 0  # type: ignore[method-assign]

    ends = copy(tmp_path, meddle=meddle, consent=Consent(given=True, existing=policy), checksum=True)
    assert ends.errors == [None, None]
    assert ends.receiver.machine.bytes_stored == 0
    assert ends.files(ends.received) == {"tree/file": events.FileStatus.SKIPPED}


def test_declined(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "file", b"new")
    ends = copy(tmp_path, consent=Consent(given=False, existing=Existing.ASK))
    assert [type(error) for error in ends.errors] == [Declined, Declined]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [3, None])
def test_more_than_is_allowed(tmp_path: Path, size: int | None) -> None:
    make(tmp_path / "tree" / "file", b"12345")
    consent = Consent(given=True, existing=Existing.REPLACE, max_bytes=4)
    ends = copy(tmp_path, consent=consent, stdin=None if size else b"12345")
    assert [type(error) for error in ends.errors] == [Declined, Declined]
    assert not leftovers(tmp_path)


def interrupted(work: Path, side: int = 1) -> Ends:
    """A copy of more than 4 MiB that this side's person stops when the first block is stored."""

    def meddle(sender: SendSession, receiver: ReceiveSession) -> None:
        loop, write = asyncio.get_running_loop(), receiver._store.write
        stopped = threading.Event()

        def stop() -> None:
            (sender, receiver)[side].stop(Interrupted("Ctrl-C"))
            stopped.set()

        def write_and_stop(*block: Any, **named: Any) -> Any:
            result = write(*block, **named)
            loop.call_soon_threadsafe(stop)
            assert stopped.wait(60)
            return result

        receiver._store.write = write_and_stop  # type: ignore[method-assign]

    return copy(work, meddle=meddle, limits=NARROW)


@pytest.mark.parametrize("side", [0, 1])
def test_stopped_by_a_person_and_begun_again(tmp_path: Path, side: int) -> None:
    make(tmp_path / "tree" / "file", noise(8 * MIB))
    ends = interrupted(tmp_path, side)
    assert type(ends.errors[side]) is Interrupted
    assert type(ends.errors[1 - side]) is ConnectionLost
    assert sorted(leftovers(tmp_path)) == [b"out/tree/.file.p2pcopy-journal", b"out/tree/.file.p2pcopy-part"]
    again = copy(tmp_path)
    assert again.errors == [None, None]
    assert copied(tmp_path / "tree", tmp_path / "out")
    moved, there = again.receiver.machine.bytes_stored, again.receiver.machine.bytes_resumed
    assert (moved + there, there > 0) == (8 * MIB, True)
    assert again.sender.machine.bytes_stored == moved


def test_a_file_that_was_rewritten_since_starts_over_and_says_so(tmp_path: Path) -> None:
    source = tmp_path / "tree" / "file"
    make(source, noise(8 * MIB))
    interrupted(tmp_path)
    make(source, noise(8 * MIB, 2))  # with the same size and time
    ends = copy(tmp_path)
    assert ends.errors == [None, None]
    assert copied(tmp_path / "tree", tmp_path / "out")
    assert ends.receiver.machine.bytes_resumed == 0
    for told in (ends.sent, ends.received):
        assert [note.path for note in told if isinstance(note, events.Note)] == ["tree/file"]


def test_a_name_that_the_gate_refuses_ends_it_on_both_sides(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "file", b"new")

    def meddle(sender: SendSession, receiver: ReceiveSession) -> None:
        receiver._work._gate = NameGate(os.urandom(16), limits=TransferLimits(max_name_bytes=2))

    ends = copy(tmp_path, meddle=meddle)
    assert all(isinstance(error, ProtocolError) for error in ends.errors)
    assert "Rename" in str(getattr(ends.errors[0], "hint", ""))


def test_a_disk_that_fails_ends_it_on_both_sides(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "file", b"new")

    def meddle(sender: SendSession, receiver: ReceiveSession) -> None:
        def write(*_: object, **__: object) -> None:
            raise LocalFileError("the disk is full")

        receiver._store.write = write  # type: ignore[method-assign]

    ends = copy(tmp_path, meddle=meddle)
    assert [type(error) for error in ends.errors] == [LocalFileError, LocalFileError]


def test_too_little_room_is_seen_before_anything_comes(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "file", b"12345")

    def meddle(sender: SendSession, receiver: ReceiveSession) -> None:
        receiver._store.free_bytes = lambda: 4  # type: ignore[method-assign]

    ends = copy(tmp_path, meddle=meddle)
    assert [type(error) for error in ends.errors] == [LocalFileError, LocalFileError]
    assert not leftovers(tmp_path)


def test_a_defect_is_told_to_both(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "file", b"new")

    def meddle(sender: SendSession, receiver: ReceiveSession) -> None:
        def defect(_: events.Event) -> None:
            raise ZeroDivisionError

        receiver.tell = defect

    ends = copy(tmp_path, meddle=meddle)
    assert [type(error) for error in ends.errors] == [InternalError, InternalError]


def test_a_block_that_is_damaged_once_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "tree" / "file", noise(2 * MIB))
    unpack = blocks.unpack_block
    damaged: list[object] = []

    def damage(block: Any) -> Any:
        if not damaged:
            damaged.append(block)
            return None
        return unpack(block)

    monkeypatch.setattr(storing, "unpack_block", damage)
    ends = copy(tmp_path)
    assert ends.errors == [None, None]
    assert copied(tmp_path / "tree", tmp_path / "out")


def test_a_block_that_is_always_damaged_fails_its_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "tree" / "bad", b"bad")
    make(tmp_path / "tree" / "good", b"good")
    unpack = blocks.unpack_block
    monkeypatch.setattr(storing, "unpack_block", lambda block: None if block.raw_size == 3 else unpack(block))
    ends = copy(tmp_path)
    assert ends.errors == [None, None]
    assert ends.sender.machine.files_damaged == ends.receiver.machine.files_damaged == 1
    assert os.listdir(tmp_path / "out" / "tree") == ["good"]
    for told in (ends.sent, ends.received):
        assert ends.files(told) == {"tree/bad": events.FileStatus.FAILED, "tree/good": events.FileStatus.DONE}


def test_a_source_that_changes_fails_on_both_sides_and_the_rest_goes_on(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "a", b"a")
    make(tmp_path / "tree" / "b", b"b")

    def meddle(sender: SendSession, receiver: ReceiveSession) -> None:
        allow = sender._reader.allow

        def vanish(*accepted: Any) -> None:
            (tmp_path / "tree" / "a").unlink(missing_ok=True)
            allow(*accepted)

        sender._reader.allow = vanish  # type: ignore[method-assign,assignment]

    ends = copy(tmp_path, meddle=meddle)
    assert ends.errors == [None, None]
    assert ends.sender.machine.files_failed == ends.receiver.machine.files_failed == 1
    for told in (ends.sent, ends.received):
        assert ends.files(told) == {"tree/a": events.FileStatus.FAILED, "tree/b": events.FileStatus.DONE}


def test_a_connection_that_ends_in_the_middle(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "file", noise(8 * MIB))

    def meddle(sender: SendSession, receiver: ReceiveSession) -> None:
        sender.channel._sctp.lost()  # type: ignore[attr-defined]

    ends = copy(tmp_path, meddle=meddle, limits=replace(LIMITS, ping_s=0.5, silence_s=2.0, hello_s=2.0))
    assert type(ends.errors[0]) is ConnectionLost
    assert type(ends.errors[1]) is ConnectionLost
    assert not leftovers(tmp_path)
