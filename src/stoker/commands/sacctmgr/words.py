"""sacctmgr's words: ``name=alice``, ``qos+=high``, ``where``; keywords may be abbreviated.

Each keyword says how many of its letters are needed, and the first of a table that begins with
what was typed is meant: both are Slurm's, and more than one table has words that hide later ones.
Names are kept in small letters, as Slurm keeps them.

Source: sacctmgr(1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from stoker.core.units import NotationError, expand_hosts

T = TypeVar("T")


class Word(NamedTuple):
    """A word as it was typed, and taken apart: ``key`` is "" for one without an equals sign."""

    typed: str
    key: str
    sign: str
    value: str

    @property
    def is_bare(self) -> bool:
        """Whether it stands for itself."""
        return not self.key

    @property
    def text(self) -> str:
        """Return the value in small letters."""
        return self.value.lower()

    def names(self) -> list[str]:
        """Return the names that the value lists; ``user[1-3]`` are three."""
        if "[" in self.text:
            try:
                return expand_hosts(self.text)
            except NotationError:
                return [self.text]
        return [name for name in self.text.split(",") if name]

    def is_short_for(self, keyword: str, least: int) -> bool:
        """Whether it means this keyword, of which at least so many letters are needed."""
        typed = self.key or self.value.lower()
        return len(typed) >= least and keyword.lower().startswith(typed)


class Keyword(NamedTuple, Generic[T]):
    """What a keyword means, and how many letters of it are needed."""

    name: str
    least: int
    meaning: T


def find(word: Word, keywords: Iterable[Keyword[T]]) -> Keyword[T] | None:
    """Return the first keyword that a word is short for."""
    return next((each for each in keywords if word.is_short_for(each.name, each.least)), None)


def read_word(typed: str) -> Word:
    """Take a word apart."""
    key, equals, value = typed.partition("=")
    if not equals or not key:
        return Word(typed, "", "", _unquoted(typed))
    sign = key[-1] if key[-1] in "+-" else ""
    return Word(typed, key.removesuffix(sign).lower(), sign, _unquoted(value))


def _unquoted(value: str) -> str:
    if value[:1] in ("'", '"'):
        return value[1:].partition(value[0])[0]
    return value


class Request(NamedTuple):
    """What stands behind the entity: what to look for, and what to set."""

    conditions: Sequence[Word]
    settings: Sequence[Word]


def split(words: Sequence[str]) -> Request:
    """Share the words between ``where`` and ``set``; at first all are conditions."""
    conditions: list[Word] = []
    settings: list[Word] = []
    current = conditions
    for typed in words:
        word = read_word(typed)
        if word.is_bare and word.is_short_for("where", 5):
            current = conditions
        elif word.is_bare and word.is_short_for("set", 3):
            current = settings
        else:
            current.append(word)
    return Request(conditions, settings)
