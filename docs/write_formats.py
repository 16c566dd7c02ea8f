"""Write what the pages say of formats and losses from the registry, the README's tables, and llms.txt.

Run with `make docs-formats`; a test checks that all are what this writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import write_signatures
import write_site

from selective_st.catalog import MODEL_TYPES, Row, Selective, loss_entry, rows
from selective_st.link_words import describe_link
from selective_st.links import (
    IdentityLink,
    Link,
    extreme_scores,
    high_scores,
    link_for_thresholds,
    low_scores,
    middle_scores,
    score_region,
)
from selective_st.registry import loss_table

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

_FORMATS_HEAD = """# Data formats, and the losses for them

Every row of the loss tables of Sentence Transformers 6, for its four kinds of models, with the selective loss for it,
or the reason why there is none. ★ marks what Sentence Transformers commonly recommends, † what it has deprecated. The
link and the settings are those that `suggest` and `create_loss` take; another link says that other scores matter.

`selective-st suggest FILE` finds the row that a file belongs to, `selective-st check FILE --loss NAME` looks for what
would go wrong. In Python `selective_st.registry` has `detect_format`, `suggest_losses`, `create_loss` and
`check_dataset`; `register_loss` adds a loss of your own. This page is written by `make docs-formats`.
"""

_WHICH_LOSS_HEAD = """# Which loss, which link

Two questions lead to a loss: what does a row of your data hold, and at which scores do you decide? `selective-st
suggest FILE` answers the first for a file of yours, with the code. This page is for a `SentenceTransformer`; for
rerankers, sparse and late-interaction models [the tables of formats](formats.md) have the same. It is written by `make
docs-formats`.

## From your data to the loss

Take the first loss of the row. The link and the settings are those that `suggest` prints; the card behind a name says
more.
"""

_LINKS_HEAD = """## From what you decide to the link

The link of `SelectivePointwiseLoss` and of every `calibration_link`; for the `weight_link` of `SelectiveOrderLoss` the
same presets say between which labels a confusion matters. In the losses that rank (lists, batches, pairs without
margins) keep the link of the table above: [why](losses.md#what-holds-for-all-of-them).

| you say | link | on the command line | in words |
|---|---|---|---|
"""

_CAVEATS_HEAD = """
## What to know before you choose

"""

_PAYS = """
## Does it pay?

[The README](../README.md) says when, and when not; [the study](study.md) has the tables. On your own data,
`selective-st train FILE --compare --seeds 5` trains the built-in losses beside it at equal work, and shows the paired
differences.
"""

# What one says, with the link for it, as it is written in Python and on the command line.
_WISHES: tuple[tuple[str, str, Link, str], ...] = (
    ("I decide at 0.85", "link_for_thresholds([0.85])", link_for_thresholds([0.85]), "`distill --threshold 0.85`"),
    ("the pairs of nearly the same meaning", "high_scores()", high_scores(), "`--focus high`"),
    ("what is surely different", "low_scores()", low_scores(), "`--focus low`"),
    ("both ends", "extreme_scores()", extreme_scores(), "`--focus extremes`"),
    ("the undecided in the middle", "middle_scores()", middle_scores(), "`--focus middle`"),
    ("scores from 0.6 to 0.8", "score_region(0.6, 0.8)", score_region(0.6, 0.8), "`--focus 0.6:0.8`"),
    ("all scores alike", "IdentityLink()", IdentityLink(), "a link's JSON"),
)


def formats_page() -> str:
    """The text of docs/formats.md."""
    parts = [_FORMATS_HEAD]
    for model_type in MODEL_TYPES:
        parts.append(f"## {model_type}\n\n{loss_table(model_type)}")
    return "\n".join(parts)


def which_loss_page() -> str:
    """The text of docs/which_loss.md."""
    lines = ["| a row holds | label | loss | instead of |", "|---|---|---|---|"]
    lines += [_choice(row) for row in rows(_OURS) if row.selective]
    named = dict.fromkeys(selective.loss for row in rows(_OURS) for selective in row.selective)
    told = [f"- {_card(name)}: {_good_for(name)}" for name in named]
    wishes = [f"| {wish} | `{code}` | {option} | {_in_words(link)} |" for wish, code, link, option in _WISHES]
    table = "\n".join(lines) + "\n\n"
    links = _LINKS_HEAD + "\n".join(wishes) + "\n"
    return f"{_WHICH_LOSS_HEAD}\n{table}{links}{_CAVEATS_HEAD}" + "\n".join(told) + f"\n{_PAYS}"


def _in_words(link: Link) -> str:
    return re.sub(r" \(`.*?`\)", "", describe_link(link)).removeprefix("The loss cares ").rstrip(".")


def _choice(row: Row) -> str:
    ours = "<br>".join(_with_settings(selective) for selective in row.selective)
    built_in = ", ".join(f"`{name}`" for name in row.losses if not loss_entry(name).deprecated)
    return f"| {row.inputs}{f' ({row.note})' if row.note else ''} | {row.labels} | {ours} | {built_in} |"


def _with_settings(selective: Selective) -> str:
    settings = [f"`{name}={value}`" for name, value in selective.arguments if name != "similarity_fct"]
    link = [] if selective.is_default else [f"`link={selective.link}`"]
    return ", ".join([_card(selective.loss), *link, *settings])


def _card(name: str) -> str:
    return f"[{name}](losses.md#{name.lower()})"


def _good_for(name: str) -> str:
    """What a loss is good for, and its caveats, in sentences."""
    entry = loss_entry(name)
    return " ".join([f"{entry.why}.", *entry.caveats])


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
    """The README with its tables as they are now.

    Args:
        text: The README.

    Returns:
        The same with the tables between the marks replaced.
    """
    return _with_table(_with_table(text, "losses", readme_losses()), "result", readme_result())


def _with_table(text: str, mark: str, table: str) -> str:
    """A text with a table between its marks."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{table}\n{end}", text, flags=re.DOTALL)


def skill(text: str) -> str:
    """The skill for coding agents, with the first loss for each format."""
    lines = ["| a row holds | label | loss |", "|---|---|---|"]
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
