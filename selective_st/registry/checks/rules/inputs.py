"""Are the columns those that the loss takes, in their order, and are they all texts?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from selective_st.errors import literal
from selective_st.registry.catalog import rows_of
from selective_st.registry.checks.context import Context, keep, quoted
from selective_st.registry.checks.engine import Bad, Mend, Part, Stage, rule
from selective_st.registry.checks.rules.losses import other_loss
from selective_st.registry.checks.scan import Tally
from selective_st.registry.names import RESERVED, TRAINER_LABELS, role_of, roles_of
from selective_st.registry.steps import Step

_ENOUGH_TO_MINE = 10  # rows, among which there are negatives
LABEL_NAMES = f"{', '.join(TRAINER_LABELS[:-1])} or {TRAINER_LABELS[-1]}"

# --- Columns that are no inputs ---------------------------------------------------------------------------------------


def drop(context: Context, bad: Bad) -> Part:
    """Leave the column out."""
    return Step("remove_columns", ((bad.column,),))


@rule(
    "reserved-column", "column", "error", "the trainer refuses a column called {column!r}", stage=Stage.DROP, mend=drop
)
def reserved_column(context: Context, column: str) -> bool:
    """A column whose name the trainer refuses."""
    return column in RESERVED


@rule(
    "second-label",
    "stray",
    "error",
    f"the trainer takes {{label!r}} for the label, the first of {', '.join(TRAINER_LABELS)}, and tokenizes "
    "{column!r} as a text: keep one of them",
    stage=Stage.DROP,
    mend=lambda c, bad: Step(
        "select_columns",
        (tuple(name for name in c.table.columns if name != bad.column),),
        why=f"keeps {c.source!r} as the label",
    ),
    is_choice=True,
)
def second_label(context: Context, column: str) -> bool:
    """A second label, which the trainer takes for a text."""
    return True


def _stray(context: Context, column: str) -> Bad:
    """An input that is none: where it comes after all that the loss reads, it does no harm yet."""
    place = context.format.trainer_inputs.index(column)
    ignored = context.entry.extra_columns == "ignored" and context.entry.max_columns is not None
    harmless = ignored and place >= (context.entry.max_columns or 0)
    effect = "the loss ignores it" if harmless else "it is tokenized and trained on as a text"
    return Bad(severity="warning" if harmless else None, facts={"effect": effect})


@rule("empty-column", "stray", "error", "column {column!r} is empty in all rows; {effect}", stage=Stage.DROP, mend=drop)
def empty_column(context: Context, column: str) -> Bad:
    """A column without any value among the inputs."""
    return _stray(context, column)


@rule(
    "stray-column",
    "stray",
    "warning",
    "column {column!r} looks as if it described the row; {effect}",
    stage=Stage.DROP,
    mend=drop,
)
def stray_column(context: Context, column: str) -> Bad:
    """Texts that describe a row but are no inputs."""
    return replace(_stray(context, column), severity="warning")


@rule("id-column", "stray", "error", "column {column!r} holds ids; {effect}", stage=Stage.DROP, mend=drop)
def id_column(context: Context, column: str) -> Bad | None:
    """Ids among the inputs."""
    return _stray(context, column) if context.inputs else None


@rule(
    "id-column",
    "data",
    "error",
    "the inputs {ids} hold ids, not texts; sentence_transformers.util.resolve_ids puts the texts of another dataset in "
    "their place: dataset.set_transform(resolve_ids({{{lookups}}}))",
    stage=Stage.DROP,
)
def only_ids(context: Context) -> Bad | None:
    """Nothing but ids."""
    found = [column for column, code in context.strays.items() if code == "id-column"]
    if not found or context.inputs:
        return None
    lookups = ", ".join(f"{literal(column)}: texts" for column in found)
    return Bad(column=found[0], facts={"ids": quoted(found), "lookups": lookups})


@rule("number-column", "stray", "error", "column {column!r} holds no texts ({kind}); {effect}", stage=Stage.DROP,
      mend=lambda c, bad: None if _is_nested(c, bad.column) else drop(c, bad))  # fmt: skip
def number_column(context: Context, column: str) -> Bad:
    """Numbers, or other things that are no texts, among the inputs."""
    bad = _stray(context, column)
    kind = context.kinds[column]
    if _is_nested(context, column):
        kind = f"{_fields(context.table.features[column])}; take out of them what is to be trained on"
    return Bad(severity=bad.severity, facts={**bad.facts, "kind": kind})


def _is_nested(context: Context, column: str | None) -> bool:
    return column is not None and bool(_fields(context.table.features[column]))


def _fields(feature: Any) -> str:
    """What a cell holds that is no single value, in words; empty for others."""
    if isinstance(feature, dict):
        return f"records with {quoted(list(feature))}"
    inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
    if isinstance(inner, dict):
        return f"lists of records with {quoted(list(inner))}"
    return f"lists of {nested}" if inner is not None and (nested := _fields(inner)) else ""


# --- Their number and order -------------------------------------------------------------------------------------------


def select(context: Context, *columns: str) -> Step:
    """Keep columns, and the label."""
    return Step("select_columns", ((*columns, *([context.label] if context.label is not None else [])),))


@rule(
    "column-order",
    "data",
    "error",
    "the loss takes the columns by their order, {present}, but their names mean {meant}",
    stage=Stage.ORDER,
    mend=lambda c, bad: select(c, *c.format.inputs),
)
def column_order(context: Context) -> Bad | None:
    """Inputs in another order than their names say."""
    meant, present = context.format.inputs, context.inputs
    if set(meant) != set(present) or meant == present:
        return None
    symmetric = {"similarity", "binary"} >= context.label_kinds and context.entry.model_type != "CrossEncoder"
    if len(meant) == 2 and symmetric:
        return None
    crashes = len(meant) > 2 or bool(context.lists)  # a list for the query crashes
    return Bad(
        column=present[0],
        severity="error" if crashes else "warning",
        facts={"present": quoted(present), "meant": quoted(meant)},
    )


@rule(
    "list-column",
    "input",
    "error",
    "column {column!r} holds lists of texts, but {loss} takes a text in each column",
    stage=Stage.CHANGE,
    mend=lambda c, bad: _unlisted(c, str(bad.column)),
)
def list_column(context: Context, column: str) -> bool:
    """Lists of texts, where the loss takes a text in each column."""
    fits = not context.shapes or bool(context.shapes & {"list", "any"})
    return not fits and context.kinds[column] == "texts"


def _unlisted(context: Context, column: str) -> Mend:
    """A row for each labelled or right text of a list, a column for each wrong one."""
    columns: tuple[Part, ...] = (Step("split_lists", (column,), why="a column for each text"),)
    if context.source is not None:
        rows: tuple[Part, ...] = (Step("lists_to_rows", (column,), why="a row for each text, with its label"),)
        takes_lists = bool(context.label_kinds_of("n-tuple") & {"scores", "margins", "binary list"})
        return [columns, rows] if takes_lists else [rows, columns]
    wrong = [name for name in context.inputs if role_of(name) == "negative"]
    right = [name for name in context.lists if name not in wrong] or context.inputs[1:2]
    made = Step("rows_of_positives", (*right[:1], *wrong[:1]), why="a row for each right text, with the wrong ones")
    return [(made,), columns]


@rule(
    "no-list-column",
    "data",
    "error",
    "{loss} takes a query and a list of texts, with a list of labels, but there is no column of lists",
    stage=Stage.CHANGE,
    mend=lambda c, bad: [
        (Step("join_columns"),),
        (Step("pairs_to_lists", why="texts that have one label only are left out"), Step("join_columns")),
        *other_loss(c, c.shape, str(c.format.label)),
    ],
)
def no_list_column(context: Context) -> bool:
    """No lists of texts, where the loss takes them."""
    return context.shapes == {"list"} and not context.lists


@rule(
    "too-few-columns",
    "data",
    "error",
    "{loss} takes {taken}, but there {verb} {count}: {present}",
    stage=Stage.CHANGE,
    mend=lambda c, bad: _more_columns(c),
)
def too_few_columns(context: Context) -> Bad | None:
    """Fewer inputs than the loss takes."""
    count = len(context.inputs)
    if count >= context.min_columns or (not count and "id-column" in context.strays.values()):
        return None
    if context.lists and context.entry.model_type != "CrossEncoder":
        return None  # a list of texts becomes rows or columns, as another rule says
    verb, present = "is" if count == 1 else "are", quoted(context.inputs) or "none"
    return Bad(facts={"taken": _counted(context), "verb": verb, "count": count, "present": present})


def _more_columns(context: Context) -> Mend:
    kinds = context.label_kinds_of("triplet", "n-tuple", "pair")
    label = None if context.source is None else str(context.format.label)
    if len(context.inputs) == 1 and label is None:
        single = {
            "DenoisingAutoEncoderLoss": Step("damage_texts", why="pairs of a damaged text and the text"),
            "ContrastiveTensionLoss": Step("texts_to_pairs", (), (("different", 1),), "with itself, and with another"),
        }.get(context.entry.name, Step("texts_to_pairs", why="each text with itself"))
        fits = "none" in context.label_kinds_of("pair")
        return [(single,)] if fits else other_loss(context, "single", "none")
    if label is None:
        can_mine = context.entry.model_type == "SentenceTransformer" and context.table.scanned > _ENOUGH_TO_MINE
        can_mine &= "none" in kinds
        mine = "from sentence_transformers.util import mine_hard_negatives\n"
        names = dict(zip(context.inputs, ("anchor", "positive"), strict=False))
        mined: tuple[Part, ...] = (f"{mine}{{dataset}} = mine_hard_negatives({{dataset}}, model)",)
        if list(names) != list(names.values()):
            mined += (Step("rename_columns", (names,), why="as they were taken"),)
        is_pair = len(context.inputs) == 2 and context.label_column is None and not context.lists
        return [*([mined] if can_mine and is_pair else []), *(other_loss(context, "pair", "none") if is_pair else [])]
    makes = Step("class_to_triplets", why="of texts of the same class, and of another")
    if len(context.inputs) > 1:
        makes = Step("pairs_to_triplets", why="of texts that have a better and a worse partner; leaves the others out")
    alternatives: list[tuple[Part, ...]] = [(makes,)] if "none" in kinds else []
    return [*alternatives, *other_loss(context, context.shape, label)]


def _counted(context: Context) -> str:
    """How many columns a loss takes."""
    fewest, most = context.min_columns, context.entry.max_columns
    if most is None:
        return f"{fewest} or more text columns"
    return f"{fewest} text column(s)" if most == fewest else f"{fewest} to {most} text columns"


def _fewer_columns(context: Context, bad: Bad) -> Mend:
    """A row for each document that has a label of its own; or what the loss reads; or a loss that reads all."""
    rows: tuple[Part, ...] = (
        Step("join_columns"),
        Step("lists_to_rows", ("documents",), why="a row for each document"),
    )
    kept: tuple[Part, ...] = (select(context, *context.read_inputs),)
    first = [rows] if context.becomes_pairs else [kept]
    return [*first, *other_loss(context, context.shape, str(context.format.label))]


@rule(
    "too-many-columns",
    "data",
    "error",
    "{loss} takes {taken}, but there are {count}; {extra} would be too many",
    stage=Stage.ORDER,
    mend=_fewer_columns,
)
def too_many_columns(context: Context) -> Bad | None:
    """More inputs than the loss takes, at which it fails."""
    extra = context.inputs[len(context.read_inputs) :]
    if not extra or context.entry.extra_columns != "error" or no_list_column(context):
        return None  # or they make a list, as another rule says
    facts = {"taken": _counted(context), "count": len(context.inputs), "extra": quoted(extra)}
    return Bad(column=extra[0], facts=facts)


@rule(
    "ignored-columns",
    "data",
    "warning",
    "{loss} reads the first {count} text column(s) and ignores {extra} in silence",
    stage=Stage.ORDER,
    mend=_fewer_columns,
)
def ignored_columns(context: Context) -> Bad | None:
    """More inputs than the loss reads."""
    extra = context.inputs[len(context.read_inputs) :]
    listed = {row.inputs for row in rows_of(context.entry.name, context.entry.model_type)}
    # Of the same text twice, one is enough.
    if not extra or context.entry.extra_columns != "ignored" or context.format.meaning in listed:
        return None
    return Bad(column=extra[0], facts={"count": context.entry.max_columns, "extra": quoted(extra)})


@rule(
    "unnamed-negatives",
    "data",
    "warning",
    "{loss} takes {second!r} for the positive of {first!r}, and {others} for negative(s), by their order alone: their "
    "names do not say so",
    stage=Stage.ORDER,
    mend=lambda c, bad: (
        Step("select_columns", ((c.inputs[0], bad.facts["positive"]),)),
        f"# or, if they are positive and negative(s): {{dataset}}.rename_columns({bad.facts['names']})",
    ),
)
def unnamed_negatives(context: Context) -> Bad | None:
    """Three or more columns whose names do not say that the second is the positive and the others are negatives."""
    inputs, meant = context.read_inputs, context.format.inputs
    if len(inputs) < 3 or context.lists or context.read_label is not None:
        return None
    of_loss = rows_of(context.entry.name, context.entry.model_type)
    if not any(row.shape in ("triplet", "n-tuple") and row.label == "none" for row in of_loss):
        return None
    roles = roles_of(inputs)
    known = roles.get(inputs[1]) == "positive" or "negative" in [roles.get(column) for column in inputs[2:]]
    if known or (set(meant) == set(context.inputs) and meant != context.inputs):
        return None  # or their names say another order, as another rule tells
    positive = next((column for column in inputs[2:] if roles.get(column) == "positive"), inputs[1])
    names = {inputs[1]: "positive", **{column: f"negative_{k}" for k, column in enumerate(inputs[2:], 1)}}
    facts = {"first": inputs[0], "second": inputs[1], "others": quoted(inputs[2:]), "positive": positive}
    return Bad(column=inputs[2], facts={**facts, "names": literal(names)})


# --- Texts ------------------------------------------------------------------------------------------------------------


def _without(condition: str) -> Any:
    """Leave out rows without a text; of lists, those that do not fulfil a condition."""

    def mend(context: Context, bad: Bad) -> Part:
        column = str(bad.column)
        if context.kinds[column] == "text":
            return Step("remove_empty_rows", ((column,),))
        return keep("texts", condition, column)

    return mend


@rule(
    "missing-text",
    "text",
    "error",
    "column {column!r} has no text (None) in {rows}",
    stage=Stage.ROWS,
    mend=_without("all(text is not None for text in texts or [None])"),
)
def missing_text(context: Context, column: str) -> Tally:
    """None in place of a text."""
    return context.scan.texts[column].missing


@rule(
    "empty-text",
    "text",
    "warning",
    "column {column!r} has an empty text in {rows}",
    stage=Stage.ROWS,
    mend=_without("texts and all(text.strip() for text in texts)"),
)
def empty_text(context: Context, column: str) -> Tally:
    """Texts that are empty, or white space."""
    return context.scan.texts[column].empty


def _unequal(place: int) -> Any:
    """Leave out rows in which two columns hold the same text."""

    def mend(context: Context, bad: Bad) -> Part:
        return keep("first, second", "first != second", context.inputs[place], str(bad.column))

    return mend


def _same(context: Context, column: str, tallies: dict[str, Tally]) -> Tally | None:
    # A teacher's scores say how good a text is, whichever column it stands in.
    return tallies.get(column) if context.label is None else None


@rule(
    "positive-is-negative",
    "text",
    "error",
    "columns {second!r} and {column!r}, positive and negative, hold the same text in {rows}",
    stage=Stage.ROWS,
    mend=_unequal(1),
)
def positive_is_negative(context: Context, column: str) -> Iterator[Bad]:
    """The same text as positive and as negative."""
    tally = _same(context, column, context.scan.positive_is_negative)
    if tally is not None and tally.count:
        yield Bad(tally, facts={"second": context.inputs[1]})


@rule(
    "anchor-is-negative",
    "text",
    "error",
    "columns {first!r} and {column!r}, anchor and negative, hold the same text in {rows}, which cannot be told apart",
    stage=Stage.ROWS,
    mend=_unequal(0),
)
def anchor_is_negative(context: Context, column: str) -> Iterator[Bad]:
    """The same text as anchor and as negative."""
    tally = _same(context, column, context.scan.anchor_is_negative)
    if tally is not None and tally.count:
        # Mined negatives now and then hold the query itself; in most rows, a column is the wrong one.
        is_rule = tally.count > 0.5 * len(context.scan.rows)
        yield Bad(tally, severity="error" if is_rule else "warning", facts={"first": context.inputs[0]})


@rule(
    "one-kind-of-pairs",
    "data",
    "error",
    "{loss} learns from pairs of equal and of different texts, but {some} are equal",
    stage=Stage.CHANGE,
    mend=lambda c, bad: Step(
        "texts_to_pairs",
        (c.inputs[0],),
        (("different", 1),),
        f"pairs of {c.inputs[0]!r} alone, without {c.inputs[1]!r}",
    ),
)
def one_kind_of_pairs(context: Context) -> Bad | None:
    """Only equal or only different texts, where the loss learns from both."""
    if context.entry.name != "ContrastiveTensionLoss" or len(context.inputs) != 2 or context.label is not None:
        return None
    same = context.scan.copies.count
    return Bad(facts={"some": "all" if same else "none"}) if same in (0, len(context.scan.rows)) else None
