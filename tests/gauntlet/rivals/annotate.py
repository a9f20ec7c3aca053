"""Puts TraceML's two lines into a training script, as its README asks of a user with a loop of their own.

``traceml.init(mode="auto")`` at the top and ``with traceml.trace_step(model):`` around the body of the loop that takes
the steps. Where that is follows from the script alone: the innermost loop from which both a backward pass and an
optimizer's step are reached, directly or through functions and methods of the script. Batches that the body asks for
by itself (``next(...)``) stay before the step, as in the README. A script without such a loop (a Trainer's) is
returned as it is: TraceML attaches to those by itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

OPENING = 'import traceml_ai as traceml\ntraceml.init(mode="auto")'
BACKWARD, STEP = "backward", "step"
Loop = ast.For | ast.While
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_OPTIMIZER = re.compile(r"opt|adam|sgd", re.IGNORECASE)
_MODEL = re.compile(r"model|net", re.IGNORECASE)
_LOSS = re.compile(r"loss|crit|objective", re.IGNORECASE)


def annotated(source: str) -> str:
    """Return the script with TraceML's lines; as it is where no loop of it trains, or no model is found there."""
    script = Script(ast.parse(source))
    places = [(loop, model) for loop in script.training_loops() if (model := script.model_of(loop))]
    if not places:
        return source
    for loop, model in places:
        _wrap(loop, model, script)
    start = _first_line(script.tree.body)
    script.tree.body[start:start] = ast.parse(OPENING).body
    return ast.unparse(ast.fix_missing_locations(script.tree)) + "\n"


def _first_line(body: Sequence[ast.stmt]) -> int:
    """Return where imports may begin: after the docstring and what must stand first."""
    for index, statement in enumerate(body):
        future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        if not future and not (index == 0 and _is_text(statement)):
            return index
    return len(body)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _wrap(loop: Loop, model: str, script: Script) -> None:
    """Put the loop's body below ``with traceml.trace_step(model)``."""
    start = _after_fetches(loop.body, script)
    [block] = ast.parse(f"with traceml.trace_step({model}):\n    pass").body
    assert isinstance(block, ast.With)
    block.body = loop.body[start:]
    loop.body[start:] = [block]


def _after_fetches(body: Sequence[ast.stmt], script: Script) -> int:
    """Return where the step begins: after the last ``next(...)`` that comes before anything of a step."""
    start = 0
    for index, statement in enumerate(body[:-1]):
        if script.marks([statement]):
            break
        if any(isinstance(node, ast.Call) and _text(node.func) == "next" for node in ast.walk(statement)):
            start = index + 1
    return start


class Script:
    """A script's loops and functions, and which of them take training steps."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self._parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    def training_loops(self) -> list[Loop]:
        """Return the loops of which one turn is a step; of two that hold each other, the outer one."""
        loops = [node for node in ast.walk(self.tree) if isinstance(node, Loop)]
        for wanted in ({BACKWARD, STEP}, {BACKWARD}, {STEP}):
            found = [loop for loop in loops if self._trains(loop, wanted)]
            if found:
                return [loop for loop in found if not any(self._holds(outer, loop) for outer in found)]
        return []

    def marks(
        self, body: Iterable[ast.AST], wanted: Iterable[str] = (), seen: frozenset[ast.AST] = frozenset()
    ) -> set[str]:
        """Return which of backward pass and optimizer's step are reached.

        With ``wanted``, what lies in loops that reach all of it themselves does not count.
        """
        found: set[str] = set()
        for node in self._reached(body, set(wanted), seen):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                found |= self._marks_of(node, node.func)
        return found

    def model_of(self, loop: Loop) -> str | None:
        """Return how the loop's scope names the model it trains: of what has parameters, what it calls first."""
        visible = self._visible(loop)
        known = sorted(self._models, key=lambda name: not _MODEL.search(name))
        called = [
            (name, sure)
            for node in self._reached(loop.body, set(), self._around(loop))
            if isinstance(node, ast.Call)
            for name, sure in self._names_of(node)
        ]
        ranked = (
            *(name for name, sure in called if sure),
            *(name for name, _ in called if _MODEL.search(name.rsplit(".", 1)[-1])),
            *known,
            "model",
            *(name for name, _ in called if name.isidentifier() and not _LOSS.search(name)),
        )
        return next((name for name in ranked if name.split(".", 1)[0] in visible), None)

    def _trains(self, loop: Loop, wanted: set[str], seen: frozenset[ast.AST] = frozenset()) -> bool:
        return wanted <= self.marks(loop.body, wanted, seen | self._around(loop))

    def _holds(self, outer: Loop, loop: Loop) -> bool:
        """Tell whether a turn of ``outer`` goes through ``loop``."""
        inside = self._reached(outer.body, set(), self._around(outer))
        return outer is not loop and any(node is loop for node in inside)

    def _around(self, loop: Loop) -> frozenset[ast.AST]:
        """Return the loop and the functions it lies in: a turn of it does not come back to them.

        ``model.train()`` would otherwise be taken for the method ``train`` of the script's own Trainer.
        """
        return frozenset([loop, *(node for node in self._above(loop) if isinstance(node, ast.FunctionDef))])

    def _reached(
        self, body: Iterable[ast.AST], wanted: set[str], seen: frozenset[ast.AST]
    ) -> Iterator[ast.AST]:
        """Yield what runs with ``body``: its own nodes, and those of functions of the script that it names."""
        for node in _own(body):
            if wanted and isinstance(node, Loop) and node not in seen and self._trains(node, wanted, seen):
                continue
            yield node
            yield from self._reached(ast.iter_child_nodes(node), wanted, seen)
            for function in self._named_by(node):
                if function not in seen:
                    yield from self._reached(function.body, wanted, seen | {function})

    def _marks_of(self, call: ast.Call, method: ast.Attribute) -> set[str]:
        if method.attr == BACKWARD:
            return {BACKWARD}
        return {STEP} if method.attr == STEP and self._of_optimizer(call, method) else set()

    def _of_optimizer(self, call: ast.Call, method: ast.Attribute) -> bool:
        """Tell an optimizer's step from a scheduler's or an environment's; ``scaler.step(optimizer)`` is one too."""
        texts = [_text(method.value), *map(_text, call.args)]
        return any(_OPTIMIZER.search(text) or text in self._optimizers for text in texts)

    @cached_property
    def _optimizers(self) -> set[str]:
        """Names that hold an optimizer although they do not say so, and variables of loops over such."""
        nodes = list(ast.walk(self.tree))
        pairs = [(node.targets[0], node.value) for node in nodes if isinstance(node, ast.Assign)]
        pairs += [(node.target, node.iter) for node in nodes if isinstance(node, ast.For | ast.comprehension)]
        return {_text(target) for target, value in pairs if "optim" in _text(value).lower()}

    @cached_property
    def _models(self) -> list[str]:
        """What the script asks for parameters, and names of wrappers around it: ``DDP(model)``, ``compile(model)``."""
        nodes = list(ast.walk(self.tree))
        asked = [
            _text(node.value)
            for node in nodes
            if isinstance(node, ast.Attribute) and node.attr in ("parameters", "named_parameters")
        ]
        wrapped = [
            _text(node.targets[0])
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
            if node.value.args and _text(node.value.args[0]) in asked
        ]
        return [name for name in dict.fromkeys(asked + wrapped) if re.fullmatch(r"[\w.]+", name)]

    @cached_property
    def _functions(self) -> dict[str, list[ast.FunctionDef]]:
        """Functions and methods by name."""
        found: dict[str, list[ast.FunctionDef]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef):
                found.setdefault(node.name, []).append(node)
        return found

    def _named_by(self, node: ast.AST) -> list[ast.FunctionDef]:
        """Return the functions of the script that an expression names; below ``self`` those of the same class."""
        if isinstance(node, ast.Name):
            return [one for one in self._functions.get(node.id, ()) if not self._is_method(one)]
        if not isinstance(node, ast.Attribute):
            return []
        methods = [one for one in self._functions.get(node.attr, ()) if self._is_method(one)]
        owner = _text(node.value)
        if owner == "self":
            home = self._home(node)
            return [one for one in methods if self._home(one) is home] or methods
        return (
            [] if node.attr == STEP and (_OPTIMIZER.search(owner) or owner in self._optimizers) else methods
        )

    def _names_of(self, call: ast.Call) -> Iterator[tuple[str, bool]]:
        """Yield how a model that is called here could be named, and whether it surely is one.

        ``trainer.step(batch)`` of a Trainer with ``self.model.parameters()`` yields ``trainer.model``.
        """
        text = _text(call.func)
        yield text, text in self._models
        if not isinstance(call.func, ast.Attribute):
            return
        owner = _text(call.func.value)
        for method in self._named_by(call.func):
            inside = {_text(node) for node in ast.walk(self._home(method) or method)}
            for name in self._models:
                if name.startswith("self.") and name in inside:
                    yield owner + name.removeprefix("self"), True

    def _visible(self, node: ast.AST) -> set[str]:
        """Return the names that a node's scope knows."""
        scopes = (one for one in self._above(node) if isinstance(one, ast.FunctionDef | ast.Module))
        return {name for scope in scopes for name in _bound(scope)}

    def _above(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self._parents:
            node = self._parents[node]
            yield node

    def _home(self, node: ast.AST) -> ast.ClassDef | None:
        return next((one for one in self._above(node) if isinstance(one, ast.ClassDef)), None)

    def _is_method(self, function: ast.FunctionDef) -> bool:
        return isinstance(self._parents[function], ast.ClassDef)


def _own(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in body if not isinstance(node, _SCOPES))


def _bound(scope: ast.FunctionDef | ast.Module) -> set[str]:
    """Return the names bound in a function or module, not in functions inside it."""
    arguments = ast.walk(scope.args) if isinstance(scope, ast.FunctionDef) else ()
    found = {argument.arg for argument in arguments if isinstance(argument, ast.arg)}
    rest: list[ast.AST] = list(_own(scope.body))
    while rest:
        node = rest.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        rest.extend(_own(ast.iter_child_nodes(node)))
    return found


def _text(node: ast.AST) -> str:
    return ast.unparse(node)
