"""Where the value of an argument comes from, so that it is changed there: how is the reader's decision."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .source import Source

Pointer = tuple[str, str, str]  # why it is not replaced, where to change it, what to write there

_OPTIONS = frozenset(("add_argument", "option", "add_option", "Option", "DEFINE_integer", "DEFINE_boolean"))


def origin(source: Source, keyword: str, value: ast.expr, text: str) -> Pointer:
    """Return why ``value`` is left, where it is made as far as the file tells, and what makes it ``text``."""
    name = _name(value)
    shown = source.segment(value)
    what = f"{keyword} is {shown}" if keyword else f"the argument is {shown}"
    for find in (_option, _assigned, _parameter, _entry):
        pointer = find(source, name, text) if name else None
        if pointer is not None:
            return (f"{what}, {pointer[0]}", pointer[1], pointer[2])
    return f"{what}, which is worked out", f"line {value.lineno}", f"{keyword}={text}" if keyword else text


def _name(value: ast.expr) -> str:
    """Return the last name of ``args.workers``, ``workers``, ``cfg["workers"]`` or ``int(workers)``, "" of others."""
    if isinstance(value, ast.Call) and len(value.args) == 1 and not value.keywords:
        return _name(value.args[0])
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        return str(value.slice.value)
    if isinstance(value, ast.Attribute):
        return value.attr
    return value.id if isinstance(value, ast.Name) else ""


def _option(source: Source, name: str, text: str) -> Pointer | None:
    """Point to the command-line option of that name."""
    for call in _calls(source.tree):
        attribute = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        flags = [
            one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
        ]
        long = next((one for one in flags if one.startswith("--")), "")
        names = {one.lstrip("-").replace("-", "_") for one in flags} | {
            one.value.value
            for one in call.keywords
            if one.arg == "dest" and isinstance(one.value, ast.Constant)
        }
        if attribute in _OPTIONS and long and name in names:
            default = f"default={text}"
            run = f"run the script with {long} {text}" if text.isdigit() else f"see {long}"
            return f"an option of the script: {run}, or change its default", f"line {call.lineno}", default
    return None


def _assigned(source: Source, name: str, text: str) -> Pointer | None:
    """Point to the only line that assigns a literal to that name, a variable's or a class's."""
    lines = [
        (node.lineno, node.value)
        for node in ast.walk(source.tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if _name(target) == name
    ]
    if len(lines) != 1 or not isinstance(lines[0][1], ast.Constant):
        return None
    line = lines[0][0]
    return f"which line {line} sets", f"line {line}", f"{name} = {text}"


def _parameter(source: Source, name: str, text: str) -> Pointer | None:
    """Point to the function whose parameter it is."""
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if any(one.arg == name for one in arguments):
                where = f"where {node.name} is called, or its default in line {node.lineno}"
                return f"a parameter of {node.name}", where, f"{name}={text}"
    return None


def _entry(source: Source, name: str, text: str) -> Pointer | None:
    """Point to the only dictionary with that key, or the only call that makes one with it."""
    lines: list[tuple[int, str]] = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Dict):
            keys = [one for one in node.keys if isinstance(one, ast.Constant) and one.value == name]
            lines += [(one.lineno, f'"{name}": {text}') for one in keys]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
            "dict",
            "SimpleNamespace",
            "Namespace",
        ):
            lines += [(one.lineno, f"{name}={text}") for one in node.keywords if one.arg == name]
    if len(lines) != 1:
        return None
    return f"which line {lines[0][0]} sets", f"line {lines[0][0]}", lines[0][1]


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node
