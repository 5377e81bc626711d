"""The project's own papers: dependencies, targets, changelog."""

from __future__ import annotations

import re
import tomllib

from support.project import ROOT, page

PROJECT = tomllib.loads(page("pyproject.toml"))


def test_every_dependency_says_why():
    stated = [
        *PROJECT["project"]["dependencies"],
        *(each for extra in PROJECT["project"]["optional-dependencies"].values() for each in extra),
        *(each for group in PROJECT["dependency-groups"].values() for each in group),
    ]
    for requirement in stated:
        line = next(each for each in page("pyproject.toml").splitlines() if requirement in each)
        assert re.search(r"# \w+", line), f"{requirement} gives no reason"


def test_every_target_of_the_makefile_is_told_by_make():
    makefile = page("Makefile")
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert set(phony.split()) == set(re.findall(r"^([a-z-]+):.*## \w", makefile, re.MULTILINE))


def test_ci_runs_what_make_check_runs():
    assert page(".ci/run").splitlines()[-1] == "exec make check"


def test_the_changelog_has_an_entry_for_what_comes():
    coming = page("CHANGELOG.md").partition("\n## Unreleased\n")[2].partition("\n## ")[0]
    kinds = "Added|Changed|Deprecated|Removed|Fixed|Security"
    assert re.search(rf"^### ({kinds})\n- ", coming, re.MULTILINE)


def test_a_page_that_stands_in_docs_is_linked_from_the_readme():
    for path in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{path.name})" in page("README.md"), path.name
