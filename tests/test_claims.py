"""What may be said of numbers: digits, intervals, who is better, and what one set of pairs holds of another."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from selective_st import _templates
from selective_st.evaluation.claims import (
    Support,
    about_labels,
    against_untrained,
    figure,
    figures,
    interval,
    verdict,
)
from selective_st.evaluation.comparison import Comparison, compare, resamples_for
from selective_st.evaluation.diagnosis import Overlap, overlap
from selective_st.report import Measured, html_report, summary, table, tabled

NAMES = ["ap_ge_0.95", "rmse_0.8_1", "spearman", "spread"]


def measured(names: list[str] = NAMES, main: str = "ap_ge_0.95") -> Measured:
    sources = {"one": "models/one", "two": "models/two"}
    return Measured("pairs.csv", "high", "gold scores from 0.8 to 1", main, names, sources=sources)


def compared(gold: Any, one: Any, two: Any, **settings: Any) -> Comparison:
    return compare(list(gold), {"one": list(one), "two": list(two)}, resamples=60, **settings)


class TestFigures:
    @pytest.mark.parametrize(
        ("value", "support", "expected"),
        [
            (0.83471, Support(1, 1), "0.8 (too few)"),
            (0.83471, Support(9, 400), "0.8 (too few)"),
            (0.83471, Support(10, 400), "0.83"),
            (0.83471, Support(17, 17), "0.83"),
            (0.83471, Support(99, 400), "0.83"),
            (0.83471, Support(100, 400), "0.835"),
            (0.83471, Support(400, 400, texts=20), "0.83"),  # pairs of one text hang together
            (0.83471, Support(400, 400, texts=3), "0.8 (too few)"),
            (1.0, Support(0, 1), "not defined"),  # every pair is sought: 1 for every model
            (math.nan, Support(400, 400), "not defined"),
            (math.inf, None, "not defined"),
            (-0.25, None, "-0.250"),
        ],
    )
    def test_digits_follow_the_cases(self, value: float, support: Support | None, expected: str) -> None:
        assert figure(value, support) == expected

    def test_counts_stand_beside(self) -> None:
        assert str(Support(17, 400)) == "17 of 400 pairs"
        assert str(Support(400, 400)) == "400 pairs"
        assert str(Support(1, 1)) == "1 pair"
        assert str(Support(24, 24, "questions")) == "24 questions"
        assert str(Support(1200, 2400, texts=3)) == "1,200 of 2,400 pairs with 3 first texts"

    def test_no_interval_of_fewer_than_ten(self) -> None:
        draws = np.linspace(0, 1, 300)
        assert interval(draws, Support(9, 100)) is None
        assert interval(draws, Support(100, 100, texts=9)) is None
        assert figures((0.1, 0.9), Support(9, 100)) == ""
        assert figures((0.1, 0.9), Support(17, 100)) == "0.10 to 0.90"

    def test_intervals_of_few_are_wider(self) -> None:
        draws = np.random.default_rng(0).normal(size=20_000)
        widths = [np.ptp(interval(draws, Support(cases, cases)) or 0) for cases in (10, 30, 1000)]
        # Student's t instead of 1.96, and the variance of so few.
        assert widths[0] / 2 == pytest.approx(2.262 * math.sqrt(10 / 9), rel=0.08)
        assert widths[1] / 2 == pytest.approx(2.045 * math.sqrt(30 / 29), rel=0.05)
        assert widths[2] / 2 == pytest.approx(1.96, rel=0.03)

    def test_an_interval_holds_what_it_should(self) -> None:
        """Of means of twelve: plain percentiles hold it in 90 of 100, these in about 95."""
        generator, held = np.random.default_rng(0), 0
        for _ in range(400):
            data = generator.normal(size=12)
            draws = data[generator.integers(12, size=(300, 12))].mean(axis=1)
            low, high = interval(draws, Support(12, 12)) or (0.0, 0.0)
            held += low <= 0 <= high
        assert held / 400 == pytest.approx(0.95, abs=0.025)


class TestFewCases:
    @pytest.mark.parametrize("gold", [[1.0], [0.97, 1.0, 0.96], [0.5] * 30, [0.0]])
    def test_nothing_is_claimed_of_finding_where_there_is_one_kind(self, gold: list[float]) -> None:
        found = compared(gold, np.linspace(0.1, 0.9, len(gold)), np.linspace(0.8, 0.2, len(gold)))
        text = html_report(found, measured(), {}) + " ".join(summary(found, measured()))
        assert "1.000" not in text
        assert found.models[0].intervals.get("ap_ge_0.95") is None
        assert found.differences["ap_ge_0.95"].better is None
        row = next(row for row in table(found, NAMES) if row.title.startswith("Average precision"))
        assert [value.text for value in row.values] == ["not defined", "not defined"]
        assert row.support == f"0 of {len(gold)} pair{'s' if len(gold) > 1 else ''}"
        as_json = json.loads(json.dumps(found.as_dict(), allow_nan=False))
        assert as_json["models"][0]["metrics"]["ap_ge_0.95"] is None
        assert as_json["support"]["ap_ge_0.95"]["too_few"]

    def test_of_nine_positives_and_of_ten(self) -> None:
        for positives, few in ((9, True), (10, False)):
            gold = np.repeat([1.0, 0.2], [positives, 60])
            better, worse = gold - 0.1, np.linspace(0, 1, len(gold)) * (np.arange(len(gold)) % 3)
            found = compared(gold, better, worse)
            assert found.support["ap_ge_0.95"].too_few is few
            assert ("ap_ge_0.95" in found.models[1].intervals) is not few
            assert (found.differences["ap_ge_0.95"].better == 0) is not few
            sentence = next(s for s in summary(found, measured()) if s.startswith("Average precision"))
            assert ("too few" in sentence) is few
            assert f"from {positives} of {positives + 60} pairs" in sentence

    def test_seventeen_positives_have_two_digits(self) -> None:
        gold = np.repeat([1.0, 0.3], [17, 300])
        scores = gold + np.random.default_rng(0).normal(0, 0.5, 317)
        found = compared(gold, scores, scores[::-1])
        row = table(found, ["ap_ge_0.95"])[0]
        assert [len(value.text) for value in row.values] == [4, 4]
        assert row.support == "17 of 317 pairs"

    def test_positives_of_few_questions(self) -> None:
        gold = np.tile([1.0, 0.0, 0.0], 60)
        found = compared(gold, gold - 0.2, 1 - gold, clusters=[f"question {i // 60}" for i in range(180)])
        assert str(found.support["ap_ge_0.95"]) == "60 of 180 pairs with 3 first texts"
        assert found.support["ap_ge_0.95"].too_few
        assert not any(model.intervals for model in found.models)
        assert all(difference.better is None for difference in found.differences.values())

    def test_resamples_that_are_all_alike_give_no_interval(self) -> None:
        gold = np.repeat([1.0, 0.0], 12)
        found = compared(gold, gold, gold - 0.5)
        assert found.models[0].metrics["ap_ge_0.95"] == 1
        assert "ap_ge_0.95" not in found.models[0].intervals
        assert found.differences["rmse"].better == 0  # yet the same in each resample is told
        assert found.is_binary
        assert [resamples_for(pairs) for pairs in (1, 10_000, 20_000, 10**9)] == [300, 300, 150, 100]  # the affordable

    def test_what_labels_alone_forbid(self) -> None:
        assert about_labels("test.csv", [0.5, 0.5]) == [
            "every label of test.csv is 0.5 (2 pairs): nothing can be said of the order of its scores, nor of finding "
            "pairs, only how far the scores lie from that label"
        ]
        assert about_labels("a", [1, 1, 1])[0].startswith("every label of a is 1 (3 pairs)")
        assert about_labels("a", [0, 1, 1]) == ["a has only 3 pairs: too few to conclude from"]
        assert about_labels("a", [0, 1] * 5) == []


GENERATOR = np.random.default_rng(0)
GOLD = GENERATOR.integers(0, 26, 400) / 25
NOISE = GENERATOR.normal(0, 0.05, 400)


class TestHeadline:
    def headline(self, found: Comparison, names: list[str] = NAMES) -> str:
        text = summary(found, measured(names))[2]  # after what the curves and the main metric say
        said = verdict(found, tabled(found, measured(names)))
        rows = table(found, names)
        # It is made from the table: what is counted there is what is said.
        for place, name in enumerate(("one", "two")):
            assert len(said.better[place]) == sum(row.verdict == name for row in rows)
        assert len(said.undecided) == sum(row.verdict == "no clear difference" for row in rows)
        assert len(said.too_few) == sum(row.verdict == "too few" for row in rows)
        return text

    def test_one_way(self) -> None:
        noisy = GOLD + 8 * NOISE
        assert self.headline(compared(GOLD, GOLD + NOISE, noisy)).endswith("all one way: one is better.")
        assert self.headline(compared(GOLD, noisy, GOLD + NOISE)).endswith("all one way: two is better.")

    def test_both_ways(self) -> None:
        squeezed = 0.2 + 0.3 * GOLD + 0.1 * NOISE  # a perfect order, on another scale
        text = self.headline(compared(GOLD, squeezed, GOLD + 3 * NOISE))
        assert text.startswith("Of 4 measures 4 differ clearly, both ways: one is better in 2 (average precision, gold")
        assert "two in 2 (error, gold 0.8 to 1; spread of the scores)." in text

    def test_none(self) -> None:
        twin, other = GOLD + NOISE, GOLD + np.random.default_rng(8).normal(0, 0.05, 400)
        text = self.headline(compared(GOLD, twin, other))
        assert text == "Of 4 measures none differs clearly: there is no clear difference between one and two."

    def test_equal(self) -> None:
        text = self.headline(compared(GOLD, GOLD + NOISE, GOLD + NOISE))
        assert text == "One and two are equal: they give the same scores."

    def test_too_few(self) -> None:
        text = self.headline(compared(GOLD[:8], GOLD[:8] + NOISE[:8], GOLD[8:16]), ["spearman", "rmse"])
        assert text == "There are too few cases to tell one and two apart."

    @pytest.mark.parametrize("positives", [5, 28])
    def test_one_metric_with_few_positives_does_not_decide_against_the_rest(self, positives: int) -> None:
        generator = np.random.default_rng(positives)
        gold = np.concatenate([np.ones(positives), np.full(30, 0.85), generator.uniform(0, 0.8, 370)])
        # What the main metric looks for is found alike: the positives and the hardest others have the same scores.
        top = generator.uniform(0.9, 1.2, positives + 30)
        one, two = (
            np.concatenate([top, np.clip(gold[positives + 30 :] + generator.normal(0, noise, 370), 0, 0.89)])
            for noise in (0.05, 0.4)
        )
        names = ["ap_ge_0.95", "rmse", "spearman", "pearson"]
        found = compared(gold, one, two)
        assert found.differences["ap_ge_0.95"].better is None
        text = self.headline(found, names)
        assert text.endswith("3 differ clearly, all one way: one is better.")
        assert text.startswith("Of 4 measures" if positives == 28 else "Of 3 measures (1 more rests on too few cases)")

    def test_few_that_may_differ_by_chance_are_named(self) -> None:
        generator = np.random.default_rng(0)
        noise = generator.normal(0, 0.1, 400)
        bent = GOLD + noise + np.where(GOLD < 0.3, 0.12, 0.0)
        names = ["ap_ge_0.95", "ap_ge_0.8", "rmse_0.8_1", "bias_0.8_1", "rmse"]
        text = self.headline(compared(GOLD, GOLD + noise, bent), names)
        assert text == (
            "Of 5 measures 1 differs clearly, all one way: one is better in error, and there is no clear difference in "
            "the others."
        )

    @pytest.mark.parametrize("seed", range(6))
    def test_never_contradicts_the_table(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        gold = generator.random(60) ** generator.uniform(0.3, 3)
        one, two = (
            generator.uniform(0.3, 1.5) * gold + generator.normal(0, generator.uniform(0.02, 0.5), 60) for _ in range(2)
        )
        found = compared(gold, one, two)
        names = ["ap_ge_0.8", "rmse_0.8_1", "bias_0.8_1", "spearman", "rmse", "bias", "spread"]
        text = self.headline(found, names)
        verdicts = {row.verdict for row in table(found, names)}
        assert ("both ways" in text) == ({"one", "two"} <= verdicts)
        assert ("all one way: one is better" in text) == ("one" in verdicts and "two" not in verdicts)
        assert ("all one way: two is better" in text) == ("two" in verdicts and "one" not in verdicts)


class TestUntrained:
    def judged(self, saved: Any, untrained: Any, gold: Any = GOLD) -> dict[str, Any]:
        found = compare(list(gold), {"saved": list(saved), "untrained": list(untrained)}, resamples=60)
        return against_untrained(found, ["ap_ge_0.95", "rmse_0.8_1", "spearman"])

    def test_better(self) -> None:
        found = self.judged(GOLD + NOISE, GOLD + 8 * NOISE)
        assert found["verdict"] == "better"
        assert "is better than the untrained one" in found["sentence"]
        assert found["worse"] == found["worse_by_value_alone"] == []
        assert "WORSE" not in found["sentence"]

    def test_worse(self) -> None:
        found = self.judged(1 - GOLD + NOISE, GOLD + 5 * NOISE)
        assert found["verdict"] == "worse"
        assert found["worse"] == ["Average precision, gold ≥ 0.95", "Error, gold 0.8 to 1", "Rank correlation"]
        assert found["better"] == []
        assert "WORSE than the untrained one in average precision" in found["sentence"]
        assert "rank correlation: -0.98" in found["sentence"]
        assert found["sentence"].endswith("Do not use it as it is.")

    def test_mixed(self) -> None:
        found = self.judged(0.2 + 0.3 * GOLD, GOLD + 5 * NOISE)
        assert found["verdict"] == "mixed"
        assert "but WORSE in error, gold 0.8 to 1" in found["sentence"]

    def test_equal(self) -> None:
        found = self.judged(GOLD + NOISE, GOLD + NOISE + 1e-5)
        assert found["verdict"] == "equal"
        assert found["sentence"].startswith("The saved model is EQUAL to the untrained one")
        assert found["worse_by_value_alone"] == []

    def test_no_clear_difference_but_worse_in_value(self) -> None:
        generator = np.random.default_rng(3)
        gold = generator.random(30)
        untrained = gold + generator.normal(0, 0.3, 30)
        saved = untrained + generator.normal(0, 0.1, 30)
        found = self.judged(saved, untrained, gold)
        assert found["verdict"] == "no clear difference"
        assert "NOT clearly better" in found["sentence"]
        assert found["worse_by_value_alone"]
        assert "by these values alone it is WORSE in" in found["sentence"]

    def test_too_few(self) -> None:
        found = self.judged([0.9, 0.5, 0.1], [0.1, 0.5, 0.9], [0.0, 0.5, 1.0])
        assert found["verdict"] == "too few"
        assert "better than the untrained one: the test split has too few cases" in found["sentence"]
        assert "by these values alone it is WORSE in" in found["sentence"]
        assert "Rank correlation" in found["worse_by_value_alone"]


class TestOverlap:
    def test_pairs_also_mirrored_and_texts(self) -> None:
        known = ["a cat", "a dog", "a car"], ["a bird", "a fox", "a bus"]
        these = ["a cat", "a fox", "a cat", "a tax", "a bus"], ["a bird", "a dog", "new", "newer", "a bus"]
        assert overlap(these, known) == Overlap(5, 2, 4)

    @pytest.mark.parametrize("other", ["A CAT", " a  cat ", "a\tcat\n", "A Cat"])
    def test_case_and_spacing_do_not_matter(self, other: str) -> None:
        assert overlap(([other], ["b"]), (["a cat"], ["B"])) == Overlap(1, 1, 1)

    def test_repeated_rows_count_each(self) -> None:
        assert overlap((["a"] * 3, ["b"] * 3), (["b"], ["a"])) == Overlap(3, 3, 3)
        assert overlap((["a", "c"], ["b", "d"]), (["x"], ["y"])) == Overlap(2, 0, 0)

    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            (Overlap(100, 0, 0), "no row of A (100) shares a text with B"),
            (Overlap(100, 0, 48), "no row of A is a pair of B too, but 48 of 100 rows (48 %) share a text with it"),
            (
                Overlap(200, 24, 96),
                "24 of 200 rows (12 %) of A are pairs of B too, and 96 of 200 rows (48 %) share a text with it",
            ),
            (Overlap(1000, 1, 1), "1 of 1,000 rows (under 1 %) of A are pairs of B too, and"),
            (Overlap(7, 7, 7), "every row of A (7) is a pair of B too"),
        ],
    )
    def test_is_said_with_its_count(self, found: Overlap, expected: str) -> None:
        assert found.sentence("A", "B").startswith(expected)
        told = found.as_dict()
        assert (told["share_of_pairs"], told["share_of_texts"]) == (found.pairs / found.rows, found.texts / found.rows)

    def test_refused(self) -> None:
        with pytest.raises(ValueError, match="longer"):
            overlap((["a"], ["b"]), (["a"], ["b", "c"]))


def test_a_template_that_was_used_knows_what_is_registered_later() -> None:
    """A module of words may be imported after sentences were said: `describe_link` after `compare_curves`."""
    about_labels("the test split", [1.0])
    used = _templates.template("sentences.txt")
    assert _templates.template("sentences.txt") is used
    _templates.in_templates(figure)
    assert _templates.template("sentences.txt") is not used
    assert about_labels("the test split", [1.0])
