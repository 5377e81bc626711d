"""The controller: what commands may ask of the queue, put together from the rooms that do it.

Source: the protocol `worker.controller.Controller`, whose docstrings say what each method promises.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from stoker.core.accounts import Book, BookChange, Transaction
from stoker.core.enums import HOLDING, JobState
from stoker.core.errors import Infeasible
from stoker.core.machine import Machine
from stoker.core.models import Allocation, Job, Owner, Partition
from stoker.core.notices import Trigger
from stoker.core.repository import Repository
from stoker.core.units import JobRef, parse_licenses
from stoker.scheduling.fairshare import Standing
from stoker.scheduling.priority import Factors, Weights
from stoker.scheduling.snapshot import Shape
from stoker.worker import peers
from stoker.worker.accounts import AccountKeeper
from stoker.worker.admission import Admission
from stoker.worker.changes import Changes
from stoker.worker.configuration import Place, slurm_configuration
from stoker.worker.controller import Host, NodeStatus, TrialStart
from stoker.worker.crontabs import CrontabKeeper
from stoker.worker.history import HistoryQuery, Record
from stoker.worker.intake import Intake
from stoker.worker.looking import Looking, filter_of
from stoker.worker.lookout import Lookout
from stoker.worker.nodes import NodeKeeper
from stoker.worker.past import RecentPast, records_of
from stoker.worker.priorities import Priorities
from stoker.worker.queue import JobQueue
from stoker.worker.requests import Submission
from stoker.worker.reservationdesk import ReservationDesk
from stoker.worker.samples import cpu_frequency_khz
from stoker.worker.scheduler import ResourceScheduler
from stoker.worker.selection import Selection
from stoker.worker.statistics import Statistics, clock_latency_us
from stoker.worker.stepcounter import StepCounter
from stoker.worker.stepdesk import StepDesk
from stoker.worker.steps import StepKeeper
from stoker.worker.tokens import Tokens
from stoker.worker.triggers import TriggerKeeper
from stoker.worker.updates import Updates
from stoker.worker.usage import UsageKeeper


class Control:
    """Answers and changes, for commands and typed requests alike."""

    def __init__(
        self,
        *,
        home: Path,
        queue: JobQueue,
        repository: Repository,
        admission: Admission,
        intake: Intake,
        selection: Selection,
        changes: Changes,
        updates: Updates,
        steps: StepKeeper,
        nodes: NodeKeeper,
        reservations: ReservationDesk,
        scheduler: ResourceScheduler,
        triggers: TriggerKeeper,
        crontabs: CrontabKeeper,
        accounts: AccountKeeper,
        usage: UsageKeeper,
        priorities: Priorities,
        tokens: Tokens,
    ) -> None:
        """Speak for these rooms; all changing methods need an open turn of *queue*."""
        self._home = home
        self._queue = queue
        self._repository = repository
        self._admission = admission
        self._intake = intake
        self._selection = selection
        self._changes = changes
        self._updates = updates
        self._steps = steps
        self._nodes = nodes
        self.reservations = reservations
        self.steps: StepDesk = StepCounter(queue, repository, admission, steps)
        self.lookout: Lookout = Looking(queue, repository, scheduler, self._recent_since)
        self._tokens = tokens
        self._scheduler = scheduler
        self._triggers = triggers
        self._crontabs = crontabs
        self._accounts = accounts
        self._usage = usage
        self._priorities = priorities
        self.rights = admission.rights
        self._machine: Machine = admission.machine
        self._started_at = queue.now()
        scheduler.statistics.since = self._started_at

    @property
    def names_directory(self) -> str:
        """Return the directory that holds Slurm's names; "" if nobody has made it."""
        return str(found) if (found := self._home / "bin").is_dir() else ""

    @property
    def cluster_name(self) -> str:
        """Return the cluster's name."""
        return self._admission.settings.cluster_name

    def now(self) -> float:
        """Return the time of this turn, in epoch seconds."""
        return self._queue.current.now

    def partitions(self) -> Sequence[Partition]:
        """Return the partitions in the order of the configuration."""
        return tuple(self._admission.partitions.values())

    def nodes(self) -> Sequence[NodeStatus]:
        """Return the nodes in the machine's order, as they stand now."""
        return self._nodes.statuses()

    def licenses(self) -> Mapping[str, tuple[int, int]]:
        """Return by name how many licences there are, and how many are held."""
        used: Counter[str] = Counter()
        for job in self._queue.table:
            if job.spec.licenses and job.state in HOLDING:
                used.update(dict(parse_licenses(job.spec.licenses)))
        return {name: (total, used[name]) for name, total in sorted(self._machine.licenses.items())}

    def configuration(self) -> Mapping[str, str]:
        """Return Slurm's names for what is configured."""
        number = os.geteuid()
        user = f"{peers.user_name(number)}({number})"
        place = Place(self._home, user, self._queue.next_job_id)
        return slurm_configuration(self._admission.settings, self._machine, place)

    def host(self) -> Host:
        """Return the machine underneath the nodes."""
        uname = os.uname()
        return Host(
            name=uname.nodename,
            architecture=uname.machine,
            system=f"{uname.sysname} {uname.release} {uname.version}",
            booted_at=self._queue.now() - time.clock_gettime(time.CLOCK_BOOTTIME),
            started_at=self._started_at,
        )

    def statistics(self) -> Statistics:
        """Return what was counted since the start, or since the counters were reset."""
        found = self._scheduler.statistics
        found.latency_us = clock_latency_us()
        return found

    def reset_statistics(self) -> None:
        """Begin to count anew."""
        self._scheduler.statistics.reset(self._queue.current.now)

    def user_id(self, name: str) -> int | None:
        """Return the id of the machine's user of that name; None if there is none."""
        return peers.user_id(name)

    def group_id(self, name: str) -> int | None:
        """Return the id of the machine's group of that name, or number; None if there is none."""
        return peers.group_id(name)

    def owner_named(self, name: str) -> Owner | None:
        """Return the machine's user of that name, or number, in their own group; else None."""
        return peers.owner_named(name)

    def home_of(self, user_name: str) -> str:
        """Return the home directory of the user of that name; "" if nobody says."""
        return peers.home_of(user_name)

    def issue_token(self, user_name: str, lifespan_s: int) -> str:
        """Return a token for a user."""
        return self._tokens.issue(user_name, lifespan_s, self.now())

    def token_user(self, token: str) -> str:
        """Return whom a good token names."""
        return self._tokens.user(token, self.now())

    # Priorities.

    def priority_weights(self) -> Weights:
        """Return what each factor of a priority counts."""
        return self._priorities.weights

    def priority_factors(self, job: Job, partition: str) -> Factors:
        """Return of what a waiting job's priority is made, as if it waited in *partition*."""
        return self._priorities.factors(job, partition)

    def standings(self) -> Mapping[int, Standing]:
        """Return how associations stand, by id."""
        return self._priorities.standings

    def priorities_at(self) -> float:
        """Return when use and priorities were last worked out."""
        return self._priorities.at

    # The account book.

    def book(self) -> Book:
        """Return the account book as it stands now."""
        return self._accounts.book

    def change_book(self, change: BookChange) -> None:
        """Change the account book."""
        turn = self._queue.current
        self._accounts.change(turn, change)
        self._updates.heed_accounts(turn)

    def forget_usage(self, association_ids: Collection[int]) -> None:
        """Let associations begin anew, as if they had used nothing yet."""
        self._usage.forget(self._queue.current, association_ids)

    def transactions(self, since: float, until: float) -> Sequence[Transaction]:
        """Return the changes of the account book between two times, the older first."""
        return self._accounts.transactions(since, until)

    def full_name(self, user_name: str) -> str:
        """Return what the user of that name is called; "" if nobody says."""
        return peers.full_name(user_name)

    # Looking.

    def active_jobs(self) -> Iterable[Job]:
        """Return every record that waits or runs."""
        return list(self._queue.table)

    def recent_jobs(self) -> Sequence[Job]:
        """Return the jobs that ended within MinJobAge, by id."""
        return RecentPast(self._repository, self._recent_since()).all()

    def find(self, ref: JobRef) -> Sequence[Job]:
        """Return the active and recent records that *ref* names."""
        return self._selection.known(ref, self._recent_since())

    # What this turn has changed is not on record yet; nobody asks for both in one turn.

    def recorded_jobs(self, query: HistoryQuery) -> Sequence[Job]:
        """Return the jobs that *query* describes, by id."""
        return self._repository.history(filter_of(query))

    def history(self, query: HistoryQuery) -> Sequence[Record]:
        """Return the accounting records that *query* describes, by id."""
        return records_of(self._repository, self.recorded_jobs(query))

    def last_allocations(self, jobs: Sequence[Job]) -> Mapping[int, Allocation]:
        """Return, by job id, what each job holds or held last."""
        found = {job.job_id: job.allocation for job in jobs if job.allocation is not None}
        missing = [job.job_id for job in jobs if job.allocation is None and job.start_at]
        for attempt in self._repository.attempts(missing):
            found[attempt.job_id] = attempt
        return found

    def shape(self, job: Job) -> Shape:
        """Return what the job asks for, with the defaults applied."""
        return self._admission.shape(job)

    def reason(self, job: Job) -> str:
        """Return why the job waits or what ended it."""
        return self._scheduler.reason(job)

    def expected_starts(self, job_ids: Sequence[int]) -> Mapping[int, float]:
        """Return when waiting jobs will start if nothing changes."""
        return self._scheduler.expected_starts(job_ids)

    def script(self, job: Job) -> bytes:
        """Return the batch script; b"" if there is none."""
        return self._repository.content(job.spec.script)

    def environment(self, job: Job) -> Sequence[str]:
        """Return the entries that came with the submission."""
        body = self._repository.content(job.spec.environment)
        return body.decode("utf-8", "surrogateescape").split("\0") if body else []

    # Changing.

    def submit(self, submission: Submission) -> Job:
        """Take a job in; the same key gives the same job.

        Somebody waits for an allocation without a script: it starts in this very turn if it can.
        """
        turn = self._queue.current
        job = self._intake.submit(turn, submission)
        if job.spec.interactive and job.state is JobState.PENDING:
            self._scheduler.schedule(turn)
            job = self._queue.table.get(job.job_id) or job
        return job

    def try_submit(self, submission: Submission) -> TrialStart:
        """Return when and where the job would start; it uses up an id, as in Slurm."""
        turn = self._queue.current
        job = self._intake.job_of(turn, submission)
        if self._admission.obstacle(job) is not None:
            raise Infeasible("Requested node configuration is not available")
        job.job_id = self._queue.give_id(turn)
        start = self._scheduler.trial(job)
        return TrialStart(job.job_id, start.at, tuple(start.nodes), start.cpus, job.partition)

    def cancel(self, ref: JobRef, by: Owner) -> None:
        """Cancel what *ref* names; what has ended is left alone."""
        self._changes.cancel(self._queue.current, ref, by)

    def signal(self, ref: JobRef, by: Owner, signal: int, scope: str) -> None:
        """Send a signal to a running job."""
        self._changes.signal(self._queue.current, ref, by, signal, scope)

    def abandon(self, key: str, by: Owner) -> None:
        """End the interactive job that their submission with this key made, if it has not ended."""
        turn = self._queue.current
        job_id = self._intake.job_of_key(turn, key, by)
        if job_id is not None:
            self._changes.abandon(turn, job_id)

    def hold(self, ref: JobRef, by: Owner, *, as_user: bool = False) -> None:
        """Keep a waiting job from starting."""
        self._changes.hold(self._queue.current, ref, by, as_user=as_user)

    def release(self, ref: JobRef, by: Owner) -> None:
        """Let a held job go."""
        self._changes.release(self._queue.current, ref, by)

    def requeue(self, ref: JobRef, by: Owner, *, hold: bool = False, special: bool = False) -> None:
        """Let a job wait again."""
        held = JobState.SPECIAL_EXIT if special else JobState.REQUEUE_HOLD
        ending = held if hold or special else JobState.REQUEUED
        self._changes.requeue(self._queue.current, ref, by, ending)

    def suspend(self, ref: JobRef, by: Owner) -> None:
        """Stop a running job's processes."""
        self._changes.suspend(self._queue.current, ref, by)

    def resume(self, ref: JobRef, by: Owner) -> None:
        """Continue a suspended job."""
        self._changes.resume(self._queue.current, ref, by)

    def update(self, ref: JobRef, by: Owner, changes: Mapping[str, object]) -> None:
        """Change a job."""
        self._updates.update(self._queue.current, ref, by, changes)
        if "time_limit_s" in changes:
            for job in self.find(ref):
                self._steps.heed_limit(self._queue.current, job)

    def update_node(self, name: str, by: Owner, state: str, reason: str) -> None:
        """Drain, undrain, take down or bring back a node."""
        self._nodes.update(self._queue.current, name, by, state, reason)
        if state.upper() == "DOWN":
            self._changes.fail_node(self._queue.current, name)
        self._triggers.node_set(self._queue.current, name, state)

    # Crontabs.

    def crontab(self, user_id: int) -> str:
        """Return a user's crontab; "" if there is none."""
        return self._crontabs.text(user_id)

    def set_crontab(self, owner: Owner, text: str, submissions: Sequence[Submission]) -> None:
        """Let a user have another crontab, with these jobs."""
        self._crontabs.replace(self._queue.current, owner, text, submissions)

    # Triggers.

    def triggers(self) -> Sequence[Trigger]:
        """Return the triggers of all users, by id."""
        return self._triggers.all()

    def set_trigger(self, trigger: Trigger) -> None:
        """Keep a trigger, under an id of its own."""
        self._triggers.set(self._queue.current, trigger)

    def clear_triggers(self, doomed: Sequence[Trigger], by: Owner) -> None:
        """Remove triggers."""
        self._triggers.clear(self._queue.current, doomed, by)

    def update_partition(self, name: str, by: Owner, changes: Mapping[str, object]) -> None:
        """Change a partition until the next start."""
        self._updates.update_partition(self._queue.current, name, by, changes)

    def cpu_frequency_khz(self) -> int:
        """Return how fast the machine's cores are at this moment."""
        return cpu_frequency_khz()

    def finish_allocation(self, job: Job, code: int, signal: int) -> None:
        """End an interactive job whose command has ended with this exit status."""
        self._changes.finish_allocation(self._queue.current, job.job_id, code, signal)

    def _recent_since(self) -> float:
        return self._queue.now() - self._admission.settings.min_job_age_s
