"""Bursts of ChannelData, framed and taken apart again."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.net.channeldata import HEADER_SIZE, Payloads, framed, is_channel_data, message_size

SIZES = st.integers(1, 1500)


@dataclass
class Taken:
    """What comes out; all of it must be in the same buffer."""

    got: list[tuple[int, bytes]] = field(default_factory=list)
    batches: int = 0
    buffers: set[int] = field(default_factory=set)

    def take(self, channel: int, data: bytearray, size: int, segment: int) -> None:
        self.batches += 1
        self.buffers.add(id(data))
        self.got += [(channel, bytes(data[at : min(at + segment, size)])) for at in range(0, size, segment)]


def stream(frames: bytes, payloads: Payloads) -> None:
    """As one reads from TCP."""
    at = 0
    while at < len(frames):
        size = message_size(frames, at)
        assert size is not None
        at += payloads.take(frames, at, (len(frames) - at) // size, size) * size
    payloads.flush()


def burst(count: int, size: int, last: int) -> tuple[memoryview, list[bytes]]:
    datagrams = [bytes([number % 256]) * size for number in range(count)] + ([b"z" * last] if last else [])
    return memoryview(b"".join(datagrams)), datagrams


@pytest.mark.parametrize("padded", [False, True])
@given(count=st.integers(0, 50), size=SIZES, last=st.data())
def test_a_burst_comes_out_as_it_was(padded: bool, count: int, size: int, last: st.DataObject) -> None:
    data, datagrams = burst(count, size, last.draw(st.integers(0, size - 1)))
    frames = framed(0x4001, data, size, padded=padded)
    assert len(frames) == sum(4 + (len(each) + 3 & ~3 if padded else len(each)) for each in datagrams)
    taken = Taken()
    payloads = Payloads(taken.take)
    if padded:
        stream(frames, payloads)
    else:
        step = size + HEADER_SIZE
        whole = len(frames) // step
        place = 0
        while place < whole:  # as many at a time as there is room for
            place += payloads.take(frames, place * step, whole - place, step)
        assert place == whole
        if len(frames) % step:
            assert payloads.take(frames, whole * step, 1, len(frames) % step) == 1
        payloads.flush()
    assert taken.got == [(0x4001, each) for each in datagrams]
    assert taken.batches <= 2  # of at most 65536 bytes each
    assert len(taken.buffers) <= 1


@given(st.lists(st.tuples(st.integers(0x4000, 0x4002), st.sampled_from([0, 1, 7, 8, 300, 1200, 60000])), max_size=40))
def test_any_row_of_messages(messages: list[tuple[int, int]]) -> None:
    """Of several channels and sizes; the empty ones are nothing."""
    frames, wanted = b"", []
    for number, (channel, size) in enumerate(messages):
        data = bytes([number]) * size
        frames += (
            framed(channel, memoryview(data), size, padded=True) if size else channel.to_bytes(2, "big") + bytes(2)
        )
        wanted += [(channel, data)] if size else []
    taken = Taken()
    stream(frames, Payloads(taken.take))
    assert taken.got == wanted


def test_a_message_that_says_it_is_longer_than_its_datagram_is_passed_over() -> None:
    taken = Taken()
    payloads = Payloads(taken.take)
    lying, good = b"\x40\x00\x00\x05abcd", b"\x40\x00\x00\x04abcd"
    assert payloads.take(lying + good, 0, 2, 8) == 1
    assert payloads.take(lying + good, 8, 1, 8) == 1
    payloads.flush()
    assert taken.got == [(0x4000, b"abcd")]


def test_the_next_message_of_a_stream() -> None:
    assert message_size(b"\x40\x00\x00") is None
    assert message_size(b"\x40\x00\x00\x05") == 12
    assert message_size(b"??\x00\x01\x00\x08", 2) == 28
    for neither in (b"\x80\x00\x00\x00", b"\xff\xff\xff\xff"):
        with pytest.raises(ValueError, match="neither"):
            message_size(neither)
    assert [is_channel_data(first) for first in (0x3F, 0x40, 0x7F, 0x80)] == [False, True, True, False]


@given(st.binary(max_size=300), st.integers(4, 40))
def test_no_bytes_are_too_much(data: bytes, step: int) -> None:
    payloads = Payloads(Taken().take)
    at = 0
    while len(data) - at >= step:
        at += payloads.take(data, at, (len(data) - at) // step, step) * step
    payloads.flush()
