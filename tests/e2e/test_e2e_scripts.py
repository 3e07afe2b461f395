"""docs/scripts.md: every example is run by bash as it stands there, with commands that stand in for other machines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from trees import MIB, copied, facts, leftovers, make, noise

PAGE = (Path(__file__).parents[2] / "docs" / "scripts.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HOSTS = ("alpha", "beta", "gamma", "web-0")
# Hosts are directories. A file "limit" there keeps the files of the next command below so many KiB, as a full disk would.
SSH = """#!/bin/bash
host=$1; shift
cd "$HOSTS/$host" || exit 255
if [ -e limit ]; then ulimit -f "$(cat limit)"; rm limit; fi
bash -c "$*"
"""
KUBECTL = """#!/bin/bash
[[ $1 == exec && $2 == -i && $4 == -- ]] || exit 64
cd "$HOSTS/$3" && shift 4 && exec "$@"
"""
P2PCOPY = f"""#!{sys.executable}
from p2pcopy.cli import main
main()
"""
NO_SLEEP = "#!/bin/sh\n"


@dataclass(frozen=True)
class Place:
    """A home directory with photos and a report, and hosts beside it."""

    root: Path
    environment: dict[str, str]

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def hosts(self) -> Path:
        return self.root / "hosts"

    def run(self, script: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        """As cron does it: no terminal, standard input empty, in a session of its own."""
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
            start_new_session=True,
            close_fds=False,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home, hosts, commands = tmp_path / "home", tmp_path / "hosts", tmp_path / "commands"
    for name in HOSTS:
        (hosts / name).mkdir(parents=True)
    make(home / "photos" / "beach.jpg", noise(MIB))
    make(home / "photos" / "old" / "hut.jpg", noise(MIB, seed=2))
    make(home / "report.pdf", b"report")
    make(hosts / "alpha" / "report.pdf", b"report of alpha")
    with tarfile.open(hosts / "alpha" / "old.tar", "w") as archive:
        archive.add(hosts / "alpha" / "report.pdf", "report.pdf")
    make(hosts / "web-0" / "log" / "access.log", b"GET /\n")
    scripts = {"ssh": SSH, "kubectl": KUBECTL, "p2pcopy": P2PCOPY, "sleep": NO_SLEEP}
    for name, text in scripts.items():
        make(commands / name, text.encode(), mode=0o755)
    config = tmp_path / "config.toml"
    config.write_text("stun = []\n")
    environment = {
        **os.environ,
        "HOME": str(home),
        "HOSTS": str(hosts),
        "PATH": f"{commands}:{os.environ['PATH']}",
        "P2PCOPY_CONFIG": str(config),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    return Place(tmp_path, environment)


def example(text: str) -> str:
    """The one that has this in it."""
    (found,) = [block for block in BLOCKS if text in block]
    return found


def arrived(*directories: str) -> Callable[[Place], None]:
    """The photos and nothing else, in each of these directories below the one that has the home and the hosts."""

    def check(place: Place) -> None:
        assert all(copied(place.home / "photos", place.root / directory) for directory in directories)

    return check


def all_of_it(place: Place) -> None:
    inbox = place.hosts / "alpha" / "inbox"
    assert (inbox / "report.pdf").read_bytes() == b"report"
    (inbox / "report.pdf").unlink()
    assert copied(place.home / "photos", inbox)


def fetched(place: Place) -> None:
    assert (place.home / "inbox" / "report.pdf").read_bytes() == b"report of alpha"


def logs(place: Place) -> None:
    assert (place.home / "logs" / "log" / "access.log").read_bytes() == b"GET /\n"


def packed(place: Place) -> None:
    with tarfile.open(place.hosts / "alpha" / "inbox" / "photos.tar") as archive:
        assert {"photos/beach.jpg", "photos/old/hut.jpg"} < set(archive.getnames())


def unpacked(place: Place) -> None:
    assert (place.home / "report.pdf").read_bytes() == b"report of alpha"


RUNS: dict[str, tuple[str, Callable[[Place], None]]] = {
    "ssh": ("send photos --via 'ssh alpha", arrived("hosts/alpha/inbox")),
    "from ssh": ("receive --output inbox --yes --via 'ssh", fetched),
    "function": ("copy_to()", all_of_it),
    "kubectl": ("kubectl exec", logs),
    "parallel": ("parallel -q", arrived("hosts/alpha/inbox", "hosts/beta/inbox", "hosts/gamma/inbox")),
    "xargs": ("xargs -P", arrived("hosts/alpha/inbox", "hosts/beta/inbox", "hosts/gamma/inbox")),
    "standard input": ("tar c photos", packed),
    "standard output": ("tar x", unpacked),
    "mkfifo": ("mkfifo", arrived("home/copy")),
    "coproc": ("coproc", arrived("home/copy")),
    "files": ("@shared/offer", arrived("home/copy")),
}
CRON = "crontab"


def test_every_example_is_run() -> None:
    assert sorted(BLOCKS) == sorted(example(text) for text in (*(text for text, _ in RUNS.values()), CRON))


@pytest.mark.parametrize("name", RUNS)
def test_the_example_does_what_it_says(place: Place, name: str) -> None:
    text, check = RUNS[name]
    if name == "parallel" and shutil.which("parallel") is None:
        if os.environ.get("CI"):
            pytest.fail("parallel has to be here")
        pytest.skip("GNU parallel is not installed")
    if name == "files":
        (place.home / "shared").mkdir()
    ended = place.run(f"set -euo pipefail\n{example(text)}")
    assert ended.returncode == 0, ended.stderr
    check(place)
    assert "?" not in ended.stderr, "a question"
    if "--quiet" in example(text):
        assert (ended.stdout, ended.stderr) == ("", "")


def test_a_backup_says_nothing_while_all_is_well_and_goes_on_where_the_last_attempt_ended(place: Place) -> None:
    make(place.home / "photos" / "panorama.jpg", noise(6 * MIB, seed=3))
    backup, alpha = example(CRON), place.hosts / "alpha"
    (alpha / "limit").write_text("3000")
    first = place.run(backup)
    assert first.returncode == 0, first.stderr
    assert "backup, attempt 1: exit code 3\n" in first.stderr
    assert "attempt 2" not in first.stderr
    assert first.stdout == ""
    there = alpha / "backup" / "photos" / "beach.jpg"
    before = there.stat()
    make(place.home / "report.pdf", b"another report", mtime_s=1_700_000_000)
    second = place.run(backup)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert (alpha / "backup" / "report.pdf").read_bytes() == b"another report"
    assert there.stat() == before
    photos = facts(place.home / "photos", directory_times=False)
    assert facts(alpha / "backup" / "photos", directory_times=False) == photos
    assert not leftovers(alpha / "backup")


def test_a_backup_that_cannot_work_ends_at_once_with_the_reason(place: Place) -> None:
    shutil.rmtree(place.hosts / "alpha")
    ended = place.run(example(CRON))
    assert ended.returncode == 4
    assert "--via" in ended.stderr
    assert "attempt" not in ended.stderr


# Nobody is there


@pytest.fixture(params=["closed", "/dev/null", "an open pipe"])
def stdin(request: pytest.FixtureRequest) -> Iterator[str]:
    """The redirection of standard input to something that no person types into."""
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    yield {"closed": "<&-", "/dev/null": "< /dev/null", "an open pipe": f"<&{reading}"}[request.param]
    os.close(reading)
    os.close(writing)


def test_nothing_is_asked_without_a_terminal(place: Place, stdin: str) -> None:
    ended = place.run(
        f"""
        both() {{
            rm -f code
            p2pcopy send photos --quiet --answer-to @code {stdin} &
            until [ -e code ]; do kill -0 $! || exit; command -p sleep 0.05; done
            p2pcopy receive @code --quiet "$@" {stdin} > answer
            received=$?
            wait $!
            echo "$? $received"
        }}
        both --output new
        both --output new --yes
        """
    )
    assert ended.stdout.split("\n") == ["7 7", "0 0", ""], ended.stderr
    assert not re.search(r"\[[yY]/[nN]|\? \[", ended.stderr), "a question"
    assert "Add --yes to accept" in ended.stderr
    assert copied(place.home / "photos", place.home / "new")


def test_what_needs_a_person_says_so_at_once(place: Place, stdin: str) -> None:
    ended = place.run(f"p2pcopy send photos --quiet --confirm {stdin}")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "--confirm needs somebody" in ended.stderr
