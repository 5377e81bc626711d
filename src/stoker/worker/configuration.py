"""Slurm's names for what is configured here, and for what is so whatever is configured.

Only what is true of this Stoker stands here; how it is listed, and what Slurm's other parameters
say where nobody has set them, stands in `commands.configuration`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from stoker.core.machine import Machine
from stoker.core.models import FOREVER
from stoker.core.settings import Settings
from stoker.core.units import format_duration
from stoker.worker.tokens import KEY_FILE

_SCRIPT_SIZE_MAX = 4 << 20
_NOTHING = "(null)"


class Place(msgspec.Struct, frozen=True):
    """Where a Stoker stands, whose it is, and how far it has come."""

    home: Path
    user: str
    """Who runs it: ``alice(2001)``."""
    next_job_id: int


def slurm_configuration(settings: Settings, machine: Machine, place: Place) -> Mapping[str, str]:
    """Return parameter and value."""
    return {
        "AccountingStorageEnforce": settings.accounting_storage_enforce,
        "AccountingStoreFlags": "job_script,job_env",
        "AccountingStorageType": "accounting_storage/stoker",
        "BatchStartTimeout": "10 sec",
        "ClusterName": settings.cluster_name,
        "DefMemPerCPU": str(machine.default_mem_per_cpu_mib),
        "DependencyParameters": "kill_invalid_depend" if settings.kill_invalid_depend else _NOTHING,
        "EnforcePartLimits": "NO",
        "GresTypes": ",".join(sorted(machine.nodes[0].gres)) or _NOTHING,
        "JobAcctGatherFrequency": f"task={settings.job_acct_gather_frequency_s:g}",
        "JobAcctGatherParams": "OverMemoryKill" if settings.over_memory_kill else _NOTHING,
        "JobRequeue": str(int(settings.job_requeue)),
        "KillWait": f"{settings.kill_wait_s:g} sec",
        "Licenses": settings.licenses or _NOTHING,
        "MailProg": settings.mail_prog or _NOTHING,
        "MaxArraySize": str(settings.max_array_size),
        "MaxDBDMsgs": str(max(10_000, settings.max_job_count * 2 + len(machine.nodes) * 4)),
        "MaxJobCount": str(settings.max_job_count),
        "MaxNodeCount": str(len(machine.nodes)),
        "MaxTasksPerNode": "512",
        "MinJobAge": f"{settings.min_job_age_s:g} sec",
        "MULTIPLE_SLURMD": "Yes" if len(machine.nodes) > 1 else "No",
        "NEXT_JOB_ID": str(place.next_job_id),
        "SchedulerParameters": _scheduling(settings),
        "SchedulerType": "sched/backfill",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CORE_MEMORY",
        "SlurmctldDebug": settings.log_level.lower(),
        "TaskPlugin": "task/affinity" if machine.binds_cores else "task/none",
        "StorageLoc": _NOTHING if settings.database_url else str(place.home / "stoker.db"),
        **_places(place),
        **_retention(settings),
        **_priorities(settings, machine),
    }


def _places(place: Place) -> Mapping[str, str]:
    """Return where things are, and whose."""
    home = place.home
    return {
        "AuthAltParameters": f"jwt_key={home / KEY_FILE}",
        "ArchiveDir": str(home / "archive"),
        "AuthInfo": f"socket={home / 'run' / 'stokerd.sock'}",
        "SLURM_CONF": os.environ.get("STOKER_CONFIG") or str(home / "stoker.toml"),
        "SlurmctldLogFile": str(home / "log" / "stokerd.log"),
        "SlurmctldPidFile": str(home / "run" / "stokerd.lock"),
        "SlurmdLogFile": str(home / "log" / "shepherd.log"),
        "SlurmdSpoolDir": str(home / "spool"),
        "SlurmdUser": place.user,
        "SlurmUser": place.user,
        "StateSaveLocation": str(home),
    }


def _scheduling(settings: Settings) -> str:
    """Return what is set that Slurm has among SchedulerParameters."""
    found = []
    if settings.batch_sched_delay_s:
        found.append(f"batch_sched_delay={settings.batch_sched_delay_s:g}")
    if settings.max_script_size != _SCRIPT_SIZE_MAX:
        found.append(f"max_script_size={settings.max_script_size}")
    return ",".join(found) or _NOTHING


def _retention(settings: Settings) -> Mapping[str, str]:
    """Return how long ended jobs stay on record, as slurmdbd would say it."""
    days = f"{settings.history_days:g} days" if settings.history_days else "NONE"
    is_archived = settings.history_archive and settings.history_days
    return {"PurgeJobAfter": days, "ArchiveJobs": "Yes" if is_archived else "No"}


def _priorities(settings: Settings, machine: Machine) -> Mapping[str, str]:
    """Return what says which jobs go first."""
    times = machine.priority_times
    return {
        "PriorityCalcPeriod": _span(times.calc_period_s),
        "PriorityDecayHalfLife": _span(times.half_life_s),
        "PriorityFavorSmall": "Yes" if settings.priority_favor_small else "No",
        "PriorityMaxAge": _span(times.max_age_s),
        "PriorityType": f"priority/{settings.priority_type}",
        "PriorityUsageResetPeriod": settings.priority_usage_reset_period,
        "PriorityWeightAge": str(settings.priority_weight_age),
        "PriorityWeightAssoc": str(settings.priority_weight_assoc),
        "PriorityWeightFairShare": str(settings.priority_weight_fairshare),
        "PriorityWeightJobSize": str(settings.priority_weight_job_size),
        "PriorityWeightPartition": str(settings.priority_weight_partition),
        "PriorityWeightQOS": str(settings.priority_weight_qos),
        "PriorityWeightTRES": settings.priority_weight_tres or _NOTHING,
    }


def _span(seconds: float) -> str:
    return "UNLIMITED" if seconds == FOREVER else format_duration(seconds)
