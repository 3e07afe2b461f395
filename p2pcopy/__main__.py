"""`python -m p2pcopy`."""

from p2pcopy.cli import main

if __name__ == "__main__":
    main()
