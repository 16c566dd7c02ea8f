"""Lists and columns: one column for each text of a list, one row for each, and back."""

from __future__ import annotations

import math
from typing import Any

import datasets
from datasets import Dataset, Value

from selective_st.conversion._common import (
    check_column,
    check_columns,
    check_free,
    converter,
    holds_lists,
    inner_feature,
    is_missing,
    is_text,
    label_column,
    mapped,
    shown,
    text_columns,
    values_in,
)
from selective_st.errors import DataError, literal


@converter
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
        ValueError: If `size` is not a whole number of at least 1.

    Example:
        >>> lists = Dataset.from_dict(
        ...     {"query": ["x", "y"], "documents": [["a", "b"], ["c"]], "scores": [[0.9, 0.1], [0.5]]}
        ... )
        >>> split_lists(lists)[1]
        {'query': 'y', 'document_1': 'c', 'document_2': '', 'scores': [0.5, nan]}
    """
    owner = "split_lists"
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(
            f"{owner}: size must be a whole number of at least 1, or None for the longest; got {size!r}. Write size=8."
        )
    label = label_column(dataset)
    column = _list_column(owner, dataset, column, label)
    labelled = label is not None and holds_lists(dataset.features[label])
    names = [column, label] if labelled and label is not None else [column]
    longest, extra = 0, 0
    bad: dict[str, list[int]] = {"empty": [], "labels": []}
    for row, cells in enumerate(values_in(dataset, names)):
        texts = cells[0] or []
        longest = max(longest, len(texts))
        if not texts:
            bad["empty"].append(row)
        elif labelled:
            # A label more than texts in the list belongs to a column beside it: (query, positive, [negatives]).
            more = len(cells[1] or []) - len(texts)
            extra = more if row == 0 else extra
            if more != extra or not 0 <= more <= len(dataset.column_names) - 3:
                bad["labels"].append(row)
    if bad["empty"]:
        raise DataError(
            f"{owner}: column {column!r} has an empty list in {shown(bad['empty'])}. Leave such rows out: dataset = "
            f"remove_empty_rows(dataset, [{literal(column)}])."
        )
    if bad["labels"]:
        raise DataError(
            f"{owner}: in {shown(bad['labels'])} column {label!r} has not as many labels as column {column!r} has "
            "texts. Each text needs its label: mend or remove such rows."
        )
    number = longest if size is None else min(size, longest)
    singular = _singular(column)
    fresh = [f"{singular}_{k + 1}" for k in range(number)]
    check_free(owner, dataset, [name for name in fresh if name != column])
    fill: str | None = "" if labelled else None

    def change(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        changed: dict[str, list[Any]] = {}
        for name, values in batch.items():
            if name == column:
                for k, place in enumerate(fresh):
                    changed[place] = [
                        texts[k] if k < len(texts) else (texts[k % len(texts)] if fill is None else fill)
                        for texts in values
                    ]
            elif labelled and name == label:
                width = number + extra
                changed[name] = [[*given[:width], *[math.nan] * (width - len(given))] for given in values]
            else:
                changed[name] = values
        return changed

    features: dict[str, Any] = {}
    for name, feature in dataset.features.items():
        if name == column:
            features |= dict.fromkeys(fresh, Value("string"))
        elif labelled and name == label:
            features[name] = datasets.Sequence(Value("float64"))
        else:
            features[name] = feature
    made = mapped(dataset, change, features, (owner, column, number), remove_columns=dataset.column_names)
    return made.select_columns(list(features))


@converter
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
    owner = "lists_to_rows"
    label = label_column(dataset)
    column = _list_column(owner, dataset, column, label)
    each = [column, label] if label is not None and holds_lists(dataset.features[label]) else [column]
    if len(each) > 1:
        bad = [row for row, (a, b) in enumerate(values_in(dataset, each)) if len(a or []) != len(b or [])]
        if bad:
            raise DataError(
                f"{owner}: in {shown(bad)} column {label!r} has not as many labels as column {column!r} has texts. "
                "Each text needs its label: mend or remove such rows."
            )
    name = _singular(column)
    check_free(owner, dataset, [name] if name != column else [])

    def change(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        rows = [(row, k) for row, texts in enumerate(batch[column]) for k in range(len(texts or []))]
        return {
            fresh: [values[row][k] if old in each else values[row] for row, k in rows]
            for (old, values), fresh in zip(batch.items(), features, strict=True)
        }

    features = {
        name if old == column else old: inner_feature(feature) if old in each else feature
        for old, feature in dataset.features.items()
    }
    made = mapped(dataset, change, features, (owner, column), remove_columns=dataset.column_names)
    if not len(made):
        raise DataError(f"{owner}: all lists in column {column!r} are empty. Choose another column.")
    return made


@converter
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
    owner = "flatten_cells"
    check_column(owner, dataset, column)
    feature = dataset.features[column]
    is_list = holds_lists(feature)
    inner = inner_feature(feature) if is_list else feature
    if not isinstance(inner, dict):
        raise DataError(f"{owner}: the cells of column {column!r} hold no fields. Name a column of objects.")
    missing = [field for field in fields if field not in inner]
    if missing or not fields:
        named = f"have no field {missing[0]!r}; they" if missing else "must be told which field: they"
        raise DataError(
            f"{owner}: the cells of column {column!r} {named} have {', '.join(inner)}. Name one: dataset = "
            f"{owner}(dataset, {literal(column)}, {literal(next(iter(inner), 'text'))})."
        )
    names = [column] if len(fields) == 1 else [f"{column}_{field}" for field in fields]
    check_free(owner, dataset, [name for name in names if name != column])

    def part(cell: Any, field: str) -> Any:
        if isinstance(cell, list):
            return [part(item, field) for item in cell]
        return None if cell is None else cell[field]

    def change(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {name: [part(cell, field) for cell in batch[column]] for name, field in zip(names, fields, strict=True)}

    made: dict[str, Any] = {}
    for name, kept in dataset.features.items():
        if name == column:
            parts = [datasets.Sequence(inner[field]) if is_list else inner[field] for field in fields]
            made |= dict(zip(names, parts, strict=True))
        else:
            made[name] = kept
    unused = [] if column in names else [column]
    return mapped(dataset, change, made, (owner, column, fields), remove_columns=unused).select_columns(list(made))


@converter
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
    owner = "join_columns"
    label = label_column(dataset)
    query, *documents = text_columns(owner, dataset, label)
    if len(documents) < 2:
        raise DataError(
            f"{owner}: the dataset must have three or more columns of texts, got {', '.join([query, *documents])}. For "
            "pairs without labels draw negatives first: sentence_transformers.util.mine_hard_negatives."
        )
    if label is not None and not holds_lists(dataset.features[label]):
        raise DataError(
            f"{owner}: column {label!r} must hold a list with a label for each of the {len(documents)} documents, but "
            f"holds single values. Leave it out: dataset = dataset.remove_columns({literal(label)})."
        )
    label_name = label or "labels"
    if not isinstance(name, str) or not name:
        raise ValueError(f'{owner}: name must be the name of a column, got {name!r}. Write name="documents".')
    if name in (query, label_name):
        raise DataError(f"{owner}: name={name!r} is the name of another column. Choose another, such as 'documents'.")
    bad = [
        row
        for row, (values,) in enumerate(values_in(dataset, [label] if label else []))
        if len(values or []) != len(documents)
    ]
    if bad:
        raise DataError(
            f"{owner}: column {label!r} must hold {len(documents)} labels, one for each of {', '.join(documents)}, but "
            f"does not in {shown(bad)}. Mend or remove such rows."
        )

    def change(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        lists: list[list[str]] = []
        labels: list[list[float]] = []
        for row, texts in enumerate(zip(*(batch[column] for column in documents), strict=True)):
            given = batch[label][row] if label else [1.0, *[0.0] * (len(documents) - 1)]
            kept = [pair for pair in zip(texts, given, strict=True) if not any(map(is_missing, pair))]
            lists.append([text for text, _ in kept])
            labels.append([score for _, score in kept])
        return {query: batch[query], name: lists, label_name: labels}

    features = {
        query: dataset.features[query],
        name: datasets.Sequence(Value("string")),
        label_name: datasets.Sequence(Value("float64")),
    }
    made = mapped(dataset, change, features, (owner, name), remove_columns=dataset.column_names)
    return made.select_columns(list(features))


@converter
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
    owner = "rows_of_positives"
    sides = [positives] if negatives is None else [positives, negatives]
    for column in sides:
        check_column(owner, dataset, column)
    cells = [tuple(map(_as_texts, row)) for row in values_in(dataset, sides)]
    complete = [row for row, lists in enumerate(cells) if all(lists)]
    if not complete:
        raise DataError(
            f"{owner}: no row has a text in {' and in '.join(map(repr, sides))}. Choose the columns with the right and "
            "the wrong texts, or leave out negatives where there are none."
        )
    width = 0 if negatives is None else max(len(cells[row][1]) for row in complete)
    names = ["negative"] if width == 1 else [f"negative_{k + 1}" for k in range(width)]
    source = [row for row in complete for _ in cells[row][0]]
    made = dataset.select(source).remove_columns(sides)
    made = made.add_column("positive", [text for row in complete for text in cells[row][0]])
    for k, name in enumerate(names):
        made = made.add_column(name, [cells[row][1][k % len(cells[row][1])] for row in source])
    return made


@converter
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
    owner = "join_lists"
    given = [column for column in (positive_scores, negative_scores) if column is not None]
    check_columns(owner, dataset, [positives, negatives, *given])
    texts = [tuple(map(_as_texts, row)) for row in values_in(dataset, [positives, negatives])]
    labels = [
        _scores_of(owner, dataset, column, [len(row[side]) for row in texts], 1.0 - side)
        for side, column in enumerate((positive_scores, negative_scores))
    ]
    rows = [row for row, lists in enumerate(texts) if any(lists)]
    made = dataset.select(rows).remove_columns([positives, negatives, *given])
    made = made.add_column("documents", [[*texts[row][0], *texts[row][1]] for row in rows])
    return made.add_column("labels", [[*labels[0][row], *labels[1][row]] for row in rows])


def _scores_of(owner: str, dataset: Dataset, column: str | None, sizes: list[int], default: float) -> list[list[float]]:
    """The scores in a column, as many in each row as there are texts; without a column, the same for all texts."""
    if column is None:
        return [[default] * size for size in sizes]
    scores = [value if isinstance(value, list) else [value] for (value,) in values_in(dataset, [column])]
    bad = [row for row, size in enumerate(sizes) if len(scores[row]) != size]
    if bad:
        raise DataError(
            f"{owner}: column {column!r} has not as many scores as there are texts in {shown(bad)}. Mend or remove "
            "such rows."
        )
    return scores


def _as_texts(value: Any) -> list[str]:
    """The texts of a cell: one, or a list of them, without empty ones."""
    texts = value if isinstance(value, list) else [value]
    return [text for text in texts if isinstance(text, str) and text.strip()]


def _list_column(owner: str, dataset: Dataset, column: str | None, label: str | None) -> str:
    lists: list[str] = [
        name
        for name, feature in dataset.features.items()
        if name != label and holds_lists(feature) and is_text(inner_feature(feature))
    ]
    if column is None:
        if len(lists) != 1:
            raise DataError(
                f"{owner}: there must be one column with lists of texts, got {', '.join(lists) or 'none'} of "
                f"{', '.join(dataset.column_names)}. Name it: dataset = {owner}(dataset, "
                f"{literal(lists[0] if lists else 'documents')})."
            )
        return lists[0]
    check_column(owner, dataset, column)
    if column not in lists:
        raise DataError(f"{owner}: column {column!r} does not hold lists of texts; {', '.join(lists) or 'none'} does.")
    return column


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith("ss") and len(name) > 1 else name
