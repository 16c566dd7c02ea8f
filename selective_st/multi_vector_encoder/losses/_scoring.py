"""The scorers of the losses for a MultiVectorEncoder: token embeddings, and the functions that compare them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.losses.merged_forward import embed_columns_padded
from sentence_transformers.multi_vector_encoder import scoring
from sentence_transformers.util import similarity_fct_name, stack_padded_token_embeddings
from torch import Tensor, nn
from typing_extensions import override

from selective_st.functional._common import at_least_single, without_autocast
from selective_st.links import Interval, Link
from selective_st.losses import _settings as settings
from selective_st.losses._common import ScoreSpace, gentle_link, sentence, without_padding
from selective_st.losses._loss import Loss
from selective_st.losses._scorers import Scorer

LateInteraction = Callable[..., Tensor]

_MODULE = "sentence_transformers.multi_vector_encoder.scoring"
# How many tokens a query has in the usual late-interaction model; MaxSim sums a cosine of each.
QUERY_TOKENS = 32
_SUMMED = 2.0  # a median score beyond it is no mean of cosines
_MAXSIM, _MEAN = 0, 1  # the places of families in a kind


class ScoringKind(NamedTuple):
    """A kind of late-interaction functions: what they compare, and those known, by family.

    Attributes:
        compares: What is compared with what.
        functions: For each family of functions (MaxSim, MeanMaxSim, XTR, XTR with settings) the one of this kind.
    """

    compares: str
    functions: tuple[Any, ...]


PAIRS = ScoringKind(
    "each query with one document",
    (scoring.colbert_scores_pairwise, scoring.mean_colbert_scores_pairwise, *[scoring.xtr_scores_pairwise] * 2),
)
LISTS = ScoringKind(
    "each query with its own documents",
    (scoring.colbert_kd_scores, scoring.mean_colbert_kd_scores, scoring.xtr_kd_scores, scoring.XTRKDScores),
)
ALL = ScoringKind(
    "each query with the documents of all",
    (scoring.colbert_scores, scoring.mean_colbert_scores, scoring.xtr_scores, scoring.XTRScores),
)


@dataclass(frozen=True)
class TokenEmbeddings:
    """The embeddings of one column of texts, a vector for each token.

    Attributes:
        embeddings: Of shape (batch_size, tokens, dim).
        mask: Which tokens count, of shape (batch_size, tokens); None for all.
    """

    embeddings: Tensor
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeddings)


def _known_as(similarity_fct: Any) -> tuple[ScoringKind | None, int]:
    """The kind of a function, and its place in the table: of what it binds, or of the class that it is of."""
    if isinstance(similarity_fct, functools.partial):
        similarity_fct = similarity_fct.func
    known = type(similarity_fct) if isinstance(similarity_fct, scoring.XTRScores) else similarity_fct
    places = ((kind, kind.functions.index(known)) for kind in (PAIRS, LISTS, ALL) if known in kind.functions)
    return next(places, (None, -1))


def normalizes_tokens(model: nn.Module) -> bool:
    """Whether the tokens' embeddings are known to have unit length, at most shortened by pooling."""
    shortening = ("MultiVectorMask", "TokenPooling")
    others = [module for module in model.children() if type(module).__name__ not in shortening]
    last: Any = others[-1] if others else None
    return type(last).__name__ == "Normalize" and getattr(last, "module_output_name", "") == "token_embeddings"


def _without_padding(columns: Sequence[TokenEmbeddings], mask: Tensor | None) -> list[TokenEmbeddings]:
    queries, *documents = columns
    embeddings = without_padding([column.embeddings for column in documents], mask)
    return [queries, *(TokenEmbeddings(*pair) for pair in zip(embeddings, (d.mask for d in documents), strict=True))]


def stack(documents: Sequence[TokenEmbeddings]) -> TokenEmbeddings:
    """Columns of documents as one, of shape (batch_size, documents, tokens, dim)."""
    embeddings, masks = zip(*((column.embeddings, column.mask) for column in map(with_mask, documents)), strict=True)
    return TokenEmbeddings(*stack_padded_token_embeddings(list(embeddings), list(masks)))


def with_mask(column: TokenEmbeddings) -> TokenEmbeddings:
    """The column with a mask, where it has none."""
    if column.mask is not None:
        return column
    shape, device = column.embeddings.shape[:2], column.embeddings.device
    return TokenEmbeddings(column.embeddings, torch.ones(shape, dtype=torch.bool, device=device))


@dataclass(frozen=True, kw_only=True)
class LateInteractionOfPairs(Scorer):
    """The late-interaction score of each query with one document after the other.

    Attributes:
        kind: What the function must compare.
        similarity_fct: The late-interaction function; None for MaxSim.
        mini_batch_size: The most documents of a forward pass; None for no limit.
        nature: What scores are known to be: "sum" or "mean" of the tokens' highest similarities, "other mean", or None.
    """

    kind: ClassVar[ScoringKind] = PAIRS
    similarity_fct: Any
    mini_batch_size: int | None = settings.whole(None)
    nature: str | None = settings.found()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.similarity_fct is None:
            self._settle(similarity_fct=self.kind.functions[_MAXSIM])
        self._settle(nature=self._nature_of(self.similarity_fct))

    def _nature_of(self, similarity_fct: Any) -> str | None:
        """What scores are; an error unless it is a late-interaction function, of the right kind where that is known."""
        kind, family = _known_as(similarity_fct)
        right = f"{_MODULE}.{self.kind.functions[max(family, _MAXSIM)].__name__}"
        if isinstance(similarity_fct, (type, Link)) or not callable(similarity_fct):
            raise TypeError(self.said("no_late_interaction", got=repr(similarity_fct), right=right))
        name = similarity_fct_name(similarity_fct)
        if kind not in (None, self.kind):
            raise ValueError(self.said("other_kind", kind=self.kind, name=name, other=kind, right=right))
        try:
            inspect.signature(similarity_fct).bind(None, None, queries_mask=None, documents_mask=None)
        except (TypeError, ValueError):
            raise ValueError(self.said("takes_no_masks", name=name, right=right)) from None
        if kind is None or family not in (_MAXSIM, _MEAN):
            return None if kind is None else "other mean"
        options = similarity_fct.keywords if isinstance(similarity_fct, functools.partial) else {}
        return "mean" if options.get("length_normalize", family == _MEAN) else "sum"

    @override
    def space(self, model: nn.Module, model_type: type[nn.Module]) -> ScoreSpace:
        highest = 1.0 if self.nature in ("mean", "other mean") else float(QUERY_TOKENS)
        space = ScoreSpace(similarity_fct_name(self.similarity_fct), highest=highest)
        # A mean of the cosines of tokens cannot leave their range.
        if self.nature == "mean" and normalizes_tokens(model):
            space = space._replace(range=Interval(-1.0, 1.0))
        return space

    @override
    def remarks_on(self, model: nn.Module) -> list[str]:
        if getattr(model, "similarity_fn_name", None) != "maxsim" or self.nature not in ("mean", "other mean"):
            return []
        return [sentence("means_of_sums", name=similarity_fct_name(self.similarity_fct))]

    @override
    def remarks(self, scores: Tensor, targets: Tensor) -> list[str]:
        if self.nature != "sum":
            return []
        typical, highest = float(scores.detach().abs().median()), float(targets.abs().nan_to_num(0.0).max())
        if not typical > _SUMMED or highest > 1:
            return []
        facts = {"typical": typical, "highest": highest, "mean": self.kind.functions[_MEAN].__name__}
        return [sentence("sums_of_means", name=similarity_fct_name(self.similarity_fct), **facts)]

    def embed(self, model: nn.Module, sentence_features: Iterable[dict[str, Any]]) -> list[TokenEmbeddings]:
        """The embeddings of each column's tokens, all documents in one forward pass where that is possible.

        Args:
            model: A MultiVectorEncoder.
            sentence_features: Tokenized features, one dict for each column: the first of queries, the others of
                documents, unless their `task` says otherwise.

        Returns:
            The embeddings of each column.
        """
        features = [dict(column) for column in sentence_features]
        if not features:
            return []  # of which the check of the columns tells
        queries, *documents = features
        output = model(queries, task=queries.get("task", "query"))
        # The model's MultiVectorMask has put the tokens that count into the mask.
        columns = [TokenEmbeddings(output["token_embeddings"], output["attention_mask"].bool())]
        if documents:
            embedded = embed_columns_padded(model, documents, self.mini_batch_size, task_default="document")
            columns += map(TokenEmbeddings, *embedded)
        return columns

    def scores(self, embeddings: Sequence[TokenEmbeddings], mask: Tensor | None) -> Tensor:
        """The scores of a batch.

        Args:
            embeddings: For each column the embeddings of its tokens.
            mask: Which documents of the last columns count; None for all.

        Returns:
            Scores of shape (batch_size,) for one column of documents, (batch_size, documents) for more.
        """
        queries, *documents = _without_padding(embeddings, mask)
        scores = [self._score(queries, column, len(queries)) for column in documents]
        return scores[0] if len(scores) == 1 else torch.stack(scores, dim=1)

    def _score(self, queries: TokenEmbeddings, documents: TokenEmbeddings, *shape: int) -> Tensor:
        """What the function gives, in at least single precision and of that shape."""
        # A cosine of 0.95 in bfloat16 is 0.95 +- 0.004, and a score adds up many.
        with without_autocast(queries.embeddings.device.type):
            scores: Tensor = self.similarity_fct(
                at_least_single(queries.embeddings),
                at_least_single(documents.embeddings),
                queries_mask=queries.mask,
                documents_mask=documents.mask,
            )
        if scores.shape != shape:
            facts = {"kind": self.kind, "name": similarity_fct_name(self.similarity_fct), "got": tuple(scores.shape)}
            right = f"{_MODULE}.{self.kind.functions[_MAXSIM].__name__}"
            raise ValueError(self.said("late_shape", shape=shape, right=right, **facts))
        return scores


@dataclass(frozen=True, kw_only=True)
class LateInteractionOfLists(LateInteractionOfPairs):
    """The late-interaction score of each query with its own documents at once."""

    kind: ClassVar[ScoringKind] = LISTS

    @override
    def scores(self, embeddings: Sequence[TokenEmbeddings], mask: Tensor | None) -> Tensor:
        queries, *documents = _without_padding(embeddings, mask)
        return self._score(queries, stack(documents), len(queries), len(documents))


@dataclass(frozen=True, kw_only=True)
class LateInteractionOfAll(LateInteractionOfPairs):
    """The late-interaction score of each query with the documents of all.

    Attributes:
        score_mini_batch_size: The most queries scored at once; None for no limit.
    """

    kind: ClassVar[ScoringKind] = ALL
    score_mini_batch_size: int | None = settings.whole(None)

    def of_some(self, queries: TokenEmbeddings, begin: int, count: int, documents: TokenEmbeddings) -> Tensor:
        """The scores of some queries against the documents of all.

        Args:
            queries: All queries.
            begin: The first of those that are scored.
            count: How many are, if there are as many.
            documents: Of shape (queries, documents, tokens, dim), as `stack` gives them.

        Returns:
            Scores of shape (count, queries * documents): those against the first query's documents come first.
        """
        rows = slice(begin, begin + count)
        some = TokenEmbeddings(queries.embeddings[rows], None if queries.mask is None else queries.mask[rows])
        return self._score(some, documents, len(some), documents.embeddings.shape[:2].numel())


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
