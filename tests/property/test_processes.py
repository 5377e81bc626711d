"""/proc/PID/stat is read whatever a process calls itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stoker.core.processes import Stat, parse_stat

TAIL = " S 1 %d %d 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 %d 1000 200" + " 7" * 28


@given(
    name=st.binary(max_size=15),
    pid=st.integers(1, 1 << 22),
    session=st.integers(0, 1 << 22),
    ticks=st.integers(0, 1 << 62),
)
def test_the_name_may_hold_anything(name, pid, session, ticks):
    text = b"%d (%s)" % (pid, name) + (TAIL % (pid, session, ticks)).encode()
    assert parse_stat(text) == Stat(session=session, start_ticks=ticks)


def test_one_in_the_midst_of_an_exec_is_told_from_those_that_have_no_memory():
    text = "1 (sh) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 %d 200" + " 7" * 26 + " %d 0"
    assert not parse_stat((text % (1000, 5)).encode()).is_in_exec
    assert parse_stat((text % (1000, 0)).encode()).is_in_exec
    assert not parse_stat((text % (0, 0)).encode()).is_in_exec
