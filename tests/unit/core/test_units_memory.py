"""Amounts of memory, against the recordings and at their edges."""

from __future__ import annotations

import pytest

from stoker.core.units import NotationError, format_memory, format_size, parse_memory
from support.recordings import cases, parameters

_RECORDED = [
    case
    for case in cases("misc")
    if case["topic"].startswith("notation: memory") and case["cmd"][1].startswith("--mem=")
]
_CHECKED = [case for case in cases("sbatch") if case["id"].startswith("sbatch-e-mem-")]


@pytest.mark.parametrize("case", parameters(_RECORDED))
def test_a_recorded_amount_is_read_and_printed_as_squeue_does(case):
    text = case["cmd"][1].removeprefix("--mem=")
    if case["rc"] == 255:
        with pytest.raises(NotationError):
            parse_memory(text)
    elif case["rc"] == 0:
        shown = next(then["stdout"] for then in case["then"] if "stdout" in then)
        assert format_memory(parse_memory(text)) == shown.strip()


@pytest.mark.parametrize("case", parameters(_CHECKED))
def test_what_sbatch_refuses_is_refused_and_what_it_takes_is_taken(case):
    text = case["cmd"][1].partition("=")[2]
    if case["rc"] == 255:
        with pytest.raises(NotationError):
            parse_memory(text)
    else:
        parse_memory(text)


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("100", 100),
        ("5m", 5),
        ("1K", 1),
        ("1025K", 2),
        ("2G", 2048),
        ("8GB", 8192),
        ("1T", 1 << 20),
        ("0", 0),
    ],
)
def test_an_amount_counts_in_mebibytes_rounded_up(text, mib):
    assert parse_memory(text) == mib


def test_a_number_alone_counts_in_the_unit_that_was_named():
    assert parse_memory("3", "G") == 3072
    assert parse_memory("3M", "G") == 3


@pytest.mark.parametrize("text", ["", "-1", "1.5G", "1e3", "1X", "G", "100B", "1 G", "٣", "9" * 30])
def test_what_is_no_amount_is_refused_by_name(text):
    with pytest.raises(NotationError, match="cannot read the memory") as caught:
        parse_memory(text)
    assert caught.value.text == text


def test_what_no_machine_has_is_refused():
    with pytest.raises(NotationError, match="more than any machine has"):
        parse_memory("999999999999999999P")


@pytest.mark.parametrize(
    ("mib", "text"),
    [(0, "0"), (1000, "1000M"), (1024, "1G"), (1536, "1.50G"), (16000, "16000M"), (1 << 20, "1T")],
)
def test_a_unit_grows_while_nothing_is_lost(mib, text):
    assert format_memory(mib) == text


@pytest.mark.parametrize(
    ("unit", "text"),
    [("K", "307200K"), ("M", "300M"), ("G", "0.29G"), ("T", "0.00T"), ("p", "0.00P")],
)
def test_sacct_prints_in_the_unit_that_was_asked_for(unit, text):
    assert format_memory(300, unit=unit) == text


def test_noconvert_leaves_the_number_alone():
    assert format_memory(2048, convert=False) == "2048M"


def test_a_size_in_bytes_prints_as_a_resident_set():
    assert format_size(126_928 * 1024) == "126928K"
    assert format_size(126_928 * 1024, unit="M") == "123.95M"
    assert format_size(3, "G") == "3G"
