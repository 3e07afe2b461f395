"""What goes out in DATA chunks: messages cut into packets, paced, sent again when lost (RFC 9260 sections 6.1, 6.3, 7.2, 6.9).

Without I/O: packets are put into the buffer of a `Wire`. One chunk a packet, DATA or RUN, and all packets of a burst of one size,
so that the system can cut a burst itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Final

from p2pcopy.net.calm import Calm
from p2pcopy.net.congestion import Controller
from p2pcopy.net.flight import Flight
from p2pcopy.net.messages import Message, Part, Wire
from p2pcopy.net.packets import DATA_HEADER, UNORDERED, Sack, Way
from p2pcopy.net.roundtrip import RoundTrip
from p2pcopy.net.sealing import Sealer

BASE_PAYLOAD: Final = 1160  # bytes of a message in a packet that goes everywhere: 1225 bytes of UDP with DTLS
BURSTS_A_TURN: Final = 3  # then others have their turn in the event loop
MIN_BURST: Final = 2
BURST_S: Final = 0.001  # a burst is at least what the rate gives in this time: the resolution of timers
EARLY_S: Final = 0.0005
MAX_CREDIT_S: Final = 0.002  # of the rate, that may be made up for after a late timer
SMALL_BURST: Final = 16
ZERO_WINDOW_S: Final = 0.2  # between probes of a closed window (RFC 9260 section 6.1 A)
MIN_RECORDS: Final = 2  # of several packets in a burst: on slower paths they save nothing that is short there
FEW_RECORDS: Final = 8  # of several packets; where the window has fewer, the loss of one is felt
FEW: Final = 2  # packets on the way while nothing comes back

_M16: Final = 0xFFFF


class Outbound:
    """way: to the peer; next_message: the next one to send, or None; window: the peer's, in bytes; zero_checksum: the peer takes
    packets without one (RFC 9653); takes_halves: and packets that are too long for the path in two (halves.py); takes_runs: and
    several packets in a long record (runs.py); ack_delay: s by which the peer may delay a SACK.

    on_silence: called when nothing comes back for a second timeout in a row or more, or for one while lost packets wait for room in
    the window, with the number of timeouts.
    """

    def __init__(
        self,
        first_tsn: int,
        now: float,
        *,
        way: Way,
        wire: Wire,
        next_message: Callable[[], Message | None],
        window: int,
        zero_checksum: bool,
        takes_halves: bool,
        takes_runs: bool,
        ack_delay: float,
    ) -> None:
        self.flight = Flight(first_tsn, now, ack_delay)
        self.controller = Controller(now)
        self.payload = BASE_PAYLOAD
        self.on_silence: Callable[[int], None] = lambda timeouts: None
        self.sent_again = 0
        self._wire = wire
        self._sealer = Sealer(way, wire, zero_checksum=zero_checksum)
        self._calm = Calm()
        self._next_message = next_message
        self._window = window
        self._takes_halves = takes_halves
        self._takes_runs = takes_runs and zero_checksum
        self._parts: deque[Part] = deque()
        self._part: Part | None = None  # of the message that is being sent
        self._at = 0  # in the data of that part
        self._sequences: dict[int, int] = {}
        self._next_send = 0.0
        self._next_zero_probe = 0.0
        self._limited = False
        self._must_probe = False
        self._timeouts = 0
        self.deadline: float | None = None

    @property
    def round_trip(self) -> RoundTrip:
        """Of the present path."""
        return self.flight.round_trip

    @property
    def next_tsn(self) -> int:
        return self.flight.tsn(self.flight.next)

    @property
    def is_drained(self) -> bool:
        """All that there was is sent and acknowledged."""
        return self._part is None and self.flight.oldest == self.flight.next

    @property
    def unacknowledged(self) -> int:
        """Bytes, at most."""
        return (self.flight.next - self.flight.oldest) * self.payload

    # Sending

    def pump(self, now: float) -> float | None:
        """Send what may go out. Returns when to call again, None: not before a SACK, a message, or room in the wire."""
        wire, flight, controller = self._wire, self.flight, self.controller
        for _ in range(BURSTS_A_TURN):
            if wire.is_full:
                return None
            room = self._room(now)
            if room <= 0:
                return self._next_zero_probe if self._is_window_closed() else None
            rate = controller.rate
            if rate and now < self._next_send - EARLY_S:
                return self._next_send
            most = wire.burst
            if rate:
                most = min(most, max(MIN_BURST, int(rate * BURST_S)))
            if room < min(most, SMALL_BURST) and flight.in_flight > 4 * most and not flight.has_lost:
                return None  # more of the window opens in a moment
            count = self._send_lost(min(most, room), now) or self._send_new(min(most, room), now)
            if not count:
                self._limited = True
                return None
            if rate:
                self._next_send = max(self._next_send, now - MAX_CREDIT_S) + count / rate
            if self.deadline is None:
                self._arm(now)
        return now

    def _room(self, now: float) -> int:
        """Packets that may go out now."""
        flight = self.flight
        window = self.controller.window
        if not flight.has_lost:
            window = min(window, self._window // self.payload)
        room = int(window) - flight.in_flight
        if self._timeouts > 1:
            room = min(room, FEW - flight.in_flight)
        if self._must_probe:
            return max(room, FEW)
        if room <= 0 and not flight.in_flight and now >= self._next_zero_probe:
            self._next_zero_probe = now + ZERO_WINDOW_S
            return 1
        return room

    def _is_window_closed(self) -> bool:
        return not self.flight.in_flight and (self._part or self._begin_message()) is not None

    def _begin_message(self) -> Part | None:
        message = self._next_message()
        if message is None:
            return None
        sequence = 0
        if not message.unordered:
            sequence = self._sequences.get(message.stream, 0)
            self._sequences[message.stream] = (sequence + 1) & _M16
        flags = UNORDERED if message.unordered else 0
        data = memoryview(message.data)
        return self._begin_part(
            Part(self.flight.next, self.payload, data, message.stream, sequence, message.protocol, flags, message.done)
        )

    def _begin_part(self, part: Part) -> Part:
        self._parts.append(part)
        self._part, self._at = part, 0
        return part

    def _send_new(self, most: int, now: float) -> int:
        part = self._part or self._begin_message()
        if part is None:
            return 0
        flight, at = self.flight, self._at
        first, tsn = at // part.size, flight.tsn(flight.next)
        length = self._run_length(part.size)
        records = min(most, len(part.data) // part.size - first) // length if length > 1 else 0
        if records >= MIN_RECORDS:
            count = records * length
            self._sealer.runs(part, first, records, length, tsn)
            self._calm.used(flight.next + count)
        else:
            count, length = min(most, part.count - first), 1
            self._sealer.packets(part, first, count, tsn)
            self._wire.flush(DATA_HEADER + part.size)
        flight.sent(count, now, self._limited, length)
        self._limited = False
        self._at = at + count * part.size
        if self._at >= len(part.data):
            self._part = None
            part.done()
        return count

    def _run_length(self, size: int) -> int:
        """Packets of size bytes of a message in a record; less than 2: records of several are of no use now."""
        if not self._takes_runs or not self._calm.allows(self.flight.oldest):
            return 0
        length = self._sealer.run_length(size, self._wire.burst)
        return length if length * FEW_RECORDS <= self.controller.window else 0

    def _send_lost(self, most: int, now: float) -> int:
        flight = self.flight
        if not flight.has_lost:
            return 0
        numbers = flight.take_lost(most, now)
        previous = 0
        for number in numbers:
            part = self._part_of(number)
            index = number - part.first
            size = DATA_HEADER + min(part.size, len(part.data) - index * part.size)
            if size > DATA_HEADER + self.payload and self._takes_halves:
                self._wire.flush(previous)
                previous = 0
                self._sealer.halves(part, index, flight.tsn(number))
                continue
            size = (size + 3) & ~3
            if previous and size != previous:
                self._wire.flush(previous)
            previous = size
            self._sealer.packets(part, index, 1, flight.tsn(number))
        self._wire.flush(previous)
        self._must_probe = False
        self.sent_again += len(numbers)
        return len(numbers)

    def _part_of(self, number: int) -> Part:
        return self._parts[bisect_right(self._parts, number, key=lambda part: part.first) - 1]

    # SACKs and time

    def acknowledged(self, sack: Sack, now: float) -> None:
        flight = self.flight
        result = flight.acknowledge(sack.cumulative_tsn, sack.gaps, sack.duplicates, now)
        if result is None:
            return
        self._window = sack.window
        parts, oldest, current = self._parts, flight.oldest, self._part
        while parts and parts[0].first + parts[0].count <= oldest and parts[0] is not current:
            parts.popleft()
        if result.spurious:
            self.controller.spurious(result.spurious)
        self._calm.acknowledged(result.newly, result.lost)
        if result.lost:
            self.controller.lost(now, result.lost)
        if not result.newly:
            if self._window < self.payload and self.deadline is not None:
                self._timeouts = 0  # the window is closed, and the peer is there (RFC 9260 section 6.1 A)
                self._arm(now)
            return
        self._timeouts = 0
        self._must_probe = False
        self.controller.acknowledged(
            now,
            newly=result.newly,
            in_flight=flight.in_flight,
            rtt=result.rtt,
            rate=result.rate,
            delivered=flight.delivered,
            prior=result.prior,
            limited=result.limited,
        )
        if oldest == flight.next:
            self.deadline = None
        else:
            self._arm(now)

    def _arm(self, now: float) -> None:
        self.deadline = now + self.round_trip.timeout(self._timeouts)

    @property
    def due(self) -> float | None:
        """When ring() wants to be called. None: not before something is sent or a SACK comes."""
        overdue = self.flight.overdue_at()
        if overdue is None or self.deadline is None:
            return overdue if self.deadline is None else self.deadline
        return min(overdue, self.deadline)

    def ring(self, now: float) -> None:
        """Time has passed. Call pump() afterwards."""
        overdue = self.flight.overdue_at()
        if overdue is not None and overdue <= now and (lost := self.flight.overdue(now)):
            self._calm.acknowledged(0, lost)
            self.controller.lost(now, lost)
        if self.deadline is not None and self.deadline <= now:
            self._time_out(now)

    def _time_out(self, now: float) -> None:
        """Nothing was acknowledged until the deadline: first two packets are sent again, then all count as lost. So they do at once
        where lost ones wait for room in the window: those would be sent instead of the two, and tell nothing of the others."""
        flight = self.flight
        has_no_room = flight.has_lost and flight.in_flight >= int(self.controller.window) and not self._wire.is_full
        self._timeouts += 1
        if self._timeouts == 1 and not has_no_room:
            self._must_probe = flight.timed_out_once() > 0
        else:
            flight.timed_out()
            flight.forget_samples(now)
            self.controller.timed_out(now)
            self._calm.over()
            self._must_probe = True
            self.on_silence(self._timeouts)
        self._arm(now)

    # The path

    def path_is_back(self, now: float) -> None:
        """The same path answers again: what was on it is lost, and its samples are void."""
        if self.round_trip.smoothed is not None:
            self.controller.restart(now)
        self._calm.over()
        self._start_again(now)

    def path_answers(self) -> None:
        """Small packets come through, as ICE has found: where nothing has come back, ask at once instead of when the timer rings.
        The timeouts go on being counted, since it may be that only small ones do."""
        if self._timeouts > 1:
            self.flight.timed_out()
            self._must_probe = True

    def new_path(self, now: float) -> None:
        """Nothing that was known about the path holds."""
        self.controller = Controller(now)
        self._calm = Calm()
        self.flight.new_path(now)
        self._start_again(now)

    def _start_again(self, now: float) -> None:
        """Rather ask with the first and the last packet, now, than wait for a timer that has been waiting longer and longer."""
        flight = self.flight
        flight.forget_samples(now)
        self._next_send = 0.0
        self._timeouts = 0
        self.deadline = None
        if flight.oldest != flight.next:
            self._must_probe = flight.timed_out_once() > 0
            self._timeouts = 1
            self._arm(now)

    def reset_stream(self, stream: int) -> None:
        """Its next message is the first one again (RFC 6525 section 5.2.2)."""
        self._sequences.pop(stream, None)

    def set_payload(self, size: int) -> None:
        """From now on so many bytes of a message in a packet; multiple of 4. What is under way keeps its size."""
        if size == self.payload:
            return
        self.payload = size
        part = self._part
        if part is not None and self._at:
            self._begin_part(part.cut(self._at, size))
        elif part is not None:
            part.size = size
