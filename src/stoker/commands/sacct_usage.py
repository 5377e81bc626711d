"""What an ended step used, as sacct's fields say it; empty where there is no figure.

The kernel tells the peak of resident pages only, so the average and the least are the peak; of
virtual sizes there is only what was seen where somebody looked now and then.

Source: getrusage(2); sacct(1), "Job Accounting Fields".
"""

from __future__ import annotations

from collections.abc import Callable

from stoker.commands.accounting import Holding, Line
from stoker.commands.sacct_style import Read, Style
from stoker.core.models import Usage
from stoker.core.units import format_duration

BLOCK = 512
"""Bytes in a block of getrusage(2)."""


def _of_usage(read: Callable[[Line, Style, Usage], str]) -> Read:
    """Read a figure of an ended step."""

    def text(line: Line, style: Style) -> str:
        return "" if line.usage is None else read(line, style, line.usage)

    return text


def _of_size(read: Callable[[Line, Style, Usage], str]) -> Read:
    """Read a figure that is there only if somebody looked while the step ran."""
    return _of_usage(lambda line, style, used: read(line, style, used) if used.max_size_kib else "")


def _disk(blocks: int) -> str:
    return f"{blocks * BLOCK / (1 << 20):.2f}M"


def _usage_in(_line: Line, style: Style, usage: Usage, *, tasks: int = 1) -> str:
    seconds = format_duration((usage.user_s + usage.system_s) / max(1, tasks))
    memory = style.bytes(usage.max_rss_kib * 1024)
    disk = usage.blocks_in * BLOCK
    size = f",vmem={style.bytes(usage.max_size_kib * 1024)}" if usage.max_size_kib else ""
    return f"cpu={seconds},energy=0,fs/disk={disk},mem={memory},pages={usage.major_faults}{size}"


def _usage_out(_line: Line, _style: Style, usage: Usage) -> str:
    return f"energy=0,fs/disk={usage.blocks_out * BLOCK}"


def _in_node(line: Line, _style: Style, usage: Usage) -> str:
    node = _first_node(line.held)
    names = ("cpu", "energy", *_named_in(usage))
    return ",".join(f"{name}={node}" for name in names)


def _in_task(_line: Line, _style: Style, usage: Usage) -> str:
    return ",".join(f"{name}=0" for name in ("cpu", *_named_in(usage)))


def _named_in(usage: Usage) -> tuple[str, ...]:
    """Return what is told of a step besides CPU and energy: a size only where it was seen."""
    return ("fs/disk", "mem", "pages", *(("vmem",) if usage.max_size_kib else ()))


def _out_node(line: Line, _style: Style, _usage: Usage) -> str:
    node = _first_node(line.held)
    return f"energy={node},fs/disk={node}"


def _first_node(held: Holding) -> str:
    return held.nodes[0] if held.nodes else ""


def _per_task(line: Line, _style: Style, usage: Usage) -> str:
    return format_duration((usage.user_s + usage.system_s) / max(1, line.ntasks))


RSS = _of_usage(lambda _, style, usage: style.bytes(usage.max_rss_kib * 1024))
SIZE = _of_size(lambda _, style, usage: style.bytes(usage.max_size_kib * 1024))
SIZE_NODE = _of_size(lambda line, _style, _usage: _first_node(line.held))
SIZE_TASK = _of_size(lambda _line, _style, _usage: "0")
PAGES = _of_usage(lambda _line, _style, usage: str(usage.major_faults))
READ = _of_usage(lambda _line, _style, usage: _disk(usage.blocks_in))
WRITTEN = _of_usage(lambda _line, _style, usage: _disk(usage.blocks_out))
CPU = _of_usage(_per_task)
NODE = _of_usage(lambda line, _style, _usage: _first_node(line.held))
TASK = _of_usage(lambda _line, _style, _usage: "0")
IN = _of_usage(_usage_in)
IN_AVERAGE = _of_usage(lambda line, *rest: _usage_in(line, *rest, tasks=line.ntasks))
IN_NODE = _of_usage(_in_node)
IN_TASK = _of_usage(_in_task)
OUT = _of_usage(_usage_out)
OUT_NODE = _of_usage(_out_node)
OUT_TASK = _of_usage(lambda _line, _style, _usage: "fs/disk=0")
