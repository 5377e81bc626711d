"""From a reservation to what the engine runs: script on disk, environment, descriptors, limits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from stoker.core.errors import StoreError
from stoker.core.hardware import Detected
from stoker.core.machine import Machine
from stoker.core.models import BATCH, NO_TASK, Job, JobSpec, NodeShare
from stoker.core.repository import Repository
from stoker.core.settings import Settings
from stoker.core.units import PatternFields, expand_pattern
from stoker.engines.base import (
    Engine,
    Failed,
    Recipe,
    Unit,
    Warn,
    group_key,
    unit_key,
)
from stoker.worker.admission import Admission
from stoker.worker.attempts import attempt_of, batch_key
from stoker.worker.environment import TASK_PID, BatchVariables
from stoker.worker.failpoints import hit
from stoker.worker.queue import Turn
from stoker.worker.spool import OwnSpool, SharedSpool, Spool

log = logging.getLogger(__name__)


class Launcher:
    """Hands recorded reservations to the engine, in one message a turn."""

    def __init__(
        self,
        engine: Engine,
        repository: Repository,
        admission: Admission,
        detected: Detected,
        home: Path,
    ) -> None:
        """Launch on *engine*; scripts stand under *home*."""
        spool = SharedSpool if admission.settings.shared else OwnSpool
        self.spool: Spool = spool(home / "spool" / "scripts", repository.content)
        self.on_failure: Callable[[Sequence[Failed]], None] = lambda _: None
        """Called with the jobs that never reached the engine."""
        self._engine = engine
        self._admission = admission
        self._machine = machine = admission.machine
        self._detected = detected
        name = admission.settings.cluster_name
        self._variables = BatchVariables(machine, name, detected.host, str(home))

    def launch(self, turn: Turn, job: Job) -> None:
        """Have the engine run the job's present attempt when the turn is on record."""
        turn.gather(self._send, job)

    def _send(self, jobs: list[Job]) -> None:
        units, failures = self._described(jobs)
        if units:
            hit("reserve.after-commit")
            self._engine.launch(units, {})
            hit("launch.after-send")
        if failures:
            self.on_failure(failures)

    def _described(self, jobs: Sequence[Job]) -> tuple[list[Unit], list[Failed]]:
        """Return what the engine is to run, and the jobs that cannot be described to it."""
        units: list[Unit] = []
        failures: list[Failed] = []
        scripts: dict[tuple[str, int], str] = {}
        like: Job | None = None
        for job in jobs:
            try:
                if like is None or not _are_alike(job, like):
                    kind, like = self._kind_of(job, scripts), job
                units.append(self._unit_of(job, kind))
            except (OSError, StoreError) as error:
                failures.append(_failure(job, "spool", error))
            except Exception as error:
                # One job's trouble only: the others are launched.
                log.exception("job %s cannot be described to the engine", job.job_id)
                failures.append(_failure(job, "description", error))
        return units, failures

    def _kind_of(self, job: Job, scripts: dict[tuple[str, int], str]) -> _Kind:
        """Return what the engine must know of all jobs like this one.

        *scripts* are the paths that were found for others of the same message.
        """
        allocation, spec, settings = attempt_of(job), job.spec, self._admission.settings
        node, memory_mib = allocation.shares[0].node, allocation.memory_mib
        argv = spec.argv
        if spec.script:
            script = spec.script, job.owner.user_id
            if script not in scripts:
                scripts[script] = str(self.spool.path_of(*script))
            argv = (scripts[script], *spec.argv)
        recipe = Recipe(
            leads=True,
            argv=argv,
            executable=None,
            search_path=not spec.script,
            environment_key=spec.environment,
            common=self._variables.common(job, allocation, self._admission.shape(job)),
            cwd=spec.work_dir,
            umask=spec.umask,
            open_mode="append" if spec.open_mode.startswith("a") else "truncate",
            nice=0,
            rlimits=spec.rlimits,
            time_limit_s=job.time_limit_s,
            kill_wait_s=settings.kill_wait_s,
            warnings=warnings_of(job),
            memory_mib=memory_mib or None,
            memory_check_s=memory_check_s(settings, spec),
            notices=_notices(node, memory_mib),
            pid_variable=TASK_PID,
        )
        cpus = cores_of(allocation.shares[:1], self._machine, self._detected)
        return _Kind(recipe, cpus, _names_files_by_pattern(spec))

    def _unit_of(self, job: Job, kind: _Kind) -> Unit:
        """Return all that the engine must know to run the job's present attempt."""
        allocation, spec = attempt_of(job), job.spec
        stdin, stdout, stderr = spec.stdin, spec.stdout, spec.stderr
        if kind.has_patterns:
            fields = pattern_fields(job, allocation.shares[0].node, step=BATCH)
            stdin, stdout, stderr = (
                expand_pattern(each, fields) for each in (stdin, stdout, stderr)
            )
        group = group_key(job.job_id, allocation.attempt)
        return Unit(
            unit_key(group, BATCH),
            job.owner.user_id,
            group,
            allocation.token,
            kind.recipe,
            lane=str(allocation.lane) if allocation.lane else None,
            environment=self._variables.own(job, allocation),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr or None,
            cpus=kind.cpus,
        )


class _Kind(NamedTuple):
    """What jobs that are alike have in common."""

    recipe: Recipe
    cpus: tuple[int, ...] | None
    has_patterns: bool
    """Whether the names of their files depend on whose they are."""


def _are_alike(one: Job, other: Job) -> bool:
    """Whether the same is to be run for both, in the same way and on the same cores."""
    return (
        one.spec is other.spec
        and attempt_of(one).shares is attempt_of(other).shares
        and one.time_limit_s == other.time_limit_s
        and one.partition == other.partition
        and one.owner == other.owner
    )


def _names_files_by_pattern(spec: JobSpec) -> bool:
    return any("%" in each or "\\" in each for each in (spec.stdin, spec.stdout, spec.stderr))


def pattern_fields(job: Job, node: str, *, step: str, task: int = 0) -> PatternFields:
    """Return what the ``%`` patterns of the job's file names stand for."""
    is_task = job.array_task_id != NO_TASK
    return PatternFields(
        job_id=job.job_id,
        array_job_id=job.array_job_id or job.job_id,
        array_task_id=job.array_task_id if is_task else None,
        job_name=job.name,
        user_name=job.owner.user_name,
        node=node,
        node_id=0,
        step=step,
        task=task,
    )


def cores_of(
    shares: Sequence[NodeShare], machine: Machine, detected: Detected
) -> tuple[int, ...] | None:
    """Return the host's core numbers for what is held, or None if jobs are not bound.

    Several nodes on one host share its cores out in order.
    """
    if not machine.binds_cores:
        return None
    index = {node.name: node.index * node.cpus for node in machine.nodes}
    return tuple(detected.cpus[index[share.node] + cpu] for share in shares for cpu in share.cpus)


def warnings_of(job: Job) -> tuple[Warn, ...]:
    """Return the signals that the job is to get before its time limit."""
    wanted = job.spec.signal
    if wanted is None or job.time_limit_s is None:
        return ()
    return (Warn(wanted.signal, wanted.before_end_s, wanted.shell_only),)


def memory_check_s(settings: Settings, spec: JobSpec) -> float | None:
    """Return how often to look at what a job holds where no control group limits it, if at all."""
    if not settings.over_memory_kill:
        return None
    return spec.sample_every_s or settings.job_acct_gather_frequency_s


@lru_cache
def _notices(node: str, memory_mib: int) -> Mapping[str, str | None]:
    """Return what Slurm writes into a job's output when it ends it; the braces are filled in."""
    error = "slurmstepd: error:"
    start = f"{error} *** JOB {{job}} ON {node} CANCELLED AT {{time}}"
    return {
        "memory": f"{error} StepId={{job}}.batch exceeded memory limit "
        f"({{number}} > {memory_mib << 20}), being killed\n"
        f"{error} Exceeded job memory limit\n{start} ***\n",
        "oom": f"{error} Detected {{number}} oom-kill event(s) in StepId={{job}}.batch. Some of "
        "your processes may have been killed by the cgroup out-of-memory handler.\n",
        "cancelled": f"{start} ***\n",
        "timeout": f"{start} DUE TO TIME LIMIT ***\n",
        "requeued": f"{start} DUE TO JOB REQUEUE ***\n",
    }


def _failure(job: Job, step: str, error: Exception) -> Failed:
    allocation = attempt_of(job)
    trouble = error if isinstance(error, OSError) else OSError()
    return Failed(
        key=batch_key(allocation),
        step=step,
        errno=trouble.errno or 0,
        message=trouble.strerror or str(error) or type(error).__name__,
        at=allocation.reserved_at,
        path=str(trouble.filename or ""),
    )
