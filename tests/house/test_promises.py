"""Every promise of docs/reliability.md is shown by a test, which names it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from support.project import ROOT

ID = re.compile(r"\b[RH]\d{1,2}\b")


def promised() -> set[str]:
    text = (ROOT / "docs" / "reliability.md").read_text()
    return set(re.findall(r"^\| ([RH]\d+) \|", text, re.MULTILINE))


def cited() -> Iterator[str]:
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield from ID.findall(ast.get_docstring(node) or "")


def test_every_promise_is_shown_by_a_test() -> None:
    assert promised() - set(cited()) == set()


def test_every_id_that_a_test_names_is_promised() -> None:
    assert set(cited()) - promised() == set()
