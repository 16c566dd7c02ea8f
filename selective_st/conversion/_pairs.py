"""Labelled pairs, made into triplets, lists and positives."""

from __future__ import annotations

from collections import Counter
from typing import Any

from datasets import ClassLabel, Dataset

from selective_st.conversion._common import (
    check_size,
    converter,
    finite,
    hashable,
    is_missing,
    needed_label,
    of_rows,
    shown,
    text_columns,
    values_in,
)
from selective_st.errors import DataError, literal
from selective_st.layouts import GradedPairs, as_lists, as_positives, as_triplets


@converter
def pairs_to_triplets(dataset: Dataset, positive: Any = None, negative: Any = None, list_size: int = 16) -> Dataset:
    """Make triplets of labelled pairs that share their first text.

    Args:
        dataset: Two columns of texts and a label column.
        positive: The label of a positive, such as 0 or "entailment" for natural language inference. Default: labels are
            grades, and a pair with a higher one is better than a pair with a lower one.
        negative: The label of a negative; to be given with `positive`.
        list_size: The most triplets of a text, where labels are grades.

    Returns:
        Columns anchor, positive and negative. With `positive` and `negative` each positive and each negative of a text
        is used once, and those of which there are fewer take turns.

    Raises:
        DataError: If the dataset does not hold labelled pairs, there is no such label, or no text has a positive and a
            negative.
        TypeError: If only one of `positive` and `negative` is given.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "x"], "b": ["good", "bad"], "label": [1, 0]})
        >>> pairs_to_triplets(pairs, positive=1, negative=0)[0]
        {'anchor': 'x', 'positive': 'good', 'negative': 'bad'}
    """
    owner = "pairs_to_triplets"
    if (positive is None) != (negative is None):
        raise TypeError(
            f"{owner}: give positive and negative, or neither; got {positive=} and {negative=}. Write positive=1, "
            "negative=0."
        )
    label = needed_label(owner, dataset)
    if positive is None:
        check_size(owner, list_size)
        pairs = _graded_pairs(owner, dataset, label)
        return as_triplets(pairs, pairs.grouping(), list_size, 0.8).dataset
    if not all(isinstance(value, (str, int, float)) for value in (positive, negative)) or positive == negative:
        raise TypeError(
            f"{owner}: positive and negative must be two labels, got {positive=} and {negative=}. Write positive=1, "
            "negative=0."
        )
    first, second = _two_text_columns(owner, dataset, label)
    feature = dataset.features[label]
    if isinstance(feature, ClassLabel):
        positive, negative = (_class_number(owner, feature, value) for value in (positive, negative))
    groups: dict[str, tuple[list[str], list[str]]] = {}
    seen: Counter[Any] = Counter()
    for text, other, value in values_in(dataset, [first, second, label]):
        seen[hashable(value)] += 1
        if value in (positive, negative) and not is_missing(text) and not is_missing(other):
            groups.setdefault(text, ([], []))[value == negative].append(other)
    for given, wanted in (("positive", positive), ("negative", negative)):
        if wanted not in seen:
            known = ", ".join(repr(value) for value, _ in seen.most_common(10))
            raise DataError(
                f"{owner}: no pair has the label {given}={wanted!r}; column {label!r} has {known}. Choose two of them."
            )
    rows = [
        (text, positives[k % len(positives)], negatives[k % len(negatives)])
        for text, (positives, negatives) in groups.items()
        if positives and negatives
        for k in range(max(len(positives), len(negatives)))
    ]
    if not rows:
        raise DataError(
            f"{owner}: no text of column {first!r} stands both in a pair with the label {positive!r} and in one with "
            f"{negative!r}. Keep the positives and mine negatives: sentence_transformers.util.mine_hard_negatives."
        )
    return of_rows(("anchor", "positive", "negative"), rows)


@converter
def pairs_to_lists(dataset: Dataset, list_size: int = 16) -> Dataset:
    """Make lists of graded pairs that share a text: the text, its candidates and their labels.

    Args:
        dataset: Two columns of texts and a label column with grades, the higher the better.
        list_size: The most candidates of a text.

    Returns:
        Columns anchor, doc_1, ..., doc_n, label. Shorter lists are filled up with empty texts and the label NaN, which
        `SelectiveListwiseLoss` leaves out; `join_columns` makes list columns of them.

    Raises:
        DataError: If the dataset does not hold graded pairs, or no text has two candidates with different labels.
        ValueError: If `list_size` is not a whole number of at least 2.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "x"], "b": ["good", "bad"], "score": [1.0, 0.2]})
        >>> pairs_to_lists(pairs)[0]
        {'anchor': 'x', 'doc_1': 'good', 'doc_2': 'bad', 'label': [1.0, 0.2]}
    """
    owner = "pairs_to_lists"
    check_size(owner, list_size)
    pairs = _graded_pairs(owner, dataset, needed_label(owner, dataset))
    return as_lists(pairs, pairs.grouping(), list_size, 0.8).dataset


@converter
def pairs_to_positives(dataset: Dataset, positive_from: float = 0.8) -> Dataset:
    """Keep the pairs with a high label, as positives without labels.

    Args:
        dataset: Two columns of texts and a label column with grades, the higher the better.
        positive_from: The lowest label of a positive.

    Returns:
        Columns anchor and positive; and negative, where at least 90 % of the positives have a candidate of the same
        text with a lower label.

    Raises:
        DataError: If the dataset does not hold graded pairs, or no label is high enough.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "y"], "b": ["good", "bad"], "score": [1.0, 0.2]})
        >>> pairs_to_positives(pairs)[:]
        {'anchor': ['x'], 'positive': ['good']}
    """
    owner = "pairs_to_positives"
    positive_from = finite(owner, "positive_from", positive_from)
    pairs = _graded_pairs(owner, dataset, needed_label(owner, dataset))
    if max(pairs.scores) < positive_from:
        raise DataError(
            f"{owner}: no pair has a label of at least positive_from={positive_from:g}; they go from "
            f"{min(pairs.scores):g} to {max(pairs.scores):g}. Lower it: "
            f"dataset = {owner}(dataset, positive_from={max(pairs.scores):g})."
        )
    return as_positives(pairs, pairs.grouping(), 0, positive_from).dataset


def _two_text_columns(owner: str, dataset: Dataset, label: str) -> tuple[str, str]:
    texts = text_columns(owner, dataset, label)
    if len(texts) != 2:
        kept = [*texts[:2], label] if len(texts) > 2 else ["text_1", "text_2", label]
        raise DataError(
            f"{owner}: there must be two columns of texts beside the label, got {', '.join(texts)}. Choose them: "
            f"dataset = dataset.select_columns([{', '.join(map(literal, kept))}])."
        )
    return texts[0], texts[1]


def _graded_pairs(owner: str, dataset: Dataset, label: str) -> GradedPairs:
    first, second = _two_text_columns(owner, dataset, label)
    feature = dataset.features[label]
    if isinstance(feature, ClassLabel) and feature.num_classes > 2:
        raise DataError(
            f"{owner}: the labels in column {label!r} are classes ({', '.join(feature.names)}), not grades. Say which "
            f"are the positives and the negatives: dataset = pairs_to_triplets(dataset, positive="
            f"{literal(feature.names[0])}, negative={literal(feature.names[-1])})."
        )
    firsts, seconds, scores = [], [], []
    bad = []
    for row, (one, other, value) in enumerate(values_in(dataset, [first, second, label])):
        if is_missing(one) or is_missing(other) or is_missing(value):
            bad.append(row)
        elif not isinstance(value, (int, float)):
            raise DataError(
                f"{owner}: column {label!r} must hold numbers, but holds {value!r} in row {row}. Make it so: dataset = "
                f"labels_to_float(dataset, {literal(label)})."
            )
        else:
            firsts.append(one)
            seconds.append(other)
            scores.append(float(value))
    if bad:
        raise DataError(
            f"{owner}: a text or label is missing in {shown(bad)}. Leave such rows out: dataset = "
            "remove_empty_rows(dataset)."
        )
    columns = {"sentence1": firsts, "sentence2": seconds, "score": scores}
    return GradedPairs(Dataset.from_dict(columns), owner)


def _class_number(owner: str, feature: ClassLabel, value: Any) -> int:
    if isinstance(value, str):
        if value not in feature.names:
            raise DataError(f"{owner}: there is no class {value!r}; there are {', '.join(feature.names)}. Choose one.")
        return int(feature.str2int(value))
    return int(value)
