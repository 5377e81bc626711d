"""What the scheduler has had to do, as Slurm's JSON describes it.

Source: openapi v0.0.38, "diag"; sdiag(1).
"""

from __future__ import annotations

from stoker.commands.documents import Value
from stoker.core.enums import ONGOING, JobState
from stoker.worker.controller import Controller
from stoker.worker.statistics import Calls, Cycles, Statistics


def statistics_document(controller: Controller) -> dict[str, Value]:
    """Return the counters; what one machine has no daemons for is 0."""
    now, found = controller.now(), controller.statistics()
    states = [job.state for job in controller.active_jobs()]
    waiting = states.count(JobState.PENDING)
    return {
        "parts_packed": 1,
        "req_time": int(now),
        "req_time_start": int(found.since),
        "server_thread_count": 1,
        "agent_queue_size": 0,
        "agent_count": 0,
        "agent_thread_count": 0,
        "dbd_agent_queue_size": 0,
        "gettimeofday_latency": found.latency_us,
        **_main_cycles(found.cycles, now - found.since, waiting),
        **_jobs(found),
        "jobs_pending": waiting,
        "jobs_running": sum(state in ONGOING for state in states),
        "job_states_ts": int(now),
        **_backfill(found, waiting),
        "rpcs_by_message_type": [
            {"message_type": name, **_calls(calls)} for name, calls in found.by_program.items()
        ],
        "rpcs_by_user": [
            {"user": owner.user_name, "user_id": owner.user_id, **_calls(calls)}
            for owner, calls in found.by_user.items()
        ],
    }


def _main_cycles(cycles: Cycles, passed_s: float, waiting: int) -> dict[str, Value]:
    return {
        "schedule_cycle_max": cycles.max_us,
        "schedule_cycle_last": cycles.last_us,
        "schedule_cycle_total": cycles.count,
        "schedule_cycle_mean": cycles.mean_us if cycles.count else 0,
        "schedule_cycle_mean_depth": cycles.mean_depth if cycles.count else 0,
        "schedule_cycle_per_minute": int(cycles.count / max(1.0, passed_s / 60)),
        "schedule_queue_length": waiting,
    }


def _jobs(found: Statistics) -> dict[str, Value]:
    completed = found.ended_in(JobState.COMPLETED)
    cancelled = found.ended_in(JobState.CANCELLED)
    return {
        "jobs_submitted": found.submitted,
        "jobs_started": found.started,
        "jobs_completed": completed,
        "jobs_canceled": cancelled,
        "jobs_failed": sum(found.ended.values()) - completed - cancelled,
    }


def _backfill(found: Statistics, waiting: int) -> dict[str, Value]:
    cycles = found.backfill
    depth = cycles.mean_depth if cycles.count else 0
    return {
        "bf_backfilled_jobs": found.backfilled_ever,
        "bf_last_backfilled_jobs": found.backfilled,
        "bf_backfilled_het_jobs": 0,
        "bf_cycle_counter": cycles.count,
        "bf_cycle_mean": cycles.mean_us if cycles.count else 0,
        "bf_cycle_max": cycles.max_us,
        "bf_cycle_last": cycles.last_us,
        "bf_last_depth": cycles.last_depth,
        "bf_last_depth_try": cycles.last_depth,
        "bf_depth_mean": depth,
        "bf_depth_mean_try": depth,
        "bf_queue_len": waiting,
        "bf_queue_len_mean": waiting,
        "bf_table_size": cycles.last_depth,
        "bf_table_size_mean": depth,
        "bf_when_last_cycle": int(cycles.last_at),
        "bf_active": False,
    }


def _calls(calls: Calls) -> dict[str, Value]:
    return {
        "count": calls.count,
        "average_time": calls.mean_us if calls.count else 0,
        "total_time": calls.total_us,
    }
