from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from meeting import run

from p2pcopy.net.resolve import resolve


@pytest.fixture
def no_name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """getaddrinfo as it is when no name server answers: it blocks, and cannot be cancelled."""
    end = threading.Event()

    def blocked(*arguments: object, **options: object) -> object:
        end.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    yield
    end.set()


def test_an_address_needs_no_name_server(no_name_server: None) -> None:
    assert run(resolve("192.0.2.7", 3478)) == ["192.0.2.7"]
    assert run(resolve("2001:db8::7", 3478)) == ["2001:db8::7"]


def test_the_machine_itself() -> None:
    assert set(run(resolve("localhost", 3478))) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("name", ["does-not-exist.invalid", "a" * 64 + ".invalid", "." * 3])
def test_a_name_that_cannot_be_resolved(name: str) -> None:
    with pytest.raises(OSError, match=r"\w"):
        run(resolve(name, 3478))


def test_neither_the_loop_nor_the_end_of_the_program_waits_for_a_dead_name_server(no_name_server: None) -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await resolve("stun.example.org", 3478)

    started = time.monotonic()
    run(give_up())
    assert time.monotonic() - started < 10


def test_an_answer_after_the_end_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, end = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def late(*arguments: object, **options: object) -> list[object]:
        threads.append(threading.current_thread())
        asked.set()
        end.wait(30)
        return [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", ("192.0.2.7", 3478))]

    monkeypatch.setattr(socket, "getaddrinfo", late)

    async def begin_and_leave() -> None:
        task = asyncio.create_task(resolve("stun.example.org", 3478))
        await asyncio.to_thread(asked.wait)
        task.cancel()
        await asyncio.wait([task])

    run(begin_and_leave())
    end.set()
    threads[0].join(10)
    assert not threads[0].is_alive()
