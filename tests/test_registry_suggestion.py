"""Suggestions: every one of them is built, from its code and without it, and trains."""

from __future__ import annotations

import ast
import copy
import json
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sentence_transformers
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from packaging.version import Version
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from torch import nn

from selective_st import links
from selective_st.errors import DataError
from selective_st.focus import parse_focus, threshold_focus
from selective_st.registry import catalog
from selective_st.registry.catalog import ModelType, Row, Selective, loss_entry, rows
from selective_st.registry.choice import create_loss, suggest_losses
from selective_st.registry.detection import DataFormat, detect_format
from selective_st.registry.suggestion import Suggestion, Suggestions
from tests.model_types import model_for

N = 24
DIMENSION = 32  # of the embeddings of the tiny models


def texts(seed: int, words: int = 4) -> list[str]:
    names = ["cat", "dog", "tree", "sea", "car", "house", "river", "stone", "bird", "fire", "moon"]
    return [
        " ".join([*(names[(seed * 7 + row * (k + 1) + k * k) % 11] for k in range(words)), str(row)])
        for row in range(N)
    ]


def scores(*values: float) -> list[list[float]]:
    return [[value - row / 1000 for value in values] for row in range(N)]


QUERY, FIRST, SECOND, THIRD = (texts(seed) for seed in range(4))
VECTOR = [[((row * 13 + k * 7) % 19) / 10 - 0.93 for k in range(DIMENSION)] for row in range(N)]
LISTS: dict[str, Any] = {"query": QUERY, "documents": [list(each) for each in zip(FIRST, SECOND, THIRD, strict=True)]}
PAIR: dict[str, Any] = {"sentence1": QUERY, "sentence2": FIRST}
POSITIVES: dict[str, Any] = {"anchor": QUERY, "positive": FIRST}
TRIPLET: dict[str, Any] = {**POSITIVES, "negative": SECOND}
TUPLE: dict[str, Any] = {**POSITIVES, "negative_1": SECOND, "negative_2": THIRD}

# A dataset for each row of the tables, by shape and label, and by the inputs where those do not tell.
DATA: dict[tuple[str, str, str], dict[str, Any]] = {
    ("single", "class", ""): {"text": QUERY, "label": [row % 3 for row in range(N)]},
    ("single", "none", ""): {"text": QUERY},
    ("pair", "none", "(input_A, input_B) pairs"): {"text1": QUERY, "text2": [*QUERY[:8], *FIRST[8:]]},
    ("pair", "none", "(anchor, anchor) pairs"): {"text1": QUERY, "text2": QUERY},
    ("pair", "none", "(damaged_input, original_input) pairs"): {
        "damaged": [text.split(" ", 2)[2] for text in QUERY], "original": QUERY,
    },
    ("pair", "class", ""): {"premise": QUERY, "hypothesis": FIRST, "label": [row % 3 for row in range(N)]},
    ("pair", "class probabilities", ""): {**PAIR, "label": [[0.25, 0.7, 0.05] for _ in range(N)]},
    ("pair", "none", "(anchor, positive) pairs"): POSITIVES,
    ("pair", "binary", ""): {**PAIR, "label": [row % 2 for row in range(N)]},
    ("pair", "similarity", ""): {**PAIR, "score": [row / N for row in range(N)]},
    ("triplet", "none", ""): TRIPLET,
    ("n-tuple", "none", ""): TUPLE,
    ("single", "embedding", ""): {"text": QUERY, "label": VECTOR},
    ("n-tuple", "embedding", ""): {**PAIR, "label": VECTOR},
    ("n-tuple", "embeddings", ""): {**PAIR, "label": [[vector, vector[::-1]] for vector in VECTOR]},
    ("triplet", "margin", ""): {**TRIPLET, "label": [0.5 - row / 100 for row in range(N)]},
    ("n-tuple", "margins", ""): {**TUPLE, "label": scores(0.4, 0.6)},
    ("triplet", "scores", ""): {**TRIPLET, "label": scores(0.9, 0.3)},
    ("n-tuple", "scores", ""): {**TUPLE, "label": scores(0.9, 0.3, 0.1)},
    ("n-tuple", "binary list", ""): {
        "query": QUERY, "doc_1": FIRST, "doc_2": SECOND, "doc_3": THIRD, "label": [[1.0, 0.0, 0.0] for _ in range(N)],
    },
    ("list", "scores", ""): {**LISTS, "scores": scores(0.9, 0.3, 0.1)},
}  # fmt: skip


def data_of(row: Row) -> Dataset:
    named = DATA.get((row.shape, row.label, row.inputs))
    return Dataset.from_dict(named if named is not None else DATA[row.shape, row.label, ""])


def format_of(row: Row) -> DataFormat:
    """What detection should find for the row, taken from what it finds, so that these tests do not hang on it."""
    found = detect_format(data_of(row))
    assert isinstance(found, DataFormat)
    shape = found.shape if row.label in ("embedding", "embeddings") else row.shape
    meaning = row.inputs if (row.shape, row.label) == ("pair", "none") else ""
    return replace(found, shape=shape, label=row.label, meaning=meaning, certainty="likely")


def suggested(row: Row, **options: Any) -> Suggestions:
    found = suggest_losses(format_of(row), model_type=row.model_type, **options)
    assert isinstance(found, Suggestions)
    return found


def data_rows(model_type: ModelType) -> list[Row]:
    return [row for row in rows(model_type) if row.section in ("main", "distillation")]


def row_name(row: Row) -> str:
    return f"{row.shape}-{row.label}-{row.inputs[:12]}-{row.section}".replace(" ", "_")


def run(code: str, **names: Any) -> dict[str, Any]:
    exec(compile(code, "<suggestion>", "exec"), names)
    return names


def without_hub(code: str) -> str:
    """The code, with the line that loads a model from the hub left to the test."""
    return re.sub(r'SentenceTransformer\("sentence-transformers/[^"]+"\)', "local_guide", code)


SENTENCE_ROWS = data_rows("SentenceTransformer")
EVERY = [
    (row, suggestion)
    for row in SENTENCE_ROWS
    for suggestion in suggested(row)
    if max(Version(row.since), Version(suggestion.entry.since)) <= Version(sentence_transformers.__version__)
]


def test_every_loss_of_every_row_is_suggested() -> None:
    for model_type in catalog.MODEL_TYPES:
        for row in data_rows(model_type):
            names = {suggestion.loss for suggestion in suggested(row)}
            assert names >= {*row.losses, *(selective.loss for selective in row.selective)}, row


@pytest.mark.parametrize(
    ("row", "suggestion"), EVERY, ids=[f"{row_name(row)}-{suggestion.loss}" for row, suggestion in EVERY]
)
def test_the_code_of_every_suggestion_runs_and_the_loss_trains(
    row: Row, suggestion: Suggestion, transformer_model: SentenceTransformer, tmp_path: Path,
) -> None:  # fmt: skip
    code = without_hub(suggestion.code)
    found = run(code, model=transformer_model, dataset=data_of(row), local_guide=copy.deepcopy(transformer_model))
    loss = found["loss"]
    assert type(loss) is suggestion.entry.load()
    before = {name: value.clone() for name, value in transformer_model.state_dict().items()}
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path), max_steps=1, per_device_train_batch_size=8, report_to="none", disable_tqdm=True, use_cpu=True,
        batch_sampler=(suggestion.sampler or "batch_sampler").lower(),
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        model=transformer_model, args=arguments, train_dataset=found["dataset"], loss=loss
    )
    # One step by hand, as the trainer takes it: its own costs ten times as much, for logs, checkpoints and cards.
    transformer_model.train()
    value = trainer.compute_loss(transformer_model, next(iter(trainer.get_train_dataloader())))
    assert torch.isfinite(value)
    value.backward()
    torch.optim.SGD(transformer_model.parameters(), lr=1e-2).step()
    assert any(not torch.equal(value, before[name]) for name, value in transformer_model.state_dict().items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # some losses are deprecated
@pytest.mark.parametrize("row", SENTENCE_ROWS, ids=row_name)
def test_build_agrees_with_the_code(row: Row, transformer_model: SentenceTransformer) -> None:
    for suggestion in suggested(row):
        given = {"guide": transformer_model} if "guide" in dict(suggestion.arguments) else {}
        ready = data_of(row)
        for step in suggestion.steps:
            ready = step.apply(ready)
        built = suggestion.build(transformer_model, ready, **given)
        code = without_hub(suggestion.code)
        executed = run(code, model=transformer_model, dataset=data_of(row), local_guide=transformer_model)["loss"]
        assert type(built) is type(executed)
        if hasattr(built, "get_config_dict"):
            assert built.get_config_dict() == executed.get_config_dict()


SELECTIVES = [
    (row, selective) for row in rows() if row.model_type != "CrossEncoder" for selective in row.selective
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "selective"), SELECTIVES, ids=[f"{row.model_type}-{row_name(row)}-{ours.loss}" for row, ours in SELECTIVES]
)
def test_every_selective_loss_is_built_as_written(
    row: Row, selective: Selective, transformer_model: SentenceTransformer
) -> None:
    suggestion = next(each for each in suggested(row) if each.loss == selective.loss)
    assert suggestion.selective
    assert suggestion.link == selective.link
    model = transformer_model if row.model_type == "SentenceTransformer" else model_for(row.model_type)
    bare = replace(suggestion, expression=bare_expression(suggestion))
    built = bare.build(model)
    executed = run("\n".join([*bare._imports(), f"loss = {bare.expression}"]), model=model)["loss"]
    assert type(built) is type(executed) is loss_entry(selective.loss, row.model_type).load()
    assert built.get_config_dict() == executed.get_config_dict()
    assert built.link == executed.link == run_link(selective.link)
    if selective.is_default:
        options = {name: run_link(code) for name, code in selective.arguments}
        assert type(built)(model, **options).link == built.link
    assert dict(suggestion.arguments)["link"] == selective.link


def bare_expression(suggestion: Suggestion) -> str:
    """The call of the loss itself, without a wrapper."""
    options = "".join(f", {name}={code}" for name, code in suggestion.arguments)
    return f"{suggestion.loss}(model{options})"


def run_link(code: str) -> Any:
    from sentence_transformers import util
    from sentence_transformers.multi_vector_encoder import scoring

    names = {**vars(links), **{name: getattr(util, name) for name in dir(util)}, **vars(scoring)}
    return run(f"value = {code}", **names)["value"]


class TestFocus:
    @pytest.mark.parametrize("text", ["high", "low", "extremes", "middle", "0.7:0.9", "0:0.25", "0.45:1"])
    @pytest.mark.parametrize("row", [row for row in SENTENCE_ROWS if row.selective], ids=row_name)
    def test_the_link_of_the_code_is_the_one_of_the_focus(
        self, row: Row, text: str, transformer_model: SentenceTransformer
    ) -> None:
        focus = parse_focus(text)
        found = suggested(row, focus=text)
        selective = [suggestion for suggestion in found if suggestion.selective]
        assert found[: len(selective)] == selective
        for suggestion in selective:
            loss: Any = run(suggestion.code, model=transformer_model, dataset=data_of(row))["loss"]
            if suggestion.loss == "SelectivePointwiseLoss":
                assert loss.link == focus.link
            elif "calibration_link" in dict(suggestion.arguments) and suggestion.link == "ConstantLink()":
                # The plain Softmax ranks; which scores matter is said where scores are compared one by one.
                assert loss.link == links.ConstantLink()
                assert loss.calibration_link == focus.link
            elif focus.value_link is not None:
                assert loss.link == focus.value_link
            else:
                assert loss.link == run_link(next(s.link for s in row.selective if s.loss == suggestion.loss))
            ready = data_of(row)
            for step in suggestion.steps:
                ready = step.apply(ready)
            assert suggestion.build(transformer_model, ready).get_config_dict() == loss.get_config_dict()

    @pytest.mark.parametrize(
        "link",
        [
            links.SigmoidLink(20, 0.7),
            links.high_scores(3.0),
            links.low_scores(2.0) + links.high_scores(),
            links.PiecewiseLink((0.0, 0.5, 1.0), (1.0, 2.0, 5.0)),
            links.ExponentialLink(3.0).linear_outside(0.0, 0.9),
            0.5 * (2 * links.SigmoidLink(4, 0.5) + links.IdentityLink()),
        ],
        ids=repr,
    )
    def test_links_and_their_json(self, link: links.Link, transformer_model: SentenceTransformer) -> None:
        row = next(row for row in SENTENCE_ROWS if row.label == "similarity")
        for focus in (link, json.dumps(link.get_config_dict()), parse_focus(json.dumps(link.get_config_dict()))):
            best = suggested(row, focus=focus)[0]
            assert run(best.code, model=transformer_model, dataset=None)["loss"].link == link
            assert best.build(transformer_model).get_config_dict()["link"] == link.get_config_dict()

    @pytest.mark.parametrize("thresholds", [[0.85], [0.7, 0.9]])
    @pytest.mark.parametrize("row", [row for row in SENTENCE_ROWS if row.selective], ids=row_name)
    def test_thresholds(self, row: Row, thresholds: list[float], transformer_model: SentenceTransformer) -> None:
        """The link is written by its name; the order loss weighs pairs on both sides, and keeps its link for scores."""
        focus = threshold_focus(thresholds)
        for suggestion in suggested(row, focus=focus):
            if not suggestion.selective:
                continue
            loss: Any = run(suggestion.code, model=transformer_model, dataset=data_of(row))["loss"]
            assert f"here decisions at {' and '.join(f'{at:g}' for at in thresholds)} matter" in suggestion.why
            if suggestion.loss == "SelectivePointwiseLoss":
                assert suggestion.link == f"link_for_thresholds({thresholds})"
                assert loss.link == links.link_for_thresholds(thresholds)
            elif "weight_link" in dict(suggestion.arguments):
                assert loss.weight_link == focus.weight_link
                assert loss.link == run_link(next(s.link for s in row.selective if s.loss == suggestion.loss))
            elif "calibration_link" in dict(suggestion.arguments):
                assert loss.calibration_link == focus.link
            else:
                assert loss.link == focus.value_link

    def test_presets_are_written_by_their_names(self) -> None:
        row = next(row for row in SENTENCE_ROWS if row.label == "similarity")
        assert dict(suggested(row, focus="low")[0].arguments)["weight_link"] == "low_scores()"
        assert suggested(row, focus="low")[1].link == "low_scores()"
        assert suggested(row, focus="0.7:0.9")[0].link == "score_region(0.7, 0.9)"
        assert "scores from 0.7 to 0.9 matter" in suggested(row, focus="0.7:0.9")[0].why

    @pytest.mark.parametrize(
        ("shape", "label", "loss"),
        [("n-tuple", "scores", "Pairwise"), ("pair", "none", "MultipleNegativesRanking")],
    )
    def test_losses_that_rank_have_links_normalised_by_value(self, shape: str, label: str, loss: str) -> None:
        row = next(row for row in SENTENCE_ROWS if (row.shape, row.label) == (shape, label) and row.selective)
        found = {suggestion.loss: suggestion for suggestion in suggested(row, focus="middle")}
        assert found[f"Selective{loss}Loss"].link.endswith('.normalized(0, 1, of="value")')

    def test_links_of_dot_products_go_on_linearly(self) -> None:
        row = next(row for row in rows("SparseEncoder") if row.label == "none" and row.shape == "pair")
        assert suggested(row, focus="middle")[0].link.endswith(".linear_outside(None, 1)")

    @pytest.mark.parametrize(("focus", "error"), [("hihg", ValueError), ("0.9:0.7", ValueError), (0.5, TypeError)])
    def test_others_are_errors(self, focus: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match="focus"):
            suggested(SENTENCE_ROWS[0], focus=focus)


class TestRanking:
    def names(self, shape: str, label: str, model_type: ModelType = "SentenceTransformer", **options: Any) -> list[str]:
        # Of several rows for pairs without labels, the one of positives.
        row = [row for row in data_rows(model_type) if (row.shape, row.label) == (shape, label)][-1]
        return [suggestion.loss for suggestion in suggested(row, **options)]

    def test_scores_have_the_selective_losses_first(self) -> None:
        assert self.names("pair", "similarity") == [
            "SelectiveOrderLoss", "SelectivePointwiseLoss", "SelectiveListwiseLoss", "CoSENTLoss", "AnglELoss",
            "CosineSimilarityLoss",
        ]  # fmt: skip
        assert self.names("n-tuple", "scores")[:3] == [
            "SelectiveListwiseLoss", "SelectivePairwiseLoss", "SelectivePointwiseLoss",
        ]  # fmt: skip
        assert self.names("pair", "binary")[0] == "SelectivePointwiseLoss"

    @pytest.mark.parametrize(
        ("focus", "first"),
        [(None, "Order"), ("high", "Order"), ("low", "Order"), ("extremes", "Order")]
        + [(focus, "Pointwise") for focus in ("middle", "0.7:0.9", "0:0.3", links.SigmoidLink(20, 0.8))]
        + [(links.link_for_thresholds([0.8, 0.9]), "Pointwise")],
    )
    def test_for_graded_pairs_the_focus_tells_whether_pairs_are_to_be_found_or_scores_to_be_right(
        self, focus: Any, first: str
    ) -> None:
        found = suggested(next(row for row in SENTENCE_ROWS if row.label == "similarity"), focus=focus)
        assert found[0].loss == f"Selective{first}Loss"
        assert found[0].why.endswith("which an order alone does not give") == (first == "Pointwise")
        assert any("SelectivePointwiseLoss comes first" in each for each in found.of("SelectiveOrderLoss").caveats)

    def test_without_labels_they_stand_beside_the_recommended_ones_and_deprecated_ones_last(self) -> None:
        found = self.names("pair", "none")
        assert found[:4] == [
            "SelectiveMultipleNegativesRankingLoss", "MultipleNegativesRankingLoss",
            "CachedSelectiveMultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss",
        ]  # fmt: skip
        assert found[-2:] == [
            "MultipleNegativesSymmetricRankingLoss", "CachedMultipleNegativesSymmetricRankingLoss",
        ]  # fmt: skip

    def test_with_a_focus_all_selective_ones_are_first(self) -> None:
        assert self.names("triplet", "none", focus="high")[:5] == [
            "SelectiveMultipleNegativesRankingLoss", "CachedSelectiveMultipleNegativesRankingLoss",
            "SelectivePairwiseLoss", "SelectiveOrderLoss", "MultipleNegativesRankingLoss",
        ]  # fmt: skip

    def test_recommended_ones_come_before_others(self) -> None:
        assert self.names("list", "scores", "CrossEncoder")[:3] == [
            "SelectiveListwiseLoss", "SelectiveOrderLoss", "LambdaLoss",
        ]  # fmt: skip
        names = self.names("n-tuple", "scores", "MultiVectorEncoder")
        assert [name for name in names if not name.startswith("Selective")] == [
            "MultiVectorDistillKLDivLoss",  # which is recommended
            "MultiVectorMarginMSELoss",
        ]
        assert names[0] == "SelectiveListwiseLoss"

    def test_each_loss_once_with_a_line_of_why(self) -> None:
        for model_type in catalog.MODEL_TYPES:
            for row in data_rows(model_type):
                found = suggested(row)
                assert len({suggestion.loss for suggestion in found}) == len(found)
                assert all(suggestion.why and "\n" not in suggestion.why for suggestion in found)


@pytest.mark.parametrize("model_type", ["CrossEncoder", "SparseEncoder", "MultiVectorEncoder"])
def test_code_for_other_model_types_is_complete(model_type: ModelType) -> None:
    for row in data_rows(model_type):
        for suggestion in suggested(row):
            for code in (suggestion.code, suggestion.script("a.csv", "m")):
                tree = ast.parse(code)
                lines = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
                imported = {name.name for line in lines for name in line.names}
                known = {*imported, "model", "dataset", "loss", "args", "trainer", "print", "int", "max", "len"}
                assert {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} <= known
                assert suggestion.loss in imported
            for node in ast.walk(ast.parse(suggestion.code)):
                if isinstance(node, ast.ImportFrom):
                    run(ast.unparse(node))
            wrapped = model_type == "SparseEncoder" and suggestion.loss != "SparseMSELoss"
            assert ("SpladeLoss(" in suggestion.code) == wrapped


def test_sparse_losses_are_built_in_their_wrapper() -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.losses import CSRLoss, SpladeLoss

    class Encoder(SparseEncoder):
        def __init__(self, *modules: nn.Module) -> None:
            nn.Module.__init__(self)
            self.parts = nn.ModuleList(modules)

    class SparseAutoEncoder(nn.Module):
        pass

    pairs = Dataset.from_dict(POSITIVES)
    splade = create_loss(Encoder(), pairs)
    assert type(splade) is SpladeLoss
    assert type(splade.loss).__name__ == "SelectiveMultipleNegativesRankingLoss"
    assert type(splade.loss.model) is Encoder
    assert type(create_loss(Encoder(SparseAutoEncoder()), pairs)) is CSRLoss
    built = suggest_losses(pairs, model_type="SparseEncoder")
    assert isinstance(built, Suggestions)
    assert built[0].build(Encoder(), scale=3.0).get_submodule("loss").scale == 3.0


class TestSteps:
    def test_labels_on_another_scale_are_scaled(self, transformer_model: SentenceTransformer) -> None:
        data = Dataset.from_dict({**PAIR, "score": [5 * row / (N - 1) for row in range(N)]})
        found = {suggestion.loss: suggestion for suggestion in all_of(data)}
        assert found["SelectivePointwiseLoss"].steps[-1].code() == 'dataset = scale_labels(dataset, "score", 0, 5)'
        assert not found["CoSENTLoss"].steps, "only the order of the labels matters there"
        ready = run(found["CosineSimilarityLoss"].code, model=transformer_model, dataset=data)["dataset"]
        assert max(ready["score"]) == 1.0

    def test_the_scale_is_followed_after_a_renaming(self, transformer_model: SentenceTransformer) -> None:
        data = Dataset.from_dict({"1": QUERY, "2": FIRST, "3": [5 * row / (N - 1) for row in range(N)]})
        best = all_of(data)[0]
        ready = run(best.code, model=transformer_model, dataset=data)["dataset"]
        assert max(ready["score"]) == 1.0
        assert not detect(ready).steps

    def test_cross_encoders_take_probabilities(self) -> None:
        data = Dataset.from_dict({**PAIR, "score": [2 * row / (N - 1) - 1 for row in range(N)]})
        found = {suggestion.loss: suggestion for suggestion in all_of(data, model_type="CrossEncoder")}
        assert "scale_labels" in found["BinaryCrossEntropyLoss"].code
        assert "scale_labels" not in found["MSELoss"].code

    def test_integer_scores_become_floats(self, transformer_model: SentenceTransformer) -> None:
        data = Dataset.from_dict({**PAIR, "score": [row % 5 for row in range(N)]})
        best = next(each for each in all_of(data) if each.loss == "SelectivePointwiseLoss")
        ready = run(best.code, model=transformer_model, dataset=data)["dataset"]
        assert ready.features["score"] == Value("float64")

    def test_wide_margins_are_scaled(self, transformer_model: SentenceTransformer) -> None:
        data = Dataset.from_dict({**TRIPLET, "label": [row - 3.5 for row in range(N)]})
        best = all_of(data)[0]
        assert best.loss == "SelectivePairwiseLoss"
        assert best.steps[-1].code() == 'dataset = scale_margins(dataset, "label", 20)'
        assert any("20 is the widest" in caveat for caveat in best.caveats)

    def test_teacher_scores_of_another_scale_are_scaled(self, transformer_model: SentenceTransformer) -> None:
        data = Dataset.from_dict({**TUPLE, "label": scores(9.0, 2.0, 1.0)})
        best = all_of(data)[0]
        assert best.loss == "SelectiveListwiseLoss"
        ready = run(best.code, model=transformer_model, dataset=data)["dataset"]
        assert max(map(max, ready["label"])) <= 1.0


def all_of(data: Any, **options: Any) -> Suggestions:
    found = suggest_losses(data, **options)
    assert isinstance(found, Suggestions)
    return found


def detect(data: Any) -> DataFormat:
    found = detect_format(data)
    assert isinstance(found, DataFormat)
    return found


class TestConversions:
    def check(self, data: Dataset, number: int, **options: Any) -> Dataset:
        """Do a conversion, and see that its losses are then suggested."""
        conversion = all_of(data, **options).conversions[number]
        converted = run(conversion.code, dataset=data)["dataset"]
        for_steps = data
        for step in conversion.steps:
            for_steps = step.apply(for_steps)
        assert repr(for_steps[:]) == repr(converted[:])
        now = all_of(converted, **options)
        assert set(conversion.losses) <= {suggestion.loss for suggestion in now}
        return converted

    def test_single_texts_with_classes(self) -> None:
        converted = self.check(Dataset.from_dict(DATA["single", "class", ""]), 0)
        assert converted.column_names == ["anchor", "positive", "negative"]

    def test_single_texts(self) -> None:
        data = Dataset.from_dict({"text": [text * 3 for text in texts(1, 8)]})
        assert self.check(data, 0).column_names == ["damaged", "original"]
        converted = self.check(data, 1)
        assert converted["text_1"][:] == converted["text_2"][:]
        assert all_of(data).conversions[2].losses == ("ContrastiveTensionLoss",)
        mixed = run(all_of(data).conversions[2].code, dataset=data)["dataset"]
        assert len(mixed) == 8 * N
        assert sum(row["text_1"] == row["text_2"] for row in mixed) == N

    @pytest.mark.parametrize("named", [False, True])
    def test_entailment(self, named: bool) -> None:
        data = {
            "premise": [text for text in QUERY for _ in range(3)],
            "hypothesis": [f"{text} {k}" for text in FIRST for k in range(3)],
            "label": [0, 1, 2] * N,
        }
        given = Dataset.from_dict(data)
        if named:
            given = Dataset.from_dict({**data, "label": [2, 1, 0] * N}).cast(
                Features({"premise": Value("string"), "hypothesis": Value("string"),
                          "label": ClassLabel(names=["contradiction", "neutral", "entailment"])})
            )  # fmt: skip
        converted = self.check(given, 0)
        assert converted[0] == {"anchor": QUERY[0], "positive": f"{FIRST[0]} 0", "negative": f"{FIRST[0]} 2"}
        assert all_of(detect_format(given)).conversions[0].code == all_of(given).conversions[0].code

    def test_grades_of_the_same_text(self) -> None:
        data = Dataset.from_dict(
            {
                "question": [text for text in QUERY for _ in range(3)],
                "answer": [f"{text} {k}" for text in FIRST for k in range(3)],
                "score": [1.0, 0.3, 0.2] * N,
            }
        )
        kinds = [conversion.to for conversion in all_of(data).conversions]
        assert kinds == [("triplet", "none"), ("n-tuple", "scores"), ("pair", "none")]
        assert self.check(data, 0)["negative"][0] == f"{FIRST[0]} 2"
        assert self.check(data, 1)["label"][0] == [1.0, 0.3, 0.2]
        assert len(all_of(data, model_type="CrossEncoder").conversions) == 3
        lists = self.check(data, 1, model_type="CrossEncoder")
        assert lists.column_names == ["anchor", "documents", "label"]

    def test_grades_on_another_scale(self) -> None:
        data = Dataset.from_dict({**PAIR, "score": [5 * row / (N - 1) for row in range(N)]})
        assert max(self.check(data, 0)["score"]) == 1.0

    def test_distinct_pairs_make_no_lists(self) -> None:
        data = Dataset.from_dict({**PAIR, "score": [row / (N - 1) for row in range(N)]})
        assert [conversion.to for conversion in all_of(data).conversions] == [("pair", "none")]

    def test_lists_become_columns(self) -> None:
        data = Dataset.from_dict({**LISTS, "scores": scores(0.9, 0.3, 0.1)})
        assert not all_of(data)
        converted = self.check(data, 0)
        assert converted.column_names == ["query", "document_1", "document_2", "document_3", "scores"]
        assert not any(step.call == "split_lists" for each in all_of(data, model_type="CrossEncoder").conversions
                       for step in each.steps)  # fmt: skip

    def test_columns_become_lists(self) -> None:
        converted = self.check(Dataset.from_dict(TUPLE), 0, model_type="CrossEncoder")
        assert converted[0]["documents"] == [FIRST[0], SECOND[0], THIRD[0]]
        assert converted[0]["labels"] == [1.0, 0.0, 0.0]

    def test_positives_become_mined_hard_negatives(self, static_model: SentenceTransformer) -> None:
        data = Dataset.from_dict(POSITIVES)
        (conversion,) = all_of(data).conversions
        assert conversion.to == ("n-tuple", "none")
        assert not conversion.steps
        mined = run(conversion.code, dataset=data, model=static_model)["dataset"]
        assert set(conversion.losses) <= {suggestion.loss for suggestion in all_of(mined)}
        kinds = {}
        for each in all_of(data, model_type="CrossEncoder").conversions:
            kinds[each.to] = run(without_hub(each.code), dataset=data, local_guide=static_model)["dataset"]
        assert kinds["pair", "binary"].column_names[-1] == "label"
        assert detect(kinds["list", "scores"]).shape == "list"

    @pytest.mark.parametrize("model_type", ["SentenceTransformer", "CrossEncoder"])
    def test_ids_are_resolved(self, model_type: ModelType) -> None:
        lookup = Dataset.from_dict({"id": [f"q{row}" for row in range(N)], "text": QUERY})
        data = Dataset.from_dict(
            {
                "query_id": [f"q{row}" for row in range(N)],
                "document_ids": [[f"q{(row + k) % N}" for k in range(3)] for row in range(N)],
                "scores": scores(0.9, 0.3, 0.1),
            }
        )
        found = all_of(data, model_type=model_type)
        assert not found
        (conversion,) = found.conversions
        code = re.sub(r"load_dataset\(.*\)", "lookup", conversion.code)
        resolved = run(code, dataset=data, lookup=lookup)["dataset"]
        assert set(conversion.losses) <= {suggestion.loss for suggestion in all_of(resolved, model_type=model_type)}


class TestScript:
    @pytest.mark.parametrize(
        ("content", "loss", "sampler"),
        [
            ("\n".join(f"{a},{b},{row % 5}.5" for row, (a, b) in enumerate(zip(QUERY, FIRST, strict=True))),
             "SelectiveOrderLoss", ""),
            ("anchor,positive\n" + "\n".join(map(",".join, zip(QUERY, FIRST, strict=True))),
             "SelectiveMultipleNegativesRankingLoss", "NO_DUPLICATES"),
            ("text,label\n" + "\n".join(f"{text},{row % 3}" for row, text in enumerate(QUERY)),
             "BatchAllTripletLoss", "GROUP_BY_LABEL"),
        ],
        ids=["graded pairs without a header", "positives", "classes"],
    )  # fmt: skip
    @pytest.mark.slow
    def test_it_runs_as_given(
        self,
        content: str,
        loss: str,
        sampler: str,
        transformer_folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from selective_st.data import read_table

        file = tmp_path / "data.csv"
        file.write_text(content + "\n", encoding="utf-8")
        best = all_of(read_table(str(file)))[0]
        assert (best.loss, best.sampler) == (loss, sampler)
        script = best.script(str(file), str(transformer_folder))
        assert (f"BatchSamplers.{sampler}" if sampler else "report_to") in script
        (tmp_path / "train.py").write_text(script, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        runpy.run_path("train.py", run_name="__main__")
        trained = SentenceTransformer(str(tmp_path / "output" / "model"), device="cpu")
        assert trained.encode("a cat").shape == (DIMENSION,)

    def test_names_cannot_break_out(self) -> None:
        script = suggested(SENTENCE_ROWS[0])[0].script('a"\n"""b.csv', 'm"""\\\nimport os')
        tree = ast.parse(script)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
        assert 'a"\n"""b.csv' in [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]


class TestCreateLoss:
    def test_the_best(self, static_model: SentenceTransformer) -> None:
        data = Dataset.from_dict(DATA["pair", "similarity", ""])
        loss = create_loss(static_model, data, focus="0.7:0.9")
        assert type(loss).__name__ == "SelectivePointwiseLoss"
        assert loss.link == links.score_region(0.7, 0.9)
        assert loss.model is static_model

    def test_by_name(self, static_model: SentenceTransformer) -> None:
        data = DATA["pair", "similarity", ""]
        assert type(create_loss(static_model, data, loss="CoSENTLoss")).__name__ == "CoSENTLoss"

    def test_classes_are_counted(self, static_model: SentenceTransformer) -> None:
        data = {**PAIR, "label": [row % 3 + 1 for row in range(N)]}
        found = create_loss(static_model, data, loss="SoftmaxLoss")
        assert found.classifier.out_features == 4, "classes count from 0"
        probabilities = DATA["pair", "class probabilities", ""]
        assert create_loss(static_model, Dataset.from_dict(probabilities)).classifier.out_features == 3

    def test_a_dict_for_several_datasets(self, static_model: SentenceTransformer) -> None:
        data = DatasetDict(
            {"sts": Dataset.from_dict(DATA["pair", "similarity", ""]), "nli": Dataset.from_dict(TRIPLET)}
        )
        found = create_loss(static_model, data)
        assert {name: type(loss).__name__ for name, loss in found.items()} == {
            "sts": "SelectiveOrderLoss", "nli": "SelectiveMultipleNegativesRankingLoss",
        }  # fmt: skip

    def test_steps_that_are_needed_are_shown_and_mend_it(self, static_model: SentenceTransformer) -> None:
        data = Dataset.from_dict({**PAIR, "score": [5 * row / (N - 1) for row in range(N)]})
        with pytest.raises(DataError, match="must be changed first") as error:
            create_loss(static_model, data)
        lines = [line.strip() for line in str(error.value).splitlines()[1:]]
        ready = run("\n".join(lines), dataset=data)["dataset"]
        loss = create_loss(static_model, ready)
        assert type(loss).__name__ == "SelectiveOrderLoss"
        assert (loss.scale, loss.weight_link) == (20.0, links.high_scores(5))
        assert loss.link == links.ExponentialLink(2).normalized(0, 1, of="value")

    def test_a_loss_that_does_not_suit(self, static_model: SentenceTransformer) -> None:
        with pytest.raises(DataError, match=r"TripletLoss is for .*negative.*; losses that suit: SelectiveOrder"):
            create_loss(static_model, DATA["pair", "similarity", ""], loss="TripletLoss")
        with pytest.raises(DataError, match="class_to_triplets"):
            create_loss(static_model, DATA["single", "class", ""], loss="TripletLoss")

    def test_an_unknown_loss(self, static_model: SentenceTransformer) -> None:
        with pytest.raises(ValueError, match=r"Did you mean .*CoSENTLoss"):
            create_loss(static_model, DATA["pair", "similarity", ""], loss="CosentLos")
        with pytest.raises(TypeError, match="name of a loss"):
            create_loss(static_model, DATA["pair", "similarity", ""], loss=nn.Identity())  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", ["MatryoshkaLoss", "GlobalOrthogonalRegularizationLoss"])
    def test_modifiers_and_regularizers(self, name: str, static_model: SentenceTransformer) -> None:
        with pytest.raises(DataError, match=r"create_loss\(model, dataset\)"):
            create_loss(static_model, DATA["pair", "similarity", ""], loss=name)

    def test_what_is_not_clear(self, static_model: SentenceTransformer) -> None:
        data = {**PAIR, "label": [row % 6 for row in range(N)]}
        assert detect(data).certainty == "unclear"
        with pytest.raises(DataError, match=r"(?s)not clear.*name the loss") as error:
            create_loss(static_model, data)
        assert "SoftmaxLoss" in str(error.value)
        loss = create_loss(static_model, data, loss="SoftmaxLoss")
        assert loss.classifier.out_features == 6
        assert type(create_loss(static_model, data, loss="CoSENTLoss")).__name__ == "CoSENTLoss"

    def test_another_model(self) -> None:
        with pytest.raises(TypeError, match="model must be"):
            create_loss(nn.Linear(2, 2), PAIR)

    def test_a_guide_is_given_to_build(self, transformer_model: SentenceTransformer) -> None:
        suggestion = next(each for each in all_of(POSITIVES) if each.loss == "GISTEmbedLoss")
        loss = suggestion.build(transformer_model, guide=transformer_model)
        assert loss.get_submodule("guide") is transformer_model


class TestWords:
    def test_a_report_can_be_read(self) -> None:
        text = str(all_of(DATA["single", "class", ""]))
        assert "1. BatchAllTripletLoss" in text
        assert "dataset = class_to_triplets(dataset)" in text
        assert "No loss to suggest" in str(all_of({**LISTS, "scores": scores(0.9, 0.3, 0.1)}))

    def test_a_third_partys_loss_is_suggested_and_built(self, static_model: SentenceTransformer) -> None:
        catalog.register_loss(
            "tests.loss_of_another.ScaledLoss", formats=[("pair", "class")], why="stands for another's",
            arguments=(("scale", "[2, 3]"),),
        )  # fmt: skip
        try:
            found = {each.loss: each for each in all_of(DATA["pair", "class", ""])}
            module = ModuleType("tests.loss_of_another")
            module.ScaledLoss = type(  # type: ignore[attr-defined]
                "ScaledLoss", (nn.Module,), {"__init__": lambda self, model, scale: setattr(self, "scale", scale)}
            )
            sys.modules[module.__name__] = module
            assert found["ScaledLoss"].build(static_model).scale == [2, 3]
            assert "from tests.loss_of_another import ScaledLoss" in found["ScaledLoss"].code
            assert run(found["ScaledLoss"].code, model=static_model)["loss"].scale == [2, 3]
        finally:
            catalog.unregister_loss("ScaledLoss")
            sys.modules.pop("tests.loss_of_another", None)

    def test_only_known_code_is_evaluated(self, static_model: SentenceTransformer) -> None:
        best = all_of(DATA["pair", "similarity", ""])[0]
        for code in ('__import__("os")', "open", "(lambda: 1)()", "model.__class__", "high_scores.__globals__"):
            bad = replace(best, expression=f"SelectivePointwiseLoss(model, link={code})")
            with pytest.raises(DataError, match="not known here"):
                bad.build(static_model)


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, selective_st.registry.suggestion\n"
        "print([name for name in ('torch', 'datasets', 'pandas', 'sentence_transformers') if name in sys.modules])"
    )
    root = str(Path(__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


class TestRefusals:
    """What a newcomer would otherwise train on without noticing."""

    def test_no_script_where_it_is_not_clear_what_the_data_mean(self) -> None:
        texts = {"one": ["a b", "c d", "e f"], "two": ["g h", "i j", "k l"]}
        found = suggest_losses({**texts, "three": [1, 2, 3], "four": [3, 1, 2]})
        assert isinstance(found, Suggestions)
        assert found.format.certainty == "unclear"
        with pytest.raises(DataError, match="It is not clear what the data mean"):
            found.of()
        if found:
            assert found.of(found[0].loss) is found[0]  # who names the loss knows

    def test_a_focus_without_a_selective_loss(self, static_model: SentenceTransformer) -> None:
        data = {"text": ["a b", "c d", "e f", "g h"], "label": [0, 1, 0, 1]}
        with pytest.raises(DataError, match="focus needs a selective loss"):
            create_loss(static_model, data, focus="high")
        assert type(create_loss(static_model, data)).__name__ == "BatchAllTripletLoss"

    def test_classes_are_counted_in_all_rows(self, static_model: SentenceTransformer) -> None:
        labels = [row % 3 for row in range(20_000)]
        labels[5003] = 3  # not among the rows that detection looks at
        data = {name: [f"{name} {row}" for row in range(len(labels))] for name in ("premise", "hypothesis")}
        loss: Any = create_loss(static_model, Dataset.from_dict({**data, "label": labels}), loss="SoftmaxLoss")
        assert loss.num_labels == 4

    def test_a_cross_encoder_with_the_wrong_number_of_outputs(self) -> None:
        class CrossEncoder(torch.nn.Module):
            num_labels = 1

        data = Dataset.from_dict(
            {"premise": ["a b", "c d", "e f"], "hypothesis": ["g h", "i j", "k l"], "label": [0, 1, 2]},
        ).cast_column("label", ClassLabel(names=["entailment", "neutral", "contradiction"]))
        with pytest.raises(DataError, match=r"needs a model with 3 output labels.*num_labels=3"):
            create_loss(CrossEncoder(), data)

    def test_scripts_check_the_data_first(self) -> None:
        found = suggest_losses({"anchor": ["a b", "c d"], "positive": ["e f", "g h"]})
        assert isinstance(found, Suggestions)
        script = found.of().script("pairs.csv", "a-model", header=False)
        assert 'read_table("pairs.csv", header=False)' in script
        assert script.index("raise_for_errors()") < script.index("trainer.train()")

    def test_what_has_no_loss_says_how_to_go_on(self) -> None:
        lists = {
            "query": ["a b", "c d"],
            "documents": [["e f", "g h"], ["i j", "k l"]],
            "scores": [[1.0, 0.2], [0.4, 0.9]],
        }
        found = suggest_losses(lists)
        assert isinstance(found, Suggestions)
        with pytest.raises(DataError, match="split_lists"):
            found.of()
