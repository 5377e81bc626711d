"""POST job/{job_id}: change a job by the same properties that submit one.

Source: openapi v0.0.38; wording, codes and statuses as recorded. A name that is given counts here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stoker.commands.demands import check_names
from stoker.commands.documents import Value
from stoker.commands.rest.jobs import job_id_of
from stoker.commands.rest.properties import WrongProperty, take_properties
from stoker.commands.rest.replies import (
    PARSING_FAILED,
    Reply,
    controller_reply,
    failed_action,
    found_by,
)
from stoker.commands.rest.requests import Request
from stoker.commands.submission import wishes_of
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.errors import StokerError
from stoker.core.models import JobSpec
from stoker.core.units import JobRef, parse_dependency

_SOURCE: Final = "_parse_job_list"
_OF_SPEC: Final = frozenset(JobSpec.__struct_fields__)


def update(request: Request, word: str) -> Reply:
    """Change the job of that id."""
    ref = JobRef(job_id_of(word, _SOURCE))
    body = request.json()
    properties = body if isinstance(body, dict) else {}
    try:
        _change(request, ref, properties)
    except WrongProperty as wrong:
        description = f"job parsing failed for {request.peer}"
        failure: Value = found_by(_SOURCE, description, PARSING_FAILED)
        return controller_reply({}, [*wrong.errors, failure])
    except StokerError as error:
        description = f"job update from {request.peer} failed"
        return controller_reply({}, [failed_action(_SOURCE, description, error)], 500)
    return controller_reply({})


def _change(request: Request, ref: JobRef, properties: Mapping[str, Any]) -> None:
    wishes = wishes_of(request.call)
    take_properties(wishes, properties)
    try:
        wishes.settle_memory()
    except OptionError as error:
        raise WrongProperty({"error": error.text.strip(), "error_code": -1}) from None
    controller, by = request.controller, request.call.owner
    job = controller.find(ref)[0]
    if changes := _changes(wishes):
        named = {name: changes[name] for name in changes.keys() & _OF_SPEC}
        check_names(msgspec.structs.replace(job.spec, **named), controller)
        controller.update(ref, by, changes)
    hold = properties.get("hold")
    if hold is True:
        controller.hold(ref, by)
    elif hold is False:
        controller.release(ref, by)


def _changes(wishes: Wishes) -> dict[str, object]:
    """Return the fields of the job, and of its specification, that are to change."""
    changes = dict(wishes.spec)
    if wishes.begin_at:
        changes["begin_at"] = wishes.begin_at
    if wishes.priority is not None:
        changes["priority"] = wishes.priority
    if wishes.dependency:
        changes["dependency"] = parse_dependency(wishes.dependency)
    return changes
