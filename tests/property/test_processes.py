"""/proc/PID/stat is read whatever a process calls itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stoker.core.processes import Stat, parse_stat

TAIL = " S 1 %d %d 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 %d 1000 200 18446744073709551615"


@given(
    name=st.binary(max_size=15),
    pid=st.integers(1, 1 << 22),
    session=st.integers(0, 1 << 22),
    ticks=st.integers(0, 1 << 62),
)
def test_the_name_may_hold_anything(name, pid, session, ticks):
    text = b"%d (%s)" % (pid, name) + (TAIL % (pid, session, ticks)).encode()
    assert parse_stat(text) == Stat(session=session, start_ticks=ticks)
