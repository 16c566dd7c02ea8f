"""The scorers of the losses for a MultiVectorEncoder: late interaction, of pairs, of lists, of all with all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.util import similarity_fct_name
from torch import Tensor, nn
from typing_extensions import override

from selective_st.links import Interval, Link
from selective_st.losses._common import ScoreSpace, gentle_link, optional, sentence, whole
from selective_st.losses._loss import Loss
from selective_st.losses._scorers import Scorer
from selective_st.multi_vector_encoder.losses._scoring import (
    ALL,
    LISTS,
    PAIRS,
    ScoringKind,
    TokenEmbeddings,
    check_scoring,
    embed,
    highest_score,
    is_maxsim,
    is_mean,
    is_mean_maxsim,
    list_scores,
    normalizes_tokens,
    pair_scores,
)

_SUMMED = 2.0  # a median score beyond it is no mean of cosines


@dataclass(frozen=True, kw_only=True)
class LateInteractionOfPairs(Scorer):
    """The late-interaction score of each query with one document after the other.

    Attributes:
        kind: What the function must compare.
        similarity_fct: The late-interaction function; None for MaxSim.
        mini_batch_size: The most documents of a forward pass; None for no limit.
    """

    kind: ClassVar[ScoringKind] = PAIRS
    similarity_fct: Any
    mini_batch_size: int | None

    def __post_init__(self) -> None:
        check_size(self.owner, "mini_batch_size", self.mini_batch_size)
        self._settle(similarity_fct=check_scoring(self.owner, self.similarity_fct, self.kind))

    @override
    def space(self, model: nn.Module, model_type: type[nn.Module]) -> ScoreSpace:
        space = ScoreSpace(similarity_fct_name(self.similarity_fct), highest=highest_score(self.similarity_fct))
        # A mean of the cosines of tokens cannot leave their range.
        if is_mean_maxsim(self.similarity_fct) and normalizes_tokens(model):
            space = space._replace(range=Interval(-1.0, 1.0))
        return space

    @override
    def remarks_on(self, model: nn.Module) -> list[str]:
        if getattr(model, "similarity_fn_name", None) != "maxsim" or not is_mean(self.similarity_fct):
            return []
        return [sentence("means_of_sums", name=similarity_fct_name(self.similarity_fct))]

    @override
    def remarks(self, scores: Tensor, targets: Tensor) -> list[str]:
        if not is_maxsim(self.similarity_fct):
            return []
        typical, highest = float(scores.detach().abs().median()), float(targets.abs().nan_to_num(0.0).max())
        if not typical > _SUMMED or highest > 1:
            return []
        facts = {"typical": typical, "highest": highest, "mean": self.kind.mean.__name__}
        return [sentence("sums_of_means", name=similarity_fct_name(self.similarity_fct), **facts)]

    def embed(self, model: nn.Module, features: Iterable[dict[str, Any]]) -> list[TokenEmbeddings]:
        """The embeddings of each column's tokens, the first as queries, the others as documents."""
        return embed(model, features, self.mini_batch_size)

    def scores(self, embeddings: Sequence[TokenEmbeddings], mask: Tensor | None) -> Tensor:
        """The scores of a batch.

        Args:
            embeddings: For each column the embeddings of its tokens.
            mask: Which documents of the last columns count; None for all.

        Returns:
            Scores of shape (batch_size,) for one column of documents, (batch_size, documents) for more.
        """
        scores = pair_scores(embeddings, self.similarity_fct, mask)
        return scores.squeeze(1) if len(embeddings) == 2 else scores


@dataclass(frozen=True, kw_only=True)
class LateInteractionOfLists(LateInteractionOfPairs):
    """The late-interaction score of each query with its own documents at once."""

    kind: ClassVar[ScoringKind] = LISTS

    @override
    def scores(self, embeddings: Sequence[TokenEmbeddings], mask: Tensor | None) -> Tensor:
        return list_scores(embeddings, self.similarity_fct, mask)


@dataclass(frozen=True, kw_only=True)
class LateInteractionOfAll(LateInteractionOfPairs):
    """The late-interaction score of each query with the documents of all."""

    kind: ClassVar[ScoringKind] = ALL


check_size = optional(whole, ", or None for no limit")


def list_link(space: ScoreSpace, targets: str | None) -> Link:
    """The default link of a loss on lists: linear above the highest score to be expected, it cannot overflow."""
    return gentle_link(space.highest)


class LateInteractionLoss(Loss):
    """A loss for a MultiVectorEncoder."""

    # Before 6.2, Sentence Transformers needs it to split images into mini-batches.
    requires_media_counts: ClassVar[bool] = True
    model_type = MultiVectorEncoder
    scorer_type = LateInteractionOfPairs
    default_link = staticmethod(list_link)
