"""Settings from defaults, file, environment and flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stoker.core.hardware import detect
from stoker.core.settings import (
    PartitionSettings,
    Settings,
    SettingsError,
    describe_settings,
    load_settings,
)


@pytest.fixture
def home(tmp_path):
    return tmp_path


def write(home: Path, text: str) -> None:
    (home / "stoker.toml").write_text(text)


def test_without_anything_the_defaults_hold(home):
    assert load_settings(home, {}) == Settings()


def test_the_file_is_overruled_by_the_environment_and_that_by_flags(home):
    write(home, 'total_cpus = 2\nkill_wait_s = 1.5\ncluster_name = "file"\n')
    environment = {"STOKER_TOTAL_CPUS": "3", "STOKER_CLUSTER_NAME": "environment"}
    found = load_settings(home, environment, {"total_cpus": "4"})
    assert (found.total_cpus, found.cluster_name, found.kill_wait_s) == (4, "environment", 1.5)


def test_a_configuration_elsewhere_is_named_by_a_variable(home, tmp_path):
    elsewhere = tmp_path / "other.toml"
    elsewhere.write_text("total_cpus = 7")
    write(home, "total_cpus = 2")
    assert load_settings(home, {"STOKER_CONFIG": str(elsewhere)}).total_cpus == 7


def test_a_configuration_that_is_named_must_be_there(home):
    with pytest.raises(SettingsError, match="STOKER_CONFIG names it"):
        load_settings(home, {"STOKER_CONFIG": str(home / "none.toml")})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("total_cpu = 2", "total_cpu"),
        ('total_cpus = "many"', "total_cpus"),
        ("total_cpus = -1", "total_cpus"),
        ("total_cpus = ", "stoker.toml"),
        ("max_array_size = 99999999", "max_array_size"),
        ('[[partitions]]\nname = "a"\nnodse = "n1"', "nodse"),
        ('[[partitions]]\nname = ""', "partitions"),
        ('[[partitions]]\nname = "a"\nstate = "ASLEEP"', "state"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(home, text, named):
    write(home, text)
    with pytest.raises(SettingsError, match=named):
        load_settings(home, {})


def test_a_file_that_is_no_text_is_refused(home):
    (home / "stoker.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"stoker\.toml"):
        load_settings(home, {})


@pytest.mark.parametrize(
    ("value", "expected"),
    [("yes", True), ("No", False), ("true", True), ("false", False), ("1", True), ("0", False)],
)
def test_a_switch_may_be_said_in_each_usual_way(home, value, expected):
    assert load_settings(home, {"STOKER_JOB_REQUEUE": value}).job_requeue is expected


def test_a_name_may_be_no(home):
    assert load_settings(home, {"STOKER_CLUSTER_NAME": "no"}).cluster_name == "no"


def test_an_empty_variable_says_nothing(home):
    write(home, "total_cpus = 2")
    found = load_settings(home, {"STOKER_TOTAL_CPUS": "", "STOKER_CLUSTER_NAME": ""})
    assert (found.total_cpus, found.cluster_name) == (2, "stoker")


def test_a_typo_in_a_variable_does_not_pass_for_the_default(home):
    with pytest.raises(SettingsError, match="did you mean STOKER_TOTAL_CPUS"):
        load_settings(home, {"STOKER_TOTAL_CPU": "2"})


@pytest.mark.parametrize(
    "name", ["STOKER_HOME", "STOKER_FAILPOINTS", "STOKER_MY_OWN_THING", "TOTAL"]
)
def test_other_variables_are_nobodys_business(home, name):
    assert load_settings(home, {name: "x"}) == Settings()


def test_partitions_may_come_by_variable(home):
    stated = json.dumps([{"name": "short", "max_time": "10"}])
    found = load_settings(home, {"STOKER_PARTITIONS": stated})
    assert found.partitions == (PartitionSettings(name="short", max_time="10"),)
    with pytest.raises(SettingsError, match="write a JSON list"):
        load_settings(home, {"STOKER_PARTITIONS": "short"})


def test_every_setting_is_described():
    described = describe_settings()
    assert {name for name, _, _ in described} == set(Settings.__struct_fields__)
    assert len(described) == len(Settings.__struct_fields__)
    assert all(text.endswith(".") for _, _, text in described)


def test_what_is_detected_is_what_there_is():
    found = detect()
    assert len(found.cpus) >= 1
    assert found.memory_mib > 0
    assert found.host
