"""A request as it came over HTTP: method, path, query, headers that matter, and the caller.

The gateway ships method and target as words, headers as variables, and the body as standard input.

Source: as recorded; RFC 3986 for the path and the query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from stoker.commands.rest.replies import PLAIN, Refusal, Reply, plain
from stoker.worker.call import Call
from stoker.worker.controller import Controller

BODY_MAX: Final = 8 << 20
"""Bytes of a body: twice what a script may have, for what JSON makes of it. `gateway.http` takes no
more; change them together."""

_OFFERED: Final = ("*/*", "application/*", "application/json")
_QUERY_FIELDS_MAX: Final = 100
_PATH: Final = re.compile(r"/[^\x00-\x20\x7f?#]*")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, and by whom; ``segments`` are the path's, decoded, with no empty ones."""

    method: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    call: Call
    controller: Controller

    @property
    def peer(self) -> str:
        """Return how slurmrestd names the caller's connection in what it says."""
        return self.call.environment.get("REST_PEER", "connection")

    def json(self) -> Any:
        """Return the body's value; None for none. What stands after it is let go, as recorded.

        Raises:
            Refusal: It is no JSON, or does not say that it is.
        """
        kind = self.call.environment.get("REST_CONTENT_TYPE", "")
        if self.body and kind.partition(";")[0].strip().lower() != "application/json":
            raise Refusal(plain(400, "Unable to parse query."))
        try:
            text = self.body.decode().lstrip(" \t\r\n")
            return json.JSONDecoder().raw_decode(text)[0] if text else None
        except (ValueError, RecursionError):
            raise Refusal(plain(400, "Unable to parse query.")) from None


def read_request(call: Call, body: bytes, controller: Controller) -> Request:
    """Return the request that the gateway shipped.

    Raises:
        Refusal: The path cannot be read, or only kinds of content are wanted that are not offered.
    """
    method, target = call.argv
    path, _, query = target.partition("?")
    segments = tuple(unquote(each) for each in path.split("/") if each)
    if not _PATH.fullmatch(path) or ".." in segments or "." in segments:
        raise Refusal(plain(400, "Unable to parse URL path."))
    _check_accepted(call.environment.get("REST_ACCEPT", ""))
    return Request(
        method=method,
        segments=segments,
        query=_query(query),
        body=body,
        call=call,
        controller=controller,
    )


def _query(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX))
    except ValueError:
        raise Refusal(plain(400, "Unable to parse query.")) from None


def _check_accepted(accept: str) -> None:
    wanted = [each.partition(";")[0].strip().lower() for each in accept.split(",") if each.strip()]
    if wanted and not any(each in _OFFERED for each in wanted):
        raise Refusal(Reply(415, "Accept content type is unknown", PLAIN))
