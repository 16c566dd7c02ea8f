"""What --focus means."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch
from torch.testing import assert_close

from selective_st.focus import parse_focus, read_focus, threshold_focus
from selective_st.functional import listwise_label_loss
from selective_st.link_words import describe_thresholds
from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    IdentityLink,
    Interval,
    Link,
    SigmoidLink,
    extreme_scores,
    high_scores,
    link_for_thresholds,
    low_scores,
    middle_scores,
    score_region,
)


def test_names() -> None:
    assert parse_focus("high").link == high_scores()
    assert parse_focus("high").shown_metrics == ["ap_ge_0.95", "ap_ge_0.8", "rmse_0.8_1", "spearman"]
    assert parse_focus("low").link == low_scores()
    assert parse_focus("low").shown_metrics == ["ap_le_0.05", "ap_le_0.2", "rmse_0_0.2", "spearman"]
    assert parse_focus("extremes").link == extreme_scores()
    assert parse_focus("extremes").regions == ((0.8, 1.0), (0.0, 0.2))
    assert parse_focus(" middle ").link == middle_scores()
    assert parse_focus("high").greater_is_better
    assert not parse_focus("middle").greater_is_better


def test_a_region() -> None:
    focus = parse_focus("0.6:0.8")
    assert focus.link == score_region(0.6, 0.8)
    assert focus.regions == ((0.6, 0.8),)
    assert focus.main_metric == "rmse_0.6_0.8"
    assert parse_focus("0:0.3").at_most == (0.3,)


def test_a_links_json() -> None:
    focus = parse_focus(json.dumps(SigmoidLink(20, 0.7).get_config_dict()))
    assert focus.link == SigmoidLink(20, 0.7)
    # Where the sensitivity is half its largest: 0.7 +- 1.76 / 20.
    assert focus.regions == ((0.62, 0.78),)


class TestThresholds:
    @pytest.mark.parametrize("thresholds", [[0.85], [0.7, 0.9], [0.9, 0.3, 0.5]])
    def test_the_link_and_the_metrics(self, thresholds: list[float]) -> None:
        focus = threshold_focus(thresholds)
        assert focus.link == link_for_thresholds(thresholds)
        assert focus.thresholds == focus.cuts == tuple(thresholds)
        assert focus.decides_for == thresholds[0]  # a cut is stored for the first one
        assert (focus.main_metric, focus.greater_is_better) == (f"loss_at_{thresholds[0]:g}", False)
        assert focus.shown_metrics[0] == focus.main_metric
        assert focus.shown_metrics[-1] == "spearman"
        assert {f"{kind}_{at:g}" for at in thresholds for kind in ("loss_at", "f1_at", "ap_ge")} <= {
            *focus.shown_metrics
        }
        assert focus.meaning == f"decisions at {' and '.join(f'{at:g}' for at in thresholds)}"

    @pytest.mark.parametrize("thresholds", [[0.85], [0.4, 0.8]])
    def test_the_order_loss_weighs_the_pairs_on_both_sides(self, thresholds: list[float]) -> None:
        focus = threshold_focus(thresholds)
        assert (focus.by_order().main_metric, focus.by_order().greater_is_better) == (f"ap_ge_{thresholds[0]:g}", True)

        def rise(low: float, high: float) -> float:
            return float(focus.weight_link(torch.tensor(high)) - focus.weight_link(torch.tensor(low)))

        for at in thresholds:
            assert rise(at - 0.1, at + 0.1) > 0.7
        assert rise(0.0, 0.1) < 0.01 < 0.03 < rise(0.05, 0.95)
        assert rise(0.0, 1.0) == pytest.approx(len(thresholds), abs=0.06)
        assert parse_focus("middle").weight_link == middle_scores()
        assert parse_focus("middle").by_order() == parse_focus("middle")

    @pytest.mark.parametrize("thresholds", [[0.85], [0.2, 0.6]])
    def test_lists_and_batches_have_it_by_value(self, thresholds: list[float]) -> None:
        link = threshold_focus(thresholds).value_link
        assert link is not None
        scores = torch.linspace(-1, 1, 201, dtype=torch.float64)
        assert (link(scores) >= -1e-12).all()
        ratio = link.sensitivity(scores) / link_for_thresholds(thresholds).sensitivity(scores)
        assert_close(ratio, ratio[:1].expand_as(ratio))
        assert (link.potential(torch.tensor(1.0)) - link.potential(torch.tensor(0.0))) == pytest.approx(1)

    def test_one_of_both_options(self) -> None:
        assert read_focus(None, None) is None
        assert read_focus(None, []) is None
        assert read_focus("low", None) == parse_focus("low")
        assert read_focus(None, [0.85, 0.85]) == threshold_focus([0.85])
        with pytest.raises(ValueError, match=r"--threshold 0.85 and --focus high both say"):
            read_focus("high", [0.85])

    @pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.2, 0.0, 1.0, 4.25])
    def test_refused(self, wrong: float) -> None:
        with pytest.raises(ValueError, match=rf"^--threshold {wrong:g}: a threshold lies between 0 and 1, .* 0.85"):
            read_focus(None, [0.5, wrong])

    @pytest.mark.parametrize(
        ("link", "expected"),
        [
            (high_scores(), "50 % of its weight is on thresholds above 0.86"),
            (low_scores(), "50 % of its weight is on thresholds below 0.14"),
            (extreme_scores(), "50 % of its weight is on thresholds below 0.07 and above 0.93"),
            (middle_scores(), "50 % of its weight is on thresholds from 0.39 to 0.61"),
            (score_region(0.7, 0.9), "55 % of its weight is on thresholds from 0.7 to 0.9"),
            (IdentityLink(), "all thresholds weigh alike"),
            (ConstantLink(), "all thresholds weigh alike"),
        ],
        ids=repr,
    )
    def test_links_by_the_thresholds_that_they_stand_for(self, link: Link, expected: str) -> None:
        assert describe_thresholds(link) == expected
        if "%" not in expected:
            return
        # The share is that of the sensitivity there.
        ends = [float(part) for part in re.findall(r"\d\.\d+", expected)]
        ends = [0.0, *ends] if "below" in expected else ends
        ends = [*ends, 1.0] if "above" in expected else ends
        inside = sum(
            float(link(torch.tensor(high)) - link(torch.tensor(low)))
            for low, high in zip(ends[::2], ends[1::2], strict=True)
        )
        whole = float(link(torch.tensor(1.0)) - link(torch.tensor(0.0)))
        assert 100 * inside / whole == pytest.approx(float(expected.split()[0]), abs=4)

    def test_thresholds_lie_where_the_link_is_defined(self) -> None:
        class Square(Link):
            domain = Interval(0.0, 0.8)

            def h(self, z: torch.Tensor) -> torch.Tensor:
                return z**2

        # h' = 2z: half of its area from 0 to 0.8 lies above 0.8 / sqrt(2).
        assert describe_thresholds(Square()) == "50 % of its weight is on thresholds above 0.566"


class TestLists:
    def test_the_default_focus_is_the_losses_default_link(self) -> None:
        assert parse_focus("high").value_link is None

    @pytest.mark.parametrize("text", ["middle", json.dumps(ExponentialLink(3.0).get_config_dict())])
    def test_others_are_normalised_by_value(self, text: str) -> None:
        focus = parse_focus(text)
        assert focus.value_link == focus.link.normalized(0, 1, of="value")

    @pytest.mark.parametrize("text", ["low", "extremes", "0.8:1", "0.2:0.4"])
    def test_a_link_that_is_negative_somewhere_is_raised(self, text: str) -> None:
        focus = parse_focus(text)
        link = focus.value_link
        assert link is not None
        scores = torch.linspace(-1, 1, 201, dtype=torch.float64)
        assert (link(scores) >= -1e-12).all()
        assert (link.potential(torch.tensor(1.0)) - link.potential(torch.tensor(0.0))) == pytest.approx(1)
        ratio = link.sensitivity(scores) / focus.link.sensitivity(scores)  # what matters stays what it was
        assert_close(ratio, ratio[:1].expand_as(ratio))
        # A loss on lists takes it, also where a cosine is rounded to a little below -1.
        assert listwise_label_loss(torch.tensor([[1.0, -1.0000001]]), torch.tensor([0]), link).isfinite()

    def test_what_is_shown_and_what_chooses(self) -> None:
        focus = parse_focus("high").with_ranking(chooses=True)
        assert focus.shown_metrics == ["map", "mrr@10", "ndcg@10", "ap_ge_0.95"]
        assert (focus.main_metric, focus.greater_is_better) == ("map", True)
        focus = parse_focus("middle").with_ranking(chooses=True)
        assert focus.shown_metrics == ["map", "mrr@10", "ndcg@10", "rmse_0.3_0.7"]
        assert focus.greater_is_better
        focus = parse_focus("high").with_ranking(chooses=False)
        assert focus.shown_metrics == ["ap_ge_0.95", "ap_ge_0.8", "rmse_0.8_1", "spearman", "map"]
        assert focus.main_metric == "ap_ge_0.95"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top", "must be high, low, extremes, middle, a score region .* got 'top'"),
        ("", "got ''"),
        ("0.5", "got '0.5'"),
        ("a:b", "got 'a:b'"),
        ("0.8:0.6", "--focus 0.8:0.6: a region LOW:HIGH lies within 0 and 1"),
        ("nan:1", "--focus nan:1: a region"),
        ("0.5:1.5", "--focus 0.5:1.5: a region LOW:HIGH lies within 0 and 1"),
        ('{"type": "SigmoidLink"', "not valid JSON"),
        ('{"type": "SigmoidLink"}', "lacks 'scale', 'shift'"),
        ('{"type": "ExponentialLink", "scale": NaN}', "scale must be a finite number, got nan"),
        ('{"type": "ExponentialLink", "scale": "5"}', "scale must be a finite number, got '5'"),
        ('{"type": "ConstantLink"}', "no sensitivity"),
        ('{"type": "__import__"}', "unknown link type"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_focus(text)


def test_a_links_json_is_named_as_the_option_that_it_was_given_to() -> None:
    for text, message in (
        ('{"type": "CubicLink"}', r"^--focus: unknown link type 'CubicLink'"),
        ('{"type": "SigmoidLink", "scale": 1}', r"^--focus: the config of a SigmoidLink lacks 'shift'"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_focus(text)
