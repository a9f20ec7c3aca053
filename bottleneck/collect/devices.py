"""NVIDIA GPUs as NVML sees them, or the reason why there is nothing to see."""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# A driver in trouble can hang in nvmlInit for good; a healthy one answers in well under a second.
INIT_S = 2.0
# The PCIe counters are measured over 20 ms during which the call blocks: ask for them seldom.
PCIE_S = 5.0
# One read of one GPU is some 100 microseconds. Over this the driver is in trouble: stop asking it.
_SLOW_READ_S = 2.0

_THERMAL = 0x0000_0020 | 0x0000_0040  # software and hardware thermal slowdown
# Power cap by software, hardware slowdown (of which thermal is told apart above), power brake.
_POWER = 0x0000_0004 | 0x0000_0080
_HW_SLOWDOWN = 0x0000_0008
_MHZ = 1e6


def _text(value: object) -> str:
    """Return NVML's text; older bindings give bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class DeviceReader:
    """Reads the GPUs that the training can see.

    Attributes:
        reason: Why there is nothing to read, one clause; "" where there are GPUs.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, init_s: float = INIT_S) -> None:
        """Load NVML in at most ``init_s`` seconds; ``environ`` is the training's environment."""
        self.reason = ""
        self._handles: list[Any] = []
        self._nvml: Any = None
        self._pcie_time = 0.0
        self._pcie: list[dict[str, float]] = []
        try:
            self._nvml = importlib.import_module("pynvml")
        except ImportError:
            self.reason = "the Python package nvidia-ml-py is not installed"
        except Exception as error:  # a broken installation is as good as none
            self.reason = f"pynvml can't be imported: {type(error).__name__}: {str(error)[:200]}"
        else:
            self._open(os.environ if environ is None else environ, init_s)

    def _open(self, environ: Mapping[str, str], init_s: float) -> None:
        outcome: list[BaseException | list[Any]] = []

        def init() -> None:
            try:
                self._nvml.nvmlInit()
                count = int(self._nvml.nvmlDeviceGetCount())
                outcome.append([self._nvml.nvmlDeviceGetHandleByIndex(at) for at in range(count)])
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=init, name="bottleneck-nvml", daemon=True)
        thread.start()
        thread.join(init_s)
        if not outcome:
            self.reason = f"the NVIDIA driver did not answer within {init_s:g} s"
        elif isinstance(outcome[0], BaseException):
            self.reason = _explain(outcome[0])
        else:
            self._handles = self._visible(outcome[0], environ.get("CUDA_VISIBLE_DEVICES"))
            if not self._handles:
                none = not outcome[0]
                self.reason = "no NVIDIA GPU" if none else "CUDA_VISIBLE_DEVICES hides every GPU"

    def _visible(self, handles: Sequence[Any], wanted: str | None) -> list[Any]:
        """Return the handles that CUDA_VISIBLE_DEVICES names, in its order.

        Numbers are taken as NVML's (CUDA_DEVICE_ORDER=PCI_BUS_ID); without that setting they can
        differ on machines with unlike GPUs. As in CUDA, the list ends at the first entry that is none.
        """
        if wanted is None:
            return list(handles)
        chosen: list[Any] = []
        for entry in (part.strip() for part in wanted.split(",")):
            if entry.isdecimal() and int(entry) < len(handles):
                chosen.append(handles[int(entry)])
                continue
            match = [h for h in handles if entry.startswith("GPU-") and self._uuid(h).startswith(entry)]
            if entry.startswith("MIG-"):
                return list(handles)  # a slice of a GPU: NVML's readings are of the whole one
            if len(match) != 1:
                break
            chosen.append(match[0])
        return chosen

    def _uuid(self, handle: Any) -> str:
        uuid = self._ask("nvmlDeviceGetUUID", handle)
        return "" if uuid is None else _text(uuid)

    def _ask(self, function: str, *arguments: Any) -> Any:
        """Return what NVML answers, or None where it does not support the question."""
        try:
            return getattr(self._nvml, function)(*arguments)
        except Exception:  # NVMLError of any kind, or a function that this binding does not have
            return None

    def _constant(self, name: str, default: int) -> int:
        return int(getattr(self._nvml, name, default))

    def read(self) -> tuple[Mapping[str, float], ...]:
        """Return the readings of each visible GPU; what a GPU does not support is left out.

        ``util_frac`` and ``mem_util_frac`` (share of time with a kernel running, with memory traffic),
        ``mem_used_bytes``, ``mem_total_bytes``, ``power_w``, ``sm_clock_hz``, ``max_sm_clock_hz``,
        ``temperature_c``, ``throttle_thermal``, ``throttle_power`` (0 or 1), and at most every 5 s
        anew ``pcie_tx_bytes_per_s``, ``pcie_rx_bytes_per_s``. Never raises.
        """
        if not self._handles:
            return ()
        started = time.monotonic()
        try:
            if started - self._pcie_time >= PCIE_S or not self._pcie:
                self._pcie = [self._traffic(handle) for handle in self._handles]
                self._pcie_time = started
            found = tuple(
                {**self._read_one(handle), **traffic}
                for handle, traffic in zip(self._handles, self._pcie, strict=True)
            )
        except Exception as error:  # a value of another type than documented
            self._close(f"NVML gave what can't be read: {type(error).__name__}")
            return ()
        # 20 ms per direction and GPU are the counters' own
        if time.monotonic() - started > _SLOW_READ_S + 0.05 * len(self._handles):
            self._close("the NVIDIA driver answers too slowly")
        return found

    def _close(self, reason: str) -> None:
        self.reason = reason
        self._handles = []

    def _read_one(self, handle: Any) -> dict[str, float]:
        found: dict[str, float] = {}
        use = self._ask("nvmlDeviceGetUtilizationRates", handle)
        if use is not None:
            found.update(util_frac=use.gpu / 100.0, mem_util_frac=use.memory / 100.0)
        memory = self._ask("nvmlDeviceGetMemoryInfo", handle)
        if memory is not None:
            found.update(mem_used_bytes=float(memory.used), mem_total_bytes=float(memory.total))
        sm = self._constant("NVML_CLOCK_SM", 1)
        core = self._constant("NVML_TEMPERATURE_GPU", 0)
        self._put(found, "power_w", 1e-3, "nvmlDeviceGetPowerUsage", handle)
        self._put(found, "sm_clock_hz", _MHZ, "nvmlDeviceGetClockInfo", handle, sm)
        self._put(found, "max_sm_clock_hz", _MHZ, "nvmlDeviceGetMaxClockInfo", handle, sm)
        self._put(found, "temperature_c", 1.0, "nvmlDeviceGetTemperature", handle, core)
        found.update(self._throttling(handle))
        return found

    def _put(self, found: dict[str, float], name: str, scale: float, function: str, *arguments: Any) -> None:
        value = self._ask(function, *arguments)
        if value is not None:
            found[name] = float(value) * scale

    def _throttling(self, handle: Any) -> dict[str, float]:
        reasons = None
        # The name changed with driver 535; the old one is gone from some bindings.
        for function in (
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",
        ):
            reasons = self._ask(function, handle) if reasons is None else reasons
        if reasons is None:
            return {}
        bits = int(reasons)
        thermal = bool(bits & _THERMAL)
        # Hardware slowdown without a thermal reason is the power supply.
        power = bool(bits & _POWER) or (bool(bits & _HW_SLOWDOWN) and not thermal)
        return {"throttle_thermal": float(thermal), "throttle_power": float(power)}

    def _traffic(self, handle: Any) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, counter, default in (
            ("pcie_tx_bytes_per_s", "NVML_PCIE_UTIL_TX_BYTES", 0),
            ("pcie_rx_bytes_per_s", "NVML_PCIE_UTIL_RX_BYTES", 1),
        ):
            which = self._constant(counter, default)
            self._put(found, name, 1024.0, "nvmlDeviceGetPcieThroughput", handle, which)  # KiB per second
        return found

    def static(self) -> dict[str, Any]:
        """Return what does not change: ``driver``, and for each GPU ``name``, memory and largest clock."""
        if not self._handles:
            return {"reason": self.reason, "devices": []}
        driver = self._ask("nvmlSystemGetDriverVersion")
        return {
            "driver": None if driver is None else _text(driver),
            "devices": [self._static_one(handle) for handle in self._handles],
        }

    def _static_one(self, handle: Any) -> dict[str, Any]:
        name = self._ask("nvmlDeviceGetName", handle)
        memory = self._ask("nvmlDeviceGetMemoryInfo", handle)
        found: dict[str, Any] = {"name": None if name is None else _text(name)[:200]}
        if memory is not None:
            found["mem_total_bytes"] = float(memory.total)
        sm = self._constant("NVML_CLOCK_SM", 1)
        self._put(found, "max_sm_clock_hz", _MHZ, "nvmlDeviceGetMaxClockInfo", handle, sm)
        self._put(found, "power_limit_w", 1e-3, "nvmlDeviceGetEnforcedPowerLimit", handle)
        return found


_REASONS: tuple[tuple[Callable[[str], bool], str], ...] = (
    (
        lambda text: "mismatch" in text,
        "driver and library of NVIDIA differ in version (usually until the next reboot)",
    ),
    (
        lambda text: "librarynotfound" in text or ("shared library" in text and "not found" in text),
        "no NVIDIA driver",
    ),
    (lambda text: "driver" in text and "not loaded" in text, "the NVIDIA driver is not loaded"),
    (lambda text: "permission" in text, "no permission to use the NVIDIA driver"),
)


def _explain(error: BaseException) -> str:
    """Return one clause for why NVML could not be opened."""
    text = f"{type(error).__name__} {error}".lower()
    for matches, reason in _REASONS:
        if matches(text):
            return reason
    return f"NVML could not be opened: {str(error)[:200] or type(error).__name__}"
