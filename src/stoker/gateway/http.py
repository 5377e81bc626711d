"""One HTTP connection: requests in, answers out, as slurmrestd's own.

The standard library reads requests; what is bad, slow or too large ends its connection and no
other. Who asks is what the kernel says of a unix socket, or a token, which stokerd judges; a header
alone proves nothing.

Source: RFC 9112; slurmrestd(8); status lines and headers as recorded.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from itertools import chain
from typing import Final

import msgspec

from stoker.gateway.relay import Answer, Relay, Request

IDLE_S: Final = 10.0
"""How long a caller may say nothing."""

BODY_MAX: Final = 8 << 20
"""Bytes of a request's body."""

_PHRASES: Final[Mapping[int, str]] = {
    200: "OK",
    304: "NOT MODIFIED",
    400: "BAD REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT FOUND",
    405: "NOT ALLOWED",
    411: "LENGTH REQUIRED",
    413: "CONTENT TOO LARGE",
    414: "URI TOO LONG",
    415: "UNSUPPORTED MEDIA TYPE",
    431: "REQUEST HEADER FIELDS TOO LARGE",
    500: "INTERNAL ERROR",
    501: "NOT IMPLEMENTED",
    505: "HTTP VERSION NOT SUPPORTED",
}
_UNCHUNKED: Final = ("HTTP/0.9", "HTTP/1.0")
_PLAIN: Final = "text/plain"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FAILED: Final = Answer(401, _PLAIN, b"Authentication failure")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How connections of a listening socket prove who they are."""

    name: str
    """The socket, as it stands in what slurmrestd says of a connection."""
    is_local: bool
    """Whether the kernel knows the caller: a unix socket."""
    takes_peers: bool = True
    """Whether a caller that the kernel knows as our own user needs no token."""
    takes_tokens: bool = True
    hosts: frozenset[str] = _LOOPBACK
    """What a Host header may say, so that no page elsewhere leads a browser here."""


class Exchange(BaseHTTPRequestHandler):
    """Serves one connection from its first request to its last."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def __init__(self, connection: socket.socket, policy: Policy, relay: Relay) -> None:
        self._policy = policy
        self._relay = relay
        self._is_ours = policy.is_local and _peer_of(connection) == os.geteuid()
        super().__init__(connection, "", None)  # type: ignore[arg-type]

    def serve(self) -> None:
        """Answer the request whose head has been read."""
        self._send(self._answer())

    # The library calls a method by this name for each of HTTP's.
    do_GET = do_POST = do_DELETE = serve  # noqa: N815
    do_PUT = do_PATCH = do_OPTIONS = do_HEAD = serve  # noqa: N815

    def _answer(self) -> Answer:
        body = self._body()
        if isinstance(body, Answer):
            return body
        if not self._policy.is_local and self._host() not in self._policy.hosts:
            return Answer(403, _PLAIN, b"This host name is not served here")
        credentials = self._credentials()
        if credentials is None:
            return _FAILED
        return self._relay.answer(
            Request(
                method=self.command,
                target=self.path,
                facts=self._facts() | credentials,
                body=body,
                key=self._key(),
            )
        )

    def _body(self) -> bytes | Answer:
        """Return the body, or why there can be none: its length must be said."""
        length = self.headers.get("Content-Length")
        if self.command == "HEAD" or "Transfer-Encoding" in self.headers:
            return Answer(411)
        if length is None:
            return Answer(411) if self.command in ("POST", "PUT", "PATCH") else b""
        if not (length.isascii() and length.isdecimal()) or len(length) > 12:
            return Answer(400)
        if int(length) > BODY_MAX:
            return Answer(413, _PLAIN, b"%d bytes are allowed" % BODY_MAX)
        body = self.rfile.read(int(length))
        return body if len(body) == int(length) else Answer(400)

    def _host(self) -> str:
        return re.sub(r":\d*$", "", self.headers.get("Host", "")).lower()

    def _credentials(self) -> dict[str, str] | None:
        """Return what stokerd is to judge; None if nothing speaks for the caller."""
        token = self.headers.get("X-SLURM-USER-TOKEN")
        name = self.headers.get("X-SLURM-USER-NAME")
        if self._policy.takes_tokens and token and name:
            return {"REST_TOKEN": _clean(token), "REST_USER": _clean(name)}
        return {} if self._policy.takes_peers and self._is_ours else None

    def _facts(self) -> dict[str, str]:
        return {
            "REST_PEER": f"{self._policy.name}->fd:{self.connection.fileno()}",
            "REST_ACCEPT": _clean(self.headers.get("Accept", "")),
            "REST_CONTENT_TYPE": _clean(self.headers.get("Content-Type", "")),
        }

    def _key(self) -> str:
        key = self.headers.get("Idempotency-Key", "")
        return key if _KEY.fullmatch(key) else ""

    # Answers.

    def _send(self, answer: Answer) -> None:
        lines = [f"{self.request_version} {answer.status} {_PHRASES.get(answer.status, 'ERROR')}"]
        is_chunked = answer.rest is not None and self.request_version not in _UNCHUNKED
        if answer.status >= 400 or (answer.rest is not None and not is_chunked):
            self.close_connection = True
            lines.append("Connection: Close")
        if is_chunked:
            lines.append("Transfer-Encoding: chunked")
        elif answer.rest is None and answer.body:
            lines.append(f"Content-Length: {len(answer.body)}")
        if answer.body:
            lines.append(f"Content-Type: {answer.content_type}")
        head = "".join(f"{line}\r\n" for line in lines) + "\r\n"
        if answer.rest is None:
            self.wfile.write(head.encode("latin-1", "replace") + answer.body)
            return
        with closing(answer.rest):
            self.wfile.write(head.encode("latin-1", "replace"))
            self._send_parts(chain([answer.body], answer.rest), is_chunked=is_chunked)

    def _send_parts(self, parts: Iterable[bytes], *, is_chunked: bool) -> None:
        """Send a long body as it comes; of one that breaks off the end is never sent."""
        for part in filter(None, parts):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what the standard library could not read: with a status alone."""
        del message, explain
        self.close_connection = True
        if self.request_version == "HTTP/0.9":
            self.wfile.write(f"HTTP/0.9 {code} {_PHRASES.get(code, 'ERROR')}\r\n".encode())
        else:
            self._send(Answer(code))

    def log_message(self, *_: object) -> None:
        """Keep quiet: stokerd's log has what was done."""


def _peer_of(connection: socket.socket) -> int:
    """Return the user id of whoever is at the other end of a unix socket, from the kernel."""
    size = struct.calcsize("3i")
    facts = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    user_id: int = struct.unpack("3i", facts)[1]
    return user_id


def _clean(text: str) -> str:
    """Return a header as one line of what can be an environment's entry."""
    return re.sub(r"[\x00-\x1f\x7f]", "", text)
