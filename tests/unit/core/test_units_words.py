"""Signals, exit codes and generic resources."""

from __future__ import annotations

import pytest

from stoker.core.errors import UserError
from stoker.core.units import (
    NotationError,
    format_exit_code,
    parse_exit_code,
    parse_gres,
    parse_signal,
    signal_name,
)


@pytest.mark.parametrize("text", ["TERM", "SIGTERM", "sigterm", "term", "15"])
def test_a_signal_goes_by_name_or_number(text):
    assert parse_signal(text) == 15
    assert signal_name(15) == "TERM"


def test_a_signal_without_a_name_prints_its_number():
    assert signal_name(40) == "40"


@pytest.mark.parametrize("text", ["", "FOO", "-9", "65", "SIG", "9" * 5000, "٩", "SIG_IGN"])
def test_what_is_no_signal_is_refused_by_name(text):
    with pytest.raises(NotationError, match="cannot read the signal"):
        parse_signal(text)


@pytest.mark.parametrize(
    ("text", "parts"), [("3:0", (3, 0)), ("0:9", (0, 9)), ("-999:0", (-999, 0))]
)
def test_an_exit_code_comes_back(text, parts):
    assert parse_exit_code(text) == parts
    assert format_exit_code(*parts) == text


def test_an_exit_code_without_a_signal_has_none():
    assert parse_exit_code("3") == (3, 0)


@pytest.mark.parametrize("text", ["", "a", "1:2:3", "1:"])
def test_what_is_no_exit_code_is_refused(text):
    with pytest.raises(NotationError):
        parse_exit_code(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpu:2,fpga:tesla:1", [("fpga:tesla", 1), ("gpu", 2)]),
        ("gpu", [("gpu", 1)]),
        ("gpu:tesla", [("gpu:tesla", 1)]),
        ("gpu:1,gpu:2", [("gpu", 3)]),
        ("gres:gpu:2", [("gpu", 2)]),
        ("gres/gpu=2", [("gpu", 2)]),
        ("bandwidth:2K", [("bandwidth", 2048)]),
        ("gpu:0", []),
        ("none", []),
        ("", []),
    ],
)
def test_generic_resources_are_sorted_pairs(text, found):
    assert parse_gres(text) == found


@pytest.mark.parametrize("text", ["abc:def:ghi:1", "gpu:-1", ":2", "gpu:,fpga", "gpu:1.5", "a b"])
def test_what_is_no_resource_is_refused_by_name(text):
    with pytest.raises(NotationError, match="cannot read the gres") as caught:
        parse_gres(text)
    assert isinstance(caught.value, UserError)
    assert caught.value.text == text
