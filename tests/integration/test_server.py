"""The socket's room: slow, half-open, fuzzed, oversized and cut clients; turns that fail."""

from __future__ import annotations

import os
import random
import resource
import select
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import pytest

from stoker.core.errands import encode_file
from stoker.core.errors import StoreError, UserError
from stoker.core.rpcwire import decode_answer, encode_request
from stoker.core.wire import PAYLOAD_MAX, encode
from stoker.worker.server import Limits, Server
from support.raw_client import RawClient, call_frame, cpu_s, serving, until
from support.stub_daemon import StubService


@pytest.fixture
def service(tmp_path) -> StubService:
    return StubService(tmp_path / "records")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "run" / "stokerd.sock"


@pytest.fixture
def server(tmp_path, service) -> Iterator[Server]:
    with serving(tmp_path, service) as running:
        yield running


def is_well(path: Path) -> bool:
    """Whether the next client is served."""
    with RawClient(path) as client:
        return client.ask("look") == (b"seen\n", 0)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# --- The place.


def test_the_socket_is_its_owners_alone_and_gone_afterwards(tmp_path, service, path):
    with serving(tmp_path, service):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


def test_a_shared_socket_is_open_to_all_in_a_directory_that_only_we_write(tmp_path, service, path):
    with Server(path, service, is_shared=True):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    path.parent.chmod(0o775)
    with pytest.raises(UserError, match="chmod 755"), Server(path, service, is_shared=True):
        pass


def test_a_second_daemon_is_refused_and_the_first_goes_on(server, service, path):
    """R9: it names the first; the lock of the home is tried in test_start."""
    with pytest.raises(UserError, match="another stokerd answers there"), Server(path, service):
        pass
    assert is_well(path)


def test_a_socket_that_a_dead_daemon_left_is_replaced(tmp_path, service, path):
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving(tmp_path, service):
        assert is_well(path)


def test_a_directory_that_others_may_enter_is_refused_with_the_remedy(service, path):
    path.parent.mkdir(mode=0o755)
    path.parent.chmod(0o755)
    with pytest.raises(UserError, match="chmod 700"), Server(path, service):
        pass


def test_a_path_longer_than_a_socket_may_have(tmp_path, service):
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    with serving(deep, service):
        short = tmp_path / "s"
        short.symlink_to(deep)
        assert is_well(short / "run" / "stokerd.sock")


def test_somebody_else_is_told_so_and_not_served(server, service, path):
    service.served_users = set()
    with RawClient(path) as client:
        assert b"permission denied" in client.hear(b"E").lower()
        assert client.hear(b"X") == b"1"
        assert client.is_hung_up()
    assert service.begun == []


# --- Turns.


def test_calls_that_are_ready_together_share_one_commit(tmp_path, service, path):
    server = Server(path, service, limits=Limits(turn_s=60.0))
    with server, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(path)) for _ in range(20)]
        for number, client in enumerate(clients):
            client.call("submit", key=f"key-{number}")
        while not any(service.turns):
            server.turn(timeout_s=5)
        server.turn(timeout_s=0)
        answers = {client.hear(b"O") for client in clients}
    assert max(service.turns) == 20
    assert len(answers) == 20


def test_who_asked_for_least_comes_first_and_a_turn_does_not_go_on_for_ever(
    tmp_path, service, path
):
    server = Server(path, service, limits=Limits(turn_s=0.0))
    with server, RawClient(path) as lister, RawClient(path) as submitter:
        for _ in range(2):
            lister.call("look")
            while not lister.has_heard(b"X"):
                server.turn(timeout_s=0.01)
        lister.call("look")
        submitter.call("submit", key="k")
        while not submitter.has_heard(b"X"):
            server.turn(timeout_s=0.01)
        assert not lister.has_heard(b"X")
        server.turn(timeout_s=1)
        assert lister.hear(b"X") == b"0"


def test_who_is_left_for_the_next_turn_is_not_told_that_this_one_failed(tmp_path, service, path):
    server = Server(path, service, limits=Limits(turn_s=0.0))
    service.fails_with = StoreError("cannot write: the disk is full")
    with server, RawClient(path) as first, RawClient(path) as second:
        for number, client in enumerate((first, second)):
            client.call("submit", key=f"key-{number}")
        while not service.begun:
            server.turn(timeout_s=5)
        service.fails_with = None
        server.turn(timeout_s=5)
        told = {client.hear(b"X") for client in (first, second)}
    assert told == {b"0", b"1"}


def test_what_a_call_was_asked_for_is_heard_later_if_a_turn_had_no_time_for_it(
    tmp_path, service, path
):
    server = Server(path, service, limits=Limits(turn_s=0.0))
    with server, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(path)) for _ in range(3)]
        for client in clients:
            client.call("read", "file")
        asked = 0
        while asked < len(clients):
            server.turn(timeout_s=1)
            asked += sum(client.has_heard(b"R") for client in clients)
        for client in clients:
            client.send(encode(b"F", b"0\ncontent"))
        answered, deadline = 0, time.monotonic() + 20
        while answered < len(clients):
            assert time.monotonic() < deadline, f"only {answered} were answered"
            server.turn(timeout_s=1)
            answered += sum(client.has_heard(b"X") for client in clients)


def test_nobody_is_told_before_the_commit(server, service, path):
    """R1: an id goes out after the commit only."""
    committing, may_commit = threading.Event(), threading.Event()
    service.before_commit = lambda: (committing.set(), may_commit.wait(20))
    with RawClient(path) as client:
        client.call("submit", key="k")
        assert committing.wait(20)
        assert not select.select([client.socket], [], [], 0.05)[0]
        may_commit.set()
        assert client.hear(b"O") == b"Submitted batch job 1\n"


def test_a_turn_that_fails_answers_all_its_calls_with_the_error(tmp_path, service, path):
    server = Server(path, service)
    service.fails_with = StoreError("cannot write: the disk is full")
    with server, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(path)) for _ in range(5)]
        for number, client in enumerate(clients):
            client.call("submit", key=f"key-{number}")
        while len(service.begun) < 5:
            server.turn(timeout_s=5)
        for client in clients:
            assert b"the disk is full" in client.hear(b"E")
            assert client.hear(b"X") == b"1"
    assert not service.records.exists()


@pytest.mark.parametrize("refuses_to_enter", [False, True])
def test_after_a_failed_turn_the_same_submission_goes_through(
    server, service, path, refuses_to_enter
):
    service.fails_with = StoreError("cannot write: the disk is full")
    service.refuses_to_enter = refuses_to_enter
    with RawClient(path) as client:
        assert client.ask("submit", key="k")[1] == 1
        service.fails_with = None
        assert client.ask("submit", key="k") == (b"Submitted batch job 1\n", 0)
    assert service.records.read_text() == "k\n"


def test_what_only_looks_is_answered_though_the_turn_failed(server, service, path):
    service.fails_with = StoreError("cannot write: the disk is full")
    with RawClient(path) as client:
        assert client.ask("look") == (b"seen\n", 0)


def test_a_waiting_call_is_looked_at_again_when_its_turn_failed(tmp_path, service, path):
    with serving(tmp_path, service, retry_s=0.05) as server, RawClient(path) as client:
        client.call("wait", "7")
        assert service.parked.wait(20)
        service.fails_with = StoreError("cannot write: the disk is full")
        service.refuses_to_enter = True
        turns = service.entered
        server.jobs_changed([7])
        until(lambda: service.entered > turns, lambda: f"{service.entered} turns were entered")
        service.ended_ids.add(7)
        service.fails_with = None
        assert client.hear(b"X") == b"5"


# --- Conversations.


def test_what_a_command_raises_harms_only_its_caller(server, path):
    with RawClient(path) as client, RawClient(path) as other:
        client.call("boom")
        assert b"internal error: KeyError" in client.hear(b"E")
        assert client.hear(b"X") == b"1"
        assert client.ask("look") == (b"seen\n", 0)
        assert other.ask("look") == (b"seen\n", 0)


def test_an_answer_that_breaks_off_while_it_is_made_says_so(server, path):
    with RawClient(path) as client:
        client.call("torn")
        assert client.hear(b"O") == b"1"
        assert b"broke off" in client.hear(b"E")
        assert client.hear(b"X") == b"1"
        assert client.ask("look") == (b"seen\n", 0)


def test_many_wait_and_each_is_woken_by_its_own_job(server, service, path):
    with ExitStack() as stack:
        clients = {n: stack.enter_context(RawClient(path)) for n in range(1, 6)}
        for number, client in clients.items():
            client.call("wait", str(number))
            client.hear(b"W")
        for number, client in clients.items():
            service.ended_ids.add(number)
            server.jobs_changed([number])
            assert client.hear(b"O") == b"[%d]\n" % number
            assert client.hear(b"X") == b"5"


def test_a_signal_comes_to_the_call_that_waits(server, service, path):
    with RawClient(path) as client:
        client.call("wait_on")
        client.hear(b"W")
        client.send(encode(b"I", b"%d" % signal.SIGTERM))
        assert client.hear(b"E") == b"signal %d\n" % signal.SIGTERM
        service.ended_ids.add(7)
        server.jobs_changed([7])
        assert client.hear(b"X") == b"4"


def test_who_waits_with_a_limit_is_woken_by_it(server, path):
    with RawClient(path) as client:
        assert client.ask("wait_briefly") == (b"", 9)


def test_who_hangs_up_while_waiting_is_reported_once(server, service, path):
    with RawClient(path) as client:
        client.call("wait", "7")
        client.hear(b"W")
    until(lambda: service.hung_up_calls, lambda: "nobody was reported")
    assert is_well(path)
    assert [call.argv for call in service.hung_up_calls] == [("wait", "7")]


def test_who_hangs_up_after_the_answer_is_not_reported(server, service, path):
    assert is_well(path)
    assert is_well(path)
    assert service.hung_up_calls == []


def test_descriptors_come_when_they_are_asked_for(server, service, path):
    reading, writing = os.pipe()
    with RawClient(path) as client, os.fdopen(reading, "rb") as file:
        client.call("attach", "9")
        client.hear(b"A")
        socket.send_fds(client.socket, [encode(b"D")], [0, writing, 2])
        os.close(writing)
        assert file.readline() == b"from the job\n"
        service.ended_ids.add(9)
        server.jobs_changed([9])
        assert client.hear(b"X") == b"6"
        assert file.read() == b"", "somebody keeps the descriptor"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_descriptors_end_the_call_and_are_closed(server, path, count):
    reading, writing = os.pipe()
    with RawClient(path) as client, os.fdopen(reading, "rb") as file:
        client.call("attach", "9")
        client.hear(b"A")
        socket.send_fds(client.socket, [encode(b"D")], [writing] * count)
        os.close(writing)
        assert client.hear(b"X") == b"1"
        assert file.read() == b""


def test_descriptors_that_nobody_asked_for_are_not_kept(server, path):
    reading, writing = os.pipe()
    with RawClient(path) as client, os.fdopen(reading, "rb") as file:
        socket.send_fds(client.socket, [call_frame("look")], [writing] * 3)
        os.close(writing)
        assert client.hear(b"X") == b"0"
        assert file.read() == b""


def test_typed_requests_bring_results_and_errors_as_their_classes(server, service, path):
    with RawClient(path) as client:
        client.send(encode_request("echo", msgspec.msgpack.encode([1, 2])))
        assert decode_answer(client.hear(b"J")) == msgspec.msgpack.encode([1, 2])
        client.send(encode_request("fail", b"\xc0"))
        with pytest.raises(StoreError, match="disk full"):
            decode_answer(client.hear(b"J"))
        client.send(encode_request("wait", b"\xc0"))
        assert service.parked.wait(20)
        service.ended_ids.add(7)
        server.jobs_changed([7])
        assert decode_answer(client.hear(b"J")) == b"\x01"


def test_a_defect_in_a_typed_request_is_not_shown_to_its_caller(server, path):
    with RawClient(path) as client:
        client.send(encode_request("break", b"\xc0"))
        with pytest.raises(Exception, match="internal error: KeyError") as caught:
            decode_answer(client.hear(b"J"))
        assert "secret" not in str(caught.value)


def test_requests_sent_without_waiting_are_answered_in_order(server, path):
    with RawClient(path) as client:
        for number in range(100):
            client.send(encode_request("echo", msgspec.msgpack.encode(number)))
        answers = [msgspec.msgpack.decode(decode_answer(client.hear(b"J"))) for _ in range(100)]
    assert answers == list(range(100))


# --- Clients that are no good.


def test_a_frame_that_arrives_byte_by_byte_is_read(server, path):
    with RawClient(path) as client:
        for number in call_frame("look"):
            client.send(bytes([number]))
        assert client.hear(b"O") == b"seen\n"


def test_a_client_that_says_nothing_is_sent_away_in_time(tmp_path, service, path):
    """R29: idle limit."""
    with serving(tmp_path, service, half_frame_s=0.05), RawClient(path) as silent:
        assert b"no whole call came" in silent.hear(b"E")
        assert silent.is_hung_up()


def test_a_client_that_stops_within_a_frame_is_sent_away_in_time(tmp_path, service, path):
    with serving(tmp_path, service, half_frame_s=0.05), RawClient(path) as client:
        assert client.ask("look")[1] == 0
        client.send(call_frame("look")[:7])
        assert b"no whole call came" in client.hear(b"E")
        assert client.is_hung_up()


def test_a_client_that_waits_between_its_calls_is_left_in_peace(tmp_path, service, path):
    with serving(tmp_path, service, half_frame_s=0.05), RawClient(path) as client:
        assert client.ask("look")[1] == 0
        assert not select.select([client.socket], [], [], 0.3)[0]
        assert client.ask("look")[1] == 0


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        encode(b"C", b"no call"),
        encode(b"C", b"2 prog - 0 0 22 -\n/"),
        encode(b"C", b"1 prog - 5 0 22 -\n/"),
        encode(b"C", b"1 prog - -1 0 22 -\n/"),
        encode(b"J", b"\xc1"),
        encode(b"J", b"\x91" * 100_000),
        b"C" + (PAYLOAD_MAX + 1).to_bytes(4, "big"),
        b"C\xff\xff\xff\xff",
    ],
)
def test_what_is_no_call_gets_a_sentence_and_the_end(server, path, data):
    with RawClient(path) as client:
        client.send(data)
        assert client.hear(b"E").startswith(b"error: cannot ")
        assert client.hear(b"X") == b"1"
        assert client.is_hung_up()
    assert is_well(path)


@pytest.mark.parametrize("late", [encode(b"F", b"0\n"), encode(b"D"), encode(b"I", b"2")])
def test_what_comes_after_the_call_has_ended_is_passed_over(server, path, late):
    with RawClient(path) as client:
        assert client.ask("look")[1] == 0
        client.send(late)
        assert client.ask("look")[1] == 0


def test_noise_never_brings_the_server_down(server, path):
    """R29."""
    dice = random.Random(20_260_101)
    good = call_frame("look")
    for _ in range(300):
        noise = bytearray(good * dice.randint(1, 3))
        for _ in range(dice.randint(1, 8)):
            noise[dice.randrange(len(noise))] = dice.randrange(256)
        with RawClient(path) as client:
            client.send(bytes(noise[: dice.randint(1, len(noise))]))
    assert is_well(path)


def test_unfinished_frames_of_all_clients_together_are_bounded(tmp_path, service, path):
    """R29: size limits."""
    piece = b"C" + (1 << 20).to_bytes(4, "big") + b"x" * 60_000
    with serving(tmp_path, service, half_frames_max=200_000), ExitStack() as stack:
        clients = [stack.enter_context(RawClient(path)) for _ in range(6)]
        for client in clients:
            client.send(piece)
        turned_away = [client for client in clients if _is_told_to_come_back(client)]
        assert turned_away
        assert is_well(path)


def _is_told_to_come_back(client: RawClient) -> bool:
    if not select.select([client.socket], [], [], 0.5)[0]:
        return False
    return b"as many clients as it can" in client.hear(b"B")


def test_slow_readers_delay_nobody(server, path):
    """R29."""
    with ExitStack() as stack:
        slow = [stack.enter_context(RawClient(path)) for _ in range(50)]
        for client in slow:
            client.call("lines", "100000")
        began_at = time.monotonic()
        for _ in range(20):
            assert is_well(path)
        assert time.monotonic() - began_at < 5


def test_a_long_answer_is_made_only_as_it_is_read(server, path):
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with RawClient(path) as client:
        client.call("lines", "1000000")
        client.hear(b"O")
        assert is_well(path)
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
        assert grown_kib < 100_000, f"{grown_kib} KiB for a reader that does not read"


def test_what_is_said_at_length_is_made_between_turns_before_the_next_is_asked_for(server, path):
    count = 2000
    with RawClient(path) as client:
        client.call("tell", str(count))
        assert is_well(path)
        told = b""
        while (frame := client.next()).kind == b"O":
            told += frame.payload
        assert frame.kind == b"R"
        client.send(encode_file(b"over"))
        assert client.hear(b"O") == b"over"
    lines = told.decode().splitlines()
    assert len(lines) == count * 100
    assert {*lines} == {f"False {each}" for each in range(count)}


def test_clients_cut_at_any_byte_leave_nothing_behind(server, path):
    frame = call_frame("submit", key="k")
    before = open_descriptors()
    for end in range(len(frame)):
        with RawClient(path) as client:
            client.send(frame[:end])
    until(
        lambda: open_descriptors() <= before,
        lambda: f"{open_descriptors()} descriptors are open, {before} were",
    )
    assert is_well(path)


def test_clients_beyond_the_limit_are_told_to_come_back(tmp_path, service, path):
    with serving(tmp_path, service, connections_max=3), ExitStack() as stack:
        served = [stack.enter_context(RawClient(path)) for _ in range(3)]
        for client in served:
            assert client.ask("look")[1] == 0
        with RawClient(path) as fourth:
            assert b"as many clients as it can" in fourth.hear(b"B")
        assert served[0].ask("look")[1] == 0


def test_without_descriptors_clients_are_told_to_come_back_and_nothing_spins(server, path):
    """R26."""
    with RawClient(path) as client:
        assert client.ask("look")[1] == 0
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        fillers = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
            with suppress(OSError):
                while True:
                    fillers.append(os.dup(0))
            for each in waiting:
                each.settimeout(20)
                each.connect(str(path))
            assert b"as many clients as it can" in waiting[0].recv(1000)
            began_s = cpu_s()
            assert client.ask("look")[1] == 0
            assert not select.select([client.socket], [], [], 0.3)[0]
            assert cpu_s() - began_s < 0.2, "the server spins"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for filler in fillers:
                os.close(filler)
            for each in waiting:
                each.close()
    assert is_well(path)


def test_an_idle_server_does_not_wake_up(server, path):
    assert is_well(path)
    began_s = cpu_s()
    assert not select.select([], [], [], 0.5)[0]
    assert cpu_s() - began_s < 0.1


# --- The end.


def test_who_waits_when_it_stops_is_told_to_come_again(tmp_path, service, path):
    with ExitStack() as stack:
        with serving(tmp_path, service):
            client = stack.enter_context(RawClient(path))
            client.call("wait", "7")
            client.hear(b"W")
        assert client.hear(b"B") == b"stokerd is stopping"
        assert client.is_hung_up()


def test_a_reader_that_does_not_read_does_not_keep_it_from_stopping(tmp_path, service, path):
    with ExitStack() as stack:
        with serving(tmp_path, service, farewell_s=0.1):
            client = stack.enter_context(RawClient(path))
            client.call("lines", "100000")
            client.hear(b"O")
            began_at = time.monotonic()
        assert time.monotonic() - began_at < 5
