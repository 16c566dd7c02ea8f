"""`selective-st evaluate` and `selective-st plot`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from selective_st.cli import common
from selective_st.cli.options import PairOptions, argument, command, numbers, option, two_numbers
from selective_st.output import Output, is_picture_of

_PICTURES = (".png", ".svg", ".pdf")
_TARGETS = (0.2, 0.9)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(PairOptions):
    """What `evaluate` was asked to do.

    Attributes:
        model: A model of any type: a path, or a name on the Hugging Face hub.
        data: Sentence pairs with a label: a .csv, .tsv, .jsonl or .parquet file, or the name of a dataset on the
            Hugging Face hub.
        against: Another model to compare with, such as the one before training.
        validation_data: Other pairs to choose each model's threshold on. Default: use the threshold stored with the
            model, if there is one.
        threshold_metric: What that threshold maximises: f1, f0.5 (favours precision) or f2 (favours recall).
        by: A column of DATA, such as a source or language: check whether one threshold suits all of its values.
        output: The folder to write: the report, the metrics and the pictures.
        as_json: Print the metrics as JSON, for other programs.
        split: The split of a hub dataset to use. Default: its test split, if it has one.
        check: Reject labels that do not say how similar the texts are, such as classes; --no-check treats them as
            grades.
    """

    model: str = argument()
    data: str = argument()
    against: str | None = option(None)
    validation_data: str | None = option(None)
    threshold_metric: str = option("f1")
    by: str | None = option(None, metavar="COLUMN")
    output: Path = option(Path("evaluation"))
    as_json: bool = option(False, "--json")
    split: str | None = option(None)
    check: bool = option(True, "--check/--no-check")


@dataclass(frozen=True, kw_only=True)
class PlotOptions:
    """What `plot` was asked to do.

    Attributes:
        focus: Which scores matter: high, low, extremes, middle, a region LOW:HIGH, or a link as JSON. Repeat the option
            to compare several. Default: high.
        threshold: Also draw the link for decisions at this score; with --interactive the page begins with it. Repeat
            the option for several thresholds.
        interactive: Write a page for the browser instead: change the link there, see its effect on your own scores, and
            copy the code.
        score_range: The scale of the labels, which is mapped to 0 to 1.
        targets: Labels to draw the loss around, on their own scale. Default: at 20 % and 90 % of it.
        overwrite: Replace an earlier picture or page of this command.
    """

    focus: list[str] | None = option(None)
    threshold: list[float] | None = option(None)
    output: Path | None = option(None, help=f"The picture to write: {', '.join(_PICTURES)}. Default: links.png.")
    interactive: Path | None = option(None, metavar="FILE.html")
    score_range: tuple[float, float] = option("0,1", parse=two_numbers, metavar="LOW,HIGH")
    targets: str | None = option(None, metavar="LABEL,...")
    overwrite: bool = option(False, "--overwrite")


@command(EvaluateOptions, "model", "data", "focus", "threshold", "score_range", "columns", "output")
def evaluate(job: EvaluateOptions) -> None:
    """Evaluate MODEL on the labelled pairs in DATA, above all at the scores that matter, and write a report.

    Writes report.html (a single file for the browser), metrics.json and the pictures, and prints a table.
    """
    reads = {
        "the model": job.model,
        "--against": job.against,
        "the data": job.data,
        "--validation-data": job.validation_data,
    }
    with Output(job.output, "evaluate", reads, overwrite=job.overwrite) as output:
        common.be_quiet()
        # With --json, standard output holds the JSON and nothing else.
        console = Console(stderr=True) if job.as_json else common.make_console()
        with console.status("Loading libraries ..."):
            from selective_st.cli.evaluating import evaluate_into
        evaluate_into(output, job, console)


@command(PlotOptions)
def plot(options: PlotOptions) -> None:
    """Draw links: their values, their sensitivities, and the loss around some targets.

    With --interactive, write a page for the browser instead, which shows all of this while you change the link.
    """
    (low, high), targets = options.score_range, options.targets
    usual = [low + share * (high - low) for share in _TARGETS]
    around = usual if targets is None else numbers(targets)
    if not around or not all(low <= target <= high for target in around):
        raise ValueError(
            f"--targets takes comma-separated labels within --score-range, {low:g} to {high:g}, such as "
            f"{','.join(f'{label:g}' for label in usual)}; got {targets!r}."
        )
    scores = [(target - low) / (high - low) for target in around]
    path = options.interactive or options.output or Path("links.png")
    named, what, endings, maker, write = _PICTURE if options.interactive is None else _PAGE
    if path.suffix.lower() not in endings:
        raise ValueError(f"{named} {path}: the name must end in {', '.join(endings)}, such as links{endings[0]}.")
    recognise = partial(is_picture_of, maker=maker)
    with Output(path, "plot", overwrite=options.overwrite, recognise=recognise, option=named) as place:
        write(options, place.new, scores)
        place.publish()
    common.print_written(common.make_console(), what, place.given)


def _draw_links(options: PlotOptions, new: Path, targets: list[float]) -> None:
    try:
        from selective_st.plotting import plot_links
    except ImportError as error:
        raise ValueError(str(error)) from None
    from selective_st.focus import parse_focus, threshold_focus

    links = {text: parse_focus(text).link for text in options.focus or ([] if options.threshold else ["high"])}
    named = {repr(link) if text.lstrip().startswith("{") else text.strip(): link for text, link in links.items()}
    if options.threshold:
        at_thresholds = threshold_focus(options.threshold)
        named[at_thresholds.meaning] = at_thresholds.link
    plot_links(named, new, targets=targets, label_range=options.score_range)


def _write_designer(options: PlotOptions, new: Path, targets: list[float]) -> None:
    from selective_st.focus import read_focus
    from selective_st.link_designer import link_designer

    if options.output is not None:
        raise ValueError("--interactive writes a page, --output a picture: leave one of them out.")
    if options.focus and len(options.focus) > 1:
        raise ValueError(f"--interactive: the page starts with one link, got {len(options.focus)} --focus. Give one.")
    focus = read_focus(options.focus[0] if options.focus else None, options.threshold)
    new.write_text(link_designer(focus, targets, options.score_range), encoding="utf-8")


# How the user names it, what it is, how its name may end, what makes it, and what writes it.
_PICTURE = "--output", "picture", _PICTURES, "plot_links", _draw_links
_PAGE = "--interactive", "page", (".html",), "link_designer", _write_designer
