"""`bottleneck report TRACE`: the same report as for a run, beside the trace, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trainbottleneck.cli import main, reading

from .traces import training


def run(*arguments: object) -> int:
    """Return the exit code of the command."""
    try:
        main(["report", *map(str, arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_a_trace_gives_the_three_outputs_and_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = training(wait=900).save(tmp_path / "job.pt.trace.json.gz")
    assert run(path) == 0 and run(path) == 0
    said = capsys.readouterr().err
    assert "Data loading" in said and "job.bottleneck" in said
    for name in ("job.bottleneck", "job-2.bottleneck"):
        found = json.loads((tmp_path / name / "report.json").read_text())
        assert (found["verdict"]["bottleneck"], found["run"]["source"]) == ("dataloader", "trace")
        assert found["run"]["traces"][0]["file"] == path.name
        page = (tmp_path / name / "report.html").read_text()
        assert "job.pt.trace.json.gz" in page and "profiler" in page


def test_json_goes_to_stdout_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = training().save(tmp_path / "t.json")
    assert run("--json", path) == 0
    assert json.loads(capsys.readouterr().out)["step"]["count"] == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.json"]


def test_the_same_trace_gives_the_same_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = training().save(tmp_path / "t.json")
    texts = []
    for _ in range(2):
        run("--json", path)
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


def test_a_cut_trace_is_judged_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(training(steps=8, wait=900).text()[:-4000])
    assert run("--json", path) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"]["status"] == "partial"
    assert any("t.json: it was cut off" in reason for reason in found["verdict"]["reasons"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["none.json"], "no such run directory or trace"),
        (["a.json", "folder"], "a folder among traces"),
        (["folder", "folder"], "a second run"),
        (["a.json", "a.json"], "of rank 5"),
        (["a.json", "plain.json"], "tells no rank"),
        (["note.txt"], "not a profiler trace"),
        (["empty.json"], "empty"),
        (["folder"], "run.json"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], said: str
) -> None:
    trace = training(steps=2)
    trace.save(tmp_path / "plain.json")
    trace.about["distributedInfo"] = {"rank": 5, "world_size": 8}
    trace.save(tmp_path / "a.json")
    (tmp_path / "folder").mkdir()
    (tmp_path / "note.txt").write_text("hello")
    (tmp_path / "empty.json").write_text("")
    before = sorted(tmp_path.rglob("*"))
    assert run(*(tmp_path / name for name in names)) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("bottleneck: ") and error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_slow_reading_tells_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_SLOW_S", 0.0)
    monkeypatch.setattr(reading, "_EVERY_S", 0.0)
    path = training(steps=2).save(tmp_path / "t.json")
    run("--json", path)
    assert "reading t.json: 100 %" in capsys.readouterr().err
    run("--json", "--quiet", path)
    assert capsys.readouterr().err == ""


def test_help_tells_of_traces(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    said = capsys.readouterr().out
    assert "torch.profiler" in said and "TRACE.bottleneck" in said
