"""The error tree: one sentence each, *cannot do X: why; what helps*, with the facts as attributes.

    StokerError
      UserError          the request is at fault
        InvalidSpec      (ValueError) a specification that says nothing sensible
        UnknownJob       (LookupError) no job of that id
        NotAllowed       somebody else's job, or a state that forbids it
      Infeasible         could never run on this machine
      DaemonUnavailable  nobody answers on the socket
      StoreError         the database cannot be read or written, or is of a newer version
        StoreRefused     nothing was written, and later the same may succeed
          StoreFull      no room
          StoreAway      the database server does not answer
      LaunchError        a job could not be started
      EngineError        an engine's own command failed
      JobFailed          for those who wait: the job did not complete
        JobCancelled
        JobTimedOut

One table in `commands` turns these into Slurm's wording and exit codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

E = TypeVar("E", bound="StokerError")


class StokerError(Exception):
    """The root of all errors that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error be copied, and sent to other processes, facts and all."""
        return revive, (type(self), str(self), vars(self).copy())


def revive(kind: type[E], text: str, facts: Mapping[str, Any]) -> E:
    """Make an error again without its constructor, which may ask for more than the sentence."""
    error = kind.__new__(kind, text)
    error.__dict__.update(facts)
    return error


class UserError(StokerError):
    """The request is at fault, not the daemon."""


class InvalidSpec(UserError, ValueError):
    """A specification that cannot be accepted; ``code`` is a name from Slurm's errno list."""

    def __init__(self, message: str, code: str = "ESLURM_INVALID_JOB_REQUEST") -> None:
        super().__init__(message)
        self.code = code


class UnknownJob(UserError, LookupError):
    """No job, task or step of that id is known."""

    def __init__(self, job_id: int | str) -> None:
        super().__init__(f"cannot find job {job_id}: no such job; `sacct` lists ended ones")
        self.job_id = job_id


class NotAllowed(UserError):
    """The job's owner or state forbids the request; ``code`` as in InvalidSpec."""

    def __init__(self, message: str, code: str = "ESLURM_ACCESS_DENIED") -> None:
        super().__init__(message)
        self.code = code


class Infeasible(StokerError):
    """No machine state could ever satisfy the request; says which limit."""

    def __init__(
        self, message: str, code: str = "ESLURM_REQUESTED_NODE_CONFIG_UNAVAILABLE"
    ) -> None:
        super().__init__(message)
        self.code = code


class DaemonUnavailable(StokerError):
    """Nobody answers on the daemon's socket."""


class StoreError(StokerError):
    """The database cannot be read or written; the text says what to do."""


class StoreRefused(StoreError):
    """Nothing was written, and later the same may succeed."""


class StoreFull(StoreRefused):
    """The disk is full or read-only: nothing was written, and later the same may succeed."""


class StoreAway(StoreRefused):
    """The database server does not answer: nothing was written, and it may come back."""


class LaunchError(StokerError):
    """A job could not be started: ``step`` says where, ``errno`` why."""

    def __init__(self, message: str, step: str, errno: int) -> None:
        super().__init__(message)
        self.step = step
        self.errno = errno


class EngineError(StokerError):
    """An engine's command or process failed."""


class JobFailed(StokerError):
    """The awaited job ended otherwise than COMPLETED."""

    def __init__(self, job_id: int, state: str, exit_code: str, last_lines: str = "") -> None:
        super().__init__(f"job {job_id} ended {state} with exit code {exit_code}")
        self.job_id = job_id
        self.state = state
        self.exit_code = exit_code
        self.last_lines = last_lines


class JobCancelled(JobFailed):
    """The awaited job was cancelled."""


class JobTimedOut(JobFailed):
    """The awaited job ran into its time limit."""


class IllegalTransition(StokerError, AssertionError):
    """The life cycle does not know this step: a defect of ours, never of the user."""
