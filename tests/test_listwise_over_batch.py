"""SelectiveListwiseLoss(lists="batch"): the graded pairs of a batch as one list."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_kd_scores
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from sentence_transformers.util import pairwise_cos_sim, pairwise_dot_score
from torch import Tensor

from selective_st.cross_encoder import losses as cross
from selective_st.functional import listwise_matching_loss, matching_loss
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Link, SigmoidLink, high_scores
from selective_st.losses import SelectiveListwiseLoss, SelectivePointwiseLoss, WeightedLoss
from selective_st.multi_vector_encoder import losses as multi_vector
from selective_st.sparse_encoder import losses as sparse
from tests import model_types, random_inputs
from tests.loss_cases import EchoModel
from tests.tolerances import assert_close, assert_same_step, largest

pytestmark = pytest.mark.numerical

ROWS = 7
LINKS: list[Link | None] = [None, ConstantLink(), ExponentialLink(2.0), SigmoidLink(5.0, 0.5)]


def pairs(dtype: torch.dtype = torch.float64, rows: int = ROWS) -> tuple[list[Tensor], Tensor]:
    generator = random_inputs.generator(2)
    columns = [torch.randn(rows, 8, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2)]
    labels = torch.rand(rows, generator=generator, dtype=torch.float64).to(dtype)
    return [column.requires_grad_() for column in columns], labels


def loss_of(link: Link | None = None, **options: Any) -> SelectiveListwiseLoss:
    return SelectiveListwiseLoss(EchoModel(), pairwise_cos_sim, 0.2, link=link, lists="batch", **options)  # type: ignore[arg-type]


def value_of(loss: SelectiveListwiseLoss, columns: list[Tensor], labels: Any) -> Tensor:
    return loss([{"sentence_embedding": column} for column in columns], labels)


@pytest.mark.parametrize("link", LINKS, ids=repr)
@pytest.mark.parametrize("calibration", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_it_is_the_functional_loss_of_one_list(link: Link | None, calibration: float, dtype: torch.dtype) -> None:
    columns, labels = pairs(dtype)
    loss = loss_of(link, calibration=calibration, calibration_link=high_scores(), teacher_temperature=0.3)
    value = value_of(loss, columns, labels)
    scores = pairwise_cos_sim(*columns)
    expected = listwise_matching_loss(
        scores[None],
        labels[None],
        loss.link,
        0.2,
        calibration=calibration,
        calibration_link=high_scores(),
        target_temperature=0.3,
    )
    ours, theirs = ([one.detach(), *torch.autograd.grad(one, columns)] for one in (value, expected))
    assert all(gradient.abs().sum() > 0 for gradient in theirs[1:])
    assert_same_step(ours, theirs)


def test_it_is_that_of_the_parts_written_out() -> None:
    """KL(q || p) + c / T sum_k q_k D(p_k, s_k), term by term."""
    columns, labels = pairs()
    link, temperature, calibration = ExponentialLink(2.0), 0.2, 0.4
    scores = pairwise_cos_sim(*columns).detach()
    total = torch.zeros((), dtype=torch.float64)
    logits = [float(link.potential(score)) / temperature for score in scores]
    targets = [float(link.potential(label)) / temperature for label in labels]
    for k in range(ROWS):
        q = torch.tensor(targets, dtype=torch.float64).softmax(0)[k]
        p = torch.tensor(logits, dtype=torch.float64).softmax(0)[k]
        bregman = link.potential(scores[k]) - link.potential(labels[k]) - (scores[k] - labels[k]) * link(labels[k])
        total = total + q * (q.log() - p.log()) + calibration / temperature * q * bregman
    assert_close(
        value_of(loss_of(link, calibration=calibration), columns, labels).detach(),
        total,
        exponent=max(map(abs, logits + targets)),
    )


def test_only_the_calibration_term_minds_a_shift_of_all_scores() -> None:
    labels = torch.tensor([0.1, 0.3, 0.2, 0.4], dtype=torch.float64)
    columns = [torch.ones(4, 1, dtype=torch.float64), (labels + 0.5)[:, None]]  # the scores are the labels, shifted
    ranking, both = (
        SelectiveListwiseLoss(EchoModel(), pairwise_dot_score, 0.2, link=ConstantLink(), lists="batch", **options)  # type: ignore[arg-type]
        for options in ({"calibration": 0.0}, {"calibration_link": high_scores()})
    )
    logits = largest(labels + 0.5) / 0.2
    assert_close(value_of(ranking, columns, labels), torch.zeros((), dtype=torch.float64), size=logits)
    assert float(value_of(both, columns, labels)) > 1e-3
    assert float(value_of(ranking, columns, labels.flip(0))) > 1e-3


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_a_batch_of_one_pair_has_the_calibration_term_only(link: Link | None) -> None:
    columns, labels = pairs(rows=1)
    loss = loss_of(link, calibration=0.5, calibration_link=high_scores())
    value = value_of(loss, columns, labels)
    expected = 0.5 / 0.2 * matching_loss(pairwise_cos_sim(*columns), labels, high_scores())
    assert float(expected.detach()) > 0
    assert_close(value, expected)
    value.backward()
    assert columns[0].grad is not None
    assert columns[0].grad.abs().sum() > 0
    nothing = value_of(loss_of(link, calibration=0.0), columns, labels)
    assert float(nothing.detach()) == 0
    nothing.backward()


def test_labels_on_another_scale() -> None:
    columns, labels = pairs()
    assert_close(
        value_of(loss_of(label_range=(0, 5)), columns, 5 * labels),
        value_of(loss_of(), columns, labels),
        exponent=1 / 0.2,
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c, y: loss_of(targets="labels"), ValueError, 'lists="batch" is for targets="scores"'),
        (lambda c, y: SelectiveListwiseLoss(EchoModel(), lists="row"), ValueError, "'rows', 'batch', got 'row'"),  # type: ignore[arg-type]
        (lambda c, y: value_of(loss_of(), [*c, c[0]], y), ValueError, r"a pair of texts .* has 3 text column\(s\)"),
        (lambda c, y: value_of(loss_of(), c[:1], y), ValueError, r"has 1 text column\(s\)"),
        (lambda c, y: value_of(loss_of(), c, y[:-1]), ValueError, r"must have shape \(7,\), .* got \(6,\)"),
        (lambda c, y: value_of(loss_of(), c, y[:, None]), ValueError, r"must have shape \(7,\), .* got \(7, 1\)"),
        (lambda c, y: value_of(loss_of(), c, None), TypeError, "labels must be a tensor"),
        (lambda c, y: value_of(loss_of(), c, (y > 0.5).long()), TypeError, "labels must be floats"),
        (lambda c, y: value_of(loss_of(), c, y.masked_fill(y == y[2], torch.nan)), ValueError, r"NaN in row\(s\) 2 of"),
        (lambda c, y: value_of(loss_of(), c, 5 * y), ValueError, "labels must lie within"),
        (lambda c, y: value_of(loss_of(), [x[:0] for x in c], y[:0]), ValueError, "got an empty batch"),
    ],
)  # fmt: skip
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(*pairs())


def test_the_config() -> None:
    config = loss_of().get_config_dict()
    assert config["lists"] == "batch"
    assert json.loads(json.dumps(config)) == config
    rows = SelectiveListwiseLoss(EchoModel(), pairwise_cos_sim, 0.2)  # type: ignore[arg-type]
    assert config == {**rows.get_config_dict(), "lists": "batch"}
    assert "lists" not in rows.get_config_dict()


@pytest.mark.parametrize("wrapped", ["alone", "matryoshka", "weighted"])
@pytest.mark.slow
def test_it_trains_with_a_last_batch_of_one_row(tmp_path: Path, wrapped: str) -> None:
    model = model_types.static_model()
    loss: Any = SelectiveListwiseLoss(model, pairwise_cos_sim, 0.2, lists="batch")
    if wrapped == "matryoshka":
        alone = loss
        loss = MatryoshkaLoss(model, loss, [16, 8])
        features = [model.preprocess([model_types.sentence(k + 10 * row) for row in range(4)]) for k in range(2)]
        embeddings = [model(dict(column))["sentence_embedding"] for column in features]
        labels = torch.tensor([0.1, 0.9, 0.4, 0.3])
        cut = [alone.compute_loss_from_embeddings([each[:, :size] for each in embeddings], labels) for size in (16, 8)]
        assert_close(loss(features, labels), sum(cut), exponent=1 / 0.2)
    if wrapped == "weighted":
        loss = WeightedLoss(model, {"ranking": loss, "scores": SelectivePointwiseLoss(model)})
    data = Dataset.from_dict(
        {
            "sentence1": [model_types.sentence(row) for row in range(9)],
            "sentence2": [model_types.sentence(100 + row) for row in range(9)],
            "score": [row / 8 for row in range(9)],
        }
    )
    settings = SentenceTransformerTrainingArguments(
        str(tmp_path),
        num_train_epochs=8,
        per_device_train_batch_size=4,
        learning_rate=0.05,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        logging_strategy="epoch",
    )
    trainer = SentenceTransformerTrainer(model, settings, train_dataset=data, loss=loss)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.5 * losses[0]


# --- The other model types --------------------------------------------------------------------------------------------

TEXTS = [[model_types.sentence(100 * column + row) for row in range(ROWS)] for column in range(2)]


def of_cross_encoder(**options: Any) -> tuple[Any, Any, Callable[[Tensor], Any], Callable[[Any], Tensor]]:
    """A model, its loss, the loss of labels, and the pairs' scores."""
    model = model_types.cross_encoder().double()
    loss = cross.SelectiveListwiseLoss(model, temperature=0.5, lists="batch", **options)

    def scores(model: Any) -> Tensor:
        return model(model.preprocess(list(zip(*TEXTS, strict=True))))["scores"].view(-1)

    return model, loss, lambda labels: loss([list(column) for column in TEXTS], labels), scores


def of_sparse_encoder(**options: Any) -> tuple[Any, Any, Callable[[Tensor], Any], Callable[[Any], Tensor]]:
    model = model_types.splade_model().double()
    loss = sparse.SelectiveListwiseLoss(model, temperature=0.5, lists="batch", **options)

    def embeddings(model: Any) -> list[Tensor]:
        return [model(model.preprocess(column))["sentence_embedding"] for column in TEXTS]

    wrapped = SpladeLoss(model, loss, document_regularizer_weight=0.0, query_regularizer_weight=0.0)

    def value(labels: Tensor) -> Tensor:
        found: Tensor = wrapped([model.preprocess(column) for column in TEXTS], labels)["base_loss"]
        return found

    return model, loss, value, lambda model: pairwise_dot_score(*embeddings(model))


def of_multi_vector_encoder(**options: Any) -> tuple[Any, Any, Callable[[Tensor], Any], Callable[[Any], Tensor]]:
    model = model_types.multi_vector_model().double()
    loss = multi_vector.SelectiveListwiseLoss(
        model, similarity_fct=mean_colbert_kd_scores, temperature=0.5, lists="batch", **options
    )
    features = [model.preprocess(column, task=task) for column, task in zip(TEXTS, ("query", "document"), strict=True)]

    def scores(model: Any) -> Tensor:
        queries, documents = loss.scorer.embed(loss.model, [dict(column) for column in features])
        products = torch.einsum("itd,iud->itu", queries.embeddings, documents.embeddings)
        best = products.masked_fill(~documents.mask.bool()[:, None, :], -torch.inf).amax(-1)
        inside = queries.mask.to(best)
        return (best * inside).sum(1) / inside.sum(1)

    return model, loss, lambda labels: loss([dict(column) for column in features], labels), scores


OTHERS = [of_cross_encoder, of_sparse_encoder, of_multi_vector_encoder]


@pytest.mark.parametrize("make", OTHERS)
@pytest.mark.parametrize("link", [None, ConstantLink()], ids=repr)
@pytest.mark.parametrize("calibration", [0.0, 0.5])
def test_other_models_make_a_list_of_the_batch_too(make: Any, link: Link | None, calibration: float) -> None:
    options = {"calibration": calibration, "calibration_link": IdentityLink(), "teacher_temperature": 0.2}
    model, loss, value_of_labels, scores_of = make(link=link, **options)
    labels = torch.rand(ROWS, generator=random_inputs.generator(5), dtype=torch.float64)
    found = []
    for value in (
        value_of_labels(labels),
        listwise_matching_loss(
            scores_of(model)[None],
            labels[None],
            loss.link,
            0.5,
            calibration=calibration,
            calibration_link=IdentityLink(),
            target_temperature=0.2,
        ),
    ):
        model.zero_grad()
        value.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append((value.detach(), gradient))
    dtype = torch.float32 if make is of_multi_vector_encoder else None  # MaxSim is summed in single precision
    assert_same_step(*found, through=model, dtype=dtype, check_dtype=False)
    assert loss.get_config_dict()["lists"] == "batch"


@pytest.mark.parametrize("make", OTHERS)
def test_other_models_say_what_a_list_of_the_batch_is(make: Any) -> None:
    _, loss, value_of_labels, _ = make()
    with pytest.raises(ValueError, match=r"labels must have shape \(7,\), a score for each pair, got \(7, 2\)"):
        value_of_labels(torch.rand(ROWS, 2))
    with pytest.raises(TypeError, match="labels must be a tensor, got NoneType"):
        value_of_labels(cast(Any, None))
    with pytest.raises(ValueError, match=r'lists="batch" is for targets="scores"'):
        make(targets="labels")
    with pytest.raises(ValueError, match=r'with lists="batch" each row is a pair .* has 3 text column'):
        loss.objective.check_columns(3)


def test_lists_of_documents_are_no_pairs() -> None:
    loss = of_cross_encoder()[1]
    with pytest.raises(ValueError, match=r'lists="batch" each row is a pair of texts .* has lists of documents'):
        loss([TEXTS[0], [[text, text] for text in TEXTS[1]]], [torch.rand(2) for _ in range(ROWS)])
