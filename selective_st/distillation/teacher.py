"""Students, a teacher, and its scores of pairs of texts, drawn so that scores around the thresholds are dense."""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer, SentenceTransformerModelCardData
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm.autonotebook import tqdm  # type: ignore[import-untyped]

from selective_st._templates import say
from selective_st.distillation.settings import STATIC, DistillSettings
from selective_st.errors import DataError, loading
from selective_st.output import Output, State
from selective_st.scoring import add_weights

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
_FREQUENCY = 1e-3  # tokens as frequent as this count half in a static student's first embeddings
_BLOCK = 1_024  # texts at a time
_MAPPED = 3_000  # texts from whose embeddings a map begins
_FEW = 30  # pairs at or above a threshold, to say much
_MOST_HELD_OUT = 3_000  # texts whose pairs are all compared
_CHUNK = 32_768  # texts among which neighbours are sought
_ROWS = 512  # of a block of scores
_PAIRS = 1 << 17  # of a block of pairs
_KEPT = 1_024  # texts or pairs that a teacher scores before they are kept
_POOL = {False: (64, 32), True: (8, 4)}  # neighbours and random partners of a text; a cross encoder scores each pair
_RETRIEVER = 64  # dimensions, to find neighbours where the teacher has no embeddings
_BINS = 40  # of the scores from -1 to 1
_DENSE, _AROUND = 3.0, 0.1  # how much denser pairs are at a threshold than elsewhere, and how far around it
_QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99, 0.999)

# --- Students ---------------------------------------------------------------------------------------------------------


def static_student(
    teacher: SentenceTransformer | CrossEncoder, dimensions: int, texts: Sequence[str]
) -> SentenceTransformer:
    """A static model from a teacher's own tokenizer and token vectors, cut to fewer dimensions.

    Args:
        teacher: The teacher.
        dimensions: Of the embeddings; at most those of the teacher's token vectors.
        texts: Texts, by which frequent tokens begin with less weight.

    Returns:
        The model.

    Raises:
        ValueError: If the teacher has no tokenizer or token vectors to begin with, or not so many dimensions.
    """
    tokenizer, table = token_vectors(teacher)
    if dimensions > min(table.shape):
        raise ValueError(say("too_many_dimensions", has=table.shape[1], asked=dimensions, most=min(table.shape)))
    count = torch.zeros(len(table))
    for begin in range(0, len(texts), _BLOCK):
        encodings = tokenizer.encode_batch(list(texts[begin : begin + _BLOCK]), add_special_tokens=False)
        count += torch.bincount(torch.tensor([i for e in encodings for i in e.ids]), minlength=len(table))
    table = table - table.mean(0)
    vectors = table @ directions(table, dimensions)
    vectors *= (_FREQUENCY / (_FREQUENCY + count / count.sum().clamp(min=1)))[:, None]
    card = SentenceTransformerModelCardData(model_name="Distilled static embeddings", local_files_only=True)
    module = StaticEmbedding(tokenizer, embedding_weights=vectors / vectors.std())
    return SentenceTransformer(modules=[module], model_card_data=card, device="cpu")


def token_vectors(teacher: nn.Module) -> tuple[Tokenizer, Tensor]:
    """A teacher's tokenizer and its vectors of tokens."""
    own: Any = teacher.tokenizer
    tokenizer = getattr(own, "backend_tokenizer", own)
    tables = [part for part in teacher.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))]
    if not isinstance(tokenizer, Tokenizer) or not tables:
        raise ValueError(say("no_token_vectors"))
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, tables[0].weight.detach().float().cpu()


def directions(rows: Tensor, dimensions: int) -> Tensor:
    """The directions in which rows vary most."""
    return cast(Tensor, torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -dimensions:].flip(1))


def layered_student(teacher: Any, layers: int, dimensions: int, texts: Sequence[str]) -> SentenceTransformer:
    """The first layers of a teacher, its pooling, and a map to fewer dimensions.

    Args:
        teacher: A SentenceTransformer on a transformer.
        layers: How many.
        dimensions: Of the embeddings.
        texts: Texts, on whose embeddings the map begins as their main directions.

    Returns:
        The model.

    Raises:
        ValueError: If the teacher has no such layers.
    """
    model: SentenceTransformer = copy.deepcopy(teacher).cpu()
    lists = [part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) > layers]
    if isinstance(model, CrossEncoder) or not isinstance(model[0], Transformer) or not lists:
        raise ValueError(say("no_layers", layers=layers))
    del lists[0][layers:]
    model[0].auto_model.config.num_hidden_layers = layers
    units = torch.from_numpy(np.asarray(model.encode(list(texts[:_MAPPED]), show_progress_bar=False)))
    if dimensions < units.shape[1]:
        dense = Dense(units.shape[1], dimensions, bias=False, activation_function=nn.Identity())
        dense.linear.weight.data = directions(units.float(), dimensions).T.contiguous()
        kept = [part for part in model if type(part).__name__ != "Normalize"]
        model = SentenceTransformer(modules=[*kept, dense], device="cpu")
    return model


class Embedder:
    """A model's embeddings of numbered texts; a static model's texts are tokenised once.

    Args:
        model: The model.
        texts: The texts.
    """

    def __init__(self, model: SentenceTransformer, texts: Sequence[str]) -> None:
        self.model, self._texts = model, texts
        self._ids: list[Tensor] = []  # of each text of a static model
        for begin in range(0, len(texts) if isinstance(model[0], StaticEmbedding) else 0, _BLOCK):
            part: Any = model.preprocess(list(texts[begin : begin + _BLOCK]))
            self._ids += part["input_ids"].tensor_split(part["offsets"][1:])

    def fresh(self) -> Embedder:
        """The same texts for a copy of the model."""
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model)
        return other

    def __call__(self, numbers: Tensor) -> Tensor:
        """The embeddings of some texts, with a graph."""
        if self._ids:
            ids = [self._ids[number] for number in numbers.tolist()]
            ends = torch.tensor([0, *map(len, ids)]).cumsum(0)
            features: Any = {"input_ids": torch.cat(ids), "offsets": ends[:-1]}
        else:
            features = self.model.preprocess([self._texts[number] for number in numbers.tolist()])
        features = {name: x.to(self.model.device) if isinstance(x, Tensor) else x for name, x in features.items()}
        return cast(Tensor, self.model(features)["sentence_embedding"])

    @torch.no_grad()
    def units(self, numbers: npt.NDArray[np.int64] | None = None) -> Floats:
        """The unit embeddings of some texts, or of all."""
        self.model.eval()
        chosen = torch.arange(len(self._texts)) if numbers is None else torch.from_numpy(numbers)
        parts = [self(part).float().cpu() for part in chosen.split(_BLOCK if self._ids else 64)]
        return cast(Floats, nn.functional.normalize(torch.cat(parts), dim=-1).numpy())


def make_student(teacher: Any, settings: DistillSettings, train: Sequence[str]) -> SentenceTransformer:
    """The student that the settings ask for, before it learns from a teacher."""
    torch.manual_seed(settings.seed)
    if settings.layers is not None:
        return layered_student(teacher, settings.layers, settings.dimensions, train)
    if settings.student == STATIC:
        return static_student(teacher, settings.dimensions, train)
    mend = f"the folder of a SentenceTransformer, a name on the hub (with a connection), or {STATIC}."
    with loading(f"--student {settings.student} could not be loaded", mend):
        return SentenceTransformer(settings.student)


# --- A teacher's scores -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts, by their numbers, and the teacher's scores; and a student's, where they are measured."""

    left: Numbers
    right: Numbers
    scores: Floats
    predicted: Floats = field(default_factory=lambda: np.empty(0, np.float32))

    def __getitem__(self, rows: Numbers) -> Pairs:
        return Pairs(self.left[rows], self.right[rows], self.scores[rows])

    def __add__(self, other: Pairs) -> Pairs:
        sides = (self.left, other.left), (self.right, other.right), (self.scores, other.scores)
        return Pairs(*(np.concatenate(side) for side in sides))  # type: ignore[arg-type]


class Teacher:
    """A teacher and all texts, with its embeddings, kept on disk as they come.

    Args:
        model: The teacher.
        texts: All texts.
        state_of: Where what is computed of some texts is kept.
    """

    def __init__(
        self, model: SentenceTransformer | CrossEncoder, texts: Sequence[str], state_of: Callable[..., State]
    ) -> None:
        self.model, self.texts, self._state_of = model, texts, state_of
        self.is_cross = isinstance(model, CrossEncoder)

    @cached_property
    def embeddings(self) -> Floats:
        """The unit embeddings; those of a cross encoder's own token vectors, by which it finds neighbours."""
        if self.is_cross:
            _, table = token_vectors(self.model)
            return Embedder(static_student(self.model, min(_RETRIEVER, *table.shape), self.texts), self.texts).units()
        model: Any = self.model
        encode = partial(model.encode, normalize_embeddings=True, show_progress_bar=False)
        return self._kept("teacher embeddings", self.texts, encode)

    def _kept(self, what: str, rows: Sequence[Any], compute: Callable[[Sequence[Any]], Any]) -> Floats:
        """What the teacher says of rows, each block of them kept on the disk as it comes."""
        state, parts = self._state_of(what, *map(repr, rows)), []
        for begin in tqdm(range(0, len(rows), _KEPT), desc=what, unit="block", disable=None):
            block = rows[begin : begin + _KEPT]
            path = state.folder / f"{begin}-{len(block)}.npy"
            if not path.exists():
                found = np.asarray(compute(block), dtype=np.float32)
                if not np.isfinite(found).all():
                    raise ValueError(f"The {what} hold NaN or infinity. Use a teacher that gives numbers.")
                save(path, found)
            parts.append(np.load(path))
            state.says = f"{begin + len(block):,} of {len(rows):,} {what} are kept"
        return np.concatenate(parts)

    def scores(self, left: Numbers, right: Numbers, what: str = "") -> Floats:
        """The teacher's scores of pairs."""
        if not self.is_cross:
            return products(self.embeddings, left, right)
        rows = [(self.texts[i], self.texts[j]) for i, j in zip(left, right, strict=True)]
        predict = partial(cast(CrossEncoder, self.model).predict, show_progress_bar=False)
        found = self._kept(f"teacher scores to {what}", rows, predict)
        if found.ndim > 1 or np.abs(found).max() > 1 + 1e-4:
            outputs = found.shape[1] if found.ndim > 1 else "one"
            raise ValueError(say("no_unit_scores", outputs=outputs, low=found.min(), high=found.max()))
        return found

    def pool(self, rows: Numbers, rng: np.random.Generator) -> Iterator[tuple[Numbers, Numbers]]:
        """Pairs of neighbours and random ones among some texts, in chunks."""
        return _partners(rows, rows, self.embeddings, *_POOL[self.is_cross], rng)

    def drawn(self, rows: Numbers, thresholds: Sequence[float], of_each: int, rng: np.random.Generator) -> Pairs:
        """Pairs to train on: rare scores as often as the root of their number, and denser around the thresholds."""
        found = []
        for number, (left, right) in enumerate(self.pool(rows, rng)):
            scores = self.scores(left, right, f"train on, part {number + 1}")
            bins = np.clip((scores + 1) * _BINS / 2, 0, _BINS - 1).astype(np.int64)
            wanted = 1 + sum(_DENSE / np.cosh((scores - each) / _AROUND) ** 2 for each in thresholds)
            likely = (wanted / np.sqrt(np.bincount(bins, minlength=_BINS))[bins]).cumsum()
            size = of_each * len(np.unique(left))
            chosen = np.searchsorted(likely, rng.random(size) * likely[-1]).clip(max=len(left) - 1)
            found.append((left[chosen], right[chosen], scores[chosen]))
        return Pairs(*map(np.concatenate, zip(*found, strict=True)))

    def with_mined(self, drawn: Pairs, rows: Numbers, units: Floats, rng: np.random.Generator) -> Pairs:
        """Half of some pairs, and for the others what a first student takes for neighbours: its false matches."""
        found = _partners(rows, np.arange(len(rows)), units, _POOL[self.is_cross][1], 0, rng)
        left, right = map(np.concatenate, zip(*found, strict=True))
        mined = Pairs(left, right, self.scores(left, right, "train on, of a first student's neighbours"))
        size = len(drawn.scores)
        kept = drawn[rng.permutation(size)[: size // 2]]
        return kept + mined[np.resize(rng.permutation(len(left)), size - size // 2)]

    def held_out(self, rows: Numbers, name: str, rng: np.random.Generator) -> Pairs:
        """All pairs of some texts, of at most 3,000; for a cross encoder neighbours and random ones."""
        rows = rows[:_MOST_HELD_OUT]
        if self.is_cross:
            ((left, right),) = self.pool(rows, rng)
        else:
            left, right = (rows[index] for index in np.triu_indices(len(rows), 1))
        return Pairs(left, right, self.scores(left, right, name))


def _partners(
    rows: Numbers, places: Numbers, units: Floats, near: int, random: int, rng: np.random.Generator
) -> Iterator[tuple[Numbers, Numbers]]:
    """Pairs of each text, whose embedding is at its place, in chunks so that time grows with their number."""
    for part in np.array_split(np.arange(len(rows)), math.ceil(len(rows) / _CHUNK)):
        others = np.arange(len(part))[:, None] + rng.integers(1, len(part), (len(part), random))
        both = np.concatenate([_neighbours(units[places[part]], near), others % len(part)], 1)
        yield rows[part].repeat(both.shape[1]), rows[part][both].reshape(-1)


def _neighbours(embeddings: Floats, count: int) -> Numbers:
    """The places of the nearest others, a row for each embedding."""
    units = torch.from_numpy(np.ascontiguousarray(embeddings))
    found = []
    for block in torch.arange(len(units)).split(_ROWS):
        scores = units[block] @ units.T
        scores[torch.arange(len(block)), block] = -2
        found.append(scores.topk(min(count, len(units) - 1)).indices)
    return cast(Numbers, torch.cat(found).numpy())


def states_of(place: Output, model: nn.Module) -> Callable[..., State]:
    """What gives folders beside the output for what is computed with a teacher, whose weights are digested once."""
    weights = hashlib.blake2b(digest_size=12)
    add_weights(weights, model)

    def state_of(*texts: str) -> State:
        digest = weights.copy()
        for text in texts:
            digest.update(f"{len(text)} {text}".encode("utf-8", "surrogatepass"))
        return place.state(digest.hexdigest())

    return state_of


def save(path: Path, found: Any) -> None:
    """Save an array, whole or not at all."""
    part = path.with_name("part.npy")
    np.save(part, found)
    os.replace(part, path)


def products(units: Floats, left: Numbers, right: Numbers) -> Floats:
    """The cosine similarities of pairs, in blocks."""
    found = np.empty(len(left), dtype=np.float32)
    for begin in range(0, len(left), _PAIRS):
        part = slice(begin, begin + _PAIRS)
        found[part] = np.einsum("ij,ij->i", units[left[part]], units[right[part]])
    return found.clip(-1, 1)


def quantiles(scores: Floats) -> dict[str, float]:
    """Where the scores lie, by the share below."""
    return dict(zip(map("{:g}".format, _QUANTILES), np.quantile(scores, _QUANTILES).tolist(), strict=True))


def check_pairs(pairs: dict[str, Pairs], thresholds: Sequence[float]) -> None:
    """Raise unless the teacher's scores lie on both sides of each threshold."""
    test = pairs["test"].scores
    if np.ptp(np.concatenate([part.scores for part in pairs.values()])) < 1e-6:
        raise DataError(f"distill: the teacher gives every pair the score {test[0]:g}. Use another teacher or texts.")
    for threshold, (name, part) in itertools.product(thresholds, pairs.items()):
        above, count = int((part.scores >= threshold).sum()), len(part.scores)
        if above in (0, count):
            crossed = part.scores.max() if above else sorted(part.scores)[-_FEW:][0]
            reached: dict[str, Any] = {"quantiles": quantiles(test), "highest": test.max(), "crossed": crossed}
            raise DataError(say("not_crossed", name=name, count=count, above=above, threshold=threshold, **reached))


def scored(student: Embedder, pairs: dict[str, Pairs]) -> dict[str, Pairs]:
    """Pairs with the student's scores, their texts numbered anew from 0 on."""
    found = {}
    for name, part in pairs.items():
        numbers, places = np.unique(np.stack([part.left, part.right]), return_inverse=True)
        left, right = places.reshape(2, -1)
        found[name] = Pairs(left, right, part.scores, products(student.units(numbers), left, right))
    return found
