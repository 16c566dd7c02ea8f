"""Small datasets, each with what someone who knows Sentence Transformers says it is.

The answers were written without looking at how formats are detected. `trainer_inputs` and `trainer_label` are facts,
which the tests check against the collator of Sentence Transformers. All else is what the data *mean*: an id column is
no input even if the trainer would tokenize it.

Some data can be read in two ways. Then "cannot tell" is a right answer too (`tell="may"`), or the only right one
(`tell="cannot"`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datasets import ClassLabel, Dataset, DatasetDict, Features, IterableDataset, Value

from selective_st.data import read_table
from selective_st.registry.catalog import LabelKind, Shape

Tell = Literal["must", "may", "cannot"]


@dataclass(frozen=True)
class Case:
    """A dataset and what it is.

    Attributes:
        id: A name for the test's report.
        make: Makes the data.
        shape: The inputs as meant; None where that is what cannot be told.
        label: The kind of the labels as meant; None where that is what cannot be told.
        inputs: The input columns as meant, in the order in which the loss should see them.
        label_column: The label column as meant, by its present name.
        trainer_inputs: What the trainer tokenizes, in its order.
        trainer_label: What the trainer takes for the label.
        tell: Whether it must be told what the data are; or "cannot tell" is right as well; or nobody can tell.
        meaning: The inputs as the catalog writes them, where shape and label do not say it.
        scale: The scale of the labels, where there can be no doubt.
        classes: The number of classes, likewise.
        readings: The readings that people would argue about. One of them at least must be named.
        accepted: Further kinds of labels that are right too.
        positive: The label of a positive pair, where it is not simply 1. If the labels are called binary, the steps
            must make it 1.
        as_text: The columns that hold numbers as texts.
        name: Which dataset of a dict is meant.
    """

    id: str
    make: Callable[[], Any]
    shape: Shape | None
    label: LabelKind | None
    inputs: tuple[str, ...]
    label_column: str | None
    trainer_inputs: tuple[str, ...]
    trainer_label: str | None
    tell: Tell = "must"
    meaning: str | None = None
    scale: tuple[float, float] | None = None
    classes: int | None = None
    readings: tuple[tuple[Shape, LabelKind], ...] = ()
    accepted: tuple[LabelKind, ...] = ()
    positive: Any = None
    as_text: tuple[str, ...] = ()
    name: str | None = None


# --- Values -----------------------------------------------------------------------------------------------------------

ROWS = 24
_PLACES = (
    "France Paris Italy Rome Spain Madrid Germany Berlin Austria Vienna Poland Warsaw Norway Oslo Sweden "
    "Stockholm Finland Helsinki Denmark Copenhagen Greece Athens Portugal Lisbon Ireland Dublin Hungary Budapest "
    "Japan Tokyo Egypt Cairo Kenya Nairobi Peru Lima Chile Santiago Cuba Havana Canada Ottawa Thailand Bangkok "
    "Vietnam Hanoi India Delhi"
)
_COUNTRIES, _CITIES = _PLACES.split()[::2], _PLACES.split()[1::2]
_WHO = ("man", "woman", "boy", "girl", "dog", "child")
_WHAT = ("is running in the park", "is eating an apple", "plays with a red ball", "is sleeping on the sofa")
_OTHERS = ("jogs outdoors", "has a snack", "throws something round", "takes a nap at home")


def _each(template: str, shift: int = 0) -> list[str]:
    turned = range(shift, shift + ROWS)
    return [template.format(country=_COUNTRIES[i % ROWS], city=_CITIES[i % ROWS]) for i in turned]


QUESTIONS = _each("What is the capital of {country}?")
ANSWERS = _each("{city} is the capital of {country}, and its largest city.")
WRONG = [_each("Many tourists visit {city} in the summer months.", shift) for shift in (3, 7, 11, 13, 17, 19, 20, 5)]
TITLES = _each("Elections in {country}")
BODIES = _each("The people of {country} chose a new parliament on Sunday. Turnout in {city} was high.")
REVIEWS = _each("The hotel in {city} was clean, but breakfast in {country} is not what I hoped for.")
SENTENCES1 = [f"A {who} {what}." for who in _WHO for what in _WHAT]
SENTENCES2 = [f"The {who} {what}." for who in _WHO for what in _OTHERS]
FRAGEN = _each("Wie heißt die Hauptstadt von {country}?")
ANTWORTEN = _each("Die Hauptstadt von {country} heißt {city}, so steht es im Atlas.")
JAPANESE1 = _each("{country}の首都はどこですか。")
JAPANESE2 = _each("{city}は{country}の首都です。")


def _numbers(low: float, high: float, digits: int = 2, seed: int = 0) -> list[float]:
    """Graded numbers of which the ends occur."""
    draw = random.Random(seed)
    found = [round(draw.uniform(low, high), digits) for _ in range(ROWS - 2)]
    return [float(high), *found, float(low)]


def _of(*values: Any, seed: int = 0) -> list[Any]:
    """The values, each about as often, in random order; every one occurs."""
    found = [values[i % len(values)] for i in range(ROWS)]
    random.Random(seed).shuffle(found)
    return found


def _vectors(size: int, seed: int = 0) -> list[list[float]]:
    draw = random.Random(seed)
    return [[draw.gauss(0, 1) for _ in range(size)] for _ in range(ROWS)]


def _teacher(size: int, low: float = -9.0, high: float = 11.0, seed: int = 0) -> list[list[float]]:
    """A teacher's scores for documents, the first of which is right."""
    draw = random.Random(seed)
    return [
        [round(draw.uniform(high - 3, high), 3), *(round(draw.uniform(low, high - 4), 3) for _ in range(size - 1))]
        for _ in range(ROWS)
    ]


def _probabilities(size: int, seed: int = 0) -> list[list[float]]:
    draw = random.Random(seed)
    drawn = [[draw.random() + 0.01 for _ in range(size)] for _ in range(ROWS)]
    return [[value / sum(row) for value in row] for row in drawn]


def _damaged(texts: list[str], seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    kept = [[word for word in text.split() if draw.random() > 0.5] for text in texts]
    return [" ".join(words or text.split()[:1]) for words, text in zip(kept, texts, strict=True)]


def _with(values: list[Any], *changes: tuple[int, Any]) -> list[Any]:
    changed = dict(changes)
    return [changed.get(i, value) for i, value in enumerate(values)]


def _lists(*columns: list[str]) -> list[list[str]]:
    return [list(row) for row in zip(*columns, strict=True)]


_PADDED = [1.0, 0.0, 0.0, float("nan")]
_LENGTHS = [2 + i % 3 for i in range(ROWS)]
_RAGGED_TEXTS = [row[:size] for row, size in zip(_lists(ANSWERS, *WRONG[:3]), _LENGTHS, strict=True)]
_RAGGED_SCORES = [row[:size] for row, size in zip(_teacher(4), _LENGTHS, strict=True)]
_PAIR = {"sentence1": SENTENCES1, "sentence2": SENTENCES2}
_QA = {"question": QUESTIONS, "answer": ANSWERS}
_AP = {"anchor": QUESTIONS, "positive": ANSWERS}
_APN = {**_AP, "negative": WRONG[0]}
_DOCS = {"query": QUESTIONS, "positive": ANSWERS, **{f"negative_{i}": WRONG[i] for i in (1, 2, 3)}}
_INDEX = list(range(ROWS))


def _documents(number: int) -> dict[str, list[str]]:
    return {"query": QUESTIONS, **{f"doc_{i + 1}": texts for i, texts in enumerate([ANSWERS, *WRONG][:number])}}


def _images(number: int) -> list[Any]:
    from PIL import Image

    return [Image.new("RGB", (8, 8), (10 * i, 5 * i, 100)) for i in range(number)]


# --- The corpus -------------------------------------------------------------------------------------------------------

CASES: list[Case] = []


def _data(columns: dict[str, list[Any]], **classes: list[str]) -> Callable[[], Dataset]:
    """A maker of a Dataset; `classes` makes columns of integers ClassLabels with these names."""

    def make() -> Dataset:
        dataset = Dataset.from_dict(columns)
        for column, names in classes.items():
            dataset = dataset.cast_column(column, ClassLabel(names=names))
        return dataset

    return make


def _case(
    name: str,
    make: Callable[[], Any],
    shape: Shape | None,
    label: LabelKind | None,
    inputs: str,
    label_column: str | None = None,
    *,
    trainer: str | None = None,
    trainer_label: str | None = "as meant",
    dataset: str | None = None,
    **more: Any,
) -> None:
    """Add a case. Columns are written in one text; what the trainer sees is as meant where it is not given."""
    CASES.append(
        Case(
            name,
            make,
            shape,
            label,
            tuple(inputs.split()),
            label_column,
            tuple((inputs if trainer is None else trainer).split()),
            label_column if trainer_label == "as meant" else trainer_label,
            name=dataset,
            **more,
        )
    )


# Every row of the loss tables, with the columns named as in the documentation.
_AS_CLASSES: dict[str, Any] = {"shape": "single", "label": "class", "inputs": "text", "label_column": "label"}
_PAIRS = "(anchor, positive) pairs"
_SAME = "(anchor, anchor) pairs"
_DAMAGED = "(damaged_input, original_input) pairs"

_case("texts alone", _data({"text": BODIES}), "single", "none", "text")
_case(
    "texts with a ClassLabel",
    _data({"text": BODIES, "label": _of(0, 1, 2)}, label=["sports", "politics", "science"]),
    **_AS_CLASSES,
    classes=3,
)
_case("texts with ints", _data({"text": BODIES, "label": _of(0, 1, 2, 3)}), **_AS_CLASSES, classes=4)
_case("anchor and positive", _data(_AP), "pair", "none", "anchor positive", meaning=_PAIRS)
_case("the same text twice", _data({"text1": BODIES, "text2": BODIES}), "pair", "none", "text1 text2", meaning=_SAME)
_case(
    "damaged and original",
    _data({"damaged": _damaged(BODIES), "original": BODIES}),
    "pair",
    "none",
    "damaged original",
    meaning=_DAMAGED,
)
_case(
    "NLI with a ClassLabel",
    _data(
        {"premise": SENTENCES1, "hypothesis": SENTENCES2, "label": _of(0, 1, 2)},
        label=["entailment", "neutral", "contradiction"],
    ),
    "pair",
    "class",
    "premise hypothesis",
    "label",
    classes=3,
)
_case(
    "class probabilities of NLI",
    _data({"premise": SENTENCES1, "hypothesis": SENTENCES2, "labels": _probabilities(3)}),
    "pair",
    "class probabilities",
    "premise hypothesis",
    "labels",
)
_case("pairs with 0 and 1", _data({**_PAIR, "label": _of(0, 1)}), "pair", "binary", "sentence1 sentence2", "label")
_case(
    "pairs with scores to 1",
    _data({**_PAIR, "score": _numbers(0, 1)}),
    "pair",
    "similarity",
    "sentence1 sentence2",
    "score",
    scale=(0, 1),
)
_case(
    "pairs with a teacher's logits",
    _data({"query": QUESTIONS, "passage": ANSWERS, "score": _numbers(-10.7, 10.3, 4)}),
    "pair",
    "similarity",
    "query passage",
    "score",
)
_case("anchor, positive, negative", _data(_APN), "triplet", "none", "anchor positive negative")
_case(
    "triplets with margins",
    _data({"query": QUESTIONS, "positive": ANSWERS, "negative": WRONG[0], "label": _numbers(0.4, 17.3, 3)}),
    "triplet",
    "margin",
    "query positive negative",
    "label",
)
_case(
    "triplets with two scores",
    _data({"query": QUESTIONS, "positive": ANSWERS, "negative": WRONG[0], "label": _teacher(2)}),
    "triplet",
    "scores",
    "query positive negative",
    "label",
)
_case(
    "several negatives",
    _data({**_APN, "negative_2": WRONG[1], "negative_3": WRONG[2]}),
    "n-tuple",
    "none",
    "anchor positive negative negative_2 negative_3",
)
_case(
    "several negatives with margins",
    _data({**_DOCS, "label": [[row[0] - other for other in row[1:]] for row in _teacher(4)]}),
    "n-tuple",
    "margins",
    "query positive negative_1 negative_2 negative_3",
    "label",
)
_case(
    "several negatives with scores",
    _data({**_DOCS, "labels": _teacher(4)}),
    "n-tuple",
    "scores",
    "query positive negative_1 negative_2 negative_3",
    "labels",
)
_case(
    "numbered documents with 0 and 1",
    _data({**_documents(4), "labels": _of([1, 0, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0])}),
    "n-tuple",
    "binary list",
    "query doc_1 doc_2 doc_3 doc_4",
    "labels",
)
_case("texts with embeddings", _data({"text": BODIES, "label": _vectors(384)}), "single", "embedding", "text", "label")
_case(
    "translations with the source's embedding",
    _data(
        {"en": QUESTIONS, "de": FRAGEN, "ja": JAPANESE1, "fr": _each("Quelle capitale : {country} ?")}
        | {"label": _vectors(384)}
    ),
    "n-tuple",
    "embedding",
    "en de ja fr",
    "label",
)
_case(
    "an embedding for each of four columns",
    _data({**_documents(3), "label": [list(rows) for rows in zip(*(_vectors(16, i) for i in range(4)), strict=True)]}),
    "n-tuple",
    "embeddings",
    "query doc_1 doc_2 doc_3",
    "label",
)
_case(
    "a query, a list of documents, their scores",
    _data({"query": QUESTIONS, "documents": _lists(ANSWERS, *WRONG[:3]), "scores": _teacher(4)}),
    "list",
    "scores",
    "query documents",
    "scores",
)

# Columns that the trainer would tokenize by mistake.
_case(
    "two label-like columns",
    _data({**_PAIR, "label": _of(0, 1), "score": _numbers(0, 1)}),
    "pair",
    "binary",
    "sentence1 sentence2",
    "label",
    trainer="sentence1 sentence2 score",
    tell="may",
)
_case(
    "label and labels, equal",
    _data({"text": BODIES, "label": _of(0, 1, 2), "labels": _of(0, 1, 2)}),
    **_AS_CLASSES,
    trainer="text labels",
)
_case(
    "a margin and the two scores",
    _data({**_APN, "score": [a - b for a, b in _teacher(2)], "labels": _teacher(2)}),
    "triplet",
    "scores",
    "anchor positive negative",
    "labels",
    trainer="anchor positive negative score",
    tell="may",
)
_case(
    "triplets with a score column for each document",
    _data({**_APN, "pos_score": [a for a, _ in _teacher(2)], "neg_score": [b for _, b in _teacher(2)]}),
    "triplet",
    "none",
    "anchor positive negative",
    trainer="anchor positive negative pos_score neg_score",
    tell="may",
)
_case(
    "an id in front",
    _data({"id": [f"pair-{i}" for i in _INDEX], **_PAIR, "score": _numbers(0, 1)}),
    "pair",
    "similarity",
    "sentence1 sentence2",
    "score",
    trainer="id sentence1 sentence2",
)
_case(
    "ids beside the texts",
    _data(
        {"query_id": [f"q{i}" for i in _INDEX], "query": QUESTIONS}
        | {"doc_id": [f"D{9 * i}" for i in _INDEX], "document": ANSWERS}
    ),
    "pair",
    "none",
    "query document",
    trainer="query_id query doc_id document",
)
_case(
    "ids by a name of their own",
    _data({"qid": [100 + i // 3 for i in _INDEX], "query": QUESTIONS, "passage": ANSWERS, "label": _of(0, 1)}),
    "pair",
    "binary",
    "query passage",
    "label",
    trainer="qid query passage",
)
_case(
    "hashes by a name of their own",
    _data({"key": [f"{random.Random(i).getrandbits(128):032x}" for i in _INDEX], **_AP}),
    "pair",
    "none",
    "anchor positive",
    trainer="key anchor positive",
    tell="may",
)
_case(
    "MRPC",
    _data({**_PAIR, "label": _of(0, 1), "idx": _INDEX}, label=["not_equivalent", "equivalent"]),
    "pair",
    "binary",
    "sentence1 sentence2",
    "label",
    trainer="sentence1 sentence2 idx",
)
_case(
    "QQP",
    _data(
        {"question1": QUESTIONS, "question2": _each("Which city is the capital of {country}?"), "label": _of(0, 1)}
        | {"idx": [7 * i % 101 for i in _INDEX]},
        label=["not_duplicate", "duplicate"],
    ),
    "pair",
    "binary",
    "question1 question2",
    "label",
    trainer="question1 question2 idx",
)
_case(
    "QNLI, where 0 is the positive class",
    _data({"question": QUESTIONS, "sentence": ANSWERS, "label": _of(0, 1)}, label=["entailment", "not_entailment"]),
    "pair",
    "class",
    "question sentence",
    "label",
    tell="may",
    accepted=("binary",),
    positive=0,
    classes=2,
)
_case(
    "STS-B of GLUE",
    _data({**_PAIR, "label": _numbers(0, 5), "idx": _INDEX}),
    "pair",
    "similarity",
    "sentence1 sentence2",
    "label",
    trainer="sentence1 sentence2 idx",
    scale=(0, 5),
)
_case(
    "classes with their names",
    _data({"text": BODIES, "label": _of(0, 1, 2), "label_text": _of("sports", "politics", "science")}),
    **_AS_CLASSES,
    trainer="text label_text",
    classes=3,
)
_case(
    "an index that pandas saved",
    _data({**_PAIR, "score": _numbers(0, 1), "__index_level_0__": [5 * i % 97 for i in _INDEX]}),
    "pair",
    "similarity",
    "sentence1 sentence2",
    "score",
    trainer="sentence1 sentence2 __index_level_0__",
)
_case(
    "an index that a CSV file kept",
    _data({"row": _INDEX, "anchor": QUESTIONS, "positive": ANSWERS}),
    "pair",
    "none",
    "anchor positive",
    trainer="row anchor positive",
)
CASES.append(
    Case(
        "an unnamed index from a CSV file",
        _data({"Unnamed: 0": _INDEX, **_AP}),
        "pair",
        "none",
        ("anchor", "positive"),
        None,
        ("Unnamed: 0", "anchor", "positive"),
        None,
    )
)
_case(
    "a year",
    _data({"title": TITLES, "abstract": BODIES, "year": [1990 + 7 * i % 33 for i in _INDEX]}),
    "pair",
    "none",
    "title abstract",
    trainer="title abstract year",
    tell="may",
)
_case(
    "lengths",
    _data({**_QA, "length": [len(text) for text in ANSWERS]}),
    "pair",
    "none",
    "question answer",
    trainer="question answer length",
    tell="may",
)
_case(
    "a language code",
    _data({**_AP, "lang": _of("en", "en", "de")}),
    "pair",
    "none",
    "anchor positive",
    trainer="anchor positive lang",
    tell="may",
)
_case(
    "tokens beside the text",
    _data({"tokens": [text.split() for text in BODIES], "text": BODIES, "label": _of(0, 1, 2)}),
    **_AS_CLASSES,
    trainer="tokens text",
    tell="may",
)
_case(
    "an empty negative",
    _data({**_AP, "negative": [None] * ROWS}),
    "pair",
    "none",
    "anchor positive",
    trainer="anchor positive negative",
)
_case(
    "an empty score",
    _data({**_AP, "score": [None] * ROWS}),
    "pair",
    "none",
    "anchor positive",
    trainer="anchor positive",
    trainer_label="score",
    tell="may",
)
_case(
    "the name that the trainer takes for itself",
    _data({**_AP, "dataset_name": ["wiki"] * ROWS}),
    "pair",
    "none",
    "anchor positive",
)

# Columns in an order that the names deny.
_case(
    "positive first",
    _data({"positive": ANSWERS, "anchor": QUESTIONS}),
    "pair",
    "none",
    "anchor positive",
    trainer="positive anchor",
    meaning=_PAIRS,
)
_case(
    "answer first",
    _data({"answer": ANSWERS, "question": QUESTIONS}),
    "pair",
    "none",
    "question answer",
    trainer="answer question",
)
_case(
    "negative first",
    _data({"negative": WRONG[0], "anchor": QUESTIONS, "positive": ANSWERS}),
    "triplet",
    "none",
    "anchor positive negative",
    trainer="negative anchor positive",
)
_case(
    "document first, scored",
    _data({"document": ANSWERS, "query": QUESTIONS, "score": _numbers(0, 1)}),
    "pair",
    "similarity",
    "query document",
    "score",
    trainer="document query",
)
_case(
    "hypothesis first",
    _data(
        {"label": _of(0, 1, 2), "hypothesis": SENTENCES2, "premise": SENTENCES1},
        label=["entailment", "neutral", "contradiction"],
    ),
    "pair",
    "class",
    "premise hypothesis",
    "label",
    trainer="hypothesis premise",
)
_case(
    "the query in the middle of a list",
    _data({"scores": _teacher(4), "documents": _lists(ANSWERS, *WRONG[:3]), "query": QUESTIONS}),
    "list",
    "scores",
    "query documents",
    "scores",
    trainer="documents query",
)
_case(
    "the label first",
    _data({"score": _numbers(0, 1), **_PAIR}),
    "pair",
    "similarity",
    "sentence1 sentence2",
    "score",
)
_case(
    "the label between",
    _data({"question": QUESTIONS, "label": _of(0, 1), "sentence": ANSWERS}),
    "pair",
    "binary",
    "question sentence",
    "label",
)

# Labels that look like other labels.
_GRADED: tuple[tuple[Shape, LabelKind], ...] = (("pair", "similarity"), ("pair", "class"))
_NAMED = {"inputs": "sentence1 sentence2", "shape": "pair"}
_case(
    "ints 0 to 5 in label",
    _data({**_PAIR, "label": _of(0, 1, 2, 3, 4, 5)}),
    **_NAMED,
    label=None,
    label_column="label",
    tell="cannot",
    readings=_GRADED,
)
_case(
    "ints 0 to 5 in score",
    _data({**_PAIR, "score": _of(0, 1, 2, 3, 4, 5)}),
    **_NAMED,
    label="similarity",
    label_column="score",
    scale=(0, 5),
)
_case(
    "ints 1 to 5 in score",
    _data({**_PAIR, "score": _of(1, 2, 3, 4, 5)}),
    **_NAMED,
    label="similarity",
    label_column="score",
    scale=(1, 5),
)
_case(
    "ints 1 to 5 in label",
    _data({"query": QUESTIONS, "product": ANSWERS, "label": _of(1, 2, 3, 4, 5)}),
    "pair",
    "similarity",
    "query product",
    "label",
    tell="may",
    readings=_GRADED,
)
_case(
    "ints 0 to 100 in score",
    _data({**_PAIR, "score": [int(value) for value in _numbers(0, 100)]}),
    **_NAMED,
    label="similarity",
    label_column="score",
    scale=(0, 100),
)
_case(
    "relevance 0 to 3 in a column of its own name",
    _data({"query": QUESTIONS, "passage": ANSWERS, "relevance": _of(0, 1, 2, 3)}),
    "pair",
    "similarity",
    "query passage",
    "relevance",
    trainer="query passage relevance",
    trainer_label=None,
    tell="may",
)
_case(
    "relevance 0 to 2 in label",
    _data({"query": QUESTIONS, "passage": ANSWERS, "label": _of(0, 1, 2)}),
    "pair",
    "similarity",
    "query passage",
    "label",
    tell="may",
    readings=_GRADED,
)
_case(
    "NLI with ints",
    _data({"premise": SENTENCES1, "hypothesis": SENTENCES2, "label": _of(0, 1, 2)}),
    "pair",
    "class",
    "premise hypothesis",
    "label",
    classes=3,
)
_case(
    "NLI with ints, the columns without names for it",
    _data({**_PAIR, "label": _of(0, 1, 2)}),
    **_NAMED,
    label="class",
    label_column="label",
    tell="may",
    readings=_GRADED,
)
_case(
    "NLI with -1 for no agreement",
    _data({"premise": SENTENCES1, "hypothesis": SENTENCES2, "label": _of(0, 1, 2, 0, 1, 2, 0, -1)}),
    "pair",
    "class",
    "premise hypothesis",
    "label",
    tell="may",
)
_case(
    "NLI with words",
    _data({"premise": SENTENCES1, "hypothesis": SENTENCES2, "label": _of("entailment", "neutral", "contradiction")}),
    "pair",
    "class",
    "premise hypothesis",
    "label",
    classes=3,
)
_case(
    "a ClassLabel of five names for pairs",
    _data({**_PAIR, "label": _of(0, 1, 2, 3, 4)}, label=["cause", "effect", "part", "kind", "other"]),
    **_NAMED,
    label="class",
    label_column="label",
    classes=5,
)
_case("bools in label", _data({**_PAIR, "label": _of(True, False)}), **_NAMED, label="binary", label_column="label")
_case(
    "bools in is_duplicate",
    _data(
        {"question1": QUESTIONS, "question2": _each("Which city leads {country}?"), "is_duplicate": _of(True, False)}
    ),
    "pair",
    "binary",
    "question1 question2",
    "is_duplicate",
    trainer="question1 question2 is_duplicate",
    trainer_label=None,
)
_case(
    "ints in is_duplicate",
    _data({**_PAIR, "is_duplicate": _of(0, 1)}),
    **_NAMED,
    label="binary",
    label_column="is_duplicate",
    trainer="sentence1 sentence2 is_duplicate",
    trainer_label=None,
)
_case(
    "floats of only 0 and 1", _data({**_PAIR, "label": _of(0.0, 1.0)}), **_NAMED, label="binary", label_column="label"
)
_case(
    "floats 0, 0.5 and 1",
    _data({**_PAIR, "label": _of(0.0, 0.5, 1.0)}),
    **_NAMED,
    label="similarity",
    label_column="label",
    scale=(0, 1),
)
_case(
    "0 and 1 with gaps, which makes floats of them",
    _data({**_PAIR, "label": _with(_of(0, 1), (3, None), (9, None))}),
    **_NAMED,
    label="binary",
    label_column="label",
)
_case(
    "ints of only 0 and 1 in score",
    _data({**_PAIR, "score": _of(0, 1)}),
    **_NAMED,
    label="binary",
    label_column="score",
    tell="may",
)
_case(
    "cosines from -1 to 1",
    _data({**_PAIR, "score": _numbers(-1, 1, 3)}),
    **_NAMED,
    label="similarity",
    label_column="score",
    scale=(-1, 1),
)
_case(
    "scores as text",
    _data({**_PAIR, "score": [str(value) for value in _numbers(0, 1)]}),
    **_NAMED,
    label="similarity",
    label_column="score",
    scale=(0, 1),
    as_text=("score",),
)
_case(
    "0 and 1 as text",
    _data({**_PAIR, "label": _of("0", "1")}),
    **_NAMED,
    label="binary",
    label_column="label",
    as_text=("label",),
)
_case(
    "classes as numbers as text",
    _data({"text": BODIES, "label": _of("0", "1", "2", "3")}),
    **_AS_CLASSES,
    as_text=("label",),
)
_case("classes as words", _data({"text": BODIES, "label": _of("sports", "politics", "science")}), **_AS_CLASSES)
_case(
    "classes as words in category",
    _data({"text": BODIES, "category": _of("sports", "politics", "science")}),
    "single",
    "class",
    "text",
    "category",
    trainer="text category",
    trainer_label=None,
)
_case(
    "classes as floats",
    _data({"text": BODIES, "label": _of(0.0, 1.0, 2.0)}),
    **_AS_CLASSES,
    tell="may",
)
_case(
    "two classes for single texts",
    _data({"sentence": REVIEWS, "label": _of(0, 1), "idx": _INDEX}, label=["negative", "positive"]),
    "single",
    "class",
    "sentence",
    "label",
    trainer="sentence idx",
    classes=2,
)
_case(
    "a class for each text",
    _data({"text": BODIES, "label": _INDEX}),
    **_AS_CLASSES,
    tell="may",
)
_case(
    "several topics at once",
    _data({"text": BODIES, "labels": _of([0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1])}),
    "single",
    None,
    "text",
    "labels",
    tell="cannot",
)
_case(
    "one score of one text",
    _data({"text": BODIES, "score": _numbers(0, 1)}),
    "single",
    None,
    "text",
    "score",
    tell="cannot",
)
_case(
    "headerless columns",
    _data({"1": SENTENCES1, "2": SENTENCES2, "3": _numbers(0, 5)}),
    "pair",
    "similarity",
    "1 2",
    "3",
    trainer="1 2 3",
    trainer_label=None,
    scale=(0, 5),
)
_case(
    "headerless columns of text",
    _data({"1": SENTENCES1, "2": SENTENCES2, "3": [str(value) for value in _numbers(0, 5)]}),
    "pair",
    "similarity",
    "1 2",
    "3",
    trainer="1 2 3",
    trainer_label=None,
    scale=(0, 5),
    as_text=("3",),
)
CASES.append(
    Case(
        "the first row taken for a header",
        _data({"A plane is taking off.": SENTENCES1, "An air plane is rising.": SENTENCES2, "5.0": _numbers(0, 5)}),
        "pair",
        "similarity",
        ("A plane is taking off.", "An air plane is rising."),
        "5.0",
        ("A plane is taking off.", "An air plane is rising.", "5.0"),
        None,
        scale=(0, 5),
    )
)
_case(
    "similarity",
    _data({"text_a": SENTENCES1, "text_b": SENTENCES2, "similarity": _numbers(0, 1)}),
    "pair",
    "similarity",
    "text_a text_b",
    "similarity",
    trainer="text_a text_b similarity",
    trainer_label=None,
    scale=(0, 1),
)
_case(
    "gold",
    _data({"gold": _numbers(0, 5), **_PAIR}),
    **_NAMED,
    label="similarity",
    label_column="gold",
    trainer="gold sentence1 sentence2",
    trainer_label=None,
)
_case(
    "stars of reviews",
    _data({"review": REVIEWS, "stars": _of(1, 2, 3, 4, 5)}),
    "single",
    "class",
    "review",
    "stars",
    trainer="review stars",
    trainer_label=None,
    tell="may",
)
_case(
    "a rating of pairs",
    _data({"text1": SENTENCES1, "text2": SENTENCES2, "rating": _of(1, 2, 3, 4, 5)}),
    "pair",
    "similarity",
    "text1 text2",
    "rating",
    trainer="text1 text2 rating",
    trainer_label=None,
    tell="may",
)
_case(
    "yes or no for a passage",
    _data({"question": QUESTIONS, "passage": BODIES, "answer": _of(True, False)}),
    "pair",
    "binary",
    "question passage",
    "answer",
    trainer="question passage answer",
    trainer_label=None,
    tell="may",
)
_case(
    "answers that are numbers",
    _data({"question": QUESTIONS, "answer": [str(37 * i % 211) for i in _INDEX]}),
    "pair",
    "none",
    "question answer",
    tell="may",
)
_case(
    "1 in every row",
    _data({**_PAIR, "label": [1] * ROWS}),
    **_NAMED,
    label="binary",
    label_column="label",
    tell="may",
)
_case(
    "0.5 in every row",
    _data({**_PAIR, "score": [0.5] * ROWS}),
    **_NAMED,
    label="similarity",
    label_column="score",
)
_case(
    "margins that are ints",
    _data({"query": QUESTIONS, "document_one": ANSWERS, "document_two": WRONG[0], "label": _of(-4, -1, 2, 3, 7)}),
    "triplet",
    "margin",
    "query document_one document_two",
    "label",
    tell="may",
)
_case(
    "four texts and a number",
    _data({**_documents(3), "label": _numbers(0, 1)}),
    "n-tuple",
    None,
    "query doc_1 doc_2 doc_3",
    "label",
    tell="cannot",
)

# Labels that are lists.
_case(
    "as many numbers as documents, however many",
    _data({**_documents(8), "label": _vectors(8)}),
    "n-tuple",
    "scores",
    "query doc_1 doc_2 doc_3 doc_4 doc_5 doc_6 doc_7 doc_8",
    "label",
    tell="may",
)
_case(
    "scores that sum to 1",
    _data({**_documents(4), "labels": _probabilities(4)}),
    "n-tuple",
    "scores",
    "query doc_1 doc_2 doc_3 doc_4",
    "labels",
)
_case(
    "two scores that sum to 1",
    _data({"query": QUESTIONS, "positive": ANSWERS, "negative": WRONG[0], "labels": _probabilities(2)}),
    "triplet",
    "scores",
    "query positive negative",
    "labels",
)
_case(
    "1 for the positive and 0 for the negative",
    _data({"query": QUESTIONS, "positive": ANSWERS, "negative": WRONG[0], "labels": [[1, 0]] * ROWS}),
    "triplet",
    "binary list",
    "query positive negative",
    "labels",
    tell="may",
)
_case(
    "probabilities of two classes",
    _data({"query": QUESTIONS, "passage": ANSWERS, "label": _probabilities(2)}),
    "pair",
    "class probabilities",
    "query passage",
    "label",
    tell="may",
)
_case(
    "padded lists",
    _data(
        {
            **_documents(3),
            "doc_4": _with(WRONG[2], (2, ""), (5, "")),
            "labels": _with(_of([1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]), (2, _PADDED), (5, _PADDED)),
        }
    ),
    "n-tuple",
    "binary list",
    "query doc_1 doc_2 doc_3 doc_4",
    "labels",
)
_case(
    "columns with ragged scores",
    _data({**_documents(4), "labels": _RAGGED_SCORES}),
    "n-tuple",
    "scores",
    "query doc_1 doc_2 doc_3 doc_4",
    "labels",
    tell="may",
)
_case(
    "a translation with the source's embedding",
    _data({"english": QUESTIONS, "non_english": FRAGEN, "label": _vectors(384)}),
    "pair",
    "embedding",
    "english non_english",
    "label",
)
_case(
    "an embedding for each of two columns",
    _data({**_AP, "label": [[a, b] for a, b in zip(_vectors(32), _vectors(32, 1), strict=True)]}),
    "pair",
    "embeddings",
    "anchor positive",
    "label",
)
_case(
    "embeddings in a column of their own name",
    _data({"text": BODIES, "embedding": _vectors(384)}),
    "single",
    "embedding",
    "text",
    "embedding",
    trainer="text embedding",
    trainer_label=None,
    tell="may",
)
_case(
    "embeddings that someone kept beside labelless pairs",
    _data({**_AP, "embedding": _vectors(384)}),
    "pair",
    "none",
    "anchor positive",
    trainer="anchor positive embedding",
    tell="may",
)
_case(
    "class probabilities of single texts",
    _data({"text": BODIES, "labels": _probabilities(3)}),
    "single",
    None,
    "text",
    "labels",
    tell="cannot",
)

# List columns.
_case(
    "ragged lists with scores",
    _data({"query": QUESTIONS, "docs": _RAGGED_TEXTS, "labels": _RAGGED_SCORES}),
    "list",
    "scores",
    "query docs",
    "labels",
)
_case(
    "lists with 0 and 1",
    _data({"query": QUESTIONS, "docs": _lists(ANSWERS, *WRONG[:2]), "labels": _of([1, 0, 0], [0, 1, 0], [1, 0, 1])}),
    "list",
    "binary list",
    "query docs",
    "labels",
)
_case(
    "lists without labels",
    _data({"query": QUESTIONS, "docs": _RAGGED_TEXTS}),
    None,
    "none",
    "query docs",
    tell="cannot",
)
_case(
    "a list of negatives",
    _data({"query": QUESTIONS, "positive": ANSWERS, "negatives": _lists(*WRONG[:3])}),
    "n-tuple",
    "none",
    "query positive negatives",
)
_case(
    "lists of positives and of negatives",
    _data({"query": QUESTIONS, "pos": _lists(ANSWERS), "neg": _lists(*WRONG[:3])}),
    "n-tuple",
    "none",
    "query pos neg",
)
_case("sets of paraphrases", _data({"set": _lists(SENTENCES1, SENTENCES2)}), None, "none", "set", tell="cannot")
_case(
    "ids alone",
    _data(
        {"query_id": [f"q{i}" for i in _INDEX], "passage_id": [f"D{9 * i}" for i in _INDEX], "score": _numbers(0, 1)}
    ),
    None,
    None,
    "query_id passage_id",
    "score",
    tell="cannot",
)
_case(
    "ids under the names of texts",
    _data({"query": [f"q{i}" for i in _INDEX], "document": [f"D{9 * i}" for i in _INDEX], "score": _numbers(0, 1)}),
    None,
    None,
    "query document",
    "score",
    tell="cannot",
)
_case(
    "ids and lists of ids",
    _data(
        {"query_id": [1000 + 3 * i for i in _INDEX], "document_ids": [[i, i + 40, i + 80] for i in _INDEX]}
        | {"scores": _teacher(3)}
    ),
    None,
    None,
    "query_id document_ids",
    "scores",
    tell="cannot",
)

# Preferences, names that deny, and what is no text.
_case(
    "preferences",
    _data({"prompt": QUESTIONS, "rejected": WRONG[0], "chosen": ANSWERS}),
    "triplet",
    "none",
    "prompt chosen rejected",
    trainer="prompt rejected chosen",
)
_case(
    "preferences without a prompt",
    _data({"chosen": ANSWERS, "rejected": WRONG[0]}),
    None,
    "none",
    "chosen rejected",
    tell="cannot",
)
_case(
    "a label that says the opposite",
    _data({**_PAIR, "not_duplicate": _of(0, 1)}),
    "pair",
    None,
    "sentence1 sentence2",
    "not_duplicate",
    trainer="sentence1 sentence2 not_duplicate",
    trainer_label=None,
    tell="cannot",
)
_case(
    "ids of a query, its passage and a wrong one",
    _data({"qid": [f"q{i}" for i in _INDEX], "pid": [f"D{9 * i}" for i in _INDEX], "neg_pid": ["D4"] * ROWS}),
    "triplet",
    "none",
    "qid pid neg_pid",
    tell="cannot",
)
_case(
    "links for documents",
    _data({"query": QUESTIONS, "positive": [f"https://example.org/{i}" for i in _INDEX]}),
    None,
    "none",
    "query positive",
    tell="cannot",
)
_case(
    "chat messages",
    _data({"messages": [[{"role": "user", "content": text}] for text in QUESTIONS]}),
    None,
    "none",
    "messages",
    tell="cannot",
)

# Texts.
_case("nameless pairs", _data({"text1": QUESTIONS, "text2": ANSWERS}), "pair", "none", "text1 text2", meaning=_PAIRS)
_case(
    "nameless damaged texts",
    _data({"a": _damaged(BODIES), "b": BODIES}),
    "pair",
    "none",
    "a b",
    meaning=_DAMAGED,
    tell="may",
)
_case(
    "keywords of a document, which look like a damaged text",
    _data({"query": _each("{country} new parliament"), "document": BODIES}),
    "pair",
    "none",
    "query document",
    meaning=_PAIRS,
    tell="may",
)
_case(
    "a title that the text begins with",
    _data({"title": TITLES, "text": [f"{title}. {body}" for title, body in zip(TITLES, BODIES, strict=True)]}),
    "pair",
    "none",
    "title text",
    meaning=_PAIRS,
    tell="may",
)
_case(
    "short answers that recur",
    _data({"question": QUESTIONS, "answer": _of("yes", "no", "it depends")}),
    "pair",
    "none",
    "question answer",
    tell="may",
)
_case(
    "a category in front of the text",
    _data({"category": _of("sports", "politics", "science"), "text": BODIES}),
    "single",
    "class",
    "text",
    "category",
    trainer="category text",
    trainer_label=None,
    tell="may",
)
_case(
    "yes or no in words",
    _data({**_PAIR, "label": _of("duplicate", "different")}),
    **_NAMED,
    label="binary",
    label_column="label",
    tell="may",
    accepted=("class",),
    positive="duplicate",
)
_case(
    "words of which the positive one comes first",
    _data({**_PAIR, "label": _of("match", "mismatch")}),
    **_NAMED,
    label="class",
    label_column="label",
    tell="may",
    accepted=("binary",),
    positive="match",
)
_case(
    "words of another language",
    _data({**_PAIR, "label": _of("ja", "nein")}),
    **_NAMED,
    label="class",
    label_column="label",
    tell="may",
    accepted=("binary",),
    positive="ja",
)
for _names in (["yes", "no"], ["relevant", "irrelevant"], ["same", "different"], ["paraphrase", "non-paraphrase"]):
    _case(
        f"0 for {_names[0]}, 1 for {_names[1]}",
        _data({**_PAIR, "label": _of(0, 1)}, label=_names),
        **_NAMED,
        label="class",
        label_column="label",
        tell="may",
        accepted=("binary",),
        positive=0,
        classes=2,
    )
_case(
    "scores with decimal commas",
    _data({**_PAIR, "score": [f"{value:.2f}".replace(".", ",") for value in _numbers(0, 5)]}),
    **_NAMED,
    label="similarity",
    label_column="score",
    tell="may",
)
_case(
    "a margin for each of eight negatives",
    _data(
        {**_AP, **{f"negative_{i + 1}": WRONG[i] for i in range(8)}}
        | {"label": [[row[0] - other for other in row[1:]] for row in _teacher(9)]}
    ),
    "n-tuple",
    "margins",
    "anchor positive negative_1 negative_2 negative_3 negative_4 negative_5 negative_6 negative_7 negative_8",
    "label",
)
_case(
    "pairs half of which are equal",
    _data({"text1": SENTENCES1, "text2": [SENTENCES1[i if i % 2 else (i + 5) % ROWS] for i in _INDEX]}),
    "pair",
    "none",
    "text1 text2",
    meaning="(input_A, input_B) pairs",
    tell="may",
)
_case(
    "a few pairs that are equal",
    _data({"question": QUESTIONS, "answer": _with(ANSWERS, (4, QUESTIONS[4]))}),
    "pair",
    "none",
    "question answer",
    meaning=_PAIRS,
)
_case(
    "repeated rows",
    _data({"anchor": QUESTIONS[:8] * 3, "positive": ANSWERS[:8] * 3}),
    "pair",
    "none",
    "anchor positive",
    meaning=_PAIRS,
)
_case(
    "gaps and empty texts",
    _data({"anchor": _with(QUESTIONS, (2, None), (9, "")), "positive": _with(ANSWERS, (4, " "), (11, None))}),
    "pair",
    "none",
    "anchor positive",
    meaning=_PAIRS,
)
_case(
    "gaps in the labels",
    _data({**_PAIR, "score": _with(_numbers(0, 1), (2, None), (7, float("nan")))}),
    **_NAMED,
    label="similarity",
    label_column="score",
)
_case(
    "nameless triplets",
    _data({"text1": QUESTIONS, "text2": ANSWERS, "text3": WRONG[0]}),
    "triplet",
    "none",
    "text1 text2 text3",
    tell="cannot",
    readings=(("triplet", "none"),),
)
_case(
    "premise, entailment, contradiction",
    _data({"premise": SENTENCES1, "entailment": SENTENCES2, "contradiction": SENTENCES2[3:] + SENTENCES2[:3]}),
    "triplet",
    "none",
    "premise entailment contradiction",
)
_case("German names", _data({"frage": FRAGEN, "antwort": ANTWORTEN}), "pair", "none", "frage antwort")
_case(
    "Japanese names",
    _data({"文1": JAPANESE1, "文2": JAPANESE2, "スコア": _numbers(0, 1)}),
    "pair",
    "similarity",
    "文1 文2",
    "スコア",
    trainer="文1 文2 スコア",
    trainer_label=None,
)
_case(
    "French names",
    _data({"phrase_1": SENTENCES1, "phrase_2": SENTENCES2, "étiquette": _of(0, 1)}),
    "pair",
    "binary",
    "phrase_1 phrase_2",
    "étiquette",
    trainer="phrase_1 phrase_2 étiquette",
    trainer_label=None,
)
_case(
    "one row with a score",
    _data({"sentence1": SENTENCES1[:1], "sentence2": SENTENCES2[:1], "score": [0.8]}),
    **_NAMED,
    label="similarity",
    label_column="score",
)
_case(
    "one row with 1",
    _data({"sentence1": SENTENCES1[:1], "sentence2": SENTENCES2[:1], "label": [1]}),
    **_NAMED,
    label="binary",
    label_column="label",
    tell="may",
)
_case("one row of texts", _data({"question": QUESTIONS[:1], "answer": ANSWERS[:1]}), "pair", "none", "question answer")

# Images.
_case(
    "images with captions",
    lambda: Dataset.from_dict({"image": _images(6), "caption": SENTENCES1[:6]}),
    "pair",
    "none",
    "image caption",
)
_case(
    "images with classes",
    lambda: Dataset.from_dict({"image": _images(6), "label": [0, 1, 2, 0, 1, 2]}).cast_column(
        "label", ClassLabel(names=["cat", "dog", "cow"])
    ),
    "single",
    "class",
    "image",
    "label",
)

# What holds the data.
_SCORED = {**_PAIR, "score": _numbers(0, 1)}
_SCORED_FEATURES = Features({"sentence1": Value("string"), "sentence2": Value("string"), "score": Value("float64")})
_AS_SCORED: dict[str, Any] = {**_NAMED, "label": "similarity", "label_column": "score"}


def _stream(features: Features | None) -> IterableDataset:
    return IterableDataset.from_generator(lambda: iter(Dataset.from_dict(_SCORED)), features=features)


def _frame() -> Any:
    import pandas as pd

    return pd.DataFrame(_SCORED, index=[f"row {3 * i}" for i in _INDEX])


def _resolved(output_format: Literal["columns", "lists"]) -> Dataset:
    from sentence_transformers.util import resolve_ids

    queries = Dataset.from_dict({"id": [f"q{i}" for i in _INDEX], "query": QUESTIONS})
    documents = Dataset.from_dict({"id": list(range(2 * ROWS)), "document": ANSWERS + WRONG[0]})
    ids = {
        "query_id": [f"q{i}" for i in _INDEX],
        "document_ids": [[i, ROWS + i, (i + 1) % ROWS] for i in _INDEX],
        "scores": _teacher(3),
    }
    dataset = Dataset.from_dict(ids)
    lookups = {"query_id": queries, "document_ids": documents}
    dataset.set_transform(resolve_ids(lookups, output_format=output_format))
    return dataset


def _reversed_transform() -> Dataset:
    dataset = Dataset.from_dict({"answer": ANSWERS, "question": QUESTIONS})
    dataset.set_transform(lambda batch: {"question": batch["question"], "answer": batch["answer"]})
    return dataset


_case("a stream with features", lambda: _stream(_SCORED_FEATURES), **_AS_SCORED)
_case("a stream without features", lambda: _stream(None), **_AS_SCORED)
_case(
    "a stream with an id",
    lambda: Dataset.from_dict({"id": [f"x{i}" for i in _INDEX], **_AP}).to_iterable_dataset(num_shards=2),
    "pair",
    "none",
    "anchor positive",
    trainer="id anchor positive",
)
_case("a dict of lists", lambda: dict(_SCORED), **_AS_SCORED)
_case("a list of dicts", lambda: Dataset.from_dict(_SCORED).to_list(), **_AS_SCORED)
_case("a DataFrame with an index", _frame, **_AS_SCORED)
_case("tensors instead of numbers", lambda: Dataset.from_dict(_SCORED).with_format("torch"), **_AS_SCORED)
_case(
    "ids resolved to columns",
    lambda: _resolved("columns"),
    "n-tuple",
    "scores",
    "query document_1 document_2 document_3",
    "scores",
)
_case("ids resolved to lists", lambda: _resolved("lists"), "list", "scores", "query documents", "scores")
_case("a transform that orders columns", _reversed_transform, "pair", "none", "question answer")


def _several() -> dict[str, Dataset]:
    return {"nli": _data(_APN)(), "sts": Dataset.from_dict(_SCORED), "quora": _data({**_PAIR, "label": _of(0, 1)})()}


_case(
    "a DatasetDict, triplets",
    lambda: DatasetDict(_several()),
    "triplet",
    "none",
    "anchor positive negative",
    dataset="nli",
)
_case("a DatasetDict, scores", lambda: DatasetDict(_several()), **_AS_SCORED, dataset="sts")
_case("a dict of datasets, 0 and 1", _several, **_NAMED, label="binary", label_column="label", dataset="quora")


# --- Real files, where they are at hand -------------------------------------------------------------------------------


def real_cases() -> list[Case]:
    """Cases on public data outside the repository: the folder in SELECTIVE_ST_DATA, or ../shared/data.

    Returns:
        A case for each file that is there; none if there is no such folder.
    """
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("SELECTIVE_ST_DATA") or root.parent / "shared" / "data")
    sts = ("pair", "similarity", ("1", "2"), "3", ("1", "2", "3"), None)
    trecqa = ("pair", "binary", ("qtext", "atext"), "label", ("qtext", "atext"), "label")
    found = []
    for part in ("dev", "test"):
        for name, what, scale in (("stsb", sts, (0, 5)), ("trecqa", trecqa, None)):
            path = folder / name / f"{part}.csv"
            if path.is_file():
                make = _reader(path)
                found.append(Case(f"{name} {part}", make, *what, scale=scale))  # type: ignore[arg-type]
    return found


def _reader(path: Path) -> Callable[[], Dataset]:
    return lambda: read_table(str(path))
