"""Write docs/formats.md, and the table of losses in the README, from the registry.

Run with `make docs-formats`; a test checks that both are what this writes.
"""

from __future__ import annotations

import re
from pathlib import Path

from selective_st.registry.catalog import MODEL_TYPES, loss_entry, loss_table, rows

HERE = Path(__file__).parent
FORMATS = HERE / "formats.md"
README = HERE.parent / "README.md"
_BEGIN, _END = "<!-- formats: begin -->", "<!-- formats: end -->"

_HEAD = """# Data formats, and the losses for them

Every row of the loss tables of Sentence Transformers 6, for its four kinds of models, with the selective loss for it,
or the reason why there is none. ★ marks what Sentence Transformers commonly recommends, † what it has deprecated. The
link and the settings are those that `suggest` and `create_loss` take; another link says that other scores matter.

`selective-st suggest FILE` finds the row that a file belongs to, `selective-st check FILE --loss NAME` looks for what
would go wrong. In Python `selective_st.registry` has `detect_format`, `suggest_losses`, `create_loss` and
`check_dataset`; `register_loss` adds a loss of your own. This page is written by `make docs-formats`.
"""


def formats_page() -> str:
    """The text of docs/formats.md."""
    parts = [_HEAD]
    for model_type in MODEL_TYPES:
        parts.append(f"## {model_type}\n\n{loss_table(model_type)}")
    return "\n".join(parts)


def readme_table() -> str:
    """The README's table: the formats for which there is a selective loss."""
    lines = ["| data | labels | selective loss | built-in losses |", "|---|---|---|---|"]
    for row in rows("SentenceTransformer"):
        if row.selective:
            ours = "<br>".join(dict.fromkeys(f"`{selective.loss}`" for selective in row.selective))
            current = [name for name in row.losses if not loss_entry(name).deprecated]
            built_in = "<br>".join(f"`{name}`{' ★' if name in row.recommended else ''}" for name in current)
            lines.append(f"| `{row.inputs}` | `{row.labels}` | {ours} | {built_in or 'none'} |")
    return "\n".join(lines)


def readme(text: str) -> str:
    """The README with the table as it is now.

    Args:
        text: The README.

    Returns:
        The same with the table between the marks replaced.
    """
    block = f"{_BEGIN}\n{readme_table()}\n{_END}"
    return re.sub(f"{_BEGIN}.*?{_END}", lambda _: block, text, flags=re.DOTALL)


def main() -> None:
    """Write both."""
    FORMATS.write_text(formats_page(), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
