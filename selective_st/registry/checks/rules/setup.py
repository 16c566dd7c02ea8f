"""Do the loss, the model and the texts fit together?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from selective_st.catalog import OURS, UPSTREAM, loss_entry, losses, rows_of
from selective_st.registry.checks.context import EMBEDDINGS, Context
from selective_st.registry.checks.engine import Bad, Found, Mend, Part, Stage, Tells, bad, rule
from selective_st.registry.checks.lines import change, keep, loss_line, more_outputs, other_loss
from selective_st.registry.checks.scan import Integers
from selective_st.registry.conversions import scale_of
from selective_st.registry.steps import Step

_LENGTH_TEXTS = 1_000  # so many texts are tokenized, of those that may be too long
_CHARACTERS = 10  # for each token of the maximum: as much of a text is tokenized
_EXTRA_TOKENS = 2  # at the ends of a text
_NO_RISE, _LITTLE_RISE = 1e-6, 0.05  # of a link between two labels: nothing, or in shares of that from 0 to 1

# --- Long texts -------------------------------------------------------------------------------------------------------


def _longer(c: Context, found: Found) -> Part:
    """A higher maximum where the model has one; else rows left out."""
    config = getattr(getattr(c.model, "transformers_model", None), "config", None)
    highest, maximum = getattr(config, "max_position_embeddings", None), found.facts["maximum"]
    if isinstance(highest, int) and highest > maximum:
        return f"model.max_seq_length = {highest}"
    return keep("text", f'len(model.tokenizer(text)["input_ids"]) <= {maximum}', found.column)


@rule("too-long", "text", "warning", Stage.LOSS, _longer)
def too_long(c: Context, column: str) -> Tells:
    """Of {looked_at:,} rows about {count:,} have more tokens in {column!r} than the model's maximum of {maximum}.

    They are cut off: {rows}.
    """
    maximum: Any = getattr(c.model, "max_seq_length", None) or getattr(c.model, "max_length", None)
    first = c.inputs[0] if c.entry.model_type == "CrossEncoder" else None  # which comes before each of the others
    has_maximum = isinstance(maximum, (int, float)) and 0 < maximum < 1_000_000  # static embeddings have none
    if has_maximum and callable(getattr(c.model, "tokenizer", None)) and column in c.read_inputs and column != first:
        rows, count = _long_texts(c, column, first, int(maximum))
        yield bad(rows, estimate=count, looked_at=len(c.table.sampled), maximum=int(maximum), count=count)


def _long_texts(c: Context, column: str, first: str | None, maximum: int) -> tuple[Integers, int]:
    """The sampled rows with more tokens than the maximum, and about how many there are."""
    candidates: list[tuple[int, str]] = []
    prefixes = c.table.values[first] if first is not None else [None] * len(c.table.sampled)
    for place, (prefix, value) in enumerate(zip(prefixes, c.table.values[column], strict=True)):
        for text in value if isinstance(value, list) else [value]:
            both = " ".join(part for part in (prefix, text) if isinstance(part, str) and part)
            if len(both.encode()) + _EXTRA_TOKENS > maximum:  # a token is at least a byte
                candidates.append((place, both[: _CHARACTERS * maximum]))
    kept = candidates[:: math.ceil(len(candidates) / _LENGTH_TEXTS) or 1]
    if not kept:
        return np.empty(0, dtype=np.int64), 0
    texts = [text for _, text in kept]
    encoded = c.model.tokenizer(texts, add_special_tokens=True, truncation=False, padding=False, verbose=False)
    most = maximum - (first is not None)  # the separator between the two texts of a pair
    tokens = zip(kept, encoded["input_ids"], strict=True)
    long = sorted({place for (place, _), of_text in tokens if len(of_text) > most})
    # Of a sample, as many rows as would be too long in all of it.
    return np.asarray(c.table.sampled)[long], round(len(long) * len(candidates) / len(kept))


# --- The model --------------------------------------------------------------------------------------------------------


@rule("model-outputs", "data", "error", Stage.MODEL, lambda c, found: more_outputs(c, found.facts["labels"]))
def model_outputs(c: Context) -> Tells:
    """{loss} takes a model with {wanted}, but this one has {c.model.num_labels}."""
    outputs = getattr(c.model, "num_labels", None)
    wanted = {row.outputs for row in rows_of(c.entry.name, "CrossEncoder")}
    if c.entry.model_type == "CrossEncoder" and isinstance(outputs, int):
        if wanted == {"1"} and outputs != 1:
            yield bad(wanted="one output label", labels=1)
        if wanted == {"num_classes"} and outputs == 1:
            yield bad(wanted="an output label for each class", labels=max(2, c.format.classes or 0))


@rule("classifier-size", "data", "error", Stage.LOSS)
def classifier_size(c: Context) -> Tells:
    """The classifier of SoftmaxLoss is for embeddings of {wanted} numbers, but the model's have {c.dimension}."""
    wanted = getattr(getattr(c.loss, "classifier", None), "in_features", None)
    if c.entry.name == "SoftmaxLoss" and c.dimension is not None and isinstance(wanted, int):
        parts = {"rep": 2, "difference": 1, "multiplication": 1}
        vectors = sum(size * getattr(c.loss, f"concatenation_sent_{part}", False) for part, size in parts.items())
        if vectors and wanted != vectors * c.dimension:
            mend = loss_line(c, c.entry, "model.get_embedding_dimension()", f"num_labels={c.loss.num_labels}")
            yield bad(wanted=wanted // vectors, mend=mend)


@rule("no-autoencoder", "data", "error", Stage.LOSS)
def no_autoencoder(c: Context) -> Tells:
    """CSRLoss reads what a SparseAutoEncoder puts out, but the model has none: {modules}."""
    if "CSRLoss" in c.names and c.modules:
        modules = c.model.modules() if callable(getattr(c.model, "modules", None)) else []
        if "SparseAutoEncoder" not in [base.__name__ for module in modules for base in type(module).__mro__]:
            mend = loss_line(c, loss_entry("SparseMultipleNegativesRankingLoss", "SparseEncoder"))
            yield bad(modules=", ".join(c.modules), mend=mend)


def _wrapped(c: Context, found: Found) -> Mend:
    return (
        f"from {c.entry.module} import SpladeLoss\n"
        "{loss} = SpladeLoss(model, {loss}, document_regularizer_weight=3e-5, query_regularizer_weight=5e-5)"
    )


@rule("not-wrapped", "data", "error", Stage.LOSS, _wrapped)
def not_wrapped(c: Context) -> bool:
    """{loss} cannot be used alone: its forward pass raises an error."""
    is_asked = c.loss is not None and c.entry.is_wrapped and c.entry.origin == UPSTREAM
    modifiers = {known.name for known in losses("SparseEncoder") if known.role == "modifier"}
    wrapped = bool(modifiers & {type(wrapper).__name__ for wrapper in c.wrappers})
    return is_asked and not wrapped


# --- Settings of the loss ---------------------------------------------------------------------------------------------


@rule("loss-targets", "data", "error", Stage.LOSS)
def loss_targets(c: Context) -> Tells:
    """{what}."""
    if c.loss is None or c.entry.name != "SelectivePairwiseLoss" or c.entry.origin != OURS:
        return
    targets, label, documents, other = c.loss.targets, c.label, len(c.inputs) - 1, None
    found = 0 if label is None else int(c.labels.lengths.max()) if c.labels.is_list else 1
    if label is None and targets is not None:
        what = f"targets={targets!r} needs labels in a column called label, labels, score or scores, but there are none"
        yield bad(what=what, mend=loss_line(c, c.entry))
    elif targets is None and found == documents > 1:
        other = "scores"
        what = f"the {documents} labels of each row in {label!r} could mean two things, and {c.entry.name} wants to be "
        what += 'told: targets="scores" (to be reached) or targets="margins" (their differences are)'
    elif targets == "scores" and found == documents - 1 > 0 and c.labels.type in ("float", "list"):
        other = "margins"
        what = f'targets="scores" takes {documents} labels a row, one for each document, but {label!r} has {found}, as '
        what += "margins have"
    if other is not None:
        mend = loss_line(c, c.entry, "similarity_fct=pairwise_cos_sim", f'targets="{other}"')
        yield bad(column=label, what=what, mend=mend)


def _rise(link: Any, lows: Any, highs: Any) -> float:
    """The most that a link rises between two labels that are compared."""
    import torch  # late: only for a loss that is built

    low, high = (torch.as_tensor(np.atleast_1d(each)).double().nan_to_num() for each in (lows, highs))
    return float((link(high) - link(low)).max())


def _rising(c: Context, found: Found) -> Mend:
    """The labels on the scale of scores, where the link is for these; or else a weight link that rises."""
    from selective_st.registry.focused import link_code  # late: it imports torch

    scale = scale_of(c.format)[0]
    if scale is not None and c.highest > 1 and not c.labels.is_list:
        ends = ((end - scale[0]) / (scale[1] - scale[0]) for end in (c.lowest, c.highest))
        if _rise(c.loss.weight_link, *ends) > _NO_RISE:
            return Step("scale_labels", (c.label, *scale), why="the weight link is for scores from 0 to 1")
    given = [f"scale={float(c.loss.scale)!r}", f"weight_link={found.facts['rising']}"]
    flat = c.loss.link.get_config_dict()["type"] == "ConstantLink"
    return loss_line(c, c.entry, *given, *(() if flat else (f"link={link_code(c.loss.link)}",)))


@rule("flat-weight-link", "read label", "error", Stage.LOSS, _rising)
def flat_weight_link(c: Context) -> Tells:
    """The weight link of {loss}, {link}, is {flat} on the labels in {label!r}, from {c.lowest:g} to {c.highest:g}.

    It weighs a confusion by its rise between the two labels, so that no pair teaches anything. {rising} would.
    """
    link = getattr(c.loss, "weight_link", None)
    if link is None or not c.lowest < c.highest:
        return
    of_lists = c.labels.is_list and not c.becomes_pairs
    rise = _rise(link, *((c.labels.lows, c.labels.highs) if of_lists else (c.lowest, c.highest)))
    # Labels of another scale may lie beyond where the link rises.
    if rise <= _NO_RISE or (c.highest > 1 and rise <= _LITTLE_RISE * _rise(link, 0, 1)):
        middle, steep = (c.lowest + c.highest) / 2, 20 / (c.highest - c.lowest)
        how = "flat" if rise <= _NO_RISE else "nearly flat"
        yield bad(link=repr(link), flat=how, rising=f"SigmoidLink({steep:.3g}, {middle:.3g})")


def _longer_lists(c: Context, found: Found) -> Mend:
    """Lists that have an order; where there are none, pairs, and a loss for them."""
    if found.severity == "warning":
        return keep("texts", "len(texts) > 1", found.column)
    binary = c.source is not None and np.isin(c.labels.values, (0, 1)).all()
    pairs = Step("lists_to_rows", (found.column,), why="a row for each text")
    return [(pairs, line) for line in other_loss(c, "pair", "binary" if binary else "similarity")]


@rule("short-lists", "data", "error", Stage.CHANGE, _longer_lists)
def short_lists(c: Context) -> Bad | None:
    """{column!r} holds fewer than two texts in {rows}: there is no order, from which {loss} learns."""
    lengths = c.scan.texts[c.lists[0]].lengths if c.shapes == {"list"} and len(c.lists) == 1 else None
    if lengths is None or (lengths < 2).mean() < 0.5:
        return None
    return bad(lengths < 2, column=c.lists[0], severity="error" if (lengths < 2).all() else "warning")


@rule("matryoshka-labels", "label", "error", Stage.VALUES)
def matryoshka_labels(c: Context) -> Tells:
    """Each row of {label!r} has {c.dimension} labels, as many as the embeddings have numbers.

    MatryoshkaLoss takes them for embeddings and cuts them short.
    """
    are_embeddings = c.format.label in EMBEDDINGS or (
        bool(c.label_kinds & EMBEDDINGS) and c.entry.name != "MatryoshkaLoss"
    )
    cached = any(getattr(wrapper, "uses_gradient_cache", False) is True for wrapper in c.wrappers)
    if "MatryoshkaLoss" in c.names and c.labels.is_list and not are_embeddings and not cached:
        if c.dimension is None:
            c.not_checked.append("whether MatryoshkaLoss takes labels for embeddings: give model= (--model)")
        fewer = Step("remove_columns", (c.inputs[-1:],)), change("labels", "labels[:-1]", c.label)
        yield bad(c.labels.lengths == (c.dimension or -1), mend=fewer)
