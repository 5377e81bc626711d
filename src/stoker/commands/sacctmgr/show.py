"""sacctmgr show: what there is, in the ways in which it can be asked for.

Source: sacctmgr(1) of Slurm 22.05; wording as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from stoker.commands.columns import Ending, Table, UnknownField
from stoker.commands.sacctmgr.desk import Asking, Desk, Talk
from stoker.commands.sacctmgr.entities import Entity
from stoker.commands.sacctmgr.fields import chosen
from stoker.commands.sacctmgr.wanted import Wanted
from stoker.commands.sacctmgr.words import Word, find, split


def show(entity: Entity, words: Sequence[str], desk: Desk) -> Talk:
    """Show the records of an entity that the words ask for."""
    if not _is_allowed(entity, desk):
        desk.complain(entity.refusal)
        return
    if entity.text is not None:
        desk.say(entity.text(desk))
        return
    wanted = read_wanted(entity, split(words).conditions, desk)
    if wanted is None or not (yield from _is_meant(entity, wanted, desk)):
        return
    try:
        columns = chosen(wanted.formats or _default(entity, wanted), as_tree="tree" in wanted.flags)
    except UnknownField as error:
        desk.complain(f"Unknown field '{error.name}'\n")
        return
    rows = entity.rows(desk, wanted) if entity.rows is not None else ()
    asked = desk.asked
    ending: Ending = "none" if asked.has("parsable2") else "delimiter"
    is_plain = not (asked.has("parsable") or asked.has("parsable2"))
    table = Table(columns, has_header=not asked.has("noheader"), ending="" if is_plain else ending)
    desk.say("".join(table.text(rows)))


def _is_allowed(entity: Entity, desk: Desk) -> bool:
    match entity.needs:
        case "operator":
            return desk.may_operate
        case "administrator":
            return desk.may_administer
    return True


def read_wanted(entity: Entity, words: Sequence[Word], desk: Desk) -> Wanted | None:
    """Return what is asked for; None, and a complaint, where a word means nothing."""
    wanted = Wanted()
    if desk.asked.has("associations"):
        wanted.flags.add("withassoc")
    for word in words:
        if not word.is_bare and word.is_short_for("format", 1 if entity.name != "Events" else 2):
            wanted.formats += [name for name in word.value.split(",") if name]
            continue
        found = find(word, entity.conditions)
        what = found.meaning if found is not None else ""
        if word.is_bare:
            if what.startswith("flag:"):
                wanted.flags.add(what.removeprefix("flag:"))
            else:
                wanted.add("names", word.names())
        elif found is None:
            desk.complain(f" Unknown condition: {word.typed}\n{entity.hint}")
        elif what:
            wanted.add(what, word.names())
    if entity.trouble is not None and (trouble := entity.trouble(desk, wanted)):
        desk.complain(trouble)
    return None if desk.code else wanted


def _is_meant(entity: Entity, wanted: Wanted, desk: Desk) -> Asking:
    """Ask whether conditions on associations are meant where no associations are shown."""
    if entity.name != "Users" or "withassoc" in wanted.flags or not wanted.is_on_associations:
        return True
    is_meant = yield from desk.ask(
        "You requested options that are only vaild when querying with the withassoc option.\n"
        "Are you sure you want to continue?"
    )
    if not is_meant:
        desk.say("Aborted\n")
    return is_meant


def _default(entity: Entity, wanted: Wanted) -> list[str]:
    names = entity.default
    if entity.name == "Events" and wanted.values.get("events") == ["cluster"]:
        names = "Cluster,TRES,TimeStart,TimeEnd,ClusterNodes"
    if "withassoc" in wanted.flags and entity.with_associations:
        names = f"{names},{entity.with_associations}"
    if "withcoordinators" in wanted.flags:
        names = f"{names},Coordinators"
    if "wolimits" in wanted.flags:
        names = names.partition(",Share")[0]
    return names.split(",")
