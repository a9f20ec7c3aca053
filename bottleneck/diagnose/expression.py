"""The rule language: arithmetic, comparisons and three-valued logic over named measurements.

A name whose measurement is missing is unknown (None). Unknown spreads through arithmetic and
comparisons; ``and``, ``or`` and ``not`` follow Kleene's strong logic, so ``a or b`` is true as soon
as one of them is, whatever the other. Dividing by zero and leaving the range of floats is unknown.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import re
import warnings
from collections.abc import Callable, Collection, Iterable
from typing import NoReturn

from ..errors import RuleError

Value = float | bool | None
Lookup = Callable[[str], Value]
_Run = Callable[[Lookup], Value]

MAX_CHARACTERS = 2000  # the longest expression we ship has under 200
MAX_DEPTH = 40  # operators nested in each other; ours reach 6

_ALLOWED = re.compile(r"[A-Za-z0-9_.,+\-*/<>=!() \t\n]*\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: dict[str, tuple[Callable[..., float], int, int]] = {  # with the fewest and most arguments
    "min": (min, 2, 20),
    "max": (max, 2, 20),
    "ceil": (math.ceil, 1, 1),
    "floor": (math.floor, 1, 1),
}


class Expression:
    """A checked expression; not a dataclass, because msgspec would decode one from a mapping.

    Attributes:
        text: As written.
        names: What it reads, in order of first appearance.
    """

    __slots__ = ("_run", "names", "text")

    def __init__(self, text: str, names: tuple[str, ...], run: _Run) -> None:
        self.text = text
        self.names = names
        self._run = run

    def __repr__(self) -> str:
        """Return how to write it."""
        return f"Expression({self.text!r})"

    def evaluate(self, lookup: Lookup) -> Value:
        """Return the value with names looked up by ``lookup``; None where it is unknown. Never raises."""
        return self._run(lookup)

    def truth(self, lookup: Lookup) -> bool | None:
        """Return the value as a condition: a number holds where it is not zero."""
        value = self.evaluate(lookup)
        return None if value is None else bool(value)

    def number(self, lookup: Lookup) -> float | None:
        """Return the value as a number: true is 1, false is 0."""
        value = self.evaluate(lookup)
        return None if value is None else float(value)


def parse(text: str, where: str) -> Expression:
    """Return the expression written in ``text``.

    Args:
        text: At most 2,000 characters; untrusted.
        where: File and field for the error.

    Raises:
        RuleError: The text is not in the language; the error shows the offending part.
    """
    if not isinstance(text, str) or not text.strip():
        raise RuleError(f"{where}: an expression is empty")
    if len(text) > MAX_CHARACTERS:
        raise RuleError(f"{where}: an expression is longer than {MAX_CHARACTERS} characters")
    if not _ALLOWED.match(text):
        bad = next(char for char in text if not _ALLOWED.match(char))
        raise RuleError(f"{where}: character {bad!a} is not allowed in {shown(text)}")
    compiler = _Compiler(text, where)
    run = compiler.compile(_tree(text, where), 0)
    return Expression(text, tuple(compiler.names), run)


def check_names(expression: Expression, known: Collection[str], where: str) -> None:
    """Raise RuleError with the nearest known name if ``expression`` reads one that is not in ``known``."""
    for name in expression.names:
        if name not in known:
            raise RuleError(
                f"{where}: unknown name '{name[:80]}' in {shown(expression.text)}{did_you_mean(name, known)}"
            )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest of ``known``, or "" where nothing is near."""
    near = difflib.get_close_matches(word[:80], list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def shown(text: str) -> str:
    """Return ``text`` in quotes on one line of ASCII, cut at 80 characters."""
    flat = " ".join(text.split())
    return ascii(flat if len(flat) <= 80 else flat[:77] + "...")


def _tree(text: str, where: str) -> ast.expr:
    """Return Python's syntax tree of ``text``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "1or 2" warns; the text is refused or fine on its own merits
            return ast.parse(" ".join(text.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        raise RuleError(f"{where}: can't read {shown(text)} as an expression") from None


class _Compiler:
    """Turns the allowed part of Python's syntax tree into closures; refuses everything else."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.names: dict[str, None] = {}

    def compile(self, node: ast.AST, depth: int) -> _Run:
        """Return a function that evaluates ``node``."""
        if depth > MAX_DEPTH:
            raise RuleError(f"{self.where}: {shown(self.text)} is nested deeper than {MAX_DEPTH}")
        build = _BUILDERS.get(type(node))
        if build is None:
            self.refuse(node, _WORD_FOR.get(type(node).__name__, type(node).__name__))
        return build(self, node, depth + 1)

    def refuse(self, node: ast.AST, what: str, hint: str = "") -> NoReturn:
        """Raise the error that shows the part of the text ``node`` stands for."""
        part = ast.get_source_segment(" ".join(self.text.split()), node) or self.text
        raise RuleError(f"{self.where}: {what} is not part of the rule language: {shown(part)}{hint}")

    def constant(self, node: ast.Constant, depth: int) -> _Run:
        """A number."""
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            self.refuse(node, type(node.value).__name__)
        try:
            number = float(node.value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.refuse(node, "a number beyond the range of floats")
        return lambda lookup: number

    def name(self, node: ast.AST, depth: int) -> _Run:
        """A plain or dotted name."""
        name = self.dotted(node)
        self.names[name] = None
        return lambda lookup: _known(lookup(name))

    def dotted(self, node: ast.AST) -> str:
        """Return ``a.b`` for the name or attribute chain ``node``."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            self.refuse(node, "a dot after anything but a name")
        parts.append(node.id)
        return ".".join(reversed(parts))

    def unary(self, node: ast.UnaryOp, depth: int) -> _Run:
        """Minus and ``not``."""
        if not isinstance(node.op, (ast.USub, ast.Not)):
            self.refuse(node, "unary plus")
        inner = self.compile(node.operand, depth)
        if isinstance(node.op, ast.Not):
            return lambda lookup: None if (value := inner(lookup)) is None else not value
        return lambda lookup: None if (value := inner(lookup)) is None else -value

    def arithmetic(self, node: ast.BinOp, depth: int) -> _Run:
        """``+ - * /``; unknown where an operand is, or the result is not a finite number."""
        apply = _ARITHMETIC.get(type(node.op))
        if apply is None:
            self.refuse(node, f"operator {type(node.op).__name__}")
        left, right = self.compile(node.left, depth), self.compile(node.right, depth)
        return _guarded(apply, (left, right))

    def logic(self, node: ast.BoolOp, depth: int) -> _Run:
        """``and`` and ``or``, three-valued."""
        parts = tuple(self.compile(value, depth) for value in node.values)
        decisive = isinstance(node.op, ast.Or)

        def run(lookup: Lookup) -> Value:
            unknown = False
            for part in parts:
                value = part(lookup)
                if value is None:
                    unknown = True
                elif bool(value) is decisive:
                    return decisive
            return None if unknown else not decisive

        return run

    def comparison(self, node: ast.Compare, depth: int) -> _Run:
        """One comparison; chains are refused because ``a < b < c`` reads differently to different people."""
        if len(node.ops) != 1:
            self.refuse(node, "a chain of comparisons")
        apply = _COMPARE.get(type(node.ops[0]))
        if apply is None:
            self.refuse(node, f"operator {type(node.ops[0]).__name__}")
        left, right = self.compile(node.left, depth), self.compile(node.comparators[0], depth)

        def run(lookup: Lookup) -> Value:
            a, b = left(lookup), right(lookup)
            return None if a is None or b is None else apply(a, b)

        return run

    def call(self, node: ast.Call, depth: int) -> _Run:
        """``min max ceil floor``."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        found = _FUNCTIONS.get(name)
        if found is None or node.keywords:
            hint = did_you_mean(name, _FUNCTIONS) if found is None else ""
            self.refuse(node, "this call", hint)
        function, fewest, most = found
        if not fewest <= len(node.args) <= most:
            self.refuse(node, f"{name} of {len(node.args)} arguments")
        return _guarded(function, tuple(self.compile(argument, depth) for argument in node.args))


def _guarded(function: Callable[..., float], parts: tuple[_Run, ...]) -> _Run:
    """Return a closure that applies ``function`` to the values of ``parts``, unknown where it can't."""

    def run(lookup: Lookup) -> Value:
        values = [part(lookup) for part in parts]
        if None in values:
            return None
        try:
            return _known(float(function(*values)))
        except (ArithmeticError, ValueError):
            return None

    return run


def _known(value: Value) -> Value:
    """Return ``value``, or None where it is not a finite number."""
    return value if value is not None and math.isfinite(value) else None


_BUILDERS: dict[type[ast.AST], Callable[..., _Run]] = {
    ast.Constant: _Compiler.constant,
    ast.Name: _Compiler.name,
    ast.Attribute: _Compiler.name,
    ast.UnaryOp: _Compiler.unary,
    ast.BinOp: _Compiler.arithmetic,
    ast.BoolOp: _Compiler.logic,
    ast.Compare: _Compiler.comparison,
    ast.Call: _Compiler.call,
}
_WORD_FOR = {
    "IfExp": "if/else",
    "Lambda": "lambda",
    "Tuple": "a list in parentheses",
    "NamedExpr": "assignment",
    "Starred": "*",
    "GeneratorExp": "for",
    "Await": "await",
    "Yield": "yield",
    "YieldFrom": "yield",
}
