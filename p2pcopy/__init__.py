"""p2pcopy: files from one machine straight to another, over a WebRTC data channel, without a server in between.

A program calls send() and receive() (docs/api.md); what they tell is in p2pcopy.events, what they raise in p2pcopy.errors.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from p2pcopy.api import Network, Offered, receive, send

__version__ = "0.1.0"
__all__ = ["Network", "Offered", "__version__", "receive", "send"]


def __getattr__(name: str) -> Any:
    """What a program uses, imported when it is asked for: the command line starts without it (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("p2pcopy.api"), name)
