"""Failpoints, from the tables of the daemon and of the shepherd."""

from __future__ import annotations

from collections.abc import Mapping

from docs.markdown import code, sentence, table
from stoker.shepherd.failpoints import FAILPOINTS
from stoker.worker.failpoints import NAMES


def of_the_daemon() -> str:
    """Return the table of the daemon's failpoints."""
    return _table(NAMES)


def of_the_shepherd() -> str:
    """Return the table of the shepherd's failpoints."""
    return _table(FAILPOINTS)


def _table(points: Mapping[str, str]) -> str:
    rows = ((code(name), sentence(text)) for name, text in points.items())
    return table(("failpoint", "what is true there"), rows)
