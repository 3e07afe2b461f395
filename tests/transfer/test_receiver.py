"""The receiving machine alone, against a peer that does as it likes."""

from __future__ import annotations

from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pcopy.config import TransferLimits
from p2pcopy.errors import ConnectionLost, Declined, IntegrityError, InternalError, P2PCopyError, ProtocolError
from p2pcopy.transfer import assembly, claims, records, wire
from p2pcopy.transfer.conversation import Ended, Finished, SendControl, State
from p2pcopy.transfer.flow import cost
from p2pcopy.transfer.held import Digests, Held
from p2pcopy.transfer.items import Useless
from p2pcopy.transfer.offer import consent
from p2pcopy.transfer.orders import Abandon, Commit, FinishStore, Listed, ManifestComplete, StartOver, StoreBlock
from p2pcopy.transfer.receiver import Receiver
from p2pcopy.transfer.results import Results
from p2pcopy.transfer.totals import TotalDigest
from p2pcopy.transfer.wire import Entry, FaultReason, Kind

BLOCK = 4096
LIMITS = TransferLimits(block_size=BLOCK, max_window=64 * 1024, max_entries=100)
RAW = b"r" * BLOCK
DIGEST = blake3(RAW).digest()
FILE = Entry(Kind.FILE, "f", BLOCK)
LONG = Entry(Kind.FILE, "l", 2 * BLOCK)
EMPTY = Entry(Kind.FILE, "e", 0)
STREAM = Entry(Kind.FILE, "s", None)
DIRECTORY = Entry(Kind.DIRECTORY, "d", 0)


def piece(
    entry: int, block: int = 0, raw: bytes = RAW, *, offset: int = 0, length: int | None = None, over: bool = False
) -> bytes:
    length = len(raw) - offset if length is None else length
    head = records.piece_head(entry, block, len(raw), len(raw), offset, length, False, blake3(raw).digest(), over)
    return head + raw[offset : offset + length]


def file_digest(*raws: bytes) -> bytes:
    return blake3(b"".join(blake3(raw).digest() for raw in raws)).digest()


def file_end(entry: int, *raws: bytes, digest: bytes | None = None, over: bool = False) -> bytes:
    return records.encode_end(entry, len(raws), sum(map(len, raws)), digest or file_digest(*raws), over)


def fault(entry: int, reason: FaultReason = FaultReason.CHANGED) -> bytes:
    return records.encode_fault(entry, reason)


def give(machine: Receiver, *messages: wire.Control, now: float = 1.0) -> list[Any]:
    for message in messages:
        machine.control_received(wire.encode(message), now)
    return machine.actions()


def data(machine: Receiver, *parts: bytes, now: float = 1.0) -> list[Any]:
    machine.data_received(b"".join(parts), now)
    return machine.actions()


def manifest(*entries: Entry, first: int = 0) -> wire.Manifest:
    return wire.Manifest(first, [wire.to_wire(entry) for entry in entries])


def hello(block_size: int = BLOCK) -> wire.Hello:
    return wire.Hello(1, wire.Role.SENDER, "theirs", block_size, features=["resume"])


def there(entry: int, *numbers: int, check: wire.Check = wire.Check.SAMPLE) -> Held:
    """Blocks of RAW."""
    digests = Digests()
    for number in numbers:
        digests.append(number, DIGEST)
    return Held(entry, digests, check)


def receiver(*entries: Entry, skips: tuple[tuple[int, int], ...] = ()) -> Receiver:
    """A receiver that has accepted all of these."""
    machine = offered(*entries)
    machine.accept(len(entries), skips, 1.0)
    machine.actions()
    return machine


def offered(*entries: Entry) -> Receiver:
    """A receiver that has checked these."""
    machine = Receiver(LIMITS, "ours", 0.0)
    give(machine, hello(), *([manifest(*entries)] if entries else []), wire.ManifestEnd(len(entries)))
    machine.listed(machine._window.held, 1.0)
    machine.actions()
    return machine


def end(*ends: tuple[int, bytes, int], faults: int = 0) -> wire.End:
    """The totals over these (entry, digest, bytes)."""
    totals = TotalDigest()
    for entry, digest, size in ends:
        totals.add(entry, size, digest)
    return wire.End(totals.files, totals.bytes, faults, totals.hex())


def error_of(actions: list[Any]) -> P2PCopyError:
    ended = actions[-1]
    assert isinstance(ended, Ended)
    return ended.error


def wire_of(action: SendControl) -> wire.Control:
    return wire.decode(action.message, limit=LIMITS.max_control_message)


def said(actions: list[Any], kind: type[wire.Control]) -> list[Any]:
    decoded = [
        wire.decode(action.message, limit=LIMITS.max_control_message)
        for action in actions
        if isinstance(action, SendControl)
    ]
    return [message for message in decoded if isinstance(message, kind)]


def blocks(actions: list[Any]) -> list[assembly.WholeBlock]:
    return [action.block for action in actions if isinstance(action, StoreBlock)]


def test_a_transfer_from_hello_to_bye() -> None:
    machine = Receiver(LIMITS, "ours", 0.0)
    (listed,) = give(machine, hello(), manifest(DIRECTORY, FILE))[1:]
    assert isinstance(listed, Listed)
    assert (listed.first, listed.entries) == (0, (DIRECTORY, FILE))
    assert machine._window.held == listed.cost
    machine.listed(listed.cost, 1.0)
    assert give(machine, wire.ManifestEnd(2, 3, 4)) == [ManifestComplete(2, 3, 4)]
    machine.accept(2, (), 1.0)
    assert said(machine.actions(), wire.Go) == [wire.Go(2)]
    assert (machine.accepted, machine.accepted_bytes) == (2, BLOCK)
    machine.committed([0], 1.0)
    (store,) = [action for action in data(machine, piece(1), file_end(1, RAW)) if isinstance(action, StoreBlock)]
    assert (store.offset, store.block.parts) == (0, (RAW,))
    machine.stored(store.block, 1.0)
    assert machine.actions() == [Commit(1, BLOCK)]
    assert give(machine, end((1, file_digest(RAW), BLOCK))) == [FinishStore()]
    machine.committed([1], 1.0)
    machine.store_finished(1.0)
    actions = machine.actions()
    assert said(actions, wire.Results) == [wire.Results(done=[(1, 2)])]
    (done,) = said(actions, wire.Done)
    assert (done.files, done.bytes, done.failed, done.skipped, done.damaged) == (1, BLOCK, 0, 0, 0)
    assert give(machine, wire.Bye()) == [Finished()]
    machine.say_bye()
    assert said(machine.actions(), wire.Bye) == [wire.Bye()]
    assert (machine.files_done, machine.bytes_stored, machine._window.held) == (1, BLOCK, 0)


def test_an_empty_manifest_is_accepted_before_the_end() -> None:
    machine = Receiver(LIMITS, "ours", 0.0)
    give(machine, hello(), wire.ManifestEnd(0))
    assert isinstance(error_of(give(machine, end())), ProtocolError)
    machine = receiver()
    assert give(machine, end()) == [FinishStore()]


def test_the_end_may_overtake_everything() -> None:
    machine = receiver(LONG)
    assert give(machine, end((0, file_digest(RAW, RAW), 2 * BLOCK))) == []
    assert data(machine, file_end(0, RAW, RAW)) == []
    (second,) = blocks(data(machine, piece(0, 1)))
    machine.stored(second, 1.0)
    assert data(machine, piece(0, 0, offset=1000)) == []
    (first,) = blocks(data(machine, piece(0, 0, length=1000)))
    machine.stored(first, 1.0)
    assert [action for action in machine.actions() if not isinstance(action, SendControl)] == [
        Commit(0, 2 * BLOCK),
        FinishStore(),
    ]


def test_empty_files_hold_credit_until_they_are_final() -> None:
    machine = receiver(EMPTY)
    assert data(machine, file_end(0)) == [Commit(0, 0)]
    assert machine._window.held == cost(records.FileEnd.size, 1)
    machine.committed([0], 1.0)
    machine.committed([0], 1.0)
    assert machine._window.held == 0
    assert machine.files_done == 1


def test_a_fault_of_the_sender_fails_the_file() -> None:
    machine = receiver(LONG)
    data(machine, piece(0, 0, length=10), piece(0, 1))
    assert data(machine, fault(0, FaultReason.VANISHED)) == [Abandon(0, "it vanished at the sender", keep=True)]
    assert not machine.failed_here(0, "disk", 1.0)
    assert machine.files_failed == 1
    assert give(machine, end(faults=1)) == [FinishStore()]


def test_a_fault_may_come_after_or_before_the_end_of_its_file() -> None:
    for order in ((file_end(0, RAW, RAW), fault(0)), (fault(0), file_end(0, RAW, RAW))):
        machine = receiver(LONG)
        data(machine, *order)
        assert machine._window.held == 0
        assert give(machine, end((0, file_digest(RAW, RAW), 2 * BLOCK))) == [FinishStore()]
        assert machine.files_failed == 1


def test_what_comes_late_for_a_failed_file_is_counted_and_dropped() -> None:
    machine = receiver(LONG)
    (block,) = blocks(data(machine, piece(0, 0), piece(0, 1, length=10)))
    assert machine.failed_here(0, "disk full \udce9", 1.0)
    machine.stored(block, 1.0)
    assert (machine._window.held, machine.bytes_stored) == (0, 0)
    actions = machine.actions()
    assert data(machine, piece(0, 1), piece(0, 1), file_end(0, RAW, RAW)) == []
    assert machine._window.held == 0
    assert give(machine, end((0, file_digest(RAW, RAW), 2 * BLOCK))) == [FinishStore()]
    machine.store_finished(1.0)
    actions += machine.actions()
    assert said(actions, wire.Results) == [wire.Results(failed=[(0, "disk full ?")])]
    assert said(actions, wire.Done)[0].failed == 1
    assert data(machine, piece(0, 0)) == []
    assert machine.state is State.PARTING


def test_a_file_may_fail_on_both_sides() -> None:
    machine = receiver(LONG)
    assert machine.failed_here(0, "disk full", 1.0)
    machine.actions()
    assert data(machine, fault(0, FaultReason.DROPPED)) == []
    assert machine.files_failed == 1
    assert give(machine, end(faults=1)) == [FinishStore()]


def test_a_file_that_cannot_be_made_final_gives_its_credit_back() -> None:
    machine = receiver(FILE)
    (block,) = blocks(data(machine, piece(0), file_end(0, RAW)))
    machine.stored(block, 1.0)
    assert machine.failed_here(0, "no rename", 1.0)
    assert machine._window.held == 0
    assert machine._in_store == 0


def test_a_damaged_block_is_asked_for_three_times_at_most() -> None:
    machine = receiver(LONG, FILE)
    data(machine, file_end(0, RAW, RAW))
    for _ in range(2):
        (block,) = blocks(data(machine, piece(0, 1)))
        machine.damaged(block, 1.0)
        assert said(machine.actions(), wire.Again) == [wire.Again(0, 1)]
    (block,) = blocks(data(machine, piece(0, 1)))
    machine.damaged(block, 1.0)
    assert machine.actions() == [Abandon(0, "a block arrived damaged 3 times", keep=True)]
    assert (machine.files_damaged, machine.files_failed, machine._window.held) == (1, 1, 0)
    (last,) = blocks(data(machine, piece(1), file_end(1, RAW)))
    machine.stored(last, 1.0)
    give(machine, end((0, file_digest(RAW, RAW), 2 * BLOCK), (1, file_digest(RAW), BLOCK)))
    machine.committed([1], 1.0)
    machine.store_finished(1.0)
    (done,) = said(machine.actions(), wire.Done)
    assert (done.failed, done.damaged) == (1, 1)


def test_a_damaged_block_of_a_failed_file_is_not_asked_for() -> None:
    machine = receiver(FILE)
    (block,) = blocks(data(machine, piece(0)))
    machine.failed_here(0, "disk", 1.0)
    machine.damaged(block, 1.0)
    assert said(machine.actions(), wire.Again) == []
    assert machine._window.held == 0


def test_a_file_digest_that_differs_fails_the_file() -> None:
    machine = receiver(FILE)
    data(machine, file_end(0, RAW, digest=bytes(32)))
    (block,) = blocks(data(machine, piece(0)))
    machine.stored(block, 1.0)
    assert machine.actions() == [Abandon(0, "its hash differs from the hash of its blocks")]
    assert machine.files_damaged == 1


def test_too_many_damaged_blocks_end_the_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "MAX_BAD", 0)
    machine = receiver(FILE)
    (block,) = blocks(data(machine, piece(0)))
    machine.damaged(block, 1.0)
    assert isinstance(error_of(machine.actions()), IntegrityError)


def test_a_block_that_cannot_be_part_of_the_file_ends_the_transfer() -> None:
    machine = receiver(STREAM)
    first, second = blocks(data(machine, piece(0, 0, RAW[:9]), piece(0, 1, RAW[:9])))
    machine.stored(first, 1.0)
    machine.stored(second, 1.0)
    assert isinstance(error_of(machine.actions()), ProtocolError)


@pytest.mark.parametrize(
    "totals",
    [end((0, file_digest(RAW), 1)), end((0, bytes(32), BLOCK))],
    ids=["bytes", "digest"],
)
def test_totals_that_differ_end_the_transfer(totals: wire.End) -> None:
    machine = receiver(FILE)
    (block,) = blocks(data(machine, piece(0), file_end(0, RAW)))
    give(machine, totals)
    machine.stored(block, 1.0)
    assert isinstance(error_of(machine.actions()), IntegrityError)


SKIPPED_AND_MORE = (FILE, DIRECTORY, FILE, FILE)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([piece(2)], id="a skipped file"),
        pytest.param([piece(1)], id="a directory"),
        pytest.param([piece(4)], id="what is not offered"),
        pytest.param([fault(9)], id="a fault of what is not offered"),
        pytest.param([piece(0), piece(0)], id="a block twice"),
        pytest.param([piece(3)], id="a file that is complete"),
        pytest.param([fault(3)], id="a fault of a complete file"),
        pytest.param([file_end(0, RAW), file_end(0, RAW)], id="end twice"),
        pytest.param([fault(0), fault(0)], id="fault twice"),
        pytest.param([fault(0), file_end(0, RAW), file_end(0, RAW)], id="end twice after a fault"),
        pytest.param([b"\7"], id="nonsense"),
        pytest.param([], id="nothing"),
    ],
)
def test_data_that_makes_no_sense_ends_the_transfer(parts: list[bytes]) -> None:
    machine = receiver(*SKIPPED_AND_MORE, skips=((2, 3),))
    (block,) = blocks(data(machine, piece(3), file_end(3, RAW)))
    machine.stored(block, 1.0)
    machine.actions()
    assert machine.files_skipped == 1
    assert isinstance(error_of(data(machine, *parts)), ProtocolError)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([manifest(FILE, first=1)], id="gap"),
        pytest.param([manifest(*[FILE] * 101)], id="too many entries"),
        pytest.param([manifest(Entry(Kind.FILE, "f", 2**45))], id="too large a file"),
        pytest.param([wire.ManifestEnd(1)], id="entries missing"),
        pytest.param([wire.ManifestEnd(0), manifest(FILE)], id="manifest after its end"),
        pytest.param([end()], id="end before the manifest's"),
        pytest.param([manifest(FILE), wire.ManifestEnd(1), end()], id="end before consent"),
        pytest.param([wire.Go(0)], id="a receiver's message"),
        pytest.param([wire.Bye()], id="bye before done"),
    ],
)
def test_a_sender_that_makes_no_sense_is_left(messages: list[wire.Control]) -> None:
    machine = Receiver(LIMITS, "ours", 0.0)
    assert isinstance(error_of(give(machine, hello(), *messages)), ProtocolError)


def test_an_end_before_every_file_is_sent_is_refused() -> None:
    assert isinstance(error_of(give(receiver(FILE), end())), ProtocolError)


def test_a_sender_without_credit_is_found_out() -> None:
    machine = receiver(*[LONG] * 20)
    for entry in range(6):
        assert len(blocks(data(machine, piece(entry), piece(entry, 1)))) == 2
    assert isinstance(error_of(data(machine, piece(6), piece(6, 1), piece(7))), ProtocolError)


def test_data_before_hello_is_refused() -> None:
    assert isinstance(error_of(data(Receiver(LIMITS, "ours", 0.0), piece(0))), ProtocolError)


def test_credit_and_what_is_stored_are_told_at_once_or_a_little_later() -> None:
    machine = receiver(*[LONG] * 10)
    some = [block for entry in range(3) for block in blocks(data(machine, piece(entry), piece(entry, 1)))]
    machine.stored(some[0], 1.0)
    assert said(machine.actions(), wire.Credit) == []
    machine.tick(1.3)
    (credit,) = said(machine.actions(), wire.Credit)
    assert credit == wire.Credit(machine._window.consumed + machine._window.window, BLOCK)
    machine.tick(1.6)
    assert said(machine.actions(), wire.Credit) == []
    for block in some[1:]:
        machine.stored(block, 1.6)
    assert len(said(machine.actions(), wire.Credit)) == 2


def test_results_are_told_after_a_tenth_of_a_second() -> None:
    machine = receiver(EMPTY, EMPTY)
    machine.tick(1.0)
    data(machine, file_end(0), file_end(1))
    machine.committed([0, 1], 1.05)
    assert said(machine.actions(), wire.Results) == []
    machine.tick(1.15)
    assert said(machine.actions(), wire.Results) == [wire.Results(done=[(0, 2)])]


def test_results_fit_into_messages_whatever_is_in_them() -> None:
    results = Results(0.0)
    for entry in range(0, 20_000, 2):
        results.add_done(2**32 - 1 - entry)
    for entry in range(120):
        results.add_failed(entry, "\0" * 500)
    messages = list(results.take(0.0))
    assert all(len(wire.encode(message)) <= LIMITS.max_control_message for message in messages)
    assert sum(len(message.done) for message in messages) == 10_000
    assert sum(len(message.failed) for message in messages) == results.failed == 120


@pytest.mark.parametrize("count", [0, 1, 8000, 8001, 16_000, 16_001])
def test_consent_fits_into_messages(count: int) -> None:
    skips = [(2 * index, 2 * index + 1) for index in range(count)]
    messages = list(consent(10**6, skips))
    assert [skip for message in messages for skip in message.skip] == skips
    assert messages[-1].upto == 10**6
    assert all(len(wire.encode(message)) <= 8000 * 24 + 100 for message in messages)
    upto = 0
    for message in messages:
        assert all(upto <= start < stop <= message.upto for start, stop in message.skip)
        upto = message.upto


def test_streams_do_not_count_in_the_accepted_bytes() -> None:
    machine = receiver(STREAM, FILE, LONG, skips=((2, 3),))
    assert machine.accepted_bytes == BLOCK


def finishing() -> Receiver:
    machine = receiver()
    give(machine, end(), now=10.0)
    return machine


def test_a_bye_that_does_not_come_is_a_lost_connection() -> None:
    machine = finishing()
    machine.store_finished(10.0)
    machine.store_finished(10.0)
    machine._heard = 30.0
    machine.tick(10.0 + LIMITS.silence_s)
    assert machine.state is State.PARTING
    assert machine.parted == 10.0
    machine.tick(10.1 + LIMITS.silence_s)
    assert isinstance(error_of(machine.actions()), ConnectionLost)


def test_a_store_that_forgets_an_entry_is_a_defect() -> None:
    machine = receiver(DIRECTORY)
    give(machine, end())
    machine.store_finished(1.0)
    assert isinstance(error_of(machine.actions()), InternalError)


@pytest.mark.parametrize("busy", [False, True])
def test_a_sender_that_keeps_something_back_is_not_waited_for(busy: bool) -> None:
    machine = receiver(FILE, FILE)
    if busy:
        data(machine, piece(0), file_end(0, RAW))
    give(machine, end((0, file_digest(RAW), BLOCK), (1, file_digest(RAW), BLOCK)), now=1.0)
    machine._heard = 30.0
    machine.tick(1.1 + 2 * LIMITS.silence_s)
    assert (machine.state is State.OVER) != busy


def test_after_the_end_the_store_may_still_report() -> None:
    machine = receiver(FILE, FILE, DIRECTORY)
    good, bad = blocks(data(machine, piece(0), piece(1)))
    machine.fail(Declined("no"))
    machine.actions()
    machine.stored(good, 1.0)
    machine.damaged(bad, 1.0)
    machine.committed([2], 1.0)
    machine.failed_here(0, "disk", 1.0)
    machine.accept(3, (), 1.0)
    machine.listed(0, 1.0)
    machine.store_finished(1.0)
    assert machine.actions() == []
    assert machine._window.held == 0


def test_what_is_there_is_told_before_it_is_accepted() -> None:
    machine = offered(FILE, LONG)
    machine.accept(2, (), 1.0, [there(0, 0, check=wire.Check.ONLY), there(1, 1)])
    actions = machine.actions()
    assert [isinstance(wire_of(action), wire.Go) for action in actions if isinstance(action, SendControl)][-1]
    assert [*said(actions, wire.Have), *said(actions, wire.Go)] == [
        wire.Have(0, 0, DIGEST, wire.Check.ONLY),
        wire.Have(1, 1, DIGEST),
        wire.Go(2),
    ]
    # All of the first is there if it is the same, and half of the second.
    assert (machine.bytes_resumed, machine.accepted_bytes) == (BLOCK, 3 * BLOCK)
    assert data(machine, file_end(0, RAW), file_end(1, RAW, RAW)) == [Commit(0, BLOCK)]
    machine.committed([0], 1.0)
    assert machine.bytes_resumed == 2 * BLOCK
    (block,) = blocks(data(machine, piece(1, 0)))
    machine.stored(block, 1.0)
    assert machine.actions() == [Commit(1, 2 * BLOCK)]


@pytest.mark.parametrize("check", [wire.Check.SAMPLE, wire.Check.ALL])
def test_a_file_that_starts_over_says_so_before_its_first_block(check: wire.Check) -> None:
    machine = offered(LONG)
    machine.accept(1, (), 1.0, [there(0, 0, check=check)])
    machine.actions()
    actions = data(machine, piece(0, 1, over=True))
    assert actions[0] == StartOver(0)
    assert isinstance(actions[1], StoreBlock)
    assert machine.bytes_resumed == 0
    (again,) = blocks(data(machine, piece(0, 0, over=True), file_end(0, RAW, RAW, over=True)))
    machine.stored(again, 1.0)
    machine.stored(actions[1].block, 1.0)
    assert Commit(0, 2 * BLOCK) in machine.actions()
    machine.committed([0], 1.0)
    assert machine.bytes_resumed == 0


@pytest.mark.parametrize(
    "parts",
    [
        [piece(0, 0)],
        [piece(0, 1), piece(0, 0)],
        [piece(0, 1, over=True), piece(0, 0)],
        [piece(0, 1), file_end(0, RAW, RAW, over=True)],
    ],
)
def test_a_block_that_is_there_comes_only_when_the_file_starts_over(parts: list[bytes]) -> None:
    machine = offered(LONG)
    machine.accept(1, (), 1.0, [there(0, 0)])
    assert isinstance(error_of(data(machine, *parts)), ProtocolError)


def test_a_file_that_is_only_compared_is_never_sent() -> None:
    machine = offered(FILE)
    machine.accept(1, (), 1.0, [there(0, 0, check=wire.Check.ONLY)])
    assert isinstance(error_of(data(machine, piece(0, over=True))), ProtocolError)


def test_a_sender_that_cannot_leave_anything_out_sends_everything() -> None:
    machine = Receiver(LIMITS, "ours", 0.0)
    give(machine, wire.Hello(1, wire.Role.SENDER, "old", BLOCK), manifest(FILE), wire.ManifestEnd(1))
    machine.listed(machine._window.held, 1.0)
    machine.actions()
    machine.accept(1, (), 1.0, [there(0, 0)])
    actions = machine.actions()
    assert actions[0] == StartOver(0)
    assert said(actions, wire.Have) == []
    assert machine.bytes_resumed == 0


def test_why_files_start_over_is_told_before_they_are_accepted() -> None:
    machine = offered(FILE, LONG)
    assert machine.consented is False
    machine.accept(2, (), 1.0, [there(0, 0)], [Useless(1, "damaged")])
    actions = machine.actions()
    assert said(actions, wire.Over) == [wire.Over(1, "damaged")]
    kinds = [type(wire_of(action)) for action in actions if isinstance(action, SendControl)]
    assert kinds.index(wire.Over) < kinds.index(wire.Go)
    assert machine._ledger.consented


def test_what_was_there_is_counted_by_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "AHEAD", 1)
    machine = offered(FILE, FILE, DIRECTORY)
    growth = [machine.may_tell]
    machine.accept(3, ((0, 1),), 1.0, [there(1, 0, check=wire.Check.ONLY)])
    growth.append(machine.may_tell)
    for entry in (0, 1, 2):
        machine.was_there(entry)
    assert (machine.files_there, machine.files_same) == (1, 1)
    data(machine, file_end(1, RAW))
    assert [*growth, machine.may_tell] == [True, False, True]


def test_a_file_that_fails_at_the_sender_was_not_there_after_all() -> None:
    machine = offered(FILE)
    machine.accept(1, (), 1.0, [there(0, 0)])
    before = machine.bytes_resumed
    data(machine, fault(0, FaultReason.VANISHED))
    assert (before, machine.bytes_resumed) == (BLOCK, 0)


def test_what_is_compared_counts_once_it_is_found_the_same() -> None:
    machine = offered(FILE, FILE)
    machine.accept(2, (), 1.0, [there(entry, 0, check=wire.Check.ONLY) for entry in (0, 1)])
    before = machine.bytes_resumed
    data(machine, fault(0, FaultReason.DIFFERS))
    data(machine, file_end(1, RAW))
    assert (before, machine.bytes_resumed) == (0, BLOCK)


def test_a_file_that_fails_before_it_comes_is_forgotten_with_what_is_there() -> None:
    machine = offered(FILE)
    machine.accept(1, (), 1.0, [there(0, 0)])
    machine.failed_here(0, "disk", 1.0)
    data(machine, file_end(0, RAW))
    assert (machine.files_failed, len(machine._files), machine._window.held) == (1, 0, 0)


SMALL = st.integers(0, 6)
ENTRIES = st.sampled_from([FILE, LONG, EMPTY, STREAM, DIRECTORY])
RAWS = st.sampled_from([RAW, RAW[:50], b""])
DATA = st.one_of(
    st.builds(piece, SMALL, st.integers(0, 2), st.sampled_from([RAW, RAW[:50]])),
    st.builds(lambda entry, block: piece(entry, block, over=True), SMALL, st.integers(0, 2)),
    st.builds(lambda entry: file_end(entry, RAW, over=True), SMALL),
    st.builds(lambda entry, block: piece(entry, block, length=100), SMALL, st.integers(0, 2)),
    st.builds(lambda entry, block: piece(entry, block, offset=100), SMALL, st.integers(0, 2)),
    st.builds(lambda entry, raws: file_end(entry, *raws), SMALL, st.lists(RAWS, max_size=2)),
    st.builds(fault, SMALL, st.sampled_from(FaultReason)),
    st.binary(max_size=40),
)
HOSTILE = st.one_of(
    st.lists(DATA, min_size=1, max_size=3).map(lambda parts: ("data", b"".join(parts))),
    st.builds(lambda entries, first: manifest(*entries, first=first), st.lists(ENTRIES, min_size=1, max_size=4), SMALL),
    st.builds(wire.ManifestEnd, SMALL),
    st.builds(wire.End, SMALL, st.sampled_from([0, BLOCK]), SMALL, st.just("0" * 64)),
    st.just("right end"),
    st.builds(wire.Ping, SMALL),
    st.builds(wire.Pong, SMALL),
    st.just(wire.Bye()),
    st.builds(wire.Abort, st.just("lost"), st.just("why")),
    st.binary(max_size=30),
    st.sampled_from(["accept", "accept what is there", "answer", "answer", "answer badly", "tick", "wait"]),
)


class Store:
    """Answers the actions of a receiver later, well or badly."""

    def __init__(self, machine: Receiver) -> None:
        self.machine = machine
        self.jobs: list[Any] = []
        self.endings: list[Any] = []
        self.listed = 0

    def collect(self) -> None:
        for action in self.machine.actions():
            assert not self.endings, "an action after the end"
            if isinstance(action, Ended | Finished):
                self.endings.append(action)
            elif not isinstance(action, SendControl):
                self.jobs.append(action)

    def answer(self, now: float, *, well: bool) -> None:
        match self.jobs.pop(0) if self.jobs else None:
            case Listed() as listed:
                self.listed += len(listed.entries)
                self.machine.listed(listed.cost, now)
            case StoreBlock() as store:
                (self.machine.stored if well else self.machine.damaged)(store.block, now)
            case Commit() as commit:
                if well:
                    self.machine.committed([commit.entry], now)
                else:
                    self.machine.failed_here(commit.entry, "disk", now)
            case FinishStore():
                self.machine.committed(range(self.machine.accepted), now)
                self.machine.store_finished(now)
            case _:
                if not well and self.machine.accepted:
                    self.machine.failed_here(0, "disk", now)


@settings(max_examples=400)
@given(st.lists(HOSTILE, max_size=60), st.booleans())
def test_any_sender_gives_actions_or_one_ending(steps: list[Any], kind: bool) -> None:
    machine, now = Receiver(LIMITS, "ours", 0.0), 0.0
    store = Store(machine)
    good = [manifest(FILE, LONG, EMPTY, STREAM), wire.ManifestEnd(4), "answer", "accept"]
    for step in [hello(), *(good if kind else []), *steps]:
        match step:
            case ("data", message):
                machine.data_received(message, now)
            case bytes():
                machine.control_received(step, now)
            case "right end":
                totals = machine._totals
                message = wire.encode(wire.End(totals.files, totals.bytes, machine._ledger.faults, totals.hex()))
                machine.control_received(message, now)
            case "accept":
                machine.accept(store.listed, (), now)
            case "accept what is there":
                held = [there(entry, 0) for entry in (0, 1) if machine.accepted <= entry < store.listed]
                machine.accept(store.listed, (), now, held)
            case "answer" | "answer badly":
                store.answer(now, well=step == "answer")
            case "tick" | "wait":
                now += 0.1 if step == "tick" else 6.0
                machine.tick(now)
            case _:
                machine.control_received(wire.encode(step), now)
        store.collect()
        window = machine._window
        if not store.endings:
            assert 0 <= window.held <= LIMITS.max_window
            assert window.held or not machine._in_store
    assert bool(store.endings) == (machine.state is State.OVER)
    while store.jobs:
        store.answer(now, well=True)
        store.collect()


def test_costs_are_those_of_the_messages() -> None:
    machine = receiver(FILE)
    before = machine._window.received
    message = piece(0) + file_end(0, RAW)
    data(machine, message)
    assert machine._window.received - before == cost(len(message), 2)
