from __future__ import annotations

from typing import Any

import pytest

from stoker.commands.multiprog import programs_of
from stoker.commands.submission import wishes_of
from stoker.commands.wishes import OptionError
from support.controller import call_of
from support.recordings import cases, parameters


def programs(text: str, ntasks: int, *more: str) -> tuple[tuple[str, ...], ...]:
    return programs_of(text, "conf", more, ntasks, wishes_of(call_of("srun")))


def test_tasks_are_named_by_number_range_list_and_star() -> None:
    text = "# what runs where\n\n0 first\n1-2,4 several %t %o\n3 'a b' c\n"
    assert programs(text, 5) == (
        ("first",),
        ("several", "1", "0"),
        ("several", "2", "1"),
        ("a b", "c"),
        ("several", "4", "2"),
    )
    assert programs("* all %t %o\n", 2) == (("all", "0", "0"), ("all", "1", "1"))


def test_a_backslash_goes_on_and_more_words_are_put_behind() -> None:
    assert programs("0 echo \\\na\n", 1, "more") == (("echo", "a", "more"),)


def is_replayed(case: dict[str, Any]) -> bool:
    return case["topic"] == "srun: multi-prog" and bool(case["stderr"]) and case["rc"] == 1


@pytest.mark.parametrize("case", parameters(each for each in cases("srun") if is_replayed(each)))
def test_refuses_in_slurms_words(case: dict[str, Any]) -> None:
    if "conf" not in (case.get("input_files") or {}):
        pytest.skip("the file is missed by srun itself")
    with pytest.raises(OptionError) as caught:
        programs(case["input_files"]["conf"], 3)
    assert caught.value.text == case["stderr"]
