"""The table that sbatch, srun and salloc share."""

from __future__ import annotations

import pytest

from stoker.commands.joboptions import SALLOC, SBATCH, SRUN
from stoker.commands.options import parse


@pytest.mark.parametrize(
    ("name", "value"),
    [("signal", "B:TERM@60"), ("gpus", "a100:2"), ("nodes", "1-2"), ("cpu-freq", "1-2:powersave")],
)
def test_an_argument_with_brackets_in_its_name_is_not_one_that_may_be_left_out(name, value):
    asked = parse("sbatch", SBATCH, [f"--{name}", value, "script"])
    assert (asked.last(name), asked.operands) == (value, ["script"])


@pytest.mark.parametrize("name", ["exclusive", "nice", "propagate"])
def test_brackets_around_all_of_an_argument_say_that_it_may_be_left_out(name):
    asked = parse("sbatch", SBATCH, [f"--{name}", "script"])
    assert (asked.last(name), asked.operands) == ("", ["script"])


@pytest.mark.parametrize("table", [SBATCH, SRUN, SALLOC])
def test_help_shows_arguments_with_their_brackets_in_pairs(table):
    for option in table:
        assert option.value.count("[") == option.value.count("]"), option
