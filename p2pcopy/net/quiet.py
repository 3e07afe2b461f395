"""Keeps what the libraries log off the user's terminal."""

from __future__ import annotations

import logging

# asyncio: reports exceptions in callbacks and tasks of the libraries, with a traceback.
LIBRARIES = ("aiortc", "aioice", "asyncio")


def quiet_libraries(verbose: bool) -> None:
    """Without verbose nothing that the libraries log is shown, not even by logging.lastResort; with it, from INFO on.

    INFO and not DEBUG, because there aioice writes whole STUN messages, credentials included.
    """
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = verbose
        for handler in logger.handlers[:]:
            if isinstance(handler, logging.NullHandler):
                logger.removeHandler(handler)
        if not verbose:
            logger.addHandler(logging.NullHandler())
