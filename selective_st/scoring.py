"""Score the pairs of a file, however long, and decide which of them match."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import torch

from selective_st._row_files import AT_ONCE, RowFile
from selective_st._text_files import ending
from selective_st._validation import instance_of, whole_number
from selective_st.data import named_columns
from selective_st.errors import DataError
from selective_st.evaluation._checks import TIE, Floats
from selective_st.evaluation.thresholds import ScoreThreshold
from selective_st.files import open_rows
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
        resumed: How many had their score from an interrupted run.
        notes: What was decided.
        warning: In what the scores are unlike those that the threshold was chosen on; empty if in nothing.
    """

    rows: int
    matches: int | None
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
    for device in devices:
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"--devices {device}: no such device here. Say --devices cpu") from error
    cut = ScoreThreshold(threshold, gold=threshold) if isinstance(threshold, (int, float)) else threshold
    mend = 'Write threshold=0.85, or threshold=load_threshold("model").'
    instance_of("score_file", "threshold", cut, (ScoreThreshold, type(None)), mend)
    for name, given in (("file", file), ("output", output)):
        instance_of("score_file", name, given, (str, os.PathLike), f'Write {name}="pairs.csv".')
    is_loaded = hasattr(model, "encode") or hasattr(model, "predict")
    if not is_loaded and not callable(model):
        raise TypeError(
            f'score_file: model must be a model, or load one, got {model!r}. Write SentenceTransformer("model").'
        )
    path = Path(file).expanduser()
    source = open_rows(path, header)
    added = _added(source, Path(output), names)[: 1 if cut is None else 2]
    recognise = partial(_is_scored, names=added)
    place = Output(Path(output), "score", {"the file": path}, overwrite=overwrite, recognise=recognise)
    texts = _text_columns(source, columns)
    count = Counter(map(_is_filled, _pairs(source, texts)))  # a fault in the last row shows before any work
    rows, filled = count.total(), count[True]
    if not filled:
        raise DataError(f"{path.name} has no row with two texts in {' and '.join(texts)}.")
    with place:
        loaded = model if is_loaded else model()
        first = [pair[0] for pair in itertools.islice(_pairs(source, texts), WINDOW)]
        encoding, notes = _encoding(loaded, cut, as_queries, first)
        state = place.state(_key(path, (texts, header, WINDOW, encoding), loaded))
        kept = state.folder / "scores"
        with kept.open("ab") as file_of_scores, _pool(loaded, devices) as pool:
            resumed = done = file_of_scores.tell() // (8 * WINDOW) * WINDOW  # whole windows
            file_of_scores.truncate(8 * done)
            pairs = itertools.islice(_pairs(source, texts), done, None)
            while window := list(itertools.islice(pairs, WINDOW)):
                state.says = f"{done:,} scores are kept" if done else ""
                on_rows(done, rows)
                found = _scores(loaded, window, encoding, batch_size, pool)
                file_of_scores.write(found.astype("<f8").tobytes())
                file_of_scores.flush()
                os.fsync(file_of_scores.fileno())
                done += len(window)
        state.says = f"{done:,} scores are kept"
        on_rows(done, rows)
        with kept.open("rb") as scores:
            source.write(place.new, added, partial(_columns, scores, cut))
        matches, warning = (None, "") if cut is None else _decided(cut, kept)
        place.publish()
    notes += [f"{resumed:,} scores of an interrupted run were taken over"] if resumed else []
    notes += [f"{rows - filled:,} rows have no score, as a text is missing or empty"] if filled < rows else []
    return ScoredFile(rows, matches, resumed, [*source.notes, *notes], warning)


def _text_columns(file: RowFile, asked: Sequence[str] | None) -> list[str]:
    """The two columns of texts: those asked for, by name or number, else the only two there are."""
    if asked is None:
        sample = [values for _, values in itertools.islice(file.rows(file.names), AT_ONCE)]
        if not sample:
            raise DataError(f"{file.name} has no rows of data.")
        columns = zip(file.names, zip(*sample, strict=True), strict=True)
        found = [name for name, values in columns if _are_texts(values)]
    else:
        found = named_columns(file, asked)
    if len(found) != 2:
        others = list(dict.fromkeys([*found, *file.names, "OTHER"]))
        why = "hold texts" if asked is None else "are named"
        raise DataError(
            f"{file.name} has the columns {', '.join(file.names[:20])}; {len(found)} of them {why}. A score needs two "
            f"texts a row: say which, such as --columns {shlex.quote(','.join(others[:2]))}"
        )
    return found


def _are_texts(values: Sequence[Any]) -> bool:
    """Whether a column holds texts, and not numbers in writing."""
    texts = [value for value in values if value is not None and value != ""]
    if not texts or not all(isinstance(text, str) for text in texts):
        return False
    try:
        return not [float(text) for text in texts]
    except ValueError:
        return True


def _pairs(file: RowFile, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The two texts of each row, empty ones where they are missing."""
    for number, values in file.rows(columns):
        first, second = ("" if value is None else value for value in values)
        if not isinstance(first, str) or not isinstance(second, str):
            raise DataError(
                f"{file.name}: {first!r:.60} and {second!r:.60} in {file.unit} {number} are not two texts. Choose two "
                "columns of texts: --columns NAME,NAME"
            )
        yield first, second


def _added(source: RowFile, output: Path, names: Sequence[str]) -> list[str]:
    """What to call the columns that are added, or raise if they or the output's name do not suit the file."""
    kind, stem = ending(source.path.name), output.name.partition(".")[0]
    if output.suffix.lower() != kind:
        mend = f"as that of {source.name} and not compressed: --output {output.with_name(stem + kind)}"
        raise DataError(f"--output {output}: the name must end in {kind}, {mend}")
    if len({*names}) != 2 or not all(name.isprintable() and name and not {*name} & {*',;|"'} for name in names):
        raise DataError(f'names must be two different names without , ; | ", got {names!r}: --names score,match')
    if taken := [name for name in names if name in source.names]:
        mend = "Call those that are added otherwise: --names predicted_score,predicted_match"
        raise DataError(f"{source.name} has a column {taken[0]} already. {mend}")
    return list(names)


def _is_scored(path: Path, names: Sequence[str]) -> bool:
    """Whether a file has the columns that this command adds; a score alone may be anybody's."""
    try:
        return len(names) == 2 and open_rows(path, header=True).names[-2:] == list(names)
    except DataError:
        return False


def _is_filled(pair: tuple[str, str]) -> bool:
    return bool(pair[0].strip() and pair[1].strip())


def _encoding(
    model: Any, cut: ScoreThreshold | None, as_queries: bool | None, first: list[str]
) -> tuple[Any, list[str]]:
    """How texts are embedded and compared: as when the threshold was chosen; and what is to be said of it."""
    from selective_st.evaluation.scoring import Encoding

    if cut is not None and as_queries is None:
        as_queries = cut.as_queries
    own, chosen = getattr(model, "similarity_fn_name", None), cut.similarity if cut else None
    functions = () if chosen in (None, own) or hasattr(model, "predict") else (str(chosen),)
    encoding = Encoding(as_queries, similarity_fn_names=functions)
    notes = [encoding.note(model, first, ("--as-queries", "--no-as-queries"))]
    notes += [f"compared by {name}, as when the threshold was chosen; the model's own is {own}" for name in functions]
    return replace(encoding, as_queries=encoding.roles_of(model, first)), list(filter(None, notes))


@contextlib.contextmanager
def _pool(model: Any, devices: Sequence[str]) -> Iterator[Any]:
    """Processes on several devices; on one the model itself."""
    if len(devices) == 1:
        model.to(devices[0])
    pool = model.start_multi_process_pool(list(devices)) if len(devices) > 1 else None
    try:
        yield pool
    finally:
        if pool is not None:
            model.stop_multi_process_pool(pool)


def _scores(model: Any, pairs: list[tuple[str, str]], encoding: Any, batch_size: int, pool: Any) -> Floats:
    """The score of each pair; NaN where a text is empty."""
    found = np.full(len(pairs), math.nan)
    rows = [row for row, pair in enumerate(pairs) if _is_filled(pair)]
    if rows:
        first, second = ([pairs[row][side] for row in rows] for side in (0, 1))
        [found[rows]] = encoding.scores(model, first, second, batch_size, pool=pool).values()
    if not np.isfinite(found[rows]).all():
        pair = pairs[rows[int(np.argmin(np.isfinite(found[rows])))]]
        raise ValueError(f"The model's score of {pair!r:.200} is no finite number: its weights are broken.")
    return found


def _key(path: Path, settings: tuple[Any, ...], model: Any) -> str:
    """A digest of all that the scores depend on."""
    state, own = path.stat(), (getattr(model, "similarity_fn_name", None), getattr(model, "prompts", None), str(model))
    facts = (os.path.realpath(path), state.st_size, state.st_mtime_ns, settings, own)
    digest = hashlib.blake2b(repr(facts).encode(), digest_size=8)
    add_weights(digest, model)
    return digest.hexdigest()


def add_weights(digest: Any, model: Any) -> None:
    """Add a model's weights to what a digest is of."""
    for weights in model.state_dict().values():
        if isinstance(weights, torch.Tensor):
            digest.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def _columns(scores: BinaryIO, cut: ScoreThreshold | None, rows: int) -> list[pa.Array]:
    """The scores of the next rows, and the decisions where there is a threshold."""
    found = np.fromfile(scores, "<f8", rows)
    columns = [found] if cut is None else [found, cut.is_found(found)]
    return [pa.array(values, mask=np.isnan(found)) for values in columns]


def _decided(cut: ScoreThreshold, scores: Path) -> tuple[int, str]:
    """How many scores match, and where they are distributed unlike those that the threshold was chosen on."""
    quantiles = np.asarray(cut.quantiles)
    values = np.unique(quantiles)
    matches, below, count = 0, np.zeros(len(values)), 0
    with scores.open("rb") as file:
        while len(part := np.fromfile(file, "<f8", _CHUNK)):
            matches += int(cut.is_found(part).sum())
            known = np.sort(part[~np.isnan(part)])
            below += np.searchsorted(known, values + TIE, side="right")
            count += len(known)
    if len(quantiles) < 2:
        return matches, ""
    expected = (np.searchsorted(quantiles, values, side="right") - 1) / (len(quantiles) - 1)
    share = below / count
    place = int(np.argmax(np.abs(share - expected)))  # of the two distribution functions
    if abs(share[place] - expected[place]) <= _UNLIKE + _CHANCE * math.sqrt(1 / count + 1 / (cut.pairs or count)):
        return matches, ""
    return matches, (
        f"these scores are unlike those of {cut.chosen_on or 'the validation split'}, on which the threshold was "
        f"chosen: {share[place]:.0%} of them are at most {values[place]:.2f}, there {expected[place]:.0%}. What it "
        "reached there may not hold here: choose it anew on labelled pairs like these, with choose_threshold and "
        "save_threshold"
    )
