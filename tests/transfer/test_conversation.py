"""What both roles have in common: hello, order, keep-alive, abort and end. And the tables against the page."""

from __future__ import annotations

import pytest

from p2pcopy import errors
from p2pcopy.config import TransferLimits
from p2pcopy.errors import ConnectionLost, ExitCode, P2PCopyError, PeerVersionError, ProtocolError
from p2pcopy.transfer import wire
from p2pcopy.transfer.conversation import Clock, Ended, SendControl, State, error_from_abort
from p2pcopy.transfer.receiver import Receiver
from p2pcopy.transfer.sender import Sender
from p2pcopy.transfer.wire import Role

LIMITS = TransferLimits()
Machine = Sender | Receiver


def machine(role: Role) -> Machine:
    return Sender(LIMITS, "ours", 0.0) if role is Role.SENDER else Receiver(LIMITS, "ours", 0.0)


def hello(role: Role, version: int = 1) -> bytes:
    return wire.encode(wire.Hello(version, role, "theirs", 4096, wire.LEAST_CREDIT, ["zstd"]))


def greeted(role: Role) -> Machine:
    other = Role.RECEIVER if role is Role.SENDER else Role.SENDER
    ours = machine(role)
    ours.control_received(hello(other), 0.0)
    ours.actions()
    return ours


def said(ours: Machine) -> list[wire.Control]:
    """What it sends now."""
    return [
        wire.decode(action.message, limit=LIMITS.max_control_message)
        for action in ours.actions()
        if isinstance(action, SendControl)
    ]


def ending(ours: Machine) -> P2PCopyError:
    """How it ended, after an abort to the peer."""
    *_, abort, ended = ours.actions()
    assert isinstance(abort, SendControl)
    assert isinstance(ended, Ended)
    decoded = wire.decode(abort.message, limit=LIMITS.max_control_message)
    assert isinstance(decoded, wire.Abort)
    assert (decoded.error, decoded.message) == (ended.error.name, ended.error.message)
    return ended.error


both_roles = pytest.mark.parametrize("role", Role)


@both_roles
def test_hello_is_the_first_message(role: Role) -> None:
    (first,) = said(machine(role))
    assert isinstance(first, wire.Hello)
    assert first.role is role
    assert first.credit == (LIMITS.max_window if role is Role.RECEIVER else 0)


@both_roles
def test_the_peer_is_known_after_its_hello(role: Role) -> None:
    ours = greeted(role)
    assert ours.state is State.OPEN
    assert ours.peer_software == "theirs"
    assert ours.peer_features == {"zstd"}


@both_roles
def test_two_of_the_same_role_part(role: Role) -> None:
    ours = machine(role)
    ours.control_received(hello(role), 0.0)
    assert "both sides" in ending(ours).message


@both_roles
def test_another_version_is_named(role: Role) -> None:
    ours = machine(role)
    ours.control_received(hello(role, version=2), 0.0)
    assert isinstance(ending(ours), PeerVersionError)


@both_roles
@pytest.mark.parametrize("message", [wire.Ping(1), wire.Bye(), wire.Pong(1)])
def test_nothing_comes_before_hello(role: Role, message: wire.Control) -> None:
    ours = machine(role)
    ours.control_received(wire.encode(message), 0.0)
    assert isinstance(ending(ours), ProtocolError)


@both_roles
def test_hello_comes_once(role: Role) -> None:
    ours = greeted(role)
    other = Role.RECEIVER if role is Role.SENDER else Role.SENDER
    ours.control_received(hello(other), 0.0)
    assert "'hello' out of turn" in ending(ours).message


@both_roles
def test_nothing_happens_after_the_end(role: Role) -> None:
    ours = greeted(role)
    ours.control_received(b"nonsense", 0.0)
    ending(ours)
    ours.control_received(wire.encode(wire.Ping(1)), 1.0)
    ours.data_received(b"data", 1.0)
    ours.tick(1000.0)
    ours.fail(ConnectionLost("late"))
    assert ours.actions() == []
    assert ours.state is State.OVER


@both_roles
def test_pings_are_answered_but_not_a_flood_of_them(role: Role) -> None:
    ours = greeted(role)
    for number in range(1, 1000):
        ours.control_received(wire.encode(wire.Ping(number)), 1.0)
    ours.control_received(wire.encode(wire.Ping(1000)), 1.2)
    assert said(ours) == [wire.Pong(1), wire.Pong(1000)]


@both_roles
def test_a_late_pong_is_no_harm(role: Role) -> None:
    ours = greeted(role)
    ours.tick(2.9)
    assert said(ours) == []
    ours.tick(3.0)
    assert said(ours) == [wire.Ping(1)]
    for second in range(6, 100, 3):
        ours.tick(float(second))
        ours.control_received(wire.encode(wire.Pong(1)), float(second))
    assert ours.state is State.OPEN


@both_roles
@pytest.mark.parametrize("number", [0, 1, 2**50])
def test_a_pong_to_no_ping_is_an_error(role: Role, number: int) -> None:
    ours = greeted(role)
    ours.control_received(wire.encode(wire.Pong(number)), 1.0)
    assert isinstance(ending(ours), ProtocolError)


@both_roles
def test_a_silent_peer_is_lost(role: Role) -> None:
    ours = greeted(role)
    for second in range(1, int(LIMITS.silence_s) + 1):
        ours.tick(float(second))
    assert ours.state is State.OPEN
    ours.tick(LIMITS.silence_s + 0.1)
    assert isinstance(ending(ours), ConnectionLost)


@both_roles
def test_after_a_sleep_the_peer_gets_time_to_be_heard(role: Role) -> None:
    ours = greeted(role)
    ours.tick(1000.0)
    assert ours.state is State.OPEN
    for second in range(1001, 1001 + int(LIMITS.silence_s)):
        ours.tick(float(second))
    assert isinstance(ending(ours), ConnectionLost)


def test_the_clock_of_a_conversation_stands_still_during_a_stall() -> None:
    clock = Clock(100.0)
    assert clock.time(101.0, stalled=False) == 101.0
    assert clock.time(161.0, stalled=True) == 101.0
    assert clock.time(161.1, stalled=False) == pytest.approx(101.1)
    times = [clock.time(200.0 + step / 10, stalled=step % 7 < 3) for step in range(100)]
    assert times == sorted(times), "it never goes back"


@both_roles
@pytest.mark.parametrize("begun", [True, False])
def test_no_limit_passes_during_a_stall(role: Role, begun: bool) -> None:
    ours, clock = greeted(role) if begun else machine(role), Clock(0.0)
    for tenth in range(1, 6000):
        ours.tick(clock.time(tenth / 10, stalled=tenth > 50))
    assert ours.state is (State.OPEN if begun else State.HELLO)
    assert [type(message) for message in said(ours)] == ([wire.Ping] if begun else [wire.Hello]), "nor does it talk"
    for tenth in range(6000, 6200):
        ours.tick(clock.time(tenth / 10, stalled=False))
    assert isinstance(ending(ours), ConnectionLost)


@both_roles
def test_a_peer_that_never_says_hello_is_lost(role: Role) -> None:
    ours = machine(role)
    ours.tick(LIMITS.hello_s)
    assert ours.state is State.HELLO
    ours.tick(LIMITS.hello_s + 0.1)
    assert "says nothing" in ending(ours).message


@both_roles
def test_an_error_of_this_side_is_told(role: Role) -> None:
    ours = greeted(role)
    ours.fail(errors.Interrupted("stopped by \udce9 user" + "!" * 1000))
    *_, abort, ended = ours.actions()
    assert isinstance(abort, SendControl)
    decoded = wire.decode(abort.message, limit=LIMITS.max_control_message)
    assert isinstance(decoded, wire.Abort)
    assert decoded.message.startswith("stopped by ? user!")
    assert isinstance(ended, Ended)


ABORTS = {
    "declined": ExitCode.DECLINED,
    "local": ExitCode.LOCAL,
    "integrity": ExitCode.INTEGRITY,
    "interrupted": ExitCode.LOST,
    "terminated": ExitCode.LOST,
    "lost": ExitCode.LOST,
    "internal": ExitCode.INTERNAL,
    "peer-version": ExitCode.PEER,
    "protocol": ExitCode.PEER,
    "bad-name": ExitCode.PEER,
    "name-taken": ExitCode.PEER,
    "something new": ExitCode.PEER,
}


@both_roles
@pytest.mark.parametrize(("name", "code"), ABORTS.items())
def test_an_abort_ends_with_the_exit_code_of_its_cause(role: Role, name: str, code: ExitCode) -> None:
    for ours in (machine(role), greeted(role)):
        ours.actions()
        ours.control_received(wire.encode(wire.Abort(name, "why")), 1.0)
        (ended,) = ours.actions()
        assert isinstance(ended, Ended)
        assert ended.error.exit_code is code
        assert ended.error.message.startswith("the other side")
        assert ended.error.is_theirs
        assert not ConnectionLost("of our own").is_theirs
        assert ours.state is State.OVER


@pytest.mark.parametrize("name", ["declined", "local", "integrity", "lost", "internal", "peer-version", "protocol"])
def test_both_sides_end_with_the_same_code(name: str) -> None:
    ours = error_from_abort(wire.Abort(name, "why"))
    theirs = next(error for error in vars(errors).values() if getattr(error, "name", None) == name)
    assert ours.exit_code == theirs.exit_code


@both_roles
def test_every_message_of_the_table_has_a_handler(role: Role) -> None:
    ours = machine(role)
    assert {message for _, message in ours.table} == set(ours._handlers)
    assert all(state is not State.OVER for state, _ in ours.table)
