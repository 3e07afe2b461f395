"""Examples for help and man pages. Each is a line for a shell, after what it does."""

from __future__ import annotations

from typing import Final, NamedTuple


class Example(NamedTuple):
    what: str
    line: str


# By the name of the command; "" for p2pcopy itself.
EXAMPLES: Final = {
    "": (
        Example("Send files and directories, and receive them on the other machine:", "p2pcopy send photos/ notes.txt"),
        Example("", "p2pcopy receive CODE"),
    ),
    "send": (
        Example("Send files and directories:", "p2pcopy send photos/ notes.txt"),
        Example(
            "Send to somebody who runs p2pcopy receive and has given you the code:", "p2pcopy send --to CODE film.mkv"
        ),
        Example("Send what another program writes:", "tar c photos | p2pcopy send - --name photos.tar"),
        Example("Leave things out:", "p2pcopy send project/ --exclude '*.o' --exclude .git/"),
    ),
    "receive": (
        Example("Receive what somebody sends:", "p2pcopy receive CODE --output ~/incoming"),
        Example("Ask for files: show a code for the sender:", "p2pcopy receive"),
        Example("Without questions, in a script:", "p2pcopy receive CODE --output /data --yes --existing skip"),
        Example("Into another program:", "p2pcopy receive CODE --output - | tar x"),
    ),
    "parts": (
        Example("What is left in a directory?", "p2pcopy parts ~/incoming"),
        Example("Remove what nobody has gone on with for a week:", "p2pcopy parts ~/incoming --remove --older 7d"),
    ),
    "doctor": (
        Example("Look at the network:", "p2pcopy doctor"),
        Example("Try a TURN server:", "p2pcopy doctor --turn turn:turn.example.org --turn-secret-file turn-secret"),
    ),
    "code": (
        Example("Explain a code:", "p2pcopy code CODE"),
        Example("Explain the code in a picture:", "p2pcopy code code.png"),
    ),
    "config": (
        Example("Show every setting, and where its value comes from:", "p2pcopy config"),
        Example("Make a config file with every setting in comments:", "p2pcopy config --write"),
        Example("Edit it:", '"$EDITOR" "$(p2pcopy config --path)"'),
    ),
    "completion": (
        Example("In bash, now and in this shell only:", 'eval "$(p2pcopy completion bash)"'),
        Example(
            "In bash, from the next shell on:",
            "p2pcopy completion bash > ~/.local/share/bash-completion/completions/p2pcopy",
        ),
        Example("In zsh:", 'p2pcopy completion zsh > "${fpath[1]}/_p2pcopy"'),
        Example("In fish:", "p2pcopy completion fish > ~/.config/fish/completions/p2pcopy.fish"),
    ),
    "help": (Example("", "p2pcopy help send"),),
}
