"""Slurm's names for what is configured here, as ``scontrol show config`` lists them."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.core.models import FOREVER
from stoker.core.settings import Machine, Settings
from stoker.core.units import format_duration


def slurm_configuration(settings: Settings, machine: Machine) -> Mapping[str, str]:
    """Return parameter and value, in the order of the alphabet."""
    found = {
        "AccountingStorageEnforce": settings.accounting_storage_enforce,
        "AccountingStorageType": "accounting_storage/stoker",
        "BatchStartTimeout": "10 sec",
        "ClusterName": settings.cluster_name,
        "DefMemPerCPU": str(machine.default_mem_per_cpu_mib),
        "EnforcePartLimits": "NO",
        "JobRequeue": str(int(settings.job_requeue)),
        "KillWait": f"{settings.kill_wait_s:g} sec",
        "MailProg": settings.mail_prog or "(null)",
        "MaxArraySize": str(settings.max_array_size),
        "MaxJobCount": str(settings.max_job_count),
        "MaxTasksPerNode": "512",
        "MinJobAge": f"{settings.min_job_age_s:g} sec",
        "SchedulerType": "sched/backfill",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CORE_MEMORY",
        "TaskPlugin": "task/affinity" if machine.binds_cores else "task/none",
        "SlurmctldHost[0]": machine.nodes[0].name,
        "max_script_size": str(settings.max_script_size),
        **_priorities(settings, machine),
    }
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


def _priorities(settings: Settings, machine: Machine) -> Mapping[str, str]:
    """Return what says which jobs go first."""
    times = machine.priority_times
    return {
        "PriorityCalcPeriod": _span(times.calc_period_s),
        "PriorityDecayHalfLife": _span(times.half_life_s),
        "PriorityFavorSmall": "Yes" if settings.priority_favor_small else "No",
        "PriorityFlags": "",
        "PriorityMaxAge": _span(times.max_age_s),
        "PriorityParameters": "(null)",
        "PrioritySiteFactorParameters": "(null)",
        "PrioritySiteFactorPlugin": "(null)",
        "PriorityType": f"priority/{settings.priority_type}",
        "PriorityUsageResetPeriod": settings.priority_usage_reset_period,
        "PriorityWeightAge": str(settings.priority_weight_age),
        "PriorityWeightAssoc": str(settings.priority_weight_assoc),
        "PriorityWeightFairShare": str(settings.priority_weight_fairshare),
        "PriorityWeightJobSize": str(settings.priority_weight_job_size),
        "PriorityWeightPartition": str(settings.priority_weight_partition),
        "PriorityWeightQOS": str(settings.priority_weight_qos),
        "PriorityWeightTRES": settings.priority_weight_tres or "(null)",
    }


def _span(seconds: float) -> str:
    return "UNLIMITED" if seconds == FOREVER else format_duration(seconds)
