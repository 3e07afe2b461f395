"""p2pcopy: files from one machine straight to another, over a WebRTC data channel, without a server in between."""

__version__ = "0.1.0"
