"""The sending machine alone, against a peer that does as it likes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pcopy.config import TransferLimits
from p2pcopy.errors import ConnectionLost, IntegrityError, LocalFileError, P2PCopyError, ProtocolError
from p2pcopy.transfer import sender as sending
from p2pcopy.transfer import wire
from p2pcopy.transfer.conversation import Ended, Finished, SendControl, SendData, State
from p2pcopy.transfer.flow import cost
from p2pcopy.transfer.packing import Packed, Packer
from p2pcopy.transfer.records import (
    FileEnd,
    FileFault,
    Piece,
    Record,
    decode_records,
    encode_end,
)
from p2pcopy.transfer.sender import Accepted, Reported, Reread, Sender, Unusable
from p2pcopy.transfer.wire import Entry, FaultReason, Kind

LIMITS = TransferLimits(max_entries=1000, max_window=100)
FILE = Entry(Kind.FILE, "f", 10)
DIRECTORY = Entry(Kind.DIRECTORY, "d", 0)
BODY = b"0123456789"
DIGEST = blake3(BODY).digest()
FILE_DIGEST = blake3(DIGEST).digest()


def sender(*entries: Entry, credit: int = 2**20) -> Sender:
    """A sender that has said hello and listed these entries."""
    machine = Sender(LIMITS, "ours", 0.0)
    machine.entries(entries)
    give(machine, wire.Hello(1, wire.Role.RECEIVER, "theirs", 4096, credit))
    machine.manifest_complete(0)
    machine.actions()
    return machine


def give(machine: Sender, *messages: wire.Control, now: float = 1.0) -> list[Any]:
    """What it does about messages."""
    for message in messages:
        machine.control_received(wire.encode(message), now)
    return machine.actions()


def packed(entry: int, *, end: bool) -> list[Packed]:
    """A file of one block, or that block."""
    packer = Packer(16384)
    packer.block(entry, 0, len(BODY), BODY, DIGEST, compressed=False)
    if end:
        packer.record(encode_end(entry, 1, len(BODY), FILE_DIGEST))
    packer.close()
    return packer.take()


def send(machine: Sender, entry: int) -> None:
    machine.data(packed(entry, end=True))
    machine.file_end(entry, len(BODY), FILE_DIGEST)


def send_again(machine: Sender, entry: int) -> None:
    machine.data(packed(entry, end=False))
    machine.sent_again(entry, 0)


def sent(actions: list[Any]) -> list[Record]:
    """The records in the data messages."""
    return [
        record
        for action in actions
        if isinstance(action, SendData)
        for record in decode_records(action.message, limit=LIMITS.max_data_message)
    ]


def error_of(actions: list[Any]) -> P2PCopyError:
    ended = actions[-1]
    assert isinstance(ended, Ended)
    return ended.error


def done(machine: Sender, **changes: int) -> wire.Done:
    totals = machine._totals
    fields = {"failed": 0, "damaged": 0, "skipped": 0} | changes
    return wire.Done(totals.files, totals.bytes, machine.faults, totals.hex(), **fields)


def test_a_transfer_from_hello_to_bye() -> None:
    machine = sender(DIRECTORY, FILE)
    assert give(machine, wire.Go(2)) == [Accepted(2, ())]
    assert machine.accepted == 2
    send(machine, 1)
    assert [type(record) for record in sent(machine.actions())] == [Piece, FileEnd]
    machine.all_read()
    (action,) = machine.actions()
    assert wire.decode(action.message, limit=2**18) == wire.End(1, 10, 0, machine._totals.hex())  # type: ignore[union-attr]
    give(machine, wire.Credit(2**20, 10), wire.Results(done=[(0, 2)]))
    assert (machine.files_done, machine.bytes_stored) == (1, 10)
    (bye,) = give(machine, done(machine))
    assert bye == SendControl(wire.encode(wire.Bye()))
    assert give(machine, wire.Bye()) == [Finished()]


def test_an_empty_manifest_waits_for_a_yes_too() -> None:
    machine = sender()
    with pytest.raises(ValueError, match="entries are left"):
        machine.all_read()
    give(machine, wire.Go(0))
    assert machine.all_accepted
    machine.all_read()
    machine.actions()
    assert give(machine, done(machine), wire.Bye())[-1] == Finished()


def test_nothing_ends_before_every_file_is_accounted_for() -> None:
    machine = sender(FILE)
    give(machine, wire.Go(1))
    with pytest.raises(ValueError, match="entries are left"):
        machine.all_read()


def test_the_manifest_waits_for_hello_and_for_credit() -> None:
    machine = Sender(LIMITS, "ours", 0.0)
    machine.entries([FILE] * 500)
    assert [type(action) for action in machine.actions()] == [SendControl]
    rooms = [machine.manifest_room]
    give(machine, wire.Hello(1, wire.Role.RECEIVER, "theirs", 4096, 100))
    rooms.append(machine.manifest_room)
    assert rooms == [False, True]
    assert machine.room == 0
    assert machine.manifest_entries == 500
    assert len(give(machine, wire.Credit(2**20))) == 1


def test_nothing_is_sent_without_credit() -> None:
    machine = sender(FILE, FILE, credit=1000)
    give(machine, wire.Go(2))
    send(machine, 0)
    send(machine, 1)
    assert machine.room == 0
    assert sent(machine.actions()) == []
    spent = machine._outbox.credit.spent
    first = cost(10 + 26 + 32 + 50, 2)
    assert len(sent(give(machine, wire.Credit(spent + first)))) == 2
    assert sent(give(machine, wire.Credit(spent + 2 * first - 1))) == []
    assert len(sent(give(machine, wire.Credit(spent + 2 * first)))) == 2


def test_a_receiver_that_takes_too_little_is_left() -> None:
    for limits, credit in ((LIMITS, 99), (TransferLimits(), wire.LEAST_CREDIT - 1)):
        machine = Sender(limits, "ours", 0.0)
        assert isinstance(error_of(give(machine, wire.Hello(1, wire.Role.RECEIVER, "x", 4096, credit))), ProtocolError)


def test_skipped_entries_are_counted() -> None:
    machine = sender(FILE, FILE, DIRECTORY, FILE)
    assert give(machine, wire.Go(4, [(1, 3)])) == [Accepted(4, ((1, 3),))]
    assert machine.files_skipped == 1


@pytest.mark.parametrize(
    "go",
    [
        wire.Go(5),
        wire.Go(2),
        wire.Go(4, [(2, 4)]),
        wire.Go(4, [(3, 3)]),
        wire.Go(4, [(3, 5)]),
        wire.Go(4, [(3, 4), (3, 4)]),
    ],
)
def test_consent_to_what_cannot_be_is_refused(go: wire.Go) -> None:
    machine = sender(FILE, FILE, FILE, FILE)
    give(machine, wire.Go(3))
    assert isinstance(error_of(give(machine, go)), ProtocolError)


def test_damaged_blocks_are_read_again_a_few_at_a_time() -> None:
    machine = sender(*[FILE] * 9)
    give(machine, wire.Go(9))
    for entry in range(9):
        send(machine, entry)
    machine.actions()
    assert give(machine, *[wire.Again(entry, 0) for entry in range(9)]) == [Reread(entry, 0) for entry in range(8)]
    send_again(machine, 3)
    actions = machine.actions()
    assert actions[-1] == Reread(8, 0)
    assert [record.entry for record in sent(actions)] == [3]


def test_blocks_to_be_read_again_wait_for_credit() -> None:
    machine = sender(FILE, credit=1100)
    give(machine, wire.Go(1))
    send(machine, 0)
    spent = machine._outbox.credit.spent
    give(machine, wire.Credit(1100, 0))
    machine._outbox.credit.spend(machine._outbox.credit.available)
    assert give(machine, wire.Again(0, 0)) == []
    assert give(machine, wire.Credit(spent + 5000)) == [Reread(0, 0)]


def test_a_file_that_cannot_be_read_again_is_a_fault_after_its_end() -> None:
    machine = sender(FILE)
    give(machine, wire.Go(1))
    send(machine, 0)
    machine.all_read()
    give(machine, wire.Again(0, 0))
    assert machine.fault(0, FaultReason.CHANGED)
    machine.flush()
    assert sent(machine.actions()) == [FileFault(0, FaultReason.CHANGED)]
    assert (machine.faults, machine.files_failed) == (0, 1)
    assert give(machine, wire.Again(0, 0)) == []
    assert give(machine, done(machine), wire.Bye())[-1] == Finished()


def test_a_fault_is_news_once() -> None:
    machine = sender(FILE)
    give(machine, wire.Go(1))
    assert machine.fault(0, FaultReason.VANISHED)
    assert not machine.fault(0, FaultReason.DROPPED)
    machine.flush()
    assert sent(machine.actions()) == [FileFault(0, FaultReason.VANISHED)]
    assert (machine.faults, machine.files_failed) == (1, 1)


def test_a_file_whose_end_was_read_before_its_fault_was_known_has_both() -> None:
    machine = sender(FILE)
    give(machine, wire.Go(1))
    assert machine.fault(0, FaultReason.CHANGED)
    machine.flush()
    send(machine, 0)
    assert [type(record) for record in sent(machine.actions())] == [FileFault, Piece, FileEnd]
    assert (machine.faults, machine.files_failed) == (0, 1)
    machine.all_read()


def test_a_file_that_failed_there_is_not_sent_but_accounted_for() -> None:
    machine = sender(FILE, FILE)
    give(machine, wire.Go(2))
    assert give(machine, wire.Results(failed=[(0, "full"), (1, "full")])) == [Reported((), ((0, "full"), (1, "full")))]
    assert not machine.fault(0, FaultReason.DROPPED)
    machine.file_end(1, 10, FILE_DIGEST)
    assert not machine.fault(1, FaultReason.CHANGED)
    machine.flush()
    assert [type(record) for record in sent(machine.actions())] == [FileFault]
    assert (machine.faults, machine.files_failed) == (1, 2)
    machine.all_read()
    machine.actions()
    assert give(machine, done(machine, failed=2, damaged=1), wire.Bye())[-1] == Finished()
    assert machine.files_damaged == 1


def test_a_failure_on_both_sides_is_told_once() -> None:
    machine = sender(FILE)
    give(machine, wire.Go(1))
    assert machine.fault(0, FaultReason.VANISHED)
    assert give(machine, wire.Results(failed=[(0, "full")]))[-1] == Reported((), ())
    assert machine.files_failed == 1


def test_what_failed_there_is_not_read_again() -> None:
    machine = sender(*[FILE] * 9)
    give(machine, wire.Go(9))
    for entry in range(9):
        send(machine, entry)
    machine.actions()
    give(machine, *[wire.Again(entry, 0) for entry in range(9)])
    give(machine, wire.Results(failed=[(8, "damaged")]))
    send_again(machine, 0)
    assert not any(isinstance(action, Reread) for action in machine.actions())


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(wire.Again(2, 0), id="again of a skipped file"),
        pytest.param(wire.Again(4, 0), id="again of what is not accepted"),
        pytest.param(wire.Again(0, 0), id="again of a directory"),
        pytest.param(wire.Again(3, 0), id="again of a file that is done"),
        pytest.param(wire.Results(done=[(1, 2)]), id="a file that is not sent is done"),
        pytest.param(wire.Results(done=[(2, 3)]), id="a skipped file is done"),
        pytest.param(wire.Results(done=[(3, 4)]), id="done twice"),
        pytest.param(wire.Results(done=[(4, 5)]), id="what is not accepted is done"),
        pytest.param(wire.Results(failed=[(4, "")]), id="what is not accepted failed"),
        pytest.param(wire.Results(failed=[(3, "")]), id="failed after done"),
        pytest.param(wire.Results(failed=[(2, "")]), id="a skipped file failed"),
        pytest.param(wire.Results(failed=[(1, ""), (1, "")]), id="failed twice"),
        pytest.param(wire.Results(done=[(0, 0)]), id="an empty range"),
        pytest.param(wire.Credit(0), id="credit taken back"),
        pytest.param(wire.Credit(2**30, 9), id="less stored than before"),
        pytest.param(wire.Done(0, 0, 0, "0" * 64, 0, 0, 0), id="done before the end"),
        pytest.param(wire.Bye(), id="bye before done"),
        pytest.param(wire.ManifestEnd(0), id="a sender's message"),
    ],
)
def test_a_receiver_that_makes_no_sense_is_left(message: wire.Control) -> None:
    machine = sender(DIRECTORY, FILE, FILE, FILE, FILE)
    give(machine, wire.Go(4, [(2, 3)]))
    send(machine, 3)
    give(machine, wire.Credit(2**20, 10), wire.Results(done=[(3, 4)]))
    assert isinstance(error_of(give(machine, message)), ProtocolError)


def test_blocks_asked_for_are_bounded() -> None:
    machine = sender(FILE)
    give(machine, wire.Go(1))
    send(machine, 0)
    machine.actions()
    under_way = len(give(machine, *[wire.Again(0, number) for number in range(sending.MAX_ASKED)]))
    give(machine, *[wire.Again(0, sending.MAX_ASKED + number) for number in range(under_way)])
    assert machine.state is not State.OVER
    assert isinstance(error_of(give(machine, wire.Again(0, 2 * sending.MAX_ASKED))), ProtocolError)


def test_a_block_is_not_asked_for_more_often_than_it_can_be_damaged() -> None:
    machine = sender(FILE)
    give(machine, wire.Go(1))
    send(machine, 0)
    for _ in range(LIMITS.max_bad_blocks - 1):
        assert Reread(0, 0) in give(machine, wire.Again(0, 0))
        send_again(machine, 0)
    assert isinstance(error_of(give(machine, wire.Again(0, 0))), ProtocolError)


def test_no_more_blocks_are_asked_for_in_all_than_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MAX_DAMAGED", 2)
    machine = sender(FILE)
    give(machine, wire.Go(1))
    send(machine, 0)
    give(machine, wire.Again(0, 0), wire.Again(0, 1))
    assert isinstance(error_of(give(machine, wire.Again(0, 2))), ProtocolError)


@pytest.mark.parametrize("changes", [{"failed": 1}, {"skipped": 1}, {"files": 2}, {"bytes": 1}, {"digest": "0" * 64}])
def test_totals_that_differ_are_an_integrity_failure(changes: dict[str, Any]) -> None:
    machine = sender(FILE)
    give(machine, wire.Go(1))
    send(machine, 0)
    machine.all_read()
    give(machine, wire.Results(done=[(0, 1)]))
    fields = msgspec.structs.asdict(done(machine)) | changes
    assert isinstance(error_of(give(machine, wire.Done(**fields))), IntegrityError)


def test_a_result_that_is_missing_is_an_integrity_failure() -> None:
    machine = sender(DIRECTORY)
    give(machine, wire.Go(1))
    machine.all_read()
    assert isinstance(error_of(give(machine, done(machine))), IntegrityError)


def parting() -> Sender:
    machine = sender()
    give(machine, wire.Go(0))
    machine.all_read()
    give(machine, done(machine), now=10.0)
    assert machine.state is State.PARTING
    return machine


def test_the_last_bye_is_not_waited_for_long() -> None:
    machine = parting()
    machine.tick(10.0 + LIMITS.goodbye_s)
    assert not any(isinstance(action, Finished) for action in machine.actions())
    machine.tick(10.1 + LIMITS.goodbye_s)
    assert machine.actions()[-1] == Finished()
    assert machine.state is State.OVER


def test_an_abort_after_the_totals_agree_changes_nothing() -> None:
    assert give(parting(), wire.Abort("interrupted", "ctrl-c")) == [Finished()]


def test_data_for_a_sender_is_an_error() -> None:
    machine = sender()
    machine.data_received(b"x", 1.0)
    assert isinstance(error_of(machine.actions()), ProtocolError)


def test_what_the_receiver_has_goes_with_what_it_accepts() -> None:
    machine = sender(FILE, DIRECTORY, FILE, FILE)
    haves = [wire.Have(0, 0, DIGEST), wire.Have(2, 0, DIGEST), wire.Have(3, 0, DIGEST, wire.Check.ALL)]
    (first,) = give(machine, *haves, wire.Go(3, [(0, 1)]))
    assert [file.entry for file in first.held] == [2]
    (second,) = give(machine, wire.Go(4))
    assert [(file.entry, dict(file.digests), file.check) for file in second.held] == [(3, {0: DIGEST}, wire.Check.ALL)]


@pytest.mark.parametrize("entry", [0, 1, 3])
def test_only_of_files_that_are_offered_there_can_be_something(entry: int) -> None:
    machine = sender(FILE, DIRECTORY, FILE)
    give(machine, wire.Go(1))
    assert isinstance(error_of(give(machine, wire.Have(entry, 0, DIGEST))), ProtocolError)


@pytest.mark.parametrize(
    "have", [wire.Have(0, 1, DIGEST), wire.Have(0, 0, 2 * DIGEST), wire.Have(1, 0, DIGEST), wire.Have(2, 0, DIGEST)]
)
def test_blocks_that_a_file_does_not_have_are_refused(have: wire.Have) -> None:
    machine = sender(FILE, Entry(Kind.FILE, "empty", 0), Entry(Kind.FILE, "stream", None))
    assert isinstance(error_of(give(machine, have)), ProtocolError)


@pytest.mark.parametrize("stream", [True, False])
def test_both_sides_know_whether_the_other_one_is_a_stream(stream: bool) -> None:
    machine = Sender(LIMITS, "ours", 0.0, stream=stream)
    (greeting,) = machine.actions()
    assert isinstance(greeting, SendControl)
    hello = msgspec.json.decode(greeting.message, type=wire.Hello)
    assert ("stream" in hello.features) == stream
    features = ["stream"] if stream else []
    give(machine, wire.Hello(1, wire.Role.RECEIVER, "theirs", 4096, wire.LEAST_CREDIT, features))
    assert machine.peer_streams == stream


def test_why_files_start_over_is_told_once_for_each_in_order() -> None:
    machine = sender(FILE, DIRECTORY, FILE)
    assert give(machine, wire.Over(0, "damaged"), wire.Over(2, "changed")) == [
        Unusable(0, "damaged"),
        Unusable(2, "changed"),
    ]
    assert isinstance(error_of(give(machine, wire.Over(2, "changed"))), ProtocolError)


@pytest.mark.parametrize("entry", [0, 1, 3])
def test_only_files_that_are_offered_start_over(entry: int) -> None:
    machine = sender(FILE, DIRECTORY, FILE)
    give(machine, wire.Go(1))
    assert isinstance(error_of(give(machine, wire.Over(entry, "changed"))), ProtocolError)


def test_bytes_that_the_receiver_has_count_unless_the_file_starts_over_or_fails() -> None:
    machine = sender(FILE, FILE, FILE, FILE)
    give(machine, *(wire.Have(entry, 0, DIGEST) for entry in range(4)), wire.Go(4, [(0, 1)]))
    assert (machine.bytes_resumed, machine.bytes_skipped) == (3 * 10, 10)
    machine.started_over(1)
    machine.file_end(1, 10, DIGEST)
    machine.fault(2, wire.FaultReason.DIFFERS)
    machine.file_end(3, 10, DIGEST)
    machine.fault(3, wire.FaultReason.VANISHED)
    assert (machine.bytes_resumed, machine._told.cost) == (10, 0)


def test_more_than_fits_is_found_before_it_is_sent() -> None:
    machine = sender()
    with pytest.raises(LocalFileError):
        machine.entries([FILE] * 1001)
    with pytest.raises(LocalFileError):
        machine.entries([Entry(Kind.FILE, "f", 2**53)])
    machine.entries([Entry(Kind.FILE, "f", None)])


def test_after_the_end_nothing_is_taken_any_more() -> None:
    machine = sender(FILE)
    machine.fail(ProtocolError("over"))
    machine.actions()
    machine.entries([FILE])
    machine.manifest_complete(0)
    send(machine, 0)
    assert not machine.fault(0, FaultReason.CHANGED)
    assert machine.room == 0
    assert machine.actions() == []


def minutes(machine: Sender, how_many: int, *said: wire.Control) -> list[Any]:
    """What happens in them while the peer pings, and says this every 15 s. backlog and now go on from where they are."""
    actions = []
    for second in range(how_many * 60):
        now = machine._heard + 1
        actions += give(machine, wire.Ping(1), *(said if second % 15 == 0 else ()), now=now)
        machine.tick(now)
        actions += machine.actions()
    return [action.error for action in actions if isinstance(action, Ended)]


@pytest.mark.parametrize("turn", ["credit", "network", "end"])
def test_a_receiver_whose_turn_it_is_has_to_say_that_it_is_still_at_it(turn: str) -> None:
    machine = sender(FILE, credit=2**20 if turn == "network" else 5000)
    give(machine, wire.Go(1))
    send(machine, 0)
    if turn == "credit":
        machine._outbox.credit.spend(machine.room)
    elif turn == "network":
        machine.backlog = 1
    else:
        machine.all_read()
    assert minutes(machine, 20, wire.Credit(machine._outbox.credit.limit)) == []
    (error,) = minutes(machine, 2)
    assert isinstance(error, ProtocolError)


def test_a_receiver_that_takes_nothing_for_long_is_given_up() -> None:
    machine = sender(FILE)
    give(machine, wire.Go(1))
    send(machine, 0)
    machine.all_read()
    (error,) = minutes(machine, 31, wire.Credit(machine._outbox.credit.limit))
    assert isinstance(error, ConnectionLost)


@pytest.mark.parametrize("turn", ["credit", "end"])
@pytest.mark.parametrize("said", ["results", "credit"])
def test_a_receiver_that_only_talks_is_given_up(turn: str, said: str) -> None:
    machine = sender(FILE, FILE, credit=5000)
    give(machine, wire.Go(2))
    if turn == "credit":
        machine._outbox.credit.spend(machine.room)
    send(machine, 0)
    send(machine, 1)
    if turn == "end":
        machine.all_read()
    ends: list[Any] = []
    for _ in range(31):
        talk = wire.Results() if said == "results" else wire.Credit(machine._outbox.credit.limit + 1)
        ends += minutes(machine, 1, talk)
    (error,) = ends
    assert isinstance(error, ConnectionLost)


def test_a_sender_that_has_nothing_to_send_yet_waits_for_nobody() -> None:
    machine = sender(FILE)
    give(machine, wire.Go(1))
    assert minutes(machine, 40) == []


SMALL = st.integers(0, 7)
RANGES = st.lists(st.tuples(SMALL, SMALL), max_size=3)
HOSTILE = st.one_of(
    st.builds(wire.Go, SMALL, RANGES),
    st.builds(wire.Have, SMALL, SMALL, st.sampled_from([DIGEST, 2 * DIGEST, bytes(40)]), st.sampled_from(wire.Check)),
    st.builds(wire.Credit, st.sampled_from([0, 5000, 2**20, 2**53 - 1]), st.integers(0, 40)),
    st.builds(wire.Again, SMALL, SMALL),
    st.builds(wire.Results, RANGES, st.lists(st.tuples(SMALL, st.just("no")), max_size=3)),
    st.builds(wire.Done, SMALL, SMALL, SMALL, st.just("0" * 64), SMALL, SMALL, SMALL),
    st.just("right done"),
    st.just(wire.Bye()),
    st.builds(wire.Ping, SMALL),
    st.builds(wire.Pong, SMALL),
    st.builds(wire.Abort, st.sampled_from(["lost", "?"]), st.just("why")),
    st.binary(max_size=30),
    st.sampled_from(["read", "fault", "tick", "wait", "list", "complete", "end", "reread", "no reread"]),
)


@settings(max_examples=400)
@given(st.lists(HOSTILE, max_size=60), st.booleans())
def test_any_receiver_gives_actions_or_one_ending(steps: list[Any], kind: bool) -> None:
    machine = Sender(LIMITS, "ours", 0.0)
    now, position, upto, reread = 0.0, 0, 0, None
    skipped: set[int] = set()
    endings: list[Any] = []
    give_first: list[Any] = [wire.Hello(1, wire.Role.RECEIVER, "x", 4096, 5000), "list", "complete", wire.Go(4), "read"]
    for step in (give_first if kind else give_first[:1]) + steps:
        match step:
            case bytes():
                machine.control_received(step, now)
            case "right done":
                machine.control_received(wire.encode(done(machine, failed=machine._failed_there)), now)
            case "list" if machine.manifest_room and machine.state is State.OPEN:
                machine.entries([FILE, FILE, DIRECTORY, FILE][: 4 if machine.manifest_entries == 0 else 1])
            case "complete" if machine.state is State.OPEN:
                machine.manifest_complete(0)
            case "end" if machine.all_accepted and position == machine.manifest_entries:
                machine.all_read()
            case "read" | "fault":
                while position < upto and (position in skipped or position % 4 == 2):
                    position += 1
                if position < upto and machine.room > 0:
                    if step == "read":
                        send(machine, position)
                    else:
                        machine.fault(position, FaultReason.CHANGED)
                    position += 1
            case "reread" if reread is not None:
                send_again(machine, reread.entry)
            case "no reread" if reread is not None:
                machine.fault(reread.entry, FaultReason.CHANGED)
            case "tick" | "wait":
                now += 0.1 if step == "tick" else 6.0
                machine.tick(now)
            case str():
                pass
            case _:
                machine.control_received(wire.encode(step), now)
        for action in machine.actions():
            assert not endings, "an action after the end"
            match action:
                case Accepted():
                    upto = action.upto
                    for start, stop in action.skips:
                        skipped.update(range(start, stop))
                case Reread():
                    reread = action
                case Ended() | Finished():
                    endings.append(action)
        assert machine._outbox.credit.spent <= machine._outbox.credit.limit
        assert len(machine._asked) <= sending.MAX_ASKED
    assert bool(endings) == (machine.state is State.OVER)
