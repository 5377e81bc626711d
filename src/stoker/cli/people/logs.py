"""`stoker logs`: what a job wrote, and what it goes on to write."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from stoker.cli.people.screen import complain, is_terminal
from stoker.cli.thin import harmless
from stoker.client.client import Client
from stoker.core.enums import JobState
from stoker.core.errors import StokerError, UserError
from stoker.core.messages import JobDetail

_CHUNK = 1 << 16
_LOOK_S = 0.2
"""How often a file that somebody else writes is looked at: files say nothing when they grow."""
_ASK_S = 1.0
"""How often stokerd is asked whether the job goes on."""


@click.command("logs")
@click.argument("job_id", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job ends.")
@click.option("--stderr", "-e", is_flag=True, help="Its standard error, where that has a file.")
@click.option("--lines", "-n", type=click.IntRange(min=0), help="Only the last lines.")
@click.option("--path", is_flag=True, help="Only say where the file is.")
def logs_command(
    job_id: str,
    follow: bool,
    stderr: bool,
    lines: int | None,
    path: bool,
) -> None:
    """Print what a job wrote.

    Examples:
      stoker logs 42
      stoker logs -f 42            follow it until it ends
      stoker logs -n 20 43_7       the last lines of a task
      less $(stoker logs --path 42)
    """
    with Client() as client:
        detail = client.job(job_id)
        source = Path(detail.stderr if stderr else detail.stdout)
        if path:
            click.echo(str(source))
            return
        if not follow:
            _check(detail, source)
        file = Output(source, sys.stdout.fileno())
        file.open_at_line(lines)
        file.copy()
        if follow:
            _follow(client, job_id, file)


def _check(detail: JobDetail, source: Path) -> None:
    if source.exists() or JobState(detail.job.state) is JobState.RUNNING:
        return
    if JobState(detail.job.state) is JobState.PENDING:
        raise UserError(
            f"cannot show the output of job {detail.job.id}: it has not started; "
            f"`stoker why {detail.job.id}` tells why, `stoker logs -f {detail.job.id}` waits"
        )
    raise UserError(
        f"cannot show the output of job {detail.job.id}: {source} is not there; "
        "the job was told to write there, and somebody may have moved it"
    )


def _follow(client: Client, job_id: str, file: Output) -> None:
    """Copy what comes until the job has ended, and then the rest."""
    for has_ended in _looks(lambda: _has_ended(client, job_id)):
        file.copy()
        if has_ended:
            return


def _looks(is_over: Callable[[], bool]) -> Iterator[bool]:
    """Give, at each look at the file, whether the job had ended before it."""
    ask_at = time.monotonic()
    while True:
        now = time.monotonic()
        has_ended = False
        if now >= ask_at:
            has_ended = is_over()
            ask_at = now + _ASK_S
        yield has_ended
        time.sleep(_LOOK_S)


def _has_ended(client: Client, job_id: str) -> bool:
    try:
        return all(JobState(each.job.state).has_ended for each in client.details(job_id))
    except StokerError as error:
        complain(f"{error}; what the job writes is shown on")
        return False


class Output:
    """A file that grows, and where it is copied to; one that is not there yet is empty."""

    def __init__(self, path: Path, target: int) -> None:
        self._path = path
        self._target = target
        self._is_terminal = is_terminal()
        self._offset = 0

    def open_at_line(self, lines: int | None) -> None:
        """Pass over all but the last *lines* lines; None: over nothing."""
        if lines is not None:
            self._offset = _start_of_last_lines(self._path, lines)

    def copy(self) -> None:
        """Copy what has come since the last time."""
        for chunk in self._fresh():
            data = harmless(chunk) if self._is_terminal else chunk
            while data:
                data = data[os.write(self._target, data) :]

    def _fresh(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0  # It was truncated: another attempt began.
                file.seek(self._offset)
                while chunk := file.read(_CHUNK):
                    self._offset += len(chunk)
                    yield chunk
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"cannot read {self._path}: {error.strerror}") from None


def _start_of_last_lines(path: Path, lines: int) -> int:
    """Return where the last *lines* lines begin, reading backwards."""
    try:
        with path.open("rb") as file:
            end = position = file.seek(0, os.SEEK_END)
            wanted = lines + 1 if _ends_with_break(path) else lines
            while position > 0 and wanted > 0:
                begin = max(0, position - _CHUNK)
                file.seek(begin)
                block = file.read(position - begin)
                while wanted and (at := block.rfind(b"\n")) >= 0:
                    wanted -= 1
                    if not wanted:
                        return begin + at + 1
                    block = block[:at]
                position = begin
            return 0 if lines else end
    except OSError:
        return 0


def _ends_with_break(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
