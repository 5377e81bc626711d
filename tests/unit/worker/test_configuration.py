"""What is configured is shown under Slurm's names."""

from __future__ import annotations

from pathlib import Path

from stoker.core.hardware import Detected
from stoker.core.machine import machine_of
from stoker.core.settings import Settings
from stoker.worker.configuration import Place, slurm_configuration


def shown(**settings: object) -> dict[str, str]:
    stated = Settings(**settings)  # type: ignore[arg-type]
    machine = machine_of(stated, Detected((0, 1), 1000, "node1"))
    place = Place(Path("/var/stoker"), "alice(2001)", 7)
    return dict(slurm_configuration(stated, machine, place))


def test_what_is_set_is_shown_by_slurms_names() -> None:
    found = shown(
        gres="gpu:2",
        licenses="matlab:4",
        nodes="node[1-2]",
        kill_invalid_depend=True,
        batch_sched_delay_s=3,
        max_script_size=1000,
        history_days=30,
        log_level="DEBUG",
    )
    assert found["GresTypes"] == "gpu"
    assert found["Licenses"] == "matlab:4"
    assert (found["MaxNodeCount"], found["MULTIPLE_SLURMD"]) == ("2", "Yes")
    assert found["DependencyParameters"] == "kill_invalid_depend"
    assert found["SchedulerParameters"] == "batch_sched_delay=3,max_script_size=1000"
    assert (found["PurgeJobAfter"], found["ArchiveJobs"]) == ("30 days", "Yes")
    assert found["SlurmctldDebug"] == "debug"


def test_what_is_not_set_is_shown_as_slurm_shows_it() -> None:
    found = shown()
    unset = ("GresTypes", "Licenses", "DependencyParameters", "SchedulerParameters", "MailProg")
    assert {found[name] for name in unset} == {"(null)"}
    assert (found["PurgeJobAfter"], found["ArchiveJobs"]) == ("NONE", "No")
    assert found["MULTIPLE_SLURMD"] == "No"


def test_places_are_those_of_the_home_and_no_address_of_a_database_is_told() -> None:
    found = shown()
    assert found["StateSaveLocation"] == "/var/stoker"
    assert found["StorageLoc"] == "/var/stoker/stoker.db"
    assert (found["SlurmUser"], found["NEXT_JOB_ID"]) == ("alice(2001)", "7")
    assert shown(database_url="postgresql://me:secret@host/x")["StorageLoc"] == "(null)"


def test_priorities_are_shown_as_slurm_shows_them() -> None:
    found = shown(
        priority_type="multifactor",
        priority_weight_age=1000,
        priority_weight_tres="cpu=5",
        priority_max_age="1-12",
        priority_decay_half_life="0",
    )
    assert found["PriorityType"] == "priority/multifactor"
    assert found["PriorityWeightAge"] == "1000"
    assert found["PriorityWeightTRES"] == "cpu=5"
    assert found["PriorityCalcPeriod"] == "00:05:00"
    assert found["PriorityMaxAge"] == "1-12:00:00"
    assert found["PriorityDecayHalfLife"] == "UNLIMITED"
    assert shown()["PriorityWeightTRES"] == "(null)"
