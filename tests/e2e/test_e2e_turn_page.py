"""docs/turn.md holds: its turnserver.conf serves two hosts that cannot meet otherwise, and lets nobody into private networks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hosts import hosts_in, succeeded
from lab import Coturn, Lab, Nat
from trees import copied, make

pytestmark = [pytest.mark.lab, pytest.mark.coturn]

PAGE = (Path(__file__).parents[2] / "docs" / "turn.md").read_text(encoding="utf-8")
(CONF,) = re.findall(r"```\n(listening-port=.*?)```", PAGE, re.DOTALL)
(SECRET,) = re.findall(r"^static-auth-secret=(.*)$", CONF, re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "url"), [(Nat.SYMMETRIC, "turn_url"), (Nat.UDP_BLOCKED, "turns_url")], ids=["udp", "tls"]
)
def test_the_configuration_of_the_page(tmp_path: Path, kind: Nat, url: str) -> None:
    make(tmp_path / "file", b"content")
    server = Coturn(Lab.SERVER, lab=(lab := Lab.between(Nat.SYMMETRIC, kind)), secret=SECRET, conf=CONF)
    with hosts_in(lab, tmp_path, server) as hosts:
        diagnosis = hosts.run("b", "doctor", "--json", turn=getattr(server, url)).ended()
        sender = hosts.send("file", "--json", turn=getattr(server, url))
        for ended in succeeded(sender, hosts.receive(sender.code(), "--json")):
            assert ended.told("done")["path"]["kind"] == "relayed"
        log = server.log
    assert diagnosis.exit_code == 0, diagnosis.out
    assert copied(tmp_path / "file", tmp_path / "out")
    assert re.search(r"A peer IP 10\.\d+\.\d+\.\d+ denied", log)
    assert "Bad configuration" not in log
