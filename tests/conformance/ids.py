"""Job ids: the recorded ones stand in commands and outputs; ours are others.

A pair (theirs, ours) is learnt where both texts have the same shape and a number differs; it is
then used to say commands with our ids, and outputs of ours with theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_BY_TIMING = re.compile(r"^salloc: Job allocation \d+ has been revoked\.\n", re.MULTILINE)
"""What comes or not: it would set the numbers behind it off."""
_TOLD = re.compile(r"(?:\bSTEP |StepId=|SLURM_JOB_ID=|JobId=|\b[Jj]ob |allocation )(\d+)")
_NUMBER = re.compile(r"\d+")
_IN_DOCUMENT = re.compile(r"\"job_id\": (\d+)")
_ID = re.compile(r"\[[^\]]*\]|(?<![\d_.-])\d+")
_CONTEXT = re.compile(
    r"""(?P<lead>
        (?:-j|--jobs?|--jobid|-d|--dependency)[=\x20\x1f]?
      | \b(?:job|hold|uhold|release|requeue|requeuehold|suspend|resume|scancel|notify|top
           |batch_script|listpids|-[stnu]\x20\w+)[\x20\x1f]
      | [Jj]ob[Ii]d=|after\w*:|slurm-|/job/
    )
    (?P<ids>[\d,_.+:\[\]-]*\d[\d,_.+:\[\]-]*(?:[\x20\x1f]\d[\d,_.\[\]-]*)*)""",
    re.VERBOSE,
)


def translated(text: str, ids: Mapping[int, int]) -> str:
    """Return a command with recorded ids replaced where ids stand."""
    if all(theirs == ours for theirs, ours in ids.items()):
        return text
    return _CONTEXT.sub(
        lambda match: match["lead"] + _ID.sub(lambda found: _mapped(found, ids), match["ids"]), text
    )


def translated_argv(argv: list[str], ids: Mapping[int, int]) -> list[str]:
    """Return a command's words with recorded ids replaced where ids stand."""
    return translated("\x1f".join(argv), ids).split("\x1f")


def learnt(theirs: str, ours: str, ours_given: range) -> dict[int, int]:
    """Return ids that correspond in two texts; ours are among *ours_given*."""
    theirs, ours = (_BY_TIMING.sub("", text) for text in (theirs, ours))
    pattern = _IN_DOCUMENT if theirs.startswith("HTTP/") else _NUMBER
    left, right = pattern.findall(theirs), pattern.findall(ours)
    found = {}
    if len(left) == len(right):
        found = {
            int(one): int(other)
            for one, other in zip(left, right, strict=True)
            if int(other) in ours_given and int(one) > 0
        }
    return _told(theirs, ours, ours_given) | found


def _told(theirs: str, ours: str, ours_given: range) -> dict[int, int]:
    """Return the one id that both texts tell by a word before it, if there is one only."""
    left = {int(number) for number in _TOLD.findall(theirs)}
    right = {int(number) for number in _TOLD.findall(ours)}
    if len(left) == len(right) == 1 and right <= set(ours_given):
        return dict(zip(left, right, strict=True))
    return {}


def _mapped(match: re.Match[str], ids: Mapping[int, int]) -> str:
    if match[0].startswith("["):
        return match[0]  # The tasks of an array.
    number = int(match[0])
    return str(ids.get(number, number))
