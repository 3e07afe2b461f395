"""Progress, failures by their class, an end after a time, and a second attempt that goes on where the first one ended."""

import asyncio
import sys
from collections.abc import Callable

from p2pcopy import errors, events, receive


def show(event: events.Event) -> None:
    match event:
        case events.Progress(bytes_done=done, rate_bytes_per_s=rate, eta_s=eta):
            print(f"{done} bytes, {rate:.0f} bytes/s, {eta} s left", file=sys.stderr)
        case events.File(path=path, status=events.FileStatus.FAILED, reason=reason):
            print(f"{path}: {reason}", file=sys.stderr)
        case events.Stalled(left_s=left_s):
            print(f"no sign of life, giving up in {left_s:.0f} s", file=sys.stderr)


async def fetched(next_code: Callable[[], str]) -> bool:
    for _ in range(3):
        try:
            async with asyncio.timeout(3600):
                done = await receive(next_code(), output="incoming", yes=True, existing="resume", on_event=show)
        except errors.CodeError as error:
            print(f"{error.message}. {error.hint}", file=sys.stderr)
        except errors.P2PCopyError as error:
            print(error.message, file=sys.stderr)
            if not error.resumable:
                break
        else:
            return done.ok
    return False


sys.exit(not asyncio.run(fetched(input)))
