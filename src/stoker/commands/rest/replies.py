"""What slurmrestd answers: a status, a kind of content, and a text; errors in its own words.

Errors come in several shapes, by who found them: the parser of requests, the loader of the
controller's records, the accounting. All of them stand in the list ``errors``.

Source: as recorded; openapi v0.0.38.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from stoker.commands.documents import Value, document, to_json
from stoker.commands.errors import SLURM_ERRORS, code_of

JSON: Final = "application/json"
PLAIN: Final = "text/plain"

PARSING_FAILED: Final = 9001
"""ESLURM_REST_FAIL_PARSING."""

_CONTROLLER: Final = ("openapi/v0.0.38", "Slurm OpenAPI v0.0.38")
_ACCOUNTING: Final = ("openapi/dbv0.0.38", "Slurm OpenAPI DB v0.0.38")
_REST_ERRORS: Final[Mapping[int, str]] = {
    9000: "Query empty or not RFC7320 compliant",
    PARSING_FAILED: "Failure during parsing",
    9002: "Jobs description entry not found, empty or not dictionary or list",
    9003: "Nothing found with query",
}


class Reply(msgspec.Struct, frozen=True):
    """An answer before it becomes HTTP."""

    status: int
    text: str | Iterable[str] = ""
    content_type: str = JSON


class Refusal(Exception):
    """A request cannot be served; ``reply`` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def plain(status: int, text: str) -> Reply:
    """Return an answer in a sentence."""
    return Reply(status, text, PLAIN)


def controller_reply(
    content: Mapping[str, Value], errors: Sequence[Value] = (), status: int = 200
) -> Reply:
    """Return a document of the part that speaks for the controller."""
    return Reply(status, _document(_CONTROLLER, content, errors))


def accounting_reply(
    content: Mapping[str, Value], errors: Sequence[Value] = (), status: int = 200
) -> Reply:
    """Return a document of the part that speaks for the accounting."""
    return Reply(status, _document(_ACCOUNTING, content, errors))


def _document(
    plugin: tuple[str, str], content: Mapping[str, Value], errors: Sequence[Value]
) -> str:
    return to_json(document(*plugin, {"errors": list(errors), **content}))


# The shapes of errors.


def submission_error(code: str) -> dict[str, Value]:
    """Return what a submission says of the Slurm error of that name."""
    error = SLURM_ERRORS.get(code, SLURM_ERRORS["SLURM_ERROR"])
    return {"error_code": error.number, "error": error.text}


def record_error(code: str) -> dict[str, Value]:
    """Return what looking up nodes, partitions and reservations says."""
    error = SLURM_ERRORS.get(code, SLURM_ERRORS["SLURM_ERROR"])
    return {"error": error.text, "errno": error.number}


def found_by(source: str, description: str, number: int, text: str = "") -> dict[str, Value]:
    """Return an error with who found it."""
    return {
        "description": description,
        "error_number": number,
        "error": text or _text(number),
        "source": source,
    }


def failed_action(source: str, description: str, error: Exception) -> dict[str, Value]:
    """Return what an action on a job says of an error of ours; *description* may end with it."""
    slurm = SLURM_ERRORS.get(code_of(error), SLURM_ERRORS["SLURM_ERROR"])
    return found_by(source, description.format(slurm.text), slurm.number, slurm.text)


def _text(number: int) -> str:
    found = _REST_ERRORS.get(number)
    if found is None:
        found = next((each.text for each in SLURM_ERRORS.values() if each.number == number), "")
    return found or SLURM_ERRORS["SLURM_ERROR"].text
