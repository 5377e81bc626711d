"""What the options of sbatch, srun and salloc mean: each is read, checked and kept as a wish.

Wishes come from directives, from environment variables and from the command line, in this order;
of several for one thing the last counts, but a wrong value is an error wherever it stands.

Source: sbatch(1), srun(1), salloc(1); the wording of errors is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from stoker.commands.idlevalues import IDLE_READERS
from stoker.commands.numbervalues import NUMBER_READERS
from stoker.commands.wishes import Wishes
from stoker.commands.wordvalues import WORD_READERS
from stoker.core.units import NotationError, parse_gres


def take_all(wishes: Wishes, values: Iterable[tuple[str, str | None]]) -> None:
    """Take options in, in order, as the table names them; what needs no reading is only noted.

    Raises:
        OptionError: A value says nothing sensible.
    """
    for name, value in values:
        text = value or ""
        wishes.shown[name] = text or "set"
        reader = _READERS.get(name)
        if reader is not None:
            reader(wishes, text)
        wishes.from_variables.discard(name)


def take_variables(wishes: Wishes, values: Iterable[tuple[str, str | None]]) -> None:
    """Take in what environment variables stand for.

    Raises:
        OptionError: A value says nothing sensible.
    """
    for name, value in values:
        take_all(wishes, [(name, value)])
        wishes.from_variables.add(name)


def _text(field: str, wishes: Wishes, value: str) -> None:
    wishes.spec[field] = value


def _own_text(field: str, wishes: Wishes, value: str) -> None:
    setattr(wishes, field, value)


def _yes(field: str, wishes: Wishes, _: str) -> None:
    wishes.spec[field] = True


def _no(field: str, wishes: Wishes, _: str) -> None:
    wishes.spec[field] = False


def _own_flag(field: str, wishes: Wishes, _: str) -> None:
    setattr(wishes, field, True)


def _gres(wishes: Wishes, value: str) -> None:
    try:
        parse_gres(value)
    except NotationError:
        wishes.fail("error: Invalid generic resource (gres) specification")
    wishes.spec["gres"] = value


def _of_root(name: str, wishes: Wishes, _: str) -> None:
    if not wishes.is_root:
        wishes.fail(f"error: --{name} only permitted by root user", 255)


def _verbose(wishes: Wishes, value: str) -> None:
    """Count flags; a variable gives a number, which the first flag replaces."""
    if value:
        match = re.fullmatch(r"\d{1,9}", value, re.ASCII)
        if match is None:
            wishes.fail(f'error: Invalid numeric value "{value}" for --verbose.')
        wishes.verbose = int(match[0])
    else:
        wishes.verbose = 1 if "verbose" in wishes.from_variables else wishes.verbose + 1
    wishes.shown["verbose"] = str(wishes.verbose)


def _get_user_environment(wishes: Wishes, value: str) -> None:
    if re.fullmatch(r"\d*[sSlL]?", value, re.ASCII) is None:
        wishes.refuse("get-user-env")
    wishes.user_environment = True


_READERS: Final[Mapping[str, Callable[[Wishes, str], None]]] = {
    **IDLE_READERS,
    **NUMBER_READERS,
    **WORD_READERS,
    "account": partial(_text, "account"),
    "array": partial(_own_text, "array"),
    "chdir": partial(_own_text, "chdir"),
    "clusters": partial(_own_text, "clusters"),
    "comment": partial(_text, "comment"),
    "constraint": partial(_text, "features"),
    "contiguous": partial(_yes, "contiguous"),
    "dependency": partial(_own_text, "dependency"),
    "error": partial(_own_text, "stderr"),
    "exclude": partial(_text, "exclude"),
    "export": partial(_own_text, "export"),
    "export-file": partial(_own_text, "export_file"),
    "get-user-env": _get_user_environment,
    "gid": partial(_of_root, "gid"),
    "gres": _gres,
    "hold": partial(_own_flag, "hold"),
    "input": partial(_own_text, "stdin"),
    "job-name": partial(_text, "name"),
    "licenses": partial(_text, "licenses"),
    "mail-user": partial(_text, "mail_user"),
    "no-requeue": partial(_no, "requeue"),
    "nodefile": partial(_own_text, "node_file"),
    "nodelist": partial(_text, "node_list"),
    "output": partial(_own_text, "stdout"),
    "oversubscribe": partial(_yes, "oversubscribe"),
    "partition": partial(_text, "partition"),
    "qos": partial(_text, "qos"),
    "quiet": partial(_own_flag, "quiet"),
    "requeue": partial(_yes, "requeue"),
    "reservation": partial(_text, "reservation"),
    "uid": partial(_of_root, "uid"),
    "verbose": _verbose,
    "wckey": partial(_text, "wckey"),
}
