"""A script's bytes as text with positions, and back with edits made: whatever is not edited stays, byte for byte."""

from __future__ import annotations

import ast
import re
import tokenize
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\r|\n")  # what ends a line for Python; a form feed does not
_BOM = b"\xef\xbb\xbf"
_SILENT = frozenset((tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT))

Position = tuple[int, int]  # line from 1 on, column in characters from 0 on


class Unreadable(Exception):
    """The script can't be read as Python; the text says why in a few words."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """Put ``text`` in the place of what lies between two positions; line ends in it are those of the file."""

    start: Position
    end: Position
    text: str


class Source:
    """One file of Python.

    Attributes:
        text: As decoded, line ends as they are and without a byte order mark.
        lines: Without their ends.
        tree: Its syntax.
        tokens: Those that mean something, comments and line ends left out, in order.
    """

    def __init__(self, data: bytes) -> None:
        """Read a file's bytes.

        Raises:
            Unreadable: They are no Python that this interpreter can read.
        """
        self._mark = _BOM if data.startswith(_BOM) else b""
        body = data[len(self._mark) :]
        self.encoding, self.text = _decoded(body)
        ends = list(_LINE_END.finditer(self.text))
        self._starts = [0, *(one.end() for one in ends)]
        self.newline = ends[0].group() if ends else "\n"
        plain = _LINE_END.sub("\n", self.text)
        self.lines = plain.split("\n")
        self.tree = parsed(plain)
        self.tokens = _tokens(self.lines)

    def span(self, node: ast.expr) -> tuple[Position, Position]:
        """Return where ``node`` begins and ends, columns in characters."""
        last, column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return (node.lineno, self.column(node.lineno, node.col_offset)), (last, self.column(last, column))

    def segment(self, node: ast.expr) -> str:
        """Return the text of ``node`` on one line, cut at 60 characters."""
        start, end = self.span(node)
        flat = " ".join(self.text[self._offset(start) : self._offset(end)].split())
        return flat if len(flat) <= 60 else flat[:57] + "..."

    def edited(self, replacements: Iterable[Replacement]) -> str:
        """Return the text with ``replacements`` made; no two of them overlap."""
        pieces, at = [], 0
        for one in sorted(replacements, key=lambda one: (one.start, one.end)):
            pieces += [self.text[at : self._offset(one.start)], one.text.replace("\n", self.newline)]
            at = self._offset(one.end)
        return "".join([*pieces, self.text[at:]])

    def encoded(self, text: str) -> bytes:
        """Return ``text`` as this file's bytes."""
        return self._mark + text.encode(self.encoding)

    def column(self, line: int, offset: int) -> int:
        """Return the column in characters of an offset in UTF-8 bytes."""
        return len(self.lines[line - 1].encode()[:offset].decode())

    def _offset(self, position: Position) -> int:
        """Return where in the text a position is."""
        return self._starts[position[0] - 1] + position[1]


def parsed(text: str) -> ast.Module:
    """Return the syntax of ``text``.

    Raises:
        Unreadable: It is not valid, or nested too deeply.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the script's own, such as unknown escapes
            tree = ast.parse(text)
            compile(tree, "<script>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"it is not valid for this Python ({type(error).__name__})") from None
    return tree


def token_end(token: tokenize.TokenInfo) -> Position:
    """Return where a token ends by its text: Python 3.12.0 and 3.12.1 tell otherwise for some over several lines."""
    first, *rest = token.string.split("\n")
    if rest:
        return token.start[0] + len(rest), len(rest[-1])
    return token.start[0], token.start[1] + len(first)


def _decoded(body: bytes) -> tuple[str, str]:
    """Return the encoding that a file declares, and its text."""
    try:
        encoding, _ = tokenize.detect_encoding(iter(body.splitlines(keepends=True)).__next__)
        text = body.decode(encoding)
        if text.encode(encoding) != body:
            raise Unreadable(f"its bytes have several spellings in {encoding}")
    except (SyntaxError, UnicodeError, LookupError):
        raise Unreadable("its text is not in the encoding it declares") from None
    return encoding, text


def _tokens(lines: list[str]) -> list[tokenize.TokenInfo]:
    """Return the tokens of a text that mean something."""
    ended = iter([line + "\n" for line in lines])
    try:
        found = [one for one in tokenize.generate_tokens(lambda: next(ended, "")) if one.type not in _SILENT]
    except (tokenize.TokenError, SyntaxError) as error:
        raise Unreadable(f"it can't be read piece by piece ({type(error).__name__})") from None
    return found
