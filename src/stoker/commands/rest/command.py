"""slurmrestd: answers what came over HTTP, in one turn with everything else that is asked.

The gateway is a process of its own and one more client. It speaks HTTP and ships each request here
as a call; the answer's text is the body, and its line on standard error says status and kind of
content. A token is checked here, where its key is, and whoever it names asks, if the daemon serves
them; without one it is the connection's user, who is known from the kernel.

Source: slurmrestd(8), openapi v0.0.38, and as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from stoker.commands.rest.replies import (
    Refusal,
    Reply,
    accounting_reply,
    controller_reply,
    found_by,
    plain,
)
from stoker.commands.rest.requests import BODY_MAX, Request, read_request
from stoker.commands.rest.routes import reply_to
from stoker.core.models import Owner
from stoker.worker.call import Answer, Call, Conversation, ReadFile, Say
from stoker.worker.controller import Controller

_SILENCE: Final = "Zero Bytes were transmitted or received"
_WITH_BODY: Final = ("POST", "PUT", "PATCH")


def slurmrestd(call: Call, controller: Controller) -> Conversation:
    """Answer a request: its method and its target are the words, its body standard input."""
    if len(call.argv) != 2:
        return Answer(
            err="slurmrestd: error: this is how `slurmrestd` asks its daemon; start the gateway "
            "itself, as in `slurmrestd unix:/path/to/socket`\n",
            code=1,
        )
    body = b""
    if call.argv[0] in _WITH_BODY:
        body = yield ReadFile("-", BODY_MAX)
    reply = _reply(call, body, controller)
    head = f"{reply.status} {reply.content_type}\n"
    if isinstance(reply.text, str):
        return Answer(out=reply.text.removesuffix("\n"), err=head)
    # Long ones are brought on while they are made: the gateway has to know first what they are.
    yield Say(err=head)
    return Answer(out=_without_last_break(reply.text))


def _reply(call: Call, body: bytes, controller: Controller) -> Reply:
    try:
        request = read_request(call, body, controller)
        by = _asker(call, controller)
        if by is None:
            return _without_credentials(request)
        return reply_to(msgspec.structs.replace(request, call=_asked_by(call, by)))
    except Refusal as refusal:
        return refusal.reply
    except RecursionError:
        return plain(400, "Unable to parse query.")


def _asker(call: Call, controller: Controller) -> Owner | None:
    """Return whom the request's token names, or who has the connection; None if neither counts."""
    token = call.environment.get("REST_TOKEN")
    if token is None:
        return call.owner
    named = call.environment.get("REST_USER", "")
    if not named or controller.token_user(token) != named:
        return None
    by = call.owner if named == call.owner.user_name else controller.owner_named(named)
    return by if by is not None and controller.rights.serves(by.user_id) else None


def _asked_by(call: Call, by: Owner) -> Call:
    return call if by == call.owner else msgspec.structs.replace(call, owner=by, pid=0)


def _without_credentials(request: Request) -> Reply:
    """Say what slurmrestd says when its own daemon does not believe it."""
    segments = request.segments
    if segments[:1] == ("slurmdb",):
        return accounting_reply({}, [found_by("slurmdbd", "Authentication failure", -1)], 500)
    if segments[-1:] == ("jobs",):
        problem = found_by("slurm_load_jobs", "Failed while looking for jobs", -1)
        return controller_reply({"jobs": []}, [problem], 500)
    if request.method == "DELETE":
        description = f"unable to kill JobId={segments[-1]} with signal 9: {_SILENCE}"
        problem = found_by("slurm_kill_job", description, 5005, _SILENCE)
        return controller_reply({}, [problem], 500)
    problem = found_by("slurm_load_ctl_conf", "slurmctld config is unable to load", -1)
    return controller_reply({}, [problem], 500)


def _without_last_break(chunks: Iterable[str]) -> Iterator[str]:
    """Yield text in pieces without the line break that ends a command's output."""
    held = ""
    for chunk in chunks:
        yield held
        held = chunk
    yield held.removesuffix("\n")
