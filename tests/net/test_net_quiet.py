from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import asyncio, logging, sys
from p2pcopy.net.quiet import quiet_libraries

quiet_libraries(False)
quiet_libraries(sys.argv[1] == "verbose")
logging.getLogger("aiortc.rtcdtlstransport").warning("from aiortc")
logging.getLogger("aioice.ice").warning("from aioice")
asyncio.get_event_loop_policy().new_event_loop().call_exception_handler({"message": "from asyncio"})
logging.getLogger("p2pcopy").warning("from us")
"""


def stderr_of(mode: str) -> str:
    # Warnings of the interpreter are not the subject: a loop that is never closed is one.
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, mode]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stderr


def test_nothing_of_the_libraries_reaches_the_terminal() -> None:
    assert stderr_of("quiet") == "from us\n"


def test_verbose_lets_it_through() -> None:
    shown = stderr_of("verbose")
    assert all(source in shown for source in ("from aiortc", "from aioice", "from asyncio", "from us"))
