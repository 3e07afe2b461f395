"""Both sessions of a copy, with real files, for whoever joins them by a channel."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from p2pcopy.channel import Channel
from p2pcopy.config import Compress, Existing, TransferLimits
from p2pcopy.files import tree
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.entrylog import EntryLog
from p2pcopy.files.names import NameGate
from p2pcopy.files.source import BlockReader
from p2pcopy.transfer.receive_session import Consent, ReceiveSession
from p2pcopy.transfer.send_session import SendSession

_GIVEN = Consent(given=True, existing=Existing.REPLACE)


@contextmanager
def sending(
    channel: Channel, limits: TransferLimits, source: Path, compress: Compress
) -> Iterator[tuple[SendSession, BlockReader]]:
    """Of source, a file or a directory, to be run within the context."""
    found = tree.walk(tree.prepare([str(source)], stdin_name=None), now_ns=time.time_ns())
    with (
        closing(EntryLog()) as log,
        closing(BlockReader(log, block_size=limits.block_size, compress=compress)) as reader,
    ):
        yield SendSession(channel, limits, ignore, found=found, log=log, reader=reader, software="test"), reader


@contextmanager
def receiving(
    channel: Channel, limits: TransferLimits, target: Path, *, checksum: bool = False
) -> Iterator[tuple[ReceiveSession, DirectoryStore]]:
    """Into target, in place of what is there; to be run within the context."""
    with (
        closing(EntryLog()) as log,
        closing(DirectoryStore(str(target), existing=Existing.REPLACE, checksum=checksum)) as store,
    ):
        store.open()
        session = ReceiveSession(
            channel,
            limits,
            ignore,
            gate=NameGate(os.urandom(16)),
            log=log,
            store=store,
            consent=_GIVEN,
            ask=_never,
            destination="out",
            software="test",
        )
        yield session, store


def ignore(event: object) -> None:
    """Nobody looks."""


async def _never(*_: object) -> Existing:
    raise AssertionError("consent was given")
