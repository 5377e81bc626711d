"""What users may ask of the queue: submit, look, cancel, hold, change. slurmctld in small.

Commands are written against this protocol; `worker.control` is the real one. All methods raise the
errors of `stoker.core.errors`; changing ones must be called inside a turn of the service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from stoker.core.accounts import Book, BookChange, Transaction
from stoker.core.models import Allocation, Job, Node, Owner, Partition
from stoker.core.notices import Trigger
from stoker.core.units import JobRef
from stoker.scheduling.fairshare import Standing
from stoker.scheduling.priority import Factors, Weights
from stoker.scheduling.snapshot import Shape
from stoker.worker.history import HistoryQuery, Record
from stoker.worker.lookout import Lookout
from stoker.worker.requests import Submission
from stoker.worker.reservationdesk import ReservationDesk
from stoker.worker.rights import Rights
from stoker.worker.statistics import Statistics
from stoker.worker.stepdesk import StepDesk


class NodeStatus(msgspec.Struct, frozen=True):
    """A node and how it stands now.

    ``state`` is Slurm's base word (IDLE, MIXED, ALLOCATED, DOWN) with ``+DRAIN`` where it applies.
    """

    node: Node
    state: str
    allocated_cpus: int
    allocated_memory_mib: int
    reason: str = ""
    reason_at: float = 0.0
    reason_user: str = ""
    free_memory_mib: int = 0
    load: float = 0.0
    allocated_gres: Mapping[str, int] = {}


class Host(msgspec.Struct, frozen=True):
    """The machine underneath the nodes, and since when the daemon runs on it.

    ``system`` is what uname(1) says: kernel, release and version.
    """

    name: str
    architecture: str
    system: str
    address: str = "127.0.0.1"
    booted_at: float = 0.0
    started_at: float = 0.0


class TrialStart(msgspec.Struct, frozen=True):
    """When and where a job would start that was not submitted; the id is used up, as in Slurm."""

    job_id: int
    at: float
    nodes: tuple[str, ...]
    cpus: int
    partition: str


class Controller(Protocol):
    """Seen by commands; reservations, steps and long lists have desks of their own."""

    reservations: ReservationDesk
    steps: StepDesk
    lookout: Lookout

    @property
    def rights(self) -> Rights:
        """Return who may do what, for what commands do without asking the queue."""
        ...

    @property
    def names_directory(self) -> str:
        """Return the directory that holds Slurm's names; "" if nobody has made it."""
        ...

    @property
    def cluster_name(self) -> str:
        """Return the cluster's name."""
        ...

    def now(self) -> float:
        """Return the time of this turn, in epoch seconds."""
        ...

    def partitions(self) -> Sequence[Partition]:
        """Return the partitions in the order of the configuration."""
        ...

    def nodes(self) -> Sequence[NodeStatus]:
        """Return the nodes in the machine's order, as they stand now."""
        ...

    def licenses(self) -> Mapping[str, tuple[int, int]]:
        """Return by name how many licences there are, and how many of them running jobs hold."""
        ...

    def host(self) -> Host:
        """Return the machine underneath the nodes."""
        ...

    def configuration(self) -> Mapping[str, str]:
        """Return Slurm's names for what is configured, for ``scontrol show config``."""
        ...

    def statistics(self) -> Statistics:
        """Return what was counted since the start, or since the counters were reset."""
        ...

    def reset_statistics(self) -> None:
        """Begin to count anew."""
        ...

    def user_id(self, name: str) -> int | None:
        """Return the id of the machine's user of that name; None if there is none."""
        ...

    def group_id(self, name: str) -> int | None:
        """Return the id of the machine's group of that name, or number; None if there is none."""
        ...

    def owner_named(self, name: str) -> Owner | None:
        """Return the machine's user of that name, or number, in their own group; else None."""
        ...

    def home_of(self, user_name: str) -> str:
        """Return the home directory of the user of that name; "" if nobody says."""
        ...

    def issue_token(self, user_name: str, lifespan_s: int) -> str:
        """Return a token with which its holder may ask over HTTP as that user.

        Raises:
            UserError: The key of tokens cannot be used.
        """
        ...

    def token_user(self, token: str) -> str:
        """Return whom a good token names; "" for one that is not, or not any more."""
        ...

    # Priorities.

    def priority_weights(self) -> Weights:
        """Return what each factor of a priority counts."""
        ...

    def priority_factors(self, job: Job, partition: str) -> Factors:
        """Return of what a waiting job's priority is made, as if it waited in *partition*."""
        ...

    def standings(self) -> Mapping[int, Standing]:
        """Return how associations stood when use was last worked out, by id; new ones do not."""
        ...

    def priorities_at(self) -> float:
        """Return when use and priorities were last worked out, in epoch seconds."""
        ...

    # The account book.

    def book(self) -> Book:
        """Return the account book as it stands now; it never changes."""
        ...

    def change_book(self, change: BookChange) -> None:
        """Change the account book; who asks has been judged before."""
        ...

    def forget_usage(self, association_ids: Collection[int]) -> None:
        """Let associations begin anew, as if they had used nothing yet."""
        ...

    def transactions(self, since: float, until: float) -> Sequence[Transaction]:
        """Return the changes of the account book between two times, the older first."""
        ...

    def full_name(self, user_name: str) -> str:
        """Return what the user of that name is called; "" if nobody says."""
        ...

    # Looking.

    def active_jobs(self) -> Iterable[Job]:
        """Return every record that waits or runs; an array's waiting rest is one record."""
        ...

    def recent_jobs(self) -> Sequence[Job]:
        """Return the jobs that ended within MinJobAge, by id."""
        ...

    def find(self, ref: JobRef) -> Sequence[Job]:
        """Return the active and recent records that *ref* names: an array's id, all of its own.

        Raises:
            UnknownJob: There is none.
        """
        ...

    def recorded_jobs(self, query: HistoryQuery) -> Sequence[Job]:
        """Return the jobs that *query* describes, by id, active ones included, as on record."""
        ...

    def history(self, query: HistoryQuery) -> Sequence[Record]:
        """Return the accounting records that *query* describes, by id, active ones included."""
        ...

    def last_allocations(self, jobs: Sequence[Job]) -> Mapping[int, Allocation]:
        """Return, by job id, what each job holds or held last; those that never ran are missing."""
        ...

    def shape(self, job: Job) -> Shape:
        """Return what the job asks for, with the defaults of partition and machine applied.

        It may be asked of a copy, after the turn and from another thread.
        """
        ...

    def reason(self, job: Job) -> str:
        """Return why the job waits or what ended it, as squeue prints it: a word of `Reason`."""
        ...

    def expected_starts(self, job_ids: Sequence[int]) -> Mapping[int, float]:
        """Return when waiting jobs will start if nothing changes; who cannot be told is missing."""
        ...

    def script(self, job: Job) -> bytes:
        """Return the batch script; b"" if there is none."""
        ...

    def environment(self, job: Job) -> Sequence[str]:
        """Return the ``NAME=VALUE`` entries that came with the submission."""
        ...

    # Changing; `by` is who asks. Others' jobs raise NotAllowed (root may everything).

    def submit(self, submission: Submission) -> Job:
        """Take a job in; the same key gives the same job.

        Raises:
            InvalidSpec: It says nothing sensible.
            Infeasible: No node could ever run it.
        """
        ...

    def try_submit(self, submission: Submission) -> TrialStart:
        """Return when and on which nodes the job would start; it is not kept.

        Raises:
            InvalidSpec: It says nothing sensible.
            Infeasible: No node could ever run it.
        """
        ...

    def cancel(self, ref: JobRef, by: Owner) -> None:
        """Cancel what *ref* names; what has ended is left alone."""
        ...

    def signal(self, ref: JobRef, by: Owner, signal: int, scope: str) -> None:
        """Send a signal to a running job's ``leader`` (script), ``children`` (steps) or ``all``."""
        ...

    def hold(self, ref: JobRef, by: Owner, *, as_user: bool = False) -> None:
        """Keep a waiting job from starting."""
        ...

    def release(self, ref: JobRef, by: Owner) -> None:
        """Let a held job go."""
        ...

    def requeue(self, ref: JobRef, by: Owner, *, hold: bool = False, special: bool = False) -> None:
        """End a running job, or take an ended one, and let it wait again."""
        ...

    def suspend(self, ref: JobRef, by: Owner) -> None:
        """Stop a running job's processes."""
        ...

    def resume(self, ref: JobRef, by: Owner) -> None:
        """Continue a suspended job."""
        ...

    def update(self, ref: JobRef, by: Owner, changes: Mapping[str, object]) -> None:
        """Change a job: keys are names of fields of `Job` or of `JobSpec`."""
        ...

    def update_node(self, name: str, by: Owner, state: str, reason: str) -> None:
        """Drain, undrain, take down or bring back a node: DRAIN, UNDRAIN, DOWN, RESUME."""
        ...

    def crontab(self, user_id: int) -> str:
        """Return a user's crontab; "" if there is none."""
        ...

    def set_crontab(self, owner: Owner, text: str, submissions: Sequence[Submission]) -> None:
        """Let a user have another crontab; what stays in it keeps its job.

        Raises:
            InvalidSpec: One of the jobs says nothing sensible; nothing has changed.
            Infeasible: No node could ever run one of them; nothing has changed.
        """
        ...

    def triggers(self) -> Sequence[Trigger]:
        """Return the triggers of all users, by id."""
        ...

    def set_trigger(self, trigger: Trigger) -> None:
        """Keep a trigger; its id is given here.

        Raises:
            UnknownJob: It is for a job that is not there, or over.
            NotAllowed: The job is another's, or it is for nodes and its owner is no operator.
        """
        ...

    def clear_triggers(self, doomed: Sequence[Trigger], by: Owner) -> None:
        """Remove triggers; others' only root may."""
        ...

    def update_partition(self, name: str, by: Owner, changes: Mapping[str, object]) -> None:
        """Change a partition: keys are names of fields of `Partition`.

        Raises:
            InvalidSpec: There is no such partition.
        """
        ...

    def cpu_frequency_khz(self) -> int:
        """Return how fast the machine's cores are at this moment; 0 if nobody can tell."""
        ...

    def finish_allocation(self, job: Job, code: int, signal: int) -> None:
        """End an interactive job whose command has ended with this exit status."""
        ...
