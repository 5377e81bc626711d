"""The lines that stand above a table: which cluster, and when; and how ``-v`` tells flags.

Source: squeue(1) and sinfo(1), ``--clusters`` and ``--long``; the rest as recorded.
"""

from __future__ import annotations

from datetime import datetime, tzinfo

from stoker.worker.call import Answer
from stoker.worker.controller import Controller


class UnknownCluster(Exception):
    """A name that is not this cluster's; carries the answer."""

    def __init__(self, program: str, name: str) -> None:
        super().__init__(name)
        self.answer = Answer(
            err=f"{program}: error: No cluster '{name}' known by database.\n"
            f"{program}: error: '{name}' can't be reached now, or it is an invalid entry for "
            "--cluster.  Use 'sacctmgr list clusters' to see available clusters.\n",
            code=1,
        )


def cluster_heading(program: str, names: str | None, controller: Controller) -> str:
    """Return the line that ``--clusters`` puts above a table; "" without it.

    Raises:
        UnknownCluster: Another cluster is named.
    """
    if not names:
        return ""
    for name in names.split(","):
        if name not in ("all", controller.cluster_name):
            raise UnknownCluster(program, name)
    return f"CLUSTER: {controller.cluster_name}\n"


def truth(value: object) -> str:
    """Return how ``-v`` tells a parameter that is set or not."""
    return "true" if value else "false"


def clock_line(now: float, zone: tzinfo) -> str:
    """Return the line that says when a table was made: ``Tue Nov 24 04:51:40 2026``."""
    return datetime.fromtimestamp(int(now), zone).strftime("%a %b %e %H:%M:%S %Y\n")
