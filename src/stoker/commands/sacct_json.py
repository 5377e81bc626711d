"""sacct's JSON and YAML: every key of openapi dbv0.0.38, in its order.

Of keys for which one machine has no value the type is kept: null, "", 0 or an empty list.

Source: as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from signal import strsignal

from stoker.commands.accounting import Holding, Line, Run
from stoker.commands.documents import Value, document
from stoker.commands.endings import End
from stoker.commands.records import json_pieces, yaml_pieces
from stoker.commands.sacct_fields import layout
from stoker.commands.sacct_style import Style
from stoker.commands.sacct_usage import BLOCK
from stoker.core.enums import JobState
from stoker.core.models import BATCH, NO_TASK, Usage
from stoker.core.units import FOREVER, as_shown, compress_hosts

_CPU, _MEMORY, _ENERGY, _NODE, _BILLING, _DISK, _PAGES, _GRES = 1, 2, 3, 4, 5, 6, 8, 1001


def document_pieces(
    kind: str, parts: Iterable[Iterable[Run]], style: Style, *, is_empty: bool
) -> Iterator[str]:
    """Return the runs as ``json`` or ``yaml``, in pieces; to have none is told as an error."""
    nothing: Value = {
        "description": "Nothing found",
        "error_number": 9003,
        "error": "Nothing found with query",
        "source": "slurmdb_jobs_get",
    }
    errors = [nothing] if is_empty else []
    head = document("openapi/dbv0.0.38", "Slurm OpenAPI DB v0.0.38", {"errors": errors})
    pieces = json_pieces if kind == "json" else yaml_pieces
    return pieces(head, "jobs", ((run_document(run, style) for run in part) for part in parts))


def run_document(run: Run, style: Style) -> dict[str, Value]:
    """Return what is said of a run and its steps."""
    line = run.line
    job, spec = line.job, line.job.spec
    code, signal = line.derived
    return {
        "account": spec.account or None,
        "comment": {
            "administrator": spec.admin_comment or None,
            "job": spec.comment or None,
            "system": None,
        },
        "allocation_nodes": len(line.held.nodes),
        "array": _array(line),
        "association": None,
        "cluster": style.cluster,
        "constraints": spec.features,
        "container": None,
        "derived_exit_code": _exit(End(JobState.FAILED, code, signal)),
        "time": _run_times(line),
        "exit_code": _exit(line.end),
        "flags": ["CLEAR_SCHEDULING", "STARTED_ON_SCHEDULE"] if line.has_run else [],
        "group": job.owner.group_name,
        "het": {"job_id": 0, "job_offset": None},
        "job_id": job.job_id,
        "name": job.name,
        "mcs": {"label": ""},
        "nodes": compress_hosts(line.held.nodes) if line.has_run else "None assigned",
        "partition": job.shown_partition,
        "priority": job.priority,
        "qos": spec.qos or "normal",
        "required": {"CPUs": line.request.cpus, "memory": line.request.memory_mib},
        "kill_request_user": _user(line.end),
        "reservation": {"id": 0, "name": 0},
        "state": {"current": str(line.end.state), "reason": str(line.reason)},
        "steps": [_step(step) for step in run.steps],
        "tres": {
            "allocated": _held(line.held, bills=True) if line.has_run else [],
            "requested": _requested(line),
        },
        "user": job.owner.user_name,
        "wckey": {"wckey": spec.wckey, "flags": []},
        "working_directory": spec.work_dir,
    }


def _array(line: Line) -> dict[str, Value]:
    job = line.job
    return {
        "job_id": job.array_job_id,
        "limits": {"max": {"running": {"tasks": job.array_limit}}},
        "task": job.array.format() if job.array is not None else None,
        "task_id": None if job.array_task_id == NO_TASK else job.array_task_id,
    }


def _run_times(line: Line) -> dict[str, Value]:
    span = line.span
    limit = as_shown(line.job.time_limit_s)
    return {
        "elapsed": span.elapsed_s,
        "eligible": int(span.eligible_at),
        "end": int(span.end_at),
        "start": int(span.start_at),
        "submission": int(span.submit_at),
        "suspended": int(span.suspended_s),
        "system": _seconds(line.system_s),
        "limit": None if limit is None or limit == FOREVER else int(limit // 60),
        "total": _seconds(line.user_s + line.system_s),
        "user": _seconds(line.user_s),
    }


def _step(line: Line) -> dict[str, Value]:
    span = line.span
    return {
        "nodes": {
            "list": list(line.held.nodes),
            "count": len(line.held.nodes),
            "range": compress_hosts(line.held.nodes),
        },
        "tres": {
            "requested": _figures(_consumed(line.usage), line),
            "consumed": _figures(_produced(line.usage), line),
            "allocated": _held(line.held, bills=False),
        },
        "time": {
            "elapsed": span.elapsed_s,
            "end": int(span.end_at),
            "start": int(span.start_at),
            "suspended": int(span.suspended_s),
            "system": _seconds(line.system_s),
            "total": _seconds(line.user_s + line.system_s),
            "user": _seconds(line.user_s),
        },
        "exit_code": _exit(line.end),
        "tasks": {"count": line.ntasks},
        "pid": None,
        "CPU": {"requested_frequency": {"min": 0, "max": 0}, "governor": []},
        "kill_request_user": _user(line.end),
        "state": str(line.end.state),
        "statistics": {"CPU": {"actual_frequency": 0}, "energy": {"consumed": 0}},
        "step": {
            "job_id": line.job.job_id,
            "het": {"component": None},
            "id": line.step_id if line.step_id == BATCH else int(line.step_id),
            "name": line.name,
        },
        "task": {"distribution": layout(line)},
    }


def _exit(end: End) -> dict[str, Value]:
    if end.signal:
        name = strsignal(end.signal) if end.signal < 65 else None
        signal: Value = {"signal_id": end.signal, "name": name}
        return {"status": "SIGNALED", "return_code": None, "signal": signal}
    return {"status": "ERROR" if end.code else "SUCCESS", "return_code": end.code}


def _user(end: End) -> str | None:
    return str(end.ended_by) if end.ended_by >= 0 else None


def _seconds(seconds: float) -> Value:
    return {"seconds": int(seconds), "microseconds": int(seconds * 1e6) % 1_000_000}


# Trackable resources.


def _resource(
    number: int, kind: str, count: int | None, name: str | None = None
) -> dict[str, Value]:
    return {"type": kind, "name": name, "id": number, "count": count}


def _held(held: Holding, *, bills: bool) -> list[Value]:
    found: list[Value] = [
        _resource(_CPU, "cpu", held.cpus),
        _resource(_MEMORY, "mem", held.memory_mib),
    ]
    if bills:
        found.append(_resource(_ENERGY, "energy", None))
    found.append(_resource(_NODE, "node", len(held.nodes)))
    if bills:
        found.append(_resource(_BILLING, "billing", held.cpus))
    return [*found, *_gres(held.gres)]


def _requested(line: Line) -> list[Value]:
    wanted = line.request
    return [
        _resource(_CPU, "cpu", wanted.cpus),
        _resource(_MEMORY, "mem", wanted.memory_mib),
        _resource(_NODE, "node", wanted.nodes),
        _resource(_BILLING, "billing", wanted.cpus),
        *_gres(wanted.gres),
    ]


def _gres(gres: Mapping[str, int]) -> list[Value]:
    return [
        _resource(_GRES + place, "gres", gres[name], name)
        for place, name in enumerate(sorted(gres))
    ]


def _consumed(usage: Usage | None) -> list[dict[str, Value]]:
    if usage is None:
        return []
    return [
        _resource(_CPU, "cpu", int(1000 * (usage.user_s + usage.system_s))),
        _resource(_MEMORY, "mem", usage.max_rss_kib * 1024),
        _resource(_ENERGY, "energy", 0),
        _resource(_DISK, "fs", usage.blocks_in * BLOCK, "disk"),
        _resource(_PAGES, "pages", usage.major_faults),
    ]


def _produced(usage: Usage | None) -> list[dict[str, Value]]:
    if usage is None:
        return []
    return [
        _resource(_ENERGY, "energy", 0),
        _resource(_DISK, "fs", usage.blocks_out * BLOCK, "disk"),
    ]


def _figures(resources: Sequence[dict[str, Value]], line: Line) -> dict[str, Value]:
    """Return figures as most, least, average and sum; of most and least also where."""
    node = line.held.nodes[0] if line.held.nodes else ""
    placed: list[Value] = [{**each, "task": 0, "node": node} for each in resources]
    return {"max": placed, "min": placed, "average": resources, "total": resources}
