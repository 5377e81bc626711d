"""A job as Slurm's JSON describes it: every key of openapi v0.0.38, in its order.

Keys for which one machine has no value hold what Slurm writes for "none": null, "", 0 or [].

Source: the recorded output of ``squeue --json``; openapi v0.0.38, "job_response_properties".
"""

from __future__ import annotations

from typing import Final

from stoker.commands.documents import Value
from stoker.commands.jobview import JobView
from stoker.core.enums import HOLDING, JobState
from stoker.core.models import NO_TASK, NodeShare
from stoker.core.units import FOREVER, as_shown

_ENDLESS_S: Final = 365 * 86_400
"""Slurm writes this much after the start as the end of what runs without a limit."""
_ENDLESS_WAITING_S: Final = 2**32 - 60
"""And this much after the expected start of what waits without one: endless minutes in seconds."""
_INFINITE: Final = 2**32 - 1


def job_document(view: JobView) -> dict[str, Value]:
    """Return the job's keys and values."""
    job, asked = view.job, view.job.spec.tres_asked
    return {
        **_identity(view),
        "burst_buffer": "",
        "burst_buffer_state": "",
        "cluster": view.scene.cluster,
        "cluster_features": "",
        "command": job.spec.command,
        "comment": job.spec.comment,
        "container": "",
        "contiguous": job.spec.contiguous,
        **dict.fromkeys(("core_spec", "thread_spec", "cores_per_socket")),
        "billable_tres": float(view.cpus) if view.allocation else None,
        "cpus_per_task": job.spec.cpus_per_task,
        **dict.fromkeys(
            ("cpu_frequency_minimum", "cpu_frequency_maximum", "cpu_frequency_governor")
        ),
        "cpus_per_tres": asked.get("CpusPerTres", ""),
        "deadline": int(job.spec.deadline_at),
        "delay_boot": int(min(job.spec.delay_boot_s, _INFINITE)),
        "dependency": view.dependency or "",
        "derived_exit_code": job.derived_code << 8 | job.derived_signal,
        "eligible_time": int(view.eligible_at),
        "end_time": _end(view),
        "excluded_nodes": job.spec.exclude,
        "exit_code": job.exit_code << 8 | job.exit_signal,
        "features": job.spec.features,
        **dict.fromkeys(
            ("federation_origin", "federation_siblings_active", "federation_siblings_viable"), ""
        ),
        "gres_detail": [],
        "group_id": job.owner.group_id,
        "group_name": job.owner.group_name,
        "job_id": job.job_id,
        **_resources(view),
        **_sizes(view),
        **_times_and_files(view),
    }


def _identity(view: JobView) -> dict[str, Value]:
    job = view.job
    return {
        "account": job.spec.account,
        "accrue_time": int(view.accrue_at),
        "admin_comment": job.spec.admin_comment,
        "array_job_id": view.array_id if view.is_array_part else 0,
        "array_task_id": None if job.array_task_id == NO_TASK else job.array_task_id,
        "array_max_tasks": job.array_limit,
        "array_task_string": (view.tasks_text or "") if job.array is not None else "",
        "association_id": 0,
        "batch_features": "",
        "batch_flag": not job.spec.interactive,
        "batch_host": view.batch_host or "",
        "flags": _flags(view),
    }


def _flags(view: JobView) -> list[str]:
    flags = ["JOB_WAS_RUNNING"] if view.job.state in HOLDING else []
    spec = view.job.spec
    if spec.mem_per_node_mib is not None or spec.mem_per_cpu_mib is not None:
        flags.append("JOB_MEM_SET")
    return flags


def _end(view: JobView) -> int:
    at = view.end_at
    if at is not None:
        return int(at)
    is_waiting = view.state is JobState.PENDING
    return int(view.start_at) + (_ENDLESS_WAITING_S if is_waiting else _ENDLESS_S)


def _resources(view: JobView) -> dict[str, Value]:
    """Return what the allocation holds; nothing if there is none."""
    allocation = view.allocation
    if allocation is None:
        return {}
    return {
        "job_resources": {
            "nodes": view.node_list,
            "allocated_cores": allocation.cpus,
            "allocated_hosts": len(allocation.shares),
            "allocated_nodes": [_share(share) for share in allocation.shares],
        }
    }


def _share(share: NodeShare) -> dict[str, Value]:
    cores = {str(core): "allocated" for core in share.cpus}
    return {
        "sockets": {"0": {"cores": cores}},
        "nodename": share.node,
        "cpus_used": 0,
        "memory_used": 0,
        "memory_allocated": share.memory_mib,
    }


def _sizes(view: JobView) -> dict[str, Value]:
    job, shape = view.job, view.shape
    return {
        "job_state": view.state.value,
        "last_sched_evaluation": int(job.start_at or job.submit_at),
        "licenses": job.spec.licenses,
        "max_cpus": 0,
        "max_nodes": job.spec.max_nodes or (shape.nodes_min if shape.nodes_min > 1 else 0),
        "mcs_label": "",
        "memory_per_tres": job.spec.tres_asked.get("MemPerTres", ""),
        "name": job.name,
        "nodes": view.node_list,
        "nice": job.nice or None,
        "tasks_per_core": None,
        "tasks_per_node": shape.tasks_per_node or 0,
        "tasks_per_socket": None,
        "tasks_per_board": 0,
        "cpus": view.cpus,
        "node_count": view.node_count,
        "tasks": view.tasks,
        "het_job_id": 0,
        "het_job_id_set": "",
        "het_job_offset": 0,
        "partition": job.shown_partition,
        "prefer": "",
        "memory_per_node": shape.memory_per_node_mib,
        "memory_per_cpu": shape.memory_per_cpu_mib,
        "minimum_cpus_per_node": view.min_cpus,
        "minimum_tmp_disk_per_node": job.spec.tmp_disk_mib,
        "preempt_time": 0,
        "pre_sus_time": int(job.suspended_s),
        "priority": view.priority,
        "profile": None,
        "qos": view.qos,
        "reboot": False,
        "required_nodes": job.spec.node_list,
        "requeue": job.requeue,
        "resize_time": 0,
        "restart_cnt": job.restarts,
        "resv_name": job.spec.reservation,
        "shared": "none" if job.spec.exclusive else None,
        "show_flags": ["SHOW_ALL", "SHOW_DETAIL", "SHOW_LOCAL"],
        "sockets_per_board": 0,
        "sockets_per_node": None,
    }


def _times_and_files(view: JobView) -> dict[str, Value]:
    job, asked = view.job, view.job.spec.tres_asked
    limit_s = view.limit_s
    return {
        "start_time": int(view.start_at),
        "state_description": job.message,
        "state_reason": view.reason,
        "standard_error": view.path(job.spec.stderr),
        "standard_input": view.path(job.spec.stdin),
        "standard_output": view.stdout,
        "submit_time": int(job.submit_at),
        "suspend_time": int(job.suspended_at),
        "system_comment": "",
        "time_limit": None if limit_s is None else int(limit_s // 60),
        "time_minimum": _minutes(job.spec.time_min_s or 0.0),
        "threads_per_core": None,
        **dict.fromkeys(("tres_bind", "tres_freq"), ""),
        "tres_per_job": asked.get("TresPerJob", ""),
        "tres_per_node": view.tres_per_node or "",
        "tres_per_socket": asked.get("TresPerSocket", ""),
        "tres_per_task": asked.get("TresPerTask", ""),
        "tres_req_str": view.tres,
        "tres_alloc_str": view.tres if job.state is not JobState.PENDING else "",
        "user_id": job.owner.user_id,
        "user_name": job.owner.user_name,
        "wckey": job.spec.wckey,
        "current_working_directory": job.spec.work_dir,
    }


def _minutes(seconds: float) -> int:
    shown_s = as_shown(seconds)
    return _INFINITE if shown_s is None or shown_s == FOREVER else int(shown_s // 60)
