"""What is on the way to the peer, what of it is lost, and what its acknowledgements tell of the path. Pure.

SACKs and lost packets: RFC 9260 sections 6.2.1, 6.3 and 7.2.4; losses by time: RFC 8985. Packets have numbers from 0 on, in the
order in which they were sent first, that never wrap.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from p2pcopy.net.deliveryrate import DeliveryRate, Sent
from p2pcopy.net.reordering import Reordering
from p2pcopy.net.roundtrip import RoundTrip
from p2pcopy.net.tsn import MASK, distance, plus

# What is known of a packet. One byte each, so that bytes.find() and count() do the work.
OUT: Final = 0
ARRIVED: Final = 1
LOST: Final = 2  # waits to be sent again
AGAIN: Final = 3  # was sent again
_ALL_LOST: Final = bytes((LOST, ARRIVED, LOST, LOST)) + bytes(range(4, 256))
_ARRIVED: Final = bytes((ARRIVED,))
_LOST: Final = bytes((LOST,))

FIRST_RTT_S: Final = 0.5  # while there is no sample
MIN_WAIT_S: Final = 0.001  # for a packet that was overtaken: less is noise of the event loop
TOO_SOON: Final = 0.5  # of the smallest round-trip time
RATHER_SOON: Final = 0.75  # of the smoothed one
MAX_REMEMBERED: Final = 1024  # packets that arrived rather soon
_ACK_DELAY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What a SACK has told, in packets.

    newly: have arrived; lost: count as lost from now on; spurious: counted as lost and were only late; both count those that left
    together once. rtt, in s, and rate, in
    packets/s: samples. prior: packets delivered when the sampled packet was sent, None if there is no sample; limited: the
    application had no more to send then.
    """

    newly: int
    lost: int
    spurious: int
    rtt: float | None
    rate: float | None
    prior: int | None
    limited: bool


class _Again(NamedTuple):
    """A packet that was sent again."""

    order: int
    next: int  # packets from this number on have been sent later
    sent: Sent


class Flight:
    """oldest: the first packet that is not cumulatively acknowledged; next: the next new one; in_flight: packets that are out,
    neither lost nor known to have arrived; lost: packets that wait to be sent again."""

    def __init__(self, first_tsn: int, now: float, ack_delay: float = _ACK_DELAY_S) -> None:
        self.oldest = 0
        self.next = 0
        self.in_flight = 0
        self.lost = 0
        self.round_trip = RoundTrip(ack_delay)
        self._ack_delay = ack_delay
        self._reordering = Reordering()
        self._first_tsn = first_tsn
        self._status = bytearray()  # of packets oldest to next
        self._follows = bytearray()  # 1: it left together with the one before
        self._marked = 0  # how many in _status are not OUT
        self._highest = -1  # that has arrived
        self._searched = 0  # packets below were looked at for losses
        # New highest packets and when they arrived: packets below have been overtaken since then.
        self._overtaken: deque[tuple[int, float]] = deque()
        self._again: OrderedDict[int, _Again] = OrderedDict()  # those with status AGAIN, in order of sending
        self._again_count = 0
        self._again_arrived = -1  # highest order
        self._suspects: set[int] = set()  # taken for lost in a SACK, not arrived yet
        self._remembered: OrderedDict[int, int] = (
            OrderedDict()
        )  # that arrived rather soon: by how many they were overtaken
        self._rate = DeliveryRate(now)
        # Of the SACK that is being read:
        self._spurious = 0
        self._newest: Sent | None = None

    @property
    def has_lost(self) -> bool:
        return self.lost > 0

    @property
    def delivered(self) -> int:
        """Packets that have arrived, in all."""
        return self._rate.delivered

    def tsn(self, number: int) -> int:
        return plus(self._first_tsn, number)

    # Sending

    def sent(self, count: int, now: float, limited: bool, together: int = 1) -> None:
        """count new packets left, so many of them together in what is lost as a whole. limited: the application had no more, so
        that what the path does with them says little of it."""
        self.next += count
        self._rate.sent(self.next, now, not self.in_flight, limited)
        self._status += bytes(count)
        self._follows += (b"\0" + bytes([1]) * (together - 1)) * (count // together)
        self.in_flight += count

    def take_lost(self, limit: int, now: float) -> list[int]:
        """At most limit packets that are sent again now, the oldest first."""
        status, oldest = self._status, self.oldest
        numbers: list[int] = []
        at = status.find(LOST) if self.lost else -1
        while at >= 0 and len(numbers) < limit:
            status[at] = AGAIN
            numbers.append(oldest + at)
            at = status.find(LOST, at + 1)
        if numbers:
            sent = self._rate.sent_again(now, not self.in_flight)
            for number in numbers:
                self._again[number] = _Again(self._again_count, self.next, sent)
                self._again_count += 1
            self.lost -= len(numbers)
            self.in_flight += len(numbers)
        return numbers

    # SACKs

    def acknowledge(
        self, cumulative_tsn: int, gaps: Sequence[int], duplicates: Sequence[int], now: float
    ) -> Acknowledged | None:
        """What a SACK tells; None if it is older than another one, or acknowledges what was never sent. gaps: first and last, first
        and last..., relative to cumulative_tsn. Blocks that make no sense are ignored."""
        count = (cumulative_tsn - self._first_tsn - self.oldest + 1) & MASK
        if count > len(self._status):
            return None
        self._spurious = 0
        newest: Sent | None = None
        if not self._marked and not gaps:  # nearly always
            newly, sent_once = count, count > 0
            self.in_flight -= count
            self._drop(count)
        else:
            newly, sent_once, newest = self._read(count, gaps, now)
        for tsn in duplicates:
            self._came_twice(self.oldest + distance(tsn, self.tsn(self.oldest)), now)
        rtt = rate = None
        if newly:
            if sent_once and (burst := self._rate.burst_of(self._highest)) is not None:
                rtt = now - burst.at
                self.round_trip.sample(rtt, now)
                if newest is None or newest.at < burst.at:
                    newest = burst
            rate = self._rate.arrived(newly, newest, now, self.round_trip.smallest)
        lost = self._search(now) if self._marked else 0
        if newest is None:
            return Acknowledged(newly, lost, self._spurious, rtt, rate, None, limited=False)
        return Acknowledged(newly, lost, self._spurious, rtt, rate, newest.delivered, newest.limited)

    def _drop(self, count: int) -> None:
        """The first count packets are done with."""
        del self._status[:count], self._follows[:count]
        self.oldest += count
        self._highest = max(self._highest, self.oldest - 1)

    def _read(self, count: int, gaps: Sequence[int], now: float) -> tuple[int, bool, Sent | None]:
        """Returns how many packets arrived, whether the highest one of all is among them and was sent once, and the newest burst of
        packets sent again among them."""
        self._newest = None
        status, oldest, highest = self._status, self.oldest, self._highest
        blocks = self._blocks(count, gaps)
        top = max((stop for _, stop in blocks), default=0) - 1
        sent_once = oldest + top > highest and status[top] == OUT
        late = status.find(OUT)
        if oldest + top > highest:
            self._highest = oldest + top
            self._overtaken.append((self._highest, now))
        newly = sum([self._arrive(begin, stop, now) for begin, stop in blocks])
        if 0 <= late < highest - oldest and status[late] == ARRIVED:
            self._reordering.seen(highest - oldest - late, now)
        if count:
            self._marked -= count
            self._drop(count)
            if status and status[0] == ARRIVED:
                self._was_dropped()
        while self._overtaken and self._overtaken[0][0] <= self.oldest:
            self._overtaken.popleft()
        if not self._marked:
            self._overtaken.clear()
        return newly, sent_once, self._newest

    def _blocks(self, count: int, gaps: Sequence[int]) -> list[tuple[int, int]]:
        """What a SACK acknowledges and others have not, as indices into _status. All in all no longer than that, so that a hostile
        one with many long blocks costs no more than an honest one."""
        status = self._status
        size = left = len(status)
        blocks = [(0, count)] if count else []
        numbers = iter(gaps)
        for first, last in zip(numbers, numbers, strict=False):
            begin, stop = count + first - 1, min(count + last, size)
            if first < 2 or begin >= stop:
                continue
            left -= stop - begin
            if left < 0:
                break
            if status.count(ARRIVED, begin, stop) < stop - begin:
                blocks.append((begin, stop))
        return blocks

    def _arrive(self, begin: int, stop: int, now: float) -> int:
        """These packets have arrived; returns of how many of them that was not known."""
        status, size = self._status, stop - begin
        newly = size - status.count(ARRIVED, begin, stop)
        out = status.count(OUT, begin, stop)
        lost = 0
        if out != newly:
            at = status.find(LOST, begin, stop)
            while at >= 0:
                lost += 1
                self._came_late(self.oldest + at, now)
                at = status.find(LOST, at + 1, stop)
            at = status.find(AGAIN, begin, stop)
            while at >= 0:
                self._came_again(self.oldest + at, now)
                at = status.find(AGAIN, at + 1, stop)
        self._marked += out
        self.lost -= lost
        self.in_flight -= newly - lost
        status[begin:stop] = _ARRIVED * size
        return newly

    def _came_late(self, number: int, now: float) -> None:
        """The original of a packet that counted as lost has arrived."""
        if number in self._suspects:
            self._suspects.remove(number)
            self._was_late(self._highest - number, now)

    def _came_again(self, number: int, now: float) -> None:
        """A packet that was sent again has arrived. Was it its original?

        Certainly so if that is too soon for an answer to the second one. Perhaps, if it is rather soon: then it is if another one
        comes as well. (Another one alone says nothing: networks repeat packets.)
        """
        again, path = self._again.pop(number), self.round_trip
        took = now - again.sent.at
        if took < (path.smallest or 0.0) * TOO_SOON:
            self._came_late(number, now)
            return
        self._again_arrived = max(self._again_arrived, again.order)
        if self._newest is None or self._newest.at < again.sent.at:
            self._newest = again.sent
        if number in self._suspects:
            self._suspects.remove(number)
            if took < (path.smoothed or 0.0) * RATHER_SOON:
                self._remembered[number] = self._highest - number
                if len(self._remembered) > MAX_REMEMBERED:
                    self._remembered.popitem(last=False)

    def _came_twice(self, number: int, now: float) -> None:
        """Both a packet and its resent copy have arrived."""
        overtaken_by = self._remembered.pop(number, None)
        if overtaken_by is not None:
            self._was_late(overtaken_by, now)

    def _was_late(self, overtaken_by: int, now: float) -> None:
        self._spurious += 1
        self._reordering.was_late(overtaken_by, self.next - self.oldest, now)

    def _was_dropped(self) -> None:
        """Packets that had arrived out of order are missing now: the peer had no room for them (RFC 9260 section 6.2.1 D iv)."""
        status = self._status
        count = len(status) - len(status.lstrip(_ARRIVED))
        status[:count] = _LOST * count
        self.lost += count

    # Losses

    def overdue_at(self) -> float | None:
        """When overdue() finds something if no SACK comes before. None: never."""
        times = []
        out = self._status.find(OUT) + self.oldest if self._overtaken else -1
        if self.oldest <= out < self._overtaken[-1][0]:
            times.append(next(when for highest, when in self._overtaken if highest > out) + self._wait())
        if self._again:
            entry = next(iter(self._again.values()))
            if self._overtaken_by(entry) > 0:
                times.append(self._answer_due(entry))
        return min(times, default=None)

    def overdue(self, now: float) -> int:
        """Look for packets that were overtaken too long ago; returns how many count as lost from now on, as `Acknowledged` does."""
        return self._search(now) if self._marked else 0

    def _search(self, now: float) -> int:
        """Packets that were overtaken by too many others, or too long ago, are lost; returns how many, as `Acknowledged` does."""
        status, oldest, overtaken = self._status, self.oldest, self._overtaken
        self._reordering.calm_down(now, self.round_trip.smoothed or FIRST_RTT_S)
        limit = self._highest - self._reordering.threshold + 1
        wait = self._wait()
        while overtaken and overtaken[0][1] + wait <= now:
            limit = max(limit, overtaken.popleft()[0])
        lost = losses = 0
        stop = limit - oldest
        at = status.find(OUT, max(self._searched - oldest, 0), stop) if stop > 0 else -1
        while at >= 0:
            lost += 1
            status[at] = LOST
            if not self._follows[at]:
                losses += 1
                self._suspects.add(oldest + at)
            at = status.find(OUT, at + 1, stop)
        self._marked += lost
        self._searched = max(self._searched, limit)
        again = self._search_again(now)
        self.lost += lost + again
        self.in_flight -= lost + again
        return losses + again

    def _search_again(self, now: float) -> int:
        """The first ones of the packets that were sent again, in that order, may be lost again."""
        again, lost, threshold = self._again, 0, self._reordering.threshold
        while again:
            number, entry = next(iter(again.items()))
            overtaken_by = self._overtaken_by(entry)
            if overtaken_by < threshold and (overtaken_by <= 0 or now < self._answer_due(entry)):
                break
            del again[number]
            lost += 1
            self._status[number - self.oldest] = LOST
            self._suspects.add(number)
        return lost

    def _wait(self) -> float:
        """For how long a packet may be overtaken."""
        return max(self._reordering.patience * (self.round_trip.smoothed or FIRST_RTT_S), MIN_WAIT_S)

    def _overtaken_by(self, entry: _Again) -> int:
        """How many packets that were sent later have arrived, at most; 0 or less: none."""
        return max(self._highest - entry.next + 1, self._again_arrived - entry.order)

    def _answer_due(self, entry: _Again) -> float:
        """It left so long ago that it has been overtaken for too long if it was at all (RACK)."""
        return entry.sent.at + (self.round_trip.latest or FIRST_RTT_S) + self._wait()

    def timed_out_once(self) -> int:
        """Send the first and the last packet that are out again, so that there is something to be acknowledged; returns how many
        these are (0 to 2). They do not count as lost by the path."""
        status, oldest = self._status, self.oldest
        first = min((at for at in (status.find(OUT), status.find(AGAIN)) if at >= 0), default=-1)
        if first < 0:
            return 0
        chosen = {first, max(status.rfind(OUT), status.rfind(AGAIN))}
        for at in chosen:
            if status[at] == OUT:
                self._marked += 1
            else:
                del self._again[oldest + at]
            status[at] = LOST
            self._suspects.discard(oldest + at)
        self.lost += len(chosen)
        self.in_flight -= len(chosen)
        return len(chosen)

    def timed_out(self) -> int:
        """All that has not arrived is to be sent again; returns how many packets were still taken to be on the way."""
        count = self.in_flight
        self._status = self._status.translate(_ALL_LOST)
        self._marked = len(self._status)
        self.lost += count
        self.in_flight = 0
        self._searched = self.next
        self._again.clear()
        self._suspects.clear()
        self._overtaken.clear()
        return count

    # The path

    def forget_samples(self, now: float) -> None:
        """The path was away: what was sent before now says nothing of it."""
        self._rate.forget(now)

    def new_path(self, now: float) -> None:
        """What was learned of the path does not hold any more."""
        self._rate.forget(now)
        self.round_trip = RoundTrip(self._ack_delay)
        self._reordering = Reordering()
