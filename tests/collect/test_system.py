"""The machine and a tree of processes, sampled from outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainbottleneck.collect.proc_machine import cpu_times, cpu_use
from trainbottleneck.collect.procfs import parse_stat
from trainbottleneck.collect.system import SystemSampler

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
Start = Callable[[str], subprocess.Popen[str]]

MACHINE = {
    "cores_busy", "core_max_frac", "steal_frac", "mem_total_bytes", "mem_available_bytes", "mem_limit_bytes",
    "mem_used_bytes", "swap_in_bytes", "swap_out_bytes", "disk_read_bytes", "disk_write_bytes", "net_bytes",
}  # fmt: skip
PROCESS = {
    "cpu_s", "ended_cpu_s", "rss_bytes", "minor_faults", "major_faults", "read_bytes", "rchar_bytes", "write_bytes",
    "voluntary_switches", "involuntary_switches", "threads", "run_queue_s", "ppid",
}  # fmt: skip

TREE = """
    import os, sys, time
    children = []
    for work in (True, False):
        pid = os.fork()
        if pid == 0:
            while work: sum(range(1000))
            time.sleep(60)
        children.append(pid)
    print(*children, flush=True)
    sys.stdin.readline()
    os.kill(children[0], 9)     # stays a zombie: nobody waits for it
    print("killed", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Start small Python programs; all of them are gone afterwards."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(code)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def words(process: subprocess.Popen[str]) -> list[str]:
    """Return the next line that the program prints, as words."""
    assert process.stdout is not None
    return process.stdout.readline().split()


def go_on(process: subprocess.Popen[str]) -> None:
    """Let the program pass its next readline."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def sample_until(
    sampler: SystemSampler, pid: int, met: Callable[[Mapping[str, float]], bool]
) -> Mapping[str, float]:
    """Return the readings of ``pid`` once they meet a condition: a signal or an exec takes its time."""
    deadline = time.monotonic() + 10
    while True:
        sampler.refresh()
        readings = sampler.sample(1).processes[pid]
        if met(readings):
            return readings
        assert time.monotonic() < deadline, readings
        time.sleep(0.02)


@linux
def test_every_reading_of_the_contract_is_there_and_is_a_float(start: Start) -> None:
    process = start(TREE)
    words(process)
    sampler = SystemSampler(process.pid)
    sampler.sample(1)
    time.sleep(0.2)  # several clock ticks, so that shares of CPU time exist
    sample = sampler.sample(2)
    assert sample.time_ns == 2
    assert set(sample.machine) >= MACHINE
    readings = sample.processes[process.pid]
    # a kernel built without task accounting has no io or schedstat
    missing = PROCESS - set(readings)
    assert all(not Path(f"/proc/self/{name}").exists() for name in missing) or not missing
    assert {
        type(value) for part in (sample.machine, *sample.processes.values()) for value in part.values()
    } == {float}
    assert 0 <= sample.machine["core_max_frac"] <= 1
    assert 0 <= sample.machine["mem_used_bytes"] <= sample.machine["mem_limit_bytes"]


@pytest.mark.parametrize("portable", [pytest.param(False, marks=linux), True], ids=["proc", "psutil"])
def test_children_are_found_and_the_busy_one_is_told_from_the_sleeping_one(
    start: Start, portable: bool
) -> None:
    process = start(TREE)
    busy, asleep = map(int, words(process))
    sampler = SystemSampler(process.pid, portable=portable)
    before = sampler.sample(1).processes
    time.sleep(0.5)
    after = sampler.sample(2).processes
    assert set(after) == {process.pid, busy, asleep}
    assert after[busy]["ppid"] == after[asleep]["ppid"] == process.pid
    used = {pid: after[pid]["cpu_s"] - before[pid]["cpu_s"] for pid in (busy, asleep)}
    assert used[busy] > 0.02
    assert used[asleep] < used[busy] / 4


@pytest.mark.parametrize("portable", [pytest.param(False, marks=linux), True], ids=["proc", "psutil"])
def test_what_ended_keeps_its_totals_and_loses_its_memory(start: Start, portable: bool) -> None:
    process = start(TREE)
    busy, _ = map(int, words(process))
    sampler = SystemSampler(process.pid, portable=portable)
    time.sleep(0.3)  # several clock ticks
    last = sampler.sample(1).processes[busy]
    go_on(process)
    words(process)
    for _ in range(2):  # the zombie is still listed: it neither comes back nor counts twice
        ended = sample_until(sampler, busy, lambda readings: "rss_bytes" not in readings)
        assert ended["cpu_s"] >= last["cpu_s"] > 0
    process.kill()
    process.wait()
    assert "cpu_s" in sampler.sample(4).processes[process.pid]
    sampler.close()


@linux
def test_a_child_started_later_is_found_on_request(start: Start) -> None:
    process = start("""
        import subprocess, sys
        print("up", flush=True)
        sys.stdin.readline()
        child = subprocess.Popen(["sleep", "60"])   # not a Python process
        print(child.pid, flush=True)
        sys.stdin.readline()
    """)
    words(process)
    sampler = SystemSampler(process.pid)
    sampler.sample(1)
    go_on(process)
    child = int(words(process)[0])
    assert child not in sampler.sample(2).processes
    sample_until(sampler, child, lambda readings: readings["rss_bytes"] > 0)
    described = {entry["pid"]: entry for entry in sampler.describe_tree()}
    assert described[process.pid]["python"] is True
    assert (described[child]["python"], described[child]["ppid"]) == (False, process.pid)


def test_secrets_do_not_show_in_the_description(start: Start) -> None:
    process = start("import sys; print('up', flush=True); sys.stdin.readline()  # --token=SECRETSECRET")
    words(process)
    described = SystemSampler(process.pid).describe_tree()
    assert described
    assert "SECRETSECRET" not in json.dumps(described)


@pytest.mark.parametrize("portable", [False, True])
def test_a_process_that_never_was_gives_the_machine_alone(portable: bool) -> None:
    sampler = SystemSampler(2**22 + 1, portable=portable)
    sample = sampler.sample(1)
    assert sample.processes == {}
    assert sample.machine["mem_total_bytes"] > 0
    assert sampler.describe_tree() == []


@linux
def test_bytes_read_and_faults_are_counted_for_the_process_that_caused_them(
    start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 3_000_000)
    process = start(f"""
        import sys
        print("up", flush=True); sys.stdin.readline()
        data = open({str(path)!r}, "rb").read() + bytes(20_000_000)
        print(len(data), flush=True); sys.stdin.readline()
    """)
    words(process)
    sampler = SystemSampler(process.pid)
    before = sampler.sample(1).processes[process.pid]
    go_on(process)
    words(process)
    after = sampler.sample(2).processes[process.pid]
    assert after["rchar_bytes"] - before["rchar_bytes"] >= 3_000_000
    assert after["rss_bytes"] - before["rss_bytes"] >= 10_000_000
    assert after["minor_faults"] > before["minor_faults"]


def test_both_sources_agree(start: Start) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    process = start("import sys; sum(range(10**6)); print('up', flush=True); sys.stdin.readline()")
    words(process)
    proc = SystemSampler(process.pid).sample(1)
    portable = SystemSampler(process.pid, portable=True).sample(1)
    one, other = proc.processes[process.pid], portable.processes[process.pid]
    assert (one["ppid"], one["threads"]) == (other["ppid"], other["threads"])
    # the program may still be on its way to where it waits
    assert one["rss_bytes"] == pytest.approx(other["rss_bytes"], rel=0.2)
    assert one["rchar_bytes"] == pytest.approx(other["rchar_bytes"], rel=0.2)
    assert one["cpu_s"] == pytest.approx(other["cpu_s"], abs=0.2)
    assert proc.machine["mem_total_bytes"] == portable.machine["mem_total_bytes"]


def test_shares_of_cpu_time() -> None:
    before = cpu_times(b"cpu  0 0\ncpu0 100 0 0 100 0 0 0 0\ncpu1 0 0 0 200 0 0 0 0\nintr 1\ncpu9 1\n")
    after = cpu_times(b"cpu  0 0\ncpu0 190 0 0 100 0 0 0 10\ncpu1 0 0 25 275 0 0 0 0\nintr 1\n")
    assert set(after) == {b"cpu0", b"cpu1"}
    assert cpu_use(before, after) == {"cores_busy": 1.15, "core_max_frac": 0.9, "steal_frac": 0.05}
    assert cpu_use(after, after) == {}


def test_a_name_with_parentheses_and_spaces_does_not_shift_the_fields() -> None:
    fields = "S 41 1 1 0 -1 0 11 0 12 0 250 150 0 0 20 0 7 0 99 0 33 0"
    parsed = parse_stat(f"5 (a) b) (c) {fields}".encode())
    assert parsed is not None
    readings, state = parsed
    assert state == "S"
    assert (readings["ppid"], readings["threads"], readings["major_faults"]) == (41.0, 7.0, 12.0)
    assert readings["cpu_s"] == 400 / os.sysconf("SC_CLK_TCK")


@given(st.binary(max_size=200))
def test_damaged_cpu_lines_never_hang(data: bytes) -> None:
    with contextlib.suppress(ValueError):  # the part that reads cores is left out of the sample then
        for busy, stolen, total in cpu_times(data).values():
            assert busy + stolen <= total
