"""Inbound and Outbound together, over a simulated network with a virtual clock."""

from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_association import BINARY, CONTROL_STREAM, DATA_STREAM, End, noise, pair
from simulated_bottleneck import MBIT, Road

from p2pcopy.net.inbound import Violation
from p2pcopy.net.outbound import BASE_PAYLOAD
from p2pcopy.net.packets import BEGINS, ENDS, FORWARD_TSN, Data, Sack

SIZES = (1, 3, 1159, 1160, 1161, 1200, 2320, 65536, 250_000, 262_144)


def sizes(end: End) -> list[int]:
    return [len(message) for _, message in end.got]


@pytest.mark.parametrize(
    "road",
    [
        Road(delay_s=0.0001, rate=1000 * MBIT),
        Road(delay_s=0.05, loss=0.01),
        Road(delay_s=0.02, loss=0.1),
        Road(delay_s=0.02, rate=50 * MBIT, queue=30_000),
        Road(delay_s=0.01, loss=0.02, reordered=0.05, doubled=0.02),
        Road(delay_s=0.01, reordered=0.3, late_s=0.03),
        Road(delay_s=0.005, jitter_s=0.02),
    ],
    ids=str,
)
@pytest.mark.parametrize("zero_checksum", [True, False])
def test_what_is_sent_arrives_once_and_in_order(road: Road, zero_checksum: bool) -> None:
    clock, a, b = pair(road, zero_checksum=zero_checksum)
    there = [noise(size, size) for size in SIZES]
    back = there[::-1]
    for message in there:
        a.send(message)
    for message in back:
        b.send(message)
    clock.run(30)
    assert [message for _, message in b.got] == there
    assert [message for _, message in a.got] == back
    assert a.outbound.is_drained
    assert b.outbound.is_drained
    assert a.inbound.arrivals.held_bytes == 0


@given(
    messages=st.lists(st.integers(1, 20_000), max_size=30),
    loss=st.floats(0, 0.3),
    reordered=st.floats(0, 0.3),
    seed=st.integers(0, 1000),
    tsn=st.sampled_from([0, 1, 0x7FFFFFF0, 0xFFFFFFF8, 12345]),
    burst=st.integers(1, 44),
)
@settings(max_examples=40, deadline=None)
def test_any_messages_over_any_network(
    messages: list[int], loss: float, reordered: float, seed: int, tsn: int, burst: int
) -> None:
    clock, a, b = pair(Road(delay_s=0.01, loss=loss, reordered=reordered, doubled=0.05), seed=seed, first_tsn=tsn)
    a.wire.burst = burst
    random = Random(seed)
    for size in messages:
        a.send(noise(size, size), random.choice([CONTROL_STREAM, DATA_STREAM]), unordered=random.random() < 0.3)
    clock.run(300)
    assert sizes(b) == messages
    assert a.outbound.is_drained


def test_a_bottleneck_is_filled_and_little_is_sent_twice() -> None:
    rate = 20 * MBIT
    clock, a, b = pair(Road(delay_s=0.02, rate=rate, queue=rate * 0.05))
    block = noise(200_000)
    for _ in range(150):
        a.send(block)
    while len(b.got) < 150:
        clock.run(clock.now + 0.1)
    assert 150 * len(block) / clock.now > 0.85 * rate  # of payload, slow start included
    assert a.outbound.sent_again < 0.03 * a.sent_packets


def test_random_loss_does_not_slow_a_long_path() -> None:
    clock, a, b = pair(Road(delay_s=0.05, loss=0.01))
    block = noise(240_000)
    for _ in range(200):
        a.send(block)
    while len(b.got) < 200:
        clock.run(clock.now + 0.1)
        assert clock.now < 10
    assert a.outbound.sent_again < 0.03 * a.sent_packets


def test_the_sender_waits_for_an_application_that_does_not_read() -> None:
    clock, a, b = pair(Road(delay_s=0.01), window=1_000_000, eager=False)
    for _ in range(30):
        a.send(noise(100_000))
    clock.run(5)
    stored = sum(sizes(b))
    assert 800_000 < stored <= 1_000_000 + 100_000
    assert a.outbound.unacknowledged < 200_000
    for _ in range(100):
        b.consume(b.inbound.backlog)
        clock.run(clock.now + 0.2)
    assert len(b.got) == 30


def test_a_closed_window_is_asked_now_and_then() -> None:
    """The SACK that opens it may be lost."""
    clock, a, b = pair(Road(delay_s=0.01), window=100_000, eager=False)
    for _ in range(4):
        a.send(noise(60_000))
    clock.run(2)
    before = a.sent_packets
    clock.run(12)
    assert 10 < a.sent_packets - before < 120
    b.inbound.backlog = 0  # and nobody says so
    clock.run(14)
    b.inbound.backlog = 0
    clock.run(16)
    assert len(b.got) == 4


@pytest.mark.parametrize("told", [True, False])
def test_after_a_cut_the_rest_arrives(told: bool) -> None:
    clock, a, b = pair(Road(delay_s=0.02, rate=100 * MBIT, queue=1e6))
    silent: list[int] = []
    a.outbound.on_silence = silent.append
    messages = [noise(100_000, seed) for seed in range(100)]
    for message in messages:
        a.send(message)
    clock.run(0.3)
    a.cut = True
    clock.run(10.3)
    a.cut = False
    assert len(silent) >= 4
    begun = len(b.got)
    if told:
        a.outbound.path_is_back(clock.now)
        a.pump()
        clock.run(10.5)
        assert len(b.got) > begun
    else:
        clock.run(13)
        assert len(b.got) > begun
    clock.run(40)
    assert [message for _, message in b.got] == messages


@pytest.mark.parametrize("cut_s", [0.6, 1.6])
def test_after_a_short_break_nobody_waits_for_a_timer(cut_s: float) -> None:
    """ICE has been asked in the silence, and says when the path answers."""
    delay = 0.02
    clock, a, b = pair(Road(delay_s=delay, rate=20 * MBIT, queue=1e5))
    for seed in range(20):
        a.send(noise(100_000, seed))
    clock.run(0.3)
    a.cut = True
    clock.run(0.3 + cut_s)
    a.cut = False
    begun = len(b.got)
    a.outbound.path_answers()
    a.pump()
    clock.run(clock.now + 2.5 * delay + 0.1)  # there and back, and what is lost again
    assert len(b.got) > begun
    clock.run(10)
    assert len(b.got) == 20


def test_an_answer_of_a_path_that_was_not_silent_changes_nothing() -> None:
    clock, a, b = pair(Road(delay_s=0.02, rate=100 * MBIT, queue=1e6))
    for seed in range(20):
        a.send(noise(20_000, seed))
    for _ in range(10):
        clock.run(clock.now + 0.01)
        a.outbound.path_answers()
        a.pump()
    clock.run(5)
    assert len(b.got) == 20
    assert a.outbound.sent_again == 0


def test_a_path_that_is_cut_costs_little() -> None:
    clock, a, _ = pair(Road(delay_s=0.02, rate=100 * MBIT, queue=1e6))
    a.send(noise(250_000))
    a.cut = True
    clock.run(60)
    assert a.sent_packets < 44 * 6 + 200


def test_after_a_short_cut_what_a_long_queue_held_is_sent_again_at_once() -> None:
    """Packets that were sent twice tell nothing of the round trip, and the queue that was there before is gone."""
    rate = 50 * MBIT
    clock, a, b = pair(Road(delay_s=0.005, rate=rate, queue=2e6))
    for _ in range(200):
        a.send(noise(250_000))
    clock.run(5)
    a.outbound.controller.window = 1000.0  # as after a minute of CUBIC
    clock.run(6)
    a.cut = b.cut = True
    clock.run(7)
    a.cut = b.cut = False
    on_the_way = a.outbound.flight.next
    assert on_the_way - a.outbound.flight.oldest > 800
    clock.run(9.2)
    assert a.outbound.flight.oldest >= on_the_way


def test_what_waits_for_room_in_the_window_waits_for_one_timer_only() -> None:
    """What was sent last is lost all but a little in the middle, which tells of the first losses: the window is halved, and what
    is taken to be on the way fills it."""
    clock, a, b = pair(Road(delay_s=0.002, rate=1000 * MBIT))
    lost_since: list[float] = []

    def is_lost(packet: bytes) -> bool:
        number = a.outbound.flight.next
        if len(packet) < 1000 or number < 3800:
            return False
        lost_since.append(clock.now)
        return clock.now < lost_since[0] + 0.04 and not 3950 <= number <= 4000

    a.is_lost = is_lost
    messages = [noise(240_000, seed) for seed in range(100)]
    for message in messages:
        a.send(message)
    clock.run(0.1)
    assert a.outbound.flight.in_flight > a.outbound.controller.window
    assert a.outbound.flight.has_lost
    clock.run(1.5)
    assert [message for _, message in b.got] == messages


def test_another_path_in_the_middle_of_a_message() -> None:
    clock, a, b = pair(Road(delay_s=0.02, rate=20 * MBIT, queue=1e6))
    a.outbound.set_payload(1404)
    messages = [noise(250_000, seed) for seed in range(8)]
    for message in messages:
        a.send(message)
    for size in (BASE_PAYLOAD, 1404, 1100, 1404):
        clock.run(clock.now + 0.11)
        a.outbound.new_path(clock.now)
        a.outbound.set_payload(size)
        a.pump()
    clock.run(30)
    assert [message for _, message in b.got] == messages


def test_another_size_before_a_message_has_begun_to_leave() -> None:
    """The window is closed, and small messages ask for more now and then: the next one is ready and waits."""
    clock, a, b = pair(Road(delay_s=0.01), window=100_000, eager=False)
    messages = [99_000, 99_000, *[900] * 40, 5_000]
    for size in messages:
        a.send(noise(size))
    for size in (1404, 1404, 200, 1160):
        clock.run(clock.now + 0.9)
        a.outbound.set_payload(size)
    for _ in range(10):
        b.consume(b.inbound.backlog)
        clock.run(clock.now + 1)
    assert sizes(b) == messages


def test_the_next_tsn() -> None:
    _, a, _ = pair(Road(delay_s=0.01))
    assert a.outbound.next_tsn == a.first_tsn
    a.send(noise(1161))
    assert a.outbound.next_tsn == a.first_tsn + 2


def test_a_path_that_is_back_with_nothing_on_the_way() -> None:
    clock, a, b = pair(Road(delay_s=0.01))
    a.outbound.path_is_back(clock.now)
    assert a.outbound.due is None
    a.send(b"x")
    clock.run(1)
    assert sizes(b) == [1]


@pytest.mark.parametrize("zero_checksum", [True, False])
@pytest.mark.parametrize("loss", [0, 0.05])
def test_what_is_under_way_when_the_path_gets_narrow_arrives_in_halves(zero_checksum: bool, loss: float) -> None:
    clock, a, b = pair(Road(delay_s=0.02, rate=20 * MBIT, queue=1e6, loss=loss), zero_checksum=zero_checksum)
    a.outbound.set_payload(1404)
    messages = [noise(250_000 - seed, seed) for seed in range(4)]
    for message in messages:
        a.send(message)
    clock.run(0.2)
    a.narrow = True
    a.outbound.on_silence = lambda timeouts: a.outbound.set_payload(BASE_PAYLOAD)
    clock.run(10)
    assert [message for _, message in b.got] == messages


def test_a_peer_that_takes_no_halves_gets_whole_packets() -> None:
    clock, a, b = pair(Road(delay_s=0.02), takes_halves=False)
    a.outbound.set_payload(1404)
    a.cut = True
    a.send(noise(20_000))
    clock.run(1)
    a.outbound.set_payload(BASE_PAYLOAD)
    a.cut = False
    clock.run(5)
    assert sizes(b) == [20_000]
    assert not b.halves._waiting


def test_a_wire_that_is_full_gets_nothing() -> None:
    clock, a, b = pair(Road(delay_s=0.01))
    a.wire.is_full = True
    a.send(noise(50_000))
    clock.run(1)
    assert a.sent_packets == 0
    a.wire.is_full = False
    a.pump()
    clock.run(2)
    assert sizes(b) == [50_000]


def test_messages_are_done_when_they_have_left() -> None:
    clock, a, _ = pair(Road(delay_s=0.5))
    a.send(b"x")
    assert not a.queue
    assert (a.outbound.is_drained, a.outbound.unacknowledged) == (False, BASE_PAYLOAD)
    clock.run(3)
    assert (a.outbound.is_drained, a.outbound.unacknowledged) == (True, 0)


def fragment(end: End, offset: int, flags: int, payload: bytes, stream: int = DATA_STREAM) -> Data:
    """That the peer of end would send."""
    return Data(flags, (end.peer.first_tsn + offset) & 0xFFFFFFFF, stream, BINARY, payload)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_message_that_does_not_end(size: int) -> None:
    _, _, b = pair(Road())

    def send() -> None:
        for number in range(30_000):
            b.inbound.data(fragment(b, number, BEGINS if number == 0 else 0, bytes(size)))

    with pytest.raises(Violation):
        send()


def test_a_path_that_is_new_and_back_begins_as_a_new_one() -> None:
    clock, a, b = pair(Road(delay_s=0.05))
    a.outbound.new_path(clock.now)
    a.outbound.path_is_back(clock.now)
    for _ in range(60):
        a.send(noise(250_000))
    clock.run(2.5)
    assert len(b.got) == 60


def test_a_closed_window_is_no_timeout() -> None:
    """A peer that drops what asks for room, and says that there is none, is there all the same (RFC 9260 section 6.1 A)."""
    clock, a, _ = pair(Road(delay_s=0.01))
    silent: list[int] = []
    a.outbound.on_silence = silent.append
    a.send(noise(1000))
    clock.run(1)
    a.cut = True
    a.send(noise(5000))
    for _ in range(50):
        clock.run(clock.now + 0.1)
        a.outbound.acknowledged(Sack((a.first_tsn + a.outbound.flight.oldest - 1) & 0xFFFFFFFF, 0, (), ()), clock.now)
    assert not silent


def test_after_a_reset_a_stream_begins_with_its_first_message() -> None:
    clock, a, _ = pair(Road(delay_s=0.01))
    packets_of: list[bytes] = []
    a.peer.receive = lambda packet, now: packets_of.append(packet)  # type: ignore[method-assign]
    for _ in range(3):
        a.send(b"x")
    a.outbound.reset_stream(DATA_STREAM)
    a.send(b"x")
    clock.run(1)
    sequences = [int.from_bytes(packet[22:24], "big") for packet in packets_of if packet[12] == 0]
    assert sequences == [0, 1, 2, 0]


@pytest.mark.parametrize("flags", [0, ENDS])
def test_a_message_without_its_beginning(flags: int) -> None:
    _, _, b = pair(Road())
    with pytest.raises(Violation):
        b.inbound.data(fragment(b, 0, flags, b"x"))


def test_a_message_whose_beginning_was_given_up_is_dropped() -> None:
    _, _, b = pair(Road())
    b.inbound.forward(b.peer.first_tsn)
    for number, flags in enumerate((0, ENDS, BEGINS, ENDS), 1):
        b.inbound.data(fragment(b, number, flags, bytes([number])))
    assert b.got == [(DATA_STREAM, b"\3\4")]


def test_what_is_given_up_is_not_waited_for() -> None:
    """RFC 3758: the first message lost its end, the second is whole, the third has not begun to arrive."""
    _, _, b = pair(Road())
    b.inbound.data(fragment(b, 0, BEGINS, b"a"))
    b.inbound.data(fragment(b, 2, BEGINS | ENDS, b"whole"))
    b.inbound.data(fragment(b, 4, ENDS, b"z"))
    chunk = struct.pack("!BBHL", FORWARD_TSN, 0, 8, (b.peer.first_tsn + 4) & 0xFFFFFFFF)
    b.feed([b.peer.way.packet(chunk, zero_checksum=True)])
    assert b.got == [(DATA_STREAM, b"whole")]
    b.inbound.data(fragment(b, 5, BEGINS | ENDS, b"next"))
    assert b.got[1:] == [(DATA_STREAM, b"next")]
    b.inbound.data(fragment(b, 7, BEGINS, b"la"))
    b.inbound.data(fragment(b, 8, ENDS, b"st"))
    b.inbound.forward((b.peer.first_tsn + 8) & 0xFFFFFFFF)
    assert b.got[2:] == [(DATA_STREAM, b"last")]
    assert b.inbound.cumulative == (b.peer.first_tsn + 8) & 0xFFFFFFFF


@pytest.mark.parametrize("damage", ["tag", "checksum", "short"])
def test_packets_that_are_not_sound_are_ignored(damage: str) -> None:
    _, a, b = pair(Road())
    packet = bytearray(a.way.packet(struct.pack("!BBHLHHL", 0, BEGINS | ENDS, 20, a.first_tsn, 1, 0, BINARY) + b"four",
                                    zero_checksum=False))  # fmt: skip
    sound = bytes(packet)
    if damage == "tag":
        packet[5] ^= 1
        packet[8:12] = bytes(4)
    elif damage == "checksum":
        packet[-1] ^= 1
    else:
        del packet[20:]
    b.feed([bytes(packet), b"", b"x"][:1])
    assert not b.got
    b.feed([sound])
    assert b.got == [(DATA_STREAM, b"four")]


@pytest.mark.parametrize("gaps", [(), (1, 65535), (5, 2), (0, 0)])
@pytest.mark.parametrize("offset", [-5, -1, 40, 100_000, 1 << 31])
def test_acknowledgements_of_a_liar(offset: int, gaps: tuple[int, ...]) -> None:
    clock, a, _ = pair(Road(delay_s=0.01))
    a.send(noise(20_000))
    a.outbound.acknowledged(Sack((a.first_tsn + offset) & 0xFFFFFFFF, 1 << 20, gaps, (1, 2, 3)), clock.now)
    assert a.outbound.flight.in_flight >= 0
    assert a.outbound.flight.oldest <= a.outbound.flight.next
    clock.run(5)
    assert a.outbound.unacknowledged == 0


def test_openssl_that_refuses_is_an_error() -> None:
    _, a, _ = pair(Road())
    a.wire.seal = lambda size: -1  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        a.send(b"x")
    _, a, _ = pair(Road())
    a.wire.seal = lambda size: -1  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        a.send(bytes(5000))
    clock, a, _ = pair(Road())
    a.outbound.set_payload(1404)
    a.cut = True
    a.send(bytes(5000))
    a.outbound.set_payload(BASE_PAYLOAD)
    a.wire.seal = lambda size: -1  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        clock.run(5)
