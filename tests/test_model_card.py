"""The section in the model's card: what it says, and that it stays through saving, pushing, copying and training on."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from datasets import Dataset, DatasetDict
from huggingface_hub import HfApi
from sentence_transformers import (
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    MultiVectorEncoderTrainer,
    MultiVectorEncoderTrainingArguments,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    SparseEncoderTrainer,
    SparseEncoderTrainingArguments,
)
from sentence_transformers.base.evaluation import BaseEvaluator, SequentialEvaluator
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.sentence_transformer.losses import AdaptiveLayerLoss, CoSENTLoss, MatryoshkaLoss
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from sentence_transformers.util import pairwise_dot_score
from torch import nn
from torch.testing import assert_close

from selective_st import plotting
from selective_st.card_section import what_counts
from selective_st.evaluation import (
    ScoreRegionEvaluator,
    ScoreThreshold,
    load_threshold,
    store_threshold,
    threshold_curve,
)
from selective_st.evaluation.metrics import metric_meaning
from selective_st.links import (
    ConstantLink,
    IdentityLink,
    Interval,
    Link,
    PiecewiseLink,
    SigmoidLink,
    extreme_scores,
    high_scores,
    link_for_thresholds,
    link_from_config,
    low_scores,
    middle_scores,
    score_region,
)
from selective_st.losses import (
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from selective_st.model_card import SelectiveModelCardCallback, add_to_model_card, describe_link
from tests.model_types import model_for, sentence, splade_model

HEADING = "## What the Loss Cares About"
BEGIN, END = "<!-- selective_st: begin", "<!-- selective_st: end -->"
PAPER = "eprint={2506.04446}"
HIGH = (
    "The loss cares most about high scores (`high_scores()`): errors at scores near 1 cost 148 times as much as near 0."
)
REGION = (
    "The loss cares most about scores from 0.7 to 0.9 (`score_region(0.7, 0.9)`): errors at scores near 0.8 cost 10 "
    "times as much as near 0.3."
)


def settings(folder: Path, kind: type[Any] = SentenceTransformerTrainingArguments, **changes: Any) -> Any:
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": 1,
        "per_device_train_batch_size": 16,
        "learning_rate": 2e-2,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    return kind(**{**given, **changes})


def train(
    model: SentenceTransformer,
    data: Dataset | DatasetDict,
    loss: Any,
    folder: Path,
    callback: SelectiveModelCardCallback | None,
    **changes: Any,
) -> SentenceTransformerTrainer:
    evaluator, resume = changes.pop("evaluator", None), changes.pop("resume", None)
    trainer = SentenceTransformerTrainer(
        model,
        settings(folder, **changes),
        data,
        loss=loss,
        evaluator=evaluator,
        callbacks=[callback] if callback else None,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def evaluator_of(data: Dataset, name: str = "dev", **options: Any) -> ScoreRegionEvaluator:
    columns = [list(data[column]) for column in ("sentence1", "sentence2", "score")]
    return ScoreRegionEvaluator(*columns, name=name, **options)


def saved(model: Any, folder: Path) -> str:
    model.save_pretrained(str(folder))
    return (folder / "README.md").read_text(encoding="utf-8")


def section_of(card: str) -> str:
    """The one section of the card."""
    assert card.count(BEGIN) == card.count(END) == card.count(HEADING) == 1
    return card[card.index(BEGIN) : card.index(END)]


def links_of(section: str) -> list[Link]:
    return [link_from_config(json.loads(block)) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]


def pictures_of(section: str) -> list[str]:
    return re.findall(r"^!\[[^]\n]+\]\(([a-z0-9_-]+\.png)\)$", section, re.MULTILINE)


def assert_pictures(section: str, folder: Path, count: int) -> None:
    names = pictures_of(section)
    assert len(set(names)) == len(names) == count
    for name in names:
        picture = (folder / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 5000


def table_of(section: str) -> dict[str, list[str]]:
    """The rows of the metric tables, cells by metric; the header under "Metric"."""
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {name.strip("*"): cells for name, *cells in rows}


def cell(value: float, rests_on: str = "") -> str:
    """A number with as many digits as the cases that it rests on allow."""
    if not rests_on:
        return "n/a" if value != value else f"{value:.4f}"
    cases = int(rests_on.split()[0])
    if value != value or not cases:
        return "not defined"
    text = f"{value:.{1 if cases < 10 else 2 if cases < 100 else 3}f}"
    return text if cases >= 10 else f"{text} (too few)"


def assert_column(section: str, title: str, metrics: Mapping[str, float], prefix: str = "dev_") -> None:
    table = table_of(section)
    place = table["Metric"].index(title)
    rows = {title: cells for title, cells in table.items() if title != "Metric"}
    assert len(rows) > 8
    given = {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
    named = {metric_meaning(name).title: value for name, value in given.items()}
    assert {title: cells[place] for title, cells in rows.items()} == {
        title: cell(named[title], cells[-1] if table["Metric"][-1] == "Rests on" else "")
        for title, cells in rows.items()
    }
    # What says nothing of how good a model is has no row.
    assert not any(title.startswith(("Pairs", "Threshold")) or title.endswith("quantile") for title in rows)


# --- Sentences --------------------------------------------------------------------------------------------------------


_COST = "errors at scores near"
SENTENCES = [
    (high_scores(), HIGH),
    (high_scores(3), f"high scores (`high_scores(strength=3)`): {_COST} 1 cost 20 times as much as near 0."),
    (2 * high_scores(), f"high scores (shaped as `high_scores()`): {_COST} 1 cost 148 times as much as near 0."),
    (high_scores().linear_outside(None, 1.0), "high scores (shaped as `high_scores()`)"),
    (3 * (2 * low_scores(4)), "low scores (shaped as `low_scores(strength=4)`)"),
    (copy.deepcopy(score_region(0.7, 0.9)), REGION),
    (low_scores(), f"low scores (`low_scores()`): {_COST} 0 cost 148 times as much as near 1."),
    (extreme_scores(), f"at both ends (`extreme_scores()`): {_COST} 0 and 1 cost 74 times as much as near 0.5."),
    (middle_scores(), f"scores in the middle (`middle_scores()`): {_COST} 0.5 cost 38 times as much as near 0."),
    (
        link_for_thresholds([0.5]),
        f"decisions at 0.5 (`link_for_thresholds((0.5,))`): {_COST} 0.5 cost 10 times as much as near 0.",
    ),
    (
        link_for_thresholds([0.25, 0.75], weights=[1, 2], elsewhere=0.125),
        "decisions at 0.25 and 0.75 (`link_for_thresholds((0.25, 0.75), weights=(1, 2), elsewhere=0.125)`):",
    ),
    (score_region(0.7, 0.9), REGION),
    (
        score_region(0.1, 0.2, 4),
        f"`score_region(0.1, 0.2, strength=4)`): {_COST} 0.15 cost 4 times as much as near 0.65.",
    ),
    # None of the presets.
    (IdentityLink() + SigmoidLink(20, 0.8), f"from 0.7 to 0.9: {_COST} 0.8 cost 6 times as much as near 0.23."),
    (PiecewiseLink([0.5, 0.6], [0, 2]), f"above 0.55: {_COST} 0.8 cost more than 1000 times as much as near 0.25."),
    (
        SigmoidLink(30, 0.2) + SigmoidLink(20, 0.8),
        f"from 0.14 to 0.26 and from 0.75 to 0.85: {_COST} 0.2 cost 218 times as much as near 0.46.",
    ),
    (IdentityLink(), "The loss cares about every score alike: an error costs the same wherever the score lies."),
    (ConstantLink(), "The loss cares about no score from 0 to 1."),
]


@pytest.mark.parametrize(("link", "expected"), SENTENCES, ids=[repr(link) for link, _ in SENTENCES])
def test_sentence(link: Link, expected: str) -> None:
    assert expected in describe_link(link)


def test_sentence_by_value() -> None:
    gentle = "in a ranking, a candidate with a score near 1 counts 20 times as much as one near 0."
    assert describe_link(high_scores(3), of="value") == (
        f"The loss cares most about high scores (`high_scores(strength=3)`): {gentle}"
    )
    assert "alike: in a ranking, all candidates count the same" in describe_link(ConstantLink(), of="value")
    # The value of a link for low scores is negative, and that of a region is large beyond the region.
    assert (
        "scores below 0.14 (`low_scores()`): in a ranking, a candidate with a score near 0 counts 148"
        in describe_link(low_scores(), of="value")
    )
    assert "candidates with a score near 0 and 1 count" in describe_link(extreme_scores(), of="value")
    assert "scores above" in describe_link(score_region(0.4, 0.6), of="value")


def test_sentence_on_another_range() -> None:
    scores = (0.0, 5.0)
    sentence = describe_link(high_scores(score_range=scores), scores)
    assert "`high_scores(score_range=(0, 5))`): errors at scores near 5 cost 148 times as much as near 0" in sentence
    assert "near 1 cost 2.7 times" in describe_link(high_scores(score_range=scores))
    with pytest.raises(ValueError, match="of must be"):
        describe_link(high_scores(), of="slope")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"score_range\[0\] must be below|low must be below"):
        describe_link(high_scores(), (1.0, 1.0))


@pytest.mark.parametrize("seed", range(5))
def test_the_ratio_is_that_of_the_sensitivities(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    knots = torch.rand(5, generator=generator, dtype=torch.float64).sort().values
    link = PiecewiseLink(knots.tolist(), (0.1 + torch.rand(5, generator=generator, dtype=torch.float64)).tolist())
    sensitivity = link.sensitivity(torch.linspace(0, 1, 1001, dtype=torch.float64))
    found = re.search(r"cost (?:up to )?([\d.]+) times", describe_link(link))
    assert found is not None
    assert float(found.group(1)) == pytest.approx(float(sensitivity.max() / sensitivity.min()), rel=0.05)


# --- One training, and what becomes of its card -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(pair_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("card")
    rows = pair_dataset.rename_columns({"sentence1": "a", "sentence2": "b"})
    model = model_for("SentenceTransformer")
    evaluator = evaluator_of(pair_dataset)
    loss = SelectivePointwiseLoss(model, score_region(0.7, 0.9))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    measured = copy.deepcopy(model)
    base = evaluator(measured)
    callback = SelectiveModelCardCallback(
        loss, evaluator, threshold=lambda trained: evaluator.choose_threshold(trained, gold=0.6)
    )
    trainer = train(model, rows, loss, folder / "work", callback)
    card = saved(model, folder / "model")
    trained = evaluator(copy.deepcopy(model))
    return SimpleNamespace(**locals())


class TestOneTraining:
    def test_what_the_loss_cares_about(self, run: SimpleNamespace) -> None:
        section = section_of(run.card)
        assert REGION in section
        assert "Trained with `SelectivePointwiseLoss`." in section
        assert links_of(section) == [score_region(0.7, 0.9)]

    def test_picture(self, run: SimpleNamespace) -> None:
        section = section_of(run.card)
        assert_pictures(section, run.folder / "model", 1)
        alternative = re.search(r"!\[(.*)\]", section)
        assert alternative is not None
        assert "cares most about scores from 0.7 to 0.9" in alternative.group(1)
        assert pictures_of(section) == ["threshold_curves.png"]

    def test_the_curves_of_the_picture(
        self, run: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those of the model before and after the training, over the link's sensitivity, with the counts."""
        given: list[Any] = []
        monkeypatch.setattr(plotting, "plot_threshold_curves", lambda *args, **more: given.append((args, more)))
        saved(run.model, tmp_path)
        (((curves, path), more),) = given
        assert path == tmp_path / "threshold_curves.png"
        model = model_for("SentenceTransformer")
        model.load_state_dict(run.before)
        gold = run.evaluator.scores
        for name, of in (("untrained", model), ("trained", run.model)):
            at, losses = curves[name]
            expected = threshold_curve(run.evaluator.predict(of), gold, at)[1]
            assert losses == pytest.approx(expected, abs=1e-6)
        assert more["baseline"] == "untrained"
        assert list(more["gold"]) == list(gold)
        assert more["thresholds"] == (0.6,)
        scores = torch.linspace(0, 1, 50, dtype=torch.float64)
        link = score_region(0.7, 0.9)
        assert_close(more["link"].sensitivity(scores), link.sensitivity(scores), rtol=0.02, atol=0.02)

    def test_metrics(self, run: SimpleNamespace) -> None:
        section = section_of(run.card)
        assert run.base != run.trained
        assert_column(section, "Base", run.base)
        assert_column(section, "Trained", run.trained)
        table = table_of(section)
        rise = round(run.trained["dev_rmse"], 2) - round(run.base["dev_rmse"], 2)  # of what is shown
        assert table["Error"][2:] == [
            f"{rise:+.2f}" if run.trained["dev_rmse"] != run.base["dev_rmse"] else "0",
            "64 pairs",
        ]
        sought = sum(score >= 0.95 - 1e-9 for score in run.evaluator.scores)
        assert table["Average precision, gold ≥ 0.95"][3] == f"{sought} of 64 pairs"
        assert "### Score Regions on `dev`, Before and After Training" in section
        assert "| **Average precision, gold ≥ 0.95** |" in section  # the one that chooses checkpoints
        # Rows of Markdown tables have one length.
        assert {line.count("|") for line in section.splitlines() if line.startswith("|")} == {6}

    def test_threshold(self, run: SimpleNamespace) -> None:
        threshold = run.evaluator.choose_threshold(run.model, gold=0.6)
        text = section_of(run.card)
        assert f"a predicted score of at least {threshold.value:.4g} stands for a gold score of at least 0.6." in text
        assert threshold.metric_value is not None
        assert f"chosen for the highest F1 on `dev` ({threshold.metric_value:.2f}; 64 pairs, " in text

    def test_the_lines_that_decide(self, run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        """Load, score, decide: with the threshold that was stored, as the card says it."""
        (code,) = re.findall(r"```python\n(.*?)```", section_of(run.card), re.DOTALL)
        *imports, empty, load, score, decide = code.splitlines()
        assert len(imports) == 2
        assert not empty
        assert "load_threshold(" in load
        assert decide == "print(threshold.decide(scores))"
        monkeypatch.chdir(run.folder / "model")
        found: dict[str, Any] = {}
        lines = "\n".join([*imports, load, score, decide]).replace("sentence_transformers_model_id", ".")
        exec(lines.replace("print(threshold.decide(scores))", "matches = threshold.decide(scores)"), found)
        assert found["threshold"] == load_threshold(run.model)
        assert found["threshold"].gold == 0.6
        assert found["matches"].tolist() == [found["scores"][0] >= found["threshold"].value]

    def test_citation_and_place(self, run: SimpleNamespace) -> None:
        assert run.card.count(PAPER) == run.card.count("@misc{shamir2025selective") == 1
        assert run.card.index(HEADING) < run.card.index("## Training Details") < run.card.index(PAPER)
        assert "stands at the end of this card" in section_of(run.card)
        assert run.card.startswith("---\n")

    def test_the_training_is_the_same_without(self, run: SimpleNamespace, tmp_path: Path) -> None:
        model = model_for("SentenceTransformer")
        model.load_state_dict(run.before)
        train(model, run.rows, SelectivePointwiseLoss(model, score_region(0.7, 0.9)), tmp_path, None)
        for name, parameter in model.state_dict().items():
            assert_close(parameter, run.model.state_dict()[name], rtol=0, atol=0)
        assert HEADING not in saved(model, tmp_path / "model")

    def test_upstreams_part_of_the_card_stays(self, run: SimpleNamespace) -> None:
        """The log has the base model at step 0 and the trained one at the last; the evaluation is of the latter."""
        log = run.card[run.card.index("### Training Logs") :]
        for step, metrics in ((0, run.base), (4, run.trained)):
            assert re.search(rf"\| {step} +\|.* {round(metrics['dev_ap_ge_0.95'], 2)} ", log)
        metadata = yaml.safe_load(run.card.split("---\n")[1])
        (result,) = metadata["model-index"][0]["results"]
        values = {metric["type"]: metric["value"] for metric in result["metrics"]}
        assert values["rmse"] == round(run.trained["dev_rmse"], 2)
        assert metadata["metrics"] == list(values)
        assert f"<code>{run.rows[0]['a']}</code>" in run.card[run.card.index("* Samples:") :]
        for heading in ("## Model Details", "## Usage", "### Training Dataset", "### Framework Versions", "### BibTeX"):
            assert f"\n{heading}\n" in run.card

    def test_readable_and_short(self, run: SimpleNamespace) -> None:
        """What upstream leaves to be filled in is not there, names are for people, and nothing is told twice."""
        (result,) = yaml.safe_load(run.card.split("---\n")[1])["model-index"][0]["results"]
        names = [metric["name"] for metric in result["metrics"]]
        assert "Average precision, gold ≥ 0.95" in names
        assert "Error, gold 0.8 to 1" in names
        assert not any(name.startswith(("Count", "Q", "Threshold")) for name in names)
        assert "Unknown" not in run.card
        assert "Additional Resources" not in run.card
        assert "<!--\n" not in run.card
        assert "\n## Evaluation\n" not in run.card  # the section has its numbers
        assert "`num_train_epochs`: 1 · " in run.card
        lines = run.card.splitlines()
        assert len(lines) <= 250
        body = lines[lines.index("---", 1) :]
        assert body.index(HEADING) < 12
        assert any(REGION in line for line in body[:16])
        place = next(row for row, line in enumerate(body) if line.startswith("!["))
        assert place < 16

    def test_saved_anywhere_any_number_of_times(self, run: SimpleNamespace, tmp_path: Path) -> None:
        for name in ("one", "two", "one"):
            card = saved(run.model, tmp_path / name)
            assert section_of(card) == section_of(run.card)
            assert_pictures(section_of(card), tmp_path / name, 1)
            assert card.count(PAPER) == 1

    @pytest.mark.parametrize("how", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
    def test_copied_and_pickled(self, run: SimpleNamespace, how: Any, tmp_path: Path) -> None:
        other = how(run.model)
        assert section_of(saved(other, tmp_path / "other")) == section_of(run.card)
        # The copy's card is its own.
        add_to_model_card(other, SelectivePointwiseLoss(other, low_scores()))
        assert "low_scores()" in section_of(saved(other, tmp_path / "other"))
        assert section_of(saved(run.model, tmp_path / "model")) == section_of(run.card)

    def test_no_class_changes(self, run: SimpleNamespace, tmp_path: Path) -> None:
        assert "_create_model_card" in vars(run.model)
        assert HEADING not in saved(model_for("SentenceTransformer"), tmp_path)

    def test_loaded_and_saved_again_the_text_is_kept(self, run: SimpleNamespace, tmp_path: Path) -> None:
        """As Sentence Transformers does with the rest of its own card."""
        loaded = SentenceTransformer(str(run.folder / "model"), device="cpu")
        assert saved(loaded, tmp_path) == run.card

    def test_a_users_text_is_never_lost(self, run: SimpleNamespace, tmp_path: Path) -> None:
        saved(run.model, tmp_path / "edited")
        readme = tmp_path / "edited" / "README.md"
        edited = (
            run.card.replace("## Training Details", "## My Notes\n\nNot for cats.\n\n## Training Details") + "Bye.\n"
        )
        readme.write_text(edited, encoding="utf-8")
        loaded = SentenceTransformer(str(tmp_path / "edited"), device="cpu")
        assert saved(loaded, tmp_path / "kept") == edited
        add_to_model_card(loaded, SelectivePointwiseLoss(loaded, high_scores()), run.evaluator)
        for _ in range(2):
            card = saved(loaded, tmp_path / "again")
            assert HIGH in section_of(card)
            assert card.replace(section_of(card), "") == edited.replace(section_of(edited), "")
            assert_pictures(section_of(card), tmp_path / "again", 1)

    def test_a_card_without_the_section_gets_one(self, run: SimpleNamespace, tmp_path: Path) -> None:
        """In a card of the user's own making: before its citation, not within a comment, or at its end."""
        saved(run.model, tmp_path / "own")
        for text, before in (
            ("# Mine\n\n<!--\n## Citation\n-->\n\n## Citation\n\nNone.\n", "# Mine\n\n<!--\n## Citation\n-->\n\n"),
            ("# Mine\n", "# Mine\n\n"),
        ):
            (tmp_path / "own" / "README.md").write_text(text, encoding="utf-8")
            loaded = SentenceTransformer(str(tmp_path / "own"), device="cpu")
            add_to_model_card(loaded, SelectivePointwiseLoss(loaded, high_scores()))
            card = saved(loaded, tmp_path / "out")
            assert card.startswith(before + BEGIN)
            assert card.replace(section_of(card) + END, "").split() == text.split()
            assert card.count(PAPER) == 1  # in the section: the user's card has none

    def test_trained_again_without_the_callback_it_goes(
        self, run: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = copy.deepcopy(run.model)
        train(model, run.rows, CoSENTLoss(model), tmp_path / "work", None)
        with caplog.at_level(logging.WARNING, logger="selective_st"):
            card = saved(model, tmp_path / "model")
        assert HEADING not in card
        assert "out of date and left out" in caplog.text

    def test_trained_again_with_the_callback_it_is_up_to_date(self, run: SimpleNamespace, tmp_path: Path) -> None:
        model = copy.deepcopy(run.model)
        loss = SelectivePointwiseLoss(model, high_scores())
        train(model, run.rows, loss, tmp_path / "work", SelectiveModelCardCallback(loss, run.evaluator))
        section = section_of(saved(model, tmp_path / "model"))
        assert HIGH in section
        assert REGION not in section
        assert_column(section, "Base", run.trained)
        assert_column(section, "Trained", run.evaluator(copy.deepcopy(model)))

    @pytest.mark.slow
    def test_loaded_and_trained_again(self, run: SimpleNamespace, tmp_path: Path) -> None:
        """Sentence Transformers makes the card anew: once more with one section, or without."""
        for callback in (True, False):
            model = SentenceTransformer(str(run.folder / "model"), device="cpu")
            loss = SelectivePointwiseLoss(model, high_scores())
            train(model, run.rows, loss, tmp_path / "work", SelectiveModelCardCallback(loss) if callback else None)
            card = saved(model, tmp_path / "model")
            assert card.count(HEADING) == callback
            assert card.count(HIGH) == callback
            assert REGION not in card
            assert card.count(PAPER) == 1

    def test_pushed_to_the_hub(self, run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        uploads = uploads_of(monkeypatch)
        for _ in range(2):
            copy.deepcopy(run.model).push_to_hub("someone/model", token="hf_none", exist_ok=True)
        assert len(uploads) == 2
        for files in uploads:
            card = files["README.md"].decode()
            # The lines that load it name it as it is called there.
            assert "load_threshold('someone/model')" in section_of(card)
            assert section_of(card).replace("someone/model", "sentence_transformers_model_id") == section_of(run.card)
            (picture,) = pictures_of(section_of(card))
            assert files[picture].startswith(b"\x89PNG")

    def test_pushed_by_the_trainer(self, run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        """The trainer writes the card once more, without saving the model."""
        uploads = uploads_of(monkeypatch)
        run.trainer.hub_model_id = "someone/model"
        run.trainer.push_to_hub()
        (files,) = uploads
        section = section_of(files["README.md"].decode())
        assert REGION in section
        assert files[pictures_of(section)[0]].startswith(b"\x89PNG")


def uploads_of(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, bytes]]:
    """The files of each folder that would go to the hub, by path; nothing does."""
    uploads: list[dict[str, bytes]] = []

    def upload_folder(*args: Any, folder_path: str, **kwargs: Any) -> Any:
        files = {str(path.relative_to(folder_path)): path for path in Path(folder_path).rglob("*") if path.is_file()}
        uploads.append({name: path.read_bytes() for name, path in files.items()})
        return SimpleNamespace(commit_url="https://example.org", pr_url=None)

    monkeypatch.setattr(HfApi, "create_repo", lambda *args, **kwargs: SimpleNamespace(repo_id="someone/model"))
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr("transformers.trainer.upload_folder", upload_folder, raising=False)
    monkeypatch.setattr("sentence_transformers.base.model.load_file_path", lambda *args, **kwargs: None)
    return uploads


# --- Checkpoints ------------------------------------------------------------------------------------------------------


def test_checkpoints_and_the_best_of_them(
    static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluator = evaluator_of(pair_dataset, main_metric="rmse")
    base = evaluator(copy.deepcopy(static_model))
    loss = SelectivePointwiseLoss(static_model, high_scores())
    callback = SelectiveModelCardCallback(loss, evaluator)
    strategy = {"save_strategy": "steps", "eval_strategy": "steps", "save_steps": 2, "eval_steps": 2}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_dev_rmse", "greater_is_better": True}
    trainer = train(
        static_model,
        pair_dataset,
        loss,
        tmp_path / "work",
        callback,
        evaluator=evaluator,
        num_train_epochs=2,
        **strategy,
        **best,
    )
    assert "Write metric_for_best_model='eval_dev_negative_rmse', or greater_is_better=False." in caplog.text
    logs = {entry["step"]: entry for entry in trainer.state.log_history if "eval_dev_rmse" in entry}
    assert list(logs) == [2, 4, 6, 8]
    for step, log in logs.items():
        folder = tmp_path / "work" / f"checkpoint-{step}"
        section = section_of((folder / "README.md").read_text(encoding="utf-8"))
        assert_pictures(section, folder, 1)
        assert_column(section, "Base", base)
        assert_column(section, "Trained", {name.removeprefix("eval_"): value for name, value in log.items()})
    # The error falls: with the largest taken for the best, it is not the last checkpoint.
    found = max(logs, key=lambda step: logs[step]["eval_dev_rmse"])
    assert found != 8
    section = section_of(saved(static_model, tmp_path / "model"))
    assert_column(section, "Trained", {name.removeprefix("eval_"): value for name, value in logs[found].items()})
    assert_column(section, "Base", base)


def test_a_checkpoint_that_nobody_measured(
    static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path
) -> None:
    """It shows no numbers of other weights: neither of the base model nor of an earlier step."""
    evaluator = evaluator_of(pair_dataset)
    base = evaluator(copy.deepcopy(static_model))
    loss = SelectivePointwiseLoss(static_model, high_scores())
    callback = SelectiveModelCardCallback(loss, evaluator, threshold=ScoreThreshold(0.5, 0.9))
    strategy = {"save_strategy": "steps", "eval_strategy": "steps", "save_steps": 2, "eval_steps": 3}
    trainer = train(
        static_model, pair_dataset, loss, tmp_path, callback, evaluator=evaluator, num_train_epochs=2, **strategy
    )
    assert [entry["step"] for entry in trainer.state.log_history if "eval_dev_rmse" in entry][:2] == [3, 6]
    for step in (2, 4):
        card = (tmp_path / f"checkpoint-{step}" / "README.md").read_text(encoding="utf-8")
        section = section_of(card)
        assert_column(section, "Base", base)
        assert table_of(section)["Metric"] == ["Base", "Rests on"]
        assert "has not been measured: its training has not ended" in section
        assert "**0.5**: a predicted score of at least 0.5 stands for a gold score of at least 0.9. It was" in section
        assert "## Evaluation" not in card  # of what was measured at an earlier step
        assert pictures_of(section) == ["threshold_curves.png"]


def test_numbers_from_before_are_not_taken_for_new_ones(
    static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path
) -> None:
    """The trainer evaluates only the loss, but the evaluator has reported something once."""
    evaluator = evaluator_of(pair_dataset)
    evaluator(static_model)
    loss = SelectivePointwiseLoss(static_model, high_scores())
    trainer = SentenceTransformerTrainer(
        static_model,
        settings(tmp_path, save_strategy="steps", eval_strategy="steps", save_steps=2, eval_steps=2),
        pair_dataset,
        pair_dataset,
        loss=loss,
        callbacks=[SelectiveModelCardCallback(loss, evaluator)],
    )
    trainer.train()
    section = section_of((tmp_path / "checkpoint-2" / "README.md").read_text(encoding="utf-8"))
    assert table_of(section)["Metric"] == ["Base", "Rests on"]


def test_measured_after_the_training(static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path) -> None:
    """`trainer.evaluate()` before and after the training."""
    evaluator = evaluator_of(pair_dataset)
    loss = SelectivePointwiseLoss(static_model, high_scores())
    callback = SelectiveModelCardCallback(loss, evaluator, metrics=["rmse"])
    trainer = SentenceTransformerTrainer(
        static_model,
        settings(tmp_path / "work"),
        pair_dataset,
        pair_dataset,
        loss=loss,
        evaluator=evaluator,
        callbacks=[callback],
    )
    before = trainer.evaluate()
    trainer.train()
    with torch.no_grad():
        static_model[0].embedding.weight.add_(0.05)
    after = trainer.evaluate()
    rmse = [cell(metrics["eval_dev_rmse"], "64 pairs") for metrics in (before, after)]
    assert table_of(section_of(saved(static_model, tmp_path / "model")))["Error"][:2] == rmse


@pytest.mark.slow
def test_resumed(static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path) -> None:
    """The base model is the one before the first part of the training; its numbers are in the checkpoint."""
    evaluator = evaluator_of(pair_dataset)
    changes = {"save_strategy": "steps", "save_steps": 2}
    base = evaluator(copy.deepcopy(static_model))

    def resumed(folder: Path, with_callback: bool) -> tuple[str, SentenceTransformer]:
        for resume, attach in ((None, with_callback), (str(folder / "checkpoint-2"), True)):
            model = copy.deepcopy(static_model)
            loss = SelectivePointwiseLoss(model, high_scores())
            callback = SelectiveModelCardCallback(loss, evaluator) if attach else None
            train(model, pair_dataset, loss, folder, callback, resume=resume, **changes)
        return section_of(saved(model, folder / "model")), model

    section, model = resumed(tmp_path / "known", with_callback=True)
    assert_column(section, "Base", base)
    assert_column(section, "Trained", evaluator(copy.deepcopy(model)))
    section, model = resumed(tmp_path / "unknown", with_callback=False)
    assert table_of(section)["Metric"] == ["Trained", "Rests on"]
    assert "The base model was not measured" in section
    assert_column(section, "Trained", evaluator(copy.deepcopy(model)))


# --- Losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_several_datasets_with_a_loss_each(
    static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path
) -> None:
    texts = list(pair_dataset["sentence1"]), list(pair_dataset["sentence2"])
    lists = Dataset.from_dict({"q": texts[0], "d1": texts[1], "d2": texts[1][::-1], "labels": [[0.9, 0.1]] * 64})
    losses: dict[str, nn.Module] = {
        "Graded Pairs": SelectivePointwiseLoss(static_model, score_region(0.7, 0.9)),
        "graded/pairs": MatryoshkaLoss(static_model, SelectivePointwiseLoss(static_model, low_scores()), [32, 16]),
        "lists": SelectiveListwiseLoss(
            static_model, link=high_scores(2), calibration=0.2, calibration_link=high_scores()
        ),
        "others": CoSENTLoss(static_model),
    }
    data = DatasetDict({name: lists if name == "lists" else pair_dataset for name in losses})
    train(static_model, data, losses, tmp_path / "work", SelectiveModelCardCallback(losses))
    card = saved(static_model, tmp_path / "model")
    section = section_of(card)
    assert re.findall(r"### Dataset `(.*)`", section) == list(losses)
    expected = [score_region(0.7, 0.9), low_scores(), high_scores(2), high_scores()]
    assert links_of(section) == expected
    assert_pictures(section, tmp_path / "model", 4)
    _, pairs, within, ranked, others = section.split("### Dataset ")
    assert REGION in pairs
    assert "Trained with `SelectivePointwiseLoss` within `MatryoshkaLoss`." in within
    assert "in a ranking, a candidate with a score near 1 counts 7.4 times as much as one near 0." in ranked
    assert f"The calibration term (weight 0.2), which places the scores: {HIGH[0].lower()}{HIGH[1:]}" in ranked
    assert "Trained with `CoSENTLoss`, which has no link." in others
    # Of upstream, the paper stands once for the pointwise and once for the listwise loss.
    citations = card[card.index("### BibTeX") :]
    assert card.count(PAPER) == citations.count(PAPER) == 1
    for entry in ("2010.11386", "2205.13147", "1908.10084", "10531646"):
        assert citations.count(entry) == card.count(entry) > 0


def adaptive(model: Any) -> nn.Module:
    return AdaptiveLayerLoss(model, MatryoshkaLoss(model, SelectivePointwiseLoss(model, high_scores()), [16, 8]))


def test_deep_within_others(pair_dataset: Dataset, tmp_path: Path) -> None:
    model = model_for("SentenceTransformer")
    loss = adaptive(model)
    train(model, pair_dataset, loss, tmp_path / "work", SelectiveModelCardCallback(loss))
    card = saved(model, tmp_path / "model")
    assert "`SelectivePointwiseLoss` within `MatryoshkaLoss` within `AdaptiveLayerLoss`." in section_of(card)
    assert links_of(section_of(card)) == [high_scores()]
    assert card.count(PAPER) == 1


def test_within_splade(tmp_path: Path) -> None:
    model = splade_model()
    inner = SelectivePointwiseLoss(model, high_scores().linear_outside(None, 1.0), similarity_fct=pairwise_dot_score)
    loss = SpladeLoss(model, inner, document_regularizer_weight=1e-3, query_regularizer_weight=1e-3)
    trainer = SparseEncoderTrainer(
        model,
        settings(tmp_path / "work", SparseEncoderTrainingArguments),
        graded(),
        loss=loss,
        callbacks=[SelectiveModelCardCallback(loss)],
    )
    trainer.train()
    section = section_of(saved(model, tmp_path / "model"))
    assert "Trained with `SelectivePointwiseLoss` within `SpladeLoss`." in section
    assert links_of(section) == [high_scores().linear_outside(None, 1.0)]


def test_a_calibration_term_is_told_only_where_there_may_be_one(
    static_model: SentenceTransformer, tmp_path: Path
) -> None:
    def section(loss: nn.Module) -> str:
        add_to_model_card(static_model, loss)
        return section_of(saved(static_model, tmp_path / "model"))

    scores, labels = (SelectiveListwiseLoss(static_model, link=high_scores(), targets=t) for t in ("scores", "labels"))
    in_batch = SelectiveMultipleNegativesRankingLoss(static_model, link=high_scores())
    assert "The calibration term (weight 1)" in section(scores)
    assert "calibration term" not in section(labels)
    assert "Where labels are a teacher's scores, the calibration term (weight 1)" in section(in_batch)


def test_the_order_loss_is_told_by_its_weights(static_model: SentenceTransformer, tmp_path: Path) -> None:
    def section(loss: nn.Module) -> str:
        add_to_model_card(static_model, loss)
        return section_of(saved(static_model, tmp_path / "model"))

    weighed = section(SelectiveOrderLoss(static_model, weight_link=SigmoidLink(20, 0.5)))
    assert (
        "Trained with `SelectiveOrderLoss`. Two pairs in the wrong order count by how far this link has their labels "
        "apart: the loss cares most about scores from 0.41 to 0.59: errors at scores near 0.5 cost more than 1000 times"
    ) in weighed
    assert "alike" not in weighed
    assert links_of(weighed) == [SigmoidLink(20, 0.5)]
    both = section(
        SelectiveOrderLoss(
            static_model, weight_link=low_scores(), link=high_scores(), calibration=0.5, calibration_link=IdentityLink()
        )
    )
    assert links_of(both) == [low_scores(), high_scores(), IdentityLink()]
    assert "The calibration term (weight 0.5), which places the scores: the loss cares about every score alike" in both
    assert "teacher" not in both


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda model: SelectivePointwiseLoss(model, high_scores()), high_scores()),
        (lambda model: SelectiveOrderLoss(model, weight_link=SigmoidLink(20, 0.5)), SigmoidLink(20, 0.5)),
        (lambda model: SelectiveOrderLoss(model), None),
        (lambda model: SelectiveListwiseLoss(model, link=high_scores(), targets="labels"), None),
        (
            lambda model: SelectiveListwiseLoss(
                model, link=high_scores(), calibration=0.3, calibration_link=low_scores()
            ),
            low_scores(),
        ),
    ],
)
def test_what_is_shaded_under_the_curves(loss: Any, expected: Link | None, static_model: SentenceTransformer) -> None:
    found = what_counts({"": loss(static_model)}, (0.0, 1.0))
    if expected is None:
        assert found is None
        return
    assert found is not None
    scores = torch.linspace(0, 1, 50, dtype=torch.float64)
    assert_close(found.sensitivity(scores), expected.sensitivity(scores), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("targets", "parts"),
    [
        (None, ("in a ranking, a candidate", "Where labels are margins: the loss cares most about high scores")),
        ("margins", ("errors at scores near 1 cost 148 times", "Its scores are margins")),
        ("scores", ("in a ranking, a candidate", "The calibration term (weight 1), which places the scores: the loss")),
    ],
)
def test_pairwise(targets: Any, parts: Sequence[str], static_model: SentenceTransformer, tmp_path: Path) -> None:
    calibration = {"calibration": 1.0} if targets == "scores" else {}
    loss = SelectivePairwiseLoss(static_model, link=high_scores(), targets=targets, **calibration)
    add_to_model_card(static_model, loss)
    section = section_of(saved(static_model, tmp_path))
    assert all(part in section for part in parts)
    assert len(links_of(section)) == 1


# --- Model types ------------------------------------------------------------------------------------------------------


class Drift(nn.Module):
    """A loss of one's own that trains a model of any type, and a link that pickle cannot find."""

    def __init__(self, model: Any) -> None:
        super().__init__()

        class Local(Link):
            domain = Interval(0.0, 1.0)

            def h(self, z: torch.Tensor) -> torch.Tensor:
                return z**3

        self.model, self.link = model, Local()

    def forward(self, features: Any, labels: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        score = torch.sigmoid(sum(parameter.mean() for parameter in self.model.parameters()))
        return self.link.divergence(score, labels.to(score)).mean()

    def get_config_dict(self) -> dict[str, Any]:
        return {"link": self.link.get_config_dict()}


class MeanWeight(BaseEvaluator):
    """Gives a number, not a dict."""

    def __call__(self, model: Any, output_path: str | None = None, epoch: int = -1, steps: int = -1) -> float:
        return float(sum(parameter.detach().double().mean() for parameter in model.parameters()))


def graded() -> Dataset:
    texts = [sentence(number) for number in range(32)]
    return Dataset.from_dict({"a": texts, "b": texts[::-1], "score": [number / 31 for number in range(32)]})


TRAINERS = {
    "SentenceTransformer": (SentenceTransformerTrainer, SentenceTransformerTrainingArguments),
    "CrossEncoder": (CrossEncoderTrainer, CrossEncoderTrainingArguments),
    "SparseEncoder": (SparseEncoderTrainer, SparseEncoderTrainingArguments),
    "MultiVectorEncoder": (MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments),
}


@pytest.mark.parametrize("kind", TRAINERS)
@pytest.mark.slow
def test_model_types(kind: str, tmp_path: Path) -> None:
    model = model_for(kind)
    trainer_class, arguments_class = TRAINERS[kind]
    loss, evaluator = Drift(model), MeanWeight()
    base = evaluator(model)
    trainer_class(
        model,
        settings(tmp_path / "work", arguments_class),
        graded(),
        loss=loss,
        callbacks=[SelectiveModelCardCallback(loss, evaluator)],
    ).train()
    del loss
    restored = pickle.loads(pickle.dumps(model))
    for number, one in enumerate((model, restored)):
        card = saved(one, tmp_path / str(number))
        section = section_of(card)
        assert "Trained with `Drift`." in section
        assert "cares most about scores above 0.71" in section  # where 3 z^2 is half of 3
        assert '"type": "Local"' in section
        assert table_of(section)["score"] == [cell(base), cell(evaluator(model)), f"{evaluator(model) - base:+.4f}"]
        assert card.count(PAPER) == 1  # a loss of one's own cites nothing
        assert card.index(HEADING) < card.index("## Training Details")
        assert_pictures(section, tmp_path / str(number), 1)


# --- One call ---------------------------------------------------------------------------------------------------------


def test_add_to_model_card(static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path) -> None:
    """Trained without the trainer: what upstream's card tells of the loss is there, too."""
    base = copy.deepcopy(static_model)
    static_model.eval()
    with torch.no_grad():
        static_model[0].embedding.weight.add_(0.1)
    similarity = EmbeddingSimilarityEvaluator(
        list(pair_dataset["sentence1"]), list(pair_dataset["sentence2"]), list(pair_dataset["score"]), name="sts"
    )
    evaluator = evaluator_of(pair_dataset)
    loss = MatryoshkaLoss(static_model, SelectivePointwiseLoss(static_model, high_scores()), [32, 16])
    add_to_model_card(
        static_model,
        loss,
        SequentialEvaluator([evaluator, similarity]),
        base_model=base,
        threshold=evaluator.choose_threshold(static_model, gold=0.8, metric="f2"),
    )
    card = saved(static_model, tmp_path)
    section = section_of(card)
    regions, correlation, _ = section.split("### ")[1:]
    assert_column(regions, "Base", evaluator(base))
    assert_column(regions, "Trained", evaluator(copy.deepcopy(static_model)))
    trained, before = (similarity(model)["sts_spearman_cosine"] for model in (copy.deepcopy(static_model), base))
    assert table_of(correlation)["spearman_cosine"][:2] == [cell(before), cell(trained)]
    assert "chosen for the highest F2 on `dev`" in section
    assert card.count(PAPER) == 1
    assert card.index("### BibTeX") < card.index(PAPER)
    assert not static_model.training
    add_to_model_card(static_model.train(), loss, evaluator)
    assert static_model.training  # encoding switches it off
    assert "loss:MatryoshkaLoss" in card
    assert "loss:SelectivePointwiseLoss" in card


def test_chosen_metrics(static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path) -> None:
    loss, evaluator = SelectivePointwiseLoss(static_model), evaluator_of(pair_dataset)
    add_to_model_card(static_model, loss, evaluator, metrics=["rmse", "count_0.8_1"])
    table = table_of(section_of(saved(static_model, tmp_path)))
    assert list(table) == ["Metric", "Error", "count_0.8_1"]
    assert table["count_0.8_1"][:1] == [str(sum(score >= 0.8 - 1e-9 for score in pair_dataset["score"]))]
    with pytest.raises(ValueError, match=r"metrics must be names of metrics of Score Regions on `dev`, .* got 'map'"):
        add_to_model_card(static_model, loss, evaluator, metrics=["map"])


class TestThreshold:
    @pytest.mark.slow
    def test_of_the_evaluator(self, pair_dataset: Dataset, tmp_path: Path) -> None:
        """Chosen on a validation split for the model that is saved: not for the one before the training."""
        model = model_for("SentenceTransformer")
        dev = evaluator_of(pair_dataset.select(range(32)), "dev")
        test = evaluator_of(pair_dataset.select(range(32, 64)), "test", threshold_from=dev, threshold_gold=0.6)
        loss = SelectivePointwiseLoss(model, high_scores())
        train(model, pair_dataset, loss, tmp_path / "work", SelectiveModelCardCallback(loss, [dev, test]))
        threshold = dev.choose_threshold(model, gold=0.6)
        assert f"**{threshold.value:.4g}**" in section_of(saved(model, tmp_path / "model"))

    def test_remembered_with_the_model(
        self, static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path
    ) -> None:
        add_to_model_card(static_model, SelectivePointwiseLoss(static_model))
        assert "Threshold" not in section_of(saved(static_model, tmp_path))
        threshold = store_threshold(static_model, evaluator_of(pair_dataset), gold=0.6)
        assert f"**{threshold.value:.4g}**" in section_of(saved(static_model, tmp_path))

    def test_for_low_scores(self, static_model: SentenceTransformer, tmp_path: Path) -> None:
        threshold = ScoreThreshold(0.25, 0.1, "at_most", chosen_on="dev")
        add_to_model_card(static_model, SelectivePointwiseLoss(static_model), threshold=threshold)
        section = section_of(saved(static_model, tmp_path))
        assert "**0.25**: a predicted score of at most 0.25 stands for a gold score of at most 0.1." in section
        assert "It was chosen on `dev`." in section

    def test_one_that_cannot_be_chosen_does_not_end_the_training(
        self, static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path
    ) -> None:
        loss, evaluator = SelectivePointwiseLoss(static_model), evaluator_of(pair_dataset)
        callback = SelectiveModelCardCallback(
            loss, evaluator, threshold=lambda model: evaluator.choose_threshold(model, gold=7.0)
        )
        train(static_model, pair_dataset, loss, tmp_path / "work", callback)
        section = section_of(saved(static_model, tmp_path / "model"))
        assert "Trained" in table_of(section)["Metric"]
        assert "Threshold" not in section


# --- Where something is missing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["matplotlib", "matplotlib.figure"])  # or only a part of it: broken
@pytest.mark.parametrize("measured", [False, True])
def test_without_matplotlib(
    static_model: SentenceTransformer,
    pair_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    measured: bool,
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "selective_st.plotting", raising=False)
    evaluators = [evaluator_of(pair_dataset)] if measured else []
    add_to_model_card(static_model, SelectivePointwiseLoss(static_model, high_scores()), evaluators)
    section = section_of(saved(static_model, tmp_path))
    assert "No picture: it could not be drawn" in section
    assert "pip install selective-st[plot]" in section
    assert pictures_of(section) == []
    assert not list(tmp_path.glob("*.png"))
    assert HIGH in section
    assert links_of(section) == [high_scores()]


def test_the_model_is_saved_even_if_the_section_cannot_be(
    static_model: SentenceTransformer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_to_model_card(static_model, SelectivePointwiseLoss(static_model, high_scores()))
    os.makedirs(tmp_path / "selective_link.png")  # in the picture's place
    card = saved(static_model, tmp_path)
    assert HEADING not in card
    assert "could not be written" in caplog.text
    assert (tmp_path / "model.safetensors").is_file()


def test_saved_without_a_card(static_model: SentenceTransformer, tmp_path: Path) -> None:
    add_to_model_card(static_model, SelectivePointwiseLoss(static_model))
    static_model.save_pretrained(str(tmp_path), create_model_card=False)
    assert not list(tmp_path.glob("*.png"))
    assert not (tmp_path / "README.md").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"loss": "class"},
            TypeError,
            r"loss must be of type Module, .*of type type.*\(trainer.loss, \.\.\.\)",
        ),
        ({"loss": "cosent"}, ValueError, "loss must hold a loss with a link.*got CoSENTLoss"),
        ({"evaluators": ["dev"]}, TypeError, "evaluators must be of type BaseEvaluator, got 'dev' of type str"),
        (
            {"threshold": 0.5},
            TypeError,
            "threshold must be of type ScoreThreshold, got 0.5.*or a function of the model",
        ),
        ({"metrics": "rmse"}, TypeError, "metrics must be a list of names, got 'rmse'"),
        ({"score_range": (1.0, 0.0)}, ValueError, r"score_range\[0\] must be below score_range\[1\]"),
    ],
)
def test_refused(
    arguments: dict[str, Any], error: type[Exception], message: str, static_model: SentenceTransformer
) -> None:
    losses = {"class": SelectivePointwiseLoss, "cosent": CoSENTLoss(static_model)}
    loss = losses.get(arguments.get("loss", ""), SelectivePointwiseLoss(static_model))
    given = {**arguments, "loss": loss}
    with pytest.raises(error, match=f"^SelectiveModelCardCallback: .*{message}"):
        SelectiveModelCardCallback(**given)
    with pytest.raises(error, match=f"^add_to_model_card: .*{message}"):
        add_to_model_card(static_model, **given)


def test_refused_models(static_model: SentenceTransformer) -> None:
    with pytest.raises(TypeError, match="model must be of type BaseModel, got 'model' of type str"):
        add_to_model_card("model", SelectivePointwiseLoss(static_model))  # type: ignore[arg-type]
