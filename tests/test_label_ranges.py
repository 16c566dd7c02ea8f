"""Labels beyond a loss's scores: it sees a batch, so it names no scale, but what finds that of the whole column."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import AnglELoss
from sentence_transformers.util import pairwise_angle_sim, pairwise_cos_sim
from torch import nn
from torch.testing import assert_close

from selective_st.losses import (
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from selective_st.registry import check_dataset

ROWS = 60
TEXTS = {name: [f"{name} {7 * k % 60} of {k}" for k in range(ROWS)] for name in ("query", "positive", "negative")}
GRADES = [5 * k / (ROWS - 1) for k in range(ROWS)]
PAIRS = {"query": TEXTS["query"], "positive": TEXTS["positive"], "label": GRADES}
LISTS = {**TEXTS, "label": [[grade, grade / 2] for grade in GRADES]}
LOSSES: dict[str, tuple[Callable[[Any], nn.Module], dict[str, Any]]] = {
    "pointwise": (SelectivePointwiseLoss, PAIRS),
    "pointwise on lists": (SelectivePointwiseLoss, LISTS),
    "listwise": (lambda model: SelectiveListwiseLoss(model, pairwise_cos_sim), LISTS),
    "listwise over the batch": (lambda model: SelectiveListwiseLoss(model, pairwise_cos_sim, lists="batch"), PAIRS),
    "pairwise": (lambda model: SelectivePairwiseLoss(model, pairwise_cos_sim, targets="scores"), LISTS),
    "in-batch": (SelectiveMultipleNegativesRankingLoss, PAIRS),
    "order and calibration": (lambda model: SelectiveOrderLoss(model, calibration=0.5), PAIRS),
    "order and calibration on lists": (lambda model: SelectiveOrderLoss(model, calibration=0.5), LISTS),
}


def value(loss: nn.Module, model: SentenceTransformer, rows: Dataset) -> float:
    *columns, label = rows.column_names
    features = [model.preprocess(rows[name][:]) for name in columns]
    return loss(features, torch.tensor(rows[label][:])).item()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", LOSSES)
def test_no_scale_is_guessed_from_a_batch_and_the_line_that_is_named_finds_it(
    name: str, static_model: SentenceTransformer
) -> None:
    make, columns = LOSSES[name]
    loss, dataset = make(static_model), Dataset.from_dict(columns)
    for seed in range(6):
        batch = dataset.shuffle(seed=seed).select(range(6))
        with pytest.raises(ValueError, match=r"the labels of this batch go from .* at least that wide") as error:
            value(loss, static_model, batch)
        message = str(error.value)
        assert not re.search(r"--score-range [\d-]|\) / \(|row\[", message)
        assert "On the command line say --score-range LOW,HIGH." in message
    [line] = re.findall(r"(from selective_st\.registry import .*?\)\))\.", message)
    exec(line, {"dataset": dataset, "loss": loss})
    mend = next(found.mend for found in check_dataset(dataset, loss).errors if found.code == "label-range")
    names: dict[str, Any] = {"dataset": dataset}
    exec(mend, names)
    for seed in range(6):
        assert value(loss, static_model, names["dataset"].shuffle(seed=seed).select(range(6))) >= 0


@pytest.mark.parametrize("options", [{"label_range": (0, 1)}, {"teacher_space": "probability"}, {}])
def test_a_range_to_declare_is_that_of_the_column(options: dict[str, Any], static_model: SentenceTransformer) -> None:
    loss = SelectiveListwiseLoss(static_model, pairwise_cos_sim, **options)
    with pytest.raises(
        ValueError, match=r"label_range=\(LOW, HIGH\) with the ends of the whole column's scale"
    ) as error:
        value(loss, static_model, Dataset.from_dict(LISTS).select(range(20, 30)))
    assert not re.search(r"label_range=\(\d", str(error.value))


def test_rows_without_a_label_are_left_out_whatever_their_column_is_called(static_model: SentenceTransformer) -> None:
    dataset = Dataset.from_dict({**PAIRS, "label": [*[grade / 5 for grade in GRADES[:-1]], float("nan")]})
    loss = SelectivePointwiseLoss(static_model)
    with pytest.raises(ValueError, match=r"NaN in row\(s\) 59 of the batch\. Leave such rows out: (.*)\.") as error:
        value(loss, static_model, dataset)
    names: dict[str, Any] = {"dataset": dataset}
    exec(str(error.value).partition("Leave such rows out: ")[2].removesuffix("."), names)
    assert len(names["dataset"]) == ROWS - 1
    assert value(loss, static_model, names["dataset"]) >= 0


@pytest.mark.parametrize("columns", [PAIRS, LISTS], ids=["pairs", "lists"])
def test_an_order_alone_takes_labels_of_any_scale(columns: dict[str, Any], static_model: SentenceTransformer) -> None:
    loss, dataset = SelectiveOrderLoss(static_model), Dataset.from_dict(columns)
    assert value(loss, static_model, dataset.select(range(6))) > 0
    assert not check_dataset(dataset, loss).findings
    assert not check_dataset(dataset, "SelectiveOrderLoss").findings


def test_negatives_get_one_less_the_label_of_their_row(static_model: SentenceTransformer) -> None:
    """As `AnglELoss` has it; of grades of another scale, or margins, that would be nonsense."""
    columns = [torch.randn(4, 8) for _ in range(3)]
    of_loss = SelectiveOrderLoss(static_model, similarity_fct=pairwise_angle_sim).compute_loss_from_embeddings
    for label in (None, torch.tensor([1.0, 0.3, 0.0, 0.9])):
        assert_close(20 * of_loss(columns, label), AnglELoss(static_model).compute_loss_from_embeddings(columns, label))
    for label in (torch.tensor([5.0, 3.0, 0.0, 1.0]), torch.tensor([0.3, -0.1, 0.2, 0.0])):
        with pytest.raises(ValueError, match=r"within \[0, 1\], as negatives get 1 - label.* give each row a list"):
            of_loss(columns, label)


@pytest.mark.parametrize(
    ("label", "code"),
    [([0.5, 0.2, 0.1], "list-lengths"), ([0.5], "list-lengths"), ([[0.5, 0.2]], "label-is-list")],
    ids=["longer", "shorter", "nested"],
)
def test_lists_that_an_order_does_not_take(label: list[Any], code: str, static_model: SentenceTransformer) -> None:
    dataset = Dataset.from_dict({**TEXTS, "label": [label, label[::-1]] * (ROWS // 2)})
    assert code in {found.code for found in check_dataset(dataset, "SelectiveOrderLoss").errors}
    with pytest.raises((ValueError, TypeError)):
        value(SelectiveOrderLoss(static_model), static_model, dataset.select(range(4)))
