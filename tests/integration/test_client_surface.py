"""What clients of Slurm call and parse, client by client: their command lines, their patterns.

A row is what a released client executes, with its own format strings, and the pattern that it (or
the shell around it) applies to each line of the answer. Where a client reads fixed fields, the
pattern states them. ``{running}``, ``{waiting}``, ``{held}``, ``{array}``, ``{done}`` and
``{failed}`` stand for ids of jobs in that state, ``{user}`` for the caller.

Source: the clients' published sources, by name and version as of 2026.
"""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from support.daemon import PrivateStoker

STATE = r"[A-Z]+"
LONG_STATE = r"[A-Z_]+(?: by \d+)?"
STAMP = r"\d+-\d\d-\d\dT\d\d:\d\d:\d\d"
SPAN = r"(?:\d+-)?(?:\d+:)?\d+:\d\d"
LIMIT = rf"(?:{SPAN}|UNLIMITED)"
ID = r"\d+(?:_\d+|_\[[\d,-]+(?:%\d+)?\])?"


class Row(NamedTuple):
    """A client's command, and what each line of its output must match; at least one comes."""

    client: str
    command: str
    line: str
    code: int = 0


class Submission(NamedTuple):
    """A command that submits, and the directives of ``job.sh``."""

    command: str
    directives: str = ""


LISTINGS = (
    Row("submitit", "sacct -o JobID,State,NodeList --parsable2 -j {done} -j {array}",
        rf"JobID\|State\|NodeList|{ID}(?:\.\w+)?\|{LONG_STATE}\|[\w ]+"),
    Row("snakemake", "sacct -X --parsable2 --clusters all --noheader --format=JobIdRaw,State "
        "--starttime $(date -d yesterday +%Y-%m-%dT%H:%M) --endtime now --name finished",
        r"\d+\|COMPLETED"),
    Row("snakemake", "squeue --format='%i|%T' --states=all --noheader --name running",
        r"{running}\|RUNNING"),
    Row("snakemake", "sinfo -o %P", r"PARTITION|\w+\*?"),
    Row("snakemake", "scontrol show config | grep -i '^MaxArraySize'", r"MaxArraySize +=\s*\d+"),
    Row("snakemake", "scontrol show partition | grep MaxTime",
        r".*MaxNodes=\S+ MaxTime=\S+ .*"),
    Row("snakemake", "sacct -j {failed} -n -X -o nodelist%-256", r"node1 {{251}} ?"),
    Row("snakemake", "sacct --name=finished --parsable2 --noheader "
        "--format=JobID,JobName,Comment,Elapsed,TotalCPU,NNodes,NCPUS,MaxRSS,ReqMem",
        r"\d+(?:\.\w+)?\|\w+\|[\w ]*\|[\d:]+\|[\d:.]+\|1\|1\|\w*\|\w*"),
    Row("snakemake-profiles", "sacct -P -b -j {failed} -n", r"{failed}(?:\.\w+)?\|FAILED\|3:0"),
    Row("snakemake-profiles", "scontrol -o show job {running}", r".*JobState=RUNNING .*"),
    Row("nextflow", 'squeue --noheader -o "%i %t" -t all -u {user}', rf"{ID} {STATE}"),
    Row("nextflow", 'squeue --noheader -o "%i %t" -t all -p debug -u {user}', rf"{ID} {STATE}"),
    Row("nextflow", 'squeue --noheader -o "%i %t" -t all --only-job-state', rf"{ID} {STATE}"),
    Row("parsl", "sacct -X", r".*"),
    Row("parsl", "sacct -X --noheader --format=jobid,state%20 --job '{done},{failed}'",
        rf" *(?:{{done}}|{{failed}}) +{LONG_STATE} "),
    Row("parsl", "squeue --noheader --format='%i %t' --job '{running},{waiting}'",
        r"{running} R|{waiting} PD"),
    Row("aiida", "SLURM_TIME_FORMAT=standard squeue --noheader "
        "-o '%i^^^%t^^^%r^^^%B^^^%u^^^%D^^^%C^^^%R^^^%P^^^%l^^^%M^^^%S^^^%j^^^%V' "
        "--jobs={running},{running}",
        rf"{{running}}\^\^\^R\^\^\^None\^\^\^node1\^\^\^{{user}}\^\^\^1\^\^\^1\^\^\^node1\^\^\^debug"
        rf"\^\^\^{LIMIT}\^\^\^{SPAN}\^\^\^{STAMP}\^\^\^running\^\^\^{STAMP}"),
    Row("aiida", "sacct --format=$(sacct --helpformat | tr -s '\\n' ' ' | tr ' ' ',') "
        "--parsable --jobs={done}", r"(?:[^|]*\|){{90,}}"),
    Row("toil", 'squeue -h --format "%i %t %M"', rf"{ID} {STATE} {SPAN}"),
    Row("toil", "sacct -n -j {done},{failed} --format JobIDRaw,State,ExitCode -P "
        "-S $(date -d yesterday +%Y-%m-%dT%H:%M:%S) -E $(date -d tomorrow +%Y-%m-%dT%H:%M:%S)",
        r"\d+(?:\.\w+)?\|(?:COMPLETED\|0:0|FAILED\|3:0)"),
    Row("toil", 'sinfo -a -o "%P %G %l %p %c %m"', r"PARTITION.*|\w+\*? \S+ \S+ \d+ \d+ \d+"),
    Row("toil", "scontrol show job | grep -c JobId=", r"[6-9]|\d\d"),
    Row("pysqa, executorlib", 'squeue --format "%A|%u|%t|%.15j|%Z" --noheader',
        rf"\d+\|{{user}}\|{STATE}\|.{{{{15}}}}\|/.*"),
    Row("psij", "squeue -O JobArrayID,StateCompact,Reason -t all --me",
        rf"JOBID.*|{ID} +{STATE} +\w+ *"),
    Row("psij", "squeue --me -o %i -h -r -t all", r"\d+(?:_\d+)?"),
    Row("fireworks", "squeue '-o \"%u\"' -u {user} -h -p debug", r' ?"{user}"'),
    Row("qtoolkit", "SLURM_TIME_FORMAT=standard scontrol show job -o {running}",
        r"JobId={running} .*JobState=RUNNING .*TimeLimit=00:05:00 .*"),
    Row("qtoolkit", "SLURM_TIME_FORMAT=standard squeue --noheader "
        "-o '%i<><> %t<><> %r<><> %j<><> %u<><> %P<><> %l<><> %D<><> %C<><> %M<><> %m' -u {user}",
        rf"{ID}<><> {STATE}<><> \w+<><> \w+<><> {{user}}<><> debug<><> {LIMIT}<><> 1<><> \d+<><> "
        rf"{SPAN}<><> \d+[MGT]?"),
    Row("simple-slurm", 'squeue --me -o \'"%i","%j","%t","%M","%L","%D","%C","%m","%b","%R"\'',
        r'"JOBID","NAME","ST","TIME","TIME_LEFT","NODES","CPUS","MIN_MEMORY","TRES_PER_NODE",'
        r'"NODELIST\(REASON\)"|(?:"[^"]*",){{9}}"[^"]*"'),
    Row("reportseff", "sacct --parsable -n '--delimiter=^|^' --format=AdminComment,AllocCPUS,"
        "AllocTRES,Elapsed,JobID,JobIDRaw,MaxRSS,NNodes,REQMEM,State,Timelimit,TotalCPU,"
        "TRESUsageOutAve --jobs={done},{failed}", r"(?:[^|^]*\^\|\^){{13}}"),
    Row("reportseff", "sacct --helpformat | tr -s ' ' '\\n' | grep -ix reqmem", r"ReqMem"),
    Row("batchtools", "squeue --user={user} --states=PD,CF,RF,RH,RQ,SE --noheader --format=%i -r",
        r"\d+(?:_\d+)?"),
    Row("batchtools", "squeue --user={user} --states=R,S,CG,RS,SI,SO,ST --noheader --format=%i -r",
        r"\d+"),
    Row("ood_core", "squeue --all --states=all --noconvert -O "
        "'Account:\x1f,JobID:\x1f,BatchHost:\x1f,MinCpus:\x1f,NumCPUs:\x1f,StateCompact:\x1f,"
        "tres-per-node:\x1f,' -u {user} -j {running}", r"(?:[^\x1f]*\x1f){{7}}"),
    Row("ood_core", "sacct -P --delimiter \x1f -n --units G --allocations -o User,Group,JobId,"
        "JobName,Elapsed,ReqMem,AllocCPUS,ReqCPUS,Timelimit,State,TotalCPU,MaxRSS,Partition,"
        "Submit,Start,End,ReqTRES -j {done}", r"(?:[^\x1f]*\x1f){{16}}[^\x1f]*"),
    Row("ood_core", "scontrol show part -o", r"PartitionName=\w+ .*"),
    Row("ood_core", "sinfo -aho %F/%C", r"\d+/\d+/\d+/\d+/\d+/\d+/\d+/\d+"),
    Row("ood_core", "sinfo -ahNO nodehost:100,gres:512,gresused:512,statelong",
        r"\S+ +gpu:1 +gpu:0\S* +mixed *"),
    Row("batchspawner", "squeue -h -j {running} -o '%T %B'", r"RUNNING node1"),
    Row("batchspawner", "squeue -h -j {held} -o '%T %B'", r"PENDING n/a"),
    Row("turm", "squeue --array --noheader --Format 'jobid:###turm###,name:###turm###,"
        "state:###turm###,username:###turm###,timeused:###turm###,tres-alloc:###turm###,"
        "partition:###turm###,nodelist:###turm###,stdout:###turm###,stderr:###turm###,"
        "command:###turm###,statecompact:###turm###,reason:###turm###,arrayjobid:###turm###,"
        "arraytaskid:###turm###,nodelist:###turm###,workdir:###turm###'",
        r"(?:(?:(?!###turm###).)*###turm###){{17}}"),
    Row("torchx", "sacct --parsable2 -j {done}", r"JobID\|JobName\|.*\|State\|.*|{done}.*\|.*"),
    Row("torchx", "sinfo --format %P,%m --noconvert", r"PARTITION,MEMORY|\w+\*?,\d+"),
    Row("nemo-run", "squeue --start --noheader -j {waiting} -o '%i|%S|%T'",
        rf"{{waiting}}\|(?:{STAMP}|N/A)\|PENDING"),
    Row("nemo-run", "squeue -n held -h -o %A", r"{held}"),
    Row("nemo-run", "sacct -j {failed} --format=State --noheader --parsable2", r"FAILED"),
    Row("nemo-run", "scontrol show hostnames 'n[1-2]'", r"n[12]"),
    Row("nemo-run", "scontrol show hostnames=node1", r"node1"),
    Row("reframe", "SLURM_TIME_FORMAT=%s sacct -S $(date +%F) -P -j {done},{array} "
        "-o jobid,state,exitcode,end,nodelist",
        r"JobID\|.*|\d+(?:_\d+|_\[[\d,%-]+\])?(?:\.\w+)?\|\S+[^|]*\|\d+:\d+\|(?:\d+|Unknown)\|.*"),
    Row("reframe", "squeue -h -j {running},{waiting} -o '%i|%T|%N|%r'",
        r"{running}\|RUNNING\|node1\|None|{waiting}\|PENDING\|\|\w+"),
    Row("reframe", "scontrol -a show -o nodes node1",
        r"NodeName=node1 .*State=\S+ .*Partitions=\S+.*"),
    Row("reframe", "scontrol show hostname node1", r"node1"),
    Row("cylc", "squeue -h -j {running},{waiting}", r" *(?:{running}|{waiting}) .*"),
    Row("maestrowf", "squeue -u {user} -t all --format='%.18i %.8j %.8u %.2t'",
        r".{{18}} .{{8}} .{{8}} .{{2}}"),
    Row("maestrowf", "sacct -u {user} --jobs={done} --format=jobid,jobname,state,exitcode",
        r" *JobID.*|-.*|{done}.*(?:COMPLETED) +0:0 "),
    Row("signac-flow", "squeue -u {user} -h --format=%2t%100j", r"[A-Z]{{1,2}} ?\w+ +"),
    Row("signac-flow", "sbatch --version", r"slurm\S* \d+\.\d+.*"),
    Row("nipype", "squeue -j {running}", r" +JOBID PARTITION .*| +{running} .*"),
    Row("gwf", "squeue '--noheader' '--format=%i;%t' --all", rf"{ID};{STATE}"),
    Row("ert", "squeue -h '--format=%i %T' --user={user}", rf"{ID} [A-Z]+"),
    Row("ert", "sacct -X -n -o State,ExitCode -P -j {failed}", r"FAILED\|3:0"),
    Row("cluster-utils", "sacct --jobs {done},{failed} -X --parsable2 "
        "--format=JobID,NodeList,State,ExitCode --noheader",
        r"(?:{done}|{failed})\|node1\|(?:COMPLETED|FAILED)\|\d:0"),
    Row("fsl-sub", "sacct -j {done} --parsable2 --noheader --units=M --duplicate "
        "--format JobID,JobName,Submit,Start,End,State,ExitCode",
        rf"{{done}}(?:\.\w+)?\|\w+\|{STAMP}\|{STAMP}\|{STAMP}\|COMPLETED\|0:0"),
    Row("fsl-sub", "sinfo -s -h -o %P", r"\w+\*?"),
    Row("fsl-sub", "sinfo -p debug -h -O CPUs,MaxCPUsPerNode,Memory,Time,NodeHost",
        r"\d+ +\S+ +\d+ +\S+ +\S+ *"),
    Row("radical-saga", "scontrol --version", r"slurm\S* \d+\.\d+.*"),
    Row("radical-saga", "scontrol show nodes | grep CPUTot", r".*CPUTot=4 .*"),
    Row("radical-saga", "sacct --format=JobID,State --parsable2 --noheader --jobs={failed}",
        r"{failed}(?:\.\w+)?\|FAILED"),
    Row("metaflow, covalent", "scontrol show job {failed} | grep JobState=",
        r" +JobState=FAILED Reason=NonZeroExitCode .*"),
    Row("qbatch", "squeue -h --user={user} --states=PD,R,S,CF '--format=%j %A'", r"\w+ \d+"),
    Row("galaxy", "sacct -n -o state%-32 -j {failed}", r"FAILED {{26}} ?"),
    Row("pulsar", "squeue -a -o '%A %t' -j {running}", r"JOBID ST|{running} R"),
    Row("cromwell", "squeue -j {running} >/dev/null && echo alive", r"alive"),
    Row("canu", 'squeue -h -o%F -n "array" | uniq', r"{array}"),
    Row("canu", "sinfo --exact -o '%N %D %c %m'", r"NODELIST NODES CPUS MEMORY|\S+ \d+ \d+ \d+"),
    Row("matlab", "squeue -j {running},{array} --states=all --Format=jobarrayid,state --noheader "
        "--array", r"\d+(?:_\d+)? +[A-Z]+ *"),
    Row("stui", "squeue --noheader --all "
        "--format='\"%A|%i|%F|%K|%C|%j|%P|%r|%u|%y|%T|%M|%b|%N\"'", r'"(?:[^|]*\|){{13}}[^|]*"'),
    Row("stui", 'sinfo --format="%R" --noheader --all', r"\w+"),
    Row("slurm-jupyter", "squeue --noheader --format %N -j {running}", r"node1"),
    Row("slurm-jupyter", 'sacct -X --noheader --state=RUNNING --format="jobid,jobname%50"',
        r"\d+ +\w+ "),
    Row("exporter", "sinfo -h -o %C", r"\d+/\d+/\d+/4"),
    Row("exporter", "sdiag | grep -E 'Server thread|Agent queue|Last cycle|Mean cycle'",
        r"\s*(?:Server thread|(?:DBD )?Agent queue|Last cycle|Mean cycle).*"),
    Row("exporter", "sshare -n -P -o account,fairshare", r" *[\w ]+\|[\d.]*"),
)  # fmt: skip
"""What is asked of a queue that stands still."""

SUBMISSIONS = {
    "submitit": Submission(
        "sbatch job.sh",
        "--array=0-7%4\n--cpus-per-task=1\n--error={dir}/%A_%a_0_log.err\n--job-name=submitit\n"
        "--mem=256MB\n--nodes=1\n--ntasks-per-node=1\n--open-mode=append\n"
        "--output={dir}/%A_%a_0_log.out\n--signal=USR2@90\n--time=5\n--wckey=submitit",
    ),
    "snakemake": Submission(
        "sbatch --parsable --job-name 0f8fad5b-d9cb-469f-a165-70867728950e --output {dir}/%j.log "
        "--export=ALL --comment rule_a_wildcards_X -t 5 --mem 256 --ntasks=1 --cpus-per-task=1 "
        "-D {dir} --wrap='true'",
    ),
    "snakemake arrays": Submission(
        "sbatch --parsable --array=1-3 --output {dir}/%A_%a.log -t 5 --no-requeue /dev/stdin "
        "< job.sh",
    ),
    "nextflow": Submission(
        "sbatch job.sh",
        "--array 0-2\n-J nf-NAME\n-o /dev/null\n--no-requeue\n--signal B:USR2@30\n-c 1\n"
        "-t 00:05:00\n--mem 200M\n-p debug",
    ),
    "dask-jobqueue": Submission(
        "sbatch job.sh",
        "-J dask-worker\n-e {dir}/dask-worker-%J.err\n-o {dir}/dask-worker-%J.out\n-n 1\n"
        "--cpus-per-task=1\n--mem=477M\n-t 00:30:00",
    ),
    "parsl": Submission(
        "sbatch job.sh",
        "--job-name=parsl.slurm.1763952000.12\n--output={dir}/o\n--error={dir}/e\n--nodes=1\n"
        "--time=5\n--ntasks-per-node=1\n--exclusive\n--mem=1g\n--cpus-per-task=1",
    ),
    "aiida": Submission(
        "sbatch job.sh",
        '--no-requeue\n--job-name="aiida-12"\n--get-user-env\n--output=_scheduler-stdout.txt\n'
        "--error=_scheduler-stderr.txt\n--nodes=1\n--ntasks-per-node=1\n--cpus-per-task=1\n"
        "--time=00:05:00\n--mem=200\n--nice=100",
    ),
    "toil": Submission(
        "sbatch -J toil_job_1_name --signal=B:INT@30 --export=ALL,K=V --mem=200 --cpus-per-task=1 "
        "--time=0:300 -o o -e e --wrap='exec true'",
    ),
    "pysqa": Submission(
        "sbatch --parsable job.sh",
        "--output=time.out\n--job-name=pysqa\n--chdir={dir}\n--get-user-env=L\n--time=5\n"
        "--mem=1G\n--ntasks=1",
    ),
    "psij": Submission(
        "sbatch {dir}/job.sh",
        "-e /dev/null\n-o /dev/null\n--export=ALL\n--nodes=1\n--ntasks=1\n--time=0:5:0\n"
        '--mem=20480K\n--chdir="{dir}"\n--job-name="psij"',
    ),
    "fireworks": Submission("sbatch job.sh", "--output=fw-%j.out\n--nodes=1\n--job-name=FW_job"),
    "qtoolkit": Submission("sbatch job.sh", "--time=0-0:5:0\n--ntasks=1\n--mem=200\n--no-requeue"),
    "simple-slurm": Submission("sbatch << EOF\n#!/bin/sh\n#SBATCH --array 3-9:3\ntrue\nEOF", ""),
    "batchspawner": Submission(
        "sbatch --parsable < job.sh",
        "--output={dir}/j.log\n--chdir={dir}\n--export=PATH,LANG\n--get-user-env=L\n--mem=200",
    ),
    "ood_core": Submission(
        "sbatch -H -D {dir} -J ood -o o --export NONE --parsable < job.sh",
    ),
    "clustermq": Submission("sbatch < job.sh", "--job-name=cmq7\n--array=1-2\n--mem-per-cpu=100"),
    "matlab": Submission(
        "sbatch --job-name=Job1 --array='[1-3]' --output={dir}/l --export=NONE job.sh",
    ),
    "torchx": Submission("sbatch --parsable --comment=a/b job.sh", "--job-name=train-0\n--requeue"),
    "nemo-run": Submission("sbatch --requeue --parsable --dependency=afterok:{done} job.sh", ""),
    "gwf": Submission("sbatch --parsable --dependency=afterok:{done}:{done} < job.sh", "--mem=1g"),
    "signac-flow": Submission("sbatch -W -d afterok:{done} job.sh", "--job-name=signac\n-t 1"),
    "canu": Submission(
        "sbatch -D {dir} -J canu -a 1-2 -o canu.%A_%a.out --cpus-per-task=1 --mem-per-cpu=100m "
        "job.sh",
    ),
    "qbatch": Submission("sbatch job.sh", "--array=1-3\n--output={dir}/%A_%a\n--mem=0"),
    "cromwell": Submission(
        "sbatch -J cr -D {dir} -o o -e e -t 5 -p debug -n 1 --mem-per-cpu=100 "
        '--wrap "/usr/bin/env bash job.sh"',
    ),
    "cluster-utils": Submission("sbatch --open-mode=append job.sh", ""),
    "metaflow": Submission("sbatch job.sh", "--comment='a b'\n--gres=gpu:1\n--exclude=\n--nodes=1"),
}
"""What clients submit: their command, and their directives."""


class Scene(NamedTuple):
    """A queue that stands still, and the names for what is in it."""

    stoker: PrivateStoker
    names: Mapping[str, Any]

    def run(self, command: str) -> Any:
        return self.stoker.run("sh", "-c", command.format(**self.names))


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with PrivateStoker(total_cpus=4, total_memory="4G", nodes="node1", gres="gpu:1") as stoker:
        done = stoker.sbatch("-J", "finished", "--wrap", "true")
        failed = stoker.sbatch("-J", "failing", "--wrap", "exit 3")
        for job_id in (done, failed):
            stoker.wait_for(job_id)
        running = stoker.sbatch("-J", "running", "-t", "5", "--wrap", "exec sleep 300")
        stoker.wait_running(running)
        names = {
            "done": done,
            "failed": failed,
            "running": running,
            "waiting": stoker.sbatch("-J", "waiting", "-c4", "-t", "5", "--wrap", "true"),
            "held": stoker.sbatch("-J", "held", "-H", "--wrap", "true"),
            "array": stoker.sbatch("-J", "array", "-H", "-a", "0-3%2", "--wrap", "true"),
            "user": getpass.getuser(),
            "dir": stoker.directory,
        }
        yield Scene(stoker, names)


@pytest.mark.parametrize("row", LISTINGS, ids=lambda row: f"{row.client}: {row.command[:40]}")
def test_what_a_client_asks_is_answered_as_it_reads_it(scene: Scene, row: Row) -> None:
    done = scene.run(row.command)
    assert (done.returncode, done.stderr) == (row.code, "")
    pattern = re.compile(row.line.format(**scene.names))
    lines = done.stdout.splitlines()
    assert lines
    assert not [line for line in lines if not pattern.fullmatch(line)]


@pytest.mark.parametrize("client", SUBMISSIONS)
def test_what_a_client_submits_is_taken(scene: Scene, client: str) -> None:
    command, directives = SUBMISSIONS[client]
    lines = [f"#SBATCH {line}" for line in directives.format(**scene.names).splitlines()]
    script = "\n".join(["#!/bin/sh", *lines, "true", ""])
    (scene.stoker.directory / "job.sh").write_text(script)
    done = scene.run(command)
    assert (done.returncode, done.stderr) == (0, "")
    parsable = "--parsable" in command
    assert re.fullmatch(r"\d+\n" if parsable else r"Submitted batch job \d+\n", done.stdout)
    scene.stoker.ok("scancel", re.findall(r"\d+", done.stdout)[-1])


def test_json_has_what_clients_read(scene: Scene) -> None:
    listed = json.loads(scene.run("sacct --json -S1970-01-01-00:00:01").stdout)
    states = {job["job_id"]: job["state"]["current"] for job in listed["jobs"]}
    assert states[scene.names["done"]] == "COMPLETED"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param("scancel --verbose {id}", "scancel: Terminating job {id}\n", id="gwf"),
        pytest.param("scancel -v '{id}'", "scancel: Terminating job {id}\n", id="qtoolkit, matlab"),
        pytest.param("scancel -Q {id}", "", id="psij"),
        pytest.param("scancel {id} --signal SIGTERM", "", id="submitit"),
        pytest.param("scancel --signal=KILL {id}", "", id="simple-slurm"),
        pytest.param("scancel -s TERM {id}", "", id="ipyparallel"),
        pytest.param("scancel --name cancelled", "", id="clustermq"),
        pytest.param("scancel {id} {id}", "", id="parsl, snakemake"),
    ],
)
def test_a_client_cancels_in_its_own_way(scene: Scene, command: str, said: str) -> None:
    job_id = scene.stoker.sbatch("-J", "cancelled", "-t", "1", "--wrap", "exec sleep 300")
    scene.stoker.wait_running(job_id)
    done = scene.stoker.run("sh", "-c", command.format(id=job_id))
    assert (done.returncode, done.stdout) == (0, "")
    assert said.format(id=job_id) in done.stderr
    scene.stoker.ok("scancel", str(job_id))


def test_a_client_holds_releases_and_changes_a_job(scene: Scene) -> None:
    """ood_core holds and releases, turm changes the limit, radical-saga suspends."""
    job_id = scene.names["waiting"]
    scene.stoker.ok("scontrol", "hold", str(job_id))
    scene.stoker.ok("scontrol", "release", str(job_id))
    scene.stoker.ok("scontrol", "update", f"JobId={job_id}", "TimeLimit=00:04:00")
    assert scene.stoker.job(job_id)["TimeLimit"] == "00:04:00"


def test_an_unknown_job_is_said_in_the_words_that_clients_look_for(scene: Scene) -> None:
    """ood_core takes a job of which squeue says so for a finished one."""
    done = scene.run("squeue -h -j 999999")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Invalid job id specified" in done.stderr
