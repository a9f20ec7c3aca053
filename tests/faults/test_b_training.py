"""Group B with real trainings: whatever ends one, exit code, record and report are there."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .runs import Ran, diagnose, fresh

pytestmark = pytest.mark.slow

SCRIPT = (Path(__file__).parent / "scripts" / "fate.py").read_text(encoding="utf-8")
FATES = ("kill", "segv", "execv", "leave", "pause", "remove")


@pytest.fixture(scope="module")
def fates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Return every fate's run; two at a time, as most of each is waiting."""

    def run(fate: str) -> Ran:
        work = tmp_path_factory.mktemp(fate) / "work"
        work.mkdir()
        (work / "fate.py").write_text(SCRIPT, encoding="utf-8")
        folder = fresh(work.parent)
        words = [fate, str(folder)] if fate == "remove" else [fate]
        # As a launcher would tell it: one of four, the others on hosts we do not see.
        ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4"} if fate == "pause" else {}
        return diagnose(["fate.py", *words], work, ranks, ("--full", "--no-stacks"), folder)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(FATES, pool.map(run, FATES), strict=True))


def _seen(ran: Ran) -> int:
    """Return how many steps the report rests on at most."""
    return int(ran.report["step"]["seen"])


@pytest.mark.parametrize("fate, number", [("kill", signal.SIGKILL), ("segv", signal.SIGSEGV)])
def test_a3_b1_b3_a_killed_training_leaves_a_partial_report_that_names_the_signal(
    fates: dict[str, Ran], fate: str, number: signal.Signals
) -> None:
    found = fates[fate]
    assert found.code == -number
    assert found.report["run"]["status"] == "partial"
    assert (found.report["run"]["signal"], found.report["run"]["exit_code"]) == (number.name, 128 + number)
    assert 20 <= _seen(found) <= 46, "46 steps of 20 ms, of which the last quarter of a second may be lost"
    assert f"The run was cut short: the script was ended by {number.name}." in " ".join(found.err.split())
    assert "Traceback" not in found.err


def test_b4_leaving_without_exit_handlers_is_no_crash(fates: dict[str, Ran]) -> None:
    found = fates["leave"]
    assert (found.code, found.out) == (0, b"trained\n")
    assert found.report["run"]["status"] == "complete"
    assert 40 <= _seen(found) <= 60


def test_b5_a_script_that_executes_itself_leaves_the_records_of_both_parts(fates: dict[str, Ran]) -> None:
    found = fates["execv"]
    assert (found.code, found.out) == (0, b"trained\n")
    assert found.run is not None
    assert len(list(found.run.glob("p*/trace.bin"))) == 2
    assert found.report["run"]["status"] == "complete"


def test_b7_a_stopped_process_changes_neither_the_median_nor_the_end(fates: dict[str, Ran]) -> None:
    found = fates["pause"]
    assert (found.code, found.out) == (0, b"trained\n")
    seconds = found.report["step"]["seconds"]
    assert seconds["median"] * 20 < 2.0, "two seconds of standing still are no step"


def test_b7_the_gap_is_shown_as_a_stopped_process(fates: dict[str, Ran]) -> None:
    report = fates["pause"].report
    account = {line["name"]: line["seconds"] for line in report["run"]["account"]}
    assert 1.0 < account["process stopped"] < 3.0, "it stood still for two seconds"
    # samples come twice a second, so steps just after it may be left out as well
    assert 1 <= report["step"]["excluded"]["the process was stopped"] <= 60


def test_b8_durations_do_not_depend_on_the_wall_clock(fates: dict[str, Ran]) -> None:
    found = fates["leave"]
    assert found.code == 0
    assert found.report["step"]["seconds"]["min"] > 0
    assert 0 < found.report["run"]["wall_s"] < 200
    assert all(phase["seconds"] >= 0 for phase in found.report["step"]["phases"])


def test_e1_a_run_folder_that_goes_away_takes_the_report_but_not_the_training(fates: dict[str, Ran]) -> None:
    found = fates["remove"]
    assert (found.code, found.out) == (0, b"trained\n")
    assert "Traceback" not in found.err and "Exception ignored" not in found.err
    assert "no report" in found.err


def test_d10_one_rank_of_several_is_said_to_be_one(fates: dict[str, Ran]) -> None:
    found = fates["pause"]
    assert found.code == 0
    assert "1 of 4 ranks" in str(found.report)
