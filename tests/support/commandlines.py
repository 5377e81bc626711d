"""Command lines at random, of which a command must make something or refuse them."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from stoker.commands.options import Option


def random_words(options: Iterable[Option]) -> st.SearchStrategy[str]:
    """Return a strategy for single words: any text, and options with and without a value."""
    names = st.sampled_from([f"--{option.long}" for option in options])
    return st.one_of(
        st.text(max_size=12), names, st.builds("{}={}".format, names, st.text(max_size=12))
    )
