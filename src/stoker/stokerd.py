"""stokerd: the one file that knows every room. Slurm's language meets the worker here."""

from __future__ import annotations

import sys

from stoker.commands.submission import read_draft
from stoker.commands.table import SERVED
from stoker.worker.main import main as run


def main() -> int:
    """Run the daemon until it is told to stop."""
    return run(sys.argv[1:], commands=SERVED, read_draft=read_draft)


if __name__ == "__main__":
    sys.exit(main())
