"""`python -m p2pcopy`, and the program itself: Ctrl-C ends it quietly also while it is still being read from the disk."""

import gc
import sys
from typing import Final, NoReturn

# Next to nothing here is garbage in cycles, and looking for it costs 4 % of a large transfer.
RARELY: Final = (50_000, 20, 20)


def main() -> NoReturn:
    """See cli.main()."""
    gc.set_threshold(*RARELY)
    try:
        from p2pcopy import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
