"""The pointwise loss module: embed, score, and call one function."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.util import fullname, similarity_fct_name
from torch import Tensor, nn

from selective_st.links import Link
from selective_st.losses._common import (
    SimilarityFunction,
    check_model,
    check_similarity,
    labels_and_weight,
    pairwise_scores,
    space_of,
)
from selective_st.losses._objectives import PointwiseObjective, ScoreSpace


class SelectivePointwiseLoss(PointwiseObjective):
    r"""Match each predicted similarity to its label, with errors weighed by where the scores lie.

    The link's slope says how much a score region matters. With a link `h` of potential `H`, a predicted score `p` and a
    target score `s`, the loss is the mean over the batch of the matching loss

        D(p, s) = H(p) - H(s) - (p - s) h(s),      with gradient h(p) - h(s),

    or, for labels `y` that are link values (such as 0/1 with a `SigmoidLink`), of `H(p) + H*(y) - p y`, with gradient
    `h(p) - y`.

    Args:
        model: The SentenceTransformer model to train.
        link: What matters: a preset such as `high_scores()`, or any `Link`. It is used as given, never rescaled.
            Default: `high_scores()` for `targets="scores"`, `SigmoidLink(scale=20, shift=0.5)` for
            `targets="link_values"`.
        cos_score_transformation: Applied to the score before it is compared, as in `CosineSimilarityLoss`.
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        targets: `"scores"` if the labels are scores to be reached, in the range of the similarity (for cosine within
            [-1, 1]); `"link_values"` if they are values of the link, within `link.range`, such as 0/1 labels.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `targets` is unknown, a link of your own decreases, or (when a batch comes) the number of
            columns, or the shape, type or values of the labels do not fit.

    Inputs:
        +--------------------------------------+--------------------------------------------+-------------------------+
        | Inputs                               | Labels                                     | Setting                 |
        +======================================+============================================+=========================+
        | (sentence_A, sentence_B) pairs       | float similarity score                     | targets="scores"        |
        +--------------------------------------+--------------------------------------------+-------------------------+
        | (anchor, positive/negative) pairs    | 1 if positive, 0 if negative               | targets="link_values"   |
        +--------------------------------------+--------------------------------------------+-------------------------+
        | (query, doc_1, ..., doc_n)           | [score(query, doc_1), ..., score(query,    | targets="scores"        |
        |                                      | doc_n)]; NaN marks a padded document       |                         |
        +--------------------------------------+--------------------------------------------+-------------------------+

    Relations:
        - With `IdentityLink()` it is half of `CosineSimilarityLoss`: every score matters alike.
        - With a `SigmoidLink` and `targets="link_values"` it is the binary cross entropy of the logit
          `scale * (score - shift)`, divided by `scale`.
        - `CoSENTLoss` and `AnglELoss` only order the pairs of a batch; this loss also places the scores, so that a
          threshold keeps its meaning.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
        >>> from selective_st.links import high_scores
        >>> from selective_st.losses import SelectivePointwiseLoss
        >>> model = SentenceTransformer("microsoft/mpnet-base")                                   # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "sentence1": ["It's nice weather outside today.", "He drove to work."],
        ...     "sentence2": ["It's so sunny.", "She walked to the store."],
        ...     "score": [1.0, 0.3],
        ... })
        >>> loss = SelectivePointwiseLoss(model, link=high_scores())                              # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(model=model, train_dataset=train_dataset, loss=loss)  # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    def __init__(
        self,
        model: SentenceTransformer,
        link: Link | None = None,
        cos_score_transformation: nn.Module | None = None,
        similarity_fct: SimilarityFunction = torch.cosine_similarity,
        targets: Literal["scores", "link_values"] = "scores",
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        check_model(owner, model, self.model_type)
        if cos_score_transformation is None:
            cos_score_transformation = nn.Identity()
        if not isinstance(cos_score_transformation, nn.Module):
            raise TypeError(
                f"{owner}: cos_score_transformation must be a torch.nn.Module, got "
                f"{type(cos_score_transformation).__name__}."
            )
        check_similarity(owner, similarity_fct, pairwise=True)
        space = space_of(similarity_fct, self.model_type)
        if not isinstance(cos_score_transformation, nn.Identity):
            space = ScoreSpace(fullname(cos_score_transformation))
        self._set_objective(owner, space, link=link, targets=targets)
        self.model = model
        self.cos_score_transformation = cos_score_transformation
        self.similarity_fct = similarity_fct

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: Labels of shape (batch_size,) for two columns, (batch_size, n) for n + 1.

        Returns:
            The mean loss, a scalar.
        """
        return self.compute_loss_from_embeddings(embed_columns(self.model, sentence_features), labels)

    def compute_loss_from_embeddings(
        self, embeddings: list[Tensor], labels: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """The loss from embeddings.

        Args:
            embeddings: One tensor of shape (batch_size, dim) a column.
            labels: Labels of shape (batch_size,) for two columns, (batch_size, n) for n + 1.
            weight: Weights >= 0 of the rows, of shape (batch_size,), for the mean. They may come with the labels too:
                `{"label": labels, "weight": weight}`, as `with_row_weights` has them collated.

        Returns:
            The mean loss, a scalar.
        """
        self._check_columns(len(embeddings), len(embeddings[0]) if embeddings else 0)
        labels, weight = labels_and_weight(type(self).__name__, labels, weight, len(embeddings[0]))
        scores = self.cos_score_transformation(pairwise_scores(embeddings, self.similarity_fct, labels))
        return self.loss_of_scores(scores, labels, weight)

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        return {
            "link": self.link.get_config_dict(),
            "cos_score_transformation": fullname(self.cos_score_transformation),
            "similarity_fct": similarity_fct_name(self.similarity_fct),
            **self._objective_config(),
        }
