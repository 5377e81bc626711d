"""Values of sbatch's options against what Slurm 22.05 said to the same: GPUs, and idle options."""

from __future__ import annotations

import msgspec
import pytest

from stoker.commands.salloc import salloc
from stoker.commands.sbatch import sbatch
from stoker.commands.scontrol.command import scontrol
from stoker.commands.squeue.command import squeue
from stoker.commands.srun import srun
from stoker.core.models import FOREVER, JobSpec, Node
from support.controller import ALICE, MACHINE, ROOT, FakeController, Heard, call_of, converse

NODES = tuple(Node(f"node{n}", n - 1, 8, 16_000, {"gpu": 4}) for n in (1, 2))
REFUSED = "sbatch: error: Invalid generic resource (gres) specification\n"


def asked(words: str) -> tuple[Heard, FakeController]:
    """Return what is said to ``sbatch -H WORDS --wrap true`` where nodes have GPUs."""
    controller = FakeController(msgspec.structs.replace(MACHINE, nodes=NODES))
    call = call_of("sbatch", "-H", *words.split(), "--wrap=true")
    return converse(sbatch(call, controller)), controller


def spec_of(words: str) -> JobSpec:
    heard, controller = asked(words)
    assert heard.code == 0
    return controller.submissions[-1].spec


@pytest.mark.parametrize(
    ("words", "every_s"),
    [("5", 5.0), ("task=7,energy=1", 7.0), ("energy=1,task=0", 0.0), ("network=3", None)],
)
def test_how_often_memory_is_looked_at_is_the_frequency_of_tasks(words, every_s) -> None:
    assert spec_of(f"--acctg-freq={words}").sample_every_s == every_s


@pytest.mark.parametrize(
    ("words", "tasks", "gres", "told"),
    [
        ("--gpus=2", 1, "gpu:2", {"TresPerJob": "gres:gpu:2"}),
        ("--gpus=4 -N2", 2, "gpu:2", {"TresPerJob": "gres:gpu:4"}),
        ("--gpus-per-node=1 -N2", 2, "gpu:1", {"TresPerNode": "gres:gpu:1"}),
        ("--gpus-per-task=1 -n2", 2, "gpu:2", {"TresPerTask": "gres:gpu:1"}),
        ("--ntasks-per-node=2 --gpus-per-task=1", 2, "gpu:2", {"TresPerTask": "gres:gpu:1"}),
        (
            "--gpus=4 --gpus-per-task=2",
            2,
            "gpu:4",
            {"TresPerJob": "gres:gpu:4", "TresPerTask": "gres:gpu:2"},
        ),
        (
            "--gpus-per-node=2 --gpus=4",
            2,
            "gpu:2",
            {"TresPerJob": "gres:gpu:4", "TresPerNode": "gres:gpu:2"},
        ),
        (
            "--gres=gpu:1 --gpus=1",
            1,
            "gpu:1",
            {"TresPerJob": "gres:gpu:1", "TresPerNode": "gres:gpu:1"},
        ),
        (
            "--ntasks-per-gpu=2 --gpus=2",
            4,
            "gpu:2",
            {"TresPerJob": "gres:gpu:2", "NtasksPerTRES": "2"},
        ),
        ("--ntasks-per-gpu=2 -n4", 4, "gpu:2", {"NtasksPerTRES": "2"}),
        ("--ntasks-per-gpu=2 -N2", 4, "gpu:1", {"NtasksPerTRES": "2"}),
        (
            "--ntasks-per-gpu=2 --gpus-per-node=2 -N2",
            8,
            "gpu:2",
            {"TresPerNode": "gres:gpu:2", "NtasksPerTRES": "2"},
        ),
        (
            "--ntasks-per-gpu=2 --gres=gpu:2",
            4,
            "gpu:2",
            {"TresPerNode": "gres:gpu:2", "NtasksPerTRES": "2"},
        ),
        (
            "--gpus=2 --cpus-per-gpu=3",
            1,
            "gpu:2",
            {"CpusPerTres": "gres:gpu:3", "TresPerJob": "gres:gpu:2"},
        ),
        (
            "--gpus-per-node=2 --mem-per-gpu=1G",
            1,
            "gpu:2",
            {"MemPerTres": "gres:gpu:1024", "TresPerNode": "gres:gpu:2"},
        ),
        ("--gres=gpu:2", 1, "gpu:2", {}),
    ],
)
def test_gpus_are_counted_and_told_as_they_were_asked_for(words, tasks, gres, told):
    spec = spec_of(words)
    assert (spec.tasks, spec.gres, dict(spec.tres_asked)) == (tasks, gres, told)
    assert list(spec.tres_asked) == list(told)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            "--gpus-per-task=1",
            (
                "Failed to validate job spec. --gpus-per-task used without either --gpus or "
                "-n/--ntasks is not allowed."
            ),
        ),
        (
            "--gpus=4 --gpus-per-task=2 -n4",
            (
                "Failed to validate job spec. Based on --gpus and --gpus-per-task number of "
                "requested tasks differ from -n/--ntasks."
            ),
        ),
        (
            "--gpus=2 --gpus-per-node=1 -N1",
            (
                "Failed to validate job spec. Based on --gpu and --gres=gpu/--gpus-per-node "
                "required nodes (2) doesn't fall between min_nodes (1) and max_nodes "
                "(1) boundaries."
            ),
        ),
        (
            "--gpus-per-socket=1",
            "--gpus-per-socket option requires --sockets-per-node specification",
        ),
        (
            "--ntasks-per-gpu=2",
            (
                "gres_job_state_validate: --ntasks-per-tres needs either a GRES GPU specification "
                "or a node/ntask specification"
            ),
        ),
    ],
)
def test_gpus_that_cannot_be_counted_are_refused(words, why):
    heard, _ = asked(words)
    assert (heard.code, heard.err) == (1, f"sbatch: error: {why}\n{REFUSED}")


def test_generic_resources_are_listed_on_request():
    heard, _ = asked("--gres=help")
    assert (heard.code, heard.out) == (0, "Valid gres options are:\ngpu[[:type]:count]\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--switches=x", 1, 'Invalid numeric value "x" for --switches.'),
        ("--wait-all-nodes=2", 255, "Invalid --wait-all-nodes specification"),
        ("--wait-all-nodes=x", 1, 'Invalid numeric value "x" for --wait-all-nodes.'),
        ("--profile=bogus", 255, "invalid --profile=bogus option"),
        ("--mem-bind=bogus", 255, 'unrecognized --mem-bind argument "bogus"'),
        ("--gpu-bind=bogus", 255, "Invalid --gpu-bind argument: gpu:bogus"),
        ("--gpu-freq=bogus", 255, "Invalid --gpu-freq argument: gpu:bogus"),
        ("--gres-flags=bogus", 255, "Invalid --gres-flags specification"),
        ("--delay-boot=abc", 255, "Invalid --delay-boot specification"),
        ("--no-kill=foo", 255, "Invalid --no-kill specification"),
        ("--get-user-env=x", 255, "Invalid --get-user-env specification"),
        ("-B 1:x", 1, 'Invalid numeric value "x" for second arg of -B.'),
        ("--signal=USR1@65536", 255, "Invalid --signal specification"),
        ("--signal=0", 255, "Invalid --signal specification"),
    ],
)
def test_a_value_that_says_nothing_is_refused_also_where_it_would_mean_nothing(words, code, said):
    heard, _ = asked(words)
    assert (heard.code, heard.err) == (code, f"sbatch: error: {said}\n")


@pytest.mark.parametrize(
    "words",
    [
        "--switches=1@10",
        "--wait-all-nodes=1",
        "--profile=task",
        "--mem-bind=local",
        "--gpu-bind=closest",
        "--gpu-freq=high,memory=low",
        "--gres-flags=enforce-binding",
        "--delay-boot=5",
        "--no-kill=off",
        "--no-kill",
        "--get-user-env=L",
        "--get-user-env=5L",
        "-B 1:*",
        "--power=level",
        "--signal=USR1@65535",
        "--signal=SIGUSR1@",
        "--signal=BR:USR1@5",
        "--propagate=NONE",
        "--propagate=RLIMIT_NOFILE,CORE",
    ],
)
def test_a_value_that_says_something_is_taken_in_silence(words):
    heard, _ = asked(words)
    assert (heard.code, heard.err) == (0, "")


@pytest.mark.parametrize(
    ("value", "seconds", "scontrol_says", "squeue_says"),
    [
        ("5", 300, "00:05:00", "5:00"),
        ("1:30", 90, "00:01:30", "1:30"),
        ("1-0", 86_400, "1-00:00:00", "1-00:00:00"),
        ("0", 0, "00:00:00", "0:00"),
        ("-1", FOREVER, "UNLIMITED", "INVALID"),
        ("infinite", FOREVER, "UNLIMITED", "INVALID"),
    ],
)
def test_for_how_long_no_node_is_booted_is_shown(value, seconds, scontrol_says, squeue_says):
    heard, controller = asked(f"--delay-boot={value}")
    assert heard.code == 0
    spec = controller.submissions[-1].spec
    assert spec.delay_boot_s == seconds
    controller.add(7, spec={"delay_boot_s": spec.delay_boot_s})
    shown = scontrol(call_of("scontrol", "show", "job", "7"), controller)
    assert f" DelayBoot={scontrol_says}\n" in "".join(shown.out)
    listed = squeue(call_of("squeue", "-h", "-j7", "-O", "delayboot:"), controller)
    assert "".join(listed.out).strip() == squeue_says


@pytest.mark.parametrize(
    ("value", "told", "changed"),
    [
        ("10", "", {"delay_boot_s": 600.0}),
        ("0", "", {"delay_boot_s": 0.0}),
        ("x", "scontrol: error: Invalid DelayBoot value\n", None),
        ("", "scontrol: error: Invalid DelayBoot value\n", None),
    ],
)
def test_for_how_long_no_node_is_booted_can_change(value, told, changed):
    controller = FakeController()
    controller.add(7)
    heard = scontrol(call_of("scontrol", "update", "jobid=7", f"delayboot={value}"), controller)
    assert heard.err == told
    assert [changes for *_, changes in controller.called("update")] == (
        [changed] if changed else []
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--prefer=big", "Invalid preferred feature specification"),
        ("--prefer=big -C bigger", "Invalid feature specification"),
    ],
)
@pytest.mark.parametrize("program", [sbatch, srun, salloc])
def test_features_that_no_node_has_are_not_preferred_either(program, words, said):
    call = call_of(
        program.__name__, *words.split(), *(["--wrap=true"] if program is sbatch else ["true"])
    )
    heard = converse(program(call, FakeController(msgspec.structs.replace(MACHINE, nodes=NODES))))
    assert heard.err.endswith(f"{said}\n")
    assert heard.code == 1


def test_no_feature_at_all_may_be_preferred():
    assert asked("--prefer=")[0].code == 0
    controller = FakeController()
    controller.add(7)
    told = [
        scontrol(call_of("scontrol", "update", "jobid=7", f"prefer={value}"), controller).err
        for value in ("", "big")
    ]
    assert told == ["", "Invalid preferred feature specification for job 7\n"]


@pytest.mark.parametrize("value", ["nofile", "ALL,NOFILE", "NOFILE,X", "RLIMIT_X"])
def test_a_limit_that_slurm_does_not_know_is_named(value):
    heard, _ = asked(f"--propagate={value}")
    wrong = next(word for word in value.split(",") if word != "NOFILE")
    wrong = wrong.removeprefix("RLIMIT_")
    assert (heard.code, heard.err) == (
        1,
        (
            f"sbatch: error: Bad rlimit name: {wrong}\n"
            f"sbatch: error: --propagate={value} is not valid.\n"
        ),
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-n1 -N2", "Warning: can't run 1 processes on 2 nodes, setting nnodes to 1"),
        ("--thread-spec=1", ("error: Ignoring --thread-spec since it's not allowed by "
         "configuration (AllowSpecResourcesUsage = No)")),
        ("--power=x", "error: Ignoring unrecognized power option (x)"),
    ],
)  # fmt: skip
def test_what_is_let_go_is_said_before_the_receipt(words, said):
    heard, controller = asked(words)
    assert (heard.code, heard.err) == (0, f"sbatch: {said}\n")
    assert controller.submissions[-1].spec.min_nodes in (None, 1)


@pytest.mark.parametrize("command", [sbatch, srun, salloc])
def test_help_with_hints_is_printed_and_nothing_submitted(command):
    controller = FakeController(MACHINE)
    call = call_of(command.__name__, "--hint=help", "true")
    heard = converse(command(call, controller), files={"true": b"#!/bin/sh\n"})
    assert heard.out.startswith("Application hint options:\n    --hint=  ")
    assert (heard.err, heard.code, controller.submissions) == ("", 1, [])


@pytest.mark.parametrize(
    ("words", "is_taken"),
    [
        ("--batch=fast", False),
        ("--constraint=fast --batch=fast", True),
        ("--constraint=fast&big --batch=big", True),
        ("--constraint=fast --batch=big", False),
        ("--constraint=fast|big --batch=fast|big", True),
    ],
)
def test_the_node_of_the_script_has_none_but_features_of_all_nodes(words, is_taken):
    nodes = tuple(Node(f"node{n}", n, 8, 16_000, features=("fast", "big")) for n in range(2))
    controller = FakeController(msgspec.structs.replace(MACHINE, nodes=nodes))
    heard = converse(sbatch(call_of("sbatch", *words.split(), "--wrap=true"), controller))
    assert (heard.code == 0) is is_taken
    if not is_taken:
        assert heard.err == (
            "sbatch: error: Batch job submission failed: Job --batch option is invalid or not a "
            "subset of --constraints\n"
        )


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ("-w node1,node2 -N1", "error: invalid number of nodes (-N 2-1)", 1),
        ("--nice=-5", "error: Batch job submission failed: Invalid --nice value", 1),
        ("--priority=-5", "error: Invalid --priority specification", 255),
        ("-v -Q", "error: don't specify both --verbose (-v) and --quiet (-Q)", 1),
        ("--cpu-bind=x", ("unrecognized option '--cpu-bind=x'\nTry \"sbatch --help\" for more "
         "information"), 255),
        ("--distribution=plane", ("error: Invalid plane size or size not specified\nsbatch: error: "
         "Invalid --distribution specification"), 255),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(words, said, code):
    heard, controller = asked(words)
    said = f"sbatch: {said}\n"
    assert (heard.err, heard.code, controller.submissions) == (said, code, [])


@pytest.mark.parametrize("command", [srun, salloc])
def test_an_allocation_is_not_given_before_others_either(command):
    controller = FakeController()
    name = command.__name__
    heard = converse(command(call_of(name, "--nice=-5", "true"), controller))
    assert heard.err.startswith(f"{name}: error: ")
    assert heard.err.endswith(": Invalid --nice value\n")
    assert (heard.code, controller.submissions) == (1, [])


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [("--priority=odd", "priority", 0), ("-a=", "array", None), ("--priority=7x", "priority", 7)],
)
def test_what_is_no_number_counts_as_none(words, field, value):
    heard, controller = asked(words.replace("-a=", "--array="))
    assert (heard.err, heard.code) == ("", 0)
    assert getattr(controller.submissions[-1], field) == value


def test_a_limit_of_an_array_that_is_no_number_is_none():
    _, controller = asked("-a 1-10%x")
    array = controller.submissions[-1].array
    assert (len(array.tasks), array.limit) == (10, 0)


def test_help_with_memory_bindings_is_printed_by_sbatch_too():
    heard, controller = asked("--mem-bind=help")
    assert heard.out.startswith("Memory bind options:\n")
    assert (heard.code, controller.submissions) == (255, [])


@pytest.mark.parametrize("command", [sbatch, srun, salloc])
def test_a_file_for_a_burst_buffer_must_be_there(command):
    name = command.__name__
    words = ["--bbf=buffer", "--wrap=true"] if name == "sbatch" else ["--bbf=buffer", "true"]
    controller = FakeController(MACHINE)
    heard = converse(command(call_of(name, *words), controller))
    assert (heard.err, heard.code) == (f"{name}: error: Invalid --bbf specification\n", 1)
    assert controller.submissions == []


def test_what_a_file_for_a_burst_buffer_says_is_let_go():
    call = call_of("sbatch", "--bbf=buffer", "--wrap=true")
    heard = converse(sbatch(call, FakeController(MACHINE)), files={"buffer": b"#BB x\n"})
    assert (heard.err, heard.code) == ("", 0)


@pytest.mark.parametrize(
    ("word", "said", "code"),
    [
        ("--uid=nobody-here", "error: Invalid --uid specification", 255),
        ("--uid=", "error: Invalid --uid specification", 255),
        ("--uid=bob", "error: cannot use --uid: call sbatch as that user instead", 1),
        ("--gid=nogroup-here", "error: Invalid --gid specification", 255),
        ("--gid=100", "error: cannot use --gid: the first group of a job is its user's own", 1),
    ],
)
def test_root_submits_neither_as_nobody_nor_as_whom_no_jobs_are_run_for(word, said, code):
    controller = FakeController(MACHINE)
    heard = converse(sbatch(call_of("sbatch", word, "--wrap=true", owner=ROOT), controller))
    assert (heard.err, heard.code) == (f"sbatch: {said}\n", code)
    assert controller.submissions == []


@pytest.mark.parametrize("words", ["--uid=alice", "--uid=2001", "--uid=alice --gid=alice"])
def test_root_submits_jobs_of_those_whom_a_shared_stoker_serves(words):
    controller = FakeController(MACHINE)
    call = call_of("sbatch", *words.split(), "--wrap=true", owner=ROOT)
    assert converse(sbatch(call, controller)).code == 0
    assert controller.submissions[-1].owner == ALICE


@pytest.mark.parametrize("words", ["--export=NONE", "--get-user-env", "--export=A"])
def test_mail_about_a_job_that_root_submits_and_a_login_in_it_are_its_users(words):
    controller = FakeController(MACHINE)
    argv = ("--uid=alice", "--mail-type=END", words, "--wrap=true")
    root = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "A": "1"}
    call = call_of("sbatch", *argv, owner=ROOT, environment=root)
    assert converse(sbatch(call, controller)).code == 0
    submission = controller.submissions[-1]
    assert submission.spec.mail_user == "alice"
    assert {"HOME=/home/alice", "USER=alice", "LOGNAME=alice"} <= {*submission.environment}


@pytest.mark.parametrize("program", [srun, salloc])
def test_what_runs_in_a_terminal_is_its_users_alone(program):
    controller = FakeController(MACHINE)
    call = call_of(program.__name__, "--uid=alice", "true", owner=ROOT)
    heard = converse(program(call, controller))
    name = program.__name__
    assert heard.err == f"{name}: error: cannot use --uid: call {name} as that user instead\n"
    assert controller.submissions == []


@pytest.mark.parametrize(
    ("words", "is_taken"), [("--tmp=5G", True), ("--tmp=99T", False), ("-H --tmp=99T", True)]
)
def test_more_temporary_space_than_a_node_has_is_refused(words, is_taken):
    nodes = (Node("node1", 0, 8, 16_000, tmp_disk_mib=10_000),)
    controller = FakeController(msgspec.structs.replace(MACHINE, nodes=nodes))
    heard = converse(sbatch(call_of("sbatch", *words.split(), "--wrap=true"), controller))
    assert (heard.code == 0) is is_taken
    if not is_taken:
        assert heard.err == (
            "sbatch: error: Temporary disk specification can not be satisfied\n"
            "sbatch: error: Batch job submission failed: Requested node configuration is not "
            "available\n"
        )
