"""The objectives: from scores and labels to a loss, wherever the scores come from. They keep no state."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

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
from selective_st.functional._common import check_link, is_finite
from selective_st.functional.listwise import check_smoothing
from selective_st.links import ConstantLink, Interval, Link
from selective_st.losses._common import (
    DECLARE_RANGE,
    MAP_SCORES,
    NEEDS_LABELS,
    REMOVE_LABELS,
    Part,
    ScoreSpace,
    cast_labels,
    check_label_range,
    check_link_of_space,
    check_positive_link,
    one_of,
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

# For a range of labels: what says so, and what to do where they do not lie in it.
Ranges = dict[tuple[str, Interval], str]


@dataclass(frozen=True, kw_only=True)
class Objective(Part):
    """From scores and labels to a loss.

    Attributes:
        space: Where the scores come from.
        link: What matters.
    """

    space: ScoreSpace
    link: Link

    def __post_init__(self) -> None:
        check_link(self.owner, self.link).validate()
        check_link_of_space(self.owner, self.link, self.space)

    def _check_columns(self, columns: int, rows: int) -> None:
        """Raise a ValueError if there are too few text columns, or no rows."""
        if not rows:
            self._refuse_no_rows()

    def _refuse_no_rows(self) -> None:
        raise ValueError(f"{self.owner}: got an empty batch; {self.space.inputs} must hold at least one row.")

    @abstractmethod
    def loss_of(self, scores: Tensor, labels: Any, weight: Tensor | None) -> Tensor:
        """The mean loss of scores, given labels and the weights of rows."""

    def loss_of_lists(self, scores: Tensor, labels: Any, weight: Tensor | None) -> Tensor:
        """The mean loss of scores of lists, which are padded with NaN among the labels."""
        return self.loss_of(scores, labels, weight)

    def takes_integers(self, labels: Sequence[Tensor]) -> bool:
        """Whether lists of integers can be taken as the floats that they equal."""
        return False

    def to_be_reached(self, labels: Any) -> Tensor | None:
        """The scores that are to be reached, if the labels are such."""
        return None

    def remarks_on_settings(self) -> list[str]:
        """What is odd in the settings."""
        return []

    def remarks(self, labels: Any) -> list[str]:
        """What is odd in the labels of the first batch."""
        return []


@dataclass(frozen=True, kw_only=True)
class Pointwise(Objective):
    """Each score matched to its label.

    Attributes:
        targets: What labels are: "scores" or "link_values".
        pos_weight: How much more a 1 counts than a 0, of link values; None for as much.
    """

    targets: str
    pos_weight: Any = None
    _ranges: Ranges = field(init=False, compare=False, repr=False)
    _bounds: Interval | None = field(init=False, compare=False, repr=False)

    @override
    def __post_init__(self) -> None:
        one_of(self.owner, "targets", self.targets, "scores", "link_values")
        check_link(self.owner, self.link).validate()
        ranges: Ranges
        if self.targets == "link_values":
            bounds = self.link.range
            what = f'the range of {self.link!r} (targets="link_values")'
            ranges = {(what, bounds): 'If the labels are scores to be reached, use targets="scores".'}
        else:
            bounds = self.link.domain
            of_space = f"the range of {self.space.name}", self.space.range
            ranges = {(f"the domain of {self.link!r}", bounds): MAP_SCORES, of_space: MAP_SCORES}
        check_link_of_space(self.owner, self.link, self.space)
        # Labels are clamped of the rounding error that the check allows.
        bounded = None if bounds == (-math.inf, math.inf) else bounds
        self._settle(_ranges=ranges, _bounds=bounded, pos_weight=self._checked_pos_weight())

    def _checked_pos_weight(self) -> float | None:
        value = self.pos_weight
        if value is None:
            return None
        if self.targets == "scores":
            raise ValueError(
                f'{self.owner}: pos_weight is for 0/1 labels, targets="link_values", but targets is "scores". Write '
                f'{self.owner}(model, targets="link_values", pos_weight=...); where scores are to be reached, a link '
                "says which of them matter."
            )
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError(
                    f"{self.owner}: pos_weight must be one number, got a tensor of shape {tuple(value.shape)}. Write "
                    "pos_weight=4.0, say."
                )
            value = value.item()
        return finite_number(self.owner, "pos_weight", value, positive=True)

    @override
    def _check_columns(self, columns: int, rows: int) -> None:
        if columns < 2:
            raise ValueError(
                f"{self.owner} compares a first text column with one or more others, but the dataset has {columns} "
                "text column(s). Give it (sentence_A, sentence_B) with a label column; see dataset.select_columns."
            )
        if not rows:
            self._refuse_no_rows()

    @override
    @named(predicted="scores", target="labels", link_values="labels")
    def loss_of(self, scores: Tensor, labels: Any, weight: Tensor | None) -> Tensor:
        if not isinstance(labels, Tensor) or labels.shape != scores.shape or not labels.is_floating_point():
            self._check_labels(scores, labels)
        labels = labels.to(scores).view(scores.shape)
        mask = check_label_range(self.owner, labels, self._ranges)
        if self._bounds is not None:
            labels = labels.clamp(*self._bounds)
        if self.targets == "scores":
            return matching_loss(scores, labels, self.link, mask=mask, weight=weight)
        pos_weight = 1.0 if self.pos_weight is None else self.pos_weight
        return fenchel_young_loss(scores, labels, self.link, pos_weight=pos_weight, mask=mask, weight=weight)

    def _check_labels(self, scores: Tensor, labels: Any) -> None:
        """Raise where the type or the shape of the labels does not fit."""
        if not isinstance(labels, Tensor):
            raise TypeError(f"{self.owner}: labels must be a tensor, got {type(labels).__name__}. {NEEDS_LABELS}")
        rows, documents = len(scores), 1 if scores.dim() == 1 else scores.shape[1]
        shapes = [(rows,), (rows, 1)] if documents == 1 else [(rows, documents)]
        if tuple(labels.shape) not in shapes:
            raise ValueError(
                f"{self.owner}: labels must have shape {' or '.join(map(str, shapes))} for {documents + 1} text "
                f"columns (one label for each column after the first), got {tuple(labels.shape)}. Remove text columns "
                "that have no label, or give each row a list of labels."
            )
        if not labels.is_floating_point() and (self.targets == "scores" or labels.is_complex()):
            raise TypeError(
                f"{self.owner}: labels must be floats where they are scores to be reached, got {labels.dtype}. For "
                f'scores: {cast_labels("float32")}; for 0/1 classes use targets="link_values".'
            )

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
        calibration_link: Its link.
    """

    calibration: float = 1.0
    calibration_link: Link | None = None

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        link = self.link
        if self.calibration_link is not None:
            link = check_link(self.owner, self.calibration_link, "calibration_link")
            link.validate()
            check_link_of_space(self.owner, link, self.space)
        calibration = finite_number(self.owner, "calibration", self.calibration, nonnegative=True)
        self._settle(calibration_link=link, calibration=calibration)

    @property
    def is_plain(self) -> bool:
        """Whether it is a plain Softmax, which does not care where the scores lie."""
        calibrates = self.calibration > 0 and not isinstance(self.calibration_link, ConstantLink)
        return isinstance(self.link, ConstantLink) and not calibrates


@dataclass(frozen=True, kw_only=True)
class Pairwise(Calibrated):
    """A positive against its negatives.

    Attributes:
        temperature: The temperature, in units of the potential.
        targets: What labels are: "margins", "scores", or None if their shape says so.
    """

    temperature: float = 1.0
    targets: str | None = None

    @override
    def __post_init__(self) -> None:
        self._check_targets()
        super().__post_init__()
        self._settle(temperature=finite_number(self.owner, "temperature", self.temperature, positive=True))

    def _check_targets(self) -> None:
        one_of(self.owner, "targets", self.targets, None, "margins", "scores")

    @override
    def _check_columns(self, columns: int, rows: int) -> None:
        if columns < 3:
            raise ValueError(
                f"{self.owner} compares a positive with negatives, so the dataset needs at least three text columns "
                f"(anchor, positive, negative, ...), but has {columns}. For pairs use "
                "SelectiveMultipleNegativesRankingLoss or SelectivePointwiseLoss, or find negatives with "
                "sentence_transformers.util.mine_hard_negatives."
            )
        if not rows:
            self._refuse_no_rows()

    @override
    @named(predicted="scores", target="labels")
    def loss_of(self, scores: Tensor, labels: Any, weight: Tensor | None) -> Tensor:
        positive, negative = scores[:, 0], scores[:, 1:]
        if labels is None:
            if self.targets is not None:
                raise ValueError(
                    f'{self.owner}: targets="{self.targets}" needs labels, but there are none. {NEEDS_LABELS[:-1]}; '
                    "without labels leave targets out."
                )
            check_positive_link(self.owner, self.link, self.space, scores)
            return pairwise_loss(positive, negative, self.link, self.temperature, weight=weight)
        if self._kind_of_labels(labels, *negative.shape) == "margins":
            margins = self._margins(labels, negative.shape[1])
            mask = ~margins.isnan()
            return margin_loss(positive, negative, margins.to(scores), self.link, mask=mask, weight=weight)
        check_label_range(self.owner, labels, {(f"the range of {self.space.name}", self.space.range): MAP_SCORES})
        check_label_range(self.owner, labels[:, 0], {})  # a positive without a score is no padding: it is in every pair
        targets = labels.to(scores)
        mask = ~(targets[:, :1] + targets[:, 1:]).isnan().unsqueeze(-1).expand(-1, -1, 2)
        return self._matched(positive.unsqueeze(1), negative, targets[:, :1], targets[:, 1:], weight, mask)

    def _matched(
        self,
        positive: Tensor,
        negative: Tensor,
        high: Tensor,
        low: Tensor,
        weight: Tensor | None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The matching loss of pairs of scores as lists of two."""
        return listwise_matching_loss(
            torch.stack([positive.expand_as(negative), negative], -1),
            torch.stack([high.expand_as(low), low], -1),
            self.link,
            self.temperature,
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            mask=mask,
            weight=weight,
        )

    def _margins(self, labels: Tensor, negatives: int) -> Tensor:
        """Target margins of shape (batch_size, negatives), checked."""
        if labels.dim() == 1:
            labels = labels.unsqueeze(1)
        if labels.shape[1] == negatives + 1:
            labels = labels[:, :1] - labels[:, 1:]
        self._check_margins(labels)
        return labels

    def _check_margins(self, margins: Tensor) -> None:
        """Raise a ValueError for margins that no two scores have."""
        scores = self.space.range
        what = f"the range of differences of {self.space.name}"
        differences = Interval(scores.low - scores.high, scores.high - scores.low)
        check_label_range(self.owner, margins, {(what, differences): "Scale the margins to the scores."})

    def _kind_of_labels(self, labels: Any, rows: int, negatives: int) -> str:
        """Whether labels are margins or scores; an error where they are neither, or could be both."""
        owner = self.owner
        if not isinstance(labels, Tensor) or not labels.is_floating_point():
            got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
            raise TypeError(
                f"{owner}: labels must be a tensor of floats, margins or scores, got {got}. To rank without labels "
                f"remove the label column: {REMOVE_LABELS}. Otherwise cast it: {cast_labels('float32')}."
            )
        shape = tuple(labels.shape)
        if shape == (rows, negatives + 1):
            if self.targets is None:
                raise ValueError(
                    f"{owner}: targets must be given, because the {negatives + 1} labels of each row could mean two "
                    'things: with targets="margins" their differences are the margins (as in MarginMSELoss), with '
                    'targets="scores" they are scores to be reached.'
                )
            return self.targets
        if shape == (rows, negatives) or (negatives == 1 and shape == (rows,)):
            if self.targets == "scores":
                raise ValueError(
                    f'{owner}: targets="scores" takes {negatives + 1} labels a row, one for each document, but the '
                    f'labels have the shape {shape}, as margins have. Use targets="margins", or add the missing score.'
                )
            return "margins"
        margins = f"({rows}, {negatives})" if negatives > 1 else f"({rows},)"
        raise ValueError(
            f"{owner}: labels must be margins of shape {margins} or scores of shape ({rows}, {negatives + 1}) for "
            f"{negatives + 2} text columns, got shape {shape}."
        )

    @override
    def to_be_reached(self, labels: Any) -> Tensor | None:
        return labels if self.targets == "scores" and isinstance(labels, Tensor) else None


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

    temperature: float = 1.0
    student_temperature: Any = None
    teacher_temperature: Any = None
    targets: str = "scores"
    label_smoothing: float = 0.0
    teacher_space: str | None = None
    label_range: tuple[float, float] | None = None
    lists: str = "rows"
    _ranges: Ranges = field(init=False, compare=False, repr=False)

    @override
    def __post_init__(self) -> None:
        owner = self.owner
        one_of(owner, "targets", self.targets, "scores", "labels")
        one_of(owner, "lists", self.lists, "rows", "batch")
        if self.lists == "batch" and self.targets == "labels":
            raise ValueError(
                f'{owner}: lists="batch" is for targets="scores", but targets is "labels". Where labels say which '
                'pairs are right, use SelectivePointwiseLoss(model, targets="link_values").'
            )
        one_of(owner, "teacher_space", self.teacher_space, None, *_TEACHER_SPACES)
        self._settle(label_range=self._checked_label_range())
        self._settle(label_smoothing=check_smoothing(owner, self.label_smoothing))
        self._check_that_settings_agree()
        for name in ("temperature", "student_temperature", "teacher_temperature"):
            value = getattr(self, name)
            value = self.temperature if value is None else finite_number(owner, name, value, positive=True)
            self._settle(**{name: value})
        super().__post_init__()
        if self.targets == "labels":
            check_positive_link(owner, self.link, self.space)
        self._settle(_ranges=self._ranges_of_scores())

    def _checked_label_range(self) -> tuple[float, float] | None:
        given: Any = self.label_range
        if given is None:
            return None
        if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != 2:
            raise ValueError(f"{self.owner}: label_range must be two numbers such as (0, 5), got {given!r}.")
        return score_interval(self.owner, *given, names=("label_range[0]", "label_range[1]"))

    def _check_that_settings_agree(self) -> None:
        owner = self.owner
        if self.label_range is not None and self.teacher_space is not None:
            raise ValueError(
                f"{owner}: label_range and teacher_space exclude each other: both say what the labels' scale is. "
                "Give label_range for graded relevance, teacher_space for a teacher's scores."
            )
        if self.targets == "scores" and self.label_smoothing:
            raise ValueError(
                f'{owner}: label_smoothing is for targets="labels", but targets is "scores". Use a higher '
                "teacher_temperature to make the target's probabilities smoother."
            )
        for name in ("teacher_space", "label_range"):
            if self.targets == "labels" and getattr(self, name) is not None:
                raise ValueError(f'{owner}: {name} is for targets="scores", but targets is "labels". Leave it out.')

    def _ranges_of_scores(self) -> Ranges:
        """Where target scores must lie."""
        if self.label_range is not None:
            advice = f"Mend the labels, or give {DECLARE_RANGE}."
            return {("label_range", Interval(*self.label_range)): advice}
        if self.teacher_space is not None:
            advice = f'Declare the space of the labels: "logit" if they are unbounded, or {DECLARE_RANGE}.'
            return {(f'teacher_space="{self.teacher_space}"', _TEACHER_SPACES[self.teacher_space]): advice}
        if self.is_plain:  # a plain Softmax does not care where the scores lie; a link does
            return {}
        advice = (
            f'Declare what they are: teacher_space="logit" for the logits of a cross encoder, {DECLARE_RANGE} for '
            f"graded relevance. {MAP_SCORES}"
        )
        return {(f"the range of {self.space.name}", self.space.range): advice}

    @override
    def _check_columns(self, columns: int, rows: int) -> None:
        if self.lists == "batch" and columns != 2:
            raise ValueError(
                f'{self.owner}: with lists="batch" each row is a pair of texts with a score, but the dataset has '
                f'{columns} text column(s). Where each row is a query with several documents, leave lists="rows".'
            )
        if self.lists == "rows" and columns < 3:
            raise ValueError(
                f"{self.owner} compares candidates of a query, so the dataset needs at least three text columns "
                f"(query, document_1, document_2, ...), but has {columns}: over a single candidate the Softmax is "
                "constant. For pairs use SelectivePointwiseLoss or SelectiveMultipleNegativesRankingLoss."
            )
        if not rows:
            self._refuse_no_rows()

    @override
    def loss_of_lists(self, scores: Tensor, labels: Any, weight: Tensor | None) -> Tensor:
        if self.lists == "batch":
            raise ValueError(
                f'{self.owner}: with lists="batch" each row is a pair of texts with a score, but the dataset has lists '
                'of documents. Leave lists="rows".'
            )
        return self.loss_of(scores, labels, weight)

    @override
    @named(predicted="scores", target="labels", listwise_matching_loss='targets="scores"')
    def loss_of(self, scores: Tensor, labels: Any, weight: Tensor | None) -> Tensor:
        if self.lists == "batch":
            self._check_one_list(scores, labels, weight)
            scores, labels = scores.view(1, -1), labels[None] if isinstance(labels, Tensor) else labels
        if not isinstance(labels, Tensor) or labels.shape != scores.shape or not labels.is_floating_point():
            self._check_labels(scores, labels)
        if self.targets == "labels":
            return self._loss_of_labels(scores, labels, weight)
        mask, targets = self._mask_and_targets(labels.to(scores))
        return listwise_matching_loss(
            scores,
            targets,
            self.link,
            self.student_temperature,
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            target_temperature=self.teacher_temperature,
            mask=mask,
            weight=weight,
        )

    def _loss_of_labels(self, scores: Tensor, labels: Tensor, weight: Tensor | None) -> Tensor:
        check_positive_link(self.owner, self.link, self.space, scores)
        mask = None
        if labels.shape == scores.shape and labels.is_floating_point() and bool(labels.isnan().any()):
            mask = check_label_range(self.owner, labels, {})
            labels = torch.where(mask, labels, 0) if mask is not None else labels
        return listwise_label_loss(
            scores,
            labels,
            self.link,
            self.student_temperature,
            label_smoothing=self.label_smoothing,
            mask=mask,
            weight=weight,
        )

    def _check_one_list(self, scores: Tensor, labels: Any, weight: Tensor | None) -> None:
        """Raise unless the labels of a batch of pairs can be those of one list."""
        if weight is not None:
            raise ValueError(
                f'{self.owner}: weight is for rows, but with lists="batch" all rows are one list. Leave the weights '
                'out, or use lists="rows".'
            )
        if not isinstance(labels, Tensor):
            return
        if tuple(labels.shape) != (len(scores),):
            raise ValueError(
                f'{self.owner}: with lists="batch" labels must have shape ({len(scores)},), a score for each pair, got '
                f"{tuple(labels.shape)}."
            )
        check_label_range(self.owner, labels, {})  # a pair without a score is no padding

    def _mask_and_targets(self, labels: Tensor) -> tuple[Tensor | None, Tensor]:
        """Which candidates count (None for all), and the target scores, minus infinity where one is never right."""
        if is_finite(labels) or not bool((never := labels == -math.inf).any()):
            return check_label_range(self.owner, labels, self._ranges), self._to_scores(labels)
        check_label_range(self.owner, labels.masked_fill(never, math.nan), self._ranges)
        return ~labels.isnan(), self._to_scores(labels).masked_fill(never, -math.inf)

    def _to_scores(self, labels: Tensor) -> Tensor:
        """Labels on the scale of the predicted scores."""
        if self.label_range is not None:
            low, high = self.label_range
            return (labels - low) / (high - low)
        if self.teacher_space == "logit" and not self.space.are_logits:
            return labels.sigmoid()
        return labels

    def _check_labels(self, scores: Tensor, labels: Any) -> None:
        """Raise where the type or the shape of the labels does not fit."""
        owner = self.owner
        rows, documents = scores.shape
        if not isinstance(labels, Tensor):
            raise TypeError(f"{owner}: labels must be a tensor, got {type(labels).__name__}. {NEEDS_LABELS}")
        shape = tuple(labels.shape)
        if self.targets == "labels":
            if shape not in ((rows,), (rows, documents)):
                raise ValueError(
                    f"{owner}: labels must have shape ({rows},), the index of each row's positive, or ({rows}, "
                    f"{documents}), a number for each document, got {shape}."
                )
            return
        if not labels.is_floating_point():
            raise TypeError(
                f"{owner}: labels must be floats where they are scores to be reached, got {labels.dtype}. If they say "
                'which candidates are right use targets="labels"; if they are graded relevances cast them to floats '
                "and give label_range=(lowest, highest)."
            )
        if shape != (rows, documents):
            margins = " As many margins as negatives are labels for SelectivePairwiseLoss."
            raise ValueError(
                f"{owner}: labels must have shape ({rows}, {documents}), a score for each document, got {shape}. Pad "
                f"shorter lists with NaN labels and any text.{margins if shape == (rows, documents - 1) else ''}"
            )

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
        _, targets = self._mask_and_targets(labels[:_CHECKED_ROWS].to(torch.promote_types(labels.dtype, torch.float)))
        known = targets.isfinite()
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
        effect = (
            "nearly all of the target's probability lies on one candidate, so the order of the others is not learned"
            if saturated
            else "the target's probabilities are nearly the same for all candidates, so there is little to learn"
        )
        spread = float((potentials.amax(-1) - lowest)[counts > 1].median())
        advice = "The target scores of the first batch do not differ within a list."
        if spread > 0:
            advice = self._resized_link(targets[known]) or (
                f"In the first batch the target's potentials span {spread:.3g} within a list: try "
                f"teacher_temperature={spread / 4:.2g}."
            )
        return [f"at teacher_temperature={self.teacher_temperature:g} {effect}. {advice}"]

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
        return (
            f"The link's values average {average:.3g} on scores from {low:.3g} to {high:.3g}, where temperatures are "
            f'meant for 1: use link={operand}.normalized({low:.3g}, {high:.3g}, of="value").'
        )
