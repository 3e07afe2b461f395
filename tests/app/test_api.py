"""send() and receive() as a program calls them: real transfers between two of them in one event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from trees import MIB, copied, facts, leftovers, make, noise

import p2pcopy
from p2pcopy import Network, Offered, errors, events, meeting, receive, send
from p2pcopy.config import NetTimes
from p2pcopy.net.peer import Peer

HERE = Network(stun=())
SOON_S = 100.0
T = TypeVar("T")


def run(story: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(SOON_S):
            return await story

    return asyncio.run(bounded())


class Post:
    """Where one side leaves its codes for the other. told: the events of both sides, by their names."""

    def __init__(self) -> None:
        self.codes: dict[str, asyncio.Queue[str]] = {"offer": asyncio.Queue(), "answer": asyncio.Queue()}
        self.told: list[events.Event] = []

    def leave(self, code: events.Code) -> None:
        self.codes[code.kind].put_nowait(code.code)

    async def offer(self) -> str:
        return await self.codes["offer"].get()

    async def answer(self) -> str:
        return await self.codes["answer"].get()

    def names(self) -> list[str]:
        return [event.event for event in self.told]


Outcome = events.Done | BaseException


async def both(giving: Awaitable[events.Done], taking: Awaitable[events.Done]) -> tuple[Outcome, Outcome]:
    """What each side returns or raises."""
    return await asyncio.gather(giving, taking, return_exceptions=True)


async def yes(_: Offered) -> bool:
    return True


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    make(tmp_path / "tree" / "a", noise(3 * MIB))
    make(tmp_path / "tree" / "b" / "c", b"c")
    return tmp_path / "tree"


def test_a_tree_arrives_and_both_sides_say_the_same(tree: Path, tmp_path: Path) -> None:
    seen = list[Offered]()

    async def accept(offer: Offered) -> bool:
        seen.append(offer)
        assert [line.path for line in offer.all_entries()] == ["tree", "tree/a", "tree/b", "tree/b/c"]
        return True

    async def story() -> tuple[events.Done, events.Done]:
        post = Post()
        done = await asyncio.gather(
            send(tree, on_code=post.leave, on_event=post.told.append, network=HERE),
            receive(post.offer, output=tmp_path / "out", accept=accept, network=HERE),
        )
        passing = ("waiting", "connecting")  # where the machine is busy
        assert [name for name in post.names() if name not in passing][:2] == ["code", "connected"]
        assert post.names()[-1] == "done"
        assert post.told[-1] is done[0]
        return done

    sent, received = run(story())
    assert copied(tree, tmp_path / "out")
    assert sent.ok
    assert received.ok
    assert (sent.files_done, sent.bytes_done) == (received.files_done, received.bytes_done) == (2, 3 * MIB + 1)
    assert [(offer.files, offer.bytes, offer.policy) for offer in seen] == [(2, 3 * MIB + 1, "refuse")]


def test_the_receiver_starts_and_the_code_is_a_string(tree: Path, tmp_path: Path) -> None:
    async def story() -> None:
        post = Post()
        taking = asyncio.create_task(receive(output=tmp_path / "out", yes=True, on_code=post.leave, network=HERE))
        await send(str(tree), to=await post.offer(), network=HERE)
        await taking

    run(story())
    assert copied(tree, tmp_path / "out")


def test_answer_codes_and_numbers_go_through_the_program(tree: Path, tmp_path: Path) -> None:
    numbers = list[str]()

    async def compare(number: str) -> bool:
        numbers.append(number)
        return True

    async def story() -> None:
        post = Post()

        async def leave(code: events.Code) -> None:
            await asyncio.sleep(0)
            post.leave(code)

        await asyncio.gather(
            send(tree, on_code=leave, answer=post.answer, two_way=True, confirm=compare, network=HERE),
            receive(post.offer, output=tmp_path / "out", yes=True, on_code=leave, two_way=True, confirm=compare, network=HERE),
        )  # fmt: skip

    run(story())
    assert copied(tree, tmp_path / "out")
    assert len(numbers) == 2
    assert len(set(numbers)) == 1


def test_many_at_once_in_one_loop(tmp_path: Path) -> None:
    async def one(number: int) -> None:
        make(tmp_path / str(number) / "file", noise(MIB, seed=number))
        post = Post()
        await asyncio.gather(
            send(tmp_path / str(number), on_code=post.leave, network=HERE),
            receive(post.offer, output=tmp_path / "out", yes=True, network=HERE),
        )

    async def story() -> None:
        await asyncio.gather(*(one(number) for number in range(4)))

    run(story())
    for number in range(4):
        assert facts(tmp_path / "out" / str(number)) == facts(tmp_path / str(number))


def test_from_a_descriptor_to_a_descriptor(tmp_path: Path) -> None:
    content = noise(2 * MIB)
    make(tmp_path / "in", content)

    async def story() -> events.Done:
        post = Post()
        with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as output:
            sent, _ = await asyncio.gather(
                send(source.fileno(), name="in", on_code=post.leave, network=HERE),
                receive(post.offer, output=output.fileno(), network=HERE),
            )
        return sent

    assert run(story()).bytes_done == len(content)
    assert (tmp_path / "out").read_bytes() == content


def test_a_text_comes_as_an_event_or_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def story(text: str, **options: Any) -> None:
        post = Post()
        await asyncio.gather(
            send(text=text, on_code=post.leave, network=HERE), receive(post.offer, network=HERE, **options)
        )

    told = list[events.Event]()
    run(story("-", accept=never, on_event=told.append))
    assert [event.text for event in told if isinstance(event, events.Text)] == ["-"]
    assert not list(tmp_path.iterdir())
    run(story("hello", yes=True, output="out", on_event=told.append))
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["hello"]


def test_a_hyphen_is_a_file_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "-", b"hyphen")
    run(transferred("-", Path("out")))
    assert (tmp_path / "out" / "-").read_bytes() == b"hyphen"


def test_a_single_string_is_one_pattern(tree: Path, tmp_path: Path) -> None:
    make(tree / "ab", b"left out")
    run(transferred(tree, tmp_path / "out", giving={"exclude": "ab"}))
    assert sorted(path.name for path in (tmp_path / "out" / "tree").iterdir()) == ["a", "b"]


# Consent


async def transferred(
    tree: Path | str, output: Path, *, giving: dict[str, Any] | None = None, **taking: Any
) -> tuple[Outcome, Outcome]:
    post = Post()
    return await both(
        send(tree, on_code=post.leave, network=HERE, **(giving or {})),
        receive(post.offer, output=output, network=HERE, **(taking or {"yes": True})),
    )


async def never(_: Offered) -> bool:
    return False


async def too_much(_: Offered) -> bool:
    raise errors.Declined("we take no trees", "Send flowers.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accept": never}, "the offer was not accepted"),
        ({"accept": too_much}, "we take no trees"),
        ({"yes": True, "max_size": MIB}, "more than the 1.0 MiB that the receiver allows"),
    ],
)
def test_no_is_no_on_both_sides(tree: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    for error in run(transferred(tree, tmp_path / "out", **options)):
        assert isinstance(error, errors.Declined)
        assert message in error.message
    assert not (tmp_path / "out" / "tree").exists()


@pytest.mark.parametrize("how", ["option", "hook"])
def test_names_that_are_taken(tree: Path, tmp_path: Path, how: str) -> None:
    make(tmp_path / "out" / "tree" / "a", b"mine")

    async def rename(offer: Offered) -> str:
        assert offer.existing == 1
        return "rename"

    refused = run(transferred(tree, tmp_path / "out", yes=True))
    assert all(isinstance(error, errors.Declined) for error in refused)
    options = {"yes": True, "existing": "rename"} if how == "option" else {"accept": rename}
    done = run(transferred(tree, tmp_path / "out", **options))
    assert all(isinstance(each, events.Done) and each.ok for each in done)
    assert (tmp_path / "out" / "tree" / "a").read_bytes() == b"mine"
    assert (tmp_path / "out" / "tree" / "a (1)").read_bytes() == (tree / "a").read_bytes()


def test_a_number_that_is_not_confirmed(tree: Path, tmp_path: Path) -> None:
    async def different(_: str) -> bool:
        return False

    for error in run(transferred(tree, tmp_path / "out", yes=True, confirm=different)):
        assert isinstance(error, errors.Declined)


# Hooks that fail


class Broken(Exception):
    pass


def fails(*_: object) -> Any:
    raise Broken("a hook") from KeyError("its cause")


async def fails_later(*_: object) -> Any:
    await asyncio.sleep(0)
    raise Broken("a hook")


def fails_at(kind: type[Any]) -> Callable[[events.Event], None]:
    def hook(event: events.Event) -> None:
        if isinstance(event, kind):
            raise Broken("a hook")

    return hook


@pytest.mark.parametrize(
    "options",
    [
        {"accept": fails_later},
        {"accept": fails},
        {"yes": True, "on_event": fails_at(events.Manifest)},
        {"yes": True, "on_event": fails_at(events.DataPath)},
        {"yes": True, "confirm": fails_later},
    ],
    ids=["accept", "accept at once", "event", "event of the connection", "confirm"],
)
def test_what_a_hook_raises_is_raised_and_the_other_side_told(
    tree: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    sent, received = run(transferred(tree, tmp_path / "out", **options))
    assert isinstance(received, Broken)
    assert isinstance(received.__cause__, KeyError) == (options.get("accept") is fails)
    assert isinstance(sent, errors.P2PCopyError)
    assert sent.is_theirs or isinstance(sent, errors.ConnectionLost | errors.Declined)


@pytest.mark.parametrize("hook", [fails, fails_later])
@pytest.mark.parametrize("option", ["on_code", "answer"])
def test_hooks_that_fail_before_there_is_a_connection(tree: Path, option: str, hook: Any) -> None:
    with pytest.raises(Broken):
        run(send(tree, network=HERE, **{option: hook}))


def test_a_code_that_cannot_be_had(tree: Path, tmp_path: Path) -> None:
    async def none() -> None:
        return None

    with pytest.raises(Broken):
        run(send(tree, to=fails_later, network=HERE))
    with pytest.raises(errors.CodeError, match="no code came"):
        run(receive(none, output=tmp_path, yes=True, network=HERE))
    for bad in ("", "nonsense", "@file", "-"):
        with pytest.raises(errors.CodeError):
            run(receive(bad, output=tmp_path, yes=True, network=HERE))


def test_a_hook_whose_future_is_cancelled_does_not_leave_the_transfer_hanging(tree: Path, tmp_path: Path) -> None:
    async def accept(_: Offered) -> bool:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        future.cancel()
        return await future

    sent, received = run(transferred(tree, tmp_path / "out", accept=accept))
    assert isinstance(received, asyncio.CancelledError)
    assert isinstance(sent, errors.P2PCopyError)


# Cancelled


def test_cancelled_while_the_code_is_out(tree: Path) -> None:
    async def story() -> None:
        out = asyncio.Event()
        sending = asyncio.create_task(send(tree, on_code=lambda _: out.set(), network=HERE))
        await out.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    run(story())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", ["sender", "receiver"])
def test_cancelled_in_the_middle_the_other_side_is_told_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    # What is on its way goes first, however busy the machine is.
    monkeypatch.setattr(meeting, "Peer", partial(Peer, times=NetTimes(close_s=60.0)))
    make(tmp_path / "file", noise(48 * MIB))

    async def broken_off() -> None:
        post, tasks = Post(), dict[str, asyncio.Task[events.Done]]()

        def stop(event: events.Event) -> None:
            if isinstance(event, events.Progress) and event.bytes_done >= 8 * MIB and not tasks[who].cancelling():
                tasks[who].cancel()  # a second time it would end at once, whether the other side knows of it or not

        tasks["sender"] = asyncio.create_task(send(tmp_path / "file", on_code=post.leave, on_event=stop, network=HERE))
        tasks["receiver"] = asyncio.create_task(
            receive(post.offer, output=tmp_path / "out", yes=True, on_event=stop, network=HERE)
        )
        await asyncio.wait(tasks.values())
        other = tasks["receiver" if who == "sender" else "sender"].exception()
        assert tasks[who].cancelled()
        assert isinstance(other, errors.ConnectionLost)
        assert other.message == "the other side stopped the transfer"
        assert other.is_theirs
        assert other.resumable

    run(broken_off())
    assert leftovers(tmp_path / "out")
    sent, received = run(transferred(tmp_path / "file", tmp_path / "out", yes=True))
    assert isinstance(sent, events.Done)
    assert isinstance(received, events.Done)
    assert sent.bytes_resumed == received.bytes_resumed > 0
    assert sent.bytes_done + sent.bytes_resumed == 48 * MIB
    assert copied(tmp_path / "file", tmp_path / "out")


def test_a_time_limit_around_it(tree: Path, tmp_path: Path) -> None:
    limit = asyncio.Timeout(None)

    async def accept(_: Offered) -> bool:
        limit.reschedule(asyncio.get_running_loop().time())
        await asyncio.Event().wait()
        return True

    async def limited(taking: Awaitable[events.Done]) -> events.Done:
        async with limit:
            return await taking

    async def story() -> None:
        post = Post()
        sent, received = await both(
            send(tree, on_code=post.leave, network=HERE),
            limited(receive(post.offer, output=tmp_path / "out", accept=accept, network=HERE)),
        )
        assert isinstance(received, TimeoutError)
        assert isinstance(sent, errors.ConnectionLost)
        assert sent.is_theirs

    run(story())


# What makes no sense


@pytest.mark.parametrize(
    ("story", "message"),
    [
        (lambda: send(network=HERE), "no path to send"),
        (lambda: send(0, 1, network=HERE), "only one descriptor"),
        (lambda: send("x", text="y"), "a text goes alone"),
        (lambda: send(text=""), "the text is empty"),
        (lambda: send("x", name="y", network=HERE), "--name is for standard input"),
        (lambda: send("x", compress="zip"), "compress='zip' is no choice"),  # type: ignore[arg-type]
        (lambda: send("x", wait=0), "more than 0"),
        (lambda: send("x", wait=31 * 86400), "up to 30 days"),
        (lambda: send("x", network=Network(turn=["turn:a"])), "a user name and a password, or a secret"),
        (lambda: send("x", network=Network(relay="only")), "relay='only' needs a TURN server"),
        (lambda: receive(yes=True, network=Network(share_relay=True)), "share_relay needs a TURN server"),
        (lambda: receive("x", yes=True, network=Network(share_relay=True, relay="never")), "exclude each other"),
        (lambda: receive("x"), "nothing decides"),
        (lambda: receive("x", yes=True, existing="ask"), "existing='ask' is no choice"),  # type: ignore[arg-type]
        (lambda: receive("x", output=1, checksum=True), "checksum compares files"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(story: Callable[[], Coroutine[Any, Any, Any]], message: str) -> None:
    with pytest.raises(errors.UsageError, match=message) as caught:
        run(story())
    assert caught.value.hint


def test_what_is_missing_is_a_local_error(tmp_path: Path) -> None:
    for story in (send(tmp_path / "missing"), send(1023), receive("x", output=1023)):
        with pytest.raises(errors.LocalFileError):
            run(story)


def test_the_package_exports_what_the_page_says() -> None:
    assert set(p2pcopy.__all__) == {"Network", "Offered", "__version__", "receive", "send"}
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        p2pcopy.nonsense  # noqa: B018


GUEST = """
import asyncio, logging, signal, sys
from p2pcopy import Network, receive, send
from p2pcopy.files import memory

def state():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    loggers = [logging.getLogger(name) for name in ("", "asyncio", "aiortc", "aioice")]
    return handlers, [(each.level, each.propagate, list(each.handlers)) for each in loggers]

def not_allowed():
    raise AssertionError("mallopt")

memory.keep_freed = not_allowed
during = []

async def main():
    during.append(state())
    code = asyncio.get_running_loop().create_future()
    here = Network(stun=())
    await asyncio.gather(
        send("tree", on_code=lambda ours: code.set_result(ours.code), network=here),
        receive(lambda: code, output="out", yes=True, on_event=lambda _: during.append(state()), network=here),
    )

asyncio.run(main())
assert len(during) > 1 and all(each == during[0] for each in during)
assert not {"typer", "rich", "p2pcopy.app", "p2pcopy.stops", "p2pcopy.configfile"} & set(sys.modules), sys.modules
"""


def test_a_guest_changes_nothing_and_says_nothing(tree: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", GUEST],
        cwd=tmp_path,
        env={**os.environ, "P2PCOPY_TURN": "turn:nowhere.invalid", "P2PCOPY_CONFIG": str(tmp_path / "missing")},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert copied(tree, tmp_path / "out")


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux is there /proc")
def test_nothing_is_left_open_however_it_ends(tree: Path, tmp_path: Path) -> None:
    def left() -> tuple[int, int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count(), len(asyncio.all_tasks())

    async def cancelled() -> None:
        taking = asyncio.create_task(receive(output=tmp_path / "out", yes=True, network=HERE))
        await asyncio.sleep(0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking

    async def story() -> None:
        await transferred(tree, tmp_path / "first")  # what is loaded and opened once
        before = left()
        await transferred(tree, tmp_path / "out")
        await transferred(tree, tmp_path / "out", accept=never)
        await transferred(tree, tmp_path / "out", accept=fails_later)
        await cancelled()
        async with asyncio.timeout(10):
            while left() > before:  # threads that end by themselves
                await asyncio.sleep(0.01)

    run(story())


def test_ctrl_c_is_the_programs(tree: Path) -> None:
    async def story() -> None:
        out = asyncio.Event()
        loop = asyncio.get_running_loop()
        sending = asyncio.create_task(send(tree, on_code=lambda _: out.set(), network=HERE))
        await out.wait()
        loop.call_soon(os.kill, os.getpid(), signal.SIGINT)
        await sending

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(story())
