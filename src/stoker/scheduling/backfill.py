"""When the first job that has to wait can start, and what may be started meanwhile: EASY.

The head of a queue has a reservation: the earliest time at which it fits if running jobs use up
their time limits and nothing else is started (the *shadow time*), and what is left over then (the
*extra*). A later job may start now if it ends by the shadow time, or if it gets by with the extra,
which it then lowers. Either way the head is not delayed: its shadow time never moves later.

A job without a time limit ends at no time that could be named (`FOREVER`): it never ends by a
shadow time, not even by one that is `FOREVER` itself, but it may use the extra.

Source: Lifka 1995; Mu'alem and Feitelson 2001.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from stoker.core.models import FOREVER, NodeShare
from stoker.scheduling.placement import Level, spread
from stoker.scheduling.snapshot import Running, Shape


class Shadow(NamedTuple):
    """When a head can start (`FOREVER` if no limit says), and what it leaves free then, by node."""

    at: float
    extra: list[Level]

    def admits(self, ends_at: float) -> bool:
        """Whether a job that starts now and ends then is out of the head's way."""
        return ends_at <= self.at and ends_at < FOREVER

    def use(self, shares: Iterable[NodeShare]) -> None:
        """Note that a job which outlasts the shadow time takes of the extra."""
        by_name = {level.name: level for level in self.extra}
        for share in shares:
            by_name[share.node].take(share)


def shadow(
    head: Shape, running: Iterable[Running], free: Sequence[Level], now: float
) -> Shadow | None:
    """Return when a job of shape *head* can start if nothing else is started, and what is left.

    *running*, sorted by ``ends_at``, includes those who began in this very turn; *free* is what is
    free now, and is left as it is. Jobs that should have ended by *now* (epoch seconds) are
    believed to end at once; all that end at the same time count together.

    Returns:
        None if it would not fit even if all had ended.
    """
    levels = [level.copy() for level in free]
    by_name = {level.name: level for level in levels}
    cpus_min = max(head.tasks, head.nodes_min) * head.cpus_per_task
    # Where more is kept than is free, a level is below nought: no other node pays for that.
    cpus = sum(max(0, level.cpus) for level in levels)
    for ends_at, ending in groupby(running, key=_ends_at):
        for job in ending:
            for share in job.shares:
                by_name[share.node].give(share)
                cpus += len(share.cpus)
        if cpus < cpus_min:
            continue
        counts = spread(head, levels)
        if counts is not None:
            for index, tasks in counts:
                levels[index].take_tasks(head, tasks)
            return Shadow(max(ends_at, now), levels)
    return None


def _ends_at(job: Running) -> float:
    return job.ends_at


def lowest(levels: Sequence[Level], shadows: Sequence[Shadow]) -> list[Level]:
    """Return, node by node, what is free now and will not be needed by any of the heads."""
    found = [level.copy() for level in levels]
    for each in shadows:
        for level, extra in zip(found, each.extra, strict=True):
            level.cpus = min(level.cpus, extra.cpus)
            level.memory_mib = min(level.memory_mib, extra.memory_mib)
            for name, count in extra.gres.items():
                level.gres[name] = min(level.gres[name], count)
    return found
