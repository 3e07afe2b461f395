"""How the two sides meet, with a connection that comes up, or does not, when the test says so."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from p2pcopy import desk as at_the_desk
from p2pcopy import events, meeting
from p2pcopy.config import IceServer, NetSettings, Relay
from p2pcopy.desk import Desk
from p2pcopy.errors import (
    CodeError,
    CodeForeignAnswer,
    CodeUsed,
    CodeWrongKind,
    ConnectionLost,
    Declined,
    LocalFileError,
    NobodyCame,
    NoConnection,
    P2PCopyError,
)
from p2pcopy.net.trial import RemoteTrial, ServerReport, Trial
from p2pcopy.signaling import code, exchange, sources
from p2pcopy.signaling.code import Answer, Candidate, Offer, Starter
from p2pcopy.signaling.lent import LentServer

HERE = Candidate("host", "192.0.2.1", 4242)
THERE = Candidate("host", "192.0.2.2", 5151)
PATH = events.Path(events.PathKind.LOCAL, "192.0.2.1:4242", "192.0.2.2:5151", "host", "host")
QUICK = NetSettings(stun=(), wait_s=5.0)
PIN = bytes(range(code.PIN_SIZE))
NUMBER = "1234 5678 9012"
DATA_PATH = events.DataPath(fast=True, packet_bytes=1472)
STOCK = events.DataPath(fast=False, reason="it is switched off")
Confirm = Callable[[str], Awaitable[None]]


class Connection:
    """What a Peer is to the meeting. It is up as soon as it knows an address, or when come() is called."""

    made: list[Connection] = []  # noqa: RUF012 - emptied by the fixture
    candidates: tuple[Candidate, ...] = (HERE,)
    server_reports: tuple[ServerReport, ...] = ()
    refused = False
    compares = False
    gathering_fails: P2PCopyError | None = None
    connecting_fails: P2PCopyError | None = None
    settling_fails: P2PCopyError | None = None

    def __init__(
        self,
        settings: NetSettings,
        secret: bytes,
        *,
        offering: bool,
        remote_pin: bytes | None = None,
        two_way: bool = False,
    ) -> None:
        self.secret = secret
        self.pin = PIN
        self.two_way = two_way
        self.expected = b""
        self.servers: list[IceServer] = []
        self.remote: list[Candidate] = []
        self.on_candidates: Callable[[tuple[Candidate, ...]], None] = lambda ours: None
        self.on_path: Callable[[events.Event], None] = lambda news: None
        self.on_data_path: Callable[[events.DataPath], None] = lambda news: None
        self.settled = self.closed = self.gathered = False
        self._up = asyncio.Event()
        self.made.append(self)

    def add_servers(self, servers: Iterable[IceServer]) -> None:
        assert not self.gathered
        self.servers += servers

    async def gather(self) -> tuple[Candidate, ...]:
        self.gathered = True
        if self.gathering_fails is not None:
            raise self.gathering_fails
        return self.candidates

    def add_remote(self, candidates: Iterable[Candidate]) -> None:
        self.remote += candidates

    def expect(self, pin: bytes) -> None:
        self.expected = pin

    def come(self) -> None:
        self._up.set()

    def move(self, *candidates: Candidate) -> None:
        """Our addresses change."""
        self.candidates = candidates
        self.on_candidates(candidates)

    async def connect(self) -> str:
        if self.connecting_fails is not None:
            raise self.connecting_fails
        await self._up.wait()
        self.on_data_path(DATA_PATH)
        return "channel"

    async def settle(self, ask: Confirm | None, on_confirming: Callable[[str], None]) -> None:
        self.on_path(events.PathChanged(PATH))
        if self.settling_fails is not None:
            raise self.settling_fails
        if self.compares:
            on_confirming(NUMBER)
        if ask is not None:
            await ask(NUMBER)
        self.settled = True

    def path(self) -> events.Path:
        return PATH

    def trial(self) -> Trial:
        remote = tuple(RemoteTrial(each, 7, 0, 0, self.refused) for each in self.remote)
        return Trial(tuple(self.server_reports), self.candidates, remote)

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
        """The first code that was shown."""
        while not (codes := self.of(events.Code)):
            await asyncio.sleep(0)
        return str(codes[0].code)

    async def until(self, kind: type[Any], times: int) -> Any:
        """The last of so many events."""
        while len(found := self.of(kind)) < times:
            await asyncio.sleep(0)
        return found[-1]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    def desk(
        self,
        *lines: Callable[[str], str],
        ends: bool = False,
        patient: bool = False,
        waiting_s: float = 60,
        confirm: Confirm | None = None,
    ) -> Desk:
        return Desk(self.tell, self.deliver, Typed(self, *lines, ends=ends), patient, waiting_s, confirm)


def answer_to(connection: Connection, pin: bytes = b"") -> str:
    return code.to_text(code.encode_answer(Answer((THERE,), pin), connection.secret))


def an_offer(
    starter: Starter = Starter.SENDER, wait_s: float = 600, relays: tuple[LentServer, ...] = (), two_way: bool = False
) -> str:
    expires = code.expiry_minute(time.time() + wait_s)
    secret = secrets.token_bytes(code.SECRET_SIZE)
    return code.to_text(code.encode_offer(Offer(secret, PIN, starter, expires, (THERE,), relays, two_way)))


def parsed(shown: events.Code) -> Offer:
    return code.parse_offer(shown.code, now_s=time.time(), expecting=Starter.SENDER)


async def offer(record: Record, desk: Desk, settings: NetSettings = QUICK) -> None:
    async with meeting.offer(Starter.SENDER, settings, desk) as (_, _, data_path):
        assert events.Connected(PATH) in record.told
        assert Connection.made[-1].settled
        assert DATA_PATH not in record.told
        data_path.release(record.tell)
        await asyncio.sleep(0)
        Connection.made[-1].on_data_path(STOCK)
        assert record.told[-2:] == [DATA_PATH, STOCK]


async def answer(text: str, record: Record, desk: Desk, settings: NetSettings = QUICK) -> None:
    source = sources.code_source(text, exchange.Lines())
    async with meeting.answer(source, Starter.SENDER, settings, desk) as (_, _, data_path):
        assert events.Connected(PATH) in record.told
        assert Connection.made[-1].settled
        assert DATA_PATH not in record.told
        data_path.release(record.tell)
        await asyncio.sleep(0)
        Connection.made[-1].on_data_path(STOCK)
        assert record.told[-2:] == [DATA_PATH, STOCK]


# The offering side


def test_one_code_is_enough(connections: list[Connection]) -> None:
    record = Record(comes_with=events.Code)
    asyncio.run(offer(record, record.desk()))
    [shown] = record.of(events.Code)
    offered = parsed(shown)
    assert (offered.candidates, offered.secret, shown.kind) == ((HERE,), connections[0].secret, "offer")
    assert (offered.two_way, offered.relays) == (False, ())
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


def test_a_camera_may_see_what_does_not_belong_here(connections: list[Connection]) -> None:
    record = Record(comes_with=events.Connecting)
    desk = record.desk(lambda own: own, lambda _: answer_to(connections[0]))
    asyncio.run(offer(record, replace(desk, forgiving=True)))
    assert len(record.of(events.Warned)) == 1
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
    with pytest.raises(
        NobodyCame, match=r"no connection came about within 0\.0 s: the other side never used"
    ) as caught:
        asyncio.run(offer(record, record.desk(), NetSettings(stun=(), wait_s=0.05, relay=relay)))
    assert hint in caught.value.hint
    assert [(row.kind, row.what) for row in caught.value.tried] == [("own", "192.0.2.1:4242")]
    assert events.Failed.of(caught.value).tried == caught.value.tried
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
    monkeypatch.setattr(Connection, "gathering_fails", NoConnection("no address", "Connect it."))
    monkeypatch.setattr(Connection, "server_reports", (BAD,))
    record = Record()
    with pytest.raises(NoConnection, match="no address") as caught:
        asyncio.run(offer(record, record.desk()))
    assert [row.what for row in caught.value.tried] == ["stun:bad", "192.0.2.1:4242"]
    assert not record.of(events.Code)
    monkeypatch.setattr(Connection, "server_reports", (REFUSES,))
    with pytest.raises(NoConnection, match="does not accept the credential"):
        asyncio.run(offer(record, record.desk(), replace(TURN_SETTINGS, relay=Relay.ONLY)))


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
    assert 0 < shown.expires_in_s <= QUICK.wait_s, "this side waits no longer than that"
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


def test_no_offer_in_time() -> None:
    record = Record()
    reader, writer = os.pipe()
    try:
        with pytest.raises(CodeError, match=r"no code came within 0\.1 s"):
            asyncio.run(answer(f"fd:{reader}", record, record.desk(), NetSettings(stun=(), wait_s=0.05)))
    finally:
        os.close(writer)


def test_nobody_is_there(connections: list[Connection]) -> None:
    record = Record()
    with pytest.raises(NobodyCame, match="the answer code never got back") as caught:
        asyncio.run(answer(an_offer(), record, record.desk(), NetSettings(stun=(), wait_s=0.05)))
    assert ("peer", "192.0.2.2:5151") in [(row.kind, row.what) for row in caught.value.tried]
    assert connections[0].closed


def test_a_code_that_somebody_else_has_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "connecting_fails", CodeUsed("used", "Ask for a fresh one."))
    record = Record()
    with pytest.raises(CodeUsed, match="used"):
        asyncio.run(answer(an_offer(), record, record.desk()))


@pytest.mark.parametrize("refused", [True, False])
def test_is_it_still_running_there(refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "refused", refused)
    monkeypatch.setattr(meeting, "_REFUSALS_S", 0.01)
    record = Record(comes_with=events.Waiting, times=5)
    asyncio.run(answer(an_offer(), record, record.desk(waiting_s=0.02)))
    assert ["still running" in warned.message for warned in record.of(events.Warned)] == [True] * refused


# Relays in the code

TURN_SETTINGS = replace(QUICK, turn=(IceServer("turn:192.0.2.7:3478", "user", secret="secret"),))
STATIC = replace(QUICK, turn=(IceServer("turn:192.0.2.7:3478", "user", "password"),))
WORKS = ServerReport("turn:192.0.2.7:3478", True, "", 0.1)
FAILS = ServerReport("turn:192.0.2.7:3478", False, "no answer", 0.1)
REFUSES = ServerReport(
    "turn:192.0.2.7:3478", False, "the password was not accepted (401)", 0.1, refused_credential=True
)


@pytest.mark.parametrize(
    ("settings", "report", "lent", "warnings"),
    [
        (TURN_SETTINGS, WORKS, 1, []),
        (TURN_SETTINGS, FAILS, 0, ["turn:192.0.2.7:3478 cannot be used: no answer"]),
        (STATIC, WORKS, 0, []),
        (replace(STATIC, share_relay=True), WORKS, 1, ["the password for turn:192.0.2.7:3478 is in the code"]),
        (replace(TURN_SETTINGS, relay=Relay.NEVER), WORKS, 0, []),
        (replace(TURN_SETTINGS, turn_insecure=True), WORKS, 1, ["certificates of TURN servers are not verified"]),
    ],
)
def test_a_relay_travels_in_the_code(
    settings: NetSettings, report: ServerReport, lent: int, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "server_reports", (report,))
    record = Record(comes_with=events.Code)
    asyncio.run(offer(record, record.desk(), settings))
    relays = parsed(record.of(events.Code)[0]).relays
    assert len(relays) == lent
    told = [warned.message for warned in record.of(events.Warned)]
    assert [line[: len(start)] for line, start in zip(told, warnings, strict=True)] == warnings


def test_a_relay_from_the_code_is_used(connections: list[Connection], monkeypatch: pytest.MonkeyPatch) -> None:
    lent = LentServer("192.0.2.7", 3478, "udp", False, "user", "password")
    monkeypatch.setattr(Connection, "server_reports", (replace(REFUSES, url=lent.url),))
    record = Record(comes_with=events.Code)
    asyncio.run(answer(an_offer(relays=(lent,)), record, record.desk()))
    assert connections[0].servers == [lent.to_ice_server()]
    [warned] = record.of(events.Warned)
    assert warned.message.startswith(f"{lent.url}, from the code, cannot be used: "), "that is nothing to end for"


@pytest.mark.parametrize("side", ["offer", "answer"])
def test_a_credential_that_is_not_accepted_ends_it_at_once(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ServerReport("turn:other", True, "", 0.1)
    settings = replace(TURN_SETTINGS, turn=(*TURN_SETTINGS.turn, IceServer("turn:other", "user", "password")))

    async def run(record: Record) -> None:
        await (
            offer(record, record.desk(), settings)
            if side == "offer"
            else answer(an_offer(), record, record.desk(), settings)
        )

    monkeypatch.setattr(Connection, "server_reports", (REFUSES, replace(other, ok=False, reason="no answer")))
    record = Record()
    with pytest.raises(
        NoConnection, match=r"turn:192.0.2.7:3478 does not accept the credential: the password"
    ) as caught:
        asyncio.run(run(record))
    assert caught.value.exit_code == 5
    assert [row.ok for row in caught.value.tried if row.kind == "turn"] == [False, False]
    assert not record.of(events.Code)
    monkeypatch.setattr(Connection, "server_reports", (REFUSES, other))
    record = Record(comes_with=events.Code)
    asyncio.run(run(record))
    assert record.of(events.Warned)[0].message.startswith("turn:192.0.2.7:3478 cannot be used: the password")


# --two-way


def test_with_two_way_only_who_made_the_answer_gets_in(connections: list[Connection]) -> None:
    pin = bytes(reversed(PIN))
    record = Record(comes_with=events.Connecting)
    asyncio.run(offer(record, record.desk(lambda _: answer_to(connections[0], pin)), replace(QUICK, two_way=True)))
    assert parsed(record.of(events.Code)[0]).two_way
    assert connections[0].two_way
    assert connections[0].expected == pin
    record = Record()
    with pytest.raises(CodeWrongKind, match="--two-way"):
        asyncio.run(offer(record, record.desk(lambda _: answer_to(connections[1])), replace(QUICK, two_way=True)))
    assert connections[1].expected == b""


@pytest.mark.parametrize("wanted", [True, False])
def test_the_answering_side_follows_the_code(wanted: bool, connections: list[Connection]) -> None:
    record = Record(comes_with=events.Code)
    asyncio.run(answer(an_offer(two_way=True), record, record.desk(patient=True), replace(QUICK, two_way=wanted)))
    [shown] = record.of(events.Code)
    assert code.parse_answer(shown.code, connections[0].secret, an_offer()).pin == PIN
    assert connections[0].two_way


def test_a_code_that_cannot_be_answered_as_wanted() -> None:
    record = Record()
    with pytest.raises(CodeError, match="made without --two-way"):
        asyncio.run(answer(an_offer(), record, record.desk(), replace(QUICK, two_way=True)))
    assert not Connection.made


# --confirm


async def agree(number: str) -> None:
    assert number == NUMBER


async def refuse(_: str) -> None:
    raise Declined("the numbers differ")


def test_numbers_are_compared_before_anything_else(connections: list[Connection]) -> None:
    record = Record(comes_with=events.Code)
    asyncio.run(offer(record, record.desk(confirm=agree)))
    told = [type(event) for event in record.told]
    assert told[told.index(events.Connected) :].count(events.Verification) == 1
    assert record.of(events.Verification) == [events.Verification(NUMBER, asked=True)]
    record = Record(comes_with=events.Code)
    with pytest.raises(Declined, match="differ"):
        asyncio.run(offer(record, record.desk(confirm=refuse)))
    assert not connections[1].settled
    assert connections[1].closed


@pytest.mark.parametrize("confirm", [None, agree])
def test_the_number_is_shown_where_only_the_other_side_compares(
    confirm: Confirm | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "compares", True)
    record = Record(comes_with=events.Code)
    asyncio.run(answer(an_offer(), record, record.desk(confirm=confirm)))
    assert record.of(events.Verification) == [events.Verification(NUMBER, asked=confirm is not None)]


def test_the_other_side_leaves_before_it_begins(connections: list[Connection], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "settling_fails", ConnectionLost("gone"))
    record = Record(comes_with=events.Code)
    with pytest.raises(ConnectionLost):
        asyncio.run(offer(record, record.desk()))
    assert connections[0].closed


def test_news_of_the_path_that_cannot_be_told_end_it(connections: list[Connection]) -> None:
    class Closed(Record):
        def tell(self, event: events.Event) -> None:
            super().tell(event)
            if isinstance(event, events.PathChanged):
                raise LocalFileError("standard output was closed")

    record = Closed(comes_with=events.Code)
    with pytest.raises(LocalFileError):
        asyncio.run(offer(record, record.desk()))
    assert connections[0].closed


# Addresses that change while a code is out

SEEN = Candidate("srflx", "198.51.100.7", 4242)
ELSEWHERE = Candidate("srflx", "198.51.100.8", 4242)


def test_a_fresh_code_when_the_public_address_changes(
    connections: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_the_desk, "RENEW_S", 0.01)
    monkeypatch.setattr(Connection, "candidates", (HERE, SEEN))
    record = Record()

    async def run() -> None:
        waiting = asyncio.create_task(offer(record, record.desk()))
        await record.until(events.Code, 1)
        for nothing_new in ((), (HERE, SEEN)):
            connections[0].move(*nothing_new)
            await asyncio.sleep(0.01)
        connections[0].move(HERE, ELSEWHERE)
        await record.until(events.Code, 2)
        connections[0].move(THERE, ELSEWHERE)
        await record.until(events.Code, 3)
        connections[0].come()
        await waiting
        connections[0].move(HERE)
        await asyncio.sleep(0)

    asyncio.run(run())
    codes = record.of(events.Code)
    offers = [parsed(each) for each in codes]
    assert [each.candidates for each in offers] == [(HERE, SEEN), (HERE, ELSEWHERE), (THERE, ELSEWHERE)]
    assert len({(each.secret, each.pin, each.expires_minute) for each in offers}) == 1
    assert record.delivered == [each.code for each in codes]
    assert codes[0].expires_in_s > codes[1].expires_in_s
    what = [warned.message.partition(" of this machine changed")[0] for warned in record.of(events.Warned)]
    assert what == ["the public address", "the addresses"]


def test_fresh_codes_come_at_intervals(connections: list[Connection], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_the_desk, "RENEW_S", 60.0)
    record = Record()

    async def run() -> None:
        waiting = asyncio.create_task(offer(record, record.desk(waiting_s=0.02)))
        await record.until(events.Code, 1)
        connections[0].move(ELSEWHERE)
        await record.until(events.Code, 2)
        connections[0].move(SEEN)
        await record.until(events.Waiting, 3)
        connections[0].come()
        await waiting

    asyncio.run(run())
    assert len(record.of(events.Code)) == 2


def test_answers_to_either_code_are_taken_and_neither_is_an_answer(connections: list[Connection]) -> None:
    record = Record(comes_with=events.Connecting)

    async def run() -> None:
        waiting = asyncio.create_task(offer(record, desk))
        await record.until(events.Code, 1)
        connections[0].move(ELSEWHERE)
        fresh.append((await record.until(events.Code, 2)).code)
        await waiting

    fresh: list[str] = []
    lines = [
        lambda first: first,
        lambda first: record.of(events.Code)[-1].code,
        lambda first: answer_to(connections[0]),
    ]
    desk = record.desk(*lines, patient=True)
    asyncio.run(run())
    rejected = [each.message for each in record.of(events.Warned) if "your own code" in each.message]
    assert len(rejected) == 2
    assert connections[0].remote == [THERE]


def test_what_changed_before_the_code_was_shown_is_in_it(connections: list[Connection]) -> None:
    record = Record(comes_with=events.Code, times=2)

    async def run() -> None:
        waiting = asyncio.create_task(answer(an_offer(), record, record.desk(patient=True)))
        while not connections or not record.of(events.Connecting):
            await asyncio.sleep(0)
        connections[0].move(ELSEWHERE)
        await record.until(events.Code, 1)
        connections[0].move(SEEN)
        await waiting

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(meeting, "_ANSWER_AFTER_S", 0.05)
        asyncio.run(run())
    answers = [code.parse_answer(each.code, connections[0].secret, an_offer()) for each in record.of(events.Code)]
    assert [each.candidates for each in answers] == [(ELSEWHERE,), (SEEN,)]
