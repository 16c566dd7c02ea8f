"""Are the columns those that the loss takes, in their order, and are they all texts?"""

from __future__ import annotations

from typing import Any

from selective_st.catalog import rows_of
from selective_st.errors import literal
from selective_st.registry.checks.context import Context, quoted
from selective_st.registry.checks.engine import Bad, Found, Mend, Stage, Tells, bad, rule, tells
from selective_st.registry.checks.lines import TO_LISTS, keep, other_loss
from selective_st.registry.checks.scan import Mask
from selective_st.registry.columns import nested_fields
from selective_st.registry.conversions import PAIRS_OF_TEXTS
from selective_st.registry.names import RESERVED, role_of, roles_of
from selective_st.registry.steps import Step

_ENOUGH_TO_MINE = 10  # rows, among which there are negatives

# --- Columns that are no inputs ---------------------------------------------------------------------------------------


def _dropped(c: Context, found: Found) -> Step:
    return Step("remove_columns", ((found.column,),))


@rule("reserved-column", "column", "error", Stage.DROP, _dropped)
def reserved_column(c: Context, column: str) -> bool:
    """The trainer refuses a column called {column!r}."""
    return column in RESERVED


@rule("second-label", "stray", "error", Stage.DROP, is_choice=True)
def second_label(c: Context, column: str) -> Bad | None:
    """The trainer takes {label!r} for the label, and tokenizes {column!r} as a text: keep one of them."""
    kept = tuple(name for name in c.table.columns if name != column)
    return bad(mend=Step("select_columns", (kept,), why=f"keeps {c.source!r} as the label"))


def _stray(c: Context, column: str, **facts: Any) -> Bad | None:
    """An input that is none: where it comes after all that the loss reads, it does no harm yet."""
    is_read = c.entry.extra_columns != "ignored" or c.entry.max_columns is None
    harmless = not is_read and c.format.trainer_inputs.index(column) >= (c.entry.max_columns or 0)
    effect = "the loss ignores it" if harmless else "it is tokenized and trained on as a text"
    return bad(severity="warning" if harmless else None, effect=effect, **facts)


@rule("number-column", "stray", "error", Stage.STORE)
def nested_column(c: Context, column: str) -> Bad | None:
    """Column {column!r} holds no texts ({cells}); {effect}."""
    cells = nested_fields(c.table.values[column])
    return None if cells is None else _stray(c, column, cells=cells, mend=cells.step(column))


@rule("number-column", "stray", "error", Stage.DROP, _dropped)
@rule("id-column", "stray", "error", Stage.DROP, _dropped)
@rule("stray-column", "stray", "warning", Stage.DROP, _dropped)
@rule("empty-column", "stray", "error", Stage.DROP, _dropped)
def flat_stray(c: Context, column: str) -> Tells:
    """Column {column!r} {what}; {effect}."""
    code, kind = c.strays[column], c.format.kinds[column]
    known = {"id-column": "holds ids", "stray-column": "looks as if it described the row"}
    known["empty-column"] = "is empty in all rows"
    if not nested_fields(c.table.values[column]) and (c.inputs or code != "id-column"):
        yield _stray(c, column, what=known.get(code, f"holds no texts ({kind})"))


@rule("id-column", "data", "error", Stage.DROP)
def only_ids(c: Context) -> Bad | None:
    """The inputs {ids} hold ids, not texts.

    With sentence_transformers.util.resolve_ids, dataset.set_transform(resolve_ids({{{lookups}}})) puts the texts of
    another dataset in their place.
    """
    found = [column for column, code in c.strays.items() if code == "id-column"]
    lookups = ", ".join(f"{literal(column)}: texts" for column in found)
    return bad(column=found[0], ids=quoted(found), lookups=lookups) if found and not c.inputs else None


# --- Their number and order -------------------------------------------------------------------------------------------


def _select(c: Context, *columns: str) -> Step:
    """Keep columns, and the label."""
    return Step("select_columns", ((*columns, *filter(None, [c.label])),))


@rule("column-order", "data", "error", Stage.ORDER, lambda c, found: _select(c, *c.format.inputs))
def column_order(c: Context) -> Tells:
    """The loss takes the columns by their order, {present}, but their names mean {meant}."""
    meant, present = c.format.inputs, c.inputs
    is_symmetric = {"similarity", "binary"} >= c.label_kinds and c.entry.model_type != "CrossEncoder"
    if sorted(meant) == sorted(present) and meant != present and not (len(meant) == 2 and is_symmetric):
        is_mild = len(meant) == 2 and not c.lists  # a list for the query crashes
        severity = "warning" if is_mild else None
        yield bad(column=present[0], severity=severity, present=quoted(present), meant=quoted(meant))


def _unlisted(c: Context, found: Found) -> Mend:
    """A row for each labelled or right text of a list, a column for each wrong one."""
    columns = Step("split_lists", (found.column,), why="a column for each text")
    if c.source is not None:
        rows = Step("lists_to_rows", (found.column,), why="a row for each text, with its label")
        takes_lists = c.label_kinds_of("n-tuple") & {"scores", "margins", "binary list"}
        return [columns, rows] if takes_lists else [rows, columns]
    if len(c.inputs) == 1:
        return columns  # a set of texts that belong together
    wrong = [name for name in c.inputs if role_of(name) == "negative"][:1]
    right = c.inputs[1] if found.column in wrong else found.column
    return [Step("rows_of_positives", (right, *wrong), why="a row for each right text, with the wrong ones"), columns]


@rule("list-column", "data", "error", Stage.CHANGE, _unlisted)
def list_column(c: Context) -> Bad | None:
    """Column {column!r} holds lists of texts, but {loss} takes a text in each column."""
    lists = sorted(c.lists, key=lambda name: role_of(name) == "negative")
    return bad(column=lists[0]) if lists and c.shapes and not c.shapes & {"list", "any"} else None


@rule("no-list-column", "data", "error", Stage.CHANGE)
def no_list_column(c: Context) -> Tells:
    """{loss} takes a query and a list of texts, with a list of labels, but there is no column of lists."""
    if c.shapes == {"list"} and not c.lists:
        joined = Step("join_columns")
        yield bad(mend=[joined, (TO_LISTS, joined), *other_loss(c, c.shape, c.format.label)])


def _more_columns(c: Context, found: Found) -> Mend:
    """Pairs or triplets of what is there, or another loss."""
    makes_triplets = "none" in c.label_kinds_of("triplet", "n-tuple")
    if c.label is None:
        return _of_unlabelled(c, makes_triplets=makes_triplets)
    step = Step("class_to_triplets", why="of texts of the same class, and of another; leaves out the labels")
    if len(c.inputs) > 1:
        why = "of texts that have a better and a worse partner; leaves out the others, and the labels"
        step = Step("pairs_to_triplets", why=why)
    return [*([step] if makes_triplets and c.source is not None else []), *other_loss(c, c.shape, c.format.label)]


def _of_unlabelled(c: Context, *, makes_triplets: bool) -> Mend:
    if len(c.inputs) == 1:
        pairs = PAIRS_OF_TEXTS.get(c.entry.name, Step("texts_to_pairs", why="each text with itself"))
        return pairs if "none" in c.label_kinds_of("pair") else other_loss(c, "single", "none")
    if len(c.inputs) != 2 or c.lists:
        return None
    imported = "from sentence_transformers.util import mine_hard_negatives"
    mined = imported + "\n{dataset} = mine_hard_negatives({dataset}, model)"
    names = dict(zip(c.inputs, ("anchor", "positive"), strict=True))
    renamed = [Step("rename_columns", (names,), why="as they were taken")] if [*names] != [*names.values()] else []
    can_mine = c.entry.model_type == "SentenceTransformer" and c.table.scanned > _ENOUGH_TO_MINE and makes_triplets
    return [*([(mined, *renamed)] if can_mine else []), *other_loss(c, "pair", "none")]


@rule("too-few-columns", "data", "error", Stage.CHANGE, _more_columns)
def too_few_columns(c: Context) -> Tells:
    """{loss} takes {taken}, but there {there}: {present}."""
    count = len(c.inputs)
    becomes_more = c.lists and c.entry.model_type != "CrossEncoder"  # rows or columns, as another rule says
    if count < c.min_columns and not becomes_more and (count or "id-column" not in c.strays.values()):
        verb = "is" if count == 1 else "are"
        yield bad(taken=_counted(c), there=f"{verb} {count}", present=quoted(c.inputs) or "none")


def _counted(c: Context) -> str:
    """How many columns a loss takes."""
    fewest, most = c.min_columns, c.entry.max_columns
    if most is None:
        return f"{fewest} or more text columns"
    return f"{fewest} text column(s)" if most == fewest else f"{fewest} to {most} text columns"


def _fewer_columns(c: Context, found: Found) -> Mend:
    """A row for each document that has a label of its own; or what the loss reads; or a loss that reads all."""
    rows = Step("join_columns"), Step("lists_to_rows", ("documents",), why="a row for each document")
    return [rows if c.becomes_pairs else _select(c, *c.read_inputs), *other_loss(c, c.shape, c.format.label)]


@rule("too-many-columns", "data", "error", Stage.ORDER, _fewer_columns)
def too_many_columns(c: Context) -> Tells:
    """{loss} takes {taken}, but there are {all}; {extra} would be too many."""
    extra = c.inputs[len(c.read_inputs) :]
    if extra and c.entry.extra_columns == "error" and not tells(no_list_column, c):  # or they make a list
        yield bad(column=extra[0], taken=_counted(c), all=len(c.inputs), extra=quoted(extra))


@rule("ignored-columns", "data", "warning", Stage.ORDER, _fewer_columns)
def ignored_columns(c: Context) -> Tells:
    """{loss} reads the first {c.entry.max_columns} text column(s) and ignores {extra} in silence."""
    extra = c.inputs[len(c.read_inputs) :]
    listed = {row.inputs for row in rows_of(c.entry.name, c.entry.model_type)}
    is_ignored = c.entry.extra_columns == "ignored" and c.format.meaning not in listed  # of a text twice, one is enough
    if extra and is_ignored:
        severity = "error" if c.becomes_pairs else None  # its labels are lists, which no pair has
        yield bad(column=extra[0], extra=quoted(extra), severity=severity)


@rule("unnamed-negatives", "data", "warning", Stage.ORDER)
def unnamed_negatives(c: Context) -> Tells:
    """{loss} takes {c.inputs[1]!r} for the positive of {c.inputs[0]!r}, and {others} for negative(s).

    It goes by their order alone: their names do not say so.
    """
    inputs, roles = c.read_inputs, roles_of(c.read_inputs)
    reads_label = c.source is not None and c.takes_labels
    if len(inputs) < 3 or c.lists or reads_label or "none" not in c.label_kinds_of("triplet", "n-tuple"):
        return
    if roles.get(inputs[1]) == "positive" or "negative" in map(roles.get, inputs[2:]) or tells(column_order, c):
        return
    names = {inputs[1]: "positive", **{column: f"negative_{k}" for k, column in enumerate(inputs[2:], 1)}}
    named = Step("rename_columns", (names,), why="if they are so")
    positive = next((column for column in inputs[2:] if roles.get(column) == "positive"), inputs[1])
    kept = Step("select_columns", ((c.inputs[0], positive),))  # what needs no negatives goes without
    words = f"# or, if they are positive and negative(s): {named.code('{dataset}').splitlines()[0]}"
    yield bad(column=inputs[2], others=quoted(inputs[2:]), mend=named if c.min_columns > 2 else (kept, words))


# --- Texts ------------------------------------------------------------------------------------------------------------


def _without(condition: str) -> Any:
    """Leave out rows without a text; of lists, those that do not fulfil a condition."""

    def leave_out(c: Context, found: Found) -> Step:
        is_list = c.format.kinds[str(found.column)] != "text"
        return keep("texts", condition, found.column) if is_list else Step("remove_empty_rows", ((found.column,),))

    return leave_out


@rule("missing-text", "text", "error", Stage.ROWS, _without("all(text is not None for text in texts or [None])"))
def missing_text(c: Context, column: str) -> Mask:
    """Column {column!r} has no text (None) in {rows}."""
    return c.scan.texts[column].missing


@rule("empty-text", "text", "warning", Stage.ROWS, _without("texts and all(text.strip() for text in texts)"))
def empty_text(c: Context, column: str) -> Mask:
    """Column {column!r} has an empty text in {rows}."""
    return c.scan.texts[column].empty


def _unequal(place: int) -> Any:
    """Leave out rows in which two columns hold the same text."""
    return lambda c, found: keep("first, second", "first != second", c.inputs[place], found.column)


@rule("positive-is-negative", "text", "error", Stage.ROWS, _unequal(1))
def positive_is_negative(c: Context, column: str) -> Mask | None:
    """Columns {c.inputs[1]!r} and {column!r}, positive and negative, hold the same text in {rows}."""
    return c.scan.same(c.inputs[1], column) if c.label is None and column in c.inputs[2:] else None


@rule("anchor-is-negative", "text", "error", Stage.ROWS, _unequal(0))
def anchor_is_negative(c: Context, column: str) -> Tells:
    """Columns {c.inputs[0]!r} and {column!r}, anchor and negative, hold the same text in {rows}."""
    same = c.scan.same(c.inputs[0], column) if c.label is None and column in c.inputs[2:] else None
    if same is not None:
        # Mined negatives now and then hold the query itself; in most rows, a column is the wrong one.
        yield bad(same, severity=None if same.mean() > 0.5 else "warning")


@rule("one-kind-of-pairs", "data", "error", Stage.CHANGE)
def one_kind_of_pairs(c: Context) -> Tells:
    """{loss} learns from pairs of equal and of different texts, but {some} are equal."""
    same = c.scan.same(*c.inputs) if len(c.inputs) == 2 else None
    if c.entry.name == "ContrastiveTensionLoss" and c.label is None and same is not None and same.all() == same.any():
        mend = Step("texts_to_pairs", c.inputs[:1], (("different", 7),), why=f"leaves out {c.inputs[1]!r}")
        yield bad(some="all" if same.any() else "none", mend=mend)
