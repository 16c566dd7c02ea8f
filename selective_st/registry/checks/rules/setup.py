"""Do the loss, the model and the texts fit together?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from selective_st.errors import literal
from selective_st.registry.catalog import DEFAULT_MODEL, OURS, UPSTREAM, loss_entry, losses, rows_of
from selective_st.registry.checks.context import Context, change, keep
from selective_st.registry.checks.engine import Bad, Mend, Part, Stage, bad, rule, says
from selective_st.registry.checks.rules.labels import LABEL_NAMES
from selective_st.registry.checks.rules.losses import loss_line, other_loss
from selective_st.registry.checks.scan import Tally
from selective_st.registry.steps import Step

_LENGTH_TEXTS = 1_000  # so many texts are tokenized, of those that may be too long
_CHARACTERS = 10  # for each token of the maximum: as much of a text is tokenized
_EXTRA_TOKENS = 2  # at the ends of a text

# --- Long texts -------------------------------------------------------------------------------------------------------


def _longer(c: Context, found: Bad) -> Part:
    """A higher maximum where the model has one; else rows left out."""
    config = getattr(getattr(c.model, "transformers_model", None), "config", None)
    highest, maximum = getattr(config, "max_position_embeddings", None), found.facts["maximum"]
    if isinstance(highest, int) and highest > maximum:
        return f"model.max_seq_length = {highest}"
    return keep("text", f'len(model.tokenizer(text)["input_ids"]) <= {maximum}', str(found.column))


@rule("too-long", "data", "warning", Stage.LOSS, _longer)
@says(
    "of {looked_at:,} rows looked at, about {count:,} hold more tokens than the model's maximum of {maximum} in column "
    "{column!r}, which are cut off: {rows}"
)
def too_long(c: Context) -> Iterator[Bad | None]:
    """Texts that are cut off."""
    if c.model is None:
        c.not_checked.append("whether texts are too long for the model: give model=, or the loss itself")
    maximum = getattr(c.model, "max_seq_length", None) or getattr(c.model, "max_length", None)
    tokenizer = getattr(c.model, "tokenizer", None)
    if not isinstance(maximum, (int, float)) or not 0 < maximum < 1_000_000 or not callable(tokenizer):
        return  # static embeddings, for example, have no maximum
    columns = [column for column in c.read_inputs if c.kinds[column] in ("text", "texts")]
    pairs = c.entry.model_type == "CrossEncoder"
    for column in columns[1:] if pairs else columns:
        prefix = c.table.values[columns[0]] if pairs else None
        tally = _long_texts(c, column, prefix, tokenizer, int(maximum))
        yield bad(tally, column=column, looked_at=len(c.table.sampled), maximum=int(maximum), count=tally.count)


def _long_texts(c: Context, column: str, prefix: Sequence[Any] | None, tokenizer: Any, maximum: int) -> Tally:
    """The sampled rows with more tokens than the maximum."""
    candidates: list[tuple[int, str]] = []
    for place, value in enumerate(c.table.values[column]):
        first = prefix[place] if prefix is not None and isinstance(prefix[place], str) else ""
        for text in value if isinstance(value, list) else [value]:
            # A token is at least a byte, so that shorter texts need not be tokenized.
            if isinstance(text, str) and len(text) + len(first) > maximum // 4:
                both = f"{first} {text}" if first else text
                if len(both.encode()) + _EXTRA_TOKENS > maximum:
                    candidates.append((place, both[: _CHARACTERS * maximum]))
    kept = candidates[:: max(1, math.ceil(len(candidates) / _LENGTH_TEXTS))]
    if not kept:
        return Tally()
    texts = [text for _, text in kept]
    encoded = tokenizer(texts, add_special_tokens=True, truncation=False, padding=False, verbose=False)["input_ids"]
    extra = 1 if prefix is not None else 0  # the separator between the two texts of a pair
    long = sorted({place for (place, _), tokens in zip(kept, encoded, strict=True) if len(tokens) + extra > maximum})
    # Of a sample, as many rows as would be too long in all of it.
    estimate = round(len(long) * len(candidates) / len(kept))
    return Tally([np.asarray(c.table.sampled)[long]], estimate) if long else Tally()


# --- The model --------------------------------------------------------------------------------------------------------


def model_line(c: Context, labels: int) -> str:
    """The lines that load the cross encoder with another number of outputs."""
    config = getattr(c.model, "config", None)
    name = getattr(config, "name_or_path", "") or DEFAULT_MODEL
    load = f"{{model}} = CrossEncoder({literal(str(name))}, num_labels={labels})  # and make the loss for it"
    return f"from sentence_transformers import CrossEncoder\n{load}"


@rule("model-outputs", "data", "error", Stage.MODEL, lambda c, found: model_line(c, found.facts["labels"]))
@says("{loss} takes a model with {wanted}, but this one has {c.model.num_labels}")
def model_outputs(c: Context) -> Bad | None:
    """A model with more or fewer outputs than the loss takes."""
    outputs = getattr(c.model, "num_labels", None)
    wanted = {row.outputs for row in rows_of(c.entry.name, "CrossEncoder")}
    if c.entry.model_type != "CrossEncoder" or not isinstance(outputs, int):
        return None
    if wanted == {"1"} and outputs != 1:
        return bad(wanted="one output label", labels=1)
    if wanted == {"num_classes"} and outputs == 1:
        return bad(wanted="an output label for each class", labels=max(2, c.format.classes or 0))
    return None


@rule(
    "classifier-size", "data", "error", Stage.LOSS,
    lambda c, found: loss_line(c, c.entry, "model.get_embedding_dimension()", f"num_labels={c.loss.num_labels}"),
)  # fmt: skip
@says("the classifier of SoftmaxLoss is for embeddings of {wanted} numbers, but those of the model have {c.dimension}")
def classifier_size(c: Context) -> Bad | None:
    """A classifier of SoftmaxLoss for embeddings of another size."""
    wanted = getattr(getattr(c.loss, "classifier", None), "in_features", None)
    if c.entry.name != "SoftmaxLoss" or c.dimension is None or not isinstance(wanted, int):
        return None
    parts = ("rep", "difference", "multiplication")
    taken = [int(getattr(c.loss, f"concatenation_sent_{part}", False)) for part in parts]
    vectors = 2 * taken[0] + taken[1] + taken[2]
    return bad(wanted=wanted // vectors) if vectors and wanted != vectors * c.dimension else None


@rule(
    "no-autoencoder", "data", "error", Stage.LOSS,
    lambda c, found: loss_line(c, loss_entry("SparseMultipleNegativesRankingLoss", "SparseEncoder")),
)  # fmt: skip
@says("CSRLoss reads what a SparseAutoEncoder puts out, but the model has none: {modules}")
def no_autoencoder(c: Context) -> Bad | None:
    """CSRLoss with a model that has no SparseAutoEncoder."""
    modules = list(c.model.modules()) if callable(getattr(c.model, "modules", None)) else []
    children = [type(module).__name__ for module in getattr(c.model, "children", list)()]
    has_one = "SparseAutoEncoder" in [base.__name__ for module in modules for base in type(module).__mro__]
    return bad(modules=", ".join(children)) if "CSRLoss" in c.subject.names and children and not has_one else None


@rule(
    "not-wrapped", "data", "error", Stage.LOSS,
    lambda c, found: (
        f"from {c.entry.module} import SpladeLoss\n"
        "{loss} = SpladeLoss(model, {loss}, document_regularizer_weight=3e-5, query_regularizer_weight=5e-5)"
    ),
)  # fmt: skip
@says("{loss} cannot be used alone: its forward pass raises an error")
def not_wrapped(c: Context) -> bool:
    """A loss for sparse models that only works within another."""
    is_asked = c.loss is not None and c.entry.model_type == "SparseEncoder" and c.entry.role == "loss"
    modifiers = {known.name for known in losses("SparseEncoder") if known.role == "modifier"}
    wrapped = bool(modifiers & {type(wrapper).__name__ for wrapper in c.subject.wrappers})
    return is_asked and c.entry.origin == UPSTREAM and c.entry.name != "SparseMSELoss" and not wrapped


# --- Settings of the loss ---------------------------------------------------------------------------------------------


def _with_targets(c: Context, found: Bad) -> str:
    targets = found.facts["targets"]
    return loss_line(c, c.entry, *(("similarity_fct=pairwise_cos_sim", f'targets="{targets}"') if targets else ()))


@rule("loss-targets", "data", "error", Stage.LOSS, _with_targets)
@says("{what}")
def loss_targets(c: Context) -> Bad | None:
    """SelectivePairwiseLoss without `targets` for labels that could be two things, or with it for none."""
    if c.loss is None or c.entry.name != "SelectivePairwiseLoss" or c.entry.origin != OURS:
        return None
    targets, label, documents = getattr(c.loss, "targets", None), c.label, len(c.inputs) - 1
    if label is None:
        what = f"targets={targets!r} needs labels in a column called {LABEL_NAMES}, but there are none"
        return None if targets is None else bad(what=what, targets="")
    lengths = c.labels.lengths
    found = 1 if lengths is None else int(lengths.max()) if len(lengths) else 0
    if targets is None and lengths is not None and found == documents > 1:
        what = (
            f"the {documents} labels of each row in {label!r} could mean two things, and {c.entry.name} wants to be "
            'told: targets="scores" (to be reached) or targets="margins" (their differences are)'
        )
        return bad(column=label, what=what, targets="scores")
    if targets == "scores" and found == documents - 1 > 0 and c.labels.type in ("float", "list"):
        what = f'targets="scores" takes {documents} labels a row, one for each document, but {label!r} has {found}, as'
        return bad(column=label, what=f"{what} margins have", targets="margins")
    return None


def _longer_lists(c: Context, found: Bad) -> Mend:
    """Lists that have an order; where there are none, pairs, and a loss for them."""
    if found.severity == "warning":
        return keep("texts", "len(texts) > 1", str(found.column))
    binary = c.source is not None and set(np.unique(c.labels.values)) <= {0, 1}
    pairs = Step("lists_to_rows", (found.column,), why="a row for each text")
    return [(pairs, *lines) for lines in other_loss(c, "pair", "binary" if binary else "similarity")]


@rule("short-lists", "data", "error", Stage.CHANGE, _longer_lists)
@says("{column!r} holds fewer than two texts in {rows}: there is no order, from which {loss} learns")
def short_lists(c: Context) -> Bad | None:
    """Lists of one document, which have no order."""
    lengths = c.scan.texts[c.lists[0]].lengths if c.shapes == {"list"} and len(c.lists) == 1 else None
    if lengths is None:
        return None
    tally = c.scan.tally(lengths < 2)
    found = bad(tally, column=c.lists[0], severity="error" if tally.count == len(lengths) else "warning")
    return found if tally.count >= 0.5 * len(lengths) else None


def _one_label_fewer(c: Context, found: Bad) -> tuple[Part, ...]:
    return Step("remove_columns", (c.inputs[-1:],)), change("labels", "labels[:-1]", str(c.label))


@rule("matryoshka-labels", "label", "error", Stage.VALUES, _one_label_fewer)
@says(
    "each row of {label!r} has {c.dimension} labels, as many as the embeddings have numbers; MatryoshkaLoss takes them "
    "for embeddings and cuts them short"
)
def matryoshka_labels(c: Context) -> Bad | None:
    """Lists of labels that MatryoshkaLoss would take for embeddings."""
    kinds = {"embedding", "embeddings"}
    are_embeddings = c.format.label in kinds or (bool(c.label_kinds & kinds) and c.entry.name != "MatryoshkaLoss")
    if "MatryoshkaLoss" not in c.subject.names or are_embeddings or c.labels.lengths is None:
        return None
    if c.dimension is None:
        c.not_checked.append("whether MatryoshkaLoss takes labels for embeddings: give model=")
        return None
    cached = any(getattr(wrapper, "uses_gradient_cache", False) is True for wrapper in c.subject.wrappers)
    return None if cached else bad(c.scan.tally(c.labels.lengths == c.dimension))
