"""`selective-st formats`, `selective-st suggest` and `selective-st check`."""

from __future__ import annotations

import contextlib
import gc
import json
import shlex
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from selective_st import catalog
from selective_st.catalog import DEFAULT_MODEL, MODEL_TYPES, TRAINABLE, ModelType, Trainable, check_model_type
from selective_st.cli import common
from selective_st.cli.options import DataOptions, FocusOptions, command, option, told_words

if TYPE_CHECKING:
    from rich.console import Console

    from selective_st.catalog import Row
    from selective_st.cli.reading import Source
    from selective_st.registry import CheckReport, Finding, Suggestion, Suggestions
    from selective_st.registry.steps import Step

AUTO = "auto"
_TEMPLATE = "suggestions.txt"
LOSS_NAMES = ", ".join(known.name for known in TRAINABLE)
_SHOWN = 3  # names of other losses
_SHOWN_NOTES = 2
_SCREEN = 15  # lines of an answer
_CODE_WIDTH = 76


@dataclass(frozen=True, kw_only=True)
class FormatsOptions:
    """What `formats` was asked to do, and what `suggest` and `check` are asked too.

    Attributes:
        as_json: Print JSON, for other programs.
    """

    model_type: ModelType = option(
        "SentenceTransformer", help=f"The type of model: {', '.join(MODEL_TYPES)}.", parse=check_model_type
    )
    as_json: bool = option(False, "--json")


@dataclass(frozen=True, kw_only=True)
class SuggestOptions(FocusOptions, FormatsOptions, DataOptions):
    """What `suggest` was asked to do.

    Attributes:
        every: Also show all other suitable losses, and how the data were read.
        script: Print a complete training script instead.
        model: The model that --script trains: a path or a hub name.
    """

    every: bool = option(False, "--all")
    script: bool = option(False, "--script")
    model: str = option(DEFAULT_MODEL)
    loss: str = option(
        AUTO, help=f"The loss that --script trains: the name of its class, or a name of `train` ({LOSS_NAMES}, {AUTO})."
    )


@dataclass(frozen=True, kw_only=True)
class CheckOptions(FormatsOptions, DataOptions):
    """What `check` was asked to do.

    Attributes:
        model: The model to train, for checks that need one: a path or a hub name.
        batch_size: Rows per step, to estimate the rate of false negatives in a random batch. Default: 32.
    """

    loss: str = option(
        MISSING,
        help="The loss: the name of its class, to check the data as they are; or a name of `train` "
        f"({LOSS_NAMES}, {AUTO}), to check them as `train` prepares them.",
    )
    model: str | None = option(None)
    batch_size: int | None = option(None, min=1)


@command(FormatsOptions)
def formats(options: FormatsOptions) -> None:
    """List all data formats, with the built-in and selective losses for each."""
    model_type = options.model_type
    found = catalog.rows(model_type)
    if options.as_json:
        print(json.dumps([_as_dict(row) for row in found], indent=2))
        return
    console = common.make_console()
    for section, title in catalog.SECTION_TITLES.items():
        part = [row for row in found if row.section == section]
        if part:
            console.rule(f"{model_type}: {title.lower()}", align="left")
        for row in part:
            _print_row(console, row)
    console.print("★ commonly recommended   † deprecated", style="dim")
    others = ", ".join(known for known in MODEL_TYPES if known != model_type)
    console.print(f"Other models: --model-type {others}. Your own data: selective-st suggest FILE", style="dim")


@command(SuggestOptions, "focus", "threshold", "every", "script", "model", "loss")
def suggest(options: SuggestOptions) -> None:
    """Detect the format of DATA, and suggest a loss, its code, and the next command."""
    if options.script and options.as_json:
        raise ValueError("--script prints a program, --json the suggestions as data: leave one of them out.")
    loss = _named_loss(options.loss, options.model_type)
    with _importing():
        from selective_st.cli.reading import after, read_source

        focus = options.told_focus()
    source = read_source(options)
    found = source.suggestions(focus, options.model_type)
    if options.script:
        chosen = _suggestion(source, found, loss)[0]
        chosen = replace(chosen, steps=(*source.steps, *chosen.steps))
        print(chosen.script(options.data, options.model, options.header, options.split), end="")
        return
    found = after(source.steps, found)
    following = _next_command(options, source, found)
    notes = [*_guesses(options, source), *filter(None, [source.conflicts]), *source.notes]
    if focus is not None:
        from selective_st.link_words import describe_thresholds

        notes.insert(0, f"{focus.name}: {describe_thresholds(focus.link)}")
    ways = {words: _again(options, **told) for words, told in source.ways()} | source.conversions(options)
    if options.as_json:
        print(json.dumps(found.as_dict() | {"notes": notes, "next": following, "ways": ways}, indent=2))
    else:
        console = common.make_console()
        script = _packed(found[0].code) if found else ""
        no_link = found[0].row.why_none if focus and found and not any(each.selective for each in found) else None
        facts = {"losses": [*found], "script": script, "no_link": no_link, "ways": ways, "following": following}
        text = common.text_of(_TEMPLATE, "answer", data=source.table.name, form=found.format, **facts)
        console.print(text, soft_wrap=True, highlight=False)
        if options.every:
            _print_all(console, found, notes)
        else:
            _print_rest(console, found, notes, _SCREEN - len(text.splitlines()) - 1, explains=focus is not None)
    if found.format.certainty == "unclear" and not found:
        raise typer.Exit(1)


@command(CheckOptions)
def check(options: CheckOptions) -> None:
    """Check whether DATA suits a loss. Exit status 1 if there are errors."""
    kind = options.model_type
    loss = _named_loss(options.loss, kind)
    with _importing():
        from selective_st.cli.reading import read_source
        from selective_st.registry import check_dataset
        from selective_st.registry.steps import code_of

    source = read_source(options)
    name, steps, notes = _laid_out(source, loss, kind)
    dataset = source.dataset
    for step in steps:
        dataset = step.apply(dataset)
    model = None if options.model is None else common.load_model("--model", options.model, kind)
    # `train` draws batches without duplicates; who asks for the rate of false negatives has random ones in mind.
    sampler = "no_duplicates" if steps and options.batch_size is None else None
    report = check_dataset(dataset, name, model=model, model_type=kind, batch_size=options.batch_size, sampler=sampler)
    if not steps:
        report = replace(report, findings=tuple(_in_file(source, each) for each in report.findings))
    if not any(row.label in common.CLASS_LABELS for row in catalog.rows_of(name, kind)):
        report = _refused(source, report)
    code = code_of((*source.steps, *steps))
    if options.as_json:
        print(json.dumps(report.as_dict() | {"notes": notes, "steps": code.splitlines()}, indent=2))
    else:
        console = common.make_console()
        common.print_notes(console, notes)
        if code:
            console.print("[bold]Checked after these steps:[/]")
            print_code(console, code)
        print_report(console, report)
    if report.errors:
        raise typer.Exit(1)


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """No search for garbage while libraries are imported: it would take half as long again."""
    gc.disable()
    common.be_quiet()
    try:
        yield
    finally:
        gc.enable()


def _named_loss(loss: str, model_type: ModelType) -> Trainable | str:
    """What `--loss` names: a loss as `train` calls it, a class, or what is best."""
    classes = [entry.name for entry in catalog.losses(model_type)]
    if loss in (AUTO, *classes):
        return loss
    of_train = {entry.name: entry for entry in TRAINABLE} if model_type == "SentenceTransformer" else {}
    if loss in of_train:
        return of_train[loss]
    others = [of for of in MODEL_TYPES if catalog.find_loss(loss, of)]
    if others:
        raise ValueError(f"--loss {loss} is a loss for {', '.join(others)}: add --model-type {others[0]}.")
    lists = f"`selective-st formats{'' if of_train else f' --model-type {model_type}'}` lists the classes"
    near = catalog.did_you_mean(loss, [*classes, *of_train, AUTO])
    allowed = ", ".join([*of_train, AUTO])
    raise ValueError(f"--loss {loss}: there is no such loss. {near}{lists}; also allowed: {allowed}.")


def _suggestion(source: Source, found: Suggestions, loss: Trainable | str) -> tuple[Suggestion, str]:
    """The loss that is named, or the one that comes first and why."""
    from selective_st.registry.choice import suggestion_of

    if loss == AUTO:
        return source.choice(found)
    return found.of(loss) if isinstance(loss, str) else suggestion_of(found, loss), ""


def _laid_out(source: Source, loss: Trainable | str, model_type: ModelType) -> tuple[str, tuple[Step, ...], list[str]]:
    """The class of a loss, what lays the data out for it as `train` does, and notes."""
    from selective_st.registry.choice import are_labelled_pairs

    notes = list(source.notes)
    if isinstance(loss, str) and loss != AUTO:
        return loss, (), notes
    found = source.suggestions(None, model_type)
    if isinstance(loss, Trainable) and not are_labelled_pairs(found):
        return loss.loss, (), notes
    chosen, why = _suggestion(source, found, loss)
    notes += [f"--loss {AUTO}: {chosen.loss}, as {why}"] if why else []
    if any(chosen is each for each in found):
        return chosen.loss, (), notes  # as they stand
    # `train` never guesses a scale; labels beyond the score's range are what the check is to find.
    return chosen.loss, tuple(step for step in chosen.steps if step.call != "scale_labels"), notes


def _refused(source: Source, report: CheckReport) -> CheckReport:
    """The report for a loss that is not for classes: labels that are no grades are not to be mapped to a scale."""
    from selective_st.registry import Finding

    if not source.not_similarity:
        return report
    mend = next((each.mend for each in report.findings if each.code == "label-classes"), "")
    said = Finding("error", "not-similarity", f"{source.not_similarity}.", source.format.label_column, mend=mend)
    others = (each for each in report.findings if each.code != "label-classes" and "scale_labels" not in each.mend)
    return replace(report, findings=(said, *others))


def _in_file(source: Source, finding: Finding) -> Finding:
    """A finding that names rows as people find them in the file."""
    if not finding.rows:
        return finding
    more = ", ..." if finding.count is not None and finding.count > len(finding.rows) else ""
    said = f"({source.table.rows_in_words(finding.rows)}{more})"
    if finding.rows_shown not in finding.message:
        return replace(finding, message=f"{finding.message} {said}")
    return replace(finding, message=finding.message.replace(finding.rows_shown, said, 1))


def print_code(console: Console, code: str) -> None:
    """Print lines of code."""
    for line in code.splitlines():
        console.print(Text(f"    {line}", style="cyan"), soft_wrap=True)


def print_report(console: Console, report: CheckReport) -> None:
    """Print what a check has found."""
    common.print_template(console, _TEMPLATE, "report", of=report)


def _as_dict(row: Row) -> dict[str, Any]:
    """A row for other programs, which know its model type and its origin."""
    told = {name: value for name, value in asdict(row).items() if name not in ("model_type", "origin")}
    ours = [{"loss": of.loss, "link": of.link, "arguments": dict(of.arguments)} for of in row.selective]
    return told | {"selective": ours}


def _print_row(console: Console, row: Row) -> None:
    # Names of losses are too long for columns of a table: a block a row reads well at any width.
    newer = "" if row.since == "6.0" else f" (from {row.since})"
    note = f" [dim]({escape(row.note)})[/]" if row.note else ""
    console.print(f"[bold cyan]{escape(row.inputs)}[/]{note}, labels: [cyan]{escape(row.labels)}[/]{newer}")
    old = [name for name in row.losses if catalog.loss_entry(name, row.model_type).deprecated]
    losses = [name + " ★" * (name in row.recommended) + " †" * (name in old) for name in row.losses]
    ours = ", ".join(selective.loss for selective in row.selective)
    found = f"[bold]{ours}[/]" if ours else f"none: {escape(row.why_none)}"
    text = f"[dim]built-in[/]   {', '.join(losses) or 'none'}\n[dim]selective[/]  {found}"
    console.print(Padding(text, (0, 0, 1, 2)), highlight=False)


def _next_command(options: SuggestOptions, source: Source, found: Suggestions) -> str:
    """The command that trains on these data."""
    form = source.format
    if form.certainty == "unclear" or not found:
        return ""
    from selective_st.registry.conversions import scale_of

    if source.is_for_train(found):
        (scale, _), columns = scale_of(form), None
        if len(form.columns) != 3 or form.label_column != form.trainer_label:
            columns = [*form.inputs, str(form.label_column)]
            if any("," in name for name in columns):
                columns = [str(source.dataset.column_names.index(name) + 1) for name in columns]
        guessed = {"columns": columns, "score_range": None if scale in ((0, 1), (-1, 1)) else scale}
        told = told_words(options, "focus", "threshold", **guessed)
        return shlex.join(["selective-st", "train", options.data, "--loss", AUTO, *told])
    options = replace(options, score_range=None) if source.not_similarity else options
    return f"{_again(options)} --script > train.py && python train.py"


def _again(options: SuggestOptions, **changes: Any) -> str:
    """The command of these options, with changes."""
    told = told_words(replace(options, **changes), "model_type", "focus", "threshold")
    return shlex.join(["selective-st", "suggest", options.data, *told])


def _guesses(options: DataOptions, source: Source) -> list[str]:
    """What is guessed of the labels, and the option that settles it."""
    from selective_st.registry.conversions import scale_of

    (scale, guessed), ends = scale_of(source.format), source.format.label_values
    graded = source.format.label in ("similarity", "scores") and options.score_range is None
    if not (graded and guessed) or scale is None or ends is None:
        return []
    guess = f"the scale from {scale[0]:g} to {scale[1]:g} is a guess"
    mend = "if it is another, give it with --score-range LOW,HIGH"
    return [f"the labels range from {ends[0]:g} to {ends[1]:g}; {guess}: {mend}"]


def _packed(code: str) -> str:
    """Code without comments, and with several arguments in a line."""
    lines: list[str] = []
    for line in code.splitlines():
        is_argument = line.startswith("    ") and bool(lines) and lines[-1].startswith("    ")
        if is_argument and len(lines[-1]) + len(line) < _CODE_WIDTH:
            lines[-1] += line[3:]
        elif not line.startswith("#"):
            lines.append(line)
    return "\n".join(lines)


def _print_rest(console: Console, found: Suggestions, notes: list[str], left: int, *, explains: bool) -> None:
    """What else there is to say, as far as there are lines left; first the note that explains a focus."""
    caveats = found[0].caveats if found else ()
    told = [*notes[:explains], *caveats, *found.format.doubts[::-1], *notes[explains:]]
    every = [f"· {note}" for note in told[:_SHOWN_NOTES]]
    suited = [each.loss for each in found]
    opened = dict.fromkeys(loss for each in found.conversions for loss in each.losses if loss not in suited)
    for words, names in {"Others": suited[1:], "After a conversion": [*opened]}.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        every += [f"{words}: {', '.join(names[:_SHOWN])}{more}"] if names else []
    for text in (*every[: max(left, 0)], "--all shows all suitable losses, and how the data were read"):
        console.print(escape(text), style="dim", soft_wrap=True, highlight=False)


def _print_all(console: Console, found: Suggestions, notes: list[str]) -> None:
    """Every loss and why, what opens more, and how the data were read."""
    having = {caveat: [of.loss for of in found if caveat in of.caveats] for each in found for caveat in each.caveats}
    shared = {caveat: ", ".join(losses) for caveat, losses in having.items() if len(losses) > 1}
    suited = {each.loss for each in found}
    opened = [(each, [loss for loss in each.losses if loss not in suited]) for each in found.conversions]
    facts = {"losses": [*found], "shared": shared, "conversions": [(each, losses) for each, losses in opened if losses]}
    console.print()
    common.print_template(console, _TEMPLATE, "rest", form=found.format, notes=notes, **facts)
