"""What an expression or a sentence of one rule can see: the measurements and the rule's own names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .. import units
from ..model.measurement import Measurements
from .expression import Expression, Value
from .sentence import unit_of


@dataclass(frozen=True, slots=True)
class Scope:
    """The measurements, with the values of one rule's ``let`` names.

    Attributes:
        measurements: Of the run.
        let: The rule's expressions by name; each may read those before it.
        values: Their values, None where unknown.
    """

    measurements: Measurements
    let: Mapping[str, Expression]
    values: Mapping[str, Value]

    def lookup(self, name: str) -> Value:
        """Return the value of a name, None where it is unknown."""
        return self.values[name] if name in self.values else self.measurements.number(name)

    def words(self, name: str) -> str | None:
        """Return a name's value as a reader sees it, or its label; None where it is unknown."""
        if name in self.measurements.labels:
            return self.measurements.labels[name]
        value = self.lookup(name)
        return None if value is None else units.show(float(value), unit_of(name))

    def code(self, name: str) -> str | None:
        """Return a name's value as code: a plain number, or its label; None where it is unknown."""
        if name in self.measurements.labels:
            return self.measurements.labels[name]
        value = self.lookup(name)
        if value is None:
            return None
        return str(int(value)) if float(value).is_integer() else f"{float(value):.6g}"

    def inputs(self, expressions: Iterable[Expression]) -> tuple[str, ...]:
        """Return the measurements that ``expressions`` read, through ``let`` as well, in order, each once."""
        found: dict[str, None] = {}
        todo = [name for expression in expressions for name in expression.names]
        while todo:
            name = todo.pop(0)
            if name in self.let:
                todo[:0] = self.let[name].names
            else:
                found[name] = None
        return tuple(found)

    def missing(self, inputs: Iterable[str]) -> tuple[str, ...]:
        """Return which of ``inputs`` were not measured, sorted."""
        return tuple(sorted(name for name in inputs if self.measurements.number(name) is None))


def open_scope(measurements: Measurements, let: Mapping[str, Expression]) -> Scope:
    """Return the scope in which ``let`` has been evaluated in order."""
    values: dict[str, Value] = {}
    scope = Scope(measurements, let, values)
    for name, expression in let.items():
        values[name] = expression.evaluate(scope.lookup)
    return scope
