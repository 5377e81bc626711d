from __future__ import annotations

from pathlib import Path

import pytest

from stoker.shepherd.programs import Programs, is_program


def test_a_program_is_found_as_execvp_finds_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        directory.mkdir()
    (first / "tool").write_text("")
    (first / "tool").chmod(0o644)
    (second / "tool").write_text("")
    (second / "tool").chmod(0o755)
    path = f"/no/such:{first}:{second}"
    assert Programs().find("tool", path) == f"{second}/tool"
    with pytest.raises(PermissionError):
        Programs().find("tool", str(first))
    with pytest.raises(FileNotFoundError):
        Programs().find("nothing", path)


def test_what_was_found_is_remembered_but_not_by_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    tool = tmp_path / "here" / "tool"
    tool.write_text("")
    tool.chmod(0o755)
    programs = Programs()
    monkeypatch.chdir(tmp_path / "here")
    assert programs.find("tool", ".") == "./tool"
    assert programs.find("tool", str(tool.parent)) == str(tool)
    assert is_program(str(tool))
    tool.unlink()
    assert programs.find("tool", str(tool.parent)) == str(tool)
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(FileNotFoundError):
        programs.find("tool", ".")
    assert not is_program(str(tool))
