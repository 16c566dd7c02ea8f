"""Tiny models of all four model types, made on the spot: no network, fixed seeds.

Each function makes its model once a session and hands out a copy, so that a test may train or change it.
"""

from __future__ import annotations

import copy
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import InputModule, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder, SparseStaticEmbedding, SpladePooling
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
)

from tests import random_inputs

DIMENSION = 16
WORDS = (
    "a",
    "red",
    "green",
    "blue",
    "old",
    "new",
    "small",
    "big",
    "cat",
    "dog",
    "bird",
    "horse",
    "house",
    "river",
    "road",
    "tree",
    "sleeps",
    "runs",
    "sings",
    "waits",
    "near",
    "under",
    "over",
    "behind",
    "the",
    "and",
    "very",
    "not",
    "fast",
    "slow",
    "warm",
    "cold",
)
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_FOLDER = tempfile.TemporaryDirectory(prefix="selective-st-models-")


def sentence(number: int) -> str:
    """A sentence of five known words; different numbers up to some thousands give different sentences.

    Args:
        number: Which one.

    Returns:
        The sentence.
    """
    generator = random_inputs.generator(1000 + number)
    return " ".join(WORDS[int(place)] for place in torch.randint(len(WORDS), (5,), generator=generator))


@lru_cache(maxsize=1)
def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, with BERT's special tokens.

    Returns:
        The tokenizer, shared: do not change it.
    """
    vocabulary = {word: place for place, word in enumerate((*_SPECIAL, *WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer()
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


@lru_cache(maxsize=8)
def _saved(architecture: type[Any], num_labels: int = 1) -> Path:
    torch.manual_seed(random_inputs.seed_of(0))
    folder = Path(_FOLDER.name) / f"{architecture.__name__}-{num_labels}"
    config = BertConfig(
        vocab_size=len(tokenizer()),
        hidden_size=DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=tokenizer().pad_token_id,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=num_labels,
        initializer_range=0.2,  # 0.02 gives all texts nearly the same embedding, and gradients of nearly nothing
    )
    architecture(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@lru_cache(maxsize=1)
def _static() -> SentenceTransformer:
    torch.manual_seed(random_inputs.seed_of(0))
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer(), embedding_dim=DIMENSION)], device="cpu")


@lru_cache(maxsize=1)
def _bert() -> SentenceTransformer:
    transformer = Transformer(str(_saved(BertModel)))
    return SentenceTransformer(modules=[transformer, Pooling(DIMENSION, pooling_mode="cls")], device="cpu")


@lru_cache(maxsize=4)
def _cross_encoder(num_labels: int) -> CrossEncoder:
    return CrossEncoder(str(_saved(BertForSequenceClassification, num_labels)), num_labels=num_labels, device="cpu")


@lru_cache(maxsize=1)
def _splade() -> SparseEncoder:
    transformer = Transformer(str(_saved(BertForMaskedLM)), transformer_task="fill-mask")
    return SparseEncoder(modules=[transformer, SpladePooling("max")], device="cpu")


@lru_cache(maxsize=1)
def _sparse_static() -> SparseEncoder:
    torch.manual_seed(random_inputs.seed_of(0))
    weight = torch.rand(len(tokenizer())) + 0.5
    return SparseEncoder(modules=[SparseStaticEmbedding(tokenizer(), weight=weight)], device="cpu")


@lru_cache(maxsize=1)
def _autoencoder() -> SparseEncoder:
    torch.manual_seed(random_inputs.seed_of(0))
    transformer = Transformer(str(_saved(BertModel)))
    sparse = SparseAutoEncoder(input_dim=DIMENSION, hidden_dim=4 * DIMENSION, k=4, k_aux=8)
    return SparseEncoder(modules=[transformer, Pooling(DIMENSION), sparse], device="cpu")


@lru_cache(maxsize=1)
def _multi_vector() -> MultiVectorEncoder:
    return MultiVectorEncoder(modules=[Transformer(str(_saved(BertModel)))], device="cpu")


def static_model() -> SentenceTransformer:
    """A random static embedding model."""
    return copy.deepcopy(_static())


def bert_model() -> SentenceTransformer:
    """A tiny random BERT with CLS pooling."""
    return copy.deepcopy(_bert())


def cross_encoder(num_labels: int = 1) -> CrossEncoder:
    """A tiny random BERT that reads pairs, with so many outputs."""
    return copy.deepcopy(_cross_encoder(num_labels))


def splade_model() -> SparseEncoder:
    """A tiny random SPLADE model: one dimension a word."""
    return copy.deepcopy(_splade())


def sparse_static_model() -> SparseEncoder:
    """A sparse encoder with one weight a word."""
    return copy.deepcopy(_sparse_static())


def autoencoder_model() -> SparseEncoder:
    """A sparse encoder with a SparseAutoEncoder, as CSRLoss wants it."""
    return copy.deepcopy(_autoencoder())


def multi_vector_model() -> MultiVectorEncoder:
    """A tiny random late-interaction model: one vector a word."""
    return copy.deepcopy(_multi_vector())


def model_for(model_type: str, num_labels: int = 1) -> Any:
    """A model of a type, by the name of its class.

    Args:
        model_type: SentenceTransformer, CrossEncoder, SparseEncoder or MultiVectorEncoder.
        num_labels: How many outputs a cross encoder has.

    Returns:
        The model, fresh.
    """
    if model_type == "CrossEncoder":
        return cross_encoder(num_labels)
    return {"SentenceTransformer": bert_model, "SparseEncoder": splade_model, "MultiVectorEncoder": multi_vector_model}[
        model_type
    ]()


class _Table(InputModule):
    """Embeds the text "7" as row 7 of a table, so that the gradient of each text stands apart from the others'."""

    max_seq_length = 64

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight.clone())
        self.tokenizer = tokenizer()  # GISTEmbedLoss compares it with the guide's

    def preprocess(self, inputs: Any, prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        ids = torch.tensor([[int(text)] * self.weight.shape[1] for text in inputs])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        vectors = self.weight[features["input_ids"][:, 0]]
        features["token_embeddings"] = vectors
        features["sentence_embedding"] = vectors[:, 0]
        return features

    def get_embedding_dimension(self) -> int:
        return self.weight.shape[2]

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("a table is for tests, not for keeping")


def table_model(model_type: str, weight: torch.Tensor) -> Any:
    """A model whose text "7" is row 7 of `weight`, of shape (texts, vectors of a text, dimension).

    Args:
        model_type: SentenceTransformer, SparseEncoder or MultiVectorEncoder.
        weight: The embeddings; `model[0].weight` is the parameter made of them.

    Returns:
        The model.
    """
    kinds = {
        "SentenceTransformer": SentenceTransformer,
        "SparseEncoder": SparseEncoder,
        "MultiVectorEncoder": MultiVectorEncoder,
    }
    return kinds[model_type](modules=[_Table(weight)], device="cpu")
