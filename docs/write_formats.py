"""Write what the pages say of formats and losses from the registry, the README's tables, and llms.txt.

Run with `make docs-formats`; a test checks that all are what this writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import write_signatures
import write_site

from selective_st.catalog import MODEL_TYPES, loss_entry, losses, rows
from selective_st.link_words import describe_link
from selective_st.registry import loss_table
from selective_st.registry.code import Expression

HERE = Path(__file__).parent
FORMATS, WHICH_LOSS, ENCODER = HERE / "formats.md", HERE / "which_loss.md", HERE / "encoder.md"
README, LLMS = HERE.parent / "README.md", HERE.parent / "llms.txt"
SKILL = HERE.parent / "skills" / "selective-losses" / "SKILL.md"
_OURS = "SentenceTransformer"
_SHOWN = ("SelectiveOrderLoss", "SelectivePointwiseLoss", "CoSENTLoss", "AnglELoss", "CosineSimilarityLoss")
_RESULT_COLUMNS = {
    "test AP": "AP, STS-B test ↑",
    "sts12-14 AP": "AP, STS 2012-14 ↑",
    "test Spearman": "Spearman ↑",
    "test RMSE": "RMSE at the top ↓",
}

# What one says, with the link for it, as it is written in Python and on the command line.
_WISHES = (
    ("I decide at 0.85", "link_for_thresholds([0.85])", "`distill --threshold 0.85`"),
    ("pairs of nearly the same meaning", "high_scores()", "`--focus high`"),
    ("pairs that are clearly different", "low_scores()", "`--focus low`"),
    ("both ends", "extreme_scores()", "`--focus extremes`"),
    ("undecided pairs in the middle", "middle_scores()", "`--focus middle`"),
    ("scores from 0.6 to 0.8", "score_region(0.6, 0.8)", "`--focus 0.6:0.8`"),
    ("all scores equally", "IdentityLink()", "a link as JSON"),
)


def formats_page() -> str:
    """The text of docs/formats.md."""
    return write_site.filled("formats.md", model_types=MODEL_TYPES, loss_table=loss_table)


def which_loss_page() -> str:
    """The text of docs/which_loss.md."""
    shown = [row for row in rows(_OURS) if row.selective]
    named = dict.fromkeys(selective.loss for row in shown for selective in row.selective)
    return write_site.filled(
        "which_loss.md",
        rows=shown,
        deprecated={entry.name for entry in losses(_OURS) if entry.deprecated},
        wishes=[(wish, f"`{code}`", option, _in_words(code)) for wish, code, option in _WISHES],
        entries=[loss_entry(name) for name in named],
    )


def _in_words(code: str) -> str:
    link = Expression(code).value({})
    return re.sub(r" \(`.*?`\)", "", describe_link(link)).removeprefix("The loss cares ").rstrip(".")


def readme_losses() -> str:
    """The README's table of losses."""
    lines = ["| loss | what it does | in place of |", "|---|---|---|"]
    counterparts = write_signatures.COUNTERPARTS["sentence_transformer"]
    for name in (*counterparts, "WeightedLoss"):
        built_in = ", ".join(f"`{other}`" for other in counterparts.get(name, ()))
        lines.append(f"| [`{name}`](docs/losses.md#{name.lower()}) | {loss_entry(name).why} | {built_in} |")
    return "\n".join(lines)


def readme_result() -> str:
    """The README's table of results: of docs/encoder.md what was measured of each loss of a library."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in ENCODER.read_text("utf-8").splitlines()]
    head = next(row for row in rows if row[0] == "loss")
    places = [head.index(column) for column in _RESULT_COLUMNS]
    table = [["loss", *_RESULT_COLUMNS.values()], ["---"] * (1 + len(places))]
    for name in _SHOWN:
        row = next(row for row in rows if row[0] == name and len(row) == len(head))
        table.append([f"`{name}`", *(row[place] for place in places)])
    return "\n".join("| " + " | ".join(row) + " |" for row in table)


def readme(text: str) -> str:
    """The README with its tables as they are now."""
    return _with_table(_with_table(text, "losses", readme_losses()), "result", readme_result())


def _with_table(text: str, mark: str, table: str) -> str:
    """A text with a table between its marks."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{table}\n{end}", text, flags=re.DOTALL)


def skill(text: str) -> str:
    """The skill for coding agents, with the first loss for each format."""
    lines = ["| a row contains | label | loss |", "|---|---|---|"]
    for row in rows(_OURS):
        if row.selective:
            first = row.selective[0]
            link = [] if first.is_default else [f"link={first.link}"]
            settings = ", ".join(["model", *link, *(f"{name}={value}" for name, value in first.arguments)])
            lines.append(f"| {row.inputs} | {row.labels} | `{first.loss}({settings})` |")
    return _with_table(text, "choices", "\n".join(lines))


def llms() -> str:
    """The text of llms.txt: the pages, with the sentence that each begins with."""
    start = README.read_text(encoding="utf-8")
    lines = [f"# {write_site.title(start)}", "", f"> {write_site.first_sentence(start)}"]
    for part, paths in write_site.sources().items():
        lines += ["", f"## {part}", ""] if paths else []
        for path in paths:
            text = (HERE.parent / path).read_text(encoding="utf-8")
            lines.append(f"- [{write_site.title(text)}]({path}): {write_site.first_sentence(text)}")
    return "\n".join(lines) + "\n"


FILES: dict[Path, Callable[[], str]] = {
    FORMATS: formats_page,
    WHICH_LOSS: which_loss_page,
    README: lambda: readme(README.read_text(encoding="utf-8")),
    LLMS: llms,
    SKILL: lambda: skill(SKILL.read_text(encoding="utf-8")),
}

if __name__ == "__main__":
    for file, text_of in FILES.items():
        file.write_text(text_of(), encoding="utf-8")
