"""Shared fixtures: models made on the spot, fixed seeds."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.training import train_tokenizer
from tests import random_inputs

for _backend in (torch.cuda, torch.xpu):
    if not _backend.is_available():
        _backend.manual_seed_all = lambda seed: None  # which notes a traceback, for when there is such a device one day


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.default_generator.manual_seed(random_inputs.seed_of(0))


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str, float]]:
    """Graded sentence pairs with scores from 0 to 5."""
    return graded_pairs(64, seed=1)


@pytest.fixture(scope="session")
def pair_dataset(pairs: list[tuple[str, str, float]]) -> Dataset:
    """The pairs with scores from 0 to 1."""
    return Dataset.from_list(
        [{"sentence1": a, "sentence2": b, "score": score / HIGHEST_SCORE} for a, b, score in pairs]
    )


@pytest.fixture(autouse=True)
def _pairs_without_format(request: pytest.FixtureRequest) -> None:
    """Trainers of Sentence Transformers 6.0 set a format on the dataset that they are given."""
    if "pair_dataset" in request.fixturenames:
        request.getfixturevalue("pair_dataset").reset_format()


@pytest.fixture(scope="session")
def transformer_folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT sentence encoder, saved."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    fast = PreTrainedTokenizerFast(tokenizer_object=copy.deepcopy(tokenizer), unk_token="[UNK]", pad_token="[PAD]")
    fast.add_special_tokens({"pad_token": "[PAD]"})
    torch.manual_seed(random_inputs.seed_of(0))
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=fast.pad_token_id,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertModel(config).save_pretrained(folder / "bert")
    fast.save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    model = SentenceTransformer(modules=[transformer, Pooling(transformer.get_embedding_dimension())], device="cpu")
    model.save_pretrained(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="session")
def loaded(transformer_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(transformer_folder), device="cpu")


@pytest.fixture
def transformer_model(loaded: SentenceTransformer) -> SentenceTransformer:
    """A fresh copy of the tiny encoder, which takes less time than to load another."""
    return copy.deepcopy(loaded)


@pytest.fixture(scope="session")
def tokenizer(pairs: list[tuple[str, str, float]]) -> Tokenizer:
    """Of the texts of the pairs."""
    return train_tokenizer([text for pair in pairs for text in pair[:2]], vocabulary=300)


@pytest.fixture
def static_model(tokenizer: Tokenizer) -> SentenceTransformer:
    """A random static embedding model."""
    return SentenceTransformer(modules=[StaticEmbedding(copy.deepcopy(tokenizer), embedding_dim=32)], device="cpu")
