"""Other rows: some left out; triplets, lists, positives and pairs made of others; lists to columns, and back."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, Value

from selective_st._validation import whole_number
from selective_st.catalog import POSITIVE_FROM
from selective_st.conversion import _common as common
from selective_st.conversion._common import converter
from selective_st.errors import DataError
from selective_st.layouts import PAIR_COLUMNS, GradedPairs, as_lists, as_positives, as_triplets, of_rows

__all__ = [
    "class_to_triplets", "damage_texts", "flatten_cells", "join_columns", "join_lists", "lists_to_rows",
    "pairs_to_lists", "pairs_to_positives", "pairs_to_triplets", "remove_duplicate_rows", "remove_empty_rows",
    "remove_rare_classes", "rows_of_positives", "split_lists", "texts_to_pairs",
]  # fmt: skip

_NAN = float("nan")
_TEXTS, _NUMBERS = datasets.Sequence(Value("string")), datasets.Sequence(Value("float64"))

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
    common.check_numbers(dataset, mean_of)
    labels = common.values_of(dataset, mean_of)
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
    if positive is None and negative is None:
        whole_number("pairs_to_triplets", "list_size", list_size, least=2)
        pairs = _graded_pairs(dataset, "pairs_to_triplets")
        return as_triplets(pairs, pairs.grouping(), list_size, POSITIVE_FROM).dataset
    if positive == negative or not all(isinstance(value, (str, int, float)) for value in (positive, negative)):
        raise common.refused("no_sides", TypeError, positive=positive, negative=negative)
    first, second, label = _pair_columns(dataset)
    feature = dataset.features[label]
    if isinstance(feature, ClassLabel):
        positive, negative = (_class_number(feature, value) for value in (positive, negative))
    groups: dict[str, dict[Any, list[str]]] = {}
    for text, other, value in common.values_in(dataset, [first, second, label]):
        if value in (positive, negative) and not common.is_missing(text) and not common.is_missing(other):
            groups.setdefault(text, {positive: [], negative: []})[value].append(other)
    known = Counter(map(common.hashable, common.values_of(dataset, label)))
    for given, wanted in (("positive", positive), ("negative", negative)):
        if wanted not in known:
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
        TypeError: If `list_size` is no whole number.
        ValueError: If it is below 2.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "x"], "b": ["good", "bad"], "score": [1.0, 0.2]})
        >>> pairs_to_lists(pairs)[0]
        {'anchor': 'x', 'doc_1': 'good', 'doc_2': 'bad', 'label': [1.0, 0.2]}
    """
    whole_number("pairs_to_lists", "list_size", list_size, least=2)
    pairs = _graded_pairs(dataset, "pairs_to_lists")
    return as_lists(pairs, pairs.grouping(), list_size, POSITIVE_FROM).dataset


@converter()
def pairs_to_positives(dataset: Dataset, positive_from: float = POSITIVE_FROM) -> Dataset:
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
    common.check_numbers(dataset, label)
    rows = list(common.values_in(dataset, columns))
    if empty := [row for row, values in enumerate(rows) if any(map(common.is_missing, values))]:
        raise common.refused("missing_value", rows=common.shown(empty))
    return GradedPairs(of_rows(PAIR_COLUMNS, [(first, second, float(score)) for first, second, score in rows]), name)


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
    turns = itertools.cycle([everything[i] for i in random.permutation(len(everything))])
    rows: list[tuple[str, str, str]] = []
    for kind, texts in usable.items():
        order = [texts[i] for i in random.permutation(len(texts))]
        positives = dict(zip(order, [*order[1:], order[0]], strict=True))
        for text in texts:
            drawn = (other for other in itertools.islice(turns, len(everything)) if other not in classes[kind])
            rows += [(text, positives[text], negative) for negative in itertools.islice(drawn, 1)]
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
        TypeError: If `different` is no whole number.
        ValueError: If it is below 0.

    Example:
        >>> texts = Dataset.from_dict({"text": ["cat", "oak"]})
        >>> texts_to_pairs(texts)[:]
        {'text_1': ['cat', 'oak'], 'text_2': ['cat', 'oak']}
        >>> texts_to_pairs(texts, different=1)["text_2"][:]
        ['cat', 'oak', 'oak', 'cat']
    """
    whole_number("texts_to_pairs", "different", different)
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


@converter("column")
def split_lists(dataset: Dataset, column: str | None = None, size: int | None = None) -> Dataset:
    """Make one column for each text of a list column: (query, documents, scores) becomes (query, document_1, ...).

    Where there are lists of labels, shorter lists are filled up with empty texts and the label NaN, which
    `SelectiveListwiseLoss` leaves out. Without them each text counts, so shorter lists repeat their own texts in turn.

    Args:
        dataset: The dataset.
        column: The column with lists of texts. Default: the only one.
        size: How many texts of each list are taken, the first ones. Default: as many as the longest list has.

    Returns:
        The dataset, with the new columns in the place of the old one, numbered from 1, and its name in the singular.

    Raises:
        DataError: If there is no such column, or it is not clear which; a list is empty; or a list of labels does not
            go with its list of texts.
        TypeError: If `size` is no whole number.
        ValueError: If it is below 1.

    Example:
        >>> lists = Dataset.from_dict(
        ...     {"query": ["x", "y"], "documents": [["a", "b"], ["c"]], "scores": [[0.9, 0.1], [0.5]]}
        ... )
        >>> split_lists(lists)[1]
        {'query': 'y', 'document_1': 'c', 'document_2': '', 'scores': [0.5, nan]}
    """
    if size is not None:
        whole_number("split_lists", "size", size, least=1)
    column, labels = _list_columns("split_lists", dataset, column)
    sizes = _sizes(dataset, [column, *labels])
    if empty := [row for row, (texts, *_) in enumerate(sizes) if not texts]:
        raise common.refused("empty_list", column=column, rows=common.shown(empty))
    # A label more than texts in the list belongs to a column beside it: (query, positive, [negatives]).
    extra = sizes[0][-1] - sizes[0][0]
    fits = not labels or 0 <= extra <= len(dataset.column_names) - 3
    _refuse_unequal([row for row, of in enumerate(sizes) if not fits or of[-1] - of[0] != extra], column, labels)
    longest = max(texts for texts, *_ in sizes)
    number = longest if size is None else min(size, longest)
    fresh = [f"{_singular(column)}_{k + 1}" for k in range(number)]
    common.check_free(dataset, [name for name in fresh if name != column])

    def change(row: common.Row, _: int) -> list[common.Row]:
        texts = row[column]
        more = [""] * number if labels else texts * number
        padded = {name: [*row[name], *[_NAN] * number][: number + extra] for name in labels}
        return [row | dict(zip(fresh, [*texts, *more], strict=False)) | padded]

    features = _replaced(dataset, column, dict.fromkeys(fresh, Value("string"))) | dict.fromkeys(labels, _NUMBERS)
    return common.mapped(dataset, change, features)


@converter("column")
def lists_to_rows(dataset: Dataset, column: str | None = None) -> Dataset:
    """Make one row for each text of a list column: (query, documents, scores) becomes (query, document, score).

    Args:
        dataset: The dataset.
        column: The column with lists of texts. Default: the only one.

    Returns:
        The dataset, with the column's name in the singular, and the values of the other columns in each of the rows; of
        a list of labels each row gets its own. Rows whose list is empty are left out.

    Raises:
        DataError: If there is no such column, or it is not clear which; no list holds a text; or a list of labels does
            not go with its list of texts.

    Example:
        >>> lists = Dataset.from_dict({"query": ["x", "y"], "positives": [["a", "b"], ["c"]]})
        >>> lists_to_rows(lists)[:]
        {'query': ['x', 'x', 'y'], 'positive': ['a', 'b', 'c']}
    """
    column, labels = _list_columns("lists_to_rows", dataset, column)
    sizes = _sizes(dataset, [column, *labels])
    _refuse_unequal([row for row, of in enumerate(sizes) if len({*of}) > 1], column, labels)
    name = _singular(column)
    common.check_free(dataset, [name] if name != column else [])

    def change(row: common.Row, _: int) -> list[common.Row]:
        each = zip(*(row[old] or [] for old in (column, *labels)), strict=True)
        return [row | dict(zip((name, *labels), cells, strict=True)) for cells in each]

    inner = {old: common.inner_feature(dataset.features[old]) for old in (column, *labels)}
    features = _replaced(dataset, column, {name: inner.pop(column)}) | inner
    made = common.mapped(dataset, change, features)
    if not len(made):
        raise DataError(f"all lists in column {column!r} are empty. Choose another column.")
    return made


@converter("column")
def flatten_cells(dataset: Dataset, column: str, *fields: str) -> Dataset:
    """Take fields out of cells that are objects, or lists of objects: [{"docid": "7", "text": "x"}] becomes ["x"].

    Args:
        dataset: The dataset.
        column: The column with such cells.
        *fields: Which fields. One takes the column's place and name; several become columns of their own, named by the
            column and the field.

    Returns:
        The dataset. Of a list it holds lists, of a missing cell None.

    Raises:
        DataError: If there is no such column, its cells are no objects, or they have no such field.

    Example:
        >>> rows = {"query": ["x"], "passages": [[{"docid": "1", "text": "a"}, {"docid": "2", "text": "b"}]]}
        >>> flatten_cells(Dataset.from_dict(rows), "passages", "text")[0]
        {'query': 'x', 'passages': ['a', 'b']}
    """
    feature = dataset.features[column]
    is_list = common.holds_lists(feature)
    inner = common.inner_feature(feature) if is_list else feature
    if not isinstance(inner, dict):
        raise DataError(f"the cells of column {column!r} hold no fields. Name a column of objects.")
    if not fields or not {*fields} <= inner.keys():
        raise common.refused("no_field", column=column, given=fields, fields=[*inner])
    names = dict(zip([column] if len(fields) == 1 else [f"{column}_{field}" for field in fields], fields, strict=True))
    common.check_free(dataset, [name for name in names if name != column])

    def part(cell: Any, field: str) -> Any:
        if isinstance(cell, list):
            return [part(item, field) for item in cell]
        return None if cell is None else cell[field]

    def change(row: common.Row, _: int) -> list[common.Row]:
        return [row | {name: part(row[column], field) for name, field in names.items()}]

    parts = {name: datasets.Sequence(inner[field]) if is_list else inner[field] for name, field in names.items()}
    return common.mapped(dataset, change, _replaced(dataset, column, parts))


@converter()
def join_columns(dataset: Dataset, name: str = "documents") -> Dataset:
    """Make one list column of all documents: (query, positive, negative_1, ...) becomes (query, documents, labels).

    It is what the list losses of cross encoders take. Texts without a label (NaN, from padding) are left out, and so
    are empty ones.

    Args:
        dataset: Three or more columns of texts, with a list of scores for the documents, or without labels.
        name: What the list column is called.

    Returns:
        The dataset, with the scores given, or 1 for the second column (the positive) and 0 for the others.

    Raises:
        DataError: If there are fewer than three text columns, or the labels are not one for each document.

    Example:
        >>> triplets = Dataset.from_dict({"query": ["x"], "positive": ["a"], "negative": ["b"]})
        >>> join_columns(triplets)[0]
        {'query': 'x', 'documents': ['a', 'b'], 'labels': [1.0, 0.0]}
    """
    label = common.label_column(dataset)
    query, *documents = common.text_columns(dataset, label)
    label_name = label or "labels"
    if len(documents) < 2:
        raise common.refused("too_few_documents", columns=[query, *documents])
    if label is not None and not common.holds_lists(dataset.features[label]):
        raise common.refused("single_labels", label=label, documents=documents)
    if name in (query, label_name):
        raise DataError(f"name={name!r} is the name of another column. Choose another, such as 'documents'.")
    given = common.values_in(dataset, [label]) if label else ()
    if bad := [row for row, (values,) in enumerate(given) if len(values or []) != len(documents)]:
        raise common.refused("not_a_label_each", label=label, documents=documents, rows=common.shown(bad))

    def change(row: common.Row, _: int) -> list[common.Row]:
        labels = row[label] if label else [1.0, *[0.0] * (len(documents) - 1)]
        pairs = zip([row[column] for column in documents], labels, strict=True)
        known = [pair for pair in pairs if not any(map(common.is_missing, pair))]
        return [row | {name: [text for text, _ in known], label_name: [number for _, number in known]}]

    features = {query: dataset.features[query], name: _TEXTS, label_name: _NUMBERS}
    return common.mapped(dataset, change, features)


@converter("positives", "negatives")
def rows_of_positives(dataset: Dataset, positives: str, negatives: str | None = None) -> Dataset:
    """Make a row for each right text: (query, [positives], [negatives]) becomes (query, positive, negative_1, ...).

    A row with fewer negatives than the longest repeats its own in turn. In batches the same query then has several
    positives, so train with `batch_sampler=BatchSamplers.NO_DUPLICATES`.

    Args:
        dataset: The dataset.
        positives: The column with the right text of each row, or a list of them.
        negatives: The column with the wrong text of each row, or a list of them. Default: none.

    Returns:
        The other columns, then `positive`, then `negative` or `negative_1` and so on. Rows without a right text, and
        those without a wrong one where there is a column of these, are left out.

    Raises:
        DataError: If there is no such column, it holds no texts, or no row has both.

    Example:
        >>> lists = Dataset.from_dict({"query": ["x"], "pos": [["a", "b"]], "neg": [["c", "d"]]})
        >>> rows_of_positives(lists, "pos", "neg")[1]
        {'query': 'x', 'positive': 'b', 'negative_1': 'c', 'negative_2': 'd'}
    """
    sides = [positives] if negatives is None else [positives, negatives]
    cells = [tuple(map(_as_texts, row)) for row in common.values_in(dataset, sides)]
    width = max((len(lists[-1]) for lists in cells if all(lists)), default=0)
    if not width:
        raise common.refused("no_row_with_texts", sides=sides)
    names = ["negative"] if width == 1 else [f"negative_{k + 1}" for k in range(width)]
    names = names if negatives is not None else []
    common.check_free(dataset, [name for name in ("positive", *names) if name not in sides])

    def change(row: common.Row, number: int) -> list[common.Row]:
        right, wrong = cells[number][0], cells[number][-1]
        turns = dict(zip(names, wrong * width, strict=False))
        return [row | {"positive": text} | turns for text in right if wrong]

    features = {name: feature for name, feature in dataset.features.items() if name not in sides}
    return common.mapped(dataset, change, features | dict.fromkeys(["positive", *names], Value("string")))


@converter()
def join_lists(
    dataset: Dataset,
    positives: str,
    negatives: str,
    positive_scores: str | None = None,
    negative_scores: str | None = None,
) -> Dataset:
    """Join the right and the wrong texts of a row in one list: (query, documents, labels).

    Args:
        dataset: The dataset.
        positives: The column with the right text of each row, or a list of them.
        negatives: The same for the wrong ones.
        positive_scores: The column with the scores of the right texts. Default: 1 for each.
        negative_scores: The column with the scores of the wrong texts. Default: 0 for each.

    Returns:
        The other columns, then `documents` and `labels`. Rows without any text are left out.

    Raises:
        DataError: If there is no such column, or a row has not as many scores as texts.

    Example:
        >>> lists = Dataset.from_dict({"query": ["x"], "pos": [["a"]], "neg": [["c", "d"]]})
        >>> join_lists(lists, "pos", "neg")[0]
        {'query': 'x', 'documents': ['a', 'c', 'd'], 'labels': [1.0, 0.0, 0.0]}
    """
    sides = {positives: positive_scores, negatives: negative_scores}
    given = [*sides, *filter(None, sides.values())]
    common.chosen_columns("join_lists", dataset, given)
    common.check_free(dataset, [name for name in ("documents", "labels") if name not in given])
    for column, scores in sides.items():
        each = common.values_in(dataset, [column, scores]) if scores is not None else ()
        bad = [row for row, (texts, of) in enumerate(each) if len(_as_texts(texts)) != len(_as_list(of))]
        if bad:
            raise common.refused("not_a_score_each", column=scores, rows=common.shown(bad))

    def change(row: common.Row, _: int) -> list[common.Row]:
        documents, labels = list[str](), list[float]()
        for (column, scores), default in zip(sides.items(), (1.0, 0.0), strict=True):
            texts = _as_texts(row[column])
            documents += texts
            labels += [default] * len(texts) if scores is None else _as_list(row[scores])
        return [row | {"documents": documents, "labels": labels}] if documents else []

    features = {name: feature for name, feature in dataset.features.items() if name not in given}
    return common.mapped(dataset, change, features | {"documents": _TEXTS, "labels": _NUMBERS})


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _as_texts(value: Any) -> list[str]:
    """The texts of a cell: one, or a list of them, without empty ones."""
    return [text for text in _as_list(value) if isinstance(text, str) and text.strip()]


def _replaced(dataset: Dataset, column: str, new: dict[str, Any]) -> dict[str, Any]:
    """The features of a dataset with others in the place of a column."""
    found: dict[str, Any] = {}
    for name, feature in dataset.features.items():
        found |= new if name == column else {name: feature}
    return found


def _list_columns(owner: str, dataset: Dataset, column: str | None) -> tuple[str, list[str]]:
    """The column with lists of texts; and that with lists of labels, if there is one."""
    label = common.label_column(dataset)
    labels = [label] if label is not None and common.holds_lists(dataset.features[label]) else []
    lists = [
        name
        for name, feature in dataset.features.items()
        if name != label and common.holds_lists(feature) and common.is_text(common.inner_feature(feature))
    ]
    if column is None and len(lists) != 1:
        raise common.refused("not_one_column_of_lists", owner=owner, dataset=dataset, lists=lists)
    if column is not None and column not in lists:
        raise DataError(f"column {column!r} does not hold lists of texts; {', '.join(lists) or 'none'} does.")
    return column or lists[0], labels


def _sizes(dataset: Dataset, columns: list[str]) -> list[list[int]]:
    """For each row how many values the lists in some columns have."""
    return [[len(cell or []) for cell in cells] for cells in common.values_in(dataset, columns)]


def _refuse_unequal(rows: list[int], column: str, labels: list[str]) -> None:
    if rows:
        raise common.refused("unequal_lists", column=column, label=labels[0], rows=common.shown(rows))


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith("ss") and len(name) > 1 else name
