"""Graded pairs, and the layouts that losses take: pairs, lists, triplets, positives.

Nothing is left out in silence: what was set aside, and what did not fit a layout, is in the notes.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, Literal, TypeVar

import numpy as np
import scipy  # whose parts come when they are used
from datasets import Dataset
from numpy.typing import NDArray

from selective_st.errors import DataError
from selective_st.registry.names import role_of, words_of

By = Literal["first", "either"]
Numbers = NDArray[np.intp]
_Texts = TypeVar("_Texts", str, tuple[str, str])
_Labels = dict[str, float]  # of candidates

_SAME_AGAIN = {"paraphrase", "paraphrased", "rephrased", "duplicate", "similar"}  # a text like the first, no answer
PAIR_COLUMNS = ("sentence1", "sentence2", "score")
# What a split keeps together: the first that leaves about the share that is asked for.
_KEPT_TOGETHER = ("either", "first text", "pair")
_MOST = 0.5  # of the rows in one cluster are too many for the others to stand for all

_MOSTLY = 0.5  # of the rows that share their first text with another make it questions with their answers
_TIE = 1e-6  # labels such as 4 / 5 shall reach the threshold 0.8 whatever their last bit, in single precision too
_ENOUGH_NEGATIVES = 0.9  # of the positives must have a hard negative, for the rest to be left out


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
        columns: What the two text columns are called where they come from; None if that is not known.
    """

    dataset: Dataset
    name: str
    notes: list[str] = field(default_factory=list)
    columns: tuple[str, str] | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def first_are_queries(self) -> bool | None:
        """Whether the columns' names say that the first texts are queries, and the second their documents.

        Returns:
            True for names such as question and answer, False for two of a kind such as question1 and question2, None
            where they say neither.
        """
        if self.columns is None:
            return None
        first, second = map(role_of, self.columns)
        words, others = (set(words_of(name)) for name in self.columns)
        if first is not None and (first == second or others & _SAME_AGAIN):
            return False
        return True if first == "anchor" and "anchor" not in words and second != "numbered" else None

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
        """Set about a fraction of the rows aside, at random: as many whole clusters of rows as come nearest to it.

        By default no text stands on both sides, where the data allow it: rows that share a text, also by way of other
        rows, are a cluster. Where most rows hang together so, rows with the same first text and pairs that are equal or
        mirrored are, or else these pairs alone; the note then says how many rows share a text with the rest.

        Args:
            name: What the part set aside is called.
            fraction: How much of the rows it gets.
            seed: Which random part.
            by: What a cluster shares instead: the first text (`"first"`), or any text, also by way of other rows
                (`"either"`), however near that comes to the fraction.

        Returns:
            The rest, and the part set aside.

        Raises:
            DataError: If there are too few rows for it.

        Example:
            >>> texts = {"sentence1": [f"question {i // 4}" for i in range(40)], "sentence2": list(map(str, range(40)))}
            >>> pairs = GradedPairs(Dataset.from_dict({**texts, "score": [0.0, 1.0] * 20}), "answers.csv")
            >>> rest, part = pairs.split("test", 0.1)
            >>> len(rest), len(part), len(set(part.sentences1))
            (36, 4, 1)
        """
        wanted = max(1, round(len(self) * fraction))
        for together in (by,) if by else _KEPT_TOGETHER:
            clusters = self._clusters(together)
            sizes = np.bincount(clusters)
            part = _drawn(clusters, sizes, wanted, seed)
            is_fair = sizes.max() <= _MOST * len(self) and abs(int(part.sum()) - wanted) <= wanted / 2
            if len(sizes) > 1 and (by or is_fair or together == _KEPT_TOGETHER[-1]):
                break
        else:
            what = "group(s) of rows that share a text" if by else "row(s) that differ"
            raise DataError(
                f"{self.name} has {len(sizes)} {what}, too few to set some aside as the {name} split. Give the splits "
                "as files: --eval-data FILE --test-data FILE."
            )
        parts = [self.dataset.select(np.flatnonzero(rows)) for rows in (~part, part)]
        rest, aside = (GradedPairs(rows, self.name, columns=self.columns) for rows in parts)
        how = f", rows that share {'the first' if by == 'first' else 'a'} text together)" if by else ")"
        note = (
            f"{len(aside):,} of {len(self):,} rows of {self.name} set aside at random as the {name} split (seed {seed}"
            f"{how}{'' if by else _what_is_shared(together, rest, aside)}"
        )
        return replace(rest, notes=[*self.notes, note]), replace(aside, name=f"{name} split of {self.name}")

    def _clusters(self, together: str) -> Numbers:
        """For each row the number of its cluster."""
        if together == "first":
            return _numbered(self.sentences1)
        both = _numbered([*self.sentences1, *self.sentences2])
        first, second = both[: len(self)], both[len(self) :]
        if together == "either":
            return _joined(first, second)
        pairs: Numbers = np.unique(np.sort([first, second], axis=0), axis=1, return_inverse=True)[1].reshape(-1)
        return pairs if together == "pair" else _joined(first, pairs + len(both))


def _joined(some: Numbers, others: Numbers) -> Numbers:
    """For each row the number of its cluster, where rows are joined that share one of two numbers."""
    size = int(max(some.max(), others.max())) + 1
    graph = scipy.sparse.coo_array((np.ones(len(some)), (some, others)), shape=(size, size))
    found: Any = scipy.sparse.csgraph.connected_components(graph, directed=False)[1][some]
    return _numbered(found)


def _drawn(clusters: Numbers, sizes: Numbers, wanted: int, seed: int) -> NDArray[np.bool_]:
    """Rows of random clusters, about as many as are wanted, but never all."""
    order = np.random.RandomState(seed).permutation(len(sizes))
    taken: list[int] = []
    missing = wanted
    for cluster in order:
        if abs(missing - sizes[cluster]) < abs(missing) and len(taken) < len(sizes) - 1:  # it comes nearer
            taken.append(cluster)
            missing -= sizes[cluster]
    return np.isin(clusters, taken or [order[np.argmin(sizes[order])]])


def _what_is_shared(together: str, rest: GradedPairs, part: GradedPairs) -> str:
    """How much a part has in common with the rest, for people."""
    known = {*rest.sentences1, *rest.sentences2}
    rows = sum(bool({*texts} & known) for texts in zip(part.sentences1, part.sentences2, strict=True))
    if not rows:
        return "; none of their texts is in the rest"
    kept = "rows with the same first text, and " if together == "first text" else ""
    return (
        f"; {kept}equal and mirrored pairs{kept and ','} are kept together, but the rows share too many texts to keep "
        f"each on one side: {rows:,} of the rows set aside ({rows / len(part):.0%}) hold a text of the rest"
    )


def _numbered(values: Sequence[Any]) -> Numbers:
    """For each value its number among the different ones, in order; as objects, long texts take no more room."""
    numbers: Numbers = np.unique(np.asarray(values, dtype=object), return_inverse=True)[1].reshape(-1)
    return numbers


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
    for anchor, candidates in groups:
        positives, others = _parted(candidates, positive_from)
        positives = positives[: list_size - 1]
        lists.append((anchor, [*positives, *others[: list_size - len(positives)]]))
    sizes = [len(chosen) for _, chosen in lists]
    longest, count = max(sizes), sum(sizes)
    rows: list[tuple[Any, ...]] = []
    for anchor, chosen in lists:
        texts, labels = zip(*chosen, *[("", math.nan)] * (longest - len(chosen)), strict=True)
        rows.append((anchor, *texts, list(labels)))
    names = ("anchor", *(f"doc_{place}" for place in range(1, longest + 1)), "label")
    note = f"{pairs.name}: {_count(len(lists), 'list')} of {min(sizes)} to {longest} candidates, {count:,} in all"
    left_out = sum(len(candidates) for _, candidates in groups) - count
    long = sum(len(candidates) > list_size for _, candidates in groups)
    more = f"; {left_out:,} more of {_count(long, 'long list')} left out (--list-size {list_size})" if left_out else ""
    return Examples(of_rows(names, rows), "lists", [*notes, note + more])


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
    rows: list[tuple[str, ...]] = []
    possible = 0
    for anchor, candidates in groups:
        alike = Counter(candidates.values()).values()
        possible += (len(candidates) ** 2 - sum(number**2 for number in alike)) // 2
        positives, others = (part[:list_size] for part in _parted(candidates, positive_from))
        places = [*enumerate(positives), *enumerate(others)]
        found = [
            ((low - high, (b - a) % len(others)), (anchor, positive, negative))
            for (a, (positive, high)), (b, (negative, low)) in itertools.permutations(places, 2)
            if high > low + _TIE
        ]
        rows += [texts for _, texts in sorted(found, key=itemgetter(0))[:list_size]]
    note = f"{pairs.name}: {_count(len(rows), 'triplet')} of {_count(len(groups), 'text')}"
    left_out = f"; {possible - len(rows):,} more left out (--list-size {list_size})" if possible > len(rows) else ""
    return _examples(("anchor", "positive", "negative"), rows, "triplets", [*notes, note + left_out])


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
    least = positive_from - _TIE
    negatives = {
        group.anchor: [text for text, label in _highest(group.others, group.labels).items() if label < least]
        for group in (pairs.groups(by) if by else ())
    }
    best = _highest(zip(pairs.sentences1, pairs.sentences2, strict=True), pairs.scores)
    used: Counter[str] = Counter()
    rows: list[tuple[str, ...]] = []
    for first, second in (texts for texts, label in best.items() if label >= least):
        hard = negatives.get(first, [])
        rows.append((first, second, *(hard[used[first] % len(hard) :][:1] if hard else [])))
        used[first] += 1  # another one for each positive of the same text
    if not rows:
        raise DataError(
            f"{pairs.name}: no pair has a label of at least {positive_from:g} (they go from {min(pairs.scores):g} to "
            f"{max(pairs.scores):g}), so there is no positive. Lower --positive-from, or mend --score-range."
        )
    names = ["anchor", "positive", "negative"]
    complete = [row for row in rows if len(row) > 2]
    left_out = len(rows) - len(complete)
    if len(complete) >= _ENOUGH_NEGATIVES * len(rows):
        how = "; each with a hard negative, a candidate of the same text with a lower label"
        how += f" ({left_out:,} without one left out)" if left_out else ""
    else:
        some = f"only {len(complete):,} of them have" if complete else "none of them has"
        how = f", without hard negatives: {some} a candidate of the same text with a lower label"
        complete, names = [row[:2] for row in rows], names[:2]
    note = f"{pairs.name}: {_count(len(rows), 'pair')} with a label of at least {positive_from:g} are positives{how}"
    if len(best) < len(pairs):
        note += f"; {_count(len(pairs) - len(best), 'repeated pair')} taken once, with the highest label"
    return _examples(names, complete, "positives", [note])


def of_rows(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Dataset:
    """A dataset with columns of these names."""
    return Dataset.from_dict(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def _examples(names: Sequence[str], rows: Sequence[tuple[str, ...]], noun: str, notes: list[str]) -> Examples:
    fewest = min(len(set(texts)) for texts in zip(*rows, strict=True))
    return Examples(of_rows(names, rows), noun, notes, fewest)


def _comparable_groups(pairs: GradedPairs, by: By | None, noun: str) -> tuple[list[tuple[str, _Labels]], list[str]]:
    """The texts that have candidates of different labels, with the label of each candidate; and notes."""
    mend = (
        "Give data in which a text has several others with different labels (such as a question and its answers), or "
        "train with --loss pointwise."
    )
    if by is None:
        raise DataError(f"{pairs.name}: no text occurs in several pairs, so there are no {noun} to make. {mend}")
    every = pairs.groups(by)
    merged = [(group.anchor, _highest(group.others, group.labels)) for group in every]
    groups = [group for group in merged if max(group[1].values()) > min(group[1].values()) + _TIE]
    single = sum(len(candidates) == 1 for _, candidates in merged)
    equal = len(merged) - single - len(groups)
    repeats = sum(len(group.others) for group in every) - sum(len(candidates) for _, candidates in merged)
    side = "first text" if by == "first" else "text on either side, as first texts hardly repeat"
    counts = {"with a single candidate": single, "whose labels are all equal": equal}
    left_out = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
    note = f"{pairs.name}: {_count(len(merged), 'group')} by {side}{left_out and f'; left out: {left_out}'}"
    note += f"; {_count(repeats, 'repeated candidate')} taken once, with the highest label" if repeats else ""
    if not groups:
        raise DataError(
            f"{note}. So there are no {noun} to make: no text has two candidates with different labels. {mend}"
        )
    return groups, [note]


def _highest(texts: Iterable[_Texts], labels: Iterable[float]) -> dict[_Texts, float]:
    """Each text, or pair of texts, once, with its highest label."""
    best: dict[_Texts, float] = {}
    for text, label in zip(texts, labels, strict=True):
        best[text] = max(label, best.get(text, label))
    return best


def _parted(candidates: _Labels, positive_from: float) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """The positives by falling label, and the others in order; both have some where labels differ."""
    low, high = min(candidates.values()), max(candidates.values())
    least = (positive_from if low < positive_from - _TIE <= high else high) - _TIE
    positives = [each for each in candidates.items() if each[1] >= least]
    others = [each for each in candidates.items() if each[1] < least]
    return sorted(positives, key=itemgetter(1), reverse=True), others


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
