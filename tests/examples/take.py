import asyncio
import sys

from p2pcopy import Offered, receive


async def accept(offer: Offered) -> bool:
    return offer.bytes < 10_000_000_000


async def main() -> None:
    done = await receive(sys.argv[1], output="incoming", accept=accept)
    print(f"{done.files_done} files, {done.files_failed} failed")


asyncio.run(main())
