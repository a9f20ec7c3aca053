"""Facts about the machine and the interpreter that a reader of the report needs."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from .cgroup import Cgroup, usable_cores
from .redact import redact_text

__all__ = ["describe", "interpreter", "library_paths", "usable_cores"]

# Settings that change speed. Values of these names only are recorded: never one that can hold a secret.
SPEED_VARIABLES = frozenset(
    {
        "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES", "OMP_SCHEDULE", "OMP_DYNAMIC", "OMP_WAIT_POLICY",
        "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "KMP_BLOCKTIME", "KMP_SETTINGS", "MKL_NUM_THREADS",
        "MKL_DYNAMIC", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
        "BLIS_NUM_THREADS", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "MALLOC_ARENA_MAX", "MALLOC_CONF",
        "MALLOC_TRIM_THRESHOLD_", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING",
        "CUDA_DEVICE_MAX_CONNECTIONS", "CUDA_MODULE_LOADING", "CUBLAS_WORKSPACE_CONFIG",
        "CUDNN_LOGINFO_DBG", "NVIDIA_TF32_OVERRIDE", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF",
        "PYTORCH_NO_CUDA_MEMORY_CACHING", "PYTORCH_ENABLE_MPS_FALLBACK",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_CUDNN_V8_API_DISABLED",
        "TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT", "TORCH_BLAS_PREFER_CUBLASLT", "TORCH_CPP_LOG_LEVEL",
        "TORCH_DISTRIBUTED_DEBUG", "TORCH_SHOW_CPP_STACKTRACES", "TORCH_COMPILE_DISABLE",
        "TORCHDYNAMO_DISABLE", "TORCHDYNAMO_VERBOSE", "TORCH_COMPILE_DEBUG", "TORCHINDUCTOR_MAX_AUTOTUNE",
        "TORCHINDUCTOR_FX_GRAPH_CACHE", "TORCHINDUCTOR_COMPILE_THREADS", "TORCHINDUCTOR_FREEZING",
        "TORCH_NCCL_BLOCKING_WAIT", "TORCH_NCCL_ASYNC_ERROR_HANDLING", "TORCH_NCCL_ENABLE_TIMING",
        "TORCH_NCCL_AVOID_RECORD_STREAMS", "TORCH_NCCL_HIGH_PRIORITY", "NCCL_DEBUG", "NCCL_P2P_DISABLE",
        "NCCL_P2P_LEVEL", "NCCL_SHM_DISABLE", "NCCL_IB_DISABLE", "NCCL_NET_GDR_LEVEL", "NCCL_ALGO",
        "NCCL_PROTO", "NCCL_NTHREADS", "NCCL_NSOCKS_PERTHREAD", "NCCL_SOCKET_NTHREADS", "NCCL_BUFFSIZE",
        "NCCL_MIN_NCHANNELS", "NCCL_MAX_NCHANNELS", "NCCL_CROSS_NIC", "NCCL_NVLS_ENABLE",
        "NCCL_CUMEM_ENABLE", "GLOO_DEVICE_TRANSPORT", "TOKENIZERS_PARALLELISM", "PYTHONUNBUFFERED",
        "PYTHONMALLOC", "PYTHONOPTIMIZE", "PYTHONDEVMODE", "PYTHONFAULTHANDLER", "PYTHONGIL", "WORLD_SIZE",
        "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK", "SLURM_CPUS_PER_TASK", "SLURM_NTASKS",
        "SLURM_CPUS_ON_NODE",
    }
)  # fmt: skip

_ASK = """
import json, multiprocessing, platform, site, sys, sysconfig
paths = sysconfig.get_paths()
packages = {paths[k] for k in ("stdlib", "platstdlib", "purelib", "platlib") if k in paths}
packages |= {*site.getsitepackages(), site.getusersitepackages()}
gil = getattr(sys, "_is_gil_enabled", lambda: True)()
print(json.dumps({
    "version": platform.python_version(), "implementation": platform.python_implementation(),
    "start_method": multiprocessing.get_start_method(True) or multiprocessing.get_all_start_methods()[0],
    "gil": bool(gil), "executable": sys.executable,
    "library_paths": sorted(packages),
}))
"""
# A cold interpreter on a network file system takes seconds to start.
_ASK_S = 20.0


def interpreter(python: Path | None = None) -> dict[str, Any]:
    """Return facts about an interpreter (None: this one); {"reason": ...} where it can't be asked.

    ``version``, ``implementation``, ``start_method`` (multiprocessing's default), ``gil``,
    ``executable``, ``library_paths`` (folders of its standard library and packages).
    """
    try:
        # -I: nothing of the current folder or the environment takes part
        done = subprocess.run(
            [str(python or sys.executable), "-I", "-c", _ASK],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_S, check=True,
        )  # fmt: skip
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return {"reason": f"{python or sys.executable} can't be asked: {type(error).__name__}"}
    return found if isinstance(found, dict) else {"reason": f"{python} is no Python"}


def library_paths(python: Path | None = None) -> tuple[str, ...]:
    """Return the folders of an interpreter's standard library and packages; () where it can't be asked.

    Folders of PYTHONPATH that pip installed into (``--target``) are packages too, others the user's own code.
    """
    told = [str(path) for path in interpreter(python).get("library_paths", ())]
    more = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return (*told, *(entry for entry in more if any(Path(entry).glob("*.dist-info"))))


def speed_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the named allow-list, redacted and cut all the same."""
    return {name: redact_text(environ[name])[:200] for name in sorted(SPEED_VARIABLES & set(environ))}


def describe(python: Path | None = None, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the facts as plain JSON values; what can't be found out is None or left out.

    Keys: ``cpu``, ``memory``, ``os``, ``container``, ``python``, ``disk``, ``pressure``, ``variables``.
    Sizes in bytes. ``python`` is the interpreter that trains, None this one.
    """
    asked = interpreter(python)
    asked.pop("executable", None)  # a path under the user's home tells more about them than about speed
    asked.pop("library_paths", None)
    return {
        "cpu": _cpu(),
        "memory": _memory(),
        "os": {"system": platform.system(), "kernel": platform.release(), "name": _os_name()},
        "container": container(),
        "python": asked,
        "disk": {"cwd": filesystem(Path.cwd()), "shm_bytes": _size_of("/dev/shm")},
        "pressure": Path("/proc/pressure/cpu").exists(),
        "variables": speed_variables(os.environ if environ is None else environ),
    }


def _read(path: str, limit: int = 65536) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _cpu() -> dict[str, Any]:
    quota = Cgroup.of(os.getpid()).cpu_quota()
    model = re.search(r"(?m)^(?:model name|Hardware|Model)\s*:\s*(.+)$", _read("/proc/cpuinfo"))
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()
    return {
        "model": (model[1].strip() if model else platform.processor() or platform.machine())[:200],
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "physical_cores": psutil.cpu_count(logical=False),
        "usable_cores": usable_cores(),
        "quota_cores": quota[0] if quota else None,
        "governor": governor or None,
    }


def _memory() -> dict[str, Any]:
    total = float(psutil.virtual_memory().total)
    limit = Cgroup.of(os.getpid()).memory_limit()
    try:
        swap = float(psutil.swap_memory().total)
    except (OSError, RuntimeError):
        swap = 0.0
    return {
        "total_bytes": total,
        "limit_bytes": limit[0] if limit and limit[0] < total else None,
        "swap_bytes": swap,
    }


def _os_name() -> str:
    name = re.search(r'(?m)^PRETTY_NAME="?([^"\n]*)', _read("/etc/os-release"))
    return name[1][:100] if name else platform.platform(terse=True)


def container() -> str | None:
    """Return what kind of container this is, as far as it shows, or None."""
    groups = _read("/proc/1/cgroup")
    hints = (
        ("kubernetes", "KUBERNETES_SERVICE_HOST" in os.environ or "kubepods" in groups),
        ("docker", Path("/.dockerenv").exists() or "docker" in groups),
        ("podman", Path("/run/.containerenv").exists() or "libpod" in groups),
        ("apptainer", "APPTAINER_CONTAINER" in os.environ or "SINGULARITY_CONTAINER" in os.environ),
        ("lxc", "lxc" in groups),
        ("wsl", "microsoft" in platform.release().lower()),
    )
    return next((name for name, present in hints if present), None)


def filesystem(path: Path) -> str | None:
    """Return the type of the file system that holds ``path`` ("ext4", "nfs4", "overlay"), or None."""
    target = os.path.realpath(path)
    best, kind = "", None
    for line in _read("/proc/self/mountinfo", 1 << 20).splitlines():
        left, _, right = line.partition(" - ")
        fields, after = left.split(), right.split()
        if len(fields) < 5 or not after:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # the last of two mounts on one point hides the first
            best, kind = point, after[0]
    return kind


def _size_of(path: str) -> float | None:
    try:
        return float(psutil.disk_usage(path).total)
    except OSError:
        return None
