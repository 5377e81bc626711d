"""A Stoker for real clients, who need nothing of it but Slurm's names on PATH."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.clients import ENVIRONMENT, ClientStoker


@pytest.fixture
def stoker() -> Iterator[ClientStoker]:
    """Return a private Stoker with two CPUs' worth of room, whatever the machine has."""
    if not (ENVIRONMENT / "bin" / "python").exists():
        pytest.skip(f"no clients in {ENVIRONMENT}: `make clients` installs them")
    with ClientStoker(total_cpus=4, total_memory="8G") as stoker:
        yield stoker
