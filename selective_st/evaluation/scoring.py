"""Ask a model of any type for the scores of text pairs."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Router
from sentence_transformers.util import quantize_embeddings

from selective_st._templates import say
from selective_st._validation import instance_of, list_of, same_length, whole_number
from selective_st.evaluation._checks import Floats, checked_texts

Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
_PAIRS_AT_ONCE = 4096  # so that the embeddings of long lists are not all repeated at once
_OWNER = "predict_scores"
_ROLES = ("query", "document", "passage", "corpus")
_TOLD_BY = ("as_queries=True", "as_queries=False")
_MOSTLY = 0.5  # of the pairs that share their first text with another make it a query with its candidates


def embeds_queries_apart(model: Any) -> bool:
    """Whether a model embeds queries otherwise than documents: by other modules, or with other prompts.

    Args:
        model: The model.

    Returns:
        Whether it does. A `CrossEncoder` embeds nothing.
    """
    if hasattr(model, "predict"):
        return False
    prompts = getattr(model, "prompts", None) or {}
    modules = model.modules() if isinstance(model, torch.nn.Module) else ()
    routers = (module for module in modules if isinstance(module, Router))
    tasks = {task for router in routers for task in (*router.sub_modules, *(key[0] for key in router.route_mappings))}
    return isinstance(model, MultiVectorEncoder) or any(prompts.get(role) or role in tasks for role in _ROLES)


def first_are_queries(first: Sequence[Any]) -> bool:
    """Whether first texts show that they are queries: most stand in several pairs, each with its candidates.

    Args:
        first: The first text of each pair.

    Returns:
        Whether they do.
    """
    if not all(isinstance(text, str) for text in first):
        return False
    count = Counter(first)
    return sum(number for number in count.values() if number > 1) >= _MOSTLY * len(first) > 0


@dataclass(frozen=True)
class Encoding:
    """How texts are embedded and compared.

    Attributes:
        as_queries: Whether first texts are embedded as queries and second ones as documents; None to be told by them.
        prompt_name: A prompt of the model.
        truncate_dim: To how many dimensions to cut embeddings.
        precision: To what precision to bring embeddings.
        similarity_fn_names: What compares embeddings; none for the model's own.
    """

    as_queries: bool | None = None
    prompt_name: str | None = None
    truncate_dim: int | None = None
    precision: Precision | None = None
    similarity_fn_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        mend = "Write as_queries=True, or leave it out."
        instance_of(_OWNER, "as_queries", self.as_queries, (bool, type(None)), mend)
        if self.truncate_dim is not None:
            whole_number(_OWNER, "truncate_dim", self.truncate_dim, least=1)
        names = list_of(_OWNER, "similarity_fn_names", self.similarity_fn_names, "names", '["cosine", "dot"]')
        object.__setattr__(self, "similarity_fn_names", tuple(dict.fromkeys(names)))

    def given(self) -> dict[str, Any]:
        """What is set."""
        return {name: value for name, value in vars(self).items() if value not in (None, ())}

    def options(self, model: Any) -> dict[str, Any]:
        """What to give `encode` or `predict`, or raise if the model does not take it."""
        scores_itself = hasattr(model, "predict")
        takes = set(inspect.signature(model.predict if scores_itself else model.encode).parameters)
        ours = {"as_queries"} if scores_itself else {"as_queries", "similarity_fn_names"}
        found = {name: value for name, value in self.given().items() if name not in ours}
        for name in found.keys() - takes:
            raise ValueError(f"{_OWNER}: a {type(model).__name__} takes no {name}, got {found[name]!r}. Leave it out.")
        return found

    def roles_of(self, model: Any, first: Sequence[Any]) -> bool:
        """Whether to embed the first texts as queries and the second as documents."""
        if isinstance(model, MultiVectorEncoder):
            return True
        if self.as_queries is not None:
            return self.as_queries
        return embeds_queries_apart(model) and first_are_queries(first)

    def note(self, model: Any, first: Sequence[Any], options: tuple[str, str] = _TOLD_BY) -> str:
        """What is to be said of how pairs are embedded, where nobody told and it matters.

        Args:
            model: The model.
            first: The first text of each pair.
            options: How to tell that they are queries, and that they are not.

        Returns:
            The sentence, without a full stop; empty where there is nothing to say.
        """
        if self.as_queries is not None or isinstance(model, MultiVectorEncoder) or not embeds_queries_apart(model):
            return ""
        return say("roles", as_queries=self.roles_of(model, first), options=options)

    def scores(
        self, model: Any, first: Any, second: Any, batch_size: int, show_progress_bar: bool = False, pool: Any = None
    ) -> dict[str, Floats]:
        """The scores of `predict_scores` by each similarity function, on the same embeddings.

        Args:
            model: The model.
            first: The first text of each pair.
            second: The second text of each pair.
            batch_size: How many texts, or pairs, to put through the model at once.
            show_progress_bar: Whether to show a progress bar.
            pool: Processes of the model to work in, by its `start_multi_process_pool`.

        Returns:
            The scores by the function's name, which is empty for the model's own.

        Raises:
            TypeError: As there.
            ValueError: As there.
        """
        if isinstance(model, (str, bytes)) or not any(hasattr(model, name) for name in ("predict", "encode")):
            raise TypeError(
                f"{_OWNER}: model must be a SentenceTransformer, SparseEncoder, MultiVectorEncoder or CrossEncoder, "
                f'got {model!r:.60} of type {type(model).__name__}. Load it: SentenceTransformer("...").'
            )
        first, second = checked_texts(_OWNER, "first", first), checked_texts(_OWNER, "second", second)
        same_length(_OWNER, "Give both texts of each pair.", first=first, second=second)
        if not first:
            raise ValueError(f"{_OWNER}: first and second must hold texts, at least one, got none. Leave the call out.")
        whole_number(_OWNER, "batch_size", batch_size, least=1)
        settings = {"batch_size": batch_size, "show_progress_bar": show_progress_bar, **self.options(model)}
        settings |= {} if pool is None else {"pool": pool}
        if not hasattr(model, "predict"):
            embedded = _embedded(model, first, second, self.roles_of(model, first), settings)
            return {name: _compared(model, name, embedded, len(first)) for name in self.similarity_fn_names or ("",)}
        scores = np.asarray(model.predict(list(zip(first, second, strict=True)), **settings), dtype=np.float64)
        if scores.ndim != 1:
            raise ValueError(
                f"The cross encoder gives {scores.shape[-1]} scores for a pair; make it with num_labels=1."
            )
        return {"": scores}


def predict_scores(
    model: Any,
    first: Sequence[str],
    second: Sequence[str],
    *,
    batch_size: int = 64,
    show_progress_bar: bool = False,
    as_queries: bool | None = None,
    prompt_name: str | None = None,
    truncate_dim: int | None = None,
    precision: Precision | None = None,
    similarity_fn_name: str | None = None,
) -> Floats:
    """The model's score for each pair of texts.

    Args:
        model: A `CrossEncoder` with one score for a pair, or a model that embeds (`SentenceTransformer`,
            `SparseEncoder`, `MultiVectorEncoder`), whose own similarity function then scores the pairs.
        first: The first text of each pair.
        second: The second text of each pair.
        batch_size: How many texts, or pairs, to put through the model at once.
        show_progress_bar: Whether to show a progress bar.
        as_queries: Whether to embed the first texts as queries and the second as documents, with the model's modules
            and prompts for these. Each different text is embedded once; what is none, such as a picture, each time.
            Default: where the model embeds the two differently, and most first texts stand in several pairs. A
            `MultiVectorEncoder` always does: it compares nothing else.
        prompt_name: A prompt of the model: for the pairs of a cross encoder, for both texts where they are embedded
            alike, else for the queries.
        truncate_dim: To how many dimensions to cut embeddings.
        precision: To what precision to bring embeddings, as `SentenceTransformer.encode` does, both texts alike.
        similarity_fn_name: What compares embeddings, such as "dot". Default: the model's own.

    Returns:
        One score for each pair.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If the model is a cross encoder with several scores for a pair, there are no texts, the lists differ
            in length, or the model does not take an option.
    """
    names = () if similarity_fn_name is None else (similarity_fn_name,)
    encoding = Encoding(as_queries, prompt_name, truncate_dim, precision, names)
    return next(iter(encoding.scores(model, first, second, batch_size, show_progress_bar).values()))


def _embedded(
    model: Any, first: list[Any], second: list[Any], as_queries: bool, settings: dict[str, Any]
) -> list[tuple[Any, list[int]]]:
    """For both sides the embeddings of the different texts, and the place of each pair's text among them."""
    precision = settings.pop("precision", None)
    if precision is not None:
        settings |= {"normalize_embeddings": True}
    elif not isinstance(model, MultiVectorEncoder):
        settings |= {"convert_to_tensor": True}  # a text of several vectors is a tensor anyway
    if as_queries:
        of_second = {key: value for key, value in settings.items() if key != "prompt_name"}
        found = [_encoded(model.encode_query, first, settings), _encoded(model.encode_document, second, of_second)]
    else:
        vectors, rows = _encoded(model.encode, [*first, *second], settings)
        found = [(vectors, rows[: len(first)]), (vectors, rows[len(first) :])]
    if precision is None:
        return found
    queries = len(found[0][0])
    both = _quantized(np.concatenate([vectors for vectors, _ in found]), precision)
    return [(both[:queries], found[0][1]), (both[queries:], found[1][1])]


def _encoded(encode: Any, texts: list[Any], settings: dict[str, Any]) -> tuple[Any, list[int]]:
    """The embeddings of the different texts, and the place of each text among them."""
    if not all(isinstance(text, str) for text in texts):  # pictures, say, have no hash
        return encode(texts, **settings), list(range(len(texts)))
    place: dict[str, int] = {}
    rows = [place.setdefault(text, len(place)) for text in texts]
    return encode(list(place), **settings), rows


def _quantized(embeddings: Floats, precision: Precision) -> torch.Tensor:
    """Embeddings brought to a precision, both sides by the same ranges, as numbers to compare."""
    found = np.asarray(quantize_embeddings(embeddings, precision))
    if precision.endswith("binary"):
        found = np.unpackbits((found.astype(np.int16) + 128 * (precision == "binary")).astype(np.uint8), axis=1)
    return torch.from_numpy(found.astype(np.float32))


def _compared(model: Any, name: str, embedded: list[tuple[Any, list[int]]], count: int) -> Floats:
    """The scores of the pairs by a similarity function of that name; by the model's own where it is empty."""
    own = getattr(model, "similarity_fn_name", None)
    parts = []
    try:
        if name:
            model.similarity_fn_name = name
        for begin in range(0, count, _PAIRS_AT_ONCE):
            pair = [_rows(vectors, rows[begin : begin + _PAIRS_AT_ONCE]) for vectors, rows in embedded]
            parts.append(np.asarray(torch.as_tensor(model.similarity_pairwise(*pair)).float().cpu(), dtype=np.float64))
    finally:
        if name:
            model.similarity_fn_name = own
    return np.concatenate(parts)


def _rows(vectors: Any, rows: list[int]) -> Any:
    """The embeddings of some rows in single precision, be the model's half."""
    if not isinstance(vectors, torch.Tensor):
        return [torch.as_tensor(vectors[row]).float() for row in rows]
    found = vectors.index_select(0, torch.tensor(rows, device=vectors.device))
    return found.coalesce() if found.is_sparse else found.float()
