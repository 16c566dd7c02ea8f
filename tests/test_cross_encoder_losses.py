"""The losses for a CrossEncoder as modules: lists of any lengths, inputs, training, cards, and bad input."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder import losses as builtin
from torch import Tensor, nn

import selective_st.losses
from selective_st.cross_encoder import losses as ours
from selective_st.functional import listwise_label_loss, listwise_matching_loss
from selective_st.links import (
    ConstantLink,
    IdentityLink,
    Interval,
    Link,
    SigmoidLink,
    SinhLink,
    high_scores,
    link_from_config,
)
from selective_st.model_card import SelectiveModelCardCallback
from tests import random_inputs
from tests.loss_cases import LOSS_CASES, EchoCrossEncoder, LossCase
from tests.loss_properties import ROWS, columns_for, labels_for, leaves, pairs_in
from tests.model_types import cross_encoder, model_for, sentence
from tests.tolerances import assert_close, assert_same_step, assert_within, operations_of, rounding

pytestmark = pytest.mark.numerical

CASES = [case for case in LOSS_CASES if case.model_type == "CrossEncoder"]
EVERY = [getattr(ours, name) for name in ours.__all__]
OF_SCORES = [each for each in EVERY if each is not ours.SelectiveCrossEntropyLoss]
every_loss = pytest.mark.parametrize("make", EVERY, ids=lambda make: make.__name__)
every_loss_of_scores = pytest.mark.parametrize("make", OF_SCORES, ids=lambda make: make.__name__)
LENGTHS = [3, 1, 4, 2, 4, 2]


def echo(make: Any, **arguments: Any) -> Any:
    return make(EchoCrossEncoder(4 if make is ours.SelectiveCrossEntropyLoss else 1), **arguments)


def texts(start: int, rows: int = 4) -> list[str]:
    return [sentence(start + row) for row in range(rows)]


class OfProbabilities(Link):
    domain = Interval(0.0, 1.0)

    def h(self, z: Tensor) -> Tensor:
        return z


class ScoresGiven(nn.Module):
    """Scores the pair of a query and a number as the number says."""

    device = torch.device("cpu")
    num_labels = 1

    def preprocess(self, inputs: Any, prompt: str | None = None, task: str | None = None) -> dict[str, Tensor]:
        self.seen = (len(inputs), prompt, task)
        return {"scores": torch.stack([document for _, document in inputs]).unsqueeze(1)}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return features


def assert_vanishes(loss: Tensor, elsewhere: Tensor) -> None:
    """That scores reach their targets up to rounding, in which a divergence is quadratic; elsewhere it is so large."""
    assert_close(loss, torch.zeros_like(loss), size=rounding(loss.dtype) * float(elsewhere))


def ragged(case: LossCase) -> tuple[list[Tensor], list[Any], list[Any], list[Tensor]]:
    """Leaves, queries, lists of documents of different lengths, and their labels."""
    documents = max(LENGTHS)
    columns = columns_for(case)[:1] + [
        column for k in range(documents) for column in columns_for(case, seed=k + 1)[1:2]
    ]
    assert case.labels is not None
    labels = labels_for(case, ROWS)
    assert labels is not None
    if labels.shape[1] < documents:
        labels = torch.cat([labels, labels.flip(0)], 1)
    lists = [[columns[1 + k][row] for k in range(length)] for row, length in enumerate(LENGTHS)]
    rows = [labels[row, :length] for row, length in enumerate(LENGTHS)]
    if case.name.endswith("several positives"):
        for row in rows:
            row[0] = 1
    return columns, list(columns[0]), lists, rows


class TestListsOfDifferentLengths:
    @pytest.mark.parametrize(
        "case",
        [case for case in CASES if getattr(case.echo(), "in_lists", False)],
        ids=lambda case: case.name,
    )
    def test_each_list_counts_as_it_would_alone(self, case: LossCase) -> None:
        loss = case.loss()
        columns, queries, lists, labels = ragged(case)
        value = loss([queries, lists], labels)
        value.backward()
        gradients = [torch.zeros_like(column) if column.grad is None else column.grad.clone() for column in columns]
        total, weights = torch.zeros((), dtype=torch.float64), 0
        again = leaves(columns)
        for row, length in enumerate(LENGTHS):
            weight = pairs_in(case, length)
            weights += weight
            documents = [again[1 + k][row] for k in range(length)]
            total = total + weight * loss([[again[0][row]], [documents]], [labels[row]])
        (total / weights).backward()
        theirs = [torch.zeros_like(column) if column.grad is None else column.grad for column in again]
        assert_same_step([value.detach(), *gradients], [(total / weights).detach(), *theirs])

    def test_one_document_in_all_lists(self) -> None:
        """There is nothing to rank; but what is matched pointwise or calibrated still is."""
        model = ScoresGiven()
        lists, labels = [[torch.tensor(0.3)], [torch.tensor(-1.0)]], [torch.tensor([0.5]), torch.tensor([0.1])]
        queries = ["a", "b"]
        assert ours.SelectivePairwiseLoss(model)([queries, lists], labels) == 0
        assert ours.SelectiveListwiseLoss(model, calibration=0.0)([queries, lists], labels) == 0
        assert ours.SelectiveListwiseLoss(model)([queries, lists], labels) > 0
        assert ours.SelectivePointwiseLoss(model)([queries, lists], labels) > 0

    def test_labels_without_a_pair_to_compare(self) -> None:
        model = cross_encoder()
        loss = ours.SelectivePairwiseLoss(model)
        value = loss([texts(0, 2), [texts(5, 2), texts(8, 3)]], [torch.ones(2), torch.zeros(3)])
        value.backward()
        assert value == 0

    @pytest.mark.parametrize("size", [None, 1, 3, 100, 0, -1])
    def test_mini_batches_change_nothing(self, size: int | None) -> None:
        model = cross_encoder().double()
        inputs = [texts(0, 3), [texts(10, 2), texts(20, 4), texts(30, 3)]]
        labels = [torch.rand(length) for length in (2, 4, 3)]
        for make in (ours.SelectiveListwiseLoss, ours.SelectivePairwiseLoss):
            whole = make(model, mini_batch_size=0)(inputs, labels)
            assert_close(make(model, mini_batch_size=size)(inputs, labels), whole, operations_of(model))

    @pytest.mark.parametrize(("size", "calls"), [(None, [3, 3, 3]), (4, [4, 4, 1]), (-5, [9])])
    @pytest.mark.parametrize("make", [ours.SelectiveListwiseLoss, ours.SelectivePairwiseLoss, builtin.LambdaLoss])
    def test_mini_batches_are_those_of_the_built_in(
        self, make: Any, size: int | None, calls: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = cross_encoder()
        seen: list[int] = []
        preprocess = model.preprocess

        def counted(pairs: Any, **options: Any) -> Any:
            seen.append(len(pairs))
            return preprocess(pairs, **options)

        monkeypatch.setattr(model, "preprocess", counted)
        inputs = [texts(0, 3), [texts(10, 2), texts(20, 4), texts(30, 3)]]
        make(model, mini_batch_size=size)(inputs, [torch.rand(length) for length in (2, 4, 3)])
        assert seen == calls


class TestScores:
    """What the losses do with the model's scores, against the functions on tensors."""

    def test_lists(self) -> None:
        logits = torch.tensor([[0.5, -1.0, 2.0], [3.0, 0.1, 0.0]])
        labels = torch.tensor([[0.2, 0.9, 0.4], [1.0, 0.3, math.nan]])
        inputs = [["q", "r"], [list(logits[0]), list(logits[1, :2])]]
        rows = [labels[0], labels[1, :2]]
        model, link = ScoresGiven(), SigmoidLink(5.0, 0.5)
        value = ours.SelectiveListwiseLoss(model, nn.Sigmoid(), link=link, temperature=0.5)(inputs, rows)
        assert_close(value, listwise_matching_loss(logits.sigmoid(), labels, link, 0.5))
        rows = [torch.tensor([0, 1, 1]), torch.tensor([1, 0])]
        value = ours.SelectiveListwiseLoss(model, link=link, targets="labels")(inputs, rows)
        ones = torch.tensor([[0, 1, 1], [1, 0, 0]])
        mask = ~labels.isnan()
        assert_close(value, listwise_label_loss(logits, ones, link, mask=mask))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_scores_are_computed_in_single(self, dtype: torch.dtype) -> None:
        logits = (4 * torch.randn(5, generator=random_inputs.generator(0))).to(dtype)
        labels = torch.rand(5)
        loss = ours.SelectivePointwiseLoss(ScoresGiven())
        half = loss([["q"] * 5, list(logits)], labels)
        assert half.dtype == torch.float32
        assert_close(half, loss([["q"] * 5, list(logits.float())], labels), 0)

    def test_prompt_and_task_are_handed_on(self) -> None:
        model = ScoresGiven()
        for make, labels in (
            (ours.SelectivePointwiseLoss, torch.rand(2)),
            (ours.SelectiveMultipleNegativesRankingLoss, None),
        ):
            make(model)([["q", "r"], list(torch.rand(2))], labels, prompt="Rank: ", task="rerank")
            assert model.seen[1:] == ("Rank: ", "rerank")

    def test_same_texts_are_no_negatives(self) -> None:
        model = cross_encoder().double()
        queries, positives = texts(0, 3), [sentence(50), sentence(51), sentence(50)]
        loss = ours.SelectiveMultipleNegativesRankingLoss(model, None, link=ConstantLink(), mask_same_text=True)
        scores = model(model.preprocess([(q, d) for q in queries for d in positives]))["scores"].view(3, 3).sigmoid()
        scores = scores.masked_fill(torch.tensor([[0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=torch.bool), -math.inf)
        theirs = nn.functional.cross_entropy(10 * scores, torch.arange(3))
        assert_close(loss([queries, positives], None), theirs)
        assert loss([queries, positives], None) < ours.SelectiveMultipleNegativesRankingLoss(
            model, None, link=ConstantLink()
        )([queries, positives], None)

    @pytest.mark.parametrize("activation", [None, nn.Sigmoid()], ids=str)
    def test_logits_as_targets_are_reached(self, activation: nn.Module | None) -> None:
        logits = [4.0 * torch.randn(3), 4.0 * torch.randn(2)]
        inputs = [["q", "r"], [list(row) for row in logits]]
        loss = ours.SelectiveListwiseLoss(ScoresGiven(), activation, teacher_space="logit")
        elsewhere = loss(inputs, [row.flip(0) for row in logits])
        assert elsewhere > 1e-3
        assert_vanishes(loss(inputs, logits), elsewhere)

    @pytest.mark.parametrize("options", [{"label_range": (0, 5)}, {"teacher_space": "probability"}], ids=str)
    def test_values_from_0_to_1_are_those_of_a_sigmoid(self, options: dict[str, Any]) -> None:
        logits = [4.0 * torch.randn(3), 4.0 * torch.randn(2)]
        highest = options.get("label_range", (0, 1))[1]
        labels = [highest * row.sigmoid() for row in logits]
        loss = ours.SelectiveListwiseLoss(ScoresGiven(), **options)
        explicit = ours.SelectiveListwiseLoss(ScoresGiven(), nn.Identity(), **options)
        elsewhere = explicit([["q", "r"], [list(row) for row in logits]], labels)
        assert elsewhere > 1e-3
        assert_vanishes(loss([["q", "r"], [list(row) for row in logits]], labels), elsewhere)

    def test_integers_where_they_are_safe(self) -> None:
        model = ScoresGiven()
        inputs = [["q", "r"], [list(torch.rand(3)), list(torch.rand(2))]]
        rows = [torch.tensor([0, 1, 1]), torch.tensor([1, 0])]
        floats = [row.float() for row in rows]
        for loss in (
            ours.SelectivePointwiseLoss(model, targets="link_values"),
            ours.SelectivePairwiseLoss(model),
            ours.SelectiveListwiseLoss(model, targets="labels"),
            ours.SelectiveListwiseLoss(model, label_range=(0, 3)),
            ours.SelectiveListwiseLoss(model),  # what mine_hard_negatives gives as labeled lists
            ours.SelectiveListwiseLoss(model, nn.Sigmoid()),
        ):
            assert_close(loss(inputs, rows), loss(inputs, floats))
        for unsafe in (ours.SelectivePointwiseLoss(model), ours.SelectivePairwiseLoss(model, targets="margins")):
            with pytest.raises(TypeError, match=r"labels must be floats.*int64"):
                unsafe(inputs, rows)
        with pytest.raises(TypeError, match=r"labels must be floats.*int64.*label_range=\(lowest, highest\)"):
            ours.SelectiveListwiseLoss(model)(inputs, [torch.tensor([0, 2, 1]), torch.tensor([1, 0])])

    def test_0_and_1_as_listnet_takes_them(self) -> None:
        """The plain ranking term is ListNet's loss, less the entropy of its target."""
        scores, labels = [torch.randn(3), torch.randn(2)], [torch.tensor([0, 1, 1]), torch.tensor([1, 0])]
        inputs = [["q", "r"], [list(row) for row in scores]]
        loss = ours.SelectiveListwiseLoss(ScoresGiven(), link=ConstantLink())(inputs, labels)
        targets = [row.float().softmax(0) for row in labels]
        each = [
            (target * (target.log() - row.log_softmax(0))).sum() for target, row in zip(targets, scores, strict=True)
        ]
        assert_close(loss, torch.stack(each).mean())


class TestDefaults:
    def test_signatures_begin_as_those_of_the_built_in_losses(self) -> None:
        def names(make: Any) -> list[str]:
            return [
                name
                for name, parameter in inspect.signature(make).parameters.items()
                if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            ]

        assert names(ours.SelectivePointwiseLoss) == names(builtin.BinaryCrossEntropyLoss)
        assert names(ours.SelectivePairwiseLoss) == names(builtin.MarginMSELoss)
        assert names(ours.SelectiveListwiseLoss) == names(builtin.ListNetLoss)
        assert names(ours.SelectiveCrossEntropyLoss) == names(builtin.CrossEntropyLoss)
        for cached in ("", "Cached"):
            generalised = inspect.signature(getattr(builtin, f"{cached}MultipleNegativesRankingLoss")).parameters
            loss = getattr(ours, f"{cached}SelectiveMultipleNegativesRankingLoss")
            assert names(loss) == names(getattr(builtin, f"{cached}MultipleNegativesRankingLoss"))
            for name in names(loss):
                assert repr(inspect.signature(loss).parameters[name].default) == repr(generalised[name].default)

    def test_links(self) -> None:
        model = EchoCrossEncoder()
        assert ours.SelectivePointwiseLoss(model).link == high_scores()
        assert ours.SelectivePointwiseLoss(model, nn.Identity()).link == high_scores().linear_outside(0.0, 1.0)
        assert ours.SelectivePointwiseLoss(model, targets="link_values").link == SigmoidLink(1.0, 0.0)
        assert isinstance(ours.SelectivePointwiseLoss(model).activation_fn, nn.Sigmoid)
        assert isinstance(ours.SelectivePointwiseLoss(model, targets="link_values").activation_fn, nn.Identity)

    @pytest.mark.parametrize("activation", [None, nn.Sigmoid(), nn.Tanh(), nn.ReLU()])
    def test_links_of_lists_keep_the_meaning_of_a_temperature(self, activation: nn.Module | None) -> None:
        link = ours.SelectiveListwiseLoss(EchoCrossEncoder(), activation).link
        ends = (0.0, 1.0) if isinstance(activation, (nn.Sigmoid, nn.Tanh)) else (-5.0, 5.0)
        scores = torch.linspace(*ends, 1001, dtype=torch.float64)
        assert (link(scores) > 0).all()
        assert_within(link(scores).mean(), 1.0, 1 / len(scores))
        if ends[1] > 1:
            assert link.potential(torch.tensor([-1e4, 1e4])).isfinite().all()

    @every_loss
    def test_config_and_citation(self, make: Any) -> None:
        loss = echo(make)
        config = json.loads(json.dumps(loss.get_config_dict(), allow_nan=False))
        assert link_from_config(config["link"]) == loss.link
        assert config["activation_fn"].startswith("torch.nn.modules")
        # What the constructor takes is told.
        told = set(inspect.signature(make).parameters) - {"model", "student_temperature", "teacher_temperature"}
        assert told == set(config)
        assert "eprint={2506.04446}" in loss.citation


# --- In the trainer


def data(make: Any) -> Dataset:
    if make in (ours.SelectiveListwiseLoss, ours.SelectiveOrderLoss, ours.SelectivePairwiseLoss):
        lists = [texts(100 + 10 * row, 2 + row % 3) for row in range(8)]
        labels = [[0.9 / (1 + place) for place in range(len(row))] for row in lists]
        return Dataset.from_dict({"query": texts(0, 8), "docs": lists, "labels": labels})
    columns: dict[str, Any] = {"query": texts(0, 8), "answer": texts(20, 8)}
    if make is ours.SelectivePointwiseLoss:
        columns["score"] = [row / 8 for row in range(8)]
    if make is ours.SelectiveCrossEntropyLoss:
        columns["label"] = [row % 3 for row in range(8)]
    return Dataset.from_dict(columns)


@every_loss
@pytest.mark.slow
def test_in_the_trainer(make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In half precision; in single see tests/test_host_features.py and tests/test_registry_catalog.py."""
    model = cross_encoder(3 if make is ours.SelectiveCrossEntropyLoss else 1)
    before = copy.deepcopy(model)
    loss = make(model)
    arguments = CrossEncoderTrainingArguments(
        str(tmp_path),
        num_train_epochs=2,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        bf16=True,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        prompts="Rank: ",
    )
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=data(make),
        eval_dataset=data(make),
        loss=loss,
        callbacks=[SelectiveModelCardCallback(loss)],
    )
    trainer.train()
    assert math.isfinite(trainer.evaluate()["eval_loss"])
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert all(math.isfinite(value) and value > 0 for value in losses)
    assert any(not torch.equal(one, other) for one, other in zip(model.parameters(), before.parameters(), strict=True))
    assert "could not be passed" not in caplog.text
    model.save_pretrained(str(tmp_path / "model"))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert make.__name__ in card
    assert "activation_fn" in card
    assert "eprint={2506.04446}" in card
    assert "What the Loss Cares About" in card


# --- Bad input


class TestBadInput:
    @every_loss_of_scores
    def test_several_output_labels(self, make: Any) -> None:
        with pytest.raises(ValueError, match=r"1 output label, but has 3.*num_labels=1.*SelectiveCrossEntropyLoss"):
            make(cross_encoder(3))

    def test_a_single_output_label(self) -> None:
        with pytest.raises(ValueError, match=r"one output label for each class, but has 1.*SelectivePointwiseLoss"):
            ours.SelectiveCrossEntropyLoss(cross_encoder())

    @every_loss
    @pytest.mark.parametrize(
        ("model_type", "package"),
        [
            ("SentenceTransformer", "selective_st.losses"),
            ("SparseEncoder", "selective_st.sparse_encoder.losses"),
            ("MultiVectorEncoder", "selective_st.multi_vector_encoder.losses"),
        ],
    )
    def test_a_model_of_another_type(self, make: Any, model_type: str, package: str) -> None:
        with pytest.raises(
            TypeError, match=f"{make.__name__}: model must be a CrossEncoder, got a {model_type}.*{package}"
        ):
            make(model_for(model_type))

    @pytest.mark.parametrize("name", selective_st.losses.__all__)
    def test_a_cross_encoder_for_another_loss(self, name: str) -> None:
        make = getattr(selective_st.losses, name)
        if not name.startswith(("Selective", "Cached")):
            pytest.skip("it has tests of its own")
        with pytest.raises(TypeError, match=f"{name}: .*got a CrossEncoder.*selective_st.cross_encoder.losses"):
            make(cross_encoder())

    @every_loss
    @pytest.mark.parametrize("model", ["cross-encoder/ms-marco-MiniLM-L6-v2", None, 3])
    def test_no_model(self, make: Any, model: Any) -> None:
        with pytest.raises(TypeError, match=r"model must be the CrossEncoder to train"):
            make(model)

    @every_loss
    def test_links_in_the_wrong_place(self, make: Any) -> None:
        with pytest.raises(TypeError, match=r"Write link="):
            echo(lambda model: make(model, high_scores()))
        with pytest.raises(TypeError, match=r"link must be a Link"):
            echo(make, link="high")

    @every_loss
    def test_an_activation_that_is_none(self, make: Any) -> None:
        with pytest.raises(TypeError, match=r"activation_fn.*torch.nn.Sigmoid\(\)"):
            echo(make, activation_fn=torch.sigmoid)

    @pytest.mark.parametrize(
        ("make", "arguments", "error", "name"),
        [
            (ours.SelectivePointwiseLoss, {"targets": "labels"}, ValueError, "targets"),
            (ours.SelectivePairwiseLoss, {"targets": "labels"}, ValueError, "targets.*order"),
            (ours.SelectiveListwiseLoss, {"targets": "order"}, ValueError, "targets"),
            (ours.SelectivePairwiseLoss, {"temperature": 0}, ValueError, "temperature"),
            (ours.SelectiveListwiseLoss, {"temperature": math.nan}, ValueError, "temperature"),
            (ours.SelectiveListwiseLoss, {"mini_batch_size": 2.5}, TypeError, "mini_batch_size"),
            (ours.SelectivePairwiseLoss, {"mini_batch_size": "4"}, TypeError, "mini_batch_size"),
            (ours.SelectiveListwiseLoss, {"calibration": -1}, ValueError, "calibration"),
            (ours.SelectiveListwiseLoss, {"label_smoothing": 0.1}, ValueError, "label_smoothing"),
            (ours.SelectiveCrossEntropyLoss, {"label_smoothing": 1.1}, ValueError, "label_smoothing"),
            (ours.SelectiveCrossEntropyLoss, {"temperature": -1}, ValueError, "temperature"),
            (ours.SelectivePointwiseLoss, {"pos_weight": 4.0}, ValueError, "pos_weight is for 0/1 labels.*link_values"),
            (
                ours.SelectivePointwiseLoss,
                {"pos_weight": 0, "targets": "link_values"},
                ValueError,
                "pos_weight must be a finite number > 0, got 0",
            ),
            (
                ours.SelectivePointwiseLoss,
                {"pos_weight": "4", "targets": "link_values"},
                TypeError,
                "pos_weight must be a finite number > 0, got '4'",
            ),
            (
                ours.SelectivePointwiseLoss,
                {"pos_weight": torch.ones(2), "targets": "link_values"},
                TypeError,
                r"pos_weight must be a finite number > 0, got tensor\(\[1., 1.\]\)",
            ),
            (
                ours.SelectiveCrossEntropyLoss,
                {"weight": [1.0, 2.0]},
                ValueError,
                r"each of the model's 4 classes.*\(2,\)",
            ),
            (ours.SelectiveCrossEntropyLoss, {"weight": "abcd"}, TypeError, "weight must be a list of numbers"),
            (
                ours.SelectiveCrossEntropyLoss,
                {"weight": [1.0, -1.0, 1, 1]},
                ValueError,
                "weight must hold finite .* >= 0",
            ),
            (ours.SelectiveCrossEntropyLoss, {"weight": torch.zeros(4)}, ValueError, "and one above it"),
            (ours.SelectiveCrossEntropyLoss, {"ignore_index": 1.0}, TypeError, "ignore_index must be of type int"),
            (ours.SelectiveCrossEntropyLoss, {"ignore_index": True}, TypeError, "ignore_index must be of type int"),
            (ours.SelectiveListwiseLoss, {"mini_batch_size": True}, TypeError, "mini_batch_size must be of type int"),
            (ours.SelectivePairwiseLoss, {"targets": "x"}, ValueError, "targets must be one of None, 'margins'"),
            (ours.SelectivePairwiseLoss, {"k": 0}, ValueError, "k must be a whole number of at least 1, got 0"),
            (ours.SelectivePairwiseLoss, {"k": 2.0}, TypeError, "k must be a whole number"),
            (
                ours.SelectivePairwiseLoss,
                {"weighting_scheme": "ndcg"},
                TypeError,
                "a scheme of LambdaLoss.* got 'ndcg'",
            ),
            (
                ours.SelectivePairwiseLoss,
                {"weighting_scheme": builtin.NDCGLoss1Scheme()},
                TypeError,
                r"weighs pairs, got NDCGLoss1Scheme.*NDCGLoss2PPScheme\(\)",
            ),
            (
                ours.SelectivePairwiseLoss,
                {"weighting_scheme": builtin.NDCGLoss2Scheme(), "targets": "margins"},
                ValueError,
                'weighting_scheme is for pairs that are ordered, but targets is "margins"',
            ),
            (ours.SelectiveMultipleNegativesRankingLoss, {"num_negatives": 0}, ValueError, "num_negatives"),
            (ours.CachedSelectiveMultipleNegativesRankingLoss, {"mini_batch_size": 0}, ValueError, "at least 1, got 0"),
            (
                ours.CachedSelectiveMultipleNegativesRankingLoss,
                {"mini_batch_size": None},
                TypeError,
                "mini_batch_size must be a whole number of at least 1, got None",
            ),
            (ours.SelectiveMultipleNegativesRankingLoss, {"num_negatives": 2.0}, ValueError, "num_negatives"),
            (ours.SelectiveMultipleNegativesRankingLoss, {"scale": 0}, ValueError, "scale"),
            (ours.SelectiveMultipleNegativesRankingLoss, {"scale": SigmoidLink()}, TypeError, "scale.*link="),
            (
                ours.SelectiveMultipleNegativesRankingLoss,
                {"activation_fn": nn.Tanh(), "link": IdentityLink()},
                ValueError,
                "link.*negative",
            ),
            (
                ours.SelectiveListwiseLoss,
                {"activation_fn": nn.Tanh(), "link": SinhLink(2.0, 0.0), "targets": "labels"},
                ValueError,
                "link.*negative",
            ),
        ],
    )
    def test_arguments(self, make: Any, arguments: dict[str, Any], error: type[Exception], name: str) -> None:
        with pytest.raises(error, match=f"{make.__name__}: .*{name}"):
            echo(make, **arguments)

    @pytest.mark.parametrize("name", ["k", "weighting_scheme"])
    def test_what_is_for_lists(self, name: str) -> None:
        model = cross_encoder()
        loss = ours.SelectivePairwiseLoss(model, **{name: 2 if name == "k" else builtin.LambdaRankScheme()})
        with pytest.raises(ValueError, match=f'{name} is for lists, but each row has a column .*targets="order"'):
            loss([texts(0), texts(10), texts(20)], None)

    def test_labels_for_weights_of_positives(self) -> None:
        loss = ours.SelectivePointwiseLoss(cross_encoder(), targets="link_values", link=IdentityLink(), pos_weight=2.0)
        with pytest.raises(ValueError, match=r"labels must lie from 0 to 1 for a pos_weight, .* from 0 to 3"):
            loss([texts(0, 2), texts(5, 2)], torch.tensor([0.0, 3.0]))

    @every_loss
    def test_an_empty_batch(self, make: Any) -> None:
        for inputs in ([[], []], [[], [], []]):
            with pytest.raises(ValueError, match=r"empty batch|text column"):
                echo(make)(inputs, torch.rand(0))

    @every_loss
    def test_too_few_columns(self, make: Any) -> None:
        for inputs in ([], [["q"]]):
            with pytest.raises(ValueError, match="column"):
                echo(make)(inputs, torch.rand(1))

    LISTS = (ours.SelectivePointwiseLoss, ours.SelectivePairwiseLoss, ours.SelectiveListwiseLoss)

    @pytest.mark.parametrize("make", LISTS)
    def test_lists(self, make: Any) -> None:
        loss = make(ScoresGiven())
        queries, lists = ["a", "b"], [list(torch.rand(3)), list(torch.rand(2))]
        labels = [torch.rand(3), torch.rand(2)]
        assert loss([queries, lists], labels).isfinite()
        with pytest.raises(ValueError, match=r"row 1 of the batch has 3 label.* for 2"):
            loss([queries, lists], [torch.rand(3), torch.rand(3)])
        with pytest.raises(ValueError, match="labels must hold a list for each of the 2 rows, got 1"):
            loss([queries, lists], labels[:1])
        with pytest.raises(ValueError, match="the list of row 1 of the batch is empty"):
            loss([queries, [lists[0], []]], [labels[0], torch.rand(0)])
        for mixed, row in (([lists[0], "text"], 1), (["text", lists[1]], 0)):
            with pytest.raises(TypeError, match=f"list of documents in every row, but row {row} of the batch has str"):
                loss([queries, mixed], labels)
        with pytest.raises(ValueError, match=r"as many rows in each column, but the columns .* have 2, 1 rows"):
            loss([queries, lists[:1]], labels[:1])
        with pytest.raises(ValueError, match=r"have 2, 0 rows|needs at least three text columns"):
            loss([queries, []], [])
        with pytest.raises(ValueError, match=r"have 2, 2, 1 rows"):
            loss([queries, queries, ["a"]], torch.rand(2, 2))
        for wrong in (torch.rand(2), None, [0.1, 0.2]):
            with pytest.raises(TypeError, match="labels must be a list for each row"):
                loss([queries, lists], wrong)
        unknown = [torch.rand(3), torch.full((2,), math.nan)]
        with pytest.raises(ValueError, match=r"labels.*NaN in row\(s\) 1"):
            loss([queries, lists], unknown)
        with pytest.raises(ValueError, match="labels must be finite"):
            loss([queries, lists], [torch.tensor([0.1, math.inf, 0.2]), labels[1]])

    @pytest.mark.parametrize("as_lists", [False, True])
    def test_no_labels_in_a_list(self, as_lists: bool) -> None:
        documents = torch.rand(2)
        inputs = [["q"], [list(documents)]] if as_lists else [["q"], documents[:1], documents[1:]]
        with pytest.raises((TypeError, ValueError), match="labels must"):
            ours.SelectiveListwiseLoss(ScoresGiven())(inputs, [])

    def test_columns_with_labels_of_different_lengths(self) -> None:
        loss = ours.SelectiveListwiseLoss(ScoresGiven())
        with pytest.raises(ValueError, match=r"row 1 of the batch has 2 label.* for 3"):
            loss([["a", "b"], *(list(torch.rand(2)) for _ in range(3))], [torch.rand(3), torch.rand(2)])

    def test_labels_beyond_the_scores(self) -> None:
        queries, documents = ["a", "b"], list(torch.rand(2))
        with pytest.raises(ValueError, match=r"labels must lie within \[0, 1\], the range of Sigmoid"):
            ours.SelectivePointwiseLoss(ScoresGiven())([queries, documents], torch.tensor([0.2, 5.0]))
        lists = [queries, [list(torch.rand(2))] * 2]
        for make in (ours.SelectivePairwiseLoss, ours.SelectiveListwiseLoss):
            loss = make(ScoresGiven(), nn.Sigmoid(), targets="scores")
            with pytest.raises(ValueError, match=r"labels must lie within \[0, 1\], the range of Sigmoid"):
                loss(lists, [torch.tensor([0.0, 3.0])] * 2)
        loss = ours.SelectivePairwiseLoss(ScoresGiven(), nn.Sigmoid(), targets="margins")
        for inputs in (lists, [queries, documents, documents]):
            with pytest.raises(
                ValueError, match=r"labels must lie within \[-1, 1\], the range of differences of Sigmoid"
            ):
                loss(inputs, [torch.tensor([9.0, 0.0])] * 2)
        assert loss(lists, [torch.tensor([9.0, 9.0])] * 2) == 0  # no pair to compare
        with pytest.raises(ValueError, match="lie in"):
            ours.SelectivePointwiseLoss(ScoresGiven(), nn.Tanh(), link=OfProbabilities())

    def test_an_order_without_labels(self) -> None:
        documents = list(torch.rand(2))
        with pytest.raises(TypeError, match=r"got NoneType.*leave targets out"):
            ours.SelectivePairwiseLoss(ScoresGiven(), targets="order")([["a", "b"], documents, documents], None)

    def test_classes(self) -> None:
        loss = echo(ours.SelectiveCrossEntropyLoss)
        columns = [list(torch.rand(3, 8)), list(torch.rand(3, 8))]
        assert loss(columns, torch.tensor([0, 3, 1])).isfinite()
        for labels, error, says in (
            (torch.tensor([0, 4, 1]), ValueError, "indices from 0 to 3"),
            (torch.rand(3), TypeError, "labels must be classes"),
            (torch.rand(3, 4), ValueError, "labels"),
            (None, TypeError, "labels must be a tensor"),
        ):
            with pytest.raises(error, match=says):
                loss(columns, labels)
        with pytest.raises(ValueError, match="two text columns"):
            loss([*columns, columns[1]], torch.tensor([0, 3, 1]))

    def test_labels_that_are_not_used_are_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        loss = echo(ours.SelectiveMultipleNegativesRankingLoss)
        columns = [list(torch.rand(3, 8)), list(torch.rand(3, 8))]
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                loss(columns, torch.ones(3))
        assert len([record for record in caplog.records if "column of labels" in record.getMessage()]) == 1

    def test_a_nan_of_the_model_stays_visible(self) -> None:
        scores = [torch.tensor(0.3), torch.tensor(math.nan)]
        for make in (ours.SelectivePointwiseLoss, ours.SelectiveListwiseLoss, ours.SelectivePairwiseLoss):
            assert make(ScoresGiven())([["q"], [scores]], [torch.tensor([0.1, 0.9])]).isnan()
