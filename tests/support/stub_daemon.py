"""A stokerd of a few commands, for tests of what stands in front of it; also a program to kill."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stoker.core.errors import StoreError
from stoker.worker.call import (
    Answer,
    Attach,
    Call,
    Expired,
    Interrupted,
    ReadFile,
    Say,
    Until,
    UntilEnded,
)
from stoker.worker.server import Server


class StubService:
    """Keeps submissions in a file, one line each; the first word of a call says what to do."""

    def __init__(self, records: Path) -> None:
        self.records = records
        self.turns: list[int] = []
        self.fails_with: Exception | None = None
        self.refuses_to_enter = False
        self.begun: list[Call] = []
        self.hung_up_calls: list[Call] = []
        self.attached: list[tuple[int, tuple[int, ...]]] = []
        self.ended_ids: set[int] = set()
        self.parked = threading.Event()
        self.before_commit: Callable[[], object] = lambda: None
        self.entered = 0
        self.served_users = {os.getuid()}
        self.is_in_turn = False
        self._uncommitted: list[str] = []
        self._calls = 0

    def serves(self, user_id: int) -> bool:
        return user_id in self.served_users

    @contextmanager
    def turn(self) -> Iterator[None]:
        self.entered += 1
        if self.refuses_to_enter and self.fails_with:
            raise self.fails_with
        self._calls = 0
        self.is_in_turn = True
        try:
            yield
        finally:
            self.is_in_turn = False
        self.turns.append(self._calls)
        lines, self._uncommitted = self._uncommitted, []
        self.before_commit()
        if self.fails_with:
            raise self.fails_with
        if lines:
            with self.records.open("a") as file:
                file.writelines(lines)
                os.fsync(file.fileno())

    def begin(self, call: Call):
        self._calls += 1
        self.begun.append(call)
        word = call.argv[0] if call.argv else "nothing"
        # Named with escapes: a reporter of tests may not be able to show what noise holds.
        return getattr(self, f"do_{word.encode('ascii', 'backslashreplace').decode()}")(call)

    def failed(self, call: Call, error: StoreError) -> Answer | None:
        if call.argv[:1] == ("look",):
            return None
        return Answer(err=f"{call.program}: error: {error}\n", code=1)

    def outcome(self, request: Until):
        if set(request.job_ids) <= self.ended_ids:
            return list(request.job_ids)
        self.parked.set()
        return None

    def replied(self) -> None:
        pass

    def awaited(self, request: Until) -> Sequence[int]:
        return tuple(each for each in request.job_ids if each not in self.ended_ids)

    def attach(self, request: Attach, descriptors: Sequence[int]) -> int:
        if request.job_id == 13:
            raise OSError(5, "no such luck")
        self.attached.append((request.job_id, tuple(descriptors)))
        os.write(descriptors[1], b"from the job\n")
        for descriptor in descriptors:
            os.close(descriptor)
        return len(self.attached)

    def hung_up(self, call: Call) -> None:
        self.hung_up_calls.append(call)

    def rpc(self, method: str, params: bytes, owner):
        if method == "wait":
            return self._rpc_wait()
        if method == "fail":
            raise StoreError("cannot write: disk full")
        if method == "break":
            raise KeyError("secret")
        return params

    def _rpc_wait(self):
        jobs = yield UntilEnded((7,))
        return bytes([len(jobs)])

    # --- Commands.

    def do_nothing(self, _call: Call) -> Answer:
        return Answer()

    def do_look(self, _call: Call) -> Answer:
        return Answer(out="seen\n")

    def do_dump(self, call: Call) -> Answer:
        text = json.dumps(
            {
                "program": call.program,
                "argv": call.argv,
                "work_dir": call.work_dir,
                "environment": dict(call.environment),
                "umask": call.umask,
                "rlimits": dict(call.rlimits),
                "key": call.key,
                "user": call.owner.user_id,
                "user_name": call.owner.user_name,
            }
        )
        return Answer(out=text + "\n")

    def do_say(self, call: Call) -> Answer:
        _, out, err, code = call.argv
        return Answer(out=out, err=err, code=int(code))

    def do_submit(self, call: Call) -> Answer:
        known = self.records.read_text().split() if self.records.exists() else []
        known += [line.strip() for line in self._uncommitted]
        if call.key not in known:
            known.append(call.key)
            self._uncommitted.append(f"{call.key}\n")
        return Answer(out=f"Submitted batch job {known.index(call.key) + 1}\n")

    def do_submit_and_wait(self, call: Call):
        yield Say(out=self.do_submit(call).out)
        yield UntilEnded((7,))
        return Answer(out="ended\n", code=3)

    def do_read(self, call: Call):
        try:
            content = yield ReadFile(call.argv[1], size_max=100)
        except OSError as error:
            return Answer(err=f"{error.errno} {error.filename}\n", code=2)
        return Answer(out=content.decode())

    def do_wait(self, call: Call):
        yield Say(out="waiting\n")
        jobs = yield UntilEnded(tuple(map(int, call.argv[1:])))
        return Answer(out=f"{jobs}\n", code=5)

    def do_wait_on(self, _call: Call):
        try:
            yield UntilEnded((7,))
        except Interrupted as event:
            yield Say(err=f"signal {event.signal}\n")
        yield UntilEnded((7,))
        return Answer(code=4)

    def do_wait_briefly(self, _call: Call):
        try:
            yield UntilEnded((7,), within_s=0.05)
        except Expired:
            return Answer(code=9)
        return Answer()

    def do_attach(self, call: Call):
        yield Attach(int(call.argv[1]))
        yield UntilEnded((int(call.argv[1]),))
        return Answer(code=6)

    def do_lines(self, call: Call) -> Answer:
        count = int(call.argv[1])
        return Answer(out=(f"line {number}\n" * 100 for number in range(count)))

    def do_tell(self, call: Call):
        yield Say(out=(f"{self.is_in_turn} {each}\n" * 100 for each in range(int(call.argv[1]))))
        content = yield ReadFile("-")
        return Answer(out=content.decode())

    def do_rest(self, call: Call):
        """Answer the gateway at length; a target that begins with a minus breaks off."""
        count = int(call.argv[1])
        yield Say(err="200 text/plain\n")
        if count == 0:
            return Answer(out="brief")
        return Answer(out=_long_text(count))

    def do_torn(self, _call: Call) -> Answer:
        return Answer(out=(str(1 // number) for number in (1, 0)))

    def do_boom(self, _call: Call) -> Answer:
        raise KeyError("secret")

    def do_forget(self, _call: Call):
        yield Say(out="hm\n")


def _long_text(count: int) -> Iterator[str]:
    yield from (f"{number:09}\n" * 100 for number in range(abs(count)))
    if count < 0:
        raise ValueError("it breaks off")


class MortalService(StubService):
    """Dies where a file in its home says so, once; job 7 has ended if a file says so."""

    def outcome(self, request: Until):
        if self.records.with_name("job-7-ended").exists():
            self.ended_ids.add(7)
        return super().outcome(request)

    @contextmanager
    def turn(self) -> Iterator[None]:
        with super().turn():
            yield
        self._die_at("after-commit")

    def do_submit(self, call: Call) -> Answer:
        self._die_at("before-commit")
        return super().do_submit(call)

    def do_read(self, call: Call):
        answer = yield from super().do_read(call)
        self._die_at("after-read")
        return answer

    def _die_at(self, point: str) -> None:
        marker = self.records.with_name(point)
        if self.begun and marker.exists():
            marker.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def main(home: Path, ready_fd: int) -> None:
    with Server(home / "run" / "stokerd.sock", MortalService(home / "records")) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        os.write(ready_fd, b"1")
        os.close(ready_fd)
        server.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
