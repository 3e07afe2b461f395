"""Two real peers on this machine: ICE, DTLS, SCTP and the channels, without any server."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from dataclasses import replace

import psutil
import pytest
from aiortc import RTCCertificate
from cryptography.hazmat.primitives.asymmetric import ec
from meeting import ALONE, LIMIT_S, Inbox, introduce, meeting, run

from p2pcopy.channel import Channel
from p2pcopy.config import MIB, IceServer, NetSettings, NetTimes, Relay
from p2pcopy.errors import CodeUsed, ConnectionLost, Declined, NoConnection, ProtocolError, UsageError
from p2pcopy.events import PathKind, Stalled
from p2pcopy.net import liveness
from p2pcopy.net.peer import PathNews, Peer, PeerChannel
from p2pcopy.signaling import derive

SECRET = bytes(range(16))

PROMPT_S = 10.0  # whatever is not waited for takes longer


def as_channel(channel: PeerChannel) -> Channel:
    """mypy checks that it is one."""
    return channel


def test_one_paste_connects_and_names_the_path_on_both_sides() -> None:
    async def story() -> None:
        async with meeting() as both:
            left, right = both.offering.path(), both.answering.path()
            assert left.kind is right.kind is PathKind.LOCAL
            assert (left.local, left.remote) == (right.remote, right.local)
            assert left.remote_type in ("prflx", "host")  # as it was learnt, or as the link has told meanwhile
            assert right.remote_type == "host"
            assert left.rtt_ms is not None
            assert 0 < left.rtt_ms < 1000 * LIMIT_S
            assert left.relay == ""

    run(story())


def test_messages_go_both_ways_whole_and_of_any_size() -> None:
    sizes = [0, 1, 1160, 1161, 16384, 65536, 262144]

    async def story() -> None:
        async with meeting() as both:
            here, there = Inbox(), Inbox()
            as_channel(both.left).attach(here)
            as_channel(both.right).attach(there)
            sent = [os.urandom(size) for size in sizes]
            for message in sent:
                both.left.send_control(message)
                both.right.send_control(message)
                both.left.send_data(message)
                both.right.send_data(message)
            for inbox in (here, there):
                await inbox.until(control=len(sizes), data=len(sizes))
                assert inbox.control == sent
                assert sorted(inbox.data) == sorted(sent)

    run(story())


def test_messages_before_attach_are_kept_in_order() -> None:
    async def story() -> None:
        async with meeting() as both:
            for number in range(10):
                both.left.send_control(b"%d" % number)
            await both.left.acknowledged()
            inbox = Inbox()
            both.right.attach(inbox)
            assert inbox.control == [b"%d" % number for number in range(10)]

    run(story())


def test_a_flood_before_attach_ends_the_connection() -> None:
    async def story() -> None:
        async with meeting() as both:
            inbox, here = Inbox(), Inbox()
            both.left.attach(here)

            async def flood() -> None:
                while True:
                    both.left.send_data(bytes(65536))
                    await both.left.drain(0)

            with pytest.raises(ConnectionLost):
                await flood()
            both.right.attach(inbox)
            assert inbox.closed == 1
            assert inbox.data_bytes <= 2 * MIB

    run(story())


def test_text_of_a_foreign_stack_arrives_as_bytes() -> None:
    async def story() -> None:
        async with meeting() as both:
            inbox = Inbox()
            both.right.attach(inbox)
            both.left._control.send("grüße")
            both.left._control.send("")
            await inbox.until(control=2)
            assert inbox.control == ["grüße".encode(), b""]

    run(story())


def test_a_clean_end_is_known_at_once_after_all_that_was_sent() -> None:
    async def story() -> None:
        async with meeting(times=NetTimes(close_s=2 * LIMIT_S)) as both:
            here, there = Inbox(), Inbox()
            both.left.attach(here)
            both.right.attach(there)
            for _ in range(8):
                both.left.send_data(bytes(65536))
            both.left.send_control(b"goodbye")
            await both.offering.close()
            assert there.data_bytes == 8 * 65536
            assert there.control == [b"goodbye"]
            news: list[PathNews] = []
            both.answering.on_path = news.append
            await there.until(closed=1)
            assert not any(isinstance(each, Stalled) for each in news), "it was told, and did not have to be found out"
            for send in (both.right.send_control, both.right.send_data):
                with pytest.raises(ConnectionLost):
                    send(b"too late")
            with pytest.raises(ConnectionLost):
                await both.right.drain(0)
            await both.answering.close()
            assert there.closed == 1
            assert here.closed == 0, "who ends it himself is not told"

    run(story())


def test_both_ends_may_end_at_the_same_time() -> None:
    async def story() -> None:
        async with meeting() as both:
            await asyncio.gather(*(peer.close() for peer in (both.offering, both.answering) * 3))

    run(story())


def test_waiting_to_send_ends_with_the_connection() -> None:
    async def story() -> None:
        async with meeting() as both:
            here = Inbox()
            both.left.attach(here)
            for _ in range(200):
                both.left.send_data(bytes(65536))
            waiting = asyncio.create_task(both.left.drain(0))
            await asyncio.sleep(0)
            await both.answering.close()
            with pytest.raises(ConnectionLost):
                await waiting
            await here.until(closed=1)

    run(story())


def test_drain_returns_when_the_backlog_is_small_enough() -> None:
    async def story() -> None:
        async with meeting() as both:
            inbox = Inbox()
            both.right.attach(inbox)
            await both.left.drain(0)
            for _ in range(32):
                both.left.send_data(bytes(65536))
            assert both.left.backlog >= 30 * 65536
            await both.left.drain(MIB)
            assert both.left.backlog <= MIB
            await both.left.drain(0)
            assert both.left.backlog == 0
            await inbox.until(data=32)

    run(story())


def test_much_data_in_little_memory() -> None:
    """The bound does not grow with the amount: 200 MiB take no more."""
    amount, size, me = 24 * MIB, 65536, psutil.Process()

    async def story() -> None:
        async with meeting() as both:
            inbox = Inbox(keep_data=False)
            both.right.attach(inbox)
            message = os.urandom(size)
            before = me.memory_info().rss
            for number in range(amount // size):
                both.left.send_data(message)
                await both.left.drain(MIB)
                assert both.left.backlog <= MIB
                if number % 64 == 0:
                    assert me.memory_info().rss < before + 32 * MIB
            await inbox.until(data_bytes=amount)

    run(story())


def test_both_sides_export_the_same_material() -> None:
    async def story() -> None:
        async with meeting() as both:
            label = derive.EXPORT_LABEL
            left, right = both.offering.export(label, 32), both.answering.export(label, 32)
            assert left == right
            assert len(left) == 32
            assert both.offering.export("EXPERIMENTAL-other", 32) != left

    run(story())


def test_a_foreign_key_of_the_offering_side_is_refused() -> None:
    async def story() -> None:
        offering, answering = await introduce()
        key = ec.generate_private_key(ec.SECP256R1())
        offering._certificate = RTCCertificate(key, derive.self_signed(key))
        waiting = asyncio.create_task(offering.connect())
        try:
            with pytest.raises(ProtocolError, match="somebody else"):
                await answering.connect()
        finally:
            await asyncio.gather(offering.close(), answering.close())
        with pytest.raises(NoConnection):
            await waiting

    run(story())


def test_a_foreign_key_of_an_answering_side_is_refused_and_the_right_one_is_waited_for() -> None:
    async def story() -> None:
        secret = os.urandom(16)
        offering = Peer(ALONE, secret, offering=True)
        offered = await offering.gather()
        liar, honest = (Peer(ALONE, secret, offering=False, remote_pin=offering.pin) for _ in range(2))
        key = ec.generate_private_key(ec.SECP256R1())
        liar._certificate = RTCCertificate(key, derive.self_signed(key))
        for peer in (liar, honest):
            peer.add_remote(offered)
            await peer.gather()
        waiting, lying = asyncio.create_task(offering.connect()), asyncio.create_task(liar.connect())
        try:
            await asyncio.wait([waiting], timeout=0.5)
            assert not waiting.done()
            await liar.close()
            assert isinstance(lying.exception(), NoConnection)
            await asyncio.gather(waiting, honest.connect())
        finally:
            await asyncio.gather(*(peer.close() for peer in (offering, liar, honest)))

    run(story())


def test_two_way_only_the_expected_key_is_accepted() -> None:
    async def story() -> None:
        secret = os.urandom(16)
        offering = Peer(ALONE, secret, offering=True, two_way=True)
        offered = await offering.gather()
        first, second = (Peer(ALONE, secret, offering=False, remote_pin=offering.pin, two_way=True) for _ in range(2))
        assert first.pin != second.pin
        for peer in (first, second):
            peer.add_remote(offered)
            await peer.gather()
        connecting = [asyncio.create_task(peer.connect()) for peer in (offering, first, second)]
        try:
            done, _ = await asyncio.wait(connecting, timeout=0.5)
            assert not done, "nobody is accepted before the answer"
            offering.expect(second.pin)
            await asyncio.gather(connecting[0], connecting[2])
            assert offering.path().remote == second.path().local
            with pytest.raises(CodeUsed):
                await connecting[1]
        finally:
            await asyncio.gather(*(peer.close() for peer in (offering, first, second)))

    run(story())


def test_a_second_receiver_is_told_that_the_code_was_used() -> None:
    async def story() -> None:
        secret = os.urandom(16)
        offering = Peer(ALONE, secret, offering=True)
        offered = await offering.gather()
        first, late = (Peer(ALONE, secret, offering=False, remote_pin=offering.pin) for _ in range(2))
        for peer in (first, late):
            peer.add_remote(offered)
            await peer.gather()
        try:
            left, right = await asyncio.gather(offering.connect(), first.connect())
            path = offering.path()
            with pytest.raises(CodeUsed):
                await late.connect()
            assert offering.path().remote == path.remote
            inbox = Inbox()
            right.attach(inbox)
            left.send_control(b"for the first")
            await inbox.until(control=1)
        finally:
            await asyncio.gather(offering.close(), first.close(), late.close())

    run(story())


def test_both_say_that_they_go_on() -> None:
    async def story() -> None:
        async with meeting() as both:
            shown: list[str] = []
            asked: list[str] = []

            async def ask(number: str) -> None:
                asked.append(number)
                await asyncio.sleep(0.05)

            await asyncio.gather(both.offering.settle(ask, shown.append), both.answering.settle(None, shown.append))
            assert asked == shown
            assert re.fullmatch(r"\d{4} \d{4} \d{4}", asked[0])

    run(story())


def test_who_says_no_is_understood_on_both_sides() -> None:
    async def story() -> None:
        async with meeting() as both:

            async def ask(number: str) -> None:
                raise Declined("the numbers differ")

            ends = await asyncio.gather(
                both.offering.settle(ask, lambda number: None),
                both.answering.settle(None, lambda number: None),
                return_exceptions=True,
            )
            assert all(isinstance(end, Declined) for end in ends), ends

    run(story())


def test_a_person_who_compares_learns_that_the_other_side_has_left() -> None:
    async def story() -> None:
        async with meeting() as both:

            async def ask(number: str) -> None:
                await asyncio.sleep(60)

            settling = asyncio.create_task(both.offering.settle(ask, lambda number: None))
            await asyncio.sleep(0)
            await both.answering.close()
            with pytest.raises(ConnectionLost):
                await settling

    run(story())


def test_the_pin_belongs_to_the_answering_side_only() -> None:
    async def story() -> None:
        pin = Peer(ALONE, SECRET, offering=True).pin
        assert len(pin) == derive.PIN_SIZE
        with pytest.raises(ValueError, match="pin"):
            Peer(ALONE, SECRET, offering=True, remote_pin=pin)
        with pytest.raises(ValueError, match="pin"):
            Peer(ALONE, SECRET, offering=False)
        answering = [Peer(ALONE, SECRET, offering=False, remote_pin=pin).pin for _ in range(2)]
        assert answering[0] == answering[1] == derive.public_key_pin(derive.answer_key(SECRET).public_key())

    run(story())


@pytest.mark.parametrize("stage", ["new", "gathered", "connecting"])
def test_close_is_safe_in_any_state(stage: str) -> None:
    async def story() -> None:
        peer = Peer(ALONE, SECRET, offering=True, times=NetTimes(close_s=3 * PROMPT_S))
        connecting = None
        if stage != "new":
            await peer.gather()
        if stage == "connecting":
            connecting = asyncio.create_task(peer.connect())
            await asyncio.sleep(0.01)
        started = time.monotonic()
        await peer.close()
        await peer.close()
        assert time.monotonic() - started < PROMPT_S
        if connecting is not None:
            with pytest.raises(NoConnection):
                await connecting
        with pytest.raises(NoConnection):
            peer.path()
        with pytest.raises(NoConnection):
            peer.export("EXPERIMENTAL-x", 16)
        peer.add_remote([])

    run(story())


@pytest.mark.parametrize("how", ["closed", "cancelled"])
def test_gathering_can_be_broken_off(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def no_name_server(host: str, port: int) -> list[str]:
        asked.set()
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr("p2pcopy.net.allocation.resolve", no_name_server)

    async def story() -> None:
        peer = Peer(NetSettings(stun=(IceServer("stun:stun.example.org"),)), SECRET, offering=True)
        gathering = asyncio.create_task(peer.gather())
        await asked.wait()
        if how == "cancelled":
            gathering.cancel()
        closing = asyncio.create_task(peer.close())
        await asyncio.wait([gathering, closing])
        if how == "cancelled":
            assert gathering.cancelled()
        else:
            assert isinstance(gathering.exception(), NoConnection)
        for endpoint in peer._ice._endpoints:
            with pytest.raises(OSError, match="closed"):
                await endpoint.ask(("127.0.0.1", 9), [0.01])  # type: ignore[attr-defined]

    run(story())


def test_waiting_can_be_given_up_and_taken_up_again() -> None:
    async def story() -> None:
        offering, answering = await introduce()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await offering.connect()
            await asyncio.gather(offering.connect(), answering.connect())
        finally:
            await asyncio.gather(offering.close(), answering.close())

    run(story())


def test_a_session_that_does_not_come_up_is_tried_again() -> None:
    async def story() -> None:
        offering, answering = await introduce(times=NetTimes(handshake_s=0.3))
        try:
            connecting = asyncio.create_task(offering.connect())
            await answering._ice.connected()  # answers checks, and nothing above
            await asyncio.sleep(0.7)
            assert not connecting.done()
            answering._ice.reject()
            await asyncio.gather(connecting, answering.connect())
        finally:
            await asyncio.gather(offering.close(), answering.close())

    run(story())


def test_the_path_is_still_known_after_the_end() -> None:
    async def story() -> None:
        async with meeting() as both:
            before = both.offering.path()
            await both.offering.close()
            after = both.offering.path()
            assert (after.local, after.remote, after.kind) == (before.local, before.remote, before.kind)

    run(story())


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: elsewhere nothing tells of refusals")
def test_a_peer_whose_process_is_gone_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "GONE_S", 1.0)

    async def story() -> None:
        async with meeting() as both:
            news: list[PathNews] = []
            both.offering.on_path = news.append
            inbox = Inbox()
            both.left.attach(inbox)
            killed = time.monotonic()
            for endpoint in list(both.answering._ice._endpoints):
                await endpoint.close()
            await inbox.until(closed=1)
            assert time.monotonic() - killed < PROMPT_S
            assert isinstance(news[0], Stalled)
            assert both.left.failure is not None
            assert "gone" in both.left.failure.message
            assert inbox.closed == 1
            assert not both.left.stalled

    run(story())


def test_a_peer_that_does_not_come_back_is_given_up() -> None:
    async def story() -> None:
        settings = replace(ALONE, stall_limit_s=3.5)
        async with meeting(settings) as both:
            inbox = Inbox()
            both.left.attach(inbox)
            both.answering._ice._agent.tick = lambda now: None  # type: ignore[method-assign]
            both.answering._ice.stun_received = lambda *_: None  # type: ignore[method-assign]
            stalled: list[bool] = []
            both.offering.on_path = lambda news: stalled.append(both.left.stalled)
            await inbox.until(closed=1)
            assert stalled[0] is True
            assert both.left.failure is not None
            assert "nothing was heard" in both.left.failure.message
            with pytest.raises(ConnectionLost, match="nothing was heard"):
                both.left.send_control(b"x")

    run(story())


def test_relay_only_without_a_relay() -> None:
    async def story() -> None:
        peer = Peer(NetSettings(stun=(), relay=Relay.ONLY), SECRET, offering=True)
        with pytest.raises(UsageError, match="TURN"):
            await peer.gather()
        await peer.close()

    run(story())


def test_a_server_of_the_wrong_kind() -> None:
    async def story() -> None:
        with pytest.raises(UsageError, match="STUN"):
            Peer(NetSettings(stun=(IceServer("turn:192.0.2.1"),)), SECRET, offering=True)
        with pytest.raises(UsageError, match="TURN"):
            Peer(NetSettings(stun=(), turn=(IceServer("stun:192.0.2.1"),)), SECRET, offering=True)
        Peer(NetSettings(stun=(), turn=(IceServer("stun:192.0.2.1"),), relay=Relay.NEVER), SECRET, offering=True)

    run(story())


def test_dead_servers_cost_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_name_server(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr("p2pcopy.net.allocation.resolve", no_name_server)
    urls = ("stun:stun.example.org", "turn:turn.example.org")
    settings = NetSettings(stun=(IceServer(urls[0]),), turn=(IceServer(urls[1], "user", "password"),))

    async def story() -> None:
        peer = Peer(settings, SECRET, offering=True, times=NetTimes(gather_limit_s=0.3))
        started = time.monotonic()
        candidates = await peer.gather()
        took = time.monotonic() - started
        await peer.close()
        assert 0.2 < took < PROMPT_S
        assert {candidate.type for candidate in candidates} == {"host"}
        assert [report.url for report in peer.server_reports] == list(urls)
        assert all(not report.ok and "no answer" in report.reason for report in peer.server_reports)

    run(story())
