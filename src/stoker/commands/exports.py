"""Which variables a job inherits from whoever submits it: ``--export`` and its relatives.

Source: sbatch(1) "--export", "--export-file", "--get-user-env"; recorded jobs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from stoker.core.models import Owner

_LOGIN_NAMES = ("HOME", "USER", "LOGNAME", "SHELL")
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
_PATH_OF_ROOT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VARIABLE = re.compile(r"[^=\0]+=[^\0]*", re.DOTALL)


def exported(
    environment: Mapping[str, str],
    choice: str | None,
    owner: Owner,
    *,
    with_login: bool = True,
    names: str = "",
) -> dict[str, str]:
    """Return what *choice*, the value of ``--export``, leaves of *environment*.

    None and ``ALL`` leave all of it; anything else only what it names, ``SLURM_*`` and, as after a
    login, home, user, shell and a plain path (not for srun, whose tasks get no login), on which
    *names* is the directory of Slurm's names.
    """
    if choice is None or choice.upper() == "ALL":
        return dict(environment)
    found = login_environment(environment, owner, names) if with_login else {}
    found.update((name, value) for name, value in environment.items() if name[:6] == "SLURM_")
    if choice.upper() in ("NONE", "NIL"):
        return found
    for word in _split(choice):
        name, equals, value = word.partition("=")
        if word.upper() == "ALL":
            found.update(environment)
        elif equals:
            found[name] = value
        elif name in environment:
            found[name] = environment[name]
    found.pop("", None)
    return found


def is_partial(choice: str | None) -> bool:
    """Whether ``--export`` asks for anything but the whole environment."""
    return choice is not None and choice.upper() != "ALL"


def login_environment(
    environment: Mapping[str, str], owner: Owner, names: str = ""
) -> dict[str, str]:
    """Return what a login would define for the caller, where Slurm's *names* are on the path."""
    found = {name: environment[name] for name in _LOGIN_NAMES if name in environment}
    found.setdefault("USER", owner.user_name)
    found.setdefault("LOGNAME", owner.user_name)
    path = _PATH_OF_ROOT if owner.user_id == 0 else _PATH
    found["PATH"] = f"{names}:{path}" if names else path
    return found


def read_export_file(content: bytes) -> dict[str, str]:
    """Read ``NAME=VALUE`` entries with a NUL after each; lines will do where there is no NUL."""
    text = content.decode("utf-8", "surrogateescape")
    entries = text.split("\0") if "\0" in text else text.splitlines()
    words = (entry.lstrip("\n") for entry in entries)
    return dict(_pairs(word for word in words if _VARIABLE.fullmatch(word)))


def entries(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return ``NAME=VALUE`` entries, in an order that makes equal environments equal contents."""
    return _entries(tuple(environment.items()))


@lru_cache(maxsize=1)
def _entries(variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return the same; who submits thousands of jobs in a row submits one environment."""
    return tuple([f"{name}={value}" for name, value in sorted(variables)])


def _pairs(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, _, value = word.partition("=")
        yield name, value


def _split(choice: str) -> list[str]:
    """Cut at commas outside of quotes; the quotes go."""
    words, quote = [""], ""
    for letter in choice:
        if letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote = letter
        elif not quote and letter == ",":
            words.append("")
        else:
            words[-1] += letter
    return words
