"""The thread that samples, and the log it leaves."""

import errno
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.collect import sampling
from trainbottleneck.collect.sampling import SamplerThread
from trainbottleneck.collect.system import SystemSampler
from trainbottleneck.errors import RecordError
from trainbottleneck.model.record import SystemSample
from trainbottleneck.store.samples import NAME, SampleLog, encode, halve, load_samples

pytestmark = pytest.mark.timing


def sample(time_ns: int, processes: int = 1) -> SystemSample:
    readings = {"cpu_s": 0.25, "rss_bytes": 1e6}
    return SystemSample(
        time_ns=time_ns,
        machine={"cores_busy": 1.5, "mem_total_bytes": 4e9},
        processes=dict.fromkeys(range(1, processes + 1), readings),
        devices=({"util_frac": 0.5},),
    )


class Still:
    """Gives the same sample every time, after ``cost_s`` of CPU time."""

    def __init__(self, cost_s: float = 0.0) -> None:
        self.cost_s = cost_s

    def sample(self, time_ns: int) -> SystemSample:
        until = time.thread_time() + self.cost_s
        while time.thread_time() < until:
            pass
        return sample(time_ns)


class Gpus:
    def read(self) -> tuple[dict[str, float], ...]:
        return ({"util_frac": 0.25}, {"util_frac": 0.75})


def wait_for(thread: SamplerThread, samples: int) -> None:
    deadline = time.monotonic() + 20
    while len(thread.samples) < samples and time.monotonic() < deadline:
        time.sleep(0.01)


def test_samples_reach_the_list_and_the_file(tmp_path: Path) -> None:
    thread = SamplerThread(SystemSampler(os.getpid()), tmp_path, Gpus(), period_s=0.02)
    thread.start()
    wait_for(thread, 4)
    thread.stop()
    loaded, problem = load_samples(tmp_path / NAME)
    assert problem is None
    assert len(loaded) == len(thread.samples) >= 4
    assert [s.time_ns for s in loaded] == [s.time_ns for s in thread.samples]
    assert loaded[-1].devices == ({"util_frac": 0.25}, {"util_frac": 0.75})
    assert loaded[-1].processes[os.getpid()]["cpu_s"] == pytest.approx(
        thread.samples[-1].processes[os.getpid()]["cpu_s"], abs=1e-6
    )
    assert thread.cpu_s > 0
    assert thread.failures == []
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0


def test_a_stop_takes_a_last_sample_at_once(tmp_path: Path) -> None:
    thread = SamplerThread(Still(), tmp_path, period_s=60)
    thread.start()
    wait_for(thread, 1)
    thread.stop()
    assert len(thread.samples) == 2


def test_costly_samples_are_taken_less_often(tmp_path: Path) -> None:
    thread = SamplerThread(Still(cost_s=0.01), tmp_path, period_s=0.001)
    thread.start()
    wait_for(thread, 1)
    thread.stop()
    assert thread.period_s >= 0.9  # 10 ms are one per cent of a second


def test_a_full_disk_ends_the_writing_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = SamplerThread(Still(), tmp_path, period_s=0.01)
    real, calls = SampleLog.append, []

    def append(self: SampleLog, given: SystemSample) -> bool:
        calls.append(given)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, given)

    monkeypatch.setattr(SampleLog, "append", append)
    thread.start()
    wait_for(thread, 6)
    thread.stop()
    assert len(thread.samples) >= 6
    assert len(calls) == 3
    assert [failure.collector for failure in thread.failures] == ["system"]
    assert "No space left" in thread.failures[0].reason
    assert len(load_samples(tmp_path / NAME)[0]) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_write_that_fails_half_way_leaves_only_whole_lines(tmp_path: Path) -> None:
    log = SampleLog(tmp_path / NAME)
    log.append(sample(1))
    size = (tmp_path / NAME).stat().st_size
    keep, full = log._fd, os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, keep)
    with pytest.raises(OSError):
        log.append(sample(2))
    log.close()
    os.close(full)
    assert (tmp_path / NAME).stat().st_size == size


def test_a_missing_folder_costs_the_file_and_not_the_samples(tmp_path: Path) -> None:
    thread = SamplerThread(Still(), tmp_path / "none", period_s=0.01)
    thread.start()
    wait_for(thread, 2)
    thread.stop()
    assert len(thread.samples) >= 2
    assert len(thread.failures) == 1


def test_a_sampler_that_raises_ends_the_thread_with_a_reason(tmp_path: Path) -> None:
    class Broken:
        def sample(self, time_ns: int) -> SystemSample:
            raise ZeroDivisionError("broken")

    thread = SamplerThread(Broken(), tmp_path)
    thread.start()
    thread.stop()
    assert "ZeroDivisionError" in thread.failures[0].reason


@pytest.mark.parametrize("limits", [(10, 10**9), (10**9, 2000)], ids=["lines", "bytes"])
def test_the_log_stays_bounded_and_spans_the_whole_run(tmp_path: Path, limits: tuple[int, int]) -> None:
    log = SampleLog(tmp_path / NAME, *limits)
    thinned = sum(log.append(sample(at)) for at in range(1, 400))
    log.close()
    loaded, problem = load_samples(tmp_path / NAME)
    assert problem is None
    assert thinned > 5
    assert len(loaded) <= limits[0]
    assert (tmp_path / NAME).stat().st_size <= limits[1]
    assert loaded[0].time_ns == 1
    assert loaded[-1].time_ns > 380
    assert list(tmp_path.iterdir()) == [tmp_path / NAME]


def test_thinning_doubles_the_period_and_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "_READINGS_KEPT", 50)
    monkeypatch.setattr(sampling, "SampleLog", lambda path: SampleLog(path, most_lines=8))
    thread = SamplerThread(Still(), tmp_path, period_s=0.001)
    thread.start()
    deadline = time.monotonic() + 20
    while thread.period_s < 0.004 and time.monotonic() < deadline:
        time.sleep(0.01)
    thread.stop()
    assert thread.period_s >= 0.004
    assert len(thread.samples) <= 10


def test_halving_keeps_the_last() -> None:
    for count in range(1, 9):
        samples = [sample(at) for at in range(count)]
        assert halve(samples)[-1] is samples[-1]
        assert len(halve(samples)) == (count + 1) // 2


def test_a_log_cut_anywhere_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    lines = [encode(sample(at)) for at in (1, 2, 3)]
    data, path = b"".join(lines), tmp_path / NAME
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        loaded, problem = load_samples(path)
        assert problem is None
        assert len(loaded) == data[:size].count(b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[1]",
        b'{"t": "x"}',
        b'{"t": 1, "m": {"a": "b"}}',
        b'{"t":1,"p":{"x":{}}}',
        b"[" * 99999,
    ],
)
def test_damaged_lines_are_counted_and_skipped(tmp_path: Path, line: bytes) -> None:
    (tmp_path / NAME).write_bytes(encode(sample(1)) + line + b"\n" + encode(sample(2)))
    loaded, problem = load_samples(tmp_path / NAME)
    assert [s.time_ns for s in loaded] == [1, 2]
    assert problem is not None
    assert "1 of 3" in problem


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("log") / NAME
    path.write_bytes(data)
    load_samples(path)


def test_a_log_that_is_not_there_is_a_record_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError):
        load_samples(tmp_path / NAME)


def test_lines_are_json_for_any_reader(tmp_path: Path) -> None:
    read = json.loads(encode(sample(5, processes=2)))
    assert read["t"] == 5
    assert set(read["p"]) == {"1", "2"}
