"""Do the loss, the model and the texts fit together?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from selective_st.errors import literal
from selective_st.registry.catalog import DEFAULT_MODEL, OURS, UPSTREAM, loss_entry, losses, rows_of
from selective_st.registry.checks.context import Context, change, keep
from selective_st.registry.checks.engine import Bad, Mend, Part, Stage, rule
from selective_st.registry.checks.rules.inputs import LABEL_NAMES
from selective_st.registry.checks.rules.losses import loss_line, other_loss
from selective_st.registry.checks.scan import Tally
from selective_st.registry.steps import Step

_LENGTH_TEXTS = 1_000  # so many texts are tokenized, of those that may be too long
_CHARACTERS = 10  # for each token of the maximum: as much of a text is tokenized
_EXTRA_TOKENS = 2  # at the ends of a text
_COSINE = "similarity_fct=pairwise_cos_sim"

# --- Long texts -------------------------------------------------------------------------------------------------------


@rule(
    "too-long",
    "data",
    "warning",
    "of {looked_at:,} rows looked at, about {count:,} hold more tokens than the model's maximum of {maximum} in column "
    "{column!r}, which are cut off: {rows}",
    stage=Stage.LOSS,
    mend=lambda c, bad: _longer(c, bad),
)
def too_long(context: Context) -> Iterator[Bad]:
    """Texts that are cut off."""
    model = context.model
    if model is None:
        context.not_checked.append("whether texts are too long for the model: give model=, or the loss itself")
        return
    maximum = getattr(model, "max_seq_length", None) or getattr(model, "max_length", None)
    tokenizer = getattr(model, "tokenizer", None)
    if not isinstance(maximum, (int, float)) or not 0 < maximum < 1_000_000 or not callable(tokenizer):
        return  # static embeddings, for example, have no maximum
    columns = [column for column in context.read_inputs if context.kinds[column] in ("text", "texts")]
    pairs = context.entry.model_type == "CrossEncoder"
    for column in columns[1:] if pairs else columns:
        prefix = context.table.values[columns[0]] if pairs else None
        tally = _long_texts(context, column, prefix, tokenizer, int(maximum))
        facts = {"looked_at": len(context.table.sampled), "maximum": int(maximum), "count": tally.count}
        if tally.count:
            yield Bad(tally, column, facts=facts)


def _long_texts(context: Context, column: str, prefix: Sequence[Any] | None, tokenizer: Any, maximum: int) -> Tally:
    """The sampled rows with more tokens than the maximum."""
    candidates: list[tuple[int, str]] = []
    for place, value in enumerate(context.table.values[column]):
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
    share = len(candidates) / len(kept)
    # Of a sample, as many rows as would be too long in all of it.
    return Tally([np.asarray(context.table.sampled)[long]], round(len(long) * share)) if long else Tally()


def _longer(context: Context, bad: Bad) -> Mend:
    """A higher maximum where the model has one; else rows left out."""
    config = getattr(getattr(context.model, "transformers_model", None), "config", None)
    highest, maximum = getattr(config, "max_position_embeddings", None), bad.facts["maximum"]
    if isinstance(highest, int) and highest > maximum:
        return f"model.max_seq_length = {highest}"
    return keep("text", f'len(model.tokenizer(text)["input_ids"]) <= {maximum}', str(bad.column))


# --- The model --------------------------------------------------------------------------------------------------------


def model_line(context: Context, labels: int) -> str:
    """The lines that load the cross encoder with another number of outputs."""
    config = getattr(context.model, "config", None)
    name = getattr(config, "name_or_path", "") or getattr(config, "_name_or_path", "") or DEFAULT_MODEL
    load = f"model = CrossEncoder({literal(str(name))}, num_labels={labels})  # and make the loss for it"
    return f"from sentence_transformers import CrossEncoder\n{load}"


@rule(
    "model-outputs",
    "data",
    "error",
    "{loss} takes a model with {wanted}, but this one has {outputs}",
    stage=Stage.MODEL,
    mend=lambda c, bad: model_line(c, bad.facts["labels"]),
)
def model_outputs(context: Context) -> Bad | None:
    """A model with more or fewer outputs than the loss takes."""
    outputs = getattr(context.model, "num_labels", None)
    wanted = {row.outputs for row in rows_of(context.entry.name, "CrossEncoder")}
    if context.entry.model_type != "CrossEncoder" or not isinstance(outputs, int):
        return None
    if wanted == {"1"} and outputs != 1:
        return Bad(facts={"wanted": "one output label", "outputs": outputs, "labels": 1})
    if wanted == {"num_classes"} and outputs == 1:
        classes = max(2, context.format.classes or 0)
        return Bad(facts={"wanted": "an output label for each class", "outputs": outputs, "labels": classes})
    return None


@rule(
    "classifier-size",
    "data",
    "error",
    "the classifier of SoftmaxLoss is for embeddings of {wanted} numbers, but those of the model have {size}",
    stage=Stage.LOSS,
    mend=lambda c, bad: loss_line(c, c.entry, "model.get_embedding_dimension()", f"num_labels={c.loss.num_labels}"),
)
def classifier_size(context: Context) -> Bad | None:
    """A classifier of SoftmaxLoss for embeddings of another size."""
    size = context.dimension
    wanted = getattr(getattr(context.loss, "classifier", None), "in_features", None)
    if context.entry.name != "SoftmaxLoss" or size is None or not isinstance(wanted, int):
        return None
    parts = ("rep", "difference", "multiplication")
    taken = [int(getattr(context.loss, f"concatenation_sent_{part}", False)) for part in parts]
    vectors = 2 * taken[0] + taken[1] + taken[2]
    is_wrong = vectors and wanted != vectors * size
    return Bad(facts={"wanted": wanted // vectors, "size": size}) if is_wrong else None


@rule(
    "no-autoencoder",
    "data",
    "error",
    "CSRLoss reads what a SparseAutoEncoder puts out, but the model has none: {modules}",
    stage=Stage.LOSS,
    mend=lambda c, bad: loss_line(c, loss_entry("SparseMultipleNegativesRankingLoss", "SparseEncoder")),
)
def no_autoencoder(context: Context) -> Bad | None:
    """CSRLoss with a model that has no SparseAutoEncoder."""
    modules = _modules(context.model)
    is_wrong = "CSRLoss" in context.subject.names and modules and "SparseAutoEncoder" not in modules
    return Bad(facts={"modules": ", ".join(modules)}) if is_wrong else None


def _modules(model: Any) -> list[str]:
    """The names of the classes of a model's modules, and of their bases."""
    children = getattr(model, "modules", None)
    if not callable(children):
        return []
    found = [type(module).__name__ for module in getattr(model, "children", list)()]
    inner = [base.__name__ for module in children() for base in type(module).__mro__]
    return [*found, "SparseAutoEncoder"] if "SparseAutoEncoder" in inner else found


@rule(
    "not-wrapped",
    "data",
    "error",
    "{loss} cannot be used alone: its forward pass raises an error",
    stage=Stage.LOSS,
    mend=lambda c, bad: (
        f"from {c.entry.module} import SpladeLoss\n"
        "{loss} = SpladeLoss(model, {loss}, document_regularizer_weight=3e-5, query_regularizer_weight=5e-5)"
    ),
)
def not_wrapped(context: Context) -> bool:
    """A loss for sparse models that only works within another."""
    entry = context.entry
    if context.loss is None or entry.model_type != "SparseEncoder" or entry.role != "loss" or entry.origin != UPSTREAM:
        return False
    modifiers = {known.name for known in losses("SparseEncoder") if known.role == "modifier"}
    wrappers = [type(wrapper).__name__ for wrapper in context.subject.wrappers]
    return entry.name != "SparseMSELoss" and not modifiers & set(wrappers)


# --- Settings of the loss ---------------------------------------------------------------------------------------------


@rule(
    "loss-targets",
    "data",
    "error",
    "{what}",
    stage=Stage.LOSS,
    mend=lambda c, bad: _with_targets(c, bad.facts["targets"]),
)
def loss_targets(context: Context) -> Bad | None:
    """SelectivePairwiseLoss without `targets` for labels that could be two things, or with it for none."""
    if context.loss is None or context.entry.name != "SelectivePairwiseLoss" or context.entry.origin != OURS:
        return None
    targets = getattr(context.loss, "targets", None)
    label, documents = context.label, len(context.inputs) - 1
    if label is None:
        if targets is None:
            return None
        what = f"targets={targets!r} needs labels in a column called {LABEL_NAMES}, but there are none"
        return Bad(facts={"what": what, "targets": "none"})
    lengths = context.labels.lengths
    found = 1 if lengths is None else int(lengths.max()) if len(lengths) else 0
    if targets is None and lengths is not None and found == documents > 1:
        what = (
            f"the {documents} labels of each row in {label!r} could mean two things, and {context.entry.name} wants to "
            'be told: targets="scores" (to be reached) or targets="margins" (their differences are)'
        )
        return Bad(column=label, facts={"what": what, "targets": "scores"})
    if targets == "scores" and found == documents - 1 > 0 and context.labels.type in ("float", "list"):
        what = (
            f'targets="scores" takes {documents} labels a row, one for each document, but {label!r} has {found}, as '
            "margins have"
        )
        return Bad(column=label, facts={"what": what, "targets": "margins"})
    return None


def _with_targets(context: Context, targets: str) -> str:
    given = () if targets == "none" else (_COSINE, f'targets="{targets}"')
    return loss_line(context, context.entry, *given)


@rule(
    "short-lists",
    "data",
    "error",
    "{documents!r} holds fewer than two texts in {rows}: {loss} learns from the order of a query's texts, and there is "
    "none",
    stage=Stage.CHANGE,
    mend=lambda c, bad: _longer_lists(c, bad),
)
def short_lists(context: Context) -> Bad | None:
    """Lists of one document, which have no order."""
    if context.shapes != {"list"} or len(context.lists) != 1:
        return None
    lengths = context.scan.texts[context.lists[0]].lengths
    if lengths is None:
        return None
    tally = context.scan.tally(lengths < 2)
    if tally.count < 0.5 * len(lengths):
        return None
    everywhere = tally.count == len(lengths)
    facts = {"documents": context.lists[0]}
    return Bad(tally, context.lists[0], "error" if everywhere else "warning", facts=facts)


def _longer_lists(context: Context, bad: Bad) -> Mend:
    """Lists that have an order; where there are none, pairs, and a loss for them."""
    if bad.severity == "warning":
        return keep("texts", "len(texts) > 1", str(bad.column))
    label = "binary" if context.source is not None and set(np.unique(context.labels.values)) <= {0, 1} else "similarity"
    pairs: tuple[Part, ...] = (Step("lists_to_rows", (bad.column,), why="a row for each text"),)
    return [(*pairs, *lines) for lines in other_loss(context, "pair", label)]


@rule(
    "matryoshka-labels",
    "label",
    "error",
    "each row of {label!r} has {size} labels, as many as the embeddings have numbers; MatryoshkaLoss takes them for "
    "embeddings and cuts them short",
    stage=Stage.VALUES,
    mend=lambda c, bad: _one_label_fewer(c),
)
def matryoshka_labels(context: Context) -> Bad | None:
    """Lists of labels that MatryoshkaLoss would take for embeddings."""
    name, kinds = context.entry.name, {"embedding", "embeddings"}
    if "MatryoshkaLoss" not in context.subject.names or (context.label_kinds & kinds and name != "MatryoshkaLoss"):
        return None
    if context.format.label in kinds or context.labels.lengths is None:
        return None
    size = context.dimension
    if size is None:
        context.not_checked.append("whether MatryoshkaLoss takes labels for embeddings: give model=")
        return None
    cached = any(getattr(wrapper, "uses_gradient_cache", False) is True for wrapper in context.subject.wrappers)
    tally = context.scan.tally(context.labels.lengths == size)
    return Bad(tally, facts={"size": size}) if tally.count and not cached else None


def _one_label_fewer(context: Context) -> tuple[Part, ...]:
    last, label = context.inputs[-1], str(context.label)
    fewer = change("labels", "labels[:-1]", label)
    return (Step("remove_columns", ((last,),), why=f"leaves out {last!r}"), fewer)
