"""The report: self-contained, complete, and true to its numbers."""

from __future__ import annotations

import functools
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from selective_st.evaluation import ScoreThreshold, choose_threshold, region_metrics
from selective_st.evaluation.comparison import Comparison, compare, metric_meaning
from selective_st.functional import matching_loss
from selective_st.links import IdentityLink, Link, high_scores, link_for_thresholds, low_scores
from selective_st.plotting import plot_threshold_curves
from selective_st.report import Measured, html_report, summary, worst_pairs

GENERATOR = np.random.default_rng(0)
GOLD = GENERATOR.integers(0, 26, 400) / 25
GOOD = np.clip(GOLD + GENERATOR.normal(0, 0.05, 400), 0, 1)
POOR = np.clip(0.4 + 0.3 * GOLD + GENERATOR.normal(0, 0.1, 400), 0, 1)


@functools.cache
def plain() -> Comparison:
    return made()


def made(**changes: Any) -> Comparison:
    return compare(GOLD, {"good": GOOD, "poor": POOR}, resamples=30, **changes)  # type: ignore[arg-type]


def measured(**changes: Any) -> Measured:
    settings: dict[str, Any] = {
        "data": "pairs.csv",
        "focus": "high",
        "focus_meaning": "gold scores from 0.8 to 1",
        "main_metric": "ap_ge_0.95",
        "metrics": ["ap_ge_0.95", "rmse_0.8_1", "bias_0.8_1", "spearman", "spread"],
        "sources": {"good": "models/good", "poor": "models/poor"},
    }
    return Measured(**settings | changes)


class Page(HTMLParser):
    """Collects what a page refers to, and whether its tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [str(found[name]) for name in ("src", "href", "data", "srcset", "action") if name in found]
        if tag == "img":
            self.images.append(found)
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


class TestCompare:
    def test_metrics_are_those_of_region_metrics(self) -> None:
        found = plain()
        for model, predicted in zip(found.models, (GOOD, POOR), strict=True):
            assert model.metrics == pytest.approx(region_metrics(GOLD, predicted))  # type: ignore[arg-type]
        assert found.differences["spearman"].value == pytest.approx(
            found.models[0].metrics["spearman"] - found.models[1].metrics["spearman"]
        )

    def test_which_is_better(self) -> None:
        found = plain()
        for name in ("ap_ge_0.95", "spearman", "rmse", "rmse_0.8_1", "bias_0.8_1", "spread"):
            assert found.differences[name].better == 0, name
        mirrored = compare(GOLD, {"poor": POOR, "good": GOOD}, resamples=30)  # type: ignore[arg-type]
        assert mirrored.differences["rmse"].better == 1
        assert mirrored.differences["spread"].better == 1

    def test_a_model_is_not_better_than_one_that_differs_by_chance(self) -> None:
        twin = GOLD + np.random.default_rng(2).normal(0, 0.05, 400)
        other = GOLD + np.random.default_rng(3).normal(0, 0.05, 400)
        found = compare(GOLD, {"one": twin, "two": other}, resamples=80)  # type: ignore[arg-type]
        assert found.differences["ap_ge_0.95"].better is None

    def test_intervals_against_the_standard_error(self) -> None:
        low, high = made(regions=()).models[0].intervals["bias"]
        half = 1.96 * np.std(GOOD - GOLD) / np.sqrt(len(GOLD))
        assert (high - low) / 2 == pytest.approx(half, rel=0.45)

    def test_clusters_widen_the_interval(self) -> None:
        gold, predicted = np.repeat(GOLD[:40], 10), np.repeat(POOR[:40], 10)
        widths = []
        for clusters in (None, np.repeat(np.arange(40), 10)):
            found = compare(gold, {"a": predicted}, clusters=clusters, resamples=80)  # type: ignore[arg-type]
            low, high = found.models[0].intervals["bias"]
            widths.append(high - low)
        assert widths[1] / widths[0] == pytest.approx(np.sqrt(10), rel=0.4)

    def test_squeezed(self) -> None:
        found = plain()
        assert [model.squeeze for model in found.models] == ["as wide as gold", "squeezed"]
        assert compare(GOLD, {"a": 2 * GOLD}, resamples=2).models[0].squeeze == "stretched"  # type: ignore[dict-item, arg-type]
        assert compare([0.5] * 5, {"a": [0.1, 0.2, 0.3, 0.4, 0.5]}, resamples=2).models[0].squeeze == "unknown"

    def test_rankings_of_questions(self) -> None:
        groups = np.split(np.arange(400), 40)
        found = made(groups=groups)
        assert found.differences["map"].better == 0
        low, high = found.models[0].intervals["map"]
        assert low <= found.models[0].metrics["map"] <= high

    def test_bins_cover_gold(self) -> None:
        for gold, ends in (([1.0, 3.0, 5.0], (0, 5)), ([-0.5, 0.2, 0.9], (-0.5, 1)), ([0.3, 0.4, 0.5], (0, 1))):
            bins = compare(gold, {"a": gold}, resamples=2).models[0].bins
            assert (bins[0]["low"], bins[-1]["high"]) == ends
            assert sum(row["count"] for row in bins) == 3
        narrow = compare([0.1, 0.9], {"a": [0.1, 0.9]}, bin_range=(0.8, 1.0), resamples=2).models[0].bins
        assert (narrow[0]["low"], sum(row["count"] for row in narrow)) == (0.8, 1)

    def test_one_long_cluster_name_costs_little_memory(self) -> None:
        names = ["x" * 100_000, *(f"question {i // 2}" for i in range(499))]
        gold = np.linspace(0, 1, 500).tolist()
        tracemalloc.start()
        try:
            compare(gold, {"a": gold}, clusters=names, resamples=1)
            assert tracemalloc.get_traced_memory()[1] < 20e6  # 200 MB where each name takes the room of the longest
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("kind", [str, int])
    def test_clusters_are_drawn_in_the_order_of_their_names(self, kind: type[Any]) -> None:
        numbers = 7 * np.arange(len(GOLD)) % 101
        members = np.unique([str(number) for number in numbers], return_inverse=True)[1]
        by_name, by_place = (
            compare(GOLD, {"a": POOR}, clusters=clusters, resamples=5).models[0].intervals  # type: ignore[dict-item, arg-type]
            for clusters in ([kind(number) for number in numbers], [f"{number:03}" for number in members])
        )
        assert by_name == by_place

    def test_refused(self) -> None:
        with pytest.raises(ValueError, match="one or two models, got 3"):
            compare(GOLD, dict.fromkeys("abc", GOLD))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no metric named 'bleu'"):
            metric_meaning("bleu")


class TestReport:
    def test_is_one_well_formed_file_without_anything_from_elsewhere(self, tmp_path: Path) -> None:
        found = plain()
        path = plot_threshold_curves(found.compared_curves, tmp_path / "curves.png")
        html = html_report(found, measured(), {"Loss at each threshold": path})
        page = Page(html)
        assert page.open == []
        assert len(page.images) == 1
        assert page.images[0]["alt"] == "Loss at each threshold"
        assert all(link.startswith("data:image/png;base64,") for link in page.links)
        assert not re.search(r"url\(|@import|<script|http", html)
        assert "$" not in html.replace("$$", "")

    def test_says_what_matters(self) -> None:
        threshold = choose_threshold(GOLD, GOOD, 0.95, chosen_on="dev")  # type: ignore[arg-type]
        found = made(thresholds={"good": threshold})
        notes = {"good": "on dev", "poor": "none was saved with it."}
        html = html_report(found, measured(threshold_notes=notes), {})
        text = " ".join("".join(Page(html).text).split())
        for shown in (
            "good is better at all",
            "good is better. Over all pairs, good orders better:",
            "The scores of poor are squeezed together",
            "Off by 0.1 or more on average, poor scores too high for gold 0 to",
            "and too low for gold",
            "good is nowhere off by more than 0.1 on average.",
            "Typical distance between predicted and gold score, for gold scores from 0.8 to 1.",
            f"at least {threshold.value:.3f} gives precision",
            "poor has no threshold: none was saved with it.",
            "there are no pictures",
            "95 % intervals come from 30 resamples",
        ):
            assert shown in text, shown
        decisions = found.models[0].decisions
        assert decisions is not None
        assert sum(decisions.values()) == len(GOLD)
        assert decisions["found"] + decisions["missed"] == int((GOLD >= 0.95 - 1e-9).sum())

    def test_verdict_picture_table_worst_pairs_and_the_rest_folded(self, tmp_path: Path) -> None:
        found = plain()
        texts = [(f"first {row}", f"second {row}") for row in range(400)]
        path = plot_threshold_curves(found.compared_curves, tmp_path / "curves.png")
        html = html_report(found, measured(texts=texts), {"Loss at each threshold": path})
        places = [
            html.index(part)
            for part in (
                'class="said"',
                "<img",
                "<h2>Results",
                "the worst errors of good",
                "<details>",
                "Are the scores squeezed?",
            )
        ]
        assert places == sorted(places)
        verdict = html[html.index('class="said"') : html.index("<img")]
        said = re.findall(r"<p>(.*?)</p>", verdict)
        assert said[0] == f"{found.compared_curves.sentence()}."
        assert said[1].startswith("Average precision, gold ≥ 0.95: ")
        assert said[1].endswith("good is better.")
        assert len(said) == 2
        after = html[html.index("<h2>More") :]
        assert after.count("<details") == html.count("<details") == 6
        for rule in (
            "prefers-color-scheme: dark",
            "@media print",
            "details::details-content",
            "color-scheme: light dark",
        ):
            assert rule in html

    def test_each_measure_is_explained_on_the_page(self) -> None:
        """By its docstring, under its name in metrics.json: the page needs no other."""
        threshold = choose_threshold(GOLD, GOOD, 0.95)  # type: ignore[arg-type]
        found = made(thresholds={"good": threshold}, groups=np.split(np.arange(400), 40), cuts=[0.7])
        html = html_report(found, measured(), {})
        page = Page(html)
        assert page.open == []
        assert page.links == []
        listed = html[html.index("<dl>") : html.index("</dl>")]
        names = re.findall(r"<code>(.*?)</code>", listed)
        assert {"ap_ge_0.95", "rmse", "loss_at_0.7", "f1_ge_0.95", "ndcg@10", "spread"} <= set(names)
        as_json = found.as_dict()["models"][0]["metrics"]
        assert {*names} == {
            name for name in as_json if metric_meaning(name).better and not name.startswith("negative_")
        }
        for name in names:
            meaning = metric_meaning(name)
            assert f"{meaning.meaning} {meaning.better.capitalize()} is better.".replace("'", "&#39;") in listed

    @pytest.mark.parametrize("link", [IdentityLink(), high_scores(), link_for_thresholds([0.3])], ids=repr)
    def test_the_verdict_on_one_model_is_its_matching_loss(self, link: Link) -> None:
        """Weighted by the link, the areas under the curves are its losses: of the model, and of one score for all."""
        found = compare(GOLD, {"good": POOR}, resamples=5)  # type: ignore[dict-item, arg-type]
        scores, gold = torch.from_numpy(POOR), torch.from_numpy(GOLD)
        ratio = matching_loss(scores, gold, link) / matching_loss(gold.mean().expand_as(gold), gold, link)
        said = summary(found, measured(link=link, sources={"good": "good"}))[0]
        percent = re.search(r"costs (\d+) % (less|more) than with the mean gold score for every pair", said)
        best = compare(GOLD, {"good": GOLD}, resamples=2)  # type: ignore[dict-item, arg-type]
        assert "costs 100 % less than with the mean gold score for every pair." in summary(best, measured(link=link))[0]
        far = compare(GOLD, {"good": GOLD + 5}, resamples=2)  # type: ignore[dict-item, arg-type]
        assert re.search(r"costs \d[\de+.]* times as much as with the mean gold", summary(far, measured(link=link))[0])
        assert percent is not None, said
        change = float(percent[1]) * (1 if percent[2] == "more" else -1)
        assert change == pytest.approx(100 * float(ratio - 1), abs=1.5)
        worst = found.compared_curves.thresholds[found.compared_curves.losses[0].argmax()]
        assert said.endswith(f"most at the threshold {worst:.2g}.")

    def test_the_worst_pairs_by_the_link(self) -> None:
        gold = [0.9, 0.9, 0.1, 0.1, 0.5, 0.5]
        predicted = [0.6, 0.8, 0.4, 0.2, 0.5, 0.6]
        texts = [(f"a{row}", f"b{row}") for row in range(6)]
        found = compare(gold, {"one": predicted, "other": gold}, resamples=2)
        rows = {link: worst_pairs(found, measured(texts=texts, link=link)) for link in (high_scores(), low_scores())}
        high = rows[high_scores()]
        assert [pair.first for pair in high["scored too low"]] == ["a0", "a1"]
        # exp(5 s) phi(5 d): 3.27 for 0.3 above 0.1, 1.81 for 0.1 above 0.5, 0.25 for 0.1 above 0.1.
        assert [pair.first for pair in high["scored too high"]] == ["a2", "a5", "a3"]
        assert [pair.first for pair in rows[low_scores()]["scored too high"]] == ["a2", "a3", "a5"]
        first = high["scored too low"][0]
        assert (first.second, first.gold, first.scores) == ("b0", 0.9, (0.6, 0.9))
        assert worst_pairs(found, measured()) == {}

    def test_the_worst_pairs_at_thresholds_are_wrong_decisions(self) -> None:
        gold = [0.9, 0.9, 0.1, 0.1, 0.69, 0.2]
        predicted = [0.6, 0.75, 0.4, 0.95, 0.72, 0.1]
        texts = [(f"a{row}", "b" * 1000) for row in range(6)]
        found = compare(gold, {"one": predicted}, resamples=2)
        rows = worst_pairs(found, measured(texts=texts, thresholds=[0.7], sources={"one": "one"}))
        assert [pair.first for pair in rows["scored too high"]] == ["a3", "a4"]
        assert [pair.first for pair in rows["scored too low"]] == ["a0"]
        html = html_report(found, measured(texts=texts, thresholds=[0.7], sources={"one": "one"}), {})
        assert "b" * 301 not in html
        assert html.index("a3</span>") < html.index("a4</span>") < html.index("a0</span>")

    def test_texts_are_escaped(self) -> None:
        texts = [("<script>alert(1)</script>", "a & b")] * 400
        html = html_report(plain(), measured(texts=texts), {})
        assert "<script" not in html
        assert "a &amp; b" in html
        assert Page(html).open == []

    def test_says_what_labels_of_right_and_wrong_mean(self) -> None:
        labels = np.tile([1.0, 0.0, 0.0, 0.0], 10)
        groups = np.split(np.arange(40), 10)
        best, worst = 0.2 + 0.5 * labels, 0.5 - 0.2 * labels
        found = compare(labels, {"best": best, "worst": worst}, groups=groups, resamples=20)  # type: ignore[arg-type]
        text = " ".join("".join(Page(html_report(found, measured(), {})).text).split())
        for shown in (
            "has a label, the gold score: 1 where its texts belong together (10 pairs), else 0.",
            "best scores too high for the label 0 (on average +0.20, 30 pairs) and too low for the label 1",
            "The scores of best better rank the candidates of a text: MAP 1.00 against 0.25, from 10 questions",
        ):
            assert shown in text, shown

    def test_names_are_escaped(self) -> None:
        name = "<b>&'\"$x"
        found = compare(GOLD, {name: GOOD}, resamples=5)  # type: ignore[dict-item, arg-type]
        html = html_report(found, measured(sources={name: name}, data="<i>", notes=["a < b"]), {})
        assert name not in html
        assert "<i>" not in html
        page = Page(html)
        assert page.open == []
        assert name in "".join(page.text)

    def test_one_model_few_pairs_and_what_is_not_defined(self) -> None:
        found = compare([0.1, 0.2, 0.3, 0.9], {"a": [0.1, 0.2, 0.3, 0.4]}, resamples=5)
        html = html_report(found, measured(sources={"a": "a"}), {})
        text = " ".join("".join(Page(html).text).split())
        assert "only 4 pairs: too few" in text
        assert "not defined" in text
        assert "nan" not in text.lower()
        assert not any("against" in sentence for sentence in summary(found, measured()))

    def test_where_gold_lies_beyond_0_and_1(self) -> None:
        gold = [1.0, 2.0, 3.0, 4.0, 5.0]
        found = compare(gold, {"a": [score - 1.5 for score in gold]}, resamples=2)
        sentences = " ".join(summary(found, measured(sources={"a": "a"})))
        assert "Off by 0.5 or more on average, a scores too low for gold 1 to 5" in sentences
        assert "nowhere off" not in sentences

    @pytest.mark.parametrize(
        ("bin_range", "sentence"),
        [
            ((2.0, 3.0), "No pair has gold 2 to 3, so where a errs there cannot be said."),
            ((0.8, 1.0), "For gold 0.8 to 1, a is nowhere off by more than 0.02 on average (2 pairs: too few"),
            ((0.0, 0.5), "For gold 0 to 0.5, off by 0.05 or more on average, a scores too high for gold 0.1 to 0.15"),
        ],
    )
    def test_bins_that_do_not_hold_every_pair(self, bin_range: tuple[float, float], sentence: str) -> None:
        found = compare([0.1, 0.9, 1.0], {"a": [0.9, 0.9, 1.0]}, bin_range=bin_range, resamples=2)
        assert sentence in " ".join(summary(found, measured(sources={"a": "a"})))

    def test_low_scores_sought(self) -> None:
        threshold = ScoreThreshold(0.2, 0.05, "at_most")
        found = made(at_least=(), at_most=(0.05,), thresholds={"good": threshold})
        settings = measured(main_metric="ap_le_0.05", metrics=["ap_le_0.05"])
        text = "".join(Page(html_report(found, settings, {})).text)
        assert "when good scores it at most 0.200 gives precision" in text
