"""Events at the ends of phases: made and read by the agent on a pretended device, understood by the analysis."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from analyze.records import Loop, process
from hypothesis import given
from hypothesis import strategies as st
from trainbottleneck.agent import device_marks, kinds
from trainbottleneck.agent.device_marks import DeviceMarks
from trainbottleneck.analyze.device_marks import analyse, lag_ns
from trainbottleneck.analyze.timeline import build
from trainbottleneck.analyze.trainer import find_trainers
from trainbottleneck.analyze.values import Values
from trainbottleneck.model.span import Flag, Kind

MS = 1_000_000


class Device:
    """A device that works off its queue; its clock and the host's are moved by hand."""

    def __init__(self) -> None:
        self.now = 0
        self.done = 0  # when everything that was issued is done
        self.capturing = self.broken = False
        self.current = 0
        self.made = 0

    def issue(self, ms: float) -> None:
        self.done = max(self.done, self.now) + round(ms * MS)

    def torch(self) -> Any:
        device = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing
                device.made += 1

            def record(self) -> None:
                if device.broken:
                    raise RuntimeError("CUDA error: an illegal memory access was encountered")
                self.at = max(device.done, device.now)

            def query(self) -> bool:
                assert not device.capturing, "this would spoil the recording of a graph"
                return self.at <= device.now

            def elapsed_time(self, other: Event) -> float:
                assert self.query() and other.query()
                return (other.at - self.at) / MS

        return SimpleNamespace(
            cuda=SimpleNamespace(
                Event=Event,
                is_initialized=lambda: True,
                current_device=lambda: self.current,
                is_current_stream_capturing=lambda: self.capturing,
            )
        )


class Told:
    """What a recorder is told."""

    def __init__(self) -> None:
        self.followed: dict[int, Any] = {}
        self.spans: list[tuple[int, ...]] = []
        self.events: list[dict[str, Any]] = []

    def span(self, *fields: int) -> None:
        self.spans.append(fields)

    def event(self, kind: str, **data: Any) -> None:
        self.events.append(data)

    def marks(self) -> list[tuple[int, bool, int, int]]:
        """Return (phase, whether it stands apart, host ns, device ns) of each mark."""
        found = [span[3:] for span in self.spans if span[0] == kinds.DEVICE]
        return [(flags & 127, bool(flags & kinds.APART), host, ns) for flags, _, host, ns in found]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    monkeypatch.setattr(device_marks, "now", lambda: made.now)
    return made


def begun(device: Device) -> tuple[DeviceMarks, Told]:
    told = Told()
    marks = DeviceMarks(device.torch(), told)  # type: ignore[arg-type]
    marks.look()
    assert set(told.followed) == set(device_marks.PHASES)
    return marks, told


def train(
    device: Device, marks: DeviceMarks, steps: int, host_ms: float = 2.0, device_ms: float = 1.0
) -> None:
    """Take steps of three phases, each of which takes the host and the device so long."""
    for _ in range(steps):
        for phase in device_marks.PHASES:
            device.now += round(host_ms * MS)
            device.issue(device_ms)
            marks.mark(phase, device.now)
        marks.look()


def test_each_phase_of_a_step_is_marked_once_the_device_has_passed_it(device: Device) -> None:
    marks, told = begun(device)
    train(device, marks, 5)
    phases = [phase for phase, _, _, _ in told.marks()]
    # the thread that trains is known from its first backward on
    assert phases[:5] == [kinds.BACKWARD, kinds.OPTIMIZER, kinds.FORWARD, kinds.BACKWARD, kinds.OPTIMIZER]
    assert [apart for _, apart, _, _ in told.marks()].count(True) == 1
    assert device.made < 8  # events are used again
    ns = [each[3] for each in told.marks()]
    assert np.diff(ns).tolist() == [2 * MS] * (len(ns) - 1)  # host-bound: gaps are part of it


def test_a_device_that_lags_is_read_later_and_never_waited_for(device: Device) -> None:
    marks, told = begun(device)
    train(device, marks, 30, host_ms=2.0, device_ms=3.0)
    read = told.marks()
    assert 0 < len(read) < 90
    host, ns = (np.array([each[n] for each in read]) for n in (2, 3))
    assert np.diff(lag_ns(host, ns)).max() == pytest.approx(MS, rel=0.01)


def test_short_steps_are_looked_at_now_and_then(device: Device) -> None:
    marks, told = begun(device)
    train(device, marks, 320, host_ms=0.2, device_ms=0.1)
    assert 100 < len(told.marks()) < 160  # of 960
    assert 8 <= sum(apart for _, apart, _, _ in told.marks()) <= 12  # bursts


def test_nothing_is_made_or_asked_while_a_graph_is_recorded(device: Device) -> None:
    marks, told = begun(device)
    train(device, marks, 3)
    before, device.capturing = device.made, True
    train(device, marks, 3)
    device.capturing = False
    assert device.made == before
    train(device, marks, 3)
    assert sum(apart for _, apart, _, _ in told.marks()) == 2


def test_other_threads_and_other_devices_are_left_alone(device: Device) -> None:
    marks, told = begun(device)
    train(device, marks, 3)
    before = len(told.marks())
    other = threading.Thread(target=lambda: marks.mark(kinds.BACKWARD, device.now))
    other.start()
    other.join()
    device.current = 1
    marks.mark(kinds.BACKWARD, device.now)
    marks.look()
    assert len(told.marks()) == before


def test_the_first_failure_ends_it_and_is_told(device: Device) -> None:
    marks, told = begun(device)
    train(device, marks, 3)
    device.broken = True
    train(device, marks, 3)
    assert marks.off and not told.followed
    assert [event["collector"] for event in told.events] == ["device marks"]


def test_a_device_far_behind_does_not_fill_the_memory(device: Device) -> None:
    marks, _ = begun(device)
    train(device, marks, 400, host_ms=2.0, device_ms=500.0)
    assert device.made <= 260


def test_without_a_gpu_nothing_is_followed() -> None:
    told = Told()
    torch = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: False))
    DeviceMarks(torch, told).look()  # type: ignore[arg-type]
    assert not told.followed and not told.events


@given(
    gaps=st.lists(st.integers(1 * MS, 50 * MS), min_size=4, max_size=60),
    lags=st.lists(st.integers(0, 20 * MS), min_size=60, max_size=60),
    drift=st.floats(-5e-5, 5e-5),
    apart=st.integers(-(10**12), 10**12),
)
def test_lag_is_never_negative_and_zero_where_the_device_caught_up(
    gaps: list[int], lags: list[int], drift: float, apart: int
) -> None:
    host: npt.NDArray[np.int64] = np.cumsum(gaps)
    true = np.array(lags[: len(host)], float)
    true[[0, -1]] = 0.0  # it catches up early and late: then drift and lag can be told apart
    ns = np.round((host + true) * (1 + drift)).astype(np.int64) + apart
    found = lag_ns(host, ns)
    assert found.min() == 0.0
    assert np.abs(found - true).max() <= 0.01 * true.max() + 2 * abs(drift) * host[-1] + 10


def test_one_mark_has_no_lag() -> None:
    assert lag_ns(np.array([5]), np.array([9])).tolist() == [0.0]


def measured(steps: int, lag_ms: float, spoilt: int = -1) -> Values:
    """Return what marks say of steps of 2 + 4 + 1 ms on a device that is ``lag_ms`` late; one of them is spoilt."""
    loop = Loop()
    for step in range(steps):
        loop.fetch(0.001)
        for phase, ms in ((Kind.FORWARD, 2), (Kind.BACKWARD, 4), (Kind.OPTIMIZER, 1)):
            loop.span(phase, ms / 1e3, flags=Flag.TRAINING | Flag.GRAD if phase == Kind.FORWARD else 0)
            late = lag_ms * MS if 2 < step < steps - 2 else 0  # it has caught up at both ends
            apart = Flag.APART if step == spoilt or (step, phase) == (0, Kind.FORWARD) else 0
            loop.span(Kind.DEVICE, 0.0, flags=phase | apart, a=loop.now, b=round(loop.now + late + 7 * MS))
    values = Values()
    (trainer,) = find_trainers((process(loop.rows, names=loop.names),))
    timeline = build(trainer)
    assert timeline is not None
    analyse(timeline, values)
    return values


def test_device_time_by_phase_and_lag_at_the_end_of_updates() -> None:
    values = measured(60, lag_ms=3.0)
    assert values.number("device.lag_s") == pytest.approx(0.003, rel=0.01)
    assert values.number("device.backward_s") == pytest.approx(0.004, rel=0.01)
    assert values.number("device.optimizer_s") == pytest.approx(0.001, rel=0.01)
    assert values.number("device.forward_s") == pytest.approx(
        0.003, rel=0.03
    )  # the wait for the batch before it
    assert values.number("device.update_s") == pytest.approx(0.008, rel=0.01)


def test_updates_that_were_not_marked_throughout_do_not_count() -> None:
    whole, less = (measured(60, 0.0, spoilt).build().values_by_id["device.update_s"] for spoilt in (-1, 30))
    assert less.samples == whole.samples - 1 and less.value == pytest.approx(whole.value)


def test_too_few_marks_say_nothing() -> None:
    assert "no GPU told" in measured(6, 0.0).build().missing["device.lag_s"]
