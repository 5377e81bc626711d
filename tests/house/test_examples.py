"""The examples of the pages and of ``--help`` do what they show, on a Stoker of their own."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from stoker.cli.people.group import SECTIONS, stoker
from stoker.client.surroundings import own_user_name
from support.daemon import PrivateStoker
from support.project import chapter, page

LIMIT_S = 60.0

NOT_RUN = {
    "pip install stoker": "it wants a package index",
    "make demo": "it sets up a virtual environment of its own",
    "make test": "it runs the tests",
}
"""Lines of the pages that are not run here, and why."""

FILES = {
    "job.sh": "#!/bin/bash\nsleep 60\n",
    "tasks.sh": "#!/bin/bash\ntrue\n",
    "simulate": "#!/bin/sh\necho simulated\n",
    # Its lines are jobs 3 to 44: there are some to cancel, to hold and to requeue.
    "commands.txt": "true\n" * 39
    + "sleep 60\n"
    + '{"argv": ["true"], "begin": "now+1hour"}\ntrue\n',
    # Programs that a machine may not have.
    "bin/make": "#!/bin/sh\ntrue\n",
    "bin/convert": "#!/bin/sh\ntrue\n",
    "bin/jq": "#!/bin/sh\nexec cat\n",
}
"""What the examples find in their directory."""

PREPARED_BY = {"scancel 42; scontrol hold 43; scontrol requeue 44": 44}
"""Lines that want a job to have ended."""


@pytest.fixture
def private() -> Iterator[PrivateStoker]:
    with PrivateStoker(total_cpus=4, nodes="laptop") as stoker:
        for name, text in FILES.items():
            path = stoker.directory / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        scripts = Path(sys.executable).parent
        own = stoker.environment["PATH"]
        stoker.environment["PATH"] = f"{stoker.directory / 'bin'}:{scripts}:{own}"
        yield stoker


def shell(private: PrivateStoker, line: str) -> str:
    """Run a line of an example in a shell that has Slurm's names; return what it printed."""
    done = subprocess.run(
        ["bash", "-c", f'eval "$(stoker env)"\n{line}'],
        cwd=private.directory,
        env=private.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def code_lines(text: str) -> list[str]:
    """Return the lines of the indented blocks of a page."""
    return re.findall(r"^    (\S.*)$", text, re.MULTILINE)


def alike(text: str) -> list[str]:
    """Return the words of each line, without what differs from run to run."""
    user = own_user_name()[:8]
    same = re.sub(r"\b\d:\d\d\b", "0:00", text.replace(f" {user} ", " alice "))
    return [" ".join(line.split()) for line in same.splitlines() if line.strip()]


def test_the_terminal_on_top_of_the_readme_is_what_one_sees(private):
    block = page("README.md").partition("\n## ")[0]
    lines = re.findall(r"^    (.+)$", block, re.MULTILINE)
    commands = [line for line in lines if line.startswith("$ ")]
    assert len(commands) == 6
    for at, line in enumerate(lines):
        if not line.startswith("$ ") or line[2:] in NOT_RUN:
            continue
        shown = []
        for below in lines[at + 1 :]:
            if below.startswith("$ "):
                break
            shown.append(below)
        if line.endswith("squeue"):
            private.wait_running(1)
        printed = shell(private, line[2:])
        if shown:
            assert alike(printed) == alike("\n".join(shown)), line


def test_the_tour_of_the_readme_can_be_taken(private):
    lines = code_lines(chapter(page("README.md"), "## A tour").partition("Python:")[0])
    assert len(lines) == 8
    for line in lines:
        if line in PREPARED_BY:
            private.wait_for(PREPARED_BY[line])
        shell(private, line)
    assert private.state(42) == "CANCELLED"
    assert private.job(43)["Reason"].startswith("JobHeld")
    assert set(PREPARED_BY) <= set(lines)


def test_the_python_of_the_readme_runs(private):
    text = chapter(page("README.md"), "## A tour").partition("Python:")[2]
    program = "\n".join(re.findall(r"^    (.*)$", text, re.MULTILINE))
    done = subprocess.run(
        [sys.executable, "-c", program.replace("\n\n", "\n")],
        cwd=private.directory,
        env=private.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "COMPLETED 0:0\n"), done.stderr


def test_the_failpoints_of_the_page_can_be_set(private):
    [line] = code_lines(page("docs/failpoints.md"))
    assert "is ready" in shell(private, line)
    assert json.loads(private.ok("stoker", "status", "--json"))["stokerd"]["pid"]


def test_a_refusal_is_in_the_words_of_the_page():
    lines = code_lines(chapter(page("docs/errors.md"), "## What Slurm's commands say"))
    shown = "".join(f"{line}\n" for line in lines)
    partitions = '[{"name": "main"}, {"name": "gpu", "state": "DRAIN"}]'
    with PrivateStoker(partitions=partitions) as private:
        private.ok("stoker", "up")
        done = private.run("sbatch", "-p", "gpu", "--wrap", "true")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", shown)


def test_what_is_not_run_is_what_the_readme_installs_with():
    lines = code_lines(chapter(page("README.md"), "## Install"))
    assert {line.partition("  #")[0].strip() for line in lines} == set(NOT_RUN)


# Help.


def is_ours(line: str) -> bool:
    return line.startswith("stoker ")


def examples() -> list[str]:
    """Return what the examples of ``--help`` say to `stoker`, without pipes and explanations."""
    context = click.Context(stoker)
    found = []
    for name in (name for section in SECTIONS.values() for name in section):
        command = stoker.get_command(context, name)
        below = command.commands.values() if isinstance(command, click.Group) else [command]
        for each in below:
            lines = (each.help or "").partition("Examples:")[2].splitlines()
            parts = (part for line in lines for part in re.split(r"&&|[|>;\"()]", line))
            found += [part.split("  ")[0] for part in map(str.strip, parts) if is_ours(part)]
    return found


@pytest.mark.parametrize("line", examples())
def test_an_example_of_the_help_can_be_read(line):
    _, name, *words = shlex.split(line)
    command = stoker.get_command(click.Context(stoker), name)
    assert command is not None, name
    if isinstance(command, click.Group):
        name, *words = words
        command = command.commands[name]
    command.make_context(name, words)
