"""The error tree: who may be caught as what, and the facts that an error carries."""

from __future__ import annotations

import copy
import pickle

import pytest

from stoker.core import errors
from stoker.core.errors import StoreFull
from stoker.core.settings import SettingsError
from stoker.core.units import NotationError

ALL = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, Exception) and each.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", ALL)
def test_everything_is_a_stoker_error_and_says_when_to_expect_it(kind):
    assert issubclass(kind, errors.StokerError)
    assert kind.__doc__


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (errors.InvalidSpec, ValueError),
        (errors.UnknownJob, LookupError),
        (errors.InvalidSpec, errors.UserError),
        (errors.UnknownJob, errors.UserError),
        (errors.NotAllowed, errors.UserError),
        (errors.JobCancelled, errors.JobFailed),
        (errors.JobTimedOut, errors.JobFailed),
        (NotationError, errors.UserError),
        (NotationError, ValueError),
        (SettingsError, errors.UserError),
        (StoreFull, errors.StoreError),
    ],
)
def test_an_error_may_be_caught_as_what_it_is(kind, also):
    assert issubclass(kind, also)


def test_an_impossible_request_is_no_mistake_of_the_user():
    assert not issubclass(errors.Infeasible, errors.UserError)


def test_an_unknown_job_says_where_to_look():
    error = errors.UnknownJob(42)
    assert str(error) == "cannot find job 42: no such job; `sacct` lists ended ones"
    assert error.job_id == 42


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (errors.InvalidSpec("no", "ESLURM_X"), {"code": "ESLURM_X"}),
        (errors.LaunchError("no", "exec", 2), {"step": "exec", "errno": 2}),
        (
            errors.JobFailed(7, "FAILED", "3:0", "boom"),
            {"job_id": 7, "state": "FAILED", "exit_code": "3:0", "last_lines": "boom"},
        ),
        (NotationError("the time", "x", "no", 3), {"text": "x", "position": 3}),
    ],
)
def test_an_error_carries_its_facts(error, facts):
    assert vars(error) == facts


def test_a_failed_job_is_told_in_one_sentence():
    assert str(errors.JobFailed(7, "FAILED", "3:0")) == "job 7 ended FAILED with exit code 3:0"


@pytest.mark.parametrize(
    "error",
    [
        errors.JobCancelled(7, "CANCELLED", "0:15"),
        errors.LaunchError("cannot start", "exec", 2),
        NotationError("the time", "x", "no", 3),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("way", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_crosses_to_another_process_whole(error, way):
    other = way(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)
