"""Labels of two values: which of them says that two texts belong together, by what they mean and never by their order.

The words of a label say it themselves (`match`, `mismatch`), or are yes and no to what the column's name says: a yes to
`is_duplicate` is 1, a yes to `is_different` is 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from selective_st.registry.columns import Column
from selective_st.registry.names import are_relation_values, hint_of, is_negating
from selective_st.registry.steps import Step
from selective_st.written import are_plain, read_written

_KINDS = ("integer", "float", "boolean", "text", "class label")
_TURNED = "by its name, it says that the texts differ"


@dataclass(frozen=True)
class Signs:
    """What the values of a label say.

    Attributes:
        mapping: What each is: 1 where the texts belong together, 0 where they do not.
        turned: Whether that is the reverse of what they say without the column's name.
    """

    mapping: dict[Any, int]
    turned: bool

    @property
    def yes(self) -> tuple[Any, ...]:
        """The values that say that the texts belong together."""
        return tuple(value for value, sign in self.mapping.items() if sign == 1)

    def step(self, column: str) -> Step:
        """What makes them 0 and 1."""
        why = _TURNED if self.turned else f"1 is {' and '.join(map(str, self.yes))}"
        return Step("labels_to_int", (column,), (("mapping", self.mapping),), why)


def signs_of(column: Column, known: Iterable[Any] | None = None) -> Signs | None:
    """Read a label that says yes or no.

    Args:
        column: The label.
        known: Its values, where the column does not hold them.

    Returns:
        What its values say; None where it is not known, or where they are numbers that need no change.
    """
    if column.kind not in _KINDS:
        return None
    values: Collection[Any] = column.classes or set(column.known if known is None else known)
    negating = is_negating(column.name)
    if not any(isinstance(value, str) for value in values):
        return Signs({0: 1, 1: 0}, turned=True) if negating and values and {*values} <= {0, 1} else None
    texts = sorted(map(str, values))
    said = read_written(dict.fromkeys(texts, 2))
    numbers = {text: said.values.get(text.strip()) for text in texts}
    if said.kind not in ("opposites", "numbers") or not set(numbers.values()) <= {0, 1}:
        return None
    turned = negating and not speak_for_themselves(texts)
    if said.kind == "numbers" and not turned:
        return None
    if turned and not are_plain(texts):
        return None  # positive, correct: to the name, or of the texts?
    mapping = {text: int(number != turned) for text, number in numbers.items()}
    return Signs(dict(sorted(mapping.items(), key=lambda item: -item[1])), turned)


def speak_for_themselves(values: Collection[str]) -> bool:
    """Whether words say how two texts relate, whatever their column is called."""
    return are_relation_values(values) or any(hint_of(value) == "binary" for value in values)
