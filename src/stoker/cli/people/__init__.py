"""`stoker`: the command for people. A file for each group of commands, loaded when it is needed."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run `stoker`; what needs no library is answered before one is loaded."""
    if sys.argv[1:] == ["--version"]:
        from stoker import __version__  # noqa: PLC0415 - nothing else is needed here

        sys.stdout.write(f"stoker {__version__}\n")
        return
    # A reader that has seen enough ends us, as it ends a command written in C.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    from stoker.cli.people.group import run  # noqa: PLC0415 - click costs 30 ms

    sys.exit(run(sys.argv[1:]))
