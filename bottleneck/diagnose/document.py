"""Reading YAML from untrusted files: plain data only, bounded in size and depth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from ..errors import RuleError

MAX_CHARACTERS = 256 * 1024  # the longest rule we ship has 6,000 characters
MAX_DEPTH = 40  # ours nest 4 deep
MAX_NODES = 20_000  # ours have under 200

_LOADER = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml where PyYAML was built with it: 8 times faster
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_LETTERS_OF_TEXT = frozenset("abcdeghijklmpqrsuvwxzABCDEGHIJKLMPQRSUVWXZ`\"'")  # no word or number begins so
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,4})?\Z")


def read_document(text: str, where: str) -> Any:
    """Return the plain data (dict, list, str, int, float, bool, None) of one YAML document.

    Refuses what safe YAML allows and a rule never needs: anchors and aliases (a few lines of them
    expand to gigabytes), tags, several documents, a key given twice, keys that are not text.

    Raises:
        RuleError: The text is not such a document; the error names ``where`` and the line.
    """
    if len(text) > MAX_CHARACTERS:
        raise RuleError(f"{where}: file is longer than {MAX_CHARACTERS // 1024} KiB")
    try:
        return _Builder(where).build(text)
    except (yaml.YAMLError, ValueError, RecursionError, MemoryError) as error:
        raise RuleError(f"{where}: not valid YAML: {_one_line(error)}") from None


def _one_line(error: BaseException) -> str:
    """Return what is wrong, and in which line where PyYAML tells."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    place = "" if mark is None else f" (line {mark.line + 1})"
    return ascii(" ".join(str(problem).split()))[1:-1][:200] + place


class _Builder:
    """Builds the data from parser events in one pass, so that no limit can be passed before it is checked."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.nodes = 0
        self.documents = 0
        self.result: Any = None
        self.open: list[Any] = []  # the containers the parser is inside of
        self.keys: list[Any] = []  # for each, the key whose value comes next

    def build(self, text: str) -> Any:
        """Return the data of the only document in ``text``; None for an empty one."""
        events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._check(event)
                self._put(_scalar(event.value) if event.implicit[0] else event.value, event)
            elif kind is yaml.SequenceEndEvent or kind is yaml.MappingEndEvent:
                self.open.pop()
                self.keys.pop()
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self._enter(event, {} if kind is yaml.MappingStartEvent else [])
            elif kind is yaml.AliasEvent:
                self._check(event)
            elif kind is yaml.DocumentStartEvent:
                self.documents += 1
                if self.documents > 1:
                    self._refuse("more than one document", event)
        return self.result

    def _enter(self, event: Any, container: Any) -> None:
        """Go into a list or mapping that begins."""
        self._check(event)
        self._put(container, event)
        self.open.append(container)
        self.keys.append(_NO_KEY)
        if len(self.open) > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH}", event)

    def _check(self, event: Any) -> None:
        """Refuse anchors, aliases, tags, and more values than a rule can need."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._refuse(f"more than {MAX_NODES} values", event)
        if event.anchor is not None:  # an alias has one as well: the name it refers to
            self._refuse("anchors and aliases (& and *) are not allowed", event)
        if event.tag is not None and event.tag != "!":
            self._refuse("tags (!) are not allowed", event)

    def _put(self, value: Any, event: Any) -> None:
        """Hang ``value`` where the parser stands: the root, a list, or a mapping's key or value."""
        if not self.open:
            self.result = value
            return
        inside = self.open[-1]
        if type(inside) is list:
            inside.append(value)
        elif self.keys[-1] is _NO_KEY:
            self.keys[-1] = self._key(event, inside)
        else:
            inside[self.keys[-1]] = value
            self.keys[-1] = _NO_KEY

    def _key(self, event: Any, mapping: dict[str, Any]) -> str:
        """Return the text of a key; refuses a second one of the same name."""
        if type(event) is not yaml.ScalarEvent:
            self._refuse("a key must be text", event)
        name = str(event.value)
        if name in mapping:
            self._refuse(f"key {name[:60]!a} is given twice", event)
        return name

    def _refuse(self, what: str, event: Any) -> NoReturn:
        """Raise the error with the line it is about."""
        raise RuleError(f"{self.where}: {what} (line {event.start_mark.line + 1})")


_NO_KEY = object()


def _scalar(text: str) -> Any:
    """Return a plain scalar's value as YAML 1.1 reads it; dates, sexagesimals and octals stay text."""
    if text in _NULLS:
        return None
    if text[0] in _LETTERS_OF_TEXT:
        return text
    if len(text) <= 5 and text.lower() in _WORDS and (text.islower() or text.istitle() or text.isupper()):
        return _WORDS[text.lower()]
    if _INTEGER.match(text):
        return int(text)
    if len(text) <= 90 and _FLOAT.match(text):
        return float(text)
    return text
