"""Long lists for typed requests, a page at a time, so that no reader delays a turn.

The jobs that there were when a list was begun are kept for the pages that follow, a few lists at a
time; who goes on with a list that was let go of, or begun anew by somebody else, goes on behind the
last job that was shown. Which jobs match is found out page by page: where few do, a page may be
short, or empty.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final

import msgspec

from stoker.core.errors import InvalidSpec
from stoker.core.messages import PAGE_MAX, JobFilter, Page
from stoker.core.models import Job, Owner
from stoker.core.units import NotationError, parse_job_ref
from stoker.worker.controller import Controller
from stoker.worker.history import HistoryQuery
from stoker.worker.records import Records

_KEPT_MAX: Final = 8
_LOOKED_AT_MAX: Final = 5000
"""Jobs that are looked at for one page."""

_number = attrgetter("job_id")


class Listing:
    """Gives pages of jobs."""

    def __init__(self, controller: Controller, records: Records) -> None:
        """List what *controller* knows."""
        self._controller = controller
        self._records = records
        self._begun: OrderedDict[JobFilter, Sequence[Job]] = OrderedDict()

    def page(self, wanted: JobFilter, _: Owner) -> Page:
        """Return the next jobs that match, by number."""
        begun = msgspec.structs.replace(wanted, after=0)
        jobs = self._begun.pop(begun, None) if wanted.after else None
        if jobs is None:
            jobs = sorted(self._candidates(wanted), key=_number)
        shown, after = _next(wanted, jobs)
        if after is not None:
            self._begun[begun] = jobs
            if len(self._begun) > _KEPT_MAX:
                self._begun.popitem(last=False)
        return Page(tuple(self._records.views(shown)), after)

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs are active, by state; waiting tasks count one by one."""
        counts: dict[str, int] = {}
        for job in self._controller.active_jobs():
            count = 1 if job.array is None else len(job.array)
            counts[job.state] = counts.get(job.state, 0) + count
        return counts

    def _candidates(self, wanted: JobFilter) -> Iterable[Job]:
        if wanted.ids:
            try:
                refs = [parse_job_ref(text) for text in wanted.ids]
            except NotationError as error:
                raise InvalidSpec(str(error), "ESLURM_INVALID_JOB_ID") from None
            return {job.job_id: job for ref in refs for job in self._records.jobs_of(ref)}.values()
        if not wanted.ended:
            return self._controller.active_jobs()
        query = HistoryQuery(
            user_ids=tuple(map(self._user_id, wanted.users)),
            names=wanted.names,
            partitions=wanted.partitions,
            start_at=wanted.since,
        )
        return [record.job for record in self._controller.history(query)]

    def _user_id(self, name: str) -> int:
        found = self._controller.user_id(name)
        if found is None:
            raise InvalidSpec(
                f"cannot list the jobs of {name}: there is no such user", "ESLURM_USER_ID_MISSING"
            )
        return found


def _next(wanted: JobFilter, jobs: Sequence[Job]) -> tuple[list[Job], int | None]:
    """Return the jobs of the next page, and behind which one it ends; None if that is all."""
    states = frozenset(state.upper() for state in wanted.states)
    shown: list[Job] = []
    start = bisect_right(jobs, wanted.after, key=_number)
    for job in islice(jobs, start, start + _LOOKED_AT_MAX):
        if _matches(wanted, states, job):
            shown.append(job)
        start += 1
        if len(shown) == PAGE_MAX:
            break
    return shown, jobs[start - 1].job_id if start < len(jobs) else None


def _matches(wanted: JobFilter, states: frozenset[str], job: Job) -> bool:
    return (
        (not states or job.state in states or job.state.compact in states)
        and (not wanted.users or job.owner.user_name in wanted.users)
        and (not wanted.names or job.name in wanted.names)
        and (not wanted.partitions or job.partition in wanted.partitions)
        and (not job.end_at or wanted.ended or bool(wanted.ids))
    )
