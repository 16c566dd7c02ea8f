"""What a check of a dataset reports."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from selective_st.errors import DataError
from selective_st.registry.checks.scan import Integers
from selective_st.registry.detection import DataFormat
from selective_st.registry.steps import Step

FIRST_ROWS = 5  # of those with something wrong are named
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with the data for a loss, or likely to be.

    Attributes:
        severity: `error` if training would stop, teach nothing, or teach something else; `warning` if it may.
        code: A name for what was found, which stays the same.
        message: What was found, with what it would lead to.
        column: The column it is about.
        rows: The numbers of the first rows that are concerned, counted from 0.
        count: How many rows are concerned.
        mend: Code that mends it, once the lines of the findings before it have run; it says what it leaves out. The
            data are called `dataset`, the loss `loss`, the model `model`, the training arguments `args`.
        dataset: The dataset's name in a dict of datasets.
        steps: The steps of that code; empty where it is more than steps that can be applied.
    """

    severity: Severity
    code: str
    message: str
    column: str | None = None
    rows: tuple[int, ...] = ()
    count: int | None = None
    mend: str = ""
    dataset: str | None = None
    steps: tuple[Step, ...] = field(default=(), compare=False)

    @property
    def rows_shown(self) -> str:
        """The rows as the message writes them: `(0, 2, 3, ...)`; empty where it names none."""
        return in_brackets(self.rows, self.count) if self.rows else ""

    def __str__(self) -> str:
        where = "" if self.dataset is None else f" in {self.dataset}"
        mend = "".join(f"\n    {line}" for line in self.mend.splitlines())
        return f"{self.severity} {self.code}{where}: {self.message}{mend}"


def in_brackets(rows: Iterable[int], count: int | None) -> str:
    """The numbers of the first rows, and whether there are more."""
    shown = [*map(str, itertools.islice(rows, FIRST_ROWS))]
    return f"({', '.join([*shown, *(['...'] if (count or 0) > len(shown) else [])])})"


def row_numbers(rows: Integers, count: int | None = None) -> str:
    """How many rows, and the first of them: `7 row(s) (0, 2, 3, 5, 8, ...)`."""
    count = len(rows) if count is None else count
    return f"{count:,} row(s) {in_brackets(rows, count)}"


@dataclass(frozen=True)
class CheckReport:
    """What the checks of a dataset found.

    Attributes:
        findings: The findings, in the order in which their mends work.
        not_checked: What could not be checked, and why.
        read: What was read of the data.
        loss: The loss, with those that wrap it.
        formats: The format of each dataset.
    """

    findings: tuple[Finding, ...]
    not_checked: tuple[str, ...]
    read: str
    loss: str
    formats: tuple[DataFormat, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What stops the training, or makes it learn something else."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What may be wrong."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether there are no errors."""
        return not self.errors

    def raise_for_errors(self) -> None:
        """Raise if there are errors.

        Raises:
            DataError: With all errors, what comes before them, and the code that mends them.
        """
        if self.errors:
            # A line works once those before it have run, also those of warnings.
            shown = self.findings[: self.findings.index(self.errors[-1]) + 1]
            raise DataError(f"The data do not suit {self.loss}.\n" + "\n".join(map(str, shown)))

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON.

        Returns:
            The findings, what was not checked, what was read, and the counts.
        """
        found = [{**vars(finding), "rows": list(finding.rows)} for finding in self.findings]
        for told in found:
            del told["steps"]
        counts = {"ok": self.ok, "errors": len(self.errors), "warnings": len(self.warnings), "findings": found}
        return {"loss": self.loss, **counts, "not_checked": list(self.not_checked), "read": self.read}

    def __str__(self) -> str:
        found = f"{len(self.errors)} error(s), {len(self.warnings)} warning(s)" if self.findings else "nothing to mend"
        unchecked = (f"not checked: {what}" for what in self.not_checked)
        return "\n".join([f"{self.loss}: {found}", *map(str, self.findings), *unchecked, f"read: {self.read}"])
