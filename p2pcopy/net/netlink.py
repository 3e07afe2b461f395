"""Being told when addresses of this machine come and go: on Linux, by the kernel; elsewhere one has to look."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Final

_IPV4_IFADDR: Final = 0x10  # <linux/rtnetlink.h>: RTMGRP_IPV4_IFADDR
_IPV6_IFADDR: Final = 0x100  # RTMGRP_IPV6_IFADDR
_READ: Final = 65536


@contextlib.contextmanager
def address_changes(changed: Callable[[], None]) -> Iterator[None]:
    """changed: called from the event loop after every change, maybe more often than needed."""
    listener = _listener()
    if listener is None:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(listener, _take, listener, changed)
    try:
        yield
    finally:
        loop.remove_reader(listener)
        listener.close()


def _listener() -> socket.socket | None:
    if sys.platform != "linux" or not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        return None
    listener = None
    try:
        listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        listener.bind((0, _IPV4_IFADDR | _IPV6_IFADDR))
    except OSError:  # some sandboxes forbid it
        if listener is not None:
            listener.close()
        return None
    return listener


def _take(listener: socket.socket, changed: Callable[[], None]) -> None:
    """What changed does not matter. ENOBUFS: so much that some was dropped."""
    with contextlib.suppress(OSError):
        listener.recv(_READ)
    changed()
