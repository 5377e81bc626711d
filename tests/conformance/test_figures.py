"""Which figures of the machine and of the moment pass, and what does not pass with them."""

from __future__ import annotations

import pytest

from conformance.figures import sstat_heading
from conformance.normalise import RECORDED, same

_PLUGINS = (
    "sbatch: select/cons_tres: common_init: select/cons_tres loaded\n"
    "sbatch: select/linear: init: Linear node selection plugin loaded with argument 20\n"
    "scancel: debug:  auth/munge: init: Munge authentication plugin loaded\n"
    "scancel: debug:  hash/k12: init: init: KangarooTwelve hash plugin loaded\n"
)


def alike(theirs: str, ours: str, command: str) -> bool:
    return same(theirs, ours, RECORDED, command)


def test_which_plugins_were_loaded_passes_and_nothing_else_that_is_told() -> None:
    assert alike(_PLUGINS, "", "sbatch -v job.sh")
    assert alike(f"{_PLUGINS}sbatch: done\n", "sbatch: done\n", "sbatch -v job.sh")
    assert not alike("sbatch: error: job loaded\n", "", "sbatch -v job.sh")
    assert not alike("sbatch: verbose             : 1\n", "", "sbatch -v job.sh")
    assert not alike(
        "srun: launch/slurm: _task_start: Node node1, 2 tasks started\n", "", "srun -v"
    )


@pytest.mark.parametrize(
    ("command", "theirs", "ours"),
    [
        (
            "sinfo -O freemem,port:.9",
            "22313               " + "    24210",
            " " * 0 + "9".ljust(20) + "        0",
        ),
        ("sinfo -N -h -o %N %t %O %e", "node1 mix 0.38 22313", "node1 mix 12.20 9"),
        (
            "sinfo -o '%e|%.8e|%8e|%3e|'",
            "22313|   22313|22313   |223|",
            "900|     900|900     |900|",
        ),
        ("squeue -O allocsid:5,allocsid:.8+x", "20704   20704+x", "0           0+x"),
        (
            "sinfo -O all",
            "AVAIL|FREE_MEM|NODES \nup|22313|1 \n",
            "AVAIL|FREE_MEM|NODES \nup|9|1 \n",
        ),
    ],
)
def test_what_a_machine_has_free_passes_in_its_column(command: str, theirs: str, ours: str) -> None:
    assert alike(theirs, ours, command)


@pytest.mark.parametrize(
    ("command", "theirs", "ours"),
    [
        # Wider, narrower or cut columns; words; another column.
        ("sinfo -O freemem,port:.9", "22313               " + "    24210", "22313               0"),
        ("sinfo -o '%.8e|'", "   22313|", "22313   |"),
        ("sinfo -o '%.8e|'", "   22313|", "     N/A|"),
        ("sinfo -o '%.8e|'", "FREE_MEM|", "    FREE|"),
        ("sinfo -o '%.8e|%m'", "   22313|16000", "   22313|8000"),
        ("sinfo -N -h -o %N %t %O %e", "node1 mix 0.38 22313", "node1 idle 0.38 22313"),
        ("sinfo -N -h -o %N %t %O %e", "node1 mix 0.38 22313", "node1 mix 0.38"),
        ("squeue -O jobid:8,allocsid:8", "7       20704   ", "8       20704   "),
        ("sinfo -O all", "AVAIL|FREE_MEM|NODES \nup|2|1 \n", "AVAIL|FREE_MEM|NODES \nup|2|2 \n"),
    ],
)
def test_all_else_in_such_a_table_does_not_pass(command: str, theirs: str, ours: str) -> None:
    assert not alike(theirs, ours, command)


def calls(name: str, number: int, count: int) -> str:
    return f"\t{name:<40}({number:>5}) count:{count:<6} ave_time:{9:<6} total_time:{9 * count}\n"


def test_what_the_scheduler_has_counted_passes_and_how_it_says_so_does_not() -> None:
    theirs = "Jobs submitted: 70\n\tLast cycle:   25\n" + calls("REQUEST_JOB_INFO", 2003, 24)
    ours = "Jobs submitted: 3\n\tLast cycle:   9\n" + calls("REQUEST_JOB_INFO", 2003, 1)
    assert alike(theirs, ours, "sdiag")
    assert not alike(theirs, ours, "sinfo")
    assert not alike(theirs, ours.replace("Last cycle:   ", "Last cycle: "), "sdiag")
    assert not alike(theirs, ours.replace("Jobs submitted: 3\n", ""), "sdiag")
    assert not alike(theirs, ours.replace("submitted", "started"), "sdiag")
    assert not alike(theirs, ours.replace("count:1     ", "count:1"), "sdiag")
    assert not alike(theirs, ours.replace("( 2003)", "(2003)"), "sdiag")


def test_which_calls_there_were_and_whether_there_was_a_cycle_does_not_pass() -> None:
    one, other = calls("REQUEST_PING", 1008, 9), calls("REQUEST_JOB_INFO", 2003, 9)
    assert not alike(one, other, "sdiag")
    assert not alike(one + other, other + one, "sdiag")
    assert not alike(one + other, one, "sdiag")
    theirs = "\tLast cycle when: Tue Nov 24 05:22:34 2026 (1795497754)\n\tMean cycle: 379\n"
    assert not alike(theirs, "\tLast cycle when: N/A\n", "sdiag")
    assert alike(theirs, theirs.replace("05:22:34", "11:00:00").replace("379", "9"), "sdiag")


_TABLE = (
    "  Cluster Allocate     Down PLND Dow     Idle  Planned Reported \n"
    "--------- -------- -------- -------- -------- -------- -------- \n"
)


def test_how_long_a_cluster_stood_idle_passes() -> None:
    command = "sreport cluster utilization"
    theirs = f"{_TABLE}     test        1        0        0      130        0      131 \n"
    assert alike(theirs, theirs.replace("130", " 84").replace("131", " 85"), command)
    assert not alike(theirs, theirs.replace("    1 ", "    2 "), command), "what was allocated"
    assert not alike(theirs, theirs.replace("130", "84"), command), "a narrower column"
    assert not alike(theirs, theirs.replace("130", "N/A"), command)
    assert not alike(theirs, theirs.replace("test", "mine"), command)
    assert not alike(
        theirs, theirs.replace("130", " 84"), "sreport cluster accountutilizationbyuser"
    )


def test_shares_of_what_a_cluster_had_pass_as_shares() -> None:
    command = "sreport -t secper -P cluster utilization"
    theirs = "test|54(0.69%)|0(0.00%)|0(0.00%)|7795(99.22%)|7(0.09%)|7856(13.64%)"
    ours = "test|54(1.06%)|0(0.00%)|0(0.00%)|5050(98.94%)|0(0.00%)|5104(8.86%)"
    assert alike(theirs, ours, command)
    assert not alike(theirs, ours.replace("54(", "53("), command)
    assert not alike(theirs, ours.replace("54(1.06%)", "54"), command)
    assert not alike(theirs, ours.replace("5050(98.94%)", "98.94%"), command)
    assert not alike(theirs, ours.replace("0(0.00%)|0(0.00%)|5", "1(0.02%)|0(0.00%)|5"), command)


def test_named_columns_of_a_utilisation_are_known_by_their_names() -> None:
    command = "sreport -n -P cluster utilization format=cluster,allocated,down,idle,reported"
    assert alike("test|1|0|130|131", "test|1|0|84|85", command)
    assert not alike("test|1|0|130|131", "test|1|1|84|85", command)
    assert not alike("test|1|0|130|131", "test|1|0|84", command)


def test_the_processes_of_a_step_pass_in_their_column() -> None:
    command = "sstat -i -j 37"
    line = "37.0                        node1                31649 \n"
    assert alike(line, line.replace("31649", "  177"), command)
    assert not alike(line, line.replace("31649", "177"), command)
    assert not alike(line, line.replace("node1", "node2"), command)
    assert not alike(line, line.replace("31649", "  177"), "sstat -j 37")


def test_the_columns_of_sstat_are_known_without_their_heading() -> None:
    heading, dashes = sstat_heading()
    start = heading.index("MaxRSS")
    row = "37.0".ljust(len(dashes))
    one, other = (row[:start] + text + row[start + 6 :] for text in (" 2920K", "11000K"))
    assert alike(one, other, "sstat -n -a -j 37")
    assert not alike(one, other, "sstat -n -o jobid,maxrss -j 37")
    assert not alike(one, other.replace("37.0", "38.0"), "sstat -n -a -j 37")
    assert not alike(one, other[:-1], "sstat -n -a -j 37")
