"""Records as rows of the tables, and back.

The columns' order here is the tables' order in `schema`. File names, and what is built from them,
may hold bytes that are no text; Python shows those as lone surrogates, which neither the databases
nor JSON's own encoding take. Stored bodies escape them and give them back; names in columns, which
only serve to find rows, keep the escapes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from sys import intern
from typing import Any, TypeVar

import msgspec

from stoker.core.enums import AllocationState, Hold, JobState
from stoker.core.models import FOREVER, Allocation, Job, JobSpec, NodeShare, Owner, Step, Usage
from stoker.core.units import TaskSet, format_dependency, parse_dependency

T = TypeVar("T")

_STATES = {state.value: state for state in JobState}
_ALLOCATION_STATES = {state.value: state for state in AllocationState}
_HOLDS = {hold.value: hold for hold in Hold}

_plain_encode = msgspec.json.Encoder().encode


def digest_of(body: bytes) -> str:
    """Return the name under which *body* is stored: 128 bits of BLAKE2b, in hex."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def encode_spec(spec: JobSpec) -> tuple[bytes, bytes]:
    """Return the digest and the stored form of a specification."""
    # JSON has no infinity, and msgspec writes it as null: "unlimited" would turn into "not said".
    is_endless = FOREVER in (spec.time_limit_s, spec.time_min_s)
    body = _encode_slowly(spec) if is_endless else encode(spec)
    return hashlib.blake2b(body, digest_size=16).digest(), body


def encode(record: msgspec.Struct | tuple[msgspec.Struct, ...]) -> bytes:
    """Return the stored form of a record."""
    try:
        return _plain_encode(record)
    except UnicodeEncodeError:
        return _encode_slowly(record)


def _encode_slowly(record: Any) -> bytes:
    """Return JSON for Python's own reader: with ``Infinity``, lone surrogates escaped."""
    return json.dumps(msgspec.to_builtins(record)).encode()


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Return what reads stored bodies of that kind."""
    plain_decode = msgspec.json.Decoder(kind).decode

    def decode(body: bytes) -> T:
        try:
            return plain_decode(body)
        except msgspec.DecodeError:
            return msgspec.convert(json.loads(body), kind)

    return decode


decode_spec = decoder(JobSpec)
decode_step = decoder(Step)
_decode_shares = decoder(tuple[NodeShare, ...])
_decode_usage = decoder(Usage)


@lru_cache(maxsize=1024)
def as_text(name: str) -> str:
    r"""Return *name* as a column holds it: what is no text stands as ``\udcXX``."""
    return name if name.isascii() else name.encode(errors="backslashreplace").decode()


def job_row(job: Job) -> tuple[Any, ...]:
    """Return *job* as a row of ``jobs``, in the order of its columns.

    Every change of every job comes by here: `str` of a state is its value, and twice as fast.
    """
    return (
        job.job_id,
        job.spec_digest,
        *_owner_columns(job.owner),
        as_text(job.spec.name),
        as_text(job.partition),
        str(job.state),
        as_text(str(job.reason)),
        job.priority,
        job.nice,
        int(job.hold),
        job.time_limit_s,
        job.submit_at,
        job.begin_at,
        job.eligible_at,
        job.start_at,
        job.end_at,
        job.suspended_at,
        job.suspended_s,
        job.restarts,
        int(job.requeue),
        job.exit_code,
        job.exit_signal,
        job.derived_code,
        job.derived_signal,
        as_text(job.message),
        str(job.ending) if job.ending is not None else None,
        job.ended_by,
        format_dependency(job.dependency) if job.dependency is not None else None,
        job.array_job_id,
        job.array_task_id,
        job.array.pack() if job.array is not None else None,
        job.array_limit,
    )


@lru_cache(maxsize=1024)
def _owner_columns(owner: Owner) -> tuple[int, str, int, str]:
    return owner.user_id, as_text(owner.user_name), owner.group_id, as_text(owner.group_name)


def job_of(row: Sequence[Any], spec: JobSpec, allocation: Allocation | None) -> Job:
    """Return the job of a row of ``jobs``.

    A start reads hundreds of thousands: the row is taken apart at once, not name by name, and what
    most of them have in common is kept once: names, and times that have not come.
    """
    (
        job_id, spec_digest, user_id, user_name, group_id, group_name, _, partition,
        state, reason, priority, nice, hold, time_limit_s,
        submit_at, begin_at, eligible_at, start_at, end_at, suspended_at, suspended_s,
        restarts, requeue, exit_code, exit_signal, derived_code, derived_signal,
        message, ending, ended_by, dependency,
        array_job_id, array_task_id, array_tasks, array_limit,
    ) = row  # fmt: skip
    return Job(
        job_id=job_id,
        spec=spec,
        spec_digest=spec_digest,
        owner=_owner(user_id, user_name, group_id, group_name),
        partition=intern(partition),
        state=_STATES[state],
        reason=intern(reason),
        priority=priority,
        nice=nice,
        hold=_HOLDS[hold],
        time_limit_s=time_limit_s,
        submit_at=submit_at,
        begin_at=begin_at or 0.0,
        eligible_at=eligible_at,
        start_at=start_at or 0.0,
        end_at=end_at or 0.0,
        suspended_at=suspended_at or 0.0,
        suspended_s=suspended_s or 0.0,
        restarts=restarts,
        requeue=bool(requeue),
        exit_code=exit_code,
        exit_signal=exit_signal,
        derived_code=derived_code,
        derived_signal=derived_signal,
        message=message,
        ending=_STATES[ending] if ending is not None else None,
        ended_by=ended_by,
        dependency=parse_dependency(dependency) if dependency is not None else None,
        array_job_id=array_job_id,
        array_task_id=array_task_id,
        array=TaskSet.parse(array_tasks) if array_tasks is not None else None,
        array_limit=array_limit,
        allocation=allocation,
    )


@lru_cache(maxsize=1024)
def _owner(user_id: int, user_name: str, group_id: int, group_name: str) -> Owner:
    return Owner(user_id, user_name, group_id, group_name)


def allocation_row(allocation: Allocation) -> tuple[Any, ...]:
    """Return *allocation* as a row of ``allocations``, in the order of its columns."""
    end = allocation.end_state
    return (
        allocation.job_id,
        allocation.attempt,
        str(allocation.state),
        encode(allocation.shares),
        allocation.token,
        allocation.lane,
        allocation.reserved_at,
        allocation.allocated_at,
        allocation.released_at,
        allocation.pid,
        allocation.start_ticks,
        allocation.boot_id,
        str(end) if end is not None else None,
        allocation.exit_code,
        allocation.exit_signal,
        encode(allocation.usage) if allocation.usage is not None else None,
    )


def allocation_of(row: Sequence[Any]) -> Allocation:
    """Return the attempt of a row of ``allocations``."""
    (
        job_id, attempt, state, shares, token, lane, reserved_at, allocated_at, released_at,
        pid, start_ticks, boot_id, end_state, exit_code, exit_signal, usage,
    ) = row  # fmt: skip
    return Allocation(
        job_id=job_id,
        attempt=attempt,
        state=_ALLOCATION_STATES[state],
        shares=_shares(shares),
        token=token,
        lane=lane,
        reserved_at=reserved_at,
        allocated_at=allocated_at,
        released_at=released_at,
        pid=pid,
        start_ticks=start_ticks,
        boot_id=intern(boot_id),
        end_state=_STATES[end_state] if end_state is not None else None,
        exit_code=exit_code,
        exit_signal=exit_signal,
        usage=_decode_usage(usage) if usage is not None else None,
    )


@lru_cache(maxsize=1024)
def _shares(body: bytes) -> tuple[NodeShare, ...]:
    """Return what an attempt held; most held the same as another one."""
    return _decode_shares(body)
