"""What stokerd asks of its callers on the wire, and what they bring back: files, descriptors, ends.

`cli.thin` and `cli.errands` read the same frames with code of their own, since they may import
nothing: change them together.

Always holds: what a caller brings either decodes or raises `WireError`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from errno import EFBIG

from stoker.core.wire import WireError, encode, number, to_bytes


def encode_read(path: str, size_max: int) -> bytes:
    """Return the ``R`` frame: please send up to *size_max* bytes of this file."""
    return encode(b"R", b"%d\n%s" % (size_max, to_bytes(path)))


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


def encode_follow(files: Iterable[tuple[str, int, str]]) -> bytes:
    """Return the ``Y`` frame: paths, each with its offset and what stands before its lines."""
    words = (word for path, offset, label in files for word in (path, str(offset), label))
    return encode(b"Y", to_bytes("\0".join(words)))


def encode_write(path: str, content: bytes, mode: int) -> bytes:
    """Return the ``L`` frame: please write a file; one that is there is written anew."""
    return encode(b"L", b"%o\n%s\0%s" % (mode, to_bytes(path), content))


def decode_ending(payload: bytes) -> tuple[int, int, int, int]:
    """Read the payload of an ``S`` frame: code, signal, errno, and the caller's own signal.

    The errno says why it could not be done; the signal is the last that came for the caller
    meanwhile, and may be missing.

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
