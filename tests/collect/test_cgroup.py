"""The limit that applies is found under both versions of control groups, and inside containers."""

from pathlib import Path

import pytest
from trainbottleneck.collect.cgroup import Cgroup, usable_cores

PID = 7


def machine(root: Path, mountinfo: str, cgroup: str, files: dict[str, str]) -> Path:
    """Lay out /proc and /sys/fs/cgroup below ``root``."""
    content = {"proc/self/mountinfo": mountinfo, f"proc/{PID}/cgroup": cgroup, **files}
    for name, text in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = "30 20 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = (
    "33 31 0:30 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    base = "sys/fs/cgroup"
    return machine(
        tmp_path,
        V2,
        "0::/pod/job\n",
        {
            f"{base}/pod/memory.max": "4000000\n",
            f"{base}/pod/memory.current": "3000000\n",
            f"{base}/pod/memory.stat": "anon 1\ninactive_file 500000\n",
            f"{base}/pod/job/memory.max": "max\n",
            f"{base}/pod/cpu.max": "150000 100000\n",
            f"{base}/pod/cpu.stat": "usage_usec 1\nnr_throttled 4\nthrottled_usec 2500000\n",
            f"{base}/pod/job/cpu.max": "max 100000\n",
        },
    )


def test_the_limit_of_a_group_above_applies(v2: Path) -> None:
    group = Cgroup.of(PID, v2)
    limit, folder = group.memory_limit() or (0.0, Path())
    assert (limit, folder.name) == (4_000_000, "pod")
    quota, folder = group.cpu_quota() or (0.0, Path())
    assert (quota, folder.name) == (1.5, "pod")


def test_readings_tell_use_without_cache_and_throttling(v2: Path) -> None:
    readings = Cgroup.of(PID, v2).readings({"mem_total_bytes": 1e9})
    assert readings == {
        "throttled_s": 2.5,
        "nr_throttled": 4.0,
        "mem_limit_bytes": 4_000_000.0,
        "mem_used_bytes": 2_500_000.0,
    }


def test_a_limit_beyond_the_machines_memory_is_none(v2: Path) -> None:
    assert "mem_limit_bytes" not in Cgroup.of(PID, v2).readings({"mem_total_bytes": 1e6})


@pytest.mark.parametrize(
    ("top", "path"),
    [("/", "/docker/abc"), ("/docker/abc", "/docker/abc")],
    ids=["seen from the host", "seen from inside"],
)
def test_version_one(tmp_path: Path, top: str, path: str) -> None:
    inside = "docker/abc/" if top == "/" else ""
    cpu, memory = f"sys/fs/cgroup/cpu,cpuacct/{inside}", f"sys/fs/cgroup/memory/{inside}"
    root = machine(
        tmp_path,
        V1.format(top=top),
        f"4:memory:{path}\n3:cpu,cpuacct:{path}\n0::/\n",
        {
            f"{cpu}cpu.cfs_quota_us": "200000\n",
            f"{cpu}cpu.cfs_period_us": "100000\n",
            f"{cpu}cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 1500000000\n",
            f"{memory}memory.limit_in_bytes": "8000000\n",
            f"{memory}memory.usage_in_bytes": "5000000\n",
            f"{memory}memory.stat": "inactive_file 1\ntotal_inactive_file 1000000\n",
        },
    )
    group = Cgroup.of(PID, root)
    assert (group.cpu_quota() or (0.0,))[0] == 2.0
    assert group.readings({"mem_total_bytes": 1e9}) == {
        "throttled_s": 1.5,
        "nr_throttled": 3.0,
        "mem_limit_bytes": 8_000_000.0,
        "mem_used_bytes": 4_000_000.0,
    }


def test_no_limit_is_no_limit_in_both_versions(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        V1.format(top="/"),
        "4:memory:/\n3:cpu,cpuacct:/\n",
        {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    group = Cgroup.of(PID, root)
    assert group.memory_limit() is None
    assert group.cpu_quota() is None
    assert group.throttling() == {"throttled_s": 0.0, "nr_throttled": 0.0}


@pytest.mark.parametrize("text", ["", "garbage", "a:b\n::\n0::/../../etc\n", "9:memory:/none\n"])
def test_damaged_files_mean_no_limit(tmp_path: Path, text: str) -> None:
    group = Cgroup.of(PID, machine(tmp_path, text + V2, text, {"sys/fs/cgroup/cpu.max": "x\n"}))
    assert group.memory_limit() is None
    assert group.cpu_quota() is None


def test_usable_cores_is_the_least_of_affinity_and_quota(v2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert usable_cores(PID, v2) == 1.5
    (v2 / "sys/fs/cgroup/pod/cpu.max").write_text("max 100000\n")
    assert usable_cores(PID, v2) == 8.0
