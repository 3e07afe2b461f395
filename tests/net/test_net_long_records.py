"""Inbound and Outbound with several packets in a record, over a simulated network with a virtual clock."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_association import BINARY, CONTROL_STREAM, DATA_STREAM, End, noise, pair
from simulated_bottleneck import MBIT, Clock, Road

from p2pcopy.net import calm, outbound, packets
from p2pcopy.net.inbound import Violation
from p2pcopy.net.outbound import BASE_PAYLOAD
from p2pcopy.net.packets import BEGINS, DATA, ENDS, Chunk, Data
from p2pcopy.net.runs import RUN, split
from p2pcopy.net.slices import SLICE

FAST = Road(delay_s=0.002, rate=1000 * MBIT)
RUN_BYTES = 11 * BASE_PAYLOAD  # with bursts of 44
_M32 = 0xFFFFFFFF


def is_slice(packet: bytes) -> bool:
    return packet[0] == SLICE


@pytest.fixture
def calm_soon() -> Iterator[None]:
    """Else each test would have to send thousands of packets first."""
    with patch.object(calm, "LEAST", 100):
        yield


@pytest.fixture
def calm_always() -> Iterator[None]:
    """Nearly: loss changes nothing for long, and bursts may be short."""
    with patch.object(calm, "LEAST", 1), patch.object(calm, "MOST", 1), patch.object(outbound, "MIN_RECORDS", 1):
        yield


def in_long_records(end: End) -> int:
    """Packets."""
    return sum(end.wire.long_records)


def send_all(clock: Clock, a: End, b: End, blocks: list[bytes]) -> None:
    """And see that they arrive, in order."""
    before = len(b.got)
    for block in blocks:
        a.send(block)
    end = clock.now + 300
    while len(b.got) < before + len(blocks) and clock.now < end:
        clock.run(clock.now + 0.05)
    assert [message for _, message in b.got[before:]] == blocks


def in_use() -> tuple[Clock, End, End, int]:
    """Two ends on a path that has become calm, and how many packets were sent in long records already."""
    clock, a, b = pair(FAST)
    send_all(clock, a, b, [noise(20 * RUN_BYTES)] * 2)
    before = in_long_records(a)
    assert before
    return clock, a, b, before


# When they are used


def test_most_of_what_a_calm_fast_path_carries_is_in_long_records() -> None:
    clock, a, b = pair(FAST)
    total = 5 * calm.LEAST
    send_all(clock, a, b, [noise(20 * RUN_BYTES)] * (total // 220))
    assert set(a.wire.long_records) == {11}
    assert 0.9 * (total - calm.LEAST) - 4000 < in_long_records(a) <= total - calm.LEAST
    assert a.outbound.sent_again == 0
    assert not b.wire.long_records


@pytest.mark.usefixtures("calm_soon")
@pytest.mark.parametrize(
    ("road", "options"),
    [
        (FAST, {"takes_runs": False}),
        (FAST, {"zero_checksum": False}),
        (replace(FAST, loss=0.1), {}),
        (Road(delay_s=0.01, rate=100 * MBIT, queue=1e6), {}),
    ],
    ids=["a peer that takes none", "with checksums", "a path that loses", "a slow path"],
)
def test_when_they_are_not_used(road: Road, options: dict[str, bool]) -> None:
    clock, a, b = pair(road, None, 1, **options)
    send_all(clock, a, b, [noise(20 * RUN_BYTES)] * 10)
    assert in_long_records(a) <= (300 if road.rate < FAST.rate else 0)  # at most in slow start


@pytest.mark.usefixtures("calm_soon")
def test_where_the_window_is_small_one_would_be_too_much_of_it() -> None:
    _, a, _, before = in_use()
    a.outbound.controller.window = 80.0
    a.send(noise(5 * RUN_BYTES))
    assert in_long_records(a) == before


@pytest.mark.usefixtures("calm_soon")
@pytest.mark.parametrize("burst", [1, 2, 16, 44, 88])
def test_a_burst_consists_of_them(burst: int) -> None:
    clock, a, b = pair(FAST)
    a.wire.burst = burst
    send_all(clock, a, b, [noise(16 * 11 * BASE_PAYLOAD)] * 5)
    assert set(a.wire.long_records) == {1: set(), 2: set(), 16: {8}, 44: {11}, 88: {11}}[burst]


@pytest.mark.usefixtures("calm_soon")
def test_another_path_has_to_be_calm_again() -> None:
    clock, a, b, before = in_use()
    a.outbound.new_path(clock.now)
    a.send(noise(20 * RUN_BYTES))
    assert in_long_records(a) == before
    clock.run(clock.now + 1)
    send_all(clock, a, b, [noise(20 * RUN_BYTES)] * 2)
    assert in_long_records(a) > before


# Messages of all lengths


@pytest.mark.usefixtures("calm_always")
@pytest.mark.parametrize("first_tsn", [0, 0xFFFFFFF0, 0xFFFFFFFF, 0x7FFFFFFA])
@pytest.mark.parametrize("payload", [BASE_PAYLOAD, 1404])
def test_beginning_and_end_of_messages(first_tsn: int, payload: int) -> None:
    """In one run, in the first and last of several, and beside runs; numbers wrap in the middle of a run."""
    clock, a, b = pair(FAST, first_tsn=first_tsn)
    a.outbound.set_payload(payload)
    a.outbound.controller.window = 1000.0
    send_all(clock, a, b, [b"first"])
    a.outbound._calm.used(0)  # as if the trial were over
    length = 11
    sizes = [length * payload * count + more for count in (1, 2, 4, 5) for more in (-1, 0, 1, payload - 1, payload)]
    send_all(clock, a, b, [noise(size, size) for size in sizes])
    assert set(a.wire.long_records) == {length}
    assert in_long_records(a) >= sum(size // (length * payload) for size in sizes) * length / 2
    assert a.outbound.sent_again == 0


# Losses


@pytest.mark.usefixtures("calm_soon")
@pytest.mark.parametrize("index", range(11))
def test_a_lost_slice_has_the_record_sent_again_in_plain_packets(index: int) -> None:
    clock, a, b = pair(FAST)
    send_all(clock, a, b, [noise(20 * RUN_BYTES)] * 2)
    lost: list[bytes] = []

    def is_lost(packet: bytes) -> bool:
        """That slice of one record."""
        if lost or not is_slice(packet) or packet[1] & 15 != index:
            return False
        lost.append(packet)
        return True

    a.is_lost = is_lost
    before = in_long_records(a)
    send_all(clock, a, b, [noise(20 * RUN_BYTES, seed) for seed in range(10)])
    assert len(lost) == 1
    assert a.outbound.sent_again == 11
    assert in_long_records(a) > before  # until the loss was known, and later on
    assert in_long_records(a) - before < 10 * 220 - 150  # not while the path had to be calm again


def test_a_path_that_swallows_slices_is_tried_ever_more_rarely() -> None:
    with patch.object(calm, "LEAST", 1000):
        clock, a, b = pair(FAST)
    waits: list[int] = []
    tried: list[bytes] = []

    def is_lost(packet: bytes) -> bool:
        if is_slice(packet):
            waits.append(a.outbound._calm._wanted)
            tried.append(packet)
        return is_slice(packet)

    a.is_lost = is_lost
    send_all(clock, a, b, [noise(20 * RUN_BYTES, seed) for seed in range(250)])
    tries = sorted(set(waits))
    assert tries == [1000 << at for at in range(len(tries))]
    assert 3 <= len(tries) <= 6
    assert len(tried) <= len(tries) * a.wire.burst
    assert a.outbound.sent_again <= len(tried)
    assert clock.now < 10  # s: 0.3 without a loss


@pytest.mark.usefixtures("calm_soon")
def test_losses_that_a_timer_finds_count() -> None:
    """Of two packets each time the first is lost: too few overtake it for the SACK to tell."""
    clock, a, b, before = in_use()
    lost: list[bytes] = []

    def is_lost(packet: bytes) -> bool:
        if not lost:
            lost.append(packet)
            return True
        return False

    a.is_lost = is_lost
    send_all(clock, a, b, [noise(2 * BASE_PAYLOAD)])
    assert a.outbound.sent_again == 1
    a.send(noise(4 * RUN_BYTES))
    assert in_long_records(a) == before


@pytest.mark.usefixtures("calm_soon")
@pytest.mark.parametrize("loss", [0, 0.05])
def test_what_is_under_way_in_long_records_when_the_path_gets_narrow(loss: float) -> None:
    clock, a, b = pair(replace(FAST, rate=400 * MBIT, delay_s=0.02))
    a.outbound.set_payload(1404)
    messages = [noise(250_000 - seed, seed) for seed in range(40)]
    for message in messages:
        a.send(message)
    while not a.wire.long_records:
        clock.run(clock.now + 0.001)
    a.narrow = True
    random = Random(1)
    a.is_lost = lambda packet: random.random() < loss
    a.outbound.on_silence = lambda timeouts: a.outbound.set_payload(BASE_PAYLOAD)
    clock.run(60)
    assert [message for _, message in b.got] == messages
    assert a.outbound.is_drained


@pytest.mark.usefixtures("calm_soon")
@pytest.mark.parametrize("told", [True, False])
def test_after_a_cut_what_was_in_long_records_arrives(told: bool) -> None:
    clock, a, b = pair(FAST)
    messages = [noise(20 * RUN_BYTES, seed) for seed in range(60)]
    for message in messages:
        a.send(message)
    while not a.wire.long_records:
        clock.run(clock.now + 0.001)
    a.cut = True
    clock.run(clock.now + 5)
    a.cut = False
    before = in_long_records(a)
    if told:
        a.outbound.path_is_back(clock.now)
        a.pump()
    clock.run(clock.now + 30)
    assert [message for _, message in b.got] == messages
    assert in_long_records(a) > before


@pytest.mark.usefixtures("calm_always")
@pytest.mark.parametrize(
    "road",
    [
        Road(delay_s=0.01, loss=0.01),
        Road(delay_s=0.01, loss=0.05),
        Road(delay_s=0.01, reordered=0.3, late_s=0.03),
        Road(delay_s=0.01, loss=0.02, reordered=0.05, doubled=0.1),
        Road(delay_s=0.005, jitter_s=0.02, doubled=0.5),
    ],
    ids=str,
)
def test_what_is_sent_in_long_records_over_bad_paths_arrives_once_and_in_order(road: Road) -> None:
    clock, a, b = pair(road)
    send_all(clock, a, b, [noise(size, size) for size in (300_000, 262_144, 1, 65_536, 300_001, 1160 * 176)] * 2)
    assert in_long_records(a) >= 11
    clock.run(clock.now + 5)
    assert a.outbound.is_drained
    assert b.inbound.arrivals.held_bytes == 0


@given(
    messages=st.lists(st.integers(1, 120_000), max_size=12),
    loss=st.sampled_from([0, 0, 0.001, 0.01, 0.1]),
    reordered=st.sampled_from([0, 0, 0.01, 0.3]),
    doubled=st.sampled_from([0, 0.05]),
    seed=st.integers(0, 1000),
    tsn=st.sampled_from([0, 1, 0x7FFFFFF0, 0xFFFFFFF8, 12345]),
    burst=st.integers(2, 88),
)
@settings(max_examples=40, deadline=None)
def test_any_messages_over_any_network(
    messages: list[int], loss: float, reordered: float, doubled: float, seed: int, tsn: int, burst: int
) -> None:
    with patch.object(calm, "LEAST", 1), patch.object(calm, "MOST", 1), patch.object(outbound, "MIN_RECORDS", 1):
        road = Road(delay_s=0.01, loss=loss, reordered=reordered, doubled=doubled)
        clock, a, b = pair(road, seed=seed, first_tsn=tsn)
        a.wire.burst = burst
        random = Random(seed)
        expected = [noise(size, size) for size in messages]
        for message in expected:
            a.send(message, random.choice([CONTROL_STREAM, DATA_STREAM]), unordered=random.random() < 0.3)
        clock.run(300)
    assert [message for _, message in b.got] == expected
    assert a.outbound.is_drained


# What arrives


@dataclass(frozen=True)
class Sent:
    """A chunk with one or several TSNs of the peer's."""

    flags: int
    offset: int
    step: int
    payload: bytes
    is_run: bool
    stream: int = DATA_STREAM

    def chunk(self, end: End) -> bytes:
        tsn = (end.peer.first_tsn + self.offset) & _M32
        body = struct.pack("!LHHL", tsn, self.stream, 0, BINARY)
        if self.is_run:
            body += struct.pack("!HH", self.step, 0)
        body += self.payload
        return struct.pack("!BBH", RUN if self.is_run else DATA, self.flags, 4 + len(body)) + body

    def packet(self, end: End, *, zero_checksum: bool = True) -> bytes:
        chunk = self.chunk(end)
        return end.peer.way.packet(chunk + bytes(-len(chunk) % 4), zero_checksum=zero_checksum)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], list[Sent]]:
    """Messages, and chunks that they may come in: those that begin them, all other ones, and some TSNs in two ways."""
    messages, chunks, offset = [], [], 0
    for seed in range(draw(st.integers(1, 4))):
        step = draw(st.sampled_from([4, 8, 100]))
        count = draw(st.integers(1, 40))
        message = noise(step * count, seed)
        messages.append(message)
        for _ in range(draw(st.integers(1, 2))):
            at = 0
            while at < count:
                length = min(draw(st.integers(1, 16)), count - at)
                is_run = length > 1 or draw(st.booleans())
                flags = (BEGINS if at == 0 else 0) | (ENDS if at + length == count else 0)
                payload = message[at * step : (at + length) * step]
                chunks.append(Sent(flags, offset + at, step, payload, is_run))
                at += length
        offset += count
    return messages, chunks


def take_one_by_one(end: End, chunk: Chunk) -> None:
    data = [packets.parse_data(chunk)] if chunk.kind == DATA else split(chunk)
    for each in data:
        assert each is not None
        end.inbound.data(each)


@given(streams(), st.randoms(use_true_random=False), st.sampled_from([0, 0xFFFFFFF0]), st.booleans())
def test_runs_in_any_order_are_what_their_packets_are(
    stream: tuple[list[bytes], list[Sent]], random: Random, first_tsn: int, zero_checksum: bool
) -> None:
    """Whether they are read from a buffer, taken as chunks, or come as the packets that they are made of."""
    messages, chunks = stream
    how: Callable[[int], float] = random.choice(
        [lambda at: at, lambda at: at + 4 * random.random(), lambda at: random.random()]
    )
    chunks = [chunk for _, chunk in sorted(enumerate(chunks), key=lambda each: how(each[0]))]
    read, taken, single = (pair(Road(), first_tsn=first_tsn)[2] for _ in range(3))
    waiting: list[bytes] = []
    for chunk in chunks:
        waiting.append(chunk.packet(read, zero_checksum=zero_checksum))
        if random.random() < 0.5:
            read.feed(waiting)
            waiting = []
        (parsed,) = packets.chunks(chunk.chunk(taken), 0)
        if parsed.kind == RUN:
            taken.inbound.run(parsed)
        else:
            take_one_by_one(taken, parsed)
        take_one_by_one(single, parsed)
    read.feed(waiting)
    for end in (read, taken, single):
        assert [message for _, message in end.got] == messages
        assert end.inbound.cumulative == single.inbound.cumulative
        assert not end.inbound.arrivals.has_gaps
        assert end.inbound.arrivals.held_bytes == 0


def run_of(offset: int, flags: int, count: int, step: int = 4) -> Sent:
    return Sent(flags, offset, step, bytes(range(offset * step, (offset + count) * step)), is_run=True)


def test_a_run_of_which_some_is_there() -> None:
    _, _, b = pair(Road())
    b.inbound.data(Data(0, (b.peer.first_tsn + 3) & _M32, DATA_STREAM, BINARY, bytes(range(12, 16))))
    b.feed([run_of(4, 0, 2).packet(b), run_of(0, BEGINS, 4).packet(b), run_of(2, ENDS, 8).packet(b)])
    assert b.got == [(DATA_STREAM, bytes(range(40)))]
    assert b.inbound.cumulative == (b.peer.first_tsn + 9) & _M32


def test_a_run_is_acknowledged_as_its_packets_are() -> None:
    _, _, b = pair(Road(), None, 1, sack_every=64)
    said: list[int] = []
    acknowledge = b.inbound.acknowledge

    def count(room: int = 1024) -> None:
        said.append((b.inbound.cumulative - b.peer.first_tsn + 1) & _M32)
        acknowledge(room)

    b.inbound.acknowledge = count  # type: ignore[method-assign]
    b.feed([run_of(number * 16, BEGINS if number == 0 else 0, 16, 1).packet(b) for number in range(9)])
    assert said == [64, 128, 144]


def test_runs_that_hold_nothing_or_do_not_fit() -> None:
    for broken in (
        Sent(3, 0, 4, b"", is_run=True),
        Sent(3, 0, 0, b"abcd", is_run=True),
        Sent(3, 0, 3, b"abcd", is_run=True),
        Sent(3, 0, 1, bytes(20), is_run=True),
    ):
        for zero_checksum in (True, False):
            _, _, b = pair(Road())
            with pytest.raises(Violation):
                b.feed([broken.packet(b, zero_checksum=zero_checksum)])
            assert not b.got


def test_a_run_without_its_beginning() -> None:
    _, _, b = pair(Road())
    with pytest.raises(Violation):
        b.feed([run_of(0, ENDS, 4).packet(b)])


def test_a_run_that_is_not_sound_is_ignored() -> None:
    _, _, b = pair(Road())
    sound = run_of(0, BEGINS | ENDS, 4)
    packet = bytearray(sound.packet(b))
    packet[5] ^= 1
    damaged = bytearray(sound.packet(b, zero_checksum=False))
    damaged[-1] ^= 1
    b.feed([bytes(packet), bytes(damaged), sound.packet(b)[:-1]])
    assert not b.got
    b.feed([sound.packet(b)])
    assert b.got == [(DATA_STREAM, bytes(range(16)))]


def test_a_run_for_which_there_is_no_room() -> None:
    _, _, b = pair(Road(), window=40)
    for offset in range(1, 60, 16):
        b.feed([run_of(offset, 0, 16, 1).packet(b)])
    assert b.inbound.arrivals.held_bytes <= 40


def test_long_runs_of_a_message_that_does_not_end() -> None:
    """Of the largest size that a record takes: little more than the largest message is held."""
    _, _, b = pair(Road())
    size = 16 * 1008

    def send() -> None:
        for number in range(1000):
            b.feed([Sent(BEGINS if number == 0 else 0, 16 * number, 1008, bytes(size), is_run=True).packet(b)])

    with pytest.raises(Violation):
        send()
    assert sum(map(len, b.inbound._parts)) <= 300 * size
