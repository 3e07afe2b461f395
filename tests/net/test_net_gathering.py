"""Gathering and keeping addresses: from STUN servers that live in the test, and from real coturns on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest
from aioice import stun
from lab import Coturn, Lab, Place, Topology
from lab.ports import free_port
from meeting import run
from turnserver import (
    HERE,
    HERE_6,
    PASSWORD,
    SECRET,
    USERNAME,
    Answer,
    TurnServer,
    deaf_port,
    reply,
    talking_server,
)

from p2pcopy.config import Family, IceServer, NetSettings, NetTimes, Relay
from p2pcopy.errors import NoConnection, UsageError
from p2pcopy.net import gathering, hosts
from p2pcopy.net.allocation import Resolver
from p2pcopy.net.endpoint import Address, Endpoint, HostEndpoint, is_ipv6
from p2pcopy.net.gathering import Gathering
from p2pcopy.net.interfaces import LocalAddress, local_addresses
from p2pcopy.net.trial import ServerReport
from p2pcopy.signaling.candidates import Candidate

OUTSIDE = ("198.51.100.7", 4242)
SRFLX = Candidate("srflx", *OUTSIDE)
# What must not wait does not, however busy the machine is: what it must not wait for takes at least three times as long.
PROMPT_S = 10.0
SLOW = NetTimes(gather_limit_s=3 * PROMPT_S, gather_grace_s=0.5)
# Servers that answer are waited for.
PATIENT = NetTimes(gather_limit_s=3 * PROMPT_S, gather_grace_s=3 * PROMPT_S)
OFTEN = replace(PATIENT, keepalive_s=0.1)
# Hurrying alone notices changes.
HURRIED = replace(PATIENT, keepalive_s=6 * PROMPT_S)

coturn = pytest.mark.coturn


@pytest.fixture
def all_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until each server has answered, even if others have been much faster."""
    monkeypatch.setattr(gathering, "MIN_PATIENCE_S", PATIENT.gather_limit_s)


@dataclass
class Present:
    """What the ICE connection is told about endpoints."""

    endpoints: list[Endpoint] = field(default_factory=list)
    told: list[tuple[str, Endpoint]] = field(default_factory=list)

    def add_local(self, endpoint: Endpoint) -> None:
        assert endpoint not in self.endpoints
        self.endpoints.append(endpoint)
        self.told.append(("add", endpoint))

    def remove_local(self, endpoint: Endpoint) -> None:
        self.endpoints.remove(endpoint)
        self.told.append(("remove", endpoint))

    def stun_received(self, message: stun.Message, address: Address, endpoint: Endpoint) -> None:
        assert message.message_class is not stun.Class.REQUEST

    def data_received(self, data: bytes, address: Address, endpoint: Endpoint) -> None:
        raise AssertionError

    def batch_received(self, data: bytearray, size: int, segment: int, address: Address, endpoint: Endpoint) -> None:
        raise AssertionError

    def batch_ended(self, endpoint: Endpoint) -> None:
        raise AssertionError

    def writable(self, endpoint: Endpoint) -> None:
        """Nothing is sent but questions."""

    def refused(self, address: Address, endpoint: Endpoint) -> None:
        raise AssertionError

    @property
    def relays(self) -> list[Endpoint]:
        return [endpoint for endpoint in self.endpoints if endpoint.relay]


@dataclass
class Story:
    gathering: Gathering
    present: Present
    candidates: tuple[Candidate, ...]
    seconds: float
    changes: list[tuple[Candidate, ...]]

    @property
    def kinds(self) -> list[str]:
        return [each.type for each in self.candidates]

    @property
    def reports(self) -> dict[str, ServerReport]:
        return {report.url: report for report in self.gathering.reports}

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.gathering.watch())
        try:
            yield
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    async def until(
        self, condition: Callable[[], object], limit_s: float = 3 * PROMPT_S, *, hurried: bool = False
    ) -> None:
        """Wait, calling hurry() every second if so wished."""
        started = time.monotonic()
        hurried_at = 0.0
        while not condition():
            now = time.monotonic()
            assert now - started < limit_s
            if hurried and now - hurried_at >= 1:
                hurried_at = now
                self.gathering.hurry()
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def gathered(
    *stun_urls: str,
    turn: tuple[IceServer, ...] = (),
    times: NetTimes = PATIENT,
    relay: Relay = Relay.AUTO,
    lent: tuple[IceServer, ...] = (),
    **settings: object,
) -> AsyncIterator[Story]:
    present = Present()
    net = NetSettings(stun=tuple(map(IceServer, stun_urls)), turn=turn, relay=relay, **settings)  # type: ignore[arg-type]
    subject = Gathering(present, net, times)
    changes: list[tuple[Candidate, ...]] = []
    subject.on_change = lambda: changes.append(subject.candidates)
    subject.add_servers(lent)
    started = time.monotonic()
    try:
        candidates = await subject.run()
        yield Story(subject, present, candidates, time.monotonic() - started, changes)
    finally:
        started = time.monotonic()
        await subject.close()
        assert time.monotonic() - started < times.close_s + PROMPT_S / 2


def url(port: int) -> str:
    return f"stun:{HERE}:{port}"


def outside(request: stun.Message, who: Address) -> bytes:
    return reply(request, XOR_MAPPED_ADDRESS=OUTSIDE)


def same(request: stun.Message, who: Address) -> bytes:
    return reply(request, XOR_MAPPED_ADDRESS=who)


def says_nothing(request: stun.Message, who: Address) -> bytes:
    return reply(request)


def refuses(request: stun.Message, who: Address) -> bytes:
    return reply(request, ERROR_CODE=(420, "\x1b[31mred\x1b[0m"))


def impossible(request: stun.Message, who: Address) -> bytes:
    return reply(request, XOR_MAPPED_ADDRESS=("0.0.0.0", 9))


def of(server: TurnServer, query: str = "", scheme: str = "turn", password: str = PASSWORD) -> IceServer:
    return IceServer(server.url(query, scheme), USERNAME, password)


# STUN


def test_what_a_stun_server_sees_becomes_a_candidate() -> None:
    async def story() -> None:
        async with talking_server(outside) as port, gathered(url(port), times=SLOW) as told:
            assert SRFLX in told.candidates
            assert told.kinds == sorted(told.kinds)
            (report,) = told.gathering.reports
            assert (report.url, report.ok, report.reason, report.over) == (url(port), True, "", "")
            assert report.seconds <= told.seconds < PROMPT_S
            assert {endpoint.mapped for endpoint in told.present.endpoints} >= {OUTSIDE}

    run(story())


@pytest.mark.parametrize("answer", [same, impossible])
def test_without_a_nat_there_is_nothing_to_add(answer: Answer) -> None:
    async def story() -> None:
        async with talking_server(answer) as port, gathered(url(port)) as told:
            assert set(told.kinds) == {"host"}
            assert told.gathering.reports[0].ok

    run(story())


def test_a_deaf_server_is_reported_and_not_waited_for() -> None:
    async def story() -> None:
        with deaf_port() as deaf:
            async with talking_server(outside) as port, gathered(url(deaf), url(port), times=SLOW) as told:
                assert told.seconds < PROMPT_S
                assert SRFLX in told.candidates
                assert told.reports[url(port)].ok
                assert not told.reports[url(deaf)].ok
                assert told.reports[url(deaf)].reason.startswith("no answer within")
                await told.until(lambda: told.reports[url(deaf)].reason == "no answer")

    run(story())


def test_only_deaf_servers_cost_the_whole_time() -> None:
    async def story() -> None:
        with deaf_port() as deaf:
            async with gathered(url(deaf), times=NetTimes(gather_limit_s=0.4)) as told:
                assert told.seconds >= 0.4
                assert told.reports[url(deaf)].reason.startswith("no answer within")
                assert set(told.kinds) == {"host"}

    run(story())


@pytest.mark.parametrize(
    ("answer", "reason"), [(says_nothing, "its answer makes no sense"), (refuses, "the server answered with error 420")]
)
def test_a_server_that_does_not_help_is_reported_in_our_words(answer: Answer, reason: str) -> None:
    async def story() -> None:
        async with talking_server(answer) as port, gathered(url(port), times=SLOW) as told:
            assert told.seconds < PROMPT_S
            assert [(report.ok, report.reason) for report in told.gathering.reports] == [(False, reason)]

    run(story())


def test_an_unknown_name_is_reported() -> None:
    async def story() -> None:
        async with gathered("stun:does-not-exist.invalid", times=SLOW) as told:
            assert told.candidates
            assert not told.gathering.reports[0].ok
            assert told.gathering.reports[0].reason

    run(story())


def test_a_slow_server_is_heard_all_the_same() -> None:
    async def story() -> None:
        heard: list[stun.Message] = []

        def third_time(request: stun.Message, who: Address) -> bytes | None:
            return outside(request, who) if len(heard) >= 3 else None

        async with (
            talking_server(third_time, heard) as port,
            gathered(url(port), times=NetTimes(gather_limit_s=0.2), family=Family.IPV4) as told,
        ):
            assert SRFLX not in told.candidates
            await told.until(lambda: told.changes)
            assert SRFLX in told.changes[0]
            assert told.reports[url(port)].ok

    run(story())


def test_a_new_public_address_is_noticed() -> None:
    async def story() -> None:
        now_at = [OUTSIDE]

        def answer(request: stun.Message, who: Address) -> bytes:
            return reply(request, XOR_MAPPED_ADDRESS=now_at[0])

        async with talking_server(answer) as port, gathered(url(port), times=OFTEN) as told, told.watching():
            await asyncio.sleep(0.5)
            assert told.changes == []
            now_at[0] = ("198.51.100.8", 4343)
            await told.until(lambda: told.changes)
            assert [Candidate("srflx", *now_at[0]) in each for each in told.changes] == [True]
            assert SRFLX not in told.changes[0]

    run(story())


def test_another_server_is_asked_when_the_one_that_answered_dies() -> None:
    async def story() -> None:
        dead = [False]

        def first(request: stun.Message, who: Address) -> bytes | None:
            return None if dead[0] else outside(request, who)

        def second(request: stun.Message, who: Address) -> bytes | None:
            return reply(request, XOR_MAPPED_ADDRESS=("198.51.100.8", 4343)) if dead[0] else None

        async with (
            talking_server(first) as one,
            talking_server(second) as two,
            gathered(url(one), url(two), times=HURRIED) as told,
            told.watching(),
        ):
            dead[0] = True
            await told.until(lambda: told.changes, hurried=True)
            assert Candidate("srflx", "198.51.100.8", 4343) in told.changes[0]

    run(story())


def test_hurrying_means_now_and_every_second() -> None:
    async def story() -> None:
        heard: list[stun.Message] = []

        def questions() -> int:
            """Without those that were sent again because the answer was late."""
            return len({each.transaction_id for each in heard})

        async with talking_server(same, heard) as port, gathered(url(port), family=Family.IPV4, times=HURRIED) as told:
            sockets = len(told.present.endpoints)
            told.gathering.hurry()
            async with told.watching():
                heard.clear()
                began = time.monotonic()
                await asyncio.sleep(1.2)
                told.gathering.hurry()
                await told.until(lambda: questions() >= 2 * sockets)
                before = 0
                while before < questions():  # until it is not hurried any more
                    before = questions()
                    await asyncio.sleep(2)
                assert questions() <= (time.monotonic() - began) * sockets

    run(story())


# Addresses of this machine


def test_addresses_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [LocalAddress("127.0.0.1", "eth7", 8), LocalAddress("127.0.0.2", "eth7", 8)]
    monkeypatch.setattr(hosts, "local_addresses", lambda *_: tuple(now))
    monkeypatch.setattr(LocalAddress, "is_loopback", False)

    async def story() -> None:
        async with (
            talking_server(outside, address="127.0.0.9") as port,
            gathered(f"stun:127.0.0.9:{port}", times=OFTEN, interfaces=("lo",)) as told,
            told.watching(),
        ):
            assert {endpoint.address[0] for endpoint in told.present.endpoints} == {"127.0.0.1", "127.0.0.2"}
            now[1] = LocalAddress("127.0.0.3", "eth8", 8)
            await told.until(lambda: told.changes)
            assert {each.host for each in told.changes[0] if each.type == "host"} == {"127.0.0.1", "127.0.0.3"}
            new = told.present.endpoints[-1]
            await told.until(lambda: new.mapped)
            assert [kind for kind, _ in told.present.told] == ["add", "add", "remove", "add"]
            now.clear()
            await told.until(lambda: not told.present.endpoints)
            known = len(told.changes)
            await asyncio.sleep(0.3)
            assert len(told.changes) == known
            assert () not in told.changes

    run(story())


def test_a_failure_that_nobody_has_thought_of_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        now_at = [OUTSIDE]

        def answer(request: stun.Message, who: Address) -> bytes:
            return reply(request, XOR_MAPPED_ADDRESS=now_at[0])

        def fails(*_: object) -> None:
            raise ZeroDivisionError("on the\nmoon")

        async def fails_later(*_: object) -> None:
            fails()

        async with talking_server(answer) as port, gathered(url(port), times=OFTEN) as told, told.watching():
            for where, what, how in (
                (hosts, "local_addresses", fails),
                (hosts.Hosts, "ask_again", fails_later),
            ):
                with monkeypatch.context() as broken:
                    caplog.clear()
                    broken.setattr(where, what, how)
                    await told.until(lambda: "ZeroDivisionError('on the\\nmoon')" in caplog.text)
            now_at[0] = ("198.51.100.8", 4343)
            await told.until(lambda: told.changes)

    run(story())


def test_a_machine_without_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "local_addresses", lambda *_: ())

    async def story(**settings: object) -> None:
        async with gathered("stun:127.0.0.1", times=NetTimes(gather_limit_s=0.2), **settings):  # type: ignore[arg-type]
            raise AssertionError

    with pytest.raises(NoConnection, match="no network address"):
        run(story())
    with pytest.raises(NoConnection, match="of the kind that is asked for"):
        run(story(family=Family.IPV6))


def test_only_the_interfaces_and_the_family_that_are_asked_for() -> None:
    ours = next(each for each in local_addresses() if each.address == HERE)

    async def story() -> None:
        async with gathered(interfaces=("lo",)) as told:
            assert all(each.host in ("127.0.0.1", "::1") for each in told.candidates)
            assert told.candidates
        async with gathered(interfaces=(ours.interface,), family=Family.IPV4) as told:
            assert HERE in {each.host for each in told.candidates}
            assert not any(is_ipv6(each.host) for each in told.candidates)

    run(story())


def test_an_unknown_interface_is_refused_with_the_known_ones() -> None:
    async def story() -> None:
        Gathering(Present(), NetSettings(stun=(), interfaces=("lo", "no such thing")), NetTimes())

    with pytest.raises(UsageError, match="no network interface 'no such thing'") as caught:
        run(story())
    assert "lo" in caught.value.hint


@pytest.mark.parametrize("family", [Family.IPV4, Family.IPV6])
def test_servers_of_another_family_are_of_no_use(family: Family) -> None:
    other = f"stun:[{HERE_6}]:9" if family is Family.IPV4 else f"stun:{HERE}:9"

    async def story() -> None:
        async with gathered(other, times=SLOW, family=family) as told:
            assert told.seconds < PROMPT_S
            assert told.reports[other].reason == "it has no address of a kind that this machine can use"

    run(story())


def test_an_ipv6_stun_server() -> None:
    async def story() -> None:
        async with talking_server(same, address=HERE_6) as port, gathered(f"stun:[{HERE_6}]:{port}") as told:
            assert [report.ok for report in told.gathering.reports] == [HERE_6 != "::1"]

    run(story())


# TURN


def test_a_server_of_the_wrong_kind_is_refused() -> None:
    for settings in (NetSettings(stun=(IceServer("turn:a"),)), NetSettings(turn=(IceServer("stun:a"),))):

        async def story(settings: NetSettings = settings) -> None:
            Gathering(Present(), settings, NetTimes())

        with pytest.raises(UsageError, match="is not the address of a"):
            run(story())


def test_only_a_relay_without_any_server() -> None:
    async def story() -> None:
        async with gathered(relay=Relay.ONLY):
            raise AssertionError

    with pytest.raises(UsageError, match="no TURN server"):
        run(story())


def test_who_only_wants_a_relay_asks_no_stun_server() -> None:
    async def story() -> None:
        heard: list[stun.Message] = []
        async with talking_server(refuses, heard) as port:
            turn = (IceServer(f"turn:{HERE}:{port}?transport=udp", "user", "password"),)
            with pytest.raises(NoConnection, match=r"no TURN server could be used .*error 420"):
                async with gathered(url(port), turn=turn, relay=Relay.ONLY):
                    raise AssertionError
        assert heard
        assert all(message.message_method is stun.Method.ALLOCATE for message in heard)

    run(story())


@coturn
@pytest.mark.parametrize("relay", Relay)
def test_the_relay_policy(relay: Relay) -> None:
    with TurnServer() as server:

        async def story() -> None:
            async with gathered(turn=(of(server),), relay=relay) as told:
                expected = {Relay.AUTO: {"host", "relay"}, Relay.ONLY: {"relay"}, Relay.NEVER: {"host"}}
                assert set(told.kinds) == expected[relay]
                assert [report.over for report in told.gathering.reports] == ["udp"] * (relay is not Relay.NEVER)

        run(story())


@coturn
@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_refused_credential_is_reported_at_once(password: str) -> None:
    with TurnServer() as server:
        ours = of(server, password=password)

        async def story() -> None:
            async with gathered(turn=(ours,), times=SLOW) as told:
                assert told.seconds < PROMPT_S
                assert set(told.kinds) == {"host"}
                (report,) = told.gathering.reports
                assert (report.url, report.ok, report.refused_credential) == (ours.url, False, True)
                assert "(401)" in report.reason
            with pytest.raises(NoConnection, match=r"\(401\)"):
                async with gathered(turn=(ours,), relay=Relay.ONLY):
                    raise AssertionError

        run(story())


def test_turn_servers_that_are_not_there() -> None:
    port = free_port(HERE)
    urls = [f"turn:{HERE}:{port}", f"turn:{HERE}:{port}?transport=tcp", f"turns:{HERE}:{port}"]

    async def story() -> None:
        async with gathered(turn=tuple(IceServer(each, "user", "password") for each in urls), times=SLOW) as told:
            assert told.seconds < PROMPT_S
            assert list(told.reports) == urls
            assert all("refused" in report.reason for report in told.gathering.reports)

    run(story())


@coturn
def test_dead_servers_hide_no_live_one_and_cost_no_second() -> None:
    with TurnServer() as server, deaf_port() as deaf:
        turn = (
            IceServer(f"turn:{HERE}:{deaf}", "user", "password"),
            of(server, scheme="turns"),
            IceServer(f"turns:{HERE}:{deaf}", "user", "password"),
        )

        async def story() -> None:
            async with (
                talking_server(outside) as port,
                gathered(url(deaf), url(port), turn=turn, times=SLOW, turn_insecure=True) as told,
            ):
                assert told.seconds < PROMPT_S
                assert {"host", "srflx"} <= set(told.kinds)
                await told.until(lambda: any(each.type == "relay" for each in told.gathering.candidates))
                assert [report.ok for report in told.gathering.reports] == [False, True, False, True, False]

        run(story())


@coturn
def test_two_relays_are_enough_and_come_from_different_servers(all_are_waited_for: None) -> None:
    with TurnServer() as one, TurnServer("127.0.0.7") as two, TurnServer("127.0.0.8") as three:
        turn = (of(one, scheme="turns"), of(one, "?transport=tcp"), of(one), of(two), of(three))

        async def story() -> None:
            async with gathered(turn=turn, times=HURRIED, turn_insecure=True) as told:
                assert all(report.ok for report in told.gathering.reports)
                assert [relay.relay for relay in told.present.relays] == [turn[2].url, turn[3].url]
                assert told.kinds.count("relay") == 2
                assert [kind for kind, _ in told.present.told].count("remove") == 0

        run(story())


@coturn
def test_one_relay_of_each_family(all_are_waited_for: None) -> None:
    with TurnServer() as one, TurnServer("127.0.0.7") as two, TurnServer(HERE_6) as six:

        async def story() -> None:
            async with gathered(turn=(of(one), of(two), of(six, "?transport=tcp")), times=HURRIED) as told:
                assert [is_ipv6(relay.address[0]) for relay in told.present.relays] == [False, True]

        if HERE_6 != "::1":
            run(story())


@coturn
def test_servers_that_the_other_side_lends() -> None:
    with TurnServer() as server:
        lent = (of(server), of(server), IceServer("stun:192.0.2.7"), IceServer("nonsense"))

        async def story() -> None:
            async with gathered(lent=lent) as told:
                assert "relay" in told.kinds
                assert list(told.reports) == [server.url()]
            async with gathered(lent=lent, relay=Relay.ONLY) as told:
                assert set(told.kinds) == {"relay"}
            async with gathered(lent=lent, relay=Relay.NEVER) as told:
                assert set(told.kinds) == {"host"}
                assert told.gathering.reports == []

        run(story())


@coturn
def test_interfaces_and_family_count_for_turn_too() -> None:
    with TurnServer("127.0.0.1") as server:

        async def story() -> None:
            async with gathered(turn=(of(server),), interfaces=("lo",)) as told:
                (relay,) = told.present.relays
                assert getattr(relay, "base", "").startswith("127.")
            async with gathered(turn=(of(server),), family=Family.IPV6) as told:
                assert told.present.relays == []
                assert not told.gathering.reports[0].ok

        run(story())


# What becomes of relays


@coturn
@pytest.mark.parametrize("query", ["?transport=udp", "?transport=tcp"])
def test_a_server_that_is_killed_is_replaced_by_another(query: str) -> None:
    with TurnServer() as one, TurnServer("127.0.0.7") as two:

        async def story() -> None:
            await asyncio.to_thread(two.stop)
            async with gathered(turn=(of(one, query), of(two)), times=HURRIED) as told, told.watching():
                (first,) = told.present.relays
                await asyncio.to_thread(one.stop)
                await asyncio.to_thread(two.start)
                await told.until(lambda: any(each.relay == two.url() for each in told.present.relays), hurried=True)
                await told.until(lambda: told.changes and told.gathering.candidates == told.changes[-1])
                assert Candidate("relay", *first.address) not in told.changes[-1]
                assert (first in told.present.endpoints) == query.endswith("udp")  # over UDP it might come back

        run(story())


@coturn
@pytest.mark.parametrize(("scheme", "query"), [("turn", "?transport=udp"), ("turn", "?transport=tcp"), ("turns", "")])
def test_a_server_that_starts_again_is_used_again(scheme: str, query: str) -> None:
    with TurnServer() as server:

        async def story() -> None:
            ours = of(server, query, scheme)
            async with gathered(turn=(ours,), times=HURRIED, turn_insecure=True) as told, told.watching():
                (first,) = told.present.relays
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)
                await told.until(lambda: told.present.relays not in ([], [first]), hurried=True)
                await told.until(lambda: told.changes and told.gathering.candidates == told.changes[-1])
                (second,) = told.present.relays
                assert second is not first
                assert Candidate("relay", *second.address) in told.changes[-1]
                assert Candidate("relay", *first.address) not in told.changes[-1]

        run(story())


@coturn
def test_a_server_that_hangs_is_noticed_and_may_come_back(all_are_waited_for: None) -> None:
    with TurnServer() as one, TurnServer("127.0.0.7") as two:

        async def story() -> None:
            async with gathered(turn=(of(one), of(two)), times=HURRIED) as told, told.watching():
                first, _ = told.present.relays
                lost = Candidate("relay", *first.address)
                one.freeze()
                await told.until(lambda: lost not in told.gathering.candidates, hurried=True)
                await told.until(lambda: told.changes, hurried=True)
                one.thaw()
                await told.until(lambda: told.changes and lost in told.changes[-1], hurried=True)
                assert first in told.present.endpoints

        run(story())


@coturn
def test_without_hurry_a_dead_server_is_noticed_at_the_next_keep_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    with TurnServer() as one, TurnServer("127.0.0.7") as two:

        async def story() -> None:
            times = replace(PATIENT, keepalive_s=1.0)
            async with gathered(turn=(of(one), of(two)), times=times) as told, told.watching():
                one.freeze()
                await told.until(lambda: told.changes)
                one.thaw()

        run(story())


@coturn
def test_a_server_that_comes_up_late_is_used() -> None:
    with TurnServer() as server:

        async def story() -> None:
            await asyncio.to_thread(server.stop)
            async with gathered(turn=(of(server),)) as told, told.watching():
                assert "relay" not in told.kinds
                await asyncio.to_thread(server.start)
                await told.until(lambda: told.changes)
                assert {each.type for each in told.changes[-1]} == {"host", "relay"}

        run(story())


@coturn
def test_a_relay_asked_for_from_an_address_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [LocalAddress("127.0.0.5", "eth7", 8)]
    monkeypatch.setattr(hosts, "local_addresses", lambda *_: tuple(now))
    monkeypatch.setattr(LocalAddress, "is_loopback", False)
    with TurnServer("127.0.0.1") as server:

        async def story() -> None:
            async with gathered(turn=(of(server),), interfaces=("lo",)) as told, told.watching():
                (first,) = told.present.relays
                now[0] = LocalAddress("127.0.0.6", "eth8", 8)
                monkeypatch.setattr(first, "refresh", no_way_there)  # the system would not let 127.0.0.5 go
                told.gathering.hurry()
                await told.until(lambda: first not in told.present.relays and told.present.relays)
                (second,) = told.present.relays
                assert getattr(second, "base", "") == "127.0.0.6"

        run(story())


async def no_way_there(limit_s: float) -> None:
    raise OSError(errno.ENETUNREACH, "Network is unreachable")


@coturn
def test_credentials_made_of_a_secret_are_made_for_each_allocation() -> None:
    with TurnServer(secret=True) as server:

        async def story() -> None:
            async with gathered(turn=(IceServer(server.url(), secret=SECRET),)) as told, told.watching():
                (first,) = told.present.relays
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)
                await told.until(lambda: told.present.relays not in ([], [first]), hurried=True)

        run(story())


def test_what_is_lent_in_the_session_takes_the_place_of_what_was_lent_and_is_bounded() -> None:
    def lent(name: str, password: str = "old") -> IceServer:
        return IceServer(f"turn:{name}.invalid", "user", password)

    async def story() -> None:
        ours = IceServer("turn:127.0.0.1:9?transport=udp", "user", "ours")
        async with gathered(
            turn=(ours,), lent=(lent("a"), lent("b"), lent("a")), family=Family.IPV6, times=SLOW
        ) as told:
            renew, relays = told.gathering.renew_servers, told.gathering._relays
            renew([IceServer(ours.url, "user", "theirs"), lent("b", "new"), IceServer("stun:c.invalid")])
            assert [turn.server for turn in relays.servers] == [ours, lent("a"), lent("b", "new")]
            for number in range(100):
                renew([lent(f"c{number}"), lent("a", str(number))])
                relays._refused.update(relays.servers)
            names = ["a", "b", "c0", "c1"]
            assert [turn.uri.host for turn in relays.servers[1:]] == [f"{name}.invalid" for name in names]
            assert relays.servers[1].server.password == "99"
            assert relays._refused == set(relays.servers)

    run(story())


@coturn
def test_what_is_lent_in_the_session_is_asked_only_when_there_is_no_path_or_was_a_relay() -> None:
    with TurnServer() as server, TurnServer() as other:

        async def story(*turn: IceServer, hurried: bool) -> None:
            async with gathered(turn=turn, times=OFTEN) as told, told.watching():
                told.gathering.renew_servers([of(server)])
                if hurried:
                    await asyncio.sleep(0.5)
                    assert told.present.relays == []
                if turn:
                    await asyncio.to_thread(other.stop)
                await told.until(
                    lambda: [relay.relay for relay in told.present.relays] == [server.url()], hurried=hurried
                )

        run(story(hurried=True))
        run(story(of(other), hurried=False))


@pytest.mark.lab
@coturn
def test_a_machine_that_moves_to_another_network_has_new_addresses_at_once() -> None:
    with Lab(Topology.LAN) as lab, Coturn(Lab.SERVER, lab=lab) as server, Place(lab, "a") as place:

        def ip(*words: str) -> None:
            subprocess.run(["ip", "-n", lab.namespace("a"), *words], check=True)

        async def story() -> None:
            turn = tuple(IceServer(server.turn_url + query, USERNAME, PASSWORD) for query in ("", "?transport=tcp"))
            async with gathered(server.stun_url, turn=turn, times=HURRIED) as told, told.watching():
                (first,) = told.present.relays
                old = next(each.host for each in told.candidates if each.type == "host")
                await asyncio.to_thread(ip, "addr", "del", f"{old}/24", "dev", "eth0")
                await asyncio.to_thread(ip, "addr", "add", "10.77.0.99/24", "dev", "eth0")
                await asyncio.to_thread(ip, "route", "replace", "default", "via", "10.77.0.1")
                await told.until(lambda: told.changes and {each.type for each in told.changes[-1]} == {"host", "relay"})
                assert {each.host for each in told.changes[-1] if each.type == "host"} == {"10.77.0.99"}
                await told.until(lambda: first not in told.present.relays and told.present.relays)

        place.run(story())


# The end


@coturn
def test_closing_does_not_wait_for_a_dead_server() -> None:
    with TurnServer() as server, deaf_port() as deaf:

        async def story() -> None:
            turn = (of(server), of(server, scheme="turns"), IceServer(f"turn:{HERE}:{deaf}", "user", "password"))
            async with gathered(turn=turn, times=NetTimes(close_s=0.6), turn_insecure=True):
                server.freeze()
            server.thaw()

        run(story())


def test_all_is_closed_however_long_a_part_of_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(_: Resolver) -> None:
        await asyncio.sleep(0.1)

    monkeypatch.setattr(Resolver, "close", slow)

    async def story() -> None:
        async with gathered(times=NetTimes(close_s=0.01)) as told:
            endpoints = list(told.present.endpoints)
        for endpoint in endpoints:
            assert isinstance(endpoint, HostEndpoint)
            with pytest.raises(OSError, match="closed"):
                await endpoint.ask([("127.0.0.1", 9)], [0.01])

    run(story())


@coturn
def test_gathering_can_be_cancelled_at_any_time() -> None:
    with TurnServer() as server, deaf_port() as deaf:
        turn = (of(server), of(server, scheme="turns"), IceServer(f"turn:{HERE}:{deaf}", "user", "password"))
        settings = NetSettings(stun=(IceServer(url(deaf)),), turn=turn, turn_insecure=True)

        async def story() -> None:
            for step in range(12):
                subject = Gathering(Present(), settings, NetTimes(close_s=0.6))
                task = asyncio.create_task(subject.run())
                await asyncio.wait([task], timeout=step * 0.01)
                task.cancel()
                await asyncio.wait([task])
                watching = asyncio.create_task(subject.watch())
                subject.hurry()
                await asyncio.sleep(step * 0.005)
                watching.cancel()
                await asyncio.wait([watching])
                await subject.close()
                await subject.close()

        run(story())


def test_the_constants_fit_together() -> None:
    assert gathering.MIN_PATIENCE_S < 1
    assert gathering.HURRIED_S < gathering.HURRY_LASTS_S
