"""A trace is read whatever its layout, vocabulary and end."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.errors import TraceError
from trainbottleneck.ingest import load_traces
from trainbottleneck.ingest.blocks import Blocks
from trainbottleneck.ingest.columns import Trace, read_columns
from trainbottleneck.ingest.events import EventReader

from .traces import Builder, training

TEXT = training(steps=3).text()
PRETTY = training(steps=3).text(pretty=True)


def read(text: bytes, size: int = 700) -> Trace:
    """Return the columns of ``text`` handed over in blocks of ``size`` bytes."""
    return read_columns(EventReader(text[at : at + size] for at in range(0, len(text), size)))


def kept(trace: Trace) -> int:
    """Return how many events were kept."""
    return sum(len(table) for table in (trace.host, trace.annotations, trace.runtime, trace.device))


@pytest.mark.parametrize("text", [TEXT, PRETTY, json.dumps(training(steps=3).events).encode()])
def test_every_layout_gives_the_same_columns(text: bytes) -> None:
    trace = read(text)
    assert trace.damage == ()
    assert trace.events == kept(trace) == len(training(steps=3).events)
    assert trace.device.start_ns.tolist() == read(TEXT).device.start_ns.tolist()


def test_words_of_2021_and_of_today_give_the_same_columns() -> None:
    old, new = read(training(old=True).text()), read(training().text())
    assert (old.device.end_ns + old.zero_ns).tolist() == (new.device.end_ns + new.zero_ns).tolist()
    assert len(old.host) == len(new.host) + len(new.annotations)  # annotations had no category of their own
    assert old.device.stream.tolist() == new.device.stream.tolist()


def test_what_stands_after_the_events_is_read_too() -> None:
    whole = json.loads(TEXT)
    events = whole.pop("traceEvents")
    trace = read(json.dumps({"traceEvents": events, **whole, "distributedInfo": {"rank": 3}}).encode())
    assert trace.about["distributedInfo"] == {"rank": 3}
    assert trace.events == len(events)


@settings(max_examples=150)
@given(st.integers(0, len(PRETTY)), st.booleans())
def test_a_cut_at_any_byte_leaves_every_whole_event(place: int, pretty: bool) -> None:
    text = PRETTY if pretty else TEXT
    cut = text[:place]
    try:
        trace = read(cut)
    except TraceError:
        assert b'"traceEvents": [' not in cut
        return
    assert kept(trace) == _whole_events(cut)
    assert trace.damage or place >= len(text) - 3  # only closing brackets may be missing unnoticed


def _whole_events(cut: bytes) -> int:
    """Return how many events end in ``cut``, told by the standard library's decoder."""
    text = cut.decode()
    at, found = text.index("[", text.index('"traceEvents"')) + 1, 0
    decoder = json.JSONDecoder()
    while True:
        while at < len(text) and text[at] in ", \n":
            at += 1
        try:
            _, at = decoder.raw_decode(text, at)
        except ValueError:
            return found
        found += 1


@settings(max_examples=100)
@given(st.integers(0, 3000), st.binary(max_size=8))
def test_damage_inside_never_crashes(place: int, junk: bytes) -> None:
    text = TEXT[:place] + junk + TEXT[place + len(junk) :]
    try:
        trace = read(text)
    except TraceError:
        return
    assert kept(trace) <= len(training(steps=3).events) + 8


@settings(max_examples=40)
@given(st.integers(0, 5000))
def test_a_compressed_file_cut_anywhere_tells_so(
    tmp_path_factory: pytest.TempPathFactory, place: int
) -> None:
    packed = gzip.compress(TEXT)
    path = tmp_path_factory.mktemp("cut") / "t.json.gz"
    path.write_bytes(packed[: min(place, len(packed) - 1)])
    blocks = Blocks(path)
    try:
        read_columns(EventReader(blocks))
    except TraceError:
        return
    assert blocks.damage is not None


def test_what_json_does_not_know_costs_its_event_alone() -> None:
    text = TEXT.replace(b'"dur": 50', b'"dur": NaN', 1).replace(b'"gemm"', b'"ge\x01mm\xff"', 1)
    trace = read(text)
    assert kept(trace) == len(training(steps=3).events) - 1  # a duration that is no number is no event
    assert any("ge\x01mm" in name for name in trace.names)


def test_events_that_are_no_json_are_counted() -> None:
    text = TEXT.replace(b'"ph": "X", "cat": "kernel"', b'"ph": "X" "cat": "kernel"', 1)
    trace = read(text)
    assert kept(trace) == len(training(steps=3).events) - 1
    assert "1 of its events" in trace.damage[0]


def test_types_nobody_expects_do_not_stop_the_reading() -> None:
    builder = training(steps=3)
    events = [
        {
            "ph": "X",
            "cat": "cpu_op",
            "name": 7,
            "pid": [1],
            "tid": {},
            "ts": "12.5",
            "dur": "3",
            "args": "none",
        },
        {"ph": "X", "cat": None, "name": None, "ts": None},
        {"ph": "?", "name": "unknown kind"},
        {
            "ph": "X",
            "cat": "kernel",
            "name": "k",
            "pid": 0,
            "tid": 7,
            "ts": 1,
            "dur": -5,
            "args": {"stream": "0x0"},
        },
    ]
    trace = read(json.dumps({"traceEvents": builder.events + events}).encode())
    assert trace.events == len(builder.events) + 4
    assert kept(trace) == len(builder.events) + 1
    assert "7" in trace.names


def test_large_time_stamps_keep_their_fractions() -> None:
    builder = Builder(zero=1_683_564_901_548_726.0)
    builder.op("aten::add", 0.0, 1.25)
    builder.op("aten::mul", 1.5, 0.25)
    trace = read(builder.text())
    assert trace.host.end_ns.tolist() == [1250, 1750]
    assert trace.zero_ns == 1_683_564_901_548_726_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"\x89PNG\r\n", "no JSON"),
        (b'{"a": 1}', "no traceEvents"),
        (b'{"traceEvents": []}', "no events"),
        (b'{"traceEvents": [', "no events"),
        (b'{"traceEvents": 5}', "no traceEvents"),
        (b"\x1f\x8b\x08nonsense", "compress"),
    ],
)
def test_what_is_no_trace_is_said_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=said) as caught:
        load_traces([path])
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="No such file"):
        load_traces([tmp_path / "none.json"])


def test_members_of_gzip_are_read_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "t.json.gz"
    path.write_bytes(gzip.compress(TEXT[:900]) + gzip.compress(TEXT[900:]))
    assert kept(read_columns(EventReader(Blocks(path)))) == len(training(steps=3).events)
