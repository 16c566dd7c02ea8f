"""Texts and a teacher made on the spot, for recipes that are given neither."""

from __future__ import annotations

import argparse
import random
from itertools import cycle
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from selective_st.demo import graded_pairs
from selective_st.training import train_tokenizer


def arguments(description: str | None, output: str, threshold: float = 0.7) -> argparse.Namespace:
    """The command line of a recipe."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--texts", help="a file with a text a line; default: made on the spot")
    parser.add_argument("--teacher", help="a SentenceTransformer, its folder or hub name; default: made on the spot")
    parser.add_argument("--threshold", type=float, default=threshold, help="the teacher's score at which to decide")
    parser.add_argument("--dimensions", type=int, default=32, help="of the student")
    parser.add_argument("--output", default=f"output/{output}", help="where to save the student")
    return parser.parse_args()


def texts_of(given: str | None) -> list[str]:
    """The lines of a file, or sentences, a third of them with a word or two added."""
    if given:
        return Path(given).read_text(encoding="utf-8").splitlines()
    texts = list(dict.fromkeys(text for pair in graded_pairs(500, seed=3) for text in pair[:2]))
    copies = [f"{text[:-1]} {more}." for text, more in zip(texts[::2], cycle(("again", "as ever", "today")))]
    mixed = texts + copies
    random.Random(0).shuffle(mixed)
    return mixed


def teacher_of(given: str | None, texts: list[str]) -> SentenceTransformer:
    """A model, or random word vectors, those of frequent words shorter: texts with rare words in common are alike."""
    if given:
        return SentenceTransformer(given)
    torch.manual_seed(0)
    tokenizer = train_tokenizer(texts, vocabulary=500)
    tokens = torch.tensor([token for encoding in tokenizer.encode_batch(texts) for token in encoding.ids])
    share = torch.bincount(tokens, minlength=tokenizer.get_vocab_size()) / len(tokens)
    vectors = torch.randn(len(share), 64) * (0.003 / (0.003 + share))[:, None]
    module = StaticEmbedding(tokenizer, embedding_weights=vectors)
    return SentenceTransformer(modules=[module], device="cpu")
