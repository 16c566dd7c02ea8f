"""`selective-st formats`, `selective-st suggest` and `selective-st check`."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich import box
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from selective_st.cli.common import FOCUS_HELP, Errors, HeaderOption, be_quiet, load_model, make_console, print_notes
from selective_st.registry.catalog import DEFAULT_MODEL, MODEL_TYPES, SECTION_TITLES, check_model_type, loss_entry, rows

if TYPE_CHECKING:
    from rich.console import Console

    from selective_st.registry.catalog import Row
    from selective_st.registry.checks import CheckReport
    from selective_st.registry.detection import DataFormat
    from selective_st.registry.suggestion import Suggestions

_SHOWN = 8  # suggestions, unless all are asked for
_NAMED = 3  # losses that a conversion opens, by name
_STYLES = {"error": "bold red", "warning": "yellow"}

_DATA_HELP = "A .csv, .tsv, .jsonl or .parquet file, or the name of a dataset on the Hugging Face hub."
_MODEL_TYPE_HELP = f"For which models: {', '.join(MODEL_TYPES)}."
_JSON_HELP = "Print JSON, for other programs."

_Data = Annotated[str, typer.Argument(help=_DATA_HELP)]
_ModelType = Annotated[str, typer.Option(help=_MODEL_TYPE_HELP)]
_Json = Annotated[bool, typer.Option("--json", help=_JSON_HELP)]


def formats(model_type: _ModelType = "SentenceTransformer", as_json: _Json = False) -> None:
    """List every data format with the losses for it, built-in and selective."""
    with Errors():
        found = rows(check_model_type("--model-type", model_type))
        if as_json:
            print(json.dumps([_row_as_dict(row) for row in found], indent=2))
            return
        console = make_console()
        for section, title in SECTION_TITLES.items():
            part = [row for row in found if row.section == section]
            if part:
                console.rule(f"{model_type}: {title.lower()}", align="left")
                _print_rows(console, part)
        console.print("★ commonly recommended   † deprecated", style="dim")
        others = ", ".join(known for known in MODEL_TYPES if known != model_type)
        console.print(f"Other models: --model-type {others}. Your own data: selective-st suggest FILE", style="dim")


def suggest(
    data: _Data,
    model_type: _ModelType = "SentenceTransformer",
    focus: Annotated[
        Optional[str],  # noqa: UP045  (typer reads the annotation at run time, also on Python 3.10)
        typer.Option(help=FOCUS_HELP),
    ] = None,
    header: HeaderOption = None,
    model: Annotated[str, typer.Option(help="The model that --script trains: a path or a hub name.")] = DEFAULT_MODEL,
    every: Annotated[bool, typer.Option("--all", help="Show every suitable loss.")] = False,
    script: Annotated[
        bool, typer.Option("--script", help="Print only a complete training script for the best loss.")
    ] = False,
    loss: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="The loss that --script trains. Default: the first suggestion."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Say what format DATA has, which losses suit it, and how to go on."""
    with Errors():
        kind = check_model_type("--model-type", model_type)
        be_quiet()
        from selective_st.data import read_table_with_notes
        from selective_st.registry import Suggestions, suggest_losses

        dataset, notes = read_table_with_notes(data, header=header)
        found = suggest_losses(dataset, focus=focus, model_type=kind)
        assert isinstance(found, Suggestions)  # one table has one format
        command = _next_command(data, found, focus, header)
        if script:
            print(found.of(loss).script(data, model, header), end="")
        elif as_json:
            print(json.dumps(found.as_dict() | {"notes": notes, "next": command}, indent=2))
        else:
            _print_suggestions(found, notes, focus, command, every=every)
        if found.format.certainty == "unclear" and not found:
            raise typer.Exit(1)


def check(
    data: _Data,
    loss: Annotated[str, typer.Option(help="The name of a loss's class, or of a --loss of `selective-st train`.")],
    model_type: _ModelType = "SentenceTransformer",
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="The model to train, for the checks that need one: a path or a hub name."),
    ] = None,
    batch_size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Rows in a step, for the rate of false negatives in a batch. Default: 32."),
    ] = None,
    header: HeaderOption = None,
    as_json: _Json = False,
) -> None:
    """Check whether DATA is right for a loss, as it stands. Exit status 1 if there are errors."""
    with Errors():
        kind = check_model_type("--model-type", model_type)
        be_quiet()
        from selective_st.data import read_table_with_notes
        from selective_st.registry import check_dataset

        dataset, notes = read_table_with_notes(data, header=header)
        loaded = None if model is None else load_model("--model", model, model_type)
        report = check_dataset(dataset, _class_name(loss), model=loaded, model_type=kind, batch_size=batch_size)
        if as_json:
            print(json.dumps(report.as_dict() | {"notes": notes}, indent=2))
        else:
            console = make_console()
            print_notes(console, notes)
            print_report(console, report)
        if report.errors:
            raise typer.Exit(1)


def _print_code(console: Console, code: str) -> None:
    for line in code.splitlines():
        console.print(Text(f"    {line}", style="cyan"), soft_wrap=True)


def print_report(console: Console, report: CheckReport) -> None:
    """Print what a check has found.

    Args:
        console: Where to.
        report: What was found.
    """
    for finding in report.findings:
        style = _STYLES[finding.severity]
        console.print(
            f"[{style}]{finding.severity}[/] {escape(finding.message)} [dim]({finding.code})[/]", soft_wrap=True
        )
        if finding.mend:
            _print_code(console, finding.mend)
    for text in report.not_checked:
        console.print(f"[dim]not checked: {escape(text)}[/]", soft_wrap=True)
    errors, warnings = len(report.errors), len(report.warnings)
    verdict = f"{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
    console.print(f"{report.loss}: {verdict}; read {report.read}.", style="red" if errors else "green", soft_wrap=True)


def _class_name(loss: str) -> str:
    """The class of a loss that may be named as `selective-st train` does."""
    if loss.endswith("Loss"):
        return loss
    from selective_st.training import loss_kind

    return loss_kind(loss).selective


def _row_as_dict(row: Row) -> dict[str, Any]:
    return {
        "section": row.section,
        "inputs": row.inputs,
        "labels": row.labels,
        "shape": row.shape,
        "label": row.label,
        "losses": list(row.losses),
        "recommended": list(row.recommended),
        "selective": [
            {"loss": found.loss, "link": found.link, "arguments": dict(found.arguments)} for found in row.selective
        ],
        "why_none": row.why_none,
        "outputs": row.outputs,
        "note": row.note,
        "since": row.since,
    }


def _print_rows(console: Console, found: list[Row]) -> None:
    # Names of losses are too long for columns of a table: a block a row reads well at any width.
    for row in found:
        newer = "" if row.since == "6.0" else f" (from {row.since})"
        note = f" [dim]({escape(row.note)})[/]" if row.note else ""
        console.print(f"[bold cyan]{escape(row.inputs)}[/]{note}, labels: [cyan]{escape(row.labels)}[/]{newer}")
        losses = [
            name
            + (" ★" if name in row.recommended else "")
            + (" †" if loss_entry(name, row.model_type).deprecated else "")
            for name in row.losses
        ]
        ours = ", ".join(selective.loss for selective in row.selective)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, style="dim")
        grid.add_column()
        grid.add_row("built-in", ", ".join(losses) or "none")
        grid.add_row("selective", f"[bold]{ours}[/]" if ours else f"none: {escape(row.why_none)}")
        console.print(Padding(grid, (0, 0, 1, 2)))


def _next_command(data: str, found: Suggestions, focus: str | None, header: bool | None) -> str:
    """The command that trains on these data."""
    form = found.format
    if form.certainty == "unclear" or not found:
        return ""
    more = "" if header is None else f" --{'' if header else 'no-'}header"
    more += f" --focus {shlex.quote(focus)}" if focus else ""
    kinds = {column.name: column.kind for column in form.columns}
    is_number = kinds.get(str(form.label_column)) in ("integer", "float")
    if (form.shape, found.model_type) == ("pair", "SentenceTransformer") and is_number and form.label != "class":
        words = ["selective-st", "train", shlex.quote(data), "--loss", "auto"]
        scale = form.label_scale
        if scale is None and form.label_values is not None:
            low, high = form.label_values  # the best guess; whoever knows better says so
            scale = (min(0, math.floor(low)), max(1, math.ceil(high)))
        if scale not in (None, (0, 1), (-1, 1)):
            words += ["--score-range", "{:g},{:g}".format(*scale)]
        if len(form.columns) != 3 or form.label_column != form.trainer_label:
            names = [*form.inputs, str(form.label_column)]
            if any("," in name for name in names):
                places = [column.name for column in form.columns]
                names = [str(places.index(name) + 1) for name in names]
            words += ["--columns", shlex.quote(",".join(names))]
        return " ".join(words) + more
    option = "" if found.model_type == "SentenceTransformer" else f" --model-type {found.model_type}"
    return f"selective-st suggest {shlex.quote(data)}{option}{more} --script > train.py && python train.py"


def _print_suggestions(found: Suggestions, notes: list[str], focus: str | None, command: str, *, every: bool) -> None:
    console = make_console()
    print_notes(console, notes)
    _print_format(console, found.format)
    if found:
        _print_losses(console, found, every=every)
        if focus and not any(suggestion.selective for suggestion in found):
            console.print(
                f"[yellow]Note:[/] --focus needs a selective loss, and there is none for these data "
                f"({escape(found[0].row.why_none)}).",
                soft_wrap=True,
            )
    shown = {suggestion.loss for suggestion in found}
    for conversion in found.conversions:
        opened = [loss for loss in conversion.losses if loss not in shown]
        if opened:
            more = f" and {len(opened) - _NAMED} more" if len(opened) > _NAMED else ""
            console.print(
                f"\n[bold]For {', '.join(opened[:_NAMED])}{more}[/]: {escape(conversion.why)}", soft_wrap=True
            )
            _print_code(console, conversion.code)
    if command:
        console.print("\n[bold]Next:[/]")
        console.print(f"    {command}", markup=False, soft_wrap=True, highlight=False)


def _print_format(console: Console, form: DataFormat) -> None:
    console.print(f"\n[bold]{escape(Path(form.name).name) if form.name else 'Format'}[/]: {escape(str(form))}")


def _print_losses(console: Console, found: Suggestions, *, every: bool) -> None:
    table = Table(title="Losses", box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("loss", "link", "why"):
        table.add_column(heading, overflow="fold")
    shown = list(found) if every else list(found)[:_SHOWN]
    shared = Counter(caveat for suggestion in shown for caveat in suggestion.caveats)
    for suggestion in shown:
        star = " ★" if suggestion.recommended else ""
        why = Text(suggestion.why)
        for caveat in suggestion.caveats:
            if shared[caveat] == 1:
                why.append(f"\n{caveat}", style="dim")
        table.add_row(
            Text(suggestion.loss + star, style="bold" if suggestion.selective else ""), Text(suggestion.link), why
        )
    console.print(table)
    for caveat, number in shared.items():
        if number > 1:
            of = [suggestion.loss for suggestion in shown if caveat in suggestion.caveats]
            names = "all" if number == len(shown) else ", ".join(of)
            console.print(Text(f"For {names}: {caveat}", style="dim"), soft_wrap=True)
    if len(found) > len(shown):
        console.print(f"and {len(found) - len(shown)} more with --all", style="dim")
    console.print(f"[bold]Code[/] for {found[0].loss}:")
    _print_code(console, found[0].code)
