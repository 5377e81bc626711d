"""To which files a step writes: those that are named, and open files of the caller's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stoker.core.models import StepOutput
from stoker.worker.stepoutputs import outputs_of
from support.engine import unit


def tasks(*changes):
    return [unit(f"1.0.0.{task}", **each) for task, each in enumerate(changes)]


def test_a_task_that_names_its_file_writes_from_the_start(tmp_path: Path):
    out = str(tmp_path / "out")
    assert outputs_of(tasks({"stdout": out, "stderr": None}), {}) == (StepOutput(out, 0, 0),)


def test_what_is_appended_to_begins_at_its_end(tmp_path: Path):
    out = tmp_path / "out"
    out.write_text("12345")
    (task,) = tasks({"stdout": str(out), "stderr": os.devnull, "open_mode": "append"})
    assert outputs_of([task], {}) == (StepOutput(str(out), 5, 0),)


def test_a_file_of_several_tasks_is_nobodys_own(tmp_path: Path):
    out = str(tmp_path / "out")
    both = tasks(*[{"stdout": out, "stderr": f"{out}.{task}"} for task in range(2)])
    assert set(outputs_of(both, {})) == {
        StepOutput(out, 0, -1),
        StepOutput(f"{out}.0", 0, 0),
        StepOutput(f"{out}.1", 0, 1),
    }


def test_an_open_file_of_the_callers_is_followed_from_where_it_ends(tmp_path: Path):
    out = tmp_path / "out"
    out.write_text("123")
    (task,) = tasks({"stdout": {"fd": 1}, "stderr": {"fd": 2}})
    with out.open("a") as file:
        descriptors = {task.key: (0, file.fileno(), file.fileno())}
        assert outputs_of([task], descriptors) == (StepOutput(str(out), 3, 0),)


def test_for_others_no_file_system_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"
    (task,) = tasks({"stdout": {"fd": 1}, "stderr": os.devnull})
    with out.open("w") as file:
        file.write("12")
        file.flush()
        for name in ("stat", "fstat"):
            monkeypatch.setattr(f"stoker.worker.stepoutputs.os.{name}", lambda *_: 1 / 0)
        found = outputs_of([task], {task.key: (0, file.fileno())}, may_look=False)
        monkeypatch.undo()
    assert found == (StepOutput(str(out), 2, 0),)
    reading, writing = os.pipe()
    assert outputs_of([task], {task.key: (0, writing)}, may_look=False) == ()
    os.close(reading)
    os.close(writing)
    terminal, other = os.openpty()
    assert outputs_of([task], {task.key: (0, other)}, may_look=False) == ()
    os.close(terminal)
    os.close(other)


@pytest.mark.parametrize("kind", ["pipe", "missing", "closed"])
def test_what_is_no_file_cannot_be_followed(kind: str):
    (task,) = tasks({"stdout": {"fd": 1}, "stderr": None})
    reading, writing = os.pipe()
    os.close(reading)
    descriptors = {} if kind == "missing" else {task.key: (0, writing)}
    if kind == "closed":
        os.close(writing)
        writing = -1
        descriptors = {task.key: (0, 1 << 20)}
    assert outputs_of([task], descriptors) == ()
    if writing >= 0:
        os.close(writing)


def test_too_many_files_are_not_followed(tmp_path: Path):
    many = tasks(*[{"stdout": str(tmp_path / str(task)), "stderr": None} for task in range(65)])
    assert outputs_of(many, {}) == ()
