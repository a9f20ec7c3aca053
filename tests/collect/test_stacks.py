"""Python stacks from outside: py-spy on real processes, its text, the files."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trainbottleneck.collect import raw_stacks, stacks
from trainbottleneck.collect.environment import library_paths
from trainbottleneck.collect.stacks import (
    StackSampler,
    explain,
    find_pyspy,
    load_stacks,
    parse_raw,
    save_stacks,
    source_lines,
    try_pyspy,
)
from trainbottleneck.errors import RecordError
from trainbottleneck.model.record import StackCount, Stacks

pytestmark = pytest.mark.timing

Start = Callable[..., subprocess.Popen[str]]
PYSPY, WHY = find_pyspy()
pyspy = pytest.mark.skipif(PYSPY is None, reason=WHY)

PLAIN = """
    import threading, time
    def sleeper():
        while True:
            time.sleep(0.05)  # asleep
    threading.Thread(target=sleeper, name="a;name", daemon=True).start()
    print("up", flush=True)
    while True:
        sum(range(1000))
"""
LOADER = """
    import time, torch
    from torch.utils.data import DataLoader, Dataset

    class Slow(Dataset):
        def __len__(self):
            return 10**9

        def __getitem__(self, index):
            time.sleep(0.01)  # the slow read
            return torch.zeros(4)

    def main():
        for at, batch in enumerate(DataLoader(Slow(), 2, num_workers=2, multiprocessing_context="fork")):
            if at == 1:
                print("up", flush=True)

    main()
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start scripts that print a line when they are up; all of them are gone afterwards."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: str) -> subprocess.Popen[str]:
        script = tmp_path / "script with space.py"
        script.write_text(textwrap.dedent(code))
        command = [sys.executable, str(script), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.communicate()


def sample(process: subprocess.Popen[str], out: Path) -> tuple[Stacks, StackSampler]:
    """Sample until there must be something on any machine."""
    sampler = StackSampler(process.pid, out, rate_hz=50, library_paths=library_paths())
    assert sampler.start()
    time.sleep(2)
    found = sampler.stop()
    assert found is not None, sampler.failure
    return found, sampler


@pyspy
def test_waiting_threads_are_seen_with_their_line(start: Start, tmp_path: Path) -> None:
    process = start(PLAIN, "--token=SECRETSECRET")
    found, sampler = sample(process, tmp_path / "stacks-1.json")
    assert process.poll() is None
    assert sampler.failure is None
    asleep = [c for c in found.counts if c.thread == "a;name"]
    assert {c.source for c in asleep} >= {"time.sleep(0.05)  # asleep"}
    # wall clock: the sleeping thread is seen as often as the busy one
    main = sum(c.count for c in found.counts if c.thread == "MainThread")
    assert sum(c.count for c in asleep) > 0.5 * main > 0
    assert load_stacks(tmp_path / "stacks-1.json") == found
    # the raw text names the command line, so it must not stay
    assert [path.name for path in tmp_path.glob("stacks*")] == ["stacks-1.json"]
    assert "SECRETSECRET" not in (tmp_path / "stacks-1.json").read_text()
    assert 0 < (found.end_ns - found.start_ns) < 60e9


@pyspy
def test_forked_loader_workers_have_their_own_stacks(start: Start, tmp_path: Path) -> None:
    process = start(LOADER)
    found, _ = sample(process, tmp_path / "stacks-1.json")
    workers = {c.pid for c in found.counts} - {process.pid}
    assert len(workers) == 2
    own = [c for c in found.counts if c.pid in workers and c.thread == "MainThread"]
    # py-spy does not stop the process it reads: on a busy machine some stacks are torn and lack their root
    whole = sum(c.count for c in own if c.frames[0][0].rsplit(".", 1)[-1] == "_bootstrap")
    assert whole > 0.9 * sum(c.count for c in own)
    assert all("main" not in [f[0] for f in c.frames] for c in own)
    slow = sum(c.count for c in own if c.source == "time.sleep(0.01)  # the slow read")
    assert slow > 0.5 * sum(c.count for c in own)
    main = [c for c in found.counts if c.pid == process.pid and c.thread == "MainThread"]
    assert any("enumerate(DataLoader" in c.source for c in main)


@pyspy
def test_the_target_may_end_first(start: Start, tmp_path: Path) -> None:
    process = start(PLAIN)
    sampler = StackSampler(process.pid, tmp_path / "stacks-1.json", rate_hz=50)
    assert sampler.start()
    time.sleep(1)
    process.kill()
    process.wait()
    found = sampler.stop()
    assert found is not None
    assert found.counts
    assert not sampler.running


@pyspy
@pytest.mark.parametrize("kind", ["gone", "not Python"])
def test_what_can_not_be_sampled_gives_one_sentence(tmp_path: Path, kind: str) -> None:
    process = subprocess.Popen(["sleep", "60"])
    if kind == "gone":
        process.kill()
        process.wait()
    sampler = StackSampler(process.pid, tmp_path / "stacks-1.json")
    sampler.start()
    time.sleep(0.5)
    assert sampler.stop() is None
    if kind != "gone":
        process.kill()
        process.wait()
    assert sampler.failure is not None
    assert ("ended" if kind == "gone" else "no Python") in sampler.failure
    assert "\n" not in sampler.failure
    assert list(tmp_path.iterdir()) == []


@pyspy
def test_an_unwritable_folder_is_a_failure_before_anything_starts(tmp_path: Path) -> None:
    sampler = StackSampler(os.getpid(), tmp_path / "none" / "stacks-1.json")
    assert not sampler.start()
    assert "No such file" in (sampler.failure or "")
    assert sampler.stop() is None


def test_a_pyspy_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = tmp_path / "py-spy"
    deaf.write_text(
        f"#!{sys.executable}\nimport signal, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)\n"
    )
    deaf.chmod(0o700)
    monkeypatch.setattr(stacks, "find_pyspy", lambda: (deaf, ""))
    monkeypatch.setattr(stacks, "_STOP_S", 0.5)
    sampler = StackSampler(os.getpid(), tmp_path / "stacks-1.json")
    assert sampler.start()
    time.sleep(0.5)
    assert sampler.stop() is None
    assert not sampler.running
    assert sampler.failure


def test_a_missing_pyspy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    path, reason = find_pyspy()
    assert path is None
    assert "pip install py-spy" in reason
    sampler = StackSampler(os.getpid(), tmp_path / "stacks-1.json")
    assert not sampler.start()
    assert sampler.failure == reason


@pyspy
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become another user")
def test_no_permission_names_what_to_allow(tmp_path: Path) -> None:
    assert PYSPY is not None
    copy = Path("/tmp") / f"py-spy-test-{os.getpid()}"
    copy.write_bytes(PYSPY.read_bytes())
    copy.chmod(0o755)
    wrapper = tmp_path / "py-spy"
    wrapper.write_text(f'#!/bin/sh\nexec setpriv --reuid 65534 --clear-groups {copy} "$@"\n')
    wrapper.chmod(0o755)
    try:
        reason = try_pyspy(wrapper, os.getpid())
    finally:
        copy.unlink()
    assert "ptrace_scope" in reason
    assert "SYS_PTRACE" in reason


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("Error: Permission Denied: Try running again with elevated permissions", "SYS_PTRACE"),
        ("Error: Failed to open process\nReason: Operation not permitted (os error 1)", "ptrace_scope"),
        ("Error: Unsupported version of Python: 3.99.0", "does not support this version"),
        ("Error: No such process (os error 3)", "had ended"),
        ("Error: something new\n\nStack backtrace:\n 0: main", "Error: something new"),
        ("", "without a reason"),
    ],
)
def test_failures_of_pyspy_become_one_sentence(stderr: str, said: str) -> None:
    assert said in explain(stderr)
    assert "\n" not in explain(stderr)


FORK = (
    'process 1:"python t.py";process 2:"python t.py";thread (2): MainThread;<module> (/t.py:9);'
    "Popen._launch (/lib/multiprocessing/popen_fork.py:71);"
    "BaseProcess._bootstrap (/lib/multiprocessing/process.py:314);work (/t.py:3) 5\n"
)


def test_the_frames_of_the_fork_point_are_left_out() -> None:
    (found,) = parse_raw(FORK)
    assert found.pid == 2
    assert found.frames == (
        ("BaseProcess._bootstrap", "/lib/multiprocessing/process.py", 314),
        ("work", "/t.py", 3),
    )


F = (("f", "/x.py", 3),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "thread (0x7F1A): MainThread;f (/a b (c)/d;e.py:3) 2",
            (0, "MainThread", None, 2),
        ),
        ('process 1:"sh -c a;b";thread (1): a;b (serve);f (/x.py:3) 7', (1, "a;b (serve)", F, 7)),
        ('process 1:"a";thread (1): a\nb;f (<string>) 7\n', (1, "a\nb", (("f", "<string>", 0),), 7)),
        ('process 1:"p\nq";thread (5): z;f (C:\\x.py:3) 7', (1, "z", (("f", "C:\\x.py", 3),), 7)),
        ('process 1:"a";thread (5): z;f (/x.py:-1) 1', (1, "z", (("f", "/x.py", 0),), 1)),
    ],
)  # fmt: skip
def test_awkward_names_are_kept_apart(text: str, expected: tuple[int, str, object, int]) -> None:
    found = parse_raw(text)
    if expected[2] is None:  # a semicolon inside a path can't be told from a separator: nothing is invented
        assert all(c.count == expected[3] for c in found)
    else:
        assert [(c.pid, c.thread, c.frames, c.count) for c in found] == [expected]


def test_equal_stacks_are_added_and_only_the_most_frequent_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_stacks, "MOST_STACKS", 2)
    lines = [f"thread (1): m;f (/x.py:{line}) {count}" for line, count in ((1, 1), (2, 5), (3, 2), (1, 3))]
    found = parse_raw("\n".join(lines), pid=9)
    assert [(c.frames[0][2], c.count, c.pid) for c in found] == [(2, 5, 9), (1, 4, 9)]


def test_sizes_are_bounded() -> None:
    deep = "thread (1): " + "n" * 5000 + ";" + ";".join(["f" * 5000 + " (/x.py:1)"] * 2000) + " 1"
    (found,) = parse_raw(deep)
    assert len(found.thread) == 200
    assert len(found.frames) == raw_stacks.MOST_FRAMES
    assert len(found.frames[0][0]) == 200


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                "process 1:",
                '"',
                ";",
                "thread (1)",
                ": ",
                "f (/x.py:3)",
                " ",
                "7",
                "\n",
                "(",
                ")",
                "\x00",
                "\ud800",
            ]
        )
        | st.text(max_size=5),
        max_size=40,
    ).map("".join)
)
@example("thread (1): m;f (/x:" + "9" * 5000 + ") " + "9" * 5000)
@example("thread (1): " + " (" * 300_000 + " 1")  # hangs where the time grows with the square of the length
@example('process 1:"' * 100_000 + " 1")
def test_no_text_raises(text: str) -> None:
    for found in source_lines(parse_raw(text)):
        assert found.count >= 1
        assert found.frames


def test_damage_in_the_middle_costs_its_own_record_only() -> None:
    text = FORK + "thread (7): x;no frame here\n\x00\xff;; 3\n" + FORK.replace("process 2", "process 3")
    assert {c.pid for c in parse_raw(text)} == {2, 3}


def stack(*frames: tuple[str, str, int]) -> StackCount:
    return StackCount(pid=1, thread="m", frames=frames, count=1)


def test_the_innermost_line_of_the_users_code_is_shown(tmp_path: Path) -> None:
    mine, library = tmp_path / "mine.py", tmp_path / "lib" / "site-packages" / "torch" / "x.py"
    boot = tmp_path / "boot" / "agent.py"
    for path in (mine, library, boot):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first()\n    call(token='SECRETSECRET')\n")
    frames = [("<module>", str(mine), 1), ("f", str(mine), 2), ("g", str(library), 1), ("h", str(boot), 1)]
    (found,) = source_lines([stack(*frames, ("i", os.__file__, 1))], [*library_paths(), str(boot.parent)])
    assert found.source == "call(token='***')"
    (found,) = source_lines([stack(frames[2], ("j", "<string>", 1))])
    assert found.source == ""


def test_files_that_are_no_plain_sources_give_no_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    big = tmp_path / "big.py"
    big.write_text("x = 1\n" * 1_000_000)
    for path in (str(tmp_path / "pipe.py"), str(big), str(tmp_path), "/none.py", "a\0b", "/dev/zero"):
        (found,) = source_lines([stack(("f", path, 1))])
        assert found.source == ""


WINDOW = Stacks(start_ns=5, end_ns=9, rate_hz=20.0, counts=parse_raw(FORK))


def test_a_window_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "stacks-1.json"
    save_stacks(WINDOW, path)
    assert load_stacks(path) == WINDOW
    assert path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [path]


def test_undecodable_names_are_written_all_the_same(tmp_path: Path) -> None:
    odd = dataclasses.replace(WINDOW, counts=(stack(("f\udcff", "/x\udcff.py", 1)),))
    save_stacks(odd, tmp_path / "stacks-1.json")
    assert load_stacks(tmp_path / "stacks-1.json").counts[0].frames == (("f?", "/x?.py", 1),)


def test_rubbish_is_a_record_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "stacks-1.json"
    save_stacks(WINDOW, path)
    good = path.read_bytes()
    content = json.loads(good)
    changes = [
        {"schema": 99}, {"end_ns": 1}, {"rate_hz": 0}, {"rate_hz": "x"}, {"frames": 3}, {"frames": []},
        {"stacks": [[1, "m", [-1], 1, ""]]}, {"stacks": [[1, "m", [0], 0, ""]]}, {"stacks": [[1, "m", [0]]]},
        {"stacks": [[1, "m", [0], 1, ""]] * 5000},
    ]  # fmt: skip
    rubbish = [json.dumps({**content, **change}).encode() for change in changes]
    rubbish += [b"", b"null", b"\xff\xfe", b"[" * 100_000, *(good[:at] for at in range(0, len(good), 7))]
    for data in rubbish:
        path.write_bytes(data)
        with pytest.raises(RecordError) as caught:
            load_stacks(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(RecordError):
        load_stacks(tmp_path / "none.json")
