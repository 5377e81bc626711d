"""What the code declares is on the pages, and what is on the pages is true."""

from __future__ import annotations

import re
import tomllib

import click
import msgspec
import pytest

from docs import errors, options, states
from docs.passages import PASSAGES, names_in, pages, renewed
from stoker.cli.names import SLURM_NAMES
from stoker.cli.people.group import SECTIONS, stoker
from stoker.commands.table import COMMANDS
from stoker.core.enums import JobState, Reason
from stoker.core.hardware import Detected
from stoker.core.lifecycle import TRANSITIONS
from stoker.core.machine import machine_of
from stoker.core.settings import (
    RESERVED_NAMES,
    PartitionSettings,
    Settings,
    load_settings,
    setting_fields,
)
from support.project import ROOT, SOURCE, chapter, first_cells, page

PEOPLE = [name for section in SECTIONS.values() for name in section]


def in_code(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))


# What is printed.


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_what_is_printed_on_a_page_is_what_the_code_declares(path):
    text = path.read_text(encoding="utf-8")
    assert renewed(text) == text, f"{path.name} is stale: `make docs` prints it anew"


def test_each_passage_stands_on_one_page():
    found = [name for path in pages() for name in names_in(path.read_text(encoding="utf-8"))]
    assert sorted(found) == sorted(PASSAGES)


# Settings.


def test_every_setting_is_documented_with_its_variable():
    table = chapter(page("docs/settings.md"), "## All settings")
    names = [field.name for field in setting_fields()]
    assert first_cells(table) == [f"`{name}`" for name in names]
    assert {f"STOKER_{name.upper()}" for name in names} <= in_code(table)


def test_everything_that_a_partition_may_say_is_documented():
    table = chapter(page("docs/settings.md"), "## Partitions")
    names = [field.name for field in msgspec.structs.fields(PartitionSettings)]
    assert first_cells(table) == [f"`{name}`" for name in names]


def test_the_file_to_start_from_makes_a_machine(tmp_path):
    [example] = re.findall(r"```toml\n(.*?)```", page("docs/settings.md"), re.DOTALL)
    (tmp_path / "stoker.toml").write_text(example)
    settings = load_settings(tmp_path, {})
    machine = machine_of(settings, Detected(tuple(range(32)), 128 << 10, "host"))
    assert (machine.cpus, machine.memory_mib, machine.warnings) == (30, 120 << 10, ())
    assert [(each.name, each.is_default) for each in machine.partitions] == [
        ("day", True),
        ("short", False),
    ]
    assert set(tomllib.loads(example)) < {each.name for each in msgspec.structs.fields(Settings)}


def test_the_partitions_in_the_environment_are_read_as_the_page_writes_them(tmp_path):
    [value] = re.findall(r"`STOKER_PARTITIONS='(.+)'`", page("docs/settings.md"))
    [partition] = load_settings(tmp_path, {"STOKER_PARTITIONS": value}).partitions
    assert (partition.name, partition.max_time) == ("short", "30")


def test_every_variable_that_the_source_names_is_documented():
    documented = in_code(page("docs/settings.md"))
    assert {f"STOKER_{name}" for name in RESERVED_NAMES} <= documented
    for path in SOURCE.rglob("*.py"):
        for name in re.findall(r"(?<![A-Z_])STOKER_[A-Z][A-Z_]*[A-Z]", path.read_text()):
            assert name in documented, f"{path.relative_to(ROOT)} names {name}"


# Commands and options.


def test_every_command_of_slurms_that_is_served_is_documented():
    text = chapter(page("docs/options.md"), "## Slurm's commands")
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == set(COMMANDS)
    assert set(COMMANDS) >= set(SLURM_NAMES)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_of_a_command_is_documented_in_words(name):
    text = chapter(page("docs/options.md"), f"### {name}")
    cells = first_cells(text)
    assert len(cells) == len(options.TABLES[name])
    for option in options.TABLES[name]:
        assert option.help, f"--{option.long} of {name} is not explained"
        assert any(re.search(rf"--{option.long}[`=\[]", cell) for cell in cells), option.long


@pytest.mark.parametrize("name", PEOPLE)
def test_every_command_for_people_has_help_with_examples(name):
    command = stoker.get_command(click.Context(stoker), name)
    assert command is not None
    below = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for each in below:
        assert each.help, f"{name} has no help"
        assert "Examples:" in each.help, f"{name} has no examples"
        for parameter in each.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{parameter.opts} of {name} is not explained"


def test_the_readme_names_every_command():
    cells = first_cells(chapter(page("README.md"), "## Commands"))
    people = {name for cell in cells if "`stoker " in cell for name in in_code(cell)}
    assert {name.removeprefix("stoker ") for name in people} == set(PEOPLE)
    slurm = {name.split()[0] for cell in cells if "`stoker " not in cell for name in in_code(cell)}
    assert slurm == {*SLURM_NAMES, "slurmrestd"}


# States and errors.


def test_the_diagram_has_each_way_of_the_transition_table_and_no_other():
    [diagram] = re.findall(r"```mermaid\n(.*?)```", page("docs/states.md"), re.DOTALL)
    boxes = {
        name: re.findall(r"\w+", inside)
        for name, inside in re.findall(r"as (\w+) \{\n(.*?)\n    \}", diagram, re.DOTALL)
    }
    arrows = re.findall(r"^    (\w+) --> (\w+): (\w+)$", diagram, re.MULTILINE)
    drawn = [
        (source, event, target)
        for left, target, event in arrows
        for source in boxes.get(left, [left])
    ]
    reached = states.reached()
    ways = {(s, e, to) for (s, e), to in TRANSITIONS.items() if s in reached}
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == ways


def test_every_state_and_every_reason_is_documented():
    text = page("docs/states.md")
    assert first_cells(chapter(text, "## States")) == [f"`{state}`" for state in JobState]
    assert first_cells(chapter(text, "## Reasons")) == [f"`{reason}`" for reason in Reason]


def test_the_exit_codes_that_say_that_there_was_none_are_documented():
    assert {"-999:0", "-998:0"} <= in_code(chapter(page("docs/states.md"), "## Exit codes"))


def test_every_error_is_in_the_tree_with_a_sentence():
    tree = chapter(page("docs/errors.md"), "## The tree")
    told = dict(re.findall(r"^ *(\w+)  +(\S.*)$", tree, re.MULTILINE))
    assert set(told) == {kind.__name__ for kind in errors.all_errors()}


# Failpoints.


def test_every_failpoint_in_the_source_is_documented_and_no_other():
    used = {
        name
        for path in SOURCE.rglob("*.py")
        for name in re.findall(r'(?<!def )\bhit\("([\w.-]+)"\)', path.read_text())
    }
    text = page("docs/failpoints.md").partition("## In the daemon")[2]
    assert {cell.strip("`") for cell in first_cells(text)} == used
