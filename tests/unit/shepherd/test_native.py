from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.shepherd.native import Environment, Spawning, arguments

_names = st.text(st.characters(exclude_characters="=\0", exclude_categories=["Cs"]), min_size=1)
_values = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_variables = st.dictionaries(_names, _values, max_size=30)
_own = st.dictionaries(_names, st.none() | _values, max_size=30)


def entries(environment: Environment, own: dict[str, str | None]) -> list[str]:
    found = []
    for entry in environment.array(own):
        if entry is None:
            return found
        found.append(entry.decode("utf-8", "surrogateescape"))
    raise AssertionError("the array has no end")


@given(_variables, _own)
def test_an_array_holds_what_is_common_with_what_is_own_laid_over_it(variables, own) -> None:
    environment = Environment(variables)
    merged = {name: value for name, value in {**variables, **own}.items() if value is not None}
    assert environment.mapping(own) == merged
    assert sorted(entries(environment, own)) == sorted(f"{n}={v}" for n, v in merged.items())


def test_what_one_process_gets_stays_out_of_the_others() -> None:
    environment = Environment({"A": "1", "B": "2"})
    first = environment.array({"B": "own", "C": "new"})
    assert entries(environment, {}) == ["A=1", "B=2"]
    assert [each for each in first if each] == [b"A=1", b"B=own", b"C=new"]


def test_bytes_that_are_no_text_go_through() -> None:
    assert entries(Environment({"ODD": "\udcff"}), {}) == ["ODD=\udcff"]


@pytest.mark.parametrize("own", [{"A": "x\0y"}, {"A\0": "x"}, {"A=B": "x"}])
def test_what_cannot_stand_in_an_environment_is_refused(own) -> None:
    with pytest.raises(ValueError, match=r"NUL|name"):
        Environment({}).array(own)
    with pytest.raises(ValueError, match="NUL"):
        arguments(["fine", "x\0y"])


def test_a_process_gets_its_arguments_variables_and_streams(tmp_path: Path) -> None:
    out = os.open(tmp_path / "out", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    spawning = Spawning()
    argv = arguments(
        ["sh", "-c", 'echo "$0 $1 $OWN $COMMON"; test $$ = $(ps -o sid= $$)', "a", "b"]
    )
    environment = Environment({"COMMON": "c", "PATH": os.environ["PATH"]})
    for text in ("one", "two"):
        pid = spawning.spawn("/bin/sh", argv, environment.array({"OWN": text}), (null, out, out))
        assert os.waitpid(pid, 0)[1] == 0
    os.close(out)
    os.close(null)
    assert (tmp_path / "out").read_text() == "a b one c\na b two c\n"


def test_a_program_that_is_not_there_raises() -> None:
    with pytest.raises(FileNotFoundError):
        Spawning().spawn("/no/such", arguments(["x"]), Environment({}).array({}), (0, 1, 2))
