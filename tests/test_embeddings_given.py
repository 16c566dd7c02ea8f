"""What embeddings and labels a loss is given: padded documents, sparse tensors, scores of minus infinity."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath as mp
import pytest
import torch
from sentence_transformers.util import (
    dot_score,
    pairwise_cos_sim,
    pairwise_dot_score,
    pairwise_euclidean_sim,
    pairwise_manhattan_sim,
)
from torch import Tensor
from torch.testing import assert_close

from selective_st.cross_encoder import losses as cross
from selective_st.functional import in_batch_loss, listwise_matching_loss
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Link, SigmoidLink, high_scores, score_region
from selective_st.losses import (
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from tests.loss_cases import EchoCrossEncoder, EchoModel

MODEL: Any = EchoModel()
ROWS, DIM = 5, 6
SIMILARITIES = [
    torch.cosine_similarity,
    pairwise_cos_sim,
    pairwise_dot_score,
    pairwise_euclidean_sim,
    pairwise_manhattan_sim,
    lambda a, b: (a * b).sum(-1).tanh(),
]
LINK = ExponentialLink(1.0).linear_outside(None, 1.0)


def columns(number: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(number)
    return list((0.4 * torch.randn(number, ROWS, DIM, dtype=torch.float64, generator=generator)).unbind())


def run(loss: Any, embeddings: list[Tensor], labels: Tensor | None) -> list[Tensor]:
    """Value and gradients."""
    leaves = [embedding.clone().requires_grad_() for embedding in embeddings]
    value = loss.compute_loss_from_embeddings(leaves, labels)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def labels_of(width: int) -> Tensor:
    return torch.rand(ROWS, width, dtype=torch.float64, generator=torch.Generator().manual_seed(width)) / 2


@pytest.mark.parametrize("similarity_fct", SIMILARITIES, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("make", "documents", "width"),
    [
        (partial(SelectivePointwiseLoss, MODEL, LINK), 2, 2),
        (partial(SelectivePointwiseLoss, MODEL, LINK), 3, 3),
        (partial(SelectiveListwiseLoss, MODEL, link=LINK), 2, 2),
        (partial(SelectiveListwiseLoss, MODEL, link=LINK), 4, 4),
        (partial(SelectiveListwiseLoss, MODEL, link=LINK, targets="labels"), 4, 4),
        (partial(SelectivePairwiseLoss, MODEL, link=LINK, targets="scores"), 2, 2),  # a single pair
        (partial(SelectivePairwiseLoss, MODEL, link=LINK), 4, 3),
        (partial(SelectivePairwiseLoss, MODEL, link=LINK, targets="scores"), 4, 4),
    ],
    ids=lambda value: getattr(getattr(value, "func", None), "__name__", str(value)),
)
def test_a_padded_document_may_hold_anything(
    make: Callable[..., Any], documents: int, width: int, similarity_fct: Callable[..., Tensor]
) -> None:
    loss, embeddings, labels = make(similarity_fct=similarity_fct), columns(1 + documents), labels_of(width)
    if getattr(loss, "targets", None) == "labels":
        labels = (labels == labels.amax(1, keepdim=True)).double()
        labels[:, 0] = 1.0
    labels[1:3, -1] = math.nan
    expected = run(loss, embeddings, labels)
    assert all(bool((gradient != 0).any()) for gradient in expected[1:])
    for filling in (math.nan, math.inf, 1e300):
        broken = [column.clone() for column in embeddings]
        broken[-1][1:3] = filling
        found = run(loss, broken, labels)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, rtol=1e-12, atol=1e-15)
        assert (found[-1][1:3] == 0).all()
    counting = [(0, 0), (len(embeddings) - 1, 0)]
    if not (isinstance(loss, SelectivePairwiseLoss) and documents == 2):  # of which nothing is left in a padded row
        counting += [(0, 1), (1, 1)]
    for place, row in counting:
        broken = [column.clone() for column in embeddings]
        broken[place][row] = math.nan
        assert loss.compute_loss_from_embeddings(broken, labels).isnan()


class TestSparseTensors:
    @pytest.mark.parametrize("similarity_fct", SIMILARITIES, ids=lambda f: f.__name__)
    @pytest.mark.parametrize(
        ("make", "documents", "labels"),
        [
            (partial(SelectivePointwiseLoss, MODEL, LINK), 1, torch.rand(ROWS) / 2),
            (partial(SelectivePointwiseLoss, MODEL, LINK), 3, torch.rand(ROWS, 3) / 2),
            (partial(SelectivePairwiseLoss, MODEL, link=LINK), 2, None),
            (partial(SelectivePairwiseLoss, MODEL, link=LINK), 2, torch.rand(ROWS) / 2),
            (partial(SelectiveListwiseLoss, MODEL, link=LINK), 3, torch.rand(ROWS, 3) / 2),
            (partial(SelectiveListwiseLoss, MODEL, link=LINK, lists="batch"), 1, torch.rand(ROWS) / 2),
        ],
    )
    def test_as_dense_ones(
        self, make: Callable[..., Any], documents: int, labels: Tensor | None, similarity_fct: Callable[..., Tensor]
    ) -> None:
        embeddings = [column * (column > 0) + 1e-3 for column in columns(1 + documents)]
        loss = make(similarity_fct=similarity_fct)
        expected = run(loss, embeddings, labels)
        for layout in (torch.sparse_coo, torch.sparse_csr):
            leaves = [column.clone().requires_grad_() for column in embeddings]
            value = loss.compute_loss_from_embeddings([leaf.to_sparse(layout=layout) for leaf in leaves], labels)
            for one, other in zip([value, *torch.autograd.grad(value, leaves)], expected, strict=True):
                assert_close(one, other, rtol=1e-12, atol=1e-15)

    @pytest.mark.parametrize("options", [{}, {"similarity_fct": dot_score}], ids=["cosines", "dot products"])
    def test_in_batch(self, options: dict[str, Any]) -> None:
        embeddings = [column * (column > 0) + 1e-3 for column in columns(3)]
        loss = SelectiveMultipleNegativesRankingLoss(MODEL, **options)
        leaves = [column.clone().requires_grad_() for column in embeddings]
        value = loss.compute_loss_from_embeddings([leaf.to_sparse() for leaf in leaves], None)
        for one, other in zip([value, *torch.autograd.grad(value, leaves)], run(loss, embeddings, None), strict=True):
            assert_close(one, other, rtol=1e-12, atol=1e-15)


class TestNeverRight:
    """A teacher's score of minus infinity: no probability, no calibration term, and still a candidate."""

    P = torch.tensor([[0.3, 0.9, -0.2, 0.6]], dtype=torch.float64)
    S = torch.tensor([[0.8, -math.inf, 0.1, 0.4]], dtype=torch.float64)

    def exact(self, temperature: float, of_target: float, calibration: float) -> tuple[Any, list[Any]]:
        """With the exponential link of rate 2, in 50 digits."""
        t, tt = mp.mpf(temperature), mp.mpf(of_target)
        p, s = ([mp.mpf(x) if x > -math.inf else None for x in row.flatten().tolist()] for row in (self.P, self.S))

        def potential(z: Any) -> Any:
            return mp.exp(2 * z) / 2

        def softmax(logits: list[Any]) -> list[Any]:
            weights = [mp.mpf(0) if logit is None else mp.exp(logit) for logit in logits]
            return [weight / sum(weights) for weight in weights]

        q = softmax([None if z is None else potential(z) / tt for z in s])
        r = softmax([potential(z) / t for z in p])
        value = sum(a * mp.log(a / b) for a, b in zip(q, r, strict=True) if a)
        gradient = [mp.exp(2 * z) / t * (b - a) for a, b, z in zip(q, r, p, strict=True)]
        for k, (a, z, target) in enumerate(zip(q, p, s, strict=True)):
            if target is not None:
                divergence = potential(z) - potential(target) - (z - target) * mp.exp(2 * target)
                value += calibration / t * a * divergence
                gradient[k] += calibration / t * a * (mp.exp(2 * z) - mp.exp(2 * target))
        return value, gradient

    @pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.3, 0.7), (0.001, 0.001)], ids=str)
    @pytest.mark.parametrize("calibration", [0.0, 1.0])
    def test_by_hand(self, temperatures: tuple[float, float], calibration: float) -> None:
        p = self.P.clone().requires_grad_()
        loss = listwise_matching_loss(
            p,
            self.S,
            ExponentialLink(2.0),
            temperatures[0],
            target_temperature=temperatures[1],
            calibration=calibration,
        )
        value, gradient = self.exact(*temperatures, calibration)
        assert_close(float(loss.detach()), float(value), rtol=1e-12, atol=0)
        expected = torch.tensor([list(map(float, gradient))], dtype=torch.float64)
        assert_close(torch.autograd.grad(loss, p, retain_graph=True)[0], expected, rtol=1e-11, atol=1e-13)
        assert_close(torch.autograd.grad(loss, p, create_graph=True)[0], expected, rtol=1e-9, atol=1e-12)
        assert torch.autograd.gradcheck(
            lambda x: listwise_matching_loss(x, self.S, ExponentialLink(2.0), 1.0, calibration=calibration), p
        )

    @pytest.mark.parametrize(
        "link", [ConstantLink(), IdentityLink() + 2 * ConstantLink(), SigmoidLink(3, 0.5), high_scores()], ids=repr
    )
    def test_the_limit_of_a_lower_and_lower_score(self, link: Link) -> None:
        """Of the plain Softmax, whose potential falls without end; of others what has no probability there."""
        options: dict[str, Any] = {"calibration": 0.0} if isinstance(link, ConstantLink) else {}
        loss = listwise_matching_loss(self.P, self.S, link, 0.5, **options)
        if isinstance(link, ConstantLink):
            low = torch.where(self.S.isinf(), -1e4, self.S)
            assert_close(loss, listwise_matching_loss(self.P, low, link, 0.5, **options))
        others = torch.tensor([[True, False, True, True]])
        without = listwise_matching_loss(self.P, self.S.nan_to_num(neginf=0.0), link, 0.5, mask=others, **options)
        # The candidate's own probability is what the loss is more.
        share = torch.softmax(link.potential(self.P) / 0.5, -1)[0, 1]
        assert_close(loss, without - torch.log1p(-share))

    @pytest.mark.parametrize(
        "make",
        [
            partial(SelectiveListwiseLoss, MODEL, pairwise_cos_sim, 0.2),
            partial(
                SelectiveListwiseLoss, MODEL, pairwise_dot_score, 0.2, link=score_region(0.1, 0.3) + 9 * ConstantLink()
            ),
            partial(SelectiveListwiseLoss, MODEL, pairwise_cos_sim, teacher_space="logit"),
            partial(SelectiveListwiseLoss, MODEL, pairwise_cos_sim, label_range=(0, 5)),
        ],
    )
    def test_in_a_loss(self, make: Callable[..., Any]) -> None:
        loss, embeddings, labels = make(), columns(5), labels_of(4)
        labels[0, 2] = labels[1, :3] = -math.inf
        labels[2, 3], labels[2, 1] = math.nan, -math.inf
        scores = torch.stack([loss.similarity_fct(embeddings[0], document) for document in embeddings[1:]], 1)
        finite = loss.objective._to_scores(labels)
        expected = listwise_matching_loss(
            scores,
            torch.where(labels == -math.inf, -math.inf, finite),
            loss.link,
            loss.student_temperature,
            mask=~labels.isnan(),
        )
        assert_close(loss.compute_loss_from_embeddings(embeddings, labels), expected)
        assert all(gradient.isfinite().all() for gradient in run(loss, embeddings, labels))

    def test_a_row_needs_a_finite_score(self) -> None:
        loss, labels = SelectiveListwiseLoss(MODEL, pairwise_cos_sim), labels_of(3)
        labels[3] = -math.inf
        with pytest.raises(ValueError, match=r"row\(s\) 3"):
            loss.compute_loss_from_embeddings(columns(4), labels)
        with pytest.raises(ValueError, match="target must have a finite score in each list, but those of list 3"):
            listwise_matching_loss(torch.rand(ROWS, 3), labels, ConstantLink())
        with pytest.raises(ValueError, match="labels must be finite"):
            SelectivePointwiseLoss(MODEL).compute_loss_from_embeddings(columns(4), labels)
        labels[3] = math.inf
        with pytest.raises(ValueError, match="labels must be finite"):
            loss.compute_loss_from_embeddings(columns(4), labels)

    def test_for_a_cross_encoder(self) -> None:
        """Lists of different lengths, of a teacher's log-probabilities."""
        scores, labels = (
            [torch.randn(3), torch.randn(2)],
            [torch.tensor([0.2, -math.inf, -1.0]), torch.tensor([-math.inf, 0.1])],
        )
        loss = cross.SelectiveListwiseLoss(Given(), link=ConstantLink(), calibration=0.0)  # type: ignore[arg-type]
        found = loss([["q", "r"], [list(row) for row in scores]], labels)
        each = [
            torch.special.xlogy(q := row.softmax(0), q).sum() - (q * given.log_softmax(0)).sum()
            for row, given in zip(labels, scores, strict=True)
        ]
        assert_close(found, torch.stack(each).mean())

    @pytest.mark.parametrize("form", ["fused", "plain"])
    @pytest.mark.parametrize("width", ["own", "all"])
    def test_in_batch(self, form: Any, width: str) -> None:
        queries, positives, negatives = (column.requires_grad_() for column in columns(3))
        target = labels_of(2 if width == "own" else 2 * ROWS)
        target[1, 1] = target[2, 0] = -math.inf
        link = ExponentialLink(1.5)
        loss = in_batch_loss(queries, [positives, negatives], link, 2.0, target_scores=target, form=form)
        scores = queries @ torch.cat([positives, negatives]).mT
        every = target
        if width == "own":  # the documents of others have no score, and no probability
            every = torch.full_like(scores, -math.inf)
            place = torch.arange(ROWS)
            every[place, place], every[place, ROWS + place] = target.unbind(1)
        expected = listwise_matching_loss(scores, every, link, 0.5)
        assert_close(loss, expected)
        leaves = [queries, positives, negatives]
        for one, other in zip(*(torch.autograd.grad(x, leaves) for x in (loss, expected)), strict=True):
            assert_close(one, other, rtol=1e-9, atol=1e-12)


class Given(EchoCrossEncoder):
    """Gives documents that are numbers as their scores."""

    def preprocess(self, inputs: Any, prompt: str | None = None, task: str | None = None) -> dict[str, Tensor]:
        return {"scores": torch.stack([document for _, document in inputs])[:, None]}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return features
