"""Whether one threshold serves all parts of the data, or all forms of a model."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from selective_st.cli import app
from selective_st.demo import graded_pairs
from selective_st.evaluation import choose_threshold, parts_by, threshold_consistency

GOLD = np.random.default_rng(0).random(3000)
NOISE = np.random.default_rng(1).normal(size=3000)
TENS = np.repeat([1.0, 0.0], 10)


def f1(gold: Any, predicted: Any, at: float, cut: float) -> float:
    sought, found = gold >= at, predicted >= cut
    return float(2 * (sought & found).sum() / (sought.sum() + found.sum()))


class TestForms:
    def test_a_shifted_form_needs_a_threshold_of_its_own(self) -> None:
        scores = GOLD + 0.05 * NOISE
        found = threshold_consistency({"float32": (GOLD, scores), "int8": (GOLD, scores + 0.2)}, 0.8)
        assert found.apart == pytest.approx(0.2, abs=1e-9)
        assert not found.serves_all
        assert found.parts[0].lost > 0.05
        assert "one threshold does not serve all 2 parts" in found.sentence()
        assert found.threshold == choose_threshold(np.tile(GOLD, 2), np.append(scores, scores + 0.2), 0.8).value  # type: ignore[arg-type]

    def test_forms_that_agree_share_theirs(self) -> None:
        scores = GOLD + 0.05 * NOISE
        forms = {f"{bits} bits": (GOLD, np.round(scores * 2**bits) / 2**bits) for bits in (8, 12)}
        found = threshold_consistency({"float32": (GOLD, scores), **forms}, 0.8)
        assert found.apart < 0.02
        assert found.serves_all
        assert "one threshold serves all 3 parts" in found.sentence()

    def test_a_given_threshold_is_measured_on_all_pairs_alike(self) -> None:
        scores = GOLD + 0.1 * NOISE
        parts = {"low": (GOLD[:1500], scores[:1500]), "high": (GOLD[1500:], scores[1500:] + 0.3)}
        found = threshold_consistency(parts, 0.8, 0.8)
        assert found.threshold == 0.8
        for part in found.parts:
            gold, predicted = parts[part.name]
            assert part.common == pytest.approx(f1(gold, predicted, 0.8, 0.8), abs=0.01)
            assert part.threshold == choose_threshold(gold, predicted, 0.8).value  # type: ignore[arg-type]
            assert part.own == pytest.approx(f1(gold, predicted, 0.8, part.threshold), abs=0.03)
        assert [part.name for part in found.parts] == ["high", "low"]

    def test_chance_in_small_parts_is_no_loss(self) -> None:
        rng, lost = np.random.default_rng(2), []
        for _ in range(40):
            rows = np.array_split(rng.permutation(3000)[:240], 3)
            parts = {str(k): (GOLD[of], GOLD[of] + 0.1 * NOISE[of]) for k, of in enumerate(rows)}
            lost += [part.lost for part in threshold_consistency(parts, 0.8).parts]
        assert np.mean(lost) < 0.005

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            ({"a": (GOLD, GOLD)}, "two parts must have 10 pairs with gold >= 0.8 and 10 others, got 1 of 1"),
            ({"a": (GOLD[:5], GOLD[:5]), "b": (GOLD * 0.5, GOLD)}, "two parts must have 10 pairs .* got 0 of 2"),
            ({"a": (TENS, TENS), "b": (TENS[1:], TENS[1:])}, "two parts must have 10 pairs .* got 1 of 2"),
            ({"a": (GOLD, GOLD[:7]), "b": (GOLD, GOLD)}, "gold.*predicted"),
        ],
    )
    def test_wrong(self, parts: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            threshold_consistency(parts, 0.8)
        with pytest.raises(TypeError, match="gold must be a finite number, got 'x'"):
            threshold_consistency({"a": (GOLD, GOLD), "b": (GOLD, GOLD)}, "x")  # type: ignore[arg-type]


class TestColumns:
    def test_values_and_thirds(self) -> None:
        gold = np.arange(60) / 60
        by_source = parts_by(gold, gold, ["news", "forum", None] * 20)
        assert {name: len(of[0]) for name, of in by_source.items()} == {"news": 20, "forum": 20, "None": 20}
        by_length = parts_by(gold, gold, list(range(100, 160)))
        assert sorted(by_length) == ["100 to 119", "120 to 139", "140 to 159"]
        np.testing.assert_array_equal(by_length["120 to 139"][0], gold[20:40])
        assert list(parts_by(gold, gold, [True, False] * 30)) == ["True", "False"]
        with pytest.raises(ValueError, match=r"60 different values, such as 'a0'.*at most 12"):
            parts_by(gold, gold, [f"a{k}" for k in range(60)])
        with pytest.raises(ValueError, match="column"):
            parts_by(gold, gold, ["news"])

    def test_evaluate_by_a_column(self, static_model: SentenceTransformer, tmp_path: Path) -> None:
        static_model.save_pretrained(str(tmp_path / "model"))
        rows = [(a, b, score, ("news", "forum")[k % 2]) for k, (a, b, score) in enumerate(graded_pairs(400, seed=1))]
        with (tmp_path / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("sentence1", "sentence2", "score", "source"), *rows])
        asked = ["evaluate", str(tmp_path / "model"), str(tmp_path / "pairs.csv"), "--score-range", "0,5"]
        asked += ["--columns", "sentence1,sentence2,score", "--by"]
        output = ["--output", str(tmp_path / "out")]
        result = CliRunner().invoke(app, [*asked, "source", *output])
        assert result.exit_code == 0, result.output
        found = json.loads((tmp_path / "out" / "metrics.json").read_text())["threshold_consistency"]["model"]
        assert sorted(part["name"] for part in found["parts"]) == ["forum", "news"]
        assert [part["pairs"] for part in found["parts"]] == [200, 200]
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert found["sentence"] in page.replace("&gt;", ">")
        assert "serve" in " ".join(result.output.split())
        for more, message in ((["nowhere"], "has no column 'nowhere'"), (["source", "--focus", "low"], "--focus high")):
            again = CliRunner().invoke(app, [*asked, *more, *output, "--overwrite"])
            assert message in " ".join(again.output.split())

    def test_the_column_is_that_of_the_split_that_is_evaluated(
        self, static_model: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        static_model.save_pretrained(str(tmp_path / "model"))
        asked: list[str] = []

        def load(source: str, split: str) -> Dataset:
            asked.append(split)
            first, second, scores = zip(*graded_pairs(400, seed=1), strict=True)
            parts = [split, "forum"] * 200
            columns = {"sentence1": first, "sentence2": second, "score": [s / 5 for s in scores], "source": parts}
            return Dataset.from_dict({name: list(values) for name, values in columns.items()})

        monkeypatch.setattr("datasets.load_dataset", load)
        monkeypatch.setattr("datasets.get_dataset_split_names", lambda source: ["train", "test"])
        words = ["evaluate", str(tmp_path / "model"), "some/pairs", "--columns", "sentence1,sentence2,score"]
        result = CliRunner().invoke(app, [*words, "--by", "source", "--output", str(tmp_path / "out")])
        assert result.exit_code == 0, result.output
        assert asked == ["test"]
        found = json.loads((tmp_path / "out" / "metrics.json").read_text())["threshold_consistency"]["model"]
        assert sorted(part["name"] for part in found["parts"]) == ["forum", "test"]
