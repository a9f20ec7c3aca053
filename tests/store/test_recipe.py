"""recipe.json: what was written is read, and what is no recipe is refused in one line that says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trainbottleneck.errors import RecordError
from trainbottleneck.model.overrides import OVERRIDES, Setting
from trainbottleneck.model.trial import Change
from trainbottleneck.store import read_recipe, write_recipe

LOADER = {"mitigation": "dl_workers", "override": "loader", "settings": {"num_workers": 4}}


def _value(setting: Setting) -> st.SearchStrategy[float]:
    """Return any value a setting can have."""
    if setting.kind == "switch":
        return st.sampled_from((0.0, 1.0))
    if setting.kind == "count":
        return st.integers(int(setting.least), 10**9).map(float)
    return st.floats(setting.least, 1e9)


def _settings(name: str) -> st.SearchStrategy[dict[str, float]]:
    """Return some of an override's settings with any of their values."""
    return st.fixed_dictionaries(
        {}, optional={key: _value(one) for key, one in OVERRIDES[name].settings.items()}
    )


changes = st.sampled_from(sorted(OVERRIDES)).flatmap(
    lambda name: st.builds(
        Change, mitigation=st.text(max_size=8), override=st.just(name), settings=_settings(name)
    )
)


def _read(folder: Path, value: Any) -> tuple[Change, ...]:
    """Return what is read from a file that holds ``value``."""
    path = folder / "recipe.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return read_recipe(path)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # the file is replaced
@given(recipe=st.lists(changes, max_size=4).map(tuple))
def test_what_was_written_is_read(recipe: tuple[Change, ...], tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    write_recipe(path, recipe)
    assert read_recipe(path) == recipe


def test_the_file_is_what_a_person_would_write(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    write_recipe(path, (Change(mitigation="dl_workers", override="loader", settings={"num_workers": 4.0}),))
    assert (
        path.read_text(encoding="utf-8")
        == '{\n "schema": 1,\n "changes": [\n  ' + json.dumps(LOADER) + "\n ]\n}\n"
    )


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "not valid JSON"),
        ([], "no recipe: it needs 'schema' and 'changes'; `bottleneck tune` writes one"),
        ({"schema": 1}, "no recipe: it needs 'schema' and 'changes'; `bottleneck tune` writes one"),
        ({"changes": []}, "schema: has to be 1"),
        ({"schema": True, "changes": []}, "schema: has to be 1"),
        (
            {"schema": 2, "changes": []},
            "schema: this recipe has 2 and this version reads up to 1: update bottleneck",
        ),
        ({"schema": 1, "changes": [], "by": "me"}, "unknown field 'by': leave it out"),
        ({"schema": 1, "changes": {}}, "changes: has to be a list of at most 100 changes"),
        ({"schema": 1, "changes": [LOADER] * 101}, "changes: has to be a list of at most 100 changes"),
        ({"schema": 1, "changes": [3]}, "changes[0]: has to be a mapping of mitigation, override, settings"),
        ({"schema": 1, "changes": [LOADER, {"override": "gc"}]}, "changes[1]: lacks 'mitigation': add it"),
        ({"schema": 1, "changes": [{**LOADER, "why": 1}]}, "changes[0]: unknown field 'why': leave it out"),
        ({"schema": 1, "changes": [{**LOADER, "override": 3}]}, "changes[0].override: has to be text"),
        (
            {"schema": 1, "changes": [{**LOADER, "settings": []}]},
            "changes[0].settings: has to be a mapping of names to numbers; {} for none",
        ),
        (
            {"schema": 1, "changes": [{**LOADER, "override": "loaders"}]},
            "changes[0]: there is no override 'loaders'; did you mean 'loader'?",
        ),
        (
            {"schema": 1, "changes": [{**LOADER, "settings": {"workers": 1}}]},
            "changes[0]: loader has no setting 'workers'; did you mean 'num_workers'?",
        ),
        (
            {"schema": 1, "changes": [{**LOADER, "settings": {"num_workers": True}}]},
            "changes[0]: loader.num_workers has to be a number",
        ),
        (
            {"schema": 1, "changes": [{**LOADER, "settings": {"num_workers": "4"}}]},
            "changes[0]: loader.num_workers has to be a number",
        ),
        ('{"schema": 1, "changes": [' + json.dumps(LOADER).replace("4", "NaN") + "]}", "has to be a number"),
        (
            '{"schema": 1, "changes": [' + json.dumps(LOADER).replace("4", "1e999") + "]}",
            "has to be a number",
        ),
    ],
)
def test_what_is_no_recipe_is_refused_in_one_line(value: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        _read(tmp_path, value)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'recipe.json'}: ") and says in text and "\n" not in text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"nothing\.json: can't be read"):
        read_recipe(tmp_path / "nothing.json")


def test_a_change_that_no_override_makes_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    with pytest.raises(ValueError, match="no setting 'frozen'"):
        write_recipe(path, (Change(mitigation="m", override="gc", settings={"frozen": 1.0}),))
    assert not path.exists()
