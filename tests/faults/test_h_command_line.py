"""Group H: what is wrong with a command line is said in one line before anything starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from trainbottleneck.cli import main

from .runs import COMMAND, alike, diagnose, execute, plain, write


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line on stderr with which the command ends, code 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    assert ended.value.code == 2, told
    assert told.out == "" and told.err.count("\n") == 1 and told.err.startswith("bottleneck: ")
    return told.err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


TARGETS = {
    "missing.py": "no such script",
    "missing": "no such script, and no such command",
    "folder": "directory without __main__.py",
    "notebook.ipynb": "notebook",
    "job.sh": "shell script",
    "binary": "binary file",
    "-x": "-x",
    "nul\0\x1bbyte.py": "nul\\x00\\x1bbyte.py",
    "x" * 4000 + ".py": "not a usable path",
    "": "no target",
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda name: repr(name[:20]))
def test_h1_h3_what_is_no_script_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    (here / "folder").mkdir()
    (here / "notebook.ipynb").write_text("{}")
    (here / "job.sh").write_text("python train.py\n")
    (here / "binary").write_bytes(b"\x7fELF\0\0")
    assert TARGETS[target] in _refused(capsys, "diagnose", target)
    assert not (here / "bottleneck-runs").exists()


def test_h1_no_script_at_all_and_an_unreadable_one_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no target" in _refused(capsys, "diagnose")
    assert "no target" in _refused(capsys, "diagnose", "--full", "--")
    (here / "secret.py").touch(mode=0o000)
    if os.geteuid() != 0:
        assert "permission denied" in _refused(capsys, "diagnose", "secret.py")


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["diagnose", "--steps", "-1", "train.py"], "--steps"),
        (["diagnose", "--steps", "abc", "train.py"], "--steps"),
        (["diagnose", "--seconds", "nan?", "train.py"], "--seconds"),
        (["diagnose", "--no-such", "train.py"], "--no-such"),
        (["diagnose", "-o", "train.py", "train.py"], "is a file"),
        (["diagnose", "-o"], "-o"),
        (["diagnose", "-m"], "-m"),
        (["diagnose", "--python", "/no/such/python", "train.py"], "--python"),
        (["diagnose", "--python", "/bin/true", "--", "sh"], "--python"),
        (["diagnose", "--rules", "/no/such/rules", "train.py"], "/no/such/rules"),
        (["no-such-command"], "no-such-command"),
        (["report"], "RUN"),
        (["report", "/no/such/run"], "no such run"),
        (["--no-such"], "--no-such"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_h2_wrong_options_are_named(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    (here / "train.py").write_text("open('started', 'w')")
    assert named in _refused(capsys, *arguments)
    assert not (here / "started").exists()
    assert (here / "train.py").read_text() == "open('started', 'w')"


def test_h4_folders_and_files_that_are_no_run_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "empty").mkdir()
    (here / "other").mkdir()
    (here / "other" / "run.json").write_text('{"name": "another tool"}')
    (here / "text.json").write_text("not a folder")
    assert "no run.json" in _refused(capsys, "report", "empty")
    assert "not a run of ours" in _refused(capsys, "report", "other")
    assert "not a profiler trace" in _refused(capsys, "report", "text.json")


def test_h4_two_runs_mixed_in_one_folder_are_still_read(run: Path, tmp_path: Path) -> None:
    process = next(run.glob("p*-*"))
    shutil.copytree(process, run / "p999-00000000")
    done = execute([*COMMAND, "report", str(run)], tmp_path)
    assert done.code in (0, 2) and "Traceback" not in done.err


@pytest.mark.parametrize("name", ["my script.py", 'it\'s "quoted".py', "new\nline.py", "--first.py", "run"])
def test_h3_unusual_names_work(tmp_path: Path, name: str) -> None:
    script = "import sys; print(sys.argv, __file__); print(missing)"
    argv = ["./" + name] if name.startswith("-") else [name]
    found = alike(tmp_path, {name: script}, argv)
    assert found.code == 1 and found.run is not None
    assert (found.run / "report.html").exists() and (found.run / "report.json").exists()


def test_h3_a_name_that_is_no_text_works(tmp_path: Path) -> None:
    work = write(tmp_path, {"x": ""})
    name = b"caf\xe9\xff.py"
    Path(os.fsdecode(os.fsencode(work) + b"/" + name)).write_text("import sys; print(ascii(sys.argv))")
    expected = plain([name, b"\xfe"], work)
    found = diagnose([name, b"\xfe"], work, flags=("--full",))
    assert (found.code, found.out) == (0, expected.out)
    assert "Traceback" not in found.err and "no report" not in found.err
    assert found.run is not None and (found.run / "report.html").exists()
    assert execute([*COMMAND, "report", "--json", str(found.run)], work).code == 0


@pytest.mark.parametrize("script, code", [("", 0), ("print('x'\nfor", 1)], ids=["empty", "syntax error"])
def test_h1_empty_scripts_and_syntax_errors_are_pythons_business(
    tmp_path: Path, script: str, code: int
) -> None:
    assert alike(tmp_path, {"train.py": script}, ["train.py"]).code == code
