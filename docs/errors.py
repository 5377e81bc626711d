"""Errors: our tree, what Slurm's commands make of it, and Slurm's own list."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import stoker
from docs.markdown import code, table
from stoker.commands.errors import SLURM_ERRORS, code_of, exit_status, strerror
from stoker.commands.options import usage_error
from stoker.commands.table import COMMANDS
from stoker.core.errors import StokerError


def all_errors() -> list[type[StokerError]]:
    """Return every error of the tree, parents first, wherever it stands in the package."""
    for module in pkgutil.walk_packages(stoker.__path__, "stoker."):
        if (
            not module.name.endswith(("__main__", "migrations.env"))
            and ".versions." not in module.name
        ):
            importlib.import_module(module.name)
    return [kind for _, kind in _walk(StokerError, 0)]


def tree() -> str:
    """Return the tree, each error with its sentence."""
    all_errors()
    lines = [f"{'  ' * depth}{kind.__name__}" for depth, kind in _walk(StokerError, 0)]
    width = max(map(len, lines)) + 2
    told = (
        f"{line:<{width}}{_meaning(kind)}"
        for line, (_, kind) in zip(lines, _walk(StokerError, 0), strict=True)
    )
    return "\n".join(["```text", *told, "```"])


def in_slurms_words() -> str:
    """Return what Slurm's commands print for each error that is not their own."""
    rows = []
    for kind in all_errors():
        if (name := _slurms_name(kind)) != "SLURM_ERROR":
            own = "" if _default_code(kind) is None else "its `code`; by default "
            rows.append((code(kind.__name__), own + code(name), strerror(name)))
    rows.append(("any other", code("SLURM_ERROR"), strerror("SLURM_ERROR")))
    return table(("error", "Slurm's name", "printed"), rows)


def of_slurm() -> str:
    """Return Slurm's errors: name, number, the exit status made of it, text."""
    rows = (
        (code(name), str(error.number), str(exit_status(name)), error.text)
        for name, error in SLURM_ERRORS.items()
    )
    return table(("name", "number", "as exit status", "text"), rows)


def wrong_command_lines() -> str:
    """Return how each command ends on an option that it does not know."""
    rows = ((code(name), str(usage_error(name, "").code)) for name in COMMANDS)
    return table(("command", "exit status"), rows)


def _walk(kind: type[StokerError], depth: int) -> Iterator[tuple[int, type[StokerError]]]:
    yield depth, kind
    for below in sorted(kind.__subclasses__(), key=lambda each: each.__name__):
        yield from _walk(below, depth + 1)


def _meaning(kind: type[StokerError]) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0].replace("``", "`")


def _slurms_name(kind: type[StokerError]) -> str:
    error = kind.__new__(kind)
    if (default := _default_code(kind)) is not None:
        error.__dict__["code"] = default
    return code_of(error)


def _default_code(kind: type[StokerError]) -> str | None:
    """Return the code that an error has if nobody says another, None if it has none."""
    asked = inspect.signature(kind.__init__).parameters.get("code")
    return None if asked is None else str(asked.default)
