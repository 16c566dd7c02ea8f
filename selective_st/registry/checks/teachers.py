"""Can the student reach what the teacher gives: margins, scores, embeddings?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from selective_st.registry.catalog import OURS, UPSTREAM, losses
from selective_st.registry.checks.context import Checked, Context, Found, row_numbers
from selective_st.registry.checks.label_values import ROUNDING, label_scale

_SATURATED = 0.999  # of the probability on one document leaves nothing for the others
_FLAT = 0.02  # a spread of logits that hardly differs from none


def margin_range(context: Context) -> Checked:
    """Margins that differences of cosines cannot reach."""
    label = context.read_label
    if label is None or not context.is_cosine:
        return
    if not context.label_kinds & {"margin", "margins"} and context.targets != "margins":
        return
    labels, lengths = context.labels, context.labels.lengths
    negatives = len(context.inputs) - 2
    if labels.numbers is not None:
        lows = highs = labels.numbers
    elif labels.lows is None or labels.highs is None or lengths is None or labels.firsts is None:
        return
    elif (lengths == negatives + 1).all() and labels.rest_lows is not None and labels.rest_highs is not None:
        if context.targets == "scores" or (context.entry.origin == OURS and context.targets != "margins"):
            return
        lows, highs = labels.firsts - labels.rest_highs, labels.firsts - labels.rest_lows
    else:
        lows, highs = labels.lows, labels.highs
    with np.errstate(invalid="ignore"):
        tally = context.scan.tally((lows < -2 - ROUNDING) | (highs > 2 + ROUNDING))
    if not tally.count:
        return
    widest = float(np.nanmax(np.maximum(np.abs(lows), np.abs(highs))))
    are_scores = labels.lengths is not None and bool((labels.lengths == negatives + 1).all())
    yield Found(
        "error" if context.loss is not None or context.entry.origin == OURS else "warning",
        f"the teacher's margins in {label!r} are as large as {widest:g}, but differences of cosine similarities are at "
        f"most 2: {row_numbers(tally)} cannot be reached",
        context.step("scale_labels", label, *label_scale(context))
        if are_scores
        else context.step("scale_margins", label, math.ceil(widest)),
        label,
        tally,
    )


def teacher_scale(context: Context) -> Checked:
    """Teacher scores that the student cannot match at the temperature, or that leave nothing to learn."""
    label = context.label
    if label is None or "DistillKLDivLoss" not in context.entry.name or context.labels.lows is None:
        return
    lows, highs = context.labels.lows, context.labels.highs
    if highs is None or context.labels.lengths is None or not (context.labels.lengths > 1).all():
        return
    spread = float(np.nanmedian(highs - lows))
    if not spread > 0 or not math.isfinite(spread):
        return
    teacher, student = (_temperature(context, f"{which}_temperature") for which in ("teacher", "student"))
    top = float(np.median(_largest_probabilities(context, label, teacher)))
    limit = 2 / student if context.is_cosine else math.inf
    advice = f"{spread / min(4.0, limit):.2g}"
    if spread / teacher > limit + ROUNDING:
        what = (
            f"the teacher's scores in {label!r} span {spread:.3g} in half of the rows, {spread / teacher:.3g} at "
            f"temperature {teacher:g}, but cosines span at most 2, {limit:.3g} at temperature {student:g}: the student "
            "cannot match them"
        )
    elif top > _SATURATED:
        what = (
            f"the teacher's scores in {label!r} span {spread:.3g} in half of the rows: at temperature {teacher:g} one "
            f"document has {top:.2%} of the probability, and the order of the others is not learned"
        )
    elif spread / teacher < _FLAT:
        what = (
            f"the teacher's scores in {label!r} span {spread:.3g} in half of the rows: at temperature {teacher:g} all "
            "documents have nearly the same probability, and there is little to learn"
        )
    else:
        return
    arguments = "".join(f", {name}={value}" for name, value in context.entry.arguments if name == "similarity_fct")
    yield Found(
        "warning",
        what,
        f"loss = {context.entry.name}(model{arguments}, student_temperature={student:g}, teacher_temperature={advice})",
        label,
    )


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


def _largest_probabilities(context: Context, label: str, temperature: float) -> NDArray[np.float64]:
    """The largest probability of each sampled row."""
    found = []
    for value in context.table.values[label]:
        scores = np.asarray([score for score in value or [] if score is not None], dtype=np.float64)
        scores = scores[np.isfinite(scores)]
        if len(scores) > 1:
            found.append(1 / np.exp((scores - scores.max()) / temperature).sum())
    return np.asarray(found or [0.0])


def embedding_size(context: Context) -> Checked:
    """Teacher embeddings of another size than the model's."""
    label = context.label
    if label is None or not context.label_kinds <= {"embedding", "embeddings"} or context.labels.lengths is None:
        return
    size = context.dimension
    if size is None:
        context.not_checked.append("whether the teacher's embeddings have the model's size: give model=")
        return
    if getattr(context.loss, "projection", None) is not None or not len(context.labels.lengths):
        return
    if context.labels.inner_lengths is not None:
        found = context.labels.inner_lengths[1]
    else:
        found = int(np.bincount(context.labels.lengths).argmax())
    if found != size:
        yield Found(
            "error",
            f"the embeddings in {label!r} have {found} numbers, but those of the model {size}",
            f"loss = {context.entry.name}(model, projection_dim={found})",
            label,
        )


def matryoshka_labels(context: Context) -> Checked:
    """Lists of labels that MatryoshkaLoss would take for embeddings."""
    names = [base.__name__ for wrapper in context.subject.wrappers for base in type(wrapper).__mro__]
    label = context.label
    if label is None or "MatryoshkaLoss" not in [*names, context.entry.name]:
        return
    if context.label_kinds & {"embedding", "embeddings"} and context.entry.name != "MatryoshkaLoss":
        return
    if context.format.label in ("embedding", "embeddings") or context.labels.lengths is None:
        return
    cached = any(getattr(wrapper, "uses_gradient_cache", False) is True for wrapper in context.subject.wrappers)
    size = context.dimension
    if size is None:
        context.not_checked.append("whether MatryoshkaLoss takes labels for embeddings: give model=")
        return
    tally = context.scan.tally(context.labels.lengths == size)
    if cached or not tally.count:
        return
    name, last = context.variable, context.inputs[-1]
    yield Found(
        "error",
        f"each row of {label!r} has {size} labels, as many as the embeddings have numbers; MatryoshkaLoss takes them "
        "for embeddings and cuts them short",
        f"{name} = {name}.remove_columns({last!r}).map(lambda labels: {{{label!r}: labels[:-1]}}, "
        f"input_columns={label!r})",
        label,
        tally,
    )


def not_wrapped(context: Context) -> Checked:
    """A loss for sparse models that only works within another."""
    entry, loss = context.entry, context.loss
    if loss is None or entry.model_type != "SparseEncoder" or entry.role != "loss" or entry.origin != UPSTREAM:
        return
    modifiers = {known.name for known in losses("SparseEncoder") if known.role == "modifier"}
    if entry.name == "SparseMSELoss" or any(
        type(wrapper).__name__ in modifiers for wrapper in context.subject.wrappers
    ):
        return
    yield Found(
        "error",
        f"{entry.name} cannot be used alone: its forward pass raises an error",
        "loss = SpladeLoss(model, loss, document_regularizer_weight=3e-5, query_regularizer_weight=5e-5)",
    )
