"""Steps that mend or convert a dataset: each is one call, which can be shown as code and done as well."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selective_st._validation import instance_of

_EXAMPLE = 'Step("rename_column", ("3", "score"))'
# Methods of datasets.Dataset that a step may be; every other step is a function of selective_st.conversion.
_METHODS = ("rename_column", "rename_columns", "remove_columns", "select_columns", "class_encode_column", "with_format")


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
        if not isinstance(self.call, str) or not self.call.isidentifier():
            raise TypeError(
                f"Step: call must be the name of a method or function, got {self.call!r}. Write {_EXAMPLE}."
            )

    @property
    def import_line(self) -> str:
        """The import that the code needs; empty for a method."""
        return "" if self.call in _METHODS else f"from selective_st.conversion import {self.call}"

    def code(self, name: str = "dataset") -> str:
        """The line of code.

        Args:
            name: The name of the variable that holds the dataset.

        Returns:
            The line.
        """
        parts = [*(literal(value) for value in self.arguments), *(f"{k}={literal(v)}" for k, v in self.options)]
        if self.call in _METHODS:
            return f"{name} = {name}.{self.call}({', '.join(parts)})"
        return f"{name} = {self.call}({', '.join([name, *parts])})"

    def apply(self, dataset: Any) -> Any:
        """Do it.

        Args:
            dataset: A `datasets.Dataset`.

        Returns:
            Another dataset; the one given stays as it is.

        Raises:
            TypeError: If it is no dataset.
            ValueError: If there is no such call.
        """
        from datasets import Dataset

        from selective_st import conversion

        mend = "Make one with Dataset.from_dict, or read a file with selective_st.data.read_table."
        instance_of("Step.apply", "dataset", dataset, Dataset, mend)
        if self.call not in (*_METHODS, *conversion.__all__):
            known = ", ".join((*_METHODS, *conversion.__all__))
            raise ValueError(f"Step: call must be one of {known}, got {self.call!r}. Write {_EXAMPLE}.")
        options = dict(self.options)
        arguments = [list(value) if isinstance(value, tuple) else value for value in self.arguments]
        if self.call in _METHODS:
            return getattr(dataset, self.call)(*arguments, **options)
        return getattr(conversion, self.call)(dataset, *arguments, **options)


def code_of(steps: Sequence[Step], name: str = "dataset") -> str:
    """The code of several steps.

    Args:
        steps: The steps.
        name: The name of the variable that holds the dataset.

    Returns:
        Their imports, each once, then their lines.

    Example:
        >>> print(code_of([Step("select_columns", (("anchor", "positive"),))]))
        dataset = dataset.select_columns(["anchor", "positive"])
    """
    imports = dict.fromkeys(step.import_line for step in steps if step.import_line)
    return "\n".join([*imports, *(step.code(name) for step in steps)])


def literal(value: Any) -> str:
    """A value as code, texts in double quotes.

    Args:
        value: A text, a number, None, or a list of these.

    Returns:
        The code.

    Example:
        >>> literal(("a", 1, None))
        '["a", 1, None]'
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # such a text is a literal of Python too
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(key)}: {literal(each)}' for key, each in value.items())}}}"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)
