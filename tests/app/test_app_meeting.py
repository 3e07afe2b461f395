"""How the two sides meet, with a connection that comes up, or does not, when the test says so."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from p2pcopy import events, meeting
from p2pcopy.config import IceServer, NetSettings, Relay
from p2pcopy.errors import CodeError, CodeForeignAnswer, CodeWrongKind, LocalFileError, NoConnection
from p2pcopy.meeting import Desk
from p2pcopy.net.peer import ServerReport
from p2pcopy.signaling import code, exchange
from p2pcopy.signaling.code import Answer, Candidate, Offer, Starter

HERE = Candidate("host", "192.0.2.1", 4242)
THERE = Candidate("host", "192.0.2.2", 5151)
PATH = events.Path(events.PathKind.LOCAL, "192.0.2.1:4242", "192.0.2.2:5151", "host", "host")
QUICK = NetSettings(stun=(), wait_s=5.0)


class Connection:
    """What a Peer is to the meeting. It is up as soon as it knows an address, or when come() is called."""

    made: list[Connection] = []  # noqa: RUF012 - emptied by the fixture
    candidates: tuple[Candidate, ...] = (HERE,)
    server_reports: tuple[ServerReport, ...] = ()

    def __init__(
        self, settings: NetSettings, secret: bytes, *, offering: bool, remote_pin: bytes | None = None
    ) -> None:
        self.secret = secret
        self.pin = bytes(code.PIN_SIZE)
        self.remote: list[Candidate] = []
        self.closed = False
        self._up = asyncio.Event()
        self.made.append(self)

    async def gather(self) -> tuple[Candidate, ...]:
        return self.candidates

    def add_remote(self, candidates: Iterable[Candidate]) -> None:
        self.remote += candidates

    def come(self) -> None:
        self._up.set()

    async def connect(self) -> str:
        await self._up.wait()
        return "channel"

    def path(self) -> events.Path:
        return PATH

    async def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    monkeypatch.setattr(meeting, "Peer", Connection)
    monkeypatch.setattr(Connection, "made", [])
    return Connection.made


class Typed:
    """Lines from the other side; each may be made from the offer that was shown. Then it waits, or ends."""

    def __init__(self, desk: Record, *lines: Callable[[str], str], ends: bool = False) -> None:
        self._desk = desk
        self._lines = list(lines)
        self._ends = ends

    async def next_line(self) -> str | None:
        if self._lines:
            return self._lines.pop(0)(await self._desk.offered())
        if self._ends:
            return None
        await asyncio.Event().wait()
        return None


@dataclass
class Record:
    """What the user is told. The connection comes up with an event of this type, told so many times."""

    told: list[events.Event] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    comes_with: type[Any] | None = None
    times: int = 1

    def tell(self, event: events.Event) -> None:
        self.told.append(event)
        if self.comes_with is not None and len(self.of(self.comes_with)) == self.times:
            Connection.made[-1].come()

    async def deliver(self, ours: events.Code) -> None:
        self.delivered.append(ours.code)

    async def offered(self) -> str:
        while not (codes := self.of(events.Code)):
            await asyncio.sleep(0)
        return str(codes[0].code)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    def desk(
        self, *lines: Callable[[str], str], ends: bool = False, patient: bool = False, waiting_s: float = 60
    ) -> Desk:
        return Desk(self.tell, self.deliver, Typed(self, *lines, ends=ends), patient, waiting_s)


def answer_to(connection: Connection) -> str:
    return code.to_text(code.encode_answer(Answer((THERE,)), connection.secret))


def an_offer(starter: Starter = Starter.SENDER, wait_s: float = 600) -> str:
    expires = code.expiry_minute(time.time() + wait_s)
    offer = Offer(secrets.token_bytes(code.SECRET_SIZE), bytes(code.PIN_SIZE), starter, expires, (THERE,))
    return code.to_text(code.encode_offer(offer))


async def offer(record: Record, desk: Desk, settings: NetSettings = QUICK) -> None:
    async with meeting.offer(Starter.SENDER, settings, desk):
        assert record.told[-1] == events.Connected(PATH)


async def answer(text: str, record: Record, desk: Desk, settings: NetSettings = QUICK) -> None:
    async with meeting.answer(exchange.code_source(text, exchange.Lines()), Starter.SENDER, settings, desk):
        assert record.told[-1] == events.Connected(PATH)


# The offering side


def test_one_code_is_enough(connections: list[Connection]) -> None:
    record = Record(comes_with=events.Code)
    asyncio.run(offer(record, record.desk()))
    [shown] = record.of(events.Code)
    parsed = code.parse_offer(shown.code, now_s=time.time(), expecting=Starter.SENDER)
    assert (parsed.candidates, parsed.secret, shown.kind) == ((HERE,), connections[0].secret, "offer")
    assert record.delivered == [shown.code]
    assert connections[0].closed


def test_answers_are_taken_as_they_come(connections: list[Connection]) -> None:
    record = Record(comes_with=events.Connecting, times=2)
    answers = [lambda _: answer_to(connections[0])] * 2
    asyncio.run(offer(record, record.desk(*answers)))
    assert connections[0].remote == [THERE, THERE]


def test_a_script_may_not_mistype(connections: list[Connection]) -> None:
    record = Record()
    with pytest.raises(CodeError):
        asyncio.run(offer(record, record.desk(lambda _: "nonsense", lambda _: answer_to(connections[0]))))
    with pytest.raises(CodeWrongKind):
        asyncio.run(offer(record, record.desk(lambda own: own)))
    foreign = code.to_text(code.encode_answer(Answer((THERE,)), bytes(16)))
    with pytest.raises(CodeForeignAnswer):
        asyncio.run(offer(record, record.desk(lambda _: foreign)))
    assert all(connection.closed for connection in connections)


def test_a_person_may(connections: list[Connection]) -> None:
    record = Record(comes_with=events.Connecting)
    asyncio.run(offer(record, record.desk(lambda own: own, lambda _: answer_to(connections[0]), patient=True)))
    [warning] = record.of(events.Warned)
    assert warning.message.endswith(".")
    assert connections[0].remote == [THERE]


def test_waiting_says_what_for() -> None:
    for ends, what in ((False, "for_answer"), (True, "for_peer")):
        record = Record(comes_with=events.Waiting, times=3)
        asyncio.run(offer(record, record.desk(ends=ends, waiting_s=0.01)))
        waits = record.of(events.Waiting)
        assert [wait.what for wait in waits] == [what] * 3
        assert QUICK.wait_s > waits[0].left_s > waits[1].left_s > waits[2].left_s > 0


def test_no_way_in_for_codes() -> None:
    record = Record(comes_with=events.Waiting)
    asyncio.run(offer(record, Desk(record.tell, record.deliver, None, False, 0.01)))
    assert record.of(events.Waiting)[0].what == "for_peer"


@pytest.mark.parametrize(
    ("relay", "hint"), [(Relay.AUTO, "--turn"), (Relay.ONLY, "fresh code"), (Relay.NEVER, "fresh code")]
)
def test_nobody_comes(relay: Relay, hint: str, connections: list[Connection]) -> None:
    record = Record()
    with pytest.raises(NoConnection, match=r"no connection came about within 0 s") as caught:
        asyncio.run(offer(record, record.desk(), NetSettings(stun=(), wait_s=0.05, relay=relay)))
    assert hint in caught.value.hint
    assert connections[0].closed


def test_a_code_that_cannot_be_delivered_ends_the_wait(connections: list[Connection]) -> None:
    record = Record()

    async def deliver(_: events.Code) -> None:
        raise LocalFileError("no room")

    desk = record.desk()
    with pytest.raises(LocalFileError):
        asyncio.run(offer(record, Desk(record.tell, deliver, desk.answers, False, 60)))
    assert connections[0].closed


def test_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "candidates", ())
    record = Record()
    with pytest.raises(NoConnection, match="no network address"):
        asyncio.run(offer(record, record.desk()))
    with pytest.raises(NoConnection, match="only a relay may be used"):
        asyncio.run(offer(record, record.desk(), NetSettings(stun=(), relay=Relay.ONLY)))
    assert not record.of(events.Code)


GOOD = ServerReport("stun:good", True, "", 0.1)
BAD = ServerReport("stun:bad", False, "no answer", 1.0)
TURN = ServerReport("turn:bad", False, "not accepted", 1.0)


@pytest.mark.parametrize(
    ("reports", "warnings"),
    [
        ((GOOD, BAD), []),
        ((BAD,), ["no STUN server answers (no answer)"]),
        ((GOOD, TURN), ["turn:bad cannot be used: not accepted"]),
    ],
)
def test_servers_that_do_not_answer_are_named_where_it_matters(
    reports: tuple[ServerReport, ...],
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    connections: list[Connection],
) -> None:
    monkeypatch.setattr(Connection, "server_reports", reports)
    settings = replace(
        QUICK,
        stun=tuple(IceServer(report.url) for report in reports if report.url.startswith("stun")),
        turn=tuple(IceServer(report.url) for report in reports if report.url.startswith("turn")),
    )
    record = Record(comes_with=events.Code)
    asyncio.run(offer(record, record.desk(), settings))
    told = [warned.message for warned in record.of(events.Warned)]
    assert [line[: len(start)] for line, start in zip(told, warnings, strict=True)] == warnings


# The answering side


def test_the_answer_is_shown_at_once_to_a_script(connections: list[Connection]) -> None:
    record = Record(comes_with=events.Code)
    asyncio.run(answer(an_offer(), record, record.desk()))
    shown = record.of(events.Code)[-1]
    assert shown.kind == "answer"
    assert code.parse_answer(shown.code, connections[0].secret, an_offer()).candidates == (HERE,)
    assert shown.expires_in_s == QUICK.wait_s, "this side waits no longer than that"
    assert connections[0].remote == [THERE]
    assert events.Connecting(1) in record.told


def test_a_person_sees_the_answer_only_when_it_is_needed(
    connections: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(comes_with=events.Waiting)
    asyncio.run(answer(an_offer(), record, record.desk(patient=True, waiting_s=0.02)))
    assert not record.delivered
    monkeypatch.setattr(meeting, "_ANSWER_AFTER_S", 0.02)
    late = Record(comes_with=events.Code)
    asyncio.run(answer(an_offer(), late, late.desk(patient=True)))
    assert len(late.delivered) == 1


def test_bad_offers() -> None:
    record = Record()
    with pytest.raises(CodeError, match="no code came"):
        asyncio.run(answer("", record, record.desk()))
    with pytest.raises(CodeWrongKind):
        asyncio.run(answer(an_offer(Starter.RECEIVER), record, record.desk()))
    assert not Connection.made


def test_nobody_is_there(connections: list[Connection]) -> None:
    record = Record()
    with pytest.raises(NoConnection):
        asyncio.run(answer(an_offer(), record, record.desk(), NetSettings(stun=(), wait_s=0.05)))
    assert connections[0].closed
