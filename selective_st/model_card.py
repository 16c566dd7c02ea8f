"""A section in the model's card: what its loss cares about, what that changed, and the threshold to decide by.

Pass `SelectiveModelCardCallback` to a trainer, or call `add_to_model_card` when the training is done. From then on
every card of the model has the section: those of `save_pretrained`, `push_to_hub` and the trainer's checkpoints.

    >>> from selective_st.links import high_scores
    >>> print(describe_link(high_scores()))
    The loss cares most about high scores (`high_scores()`): errors at scores near 1 cost 148 times as much as near 0.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from sentence_transformers.base.evaluation import BaseEvaluator, SequentialEvaluator
from sentence_transformers.base.model import BaseModel
from sentence_transformers.base.model_card import get_losses
from torch import Tensor, nn
from transformers import TrainerCallback

from selective_st import links as _links
from selective_st._validation import instance_of, interval_of, list_of
from selective_st.evaluation import ScoreListEvaluator, ScoreRegionEvaluator, ScoreThreshold, load_threshold
from selective_st.evaluation.claims import TOO_FEW, Support, figure, rounded
from selective_st.evaluation.metrics import NEGATIVE
from selective_st.links import (
    ExponentialLink,
    LinearOutsideLink,
    Link,
    PiecewiseLink,
    SigmoidLink,
    SinhLink,
    WeightedSumLink,
    extreme_scores,
    high_scores,
    low_scores,
    middle_scores,
    score_region,
)
from selective_st.losses._common import PAPER_CITATION, bibtex_entries
from selective_st.losses.weighted import WeightedLoss

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

__all__ = ["SelectiveModelCardCallback", "add_to_model_card", "describe_link"]

Weighing = Literal["sensitivity", "value"]
ThresholdOrHow = ScoreThreshold | Callable[[Any], ScoreThreshold]

_logger = logging.getLogger(__name__)

_BEGIN = "<!-- selective_st: begin. What stands between this line and the end mark is written anew. -->"
_END = "<!-- selective_st: end -->"
_UNKNOWN_BASE = "<!-- - **Base model:** [Unknown](https://huggingface.co/unknown) -->"  # where upstream knows none
_BEFORE = ("## Training Details", "## Citation")
_PAPER_ID = "eprint={2506.04446}"
_SECTION_KEY = "_selective_st_section"
_STATE_KEY = "selective_st_base_metrics"
_SHOWN_ROWS = 12
_GRID = 401

# --- What a link cares about, in words --------------------------------------------------------------------------------

# Of the largest weight: from here on a score belongs to the region that matters; and this near, weights are alike.
_REGION_SHARE = 0.5
_ALIKE = 0.02
_LARGEST_RATIO = 1000.0
_UNIT = (0.0, 1.0)
_HIGH = "high scores"


def describe_link(link: Link, score_range: tuple[float, float] = (0.0, 1.0), of: Weighing = "sensitivity") -> str:
    """What a loss with this link cares about, in one sentence.

    Args:
        link: The link. A preset is called by its name, and a multiple of one by the preset it is shaped as.
        score_range: The scores to look at.
        of: What weighs the scores: the link's `"sensitivity"`, as in the loss that compares each score with its label
            (`SelectivePointwiseLoss`), or the size of its `"value"`, as in the losses that rank.

    Returns:
        The sentence.

    Raises:
        TypeError: If an end of the range is not a number.
        ValueError: If the range is empty or outside the link's domain, or `of` is unknown.

    Example:
        >>> from selective_st.links import IdentityLink, SigmoidLink
        >>> describe_link(IdentityLink())
        'The loss cares about every score alike: an error costs the same wherever the score lies.'
        >>> print(describe_link(0.3 * IdentityLink() + SigmoidLink(scale=20, shift=0.8)))
        The loss cares most about scores from 0.71 to 0.89: errors at scores near 0.8 cost 18 times as much as near 0.2.
    """
    instance_of("describe_link", "link", link, Link, "Write describe_link(high_scores()).")
    if of not in ("sensitivity", "value"):
        raise ValueError(f'describe_link: of must be "sensitivity" or "value", got {of!r}. Write of="value".')
    low, high = interval_of("describe_link", "score_range", score_range)
    low, high = max(low, link.domain.low), min(high, link.domain.high)
    if not low < high:
        raise ValueError(f"describe_link: score_range {score_range} lies outside the link's domain {link.domain}.")
    scores = torch.linspace(low, high, _GRID, dtype=torch.float64)
    with torch.no_grad():
        weights = (link.sensitivity(scores) if of == "sensitivity" else link(scores)).abs()
    weights = weights.nan_to_num(nan=0.0)
    largest, smallest = float(weights.max()), float(weights.min())
    if largest == 0:
        return f"The loss cares about no score from {low:g} to {high:g}."
    if smallest >= (1 - _ALIKE) * largest:
        alike = "an error costs the same wherever the score lies"
        if of == "value":
            alike = "in a ranking, all candidates count the same"
        return f"The loss cares about every score alike: {alike}."
    words = _Words(low, high)
    regions = _runs(weights >= _REGION_SHARE * largest)
    tops = [max(float(weights[place]) for place in region) for region in regions]
    peaks = [
        words.point([place for place in region if float(weights[place]) >= (1 - _ALIKE) * top])
        for region, top in zip(regions, tops, strict=True)
    ]
    least = words.point(max(_runs(weights <= (1 + _ALIKE) * smallest + 1e-6 * largest), key=len))
    preset = _preset_of(link, (low, high))
    cares = f"scores {_listed([words.interval(run) for run in regions])}"
    if preset:
        # A preset is named for its sensitivity; its value may be large elsewhere.
        what = preset[0] if of == "sensitivity" or preset[0] == _HIGH else cares
        cares = f"{what} ({preset[1]})"
    ratio = largest / smallest if smallest > 0 else math.inf
    times = f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}" if ratio <= _LARGEST_RATIO else "more than 1000"
    if min(tops) < (1 - _ALIKE) * largest:
        times = f"up to {times}"
    near = _listed(peaks)
    if of == "value":
        many, count = ("candidates", "count") if len(peaks) > 1 else ("a candidate", "counts")
        effect = f"in a ranking, {many} with a score near {near} {count} {times} times as much as one near {least}"
    else:
        effect = f"errors at scores near {near} cost {times} times as much as near {least}"
    return f"The loss cares most about {cares}: {effect}."


class _Words:
    """Scores of a range, cut into `_GRID` places, in words."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._step = low, (high - low) / (_GRID - 1)
        self._digits = max(0, 2 - math.floor(math.log10(high - low)))

    def _number(self, place: float) -> str:
        return f"{round(self._low + place * self._step, self._digits) + 0.0:.12g}"

    def point(self, places: Sequence[int]) -> str:
        """The middle of neighbouring places; the end of the range, if they are few that touch it."""
        first, last = places[0], places[-1]
        if last - first < _GRID // 20 and (first == 0 or last == _GRID - 1):
            return self._number(0 if first == 0 else _GRID - 1)
        return self._number((first + last) / 2)

    def interval(self, places: Sequence[int]) -> str:
        """From the first place to the last."""
        first, last = places[0], places[-1]
        if first == 0 and last < _GRID - 1:
            return f"below {self._number(last)}"
        if last == _GRID - 1 and first > 0:
            return f"above {self._number(first)}"
        return f"from {self._number(first)} to {self._number(last)}"


def _runs(mask: Tensor) -> list[list[int]]:
    """The places where the mask is true, neighbours together."""
    runs = [
        (value, [place for place, _ in run]) for value, run in groupby(enumerate(mask.tolist()), lambda item: item[1])
    ]
    return [places for value, places in runs if value]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _preset_of(link: Link, score_range: tuple[float, float]) -> tuple[str, str] | None:
    """What a preset cares about and the code that makes it, if the link is one or shaped as one.

    Args:
        link: The link.
        score_range: Where the link is looked at; a preset may also have been made for these scores.

    Returns:
        Both; None if it is no preset.
    """
    given = link
    low, high = score_range
    if isinstance(link, LinearOutsideLink) and all(
        edge is None or not low < edge < high for edge in (link.low, link.high)
    ):
        link = link.link
    shape = _shape(link)
    for scores in dict.fromkeys((score_range, _UNIT)):
        found = _preset_with_shape(shape, scores)
        if found is not None:
            what, code, made = found
            return what, f"`{code}`" if made == given else f"shaped as `{code}`"
    return None


def _preset_with_shape(shape: Link, scores: tuple[float, float]) -> tuple[str, str, Link] | None:
    half = (scores[1] - scores[0]) / 2
    preset, default, strength = high_scores, 5.0, 0.0
    region: tuple[float, float] | None = None
    if isinstance(shape, ExponentialLink):
        preset, what = (high_scores, _HIGH) if shape.scale > 0 else (low_scores, "low scores")
        strength = abs(shape.scale) * 2 * half
    elif isinstance(shape, SinhLink):
        preset, what, strength = extreme_scores, "scores at both ends", shape.scale * half
    elif isinstance(shape, SigmoidLink):
        preset, what, strength = middle_scores, "scores in the middle", shape.scale * half
    elif isinstance(shape, PiecewiseLink) and len(shape.knots) == 4:
        region, default, strength = (shape.knots[1], shape.knots[2]), 10.0, shape.sensitivities[1]
        what = f"scores from {region[0]:g} to {region[1]:g}"
    else:
        return None
    strength = float(f"{strength:.9g}")
    try:
        made = score_region(*region, strength, scores) if region else preset(strength, scores)
    except ValueError:  # a strength or a region that no preset has
        return None
    if _shape(made) != shape:
        return None
    arguments = [f"{end:g}" for end in region or ()]
    arguments += [f"strength={strength:g}"] if strength != default else []
    arguments += [f"score_range=({scores[0]:g}, {scores[1]:g})"] if scores != _UNIT else []
    return what, f"{'score_region' if region else preset.__name__}({', '.join(arguments)})", made


def _shape(link: Link) -> Link:
    """The link without a factor before it: sentences tell ratios."""
    return link.links[0] if isinstance(link, WeightedSumLink) and len(link.links) == 1 else link


# --- The section ------------------------------------------------------------------------------------------------------

# All of it is plain data, worked out when the section is made: a link of one's own may not be picklable, but a model
# must stay so (encode starts processes, copy.deepcopy makes averages).


@dataclass(frozen=True)
class _LinkPart:
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
class _LossPart:
    """A loss: the dataset it is for, the names of the losses around it and its own, its links; and what it adds up."""

    dataset: str
    names: tuple[str, ...]
    links: tuple[_LinkPart, ...]
    summands: tuple[str, ...] = ()
    balance: bool = False


@dataclass
class _Metrics:
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

    def table(self, names: Sequence[str]) -> list[str]:
        """The lines of a table of some metrics."""
        columns = [(title, found) for title, found in (("Base", self.base), ("Trained", self.trained)) if found]
        heads = ["Metric", *(title for title, _ in columns), *(["Change"] if len(columns) == 2 else [])]
        heads += ["Rests on"] if self.support else []
        rows = []
        for name in names:
            support = self._support(name)
            values = [found.get(name, math.nan) for _, found in columns]
            cells = [_number(value, support) for value in values]
            if len(columns) == 2:
                before, after = (rounded(value, support) for value in values)  # so that the row adds up as it is read
                cells.append("0" if values[1] == values[0] else _number(after - before, support, signed=True))
            cells += [str(support or "")] if self.support else []
            rows.append([f"**{name}**" if name == self.primary else name, *cells])
        return markdown_table(heads, rows)

    @property
    def worse(self) -> str:
        """Whether the trained model is worse by the metric that chooses; empty where not, or where it is not known."""
        before, after = (found.get(self.primary, math.nan) for found in (self.base, self.trained))
        support = self._support(self.primary)
        if support is None or not support.cases or not after < before:
            return ""
        few = f" It rests on {support}, which are {TOO_FEW} to be sure." if support.too_few else ""
        values = f"{_number(before, support)} before, {_number(after, support)} after"
        return f"**Worse than the base model** by {_code(self.primary)}: {values}.{few}"

    def _support(self, name: str) -> Support | None:
        return self.support.get(name.removeprefix(NEGATIVE))


@dataclass
class _Section:
    losses: list[_LossPart]
    metrics: list[_Metrics]
    threshold: ScoreThreshold | None = None
    note: str = ""
    base_model: str = ""
    # What is verified of the data and of the model, a sentence each, and the table of all losses that were compared.
    claims: Sequence[str] = ()
    compared: Sequence[str] = ()
    # When the training began that the section tells of: another one makes it out of date.
    training: float | None = None

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """The pictures, by file name."""
        for loss in self.losses:
            for link in loss.links:
                if link.picture is not None:
                    yield link.file_name, link.picture

    def text(self, threshold: ScoreThreshold | None, *, cite: bool) -> str:
        """The section in Markdown.

        Args:
            threshold: The threshold to show.
            cite: Whether the section must hold the citation itself, because the rest of the card does not.

        Returns:
            The text, with its marks.
        """
        given = {name.name: getattr(self, name.name) for name in fields(self)}
        given["threshold"] = "" if threshold is None else _threshold_sentence(threshold)
        citation = PAPER_CITATION.strip() if cite else ""
        marks = {"begin": _BEGIN, "end": _END, "shown": _SHOWN_ROWS}
        return _environment().get_template("card_section.md").render(given | marks, citation=citation)


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("selective_st", "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    # Brackets end an image's text, and backticks are no help there.
    found.filters |= {"code": _code, "plain": lambda text: re.sub(r"[][`]", "", text)}
    return found


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table, the first column to the left and the others to the right."""
    body = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return [body[0], f"|:--|{'--:|' * (len(heads) - 1)}", *body[1:]]


def _number(value: float, support: Support | None, *, signed: bool = False) -> str:
    if support is not None:
        return figure(value, support, signed=signed)
    sign = "+" if signed else ""
    if not math.isfinite(value):
        return "n/a" if math.isnan(value) else f"{value:{sign}}"
    # A count is a whole number, and the trainer's log makes a float of it.
    return f"{value:{sign}.0f}" if abs(value) > 1 and value == round(value) else f"{value:{sign}.4f}"


def _threshold_sentence(threshold: ScoreThreshold) -> str:
    bound = threshold.side.replace("_", " ")
    text = (
        f"**{threshold.value:.4g}**: a predicted score of {bound} {threshold.value:.4g} stands for a gold score of "
        f"{bound} {threshold.gold:g}."
    )
    split = _code(threshold.chosen_on) if threshold.chosen_on else "a validation split"
    if threshold.metric is None:
        return text + (f" It was chosen on {split}." if threshold.chosen_on else " It was given as a number.")
    text += f" It was chosen for the highest {threshold.metric.upper()} on {split}"
    support = Support(threshold.positives or 0, threshold.pairs or 0) if threshold.positives else None
    facts = [] if threshold.metric_value is None else [figure(threshold.metric_value, support)]
    facts += [] if threshold.pairs is None else [f"{threshold.pairs:,} pairs, {threshold.positives:,} to be found"]
    return f"{text} ({'; '.join(facts)})." if facts else f"{text}."


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"


# --- What the section is made of --------------------------------------------------------------------------------------


def _check_losses(owner: str, loss: Any) -> dict[str, nn.Module]:
    """The losses by dataset; one loss alone has the name ""."""
    losses = dict(loss) if isinstance(loss, Mapping) else {"": loss}
    for module in losses.values():
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{owner}: loss must be the loss given to the trainer, or a dict of them by dataset, got "
                f"{type(module).__name__}. Where the trainer makes it, write {owner}(trainer.loss, ...)."
            )
    if not any(names_and_loss for module in losses.values() for names_and_loss in _selective_within(module)):
        names = ", ".join(type(module).__name__ for module in losses.values())
        raise ValueError(f"{owner}: loss must hold a loss with a link, such as SelectivePointwiseLoss, got {names}.")
    return losses


def _selective_within(loss: nn.Module, around: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], nn.Module]]:
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
        yield from _selective_within(child, around if isinstance(loss, (nn.ModuleList, nn.ModuleDict)) else names)


def _weighted_within(loss: nn.Module, around: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], WeightedLoss]]:
    """The losses that add up others, each with the names from the outermost loss to it."""
    if isinstance(loss, BaseModel):
        return
    names = around if isinstance(loss, (nn.ModuleList, nn.ModuleDict)) else (*around, type(loss).__name__)
    if isinstance(loss, WeightedLoss):
        yield names, loss
    for child in loss.children():
        yield from _weighted_within(child, names)


def _loss_parts(losses: Mapping[str, nn.Module], score_range: tuple[float, float]) -> list[_LossPart]:
    parts = []
    used: set[str] = set()
    for dataset, module in losses.items():
        found = list(_selective_within(module))
        if not found:
            parts.append(_LossPart(dataset, (type(module).__name__,), ()))
        heading = dataset
        for names, weighted in _weighted_within(module):
            parts.append(_LossPart(heading, names, (), tuple(weighted.describe()), weighted.balance))
            heading = ""
        for names, loss in found:
            links = tuple(
                _LinkPart(
                    sentences,
                    json.dumps(link.get_config_dict(), indent=2),
                    _picture(link, score_range),
                    _file_name("-".join(filter(None, ("selective_link", dataset, kind))), used),
                )
                for kind, link, sentences in _links_of(loss, score_range)
            )
            parts.append(_LossPart(heading, names, links))
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


def _check_evaluators(owner: str, evaluators: Any) -> list[BaseEvaluator]:
    found: list[BaseEvaluator] = []
    if isinstance(evaluators, BaseEvaluator):
        evaluators = [evaluators]
    for evaluator in list_of(owner, "evaluators", evaluators, "evaluators", "ScoreRegionEvaluator(...)"):
        if not isinstance(evaluator, BaseEvaluator):
            raise TypeError(
                f"{owner}: evaluators must be evaluators such as ScoreRegionEvaluator, got {type(evaluator).__name__}."
            )
        found += evaluator.evaluators if isinstance(evaluator, SequentialEvaluator) else [evaluator]
    return found


def _evaluate(model: Any, evaluator: BaseEvaluator, epoch: float = -1, steps: int = -1) -> dict[str, float]:
    """Ask an evaluator, and leave the model in the mode it was in."""
    training = model.training
    started = time.time()
    try:
        # Upstream's own trainer gives a fraction of an epoch where an integer is written.
        found = evaluator(model, epoch=epoch, steps=steps)  # type: ignore[arg-type]
    finally:
        model.train(training)
        model.model_card_data.evaluation_duration += time.time() - started
    return _plain(evaluator, found)


def _plain(evaluator: BaseEvaluator, found: Any) -> dict[str, float]:
    """An evaluator's numbers, without the data set's name before them."""
    if not isinstance(found, Mapping):
        return {"score": float(found)}
    prefix = _prefix(evaluator)
    if not all(name.startswith(prefix) for name in found):
        prefix = ""
    plain = {}
    for name, value in found.items():
        try:
            plain[name[len(prefix) :]] = float(value)
        except (TypeError, ValueError):  # some of upstream's report texts beside their numbers
            continue
    return plain


def _prefix(evaluator: BaseEvaluator) -> str:
    name = getattr(evaluator, "name", None)
    return f"{name}_" if name else ""


def _metrics_of(evaluator: BaseEvaluator) -> _Metrics:
    name = getattr(evaluator, "name", None)
    title = evaluator.description + (f" on {_code(name)}" if name else "")
    support = evaluator.support() if isinstance(evaluator, (ScoreRegionEvaluator, ScoreListEvaluator)) else {}
    return _Metrics(title, "", support=support)


def _check_names(owner: str, names: Sequence[str], found: Mapping[str, float], where: str) -> None:
    unknown = [name for name in names if name not in found]
    if unknown:
        raise ValueError(
            f"{owner}: metrics must be names of metrics of {where}, which are {', '.join(found)}; got {unknown[0]!r}."
        )


# --- Into the card ----------------------------------------------------------------------------------------------------


def _attach(model: Any, section: _Section) -> None:
    """Have the section written into each card of the model from now on.

    Upstream has no place for more text in a card: its templates are whole files, one for each kind of model, that
    change with every release, and the variables that they print are fixed. So the section is put into the finished
    text. All ways to a card (`save`, `save_pretrained`, `push_to_hub`, the trainer's checkpoints, its `push_to_hub`
    and `create_model_card`) lead through `model._create_model_card(path, ...)`, which is therefore what is wrapped:
    `save` alone would miss the trainer's last two. An entry of this one model's `__dict__` is found before the method
    of its class; no class changes. It is a partial of a function of this module, so that `copy.deepcopy` and pickle
    take it along, bound to the copy. The data stand with upstream's own data for the card, `model.model_card_data`:
    whoever replaces those (as `merge` does) drops the section with them.
    """
    setattr(model.model_card_data, _SECTION_KEY, section)
    model._create_model_card = functools.partial(_create_model_card, model)


def _create_model_card(model: Any, path: str, *args: Any, **kwargs: Any) -> None:
    """Write the card as upstream does, then the section into it and its pictures beside it."""
    data = model.model_card_data
    section: _Section | None = getattr(data, _SECTION_KEY, None)
    if section is not None:
        data.citations = _each_entry_once(data.citations)
    type(model)._create_model_card(model, path, *args, **kwargs)
    if section is None or not Path(path, "README.md").is_file():  # upstream logs an error where it cannot make a card
        return
    if section.training != _training_of(model):
        _logger.warning(
            "The model has been trained again, so what its card would tell of its selective loss is out of date and "
            "left out. Pass SelectiveModelCardCallback to the trainer, or call add_to_model_card after the training."
        )
        return
    _write(section, Path(path), section.threshold or load_threshold(model))


def _write(section: _Section, folder: Path, threshold: ScoreThreshold | None) -> None:
    """Write the section into the card of a folder, and its pictures beside it."""
    readme = folder / "README.md"
    try:
        for name, picture in section.pictures():
            (folder / name).write_bytes(picture)
        rest = _without_section(readme.read_text(encoding="utf-8"))
        written = section.text(threshold, cite=_PAPER_ID not in rest[0] + rest[1])
        if section.base_model:
            rest = (rest[0].replace(_UNKNOWN_BASE, f"- **Base model:** {section.base_model}"), rest[1])
        readme.write_text(rest[0] + written + rest[1], encoding="utf-8")
    except Exception:  # as upstream: a card is not worth a lost training
        _logger.exception("The section on the selective loss could not be written into %s.", readme)


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


def _each_entry_once(citations: Mapping[str, str]) -> dict[str, str]:
    """The citations with each BibTeX entry once.

    Upstream joins losses with the same citation, but each of ours cites the paper and also the built-in loss it
    generalises: with two of them the paper would stand there twice.
    """
    losses_of: dict[str, list[str]] = {}
    for name, citation in citations.items():
        for entry in bibtex_entries(citation):
            losses_of.setdefault(entry, []).append(name)
    if all(len(names) == 1 for names in losses_of.values()):
        return dict(citations)
    entries_of: dict[str, list[str]] = {}
    for entry, names in losses_of.items():
        entries_of.setdefault(_listed(names), []).append(entry)
    return {names: "\n\n".join(entries) for names, entries in entries_of.items()}


def _training_of(model: Any) -> float | None:
    """When the model's last training began; None if this process has not trained it."""
    return getattr(model.model_card_data, "_training_start_time", None)


def _unwrapped(model: Any) -> Any:
    return getattr(model, "_orig_mod", model)  # of torch.compile


def add_to_model_card(
    model: BaseModel,
    loss: nn.Module | Mapping[str, nn.Module],
    evaluators: BaseEvaluator | Sequence[BaseEvaluator] = (),
    *,
    base_model: BaseModel | None = None,
    threshold: ThresholdOrHow | None = None,
    metrics: Sequence[str] | None = None,
    score_range: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Add a section on its selective loss to a trained model's card.

    Call it after the training; `SelectiveModelCardCallback` does the same, and measures the base model by itself. The
    section stands in each card that is written from then on. A card that was loaded with the model and is kept by
    Sentence Transformers, because there was no training, keeps its text too: the section is put into it, or in the
    place of the one it has.

    Args:
        model: The trained model, of any type.
        loss: The loss it was trained with, or a dict of them by dataset. Losses within others, such as
            `MatryoshkaLoss`, are found.
        evaluators: What measures the models: any evaluators of Sentence Transformers, best `ScoreRegionEvaluator`.
        base_model: The model that the training started from, to compare with.
        threshold: The threshold to decide by, or a function that chooses it for the trained model. Default: that of the
            first evaluator that has one, or else the one remembered with the model (`store_threshold`).
        metrics: Names of the metrics to show, without the evaluator's name before them. Default: all; those beyond the
            first dozen folded away.
        score_range: The scores to describe and draw the link on.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If no loss has a link, `score_range` is empty, or a name is not that of a metric.

    Example:
        >>> add_to_model_card(model, loss, evaluator, base_model=SentenceTransformer(name))       # doctest: +SKIP
        >>> model.save_pretrained("model")                                                        # doctest: +SKIP
    """
    owner = "add_to_model_card"
    writer = _Writer(owner, loss, evaluators, threshold, metrics, score_range)
    model = _unwrapped(model)
    if not isinstance(model, BaseModel):
        raise TypeError(f"{owner}: model must be a model of Sentence Transformers, got {type(model).__name__}.")
    mend = 'Load it: SentenceTransformer("..."), or leave it out.'
    base_model = instance_of(owner, "base_model", _unwrapped(base_model), (BaseModel, type(None)), mend)
    writer.start()
    if base_model is not None:
        writer.section.base_model = _base_model_of(base_model)
        writer.measure(base_model, "base")
    writer.measure(model, "trained")
    writer.finish(model)
    data: Any = model.model_card_data
    if not data.citations:  # not trained by a trainer, which would have told of the losses
        losses = list(writer.losses.values())
        within = [found for module in losses for found in get_losses(module)]
        data.set_losses(list(dict.fromkeys(within)))
    writer.section.training = _training_of(model)
    _attach(model, writer.section)


def add_to_saved_card(
    folder: Path,
    loss: nn.Module,
    evaluator: ScoreRegionEvaluator,
    measured: tuple[Mapping[str, float], Mapping[str, float]],
    *,
    base_model: str,
    claims: Sequence[str],
    compared: Sequence[str],
) -> None:
    """Add the section to the card of a model that is saved already, from numbers that are known already.

    Args:
        folder: The model's folder.
        loss: The loss that it was trained with.
        evaluator: What measured it.
        measured: The metrics of the base model, and of the trained one.
        base_model: What the training started from, as Markdown.
        claims: What is verified of the data and of the model, a sentence each.
        compared: The lines of a table of all losses that were compared; none if there was one.
    """
    writer = _Writer("add_to_saved_card", loss, evaluator, None, None, (0.0, 1.0))
    writer.start()
    writer.set(0, dict(measured[0]), "base")
    writer.set(0, dict(measured[1]), "trained")
    section = writer.section
    section.base_model, section.claims, section.compared = base_model, claims, compared
    _write(section, folder, section.threshold)


def _base_model_of(model: Any) -> str:
    """The name of the folder that a model's transformer was loaded from, where upstream may not find it on the hub."""
    config = getattr(getattr(model, "transformers_model", None), "config", None)
    name = str(getattr(config, "_name_or_path", "") or "")
    return f"{_code(Path(name).name)} (a local folder)" if name and Path(name).is_dir() else ""


class _Writer:
    """Makes a section: checks the arguments, measures, and finds the threshold."""

    def __init__(
        self,
        owner: str,
        loss: Any,
        evaluators: Any,
        threshold: ThresholdOrHow | None,
        metrics: Sequence[str] | None,
        score_range: tuple[float, float],
    ) -> None:
        self._owner = owner
        self.losses = _check_losses(owner, loss)
        self.evaluators = _check_evaluators(owner, evaluators)
        if threshold is not None and not isinstance(threshold, ScoreThreshold) and not callable(threshold):
            raise TypeError(
                f"{owner}: threshold must be a ScoreThreshold or a function of the model that gives one, got "
                f"{threshold!r}. Use selective_st.evaluation.choose_threshold, or ScoreThreshold(value, gold)."
            )
        if isinstance(metrics, str):
            raise TypeError(f"{owner}: metrics must be a list of names, got {metrics!r}; use [{metrics!r}].")
        if metrics is not None:
            metrics = list_of(owner, "metrics", metrics, "names", '["spearman"]')
            for name in metrics:
                instance_of(owner, "metrics", name, str, 'Write metrics=["spearman"].')
        self._threshold, self._names = threshold, metrics
        self._score_range = interval_of(owner, "score_range", score_range)
        self.section = _Section([], [])

    def start(self) -> None:
        """Begin a section without measurements."""
        given = self._threshold if isinstance(self._threshold, ScoreThreshold) else None
        parts = _loss_parts(self.losses, self._score_range)
        self.section = _Section(parts, [_metrics_of(evaluator) for evaluator in self.evaluators], given)

    def measure(self, model: Any, of: Literal["base", "trained"], epoch: float = -1, steps: int = -1) -> None:
        """Ask the evaluators about a model."""
        for place, evaluator in enumerate(self.evaluators):
            found = _evaluate(model, evaluator, epoch, steps)
            _check_names(self._owner, self._names or (), found, self.section.metrics[place].title)
            self.set(place, found, of)

    def set(self, place: int, found: dict[str, float], of: Literal["base", "trained"]) -> None:
        """Take what the evaluator at that place found."""
        evaluator, metrics = self.evaluators[place], self.section.metrics[place]
        primary = evaluator.primary_metric or ""  # some know it, or put a name before it, only now
        metrics.primary = primary.removeprefix(_prefix(evaluator)) if isinstance(primary, str) else ""
        # An evaluator may report fewer numbers to the card than it gives, as ScoreRegionEvaluator does.
        repeated = (NEGATIVE, "count_") if metrics.support else (NEGATIVE,)  # what the table has in another place
        names = [name for name in found if name == metrics.primary or not name.startswith(repeated)]
        names = names if self._names is None else [name for name in self._names if name in found]
        setattr(metrics, of, {name: found[name] for name in names})
        if of == "trained" and self._threshold is None and self.section.threshold is None:
            threshold = getattr(evaluator, "threshold", None)
            self.section.threshold = threshold if isinstance(threshold, ScoreThreshold) else None

    def finish(self, model: Any) -> None:
        """Choose the threshold for the trained model, where a function does."""
        if callable(self._threshold):
            mend = "Let the function give choose_threshold(...), or ScoreThreshold(value, gold)."
            found = self._threshold(model)
            self.section.threshold = instance_of(self._owner, "what threshold gives", found, ScoreThreshold, mend)

    def forget_trained(self) -> None:
        """The weights change: what was measured of the trained model does not hold any more."""
        for metrics in self.section.metrics:
            metrics.trained = {}
        if not isinstance(self._threshold, ScoreThreshold):
            self.section.threshold = None


def _warn_of_direction(args: TrainingArguments, evaluators: Sequence[BaseEvaluator]) -> None:
    """Warn where a trainer takes the largest error for the best: it knows no direction but that of a loss."""
    asked = (args.metric_for_best_model or "").removeprefix("eval_")
    for evaluator in evaluators:
        name = asked.removeprefix(_prefix(evaluator))
        is_error = f"{NEGATIVE}{name}" in getattr(evaluator, "metric_names", ())
        if is_error and args.greater_is_better and args.load_best_model_at_end:
            _logger.warning(
                "metric_for_best_model=%r is an error, but the trainer keeps the checkpoint where it is largest. Write "
                "metric_for_best_model=%r, or greater_is_better=False.",
                args.metric_for_best_model,
                f"eval_{_prefix(evaluator)}{NEGATIVE}{name}",
            )


class SelectiveModelCardCallback(TrainerCallback):
    """Adds a section on its selective loss to the card of the model that a trainer trains.

    It tells what the loss cares about, with a picture of the link and its config; compares the trained model with the
    one that the training started from; and gives the threshold to decide by, with how it was chosen. Works with the
    trainers of all four model types, and stays with the model: each card written during the training and after it has
    the section, in whatever folder or hub repository, with the picture beside it.

    Args:
        loss: The loss given to the trainer, or the dict of them by dataset; each gets its part. Losses within others,
            such as `MatryoshkaLoss`, are found.
        evaluators: What measures the model before the training and after it: any evaluators of Sentence Transformers,
            best `ScoreRegionEvaluator`. Where the trainer has them too, checkpoints show what it found.
        threshold: The threshold to decide by, or a function that chooses it for the trained model. Default: that of the
            first evaluator that has one, or else the one remembered with the model (`store_threshold`).
        metrics: Names of the metrics to show, without the evaluator's name before them. Default: all; those beyond the
            first dozen folded away.
        score_range: The scores to describe and draw the link on.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If no loss has a link, or `score_range` is empty; when the training begins, if a name is not that of
            a metric.

    Example:
        >>> callback = SelectiveModelCardCallback(loss, evaluators=evaluator)                     # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(                                                 # doctest: +SKIP
        ...     model, train_dataset=dataset, loss=loss, evaluator=evaluator, callbacks=[callback]
        ... )
        >>> trainer.train()                                                                       # doctest: +SKIP
        >>> model.save_pretrained("model")                                                        # doctest: +SKIP
    """

    def __init__(
        self,
        loss: nn.Module | Mapping[str, nn.Module],
        evaluators: BaseEvaluator | Sequence[BaseEvaluator] = (),
        *,
        threshold: ThresholdOrHow | None = None,
        metrics: Sequence[str] | None = None,
        score_range: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self._writer = _Writer(type(self).__name__, loss, evaluators, threshold, metrics, score_range)
        self._seen: list[Any] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the base model.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives: its model.
        """
        model, writer = _unwrapped(kwargs["model"]), self._writer
        _warn_of_direction(args, writer.evaluators)
        writer.start()
        # The trainer saves it in each checkpoint: who goes on from one has another model at hand, not the base.
        kept: Any = state.stateful_callbacks
        if state.global_step == 0:
            data = model.model_card_data
            reported = dict(data.eval_results_dict)
            writer.measure(model, "base", epoch=0, steps=0)
            data.eval_results_dict = reported  # upstream's card would show them as those of a checkpoint
            if isinstance(kept, dict):
                kept[_STATE_KEY] = {"args": {}, "attributes": {"base": [m.base for m in writer.section.metrics]}}
        elif writer.evaluators:
            base = (kept or {}).get(_STATE_KEY, {}).get("attributes", {}).get("base", [])
            if len(base) == len(writer.evaluators):
                for place, found in enumerate(base):
                    writer.set(place, found, "base")
            else:
                writer.section.note = (
                    "The base model was not measured: the training went on from a checkpoint that does not know of it."
                )
        writer.section.base_model = _base_model_of(model)
        _attach(model, writer.section)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forget what was measured of the model, which is about to change.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives: its model.
        """
        model = _unwrapped(kwargs["model"])
        self._writer.forget_trained()
        self._seen = self._reported(model)
        self._writer.section.training = _training_of(model)  # upstream's callback sets it after this one's beginning

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take what the trainer's evaluators found, where they are the section's too.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives: its model.
        """
        reported = self._reported(_unwrapped(kwargs["model"]))
        for place, (found, seen) in enumerate(zip(reported, self._seen, strict=False)):
            if found is not None and found is not seen and self._writer.section.metrics:
                self._writer.set(place, _plain(self._writer.evaluators[place], found), "trained")
        self._seen = reported

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the trained model, after the trainer has loaded the best checkpoint where it does.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives: its model.
        """
        model = _unwrapped(kwargs["model"])
        is_last = not (args.load_best_model_at_end and state.best_model_checkpoint)
        # The log of the last step is not the place for the numbers of the best one.
        epoch, steps = (state.epoch or 0.0, state.global_step) if is_last else (-1, -1)
        self._writer.measure(model, "trained", epoch, steps)
        try:
            self._writer.finish(model)
        except Exception:  # the training must not end with this
            _logger.exception("No threshold could be chosen; the model's card will be without.")
        self._seen = self._reported(model)

    def _reported(self, model: Any) -> list[Any]:
        """For each evaluator the numbers that it reported last: a new object each time."""
        results = model.model_card_data.eval_results_dict
        return [results.get(evaluator) for evaluator in self._writer.evaluators]
