"""WeightedLoss: several losses, one pass of the model; weights, balance, checkpoints, wrappers, cards, errors."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
from sentence_transformers.multi_vector_encoder.losses import MultiVectorDistillKLDivLoss, MultiVectorMarginMSELoss
from sentence_transformers.sentence_transformer.losses import (
    AdaptiveLayerLoss,
    CachedGISTEmbedLoss,
    CachedMultipleNegativesRankingLoss,
    ContrastiveLoss,
    CoSENTLoss,
    CosineSimilarityLoss,
    DistillKLDivLoss,
    GISTEmbedLoss,
    GlobalOrthogonalRegularizationLoss,
    MarginMSELoss,
    Matryoshka2dLoss,
    MatryoshkaLoss,
    MegaBatchMarginLoss,
    MSELoss,
    MultipleNegativesRankingLoss,
    SoftmaxLoss,
)
from sentence_transformers.sparse_encoder.losses import (
    CachedSpladeLoss,
    CSRLoss,
    SparseDistillKLDivLoss,
    SparseMarginMSELoss,
    SparseMultipleNegativesRankingLoss,
    SpladeLoss,
)
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor, nn
from transformers import TrainerCallback
from transformers.utils import logging as transformers_logging

from selective_st.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
    WeightedLoss,
)
from selective_st.losses.weighted import LossParts, WeightedLossCallback
from selective_st.model_card import add_to_model_card
from selective_st.registry import DataError, check_dataset, create_loss
from selective_st.registry.catalog import loss_entry
from selective_st.schedules import TrainingProgress, WeightSchedule, cosine_schedule, linear_schedule
from tests import model_types, random_inputs
from tests.loss_cases import EchoModel
from tests.processes import START
from tests.test_registry_catalog import CASES, available, build, gradient, is_wrapped, make_batch, model_of, run
from tests.tolerances import FEW, LOGGED, about, assert_close, assert_same_step, largest, operations_of

pytestmark = pytest.mark.numerical

ROWS, DIMENSION = 6, model_types.DIMENSION
LOGIT = 20.0  # no score is multiplied by more before an exponential is taken
PARTS: dict[str, Callable[[Any], nn.Module]] = {
    "ranking": lambda model: SelectiveListwiseLoss(model, pairwise_cos_sim, 0.2),
    "scores": lambda model: SelectivePointwiseLoss(model),
    "kl": lambda model: DistillKLDivLoss(model, pairwise_cos_sim),
    "margins": lambda model: MarginMSELoss(model, pairwise_cos_sim),
    "in batch": lambda model: SelectiveMultipleNegativesRankingLoss(model),
    "matryoshka": lambda model: MatryoshkaLoss(model, DistillKLDivLoss(model, pairwise_cos_sim), [DIMENSION, 8]),
    "spread": lambda model: GlobalOrthogonalRegularizationLoss(model),
}
WEIGHTS = {"ranking": 0.5, "scores": 2.0, "kl": 1.0, "margins": 0.25, "in batch": 3.0, "matryoshka": 0.1, "spread": 0.0}


class EchoOfSize(EchoModel):
    """An echo that losses can ask for its size and its device."""

    device = torch.device("cpu")

    def get_embedding_dimension(self) -> int:
        return DIMENSION


def columns_of(count: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    generator = random_inputs.generator(seed)
    made = [torch.randn(ROWS, DIMENSION, generator=generator, dtype=torch.float64).to(dtype) for _ in range(count)]
    return [column.requires_grad_() for column in made]


def scores_of(documents: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = random_inputs.generator(1)
    return torch.rand(ROWS, documents, generator=generator, dtype=torch.float64).to(dtype)


def features_of(columns: list[Tensor]) -> list[dict[str, Tensor]]:
    return [{"sentence_embedding": column} for column in columns]


def texts_of(model: Any, columns: int, rows: int = ROWS) -> list[dict[str, Any]]:
    return [
        model.preprocess([model_types.sentence(100 * column + row) for row in range(rows)]) for column in range(columns)
    ]


def total(value: Any) -> Tensor:
    return sum(value.values()) if isinstance(value, dict) else value


def gradients(value: Tensor, columns: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(value, columns))


class Count:
    """How often a model was asked."""

    def __init__(self, model: nn.Module) -> None:
        self.calls = 0
        model.register_forward_hook(self.count)

    def count(self, *_: Any) -> None:
        self.calls += 1


def scored(rows: int = 32) -> Dataset:
    """A query, two documents and their scores."""
    generator = random_inputs.generator(5)
    names = {"query": 0, "document_1": 1, "document_2": 2}
    texts = {name: [model_types.sentence(500 * k + row) for row in range(rows)] for name, k in names.items()}
    return Dataset.from_dict({**texts, "scores": torch.rand(rows, 2, generator=generator).tolist()})


def arguments(folder: Path, **changes: Any) -> SentenceTransformerTrainingArguments:
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": 1,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 1,
    }
    return SentenceTransformerTrainingArguments(**{**settings, **changes})


def annealed(model: Any, **options: Any) -> WeightedLoss:
    """The usual one: from a ranking to scores."""
    losses = {"ranking": PARTS["ranking"](model), "scores": PARTS["scores"](model)}
    return WeightedLoss(model, losses, **options)


def train(model: Any, loss: nn.Module, folder: Path, *callbacks: Any, **changes: Any) -> SentenceTransformerTrainer:
    resume = changes.pop("resume", None)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments(folder, **changes),
        train_dataset=scored(),
        eval_dataset=scored(8) if "eval_strategy" in changes else None,
        loss=loss,
        callbacks=list(callbacks),
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def logged(trainer: Any, key: str) -> list[float]:
    return [entry[key] for entry in trainer.state.log_history if key in entry]


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    torch.manual_seed(random_inputs.seed_of(0))


# --- The sum ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("how", ["forward", "embeddings"])
def test_it_is_the_weighted_sum_of_its_losses(dtype: torch.dtype, how: str) -> None:
    model, columns, labels = EchoOfSize(), columns_of(3, dtype), scores_of(2, dtype)
    names = [name for name in PARTS if how == "forward" or name != "matryoshka"]
    losses = {name: PARTS[name](model) for name in names}
    loss = WeightedLoss(model, losses, {name: WEIGHTS[name] for name in names})
    if how == "forward":
        parts = loss(features_of(columns), labels)
    else:
        parts = loss.compute_loss_from_embeddings(columns, labels)
    expected = torch.zeros((), dtype=dtype)
    assert list(parts) == names
    for name in names:
        alone = WEIGHTS[name] * total(PARTS[name](model)(features_of(columns), labels))
        assert_close(parts[name], alone, exponent=LOGIT)
        expected = expected + alone
    assert all(part.requires_grad for part in parts.values())
    ours, theirs = ([value.detach(), *gradients(value, columns)] for value in (parts.total, expected))
    assert all(gradient.abs().sum() > 0 for gradient in theirs[1:])
    assert_same_step(ours, theirs, exponent=LOGIT)


# Those that cannot be a part, and what the message says of it.
REFUSED = {
    "AdaptiveLayerLoss": "its layers or codes",
    "Matryoshka2dLoss": "its layers or codes",
    "MegaBatchMarginLoss": "use_mini_batched_version=False",
    "CSRLoss": "its layers or codes",
    "CSRReconstructionLoss": "its layers or codes",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("row", "name", "selective"), [case for case in CASES if case.values[0].model_type != "CrossEncoder"]
)
@pytest.mark.slow
def test_every_loss_of_the_registry_is_a_part_or_says_why_not(row: Any, name: str, selective: Any) -> None:
    entry = loss_entry(name, row.model_type)
    batch = make_batch(row, name)
    if not (available(entry.since) and available(row.since)):
        pytest.skip("not in this version")
    values, slopes = [], []
    for weighted in (False, True):
        torch.manual_seed(random_inputs.seed_of(0))
        model = model_of(entry, row)
        loss = build(entry, model, batch.dataset(), selective)
        if weighted:
            reason = "itself, in mini-batches" if name.startswith("Cached") else REFUSED.get(name)
            if reason is not None:
                with pytest.raises((TypeError, ValueError), match=reason):
                    WeightedLoss(model, {"part": loss})
                return
            loss = WeightedLoss(model, {"part": loss}, [0.5])
        if entry.origin != "selective_st" and is_wrapped(entry):
            loss = SpladeLoss(model, loss, document_regularizer_weight=0.0, query_regularizer_weight=0.0)
        value = run(model, loss, batch)
        values.append(value.detach())
        slopes.append(gradient(model, value))
    assert slopes[0].abs().sum() > 0
    assert_same_step([2 * values[1], 2 * slopes[1]], [values[0], slopes[0]], operations_of(model), exponent=LOGIT)


def test_a_list_of_losses_is_called_by_their_classes() -> None:
    model = EchoModel()
    loss = WeightedLoss(
        model, [CoSENTLoss(model), CosineSimilarityLoss(model), CoSENTLoss(model, scale=5.0)], [1, 2, 3]
    )
    assert loss.names == ("CoSENTLoss", "CosineSimilarityLoss", "CoSENTLoss_2")
    assert loss.current_weights == {"CoSENTLoss": 1.0, "CosineSimilarityLoss": 2.0, "CoSENTLoss_2": 3.0}
    assert list(loss.losses.values()) == list(loss.parts)


def test_a_weighted_loss_in_another() -> None:
    model, columns, labels = EchoOfSize(), columns_of(3), scores_of(2)
    inner = annealed(model, weights={"ranking": 2.0})
    outer = WeightedLoss(model, {"ours": inner, "kl": PARTS["kl"](model)}, {"ours": 0.5})
    parts = outer(features_of(columns), labels)
    assert list(parts) == ["ours", "kl"]
    assert_close(parts["ours"], 0.5 * inner(features_of(columns), labels).total)
    assert_close(outer.compute_loss_from_embeddings(columns, labels).total, parts.total)
    with pytest.raises(ValueError, match="read the data differently"):
        WeightedLoss(model, {"ours": inner, "classes": SoftmaxLoss(model, DIMENSION, 3)})


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.slow
def test_the_callback_of_a_loss_is_that_of_the_losses_within(tmp_path: Path, wrapped: bool, balance: bool) -> None:
    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step >= 5

    def nested(model: Any) -> tuple[WeightedLoss, WeightedLoss]:
        inner = annealed(model, weights={"scores": linear_schedule(0, 1)}, balance=balance)
        part = MatryoshkaLoss(model, inner, [DIMENSION, 4], [1, 1]) if wrapped else inner
        return WeightedLoss(model, {"inner": part, "kl": PARTS["kl"](model)}), inner

    options = {"save_strategy": "steps", "save_steps": 5}
    model = model_types.static_model()
    outer, inner = nested(model)
    seen = Seen(inner)
    train(model, outer, tmp_path, outer.callback, Stop(), **options)
    assert sorted(set(seen.weights)) == [step / 8 for step in range(5)]
    again, inner_again = nested(model := model_types.static_model())
    seen = Seen(inner_again)
    checkpoint = str(tmp_path / "checkpoint-5")
    begun: list[Any] = []

    class Begun(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            begun.extend((inner_again.magnitudes.tolist(), inner_again.observed.tolist()))

    train(model, again, tmp_path, again.callback, Begun(), resume=checkpoint, **options)
    assert sorted(set(seen.weights)) == [step / 8 for step in range(5, 8)]
    assert begun == [inner.magnitudes.tolist(), inner.observed.tolist()]
    assert (begun[0] != [1.0, 1.0]) == balance


# --- One pass ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [model_types.bert_model, model_types.static_model])
def test_the_model_is_asked_once(make: Callable[[], SentenceTransformer]) -> None:
    model = make()
    features, labels = texts_of(model, 3), scores_of(2, torch.float32)
    alone, count = PARTS["ranking"](model), Count(model)
    alone([dict(column) for column in features], labels)
    once = count.calls
    assert once
    losses = {name: PARTS[name](model) for name in ("ranking", "scores", "kl", "in batch", "matryoshka")}
    loss = WeightedLoss(model, losses)
    count.calls = 0
    parts = loss([dict(column) for column in features], labels)
    assert count.calls == once
    parts.total.backward()
    assert count.calls == once
    assert all(part.model is model for part in loss.parts)
    assert "forward" not in model.__dict__


def test_the_model_is_asked_once_for_multi_vector_models() -> None:
    model = model_types.multi_vector_model()
    losses = {"kl": MultiVectorDistillKLDivLoss(model), "margins": MultiVectorMarginMSELoss(model)}
    labels = scores_of(2, torch.float32)
    alone = [loss(texts_of(model, 3), labels) for loss in losses.values()]
    count = Count(model)
    parts = WeightedLoss(model, losses)(texts_of(model, 3), labels)
    assert count.calls == 3  # a column each
    assert_close(list(parts.values()), alone)


def test_a_loss_that_asks_about_other_texts_is_stopped_and_the_model_put_back() -> None:
    class Curious(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
            half = {name: value[:2] for name, value in features[0].items()}
            value: Tensor = self.model(half)["sentence_embedding"].sum()
            return value

    model = model_types.bert_model()
    loss = WeightedLoss(model, [Curious(model)])
    with pytest.raises(RuntimeError, match="asks the model about other inputs"):
        loss(texts_of(model, 2), None)
    assert cast_module(loss.parts[0]).model is model


def cast_module(module: nn.Module) -> Any:
    return module


def test_a_loss_that_reads_more_than_embeddings_reads_it_here() -> None:
    """In-batch negatives that have the positive's text are found by the tokens."""
    model = model_types.bert_model()
    features = texts_of(model, 2, rows=4)
    features[1] = model.preprocess([model_types.sentence(row // 2) for row in range(4)])
    alone = SelectiveMultipleNegativesRankingLoss(model, mask_same_text=True)
    value = alone([dict(column) for column in features], None)
    blind = alone.compute_loss_from_embeddings([model(dict(column))["sentence_embedding"] for column in features], None)
    part = WeightedLoss(model, [alone])([dict(column) for column in features], None).total
    assert_close(part, value)
    assert (blind - value).abs() > 1e-3


# --- Parts that are as good as their total ----------------------------------------------------------------------------


def made_of(leaf: Tensor) -> LossParts:
    """Parts 2x and x²."""
    return LossParts(ranking=2 * leaf, scores=leaf**2)


AS_A_TENSOR: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "item": lambda loss: loss.item(),
    "format": lambda loss: f"{loss:.3f}",
    "bool": lambda loss: bool(loss < 100) and not bool(loss < 1),
    "detach": lambda loss: loss.detach() + 1,
    "minus": lambda loss: loss - 1.5,
    "from": lambda loss: 1.5 - loss,
    "between": lambda loss: loss - made_of(torch.tensor(1.0)),
    "negative": lambda loss: -loss,
    "power": lambda loss: loss**2,
    "absolute": abs,
    "divides": lambda loss: 2 / loss,
    "order": lambda loss: [loss < 8, loss <= 8, loss > 8, loss >= 8, loss == 8, loss != 8],
    "product": lambda loss: loss * loss,
    "functions": lambda loss: [torch.isfinite(loss), torch.isnan(loss), torch.stack([loss, loss]), torch.sqrt(loss)],
    "methods": lambda loss: [loss.mean(), loss.repeat(3), loss.dim(), loss.shape, loss.dtype, loss.device, loss.cpu()],
    "numpy": lambda loss: float(loss.detach().numpy()),
    "added in place": lambda loss: torch.zeros(()).add_(loss.detach()),
    "its loss": lambda loss: loss["loss"] if isinstance(loss, dict) else loss,
    "index": lambda loss: loss[None],
    "pickle": lambda loss: pickle.loads(pickle.dumps(loss.detach())),
    "copy": lambda loss: copy.deepcopy(loss.detach()),
    "clip": lambda loss: torch.nn.functional.relu(loss),
}


@pytest.mark.parametrize("use", AS_A_TENSOR)
@pytest.mark.filterwarnings("ignore:Converting a tensor")
def test_parts_are_used_like_their_total(use: str) -> None:
    leaf = torch.tensor(2.0, requires_grad=True)
    ours, theirs = (AS_A_TENSOR[use](loss) for loss in (made_of(leaf), 2 * leaf + leaf**2))
    for one, other in zip(*(each if isinstance(each, list) else [each] for each in (ours, theirs)), strict=True):
        if isinstance(other, Tensor):
            assert isinstance(one, Tensor)
            assert one.requires_grad == other.requires_grad
            one = one.total if isinstance(one, LossParts) else one
            assert_close(one, other)
        else:
            assert one == other


def test_the_ways_back_through_parts() -> None:
    ways: dict[str, Callable[[LossParts], Any]] = {
        "backward": lambda loss: loss.backward(),
        "function": lambda loss: torch.autograd.backward(loss),
        "scaled": lambda loss: torch.amp.GradScaler("cpu", init_scale=1.0).scale(loss).backward(),
        "accelerate": lambda loss: Accelerator(cpu=True).backward(loss),
        "sum of values": lambda loss: torch.stack(list(loss.values())).sum().backward(),
        "hooked": lambda loss: (loss.register_hook(lambda slope: 1.0 * slope), loss.backward()),
        "weighed": lambda loss: (0.5 * loss + loss / 2).backward(),
        "as Lightning takes a dict": lambda loss: loss.get("loss").backward(),
    }
    for name, way in ways.items():
        leaf = torch.tensor(2.0, requires_grad=True)
        way(made_of(leaf))
        assert leaf.grad == 6, name
    leaf = torch.tensor(2.0, requires_grad=True)
    assert torch.autograd.grad(made_of(leaf), leaf)[0] == 6
    assert torch.func.grad(made_of)(torch.tensor(2.0)) == 6  # type: ignore[attr-defined]


def test_parts_are_a_dict_too() -> None:
    parts = made_of(torch.tensor(2.0))
    assert isinstance(parts, dict)
    assert isinstance(parts, Mapping)
    assert isinstance(parts, Tensor)
    assert list(parts) == list(parts.keys()) == ["ranking", "scores"]
    assert (
        dict(parts) == {**parts} == dict(parts.items()) == {"ranking": torch.tensor(4.0), "scores": torch.tensor(4.0)}
    )
    assert parts == dict(parts)
    assert parts != {"ranking": torch.tensor(4.0)}
    assert "ranking" in parts
    assert "loss" not in parts
    assert len(parts) == 2
    assert parts.get("none") is None
    with pytest.raises(KeyError, match="none"):
        parts["none"]
    gathered = Accelerator(cpu=True).gather(parts)
    assert_close(gathered.total, parts.total)
    shown = LossParts({"ranking": torch.tensor(4.0)}, total=torch.tensor(1.0))
    assert dict(shown) == {"ranking": torch.tensor(4.0), "rest": torch.tensor(-3.0)}
    assert shown.total == 1


class OwnLoss(SentenceTransformerTrainer):
    """A trainer that computes its loss by itself, as many do."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        features, labels = self.collect_features(inputs)
        assert isinstance(self.loss, nn.Module)
        loss = self.loss(features, labels)
        if not torch.isfinite(loss) or loss > 1e6:
            loss = torch.zeros_like(loss)
        return (loss, {}) if return_outputs else loss


@pytest.mark.slow
def test_a_trainer_with_a_loss_of_its_own(tmp_path: Path) -> None:
    results = []
    for trainer_class in (SentenceTransformerTrainer, OwnLoss):
        torch.manual_seed(random_inputs.seed_of(0))
        model = model_types.static_model()
        loss = annealed(model, weights={"ranking": 0.25})
        trainer = trainer_class(
            model,
            arguments(tmp_path, gradient_accumulation_steps=2, eval_strategy="epoch"),
            train_dataset=scored(),
            eval_dataset=scored(8),
            loss=loss,
        )
        trainer.train()
        results.append([logged(trainer, "loss"), logged(trainer, "eval_loss"), model[0].embedding.weight.sum().item()])
    assert len(results[0][0]) == 4
    for ours, theirs in zip(*results, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_parts_add_and_multiply_like_their_total() -> None:
    parts = LossParts(a=torch.tensor(2.0), b=torch.tensor(-1.0))
    factor, other = torch.tensor(3.0), torch.tensor(0.25)
    for ours, theirs in (
        (2 * parts, 2.0),
        (parts * factor, 3.0),
        (factor * parts, 3.0),
        (parts / 4, 0.25),
        (0 + parts, 1.0),
        (0.0 + parts * 2, 2.0),
        (parts + parts, 2.0),
        (parts + other + other, 1.5),
        (other + parts, 1.25),
        (parts + 1.5, 2.5),
        (sum([parts, parts, parts]), 3.0),
        (parts + {"b": torch.tensor(1.0), "c": torch.tensor(1.0)}, 3.0),
    ):
        assert isinstance(ours, LossParts)
        assert_close(ours.total, torch.tensor(theirs))
    assert parts == {"a": torch.tensor(2.0), "b": torch.tensor(-1.0)}
    value: Any = 1.0
    value += parts
    assert set(value) == {"a", "b", "rest"}


WRAPPERS: dict[str, Callable[[Any, nn.Module], nn.Module]] = {
    "MatryoshkaLoss": lambda model, loss: MatryoshkaLoss(model, loss, [16, 8, 4], [1, 0.5, 0.25]),
    "AdaptiveLayerLoss": lambda model, loss: AdaptiveLayerLoss(model, loss, n_layers_per_step=-1),
    "Matryoshka2dLoss": lambda model, loss: Matryoshka2dLoss(
        model, loss, [16, 8], n_layers_per_step=-1, n_dims_per_step=-1
    ),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_around_the_sum_is_the_sum_of_wrappers(name: str) -> None:
    """A wrapper is linear in the loss, save for the terms that it adds by itself."""
    model, labels = model_types.bert_model(), scores_of(2, torch.float32)
    wrap = WRAPPERS[name]
    weights = {"ranking": 0.5, "scores": 2.0}
    found, slopes = [], []
    for parts in (("ranking", "scores"), ("ranking",), ("scores",)):
        loss = WeightedLoss(
            model, {part: PARTS[part](model) for part in parts}, {part: weights[part] for part in parts}
        )
        value = wrap(model, loss)(texts_of(model, 3), labels)
        assert isinstance(value, dict)
        assert set(value) == {*parts, *([] if name == "MatryoshkaLoss" else ["rest"])}
        found.append(value)
        slopes.append(gradient(model, total({part: value[part] for part in parts})))
        for part in parts:  # the same, of the wrapper around the loss itself
            alone = total(wrap(model, PARTS[part](model))(texts_of(model, 3), labels))
            expected = weights[part] * (alone - value.get("rest", 0))
            assert_close(value[part], expected, exponent=LOGIT, size=float(weights[part] * alone))
    for part, value in (("ranking", found[1]), ("scores", found[2])):
        assert_close(found[0][part], value[part], exponent=LOGIT)
    assert_close(slopes[0], slopes[1] + slopes[2], operations_of(model), exponent=LOGIT, size=largest(*slopes))


@pytest.mark.parametrize("wrapper", [SpladeLoss, CachedSpladeLoss])
def test_in_the_losses_of_sparse_models(wrapper: Any) -> None:
    labels = scores_of(2, torch.float32)
    made = []
    for parts in (("kl", "margins"), ("kl",), ("margins",)):
        model = model_types.splade_model()
        losses = {"kl": SparseDistillKLDivLoss(model), "margins": SparseMarginMSELoss(model)}
        loss = WeightedLoss(model, {part: losses[part] for part in parts}, dict.fromkeys(parts, 0.5))
        options = {"mini_batch_size": 2} if wrapper is CachedSpladeLoss else {}
        outer = wrapper(model, loss, document_regularizer_weight=0.0, query_regularizer_weight=0.0, **options)
        value = outer(texts_of(model, 3), labels)
        assert set(value) == {*parts, "document_regularizer_loss", "query_regularizer_loss"}
        slope = gradient(model, total(value))
        alone = losses[parts[0]].compute_loss_from_embeddings(
            [model(column)["sentence_embedding"] for column in texts_of(model, 3)], labels
        )
        assert_close(value[parts[0]].detach(), 0.5 * alone.detach(), operations_of(model), exponent=LOGIT)
        made.append((total(value).detach(), slope))
    for one, first, second in zip(*made, strict=True):
        assert_close(one, first + second, operations_of(model), exponent=LOGIT, size=largest(first, second))


def test_in_the_loss_of_sparse_autoencoders() -> None:
    model = model_types.autoencoder_model()
    losses = {"in batch": SparseMultipleNegativesRankingLoss(model), "kl": SparseDistillKLDivLoss(model)}
    loss = WeightedLoss(model, losses, {"kl": 0.5})
    value = CSRLoss(model, loss=loss, gamma=2.0)(texts_of(model, 3), scores_of(2, torch.float32))
    assert {"in batch", "kl"} < set(value)
    embeddings = [model(column)["sentence_embedding"] for column in texts_of(model, 3)]
    alone = losses["kl"].compute_loss_from_embeddings(embeddings, scores_of(2, torch.float32))
    assert_close(value["kl"], alone, operations_of(model), exponent=LOGIT)  # 2.0 * 0.5
    total(value).backward()


def test_a_part_that_needs_more_than_embeddings_says_so_in_such_a_loss() -> None:
    model = EchoOfSize()
    loss = WeightedLoss(model, {"classes": SoftmaxLoss(model, DIMENSION, 2)})
    with pytest.raises(TypeError, match=r"'classes' \(SoftmaxLoss\) cannot be had from embeddings alone"):
        loss.compute_loss_from_embeddings(columns_of(2), torch.zeros(ROWS).long())


def test_a_part_must_return_a_scalar() -> None:
    class Rows(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
            return features[0]["sentence_embedding"].sum(1)

    model = EchoModel()
    with pytest.raises(TypeError, match=r"'Rows' \(Rows\) must return a scalar, or a dict of them, got shape \(6,\)"):
        WeightedLoss(model, [Rows(model)])(features_of(columns_of(2)), None)


# --- Weights ----------------------------------------------------------------------------------------------------------


def naive(schedule: WeightSchedule, progress: TrainingProgress) -> float:
    import math

    done = min({"steps": progress.steps, "epochs": progress.epochs, "fraction": progress.fraction}[schedule.unit], 1e9)
    share = 1.0 if done >= schedule.length else done / schedule.length
    if schedule.shape == "cosine":
        return schedule.end + (schedule.begin - schedule.end) * (1 + math.cos(math.pi * share)) / 2
    return schedule.begin + (schedule.end - schedule.begin) * share


@pytest.mark.parametrize("make", [linear_schedule, cosine_schedule])
@pytest.mark.parametrize("length", [{"steps": 10}, {"epochs": 2.5}, {"fraction": 0.3}, {}], ids=str)
@pytest.mark.parametrize(("begin", "end"), [(0, 1), (3.0, 0.5), (1, 1)])
def test_schedules(make: Any, length: dict[str, float], begin: float, end: float) -> None:
    schedule = make(begin, end, **length)
    for done in (0.0, 0.001, 0.1, 0.3, 0.7, 1.0, 2.5, 7.0, 10.0, 1e6):
        progress = TrainingProgress(steps=done, epochs=done, fraction=min(done, 1.0))
        assert schedule(progress) == about(naive(schedule, progress), torch.float64, size=1.0)
        assert min(begin, end) <= schedule(progress) <= max(begin, end)
    assert schedule(TrainingProgress()) == begin
    assert schedule(TrainingProgress(1e9, 1e9, 1.0)) == end
    assert json.loads(json.dumps(schedule.get_config_dict())) == schedule.get_config_dict()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linear_schedule(0, 1, steps=5, epochs=1), ValueError, "give one of steps, epochs and fraction"),
        (lambda: linear_schedule(0, -1), ValueError, "end must be a finite number >= 0, got -1"),
        (lambda: cosine_schedule(float("nan"), 1), ValueError, "begin must be a finite number >= 0, got nan"),
        (lambda: linear_schedule(0, 1, steps=0), ValueError, "steps must be a finite number > 0"),
        (lambda: linear_schedule(0, 1, fraction=100), ValueError, "fraction must be at most 1 .* got 100"),
        (
            lambda: WeightSchedule("expo", 0, 1, 10, "steps"),
            ValueError,
            "shape must be one of linear, cosine, got 'expo'",
        ),
        (lambda: WeightSchedule("linear", 0, 1, 10, "days"), ValueError, "unit must be one of steps, "),
        (
            lambda: WeightSchedule("linear", -1, 1, 10, "steps"),
            ValueError,
            "begin must be a finite number >= 0, got -1",
        ),
        (lambda: WeightSchedule("linear", 0, 1, 0, "steps"), ValueError, "steps must be a finite number > 0"),
        (lambda: linear_schedule(0, 1, epochs="2"), TypeError, "epochs must be a finite number > 0"),  # type: ignore[arg-type]
    ],
)
def test_bad_schedules(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_schedule_without_anybody_to_tell_the_step() -> None:
    model, columns, labels = EchoModel(), columns_of(3), scores_of(2)
    loss = annealed(model, weights={"scores": linear_schedule(0, 1, steps=4)})
    mend = r"callbacks=\[loss.callback\] .* trainer.add_callback\(trainer.loss.callback\)"
    with pytest.raises(RuntimeError, match=mend):
        loss(features_of(columns), labels)
    for step, weight in ((0, 0.0), (1, 0.25), (4, 1.0), (9, 1.0)):
        loss.progress = TrainingProgress(steps=step)
        parts = loss(features_of(columns), labels)
        assert loss.current_weights == {"ranking": 1.0, "scores": weight}
        assert_close(parts["scores"], weight * PARTS["scores"](model)(features_of(columns), labels))


class Seen(TrainerCallback):
    """Which weights were in use at each step, and at each evaluation."""

    def __init__(self, loss: WeightedLoss) -> None:
        self.loss, self.weights, self.evaluated = loss, [], []  # type: ignore[var-annotated]
        self.batches = 0
        loss.register_forward_hook(self.note)

    def note(self, loss: nn.Module, *_: Any) -> None:
        if cast_module(loss).model.training:
            self.batches += 1
            self.weights.append(self.loss.current_weights["scores"])
        else:
            self.evaluated.append(self.loss.current_weights["scores"])


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.slow
def test_neither_accumulation_nor_evaluation_nor_a_wrapper_disturbs_the_schedule(tmp_path: Path, wrapped: bool) -> None:
    model = model_types.static_model()
    loss = annealed(model, weights={"scores": linear_schedule(0, 1, steps=4)})
    seen = Seen(loss)
    outer = MatryoshkaLoss(model, loss, [16, 8]) if wrapped else loss
    options = {"gradient_accumulation_steps": 2, "eval_strategy": "steps", "eval_steps": 1, "num_train_epochs": 2}
    trainer = train(model, outer, tmp_path, loss.callback, **options)
    times = 2 if wrapped else 1
    assert trainer.state.global_step == 8  # of 16 batches
    expected = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert seen.weights == [weight for weight in expected for _ in range(2 * times)]
    assert seen.evaluated == [weight for weight in (*expected[1:], 1) for _ in range(times)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (linear_schedule(0, 1), [step / 16 for step in range(16)]),
        (linear_schedule(1, 0, fraction=0.5), [max(0.0, 1 - step / 8) for step in range(16)]),
        (linear_schedule(0, 2, epochs=2), [step / 8 for step in range(16)]),
        (
            cosine_schedule(0, 1, epochs=1),
            [naive(cosine_schedule(0, 1, epochs=1), TrainingProgress(epochs=e / 8)) for e in range(16)],
        ),
    ],
    ids=str,
)
@pytest.mark.slow
def test_schedules_in_the_trainer(tmp_path: Path, schedule: WeightSchedule, expected: list[float]) -> None:
    model = model_types.static_model()
    loss = annealed(model, weights={"scores": schedule})
    seen = Seen(loss)
    train(model, loss, tmp_path, loss.callback, num_train_epochs=2)
    assert seen.weights == about(expected, torch.float64)
    assert loss.current_weights["scores"] == schedule(TrainingProgress(16, 2, 1))  # after the training: the end


# --- Evaluation -------------------------------------------------------------------------------------------------------

MOVING: dict[str, dict[str, Any]] = {
    "balance": {"balance": True, "weights": {"ranking": 0.5, "scores": 2.0}},
    "schedules": {"weights": {"ranking": linear_schedule(3, 0.25), "scores": cosine_schedule(0, 2)}},
    "both": {"balance": True, "weights": {"ranking": linear_schedule(1, 0.1)}},
    "neither": {"weights": {"scores": 0.5}},
}
LAST = {"balance": (0.5, 2.0), "schedules": (0.25, 2.0), "both": (0.1, 1.0), "neither": (1.0, 0.5)}


@pytest.mark.parametrize("moving", MOVING)
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.slow
def test_an_evaluation_has_one_unit_whatever_the_training_has_come_to(
    tmp_path: Path, moving: str, wrapped: bool
) -> None:
    """At a learning rate of 0 the model stays as it is, so that only a unit could move."""
    model = model_types.static_model()
    loss: Any = annealed(model, **MOVING[moving])
    outer = MatryoshkaLoss(model, loss, [DIMENSION, 8], [1, 0.5]) if wrapped else loss
    trainer = SentenceTransformerTrainer(
        model,
        arguments(tmp_path, eval_strategy="steps", eval_steps=2, learning_rate=0.0, per_device_eval_batch_size=8),
        train_dataset=scored(),
        eval_dataset=scored(8),
        loss=outer,
        callbacks=[loss.callback],
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    features = [model.preprocess(list(scored(8)[name])) for name in ("query", "document_1", "document_2")]
    labels = torch.tensor(list(scored(8)["scores"]))
    expected = dict.fromkeys(("ranking", "scores"), 0.0)
    for name in expected:
        alone: Any = PARTS[name](model)
        alone = MatryoshkaLoss(model, alone, [DIMENSION, 8], [1, 0.5]) if wrapped else alone
        expected[name] = alone([dict(column) for column in features], labels).item()
    total_of_all = sum(weight * value for weight, value in zip(LAST[moving], expected.values(), strict=True))
    assert [before, *logged(trainer, "eval_loss")] == pytest.approx([total_of_all] * 5, abs=1e-5)
    for name, value in expected.items():
        assert logged(trainer, f"eval_{name}") == pytest.approx([value] * 4, abs=1e-4)  # the log has four digits
    rest = total_of_all - sum(expected.values())
    assert logged(trainer, "eval_rest") == pytest.approx([rest] * 4, abs=2e-4)


def test_an_evaluation_needs_nobody_to_tell_the_step(tmp_path: Path) -> None:
    model, columns, labels = EchoModel(), columns_of(3), scores_of(2)
    loss = annealed(model, weights={"scores": linear_schedule(5, 0.5)})
    alone = {name: PARTS[name](model)(features_of(columns), labels) for name in ("ranking", "scores")}
    model.eval()
    for parts in (loss(features_of(columns), labels), loss.compute_loss_from_embeddings(columns, labels)):
        assert_close(parts.total, alone["ranking"] + 0.5 * alone["scores"])
        assert_close(parts["scores"], alone["scores"])
        assert_close(total(parts), parts.total)
    model.train()
    with torch.no_grad():
        assert_close(loss(features_of(columns), labels).total, alone["ranking"] + 0.5 * alone["scores"])


def test_a_model_may_be_trained_in_evaluation_mode() -> None:
    """Some freeze dropout so; the gradient is that of the total, and of the sum that the trainer takes."""
    model, columns, labels = EchoModel().eval(), columns_of(3), scores_of(2)
    loss = annealed(model, weights={"ranking": 1e-6, "scores": 0.5})
    alone = {name: PARTS[name](model)(features_of(columns), labels) for name in ("ranking", "scores")}
    expected = gradients(1e-6 * alone["ranking"] + 0.5 * alone["scores"], columns)
    for of in (lambda parts: parts, total):
        found = gradients(of(loss(features_of(columns), labels)), columns)
        for ours, theirs in zip(found, expected, strict=True):
            assert_close(ours, theirs)


def test_a_weighted_loss_within_another_has_one_unit_too() -> None:
    model, columns, labels = EchoModel(), columns_of(3), scores_of(2)
    inner = annealed(model, weights={"scores": linear_schedule(0, 3)}, balance=True)
    outer = WeightedLoss(model, {"inner": inner, "kl": PARTS["kl"](model)}, {"inner": cosine_schedule(0, 0.5)})
    outer.progress = TrainingProgress(steps=1)
    outer(features_of(columns), labels)
    model.eval()
    values = {name: PARTS[name](model)(features_of(columns), labels) for name in ("ranking", "scores", "kl")}
    within = values["ranking"] + 3 * values["scores"]
    parts = outer(features_of(columns), labels)
    assert_close(parts.total, 0.5 * within + values["kl"])
    assert_close(parts["inner"], within.detach())


@pytest.mark.parametrize("wrapper", [SpladeLoss, CachedSpladeLoss])
def test_the_losses_of_sparse_models_evaluate_it_too(wrapper: Any) -> None:
    model = model_types.splade_model()
    losses = {"kl": SparseDistillKLDivLoss(model), "margins": SparseMarginMSELoss(model)}
    loss = WeightedLoss(model, losses, {"kl": linear_schedule(0, 2), "margins": 0.5})
    options = {"mini_batch_size": 2} if wrapper is CachedSpladeLoss else {}
    outer = wrapper(model, loss, document_regularizer_weight=0.0, query_regularizer_weight=0.0, **options)
    model.eval()
    labels = scores_of(2, torch.float32)
    with torch.no_grad():
        embeddings = [model(column)["sentence_embedding"] for column in texts_of(model, 3)]
        alone = [part.compute_loss_from_embeddings(embeddings, labels) for part in losses.values()]
        value = outer(texts_of(model, 3), labels)
    assert_close(total(value), 2 * alone[0] + 0.5 * alone[1], operations_of(model))
    assert_close([value["kl"], value["margins"]], alone, operations_of(model))


# --- The log ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
@pytest.mark.slow
def test_the_parts_stand_in_the_log_and_add_up(tmp_path: Path, wrapper: str | None) -> None:
    model = model_types.bert_model()
    loss: Any = annealed(model, weights={"scores": 0.5})
    rest = ["rest"] if wrapper in ("AdaptiveLayerLoss", "Matryoshka2dLoss") else []
    outer = WRAPPERS[wrapper](model, loss) if wrapper else loss
    trainer = train(model, outer, tmp_path, eval_strategy="steps", eval_steps=4)
    for prefix in ("", "eval_"):
        names = ("ranking", "scores", *(["rest"] if prefix else rest))  # an evaluation shows the parts unweighted
        whole, *parts = (logged(trainer, prefix + key) for key in ("loss", *names))
        assert len(whole) == (2 if prefix else 8)
        sums = [sum(values) for values in zip(*parts, strict=True)]
        assert sums == pytest.approx([float(value) for value in whole], abs=3 * LOGGED)
        assert all(value > 0 for part in parts[:2] for value in part)


# --- Balance ----------------------------------------------------------------------------------------------------------


def test_balance_divides_by_the_running_means() -> None:
    model = EchoModel()
    loss = annealed(model, weights={"ranking": 0.3, "scores": 0.7}, balance=True)
    means: dict[str, float] = {}
    for batch in range(130):
        columns, labels = columns_of(3, seed=batch), scores_of(2)
        parts = loss(features_of(columns), labels)
        for name, weight in (("ranking", 0.3), ("scores", 0.7)):
            value = float(PARTS[name](model)(features_of(columns), labels))
            rate = 1 / min(batch + 1, 100)
            means[name] = means.get(name, 0.0) + rate * (abs(value) - means.get(name, 0.0))
            assert float(parts[name]) == about(weight * value / means[name], torch.float32)
            if not batch:
                assert float(parts[name]) == about(weight, torch.float32)
    assert_close(loss.magnitudes, torch.tensor(list(means.values())), FEW + 130)


def test_the_mean_is_a_constant_of_the_gradient_and_scale_does_not_matter() -> None:
    model, columns, labels = EchoModel(), columns_of(3), scores_of(2)
    slopes = []
    for scale in (1.0, 1000.0):

        class Scaled(SelectivePointwiseLoss):
            factor = scale

            def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
                return self.factor * super().compute_loss_from_embeddings(embeddings, labels)

        loss = WeightedLoss(model, {"scores": Scaled(model)}, balance=True)
        value = loss(features_of(columns), labels).total
        assert float(value) == about(1.0, torch.float32)
        slopes.append(gradients(value, columns))
        alone = Scaled(model)(features_of(columns), labels)
        for ours, theirs in zip(slopes[-1], gradients(alone, columns), strict=True):
            assert_close(ours, theirs / float(alone), dtype=torch.float32)
    assert_close(slopes[0], slopes[1], dtype=torch.float32)


@pytest.mark.parametrize("how", ["eval", "no_grad"])
def test_evaluation_leaves_the_means_alone(how: str) -> None:
    model = model_types.static_model()
    loss = annealed(model, balance=True)
    labels = scores_of(2, torch.float32)
    before = loss(texts_of(model, 3), labels)
    means = loss.magnitudes.clone()
    model.train(how != "eval")
    with torch.set_grad_enabled(how != "no_grad"):
        after = loss([*texts_of(model, 3)], 1 - labels)
    assert_close(loss.magnitudes, means, 0)
    assert not torch.equal(after.total, before.total)


def test_an_overflow_or_a_zero_does_not_spoil_the_means() -> None:
    class Given(nn.Module):
        value = 0.0

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: list[dict[str, Tensor]], labels: Any) -> Tensor:
            return torch.tensor(self.value, requires_grad=True)

    model = EchoModel()
    given = Given(model)
    loss = WeightedLoss(model, [given], balance=True)
    results = []
    for value in (0.0, float("inf"), 4.0, float("nan"), 0.0, -2.0):
        given.value = value
        results.append(float(loss(features_of(columns_of(2)), None).total))
    assert results[0] == 0.0
    assert results[1] == float("inf")  # not hidden
    assert results[2] == 1.0
    assert results[3] != results[3]
    assert results[4] == 0.0
    assert results[5] == about(-2 / 3, torch.float32)
    assert float(loss.magnitudes) == about(3.0, torch.float32)


def _balance_in_a_process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    loss = annealed(EchoModel(), balance=True)
    for batch in range(3):
        loss(features_of(columns_of(3, seed=10 * batch + rank)), scores_of(2))
    torch.save(loss.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available() or sys.platform == "win32", reason="needs gloo")
@pytest.mark.slow
def test_all_processes_weigh_alike(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(_balance_in_a_process, (str(tmp_path),), 2, start_method=START)
    states = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert states[0].keys() == states[1].keys()
    assert_close([*states[0].values()], [*states[1].values()], 0)
    model = EchoModel()
    for place, name in enumerate(("ranking", "scores")):
        values = [
            float(PARTS[name](model)(features_of(columns_of(3, seed=10 * batch + rank)), scores_of(2)))
            for batch in range(3)
            for rank in range(2)
        ]
        assert float(states[0]["magnitudes"][place]) == about(sum(values) / 6, torch.float32)


# --- Checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.slow
def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path, balance: bool) -> None:
    weights = {"ranking": linear_schedule(1, 0), "scores": cosine_schedule(0, 1, epochs=1.5)}
    whole, resumed = model_types.static_model(), model_types.static_model()

    def fresh(model: Any) -> WeightedLoss:
        return annealed(model, weights=weights, balance=balance)

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step >= 5

    options = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 5}
    loss = fresh(whole)
    seen = Seen(loss)
    uninterrupted = train(whole, loss, tmp_path / "whole", loss.callback, **options)
    first = fresh(model := model_types.static_model())
    train(model, first, tmp_path / "stopped", first.callback, Stop(), **options)
    again = fresh(resumed)
    seen_again = Seen(again)
    checkpoint = str(tmp_path / "stopped" / "checkpoint-5")
    trainer = train(resumed, again, tmp_path / "stopped", again.callback, resume=checkpoint, **options)
    assert trainer.state.global_step == uninterrupted.state.global_step == 16
    assert len(seen_again.weights) == 11
    assert seen_again.weights == seen.weights[5:]
    assert len(set(seen.weights)) > 8
    assert_close(again.magnitudes, loss.magnitudes)
    assert bool((loss.magnitudes != 1).all()) == balance
    for key in ("ranking", "scores", "loss"):
        assert logged(trainer, key)[-11:] == pytest.approx(logged(uninterrupted, key)[-11:], abs=2 * LOGGED)
    for (_, ours), (_, theirs) in zip(resumed.named_parameters(), whole.named_parameters(), strict=True):
        assert_close(ours, theirs)


def state_of(loss: WeightedLoss) -> list[list[float]]:
    return [loss.magnitudes.tolist(), loss.observed.tolist()]


class Stop(TrainerCallback):
    """Ends the training after five steps, and notes the state of losses when one begins."""

    def __init__(self, *losses: WeightedLoss, steps: int = 5) -> None:
        self.losses, self.steps, self.begun = losses, steps, []  # type: ignore[var-annotated]

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.begun.append([state_of(loss) for loss in self.losses])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step >= self.steps


@pytest.mark.parametrize("restore", [False, True], ids=["", "restoring callbacks"])
@pytest.mark.slow
def test_the_losses_of_two_datasets_keep_a_state_each(
    tmp_path: Path, restore: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Resumed, also where the trainer makes the callbacks anew, each goes on; nothing is warned of."""

    def trainer_of(*stop: Any) -> tuple[SentenceTransformerTrainer, list[WeightedLoss], Stop]:
        model = model_types.static_model()
        losses = [annealed(model, balance=True, weights={"scores": linear_schedule(0.5, 1)}) for _ in range(2)]
        noted = Stop(*losses, *stop)
        trainer = SentenceTransformerTrainer(
            model,
            arguments(tmp_path, save_strategy="steps", save_steps=5, restore_callback_states_from_checkpoint=restore),
            train_dataset={"one": scored(16), "two": scored(24)},  # type: ignore[arg-type]
            loss=dict(zip(("one", "two"), losses, strict=True)),
            callbacks=[noted, *(loss.callback for loss in losses)],
        )
        return trainer, losses, noted

    transformers_logging.enable_propagation()
    trainer, losses, _ = trainer_of()
    trainer.train()
    kept = [state_of(loss) for loss in losses]
    assert kept[0] != kept[1]
    resumed, again, noted = trainer_of()
    noted.steps = 8
    seen: list[Any] = []
    again[0].register_forward_pre_hook(lambda *_: seen.append([state_of(loss) for loss in again]))
    again[1].register_forward_pre_hook(lambda *_: seen.append([state_of(loss) for loss in again]))
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert seen[0] == kept
    assert resumed.state.global_step == 8
    assert all(loss.progress == TrainingProgress(8, resumed.state.epoch or 0, 8 / 10) for loss in again)
    found = [record.message for record in caplog.records if "callback" in record.message]
    assert [message for message in found if "Checkpoint included" in message or "already one" in message] == []


@pytest.mark.slow
def test_a_loss_made_by_the_trainer(tmp_path: Path) -> None:
    model = model_types.static_model()
    trainer = SentenceTransformerTrainer(
        model,
        arguments(tmp_path),
        train_dataset=scored(),
        loss=lambda model: annealed(model, weights={"scores": linear_schedule(0, 1, steps=4)}),
    )
    with pytest.raises(RuntimeError, match=r"trainer.add_callback\(trainer.loss.callback\)"):
        trainer.train()
    seen = Seen(cast_module(trainer.loss))
    trainer.add_callback(cast_module(trainer.loss).callback)
    trainer.train()
    assert seen.weights == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]


def test_the_state_of_the_loss_can_be_saved_by_hand() -> None:
    model, columns, labels = EchoModel(), columns_of(3), scores_of(2)
    loss, other = (annealed(model, balance=True) for _ in range(2))
    loss(features_of(columns), labels)
    other.load_state_dict(loss.state_dict())
    assert_close(other.magnitudes, loss.magnitudes)
    copied = copy.deepcopy(loss)
    assert_close(copied(features_of(columns), labels).total, loss(features_of(columns), labels).total)
    assert copied.model is not loss.model
    assert all(part.model is copied.model for part in copied.parts)


@pytest.mark.parametrize("same_trainer", [False, True])
@pytest.mark.slow
def test_a_second_training_has_nothing_of_the_first(tmp_path: Path, same_trainer: bool) -> None:
    model = model_types.static_model()
    loss = annealed(model, balance=True, weights={"scores": linear_schedule(0, 1)})
    begun = {name: value.clone() for name, value in model.state_dict().items()}
    made: list[Any] = []
    for folder in ("first", "second"):
        model.load_state_dict(begun)
        if not (made and same_trainer):
            made.append(
                SentenceTransformerTrainer(
                    model, arguments(tmp_path / folder), train_dataset=scored(), loss=loss, callbacks=[loss.callback]
                )
            )
        made[-1].optimizer = made[-1].lr_scheduler = None
        made[-1].train()
        made.append(logged(made[-1], "loss")[-8:])
        made.append(state_of(loss))
        made.append(made[0] if same_trainer else None)
    losses, means = [each for each in made if isinstance(each, list)][::2], made[2]
    assert losses[0][0] == losses[1][0] == 1.0  # the first batch, divided by itself, of the ranking alone
    assert losses[0] == losses[1]
    assert means == state_of(loss)
    assert means != [[1.0, 1.0], [0.0, 0.0]]


def test_an_earlier_step_is_another_training() -> None:
    loss = annealed(EchoModel(), balance=True)
    columns, labels = columns_of(3), scores_of(2)
    for step in range(3):  # a training loop of one's own
        loss.progress = TrainingProgress(steps=step)
        loss(features_of(columns), labels)
    assert loss.observed.tolist() == [3, 3]
    loss.progress = TrainingProgress(steps=0)
    assert state_of(loss) == [[1, 1], [0, 0]]
    loss(features_of(columns), labels)
    loss.restart()
    assert state_of(loss) == [[1, 1], [0, 0]]


def test_means_that_nobody_begins_anew_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    loss = annealed(EchoModel(), balance=True)
    for _ in range(2):
        loss(features_of(columns_of(3)), scores_of(2))
    (said,) = (record.message for record in caplog.records)
    assert "nobody tells the loss when a training begins, so the running means of balance=True go on" in said
    assert "Pass callbacks=[loss.callback] to the trainer" in said
    caplog.clear()
    loss.restart()
    loss.progress = TrainingProgress()
    loss(features_of(columns_of(3)), scores_of(2))
    assert not caplog.records


def test_a_copy_has_a_callback_of_its_own() -> None:
    loss = annealed(EchoModel(), weights={"scores": linear_schedule(0, 1)})
    told = loss.callback
    copied = copy.deepcopy(loss)
    assert loss.callback is told
    assert told.loss is loss
    assert copied.callback.loss is copied
    assert isinstance(copied.callback, WeightedLossCallback)
    assert type(told)().loss is loss  # as the trainer makes it anew
    assert pickle.loads(pickle.dumps(loss)).names == loss.names


@pytest.mark.slow
def test_the_parameters_of_a_part_are_trained(tmp_path: Path) -> None:
    model = model_types.static_model()
    torch.manual_seed(random_inputs.seed_of(1))
    classes = SoftmaxLoss(model, DIMENSION, 3)
    before = classes.classifier.weight.detach().clone()
    pairs = scored().remove_columns(["document_2", "scores"]).add_column("label", [row % 3 for row in range(32)])
    loss = WeightedLoss(model, {"classes": classes})
    SentenceTransformerTrainer(model, arguments(tmp_path), train_dataset=pairs, loss=loss).train()
    assert not torch.equal(classes.classifier.weight, before)


def test_with_a_compiled_or_wrapped_model() -> None:
    """The trainer puts the wrapped model into the loss and all its parts."""

    class Wrapped(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.module, self.calls = model, 0

        def forward(self, features: dict[str, Tensor]) -> Any:
            self.calls += 1
            return self.module(features)

    model = model_types.bert_model()
    loss = annealed(model, balance=True)
    nested = MatryoshkaLoss(model, loss, [16, 8])
    expected = total(nested(texts_of(model, 3), scores_of(2, torch.float32)))
    wrapped = Wrapped(model)
    trainer = SentenceTransformerTrainer.__new__(SentenceTransformerTrainer)
    trainer.override_model_in_loss(nested, wrapped)  # type: ignore[arg-type]
    assert loss.model is wrapped
    assert all(part.model is wrapped for part in loss.parts)
    loss.magnitudes.fill_(1)
    loss.observed.fill_(0)
    assert_close(total(nested(texts_of(model, 3), scores_of(2, torch.float32))), expected)
    assert wrapped.calls == 2
    model.eval()  # what the trainer does; the wrapper keeps its mode
    observed = loss.observed.clone()
    nested(texts_of(model, 3), scores_of(2, torch.float32))
    assert torch.equal(loss.observed, observed)


# --- Config, citation, card, registry ---------------------------------------------------------------------------------


def test_the_config_holds_that_of_every_part() -> None:
    model = model_types.bert_model()
    guided = GISTEmbedLoss(model, model_types.bert_model())
    losses = {
        "ranking": SelectiveListwiseLoss(model, pairwise_cos_sim),
        "guided": guided,
        "small": MatryoshkaLoss(model, MarginMSELoss(model), [16, 8]),
        "inner": WeightedLoss(model, [DistillKLDivLoss(model)]),
    }
    loss = WeightedLoss(model, losses, {"ranking": cosine_schedule(1, 0, steps=10), "small": 0.5}, balance=True)
    config = loss.get_config_dict()
    assert json.loads(json.dumps(config)) == config
    parts = config["losses"]
    assert list(parts) == list(losses)
    assert parts["ranking"]["loss"] == "SelectiveListwiseLoss"
    assert parts["ranking"]["weight"] == {"schedule": "cosine", "begin": 1.0, "end": 0.0, "steps": 10.0}
    listwise = json.loads(json.dumps(losses["ranking"].get_config_dict()))  # type: ignore[operator]
    assert parts["ranking"]["config"] == listwise
    assert parts["small"]["weight"] == 0.5
    assert parts["small"]["config"]["matryoshka_dims"] == [16, 8]
    assert parts["inner"]["config"]["losses"]["DistillKLDivLoss"]["weight"] == 1.0
    assert config["balance"] is True


def test_the_citation_is_that_of_every_part_and_each_entry_once() -> None:
    model = model_types.bert_model()
    parts = [
        SelectiveListwiseLoss(model, pairwise_cos_sim),
        SelectivePairwiseLoss(model, pairwise_cos_sim),
        MatryoshkaLoss(model, DistillKLDivLoss(model), [16, 8]),
    ]
    citation = WeightedLoss(model, parts).citation
    assert citation.count("eprint={2506.04446}") == 1
    for loss in (*parts, DistillKLDivLoss(model)):
        for line in str(loss.citation).strip().splitlines():
            assert line in citation
    entries = [line for line in citation.splitlines() if line.startswith("@")]
    assert len(entries) == len(set(entries)) == 4


@pytest.mark.slow
def test_the_card_describes_and_cites_every_part(tmp_path: Path) -> None:
    model = model_types.static_model()
    losses = {"ranking": PARTS["ranking"](model), "scores": PARTS["scores"](model), "margins": PARTS["margins"](model)}
    weights = {"ranking": linear_schedule(1, 0), "scores": linear_schedule(0, 1, steps=4)}
    loss = WeightedLoss(model, losses, weights, balance=True)
    train(model, MatryoshkaLoss(model, loss, [16, 8]), tmp_path / "run", loss.callback)
    add_to_model_card(model, MatryoshkaLoss(model, loss, [16, 8]))
    model.save_pretrained(str(tmp_path / "model"))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "selective_st.losses.weighted.WeightedLoss" in card or "WeightedLoss" in card
    section = card[card.index("## What the Loss Cares About") : card.index("## Training Details")]
    assert section.count("```json") == 2
    for text in (
        "`ranking`: `SelectiveListwiseLoss`, weight from 1 to 0, linearly over the training",
        "`scores`: `SelectivePointwiseLoss`, weight from 0 to 1, linearly over 4 steps",
        "`margins`: `MarginMSELoss`, weight 1",
        "Each is divided by the running mean of its magnitude",
        "Trained with `SelectiveListwiseLoss` within `WeightedLoss` within `MatryoshkaLoss`.",
        "Trained with `SelectivePointwiseLoss` within `WeightedLoss` within `MatryoshkaLoss`.",
    ):
        assert text in section, text
    assert card.count("eprint={2506.04446}") == 1
    assert card.count("@misc{hofstätter2021improving") == 1


@pytest.mark.slow
def test_the_card_of_the_trainer_alone_shows_the_parts(tmp_path: Path) -> None:
    model = model_types.static_model()
    loss = annealed(model)
    train(model, loss, tmp_path / "run")
    model.save_pretrained(str(tmp_path / "model"))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    config = card[card.index("selective_st.losses.weighted.WeightedLoss") :]
    shown = json.loads(config[config.index("```json") + 7 : config.index("```\n")])
    assert shown == json.loads(json.dumps(loss.get_config_dict()))
    assert card.count("eprint={2506.04446}") == 1


def test_check_dataset_looks_at_every_part() -> None:
    model = model_types.static_model()
    data = {"query": ["a", "b"], "one": ["c", "d"], "two": ["e", "f"], "scores": [[0.0, 5.0], [2.0, 1.0]]}
    report = check_dataset(data, MatryoshkaLoss(model, annealed(model), [16, 8]))
    assert report.loss == (
        "MatryoshkaLoss(WeightedLoss(SelectiveListwiseLoss)), MatryoshkaLoss(WeightedLoss(SelectivePointwiseLoss))"
    )
    assert [error.code for error in report.errors] == ["label-range"]  # once
    fine = {**data, "scores": [[0.0, 1.0], [0.4, 0.2]]}
    assert check_dataset(fine, annealed(model)).ok
    # What only one of them minds is found wherever it stands.
    ranges = {"kl": DistillKLDivLoss(model), "scores": SelectivePointwiseLoss(model)}
    for names in (("kl", "scores"), ("scores", "kl")):
        found = check_dataset(data, WeightedLoss(model, {name: ranges[name] for name in names}))
        assert "label-range" in [error.code for error in found.errors]


def test_create_loss_says_how_to_build_it() -> None:
    data = {"a": ["x", "y"], "b": ["z", "w"], "score": [0.1, 0.9]}
    with pytest.raises(DataError, match=r"WeightedLoss\(model, \[create_loss\(model, dataset\)\]\)"):
        create_loss(model_types.static_model(), data, loss="WeightedLoss")


# --- Bad input --------------------------------------------------------------------------------------------------------

BERT = model_types.bert_model()


def bert_parts(*names: str) -> dict[str, nn.Module]:
    return {name: PARTS[name](BERT) for name in names}


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: WeightedLoss("model", {}), TypeError, "model must be the model to train, got str"),  # type: ignore[arg-type]
    (lambda: WeightedLoss(BERT, {}), ValueError, "losses must be .* at least one, got an empty dict"),
    (lambda: WeightedLoss(BERT, []), ValueError, "losses must be .* at least one, got an empty list"),
    (lambda: WeightedLoss(BERT, PARTS["kl"](BERT)), TypeError, "must be a dict of losses, .* got DistillKLDivLoss"),  # type: ignore[arg-type]
    (lambda: WeightedLoss(BERT, {"kl": DistillKLDivLoss}), TypeError, "built with the model, but 'kl' is"),  # type: ignore[dict-item]
    (lambda: WeightedLoss(BERT, bert_parts("kl"), {"lk": 1.0}), ValueError, "weights must be .* got {'lk': 1.0}"),
    (lambda: WeightedLoss(BERT, bert_parts("kl"), {"kl": -0.5}), ValueError, r"weights\['kl'\] .* >= 0, got -0.5"),
    (lambda: WeightedLoss(BERT, bert_parts("kl"), [float("nan")]), ValueError, r"weights\['kl'\] must be .* got nan"),
    (lambda: WeightedLoss(BERT, bert_parts("kl"), [True]), TypeError, r"weights\['kl'\] must be a finite number"),
    (lambda: WeightedLoss(BERT, bert_parts("kl"), [1.0, 2.0]), ValueError, r"weights must be .* got \[1.0, 2.0\]"),
    (lambda: WeightedLoss(BERT, bert_parts("kl"), [lambda step: step]), TypeError, "must be a finite number"),  # type: ignore[list-item]
    (lambda: WeightedLoss(BERT, bert_parts("kl"), 0.5), ValueError, "weights must be a dict such as"),  # type: ignore[arg-type]
    (lambda: WeightedLoss(BERT, bert_parts("kl"), [0.0]), ValueError, "all weights are 0, or end there"),
    (
        lambda: WeightedLoss(BERT, bert_parts("kl", "scores"), {"kl": 0.0, "scores": linear_schedule(1, 0)}),
        ValueError,
        r"all weights are 0, or end there, .* linear_schedule\(1, 0.01\)",
    ),
    (lambda: WeightedLoss(BERT, bert_parts("kl"), balance=0.9), TypeError, "balance must be of type bool, got 0.9"),  # type: ignore[arg-type]
    (lambda: WeightedLoss(BERT, {"steps": PARTS["kl"](BERT)}), ValueError, "nothing else in .* log, got 'steps'"),
    (lambda: WeightedLoss(BERT, {"rest": PARTS["kl"](BERT)}), ValueError, "got 'rest'. Call that loss 'rest_part'"),
    (lambda: WeightedLoss(BERT, {"": PARTS["kl"](BERT)}), ValueError, "names of losses must be texts"),
    (lambda: WeightedLoss(model_types.bert_model(), bert_parts("kl")), ValueError, "made with another model object"),
    (
        lambda: WeightedLoss(BERT, {"kl": SparseDistillKLDivLoss(model_types.splade_model())}),
        ValueError,
        "object, SparseEncoder, than the one given here, SentenceTransformer.*for a SentenceTransformer",
    ),
    (
        lambda: WeightedLoss(model_types.cross_encoder(), [BinaryCrossEntropyLoss(model_types.cross_encoder())]),
        TypeError,
        "a CrossEncoder scores pairs",
    ),
    (
        lambda: WeightedLoss(BERT, [BinaryCrossEntropyLoss(model_types.cross_encoder())]),
        ValueError,
        "object, CrossEncoder, than the one given here, SentenceTransformer.*for a SentenceTransformer",
    ),
    (
        lambda: WeightedLoss(BERT, {"large": CachedMultipleNegativesRankingLoss(BERT)}),
        ValueError,
        r"'large' .* embeds the batch by itself, in mini-batches, .* Use MultipleNegativesRankingLoss\(model\)",
    ),
    (
        lambda: WeightedLoss(BERT, [CachedSelectiveMultipleNegativesRankingLoss(BERT)]),
        ValueError,
        r"Use SelectiveMultipleNegativesRankingLoss\(model\)",
    ),
    (
        lambda: WeightedLoss(BERT, [MatryoshkaLoss(BERT, CachedGISTEmbedLoss(BERT, BERT), [16, 8])]),
        ValueError,
        r"embeds the batch by itself, .* Use GISTEmbedLoss\(model\)",
    ),
    (lambda: WeightedLoss(BERT, [MegaBatchMarginLoss(BERT)]), ValueError, "use_mini_batched_version=False"),
    (
        lambda: WeightedLoss(BERT, [AdaptiveLayerLoss(BERT, PARTS["kl"](BERT))]),
        ValueError,
        r"put the WeightedLoss into it: AdaptiveLayerLoss\(model, loss=WeightedLoss",
    ),
    (
        lambda: WeightedLoss(BERT, {"cos": CosineSimilarityLoss(BERT), "pairs": MultipleNegativesRankingLoss(BERT)}),
        ValueError,
        r"'cos' \(CosineSimilarityLoss\) and 'pairs' \(MultipleNegativesRankingLoss\) read the data differently: "
        "the first takes pair with labels: similarity, the second pair with no labels",
    ),
    (
        lambda: WeightedLoss(BERT, [SelectiveListwiseLoss(BERT, targets="labels"), SelectivePointwiseLoss(BERT)]),
        ValueError,
        "binary list, the second pair with labels: similarity",
    ),
    (
        lambda: WeightedLoss(BERT, [SoftmaxLoss(BERT, 16, 3), CosineSimilarityLoss(BERT)]),
        ValueError,
        "labels: class, .* the second pair with labels: similarity",
    ),
    (
        lambda: WeightedLoss(BERT, [MatryoshkaLoss(BERT, MSELoss(BERT), [16]), DistillKLDivLoss(BERT)]),
        ValueError,
        "read the data differently",
    ),
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(BAD)))
def test_bad_input(place: int) -> None:
    call, error, message = BAD[place]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "make",
    [
        lambda model: [SelectiveMultipleNegativesRankingLoss(model), SelectivePointwiseLoss(model)],
        lambda model: [MarginMSELoss(model), MultipleNegativesRankingLoss(model)],
        lambda model: [CosineSimilarityLoss(model), ContrastiveLoss(model)],
        lambda model: [CosineSimilarityLoss(model), GlobalOrthogonalRegularizationLoss(model)],
        lambda model: [SelectivePairwiseLoss(model, targets="margins"), MarginMSELoss(model)],
        lambda model: [SelectivePointwiseLoss(model, targets="link_values"), ContrastiveLoss(model)],
        lambda model: [CoSENTLoss(model), type("Own", (CosineSimilarityLoss,), {})(model)],
    ],
)
def test_losses_that_read_the_data_alike(make: Callable[[Any], list[nn.Module]]) -> None:
    assert len(WeightedLoss(BERT, make(BERT)).parts) == 2
