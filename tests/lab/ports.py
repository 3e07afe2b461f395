"""Ports for servers at addresses of this machine."""

from __future__ import annotations

import errno
import itertools
import random
import socket

# Below those that systems give to sockets that ask for none (on Linux from 32768 on), so that nobody gets one in between.
_RANGE = range(10_000, 32_768)
# Each once, and in other processes in another order.
_ports = itertools.cycle(random.SystemRandom().sample(_RANGE, len(_RANGE)))


def free_port(*addresses: str) -> int:
    """Free at each of these addresses, for UDP and for TCP. Raises OSError for an address that is not ours."""
    return next(port for port in _ports if all(_is_free(address, port) for address in addresses))


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return False
    return True
