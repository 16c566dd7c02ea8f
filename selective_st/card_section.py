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
from typing import Any

from sentence_transformers.base.model import BaseModel
from torch import nn

from selective_st import links as _links
from selective_st._templates import in_templates, render
from selective_st.evaluation import ScoreThreshold
from selective_st.evaluation.claims import Support, figure, rounded
from selective_st.evaluation.metrics import NEGATIVE
from selective_st.link_words import describe_link
from selective_st.links import Link
from selective_st.losses._common import PAPER_CITATION
from selective_st.losses.weighted import WeightedLoss

_logger = logging.getLogger(__name__)

_BEGIN = "<!-- selective_st: begin. What stands between this line and the end mark is written anew. -->"
_END = "<!-- selective_st: end -->"
_UNKNOWN_BASE = "<!-- - **Base model:** [Unknown](https://huggingface.co/unknown) -->"  # where upstream knows none
_BEFORE = ("## Training Details", "## Citation")
_PAPER_ID = "eprint={2506.04446}"
_SHOWN_ROWS = 12

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
    """What an evaluator found, and what each number rests on, where it tells."""

    title: str
    primary: str
    base: dict[str, float] = field(default_factory=dict)
    trained: dict[str, float] = field(default_factory=dict)
    support: dict[str, Support] = field(default_factory=dict)

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
        support = self.support_of(name)
        values = [found.get(name, math.nan) for found in (self.base, self.trained) if found]
        cells = [number(value, support) for value in values]
        if len(values) == 2:
            before, after = (rounded(value, support) for value in values)  # so that the row adds up as it is read
            cells.append("0" if values[1] == values[0] else number(after - before, support, signed=True))
        cells += [str(support or "")] if self.support else []
        return [f"**{name}**" if name == self.primary else name, *cells]

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
    """

    losses: list[LossPart]
    metrics: list[Metrics]
    threshold: ScoreThreshold | None = None
    note: str = ""
    base_model: str = ""
    claims: Sequence[str] = ()
    compared: tuple[str, Sequence[str], Sequence[Sequence[str]]] | None = None
    training: float | None = None

    def write(self, folder: Path, threshold: ScoreThreshold | None) -> None:
        """Write the section into the card of a folder, and its pictures beside it.

        Args:
            folder: The folder.
            threshold: The threshold to show.
        """
        readme = folder / "README.md"
        try:
            for link in (link for loss in self.losses for link in loss.links):
                if link.picture is not None:
                    (folder / link.file_name).write_bytes(link.picture)
            before, after = _without_section(readme.read_text(encoding="utf-8"))
            text = self.text(threshold, cite=_PAPER_ID not in before + after)
            if self.base_model:
                before = before.replace(_UNKNOWN_BASE, f"- **Base model:** {self.base_model}")
            readme.write_text(before + text + after, encoding="utf-8")
        except Exception:  # as upstream: a card is not worth a lost training
            _logger.exception("The section on the selective loss could not be written into %s.", readme)

    def text(self, threshold: ScoreThreshold | None, *, cite: bool) -> str:
        """The section in Markdown.

        Args:
            threshold: The threshold to show.
            cite: Whether the section must hold the citation itself, because the rest of the card does not.

        Returns:
            The text, with its marks.
        """
        citation = PAPER_CITATION.strip() if cite else ""
        marks = {"begin": _BEGIN, "end": _END, "shown": _SHOWN_ROWS}
        return render("card_section.md", section=self, threshold=threshold, citation=citation, **marks)


def _without_section(card: str) -> tuple[str, str]:
    """The card's text before and after its section, or before and after the place for one."""
    begin, end = card.find(_BEGIN), card.find(_END)
    if 0 <= begin < end:
        return card[:begin], card[end + len(_END) :]
    for heading in _BEFORE:
        for match in re.finditer(rf"^{heading}[ \t]*$", card, re.MULTILINE):
            before = card[: match.start()]
            if before.rfind("<!--") <= before.rfind("-->"):  # not within a comment
                return before, "\n\n" + card[match.start() :]
    return card.rstrip("\n") + "\n\n", "\n"


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
def plain(text: str) -> str:
    """A text for an image: brackets end it, and backticks are no help there."""
    return re.sub(r"[][`]", "", text)


# --- What a loss is made of -------------------------------------------------------------------------------------------


def selective_within(loss: nn.Module, around: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], nn.Module]]:
    """The losses with a link, each with the names from the outermost loss to it.

    A wrapper keeps the loss it wraps as a submodule, whatever the attribute's name; models are not looked into.
    """
    if isinstance(loss, BaseModel):
        return
    names = (*around, type(loss).__name__)
    if isinstance(getattr(loss, "link", None), Link):
        yield names, loss
        return
    # A list of modules is no loss of its own.
    for child in loss.children():
        yield from selective_within(child, around if isinstance(loss, (nn.ModuleList, nn.ModuleDict)) else names)


def _weighted_within(loss: nn.Module, around: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], WeightedLoss]]:
    """The losses that add up others, each with the names from the outermost loss to it."""
    if isinstance(loss, BaseModel):
        return
    names = around if isinstance(loss, (nn.ModuleList, nn.ModuleDict)) else (*around, type(loss).__name__)
    if isinstance(loss, WeightedLoss):
        yield names, loss
    for child in loss.children():
        yield from _weighted_within(child, names)


def loss_parts(losses: Mapping[str, nn.Module], score_range: tuple[float, float]) -> list[LossPart]:
    """The losses of a training as the section tells of them.

    Args:
        losses: The losses by dataset.
        score_range: The scores to describe and draw links on.

    Returns:
        The losses with a link, those that add up others, and one for each dataset without any.
    """
    parts = []
    used: set[str] = set()
    for dataset, module in losses.items():
        found = list(selective_within(module))
        if not found:
            parts.append(LossPart(dataset, (type(module).__name__,), ()))
        heading = dataset
        for names, weighted in _weighted_within(module):
            parts.append(LossPart(heading, names, (), tuple(weighted.describe()), weighted.balance))
            heading = ""
        for names, loss in found:
            links = tuple(
                LinkPart(
                    sentences,
                    json.dumps(link.get_config_dict(), indent=2),
                    _picture(link, score_range),
                    _file_name("-".join(filter(None, ("selective_link", dataset, kind))), used),
                )
                for kind, link, sentences in _links_of(loss, score_range)
            )
            parts.append(LossPart(heading, names, links))
    return parts


def _links_of(loss: Any, score_range: tuple[float, float]) -> Iterator[tuple[str, Link, tuple[str, ...]]]:
    """The links of a loss, each with its kind (of a second one) and sentences.

    The losses that rank scale a candidate's gradient by the link's value; their calibration term, and every loss that
    compares a score with its label, by its sensitivity.
    """
    link: Link = loss.link
    by_sensitivity = describe_link(link, score_range)
    calibration_link = getattr(loss, "calibration_link", None)
    if not isinstance(calibration_link, Link):
        yield "", link, (by_sensitivity,)
        return
    margins = getattr(loss, "targets", "scores")
    if margins == "margins":
        yield "", link, (by_sensitivity, "Its scores are margins: that of the positive less that of a negative.")
        return
    sentences = [describe_link(link, score_range, of="value")]
    if margins is None:
        sentences.append(f"Where labels are margins: {_lower(by_sensitivity)}")
    # Labels that only say which candidate is right place no score.
    weight = 0.0 if margins == "labels" else getattr(loss, "calibration", 0.0)
    term = f"The calibration term (weight {weight:g}), which places the scores: "
    if not hasattr(loss, "targets"):  # the in-batch losses take a teacher's scores, or no labels
        term = f"Where labels are a teacher's scores, {_lower(term)}"
    if weight and calibration_link == link:
        sentences.append(term + _lower(by_sensitivity))
    yield "", link, tuple(sentences)
    if weight and calibration_link != link:
        yield "calibration", calibration_link, (term + _lower(describe_link(calibration_link, score_range)),)


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _file_name(name: str, used: set[str]) -> str:
    """A name for a picture that every file system and URL takes, used once."""
    stem = re.sub(r"[^a-z0-9_-]+", "-", name.lower())[:80]
    names = (f"{stem}-{number}.png" if number > 1 else f"{stem}.png" for number in count(1))
    free = next(name for name in names if name not in used)
    used.add(free)
    return free


def _picture(link: Link, score_range: tuple[float, float]) -> bytes | None:
    """The picture of a link as PNG; None without matplotlib."""
    try:
        from selective_st.plotting import plot_links
    except ImportError:
        return None
    low, high = max(score_range[0], link.domain.low), min(score_range[1], link.domain.high)
    targets = (low + 0.2 * (high - low), low + 0.9 * (high - low))
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = plot_links({"link": link}, Path(folder, "link.png"), score_range=(low, high), targets=targets)
        except Exception:  # a link of one's own may give what cannot be drawn
            _logger.exception("The card will have no picture of %r: it could not be drawn.", link)
            return None
        return path.read_bytes()
