"""The loss within SentenceTransformerTrainer: alone, wrapped, with several datasets, resumed, in bf16, compiled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import (
    AdaptiveLayerLoss,
    CoSENTLoss,
    DistillKLDivLoss,
    MarginMSELoss,
    MatryoshkaLoss,
)
from sentence_transformers.util import pairwise_cos_sim
from torch import nn

from selective_st.data import GradedPairs
from selective_st.evaluation import ScoreRegionEvaluator
from selective_st.focus import parse_focus
from selective_st.links import IdentityLink, SigmoidLink, high_scores, link_from_config
from selective_st.loss_kinds import LOSSES, LossKind, PaddedLists, built_in, loss_kind
from selective_st.losses import SelectivePointwiseLoss
from selective_st.registry import create_loss
from selective_st.registry.catalog import rows_of
from selective_st.registry.choice import suggestion_for
from tests.tolerances import assert_close, assert_same_step, operations_of


def arguments(folder: Path, **changes: Any) -> SentenceTransformerTrainingArguments:
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 16,
        "learning_rate": 1e-3,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 1,
    }
    return SentenceTransformerTrainingArguments(**{**settings, **changes})


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def train(
    model: SentenceTransformer,
    data: Dataset | DatasetDict,
    loss: nn.Module | dict[str, nn.Module],
    folder: Path,
    **changes: Any,
) -> SentenceTransformerTrainer:
    """Train, and assert that the loss fell and that weights moved."""
    before = weights(model)
    evaluator = changes.pop("evaluator", None)
    trainer = SentenceTransformerTrainer(model, arguments(folder, **changes), data, loss=loss, evaluator=evaluator)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert all(torch.tensor(losses).isfinite())
    moved = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])]
    assert moved
    return trainer


WRAPPERS: dict[str, Callable[[SentenceTransformer], nn.Module]] = {
    "alone": lambda model: SelectivePointwiseLoss(model, high_scores()),
    "matryoshka": lambda model: MatryoshkaLoss(model, SelectivePointwiseLoss(model, high_scores()), [32, 16, 8]),
    "adaptive layers": lambda model: AdaptiveLayerLoss(model, SelectivePointwiseLoss(model, high_scores())),
    "matryoshka in adaptive layers": lambda model: AdaptiveLayerLoss(
        model, MatryoshkaLoss(model, SelectivePointwiseLoss(model, high_scores()), [32, 8])
    ),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_trains_a_transformer(
    wrapper: str, transformer_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path
) -> None:
    loss = WRAPPERS[wrapper](transformer_model)
    features = [transformer_model.preprocess(list(pair_dataset[name])) for name in ("sentence1", "sentence2")]
    labels = torch.tensor(pair_dataset["score"])
    before = float(loss([dict(column) for column in features], labels))
    train(transformer_model, pair_dataset, loss, tmp_path, num_train_epochs=4)
    assert float(loss([dict(column) for column in features], labels)) < before


def test_matryoshka_is_the_sum_over_dimensions(static_model: SentenceTransformer, pair_dataset: Dataset) -> None:
    inner = SelectivePointwiseLoss(static_model, high_scores())
    wrapped = MatryoshkaLoss(static_model, inner, [32, 8], [1.0, 0.5])
    labels = torch.tensor(pair_dataset["score"])

    def features() -> list[dict[str, torch.Tensor]]:
        return [static_model.preprocess(list(pair_dataset[name])) for name in ("sentence1", "sentence2")]

    columns = [static_model(column)["sentence_embedding"] for column in features()]
    expected = inner.compute_loss_from_embeddings(columns, labels) + 0.5 * inner.compute_loss_from_embeddings(
        [column[:, :8] for column in columns], labels
    )
    ours = wrapped(features(), labels)
    assert_close(ours, expected)
    weight = static_model[0].embedding.weight
    assert_close(torch.autograd.grad(ours, weight), torch.autograd.grad(expected, weight))


def test_n_scores_and_class_labels_train(static_model: SentenceTransformer, pairs: Any, tmp_path: Path) -> None:
    """Two datasets, each with its own loss and format."""
    lists = Dataset.from_list(
        [
            {"query": a, "doc_1": b, "doc_2": pairs[i - 1][1], "scores": [score / 5, 0.1]}
            for i, (a, b, score) in enumerate(pairs)
        ]
    )
    classes = Dataset.from_list([{"anchor": a, "other": b, "label": int(score > 2.5)} for a, b, score in pairs])
    losses: dict[str, nn.Module] = {
        "lists": SelectivePointwiseLoss(static_model, high_scores()),
        "classes": SelectivePointwiseLoss(static_model, SigmoidLink(10, 0.5), targets="link_values"),
    }
    trainer = train(static_model, DatasetDict(lists=lists, classes=classes), losses, tmp_path)
    assert trainer.state.global_step == 2 * (4 + 4)


@pytest.mark.slow
def test_resumes_from_a_checkpoint(transformer_folder: Path, pair_dataset: Dataset, tmp_path: Path) -> None:
    def trainer_for(model: SentenceTransformer) -> SentenceTransformerTrainer:
        changes = {"save_strategy": "steps", "save_steps": 4, "seed": 3}
        loss = SelectivePointwiseLoss(model, high_scores())
        return SentenceTransformerTrainer(model, arguments(tmp_path, **changes), pair_dataset, loss=loss)

    whole = SentenceTransformer(str(transformer_folder), device="cpu")
    trainer_for(whole).train()
    assert (tmp_path / "checkpoint-4").is_dir()
    resumed = SentenceTransformer(str(transformer_folder), device="cpu")
    trainer_for(resumed).train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    for name, parameter in resumed.named_parameters():
        assert_close(parameter, dict(whole.named_parameters())[name], operations_of(whole))


def test_bf16_autocast(transformer_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path) -> None:
    trainer = train(transformer_model, pair_dataset, SelectivePointwiseLoss(transformer_model), tmp_path, bf16=True)
    assert trainer.state.global_step == 8


@pytest.mark.slow
def test_a_compiled_model(transformer_model: SentenceTransformer, pair_dataset: Dataset) -> None:
    """The trainer puts the compiled model in the loss's place; values and gradients stay."""
    loss = SelectivePointwiseLoss(transformer_model, high_scores())
    features = [transformer_model.preprocess(list(pair_dataset[name])[:8]) for name in ("sentence1", "sentence2")]
    labels = torch.tensor(pair_dataset["score"][:8])
    plain = loss([dict(column) for column in features], labels)
    parameters = [p for p in transformer_model.parameters() if p.requires_grad]
    expected = torch.autograd.grad(plain, parameters, allow_unused=True)
    loss.model = torch.compile(transformer_model, backend="aot_eager")
    compiled = loss([dict(column) for column in features], labels)
    found = torch.autograd.grad(compiled, parameters, allow_unused=True)
    steps = (
        [value, *(each for each in slopes if each is not None)]
        for value, slopes in ((compiled, found), (plain, expected))
    )
    assert_same_step(*steps, operations_of(transformer_model))


def test_the_loss_itself_compiles() -> None:
    p, s = torch.rand(8, requires_grad=True), torch.rand(8)
    for link in (high_scores(), SigmoidLink(5, 0.5), IdentityLink()):
        compiled = torch.compile(link.divergence, backend="aot_eager")
        assert_close(compiled(p, s), link.divergence(p, s))


class TestModelCard:
    @pytest.fixture
    def card(self, static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path) -> str:
        evaluator = ScoreRegionEvaluator(
            list(pair_dataset["sentence1"]), list(pair_dataset["sentence2"]), list(pair_dataset["score"]), name="dev"
        )
        loss = SelectivePointwiseLoss(static_model, 0.3 * IdentityLink() + SigmoidLink(20, 0.8))
        train(static_model, pair_dataset, loss, tmp_path / "work", evaluator=evaluator)
        evaluator(static_model)
        static_model.save_pretrained(str(tmp_path / "model"))
        return (tmp_path / "model" / "README.md").read_text(encoding="utf-8")

    def test_names_the_loss_and_its_link(self, card: str) -> None:
        assert "selective_st.losses.selective.SelectivePointwiseLoss" in card
        assert "loss:SelectivePointwiseLoss" in card
        block = re.search(r"SelectivePointwiseLoss</code> with these parameters:\s*```json\n(.*?)```", card, re.DOTALL)
        assert block is not None
        config = json.loads(block.group(1))
        assert link_from_config(config["link"]) == 0.3 * IdentityLink() + SigmoidLink(20, 0.8)
        assert config["targets"] == "scores"

    def test_cites_the_paper_in_bibtex(self, card: str) -> None:
        entry = re.search(r"#### SelectivePointwiseLoss\s*```bibtex\n(.*?)```", card, re.DOTALL)
        assert entry is not None
        assert "eprint={2506.04446}" in entry.group(1)
        assert entry.group(1).count("{") == entry.group(1).count("}")

    def test_shows_the_region_metrics(self, card: str) -> None:
        assert "Score Regions" in card
        assert "ap_ge_0.95" in card

    def test_inside_a_wrapper_it_is_still_cited(
        self, static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path
    ) -> None:
        loss = MatryoshkaLoss(static_model, SelectivePointwiseLoss(static_model), [32, 16])
        train(static_model, pair_dataset, loss, tmp_path / "work")
        static_model.save_pretrained(str(tmp_path / "model"))
        card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
        assert "2506.04446" in card
        assert "2205.13147" in card

    def test_beside_a_built_in_loss(
        self, static_model: SentenceTransformer, pair_dataset: Dataset, tmp_path: Path
    ) -> None:
        losses: dict[str, nn.Module] = {
            "ours": SelectivePointwiseLoss(static_model),
            "theirs": CoSENTLoss(static_model),
        }
        train(static_model, DatasetDict(ours=pair_dataset, theirs=pair_dataset), losses, tmp_path / "work")
        static_model.save_pretrained(str(tmp_path / "model"))
        card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
        assert "2506.04446" in card
        assert "CoSENT" in card


@pytest.fixture(scope="module")
def questions(pairs: list[tuple[str, str, float]]) -> GradedPairs:
    """Each first text with two to four of the second ones."""
    rows = [
        {"sentence1": first, "sentence2": pairs[(i + k) % len(pairs)][1], "score": score / 5 if k == 0 else 0.1}
        for i, (first, _, score) in enumerate(pairs)
        for k in range(2 + i % 3)
    ]
    return GradedPairs(Dataset.from_list(rows), "questions")


def with_labels(questions: GradedPairs) -> GradedPairs:
    """The same, with 1 for the highest score of a question and 0 for the others."""
    data = questions.dataset.to_pandas()
    data["score"] = (data["score"] == data.groupby("sentence1")["score"].transform("max")).astype(float)
    return GradedPairs(Dataset.from_pandas(data, preserve_index=False), "labelled questions")


@pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.name)
@pytest.mark.slow
def test_each_loss_on_its_layout(
    kind: LossKind, transformer_model: SentenceTransformer, questions: GradedPairs, tmp_path: Path
) -> None:
    """In a wrapper, which adds the loss of all dimensions to those of some."""
    if kind.of_labels == kind.name:  # it takes right and wrong
        questions = with_labels(questions)
    examples = kind.layout(questions, "first", 4, 0.6)
    loss = kind.build(transformer_model, parse_focus("high"))
    wrapper = MatryoshkaLoss(transformer_model, loss, [32, 8])
    trainer = train(transformer_model, examples.dataset, wrapper, tmp_path, num_train_epochs=6, learning_rate=5e-3)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert sum(losses[-3:]) < sum(losses[:3])


def test_loss_names() -> None:
    assert [loss_kind(kind.name) for kind in LOSSES] == list(LOSSES)
    by_class = {kind.loss: kind for kind in reversed(LOSSES)}  # the first of a class, which may stand for another
    assert {name: loss_kind(name) for name in by_class} == by_class
    with pytest.raises(ValueError, match=r"--loss must be pointwise, .* got 'mse'"):
        loss_kind("mse")


@pytest.mark.parametrize("focus", ["high", "middle"])
@pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.name)
def test_the_command_line_trains_with_what_the_registry_suggests(
    kind: LossKind, focus: str, transformer_model: SentenceTransformer, questions: GradedPairs
) -> None:
    examples = kind.layout(with_labels(questions) if kind.name == "listwise-labels" else questions, "first", 4, 0.6)
    trained: Any = kind.build(transformer_model, parse_focus(focus))
    suggested: Any = create_loss(transformer_model, examples.dataset, focus=focus, loss=kind.loss)
    assert trained.get_config_dict() == suggested.get_config_dict()
    temperature = getattr(trained, "temperature", None) or (1 / trained.scale if hasattr(trained, "scale") else None)
    assert kind.temperature == temperature


@pytest.mark.parametrize("kind", [kind for kind in LOSSES if kind.temperature], ids=lambda kind: kind.name)
def test_a_temperature_that_is_given_is_that_of_every_loss_that_has_one(
    kind: LossKind, transformer_model: SentenceTransformer
) -> None:
    found = kind.contenders(parse_focus("high"), 0.25, compare=True)
    assert [each.name for each in found] == [kind.loss, *kind.builtins]  # one setting of each
    for contender in found:
        config = contender.make(transformer_model).get_config_dict()  # type: ignore[operator]
        assert config.get("temperature", 0.25) == 0.25
        if kind.scale:
            assert config.get("scale", 4.0) == 4.0


@pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.name)
def test_a_comparison_tries_as_many_settings_of_each_loss_that_has_one(
    kind: LossKind, transformer_model: SentenceTransformer
) -> None:
    found = kind.contenders(parse_focus("high"), None, compare=True)
    assert list(dict.fromkeys(each.loss for each in found)) == [kind.loss, *kind.builtins]
    for loss in (kind.loss, *kind.builtins):
        of_loss = [each for each in found if each.loss == loss]
        configs = [each.make(transformer_model).get_config_dict() for each in of_loss]  # type: ignore[operator]
        values = [
            config.get("scale") or 1 / config["temperature"]
            for config, each in zip(configs, of_loss, strict=True) if each.temperature
        ]  # fmt: skip
        wanted = [1 / temperature for temperature in kind.temperatures] if of_loss[0].temperature else []
        assert values == pytest.approx(wanted)
        assert [each.setting for each in of_loss] == (
            [f"scale {value:g}" if "scale" in configs[0] else f"temperature {1 / value:g}" for value in values] or [""]
        )
    assert kind.temperature is None or kind.temperature in kind.temperatures
    [alone] = kind.contenders(parse_focus("high"), None, compare=False)
    assert (alone.name, alone.temperature) == (kind.loss, kind.temperature)
    [alone] = kind.contenders(parse_focus("high"), None, compare=False, is_static=True)
    assert alone.temperature == (1 / kind.static_scale if kind.static_scale else kind.temperature)


@pytest.mark.parametrize("builtin", dict.fromkeys(name for kind in LOSSES for name in kind.builtins))
def test_built_in_losses_are_compared_as_the_registry_suggests_them(
    builtin: str, transformer_model: SentenceTransformer
) -> None:
    ours: Any = built_in(builtin, transformer_model)
    names: dict[str, Any] = {"model": transformer_model}
    exec(suggestion_for(builtin, rows_of(builtin)[0]).code, names)
    theirs = names["loss"]
    different = {"distance_metric", "triplet_margin"} if builtin == "TripletLoss" else set()
    configs = [{k: v for k, v in loss.get_config_dict().items() if k not in different} for loss in (ours, theirs)]
    assert configs[0] == configs[1]


@pytest.mark.parametrize("loss_class", [DistillKLDivLoss, MarginMSELoss])
def test_built_in_losses_see_each_list_at_its_own_length(
    loss_class: type[nn.Module], static_model: SentenceTransformer, questions: GradedPairs
) -> None:
    dataset = loss_kind("listwise").layout(questions, "first", 3, 0.6).dataset.select(range(12))
    *columns, _ = dataset.column_names
    loss = loss_class(static_model, pairwise_cos_sim)

    def value(module: nn.Module, rows: list[int], width: int) -> torch.Tensor:
        labels = torch.tensor([labels[:width] for labels in dataset[rows]["label"]])
        features = [static_model.preprocess(dataset[rows][column]) for column in columns[: width + 1]]
        return module(features, labels)  # type: ignore[no-any-return]

    lengths = [sum(label == label for label in labels) for labels in dataset["label"]]
    assert set(lengths) == {2, 3}
    each = [value(loss, [row], length) for row, length in enumerate(lengths)]
    ours = value(PaddedLists(loss), list(range(12)), 3)
    assert_close(ours, torch.stack(each).mean())
    full = [row for row, length in enumerate(lengths) if length == 3]
    assert_close(value(PaddedLists(loss), full, 3), value(loss, full, 3))
    assert PaddedLists(loss).get_config_dict() == loss.get_config_dict()
