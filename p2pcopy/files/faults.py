"""Errors of the disk, told apart: those that end the transfer, and those that concern one file."""

from __future__ import annotations

import errno
from typing import Final

from p2pcopy.errors import LocalFileError

_AGAIN: Final = "then run the same two commands again."
_FATAL: Final = {
    errno.ENOSPC: ("the disk of {} is full", f"Free some space there or choose another place with --output, {_AGAIN}"),
    errno.EDQUOT: (
        "the disk quota for {} is used up",
        f"Free some space there or choose another place with --output, {_AGAIN}",
    ),
    errno.EROFS: ("{} is on a read-only file system", "Choose another place with --output."),
    errno.EIO: (
        "the disk of {} reports an input/output error",
        f"Check the disk or choose another place with --output, {_AGAIN}",
    ),
    errno.ENOMEM: ("there is not enough memory to write to {}", f"Close other programs, {_AGAIN}"),
    errno.EMFILE: ("Too many files are open in this process", f"Raise the limit (ulimit -n), {_AGAIN}"),
    errno.ENFILE: ("Too many files are open on this machine", f"Close other programs, {_AGAIN}"),
}
_GONE: Final = frozenset(
    {errno.ENXIO, errno.ENODEV, errno.ESTALE, getattr(errno, "ESHUTDOWN", errno.ENODEV), errno.ENOTCONN}
)


def fatal(error: OSError, place: str) -> LocalFileError | None:
    """The failure that ends the transfer, or None when the error concerns one file only. place: where, ready to be shown."""
    if error.errno in _GONE:
        return gone(place)
    if error.errno not in _FATAL:
        return None
    message, hint = _FATAL[error.errno]
    return LocalFileError(message.format(place), hint)


def not_taken(error: OSError, place: str) -> LocalFileError:
    """Something that was written before did not get onto the disk."""
    return fatal(error, place) or LocalFileError(
        f"the disk of {place} did not take what was written: {reason(error)}",
        f"Check the disk or choose another place with --output, {_AGAIN}",
    )


def gone(place: str) -> LocalFileError:
    return LocalFileError(
        f"{place} is not there any more", f"Bring it back or choose another place with --output, {_AGAIN}"
    )


def reason(error: OSError) -> str:
    """The system's own words, for an outcome: "Permission denied"."""
    return error.strerror or type(error).__name__
