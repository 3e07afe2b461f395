"""`python -m p2pcopy`, and the program itself: Ctrl-C ends it quietly also while it is still being read from the disk."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """See cli.main()."""
    try:
        from p2pcopy import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
