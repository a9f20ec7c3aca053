"""Each output of three typical reports, against the files in tests/golden/."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from trainbottleneck.render import html_report, json_report, terminal_report

from .samples import SAMPLES

Golden = Callable[[str, str], None]


@pytest.mark.parametrize("name", SAMPLES)
def test_json_is_the_golden_file(name: str, golden: Golden) -> None:
    golden(f"{name}.json", json_report.render(SAMPLES[name]()))


@pytest.mark.parametrize("name", SAMPLES)
def test_terminal_is_the_golden_file(name: str, golden: Golden) -> None:
    golden(f"{name}.txt", terminal_report.render(SAMPLES[name](), width=80, color=False))


@pytest.mark.parametrize("name", SAMPLES)
def test_page_is_the_golden_file_but_for_style_and_script(name: str, golden: Golden) -> None:
    page = html_report.render(SAMPLES[name]())
    page = re.sub(r"(<style>).*?(</style>)|(<script>).*?(</script>)", r"\1\2\3\4", page, flags=re.S)
    golden(f"{name}.html", re.sub(r"sha256-[A-Za-z0-9+/=]+", "sha256-", page))
