"""Transfers during which something breaks: what both sides tell of it, how long it lasts, and what is sent twice."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from lab.kinds import Layout, Nat, Site
from lab.network import Lab
from lab.program import Program, Trouble, Wanted, after, named
from lab.session import FILE, Session, credential, session
from lab.tied import shell
from lab.turn import Coturn

MIB = 2**20
GOAL_S, GOAL_TWICE = 3.0, 0.02
# The receiver's link, so that the network and not the processor is what limits a transfer.
LINK_MBIT = 24
# Above what a STUN message or an acknowledgement takes: these are packets with data of the file.
_FULL_PACKET = 600
NOTHING = "nothing"


class Way(Enum):
    """PUBLIC: no NAT and no server. NATS: two port-restricted ones, and STUN. RESERVE: a TURN server on both sides, too.
    RELAYED: two symmetric ones, a TURN server on both sides. TWO_RELAYS: two of them."""

    PUBLIC = "public addresses"
    NATS = "two NATs"
    RESERVE = "two NATs, relay in reserve"
    RELAYED = "relayed"
    TWO_RELAYS = "relayed, two servers"

    @property
    def layout(self) -> Layout:
        nat = {Way.PUBLIC: Nat.NONE, Way.NATS: Nat.PORT_RESTRICTED, Way.RESERVE: Nat.PORT_RESTRICTED}
        site = Site(nat.get(self, Nat.SYMMETRIC))
        return Layout(site, site)


@dataclass(frozen=True)
class Scene:
    """Where something is about to break."""

    lab: Lab
    servers: Sequence[Coturn]
    session: Session

    @property
    def server_in_use(self) -> Coturn:
        """The one that the path goes through. Raises Trouble."""
        for told in (told for each in self.session.both for told in each.told if "path" in told.event):
            for server in self.servers:
                if told.event["path"]["relay"] == server.turn_url:
                    return server
        raise Trouble("nothing is relayed")


@dataclass(frozen=True)
class Case:
    """what: in words; breaks: does it, and returns when it is over: a path is there again; lasts_s: for how long there is none,
    stopped: the host whose process cannot tell anything meanwhile."""

    what: str
    way: Way
    breaks: Callable[[Scene], None]
    lasts_s: float = 0.0
    receiver_offers: bool = False
    stopped: str = ""

    def __str__(self) -> str:
        return f"{self.what}, {self.way.value}" + (", the receiver offers" if self.receiver_offers else "")


@dataclass(frozen=True)
class Broken:
    """Pairs: the sender's, the receiver's; None: not told, or nothing to tell of.

    stalled_s: from the break to the first `stalled`; gap_s: the longest that `back` told; back_s: from when it was over to
    the last `back`; still_s: the longest time in which the receiver stored nothing, counted from the break; sent: bytes in
    full packets that left the sender; path: at the end.
    """

    case: Case
    stalled_s: tuple[float | None, float | None] = (None, None)
    gap_s: tuple[float | None, float | None] = (None, None)
    back_s: tuple[float | None, float | None] = (None, None)
    still_s: float = 0.0
    sent: int = 0
    size: int = 1
    path: str = ""
    twice: float = 0.0
    trouble: str = ""

    @property
    def good(self) -> bool:
        stalled_s = [each for host, each in zip("ab", self.stalled_s, strict=True) if host != self.case.stopped]
        told = self.case.lasts_s < GOAL_S or None not in stalled_s
        in_time = all(each is None or each <= GOAL_S for each in (*stalled_s, *self.back_s))
        return not self.trouble and told and in_time and self.twice < GOAL_TWICE


def cut(host: str, seconds: float, way: Way = Way.NATS, *, receiver_offers: bool = False) -> Case:
    def breaks(scene: Scene) -> None:
        scene.lab.cut(host)
        time.sleep(seconds)
        scene.lab.mend(host)

    return Case(f"cut of {seconds:.0f} s at the {_side(host)}", way, breaks, seconds, receiver_offers=receiver_offers)


def flushed(host: str, way: Way = Way.NATS, *, receiver_offers: bool = False) -> Case:
    return Case(
        f"the {_side(host)}'s NAT flushed",
        way,
        lambda scene: scene.lab.forget_mappings(host),
        receiver_offers=receiver_offers,
    )


def rebound(host: str, way: Way = Way.NATS, *, receiver_offers: bool = False) -> Case:
    return Case(
        f"the {_side(host)}'s NAT gives other ports",
        way,
        lambda scene: scene.lab.rebind(host),
        receiver_offers=receiver_offers,
    )


def roamed(host: str, way: Way, *, receiver_offers: bool = False) -> Case:
    def breaks(scene: Scene) -> None:
        scene.lab.roam(host)
        if host == "b":
            _limit(scene.lab)

    return Case(f"the {_side(host)} in another network", way, breaks, receiver_offers=receiver_offers)


def restarted(seconds: float, way: Way = Way.RELAYED, *, receiver_offers: bool = False) -> Case:
    def breaks(scene: Scene) -> None:
        server = scene.server_in_use
        server.stop()
        time.sleep(seconds)
        server.start()

    return Case(
        f"coturn restarted after {seconds:.0f} s" if seconds else "coturn restarted",
        way,
        breaks,
        seconds,
        receiver_offers=receiver_offers,
    )


def killed(*, receiver_offers: bool = False) -> Case:
    return Case(
        "coturn killed", Way.TWO_RELAYS, lambda scene: scene.server_in_use.stop(), receiver_offers=receiver_offers
    )


def stopped(host: str, seconds: float, way: Way = Way.NATS, *, receiver_offers: bool = False) -> Case:
    def breaks(scene: Scene) -> None:
        process = scene.session.both["ab".index(host)]
        process.freeze()
        time.sleep(seconds)
        process.thaw()

    what = f"the {_side(host)} stopped for {seconds:.0f} s (SIGSTOP)"
    return Case(what, way, breaks, seconds, stopped=host, receiver_offers=receiver_offers)


def undisturbed(way: Way) -> Case:
    return Case(NOTHING, way, lambda scene: None)


def measure(case: Case, mib: int) -> Broken:
    """Takes as long as the break, and the transfer of so many MiB twice over."""
    with tempfile.TemporaryDirectory(prefix="p2pcopy-broken-") as folder, contextlib.ExitStack() as stack:
        (Path(folder) / FILE).write_bytes(os.urandom(mib * MIB))
        try:
            return _Measurement(case, Path(folder), stack).take(mib * MIB)
        except Trouble as error:
            return Broken(case, trouble=str(error))


def compared(results: Sequence[Broken]) -> list[Broken]:
    """With what each sent more than the best of the undisturbed ones over the same kind of path did."""
    least: dict[str, float] = {}
    for each in results:
        if each.case.what == NOTHING and not each.trouble:
            least[each.path] = min(each.sent / each.size, least.get(each.path, float("inf")))
    return [replace(each, twice=max(0.0, each.sent / each.size - least.get(each.path, 0.0))) for each in results]


def table(results: Sequence[Broken]) -> list[str]:
    lines = [
        "| what breaks | path | `stalled` after | gap that `back` tells | `back` after its end | nothing stored for | sent twice |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for each in results:
        if each.trouble:
            cells = [f"**{each.trouble}**", "", "", "", ""]
        else:
            cells = [
                _two(each.stalled_s, each.case.stopped),
                _two(each.gap_s),
                _two(each.back_s),
                f"{each.still_s:.1f} s",
                f"{100 * each.twice:.2f} %",
            ]
        mark = "" if each.good else "**"
        way = each.case.way.value + (", the receiver offers" if each.case.receiver_offers else "")
        lines.append(f"| {mark}{each.case.what}{mark} | {way} | " + " | ".join(cells) + " |")
    return lines


class _Measurement:
    def __init__(self, case: Case, folder: Path, stack: contextlib.ExitStack) -> None:
        self._case = case
        self._lab = stack.enter_context(Lab(case.way.layout))
        addresses = {Way.PUBLIC: (), Way.TWO_RELAYS: (Lab.SERVER, Lab.SERVER_2)}.get(case.way, (Lab.SERVER,))
        self._servers = [stack.enter_context(Coturn(each, lab=self._lab)) for each in addresses]
        with_turn = case.way not in (Way.PUBLIC, Way.NATS)
        arguments = ["--stun", self._servers[0].stun_url] if self._servers else ["--no-stun"]
        for server in self._servers if with_turn else ():
            arguments += ["--turn", server.turn_url]
        environment = credential(self._servers[0]) if with_turn else {}
        shell([f"{' '.join(self._lab.command('a'))} nft '{_COUNT}'"])
        _limit(self._lab)
        self._session = stack.enter_context(
            session(self._lab, folder, arguments, environment=environment, receiver_offers=case.receiver_offers)
        )

    def take(self, size: int) -> Broken:
        """Raises Trouble."""
        meeting, case = self._session, self._case
        meeting.paste()
        meeting.connected()
        meeting.receiver.wait_for(_stored(size // 4), 60)
        begun = time.monotonic()
        case.breaks(Scene(self._lab, self._servers, meeting))
        over = time.monotonic()
        try:
            meeting.finish()
        except Trouble:
            print(f"{case}\n{meeting.story()}", file=sys.stderr)
            raise
        return Broken(
            case,
            stalled_s=self._both(lambda each: _first(each, begun)),
            gap_s=self._both(lambda each: _longest_gap(each, begun)),
            back_s=self._both(lambda each: _last_back(each, over)),
            still_s=_still(meeting.receiver, begun),
            sent=_sent(self._lab),
            size=size,
            path=[told.event["path"]["kind"] for told in meeting.sender.told if told.name == "done"][-1],
        )

    def _both(self, what: Callable[[Program], float | None]) -> tuple[float | None, float | None]:
        return what(self._session.sender), what(self._session.receiver)


_COUNT = (
    "table inet sent { counter full { }; chain out { type filter hook output priority 0; "
    f"meta length > {_FULL_PACKET} counter name full; }}; }}"
)


def _sent(lab: Lab) -> int:
    """Bytes of all full packets that host "a" has sent, whatever became of them."""
    command = lab.command("a", "nft", "-j", "list", "counter", "inet", "sent", "full")
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["nftables"]
    return int(next(each["counter"]["bytes"] for each in listed if "counter" in each))


def _limit(lab: Lab) -> None:
    """A queue of half a second, which is more than is ever on its way: nothing is lost for want of room."""
    device = lab.link("b").device
    rate = f"tbf rate {LINK_MBIT}mbit burst 64kb limit {LINK_MBIT * 125_000 // 2}"
    shell([f"{' '.join(lab.command('m'))} tc qdisc add dev {device} root {rate}"])


def _stored(size: int) -> Wanted:
    return lambda told: told.name == "progress" and told.event["bytes_done"] >= size


def _first(program: Program, begun: float) -> float | None:
    times = [told.time - begun for told in filter(after(begun, named("stalled")), program.told)]
    return times[0] if times else None


def _longest_gap(program: Program, begun: float) -> float | None:
    return max((float(told.event["gap_s"]) for told in filter(after(begun, named("back")), program.told)), default=None)


def _last_back(program: Program, over: float) -> float | None:
    return max((max(0.0, told.time - over) for told in program.told if told.name == "back"), default=None)


def _still(program: Program, begun: float) -> float:
    """The end of the file counts as news, too."""
    news, most = [begun], 0
    for told in program.told:
        if told.name == "progress" and told.event["bytes_done"] > most:
            most = told.event["bytes_done"]
            news.append(max(begun, told.time))
    news.append(max(begun, *(told.time for told in program.told if told.name in ("file", "done"))))
    return max(later - earlier for earlier, later in itertools.pairwise(sorted(news)))


def _two(pair: tuple[float | None, float | None], but: str = "") -> str:
    """but: the host of which nothing is to be said."""
    told = zip("ab", pair, strict=True)
    return " / ".join("–" if each is None or host == but else f"{each:.1f} s" for host, each in told)


def _side(host: str) -> str:
    return {"a": "sender", "b": "receiver"}[host]
