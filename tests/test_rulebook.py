"""Rule folders: the shipped one, overriding, errors, and every case beside a rule."""

from __future__ import annotations

import random
import time
import tracemalloc
from pathlib import Path

import pytest
import yaml
from advise.typical import typical
from trainbottleneck import rulebook
from trainbottleneck.advise.engine import advise
from trainbottleneck.advise.mitigation import parse_mitigation
from trainbottleneck.diagnose.engine import judge
from trainbottleneck.diagnose.rule import parse_rule
from trainbottleneck.errors import RuleError
from trainbottleneck.model.measurement import Measurements

SHIPPED = rulebook.shipped()
RULE = """\
id: {id}
title: {title}
bottleneck: gc
since: "0.1"
share: step.gc_frac
evidence: [Yes.]
"""


def write(folder: Path, name: str, text: str) -> None:
    """Write a bottleneck rule into ``folder``."""
    (folder / "bottlenecks").mkdir(exist_ok=True)
    (folder / "bottlenecks" / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def book() -> rulebook.Rulebook:
    """Return the shipped rules."""
    return rulebook.load()


def test_every_case_beside_a_shipped_rule_passes(book: rulebook.Rulebook) -> None:
    results = list(rulebook.run_cases(SHIPPED, book))
    assert [(r.file, r.case, r.failures) for r in results if r.failures] == []
    assert {r.rule for r in results} == {*book.bottlenecks, *book.mitigations}


def test_every_bottleneck_rule_has_a_case_that_fires_one_silent_one_unknown(book: rulebook.Rulebook) -> None:
    from trainbottleneck.diagnose.cases import parse_cases

    for name in book.bottlenecks:
        path = SHIPPED / "bottlenecks" / f"{name}.test.yaml"
        states = {
            case.expect.state for case in parse_cases(path.read_text(encoding="utf-8"), path.name).cases
        }
        assert states == {"fires", "silent", "unknown"}, name


def test_every_file_is_named_by_its_id() -> None:
    for kind, parse in (("bottlenecks", parse_rule), ("mitigations", parse_mitigation)):
        for path in (SHIPPED / kind).glob("*.yaml"):
            if not path.name.endswith(".test.yaml"):
                assert parse(path.read_text(encoding="utf-8"), path.name).id == path.stem


@pytest.mark.timing
def test_loading_and_judging_take_little_more_than_reading_the_files_and_50_mb() -> None:
    """The figure in milliseconds is a benchmark (``make bench``, rules): here it is a ratio of one run."""
    given, seconds, reading = typical("image", {}, {}), [], []
    for _ in range(5):
        start = time.process_time()  # CPU time: a busy machine must not fail this
        use(given)
        used = time.process_time()
        read_plainly()
        seconds.append(used - start)
        reading.append(time.process_time() - used)
    assert min(seconds) < 2 * min(reading)
    tracemalloc.start()
    kept = use(given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept
    assert peak < 50e6


def read_plainly() -> int:
    """Parse every shipped rule as YAML and nothing else; return how many there are."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    paths = [path for kind in ("bottlenecks", "mitigations") for path in (SHIPPED / kind).glob("*.yaml")]
    rules = [path for path in paths if not path.name.endswith(".test.yaml")]
    return len([yaml.load(path.read_bytes(), loader) for path in rules])


def use(given: Measurements) -> object:
    """Return all that comes out of reading every rule and judging one run."""
    book = rulebook.load()
    findings = judge(given, book.bottlenecks.values())
    return book, advise(findings, given, book.mitigations.values())


def test_a_folder_of_the_users_adds_and_overrides(tmp_path: Path) -> None:
    write(tmp_path, "gc.yaml", RULE.format(id="gc", title="Mine"))
    write(tmp_path, "new.yaml", RULE.format(id="new", title="New"))
    found = rulebook.load([SHIPPED, tmp_path]).bottlenecks
    assert found["gc"].title == "Mine"
    assert found["new"].title == "New"
    assert "storage" in found
    assert list(found) == sorted(found)


def test_one_id_in_two_files_of_a_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", RULE.format(id="gc", title="A"))
    write(tmp_path, "b.yaml", RULE.format(id="gc", title="B"))
    with pytest.raises(RuleError, match=r"b\.yaml: id: 'gc' is the id of a\.yaml as well"):
        rulebook.load([tmp_path])


def test_a_folder_that_is_none_or_holds_no_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="has no bottlenecks/"):
        rulebook.load([tmp_path])
    with pytest.raises(RuleError, match="not a folder"):
        rulebook.load([tmp_path / "none"])


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"id: \xe9"])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "a.yaml", "")
    (tmp_path / "bottlenecks" / "a.yaml").write_bytes(content)
    with pytest.raises(RuleError, match=r"a\.yaml: can't be read"):
        rulebook.load([tmp_path])


def test_a_failing_case_says_what_differs(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", RULE.format(id="a", title="A"))
    cases = (
        "rule: a\ncases:\n  - {name: x, given: {step.gc_frac: 0.5}, expect: {state: silent, share: 0.1}}\n"
    )
    write(tmp_path, "a.test.yaml", cases)
    (result,) = rulebook.run_cases(tmp_path, rulebook.load([tmp_path]))
    assert result.failures == ("state is fires, not silent", "share is 0.5, not 0.1")


def test_cases_of_an_unknown_rule_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.test.yaml", "rule: nobody\ncases: []\n")
    with pytest.raises(RuleError, match="no bottleneck rule 'nobody'"):
        list(rulebook.run_cases(tmp_path, rulebook.load([tmp_path])))


def mutate(text: str, choice: random.Random) -> str:
    """Return ``text`` with a few characters or lines replaced, doubled, moved or lost."""
    junk = [
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a ",
        "!!x ",
        "\0",
        "\n",
        "  ",
        ": ",
        "- ",
        "'",
        '"',
        "9" * 50,
    ]
    junk += [
        "1e999",
        "not ",
        "é",
        "\ud800",
        "\t",
        "#",
        "|",
        ">",
        "min(",
        "<<x>>",
        "{x}",
        "." * 9,
        "(" * 99,
        "null",
    ]
    for _ in range(choice.randint(1, 4)):
        start = choice.randrange(len(text) + 1)
        end = min(len(text), start + choice.choice([0, 1, 1, 3, 20]))
        new = choice.choice([*junk, "", text[start:end] * 2, text[end : end + 40]])
        text = text[:start] + new + text[end:]
    return text


def test_ten_thousand_damaged_rule_files_give_rules_or_one_line_errors() -> None:
    choice = random.Random(7)
    files = [
        path for path in sorted(SHIPPED.rglob("*.yaml")) if path.parent.name in ("bottlenecks", "mitigations")
    ]
    sources = [
        (path, path.read_text(encoding="utf-8")) for path in files if not path.name.endswith(".test.yaml")
    ]
    start, refused = time.process_time(), 0
    for _ in range(10_000):
        path, text = choice.choice(sources)
        parse = parse_rule if path.parent.name == "bottlenecks" else parse_mitigation
        try:
            parse(mutate(text, choice), path.name)
        except RuleError as error:
            refused += 1
            assert "\n" not in str(error)
            assert str(error).startswith(path.name)
    assert refused > 1000
    assert time.process_time() - start < 30  # 7 s on an idle core
