"""sacctmgr: the account book looked at and changed, in Slurm's words."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from stoker.commands.sacctmgr import sacctmgr
from stoker.core.accounts import Book
from stoker.core.models import Owner
from stoker.worker.call import Answer, ProgramEnd, RunProgram, Say, next_input
from support.controller import ALICE, ROOT, FakeController, Heard, call_of, converse


class Desk:
    """A cluster whose account book is changed by lines of sacctmgr."""

    def __init__(self) -> None:
        self.controller = FakeController()

    @property
    def book(self) -> Book:
        return self.controller.book()

    def ask(
        self,
        line: str,
        *,
        owner: Owner = ALICE,
        stdin: bytes = b"",
        replies: Any = (),
        **files: Any,
    ) -> Heard:
        call = call_of("sacctmgr", *line.split(), owner=owner)
        content = {"-": stdin, **files.get("files", {})}
        return converse(sacctmgr(call, self.controller), files=content, replies=replies)

    def do(self, line: str, **more: Any) -> Heard:
        return self.ask(f"-i {line}", owner=ROOT, **more)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def peopled(desk: Desk) -> Desk:
    """Physics with quantum below it, and alice and bob in them."""
    for line in (
        "add account phys description=physics organization=uni",
        "add account quantum parent=phys fairshare=2",
        "add user alice account=phys",
        "add user bob accounts=phys,quantum defaultaccount=quantum adminlevel=operator",
        "add qos high priority=100 maxwall=1:00:00 maxtresperuser=cpu=4",
    ):
        assert desk.do(line).code == 0
    return desk


# Showing.


def test_what_there_is_can_be_asked_for_in_any_form(desk: Desk) -> None:
    assert desk.ask("-nP show user").out == "root|root|Administrator\n"
    assert desk.ask("-nP show assoc format=account,user,qos").out == (
        "root||normal\nroot|root|normal\n"
    )
    assert desk.ask("-nP list qos where name=normal format=name,priority").out == "normal|0\n"
    assert desk.ask("-nP show user nosuch").out == ""


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("frobnicate", "invalid keyword: frobnicate\n"),
        ("show user format=nope", "Unknown field 'nope'\n"),
        (
            "show user colour=red",
            " Unknown condition: colour=red\n Use keyword 'set' to modify value\n",
        ),
        (
            "show qos a=1",
            " Unknown condition: a=1\n Use keyword 'set' to modify SLURM_PRINT_VALUE\n",
        ),
        *(
            (f"show {name} a=1", " Unknown condition: a=1\n")
            for name in ("assoc", "event", "problem", "t", "txn", "transaction", "wckey")
        ),
        ("show txn action=add", "sacctmgr: error: You gave a bad action 'add'.\n"),
        (
            "show event event=odd",
            " Unknown event type: 'odd'  Valid events are Cluster and Node.\n",
        ),
        ("show event condflags=odd", "sacctmgr: error: Unknown condition flag odd\n"),
        ("show event user=odd", "sacctmgr: error: Invalid user id: odd\n"),
        (
            "show event state=down,odd",
            (
                "Invalid state: odd\nValid node states are: "
                "DRAIN FAIL UNKNOWN DOWN IDLE ALLOCATED ? MIXED FUTURE \n"
                "sacctmgr: fatal: unrecognized job state value\n"
            ),
        ),
        ("clear", 'No valid entity in list command\nInput line must include "Stats"\n'),
        (
            "archive odd",
            'No valid entity in archive command\nInput line must include, "Dump", or "load"\n',
        ),
        ("archive dump", " Error with request: Requested operation not supported on this system\n"),
        ("dump", " We need a cluster to dump.\n"),
        ("dump elsewhere", " Cluster elsewhere doesn't exist.\n"),
        ("load", " No filename given, specify one with file=''\n"),
        ("-i add account", " Need name of account to add.\n"),
        ("-i add user carol", " Need name of account to add user to.\n"),
        ("-i add qos", " Need name of qos to add.\n"),
        ("-i delete user", " No conditions given to remove, not executing.\n"),
        ("-i modify user root", " You didn't give me anything to set\n"),
        (
            "-i modify user root set colour=red",
            " Unknown option: colour=red\n Use keyword 'where' to modify condition\n",
        ),
        (
            "-i modify user root set maxjobs",
            " Bad format on maxjobs: End your option with an '=' sign\n",
        ),
        ("-r add account x", "Can't run this command in readonly mode.\n"),
        (
            "-i add account x parent=nosuch",
            (
                " Parent account 'nosuch' doesn't exist on cluster test\n"
                "        Contact your admin to add this account.\n No associations created.\n"
            ),
        ),
    ],
)
def test_what_says_nothing_sensible_is_refused_in_slurms_words(
    desk: Desk, line: str, error: str
) -> None:
    heard = desk.ask(line, owner=ROOT)
    assert (heard.err, heard.code) == (error, 1)


def test_events_are_of_the_cluster_or_of_its_nodes(desk: Desk) -> None:
    fields = desk.ask("-nP show event event=c").out.rstrip("\n").split("|")
    assert (fields[0], fields[1].split(",")[0], fields[3]) == ("test", "billing=16", "Unknown")
    assert desk.ask("-nP show event event=n").out == ""
    both = desk.ask("-nP show event event=cluster,node format=event,reason").out
    assert both == "Cluster|Cluster Registered TRES\n"


def test_what_was_asked_of_the_records_is_counted_until_it_is_cleared(desk: Desk) -> None:
    lines = desk.ask("show stats", owner=ROOT).out.splitlines()
    assert lines[1].startswith("sacctmgr show stats output at ")
    assert lines[3] == "All statistics are in microseconds"
    assert "Remote Procedure Call statistics by message type" in lines
    cleared = desk.ask("clear stats", owner=ROOT)
    assert (cleared.out, cleared.err, cleared.code) == ("", "", 0)
    assert desk.controller.called("reset_statistics")


def test_daemons_are_not_everybodys_to_reconfigure_and_need_it_not(desk: Desk) -> None:
    assert desk.ask("reconfigure", owner=ROOT).code == 0
    assert "privilege" in desk.ask("reconfigure").err


def test_a_tree_is_indented_by_depth(peopled: Desk) -> None:
    lines = peopled.ask("show assoc tree format=account,user%7").out.splitlines()[2:]
    assert [line.rstrip() for line in lines] == [
        "root",
        " root                   root",
        " phys",
        "  phys                 alice",
        "  phys                   bob",
        "  quantum",
        "   quantum               bob",
    ]


def test_users_are_shown_with_their_associations(peopled: Desk) -> None:
    heard = peopled.ask("-nP show user bob withassoc format=user,defaultaccount,account,share")
    assert heard.out == "bob|quantum|phys|1\nbob|quantum|quantum|1\n"
    assert peopled.ask("-s -nP show user alice format=user,account").out == "alice|phys\n"


def test_problems_are_accounts_and_users_that_nobody_can_use(peopled: Desk) -> None:
    peopled.do("add account empty")
    peopled.do("add user carol account=phys")
    assert peopled.ask("-nP show problem", owner=ROOT).out == (
        "test|empty||Account has no users\n||carol|User does not have a uid\n"
    )
    assert "permission denied" in peopled.ask("show problem").err


# Adding.


def test_an_account_is_added_once(desk: Desk) -> None:
    heard = desk.do("add account phys Description=Physics Organization=uni")
    assert heard.out == (
        " Adding Account(s)\n  phys\n Settings\n  Description     = physics\n"
        "  Organization    = uni\n Associations\n  A = phys       C = test      \n"
        " Settings\n  Parent        = root\n"
    )
    again = desk.do("add account phys")
    assert (again.out, again.code) == (" Nothing new added.\n", 1)


def test_a_users_first_account_is_the_default_unless_another_is_named(peopled: Desk) -> None:
    assert peopled.book.default_account("alice") == "phys"
    assert peopled.book.default_account("bob") == "quantum"
    peopled.do("add user alice account=quantum")
    assert peopled.book.default_account("alice") == "phys"


def test_limits_of_an_association_are_read_and_shown(peopled: Desk) -> None:
    heard = peopled.do(
        "add user carol account=phys maxjobs=3 grpcpus=4 grpnodes=2 maxwall=90 qos=high share=5"
    )
    assert heard.out.endswith(
        " Non Default Settings\n  Fairshare     = 5\n  GrpTRES       = cpu=4,node=2\n"
        "  MaxJobs       = 3\n  MaxWall       = 01:30:00\n  QOS           = high\n"
    )
    carol = peopled.book.association("phys", "carol")
    assert carol is not None
    assert carol.limits.grp_tres == {"cpu": 4, "node": 2}
    assert peopled.book.qos_of(carol) == ("high",)


def test_a_number_that_is_none_is_let_go_in_a_quality_and_refused_elsewhere(desk: Desk) -> None:
    heard = desk.do("add qos q2 priority=abc")
    assert (heard.err, heard.code) == ("sacctmgr: error: Invalid value for Priority (abc)\n", 0)
    assert "q2" in desk.book.qos
    heard = desk.do("modify user root set maxjobs=many")
    assert heard.err.startswith(
        "sacctmgr: error: Invalid value for MaxJobs (many)\n Unknown option"
    )
    assert heard.code == 1


# Modifying.


def test_a_default_account_must_be_one_of_the_users(peopled: Desk) -> None:
    peopled.do("add account bio")
    heard = peopled.do("modify user alice set defaultaccount=bio")
    assert heard.out == (
        " Can't modify because these users aren't associated with new default account 'bio'...\n"
        "  U = alice C = test\n"
    )
    assert heard.code == 1
    assert (
        peopled.do("modify user bob set defaultaccount=phys").out == " Modified users...\n  bob\n"
    )
    assert peopled.book.default_account("bob") == "phys"


def test_a_limit_of_an_account_names_the_users_for_whom_it_holds(peopled: Desk) -> None:
    peopled.do("modify user bob where account=quantum set maxwall=5")
    heard = peopled.do("modify account phys set maxwall=2-0 grptres=cpu=12,mem=20G")
    assert heard.out == (
        " Modified account associations...\n  C = test       A = phys of root\n"
        "  C = test       A = phys                 U = bob      \n"
        "  C = test       A = phys                 U = alice    \n"
    )


def test_qualities_are_added_and_taken(peopled: Desk) -> None:
    alice = peopled.book.association("phys", "alice")
    assert alice is not None
    peopled.do("modify user alice set qos+=high")
    assert peopled.ask("-nP show assoc user=alice format=qos").out == "high,normal\n"
    peopled.do("modify user alice set qos-=normal")
    assert peopled.ask("-nP show assoc user=alice format=qos").out == "high\n"
    peopled.do("modify user alice set qos=normal")
    assert peopled.ask("-nP show assoc user=alice format=qos").out == "normal\n"


def test_minus_one_takes_a_limit_away(peopled: Desk) -> None:
    peopled.do("modify user alice set maxjobs=5 grptres=cpu=4,mem=1G")
    peopled.do("modify user alice set maxjobs=-1 grptres=cpu=-1")
    shown = peopled.ask("-nP show assoc user=alice format=maxjobs,grptres")
    assert shown.out == "|mem=1G\n"


def test_an_account_moves_under_another_but_not_under_itself(peopled: Desk) -> None:
    peopled.do("add account bio")
    peopled.do("modify account quantum set parent=bio")
    quantum = peopled.book.association("quantum")
    assert quantum is not None
    assert quantum.parent == "bio"
    for line in (
        "modify account bio set parent=quantum",
        "modify account bio set parent=bio",
        "modify account bio set parent=nosuch",
        "modify account root set parent=bio",
    ):
        assert peopled.do(line).code == 1
        assert sum(1 for _ in peopled.book.tree()) == len(peopled.book.associations)


# Deleting.


def test_a_user_with_a_job_under_an_account_stays_in_it(peopled: Desk) -> None:
    peopled.controller.add(7, spec={"account": "phys"})
    heard = peopled.do("delete account phys")
    assert heard.err == (
        " Error with request: Job(s) active, cancel job(s) before remove\n"
        "  JobID = 7          C = test       A = phys       U = alice    \n"
    )
    assert "phys" in peopled.book.accounts


def test_deleting_an_account_takes_what_is_below_it(peopled: Desk) -> None:
    assert peopled.do("delete account phys").out == " Deleting accounts...\n  phys\n"
    assert [each.account for each in peopled.book.associations.values()] == ["root", "root"]


def test_deleting_a_user_or_only_an_association(peopled: Desk) -> None:
    heard = peopled.do("delete user bob account=phys")
    assert heard.out == (
        " Deleting user associations...\n  C = test       A = phys       U = bob      \n"
    )
    assert peopled.do("delete user bob").out == " Deleting users...\n  bob\n"
    assert "bob" not in peopled.book.users
    again = peopled.do("delete user bob")
    assert (again.out, again.code) == (" Nothing deleted\n", 1)


def test_a_deleted_quality_is_nobodys_any_more(peopled: Desk) -> None:
    peopled.do("modify user alice set qos+=high")
    assert peopled.do("delete qos high").out == " Deleting QOS(s)...\n  high\n"
    peopled.do("add qos high")
    assert peopled.ask("-nP show assoc user=alice format=qos").out == "normal\n"


def test_a_quality_that_is_a_default_stays(peopled: Desk) -> None:
    peopled.do("modify user alice set qos+=high defaultqos=high")
    assert "have these as their Default QOS" in peopled.do("delete qos high").err
    assert "high" in peopled.book.qos


@pytest.mark.parametrize("line", ["account root", "user root", "qos normal"])
def test_what_all_stands_on_stays(desk: Desk, line: str) -> None:
    before = desk.book
    heard = desk.do(f"delete {line}")
    assert heard.code == 1
    assert "must stay" in heard.err
    assert desk.book == before


@pytest.mark.parametrize(
    ("line", "shares"),
    [
        ("user where account=quantum set fairshare=7", ["bob|quantum"]),
        ("user where adminlevel=operator set fairshare=7", ["bob|phys", "bob|quantum"]),
        ("user where defaultaccount=phys set fairshare=7", ["alice|phys"]),
        ("user where cluster=other set fairshare=7", []),
        ("account where organization=uni set fairshare=7", ["|phys"]),
        ("account where parent=phys set fairshare=7", ["|quantum"]),
        ("account where cluster=other set fairshare=7", []),
    ],
)
def test_only_what_all_conditions_are_true_of_is_modified(
    peopled: Desk, line: str, shares: list[str]
) -> None:
    peopled.do(f"modify {line}")
    shown = peopled.ask("-nP show assoc format=user,account,share").out.splitlines()
    assert sorted(each.removesuffix("|7") for each in shown if each.endswith("|7")) == shares


def test_users_outside_of_a_named_account_keep_their_level(peopled: Desk) -> None:
    peopled.do("modify user where account=quantum set adminlevel=admin")
    levels = {user.name: user.admin_level for user in peopled.book.users.values()}
    assert levels == {"root": "Administrator", "alice": "None", "bob": "Administrator"}


def test_only_what_all_conditions_are_true_of_is_deleted(peopled: Desk) -> None:
    peopled.do("delete user where adminlevel=operator")
    assert peopled.book.users.keys() == {"root", "alice"}
    peopled.do("delete account where parent=phys")
    assert peopled.book.accounts.keys() == {"root", "phys"}


# Who may.


def test_users_may_look_and_not_change(peopled: Desk) -> None:
    before = peopled.book
    heard = peopled.ask("-i add account mine")
    assert heard.err == " Problem adding accounts: Access/permission denied\n"
    for line in (
        "delete account phys",
        "delete user zzz",
        "modify user alice set fairshare=9",
        "modify account phys set fairshare=9",
        "modify cluster test set maxjobs=9",
        "modify qos high set priority=9",
        "delete qos high",
    ):
        assert peopled.ask(f"-i {line}").err.endswith("Access/permission denied\n"), line
    assert peopled.book is before


def test_operators_change_accounts_but_neither_qualities_nor_levels(peopled: Desk) -> None:
    bob = Owner(2002, "bob", 2002, "bob")
    assert peopled.ask("-i add account bio", owner=bob).code == 0
    assert peopled.ask("-i modify qos high set priority=1", owner=bob).code == 1
    assert peopled.ask("-i modify user bob set adminlevel=admin", owner=bob).code == 1


def test_a_coordinator_adds_users_below_the_account(peopled: Desk) -> None:
    assert peopled.do("add coordinator account=phys names=alice").code == 0
    assert peopled.ask("-i add user carol account=quantum").code == 0
    assert peopled.ask("-i modify user carol set maxjobs=2").code == 0
    assert peopled.ask("-i add user carol account=root").code == 1
    assert peopled.ask("-nP show account phys withcoord format=account,coord").out == "phys|alice\n"
    peopled.do("delete coordinator names=alice")
    assert peopled.ask("-i add user dave account=quantum").code == 1


def test_nobody_gives_a_new_user_more_rights_than_the_own(peopled: Desk) -> None:
    peopled.do("add coordinator account=phys names=alice")
    bob = Owner(2002, "bob", 2002, "bob")
    for owner in (ALICE, bob):
        heard = peopled.ask("-i add user carol account=phys adminlevel=admin", owner=owner)
        assert heard.err == " Problem adding users: Access/permission denied\n"
    assert "carol" not in peopled.book.users


def test_a_deleted_user_coordinates_nothing_any_more(peopled: Desk) -> None:
    peopled.do("add coordinator account=phys names=alice,bob")
    assert peopled.do("delete user alice").code == 0
    assert peopled.book.accounts["phys"].coordinators == ("bob",)
    assert peopled.ask("-i add user carol account=phys").code == 1


# Asking.


def test_a_change_is_made_when_it_is_agreed_to(desk: Desk) -> None:
    heard = desk.ask("add account phys", owner=ROOT, stdin=b"y\n")
    assert heard.out.endswith(
        "Would you like to commit changes? (You have 30 seconds to decide)\n(N/y): \n"
    )
    assert "phys" in desk.book.accounts


@pytest.mark.parametrize("stdin", [b"", b"n\n", b"\n", b"what?", b"\xff\xfe"])
def test_anything_but_yes_discards_a_change(desk: Desk, stdin: bytes) -> None:
    heard = desk.ask("add account phys", owner=ROOT, stdin=stdin)
    assert heard.out.endswith(" Changes Discarded\n")
    assert "phys" not in desk.book.accounts


def test_the_ids_of_a_discarded_change_are_used_up(desk: Desk) -> None:
    before = desk.book.next_association_id
    desk.ask("add account phys", owner=ROOT, stdin=b"n\n")
    assert desk.book.next_association_id == before + 1


def test_each_question_takes_one_letter(desk: Desk) -> None:
    desk.do("add account bio")
    heard = desk.ask("add user dave account=bio", owner=ROOT, stdin=b"y\n")
    assert heard.out.startswith("There is no uid for user 'dave'\n")
    assert "dave" not in desk.book.users
    desk.ask("add user dave account=bio", owner=ROOT, stdin=b"yy")
    assert "dave" in desk.book.users


def test_at_a_terminal_each_question_takes_a_line(desk: Desk) -> None:
    desk.do("add account bio")
    call = call_of("sacctmgr", *["add", "user", "dave", "account=bio"], owner=ROOT)
    conversation = sacctmgr(call, desk.controller)
    assert isinstance(conversation, Generator)
    assert next(conversation) == Say(
        "There is no uid for user 'dave'\nAre you sure you want to continue? "
        "(You have 30 seconds to decide)\n(N/y): "
    )
    assert conversation.send(None) == next_input(1)
    assert isinstance(conversation.send(b"tyes\n"), Say)
    assert conversation.send(None) == next_input(2)
    with pytest.raises(StopIteration):
        conversation.send(b"ty\n")
    assert "dave" in desk.book.users


def test_what_a_terminal_has_shown_is_not_said_again(desk: Desk) -> None:
    conversation = sacctmgr(call_of("sacctmgr", "-nP"), desk.controller)
    assert isinstance(conversation, Generator)
    assert next(conversation) == Say("sacctmgr: ")
    conversation.send(None)
    assert conversation.send(b"tshow user\n") == Say("root|root|Administrator\nsacctmgr: ")
    conversation.send(None)
    with pytest.raises(StopIteration) as done:
        conversation.send(b"tquit\n")
    assert done.value.value == Answer("", "", 0)


def test_a_closed_standard_input_means_no(desk: Desk) -> None:
    conversation = sacctmgr(call_of("sacctmgr", "add", "account", "x", owner=ROOT), desk.controller)
    assert isinstance(conversation, Generator)
    next(conversation)
    conversation.send(None)
    with pytest.raises(StopIteration) as done:
        conversation.throw(OSError(9, "Bad file descriptor"))
    assert done.value.value.out.endswith(" Changes Discarded\n")


def test_a_book_that_changed_while_a_question_was_open_is_not_overwritten(peopled: Desk) -> None:
    conversation = sacctmgr(
        call_of("sacctmgr", *["modify", "user", "alice", "set", "maxjobs=1"], owner=ROOT),
        peopled.controller,
    )
    assert not hasattr(conversation, "code")
    next(conversation)  # type: ignore[arg-type]
    peopled.do("modify user alice set fairshare=7")
    conversation.send(None)  # type: ignore[union-attr]
    with pytest.raises(StopIteration) as done:
        conversation.send(b"py\n")  # type: ignore[union-attr]
    assert "have changed meanwhile" in done.value.value.err
    alice = peopled.book.association("phys", "alice")
    assert alice is not None
    assert (alice.shares, alice.limits.max_jobs) == (7, None)


def test_lines_on_standard_input_are_answered_until_it_ends(desk: Desk) -> None:
    heard = desk.ask("-nP", stdin=b"show user\nnonsense\nquit\nshow qos\n")
    assert heard.out == (
        "sacctmgr: show user\nroot|root|Administrator\nsacctmgr: nonsense\nsacctmgr: quit\n"
    )
    assert heard.err == "invalid keyword: nonsense\n"


# The record of changes.


def test_changes_are_on_record_by_whom_they_concern(peopled: Desk) -> None:
    peopled.do("modify user alice set maxjobs=5 grpjobs=3")
    heard = peopled.ask("-nP show transactions user=alice format=action,actor,where,info")
    assert heard.out.splitlines()[-1] == (
        f"Modify Associations|root|(id_assoc={_id(peopled, 'alice')})|grp_jobs=3, max_jobs=5"
    )
    assert "bob" not in heard.out


def _id(desk: Desk, user: str) -> int:
    own = desk.book.association("phys", user)
    assert own is not None
    return own.id


# Files.


def test_a_dump_loads_as_what_it_was_made_of(peopled: Desk) -> None:
    peopled.do("modify user alice set qos+=high maxwall=5:00:00")
    peopled.do("modify user bob set qos+=high")
    peopled.do("modify user bob set qos-=normal")
    peopled.do("modify account phys set description=newton's")
    peopled.do("add coordinator account=phys,quantum names=alice")
    heard = peopled.do("dump test file=book.cfg", replies=[ProgramEnd(0)])
    [request] = [each for each in heard.requests if isinstance(each, RunProgram)]
    assert request.argv[3] == "/home/alice/work/book.cfg"
    text = "".join(request.argv[4:]).encode()
    files = {"/home/alice/work/book.cfg": text}
    assert peopled.do("load file=book.cfg", files=files).out == (
        "For cluster test\n Nothing new added.\n"
    )
    fresh = Desk()
    fresh.do("add qos high")
    assert fresh.do("load book.cfg", files=files).code == 0
    question = "-nP show assoc format=account,user,share,maxwall,qos"
    assert fresh.ask(question).out == peopled.ask(question).out
    for question in ("show user", "show account withcoord"):
        assert fresh.ask(f"-nP {question}").out == peopled.ask(f"-nP {question}").out


def test_a_file_that_is_none_changes_nothing(desk: Desk) -> None:
    before = desk.book
    files = {"/home/alice/work/x.cfg": b"Account - 'a':Fairshare=1\nnonsense\n"}
    assert "Misformatted line" in desk.do("load x.cfg", files=files).err
    assert desk.do("load nosuch.cfg").code == 1
    assert desk.book is before


# What was used.


def test_what_was_used_is_forgotten_for_all_below_an_account(peopled: Desk) -> None:
    heard = peopled.do("modify account phys set RawUsage=0")
    assert heard.out == "No cluster specified, resetting on local cluster test\n"
    [(forgotten,)] = peopled.controller.called("forget_usage")
    below = {each.id for each in peopled.book.below("phys")}
    assert forgotten == below | {peopled.book.association("phys").id}  # type: ignore[union-attr]


def test_use_can_only_be_set_to_nothing(peopled: Desk) -> None:
    assert "RawUsage can only be set to 0" in peopled.do("modify user bob set rawusage=5").err
    assert peopled.do("modify user nobody set rawusage=0").code == 1
    assert peopled.controller.called("forget_usage") == []


def test_there_is_nothing_to_roll_up_and_anybody_may_say_so(desk: Desk) -> None:
    heard = desk.ask("-i rollup")
    assert (heard.out, heard.err, heard.code) == ("", "", 0)
    assert desk.ask("shutdown").code == 1
