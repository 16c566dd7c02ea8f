"""What is known of the meaning of data while it is read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from selective_st.catalog import SAID, LabelKind, Shape
from selective_st.registry.columns import Column
from selective_st.registry.names import Role, roles_of
from selective_st.registry.steps import Step

Certainty = Literal["certain", "likely", "unclear"]


@dataclass
class Reading:
    """The meaning as far as it is known; every doubt lowers its certainty, and nothing raises it again."""

    columns: tuple[Column, ...]
    trainer_inputs: tuple[str, ...]
    trainer_label: str | None
    is_complete: bool  # every row is read
    shape: Shape | None = None
    label: LabelKind | None = None
    meaning: str = ""
    certainty: Certainty = "certain"
    inputs: list[Column] = field(default_factory=list)
    label_column: Column | None = None
    label_values: tuple[float, float] | None = None
    label_scale: tuple[float, float] | None = None
    classes: int | None = None
    label_length: int | None = None
    reasons: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    alternatives: list[tuple[Shape, LabelKind]] = field(default_factory=list)
    label_rivals: tuple[Column, ...] = ()  # columns of which each may be the label
    label_words: dict[float, str] = field(default_factory=dict)  # what numbers of the label are in another column
    class_of: list[Column] = field(default_factory=list)  # another reading takes one of the inputs for a class
    values_deny: bool = False  # what speaks against a reading is in the values, so that no names settle it
    needed: list[Step] = field(default_factory=list)  # without which the data cannot be read at all
    without_label: bool = False  # another reading sets the label aside
    others: list[tuple[tuple[Column, ...], LabelKind]] = field(default_factory=list)  # other inputs, and their labels
    no_label: bool = False  # by its name, the label says something else than losses read, such as the opposite
    mends: list[Step] = field(default_factory=list)
    label_mends: list[Step] = field(default_factory=list)  # without the label column, which comes first

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""
        return [column.name for column in self.inputs]

    @property
    def roles(self) -> list[Role | None]:
        """What each input is for, by the names of all."""
        roles = roles_of(self.input_names)
        return [roles.get(name) for name in self.input_names]

    @property
    def label_name(self) -> str | None:
        """The name of the label column."""
        return None if self.label_column is None else self.label_column.name

    def because(self, reason: str) -> None:
        """A reason for this reading."""
        self.reasons.append(reason)

    def doubt(self, doubt: str, *labels: LabelKind) -> None:
        """A doubt that leaves this reading the likely one; `labels` are the others."""
        if self.certainty == "certain":
            self.certainty = "likely"
        self.doubts.append(doubt)
        if self.shape is not None:
            self.alternatives += [(self.shape, label) for label in labels]

    def unclear(self, doubt: str, *labels: LabelKind) -> None:
        """A doubt that leaves it open."""
        self.certainty = "unclear"
        self.doubt(doubt, *labels)

    def withdraw_label(self, doubt: str, *likelier: tuple[Shape, LabelKind]) -> None:
        """A doubt that leaves open what the label is: what it was read as is one reading, after likelier ones."""
        self.unclear(doubt)
        own = [(self.shape, self.label)] if self.shape and self.label else []
        self.alternatives = [*likelier, *own, *self.alternatives]
        self.label, self.label_scale, self.classes, self.meaning = None, None, None, ""

    def deny(self, doubt: str) -> None:
        """Values that speak against what the names say."""
        self.unclear(doubt)
        self.values_deny = True

    def or_pairs(self, label: LabelKind) -> None:
        """Further readings: two of the first three texts."""
        self.others += [(two, label) for two in itertools.combinations(self.inputs[:3], 2)]
        self.alternatives.append(("pair", label))


def said(doubt: str, *facts: object) -> str:
    """A doubt in words, by its name in the catalog."""
    return SAID["doubts"][doubt].format(*facts)


def listed(columns: Iterable[Column], joined: str = ", ") -> str:
    """The names of columns, quoted."""
    return joined.join(map(str, columns))
