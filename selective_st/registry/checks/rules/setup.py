"""Do batches hold what the loss compares, and do the loss, the model and the texts fit together?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # whose parts come when they are used
from numpy.typing import NDArray

from selective_st._validation import list_of, one_of
from selective_st.catalog import OURS, UPSTREAM, loss_entry, losses, rows_of
from selective_st.errors import literal
from selective_st.registry.checks.context import Context, quoted
from selective_st.registry.checks.engine import Bad, Found, Mend, Part, Stage, Tells, bad, rule
from selective_st.registry.checks.lines import keep, loss_line, more_outputs, other_loss, with_sampler
from selective_st.registry.checks.scan import Integers, Numbers, Scan, scan
from selective_st.registry.code import wrapped
from selective_st.registry.conversions import scale_of
from selective_st.registry.steps import Code, Step
from selective_st.registry.table import present, tables

_FALSE_NEGATIVES = 0.01  # of the rows of a batch are worth a word
_ALONE = 0.5  # of the rows of a batch may lack another row of their class
_EXAMPLES = 3  # of conflicts are shown
_TIE = 1e-9  # labels that differ by less are equal
_LENGTH_TEXTS = 1_000  # so many texts are tokenized, of those that may be too long
_CHARACTERS = 10  # for each token of the maximum: as much of a text is tokenized
_EXTRA_TOKENS = 2  # at the ends of a text
_NO_RISE, _LITTLE_RISE = 1e-6, 0.05  # of a link between two labels: nothing, or in shares of that from 0 to 1
_CUT_BATCHES = (
    'args.accelerator_config.dispatch_batches = False  # or made with accelerator_config={"dispatch_batches": False}'
)

# --- Streams ----------------------------------------------------------------------------------------------------------


@rule("stream-dict", "data", "error", Stage.STORE, lambda c, found: c.table.to_dataset)
def stream_dict(c: Context) -> bool:
    """The trainer takes no dict of streams: {c.table.name!r} is one."""
    return c.table.is_stream and c.table.name is not None


def _cast(c: Context, found: Found) -> tuple[Part, ...]:
    code = repr({name: c.table.features[name] for name in c.table.columns})
    names = sorted({name for name in ("Value", "Sequence", "List", "LargeList", "ClassLabel") if f"{name}(" in code})
    return f"from datasets import {', '.join(['Features', *names])}", Step("cast", (Code(f"Features({code})"),))


@rule("stream-features", "data", "error", Stage.STORE, _cast)
def stream_features(c: Context) -> bool:
    """The stream does not say which columns it has (`features`), without which the trainer refuses it."""
    return not c.table.has_features and c.table.name is None


@rule("stream-batches", "data", "error", Stage.LOSS, _CUT_BATCHES)
def stream_batches(c: Context) -> bool:
    """The trainer cuts the batches of a stream in pieces, but this model's hold no row for each text: it crashes."""
    is_asked = c.table.is_stream and c.table.name is None and callable(getattr(c.model, "preprocess", None))
    batch: Any = c.model.preprocess(["one", "two words", "three words here"]) if is_asked else {}
    return any(len(value) != 3 for value in batch.values() if getattr(value, "ndim", 0))


@rule("stream-sampler", "data", "warning", Stage.STORE, lambda c, found: c.table.to_dataset)
def stream_sampler(c: Context) -> bool:
    """A stream cannot have the sampler {c.sampler}: the trainer takes its rows in their order."""
    return c.table.is_stream and c.sampler not in (None, "batch_sampler")


# --- Batches ----------------------------------------------------------------------------------------------------------


def matching_rows(codes: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """How many other rows share a text with each row.

    Args:
        codes: For one column, or two, a number for each row that stands for its text.

    Returns:
        For each row the number of other rows with the same text in a column.

    Example:
        >>> matching_rows([np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7])]).tolist()
        [1, 2, 1, 0]
    """
    matches: NDArray[np.int64] = sum((np.bincount(code)[code] - 1 for code in codes), np.zeros(len(codes[0]), np.int64))
    if len(codes) == 2:  # rows that share both texts were counted twice
        pairs = codes[0].astype(np.int64) * (int(codes[1].max()) + 1) + codes[1]
        _, places, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
        matches -= sizes[places] - 1
    return matches


def false_negative_rate(matches: NDArray[np.int64], batch_size: int) -> float:
    """The share of the rows of a random batch that meet a row which shares a text with them.

    Args:
        matches: For each row of the dataset, how many others share a text with it.
        batch_size: How many rows a batch has, drawn without replacement.

    Returns:
        The expected share, exactly: the mean over the rows of `1 - C(N - 1 - c, B - 1) / C(N - 1, B - 1)`.

    Example:
        >>> false_negative_rate(np.array([1, 1, 0, 0]), 2)  # of two rows with one text, one finds the other in 1 of 3
        0.166...
    """
    values, counts = np.unique(matches, return_counts=True)
    others = len(matches) - 1
    return float(np.average(1 - meets_none(others, values, min(batch_size - 1, others)), weights=counts))


def meets_none(others: int, matches: Any, drawn: int) -> Numbers:
    """The probability that none of the matches is among the rows drawn from the others."""
    left = others - matches
    log_factorial = scipy.special.gammaln  # of one less
    # Of fewer rows than are drawn, the logarithm is minus infinity.
    among_left = log_factorial(left + 1) - log_factorial(np.maximum(left - drawn + 1, 0))
    found: Numbers = np.exp(among_left - (log_factorial(others + 1) - log_factorial(others - drawn + 1)))
    return found


@rule("lone-row", "data", "error", Stage.LOSS)
def lone_row(c: Context) -> Tells:
    """{loss} compares the rows of a batch, but {what}: it teaches nothing."""
    in_batch = c.entry.in_batch_negatives and len(c.read_inputs) < 3 and not (c.source and c.takes_labels)
    # Lists are ordered within a row, and pairs across rows.
    compares = in_batch or c.entry.class_batches or (c.entry.order_only and c.has_amounts)
    is_gathered = getattr(c.loss, "gather_across_devices", None) is True
    if compares and len(c.read_inputs) >= c.entry.min_columns and not is_gathered:
        if c.table.rows is not None and c.table.rows <= 1:
            yield bad(what="there is one row (datasets.concatenate_datasets adds others)")
        elif c.batch_size == 1:
            yield bad(what="a batch has one row", mend="args.per_device_train_batch_size = 32")


@rule("false-negatives", "data", "warning", Stage.LOSS, with_sampler("NO_DUPLICATES"))
def false_negatives(c: Context) -> Tells:
    """{rate:.1%} of the rows of a random batch of {size} meet a row with the same {what}.

    Its text counts as a negative, though it is none; such rows are {rows}.
    """
    is_masked = getattr(c.loss, "mask_same_text", None) is True
    columns = [column for column in c.read_inputs[: 1 if is_masked else 2] if c.format.kinds[column] == "text"]
    if c.entry.in_batch_negatives and columns and not (c.sampler or "").startswith("no_duplicates"):
        matches = matching_rows([code for column in columns if (code := c.scan.texts[column].codes) is not None])
        rate, size = false_negative_rate(matches, c.batch_size), min(c.batch_size, len(matches))
        if rate >= _FALSE_NEGATIVES:
            what = " or the same ".join(map(repr, columns))
            yield bad(matches > 0, column=columns[0], rate=rate, size=size, what=what)


@dataclass(frozen=True)
class Conflicts:
    """Rows that hold the same texts with different labels.

    Attributes:
        rows: Their numbers, in order.
        groups: How many different texts, or pairs of texts, they hold.
        repeated: How many rows of the data repeat the texts of an earlier row, with whatever label.
        examples: For some of them, the rows and their labels.
    """

    rows: Integers
    groups: int
    repeated: int
    examples: tuple[tuple[tuple[int, float], ...], ...]


def conflicting_rows(data: object, inputs: tuple[str, ...], label: str, *, is_ordered: bool = True) -> Conflicts | None:
    """Find rows that hold the same texts with different labels.

    Args:
        data: A single dataset, as for `check_dataset`.
        inputs: The columns of texts.
        label: The label column: numbers, or texts that say numbers or classes.
        is_ordered: Whether two texts that have changed places are another pair.

    Returns:
        What was found; None if there is no such row.

    Raises:
        TypeError: If an input holds no texts, such as lists of them, or `inputs` is no list.
        ValueError: If there is no such column, or the label is an input.

    Example:
        >>> data = {"a": ["x", "y", "x"], "b": ["p", "q", "p"], "score": [0.2, 0.5, 0.9]}
        >>> found = conflicting_rows(data, ("a", "b"), "score")
        >>> found.rows.tolist(), found.examples
        ([0, 2], (((0, 0.2), (2, 0.9)),))
    """
    owner, (table,) = "conflicting_rows", tables(data)
    there = f"names of columns ({', '.join(table.columns)})"
    texts = list_of(owner, "inputs", inputs, there, literal([*table.columns[:2]]), table.columns.__contains__)
    one_of(owner, "label", label, [name for name in table.columns if name not in texts], "Name the column of labels.")
    seen = scan(table, texts, label)
    for column in texts:
        if seen.texts[column].hashes is None:
            got = type(next(iter(present(table.values[column])), None)).__name__
            raise TypeError(f"{owner}: column {column!r} must hold texts, got values of type {got}. Name one of texts.")
    return _conflicts(seen, texts, is_ordered=is_ordered)


@rule("conflicting-labels", "read label", "warning", Stage.VALUES)
def conflicting_labels(c: Context) -> Tells:
    """{count:,} rows hold the same texts in {columns} as another row, but another label in {label!r} ({shown}).

    One of them is wrong, or the texts do not tell the label.
    """
    is_ordered = c.entry.model_type == "CrossEncoder" or not c.label_kinds <= {"similarity", "binary"}
    found = _conflicts(c.scan, c.read_inputs, is_ordered=is_ordered)
    if found is None:
        return
    names = c.class_names or (c.labels.names if c.labels.are_names else [])
    shown = [
        ", ".join(f"row {row}: {names[int(number)] if names else format(number, 'g')}" for row, number in example)
        for example in found.examples
    ]
    has_mean = bool(c.label_kinds & {"similarity", "margin"})
    why = "the mean of their labels" if has_mean else "keeps the first label of each"
    options = (("mean_of", c.label),) if has_mean else ()
    why = f"{why}; leaves out {found.repeated:,} repeated row(s)"
    merged = Step("remove_duplicate_rows", (c.read_inputs,), options, why)
    more = "; ..." if found.groups > len(shown) else ""
    yield bad(found.rows, mend=merged, columns=quoted(c.read_inputs), shown="; ".join(shown) + more)


def _conflicts(seen: Scan, inputs: Sequence[str], *, is_ordered: bool) -> Conflicts | None:
    """The rows whose texts are those of another row, with another label; None if there are none."""
    import pandas as pd  # late: it takes long

    known = [seen.texts[column].hashes for column in inputs if column in seen.texts]
    hashes = [each for each in known if each is not None]
    if seen.labels is None or not hashes or len(hashes) < len(inputs):
        return None
    numbers = seen.labels.numbers
    if len(hashes) == 2 and not is_ordered:
        hashes = [np.minimum(*hashes), np.maximum(*hashes)]
    texts: list[Any] = list(range(len(hashes)))
    columns = dict(zip([*texts, "row", "label"], [*hashes, seen.rows, numbers], strict=True))
    every = pd.DataFrame(columns)[np.isfinite(numbers)].sort_values("row")
    same = every.groupby(texts)["label"]
    wrong = every[same.transform("max") - same.transform("min") > _TIE]
    group = wrong.groupby(texts, sort=False).ngroup()
    firsts = (wrong[group == number].head(_EXAMPLES) for number in range(_EXAMPLES) if number in group.array)
    examples = tuple(tuple(zip(of["row"].tolist(), of["label"].tolist(), strict=True)) for of in firsts)
    repeated, groups = len(every) - same.ngroups, group.nunique()
    return Conflicts(wrong["row"].to_numpy(), groups, repeated, examples) if groups else None


# --- Batches of classes -----------------------------------------------------------------------------------------------


@rule("single-class", "label", "warning", Stage.VALUES)
def single_class(c: Context) -> Tells:
    """Of {classes:,} classes in {label!r} {alone:,} have one row, no positive: {rows}; {left:,} rows are left{few}."""
    numbers = c.labels.numbers
    if c.entry.class_batches:
        classes, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
        several, are_few = counts > 1, int((counts > 1).sum()) < 2
        yield bad(
            np.isin(numbers, classes[~several]),
            severity="error" if are_few else None,
            mend=None if are_few else Step("remove_rare_classes", (c.label,)),
            few=", in fewer than two classes" if are_few else "",
            classes=len(classes),
            alone=int((~several).sum()),
            left=int(counts[several].sum()),
        )


@rule("class-batches", "label", "warning", Stage.LOSS, with_sampler("GROUP_BY_LABEL"))
def class_batches(c: Context) -> Tells:
    """{missing:.1%} of the rows of a random batch of {size} have no other row of their class, and so no positive."""
    numbers = c.labels.numbers
    if c.entry.class_batches and c.sampler != "group_by_label":
        _, places, counts = np.unique(numbers[~np.isnan(numbers)], return_inverse=True, return_counts=True)
        others = counts[places].astype(np.int64) - 1
        missing = 1 - false_negative_rate(others, c.batch_size) if (others > 0).any() else 0.0
        if missing > _ALONE:
            yield bad(missing=missing, size=min(c.batch_size, len(others)))


@rule("group-batch-size", "data", "error", Stage.LOSS)
def group_batch_size(c: Context) -> Bad | None:
    """The sampler group_by_label takes an even batch size of at least 4, got {c.batch_size}."""
    mended = max(4, c.batch_size + c.batch_size % 2)
    is_wrong = c.sampler == "group_by_label" and mended != c.batch_size
    return bad(mend=f"args.per_device_train_batch_size = {mended}") if is_wrong else None


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
        yield bad(rows, count=count, looked_at=len(c.table.sampled), maximum=int(maximum))


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
            yield bad(wanted=wanted // vectors, mend=more_outputs(c, c.loss.num_labels))


@rule("no-autoencoder", "data", "error", Stage.LOSS)
def no_autoencoder(c: Context) -> Tells:
    """CSRLoss reads what a SparseAutoEncoder puts out, but the model has none: {modules}."""
    names = [base.__name__ for wrapper in c.wrappers for base in type(wrapper).__mro__]
    if "CSRLoss" in (*names, c.entry.name) and c.modules:
        modules = c.model.modules() if callable(getattr(c.model, "modules", None)) else []
        if "SparseAutoEncoder" not in [base.__name__ for module in modules for base in type(module).__mro__]:
            mend = loss_line(c, loss_entry("SparseMultipleNegativesRankingLoss", "SparseEncoder"))
            yield bad(modules=", ".join(c.modules), mend=mend)


@rule("not-wrapped", "data", "error", Stage.LOSS)
def not_wrapped(c: Context) -> Tells:
    """{loss} cannot be used alone: its forward pass raises an error."""
    modifiers = {known.name for known in losses("SparseEncoder") if known.role == "modifier"}
    is_within = bool(modifiers & {type(wrapper).__name__ for wrapper in c.wrappers})
    if c.loss is not None and c.entry.is_wrapped and c.entry.origin == UPSTREAM and not is_within:
        yield bad(mend=f"from {c.entry.module} import SpladeLoss\n{{loss}} = {wrapped('{loss}')}")


# --- Settings of the loss ---------------------------------------------------------------------------------------------


@rule("loss-targets", "data", "error", Stage.LOSS)
def loss_targets(c: Context) -> Tells:
    """targets={targets!r} {what}."""
    if c.loss is None or c.entry.name != "SelectivePairwiseLoss" or c.entry.origin != OURS:
        return
    targets, documents, told = c.loss.targets, len(c.inputs) - 1, {"similarity_fct": "pairwise_cos_sim"}
    found = 0 if c.label is None else int(c.labels.lengths.max()) if c.labels.is_list else 1
    if c.label is None and targets is not None:
        what = "needs labels in a column called label, labels, score or scores, but there are none"
        yield bad(targets=targets, what=what, mend=loss_line(c, c.entry))
    elif targets is None and found == documents > 1:
        what = 'does not say whether labels, one for each document, are to be reached ("scores"), or their differences '
        what += '("margins")'
        yield bad(column=c.label, targets=targets, what=what, mend=loss_line(c, c.entry, targets='"scores"', **told))
    elif targets == "scores" and found == documents - 1 > 0 and c.labels.type in ("float", "list"):
        what = f"takes {documents} labels a row, one for each document, but {c.label!r} has {found}, as margins have"
        yield bad(column=c.label, targets=targets, what=what, mend=loss_line(c, c.entry, targets='"margins"', **told))


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
    flat = c.loss.link.get_config_dict()["type"] == "ConstantLink"
    link = {} if flat else {"link": link_code(c.loss.link)}
    return loss_line(c, c.entry, scale=repr(float(c.loss.scale)), weight_link=found.facts["rising"], **link)


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
