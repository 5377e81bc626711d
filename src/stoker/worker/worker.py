"""The worker: the rooms of the daemon put together, recovered, run and stopped in order."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from stoker.core.accountstore import AccountStore
from stoker.core.errors import StoreError
from stoker.core.hardware import Detected
from stoker.core.machine import Machine
from stoker.core.models import Job
from stoker.core.noticestore import NoticeStore
from stoker.core.repository import Repository
from stoker.core.reservationstore import ReservationStore
from stoker.core.settings import Settings
from stoker.core.usagestore import UsageStore
from stoker.engines.base import Engine, Evidence, Lost, group_key, parse_key
from stoker.worker.accountrules import AccountRules
from stoker.worker.accounts import AccountKeeper
from stoker.worker.admission import Admission
from stoker.worker.attempts import batch_key
from stoker.worker.backups import BackupKeeper
from stoker.worker.callers import CallerWatch
from stoker.worker.changes import Changes
from stoker.worker.control import Control
from stoker.worker.courier import Courier
from stoker.worker.crontabs import CrontabKeeper
from stoker.worker.daemon import SchedulerDaemon
from stoker.worker.homewatch import HomeWatch
from stoker.worker.household import DaemonHousehold
from stoker.worker.idmark import IdMark
from stoker.worker.intake import Intake
from stoker.worker.launching import Launcher
from stoker.worker.ledger import Ledger
from stoker.worker.nodes import NodeKeeper
from stoker.worker.notifying import Notifier, Post
from stoker.worker.outcomes import why
from stoker.worker.priorities import Priorities
from stoker.worker.probe import Probe
from stoker.worker.queue import JobQueue
from stoker.worker.recovery import RecoveryManager, RecoveryResult, recover_apart
from stoker.worker.reload import Reloaded, reloaded
from stoker.worker.reports import Reports
from stoker.worker.reservations import ReservationKeeper
from stoker.worker.resources import ResourceTracker
from stoker.worker.retention import RetentionKeeper
from stoker.worker.rpc import ReadDraft, Rpc
from stoker.worker.scheduler import ResourceScheduler
from stoker.worker.selection import Selection
from stoker.worker.server import Server
from stoker.worker.service import Command, DaemonService
from stoker.worker.signal_handler import SignalHandler
from stoker.worker.steps import StepKeeper
from stoker.worker.table import JobTable
from stoker.worker.taskunits import TaskUnits
from stoker.worker.tokens import Tokens
from stoker.worker.triggers import TriggerKeeper
from stoker.worker.updates import Updates
from stoker.worker.usage import UsageKeeper
from stoker.worker.watch import ProcessWatch

log = logging.getLogger(__name__)

_RECOVERY_S: Final = 5.0
"""How long the recovery of all users' jobs is waited for; whose takes longer goes on beside us."""
_RETRY_S: Final = 1.0
"""Until what was reported and could not be recorded is tried again."""


class Worker:
    """One daemon's insides; `work` runs until `request_stop`."""

    def __init__(
        self,
        home: Path,
        settings: Settings,
        machine: Machine,
        detected: Detected,
        *,
        repository: Repository,
        engine: Engine,
        commands: Mapping[str, Command],
        read_draft: ReadDraft,
    ) -> None:
        """Put the rooms together; nothing runs, and nothing is read, before `work`."""
        self.on_recovered: Callable[[], None] = lambda: None
        """Called when recovery has come to its end."""
        self.home = home
        self.settings = settings
        self.engine = engine
        self.repository = repository
        self.accounts = AccountKeeper(AccountStore(self.repository.database), settings)
        rules = AccountRules(settings, lambda: self.accounts.book)
        self.admission = Admission(machine, settings, rules)
        self.tracker = ResourceTracker(machine.nodes)
        self.priorities = Priorities(self.admission, lambda: self.accounts.book)
        rules.spent_mins = self.priorities.spent_mins
        table = JobTable(self.admission.shape, self.priorities.policy)
        table.submitted = rules.counts
        self.queue = JobQueue(self.repository, table, IdMark(home))
        self.ledger = Ledger(self.queue, self.tracker, self.admission)
        units = TaskUnits(self.admission, detected, home)
        self.steps = StepKeeper(self.repository, engine, units)
        self.launcher = Launcher(engine, self.repository, self.admission, detected, home)
        self.scheduler = ResourceScheduler(self.queue, self.ledger, self.launcher, engine)
        self.reports = Reports(self.queue, self.ledger, engine, self.steps, self.scheduler)
        self.nodes = NodeKeeper(machine.nodes, self.tracker, self.repository, self.admission.rights)
        self.intake = Intake(
            self.queue, self.ledger, self.admission, self.priorities, self.repository
        )
        notices = self._notices = NoticeStore(repository.database)
        self.post = Post(notices)
        self.courier = Courier(notices)
        self.post.on_news = self.courier.wake
        self.ledger.witnesses.append(
            Notifier(self.post, notices, table, lambda: self.admission.settings)
        )
        self.triggers = TriggerKeeper(
            self.post, notices, table, self._idle_nodes, self.admission.rights
        )
        self.ledger.witnesses.append(self.triggers)
        self.usage = UsageKeeper(self.ledger, self.priorities, UsageStore(repository.database))
        self.household = DaemonHousehold(home, repository.database, engine, self)
        self._turns = _Turns(settings.check_interval_s, self.scheduler, self.reports)
        self._backups = BackupKeeper(
            repository.database,
            home,
            interval_s=settings.backup_interval_hours * 3600,
            keep=settings.backup_keep,
        )
        self._retention = RetentionKeeper(
            self.queue, home, days=settings.history_days, archives=settings.history_archive
        )
        self._lost_store: StoreError | None = None
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._server = self._server_of(self._service(commands, read_draft))
        self.queue.rebuild = self._rebuild
        self.tracker.tell_when = self.queue.when_recorded
        self.queue.on_news = self._server.jobs_changed
        self.queue.on_lost_store = self._lose_store
        self.launcher.on_failure = self.reports.take
        self.scheduler.on_wakeup = self._turns.wake

    def _reservation_keeper(self) -> ReservationKeeper:
        store = ReservationStore(self.repository.database)
        keeper = ReservationKeeper(store, self.ledger, self.admission)
        self.nodes.kept = keeper.kept
        self.scheduler.on_schedule = keeper.advance
        self.scheduler.other_wakeup_at = keeper.next_at
        return keeper

    def _server_of(self, service: DaemonService) -> Server:
        socket = self.home / "run" / "stokerd.sock"
        return Server(socket, service, is_shared=self.settings.shared)

    def _service(self, commands: Mapping[str, Command], read_draft: ReadDraft) -> DaemonService:
        selection = Selection(self.queue.table, self.repository)
        self.changes = Changes(self.ledger, selection, self.engine, self.steps)
        self.reservations = self._reservation_keeper()
        self.scheduler.on_overdue = self.reservations.on_end = self.changes.end_running
        self.crontabs = CrontabKeeper(self._notices, self.ledger, self.intake, self.changes)
        self.ledger.witnesses.append(self.crontabs)
        self.control = Control(
            home=self.home,
            queue=self.queue,
            repository=self.repository,
            admission=self.admission,
            intake=self.intake,
            selection=selection,
            changes=self.changes,
            updates=Updates(self.ledger, selection, self.admission, self.priorities, self.engine),
            steps=self.steps,
            nodes=self.nodes,
            reservations=self.reservations,
            scheduler=self.scheduler,
            accounts=self.accounts,
            usage=self.usage,
            priorities=self.priorities,
            tokens=Tokens(self.home),
            triggers=self.triggers,
            crontabs=self.crontabs,
        )
        return DaemonService(
            queue=self.queue,
            repository=self.repository,
            controller=self.control,
            commands=commands,
            rpc=Rpc(self.control, self.household, read_draft),
            steps=self.steps,
            statistics=self.ledger.statistics,
            on_turn=self._turns.wake,
            serves=self.admission.rights.serves,
        )

    def work(
        self, signals: SignalHandler | None = None, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        """Recover, serve until `request_stop`, and stop everything in the reverse order.

        Jobs go on: the engine outlives us.

        Args:
            signals: Whose callbacks are run here when a signal comes.
            on_ready: Called once clients can connect.

        Raises:
            StoreError: The store failed, and only the next daemon can learn how far it had come.
        """
        with ExitStack() as stack:
            stack.callback(os.close, self._stop_fd)
            evidence = self.engine.open(self.reports.take)
            stack.callback(self.engine.close)
            self.recover(evidence)
            self.on_recovered()
            stack.enter_context(self._server)
            serving = threading.Thread(target=self._server.run, name="server", daemon=True)
            serving.start()
            stack.callback(serving.join, 10.0)
            stack.callback(self._server.stop)
            stack.enter_context(self._turns)
            stack.enter_context(self._backups)
            stack.enter_context(self.courier)
            stack.enter_context(self._retention)
            if self.usage.is_wanted:
                stack.enter_context(self.usage)
            watch = stack.enter_context(HomeWatch(self.home))
            on_ready()
            self._wait_for_stop(signals, watch)
        if self._lost_store is not None:
            # Whoever looks after us is to start us again.
            raise self._lost_store

    def reload(self, settings: Settings) -> Reloaded:
        """Let those of other settings count that can change while we run; return which."""
        found = reloaded(self.settings, settings)
        with self.queue.lock:
            self.settings = self.admission.settings = now = found.settings
        self._turns.interval_s = now.check_interval_s
        self._backups.change(now.backup_interval_hours * 3600, now.backup_keep)
        self._retention.change(now.history_days, archives=now.history_archive)
        return found

    def request_stop(self) -> None:
        """Make `work` return; from any thread, also before it has begun."""
        os.eventfd_write(self._stop_fd, 1)

    def _wait_for_stop(self, signals: SignalHandler | None, watch: HomeWatch) -> None:
        sources: list[SignalHandler | int] = [self._stop_fd, *watch.sources]
        if signals is not None:
            sources.append(signals)
        while self._stop_fd not in select.select(sources, [], [], watch.wait_s)[0]:
            if signals is not None:
                signals.run_pending()
            if watch.is_gone():
                log.critical("%s was deleted or moved; stokerd stops, and jobs go on", self.home)
                return

    def recover(self, evidence: Evidence) -> RecoveryResult:
        """Make memory, record and processes agree; only then may new jobs start."""
        self.reports.boot_id = evidence.boot_id
        self.intake.load()
        self._take_evidence(evidence, lambda job: job.owner.user_id not in evidence.absent)
        if self.settings.shared:
            users = {job.owner.user_id for job in self.queue.table if job.allocation is not None}
            result = recover_apart(
                {
                    user_id: partial(self._recover, evidence, partial(_is_owned, user_id))
                    for user_id in users - evidence.absent
                },
                _RECOVERY_S,
            )
        else:
            result = self._recover(evidence, lambda _: True)
        self.launcher.spool.keep_only({job.spec.script for job in self.queue.table})
        self.reports.is_live = True
        with self.queue.turn() as turn:
            self.crontabs.begin(turn)
        callers = CallerWatch(self._abandon)
        for job in list(self.queue.table):
            callers.watch(job)
        return result

    def recover_user(self, user_id: int, evidence: Evidence) -> None:
        """Do the same for the jobs of one user, of which the engine knew nothing when we began."""
        self._take_evidence(evidence, partial(_is_owned, user_id))
        self._recover(evidence, partial(_is_owned, user_id))
        self._turns.wake()

    def _take_evidence(self, evidence: Evidence, concerns: Callable[[Job], bool]) -> None:
        """Record what the engine knows; steps of those jobs of which it knows nothing are lost."""
        self.reports.take([*evidence.running.values(), *evidence.events])
        known = evidence.running.keys() | evidence.queued
        table = self.queue.table
        with self.queue.lock:
            lost = [
                key
                for key in self.steps.open_units()
                if key not in known and concerns(table.jobs[parse_key(key).job_id])
            ]
        self.reports.take([Lost(key) for key in lost])

    def _recover(self, evidence: Evidence, concerns: Callable[[Job], bool]) -> RecoveryResult:
        """Recover the jobs that the evidence concerns; the others stay as they are."""
        probe = Probe(
            is_known=lambda job: _is_known(job, evidence),
            never_ran=lambda job: _never_ran(job, evidence),
            by_owner=self.settings.shared,
            kill_wait_s=self.settings.kill_wait_s,
        )
        watch = ProcessWatch(self.reports.take, probe)
        probe.adopt = lambda job: (
            self._adopt(job, evidence) if probe.is_known(job) else watch.watch(job)
        )
        manager = RecoveryManager(ledger=self.ledger, probe=probe, concerns=concerns)
        return manager.recover_on_startup()

    def _rebuild(self) -> None:
        self.accounts.load(self.queue.current)
        if self.usage.is_wanted:
            self.usage.begin()
        self.triggers.load()
        self.crontabs.load()
        self.reservations.load()
        self.ledger.rebuild()
        self.nodes.load()
        self.steps.load(list(self.queue.table))

    def _idle_nodes(self) -> list[str]:
        """Return the nodes on which nothing runs."""
        return [each.node.name for each in self.nodes.statuses() if not each.allocated_cpus]

    def _adopt(self, job: Job, evidence: Evidence) -> None:
        """Take over a job that the engine knows; the end that was asked for is asked for again.

        Of what runs the engine has told, and what is to be done to that has been asked then.
        """
        assert job.allocation is not None, f"job {job.job_id} has no allocation"
        if job.ending is not None and batch_key(job.allocation) not in evidence.running:
            group = group_key(job.job_id, job.allocation.attempt)
            self.engine.end(group, why(job.ending), self.settings.kill_wait_s)

    def _abandon(self, job_id: int) -> None:
        with self.queue.turn() as turn:
            self.changes.abandon(turn, job_id)
        self._turns.wake()

    def _lose_store(self, error: StoreError) -> None:
        """Stop: whether the last transaction is on record only the database can tell, anew."""
        log.critical("the database failed: %s; stokerd stops, and jobs go on", error)
        self._lost_store = error
        self.request_stop()


def _never_ran(job: Job, evidence: Evidence) -> bool:
    """Whether a job of which the engine says nothing was surely never spawned."""
    since = evidence.knows_since(job.owner.user_id)
    return job.allocation is not None and job.allocation.reserved_at >= since


def _is_owned(user_id: int, job: Job) -> bool:
    return job.owner.user_id == user_id


def _is_known(job: Job, evidence: Evidence) -> bool:
    if job.allocation is None:
        return False
    key = batch_key(job.allocation)
    return job.spec.interactive or key in evidence.running or key in evidence.queued


class _Turns(SchedulerDaemon):
    """Drives the scheduler; sleeps until something is due, but never beyond the interval."""

    def __init__(self, interval_s: float, scheduler: ResourceScheduler, reports: Reports) -> None:
        super().__init__(interval_s, scheduler=scheduler)
        self.interval_s = interval_s
        self._resource_scheduler = scheduler
        self._reports = reports

    def do_work(self) -> None:
        try:
            if self._reports.is_behind:
                self._reports.take(())
            self._resource_scheduler.take_back_overdue()
            super().do_work()
        finally:
            wait_s = self._resource_scheduler.next_wakeup_s()
            if self._reports.is_behind:
                wait_s = min(wait_s, _RETRY_S)
            self.check_interval = min(self.interval_s, max(wait_s, 0.001))
