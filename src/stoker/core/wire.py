"""The words that clients and stokerd exchange over the unix socket, as pure functions on bytes.

A frame is a type byte, the payload's length (four bytes, big-endian) and the payload.

    from the client                               from stokerd
    C  call: who runs what, where, with what      O  bytes for standard output
    F  a file's content, or why there is none     E  bytes for standard error
    D  descriptors (by SCM_RIGHTS)                R  please read a file; ``-`` is standard input
    I  a signal that came while the call waits    A  please send your descriptors
    S  how a program of yours has ended           P  please run this program yourself
    J  a typed request (msgpack)                  K  send your program this signal
                                                  T  please copy this file
                                                  L  please write this file
                                                  Y  show what is written to these files
                                                  W  the call waits: send me these signals
                                                  X  exit status: the call has ended
                                                  B  not now, and why: try again in a while
                                                  J  the typed answer

A connection carries one conversation after the other. Text travels as UTF-8 in which bytes that are
none are kept (surrogateescape), so that any argument, path and variable comes back as it was.
`cli.thin` writes and reads the same frames with code of its own, since it may import nothing:
change `encode_call` and `cli/thin.py` together.

Always holds: what a peer sends either decodes or raises `WireError`; nothing else gets out, and
nothing larger than its type allows is kept.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from errno import EFBIG
from typing import Any, NamedTuple

import msgspec

from stoker.core import errors

VERSION = 1
PAYLOAD_MAX = 16 << 20
"""Bytes of a call, of a file and of a typed request."""

CLIENT_LIMITS: Mapping[bytes, int] = {
    b"C": PAYLOAD_MAX,
    b"F": PAYLOAD_MAX,
    b"J": PAYLOAD_MAX,
    b"D": 16,
    b"I": 16,
    b"S": 64,
}
"""Types that a client may send, and their largest payloads."""

DAEMON_LIMITS: Mapping[bytes, int] = {
    **dict.fromkeys(
        (b"O", b"E", b"R", b"A", b"P", b"K", b"T", b"L", b"Y", b"W", b"X", b"B"), PAYLOAD_MAX
    ),
    b"J": (1 << 32) - 1,
}
"""Types that stokerd may send, and their largest payloads."""

RLIMIT_NAMES = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
]
"""Resource limits in the kernel's order, which is that of the lines of /proc/self/limits."""

_HEAD = struct.Struct("!cI")
_SLICE = 1 << 16


class WireError(errors.StokerError):
    """A peer sent what is no frame, or a frame that says nothing sensible."""


class Frame(NamedTuple):
    """A type byte and its payload."""

    kind: bytes
    payload: bytes


class FrameReader:
    """Cuts a stream of bytes into frames, however it arrives in pieces."""

    def __init__(self, limits: Mapping[bytes, int]) -> None:
        self._limits = limits
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Return the bytes that wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take what arrived and return the frames that are now whole.

        Raises:
            WireError: An unknown type, or a payload above its limit; the stream is useless then.
        """
        self._buffer += data
        frames = []
        start = 0
        while (frame := self._next(start)) is not None:
            frames.append(frame)
            start += _HEAD.size + len(frame.payload)
        if start:
            del self._buffer[:start]
        return frames

    def _next(self, start: int) -> Frame | None:
        if len(self._buffer) < start + _HEAD.size:
            return None
        kind, length = _HEAD.unpack_from(self._buffer, start)
        limit = self._limits.get(kind)
        if limit is None:
            raise WireError(f"cannot read a frame of type {kind!r}: there is none")
        if length > limit:
            raise WireError(f"cannot take {length} bytes of type {kind!r}: {limit} are allowed")
        begin = start + _HEAD.size
        if len(self._buffer) < begin + length:
            return None
        return Frame(kind, bytes(memoryview(self._buffer)[begin : begin + length]))


def encode(kind: bytes, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return _HEAD.pack(kind, len(payload)) + payload


def encode_text(kind: bytes, text: str) -> bytes:
    """Return *text* as frames of that type; none is cut inside a character."""
    return b"".join(
        encode(kind, to_bytes(text[start : start + _SLICE]))
        for start in range(0, len(text), _SLICE)
    )


def to_bytes(text: str) -> bytes:
    """Return the bytes that *text* was read from."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def to_text(data: bytes) -> str:
    """Return *data* as text from which `to_bytes` makes the same bytes again."""
    return data.decode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    """Return *text* with escapes for bytes that are none, so that it can be encoded."""
    return to_bytes(text).decode("utf-8", "backslashreplace")


class CallMessage(msgspec.Struct, frozen=True):
    """A call as it travels: all that the caller's side knows of itself. ``argv`` has no program."""

    program: str
    argv: tuple[str, ...] = ()
    work_dir: str = ""
    environment: Mapping[str, str] = {}
    umask: int = 0o022
    rlimits: Mapping[str, tuple[int, int]] = {}
    key: str = ""


def encode_call(call: CallMessage) -> bytes:
    """Return the ``C`` frame of *call*; program, key and names of limits hold no spaces."""
    entries = [f"{name}={value}" for name, value in call.environment.items()]
    limits = ",".join(f"{name}:{soft}:{hard}" for name, (soft, hard) in call.rlimits.items())
    header = (
        f"{VERSION} {call.program} {call.key or '-'} {len(call.argv)} {len(entries)} "
        f"{call.umask:o} {limits or '-'}\n"
    )
    return encode(b"C", to_bytes(header + "\0".join([call.work_dir, *call.argv, *entries])))


def decode_call(payload: bytes) -> CallMessage:
    """Read the payload of a ``C`` frame.

    Raises:
        WireError: It is no call, or one of another version of the wire.
    """
    try:
        header, _, body = payload.partition(b"\n")
        version, *fields = header.decode("ascii").split(" ")
        if version != str(VERSION):
            raise WireError(
                f"cannot read a call of version {version!r}: this stokerd speaks {VERSION}; "
                "restart it after an upgrade (`stoker down`)"
            )
        program, key, argc, envc, umask, limits = fields
        return _call(program, key, int(argc), int(envc), int(umask, 8), limits, body)
    except ValueError as error:
        raise WireError(f"cannot read the call: {error}") from None


def _call(
    program: str, key: str, argc: int, envc: int, umask: int, limits: str, body: bytes
) -> CallMessage:
    words = to_text(body).split("\0")
    if argc < 0 or envc < 0 or len(words) != 1 + argc + envc:
        raise WireError(
            f"cannot read the call: {argc} and {envc} words promised, {len(words)} came"
        )
    if not 0 <= umask <= 0o777:
        raise WireError(f"cannot read the call: {umask:o} is no umask")
    return CallMessage(
        program=program,
        argv=tuple(words[1 : 1 + argc]),
        work_dir=words[0],
        environment=_environment(words[1 + argc :]),
        umask=umask,
        rlimits=_rlimits(limits),
        key="" if key == "-" else key,
    )


def _environment(entries: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` entries; of doubles the first counts, as with getenv(3)."""
    found: dict[str, str] = {}
    for entry in entries:
        name, is_variable, value = entry.partition("=")
        if name and is_variable:
            found.setdefault(name, value)
    return found


def _rlimits(text: str) -> dict[str, tuple[int, int]]:
    """Read ``name:soft:hard,...``; -1 is no limit."""
    if text in ("", "-"):
        return {}
    found = {}
    for entry in text.split(","):
        name, soft, hard = entry.split(":")
        found[name] = (int(soft), int(hard))
    return found


def encode_read(path: str, size_max: int) -> bytes:
    """Return the ``R`` frame: please send up to *size_max* bytes of this file."""
    return encode(b"R", b"%d\n%s" % (size_max, to_bytes(path)))


def decode_read(payload: bytes) -> tuple[str, int]:
    """Read the payload of an ``R`` frame: path and largest size."""
    size_max, _, path = payload.partition(b"\n")
    return to_text(path), _number(size_max)


def encode_file(content: bytes, errno: int = 0) -> bytes:
    """Return the ``F`` frame with a file's content, or with the errno of the failure."""
    return encode(b"F", b"%d\n%s" % (errno, content))


def decode_file(payload: bytes, path: str, size_max: int) -> bytes:
    """Read the payload of an ``F`` frame.

    Raises:
        OSError: As the caller met it, or EFBIG for a file above *size_max*.
        WireError: The payload is none.
    """
    status, _, content = payload.partition(b"\n")
    if errno := _number(status):
        raise OSError(errno, os.strerror(errno), path)
    if len(content) > size_max:
        raise OSError(EFBIG, os.strerror(EFBIG), path)
    return content


def encode_attach(
    pumped: str, first: int, end: int, ntasks: int, *, in_pieces: bool = False
) -> bytes:
    """Return the ``A`` frame: please send descriptors, with pipes for tasks *first* to *end*."""
    numbers = b"%d %d %d %d" % (first, end, ntasks, in_pieces)
    return encode(b"A", (pumped.encode() or b"-") + b" " + numbers)


def decode_attach(payload: bytes) -> tuple[str, int, int, int]:
    """Read the payload of an ``A`` frame: what `encode_attach` took first."""
    try:
        pumped, *numbers = payload.split(b" ")
        first, end, ntasks, _ = map(_number, numbers)
    except ValueError:
        raise WireError(f"cannot read a request for descriptors: {payload!r}") from None
    return pumped.decode().strip("-"), first, end, ntasks


def encode_program(directory: str, argv: Sequence[str], entries: Sequence[str]) -> bytes:
    """Return the ``P`` frame: please run *argv* there, with ``NAME=VALUE`` entries on top."""
    body = "\0".join([directory, *argv, *entries])
    return encode(b"P", b"%d\n%s" % (len(argv), to_bytes(body)))


def decode_program(payload: bytes) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Read the payload of a ``P`` frame: directory, words, environment entries."""
    argc, _, body = payload.partition(b"\n")
    directory, *words = to_text(body).split("\0")
    count = _number(argc)
    return directory, tuple(words[:count]), tuple(words[count:])


def encode_copy(source: str, target: str, *, replaces: bool, preserves: bool) -> bytes:
    """Return the ``T`` frame: please copy a file, over another one or with its times."""
    flags = b"f" * replaces + b"p" * preserves
    return encode(b"T", flags + b"\n" + to_bytes(f"{source}\0{target}"))


def decode_copy(payload: bytes) -> tuple[str, str, bool, bool]:
    """Read the payload of a ``T`` frame: what `encode_copy` took."""
    flags, _, names = payload.partition(b"\n")
    source, separator, target = to_text(names).partition("\0")
    if not separator:
        raise WireError("cannot read what to copy: two names are needed")
    return source, target, b"f" in flags, b"p" in flags


def encode_follow(files: Iterable[tuple[str, int, str]]) -> bytes:
    """Return the ``Y`` frame: paths, each with its offset and what stands before its lines."""
    words = (word for path, offset, label in files for word in (path, str(offset), label))
    return encode(b"Y", to_bytes("\0".join(words)))


def decode_follow(payload: bytes) -> list[tuple[str, int, str]]:
    """Read the payload of a ``Y`` frame: what `encode_follow` took."""
    words = to_text(payload).split("\0")
    if len(words) % 3:
        raise WireError("cannot read what to follow: three words are needed of each")
    if not all(re.fullmatch(r"\d{1,18}", word, re.ASCII) for word in words[1::3]):
        raise WireError("cannot read what to follow: an offset is no number")
    return list(zip(words[::3], map(int, words[1::3]), words[2::3], strict=True))


def encode_write(path: str, content: bytes, mode: int) -> bytes:
    """Return the ``L`` frame: please write a file; one that is there is written anew."""
    return encode(b"L", b"%o\n%s\0%s" % (mode, to_bytes(path), content))


def decode_write(payload: bytes) -> tuple[str, bytes, int]:
    """Read the payload of an ``L`` frame: what `encode_write` took.

    Raises:
        WireError: The payload is none.
    """
    head, separator, content = payload.partition(b"\0")
    mode, _, path = head.partition(b"\n")
    if not separator or not mode or not set(mode) <= set(b"01234567"):
        raise WireError("cannot read what to write: a mode, a name and a content are needed")
    return to_text(path), content, int(mode, 8)


def encode_ending(code: int, signal: int = 0, errno: int = 0, interrupt: int = 0) -> bytes:
    """Return the ``S`` frame: exit code, signal, or why it could not be done.

    *interrupt* is the last signal that came for the caller meanwhile.
    """
    return encode(b"S", b"%d %d %d %d" % (code, signal, errno, interrupt))


def decode_ending(payload: bytes) -> tuple[int, int, int, int]:
    """Read the payload of an ``S`` frame: what `encode_ending` took.

    Raises:
        WireError: The payload is none.
    """
    numbers = [_number(word) for word in payload.split(b" ")]
    if len(numbers) == 3:
        numbers.append(0)
    if len(numbers) != 4:
        raise WireError("cannot read how a program ended: three numbers are needed, or four")
    code, signal, errno, interrupt = numbers
    return code, signal, errno, interrupt


def decode_number(payload: bytes) -> int:
    """Read the payload of an ``I`` or ``X`` frame: a signal's number, an exit status."""
    return _number(payload)


def _number(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 9:
        raise WireError(f"cannot read {digits[:20]!r}: it is no number")
    return int(digits)


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
