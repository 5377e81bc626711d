"""What holds for every file: sizes, docstrings, nothing of one machine, nothing left over."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.project import ROOT, SOURCE, modules, pages, texts

LINES_MAX = 500
FUNCTION_LINES_MAX = 70

LONG_FUNCTIONS = {
    "core/migrations/versions/0001_first.py: upgrade": "the schema at its first version is one list"
}
"""Functions that may be longer, and why."""


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_says_what_it_is_and_stays_small(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{name_of(path)} has no docstring"
    assert text.count("\n") <= LINES_MAX, f"{name_of(path)} holds more than one noun"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{name_of(path)}: {node.name}"
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX or name in LONG_FUNCTIONS, f"{name}: {lines} lines"


def test_each_exception_is_still_one():
    for name in LONG_FUNCTIONS:
        path, _, function = name.partition(": ")
        assert re.search(rf"def {function}\(", (SOURCE / path).read_text()), name


def test_no_file_names_this_machine_or_leaves_something_to_do():
    here = re.compile(rf"(?<![\w.-]){re.escape(str(ROOT))}(?![\w.-])")
    to_do = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
    for path, text in texts():
        for pattern in (here, to_do):
            assert not pattern.search(text), f"{path.relative_to(ROOT)}: {pattern.pattern}"


def test_the_floors_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Pages.


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("http"):
            assert (path.parent / target.partition("#")[0]).exists(), target


def test_every_file_that_the_architecture_names_is_there():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+/[a-z_/]+(?:\.py)?)`", text)
    assert len(named) > 20
    for name in named:
        places = (SOURCE / name, SOURCE / f"{name}.py", ROOT / name)
        assert any(place.exists() for place in places), f"there is no {name}"
