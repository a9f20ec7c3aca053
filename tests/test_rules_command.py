"""``bottleneck rules``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from trainbottleneck import rulebook
from trainbottleneck.cli.rules import rules

BOOK = rulebook.load()
RULE = 'id: mine\ntitle: My own\nbottleneck: gc\nsince: "0.1"\nshare: step.gc_frac\nevidence: [Yes.]\n'
CASES = "rule: mine\ncases:\n  - {{name: x, given: {{step.gc_frac: 0.5}}, expect: {{state: {state}}}}}\n"


def run(*arguments: str) -> Result:
    """Return what ``bottleneck rules ARGUMENTS`` did."""
    return CliRunner().invoke(rules, arguments)


def folder(where: Path, state: str = "fires") -> str:
    """Write a folder with one rule and one case into ``where``."""
    (where / "bottlenecks").mkdir()
    (where / "bottlenecks" / "mine.yaml").write_text(RULE)
    (where / "bottlenecks" / "mine.test.yaml").write_text(CASES.format(state=state))
    return str(where)


def test_list_names_every_rule() -> None:
    result = run("list")
    assert result.exit_code == 0
    assert all(name in result.output for name in (*BOOK.bottlenecks, *BOOK.mitigations))


def test_list_by_bottleneck_names_what_addresses_it() -> None:
    lines = run("list", "--bottleneck", "storage").output.splitlines()
    listed = {line.split()[0] for line in lines if line.startswith("  ")}
    assert listed == {"storage"} | {
        name for name, rule in BOOK.mitigations.items() if "storage" in rule.addresses
    }


def test_list_by_component_and_action_names_methods_of_that_cell() -> None:
    lines = run("list", "--component", "data", "--action", "remove").output.splitlines()
    listed = {line.split()[0] for line in lines if line.startswith("  ")}
    cell = ("data", "remove")
    wanted = {
        n for n, rule in BOOK.mitigations.items() if cell in {(p.component, p.action) for p in rule.paths}
    }
    assert listed == wanted != set()


@pytest.mark.parametrize(
    ("option", "value", "near"),
    [("--bottleneck", "storag", "storage"), ("--component", "dat", "data"), ("--action", "remov", "remove")],
)
def test_list_by_something_unknown_is_a_usage_error(option: str, value: str, near: str) -> None:
    result = run("list", option, value)
    assert result.exit_code == 2
    assert f"did you mean '{near}'?" in result.output


@pytest.mark.parametrize("name", [*BOOK.bottlenecks, *BOOK.mitigations])
def test_every_rule_can_be_explained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rulebook, "load", lambda folders: BOOK)  # read once, not once for each rule
    result = run("explain", name)
    assert result.exit_code == 0
    assert name in result.output
    if name in BOOK.mitigations:
        assert all(line in result.output for line in BOOK.mitigations[name].snippet.splitlines())


def test_explaining_something_unknown_names_the_nearest() -> None:
    result = run("explain", "dl_worker")
    assert result.exit_code == 2
    assert "did you mean 'dl_workers'?" in result.output


def test_the_shipped_rules_pass_their_cases() -> None:
    result = run("test", str(rulebook.shipped()))
    assert result.exit_code == 0, result.output
    assert "cases pass" in result.output


def test_a_folder_of_the_users_is_tested_with_its_own_rules(tmp_path: Path) -> None:
    result = run("test", folder(tmp_path))
    assert (result.exit_code, result.output) == (0, "1 of 1 cases pass\n")


def test_a_failing_case_is_named_and_the_exit_code_tells(tmp_path: Path) -> None:
    result = run("test", folder(tmp_path, "silent"))
    assert result.exit_code == 1
    assert "mine.test.yaml: x: state is fires, not silent" in result.output


def test_folders_given_with_rules_are_listed_and_explained(tmp_path: Path) -> None:
    where = folder(tmp_path)
    assert "My own" in run("list", "--rules", where).output
    assert "My own" in run("explain", "mine", "--rules", where).output


def test_a_wrong_file_is_one_line_and_a_usage_error(tmp_path: Path) -> None:
    where = folder(tmp_path)
    (tmp_path / "bottlenecks" / "mine.yaml").write_text(RULE.replace("step.gc_frac", "step.gc_fra"))
    result = run("list", "--rules", where)
    assert result.exit_code == 2
    assert "mine.yaml: share: unknown name 'step.gc_fra'" in result.output
    assert "did you mean 'step.gc_frac'?" in result.output


def test_a_folder_without_cases_does_not_pass(tmp_path: Path) -> None:
    assert run("test", str(tmp_path)).exit_code == 1
