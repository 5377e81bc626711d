"""The options of sacct.

Source: sacct(1) of Slurm 22.05.
"""

from __future__ import annotations

from stoker.commands.options import Option
from stoker.commands.sacct_fields import BRIEF_FORMAT

OPTIONS = (
    Option("allusers", "a", help="show the jobs of all users"),
    Option("accounts", "A", "required", "show jobs of these accounts", value="LIST"),
    Option("allocations", "X", help="show jobs without their steps"),
    Option("associations", "x", "required", "show jobs of these associations", "meaningless"),
    Option("batch-script", "B", help="print the script of the jobs named with --jobs"),
    Option("brief", "b", help=f"the same as --format={BRIEF_FORMAT}"),
    Option("completion", "c", "none", "read the job completion log: there is none", "refused"),
    Option(
        "clusters",
        "M",
        "required",
        "show jobs of these clusters",
        value="LIST",
        aliases=("cluster",),
    ),
    Option("constraints", "C", "required", "show jobs that asked for these features", value="LIST"),
    Option("delimiter", "", "required", "set fields apart by this text", value="TEXT"),
    Option("duplicates", "D", help="show every run of a requeued job"),
    Option("endtime", "E", "required", "show jobs that lived before this time", value="TIME"),
    Option("env-vars", "", help="print the environment of the jobs named with --jobs"),
    Option("federation", "", "none", "the federation's jobs", "meaningless"),
    Option(
        "file", "f", "required", "read that log file: the records are in a database", "meaningless"
    ),
    Option("flags", "F", "required", "show jobs that were started so", value="SchedMain,..."),
    Option("format", "o", "required", "show these fields", value="FIELD[%WIDTH],..."),
    Option("group", "g", "required", "show jobs of these groups", value="LIST", aliases=("gid",)),
    Option("helpformat", "e", help="list the fields"),
    Option("jobs", "j", "required", "show these jobs and steps", value="LIST"),
    Option("json", "", help="print JSON"),
    Option("local", "", "none", "this cluster's jobs", "meaningless"),
    Option("long", "l", help="show many fields"),
    Option("allclusters", "L", "none", "jobs of all clusters", "meaningless"),
    Option("name", "", "required", "show jobs of these names", value="LIST"),
    Option("ncpus", "I", "required", "show jobs with that many CPUs", value="MIN[-MAX]"),
    Option("nnodes", "i", "required", "show jobs with that many nodes", value="MIN[-MAX]"),
    Option("nodelist", "N", "required", "show jobs that ran on any of these nodes", value="LIST"),
    Option("noconvert", "", help="do not convert units"),
    Option("noheader", "n", help="print no header"),
    Option("parsable", "p", help="set fields apart by |, and end lines with one"),
    Option("parsable2", "P", help="set fields apart by |"),
    Option("partition", "r", "required", "show jobs of these partitions", value="LIST"),
    Option("qos", "q", "required", "show jobs of these QOS", value="LIST"),
    Option("starttime", "S", "required", "show jobs that lived after this time", value="TIME"),
    Option("state", "s", "required", "show jobs that were in these states", value="LIST"),
    Option("timelimit-max", "K", "required", "the end of a range of time limits", value="TIME"),
    Option("timelimit-min", "k", "required", "show jobs with this time limit", value="TIME"),
    Option("truncate", "T", help="cut times to the window"),
    Option("units", "", "required", "print memory in this unit", value="K|M|G|T|P"),
    Option("uid", "u", "required", "show the jobs of these users", value="LIST", aliases=("user",)),
    Option("use-local-uid", "", "none", "names of users are those of this machine", "meaningless"),
    Option("verbose", "v", "none", "say more", "meaningless"),
    Option("wckeys", "W", "required", "show jobs of these workload keys", value="LIST"),
    Option("whole-hetjob", "", "optional", "all parts of heterogeneous jobs", "meaningless"),
    Option("yaml", "", help="print YAML"),
    Option("help", "h", help="show this help"),
    Option("usage", "", help="show a short usage"),
    Option("version", "V", help="show the version of Slurm whose language this is"),
)
