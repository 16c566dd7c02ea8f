"""The section of a model's card on its loss: what it is made of, its text, and how it gets into the card's file."""

from __future__ import annotations

import json
import logging
import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

import yaml
from sentence_transformers.base.model import BaseModel
from torch import nn

from selective_st import links as _links
from selective_st._templates import in_templates, render
from selective_st.evaluation import ScoreThreshold
from selective_st.evaluation.claims import Support, figure, rounded
from selective_st.evaluation.metrics import NEGATIVE, metric_meaning
from selective_st.link_words import describe_link, weighed
from selective_st.links import ConstantLink, Link, PiecewiseLink
from selective_st.losses._common import PAPER_CITATION, json_of
from selective_st.losses.weighted import WeightedLoss

_logger = logging.getLogger(__name__)

_BEGIN = "<!-- selective_st: begin. What stands between this line and the end mark is written anew. -->"
_END = "<!-- selective_st: end -->"
_UNKNOWN_BASE = "<!-- - **Base model:** [Unknown](https://huggingface.co/unknown) -->"  # where upstream knows none
_PLACE = re.compile(r"^## (?:Model Details|Training Details|Citation)[ \t]*$", re.MULTILINE)
_PAPER_ID = "eprint={2506.04446}"
UNTRAINED = "untrained"
CURVES_FILE = "threshold_curves.png"

Losses = Mapping[str, nn.Module]  # by dataset
Range = tuple[float, float]

# All of it is plain data, worked out when the section is made: a link of one's own may not be picklable, but a model
# must stay so (encode starts processes, copy.deepcopy makes averages).


@dataclass(frozen=True)
class LinkPart:
    """A link of a loss: what it does, its config as JSON, its picture as PNG and the picture's file name."""

    sentences: tuple[str, ...]
    config: str
    picture: bytes | None
    file_name: str

    @property
    def own_types(self) -> list[str]:
        """The types in the config that this library does not come with."""
        types = dict.fromkeys(re.findall(r'"type": "(\w+)"', self.config))
        return [name for name in types if not hasattr(_links, name)]


@dataclass(frozen=True)
class LossPart:
    """A loss: the dataset it is for, the names of the losses around it and its own, its links; and what it adds up."""

    dataset: str
    names: tuple[str, ...]
    links: tuple[LinkPart, ...]
    summands: tuple[str, ...] = ()
    balance: bool = False


@dataclass
class Metrics:
    """What an evaluator found, what each number rests on, where it tells, and the threshold curves of gold scores."""

    title: str
    primary: str
    base: dict[str, float] = field(default_factory=dict)
    trained: dict[str, float] = field(default_factory=dict)
    support: dict[str, Support] = field(default_factory=dict)
    gold: Any = None
    cuts: tuple[float, ...] = ()
    curves: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The metrics, the primary one first."""
        return sorted(self.trained or self.base, key=lambda name: name != self.primary)

    @property
    def heads(self) -> list[str]:
        """The headings of a table of metrics."""
        columns = ["Base"] * bool(self.base) + ["Trained"] * bool(self.trained)
        return ["Metric", *columns, *["Change"] * (len(columns) == 2), *["Rests on"] * bool(self.support)]

    def row(self, name: str) -> list[str]:
        """The row of a metric in that table."""
        support, title = self.support_of(name), title_of(name) or name
        values = [found.get(name, math.nan) for found in (self.base, self.trained) if found]
        cells = [number(value, support) for value in values]
        if len(values) == 2:
            before, after = (rounded(value, support) for value in values)  # so that the row adds up as it is read
            cells.append("0" if values[1] == values[0] else number(after - before, support, signed=True))
        return [f"**{title}**" if name == self.primary else title, *cells, *[str(support or "")] * bool(self.support)]

    @property
    def is_worse(self) -> bool:
        """Whether the trained model is worse by the metric that chooses, as far as that is known."""
        support = self.support_of(self.primary)
        before, after = (found.get(self.primary, math.nan) for found in (self.base, self.trained))
        return support is not None and support.cases > 0 and after < before

    def support_of(self, name: str) -> Support | None:
        """What a metric rests on."""
        return self.support.get(name.removeprefix(NEGATIVE))


@dataclass
class Section:
    """What the section tells.

    Attributes:
        losses: The losses.
        metrics: What each evaluator found.
        threshold: The threshold to decide by.
        note: Why the base model was not measured.
        base_model: What the training started from, as Markdown.
        claims: What is verified of the data and of the model, a sentence each.
        compared: The caption, the heads and the rows of the table of all losses that were compared.
        training: When the training began that the section tells of: another one makes it out of date.
        counts: A link with the sensitivity of the one trained with, which says how much each threshold counts.
        model_type: The class of the model.
        model_id: Its name on the hub; until it has one, what stands for it in upstream's part.
    """

    losses: list[LossPart]
    metrics: list[Metrics]
    threshold: ScoreThreshold | None = None
    note: str = ""
    base_model: str = ""
    claims: Sequence[str] = ()
    compared: tuple[str, Sequence[str], Sequence[Sequence[str]]] | None = None
    training: float | None = None
    counts: Link | None = None
    model_type: str = "SentenceTransformer"
    model_id: str = "sentence_transformers_model_id"

    @property
    def links(self) -> list[LinkPart]:
        """The links of all losses."""
        return [link for loss in self.losses for link in loss.links]

    def write(self, folder: Path, stored: ScoreThreshold | None, *, anew: bool, told: bool = True) -> None:
        """Write the section into the card of a folder, and its pictures beside it.

        Args:
            folder: The folder.
            stored: The threshold that is stored with the model.
            anew: Whether the rest of the card has just been made, so that nobody has written in it.
            told: Whether the section tells all results that the rest tells.
        """
        readme = folder / "README.md"
        for link in self.links:
            if link.picture is not None:
                (folder / link.file_name).write_bytes(link.picture)
        card = readme.read_text(encoding="utf-8")
        if self.base_model:
            card = card.replace(_UNKNOWN_BASE, f"- **Base model:** {self.base_model}")
        before, after = _without_section(_shortened(card, told=told) if anew else card)
        threshold = self.threshold or stored
        text = render(
            "card_section.md",
            section=self,
            begin=_BEGIN,
            end=_END,
            threshold=threshold,
            stored=threshold == stored,
            curves=self._draw_curves(folder, threshold),
            citation="" if _PAPER_ID in before + after else PAPER_CITATION.strip(),
        )
        readme.write_text(before + text + after, encoding="utf-8")

    def _draw_curves(self, folder: Path, threshold: ScoreThreshold | None) -> str:
        """Draw the threshold curves of the first evaluator that has some; the picture's name, where that is done."""
        found = next((metrics for metrics in self.metrics if metrics.curves), None)
        if found is None:
            return ""
        try:
            from selective_st.plotting import plot_threshold_curves
        except ImportError:  # also where it is there, but broken
            return ""
        plot_threshold_curves(
            found.curves,
            folder / CURVES_FILE,
            link=self.counts,
            thresholds=found.cuts or (() if threshold is None else (threshold.gold,)),
            gold=found.gold,
            baseline=UNTRAINED if UNTRAINED in found.curves else None,
        )
        return CURVES_FILE


# In a card as upstream makes it: what is left to be filled in, what is not of this model, empty lines.
_LEFT_OUT = (
    r"<!--\n#+ [^\n]+\n\n(?:(?!-->).)*-->\n?\n?|^<!-- - \*\*[^\n]*Unknown -->\n",
    r"^##+ (?:Additional Resources|Model Sources)\n.*?(?=^#)|(?<=\n\n)\n+",
)
# And lists of settings and of versions, configs, results, the metadata.
_SETTINGS = re.compile(r"(?:^- (?:`\w+`|[A-Z]\w+(?: \w+)?): .*\n){3,}", re.MULTILINE)
_CONFIG = re.compile(r"(?<=```json\n)  \{\n.*?\n  \}\n", re.DOTALL)
_RESULTS = re.compile(r"^## Evaluation\n\n### Metrics\n.*?(?=^## |^<!--)", re.DOTALL | re.MULTILINE)
_FRONT = re.compile(r"\A---\n(.*?)^---\n", re.DOTALL | re.MULTILINE)


def _shortened(card: str, *, told: bool) -> str:
    """A card as upstream makes it, on fewer lines, and with readable names; without its results where they are told."""
    for pattern in _LEFT_OUT:
        card = re.sub(pattern, "", card, flags=re.DOTALL | re.MULTILINE)
    card = _SETTINGS.sub(lambda found: found[0].replace("\n- ", " · ").removeprefix("- "), card)
    card = _CONFIG.sub(lambda found: f"  {json.dumps(json.loads(found[0]))}\n", card)
    return _FRONT.sub(_with_titles, _RESULTS.sub("", card) if told else card)


def _with_titles(front: re.Match[str]) -> str:
    """The metadata, with the titles of metrics where these are ours."""
    data = yaml.safe_load(front[1])
    for model in data.get("model-index", ()):
        for metric in (metric for result in model["results"] for metric in result["metrics"]):
            metric["name"] = title_of(metric["type"]) or metric["name"]
    flat = {"default_flow_style": None, "sort_keys": False, "allow_unicode": True, "width": math.inf}
    return f"---\n{yaml.safe_dump(data, **flat)}---\n"


def title_of(name: str) -> str:
    """The title of one of our metrics; empty where it is none, or says nothing of how good a model is."""
    try:
        metric = metric_meaning(name)
    except ValueError:
        return ""
    return metric.title if metric.better else ""


def _without_section(card: str) -> tuple[str, str]:
    """The card's text before and after its section, or before and after the place for one."""
    begin, end = card.find(_BEGIN), card.find(_END)
    if 0 <= begin < end:
        return card[:begin], card[end + len(_END) :]
    place = _PLACE.search(re.sub("<!--.*?-->", lambda found: " " * len(found[0]), card, flags=re.DOTALL))
    if place is None:
        return card.rstrip("\n") + "\n\n", "\n"
    return card[: place.start()], "\n\n" + card[place.start() :]


@in_templates
def number(value: float, support: Support | None, *, signed: bool = False) -> str:
    """A number of any evaluator, in a card."""
    if support is not None:
        return figure(value, support, signed=signed)
    sign = "+" if signed else ""
    if not math.isfinite(value):
        return "n/a" if math.isnan(value) else f"{value:{sign}}"
    # A count is a whole number, and the trainer's log makes a float of it.
    return f"{value:{sign}.0f}" if abs(value) > 1 and value == round(value) else f"{value:{sign}.4f}"


@in_templates
def code(text: str) -> str:
    """A text as code in Markdown."""
    return f"`{text.replace('`', '')}`"


@in_templates
def deciding(model_type: str, name: str, threshold: ScoreThreshold, *, stored: bool = True) -> str:
    """The three lines of Python that load a model, score pairs and decide.

    Args:
        model_type: The class of the model.
        name: Its folder, or its name on the hub.
        threshold: The threshold.
        stored: Whether it is stored with the model.

    Returns:
        The lines.
    """
    written = f"ScoreThreshold({threshold.value:.6g}, {threshold.gold:g}, {threshold.side!r})"
    roles = ", as_queries=True" if threshold.as_queries else ""
    return (
        f"model, threshold = {model_type}({name!r}), {f'load_threshold({name!r})' if stored else written}\n"
        f'scores = predict_scores(model, ["a text"], ["another text"]{roles})\n'
        "print(threshold.decide(scores))"
    )


# --- What a loss is made of -------------------------------------------------------------------------------------------


def within(loss: nn.Module, around: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], nn.Module]]:
    """The losses with a link, and those that add up others, each with the names from the outermost loss to it.

    A wrapper keeps the loss it wraps as a submodule, whatever the attribute's name; models are not looked into.
    """
    if isinstance(loss, BaseModel):
        return
    # A list of modules is no loss of its own.
    names = around if isinstance(loss, (nn.ModuleList, nn.ModuleDict)) else (*around, type(loss).__name__)
    if has_link(loss) or isinstance(loss, WeightedLoss):
        yield names, loss
    for child in () if has_link(loss) else loss.children():
        yield from within(child, names)


def has_link(loss: nn.Module) -> bool:
    """Whether a loss has a link."""
    return isinstance(getattr(loss, "link", None), Link)


def about(losses: Losses, score_range: Range, metrics: list[Metrics], threshold: ScoreThreshold | None) -> Section:
    """A section on losses, without measurements; links are described and drawn on a range of scores."""
    # The threshold curves are drawn over the link's sensitivity, which then needs no picture of its own.
    draw = all(of.gold is None for of in metrics)
    names = (f"selective_link{f'-{number}' if number > 1 else ''}.png" for number in count(1))
    parts = []
    for heading, module in losses.items():
        found = sorted(within(module), key=lambda of: has_link(of[1]))  # what adds others up comes first
        for place, (around, loss) in enumerate(found or [((type(module).__name__,), module)]):
            links = [
                LinkPart(told, json_of(link), _picture(link, score_range) if draw else None, next(names))
                for link, told in (_links_of(loss, score_range) if has_link(loss) else ())
            ]
            summands = tuple(loss.describe()) if isinstance(loss, WeightedLoss) else ()
            balance = bool(summands) and cast(WeightedLoss, loss).balance
            parts.append(LossPart("" if place else heading, around, tuple(links), summands, balance))
    return Section(parts, metrics, threshold, counts=what_counts(losses, score_range))


def what_counts(losses: Losses, score_range: Range) -> Link | None:
    """The sensitivity of the first loss that has a say in where scores lie, as plain data.

    Args:
        losses: The losses by dataset.
        score_range: The scores.

    Returns:
        A link of that sensitivity; None where no loss has one.
    """
    for link in (_placing(loss) for module in losses.values() for _, loss in within(module) if has_link(loss)):
        if link is not None:
            scores, sensitivity = weighed(link, score_range)
            if sensitivity.any():
                return PiecewiseLink(scores, sensitivity)  # type: ignore[arg-type]  # it takes tensors too
    return None


def _placing(loss: Any) -> Link | None:
    """The link by whose sensitivity errors count, or by whose rise pairs of pairs do; None if the loss only ranks."""
    weight_link: Link | None = getattr(loss, "weight_link", None)
    calibration_link: Link | None = getattr(loss, "calibration_link", loss.link)
    if weight_link is None and hasattr(loss, "calibration_link") and not _calibrates(loss):
        return None
    return weight_link or calibration_link or loss.link


def _calibrates(loss: Any) -> float:
    """The weight of a loss's calibration term; labels that only say which candidate is right place no score."""
    return 0.0 if getattr(loss, "targets", "scores") == "labels" else float(getattr(loss, "calibration", 0.0))


def _links_of(loss: Any, score_range: Range) -> Iterator[tuple[Link, tuple[str, ...]]]:
    """The links of a loss, each with what it does.

    The losses that rank scale a candidate's gradient by the link's value; their calibration term, and every loss that
    compares a score with its label, by its sensitivity.
    """
    link: Link = loss.link
    by_sensitivity, calibration_link = describe_link(link, score_range), getattr(loss, "calibration_link", None)
    targets, weight_link = getattr(loss, "targets", "scores"), getattr(loss, "weight_link", None)
    if calibration_link is None or targets == "margins":
        margins = ("Its scores are margins: that of the positive less that of a negative.",)
        yield link, (by_sensitivity, *margins * (calibration_link is not None))
        return
    sentences = [describe_link(link, score_range, of="value")]
    if weight_link is not None:
        told = "Two pairs in the wrong order count by how far this link has their labels apart: "
        yield weight_link, (told + _lower(describe_link(weight_link, score_range)),)
        sentences *= not isinstance(link, ConstantLink)
    if targets is None:
        sentences.append(f"Where labels are margins: {_lower(by_sensitivity)}")
    weight = _calibrates(loss)
    term = f"The calibration term (weight {weight:g}), which places the scores: "
    if not hasattr(loss, "targets") and not hasattr(loss, "weight_link"):  # in-batch losses may have no labels
        term = f"Where labels are a teacher's scores, {_lower(term)}"
    if weight and calibration_link == link:
        sentences.append(term + _lower(by_sensitivity))
    if sentences:
        yield link, tuple(sentences)
    if weight and calibration_link != link:
        yield calibration_link, (term + _lower(describe_link(calibration_link, score_range)),)


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _picture(link: Link, score_range: Range) -> bytes | None:
    """The picture of a link as PNG; None without matplotlib, or for a link of one's own that cannot be drawn."""
    try:
        from selective_st.plotting import plot_links
    except ImportError:
        return None
    low, high = max(score_range[0], link.domain.low), min(score_range[1], link.domain.high)
    targets = (low + 0.2 * (high - low), low + 0.9 * (high - low))
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = plot_links({"link": link}, Path(folder, "link.png"), score_range=(low, high), targets=targets)
        except Exception:
            _logger.exception("The card will have no picture of %r: it could not be drawn.", link)
            return None
        return path.read_bytes()
