"""scontrol show hostnames, hostlist and hostlistsorted.

Source: scontrol(1) "show hostnames" and its like; recorded: errors leave the exit status at 0.
"""

from __future__ import annotations

import re

from stoker.commands.scontrol.words import Line
from stoker.core.units import NotationError, compress_hosts, expand_hosts
from stoker.worker.call import Answer, Conversation, ReadFile

_GROUP = re.compile(r"\[([^\]]*)\]")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)


def show_host_names(line: Line, word: str | None) -> Answer:
    """Expand a host list, by default the one of the allocation, to a name a line."""
    text = line.call.environment.get("SLURM_NODELIST") if word is None else word
    if text is None:
        return Answer(err="scontrol: error: host list is empty\n")
    try:
        names = expand_hosts(text)
    except NotationError:
        return Answer(err=f"{_bad_range_line(text)}Invalid hostlist: {text}\n")
    return Answer(out="".join(f"{name}\n" for name in names))


def show_host_list(_line: Line, word: str) -> Answer | Conversation:
    """Compress names to a host list, in their order; a path is a file of names."""
    return _from_file(word, is_sorted=False) if word.startswith("/") else _compressed(word)


def show_host_list_sorted(_line: Line, word: str) -> Answer | Conversation:
    """Compress names to a host list, sorted; a path is a file of names."""
    if word.startswith("/"):
        return _from_file(word, is_sorted=True)
    return _compressed(word, is_sorted=True)


def _compressed(text: str, *, is_sorted: bool = False) -> Answer:
    try:
        names = expand_hosts(text)
    except NotationError:
        return Answer(err=f"{_bad_range_line(text)}Invalid hostlist: {text}\n")
    return Answer(out=compress_hosts(names, sort=is_sorted) + "\n")


def _from_file(path: str, *, is_sorted: bool) -> Conversation:
    try:
        content: bytes = yield ReadFile(path)
    except OSError as error:
        return Answer(err=f"scontrol: error: cannot read {path}: {error.strerror}\n", code=1)
    return _compressed(",".join(content.decode(errors="replace").split()), is_sorted=is_sorted)


def _bad_range_line(text: str) -> str:
    """Return the line that names the first range that is none; "" if that is not the trouble."""
    for group in _GROUP.findall(text):
        for word in group.split(","):
            match = _RANGE.fullmatch(word)
            if match is None or int(match[1]) > int(match[2] or match[1]):
                return f"scontrol: error: _parse_single_range: Invalid range: `{word}'\n"
    return ""
