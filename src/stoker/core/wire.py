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
change `encode_call` and `cli/thin.py` together. What stands in a frame beyond a call is read and
written in `core.errands` (what callers are asked to do) and `core.rpcwire` (typed requests).

Always holds: what a peer sends either decodes or raises `WireError`; nothing else gets out, and
nothing larger than its type allows is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

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
_WORD_MAX = 1 << 17
"""Letters of an argument or a variable: the kernel passes no longer ones (MAX_ARG_STRLEN)."""


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
    if max(map(len, words)) > _WORD_MAX:
        raise WireError(f"cannot read the call: a word has more than {_WORD_MAX} letters")
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


def decode_number(payload: bytes) -> int:
    """Read the payload of an ``I`` or ``X`` frame: a signal's number, an exit status."""
    return number(payload)


def number(digits: bytes) -> int:
    """Return the number that *digits* write.

    Raises:
        WireError: They are none, or too many.
    """
    if not digits.isdigit() or len(digits) > 9:
        raise WireError(f"cannot read {digits[:20]!r}: it is no number")
    return int(digits)
