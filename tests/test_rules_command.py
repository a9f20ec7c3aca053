"""``bottleneck rules``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from trainbottleneck import rulebook
from trainbottleneck.cli.rules import rules
from trainbottleneck.model.report import FAMILY_OF

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


@pytest.fixture
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command read the shipped rules once, not once for each case."""
    monkeypatch.setattr(rulebook, "load", lambda folders: BOOK)


@pytest.mark.usefixtures("read_once")
@pytest.mark.parametrize("name", [*BOOK.bottlenecks, *BOOK.mitigations])
def test_every_rule_can_be_explained(name: str) -> None:
    result = run("explain", name)
    assert result.exit_code == 0
    assert name in result.output
    if name in BOOK.mitigations:
        assert all(line in result.output for line in BOOK.mitigations[name].snippet.splitlines())


@pytest.mark.parametrize(
    ("word", "near"), [("dl_worker", "dl_workers"), ("remov", "remove"), ("straggle", "straggler")]
)
def test_explaining_something_unknown_names_the_nearest(word: str, near: str) -> None:
    result = run("explain", word)
    assert result.exit_code == 2
    assert f"did you mean '{near}'?" in result.output
    assert "Traceback" not in result.output


def test_a_page_says_in_words_what_numbers_and_names_mean() -> None:
    output = run("explain", "dl_workers").output
    assert "num_workers=..." in output
    assert "input.wait_frac: Share of the mean step" in output
    assert "time of an iteration (T_i): down" in output
    assert "{" not in output
    assert all(line == line.rstrip() and len(line) <= 120 for line in output.splitlines())


TERMS = [
    (one["id"], one["meaning"])
    for group in ("components", "subcomponents", "actions", "categories", "currencies")
    for one in BOOK.taxonomy[group]
] + [(one["id"], one["meaning"]) for group in BOOK.taxonomy["mechanisms"].values() for one in group]


@pytest.mark.usefixtures("read_once")
@pytest.mark.parametrize(("term", "meaning"), TERMS)
def test_every_term_of_the_taxonomy_can_be_explained_and_leads_to_methods(term: str, meaning: str) -> None:
    result = run("explain", term.upper())
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    assert " ".join(meaning.split()) in words
    # The total is the product of the two currencies, so it has no methods of its own.
    assert any(name in words for name in BOOK.mitigations) or term == "total"


@pytest.mark.usefixtures("read_once")
@pytest.mark.parametrize("bottleneck", FAMILY_OF)
def test_every_bottleneck_can_be_explained(bottleneck: str) -> None:
    result = run("explain", bottleneck)
    assert result.exit_code == 0
    helps = [name for name, rule in BOOK.mitigations.items() if bottleneck in rule.addresses]
    assert all(f"{name}: " in result.output for name in helps)


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


HOSTILE = (
    "components: 3",
    "components: [1, null, {id: remove}, {meaning: x}]",
    "actions: [{id: [1], meaning: {a: b}, time_per_iteration: 3, elements: {x: y}, subcomponents: 7}]",
    "mechanisms: [1]",
    "mechanisms: {timing: {id: static}}",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_taxonomy_of_the_users_may_hold_anything(text: str, tmp_path: Path) -> None:
    (tmp_path / "taxonomy.yaml").write_text(text)
    for word in ("remove", "static", "[1]", "nobody"):
        result = run("explain", word, "--rules", str(tmp_path))
        assert result.exit_code in (0, 2)
        assert result.exception is None or isinstance(result.exception, SystemExit)


def test_the_table_of_rules_in_the_readme_is_current() -> None:
    readme = (rulebook.shipped() / "README.md").read_text(encoding="utf-8")
    _, _, after = readme.partition("<!-- bottleneck rules list --markdown -->\n")
    assert after.strip() == run("list", "--markdown").output.strip()


def test_the_rule_in_the_readme_is_a_rule_and_passes_its_cases(tmp_path: Path) -> None:
    readme = (rulebook.shipped() / "README.md").read_text(encoding="utf-8")
    rule, cases, *_ = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "bottlenecks").mkdir()
    (tmp_path / "bottlenecks" / "slow_collate.yaml").write_text(rule)
    (tmp_path / "bottlenecks" / "slow_collate.test.yaml").write_text(cases)
    result = run("test", str(tmp_path))
    assert (result.exit_code, result.output) == (0, "3 of 3 cases pass\n")
