"""SelectivePointwiseLoss as a module: its identities, its contract, and its errors."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
from torch import Tensor, nn

from selective_st.functional import matching_loss
from selective_st.links import IdentityLink, Interval, Link, PiecewiseLink, SigmoidLink, high_scores, score_region
from selective_st.losses import SelectivePointwiseLoss
from tests import random_inputs
from tests.tolerances import DTYPES, FEW, about, assert_close, largest

pytestmark = pytest.mark.numerical


class EchoModel(nn.Module):
    """Returns the embeddings it is given."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return features


def embeddings(columns: int, rows: int = 7, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    generator = random_inputs.generator(seed)
    return [torch.randn(rows, 16, generator=generator, dtype=dtype).requires_grad_() for _ in range(columns)]


def run(loss: nn.Module, columns: list[Tensor], labels: Any) -> Tensor:
    result = loss([{"sentence_embedding": column} for column in columns], labels)
    assert isinstance(result, Tensor)
    return result


def gradients(loss: Tensor, columns: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, columns))


class TestCosines:
    """The gradient by hand, beside that of `torch.cosine_similarity`."""

    LABELS = torch.linspace(0, 1, 7, dtype=torch.float64)

    def test_gradients_and_theirs(self) -> None:
        def loss(*columns: Tensor) -> Tensor:
            return SelectivePointwiseLoss(EchoModel()).compute_loss_from_embeddings(list(columns), self.LABELS)

        anchors, documents = embeddings(2)
        assert torch.autograd.gradcheck(loss, (anchors, documents))
        assert torch.autograd.gradgradcheck(loss, (anchors, documents))
        assert torch.autograd.gradgradcheck(loss, (anchors, documents.detach()))
        both, one = (loss(anchors, other) for other in (documents, documents.detach()))
        assert torch.equal(*(torch.autograd.grad(value, anchors)[0] for value in (both, one)))

    @pytest.mark.parametrize("length", [0.0, 1e-6, 1e20])
    def test_of_no_length_and_odd_ones(self, length: float) -> None:
        anchors, documents = (column.detach() for column in embeddings(2))
        columns = [(anchors * length).requires_grad_(), documents.requires_grad_()]
        ours = run(SelectivePointwiseLoss(EchoModel(), IdentityLink()), columns, self.LABELS)
        theirs = matching_loss(torch.cosine_similarity(*columns), self.LABELS, IdentityLink())
        assert_close(ours, theirs)
        for mine, other in zip(gradients(ours, columns), gradients(theirs, columns), strict=True):
            assert_close(mine, other)


class TestShortEmbeddings:
    """A cosine's gradient where an embedding is about as short as what is divided by instead of its length, or 0."""

    @pytest.mark.parametrize("length", [1.0, 2e-8, 5e-9, 1e-10, 2e-12, 5e-13, 1e-15, 1e-18])
    @pytest.mark.parametrize("similarity", [torch.cosine_similarity, util.pairwise_cos_sim])
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_is_that_of_the_similarity(self, similarity: Any, dtype: torch.dtype, length: float) -> None:
        columns = [length * embeddings(2, 5)[0].detach(), embeddings(2, 5)[1].detach()]
        columns = [column.to(dtype).requires_grad_() for column in columns]
        labels = torch.rand(5).to(dtype)
        ours = run(SelectivePointwiseLoss(EchoModel(), IdentityLink(), similarity_fct=similarity), columns, labels)
        theirs = matching_loss(similarity(*columns), labels, IdentityLink())
        for one, other in zip(gradients(ours, columns), gradients(theirs, columns), strict=True):
            assert_close(one, other)

    def test_second_derivatives_of_lists_are_finite_at_0(self) -> None:
        columns = [column.detach() for column in embeddings(3)]
        columns[0][0], columns[1][1] = 0, 0
        columns = [column.requires_grad_() for column in columns]
        loss = run(SelectivePointwiseLoss(EchoModel(), high_scores()), columns, torch.rand(7, 2, dtype=torch.float64))
        firsts = torch.autograd.grad(loss, columns, create_graph=True)
        for second in torch.autograd.grad(sum(first.square().sum() for first in firsts), columns):
            assert second.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
class TestIdentities:
    @pytest.mark.parametrize("rows", [1, 2, 64, 513])
    @pytest.mark.parametrize("similarity", [torch.cosine_similarity, util.pairwise_cos_sim])
    def test_half_of_cosine_similarity_loss(self, dtype: torch.dtype, rows: int, similarity: Any) -> None:
        columns = embeddings(2, rows, dtype, seed=rows)
        labels = torch.rand(rows).to(dtype)  # CosineSimilarityLoss rounds labels to single precision
        ours = run(SelectivePointwiseLoss(EchoModel(), IdentityLink(), similarity_fct=similarity), columns, labels)
        theirs = run(CosineSimilarityLoss(EchoModel()), columns, labels) / 2
        residual = float(theirs.detach()) ** 0.5  # of scores of about 1 and their labels
        assert_close(ours, theirs, FEW + rows, size=residual, check_dtype=False)
        for one, other in zip(gradients(ours, columns), gradients(theirs, columns), strict=True):
            assert one.abs().sum() > 0
            assert_close(one, other, size=1 / rows)

    @pytest.mark.parametrize("rows", [1, 64])
    @pytest.mark.parametrize(("scale", "shift"), [(20.0, 0.5), (3.0, -0.2)])
    def test_binary_cross_entropy_of_the_logit(self, dtype: torch.dtype, rows: int, scale: float, shift: float) -> None:
        columns = embeddings(2, rows, dtype)
        labels = torch.randint(2, (rows,))
        loss = SelectivePointwiseLoss(EchoModel(), SigmoidLink(scale, shift), targets="link_values")
        ours = run(loss, columns, labels)
        logits = scale * (torch.cosine_similarity(*columns) - shift)
        theirs = nn.functional.binary_cross_entropy_with_logits(logits, labels.to(dtype)) / scale
        reach = largest(logits)
        assert_close(ours, theirs, exponent=reach, size=1 / scale)
        for one, other in zip(gradients(ours, columns), gradients(theirs, columns), strict=True):
            assert_close(one, other, exponent=reach, size=1 / rows)


class TestInputs:
    def test_n_documents_are_n_pairs(self) -> None:
        columns = embeddings(4)
        labels = torch.rand(7, 3, dtype=torch.float64)
        loss = SelectivePointwiseLoss(EchoModel(), high_scores())
        ours = run(loss, columns, labels)
        pairs = [run(loss, [columns[0], columns[i + 1]], labels[:, i]) for i in range(3)]
        assert_close(ours, sum(pairs) / 3)
        assert all(gradient.abs().sum() > 0 for gradient in gradients(ours, columns))

    def test_the_order_of_documents_does_not_matter(self) -> None:
        columns, labels = embeddings(4), torch.rand(7, 3, dtype=torch.float64)
        loss = SelectivePointwiseLoss(EchoModel(), high_scores())
        turned = run(loss, [columns[i] for i in (0, 3, 1, 2)], labels[:, [2, 0, 1]])
        assert_close(turned, run(loss, columns, labels))

    def test_padding_is_removed(self) -> None:
        columns, labels = embeddings(3), torch.rand(7, 2, dtype=torch.float64)
        labels[2:, 1] = math.nan
        loss = SelectivePointwiseLoss(EchoModel(), high_scores())
        scores = torch.stack([torch.cosine_similarity(columns[0], other) for other in columns[1:]], 1)
        mask = ~labels.isnan()
        ours = run(loss, columns, labels)
        assert_close(ours, matching_loss(scores[mask], labels[mask], high_scores()))
        to_padded = gradients(ours, columns)[2]
        assert (to_padded[2:] == 0).all()
        assert (to_padded[:2] != 0).any()

    def test_a_column_of_labels(self) -> None:
        columns, labels = embeddings(2), torch.rand(7, dtype=torch.float64)
        loss = SelectivePointwiseLoss(EchoModel())
        assert_close(run(loss, columns, labels.view(7, 1)), run(loss, columns, labels))

    def test_the_batch_is_its_rows(self) -> None:
        columns, labels = embeddings(2), torch.rand(7, dtype=torch.float64)
        loss = SelectivePointwiseLoss(EchoModel(), score_region(0.2, 0.4))
        rows = [run(loss, [column[i : i + 1] for column in columns], labels[i : i + 1]) for i in range(7)]
        assert_close(run(loss, columns, labels), sum(rows) / 7)

    def test_defaults(self) -> None:
        assert SelectivePointwiseLoss(EchoModel()).link == high_scores()
        assert SelectivePointwiseLoss(EchoModel(), targets="link_values").link == SigmoidLink(20, 0.5)

    def test_a_transformed_score_and_another_similarity(self) -> None:
        class Half(nn.Module):
            def forward(self, score: Tensor) -> Tensor:
                return 1 + 2 * score

        columns, labels = embeddings(2), 5 * torch.rand(7, dtype=torch.float64)
        loss = SelectivePointwiseLoss(
            EchoModel(), IdentityLink(), cos_score_transformation=Half(), similarity_fct=util.pairwise_dot_score
        )
        expected = ((1 + 2 * (columns[0] * columns[1]).sum(1) - labels) ** 2).mean() / 2
        assert_close(run(loss, columns, labels), expected)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_scores_are_computed_in_single(self, dtype: torch.dtype) -> None:
        columns = [column.detach().to(dtype).requires_grad_() for column in embeddings(2)]
        labels = torch.rand(7)
        ours = run(SelectivePointwiseLoss(EchoModel()), columns, labels)
        assert ours.dtype == torch.float32
        scores = torch.cosine_similarity(columns[0].float(), columns[1].float())
        assert_close(ours, matching_loss(scores, labels, high_scores()))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            under_autocast = run(SelectivePointwiseLoss(EchoModel()), columns, labels)
        assert_close(under_autocast, ours, 0)


class TestContract:
    def test_config_is_json(self) -> None:
        config = SelectivePointwiseLoss(EchoModel(), high_scores()).get_config_dict()
        assert json.loads(json.dumps(config, allow_nan=False)) == {
            "link": {
                "type": "WeightedSumLink",
                "weights": [about(5 / (math.exp(5) - 1) / 5, torch.float64)],
                "links": [{"type": "ExponentialLink", "scale": 5.0}],
            },
            "cos_score_transformation": "torch.nn.modules.linear.Identity",
            "similarity_fct": "cosine_similarity",
            "targets": "scores",
        }

    def test_citation(self) -> None:
        citation = SelectivePointwiseLoss(EchoModel()).citation
        assert "eprint={2506.04446}" in citation
        assert citation.strip().startswith("@misc{")

    def test_it_keeps_the_model_and_has_no_loss_attribute(self, static_model: SentenceTransformer) -> None:
        loss = SelectivePointwiseLoss(static_model)
        assert loss.model is static_model
        assert not hasattr(loss, "loss")
        assert [name for name, _ in loss.named_parameters()] == ["model.0.embedding.weight"]

    def test_a_real_model(self, transformer_model: SentenceTransformer) -> None:
        features = [transformer_model.preprocess(texts) for texts in (["a man"], ["a car today"])]
        loss = SelectivePointwiseLoss(transformer_model)(features, torch.tensor([0.7]))
        loss.backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in transformer_model.parameters())


class TestErrors:
    @pytest.mark.parametrize(
        ("columns", "labels", "error", "message"),
        [
            (
                2,
                torch.tensor([0.0, 1, 5, 2, 3, 4, 0]),
                ValueError,
                r"within \[-1, 1\], the range of cosine_similarity.*from 0 to 5",
            ),
            (
                2,
                torch.tensor([0.0, 1, 5, 2, 3, 4, 0]),
                ValueError,
                r"at least that wide.*ends of the whole column's scale.*On the command line say --score-range LOW,HIGH",
            ),
            (2, torch.tensor([math.nan] * 7), ValueError, r"NaN in row\(s\) 0, 1, 2, 3, 4 of the batch"),
            (2, torch.tensor([0.1, math.nan, 0, 0, 0, 0, 0]), ValueError, r"NaN in row\(s\) 1 of the batch"),
            (2, torch.tensor([0.1, math.inf, 0, 0, 0, 0, 0]), ValueError, "labels must be finite"),
            (2, torch.ones(7, dtype=torch.int64), TypeError, "labels must be floats .* got torch.int64.*link_values"),
            (2, torch.ones(7, dtype=torch.bool), TypeError, "labels must be floats"),
            (2, torch.ones(7, dtype=torch.complex64), TypeError, "labels must be floats"),
            (
                2,
                torch.ones(6),
                ValueError,
                r"labels must have shape \(7,\) or \(7, 1\) for 2 text columns .*got \(6,\)",
            ),
            (2, torch.ones(7, 2), ValueError, r"got \(7, 2\)"),
            (2, torch.tensor(1.0), ValueError, r"got \(\)"),
            (2, None, TypeError, 'a column named "label", "labels", "score" or "scores"'),
            (2, [0.1] * 7, TypeError, "labels must be a tensor, got list"),
            (3, torch.ones(7), ValueError, r"labels must have shape \(7, 2\) for 3 text columns .*Remove text columns"),
            (1, torch.ones(7), ValueError, r"but the dataset has 1 text column\(s\)"),
            (0, torch.ones(7), ValueError, r"but the dataset has 0 text column\(s\)"),
        ],
    )
    def test_scores(self, columns: int, labels: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            SelectivePointwiseLoss(EchoModel()).compute_loss_from_embeddings(embeddings(columns), labels)

    def test_link_values_outside_the_range(self) -> None:
        loss = SelectivePointwiseLoss(EchoModel(), SigmoidLink(), targets="link_values")
        with pytest.raises(
            ValueError, match=r'within \[0, 1\], the range of SigmoidLink\(.*\(targets="link_values"\).*-1 to 1'
        ):
            run(loss, embeddings(2), torch.tensor([-1, 1, 1, 1, 1, 1, 1]))
        # A rounding error is no mistake.
        labels = torch.full((7,), 1 + 1e-6, dtype=torch.float64)
        assert_close(run(loss, embeddings(2), labels), run(loss, embeddings(2), torch.ones(7)))

    def test_labels_outside_the_links_domain(self) -> None:
        class PositiveLink(Link):
            domain = Interval(0.0, 1.0)

            def h(self, z: Tensor) -> Tensor:
                return z.sqrt()

        def dot(link: Link) -> SelectivePointwiseLoss:
            return SelectivePointwiseLoss(EchoModel(), link, similarity_fct=util.pairwise_dot_score)

        with pytest.raises(ValueError, match=r"within \[0, 1\], the domain of PositiveLink\(\), but .* from -0.5 to 1"):
            run(dot(PositiveLink()), embeddings(2), torch.tensor([-0.5, 1, 1, 1, 1, 1, 1]))
        with pytest.raises(
            ValueError, match=r"SelectivePointwiseLoss: scores and labels must lie within the link's domain"
        ):
            run(dot(PositiveLink()), embeddings(2), torch.rand(7))
        with pytest.raises(ValueError, match=r"of cosine_similarity lie in \[-1, 1\], beyond the domain \[0, 1\]"):
            SelectivePointwiseLoss(EchoModel(), PositiveLink())
        bounded = SelectivePointwiseLoss(EchoModel(), PositiveLink().linear_outside(0.1, 1))
        assert run(bounded, embeddings(2), torch.rand(7)) > 0

    def test_an_empty_batch(self) -> None:
        with pytest.raises(ValueError, match="got an empty batch"):
            run(SelectivePointwiseLoss(EchoModel()), embeddings(2, rows=0), torch.zeros(0))

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"model": "all-MiniLM-L6-v2"}, TypeError, "model must be the SentenceTransformer to train, got str"),
            ({"link": "high"}, TypeError, "link must be a Link, got 'high'"),
            ({"link": {"type": "IdentityLink"}}, TypeError, "link_from_config"),
            ({"targets": "labels"}, ValueError, "targets must be one of 'scores', 'link_values', got 'labels'"),
            ({"similarity_fct": "cosine"}, TypeError, "similarity_fct must be a function of two tensors, got 'cosine'"),
            ({"cos_score_transformation": abs}, TypeError, "cos_score_transformation must be a torch.nn.Module"),
        ],
    )
    def test_arguments(self, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            SelectivePointwiseLoss(**{"model": EchoModel(), **arguments})

    def test_a_decreasing_link(self) -> None:
        class FallingLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return -z

        with pytest.raises(ValueError, match="FallingLink: a link must be nondecreasing"):
            SelectivePointwiseLoss(EchoModel(), FallingLink())


def test_a_similarity_of_all_against_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"similarity_fct must give one score a row, but cos_sim .*pairwise_cos_sim"):
        SelectivePointwiseLoss(EchoModel(), similarity_fct=util.cos_sim)

    def all_with_all(a: Tensor, b: Tensor) -> Tensor:
        return a @ b.mT

    loss = SelectivePointwiseLoss(EchoModel(), similarity_fct=all_with_all)
    with pytest.raises(ValueError, match=r"similarity_fct must give one score a row, .* gave shape \(7, 7\)"):
        run(loss, embeddings(2), torch.rand(7))


def test_the_tests_can_fail() -> None:
    """A loss that is wrong by a little is told apart by the identity test."""
    almost = PiecewiseLink([0.0, 1.0], [1.0, 1.001])
    columns, labels = embeddings(2), torch.rand(7).double()
    ours = run(SelectivePointwiseLoss(EchoModel(), almost), columns, labels)
    theirs = run(CosineSimilarityLoss(EchoModel()), columns, labels) / 2
    with pytest.raises(AssertionError):
        assert_close(ours, theirs, check_dtype=False)
