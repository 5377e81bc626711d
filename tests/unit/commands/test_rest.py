"""slurmrestd's answers: paths, properties, and who may ask."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.commands.rest import slurmrestd
from stoker.commands.rest.routes import ROUTES
from stoker.core.models import Owner
from stoker.core.reservations import Part, Reservation
from stoker.worker.call import Call
from support.controller import ALICE, BOB, MACHINE, ROOT, FakeController, converse
from support.recorded_cluster import RecordedCluster

SUBMIT = "/slurm/v0.0.38/job/submit"
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


class Heard(NamedTuple):
    status: int
    content_type: str
    text: str

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.text))

    @property
    def errors(self) -> list[dict[str, Any]]:
        return list(self.json["errors"])


def ask(
    method: str,
    target: str,
    body: bytes | dict[str, Any] | None = None,
    *,
    controller: FakeController | None = None,
    facts: dict[str, str] | None = None,
    owner: Owner = ALICE,
    key: str = "k",
) -> Heard:
    controller = controller or FakeController()
    content = json.dumps(body).encode() if isinstance(body, dict) else body or b""
    environment = {"REST_CONTENT_TYPE": "application/json", **(facts or {})}
    call = Call("slurmrestd", (method, target), environment, "/", owner, controller.now(), key=key)
    heard = converse(slurmrestd(call, controller), files={"-": content})  # type: ignore[arg-type]
    status, _, kind = heard.err.strip().partition(" ")
    return Heard(int(status), kind, heard.out)


def job(**properties: object) -> dict[str, Any]:
    return {"script": "#!/bin/sh\ntrue\n", "job": {"environment": ENVIRONMENT, **properties}}


def submitted(**properties: object) -> FakeController:
    controller = FakeController()
    heard = ask("POST", SUBMIT, job(**properties), controller=controller)
    assert heard.status == 200, heard.text
    return controller


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_every_path_answers_with_a_document(path: str) -> None:
    target = path.replace("{job_id}", "1").replace("{node_name}", "node1")
    methods = ROUTES[path]
    heard = ask("GET", target)
    if "GET" in methods:
        assert heard.content_type == "application/json"
        assert "meta" in heard.json
    else:
        assert heard.status == 405


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 404),
        ("/slurm/v0.0.39/ping", 404),
        ("/slurm/v0.0.38/ping/", 200),
        ("/slurm/v0.0.38/../ping", 400),
        ("/slurm/v0.0.38/job/abc", 400),
        ("/slurm/v0.0.38/job/55_2", 400),
        ("/slurm/v0.0.38/job/" + "9" * 500, 500),
        ("/slurm/v0.0.38/node/nowhere", 500),
        ("/slurm/v0.0.38/nodes?update_time=9999999999", 304),
        ("/slurm/v0.0.38/nodes?update_time=soon", 400),
        ("/slurmdb/v0.0.38/jobs?colour=red", 500),
        ("no path", 400),
        ("", 400),
    ],
)
def test_paths_lead_to_what_they_name_or_to_an_error(target: str, status: int) -> None:
    assert ask("GET", target).status == status


def test_only_json_is_offered() -> None:
    assert ask("GET", "/slurm/v0.0.38/ping", facts={"REST_ACCEPT": "text/xml"}).status == 415
    browser = "text/html, application/json;q=0.9, */*;q=0.8"
    assert ask("GET", "/slurm/v0.0.38/ping", facts={"REST_ACCEPT": browser}).status == 200


def test_a_job_is_submitted_with_its_own_environment_and_no_directives() -> None:
    controller = FakeController()
    body = job(name="my name", standard_output="out.%j", current_working_directory="/data")
    body["script"] = "#!/bin/sh\n#SBATCH --job-name=other\ntrue\n"
    assert ask("POST", SUBMIT, body, controller=controller).json["job_id"] == 1
    [submission] = controller.submissions
    names = {entry.partition("=")[0] for entry in submission.environment}
    assert "PATH=/usr/bin:/bin" in submission.environment
    assert not any(name.startswith("REST_") for name in names)
    assert submission.spec.name == "my name"
    assert submission.spec.stdout == "/data/out.%j"
    assert submission.spec.work_dir == "/data"


def test_the_key_of_a_request_is_the_key_of_its_job() -> None:
    controller = FakeController()
    ask("POST", SUBMIT, job(), controller=controller, key="once")
    assert controller.submissions[0].key == "once"


@pytest.mark.parametrize(
    ("properties", "field", "value"),
    [
        ({"tasks": "4"}, "ntasks", 4),
        ({"tasks": 4}, "ntasks", 4),
        ({"time_limit": 90}, "time_limit_s", 5400.0),
        ({"time_limit": "1:30:00"}, "time_limit_s", 5400.0),
        ({"memory_per_node": "1G"}, "mem_per_node_mib", 1024),
        ({"memory_per_cpu": 200}, "mem_per_cpu_mib", 200),
        ({"nodes": [1, 2]}, "max_nodes", 2),
        ({"nodes": 2}, "min_nodes", 2),
        ({"deadline": "2099-01-01"}, "time_min_s", 60.0),
        ({"deadline": "2099-01-01", "time_limit": 5}, "time_min_s", None),
        ({"requeue": False}, "requeue", False),
        ({"oversubscribe": True}, "oversubscribe", True),
        ({"name": 5}, "name", "5"),
        ({"comment": None}, "comment", ""),
        ({"argv": ["a", "b c"]}, "argv", ("a", "b c")),
    ],
)
def test_properties_are_read_as_the_options_they_stand_for(
    properties: dict[str, object], field: str, value: object
) -> None:
    [submission] = submitted(**properties).submissions
    assert getattr(submission.spec, field) == value


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"begin_time": 2_000_000_000}, 2054),
        ({"tasks": 0}, -1),
        ({"time_limit": "soon"}, -1),
        ({"environment": {}}, 2127),
        ({"environment": ["A=1"]}, -1),
        ({"argv": "a b"}, -1),
        ({"tasks": {"much": 1}}, -1),
    ],
)
def test_a_wrong_property_is_refused_and_nothing_is_queued(
    properties: dict[str, object], code: int
) -> None:
    controller = FakeController()
    heard = ask("POST", SUBMIT, job(**properties), controller=controller)
    assert heard.status == 400
    assert heard.errors[0]["error_code"] == code
    assert heard.errors[-1]["error_code"] == 9001
    assert not controller.submissions


def test_an_unknown_property_is_named() -> None:
    heard = ask("POST", SUBMIT, job(colour="red"))
    assert heard.errors[0]["description"] == 'Unknown key "colour"'


@pytest.mark.parametrize("body", [b"", b"[]", b'{"job": {}}', b'{"script": ""}', b"7"])
def test_without_a_script_there_is_no_job(body: bytes) -> None:
    heard = ask("POST", SUBMIT, body)
    assert (heard.status, heard.errors[0]["error_code"]) == (500, 2009)


@pytest.mark.parametrize("body", [b"{nope", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_cannot_be_parsed(body: bytes) -> None:
    heard = ask("POST", SUBMIT, body)
    assert (heard.status, heard.text) == (400, "Unable to parse query.")


def test_a_script_without_an_interpreter_is_one_for_the_shell() -> None:
    controller = FakeController()
    body = {"script": "echo hi", "job": {"environment": ENVIRONMENT}}
    assert ask("POST", SUBMIT, body, controller=controller).status == 200
    assert controller.submissions[0].script == b"#!/bin/sh\necho hi"


def test_an_update_changes_what_it_names() -> None:
    controller = submitted(hold=True)
    body = {"comment": "new", "nice": "30", "time_limit": 5}
    assert ask("POST", "/slurm/v0.0.38/job/1", body, controller=controller).status == 200
    [(ref, by, changes)] = controller.called("update")
    assert (ref, by) == ("1", ALICE.user_name)
    assert changes == {"comment": "new", "nice": 30, "time_limit_s": 300.0}


def test_hold_false_releases() -> None:
    controller = submitted(hold=True)
    ask("POST", "/slurm/v0.0.38/job/1", {"hold": False}, controller=controller)
    assert controller.called("release")


def test_an_update_that_cannot_be_read_changes_nothing() -> None:
    controller = submitted(hold=True)
    body = {"comment": "new", "colour": "red"}
    heard = ask("POST", "/slurm/v0.0.38/job/1", body, controller=controller)
    assert heard.errors[0]["description"] == 'Unknown key "colour"'
    assert not controller.called("update")


def test_delete_cancels_and_with_a_signal_sends_it() -> None:
    controller = submitted(hold=True)
    assert ask("DELETE", "/slurm/v0.0.38/job/1", controller=controller).status == 200
    assert controller.called("cancel")
    heard = ask("DELETE", "/slurm/v0.0.38/job/1?signal=FOO", controller=controller)
    assert (heard.status, heard.errors[0]["error_number"]) == (400, 9000)


def test_a_token_counts_for_the_user_whom_it_names() -> None:
    controller = FakeController()
    good = {"REST_TOKEN": controller.issue_token("alice", 60), "REST_USER": "alice"}
    assert ask("GET", "/slurm/v0.0.38/ping", facts=good).status == 200
    for bad in (
        good | {"REST_USER": "bob"},
        good | {"REST_TOKEN": "nonsense"},
        {"REST_TOKEN": controller.issue_token("bob", 60), "REST_USER": "bob"},
        {"REST_TOKEN": controller.issue_token("alice", -1), "REST_USER": "alice"},
        {"REST_TOKEN": "", "REST_USER": ""},
    ):
        assert ask("GET", "/slurm/v0.0.38/ping", facts=bad).status == 500
        assert ask("POST", SUBMIT, job(), facts=bad, controller=controller).status == 500
    assert not controller.submissions


def test_where_all_are_served_a_token_of_another_asks_as_that_user() -> None:
    controller = FakeController()
    bobs = {"REST_TOKEN": controller.issue_token("bob", 60), "REST_USER": "bob"}
    controller.served_users.add(BOB.user_id)
    assert ask("POST", SUBMIT, job(), facts=bobs, controller=controller).status == 200
    [submission] = controller.submissions
    assert submission.owner == BOB
    nobodys = {"REST_TOKEN": controller.issue_token("carol", 60), "REST_USER": "carol"}
    assert ask("POST", SUBMIT, job(), facts=nobodys, controller=controller).status == 500


def test_reservations_are_listed_and_found_by_name() -> None:
    controller = FakeController()
    controller.reservations.there = [
        Reservation(
            name="r", start_at=10.0, end_at=20.0, parts=(Part("node1", 8),), users=("a", "b")
        )
    ]
    [told] = ask("GET", "/slurm/v0.0.38/reservations", controller=controller).json["reservations"]
    assert (told["name"], told["users"], told["tres"]) == ("r", "a,b", "cpu=8")
    assert (told["start_time"], told["end_time"], told["node_list"]) == (10, 20, "node1")
    heard = ask("GET", "/slurm/v0.0.38/reservation/r", controller=controller)
    assert heard.json["reservations"] == [told]
    heard = ask("GET", "/slurm/v0.0.38/reservation/none", controller=controller)
    assert (heard.status, heard.json["reservations"]) == (500, [])


def test_licences_are_counted_as_scontrol_counts_them() -> None:
    controller = FakeController(msgspec.structs.replace(MACHINE, licenses={"matlab": 4}))
    [told] = ask("GET", "/slurm/v0.0.38/licenses", controller=controller).json["licenses"]
    assert (told["LicenseName"], told["Total"], told["Used"], told["Free"]) == ("matlab", 4, 0, 4)


def test_statistics_have_every_counter_of_the_description() -> None:
    told = ask("GET", "/slurm/v0.0.38/diag").json["statistics"]
    assert (told["jobs_pending"], told["schedule_cycle_mean"]) == (0, 0)
    assert len(told) == 43


def test_only_who_administers_sees_the_whole_book() -> None:
    assert ask("GET", "/slurmdb/v0.0.38/config").status == 500
    assert ask("GET", "/slurmdb/v0.0.38/config", owner=ROOT).status == 200


def test_a_description_names_every_path() -> None:
    described = ask("GET", "/openapi/v3").json["paths"]
    assert described.keys() == ROUTES.keys()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(["time_limit", "tasks", "nodes", "begin_time", "name", "hold", "array"])


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES | st.text(max_size=10), VALUES), VALUES, st.text(max_size=30))
def test_whatever_is_sent_is_answered_in_words(
    properties: dict[str, object], environment: object, script: str
) -> None:
    body = {"script": script, "job": {"environment": environment, **properties}}
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    assert ask("POST", SUBMIT, content).status in (200, 400, 500)
    assert ask("POST", "/slurm/v0.0.38/job/1", content).status in (200, 400, 500)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "DELETE", "PUT"]), st.text(max_size=60), st.text(max_size=20)
)
def test_whatever_path_is_asked_for_is_answered(method: str, tail: str, query: str) -> None:
    heard = ask(method, f"/slurm/v0.0.38/{tail}?{query}", b"{}")
    assert 200 <= heard.status < 600


def test_all_that_is_on_record_is_read_a_few_at_a_time_and_listed_as_a_few_would_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = "/slurmdb/v0.0.38/jobs"
    at_once = ask("GET", target, controller=RecordedCluster())  # type: ignore[arg-type]
    monkeypatch.setattr("stoker.commands.rest.accounting.LONG", 0)
    cluster = RecordedCluster()
    assert ask("GET", target, controller=cluster) == at_once  # type: ignore[arg-type]
    assert len(at_once.json["jobs"]) > 10
    assert 0 < cluster.lookout.seen_at_once <= 3
