"""Code that is shown and run: it prints as it stands, and has a value without `eval`."""

from __future__ import annotations

import ast
import importlib
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from selective_st.catalog import MODULES, OURS, LossEntry, ModelType, find_loss, loss_entry
from selective_st.registry.steps import Step, literal

_WIDTH = 100  # a line of code that is longer is broken

_BUILTINS: dict[str, Any] = {"len": len, "max": max, "int": int, "set": set}
_METHODS = ("normalized", "linear_outside", "get_embedding_dimension")
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


class UnknownCodeError(Exception):
    """Code of the registry that cannot be read here; the message says what of it."""


@dataclass(frozen=True)
class Expression:
    """An expression as the registry writes it: names of a table, literals, and few calls and operations.

    Attributes:
        code: The expression.
        model_type: Whose losses it may name; None for none.
    """

    code: str
    model_type: ModelType | None = None

    def __str__(self) -> str:
        return self.code

    def value(self, names: Mapping[str, Any]) -> Any:
        """What it comes to.

        Args:
            names: What names stand for, beside those that can be imported.

        Returns:
            The value.

        Raises:
            UnknownCodeError: If it holds other code than the registry writes.
        """
        return self._value(_parsed(self.code), names)

    def _value(self, part: ast.AST, names: Mapping[str, Any]) -> Any:
        def value(of: ast.AST) -> Any:
            return self._value(of, names)

        match part:
            case ast.Constant() | ast.Tuple() | ast.Dict() | ast.UnaryOp():
                return ast.literal_eval(part)
            case ast.Name():
                return names[part.id] if part.id in names else self._named(part.id)
            case ast.List():
                return [value(each) for each in part.elts]
            case ast.BinOp() if type(part.op) in _OPERATORS:
                return _OPERATORS[type(part.op)](value(part.left), value(part.right))
            case ast.Subscript():
                return value(part.value)[value(part.slice)]
            case ast.Attribute(attr=method) if method in _METHODS:
                return getattr(value(part.value), method)
            case ast.Call(func=ast.Attribute() | ast.Name()):
                keywords = {str(each.arg): value(each.value) for each in part.keywords}
                return value(part.func)(*map(value, part.args), **keywords)
        raise UnknownCodeError(ast.unparse(part))

    def _named(self, name: str) -> Any:
        if name in _BUILTINS:
            return _BUILTINS[name]
        loss = self._loss(name)
        if loss is not None:
            return loss.load()
        if name in MODULES:
            return getattr(importlib.import_module(MODULES[name]), name)
        raise UnknownCodeError(name)

    def _loss(self, name: str) -> LossEntry | None:
        return None if self.model_type is None else find_loss(name, self.model_type)

    def imports(self) -> list[str]:
        """The imports that it needs, by the order of the names."""
        found = []
        for name in sorted({node.id for node in ast.walk(_parsed(self.code)) if isinstance(node, ast.Name)}):
            loss = self._loss(name)
            module = loss.module if loss is not None else MODULES.get(name)
            found += [f"from {module} import {name}"] if module else []
        return found

    def assigned(self, name: str) -> list[str]:
        """The lines that give it a name: a call with an argument a line where it is long."""
        line, node = f"{name} = {self.code}", _parsed(self.code)
        if len(line) <= _WIDTH or not isinstance(node, ast.Call):
            return [line]
        parts = [ast.get_source_segment(self.code, each) or "" for each in node.args]
        parts += [f"{each.arg}={ast.get_source_segment(self.code, each.value)}" for each in node.keywords]
        return [f"{name} = {ast.unparse(node.func)}(", *(f"    {part}," for part in parts), ")"]


@lru_cache(maxsize=256)
def _parsed(code: str) -> ast.expr:
    return ast.parse(code, mode="eval").body


def call_of(name: str, arguments: Mapping[str, str]) -> str:
    """The code that makes a loss for `model`."""
    return f"{name}({', '.join(['model', *(f'{key}={code}' for key, code in arguments.items())])})"


def wrapped(loss: str) -> str:
    """The code that puts a sparse loss within the one that adds the sparsity."""
    return call_of("SpladeLoss", {**dict(loss_entry("SpladeLoss", "SparseEncoder").arguments), "loss": loss})


def loss_call(entry: LossEntry, arguments: Mapping[str, str]) -> str:
    """The code that makes a loss, within another where it is not used alone."""
    made = call_of(entry.name, arguments)
    return wrapped(made) if entry.is_wrapped else made


def table_line(data: str, **options: Any) -> str:
    """The line that reads a file or a hub dataset, with those options that are given."""
    given = (f"{name}={literal(value)}" for name, value in options.items() if value is not None)
    return f"dataset = read_table({', '.join([literal(data), *given])})"


def classes_in(label: object, *, are_lists: bool = False, dataset: str = "dataset") -> str:
    """The code that counts the classes of a label: they count from 0, or there is a number for each in a list."""
    column = f"{dataset}[{literal(label)}]"
    return f"len({column}[0])" if are_lists else f"int(max({column})) + 1"


def in_brackets(code: str) -> str:
    """The code of a link of which a method is called: a sum or product must be in brackets."""
    return f"({code})" if any(sign in code for sign in (" + ", " * ")) else code


def sorted_imports(imports: Iterable[str]) -> list[str]:
    """The imports, of each module one line: other packages first, then ours."""
    modules: dict[str, set[str]] = defaultdict(set)
    for line in imports:
        module, _, names = line.removeprefix("from ").partition(" import ")
        modules[module] |= {*names.split(", ")}
    lines: list[str] = []
    for module, found in sorted(modules.items(), key=lambda item: (item[0].startswith(OURS), item[0])):
        line, *others = f"from {module} import {', '.join(sorted(found))}", *(f"    {name}," for name in sorted(found))
        lines += [line] if len(line) <= _WIDTH else [f"from {module} import (", *others, ")"]
    return lines


def step_lines(steps: Sequence[Step]) -> list[str]:
    """The lines of steps, each with what it is for."""
    return [line for step in steps for line in ([f"# {step.why}"] if step.why else []) + [step.code()]]
