"""What callers ask to have run: a job, or a step in one."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from stoker.core.models import JobSpec, Owner
from stoker.core.units import ArraySpec, Dependency


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A specification with what is said once, at submission.

    ``script`` and ``environment`` (``NAME=VALUE`` entries) are stored by their content; the digests
    in ``spec`` are filled in by the controller.
    """

    spec: JobSpec
    owner: Owner
    script: bytes = b""
    environment: tuple[str, ...] = ()
    array: ArraySpec | None = None
    dependency: Dependency | None = None
    hold: bool = False
    begin_at: float = 0.0
    priority: int | None = None
    key: str = ""
    caller_pid: int = 0
    """Of an interactive job: the process without which it is not wanted any more; 0: none."""


class StepRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What srun asks for inside an allocation, or of the job that it has made for itself.

    ``environment`` is the caller's, as ``NAME=VALUE``; paths are absolute file name patterns, or ""
    for the descriptors that the caller sent: ``descriptors`` are what `Attach` gave for them.
    ``lone_tasks`` are by stream the one task that has the caller's descriptor, or None for all.
    ``programs`` are by task what to run, if that is not ``argv`` for all. ``node_names`` are those
    that will do, () for any. Over nodes tasks are dealt out in blocks, one by one (``cyclic``), or
    ``plane`` at a time. A request under a ``key`` that was seen before is the same request.
    """

    name: str
    is_named: bool = False
    """Whether it was asked to be called so: then its tasks find that as their job's name."""
    argv: tuple[str, ...]
    environment: tuple[str, ...]
    work_dir: str
    ntasks: int = 1
    cpus_per_task: int = 1
    memory_mib: int = 0
    """Of each node; 0: what its CPUs bring with them."""
    nodes: int | None = None
    node_names: tuple[str, ...] = ()
    overlap: bool = False
    exact: bool = False
    cyclic: bool = False
    plane: int = 0
    time_limit_s: float | None = None
    stdin: str = ""
    stdout: str = ""
    stderr: str | None = ""
    lone_tasks: tuple[int | None, int | None, int | None] = (None, None, None)
    open_mode: str = ""
    umask: int = 0o022
    rlimits: Mapping[str, tuple[int, int]] = {}
    descriptors: tuple[int, ...] = ()
    programs: tuple[tuple[str, ...], ...] = ()
    key: str = ""
    submit_line: str = ""
