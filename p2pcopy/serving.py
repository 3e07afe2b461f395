"""The story of send --keep-open: one receiver after the other, each with a fresh code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from p2pcopy import events
from p2pcopy.errors import (
    CodeError,
    ConnectionLost,
    Declined,
    ExitCode,
    IntegrityError,
    Interrupted,
    NobodyCame,
    P2PCopyError,
    ProtocolError,
)
from p2pcopy.stops import Stops

# What one receiver makes fail, and another need not.
_RECEIVERS = (CodeError, ConnectionLost, Declined, IntegrityError, ProtocolError)


async def serve(
    once: Callable[[], Awaitable[ExitCode]], tell: Callable[[events.Event], None], stops: Stops
) -> ExitCode:
    """Until nobody comes any more, or Ctrl-C while nothing is under way. OK when a receiver has everything.

    Raises what else ends it: NobodyCame or Interrupted when nobody was served, a failure of this side, a signal during a transfer.
    """
    served = failed = 0
    while True:
        stops.finished = False
        tell(events.Serving(served + failed + 1))
        try:
            exit_code = await once()
            served += exit_code is ExitCode.OK
            failed += exit_code is not ExitCode.OK
        except NobodyCame:
            if not served:
                raise
            break
        except asyncio.CancelledError:
            if not (served and isinstance(stops.error, Interrupted)):
                raise
            break
        except P2PCopyError as error:
            if stops.error is not None or not (error.is_theirs or isinstance(error, _RECEIVERS)):
                raise
            tell(events.Failed.of(error))
            failed += 1
        if stops.late is not None:
            if not (served and isinstance(stops.late, Interrupted)):
                raise stops.late
            break
    stops.finished = True
    tell(events.Served(served, failed))
    return ExitCode.OK
