"""What a job waits for.

Source: sbatch(1) "--dependency".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from stoker.core.units.errors import NotationError

SINGLETON = "singleton"
KINDS = frozenset({"after", "afterok", "afterany", "afternotok", "aftercorr", SINGLETON})
_SAME_AS = {"afterburstbuffer": "afterany"}
"""Here are no burst buffers: nothing has to be waited for but the end."""

_JOB = re.compile(
    r"(?P<job>\d{1,10})(?:_(?:(?P<task>\d{1,10})|(?P<all>\*)))?(?:\+(?P<delay>\d{1,7}))?", re.ASCII
)


class Condition(msgspec.Struct, frozen=True, gc=False):
    """One condition: what is to become of one job, or of one task of an array.

    ``delay_min`` are minutes after the other's start, for the kind ``after`` only. ``is_array``
    says that the job is known to be an array, of which every task is meant.
    """

    kind: str
    job_id: int = 0
    task: int | None = None
    delay_min: int = 0
    is_array: bool = False

    def __str__(self) -> str:
        if self.kind == SINGLETON:
            return SINGLETON
        every = "_*" if self.is_array else ""
        task = every if self.task is None else f"_{self.task}"
        delay = f"+{self.delay_min}" if self.delay_min else ""
        return f"{self.kind}:{self.job_id}{task}{delay}"


class Dependency(msgspec.Struct, frozen=True, gc=False):
    """Conditions of which all must hold, or with ``any_of`` one."""

    any_of: bool
    conditions: tuple[Condition, ...]


def parse_dependency(text: str) -> Dependency:
    """Read ``afterok:1:2,afterany:3``, ``afterok:1?afternotok:2``, ``singleton`` or ``after:5+10``.

    Raises:
        NotationError: It is none of these, or mixes ``,`` (all) with ``?`` (any).
    """
    if "," in text and "?" in text:
        raise _refusal(text, "use either , (all) or ? (any) between conditions")
    any_of = "?" in text
    found: dict[Condition, None] = {}
    for word in text.split("?" if any_of else ","):
        found.update(dict.fromkeys(_conditions(word, text)))
    return Dependency(any_of, tuple(found))


def format_dependency(dependency: Dependency) -> str:
    """Return a text that ``parse_dependency`` reads as *dependency*."""
    return ("?" if dependency.any_of else ",").join(map(str, dependency.conditions))


def show_dependency(
    dependency: Dependency | None, word_of: Callable[[Condition], str] | None = None
) -> str:
    """Return the conditions as squeue and scontrol print them: ``afterok:4(unfulfilled)``.

    Args:
        dependency: None prints as nothing.
        word_of: Says ``unfulfilled`` or ``failed``; an empty word leaves the condition out.
    """
    words = []
    for condition in dependency.conditions if dependency else ():
        word = word_of(condition) if word_of else "unfulfilled"
        if word:
            words.append(f"{condition}({word})")
    return ("?" if dependency and dependency.any_of else ",").join(words)


def _conditions(word: str, text: str) -> Iterator[Condition]:
    kind, _, rest = word.partition(":")
    if kind.isdecimal() or "_" in kind:
        kind, rest = "afterany", word
    kind = _SAME_AS.get(kind.lower(), kind.lower())
    if kind == SINGLETON and not rest:
        yield Condition(SINGLETON)
        return
    if kind not in KINDS or kind == SINGLETON:
        raise _refusal(text, f"{word!r} is not known; the kinds are {', '.join(sorted(KINDS))}")
    for name in rest.split(":"):
        match = _JOB.fullmatch(name)
        if match is None or int(match["job"]) == 0 or (match["delay"] and kind != "after"):
            raise _refusal(text, "write KIND:JOBID[:JOBID ...], as in afterok:42")
        task = int(match["task"]) if match["task"] else None
        every = match["all"] is not None
        yield Condition(kind, int(match["job"]), task, int(match["delay"] or 0), every)


def _refusal(text: str, why: str) -> NotationError:
    return NotationError("the dependency", text, why)
