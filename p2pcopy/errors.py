"""One class per failure. Each carries what happened, what to do next, and the exit code (docs/exit-codes.md)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from p2pcopy.events import Tried

# The hint where verification numbers were compared and not confirmed.
NUMBERS_DIFFER: Final = "If they differ, somebody sits between the two sides: hand over a fresh code in another way."


class ExitCode(IntEnum):
    """What the process returns; part of the contract with scripts."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    LOCAL = 3
    CODE = 4
    CONNECT = 5
    LOST = 6
    DECLINED = 7
    INTEGRITY = 8
    PEER = 9
    INTERRUPTED = 130
    TERMINATED = 143


class P2PCopyError(Exception):
    """A failure that the user is told about in one message and one hint, never as a traceback.

    message: what happened, as a sentence without a final full stop.
    hint: what to do next, as a sentence; empty when there is nothing to say.
    is_theirs: it happened on the other side, which has told it.
    resumable: the same two commands, with fresh codes, go on where this run ended, or make sense as they are.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL
    name: ClassVar[str] = "internal"
    resumable: bool = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.is_theirs = False


class UsageError(P2PCopyError):
    """The command line or a setting makes no sense."""

    exit_code = ExitCode.USAGE
    name = "usage"


class LocalFileError(P2PCopyError):
    """A file, directory or disk of one side could not be read or written."""

    exit_code = ExitCode.LOCAL
    name = "local"
    resumable = True


class CodeError(P2PCopyError):
    """A code cannot be used. Subclasses say why."""

    exit_code = ExitCode.CODE
    name = "code"


class CodeTypo(CodeError):
    """The checksum does not match, or a character is not part of the alphabet."""

    name = "code-typo"


class CodeTruncated(CodeError):
    """The code ends too early."""

    name = "code-truncated"


class CodeVersion(CodeError):
    """The code was made by another version of the code format."""

    name = "code-version"


class CodeWrongKind(CodeError):
    """An offer where an answer is expected, a sender's code given to a sender, and the like."""

    name = "code-wrong-kind"


class CodeForeignAnswer(CodeError):
    """An answer to another offer."""

    name = "code-foreign-answer"


class CodeExpired(CodeError):
    """The code's time is over."""

    name = "code-expired"


class CodeUsed(CodeError):
    """Somebody else has connected with the code, or it was taken back."""

    name = "code-used"


class ViaFailed(P2PCopyError):
    """The command that carries the codes (--via) failed before the two sides had met."""

    exit_code = ExitCode.CODE
    name = "via"


class NoConnection(P2PCopyError):
    """The two sides did not find a path to each other in time. tried: what was tried, and what answered."""

    exit_code = ExitCode.CONNECT
    name = "no-connection"

    def __init__(self, message: str, hint: str = "", tried: Sequence[Tried] = ()) -> None:
        super().__init__(message, hint)
        self.tried = tuple(tried)


class NobodyCame(NoConnection):
    """The time for waiting is over."""


class ConnectionLost(P2PCopyError):
    """The connection ended before the transfer did."""

    exit_code = ExitCode.LOST
    name = "lost"
    resumable = True


class Declined(P2PCopyError):
    """A person or a policy said no, here or on the other side."""

    exit_code = ExitCode.DECLINED
    name = "declined"


class DryRun(Declined):
    """The receiver wanted to see the offer only."""

    def __init__(self) -> None:
        super().__init__("this was a dry run of the receiver, which takes nothing")


class IntegrityError(P2PCopyError):
    """Data arrived damaged, again and again, or the totals of both sides differ."""

    exit_code = ExitCode.INTEGRITY
    name = "integrity"


class ProtocolError(P2PCopyError):
    """The peer broke the protocol."""

    exit_code = ExitCode.PEER
    name = "protocol"


class PeerVersionError(ProtocolError):
    """The peer speaks another version of the protocol."""

    name = "peer-version"


class Interrupted(P2PCopyError):
    """Ctrl-C."""

    exit_code = ExitCode.INTERRUPTED
    name = "interrupted"
    resumable = True


class Terminated(P2PCopyError):
    """SIGTERM, or SIGHUP: the terminal was closed."""

    exit_code = ExitCode.TERMINATED
    name = "terminated"
    resumable = True


class InternalError(P2PCopyError):
    """A defect of p2pcopy, or a library that does not behave as the tested ones do."""

    @classmethod
    def from_defect(cls, error: Exception) -> InternalError:
        """For an exception that nobody expected; it stays as the cause."""
        wrapped = cls(
            f"internal error: {type(error).__name__}: {error}",
            "This is a defect of p2pcopy. Run it with --verbose for the details, and report them.",
        )
        wrapped.__cause__ = error
        return wrapped
