"""The guide of the in-batch losses: another model, which tells the documents that are no negatives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.losses.gradcache import CachedLossMixin, has_static_embedding_input
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.base.modules import Router
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn
from torch.nn.functional import normalize

from selective_st._validation import finite_number
from selective_st.functional._checks import one_of
from selective_st.functional._common import at_least_single, dense, without_autocast
from selective_st.functional._in_batch_common import FalseNegatives, Guidance
from selective_st.losses._common import said


@dataclass(eq=False)
class Guide:
    """A model that embeds a batch's texts too, to find the documents that are no negatives.

    Attributes:
        owner: The loss, for messages.
        encoder: The guide.
        rule: When a document is no negative.
        _decoders: What gives the texts that the trained model's tokens stand for, by the task of a route of it; empty
            if the guide reads the tokens as they are.
    """

    owner: str
    encoder: nn.Module
    rule: FalseNegatives
    _decoders: dict[str | None, Any]

    @torch.no_grad()
    def embed(self, features: Sequence[dict[str, Tensor]], **mini_batches: int | None) -> list[Tensor]:
        """The guide's embeddings of each column.

        Args:
            features: Tokenized features, one dict for each column; they are left as they are.
            **mini_batches: How many texts are embedded at once (`mini_batch_size`), and up to how many tokens
                (`mini_batch_num_tokens`); None for a column at once.

        Returns:
            One tensor of shape (rows, dim) a column.
        """
        columns = [self._features(column) for column in features]
        is_static = isinstance(self.encoder, SentenceTransformer) and has_static_embedding_input(self.encoder)
        if mini_batches.get("mini_batch_size") is None or is_static:
            return embed_columns(self.encoder, columns)
        cached: Any = CachedLossMixin()
        vars(cached).update(model=self.encoder, **mini_batches)
        in_mini_batches = partial(cached.embed_minibatch_iter, with_grad=False, copy_random_state=False)
        return [torch.cat([embeddings for embeddings, *_ in in_mini_batches(column)]) for column in columns]

    def keep_texts(self, columns: Sequence[Sequence[Any]]) -> Tensor:
        """Which texts may be negatives.

        Args:
            columns: Queries, their positives, then other texts for each query.

        Returns:
            A mask of shape (queries, columns without that of the queries); a positive is always kept.
        """
        # The same texts are there many times, as objects too.
        texts = {id(text): text for column in columns for text in column}
        places = {key: place for place, key in enumerate(texts)}
        encoder = cast(Any, self.encoder)
        encoded = encoder.encode(list(texts.values()), convert_to_tensor=True, show_progress_bar=False)
        embeddings = normalize(at_least_single(dense(encoded)))
        queries, *others = (embeddings[[places[id(text)] for text in column]] for column in columns)
        scores = torch.stack([(queries * other).sum(1) for other in others], 1)
        keep = self.rule.keep(scores, scores[:, 0])
        keep[:, 0] = True
        return keep

    def guidance(self, embeddings: Sequence[Tensor]) -> Guidance:
        """What the guide says of a batch.

        Args:
            embeddings: Its embeddings of the queries, then of each column of documents.

        Returns:
            Which candidates may be negatives.
        """
        with without_autocast(embeddings[0].device.type):
            queries, *documents = (normalize(at_least_single(column), dim=1) for column in embeddings)
            return Guidance(queries, torch.cat(documents), self.rule)

    def _features(self, column: dict[str, Tensor]) -> dict[str, Any]:
        """A column's features for the guide: the same tokens, or those of the texts that they stand for."""
        if not self._decoders:
            return dict(column)  # a model writes into the dict that it is given
        tokens = _token_lists(column)
        if tokens is None:
            raise ValueError(said("guide_tokenizer", self.owner))
        task: Any = column.get("task")
        decoder = self._decoders.get(task, self._decoders[None])
        decode = decoder.batch_decode if hasattr(decoder, "batch_decode") else decoder.decode_batch
        encoder = cast(Any, self.encoder)
        features: dict[str, Any] = batch_to_device(
            encoder.preprocess(decode(tokens, skip_special_tokens=True), task=task), encoder.device
        )
        return features


def guide_of(owner: str, model: nn.Module, settings: Mapping[str, Any]) -> Guide | None:
    """The guide of a loss, checked; None where there is none.

    Args:
        owner: The loss, for messages.
        model: The model to train.
        settings: The settings of the loss: among them `guide`, `margin` and `margin_strategy`.

    Returns:
        The guide.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or a margin is given without a guide.
    """
    encoder, margin, margin_strategy = (settings[name] for name in ("guide", "margin", "margin_strategy"))
    one_of(owner, "margin_strategy", margin_strategy, ("absolute", "relative"))
    rule = FalseNegatives(finite_number(owner, "margin", margin), margin_strategy)
    if encoder is None:
        if rule != FalseNegatives():
            raise ValueError(said("without_guide", owner))
        return None
    if not isinstance(encoder, nn.Module) or isinstance(encoder, (CrossEncoder, MultiVectorEncoder)):
        raise TypeError(said("no_guide", owner, got=type(encoder).__name__))
    return Guide(owner, encoder, rule, {} if _reads_alike(model, encoder) else _tokenizers_of(model))


def _tokenizers_of(model: nn.Module) -> dict[str | None, Any]:
    """The tokenizer of a model, and those of its routes by the task."""
    found: dict[str | None, Any] = {None: getattr(model, "tokenizer", None)}
    for router in model.children():
        if isinstance(router, Router):
            found.update({task: cast(Any, route)[0].tokenizer for task, route in router.sub_modules.items()})
    return found


def _reads_alike(model: Any, encoder: Any) -> bool:
    """Whether the guide reads the model's tokens as they are."""
    tokenizers: list[Any] = [getattr(each, "tokenizer", None) for each in (model, encoder)]
    if None in tokenizers:  # no text is tokenised, or nobody knows how
        return True
    ours, theirs = (each.get_vocab() if hasattr(each, "get_vocab") else each for each in tokenizers)
    # A late-interaction model has tokens of its own around those of a text; so may another first module, or each route.
    if ours != theirs or isinstance(model, MultiVectorEncoder) or isinstance(encoder[0], Router):
        return False
    longest, own = (getattr(each, "max_seq_length", None) or math.inf for each in (encoder, model))
    return isinstance(encoder[0], type(model[0])) and longest >= own


def _token_lists(features: dict[str, Any]) -> list[list[int]] | None:
    """The tokens of each text; None where there are none."""
    tokens = features.get("input_ids")
    if not isinstance(tokens, Tensor):
        return None
    if tokens.dim() == 2 and "cu_seq_lens_q" not in features:
        mask = features.get("attention_mask", torch.ones_like(tokens)).bool()
        return [row[kept].tolist() for row, kept in zip(tokens, mask, strict=True)]
    ends = features["cu_seq_lens_q"][1:-1] if "cu_seq_lens_q" in features else features["offsets"][1:]
    return [part.tolist() for part in tokens.flatten().cpu().tensor_split(ends.tolist())]
