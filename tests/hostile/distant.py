"""The victim as a process of its own, `p2pcopy send` or `p2pcopy receive`, over a real connection on this machine."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from processes import Ended, Processes, Running

from hostile.case import Case, Outcome, Receiving
from hostile.rogue import Rogue
from p2pcopy.config import NetSettings
from p2pcopy.net.peer import Peer
from p2pcopy.signaling import code
from p2pcopy.signaling.code import Starter

_ALONE = NetSettings(stun=())
# The resource usage that the parent gets would count what the parent itself had when it forked.
_TELLS_ITS_PEAK = r"""
import atexit, pathlib, re, sys
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print("peak:", re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1], file=sys.stderr))
"""


async def play(case: Case, work: Path) -> Outcome:
    """Attack a process. Fails when it does not end in time, and when the attack fails."""
    with Processes(work) as start:
        victim = start.start(*_command(case), before=_TELLS_ITS_PEAK)
        async with _connection(case, victim, work) as rogue:
            began = time.monotonic()
            attack = asyncio.create_task(_attack(case, rogue))
            try:
                ended = await _end(victim, attack, case.seconds)
            finally:
                attack.cancel()
                await asyncio.wait([attack])
            seconds = time.monotonic() - began
    peak = re.search(r"^peak: (\d+)\n", ended.err, re.MULTILINE)
    assert peak is not None, ended.err
    out = b"" if isinstance(case.victim, Receiving) and case.victim.to_stdout else ended.out
    said = out.decode(errors="surrogateescape") + ended.err.replace(peak[0], "")
    return Outcome(ended.exit_code, said, seconds, int(peak[1]) * 1024)


async def seen(case: Case, work: Path) -> bytes:
    """What a terminal gets while a victim is attacked that runs there, and asks whoever sits there."""
    with Processes(work) as start:
        victim = start.start(*_command(case), terminal=True)
        async with _connection(case, victim, work) as rogue:
            attack = asyncio.create_task(_attack(case, rogue))
            try:
                ended = await _end(victim, attack, case.seconds)
            finally:
                attack.cancel()
                await asyncio.wait([attack])
    assert ended.exit_code in case.codes, ended.out
    return ended.out


def _command(case: Case) -> list[str]:
    common = ["--no-stun", *case.options]
    victim = case.victim
    if not isinstance(victim, Receiving):
        return ["send", *common, "tree"]
    given = [] if victim.asks else ["-y"]
    limit = [] if victim.max_bytes is None else ["--max-size", str(victim.max_bytes)]
    output = "-" if victim.to_stdout else "out"
    return ["receive", *common, "-o", output, *given, *limit, "--existing", victim.existing.value]


@asynccontextmanager
async def _connection(case: Case, victim: Running, work: Path) -> AsyncIterator[Rogue]:
    """A peer that has the victim's code, connected."""
    starter = Starter.RECEIVER if isinstance(case.victim, Receiving) else Starter.SENDER
    to_stdout = isinstance(case.victim, Receiving) and case.victim.to_stdout
    text = await asyncio.to_thread(_code, victim, to_stdout)
    offer = code.parse_offer(text, now_s=time.time(), expecting=starter)
    peer = Peer(replace(_ALONE, fast_path=not case.stock), offer.secret, offering=False, remote_pin=offer.pin)
    try:
        peer.add_remote(offer.candidates)
        await peer.gather()
        channel = await peer.connect()
        if case.settles:
            await peer.settle(None, lambda number: None)
        yield Rogue(channel, work)
    finally:
        await peer.close()


def _code(victim: Running, to_stdout: bool) -> str:
    if not to_stdout:
        return victim.code()
    return victim.err.wait_for(rb"^([0-9A-Z]{12,})$")[1].decode()


async def _attack(case: Case, rogue: Rogue) -> None:
    await case.play(rogue)


async def _end(victim: Running, attack: asyncio.Task[None], seconds: float) -> Ended:
    ending = asyncio.create_task(asyncio.to_thread(victim.ended, seconds))
    await asyncio.wait([ending, attack], return_when=asyncio.FIRST_COMPLETED)
    if attack.done() and attack.exception() is not None and not ending.done():
        victim.kill()
    ended = await asyncio.gather(ending, return_exceptions=True)
    if attack.done() and not attack.cancelled():
        attack.result()
    if isinstance(ended[0], BaseException):
        raise ended[0]
    return ended[0]
