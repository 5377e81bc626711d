"""Host lists: ``node[1-3,07],gpu1`` for many names.

Source: scontrol(1) "show hostnames", "show hostlist" and "show hostlistsorted".
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stoker.core.units.errors import NotationError

HOSTS_MAX = 65_536
"""Names in one list: a few characters must not fill the memory."""
_LETTERS_MAX = HOSTS_MAX * 64
"""Letters of all names, besides their numbers: nor may many."""

_WORD = re.compile(r"(?:\[[^\]]*\]?|[^,\[\s])+")
_PART = re.compile(r"\[([^\]]*)(\]?)")
_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)
_NAME = re.compile(r"(.*?)(\d{0,18})", re.DOTALL | re.ASCII)


def expand_hosts(text: str) -> list[str]:
    """Return the names in *text*, in its order, doubles and all.

    Raises:
        NotationError: A range that is none, or more than ``HOSTS_MAX`` names.
    """
    names: list[str] = []
    for word in _WORD.findall(text):
        names += itertools.islice(_expanded(word, text), HOSTS_MAX - len(names) + 1)
        if len(names) > HOSTS_MAX:
            raise NotationError("the host list", text, f"it has more than {HOSTS_MAX} names")
    return names


def compress_hosts(names: Iterable[str], sort: bool = False) -> str:  # noqa: FBT001, FBT002 - one reading
    """Return a host list of *names*: in their order, or sorted as ``hostlistsorted`` does."""
    names = list(names)
    if len(names) == 1:
        return names[0]
    hosts = [_Host.of(name) for name in names]
    if sort:
        hosts.sort(key=lambda host: (host.prefix, host.number, len(host.digits)))
    groups = itertools.groupby(hosts, key=lambda host: (host.prefix, host.digits != ""))
    return ",".join(_group(prefix, list(group)) for (prefix, _), group in groups)


class _Host(NamedTuple):
    prefix: str
    digits: str

    @classmethod
    def of(cls, name: str) -> _Host:
        match = _NAME.fullmatch(name)
        assert match is not None
        return cls(match[1], match[2])

    @property
    def number(self) -> int:
        return int(self.digits or -1)

    def precedes(self, other: _Host) -> bool:
        """Whether the two stand side by side in a range."""
        width = len(self.digits) if self.digits.startswith("0") else 0
        return other.digits == f"{self.number + 1:0{width}}"


def _group(prefix: str, hosts: list[_Host]) -> str:
    if not hosts[0].digits:
        return ",".join([prefix] * len(hosts))
    if len(hosts) == 1:
        return prefix + hosts[0].digits
    return f"{prefix}[{','.join(_ranges(hosts))}]"


def _ranges(hosts: list[_Host]) -> Iterator[str]:
    first = last = hosts[0]
    for host in hosts[1:]:
        if not last.precedes(host):
            yield _range(first, last)
            first = host
        last = host
    yield _range(first, last)


def _range(first: _Host, last: _Host) -> str:
    return first.digits if first is last else f"{first.digits}-{last.digits}"


def _expanded(word: str, text: str) -> Iterator[str]:
    parts = _PART.split(word)
    texts, ranges, ends = parts[::3], parts[1::3], parts[2::3]
    if ends and not ends[-1]:
        # As Slurm takes it: what is opened and never closed leaves its own closing behind.
        yield texts[0] + "]"
        return
    if ranges and texts[-1]:
        raise NotationError("the host list", text, "nothing may follow the last ]")
    choices = [_numbers(each, text) for each in ranges]
    count = math.prod(map(len, choices))
    if count > HOSTS_MAX or count * sum(map(len, texts)) > _LETTERS_MAX:
        raise NotationError("the host list", text, f"it has more than {HOSTS_MAX} names")
    for chosen in itertools.product(*choices):
        yield "".join(itertools.chain(*zip(texts, chosen, strict=False))) + texts[-1]


def _numbers(ranges: str, text: str) -> list[str]:
    found: list[str] = []
    for each in ranges.split(","):
        match = _RANGE.fullmatch(each)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if match is None or first > last:
            raise NotationError("the host list", text, f"{each!r} is no range; write FIRST-LAST")
        if len(found) + last - first >= HOSTS_MAX:
            raise NotationError("the host list", text, f"it has more than {HOSTS_MAX} names")
        width = len(match[1])
        found += [f"{number:0{width}}" for number in range(first, last + 1)]
    return found
