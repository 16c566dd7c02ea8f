"""What a training step of a cross encoder costs with our losses, against the built-in losses that they generalise.

A step is one of the trainer, with a tiny BERT: tokenise the pairs, forward, loss, backward, clip the gradients, AdamW,
learning rate schedule. The two losses take turns on the same rows, on twin models. Run it with

    python benchmarks/cross_encoder_cost.py
"""

from __future__ import annotations

import argparse
import copy
import itertools
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common import THREADS, TIMES, Trainee, machine, print_heading, print_times, take_turns
from sentence_transformers import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder import losses as builtin
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from selective_st.cross_encoder import losses as selective
from selective_st.demo import graded_pairs
from selective_st.links import IdentityLink
from selective_st.training import train_tokenizer

ROWS = 512
HIDDEN = 64
MAXIMUM_LENGTH = 64

Rows = list[dict[str, Any]]


class Comparison(NamedTuple):
    """Two losses that take the same rows.

    Attributes:
        name: What is compared.
        ours: Makes our loss.
        theirs: Makes the built-in loss.
        rows: The rows.
        batch_size: How many a step takes.
        outputs: How many output labels the model has.
    """

    name: str
    ours: Callable[[CrossEncoder], nn.Module]
    theirs: Callable[[CrossEncoder], nn.Module]
    rows: Rows
    batch_size: int
    outputs: int = 1


def tiny_model(texts: list[str], outputs: int, folder: Path) -> CrossEncoder:
    """A BERT of two layers, from nothing."""
    torch.manual_seed(0)
    words = train_tokenizer(texts)
    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    words.add_special_tokens(list(specials))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), specials, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=MAXIMUM_LENGTH, **names)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * HIDDEN,
        max_position_embeddings=MAXIMUM_LENGTH,
        num_labels=outputs,
    )
    folder = folder / f"model-{outputs}"
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return CrossEncoder(str(folder), num_labels=outputs, device="cpu")


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="timed pairs of steps for each comparison")
    parser.add_argument("--only", default="", help="only comparisons with this in their name")
    parser.add_argument("--threads", type=int, default=THREADS)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(arguments.threads)
    texts = [text for pair in graded_pairs(8 * ROWS) for text in pair[:2]]
    print(machine())
    print_heading(f"BERT of 2 x {HIDDEN}, {arguments.threads} threads", TIMES)
    trainer = CrossEncoderTrainer, CrossEncoderTrainingArguments
    with tempfile.TemporaryDirectory() as folder:
        for found in comparisons():
            if arguments.only in found.name:
                model, steps = tiny_model(texts, found.outputs, Path(folder)), {}
                for name, make in (("theirs", found.theirs), ("ours", found.ours)):
                    own = copy.deepcopy(model)
                    steps[name] = Trainee(*trainer, own, make(own), found.rows, found.batch_size, folder).step
                times = take_turns(steps, 0, arguments.steps, arguments.steps)
                print_times(found.name, found.batch_size, times["theirs"], times["ours"], None)


if __name__ == "__main__":
    main()
