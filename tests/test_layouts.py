"""What a split sets aside: the asked share of the rows, texts apart where the data allow it, and what it says."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from datasets import Dataset

from selective_st.demo import graded_pairs
from selective_st.errors import DataError
from selective_st.layouts import PAIR_COLUMNS, GradedPairs

Row = tuple[str, str, float]


def pairs_of(rows: Sequence[Row]) -> GradedPairs:
    columns = dict(zip(PAIR_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    return GradedPairs(Dataset.from_dict(columns), "pairs.csv")


def rows_of(pairs: GradedPairs) -> list[Row]:
    return list(zip(pairs.sentences1, pairs.sentences2, pairs.scores, strict=True))


def texts_of(pairs: GradedPairs) -> set[str]:
    return {*pairs.sentences1, *pairs.sentences2}


def shared_rows(rest: GradedPairs, part: GradedPairs) -> int:
    return sum(bool({first, second} & texts_of(rest)) for first, second, _ in rows_of(part))


def clusters(sizes: Sequence[int]) -> list[Row]:
    """Rows that hang together in chains of these lengths."""
    return [(f"{name}-{k}", f"{name}-{k + 1}", k / 100) for name, size in enumerate(sizes) for k in range(size)]


def random_graph(rows: int, texts: int, seed: int = 0) -> list[Row]:
    generator = random.Random(seed)
    return [(f"t{generator.randrange(texts)}", f"u{generator.randrange(texts)}", i / rows) for i in range(rows)]


# Where texts can be kept apart: pairs of their own, few shared ones, questions with answers, chains, mirrored pairs.
APART: dict[str, list[Row]] = {
    "unique": [(f"a{i}", f"b{i}", i / 200) for i in range(200)],
    "demo": graded_pairs(400, seed=4),
    "questions": [(f"q{i // 5}", f"answer {i}", float(i % 5 == 0)) for i in range(300)],
    "chains": clusters([3, 1, 7, 2, 5] * 20),
    "one large cluster": clusters([90, *[1, 2, 3] * 50]),
    "mirrored": [row for i in range(120) for row in ((f"a{i}", f"b{i}", 0.5), (f"b{i}", f"a{i}", 0.5))],
    "repeated": [(f"a{i % 100}", f"b{i % 100}", (i % 7) / 7) for i in range(300)],
}


@pytest.mark.parametrize("name", APART)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_no_text_on_both_sides_and_the_asked_share_of_rows(name: str, seed: int, fraction: float) -> None:
    rows = APART[name]
    rest, part = pairs_of(rows).split("test", fraction, seed)
    assert not texts_of(rest) & texts_of(part)
    assert sorted(rows_of(rest) + rows_of(part)) == sorted(rows)
    assert len(part) == pytest.approx(fraction * len(rows), abs=3)
    assert rest.notes[-1] == (
        f"{len(part)} of {len(rows)} rows of pairs.csv set aside at random as the test split (seed {seed}); none of "
        "their texts is in the rest"
    )
    assert part.name == "test split of pairs.csv"


# Where they cannot: nearly all rows hang together.
TANGLED: dict[str, tuple[list[Row], str]] = {
    "random": (random_graph(1000, 300), "rows with the same first text, and equal and mirrored pairs, are kept"),
    "one answer to all": ([(f"q{i // 4}", "no" if i % 4 == 0 else f"a{i}", 0.5) for i in range(400)], "rows with"),
    "a ring": ([(f"t{i}", f"t{(i + 1) % 50}", 0.5) for i in range(50)], "rows with the same first text, and equal"),
    "a mirrored ring": (
        [row for i in range(50) for row in ((f"t{i}", f"t{(i + 1) % 50}", 0.5), (f"t{(i + 1) % 50}", f"t{i}", 0.5))],
        "; equal and mirrored pairs are kept together",
    ),
    "all pairs of a few": ([(f"t{i}", f"t{k}", 0.5) for i in range(12) for k in range(12) if i != k], "; equal and"),
    "three questions": ([(f"q{i % 3}", f"a{i}", 0.5) for i in range(60)], "; equal and mirrored pairs are kept"),
}


@pytest.mark.parametrize("name", TANGLED)
@pytest.mark.slow
def test_what_cannot_be_kept_apart_is_said_with_its_share(name: str) -> None:
    rows, kept = TANGLED[name]
    rest, part = pairs_of(rows).split("test", 0.1)
    assert len(part) == pytest.approx(0.1 * len(rows), abs=5)
    unordered = [{frozenset(row[:2]) for row in rows_of(side)} for side in (rest, part)]
    assert not unordered[0] & unordered[1]
    if "first text" in kept:
        assert not set(rest.sentences1) & set(part.sentences1)
    shared = shared_rows(rest, part)
    assert shared > 0
    assert kept in rest.notes[-1]
    assert rest.notes[-1].endswith(f"{shared} of the rows set aside ({shared / len(part):.0%}) hold a text of the rest")


@pytest.mark.parametrize("rows", [APART["one large cluster"], clusters([40, 30, *[1] * 80]), random_graph(300, 900)])
def test_a_share_of_the_rows_not_of_the_clusters(rows: list[Row]) -> None:
    for seed in range(5):
        rest, part = pairs_of(rows).split("test", 0.1, seed, by="either")
        assert not texts_of(rest) & texts_of(part)
        assert len(part) == pytest.approx(0.1 * len(rows), abs=3)
        assert "(seed" in rest.notes[-1]


def test_a_cluster_is_never_cut() -> None:
    rest, part = pairs_of(clusters([20, 30, 50])).split("test", 0.1, by="either")
    assert (len(rest), len(part)) == (80, 20)  # the smallest there is


def test_the_same_rows_for_a_seed_and_others_for_another() -> None:
    pairs = pairs_of(APART["demo"])
    parts = [rows_of(pairs.split("test", 0.1, seed)[1]) for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize("rows", [[("a", "b", 1.0)], [("a", "b", 1.0), ("b", "a", 0.5), ("a", "b", 0.0)]])
def test_too_few_that_differ(rows: list[Row]) -> None:
    with pytest.raises(DataError, match=r"has 1 row\(s\) that differ, too few to set some aside as the test split"):
        pairs_of(rows).split("test", 0.1)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("query", "document"), True),
        (("question", "answer"), True),
        (("search_query", "product_title"), True),
        (("query", "title"), True),
        (("question1", "question2"), False),
        (("sentence1", "sentence2"), False),
        (("text_a", "text_b"), False),
        (("question", "paraphrase"), False),
        (("anchor", "positive"), None),
        (("premise", "hypothesis"), None),
        (("left", "right"), None),
        (None, None),
    ],
)
def test_names_that_say_that_the_first_texts_are_queries(
    columns: tuple[str, str] | None, expected: bool | None
) -> None:
    dataset = Dataset.from_dict({"sentence1": ["a"], "sentence2": ["b"], "score": [1.0]})
    assert GradedPairs(dataset, "a pair", columns=columns).first_are_queries() is expected
