"""Command lines read as glibc's getopt_long(3) reads them, from one table per command.

A command lists its options once, as `Option`s; the parser, the completeness tests, ``--help`` and
``--usage`` all read that list. What follows is glibc's: unambiguous abbreviations of long options,
``--opt=value`` and ``--opt value``, clusters (``-hr``), values stuck to a letter (``-j5``), ``--``,
and operands in between (unless the command stops at its first operand). The wording of errors is
glibc's, and the line after it Slurm's.

The order of a table is seen in one place: the possibilities of an ambiguous abbreviation.

Source: getopt(3); glibc's manual, "Parsing Long Options with getopt_long".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, NoReturn

import msgspec

from stoker.worker.call import Answer

VERSION = "slurm-wlm 22.05.8"
"""What ``--version`` prints: the Slurm whose language we speak."""

Takes = Literal["none", "required", "optional"]
Meaning = Literal["honoured", "meaningless", "refused"]


class Option(msgspec.Struct, frozen=True):
    """One option of one command.

    ``meaning`` says what we do with it: ``honoured``; accepted but ``meaningless`` on one machine;
    or ``refused`` with Slurm's words. ``aliases`` are further long names of the same option.
    """

    long: str
    short: str = ""
    takes: Takes = "none"
    help: str = ""
    meaning: Meaning = "honoured"
    value: str = ""
    """What help calls the argument; by default ``VALUE``."""
    aliases: tuple[str, ...] = ()


HELP = Option("help", "", help="show this help")
USAGE = Option("usage", "", help="show a short usage")
VERSION_OPTION = Option("version", "V", help="show the version of Slurm whose language this is")
"""The options that answer at once. A command may list its own, say ``Option("help", "h")``."""

_ANSWERED = ("help", "usage", "version")


class _Program(NamedTuple):
    operands: str
    code: int = 1
    has_hint: bool = True


_PROGRAMS = {
    "sbatch": _Program("[SCRIPT [ARG ...]]", 255),
    "srun": _Program("COMMAND [ARG ...]", 255),
    "salloc": _Program("[COMMAND [ARG ...]]", 255),
    "sacct": _Program("", has_hint=False),
    "sattach": _Program("JOB_ID.STEP"),
    "sbcast": _Program("SOURCE TARGET"),
    "scrontab": _Program("[FILE]"),
    "scancel": _Program("[JOB_ID[_TASK][.STEP] ...]"),
    "scontrol": _Program("[COMMAND [WORD ...]]"),
}
"""How each program names its operands, and how it ends on a wrong option; the rest are alike."""


class EarlyAnswer(Exception):
    """The command line is answered without running the command: ``--help`` and its like."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.err or answer.out)
        self.answer = answer


class UsageError(EarlyAnswer):
    """The command line is wrong; ``text`` ends with a line break and is for standard error."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(Answer(err=text, code=code))
        self.text = text
        self.code = code


class Parsed(msgspec.Struct):
    """What a command line says: long names with values, in order, and the operands."""

    values: list[tuple[str, str | None]] = []
    operands: list[str] = []

    def last(self, name: str) -> str | None:
        """Return the value given last, or None; "" for an option without its optional value."""
        for found, value in reversed(self.values):
            if found == name:
                return value or ""
        return None

    def has(self, name: str) -> bool:
        """Whether the option was given."""
        return any(found == name for found, _ in self.values)

    def count(self, name: str) -> int:
        """Return how often the option was given."""
        return sum(found == name for found, _ in self.values)

    def all(self, name: str) -> list[str]:
        """Return the values in order, "" where an optional one was left out."""
        return [value or "" for found, value in self.values if found == name]


def parse(
    program: str, options: Sequence[Option], argv: Iterable[str], *, stop_at_operand: bool = False
) -> Parsed:
    """Read a command line.

    Raises:
        EarlyAnswer: It asks for help, usage or version; carries the `Answer`.
        UsageError: It is wrong, in getopt's words; an `EarlyAnswer` too.
    """
    return _Parser(program, options).parse(list(argv), stop_at_operand=stop_at_operand)


class _Parser:
    """One pass over one command line."""

    def __init__(self, program: str, options: Sequence[Option]) -> None:
        self._program = program
        self._options = options
        self._found = Parsed()

    def parse(self, words: list[str], *, stop_at_operand: bool) -> Parsed:
        words.reverse()
        while words:
            word = words.pop()
            if word == "--":
                break
            if word.startswith("--"):
                self._long(word[2:], words)
            elif word.startswith("-") and word != "-":
                self._cluster(word[1:], words)
            else:
                self._found.operands.append(word)
                if stop_at_operand:
                    break
        self._found.operands.extend(reversed(words))
        return self._found

    def _long(self, word: str, rest: list[str]) -> None:
        typed, equals, text = word.partition("=")
        name, option = self._lookup(typed, word)
        value = text if equals else None
        if option.takes == "none" and value is not None:
            self._fail(f"option '--{name}' doesn't allow an argument")
        if option.takes == "required" and value is None:
            if not rest:
                self._fail(f"option '--{name}' requires an argument")
            value = rest.pop()
        self._take(option, value)

    def _lookup(self, typed: str, word: str) -> tuple[str, Option]:
        """Return the option that was *typed*, maybe abbreviated, under its full name."""
        for option in self._options:
            if typed == option.long or typed in option.aliases:
                return typed, option
        names = [(name, option) for option in self._options for name in _names(option)]
        close = [(name, option) for name, option in names if name.startswith(typed)]
        if not close:
            self._fail(f"unrecognized option '--{word}'")
        if any(option is not close[0][1] for _, option in close):
            listed = " ".join(f"'--{name}'" for name, _ in close)
            self._fail(f"option '--{word}' is ambiguous; possibilities: {listed}")
        return close[0]

    def _cluster(self, letters: str, rest: list[str]) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            option = next((each for each in self._options if each.short == letter), None)
            if option is None:
                self._fail(f"invalid option -- '{letter}'")
            if option.takes == "none":
                self._take(option, None)
                continue
            value = letters or None
            if option.takes == "required" and value is None:
                if not rest:
                    self._fail(f"option requires an argument -- '{letter}'")
                value = rest.pop()
            self._take(option, value)
            return

    def _take(self, option: Option, value: str | None) -> None:
        if option.long in _ANSWERED and option.takes == "none":
            raise EarlyAnswer(Answer(out=self._information(option.long)))
        self._found.values.append((option.long, value))

    def _information(self, name: str) -> str:
        if name == "version":
            return VERSION + "\n"
        if name == "usage":
            return usage_text(self._program, self._options)
        return help_text(self._program, self._options)

    def _fail(self, what: str) -> NoReturn:
        raise usage_error(self._program, f"{self._program}: {what}")


def usage_error(program: str, line: str) -> UsageError:
    """Return the error of a wrong command line: *line*, the hint, and the program's exit code."""
    facts = _facts(program)
    hint = f'Try "{program} --help" for more information\n' if facts.has_hint else ""
    return UsageError(f"{line}\n{hint}", facts.code)


def help_text(program: str, options: Sequence[Option]) -> str:
    """Return a line for each option, and what of Slurm's has no meaning here."""
    lines = [f"{_synopsis(program)}\n"]
    lines += [_help_line(option) for option in options if option.meaning == "honoured"]
    idle = [f"--{option.long}" for option in options if option.meaning == "meaningless"]
    refused = [f"--{option.long}" for option in options if option.meaning == "refused"]
    if idle:
        lines += ["", "Accepted, and without a meaning on one machine:", _wrapped(idle)]
    if refused:
        lines += ["", "Slurm's, and refused here:", _wrapped(refused)]
    return "\n".join(lines) + "\n"


def usage_text(program: str, options: Sequence[Option]) -> str:
    """Return the synopsis with the names of all options."""
    words = [f"[{_form(option)}]" for option in options if option.meaning == "honoured"]
    return f"{_synopsis(program)}\n{_wrapped(words)}\n"


def _synopsis(program: str) -> str:
    return f"Usage: {program} [OPTION ...] {_facts(program).operands}".rstrip()


def _help_line(option: Option) -> str:
    letter = f"-{option.short}, " if option.short else "    "
    left = f"  {letter}--{option.long}{_argument(option)}"
    return f"{left:<34} {option.help}".rstrip()


def _form(option: Option) -> str:
    return f"-{option.short}" if option.short else f"--{option.long}{_argument(option)}"


def _argument(option: Option) -> str:
    value = option.value or "VALUE"
    return {"none": "", "required": f"={value}", "optional": f"[={value}]"}[option.takes]


def _wrapped(words: Iterable[str], width: int = 78) -> str:
    lines = [" "]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > width:
            lines.append(" ")
        lines[-1] += f" {word}"
    return "\n".join(lines)


def _names(option: Option) -> tuple[str, ...]:
    return (option.long, *option.aliases)


def _facts(program: str) -> _Program:
    return _PROGRAMS.get(program, _Program(""))
