"""Host lists, against the recordings and at their edges."""

from __future__ import annotations

import pytest

from stoker.core.units import NotationError, compress_hosts, expand_hosts
from support.recordings import cases, parameters


def _recorded(word):
    return [
        case
        for file in ("misc", "scontrol")
        for case in cases(file)
        if "hostlist" in case["topic"]
        and isinstance(case["cmd"], list)
        and case["cmd"][1:3] == ["show", word]
        and len(case["cmd"]) == 4
        # A name with a slash is a file of names, and - means nothing to us.
        and not set("/") & set(case["cmd"][3])
    ]


@pytest.mark.parametrize("case", parameters(_recorded("hostnames")))
def test_a_recorded_list_expands_as_scontrol_expands_it(case):
    text = case["cmd"][3]
    if "Invalid hostlist" in case["stderr"]:
        with pytest.raises(NotationError):
            expand_hosts(text)
    else:
        assert expand_hosts(text) == case["stdout"].split("\n")[:-1]


@pytest.mark.parametrize("case", parameters(_recorded("hostlist")))
def test_recorded_names_are_joined_as_scontrol_joins_them(case):
    names = expand_hosts(case["cmd"][3])
    assert compress_hosts(names) == case["stdout"].removesuffix("\n")


@pytest.mark.parametrize("case", parameters(_recorded("hostlistsorted")))
def test_recorded_names_are_sorted_as_scontrol_sorts_them(case):
    names = expand_hosts(case["cmd"][3])
    assert compress_hosts(names, sort=True) == case["stdout"].removesuffix("\n")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("node[1-3,07],gpu1", ["node1", "node2", "node3", "node07", "gpu1"]),
        ("a[1-2]b[3-4]", ["a1b3", "a1b4", "a2b3", "a2b4"]),
        ("n[098-101]", ["n098", "n099", "n100", "n101"]),
        ("", []),
        (" , ", []),
    ],
)
def test_brackets_multiply_and_keep_their_zeros(text, names):
    assert expand_hosts(text) == names


@pytest.mark.parametrize(
    "text", ["a[3-1]", "a[x]", "a[1,,2]", "a[]", "a[1]b", "a[1-2-3]", "a[-1]", "a[٣]"]
)
def test_what_is_no_list_is_refused_by_name(text):
    with pytest.raises(NotationError, match="cannot read the host list"):
        expand_hosts(text)


@pytest.mark.parametrize(
    "text",
    [
        "n[1-65537]",
        "n[1-999999999999999999]",
        "n[1-300][1-300]",
        "n[" + ",".join(["1-65536"] * 1000) + "]",
        "n" + "[1-9]" * 60,
        "n[1-40000],m[1-40000]",
    ],
)
def test_a_few_characters_cannot_fill_the_memory(text):
    with pytest.raises(NotationError, match="more than 65536 names"):
        expand_hosts(text)


def test_a_number_beyond_counting_is_part_of_the_name():
    long = "n" + "9" * 6000
    assert compress_hosts([long]) == long


def test_few_letters_do_not_become_many_long_names() -> None:
    with pytest.raises(NotationError, match="more than 65536 names"):
        expand_hosts("x" * 100_000 + "[1-60000]")
    assert len(expand_hosts("x" * 60 + "[1-60000]")) == 60_000
