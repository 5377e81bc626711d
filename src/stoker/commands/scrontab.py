"""scrontab: jobs that run at set times, from a file, from an editor, or from standard input.

Each entry becomes a job with the options of its ``#SCRON`` lines, that waits for its next time
whenever it has ended. The whole text is taken, or none of it.

Source: scrontab(1).
"""

from __future__ import annotations

import posixpath
from collections.abc import Generator, Mapping
from typing import Any, Final

import msgspec

from stoker.commands import joboptions
from stoker.commands.crontab import CrontabError, Line, read_crontab
from stoker.commands.demands import check_demands
from stoker.commands.errors import describe
from stoker.commands.options import (
    HELP,
    USAGE,
    VERSION_OPTION,
    EarlyAnswer,
    Option,
    Parsed,
    parse,
)
from stoker.commands.readers import take_all
from stoker.commands.submission import Program, submission_of, wishes_of
from stoker.commands.wishes import OptionError
from stoker.core.errors import StokerError
from stoker.core.models import CronEntry, Owner
from stoker.worker.call import (
    Answer,
    Call,
    Conversation,
    ProgramEnd,
    ReadFile,
    Request,
    RunProgram,
)
from stoker.worker.controller import Controller
from stoker.worker.requests import Submission

OPTIONS: Final = (
    Option("edit", "e", help="edit the crontab with $EDITOR"),
    Option("list", "l", help="print the crontab"),
    Option("remove", "r", help="remove the crontab and its jobs"),
    Option("user", "u", "required", "another user's crontab (root only)", value="NAME"),
    Option("verbose", "v", help="say more", meaning="meaningless"),
    HELP,
    USAGE,
    VERSION_OPTION,
)

_SCRIPT: Final = "#!/bin/sh\n# This crontab job was submitted through scrontab\n{}\n"
_SIZE_MAX: Final = 100_000
"""Bytes of a crontab: it fits into one variable of an editor's environment."""
_TEMPLATE: Final = """\
# Jobs that run at set times: minute, hour, day of month, month, day of week, command.
# A line that begins with #SCRON holds options of sbatch for the entry after it.
#
# #SCRON --time=10 --mem=500M
# 30 6 * * 1-5 $HOME/bin/report
"""
_EDIT: Final = (
    'umask 077; set -C; printf %s "$SCRONTAB_TEXT" >"$SCRONTAB_FILE" || exit 1; set +C; '
    'eval "${VISUAL:-${EDITOR:-vi}} \\"\\$SCRONTAB_FILE\\""'
)
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


class _Refusal(Exception):
    """Why the command cannot be carried out: lines for standard error."""


def scrontab(call: Call, controller: Controller) -> Conversation:
    """Show, replace, edit or remove a crontab."""
    try:
        parsed = parse("scrontab", OPTIONS, call.argv)
        return (yield from _answer(call, parsed, controller))
    except EarlyAnswer as early:
        return early.answer
    except _Refusal as refusal:
        return Answer(err=f"{refusal}\n", code=1)


def _answer(call: Call, parsed: Parsed, controller: Controller) -> Conversation:
    owner = _owner(call, parsed, controller)
    if sum(parsed.has(name) for name in ("edit", "list", "remove")) > 1 or len(parsed.operands) > 1:
        raise _failure("only one of --edit, --list, --remove and a file can be meant")
    text = controller.crontab(owner.user_id)
    if parsed.has("list") or parsed.has("remove"):
        if not text:
            raise _Refusal(f"no crontab for {owner.user_name}")
        if parsed.has("list"):
            return Answer(out=text if text.endswith("\n") else f"{text}\n")
        controller.set_crontab(owner, "", ())
        return Answer()
    if parsed.has("edit"):
        return (yield from _edited(call, owner, text, controller))
    name = parsed.operands[0] if parsed.operands else "-"
    path = name if name == "-" else posixpath.join(call.work_dir, name)
    _take(call, owner, (yield from _read(path, name)), controller)
    return Answer()


def _failure(text: str) -> _Refusal:
    return _Refusal(f"scrontab: error: {text}")


def _owner(call: Call, parsed: Parsed, controller: Controller) -> Owner:
    """Return whose crontab is meant."""
    name = parsed.last("user")
    if name in (None, call.owner.user_name):
        return call.owner
    owner = controller.owner_named(str(name))
    if owner is None:
        raise _failure(f"Invalid user: {name}")
    if call.owner.user_id:
        raise _failure("Only root may look at, or change, another user's crontab")
    return owner


def _read(path: str, name: str) -> Generator[Request, Any, str]:
    try:
        content: bytes = yield ReadFile(path, _SIZE_MAX)
    except OSError as error:
        raise _failure(f"cannot read {name}: {error.strerror}") from None
    return content.decode("utf-8", "surrogateescape")


def _edited(
    call: Call, owner: Owner, text: str, controller: Controller
) -> Generator[Request, Any, Answer]:
    """Let the caller's editor have the text; what is wrong with it stays in the file."""
    place = call.environment.get("TMPDIR") or "/tmp"  # noqa: S108 - made with O_EXCL, as 0600
    path = posixpath.join(place, f"scrontab.{call.key or call.pid}")
    before = text or _TEMPLATE
    variables = (f"SCRONTAB_TEXT={before}", f"SCRONTAB_FILE={path}")
    argv = ("/bin/sh", "-c", _EDIT)
    end: ProgramEnd = yield RunProgram(argv, call.work_dir or "/", variables)
    if end.errno or end.code or end.signal:
        raise _failure("the editor failed; the crontab is as it was")
    after = yield from _read(path, path)
    try:
        if after != before:
            _take(call, owner, after, controller)
    except _Refusal as refusal:
        raise _Refusal(f"{refusal}\nscrontab: what you wrote is kept in {path}") from None
    yield RunProgram(("/bin/rm", "-f", path), "/")
    return Answer(err="" if after != before else "scrontab: no changes made\n")


def _take(call: Call, owner: Owner, text: str, controller: Controller) -> None:
    """Let the user have this crontab, whole or not at all."""
    if "\0" in text:
        raise _failure("a crontab holds text, not NUL bytes")
    try:
        lines = read_crontab(text)
    except CrontabError as error:
        raise _failure(f"There was an issue with {error}") from None
    is_own = owner == call.owner and "HOME" in call.environment
    home = (call.environment["HOME"] if is_own else controller.home_of(owner.user_name)) or "/"
    submissions = []
    for number, line in enumerate(lines):
        try:
            submission = _submission(call, owner, home, line, number, controller.names_directory)
            check_demands(submission, {}, controller)
        except (OptionError, EarlyAnswer) as error:
            raise _issue(line, _first_line(error)) from None
        except StokerError as error:
            raise _issue(line, describe(error)) from None
        submissions.append(submission)
    try:
        controller.set_crontab(owner, text, submissions)
    except StokerError as error:
        raise _failure(describe(error)) from None


def _issue(line: Line, why: str) -> _Refusal:
    first = line.number - line.text.count("\n")
    where = f"line {first}" if first == line.number else f"lines {first}-{line.number}"
    return _failure(f"There was an issue with the job submission on {where}: {why}")


def _first_line(error: OptionError | EarlyAnswer) -> str:
    text = error.text if isinstance(error, OptionError) else error.answer.err or "it asks for help"
    return text.split("\n", 1)[0].removeprefix("sbatch: ").removeprefix("error: ")


def _submission(
    call: Call, owner: Owner, home: str, line: Line, number: int, names: str
) -> Submission:
    """Return the job of an entry: sbatch's, in the user's home, with few variables."""
    zone = call.environment.get("TZ", "")
    submitted = msgspec.structs.replace(
        call,
        program="sbatch",
        argv=line.options,
        owner=owner,
        work_dir=home,
        environment=_environment(owner, home, zone, line.variables, names),
        key=f"{call.key}.{number}" if call.key else "",
    )
    wishes = wishes_of(submitted)
    wishes.names = names
    parsed = parse("sbatch", joboptions.SBATCH, line.options)
    if parsed.operands:
        wishes.fail(f"error: Invalid #SCRON option: {parsed.operands[0]}")
    take_all(wishes, parsed.values)
    program = Program(
        name=posixpath.basename(line.command.split()[0]) or "scrontab",
        script=_SCRIPT.format(line.command).encode("utf-8", "surrogateescape"),
    )
    wishes.spec["cron"] = CronEntry(line.times, zone, line.text)
    return submission_of(submitted, wishes, program)


def _environment(
    owner: Owner, home: str, zone: str, variables: Mapping[str, str], names: str
) -> dict[str, str]:
    """Return the variables of an entry's job, on whose path Slurm's *names* stand in any case.

    Where Slurm is installed they are in /usr/bin, which is on the path of any crontab.
    """
    found = {"SHELL": "/bin/sh", "HOME": home, "USER": owner.user_name, "LOGNAME": owner.user_name}
    found |= {"TZ": zone} if zone else {}
    found |= variables
    if "PATH" not in variables:
        found["PATH"] = ":".join(filter(None, (names, _PATH)))
    elif names and names not in found["PATH"].split(":"):
        found["PATH"] += f":{names}"
    return found
