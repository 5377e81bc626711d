"""The options of sbatch, srun and salloc: one list, since most options are common to them.

A line names the programs that know the option by their initials (``b`` for sbatch, ``s`` for srun,
``a`` for salloc). The list is in Slurm's order, which is that of the alphabet.

Source: sbatch(1), srun(1), salloc(1) of Slurm 22.05.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from stoker.commands.options import HELP, USAGE, VERSION_OPTION, Meaning, Option, Takes

_OPTIONAL: Final = re.compile(r"\[([^][]+)\]")
"""An argument that may be left out: brackets around all of it."""


class _Row(NamedTuple):
    programs: str
    option: Option


def _row(
    programs: str,
    name: str,
    argument: str = "",
    text: str = "",
    *,
    meaning: Meaning = "honoured",
    aliases: tuple[str, ...] = (),
) -> _Row:
    """Read ``-c cpus-per-task`` and an argument's name, ``[VALUE]`` where it may be left out."""
    short, _, long = name.rpartition(" ")
    may_be_left_out = _OPTIONAL.fullmatch(argument)
    takes: Takes = "none"
    if argument:
        takes = "optional" if may_be_left_out else "required"
    return _Row(
        programs,
        Option(
            long=long,
            short=short.removeprefix("-"),
            takes=takes,
            help=text,
            meaning=meaning,
            value=may_be_left_out[1] if may_be_left_out else argument,
            aliases=aliases,
        ),
    )


def _idle(
    programs: str, name: str, argument: str, text: str, *, aliases: tuple[str, ...] = ()
) -> _Row:
    """Return a row of what one machine has no use for; it is read, checked and let go."""
    return _row(programs, name, argument, text, meaning="meaningless", aliases=aliases)


def _refused(programs: str, name: str, argument: str, text: str) -> _Row:
    return _row(programs, name, argument, text, meaning="refused")


_ROWS: Final = (
    _row("bsa", "-A account", "NAME", "account to charge"),
    _row("bsa", "acctg-freq", "[task=]SECONDS", "how often to look at the memory that it holds"),
    _row("b", "-a array", "INDEXES", "run one task for each index, as in 0-9%2"),
    _idle("bsa", "batch", "LIST", "features of the node that runs the script"),
    _row("s", "bcast", "[PATH]", "copy the program there and run the copy"),
    _idle("s", "bcast-exclude", "[PATHS]", "what not to copy to the nodes"),
    _row("bsa", "-b begin", "TIME", "do not start before"),
    _idle("a", "bell", "", "ring when the allocation is there"),
    _idle("bsa", "bb", "SPEC", "burst buffer"),
    _idle("bsa", "bbf", "FILE", "file that describes a burst buffer"),
    _row("bsa", "-D chdir", "DIRECTORY", "working directory", aliases=("workdir",)),
    _idle("bsa", "cluster-constraint", "LIST", "features of the cluster, in a federation"),
    _row("bsa", "-M clusters", "NAMES", "this cluster's name, or none", aliases=("cluster",)),
    _row("bsa", "comment", "TEXT", "any text, kept with the job"),
    _idle("s", "compress", "[METHOD]", "compress what is copied to the nodes"),
    _row("bsa", "-C constraint", "LIST", "features that the nodes must have"),
    _refused("bsa", "container", "PATH", "run in an OCI container: there is no runtime"),
    _row("bsa", "contiguous", "", "nodes side by side"),
    _row("bsa", "-S core-spec", "COUNT", "cores kept free of the job: not configured, ignored"),
    _idle("bsa", "cores-per-socket", "COUNT", "nodes with sockets of that many cores"),
    _idle("s", "cpu-bind", "TYPE", "how tasks are bound: jobs are bound to their cores"),
    _idle("bsa", "cpu-freq", "MIN[-MAX[:GOVERNOR]]", "frequency of the CPUs"),
    _row("bsa", "cpus-per-gpu", "COUNT", "CPUs for each GPU"),
    _row("bsa", "-c cpus-per-task", "COUNT", "CPUs for each task"),
    _row("bsa", "deadline", "TIME", "remove the job if it cannot end before"),
    _idle(
        "bsa",
        "delay-boot",
        "MINUTES",
        "for how long to boot no node: shown, for none is ever booted",
    ),
    _row("bsa", "-d dependency", "LIST", "start after other jobs, as in afterok:42"),
    _row("s", "-X disable-status", "", "pass Ctrl-C on to the tasks at once"),
    _idle("ba", "-m distribution", "TYPE", "how srun is to spread its tasks"),
    _row("s", "-m distribution", "TYPE", "how tasks are spread: block, cyclic, plane=N"),
    _idle("s", "epilog", "FILE", "program to run here after the step"),
    _row("bs", "-e error", "FILE", "file for standard error"),
    _row("s", "exact", "", "give the step only the CPUs that it asks for"),
    _row("bsa", "-x exclude", "HOSTS", "nodes that must not be used"),
    _row("bsa", "exclusive", "[user|mcs]", "whole nodes"),
    _row("bs", "export", "NAMES", "variables to pass on: ALL, NONE, NAME, NAME=VALUE"),
    _row("b", "export-file", "FILE", "pass on the NAME=VALUE entries of a file"),
    _idle(
        "bsa", "-B extra-node-info", "SOCKETS[:CORES[:THREADS]]", "what the nodes must have of each"
    ),
    _row("ba", "get-user-env", "[TIMEOUT]", "load the login environment: it is the caller's here"),
    _row("bsa", "gid", "GROUP", "run as that group (root only)"),
    _idle("bsa", "gpu-bind", "TYPE", "how tasks are bound to GPUs"),
    _idle("bsa", "gpu-freq", "FREQUENCY", "frequency of the GPUs"),
    _row("bsa", "-G gpus", "[TYPE:]COUNT", "GPUs for the job"),
    _row("bsa", "gpus-per-node", "[TYPE:]COUNT", "GPUs on each node"),
    _row("bsa", "gpus-per-socket", "[TYPE:]COUNT", "GPUs on each socket"),
    _row("bsa", "gpus-per-task", "[TYPE:]COUNT", "GPUs for each task"),
    _row("bsa", "gres", "LIST", "generic resources on each node, as in gpu:2"),
    _idle("bsa", "gres-flags", "TYPE", "how resources and CPUs go together"),
    _idle(
        "s", "het-group", "LIST", "components of a job: here it has one", aliases=("pack-group",)
    ),
    _idle("bsa", "hint", "TYPE", "what kind of work it is, for binding"),
    _row("bsa", "-H hold", "", "keep the job from starting until it is released"),
    _row("b", "ignore-pbs", "", "do not read #PBS and #BSUB lines"),
    _row("sa", "-I immediate", "[SECONDS]", "give up unless it starts at once, or in that time"),
    _row("bs", "-i input", "FILE", "file for standard input"),
    _row("s", "interactive", "", "run in the allocation's interactive step"),
    _row("s", "jobid", "ID", "make the step in that allocation"),
    _row("bsa", "-J job-name", "NAME", "name of the job"),
    _row("s", "-K kill-on-bad-exit", "[0|1]", "end the step when a task fails"),
    _row("a", "-K kill-command", "[SIGNAL]", "signal the command when its allocation ends"),
    _row("b", "kill-on-invalid-dep", "yes|no", "remove the job if it can never start"),
    _row("s", "-l label", "", "put the task's number before each line"),
    _row("bsa", "-L licenses", "NAMES", "licences, as in matlab:2"),
    _row("bsa", "mail-type", "TYPES", "when to send mail: BEGIN, END, FAIL, ALL, ..."),
    _row("bsa", "mail-user", "USER", "whom to send mail"),
    _idle("s", "max-exit-timeout", "SECONDS", "how long to wait for tasks that do not end"),
    _idle("s", "max-threads", "COUNT", "threads of srun itself"),
    _idle("bsa", "mcs-label", "LABEL", "label of multi-category security"),
    _row("bsa", "mem", "MEMORY", "memory on each node"),
    _idle("bsa", "mem-bind", "TYPE", "how memory is bound"),
    _row("bsa", "mem-per-cpu", "MEMORY", "memory for each CPU"),
    _row("bsa", "mem-per-gpu", "MEMORY", "memory for each GPU"),
    _row("bsa", "mincpus", "COUNT", "CPUs that each node must give at least"),
    _idle("s", "mpi", "TYPE", "how MPI is started: not by us"),
    _idle("s", "msg-timeout", "SECONDS", "how long to wait for nodes to answer"),
    _row("s", "multi-prog", "", "the command is a file that says which task runs what"),
    _idle("bsa", "network", "TYPE", "the switch's settings"),
    _row("bsa", "nice", "[VALUE]", "lower the priority by that much, 100 if not said"),
    _idle("s", "-Z no-allocate", "", "run with no allocation"),
    _idle("a", "no-bell", "", "do not ring when the allocation is there"),
    _idle("bsa", "-k no-kill", "[off]", "go on when a node fails: there is one machine"),
    _row("b", "no-requeue", "", "never run the job a second time"),
    _row("a", "no-shell", "", "leave the allocation and return"),
    _row("bsa", "-F nodefile", "FILE", "file with the nodes to use"),
    _row("bsa", "-w nodelist", "HOSTS", "nodes to use"),
    _row("bsa", "-N nodes", "MIN[-MAX]", "number of nodes"),
    _row("bsa", "-n ntasks", "COUNT", "number of tasks"),
    _idle("bsa", "ntasks-per-core", "COUNT", "most tasks on each core"),
    _row("bsa", "ntasks-per-gpu", "COUNT", "tasks for each GPU"),
    _row("bsa", "ntasks-per-node", "COUNT", "tasks on each node", aliases=("tasks-per-node",)),
    _idle("bsa", "ntasks-per-socket", "COUNT", "most tasks on each socket"),
    _row("bs", "open-mode", "append|truncate", "how to open output files"),
    _row("bs", "-o output", "FILE", "file for standard output, as in out-%j"),
    _idle("bsa", "-O overcommit", "", "more tasks than CPUs"),
    _row("s", "overlap", "", "share CPUs with other steps"),
    _row("bsa", "-s oversubscribe", "", "share CPUs with other jobs", aliases=("share",)),
    _row("b", "parsable", "", "print only the job's number"),
    _row("bsa", "-p partition", "NAMES", "partition to run in, or several of which one takes it"),
    _idle("bsa", "power", "FLAGS", "power management"),
    _idle("s", "-E preserve-env", "", "keep the job's SLURM_NTASKS: a step tells its own"),
    _row("bsa", "prefer", "LIST", "features that nodes had better have: here none has any"),
    _row("bsa", "priority", "VALUE", "the job's priority: for operators, of others 0 holds it"),
    _idle("bsa", "profile", "VALUE", "what to sample into HDF5"),
    _idle("s", "prolog", "FILE", "program to run here before the step"),
    _row("bs", "propagate", "[LIMITS]", "which resource limits to pass on, as in ALL or NOFILE"),
    _row("s", "pty", "", "run the first task in a pseudo terminal"),
    _row("bsa", "-q qos", "NAME", "quality of service"),
    _row("bsa", "-Q quiet", "", "do not say what is not an error"),
    _row("s", "quit-on-interrupt", "", "end the step at the first Ctrl-C"),
    _refused("bsa", "reboot", "", "reboot the nodes first: they are this machine"),
    _row("s", "-r relative", "NODE", "first node of the step in the allocation"),
    _row("b", "requeue", "", "the job may run a second time, say after a reboot"),
    _row("bsa", "reservation", "NAME", "reservation to run in"),
    _idle("s", "resv-ports", "[COUNT]", "ports for MPI"),
    _idle("s", "send-libs", "[yes|no]", "copy libraries to the nodes, too"),
    _row("bsa", "signal", "[B:]SIGNAL[@SECONDS]", "warn the job before its time limit"),
    _idle("s", "slurmd-debug", "LEVEL", "how much slurmd logs"),
    _idle("bsa", "sockets-per-node", "COUNT", "nodes with that many sockets"),
    _idle("bsa", "spread-job", "", "spread the job over as many nodes as can be"),
    _idle("bsa", "switches", "COUNT[@TIME]", "most switches between the nodes"),
    _idle("s", "task-epilog", "FILE", "program to run after each task"),
    _idle("s", "task-prolog", "FILE", "program to run before each task"),
    _row("bs", "test-only", "", "say when the job would start, and do not submit it"),
    _idle("bsa", "thread-spec", "COUNT", "threads kept free of the job"),
    _idle("s", "-T threads", "COUNT", "threads of srun itself"),
    _idle("bsa", "threads-per-core", "COUNT", "threads of each core to use"),
    _row("bsa", "-t time", "TIME", "time limit, as in 90, 1:30:00, 2-12"),
    _row("bsa", "time-min", "TIME", "shortest time limit that will do"),
    _row("bsa", "tmp", "MEMORY", "temporary disk space on each node"),
    _row("bsa", "uid", "USER", "run as that user (root only)"),
    _row("s", "-u unbuffered", "", "show what tasks write at once, not line by line"),
    _idle("bsa", "use-min-nodes", "", "prefer the smallest number of nodes"),
    _row("bsa", "-v verbose", "", "say more"),
    _row("b", "-W wait", "", "return when the job has ended, with its exit code"),
    _row("s", "-W wait", "SECONDS", "how long tasks may outlast the first that ended"),
    _idle("bsa", "wait-all-nodes", "0|1", "start only when all nodes are up"),
    _row("bsa", "wckey", "KEY", "workload characterisation key"),
    _row("b", "wrap", "COMMAND", "run that command line with /bin/sh"),
    _refused("bsa", "x11", "[WHICH]", "forward X11: jobs on this machine have the display"),
)

_ANSWERS: Final = (Option("help", "h", help=HELP.help), USAGE, VERSION_OPTION)


def _table(initial: str) -> tuple[Option, ...]:
    rows = tuple(row.option for row in _ROWS if initial in row.programs)
    return rows + _ANSWERS


SBATCH: Final = _table("b")
SRUN: Final = _table("s")
SALLOC: Final = _table("a")
