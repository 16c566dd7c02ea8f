"""A loss's settings: assigned after construction, refused where a link cannot be right, named as the user does."""

from __future__ import annotations

import copy
import logging
import math
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Normalize
from sentence_transformers.multi_vector_encoder.scoring import colbert_scores_pairwise, mean_colbert_scores_pairwise
from sentence_transformers.util import cos_sim, dot_score, pairwise_cos_sim, pairwise_dot_score
from torch import Tensor, nn
from torch.testing import assert_close

from selective_st.cross_encoder import losses as cross
from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    IdentityLink,
    Interval,
    Link,
    SigmoidLink,
    high_scores,
    low_scores,
    score_region,
)
from selective_st.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from selective_st.multi_vector_encoder import losses as multi_vector
from selective_st.sparse_encoder import losses as sparse
from tests.loss_cases import LOSS_CASES, EchoCrossEncoder, EchoModel, LossCase
from tests.loss_properties import columns_for, labels_for, value
from tests.model_types import table_model

MODEL: Any = EchoModel()
DIM = 8


def embeddings(columns: int, rows: int = 6) -> list[Tensor]:
    return list(torch.randn(columns, rows, DIM))


class TestAssigning:
    @pytest.mark.parametrize(
        ("make", "changes"),
        [
            (SelectivePointwiseLoss, {"similarity_fct": pairwise_dot_score}),
            (SelectivePointwiseLoss, {"link": score_region(0.6, 0.8), "cos_score_transformation": nn.Sigmoid()}),
            (SelectivePointwiseLoss, {"targets": "link_values"}),
            (SelectivePairwiseLoss, {"similarity_fct": pairwise_cos_sim, "temperature": 0.1}),
            (SelectivePairwiseLoss, {"targets": "scores", "calibration": 0.2, "calibration_link": high_scores()}),
            (SelectiveListwiseLoss, {"similarity_fct": pairwise_cos_sim, "temperature": 0.1}),
            (SelectiveListwiseLoss, {"label_range": (0, 5), "teacher_temperature": 0.3}),
            (SelectiveListwiseLoss, {"targets": "labels", "label_smoothing": 0.1}),
            (SelectiveMultipleNegativesRankingLoss, {"similarity_fct": dot_score, "scale": 1.0}),
            (
                SelectiveMultipleNegativesRankingLoss,
                {
                    "directions": ("query_to_doc", "doc_to_query"),
                    "partition_mode": "per_direction",
                    "hardness_mode": "hard_negatives",
                    "hardness_strength": 3.0,
                    "label_smoothing": 0.1,
                    "mask_same_text": True,
                    "link": ExponentialLink(2.0),
                },
            ),
            (CachedSelectiveMultipleNegativesRankingLoss, {"mini_batch_size": 4, "hardness_mode": None}),
            (sparse.SelectiveMultipleNegativesRankingLoss, {"similarity_fct": cos_sim, "scale": 20.0}),
            (sparse.SelectivePointwiseLoss, {"similarity_fct": pairwise_cos_sim}),
            (partial(cross.SelectivePointwiseLoss, EchoCrossEncoder()), {"activation_fn": nn.Identity()}),
            (partial(cross.SelectiveListwiseLoss, EchoCrossEncoder()), {"label_range": (0, 3), "mini_batch_size": 2}),
            (partial(cross.SelectiveMultipleNegativesRankingLoss, EchoCrossEncoder()), {"num_negatives": 2}),
            (multi_vector.SelectivePointwiseLoss, {"similarity_fct": colbert_scores_pairwise, "mini_batch_size": 3}),
        ],
    )
    def test_as_if_made_so(self, make: Callable[..., Any], changes: dict[str, Any]) -> None:
        make = make if isinstance(make, partial) else partial(make, MODEL)
        loss, expected = make(), make(**changes)
        before = loss.get_config_dict()
        for name, setting in changes.items():
            setattr(loss, name, setting)
        assert loss.get_config_dict() == expected.get_config_dict() != before
        assert loss.link == expected.link
        assert loss.objective.space == expected.objective.space
        assert [name for name, _ in loss.named_modules()] == [name for name, _ in expected.named_modules()]

    def test_the_default_link_follows(self) -> None:
        loss = SelectivePairwiseLoss(MODEL, pairwise_cos_sim)
        assert loss.link == SelectivePairwiseLoss(MODEL, pairwise_cos_sim).link
        loss.similarity_fct = pairwise_dot_score
        assert loss.link == SelectivePairwiseLoss(MODEL).link != SelectivePairwiseLoss(MODEL, pairwise_cos_sim).link
        far = [50 * column for column in embeddings(3)]  # where the link for cosines overflows
        assert loss.compute_loss_from_embeddings(far, None).isfinite()
        given = SelectivePairwiseLoss(MODEL, pairwise_cos_sim, link=high_scores())
        given.similarity_fct = pairwise_dot_score
        assert given.link == high_scores()

    def test_the_range_of_labels_follows(self) -> None:
        loss, labels = SelectivePointwiseLoss(MODEL), torch.full((6,), 3.0)
        with pytest.raises(ValueError, match=r"labels must lie within \[-1, 1\], the range of cosine_similarity"):
            loss.compute_loss_from_embeddings(embeddings(2), labels)
        loss.link, loss.similarity_fct = high_scores().linear_outside(0, 1), pairwise_dot_score
        assert loss.compute_loss_from_embeddings(embeddings(2), labels) > 0
        lists = SelectiveListwiseLoss(MODEL)
        assert lists.compute_loss_from_embeddings(embeddings(3), torch.full((6, 2), 3.0)) > 0
        lists.similarity_fct = pairwise_cos_sim
        with pytest.raises(ValueError, match=r"labels must lie within \[-1, 1\], the range of pairwise_cos_sim"):
            lists.compute_loss_from_embeddings(embeddings(3), torch.full((6, 2), 3.0))

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            (
                "similarity_fct",
                pairwise_cos_sim,
                "similarity_fct must compare all with all, but pairwise_cos_sim gives",
            ),
            ("similarity_fct", "cosine", "similarity_fct must be a function of two tensors, got 'cosine'"),
            ("directions", ("doc_to_query",), 'directions must include "query_to_doc"'),
            ("partition_mode", "each", "partition_mode must be one of"),
            ("hardness_mode", "some", "hardness_mode must be one of None, 'in_batch"),
            ("hardness_strength", -1.0, "hardness_strength must be a finite number >= 0, got -1"),
            ("scale", 0, "scale must be a finite number > 0"),
            ("label_smoothing", 2, "label_smoothing must be a number from 0 to 1"),
            ("link", IdentityLink(), r"link must not be negative on the scores, but IdentityLink\(\) is -1"),
            ("link", "exponential", "link must be a Link, got 'exponential'"),
        ],
    )
    def test_what_is_refused_changes_nothing(self, name: str, value: Any, message: str) -> None:
        loss = SelectiveMultipleNegativesRankingLoss(MODEL, directions=("query_to_doc", "doc_to_query"))
        before, state = loss.get_config_dict(), dict(vars(loss))
        with pytest.raises((TypeError, ValueError), match=message):
            setattr(loss, name, value)
        assert loss.get_config_dict() == before
        assert vars(loss) == state
        loss.scale = 10.0  # still checked together with what was there before
        assert loss.get_config_dict() == {**before, "scale": 10.0}

    def test_settings_that_exclude_each_other(self) -> None:
        loss = SelectiveMultipleNegativesRankingLoss(MODEL)
        loss.directions = ("query_to_doc", "query_to_query")
        with pytest.raises(ValueError, match="holds no positive"):
            loss.partition_mode = "per_direction"
        loss.directions = ("query_to_doc", "doc_to_query")
        loss.partition_mode = "per_direction"
        assert loss.objective.groups == (("query_to_doc",), ("doc_to_query",))

    def test_annealing(self, caplog: pytest.LogCaptureFixture) -> None:
        columns = embeddings(3)
        loss = SelectiveMultipleNegativesRankingLoss(MODEL, hardness_mode="hard_negatives", hardness_strength=1.0)
        with caplog.at_level(logging.WARNING):
            for strength in (2.0, 4.0, 9.0):
                loss.hardness_strength = strength
                expected = SelectiveMultipleNegativesRankingLoss(
                    MODEL, hardness_mode="hard_negatives", hardness_strength=strength
                )
                assert_close(
                    loss.compute_loss_from_embeddings(columns, None),
                    expected.compute_loss_from_embeddings(columns, None),
                    rtol=0,
                    atol=0,
                )
        assert not caplog.records

    def test_the_model_is_replaced_as_it_is(self) -> None:
        """As a trainer does with a compiled or a distributed one."""
        loss = SelectivePointwiseLoss(MODEL)
        wrapped = nn.Sequential(EchoModel())
        loss.model = wrapped
        loss.link = score_region(0.6, 0.8)
        assert loss.model is wrapped
        assert dict(loss.named_children())["model"] is wrapped

    def test_what_a_module_keeps(self) -> None:
        loss = SelectivePointwiseLoss(MODEL)
        calls: list[int] = []
        loss.register_forward_hook(lambda *_: calls.append(1))
        loss.eval()
        loss.targets = "link_values"
        loss([{"sentence_embedding": column} for column in embeddings(2)], torch.ones(6))
        assert calls == [1]
        assert not loss.training
        loss.note = "not a setting"
        assert loss.note == "not a setting"

    @pytest.mark.parametrize(
        "again", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))], ids=["copy", "pickle"]
    )
    def test_copies_are_checked_too(self, again: Callable[[Any], Any]) -> None:
        loss = again(SelectiveListwiseLoss(EchoModel(), pairwise_cos_sim, link=score_region(0.6, 0.8)))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="targets must be one of"):
            loss.targets = "ranks"
        loss.temperature = 0.5
        assert loss.student_temperature == loss.teacher_temperature == 0.5

    def test_a_subclass_that_hands_on_what_it_is_given(self) -> None:
        class Cosines(SelectivePairwiseLoss):
            def __init__(self, model: Any, **settings: Any) -> None:
                super().__init__(model, pairwise_cos_sim, **settings)

        loss = Cosines(MODEL, temperature=0.2, targets="scores")
        loss.temperature = 0.4
        assert loss.get_config_dict() == (
            SelectivePairwiseLoss(MODEL, pairwise_cos_sim, temperature=0.4, targets="scores").get_config_dict()
        )
        with pytest.raises(TypeError, match="sharpness"):
            Cosines(MODEL, sharpness=4.0)

    def test_a_module_in_the_place_of_none_and_back(self) -> None:
        loss = SelectivePointwiseLoss(MODEL)
        loss.cos_score_transformation = nn.Sigmoid()
        assert loss.objective.space.name.endswith("Sigmoid")
        assert isinstance(dict(loss.named_children())["cos_score_transformation"], nn.Sigmoid)
        loss.cos_score_transformation = None
        assert loss.objective.space == SelectivePointwiseLoss(MODEL).objective.space
        assert isinstance(loss.cos_score_transformation, nn.Identity)

    @pytest.mark.parametrize("case", LOSS_CASES, ids=lambda case: case.name)
    def test_every_setting_can_be_set_to_what_it_is(self, case: LossCase) -> None:
        loss = case.loss()
        config, expected = loss.get_config_dict(), value(case.loss(), columns_for(case), labels_for(case))
        for name, setting in dict(vars(loss)["_composed"]).items():
            setattr(loss, name, copy.copy(setting))
        assert loss.get_config_dict() == config
        assert_close(value(loss, columns_for(case), labels_for(case)), expected, rtol=0, atol=0)


NEGATIVE = [IdentityLink(), score_region(0.6, 0.8), low_scores(), SigmoidLink() + low_scores()]


class OnPositives(Link):
    """Negative only below -0.5."""

    domain = Interval(-1.0, 1.0)

    def h(self, z: Tensor) -> Tensor:
        return z + 0.5


def test_a_module_in_the_place_of_a_function_and_back() -> None:
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(0.5))

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return self.weight * pairwise_dot_score(a, b)

    module, loss = Weighted(), SelectivePointwiseLoss(MODEL)
    loss.similarity_fct = module
    assert loss.similarity_fct is module
    assert module.weight in set(loss.parameters())
    loss.similarity_fct = pairwise_cos_sim
    assert loss.similarity_fct is pairwise_cos_sim
    assert module.weight not in set(loss.parameters())


class TestLinksThatAreNegative:
    @pytest.mark.parametrize("link", [*NEGATIVE, OnPositives()], ids=repr)
    @pytest.mark.parametrize(
        "make",
        [
            partial(SelectiveMultipleNegativesRankingLoss, MODEL),
            partial(SelectiveListwiseLoss, MODEL, pairwise_cos_sim, targets="labels"),
            partial(cross.SelectivePairwiseLoss, EchoCrossEncoder(), nn.Tanh(), targets="order"),
            partial(cross.SelectiveListwiseLoss, EchoCrossEncoder(), nn.Tanh(), targets="labels"),
            partial(cross.SelectiveMultipleNegativesRankingLoss, EchoCrossEncoder(), activation_fn=nn.Tanh()),
            partial(cross.SelectiveCrossEntropyLoss, EchoCrossEncoder(4), nn.Tanh()),
        ],
    )
    def test_refused_when_the_loss_is_made(self, make: Callable[..., Any], link: Link) -> None:
        with pytest.raises(ValueError, match=r"link must not be negative on the scores, but .* at the score -1:"):
            make(link=link)

    @pytest.mark.parametrize("link", [*NEGATIVE, OnPositives()], ids=repr)
    def test_cosines_without_labels_at_step_0(self, link: Link) -> None:
        """Whatever the first scores are: here all are 1."""
        loss = SelectivePairwiseLoss(MODEL, pairwise_cos_sim, link=link)
        with pytest.raises(ValueError, match=r"SelectivePairwiseLoss: link must not be negative .* at the score -1:"):
            loss.compute_loss_from_embeddings([torch.ones(6, DIM)] * 3, None)
        # Margins and scores may be matched through any link.
        matched = SelectivePairwiseLoss(MODEL, pairwise_cos_sim, link=IdentityLink())
        margins = torch.rand(6) - 0.5
        columns = embeddings(3)
        scores = pairwise_cos_sim(columns[0], columns[1]) - pairwise_cos_sim(columns[0], columns[2])
        assert_close(matched.compute_loss_from_embeddings(columns, margins), ((scores - margins) ** 2).mean() / 2)

    @pytest.mark.parametrize("link", NEGATIVE, ids=repr)
    @pytest.mark.parametrize("labels", [None, torch.zeros(6, dtype=torch.long)], ids=["pairwise", "listwise"])
    def test_dot_products_at_step_0(self, link: Link, labels: Tensor | None) -> None:
        loss: Any = SelectivePairwiseLoss(MODEL, link=link)
        if labels is not None:
            loss = SelectiveListwiseLoss(MODEL, link=link, targets="labels")
        positive = [column.abs() + 1 for column in embeddings(3)]
        with pytest.raises(ValueError, match="link must not be negative on the scores"):
            loss.compute_loss_from_embeddings(positive, labels)

    def test_as_far_below_0_as_the_scores_lie_from_it(self) -> None:
        unit = torch.nn.functional.normalize(torch.ones(6, DIM), dim=1)
        loss = SelectivePairwiseLoss(MODEL, link=IdentityLink() + 1.01 * ConstantLink())  # of normalised embeddings
        assert loss.compute_loss_from_embeddings([unit] * 3, None) > 0

    def test_logits_at_step_0(self) -> None:
        columns = [[torch.ones(DIM)], [torch.ones(DIM)], [torch.ones(DIM)]]
        for loss in (
            cross.SelectivePairwiseLoss(EchoCrossEncoder(), link=IdentityLink()),  # type: ignore[arg-type]
            cross.SelectiveMultipleNegativesRankingLoss(EchoCrossEncoder(), activation_fn=None, link=IdentityLink()),  # type: ignore[arg-type]
        ):
            with pytest.raises(ValueError, match="link must not be negative on the scores"):
                loss(columns, None)

    def test_sparse_embeddings_are_not_negative(self) -> None:
        columns = [column.abs() for column in embeddings(3)]
        for loss in (
            sparse.SelectivePairwiseLoss(MODEL, link=IdentityLink()),
            sparse.SelectiveMultipleNegativesRankingLoss(MODEL, link=IdentityLink()),
            sparse.SelectiveListwiseLoss(MODEL, link=IdentityLink(), targets="labels"),
        ):
            labels = torch.zeros(6, dtype=torch.long) if "Listwise" in type(loss).__name__ else None
            assert loss.compute_loss_from_embeddings(columns, labels) > 0
        with pytest.raises(ValueError, match=r"is -0.0339 at the score 0:"):
            sparse.SelectiveMultipleNegativesRankingLoss(
                MODEL, link=0.034 * IdentityLink() + 0.0339 * ExponentialLink(-1.0)
            )

    def test_a_similarity_of_ones_own_is_asked_for_its_scores(self) -> None:
        def overlap(a: Tensor, b: Tensor) -> Tensor:
            return (a * b).sum(-1).abs()

        loss = SelectivePairwiseLoss(MODEL, overlap, link=IdentityLink())
        assert loss.compute_loss_from_embeddings(embeddings(3), None) > 0
        signed = SelectivePairwiseLoss(MODEL, lambda a, b: -(a * b).sum(-1).abs(), link=IdentityLink())
        with pytest.raises(ValueError, match="link must not be negative on the scores"):
            signed.compute_loss_from_embeddings(embeddings(3), None)

    def test_rounding_is_no_negative_link(self) -> None:
        """A cosine of -1.0000001, where the link is 0 at -1."""
        link = IdentityLink() + ConstantLink()
        unit = torch.tensor([[0.6, 0.8]]).expand(6, 2)
        loss = SelectivePairwiseLoss(MODEL, pairwise_cos_sim, link=link)
        below = SelectivePairwiseLoss(MODEL, lambda a, b: pairwise_cos_sim(a, b) * (1 + 5e-5), link=link)
        for each in (loss, below):
            assert each.compute_loss_from_embeddings([unit, -unit, unit], None) > 0
        far = SelectivePairwiseLoss(MODEL, lambda a, b: pairwise_cos_sim(a, b) * 1.01, link=link)
        with pytest.raises(ValueError, match="link must not be negative on the scores"):
            far.compute_loss_from_embeddings([unit, -unit, unit], None)


class TestNames:
    @pytest.mark.parametrize(
        ("make", "argument", "message"),
        [
            (
                SelectivePointwiseLoss,
                {"similarity_fn": None},
                "'similarity_fn'. Write similarity_fct=",
            ),
            (
                SelectivePointwiseLoss,
                {"temperature": 1.0},
                "arguments are, .* model, link, cos_score_transformation",
            ),
            (sparse.SelectiveListwiseLoss, {"loss_fct": None}, "^SelectiveListwiseLoss: got an unexpected"),
            (multi_vector.SelectivePointwiseLoss, {"loss_fct": None}, "^SelectivePointwiseLoss: got an unexpected"),
        ],
    )
    def test_unknown_arguments(self, make: Any, argument: dict[str, Any], message: str) -> None:
        with pytest.raises(TypeError, match=message):
            make(MODEL, **argument)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (
                lambda: SelectiveListwiseLoss(MODEL, targets="labels").compute_loss_from_embeddings(
                    embeddings(3), torch.full((6, 2), 0.3)
                ),
                'SelectiveListwiseLoss: labels must be .*For target scores use targets="scores"',
            ),
            (
                lambda: SelectiveListwiseLoss(MODEL, targets="labels").compute_loss_from_embeddings(
                    embeddings(3), torch.full((6,), 2)
                ),
                "SelectiveListwiseLoss: labels must be indices from 0 to 1",
            ),
            (
                lambda: cross.SelectiveCrossEntropyLoss(EchoCrossEncoder(4))(  # type: ignore[arg-type]
                    [list(torch.ones(6, DIM))] * 2, torch.full((6,), 7)
                ),
                "SelectiveCrossEntropyLoss: labels must be indices from 0 to 3",
            ),
            (
                lambda: SelectivePairwiseLoss(
                    MODEL, link=OnPositives(), targets="margins"
                ).compute_loss_from_embeddings([10 * column for column in embeddings(3)], torch.rand(6)),
                r"SelectivePairwiseLoss: scores and labels must lie within the link's domain \[-1, 1\]",
            ),
        ],
    )
    def test_the_loss_is_named_not_its_functions(self, call: Callable[[], Any], message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=message):
            call()

    def test_presets_are_named(self) -> None:
        for link, shown in (
            (score_region(0.6, 0.8), r"score_region\(0\.6, 0\.8\)"),
            (score_region(0.6, 0.8).linear_outside(-0.5, 1), r"LinearOutsideLink\(link=score_region\(0\.6, 0\.8\)"),
        ):
            with pytest.raises(ValueError, match=rf"but {shown}.* is -"):
                SelectiveMultipleNegativesRankingLoss(MODEL, link=link)
        assert repr(high_scores(3.0)) == "high_scores(strength=3.0)"
        assert repr(2 * (low_scores() + ConstantLink())) == "2 * (low_scores() + ConstantLink())"
        assert eval(repr(score_region(0.5, 2, score_range=(0, 5)))) == score_region(0.5, 2, score_range=(0, 5))


class TestWarnings:
    def warned(self, caplog: pytest.LogCaptureFixture, loss: Any, columns: list[Tensor], labels: Tensor) -> str:
        with caplog.at_level(logging.WARNING):
            loss.compute_loss_from_embeddings(columns, labels)
        text = caplog.text
        caplog.clear()
        return text

    def test_a_temperature_of_another_size(self, caplog: pytest.LogCaptureFixture) -> None:
        loss, labels = SelectiveListwiseLoss(MODEL, temperature=0.001, link=ConstantLink()), torch.rand(6, 4)
        text = self.warned(caplog, loss, embeddings(5), labels)
        assert "the order of the others is not learned" in text
        assert "try teacher_temperature=" in text

    def test_of_two_there_are_no_others(self, caplog: pytest.LogCaptureFixture) -> None:
        loss = SelectiveListwiseLoss(MODEL, temperature=0.001)
        assert not self.warned(caplog, loss, embeddings(3), torch.rand(6, 2))
        padded = torch.rand(6, 3)
        padded[:, 1] = math.nan
        again = SelectiveListwiseLoss(MODEL, temperature=0.001)
        assert not self.warned(caplog, again, embeddings(4), padded)

    @pytest.mark.parametrize("documents", [1, 3])
    def test_float_labels_beside_pairs(self, caplog: pytest.LogCaptureFixture, documents: int) -> None:
        loss = SelectiveMultipleNegativesRankingLoss(MODEL)
        labels = torch.rand(6, documents).squeeze(1)
        text = self.warned(caplog, loss, embeddings(1 + documents), labels)
        assert "are taken for a teacher's scores" in text
        assert "dataset = dataset.remove_columns(" in text
        assert not self.warned(caplog, loss, embeddings(1 + documents), labels)  # said once
        with pytest.raises(ValueError, match="in this batch all are 1, which teaches nothing"):
            SelectiveMultipleNegativesRankingLoss(MODEL).compute_loss_from_embeddings(
                embeddings(1 + documents), torch.ones_like(labels)
            )

    def test_one_float_label_may_be_equal_to_itself(self) -> None:
        loss = SelectiveMultipleNegativesRankingLoss(MODEL)
        assert loss.compute_loss_from_embeddings(embeddings(2, rows=1), torch.ones(1)) > 0


def test_mean_maxsim_of_normalised_tokens_is_a_cosine() -> None:
    weight = torch.randn(4, 3, DIM)
    plain: Any = table_model("MultiVectorEncoder", weight)
    unit = MultiVectorEncoder(modules=[*table_model("MultiVectorEncoder", weight), Normalize("token_embeddings")])
    features = [unit.preprocess(["0", "1"]), unit.preprocess(["2", "3"])]
    grades = torch.tensor([0.0, 5.0])
    for make, labels, columns in (
        (multi_vector.SelectivePointwiseLoss, grades, features),
        (partial(multi_vector.SelectivePairwiseLoss, targets="scores"), grades.expand(2, 2), [*features, features[1]]),
    ):
        of_means = make(unit, similarity_fct=mean_colbert_scores_pairwise)
        with pytest.raises(
            ValueError, match=r"labels must lie within \[-1, 1\], the range of mean_colbert_scores_pairw"
        ):
            of_means([dict(column) for column in columns], labels)
        assert of_means([dict(column) for column in columns], labels / 5) > 0
        # Sums over tokens can reach them, and so can what has not the length 1.
        for other in (
            make(unit, similarity_fct=colbert_scores_pairwise),
            make(plain, similarity_fct=mean_colbert_scores_pairwise),
        ):
            assert other([dict(column) for column in columns], labels) > 0
