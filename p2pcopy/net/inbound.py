"""What the peer sends in DATA chunks: put in order, made whole messages, acknowledged (RFC 9260 sections 3.3.1, 3.3.4, 6.2).

Without I/O. Packets are taken from a buffer that the record layer fills; what is neither plain DATA nor a plain
RUN goes to `other`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from p2pcopy.net.arrivals import Arrivals
from p2pcopy.net.packets import BEGINS, COMMON_HEADER, DATA, DATA_HEADER, ENDS, INIT, SACK, Chunk, Data, Way
from p2pcopy.net.runs import RUN, RUN_HEADER, split, tsns, unpack_step

FEW_FRAGMENTS: Final = 256  # of one message
MAX_FRAGMENTS: Final = 10_000
MAX_DUPLICATES: Final = 16  # told in one SACK

_M32: Final = 0xFFFFFFFF
# From byte 4: verification tag, checksum; type, flags, length, TSN, stream, stream sequence number, payload protocol.
_unpack_data: Final = struct.Struct("!LLBBHLHHL").unpack_from
_pack_sack: Final = struct.Struct("!BBHLLHH").pack
_SACK_HEADER: Final = 16


class Violation(Exception):
    """The peer does what no honest one does."""


class Inbound:
    """deliver(stream, protocol, message): in the order of TSNs, which keeps the order within each stream.

    way: the peer's to us; packets without a checksum are taken, too (RFC 9653); window: bytes that may wait here; sack_every:
    packets; max_message: bytes, of a message that is not whole yet. backlog: bytes of messages that were delivered and still wait
    for the application; kept by who uses this.
    """

    def __init__(
        self,
        cumulative_tsn: int,
        *,
        way: Way,
        window: int,
        sack_every: int,
        max_message: int,
        deliver: Callable[[int, int, bytes], None],
        other: Callable[[bytes], None],
    ) -> None:
        self.arrivals: Arrivals[tuple[int, int, int, bytes]] = Arrivals(cumulative_tsn, window)
        self.backlog = 0
        self.sacks: list[bytes] = []
        self.told_window = window
        self.is_over = False  # nothing is taken any more
        self._way = way
        self._window = window
        self._sack_every = sack_every
        self._max_message = max_message
        self._deliver = deliver
        self._other = other
        self._parts: list[bytes] = []
        self._unsaid = 0
        self._check_at = FEW_FRAGMENTS
        self._has_given_up = False

    @property
    def cumulative(self) -> int:
        return self.arrivals.cumulative

    @property
    def unsaid(self) -> int:
        """Packets that have come since the last SACK."""
        return self._unsaid

    def read(self, open_next: Callable[[], int], packet: bytes) -> int:
        """Take packets until there are none; returns what open_next() said last. Raises Violation.

        open_next: puts the next one into packet, which quacks like bytes, and returns its size. The next packet in order is dealt
        with right here: this is where the time goes.
        """
        arrivals, parts, tag, every = self.arrivals, self._parts, self._way.ports_and_tag[2], self._sack_every
        cumulative, unsaid = arrivals.cumulative, self._unsaid
        while (size := open_next()) > 0:
            if size > DATA_HEADER:
                its_tag, checksum, kind, flags, length, tsn, stream, _, protocol = _unpack_data(packet, 4)
                end = COMMON_HEADER + length
                if kind == DATA and its_tag == tag and end > DATA_HEADER and 0 <= size - end < 4:
                    if checksum and not self.is_sound(packet[:size]):
                        continue
                    unsaid += 1
                    if tsn == (cumulative + 1) & _M32:
                        cumulative = tsn
                        if parts and not flags & 3:
                            parts.append(packet[DATA_HEADER:end])
                        else:
                            arrivals.cumulative = cumulative
                            self._take(flags, stream, protocol, packet[DATA_HEADER:end])
                        if arrivals.has_gaps:
                            arrivals.cumulative = cumulative
                            self._drain()
                            cumulative = arrivals.cumulative
                    else:
                        arrivals.cumulative = cumulative
                        payload = packet[DATA_HEADER:end]
                        arrivals.take(tsn, (flags, stream, protocol, payload), len(payload))
                    if unsaid >= every:
                        arrivals.cumulative = cumulative
                        self._unsaid = unsaid = 0
                        self.acknowledge()
                    continue
                if kind == RUN and its_tag == tag and not checksum and end == size and not arrivals.has_gaps:
                    count = tsns(size - RUN_HEADER, unpack_step(packet, COMMON_HEADER)[0])
                    if count and tsn == (cumulative + 1) & _M32:
                        unsaid += count
                        arrivals.cumulative = cumulative = (cumulative + count) & _M32
                        self._take(flags, stream, protocol, packet[RUN_HEADER:size])
                        if unsaid >= every:
                            self._unsaid = unsaid = 0
                            self.acknowledge()
                        continue
            arrivals.cumulative, self._unsaid = cumulative, unsaid
            self._other(packet[:size])
            if self.is_over:
                return size
            cumulative, unsaid = arrivals.cumulative, self._unsaid
        arrivals.cumulative, self._unsaid = cumulative, unsaid
        self._check_size()
        return size

    def data(self, chunk: Data) -> None:
        """A DATA chunk that came with others in one packet. Raises Violation."""
        self._unsaid += 1
        arrivals = self.arrivals
        if chunk.tsn == (arrivals.cumulative + 1) & _M32:
            arrivals.cumulative = chunk.tsn
            self._take(chunk.flags, chunk.stream, chunk.protocol, chunk.payload)
            self._drain()
        else:
            item = (chunk.flags, chunk.stream, chunk.protocol, chunk.payload)
            arrivals.take(chunk.tsn, item, len(chunk.payload))
        self._check_size()

    def run(self, chunk: Chunk) -> None:
        """A RUN chunk (runs.py). Raises Violation."""
        found = split(chunk)
        if not found:
            raise Violation("a run without data")
        for data in found:
            self.data(data)

    def is_sound(self, packet: bytes) -> bool:
        """Are the verification tag and the checksum right? (RFC 9260 sections 6.8, 8.5). packet: of 16 bytes or more."""
        tag = int.from_bytes(packet[4:8], "big")
        if tag != (0 if packet[COMMON_HEADER] == INIT else self._way.ports_and_tag[2]):
            return False
        checksum = int.from_bytes(packet[8:12], "little")
        return not checksum or checksum == self._way.checksum(packet[COMMON_HEADER:])

    def forward(self, cumulative_tsn: int) -> None:
        """FORWARD-TSN (RFC 3758 section 3.6): the peer gives up what is missing up to there."""
        self._unsaid += 1
        self._has_given_up = True
        expected = (self.arrivals.cumulative + 1) & _M32
        for tsn, item in self.arrivals.forward(cumulative_tsn):
            if tsn != expected:
                self._parts.clear()  # of a message that will never be whole
            expected = (tsn + 1) & _M32
            self._take(*item)
        if expected != (self.arrivals.cumulative + 1) & _M32:
            self._parts.clear()
        self._drain()

    def acknowledge(self, room: int = 1024) -> None:
        """Put a SACK chunk into sacks. room: bytes for it in a packet."""
        self._unsaid = 0
        arrivals = self.arrivals
        duplicates = arrivals.take_duplicates(MAX_DUPLICATES)
        gaps = arrivals.gaps((room - _SACK_HEADER - 4 * len(duplicates)) // 4)
        self.told_window = window = max(0, self._window - arrivals.held_bytes - self.backlog)
        length = _SACK_HEADER + 2 * len(gaps) + 4 * len(duplicates)
        head = _pack_sack(SACK, 0, length, arrivals.cumulative, window, len(gaps) // 2, len(duplicates))
        self.sacks.append(head + struct.pack(f"!{len(gaps)}H{len(duplicates)}L", *gaps, *duplicates))

    @property
    def should_reopen(self) -> bool:
        """The peer was told of a small window, and there is room again."""
        return self.told_window < self._window // 4 and self.backlog + self.arrivals.held_bytes < self._window // 2

    def _take(self, flags: int, stream: int, protocol: int, payload: bytes) -> None:
        """The next fragment in order. A message's fragments have consecutive TSNs (RFC 9260 section 6.9)."""
        parts = self._parts
        if flags & BEGINS:
            parts.clear()
        elif not parts:
            if not self._has_given_up:
                raise Violation("a message without a beginning")
            return
        parts.append(payload)
        if flags & ENDS:
            message = b"".join(parts)  # of one piece: that piece
            parts.clear()
            self._deliver(stream, protocol, message)

    def _drain(self) -> None:
        for item in self.arrivals.advance_run():
            self._take(*item)

    def _check_size(self) -> None:
        count = len(self._parts)
        if count < FEW_FRAGMENTS:
            self._check_at = FEW_FRAGMENTS
        elif count >= self._check_at:
            self._check_at = 2 * count
            if count > MAX_FRAGMENTS or sum(map(len, self._parts)) > self._max_message:
                raise Violation("a message that does not end")
