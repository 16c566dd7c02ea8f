"""Shared fixtures: models made on the spot, no network, fixed seeds."""

from __future__ import annotations

import copy
import gc
import logging
import os
import tempfile
from collections import defaultdict

_CACHE = tempfile.TemporaryDirectory(prefix="selective-st-tests-")  # of datasets; the user's own stays as it is
os.environ["HF_HOME"] = _CACHE.name
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path
from typing import Any

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

QUICK_CASES = 2
"""Of each test in `make test`, one where there are not more than ten times as many; `make test-all` has all."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accuracy-cases", type=int, default=300, help="random cases for each link in test_link_accuracy")
    parser.addoption("--far-out-cases", type=int, default=500, help="random links in test_far_out")
    parser.addoption("--fuzz-examples", type=int, default=40, help="damaged files of each kind in test_files")


@pytest.hookimpl(tryfirst=True)  # before some are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as quick a few cases of each test that is not slow, such that they show as many values as they can."""
    tests: dict[tuple[str, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("slow") is None:
            tests[item.parent.nodeid if item.parent else "", getattr(item, "originalname", item.name)].append(item)
    for cases in tests.values():
        for item in _spread(_showing_each_value(cases), QUICK_CASES if len(cases) > 10 * QUICK_CASES else 1):
            item.add_marker("quick")


def pytest_collection_finish() -> None:
    """Let the collections of garbage, one after each training, pass over all that was imported: a third of the time.

    And pytest attaches its handlers, three times a case, to each logger that does not propagate: torch alone has sixty.
    """
    gc.freeze()
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.propagate = True


def _showing_each_value(cases: list[pytest.Item]) -> list[pytest.Item]:
    """As few cases as hold every value of every parameter that there is."""
    seen: set[tuple[str, Any]] = set()
    kept = []
    for case in cases:
        parameters = getattr(getattr(case, "callspec", None), "params", {})
        values = {(name, x if isinstance(x, (str, int, float)) else id(x)) for name, x in parameters.items()}
        if not kept or not values <= seen:
            kept.append(case)
        seen |= values
    return kept


def _spread(cases: list[pytest.Item], most: int) -> list[pytest.Item]:
    """So many of them, evenly from first to last."""
    if len(cases) <= most:
        return cases
    return [cases[i * len(cases) // most] for i in range(most)]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.default_generator.manual_seed(random_inputs.seed_of(0))  # torch.manual_seed notes a traceback for each device


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
