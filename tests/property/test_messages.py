from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.messages import Draft, Submit, Surroundings

words = st.binary(max_size=20).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)


@given(st.lists(words), st.binary(max_size=50))
def test_a_draft_brings_every_word_whatever_its_bytes(line, script):
    draft = Draft.of(line, script, key="k")
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(draft), type=Draft)
    assert again.words == tuple(line)
    assert again.script == script


@given(words, st.lists(words), st.integers(0, 0o777))
def test_surroundings_come_back_as_they_were(work_dir, environment, umask):
    around = Surroundings.of(work_dir, environment, umask, {"core": (0, -1)})
    body = msgspec.msgpack.encode(Submit(drafts=(), surroundings=around))
    again = msgspec.msgpack.decode(body, type=Submit).surroundings
    assert again.work_dir == work_dir
    assert again.environment == tuple(environment)
    assert again.umask == umask
    assert again.rlimits == {"core": (0, -1)}
