"""What the parts of scontrol share: one command line's circumstances, and words in short forms.

Source: scontrol(1): all words may be abbreviated, and case does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from stoker.core.units import JobRef, NotationError, parse_job_ref
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller

T = TypeVar("T")


class Line(msgspec.Struct, frozen=True):
    """One command line: its options, and who gives it."""

    call: Call
    controller: Controller
    is_oneliner: bool = False
    has_details: bool = False
    is_quiet: bool = False


def meant(word: str, names: Mapping[str, T]) -> T | None:
    """Return what *word* stands for: a name of *names*, or the beginning of one.

    Names are looked through in their order. A ``|`` in a name stands where it may be cut off.
    """
    word = word.lower()
    for name, thing in names.items():
        least, _, more = name.partition("|")
        if word.startswith(least) and (least + more).startswith(word):
            return thing
    return None


def failure(text: str, code: int = 1) -> Answer:
    """Return the answer that says one line on standard error."""
    return Answer(err=f"{text}\n", code=code)


def job_refs(words: Iterable[str]) -> Iterator[tuple[str, JobRef | None]]:
    """Return each id in *words*, which may be lists, as it was written and as it is read."""
    for word in words:
        for text in _split(word):
            try:
                yield text, parse_job_ref(text)
            except NotationError:
                yield text, None


def _split(word: str) -> Iterator[str]:
    """Split at commas, but not within brackets."""
    depth, start = 0, 0
    for at, letter in enumerate(word):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and not depth:
            yield word[start:at]
            start = at + 1
    yield word[start:]


class Pair(NamedTuple):
    """``NAME=VALUE``; without an equals sign the value is None."""

    name: str
    value: str | None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"


def pair(word: str) -> Pair:
    """Read one word after ``update``; quotes around the value are not part of it."""
    name, equals, value = word.partition("=")
    if not equals:
        return Pair(word, None)
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return Pair(name, value)
