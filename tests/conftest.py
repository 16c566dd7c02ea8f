"""Shared fixtures: models made on the spot, no network, fixed seeds."""

from __future__ import annotations

import os
import tempfile

_CACHE = tempfile.TemporaryDirectory(prefix="selective-st-tests-")  # of datasets; the user's own stays as it is
os.environ["HF_HOME"] = _CACHE.name
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.training import train_tokenizer
from tests import random_inputs


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accuracy-cases", type=int, default=300, help="random cases for each link in test_link_accuracy")
    parser.addoption("--far-out-cases", type=int, default=500, help="random links in test_far_out")
    parser.addoption("--fuzz-examples", type=int, default=40, help="damaged files of each kind in test_files")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(random_inputs.seed_of(0))


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
def transformer_folder(pairs: list[tuple[str, str, float]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT sentence encoder, saved."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer([text for pair in pairs for text in pair[:2]], vocabulary=300),
        unk_token="[UNK]",
        pad_token="[PAD]",
    )
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    torch.manual_seed(random_inputs.seed_of(0))
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertModel(config).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    model = SentenceTransformer(modules=[transformer, Pooling(transformer.get_embedding_dimension())], device="cpu")
    model.save_pretrained(str(folder / "model"))
    return folder / "model"


@pytest.fixture
def transformer_model(transformer_folder: Path) -> SentenceTransformer:
    """A fresh copy of the tiny encoder."""
    return SentenceTransformer(str(transformer_folder), device="cpu")


@pytest.fixture
def static_model(pairs: list[tuple[str, str, float]]) -> SentenceTransformer:
    """A random static embedding model."""
    tokenizer = train_tokenizer([text for pair in pairs for text in pair[:2]], vocabulary=300)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=32)], device="cpu")
