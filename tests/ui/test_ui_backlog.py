"""Lines that a thread writes to readers of every kind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest

from p2pcopy.ui.backlog import FULL, PATIENCE_S, Backlog

LARGE = "x" * (FULL // 4 - 1) + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def take(descriptor: int, size: int) -> bytes:
    taken = b""
    while len(taken) < size:
        taken += os.read(descriptor, size - len(taken))
    return taken


def fill(descriptor: int) -> int:
    """Nothing more can be written then. Returns how much that took."""
    os.set_blocking(descriptor, False)
    size = 0
    try:
        while True:
            size += os.write(descriptor, b"-" * 4096)
    except BlockingIOError:
        os.set_blocking(descriptor, True)
    return size


def test_lines_come_in_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    backlog = Backlog(writing)
    lines = [f"{number}\n" for number in range(100)]
    for line in lines:
        backlog.put(line)
    backlog.close()
    assert take(reading, len("".join(lines))).decode() == "".join(lines)


def test_a_line_replaces_its_like_only_where_it_waits_last(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    backlog = Backlog(writing)
    backlog.put("-" * (FULL - 1) + "\n")
    take(reading, 1)  # the thread has it in its hands, and no room for its end
    for line, mark in (("1", "a"), ("2", "a"), ("3", "b"), ("4", "b"), ("5", ""), ("6", ""), ("7", "b"), ("8", "b")):
        backlog.put(line, mark)
    backlog.put("\n")
    take(reading, FULL - 1)
    backlog.close()
    assert os.read(reading, 1000) == b"24568\n"


def test_settled_waits_for_room(pipe: tuple[int, int]) -> None:
    reading, writing = pipe

    async def story() -> None:
        backlog = Backlog(writing)
        await backlog.settled()
        for _ in range(5):
            backlog.put(LARGE)
        waiting = [asyncio.create_task(backlog.settled()) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()
        await asyncio.to_thread(take, reading, 5 * len(LARGE))
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*waiting[1:])
        backlog.close()

    asyncio.run(story())


def test_nobody_waits_for_room_where_nobody_reads() -> None:
    reading, writing = os.pipe()

    async def story() -> None:
        backlog = Backlog(writing)
        for _ in range(5):
            backlog.put(LARGE)
        waiting = asyncio.create_task(backlog.settled())
        await asyncio.sleep(0.05)
        os.close(reading)
        async with asyncio.timeout(PATIENCE_S):
            await waiting
            await backlog.settled()
        with pytest.raises(BrokenPipeError):
            backlog.put("again\n")
        backlog.put("once more\n")
        backlog.close()

    asyncio.run(story())
    os.close(writing)


def test_close_gives_up_on_a_reader_that_takes_nothing(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    full = fill(writing)
    backlog = Backlog(writing)
    backlog.put("never taken\n")
    backlog.close(patience_s=0.05)
    backlog.put("too late\n")
    take(reading, full)
    assert take(reading, len("never taken\n")) == b"never taken\n"


def test_drained_gives_up_on_a_reader_that_takes_nothing_and_goes_on_with_it(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    full = fill(writing)
    backlog = Backlog(writing)
    backlog.put("taken later\n")
    backlog.drained(0.05)
    assert backlog.is_behind
    take(reading, full)
    backlog.close()
    assert take(reading, len("taken later\n")) == b"taken later\n"


@pytest.mark.parametrize("wait", [Backlog.close, Backlog.drained])
def test_a_reader_that_takes_a_little_is_waited_for(
    pipe: tuple[int, int], wait: Callable[[Backlog, float], None]
) -> None:
    reading, writing = pipe

    async def story() -> None:
        backlog = Backlog(writing)
        backlog.put(LARGE)
        waiting = asyncio.create_task(asyncio.to_thread(wait, backlog, PATIENCE_S))
        for _ in range(2):
            await asyncio.to_thread(take, reading, len(LARGE) // 4)
            assert not waiting.done()
        await asyncio.to_thread(take, reading, len(LARGE) // 2)
        async with asyncio.timeout(PATIENCE_S):
            await waiting
        backlog.close()

    asyncio.run(story())


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    backlog = Backlog(writing)
    backlog.put(LARGE)
    backlog.written(0.05)
    assert take(reading, len(LARGE)) == LARGE.encode()
    backlog.close()


def test_written_tells_an_error_at_once() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    backlog = Backlog(writing)
    backlog.put("x\n")
    with pytest.raises(BrokenPipeError):
        backlog.written(PATIENCE_S)
    backlog.written(PATIENCE_S)
    os.close(writing)
