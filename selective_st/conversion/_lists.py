"""Lists and columns: one column for each text of a list, one row for each, and back."""

from __future__ import annotations

from typing import Any

import datasets
from datasets import Dataset, Value

from selective_st.conversion import _common as common
from selective_st.conversion._common import converter
from selective_st.errors import DataError

__all__ = [
    "flatten_cells", "join_columns", "join_lists", "lists_to_rows", "rows_of_positives", "split_lists",
]  # fmt: skip

_NAN = float("nan")
_TEXTS, _NUMBERS = datasets.Sequence(Value("string")), datasets.Sequence(Value("float64"))


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
        ValueError: If `size` is not a whole number of at least 1.

    Example:
        >>> lists = Dataset.from_dict(
        ...     {"query": ["x", "y"], "documents": [["a", "b"], ["c"]], "scores": [[0.9, 0.1], [0.5]]}
        ... )
        >>> split_lists(lists)[1]
        {'query': 'y', 'document_1': 'c', 'document_2': '', 'scores': [0.5, nan]}
    """
    if size is not None:
        common.at_least(1, "size", size, 8)
    column, labels = _list_columns("split_lists", dataset, column)
    sizes = _sizes(dataset, [column, *labels])
    empty = [row for row, (texts, *_) in enumerate(sizes) if not texts]
    if empty:
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
    _refuse_unequal(
        [row for row, of in enumerate(_sizes(dataset, [column, *labels])) if len({*of}) > 1], column, labels
    )
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
    missing = [field for field in fields if field not in inner]
    if missing or not fields:
        named = f"have no field {missing[0]!r}; they" if missing else "must be told which field: they"
        raise common.refused("no_field", column=column, named=named, fields=[*inner])
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
    if not isinstance(name, str) or not name:
        raise ValueError(f'name must be the name of a column, got {name!r}. Write name="documents".')
    if name in (query, label_name):
        raise DataError(f"name={name!r} is the name of another column. Choose another, such as 'documents'.")
    given = common.values_in(dataset, [label]) if label else ()
    bad = [row for row, (values,) in enumerate(given) if len(values or []) != len(documents)]
    if bad:
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
