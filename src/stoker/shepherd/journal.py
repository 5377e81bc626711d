"""What survives the shepherd: one file, a line a record, each with its checksum.

    ["journal", version, boot_id, since] heads the file; since then nothing was lost of it
    ["launch", {...}]                    units were taken on, as stokerd's message says it; synced
                                         before anything is spawned
    ["intent", {...}]                    the same of one unit
    ["begin", key]                       it is about to be spawned
    ["start", key, pid, ticks, at, clock]
    ["death", key, status, at, why, [...]] its process was reaped; noted by who begins anew
    ["end", key, {...}]                  the last event of a unit; synced before it is told
    ["pause", group, seconds, since]     how long a group has been suspended, and since when it is
    ["limit", key, seconds]
    ["forget", [key, ...]]

Begin and start are written, not synced: they survive our own death, and after a power failure the
boot id is another. What does not parse is the torn end of the file, or damage: then it is said, and
what can be read counts. A file that has grown is written anew with what is still of use; so is one
that could not be written or synced, since nobody knows what it holds: until that succeeds, nothing
new is started and no end is told.

Always holds: the file holds whole lines only, up to ``size``.
"""

from __future__ import annotations

import json
import os
from binascii import crc32

from stoker.shepherd.disk import Disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    Record: TypeAlias = list[Any]

VERSION = 1
GROWTH_MAX = 4 << 20
"""Bytes by which the file may grow before it is written anew."""

_NAME = "shepherd.journal"
_FRESH = "shepherd.journal.new"
_FLAGS = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


text_of = json.JSONEncoder(separators=(",", ":")).encode
"""Makes JSON of a record or of a part of one; made once, for it is used several times a job."""


def line_of(record: Record) -> bytes:
    """Return a record's line."""
    return _line(text_of(record))


def _line(text: str) -> bytes:
    # A record may be what stokerd said, whose JSON leaves letters of all languages as they are.
    body = text.encode()
    return b"%08x %s\n" % (crc32(body), body)


def record_of(line: bytes) -> Record | None:
    """Return a line's record, or None if it is damaged."""
    body = line[9:]
    try:
        if int(line[:8], 16) != crc32(body) or line[8:9] != b" ":
            return None
        record = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, list) and record else None


def read(directory: int) -> tuple[list[Record], list[str]]:
    """Return the records of the journal in *directory*, and what is to be said of damage.

    Raises:
        OSError: There is a journal, but it cannot be read.
    """
    try:
        descriptor = os.open(_NAME, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return [], []
    with open(descriptor, "rb") as file:
        content = file.read()
    lines = content.split(b"\n")
    torn = lines.pop()
    records, damage = [], []
    for number, line in enumerate(lines, 1):
        record = record_of(line)
        if record is None:
            damage.append(f"line {number} of {_NAME} is damaged and skipped; it says {line!r}")
        else:
            records.append(record)
    if torn:
        damage.append(f"the last line of {_NAME} is torn; it says {torn!r}")
    return records, damage


class Journal:
    """The file that this shepherd writes.

    Attributes:
        trouble: Why the file cannot be relied on, or None.
    """

    def __init__(self, directory: int, dump: Callable[[], Iterable[str]]) -> None:
        """Write in *directory*; *dump* gives the records of all that is of use now, as JSON."""
        self.trouble: OSError | None = OSError("not yet written")
        self.size = 0
        self._directory = directory
        self._dump = dump
        self._descriptor = -1
        self._pending = bytearray()
        self._grown_to = GROWTH_MAX
        self._disk = Disk()

    @property
    def is_committing(self) -> bool:
        """Whether a commit has begun that `end_commit` has not ended."""
        return self._disk.is_busy

    @property
    def done_fd(self) -> int:
        """Return what can be read when it is time for `end_commit`."""
        return self._disk.done_fd

    @property
    def is_homeless(self) -> bool:
        """Whether the directory was deleted."""
        return os.fstat(self._directory).st_nlink == 0

    def close(self) -> None:
        """Close the file."""
        self._close_file()
        self._disk.close()

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def note(self, *record: Any) -> None:
        """Have a record written with the next write; in trouble *dump* will give it."""
        if self.trouble is None:
            self._pending += line_of(list(record))

    def note_text(self, record: str) -> None:
        """Have a record written that is JSON already."""
        if self.trouble is None:
            self._pending += _line(record)

    def write(self) -> bool:
        """Write what was noted; return whether it stands in the file."""
        if self.trouble is None and self._pending:
            try:
                self._append()
            except OSError as error:
                self._fall_ill(error)
        return self.trouble is None

    def commit(self) -> bool:
        """Write and sync what was noted; return whether it is safe."""
        if not self.write():
            return False
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._fall_ill(error)
        return self._is_sound()

    def begin_commit(self) -> bool:
        """Write what was noted and have it synced beside us; return whether that has begun."""
        if not self.write():
            return False
        self._disk.begin(self._descriptor)
        return True

    def end_commit(self) -> bool:
        """Return whether all that was noted before `begin_commit` is safe; `done_fd` is ready."""
        error = self._disk.end()
        if error is not None:
            self._fall_ill(error)
        return self._is_sound()

    def _is_sound(self) -> bool:
        """Whether the file can be relied on; one that has grown is written anew."""
        if self.trouble is None and self.size > self._grown_to:
            self.renew()
        return self.trouble is None

    def _append(self) -> None:
        while self._pending:
            written = os.write(self._descriptor, self._pending)
            self.size += written
            del self._pending[:written]

    def _fall_ill(self, error: OSError) -> None:
        self.trouble = error
        self._pending.clear()

    def renew(self) -> bool:
        """Write the file anew, with what is of use; return whether that is safe now."""
        assert not self.is_committing, "the file is being synced"
        content = b"".join(map(_line, self._dump()))
        try:
            descriptor = self._write_fresh(content)
        except OSError as error:
            self._fall_ill(error)
            return False
        self._close_file()
        self._descriptor = descriptor
        self._pending.clear()
        self.size = len(content)
        self._grown_to = 2 * len(content) + GROWTH_MAX
        self.trouble = None
        return True

    def _write_fresh(self, content: bytes) -> int:
        descriptor = os.open(_FRESH, _FLAGS | os.O_TRUNC, 0o600, dir_fd=self._directory)
        try:
            os.fchmod(descriptor, 0o600)
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fdatasync(descriptor)
            os.rename(_FRESH, _NAME, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            os.fsync(self._directory)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor
