"""The two stories for programs: send() and receive(), with hooks where a person would be asked (docs/api.md).

Nothing is written to standard output or standard error, no signal is handled, and neither the environment nor the config file is
read. A hook that raises ends the transfer; send() and receive() then raise what it raised.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO, FileIO
from typing import Final, Literal, TypeVar

from p2pcopy import events, stories
from p2pcopy.config import (
    DEFAULT_STALL_LIMIT_S,
    DEFAULT_STUN,
    DEFAULT_WAIT_S,
    Compress,
    Existing,
    Family,
    IceServer,
    NetSettings,
    ReceiveSettings,
    Relay,
    SendSettings,
    Talk,
    VerifyResume,
)
from p2pcopy.errors import Declined, LocalFileError, UsageError
from p2pcopy.hooks import Answers, CodeFrom, Compare, Hooks, OnCode, OnEvent
from p2pcopy.net.probe import probe_libraries
from p2pcopy.signaling.code import Starter
from p2pcopy.signaling.exchange import threaded
from p2pcopy.transfer.receive_session import Consent, Listing

logging.getLogger("p2pcopy").addHandler(logging.NullHandler())  # as libraries do: the program decides what is shown
_MAX_S: Final = 30 * 86400.0
_Choice = TypeVar("_Choice", Existing, Compress, VerifyResume, Relay)

Policy = Literal["refuse", "skip", "rename", "replace", "resume"]


@dataclass(frozen=True)
class Network:
    """Which servers and addresses may be used: the options of the command line, by their names. Reusable.

    stun, turn: URLs as in RFC 7064 and RFC 7065; interface: names, none means all; stall_limit: seconds. Servers of turn share
    turn_user and turn_password, or turn_secret.
    """

    stun: Sequence[str] = DEFAULT_STUN
    turn: Sequence[str] = ()
    turn_user: str = ""
    turn_password: str = field(default="", repr=False)
    turn_secret: str = field(default="", repr=False)
    turn_insecure: bool = False
    relay: Literal["auto", "only", "never"] = "auto"
    share_relay: bool | None = None
    interface: Sequence[str] = ()
    ipv4: bool = False
    ipv6: bool = False
    fast_path: bool = True
    stall_limit: float = DEFAULT_STALL_LIMIT_S


@dataclass(frozen=True)
class Offered(events.Manifest):
    """What the sender offers. all_entries: each call gives every entry from the first on; entries are the first ones only.

    They are read from a temporary file on the way (very many: better in a thread), until the decision is made.
    """

    all_entries: Listing = field(repr=False, compare=False)


Accept = Callable[[Offered], Awaitable[bool | Policy]]


async def send(
    *paths: str | os.PathLike[str] | int,
    to: CodeFrom | None = None,
    answer: Answers | None = None,
    on_code: OnCode | None = None,
    on_event: OnEvent | None = None,
    confirm: Compare | None = None,
    wait: float = DEFAULT_WAIT_S,
    two_way: bool = False,
    text: str | None = None,
    name: str | None = None,
    exclude: Sequence[str] = (),
    follow_symlinks: bool = False,
    compress: Literal["auto", "never", "always"] = "auto",
    verify_resume: Literal["sample", "all"] = "sample",
    network: Network | None = None,
) -> events.Done:
    """Send files and directories, and return when both sides agree on what has arrived.

    paths: at most one of them an int: a descriptor that is read to its end, as a file called name. text: instead of paths. to: the
    code of a receiver that started; None: on_code gets a code, for the receiver. on_code: may be a coroutine function. answer:
    brings answer codes (called again after each, until the connection is there or None or the same code comes). on_event: gets
    every event, in the event loop. confirm: gets the verification number and says whether the other side's is the same. wait:
    seconds.
    Raises P2PCopyError, and what hooks raise. Cancelled, it tells the other side; what has arrived there stays.
    """
    hooks = Hooks(on_code, on_event, answer, confirm)
    stream = _stream(paths, text, name)
    settings = SendSettings(
        net=_net(network or Network(), wait, two_way=two_way, confirm=confirm is not None, offering=to is None),
        talk=Talk(),
        paths=tuple("-" if isinstance(path, int) else _path(path) for path in (paths if text is None else (-1,))),
        text=text,
        name=name,
        excludes=_all(exclude),
        follow_symlinks=follow_symlinks,
        compress=_choice(Compress, "compress", compress),
        verify_resume=_choice(VerifyResume, "verify_resume", verify_resume),
    )
    stage = hooks.stage(Starter.SENDER, to, settings.net)
    with hooks.raising():
        await threaded(probe_libraries)
        return (await stories.send(settings, stage, stream)).done


async def receive(
    code: CodeFrom | None = None,
    *,
    output: str | os.PathLike[str] | int | None = None,
    accept: Accept | None = None,
    yes: bool = False,
    existing: Policy = "refuse",
    checksum: bool = False,
    max_size: int | None = None,
    answer: Answers | None = None,
    on_code: OnCode | None = None,
    on_event: OnEvent | None = None,
    confirm: Compare | None = None,
    wait: float = DEFAULT_WAIT_S,
    two_way: bool = False,
    network: Network | None = None,
) -> events.Done:
    """Receive what a sender offers, and return when both sides agree on what has arrived.

    code: of a sender that started; None: on_code gets a code, for the sender. output: a directory, or a descriptor that a single
    file is written to; None: the current directory, but a text goes to on_event only. accept: decides on what is offered: True,
    False, or another policy for names that are taken; else yes takes everything. existing: what happens to names that are taken.
    max_size: bytes. The other options are those of send().
    Raises P2PCopyError, and what hooks raise. Cancelled, it tells the other side; what has arrived stays, and the next run with
    the same output goes on with it.
    """
    to_descriptor = isinstance(output, int)
    if accept is None and not (yes or to_descriptor):
        raise UsageError("nothing decides whether what is offered is taken", "Give accept a function, or yes=True.")
    if checksum and to_descriptor:
        raise UsageError("checksum compares files, and a descriptor has none that could be there already", "Drop it.")
    policy = _choice(Existing, "existing", existing)
    hooks = Hooks(on_code, on_event, answer, confirm)
    settings = ReceiveSettings(
        net=_net(network or Network(), wait, two_way=two_way, confirm=confirm is not None, offering=code is None),
        talk=Talk(),
        output="-" if isinstance(output, int) else _path("." if output is None else output),
        checksum=checksum,
        keep_text=output is not None or on_event is None,
    )
    stage = hooks.stage(Starter.RECEIVER, code, settings.net)
    consent = Consent(given=accept is None, existing=policy, max_bytes=max_size)

    async def ask(manifest: events.Manifest, entries: Listing) -> Existing:
        if accept is None:
            return policy
        decision = await hooks.ask(accept, Offered(**vars(manifest), all_entries=entries))
        if decision is False:
            raise Declined("the offer was not accepted")
        return policy if decision is True else _choice(Existing, "existing", decision)

    with hooks.raising():
        await threaded(probe_libraries)
        descriptor = _open(output) if isinstance(output, int) else -1
        return (await stories.receive(settings, stage, consent, ask, stdout=descriptor)).done


def _path(path: str | os.PathLike[str]) -> str:
    """Here "-" is a file like any other."""
    text = os.fspath(path)
    return os.path.join(".", text) if text == "-" else text


def _stream(
    paths: Sequence[str | os.PathLike[str] | int], text: str | None, name: str | None
) -> FileIO | BytesIO | None:
    """What is no file: a descriptor or a text; None where there is neither."""
    descriptors = [path for path in paths if isinstance(path, int)]
    if text is not None:
        if paths or name is not None:
            raise UsageError("a text goes alone, without paths and name", "Drop one of them.")
        if not text:
            raise UsageError("the text is empty", "Send another one.")
        return BytesIO(text.encode("utf-8", "surrogateescape"))
    if len(descriptors) > 1:
        raise UsageError("only one descriptor can be sent at once", "Send the others on their own.")
    return FileIO(_open(descriptors[0]), closefd=False) if descriptors else None


def _open(descriptor: int) -> int:
    """Raises LocalFileError when it is closed."""
    try:
        os.fstat(descriptor)
    except OSError as error:
        raise LocalFileError(
            f"the descriptor {descriptor} cannot be used: {error.strerror}", "Keep it open until the transfer ends."
        ) from error
    return descriptor


def _all(given: Sequence[str]) -> tuple[str, ...]:
    """A single string is one of them."""
    return (given,) if isinstance(given, str) else tuple(given)


def _choice(kind: type[_Choice], option: str, given: str) -> _Choice:
    if given in tuple(kind) and given != Existing.ASK:
        return kind(given)
    choices = ", ".join(each for each in kind if each != Existing.ASK)
    raise UsageError(f"{option}={given!r} is no choice", f"Choose {choices}.")


def _net(network: Network, wait: float, *, two_way: bool, confirm: bool, offering: bool) -> NetSettings:
    """Raises UsageError for what contradicts itself or is missing. offering: no code can bring this side a TURN server."""
    has_password = bool(network.turn_user and network.turn_password)
    if network.turn and not (network.turn_secret or has_password):
        raise UsageError(
            "a TURN server needs a user name and a password, or a secret",
            "Give turn_user and turn_password, or turn_secret.",
        )
    if offering and not network.turn and (network.relay == "only" or network.share_relay):
        option = "relay='only'" if network.relay == "only" else "share_relay"
        raise UsageError(f"{option} needs a TURN server", "Name one in turn.")
    if network.share_relay and network.relay == "never":
        raise UsageError("share_relay and relay='never' exclude each other", "Drop one of them.")
    if not (0 < wait <= _MAX_S and 0 < network.stall_limit <= _MAX_S):
        raise UsageError(
            "wait and stall_limit are seconds, more than 0 and up to 30 days", "Leave them out for the defaults."
        )
    family = Family.ANY if network.ipv4 == network.ipv6 else Family.IPV4 if network.ipv4 else Family.IPV6
    credential = (network.turn_user, network.turn_password, network.turn_secret)
    return NetSettings(
        stun=tuple(IceServer(url) for url in _all(network.stun)),
        turn=tuple(IceServer(url, *credential) for url in _all(network.turn)),
        relay=_choice(Relay, "relay", network.relay),
        wait_s=wait,
        stall_limit_s=network.stall_limit,
        interfaces=_all(network.interface),
        family=family,
        turn_insecure=network.turn_insecure,
        share_relay=network.share_relay,
        two_way=two_way,
        confirm=confirm,
        fast_path=network.fast_path,
    )
