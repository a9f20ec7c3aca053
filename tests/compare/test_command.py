"""``bottleneck compare`` on recorded runs: files, exit codes, and one clear line for every mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from analyze.records import Loop
from trainbottleneck import rulebook
from trainbottleneck.analyze.ranks.condense import Condenser
from trainbottleneck.cli import main
from trainbottleneck.diagnosis import diagnose
from trainbottleneck.render import json_report
from trainbottleneck.rulebook import Rulebook
from trainbottleneck.store import load

from .builders import log, write_run

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def book() -> Rulebook:
    """Return the shipped rules, read once."""
    return rulebook.load([rulebook.shipped()])


@pytest.fixture(autouse=True)
def _read_once(book: Rulebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command of this file use them."""
    monkeypatch.setattr(rulebook, "load", lambda folders: book)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `bottleneck compare` and returns (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            main(["compare", *map(str, arguments)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def _training(fetch_s: float, steps: int = 60, accuracy: float | None = None, jitter: float = 0.0) -> Loop:
    """Return a loop whose steps take ``fetch_s`` and 55 ms more, every other one ``jitter`` longer."""
    loop = Loop().tell("loader", number=1, workers=0, batch_size=8)
    loop.begin()
    for step in range(steps):
        loop.fetch(fetch_s + jitter * (step % 2), first=step == 0).forward().backward().step()
        if accuracy is not None:
            log(loop, "acc", accuracy * (step + 1) / steps, step)
    return loop


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Return a slow run and a faster one."""
    slow = write_run(tmp_path / "slow", _training(0.145, accuracy=0.8, jitter=0.01))
    fast = write_run(tmp_path / "fast", _training(0.045, accuracy=0.7, jitter=0.01))
    return slow, fast


def _files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_runs_give_a_page_and_data_beside_the_second(command: Run, runs: tuple[Path, Path]) -> None:
    before = [_files(run) for run in runs]
    code, out, err = command(*runs)
    assert (code, out) == (0, "")
    assert "B is 1.95× as fast as A" in err
    made = runs[1].with_name("fast.compare")
    assert set(_files(made)) == {"compare.html", "compare.json"}
    told = json.loads((made / "compare.json").read_text(encoding="utf-8"))
    assert told["format"] == "bottleneck-compare" and told["schema"] == 1
    assert told["contrasts"][0]["speedup"]["ratio"]["likely"] == pytest.approx(205 / 105, rel=1e-2)
    assert told["contrasts"][0]["phases"][0]["phase"] == "data_wait"
    assert [_files(run) for run in runs] == before


def test_a_second_comparison_does_not_replace_the_first(command: Run, runs: tuple[Path, Path]) -> None:
    command(*runs, "--quiet")
    command(*runs, "--quiet")
    assert {path.name for path in runs[1].parent.iterdir()} >= {"fast.compare", "fast-2.compare"}


def test_what_is_not_ours_is_never_overwritten(command: Run, runs: tuple[Path, Path], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "compare.html").write_text("my own page", encoding="utf-8")
    code, _, err = command(*runs, "-o", mine)
    assert code == 2 and "is not one of ours" in err and err.count("\n") == 1
    code, _, err = command(*runs, "-o", tmp_path / "out", "--markdown", mine / "compare.html")
    assert code == 2 and "is not one of ours" in err
    assert _files(mine) == {"compare.html": b"my own page"}


def test_ours_is_written_anew(command: Run, runs: tuple[Path, Path], tmp_path: Path) -> None:
    out, note = tmp_path / "out", tmp_path / "note.md"
    for pair in (runs, runs[::-1]):
        assert command(*pair, "-o", out, "--markdown", note, "--quiet")[0] == 0
    assert json.loads((out / "compare.json").read_text(encoding="utf-8"))["sides"][0]["name"] == "fast"
    assert "as long as A" in note.read_text(encoding="utf-8")


def test_a_regression_ends_with_1_and_an_improvement_with_0(command: Run, runs: tuple[Path, Path]) -> None:
    slow, fast = runs
    code, _, err = command(fast, slow, "--fail-on-regression", "5%", "--json")
    assert code == 1 and "Regression: B is 95 %" in err
    assert command(slow, fast, "--fail-on-regression", "5%", "--json")[0] == 0
    assert command(fast, slow, "--json")[0] == 0
    assert command(fast, slow, "--fail-on-regression", "200", "--json")[0] == 0


@pytest.mark.parametrize("text", ["five", "-1%", "nan%"])
def test_a_limit_that_is_no_percentage_is_refused(command: Run, runs: tuple[Path, Path], text: str) -> None:
    code, _, err = command(*runs, f"--fail-on-regression={text}")
    assert code == 2 and "is no percentage" in err


def test_json_goes_to_stdout_and_no_file_is_written(command: Run, runs: tuple[Path, Path]) -> None:
    before = set(runs[1].parent.rglob("*"))
    code, out, _ = command(*runs, "--json", "--quiet")
    assert code == 0 and json.loads(out)["sides"][1]["letter"] == "B"
    assert set(runs[1].parent.rglob("*")) == before


def test_markdown_goes_to_stdout_alone(command: Run, runs: tuple[Path, Path]) -> None:
    code, out, err = command(*runs, "--markdown", "-", "--quiet")
    assert code == 0 and err == ""
    assert out.startswith("<!-- bottleneck-compare -->\n\n**B is 1.95")
    assert re.search(r"^\| Data wait \| 1[45]\d ms \| [45]\d(\.\d)? ms \| -100 ms \|$", out, re.M)


def test_a_folder_of_runs_is_one_side_and_a_bad_run_is_named(command: Run, tmp_path: Path) -> None:
    for at, extra in enumerate((0.0, 0.004, 0.008)):
        write_run(tmp_path / f"before/run{at}", _training(0.145 + extra))
        write_run(tmp_path / f"after/run{at}", _training(0.045 + extra))
    write_run(tmp_path / "after/empty", Loop())
    (tmp_path / "after/notes").mkdir()
    code, out, _ = command(tmp_path / "before", tmp_path / "after", "--json", "--quiet")
    told = json.loads(out)
    assert code == 0
    assert [side["runs"] for side in told["sides"]] == [["run0", "run1", "run2"]] * 2
    assert list(told["sides"][1]["left_out"]) == ["empty"]
    assert told["sides"][1]["left_out"]["empty"].startswith("no steps in it")
    assert told["contrasts"][0]["speedup"]["noise"] == "runs"


def test_a_report_alone_is_compared_without_what_needs_the_record(
    command: Run, runs: tuple[Path, Path], tmp_path: Path, book: Rulebook
) -> None:
    alone = tmp_path / "alone.json"
    alone.write_text(json_report.render(diagnose(load(runs[0], Condenser()), book)), encoding="utf-8")
    code, out, err = command(alone, runs[1], "--json", "--metric", "acc")
    contrast = json.loads(out)["contrasts"][0]
    assert code == 0 and contrast["speedup"]["known"] is False
    assert contrast["speedup"]["ratio"]["likely"] == pytest.approx(205 / 105, rel=1e-2)
    assert "what a run logged is in its record" in contrast["delta"]["text"]
    assert "how sure that is can't be said" in err


def test_quality_stands_beside_time(command: Run, runs: tuple[Path, Path]) -> None:
    _, out, _ = command(*runs, "--json", "--quiet", "--metric", "acc", "--higher-is-better")
    told = json.loads(out)
    assert told["contrasts"][0]["delta"]["value"] == pytest.approx(-0.125)
    assert told["contrasts"][0]["delta"]["better"] is None
    assert told["sides"][0]["updates"] == 60 and told["higher_is_better"] is True
    assert told["time_basis"] == "run" and told["pareto"] == ["A", "B"]


@pytest.mark.parametrize(("flag", "higher"), [("--higher-is-better", True), ("--lower-is-better", False)])
def test_which_way_is_better_is_told(command: Run, runs: tuple[Path, Path], flag: str, higher: bool) -> None:
    _, out, _ = command(*runs, "--json", "--quiet", "--metric", "acc", flag)
    assert json.loads(out)["higher_is_better"] is higher


def test_a_misspelt_metric_names_what_was_logged(command: Run, runs: tuple[Path, Path]) -> None:
    code, _, err = command(*runs, "--metric", "accuracy")
    assert code == 2 and err == "bottleneck: --metric accuracy: no run logged it (logged: acc)\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("slow",), "name two runs"),
        (("slow", "missing"), "no such run"),
        (("slow", "plain"), "neither a run nor a folder of runs"),
        (("slow", "empty"), "no steps in it"),
        (("slow", "newer"), "schema 99"),
        (("slow", "trace.json"), "a trace"),
        (("slow", "other.json"), "not a report"),
        (("slow", "fast", "--lower-is-better"), "name it"),
        (("slow", "fast", "--json", "--markdown", "-"), "both want stdout"),
    ],
)
def test_every_mistake_is_one_clear_line(
    command: Run,
    runs: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    text: str,
) -> None:
    root = runs[0].parent
    monkeypatch.chdir(root)
    (root / "plain").mkdir()
    write_run(root / "empty", Loop())
    write_run(root / "newer", _training(0.1), schema=99)
    (root / "trace.json").write_text('{"traceEvents": []}', encoding="utf-8")
    (root / "other.json").write_text('{"schema": 1, "verdict": 3}', encoding="utf-8")
    code, _, err = command(*arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert text in err and err.startswith("bottleneck: ")
