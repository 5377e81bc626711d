"""Signals: noted at once, acted on in the main loop, put back as they were."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading

import pytest

from stoker.worker.signal_handler import SignalHandler

LIMIT_S = 10.0


@pytest.fixture(autouse=True)
def handlers_are_as_before():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(-1) == -1


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_callbacks_run_in_order_in_the_main_loop():
    seen: list[str] = []
    with SignalHandler() as signals:
        signals.on_shutdown(lambda: seen.append("first")).on_shutdown(lambda: seen.append("then"))
        send(signal.SIGTERM)
        assert seen == []
        assert signals.wait(LIMIT_S)
    assert seen == ["first", "then"]
    assert signals.received == signal.SIGTERM


def test_settings_are_read_again_each_time_it_is_asked_for_and_nothing_stops():
    """R28: SIGHUP reloads; many at once are one."""
    before = signal.getsignal(signal.SIGHUP)
    seen: list[str] = []
    with SignalHandler().on_reload(lambda: seen.append("read")) as signals:
        for _ in range(3):
            send(signal.SIGHUP)
        assert seen == []
        assert not signals.run_pending()
        assert seen == ["read"]
        send(signal.SIGHUP)
        assert not signals.wait(0.01)
        assert seen == ["read", "read"]
        assert signals.received is None
    assert signal.getsignal(signal.SIGHUP) == before


def test_a_reload_that_fails_stops_nothing():
    def fail() -> None:
        raise ValueError("no settings")

    with SignalHandler().on_reload(fail) as signals:
        send(signal.SIGHUP)
        assert not signals.run_pending()
        send(signal.SIGTERM)
        assert signals.run_pending()


def test_a_callback_may_take_a_lock_that_the_interrupted_code_holds():
    lock = threading.Lock()
    seen: list[bool] = []

    def callback() -> None:
        is_free = lock.acquire(timeout=LIMIT_S)
        seen.append(is_free)
        lock.release()

    with SignalHandler() as signals:
        signals.on_shutdown(callback)
        with lock:
            send(signal.SIGTERM)
            assert seen == []
        assert signals.run_pending()
    assert seen == [True]


def test_one_callback_that_fails_does_not_stop_the_next(caplog):
    seen: list[str] = []

    def fail() -> None:
        raise ValueError("no luck")

    with SignalHandler() as signals:
        signals.on_shutdown(fail).on_shutdown(lambda: seen.append("next"))
        send(signal.SIGINT)
        assert signals.run_pending()
    assert seen == ["next"]
    assert "ValueError: no luck" in caplog.text


def test_callbacks_run_once_however_often_the_loop_asks():
    seen: list[int] = []
    with SignalHandler() as signals:
        signals.on_shutdown(lambda: seen.append(1))
        assert not signals.run_pending()
        send(signal.SIGTERM)
        assert signals.run_pending()
        assert signals.run_pending()
        assert signals.wait(LIMIT_S)
    assert seen == [1]


def test_a_second_signal_forces_the_exit_with_its_number():
    statuses: list[int] = []
    with SignalHandler(force_exit=statuses.append) as signals:
        send(signal.SIGTERM)
        assert statuses == []
        send(signal.SIGINT)
    assert statuses == [128 + signal.SIGINT]
    assert signals.received == signal.SIGTERM


HANGS = """
import signal, threading
from stoker.worker.signal_handler import SignalHandler
def hang():
    print("stopping", flush=True)
    threading.Event().wait()
with SignalHandler() as signals:
    signals.on_shutdown(hang)
    print("ready", flush=True)
    signals.wait()
"""


def test_a_second_signal_ends_a_process_whose_shutdown_hangs():
    with subprocess.Popen(
        [sys.executable, "-c", HANGS], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            assert process.stdout.readline() == "stopping\n"
            process.terminate()
            assert process.wait(LIMIT_S) == 128 + signal.SIGTERM
        finally:
            process.kill()


def test_handlers_and_wakeup_descriptor_are_put_back():
    reader, writer = os.pipe2(os.O_NONBLOCK)
    theirs = lambda *_: None  # noqa: E731 - a handler to be recognised
    before = signal.signal(signal.SIGUSR1, theirs)
    signal.set_wakeup_fd(writer)
    try:
        with SignalHandler() as signals:
            signals.register([signal.SIGUSR1])
            assert signal.getsignal(signal.SIGUSR1) != theirs
        assert signal.getsignal(signal.SIGUSR1) is theirs
        assert signal.set_wakeup_fd(-1) == writer
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(reader)
        os.close(writer)


def test_registering_twice_keeps_the_first_handlers_and_restoring_twice_is_harmless():
    before = signal.getsignal(signal.SIGTERM)
    signals = SignalHandler()
    signals.restore()
    signals.register()
    signals.register()
    signals.restore()
    signals.restore()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_handler_that_replaced_ours_meanwhile_is_left_alone():
    before = signal.getsignal(signal.SIGUSR1)
    theirs = lambda *_: None  # noqa: E731 - a handler to be recognised
    try:
        with SignalHandler().register([signal.SIGUSR1]):
            signal.signal(signal.SIGUSR1, theirs)
        assert signal.getsignal(signal.SIGUSR1) is theirs
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_where_one_signal_cannot_be_handled_none_is():
    with pytest.raises(OSError, match="Invalid argument"):
        SignalHandler().register([signal.SIGTERM, signal.SIGKILL])


def test_another_thread_is_told_that_it_cannot_register():
    errors: list[str] = []

    def work() -> None:
        try:
            SignalHandler().register()
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LIMIT_S)
    assert errors == [
        "cannot register signal handlers: this is not the main thread; call register() there"
    ]


def test_a_signal_that_another_thread_gets_wakes_the_main_loop():
    with SignalHandler() as signals:
        thread = threading.Thread(
            target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        )
        thread.start()
        assert signals.wait(LIMIT_S), "slept through it"
        thread.join(LIMIT_S)


def test_a_loop_of_its_own_selects_on_the_handler():
    with SignalHandler() as signals:
        assert select.select([signals], [], [], 0) == ([], [], [])
        send(signal.SIGTERM)
        assert select.select([signals], [], [], LIMIT_S)[0] == [signals]


def test_waiting_has_an_end():
    with SignalHandler() as signals:
        assert not signals.wait(0.001)
