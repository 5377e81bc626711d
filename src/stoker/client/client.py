"""The typed client: what Python programs and `stoker` ask of stokerd.

    with Client() as stoker:
        job_id = stoker.submit("--time=10", "--", "convert", "a.png", "a.jpg")
        [job] = stoker.wait(job_id)

One connection is kept. If none can be had, stokerd is started (unless ``STOKER_AUTOSTART=0``); if
one breaks, the request is made again. Submissions carry keys, so that the same one is made once,
however often it is sent; a requeue, which has none, is not sent again by itself.

A client belongs to one thread at a time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypeVar

import msgspec

from stoker.client.channel import Channel, HungUp, SentAway, TurnedDown
from stoker.client.daemon import ensure_daemon, keep_trying
from stoker.client.surroundings import look_around
from stoker.core import errors
from stoker.core.homes import home_directory
from stoker.core.messages import (
    DRAFTS_MAX,
    BackupRequest,
    Changed,
    Draft,
    Explanation,
    Finding,
    JobDetail,
    JobFilter,
    JobRequest,
    JobsRequest,
    JobView,
    NodeView,
    Page,
    Receipt,
    Refusal,
    Stop,
    Submit,
    Surroundings,
)

Change: TypeAlias = Literal["cancel", "hold", "release", "requeue"]
"""What can be done to several jobs at once."""

_Result = TypeVar("_Result")
_BYTES_PER_REQUEST_MAX = 4 << 20


class Client:
    """Talks to the stokerd of *home*; a context manager.

    Args:
        home: Which Stoker; by default the one that the environment names.
        start: Starts stokerd where none answers, given the home; by default `ensure_daemon`.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        *,
        start: Callable[[Path], object] = ensure_daemon,
    ) -> None:
        self.home = home_directory() if home is None else Path(home).absolute()
        self._start = start
        self._channel: Channel | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; the next request connects again."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    # --- Submitting.

    def submit(self, *words: str, script: bytes | str = b"") -> int:
        """Submit a job; return its id once it is on record.

        Args:
            *words: sbatch's options, then ``--`` and a command; with a script, its arguments.
            script: The text of a batch script, or nothing.

        Raises:
            InvalidSpec: The words say nothing sensible.
            Infeasible: This machine could never run it.
        """
        text = script.encode() if isinstance(script, str) else script
        return next(self.submit_many([Draft.of(words, text)]))

    def submit_many(
        self, drafts: Iterable[Draft], surroundings: Surroundings | None = None
    ) -> Iterator[int]:
        """Submit jobs in order, many to a request; give the id of each once it is on record.

        Raises:
            StokerError: Of the first draft that is refused, when its turn comes; none after it is
                submitted.
        """
        around = surroundings or look_around()
        for batch in _batches(drafts):
            receipt = self._ask("submit", Submit(drafts=batch, surroundings=around), Receipt)
            yield from receipt.job_ids
            if receipt.refusal is not None:
                raise _as_error(receipt.refusal)

    # --- Looking.

    def jobs(self, wanted: JobFilter | None = None) -> Iterator[JobView]:
        """Give the jobs that match, by number; without a filter all that have not ended."""
        page_filter = wanted or JobFilter()
        while True:
            page = self._ask("jobs", page_filter, Page)
            yield from page.jobs
            if page.next_after is None:
                return
            page_filter = msgspec.structs.replace(page_filter, after=page.next_after)

    def history(self, wanted: JobFilter | None = None) -> Iterator[JobView]:
        """Give the jobs that match, those that ended long ago included."""
        yield from self.jobs(msgspec.structs.replace(wanted or JobFilter(), ended=True))

    def job(self, job_id: int | str) -> JobDetail:
        """Return all there is to know of a job; of an array, of its waiting rest or first task.

        Raises:
            UnknownJob: There is none.
        """
        return self.details(job_id)[0]

    def details(self, job_id: int | str) -> tuple[JobDetail, ...]:
        """Return all there is to know of a job, or of each record of an array."""
        return self._ask("details", JobRequest(id=str(job_id)), tuple[JobDetail, ...])

    def why(self, job_id: int | str) -> Explanation:
        """Return why a job waits, or what ended it."""
        return self._ask("why", JobRequest(id=str(job_id)), Explanation)

    def script(self, job_id: int | str) -> bytes:
        """Return the script of a job, b"" if it runs a command."""
        return self._ask("script", JobRequest(id=str(job_id)), bytes)

    def nodes(self) -> tuple[NodeView, ...]:
        """Return the nodes in the machine's order."""
        return self._ask("nodes", None, tuple[NodeView, ...])

    def tally(self, *job_ids: int | str) -> Mapping[str, int]:
        """Return how many of these jobs, arrays' tasks counted one by one, are in which state."""
        return self._ask("tally", _these(job_ids), dict[str, int])

    def wait(self, *job_ids: int | str, timeout_s: float | None = None) -> tuple[JobView, ...]:
        """Return the jobs once all of them have ended, an array's tasks each for itself.

        Raises:
            TimeoutError: They had not by then.
        """
        return self._ask("wait", _these(job_ids), tuple[JobView, ...], timeout_s=timeout_s)

    # --- Changing.

    def cancel(self, *job_ids: int | str) -> None:
        """Cancel jobs; those that have ended are left alone."""
        _raise_first(self.change("cancel", job_ids))

    def hold(self, *job_ids: int | str) -> None:
        """Keep waiting jobs from starting."""
        _raise_first(self.change("hold", job_ids))

    def release(self, *job_ids: int | str) -> None:
        """Let held jobs go."""
        _raise_first(self.change("release", job_ids))

    def requeue(self, *job_ids: int | str, hold: bool = False) -> None:
        """Let running or ended jobs wait and run once more."""
        _raise_first(self.change("requeue", job_ids, hold=hold))

    def change(
        self, how: Change, job_ids: Iterable[int | str], *, hold: bool = False
    ) -> dict[str, errors.StokerError]:
        """Change jobs, many to a request; return why some were not, by id."""
        refusals: dict[str, errors.StokerError] = {}
        ids = tuple(map(str, job_ids))
        for start in range(0, len(ids), DRAFTS_MAX):
            request = JobsRequest(ids[start : start + DRAFTS_MAX], hold)
            answer = self._ask(how, request, Changed, is_repeatable=how != "requeue")
            refusals |= {each: _as_error(why) for each, why in answer.refusals.items()}
        return refusals

    # --- The daemon.

    def status(self) -> dict[str, Any]:
        """Return what the daemon says of itself, the machine and the queue."""
        return self._ask("status", None, dict[str, Any])

    def shutdown(self, *, cancel: bool = False, timeout_s: float | None = None) -> None:
        """Ask stokerd to stop; running jobs go on, unless they are cancelled first.

        Raises:
            TimeoutError: The jobs have not ended by then; it does not stop.
        """
        self._ask("shutdown", Stop(cancel=cancel), type(None), timeout_s=timeout_s)

    def doctor(self) -> tuple[Finding, ...]:
        """Return what is found when database, journal, processes and cgroups are compared."""
        return self._ask("doctor", None, tuple[Finding, ...])

    def back_up(self, path: Path) -> None:
        """Copy the records into a file while work goes on."""
        self._ask("backup", BackupRequest(str(path.absolute())), type(None))

    # --- Asking.

    def _ask(
        self,
        method: str,
        params: object,
        result: type[_Result],
        *,
        timeout_s: float | None = None,
        is_repeatable: bool = True,
    ) -> _Result:
        body = msgspec.msgpack.encode(params)
        request = _Request(self, method, body, timeout_s, is_repeatable=is_repeatable)
        answer = request.attempt()
        if answer is None:
            answer = keep_trying(request, self.home, self._start)
        if answer is None:
            raise errors.DaemonUnavailable(request.complaint())
        return msgspec.msgpack.decode(answer, type=result)

    def _connected(self) -> Channel:
        if self._channel is None:
            self._channel = Channel(self.home)
        return self._channel


class _Request:
    """A typed request under way; see `client.daemon.Caller`."""

    def __init__(
        self,
        client: Client,
        method: str,
        params: bytes,
        timeout_s: float | None,
        *,
        is_repeatable: bool,
    ) -> None:
        self.absence: OSError | None = None
        self.reason = ""
        self._client = client
        self._method = method
        self._params = params
        self._timeout_s = timeout_s
        self._is_repeatable = is_repeatable
        self._may_have_happened = False

    @property
    def may_try_again(self) -> bool:
        """Whether a second one would do no more than the first."""
        return self._is_repeatable or not self._may_have_happened

    def attempt(self) -> bytes | None:
        """Ask; return the answer, or None if none came."""
        self.absence, self.reason = None, ""
        try:
            channel = self._client._connected()  # noqa: SLF001 - a request is a part of its client
        except OSError as error:
            self.absence = error
            return None
        try:
            return channel.ask(self._method, self._params, self._timeout_s)
        except HungUp:
            self._may_have_happened = True
        except SentAway as why:
            self.reason = str(why)
        except TurnedDown as why:
            self._client.close()
            raise errors.StokerError(f"cannot be served by stokerd: {why}") from None
        except errors.StokerError:
            raise
        except BaseException:
            self._client.close()
            raise
        self._client.close()
        return None

    def complaint(self) -> str:
        """Return the sentence that says why there is no answer."""
        if self.reason:
            return f"cannot reach stokerd in {self._client.home}: {self.reason}; try again later"
        if self._may_have_happened and not self._is_repeatable:
            return (
                f"cannot tell whether the {self._method} was done: the connection broke; "
                "look with `stoker list`"
            )
        return f"cannot reach stokerd in {self._client.home}: nobody answers; `stoker up` starts it"


def _these(job_ids: Sequence[int | str]) -> JobsRequest:
    return JobsRequest(tuple(str(job_id) for job_id in job_ids))


def _batches(drafts: Iterable[Draft]) -> Iterator[tuple[Draft, ...]]:
    """Cut drafts into requests of a size that keeps nobody waiting; each draft gets its key."""
    prefix = secrets.token_hex(12)
    batch: list[Draft] = []
    size = 0
    for number, draft in enumerate(drafts):
        keyed = draft if draft.key else msgspec.structs.replace(draft, key=f"{prefix}-{number}")
        batch.append(keyed)
        size += len(keyed.script) + len(keyed.line)
        if len(batch) == DRAFTS_MAX or size > _BYTES_PER_REQUEST_MAX:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)


def _raise_first(refusals: Mapping[str, errors.StokerError]) -> None:
    for error in refusals.values():
        raise error


def _as_error(refusal: Refusal) -> errors.StokerError:
    """Make the error again without its constructor, which may ask for more than the sentence."""
    kind = getattr(errors, refusal.type, errors.StokerError)
    error: errors.StokerError = kind.__new__(kind, refusal.text)
    error.__dict__["code"] = refusal.code
    return error
