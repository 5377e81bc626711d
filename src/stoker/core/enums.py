"""States, reasons and their like, spelled as Slurm prints them.

Source: squeue(1), "JOB STATE CODES" and "JOB REASON CODES".
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class JobState(StrEnum):
    """A job's base state; the value is Slurm's long form."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    STOPPED = "STOPPED"
    COMPLETING = "COMPLETING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NODE_FAIL = "NODE_FAIL"
    PREEMPTED = "PREEMPTED"
    DEADLINE = "DEADLINE"
    BOOT_FAIL = "BOOT_FAIL"
    REQUEUED = "REQUEUED"
    REQUEUE_HOLD = "REQUEUE_HOLD"
    SPECIAL_EXIT = "SPECIAL_EXIT"

    @property
    def compact(self) -> str:
        """Slurm's one- to three-letter form (``PD``, ``R``, ``OOM``)."""
        return COMPACT[self]

    @property
    def has_ended(self) -> bool:
        """Whether the job is over and its record final, but for a requeue."""
        return self in ENDED


COMPACT = {
    JobState.PENDING: "PD",
    JobState.RUNNING: "R",
    JobState.SUSPENDED: "S",
    JobState.STOPPED: "ST",
    JobState.COMPLETING: "CG",
    JobState.COMPLETED: "CD",
    JobState.FAILED: "F",
    JobState.CANCELLED: "CA",
    JobState.TIMEOUT: "TO",
    JobState.OUT_OF_MEMORY: "OOM",
    JobState.NODE_FAIL: "NF",
    JobState.PREEMPTED: "PR",
    JobState.DEADLINE: "DL",
    JobState.BOOT_FAIL: "BF",
    JobState.REQUEUED: "RQ",
    JobState.REQUEUE_HOLD: "RH",
    JobState.SPECIAL_EXIT: "SE",
}

ENDED = frozenset(
    {
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.TIMEOUT,
        JobState.OUT_OF_MEMORY,
        JobState.NODE_FAIL,
        JobState.PREEMPTED,
        JobState.DEADLINE,
        JobState.BOOT_FAIL,
    }
)

# States in which a job holds resources.
HOLDING = frozenset({JobState.RUNNING, JobState.SUSPENDED, JobState.STOPPED, JobState.COMPLETING})

# States in which a job's time runs on, and nobody is ending it.
ONGOING = frozenset({JobState.RUNNING, JobState.STOPPED})

# As what a job is ended that waits again afterwards.
REQUEUES = frozenset({JobState.REQUEUED, JobState.REQUEUE_HOLD, JobState.SPECIAL_EXIT})


class Reason(StrEnum):
    """Why a job waits, or what ended it."""

    NONE = "None"
    PRIORITY = "Priority"
    RESOURCES = "Resources"
    DEPENDENCY = "Dependency"
    DEPENDENCY_NEVER_SATISFIED = "DependencyNeverSatisfied"
    BEGIN_TIME = "BeginTime"
    JOB_HELD_USER = "JobHeldUser"
    JOB_HELD_ADMIN = "JobHeldAdmin"
    REQUEUED_HELD = "job requeued in held state"
    JOB_ARRAY_TASK_LIMIT = "JobArrayTaskLimit"
    LICENSES = "Licenses"
    PARTITION_CONFIG = "PartitionConfig"
    PARTITION_TIME_LIMIT = "PartitionTimeLimit"
    PARTITION_NODE_LIMIT = "PartitionNodeLimit"
    PARTITION_DOWN = "PartitionDown"
    PARTITION_INACTIVE = "PartitionInactive"
    INVALID_ACCOUNT = "InvalidAccount"
    INVALID_QOS = "InvalidQOS"
    REQ_NODE_NOT_AVAIL = "ReqNodeNotAvail"
    RESERVED_FOR_MAINTENANCE = "ReqNodeNotAvail, Reserved for maintenance"
    RESERVED_FOR_OTHERS = "ReqNodeNotAvail, May be reserved for other job"
    RESERVATION = "Reservation"
    RESERVATION_DELETED = "ReservationDeleted"
    BAD_CONSTRAINTS = "BadConstraints"
    DEADLINE = "DeadLine"
    NODE_DOWN = "NodeDown"
    JOB_LAUNCH_FAILURE = "JobLaunchFailure"
    LAUNCH_FAILED_HELD = "launch_failed_requeued_held"
    NON_ZERO_EXIT_CODE = "NonZeroExitCode"
    OUT_OF_MEMORY = "OutOfMemory"
    TIME_LIMIT = "TimeLimit"
    SYSTEM_FAILURE = "SystemFailure"


class AllocationState(StrEnum):
    """Reserved (recorded), allocated (the process is known), released (given back)."""

    RESERVED = "reserved"
    ALLOCATED = "allocated"
    RELEASED = "released"


class Hold(IntEnum):
    """Who holds a pending job back."""

    NONE = 0
    USER = 1
    ADMIN = 2
    SPECIAL = 3
    """It was requeued in the state SPECIAL_EXIT; whoever may release it, lets it go."""
