"""Distillation for thresholds: a small student that decides as its teacher does, from texts without labels.

The teacher scores pairs of the texts, drawn so that scores around the thresholds are dense; the student learns these
scores by a matching loss whose link is sensitive at the thresholds. Texts to train, to choose and to report are apart.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer, SentenceTransformerModelCardData
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.losses import CoSENTLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm.autonotebook import tqdm  # type: ignore[import-untyped]

from selective_st._text_files import ending, not_text, open_lines
from selective_st._validation import finite_number, instance_of, list_of, whole_number
from selective_st.data import named_columns
from selective_st.errors import DataError
from selective_st.evaluation.metrics import losses_at
from selective_st.evaluation.thresholds import ScoreThreshold, choose_threshold, remember_threshold
from selective_st.files import read_file
from selective_st.kept_runs import KeptRuns, Key, Run
from selective_st.links import IdentityLink, Link, SigmoidLink
from selective_st.losses import SelectivePointwiseLoss
from selective_st.output import Output, State, first_line, without_nan
from selective_st.registry.columns import is_metadata
from selective_st.registry.detection import DataFormat, detect_format
from selective_st.scoring import add_weights

Floats = npt.NDArray[np.float32]
Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # embeddings of both texts, and their numbers, to a loss

STATIC = "static"
OURS, SQUARED, COSENT, EMBEDDINGS = "selective", "squared error", "CoSENTLoss", "embedding distillation"
METRICS_FILE = "metrics.json"
_SPLITS = ("train", "validation", "test")
_HELD_OUT = 0.1  # of the texts, for each of the last two
_FEWEST = 10  # texts of a split
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
_SCALE = 20.0  # of the link at a threshold
_FREQUENCY = 1e-3  # tokens as frequent as this count half in a static student's first embeddings
_QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_TIMED = 512  # texts or pairs


@dataclass(frozen=True, kw_only=True)
class DistillSettings:
    """How a student is made and trained.

    Attributes:
        thresholds: The teacher's scores at which will be decided. The first one's cut is saved with the student.
        student: `static`, or the folder or hub name of a SentenceTransformer to go on with.
        dimensions: Of the student's embeddings, for `static` and with `layers`.
        layers: Instead: the student is so many first layers of the teacher.
        pairs: How many pairs are drawn for each text to train.
        epochs: Passes over the pairs. Default: 2 for static students, else 1.
        batch_size: Pairs in a step. Default: 1,024 for static students, else 32.
        learning_rates: To choose from, for every loss alike. Default: 0.03, 0.1 for static students, else 5e-5, 1e-4.
        compare: Whether squared error, CoSENTLoss and embedding distillation are trained too.
        seed: Of the splits, the drawing and the order of the pairs.
    """

    thresholds: Sequence[float] = (0.85,)
    student: str = STATIC
    dimensions: int = 64
    layers: int | None = None
    pairs: int = 48
    epochs: int | None = None
    batch_size: int | None = None
    learning_rates: Sequence[float] | None = None
    compare: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        static = self.student == STATIC and self.layers is None
        defaults = {
            "epochs": 2 if static else 1,
            "batch_size": 1024 if static else 32,
            "learning_rates": (0.03, 0.1) if static else (5e-5, 1e-4),
        }
        for name, default in defaults.items():
            object.__setattr__(self, name, default if getattr(self, name) is None else getattr(self, name))
        for name in ("dimensions", "pairs", "epochs", "batch_size"):
            whole_number("distill", name, getattr(self, name), least=1)
        found = list_of("distill", "thresholds", self.thresholds, "numbers", "[0.85]")
        if not found or not all(-1 <= finite_number("distill", "threshold", each) <= 1 for each in found):
            raise ValueError(
                "distill: a threshold must be a score of the teacher within [-1, 1], as cosine similarities are; got "
                f"{', '.join(f'{each:g}' for each in found) or 'none'}. Write --threshold 0.85 (thresholds=[0.85])."
            )
        object.__setattr__(self, "thresholds", tuple(map(float, found)))
        for rate in list_of("distill", "learning_rates", self.learning_rates, "numbers", "[0.03, 0.1]"):
            finite_number("distill", "a learning rate", rate, positive=True)
        if self.layers is not None:
            whole_number("distill", "layers", self.layers, least=1)
            if self.student != STATIC:
                raise ValueError("distill: layers makes a student of the teacher's first layers. Leave student out.")

    def runs(self, is_cross: bool) -> list[Key]:
        """The loss, rate and seed of each run; ours come first. A cross encoder has no embeddings to learn."""
        losses = (OURS, SQUARED, COSENT, *(() if is_cross else (EMBEDDINGS,))) if self.compare else (OURS,)
        return [(loss, rate, self.seed) for loss in losses for rate in self.learning_rates or ()]

    @cached_property
    def link(self) -> Link:
        """Half of the sensitivity lies at the thresholds, half everywhere alike."""
        low = -1.0 if min(self.thresholds) < 0 else 0.0
        share = 0.5 / len(self.thresholds)
        humps = [share * SigmoidLink(_SCALE, each).normalized(low, 1.0) for each in self.thresholds]
        return sum(humps[1:], humps[0]) + 0.5 * IdentityLink()


def distill(
    teacher: SentenceTransformer | CrossEncoder | str,
    texts: Sequence[str],
    thresholds: Sequence[float] = (0.85,),
    output: str | Path = "distilled-model",
    *,
    overwrite: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Train a small model that decides as a teacher does at the thresholds that matter, from texts alone.

    The student is saved with the threshold at which it agrees best with the teacher (`load_threshold`). What an
    interrupted call has computed is kept beside `output`, and the same call goes on from there.

    Args:
        teacher: A SentenceTransformer, its folder or hub name, or a CrossEncoder, whose scores must lie within [-1, 1].
        texts: The texts; each counts once.
        thresholds: The teacher's scores at which will be decided.
        output: The folder for the student and its metrics.
        overwrite: Whether an earlier output may be replaced.
        **settings: The other fields of `DistillSettings`, such as `student`, `dimensions` or `compare`.

    Returns:
        The metrics, as they stand in `metrics.json`.

    Raises:
        ValueError: If a setting is out of range, there are too few texts, the teacher's scores are all alike or none
            lies at a threshold, or the output exists.

    Example:
        >>> distill("all-MiniLM-L6-v2", texts, [0.85], "student")["f1"]        # doctest: +SKIP
    """
    asked = DistillSettings(thresholds=thresholds, **settings)
    reads = {
        name: value for name, value in (("teacher", teacher), ("student", asked.student)) if isinstance(value, str)
    }
    with Output(Path(output), "distill", reads, overwrite=overwrite) as place:
        model = SentenceTransformer(teacher) if isinstance(teacher, str) else teacher
        found = distill_into(place, model, texts, asked)
        place.publish()
    return found


def distill_into(
    place: Output, model: SentenceTransformer | CrossEncoder, texts: Sequence[str], settings: DistillSettings
) -> dict[str, Any]:
    """Distil into an output that is claimed already, and not yet published.

    Args:
        place: The output.
        model: The teacher.
        texts: The texts.
        settings: How.

    Returns:
        The metrics.

    Raises:
        ValueError: As `distill`.
    """
    mend = "Give a SentenceTransformer or a CrossEncoder."
    instance_of("distill", "teacher", model, (SentenceTransformer, CrossEncoder), mend)
    parts = split_texts(texts, settings.seed)
    every = [text for name in _SPLITS for text in parts[name]]
    teacher = Teacher(model, every, partial(_state_of, place, model))
    ends = np.cumsum([len(part) for part in parts.values()])
    rows = dict(zip(_SPLITS, np.split(np.arange(len(every)), ends[:-1]), strict=True))
    rng = np.random.default_rng(settings.seed)
    pairs = {"train": teacher.drawn(rows["train"], settings, rng)}
    for name in _SPLITS[1:]:
        pairs[name] = teacher.held_out(rows[name], name, rng)
    _check_pairs(pairs, settings.thresholds)
    state = _state_of(place, model, "runs", repr(settings), *every)
    kept = KeptRuns(state, settings.runs(teacher.is_cross))
    runs = _do_runs(teacher, pairs, settings, kept, place.new / "working")
    chosen = {
        loss: max((run for run in runs if run.loss == loss), key=_goodness)
        for loss in dict.fromkeys(run.loss for run in runs)
    }
    if math.isinf(_goodness(chosen[OURS])):
        kept.forget(*kept.values())
        raise ValueError("distill: training diverged with every learning rate. Lower --learning-rates.")
    student = SentenceTransformer(str(kept.model(chosen[OURS])), device="cpu")
    cut: dict[str, Any] = chosen[OURS].eval["thresholds"][0]["cut"]  # type: ignore[index]
    remember_threshold(student, ScoreThreshold(**cut))
    student.save_pretrained(str(place.new))
    shutil.rmtree(place.new / "working", ignore_errors=True)  # none where every run was done before
    found = without_nan(
        {
            "settings": {**asdict(settings), "link": settings.link.get_config_dict()},
            "texts": {name: len(parts[name]) for name in _SPLITS},
            "pairs": {name: len(pairs[name].scores) for name in _SPLITS},
            "held_out_pairs": "drawn pairs" if teacher.is_cross else "all pairs",
            "teacher_scores": _quantiles(pairs["test"].scores),
            "student_threshold": cut["value"],
            "learning_rates": {loss: run.learning_rate for loss, run in chosen.items()},
            "test": {loss: run.test["thresholds"] for loss, run in chosen.items()},
            "runs": [{key: value for key, value in asdict(run).items() if key != "test_scores"} for run in runs],
            "unit": "pairs" if teacher.is_cross else "texts",
            "per_second": _speeds(teacher, student, parts["test"]),
            "megabytes": {"teacher": _megabytes(model), "student": _megabytes(student)},
        }
    )
    found["f1"] = found["test"][OURS][0]["at_own"]["f1"]
    text = json.dumps(found, indent=2, allow_nan=False)
    (place.new / METRICS_FILE).write_text(f"{text}\n", encoding="utf-8")
    return dict(json.loads(text))


def split_texts(texts: Sequence[str], seed: int = 0) -> dict[str, list[str]]:
    """Part texts into those to train, to choose and to report, by a hash: a text stays where it is as more come.

    Args:
        texts: The texts; each counts once, and empty ones do not.
        seed: Of the hash.

    Returns:
        The texts of `train` (8 of 10), `validation` and `test`.

    Raises:
        DataError: If there are too few.

    Example:
        >>> parts = split_texts([f"text {number}" for number in range(1000)])
        >>> [len(part) for part in parts.values()]
        [784, 106, 110]
    """
    found = list_of("distill", "texts", texts, "texts", '["a text", "another"]')
    if not all(isinstance(text, str) for text in found):
        raise DataError(
            f"distill: texts must hold texts, got {next(t for t in found if not isinstance(t, str))!r:.60}."
        )
    parts: dict[str, list[str]] = {name: [] for name in _SPLITS}
    different = dict.fromkeys(text for text in map(str.strip, found) if text)
    for text in different:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, salt=str(seed).encode()[:16])
        share = int.from_bytes(digest.digest(), "big") / 2**64
        parts["train" if share >= 2 * _HELD_OUT else "validation" if share >= _HELD_OUT else "test"].append(text)
    if min(map(len, parts.values())) < _FEWEST:
        alike = f" of {len(found):,}, the others being the same again or empty" if len(found) > len(different) else ""
        raise DataError(
            f"distill: there {'is' if len(different) == 1 else 'are'} {len(different):,} different "
            f"text{'s' * (len(different) != 1)}{alike}: too few to train, choose and report on texts of their own. "
            "Give at least 200 different texts, better 10,000."
        )
    return parts


def read_texts(source: str, columns: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """The texts of a file or a hub dataset.

    Args:
        source: A .txt file (compressed or not) with a text a line, or what `read_file` reads.
        columns: The columns that hold texts. Default: all that do.

    Returns:
        The texts, and what was decided.

    Raises:
        DataError: If there are none.
    """
    if ending(source) == ".txt":
        path = Path(source).expanduser()
        if not path.is_file():
            raise DataError(f"{source} does not exist, or is no file. Check the path (looked in {Path.cwd()}).")
        try:
            with open_lines(path) as lines:
                return [line.rstrip("\r\n") for line in lines], []
        except UnicodeDecodeError as error:
            raise not_text(path) from error
    table = read_file(source)
    if columns is None:
        found = detect_format(table.dataset)
        assert isinstance(found, DataFormat)  # one dataset has one format
        chosen = [column.name for column in found.columns if column.kind == "text" and not is_metadata(column)]
    else:
        chosen = named_columns(table, columns, "--text-columns")
    texts = [text for name in chosen for text in table.texts(name) if isinstance(text, str)]
    if not texts:
        raise DataError(
            f"{table.name} has no texts in {', '.join(map(repr, chosen)) or 'any column'}; it has the columns "
            f"{', '.join(table.dataset.column_names)}. Name those with texts: --text-columns NAME,NAME."
        )
    return texts, [*table.notes, f"{table.name}: texts of {', '.join(map(repr, chosen))}"]


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts, by their numbers, and the teacher's scores."""

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    scores: Floats


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
            _, table = _token_vectors(self.model)
            return Embedder(static_student(self.model, min(_RETRIEVER, *table.shape), self.texts), self.texts).units()
        model: Any = self.model
        encode = partial(model.encode, normalize_embeddings=True, show_progress_bar=False)
        return self._kept("teacher embeddings", self.texts, encode)

    def _kept(self, what: str, rows: Sequence[Any], compute: Callable[[Sequence[Any]], Any]) -> Floats:
        """What the teacher says of rows, in a .npy on the disk, block by block from where it was interrupted."""
        digest = hashlib.blake2b(digest_size=8)
        for row in rows:
            digest.update(repr(row).encode("utf-8", "surrogatepass"))
        state = self._state_of("teacher", digest.hexdigest(), what)
        path, mark = state.folder / "values.npy", state.folder / "done"
        done = int(mark.read_text() or 0) if mark.exists() else 0
        found: Any = np.load(path, mmap_mode="r+") if done else None
        with tqdm(total=len(rows), initial=done, desc=what, unit="", disable=None) as bar:
            for begin in range(done, len(rows), _KEPT):
                part = np.asarray(compute(rows[begin : begin + _KEPT]), dtype=np.float32)
                if not np.isfinite(part).all():
                    raise ValueError(f"distill: the {what} hold NaN or infinity. Use a teacher that gives numbers.")
                if found is None:
                    found = np.lib.format.open_memmap(path, "w+", np.float32, (len(rows), *part.shape[1:]))
                found[begin : begin + len(part)] = part
                found.flush()
                mark.write_text(str(begin + len(part)))
                state.says = f"{begin + len(part):,} of {len(rows):,} {what} are kept"
                bar.update(len(part))
        kept: Floats = found
        return kept

    def scores(self, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], what: str = "") -> Floats:
        """The teacher's scores of pairs."""
        if not self.is_cross:
            return _products(self.embeddings, left, right)
        rows = [(self.texts[i], self.texts[j]) for i, j in zip(left, right, strict=True)]
        model: Any = self.model
        found = self._kept(f"teacher scores to {what}", rows, partial(model.predict, show_progress_bar=False))
        if found.ndim > 1 or np.abs(found).max() > 1 + 1e-4:
            raise ValueError(
                "distill: the cross encoder's scores must be one number a pair within [-1, 1], got "
                f"{found.shape[1] if found.ndim > 1 else 'one'}, from {found.min():g} to {found.max():g}. Give it a "
                "sigmoid: CrossEncoder(name, activation_fn=torch.nn.Sigmoid())."
            )
        return found

    def pool(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
        """Pairs of neighbours and random ones among some texts, in chunks, so that time grows with their number."""
        near, random = _POOL[self.is_cross]
        for chunk in np.array_split(rows, math.ceil(len(rows) / _CHUNK)):
            units = torch.from_numpy(np.ascontiguousarray(self.embeddings[chunk]))
            numbers = torch.arange(len(chunk))
            partners = []
            for block in numbers.split(_ROWS):
                found = units[block] @ units.T
                found[torch.arange(len(block)), block] = -2
                partners.append(found.topk(min(near, len(chunk) - 1)).indices)
            others = torch.from_numpy(rng.integers(1, len(chunk), (len(chunk), random)))
            both = torch.cat([torch.cat(partners), (numbers[:, None] + others) % len(chunk)], 1).numpy()
            yield chunk.repeat(both.shape[1]), chunk[both].reshape(-1)

    def drawn(self, rows: npt.NDArray[np.int64], settings: DistillSettings, rng: np.random.Generator) -> Pairs:
        """Pairs to train on: rare scores as often as the root of their number, and denser around the thresholds."""
        found = []
        for number, (left, right) in enumerate(self.pool(rows, rng)):
            scores = self.scores(left, right, f"train on, part {number + 1}")
            bins = np.clip((scores + 1) * _BINS / 2, 0, _BINS - 1).astype(np.int64)
            wanted = 1 + sum(_DENSE / np.cosh((scores - each) / _AROUND) ** 2 for each in settings.thresholds)
            likely = (wanted / np.sqrt(np.bincount(bins, minlength=_BINS))[bins]).cumsum()
            size = settings.pairs * len(np.unique(left))
            chosen = np.searchsorted(likely, rng.random(size) * likely[-1]).clip(max=len(left) - 1)
            found.append((left[chosen], right[chosen], scores[chosen]))
        return Pairs(*map(np.concatenate, zip(*found, strict=True)))

    def held_out(self, rows: npt.NDArray[np.int64], name: str, rng: np.random.Generator) -> Pairs:
        """All pairs of some texts, of at most 3,000; for a cross encoder neighbours and random ones."""
        rows = rows[:_MOST_HELD_OUT]
        if self.is_cross:
            ((left, right),) = self.pool(rows, rng)
        else:
            left, right = (rows[index] for index in np.triu_indices(len(rows), 1))
        return Pairs(left, right, self.scores(left, right, name))


def _state_of(place: Output, model: nn.Module, what: str, *rest: str) -> State:
    """A folder beside the output for what was computed with a teacher."""
    digest = hashlib.blake2b(digest_size=12)
    add_weights(digest, model)
    for text in (what, *rest):
        digest.update(f"{len(text)} {text}".encode("utf-8", "surrogatepass"))
    return place.state(digest.hexdigest())


def _products(units: Floats, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> Floats:
    """The cosine similarities of pairs, in blocks."""
    found = np.empty(len(left), dtype=np.float32)
    for begin in range(0, len(left), _PAIRS):
        part = slice(begin, begin + _PAIRS)
        found[part] = np.einsum("ij,ij->i", units[left[part]], units[right[part]])
    return found.clip(-1, 1)


def _quantiles(scores: Floats) -> dict[str, float]:
    return {
        f"{share:g}": float(value) for share, value in zip(_QUANTILES, np.quantile(scores, _QUANTILES), strict=True)
    }


def _check_pairs(pairs: dict[str, Pairs], thresholds: Sequence[float]) -> None:
    """Raise unless the teacher's scores lie on both sides of each threshold."""
    test = pairs["test"].scores
    if np.ptp(np.concatenate([part.scores for part in pairs.values()])) < 1e-6:
        raise DataError(f"distill: the teacher gives every pair the score {test[0]:g}. Use another teacher or texts.")
    for threshold in thresholds:
        for name, part in pairs.items():
            above = int((part.scores >= threshold).sum())
            if above and above < len(part.scores):
                continue
            share = ", ".join(f"{value:.3f} ({float(at):.1%})" for at, value in _quantiles(test).items())
            drawn = sorted(part.scores)[-_FEW:][0] if above == 0 else part.scores.max()
            raise DataError(
                f"distill: the teacher scores {'every pair' if above else 'no pair'} of the {len(part.scores):,} to "
                f"{name} at or above the threshold {threshold:g}. Its scores of pairs of texts have the quantiles "
                f"{share}, and reach {test.max():.3f}. Give more texts, with some that say the same, or a threshold "
                f"that its scores cross, such as --threshold {drawn:.2f}."
            )


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
    tokenizer, table = _token_vectors(teacher)
    if dimensions > min(table.shape):
        raise ValueError(
            f"distill: the teacher's token vectors have {table.shape[1]} dimensions, so the student cannot have "
            f"{dimensions}. Write --dimensions {min(table.shape)}, or less."
        )
    count = torch.zeros(len(table))
    for begin in range(0, len(texts), _KEPT):
        encodings = tokenizer.encode_batch(list(texts[begin : begin + _KEPT]), add_special_tokens=False)
        count += torch.bincount(torch.tensor([i for e in encodings for i in e.ids]), minlength=len(table))
    vectors = (table - table.mean(0)) @ _directions(table - table.mean(0), dimensions)
    vectors *= (_FREQUENCY / (_FREQUENCY + count / count.sum().clamp(min=1)))[:, None]
    card = SentenceTransformerModelCardData(model_name="Distilled static embeddings", local_files_only=True)
    module = StaticEmbedding(tokenizer, embedding_weights=vectors / vectors.std())
    return SentenceTransformer(modules=[module], model_card_data=card, device="cpu")


def _token_vectors(teacher: nn.Module) -> tuple[Tokenizer, Tensor]:
    """A teacher's tokenizer and its vectors of tokens."""
    own: Any = teacher.tokenizer
    tokenizer = getattr(own, "backend_tokenizer", own)
    tables = [part for part in teacher.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))]
    if not isinstance(tokenizer, Tokenizer) or not tables:
        raise ValueError(
            "distill: this teacher has no fast tokenizer or no token vectors to make a static student of. Give a "
            "student of your own: --student FOLDER."
        )
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, tables[0].weight.detach().float().cpu()


def _directions(rows: Tensor, dimensions: int) -> Tensor:
    """The directions in which rows vary most."""
    found: Tensor = torch.linalg.eigh(rows.T @ rows).eigenvectors
    return found[:, -dimensions:].flip(1)


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
        raise ValueError(
            f"distill: the teacher has no {layers} layers to keep and others to leave out. Write fewer --layers, or "
            "leave that out for a static student."
        )
    del lists[0][layers:]
    model[0].auto_model.config.num_hidden_layers = layers
    units = torch.from_numpy(np.asarray(model.encode(list(texts[:_MOST_HELD_OUT]), show_progress_bar=False)))
    if dimensions < units.shape[1]:
        dense = Dense(units.shape[1], dimensions, bias=False, activation_function=nn.Identity())
        dense.linear.weight.data = _directions(units.float(), dimensions).T.contiguous()
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
        self.is_static = isinstance(model[0], StaticEmbedding)
        if self.is_static:
            parts = [model.preprocess(list(texts[b : b + _KEPT])) for b in range(0, len(texts), _KEPT)]
            self._ids = torch.cat([part["input_ids"] for part in parts])
            lengths = [torch.diff(p["offsets"], append=torch.tensor([len(p["input_ids"])])) for p in parts]
            self._lengths = torch.cat(lengths)
            self._starts = self._lengths.cumsum(0) - self._lengths

    def __call__(self, numbers: Tensor) -> Tensor:
        """The embeddings of some texts, with a graph."""
        if self.is_static:
            lengths = self._lengths[numbers]
            offsets = lengths.cumsum(0) - lengths
            places = torch.arange(int(lengths.sum())) + (self._starts[numbers] - offsets).repeat_interleave(lengths)
            features: Any = {"input_ids": self._ids[places], "offsets": offsets}
        else:
            features = self.model.preprocess([self._texts[number] for number in numbers.tolist()])
        features = {name: x.to(self.model.device) if isinstance(x, Tensor) else x for name, x in features.items()}
        found: Tensor = self.model(features)["sentence_embedding"]
        return found

    @torch.no_grad()
    def units(self, numbers: npt.NDArray[np.int64] | None = None) -> Floats:
        """The unit embeddings of some texts, or of all."""
        self.model.eval()
        chosen = torch.arange(len(self._texts)) if numbers is None else torch.from_numpy(numbers)
        parts = [self(part).float().cpu() for part in chosen.split(_KEPT if self.is_static else 64)]
        found: Floats = nn.functional.normalize(torch.cat(parts), dim=-1).numpy()
        return found


# --- Runs -------------------------------------------------------------------------------------------------------------


def _make_student(teacher: Teacher, settings: DistillSettings, train: Sequence[str]) -> SentenceTransformer:
    torch.manual_seed(settings.seed)
    if settings.layers is not None:
        return layered_student(teacher.model, settings.layers, settings.dimensions, train)
    if settings.student == STATIC:
        return static_student(teacher.model, settings.dimensions, train)
    try:
        return SentenceTransformer(settings.student)
    except Exception as error:  # the hub client raises many kinds; all mean that the model cannot be had
        raise ValueError(
            f"--student {settings.student} could not be loaded ({type(error).__name__}: {first_line(error)}). Give the "
            f"folder of a SentenceTransformer, a name on the hub (with a connection), or {STATIC}."
        ) from error


def _step(loss: str, model: SentenceTransformer, teacher: Teacher, pairs: Pairs, link: Link) -> Step:
    """What a loss makes of a batch: embeddings of both texts, and which pairs they are of."""
    if loss == EMBEDDINGS:
        rows = torch.from_numpy(np.array(teacher.embeddings))
        targets = rows @ _directions(rows, min(model.get_embedding_dimension() or 1, rows.shape[1]))
        targets = targets / targets.std()
        numbers = [torch.from_numpy(side) for side in (pairs.left, pairs.right)]

        def of_embeddings(first: Tensor, second: Tensor, batch: Tensor) -> Tensor:
            both = zip((first, second), numbers, strict=True)
            return sum((nn.functional.mse_loss(x, targets[n[batch]].to(x.device)) for x, n in both), torch.tensor(0.0))

        return of_embeddings
    of_pairs: Any = (
        CoSENTLoss(model)
        if loss == COSENT
        else SelectivePointwiseLoss(model, link=link if loss == OURS else IdentityLink())
    )
    scores = torch.from_numpy(pairs.scores)
    return lambda first, second, batch: of_pairs.compute_loss_from_embeddings(
        [first, second], scores[batch].to(first.device)
    )


def train_student(
    model: SentenceTransformer, texts: Sequence[str], pairs: Pairs, step: Step, rate: float, settings: Any, bar: Any
) -> None:
    """Train in place, by Adam, with a rate that rises for a tenth of the steps and then falls to 0."""
    embedder = Embedder(model, texts)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    steps = _steps(len(pairs.scores), settings)
    rise = max(steps / 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: min((done + 1) / rise, (steps - done) / max(steps - rise, 1))
    )
    left, right = torch.from_numpy(pairs.left), torch.from_numpy(pairs.right)
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.epochs):
        for batch in torch.randperm(len(left), generator=generator).split(settings.batch_size):
            first, second = embedder(torch.cat([left[batch], right[batch]])).split(len(batch))
            optimizer.zero_grad()
            step(first, second, batch).backward()
            optimizer.step()
            schedule.step()
            bar.update()


def _steps(pairs: int, settings: Any) -> int:
    return int(settings.epochs * math.ceil(pairs / settings.batch_size))


def _do_runs(
    teacher: Teacher, pairs: dict[str, Pairs], settings: DistillSettings, kept: KeptRuns, working: Path
) -> list[Run]:
    """All runs, in order; those that are done already are not done again."""
    asked = settings.runs(teacher.is_cross)
    todo = [key for key in asked if key not in kept]
    train = [teacher.texts[number] for number in np.unique(pairs["train"].left)]
    start = _make_student(teacher, settings, train) if todo else None
    steps = _steps(len(pairs["train"].scores), settings)
    runs = []
    with tqdm(total=steps * len(asked), initial=steps * (len(asked) - len(todo)), unit="step", disable=None) as bar:
        for loss, rate, seed in asked:
            if (loss, rate, seed) in todo:
                bar.set_description(f"{loss}, rate {rate:g}")
                model: Any = copy.deepcopy(start)
                step = _step(loss, model, teacher, pairs["train"], settings.link)
                train_student(model, teacher.texts, pairs["train"], step, rate, settings, bar)
                found = _measured(model, teacher, pairs, settings.thresholds)
                kept.add(Run(loss, rate, seed, *found, test_scores=[]), model if loss == OURS else None, working)
            runs.append(kept[loss, rate, seed])
    return runs


def _measured(
    model: SentenceTransformer, teacher: Teacher, pairs: dict[str, Pairs], thresholds: Sequence[float]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metrics on the validation and the test pairs; what the student decides by is chosen on the first."""
    embedder = Embedder(model, teacher.texts)
    scores = {}
    for name in _SPLITS[1:]:
        numbers = np.unique(np.concatenate([pairs[name].left, pairs[name].right]))
        units = embedder.units(numbers)
        places = (np.searchsorted(numbers, side) for side in (pairs[name].left, pairs[name].right))
        scores[name] = _products(units, *places)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in scores}
    for threshold in thresholds:
        cut = _best_cut(pairs["validation"].scores, scores["validation"], threshold)
        for name, predicted in scores.items():
            gold = pairs[name].scores
            found[name].append(
                {
                    "threshold": threshold,
                    "matches": int((gold >= threshold).sum()),
                    "at_teachers": decisions(gold, predicted, threshold, threshold),
                    "at_own": decisions(gold, predicted, threshold, cut.value if cut else math.nan),
                    "cut": cut.as_dict() if cut else None,
                    "loss": threshold_loss(gold, predicted, threshold),
                }
            )
    return {"thresholds": found["validation"]}, {"thresholds": found["test"]}


def _best_cut(gold: Floats, predicted: Floats, threshold: float) -> ScoreThreshold | None:
    """The student's best threshold; none where training has diverged."""
    if not np.isfinite(predicted).all():
        return None
    return choose_threshold(gold, predicted, gold_at_least=threshold, chosen_on="validation")  # type: ignore[arg-type]


def decisions(gold: Any, predicted: Any, threshold: float, cut: float) -> dict[str, float]:
    """How well a student's decisions agree with its teacher's.

    Args:
        gold: The teacher's scores.
        predicted: The student's scores.
        threshold: The teacher decides by this.
        cut: The student decides by this.

    Returns:
        F1, precision and recall; 0 where nothing is found.

    Example:
        >>> decisions(np.array([0.9, 0.8, 0.2]), np.array([0.9, 0.3, 0.7]), 0.6, 0.6)
        {'f1': 0.5, 'precision': 0.5, 'recall': 0.5}
    """
    sought, found = np.asarray(gold) >= threshold, np.asarray(predicted) >= cut
    hits, of_found, of_sought = int((sought & found).sum()), int(found.sum()), int(sought.sum())
    return {
        "f1": 2 * hits / max(of_found + of_sought, 1),
        "precision": hits / max(of_found, 1),
        "recall": hits / max(of_sought, 1),
    }


def threshold_loss(gold: Any, predicted: Any, threshold: float) -> float:
    """The mean loss of deciding at a threshold, in per mille: how far a prediction on the wrong side lies beyond it.

    Args:
        gold: The teacher's scores.
        predicted: The student's scores.
        threshold: The threshold.

    Returns:
        The loss.

    Example:
        >>> round(threshold_loss(np.array([0.9, 0.8, 0.2]), np.array([0.9, 0.3, 0.7]), 0.6), 6)
        133.333333
    """
    gold, predicted = np.asarray(gold, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if np.isnan(predicted).any():  # training has diverged
        return math.nan
    return float(1000 * losses_at(gold, predicted, threshold).mean())


def _goodness(run: Run) -> float:
    """What chooses the rate: the least loss at the thresholds on the validation pairs."""
    mean = float(np.mean([each["loss"] for each in run.eval["thresholds"]]))  # type: ignore[attr-defined]
    return -math.inf if math.isnan(mean) else -mean


def _megabytes(model: nn.Module) -> float:
    return sum(each.numel() * each.element_size() for each in model.parameters()) / 1e6


def _speeds(teacher: Teacher, student: SentenceTransformer, texts: Sequence[str]) -> dict[str, float]:
    """How many texts, or pairs of a cross encoder, each of them takes in a second."""
    some, model = list(texts[:_TIMED]), teacher.model
    run: Any = model.predict if isinstance(model, CrossEncoder) else model.encode
    rows: list[Any] = [(text, some[0]) for text in some] if teacher.is_cross else some
    encode = partial(student.encode, show_progress_bar=False)
    more = some * max(1, 8 * _TIMED // len(some))
    return {"teacher": _rate(partial(run, show_progress_bar=False), rows), "student": _rate(encode, more)}


def _rate(run: Callable[[list[Any]], Any], rows: list[Any]) -> float:
    run(rows[:32])
    begin = time.perf_counter()
    run(rows)
    return len(rows) / (time.perf_counter() - begin)
