"""What stokerd asks of its callers on the wire, and what they bring back: files, descriptors, ends.

`cli.thin` and `cli.errands` read the same frames with code of their own, since they may import
nothing: change them together.

Always holds: what a caller brings either decodes or raises `WireError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from errno import EFBIG

from stoker.core.wire import WireError, encode, number, to_bytes, to_text


def encode_read(path: str, size_max: int) -> bytes:
    """Return the ``R`` frame: please send up to *size_max* bytes of this file."""
    return encode(b"R", b"%d\n%s" % (size_max, to_bytes(path)))


def decode_read(payload: bytes) -> tuple[str, int]:
    """Read the payload of an ``R`` frame: path and largest size."""
    size_max, _, path = payload.partition(b"\n")
    return to_text(path), number(size_max)


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
    if errno := number(status):
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


def encode_program(directory: str, argv: Sequence[str], entries: Sequence[str]) -> bytes:
    """Return the ``P`` frame: please run *argv* there, with ``NAME=VALUE`` entries on top."""
    body = "\0".join([directory, *argv, *entries])
    return encode(b"P", b"%d\n%s" % (len(argv), to_bytes(body)))


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
    numbers = [number(word) for word in payload.split(b" ")]
    if len(numbers) == 3:
        numbers.append(0)
    if len(numbers) != 4:
        raise WireError("cannot read how a program ended: three numbers are needed, or four")
    code, signal, errno, interrupt = numbers
    return code, signal, errno, interrupt
