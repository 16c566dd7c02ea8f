"""What a training step costs with the losses for late interaction and for sparse embeddings, against the built-in ones.

A step is forward, loss and backward of a small random BERT, on padded texts of different lengths. The two losses take
turns on the same batch and the same model, so that a drift of the machine's speed hits both: "median of ratios" is the
median over the turns, and "ratio of fastest" comes closest to a machine that does nothing else. To reach: at most 1.02.

    python benchmarks/multi_vector_cost.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common
import torch
from sentence_transformers.multi_vector_encoder import losses as built_in_multi_vector
from sentence_transformers.sparse_encoder import losses as built_in_sparse
from torch import Tensor, nn
from torch.nn.functional import normalize

from selective_st.links import ConstantLink, IdentityLink
from selective_st.multi_vector_encoder import losses as multi_vector
from selective_st.sparse_encoder import losses as sparse

ROWS, NEGATIVES = 32, 3
QUERY_TOKENS, DOCUMENT_TOKENS = 16, 48
VOCABULARY = 2000
TO_REACH = 1.02

Features = dict[str, Any]


class TokenModel(nn.Module):
    """A random BERT that gives a normalised vector for each token, as a MultiVectorEncoder does."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = common.bert(vocab_size=VOCABULARY)

    def forward(self, features: Features, task: str | None = None) -> Features:
        """Add the token embeddings to the features."""
        tokens = self.bert(features["input_ids"], attention_mask=features["attention_mask"]).last_hidden_state
        return features | {"token_embeddings": normalize(tokens, dim=-1)}


class SpladeModel(nn.Module):
    """A random BERT with a masked language model's head, pooled as in SPLADE."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = common.bert("BertForMaskedLM", vocab_size=VOCABULARY)

    def forward(self, features: Features) -> Features:
        """Add the sparse embedding to the features."""
        mask = features["attention_mask"]
        logits = self.bert(features["input_ids"], attention_mask=mask).logits
        return features | {"sentence_embedding": (logits.relu().log1p() * mask.unsqueeze(-1)).amax(1)}


def step_of(loss: nn.Module, features: list[Features], labels: Tensor | None) -> Callable[[], None]:
    """A training step, less the optimizer, which is the same for all."""

    def step() -> None:
        loss.zero_grad()
        result = loss([dict(column) for column in features], labels)
        (sum(result.values()) if isinstance(result, dict) else result).backward()

    return step


def in_splade(make: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """The same loss with the regularizers of SPLADE."""

    def made(model: Any, mini_batch_size: int | None = None, **more: Any) -> nn.Module:
        cached: Any = {"mini_batch_size": mini_batch_size} if mini_batch_size else {}
        wrapper = built_in_sparse.CachedSpladeLoss if cached else built_in_sparse.SpladeLoss
        return wrapper(model, make(model, **more), 3e-5, 5e-5, **cached)

    return made


def compare(quick: bool) -> None:
    """Print the times of all losses against their built-in counterparts."""
    columns = 2 + NEGATIVES
    margins, scores = 4 * torch.rand(ROWS, NEGATIVES), 16 * torch.rand(ROWS, 1 + NEGATIVES)
    tokens, splade = TokenModel(), SpladeModel()
    # The link with which the losses are the same, the labels, and more options of both.
    of_margins, of_scores = (IdentityLink(), margins, {}), (ConstantLink(), scores, {})
    in_batch, cached = (ConstantLink(), None, {}), (ConstantLink(), None, {"mini_batch_size": 16})
    dense, other = built_in_multi_vector, built_in_sparse
    ranking = multi_vector.SelectiveMultipleNegativesRankingLoss
    cached_ranking = multi_vector.CachedSelectiveMultipleNegativesRankingLoss
    of_sparse = (other.SparseMultipleNegativesRankingLoss, sparse.SelectiveMultipleNegativesRankingLoss)
    margin = (other.SparseMarginMSELoss, sparse.SelectivePairwiseLoss)
    kl = (other.SparseDistillKLDivLoss, sparse.SelectiveListwiseLoss)
    # Of the models for late interaction, by their own names.
    of_tokens: list[tuple[Any, Any, Any]] = [
        (dense.MultiVectorMarginMSELoss, multi_vector.SelectivePairwiseLoss, of_margins),
        (dense.MultiVectorDistillKLDivLoss, multi_vector.SelectiveListwiseLoss, of_scores),
        (dense.MultiVectorMultipleNegativesRankingLoss, ranking, in_batch),
        (dense.CachedMultiVectorMultipleNegativesRankingLoss, cached_ranking, cached),
    ]
    comparisons: list[tuple[str, nn.Module, Any, Any, Any]] = [
        *((theirs.__name__, tokens, theirs, ours, more) for theirs, ours, more in of_tokens),
        *(
            (name, splade, in_splade(theirs), in_splade(ours), more)
            for name, (theirs, ours), more in (
                ("SpladeLoss(SparseMarginMSELoss)", margin, of_margins),
                ("SpladeLoss(SparseDistillKLDivLoss)", kl, of_scores),
                ("SpladeLoss(SparseMultipleNegativesRanking)", of_sparse, in_batch),
                ("CachedSpladeLoss(SparseMultipleNegatives)", of_sparse, cached),
            )
        ),
    ]
    title = f"A BERT of 2 layers, {columns} columns of texts; the same link as built in, and the default"
    common.print_heading(title, common.TIMES)
    lengths = [DOCUMENT_TOKENS if column else QUERY_TOKENS for column in range(columns)]
    features = [common.texts_of(ROWS, longest, longest // 2, VOCABULARY) for longest in lengths]
    for name, model, theirs, ours, (link, labels, more) in comparisons:
        common.progress(f"timing {name}")
        losses = {name: theirs(model, **more), "same": ours(model, link=link, **more), "default": ours(model, **more)}
        steps = {key: step_of(loss, features, labels) for key, loss in losses.items()}
        common.compare(name, steps, ROWS, (2.0, 3, 30) if quick else (20.0, 9, 400), TO_REACH)


def main() -> None:
    """Print the table."""
    arguments = common.options(
        common.parser_of(__doc__, quick="few rounds, to try the command", threads="1 where other programs are at work")
    )
    torch.manual_seed(0)
    print(f"{arguments.threads} of {common.machine()}")
    compare(arguments.quick)


if __name__ == "__main__":
    main()
