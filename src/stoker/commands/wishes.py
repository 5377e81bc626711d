"""What was asked for with the options of sbatch, srun and salloc, and how a wrong value is told.

Fields of `JobSpec` are collected in ``spec``; what is not one has a field of its own. The options
are read into it by `commands.readers`.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Final, NoReturn

import msgspec

_MEMORY_FIELDS: Final = {
    "mem": "mem_per_node_mib",
    "mem-per-cpu": "mem_per_cpu_mib",
    "mem-per-gpu": "",
}
"""Options of which only one may count, with their fields of JobSpec."""


class OptionError(Exception):
    """A value that cannot be read: the whole text for standard error, and the exit status.

    A value that asks for help has its answer in ``out``, for standard output.
    """

    def __init__(self, text: str, code: int, out: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.out = out


class Wishes(msgspec.Struct):
    """What was asked for so far. ``shown`` keeps the options as they were written, for ``-v``."""

    program: str
    now: float
    zone: tzinfo
    is_root: bool = False
    spec: dict[str, object] = {}
    shown: dict[str, str] = {}
    from_variables: set[str] = set()
    """Options of which the last word was that of an environment variable."""
    notes: list[str] = []
    """Lines for standard error about what was let go."""

    array: str | None = None
    dependency: str = ""
    hold: bool = False
    begin_at: float = 0.0
    priority: int | None = None
    clusters: str = ""
    chdir: str = ""
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    export: str | None = None
    names: str = ""
    """The directory of Slurm's names, for a path that is not the caller's."""
    export_file: str = ""
    user_environment: bool = False
    propagate: str = ""
    gpus: str = ""
    gpus_per_node: str = ""
    gpus_per_task: str = ""
    cpus_per_gpu: int = 0
    mem_per_gpu_mib: int = 0
    node_file: str = ""
    layout: dict[str, int] = {}
    """What is wanted of sockets, cores and threads, by option."""
    variables: dict[str, str] = {}
    """What Slurm tells the job of options that have no meaning here: ``SLURM_HINT`` and such."""

    verbose: int = 0
    quiet: bool = False

    def refuse(self, name: str, *before: str) -> NoReturn:
        """Say that an option's value cannot be read."""
        line = f"{self.program}: error: Invalid --{name} specification\n"
        raise OptionError("".join(before) + line, 255)

    def fail(self, line: str, code: int = 1) -> NoReturn:
        """End with one line on standard error."""
        raise OptionError(f"{self.program}: {line}\n", code)

    def settle_memory(self) -> None:
        """Let what is said of memory overrule what variables say of it.

        Raises:
            OptionError: Two amounts are said that exclude one another.
        """
        said = [name for name in _MEMORY_FIELDS if name in self.shown]
        if len(said) > 1:
            said = [name for name in said if name not in self.from_variables] or said
        if len(said) > 1:
            self.fail("fatal: --mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.")
        for name, field in _MEMORY_FIELDS.items():
            if name not in said:
                self.spec.pop(field, None)
                self.mem_per_gpu_mib = 0 if name == "mem-per-gpu" else self.mem_per_gpu_mib
