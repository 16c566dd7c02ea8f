"""What a training came to, in words and tables: the console and the card of `selective-st train` say the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from selective_st._templates import say
from selective_st.data import GradedPairs
from selective_st.evaluation import ScoreRegionEvaluator, load_threshold
from selective_st.evaluation.claims import NOT_DEFINED, Support, about_labels, figure, sentence
from selective_st.evaluation.diagnosis import HOW, overlap
from selective_st.evaluation.metrics import metric_meaning
from selective_st.evaluation.scoring import Encoding, embeds_queries_apart
from selective_st.focus import Focus
from selective_st.model_card import SectionWriter

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from selective_st.training import Report

# Rows of the first are looked for in the second.
_OVERLAPS = (("test", "train"), ("eval", "train"), ("test", "eval"))
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


# --- Before the training ----------------------------------------------------------------------------------------------


def overlaps(splits: dict[str, GradedPairs]) -> tuple[dict[str, dict[str, float]], list[str]]:
    """How much the splits hold of each other: counts by names such as `test_in_train`, and a sentence for each."""
    found, sentences = {}, []
    for these, others in _OVERLAPS:
        texts = [(splits[name].sentences1, splits[name].sentences2) for name in (these, others)]
        measured = overlap(*texts)
        found[f"{these}_in_{others}"] = measured.as_dict()
        sentences.append(measured.sentence(f"the {these} split", f"the {others} split"))
    return found, [*sentences[:-1], f"{sentences[-1]} ({HOW})"]


def notes_on_splits(evaluators: dict[str, ScoreRegionEvaluator], focus: Focus) -> list[str]:
    """What the eval and test split alone forbid to conclude, in sentences without a full stop."""
    notes = [note for name, it in evaluators.items() for note in about_labels(f"the {name} split", it.scores)]
    support = evaluators["eval"].support()[focus.main_metric]
    if support.too_few:
        notes.append(say("too_few_to_choose", metric=metric_meaning(focus.main_metric).title, support=support))
    return notes


def roles(model: Any, train: GradedPairs, as_queries: bool | None) -> tuple[bool, list[str]]:
    """Whether a model shall embed first texts as queries, if that was not told, and what to say of it."""
    told = train.first_are_queries() if as_queries is None else as_queries
    encoding = Encoding(told)
    options = ("--as-queries", "--no-as-queries")
    if as_queries is None and told is not None and train.columns is not None and embeds_queries_apart(model):
        note = say("embedded", told=told, columns=train.columns, options=options)
    else:
        note = encoding.note(model, train.sentences1, options)
    return encoding.roles_of(model, train.sentences1), [note] if note else []


def arguments_of_roles(model: SentenceTransformer, columns: Sequence[str]) -> dict[str, Any]:
    """Arguments of a trainer with which a model embeds the first column as queries, and others as documents."""
    document = next((model.prompts[name] for name in _DOCUMENT_PROMPTS if model.prompts.get(name)), "")
    prompts = {column: document if place else model.prompts.get("query") for place, column in enumerate(columns)}
    routes = {column: "document" if place else "query" for place, column in enumerate(columns)}
    found = {"prompts": {column: prompt for column, prompt in prompts.items() if prompt}, "router_mapping": routes}
    return {name: value for name, value in found.items() if value}


# --- After it ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """The table of a training's results: the untrained model and each loss, and what the selective one is ahead."""

    heads: list[str]
    losses: list[list[str]]
    differences: list[list[str]]


def results(report: Report) -> Results:
    """The table of a training's results on the test split."""
    metrics, support = report.task.focus.shown_metrics, report.support

    def cells(of: Callable[[str], tuple[float, float]], *, signed: bool = False) -> list[str]:
        return [_cell(*of(metric), support[metric], signed=signed) for metric in metrics]

    rows = [["rests on", *(str(support[metric]) for metric in metrics)]]
    rows.append(["untrained", *(figure(report.untrained[metric], support[metric]) for metric in metrics)])
    for loss, runs in report.best.items():
        name = f"{loss} ({', '.join(filter(None, [runs[0].setting, f'{runs[0].learning_rate:g}']))})"
        rows.append([name, *cells(partial(report.mean, loss))])
    ahead = [[f"selective - {loss}", *cells(partial(report.difference, loss), signed=True)] for loss in report.others]
    settings = "setting, " if any(runs[0].setting for runs in report.best.values()) else ""
    heads = [f"loss ({settings}learning rate)", *(metric_meaning(metric).heading for metric in metrics)]
    return Results(heads, rows, ahead)


def _cell(mean: float, half_width: float, support: Support, *, signed: bool = False) -> str:
    text = figure(mean, support, signed=signed)
    if math.isnan(half_width) or support.too_few or text == NOT_DEFINED:
        return text
    return f"{text} ± {figure(half_width, support)}"


def write_card(folder: Path, loss: nn.Module, report: Report) -> None:
    """Write into the saved model's card what its loss cares about, what it changed, and what is known of the data."""
    task, shown, seeds = report.task, results(report), report.task.settings.seeds
    threshold = load_threshold(folder)
    writer = SectionWriter("train", loss, task.evaluators["test"], threshold)
    section = writer.start()
    writer.set(0, dict(report.untrained), "base")
    writer.set(0, dict(report.saved.test), "trained")
    section.metrics[0].curves, section.metrics[0].cuts = dict(report.curves), task.focus.cuts
    section.base_model = _base_model(task.settings.model)
    section.claims = [f"**{report.against_untrained['sentence']}**", *map(sentence, [*task.claims, *report.of_teacher])]
    rows = [*shown.losses, *shown.differences]
    section.compared = (say("compared", seeds=seeds), shown.heads, rows) if task.settings.compare else None
    section.write(folder, threshold, anew=True)


def _base_model(model: str) -> str:
    if model == "static":
        return "none: its embeddings were trained from nothing"
    return f"`{Path(model).resolve().name}` (a local folder)" if Path(model).is_dir() else f"`{model}`"
