"""docs/protocol.md holds: its vectors, state tables, limits, times and exit codes are those of the program."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from p2pcopy import errors
from p2pcopy.config import TransferLimits
from p2pcopy.errors import P2PCopyError, ProtocolError
from p2pcopy.transfer import assembly, conversation, records, sender, wire
from p2pcopy.transfer.assembly import WholeBlock
from p2pcopy.transfer.blocks import unpack_block
from p2pcopy.transfer.conversation import Conversation, Finished, SendControl, SendData, State, error_from_abort
from p2pcopy.transfer.flow import ReceiveWindow, cost
from p2pcopy.transfer.held import Digests, Held
from p2pcopy.transfer.orders import Commit, FinishStore, Listed, ManifestComplete, StartOver, StoreBlock
from p2pcopy.transfer.packing import Packer
from p2pcopy.transfer.receiver import Receiver
from p2pcopy.transfer.records import FileEnd, FileFault, Piece
from p2pcopy.transfer.sender import Accepted, Sender
from p2pcopy.transfer.totals import TotalDigest
from p2pcopy.transfer.wire import Entry, Kind

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
LIMITS = TransferLimits()
(CONTROL, REFUSED, NAMES, DIGESTS, TOTALS, DATA, BAD_DATA, ZSTD, TRANSFER, RESUMED) = (
    json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
)


def content(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def table(head: str) -> list[list[str]]:
    """The rows of the table with this head."""
    lines = PAGE[PAGE.index(head) :].splitlines()[2:]
    rows = next(group for is_row, group in groupby(lines, lambda line: line.startswith("|")) if is_row)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def tag(message: type[wire.Control]) -> str:
    return str(message.__struct_config__.tag)


@pytest.mark.parametrize("vector", CONTROL, ids=lambda vector: vector["message"][:30])
def test_control_messages_are_written_as_on_the_page(vector: dict[str, Any]) -> None:
    raw = vector["message"].encode()
    message = wire.decode(raw, limit=LIMITS.max_control_message)
    assert wire.encode(message) == raw
    match message:
        case wire.Manifest():
            entries = [wire.from_wire(entry) for entry in message.entries]
            assert list(wire.manifest_batches(message.first, entries, LIMITS.max_control_message)) == [
                (raw, len(entries))
            ]
            assert vector["cost"] == cost(len(raw), len(entries))
        case wire.ManifestEnd() | wire.End():
            assert vector["cost"] == len(raw)
        case _:
            assert vector["cost"] == 0


def test_every_message_is_on_the_page() -> None:
    types = {tag(message) for message in wire.Control.__args__}
    assert {json.loads(vector["message"])["type"] for vector in CONTROL} == types
    rows = table("| type | from | fields |")
    assert {row[0].strip("`") for row in rows} == types
    for name, _, fields in rows:
        message = next(message for message in wire.Control.__args__ if tag(message) == name.strip("`"))
        assert all(f"`{field}" in fields for field in message.__struct_fields__), name


@pytest.mark.parametrize("message", REFUSED)
def test_control_messages_are_refused_as_on_the_page(message: str) -> None:
    with pytest.raises(ProtocolError):
        wire.decode(message.encode(), limit=LIMITS.max_control_message)


@pytest.mark.parametrize("vector", NAMES, ids=lambda vector: vector["bytes"])
def test_names_are_written_as_on_the_page(vector: dict[str, Any]) -> None:
    name = bytes.fromhex(vector["bytes"]).decode(errors="surrogateescape")
    (raw, _), *_ = wire.manifest_batches(0, [Entry(Kind.FILE, name)], 1000)
    assert json.loads(raw)["entries"][0][1] == vector["path"]


@pytest.mark.parametrize("vector", DIGESTS, ids=lambda vector: str(vector["size"]))
def test_digests_are_those_of_the_page(vector: dict[str, Any]) -> None:
    size, block_size = vector["size"], vector["block_size"]
    blocks = [content(size)[start : start + block_size] for start in range(0, size, block_size)]
    assert [blake3(block).hexdigest() for block in blocks] == vector["blocks"]
    files = assembly.OpenFiles(LIMITS)
    files.take_end(FileEnd(0, len(blocks), size, bytes.fromhex(vector["file"])), size, block_size)
    for number, raw in enumerate(blocks):
        digest = blake3(raw).digest()
        block = files.take_piece(
            Piece(0, number, len(raw), len(raw), 0, False, digest, raw, len(raw)), size, block_size
        )
        assert block is not None
        files.verified(block)
    file = files.take_whole(0)
    assert file is not None
    assert file.intact()


@pytest.mark.parametrize("vector", TOTALS, ids=["none", "some"])
def test_totals_are_those_of_the_page(vector: dict[str, Any]) -> None:
    for files in (vector["files"], vector["files"][::-1]):
        totals = TotalDigest()
        for entry, digest in files:
            totals.add(entry, 0, bytes.fromhex(digest))
        assert totals.hex() == vector["total"]


def described(record: records.Record) -> dict[str, Any]:
    match record:
        case Piece():
            return {
                "type": "piece",
                "entry": record.entry,
                "block": record.block,
                "block_size": record.raw_size,
                "body_size": record.total,
                "offset": record.offset,
                "zstd": record.compressed,
                "over": record.over,
                "digest": record.digest.hex(),
                "piece": bytes(record.body).hex(),
            }
        case FileEnd():
            return {
                "type": "end",
                "entry": record.entry,
                "blocks": record.blocks,
                "size": record.file_size,
                "digest": record.digest.hex(),
                "over": record.over,
            }
        case FileFault():
            return {"type": "fault", "entry": record.entry, "reason": int(record.reason)}


@pytest.mark.parametrize("vector", DATA, ids=lambda vector: vector["message"][:20])
def test_data_messages_are_read_as_on_the_page(vector: dict[str, Any]) -> None:
    message = bytes.fromhex(vector["message"])
    decoded = records.decode_records(message, limit=LIMITS.max_data_message)
    assert [described(record) for record in decoded] == vector["records"]
    assert cost(len(message), len(decoded)) == vector["cost"] == sum(cost(record.size, 1) for record in decoded)


@pytest.mark.parametrize("message", BAD_DATA, ids=lambda message: message[:20])
def test_data_messages_are_refused_as_on_the_page(message: str) -> None:
    with pytest.raises(ProtocolError):
        records.decode_records(bytes.fromhex(message), limit=LIMITS.max_data_message)


@pytest.mark.parametrize("vector", ZSTD, ids=lambda vector: str(vector["size"]))
def test_compressed_blocks_are_read_as_on_the_page(vector: dict[str, Any]) -> None:
    body, digest = bytes.fromhex(vector["body"]), bytes.fromhex(vector["digest"])
    assert unpack_block(WholeBlock(0, 0, vector["size"], (body,), digest, True, 0)) == (content(vector["size"]),)


@dataclass(frozen=True)
class Story:
    """A whole transfer of the page. blocks: what the sender sends, as (entry, block, content); ends: what it closes files
    with, as (entry, content, over); figures: files done and skipped, bytes that travel."""

    steps: list[list[str]]
    block_size: int
    blocks: tuple[tuple[int, int, bytes], ...]
    ends: tuple[tuple[int, bytes, bool], ...]
    figures: tuple[int, int, int]
    skips: tuple[tuple[int, int], ...] = ()
    held: tuple[Held, ...] = ()

    def manifest(self) -> wire.Manifest:
        raw = next(message for _, _, message in self.steps if '"manifest"' in message)
        manifest = wire.decode(raw.encode(), limit=LIMITS.max_control_message)
        assert isinstance(manifest, wire.Manifest)
        return manifest


def digest_of(raw: bytes) -> bytes:
    return blake3(raw).digest()


def file_digest(raw: bytes, block_size: int) -> bytes:
    return digest_of(b"".join(digest_of(raw[start : start + block_size]) for start in range(0, len(raw), block_size)))


def there(entry: int, *blocks: bytes) -> Held:
    digests = Digests()
    digests.append(0, b"".join(map(digest_of, blocks)))
    return Held(entry, digests)


WHOLE = Story(
    TRANSFER,
    LIMITS.block_size,
    blocks=((1, 0, content(10)),),
    ends=((1, content(10), False), (2, b"", False)),
    figures=(2, 1, 10),
    skips=((3, 4),),
)
GOES_ON = Story(
    RESUMED,
    4096,
    blocks=((0, 2, content(8202)[8192:]), (1, 0, content(10))),
    ends=((0, content(8202), False), (1, content(10), True)),
    figures=(2, 0, 20),
    held=(there(0, content(4096), content(8192)[4096:]), there(1, content(9))),
)
STORIES = pytest.mark.parametrize("story", [WHOLE, GOES_ON], ids=["whole", "goes on"])


@STORIES
def test_a_sender_makes_the_transfer_of_the_page(story: Story) -> None:
    machine = Sender(TransferLimits(block_size=story.block_size), "sender", 0.0)
    sent: list[list[str]] = []
    held: list[Held] = []

    def collect() -> None:
        for action in machine.actions():
            match action:
                case SendControl():
                    sent.append(["sender", "control", action.message.decode()])
                case SendData():
                    sent.append(["sender", "data", action.message.hex()])
                case Accepted():
                    held.extend(action.held)

    for side, _, message in story.steps:
        if side == "receiver":
            machine.control_received(message.encode(), 0.0)
        collect()
        if '"role":"receiver"' in message:
            machine.entries([wire.from_wire(entry) for entry in story.manifest().entries])
            machine.manifest_complete(0)
        if '"go"' in message:
            assert [(file.entry, dict(file.digests)) for file in held] == [
                (file.entry, dict(file.digests)) for file in story.held
            ]
            packer = Packer(16384)
            for entry, raw, over in story.ends:
                for _, number, block in (each for each in story.blocks if each[0] == entry):
                    packer.block(entry, number, len(block), block, digest_of(block), compressed=False, over=over)
                digest = file_digest(raw, story.block_size)
                packer.record(records.encode_end(entry, -(-len(raw) // story.block_size), len(raw), digest, over))
            packer.close()
            machine.data(packer.take())
            for entry, raw, _ in story.ends:
                machine.file_end(entry, len(raw), file_digest(raw, story.block_size))
            machine.all_read()
        collect()
    assert sent == [step for step in story.steps if step[0] == "sender"]
    assert machine.state is State.OVER
    assert (machine.files_done, machine.files_skipped, machine.bytes_stored) == story.figures


@STORIES
def test_a_receiver_makes_the_transfer_of_the_page(story: Story) -> None:
    machine = Receiver(TransferLimits(max_window=wire.LEAST_CREDIT), "receiver", 0.0)
    sent: list[list[str]] = []
    entries = len(story.manifest().entries)
    blocks = {(entry, number): raw for entry, number, raw in story.blocks}
    started_over: list[int] = []

    def carry_out() -> None:
        while actions := machine.actions():
            for action in actions:
                match action:
                    case SendControl():
                        sent.append(["receiver", "control", action.message.decode()])
                    case Listed():
                        machine.listed(action.cost, 0.0)
                    case ManifestComplete():
                        machine.accept(entries, story.skips, 0.0, story.held)
                        machine.committed(
                            [
                                index
                                for index, entry in enumerate(story.manifest().entries)
                                if entry.kind is Kind.DIRECTORY
                            ],
                            0.0,
                        )
                    case StartOver():
                        started_over.append(action.entry)
                    case StoreBlock():
                        assert unpack_block(action.block) == (blocks[action.block.entry, action.block.number],)
                        machine.stored(action.block, 0.0)
                    case Commit():
                        machine.committed([action.entry], 0.0)
                    case FinishStore():
                        machine.store_finished(0.0)
                    case Finished():
                        machine.say_bye()

    carry_out()
    for side, channel, message in story.steps:
        if side == "sender":
            if channel == "control":
                machine.control_received(message.encode(), 0.0)
            else:
                machine.data_received(bytes.fromhex(message), 0.0)
        carry_out()
    assert sent == [step for step in story.steps if step[0] == "receiver"]
    assert machine.state is State.OVER
    assert (machine.files_done, machine.files_skipped, machine.bytes_stored) == story.figures
    assert started_over == [entry for entry, _, over in story.ends if over]


@pytest.mark.parametrize(("head", "role"), [("sender in", Sender), ("receiver in", Receiver)])
def test_the_states_are_those_of_the_page(head: str, role: type[Conversation[Any]]) -> None:
    page = {
        (state, message.strip(" `")): following
        for state, messages, following in table(f"| {head} | gets | goes to |")
        for message in messages.split(",")
    }
    program = {
        (state.name.lower(), tag(message)): following.name.lower() for (state, message), following in role.table.items()
    }
    assert page == program


def test_the_limits_are_those_of_the_page() -> None:
    assert {what: int(limit) for what, limit in table("| what | limit |")} == {
        "size of a control message": LIMITS.max_control_message,
        "size of a data message": LIMITS.max_data_message,
        "entries in a manifest": LIMITS.max_entries,
        "size of a path": LIMITS.max_path_bytes,
        "size of a name in a path": LIMITS.max_name_bytes,
        "names in a path": LIMITS.max_depth,
        "files begun at a receiver of which a block or the end has not come": LIMITS.max_open_files,
        "times that a block may arrive damaged": LIMITS.max_bad_blocks,
        "entries in a `manifest`": wire.MAX_BATCH,
        "digests in a `have`": wire.MAX_DIGESTS,
        "what is told in `have` messages of files that are not closed: digests, and 512 for each message": wire.MAX_HELD,
        "records in a data message": records.MAX_RECORDS,
        "characters of a text": wire.MAX_TEXT,
        "blocks of one file, or verified blocks of all files, ahead of a block that has not come": assembly.MAX_AHEAD,
        "damaged blocks that have not come again": assembly.MAX_BAD,
        "blocks asked for again that have not been sent": sender.MAX_ASKED,
        "blocks asked for again in a transfer": sender.MAX_DAMAGED,
    }


def test_the_times_are_those_of_the_page() -> None:
    assert [float(seconds) for _, seconds in table("| what | seconds |")] == [
        LIMITS.ping_s,
        LIMITS.silence_s,
        LIMITS.hello_s,
        LIMITS.goodbye_s,
        LIMITS.busy_s,
        LIMITS.waiting_s,
        LIMITS.idle_s,
    ]
    assert f"the receiver waits {2 * LIMITS.silence_s:.0f} s for data" in PAGE
    assert f"than every {conversation.PONG_GAP_S} s" in PAGE


def test_sizes_in_the_text_are_those_of_the_program() -> None:
    assert f"{wire.MIN_BLOCK_SIZE} to {wire.MAX_BLOCK_SIZE}" in PAGE
    assert wire.MIN_BLOCK_SIZE <= LIMITS.block_size <= wire.MAX_BLOCK_SIZE
    assert f"grants at least {wire.LEAST_CREDIT // 2**20} MiB in its" in PAGE
    assert LIMITS.max_window >= wire.LEAST_CREDIT
    assert f"a window of {LIMITS.max_window // 2**20} MiB" in PAGE
    assert ReceiveWindow(LIMITS.max_window).limit == LIMITS.max_window


def test_the_least_window_has_room_for_what_cannot_be_done_with_yet() -> None:
    pieces = wire.MAX_BLOCK_SIZE // 4096
    block = wire.MAX_BLOCK_SIZE + pieces * (records.PIECE_HEADER.size + 256) + 32
    message = max(
        cost(LIMITS.max_control_message // 4, wire.MAX_BATCH), cost(LIMITS.max_data_message, records.MAX_RECORDS)
    )
    damaged = assembly.MAX_BAD * cost(FileEnd.size, 1)
    assert block + message + damaged <= wire.LEAST_CREDIT


def test_exit_codes_are_those_of_the_page() -> None:
    classes = {
        kind.name: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, P2PCopyError)
    }
    rows = table("| error | sent when | exit code there | exit code here |")
    for name, _, there, here in rows:
        kind = classes[name.strip("`")]
        assert int(there) == kind.exit_code
        assert int(here) == error_from_abort(wire.Abort(kind.name, "")).exit_code
