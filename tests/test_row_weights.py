"""Weights of rows: what every loss makes of them, and how a dataset's column of them comes to the loss."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from sentence_transformers.sparse_encoder.losses import CachedSpladeLoss, SpladeLoss
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor, nn
from torch.testing import assert_close

from selective_st import functional
from selective_st.cross_encoder import losses as cross
from selective_st.links import ConstantLink, Link, SigmoidLink
from selective_st.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
    WeightedLoss,
)
from selective_st.sparse_encoder import losses as sparse
from selective_st.weights import WEIGHT_COLUMNS, RowWeights, with_row_weights
from tests import model_types, random_inputs
from tests.link_cases import From1
from tests.loss_cases import CACHE_KEEPS_DOUBLE, LOSS_CASES, EchoModel, LossCase
from tests.loss_properties import ROWS, columns_for, labels_for, leaves
from tests.model_types import sentence
from tests.tolerances import STEEPEST, assert_same_step

# Not those of which a batch is one whole: pairs of pairs have the product of their weights (tests/test_order.py), and
# distillation within a batch takes none.
CASES = [
    case
    for case in LOSS_CASES
    if "distillation" not in case.name and ("order" not in case.name.split(", ") or "lists" in case.name)
]


def weighed(loss: Any, columns: list[Tensor], labels: Tensor | None, weight: Tensor | None) -> list[Tensor]:
    """Value and gradients of a batch whose labels come with weights."""
    for column in columns:
        column.grad = None
    given, labels = getattr(loss.model, "given", EchoModel.given)(columns, labels)
    if weight is not None:
        labels = {"weight": weight} if labels is None else {"label": labels, "weight": weight}
    value = loss(given, labels)
    value.backward()
    return [value.detach(), *(torch.zeros_like(c) if c.grad is None else c.grad.clone() for c in columns)]


def assert_alike(case: LossCase, ours: list[Tensor], theirs: list[Tensor]) -> None:
    """Up to rounding: MaxSim is summed in single precision, as is the cache of an older host."""
    single = case.model_type == "MultiVectorEncoder" or not (CACHE_KEEPS_DOUBLE or case.uncached is None)
    assert_same_step(ours, theirs, exponent=STEEPEST, dtype=torch.float32 if single else None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_mean_is_weighted(case: LossCase) -> None:
    """It is that of the rows' own losses, which a weight for a single row gives."""
    loss, columns, labels = case.loss(), columns_for(case), labels_for(case)
    if isinstance(loss, cross.SelectiveMultipleNegativesRankingLoss):
        loss.num_negatives = None
    weight = torch.tensor([1.0, 0.0, 2.5, 0.5, 3.0, 1.0])
    alone = [weighed(loss, leaves(columns), labels, torch.eye(ROWS)[row]) for row in range(ROWS)]
    # Rows with more pairs to their name count more.
    counts = torch.tensor([_count(case, labels, row) for row in range(ROWS)], dtype=torch.float64)
    share = (weight * counts / (weight * counts).sum()).tolist()
    expected = [sum(s * row[i] for s, row in zip(share, alone, strict=True)) for i in range(len(alone[0]))]
    assert_alike(case, weighed(loss, columns, labels, weight), expected)  # type: ignore[arg-type]


def _count(case: LossCase, labels: Tensor | None, row: int) -> int:
    if "pairwise" not in case.name or labels is None or labels.dim() < 2:
        return 1
    if case.mean_over != "all pairs":
        return 1
    return int((labels[row][:, None] > labels[row][None]).sum())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equal_weights_change_nothing(case: LossCase) -> None:
    loss, columns, labels = case.loss(), columns_for(case), labels_for(case)
    plain = weighed(loss, leaves(columns), labels, None)
    for weight in (torch.ones(ROWS), torch.full((ROWS,), 0.25), torch.full((ROWS,), 3)):
        assert_alike(case, weighed(loss, leaves(columns), labels, weight), plain)


@pytest.mark.parametrize("case", [case for case in CASES if case.row_wise], ids=lambda case: case.name)
def test_a_weight_is_how_often_a_row_is_there(case: LossCase) -> None:
    loss, columns, labels = case.loss(), columns_for(case), labels_for(case)
    weight = torch.tensor([1, 3, 0, 2, 1, 1])
    repeated = [column.repeat_interleave(weight, 0) for column in columns]
    copies = leaves(repeated)
    value, *gradients = weighed(loss, copies, None if labels is None else labels.repeat_interleave(weight, 0), None)
    sums = [
        torch.zeros_like(column).index_add_(0, torch.arange(ROWS).repeat_interleave(weight), gradient)
        for column, gradient in zip(columns, gradients, strict=True)
    ]
    assert_alike(case, weighed(loss, columns, labels, weight), [value, *sums])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_weight_at_all_is_no_loss(case: LossCase) -> None:
    value, *gradients = weighed(case.loss(), columns_for(case), labels_for(case), torch.zeros(ROWS))
    assert value == 0
    assert all(gradient.abs().sum() == 0 for gradient in gradients)


OF_WEIGHTS: dict[str, Callable[..., Tensor]] = {
    "matching": functional.matching_loss,
    "pairwise": lambda p, s, link, **weight: functional.pairwise_loss(p, s, link, **weight),
    "listwise matching": functional.listwise_matching_loss,
    "listwise label": lambda p, s, link, **weight: functional.listwise_label_loss(
        p, torch.zeros(len(p), dtype=torch.int64), link, **weight
    ),
    "order": functional.order_loss,
    "order of lists": partial(functional.order_loss, form="logistic"),
}


@pytest.mark.parametrize("link", [From1(), SigmoidLink()], ids=repr)
@pytest.mark.parametrize("held", [math.nan, math.inf, 0.0])
@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_a_row_of_weight_0_may_hold_anything(name: str, held: float, link: Link) -> None:
    """Also what is no score of the link's domain."""
    shape = (3, 4) if "list" in name else (3,)
    generator = random_inputs.generator(1)
    predicted, target = (2 + torch.rand(shape, generator=generator, dtype=torch.float64) for _ in "ps")
    weight, rows = torch.tensor([1.0, 0.0, 2.0]), [0, 2]
    spoilt = [scores.index_fill(0, torch.tensor([1]), held).requires_grad_() for scores in (predicted, target)]
    loss = OF_WEIGHTS[name](spoilt[0], spoilt[1].detach(), link, weight=weight)
    assert_close(loss, OF_WEIGHTS[name](predicted[rows], target[rows], link, weight=weight[rows]))
    (gradient,) = torch.autograd.grad(loss, spoilt[0])
    assert gradient.isfinite().all()
    assert (gradient[1] == 0).all()


def test_a_list_of_the_batch_has_no_rows() -> None:
    loss = SelectiveListwiseLoss(EchoModel(), pairwise_cos_sim, lists="batch")
    columns = [torch.randn(4, 3, dtype=torch.float64) for _ in range(2)]
    labels, weight = torch.rand(4, dtype=torch.float64), torch.ones(4)
    for given in ({"labels": labels, "weight": weight}, {"labels": {"label": labels, "weight": weight}}):
        with pytest.raises(ValueError, match=r'weight is for rows, but with lists="batch".*lists="rows"'):
            loss.compute_loss_from_embeddings(columns, **given)  # type: ignore[arg-type]


def test_by_itself_and_with_embeddings() -> None:
    for kind, columns in (
        (SelectivePointwiseLoss, 2),
        (SelectiveMultipleNegativesRankingLoss, 3),
        (SelectivePairwiseLoss, 3),
    ):
        loss: Any = (
            kind(EchoModel(), similarity_fct=pairwise_cos_sim) if kind is SelectivePairwiseLoss else kind(EchoModel())
        )
        embeddings = [torch.randn(4, 3, dtype=torch.float64) for _ in range(columns)]
        labels = torch.rand(4, dtype=torch.float64) if kind is SelectivePointwiseLoss else None
        weight = torch.tensor([1.0, 2.0, 0.0, 1.0])
        alone = loss.compute_loss_from_embeddings(embeddings, labels, weight=weight)
        within = {"weight": weight} if labels is None else {"label": labels, "weight": weight}
        assert_close(loss.compute_loss_from_embeddings(embeddings, within), alone)
        assert abs(float(alone - loss.compute_loss_from_embeddings(embeddings, labels))) > 1e-4


BAD: list[tuple[Any, Any, type[Exception], str]] = [
    ([1.0, 1.0], None, TypeError, "weight must be a torch.Tensor, got list.*torch.tensor"),
    (torch.ones(3), None, ValueError, r"weight must have the shape of one number >= 0 a row, \(4,\), got \(3,\)"),
    (torch.ones(4, 1), None, ValueError, r"got \(4, 1\)"),
    (torch.tensor([1.0, -1.0, 1.0, 1.0]), None, ValueError, "weight must hold finite numbers >= 0, got -1"),
    (torch.tensor([1.0, torch.nan, 1.0, 1.0]), None, ValueError, r"finite numbers >= 0, got nan. Use .*nan_to_num"),
    (torch.tensor([1.0, torch.inf, 1.0, 1.0]), None, ValueError, "finite numbers >= 0, got inf"),
    (torch.ones(4), {"label": torch.rand(4), "weight": torch.ones(4)}, TypeError, "weight is given twice"),
    (None, {"score": torch.rand(4)}, ValueError, "labels must be a tensor, or a dict .* got one of 'score'"),
    (None, {"label": torch.rand(4), "weights": torch.ones(4)}, ValueError, "got one of 'label', 'weights'"),
    (None, {}, ValueError, "got one of nothing"),
]


@pytest.mark.parametrize("place", range(len(BAD)))
@pytest.mark.parametrize("kind", [SelectivePointwiseLoss, SelectiveMultipleNegativesRankingLoss])
def test_bad_weights(kind: Any, place: int) -> None:
    weight, labels, error, message = BAD[place]
    labels = torch.rand(4) if labels is None and kind is SelectivePointwiseLoss else labels
    with pytest.raises(error, match=f"^{kind.__name__}: .*{message}"):
        kind(EchoModel()).compute_loss_from_embeddings([torch.randn(4, 3) for _ in range(2)], labels, weight=weight)


# --- From a dataset ---------------------------------------------------------------------------------------------------


def texts(column: int, rows: int = 8) -> list[str]:
    return [sentence(100 * column + row) for row in range(rows)]


WEIGHTS = [1.0, 0.0, 2.0, 0.5, 0.0, 1.0, 3.0, 0.25]
SCORES = [0.1, 0.9, 0.4, 0.3, 0.8, 0.6, 0.2, 0.7]


def logged(trainer: Any, data: Dataset) -> list[float]:
    trainer.data_collator = with_row_weights(trainer.data_collator)
    trainer.train()
    found = trainer.evaluate(data)["eval_loss"]
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry] + [found]


def settings(kind: Any, folder: Path, **more: Any) -> Any:
    return kind(
        str(folder), per_device_train_batch_size=8, max_steps=1, learning_rate=0.0, report_to=[], save_strategy="no",
        logging_steps=1, use_cpu=True, disable_tqdm=True, **more,
    )  # fmt: skip


@pytest.mark.parametrize("name", WEIGHT_COLUMNS)
@pytest.mark.parametrize(
    "make",
    [
        lambda model: SelectivePointwiseLoss(model),
        lambda model: MatryoshkaLoss(model, SelectivePointwiseLoss(model), [16, 8]),
        lambda model: WeightedLoss(model, {"scores": SelectivePointwiseLoss(model)}),
    ],
    ids=["alone", "MatryoshkaLoss", "WeightedLoss"],
)
def test_a_column_of_weights(make: Callable[[Any], nn.Module], name: str, tmp_path: Path) -> None:
    model = model_types.static_model()
    columns = {"a": texts(0), name: WEIGHTS, "b": texts(1), "score": SCORES}
    data = Dataset.from_dict(columns)
    loss: Any = make(model)
    arguments = settings(SentenceTransformerTrainingArguments, tmp_path)
    trainer = SentenceTransformerTrainer(model, arguments, train_dataset=data, eval_dataset=data, loss=loss)
    features = [model.preprocess(columns[column]) for column in ("a", "b")]
    weights, scores = torch.tensor(WEIGHTS), torch.tensor(SCORES)

    def mean(rows: Tensor) -> float:
        value = loss([dict(column) for column in features], {"label": scores, "weight": rows})
        return float(value.detach())

    expected = sum(w * mean(torch.eye(8)[i]) for i, w in enumerate(WEIGHTS)) / sum(WEIGHTS)
    assert mean(weights) == pytest.approx(expected, rel=1e-5)
    assert logged(trainer, data) == pytest.approx([expected] * 2, rel=1e-3)
    assert abs(expected - mean(torch.ones(8))) > 1e-3


@pytest.mark.parametrize("kind", [SelectiveMultipleNegativesRankingLoss, CachedSelectiveMultipleNegativesRankingLoss])
def test_a_column_of_weights_without_labels(kind: Any, tmp_path: Path) -> None:
    model = model_types.bert_model()
    data = Dataset.from_dict({"anchor": texts(0), "positive": texts(1), "weight": WEIGHTS})
    loss = kind(model, scale=5.0)
    arguments = settings(SentenceTransformerTrainingArguments, tmp_path, batch_sampler=BatchSamplers.NO_DUPLICATES)
    trainer = SentenceTransformerTrainer(model, arguments, train_dataset=data, eval_dataset=data, loss=loss)
    features = [model.preprocess(list(data[column])) for column in ("anchor", "positive")]
    with torch.no_grad():
        expected = float(loss([dict(c) for c in features], {"weight": torch.tensor(WEIGHTS)}))
        unweighted = float(loss([dict(c) for c in features], None))
    assert logged(trainer, data) == pytest.approx([expected] * 2, rel=1e-3)
    assert abs(expected - unweighted) > 1e-3


@pytest.mark.parametrize("lists", [False, True])
def test_a_column_of_weights_for_cross_encoders(lists: bool, tmp_path: Path) -> None:
    model = model_types.cross_encoder()
    if lists:
        documents: Any = [texts(row, 2 + row % 3) for row in range(1, 9)]
        labels: Any = [[float(k) for k in range(len(row))] for row in documents]
        loss: Any = cross.SelectiveListwiseLoss(model, calibration=0.0)
    else:
        documents, labels = texts(1), SCORES
        loss = cross.SelectivePointwiseLoss(model)
    data = Dataset.from_dict({"query": texts(0), "weight": WEIGHTS, "document": documents, "labels": labels})
    arguments = settings(CrossEncoderTrainingArguments, tmp_path)
    trainer = CrossEncoderTrainer(model, arguments, train_dataset=data, eval_dataset=data, loss=loss)
    given = [torch.tensor(row) for row in labels] if lists else torch.tensor(labels)
    found = [
        float(loss([texts(0), documents], {"label": given, "weight": weight}).detach())
        for weight in (torch.tensor(WEIGHTS), torch.ones(8))
    ]
    assert logged(trainer, data) == pytest.approx([found[0]] * 2, rel=1e-3)
    assert abs(found[0] - found[1]) > 1e-3


@pytest.mark.parametrize("wrapper", [SpladeLoss, CachedSpladeLoss])
def test_weights_go_through_the_losses_of_sparse_models(wrapper: Any) -> None:
    model = model_types.splade_model()
    inner = sparse.SelectiveMultipleNegativesRankingLoss(model, link=ConstantLink())
    loss = wrapper(model, inner, document_regularizer_weight=0.0, query_regularizer_weight=0.0)
    features = [model.preprocess(texts(column)) for column in range(2)]
    value = loss([dict(column) for column in features], {"weight": torch.tensor(WEIGHTS)})
    embeddings = [model(dict(column))["sentence_embedding"] for column in features]
    expected = inner.compute_loss_from_embeddings(embeddings, None, weight=torch.tensor(WEIGHTS))
    assert_close(sum(value.values()), expected, rtol=1e-4, atol=1e-5)
    assert abs(float((expected - inner.compute_loss_from_embeddings(embeddings, None)).detach())) > 1e-3


# --- The collator -----------------------------------------------------------------------------------------------------


class Collator:
    valid_label_columns = ("label", "score")
    prompts = "p: "

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        self.seen = rows
        return {"label": torch.tensor([row["score"] for row in rows]), "a_input_ids": torch.ones(len(rows), 2)}


def test_weights_may_be_learned() -> None:
    """Their ends are looked at without a word of torch's, and the gradient reaches them."""
    loss, weight = SelectivePointwiseLoss(EchoModel()), torch.tensor([1.0, 2.0, 0.5, 0.1], requires_grad=True)
    columns, labels = [torch.randn(4, 3) for _ in range(2)], torch.rand(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.compute_loss_from_embeddings(columns, labels, weight=weight).backward()
    each = [
        loss.compute_loss_from_embeddings([c[row : row + 1] for c in columns], labels[row, None]) for row in range(4)
    ]
    total = weight.detach().sum()
    assert_close(weight.grad, (torch.stack(each) - (torch.stack(each) * weight.detach()).sum() / total) / total)


def test_weights_that_are_tensors_or_missing() -> None:
    """Of a dataset in torch's format each is a tensor; a missing one is for the loss to tell of."""
    collator = with_row_weights(Collator())
    rows = [{"score": 0.5, "weight": torch.tensor(2.0)}, {"score": 1.0, "weight": torch.tensor(0.5)}]
    assert_close(collator(rows)["label"]["weight"], torch.tensor([2.0, 0.5]))
    for rows[0]["weight"], rows[1]["weight"] in ((None, 1.0), (1.0, None)):
        assert collator(rows)["label"]["weight"].isnan().sum() == 1


def test_a_collator_is_called() -> None:
    mend = r"Write with_row_weights\(trainer.data_collator\)"
    with pytest.raises(TypeError, match=rf"collator must be a data collator, got 3\. {mend}"):
        with_row_weights(3)  # type: ignore[arg-type]


def test_what_the_collator_gives() -> None:
    inner = Collator()
    collator = with_row_weights(inner)
    rows = [{"a": "x", "score": 0.5, "sample_weight": 2}, {"a": "y", "score": 1.0, "sample_weight": 0}]
    batch = collator(rows)
    assert_close(batch["label"], {"label": torch.tensor([0.5, 1.0]), "weight": torch.tensor([2.0, 0.0])})
    assert inner.seen == [{"a": "x", "score": 0.5}, {"a": "y", "score": 1.0}]
    assert "a_input_ids" in batch
    assert rows[0]["sample_weight"] == 2  # left as they are
    # Without such a column, or with texts in it, it is the collator that it has.
    for plain in ([{"a": "x", "score": 0.5}], [{"a": "x", "score": 0.5, "weight": "heavy"}], []):
        assert isinstance(collator(plain)["label"], Tensor)
        assert inner.seen == plain
    own = with_row_weights(inner, "importance")
    assert_close(own([{"a": "x", "score": 0.5, "importance": 3.0}])["label"]["weight"], torch.tensor([3.0]))
    assert collator.valid_label_columns == ["label", "score", "weight", "sample_weight"]
    assert collator.prompts == "p: "
    for copied in (copy.deepcopy(collator), pickle.loads(pickle.dumps(collator))):
        assert isinstance(copied, RowWeights)
        assert copied.columns == WEIGHT_COLUMNS
    with pytest.raises(AttributeError):
        _ = collator.nothing
    with pytest.raises(
        ValueError, match=r"'weight' and 'sample_weight' hold numbers.*remove_columns\('sample_weight'\)"
    ):
        collator([{"a": "x", "score": 0.5, "weight": 1.0, "sample_weight": 2.0}])


def test_listwise_lists_are_rows_too() -> None:
    loss = SelectiveListwiseLoss(EchoModel(), pairwise_cos_sim, 0.2)
    embeddings = [torch.randn(3, 4, dtype=torch.float64) for _ in range(4)]
    labels, weight = torch.rand(3, 3, dtype=torch.float64), torch.tensor([1.0, 0.0, 3.0])
    rows = [
        loss.compute_loss_from_embeddings([column[i : i + 1] for column in embeddings], labels[i : i + 1])
        for i in range(3)
    ]
    assert_close(loss.compute_loss_from_embeddings(embeddings, labels, weight), (rows[0] + 3 * rows[2]) / 4)
