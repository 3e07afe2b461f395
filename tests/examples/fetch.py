"""The receiving side starts; both codes travel through a function of the program, here a directory that both sides see."""

import asyncio
import sys
from pathlib import Path

from p2pcopy import events, receive, send

SHARED = Path("shared")


async def bring(name: str) -> str:
    while not (SHARED / name).exists():
        await asyncio.sleep(0.1)
    return (SHARED / name).read_text()


def take_away(code: events.Code) -> None:
    part = SHARED / f"{code.kind}.part"
    part.write_text(code.code)
    part.rename(SHARED / code.kind)


async def give() -> None:
    await send("photos", to=lambda: bring("offer"), on_code=take_away)


async def take() -> None:
    await receive(output="incoming", yes=True, existing="rename", answer=lambda: bring("answer"), on_code=take_away)


asyncio.run(give() if sys.argv[1] == "give" else take())
