"""What a training came to, in words and tables: the console and the card of `selective-st train` say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from selective_st._templates import say
from selective_st.data import GradedPairs
from selective_st.evaluation import ScoreRegionEvaluator
from selective_st.evaluation.claims import NOT_DEFINED, Support, about_labels, against_untrained, figure, sentence
from selective_st.evaluation.comparison import compare_on, metric_meaning
from selective_st.evaluation.overlap import HOW, overlap
from selective_st.evaluation.scoring import Encoding, embeds_queries_apart, note_on_roles
from selective_st.focus import Focus
from selective_st.model_card import add_to_saved_card

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from selective_st.training import Report, Settings, Task

# Rows of the first are looked for in the second.
_OVERLAPS = (("test", "train"), ("eval", "train"), ("test", "eval"))
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


# --- Before the training ----------------------------------------------------------------------------------------------


def overlaps(splits: dict[str, GradedPairs]) -> tuple[dict[str, dict[str, float]], list[str]]:
    """How much the splits hold of each other.

    Args:
        splits: The train, eval and test split, by these names.

    Returns:
        The counts for JSON, by names such as `test_in_train`, and a sentence for each.
    """
    found, sentences = {}, []
    for these, others in _OVERLAPS:
        texts = [(splits[name].sentences1, splits[name].sentences2) for name in (these, others)]
        measured = overlap(*texts)
        found[f"{these}_in_{others}"] = measured.as_dict()
        sentences.append(measured.sentence(f"the {these} split", f"the {others} split"))
    return found, [*sentences[:-1], f"{sentences[-1]} ({HOW})"]


def notes_on_splits(evaluators: dict[str, ScoreRegionEvaluator], focus: Focus) -> list[str]:
    """What the eval and test split alone forbid to conclude.

    Args:
        evaluators: Those of the splits.
        focus: What chooses learning rates and seeds.

    Returns:
        The sentences, without a full stop.
    """
    notes = [note for name, it in evaluators.items() for note in about_labels(f"the {name} split", it.scores)]
    support = evaluators["eval"].support()[focus.main_metric]
    if support.too_few:
        notes.append(
            f"{metric_meaning(focus.main_metric).title} rests on {support} of the eval split: too few to choose a "
            "learning rate by; a larger file with --eval-data would serve better"
        )
    return notes


def roles(model: Any, train: GradedPairs, as_queries: bool | None) -> tuple[bool, list[str]]:
    """Whether a model shall embed first texts as queries, and what to say of it.

    Args:
        model: The model.
        train: The pairs.
        as_queries: What was told.

    Returns:
        Whether it shall, and the notes.
    """
    told = train.first_are_queries() if as_queries is None else as_queries
    encoding = Encoding(told)
    options = ("--as-queries", "--no-as-queries")
    if as_queries is None and told is not None and train.columns is not None and embeds_queries_apart(model):
        note = say("embedded", told=told, columns=train.columns, options=options)
    else:
        note = note_on_roles(encoding, model, train.sentences1, options)
    return encoding.roles_of(model, train.sentences1), [note] if note else []


def arguments_of_roles(model: SentenceTransformer, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Arguments of a trainer with which a model embeds the first text column as queries, the others as documents.

    Args:
        model: The model.
        columns: The text columns.

    Returns:
        The arguments `prompts` and `router_mapping`, as far as the model needs them.
    """
    document = next((model.prompts[name] for name in _DOCUMENT_PROMPTS if model.prompts.get(name)), "")
    prompts = dict(zip(columns, [model.prompts.get("query") or "", *[document] * (len(columns) - 1)], strict=True))
    routes = dict(zip(columns, ["query", *["document"] * (len(columns) - 1)], strict=True))
    found = {"prompts": {column: prompt for column, prompt in prompts.items() if prompt}, "router_mapping": routes}
    return {name: value for name, value in found.items() if value}


# --- After it ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """The table of a training's results.

    Attributes:
        heads: The headings of the columns.
        losses: The untrained model and each loss, the selective one first.
        differences: The selective loss less each other one.
    """

    heads: list[str]
    losses: list[list[str]]
    differences: list[list[str]]


def results(report: Report, focus: Focus) -> Results:
    """The table of a training's results on the test split.

    Args:
        report: What came out.
        focus: Which metrics are shown.

    Returns:
        The table.
    """
    metrics = focus.shown_metrics
    support = {metric: report.support[metric] for metric in metrics}
    others = [loss for loss in report.chosen_rates if loss != report.selective]
    rows = [["rests on", *map(str, support.values())]]
    rows.append(["untrained", *(figure(report.untrained[metric], support[metric]) for metric in metrics)])
    for loss, rate in report.chosen_rates.items():
        rows.append([f"{loss} ({rate:g})", *(_cell(report.mean(loss, metric), support[metric]) for metric in metrics)])
    differences = [
        [
            f"selective - {loss}",
            *(_cell(report.difference(loss, metric), support[metric], signed=True) for metric in metrics),
        ]
        for loss in others
    ]
    return Results(["loss (learning rate)", *(metric_meaning(metric).heading for metric in metrics)], rows, differences)


def _cell(mean_and_half_width: tuple[float, float], support: Support, *, signed: bool = False) -> str:
    mean, half_width = mean_and_half_width
    text = figure(mean, support, signed=signed)
    if math.isnan(half_width) or support.too_few or text == NOT_DEFINED:
        return text
    return f"{text} ± {figure(half_width, support)}"


def judge(task: Task, report: Report) -> None:
    """Compare the saved model with the untrained one on the test split; the report keeps what is found.

    Args:
        task: What was trained and evaluated.
        report: What came out.
    """
    predicted = {"saved": report.saved.test_scores, "untrained": report.untrained_scores}
    comparison = compare_on(task.evaluators["test"], predicted, metrics=task.focus.shown_metrics)
    report.against_untrained = against_untrained(comparison, task.focus.shown_metrics)


def write_card(folder: Path, loss: nn.Module, task: Task, settings: Settings, report: Report) -> None:
    """Write into the saved model's card what its loss cares about, what it changed, and what is known of the data.

    Args:
        folder: The model's folder.
        loss: The loss.
        task: What was trained and evaluated.
        settings: The base model, and whether losses were compared.
        report: What came out.
    """
    shown = results(report, task.focus)
    runs = f"mean of {settings.seeds} seeds ± 95 % interval" if settings.seeds > 1 else "one seed"
    caption = f"On the test split, each loss with its best learning rate on the eval split ({runs}):"
    add_to_saved_card(
        folder,
        loss,
        task.evaluators["test"],
        (report.untrained, report.saved.test),
        base_model=_base_model(settings.model),
        claims=[f"**{report.against_untrained['sentence']}**", *map(sentence, task.claims)],
        compared=(caption, shown.heads, [*shown.losses, *shown.differences]) if settings.compare else None,
    )


def _base_model(model: str) -> str:
    if model == "static":
        return "none: its embeddings were trained from nothing"
    return f"`{Path(model).resolve().name}` (a local folder)" if Path(model).is_dir() else f"`{model}`"
