"""The deep window in real trainings: it changes nothing, costs little, and whatever goes wrong costs only itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

COMMAND = [sys.executable, "-m", "trainbottleneck", "diagnose", "--no-stacks", "--no-experiments", "--quiet"]
LOOP = """
import signal, sys, time
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(32, 32), nn.Dropout(0.1), nn.LayerNorm(32), nn.Linear(32, 1))
PREPARE
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
data = torch.randn(64, 32)
out = open("losses", "w")
step = 0
try:
    while step < 100_000:
        AROUND
        optimizer.zero_grad()
        loss = net(data).square().mean()
        loss.backward()
        optimizer.step()
        out.write(f"{loss.item()!r}\\n")
        step += 1
        time.sleep(0.004)
except KeyboardInterrupt:
    out.write("interrupted\\n")
"""


def script(folder: Path, prepare: str = "", around: str = "pass") -> Path:
    """Write the loop with two lines of it replaced and return its path."""
    path = folder / "train.py"
    path.write_text(LOOP.replace("PREPARE", prepare).replace("AROUND", around))
    return path


def environment(folder: Path) -> dict[str, str]:
    """Return an environment with one thread and a cache of probes that all tests of a session share."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder.parent / "cache")}


def diagnose(folder: Path, *options: str, prepare: str = "", around: str = "pass") -> dict[str, Any]:
    """Run the loop under the command; return what the window left, {} where there was none."""
    path = script(folder, prepare, around)
    done = subprocess.run(
        [*COMMAND, "--steps", "15", *options, "-o", "run", str(path)],
        cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    if "profiler" not in prepare + around:  # the script's own session prints such lines, with us as without
        assert "USDT" not in done.stderr
    found = list((folder / "run" / "deep").glob("deep-*.json"))
    return dict(json.loads(found[0].read_text())) if found else {}


def report(folder: Path) -> dict[str, Any]:
    """Return the report of the run."""
    return dict(json.loads((folder / "run" / "report.json").read_text()))


def test_losses_are_the_same_to_the_last_bit_and_the_window_is_in_no_timing(tmp_path: Path) -> None:
    found = diagnose(tmp_path)
    assert found["counted"]["steps"] == 3
    assert not list((tmp_path / "run" / "deep").glob("replay-*"))  # --no-experiments leaves it out
    assert found["trace"]["steps"] == 3
    assert found["problems"] == []
    losses = (tmp_path / "losses").read_text().splitlines()
    assert losses.pop() == "interrupted"
    plain = (
        script(tmp_path).read_text().replace("100_000", str(len(losses))).replace("time.sleep(0.004)", "pass")
    )
    subprocess.run(
        [sys.executable, "-c", plain], cwd=tmp_path, env=environment(tmp_path), check=True, timeout=100
    )
    assert (tmp_path / "losses").read_text().splitlines() == losses
    made = report(tmp_path)
    assert made["step"]["seen"] < len(losses) - 8  # three counted, three beside them, four traced
    assert made["measurements"]["device.placed"]["value"] == 1
    assert {row["class"] for row in made["pictures"]["modules"]["classes"]} >= {"Linear", "LayerNorm"}
    operators = list((tmp_path / "run" / "deep").glob("operators-*.json"))
    assert json.loads(operators[0].read_text())["steps"] == 3
    assert "The model's parts" in (tmp_path / "run" / "report.html").read_text()


def test_without_the_window_there_is_none(tmp_path: Path) -> None:
    assert diagnose(tmp_path, "--no-deep") == {}
    assert not (tmp_path / "run" / "roofline.json").exists()


def test_a_script_that_profiles_itself_is_left_alone(tmp_path: Path) -> None:
    start = "prof = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]); prof.start()"
    assert diagnose(tmp_path, prepare=start) == {}
    told = [row for row in report(tmp_path)["not_evaluated"] if row["what"] == "deep"]
    assert told == [{"what": "deep", "reason": "the script profiles itself"}]


def test_a_profiler_that_the_script_starts_inside_the_window_is_the_only_one(tmp_path: Path) -> None:
    around = """
        import os
        if step % 3 == 0:
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as prof:
                data @ data.T
            assert any("mm" in event.name for event in prof.events()), "no events"
"""
    found = diagnose(tmp_path, around=around.strip())
    assert "trace" not in found
    assert "the script began to profile itself" in " ".join(found["problems"])
    assert found["counted"]["steps"] == 3


def test_a_compiled_model_is_traced_and_not_counted(tmp_path: Path) -> None:
    found = diagnose(tmp_path, prepare="net = torch.compile(net, backend='aot_eager')")
    assert "compiled" in " ".join(found["problems"])
    assert "counted" not in found
    assert found["trace"]["steps"] == 3


def test_a_process_forked_inside_the_window_ends_the_trace_and_nothing_else(tmp_path: Path) -> None:
    around = "import os; pid = os.fork(); pid or os._exit(0); os.waitpid(pid, 0)"
    found = diagnose(tmp_path, around=around)
    assert "a process was forked" in " ".join(found["problems"])
    assert found["counted"]["steps"] == 3


def test_an_operator_that_fails_inside_the_window_fails_as_it_would_without(tmp_path: Path) -> None:
    around = """
        try:
            data @ data
        except RuntimeError as error:
            assert "shapes" in str(error)
"""
    assert diagnose(tmp_path, around=around.strip())["counted"]["steps"] == 3


def test_ctrl_c_inside_the_window_reaches_the_script(tmp_path: Path) -> None:
    slow = script(tmp_path, around="time.sleep(0.5)")
    process = subprocess.Popen(
        [*COMMAND, "--steps", "5", "-o", "run", str(slow)],
        cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 100
        while not _is_open(tmp_path / "run") and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)  # a step takes 0.5 s: the window of twelve is under way
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert b"Traceback" not in err, err
    assert (tmp_path / "losses").read_text().splitlines()[-1] == "interrupted"
    (found,) = (tmp_path / "run" / "deep").glob("deep-*.json")
    assert "ended inside the window" in " ".join(json.loads(found.read_text())["problems"])
    assert (tmp_path / "run" / "report.json").exists()


def _is_open(run: Path) -> bool:
    """Return whether the window has begun: its first event is in the record."""
    return any(b'"state": "begin"' in path.read_bytes() for path in run.glob("p*-*/trace.bin"))


@pytest.mark.timing
def test_the_window_takes_no_longer_than_ten_seconds_and_five_times_its_steps(tmp_path: Path) -> None:
    started = time.monotonic()
    diagnose(
        tmp_path,
        prepare="net = nn.Sequential(*[nn.Sequential(nn.Linear(32, 32), nn.Tanh()) for _ in range(150)])",
    )
    assert time.monotonic() - started < 100
    account = {row["name"]: row["seconds"] for row in report(tmp_path)["run"]["account"]}
    step = report(tmp_path)["step"]["seconds"]["median"]
    assert account["experiments"] < 10 + 5 * 8 * step
