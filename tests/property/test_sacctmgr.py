"""Whatever is said to sacctmgr, the account book stays whole and nothing breaks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.commands.sacctmgr import sacctmgr
from stoker.core.accounts import ROOT
from stoker.core.units import NotationError, format_tres, parse_tres
from support.controller import ROOT as SUPERUSER
from support.controller import FakeController, call_of, converse

_NAMES = st.sampled_from(["a", "b", "c", "root", "alice", "normal", "'A b'", "x[1-3]", "", "é"])
_KEYS = st.sampled_from(
    [
        "account",
        "user",
        "name",
        "parent",
        "fairshare",
        "qos",
        "maxjobs",
        "grptres",
        "maxwall",
        "defaultaccount",
        "adminlevel",
        "description",
        "flags",
        "priority",
        "preempt",
        "where=",
        "format",
        "usagefactor",
    ]
)
_VALUES = st.one_of(
    _NAMES,
    st.sampled_from(["-1", "0", "5", "cpu=4,mem=1G", "2-0", "parent", "operator", "+a", "99" * 40]),
    st.text(max_size=6),
)
_WORDS = st.one_of(
    _NAMES,
    st.sampled_from(["where", "set", "withassoc", "tree"]),
    st.tuples(_KEYS, st.sampled_from(["=", "+=", "-="]), _VALUES).map("".join),
)
_LINES = st.tuples(
    st.sampled_from(["add", "modify", "delete", "show", "load", "dump"]),
    st.sampled_from(["account", "user", "qos", "cluster", "coordinator", "job", "assoc", "trans"]),
    st.lists(_WORDS, max_size=5),
)


@settings(max_examples=200)
@given(st.lists(_LINES, min_size=1, max_size=6))
def test_no_words_break_the_book(lines: list[tuple[str, str, list[str]]]) -> None:
    controller = FakeController()
    for action, entity, words in lines:
        call = call_of("sacctmgr", "-i", "-P", action, entity, *words, owner=SUPERUSER)
        heard = converse(sacctmgr(call, controller), replies=lambda _: ProgramEnded())
        assert heard.code in (0, 1)
        book = controller.book()
        assert sum(1 for _ in book.tree()) == len(book.associations)
        assert book.association(ROOT, ROOT) is not None
        assert "normal" in book.qos


class ProgramEnded:
    """A program that wrote what it was told."""

    code = signal = errno = 0


_AMOUNTS = st.dictionaries(
    st.sampled_from(["cpu", "mem", "node", "billing", "fs/disk", "gres/gpu", "license/x"]),
    st.integers(min_value=0, max_value=2**40),
    min_size=1,
)


@given(_AMOUNTS)
def test_amounts_of_resources_are_read_as_they_are_printed(amounts: dict[str, int]) -> None:
    assert parse_tres(format_tres(amounts)) == amounts


@given(st.text(max_size=30))
def test_no_text_breaks_the_reader_of_amounts(text: str) -> None:
    try:
        found = parse_tres(text)
    except NotationError:
        return
    assert all(amount >= -1 for amount in found.values())
