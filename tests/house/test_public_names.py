"""What `import stoker` offers, and what it costs."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import stoker
from support.project import SOURCE


def python(*lines: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


def test_to_import_the_package_loads_no_library():
    loaded = python("import sys, stoker", "print(*sys.modules)").split()
    assert not {"msgspec", "sqlalchemy", "click", "typing", "socket"} & set(loaded)
    assert [name for name in loaded if name.startswith("stoker")] == ["stoker"]


def test_an_error_is_had_without_a_library():
    loaded = python("import sys", "from stoker import UnknownJob", "print(*sys.modules)").split()
    assert "msgspec" not in loaded


@pytest.mark.parametrize("name", stoker.__all__)
def test_each_public_name_leads_to_the_thing_itself(name):
    found = getattr(stoker, name)
    assert getattr(found, "__name__", name) == name
    assert name in dir(stoker)


def test_a_name_that_is_not_public_is_not_there():
    with pytest.raises(AttributeError, match="module 'stoker' has no attribute 'Ledger'"):
        stoker.Ledger  # noqa: B018 - to look is to ask


def test_type_checkers_are_told_the_same_names():
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    told = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stoker.")
        for alias in node.names
    }
    assert told | {"__version__"} == set(stoker.__all__)
