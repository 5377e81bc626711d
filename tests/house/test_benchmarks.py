"""The benchmarks: each is on their page and in the run of all, and their arithmetic is right."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.__main__ import PROGRAMS
from bench.growth import Curve, curves, exponent, picture
from bench.house import is_met

ROOM = Path(__file__).resolve().parents[2]
HELPERS = {"__init__", "__main__", "house", "inside", "growth"}


def test_every_benchmark_is_on_the_page_and_in_the_run_of_all():
    programs = {path.stem for path in (ROOM / "bench").glob("*.py")} - HELPERS
    page = (ROOM / "bench" / "README.md").read_text(encoding="utf-8")
    assert programs == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert programs == {program.name for program in PROGRAMS}


@pytest.mark.parametrize(
    ("value", "budget", "met"),
    [(3.0, "<= 3", True), (3.1, "<= 3", False), (5.0, "< 5", False), (0.6, ">= 0.6", True)],
)
def test_a_budget_is_met_or_not(value, budget, met):
    assert is_met({"value": value, "budget": budget}) is met


@pytest.mark.parametrize(("power", "unit"), [(0.0, 3.0), (0.5, 2.0), (1.0, 0.1), (2.0, 1e-6)])
def test_the_exponent_is_that_of_the_power_law(power, unit):
    values = {count: unit * count**power for count in (1_000, 10_000, 100_000)}
    assert exponent(values) == pytest.approx(power)


def test_the_picture_shows_what_was_measured_at_several_lengths():
    figures = [
        {"name": "1000 jobs wait: a turn after one end", "value": 0.3, "unit": "ms"},
        {"name": "1000000 tasks wait: a turn after one end", "value": 0.4, "unit": "ms"},
        {"name": "1000 waiting: restart to first launch", "value": 0.5, "unit": "s"},
        {"name": "100000 waiting: restart to first launch", "value": 2.5, "unit": "s"},
        {"name": "1000 waiting: squeue -j", "value": 9.0, "unit": "ms"},
        {"name": "1000 waiting: memory a waiting job", "value": 1.0, "unit": "KiB"},
    ]
    found = curves([{"figures": figures}])
    assert found == [
        Curve("a turn after one end", [(1000, 0.3), (1_000_000, 0.4)]),
        Curve("restart to first launch", [(1000, 500.0), (100_000, 2500.0)]),
    ]
    drawn = ElementTree.fromstring(picture(found))
    assert len(drawn.findall("{*}polyline")) == 2
    assert len(drawn.findall("{*}circle")) == 4
