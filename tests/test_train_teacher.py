"""`selective-st train --teacher`: pairs of texts that a teacher has scored, beside few labels."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from selective_st import training
from selective_st.distillation import Taught, taught_pairs
from selective_st.errors import DataError
from selective_st.evaluation.diagnosis import Diagnosis, Gain
from selective_st.kept_runs import Contender
from selective_st.layouts import GradedPairs
from selective_st.output import Output
from tests.model_types import WORDS
from tests.test_model_card import section_of
from tests.test_train_claims import Rows, run, text, trained, written

QUICK = ("--learning-rates", "0.1", "--epochs", "3", "--teacher-pairs", "400")


def synonyms(count: int, seed: int) -> list[tuple[str, str, float]]:
    """Pairs of four words each; a word of the first half of `WORDS` means the same as one of the second."""
    generator, rows = random.Random(seed), []
    for number in range(count):
        first, same = generator.sample(range(16), 4), number % 5
        second = first[:same] + generator.sample([i for i in range(16) if i not in first], 4 - same)
        rows.append((" ".join(WORDS[i] for i in first), " ".join(WORDS[16 + i] for i in second), same / 4))
    return rows


def teacher_of(meanings: list[int]) -> SentenceTransformer:
    """A model that knows which words mean the same: the cosine is the share of common meanings."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS[:32])}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.eye(16, dtype=np.float32)[meanings]
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")


KNOWS = [i % 16 for i in range(32)]
MISTAKEN = [*range(16), *np.roll(np.arange(16), 5).tolist()]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(side for row in synonyms(120, 7) for side in row[:2]), encoding="utf-8")
    return path


def graded(rows: Rows, name: str) -> GradedPairs:
    from datasets import Dataset

    columns = dict(zip(("sentence1", "sentence2", "score"), map(list, zip(*rows, strict=True)), strict=True))
    return GradedPairs(Dataset.from_dict(columns), name)


def test_the_pairs_are_of_the_texts_with_the_teachers_scores_on_the_labels_scale(tmp_path: Path) -> None:
    labelled = graded([(a, b, 0.2 + score / 2) for a, b, score in synonyms(60, 0)], "labels")
    held_out = graded(synonyms(20, 1), "held out")
    rows = synonyms(40, 2)
    given = [*(f" {side} " for row in rows for side in row[:2]), "", *held_out.sentences1]
    teacher = teacher_of(KNOWS)
    with Output(tmp_path / "out", "train") as place:
        found = taught_pairs(place, teacher, "knows", given, labelled, [held_out], [0.5], 300)
    pairs = found.pairs
    allowed = {side for row in rows for side in row[:2]} - {*held_out.sentences1, *held_out.sentences2}
    assert {*pairs["sentence1"], *pairs["sentence2"]} <= allowed
    assert (len(pairs), found.texts, found.teacher) == (300, len(allowed), "knows")
    units = [teacher.encode(list(pairs[name]), normalize_embeddings=True) for name in ("sentence1", "sentence2")]
    expected = 0.2 + (units[0] * units[1]).sum(1) / 2  # labels are that much of the common meanings
    np.testing.assert_allclose(pairs["score"], expected, atol=1e-5)


def test_a_loss_has_each_weight() -> None:
    taught = Taught(graded(synonyms(3, 0), "").dataset, "a", 3)
    found = taught.contenders(Contender("Loss", "scale 20"))
    assert [(each.name, each.teacher_weight) for each in found] == [
        ("Loss, scale 20, teacher 0", 0.0),
        ("Loss, scale 20, teacher 0.3", 0.3),
        ("Loss, scale 20, teacher 1", 1.0),
    ]


def taught(folder: Path, meanings: list[int], labels: int, texts: Path, *options: object) -> Any:
    teacher_of(meanings).save_pretrained(str(folder / "teacher"))
    told = ("--teacher", folder / "teacher", "--texts", texts, *QUICK, *options)
    result, found, card = trained(folder, synonyms(labels, 0), synonyms(200, 1), synonyms(200, 2), *told)
    return text(result), found, section_of(card)


@pytest.mark.slow
def test_a_teacher_who_knows_more_than_few_labels_wins(texts: Path, tmp_path: Path) -> None:
    result, found, card = taught(tmp_path, KNOWS, 20, texts, "--compare", "--loss", "pointwise")
    weight = found["teacher"]["weight"]
    assert weight > 0
    assert found["teacher"]["pairs"] == 400
    said = f"were tried beside the labelled pairs: by the eval split they count {weight:g} times as much as those."
    assert said in result
    assert said in " ".join(card.split())
    assert f"SelectivePointwiseLoss (teacher {weight:g}, 0.1)" in result
    assert "400 pairs of" in result
    assert "the eval split chooses their weight from 0, 0.3, 1" in result
    # Losses that are compared have the teacher too.
    assert found["chosen_settings"]["CosineSimilarityLoss"].startswith("teacher ")
    ours = {run["setting"]: run["test"]["spearman"] for run in found["runs"] if run["loss"] == "SelectivePointwiseLoss"}
    assert ours[f"teacher {weight:g}"] > ours["teacher 0"] + 0.1


@pytest.mark.slow
def test_a_mistaken_teacher_loses_and_changes_nothing(texts: Path, tmp_path: Path) -> None:
    result, found, _ = taught(tmp_path, MISTAKEN, 400, texts)
    assert found["teacher"]["weight"] == 0
    assert "by the eval split they lose against labels alone" in result
    without = tmp_path / "without"
    without.mkdir()
    trained(without, synonyms(400, 0), synonyms(200, 1), synonyms(200, 2), *QUICK)
    weights = [(folder / "out" / "model.safetensors").read_bytes() for folder in (tmp_path, without)]
    assert weights[0] == weights[1]


def test_goes_on_after_an_interruption(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, done = training.train_once, list[Any]()

    def interrupted(*arguments: Any) -> None:
        done.append(arguments[2].teacher_weight)
        if len(done) == 2:
            raise KeyboardInterrupt
        train(*arguments)

    monkeypatch.setattr(training, "train_once", interrupted)
    paths = [written(tmp_path / f"{i}.csv", synonyms(40, i)) for i in range(3)]
    teacher_of(KNOWS).save_pretrained(str(tmp_path / "teacher"))
    splits = ("--eval-data", paths[1], "--test-data", paths[2], "--output", tmp_path / "out")
    told = ("train", paths[0], *splits, "--teacher", tmp_path / "teacher", "--texts", texts, *QUICK, "--epochs", 1)
    result = run(*told)
    assert (result.exit_code, "1 of 3 runs is kept" in text(result)) == (130, True)
    assert "teacher embeddings are kept" in text(result)
    monkeypatch.setattr(SentenceTransformer, "encode", lambda *_, **__: pytest.fail("the teacher is asked again"))
    monkeypatch.setattr(training, "train_and_compare", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr("selective_st.distillation.taught.predict_scores", lambda *texts: np.arange(len(texts[1])))
    result = run(*told)
    assert "starting anew: 1 run" in text(result), "other scores on the labels' scale are other data"
    monkeypatch.undo()
    result = run(*told)
    assert result.exit_code == 0, result.output
    assert "going on: 1 of 3 runs is done" in text(result)
    assert done == [0.0, 0.3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--teacher", "T"), "--teacher also needs --texts FILE: the teacher scores pairs of these texts."),
        (("--texts", "x.txt"), "--texts also needs --teacher MODEL"),
        (("--teacher", "T", "--texts", "nowhere.txt"), "nowhere.txt does not exist, or is no file."),
        (("--teacher", "T", "--texts", "few.txt"), "--texts hold 2 different texts besides those of the eval and the"),
        (("--teacher", "nowhere", "--texts", "texts.txt"), "--teacher nowhere could not be loaded"),
        (
            ("--teacher", "T", "--texts", "texts.txt", "--loss", "listwise"),
            "--teacher scores single pairs, but --loss listwise learns from lists. Say --loss pointwise or",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    options: tuple[str, ...], message: str, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("few.txt").write_text("one\ntwo\none\n")
    teacher_of(KNOWS).save_pretrained("T")
    rows = [
        (first, other, score)
        for first, second, _ in synonyms(60, 0)
        for other, score in ((second, 0.5), (f"{second} more", 0.9))
    ]
    result = run("train", written(tmp_path / "a.csv", rows), "--output", "out", *options)
    assert result.exit_code == 1, result.output
    [line] = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert message in line
    assert not Path("out").exists()


def test_queries_are_no_pairs_of_a_kind() -> None:
    kind = training.loss_kind("pointwise")
    pairs = graded(synonyms(30, 0), "pairs")
    examples = kind.layout(pairs, None, 16, 0.8)
    with pytest.raises(ValueError, match="Say --no-as-queries"):
        Taught(pairs.dataset, "a", 3).laid_out(examples, "pointwise", as_queries=True)
    assert Taught(pairs.dataset, "a", 3).laid_out(examples, "pointwise", as_queries=False).pairs.column_names == [
        *examples.dataset.column_names
    ]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"teacher": "a name"}, TypeError, "teacher must be of type SentenceTransformer or CrossEncoder"),
        ({"texts": "one text"}, TypeError, "texts must be a list of texts, got 'one text'"),
        ({"texts": [1] * 60}, ValueError, r"texts must hold texts, at least one, got \[1"),
        ({"labelled": None}, TypeError, "labelled must be of type GradedPairs, got None"),
        ({"held_out": [[]]}, TypeError, "held_out must be of type GradedPairs"),
        ({"thresholds": 0.8}, TypeError, r"thresholds must be a list of numbers, got 0.8; use \[0.8\]"),
        ({"thresholds": [math.nan]}, ValueError, r"thresholds\[0\] must be"),
        ({"count": 0}, ValueError, "count must be a whole number of at least 1, got 0"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(wrong: dict[str, Any], error: type[Exception], message: str, tmp_path: Path) -> None:
    some = graded(synonyms(40, 1), "labelled.csv")
    right = {
        "teacher": teacher_of(KNOWS),
        "name": "it",
        "texts": [],
        "labelled": some,
        "held_out": [],
        "thresholds": [],
    }
    with Output(tmp_path / "out", "train") as place, pytest.raises(error, match=f"taught_pairs: {message}"):
        taught_pairs(place, **right | wrong)  # type: ignore[arg-type]


def test_too_few_texts(tmp_path: Path) -> None:
    pairs = graded(synonyms(30, 0), "pairs")
    with Output(tmp_path / "out", "train") as place, pytest.raises(DataError, match="too few to draw pairs of"):
        taught_pairs(place, teacher_of(KNOWS), "knows", ["a", "b"], pairs, [], [0.5])


@pytest.mark.parametrize("told", [False, True])
def test_the_diagnosis_points_to_it(told: bool, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = Diagnosis((0.5,), Gain(0.5, 0.4, 0.6, 1.0), Gain(0.0, -0.1, 0.1, 1.0))
    monkeypatch.setattr(training, "diagnosed", lambda *_: limited)
    monkeypatch.setattr(training, "train_and_compare", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    teacher_of(KNOWS).save_pretrained(str(tmp_path / "T"))
    paths = [written(tmp_path / f"{i}.csv", synonyms(60, i)) for i in range(3)]
    more = ("--teacher", tmp_path / "T", "--texts", texts) if told else ()
    splits = ("--eval-data", paths[1], "--test-data", paths[2], "--diagnose", "--output", tmp_path / "out")
    said = text(run("train", paths[0], *splits, *QUICK, *more))
    assert "limited by labels: more pairs, or a teacher's scores" in said
    assert ("(--teacher MODEL --texts FILE)" in said) is not told
