"""Names of servers to addresses, without holding up the loop or the end of the program."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of host, IPv4 and IPv6, best first. Raises OSError. The caller bounds the time.

    In a daemon thread of its own: without a name server getaddrinfo blocks for tens of seconds, cannot be cancelled, and
    asyncio's pool of threads is waited for when the program ends.
    """
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()
    threading.Thread(target=_look_up, args=(host, port, loop, answer), name="resolve", daemon=True).start()
    return await answer


def _look_up(host: str, port: int, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[list[str]]) -> None:
    addresses: list[str] = []
    failure: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    except OSError as error:
        failure = error
    except UnicodeError:
        failure = OSError(f"{host!r} is not a name")
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_deliver, answer, addresses, failure)


def _deliver(answer: asyncio.Future[list[str]], addresses: list[str], failure: OSError | None) -> None:
    if answer.done():
        return
    if failure is not None:
        answer.set_exception(failure)
    else:
        answer.set_result(addresses)
