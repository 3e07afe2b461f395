"""Commands, and processes that end with the one that started them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

STOP_S = 30.0


def shell(lines: Sequence[str]) -> None:
    """Run lines of a shell script; the first that fails ends it. Raises RuntimeError with what it says."""
    done = subprocess.run(["sh", "-e"], input="\n".join(lines), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")


def runs(process: int) -> bool:
    """Is there such a process? One that has ended counts no more, even if nobody has asked how."""
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # another user's, or no /proc here
        return True
    return state not in "ZX"


class Tied:
    """A process in the background. It is killed when the thread that started it ends, whatever ends that, SIGKILL included.

    place: the command line that runs a command somewhere else, and stays the same process (ip netns exec).
    """

    def __init__(self, command: Sequence[str], *, place: Sequence[str] = (), **how: Any) -> None:
        tie = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # setpriv comes last: a change of credentials takes the signal back.
        self._process = subprocess.Popen([*place, *tie, *command], **{**quiet, **how})

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdout(self) -> IO[bytes]:
        """Raises RuntimeError without stdout=PIPE."""
        if self._process.stdout is None:
            raise RuntimeError("the process writes nowhere")
        return self._process.stdout

    def runs(self) -> bool:
        return self._process.poll() is None

    def freeze(self) -> None:
        """SIGSTOP. Returns when all its threads have stopped."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it, and wait until it is gone."""
        self._process.kill()
        self._process.wait(STOP_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
