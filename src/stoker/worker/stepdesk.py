"""What commands may ask of the steps of jobs: to begin and see them, to signal and end them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from stoker.core.models import Job, Owner, Step
from stoker.worker.requests import StepRequest


class TaskSample(msgspec.Struct, frozen=True):
    """What the processes of one task of a running step use at this moment, added up.

    ``pages`` are major faults; bytes are those of read(2) and write(2), whatever was behind them.
    """

    task: int
    pids: tuple[int, ...]
    cpu_s: float
    rss_kib: int
    size_kib: int
    pages: int
    read_bytes: int
    written_bytes: int


class StepDesk(Protocol):
    """Seen by commands; what changes something must be called inside a turn of the service."""

    def create(self, job: Job, by: Owner, request: StepRequest) -> Step | None:
        """Begin a step in a running job of theirs; None if its CPUs are busy with other steps.

        Raises:
            NotAllowed: It is another's; root may not, either: a step gets its caller's terminal.
            InvalidSpec: The step can never fit into the allocation.
        """
        ...

    def is_terminal(self, handle: int) -> bool:
        """Return whether the standard output that was attached is a terminal."""
        ...

    def detach(self, descriptors: Sequence[int]) -> None:
        """Let go of what was attached for a step that will not begin, by handle."""
        ...

    def of(self, job: Job) -> Sequence[Step]:
        """Return the steps of the job's present attempt, by number."""
        ...

    def samples(self, job: Job) -> Mapping[str, Sequence[TaskSample]]:
        """Return by step what the tasks of a running job use now; the script is ``batch``."""
        ...

    def signal(self, job: Job, step_id: str, by: Owner, signal: int) -> None:
        """Send a signal to every task of a step. Raises UnknownJob, NotAllowed."""
        ...

    def cancel(self, job: Job, step_id: str, by: Owner) -> None:
        """Kill every task of a step; who had it done is on record. Raises as `signal`."""
        ...

    def limit(self, job: Job, step_id: str, by: Owner, time_limit_s: float | None) -> None:
        """Change a step's time limit, counted from its start. Raises as `signal`."""
        ...
