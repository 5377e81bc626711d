"""What a client and stokerd say to each other in typed requests: parameters and results.

`client` writes the parameters and reads the results, `worker.rpc` does the reverse; both travel as
msgpack in ``J`` frames. A field that is added needs a default, so that a client and a daemon of
different versions understand each other. Times are epoch seconds; None where nothing is known yet.
The names of fields are the keys of ``--json``: scripts rely on them.

Words, paths and variables of a submission may be any bytes: they travel as such, NUL between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

import msgspec

from stoker.core.wire import to_bytes, to_text

DRAFTS_MAX = 250
"""Drafts, or jobs to change, in one request: its turn must not keep others waiting."""

PAGE_MAX = 250
"""Jobs in one answer, for the same reason."""


class Draft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job as its submitter puts it: words as sbatch takes them, and what is to run.

    ``line`` holds the words; make one with `Draft.of`.
    """

    line: bytes = b""
    script: bytes = b""
    key: str = ""
    """The submission key: the same key is the same submission."""

    @classmethod
    def of(cls, words: Iterable[str], script: bytes = b"", key: str = "") -> Self:
        """Return a draft.

        Args:
            words: sbatch's options, then ``--`` and the command to run with no shell in between;
                with a *script*, its arguments.
            script: The batch script, or b"".
            key: The submission key; the client draws one if there is none.
        """
        return cls(line=_joined(words), script=script, key=key)

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words."""
        return _split(self.line)


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a submitter stands; make one with `Surroundings.of`."""

    directory: bytes
    variables: bytes = b""
    umask: int = 0o022
    rlimits: Mapping[str, tuple[int, int]] = {}

    @classmethod
    def of(
        cls,
        work_dir: str,
        environment: Iterable[str] = (),
        umask: int = 0o022,
        rlimits: Mapping[str, tuple[int, int]] | None = None,
    ) -> Self:
        """Return surroundings; *environment* gives ``NAME=VALUE`` entries."""
        return cls(
            directory=to_bytes(work_dir),
            variables=_joined(environment),
            umask=umask,
            rlimits=rlimits or {},
        )

    @property
    def work_dir(self) -> str:
        """Return the directory."""
        return to_text(self.directory)

    @property
    def environment(self) -> tuple[str, ...]:
        """Return the ``NAME=VALUE`` entries."""
        return _split(self.variables)


class Submit(msgspec.Struct, frozen=True, kw_only=True):
    """Take these drafts in, in order, up to the first that is wrong."""

    drafts: tuple[Draft, ...]
    surroundings: Surroundings


class Refusal(msgspec.Struct, frozen=True):
    """Why one of several was refused: the error's class, sentence and code."""

    type: str
    text: str
    code: str = ""


class Changed(msgspec.Struct, frozen=True):
    """What was refused of a change to several jobs, by the ids that were given."""

    refusals: Mapping[str, Refusal] = {}


class Receipt(msgspec.Struct, frozen=True):
    """The ids of the drafts that were taken in, and why the next one was not."""

    job_ids: tuple[int, ...]
    refusal: Refusal | None = None


class JobFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which jobs: empty means all; a job must match each field that says something.

    ``ids`` are spelled as Slurm does. ``ended`` adds those that ended, however long ago.
    """

    ids: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    ended: bool = False
    since: float | None = None
    after: int = 0
    """The largest job number of the page before this one."""


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a list. ``tasks`` counts what an array's waiting rest stands for."""

    id: str
    job_id: int
    array_job_id: int | None = None
    array_task_id: int | None = None
    tasks: int = 1
    name: str
    user: str
    partition: str
    state: str
    reason: str
    cpus: int
    memory_mib: int
    nodes: tuple[str, ...] = ()
    time_limit_s: float | None = None
    submit_at: float
    start_at: float | None = None
    end_at: float | None = None
    elapsed_s: float = 0.0
    exit_code: str = "0:0"
    message: str = ""

    @property
    def status(self) -> int:
        """Return the exit status that a shell would give: 0 only of what completed."""
        code, _, number = self.exit_code.partition(":")
        if int(number):
            return 128 + int(number)
        return int(code) % 256 or (0 if self.state == "COMPLETED" else 1)


class Page(msgspec.Struct, frozen=True):
    """Some jobs by number; ask again after ``next_after`` unless it is None."""

    jobs: tuple[JobView, ...]
    next_after: int | None = None


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a job. ``cores`` are those of all its nodes, by node."""

    attempt: int
    state: str
    cores: Mapping[str, tuple[int, ...]]
    memory_mib: int
    reserved_at: float
    start_at: float | None = None
    end_at: float | None = None
    pid: int | None = None
    end_state: str | None = None
    exit_code: str = "0:0"
    user_s: float = 0.0
    system_s: float = 0.0
    max_rss_kib: int = 0


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """A numbered step of a job."""

    id: str
    name: str
    state: str
    tasks: int
    cpus: int
    start_at: float
    end_at: float | None = None
    exit_code: str = "0:0"


class JobDetail(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to know of a job, but for its script and environment."""

    job: JobView
    command: str
    argv: tuple[str, ...]
    work_dir: str
    stdin: str
    stdout: str
    stderr: str
    comment: str
    dependency: str
    priority: int
    restarts: int
    may_requeue: bool
    held_by: str
    begin_at: float | None
    eligible_at: float | None
    expected_start_at: float | None
    submit_line: str
    attempts: tuple[AttemptView, ...]
    steps: tuple[StepView, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job is where it is: a sentence, the facts behind it, and what helps."""

    job: JobDetail
    summary: str
    facts: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


class JobRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One job, array or task, spelled as Slurm does."""

    id: str


class JobsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Several jobs, arrays or tasks; ``hold`` is for a requeue."""

    ids: tuple[str, ...]
    hold: bool = False


class Stop(msgspec.Struct, frozen=True):
    """Stop stokerd; running jobs go on unless they are cancelled first."""

    cancel: bool = False


class BackupRequest(msgspec.Struct, frozen=True):
    """Copy the records into this file while work goes on."""

    path: str


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A node and what of it is in use."""

    name: str
    state: str
    cpus: int
    allocated_cpus: int
    memory_mib: int
    allocated_memory_mib: int
    free_memory_mib: int
    load: float
    reason: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found: of what, whether it is as it should be, and what helps if not."""

    subject: str
    is_ok: bool
    text: str
    remedy: str = ""


def _joined(words: Iterable[str]) -> bytes:
    """Return the words, each with a NUL behind it, so that one empty word is not none."""
    return b"".join(to_bytes(word) + b"\0" for word in words)


def _split(line: bytes) -> tuple[str, ...]:
    return tuple(to_text(line).split("\0")[:-1])
