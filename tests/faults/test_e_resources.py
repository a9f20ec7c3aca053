"""Group E: no space, no permission, few descriptors: the training does not notice."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from trainbottleneck.cli import main

from .runs import COMMAND, diagnose, execute, write

PLAIN = {"train.py": "print('trained')"}
# Enough spans to fill a small disk at once, without torch: the agent's recorder is told to write from here.
TRAINING = """
    import time, torch
    from torch import nn
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number in range(3000):
        optimizer.zero_grad()
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
    print("trained")
"""


@contextmanager
def _small_disk(folder: Path, size: str, options: str = "") -> Iterator[Path]:
    """Give a file system of ``size``; skip where one can't be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("left", [0, 1, 3, 30], ids=lambda pages: f"{pages * 4}KiB-left")
def test_e1_a_disk_that_is_full_at_the_start_costs_the_measurement_only(tmp_path: Path, left: int) -> None:
    work = write(tmp_path, PLAIN)
    with _small_disk(tmp_path / "disk", "200k") as disk:
        (disk / "filler").write_bytes(b"x" * (4096 * (50 - left)))
        found = diagnose(["train.py"], work, run=disk / "run")
    assert (found.code, found.out) == (0, b"trained\n")
    assert found.their_err == "" and "space" in found.err


@pytest.mark.slow
def test_e1_a_disk_that_fills_up_while_training_costs_the_rest_of_the_record(tmp_path: Path) -> None:
    work = write(tmp_path, {"train.py": TRAINING, "short.py": TRAINING.replace("3000", "3")})
    diagnose(["short.py"], work, flags=("--full",), run=tmp_path / "short")
    agent = sum(path.lstat().st_blocks for path in (tmp_path / "short" / "boot").rglob("*")) // 2
    with _small_disk(tmp_path / "disk", f"{agent + 100}k") as disk:
        found = diagnose(["train.py"], work, flags=("--full",), run=disk / "run")
        log = disk / "run" / "agent-errors.log"
        written = sum(path.stat().st_size for path in (disk / "run").glob("p*/trace.bin"))
        assert 0 < written < 200_000 and log.exists()  # of 370 kB
    assert (found.code, found.out, found.their_err.count("Traceback")) == (0, b"trained\n", 0)
    assert "no report" in found.err and "space" in found.err


@pytest.mark.slow
def test_e4_a_limit_on_file_size_is_the_same_as_a_full_disk(tmp_path: Path) -> None:
    """The limit is the script's as well: what it writes itself stays below."""
    work = write(tmp_path, {"train.py": TRAINING})
    limit = (100_000, 100_000)
    found = diagnose(["train.py"], work, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert (found.code, found.out, found.their_err) == (0, b"trained\n", "")


def test_e4_few_descriptors_no_home_and_nowhere_for_temporary_files_are_enough(tmp_path: Path) -> None:
    work = write(tmp_path, PLAIN)
    env = {"HOME": None, "TMPDIR": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}
    found = diagnose(
        ["train.py"], work, env, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    )
    assert (found.code, found.out, found.err) == (0, b"trained\n", "")
    assert found.report["verdict"]["result"] == "NO_TORCH"


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line with which the command refuses to start."""
    with pytest.raises(SystemExit) as ended:
        main(["diagnose", "--full", *arguments])
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert told.out == "" and told.err.count("\n") == 1 and told.err.startswith("bottleneck: ")
    return told.err


def test_e2_an_output_folder_that_can_not_be_is_refused_before_the_script_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = write(tmp_path, {"train.py": "open('started', 'w')"}) / "train.py"
    file = tmp_path / "file"
    file.touch()
    for out in (str(file), str(file / "below"), "/proc/nothing/here", "/dev/null/x", str(tmp_path / "a:b")):
        assert out in _refused(capsys, "-o", out, str(script))
    assert not (tmp_path / "work" / "started").exists()


def test_e2_a_read_only_output_folder_is_refused_before_the_script_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = write(tmp_path, {"train.py": "open('started', 'w')"}) / "train.py"
    with _small_disk(tmp_path / "disk", "200k", ",ro") as disk:
        assert "Read-only" in _refused(capsys, "-o", str(disk / "run"), str(script))
    assert not (tmp_path / "work" / "started").exists()


def test_e2_a_missing_output_folder_is_made_with_its_parents_wherever_it_lies(tmp_path: Path) -> None:
    work = write(tmp_path, PLAIN)
    argv = [*COMMAND, "diagnose", "--quiet", "--full", "-o", "../a/../b/c d/run", "train.py"]
    assert execute(argv, work).code == 0
    assert (tmp_path / "b" / "c d" / "run" / "report.html").exists()
    assert (tmp_path / "b" / "c d" / "run").stat().st_mode & 0o077 == 0


def test_e3_a_run_is_never_written_over_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = write(tmp_path, PLAIN)
    assert "is not empty" in _refused(capsys, "-o", str(work), str(work / "train.py"))
    assert sorted(path.name for path in work.iterdir()) == ["train.py"]
    for _ in range(2):  # within one second: the same name twice, if it were for the time alone
        assert execute([*COMMAND, "diagnose", "--quiet", "--full", "train.py"], work).code == 0
    assert len(list((work / "bottleneck-runs").iterdir())) == 2
    assert sys.executable
