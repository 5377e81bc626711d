"""What a batch script says about itself: is it one, and what its ``#SBATCH`` lines ask for.

Lines are read up to the first that is neither empty nor a comment. The words of all ``#SBATCH``
lines make one command line, so that options are read as anywhere else. ``#PBS`` and ``#BSUB`` lines
are put into sbatch's words; what has no counterpart there is passed over.

Source: sbatch(1) "DESCRIPTION" and "--ignore-pbs", and recorded scripts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

SCRIPT_MAX: Final = 4 << 20
"""Bytes of the largest script, as Slurm's default for MaxScriptSize."""

_BLANKS: Final = " \t\v\f\r"
_HET_JOB: Final = frozenset({"hetjob", "packjob"})


class ScriptError(Exception):
    """The script cannot be taken; ``lines`` say why, for standard error."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Directives(NamedTuple):
    """The words of a script's directives: sbatch's own, and what was said to other systems."""

    words: list[str]
    foreign: list[str]


def check_script(script: bytes) -> None:
    """Refuse what the kernel could not run as a script, or would run otherwise than it looks.

    Raises:
        ScriptError: Says what is wrong, in Slurm's words.
    """
    if not script:
        raise ScriptError("error: Batch script is empty!")
    if not script.strip():
        raise ScriptError("error: Batch script contains only whitespace!")
    if not script.startswith(b"#!"):
        raise no_script()
    if b"\0" in script:
        raise ScriptError(
            "error: The Slurm controller does not allow scripts that",
            "error: contain a NULL character '\\0'.",
        )
    if b"\r\n" in script:
        raise ScriptError(
            "error: Batch script contains DOS line breaks (\\r\\n)",
            "error: instead of expected UNIX line breaks (\\n).",
        )


def no_script() -> ScriptError:
    """Return what is said of anything that does not begin with ``#!``."""
    return ScriptError(
        "error: This does not look like a batch script.  The first",
        "error: line must start with #! followed by the path to an interpreter.",
        "error: For instance: #!/bin/sh",
    )


def read_directives(script: bytes, name: str) -> Directives:
    """Return the words of the directives of a script, which errors call *name*.

    Raises:
        ScriptError: A quote that is not closed, with its line number.
    """
    found = Directives([], [])
    for number, line in _head(script):
        if line.startswith("#SBATCH"):
            found.words.extend(_words(line.removeprefix("#SBATCH"), name, number))
        elif line.startswith("#PBS"):
            found.foreign.extend(_from_pbs(list(_words(line.removeprefix("#PBS"), name, number))))
        elif line.startswith("#BSUB"):
            found.foreign.extend(_from_lsf(list(_words(line.removeprefix("#BSUB"), name, number))))
    return found


def is_heterogeneous(words: list[str]) -> bool:
    """Whether the directives describe a job of several parts, which we do not run."""
    return any(word in _HET_JOB for word in words)


def _head(script: bytes) -> Iterator[tuple[int, str]]:
    """Yield the numbered comment lines before the first command."""
    text = script.decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.lstrip(_BLANKS)
        if bare and not bare.startswith("#"):
            return
        yield number, line


def _words(line: str, name: str, number: int) -> Iterator[str]:
    """Cut a directive into words: quotes group, a backslash takes one character, # ends it.

    A blank ends a word even after a backslash, and a word of nothing ends the line: both as Slurm
    reads them.
    """
    at = 0
    while True:
        while at < len(line) and line[at] in _BLANKS:
            at += 1
        rest = line[at:]
        if rest.startswith(":"):
            raise ScriptError(f"fatal: {name}: line {number}: Unexpected `:` in [{rest}]")
        word, used = _word(rest, name, number)
        if not word:
            return
        yield word
        at += used


def _word(text: str, name: str, number: int) -> tuple[str, int]:
    """Return the first word of *text* and how many characters it took."""
    word: list[str] = []
    quote = ""
    at = 0
    while at < len(text) and (quote or text[at] not in _BLANKS):
        letter = text[at]
        if letter == "\\":
            at += 1
            if at < len(text) and (quote or text[at] not in _BLANKS):
                word.append(text[at])
                at += 1
            continue
        if letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote = letter
        elif not quote and letter == "#":
            break
        else:
            word.append(letter)
        at += 1
    if quote:
        raise ScriptError(f"fatal: {name}: line {number}: Unmatched `{quote}` in [{text}]")
    return "".join(word), at


def _from_pbs(words: list[str]) -> Iterator[str]:
    """Translate the words of one ``#PBS`` line."""
    for letter, value in _pairs(words, flags="hIVXz"):
        if letter == "l":
            for resource in value.split(","):
                yield from _from_resource(resource)
        elif letter == "r":
            yield "--requeue" if value == "y" else "--no-requeue"
        elif letter == "m":
            yield from _from_mail(value)
        elif letter == "h":
            yield "--hold"
        elif letter == "W" and value.startswith("depend="):
            yield f"--dependency={value.removeprefix('depend=')}"
        elif letter in _PBS:
            yield f"--{_PBS[letter]}={value}"


def _from_lsf(words: list[str]) -> Iterator[str]:
    """Translate the words of one ``#BSUB`` line."""
    for letter, value in _pairs(words, flags="xBNrH"):
        if letter == "x":
            yield "--exclusive"
        elif letter == "W":
            yield f"--time={_lsf_time(value)}"
        elif letter in _LSF:
            yield f"--{_LSF[letter]}={value}"


_PBS: Final[Mapping[str, str]] = {
    "A": "account",
    "a": "begin",
    "e": "error",
    "J": "array",
    "M": "mail-user",
    "N": "job-name",
    "o": "output",
    "q": "partition",
    "t": "array",
    "v": "export",
}

_LSF: Final[Mapping[str, str]] = {
    "e": "error",
    "J": "job-name",
    "m": "nodelist",
    "M": "mem-per-cpu",
    "n": "ntasks",
    "o": "output",
    "q": "partition",
}

_RESOURCES: Final[Mapping[str, Callable[[str], str]]] = {
    "walltime": lambda value: f"--time={value}",
    "mem": lambda value: f"--mem={value}",
    "pmem": lambda value: f"--mem-per-cpu={value}",
    "file": lambda value: f"--tmp={value}",
    "mppwidth": lambda value: f"--ntasks={value}",
    "mppdepth": lambda value: f"--cpus-per-task={value}",
    "ncpus": lambda value: f"--mincpus={value}",
    "nice": lambda value: f"--nice={value}",
    "naccelerators": lambda value: f"--gres=gpu:{value}",
    "accelerator": lambda value: f"--gres=gpu:{1 if value.lower() == 'true' else 0}",
}

_NODES: Final = re.compile(r"(\d+)(?::ppn=(\d+))?", re.ASCII)


def _pairs(words: list[str], flags: str) -> Iterator[tuple[str, str]]:
    """Yield (letter, value) for each option of another system's command line."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or len(word) < 2:
            continue
        letter, value = word[1], word[2:]
        if letter not in flags and not value:
            value = next(rest, "")
        yield letter, value


def _from_resource(resource: str) -> Iterator[str]:
    name, _, value = resource.partition("=")
    if name in ("nodes", "select") and (match := _NODES.match(value)):
        yield f"--nodes={match[1]}"
        if match[2]:
            yield f"--ntasks-per-node={match[2]}"
    elif name in _RESOURCES and value:
        yield _RESOURCES[name](value)


def _from_mail(value: str) -> Iterator[str]:
    kinds = {"a": "FAIL", "b": "BEGIN", "e": "END"}
    wanted = [kind for letter, kind in kinds.items() if letter in value]
    yield f"--mail-type={','.join(wanted) or 'NONE'}"


def _lsf_time(value: str) -> str:
    """Return LSF's ``[hours:]minutes`` as Slurm writes it."""
    hours, colon, minutes = value.partition("/")[0].partition(":")
    return f"{hours}:{minutes}:00" if colon else hours
