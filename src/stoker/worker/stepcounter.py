"""Where commands ask for steps: who may, which job it is, what is on record of those that ended.

Source: the protocol `worker.stepdesk.StepDesk`, whose docstrings say what each method promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoker.core.errors import InvalidSpec, UnknownJob
from stoker.core.models import Job, Owner, Step
from stoker.core.repository import Repository
from stoker.worker.admission import Admission
from stoker.worker.queue import JobQueue
from stoker.worker.requests import StepRequest
from stoker.worker.sampling import Sampler
from stoker.worker.stepdesk import TaskSample
from stoker.worker.steps import StepKeeper


class StepCounter:
    """Answers for steps, and changes them; all changing methods need an open turn."""

    def __init__(
        self, queue: JobQueue, repository: Repository, admission: Admission, keeper: StepKeeper
    ) -> None:
        """Ask *keeper* for those of running jobs of *queue*, *repository* for all others."""
        self._queue = queue
        self._repository = repository
        self._rights = admission.rights
        self._keeper = keeper
        self._sampler = Sampler(is_shared=admission.settings.shared)

    def create(self, job: Job, by: Owner, request: StepRequest) -> Step | None:
        """Begin a step in a running job; None if its CPUs are busy with other steps."""
        job = self._queue.table.get(job.job_id) or job
        self._rights.check_owner(job, by)
        if (step := self._keeper.known(job, request.key)) is not None:
            self._keeper.detach(request.descriptors)
            return step
        if job.allocation is None or job.ending is not None:
            raise InvalidSpec(
                f"cannot begin a step in job {job.display_id}: it does not run",
                "ESLURM_ALREADY_DONE",
            )
        return self._keeper.create(self._queue.current, job, request)

    def is_terminal(self, handle: int) -> bool:
        """Return whether the standard output that was attached is a terminal."""
        return self._keeper.is_terminal(handle)

    def detach(self, descriptors: Sequence[int]) -> None:
        """Let go of what was attached for a step that will not begin."""
        self._keeper.detach(descriptors)

    def of(self, job: Job) -> Sequence[Step]:
        """Return the steps of the job's present attempt, by number."""
        if job.state.has_ended:
            return self._repository.steps([job.job_id])
        return self._keeper.steps(job)

    def samples(self, job: Job) -> Mapping[str, Sequence[TaskSample]]:
        """Return by step what the tasks of a running job use now."""
        return self._sampler.samples(job)

    def signal(self, job: Job, step_id: str, by: Owner, signal: int) -> None:
        """Send a signal to every task of a step."""
        self._keeper.signal(self._queue.current, self._open_step(job, step_id, by), signal)

    def cancel(self, job: Job, step_id: str, by: Owner) -> None:
        """Kill every task of a step; who had it done is on record."""
        self._keeper.cancel(self._queue.current, self._open_step(job, step_id, by), by)

    def limit(self, job: Job, step_id: str, by: Owner, time_limit_s: float | None) -> None:
        """Change a step's time limit, counted from its start."""
        step = self._open_step(job, step_id, by)
        self._keeper.limit(self._queue.current, job, step, time_limit_s)

    def _open_step(self, job: Job, step_id: str, by: Owner) -> Step:
        """Return a step that has not ended, for somebody who may change its job."""
        self._rights.check_change(job, by)
        step = self._keeper.step(job.job_id, step_id)
        if step is None or step.end_at:
            raise UnknownJob(f"{job.display_id}.{step_id}")
        return step
