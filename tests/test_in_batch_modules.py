"""The in-batch loss modules: texts told apart, settings changed later, and what they say of odd data."""

from __future__ import annotations

import copy
import logging
import math

import pytest
import torch
from sentence_transformers import SentenceTransformer, util
from torch import Tensor

from selective_st.functional import in_batch_loss
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Interval, Link
from selective_st.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
)
from selective_st.losses._common import text_ids
from tests.test_pointwise_loss import EchoModel, embeddings
from tests.tolerances import assert_close, operations_of

pytestmark = pytest.mark.numerical


class TestTextsToldApart:
    TEXTS = ("a man is here", "a man", "a man is here", "here is a man", "a")

    def check(self, ids: Tensor | None) -> None:
        assert ids is not None
        assert ids.shape == (5,)
        assert ids[0] == ids[2]
        assert len(ids.unique()) == 4

    def test_padded(self, transformer_model: SentenceTransformer) -> None:
        features = transformer_model.preprocess(list(self.TEXTS))
        ids = text_ids(features)
        self.check(ids)
        # Padding on the left or longer padding changes nothing.
        wide = {name: torch.nn.functional.pad(features[name], (3, 2)) for name in ("input_ids", "attention_mask")}
        assert_close(text_ids(wide), ids)

    def test_static(self, static_model: SentenceTransformer) -> None:
        self.check(text_ids(static_model.preprocess(list(self.TEXTS))))

    def test_unpadded(self, transformer_model: SentenceTransformer) -> None:
        features = transformer_model.preprocess(list(self.TEXTS))
        lengths = features["attention_mask"].sum(1)
        tokens = features["input_ids"][features["attention_mask"].bool()]
        ends = torch.cat([torch.zeros(1, dtype=torch.int32), lengths.cumsum(0).int()])
        ids = text_ids({"input_ids": tokens[None], "cu_seq_lens_q": ends})
        self.check(ids)
        assert_close(ids, text_ids(features))

    def test_every_token_counts(self) -> None:
        """The token 0 too, which is no padding for some tokenizers: neither at the end nor before others."""
        tokens = torch.tensor([[5, 0, 0], [5, 0, 0], [0, 5, 0], [5, 0, 5], [5, 5, 0]])
        mask = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]])
        ids = text_ids({"input_ids": tokens, "attention_mask": mask})
        assert ids is not None
        assert len(ids.unique()) == 5
        flat, offsets = tokens[mask.bool()], torch.tensor([0, 1, 3, 5, 8])
        in_one_sequence = text_ids({"input_ids": flat, "offsets": offsets})
        assert in_one_sequence is not None
        assert torch.equal(in_one_sequence, ids)

    def test_images_are_not_told_apart_by_their_placeholders(self) -> None:
        tokens = {"input_ids": torch.ones(4, 7, dtype=torch.int64), "attention_mask": torch.ones(4, 7)}
        assert text_ids({**tokens, "pixel_values": torch.rand(4, 3, 8, 8)}) is None
        assert text_ids({"sentence_embedding": torch.rand(4, 3)}) is None

    @pytest.mark.parametrize("cached", [False, True])
    def test_the_same_text_is_no_negative(self, transformer_model: SentenceTransformer, cached: bool) -> None:
        texts = [["man", "a car", "today"], ["a man", "the car", "a man"]]

        def value(mask: bool, rows: list[int]) -> Tensor:
            features = [transformer_model.preprocess([column[i] for i in rows]) for column in texts]
            kind = CachedSelectiveMultipleNegativesRankingLoss if cached else SelectiveMultipleNegativesRankingLoss
            result: Tensor = kind(transformer_model, mask_same_text=mask)(features, None)
            return result

        columns = [transformer_model.encode(column, convert_to_tensor=True) for column in texts]
        expected = in_batch_loss(
            columns[0],
            columns[1],
            ExponentialLink(1.0).normalized(0, 1, of="value"),
            document_ids=torch.tensor([0, 1, 0]),
            normalize=True,
        )
        assert_close(value(True, [0, 1, 2]), expected, operations_of(transformer_model), exponent=20.0)
        assert value(False, [0, 1, 2]) > expected + 1e-3

    def test_duplicates_are_warned_of_once(
        self, static_model: SentenceTransformer, caplog: pytest.LogCaptureFixture
    ) -> None:
        loss = SelectiveMultipleNegativesRankingLoss(static_model)
        features = [static_model.preprocess(texts) for texts in (["man", "car"], ["a man", "a man"])]
        with caplog.at_level(logging.WARNING):
            loss(features, None)
            loss([static_model.preprocess(texts) for texts in (["man", "car"], ["a man", "a man"])], None)
        assert [record.message.split(":")[0] for record in caplog.records] == ["SelectiveMultipleNegativesRankingLoss"]
        assert "1 of the 2 positives of the first batch have the text of another" in caplog.text
        assert "mask_same_text=True" in caplog.text


class TestSettingsChangedLater:
    def test_scale(self) -> None:
        loss = SelectiveMultipleNegativesRankingLoss(EchoModel())
        columns = embeddings(2)
        loss.scale = 5.0
        changed = loss.compute_loss_from_embeddings(columns, None)
        assert_close(
            changed, SelectiveMultipleNegativesRankingLoss(EchoModel(), 5.0).compute_loss_from_embeddings(columns, None)
        )
        assert loss.get_config_dict()["scale"] == 5.0
        for wrong in (0, -1, math.nan):
            with pytest.raises(ValueError, match="scale must be a finite number > 0"):
                loss.scale = wrong

    def test_the_calibration_follows_the_link(self) -> None:
        loss = SelectiveListwiseLoss(EchoModel())
        loss.link = IdentityLink()
        assert loss.calibration_link == IdentityLink()

    def test_a_copy_is_the_same_loss(self) -> None:
        loss = SelectiveMultipleNegativesRankingLoss(EchoModel(), hardness_mode="all_negatives", hardness_strength=2.0)
        columns = embeddings(3)
        assert_close(
            copy.deepcopy(loss).compute_loss_from_embeddings(columns, None),
            loss.compute_loss_from_embeddings(columns, None),
        )


class TestOddInput:
    def test_integer_labels_are_said_not_to_be_used(self, caplog: pytest.LogCaptureFixture) -> None:
        loss = SelectiveMultipleNegativesRankingLoss(EchoModel())
        columns = embeddings(2)
        with caplog.at_level(logging.WARNING):
            value = loss.compute_loss_from_embeddings(columns, torch.ones(7, dtype=torch.int64))
        assert_close(value, loss.compute_loss_from_embeddings(columns, None))
        assert "dataset = dataset.remove_columns(next(name for name in " in caplog.text

    def test_a_similarity_of_the_wrong_kind(self) -> None:
        for wrong in (util.pairwise_euclidean_sim, util.pairwise_cos_sim, torch.cosine_similarity):
            with pytest.raises(ValueError, match="similarity_fct must compare all with all"):
                SelectiveMultipleNegativesRankingLoss(EchoModel(), similarity_fct=wrong)
        with pytest.raises(ValueError, match="similarity_fct must give one score a row, but euclidean_sim"):
            SelectiveListwiseLoss(EchoModel(), similarity_fct=util.euclidean_sim)

        def row_by_row(a: Tensor, b: Tensor) -> Tensor:
            return (a * b).sum(-1)

        loss = SelectiveMultipleNegativesRankingLoss(EchoModel(), similarity_fct=row_by_row)
        with pytest.raises(ValueError, match=r"similarity_fct must compare all with all, giving shape \(7, 7\)"):
            loss.compute_loss_from_embeddings(embeddings(2), None)

    def test_normalize_with_a_similarity_of_ones_own(self) -> None:
        queries, documents = embeddings(2)
        own = in_batch_loss(queries, documents, ConstantLink(), similarity_fct=lambda a, b: a @ b.mT, normalize=True)
        assert_close(own, in_batch_loss(queries, documents, ConstantLink(), normalize=True))

    @pytest.mark.parametrize("form", ["fused", "plain"])
    def test_the_calibration_links_domain(self, form: str) -> None:
        class Root(Link):
            domain = Interval(0.0, 1.0)

            def h(self, z: Tensor) -> Tensor:
                return z.sqrt()

        queries, documents = embeddings(2)
        with pytest.raises(ValueError, match=r"within the .*domain \[0, 1\]"):
            in_batch_loss(
                queries, documents, ConstantLink(), target_scores=torch.rand(7, 1), calibration_link=Root(),
                normalize=True, form=form,  # type: ignore[arg-type]
            )  # fmt: skip

    @pytest.mark.parametrize("form", ["fused", "plain"])
    def test_a_negative_link_where_not_all_is_taught(self, form: str) -> None:
        queries, documents = embeddings(2)
        targets = torch.rand(7, 7)
        taught = in_batch_loss(queries, documents, IdentityLink(), target_scores=targets, form=form)  # type: ignore[arg-type]
        assert taught.isfinite()
        for options in ({"directions": ("query_to_doc", "doc_to_query")}, {"target_scores": None}):
            with pytest.raises(ValueError, match="link must not be negative"):
                in_batch_loss(queries, documents, IdentityLink(), form=form, **{"target_scores": targets, **options})  # type: ignore[call-overload]
        targets[0, 3] = math.nan
        with pytest.raises(ValueError, match="link must not be negative"):
            in_batch_loss(queries, documents, IdentityLink(), target_scores=targets, form=form)  # type: ignore[arg-type]

    def test_label_range(self) -> None:
        with pytest.raises(ValueError, match="label_range must be two numbers"):
            SelectiveListwiseLoss(EchoModel(), label_range=5)  # type: ignore[arg-type]
