"""What benchmarks share: a private Stoker, figures of processes, medians, the results file."""

from __future__ import annotations

import argparse
import json
import operator
import os
import platform
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stoker.client.client import Client

RESULTS = Path(__file__).parent / "results"
_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def private_stoker(*, home: Path | None = None, **settings: object) -> Iterator[Client]:
    """Give a client of a fresh Stoker, in *home* if it is given, and end all of it afterwards."""
    home = home or Path(tempfile.mkdtemp(prefix="stoker-bench-"))
    names = {f"STOKER_{name.upper()}": str(value) for name, value in settings.items()}
    before = {name: os.environ.get(name) for name in (*names, "STOKER_HOME")}
    os.environ.update(names | {"STOKER_HOME": str(home)})
    try:
        with Client(home) as client:
            client.status()
            try:
                yield client
            finally:
                client.shutdown(cancel=True)
        _wait_for_end(home)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(home, ignore_errors=True)


def _wait_for_end(home: Path) -> None:
    entry = f"STOKER_HOME={home}".encode()
    deadline = time.monotonic() + 90
    while any(entry in _bytes(path) for path in Path("/proc").glob("[0-9]*/environ")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of {home} are still there; look with `ps`")
        time.sleep(0.05)


def _bytes(path: Path) -> bytes:
    try:
        return b"" if path.parent.name == str(os.getpid()) else path.read_bytes()
    except OSError:
        return b""


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used itself, its children left out."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def pss_mib(pid: int) -> float:
    """Return a process's proportional share of memory."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"process {pid} has no Pss")


def peak_mib(pid: int) -> float:
    """Return the most memory that a process has had so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"process {pid} has no VmHWM")


def compiled(name: str, directory: Path) -> Path | None:
    """Return one of our C sources as a program; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = directory / name
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return program


def compiled_loop(directory: Path) -> Path | None:
    """Return the bare loop as a program; None where there is no C compiler."""
    return compiled("loop", directory)


def timed(function: Any, *arguments: Any) -> float:
    """Return the seconds that a call takes."""
    start = time.monotonic()
    function(*arguments)
    return time.monotonic() - start


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def options_of(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    quick: Mapping[str, Any] | None = None,
) -> argparse.Namespace:
    """Read a benchmark's options, with those that all have; ``--quick`` stands for *quick*."""
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    small = ", ".join(f"--{name} {value}" for name, value in (quick or {}).items())
    if quick is not None:
        parser.add_argument("--quick", action="store_true", help=f"a small run: {small}")
        if "--quick" in (sys.argv[1:] if arguments is None else arguments):
            parser.set_defaults(**quick)
    return parser.parse_args(arguments)


def figure(name: str, value: float, unit: str, budget: str | None = None) -> dict[str, Any]:
    """Return one figure as results hold it."""
    found: dict[str, Any] = {"name": name, "value": value, "unit": unit}
    return found | ({"budget": budget} if budget else {})


def say(text: str) -> None:
    """Show progress; figures go to standard output, this does not."""
    print(text, file=sys.stderr, flush=True)


def machine() -> Mapping[str, Any]:
    """Return what the figures were measured on."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpus": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def keep(
    name: str, figures: Sequence[Mapping[str, Any]], options: argparse.Namespace | None = None
) -> None:
    """Write a benchmark's figures where others find them, and print them."""
    RESULTS.mkdir(exist_ok=True)
    body = {"benchmark": name, "machine": machine(), "figures": list(figures)}
    text = json.dumps(body, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    if options is not None and options.json:
        print(text)
        return
    for figure in figures:
        print(row_of(figure))


def row_of(figure: Mapping[str, Any]) -> str:
    """Return a figure as a line, with its budget and whether it is met."""
    budget = ""
    if "budget" in figure:
        budget = f"  (budget {figure['budget']}: {'met' if is_met(figure) else 'NOT MET'})"
    return f"{figure['name']:<58} {figure['value']:>10.3f} {figure['unit']}{budget}"


def is_met(figure: Mapping[str, Any]) -> bool:
    """Whether a figure is within its budget, which reads ``<= 3`` or ``>= 0.6``."""
    sign, _, bound = str(figure["budget"]).partition(" ")
    compare = {"<": operator.lt, "<=": operator.le, ">=": operator.ge, ">": operator.gt}[sign]
    return bool(compare(figure["value"], float(bound)))


def kill(pid: int) -> None:
    """Kill a process, and wait until it is gone: its socket would still take calls."""
    descriptor = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def gather() -> list[dict[str, Any]]:
    """Put all figures into one file, each with its budget and whether it is met."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    figures = [
        {"benchmark": result["benchmark"], **figure}
        | ({"met": is_met(figure)} if "budget" in figure else {})
        for result in results
        for figure in result["figures"]
    ]
    body = {"machine": machine(), "figures": figures}
    RESULTS.with_suffix(".json").write_text(json.dumps(body, indent=2) + "\n")
    return figures
