"""The page in a real browser: it runs nothing foreign, fits every width, and needs no mouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trainbottleneck.model.report import Report
from trainbottleneck.render import html_report

from .conftest import page_marks
from .hostile import PAYLOADS, poisoned
from .samples import SAMPLES, rich

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = page_marks

Open = Callable[..., Any]
_CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens a report's page; what the page says and asks for is checked at the end."""
    told: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_page(report: Report, width: int = 1400, **options: Any) -> Any:
        path = tmp_path / "report.html"
        path.write_text(html_report.render(report), encoding="utf-8")
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert told == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("closed", [True, False])
def test_hostile_text_does_not_run(show: Open, payload: str, closed: bool) -> None:
    page = show(poisoned(rich(), payload, closed))
    title = page.title()
    assert title.endswith("bottleneck report")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    for selector in ("h1", ".f", "td", "code", "summary"):
        page.locator(selector).first.hover()
    assert page.title() == title
    assert page.evaluate("document.images.length + document.scripts.length") == 1


def test_a_foreign_script_would_be_stopped_by_the_policy(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    text = html_report.render(rich()).replace("</body>", "<script>document.title='PWNED'</script></body>")
    path.write_text(text, encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.title() != "PWNED"
    page.close()


@pytest.mark.parametrize("width", [360, 768, 1400])
@pytest.mark.parametrize("name", SAMPLES)
def test_page_never_scrolls_sideways(show: Open, name: str, width: int) -> None:
    page = show(SAMPLES[name](), width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [360, 1400])
def test_words_without_blanks_do_not_widen_the_page(show: Open, width: int) -> None:
    page = show(poisoned(rich(), "W" * 500, True), width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# What a keyboard must reach; the flame graph is one stop, arrows move inside it.
_STOPS = """() => [...document.querySelectorAll('a[href], button, summary, [tabindex]')]
    .filter(each => each.tabIndex >= 0 && each.checkVisibility({visibilityProperty: true}))"""


_FOCUS_SHOWS = """() => document.activeElement === document.body
    || getComputedStyle(document.activeElement).outlineStyle !== 'none'"""


def test_tab_reaches_every_control_and_shows_where_it_is(show: Open) -> None:
    page = show(rich())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.evaluate(f"window.stops = ({_STOPS})(); window.reached = new Set()")
    count = page.evaluate("window.stops.length")
    assert count > 20
    for _ in range(count + 10):
        page.keyboard.press("Tab")
        page.evaluate("window.reached.add(document.activeElement)")
        assert page.evaluate(_FOCUS_SHOWS)
    missed = "window.stops.filter(each => !window.reached.has(each)).map(each => each.outerHTML.slice(0, 80))"
    assert page.evaluate(missed) == []


def test_first_tab_stop_skips_to_the_verdict(show: Open) -> None:
    page = show(rich())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_flame_graph_is_walked_and_zoomed_by_keys(show: Open) -> None:
    page = show(rich())
    page.locator(".f").first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.textContent").startswith("run_backward")
    assert (
        page.locator(".flame-info")
        .text_content()
        .startswith("run_backward (torch/autograd/graph.py:824): 14 %")
    )
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.style.width") == "100%"
    assert page.locator(".f:not([hidden])").count() == 3
    page.keyboard.press("Escape")
    assert page.locator(".f[hidden]").count() == 0


def test_printing_opens_all_details_and_closes_them_again(show: Open) -> None:
    page = show(rich())
    shut = page.locator("details:not([open])").count()
    assert shut > 5
    page.emulate_media(media="print")
    expect(page.locator("details:not([open])")).to_have_count(0)
    assert page.locator("#theme").is_hidden()
    page.emulate_media(media="screen")
    expect(page.locator("details:not([open])")).to_have_count(shut)


def test_printing_shows_details_even_without_script(show: Open) -> None:
    page = show(rich(), java_script_enabled=False)
    page.emulate_media(media="print")
    hidden = page.locator("details:not([open]) .proof").first
    assert hidden.bounding_box()["height"] > 20


def test_theme_button_overrides_what_the_system_prefers(show: Open) -> None:
    page = show(rich(), color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    button = page.locator("#theme")
    button.click()
    assert (button.text_content(), page.evaluate(background)) == ("Theme: light", light)
    button.click()
    assert button.text_content() == "Theme: dark"
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark


def test_paper_is_white_whatever_the_theme(show: Open) -> None:
    page = show(rich(), color_scheme="dark")
    page.locator("#theme").click(click_count=2)
    page.emulate_media(media="print", color_scheme="dark")
    ink = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
    assert max(map(int, ink.strip("rgb()").split(","))) < 60
    assert page.evaluate(_CONTRAST) == []


def test_copy_button_copies_the_snippet(show: Open) -> None:
    page = show(rich(), permissions=["clipboard-read", "clipboard-write"])
    page.locator("button.copy").first.click()
    expect(page.locator("button.copy").first).to_have_text("Copied")
    assert "num_workers=6" in page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", SAMPLES)
def test_all_text_has_enough_contrast(show: Open, name: str, scheme: str) -> None:
    page = show(SAMPLES[name](), color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate(_CONTRAST) == []
