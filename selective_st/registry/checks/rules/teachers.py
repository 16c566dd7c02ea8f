"""Can the student reach what the teacher gives: margins, scores, embeddings?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from selective_st.registry.catalog import OURS
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.engine import Bad, Mend, Stage, bad, rule
from selective_st.registry.checks.rules.losses import loss_line
from selective_st.registry.checks.rules.values import ROUNDING, scaled
from selective_st.registry.checks.scan import Numbers
from selective_st.registry.steps import Step

_SATURATED = 0.999  # of the probability on one document leaves nothing for the others
_FLAT = 0.02  # a spread of logits that hardly differs from none


def _narrowed(c: Context, found: Bad) -> Step:
    if _are_scores(c):
        return scaled(c, found)
    widest = found.facts["widest"]
    why = f"{widest:g} is the widest margin seen: give the width of your teacher's scale"
    return Step("scale_margins", (c.label, math.ceil(widest)), why=why)


@rule("margin-range", "read label", "error", Stage.VALUES, _narrowed)
def margin_range(c: Context) -> Bad | None:
    """The teacher's margins in {label!r} are as large as {widest:g}.

    Differences of cosine similarities are at most 2: {rows} cannot be reached.
    """
    is_margin = c.label_kinds & {"margin", "margins"} or c.targets == "margins"
    ends = _margins(c) if c.is_cosine and is_margin else None
    if ends is None:
        return None
    lows, highs = (np.where(np.isinf(margins), np.nan, margins) for margins in ends)  # infinite ones are another rule's
    tally = c.scan.tally((lows < -2 - ROUNDING) | (highs > 2 + ROUNDING))
    widest = float(np.nanmax(np.maximum(np.abs(lows), np.abs(highs)))) if tally.count else 0.0
    is_error = c.loss is not None or c.entry.origin == OURS
    return bad(tally, severity=None if is_error else "warning", widest=widest)


def _margins(c: Context) -> tuple[Numbers, Numbers] | None:
    """The lowest and the highest margin of each row; None where there are none."""
    labels = c.labels
    if not labels.is_list:
        return None if labels.are_names else (labels.numbers, labels.numbers)
    if not _are_scores(c):
        return labels.lows, labels.highs
    if c.targets == "scores" or (c.entry.origin == OURS and c.targets != "margins"):
        return None
    return labels.margin_lows, labels.margin_highs


def _are_scores(c: Context) -> bool:
    """Whether there is a label for each document, of which the margins are the differences."""
    return c.labels.are_lists_of(len(c.inputs) - 1)


def _with_temperatures(c: Context, found: Bad) -> str:
    given = [f"{name}={value}" for name, value in c.entry.arguments if name == "similarity_fct"]
    return loss_line(c, c.entry, *given, *found.facts["temperatures"])


@rule("teacher-scale", "label", "warning", Stage.LOSS, _with_temperatures)
def teacher_scale(c: Context) -> Bad | None:
    """The teacher's scores in {label!r} span {spread:.3g} in half of the rows, {scaled:.3g} by temperature: {what}."""
    spreads = c.labels.highs - c.labels.lows
    known, is_asked = spreads[np.isfinite(spreads)], "DistillKLDivLoss" in c.entry.name
    spread = float(np.median(known)) if is_asked and len(known) and (c.labels.lengths > 1).all() else 0.0
    if not spread > 0:
        return None
    teacher, student = (_temperature(c, f"{which}_temperature") for which in ("teacher", "student"))
    top = float(np.median(_largest_probabilities(c, teacher)))
    limit = 2 / student if c.is_cosine else math.inf
    what = ""
    if spread / teacher > limit + ROUNDING:
        what = f"the student's cosines, which span at most {limit:.3g} by its own, cannot match them"
    elif top > _SATURATED:
        what = f"one document has {top:.2%} of the probability, and the order of the others is not learned"
    elif spread / teacher < _FLAT:
        what = "all documents have nearly the same probability, and there is little to learn"
    advice = f"student_temperature={student:g}", f"teacher_temperature={spread / min(4.0, limit):.2g}"
    return bad(spread=spread, scaled=spread / teacher, what=what, temperatures=advice) if what else None


def _temperature(c: Context, name: str) -> float:
    """A temperature of the loss; of one given by its name, as the registry suggests it or as is its default."""
    for of in (name, "temperature"):
        found = getattr(c.loss, of, None)
        if isinstance(found, (int, float)):
            return float(found)
    default = 2.0 if c.entry.model_type == "SparseEncoder" else 1.0
    return float(dict(c.entry.arguments).get("temperature", default))


def _largest_probabilities(c: Context, temperature: float) -> NDArray[np.float64]:
    """The largest probability of each sampled row."""
    found = []
    for value in c.table.values[str(c.source)]:
        scores = np.asarray([score for score in value or [] if score is not None], dtype=np.float64)
        scores = scores[np.isfinite(scores)]
        if len(scores) > 1:
            found.append(1 / np.exp((scores - scores.max()) / temperature).sum())
    return np.asarray(found or [0.0])


def _projected(c: Context, found: Bad) -> Mend:
    return loss_line(c, c.entry, f"projection_dim={found.facts['size']}")


@rule("embedding-size", "label", "error", Stage.LOSS, _projected)
def embedding_size(c: Context) -> Bad | None:
    """The embeddings in {label!r} have {size} numbers, but those of the model {c.dimension}."""
    labels = c.labels
    are_embeddings = c.label_kinds <= {"embedding", "embeddings"} and not c.lists
    if not are_embeddings or not labels.lengths.any():
        return None
    if c.dimension is None:
        c.not_checked.append("whether the teacher's embeddings have the model's size: give model=")
        return None
    size = labels.inner_lengths[1] if labels.inner_lengths else int(np.bincount(labels.lengths).argmax())
    is_wrong = getattr(c.loss, "projection", None) is None and size != c.dimension
    return bad(size=size) if is_wrong else None
