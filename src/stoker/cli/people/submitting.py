"""`stoker submit`: one command, or thousands by the line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import click

from stoker.cli.people.lines import arrived_lines, draft_of
from stoker.cli.people.screen import complain, console, count, is_terminal, say, say_json
from stoker.client.client import Client
from stoker.client.surroundings import look_around
from stoker.core.errors import InvalidSpec, StokerError, UserError
from stoker.core.messages import Draft


class Unread(click.Command):
    """A command that gets its words as they were typed, ``--`` included."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep click from reading them."""
        return super().parse_args(ctx, ["--", *args])


@click.command("submit", cls=Unread, add_help_option=False, options_metavar="[SBATCH OPTIONS]")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND [ARG ...]")
@click.pass_context
def submit_command(ctx: click.Context, words: tuple[str, ...]) -> int:
    """Queue a command with no shell in between; print its id.

    sbatch's options come first, then -- and the command. With --from FILE (or -, standard input)
    each line is a job: a shell command, or a JSON object {"argv": [...]} or {"script": "..."} with
    sbatch's long options as keys. An id is printed for each, in order; at the first line that is
    wrong it stops and says where. --json prints an object a line.

    Examples:
      stoker submit -- python train.py --epochs 3
      stoker submit --cpus-per-task=4 --time=1:00:00 -- make -j4
      stoker submit --from jobs.txt
      ls *.log | sed 's/^/gzip /' | stoker submit --cpus-per-task=1 --from -
    """
    line = read_words(words)
    if line.wants_help:
        click.echo(ctx.get_help())
        return 0
    if line.source:
        return _submit_lines(line)
    if not line.words or line.words[-1] == "--":
        raise click.UsageError("cannot submit nothing: give a command after --, or --from FILE")
    with Client() as client:
        job_id = client.submit(*line.words)
        _say_id(job_id, as_json=line.as_json)
    return 0


class CommandLine(NamedTuple):
    """What was typed: our own options, and the words that go to the daemon."""

    words: tuple[str, ...]
    source: str = ""
    as_json: bool = False
    wants_help: bool = False


_FLAGS = ("--json", "--help", "-h")


def read_words(words: Sequence[str]) -> CommandLine:
    """Take our own options out of those before ``--``; the rest is sbatch's."""
    at = words.index("--") if "--" in words else len(words)
    kept: list[str] = []
    source = ""
    flags: set[str] = set()
    head = list(reversed(words[:at]))
    while head:
        word = head.pop()
        name, equals, value = word.partition("=")
        if name == "--from":
            if not equals and not head:
                raise click.UsageError(f"option {name} needs a value")
            source = value if equals else head.pop()
        elif word in _FLAGS:
            flags.add(word)
        else:
            kept.append(word)
    if source and words[at:]:
        raise click.UsageError("cannot take both --from and a command")
    return CommandLine(
        words=(*kept, *words[at:]),
        source=source,
        as_json="--json" in flags,
        wants_help=bool(flags & {"--help", "-h"}),
    )


# --- By the line.


class Batch(NamedTuple):
    """The drafts that some lines describe, with their line numbers, up to the first bad line."""

    drafts: list[Draft]
    numbers: list[int]
    problem: InvalidSpec | None = None


def read_batch(lines: Sequence[str], line: CommandLine, first: int) -> Batch:
    """Read lines, of which the first has the number *first*; *line* says what holds for all."""
    batch = Batch([], [])
    for number, text in enumerate(lines, first):
        try:
            draft = draft_of(text, line.words)
        except InvalidSpec as error:
            batch.numbers.append(number)
            return batch._replace(problem=error)
        if draft is not None:
            batch.drafts.append(draft)
            batch.numbers.append(number)
    return batch


def _submit_lines(line: CommandLine) -> int:
    """Submit a job a line as the lines arrive; return the exit status."""
    around = look_around()
    first, total = 1, 0
    with Client() as client, _opened(line.source) as descriptor, _progress() as advance:
        for lines in arrived_lines(descriptor):
            batch = read_batch(lines, line, first)
            first += len(lines)
            done = 0
            try:
                for job_id in client.submit_many(batch.drafts, around):
                    done += 1
                    _say_id(job_id, as_json=line.as_json)
                    advance()
                if batch.problem is not None:
                    raise batch.problem
            except StokerError as error:
                complain(f"line {batch.numbers[done]}: {error}; {_so_far(total + done)}")
                return 1
            total += done
    return 0


def _so_far(submitted: int) -> str:
    if not submitted:
        return "nothing was submitted"
    return (
        f"{count(submitted, 'job')} from the lines before it stay queued, nothing after it was read"
    )


def _say_id(job_id: int, *, as_json: bool) -> None:
    if as_json:
        say_json({"id": str(job_id), "job_id": job_id}, in_one_line=True)
    else:
        say(str(job_id))


@contextmanager
def _opened(source: str) -> Iterator[int]:
    """Open the file of jobs; ``-`` is standard input."""
    if source == "-":
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"cannot read the jobs: {source}: {error.strerror}") from None
    try:
        yield descriptor
    except IsADirectoryError as error:
        raise UserError(f"cannot read the jobs: {source}: {error.strerror}") from None
    finally:
        os.close(descriptor)


@contextmanager
def _progress() -> Iterator[Callable[[], None]]:
    """Show how many were submitted where somebody watches, and the ids go elsewhere."""
    if not is_terminal(sys.stderr) or is_terminal():
        yield lambda: None
        return
    from rich.progress import Progress  # noqa: PLC0415 - rich costs 50 ms

    with Progress(
        "[progress.description]{task.description}",
        "{task.completed:,.0f}",
        console=console(sys.stderr),
        transient=True,
    ) as progress:
        task = progress.add_task("submitted", total=None)
        yield lambda: progress.advance(task)
