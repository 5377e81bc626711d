"""scontrol create, update, delete and show reservation; sinfo lists them, too.

Source: scontrol(1) on reservations; the layout as recorded, the wording of refusals Slurm's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from stoker.commands.errors import describe
from stoker.commands.scene import Scene
from stoker.commands.scontrol.jobs import joined
from stoker.commands.scontrol.words import Line, Pair, failure, meant
from stoker.core.errors import InvalidSpec, StokerError
from stoker.core.reservations import DAY_S, FLAGS, Reservation, ReservationWish
from stoker.core.units import (
    FOREVER,
    NotationError,
    compress_hosts,
    expand_hosts,
    format_duration,
    parse_begin,
    parse_time_limit,
    parse_tres,
    zone_of,
)
from stoker.worker.call import Answer

NONE_THERE: Final = "No reservations in the system\n"
_CREATING: Final = "No reservation created."
_UPDATING: Final = "No reservation update."
_NOBODY: Final = "(null)"
_YEAR_S: Final = 365 * DAY_S
_IDLE_FLAGS: Final = frozenset(
    {"ANY_NODES", "FIRST_CORES", "PART_NODES", "REPLACE", "REPLACE_DOWN", "STATIC", "STATIC_ALLOC"}
)
"""Flags that choose among nodes, or that change how; here a reservation has the nodes it got."""


class _Problem(Exception):
    """What is wrong with the words; the text is for standard error."""


# Showing.


def show_reservations(line: Line, word: str | None) -> Answer:
    """Show one reservation, or all."""
    found = [each for each in line.controller.reservations.listed() if word in (None, each.name)]
    if not found:
        text = NONE_THERE if word is None else f"Reservation {word} not found\n"
        return Answer(out=text, code=0 if word is None else 1)
    scene = Scene(line.call, line.controller)
    return Answer(out="".join(joined(line, _lines(each, scene)) for each in found))


def _lines(each: Reservation, scene: Scene) -> Iterator[str]:
    yield (
        f"ReservationName={each.name} StartTime={scene.time(each.start_at)} "
        f"EndTime={scene.time(each.end_at)} Duration={_duration(each)}"
    )
    yield (
        f"Nodes={compress_hosts(each.nodes)} NodeCnt={len(each.parts)} CoreCnt={each.cpus} "
        f"Features=(null) PartitionName={each.partition or _NOBODY} "
        f"Flags={','.join(flag for flag in FLAGS if flag in each.flags)}"
    )
    yield f"TRES={tres_of(each)}"
    yield (
        f"Users={_names(each.users)} Groups={_names(each.groups)} Accounts={_names(each.accounts)} "
        f"Licenses=(null) State={state_of(each, scene.now)} BurstBuffer=(null) Watts=n/a"
    )
    yield "MaxStartDelay=(null)"
    if each.comment:
        yield f"Comment={each.comment}"


def _names(names: Sequence[str]) -> str:
    return ",".join(names) or _NOBODY


def tres_of(each: Reservation) -> str:
    """Return what a reservation keeps, as trackable resources."""
    gres: dict[str, int] = {}
    for part in each.parts:
        for name, count in part.gres.items():
            gres[name] = gres.get(name, 0) + count
    return ",".join([f"cpu={each.cpus}", *(f"gres/{name}={gres[name]}" for name in sorted(gres))])


def _duration(each: Reservation) -> str:
    return format_duration(each.end_at - each.start_at)


def state_of(each: Reservation, now: float) -> str:
    """Return Slurm's word for whether its time has come."""
    return "ACTIVE" if each.is_active(now) else "INACTIVE"


def listing(found: Sequence[Reservation], scene: Scene, *, has_header: bool) -> str:
    """Return the table of ``sinfo --reservation``."""
    if not found:
        return NONE_THERE
    width = max(len("RESV_NAME"), *(len(each.name) for each in found))
    rows = [
        (
            each.name,
            state_of(each, scene.now),
            scene.time(each.start_at),
            scene.time(each.end_at),
            _duration(each),
            compress_hosts(each.nodes),
        )
        for each in found
    ]
    if has_header:
        rows.insert(0, ("RESV_NAME", "STATE", "START_TIME", "END_TIME", "DURATION", "NODELIST"))
    return "".join(
        f"{name:<{width}}  {state:>8}  {start:>19}  {end:>19}  {duration:>11}  {nodes}\n"
        for name, state, start, end, duration, nodes in rows
    )


# Changing.


def create_reservation(line: Line, pairs: Sequence[Pair]) -> Answer:
    """Make a reservation."""
    try:
        wish = _said(line, pairs, _CREATING)
        _check(wish)
    except _Problem as problem:
        return failure(f"scontrol: error: {problem}")
    try:
        _check_users(line, wish)
        name = line.controller.reservations.create(wish, line.call.owner)
    except StokerError as error:
        return failure(f"Error creating the reservation: {describe(error)}")
    return Answer(out=f"Reservation created: {name}\n")


def update_reservation(line: Line, pairs: Sequence[Pair]) -> Answer:
    """Change a reservation."""
    try:
        wish = _said(line, pairs, _UPDATING)
    except _Problem as problem:
        return failure(f"scontrol: error: {problem}")
    if not wish.name:
        return failure(f"scontrol: error: Reservation must be given.  {_UPDATING}")
    try:
        _check_users(line, wish)
        line.controller.reservations.update(wish, line.call.owner)
    except StokerError as error:
        text = describe(error)
        return failure(f"Error updating the reservation: {text}\nslurm_update error: {text}")
    return Answer(out="Reservation updated.\n")


def delete_reservation(line: Line, word: str) -> Answer:
    """Keep something no longer."""
    try:
        line.controller.reservations.delete(word.partition("=")[2], line.call.owner)
    except StokerError as error:
        return failure(f"delete_reservation {word}: {describe(error)}")
    return Answer()


def _check_users(line: Line, wish: ReservationWish) -> None:
    """Refuse users whom the machine does not know.

    Raises:
        InvalidSpec: There is one.
    """
    for name in wish.users or ():
        word = name.removeprefix("-")
        if not word.isdecimal() and line.controller.user_id(word) is None:
            raise InvalidSpec(f"there is no user {name}", "ESLURM_USER_ID_MISSING")


def _check(wish: ReservationWish) -> None:
    """Refuse what says too little, as scontrol does itself."""
    if wish.start_at is None:
        raise _Problem(f"A start time must be given.  {_CREATING}")
    if wish.end_at is None and wish.duration_s is None:
        raise _Problem(f"An end time or duration must be given.  {_CREATING}")
    is_said_twice = wish.end_at is not None and wish.duration_s is not None
    if is_said_twice and wish.start_at + (wish.duration_s or 0.0) != wish.end_at:
        raise _Problem(f"StartTime + Duration does not equal EndTime.  {_CREATING}")
    if wish.end_at is not None and wish.start_at > wish.end_at:
        raise _Problem(f"Start time cannot be after end time.  {_CREATING}")
    if not any((wish.nodes, wish.node_count, wish.cores, wish.gres, wish.partition)):
        raise _Problem(f"CoreCnt, Nodes, NodeCnt or Licenses must be specified. {_CREATING}")
    if not (wish.users or wish.accounts or wish.groups):
        raise _Problem(f"Either Users/Groups and/or Accounts must be specified.  {_CREATING}")


def _said(line: Line, pairs: Sequence[Pair], otherwise: str) -> ReservationWish:
    """Return what is said.

    Raises:
        _Problem: Something cannot be read; *otherwise* says what has not been done.
    """
    found: dict[str, object] = {}
    before = _before(line, pairs)
    for each in pairs:
        name, sign = each.name.rstrip("+-"), each.name[-1:]
        reader = meant(name, _PARAMETERS)
        if reader is None or each.value is None:
            raise _Problem(f"Unknown parameter {each}.  {otherwise}")
        try:
            found |= _merged(reader(each.value, line), sign, before)
        except _Unreadable as error:
            raise _Problem(f"{error}  {otherwise}") from None
    return msgspec.structs.replace(ReservationWish(), **found)


def _before(line: Line, pairs: Sequence[Pair]) -> Reservation | None:
    """Return the reservation that is to be changed, if it is there."""
    names = [each.value for each in pairs if each.name.lower().startswith("res")]
    return next(
        (each for each in line.controller.reservations.listed() if each.name in names), None
    )


def _merged(
    fields: Mapping[str, object], sign: str, before: Reservation | None
) -> Mapping[str, object]:
    """Add names or time to what is there, with ``+=``, or take them away, with ``-=``.

    Flags that are not taken away are added.

    Raises:
        _Unreadable: Of what is meant nothing can be added or taken away.
    """
    merged: dict[str, object] = {}
    for name, value in fields.items():
        kept: tuple[str, ...] = getattr(before, name, ()) if isinstance(value, tuple) else ()
        if sign == "-" and isinstance(value, tuple):
            merged[name] = tuple(each for each in kept if each not in value)
        elif isinstance(value, tuple) and (sign == "+" or name == "flags"):
            merged[name] = (*kept, *(each for each in value if each not in kept))
        elif before is None or sign not in ("+", "-"):
            merged[name] = value
        elif isinstance(value, float) and name == "duration_s":
            length_s = before.end_at - before.start_at
            merged[name] = length_s + (value if sign == "+" else -value)
        elif isinstance(value, str) and name == "nodes":
            merged[name] = _nodes_changed(before.nodes, sign, value)
        else:
            raise _Unreadable(f"Neither += nor -= can be said of that: {value}.")
    return merged


def _nodes_changed(nodes: Sequence[str], sign: str, value: str) -> str:
    try:
        named = expand_hosts(value)
    except NotationError:
        raise _Unreadable(f"Invalid node list {value}.") from None
    kept = [node for node in nodes if node not in named]
    return compress_hosts([*kept, *named] if sign == "+" else kept)


class _Unreadable(ValueError):
    """A value that cannot be read; the text says so in Slurm's words."""


_Reader = Callable[[str, Line], Mapping[str, object]]


def _moment(field: str, words: str) -> _Reader:
    def read(value: str, line: Line) -> Mapping[str, object]:
        zone = zone_of(line.call.environment.get("TZ", ""))
        try:
            return {field: parse_begin(value, line.controller.now(), zone)}
        except NotationError:
            raise _Unreadable(f"Invalid {words} {value}.") from None

    return read


def _length(value: str, _: Line) -> Mapping[str, object]:
    try:
        seconds = parse_time_limit(value)
    except NotationError:
        raise _Unreadable(f"Invalid duration {value}.") from None
    return {"duration_s": _YEAR_S if seconds == FOREVER else seconds}


def _count(field: str) -> _Reader:
    def read(value: str, _: Line) -> Mapping[str, object]:
        if not (value.isascii() and value.isdecimal() and int(value[:9]) > 0 and len(value) < 10):
            raise _Unreadable(f"Invalid node count {value}.")
        return {field: int(value)}

    return read


def _text(field: str) -> _Reader:
    return lambda value, _: {field: value}


def _list(field: str) -> _Reader:
    return lambda value, _: {field: tuple(word for word in value.split(",") if word)}


def _flags(value: str, _: Line) -> Mapping[str, object]:
    found = []
    for word in filter(None, value.upper().split(",")):
        known = meant(word, _FLAG_WORDS)
        if known is None:
            raise _Unreadable(f"Error parsing flags {value}.")
        if known not in _IDLE_FLAGS:
            found.append(known)
    return {"flags": tuple(found)}


def _resources(value: str, _: Line) -> Mapping[str, object]:
    try:
        amounts = parse_tres(value)
    except NotationError:
        raise _Unreadable(f"Error parsing TRES {value}.") from None
    found: dict[str, object] = {}
    gres = tuple((name[5:], n) for name, n in amounts.items() if name.startswith("gres/"))
    if gres:
        found["gres"] = gres
    for name, field in (("cpu", "cores"), ("node", "node_count")):
        if name in amounts:
            found[field] = amounts[name]
    is_other = bool(set(amounts) - {"cpu", "node", *(f"gres/{name}" for name, _ in gres)})
    if is_other or min(amounts.values()) < 1:
        raise _Unreadable(f"Error parsing TRES {value}.")
    return found


_FLAG_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "m|aint": "MAINT",
        "maintenance": "MAINT",
        "o|verlap": "OVERLAP",
        "ign|ore_jobs": "IGNORE_JOBS",
        "ho|urly": "HOURLY",
        "da|ily": "DAILY",
        "weekl|y": "WEEKLY",
        "spec|_nodes": "SPEC_NODES",
        "all_|nodes": "ALL_NODES",
        **{flag.lower(): flag for flag in sorted(_IDLE_FLAGS)},
    }
)

_PARAMETERS: Final[Mapping[str, _Reader]] = MappingProxyType(
    {
        "res|ervationname": _text("name"),
        "s|tarttime": _moment("start_at", "start time"),
        "e|ndtime": _moment("end_at", "end time"),
        "d|uration": _length,
        "nodec|ount": _count("node_count"),
        "nodecnt": _count("node_count"),
        "n|odes": _text("nodes"),
        "com|ment": _text("comment"),
        "co|recnt": _count("cores"),
        "f|lags": _flags,
        "p|artitionname": _text("partition"),
        "t|res": _resources,
        "u|sers": _list("users"),
        "g|roups": _list("groups"),
        "a|ccounts": _list("accounts"),
    }
)
"""Parameters by their names, and how values are read."""
