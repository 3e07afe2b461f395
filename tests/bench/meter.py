"""Runs a command, and tells what it used: meter.py DESCRIPTOR COMMAND...

First a line with its process id, at the end one with exit code, CPU seconds and peak memory in KiB, of it and of all
children that it waited for. A process of its own, and a small one: the peak that the system tells is at least that of
whoever started the command.
"""

import os
import sys


def main() -> None:
    report, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(report, False)
    process = os.posix_spawnp(command[0], command, os.environ)
    os.write(report, f"{process}\n".encode())
    _, status, usage = os.wait4(process, 0)
    code = os.waitstatus_to_exitcode(status)
    os.write(report, f"{code} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}\n".encode())


if __name__ == "__main__":
    main()
