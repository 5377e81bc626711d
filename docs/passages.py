"""Where passages stand in the pages, and which function makes each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs import errors, failpoints, options, rest, settings, states

PASSAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings": settings.all_settings,
    "partitions": settings.partition_settings,
    "other variables": settings.other_variables,
    "options of Slurm's commands": options.of_slurm,
    "options of stoker": options.of_stoker,
    "life cycle": states.diagram,
    "transitions": states.transitions,
    "states": states.all_states,
    "reasons": states.all_reasons,
    "exit codes": states.exit_codes,
    "error tree": errors.tree,
    "errors in Slurm's words": errors.in_slurms_words,
    "Slurm's errors": errors.of_slurm,
    "wrong command lines": errors.wrong_command_lines,
    "failpoints of the daemon": failpoints.of_the_daemon,
    "failpoints of the shepherd": failpoints.of_the_shepherd,
    "paths of the REST API": rest.paths,
    "properties of the REST API": rest.properties,
}

_PASSAGE = re.compile(r"<!-- printed: (?P<name>[^\n]+) -->\n(?P<text>.*?)<!-- end -->", re.DOTALL)


def pages() -> list[Path]:
    """Return all pages of this folder."""
    return sorted(Path(__file__).parent.glob("*.md"))


def names_in(text: str) -> list[str]:
    """Return the names of the passages of a page."""
    return [found["name"] for found in _PASSAGE.finditer(text)]


def renewed(text: str) -> str:
    """Return a page with each of its passages as the code has it now.

    Raises:
        KeyError: There is no such passage.
    """
    return _PASSAGE.sub(_printed, text)


def _printed(found: re.Match[str]) -> str:
    made = PASSAGES[found["name"]]()
    return f"<!-- printed: {found['name']} -->\n\n{made.strip()}\n\n<!-- end -->"
