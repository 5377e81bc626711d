"""How a figure grows: the exponent of a power law, and its picture.

0 is no growth, 1 is growth in step with what it depends on. ``python -m bench.growth`` draws what
the last runs found into ``docs/growth.svg``.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.house import RESULTS

PICTURE: Final = Path(__file__).parent.parent / "docs" / "growth.svg"
_SIZE = (720, 420)
_MARGIN = (70, 20, 230, 50)
_DRAWN = (
    "a turn after one end",
    "one submission",
    "squeue -j",
    "sacct by user and day",
    "restart to first launch",
)
"""What the picture shows; others are in the results."""
_COLOURS = ("#0b6e99", "#d9480f", "#2b8a3e", "#862e9c", "#c2255c")
_LABEL = re.compile(r"(\d+) (?:waiting|jobs wait|tasks wait|tasks|ended): (.*)")


class Curve(NamedTuple):
    """A figure over the number of jobs; everything in ms."""

    name: str
    points: Sequence[tuple[int, float]]


def exponent(values: Mapping[int, float]) -> float:
    """Return the slope of the straight line through *values* in a plot of logarithms."""
    points = [(math.log(count), math.log(max(value, 1e-9))) for count, value in values.items()]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def curves(results: Sequence[Mapping[str, object]]) -> list[Curve]:
    """Return what was measured in seconds or milliseconds at more than one number of jobs."""
    found: dict[str, dict[int, float]] = {}
    for result in results:
        for figure in result["figures"]:  # type: ignore[attr-defined]
            match = _LABEL.fullmatch(figure["name"])
            factor = {"ms": 1.0, "s": 1e3}.get(figure["unit"])
            if match and factor and match[2] in _DRAWN:
                found.setdefault(match[2], {})[int(match[1])] = figure["value"] * factor
    return [
        Curve(name, sorted(found[name].items())) for name in _DRAWN if len(found.get(name, ())) > 1
    ]


def picture(drawn: Sequence[Curve]) -> str:
    """Return the curves as SVG, both axes in logarithms."""
    xs = [count for curve in drawn for count, _ in curve.points]
    ys = [value for curve in drawn for _, value in curve.points]
    low_x, high_x = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs)))
    low_y, high_y = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    width, height = _SIZE
    left, top, right, bottom = _MARGIN

    def at(count: float, value: float) -> tuple[float, float]:
        x = (math.log10(count) - low_x) / (high_x - low_x)
        y = (math.log10(value) - low_y) / (high_y - low_y)
        return left + x * (width - left - right), height - bottom - y * (height - top - bottom)

    box = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for power in range(low_x, high_x + 1):
        x, y = at(10**power, 10**low_y)
        lines.append(_line((x, y), at(10**power, 10**high_y)))
        lines.append(
            f'<text x="{x:.0f}" y="{y + 18:.0f}" text-anchor="middle">{10**power:,}</text>'
        )
    for power in range(low_y, high_y + 1):
        x, y = at(10**low_x, 10**power)
        lines.append(_line((x, y), at(10**high_x, 10**power)))
        lines.append(
            f'<text x="{x - 6:.0f}" y="{y + 4:.0f}" text-anchor="end">{10.0**power:g} ms</text>'
        )
    middle = (left + width - right) / 2
    lines.append(f'<text x="{middle:.0f}" y="{height - 8}" text-anchor="middle">jobs</text>')
    for number, curve in enumerate(drawn):
        lines += _drawn(curve, [at(*point) for point in curve.points], number)
    return "\n".join([*lines, "</svg>", ""])


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" '
        'stroke="#dee2e6" stroke-width="1"/>'
    )


def _drawn(curve: Curve, points: Sequence[tuple[float, float]], number: int) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    x, y = _SIZE[0] - _MARGIN[2] + 12, _MARGIN[1] + 16 + 34 * number
    label = (
        f'<text x="{x}" y="{y}" fill="{colour}">{curve.name}</text>'
        f'<text x="{x}" y="{y + 14}" fill="#868e96">exponent '
        f"{exponent(dict(curve.points)):.2f}</text>"
    )
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *dots,
        label,
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the picture."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--output", type=Path, default=PICTURE, help="the file to write")
    options = parser.parse_args(arguments)
    names = ("turns", "scale", "history", "recovery")
    paths = [RESULTS / f"{name}.json" for name in names]
    drawn = curves([json.loads(path.read_text()) for path in paths if path.exists()])
    if not drawn:
        raise SystemExit(
            "cannot draw anything: run bench.turns, bench.scale or bench.history first"
        )
    options.output.write_text(picture(drawn))
    print(f"{options.output}: {', '.join(curve.name for curve in drawn)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
