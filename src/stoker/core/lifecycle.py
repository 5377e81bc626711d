"""The one transition table: (state, event) -> state. What it does not list raises.

A job waits PENDING, also while a reservation for it is on its way to the shepherd: RUNNING is only
said of a job whose process is known. COMPLETING is a job that somebody or something is ending and
whose processes may still be there. The way back (requeue) leads to PENDING with the next attempt.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from stoker.core.enums import ENDED, HOLDING, JobState
from stoker.core.errors import IllegalTransition


class Event(StrEnum):
    """Things that happened to a job."""

    STARTED = "Started"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    STOPPED = "Stopped"
    CONTINUED = "Continued"
    ENDING = "Ending"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    TIMED_OUT = "TimedOut"
    RAN_OUT_OF_MEMORY = "RanOutOfMemory"
    NODE_FAILED = "NodeFailed"
    PREEMPTED = "Preempted"
    DEADLINE_PASSED = "DeadlinePassed"
    REQUEUED = "Requeued"


END_EVENTS: Final = {
    JobState.COMPLETED: Event.COMPLETED,
    JobState.FAILED: Event.FAILED,
    JobState.CANCELLED: Event.CANCELLED,
    JobState.TIMEOUT: Event.TIMED_OUT,
    JobState.OUT_OF_MEMORY: Event.RAN_OUT_OF_MEMORY,
    JobState.NODE_FAIL: Event.NODE_FAILED,
    JobState.PREEMPTED: Event.PREEMPTED,
    JobState.DEADLINE: Event.DEADLINE_PASSED,
}

_ENDS_OF_A_PROCESS: Final = {event: state for state, event in END_EVENTS.items()}

TRANSITIONS: Final[dict[tuple[JobState, Event], JobState]] = {
    (JobState.PENDING, Event.STARTED): JobState.RUNNING,
    # A job can end before its start was heard of: reports come in batches, and launches fail.
    (JobState.PENDING, Event.FAILED): JobState.FAILED,
    (JobState.PENDING, Event.CANCELLED): JobState.CANCELLED,
    (JobState.PENDING, Event.DEADLINE_PASSED): JobState.DEADLINE,
    (JobState.PENDING, Event.NODE_FAILED): JobState.NODE_FAIL,
    (JobState.PENDING, Event.REQUEUED): JobState.PENDING,
    (JobState.RUNNING, Event.SUSPENDED): JobState.SUSPENDED,
    (JobState.SUSPENDED, Event.RESUMED): JobState.RUNNING,
    # By signals: a job's time runs on, and whoever suspends it afterwards, continues it as well.
    (JobState.RUNNING, Event.STOPPED): JobState.STOPPED,
    (JobState.STOPPED, Event.CONTINUED): JobState.RUNNING,
    (JobState.STOPPED, Event.SUSPENDED): JobState.SUSPENDED,
    (JobState.STOPPED, Event.ENDING): JobState.COMPLETING,
    (JobState.RUNNING, Event.ENDING): JobState.COMPLETING,
    (JobState.SUSPENDED, Event.ENDING): JobState.COMPLETING,
    **{
        (state, event): end
        for state in sorted(HOLDING)
        for event, end in _ENDS_OF_A_PROCESS.items()
    },
    **{(state, Event.REQUEUED): JobState.PENDING for state in sorted(HOLDING | ENDED)},
}


def next_state(state: JobState, event: Event) -> JobState:
    """Return the state that *event* leads to from *state*.

    Raises:
        IllegalTransition: The table does not list the pair.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a job that is {state} cannot take the event {event}") from None
