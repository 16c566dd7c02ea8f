"""What a rule is.

A rule is a function with a decorator. The function tells the bad rows, or just whether something is bad, and its
docstring is what is said; the decorator holds the rule's code, what it looks at, how bad it is, and what mends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from selective_st.catalog import LossEntry
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.report import Severity, row_numbers
from selective_st.registry.checks.scan import Integers
from selective_st.registry.steps import Step

# A rule is asked once of the data; of each column, input that is none, or column of texts; or of the label.
About = Literal["data", "column", "stray", "text", "label", "read label"]
# A step of the dataset; or a line of code, in which {dataset} and {loss} stand for the user's variables.
Part = Step | str
# Lines, or a list of alternatives of which the first that can be done is taken; None where nothing mends it.
Mend = Part | tuple[Part, ...] | list[Any] | None


class LossLine(str):
    """Lines that take a loss, which is known by its entry."""

    entry: LossEntry


Stage = IntEnum("Stage", "STORE NAME DROP ORDER ROWS READ VALUES CHANGE LOSS MODEL")
Stage.__doc__ = "When a mend has its turn: what is called by a name comes after what gives the name."

RULES: list[rule] = []
Bad = dict[str, Any]  # what a rule tells: facts, and what else `Found` has
Tells = Iterator[Bad | None]
_OWN = ("rows", "column", "severity", "count", "mend")


def bad(rows: NDArray[Any] | None = None, **told: Any) -> Bad | None:
    """What was found; None where it is about rows and there are none.

    Args:
        rows: The rows, as a mask of the scanned ones or by their numbers, if it is about rows.
        **told: Facts that the words and lines need; and what else `Found` has, where it is not what the rule says: the
            `column`, `severity` and `mend`, and a `count` of rows, where `rows` are of a sample.

    Returns:
        All that is told.
    """
    if rows is not None and not (rows.any() if rows.dtype == bool else len(rows)):
        return None
    return {"rows": rows, **told}


def _told(find: Callable[..., Any], *arguments: Any) -> list[Bad]:
    """All that a rule's function finds bad, which says it as a truth value, a mask of rows, or by `bad`."""
    found = find(*arguments)
    each = [*found] if isinstance(found, Iterator) else [found]
    told = (bad(one) if isinstance(one, np.ndarray) else bad() if one is True else one for one in each)
    return [one for one in told if one]


def tells(find: Callable[..., Any], context: Context) -> bool:
    """Whether another rule finds something bad."""
    return bool(_told(find, context))


@dataclass
class rule:  # noqa: N801 - it is used as a decorator
    """A check: the decorator of a function that tells what is bad, and whose docstring is what is said.

    The docstring has names of facts in braces: those of `bad`, loss, label, column, rows, and `c`, the context.
    """

    code: str  # its name, which stays the same
    about: About
    severity: Severity
    stage: Stage
    mend: Mend | Callable[[Context, Found], Mend] = None  # what mends it, or what makes that of what was found
    is_choice: bool = False  # whether its lines choose between columns, and so may leave one out whatever its name
    find: Callable[..., Any] = field(init=False)

    def __call__(self, find: Callable[..., Any]) -> Callable[..., Any]:
        """Make a rule of a function."""
        self.find = find
        RULES.append(self)
        return find

    @property
    def words(self) -> str:
        """What is said, in one line."""
        words = " ".join((self.find.__doc__ or f"{self.code}.").split())  # python -OO leaves no words
        return words if words[1:2].isupper() else words[0].lower() + words[1:]

    def look(self, context: Context) -> Iterator[Found]:
        """Each thing that is bad."""
        for column in self._columns(context):
            each = _told(self.find, context, *([column] if self.about in ("column", "stray", "text") else []))
            for told in each:
                own: dict[str, Any] = {"column": column, "severity": self.severity}
                own |= {name: value for name in _OWN if (value := told.pop(name, None)) is not None}
                if "rows" in own:
                    rows = own["rows"]
                    own["rows"] = context.scan.numbers(rows) if rows.dtype == bool else rows
                    own.setdefault("count", len(own["rows"]))
                yield Found(self, context, **own, facts=told)

    def _columns(self, context: Context) -> Sequence[str | None]:
        """What it is asked of; None for the data."""
        if "label" in self.about:
            is_asked = context.source is not None and (self.about == "label" or context.reads_label)
            return [context.source] if is_asked else []
        if self.about == "stray":
            return [column for column, code in context.strays.items() if code == self.code]
        if self.about == "text":
            return list(context.scan.texts)
        return context.table.columns if self.about == "column" else [None]


@dataclass(frozen=True)
class Found:
    """Something that a rule has found."""

    rule: rule
    context: Context
    column: str | None
    severity: Severity
    facts: dict[str, Any]
    rows: Integers | None = None
    count: int | None = None  # of the rows; None where it is not about rows
    mend: Mend = None

    @property
    def message(self) -> str:
        """What is said."""
        c, rows = self.context, "" if self.rows is None else row_numbers(self.rows, self.count)
        known = {**vars(self), "c": c, "loss": c.entry.name, "label": c.source, "rows": rows}
        once = f"once {c.source!r} is the label: " if "label" in self.rule.about and c.source != c.label else ""
        return once + self.rule.words.format(**known | self.facts)

    @property
    def mends(self) -> list[tuple[Part, ...]]:
        """The lines that mend it: alternatives, the best first."""
        found = self.rule.mend(self.context, self) if callable(self.rule.mend) else self.mend or self.rule.mend
        each = found if isinstance(found, list) else [found] if found else []
        return [one if isinstance(one, tuple) else (one,) for one in each]
