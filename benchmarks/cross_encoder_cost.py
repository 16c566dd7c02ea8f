"""What a training step of a cross encoder costs with our losses, against the built-in losses that they generalise.

A step is one of the trainer, with a tiny BERT: tokenise the pairs, forward, loss, backward, clip the gradients, AdamW,
learning rate schedule. The two losses take turns on the same rows, on twin models. Run it with

    python benchmarks/cross_encoder_cost.py
"""

from __future__ import annotations

import copy
import itertools
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import common
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import losses as builtin
from torch import nn

from selective_st.cross_encoder import losses as selective
from selective_st.demo import graded_pairs
from selective_st.links import IdentityLink

ROWS, LENGTH = 512, 64

Rows = list[dict[str, Any]]


class Comparison(NamedTuple):
    """Two losses that take the same rows, so many in a step, of a model with so many output labels."""

    name: str
    ours: Callable[[CrossEncoder], nn.Module]
    theirs: Callable[[CrossEncoder], nn.Module]
    rows: Rows
    batch_size: int
    outputs: int = 1


def comparisons() -> list[Comparison]:
    """All that is compared."""
    pairs = graded_pairs(8 * ROWS)
    scored = [{"a": a, "b": b, "score": score / 5} for a, b, score in pairs[:ROWS]]
    binary = [{"a": a, "b": b, "label": int(score > 2)} for a, b, score in pairs[:ROWS]]
    classes = [{"a": a, "b": b, "label": int(score) % 3} for a, b, score in pairs[:ROWS]]
    texts = itertools.cycle(b for _, b, _ in pairs)
    positives = [{"a": a, "b": b, "c": next(texts)} for a, b, _ in pairs[:ROWS]]
    margins = [{**row, "label": place % 7 / 3} for place, row in enumerate(positives)]
    lists = [
        {
            "query": a,
            "docs": [next(texts) for _ in range(4 + place % 9)],
            "labels": [float((place + k) % 4) for k in range(4 + place % 9)],
        }
        for place, (a, _, _) in enumerate(pairs[:ROWS])
    ]
    ones = [{**row, "labels": [float(k == 0) for k in range(len(row["labels"]))]} for row in lists]
    logits: dict[str, Any] = {"activation_fn": nn.Identity()}
    return [
        Comparison(
            "pointwise, 0/1 : BinaryCrossEntropyLoss",
            lambda model: selective.SelectivePointwiseLoss(model, targets="link_values"),
            builtin.BinaryCrossEntropyLoss,
            binary,
            32,
        ),
        Comparison(
            "pointwise, high_scores() : MSELoss",
            selective.SelectivePointwiseLoss,
            lambda model: builtin.MSELoss(model, nn.Sigmoid()),
            scored,
            32,
        ),
        Comparison(
            "pairwise, margins : MarginMSELoss",
            lambda model: selective.SelectivePairwiseLoss(model, link=IdentityLink(), **logits),
            builtin.MarginMSELoss,
            margins,
            32,
        ),
        Comparison("pairwise, lists : RankNetLoss", selective.SelectivePairwiseLoss, builtin.RankNetLoss, lists, 8),
        Comparison("listwise : LambdaLoss", selective.SelectiveListwiseLoss, builtin.LambdaLoss, lists, 8),
        Comparison(
            "listwise, labels : LambdaLoss",
            lambda model: selective.SelectiveListwiseLoss(model, targets="labels"),
            builtin.LambdaLoss,
            ones,
            8,
        ),
        Comparison("listwise : ListNetLoss", selective.SelectiveListwiseLoss, builtin.ListNetLoss, lists, 8),
        Comparison(
            "in-batch : MultipleNegativesRankingLoss",
            selective.SelectiveMultipleNegativesRankingLoss,
            builtin.MultipleNegativesRankingLoss,
            positives,
            16,
        ),
        Comparison(
            "classes : CrossEntropyLoss", selective.SelectiveCrossEntropyLoss, builtin.CrossEntropyLoss, classes, 32, 3
        ),
    ]


def main() -> None:
    """Print a table of paired medians."""
    parser = common.parser_of(__doc__, steps=200, threads="how many")
    parser.add_argument("--only", default="", help="only comparisons with this in their name")
    arguments = common.options(parser)
    texts = [text for pair in graded_pairs(8 * ROWS) for text in pair[:2]]
    sizes: dict[str, Any] = {"heads": 4, "width": 128, "max_position_embeddings": LENGTH}
    print(common.machine())
    common.print_heading(f"BERT of 2 x 64, {arguments.threads} threads", common.TIMES)
    with tempfile.TemporaryDirectory() as folder:
        for found in comparisons():
            if arguments.only in found.name:
                torch.manual_seed(0)
                kind = "BertForSequenceClassification"
                saved = common.bert_folder(texts, f"{folder}/{found.outputs}", kind, num_labels=found.outputs, **sizes)
                model, steps = CrossEncoder(saved, num_labels=found.outputs, device="cpu"), {}
                for name, make in (("theirs", found.theirs), ("ours", found.ours)):
                    own = copy.deepcopy(model)
                    steps[name] = common.Trainee(own, make(own), found.rows, found.batch_size, folder).step
                common.compare(
                    "theirs", steps, found.batch_size, (0, arguments.steps, arguments.steps), None, found.name
                )


if __name__ == "__main__":
    main()
