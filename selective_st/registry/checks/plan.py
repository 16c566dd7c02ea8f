"""What the rules find, in the order in which the lines that mend it work one after another."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from selective_st.catalog import LossEntry
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.engine import RULES, Found, LossLine, Part, Stage
from selective_st.registry.checks.report import FIRST_ROWS, Finding
from selective_st.registry.checks.scan import Integers
from selective_st.registry.detection import format_of
from selective_st.registry.names import words_of
from selective_st.registry.steps import ON_STREAMS, Code, Step, code_of
from selective_st.registry.table import Table, tables

_ROUNDS = 4
_NO_ROWS: Integers = np.empty(0, dtype=np.int64)
_KEPT = {"label", "labels", "score", "scores", "positive", "positives", "pos", "negative", "negatives", "neg"}
_LEAVES_OUT = ("filter", "remove_empty_rows", "remove_rare_classes")  # the rows that were found
_ABOUT_ALL = ("pairs_to_triplets", "to_dataset", "rename_columns", "cast")  # whose first argument is no column
_CONVERSIONS = ("scale_labels", "scale_margins", "labels_to_int", "labels_to_binary", "class_encode_column")
_OF_ALL_ROWS = ("single-class", "class-batches", "label-constant", "label-tied")  # a sample does not tell of these


@dataclass(frozen=True)
class State:
    """What the lines so far have made of the data, as far as the sample shows it.

    Attributes:
        table: The data.
        rows: The sampled rows.
        columns: Those of their columns that are left; of wide tables all others are taken out at once.
        numbers: Those of the rows in the dataset, as long as they are known.
        left_out: The numbers of rows of the dataset that are gone.
        is_known: Whether the rows are those that the lines leave.
        done: The lines.
        loss: Another loss, that a line takes.
    """

    table: Table
    rows: Any
    columns: tuple[str, ...]
    numbers: Integers | None
    left_out: Integers = field(default_factory=_NO_ROWS.copy)
    is_known: bool = True
    done: tuple[Part, ...] = ()
    loss: LossEntry | None = None

    @cached_property
    def data(self) -> Any:
        """The sampled rows with the columns that are left."""
        return self.rows if len(self.columns) == len(self.rows.column_names) else self.rows.select_columns(self.columns)

    def has_decided(self, what: str | None) -> bool:
        """Whether a line has decided the loss, the model, or how a label is converted."""
        return what is not None and what in map(_decision, self.done)

    def without(self, rows: Integers) -> State | None:
        """What is left without rows; None if that is nothing."""
        left_out = np.union1d(self.left_out, rows)
        if len(left_out) >= self.table.scanned:
            return None
        if not self.is_known or self.numbers is None:
            return replace(self, left_out=left_out, is_known=False)
        kept = np.flatnonzero(~np.isin(self.numbers, left_out))
        return replace(self, left_out=left_out, rows=self.data.select(kept), numbers=self.numbers[kept])

    def after(self, step: Step) -> State | None:
        """What a step makes of it; None where it cannot be done."""
        if not step.is_data:
            return replace(self, is_known=self.is_known and step.call == "cast")
        if not self.is_known:
            return self if step.call in ON_STREAMS else None  # of the others, what cannot be tried is not printed
        if step.call == "remove_columns":
            gone = set(_named(step))
            left = tuple(name for name in self.columns if name not in gone)
            return replace(self, columns=left) if left else None
        try:
            with _no_progress():
                rows = step.apply(self.data)
        except Exception:  # whatever it is, what raises is not printed
            return None
        numbers = self.numbers if len(rows) == len(self.rows) else None
        is_some = rows.column_names and len(rows) > (1 if len(self.rows) > 1 else 0)
        return replace(self, rows=rows, columns=tuple(rows.column_names), numbers=numbers) if is_some else None


class Plan:
    """The lines that mend a dataset, one after another: each is tried on a sample of the rows before it is printed.

    What cannot be done after the lines before it is not printed, so that a column has one fate. Then the sample is
    looked at as the lines have left it: what is wrong only then is mended by further lines after the last.

    Args:
        contexts: What is known of the data, for each of the losses that are added up.
    """

    def __init__(self, contexts: Sequence[Context]) -> None:
        self._contexts = list(contexts)
        self._table = table = contexts[0].table
        self._findings: dict[tuple[str, str | None], Finding] = {}
        rows = table.sample()
        self._state = State(table, rows, tuple(rows.column_names), np.asarray(table.sampled))

    def run(self) -> list[Finding]:
        """Look, and look again at what is left."""
        self._look(Stage.STORE)
        if any(isinstance(part, Step) and part.call == "flatten_cells" for part in self._state.done):
            self._looks_again()  # what else is to be said is said of the texts in the cells
        later = False
        for _ in range(_ROUNDS):
            done = self._state.done
            self._look(*list(Stage)[1:-1], later=later)
            if self._state.done == done or not self._looks_again():
                break
            later = True
        self._look(Stage.MODEL, later=later)
        return list(self._findings.values())

    def _look(self, *stages: Stage, later: bool = False) -> None:
        found: dict[tuple[str, str], Found] = {}
        for context, rule in itertools.product(self._contexts, [rule for rule in RULES if rule.stage in stages]):
            for one in rule.look(context):
                found.setdefault((rule.code, one.message), one)  # what is wrong with the data is so for all losses
        for one in sorted(found.values(), key=lambda one: (one.rule.stage, one.severity != "error")):
            key = one.rule.code, one.column
            if later:
                self._add_later(one, key)
            else:
                self._findings[key if key not in self._findings else (one.message, None)] = self._finding(one)

    def _add_later(self, found: Found, key: tuple[str, str | None]) -> None:
        """Something that is wrong once the lines so far have run."""
        known = self._findings.get(key)
        is_told = self._table.is_complete or key[0] not in _OF_ALL_ROWS
        if (known is not None and known.mend) or not is_told or not self._is_asked(found):
            return
        then = self._finding(found)
        if known is not None and then.mend:  # it is mended after the others
            del self._findings[key]
            self._findings[key] = replace(known, mend=then.mend, steps=then.steps)
        if known is not None:
            return
        last, finding = next((key, one) for key, one in reversed(self._findings.items()) if one.mend)
        if then.mend and (then.steps or not finding.steps):
            mend = f"{finding.mend}\n# then: {then.message}\n{then.mend}"
            steps = (*finding.steps, *then.steps) if finding.steps else ()
            self._findings[last] = replace(finding, mend=mend, steps=steps)
        else:  # lines that need more than the dataset stand alone
            message = f"once the lines above have run: {then.message}"
            self._findings[key] = replace(then, message=message, rows=(), count=None)

    def _looks_again(self) -> bool:
        """Take what is left for what is looked at; whether it is known, and may tell something else."""
        state = self._state
        renews = state.has_decided("loss") and state.loss in (None, *(context.entry for context in self._contexts))
        if renews or not state.is_known:
            return False  # of the settings of the same loss made anew nothing is known here
        table = replace(tables(state.data)[0], name=self._table.name)
        known: dict[str, Any] = {"table": table, "format": format_of(table)}
        if state.loss is not None:
            known |= {"entry": state.loss, "is_known": True, "loss": None, "wrappers": ()}
        self._contexts = [replace(context, **known) for context in self._contexts]
        return True

    def _finding(self, found: Found) -> Finding:
        """What is reported, with the lines that work after those before."""
        ways = found.mends if self._is_asked(found) else []
        self._state, parts = next((taken for each in ways if (taken := self._taken(each, found))), (self._state, []))
        rows, count = found.rows, found.count
        if rows is None or not (found.context.table is self._table or self._table.is_complete):
            rows, count = _NO_ROWS, None  # those of a sample that lines have changed
        steps = tuple(part for part in parts if isinstance(part, Step) and part.is_data)
        return Finding(
            found.severity, found.rule.code, found.message, found.column, tuple(rows[:FIRST_ROWS].tolist()), count,
            _code(parts, found.context), self._table.name, steps if len(steps) == len(parts) else ()
        )  # fmt: skip

    def _is_asked(self, found: Found) -> bool:
        """Whether something is still wrong: where another loss is taken, the lines are those that it needs."""
        return self._state.loss in (None, found.context.entry)

    def _taken(self, parts: Sequence[Part], found: Found) -> tuple[State, list[Part]] | None:
        """The lines that are left to do, and what they make of the data; None where one of them cannot be done."""
        state, lines = self._state, list[Part]()
        for part in parts:
            if part in state.done:
                continue
            tried = None if state.has_decided(_decision(part)) else self._tried(state, part, found)
            if tried is None:
                return None
            make = self._dataset_for(state, part)
            state, shown = tried
            lines += [*make, shown]
            is_done = isinstance(part, Step) or not part.startswith("#")
            loss = part.entry if isinstance(part, LossLine) else state.loss
            state = replace(state, done=(*state.done, *make, *([part] if is_done else [])), loss=loss)
        return state, lines

    def _tried(self, state: State, part: Part, found: Found) -> tuple[State, Part] | None:
        """What a line makes of the data, and the line as it is to be printed; None where it cannot be done."""
        if isinstance(part, str):
            is_of_several = len(self._contexts) > 1 or found.context.loss_variable is None
            is_known = state.is_known and "{dataset} = " not in part
            return None if is_of_several and _decision(part) == "loss" else (replace(state, is_known=is_known), part)
        columns = set(state.columns)
        names = [name for name in _named(part) if part.call != "select_columns" or name in columns]
        if not {*names} <= columns:
            return None
        if part.call in ("select_columns", "remove_columns"):
            gone = [name for name in state.columns if (name in names) == (part.call == "remove_columns")]
            if not found.rule.is_choice and any(_is_kept(found.context, name) for name in gone):
                return None
            leaves_out = f"leaves out {', '.join(map(repr, gone))}" if gone else ""
            part = replace(part, arguments=(tuple(names),), why="; ".join(filter(None, (part.why, leaves_out))))
        if found.rows is None or part.call not in _LEAVES_OUT:
            after = state.after(part)
        elif after := state.without(found.rows):
            more = len(after.left_out) - len(state.left_out)
            part = replace(part, why=part.why or f"leaves out {more:,} row(s)")
        return None if after is None else (after, part)

    def _dataset_for(self, state: State, part: Part) -> list[Part]:
        """What makes a Dataset of the data, before the first line that needs one."""
        table, make, is_step = self._table, self._table.to_dataset, isinstance(part, Step)
        is_on_stream = table.is_stream and isinstance(part, Step) and part.call in ON_STREAMS
        is_plain = table.is_dataset and not table.has_transform and not table.is_stream
        is_about_data = is_step or "{dataset}" in str(part)
        return [] if is_plain or is_on_stream or not is_about_data or make in (*state.done, part) else [make]


@contextlib.contextmanager
def _no_progress() -> Iterator[None]:
    """No bars of `datasets` while steps are tried."""
    import datasets

    were_there = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if were_there:
            datasets.enable_progress_bars()


def _decision(part: Part) -> str | None:
    """What a line decides, which no other line may decide again: the loss, the model, how a label is converted."""
    if isinstance(part, Step):
        return f"label {part.arguments[0]}" if part.call in _CONVERSIONS else None
    return next((name for name in ("loss", "model") if f"\n{{{name}}} = " in f"\n{part}"), None)


def _named(step: Step) -> list[str]:
    """The columns that a step speaks of."""
    named = [*step.arguments[: step.call not in _ABOUT_ALL], dict(step.options).get("input_columns")]
    names = [name for value in named for name in (value if isinstance(value, (tuple, list)) else [value])]
    return [name for name in names if isinstance(name, str) and not isinstance(name, Code)]


def _is_kept(context: Context, column: str) -> bool:
    """Whether a column is named a label, a positive or a negative, and holds something."""
    return bool(_KEPT & set(words_of(column))) and context.format.kinds.get(column) not in ("empty", "id", "ids")


def _code(parts: Sequence[Part], context: Context) -> str:
    """The lines, steps that come together with their imports before them."""
    names = {"dataset": context.variable, "loss": context.loss_variable or "loss", "model": "model"}
    blocks: list[str] = []
    for is_step, group in itertools.groupby(parts, key=lambda part: isinstance(part, Step)):
        lines: list[Any] = list(group)
        if is_step:
            blocks.append(code_of(lines, context.variable, explained=True))
        else:
            blocks += [re.sub(r"\{(dataset|loss|model)\}", lambda found: names[found[1]], line) for line in lines]
    return "\n".join(blocks)
