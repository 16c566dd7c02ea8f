"""Can the student reach what the teacher gives: margins, scores, embeddings?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from selective_st.registry.catalog import OURS
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.engine import Bad, Mend, Stage, rule
from selective_st.registry.checks.rules.losses import loss_line
from selective_st.registry.checks.rules.values import ROUNDING, label_scale
from selective_st.registry.checks.scan import Numbers
from selective_st.registry.steps import Step

_SATURATED = 0.999  # of the probability on one document leaves nothing for the others
_FLAT = 0.02  # a spread of logits that hardly differs from none


@rule(
    "margin-range",
    "read label",
    "error",
    "the teacher's margins in {label!r} are as large as {widest:g}, but differences of cosine similarities are at most "
    "2: {rows} cannot be reached",
    stage=Stage.VALUES,
    mend=lambda c, bad: _narrowed(c, bad.facts["widest"]),
)
def margin_range(context: Context) -> Bad | None:
    """Margins that differences of cosines cannot reach."""
    is_margin = context.label_kinds & {"margin", "margins"} or context.targets == "margins"
    ends = _margins(context) if context.is_cosine and is_margin else None
    if ends is None:
        return None
    lows, highs = ends
    with np.errstate(invalid="ignore"):
        tally = context.scan.tally((lows < -2 - ROUNDING) | (highs > 2 + ROUNDING))
    if not tally.count:
        return None
    widest = float(np.nanmax(np.maximum(np.abs(lows), np.abs(highs))))
    is_error = context.loss is not None or context.entry.origin == OURS
    return Bad(tally, severity="error" if is_error else "warning", facts={"widest": widest})


def _margins(context: Context) -> tuple[Numbers, Numbers] | None:
    """The lowest and the highest margin of each row; None where there are none."""
    labels, lengths = context.labels, context.labels.lengths
    if labels.are_names:
        return None
    if labels.numbers is not None:
        return labels.numbers, labels.numbers
    if labels.lows is None or labels.highs is None or lengths is None or labels.firsts is None:
        return None
    if not _are_scores(context) or labels.rest_lows is None or labels.rest_highs is None:
        return labels.lows, labels.highs
    if context.targets == "scores" or (context.entry.origin == OURS and context.targets != "margins"):
        return None
    return labels.firsts - labels.rest_highs, labels.firsts - labels.rest_lows


def _are_scores(context: Context) -> bool:
    """Whether there is a label for each document, of which the margins are the differences."""
    lengths = context.labels.lengths
    return lengths is not None and bool((lengths == len(context.inputs) - 1).all())


def _narrowed(context: Context, widest: float) -> Step:
    if _are_scores(context):
        low, high, guess = label_scale(context)
        return Step("scale_labels", (context.label, low, high), why=guess)
    why = f"{widest:g} is the widest margin seen: give the width of your teacher's scale"
    return Step("scale_margins", (context.label, math.ceil(widest)), why=why)


@rule(
    "teacher-scale",
    "label",
    "warning",
    "the teacher's scores in {label!r} span {spread:.3g} in half of the rows{what}",
    stage=Stage.LOSS,
    mend=lambda c, bad: _with_temperatures(c, bad.facts["advice"]),
)
def teacher_scale(context: Context) -> Bad | None:
    """Teacher scores that the student cannot match at the temperature, or that leave nothing to learn."""
    lows, highs, lengths = context.labels.lows, context.labels.highs, context.labels.lengths
    if "DistillKLDivLoss" not in context.entry.name or lows is None or highs is None or lengths is None:
        return None
    spread = float(np.nanmedian(highs - lows)) if (lengths > 1).all() else 0.0
    if not spread > 0 or not math.isfinite(spread):
        return None
    teacher, student = (_temperature(context, f"{which}_temperature") for which in ("teacher", "student"))
    top = float(np.median(_largest_probabilities(context, teacher)))
    limit = 2 / student if context.is_cosine else math.inf
    if spread / teacher > limit + ROUNDING:
        what = (
            f", {spread / teacher:.3g} at temperature {teacher:g}, but cosines span at most 2, {limit:.3g} at "
            f"temperature {student:g}: the student cannot match them"
        )
    elif top > _SATURATED:
        what = (
            f": at temperature {teacher:g} one document has {top:.2%} of the probability, and the order of the others "
            "is not learned"
        )
    elif spread / teacher < _FLAT:
        what = (
            f": at temperature {teacher:g} all documents have nearly the same probability, and there is little to learn"
        )
    else:
        return None
    return Bad(facts={"spread": spread, "what": what, "advice": (student, f"{spread / min(4.0, limit):.2g}")})


def _with_temperatures(context: Context, advice: tuple[float, str]) -> Mend:
    student, teacher = advice
    given = [f"{name}={value}" for name, value in context.entry.arguments if name == "similarity_fct"]
    temperatures = f"student_temperature={student:g}", f"teacher_temperature={teacher}"
    return loss_line(context, context.entry, *given, *temperatures)


def _temperature(context: Context, name: str) -> float:
    """A temperature of the loss; of one given by its name, as the registry suggests it or as is its default."""
    for of in (name, "temperature"):
        found = getattr(context.loss, of, None)
        if isinstance(found, (int, float)):
            return float(found)
    suggested = dict(context.entry.arguments).get("temperature")
    if suggested is not None:
        return float(suggested)
    return 2.0 if context.entry.model_type == "SparseEncoder" else 1.0


def _largest_probabilities(context: Context, temperature: float) -> NDArray[np.float64]:
    """The largest probability of each sampled row."""
    found = []
    for value in context.table.values[str(context.source)]:
        scores = np.asarray([score for score in value or [] if score is not None], dtype=np.float64)
        scores = scores[np.isfinite(scores)]
        if len(scores) > 1:
            found.append(1 / np.exp((scores - scores.max()) / temperature).sum())
    return np.asarray(found or [0.0])


@rule(
    "embedding-size",
    "label",
    "error",
    "the embeddings in {label!r} have {found} numbers, but those of the model {size}",
    stage=Stage.LOSS,
    mend=lambda c, bad: loss_line(c, c.entry, f"projection_dim={bad.facts['found']}"),
)
def embedding_size(context: Context) -> Bad | None:
    """Teacher embeddings of another size than the model's."""
    labels, size = context.labels, context.dimension
    if not context.label_kinds <= {"embedding", "embeddings"} or labels.lengths is None or not len(labels.lengths):
        return None
    if context.lists:
        return None  # labels of documents
    if size is None:
        context.not_checked.append("whether the teacher's embeddings have the model's size: give model=")
        return None
    found = labels.inner_lengths[1] if labels.inner_lengths else int(np.bincount(labels.lengths).argmax())
    is_wrong = getattr(context.loss, "projection", None) is None and found != size
    return Bad(facts={"found": found, "size": size}) if is_wrong else None
