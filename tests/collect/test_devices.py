"""GPU readings through NVML, with a module that stands in for it."""

import sys
import threading
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from trainbottleneck.collect.devices import DeviceReader


class NVMLError(Exception):
    """Stands in for every error of NVML."""


class FakeNvml(ModuleType):
    """Two GPUs; ``unsupported`` names the functions that raise."""

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.unsupported: set[str] = set()
        self.reasons = 0
        self.pcie_calls = 0
        self.clock = {0: 1400, 1: 700}

    def _check(self, name: str) -> None:
        if name in self.unsupported:
            raise NVMLError("Not Supported")

    def nvmlInit(self) -> None:
        self._check("nvmlInit")

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> bytes:
        return f"GPU-{handle}bcd".encode()

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"Fake GPU"

    def nvmlSystemGetDriverVersion(self) -> str:
        return "550.1"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        self._check("nvmlDeviceGetUtilizationRates")
        return SimpleNamespace(gpu=75, memory=20)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(used=3 << 30, total=8 << 30)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        self._check("nvmlDeviceGetPowerUsage")
        return 250_000

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:
        return self.clock[handle]

    def nvmlDeviceGetMaxClockInfo(self, handle: int, kind: int) -> int:
        return 1500

    def nvmlDeviceGetTemperature(self, handle: int, kind: int) -> int:
        return 66

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: int) -> int:
        return self.reasons

    def nvmlDeviceGetPcieThroughput(self, handle: int, counter: int) -> int:
        self.pcie_calls += 1
        return 1000 + counter


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_every_reading_is_in_base_units(nvml: FakeNvml) -> None:
    reader = DeviceReader({})
    first, second = reader.read()
    assert reader.reason == ""
    assert first == {
        "util_frac": 0.75,
        "mem_util_frac": 0.2,
        "mem_used_bytes": float(3 << 30),
        "mem_total_bytes": float(8 << 30),
        "power_w": 250.0,
        "sm_clock_hz": 1.4e9,
        "max_sm_clock_hz": 1.5e9,
        "temperature_c": 66.0,
        "throttle_thermal": 0.0,
        "throttle_power": 0.0,
        "pcie_tx_bytes_per_s": 1000 * 1024.0,
        "pcie_rx_bytes_per_s": 1001 * 1024.0,
    }
    assert second["sm_clock_hz"] == 0.7e9


def test_a_field_that_is_not_supported_is_left_out_and_the_rest_stays(nvml: FakeNvml) -> None:
    nvml.unsupported = {"nvmlDeviceGetPowerUsage", "nvmlDeviceGetUtilizationRates"}
    found = DeviceReader({}).read()[0]
    assert not {"power_w", "util_frac", "mem_util_frac"} & set(found)
    assert found["temperature_c"] == 66.0


def test_a_binding_without_the_new_name_is_asked_by_the_old_one(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(FakeNvml, "nvmlDeviceGetCurrentClocksEventReasons")
    assert "throttle_power" not in DeviceReader({}).read()[0]
    nvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda handle: 0x4  # type: ignore[attr-defined]
    assert DeviceReader({}).read()[0]["throttle_power"] == 1.0


@pytest.mark.parametrize(
    ("bits", "thermal", "power"),
    [(0x0, 0, 0), (0x1, 0, 0), (0x20, 1, 0), (0x48, 1, 0), (0x4, 0, 1), (0x88, 0, 1), (0x24, 1, 1)],
)
def test_the_reasons_for_a_low_clock_are_told_apart(
    nvml: FakeNvml, bits: int, thermal: int, power: int
) -> None:
    nvml.reasons = bits
    found = DeviceReader({}).read()[0]
    assert (found["throttle_thermal"], found["throttle_power"]) == (thermal, power)


def test_pcie_counters_are_asked_seldom(nvml: FakeNvml) -> None:
    reader = DeviceReader({})
    for _ in range(5):
        assert "pcie_rx_bytes_per_s" in reader.read()[1]
    assert nvml.pcie_calls == 4  # two GPUs, two directions, once


@pytest.mark.parametrize(
    ("visible", "clocks"),
    [("1", [0.7e9]), ("1,0", [0.7e9, 1.4e9]), ("GPU-1b", [0.7e9]), ("0,-1,1", [1.4e9]), ("", [])],
)
def test_only_visible_gpus_are_read_in_their_order(nvml: FakeNvml, visible: str, clocks: list[float]) -> None:
    reader = DeviceReader({"CUDA_VISIBLE_DEVICES": visible})
    assert [device["sm_clock_hz"] for device in reader.read()] == clocks
    assert bool(reader.reason) == (not clocks)


def test_without_the_package_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    reader = DeviceReader({})
    assert "nvidia-ml-py" in reader.reason
    assert reader.read() == ()
    assert reader.static()["devices"] == []


def test_a_package_that_breaks_on_import_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("broken build")

    monkeypatch.setattr("importlib.import_module", fail)
    assert "RuntimeError" in DeviceReader({}).reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Driver/library version mismatch", "differ in version"),
        ("NVML Shared Library Not Found", "no NVIDIA driver"),
        ("Driver Not Loaded", "not loaded"),
        ("Insufficient Permissions", "permission"),
        ("something new", "something new"),
    ],
)
def test_a_driver_that_refuses_gives_its_reason(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, message: str, reason: str
) -> None:
    def refuse(self: FakeNvml) -> None:
        raise NVMLError(message)

    monkeypatch.setattr(FakeNvml, "nvmlInit", refuse)
    reader = DeviceReader({})
    assert reason in reader.reason
    assert reader.read() == ()


def test_a_driver_that_hangs_is_given_up(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(FakeNvml, "nvmlInit", lambda self: release.wait(20))
    started = time.monotonic()
    reader = DeviceReader({}, init_s=0.2)
    release.set()
    assert "did not answer" in reader.reason
    assert time.monotonic() - started < 10  # it waits for 20
    assert reader.read() == ()


def test_a_value_of_another_type_ends_the_readings_with_a_reason(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeNvml, "nvmlDeviceGetTemperature", lambda self, handle, kind: "hot")
    reader = DeviceReader({})
    assert reader.read() == ()
    assert "can't be read" in reader.reason


def test_static_facts(nvml: FakeNvml) -> None:
    static = DeviceReader({}).static()
    assert static["driver"] == "550.1"
    expected = {"name": "Fake GPU", "mem_total_bytes": float(8 << 30), "max_sm_clock_hz": 1.5e9}
    assert static["devices"] == [expected, expected]
