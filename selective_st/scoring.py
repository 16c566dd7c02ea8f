"""Score the pairs of a file, however long, and decide which of them match."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selective_st._row_files import RowFile, open_rows
from selective_st._text_files import ending
from selective_st._validation import finite_number, list_of, whole_number
from selective_st.errors import DataError, literal
from selective_st.evaluation._checks import TIE, Floats
from selective_st.evaluation.thresholds import ScoreThreshold
from selective_st.output import Output

WINDOW = 4_096  # rows whose texts are embedded together, each different one once
_CHUNK = 65_536  # scores that are read at once
_UNLIKE = 0.2  # by so much the share of scores below a value may differ from that of validation scores
_CHANCE = 1.63  # so much of what chance does to it in a hundredth of all cases


@dataclass(frozen=True)
class ScoredFile:
    """What came of scoring a file.

    Attributes:
        rows: How many rows it has.
        matches: How many of them match; None without a threshold.
        without_score: How many have no score, as a text of theirs is missing or empty.
        resumed: How many had their score from an interrupted run.
        notes: What was decided.
        warning: In what the scores are unlike those that the threshold was chosen on; empty if in nothing.
    """

    rows: int
    matches: int | None
    without_score: int
    resumed: int
    notes: list[str]
    warning: str


def score_file(
    model: Any,
    file: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    threshold: ScoreThreshold | float | None = None,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    as_queries: bool | None = None,
    names: Sequence[str] = ("score", "match"),
    batch_size: int = 64,
    devices: Sequence[str] = (),
    overwrite: bool = False,
    on_rows: Callable[[int, int], None] = lambda done, rows: None,
) -> ScoredFile:
    """Write a file anew with a score for each pair of texts, and whether it matches.

    Rows stay as they are written, and in their order. A row of which a text is missing or empty has neither. Memory
    does not grow with the file. When interrupted, the same call goes on with what was scored.

    Args:
        model: A `SentenceTransformer`, `SparseEncoder`, `MultiVectorEncoder` or `CrossEncoder`; or a function that
            loads it, called when all else has been checked.
        file: A .csv, .tsv, .jsonl or .parquet file, the text files also compressed (.gz).
        output: The file to write, of the same kind.
        threshold: From which score a pair matches: `load_threshold("model")`, or a number. Pairs are then compared by
            the similarity function that it was chosen with. Default: scores only.
        columns: The two columns of texts, by name or number from 1. Default: the only two there are.
        header: Whether a CSV or TSV file has a header row. Default: told from its first rows.
        as_queries: Whether to embed first texts as queries and second ones as documents. Default: as when the threshold
            was chosen; else told by the first pairs.
        names: What to call the two columns.
        batch_size: How many texts, or pairs, to put through the model at once.
        devices: Devices of torch; with several, a process on each encodes its share.
        overwrite: Whether to replace an earlier output of this function.
        on_rows: Called with the number of rows that have their score and that of all rows.

    Returns:
        What came of it.

    Raises:
        ValueError: If the file, its columns, the place of the output or an argument is not as it must be.

    Example:
        >>> model = SentenceTransformer("model")                                                  # doctest: +SKIP
        >>> score_file(model, "pairs.csv", "scored.csv", threshold=load_threshold("model"))       # doctest: +SKIP
        ScoredFile(rows=1000, matches=37, ...)
    """
    whole_number("score_file", "batch_size", batch_size, least=1)
    _check_devices(devices)
    cut = _as_threshold(threshold)
    path = Path(file).expanduser()
    added = _added_names(names, cut)
    source = open_rows(path, header)
    _check_ending(path, Path(output))
    recognise = partial(_is_scored, names=added)
    place = Output(Path(output), "score", {"the file": path}, overwrite=overwrite, recognise=recognise)
    texts = source.text_columns(columns)
    _check_free(source, added)
    rows, filled = 0, 0
    for pair in source.pairs(texts):  # a fault in the last row shows before any work
        rows, filled = rows + 1, filled + _is_filled(pair)
    if not filled:
        raise DataError(
            f"{path.name} has no row with two texts in {source.names[texts[0]]} and {source.names[texts[1]]}."
        )
    with place:
        loaded = model if hasattr(model, "encode") or hasattr(model, "predict") else model()
        scorer = _Scorer(loaded, cut, as_queries, batch_size, _beginning(source, texts))
        state = place.state(_key(path, texts, header, scorer))
        scores = _Scores(state.folder / "scores")
        resumed = done = scores.keep_windows()
        with scorer.on(devices):
            pairs = itertools.islice(source.pairs(texts), done, None)
            while window := list(itertools.islice(pairs, WINDOW)):
                state.says = f"{done:,} scores are kept" if done else ""
                on_rows(done, rows)
                scores.append(scorer.scores(window))
                done += len(window)
        state.says = f"{done:,} scores are kept"
        on_rows(done, rows)
        source.write(place.new, added, scores.with_decisions(cut))
        found = sum(int(cut.is_found(chunk).sum()) for chunk in scores.chunks()) if cut else None
        warning = _unlike(cut, scores) if cut else ""
        place.publish()
    return ScoredFile(rows, found, rows - filled, resumed, [*source.notes, *scorer.notes], warning)


def _as_threshold(threshold: Any) -> ScoreThreshold | None:
    if threshold is None or isinstance(threshold, ScoreThreshold):
        return threshold
    value = finite_number("score_file", "threshold", threshold)
    return ScoreThreshold(value, gold=value)


def _added_names(names: Any, cut: ScoreThreshold | None) -> list[str]:
    """What to call the columns that are added."""
    found = list_of("score_file", "names", names, "two names", '["score", "match"]')
    odd = [name for name in found if not isinstance(name, str) or not name.isprintable() or set(name) & set(',;|"')]
    if len(found) != 2 or found[0] == found[1] or odd or not all(found):
        raise ValueError(f'names must be two different names without , ; | ", got {names!r}: --names score,match')
    return found if cut else found[:1]


def _check_devices(devices: Sequence[str]) -> None:
    for device in devices:
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = (str(error).splitlines() or ["unknown"])[0]
            raise ValueError(f"--devices {device}: no such device here ({reason}). Say --devices cpu") from error


def _check_free(source: RowFile, added: Sequence[str]) -> None:
    taken = [name for name in added if name in source.names]
    if taken:
        raise DataError(
            f"{source.path.name} has a column {literal(taken[0])} already. Say what to call those that are added: "
            "--names predicted_score,predicted_match"
        )


def _check_ending(path: Path, output: Path) -> None:
    kind, given = ending(path.name), output.suffix.lower()
    if given != kind and {given, kind} != {".json", ".jsonl"}:
        stem = output.name.removesuffix(".gz").removesuffix(output.suffix)
        stem = stem.removesuffix(kind) or "scored"
        raise DataError(
            f"--output {output}: the name must end in {kind}, as {path.name} is of that kind and the output is not "
            f"compressed: --output {output.with_name(stem + kind)}"
        )


def _is_scored(path: Path, names: Sequence[str]) -> bool:
    """Whether a file has the columns that this command adds; a score alone may be anybody's."""
    try:
        return len(names) == 2 and open_rows(path, header=True).names[-2:] == list(names)
    except DataError:
        return False


def _is_filled(pair: tuple[str, str]) -> bool:
    return bool(pair[0].strip() and pair[1].strip())


def _beginning(source: RowFile, texts: Sequence[int]) -> list[str]:
    """First texts of the first pairs."""
    return [pair[0] for pair in itertools.islice(source.pairs(texts), WINDOW)]


class _Scorer:
    """A model, and how it is asked."""

    def __init__(
        self, model: Any, cut: ScoreThreshold | None, as_queries: bool | None, batch_size: int, first: list[str]
    ) -> None:
        from selective_st.evaluation.scoring import Encoding, note_on_roles

        as_chosen = cut.as_queries if cut and as_queries is None else as_queries
        similarity = cut.similarity if cut else None
        functions = () if similarity is None or hasattr(model, "predict") else (similarity,)
        encoding = Encoding(as_chosen, similarity_fn_names=functions, owner="score_file")
        note = note_on_roles(encoding, model, first, ("--as-queries", "--no-as-queries"))
        self.notes = [note] if note else []
        own = getattr(model, "similarity_fn_name", None)
        if functions and similarity != own:
            self.notes.append(f"compared by {similarity}, as when the threshold was chosen; the model's own is {own}")
        self.model = model
        self.encoding = replace(encoding, as_queries=encoding.roles_of(model, first))
        self._batch_size = batch_size
        self._pool: Any = None

    @contextlib.contextmanager
    def on(self, devices: Sequence[str]) -> Iterator[None]:
        """Work on these devices."""
        if len(devices) == 1:
            self.model.to(devices[0])
        if len(devices) < 2:
            yield
            return
        self._pool = self.model.start_multi_process_pool(list(devices))
        try:
            yield
        finally:
            self.model.stop_multi_process_pool(self._pool)

    def scores(self, pairs: list[tuple[str, str]]) -> Floats:
        """The score of each pair; NaN where a text is empty."""
        from selective_st.evaluation.scoring import scores_by_function

        rows = [row for row, pair in enumerate(pairs) if _is_filled(pair)]
        found = np.full(len(pairs), math.nan)
        if rows:
            first, second = ([pairs[row][side] for row in rows] for side in (0, 1))
            by_function = scores_by_function(
                self.model, first, second, self.encoding, self._batch_size, show_progress_bar=False, pool=self._pool
            )
            found[rows] = next(iter(by_function.values()))
            if not np.isfinite(found[rows]).all():
                row = rows[int(np.argmin(np.isfinite(found[rows])))]
                raise ValueError(
                    f"The model's score of {pairs[row]!r:.200} is {found[row]}, no finite number. Its weights are "
                    "broken, or training has diverged: take another model."
                )
        return found


def _key(path: Path, texts: Sequence[int], header: bool | None, scorer: _Scorer) -> str:
    """A digest of all that the scores depend on."""
    stat, model = path.stat(), scorer.model
    settings = (os.path.realpath(path), stat.st_size, stat.st_mtime_ns, list(texts), header, WINDOW, scorer.encoding)
    own = (getattr(model, "similarity_fn_name", None), getattr(model, "prompts", None))
    digest = hashlib.blake2b(repr((settings, own, str(model))).encode(), digest_size=8)
    for name, weights in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(weights, torch.Tensor):
            digest.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _Scores:
    """The scores of a file so far, on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def keep_windows(self) -> int:
        """Cut off what does not fill a window, and say how many scores are left."""
        rows = self._path.stat().st_size // (8 * WINDOW) * WINDOW
        os.truncate(self._path, 8 * rows)
        return rows

    def append(self, scores: Floats) -> None:
        """Add the scores of a window."""
        with self._path.open("ab") as file:
            file.write(scores.astype("<f8").tobytes())
            file.flush()
            os.fsync(file.fileno())

    def chunks(self) -> Iterator[Floats]:
        """All scores, a part at a time."""
        with self._path.open("rb") as file:
            while part := file.read(8 * _CHUNK):
                yield np.frombuffer(part, dtype="<f8")

    def with_decisions(self, cut: ScoreThreshold | None) -> Iterator[tuple[Any, ...]]:
        """For each row its score, and its decision where there is a threshold."""
        for chunk in self.chunks():
            scores = [None if math.isnan(score) else score for score in chunk.tolist()]
            if cut is None:
                yield from zip(scores, strict=True)
            else:
                found = cut.is_found(chunk).tolist()
                yield from ((s, None if s is None else m) for s, m in zip(scores, found, strict=True))


def _unlike(cut: ScoreThreshold, scores: _Scores) -> str:
    """Where the scores are distributed unlike those that a threshold was chosen on, by their distribution functions."""
    quantiles = np.asarray(cut.quantiles)
    if quantiles.size < 2:
        return ""
    values = np.unique(quantiles)
    expected = (np.searchsorted(quantiles, values, side="right") - 1) / (quantiles.size - 1)
    below, count = np.zeros(len(values)), 0
    for chunk in scores.chunks():
        known = np.sort(chunk[~np.isnan(chunk)])
        below += np.searchsorted(known, values + TIE, side="right")
        count += len(known)
    share = below / count
    place = int(np.argmax(np.abs(share - expected)))
    chance = _CHANCE * math.sqrt(1 / count + 1 / (cut.pairs or count))
    if abs(share[place] - expected[place]) <= _UNLIKE + chance:
        return ""
    return (
        f"these scores are unlike those of {cut.chosen_on or 'the validation split'}, on which the threshold was "
        f"chosen: {share[place]:.0%} of them are at most {values[place]:.2f}, there {expected[place]:.0%}. What it "
        "reached there may not hold here: choose it anew on labelled pairs like these, with choose_threshold and "
        "save_threshold"
    )
