"""The survey of a network: STUN servers that live in the test, honest and not, and coturn on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace

import pytest
from aioice import stun
from lab import PASSWORD, USERNAME, Coturn
from lab.ports import free_port
from meeting import run
from turnserver import stream_server

from p2pcopy.config import Family, IceServer, NetSettings, Relay
from p2pcopy.errors import UsageError
from p2pcopy.net.asking import CHANGE_ADDRESS_AND_PORT, CHANGE_PORT, ask_over_tcp
from p2pcopy.net.findings import Check, Network, OwnAddress, ServerFinding, Udp
from p2pcopy.net.interfaces import local_addresses
from p2pcopy.net.natkind import Address, FilterTest, Kind, Observations
from p2pcopy.net.ownaddresses import in_code, judge_hosts
from p2pcopy.net.survey import SurveyTimes, survey
from p2pcopy.net.vantage import Vantage

HERE = next(each.address for each in local_addresses() if ":" not in each.address)
OUTSIDE = ("198.51.100.7", 4242)
SHORT = SurveyTimes(lookup_s=0.5, answer_s=1.5, allocate_s=1.5, test_s=0.3)
PROMPT_S = 10.0  # what is not waited for takes 30
PATIENT_S = 30.0  # for who answers
PATIENT = replace(SHORT, lookup_s=PATIENT_S, answer_s=PATIENT_S, allocate_s=PATIENT_S)
IPV4 = NetSettings(stun=(), family=Family.IPV4)

Answer = Callable[[stun.Message, Address], stun.Message | None]


def binding(request: stun.Message, mapped: Address) -> stun.Message:
    return stun.Message(
        stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id, {"XOR-MAPPED-ADDRESS": mapped}
    )


def outside(request: stun.Message, addr: Address) -> stun.Message:
    return binding(request, OUTSIDE)


def as_it_is(request: stun.Message, addr: Address) -> stun.Message:
    return binding(request, addr)


def says_nothing(request: stun.Message, addr: Address) -> stun.Message:
    return stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)


def refuses(request: stun.Message, addr: Address) -> stun.Message:
    reply = stun.Message(stun.Method.BINDING, stun.Class.ERROR, request.transaction_id)
    reply.attributes["ERROR-CODE"] = (420, "\x1b[31mred\x1b[0m")
    return reply


def deaf(request: stun.Message, addr: Address) -> None:
    return None


class Server(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: Address) -> None:
        reply = self._answer(stun.parse_message(data), addr)
        if reply is not None:
            self.transport.sendto(bytes(reply), addr)


@contextlib.asynccontextmanager
async def listening(answer: Answer, at: Address) -> AsyncIterator[Server]:
    _, server = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Server(answer), local_addr=at)
    try:
        yield server
    finally:
        server.transport.close()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def stun_server(answer: Answer) -> AsyncIterator[str]:
    async with listening(answer, (HERE, free_port(HERE))) as server:
        yield f"stun:{HERE}:{server.transport.get_extra_info('sockname')[1]}"


def asked(*urls: str, times: SurveyTimes = SHORT) -> Awaitable[Network]:
    return survey(replace(IPV4, stun=tuple(map(IceServer, urls))), times)


def over(transport: str, finding: ServerFinding) -> Check:
    return next(check for check in finding.checks if check.transport == transport)


# STUN


def test_what_each_server_says() -> None:
    async def story() -> None:
        async with (
            stun_server(outside) as good,
            stun_server(deaf) as dead,
            stun_server(refuses) as unwilling,
            stun_server(says_nothing) as confused,
        ):
            network = await asked(good, dead, unwilling, confused, "stun:does-not-exist.invalid")
        found = {finding.url: finding for finding in network.servers}
        assert [finding.ok for finding in network.servers] == [True, False, False, False, False]
        udp = {url: over("udp", found[url]) for url in (good, dead, unwilling, confused)}
        assert [check.reachable for check in udp.values()] == [True, False, True, True]
        assert [check.reason for check in udp.values()] == [
            "",
            "no answer",
            "the server answered with error 420",
            "its answer makes no sense",
        ]
        assert udp[good].address == good.removeprefix("stun:")
        assert udp[good].time_ms > 0
        assert udp[dead].time_ms >= 1000 * SHORT.answer_s
        over_tcp = over("tcp", found[good])
        assert (over_tcp.used, over_tcp.reachable, over_tcp.reason) == (False, False, "the connection was refused")
        assert found["stun:does-not-exist.invalid"].reason
        assert network.ipv4.local == HERE
        assert network.ipv4.udp is Udp.WORKS
        assert network.ipv6.udp is Udp.NO_ADDRESS
        assert network.seconds < PROMPT_S

    run(story())


def test_the_public_address_goes_into_a_code() -> None:
    async def story() -> None:
        async with stun_server(outside) as one:
            network = await asked(one, times=PATIENT)
            assert network.ipv4.nat is not None
            assert (network.ipv4.nat.kind, network.ipv4.nat.public) == (Kind.UNKNOWN, OUTSIDE[0])
            assert OwnAddress(OUTSIDE[0], "srflx", "", in_code=True, reason="") in network.addresses
        async with stun_server(as_it_is) as one:
            network = await asked(one, times=PATIENT)
            assert {each.type for each in network.addresses} == {"host"}
            assert not network.servers[0].behaviour_tests

    run(story())


def test_nothing_to_ask() -> None:
    network = run(asked_nothing())
    assert network.servers == ()
    assert (network.ipv4.udp, network.ipv4.nat) == (Udp.NOT_TRIED, None)


async def asked_nothing() -> Network:
    return await survey(IPV4, SHORT)


def test_what_makes_no_sense_is_not_asked() -> None:
    async def story() -> None:
        with pytest.raises(UsageError, match="is not the address of"):
            await asked("stun:")
        with pytest.raises(UsageError, match="there is no network interface"):
            await survey(NetSettings(interfaces=("nothing9",)))

    run(story())


def test_servers_of_the_other_family() -> None:
    async def story() -> None:
        (finding,) = (await asked("stun:[2001:db8::1]")).servers
        assert (finding.ok, finding.checks) == (False, ())
        assert finding.reason == "it has no address of a kind that this machine can use"

    run(story())


@pytest.fixture
def no_name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """getaddrinfo as it is when no name server answers: it blocks, and cannot be cancelled."""
    end, real = threading.Event(), socket.getaddrinfo

    def blocked(host: str, *arguments: object, **options: object) -> object:
        if not host.endswith(".invalid"):
            return real(host, *arguments, **options)  # type: ignore[arg-type]
        end.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    yield
    end.set()


def test_a_dead_name_server_holds_up_nothing(no_name_server: None) -> None:
    async def story() -> None:
        started = time.monotonic()
        (finding,) = (await asked("stun:somewhere.invalid")).servers
        assert time.monotonic() - started < PROMPT_S
        assert finding.reason == "no answer from the name server within 0.5 s"

    run(story())


def test_names_that_resolve_show_that_only_udp_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with stun_server(deaf) as dead:
            assert (await asked(dead)).ipv4.udp is Udp.NO_ANSWER
            port = int(dead.rpartition(":")[2])
            here = [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", (HERE, port))]
            real = socket.getaddrinfo

            def named(host: str, *arguments: object, **options: object) -> object:
                return here if host == "stun.example.org" else real(host, *arguments, **options)  # type: ignore[arg-type]

            monkeypatch.setattr(socket, "getaddrinfo", named)
            network = await asked(f"stun:stun.example.org:{port}")
            assert network.ipv4.udp is Udp.BLOCKED
            assert network.ipv4.nat is not None
            assert network.ipv4.nat.kind is Kind.UDP_BLOCKED

    run(story())


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x01\x01\x00\x00" + bytes(16)])
def test_what_listens_on_tcp_may_be_anything(says: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        writer.close()

    async def story() -> None:
        async with stream_server(answer) as address:
            with pytest.raises((ConnectionResetError, ValueError)):
                await ask_over_tcp(address, limit_s=PATIENT_S, local=HERE)

    run(story())


# The tests of RFC 5780

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are there many loopback addresses")
FIRST, SECOND = "127.0.0.1", "127.0.0.2"


class Pair:
    """A STUN server with two addresses and two ports. obeys: it answers CHANGE-REQUEST from where it was asked to."""

    def __init__(self, *, obeys: bool = True, refuses: bool = False, alive: bool = True, mapped: Address | None = None):
        self.obeys, self.refuses, self.alive, self.mapped = obeys, refuses, alive, mapped
        self.servers: dict[tuple[bool, bool], Server] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Address]:
        async with contextlib.AsyncExitStack() as stack:
            ports = [free_port(FIRST, SECOND), free_port(FIRST, SECOND)]
            for address, port in ((0, 0), (0, 1), (1, 0), (1, 1)):
                answer = self.answer if self.alive or not address else deaf
                at = ((FIRST, SECOND)[address], ports[port])
                self.servers[bool(address), bool(port)] = await stack.enter_async_context(listening(answer, at))
            self.other = (SECOND, ports[1])
            yield FIRST, ports[0]

    def answer(self, request: stun.Message, addr: Address) -> stun.Message | None:
        change = request.attributes.get("CHANGE-REQUEST", 0)
        if change and self.refuses:
            return refuses(request, addr)
        reply = binding(request, self.mapped or addr)
        reply.attributes["OTHER-ADDRESS"] = self.other
        if not change or not self.obeys:
            return reply
        server = self.servers[change == CHANGE_ADDRESS_AND_PORT, bool(change & CHANGE_PORT)]
        server.transport.sendto(bytes(reply), addr)
        return None


async def explored(pair: Pair) -> tuple[bool, Observations]:
    async with pair.running() as server:
        vantage = await Vantage.open(FIRST, PATIENT_S, PATIENT_S if pair.alive else 0.3)
        try:
            offers = await vantage.explore(server)
            assert not await vantage.explore(server)  # once is enough
        finally:
            vantage.close()
            await asyncio.sleep(0)
        return offers, vantage.observations(blocked=False)


@only_linux
def test_an_open_way() -> None:
    offers, seen = run(explored(Pair()))
    assert offers
    assert len(seen.mapped) == 3
    assert seen.filter_tests == (FilterTest(from_other_address=True, from_other_port=True, valid=True),)
    assert seen.hairpin is None


@only_linux
@pytest.mark.parametrize("pair", [Pair(obeys=False), Pair(refuses=True)], ids=["ignores", "refuses"])
def test_a_server_that_does_not_do_what_it_offers_says_nothing_of_filters(pair: Pair) -> None:
    offers, seen = run(explored(pair))
    assert offers
    assert len(seen.mapped) == 3
    assert [test.valid or test.from_other_address for test in seen.filter_tests] == [False]


@only_linux
def test_silence_from_a_dead_address_is_no_filter() -> None:
    async def story() -> None:
        pair = Pair(alive=False)
        pair.answer = lambda request, addr: (  # type: ignore[method-assign]
            None if "CHANGE-REQUEST" in request.attributes else with_other(binding(request, addr), pair.other)
        )
        _, seen = await explored(pair)
        assert seen.filter_tests == (FilterTest(from_other_address=False, from_other_port=False, valid=False),)

    run(story())


def with_other(reply: stun.Message, other: Address) -> stun.Message:
    reply.attributes["OTHER-ADDRESS"] = other
    return reply


@only_linux
@pytest.mark.parametrize("other", [(FIRST, 9), ("::1", 9), (SECOND, 0)])
def test_an_other_address_that_is_none(other: Address) -> None:
    async def story() -> None:
        async with listening(lambda request, addr: with_other(binding(request, addr), other), (FIRST, 0)) as server:
            vantage = await Vantage.open(FIRST, PATIENT_S, PATIENT_S)
            assert not await vantage.explore(server.transport.get_extra_info("sockname"))
            assert vantage.observations(blocked=False).filter_tests == ()
            vantage.close()
            await asyncio.sleep(0)

    run(story())


def test_a_nat_that_hairpins() -> None:
    """The server stands for a NAT: it gives each socket a public address that leads back to it."""

    async def story() -> None:
        async with contextlib.AsyncExitStack() as stack:
            inside: dict[Address, Address] = {}
            public: dict[Address, Server] = {}

            async def give(addr: Address) -> None:
                server = await stack.enter_async_context(listening(deaf, (FIRST, 0)))
                forward(server, addr)
                inside[addr] = server.transport.get_extra_info("sockname")
                public[inside[addr]] = server

            def forward(server: Server, host: Address) -> None:
                def onwards(data: bytes, addr: Address) -> None:
                    public[inside[addr]].transport.sendto(data, host)

                server.datagram_received = onwards  # type: ignore[method-assign]

            def answer(request: stun.Message, addr: Address) -> stun.Message | None:
                if addr not in inside:
                    tasks.add(asyncio.create_task(give(addr)))
                    return None  # the next request is answered
                return binding(request, inside[addr])

            tasks: set[asyncio.Task[None]] = set()
            server = await stack.enter_async_context(listening(answer, (FIRST, 0)))
            vantage = await Vantage.open(FIRST, PATIENT_S, PATIENT_S)
            await vantage.explore(server.transport.get_extra_info("sockname"))
            assert vantage.observations(blocked=False).hairpin
            vantage.close()
            await asyncio.sleep(0)

    run(story())


# TURN, with coturn


@pytest.fixture
def coturn() -> Iterator[Coturn]:
    with Coturn(HERE) as server:
        yield server


def turned(*servers: IceServer, insecure: bool = False, relay: Relay = Relay.AUTO) -> Network:
    settings = NetSettings(stun=(), turn=servers, family=Family.IPV4, turn_insecure=insecure, relay=relay)
    return run(_surveyed(settings))


async def _surveyed(settings: NetSettings) -> Network:
    return await survey(settings, PATIENT)


@pytest.mark.coturn
def test_a_turn_server_over_all_that_its_url_allows(coturn: Coturn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(coturn.ca_file))
    urls = (coturn.turn_url, coturn.url("turn", transport="udp"), coturn.turn_tcp_url, coturn.turns_url)
    network = turned(*(IceServer(url, USERNAME, PASSWORD) for url in urls))
    ways = [[check.transport for check in finding.checks] for finding in network.servers]
    assert ways == [["udp", "tcp"], ["udp"], ["tcp"], ["tls"]]
    checks = [check for finding in network.servers for check in finding.checks]
    assert all(check.ok and check.used for check in checks), checks
    assert {(check.credential, check.lent) for check in checks} == {("accepted", HERE)}
    assert network.ipv4.udp is Udp.WORKS
    assert OwnAddress(HERE, "relay", "", in_code=True, reason="") in network.addresses


@pytest.mark.coturn
def test_why_a_turn_server_is_of_no_use(coturn: Coturn) -> None:
    network = turned(
        IceServer(coturn.turn_url, USERNAME, "wrong"),
        IceServer(coturn.turn_url),
        IceServer(coturn.turns_url, USERNAME, PASSWORD),
        IceServer(f"turn:{HERE}:9?transport=tcp", USERNAME, PASSWORD),
    )
    wrong, none, unverified, closed = (finding.checks[0] for finding in network.servers)
    assert (wrong.reachable, wrong.credential) == (True, "refused")
    assert "the password was not accepted" in wrong.reason
    assert (none.reachable, none.credential) == (True, "refused")
    assert "wants a user name" in none.reason
    assert (unverified.reachable, unverified.credential) == (True, None)
    assert unverified.reason.startswith("its certificate is not accepted:")
    assert (closed.reachable, closed.reason) == (False, "the connection was refused")
    assert not any(finding.ok for finding in network.servers)
    assert network.ipv4.udp is Udp.WORKS


@pytest.mark.coturn
def test_a_certificate_need_not_be_verified(coturn: Coturn) -> None:
    network = turned(IceServer(coturn.turns_url, USERNAME, PASSWORD), insecure=True, relay=Relay.NEVER)
    assert network.servers[0].ok
    assert network.ipv4.udp is Udp.NOT_TRIED
    assert [(each.in_code, each.reason) for each in network.addresses if each.type == "relay"] == [
        (False, "no relay is allowed")
    ]


@pytest.mark.coturn
def test_a_credential_made_of_a_secret() -> None:
    with Coturn(HERE, secret="as long as it is wide") as server:
        network = turned(IceServer(server.turn_url, secret=server.secret), IceServer(server.turn_url, secret="other"))
    assert [finding.ok for finding in network.servers] == [True, False]
    assert "shared secret was not accepted" in network.servers[1].checks[0].reason


# Addresses of this machine

PRESENT = (
    ("127.0.0.1", "lo"),
    ("10.0.0.2", "eth0"),
    ("fe80::1", "eth0"),
    ("2001:db8::2", "eth0"),
    ("192.168.7.2", "wlan0"),
    ("172.17.0.1", "docker0"),
)


def reasons(settings: NetSettings, present: tuple[tuple[str, str], ...] = PRESENT) -> dict[str, str]:
    judged = judge_hosts(present, settings)
    assert all(each.in_code is not bool(each.reason) for each in judged)
    return {each.address: each.reason for each in judged if each.reason}


ALWAYS = {
    "127.0.0.1": "it leads to this machine only",
    "fe80::1": "it is link-local, without a meaning on other networks",
}
VIRTUAL = "its interface leads to containers, virtual machines or a tunnel"


def test_why_an_address_stays_out_of_the_code() -> None:
    assert reasons(NetSettings()) == {**ALWAYS, "172.17.0.1": VIRTUAL}
    assert reasons(NetSettings(family=Family.IPV6)) == {
        **ALWAYS,
        **dict.fromkeys(("10.0.0.2", "192.168.7.2", "172.17.0.1"), "only IPv6 is allowed"),
    }
    other = "another interface was chosen"
    assert reasons(NetSettings(interfaces=("docker0", "wlan0"))) == {
        **ALWAYS,
        **dict.fromkeys(("10.0.0.2", "2001:db8::2"), other),
    }
    many = tuple((f"192.0.2.{number}", "eth0") for number in range(1, 11))
    assert set(reasons(NetSettings(), many).values()) == {"there are better ones"}
    assert reasons(NetSettings(), (("172.17.0.1", "docker0"),)) == {}


def test_the_policy_decides_what_else_goes_in() -> None:
    hosts = judge_hosts((("10.0.0.2", "eth0"),), NetSettings())

    def chosen(relay: Relay) -> dict[str, str]:
        return {
            each.address: each.reason
            for each in in_code(hosts, ["203.0.113.7", "10.0.0.2"], ["192.0.2.1", "192.0.2.1"], relay)
        }

    assert chosen(Relay.AUTO) == {"10.0.0.2": "", "203.0.113.7": "", "192.0.2.1": ""}
    only = "only a relay is allowed"
    assert chosen(Relay.ONLY) == {"10.0.0.2": only, "203.0.113.7": only, "192.0.2.1": ""}
    assert chosen(Relay.NEVER) == {"10.0.0.2": "", "203.0.113.7": "", "192.0.2.1": "no relay is allowed"}
    lent = [f"192.0.2.{number}" for number in range(1, 11)]
    assert {each.reason for each in in_code(hosts, [], lent, Relay.AUTO)} == {"", "there are better ones"}
