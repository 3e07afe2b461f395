"""Makes the seeds in corpus/ anew, from real messages: cd tests && python -m fuzz.seeds [TARGET...]. What was found stays."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

from fuzz.catalogue import Target, load, names


def file_name(data: bytes) -> str:
    """The same for the same bytes."""
    return sha256(data).hexdigest()[:16]


def write(target: Target) -> list[Path]:
    target.corpus.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in target.make_seeds():
        paths.append(target.corpus / file_name(seed))
        paths[-1].write_bytes(seed)
    return paths


if __name__ == "__main__":
    for name in sys.argv[1:] or names():
        print(f"{name}: {len(set(write(load(name))))} seeds")
