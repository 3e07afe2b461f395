"""The output of a command to the standard input of another, both sides in one event loop."""

import asyncio
from subprocess import PIPE, Popen

from p2pcopy import receive, send


async def main() -> None:
    code: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with Popen(["tar", "c", "photos"], stdout=PIPE) as packing, Popen(["tar", "tv"], stdin=PIPE) as listing:
        assert packing.stdout is not None
        assert listing.stdin is not None
        sending = send(packing.stdout.fileno(), name="photos.tar", on_code=lambda ours: code.set_result(ours.code))
        receiving = receive(lambda: code, output=listing.stdin.fileno())
        done, _ = await asyncio.gather(sending, receiving)
        listing.stdin.close()
    print(f"{done.bytes_done} bytes")


asyncio.run(main())
