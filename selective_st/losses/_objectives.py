"""The objectives: from scores and labels to a loss, wherever the scores come from. They keep no state.

An objective's fields are settings of the loss. `targets_of` checks the labels of a batch, looking once at their values;
`loss_of` makes a loss of scores and these by what `selective_st.functional` knows, which holds the mathematics.
"""

from __future__ import annotations

import math
import sys
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._ahead import on_cpu
from selective_st._caller import named
from selective_st._validation import finite_number, score_interval
from selective_st.functional import (
    fenchel_young_loss,
    listwise_label_loss,
    listwise_matching_loss,
    margin_loss,
    matching_loss,
    pairwise_loss,
)
from selective_st.functional._common import calibration_weight
from selective_st.functional.listwise import LARGEST_RISE, ListMatching
from selective_st.functional.pointwise import MeanMatching
from selective_st.links import ConstantLink, Interval, Link
from selective_st.losses._common import (
    NONNEGATIVE,
    POSITIVE,
    Part,
    Ranges,
    ScoreSpace,
    a_link,
    check_label_range,
    check_link_of_space,
    check_positive_link,
    dtype_of,
    one_of,
    optional,
    said,
    sentence,
    setting,
    smoothing,
    tensor_of,
    without_weight,
)

_TEACHER_SPACES = {
    "cosine": Interval(-1.0, 1.0),
    "probability": Interval(0.0, 1.0),
    "logit": Interval(-math.inf, math.inf),
}
# Mean of the largest target probability, beyond which only the top counts, or hardly anything does.
_SATURATED, _FLAT = 0.99, 1.05
_ODD_SIZE = 2.0  # beyond it, a link's mean value is no longer about 1
_CHECKED_ROWS = 1024


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
class Objective(Part):
    """From scores and labels to a loss.

    Attributes:
        space: Where the scores lie.
        link: What matters.
        columns: How many columns of texts there may be.
        columns_said: The sentence for other numbers of columns.
        is_simple: Whether the link is one for all scores: then most batches go straight to the formula.
    """

    columns: ClassVar[range]
    columns_said: ClassVar[str]
    space: ScoreSpace
    link: Link = setting(a_link)
    is_simple: bool = field(init=False, compare=False, repr=False)
    _straight: Link = field(init=False, compare=False, repr=False)
    _ranges: Ranges = field(init=False, compare=False, repr=False, default=())

    def __post_init__(self) -> None:
        super().__post_init__()
        check_link_of_space(self.owner, self.link, self.space)
        if self.link_is_positive:
            check_positive_link(self.owner, self.link, self.space)
        self._settle(is_simple=self.link.domain == (-math.inf, math.inf), _straight=without_weight(self.link))

    @property
    def link_is_positive(self) -> bool:
        """Whether the link must not be negative, whatever the labels."""
        return False

    def check_batch(self, columns: int, rows: int) -> None:
        """Raise a ValueError if there are too few text columns, or no rows."""
        if columns not in self.columns:
            raise ValueError(f"{self.owner} {sentence(self.columns_said, columns=columns)}")
        if not rows:
            raise ValueError(said("no_rows", self.owner, inputs=self.space.inputs))

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
            labels = self.fitted(labels, shape)
        return Targets(labels, check_label_range(self.owner, labels, self._ranges), of_lists)

    def fitted(self, labels: Any, shape: tuple[int, ...]) -> Tensor:
        """Labels that are no floats in the scores' shape, as they are to be taken; or an error."""
        raise NotImplementedError

    @abstractmethod
    def loss_of(self, scores: Tensor, targets: Any, weight: Tensor | None) -> Tensor:
        """The mean loss of scores, given what `targets_of` gave, and the weights of rows."""

    def takes_integers(self, labels: Sequence[Tensor]) -> bool:
        """Whether lists of integers can be taken as the floats that they equal."""
        return False

    def to_be_reached(self, labels: Any) -> Tensor | None:
        """The scores that are to be reached, if the labels are such."""
        return None

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
    targets: str = setting(one_of("scores", "link_values"))
    pos_weight: Any = None
    _bounds: Interval | None = field(init=False, compare=False, repr=False)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.targets == "link_values":
            bounds = self.link.range
            ranges = [(f'the range of {self.link!r} (targets="link_values")', bounds, "use_scores")]
        else:
            bounds = self.link.domain
            ranges = [(f"the domain of {self.link!r}", bounds, "map_scores"), *self.space.ranges()]
        # Labels are clamped of the rounding error that the check allows.
        bounded = None if bounds == (-math.inf, math.inf) else bounds
        self._settle(_ranges=ranges, _bounds=bounded, pos_weight=self._checked_pos_weight())
        self._settle(is_simple=self.is_simple and self.targets == "scores")

    def _checked_pos_weight(self) -> float | None:
        value = self.pos_weight
        if value is None:
            return None
        if self.targets == "scores":
            raise ValueError(said("pos_weight_for_scores", self.owner, loss=self.owner))
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError(said("pos_weight_shape", self.owner, shape=tuple(value.shape)))
            value = value.item()
        return finite_number(self.owner, "pos_weight", value, positive=True)

    @override
    def fitted(self, labels: Any, shape: tuple[int, ...]) -> Tensor:
        got = tuple(tensor_of(self.owner, labels).shape)
        rows, documents = shape if len(shape) == 2 else (*shape, 1)
        shapes = [(rows,), (rows, 1)] if documents == 1 else [(rows, documents)]
        if got not in shapes:
            raise ValueError(said("shape_of_scores", self.owner, shapes=shapes, columns=documents + 1, got=got))
        if not labels.is_floating_point() and (self.targets == "scores" or labels.is_complex()):
            raise TypeError(said("integer_scores", self.owner, dtype=labels.dtype))
        checked: Tensor = labels
        return checked

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
            return matching_loss(scores, labels, self.link, mask=mask, weight=weight)
        pos_weight = 1.0 if self.pos_weight is None else self.pos_weight
        return fenchel_young_loss(scores, labels, self.link, pos_weight=pos_weight, mask=mask, weight=weight)

    @override
    def takes_integers(self, labels: Sequence[Tensor]) -> bool:
        return self.targets == "link_values"

    @override
    def to_be_reached(self, labels: Any) -> Tensor | None:
        return labels if self.targets == "scores" and isinstance(labels, Tensor) else None


@dataclass(frozen=True, kw_only=True)
class Calibrated(Objective):
    """An objective with a ranking term and a calibration term.

    Attributes:
        calibration: The weight of the calibration term.
        calibration_link: Its link, or None for the link.
    """

    calibration: float = setting(NONNEGATIVE, 1.0)
    calibration_link: Link | None = setting(optional(a_link), None)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        link = self.calibration_link or self.link
        check_link_of_space(self.owner, link, self.space)
        self._settle(calibration_link=link)

    @property
    def is_plain(self) -> bool:
        """Whether it is a plain Softmax, which does not care where the scores lie."""
        link = self.calibration_link or self.link
        return isinstance(self.link, ConstantLink) and not calibration_weight(self.calibration, link)


@dataclass(frozen=True, kw_only=True)
class Pairwise(Calibrated):
    """A positive against its negatives.

    Attributes:
        temperature: The temperature, in units of the potential.
        targets: What labels are: "margins" or "scores", or None to tell it by their shape.
    """

    columns = range(3, sys.maxsize)
    columns_said = "columns_of_negatives"
    temperature: float = setting(POSITIVE, 1.0)
    targets: str | None = setting(one_of(None, "margins", "scores"), None)

    @override
    def targets_of(self, labels: Any, shape: tuple[int, ...], *, of_lists: bool = False) -> Targets:
        if labels is None:
            if self.targets is not None:
                raise ValueError(said("targets_without_labels", self.owner, targets=self.targets))
            return Targets(None)
        if self._kind_of_labels(labels, shape[0], shape[1] - 1) == "margins":
            if labels.dim() == 2 and labels.shape[1] == shape[1]:
                labels = labels[:, :1] - labels[:, 1:]
            labels = labels.view(shape[0], -1)
            return Targets(labels, self.check_margins(labels))
        mask = check_label_range(self.owner, labels, self.space.ranges())
        if mask is not None:
            check_label_range(self.owner, labels[:, 0])  # a positive without a score is no padding: it is in every pair
        return Targets(labels, mask)

    @override
    @named(predicted="scores", target="labels")
    def loss_of(self, scores: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
        positive, negative = scores.split_with_sizes([1, scores.shape[1] - 1], 1)
        if targets.values is None:
            check_positive_link(self.owner, self.link, self.space, scores)
            return pairwise_loss(positive.squeeze(1), negative, self.link, self.temperature, weight=weight)
        labels = targets.values.to(scores)
        if labels.shape == scores.shape:
            return self.matched(positive, negative, labels[:, :1], labels[:, 1:], weight)
        if self.is_simple and targets.mask is None and weight is None:
            return MeanMatching(self._straight)(positive - negative, labels)
        return margin_loss(positive.squeeze(1), negative, labels, self.link, mask=targets.mask, weight=weight)

    def matched(self, positive: Tensor, negative: Tensor, high: Tensor, low: Tensor, weight: Tensor | None) -> Tensor:
        """The matching loss of pairs of scores as lists of two; NaN among the targets marks a pair that is none."""
        targets = torch.stack([high.expand_as(low), low], -1)
        return listwise_matching_loss(
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
        return check_label_range(self.owner, margins, [(what, Interval(low - high, high - low), "scale_margins")])

    def _kind_of_labels(self, labels: Any, rows: int, negatives: int) -> str:
        """Whether labels are margins or scores; an error where they are neither, or could be both."""
        if not isinstance(labels, Tensor) or not labels.is_floating_point():
            raise TypeError(said("integer_margins", self.owner, got=dtype_of(labels)))
        shape = tuple(labels.shape)
        if shape == (rows, negatives + 1):
            if self.targets is None:
                raise ValueError(said("margins_or_scores", self.owner, labels=negatives + 1))
            return self.targets
        if shape == (rows, negatives) or (negatives == 1 and shape == (rows,)):
            if self.targets == "scores":
                raise ValueError(said("margins_for_scores", self.owner, labels=negatives + 1, shape=shape))
            return "margins"
        raise ValueError(said("shape_of_margins", self.owner, rows=rows, negatives=negatives, shape=shape))

    @override
    def to_be_reached(self, labels: Any) -> Tensor | None:
        return labels if self.targets == "scores" and isinstance(labels, Tensor) else None


def _label_range(owner: str, name: str, value: Any) -> tuple[float, float]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError(said("label_range", owner, got=repr(value)))
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

    temperature: float = setting(POSITIVE, 1.0)
    student_temperature: Any = setting(optional(POSITIVE), None)
    teacher_temperature: Any = setting(optional(POSITIVE), None)
    targets: str = setting(one_of("scores", "labels"), "scores")
    label_smoothing: float = setting(smoothing, 0.0)
    teacher_space: str | None = setting(one_of(None, *_TEACHER_SPACES), None)
    label_range: tuple[float, float] | None = setting(optional(_label_range), None)
    lists: str = setting(one_of("rows", "batch"), "rows")
    _rule: ListMatching = field(init=False, compare=False, repr=False)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_that_settings_agree()
        for name in ("student_temperature", "teacher_temperature"):
            self._settle(**{name: getattr(self, name) or self.temperature})
        is_batch = self.lists == "batch"
        self._settle(
            _ranges=self._ranges_of_scores(),
            columns=range(2, 3) if is_batch else range(3, sys.maxsize),
            columns_said="columns_of_one_list" if is_batch else "columns_of_lists",
        )
        other = self.calibration_link
        assert other is not None
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
    @override
    def link_is_positive(self) -> bool:
        return self.targets == "labels"

    def _check_that_settings_agree(self) -> None:
        if self.lists == "batch" and self.targets == "labels":
            raise ValueError(said("batch_of_labels", self.owner))
        if self.label_range is not None and self.teacher_space is not None:
            raise ValueError(said("range_and_space", self.owner))
        if self.targets == "scores" and self.label_smoothing:
            raise ValueError(said("smoothing_of_scores", self.owner))
        for name in ("teacher_space", "label_range"):
            if self.targets == "labels" and getattr(self, name) is not None:
                raise ValueError(said("scale_of_labels", self.owner, name=name))

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
            raise ValueError(said("lists_for_one_list", self.owner))
        if not isinstance(labels, Tensor) or labels.shape != shape or not labels.is_floating_point():
            labels = self.fitted(labels, shape)
        if self.targets == "labels":
            is_padded = labels.shape == shape and labels.is_floating_point() and bool(on_cpu(labels).isnan().any())
            return Targets(labels, check_label_range(self.owner, labels) if is_padded else None)
        may_be_never = self.lists == "rows"  # a pair without a score is no padding, nor is it never right
        return Targets(labels, check_label_range(self.owner, labels, self._ranges, may_be_never=may_be_never))

    @override
    def fitted(self, labels: Any, shape: tuple[int, ...]) -> Tensor:
        owner = self.owner
        checked = tensor_of(owner, labels)
        got = tuple(checked.shape)
        if self.lists == "batch" and got != shape:
            raise ValueError(said("shape_of_one_list", owner, rows=shape[0], shape=got))
        rows, documents = shape[0], shape[-1]
        if self.targets == "labels":
            if got not in ((rows,), shape):
                raise ValueError(said("shape_of_positives", owner, rows=rows, documents=documents, shape=got))
            return checked
        if not checked.is_floating_point():
            raise TypeError(said("integer_relevances", owner, dtype=checked.dtype))
        if got != shape:
            facts = {"rows": rows, "documents": documents, "shape": got, "are_margins": got == (rows, documents - 1)}
            raise ValueError(said("shape_of_lists", owner, **facts))
        return checked

    @override
    def loss_of(self, scores: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
        labels, mask = targets.values, targets.mask
        if self.lists == "batch":
            if weight is not None:
                raise ValueError(said("weight_of_one_list", self.owner))
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
        if self.targets == "labels":
            check_positive_link(self.owner, self.link, self.space, scores)
            return listwise_label_loss(
                scores,
                labels if mask is None else labels.nan_to_num(0.0),
                self.link,
                self.student_temperature,
                label_smoothing=self.label_smoothing,
                mask=mask,
                weight=weight,
            )
        labels = labels.to(scores)
        never = labels == -math.inf
        return listwise_matching_loss(
            scores,
            self._to_scores(labels).masked_fill(never, -math.inf),
            self.link,
            self.student_temperature,
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            target_temperature=self.teacher_temperature,
            mask=mask,
            weight=weight,
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
        matches = self.targets == "scores" and not self.is_plain and isinstance(labels, Tensor)
        return self._to_scores(labels) if matches else None

    @override
    def remarks(self, labels: Any) -> list[str]:
        """That the target's probabilities leave nothing to learn: all on one candidate, or the same for all."""
        if self.targets != "scores":
            return []
        labels = labels[None] if self.lists == "batch" else labels
        labels = labels[:_CHECKED_ROWS].to(torch.promote_types(labels.dtype, torch.float))
        known, targets = labels.isfinite(), self._to_scores(labels)
        with torch.no_grad():
            potentials = self.link.potential(torch.where(known, targets, 0)).masked_fill(~known, -math.inf)
            counts = known.sum(-1)
            largest = torch.softmax(potentials / self.teacher_temperature, -1).amax(-1)
            lowest = torch.where(known, potentials, math.inf).amin(-1)
            # In a list of two there are no others whose order could be lost.
            saturated = float(largest[counts > 2].mean()) > _SATURATED
            flat = float((largest * counts)[counts > 1].mean()) < _FLAT
        if not (saturated or flat):
            return []
        facts = {
            "temperature": self.teacher_temperature,
            "saturated": saturated,
            "spread": float((potentials.amax(-1) - lowest)[counts > 1].median()),
            "resized": self._resized_link(targets[known]),
        }
        return [sentence("nothing_to_learn", **facts)]

    def _resized_link(self, targets: Tensor) -> str:
        """How to make the link's values average 1 on the targets, where they are far from it; else nothing."""
        low, high = float(targets.min()), float(targets.max())
        low, high = (0.0, 1.0) if low >= 0 and high <= 1 and self.link.domain.includes(Interval(0, 1)) else (low, high)
        ends = torch.tensor([low, high], dtype=torch.float64)
        rise = float(self.link.divergence(ends[1], ends[0])) + (high - low) * float(self.link(ends[0]))
        average = rise / (high - low) if high > low else 1.0
        if not average > 0 or 1 / _ODD_SIZE <= average <= _ODD_SIZE:
            return ""
        operand = f"({self.link!r})" if " " in repr(self.link).split("(")[0] else repr(self.link)
        return sentence("resized_link", average=average, low=low, high=high, operand=operand)
