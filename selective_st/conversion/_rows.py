"""Other rows: some left out; triplets, lists, positives and pairs made of labelled pairs or single texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Value

from selective_st._validation import whole_number
from selective_st.conversion import _common as common
from selective_st.conversion._common import converter
from selective_st.errors import DataError
from selective_st.layouts import PAIR_COLUMNS, GradedPairs, as_lists, as_positives, as_triplets, of_rows

__all__ = [
    "class_to_triplets", "damage_texts", "pairs_to_lists", "pairs_to_positives", "pairs_to_triplets",
    "remove_duplicate_rows", "remove_empty_rows", "remove_rare_classes", "texts_to_pairs",
]  # fmt: skip

_TRIES = 20  # to draw a text of another class that is not of this one too

# --- Rows left out ----------------------------------------------------------------------------------------------------


@converter()
def remove_empty_rows(dataset: Dataset, columns: Sequence[str] | None = None) -> Dataset:
    """Leave out rows in which something is missing.

    Missing is None, NaN, a text of nothing but white space, and a list that is empty or holds only such values. A list
    of labels in which some are NaN, and a list of texts of which some are empty, is padded, not missing.

    Args:
        dataset: The dataset.
        columns: Where to look. Default: in all columns.

    Returns:
        The dataset without these rows.

    Raises:
        DataError: If there is no such column, or no row is left.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", " ", "y"], "b": ["z", "w", None]})
        >>> remove_empty_rows(pairs)[:]
        {'a': ['x'], 'b': ['z']}
    """
    columns = common.chosen_columns("remove_empty_rows", dataset, columns)
    rows = enumerate(common.values_in(dataset, columns))
    kept = [row for row, values in rows if not any(map(common.is_missing, values))]
    if not kept:
        raise common.refused("no_full_row", columns=columns)
    return dataset if len(kept) == len(dataset) else dataset.select(kept)


@converter("mean_of")
def remove_duplicate_rows(
    dataset: Dataset, columns: Sequence[str] | None = None, mean_of: str | None = None
) -> Dataset:
    """Leave out rows that repeat an earlier one.

    Args:
        dataset: The dataset.
        columns: The columns in which rows are compared. Default: all columns.
        mean_of: A column of numbers, of which equal rows get the mean. Default: the first row stays as it is.

    Returns:
        The dataset with the first of equal rows.

    Raises:
        DataError: If there is no such column, or `mean_of` holds other than numbers.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "x", "x"], "b": ["z", "z", "w"], "score": [0.5, 1.0, 0.0]})
        >>> remove_duplicate_rows(pairs, ["a", "b"])[:]
        {'a': ['x', 'x'], 'b': ['z', 'w'], 'score': [0.5, 0.0]}
        >>> remove_duplicate_rows(pairs, ["a", "b"], mean_of="score")["score"][:]
        [0.75, 0.0]
    """
    columns = common.chosen_columns("remove_duplicate_rows", dataset, columns)
    rows: dict[Any, list[int]] = {}
    for row, values in enumerate(common.values_in(dataset, columns)):
        rows.setdefault(tuple(map(common.hashable, values)), []).append(row)
    kept = [same[0] for same in rows.values()]
    result = dataset if len(kept) == len(dataset) else dataset.select(kept)
    if mean_of is None:
        return result
    labels = common.values_of(dataset, mean_of)
    if not all(label is None or isinstance(label, (int, float)) for label in labels):
        raise common.refused("no_numbers", column=mean_of)
    means = [common.mean_of_known([labels[row] for row in same]) for same in rows.values()]
    return common.with_column(result, mean_of, means, Value("float64"))


@converter("column")
def remove_rare_classes(dataset: Dataset, column: str, least: int = 2) -> Dataset:
    """Leave out rows whose class has few rows.

    Args:
        dataset: The dataset.
        column: The label column.
        least: The fewest rows that a class must have.

    Returns:
        The dataset without these rows, and without those that have no class.

    Raises:
        DataError: If there is no such column, or no class has enough rows.
        ValueError: If `least` is not a whole number of at least 1.

    Example:
        >>> texts = Dataset.from_dict({"text": ["cat", "dog", "oak"], "label": ["animal", "animal", "tree"]})
        >>> remove_rare_classes(texts, "label")["text"][:]
        ['cat', 'dog']
    """
    whole_number("remove_rare_classes", "least", least, least=1)
    values = common.values_of(dataset, column)
    classes = [None if common.is_missing(value) else common.hashable(value) for value in values]
    counts = Counter(classes)
    kept = [row for row, value in enumerate(classes) if value is not None and counts[value] >= least]
    if not kept:
        raise DataError(f"no class in column {column!r} has {least} rows. Write least={least - 1 or 1}.")
    return dataset if len(kept) == len(dataset) else dataset.select(kept)


# --- Of labelled pairs ------------------------------------------------------------------------------------------------


@converter()
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
    if (positive is None) != (negative is None):
        raise common.refused("one_side", TypeError, positive=positive, negative=negative)
    if positive is None:
        common.at_least(2, "list_size", list_size, 16)
        pairs = _graded_pairs(dataset, "pairs_to_triplets")
        return as_triplets(pairs, pairs.grouping(), list_size, 0.8).dataset
    if not all(isinstance(value, (str, int, float)) for value in (positive, negative)) or positive == negative:
        raise common.refused("no_sides", TypeError, positive=positive, negative=negative)
    first, second, label = _pair_columns(dataset)
    feature = dataset.features[label]
    if isinstance(feature, ClassLabel):
        positive, negative = (_class_number(feature, value) for value in (positive, negative))
    groups: dict[str, dict[Any, list[str]]] = {}
    seen: Counter[Any] = Counter()
    for text, other, value in common.values_in(dataset, [first, second, label]):
        seen[common.hashable(value)] += 1
        if value in (positive, negative) and not common.is_missing(text) and not common.is_missing(other):
            groups.setdefault(text, {positive: [], negative: []})[value].append(other)
    for given, wanted in (("positive", positive), ("negative", negative)):
        if wanted not in seen:
            known = [value for value, _ in seen.most_common(10)]
            raise common.refused("no_such_label", given=given, wanted=wanted, label=label, known=known)
    rows = [
        (text, right[k % len(right)], wrong[k % len(wrong)])
        for text, (right, wrong) in ((text, of.values()) for text, of in groups.items())
        for k in range(max(len(right), len(wrong)) if right and wrong else 0)
    ]
    if not rows:
        raise common.refused("no_text_with_both", column=first, positive=positive, negative=negative)
    return of_rows(("anchor", "positive", "negative"), rows)


@converter()
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
    common.at_least(2, "list_size", list_size, 16)
    pairs = _graded_pairs(dataset, "pairs_to_lists")
    return as_lists(pairs, pairs.grouping(), list_size, 0.8).dataset


@converter()
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
    positive_from = common.finite("positive_from", positive_from)
    pairs = _graded_pairs(dataset, "pairs_to_positives")
    if max(pairs.scores) < positive_from:
        raise common.refused("no_positive", limit=positive_from, lowest=min(pairs.scores), highest=max(pairs.scores))
    return as_positives(pairs, pairs.grouping(), 0, positive_from).dataset


def _pair_columns(dataset: Dataset) -> list[str]:
    """The two columns of texts and the label."""
    label = common.needed_label(dataset)
    texts = common.text_columns(dataset, label)
    if len(texts) != 2:
        kept = texts[:2] if len(texts) > 2 else ["text_1", "text_2"]
        raise common.refused("not_two_columns", texts=texts, kept=[*kept, label])
    return [*texts, label]


def _graded_pairs(dataset: Dataset, name: str) -> GradedPairs:
    columns = _pair_columns(dataset)
    label = columns[-1]
    feature = dataset.features[label]
    if isinstance(feature, ClassLabel) and feature.num_classes > 2:
        raise common.refused("classes_not_grades", label=label, names=feature.names)
    rows = list(common.values_in(dataset, columns))
    empty = [row for row, values in enumerate(rows) if any(map(common.is_missing, values))]
    for row, (*_, value) in enumerate(rows):
        if not isinstance(value, (int, float)) and not common.is_missing(value):
            raise common.refused("no_number", column=label, value=value, row=row)
    if empty:
        raise common.refused("missing_value", rows=common.shown(empty))
    graded = of_rows(PAIR_COLUMNS, [(first, second, float(score)) for first, second, score in rows])
    return GradedPairs(graded, name)


def _class_number(feature: ClassLabel, value: Any) -> int:
    if isinstance(value, str) and value not in feature.names:
        raise DataError(f"there is no class {value!r}; there are {', '.join(feature.names)}. Choose one.")
    return int(feature.str2int(value) if isinstance(value, str) else value)


# --- Of single texts --------------------------------------------------------------------------------------------------


@converter()
def class_to_triplets(dataset: Dataset, seed: int = 0) -> Dataset:
    """Make triplets of single texts with classes: a text, another of its class, and one of another class.

    Args:
        dataset: A column of texts and a label column with classes.
        seed: Which of the texts are drawn.

    Returns:
        Columns anchor, positive and negative: a row for each distinct text of a class that has at least two.

    Raises:
        DataError: If there is not one text column and a label column, or the classes make no triplets.

    Example:
        >>> texts = Dataset.from_dict({"text": ["cat", "dog", "oak", "elm"], "label": [0, 0, 1, 1]})
        >>> class_to_triplets(texts)["positive"][:]
        ['dog', 'cat', 'elm', 'oak']
    """
    label = common.needed_label(dataset)
    column = common.single_text_column(dataset, label, None)
    classes: dict[Any, dict[str, None]] = {}  # of each class its texts, each once, in order
    for text, kind in common.values_in(dataset, [column, label]):
        if not common.is_missing(text) and not common.is_missing(kind):
            classes.setdefault(kind, {})[text] = None
    usable = {kind: list(texts) for kind, texts in classes.items() if len(texts) > 1}
    if len(classes) < 2 or not usable:
        raise common.refused("no_triplets", label=label, classes=classes, usable=usable)
    random = np.random.default_rng(whole_number("class_to_triplets", "seed", seed))
    everything = [text for texts in classes.values() for text in texts]
    rows: list[tuple[str, str, str]] = []
    for kind, texts in usable.items():
        order = [texts[i] for i in random.permutation(len(texts))]
        positives = dict(zip(order, [*order[1:], order[0]], strict=True))
        for text in texts:
            draws = (everything[random.integers(len(everything))] for _ in range(_TRIES))
            negative = next((drawn for drawn in draws if drawn not in classes[kind]), None)
            if negative is None:  # nearly all texts are of this class
                others = [other for other in everything if other not in classes[kind]]
                negative = others[random.integers(len(others))] if others else None
            if negative is not None:
                rows.append((text, positives[text], negative))
    if not rows:
        raise common.refused("one_class")
    return of_rows(("anchor", "positive", "negative"), rows)


@converter("column")
def damage_texts(dataset: Dataset, column: str | None = None, ratio: float = 0.6, seed: int = 0) -> Dataset:
    """Make (damaged, original) pairs of single texts, by deleting words at random, as `DenoisingAutoEncoderLoss` needs.

    At least one word is left. Of a text without white space characters are deleted.

    Args:
        dataset: The dataset.
        column: The column of texts. Default: the only one.
        ratio: The share of words that is deleted, on average.
        seed: Which words.

    Returns:
        Columns damaged and original; other columns are left out, since the loss would read them.

    Raises:
        DataError: If it is not clear which column to take.
        ValueError: If `ratio` is not between 0 and 1.

    Example:
        >>> damage_texts(Dataset.from_dict({"text": ["one two three four"]}), seed=1)[0]
        {'damaged': 'two four', 'original': 'one two three four'}
    """
    ratio = common.finite("ratio", ratio)
    if not 0 < ratio < 1:
        raise ValueError(f"ratio must lie between 0 and 1, such as 0.6; got {ratio:g}.")
    whole_number("damage_texts", "seed", seed)
    column = common.single_text_column(dataset, common.label_column(dataset), column)

    def change(row: common.Row, number: int) -> list[common.Row]:
        text = row[column] or ""
        return [{"damaged": _damaged(text, ratio, seed, number), "original": text}]

    return common.mapped(dataset, change, dict.fromkeys(("damaged", "original"), Value("string")))


@converter("column")
def texts_to_pairs(dataset: Dataset, column: str | None = None, different: int = 0, seed: int = 0) -> Dataset:
    """Make pairs of single texts for the Contrastive Tension losses.

    Args:
        dataset: The dataset.
        column: The column of texts. Default: the only one.
        different: For each text, how many pairs with another text there are beside the pair of the text with itself:
            0 for `ContrastiveTensionLossInBatchNegatives`, 7 for `ContrastiveTensionLoss`.
        seed: Which other texts.

    Returns:
        Columns text_1 and text_2.

    Raises:
        DataError: If it is not clear which column to take, or there are not two different texts to pair.
        ValueError: If `different` is not a whole number of at least 0.

    Example:
        >>> texts = Dataset.from_dict({"text": ["cat", "oak"]})
        >>> texts_to_pairs(texts)[:]
        {'text_1': ['cat', 'oak'], 'text_2': ['cat', 'oak']}
        >>> texts_to_pairs(texts, different=1)["text_2"][:]
        ['cat', 'oak', 'oak', 'cat']
    """
    common.at_least(0, "different", different, 7)
    column = common.single_text_column(dataset, common.label_column(dataset), column)
    texts = list(dict.fromkeys(text for text in common.values_of(dataset, column) if not common.is_missing(text)))
    if len(texts) < (2 if different else 1):
        raise common.refused("nothing_to_pair", column=column, texts=texts)
    random = np.random.default_rng(whole_number("texts_to_pairs", "seed", seed))
    rows: list[tuple[str, str]] = []
    for place, text in enumerate(texts):
        rows.append((text, text))
        if different:
            # A step of 1 to n - 1 never leads back to the text itself.
            steps = random.integers(1, len(texts), size=different)
            rows += [(text, texts[(place + int(step)) % len(texts)]) for step in steps]
    return of_rows(("text_1", "text_2"), rows)


def _damaged(text: str, ratio: float, seed: int, row: int) -> str:
    words, glue = text.split(), " "
    if len(words) == 1:
        words, glue = list(words[0]), ""
    if len(words) < 2:
        return text
    random = np.random.default_rng([seed, row])
    kept = random.random(len(words)) >= ratio
    if not kept.any():
        kept[random.integers(len(words))] = True
    return glue.join(word for word, keep in zip(words, kept, strict=True) if keep)
