"""The recorded cases of a real Slurm, one by one, for tests that replay them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path(os.environ.get("STOKER_REFERENCE", _ROOT.parent / "shared" / "reference"))


@cache
def cases(file: str) -> tuple[dict[str, Any], ...]:
    """Return the cases of a file, ``sbatch`` say; none where the recordings are not at hand."""
    path = REFERENCE / "slurm" / f"{file}.jsonl"
    if not path.exists():
        return ()
    return tuple(json.loads(line) for line in path.read_text("utf-8").splitlines())


def parameters(found: Iterable[dict[str, Any]]) -> list[Any]:
    """Return the cases as test parameters; if there are none, one that is skipped and says why."""
    listed = [pytest.param(case, id=case["id"]) for case in found]
    missing = pytest.mark.skip(reason=f"no recordings in {REFERENCE}; set STOKER_REFERENCE")
    return listed or [pytest.param({}, id="no-recordings", marks=missing)]
