"""Released Slurm clients, unmodified, in a virtual environment of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from support.daemon import PrivateStoker, until

ENVIRONMENT = Path(
    os.environ.get("STOKER_CLIENTS", Path(__file__).parents[2] / ".venv-clients")
).absolute()
"""Where `make clients` puts them: as with most users, not where Stoker is."""

PROGRAMS = Path(__file__).parents[1] / "clients" / "programs"
"""What users would write."""


class ClientStoker(PrivateStoker):
    """A private Stoker whose user has the clients on PATH, behind Slurm's names."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.environment["PATH"] = f"{self.bin}:{ENVIRONMENT / 'bin'}:{os.environ['PATH']}"

    def program(self, file: str, *words: str, limit_s: float = 60) -> dict[str, Any]:
        """Run one of the programs; return the object that it prints as its last line."""
        text = self.ok("python", str(PROGRAMS / file), *words, limit_s=limit_s)
        return dict(json.loads(text.splitlines()[-1]))

    def wait_idle(self) -> None:
        """Wait until squeue lists nothing: the result of a job may be there before its end."""
        until(lambda: self._queue() == "", self._queue)

    def _queue(self) -> str:
        return self.ok("squeue", "--noheader")
