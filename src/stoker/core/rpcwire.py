"""Typed requests and their answers as frames: msgpack, errors with their class and their facts.

Always holds: what a peer sends either decodes or raises `WireError`, but for the errors that the
daemon meant to raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stoker.core import errors
from stoker.core.wire import WireError, encode, printable


class RpcRequest(msgspec.Struct, frozen=True):
    """A typed request: ``params`` is msgpack of whatever the method takes."""

    method: str
    params: msgspec.Raw


class RpcFailure(msgspec.Struct, frozen=True):
    """An error on its way: the class's name in `stoker.core.errors`, its sentence, its facts."""

    type: str
    text: str
    fields: Mapping[str, Any] = {}


class RpcAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A typed answer: one of the two is there; no result is no bytes at all."""

    result: msgspec.Raw = msgspec.Raw()
    error: RpcFailure | None = None


_FACTS = (str, int, float, bytes, type(None))

_pack = msgspec.msgpack.Encoder().encode
_read_request = msgspec.msgpack.Decoder(RpcRequest).decode
_read_answer = msgspec.msgpack.Decoder(RpcAnswer).decode


def encode_request(method: str, params: bytes) -> bytes:
    """Return the ``J`` frame of a request; *params* is msgpack."""
    return encode(b"J", _pack(RpcRequest(method, msgspec.Raw(params))))


def decode_request(payload: bytes) -> RpcRequest:
    """Read the payload of a client's ``J`` frame.

    Raises:
        WireError: It is no request.
    """
    try:
        return _read_request(payload)
    except msgspec.MsgspecError as error:
        raise WireError(f"cannot read the request: {error}") from None
    except RecursionError:
        raise WireError("cannot read the request: it is nested too deeply") from None


def encode_result(result: bytes) -> bytes:
    """Return the ``J`` frame of an answer; *result* is msgpack."""
    return encode(b"J", _pack(RpcAnswer(result=msgspec.Raw(result))))


def encode_failure(error: Exception) -> bytes:
    """Return the ``J`` frame that says *error*, with its facts and its nearest public class."""
    facts = {
        name: printable(fact) if isinstance(fact, str) else fact
        for name, fact in vars(error).items()
        if isinstance(fact, _FACTS)
    }
    known = next(
        (each for each in type(error).__mro__ if getattr(errors, each.__name__, None) is each),
        errors.StokerError,
    )
    failure = RpcFailure(known.__name__, printable(str(error)), facts)
    return encode(b"J", _pack(RpcAnswer(error=failure)))


def decode_answer(payload: bytes) -> bytes:
    """Return the result, in msgpack, that a daemon's ``J`` frame brings.

    Raises:
        StokerError: What the daemon raised: the same class, sentence and facts.
        WireError: The payload is no answer.
    """
    try:
        answer = _read_answer(payload)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WireError(f"cannot read the answer: {error}") from None
    if answer.error is not None:
        raise _revived(answer.error)
    if result := bytes(answer.result):
        return result
    raise WireError("cannot read the answer: it holds neither result nor error")


def _revived(failure: RpcFailure) -> errors.StokerError:
    kind = getattr(errors, failure.type, None)
    if not (isinstance(kind, type) and issubclass(kind, errors.StokerError)):
        kind = errors.StokerError
    return errors.revive(kind, failure.text, failure.fields)
