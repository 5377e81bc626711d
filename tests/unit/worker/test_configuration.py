"""What is configured is shown under Slurm's names."""

from __future__ import annotations

from stoker.core.settings import Detected, Settings, machine_of
from stoker.worker.configuration import slurm_configuration


def shown(**settings: object) -> dict[str, str]:
    stated = Settings(**settings)  # type: ignore[arg-type]
    machine = machine_of(stated, Detected((0, 1), 1000, "node1"))
    return dict(slurm_configuration(stated, machine))


def test_parameters_stand_in_the_order_of_the_alphabet() -> None:
    names = list(shown())
    assert names == sorted(names, key=str.lower)


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
