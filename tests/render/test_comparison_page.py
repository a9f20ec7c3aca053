"""compare.html in a real browser: it runs nothing foreign, fits every width, and can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainbottleneck.render import compare_html

from .comparisons import four, poisoned, two
from .conftest import page_marks
from .hostile import PAYLOADS

pytestmark = page_marks
_CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
_OPEN = "document.querySelectorAll('details').forEach(each => each.open = true)"


def test_the_page_fits_every_width_and_can_be_read_in_both_themes(browser: Any, tmp_path: Path) -> None:
    for name, made in {"two": two(), "four": four(), "long": poisoned(two(), "W" * 500)}.items():
        path = tmp_path / f"{name}.html"
        path.write_text(compare_html.render(made), encoding="utf-8")
        for width, scheme in ((360, "light"), (1400, "dark")):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page = context.new_page()
            told: list[str] = []
            page.on("console", lambda message, told=told: told.append(message.text))
            page.on("pageerror", lambda error, told=told: told.append(str(error)))
            page.goto(path.as_uri())
            page.evaluate(_OPEN)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            assert page.evaluate(_CONTRAST) == [], (name, scheme)
            assert told == []
            context.close()


def test_hostile_text_does_not_run(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "compare.html"
    page = browser.new_page()
    hostile = [poisoned(two(), payload) for payload in PAYLOADS] + [poisoned(four(), PAYLOADS[0])]
    for made in hostile:
        path.write_text(compare_html.render(made), encoding="utf-8")
        page.goto(path.as_uri())
        page.evaluate(_OPEN)
        assert page.title().endswith("bottleneck compare")
        assert page.evaluate("document.images.length + document.scripts.length") == 1
    page.close()
