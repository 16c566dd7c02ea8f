"""The losses for a MultiVectorEncoder: scores, identities with the built-in losses, errors, and training."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import math
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    MultiVectorEncoder,
    MultiVectorEncoderTrainer,
    MultiVectorEncoderTrainingArguments,
)
from sentence_transformers.base.modules import Transformer
from sentence_transformers.multi_vector_encoder import losses as built_in
from sentence_transformers.multi_vector_encoder import scoring
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.util import cos_sim, dot_score, maxsim, pairwise_cos_sim, pairwise_dot_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss, softplus

from selective_st import losses as dense
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Link, SigmoidLink, link_from_config
from selective_st.multi_vector_encoder.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from selective_st.multi_vector_encoder.losses._scoring import (
    LateInteractionOfAll,
    LateInteractionOfLists,
    LateInteractionOfPairs,
    TokenEmbeddings,
    stack,
)
from tests import random_inputs
from tests.late_interaction import exact_all, exact_lists, exact_pairs
from tests.loss_cases import CACHE_KEEPS_DOUBLE, EchoModel
from tests.model_types import WORDS, cross_encoder, multi_vector_model, sentence, splade_model, static_model
from tests.tolerances import DTYPES, FEW, assert_close, assert_same_step, assert_within, largest, operations_of

pytestmark = pytest.mark.numerical

LOSSES: list[type[nn.Module]] = [
    SelectivePointwiseLoss,
    SelectivePairwiseLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    CachedSelectiveMultipleNegativesRankingLoss,
]
IN_BATCH = LOSSES[3:]
ROWS = 4
LOGIT = 100.0  # MaxSim is a sum over tokens, of vectors that are not normalised
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


# --- Scores


def tokens(rows: int, longest: int, seed: int, dtype: torch.dtype = torch.float64, dim: int = 5) -> TokenEmbeddings:
    """Texts of different lengths, the first as long as the column; padded by large numbers that must not count."""
    generator = random_inputs.generator(seed)
    embeddings = torch.randn(rows, longest, dim, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, longest + 1, (rows,), generator=generator)
    lengths[0] = longest
    mask = torch.arange(longest) < lengths.unsqueeze(1)
    embeddings = torch.where(mask.unsqueeze(-1), embeddings, 7.0)
    return TokenEmbeddings(embeddings.to(dtype).requires_grad_(), mask)


def naive(query: Tensor, document: Tensor) -> float:
    """MaxSim of two texts, without padding."""
    return sum(max(float(a @ b) for b in document) for a in query)


def scorer_of(kind: type[LateInteractionOfPairs], similarity_fct: Any) -> Any:
    return kind(owner="loss", similarity_fct=similarity_fct, mini_batch_size=None)


def pair_scores(columns: list[TokenEmbeddings], similarity_fct: Any) -> Tensor:
    scores: Tensor = scorer_of(LateInteractionOfPairs, similarity_fct).scores(columns, None)
    return scores


def list_scores(columns: list[TokenEmbeddings], similarity_fct: Any) -> Tensor:
    scores: Tensor = scorer_of(LateInteractionOfLists, similarity_fct).scores(columns, None)
    return scores


def text(column: TokenEmbeddings, row: int) -> Tensor:
    assert column.mask is not None
    return column.embeddings[row][column.mask[row]].detach()


@dtypes
@pytest.mark.parametrize("mean", [False, True])
def test_scores_are_maxsim(dtype: torch.dtype, mean: bool) -> None:
    columns = [tokens(3, longest, seed, dtype) for seed, longest in enumerate((4, 7, 2, 5))]
    queries, *documents = columns
    if mean:
        functions = [
            scoring.mean_colbert_scores_pairwise,
            scoring.mean_colbert_kd_scores,
            scoring.mean_colbert_scores,
        ]
    else:
        functions = [scoring.colbert_scores_pairwise, scoring.colbert_kd_scores, scoring.colbert_scores]
    if dtype == torch.float64 and not mean:
        functions = [exact_pairs, exact_lists, exact_all]
    of_pairs, of_lists, of_all = (
        pair_scores(columns, functions[0]),
        list_scores(columns, functions[1]),
        scorer_of(LateInteractionOfAll, functions[2]).of_some(queries, 0, 3, stack(documents)),
    )
    lengths = [len(text(queries, row)) if mean else 1 for row in range(3)]
    expected = torch.tensor(
        [[naive(text(queries, i), text(document, i)) / lengths[i] for document in documents] for i in range(3)],
        dtype=torch.float64,
    )
    everything = torch.tensor(
        [
            [naive(text(queries, i), text(document, j)) / lengths[i] for j in range(3) for document in documents]
            for i in range(3)
        ],
        dtype=torch.float64,
    )
    for scores, reference in ((of_pairs, expected), (of_lists, expected), (of_all, everything)):
        assert scores.shape == reference.shape
        assert_close(scores.double(), reference, dtype=scores.dtype)


def test_without_a_mask_all_tokens_count() -> None:
    columns = [TokenEmbeddings(torch.randn(2, longest, 5)) for longest in (3, 4, 6)]
    with_masks = [
        TokenEmbeddings(column.embeddings, torch.ones(column.embeddings.shape[:2], dtype=torch.bool))
        for column in columns
    ]
    assert_close(list_scores(columns, scoring.colbert_kd_scores), list_scores(with_masks, scoring.colbert_kd_scores))
    assert_close(
        pair_scores(columns, scoring.colbert_scores_pairwise), pair_scores(with_masks, scoring.colbert_scores_pairwise)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scores_are_in_single_precision(dtype: torch.dtype) -> None:
    columns = [tokens(3, longest, seed, dtype) for seed, longest in enumerate((4, 7))]
    single = [TokenEmbeddings(column.embeddings.float(), column.mask) for column in columns]
    expected = pair_scores(single, scoring.colbert_scores_pairwise)
    assert torch.equal(pair_scores(columns, scoring.colbert_scores_pairwise), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(pair_scores(single, scoring.colbert_scores_pairwise), expected)


# --- With a model


@lru_cache(maxsize=1)
def _masked_model() -> MultiVectorEncoder:
    """Documents' masks leave out some words, besides their padding."""
    transformer = copy.deepcopy(multi_vector_model()[0])
    assert isinstance(transformer, Transformer)
    mask = MultiVectorMask(skiplist_words=list(WORDS[:3]))
    return MultiVectorEncoder(modules=[transformer, mask], device="cpu")


def model_of(dtype: torch.dtype) -> MultiVectorEncoder:
    return copy.deepcopy(_masked_model()).to(dtype)


def texts(columns: int, rows: int = ROWS) -> list[list[str]]:
    """Of one to five words."""
    return [
        [" ".join(sentence(10 * column + row).split()[: 1 + (2 * row + column) % 5]) for row in range(rows)]
        for column in range(columns)
    ]


def features(model: MultiVectorEncoder, columns: int, rows: int = ROWS) -> list[dict[str, Any]]:
    tasks = ["query", *["document"] * (columns - 1)]
    return [
        {**model.preprocess(column, task=task), "task": task}
        for column, task in zip(texts(columns, rows), tasks, strict=True)
    ]


def value_and_gradients(
    loss: nn.Module, columns: int, labels: Tensor | None = None, rows: int = ROWS
) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and its gradient with respect to all parameters."""
    model: Any = loss.model
    model.zero_grad()
    value = loss(features(model, columns, rows), labels)
    value.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert gradient.abs().max() > 0
    return value.detach(), gradient


def assert_same(
    ours: tuple[Tensor, Tensor],
    theirs: tuple[Tensor, Tensor],
    model: nn.Module,
    factor: float = 1.0,
    dtype: torch.dtype | None = None,
    operations: int = FEW,
    size: float = 0.0,
) -> None:
    """Up to the rounding of the largest score, in the model's precision if no other is given."""
    expected = [factor * tensor for tensor in theirs]
    settings = {"exponent": LOGIT, "size": size, "slope": size, "through": model, "check_dtype": False}
    assert_same_step(ours, expected, operations, dtype=dtype or next(model.parameters()).dtype, **settings)


def in_dtype(dtype: torch.dtype, exact: Callable[..., Tensor], theirs: Any) -> Any:
    """The built-in functions score in single precision."""
    return exact if dtype == torch.float64 else theirs


@dtypes
@pytest.mark.parametrize("negatives", [1, 3])
class TestIdentities:
    def test_half_of_margin_mse(self, dtype: torch.dtype, negatives: int) -> None:
        model = model_of(dtype)
        scorers = [in_dtype(dtype, exact_pairs, scoring.colbert_scores_pairwise)]
        if dtype == torch.float32:
            scorers += [scoring.mean_colbert_scores_pairwise, partial(scoring.xtr_scores_pairwise, top_k=5)]
        for scorer in scorers:
            theirs = built_in.MultiVectorMarginMSELoss(model, similarity_fct=scorer)
            ours = SelectivePairwiseLoss(model, similarity_fct=scorer, link=IdentityLink(), targets="margins")
            for width in (negatives, negatives + 1):
                labels = 9 * torch.rand(ROWS, width, dtype=dtype)
                assert_same(
                    value_and_gradients(ours, 2 + negatives, labels),
                    value_and_gradients(theirs, 2 + negatives, labels),
                    model,
                    0.5,
                )

    def test_distillation_by_lists(self, dtype: torch.dtype, negatives: int) -> None:
        model = model_of(dtype)
        scorers = [in_dtype(dtype, exact_lists, scoring.colbert_kd_scores)]
        if dtype == torch.float32:
            scorers += [scoring.mean_colbert_kd_scores, scoring.XTRKDScores(top_k=5)]
        labels = 9 * torch.rand(ROWS, 1 + negatives, dtype=dtype)
        for scorer in scorers:
            for settings in ({}, {"temperature": 3.0}, {"student_temperature": 2.0, "teacher_temperature": 5.0}):
                theirs = built_in.MultiVectorDistillKLDivLoss(model, similarity_fct=scorer, **settings)
                ours = SelectiveListwiseLoss(model, similarity_fct=scorer, link=ConstantLink(), **settings)
                assert_same(
                    value_and_gradients(ours, 2 + negatives, labels),
                    value_and_gradients(theirs, 2 + negatives, labels),
                    model,
                    1 / theirs.student_temperature**2,
                )

    @pytest.mark.parametrize("scale", [1.0, 0.3])
    def test_in_batch(self, dtype: torch.dtype, negatives: int, scale: float) -> None:
        model = model_of(dtype)
        scorers = [in_dtype(dtype, exact_all, scoring.colbert_scores)]
        if dtype == torch.float32 and scale == 1:
            scorers += [scoring.mean_colbert_scores, scoring.XTRScores(top_k=9)]
        for scorer in scorers:
            shared: dict[str, Any] = {"scale": scale, "similarity_fct": scorer}
            theirs = value_and_gradients(
                built_in.MultiVectorMultipleNegativesRankingLoss(model, **shared), 1 + negatives
            )
            plain: dict[str, Any] = {**shared, "link": ConstantLink()}
            for settings in ({}, {"score_mini_batch_size": 3}, {"mini_batch_size": 3}):
                ours = SelectiveMultipleNegativesRankingLoss(model, **plain, **settings)
                assert_same(value_and_gradients(ours, 1 + negatives), theirs, model, operations=operations_of(model))
            cached = built_in.CachedMultiVectorMultipleNegativesRankingLoss(model, mini_batch_size=3, **shared)
            theirs = value_and_gradients(cached, 1 + negatives)
            ours = CachedSelectiveMultipleNegativesRankingLoss(model, mini_batch_size=3, **plain)
            assert_same(value_and_gradients(ours, 1 + negatives), theirs, model)

    def test_squared_error_and_cross_entropy_of_points(self, dtype: torch.dtype, negatives: int) -> None:
        model = model_of(dtype)
        scorer = in_dtype(dtype, exact_pairs, scoring.colbert_scores_pairwise)
        width = None if negatives == 1 else negatives
        labels = (
            torch.rand(ROWS, width or 1, dtype=dtype).squeeze(-1)
            if width is None
            else torch.rand(ROWS, width, dtype=dtype)
        )

        class OfScores(nn.Module):
            def __init__(self, of: Callable[[Tensor, Tensor], Tensor]) -> None:
                super().__init__()
                self.model, self.of = model, of

            def forward(self, features: list[dict[str, Any]], labels: Tensor) -> Tensor:
                outputs = [model(dict(column), task=column["task"]) for column in features]
                columns = [(output["token_embeddings"], output["attention_mask"].bool()) for output in outputs]
                (query, query_mask), *documents = columns
                scores = [scorer(query, d, queries_mask=query_mask, documents_mask=mask) for d, mask in documents]
                return self.of(torch.stack(scores, 1).view(labels.shape), labels)

        ours = SelectivePointwiseLoss(model, IdentityLink(), similarity_fct=scorer)
        theirs = value_and_gradients(OfScores(lambda p, s: mse_loss(p, s) / 2), 1 + negatives, labels)
        assert_same(value_and_gradients(ours, 1 + negatives, labels), theirs, model)

        link = SigmoidLink(0.7, 3.0)
        ours = SelectivePointwiseLoss(model, link, similarity_fct=scorer, targets="link_values")
        labels = labels.round()
        theirs = value_and_gradients(
            OfScores(lambda p, y: binary_cross_entropy_with_logits(0.7 * (p - 3), y) / 0.7), 1 + negatives, labels
        )
        # Where all labels are 1 the loss may vanish, as a difference of terms of about 1.
        assert_same(value_and_gradients(ours, 1 + negatives, labels), theirs, model, size=1.0)


@dtypes
def test_the_logistic_loss_of_differences(dtype: torch.dtype) -> None:
    columns = [tokens(ROWS, longest, seed, dtype) for seed, longest in enumerate((4, 7, 2, 5))]
    scorer = in_dtype(dtype, exact_pairs, scoring.colbert_scores_pairwise)
    loss = SelectivePairwiseLoss(echo(), similarity_fct=scorer, link=ConstantLink(), temperature=2.0)
    scores = pair_scores(columns, scorer)
    expected = softplus((scores[:, 1:] - scores[:, :1]) / 2).mean()
    assert_close(loss.compute_loss_from_embeddings(columns, None), expected)


@pytest.mark.parametrize("links", [None, ConstantLink(), ExponentialLink(0.2)], ids=lambda link: type(link).__name__)
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_cached_loss_is_the_uncached(links: Link | None, labelled: bool, smoothing: float) -> None:
    if labelled and smoothing:
        return  # which exclude each other
    for dtype in DTYPES:
        model, bears = model_of(dtype), dtype if CACHE_KEEPS_DOUBLE else torch.float32
        settings: dict[str, Any] = {
            "similarity_fct": in_dtype(dtype, exact_all, scoring.colbert_scores),
            "link": links,
            "label_smoothing": smoothing,
            "scale": 0.5,
        }
        labels = 5 * torch.rand(5, 2, dtype=dtype) if labelled else None
        theirs = value_and_gradients(SelectiveMultipleNegativesRankingLoss(model, **settings), 3, labels, rows=5)
        for sizes in (
            {"mini_batch_size": 1},
            {"mini_batch_size": 2, "score_mini_batch_size": 5},
            {"mini_batch_size": 100, "score_mini_batch_size": 2},
            {"mini_batch_num_tokens": 9},
        ):
            ours = CachedSelectiveMultipleNegativesRankingLoss(model, **sizes, **settings)
            assert_same(value_and_gradients(ours, 3, labels, rows=5), theirs, model, 1.0, bears, operations_of(model))
            with torch.no_grad():
                assert_close(ours(features(model, 3, 5), labels), theirs[0], operations_of(model))


# --- A text of one token is one vector, and MaxSim the dot product: then each loss is that of a SentenceTransformer.


def echo() -> Any:
    return EchoModel()


SAME: list[tuple[type[nn.Module], Any, int, tuple[int, ...] | None, dict[str, Any]]] = [
    (SelectivePointwiseLoss, exact_pairs, 2, (ROWS,), {"link": ExponentialLink(0.5)}),
    (SelectivePointwiseLoss, exact_pairs, 4, (ROWS, 3), {"link": ExponentialLink(0.5)}),
    (SelectivePairwiseLoss, exact_pairs, 4, None, {"link": ExponentialLink(0.5)}),
    (SelectivePairwiseLoss, exact_pairs, 4, (ROWS, 2), {"link": ExponentialLink(0.5)}),
    (SelectivePairwiseLoss, exact_pairs, 4, (ROWS, 3), {"link": ExponentialLink(0.5), "targets": "scores"}),
    (SelectiveListwiseLoss, exact_lists, 4, (ROWS, 3), {"link": ExponentialLink(0.5), "calibration": 0.3}),
    (SelectiveListwiseLoss, exact_lists, 4, (ROWS, 3), {"link": ExponentialLink(0.5), "targets": "labels"}),
    (SelectiveMultipleNegativesRankingLoss, exact_all, 2, None, {"link": ExponentialLink(0.5), "scale": 2.0}),
    (SelectiveMultipleNegativesRankingLoss, exact_all, 4, None, {"link": ExponentialLink(0.5), "scale": 2.0}),
    (SelectiveMultipleNegativesRankingLoss, exact_all, 4, None, {"link": ConstantLink(), "label_smoothing": 0.2}),
    (
        SelectiveMultipleNegativesRankingLoss,
        exact_all,
        4,
        (ROWS, 3),
        {"link": ExponentialLink(0.5), "calibration": 0.3, "calibration_link": IdentityLink()},
    ),
]


@pytest.mark.parametrize("case", SAME, ids=lambda case: f"{case[0].__name__}-{case[2]}-{case[3]}")
@pytest.mark.parametrize("padded", [False, True])
def test_texts_of_one_token(case: Any, padded: bool) -> None:
    make, scorer, columns, shape, settings = case
    generator = random_inputs.generator(0)
    vectors = [torch.randn(ROWS, 6, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(columns)]
    labels = None if shape is None else 2 * torch.rand(shape, generator=generator, dtype=torch.float64)
    if labels is not None and settings.get("targets") == "labels":
        labels = labels.softmax(-1)
    if labels is not None and labels.dim() == 2 and padded:
        labels[1, -1] = math.nan
    if settings.get("targets") == "labels" and labels is not None and padded:
        labels[1] = torch.tensor([0.25, 0.75, math.nan])
    theirs_settings = {
        "similarity_fct": dot_score if "NegativesRanking" in make.__name__ else pairwise_dot_score,
        **settings,
    }
    if make is SelectiveMultipleNegativesRankingLoss:
        theirs_settings.setdefault("scale", 1.0)
    theirs = getattr(dense, make.__name__)(echo(), **theirs_settings)
    expected = theirs.compute_loss_from_embeddings(vectors, labels)
    gradients = torch.autograd.grad(expected, vectors)

    ours: Any = make(echo(), similarity_fct=scorer, **settings)
    embeddings = [TokenEmbeddings(column.unsqueeze(1)) for column in vectors]
    if padded:  # by tokens that do not count
        more = torch.full((ROWS, 2, 6), 9.0, dtype=torch.float64)
        mask = torch.tensor([True, False, False]).expand(ROWS, 3)
        embeddings = [TokenEmbeddings(torch.cat([column.unsqueeze(1), more], 1), mask) for column in vectors]
    value = ours.compute_loss_from_embeddings(embeddings, labels)
    scores = torch.cat([(vectors[0] @ column.T).flatten() for column in vectors[1:]])
    exponent = settings.get("scale", 1.0) * largest(settings["link"].potential(scores))
    found = [value.detach(), *torch.autograd.grad(value, vectors)]
    assert_same_step(found, [expected.detach(), *gradients], exponent=exponent)


def test_documents_of_the_same_text_are_left_out() -> None:
    generator = random_inputs.generator(0)
    vectors = [torch.randn(ROWS, 6, generator=generator, dtype=torch.float64) for _ in range(3)]
    ids = [torch.tensor([1, 2, 1, 3]), torch.tensor([4, 5, 2, 6])]
    settings: dict[str, Any] = {"link": ExponentialLink(0.5), "mask_same_text": True}
    theirs = dense.SelectiveMultipleNegativesRankingLoss(echo(), 1.0, dot_score, **settings)
    expected = theirs.compute_loss_from_embeddings(vectors, None, ids)
    assert expected != theirs.compute_loss_from_embeddings(vectors, None)
    ours = SelectiveMultipleNegativesRankingLoss(echo(), similarity_fct=exact_all, **settings)
    embeddings = [TokenEmbeddings(column.unsqueeze(1)) for column in vectors]
    assert_close(ours.compute_loss_from_embeddings(embeddings, None, ids), expected)

    # The ids come from the tokens.
    model = model_of(torch.float32)
    for make in IN_BATCH:
        loss = make(model, mask_same_text=True)
        columns = features(model, 2)
        columns[1] = {**columns[1], "input_ids": columns[1]["input_ids"][[0, 1, 0, 3]]}
        columns[1]["attention_mask"] = columns[1]["attention_mask"][[0, 1, 0, 3]]
        masked = loss(columns, None)
        assert masked < make(model)(columns, None)


# --- Arguments


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SelectivePairwiseLoss, built_in.MultiVectorMarginMSELoss),
        (SelectiveListwiseLoss, built_in.MultiVectorDistillKLDivLoss),
        (SelectiveMultipleNegativesRankingLoss, built_in.MultiVectorMultipleNegativesRankingLoss),
        (CachedSelectiveMultipleNegativesRankingLoss, built_in.CachedMultiVectorMultipleNegativesRankingLoss),
    ],
)
def test_drop_in(ours: Any, theirs: Any) -> None:
    of_ours, of_theirs = (list(inspect.signature(loss).parameters.values()) for loss in (ours, theirs))
    names = [parameter.name for parameter in of_theirs]
    assert [parameter.name for parameter in of_ours][: len(names)] == names
    for one, other in zip(of_ours, of_theirs, strict=False):
        assert (one.default, one.kind) == (other.default, other.kind)
    assert set(theirs(echo()).get_config_dict()) <= set(ours(echo()).get_config_dict())


KINDS = {
    "pairs": ("colbert_scores_pairwise", "mean_colbert_scores_pairwise", "xtr_scores_pairwise"),
    "lists": ("colbert_kd_scores", "mean_colbert_kd_scores", "xtr_kd_scores"),
    "all": ("colbert_scores", "mean_colbert_scores", "xtr_scores"),
}
KIND_OF = {
    SelectivePointwiseLoss: "pairs",
    SelectivePairwiseLoss: "pairs",
    SelectiveListwiseLoss: "lists",
    SelectiveMultipleNegativesRankingLoss: "all",
    CachedSelectiveMultipleNegativesRankingLoss: "all",
}


@pytest.mark.parametrize("make", LOSSES, ids=lambda loss: loss.__name__)
def test_a_function_of_another_kind_is_refused_and_the_right_one_named(make: Any) -> None:
    right = KINDS[KIND_OF[make]]
    for names in KINDS.values():
        for family, name in enumerate(names):
            for function in (getattr(scoring, name), partial(getattr(scoring, name), chunk_elements=10)):
                if name in right:
                    assert make(echo(), similarity_fct=function).similarity_fct is function
                    continue
                with pytest.raises(ValueError, match=rf"{make.__name__}: similarity_fct .*\.{right[family]}\."):
                    make(echo(), similarity_fct=function)
    configured = {"pairs": "xtr_scores_pairwise", "lists": "XTRKDScores", "all": "XTRScores"}[KIND_OF[make]]
    for function in (scoring.XTRScores(8), scoring.XTRKDScores(8)):
        if type(function).__name__ == configured:
            assert "top_k=8" in make(echo(), similarity_fct=function).get_config_dict()["similarity_fct"]
        else:
            with pytest.raises(ValueError, match=rf"\.{configured}\."):
                make(echo(), similarity_fct=function)
    for function in (cos_sim, dot_score, pairwise_cos_sim, maxsim, torch.cosine_similarity):
        with pytest.raises(ValueError, match=rf"queries_mask.*\.{right[0]}\."):
            make(echo(), similarity_fct=function)
    for value, message in ((IdentityLink(), "link=..."), ("maxsim", right[0]), (scoring.XTRScores, "instance")):
        with pytest.raises(TypeError, match=message):
            make(echo(), similarity_fct=value)


@pytest.mark.parametrize("make", LOSSES, ids=lambda loss: loss.__name__)
def test_an_own_function_of_the_wrong_shape_is_refused(make: Any) -> None:
    def wrong(queries: Tensor, documents: Tensor, *, queries_mask: Any, documents_mask: Any) -> Tensor:
        return queries.sum() + torch.zeros(2, 9)

    columns = [tokens(ROWS, 3, seed, torch.float32) for seed in range(3)]
    labels = None if make is SelectivePairwiseLoss else torch.rand(ROWS, 2)
    with pytest.raises(ValueError, match=r"similarity_fct must compare .* giving shape .* but wrong gave \(2, 9\)"):
        make(echo(), similarity_fct=wrong).compute_loss_from_embeddings(columns, labels)


@pytest.mark.parametrize("make", LOSSES, ids=lambda loss: loss.__name__)
def test_bad_arguments(make: Any) -> None:
    with pytest.raises(TypeError, match=r"selective_st\.losses import|selective_st\.losses has"):
        make(static_model())
    for other, package in ((splade_model(), "sparse_encoder"), (cross_encoder(), "cross_encoder")):
        with pytest.raises(TypeError, match=rf"selective_st\.{package}\.losses"):
            make(other)
    with pytest.raises(TypeError, match=r"MultiVectorEncoder\(\.\.\.\)"):
        make("bert")
    for value in (0, -1, 2.5, True, "4"):
        with pytest.raises(ValueError, match="mini_batch_size must be a whole number > 0"):
            make(echo(), mini_batch_size=value)
    with pytest.raises(TypeError, match="link must be a Link"):
        make(echo(), link="high")
    columns = [tokens(ROWS, 3, seed, torch.float32) for seed in range(3)]
    with pytest.raises(ValueError, match="column"):
        make(echo()).compute_loss_from_embeddings(columns[:1], None)
    with pytest.raises(ValueError, match="column"):
        make(echo())([], None)
    empty = [TokenEmbeddings(column.embeddings[:0]) for column in columns]
    with pytest.raises(ValueError, match="empty batch"):
        make(echo()).compute_loss_from_embeddings(empty, torch.rand(0, 2))
    with pytest.raises(ValueError, match=r"labels must (have shape|be margins)"):
        make(echo()).compute_loss_from_embeddings(columns, torch.rand(ROWS, 5))


def test_bad_sizes_of_in_batch_losses() -> None:
    for make in IN_BATCH:
        with pytest.raises(ValueError, match="score_mini_batch_size must be a whole number > 0"):
            make(echo(), score_mini_batch_size=0)
        with pytest.raises(ValueError, match="scale"):
            make(echo(), scale=0)
    with pytest.raises(ValueError, match="mini_batch_num_tokens must be a whole number > 0"):
        CachedSelectiveMultipleNegativesRankingLoss(echo(), mini_batch_num_tokens=0)
    with pytest.raises(ValueError, match="mini_batch_size must be a whole number > 0"):
        CachedSelectiveMultipleNegativesRankingLoss(echo(), mini_batch_size=None)  # type: ignore[arg-type]


def test_losses_of_other_types_say_where_the_right_ones_are() -> None:
    for name in ("SelectivePointwiseLoss", "SelectiveListwiseLoss", "CachedSelectiveMultipleNegativesRankingLoss"):
        with pytest.raises(TypeError, match=rf"from selective_st\.multi_vector_encoder\.losses import {name}"):
            getattr(dense, name)(multi_vector_model())


# --- Defaults


def test_default_links_fit_the_scores() -> None:
    sums, means = torch.linspace(0, 32, 3201), torch.linspace(0, 1, 1001)
    for make, summed, mean, xtr in (
        (SelectivePairwiseLoss, *(getattr(scoring, name) for name in KINDS["pairs"])),
        (SelectiveListwiseLoss, *(getattr(scoring, name) for name in KINDS["lists"])),
        (SelectiveMultipleNegativesRankingLoss, *(getattr(scoring, name) for name in KINDS["all"])),
    ):
        for functions, scores in (
            ((summed, partial(mean, length_normalize=False), None), sums),
            ((mean, xtr, partial(summed, length_normalize=True)), means),
        ):
            for function in functions:
                link = make(echo(), similarity_fct=function).link
                assert_within(link(scores).mean(), 1.0, largest(link(scores)) / len(scores))  # the ends count whole
                assert torch.equal(link(scores), link(scores).sort().values)
                # Linear above: the sensitivity stays.
                highest = scores[-1]
                assert_close(link.sensitivity(100 * highest), link.sensitivity(highest + 0.1))
                assert link_from_config(link.get_config_dict()).get_config_dict() == link.get_config_dict()
    pointwise = {function: SelectivePointwiseLoss(echo(), similarity_fct=function) for function in (
        scoring.mean_colbert_scores_pairwise, scoring.colbert_scores_pairwise
    )}  # fmt: skip
    for (_, loss), scores in zip(pointwise.items(), (means, sums), strict=True):
        slopes = loss.link.sensitivity(scores)
        assert_within(slopes.mean(), 1.0, largest(slopes) / len(slopes))
        assert math.isfinite(float(loss.link.potential(torch.tensor(1e4))))
    assert SelectivePointwiseLoss(echo()).similarity_fct is scoring.mean_colbert_scores_pairwise
    assert SelectivePointwiseLoss(echo(), similarity_fct=scoring.colbert_scores_pairwise, targets="link_values").link(
        torch.tensor(16.0)
    ) == pytest.approx(0.5)


def test_it_warns_where_the_model_scores_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    model = multi_vector_model()
    with caplog.at_level(logging.WARNING):
        SelectivePairwiseLoss(model)
        SelectiveListwiseLoss(model)
    assert not caplog.messages
    SelectivePointwiseLoss(model)
    (message,) = caplog.messages
    assert 'model.similarity_fn_name = "meanmaxsim"' in message
    model.similarity_fn_name = "meanmaxsim"
    SelectivePointwiseLoss(model)
    assert len(caplog.messages) == 1


def test_it_warns_where_sums_shall_match_means(caplog: pytest.LogCaptureFixture) -> None:
    columns = [TokenEmbeddings(5 * column.embeddings, column.mask) for column in (tokens(ROWS, 9, i) for i in range(3))]
    labels = torch.rand(ROWS, 2)
    losses = [
        SelectivePointwiseLoss(echo(), similarity_fct=scoring.colbert_scores_pairwise),
        SelectivePairwiseLoss(echo(), targets="scores"),
        SelectiveListwiseLoss(echo()),
        SelectiveListwiseLoss(echo(), label_range=(0, 1)),
        SelectiveMultipleNegativesRankingLoss(echo()),
    ]
    for loss in losses:
        caplog.clear()
        for _ in range(2):
            loss.compute_loss_from_embeddings(columns, labels)
        (message,) = [text for text in caplog.messages if "are sums over the query's tokens" in text]
        assert f"similarity_fct=mean_{loss.similarity_fct.__name__}" in message
    caplog.clear()
    for loss in (
        SelectiveListwiseLoss(echo()),
        SelectiveMultipleNegativesRankingLoss(echo()),
        SelectivePairwiseLoss(echo(), targets="scores"),
        SelectivePointwiseLoss(echo(), similarity_fct=scoring.colbert_scores_pairwise),
    ):
        loss.compute_loss_from_embeddings(columns, 30 * labels)
    SelectiveListwiseLoss(echo(), link=ConstantLink()).compute_loss_from_embeddings(columns, labels)
    SelectiveMultipleNegativesRankingLoss(echo(), link=ConstantLink()).compute_loss_from_embeddings(columns, labels)
    SelectiveMultipleNegativesRankingLoss(echo()).compute_loss_from_embeddings(columns, None)
    SelectiveListwiseLoss(echo(), similarity_fct=exact_lists).compute_loss_from_embeddings(columns, labels)
    assert not [text for text in caplog.messages if "are sums over the query's tokens" in text]


def test_a_document_without_tokens_breaks_nothing() -> None:
    columns = [tokens(ROWS, 4, seed, torch.float32) for seed in range(3)]
    assert columns[2].mask is not None
    columns[2].mask[1] = False
    for make in LOSSES:
        loss: Any = make(echo())
        labels = torch.rand(ROWS, 2) if KIND_OF[make] != "all" and make is not SelectivePairwiseLoss else None
        if labels is not None:
            labels[1, 1] = math.nan  # there is nothing to reach
        value = loss.compute_loss_from_embeddings(columns, labels)
        value.backward()
        assert value.isfinite()
        assert all(column.embeddings.grad.isfinite().all() for column in columns)  # type: ignore[union-attr]


# --- What the host wants


class Recorder(nn.Module):
    """Notes with which tasks it is called, and how many rows."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int]] = []

    def forward(self, features: dict[str, Any], task: str) -> dict[str, Any]:
        ids = features["input_ids"]
        self.calls.append((task, len(ids)))
        embeddings = torch.nn.functional.one_hot(ids, 50).float().requires_grad_()
        return {"token_embeddings": embeddings, "attention_mask": features["attention_mask"]}


@pytest.mark.parametrize("make", LOSSES[:4], ids=lambda loss: loss.__name__)
def test_queries_and_documents_are_embedded_as_such(make: Any) -> None:
    model: Any = Recorder()
    columns = [
        {"input_ids": torch.randint(50, (ROWS, length)), "attention_mask": torch.ones(ROWS, length).long()}
        for length in (3, 6, 4)
    ]
    labels = None if make in IN_BATCH else 5 * torch.rand(ROWS, 2)
    kwargs = {"targets": "scores"} if make is SelectivePairwiseLoss else {}
    make(model, **kwargs)(columns, labels)
    assert model.calls == [("query", ROWS), ("document", 2 * ROWS)]  # the documents at once
    model.calls.clear()
    make(model, mini_batch_size=5, **kwargs)(columns, labels)
    assert model.calls == [("query", ROWS), ("document", 5), ("document", 3)]
    model.calls.clear()
    make(model, **kwargs)([{**column, "task": "document"} for column in columns], labels)
    assert model.calls == [("document", ROWS), ("document", 2 * ROWS)]
    assert all("task" not in column for column in columns)


def test_nothing_is_said_of_the_scale_of_scores_that_are_none(caplog: pytest.LogCaptureFixture) -> None:
    model: Any = EchoModel()
    loss = SelectiveListwiseLoss(model)
    columns = [TokenEmbeddings(torch.full((ROWS, 3, 8), math.nan)) for _ in range(3)]
    assert loss.compute_loss_from_embeddings(columns, torch.rand(ROWS, 2)).isnan()
    assert "about nan" not in caplog.text


@pytest.mark.parametrize("make", LOSSES, ids=lambda loss: loss.__name__)
def test_config_and_citation(make: Any) -> None:
    loss = make(multi_vector_model())
    config = json.loads(json.dumps(loss.get_config_dict(), allow_nan=False))
    assert link_from_config(config["link"]).get_config_dict() == config["link"]
    parameters = set(inspect.signature(make).parameters)
    assert set(config) <= parameters
    # A loss of the same settings can be made of it.
    again = {
        name: value for name, value in config.items() if name not in ("similarity_fct", "link", "calibration_link")
    }
    if "calibration_link" in config:
        again["calibration_link"] = link_from_config(config["calibration_link"])
    assert make(echo(), link=link_from_config(config["link"]), **again).get_config_dict() == config
    assert loss.citation.count("eprint={2506.04446}") == 1
    for theirs, cited in (
        (SelectivePairwiseLoss, "hofstaetter2020improving"),
        (SelectiveListwiseLoss, "santhanam-etal-2022-colbertv2"),
        (SelectiveMultipleNegativesRankingLoss, "henderson2017efficient"),
        (CachedSelectiveMultipleNegativesRankingLoss, "gao2021scaling"),
    ):
        if issubclass(make, theirs):
            assert loss.citation.count(cited) == 1


def train(
    loss_of: Callable[[MultiVectorEncoder], nn.Module], data: Dataset, folder: Path, **changes: Any
) -> MultiVectorEncoder:
    model = multi_vector_model()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    settings: dict[str, Any] = {
        "output_dir": str(folder / "run"),
        "max_steps": 12,
        "per_device_train_batch_size": 4,
        "learning_rate": 3e-3,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 4,
    }
    arguments = MultiVectorEncoderTrainingArguments(**{**settings, **changes})
    trainer = MultiVectorEncoderTrainer(model, arguments, data, loss=loss_of(model))
    trainer.train()
    values = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert values[-1] < values[0]
    assert any(not torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    model.save_pretrained(str(folder / "model"))
    return model


@pytest.mark.parametrize("make", LOSSES, ids=lambda loss: loss.__name__)
@pytest.mark.slow
def test_it_trains_and_the_card_tells(make: Any, tmp_path: Path) -> None:
    columns = dict(zip(("query", "positive", "negative"), texts(3, 8), strict=True))
    labels: dict[str, Any] = {
        "SelectivePointwiseLoss": {"label": [[0.9, 0.1]] * 8},
        "SelectivePairwiseLoss": {"label": [2.5] * 8},
        "SelectiveListwiseLoss": {"label": [[4.0, 1.0]] * 8},
    }.get(make.__name__, {})
    train(make, Dataset.from_dict({**columns, **labels}), tmp_path)
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert make.__name__ in card
    assert card.count("eprint={2506.04446}") == 1
    assert '"type": "' in card  # the link of the config
    assert MultiVectorEncoder(str(tmp_path / "model"), local_files_only=True, device="cpu").encode_query(["a"])


@pytest.mark.slow
def test_it_trains_in_bf16_and_with_several_datasets(tmp_path: Path) -> None:
    columns = dict(zip(("query", "positive", "negative"), texts(3, 8), strict=True))
    data = Dataset.from_dict({**columns, "label": [[6.0, 1.0]] * 8})
    train(SelectiveListwiseLoss, data, tmp_path, bf16=True)


def test_a_wrong_scorer_is_noticed() -> None:
    """That the identities can fail: a scorer that forgets the documents' masks."""

    def forgetful(queries: Tensor, documents: Tensor, *, queries_mask: Any, documents_mask: Any) -> Tensor:
        return exact_all(queries, documents, queries_mask=queries_mask, documents_mask=torch.ones_like(documents_mask))

    model = model_of(torch.float64)
    theirs = value_and_gradients(built_in.MultiVectorMultipleNegativesRankingLoss(model, similarity_fct=exact_all), 3)
    wrong = SelectiveMultipleNegativesRankingLoss(model, similarity_fct=forgetful, link=ConstantLink())
    with pytest.raises(AssertionError):
        assert_same(value_and_gradients(wrong, 3), theirs, model)


def test_matryoshka_is_not_for_multi_vector_models() -> None:
    """What the host does not support: its wrapper shortens sentence embeddings, and a model has none here."""
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

    model = multi_vector_model()
    wrapped = MatryoshkaLoss(model, SelectiveListwiseLoss(model), [8])  # type: ignore[arg-type]
    with pytest.raises((TypeError, KeyError)):
        wrapped(features(model, 3), torch.rand(ROWS, 2))
