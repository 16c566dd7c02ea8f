"""The pointwise loss module: embed, score, and call one function."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.util import fullname, similarity_fct_name
from torch import Tensor, nn

from selective_st.functional import fenchel_young_loss, matching_loss
from selective_st.functional._common import check_link
from selective_st.links import Interval, Link, SigmoidLink, high_scores
from selective_st.losses._common import (
    MAP_SCORES,
    PAPER_CITATION,
    SimilarityFunction,
    check_label_range,
    check_model,
    check_similarity,
    pairwise_scores,
    score_range_of,
)

_TARGETS = ("scores", "link_values")


class SelectivePointwiseLoss(nn.Module):
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
        check_model(owner, model)
        if targets not in _TARGETS:
            raise ValueError(f"{owner}: targets must be one of {', '.join(map(repr, _TARGETS))}, got {targets!r}.")
        if link is None:
            link = high_scores() if targets == "scores" else SigmoidLink(scale=20.0, shift=0.5)
        if cos_score_transformation is None:
            cos_score_transformation = nn.Identity()
        if not isinstance(cos_score_transformation, nn.Module):
            raise TypeError(
                f"{owner}: cos_score_transformation must be a torch.nn.Module, got "
                f"{type(cos_score_transformation).__name__}."
            )
        check_similarity(owner, similarity_fct, pairwise=True)
        self.model = model
        self.link = check_link(owner, link)
        self.link.validate()
        self.cos_score_transformation = cos_score_transformation
        self.similarity_fct = similarity_fct
        self.targets = targets
        bounds = self.link.range if targets == "link_values" else self.link.domain
        self._label_bounds = bounds if bounds != (-math.inf, math.inf) else None
        # Where labels must lie: what says so, and what to do where they do not.
        self._label_ranges: dict[tuple[str, Interval], str] = {}
        if targets == "link_values":
            what = f'the range of {self.link!r} (targets="link_values")'
            advice = 'If the labels are scores to be reached, use targets="scores".'
            self._label_ranges[what, self.link.range] = advice
        else:
            self._label_ranges[f"the domain of {self.link!r}", self.link.domain] = MAP_SCORES
        if isinstance(cos_score_transformation, nn.Identity):
            scores, name = score_range_of(similarity_fct), similarity_fct_name(similarity_fct)
            if not self.link.domain.includes(scores) and scores.low > -math.inf:
                raise ValueError(
                    f"{owner}: the scores of {name} lie in {scores}, beyond the domain {self.link.domain} of "
                    f"{self.link!r}. Use link.linear_outside(low, high), with ends inside the domain."
                )
            if targets == "scores":
                self._label_ranges[f"the range of {name}", scores] = MAP_SCORES

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: Labels of shape (batch_size,) for two columns, (batch_size, n) for n + 1.

        Returns:
            The mean loss, a scalar.
        """
        return self.compute_loss_from_embeddings(embed_columns(self.model, sentence_features), labels)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss from embeddings.

        Args:
            embeddings: One tensor of shape (batch_size, dim) a column.
            labels: Labels of shape (batch_size,) for two columns, (batch_size, n) for n + 1.

        Returns:
            The mean loss, a scalar.
        """
        labels, mask = self._check_labels(embeddings, labels)
        scores = self.cos_score_transformation(pairwise_scores(embeddings, self.similarity_fct))
        loss = matching_loss if self.targets == "scores" else fenchel_young_loss
        return loss(scores, labels.to(scores.dtype), self.link, mask=mask)

    def _check_labels(self, embeddings: list[Tensor], labels: Any) -> tuple[Tensor, Tensor | None]:
        """The labels in the shape of the scores, and which of them count, or an error that says what is wrong."""
        owner = type(self).__name__
        documents = len(embeddings) - 1
        if documents < 1:
            raise ValueError(
                f"{owner} compares a first text column with one or more others, but the dataset has {len(embeddings)} "
                "text column(s). Give it (sentence_A, sentence_B) with a label column; see dataset.select_columns."
            )
        batch_size = embeddings[0].shape[0]
        if batch_size == 0:
            raise ValueError(f"{owner}: got an empty batch; sentence_features must hold at least one row.")
        if not isinstance(labels, Tensor):
            raise TypeError(
                f"{owner}: labels must be a tensor, got {type(labels).__name__}. The dataset needs a column named "
                '"label", "labels", "score" or "scores".'
            )
        shapes = [(batch_size,), (batch_size, 1)] if documents == 1 else [(batch_size, documents)]
        if tuple(labels.shape) not in shapes:
            raise ValueError(
                f"{owner}: labels must have shape {' or '.join(map(str, shapes))} for {len(embeddings)} text columns "
                f"(one label for each column after the first), got {tuple(labels.shape)}. Remove text columns that "
                "have no label, or give each row a list of labels."
            )
        if not labels.is_floating_point() and (self.targets == "scores" or labels.is_complex()):
            raise TypeError(
                f"{owner}: labels must be floats where they are scores to be reached, got {labels.dtype}. For scores "
                'use dataset.cast_column("score", Value("float32")); for 0/1 classes use targets="link_values".'
            )
        labels = labels if labels.is_floating_point() else labels.float()
        if documents == 1:
            labels = labels.view(batch_size)
        mask = check_label_range(owner, labels, self._label_ranges)
        if self._label_bounds is not None:
            labels = labels.clamp(*self._label_bounds)  # of the rounding error that the check allows
        return labels, mask

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        return {
            "link": self.link.get_config_dict(),
            "cos_score_transformation": fullname(self.cos_score_transformation),
            "similarity_fct": similarity_fct_name(self.similarity_fct),
            "targets": self.targets,
        }

    @property
    def citation(self) -> str:
        """BibTeX of the paper that introduced selective matching losses."""
        return PAPER_CITATION
