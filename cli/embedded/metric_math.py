"""CloudWatch's metric math, as much of it as experiments may use; anything else is an error. Pure.

Source: AmazonCloudWatch/latest/monitoring/using-metric-math.html.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

type Points = Mapping[int, float]
type Value = Points | float | list[Points]
type Function = Callable[..., float]


def names(expression: str) -> set[str]:
    """The ids that an expression uses."""
    return {node.id for node in ast.walk(_parsed(expression)) if isinstance(node, ast.Name)}


def evaluate(expression: str, series: Mapping[str, Points], period_seconds: int) -> Points:
    """Compute an expression from the series of its ids; the points that all of them have.

    A point that divides by zero, or has no logarithm, is left out.

    Raises:
        ValueError: it is none, uses an id that is not there or what is not known here, or its
            result is one number and no series.
    """
    result = _Evaluation(series, period_seconds).value(_parsed(expression))
    if isinstance(result, Mapping):
        return result
    raise ValueError(f"The expression {expression!r} does not return a time series.")


def _parsed(expression: str) -> ast.expr:
    # Where Python's grammar differs: the power, and how conditions are put together.
    text = expression.replace("^", "**")
    for ours, theirs in ((r"\bAND\b|&&", " and "), (r"\bOR\b|\|\|", " or ")):
        text = re.sub(ours, theirs, text)
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"Error in expression {expression!r}: {error.msg}.") from error


_BINARY: Mapping[type[ast.AST], Function] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Eq: lambda a, b: float(a == b),
    ast.NotEq: lambda a, b: float(a != b),
    ast.Lt: lambda a, b: float(a < b),
    ast.LtE: lambda a, b: float(a <= b),
    ast.Gt: lambda a, b: float(a > b),
    ast.GtE: lambda a, b: float(a >= b),
    ast.And: lambda a, b: float(bool(a) and bool(b)),
    ast.Or: lambda a, b: float(bool(a) or bool(b)),
}
_EACH_POINT: Mapping[str, Function] = {
    "ABS": abs,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "LOG": math.log,
    "LOG10": math.log10,
    "IF": lambda condition, yes, no: yes if condition else no,
}
_TOGETHER: Mapping[str, Callable[[Sequence[float]], float]] = {
    "AVG": lambda values: math.fsum(values) / len(values),
    "MAX": max,
    "MIN": min,
    "SUM": math.fsum,
}


@dataclass(frozen=True)
class _Evaluation:
    series: Mapping[str, Points]
    period_seconds: int

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self.series:
                return self.series[name]
            case ast.List(elts=elements):
                return [_a_series(self.value(element)) for element in elements]
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._call(name, [self.value(argument) for argument in arguments])
        return self._operation(node)

    def _operation(self, node: ast.expr) -> Value:
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _each(operator.neg, self.value(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _each(_BINARY[type(op)], self.value(left), self.value(right))
            case ast.BoolOp(op=op, values=[first, *rest]):
                return self._chain(_BINARY[type(op)], first, rest)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _BINARY:
                return _each(_BINARY[type(op)], self.value(left), self.value(right))
        raise ValueError(f"The embedded AWS does not evaluate {ast.unparse(node)!r}.")

    def _chain(self, function: Function, first: ast.expr, rest: Sequence[ast.expr]) -> Value:
        result = self.value(first)
        for node in rest:
            result = _each(function, result, self.value(node))
        return result

    def _call(self, name: str, arguments: list[Value]) -> Value:
        if name in _EACH_POINT:
            return _each(_EACH_POINT[name], *arguments)
        if name == "PERIOD":
            return float(self.period_seconds)
        if name in _TOGETHER and len(arguments) == 1:
            return _together(_TOGETHER[name], arguments[0])
        raise ValueError(f"The embedded AWS does not know the function {name}.")


def _a_series(value: Value) -> Points:
    if isinstance(value, Mapping):
        return value
    raise ValueError("An array holds time series.")


def _together(function: Callable[[Sequence[float]], float], value: Value) -> Value:
    """Of one series a number; of several a series, of the points that any of them has."""
    if isinstance(value, float):
        return value
    if isinstance(value, Mapping):
        if not value:
            return {}
        return float(function(list(value.values())))
    moments = sorted({moment for points in value for moment in points})
    return {
        moment: float(function([points[moment] for points in value if moment in points]))
        for moment in moments
    }


def _each(function: Function, *values: Value) -> Value:
    """Apply to each point that every series has; a number stands beside each of them."""
    if any(isinstance(value, list) for value in values):
        raise ValueError("An array is no operand.")
    series = [value for value in values if isinstance(value, Mapping)]
    if not series:
        result = _point(function, [value for value in values if isinstance(value, float)])
        return {} if result is None else result
    found = {}
    for moment in set(series[0]).intersection(*series[1:]):
        operands = [value[moment] if isinstance(value, Mapping) else value for value in values]
        result = _point(function, [operand for operand in operands if isinstance(operand, float)])
        if result is not None:
            found[moment] = result
    return found


def _point(function: Function, operands: Sequence[float]) -> float | None:
    try:
        return float(function(*operands))
    except (ArithmeticError, ValueError):
        return None
