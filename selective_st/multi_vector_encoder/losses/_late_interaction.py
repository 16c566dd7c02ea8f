"""What the loss modules for a MultiVectorEncoder share: from texts to token embeddings, and the checks."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, ClassVar

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.util import similarity_fct_name
from torch import Tensor, nn

from selective_st.links import ConstantLink, Interval, Link
from selective_st.losses._common import ScoreSpace, check_model
from selective_st.multi_vector_encoder.losses._scoring import (
    LateInteraction,
    ScoringKind,
    TokenEmbeddings,
    check_scoring,
    embed,
    is_maxsim,
    is_mean,
    is_mean_maxsim,
    normalizes_tokens,
)

logger = logging.getLogger(__name__)

_SUMMED = 2.0  # a median score beyond it is no mean of cosines


def check_size(owner: str, name: str, value: object) -> None:
    """Raise a ValueError unless `value` is a whole number > 0, or None."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return
    raise ValueError(f"{owner}: {name} must be a whole number > 0, or None for no limit, got {value!r}.")


class LateInteractionLoss(nn.Module):
    """The scorer of a loss for a MultiVectorEncoder; an objective is the other base class.

    Attributes:
        model_type: The type of model that a module trains.
        scoring_kind: What its late-interaction function must compare.
        model: The model to train.
        similarity_fct: The late-interaction function.
        mini_batch_size: The most documents of a forward pass; None for no limit.
    """

    # Before 6.2, Sentence Transformers needs it to split images into mini-batches.
    requires_media_counts: ClassVar[bool] = True
    model_type: ClassVar[type[nn.Module]] = MultiVectorEncoder
    scoring_kind: ClassVar[ScoringKind]
    model: MultiVectorEncoder
    similarity_fct: LateInteraction
    mini_batch_size: int | None

    def _set_scorer(
        self, owner: str, model: MultiVectorEncoder, similarity_fct: object, mini_batch_size: int | None
    ) -> ScoreSpace:
        """Set where the scores come from, checked.

        Args:
            owner: The loss, for messages.
            model: The model to train.
            similarity_fct: The late-interaction function, or None for MaxSim.
            mini_batch_size: The most documents of a forward pass; None for no limit.

        Returns:
            The space of the scores.
        """
        check_model(owner, model, self.model_type)
        check_size(owner, "mini_batch_size", mini_batch_size)
        self.model = model
        self.similarity_fct = check_scoring(owner, similarity_fct, self.scoring_kind)
        self.mini_batch_size = mini_batch_size
        self._scale_checked = not is_maxsim(self.similarity_fct)
        # A mean of the cosines of tokens cannot leave their range.
        are_cosines = is_mean_maxsim(self.similarity_fct) and normalizes_tokens(model)
        space = ScoreSpace(similarity_fct_name(self.similarity_fct))
        if are_cosines:
            space = space._replace(range=Interval(-1.0, 1.0))
        if getattr(model, "similarity_fn_name", None) == "maxsim" and is_mean(self.similarity_fct):
            logger.warning(
                f"{owner}: the scores of {space.name} are means over the query's tokens, but the model's "
                'similarity_fn_name is "maxsim", their sum. Set model.similarity_fn_name = "meanmaxsim", so that it '
                "scores as it is trained."
            )
        return space

    def embed(self, sentence_features: Iterable[dict[str, Any]]) -> list[TokenEmbeddings]:
        """What `compute_loss_from_embeddings` takes.

        Args:
            sentence_features: Tokenized features, one dict for each column.

        Returns:
            The token embeddings of each column, the first as queries, the others as documents.
        """
        return embed(self.model, sentence_features, self.mini_batch_size)

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column: queries, then documents.
            labels: What the loss takes as labels.

        Returns:
            The mean loss, a scalar.
        """
        return self.compute_loss_from_embeddings(self.embed(sentence_features), labels)

    def compute_loss_from_embeddings(
        self, embeddings: list[TokenEmbeddings], labels: Tensor | None, weight: Tensor | None = None
    ) -> Tensor:
        """The loss from embeddings.

        Args:
            embeddings: For each column the embeddings of its tokens, and which of these count.
            labels: What the loss takes as labels.
            weight: Weights of the rows.

        Returns:
            The mean loss, a scalar.
        """
        raise NotImplementedError

    def _check_scale(self, scores: Tensor, targets: Any) -> None:
        """Warn, once, where sums over tokens are to match targets of at most 1."""
        if self._scale_checked or not isinstance(targets, Tensor):
            return
        self._scale_checked = True
        typical, highest = float(scores.detach().abs().median()), float(targets.abs().nan_to_num(0.0).max())
        if typical > _SUMMED and highest <= 1:
            kind = self.scoring_kind
            logger.warning(
                f"{type(self).__name__}: the scores of {similarity_fct_name(self.similarity_fct)} are sums over the "
                f"query's tokens, in the first batch about {typical:.3g}, but the targets are at most {highest:.3g}, "
                f"as means are. Use similarity_fct={kind.mean.__name__}, or bring the targets to the scale of the "
                "scores; ConstantLink() with calibration=0 does not mind."
            )


def is_plain(link: Link, calibration: float, calibration_link: Link) -> bool:
    """Whether a loss on lists is a plain Softmax, which does not care where the scores lie."""
    calibrates = calibration > 0 and not isinstance(calibration_link, ConstantLink)
    return isinstance(link, ConstantLink) and not calibrates


def column_sizes(embeddings: list[TokenEmbeddings]) -> tuple[int, int]:
    """How many columns, and how many rows."""
    return len(embeddings), len(embeddings[0].embeddings) if embeddings else 0
