"""Wishes applied to the entries of the account book, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stoker.commands.sacctmgr.limits import (
    settings_of_association,
    settings_of_qos,
    with_limits,
)
from stoker.commands.sacctmgr.records import shares
from stoker.commands.sacctmgr.wishes import Signed, Wishes, signed
from stoker.core.accounts import Association, Book, Qos
from stoker.core.accounttext import flags_number, limit_changes, qos_change

_MODE_NUMBERS: Final[Mapping[str, int]] = {"cancel": 8, "requeue": 16, "gang": 32768}


def with_wishes(association: Association, wishes: Wishes) -> Association:
    """Return an association as it is wished for."""
    changes: dict[str, Any] = {"limits": with_limits(association.limits, wishes.limits)}
    if wishes.shares is not None:
        changes["shares"] = wishes.shares
    if wishes.priorities:
        changes["priority"] = wishes.priorities[-1]
    if wishes.default_qos is not None:
        changes["default_qos"] = wishes.default_qos
    changes["qos"], changes["delta_qos"] = _qualities(association, wishes.qos)
    return msgspec.structs.replace(association, **changes)


def _qualities(
    association: Association, changes: Sequence[Signed]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return an association's own qualities, and what it adds to and takes from those above."""
    qos, delta = association.qos, association.delta_qos
    for sign, names in changes:
        if not sign:
            qos, delta = names, ()
        elif qos:
            qos = signed(qos, [(sign, names)])
        else:
            kept = [word for word in delta if word[1:] not in names]
            delta = (*kept, *(f"{sign}{name}" for name in names))
    return qos, delta


def qos_with_wishes(qos: Qos, wishes: Wishes) -> Qos:
    """Return a quality of service as it is wished for."""
    changes: dict[str, Any] = {
        **wishes.fields,
        "limits": with_limits(qos.limits, wishes.limits),
        "flags": tuple(sorted(signed(qos.flags, wishes.flags))),
        "preempt": signed(qos.preempt, wishes.preempt),
    }
    if wishes.description is not None:
        changes["description"] = wishes.description
    return msgspec.structs.replace(qos, **changes)


def shown_association(wishes: Wishes) -> str:
    """Return what is wished of an association, a line each."""
    lines = []
    if wishes.shares is not None:
        lines.append(_line("Fairshare", shares(wishes.shares)))
    lines.append(settings_of_association(wishes.limits))
    if wishes.parent is not None:
        lines.append(_line("Parent", wishes.parent))
    if wishes.priorities:
        priority = wishes.priorities[-1]
        lines.append(_line("Priority", "NONE" if priority is None else str(priority)))
    if wishes.qos:
        names = [f"{sign}{name}" for sign, said in wishes.qos for name in said]
        lines.append(_line("QOS", ",".join(sorted(names))))
    if wishes.default_qos is not None:
        lines.append(_line("DefQOS", wishes.default_qos or "NONE"))
    return "".join(lines)


def shown_qos(wishes: Wishes) -> str:
    """Return what is wished of a quality of service, a line each."""
    fields = wishes.fields
    lines = []
    if flags := signed((), wishes.flags):
        lines.append(_wide("Flags", ",".join(sorted(flags))))
    if "grace_s" in fields:
        lines.append(_wide("GraceTime", str(fields["grace_s"])))
    lines.append(settings_of_qos(wishes.limits))
    if wishes.preempt:
        lines.append(_wide("Preempt", ",".join(signed((), wishes.preempt))))
    if "preempt_mode" in fields:
        lines.append(_wide("PreemptMode", str(fields["preempt_mode"]).upper()))
    if "priority" in fields:
        lines.append(_wide("Priority", str(fields["priority"])))
    return "".join(lines)


def _line(name: str, value: str) -> str:
    return f"  {name:<14}= {value}\n"


def _wide(name: str, value: str) -> str:
    return f"  {name:<25}= {value}\n"


# What the record of changes says.


def association_changes(wishes: Wishes, book: Book, where: str) -> str:
    """Return what the record says of a change of associations."""
    limits = limit_changes(wishes.limits, where, of_qos=False)
    is_amount = [" = if (" in part for part in limits]
    parts = [f"shares={wishes.shares}"] if wishes.shares is not None else []
    parts += [part for part, late in zip(limits, is_amount, strict=True) if not late]
    if wishes.parent is not None:
        parts.append(f"parent_acct='{wishes.parent}'")
    parts += [f"priority={'NULL' if each is None else each}" for each in wishes.priorities[-1:]]
    if wishes.default_qos is not None:
        default = book.qos.get(wishes.default_qos)
        parts.append(f"def_qos_id={default.id if default is not None else 'NULL'}")
    parts += [part for part, late in zip(limits, is_amount, strict=True) if late]
    for sign, names in wishes.qos:
        parts.append(qos_change(sign, [book.qos[name].id for name in names]))
    return ", ".join(parts)


def changes_of_qos(wishes: Wishes, before: Qos, after: Qos) -> str:
    """Return what the record says of a change of a quality of service."""
    limits = limit_changes(wishes.limits, f"id={before.id}", of_qos=True)
    is_amount = [" = if (" in part for part in limits]
    parts = []
    if wishes.description is not None:
        parts.append(f"description='{wishes.description}'")
    if wishes.flags:
        parts.append(f"flags={flags_number(after.flags)}")
    if "grace_s" in wishes.fields:
        parts.append(f"grace_time={after.grace_s}")
    parts += [part for part, late in zip(limits, is_amount, strict=True) if not late]
    if "preempt_mode" in wishes.fields:
        parts.append(f"preempt_mode={_MODE_NUMBERS.get(after.preempt_mode, 0)}")
    if "priority" in wishes.fields:
        parts.append(f"priority={after.priority}")
    for column, field in (("usage_factor", "usage_factor"), ("usage_thres", "usage_threshold")):
        if isinstance(value := wishes.fields.get(field), float):
            parts.append(f"{column}={value:.6f}")
    parts += [part for part, late in zip(limits, is_amount, strict=True) if late]
    return ", ".join(parts)
