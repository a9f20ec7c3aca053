"""Text that tries to run, and a reader of pages that notices where it could."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from trainbottleneck.model.report import Report

PAYLOADS = (
    "</script><script>document.title='PWNED'</script>",
    "</style><script>document.title='PWNED'</script>",
    "<img src=x onerror=\"document.title='PWNED'\">",
    "\" autofocus onfocus=\"document.title='PWNED'",
    "' onmouseover='document.title=1",
    "--><svg onload=document.title='PWNED'>",
    "javascript:document.title='PWNED'",
    "https://example.com/x' onclick='document.title=1",
    "{{ ''.__class__ }}{% raw %}",
    "\u2028document.title='PWNED'\u2029",
    "\x1b]0;PWNED\x07\x1b[31m\r\x9b2J",
    "\u202egnp.exe\ud800\x00",
)
# Words from fixed lists: poisoned only on demand, because most of the page hangs on them.
_CLOSED = {"state", "unit", "basis", "share_basis", "currency", "phase", "severity", "confidence", "kind"}


def poisoned(report: Report, payload: str, closed: bool) -> Report:
    """Return ``report`` with ``payload`` after every text; ``closed`` leaves words of fixed lists alone."""
    found: Report = _poison(report, payload, closed, "")
    extra = {payload: payload, "list": [payload]}
    return dataclasses.replace(
        found,
        environment={**found.environment, **extra},
        efficiency={**found.efficiency, payload: {"value": payload, "unit": payload, "blind_to": payload}},
        ranks=(*found.ranks, extra),
        measurements={**found.measurements, payload: {"value": 1.0, "unit": payload}},
        overhead={**found.overhead, payload: payload},
    )


def _poison(value: Any, payload: str, closed: bool, name: str) -> Any:
    """Return ``value`` with every text in it poisoned."""
    if isinstance(value, str):
        return value if closed and name in _CLOSED else value + payload
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: _poison(getattr(value, field.name), payload, closed, field.name)
            for field in dataclasses.fields(value)
        }
        return type(value)(**fields)
    if isinstance(value, Mapping):
        return {key: _poison(item, payload, closed, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_poison(item, payload, closed, name) for item in value)
    return value


_OURS = frozenset(
    [
        *(
            "html",
            "head",
            "meta",
            "title",
            "link",
            "style",
            "script",
            "body",
            "header",
            "nav",
            "main",
            "section",
        ),
        *(
            "footer",
            "article",
            "div",
            "p",
            "span",
            "a",
            "b",
            "i",
            "em",
            "small",
            "br",
            "code",
            "pre",
            "ul",
            "ol",
        ),
        *(
            "li",
            "dl",
            "dt",
            "dd",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "h1",
            "h2",
            "h3",
            "h4",
            "figure",
        ),
        *(
            "figcaption",
            "details",
            "summary",
            "button",
            "svg",
            "rect",
            "path",
            "line",
            "circle",
            "text",
            "desc",
        ),
    ]
)


class Outline(HTMLParser):
    """What a browser would find: text, and problems such as elements or handlers that are not ours."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.problems: list[str] = []
        self._seen = {"script": 0, "style": 0}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what must not be on the page."""
        if tag not in _OURS:
            self.problems.append(f"element {tag}")
        if tag in self._seen:
            self._seen[tag] += 1
            if self._seen[tag] > 1 or attrs:
                self.problems.append(f"a second {tag}")
        for name, value in attrs:
            self._attribute(tag, name, value or "")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        """Note attributes that act."""
        if name.startswith("on") or name in ("src", "srcdoc", "action", "formaction", "xlink:href", "target"):
            self.problems.append(f"{name} on {tag}")
        if name == "href" and not value.startswith(("#", "https://")) and tag != "link":
            self.problems.append(f"address {value!r}")
        if name == "href" and tag == "link" and not value.startswith("data:image/svg+xml,"):
            self.problems.append(f"icon {value!r}")
        if name == "style" and set(value) - set("abcdefghijklmnopqrstuvwxyz0123456789.%:;*()- "):
            self.problems.append(f"style {value!r}")

    def handle_data(self, data: str) -> None:
        """Collect text."""
        self.text += data


def outline(page: str) -> Outline:
    """Return what is on ``page``."""
    reader = Outline()
    reader.feed(page)
    reader.close()
    return reader
