"""Graded sentence pairs from the user's files: read, checked, mapped to the score's range, and laid out for a loss.

Nothing is guessed in silence: what was decided about a header row, the columns, the labels and the layout is in the
notes.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from datasets import Dataset
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupShuffleSplit

from selective_st._validation import score_interval
from selective_st.errors import DataError, shown_rows
from selective_st.files import hub_splits as hub_splits
from selective_st.files import read_file
from selective_st.files import read_table as read_table
from selective_st.files import read_table_with_notes as read_table_with_notes
from selective_st.links import Interval
from selective_st.registry.columns import as_number
from selective_st.registry.names import TRAINER_LABELS

PAIR_COLUMNS = ("sentence1", "sentence2", "score")
_COSINE_RANGE = Interval(-1.0, 1.0)
_MOSTLY = 0.5  # of the rows that share their first text with another make it questions with their answers
_TIE = 1e-6  # labels such as 4 / 5 shall reach the threshold 0.8 whatever their last bit, in single precision too

_ENOUGH_NEGATIVES = 0.9  # of the positives must have a hard negative, for the rest to be left out

By = Literal["first", "either"]


@dataclass(frozen=True)
class Group:
    """A text with the texts that it is paired with.

    Attributes:
        anchor: The text.
        others: Its candidates.
        labels: The label of each candidate.
        rows: The row that each candidate comes from.
    """

    anchor: str
    others: list[str] = field(default_factory=list)
    labels: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Examples:
    """Training data in the layout that a loss takes.

    Attributes:
        dataset: The columns of the layout, in the order that the loss takes them.
        noun: What a row is called, in the plural.
        notes: What was decided, with counts.
        fewest_texts: How many different texts the column with the fewest has, where a batch may hold no text twice: it
            can hold no more rows. None where it may.
    """

    dataset: Dataset
    noun: str
    notes: list[str] = field(default_factory=list)
    fewest_texts: int | None = None

    def __len__(self) -> int:
        return len(self.dataset)


@dataclass(frozen=True)
class GradedPairs:
    """Sentence pairs with scores on the similarity's scale.

    Attributes:
        dataset: Columns sentence1, sentence2 and score (float).
        name: Where they come from, for people.
        notes: What was decided while reading.
    """

    dataset: Dataset
    name: str
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def sentences1(self) -> list[str]:
        """The first sentence of each pair."""
        return list(self.dataset["sentence1"])

    @property
    def sentences2(self) -> list[str]:
        """The second sentence of each pair."""
        return list(self.dataset["sentence2"])

    @property
    def scores(self) -> list[float]:
        """The scores."""
        return list(self.dataset["score"])

    def grouping(self) -> By | None:
        """How the pairs make groups of candidates for one text.

        Returns:
            `"first"` where most rows share their first text with another row (questions with their answers); else
            `"either"` where some text occurs in several pairs, on whichever side; else None.
        """
        count = Counter(self.sentences1)
        if sum(number for number in count.values() if number > 1) >= _MOSTLY * len(self):
            return "first"
        return "either" if any(len(group.rows) > 1 for group in self.groups("either")) else None

    def groups(self, by: By) -> list[Group]:
        """The groups of the pairs, in the order of their first rows; also those of a single pair.

        Args:
            by: `"first"`: a group for each first text, with the second texts as candidates. `"either"`: a group for
                each text, with the texts it is paired with as candidates, so that a pair counts in two groups.

        Returns:
            The groups.
        """
        groups: dict[str, Group] = {}
        for row, (first, second, label) in enumerate(zip(self.sentences1, self.sentences2, self.scores, strict=True)):
            sides = [(first, second), (second, first)] if by == "either" and first != second else [(first, second)]
            for anchor, other in sides:
                group = groups.setdefault(anchor, Group(anchor))
                group.others.append(other)
                group.labels.append(label)
                group.rows.append(row)
        return list(groups.values())

    def split(self, name: str, fraction: float, seed: int = 0, by: By | None = None) -> tuple[GradedPairs, GradedPairs]:
        """Set a random fraction of the rows aside.

        Args:
            name: What the part set aside is called.
            fraction: How much it gets: of the rows, or of their groups.
            seed: Which random part.
            by: Keep rows together that share their first text (`"first"`), or any text, also by way of other rows
                (`"either"`). Default: each row for itself.

        Returns:
            The rest, and the part set aside.

        Raises:
            DataError: If there are too few rows for it.
        """
        if by is None:
            members, what = np.arange(len(self)), "row(s)"
        else:
            members, what = self._clusters(by), "group(s) of rows that share a text"
        clusters = int(members.max()) + 1 if len(members) else 0
        count = max(1, round(clusters * fraction))
        if clusters - count < 1:
            raise DataError(
                f"{self.name} has {clusters} {what}, too few to set some aside as the {name} split. Give the splits "
                "as files: --eval-data FILE --test-data FILE."
            )
        if by is None:
            parts = self.dataset.train_test_split(test_size=count, seed=seed)
            rest, part, kept = parts["train"], parts["test"], ""
        else:
            rows = next(GroupShuffleSplit(1, test_size=count, random_state=seed).split(members, groups=members))
            rest, part = (self.dataset.select(index) for index in rows)
            shared = "the first text" if by == "first" else "a text"
            kept = f", rows that share {shared} together"
        note = (
            f"{len(part):,} of {len(self):,} rows of {self.name} set aside at random as the {name} split (seed "
            f"{seed}{kept})"
        )
        return GradedPairs(rest, self.name, [*self.notes, note]), GradedPairs(part, f"{name} split of {self.name}")

    def _clusters(self, by: By) -> np.ndarray[Any, np.dtype[Any]]:
        """For each row the number of its cluster."""
        if by == "first":
            return _numbered(self.sentences1)
        both = _numbered([*self.sentences1, *self.sentences2])
        first, second = both[: len(self)], both[len(self) :]
        texts = int(both.max()) + 1
        graph = coo_array((np.ones(len(self)), (first, second)), shape=(texts, texts))
        labels: np.ndarray[Any, np.dtype[Any]] = connected_components(graph, directed=False)[1][first]
        return labels


def _numbered(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[Any]]:
    """For each text its number among the different ones, in order.

    `np.unique` gives the same, but takes the room of the longest text for each.
    """
    numbers = {text: number for number, text in enumerate(sorted(set(texts)))}
    return np.array([numbers[text] for text in texts], dtype=np.intp)


def read_pairs(
    source: str,
    *,
    columns: Sequence[str] | None = None,
    score_range: tuple[float, float] | None = None,
    header: bool | None = None,
    split: str = "train",
) -> GradedPairs:
    """Read graded sentence pairs.

    Args:
        source: A file or a hub dataset, as for `read_file`.
        columns: The two text columns and the label column, in this order: names, or numbers counted from 1. Default:
            the only possible choice, where there is one.
        score_range: The ends of the labels' scale, mapped to 0 and 1. Default: labels are taken as they are and must
            lie within [-1, 1].
        header: Whether a CSV or TSV file has a header row, as for `read_file`.
        split: Which split of a hub dataset.

    Returns:
        The pairs.

    Raises:
        DataError: If the source is missing, empty or unreadable; a column is missing or unclear; or a row has an empty
            text or a label that is not a number in range. The message names the rows, counted from 1 after a header.
    """
    if score_range is not None:
        if isinstance(score_range, str) or len(score_range) != 2:
            raise DataError(f"score_range must be a pair of numbers such as (0, 5), got {score_range!r}.")
        score_range = score_interval("read_pairs", *score_range, names=("score_range[0]", "score_range[1]"))
    found = read_file(source, header=header, split=split)
    table, label, notes = found.dataset, found.name, list(found.notes)
    first, second, score = _choose_columns(label, table, found.named, columns)
    notes.append(f"{label}: {len(table):,} rows; texts {first!r} and {second!r}, label {score!r}")
    texts = [_checked_texts(label, name, found.texts(name)) for name in (first, second)]
    scores = _checked_scores(label, score, table[score], found.texts(score), score_range)
    if score_range is not None:
        notes.append(f"{label}: labels mapped from [{score_range[0]:g}, {score_range[1]:g}] to [0, 1]")
    dataset = Dataset.from_dict(dict(zip(PAIR_COLUMNS, (*texts, scores), strict=True)))
    return GradedPairs(dataset, label, notes)


def _choose_columns(label: str, table: Dataset, named: bool, columns: Sequence[str] | None) -> tuple[str, str, str]:
    available = table.column_names
    shown = ", ".join(available)
    if columns is not None:
        columns = [columns] if isinstance(columns, str) else [str(name) for name in columns]
        if len(columns) != 3:
            raise DataError(
                f"--columns takes two text columns and the label column, got {len(columns)}: {', '.join(columns)}. "
                f"{label} has the columns {shown}; write for example --columns sentence1,sentence2,score."
            )
        chosen = [
            available[int(name) - 1]
            if name not in available and name.isdecimal() and 1 <= int(name) <= len(available)
            else name
            for name in columns
        ]
        missing = [name for name in chosen if name not in available]
        if missing:
            raise DataError(f"{label} has no column {', '.join(map(repr, missing))}; it has {shown}. Mend --columns.")
        if len(set(chosen)) != 3:
            raise DataError(f"--columns names a column twice: {', '.join(columns)}. {label} has the columns {shown}.")
        return chosen[0], chosen[1], chosen[2]
    if len(available) < 3:
        raise DataError(
            f"{label} has {len(available)} column(s) ({shown}), but graded pairs take three: two texts and a label."
        )
    labels = [name for name in TRAINER_LABELS if name in available] if named else available[-1:]
    texts = [name for name in available if name not in labels]
    if len(labels) != 1 or len(texts) != 2:
        example = _likely_columns(table)
        raise DataError(
            f"It is not clear which columns of {label} to use: it has {shown}. Say the two texts and the label, for "
            f"example --columns {','.join(example or available[:3])}."
        )
    return texts[0], texts[1], labels[0]


def _likely_columns(table: Dataset) -> list[str]:
    """The two texts and the label, as far as names and values tell."""
    from selective_st.registry.detection import detect_format

    found = detect_format(table)
    if isinstance(found, dict) or len(found.inputs) != 2 or found.label_column is None:
        return []
    return [*found.inputs, found.label_column]


def _checked_texts(label: str, name: str, values: Any) -> list[str]:
    texts = list(values)
    wrong = [i for i, text in enumerate(texts, start=1) if not isinstance(text, str)]
    if wrong:
        value = texts[wrong[0] - 1]
        raise DataError(
            f"{label}: column {name!r} must hold texts, but {shown_rows(wrong)} hold(s) {value!r}. Mend the rows, or "
            "choose other columns with --columns."
        )
    empty = [i for i, text in enumerate(texts, start=1) if not text.strip()]
    if empty:
        raise DataError(f"{label}: the text in column {name!r} is empty in {shown_rows(empty)}. Remove such rows.")
    return texts


def _checked_scores(
    label: str, name: str, values: Any, written: Sequence[Any], score_range: tuple[float, float] | None
) -> list[float]:
    numbers = [as_number(value) for value in values]
    wrong = [i for i, number in enumerate(numbers, start=1) if number is None]
    if wrong:
        raise DataError(
            f"{label}: the label in column {name!r} is not a number in {shown_rows(wrong)}: "
            f"{written[wrong[0] - 1]!r}. Mend or remove such rows; if this is not the label column, say --columns; if "
            "row 1 is a header, say --header."
        )
    scores = [number for number in numbers if number is not None]
    low, high = min(scores), max(scores)
    if score_range is None:
        if low < _COSINE_RANGE.low or high > _COSINE_RANGE.high:
            ends, example = (math.floor(low), math.ceil(high)), "if it is the range seen here:"
            if ends[0] == ends[1]:  # one label alone says nothing of the other end
                ends, example = (min(ends[0], 0), max(ends[1], 0)), "for example"
            raise DataError(
                f"{label}: the labels in column {name!r} go from {low:g} to {high:g}, but a cosine similarity only "
                f"reaches {_COSINE_RANGE}. Say the ends of your label scale, which are then mapped to 0 and 1; "
                f"{example} --score-range {ends[0]},{ends[1]}"
            )
        return scores
    bottom, top = score_range
    outside = [i for i, score in enumerate(scores, start=1) if not bottom <= score <= top]
    if outside:
        raise DataError(
            f"{label}: the label in column {name!r} lies outside --score-range {bottom:g},{top:g} in "
            f"{shown_rows(outside)}: {scores[outside[0] - 1]:g}. The labels go from {low:g} to {high:g}."
        )
    return [(score - bottom) / (top - bottom) for score in scores]


def as_pairs(pairs: GradedPairs, by: By | None, list_size: int, positive_from: float) -> Examples:
    """The pairs as they are: sentence1, sentence2, score.

    Args:
        pairs: What was read.
        by: Not used.
        list_size: Not used.
        positive_from: Not used.

    Returns:
        The pairs.
    """
    return Examples(pairs.dataset, "pairs")


def as_lists(pairs: GradedPairs, by: By | None, list_size: int, positive_from: float) -> Examples:
    """One list a text: anchor, doc_1, ..., doc_n and the n labels; shorter lists are filled up with "" and NaN.

    The candidates with a label from `positive_from` come first (where that parts a list in two; else those with the
    highest label), as many as leave room for another; then the others in the order of the file.

    Args:
        pairs: What was read.
        by: How the pairs make groups: `GradedPairs.grouping`.
        list_size: The most candidates in a list.
        positive_from: From which label a candidate counts as positive.

    Returns:
        The lists.

    Raises:
        DataError: If there is no text with candidates of different labels.
    """
    groups, notes = _comparable_groups(pairs, by, "lists")
    lists = []
    for group in groups:
        positives, others = _parted(group, positive_from)
        positives = positives[: list_size - 1]
        lists.append((group, [*positives, *others[: list_size - len(positives)]]))
    width = max(len(chosen) for _, chosen in lists)
    documents = [[*(group.others[i] for i in chosen), *[""] * (width - len(chosen))] for group, chosen in lists]
    labels = [[*(group.labels[i] for i in chosen), *[math.nan] * (width - len(chosen))] for group, chosen in lists]
    columns: dict[str, Any] = {"anchor": [group.anchor for group, _ in lists]}
    columns |= {f"doc_{k + 1}": [texts[k] for texts in documents] for k in range(width)}
    sizes = [len(chosen) for _, chosen in lists]
    left_out = sum(len(group.others) for group in groups) - sum(sizes)
    long = sum(len(group.others) > list_size for group in groups)
    notes.append(
        f"{pairs.name}: {_count(len(lists), 'list')} of {min(sizes)} to {max(sizes)} candidates, {sum(sizes):,} in all"
        + (f"; {left_out:,} more of {_count(long, 'long list')} left out (--list-size {list_size})" if left_out else "")
    )
    return Examples(Dataset.from_dict({**columns, "label": labels}), "lists", notes)


def as_triplets(pairs: GradedPairs, by: By | None, list_size: int, positive_from: float) -> Examples:
    """Triplets of a text, a candidate with a higher and one with a lower label: anchor, positive, negative.

    The pairs of candidates with the largest differences of labels come first; where these are equal, the positives take
    turns, each with another negative.

    Args:
        pairs: What was read.
        by: How the pairs make groups: `GradedPairs.grouping`.
        list_size: The most triplets of a text.
        positive_from: From which label a candidate counts as positive, where there are more than `list_size`.

    Returns:
        The triplets.

    Raises:
        DataError: If there is no text with candidates of different labels.
    """
    groups, notes = _comparable_groups(pairs, by, "triplets")
    rows = []
    possible = 0
    for group in groups:
        labels = group.labels
        possible += _ordered_pairs(labels)
        parts = [part[:list_size] for part in _parted(group, positive_from)]
        chosen = [(i, place) for part in parts for place, i in enumerate(part)]
        found = [
            (labels[low] - labels[high], (b - a) % len(parts[1]), high, low)
            for (high, a), (low, b) in itertools.permutations(chosen, 2)
            if labels[high] > labels[low] + _TIE
        ]
        found.sort(key=lambda entry: entry[:2])
        rows += [(group.anchor, group.others[high], group.others[low]) for _, _, high, low in found[:list_size]]
    notes.append(
        f"{pairs.name}: {_count(len(rows), 'triplet')} of {_count(len(groups), 'text')}"
        + (f"; {possible - len(rows):,} more left out (--list-size {list_size})" if possible > len(rows) else "")
    )
    columns = dict(zip(("anchor", "positive", "negative"), map(list, zip(*rows, strict=True)), strict=True))
    return Examples(Dataset.from_dict(columns), "triplets", notes, _fewest_texts(columns))


def as_positives(pairs: GradedPairs, by: By | None, list_size: int, positive_from: float) -> Examples:
    """Pairs with a high label: anchor, positive, and a hard negative where there are enough.

    A pair that occurs several times counts once, with its highest label.

    Args:
        pairs: What was read.
        by: How the pairs make groups, in which hard negatives are looked for: `GradedPairs.grouping`.
        list_size: Not used.
        positive_from: The smallest label of a positive; what is below may be a hard negative.

    Returns:
        The pairs of a first text and its positive. If at least 90 % have a hard negative (a candidate of the same text
        with a label below), the others are left out, and it is the third column.

    Raises:
        DataError: If no label is high enough.
    """
    candidates = {group.anchor: _without_repeats(group) for group in pairs.groups(by)} if by else {}
    best: dict[tuple[str, str], float] = {}
    for first, second, label in zip(pairs.sentences1, pairs.sentences2, pairs.scores, strict=True):
        best[first, second] = max(label, best.get((first, second), label))
    used: Counter[str] = Counter()
    rows: list[tuple[str, str, str | None]] = []
    for (first, second), label in best.items():
        if label >= positive_from - _TIE:
            group = candidates.get(first, Group(first))
            negatives = [
                text for text, other in zip(group.others, group.labels, strict=True) if other < positive_from - _TIE
            ]
            # Another one for each positive of the same text.
            rows.append((first, second, negatives[used[first] % len(negatives)] if negatives else None))
            used[first] += 1
    if not rows:
        raise DataError(
            f"{pairs.name}: no pair has a label of at least {positive_from:g} (they go from {min(pairs.scores):g} to "
            f"{max(pairs.scores):g}), so there is no positive. Lower --positive-from, or mend --score-range."
        )
    count = f"{pairs.name}: {_count(len(rows), 'pair')} with a label of at least {positive_from:g} are positives"
    complete = [(first, second, negative) for first, second, negative in rows if negative is not None]
    names = ["anchor", "positive"]
    if len(complete) >= _ENOUGH_NEGATIVES * len(rows):
        left_out = len(rows) - len(complete)
        notes = [
            f"{count}; each with a hard negative, a candidate of the same text with a lower label"
            + (f" ({left_out:,} without one left out)" if left_out else "")
        ]
        names.append("negative")
        texts = [list(column) for column in zip(*complete, strict=True)]
    else:
        some = f"only {len(complete):,} of them have" if complete else "none of them has"
        notes = [f"{count}, without hard negatives: {some} a candidate of the same text with a lower label"]
        texts = [[row[0] for row in rows], [row[1] for row in rows]]
    if len(best) < len(pairs):
        notes[0] += f"; {_count(len(pairs) - len(best), 'repeated pair')} taken once, with the highest label"
    columns = dict(zip(names, texts, strict=True))
    return Examples(Dataset.from_dict(columns), "positives", notes, _fewest_texts(columns))


def _fewest_texts(columns: Mapping[str, Sequence[str]]) -> int:
    """How many different texts there are in the column that has the fewest."""
    return min(len(set(texts)) for texts in columns.values())


def _comparable_groups(pairs: GradedPairs, by: By | None, noun: str) -> tuple[list[Group], list[str]]:
    """The groups with candidates of different labels, each candidate once; and notes."""
    mend = (
        "Give data in which a text has several others with different labels (such as a question and its answers), or "
        "train with --loss pointwise."
    )
    if by is None:
        raise DataError(f"{pairs.name}: no text occurs in several pairs, so there are no {noun} to make. {mend}")
    merged = [_without_repeats(group) for group in pairs.groups(by)]
    several = [group for group in merged if len(group.others) > 1]
    groups = [group for group in several if max(group.labels) > min(group.labels) + _TIE]
    single, equal = len(merged) - len(several), len(several) - len(groups)
    side = "first text" if by == "first" else "text on either side, as first texts hardly repeat"
    left_out = [f"{single:,} with a single candidate"] if single else []
    left_out += [f"{equal:,} whose labels are all equal"] if equal else []
    note = f"{pairs.name}: {_count(len(merged), 'group')} by {side}"
    if left_out:
        note += f"; left out: {', '.join(left_out)}"
    repeats = sum(len(group.others) for group in pairs.groups(by)) - sum(len(group.others) for group in merged)
    if repeats:
        note += f"; {_count(repeats, 'repeated candidate')} taken once, with the highest label"
    if not groups:
        raise DataError(
            f"{note}. So there are no {noun} to make: no text has two candidates with different labels. {mend}"
        )
    return groups, [note]


def _without_repeats(group: Group) -> Group:
    """The group with each candidate once, with its highest label."""
    best: dict[str, tuple[float, int]] = {}
    for text, label, row in zip(group.others, group.labels, group.rows, strict=True):
        if text not in best or label > best[text][0]:
            best[text] = (label, row)
    if len(best) == len(group.others):
        return group
    return Group(group.anchor, list(best), [label for label, _ in best.values()], [row for _, row in best.values()])


def _parted(group: Group, positive_from: float) -> tuple[list[int], list[int]]:
    """The positives by falling label, and the others in order; both of a group with different labels have some."""
    low, high = min(group.labels), max(group.labels)
    threshold = positive_from if low < positive_from - _TIE and high >= positive_from - _TIE else high
    positives = [i for i, label in enumerate(group.labels) if label >= threshold - _TIE]
    others = [i for i, label in enumerate(group.labels) if label < threshold - _TIE]
    return sorted(positives, key=lambda i: -group.labels[i]), others


def _ordered_pairs(labels: list[float]) -> int:
    """How many pairs of labels differ."""
    alike = Counter(labels).values()
    return (len(labels) ** 2 - sum(number**2 for number in alike)) // 2


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
