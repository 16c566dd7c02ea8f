"""What a training step costs with the losses for late interaction and for sparse embeddings, against the built-in ones.

A step is forward, loss and backward of a small random BERT, on padded texts of different lengths. The two losses take
turns on the same batch and the same model, so that a drift of the machine's speed hits both: "median of ratios" is the
median over the turns, and "ratio of fastest" comes closest to a machine that does nothing else. To reach: at most 1.02.

    python benchmarks/multi_vector_cost.py
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from typing import Any, cast

import torch
from common import THREADS, TIMES, machine, print_heading, print_times, progress, take_turns
from sentence_transformers.multi_vector_encoder import losses as built_in_multi_vector
from sentence_transformers.sparse_encoder import losses as built_in_sparse
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import BertConfig, BertForMaskedLM, BertModel

from selective_st.links import ConstantLink, IdentityLink
from selective_st.multi_vector_encoder import losses as multi_vector
from selective_st.sparse_encoder import losses as sparse

ROWS, NEGATIVES = 32, 3
QUERY_TOKENS, DOCUMENT_TOKENS = 16, 48
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
VOCABULARY = 2000
TO_REACH = 1.02

Features = dict[str, Any]


class TokenModel(nn.Module):
    """A random BERT that gives a normalised vector for each token, as a MultiVectorEncoder does."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = BertModel(BertConfig(vocab_size=VOCABULARY, **SIZES), add_pooling_layer=False)

    def forward(self, features: Features, task: str | None = None) -> Features:
        """Add the token embeddings to the features."""
        tokens = self.bert(features["input_ids"], attention_mask=features["attention_mask"]).last_hidden_state
        return features | {"token_embeddings": normalize(tokens, dim=-1)}


class SpladeModel(nn.Module):
    """A random BERT with a masked language model's head, pooled as in SPLADE."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = BertForMaskedLM(BertConfig(vocab_size=VOCABULARY, **SIZES))

    def forward(self, features: Features) -> Features:
        """Add the sparse embedding to the features."""
        mask = features["attention_mask"]
        logits = self.bert(features["input_ids"], attention_mask=mask).logits
        return features | {"sentence_embedding": (logits.relu().log1p() * mask.unsqueeze(-1)).amax(1)}


def texts(columns: int) -> list[Features]:
    """Columns of random texts: queries, then longer documents."""
    features = []
    for column in range(columns):
        longest = DOCUMENT_TOKENS if column else QUERY_TOKENS
        lengths = torch.randint(longest // 2, longest + 1, (ROWS,))
        mask = (torch.arange(longest) < lengths.unsqueeze(1)).long()
        tokens = torch.randint(VOCABULARY, (ROWS, longest)) * mask
        features.append({"input_ids": tokens, "attention_mask": mask})
    return features


def step_of(loss: nn.Module, features: list[Features], labels: Tensor | None) -> Callable[[], None]:
    """A training step, less the optimizer, which is the same for all."""

    def step() -> None:
        loss.zero_grad()
        result = loss([dict(column) for column in features], labels)
        (sum(result.values()) if isinstance(result, dict) else result).backward()

    return step


def in_splade(model: Any, loss: nn.Module, **more: Any) -> nn.Module:
    """The loss with the regularizers of SPLADE."""
    wrapper = built_in_sparse.CachedSpladeLoss if more else built_in_sparse.SpladeLoss
    return wrapper(model, loss, 3e-5, 5e-5, **more)


def compare(quick: bool) -> None:
    """Print the times of all losses against their built-in counterparts."""
    columns = 2 + NEGATIVES
    margins, scores = 4 * torch.rand(ROWS, NEGATIVES), 16 * torch.rand(ROWS, 1 + NEGATIVES)
    tokens, splade = cast(Any, TokenModel()), cast(Any, SpladeModel())
    theirs, cached = built_in_multi_vector, {"mini_batch_size": 16}
    constant, identity = {"link": ConstantLink()}, {"link": IdentityLink()}

    def sparse_pair(built_in: Any, ours: Any, link: dict[str, Any], **more: Any) -> tuple[nn.Module, dict[str, Any]]:
        wrapped = {
            key: in_splade(splade, ours(splade, **of), **more) for key, of in {"same": link, "default": {}}.items()
        }
        return in_splade(splade, built_in(splade), **more), wrapped

    def pair(built_in: Any, ours: Any, link: dict[str, Any], **more: Any) -> tuple[nn.Module, dict[str, Any]]:
        made = {key: ours(tokens, **of, **more) for key, of in {"same": link, "default": {}}.items()}
        return built_in(tokens, **more), made

    comparisons: dict[str, tuple[tuple[nn.Module, dict[str, Any]], Tensor | None]] = {
        "MultiVectorMarginMSELoss": (
            pair(theirs.MultiVectorMarginMSELoss, multi_vector.SelectivePairwiseLoss, identity),
            margins,
        ),
        "MultiVectorDistillKLDivLoss": (
            pair(theirs.MultiVectorDistillKLDivLoss, multi_vector.SelectiveListwiseLoss, constant),
            scores,
        ),
        "MultiVectorMultipleNegativesRankingLoss": (
            pair(
                theirs.MultiVectorMultipleNegativesRankingLoss,
                multi_vector.SelectiveMultipleNegativesRankingLoss,
                constant,
            ),
            None,
        ),
        "CachedMultiVectorMultipleNegativesRankingLoss": (
            pair(
                theirs.CachedMultiVectorMultipleNegativesRankingLoss,
                multi_vector.CachedSelectiveMultipleNegativesRankingLoss,
                constant,
                **cached,
            ),
            None,
        ),
        "SpladeLoss(SparseMarginMSELoss)": (
            sparse_pair(built_in_sparse.SparseMarginMSELoss, sparse.SelectivePairwiseLoss, identity),
            margins,
        ),
        "SpladeLoss(SparseDistillKLDivLoss)": (
            sparse_pair(built_in_sparse.SparseDistillKLDivLoss, sparse.SelectiveListwiseLoss, constant),
            scores,
        ),
        "SpladeLoss(SparseMultipleNegativesRanking)": (
            sparse_pair(
                built_in_sparse.SparseMultipleNegativesRankingLoss,
                sparse.SelectiveMultipleNegativesRankingLoss,
                constant,
            ),
            None,
        ),
        "CachedSpladeLoss(SparseMultipleNegatives)": (
            sparse_pair(
                built_in_sparse.SparseMultipleNegativesRankingLoss,
                sparse.SelectiveMultipleNegativesRankingLoss,
                constant,
                **cached,
            ),
            None,
        ),
    }
    print_heading(f"A BERT of 2 layers, {columns} columns of texts; the same link as built in, and the default", TIMES)
    features = texts(columns)
    for name, ((built_in, ours), labels) in comparisons.items():
        progress(f"timing {name}")
        steps = {key: step_of(loss, features, labels) for key, loss in {name: built_in, **ours}.items()}
        times = take_turns(steps, *((2.0, 3, 30) if quick else (20.0, 9, 400)))
        for key in ours:
            print_times(f"{key} / {name}"[:44], ROWS, times[name], times[key], TO_REACH)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, to try the command")
    parser.add_argument("--threads", type=int, default=THREADS, help="1 where other programs are at work")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(f"{arguments.threads} of {machine()}")
    compare(arguments.quick)


if __name__ == "__main__":
    main()
