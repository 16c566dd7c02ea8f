"""What data are found to be, on a corpus whose answers were written by someone else: never wrong, seldom at a loss."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import pytest
from datasets import Dataset, Features, IterableDataset, Value, concatenate_datasets
from sentence_transformers.base.data_collator import BaseDataCollator
from sentence_transformers.cross_encoder.data_collator import CrossEncoderDataCollator

from selective_st.registry.catalog import MODEL_TYPES, LabelKind, Row, rows
from selective_st.registry.detection import DataFormat, detect_format
from selective_st.registry.steps import code_of
from tests.format_corpus import CASES, Case, real_cases
from tests.format_generator import variants

Verdict = Literal["right", "cannot tell", "wrong"]

ALL = {case.id: case for case in (*CASES, *real_cases())}
MOST_AT_A_LOSS = 0.15  # of the cases that can be told
each_case = pytest.mark.parametrize("name", ALL)
each_told = pytest.mark.parametrize("name", [name for name, case in ALL.items() if case.tell != "cannot"])

ORDER_TELLS = {"an index that a CSV file kept"}

# Steps that are about columns, not about the values of a label.
_COLUMN_STEPS = {"rename_column", "remove_columns", "select_columns"}


@cache
def made(name: str) -> Any:
    """The data of a case."""
    return ALL[name].make()


@cache
def detected(name: str) -> DataFormat:
    """What is found for a case."""
    found = detect_format(made(name))
    dataset = ALL[name].name
    assert isinstance(found, dict) == (dataset is not None)
    return found[dataset] if isinstance(found, dict) and dataset is not None else found  # type: ignore[return-value]


@cache
def as_dataset(name: str) -> Dataset:
    """The data as the trainer gets it: with a transform done, a stream read."""
    import pandas as pd

    data, part = made(name), ALL[name].name
    if part is not None:
        data = data[part]
    if isinstance(data, pd.DataFrame):
        return Dataset.from_pandas(data, preserve_index=False)
    if isinstance(data, Mapping):
        return Dataset.from_dict(dict(data))
    if isinstance(data, list):
        return Dataset.from_list(data)
    if isinstance(data, IterableDataset):
        return Dataset.from_list(list(data))
    if data.format["type"] == "custom":
        return Dataset.from_list([data[row] for row in range(len(data))])
    return data.with_format(None)


def first_row(name: str) -> dict[str, Any]:
    """A row as the data loader of the trainer gets it."""
    data = made(name)
    if ALL[name].name is not None:
        data = data[ALL[name].name]
    if isinstance(data, (Dataset, IterableDataset)):
        return dict(next(iter(data)))
    return dict(as_dataset(name)[0])


def read_by_collators(columns: list[str]) -> tuple[tuple[str, ...], str | None]:
    """What the real collators take for inputs and label: each column holds its position, so that it can be followed."""
    positions = {column: position for position, column in enumerate(columns)}
    preprocessed: list[int] = []

    def preprocess(inputs: list[int], **_: Any) -> dict[str, Any]:
        preprocessed.append(inputs[0])
        return {}

    batch = BaseDataCollator(preprocess_fn=preprocess)([positions, positions])
    inputs = tuple(columns[position] for position in preprocessed)
    label = columns[int(batch["label"][0])] if "label" in batch else None

    batch = CrossEncoderDataCollator(preprocess_fn=preprocess)([positions, positions])
    assert inputs == tuple(column for column in batch if column not in ("label", "dataset_name"))
    assert label == (columns[int(batch["label"][0])] if "label" in batch else None)
    return inputs, label


def verdict_on(case: Case, found: DataFormat) -> Verdict:
    """Whether the answer is the expected one."""
    if found.certainty == "unclear":
        return "cannot tell" if found.doubts and all(doubt.strip() for doubt in found.doubts) else "wrong"
    is_right = (
        case.tell != "cannot"
        and (found.shape, found.inputs, found.label_column) == (case.shape, case.inputs, case.label_column)
        and found.label in (case.label, *case.accepted)
        and (case.meaning is None or found.meaning == case.meaning)
    )
    return "right" if is_right else "wrong"


def answer_of(found: DataFormat) -> str:
    return (
        f"{found.certainty}: {found.shape}/{found.label}, inputs {found.inputs}, label {found.label_column!r}; "
        f"reasons {found.reasons}; doubts {found.doubts}; alternatives {found.alternatives}"
    )


# --- The corpus itself ------------------------------------------------------------------------------------------------


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(CASES) >= 80
    assert len(ALL) == len(CASES) + len(real_cases())


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_row_of_the_loss_tables_has_a_case(model_type: Any) -> None:
    told = [case for case in CASES if case.tell != "cannot"]
    missing = [
        row
        for row in rows(model_type)
        if row.section in ("main", "distillation")
        and not any(
            (case.shape, case.label) == (row.shape, row.label) and (row.label != "none" or fits(case, row))
            for case in told
        )
    ]
    assert not missing


def fits(case: Case, row: Row) -> bool:
    """Whether a case without labels is of a row: pairs may be of several."""
    return row.shape != "pair" or case.meaning == row.inputs


@each_case
def test_the_trainer_reads_what_the_corpus_says(name: str) -> None:
    case = ALL[name]
    columns = list(first_row(name))
    assert read_by_collators(columns) == (case.trainer_inputs, case.trainer_label)
    meant = [*case.inputs, *([case.label_column] if case.label_column else [])]
    assert len(set(meant)) == len(meant)
    assert set(meant) <= set(columns)


# --- What is found ----------------------------------------------------------------------------------------------------


@each_case
def test_facts_about_the_trainer_are_exact(name: str) -> None:
    found = detected(name)
    assert (found.trainer_inputs, found.trainer_label) == (ALL[name].trainer_inputs, ALL[name].trainer_label)
    assert [column.name for column in found.columns] == list(first_row(name))
    assert found.name == ALL[name].name


@each_case
def test_the_answer_is_right_or_it_says_that_it_cannot_tell(name: str) -> None:
    case, found = ALL[name], detected(name)
    verdict = verdict_on(case, found)
    allowed = {"must": {"right"}, "may": {"right", "cannot tell"}, "cannot": {"cannot tell"}}[case.tell]
    assert verdict in allowed, answer_of(found)
    if verdict == "cannot tell" and case.readings:
        named = {(found.shape, found.label), *found.alternatives}
        assert named & set(case.readings), answer_of(found)
    if found.certainty == "certain":
        assert not found.alternatives


@pytest.mark.parametrize("label", [[0.1, 0.9], [0.9, 0.1]])
def test_documents_change_places_without_their_scores_only_with_a_doubt(label: list[float]) -> None:
    """Scores in a list follow the columns: are those of (negative, query, positive) in that order, or the loss's?"""
    texts = [f"text {row} about something" for row in range(20)]
    columns = {"negative": texts, "query": [f"{text}?" for text in texts], "positive": [f"{text}!" for text in texts]}
    found = detect_format(Dataset.from_dict({**columns, "labels": [label] * 20}))
    assert isinstance(found, DataFormat)
    assert found.certainty != "certain"
    assert found.doubts


@each_told
def test_what_is_told_besides(name: str) -> None:
    case, found = ALL[name], detected(name)
    if case.as_text:
        assert {column.name for column in found.columns if column.stored_as_text} == set(case.as_text)
    if verdict_on(case, found) != "right":
        return
    if case.scale is not None:
        assert found.label_scale == case.scale
    if case.classes is not None:
        assert found.classes == case.classes
    if case.label_column is None:
        assert found.label_values is None


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_rows_of_the_loss_tables_are_found_again(model_type: Any) -> None:
    for row in rows(model_type):
        if row.section in ("main", "distillation"):
            cases = [
                case
                for case in CASES
                if (case.shape, case.label) == (row.shape, row.label) and case.tell == "must" and fits(case, row)
            ]
            for case in cases:
                assert row in detected(case.id).matching_rows(model_type), (case.id, row.inputs)


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("a translation with the source's embedding", "SentenceTransformer"),
        ("an embedding for each of two columns", "SentenceTransformer"),
        ("lists with 0 and 1", "CrossEncoder"),
    ],
)
def test_formats_that_stand_in_a_row_of_another_name_have_rows(name: str, model_type: Any) -> None:
    assert detected(name).matching_rows(model_type)


@each_case
def test_it_can_be_read_and_it_changes_nothing(name: str) -> None:
    data = made(name)
    before = dict(data.features) if isinstance(data, Dataset) else None
    kind = data.format["type"] if isinstance(data, Dataset) else None
    found = detected(name)
    assert str(found).strip()
    assert found.read
    if isinstance(data, Dataset):
        assert dict(data.features) == before
        assert data.format["type"] == kind
        assert found.rows == len(data)


# --- What must not matter ---------------------------------------------------------------------------------------------


def with_ids(dataset: Dataset) -> Dataset:
    columns = {"guid": Value("string"), **dataset.features}
    return Dataset.from_dict(
        {"guid": [f"row-{row:04}" for row in range(len(dataset))], **dataset.to_dict()}, Features(columns)
    )


def shuffled(dataset: Dataset) -> Dataset:
    order = list(range(len(dataset)))
    random.Random(5).shuffle(order)
    return dataset.select(order)


def as_stream(dataset: Dataset) -> IterableDataset:
    return dataset.to_iterable_dataset()


def five_times(dataset: Dataset) -> Dataset:
    return concatenate_datasets([dataset] * 5)


@each_told
def test_what_does_not_matter_changes_nothing(name: str) -> None:
    case, before = ALL[name], as_dataset(name)
    if len(before) > 100 or "image" in before.column_names:
        pytest.skip("would take long")
    verdict = verdict_on(case, detected(name))
    for change in (with_ids, shuffled, as_stream, five_times):
        found = detect_format(change(before))
        assert isinstance(found, DataFormat)
        changed = verdict_on(case, found)
        assert changed != "wrong", f"{change.__name__}: {answer_of(found)}"
        # One row five times is another matter, and of some columns the order is what tells.
        if change is not five_times and not (change is shuffled and name in ORDER_TELLS):
            assert (changed, found.label) == (verdict, detected(name).label), f"{change.__name__}: {answer_of(found)}"


# --- The steps --------------------------------------------------------------------------------------------------------


@each_told
def test_after_the_steps_the_trainer_reads_what_is_meant(name: str) -> None:
    case, found = ALL[name], detected(name)
    if verdict_on(case, found) != "right":
        pytest.skip("cannot tell, so nothing to mend")
    if found.steps and found.steps[-1].call == "rows_of_positives":
        pytest.skip("a row becomes several: tests of the registry's lists")
    before = as_dataset(name)
    after = before
    for step in found.steps:
        after = step.apply(after)
    compile(code_of(found.steps), name, "exec")

    # Texts are compared by their values, so that a step may rename a column.
    inputs, label = read_by_collators(after.column_names)
    assert len(after) == len(before)
    assert len(inputs) == len(case.inputs)
    for column, meant in zip(inputs, case.inputs, strict=True):
        assert list(after[column]) == list(before[meant]), f"{column} should hold {meant}"
    assert (label is None) == (case.label_column is None)
    if label is not None:
        assert case.label_column is not None
        assert_labels_agree(list(after[label]), list(before[case.label_column]), found.label, case.positive)
    if (case.trainer_inputs, case.trainer_label) == (case.inputs, case.label_column) and "dataset_name" not in before[
        0
    ]:
        assert not {step.call for step in found.steps} & _COLUMN_STEPS


def assert_labels_agree(after: list[Any], before: list[Any], kind: LabelKind | None, positive: Any) -> None:
    if kind == "class":
        # Words may become numbers, and numbers other numbers, as long as the classes stay apart.
        pairs = set(zip(before, after, strict=True))
        assert len(pairs) == len(set(before)) == len(set(after))
        assert all(isinstance(value, int) for value in after)
    elif positive is not None:
        assert [_number(value) for value in after] == [float(value == positive) for value in before]
    else:
        assert [_number(value) for value in after] == [_number(value) for value in before]
    if kind in ("class", "binary", "similarity", "margin") and all(value is not None for value in after):
        batch = BaseDataCollator(preprocess_fn=lambda inputs, **_: {})([{"label": value} for value in after])
        assert batch["label"].shape == (len(after),)


def _number(value: Any) -> Any:
    """A label as a float, or a list of these; None for a gap, however it is written."""
    if isinstance(value, list):
        return [_number(part) for part in value]
    if value is None or math.isnan(float(value)):
        return None
    return float(value)


# --- How often --------------------------------------------------------------------------------------------------------


def test_it_is_never_wrong_and_seldom_at_a_loss(capsys: pytest.CaptureFixture[str]) -> None:
    told = [case for case in ALL.values() if case.tell != "cannot"]
    verdicts = {case.id: verdict_on(case, detected(case.id)) for case in told}
    count = {verdict: sum(found == verdict for found in verdicts.values()) for verdict in ("right", "cannot tell")}
    others = [detected(case.id).certainty for case in ALL.values() if case.tell == "cannot"]
    with capsys.disabled():
        print(
            f"\ncorpus of formats: {count['right']} right, {count['cannot tell']} 'cannot tell', of {len(told)} that "
            f"can be told; {others.count('unclear')} 'cannot tell' of {len(others)} that cannot"
        )
    assert [name for name, verdict in verdicts.items() if verdict == "wrong"] == []
    assert set(others) == {"unclear"}
    assert count["cannot tell"] <= MOST_AT_A_LOSS * len(told)


def test_a_case_that_is_not_what_the_corpus_says_would_be_noticed() -> None:
    """A look at the judge: each pair of cases with different answers, the answer to one is wrong for the other."""
    some = [case for case in CASES if case.tell == "must"][:12]
    for one, other in itertools.permutations(some, 2):
        if (one.shape, one.label, one.inputs) != (other.shape, other.label, other.inputs):
            assert verdict_on(other, detected(one.id)) == "wrong"


# --- Variants ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_variants_are_never_wrong_with_certainty_and_seldom_otherwise() -> None:
    wrong: dict[str, list[str]] = {"certain": [], "likely": []}
    at_a_loss = count = told = 0
    for variant in variants():
        count += 1
        found = detect_format(variant.columns)
        assert isinstance(found, DataFormat)
        if found.certainty == "unclear":
            at_a_loss += variant.shape is not None
            continue
        told += 1
        meant = (variant.shape, variant.label, variant.inputs, variant.label_column)
        if (found.shape, found.label, found.inputs, found.label_column) != meant:
            wrong[found.certainty].append(f"{variant.kind}: {list(variant.columns)}: {answer_of(found)}")
    assert count >= 2_000
    assert told >= 1_500
    assert wrong["certain"] == []
    assert len(wrong["likely"]) <= 0.02 * told, "\n".join(wrong["likely"])
    assert at_a_loss <= 0.1 * told
