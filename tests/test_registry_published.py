"""What is found in schemas of published datasets: right where it can be told, hardly ever wrong, no harmful advice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import pytest
from datasets import Dataset

from selective_st.registry import DataFormat, detect_format, suggest_losses
from selective_st.registry.readings import FormatReading
from tests.format_published import PUBLISHED
from tests.format_published_2 import PUBLISHED_2
from tests.format_published_3 import PUBLISHED_3
from tests.format_published_4 import PUBLISHED_4
from tests.published_values import Answer, Published, dataset_of

LEAST_RIGHT = 0.9  # of those that can be told
MOST_WRONG = 0.03  # of those of which something is claimed
MOST_HARMFUL = 0.01  # of the first suggestions
MOST_WITHOUT = 0.25  # of the unclear ones with known readings, none of which is offered


@dataclass(frozen=True)
class Found:
    """What is found in a schema, and whether it is right."""

    case: Published
    dataset: Dataset
    format: DataFormat

    @property
    def is_claim(self) -> bool:
        return self.format.certainty != "unclear"

    @property
    def is_right(self) -> bool:
        """Whether something is claimed, and it is what an expert says."""
        return any(map(self.is_as, self.told))

    @property
    def is_harmful(self) -> bool:
        """Whether a loss for it would train what the data do not say; the order of the inputs does little harm."""
        return not self.is_right and not any(self.is_as(replace(each, any_order=True)) for each in self.told)

    @property
    def told(self) -> tuple[Answer, ...]:
        return () if self.case.tell == "cannot" or not self.is_claim else self.case.answers

    def is_as(self, answer: Answer) -> bool:
        found = self.format
        return _is_as(answer, found.shape, found.label, found.inputs, found.label_column) and self._keeps_yes(answer)

    def _keeps_yes(self, answer: Answer) -> bool:
        """Whether labels called binary are 1 where the positive one is meant."""
        if self.format.label != "binary" or answer.positive is None:
            return True
        after = self.dataset
        for step in self.format.steps:
            after = step.apply(after)
        before = [str(value) for value in self.dataset[answer.label_column]]
        return [bool(int(value)) for value in after[_label_of(after)]] == [value == answer.positive for value in before]

    def __str__(self) -> str:
        found = self.format
        return (
            f"{self.case.name} ({self.case.tell}): {found.certainty} {found.shape}/{found.label} {found.inputs} > "
            f"{found.label_column}; doubts {found.doubts}"
        )


def _is_as(
    answer: Answer, shape: str | None, label: str | None, inputs: tuple[str, ...], label_column: str | None
) -> bool:
    same = sorted(inputs) == sorted(answer.inputs) if answer.any_order else inputs == answer.inputs
    return (shape, label_column) == (answer.shape, answer.label_column) and label in answer.labels and same


def _label_of(dataset: Dataset) -> str:
    return next(name for name in ("label", "labels", "score", "scores") if name in dataset.column_names)


@cache
def all_found() -> tuple[Found, ...]:
    made = [(case, dataset_of(case.columns)) for case in (*PUBLISHED, *PUBLISHED_2, *PUBLISHED_3, *PUBLISHED_4)]
    found = [(case, dataset, detect_format(dataset)) for case, dataset in made]
    return tuple(Found(case, dataset, each) for case, dataset, each in found if isinstance(each, DataFormat))


def _after(dataset: Dataset, reading: FormatReading) -> DataFormat:
    for step in reading.steps:
        dataset = step.apply(dataset)
    found = detect_format(dataset)
    assert isinstance(found, DataFormat)
    return found


@pytest.mark.slow
def test_the_table_is_large_and_its_names_are_unique() -> None:
    assert len(all_found()) >= 600
    for table in (PUBLISHED, PUBLISHED_2, PUBLISHED_3, PUBLISHED_4):
        assert len(table) == len({case.name for case in table})
    for found in all_found():
        meant = {name for answer in found.case.answers for name in (*answer.inputs, answer.label_column) if name}
        assert meant <= set(found.dataset.column_names), found.case.name


def test_what_can_be_told_is_told() -> None:
    told = [found for found in all_found() if found.case.tell == "must"]
    missed = [str(found) for found in told if not found.is_right]
    assert len(missed) <= (1 - LEAST_RIGHT) * len(told), "\n".join([f"{len(missed)} of {len(told)}", *missed])


def test_what_is_claimed_is_right() -> None:
    claims = [found for found in all_found() if found.is_claim]
    wrong = [str(found) for found in claims if not found.is_right]
    assert len(wrong) <= MOST_WRONG * len(claims), "\n".join([f"{len(wrong)} of {len(claims)}", *wrong])


@pytest.mark.slow
def test_no_first_suggestion_is_harmful() -> None:
    """A suggestion is for what was claimed: it trains what the data do not say where that is wrong, or nothing is."""
    suggested, harmful = 0, []
    for found in all_found():
        for model_type in ("SentenceTransformer", "CrossEncoder"):
            suggestions = suggest_losses(found.dataset, model_type=model_type)
            if suggestions:
                suggested += 1
                harmful += [f"{model_type} {suggestions[0].loss}: {found}"] if found.is_harmful else []
    assert len(harmful) <= MOST_HARMFUL * suggested, "\n".join([f"{len(harmful)} of {suggested}", *harmful])


def test_what_is_unclear_has_the_readings_that_people_argue_about() -> None:
    argued = [found for found in all_found() if not found.is_claim and found.case.answers]
    without = [
        str(found)
        for found in argued
        if not any(
            reading.shape is None or _is_as(answer, reading.shape, reading.label, reading.inputs, reading.label_column)
            for answer in found.case.answers
            for reading in found.format.readings
        )
    ]
    assert len(without) <= MOST_WITHOUT * len(argued), "\n".join([f"{len(without)} of {len(argued)}", *without])


@pytest.mark.slow
def test_the_steps_of_a_reading_choose_it() -> None:
    chosen = [(found, reading) for found in all_found() for reading in found.format.readings if reading.steps]
    failed = [f"{found}\n   {reading.words}: {fault}" for found, reading in chosen if (fault := _fault(found, reading))]
    assert not failed, "\n".join(failed)


def _fault(found: Found, reading: FormatReading) -> str:
    """What is wrong after the steps of a reading; empty where nothing is."""
    try:
        after = _after(found.dataset, reading)
    except (TypeError, ValueError) as error:
        return repr(error)
    if reading.shape is None:  # cells are made readable, whatever else is not clear
        return "\n".join(doubt for doubt in after.doubts if "must be taken out" in doubt)
    is_so = after.certainty != "unclear" and (after.shape, after.label) == (reading.shape, reading.label)
    return "" if is_so else f"{after.certainty} {after.shape}/{after.label}, {after.doubts}"
