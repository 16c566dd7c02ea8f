"""What --focus means."""

from __future__ import annotations

import json

import pytest
import torch
from torch.testing import assert_close

from selective_st.focus import parse_focus
from selective_st.functional import listwise_label_loss
from selective_st.links import (
    ExponentialLink,
    SigmoidLink,
    extreme_scores,
    high_scores,
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
