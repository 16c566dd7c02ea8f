"""What `selective-st train` says of its model and data, and the card that each way to train writes."""

from __future__ import annotations

import csv
import json
import logging
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from typer.testing import CliRunner, Result

from selective_st.cli import app
from selective_st.evaluation import ScoreRegionEvaluator, comparison
from selective_st.losses import SelectivePointwiseLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.registry import suggest_losses
from tests.model_types import WORDS, bert_model, static_model
from tests.test_model_card import links_of, pictures_of, section_of, table_of
from tests.test_scoring import DOCUMENTS, QUERIES, prompted, questions, routed

Rows = Sequence[tuple[str, str, float]]
QUICK = ("--learning-rates", "0.1", "--epochs", "1")


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def text(result: Result) -> str:
    return " ".join(result.output.split())


def pairs(count: int, seed: int = 0) -> list[tuple[str, str, float]]:
    """Pairs whose score is the share of words that they have in common."""
    generator, rows = random.Random(seed), []
    for number in range(count):
        first, same = generator.sample(WORDS, 5), number % 6
        others = [word for word in WORDS if word not in first]
        rows.append((" ".join(first), " ".join(first[:same] + generator.sample(others, 5 - same)), same / 5))
    return rows


def written(path: Path, rows: Rows, header: Sequence[str] = ("a", "b", "score")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def trained(
    folder: Path, train: Rows, evaluation: Rows, test: Rows, *options: object
) -> tuple[Result, dict[str, Any], str]:
    paths = [written(folder / f"{n}.csv", rows) for n, rows in (("train", train), ("eval", evaluation), ("test", test))]
    splits = ("--eval-data", paths[1], "--test-data", paths[2])
    result = run("train", paths[0], *splits, *(options or QUICK), "--output", folder / "out")
    assert result.exit_code == 0, result.output
    card = (folder / "out" / "README.md").read_text(encoding="utf-8")
    return result, json.loads((folder / "out" / "metrics.json").read_text()), card


@pytest.fixture(scope="module", autouse=True)
def _few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_MOST_RESAMPLES", "_FEWEST_RESAMPLES"):
            patch.setattr(comparison, name, 40)
        yield


class TestAgainstUntrained:
    def judged(self, folder: Path, train: Rows, test: Rows, *options: object) -> tuple[str, dict[str, Any]]:
        result, found, card = trained(folder, train, test, test, *options)
        judged = found["against_untrained"]
        # The last word, and the same in the card.
        assert text(result).endswith(judged["sentence"])
        assert f"**{judged['sentence']}**" in section_of(card)
        return judged["sentence"], judged

    @pytest.mark.slow
    def test_worse(self, tmp_path: Path) -> None:
        """Trained upside down."""
        upside_down = [(first, second, 1 - score) for first, second, score in pairs(60)]
        options = ("--learning-rates", "0.5", "--epochs", "20", "--focus", "0.4:0.6")
        sentence, found = self.judged(tmp_path, upside_down, pairs(120, 1), *options)
        assert found["verdict"] == "worse"
        assert "Rank correlation" in found["worse"]
        assert re.search(r"WORSE than the untrained one in .*rank correlation: .* against 0.9", sentence)

    def test_equal(self, tmp_path: Path) -> None:
        sentence, found = self.judged(tmp_path, pairs(60), pairs(120, 1), "--learning-rates", "1e-9", "--epochs", "1")
        assert found["verdict"] == "equal"
        assert "EQUAL to the untrained one" in sentence

    def test_too_few_to_tell(self, tmp_path: Path) -> None:
        sentence, found = self.judged(tmp_path, pairs(60), pairs(6, 1), "--learning-rates", "0.1", "--epochs", "3")
        assert found["verdict"] == "too few"
        assert "cannot be said" in sentence
        assert "(too few)" in sentence

    @pytest.mark.slow
    def test_better(self, tmp_path: Path) -> None:
        """Words that mean the same, which only training can tell."""
        generator, rows = random.Random(0), []
        for number in range(400):
            first, same = generator.sample(range(16), 4), number % 5
            others = [i for i in range(16) if i not in first]
            second = first[:same] + generator.sample(others, 4 - same)
            rows.append((" ".join(WORDS[i] for i in first), " ".join(WORDS[16 + i] for i in second), same / 4))
        sentence, found = self.judged(tmp_path, rows[:300], rows[300:], "--learning-rates", "0.1", "--epochs", "20")
        assert found["verdict"] == "better"
        assert "Rank correlation" in found["better"]
        assert "WORSE" not in sentence


class TestCounts:
    @pytest.mark.slow
    def test_digits_and_counts_of_few_positives(self, tmp_path: Path) -> None:
        test = pairs(102, 1)  # each sixth is a positive
        result, found, card = trained(tmp_path, pairs(60), test[:48], test, *QUICK, "--compare")
        lines = [re.split(r" {2,}", line.strip()) for line in result.output.splitlines()]
        rests, untrained, ours = (
            next(cells for cells in lines if cells[0].startswith(name))
            for name in ("rests on", "untrained", "SelectivePointwiseLoss (0.1)")
        )
        assert rests[1:] == ["17 of 102 pairs", "34 of 102 pairs", "34 of 102 pairs", "102 pairs"]
        for row in (untrained, ours):
            assert [len(cell.partition(".")[2]) for cell in row[1:]] == [2, 2, 2, 3]
        assert found["support"]["ap_ge_0.95"] == {"cases": 17, "of": 102, "noun": "pairs", "too_few": False}
        assert "Average precision, gold ≥ 0.95 rests on 8 of 48 pairs of the eval split: too few to choose" in text(
            result
        )
        # The card compares the same losses, with the same numbers.
        table = table_of(section_of(card))
        assert table["loss (setting, learning rate)"][0] == "AP gold ≥ 0.95 ↑"
        shown = {
            cells[0]: cells[1:] for cells in lines if cells[0].startswith(("untrained", "Selective", "selective -"))
        }
        assert len(shown) == 5
        for name, cells in shown.items():
            assert table[name] == cells, name
        assert {"rests on", "CosineSimilarityLoss (0.1)"} <= table.keys()
        assert any(re.fullmatch(r"CoSENTLoss \(scale (2\.5|5|20), 0\.1\)", name) for name in table)

    @pytest.mark.parametrize("label", [1.0, 0.0])
    def test_all_labels_equal(self, label: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        equal = [(first, second, label) for first, second, _ in pairs(20, 1)]
        focus = "high" if label else "low"
        result, found, card = trained(tmp_path, pairs(60), pairs(60, 2), equal, *QUICK, "--focus", focus)
        said = f"every label of the test split is {label:g} (20 pairs): nothing can be said of the order of its scores"
        assert said in text(result)
        assert said[0].upper() + said[1:] in section_of(card)
        row = next(line for line in result.output.splitlines() if "SelectivePointwiseLoss (" in line)
        assert row.count("not defined") == 3
        assert "1.00" not in row
        main = "ap_ge_0.95" if label else "ap_le_0.05"
        assert found["support"][main]["cases"] == 0
        assert found["untrained"][main] is found["test"]["SelectivePointwiseLoss"][main]["mean"] is None
        assert found["untrained"]["rmse"] is not None


class TestOverlap:
    @pytest.mark.parametrize("kind", ["nothing", "mirrored pairs", "texts", "the same file"])
    @pytest.mark.slow
    def test_is_measured_and_said(self, kind: str, tmp_path: Path) -> None:
        train, evaluation, test = pairs(60), pairs(30, 1), pairs(30, 2)
        mirrored = [(second.upper(), f" {first}", score) for first, second, score in train[:6]]
        changed = [(train[i][0], f"{second} {second}", score) for i, (_, second, score) in enumerate(test[:9])]
        test = {
            "nothing": test,
            "mirrored pairs": [*mirrored, *test[6:]],
            "texts": [*changed, *test[9:]],
            "the same file": evaluation,
        }[kind]
        result, found, card = trained(tmp_path, train, evaluation, test)
        counts = {name: (measured["pairs"], measured["texts"]) for name, measured in found["overlap"].items()}
        expected = dict.fromkeys(("test_in_train", "eval_in_train", "test_in_eval"), (0, 0))
        expected |= {
            "nothing": {},
            "mirrored pairs": {"test_in_train": (6, 6)},
            "texts": {"test_in_train": (0, 9)},
            "the same file": {"test_in_eval": (30, 30)},
        }[kind]
        assert counts == expected
        assert found["overlap"]["test_in_train"]["share_of_texts"] == expected["test_in_train"][1] / 30
        said = {
            "nothing": "no row of the test split (30) shares a text with the train split",
            "mirrored pairs": "6 of 30 rows (20 %) of the test split are pairs of the train split too",
            "texts": "no row of the test split is a pair of the train split too, but 9 of 30 rows (30 %) share a text",
            "the same file": "every row of the test split (30) is a pair of the eval split too",
        }[kind]
        assert said in text(result)
        assert f"{said[0].upper()}{said[1:]}" in section_of(card)


# --- One section for every way to train -------------------------------------------------------------------------------


class TestCard:
    @pytest.mark.slow
    def test_train_writes_the_section_of_a_trainer(self, tmp_path: Path) -> None:
        test = pairs(102, 1)
        _, found, card = trained(tmp_path, pairs(60), test, test)
        section = section_of(card)
        model = static_model()
        rows = dict(zip(("a", "b", "score"), map(list, zip(*test, strict=True)), strict=True))
        loss = SelectivePointwiseLoss(model, links_of(section)[0])
        evaluator = ScoreRegionEvaluator(rows["a"], rows["b"], rows["score"], name="test")
        arguments = SentenceTransformerTrainingArguments(
            str(tmp_path / "work"), max_steps=2, report_to="none", save_strategy="no", use_cpu=True, disable_tqdm=True
        )
        SentenceTransformerTrainer(
            model,
            arguments,
            train_dataset=Dataset.from_dict(rows),
            loss=loss,
            callbacks=[SelectiveModelCardCallback(loss, evaluator)],
        ).train()
        model.save_pretrained(str(tmp_path / "trainer"))
        other = section_of((tmp_path / "trainer" / "README.md").read_text(encoding="utf-8"))
        for folder, of in ((tmp_path / "out", section), (tmp_path / "trainer", other)):
            (picture,) = pictures_of(of)
            assert (folder / picture).read_bytes().startswith(b"\x89PNG")
            assert links_of(of)[0].get_config_dict() == found["link"]
            assert of.count("cares most about high scores (`high_scores()`)") == 1
            assert "### Score Regions on `test`, Before" in of
            assert table_of(of)["Metric"] == ["Base", "Trained", "Change", "Rests on"]
        rows_of = [list(table_of(of)) for of in (section, other)]
        assert rows_of[0] == rows_of[1]
        # The numbers are those of metrics.json.
        numbers = table_of(section)["Rank correlation"]
        saved = next(entry for entry in found["runs"] if entry["loss"] == found["saved"]["loss"])
        assert numbers[:2] == [f"{found['untrained']['spearman']:.3f}", f"{saved['test']['spearman']:.3f}"]
        assert "**Base model:** none: its embeddings were trained from nothing" in card
        assert "Base model:** [Unknown]" not in card
        assert str(tmp_path) not in card

    def test_the_base_model_of_a_folder(self, transformer_folder: Path, tmp_path: Path) -> None:
        options = ("--model", transformer_folder, "--learning-rates", "1e-4")
        _, _, card = trained(tmp_path, pairs(60), pairs(60, 1), pairs(60, 2), *options)
        assert f"- **Base model:** `{transformer_folder.name}` (a local folder)" in card
        assert str(transformer_folder.parent) not in card

    def test_the_base_model_of_a_trainer(self, transformer_folder: Path, tmp_path: Path) -> None:
        model = SentenceTransformer(str(transformer_folder), device="cpu")
        loss = SelectivePointwiseLoss(model)
        columns = dict(zip(("a", "b", "score"), map(list, zip(*pairs(32), strict=True)), strict=True))
        arguments = SentenceTransformerTrainingArguments(
            str(tmp_path / "work"), max_steps=1, report_to="none", save_strategy="no", use_cpu=True, disable_tqdm=True
        )
        callback = SelectiveModelCardCallback(loss)
        SentenceTransformerTrainer(
            model, arguments, train_dataset=Dataset.from_dict(columns), loss=loss, callbacks=[callback]
        ).train()
        model.save_pretrained(str(tmp_path / "model"))
        card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
        assert f"- **Base model:** `{transformer_folder.name}` (a local folder)" in card
        assert "The model was not measured: no evaluator was given." in section_of(card)

    def test_a_generated_script(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        bert_model().save_pretrained("base")
        written(tmp_path / "train.csv", pairs(40), ("sentence1", "sentence2", "score"))
        columns = dict(zip(("sentence1", "sentence2", "score"), map(list, zip(*pairs(40), strict=True)), strict=True))
        found: Any = suggest_losses(Dataset.from_dict(columns))
        script = found.of("SelectivePointwiseLoss").script("train.csv", "base")
        assert "callbacks=[SelectiveModelCardCallback(loss)]" in script
        exec(compile(script, "train.py", "exec"), {"__name__": "__main__"})
        section = section_of(Path("output/model/README.md").read_text(encoding="utf-8"))
        assert "Trained with `SelectivePointwiseLoss`." in section
        assert (tmp_path / "output" / "model" / pictures_of(section)[0]).read_bytes().startswith(b"\x89PNG")
        assert "SelectiveModelCardCallback" not in found.of("CoSENTLoss").script("train.csv", "base")

    def test_worse_than_the_base_model_is_said_by_a_trainer_too(self, tmp_path: Path) -> None:
        columns = dict(zip(("a", "b", "score"), map(list, zip(*pairs(120), strict=True)), strict=True))
        upside_down = Dataset.from_dict(columns | {"score": [1 - score for score in columns["score"]]})
        model = static_model()
        loss = SelectivePointwiseLoss(model)
        texts = columns["a"], columns["b"]
        evaluator = ScoreRegionEvaluator(*texts, columns["score"], name="dev", main_metric="spearman")
        arguments = SentenceTransformerTrainingArguments(
            str(tmp_path / "work"), num_train_epochs=5, learning_rate=0.1, report_to="none", save_strategy="no",
            use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        callback = SelectiveModelCardCallback(loss, evaluator)
        SentenceTransformerTrainer(model, arguments, train_dataset=upside_down, loss=loss, callbacks=[callback]).train()
        model.save_pretrained(str(tmp_path / "model"))
        section = section_of((tmp_path / "model" / "README.md").read_text(encoding="utf-8"))
        assert "**Worse than the base model** by `spearman`: " in section


# --- What chooses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("main_metric", ["rmse", "negative_rmse_0.8_1", "spearman"])
def test_the_primary_metric_keeps_the_best_checkpoint(
    main_metric: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever its direction, without `greater_is_better`."""
    columns = dict(zip(("a", "b", "score"), map(list, zip(*pairs(64), strict=True)), strict=True))
    model = static_model()
    evaluator = ScoreRegionEvaluator(columns["a"], columns["b"], columns["score"], name="dev", main_metric=main_metric)
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path), num_train_epochs=4, per_device_train_batch_size=16, learning_rate=0.3,
        lr_scheduler_type="constant", eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True,
        metric_for_best_model=f"eval_{evaluator.primary_metric}", report_to="none", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    loss = SelectivePointwiseLoss(model)
    trainer = SentenceTransformerTrainer(
        model,
        arguments,
        train_dataset=Dataset.from_dict(columns),
        loss=loss,
        evaluator=evaluator,
        callbacks=[SelectiveModelCardCallback(loss, evaluator)],
    )
    with caplog.at_level(logging.WARNING, logger="selective_st"):
        trainer.train()
    assert "greater_is_better" not in caplog.text
    logs = [entry for entry in trainer.state.log_history if "eval_dev_rmse" in entry]
    plain = f"eval_dev_{main_metric.removeprefix('negative_')}"
    values = [entry[plain] for entry in logs]
    best = max(values) if main_metric == "spearman" else min(values)
    assert len(set(values)) == 4
    assert evaluator(model)[plain.removeprefix("eval_")] == pytest.approx(best, abs=1e-5)


class TestQueries:
    @pytest.mark.parametrize("make", [routed, prompted], ids=["modules", "prompts"])
    @pytest.mark.slow
    def test_are_trained_and_evaluated_as_such(self, make: Any, tmp_path: Path) -> None:
        make().save_pretrained(str(tmp_path / "model"))
        first, second, labels, _ = questions()
        path = written(
            tmp_path / "pairs.csv", list(zip(first, second, labels, strict=True)), ("question", "answer", "label")
        )
        splits = ("--eval-data", path, "--test-data", path, "--model", tmp_path / "model", "--loss", "in-batch")
        options = ("--learning-rates", "1e-6", "--epochs", "1", "--no-check")
        result = run("train", path, *splits, *options, "--output", tmp_path / "out")
        assert result.exit_code == 0, result.output
        found = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert found["untrained"]["map"] == 1
        assert "embedded as queries and documents, as the columns' names 'question' and 'answer' say" in text(result)
        if make is prompted:
            card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
            assert "'anchor': 'warm '" in card  # the trainer's prompts
            result = run("train", path, *splits, *options, "--no-as-queries", "--output", tmp_path / "alike")
            assert result.exit_code == 0, result.output
            assert json.loads((tmp_path / "alike" / "metrics.json").read_text())["untrained"]["map"] < 0.75


def test_the_words_are_known() -> None:
    assert set(QUERIES) | set(DOCUMENTS) <= set(WORDS)
