"""How codes travel: lines from pipes, files, terminals and dead descriptors, and codes written to them."""

from __future__ import annotations

import asyncio
import os
import pty
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bounded import run

from p2pcopy.errors import CodeError, CodeTruncated, CodeTypo, LocalFileError, UsageError
from p2pcopy.signaling import exchange
from p2pcopy.signaling.exchange import (
    MAX_LINE,
    Lines,
    code_sink,
    in_thread,
    parsed_code,
    read_code,
    write_private,
)
from p2pcopy.signaling.sources import answer_source, code_source


class Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self._open = {self.reader, self.writer}

    def write(self, data: bytes) -> None:
        threading.Thread(target=exchange._write_all, args=(self.writer, data), daemon=True).start()

    def end(self) -> None:
        self.close(self.writer)

    def close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)

    def close_all(self) -> None:
        for descriptor in tuple(self._open):
            self.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close_all()


async def all_lines(lines: exchange.LineSource) -> list[str]:
    found = []
    while (line := await lines.next_line()) is not None:
        found.append(line)
    assert await lines.next_line() is None
    return found


# Lines


def test_lines_of_a_pipe(pipe: Pipe) -> None:
    os.write(pipe.writer, "one\r\n\nthree ü\nlast".encode())
    pipe.end()
    assert run(all_lines(Lines(pipe.reader))) == ["one", "", "three ü", "last"]


def test_a_line_that_comes_in_pieces(pipe: Pipe) -> None:
    async def scenario() -> str | None:
        waiting = asyncio.create_task(Lines(pipe.reader).next_line())
        for piece in (b"on", b"e", b"\n"):
            await asyncio.sleep(0)
            os.write(pipe.writer, piece)
        return await waiting

    assert run(scenario()) == "one"


def test_bytes_that_are_not_utf8(pipe: Pipe) -> None:
    os.write(pipe.writer, b"\xff\x00a\n")
    assert run(Lines(pipe.reader).next_line()) == "\ufffd\x00a"


def test_nothing_is_read_before_somebody_waits(pipe: Pipe) -> None:
    async def scenario() -> bytes:
        lines = Lines(pipe.reader)
        os.write(pipe.writer, b"code\n")
        assert await lines.next_line() == "code"
        os.write(pipe.writer, b"rest")
        await asyncio.sleep(0.01)
        return os.read(pipe.reader, 100)

    assert run(scenario()) == b"rest"


def test_no_line_is_lost_when_a_consumer_is_cancelled(pipe: Pipe) -> None:
    async def scenario() -> list[str | None]:
        lines = Lines(pipe.reader)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await lines.next_line()
        os.write(pipe.writer, b"one\ntwo\n")
        return [await lines.next_line(), await lines.next_line()]

    assert run(scenario()) == ["one", "two"]


def test_a_line_that_comes_between_consumers_waits(pipe: Pipe) -> None:
    async def scenario() -> str | None:
        lines = Lines(pipe.reader)
        first = asyncio.create_task(lines.next_line())
        await asyncio.sleep(0)
        first.cancel()
        os.write(pipe.writer, b"one\n")
        await asyncio.wait([first])
        await asyncio.to_thread(lines._request.result, 60)  # type: ignore[union-attr]
        return await lines.next_line()

    assert run(scenario()) == "one"


def test_a_consumer_in_a_later_loop_gets_the_line_of_a_cancelled_one(pipe: Pipe) -> None:
    lines = Lines(pipe.reader)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await lines.next_line()

    run(give_up())
    os.write(pipe.writer, b"one\n")
    assert run(lines.next_line()) == "one"


def test_consumers_at_once_get_a_line_each(pipe: Pipe) -> None:
    async def scenario() -> list[str | None]:
        lines = Lines(pipe.reader)
        os.write(pipe.writer, b"one\ntwo\nthree\n")
        return await asyncio.gather(*(lines.next_line() for _ in range(3)))

    assert sorted(map(str, run(scenario()))) == ["one", "three", "two"]


def test_a_line_of_64_kib_passes_and_a_longer_one_is_an_error(pipe: Pipe) -> None:
    async def scenario() -> None:
        lines = Lines(pipe.reader)
        pipe.write(b"a" * MAX_LINE + b"\n" + b"b" * (MAX_LINE + 1) + b"\nnext\n" + b"c" * (5 * MAX_LINE) + b"\nlast\n")
        assert await lines.next_line() == "a" * MAX_LINE
        for following in ("next", "last"):
            with pytest.raises(CodeError, match="longer than"):
                await lines.next_line()
            assert await lines.next_line() == following

    run(scenario())


def test_endless_line_takes_no_memory() -> None:
    async def scenario() -> None:
        descriptor = os.open("/dev/zero", os.O_RDONLY)
        try:
            lines = Lines(descriptor)
            with pytest.raises(CodeError, match="longer than"):
                await lines.next_line()
            assert len(lines._buffer) <= 2 * MAX_LINE
        finally:
            os.close(descriptor)

    run(scenario())


@pytest.mark.parametrize("kind", ["closed", "write end", "never there", "directory"])
def test_a_descriptor_that_cannot_be_read_is_at_its_end(kind: str, pipe: Pipe, tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        if kind == "closed":
            pipe.close(pipe.reader)  # not before: the loop opens descriptors, and would get this number
        return await all_lines(Lines(descriptor))

    descriptor = {"closed": pipe.reader, "write end": pipe.writer, "never there": 1000, "directory": -1}[kind]
    if kind == "directory":
        descriptor = os.open(tmp_path, os.O_RDONLY)
    assert run(scenario()) == []
    if kind == "directory":
        os.close(descriptor)


def test_non_blocking_pipe(pipe: Pipe) -> None:
    async def scenario() -> str | None:
        os.set_blocking(pipe.reader, False)
        waiting = asyncio.create_task(Lines(pipe.reader).next_line())
        await asyncio.sleep(0.02)
        os.write(pipe.writer, b"one\n")
        return await waiting

    assert run(scenario()) == "one"


def test_terminal() -> None:
    master, slave = pty.openpty()
    try:
        os.write(master, b"typed\n\x04")
        assert run(all_lines(Lines(slave))) == ["typed"]
    finally:
        os.close(slave)
        os.close(master)


def test_terminal_that_hangs_up() -> None:
    master, slave = pty.openpty()
    os.close(master)
    try:
        assert run(all_lines(Lines(slave))) == []
    finally:
        os.close(slave)


def test_a_blocked_reader_does_not_hold_up_the_end_of_the_process() -> None:
    program = """
import asyncio
from p2pcopy.signaling.exchange import Lines, code_sink
async def main():
    try:
        async with asyncio.timeout(0.05):
            await Lines().next_line()
    except TimeoutError:
        await code_sink("-").write("CODE")
asyncio.run(main())
"""
    command = [sys.executable, "-W", "error", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() == b"CODE\n"
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


# Where a code comes from


def test_sources(pipe: Pipe, tmp_path: Path) -> None:
    stdin = Lines(pipe.reader)
    file = tmp_path / "code.txt"
    file.write_text("\n\n  \nCODE1\nmore\n")
    assert code_source("-", stdin) is stdin
    assert code_source(f"fd:{pipe.reader}", stdin) is stdin
    assert run(all_lines(code_source(f"@{file}", stdin))) == ["", "", "  ", "CODE1", "more"]
    assert run(read_code(code_source(f"@{file}", stdin))) == "CODE1"
    assert run(all_lines(code_source("CODE2\nCODE3", stdin))) == ["CODE2", "CODE3"]
    assert run(read_code(code_source("", stdin))) is None


def test_a_file_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    run(code_sink("@~/code.txt").write("CODE"))
    assert run(read_code(code_source("@~/code.txt", Lines()))) == "CODE"


def test_descriptor_source(pipe: Pipe) -> None:
    os.write(pipe.writer, b"CODE\n")
    assert run(read_code(code_source(f"fd:{pipe.reader}", Lines(0)))) == "CODE"


@pytest.mark.parametrize("spec", ["@", "fd:", "fd:x", "fd:-1", "fd:1023", "fd:1024", "fd:99999", "fd:²"])
def test_places_that_make_no_sense(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        code_source(spec, Lines())
    assert caught.value.hint
    with pytest.raises(UsageError):
        code_sink(spec)


def test_a_literal_only_where_it_makes_sense() -> None:
    with pytest.raises(UsageError, match="place to read"):
        answer_source("CODE", Lines())
    with pytest.raises(UsageError, match="place to write"):
        code_sink("CODE")


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_file_that_cannot_be_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x" if kind == "missing" else tmp_path
    with pytest.raises(LocalFileError, match="cannot be read") as caught:
        run(code_source(f"@{path}", Lines()).next_line())
    assert caught.value.hint


def test_opening_a_fifo_does_not_block_the_loop(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async def scenario() -> str | None:
        waiting = asyncio.create_task(code_source(f"@{fifo}", Lines()).next_line())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await asyncio.to_thread(fifo.write_text, "CODE\n")
        return await waiting

    assert run(scenario()) == "CODE"


def test_a_file_source_that_is_dropped_closes_its_file(tmp_path: Path) -> None:
    file = tmp_path / "code.txt"
    file.write_text("one\ntwo\n")
    before = set(threading.enumerate())
    source = code_source(f"@{file}", Lines())
    assert isinstance(source, Lines)
    assert run(source.next_line()) == "one"
    descriptor = source.descriptor
    assert os.fstat(descriptor).st_ino == file.stat().st_ino
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    del source
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


# Codes over several lines


def parser_of(whole: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text == whole:
            return text
        raise CodeTruncated("cut", "again") if whole.startswith(text) else CodeTypo("typo", "again")

    return parse


@pytest.mark.parametrize("given", ["ABCDEF\n", "\n \nABCDEF", "ABC\nDEF\n", "A\nB\nC\nD\nE\nF\n"])
def test_a_code_may_be_broken_over_lines(given: str, pipe: Pipe) -> None:
    os.write(pipe.writer, given.encode())
    pipe.end()
    assert run(parsed_code(Lines(pipe.reader), parser_of("ABCDEF"))) == "ABCDEF"


@pytest.mark.parametrize(
    ("given", "error"),
    [("ABC", CodeTruncated), ("ABC\n\nDEF\n", CodeTruncated), ("ABC\nXYZ\n", CodeTypo), ("XYZ\n", CodeTypo)],
)
def test_a_code_that_stays_bad(given: str, error: type[CodeError], pipe: Pipe) -> None:
    os.write(pipe.writer, given.encode())
    pipe.end()
    with pytest.raises(error):
        run(parsed_code(Lines(pipe.reader), parser_of("ABCDEF")))


def test_a_cut_code_is_not_waited_for_long_and_the_next_line_is_free(pipe: Pipe) -> None:
    async def scenario() -> str | None:
        lines = Lines(pipe.reader)
        os.write(pipe.writer, b"ABC\n")
        with pytest.raises(CodeTruncated):
            await parsed_code(lines, parser_of("ABCDEF"), follow_s=0.05)
        os.write(pipe.writer, b"ABCDEF\n")
        return await parsed_code(lines, parser_of("ABCDEF"))

    assert run(scenario()) == "ABCDEF"


def test_end_of_input_means_no_code(pipe: Pipe) -> None:
    os.write(pipe.writer, b"\n\n")
    pipe.end()
    assert run(parsed_code(Lines(pipe.reader), parser_of("ABCDEF"))) is None


# Where a code goes


def test_descriptor_sink(pipe: Pipe) -> None:
    run(code_sink(f"fd:{pipe.writer}").write("CODE"))
    assert os.read(pipe.reader, 100) == b"CODE\n"


def test_non_blocking_descriptor_sink(pipe: Pipe) -> None:
    async def scenario() -> None:
        os.set_blocking(pipe.writer, False)
        filled = 0
        try:
            while True:
                filled += os.write(pipe.writer, b"x" * 4096)
        except BlockingIOError:
            pass
        writing = asyncio.create_task(code_sink(f"fd:{pipe.writer}").write("CODE"))
        await asyncio.sleep(0.02)
        assert not writing.done()
        while filled:
            filled -= len(await asyncio.to_thread(os.read, pipe.reader, filled))
        await writing
        assert os.read(pipe.reader, 100) == b"CODE\n"

    run(scenario())


def test_closed_reader_of_our_output_is_told(pipe: Pipe) -> None:
    pipe.close(pipe.reader)
    with pytest.raises(LocalFileError, match="Broken pipe") as caught:
        run(code_sink(f"fd:{pipe.writer}").write("CODE"))
    assert caught.value.hint


@pytest.mark.parametrize(("spec", "name"), [("-", "standard output"), ("stderr", "standard error")])
def test_standard_streams(spec: str, name: str) -> None:
    other = 2 if spec == "-" else 1
    program = f"""
import asyncio, os
from p2pcopy.errors import LocalFileError
from p2pcopy.signaling.exchange import code_sink
async def main():
    await code_sink({spec!r}).write("CODE")
    os.close({3 - other})
    try:
        await code_sink({spec!r}).write("CODE")
    except LocalFileError as error:
        os.write({other}, error.message.encode())
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    code, message = (done.stdout, done.stderr) if spec == "-" else (done.stderr, done.stdout)
    assert code == b"CODE\n"
    assert message.startswith(f"the code cannot be written to {name}: Bad file descriptor".encode())


def test_file_sink_replaces_the_file_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "code.txt"
    file.write_text("old")
    file.chmod(0o644)
    run(code_sink(f"@{file}").write("CODE"))
    assert file.read_text() == "CODE\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["code.txt"]


def test_file_sink_writes_into_a_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async def scenario() -> str:
        reading = in_thread(fifo.read_text)
        await code_sink(f"@{fifo}").write("CODE")
        return await asyncio.wrap_future(reading)

    assert run(scenario()) == "CODE\n"
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_file_sink_that_cannot_be_written(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "code.txt", tmp_path):
        with pytest.raises(LocalFileError, match="cannot be written") as caught:
            run(code_sink(f"@{path}").write("CODE"))
        assert caught.value.hint


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "code.txt"
    file.write_text("old")

    def full(descriptor: int, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exchange, "_write_all", full)
    with pytest.raises(LocalFileError, match="No space left"):
        write_private(file, b"new")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["code.txt"]


def test_whoever_waits_for_a_thread_gets_its_error() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_thread(fail).result(60)
