"""Are there texts, and are they such that the loss learns what is meant?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from selective_st.registry.checks.batches import false_negative_rate, matching_rows
from selective_st.registry.checks.context import Checked, Context, Found, row_numbers
from selective_st.registry.checks.scan import Tally
from selective_st.registry.steps import Step, code_of
from selective_st.registry.table import Table

_FALSE_NEGATIVES = 0.01  # of the rows of a batch are worth a word
_LENGTH_TEXTS = 1_000  # so many texts are tokenized, of those that may be too long
_CHARACTERS = 10  # for each token of the maximum: as much of a text is tokenized
_EXTRA_TOKENS = 2  # at the ends of a text


def missing_text(context: Context) -> Checked:
    """None in place of a text."""
    for column, texts in context.scan.texts.items():
        if texts.missing.count:
            yield Found(
                "error",
                f"column {column!r} has no text (None) in {row_numbers(texts.missing)}",
                context.step("remove_empty_rows", (column,))
                if context.kinds[column] == "text"
                else context.keep("texts", "all(text is not None for text in texts or [None])", column),
                column,
                texts.missing,
            )


def empty_text(context: Context) -> Checked:
    """Texts that are empty, or white space."""
    for column, texts in context.scan.texts.items():
        if texts.empty.count:
            yield Found(
                "warning",
                f"column {column!r} has an empty text in {row_numbers(texts.empty)}",
                context.step("remove_empty_rows", (column,))
                if context.kinds[column] == "text"
                else context.keep("texts", "texts and all(text.strip() for text in texts)", column),
                column,
                texts.empty,
            )


def positive_is_negative(context: Context) -> Checked:
    """The same text as positive and as negative."""
    if context.label is not None:
        return  # a teacher's scores say how good a text is, whichever column it stands in
    for column, tally in context.scan.positive_is_negative.items():
        if tally.count:
            name, second = context.variable, context.inputs[1]
            yield Found(
                "error",
                f"columns {second!r} and {column!r}, positive and negative, hold the same text in {row_numbers(tally)}",
                f"{name} = {name}.filter(lambda row: row[{second!r}] != row[{column!r}])",
                column,
                tally,
            )


def anchor_is_negative(context: Context) -> Checked:
    """The same text as anchor and as negative."""
    if context.label is not None:
        return
    for column, tally in context.scan.anchor_is_negative.items():
        if tally.count:
            name, first = context.variable, context.inputs[0]
            yield Found(
                # Mined negatives now and then hold the query itself; in most rows, a column is the wrong one.
                "error" if tally.count > 0.5 * len(context.scan.rows) else "warning",
                f"columns {first!r} and {column!r}, anchor and negative, hold the same text in {row_numbers(tally)}, "
                "which cannot be told apart",
                f"{name} = {name}.filter(lambda row: row[{first!r}] != row[{column!r}])",
                column,
                tally,
            )


def one_kind_of_pairs(context: Context) -> Checked:
    """Only equal or only different texts, where the loss learns from both."""
    if context.entry.name != "ContrastiveTensionLoss" or len(context.inputs) != 2 or context.label is not None:
        return
    same = context.scan.copies.count
    if same in (0, len(context.scan.rows)):
        yield Found(
            "error",
            f"{context.entry.name} learns from pairs of equal and of different texts, but "
            f"{'all' if same else 'none'} are equal",
            code_of([Step("texts_to_pairs", (context.inputs[0],), (("different", 1),))], context.variable),
        )


def too_long(context: Context) -> Checked:
    """Texts that are cut off."""
    model = context.model
    if model is None:
        context.not_checked.append("whether texts are too long for the model: give model=, or the loss itself")
        return
    maximum = getattr(model, "max_seq_length", None) or getattr(model, "max_length", None)
    tokenizer = getattr(model, "tokenizer", None)
    if not isinstance(maximum, (int, float)) or not 0 < maximum < 1_000_000 or not callable(tokenizer):
        return  # static embeddings, for example, have no maximum
    maximum = int(maximum)
    columns = [column for column in context.read_inputs if context.kinds[column] in ("text", "texts")]
    pairs = context.entry.model_type == "CrossEncoder"
    for column in columns[1:] if pairs else columns:
        prefix = context.table.values[columns[0]] if pairs else None
        tally, looked_at = _long_texts(context.table, column, prefix, tokenizer, maximum)
        if tally.count:
            # Of a sample, as many rows as would be too long in all of it.
            what = f"of {looked_at:,} rows looked at, about {tally.count:,} hold"
            yield Found(
                "warning",
                f"{what} more tokens than the model's maximum of {maximum} in column {column!r}, which are cut off: "
                f"rows {', '.join(map(str, tally.rows))}",
                _longer(model, maximum, column, context),
                column,
                tally,
            )


def _long_texts(
    table: Table, column: str, prefix: Sequence[Any] | None, tokenizer: Any, maximum: int
) -> tuple[Tally, int]:
    """The sampled rows with more tokens than the maximum."""
    candidates: list[tuple[int, str]] = []
    for place, value in enumerate(table.values[column]):
        first = prefix[place] if prefix is not None and isinstance(prefix[place], str) else ""
        for text in value if isinstance(value, list) else [value]:
            # A token is at least a byte, so that shorter texts need not be tokenized.
            if isinstance(text, str) and len(text) + len(first) > maximum // 4:
                both = f"{first} {text}" if first else text
                if len(both.encode()) + _EXTRA_TOKENS > maximum:
                    candidates.append((place, both[: _CHARACTERS * maximum]))
    kept = candidates[:: max(1, math.ceil(len(candidates) / _LENGTH_TEXTS))]
    if not kept:
        return Tally(), len(table.sampled)
    texts = [text for _, text in kept]
    encoded = tokenizer(texts, add_special_tokens=True, truncation=False, padding=False, verbose=False)["input_ids"]
    extra = 1 if prefix is not None else 0  # the separator between the two texts of a pair
    long = sorted({place for (place, _), tokens in zip(kept, encoded, strict=True) if len(tokens) + extra > maximum})
    share = len(candidates) / len(kept)
    rows = tuple(int(table.sampled[place]) for place in long[:5])
    return Tally(round(len(long) * share), rows), len(table.sampled)


def _longer(model: Any, maximum: int, column: str, context: Context) -> str:
    """The code against texts that are too long: a higher maximum where the model has one."""
    config = getattr(getattr(model, "transformers_model", None), "config", None)
    highest = getattr(config, "max_position_embeddings", None)
    if isinstance(highest, int) and highest > maximum:
        return f"model.max_seq_length = {highest}"
    return context.keep("text", f'len(model.tokenizer(text)["input_ids"]) <= {maximum}', column)


def false_negatives(context: Context) -> Checked:
    """Rows with the same text, which count as negatives of one another."""
    entry, sampler = context.entry, context.sampler
    if not entry.in_batch_negatives or not context.inputs or (sampler or "").startswith("no_duplicates"):
        return
    columns = [column for column in context.read_inputs[:2] if context.scan.texts.get(column) is not None]
    codes = {column: context.scan.texts[column].codes for column in columns}
    known = {column: code for column, code in codes.items() if code is not None}
    if getattr(context.loss, "mask_same_text", False) is True:
        known = {column: code for column, code in known.items() if column == context.inputs[0]}
    if not known:
        return
    matches = matching_rows(list(known.values()))
    rate = false_negative_rate(matches, context.batch_size)
    if rate < _FALSE_NEGATIVES:
        return
    tally = context.scan.tally(matches > 0)
    what = " or the same ".join(map(repr, known))
    yield Found(
        "warning",
        f"{rate:.1%} of the rows of a random batch of {min(context.batch_size, len(matches))} meet a row with the same "
        f"{what}, whose text counts as a negative though it is none; such rows are {row_numbers(tally)}",
        "from sentence_transformers.sentence_transformer.training_args import BatchSamplers\n"
        "args.batch_sampler = BatchSamplers.NO_DUPLICATES",
        next(iter(known)),
        tally,
    )
