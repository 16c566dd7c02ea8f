"""Steps that mend or convert a dataset: each is one call, which can be shown as code and done as well."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from selective_st._validation import instance_of
from selective_st.errors import literal

__all__ = ["ON_STREAMS", "Code", "Step", "code_of", "literal"]

_EXAMPLE = 'Step("rename_column", ("3", "score"))'
# Methods of datasets.Dataset that a step may be; every other step is a function of selective_st.conversion.
_METHODS = (
    "rename_column", "rename_columns", "remove_columns", "select_columns", "class_encode_column", "with_format",
    "filter", "map", "cast",
)  # fmt: skip
_MAKES_ONE = "to_dataset"  # of what is none yet
_FUNCTIONS: dict[str, Callable[..., Any]] = {}  # which are registered as their modules are imported
_Function = TypeVar("_Function", bound=Callable[..., Any])


def callable_as_step(function: _Function) -> _Function:
    """Let a function that takes a dataset and gives one be the call of a step."""
    _FUNCTIONS[function.__name__] = function
    return function


class Code(str):
    """An argument that is code, such as a lambda: a step with one can be shown and pasted, not applied."""


@dataclass(frozen=True)
class Step:
    """One call that takes a dataset and gives a dataset.

    Attributes:
        call: The name of a method of `datasets.Dataset`, or of a function of `selective_st.conversion`.
        arguments: Its arguments after the dataset.
        options: Its keyword arguments.
        why: What it is for, in a few words.

    Example:
        >>> Step("rename_column", ("3", "score")).code()
        'dataset = dataset.rename_column("3", "score")'
        >>> Step("scale_labels", ("score", 0, 5)).code("train")
        'train = scale_labels(train, "score", 0, 5)'
    """

    call: str
    arguments: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    why: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.call, str):
            raise TypeError(
                f"Step: call must be the name of a method or function, got {self.call!r}. Write {_EXAMPLE}."
            )

    @property
    def import_line(self) -> str:
        """The import that the code needs; empty for a method."""
        return "" if self.call in _METHODS else f"from {self._module} import {self.call}"

    @property
    def _module(self) -> str:
        return f"selective_st.{'registry.table' if self.call == _MAKES_ONE else 'conversion'}"

    def code(self, name: str = "dataset") -> str:
        """The line of code.

        Args:
            name: The name of the variable that holds the dataset.

        Returns:
            The line.
        """
        parts = [*map(_shown, self.arguments), *(f"{key}={_shown(value)}" for key, value in self.options)]
        if self.call in _METHODS:
            return f"{name} = {name}.{self.call}({', '.join(parts)})"
        return f"{name} = {self.call}({', '.join([name, *parts])})"

    @property
    def is_data(self) -> bool:
        """Whether it can be applied: none of its arguments is code."""
        return not any(isinstance(value, Code) for value in (*self.arguments, *dict(self.options).values()))

    def apply(self, dataset: Any) -> Any:
        """Do it.

        Args:
            dataset: A `datasets.Dataset`; for `to_dataset`, whatever holds rows.

        Returns:
            Another dataset; the one given stays as it is.

        Raises:
            TypeError: If it is no dataset.
            ValueError: If there is no such call, or an argument is code.
        """
        from datasets import Dataset, IterableDataset

        importlib.import_module(self._module)  # late, since it imports datasets; there it registers itself
        if self.call == _MAKES_ONE:
            return _FUNCTIONS[self.call](dataset)
        known = (*_METHODS, *sorted(_FUNCTIONS))
        if self.call not in known:
            raise ValueError(f"Step: call must be one of {', '.join(known)}, got {self.call!r}. Write {_EXAMPLE}.")
        if not self.is_data:
            raise ValueError(f"Step: {self.code()!r} has an argument that is code. Paste the line instead.")
        mend = "Make one with Dataset.from_dict, or read a file with selective_st.data.read_table."
        instance_of("Step.apply", "dataset", dataset, (Dataset, IterableDataset), mend)
        arguments = [list(value) if isinstance(value, tuple) else value for value in self.arguments]
        function = getattr(type(dataset), self.call) if self.call in _METHODS else _FUNCTIONS[self.call]
        return function(dataset, *arguments, **dict(self.options))


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, Code) else literal(value)


ON_STREAMS = ("rename_column", "rename_columns", "remove_columns", "select_columns", "filter", "map", "cast")


def code_of(steps: Sequence[Step], name: str = "dataset", *, explained: bool = False) -> str:
    """The code of several steps.

    Args:
        steps: The steps.
        name: The name of the variable that holds the dataset.
        explained: Whether to say after each line what it is for.

    Returns:
        Their imports, each once, then their lines.

    Example:
        >>> print(code_of([Step("select_columns", (("anchor", "positive"),))]))
        dataset = dataset.select_columns(["anchor", "positive"])
    """
    imports = dict.fromkeys(step.import_line for step in steps if step.import_line)
    lines = [step.code(name) + (f"  # {step.why}" if explained and step.why else "") for step in steps]
    return "\n".join([*imports, *lines])
