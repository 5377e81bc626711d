"""HTTP connections: what is bad, large or foreign is answered and ends; the rest is brought on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from stoker.gateway.http import BODY_MAX, Exchange, Policy
from stoker.gateway.relay import Answer, Request

LIMIT_S = 20.0
LOCAL = Policy(name="/run/r.sock", is_local=True)
TCP = Policy(name="127.0.0.1:6820", is_local=False)


class RecordingRelay:
    """Answers everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        return Answer(200, "application/json", b"{}")


class LongRelay(RecordingRelay):
    """Has much to say, and may break off."""

    def __init__(self, *, breaks: bool = False) -> None:
        super().__init__()
        self.breaks = breaks
        self.rest = self
        self.is_closed = False

    def answer(self, request: Request) -> Answer:
        super().answer(request)
        return Answer(200, "text/plain", b"first", self)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[bytes]:
        yield b"-second"
        yield b""
        if self.breaks:
            raise ConnectionError
        yield b"-third"

    def close(self) -> None:
        self.is_closed = True


class Wire:
    """The caller's end of a connection that a thread serves."""

    def __init__(self, policy: Policy, relay: RecordingRelay | None = None) -> None:
        self.relay = relay or RecordingRelay()
        self.socket, other = socket.socketpair()
        self.socket.settimeout(LIMIT_S)
        self._thread = threading.Thread(target=self._serve, args=(other, policy))
        self._thread.start()

    def _serve(self, connection: socket.socket, policy: Policy) -> None:
        with connection, suppress(ConnectionError):
            Exchange(connection, policy, self.relay)  # type: ignore[arg-type]

    def say(self, text: bytes) -> bytes:
        """Send all, hang up, and return all that comes back."""
        self.socket.sendall(text)
        self.socket.shutdown(socket.SHUT_WR)
        heard = b""
        while data := self.socket.recv(65536):
            heard += data
        return heard

    def close(self) -> None:
        self.socket.close()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()


@pytest.fixture
def local() -> Iterator[Wire]:
    wire = Wire(LOCAL)
    yield wire
    wire.close()


@pytest.fixture
def tcp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    wire = Wire(TCP)
    yield wire
    wire.close()


def test_a_request_is_brought_on_with_what_matters(local: Wire) -> None:
    heard = local.say(
        b"POST /slurm/v0.0.38/job/submit?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        b"Content-Type: application/json\r\nIdempotency-Key: once-1\r\nCookie: secret\r\n\r\n{}"
    )
    assert heard == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
    )
    [request] = local.relay.asked
    assert (request.method, request.target) == ("POST", "/slurm/v0.0.38/job/submit?x=1")
    assert (request.body, request.key) == (b"{}", "once-1")
    assert request.facts.keys() == {"REST_PEER", "REST_ACCEPT", "REST_CONTENT_TYPE"}
    assert request.facts["REST_PEER"].startswith("/run/r.sock->fd:")


def test_a_connection_serves_one_request_after_the_other(local: Wire) -> None:
    heard = local.say(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
    assert heard.count(b"200 OK") == 2
    assert [each.target for each in local.relay.asked] == ["/a", "/b"]


def test_who_speaks_http_1_0_is_answered_so(local: Wire) -> None:
    assert local.say(b"GET /a HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 OK\r\n")


_LONG = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n"


def test_a_long_answer_is_sent_as_it_comes_and_the_connection_goes_on() -> None:
    relay = LongRelay()
    with closing(Wire(LOCAL, relay)) as wire:
        heard = wire.say(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
    body = b"5\r\nfirst\r\n7\r\n-second\r\n6\r\n-third\r\n0\r\n\r\n"
    assert heard == 2 * (_LONG + body)
    assert relay.is_closed


def test_a_long_answer_that_breaks_off_has_no_end() -> None:
    relay = LongRelay(breaks=True)
    with closing(Wire(LOCAL, relay)) as wire:
        heard = wire.say(b"GET /a HTTP/1.1\r\n\r\n")
    assert heard == _LONG + b"5\r\nfirst\r\n7\r\n-second\r\n"
    assert relay.is_closed


def test_who_speaks_http_1_0_has_a_long_answer_up_to_the_end_of_the_connection() -> None:
    with closing(Wire(LOCAL, LongRelay())) as wire:
        heard = wire.say(b"GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n")
    head = b"HTTP/1.0 200 OK\r\nConnection: Close\r\nContent-Type: text/plain\r\n\r\n"
    assert heard == head + b"first-second-third"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"NONSENSE\r\n\r\n", b"HTTP/0.9 400 BAD REQUEST"),
        (b"GET /a HTTP/9.9\r\n\r\n", b"505"),
        (b"BREW /a HTTP/1.1\r\n\r\n", b"501 NOT IMPLEMENTED"),
        (b"HEAD /a HTTP/1.1\r\n\r\n", b"411 LENGTH REQUIRED"),
        (b"POST /a HTTP/1.1\r\n\r\n", b"411 LENGTH REQUIRED"),
        (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400 BAD REQUEST"),
        (b"POST /a HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", b"400 BAD REQUEST"),
        (b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_MAX + 1), b"413"),
        (b"POST /a HTTP/1.1\r\nContent-Length: 99\r\n\r\nshort", b"400 BAD REQUEST"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414 URI TOO LONG"),
        (b"GET /a HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /a HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_what_cannot_be_read_is_answered_and_ends(local: Wire, text: bytes, line: bytes) -> None:
    assert line in local.say(text).split(b"\r\n", 1)[0]
    assert not local.relay.asked


def test_who_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exchange, "timeout", 0.05)
    wire = Wire(LOCAL)
    assert wire.socket.recv(1) == b"", "the connection was not given up"
    wire.close()


def test_another_user_of_the_machine_needs_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stoker.gateway.http.os.geteuid", lambda: 4_000_000)
    wire = Wire(LOCAL)
    assert wire.say(b"GET /a HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 401 UNAUTHORIZED")
    assert not wire.relay.asked
    wire.close()


def test_over_tcp_nothing_is_served_without_a_token(tcp: Wire) -> None:
    heard = tcp.say(b"GET /a HTTP/1.1\r\nHost: localhost:6820\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 401 UNAUTHORIZED")
    assert heard.endswith(b"Authentication failure")
    assert not tcp.relay.asked


TOKEN = b"X-SLURM-USER-NAME: alice\r\nX-SLURM-USER-TOKEN: a.b.c\r\n"


def test_a_token_is_brought_on_to_be_judged(tcp: Wire) -> None:
    tcp.say(b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:6820\r\n" + TOKEN + b"\r\n")
    [request] = tcp.relay.asked
    assert request.facts["REST_TOKEN"] == "a.b.c"
    assert request.facts["REST_USER"] == "alice"


@pytest.mark.parametrize("host", [b"evil.example", b"evil.example:6820", b"", b"127.0.0.1.evil"])
def test_a_page_elsewhere_cannot_lead_a_browser_here(tcp: Wire, host: bytes) -> None:
    heard = tcp.say(b"GET /a HTTP/1.1\r\nHost: " + host + b"\r\n" + TOKEN + b"\r\n")
    assert heard.startswith(b"HTTP/1.1 403 FORBIDDEN")
    assert not tcp.relay.asked


def test_half_a_token_is_none(tcp: Wire) -> None:
    heard = tcp.say(b"GET /a HTTP/1.1\r\nHost: localhost\r\nX-SLURM-USER-TOKEN: t\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 401")
