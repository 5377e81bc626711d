"""Frames and messages: what is sent comes back, and what no peer of ours sends is refused."""

from __future__ import annotations

import os
import struct
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core import errors
from stoker.core.errands import (
    decode_ending,
    decode_file,
    encode_file,
    encode_read,
)
from stoker.core.rpcwire import (
    decode_answer,
    decode_request,
    encode_failure,
    encode_request,
    encode_result,
)
from stoker.core.units import NotationError
from stoker.core.wire import (
    CLIENT_LIMITS,
    DAEMON_LIMITS,
    CallMessage,
    Frame,
    FrameReader,
    WireError,
    decode_call,
    decode_number,
    encode,
    encode_call,
    encode_text,
    printable,
    to_bytes,
    to_text,
)

BYTES = st.binary(max_size=12).map(lambda data: data.replace(b"\0", b""))
WORDS = BYTES.map(os.fsdecode)
NAMES = BYTES.map(lambda data: os.fsdecode(data.replace(b"=", b""))).filter(bool)
LIMITS = st.dictionaries(
    st.sampled_from(["cpu", "nofile"]),
    st.tuples(st.integers(-1, 1 << 60), st.integers(-1, 1 << 60)),
)
CALLS = st.builds(
    CallMessage,
    program=st.sampled_from(["sbatch", "squeue"]),
    argv=st.lists(WORDS, max_size=5).map(tuple),
    work_dir=WORDS,
    environment=st.dictionaries(NAMES, WORDS, max_size=5),
    umask=st.integers(0, 0o777),
    rlimits=LIMITS,
    key=st.text("0123456789abcdef", max_size=8),
)


def frames(data: bytes, limits=CLIENT_LIMITS) -> list[Frame]:
    return FrameReader(limits).feed(data)


@given(CALLS)
def test_a_call_comes_back_with_every_byte_of_it(call):
    (frame,) = frames(encode_call(call))
    assert frame.kind == b"C"
    assert decode_call(frame.payload) == call


@given(st.binary(max_size=400))
def test_any_bytes_are_a_call_or_refused_and_nothing_else(payload):
    for decode in (decode_call, decode_number, decode_ending, decode_request, decode_answer):
        with suppress(WireError):
            decode(payload)


@given(st.lists(st.tuples(st.sampled_from([b"C", b"F", b"J"]), st.binary(max_size=40)), max_size=5))
def test_a_stream_is_cut_into_its_frames_however_it_arrives(sent):
    reader = FrameReader(CLIENT_LIMITS)
    stream = b"".join(encode(kind, payload) for kind, payload in sent)
    found = [frame for byte in stream for frame in reader.feed(bytes([byte]))]
    assert found == [Frame(*each) for each in sent] == frames(stream)
    assert len(reader) == 0


def test_an_unfinished_frame_waits():
    reader = FrameReader(CLIENT_LIMITS)
    assert reader.feed(encode(b"F", b"0\nabc")[:-1]) == []
    assert len(reader) == 9
    assert reader.feed(b"c") == [Frame(b"F", b"0\nabc")]


def test_a_frame_of_no_known_type_is_refused():
    with pytest.raises(WireError, match="there is none"):
        frames(encode(b"O", b"not from a client"))
    with pytest.raises(WireError):
        frames(b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("kind", CLIENT_LIMITS)
def test_a_frame_is_refused_by_its_head_when_it_promises_too_much(kind):
    with pytest.raises(WireError, match="are allowed"):
        frames(struct.pack("!cI", kind, CLIENT_LIMITS[kind] + 1))


@given(st.text(max_size=50) | WORDS)
def test_text_becomes_the_bytes_it_was_read_from(text):
    data = to_bytes(text)
    if not any("\ud800" <= each <= "\udfff" for each in text) or text == os.fsdecode(data):
        assert to_text(data) == text
    printable(text).encode()


def test_long_text_is_sent_in_frames_that_cut_no_character():
    text = "é" * 200_000
    found = frames(encode_text(b"O", text), DAEMON_LIMITS)
    assert len(found) > 1
    assert "".join(frame.payload.decode() for frame in found) == text


def test_a_call_of_another_version_is_refused_with_what_helps():
    with pytest.raises(WireError, match="stoker down"):
        decode_call(b"99 squeue - 0 0 22 -\n/")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"1 squeue\n",
        b"1 squeue - 0 0 22 -\n/\0extra",
        b"1 squeue - 2 0 22 -\n/\0one",
        b"1 squeue - -1 2 22 -\n/",
        b"1 squeue - 0 0 7777 -\n/",
        b"1 squeue - 0 0 9 -\n/",
        b"1 squeue - 0 0 22 cpu:1\n/",
        b"1 squeue - 0 0 22 cpu:x:y\n/",
        b"1 squeue - " + b"9" * 9999 + b" 0 22 -\n/",
        b"\xff squeue - 0 0 22 -\n/",
    ],
)
def test_a_call_that_says_nothing_sensible_is_refused(payload):
    with pytest.raises(WireError):
        decode_call(payload)


def test_of_a_variable_given_twice_the_first_counts():
    call = decode_call(b"1 squeue - 0 3 22 -\n/\0A=1\0A=2\0no variable")
    assert call.environment == {"A": "1"}


def test_a_file_comes_back_or_says_why_not():
    (frame,) = frames(encode_file(b"#!/bin/sh\n\n\0"))
    assert decode_file(frame.payload, "job.sh", 100) == b"#!/bin/sh\n\n\0"
    (frame,) = frames(encode_file(b"", 2))
    with pytest.raises(FileNotFoundError) as caught:
        decode_file(frame.payload, "job.sh", 100)
    assert caught.value.filename == "job.sh"


def test_a_file_above_its_limit_is_refused():
    with pytest.raises(OSError, match="File too large"):
        decode_file(b"0\nabc", "job.sh", 2)


def test_a_wish_for_a_file_names_its_limit_and_every_byte_of_its_path():
    (frame,) = frames(encode_read("/a\nb\udcff", 77), DAEMON_LIMITS)
    assert frame == Frame(b"R", b"77\n/a\nb\xff")


@pytest.mark.parametrize("digits", [b"", b"-1", b"1 ", b"x", b"9" * 10, "٣".encode()])
def test_what_is_no_number_is_refused(digits):
    with pytest.raises(WireError, match="it is no number"):
        decode_number(digits)


def test_a_typed_request_comes_back():
    (frame,) = frames(encode_request("jobs", msgspec.msgpack.encode({"ids": [1, 2]})))
    request = decode_request(frame.payload)
    assert request.method == "jobs"
    assert msgspec.msgpack.decode(request.params) == {"ids": [1, 2]}


def test_a_request_that_is_nested_without_end_is_refused():
    with pytest.raises(WireError):
        decode_request(b"\x91" * 100_000)


def test_a_typed_answer_comes_back():
    (frame,) = frames(encode_result(msgspec.msgpack.encode([1])), DAEMON_LIMITS)
    assert msgspec.msgpack.decode(decode_answer(frame.payload)) == [1]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (errors.InvalidSpec("cannot do it: no", "ESLURM_X"), errors.InvalidSpec),
        (errors.UnknownJob(42), errors.UnknownJob),
        (errors.JobFailed(7, "FAILED", "3:0"), errors.JobFailed),
        (NotationError("the time", "x", "no", 3), errors.UserError),
        (errors.StoreFull("cannot write"), errors.StoreFull),
        (ValueError("a defect"), errors.StokerError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_error_arrives_as_the_nearest_class_that_both_sides_know(raised, kind):
    (frame,) = frames(encode_failure(raised), DAEMON_LIMITS)
    with pytest.raises(kind) as caught:
        decode_answer(frame.payload)
    assert type(caught.value) is kind
    assert str(caught.value) == str(raised)
    assert vars(caught.value) == vars(raised)


def test_an_error_about_a_name_that_is_no_text_arrives():
    (frame,) = frames(encode_failure(errors.UserError("cannot read \udcff")), DAEMON_LIMITS)
    with pytest.raises(errors.UserError, match=r"cannot read \\xff"):
        decode_answer(frame.payload)


def test_an_answer_that_names_no_error_of_ours_is_still_an_error():
    failure = {"result": None, "error": {"type": "annotations", "text": "what"}}
    with pytest.raises(errors.StokerError, match="what"):
        decode_answer(msgspec.msgpack.encode(failure))


def test_an_answer_that_holds_nothing_is_refused():
    with pytest.raises(WireError, match="neither result nor error"):
        decode_answer(msgspec.msgpack.encode({}))


@given(*[st.integers(0, 999)] * 4)
def test_how_a_program_ended_comes_back(code, signal, errno, interrupt):
    payload = b"%d %d %d %d" % (code, signal, errno, interrupt)
    assert decode_ending(payload) == (code, signal, errno, interrupt)
    assert decode_ending(payload.rpartition(b" ")[0]) == (code, signal, errno, 0)


def test_a_word_that_no_kernel_would_pass_is_refused() -> None:
    longest = encode_call(CallMessage(program="squeue", argv=("x" * (1 << 17),)))
    assert decode_call(longest[5:]).argv == ("x" * (1 << 17),)
    with pytest.raises(WireError, match="a word has more than 131072 letters"):
        decode_call(encode_call(CallMessage(program="squeue", argv=("x" * 131_073,)))[5:])
