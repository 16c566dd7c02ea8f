"""The objectives: from scores and labels to a loss, wherever the scores come from. They keep no state.

An objective's fields are settings of the loss. `targets_of` checks the labels of a batch, looking once at their values;
`loss_of` makes a loss of scores and these by what `selective_st.functional` knows, which holds the mathematics.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from selective_st import functional
from selective_st._ahead import on_cpu
from selective_st._caller import named
from selective_st._validation import finite_number, score_interval
from selective_st.functional._checks import calibration_weight, check_nonnegative
from selective_st.functional.listwise import LARGEST_RISE, ListMatching
from selective_st.functional.pointwise import MeanMatching
from selective_st.links import ConstantLink, Interval, Link
from selective_st.losses import _settings as settings
from selective_st.losses._common import Ranges, ScoreSpace, sentence, tensor_of, without_weight

_TEACHER_SPACES = {
    "cosine": Interval(-1.0, 1.0),
    "probability": Interval(0.0, 1.0),
    "logit": Interval(-math.inf, math.inf),
}
# Mean of the largest target probability, beyond which only the top counts, or hardly anything does.
_SATURATED, _FLAT = 0.99, 1.05
_CHECKED_ROWS = 1024
# A teacher's cosine of 1.0000001 is a rounding error, not a label of another scale.
_RANGE_TOLERANCE = 1e-4
_FEW_LABELS = 256


class Targets(NamedTuple):
    """The labels of a batch, checked.

    Attributes:
        values: The labels, in a shape that fits that of the scores; None for none.
        mask: Which of them count; None for all.
        of_lists: Whether each row had a list of documents of its own, rather than columns.
    """

    values: Any
    mask: Tensor | None = None
    of_lists: bool = False


@dataclass(frozen=True, kw_only=True)
class Objective(settings.Part):
    """From scores and labels to a loss.

    Attributes:
        space: Where the scores lie.
        link: What matters.
        columns: How many columns of texts there may be.
        columns_said: The sentence for other numbers of columns.
        link_is_positive: Whether the link must not be negative, whatever the labels.
        reaches: Whether labels are scores that are to be reached.
        is_simple: Whether the link is one for all scores: then most batches go straight to the formula.
    """

    columns: ClassVar[range]
    columns_said: ClassVar[str]
    link_is_positive: ClassVar[bool] = False
    space: ScoreSpace
    link: Link = settings.link()
    reaches: bool = settings.found()
    is_simple: bool = settings.found()
    _straight: Link = settings.found()
    _ranges: Ranges = settings.found(())

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_domain(self.link)
        if self.link_is_positive:
            self.check_positive()
        is_simple = self.link.domain == (-math.inf, math.inf)
        reaches = getattr(self, "targets", None) == "scores"
        self._settle(is_simple=is_simple, reaches=reaches, _straight=without_weight(self.link))

    def check_domain(self, link: Link) -> None:
        """Raise a ValueError where the scores leave a link's domain, as far as is known before there are any."""
        if self.space.range.low > -math.inf and not link.domain.includes(self.space.range):
            raise ValueError(self.said("beyond_domain", space=self.space, link=link))

    def check_positive(self, scores: Tensor | None = None) -> None:
        """Raise a ValueError where the link is negative on scores that there can be, not only there are.

        Args:
            scores: Scores of a batch; None before there are any. Where scores have no bounds and both signs, one as far
                below 0 as these are from it is to be expected.
        """
        lowest = max(self.space.range.low, 0.0) if self.space.sign == 1 else self.space.range.low
        if math.isfinite(lowest):
            check_nonnegative(self.owner, self.link, lowest)
        elif scores is not None and scores.numel() and self.link._lowest_value < 0 and self.space.sign == 0:
            check_nonnegative(self.owner, self.link, -float(scores.detach().abs().max()))

    def check_columns(self, columns: int) -> None:
        """Raise a ValueError if there are too few text columns."""
        if columns not in self.columns:
            raise ValueError(f"{self.owner} {sentence(self.columns_said, columns=columns)}")

    def rows_of(self, columns: Sequence[Any], *, of_lists: bool = False) -> int:
        """How many rows a batch has; a ValueError if there are too few columns, no rows, or not as many in each."""
        if not of_lists:  # which are a column for any number of documents
            self.check_columns(len(columns))
        rows = [*map(len, columns)]
        if not rows[0]:
            raise ValueError(self.said("no_rows", inputs=self.space.inputs))
        if len({*rows}) > 1:
            raise ValueError(self.said("other_rows", inputs=self.space.inputs, rows=rows))
        return rows[0]

    def known(self, labels: Tensor, ranges: Ranges = (), *, may_be_never: bool = False) -> Tensor | None:
        """Check that labels lie within ranges, and find the padded ones, by one look at the values on their device.

        Args:
            labels: Labels of shape (batch_size,), or (batch_size, documents) where NaN marks a padded document.
            ranges: Where they must lie.
            may_be_never: Whether minus infinity is allowed, for a document that is never right.

        Returns:
            Which labels count; None for all, which are finite then.

        Raises:
            ValueError: If a row has no label at all, or a label lies outside a range; with the line that maps it.
        """
        seen = on_cpu(labels) if labels.is_cuda else labels
        if seen.numel() > _FEW_LABELS:
            low, high = torch.stack(seen.aminmax()).tolist()
            has_padding = math.isnan(low)
        else:  # which cost less to look through than tensor operations do to start
            values = seen.flatten().tolist()
            low, high, has_padding = min(values), max(values), math.isnan(sum(values))
        mask = None
        if has_padding or (may_be_never and -math.inf in (low, high)):
            known = seen > -math.inf if may_be_never else ~seen.isnan()
            rows = (~known.view(len(known), -1).any(dim=1)).nonzero().flatten().tolist()
            if rows:
                raise ValueError(self.said("nan_rows", rows=rows[:5]))
            low, high = torch.stack(seen[known].aminmax()).tolist()
            mask = (~seen.isnan()).to(labels.device, non_blocking=True)
        if math.isinf(low) or math.isinf(high):
            raise ValueError(self.said("not_finite", low=low, high=high))
        for what, allowed, advice in ranges:
            if low < allowed.low - _RANGE_TOLERANCE or high > allowed.high + _RANGE_TOLERANCE:
                facts = {"allowed": allowed, "what": what, "low": low, "high": high, "advice": sentence(advice)}
                raise ValueError(self.said("out_of_range", **facts))
        return mask

    def targets_of(self, labels: Any, shape: tuple[int, ...], *, of_lists: bool = False) -> Targets:
        """The labels of a batch, checked.

        Args:
            labels: What the loss takes for labels.
            shape: The shape of the scores: (batch_size,), or (batch_size, n) for n documents a row.
            of_lists: Whether each row has a list of documents of its own, padded with NaN among the labels.

        Returns:
            The labels, and which of them count.
        """
        if not isinstance(labels, Tensor) or labels.shape != shape or not labels.is_floating_point():
            labels = self.fitted(tensor_of(self.owner, labels), shape)
        return Targets(labels, self.known(labels, self._ranges), of_lists)

    def fitted(self, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Labels that are no floats in the scores' shape, as they are to be taken; or an error."""
        raise NotImplementedError

    def loss_of(self, scores: Tensor, targets: Any, weight: Tensor | None) -> Tensor:
        """The mean loss of scores, given what `targets_of` gave, and the weights of rows."""
        raise NotImplementedError  # of losses of embeddings

    def takes_integers(self, labels: Sequence[Tensor]) -> bool:
        """Whether lists of integers can be taken as the floats that they equal."""
        return False

    def to_be_reached(self, labels: Any) -> Tensor | None:
        """The scores that are to be reached, if the labels are such."""
        return labels if self.reaches and isinstance(labels, Tensor) else None

    def remarks(self, labels: Any) -> list[str]:
        """What is odd in the labels of the first batch."""
        return []


@dataclass(frozen=True, kw_only=True)
class Pointwise(Objective):
    """Each score matched to its label.

    Attributes:
        targets: What labels are: "scores" or "link_values".
        pos_weight: How much more a 1 counts than a 0.
    """

    columns = range(2, sys.maxsize)
    columns_said = "columns_of_scores"
    targets: str = settings.one_of("scores", "link_values")
    pos_weight: Any = None
    _bounds: Interval | None = settings.found()

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        bounds, weight = self.link.domain, self.pos_weight
        ranges = [(f"the domain of {self.link!r}", bounds, "map_scores"), *self.space.ranges()]
        if self.targets == "link_values":
            bounds = self.link.range
            ranges = [(f'the range of {self.link!r} (targets="link_values")', bounds, "use_scores")]
            weight = weight.item() if isinstance(weight, Tensor) and weight.numel() == 1 else weight
            if weight is not None:
                self._settle(pos_weight=finite_number(self.owner, "pos_weight", weight, positive=True))
            self._settle(is_simple=False)
        elif weight is not None:
            raise ValueError(self.said("pos_weight_for_scores", loss=self.owner))
        # Labels are clamped of the rounding error that the check allows.
        self._settle(_ranges=ranges, _bounds=None if bounds == (-math.inf, math.inf) else bounds)

    @override
    def fitted(self, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
        rows, documents = shape if len(shape) == 2 else (*shape, 1)
        shapes = [(rows,), (rows, 1)] if documents == 1 else [(rows, documents)]
        if labels.shape not in shapes:
            got = tuple(labels.shape)
            raise ValueError(self.said("shape_of_scores", shapes=shapes, columns=documents + 1, got=got))
        if not labels.is_floating_point() and (self.targets == "scores" or labels.is_complex()):
            raise TypeError(self.said("integer_scores", dtype=labels.dtype))
        return labels

    @override
    def loss_of(self, scores: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
        labels = targets.values.to(scores).view(scores.shape)
        if self._bounds is not None:
            labels = labels.clamp(*self._bounds)
        if self.is_simple and targets.mask is None and weight is None:
            return MeanMatching(self._straight)(scores, labels)
        return self._loss_of_some(scores, labels, targets.mask, weight)

    @named(predicted="scores", target="labels", link_values="labels")
    def _loss_of_some(self, scores: Tensor, labels: Tensor, mask: Tensor | None, weight: Tensor | None) -> Tensor:
        mask = None if mask is None else mask.to(scores.device).view(scores.shape)
        if self.targets == "scores":
            return functional.matching_loss(scores, labels, self.link, mask=mask, weight=weight)
        pos_weight = self.pos_weight or 1.0
        return functional.fenchel_young_loss(scores, labels, self.link, pos_weight=pos_weight, mask=mask, weight=weight)

    @override
    def takes_integers(self, labels: Sequence[Tensor]) -> bool:
        return self.targets == "link_values"


@dataclass(frozen=True, kw_only=True)
class Calibrated(Objective):
    """An objective with a ranking term and a calibration term.

    Attributes:
        calibration: The weight of the calibration term.
        calibration_link: Its link, or None for the link.
    """

    calibration: float = settings.nonnegative(1.0)
    calibration_link: Any = settings.link(None)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self._settle(calibration_link=self.calibration_link or self.link)
        self.check_domain(self.calibration_link)

    @property
    def is_plain(self) -> bool:
        """Whether it is a plain Softmax, which does not care where the scores lie."""
        return isinstance(self.link, ConstantLink) and not calibration_weight(self.calibration, self.calibration_link)


@dataclass(frozen=True, kw_only=True)
class Pairwise(Calibrated):
    """A positive against its negatives.

    Attributes:
        temperature: The temperature, in units of the potential.
        targets: What labels are: "margins" or "scores", or None to tell it by their shape.
    """

    columns = range(3, sys.maxsize)
    columns_said = "columns_of_negatives"
    temperature: float = settings.positive(1.0)
    targets: str | None = settings.one_of("margins", "scores", default=None)

    @override
    def targets_of(self, labels: Any, shape: tuple[int, ...], *, of_lists: bool = False) -> Targets:
        if labels is None:
            if self.targets is not None:
                raise ValueError(self.said("targets_without_labels", targets=self.targets))
            return Targets(None)
        if self._kind_of_labels(labels, shape[0], shape[1] - 1) == "margins":
            if labels.dim() == 2 and labels.shape[1] == shape[1]:
                labels = labels[:, :1] - labels[:, 1:]
            labels = labels.view(shape[0], -1)
            return Targets(labels, self.check_margins(labels))
        mask = self.known(labels, self.space.ranges())
        if mask is not None:
            self.known(labels[:, 0])  # a positive without a score is no padding: it is in every pair
        return Targets(labels, mask)

    @override
    @named(predicted="scores", target="labels")
    def loss_of(self, scores: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
        positive, negative = scores.split_with_sizes([1, scores.shape[1] - 1], 1)
        if targets.values is None:
            self.check_positive(scores)
            return functional.pairwise_loss(positive.squeeze(1), negative, self.link, self.temperature, weight=weight)
        labels = targets.values.to(scores)
        if labels.shape == scores.shape:
            return self.matched(positive, negative, labels[:, :1], labels[:, 1:], weight)
        if self.is_simple and targets.mask is None and weight is None:
            return MeanMatching(self._straight)(positive - negative, labels)
        of_pairs = positive.squeeze(1), negative, labels
        return functional.margin_loss(*of_pairs, self.link, mask=targets.mask, weight=weight)

    def matched(self, positive: Tensor, negative: Tensor, high: Tensor, low: Tensor, weight: Tensor | None) -> Tensor:
        """The matching loss of pairs of scores as lists of two; NaN among the targets marks a pair that is none."""
        targets = torch.stack([high.expand_as(low), low], -1)
        return functional.listwise_matching_loss(
            torch.stack([positive.expand_as(negative), negative], -1),
            targets,
            self.link,
            self.temperature,
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            mask=~targets.sum(-1, keepdim=True).isnan().expand_as(targets),
            weight=weight,
        )

    def check_margins(self, margins: Tensor) -> Tensor | None:
        """Which margins count (None for all); a ValueError for those that no two scores have."""
        low, high = self.space.range
        what = f"the range of differences of {self.space.name}"
        return self.known(margins, [(what, Interval(low - high, high - low), "scale_margins")])

    def _kind_of_labels(self, labels: Any, rows: int, negatives: int) -> str:
        """Whether labels are margins or scores; an error where they are neither, or could be both."""
        if not isinstance(labels, Tensor) or not labels.is_floating_point():
            raise TypeError(self.said("integer_margins", got=getattr(labels, "dtype", type(labels).__name__)))
        shape = tuple(labels.shape)
        if shape == (rows, negatives + 1):
            if self.targets is None:
                raise ValueError(self.said("margins_or_scores", labels=negatives + 1))
            return self.targets
        if self.targets == "scores" or (shape != (rows, negatives) and (negatives > 1 or shape != (rows,))):
            facts = {"rows": rows, "negatives": negatives, "targets": self.targets, "shape": shape}
            raise ValueError(self.said("shape_of_margins", **facts))
        return "margins"


def _label_range(owner: str, name: str, value: Any) -> tuple[float, float]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError(f"{owner}: {name} must be two numbers such as (0, 5), got {value!r}.")
    return score_interval(owner, *value, names=(f"{name}[0]", f"{name}[1]"))


@dataclass(frozen=True, kw_only=True)
class Listwise(Calibrated):
    """All candidates of a query against one another.

    Attributes:
        temperature: The temperature, in units of the potential.
        student_temperature: That of the predicted probabilities.
        teacher_temperature: That of the target's probabilities.
        targets: What labels are: "scores" or "labels".
        label_smoothing: How much of a label is spread over the candidates.
        teacher_space: What target scores are: "cosine", "probability", "logit", or None for the predicted scores' own.
        label_range: The ends of a scale of graded relevance, or None.
        lists: What a list is: "rows", or "batch" for all pairs of a batch.
    """

    temperature: float = settings.positive(1.0)
    student_temperature: Any = settings.positive(None)
    teacher_temperature: Any = settings.positive(None)
    targets: str = settings.one_of("scores", "labels", default="scores")
    label_smoothing: float = settings.smoothing(0.0)
    teacher_space: str | None = settings.one_of(*_TEACHER_SPACES, default=None)
    label_range: tuple[float, float] | None = settings.setting(_label_range, None)
    lists: str = settings.one_of("rows", "batch", default="rows")
    _rule: ListMatching = settings.found()

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_that_settings_agree()
        is_batch, other = self.lists == "batch", self.calibration_link
        self._settle(
            student_temperature=self.student_temperature or self.temperature,
            teacher_temperature=self.teacher_temperature or self.temperature,
            _ranges=self._ranges_of_scores(),
            columns=range(2, 3) if is_batch else range(3, sys.maxsize),
            columns_said="columns_of_one_list" if is_batch else "columns_of_lists",
        )
        rule = ListMatching(
            link=self._straight,
            calibration_link=self._straight if other == self.link else without_weight(other),
            temperature=self.student_temperature,
            target_temperature=self.teacher_temperature,
            calibration=calibration_weight(self.calibration, other),
            mean=True,
            may_overflow=self._may_overflow(),
        )
        has_domain = rule.calibration and other.domain != (-math.inf, math.inf)
        self._settle(_rule=rule, is_simple=self.is_simple and not has_domain)

    def _may_overflow(self) -> bool:
        """Whether exponentials of potentials may overflow, as far as is known of where scores and labels lie."""
        space = self.space.range
        if not self._ranges or not all(map(math.isfinite, space)):
            return True
        ends = torch.tensor([min(space.low, -1.0), max(space.high, 1.0)], dtype=torch.float64)
        highest = float(self.link.potential(ends.clamp(*self.link.domain)).abs().max())
        return not 2 * highest * (1 / self.student_temperature + 1 / self.teacher_temperature) < LARGEST_RISE

    @property
    def link_is_positive(self) -> bool:  # type: ignore[override]
        """Whether the link must not be negative: not where it is to match scores."""
        return self.targets == "labels"

    def _check_that_settings_agree(self) -> None:
        if self.label_range is not None and self.teacher_space is not None:
            raise ValueError(self.said("range_and_space"))
        if self.targets == "labels" and self.lists == "batch":
            raise ValueError(self.said("batch_of_labels"))
        for name in ("label_smoothing",) if self.targets == "scores" else ("teacher_space", "label_range"):
            if getattr(self, name):
                raise ValueError(self.said("for_other_targets", name=name, targets=self.targets))

    def _ranges_of_scores(self) -> Ranges:
        """Where target scores must lie."""
        if self.label_range is not None:
            return [("label_range", Interval(*self.label_range), "mend_labels")]
        if self.teacher_space is not None:
            return [(f'teacher_space="{self.teacher_space}"', _TEACHER_SPACES[self.teacher_space], "declare_space")]
        # A plain Softmax does not care where the scores lie; a link does.
        return [] if self.is_plain else self.space.ranges("declare_teacher")

    @override
    def targets_of(self, labels: Any, shape: tuple[int, ...], *, of_lists: bool = False) -> Targets:
        if of_lists and self.lists == "batch":
            raise ValueError(self.said("lists_for_one_list"))
        if not isinstance(labels, Tensor) or labels.shape != shape or not labels.is_floating_point():
            labels = self.fitted(tensor_of(self.owner, labels), shape)
        if self.targets == "labels":
            is_padded = labels.shape == shape and labels.is_floating_point() and bool(on_cpu(labels).isnan().any())
            return Targets(labels, self.known(labels) if is_padded else None)
        # A pair without a score is no padding, nor is it never right.
        return Targets(labels, self.known(labels, self._ranges, may_be_never=self.lists == "rows"))

    @override
    def fitted(self, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
        got = tuple(labels.shape)
        facts = {"rows": shape[0], "documents": shape[-1], "shape": got}
        if self.targets == "labels":
            if got not in (shape[:1], shape):
                raise ValueError(self.said("shape_of_positives", **facts))
        elif got != shape:
            raise ValueError(self.said("shape_of_one_list" if self.lists == "batch" else "shape_of_lists", **facts))
        elif not labels.is_floating_point():
            raise TypeError(self.said("integer_relevances", dtype=labels.dtype))
        return labels

    @override
    def loss_of(self, scores: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
        labels, mask = targets.values, targets.mask
        if self.lists == "batch":
            if weight is not None:
                raise ValueError(self.said("weight_of_one_list"))
            scores, labels = scores.view(1, -1), labels.view(1, -1)
        if self.targets == "labels" or weight is not None or not self.is_simple:
            return self._loss_of_some(scores, labels, mask, weight)
        labels = self._to_scores(labels.to(scores))
        if mask is None:
            return replace(self._rule)(scores, labels, None, None)
        mask = mask.to(scores.device)
        never = targets.values.to(scores.device) == -math.inf
        scores = torch.where(mask, scores, 0)
        return replace(self._rule)(scores, torch.where(mask & ~never, labels, scores.detach()), mask, never)

    @named(predicted="scores", target="labels", listwise_matching_loss='targets="scores"')
    def _loss_of_some(self, scores: Tensor, labels: Tensor, mask: Tensor | None, weight: Tensor | None) -> Tensor:
        shared: Any = {"link": self.link, "temperature": self.student_temperature, "mask": mask, "weight": weight}
        if self.targets == "labels":
            self.check_positive(scores)
            labels = labels if mask is None else labels.nan_to_num(0.0)
            return functional.listwise_label_loss(scores, labels, label_smoothing=self.label_smoothing, **shared)
        labels = labels.to(scores)
        never = labels == -math.inf
        return functional.listwise_matching_loss(
            scores,
            self._to_scores(labels).masked_fill(never, -math.inf),
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            target_temperature=self.teacher_temperature,
            **shared,
        )

    def _to_scores(self, labels: Tensor) -> Tensor:
        """Labels on the scale of the predicted scores."""
        if self.label_range is not None:
            low, high = self.label_range
            return (labels - low) / (high - low)
        if self.teacher_space == "logit" and not self.space.are_logits:
            return labels.sigmoid()
        return labels

    @override
    def takes_integers(self, labels: Sequence[Tensor]) -> bool:
        # As ListNetLoss does with the 0 and 1 of mine_hard_negatives(output_format="labeled-list").
        are_safe = self.targets == "labels" or self.label_range is not None
        return are_safe or all(bool(((row == 0) | (row == 1)).all()) for row in labels)

    @override
    def to_be_reached(self, labels: Any) -> Tensor | None:
        labels = super().to_be_reached(labels)
        return None if labels is None or self.is_plain else self._to_scores(labels)

    @override
    def remarks(self, labels: Any) -> list[str]:
        """That the target's probabilities leave nothing to learn: all on one candidate, or the same for all."""
        if self.targets != "scores":
            return []
        labels = (labels[None] if self.lists == "batch" else labels)[:_CHECKED_ROWS].float()
        known = labels.isfinite()
        with torch.no_grad():
            potentials = self.link.potential(torch.where(known, self._to_scores(labels), 0))
        potentials, counts = potentials.masked_fill(~known, -math.inf), known.sum(-1)
        largest = torch.softmax(potentials / self.teacher_temperature, -1).amax(-1)
        # In a list of two there are no others whose order could be lost.
        saturated = float(largest[counts > 2].mean()) > _SATURATED
        if not saturated and not float((largest * counts)[counts > 1].mean()) < _FLAT:
            return []
        spreads = potentials.amax(-1) - torch.where(known, potentials, math.inf).amin(-1)
        spread = float(spreads[counts > 1].median())
        facts = {"temperature": self.teacher_temperature, "saturated": saturated, "spread": spread}
        return [sentence("nothing_to_learn", **facts)]
