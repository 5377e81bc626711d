"""The notation of --licenses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.units import NotationError, parse_licenses


def test_names_are_added_up_and_count_one_if_they_do_not_say() -> None:
    assert parse_licenses("matlab:2,ansys,matlab") == [("ansys", 1), ("matlab", 3)]
    assert parse_licenses("a:1;b=2") == [("a", 1), ("b", 2)]
    assert parse_licenses("") == []


@pytest.mark.parametrize(
    "text", ["matlab:x", "matlab:0", "matlab|ansys", ",", ":3", "a:-1", "\u0663"]
)
def test_what_is_no_licence_is_refused(text: str) -> None:
    with pytest.raises(NotationError, match="licenses"):
        parse_licenses(text)


@given(st.dictionaries(st.from_regex("[a-z][a-z0-9_]{0,8}", fullmatch=True), st.integers(1, 999)))
def test_what_is_written_is_read(wanted: dict[str, int]) -> None:
    text = ",".join(f"{name}:{count}" for name, count in wanted.items())
    assert dict(parse_licenses(text)) == wanted
