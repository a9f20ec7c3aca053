"""The commands on a real training: advice is proved, the report says so, and a recipe is found and made permanent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timing]
SCRIPT = Path(__file__).parent / "loaded.py"


def bottleneck(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in ``folder``."""
    return subprocess.run(
        [sys.executable, "-m", "trainbottleneck", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the script and a run of it that was diagnosed."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copy(SCRIPT, folder / "train.py")
    options = ["--no-experiments", "--no-deep", "--no-stacks", "--steps", "60", "--quiet", "-o", "run"]
    done = bottleneck(folder, "diagnose", *options, "train.py")
    assert done.returncode == 0, done.stderr
    (folder / "weights.pt").unlink()
    return folder


def report(work: Path) -> dict[str, Any]:
    """Return the report of the run."""
    return dict(json.loads((work / "run" / "report.json").read_text(encoding="utf-8")))


def skip_where_disturbed(told: str) -> None:
    """Skip where the trial itself says that other programs left it too few pairs to prove anything."""
    if "too noisy" in told:
        pytest.skip("the machine was disturbed: too few pairs of a trial counted")


def test_advice_that_helps_is_proved_and_the_report_rewritten(work: Path) -> None:
    before = {one["id"]: one for one in report(work)["mitigations"]}
    assert before["dl_workers"]["trial"] is None
    done = bottleneck(work, "prove", "run", "--only", "dl_workers", "--budget", "8m")
    assert done.returncode == 0, done.stderr
    skip_where_disturbed(report(work)["trials"][0]["reason"])
    first = report(work)["mitigations"][0]
    assert first["id"] == "dl_workers" and first["basis"] == "trial", done.stderr
    trial = first["trial"]
    assert trial["state"] == "PROVED" and trial["pairs"] >= 3
    # twenty milliseconds of sleep a step shrink to a share of them: by far more than any other load could hide
    assert 1.5 < trial["speedup"]["low"] <= first["speedup"]["likely"] < 12
    assert first["predicted"] == before["dl_workers"]["speedup"]
    assert trial["losses"]["relation"] == "identical"
    assert "PROVED: Load in worker processes" in done.stderr
    assert not (work / "weights.pt").exists() and not list((work / "run").glob("trials-*"))
    again = bottleneck(work, "prove", "run", "--only", "cpu_threads_affinity", "--budget", "5s")
    assert again.returncode in (1, 2) and len(again.stderr.splitlines()) == 1, again.stderr


def tuned_until_proved(work: Path) -> tuple[int, str]:
    """Tune the script, press Ctrl-C once something is proved, and return the exit code and what was said."""
    words = ["tune", "--budget", "10m", "--write", "-o", "tuned", "train.py"]
    said: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "trainbottleneck", *words],
        cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "proved" in line.lower() and not any("proved" in one.lower() for one in said):
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everybody gets it
            said.append(line)
    return process.returncode, "".join(said)


def test_ctrl_c_in_a_search_leaves_the_recipe_that_is_proved_and_the_script_with_it(work: Path) -> None:
    code, said = tuned_until_proved(work)
    if code != 130:
        skip_where_disturbed(said)
    assert code == 130, said
    assert not list((work / "tuned").glob("trials-*"))
    recipe = json.loads((work / "tuned" / "recipe.json").read_text(encoding="utf-8"))
    assert "dl_workers" in {one["mitigation"] for one in recipe["changes"]}, said
    text = (work / "train.py").read_text(encoding="utf-8")
    assert "num_workers=0" not in text and "num_workers=" in text
    assert (work / "tuned" / "original" / "train.py").read_text(encoding="utf-8") == SCRIPT.read_text("utf-8")
    assert not (work / "weights.pt").exists()
    applied = bottleneck(
        work,
        *("diagnose", "--apply", "tuned/recipe.json", "--no-experiments", "--no-deep", "--no-stacks"),
        *("--steps", "30", "--quiet", "-o", "after", str(SCRIPT)),
    )
    assert applied.returncode == 0, applied.stderr
    run = json.loads((work / "after" / "report.json").read_text(encoding="utf-8"))["run"]
    assert any(one.startswith("loader applied: num_workers 0 -> ") for one in run["changes"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("prove", "nothing-here"), "no such run directory"),
        (("prove", "run", "--only", "no_such"), "not among the advice of this run"),
        (("prove", "run", "--budget", "soon"), "is no time; write 90s, 10m or 1.5h"),
        (("tune", "--budget", "10m", "nowhere.py"), "no such script"),
        (("diagnose", "--apply", "nowhere.json", "train.py"), "nowhere.json"),
    ],
)
def test_bad_input_gets_one_clear_line(work: Path, words: tuple[str, ...], says: str) -> None:
    done = bottleneck(work, *words)
    assert done.returncode == 2 and says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
