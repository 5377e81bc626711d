"""Slurm's names for what is configured here, as ``scontrol show config`` lists them."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.core.settings import Machine, Settings


def slurm_configuration(settings: Settings, machine: Machine) -> Mapping[str, str]:
    """Return parameter and value, in the order of the alphabet."""
    found = {
        "AccountingStorageType": "accounting_storage/stoker",
        "BatchStartTimeout": "10 sec",
        "ClusterName": settings.cluster_name,
        "DefMemPerCPU": str(machine.default_mem_per_cpu_mib),
        "EnforcePartLimits": "NO",
        "JobRequeue": str(int(settings.job_requeue)),
        "KillWait": f"{settings.kill_wait_s:g} sec",
        "MaxArraySize": str(settings.max_array_size),
        "MaxJobCount": str(settings.max_job_count),
        "MaxTasksPerNode": "512",
        "MinJobAge": f"{settings.min_job_age_s:g} sec",
        "PriorityType": f"priority/{settings.priority_type}",
        "SchedulerType": "sched/backfill",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CORE_MEMORY",
        "TaskPlugin": "task/affinity" if machine.binds_cores else "task/none",
        "SlurmctldHost[0]": machine.nodes[0].name,
        "max_script_size": str(settings.max_script_size),
    }
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))
