"""Group C: signals reach the script as without us, and end us as they end it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .runs import COMMAND, Ran, diagnose, execute, finish, is_alive, plain, start, wait_for, write

SAVING = """
    import os, pathlib, sys, time
    pathlib.Path("pid").write_text(str(os.getpid()))
    try:
        pathlib.Path("ready").touch()
        time.sleep(60)
    except KeyboardInterrupt:
        pathlib.Path("saving").touch()
        try:
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                time.sleep(0.05)
        except KeyboardInterrupt:
            pathlib.Path("second").touch()
        pathlib.Path("saved").touch()
        raise
"""
HANDLING = """
    import os, pathlib, signal, sys, time
    seen = []
    def handle(number, frame):
        seen.append(number)
        if number == signal.SIGTERM:
            print(seen, flush=True)
            sys.exit(6)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, handle)
    pathlib.Path("pid").write_text(str(os.getpid()))
    pathlib.Path("ready").touch()
    while True:
        time.sleep(0.02)
        pathlib.Path("count").write_text(str(len(seen)))
"""


def _start(
    folder: Path, script: str, flags: tuple[str, ...] = ("--full", "--quiet")
) -> subprocess.Popen[bytes]:
    """Start a script under us and return once it is ready."""
    work = write(folder, {"train.py": script})
    process = start([*COMMAND, "diagnose", *flags, "-o", str(folder / "run"), "train.py"], work)
    wait_for((work / "ready").exists, "the script")
    # The agent waits for torch and nothing else happens in the script, but our own side must follow it by now.
    wait_for((folder / "run" / "run.json").exists, "the run file")
    return process


def _end(process: subprocess.Popen[bytes], folder: Path) -> Ran:
    return finish(process, folder / "run")


@pytest.mark.parametrize("times", [1, 2])
def test_c1_c2_ctrl_c_reaches_a_script_that_saves_and_the_report_is_written(
    tmp_path: Path, times: int
) -> None:
    process = _start(tmp_path, SAVING)
    work = tmp_path / "work"
    os.killpg(process.pid, signal.SIGINT)
    wait_for((work / "saving").exists, "the script to save")
    if times == 2:
        os.killpg(process.pid, signal.SIGINT)
    found = _end(process, tmp_path)
    assert (work / "saved").exists()
    assert (work / "second").exists() == (times == 2)
    assert found.code == -signal.SIGINT
    assert "KeyboardInterrupt" in found.err and found.err.count("Traceback") == 1
    assert found.report["run"]["signal"] == "SIGINT"


def test_c3_ctrl_c_while_the_report_is_made_leaves_the_record_and_no_half_page(tmp_path: Path) -> None:
    """The report is made slow; everything else is the real thing."""
    work = write(tmp_path, {"train.py": "print('trained')"})
    slow = (
        "import pathlib, sys, time; from trainbottleneck.cli import main\n"
        "def make(*a):\n    pathlib.Path('making').touch(); time.sleep(60)\n"
        "sys.modules['trainbottleneck.cli.diagnose'].make_report = make\nmain()"
    )
    run = tmp_path / "run"
    process = start([sys.executable, "-c", slow, "diagnose", "--quiet", "-o", str(run), "train.py"], work)
    wait_for((work / "making").exists, "the report to be made")
    os.killpg(process.pid, signal.SIGINT)
    found = _end(process, tmp_path)
    assert (found.code, found.out) == (0, b"trained\n")
    assert "the record is kept" in found.err and "Traceback" not in found.err
    assert not list(run.glob("*report.*"))
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["outcome"]["exit_code"] == 0


def test_b10_a_report_that_fails_costs_neither_exit_code_nor_record(tmp_path: Path) -> None:
    work = write(tmp_path, {"train.py": "import sys; sys.exit(9)"})
    broken = (
        "import sys; from trainbottleneck.cli import main\n"
        "def make(*a):\n    raise ZeroDivisionError('ours')\n"
        "sys.modules['trainbottleneck.cli.diagnose'].make_report = make\nmain()"
    )
    found = diagnose(["train.py"], work, command=(sys.executable, "-c", broken))
    assert found.code == 9
    assert "ZeroDivisionError: ours" in found.err and "bottleneck report" in found.err
    assert "Traceback" not in found.err
    assert found.run is not None and (found.run / "run.json").exists()


@pytest.mark.parametrize("whom", ["us", "group"])
def test_c4_c8_sigterm_ends_script_and_command_and_leaves_a_report(tmp_path: Path, whom: str) -> None:
    process = _start(tmp_path, SAVING)
    pid = int((tmp_path / "work" / "pid").read_text())
    os.kill(process.pid, signal.SIGTERM) if whom == "us" else os.killpg(process.pid, signal.SIGTERM)
    found = _end(process, tmp_path)
    assert (found.code, found.err) == (-signal.SIGTERM, "")
    assert not is_alive(pid)
    assert found.report["run"]["signal"] == "SIGTERM"


def test_c5_c8_signals_to_us_reach_the_scripts_handlers_once_each(tmp_path: Path) -> None:
    process = _start(tmp_path, HANDLING)
    count = tmp_path / "work" / "count"
    for number, wanted in ((signal.SIGUSR1, 1), (signal.SIGUSR2, 2), (signal.SIGHUP, 3)):
        os.kill(process.pid, number)
        wait_for(lambda wanted=wanted: count.exists() and count.read_text() == str(wanted), f"{number!r}")
    os.kill(process.pid, signal.SIGTERM)
    found = _end(process, tmp_path)
    assert (found.code, found.err) == (6, "")
    assert json.loads(found.out) == [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGTERM]
    assert found.report["run"]["exit_code"] == 6


def test_c8_killing_the_command_leaves_no_orphan_and_a_record_to_report_on(tmp_path: Path) -> None:
    process = _start(tmp_path, SAVING)
    pid = int((tmp_path / "work" / "pid").read_text())
    os.kill(process.pid, signal.SIGKILL)
    assert _end(process, tmp_path).code == -signal.SIGKILL
    wait_for(lambda: not is_alive(pid), "the script to end")
    again = execute([*COMMAND, "report", str(tmp_path / "run")], tmp_path)
    assert again.code == 0
    assert "the command that measured it was killed" in " ".join(again.err.split())


def test_c6_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    """As under nohup, and as a shell starts what it puts into the background."""
    script = (
        "import signal; print([signal.getsignal(s) for s in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)])"
    )
    work = write(tmp_path, {"train.py": script})
    shell = 'trap "" INT HUP; exec "$@" train.py'
    expected = execute(["bash", "-c", shell, "-", sys.executable], work)
    found = execute(["bash", "-c", shell, "-", *COMMAND, "diagnose", "--quiet", "-o", "../run"], work)
    assert b"SIG_IGN" in expected.out
    assert (found.code, found.out, found.err) == (0, expected.out, "")


def test_c7_the_command_works_in_a_thread(tmp_path: Path) -> None:
    work = write(tmp_path, {"train.py": "print('trained')"})
    caller = (
        "import sys, threading; from trainbottleneck.cli import main\n"
        "t = threading.Thread(target=main, args=(sys.argv[1:],)); t.start(); t.join()"
    )
    found = diagnose(["train.py"], work, command=(sys.executable, "-c", caller))
    assert (found.code, found.out, found.err) == (0, b"trained\n", "")
    assert found.report["run"]["exit_code"] == 0
    assert plain(["train.py"], work).out == found.out


COLLECTING = """
    import gc, signal, sys, torch

    class Alarm(Exception):
        pass

    def handle(number, frame):
        if sys.argv[1] == "error":
            raise Alarm("time is up")
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, handle)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    kept = [[i] for i in range(1_500_000)]
    try:
        for step in range(6):
            model(torch.ones(2, 4)).sum().backward()
            optimizer.step()
            if step == 3:  # the signal comes while the collector runs, some 50 ms or more
                signal.setitimer(signal.ITIMER_REAL, 0.005)
                gc.collect()
    except (Alarm, KeyboardInterrupt) as error:
        print("ended by", type(error).__name__, step >= 3)
        raise SystemExit(7)
    print("ran on")
"""


@pytest.mark.parametrize("kind", ["error", "interrupt"])
def test_an_exception_from_a_handler_that_runs_in_a_collection_reaches_the_script(
    tmp_path: Path, kind: str
) -> None:
    """Python drops what a gc callback raises; ours must not let a Ctrl-C of the user vanish with it."""
    work = write(tmp_path, {"train.py": COLLECTING})
    ran = diagnose(["train.py", kind], work)
    expected = {"error": "Alarm", "interrupt": "KeyboardInterrupt"}[kind]
    assert ran.out == f"ended by {expected} True\n".encode()
    assert ran.code == 7
