"""A teacher's scores of pairs of texts, drawn so that scores around the thresholds are dense."""

from __future__ import annotations

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
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import nn
from tqdm.autonotebook import tqdm  # type: ignore[import-untyped]

from selective_st.distillation.students import Embedder, Floats, static_student, token_vectors
from selective_st.errors import DataError
from selective_st.output import Output, State
from selective_st.scoring import add_weights

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


Numbers = npt.NDArray[np.int64]


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
            raise ValueError(
                "The cross encoder's scores must be one number a pair within [-1, 1], got "
                f"{found.shape[1] if found.ndim > 1 else 'one'}, from {found.min():g} to {found.max():g}. Give it a "
                "sigmoid: CrossEncoder(name, activation_fn=torch.nn.Sigmoid())."
            )
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
        above = int((part.scores >= threshold).sum())
        if above in (0, len(part.scores)):
            share = ", ".join(f"{value:.3f} ({float(at):.1%})" for at, value in quantiles(test).items())
            crossed = part.scores.max() if above else sorted(part.scores)[-_FEW:][0]
            raise DataError(
                f"distill: the teacher scores {'every pair' if above else 'no pair'} of the {len(part.scores):,} to "
                f"{name} at or above the threshold {threshold:g}. Its scores of pairs of texts have the quantiles "
                f"{share}, and reach {test.max():.3f}. Give more texts, with some that say the same, or a threshold "
                f"that its scores cross, such as --threshold {crossed:.2f}."
            )
