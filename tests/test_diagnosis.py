"""What limits the decisions at a threshold, told from two short runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from selective_st.cli import app
from selective_st.demo import write_demo_data
from selective_st.evaluation import diagnose
from selective_st.evaluation.metrics import losses_at
from selective_st.focus import parse_focus

GOLD = np.random.default_rng(0).random(4000)


def scores(squared: float, selective: float, seed: int) -> tuple[Any, dict[str, Any]]:
    """Two models' scores, off by so much."""
    noise = np.random.default_rng(seed).normal(size=(2, len(GOLD)))
    return GOLD, {"squared": GOLD + squared * noise[0], "selective": GOLD + selective * noise[1]}


@pytest.mark.parametrize(
    ("training", "validation", "limit", "words"),
    [
        ((0.2, 0.1), (0.2, 0.1), "model", "limited by the model: selectivity gains here"),
        ((0.2, 0.1), (0.2, 0.2), "labels", "limited by labels: more pairs, or a teacher's scores, would help more"),
        ((0.2, 0.1), (0.2, 0.3), "labels", "% more (95 % interval"),
        ((0.2, 0.2), (0.2, 0.2), "nothing", "limited by neither the model nor labels"),
    ],
)
def test_what_limits(training: Any, validation: Any, limit: str, words: str) -> None:
    found = diagnose(scores(*training, 1), scores(*validation, 2), [0.5, 0.8])
    assert found.limit == limit
    assert words in found.sentence()
    assert found.as_dict()["sentence"] == found.sentence()


def test_the_gain_is_that_of_the_mean_losses_with_its_spread() -> None:
    gold, predicted = scores(0.2, 0.15, 3)
    found = diagnose((gold, predicted), (gold, predicted), [0.5, 0.8]).training
    each = {name: (losses_at(gold, p, 0.5) + losses_at(gold, p, 0.8)) / 2 for name, p in predicted.items()}
    assert found.loss == pytest.approx(each["selective"].mean())
    assert found.share == pytest.approx(1 - each["selective"].mean() / each["squared"].mean())
    rng, draws = np.random.default_rng(0), []
    for _ in range(2000):
        rows = rng.integers(0, len(gold), len(gold))
        draws.append(1 - each["selective"][rows].mean() / each["squared"][rows].mean())
    assert [found.low, found.high] == pytest.approx(np.quantile(draws, [0.025, 0.975]).tolist(), abs=0.015)


def test_pairs_of_a_cluster_hang_together() -> None:
    gold, predicted = scores(0.2, 0.15, 3)
    four = np.repeat(gold, 4), {name: np.repeat(p, 4) for name, p in predicted.items()}
    clusters = np.repeat(np.arange(len(gold)), 4).tolist()
    found = diagnose(four, four, [0.5], clusters=(clusters, clusters)).validation
    once = diagnose((gold, predicted), (gold, predicted), [0.5]).validation
    assert (found.share, found.low) == pytest.approx((once.share, once.low))


def test_no_loss_at_all_is_no_gain() -> None:
    found = diagnose((GOLD, {"squared": GOLD, "selective": GOLD}), scores(0.1, 0.1, 0), [0.5])
    assert (found.training.share, found.limit) == (0.0, "nothing")


def test_wrong() -> None:
    some = (GOLD, dict.fromkeys(("squared", "selective"), GOLD))
    with pytest.raises(ValueError, match="at least one threshold"):
        diagnose(some, some, [])


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["pointwise", "order"])
def test_train_says_it_first(loss: str, tmp_path: Path) -> None:
    write_demo_data(tmp_path, {"train": 300, "eval": 150, "test": 150})
    asked = ["train", str(tmp_path / "train.csv"), "--eval-data", str(tmp_path / "eval.csv"), "--loss", loss]
    asked += [
        "--test-data",
        str(tmp_path / "test.csv"),
        "--score-range",
        "0,5",
        "--learning-rates",
        "0.1",
        "--diagnose",
    ]
    result = CliRunner().invoke(app, [*asked, "--epochs", "2", "--output", str(tmp_path / "model")])
    assert result.exit_code == 0, result.output
    assert "diagnosis: limited by" in " ".join(result.output.split())
    assert "pairs" in result.output.partition("diagnosis:")[2]


@pytest.mark.parametrize(
    ("focus", "thresholds"),
    [("high", (0.8, 0.95)), ("low", (0.05, 0.2)), ("0.4:0.6", (0.4,)), ("0:0.3", (0.3,)), ("middle", (0.3,))],
)
def test_thresholds_of_a_focus(focus: str, thresholds: tuple[float, ...]) -> None:
    found = parse_focus(focus)
    assert (*found.at_most, *found.at_least) == thresholds
