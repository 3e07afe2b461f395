"""Reading the accepted files, and telling what became of them."""

from __future__ import annotations

import errno
import io
import itertools
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest
from blake3 import blake3
from descriptors import open_files
from hypothesis import given, settings
from hypothesis import strategies as st
from zstandard import ZstdDecompressor

from p2pcopy.config import MIB, Compress, VerifyResume
from p2pcopy.errors import ProtocolError
from p2pcopy.files import native
from p2pcopy.files.entrylog import EntryLog
from p2pcopy.files.source import KEPT_OF_STREAM, BlockReader
from p2pcopy.files.tree import prepare, walk
from p2pcopy.transfer.held import Digests, Held
from p2pcopy.transfer.items import Block, Compared, End, Fault, Found, Item
from p2pcopy.transfer.wire import Check, Entry, FaultReason, Kind

SIZE = 4096
posix = pytest.mark.skipif(os.name == "nt", reason="names or files that Windows does not have")


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass
class Reader:
    """A BlockReader on files of a directory, as the walk finds them."""

    root: Path
    block_size: int = SIZE
    compress: Compress = Compress.NEVER
    stdin: BinaryIO | None = None
    verify_resume: VerifyResume = VerifyResume.SAMPLE
    log: EntryLog = field(default_factory=EntryLog)

    def __post_init__(self) -> None:
        self.blocks = BlockReader(
            self.log,
            block_size=self.block_size,
            compress=self.compress,
            stdin=self.stdin,
            verify_resume=self.verify_resume,
        )

    def scan(self, *, allow: bool = True) -> Reader:
        paths = [str(self.root)] + (["-"] if self.stdin else [])
        for item in walk(prepare(paths), now_ns=0):
            assert isinstance(item, Found)
            self.log.append(item.entry, item.local)
        if allow:
            self.blocks.allow(len(self.log))
        return self

    def index(self, name: str) -> int:
        return next(i for i, (entry, _) in enumerate(self.log) if entry.path.endswith(name))

    def rest(self) -> list[Item]:
        return list(iter(self.blocks.next, None))

    def close(self) -> None:
        self.blocks.close()
        self.log.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Reader]]:
    readers: list[Reader] = []
    root = tmp_path / "root"
    root.mkdir()

    def maker(files: dict[str, bytes], **options: object) -> Reader:
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        reader = Reader(root, **options)  # type: ignore[arg-type]
        readers.append(reader)
        return reader

    yield maker
    for reader in readers:
        reader.close()


def raw(block: Block) -> bytes:
    return ZstdDecompressor().decompress(block.body, MIB) if block.compressed else block.body


def whole(items: Sequence[Item]) -> dict[int, bytes]:
    """Content by entry; checks numbers, sizes and digests on the way."""
    content: dict[int, bytes] = {}
    digests: dict[int, list[bytes]] = {}
    for item in items:
        if isinstance(item, Block):
            seen = digests.setdefault(item.entry, [])
            assert item.number == len(seen)
            assert blake3(raw(item)).digest() == item.digest
            assert len(raw(item)) == item.raw_size > 0
            assert len(item.body) <= item.raw_size
            seen.append(item.digest)
            content[item.entry] = content.get(item.entry, b"") + raw(item)
        elif isinstance(item, End):
            seen = digests.pop(item.entry, [])
            content.setdefault(item.entry, b"")
            assert (item.size, item.blocks) == (len(content[item.entry]), len(seen))
            assert item.digest == blake3(b"".join(seen)).digest()
    return content


class TestFiles:
    def test_blocks_of_all_files_in_order(self, make: Callable[..., Reader]) -> None:
        sizes = [0, 1, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE, 3 * SIZE + 5]
        files = {f"d{size}/{size}": noise(size, size) for size in sizes}
        reader = make(files).scan()
        items = reader.rest()
        assert whole(items) == {reader.index(name): content for name, content in files.items()}
        assert sum(isinstance(item, End) for item in items) == len(sizes)
        assert [item.entry for item in items] == sorted(item.entry for item in items)
        assert {item.raw_size for item in items if isinstance(item, Block)} == {1, 5, SIZE - 1, SIZE}
        assert reader.blocks.next() is None

    @posix
    def test_names_of_all_kinds(self, make: Callable[..., Reader]) -> None:
        names = [b"caf\xe9", b"sp ace", b"line\nbreak", b"quote'\"", b"-rf", b"\x1b[31m", "日本".encode()]
        reader = make({os.fsdecode(name): name for name in names}).scan()
        assert sorted(whole(reader.rest()).values()) == sorted(names)

    @posix
    def test_directories_and_links_have_no_blocks(self, make: Callable[..., Reader]) -> None:
        reader = make({"d/f": b"x"})
        (reader.root / "link").symlink_to("d/f")
        (reader.root / "empty").mkdir()
        assert [item.entry for item in reader.scan().rest()] == [reader.index("d/f")] * 2
        assert len(reader.log) == 5

    def test_a_sparse_file(self, make: Callable[..., Reader]) -> None:
        reader = make({})
        with (reader.root / "sparse").open("wb") as file:
            file.truncate(5 * SIZE)
            file.seek(2 * SIZE)
            file.write(b"data")
        content = (reader.root / "sparse").read_bytes()
        assert list(whole(reader.scan().rest()).values()) == [content]

    def test_nothing_before_it_is_allowed(self, make: Callable[..., Reader]) -> None:
        reader = make({"a": b"a", "b": b"b", "c": b"c"}).scan(allow=False)
        assert reader.blocks.next() is None
        reader.blocks.allow(reader.index("/b"))
        assert list(whole(reader.rest()).values()) == [b"a"]
        reader.blocks.allow(reader.index("/b"))
        assert reader.blocks.next() is None
        reader.blocks.allow(len(reader.log))
        assert list(whole(reader.rest()).values()) == [b"b", b"c"]

    def test_skips(self, make: Callable[..., Reader]) -> None:
        reader = make({name: name.encode() for name in "abcdefgh"}).scan(allow=False)
        first, count = reader.index("/a"), len(reader.log)
        reader.blocks.allow(first + 3, [(first, first + 1), (first + 2, first + 3)])
        assert list(whole(reader.rest()).values()) == [b"b"]
        reader.blocks.allow(count, [(first + 3, first + 5), (count - 1, count)])
        assert list(whole(reader.rest()).values()) == [b"f", b"g"]
        assert reader.blocks.next() is None

    @pytest.mark.parametrize("skip", [(-1, 1), (2, 1), (0, 99)])
    def test_skips_outside_are_an_error(self, skip: tuple[int, int], make: Callable[..., Reader]) -> None:
        with pytest.raises(ValueError, match="not below"):
            make({"a": b""}).scan().blocks.allow(2, [skip])

    @given(st.lists(st.integers(1, 3), max_size=12), st.data())
    @settings(max_examples=50)
    def test_any_order_of_allowing_and_reading(self, steps: list[int], data: st.DataObject) -> None:
        expected: list[int] = []
        seen: list[int] = []
        with closing(EntryLog()) as log:
            for number in range(sum(steps)):
                log.append(Entry(Kind.FILE, str(number), 1), "no such file")
            reader = BlockReader(log, block_size=SIZE, compress=Compress.NEVER)
            upto = 0
            for step in steps:
                start = data.draw(st.integers(upto, upto + step))
                stop = data.draw(st.integers(start, upto + step))
                expected += [*range(upto, start), *range(stop, upto + step)]
                upto += step
                reader.allow(upto, [(start, stop)])
                tries = [reader.next() for _ in range(data.draw(st.integers(0, 4)))]
                seen += [item.entry for item in tries if item]
            while (item := reader.next()) is not None:
                seen.append(item.entry)
        assert seen == expected

    def test_dropped_files_end_in_a_fault(self, make: Callable[..., Reader]) -> None:
        reader = make({"a": noise(3 * SIZE), "b": b"b", "c": b"c"}).scan()
        a, b, c = (reader.index(f"/{name}") for name in "abc")
        assert isinstance(reader.blocks.next(), Block)
        reader.blocks.drop(a)
        reader.blocks.drop(b)
        assert reader.blocks.next() == Fault(a, FaultReason.DROPPED)
        reader.blocks.drop(a)
        assert reader.blocks.next() == Fault(b, FaultReason.DROPPED)
        assert whole(reader.rest()) == {c: b"c"}

    def test_close_in_the_middle(self, make: Callable[..., Reader]) -> None:
        reader = make({"a": noise(3 * SIZE)}).scan()
        before = open_files()
        reader.blocks.next()
        reader.blocks.close()
        reader.blocks.close()
        assert open_files() == before

    def test_one_file_is_open_at_a_time(self, make: Callable[..., Reader]) -> None:
        reader = make({f"f{number}": noise(2 * SIZE) for number in range(20)}).scan()
        before = open_files()
        while reader.blocks.next():
            assert len(open_files()) <= len(before) + 1
        assert open_files() == before


class TestFaults:
    def fault(self, reader: Reader, *first: Item | None) -> FaultReason:
        """The fault of one file, of which first was read already; a file behind it must still come whole."""
        items = [item for item in first if item] + reader.rest()
        faults = [item for item in items if isinstance(item, Fault)]
        assert [fault.entry for fault in faults] == [reader.index("/f")]
        assert whole(items)[reader.index("/z")] == b"next"
        assert not any(isinstance(item, End) and item.entry == faults[0].entry for item in items)
        return faults[0].reason

    @pytest.fixture
    def reader(self, make: Callable[..., Reader]) -> Reader:
        return make({"f": noise(3 * SIZE + 100), "z": b"next"}).scan()

    def test_vanished(self, reader: Reader) -> None:
        (reader.root / "f").unlink()
        assert self.fault(reader) is FaultReason.VANISHED

    def test_vanished_with_its_directory(self, make: Callable[..., Reader]) -> None:
        reader = make({"d/f": b"x", "z": b"next"}).scan()
        (reader.root / "d/f").unlink()
        (reader.root / "d").rmdir()
        (reader.root / "d").touch()
        assert self.fault(reader) is FaultReason.VANISHED

    @pytest.mark.parametrize("started", [False, True])
    def test_grown(self, reader: Reader, started: bool) -> None:
        first = reader.blocks.next() if started else None
        with (reader.root / "f").open("ab") as file:
            file.write(b"more")
        assert self.fault(reader, first) is FaultReason.CHANGED

    @pytest.mark.parametrize("started", [False, True])
    @pytest.mark.parametrize("size", [0, SIZE, 3 * SIZE + 99])
    def test_shrunk(self, reader: Reader, started: bool, size: int) -> None:
        first = reader.blocks.next() if started else None
        os.truncate(reader.root / "f", size)
        assert self.fault(reader, first) is FaultReason.CHANGED

    @pytest.mark.parametrize("started", [False, True])
    def test_rewritten(self, reader: Reader, started: bool) -> None:
        first = reader.blocks.next() if started else None
        status = (reader.root / "f").stat()
        with (reader.root / "f").open("r+b") as file:
            file.write(b"other")
        os.utime(reader.root / "f", ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
        assert self.fault(reader, first) is FaultReason.CHANGED

    def test_an_empty_file_that_grew(self, make: Callable[..., Reader]) -> None:
        reader = make({"f": b"", "z": b"next"}).scan()
        (reader.root / "f").write_bytes(b"x")
        assert self.fault(reader) is FaultReason.CHANGED

    def test_a_file_that_is_deleted_in_the_middle_is_still_read(self, reader: Reader) -> None:
        content = (reader.root / "f").read_bytes()
        first = reader.blocks.next()
        assert isinstance(first, Block)
        (reader.root / "f").unlink()
        assert whole([first, *reader.rest()])[first.entry] == content

    @posix
    def test_a_link_in_its_place_is_not_followed(self, reader: Reader) -> None:
        secret = reader.root.parent / "secret"
        (reader.root / "f").rename(secret)
        (reader.root / "f").symlink_to(secret)
        assert self.fault(reader) is FaultReason.CHANGED

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the end of a path only is looked at")
    @pytest.mark.parametrize("again", [False, True])
    def test_a_directory_exchanged_for_a_link_is_not_read_through(self, tmp_path: Path, again: bool) -> None:
        elsewhere = tmp_path / "elsewhere"
        (tmp_path / "root" / "d").mkdir(parents=True)
        (tmp_path / "root" / "d" / "f").write_bytes(b"content")
        reader = Reader(tmp_path / "root").scan()
        try:
            index = reader.index("d/f")
            if again:
                reader.rest()
            (tmp_path / "root" / "d").rename(elsewhere)
            (tmp_path / "root" / "d").symlink_to(elsewhere)
            fault = Fault(index, FaultReason.CHANGED)
            assert (reader.blocks.reread(index, 0) if again else reader.blocks.next()) == fault
        finally:
            reader.close()

    @posix
    def test_a_fifo_in_its_place_does_not_block(self, reader: Reader) -> None:
        (reader.root / "f").unlink()
        os.mkfifo(reader.root / "f")
        assert self.fault(reader) is FaultReason.CHANGED

    @posix
    def test_a_directory_in_its_place(self, reader: Reader) -> None:
        (reader.root / "f").unlink()
        (reader.root / "f").mkdir()
        assert self.fault(reader) is FaultReason.CHANGED

    @pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE])
    def test_unreadable(self, reader: Reader, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root may read everything, so the error is made."""
        real = native.open_straight

        def refusing(path: str, flags: int) -> int:
            if path.endswith("/f"):
                raise OSError(code, os.strerror(code), path)
            return real(path, flags)

        monkeypatch.setattr(native, "open_straight", refusing)
        assert self.fault(reader) is FaultReason.UNREADABLE

    @pytest.mark.parametrize(("function", "good"), [("read", 0), ("read", 2), ("fstat", 0), ("fstat", 1)])
    def test_an_error_of_the_disk(
        self, function: str, good: int, make: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also one that comes after a number of good calls."""
        reader = make({"f": noise(3 * SIZE + 100)}).scan()
        before = open_files()
        calls = itertools.count()
        real = getattr(os, function)

        def failing(*arguments: object) -> object:
            if next(calls) >= good:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, failing)
            items = reader.rest()
        assert items[-1] == Fault(1, FaultReason.UNREADABLE)
        assert len(items) == {("read", 2): 3, ("fstat", 1): 5}.get((function, good), 1)
        assert open_files() == before

    def test_advice_that_is_refused_does_not_matter(self, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "posix_fadvise", failing_with(errno.ENOSYS), raising=False)
        assert len(whole(reader.rest())) == 2


def failing_with(code: int) -> Callable[..., bytes]:
    def fail(*_: object) -> bytes:
        raise OSError(code, os.strerror(code))

    return fail


class TestStreams:
    @pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE, SIZE + 1, 5 * SIZE, 5 * SIZE + 7])
    def test_read_to_the_end(self, size: int, make: Callable[..., Reader]) -> None:
        reader = make({}, stdin=io.BytesIO(noise(size))).scan()
        items = reader.rest()
        assert list(whole(items).values()) == [noise(size)]
        assert all(isinstance(item, Block) and item.raw_size == SIZE for item in items[:-2])

    def test_pieces_are_joined(self, make: Callable[..., Reader]) -> None:
        content = noise(2 * SIZE + 10)

        class Dripping(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                return super().read(min(size or 0, 7))

        items = make({}, stdin=Dripping(content)).scan().rest()
        assert [item.raw_size for item in items if isinstance(item, Block)] == [SIZE, SIZE, 10]
        assert list(whole(items).values()) == [content]

    @posix
    @pytest.mark.parametrize("buffering", [0, -1])
    def test_a_pipe_that_does_not_block(self, buffering: int, make: Callable[..., Reader]) -> None:
        """As ssh and some shells leave it."""
        content = noise(20 * SIZE + 10)
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        with os.fdopen(reading, "rb", buffering=buffering) as stdin:
            reader = make({}, stdin=stdin).scan()

            def write() -> None:
                with os.fdopen(writing, "wb") as pipe:
                    for start in range(0, len(content), 1000):
                        pipe.write(content[start : start + 1000])
                        pipe.flush()

            writer = threading.Thread(target=write)
            writer.start()
            assert list(whole(reader.rest()).values()) == [content]
            writer.join()

    def test_files_come_before_and_after(self, make: Callable[..., Reader]) -> None:
        reader = make({"a": b"a"}, stdin=io.BytesIO(b"stream")).scan()
        reader.log.append(*reader.log[reader.index("/a")])
        reader.blocks.allow(len(reader.log))
        assert list(whole(reader.rest()).values()) == [b"a", b"stream", b"a"]

    def test_an_error_or_no_stream_at_all(self, make: Callable[..., Reader]) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise OSError(errno.EIO, "broken")

        closed = io.BytesIO()
        closed.close()
        for stdin in (Broken(), closed, None):
            log = EntryLog()
            log.append(Entry(Kind.FILE, "stdin", None))
            reader = BlockReader(log, block_size=SIZE, compress=Compress.NEVER, stdin=stdin)
            reader.allow(1)
            assert reader.next() == Fault(0, FaultReason.UNREADABLE)
            log.close()


class TestReread:
    def test_a_block_of_a_file(self, make: Callable[..., Reader]) -> None:
        reader = make({"f": noise(2 * SIZE + 5), "g": b"g"}, compress=Compress.ALWAYS).scan()
        blocks = [item for item in reader.rest() if isinstance(item, Block)]
        assert len(blocks) == 4
        for block in reversed(blocks):
            again = reader.blocks.reread(block.entry, block.number)
            assert isinstance(again, Block)
            assert (again.digest, again.raw_size, again.compressed) == (block.digest, block.raw_size, False)
            assert again.body == raw(block)

    @pytest.mark.parametrize(("entry", "number"), [(1, 3), (1, -1), (1, 2**32), (0, 0), (2, 0), (-1, 0), (99, 0)])
    def test_a_block_that_there_is_not(self, entry: int, number: int, make: Callable[..., Reader]) -> None:
        reader = make({"f": noise(2 * SIZE + 5), "g": b""}).scan()
        with pytest.raises(ProtocolError):
            reader.blocks.reread(entry, number)

    def test_faults(self, make: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch) -> None:
        reader = make({"f": noise(2 * SIZE)}).scan()
        reader.rest()
        before = open_files()
        with monkeypatch.context() as patch:
            patch.setattr(os, "read", failing_with(errno.EIO))
            assert reader.blocks.reread(1, 0) == Fault(1, FaultReason.UNREADABLE)
        with monkeypatch.context() as patch:
            patch.setattr(os, "read", lambda *_: b"")
            assert reader.blocks.reread(1, 0) == Fault(1, FaultReason.CHANGED)
        os.truncate(reader.root / "f", SIZE)
        assert reader.blocks.reread(1, 0) == Fault(1, FaultReason.CHANGED)
        (reader.root / "f").unlink()
        assert reader.blocks.reread(1, 0) == Fault(1, FaultReason.VANISHED)
        assert open_files() == before

    def test_the_end_of_a_stream(self, make: Callable[..., Reader]) -> None:
        blocks = KEPT_OF_STREAM // MIB + 2
        content = noise(1000) + bytes(blocks * MIB - 1500)
        reader = make({}, stdin=io.BytesIO(content), block_size=MIB).scan()
        reader.rest()
        index = reader.index("stdin")
        again = reader.blocks.reread(index, blocks - 1)
        assert isinstance(again, Block)
        assert again.body == content[(blocks - 1) * MIB :]
        assert reader.blocks.reread(index, 0) == Fault(index, FaultReason.UNREADABLE)

    @posix
    def test_while_the_reader_waits_for_a_stream(self, make: Callable[..., Reader]) -> None:
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as stdin:
            reader = make({"a": b"a"}, stdin=stdin).scan()
            items: list[Item] = []
            thread = threading.Thread(target=lambda: items.extend(reader.rest()), daemon=True)
            thread.start()
            again = reader.blocks.reread(reader.index("/a"), 0)
            assert isinstance(again, Block)
            os.write(writing, b"end")
            os.close(writing)
            thread.join(60)
        assert list(whole(items).values()) == [b"a", b"end"]


class TestCompression:
    def blocks(self, reader: Reader) -> list[Block]:
        items = reader.scan().rest()
        contents = [content for _, content in sorted(whole(items).items())]
        assert contents == [path.read_bytes() for path in sorted(reader.root.iterdir())]
        return [item for item in items if isinstance(item, Block)]

    @pytest.mark.parametrize(
        ("compress", "name", "content", "expected"),
        [
            (Compress.AUTO, "a.txt", bytes(3 * SIZE), [True, True, True]),
            (Compress.AUTO, "a.txt", noise(3 * SIZE), [False, False, False]),
            (Compress.AUTO, "a.JPG", bytes(3 * SIZE), [False, False, False]),
            (Compress.AUTO, "a.tar.gz", bytes(SIZE), [False]),
            (Compress.AUTO, "zip", bytes(SIZE), [True]),
            (Compress.AUTO, "a.gz.txt", bytes(SIZE), [True]),
            (Compress.AUTO, "tiny", bytes(127), [False]),
            (Compress.AUTO, "small", bytes(128), [True]),
            (Compress.AUTO, "a", noise(SIZE - 100) + bytes(100), [False]),
            (Compress.ALWAYS, "a", noise(SIZE - 100) + bytes(100), [True]),
            (Compress.ALWAYS, "a.jpg", bytes(SIZE), [True]),
            (Compress.ALWAYS, "a", noise(SIZE), [False]),
            (Compress.NEVER, "a.txt", bytes(SIZE), [False]),
        ],
    )
    def test_what_is_compressed(
        self, compress: Compress, name: str, content: bytes, expected: list[bool], make: Callable[..., Reader]
    ) -> None:
        blocks = self.blocks(make({name: content}, compress=compress))
        assert [block.compressed for block in blocks] == expected

    def test_auto_stops_trying_and_tries_again_later(self, make: Callable[..., Reader]) -> None:
        blocks = self.blocks(make({"a": noise(SIZE) + bytes(17 * SIZE)}, compress=Compress.AUTO))
        assert [block.number for block in blocks if block.compressed] == [16, 17]
        blocks = self.blocks(make({"a": bytes(SIZE) + noise(SIZE) + bytes(SIZE)}, compress=Compress.AUTO))
        assert [block.compressed for block in blocks] == [True, False, False]

    def test_each_kind_of_file_is_tried_for_itself(self, make: Callable[..., Reader]) -> None:
        blocks = self.blocks(make({"a.x": noise(SIZE), "b.X": bytes(SIZE), "c.y": bytes(SIZE)}, compress=Compress.AUTO))
        assert [block.compressed for block in blocks] == [False, False, True]

    def test_streams_too(self, make: Callable[..., Reader]) -> None:
        items = make({}, stdin=io.BytesIO(bytes(3 * SIZE)), compress=Compress.AUTO).scan().rest()
        assert list(whole(items).values()) == [bytes(3 * SIZE)]
        assert all(item.compressed for item in items if isinstance(item, Block))


def there(entry: int, content: bytes, *numbers: int, check: Check = Check.SAMPLE) -> Held:
    """These blocks of this content."""
    digests = Digests()
    for number in numbers:
        digests.append(number, blake3(content[number * SIZE : (number + 1) * SIZE]).digest())
    return Held(entry, digests, check)


def resumed(make: Callable[..., Reader], content: bytes, held: Held, **options: object) -> list[Item]:
    reader = make({"file": content, "next": b"next"}, **options).scan(allow=False)
    assert held.entry == reader.index("file")
    reader.blocks.allow(len(reader.log), (), [held])
    return [item for item in reader.rest() if item.entry == held.entry]


@pytest.mark.parametrize("numbers", [(0,), (0, 1, 2), (1, 5), (19,), (3, 4, 5, 18, 19), tuple(range(20))])
def test_blocks_that_the_receiver_has_are_left_out(make: Callable[..., Reader], numbers: tuple[int, ...]) -> None:
    content = noise(19 * SIZE + 7)
    items = resumed(make, content, there(1, content, *numbers))
    blocks = [item for item in items if isinstance(item, Block)]
    assert [block.number for block in blocks] == [number for number in range(20) if number not in numbers]
    assert all(raw(block) == content[block.number * SIZE :][:SIZE] and not block.over for block in blocks)
    compared = [item for item in items if isinstance(item, Compared)]
    assert all(item.same for item in compared)
    assert len(compared) == min(len(numbers), 10)
    digests = b"".join(blake3(content[start : start + SIZE]).digest() for start in range(0, len(content), SIZE))
    assert items[-1] == End(1, len(content), 20, blake3(digests).digest())


@pytest.mark.parametrize("check", [Check.SAMPLE, Check.ALL])
def test_a_file_that_differs_is_read_from_its_beginning(make: Callable[..., Reader], check: Check) -> None:
    content = noise(20 * SIZE)
    items = resumed(make, content, there(1, noise(20 * SIZE, 2), *range(12), check=check))
    assert items[0] == Compared(1, same=False)
    blocks = [item for item in items if isinstance(item, Block)]
    assert [block.number for block in blocks] == list(range(20))
    assert all(block.over for block in blocks)
    assert b"".join(map(raw, blocks)) == content
    assert isinstance(items[-1], End)
    assert items[-1].over


@pytest.mark.parametrize(("check", "verify"), [(Check.ALL, VerifyResume.SAMPLE), (Check.SAMPLE, VerifyResume.ALL)])
def test_one_block_that_differs_is_found_when_all_are_compared(
    make: Callable[..., Reader], check: Check, verify: VerifyResume
) -> None:
    content = noise(60 * SIZE)
    other = content[: 33 * SIZE] + b"!" + content[33 * SIZE + 1 :]
    items = resumed(make, content, there(1, other, *range(60), check=check), verify_resume=verify)
    assert [item.same for item in items if isinstance(item, Compared)] == [True] * 33 + [False]
    assert sum(isinstance(item, Block) for item in items) == 60


def test_a_block_that_is_asked_for_again_belongs_to_the_file_that_started_over(make: Callable[..., Reader]) -> None:
    content = noise(3 * SIZE)
    reader = make({"file": content}).scan(allow=False)
    reader.blocks.allow(len(reader.log), (), [there(1, noise(3 * SIZE, 2), 0)])
    reader.rest()
    again = reader.blocks.reread(1, 1)
    assert isinstance(again, Block)
    assert again.over


@pytest.mark.parametrize(("content", "numbers"), [(noise(20 * SIZE, 2), range(20)), (noise(20 * SIZE), range(19))])
def test_a_file_that_is_only_compared_is_never_sent(
    make: Callable[..., Reader], content: bytes, numbers: range
) -> None:
    items = resumed(make, noise(20 * SIZE), there(1, content, *numbers, check=Check.ONLY))
    assert items[-1] == Fault(1, FaultReason.DIFFERS)
    assert not any(isinstance(item, Block) for item in items)


def test_a_file_that_is_only_compared_and_is_the_same_ends_without_blocks(make: Callable[..., Reader]) -> None:
    content = noise(20 * SIZE)
    items = resumed(make, content, there(1, content, *range(20), check=Check.ONLY))
    assert [type(item) for item in items] == [Compared] * 20 + [End]
