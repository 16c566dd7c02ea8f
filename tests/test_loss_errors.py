"""Bad input to the functions and modules of the family: refused, in words that name the argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer, util
from torch import Tensor

from selective_st.cross_encoder import losses as cross
from selective_st.functional import (
    in_batch_loss,
    listwise_label_loss,
    listwise_matching_loss,
    margin_loss,
    pairwise_loss,
)
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, SigmoidLink, SinhLink
from selective_st.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveEmbedDistillLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from tests.loss_cases import LOSS_CASES, EchoCrossEncoder, EchoModel, LossCase
from tests.loss_properties import columns_for, labels_for

Cosine: dict[str, Any] = {"similarity_fct": util.pairwise_cos_sim}
MODULES = [
    SelectivePairwiseLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    CachedSelectiveMultipleNegativesRankingLoss,
]
IN_BATCH = MODULES[2:]
every_module = pytest.mark.parametrize("make", MODULES, ids=lambda module: module.__name__)
in_batch_modules = pytest.mark.parametrize("make", IN_BATCH, ids=lambda module: module.__name__)


def embeddings(columns: int, rows: int = 4) -> list[Tensor]:
    return [torch.randn(rows, 5, generator=torch.Generator().manual_seed(i)) for i in range(columns)]


def run(loss: Any, columns: int, labels: Any, rows: int = 4) -> Tensor:
    result = loss([{"sentence_embedding": column} for column in embeddings(columns, rows)], labels)
    assert isinstance(result, Tensor)
    return result


# --- Labels


class TestLabels:
    @pytest.mark.parametrize(
        ("columns", "labels", "says"),
        [
            (3, torch.rand(4, 3), r"labels.*\(4,\).*\(4, 2\).*\(4, 3\)"),
            (4, torch.rand(4), r"labels.*\(4, 2\).*\(4, 3\).*\(4,\)"),
            (4, torch.rand(4, 5), "labels"),
            (4, torch.rand(3, 2), "labels"),
            (3, torch.rand(()), "labels"),
        ],
    )
    def test_shapes_that_fit_no_format_of_pairs(self, columns: int, labels: Tensor, says: str) -> None:
        with pytest.raises(ValueError, match=says):
            run(SelectivePairwiseLoss(EchoModel()), columns, labels)

    @pytest.mark.parametrize("labels", [torch.rand(4), torch.rand(4, 2), torch.rand(4, 4), torch.rand(3, 3)])
    def test_shapes_that_fit_no_format_of_lists(self, labels: Tensor) -> None:
        with pytest.raises(ValueError, match=r"labels.*\(4, 3\)"):
            run(SelectiveListwiseLoss(EchoModel()), 4, labels)

    @pytest.mark.parametrize("labels", [torch.ones(3, dtype=torch.long), torch.ones(4, 2, dtype=torch.long)])
    def test_shapes_that_fit_no_format_of_labelled_lists(self, labels: Tensor) -> None:
        with pytest.raises(ValueError, match=r"labels.*\(4,\).*\(4, 3\)"):
            run(SelectiveListwiseLoss(EchoModel(), targets="labels"), 4, labels)

    @in_batch_modules
    @pytest.mark.parametrize("labels", [torch.rand(4), torch.rand(4, 1), torch.rand(4, 3), torch.rand(3, 2)])
    def test_shapes_that_fit_no_format_in_batch(self, make: Any, labels: Tensor) -> None:
        with pytest.raises(ValueError, match=r"labels.*\(4, 2\)"):
            run(make(EchoModel()), 3, labels)

    def test_what_fits_margins_and_scores_asks(self) -> None:
        for columns in (3, 4):
            with pytest.raises(ValueError, match=r'targets.*"margins".*"scores"'):
                run(SelectivePairwiseLoss(EchoModel()), columns, torch.rand(4, columns - 1))

    def test_margins_where_scores_are_due(self) -> None:
        for labels in (torch.rand(4), torch.rand(4, 1)):
            with pytest.raises(ValueError, match=r'must be scores of shape .* targets="margins"'):
                run(SelectivePairwiseLoss(EchoModel(), targets="scores"), 3, labels)

    def test_targets_without_labels(self) -> None:
        for targets in ("margins", "scores"):
            with pytest.raises(ValueError, match="targets"):
                run(SelectivePairwiseLoss(EchoModel(), targets=targets), 3, None)  # type: ignore[arg-type]
        for targets in ("scores", "labels"):
            with pytest.raises(TypeError, match="labels"):
                run(SelectiveListwiseLoss(EchoModel(), targets=targets), 3, None)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("make", "columns", "labels"),
        [
            (SelectivePairwiseLoss, 3, [0.1] * 4),
            (SelectivePairwiseLoss, 3, torch.ones(4, dtype=torch.long)),
            (SelectiveListwiseLoss, 3, [[0.1, 0.2]] * 4),
            (SelectiveListwiseLoss, 3, torch.ones(4, 2, dtype=torch.long)),
            (SelectiveMultipleNegativesRankingLoss, 3, [[0.1, 0.2]] * 4),
        ],
    )
    def test_types(self, make: Any, columns: int, labels: Any) -> None:
        with pytest.raises(TypeError, match="labels"):
            run(make(EchoModel()), columns, labels)

    def test_all_candidates_masked_in_a_row(self) -> None:
        for make, columns, width in (
            (SelectiveListwiseLoss(EchoModel()), 4, 3),
            (SelectiveListwiseLoss(EchoModel(), targets="labels"), 4, 3),
            (SelectivePairwiseLoss(EchoModel()), 4, 2),
            (SelectivePairwiseLoss(EchoModel(), targets="scores"), 4, 3),
            (SelectiveMultipleNegativesRankingLoss(EchoModel()), 4, 3),
        ):
            labels = torch.full((4, width), 1 / width)
            labels[2] = math.nan
            with pytest.raises(ValueError, match=r"labels.*row\(s\) 2"):
                run(make, columns, labels)

    def test_a_positive_without_a_score(self) -> None:
        labels = torch.rand(4, 3)
        labels[2, 0] = math.nan
        with pytest.raises(ValueError, match=r"labels.*row\(s\) 2"):
            run(SelectivePairwiseLoss(EchoModel(), targets="scores"), 4, labels)

    def test_an_index_that_is_no_number(self) -> None:
        with pytest.raises(ValueError, match=r"labels must be the index of each list's positive, integers"):
            run(SelectiveListwiseLoss(EchoModel(), targets="labels"), 4, torch.tensor([0.0, math.nan, 1.0, 1.0]))

    def test_infinite_labels(self) -> None:
        for make, columns, width in (
            (SelectiveListwiseLoss(EchoModel()), 4, 3),
            (SelectivePairwiseLoss(EchoModel()), 4, 2),
            (SelectivePairwiseLoss(EchoModel(), targets="scores"), 4, 3),
            (SelectiveMultipleNegativesRankingLoss(EchoModel()), 4, 3),
        ):
            labels = torch.rand(4, width)
            labels[1, 0] = math.inf
            with pytest.raises(ValueError, match="labels"):
                run(make, columns, labels)

    def test_scores_beyond_the_similarity(self) -> None:
        labels = 5 * torch.ones(4, 2)
        for loss in (
            SelectiveListwiseLoss(EchoModel(), **Cosine),
            SelectivePairwiseLoss(EchoModel(), targets="scores", **Cosine),
            SelectiveMultipleNegativesRankingLoss(EchoModel()),
        ):
            with pytest.raises(ValueError, match=r"labels.*\[-1, 1\]"):
                run(loss, 3, labels)
        with pytest.raises(ValueError, match=r"labels.*\[-2, 2\]"):
            run(SelectivePairwiseLoss(EchoModel(), **Cosine), 3, labels[:, 0])

    def test_scores_beyond_what_was_declared(self) -> None:
        labels = torch.tensor([[0.0, 5.5]] * 4)
        for arguments in ({"label_range": (0, 5)}, {"teacher_space": "probability"}, {"teacher_space": "cosine"}):
            with pytest.raises(ValueError, match="labels"):
                run(SelectiveListwiseLoss(EchoModel(), **arguments), 3, labels)

    @pytest.mark.parametrize(
        "labels",
        [
            torch.tensor([0, 1, 2, 3]),
            torch.tensor([0, 1, 2, -1]),
            torch.tensor([[0, 0, 0]] + [[1, 0, 0]] * 3),
            torch.tensor([[0.5, 0.2, 0.2]] + [[1, 0, 0]] * 3),
            torch.tensor([[1.5, -0.5, 0.0]] + [[1, 0, 0]] * 3),
            torch.tensor([[1, 0, 2]] + [[1, 0, 0]] * 3),
        ],
    )
    def test_labels_that_are_no_labels(self, labels: Tensor) -> None:
        with pytest.raises(ValueError, match="labels"):
            run(SelectiveListwiseLoss(EchoModel(), targets="labels"), 4, labels)
        with pytest.raises(ValueError, match="labels"):
            listwise_label_loss(torch.rand(4, 3), labels, ConstantLink())


# --- Columns


class TestColumns:
    def test_a_single_candidate(self) -> None:
        for targets, labels in (("scores", torch.rand(4, 1)), ("labels", torch.zeros(4, dtype=torch.long))):
            with pytest.raises(ValueError, match=r"SelectiveListwiseLoss.*candidate"):
                run(SelectiveListwiseLoss(EchoModel(), targets=targets), 2, labels)  # type: ignore[arg-type]

    @pytest.mark.parametrize("labels", [None, torch.rand(4)])
    def test_a_positive_without_negatives(self, labels: Tensor | None) -> None:
        with pytest.raises(ValueError, match=r"SelectivePairwiseLoss.*negative"):
            run(SelectivePairwiseLoss(EchoModel()), 2, labels)

    @in_batch_modules
    @pytest.mark.parametrize("columns", [0, 1])
    def test_anchors_without_positives(self, make: Any, columns: int) -> None:
        with pytest.raises(ValueError, match="column"):
            run(make(EchoModel()), columns, None)

    def test_an_empty_batch(self) -> None:
        for make, labels in (
            (SelectivePairwiseLoss, None),
            (SelectiveListwiseLoss, torch.zeros(0, 2)),
            (SelectiveMultipleNegativesRankingLoss, None),
        ):
            with pytest.raises(ValueError, match="empty"):
                run(make(EchoModel()), 3, labels, rows=0)


# --- Links


def test_links_that_are_negative_on_the_scores() -> None:
    negative = [IdentityLink(), SinhLink(2.0, 0.0), ExponentialLink(-2.0)]
    scores = torch.tensor([[0.5, -0.5], [0.1, 0.2]])
    for link in negative:
        calls: list[Callable[[], Any]] = [
            lambda link=link: listwise_label_loss(scores, torch.tensor([0, 1]), link),
            lambda link=link: pairwise_loss(scores[:, 0], scores[:, 1], link),
            lambda link=link: in_batch_loss(-torch.eye(3), torch.eye(3), link),
            lambda link=link: SelectiveListwiseLoss(EchoModel(), link=link, targets="labels", **Cosine),
            lambda link=link: SelectiveMultipleNegativesRankingLoss(EchoModel(), link=link),
            lambda link=link: CachedSelectiveMultipleNegativesRankingLoss(EchoModel(), link=link),
            # Where no range is known, only the batch shows it.
            lambda link=link: run(SelectivePairwiseLoss(EchoModel(), link=link), 3, None),
            lambda link=link: run(
                SelectiveMultipleNegativesRankingLoss(EchoModel(), similarity_fct=util.dot_score, link=link), 3, None
            ),
        ]
        for call in calls:
            with pytest.raises(ValueError, match=r"link.*Link\("):
                call()
    # Which do not matter where the targets are scores.
    run(SelectiveListwiseLoss(EchoModel(), link=IdentityLink(), **Cosine), 3, torch.rand(4, 2))
    run(SelectivePairwiseLoss(EchoModel(), link=IdentityLink(), **Cosine), 3, torch.rand(4))


@every_module
@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"link": "high"}, TypeError, "link"),
        ({"link": SigmoidLink}, TypeError, "link"),
        ({"calibration_link": 3.0}, TypeError, "calibration_link"),
        ({"calibration": -0.1}, ValueError, "calibration"),
        ({"calibration": math.nan}, ValueError, "calibration"),
        ({"calibration": math.inf}, ValueError, "calibration"),
        ({"calibration": "1"}, TypeError, "calibration"),
        ({"similarity_fct": "cosine"}, TypeError, "similarity_fct"),
        ({"model": "all-MiniLM-L6-v2"}, TypeError, "model"),
    ],
)
def test_arguments_of_every_module(make: Any, arguments: dict[str, Any], error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name):
        make(**{"model": EchoModel(), **arguments})


# --- Temperatures and scales


@pytest.mark.parametrize("temperature", [0, 0.0, -1.0, math.nan, math.inf])
def test_temperatures(temperature: float) -> None:
    p, s = torch.rand(4, 3), torch.rand(4, 3)
    link = ConstantLink()
    calls: list[Callable[[], Any]] = [
        lambda: pairwise_loss(p[:, 0], s[:, 0], link, temperature),
        lambda: listwise_matching_loss(p, s, link, temperature),
        lambda: listwise_matching_loss(p, s, link, target_temperature=temperature),
        lambda: listwise_label_loss(p, torch.zeros(4, dtype=torch.long), link, temperature),
        lambda: SelectivePairwiseLoss(EchoModel(), temperature=temperature),
        lambda: SelectiveListwiseLoss(EchoModel(), temperature=temperature),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="temperature"):
            call()
    for name in ("student_temperature", "teacher_temperature"):
        with pytest.raises(ValueError, match=name):
            SelectiveListwiseLoss(EchoModel(), **{name: temperature})  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0, 0.0, -20.0, math.nan, math.inf])
def test_scales(scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        in_batch_loss(torch.eye(3), torch.eye(3), ConstantLink(), scale)
    for make in IN_BATCH:
        with pytest.raises(ValueError, match="scale"):
            make(EchoModel(), scale=scale)


# --- Options of the in-batch losses


def of_tensors(**arguments: Any) -> Any:
    return in_batch_loss(torch.eye(3), torch.eye(3), ConstantLink(), **arguments)


@pytest.mark.parametrize("make", [of_tensors, *IN_BATCH], ids=lambda function: function.__name__)
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"directions": ("query_to_doc", "doc_to_docs")}, "directions.*doc_to_docs"),
        ({"directions": ("doc_to_query",)}, "directions.*query_to_doc"),
        ({"directions": ()}, "directions"),
        ({"directions": "query_to_doc"}, "directions"),
        ({"partition_mode": "separate"}, "partition_mode"),
        ({"directions": ("query_to_doc", "doc_to_doc"), "partition_mode": "per_direction"}, "partition_mode"),
        ({"directions": ("query_to_doc", "query_to_query"), "partition_mode": "per_direction"}, "partition_mode"),
        ({"hardness_mode": "hardest"}, "hardness_mode"),
        ({"hardness_mode": "all_negatives", "hardness_strength": -1.0}, "hardness_strength"),
        ({"hardness_mode": "all_negatives", "hardness_strength": math.nan}, "hardness_strength"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
        ({"label_smoothing": 1.1}, "label_smoothing"),
        ({"label_smoothing": math.nan}, "label_smoothing"),
        ({"calibration": -1.0}, "calibration"),
    ],
)
def test_in_batch_options(make: Any, arguments: dict[str, Any], name: str) -> None:
    model = {} if make is of_tensors else {"model": EchoModel()}
    with pytest.raises(ValueError, match=name):
        make(**model, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"queries": [[1.0, 0.0]]}, TypeError, "queries"),
        ({"queries": torch.ones(3, 3, dtype=torch.long)}, TypeError, "queries"),
        ({"queries": torch.ones(3)}, ValueError, "queries"),
        ({"documents": torch.ones(3, 4)}, ValueError, "documents"),
        ({"documents": torch.ones(4, 3)}, ValueError, "documents"),
        ({"documents": torch.ones(2, 3)}, ValueError, "documents"),
        ({"documents": [torch.eye(3), torch.ones(2, 3)]}, ValueError, "documents"),
        ({"documents": []}, ValueError, "documents"),
        ({"link": "high"}, TypeError, "link"),
        ({"calibration_link": "high"}, TypeError, "calibration_link"),
        ({"document_ids": [0, 1, 2]}, TypeError, "document_ids"),
        ({"document_ids": torch.ones(3)}, TypeError, "document_ids"),
        ({"document_ids": torch.arange(2)}, ValueError, "document_ids"),
        ({"target_scores": [[0.5]] * 3}, TypeError, "target_scores"),
        ({"target_scores": torch.ones(3, 2)}, ValueError, "target_scores"),
        ({"target_scores": torch.tensor([[0.5], [math.nan], [0.5]])}, ValueError, "target_scores"),
        ({"target_scores": torch.ones(3, 1), "label_smoothing": 0.1}, ValueError, "label_smoothing"),
        ({"rows": (0, 4)}, ValueError, "rows"),
        ({"rows": (2, 1)}, ValueError, "rows"),
        ({"rows": 2}, ValueError, "rows"),
        ({"weight": torch.ones(2)}, ValueError, r"weight must have the shape of .* \(3,\).* got \(2,\)"),
        ({"weight": torch.tensor([1.0, -1.0, 1.0])}, ValueError, "weight must hold finite numbers >= 0, got -1"),
        ({"weight": [1.0, 1.0, 1.0]}, TypeError, "weight must be a torch.Tensor, got list"),
        ({"keep": torch.ones(3, 3)}, TypeError, r"keep must be a boolean tensor.*got torch.float32.*keep.bool\(\)"),
        ({"keep": [True]}, TypeError, "keep must be a torch.Tensor, got list"),
        ({"keep": torch.ones(3, 2, dtype=torch.bool)}, ValueError, r"keep must .*\(3, 3\), got \(3, 2\)"),
        ({"form": "fast"}, ValueError, "form"),
        ({"block_size": 0}, ValueError, "block_size"),
        ({"block_size": 2.5}, TypeError, "block_size"),
    ],
)
def test_in_batch_tensors(arguments: dict[str, Any], error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name):
        in_batch_loss(**{"queries": torch.eye(3), "documents": torch.eye(3), "link": ConstantLink(), **arguments})


# --- Options of the others


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"targets": "score"}, "targets"),
        ({"teacher_space": "logits"}, "teacher_space"),
        ({"label_range": (5, 0)}, "label_range"),
        ({"label_range": (0, math.inf)}, "label_range"),
        ({"label_range": (0, 1, 2)}, "label_range"),
        ({"label_range": (0, 5), "teacher_space": "logit"}, "label_range"),
        ({"label_range": (0, 5), "targets": "labels"}, "label_range"),
        ({"teacher_space": "logit", "targets": "labels"}, "teacher_space"),
        ({"label_smoothing": 0.1}, "label_smoothing"),
        ({"label_smoothing": 1.5, "targets": "labels"}, "label_smoothing"),
        ({"label_smoothing": -0.5, "targets": "labels"}, "label_smoothing"),
    ],
)
def test_listwise_options(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        SelectiveListwiseLoss(EchoModel(), **arguments)


def test_pairwise_options() -> None:
    with pytest.raises(ValueError, match="targets"):
        SelectivePairwiseLoss(EchoModel(), targets="labels")  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [{"mini_batch_size": 0}, {"mini_batch_size": 2.5}, {"mini_batch_num_tokens": 0}])
def test_mini_batches(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        CachedSelectiveMultipleNegativesRankingLoss(EchoModel(), **arguments)  # type: ignore[arg-type]


def test_a_static_embedding_in_a_cached_loss(static_model: SentenceTransformer) -> None:
    with pytest.raises(ValueError, match="StaticEmbedding"):
        CachedSelectiveMultipleNegativesRankingLoss(static_model)
    assert SelectiveMultipleNegativesRankingLoss(static_model).model is static_model


@in_batch_modules
def test_gathering_without_a_process_group_warns_once(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    loss = make(EchoModel(), gather_across_devices=True)
    alone = run(make(EchoModel()), 3, None)
    for _ in range(2):
        assert torch.equal(run(loss, 3, None), alone)
    warnings = [record.getMessage() for record in caplog.records if "gather_across_devices" in record.getMessage()]
    assert len(warnings) == 1


@pytest.mark.parametrize("pairwise", [True, False])
def test_a_similarity_of_the_wrong_kind(pairwise: bool) -> None:
    if pairwise:
        for make, labels in ((SelectivePairwiseLoss, None), (SelectiveListwiseLoss, torch.rand(4, 2))):
            with pytest.raises(ValueError, match="similarity_fct"):
                run(make(EchoModel(), similarity_fct=util.cos_sim), 3, labels)
    else:
        for make in IN_BATCH:
            with pytest.raises(ValueError, match="similarity_fct"):
                run(make(EchoModel(), similarity_fct=util.pairwise_cos_sim), 3, None)


# --- The functions


P, N = torch.rand(4), torch.rand(4, 2)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: pairwise_loss([0.1], N, ConstantLink()), TypeError, "positive"),
        (lambda: pairwise_loss(P, P[:3], ConstantLink()), ValueError, "negative"),
        (lambda: pairwise_loss(P, N.T, ConstantLink()), ValueError, "negative"),
        (lambda: pairwise_loss(P, N, "high"), TypeError, "link"),
        (lambda: pairwise_loss(P, N, ConstantLink(), mask=torch.ones(4, dtype=torch.bool)), ValueError, "mask"),
        (lambda: pairwise_loss(P, N, ConstantLink(), mask=torch.ones(4, 2)), TypeError, "mask"),
        (lambda: pairwise_loss(P, N, ConstantLink(), weight=torch.ones(3)), ValueError, "weight"),
        (lambda: pairwise_loss(P, N, ConstantLink(), weight=-torch.ones(4)), ValueError, "weight"),
        (lambda: pairwise_loss(P, N, ConstantLink(), reduction="avg"), ValueError, "reduction"),
        (lambda: margin_loss(P, N, P, ConstantLink()), ValueError, "margin"),
        (lambda: margin_loss(P, N, [0.1], ConstantLink()), TypeError, "margin"),
        (lambda: margin_loss(P, P[:3], P[:3], ConstantLink()), ValueError, "negative"),
        (lambda: margin_loss(P, N, N, "high"), TypeError, "link"),
        (lambda: listwise_matching_loss(N, N[:3], ConstantLink()), ValueError, "target"),
        (lambda: listwise_matching_loss(N, [0.1], ConstantLink()), TypeError, "target"),
        (lambda: listwise_matching_loss(P[0], P[0], ConstantLink()), ValueError, "predicted"),
        (lambda: listwise_matching_loss(N, N, "high"), TypeError, "link"),
        (lambda: listwise_matching_loss(N, N, ConstantLink(), calibration=-1), ValueError, "calibration"),
        (lambda: listwise_matching_loss(N, N, ConstantLink(), calibration_link="x"), TypeError, "calibration_link"),
        (lambda: listwise_matching_loss(N, N, ConstantLink(), mask=torch.ones(4)), TypeError, "mask"),
        (lambda: listwise_matching_loss(N, N, ConstantLink(), weight=torch.ones(4, 2)), ValueError, "weight"),
        (lambda: listwise_matching_loss(N, N, ConstantLink(), reduction="avg"), ValueError, "reduction"),
        (lambda: listwise_label_loss(N, [0, 1], ConstantLink()), TypeError, "labels"),
        (lambda: listwise_label_loss(N, torch.rand(4), ConstantLink()), ValueError, "labels"),
        (lambda: listwise_label_loss(N, torch.zeros(3, dtype=torch.long), ConstantLink()), ValueError, "labels"),
        (
            lambda: listwise_label_loss(N, torch.zeros(4, dtype=torch.long), ConstantLink(), label_smoothing=2),
            ValueError,
            "label_smoothing",
        ),
    ],
)
def test_functions(call: Callable[[], Any], error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name):
        call()


@pytest.mark.parametrize("labels", [[], ["a"], [torch.ones(3, 4), torch.ones(3, 5)], torch.ones(3), torch.ones(2, 4)])
def test_labels_that_are_no_embeddings_of_the_texts(labels: Any) -> None:
    loss: Any = SelectiveEmbedDistillLoss(EchoModel())
    features = [{"sentence_embedding": torch.ones(3, 4)}, {"sentence_embedding": torch.ones(3, 4)}]
    with pytest.raises((TypeError, ValueError), match=r"^SelectiveEmbedDistillLoss: labels must be"):
        loss(features, labels)


@pytest.mark.parametrize("k", [0, "2", 1.5])
def test_the_first_documents_of_an_order_are_a_whole_number(k: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^SelectiveOrderLoss: k must be a whole number"):
        cross.SelectiveOrderLoss(EchoCrossEncoder(), k=k)  # type: ignore[arg-type]


def test_an_order_that_cannot_be_gathered_is_told(caplog: pytest.LogCaptureFixture) -> None:
    loss: Any = SelectiveOrderLoss(EchoModel(), gather_across_devices=True)  # type: ignore[arg-type]
    features = [{"sentence_embedding": column} for column in embeddings(2)]
    for _ in range(2):
        loss(features, torch.linspace(0, 1, 4))
    assert [r.message for r in caplog.records if "gather_across_devices=True, but no process group" in r.message] == [
        record.message for record in caplog.records
    ]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("case", [case for case in LOSS_CASES if case.columns > 1], ids=lambda case: case.name)
def test_columns_with_other_numbers_of_rows(case: LossCase) -> None:
    """A column of one row is not taken for that of each."""
    loss, columns, labels = case.loss(), columns_for(case), labels_for(case)
    if getattr(loss.model, "in_lists", False):
        return  # a column of their own (tests/test_cross_encoder_losses.py)
    for place in range(1, len(columns)):
        short = [column[:1] if at == place else column for at, column in enumerate(columns)]
        given, given_labels = getattr(loss.model, "given", EchoModel.given)(short, labels)
        with pytest.raises(ValueError, match=rf"must hold as many rows in each column, .* have {len(columns[0])}, .*1"):
            loss(given, given_labels)


@pytest.mark.parametrize("documents", [1, 2])
def test_columns_in_other_precisions(documents: int) -> None:
    """They are compared in the higher one."""
    columns, labels = [torch.randn(4, 3, dtype=torch.float64), *torch.randn(documents, 4, 3)], torch.rand(4, documents)
    of_loss = SelectivePointwiseLoss(EchoModel()).compute_loss_from_embeddings
    assert of_loss(columns, labels) == of_loss([column.double() for column in columns], labels)
