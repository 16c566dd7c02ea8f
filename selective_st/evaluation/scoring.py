"""Ask a model of any type for the scores of text pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import MultiVectorEncoder

from selective_st._validation import whole_number
from selective_st.evaluation._checks import Floats, checked_texts

_PAIRS_AT_ONCE = 4096  # so that the embeddings of long lists are not all repeated at once


def predict_scores(
    model: Any,
    first: Sequence[str],
    second: Sequence[str],
    *,
    batch_size: int = 64,
    show_progress_bar: bool = False,
    as_queries: bool = False,
) -> Floats:
    """The model's score for each pair of texts.

    Args:
        model: A `CrossEncoder` with one score for a pair, or a model that embeds (`SentenceTransformer`,
            `SparseEncoder`, `MultiVectorEncoder`), whose own similarity function then scores the pairs.
        first: The first text of each pair.
        second: The second text of each pair.
        batch_size: How many texts, or pairs, to put through the model at once.
        show_progress_bar: Whether to show a progress bar.
        as_queries: Whether to embed the first texts as queries and the second as documents, with the model's prompts
            for these, and each different text once (what is no text, such as a picture, each time). A
            `MultiVectorEncoder` always does: it compares nothing else.

    Returns:
        One score for each pair.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If the model is a cross encoder with several scores for a pair, there are no texts, or the lists
            differ in length.
    """
    owner = "predict_scores"
    if isinstance(model, (str, bytes)) or not any(hasattr(model, name) for name in ("predict", "encode")):
        raise TypeError(
            f"{owner}: model must be a SentenceTransformer, SparseEncoder, MultiVectorEncoder or CrossEncoder, got "
            f'{model!r:.60} of type {type(model).__name__}. Load it: SentenceTransformer("...").'
        )
    first, second = checked_texts(owner, "first", first), checked_texts(owner, "second", second)
    if len(first) != len(second) or not first:
        raise ValueError(
            f"{owner}: first and second must hold as many texts, at least one, got {len(first)} and {len(second)}. "
            "Give both texts of each pair."
        )
    whole_number(owner, "batch_size", batch_size, least=1)
    settings: dict[str, Any] = {"batch_size": batch_size, "show_progress_bar": show_progress_bar}
    if hasattr(model, "predict"):
        scores = np.asarray(model.predict(list(zip(first, second, strict=True)), **settings), dtype=np.float64)
        if scores.ndim != 1:
            raise ValueError(
                f"The cross encoder gives {scores.shape[-1]} scores for a pair; make it with num_labels=1, so that it "
                "gives one."
            )
        return scores
    if isinstance(model, MultiVectorEncoder):
        as_queries = True
    else:
        settings["convert_to_tensor"] = True  # a text of several vectors is a tensor anyway
    parts = []
    embedded = []
    for texts, name in ((first, "encode_query"), (second, "encode_document")):
        encode = getattr(model, name) if as_queries else model.encode
        different, rows = list(texts), list(range(len(texts)))
        if as_queries and all(isinstance(text, str) for text in texts):  # pictures, say, have no hash
            different = list(dict.fromkeys(texts))
            place = {text: row for row, text in enumerate(different)}
            rows = [place[text] for text in texts]
        embedded.append((encode(different, **settings), rows))
    for begin in range(0, len(first), _PAIRS_AT_ONCE):
        pair = [_rows(vectors, rows[begin : begin + _PAIRS_AT_ONCE]) for vectors, rows in embedded]
        parts.append(np.asarray(torch.as_tensor(model.similarity_pairwise(*pair)).float().cpu(), dtype=np.float64))
    return np.concatenate(parts)


def _rows(vectors: Any, rows: list[int]) -> Any:
    """The embeddings of some rows in single precision, be the model's half."""
    if isinstance(vectors, torch.Tensor):
        found = vectors.index_select(0, torch.tensor(rows, device=vectors.device))
        return found.coalesce() if found.is_sparse else found.float()
    return [torch.as_tensor(vectors[row]).float() for row in rows]
