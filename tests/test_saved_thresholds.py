"""A threshold that is stored with its model: written, read, and refused where it cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from selective_st.cli import app
from selective_st.demo import write_demo_data
from selective_st.evaluation import (
    ScoreRegionEvaluator,
    ScoreThreshold,
    choose_threshold,
    load_threshold,
    save_threshold,
    store_threshold,
)

GOLD = [1.0, 1.0, 0.0, 0.5, 0.0]
PREDICTED = [0.9, 0.7, 0.4, 0.3, 0.1]
FILE = "score_threshold.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "modules.json").write_text("[]")
    return tmp_path


class TestFile:
    def test_holds_what_the_threshold_rests_on(self, folder: Path) -> None:
        threshold = choose_threshold(GOLD, PREDICTED, 1.0, "f2", chosen_on="dev")
        save_threshold(folder, threshold)
        stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
        expected = {"version": 1, "metric": "f2", "metric_value": 1.0, "pairs": 5, "positives": 2, "chosen_on": "dev"}
        assert expected.items() <= stored.items()
        assert stored["value"] == pytest.approx(0.55)
        assert np.allclose(stored["quantiles"], np.quantile(PREDICTED, np.linspace(0, 1, len(stored["quantiles"]))))
        assert load_threshold(folder) == threshold
        assert load_threshold(str(folder)) == threshold
        assert [path.name for path in folder.iterdir() if "new" in path.name] == []

    def test_the_last_one_stored_holds(
        self, pair_dataset: Dataset, static_model: SentenceTransformer, tmp_path: Path
    ) -> None:
        columns = [list(pair_dataset[name]) for name in ("sentence1", "sentence2", "score")]
        evaluator, other = ScoreRegionEvaluator(*columns, name="dev"), ScoreThreshold(0.123, 0.8)
        with pytest.raises(ValueError, match=r"folder of a saved model.*Save the model first"):
            save_threshold(tmp_path, other)
        static_model.save_pretrained(str(tmp_path))
        save_threshold(tmp_path, other)
        assert load_threshold(tmp_path) == other
        remembered = store_threshold(static_model, evaluator, gold=0.8)
        assert (remembered.similarity, remembered.as_queries) == ("cosine", False)
        static_model.save_pretrained(str(tmp_path))
        assert load_threshold(tmp_path) == remembered
        save_threshold(tmp_path, other)
        assert load_threshold(tmp_path) == other
        loaded = SentenceTransformer(str(tmp_path), device="cpu")
        assert np.allclose(loaded.encode("a man"), static_model.encode("a man"))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b'{"version": 1, "value": 0.8, "go', "cannot be read"),
            (b"", "cannot be read"),
            (b"[1, 2]", "cannot be read"),
            (b'"text"', "cannot be read"),
            (b"\xff\xfe\x00", "cannot be read"),
            (b'{"value": 0.8, "gold": 0.95}', "cannot be read.*version"),
            (b'{"version": "1", "value": 0.8, "gold": 0.95}', "cannot be read.*version"),
            (b'{"version": 1, "value": "high", "gold": 0.95}', "cannot be read.*value"),
            (b'{"version": 1, "value": NaN, "gold": 0.95}', "cannot be read.*value"),
            (b'{"version": 1, "value": 0.8}', "cannot be read.*gold"),
            (b'{"version": 1, "value": 0.8, "gold": 1, "quantiles": [2, 1]}', "cannot be read.*quantiles must rise"),
            (b'{"version": 2, "cut": 0.8}', "newer version.*pip install -U selective-st"),
        ],
    )
    def test_a_file_that_cannot_be_read(self, folder: Path, content: bytes, message: str) -> None:
        (folder / FILE).write_bytes(content)
        with pytest.raises(ValueError, match=f"{FILE} of .*{message}.*save_threshold\\(.*or remove that file"):
            load_threshold(folder)


@pytest.mark.parametrize(
    "scores", [[0.5, 0.6, 0.7], np.array([0.5, 0.6, 0.7], np.float32), torch.tensor([0.5, 0.6, 0.7]).requires_grad_()]
)
def test_decide(scores: object) -> None:
    assert ScoreThreshold(0.59, 1.0).decide(scores).tolist() == [False, True, True]
    assert ScoreThreshold(0.65, 0.2, "at_most").decide(scores).tolist() == [True, True, False]


def test_decide_refuses_what_is_no_score() -> None:
    for scores in ([0.5, float("nan")], [], "0.5", [[0.5]]):
        with pytest.raises(ValueError, match="scores must"):
            ScoreThreshold(0.6, 1.0).decide(scores)


def test_train_stores_the_cut_of_the_eval_split(tmp_path: Path) -> None:
    from selective_st.data import read_pairs

    data = write_demo_data(tmp_path, {"train": 200, "eval": 60, "test": 40})
    output = tmp_path / "model"
    splits = ["--eval-data", str(data["eval"]), "--test-data", str(data["test"])]
    options = ["--epochs", "1", "--learning-rates", "0.1", "--score-range", "0,5", "--output", str(output)]
    result = CliRunner().invoke(app, ["train", str(data["train"]), *splits, *options])
    assert result.exit_code == 0, result.output
    assert str(output / FILE) in result.output
    pairs = read_pairs(str(data["eval"]), score_range=(0, 5))
    stored = load_threshold(output)
    assert stored is not None
    assert (stored.pairs, stored.similarity, stored.metric, stored.as_queries) == (60, "cosine", "f1", False)
    model = SentenceTransformer(str(output), device="cpu")
    evaluator = ScoreRegionEvaluator(pairs.sentences1, pairs.sentences2, pairs.scores, name=stored.chosen_on)
    expected = evaluator.choose_threshold(model, stored.gold)
    assert stored.value == pytest.approx(expected.value, abs=1e-6)
    assert stored.positives == expected.positives
    assert np.allclose(stored.quantiles, expected.quantiles, atol=1e-6)
