"""Dependencies, against the recordings and at their edges."""

from __future__ import annotations

import pytest

from stoker.core.units import (
    Condition,
    Dependency,
    NotationError,
    format_dependency,
    parse_dependency,
    show_dependency,
)
from support.recordings import cases, parameters

_CHECKED = [case for case in cases("sbatch") if case["id"].startswith("sbatch-e-dep-")]


@pytest.mark.parametrize("case", parameters(_CHECKED))
def test_what_sbatch_refuses_is_refused_and_what_it_takes_is_taken(case):
    text = next(word for word in case["cmd"] if word.startswith("--dependency=")).partition("=")[2]
    if case["rc"]:
        with pytest.raises(NotationError):
            parse_dependency(text)
    else:
        assert parse_dependency(text).conditions


@pytest.mark.parametrize(
    ("text", "any_of", "conditions"),
    [
        (
            "afterok:1:2,afterany:3",
            False,
            [Condition("afterok", 1), Condition("afterok", 2), Condition("afterany", 3)],
        ),
        ("afterok:1?afternotok:2", True, [Condition("afterok", 1), Condition("afternotok", 2)]),
        ("after:5+10", False, [Condition("after", 5, delay_min=10)]),
        (
            "after:5+10:7+3",
            False,
            [Condition("after", 5, None, 10), Condition("after", 7, None, 3)],
        ),
        ("singleton", False, [Condition("singleton")]),
        ("AfterOK:12_3", False, [Condition("afterok", 12, 3)]),
        ("aftercorr:7", False, [Condition("aftercorr", 7)]),
        ("afterok:12_*", False, [Condition("afterok", 12, is_array=True)]),
        ("58", False, [Condition("afterany", 58)]),
        ("58:59_2", False, [Condition("afterany", 58), Condition("afterany", 59, 2)]),
        ("afterok:60:60", False, [Condition("afterok", 60)]),
        ("afterburstbuffer:4", False, [Condition("afterany", 4)]),
    ],
)
def test_conditions_are_read_in_order_and_come_back(text, any_of, conditions):
    found = parse_dependency(text)
    assert found == Dependency(any_of, tuple(conditions))
    assert parse_dependency(format_dependency(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "after",
        "afterok:",
        "afterok:0",
        "afterok:x",
        "afterok:1;2",
        "afterok:1+5",
        "afterok:1,afterok:2?afterok:3",
        "bogus:1",
        "expand:1",
        "singleton:1",
        "afterok:1,",
    ],
)
def test_what_is_no_dependency_is_refused_by_name(text):
    with pytest.raises(NotationError, match="cannot read the dependency") as caught:
        parse_dependency(text)
    assert caught.value.text == text


def test_conditions_show_what_is_still_missing():
    dependency = parse_dependency("afterok:58?afterany:58")
    assert show_dependency(dependency) == "afterok:58(unfulfilled)?afterany:58(unfulfilled)"
    assert show_dependency(parse_dependency("singleton")) == "singleton(unfulfilled)"
    assert show_dependency(None) == ""


def test_a_condition_on_an_array_shows_all_its_tasks():
    dependency = parse_dependency("aftercorr:38_*,afterok:52_2,after:38_*+1")
    words = {"aftercorr": "failed", "afterok": "", "after": "unfulfilled"}
    shown = show_dependency(dependency, lambda each: words[each.kind])
    assert shown == "aftercorr:38_*(failed),after:38_*+1(unfulfilled)"
