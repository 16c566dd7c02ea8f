"""The tables of formats and losses, for people."""

from __future__ import annotations

from selective_st.catalog._kinds import ModelType, Row, Section, Selective
from selective_st.catalog._lookup import check_model_type, loss_entry, rows

SECTION_TITLES: dict[Section, str] = {
    "main": "Losses",
    "modifier": "Loss modifiers",
    "regularization": "Regularization",
    "distillation": "Distillation",
}


def loss_table(model_type: ModelType = "SentenceTransformer") -> str:
    """The tables of formats and losses, in Markdown.

    Args:
        model_type: Of which models.

    Returns:
        A heading and a table for each section. Commonly recommended losses are marked with a star, deprecated ones with
        a dagger, and what is newer than 6.0 with its release.

    Raises:
        ValueError: If there is no such model type.

    Example:
        >>> print(loss_table("MultiVectorEncoder").splitlines()[0])
        ### Losses
    """
    model_type = check_model_type("loss_table", model_type)
    blocks = []
    for section, title in SECTION_TITLES.items():
        found = [row for row in rows(model_type) if row.section == section]
        if found:
            blocks.append("\n".join([f"### {title}", "", *_table_lines(found)]))
    return "\n\n".join(blocks) + "\n"


def _table_lines(found: list[Row]) -> list[str]:
    with_outputs = any(row.outputs for row in found)
    headings = [
        "inputs",
        "labels",
        *(["output labels"] if with_outputs else []),
        "losses",
        "selective loss, link, settings",
    ]
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for row in found:
        note = f" ({row.note})" if row.note else ""
        cells = [f"`{row.inputs}`{note}{_newer(row.since)}", f"`{row.labels}`"]
        cells += [f"`{row.outputs}`"] if with_outputs else []
        cells.append("<br>".join(_loss_cell(row, name) for name in row.losses) or "none")
        cells.append("<br>".join(_selective_cell(selective) for selective in row.selective) or f"none: {row.why_none}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _loss_cell(row: Row, name: str) -> str:
    entry = loss_entry(name, row.model_type)
    return f"`{name}`{' ★' if name in row.recommended else ''}{' †' if entry.deprecated else ''}{_newer(entry.since)}"


_NOT_IN_TABLE = ("similarity_fct", "targets")  # which follow from the row


def _selective_cell(selective: Selective) -> str:
    settings = "".join(f", `{name}={code}`" for name, code in selective.arguments if name not in _NOT_IN_TABLE)
    return f"`{selective.loss}`, `{selective.link}`{settings}"


def _newer(since: str) -> str:
    return "" if since == "6.0" else f" (from {since})"
