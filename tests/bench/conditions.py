"""Under which conditions who is measured, and with how much. Pure."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from bench.cables import Cable
from bench.runs import MIB

RAW, STOCK, NATIVE = "p2pcopy, raw channel", "stock aiortc, raw channel", "libdatachannel, raw channel"
STREAM = "p2pcopy, stream"
P2PCOPY, SCP, WORMHOLE = "p2pcopy", "scp", "magic-wormhole"
BIG = "p2pcopy, one big file"
_RTTS_MS, _LOSSES = (20, 100, 200), (0.0, 0.001, 0.01, 0.03)
_MEET_S = 1.5  # to begin and to end, about


@dataclass(frozen=True)
class Source:
    """What programs copy: so many files of so many bytes; one is a file, more are a directory."""

    files: int
    size: int

    @property
    def name(self) -> str:
        return f"{self.files}-of-{self.size}"

    @property
    def bytes(self) -> int:
        return self.files * self.size


@dataclass(frozen=True)
class Entry:
    """One line of a table. contender: a key of rounds.CONTENDERS; source: of a program, None: the condition's; relay: how
    the sender reaches the TURN server, "": it does without."""

    name: str
    contender: str
    source: Source | None = None
    relay: str = ""


@dataclass(frozen=True)
class Condition:
    """seconds: for which raw channels are measured; limit_s: after which scp is stopped; cable: None for a bare veth pair;
    offload: may GSO and GRO be used; server: with a TURN server."""

    name: str
    title: str
    entries: tuple[Entry, ...]
    seconds: float = 5.0
    source: Source = Source(1, 64 * MIB)
    limit_s: float = 120.0
    cable: Cable | None = None
    offload: bool = True
    server: bool = False
    rounds: int = 0  # 0: as many as were asked for

    def about_s(self) -> float:
        """How long a round takes, roughly."""
        return sum(self._about_s(entry) for entry in self.entries)

    def _about_s(self, entry: Entry) -> float:
        if entry.contender in ("raw", "aiortc", "libdatachannel", "stream"):
            return self.seconds + _MEET_S + 1.5 * bool(entry.relay)
        source = entry.source or self.source
        rate = {"wormhole": 130, "p2pcopy": 200, "scp": 200}[entry.contender] * MIB
        if self.cable is not None and self.cable.rate_mbit:
            rate = min(rate, int(self.cable.rate_mbit * 1e5))
        # Comparing costs, too, and every file about half a millisecond.
        return min(self.limit_s, source.bytes / rate + source.files * 5e-4) + source.bytes / (1000 * MIB) + 2 * _MEET_S


def plan(minutes: float) -> list[Condition]:
    """All of them, in the order of the report. minutes: of the endurance run."""
    raw = (Entry(RAW, "raw"), Entry(NATIVE, "libdatachannel"))
    big = Source(1, 1024 * MIB)
    medium, small = Source(1000, MIB), Source(10_000, 1024)
    both = (Entry(P2PCOPY, "p2pcopy"), Entry(SCP, "scp"))
    return [
        Condition(
            "clean",
            "Clean link",
            (*raw, Entry(STOCK, "aiortc"), *both, Entry(WORMHOLE, "wormhole", Source(1, 512 * MIB))),
            seconds=4.0,
            source=big,
        ),
        Condition(
            "no-offload",
            "GSO and GRO not used",
            (*raw, Entry(P2PCOPY, "p2pcopy")),
            seconds=4.0,
            source=Source(1, 256 * MIB),
            offload=False,
        ),
        Condition(
            "coturn",
            "Through one coturn",
            (
                Entry(f"{RAW}, direct", "raw"),
                *(Entry(f"{RAW}, {relay.upper()}", "raw", relay=relay) for relay in ("udp", "tcp", "tls")),
                Entry(f"{NATIVE}, direct", "libdatachannel"),
            ),
            seconds=4.0,
            server=True,
        ),
        Condition("small-files", "10,000 files of 1 KiB", both, source=small),
        Condition(
            "medium-files", "1,000 files of 1 MiB", (*both, Entry(BIG, "p2pcopy", Source(1, 1000 * MIB))), source=medium
        ),
        Condition(
            "100mbit",
            "100 Mbit/s, queue of 50 ms, RTT 20 ms",
            (*raw, *both),
            seconds=7.0,
            source=Source(1, 96 * MIB),
            cable=Cable(rtt_ms=20, rate_mbit=100, queue_ms=50),
        ),
        Condition(
            "1gbit",
            "1 Gbit/s, queue of 50 ms, RTT 20 ms",
            (*raw, *both),
            seconds=5.0,
            source=Source(1, 512 * MIB),
            cable=Cable(rtt_ms=20, rate_mbit=1000, queue_ms=50),
        ),
        Condition(
            "1gbit-far",
            "1 Gbit/s, queue of 50 ms, RTT 100 ms, loss 0.1 %",
            raw,
            seconds=6.0,
            cable=Cable(rtt_ms=100, loss=0.001, rate_mbit=1000, queue_ms=50),
        ),
        *(_far(rtt_ms, loss, raw) for rtt_ms, loss in itertools.product(_RTTS_MS, _LOSSES)),
        Condition(
            "endurance",
            "Endurance, at full speed",
            (Entry(STREAM, "stream"), raw[0]),
            seconds=minutes * 60,
            rounds=1,
        ),
    ]


def scaled(condition: Condition, factor: float) -> Condition:
    """With so much less time, and so much less to copy: for trying things out."""
    entries = tuple(
        replace(entry, source=entry.source and _scaled(entry.source, factor)) for entry in condition.entries
    )
    source, seconds = _scaled(condition.source, factor), condition.seconds * factor
    return replace(
        condition, entries=entries, source=source, seconds=seconds, limit_s=condition.limit_s * max(0.5, factor)
    )


def _scaled(source: Source, factor: float) -> Source:
    if source.files > 1:
        return Source(max(2, round(source.files * factor)), source.size)
    return Source(1, max(MIB, round(source.size * factor)))


def _far(rtt_ms: int, loss: float, raw: tuple[Entry, ...]) -> Condition:
    others = (Entry(STOCK, "aiortc"), Entry(SCP, "scp")) if rtt_ms == 100 and loss in (0, 0.01) else ()
    percent = f"{loss * 100:g}"
    return Condition(
        f"rtt{rtt_ms}-loss{percent}",
        f"RTT {rtt_ms} ms, loss {percent} %",
        (*raw, *others),
        seconds=3.0 if rtt_ms == 20 else 4.0,
        limit_s=8.0,
        cable=Cable(rtt_ms=rtt_ms, loss=loss),
    )
