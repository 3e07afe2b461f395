import asyncio
import sys

from p2pcopy import send


async def main() -> None:
    done = await send(*sys.argv[1:], on_code=lambda code: print(code.code, flush=True))
    print(f"{done.files_done} files in {done.seconds:.1f} s, {done.path.kind} path")


asyncio.run(main())
