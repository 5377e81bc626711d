"""Long lists for typed requests, a page at a time, so that no reader delays a turn.

What matches is collected once and kept for the pages that follow, a few lists at a time; a client
whose list was let go of gets a new one that begins behind the last job it was shown.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from stoker.core.errors import InvalidSpec
from stoker.core.messages import PAGE_MAX, JobFilter, Page
from stoker.core.models import Job, Owner
from stoker.core.units import NotationError, parse_job_ref
from stoker.worker.controller import Controller, HistoryQuery
from stoker.worker.records import Records

_KEPT_MAX: Final = 8


class Listing:
    """Gives pages of jobs."""

    def __init__(self, controller: Controller, records: Records) -> None:
        """List what *controller* knows."""
        self._controller = controller
        self._records = records
        self._rests: OrderedDict[JobFilter, Sequence[Job]] = OrderedDict()

    def page(self, wanted: JobFilter, _: Owner) -> Page:
        """Return the next jobs that match, by number."""
        rest = self._rests.pop(wanted, None)
        if rest is None:
            rest = sorted(self._matching(wanted), key=lambda job: job.job_id)
        shown, rest = rest[:PAGE_MAX], rest[PAGE_MAX:]
        after = None
        if rest:
            after = shown[-1].job_id
            self._rests[msgspec.structs.replace(wanted, after=after)] = rest
            if len(self._rests) > _KEPT_MAX:
                self._rests.popitem(last=False)
        return Page(tuple(self._records.views(shown)), after)

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs are active, by state; waiting tasks count one by one."""
        counts: dict[str, int] = {}
        for job in self._controller.active_jobs():
            count = 1 if job.array is None else len(job.array)
            counts[job.state] = counts.get(job.state, 0) + count
        return counts

    def _matching(self, wanted: JobFilter) -> Iterable[Job]:
        states = {state.upper() for state in wanted.states}
        return (
            job
            for job in self._candidates(wanted)
            if job.job_id > wanted.after
            and (not states or job.state in states or job.state.compact in states)
            and (not wanted.users or job.owner.user_name in wanted.users)
            and (not wanted.names or job.name in wanted.names)
            and (not wanted.partitions or job.partition in wanted.partitions)
        )

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
