"""Which lines sacct shows: users, jobs, states, and the window of time.

Without ``-j`` the window begins at midnight and ends now; with states alone it is this moment;
with ``-j`` alone there is none. In a window a run counts if it was eligible before its end and not
over before its beginning; with states, if it was in one of them within it. Of a job's runs that
count only the last is shown, unless ``--duplicates`` asks for all: so a job that waits for its
second run, which is not eligible yet, still shows how the first one ended.

Source: sacct(1), "DEFAULT TIME WINDOW"; the rest as recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from stoker.commands.accounting import Line, Run
from stoker.core.enums import COMPACT, JobState
from stoker.core.models import Owner
from stoker.core.units import FOREVER, JobRef

_STATES: Mapping[str, JobState] = {
    **{state.value: state for state in JobState},
    **{code: state for state, code in COMPACT.items()},
}
_UNFINISHED = frozenset({JobState.PENDING, JobState.RUNNING, JobState.SUSPENDED})


class Window(msgspec.Struct, frozen=True):
    """A span of time in epoch seconds; both ends belong to it."""

    start_at: float
    end_at: float


class Range(msgspec.Struct, frozen=True):
    """Whole numbers from one to another."""

    low: int
    high: int

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; what is empty or None does not matter."""

    refs: tuple[JobRef, ...] = ()
    window: Window | None = None
    states: frozenset[JobState] = frozenset()
    groups: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    qos: frozenset[str] = frozenset()
    wckeys: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    cpu_count: Range | None = None
    node_count: Range | None = None
    limit_min: Range | None = None
    constraints: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    every_run: bool = False

    def runs(self, runs: Iterable[Run]) -> list[Run]:
        """Return those runs of one job that are shown."""
        found = [run for run in runs if self._counts(run.line)]
        return found if self.every_run else found[-1:]

    def steps(self, run: Run) -> Iterator[Line]:
        """Return the lines of a run that are shown, when steps are."""
        refs = [ref for ref in self.refs if _names(ref, run.line)]
        if not refs or any(not ref.step for ref in refs):
            yield run.line
            yield from run.steps
            return
        wanted = {ref.step for ref in refs}
        yield from (step for step in run.steps if step.step_id in wanted)

    def _counts(self, line: Line) -> bool:
        return self._is_named(line) and self._is_in_time(line) and self._fits(line)

    def _is_named(self, line: Line) -> bool:
        return not self.refs or any(_names(ref, line) for ref in self.refs)

    def _is_in_time(self, line: Line) -> bool:
        window = self.window
        if window is None:
            return not self.states or line.end.state in self.states
        if self.states:
            return any(_was_in(state, line, window) for state in self.states)
        span = line.span
        return _by(span.eligible_at, window) and _until(span.end_at, 0.0, window)

    def _fits(self, line: Line) -> bool:
        spec, owner = line.job.spec, line.job.owner
        return (
            _among(self.accounts, spec.account)
            and _among(self.qos, spec.qos or "normal")
            and _among(self.wckeys, spec.wckey)
            and (not self.groups or not self.groups.isdisjoint(_group_words(owner)))
            and (not self.nodes or not self.nodes.isdisjoint(line.held.nodes))
            and (self.cpu_count is None or line.cpus in self.cpu_count)
            and (self.node_count is None or len(line.held.nodes) in self.node_count)
            and all(word in spec.features for word in self.constraints)
            and (not self.flags or (line.has_run and "schedmain" in self.flags))
            and (self.limit_min is None or _limit_min(line) in self.limit_min)
        )


def state_of(word: str) -> JobState | None:
    """Return the state that a word names, by its long or short form in any case."""
    return _STATES.get(word.upper())


def _names(ref: JobRef, line: Line) -> bool:
    job = line.job
    if ref.component is not None:
        return False
    if ref.tasks is None:
        return ref.job_id in (job.job_id, job.array_job_id)
    if job.array_job_id != ref.job_id:
        return False
    if job.array is not None:
        return any(task in job.array for task in ref.tasks)
    return job.array_task_id in ref.tasks


def _was_in(state: JobState, line: Line, window: Window) -> bool:
    """Whether a run was in a state at some time within the window."""
    span = line.span
    if state is JobState.PENDING:
        return _by(span.eligible_at, window) and _until(span.start_at, span.end_at, window)
    if state in _UNFINISHED:
        began = _by(span.start_at, window) and line.has_run
        if state is JobState.SUSPENDED and line.end.state is not state:
            return False
        return began and _until(span.end_at, 0.0, window)
    return line.end.state is state and window.start_at <= int(span.end_at) <= window.end_at


def _by(at: float, window: Window) -> bool:
    """Whether something had begun when the window ended: in the same second counts, as in Slurm."""
    return 0 < at < window.end_at + 1


def _until(at: float, otherwise_at: float, window: Window) -> bool:
    """Whether something that lasted until *at* (0: still) did so within the window."""
    until = at or otherwise_at
    return not until or int(until) >= window.start_at


def _among(wanted: Collection[str], word: str) -> bool:
    return not wanted or word in wanted


def _group_words(owner: Owner) -> tuple[str, str]:
    return str(owner.group_id), owner.group_name


def _limit_min(line: Line) -> int:
    limit = line.job.time_limit_s
    return -1 if limit is None or limit == FOREVER else int(limit // 60)
