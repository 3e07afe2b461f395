"""Both machines together over a simulated path: whatever happens, they agree on what became of every entry."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated import BLOCK, LIMITS, Simulation, Source, World, check_agreement, file

from p2pcopy.errors import (
    ConnectionLost,
    Declined,
    ExitCode,
    IntegrityError,
    InternalError,
    Interrupted,
    LocalFileError,
    P2PCopyError,
    ProtocolError,
    Terminated,
)
from p2pcopy.transfer import wire
from p2pcopy.transfer.held import told_cost
from p2pcopy.transfer.wire import Entry, Kind

SIZES = st.one_of(
    st.sampled_from([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 15 * BLOCK]), st.integers(0, 20 * BLOCK)
)


def contents(size: int, seed: int, *, plain: bool) -> bytes:
    return bytes(size) if plain else random.Random(seed).randbytes(size)


FILES = st.builds(
    lambda size, seed, plain, stream, compressed, unreadable, fault_at: file(
        f"file {seed}",
        contents(size, seed, plain=plain),
        stream=stream,
        fault_at=fault_at,
        compressed=compressed,
        unreadable_again=unreadable,
    ),
    SIZES,
    st.integers(0, 1000),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, None, None, 0, 1, 2]),
)
SOURCES = st.lists(
    st.one_of(
        FILES,
        FILES,
        FILES,
        st.just(Source(Entry(Kind.DIRECTORY, "directory", 0))),
        st.just(Source(Entry(Kind.LINK, "link", 0, target="file"))),
    ),
    max_size=25,
)
INDICES = st.frozensets(st.integers(0, 24), max_size=5)
WORLDS = st.builds(
    World,
    seed=st.integers(0, 2**32),
    message_size=st.sampled_from([8192, 16384, 65536, 262144]),
    delay=st.sampled_from([(0.001, 0.001), (0.01, 0.2), (0.4, 0.5)]),
    disorder=st.sampled_from([0.0, 0.1, 0.7]),
    damage=st.sampled_from([0.0, 0.0, 0.1, 0.9]),
    damage_times=st.integers(1, 3),
    disk_rate=st.sampled_from([1e9, 1e5]),
    group=st.sampled_from([1, 5, 100]),
    consent=st.sampled_from(["at once", "at the end"]),
    think=st.sampled_from([0.0, 60.0]),
    skip=INDICES,
    refuse=INDICES,
    held=st.dictionaries(st.integers(0, 24), st.frozensets(st.integers(0, 20)), max_size=5).map(
        lambda held: tuple(sorted(held.items()))
    ),
    stale=INDICES,
    commit_fails=INDICES,
    write_fails=INDICES,
)
slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(SOURCES, WORLDS)
def test_both_sides_agree_on_every_entry(sources: list[Source], world: World) -> None:
    simulation = Simulation(sources, world)
    simulation.run()
    check_agreement(simulation)


ERRORS: dict[Callable[..., P2PCopyError], tuple[ExitCode, ExitCode]] = {
    Interrupted: (ExitCode.INTERRUPTED, ExitCode.LOST),
    Terminated: (ExitCode.TERMINATED, ExitCode.LOST),
    Declined: (ExitCode.DECLINED, ExitCode.DECLINED),
    LocalFileError: (ExitCode.LOCAL, ExitCode.LOCAL),
    IntegrityError: (ExitCode.INTEGRITY, ExitCode.INTEGRITY),
    ConnectionLost: (ExitCode.LOST, ExitCode.LOST),
    InternalError: (ExitCode.INTERNAL, ExitCode.INTERNAL),
    ProtocolError: (ExitCode.PEER, ExitCode.PEER),
}


@slow
@given(SOURCES, WORLDS, st.floats(0, 5), st.sampled_from(["sender", "receiver"]), st.sampled_from(list(ERRORS)))
def test_an_abort_ends_both_sides(
    sources: list[Source], world: World, at: float, side: str, error: Callable[..., P2PCopyError]
) -> None:
    simulation = Simulation(sources, World(**{**vars(world), "abort": (at, side, error("stop"))}))
    simulation.run()
    ours, theirs = simulation.sending, simulation.receiving
    if side == "receiver":
        ours, theirs = theirs, ours
    if ours.error is None:
        assert theirs.error is None
        return
    codes = (ours.error.exit_code, theirs.error and theirs.error.exit_code)
    # Whoever has heard the other's last word by then may say that all is well: everything is stored.
    allowed: list[tuple[ExitCode, ExitCode | None]] = [ERRORS[error]]
    if simulation.receiver.parted is not None:
        allowed.append((ERRORS[error][0], None))
    assert codes in allowed


def run(sources: list[Source], **changes: object) -> Simulation:
    simulation = Simulation(sources, World(**changes))  # type: ignore[arg-type]
    simulation.run()
    check_agreement(simulation)
    return simulation


@pytest.mark.parametrize("blocks", [{0}, {0, 1, 2}, {1, 5}, {14}, {13, 14}, set(range(15))])
def test_blocks_that_are_there_are_not_sent(blocks: set[int]) -> None:
    content = random.Random(1).randbytes(15 * BLOCK - 7)
    simulation = run([file("a", content), file("b", b"b")], held=((0, frozenset(blocks)),))
    there = sum(len(content[number * BLOCK : (number + 1) * BLOCK]) for number in blocks)
    assert simulation.sent == len(content) - there + 1
    assert simulation.receiver.bytes_resumed == there
    assert simulation.receiver.bytes_stored == simulation.sent


def test_a_file_that_has_changed_since_starts_over() -> None:
    content = random.Random(1).randbytes(15 * BLOCK)
    stale = frozenset({0})
    simulation = run([file("a", content)], held=((0, frozenset(range(9))),), stale=stale, disorder=0.5, damage=0.1)
    assert simulation.sent == len(content)
    assert simulation.receiver.bytes_resumed == 0


def test_more_blocks_than_a_sender_takes_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_HELD", 2 * told_cost(4) - 1)
    everything = frozenset(range(4))
    sources = [file(name, random.Random(name).randbytes(4 * BLOCK)) for name in "abc"]
    simulation = run(sources, held=((0, everything), (1, everything), (2, everything)), stale=frozenset({1, 2}))
    assert simulation.sent == 8 * BLOCK


def test_nothing_to_send() -> None:
    assert run([]).receiver.files_done == 0


def test_nothing_wanted() -> None:
    simulation = run([file("a", b"a"), file("b", b"b")], skip=frozenset({0, 1}))
    assert simulation.sender.files_skipped == 2
    assert simulation.messages["data"] == 0


@pytest.mark.parametrize("size", [0, BLOCK, 2 * BLOCK, 2 * BLOCK + 1])
def test_streams(size: int) -> None:
    run([file("stream", bytes(size), stream=True)])


def test_damage_once_is_mended() -> None:
    sources = [file(f"{index}", contents(5 * BLOCK, index, plain=False)) for index in range(8)]
    simulation = run(sources, damage=0.5, seed=3)
    assert simulation.sender.files_done == 8
    assert simulation.sender.files_damaged == 0


def test_damage_three_times_fails_the_file_and_no_other() -> None:
    sources = [file("a", contents(BLOCK, 1, plain=False)), file("b", b"")]
    simulation = run(sources, damage=1.0, damage_times=3)
    assert simulation.sending.told == {0: "failed", 1: "done"}
    assert simulation.sender.files_damaged == simulation.receiver.files_damaged == 1


def test_a_damaged_block_that_cannot_be_read_again_fails_the_file() -> None:
    simulation = run([file("a", contents(BLOCK, 1, plain=False), unreadable_again=True)], damage=1.0)
    assert simulation.sending.told == {0: "failed"}
    assert simulation.sender.files_damaged == 0


def test_a_slow_disk_bounds_what_is_under_way() -> None:
    sources = [file("large", contents(600 * BLOCK, 1, plain=False))]
    simulation = run(sources, disk_rate=50_000, delay=(0.05, 0.1))
    assert LIMITS.max_window - 2 * BLOCK < simulation.most_held <= LIMITS.max_window
    assert simulation.receiver.released > 600 * BLOCK


def test_many_small_files_share_messages() -> None:
    sources = [file(f"{index}", bytes(100)) for index in range(2000)]
    simulation = run(sources, message_size=65536, consent="at the end")
    assert simulation.messages["data"] < 50


def test_many_tiny_files_do_not_run_ahead_of_the_store() -> None:
    sources = [file(f"{index}", b"") for index in range(3000)]
    simulation = run(sources, disk_rate=1e9, group=50)
    assert simulation.most_held <= LIMITS.max_window


def test_small_windows_do_not_stop_anything() -> None:
    sources = [file(f"{index}", contents(40_000, index, plain=index % 2 == 0)) for index in range(20)]
    limits = type(LIMITS)(block_size=BLOCK, max_window=64 * 1024)
    run(sources, limits=limits, damage=0.3, disorder=0.5, message_size=8192)
