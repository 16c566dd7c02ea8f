"""What a rule is, and how what the rules find becomes a list of lines that work one after another.

A rule is a function with a decorator. The function tells the bad rows, or just whether something is bad; the decorator
holds the rule's code, what it looks at, how bad it is, the words, and the lines that mend it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Literal

import numpy as np

from selective_st.registry.catalog import LossEntry
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.report import Finding, Severity
from selective_st.registry.checks.scan import Mask, Tally
from selective_st.registry.detection import format_of
from selective_st.registry.names import words_of
from selective_st.registry.steps import Code, Step, code_of
from selective_st.registry.table import Table, tables

About = Literal["data", "column", "stray", "input", "text", "label", "read label"]
# A step of the dataset; or a line of code, in which {dataset} stands for its variable.
Part = Step | str
# Lines, or several alternatives of which the first that can be done is taken; None where nothing mends it.
Mend = Part | tuple[Part, ...] | list[tuple[Part, ...]] | None

_ON_STREAMS = ("rename_column", "rename_columns", "remove_columns", "select_columns", "filter", "map", "cast")
_KEPT = {"label", "labels", "score", "scores", "positive", "positives", "pos", "negative", "negatives", "neg"}
_ROUNDS = 4
_LEAVES_OUT = ("filter", "remove_empty_rows", "remove_rare_classes")  # the rows that were found
# Steps after which the same is to be said of the rows that are left.
_LOCAL = (
    "rename_column", "rename_columns", "remove_columns", "select_columns", "filter", "remove_empty_rows", "cast",
    "remove_duplicate_rows", "remove_rare_classes", "to_dataset", "labels_to_float", "labels_to_int",
    "labels_to_binary", "pad_labels", "scale_labels", "scale_margins",
)  # fmt: skip
_OF_ALL_ROWS = ("single-class", "class-batches", "label-constant", "label-tied")  # a sample does not tell of these
_CONVERSIONS = ("scale_labels", "scale_margins", "labels_to_int", "class_encode_column")


class LossLine(str):
    """Lines that take a loss, which is known by its entry."""

    entry: LossEntry


class Stage(IntEnum):
    """When a mend has its turn: what is called by a name comes after what gives the name."""

    STORE = 0
    NAME = 1
    DROP = 2
    ORDER = 3
    ROWS = 4
    READ = 5
    VALUES = 6
    CHANGE = 7
    LOSS = 8
    MODEL = 9


@dataclass(frozen=True)
class Bad:
    """What a rule has found: the rows, if it is about rows, and what the words and lines need to know besides.

    Attributes:
        tally: The rows.
        column: The column, where it is not the one that the rule was asked about.
        severity: How bad it is, where that is not always the same.
        mend: The lines, where they are not always the rule's.
        facts: What the words speak of.
    """

    tally: Tally | None = None
    column: str | None = None
    severity: Severity | None = None
    mend: Mend = None
    facts: dict[str, Any] = field(default_factory=dict)


Told = Bad | Tally | Mask | bool | str | None


@dataclass(frozen=True)
class Rule:
    """A check.

    Attributes:
        code: Its name, which stays the same.
        about: What it looks at: the data as a whole, each column, each input that is none, each input, each column of
            texts, the label, or the label if the loss reads it.
        severity: How bad it is.
        words: What is said, with names of facts in braces.
        stage: When its lines have their turn.
        mend: The lines that mend it, of what was found.
        find: Tells what is bad.
        is_choice: Whether its lines choose between columns, and so may leave one out whatever its name.
    """

    code: str
    about: About
    severity: Severity
    words: str
    stage: Stage
    mend: Callable[[Context, Bad], Mend] | None
    find: Callable[..., Any]
    is_choice: bool = False

    def look(self, context: Context) -> Iterator[Found]:
        """What it finds.

        Args:
            context: What is known of the data, the loss and the model.

        Yields:
            Each thing that is bad.
        """
        for column in self._columns(context):
            told = self.find(context) if column is None or "label" in self.about else self.find(context, column)
            for one in told if isinstance(told, Iterator) else [told]:
                bad = self._as_bad(context, one, column)
                if bad is not None:
                    yield Found(self, context, bad)

    def _columns(self, context: Context) -> Sequence[str | None]:
        if self.about == "data":
            return [None]
        if "label" in self.about:
            # Where columns are lacking, the labels will be others.
            is_read = context.takes_labels and len(context.inputs) >= context.min_columns
            return [context.source] if context.source is not None and (self.about == "label" or is_read) else []
        if self.about == "column":
            return context.table.columns
        if self.about == "stray":
            return [column for column, code in context.strays.items() if code == self.code]
        return context.inputs if self.about == "input" else list(context.scan.texts)

    def _as_bad(self, context: Context, told: Told, column: str | None) -> Bad | None:
        if isinstance(told, np.ndarray):
            told = context.scan.tally(told)
        if isinstance(told, Tally):
            told = Bad(told) if told.count else None
        if isinstance(told, (bool, str)):
            told = Bad(column=told if isinstance(told, str) else None) if told else None
        return told if told is None or told.column is not None else replace(told, column=column)


@dataclass(frozen=True)
class Found:
    """Something that a rule has found."""

    rule: Rule
    context: Context
    bad: Bad

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.bad.severity or self.rule.severity

    @property
    def message(self) -> str:
        """What is said."""
        context, rows = self.context, "" if self.bad.tally is None else row_numbers(self.bad.tally)
        facts = {"loss": context.entry.name, "label": context.source, "column": self.bad.column, "rows": rows}
        words = self.rule.words.format(**facts | self.bad.facts)
        if "label" in self.rule.about and context.source != context.label:
            words = f"once {context.source!r} is the label: {words}"
        return f"{words}."

    @property
    def order(self) -> tuple[int, bool]:
        """When it has its turn."""
        return self.rule.stage, self.severity != "error"

    @property
    def mends(self) -> list[tuple[Part, ...]]:
        """The lines that mend it: alternatives, the best first."""
        found = self.bad.mend
        if found is None and self.rule.mend is not None:
            found = self.rule.mend(self.context, self.bad)
        if found is None:
            return []
        if isinstance(found, list):
            return found
        return [found if isinstance(found, tuple) else (found,)]


RULES: list[Rule] = []


def rule(
    code: str,
    about: About,
    severity: Severity,
    words: str,
    *,
    stage: Stage,
    mend: Callable[[Context, Bad], Mend] | None = None,
    is_choice: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a rule of a function that tells what is bad; see `Rule` for the arguments."""

    def register(find: Callable[..., Any]) -> Callable[..., Any]:
        RULES.append(Rule(code, about, severity, words, stage, mend, find, is_choice))
        return find

    return register


def row_numbers(tally: Tally) -> str:
    """How many rows, and the first of them, for a message.

    Args:
        tally: The rows.

    Returns:
        Both.

    Example:
        >>> row_numbers(Tally([np.array([8, 0, 2, 3, 5, 13, 21])]))
        '7 row(s) (0, 2, 3, 5, 8, ...)'
    """
    shown = ", ".join(map(str, tally.rows))
    more = ", ..." if tally.count > len(tally.rows) else ""
    return f"{tally.count:,} row(s) ({shown}{more})"


# --- The order --------------------------------------------------------------------------------------------------------


class Plan:
    """The lines that mend a dataset, one after another: each is tried on a sample of the rows before it is printed.

    What cannot be done after the lines before it is not printed, so that a column has one fate. Then the sample is
    looked at as the lines have left it: what is wrong only then is told as well, with its own lines.

    Args:
        contexts: What is known of the data, for each of the losses that are added up.
        is_dataset: Whether the user's data are a Dataset, or a stream.
    """

    def __init__(self, contexts: Sequence[Context], *, is_dataset: bool) -> None:
        self._contexts = list(contexts)
        self._table = contexts[0].table
        self._is_dataset = is_dataset
        self._findings: dict[tuple[str, str | None], Finding] = {}
        self._done: list[Part] = []
        self._decided: set[str] = set()
        self._loss: LossEntry | None = None  # another one, that a line takes
        self._left_out = np.empty(0, dtype=np.int64)
        self._columns = list(self._table.columns)
        # The sampled rows after the steps so far, with their numbers: None until there are steps, or where not known.
        self._sample: Any = None
        self._numbers: Any = None
        self._is_known = True

    def run(self) -> list[Finding]:
        """Look, and look again at what is left.

        Returns:
            What was found, in the order in which the lines that mend it work.
        """
        later = False
        for _ in range(_ROUNDS):
            done = len(self._done)
            self._look([rule for rule in RULES if rule.stage != Stage.MODEL], later=later)
            if len(self._done) == done or not self._looks_again():
                break
            later = True
        self._look([rule for rule in RULES if rule.stage == Stage.MODEL], later=later)
        return list(self._findings.values())

    def _look(self, rules: list[Rule], *, later: bool) -> None:
        found = [one for context in self._contexts for rule in rules for one in rule.look(context)]
        # What is wrong with the data is so for all losses that are added up.
        different = {(one.rule.code, one.message): one for one in reversed(found)}
        for one in sorted(different.values(), key=lambda one: (*one.order, found.index(one))):
            self._add(one, later=later)

    def _add(self, found: Found, *, later: bool) -> None:
        key = found.rule.code, found.bad.column
        known = self._findings.get(key) if later else None
        if later and (known.mend if known is not None else not _tells_of_sample(found, self._table)):
            return
        finding = self._finding(found)
        if not later:
            key = key if key not in self._findings else (found.message, None)
        elif known is not None and not finding.mend:
            return
        else:
            self._findings.pop(key, None)
            message = f"once the lines above have run: {finding.message}"
            finding = replace(finding, message=message, rows=(), count=None)
        self._findings[key] = finding

    def _looks_again(self) -> bool:
        """Take what is left for what is looked at; whether it is known, and may tell something else."""
        changes = [part for part in self._done if isinstance(part, Step) and part.call not in _LOCAL]
        if not self._is_known or not (self._table.is_complete or self._loss is not None or changes):
            return False
        (table,) = tables(self._sample_now())
        table = replace(table, name=self._table.name)
        subjects = [context.subject for context in self._contexts]
        if self._loss is not None:
            subjects = [replace(subjects[0], entry=self._loss, is_known=True, loss=None, wrappers=())]
        if any(self._renews(context) for context in self._contexts):
            return False
        found = format_of(table)
        self._contexts = [replace(context, table=table, format=found, subject=subject)
                          for context, subject in zip(self._contexts, subjects, strict=True)]  # fmt: skip
        return True

    def _renews(self, context: Context) -> bool:
        """Whether a line makes the same loss anew, of whose settings nothing is known here."""
        return "loss" in self._decided and (self._loss is None or self._loss.name == context.entry.name)

    def _finding(self, found: Found) -> Finding:
        """What is reported, with the lines that work after those before."""
        taken = (parts for lines in found.mends if (parts := self._taken(lines, found)) is not None)
        # Where another loss is taken, the lines are those that it needs.
        parts = next(taken, ()) if self._loss is None or found.context.entry == self._loss else ()
        bad = found.bad
        rows, count = ((), None) if bad.tally is None else (bad.tally.rows, bad.tally.count)
        steps = tuple(part for part in parts if isinstance(part, Step) and part.is_data)
        return Finding(
            found.severity, found.rule.code, found.message, bad.column, rows, count,
            _code(parts, found.context), self._table.name, steps if len(steps) == len(parts) else (),
        )  # fmt: skip

    def _taken(self, parts: Sequence[Part], found: Found) -> tuple[Part, ...] | None:
        """The lines that are left to do; None where one of them cannot be done."""
        before = dict(vars(self), _done=list(self._done), _columns=list(self._columns), _decided=set(self._decided))
        left: list[Part] = []
        for part in parts:
            if part in self._done:
                continue
            decision = _decision(part)
            done = None if decision in self._decided else self._tried(part, found)
            if done is None:
                vars(self).update(before)
                return None
            left += [*self._dataset_for(part), done]
            self._done.append(part)
            self._decided |= {decision} if decision else set()
            self._loss = getattr(part, "entry", self._loss)
        return tuple(left)

    def _tried(self, part: Part, found: Found) -> Part | None:
        """A line as it is to be printed; None where it cannot be done."""
        if isinstance(part, str):
            is_loss = _decision(part) == "loss"
            self._is_known &= "{dataset} = " not in part
            return None if is_loss and (len(self._contexts) > 1 or found.context.loss_variable is None) else part
        names, tally = _named(part), found.bad.tally
        if part.call == "select_columns":
            names = [name for name in names if name in self._columns]
            part = replace(part, arguments=(tuple(names),))
        if not set(names) <= set(self._columns):
            return None
        if part.call in ("select_columns", "remove_columns"):
            gone = [name for name in self._columns if (name in names) == (part.call == "remove_columns")]
            if not found.rule.is_choice and any(_is_kept(found.context, name) for name in gone):
                return None
            if part.call == "select_columns" and gone:
                part = replace(part, why=_joined(part.why, f"leaves out {', '.join(map(repr, gone))}"))
        if tally is not None and part.call in _LEAVES_OUT:
            left_out = np.union1d(self._left_out, tally.all)
            if len(left_out) >= self._table.scanned:
                return None  # nothing would be left
            part = replace(part, why=_joined(part.why, f"leaves out {len(left_out) - len(self._left_out):,} row(s)"))
            self._left_out = left_out
            self._leave_out(left_out)
            return part
        if not part.is_data:
            self._is_known &= part.call == "cast"
            return part
        return part if self._try(part) else None

    def _dataset_for(self, part: Part) -> list[Part]:
        """What makes a Dataset of the data, before the first line that needs one."""
        uses_stream = isinstance(part, Step) and part.call in _ON_STREAMS
        is_about_data = isinstance(part, Step) or "{dataset}" in part
        is_plain = self._is_dataset and not self._table.has_transform and not self._table.is_stream
        make = Step("to_dataset", why="all rows of the stream" if self._table.is_stream else "")
        if is_plain or not is_about_data or (self._table.is_stream and uses_stream) or make in self._done:
            return []
        self._done.append(make)
        return [make] if part != make else []

    def _try(self, step: Step) -> bool:
        """Do a step with the sample; whether that can be done."""
        import pyarrow as pa

        if not self._is_known:
            return step.call in _LOCAL  # what cannot be tried is not done to the whole
        try:
            with _no_progress():
                sample = step.apply(self._sample_now())
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, pa.ArrowException):
            return False
        if len(sample) != len(self._sample):
            self._numbers = None
        self._sample, self._columns = sample, sample.column_names
        return bool(len(sample))

    def _leave_out(self, rows: Any) -> None:
        """Leave rows out of the sample."""
        self._is_known &= self._sample is None or self._numbers is not None
        if self._is_known:
            sample = self._sample_now()
            kept = np.flatnonzero(~np.isin(self._numbers, rows))
            self._sample, self._numbers = sample.select(kept), self._numbers[kept]

    def _sample_now(self) -> Any:
        if self._sample is None:
            self._sample = self._table.sample()
            self._numbers = np.asarray(self._table.sampled)
        return self._sample


@contextlib.contextmanager
def _no_progress() -> Iterator[None]:
    """No bars of `datasets` while steps are tried."""
    import datasets

    if datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


def _decision(part: Part) -> str | None:
    """What a line decides, which no other line may decide again: the loss, an argument, how a label is converted."""
    if isinstance(part, Step):
        return f"label {part.arguments[0]}" if part.call in _CONVERSIONS else None
    last = part.splitlines()[-1]
    name = last.partition(" = ")[0]
    return name.strip("{}") if " = " in last and name in ("{loss}", "model") else None


def _tells_of_sample(found: Found, table: Table) -> bool:
    return table.is_complete or found.rule.code not in _OF_ALL_ROWS


def _named(step: Step) -> list[str]:
    """The columns that a step speaks of."""
    if step.call in ("pairs_to_triplets", "to_dataset", "rename_columns", "cast"):
        return []
    named = [*step.arguments[:1], dict(step.options).get("input_columns")]
    names = [name for value in named for name in (value if isinstance(value, (tuple, list)) else [value])]
    return [name for name in names if isinstance(name, str) and not isinstance(name, Code)]


def _is_kept(context: Context, column: str) -> bool:
    """Whether a column is named a label, a positive or a negative, and holds something."""
    return bool(_KEPT & set(words_of(column))) and context.kinds.get(column) not in ("empty", "id", "ids")


def _joined(*words: str) -> str:
    return "; ".join(word for word in words if word)


def _code(parts: Sequence[Part], context: Context) -> str:
    """The lines, steps that come together with their imports before them."""
    variable = context.variable
    blocks: list[str] = []
    steps: list[Step] = []
    for part in (*parts, ""):
        if isinstance(part, Step):
            steps.append(part)
            continue
        if steps:
            blocks.append(code_of(steps, variable, explained=True))
        if part:
            blocks.append(part.replace("{dataset}", variable).replace("{loss}", context.loss_variable or "loss"))
        steps = []
    return "\n".join(blocks)
