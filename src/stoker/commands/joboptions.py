"""The options of sbatch, srun and salloc: one list, since most options are common to them.

A line names the programs that know the option by their initials (``b`` for sbatch, ``s`` for srun,
``a`` for salloc). The list is in Slurm's order, which is that of the alphabet.

Source: sbatch(1), srun(1), salloc(1) of Slurm 22.05.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from stoker.commands.options import HELP, USAGE, VERSION_OPTION, Meaning, Option, Takes


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
    takes: Takes = "none"
    if argument:
        takes = "optional" if argument.startswith("[") else "required"
    return _Row(
        programs,
        Option(
            long=long,
            short=short.removeprefix("-"),
            takes=takes,
            help=text,
            meaning=meaning,
            value=argument.strip("[]"),
            aliases=aliases,
        ),
    )


def _idle(programs: str, name: str, argument: str = "") -> _Row:
    """Return a row of what one machine has no use for; it is read, checked and let go."""
    return _row(programs, name, argument, meaning="meaningless")


def _refused(programs: str, name: str, argument: str = "") -> _Row:
    return _row(programs, name, argument, meaning="refused")


_ROWS: Final = (
    _row("bsa", "-A account", "NAME", "account to charge"),
    _idle("bsa", "acctg-freq", "DATATYPE=SECONDS"),
    _row("b", "-a array", "INDEXES", "run one task for each index, as in 0-9%2"),
    _idle("bsa", "batch", "LIST"),
    _idle("s", "bcast", "[PATH]"),
    _idle("s", "bcast-exclude", "[PATHS]"),
    _row("bsa", "-b begin", "TIME", "do not start before"),
    _idle("a", "bell"),
    _idle("bsa", "bb", "SPEC"),
    _idle("bsa", "bbf", "FILE"),
    _row("bsa", "-D chdir", "DIRECTORY", "working directory", aliases=("workdir",)),
    _idle("bsa", "cluster-constraint", "LIST"),
    _row("bsa", "-M clusters", "NAMES", "this cluster's name, or none", aliases=("cluster",)),
    _row("bsa", "comment", "TEXT", "any text, kept with the job"),
    _idle("s", "compress", "[METHOD]"),
    _row("bsa", "-C constraint", "LIST", "features that the nodes must have"),
    _refused("bsa", "container", "PATH"),
    _row("bsa", "contiguous", "", "nodes side by side"),
    _row("bsa", "-S core-spec", "COUNT", "cores kept free of the job: not configured, ignored"),
    _idle("bsa", "cores-per-socket", "COUNT"),
    _idle("bsa", "cpu-bind", "TYPE"),
    _idle("bsa", "cpu-freq", "MIN[-MAX[:GOVERNOR]]"),
    _row("bsa", "cpus-per-gpu", "COUNT", "CPUs for each GPU"),
    _row("bsa", "-c cpus-per-task", "COUNT", "CPUs for each task"),
    _row("bsa", "deadline", "TIME", "remove the job if it cannot end before"),
    _idle("bsa", "delay-boot", "MINUTES"),
    _row("bsa", "-d dependency", "LIST", "start after other jobs, as in afterok:42"),
    _idle("s", "-X disable-status"),
    _idle("bsa", "-m distribution", "TYPE"),
    _idle("s", "epilog", "FILE"),
    _row("bs", "-e error", "FILE", "file for standard error"),
    _row("s", "exact", "", "give the step only the CPUs that it asks for"),
    _row("bsa", "-x exclude", "HOSTS", "nodes that must not be used"),
    _row("bsa", "exclusive", "[user|mcs]", "whole nodes"),
    _row("bs", "export", "NAMES", "variables to pass on: ALL, NONE, NAME, NAME=VALUE"),
    _row("b", "export-file", "FILE", "pass on the NAME=VALUE entries of a file"),
    _idle("bsa", "-B extra-node-info", "SOCKETS[:CORES[:THREADS]]"),
    _row("ba", "get-user-env", "[TIMEOUT]", "load the login environment: it is the caller's here"),
    _row("bsa", "gid", "GROUP", "run as that group (root only)"),
    _idle("bsa", "gpu-bind", "TYPE"),
    _idle("bsa", "gpu-freq", "FREQUENCY"),
    _row("bsa", "-G gpus", "[TYPE:]COUNT", "GPUs for the job"),
    _row("bsa", "gpus-per-node", "[TYPE:]COUNT", "GPUs on each node"),
    _row("bsa", "gpus-per-socket", "[TYPE:]COUNT", "GPUs on each socket"),
    _row("bsa", "gpus-per-task", "[TYPE:]COUNT", "GPUs for each task"),
    _row("bsa", "gres", "LIST", "generic resources on each node, as in gpu:2"),
    _idle("bsa", "gres-flags", "TYPE"),
    _idle("bsa", "hint", "TYPE"),
    _row("bsa", "-H hold", "", "keep the job from starting until it is released"),
    _row("b", "ignore-pbs", "", "do not read #PBS and #BSUB lines"),
    _row("sa", "-I immediate", "[SECONDS]", "give up unless the job starts at once"),
    _row("bs", "-i input", "FILE", "file for standard input"),
    _row("s", "interactive", "", "run in the allocation's interactive step"),
    _row("s", "jobid", "ID", "make the step in that allocation"),
    _row("bsa", "-J job-name", "NAME", "name of the job"),
    _row("s", "-K kill-on-bad-exit", "[0|1]", "end the step when a task fails"),
    _row("b", "kill-on-invalid-dep", "yes|no", "remove the job if it can never start"),
    _row("s", "-l label", "", "put the task's number before each line"),
    _row("bsa", "-L licenses", "NAMES", "licences, as in matlab:2"),
    _row("bsa", "mail-type", "TYPES", "when to send mail: BEGIN, END, FAIL, ALL, ..."),
    _row("bsa", "mail-user", "USER", "whom to send mail"),
    _idle("s", "max-exit-timeout", "SECONDS"),
    _idle("s", "max-threads", "COUNT"),
    _idle("bsa", "mcs-label", "LABEL"),
    _row("bsa", "mem", "MEMORY", "memory on each node"),
    _idle("bsa", "mem-bind", "TYPE"),
    _row("bsa", "mem-per-cpu", "MEMORY", "memory for each CPU"),
    _row("bsa", "mem-per-gpu", "MEMORY", "memory for each GPU"),
    _row("bsa", "mincpus", "COUNT", "CPUs that each node must give at least"),
    _idle("s", "mpi", "TYPE"),
    _idle("s", "msg-timeout", "SECONDS"),
    _row("s", "multi-prog", "", "the command is a file that says which task runs what"),
    _idle("bsa", "network", "TYPE"),
    _row("bsa", "nice", "[VALUE]", "lower the priority by that much, 100 if not said"),
    _idle("s", "-Z no-allocate"),
    _idle("a", "no-bell"),
    _idle("bsa", "-k no-kill", "[off]"),
    _row("b", "no-requeue", "", "never run the job a second time"),
    _row("a", "no-shell", "", "leave the allocation and return"),
    _row("bsa", "-F nodefile", "FILE", "file with the nodes to use"),
    _row("bsa", "-w nodelist", "HOSTS", "nodes to use"),
    _row("bsa", "-N nodes", "MIN[-MAX]", "number of nodes"),
    _row("bsa", "-n ntasks", "COUNT", "number of tasks"),
    _idle("bsa", "ntasks-per-core", "COUNT"),
    _idle("bsa", "ntasks-per-gpu", "COUNT"),
    _row("bsa", "ntasks-per-node", "COUNT", "tasks on each node", aliases=("tasks-per-node",)),
    _idle("bsa", "ntasks-per-socket", "COUNT"),
    _row("bs", "open-mode", "append|truncate", "how to open output files"),
    _row("bs", "-o output", "FILE", "file for standard output, as in out-%j"),
    _idle("bsa", "-O overcommit"),
    _row("s", "overlap", "", "share CPUs with other steps"),
    _row("bsa", "-s oversubscribe", "", "share CPUs with other jobs", aliases=("share",)),
    _row("b", "parsable", "", "print only the job's number"),
    _row("bsa", "-p partition", "NAMES", "partition to run in"),
    _idle("bsa", "power", "FLAGS"),
    _row("bsa", "priority", "VALUE", "the job's priority"),
    _idle("bsa", "profile", "VALUE"),
    _idle("s", "prolog", "FILE"),
    _row("bs", "propagate", "[LIMITS]", "which resource limits to pass on, as in ALL or NOFILE"),
    _row("s", "pty", "", "run the first task in a pseudo terminal"),
    _row("bsa", "-q qos", "NAME", "quality of service"),
    _row("bsa", "-Q quiet", "", "do not say what is not an error"),
    _idle("s", "quit-on-interrupt"),
    _refused("bsa", "reboot"),
    _idle("s", "-r relative", "NODE"),
    _row("b", "requeue", "", "the job may run a second time, say after a reboot"),
    _row("bsa", "reservation", "NAME", "reservation to run in"),
    _idle("s", "resv-ports", "[COUNT]"),
    _idle("s", "send-libs", "[yes|no]"),
    _row("bsa", "signal", "[B:]SIGNAL[@SECONDS]", "warn the job before its time limit"),
    _idle("s", "slurmd-debug", "LEVEL"),
    _idle("bsa", "sockets-per-node", "COUNT"),
    _idle("bsa", "spread-job"),
    _idle("bsa", "switches", "COUNT[@TIME]"),
    _idle("s", "task-epilog", "FILE"),
    _idle("s", "task-prolog", "FILE"),
    _row("bs", "test-only", "", "say when the job would start, and do not submit it"),
    _idle("bsa", "thread-spec", "COUNT"),
    _idle("s", "-T threads", "COUNT"),
    _idle("bsa", "threads-per-core", "COUNT"),
    _row("bsa", "-t time", "TIME", "time limit, as in 90, 1:30:00, 2-12"),
    _row("bsa", "time-min", "TIME", "shortest time limit that will do"),
    _row("bsa", "tmp", "MEMORY", "temporary disk space on each node"),
    _row("bsa", "uid", "USER", "run as that user (root only)"),
    _idle("s", "-u unbuffered"),
    _idle("bsa", "use-min-nodes"),
    _row("bsa", "-v verbose", "", "say more"),
    _row("b", "-W wait", "", "return when the job has ended, with its exit code"),
    _row("s", "-W wait", "SECONDS", "how long tasks may outlast the first that ended"),
    _idle("bsa", "wait-all-nodes", "0|1"),
    _row("bsa", "wckey", "KEY", "workload characterisation key"),
    _row("b", "wrap", "COMMAND", "run that command line with /bin/sh"),
    _refused("bsa", "x11", "[WHICH]"),
)

_ANSWERS: Final = (Option("help", "h", help=HELP.help), USAGE, VERSION_OPTION)


def _table(initial: str) -> tuple[Option, ...]:
    rows = tuple(row.option for row in _ROWS if initial in row.programs)
    return rows + _ANSWERS


SBATCH: Final = _table("b")
SRUN: Final = _table("s")
SALLOC: Final = _table("a")
