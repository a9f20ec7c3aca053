"""Setting arguments of one call in the text: comments, layout and everything else stay as they are."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from tokenize import OP

from .calls import Known, Place
from .origin import origin
from .source import Position, Replacement, Source, parsed, token_end

_WIDTH = 79  # lines up to here are long nowhere (PEP 8)
_DEPTH = {")": 1, "]": 1, "}": 1, "(": -1, "[": -1, "{": -1}  # read from the end


@dataclass(slots=True)
class CallEdit:
    """What is to be done to one call.

    Attributes:
        before: The text of each value that is replaced, by keyword.
        replacements: In the text.
        values: The new value of each keyword, or position, that is replaced or added.
        refused: For each setting that can't be edited: why, where to make it instead, and what to write there.
        same: Settings that the call has already.
    """

    before: dict[str, str] = field(default_factory=dict)
    replacements: list[Replacement] = field(default_factory=list)
    values: dict[tuple[str, int | None], str] = field(default_factory=dict)
    refused: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)


def set_arguments(source: Source, call: ast.Call, known: Known, values: Mapping[str, str]) -> CallEdit:
    """Return how to make each setting in ``values`` (name -> Python literal) an argument of ``call``.

    An argument that is a literal is replaced; one that comes from elsewhere is left, and ``refused`` points to where
    it comes from; one that is not there is added, unless the call takes arguments from a list or mapping.
    """
    edit, missing = CallEdit(), {}
    for setting, text in values.items():
        if setting not in known.places:
            edit.refused[setting] = (f"{known.name} has no such argument", "", text)
            continue
        keyword, index = known.places[setting]
        value = given(call, keyword, index)
        if value is not None:
            _replace(source, edit, setting, known.places[setting], value, text)
        elif not keyword:  # it can be given by position only
            edit.refused[setting] = ("the call has no such argument", _line(call), text)
        else:
            reason = _closed(source, call, known, f"{keyword}={text}")
            if reason is None:
                missing[keyword] = edit.values[keyword, None] = text
            else:
                edit.refused[setting] = (*reason, f"{keyword}={text}")
    if missing:
        edit.replacements += _append(source, call, missing)
    return edit


def given(call: ast.Call, keyword: str, index: int | None) -> ast.expr | None:
    """Return the value a call gives to an argument, None where it gives none that can be seen."""
    named = next((one.value for one in call.keywords if one.arg == keyword), None)
    if named is not None or index is None or len(call.args) <= index:
        return named
    spread = any(isinstance(one, ast.Starred) for one in call.args[: index + 1])
    return None if spread else call.args[index]


def is_literal(value: ast.expr) -> bool:
    """Return whether ``value`` is a constant written out: nothing else can depend on it."""
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, (ast.USub, ast.UAdd)):
        value = value.operand
    return isinstance(value, ast.Constant)


def expected(source: Source, call: ast.Call, edit: CallEdit) -> ast.Module:
    """Return the syntax that the text has to have after ``edit``: the old one but for the arguments."""
    tree = parsed("\n".join(source.lines))
    place = (call.lineno, call.col_offset, call.end_lineno, call.end_col_offset)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and place == (
            node.lineno,
            node.col_offset,
            node.end_lineno,
            node.end_col_offset,
        ):
            for (keyword, index), text in edit.values.items():
                _put(node, keyword, index, ast.parse(text, mode="eval").body)
    return tree


def _put(call: ast.Call, keyword: str, index: int | None, value: ast.expr) -> None:
    """Set one argument of a call in a syntax tree."""
    named = next((one for one in call.keywords if one.arg == keyword), None)
    if named is not None:
        named.value = value
    elif index is not None:
        call.args[index] = value
    else:
        call.keywords.append(ast.keyword(arg=keyword, value=value))


def _replace(source: Source, edit: CallEdit, setting: str, place: Place, value: ast.expr, text: str) -> None:
    """Replace a literal, or refuse with a pointer to where the value comes from."""
    if not is_literal(value):
        edit.refused[setting] = origin(source, place[0], value, text)
    elif ast.dump(value) == ast.dump(ast.parse(text, mode="eval").body):
        edit.same.append(setting)
    else:
        start, end = source.span(value)
        edit.replacements.append(Replacement(start, end, text))
        edit.before[setting] = source.segment(value)
        edit.values[place] = text


def _closed(source: Source, call: ast.Call, known: Known, wanted: str) -> tuple[str, str] | None:
    """Return why no argument can be added to ``call``, and where to make it instead; None where one can."""
    for one in call.keywords:
        if one.arg is None:
            text = source.segment(one.value)
            return (
                f"the call takes **{text}, which may hold it",
                f"in {text}, or in {_line(call)} in its place",
            )
    for arg in call.args:
        if isinstance(arg, ast.Starred):
            return f"the call takes *{source.segment(arg.value)}, which may hold it", _line(call)
    if len(call.args) > known.most:
        return f"with these arguments it may be another form of {known.name}", _line(call)
    return None


def _line(call: ast.Call) -> str:
    """Return where a call stands."""
    return f"line {call.lineno}"


def _append(source: Source, call: ast.Call, missing: Mapping[str, str]) -> list[Replacement]:
    """Return the replacements that add keywords behind the last argument of ``call``."""
    new = ", ".join(f"{keyword}={text}" for keyword, text in missing.items())
    opening, last, comma, closing = _bounds(source, call)
    if last is None:
        return [Replacement(opening, opening, new)]
    if len(call.args) == 1 and _is_bare_generator(source, call):
        return [Replacement(opening, opening, "("), Replacement(closing, closing, f"), {new}")]
    indent = _indent(source, call, last, comma, closing)
    if indent is None:
        return [Replacement(last, last, "," + _gap(source, opening, last, len(new)) + new)]
    rows = ",".join(f"\n{indent}{keyword}={text}" for keyword, text in missing.items())
    end = (last[0], len(source.lines[last[0] - 1]))
    if comma is None:
        return [Replacement(last, last, ","), Replacement(end, end, rows)]
    return [Replacement(end, end, rows + ",")]


def _gap(source: Source, opening: Position, last: Position, length: int) -> str:
    """Return what stands between the last argument and ``length`` more characters.

    A blank, or a new line below the first argument where one line would be longer than any of the file.
    """
    row = source.lines[last[0] - 1]
    if opening[0] != last[0] or len(row) + 2 + length <= max(_WIDTH, *map(len, source.lines)):
        return " "
    blank = row[: len(row) - len(row.lstrip())]
    return "\n" + blank + " " * (opening[1] - len(blank))


def _bounds(source: Source, call: ast.Call) -> tuple[Position, Position | None, Position | None, Position]:
    """Return where arguments begin, where the last one ends, where its comma ends, and where the call closes."""
    _, after = source.span(call)
    at = next(index for index, one in enumerate(source.tokens) if token_end(one) == after)
    depth, first = 1, at
    while depth:
        first -= 1
        one = source.tokens[first]
        depth += _DEPTH.get(one.string, 0) if one.type == OP else 0  # part of an f-string may be one bracket
    opening, closing = token_end(source.tokens[first]), source.tokens[at].start
    if first == at - 1:
        return opening, None, None, closing
    if source.tokens[at - 1].string == ",":
        return opening, token_end(source.tokens[at - 2]), token_end(source.tokens[at - 1]), closing
    return opening, token_end(source.tokens[at - 1]), None, closing


def _is_bare_generator(source: Source, call: ast.Call) -> bool:
    """Return whether the only argument is a generator that shares the brackets of the call."""
    only = call.args[0]
    return isinstance(only, ast.GeneratorExp) and source.span(only)[1] == source.span(call)[1]


def _indent(
    source: Source, call: ast.Call, last: Position, comma: Position | None, closing: Position
) -> str | None:
    """Return how lines of arguments begin where the last argument has lines of its own, else None.

    None as well where something other than a comment follows on its line, such as a backslash.
    """
    starts = sorted(_starts(source, call))
    line, column = starts[-1]
    row, end = source.lines[line - 1], comma or last
    blank = row[: len(row) - len(row.lstrip())]
    alone = column == len(blank) and all(start[0] < line for start in starts[:-1])
    behind = source.lines[end[0] - 1][end[1] :].strip()
    fits = closing[0] > end[0] == last[0] and (not behind or behind.startswith("#"))
    return blank if alone and fits else None


def _starts(source: Source, call: ast.Call) -> list[Position]:
    """Return where each argument begins, a keyword at its name."""
    named = {id(one.value): one for one in call.keywords}
    found = []
    for value in [*call.args, *(one.value for one in call.keywords)]:
        start = source.span(value)[0]
        keyword = named.get(id(value))
        if keyword is not None:
            start = (keyword.lineno, source.column(keyword.lineno, keyword.col_offset))
        found.append(start)
    return found
