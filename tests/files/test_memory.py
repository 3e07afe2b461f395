import ctypes
import platform
import subprocess
import sys

import pytest

from p2pcopy.files import memory

FAULTS = """
import resource
from p2pcopy.files import memory
{call}
for _ in range(50):
    blocks = [bytes([65]) * 1024 * 1024 for _ in range(8)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(call: str) -> int:
    """Minor page faults of a process that takes and frees 8 MiB again and again."""
    run = subprocess.run([sys.executable, "-c", FAULTS.format(call=call)], capture_output=True, check=True, timeout=60)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back so eagerly")
def test_memory_that_is_freed_is_used_again() -> None:
    assert faults("memory.keep_freed()") < faults("") // 2


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert not memory.keep_freed()


def test_a_c_library_without_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not memory.keep_freed()
