"""The objectives: what a loss module does with scores, wherever they come from.

A loss module is a scorer of its model type and one of these as a base class. It calls `_set_objective` in its
`__init__`, `_check_columns` when a batch comes, and gives its scores to `loss_of_scores`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss, MarginMSELoss
from torch import Tensor, nn

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
from selective_st.functional._common import check_link
from selective_st.functional.listwise import check_smoothing
from selective_st.links import ConstantLink, Interval, Link, SigmoidLink, high_scores
from selective_st.losses._common import (
    DECLARE_RANGE,
    MAP_SCORES,
    PAPER_CITATION,
    REMOVE_LABELS,
    ScoreSpace,
    builtin_citation,
    calibration_link_of,
    cast_labels,
    check_label_range,
    check_link_of_space,
    check_positive_link,
    list_link,
)
from selective_st.losses._settings import Checked

__all__ = [
    "CalibratedObjective",
    "ListwiseObjective",
    "Objective",
    "PairwiseObjective",
    "PointwiseObjective",
    "ScoreSpace",
]

logger = logging.getLogger(__name__)

_TEACHER_SPACES = {
    "cosine": Interval(-1.0, 1.0),
    "probability": Interval(0.0, 1.0),
    "logit": Interval(-math.inf, math.inf),
}
# Mean of the largest target probability, beyond which only the top counts, or hardly anything does.
_SATURATED, _FLAT = 0.99, 1.05
_ODD_SIZE = 2.0  # beyond it, a link's mean value is no longer about 1
_CHECKED_ROWS = 1024
_LISTS = ("rows", "batch")


class Objective(Checked):
    """What the objectives share.

    Attributes:
        builtin: The built-in loss that a module generalises, whose citation goes with the paper's; None if it has none.
        model_type: The type of model that a module trains.
        link: What matters.
        space: Where the scores come from.
    """

    builtin: ClassVar[type[nn.Module] | None] = None
    model_type: ClassVar[type[nn.Module]] = SentenceTransformer
    link: Link
    space: ScoreSpace

    def _check_columns(self, columns: int, rows: int) -> None:
        """Raise a ValueError if there are too few text columns, or no rows."""
        self._check_batch(rows)

    def _check_batch(self, rows: int) -> None:
        """Raise a ValueError if there are no rows."""
        if not rows:
            raise ValueError(
                f"{type(self).__name__}: got an empty batch; sentence_features must hold at least one row."
            )

    @property
    def citation(self) -> str:
        """BibTeX of the papers on selective matching losses, and on the loss that this one generalises."""
        return PAPER_CITATION + ("" if self.builtin is None else builtin_citation(self.builtin, self))


class CalibratedObjective(Objective):
    """An objective with a ranking term and a calibration term.

    Attributes:
        calibration: The weight of the calibration term.
    """

    calibration: float
    _calibration_link: Link | None

    def _set_links(
        self, owner: str, space: ScoreSpace, link: Link | None, calibration: float, calibration_link: Link | None
    ) -> None:
        """Set both links and the weight of the calibration term, checked.

        Args:
            owner: The loss, for messages.
            space: Where the scores come from.
            link: The link, or None for the default.
            calibration: The weight of the calibration term.
            calibration_link: The link of the calibration term, or None for `link`.
        """
        self.space = space
        self.link = list_link(owner, link, space)
        self.calibration = finite_number(owner, "calibration", calibration, nonnegative=True)
        self._calibration_link = calibration_link_of(owner, calibration_link, space)

    @property
    def calibration_link(self) -> Link:
        """The link of the calibration term."""
        return self.link if self._calibration_link is None else self._calibration_link

    def _calibration_config(self) -> dict[str, Any]:
        """The settings of the calibration term, JSON-serialisable."""
        return {"calibration": self.calibration, "calibration_link": self.calibration_link.get_config_dict()}


class PointwiseObjective(Objective):
    """Each score matched to its label.

    Attributes:
        targets: What labels are: "scores" or "link_values".
        pos_weight: How much more a 1 counts than a 0, of link values; None for as much.
    """

    _TARGETS: ClassVar[tuple[str, ...]] = ("scores", "link_values")
    targets: str
    pos_weight: float | None = None

    def _set_objective(self, owner: str, space: ScoreSpace, *, link: Link | None, targets: str) -> None:
        """Set what the loss does with scores, checked.

        Args:
            owner: The loss, for messages.
            space: Where the scores come from.
            link: What matters, or None for the default.
            targets: What labels are: `"scores"` or `"link_values"`.

        Raises:
            ValueError: If `targets` is unknown, or scores leave the link's domain.
        """
        if targets not in self._TARGETS:
            raise ValueError(f"{owner}: targets must be one of {', '.join(map(repr, self._TARGETS))}, got {targets!r}.")
        self.space = space
        self.link = check_link(owner, self._default_link(targets) if link is None else link)
        self.link.validate()
        self.targets = targets
        bounds = self.link.range if targets == "link_values" else self.link.domain
        self._label_bounds = bounds if bounds != (-math.inf, math.inf) else None
        # Where labels must lie: what says so, and what to do where they do not.
        self._label_ranges: dict[tuple[str, Interval], str] = {}
        if targets == "link_values":
            what = f'the range of {self.link!r} (targets="link_values")'
            advice = 'If the labels are scores to be reached, use targets="scores".'
            self._label_ranges[what, self.link.range] = advice
        else:
            self._label_ranges[f"the domain of {self.link!r}", self.link.domain] = MAP_SCORES
            self._label_ranges[f"the range of {space.name}", space.range] = MAP_SCORES
        check_link_of_space(owner, self.link, space)

    def _default_link(self, targets: str) -> Link:
        """The link where none is given."""
        return high_scores() if targets == "scores" else SigmoidLink(scale=20.0, shift=0.5)

    def _check_columns(self, columns: int, rows: int) -> None:
        """Raise a ValueError if there are too few text columns, or no rows."""
        if columns < 2:
            raise ValueError(
                f"{type(self).__name__} compares a first text column with one or more others, but the dataset has "
                f"{columns} text column(s). Give it (sentence_A, sentence_B) with a label column; see "
                "dataset.select_columns."
            )
        self._check_batch(rows)

    @named(predicted="scores", target="labels", link_values="labels")
    def loss_of_scores(self, scores: Tensor, labels: Any, weight: Tensor | None = None) -> Tensor:
        """The loss of predicted scores.

        Args:
            scores: Predicted scores of shape (batch_size,), or (batch_size, n) for n documents a row.
            labels: Labels in that shape; NaN marks a padded document.
            weight: Weights of the rows, of shape (batch_size,).

        Returns:
            The mean loss, a scalar.
        """
        labels, mask = self._check_labels(scores, labels)
        labels = labels.to(scores.dtype)
        if self.targets == "scores":
            return matching_loss(scores, labels, self.link, mask=mask, weight=weight)
        pos_weight = 1.0 if self.pos_weight is None else self.pos_weight
        return fenchel_young_loss(scores, labels, self.link, pos_weight=pos_weight, mask=mask, weight=weight)

    def _check_labels(self, scores: Tensor, labels: Any) -> tuple[Tensor, Tensor | None]:
        """The labels in the shape of the scores, and which of them count, or an error that says what is wrong."""
        owner = type(self).__name__
        if not isinstance(labels, Tensor):
            raise TypeError(
                f"{owner}: labels must be a tensor, got {type(labels).__name__}. The dataset needs a column named "
                '"label", "labels", "score" or "scores".'
            )
        rows, documents = len(scores), 1 if scores.dim() == 1 else scores.shape[1]
        shapes = [(rows,), (rows, 1)] if documents == 1 else [(rows, documents)]
        if tuple(labels.shape) not in shapes:
            raise ValueError(
                f"{owner}: labels must have shape {' or '.join(map(str, shapes))} for {documents + 1} text columns "
                f"(one label for each column after the first), got {tuple(labels.shape)}. Remove text columns that "
                "have no label, or give each row a list of labels."
            )
        if not labels.is_floating_point() and (self.targets == "scores" or labels.is_complex()):
            raise TypeError(
                f"{owner}: labels must be floats where they are scores to be reached, got {labels.dtype}. For scores: "
                f'{cast_labels("float32")}; for 0/1 classes use targets="link_values".'
            )
        labels = labels if labels.is_floating_point() else labels.float()
        if documents == 1:
            labels = labels.view(scores.shape)
        mask = check_label_range(owner, labels, self._label_ranges)
        if self._label_bounds is not None:
            labels = labels.clamp(*self._label_bounds)  # of the rounding error that the check allows
        return labels, mask

    def _objective_config(self) -> dict[str, Any]:
        """The settings of the objective, JSON-serialisable."""
        return {"link": self.link.get_config_dict(), "targets": self.targets}


class PairwiseObjective(CalibratedObjective):
    """A positive against its negatives.

    Attributes:
        temperature: The temperature, in units of the potential.
        targets: What labels are: "margins", "scores", or None if their shape says so.
    """

    _TARGETS: ClassVar[tuple[str, ...]] = ("margins", "scores")
    builtin: ClassVar[type[nn.Module] | None] = MarginMSELoss
    temperature: float
    targets: str | None

    def _set_objective(
        self,
        owner: str,
        space: ScoreSpace,
        *,
        link: Link | None,
        temperature: float,
        targets: str | None,
        calibration: float,
        calibration_link: Link | None,
    ) -> None:
        """Set what the loss does with scores, checked.

        Args:
            owner: The loss, for messages.
            space: Where the scores come from.
            link: What matters, or None for the default.
            temperature: The temperature > 0.
            targets: What labels are: `"margins"`, `"scores"`, or None.
            calibration: For scores: the weight >= 0 of the calibration term.
            calibration_link: For scores: the link of the calibration term, or None for `link`.

        Raises:
            ValueError: If `targets` is unknown.
        """
        if targets is not None and targets not in self._TARGETS:
            raise ValueError(
                f"{owner}: targets must be None or one of {', '.join(map(repr, self._TARGETS))}, got {targets!r}."
            )
        self._set_links(owner, space, link, calibration, calibration_link)
        if targets == "order":
            check_positive_link(owner, self.link, space)
        self.temperature = finite_number(owner, "temperature", temperature, positive=True)
        self.targets = targets

    def _check_columns(self, columns: int, rows: int) -> None:
        """Raise a ValueError if there are too few text columns, or no rows."""
        if columns < 3:
            raise ValueError(
                f"{type(self).__name__} compares a positive with negatives, so the dataset needs at least three text "
                f"columns (anchor, positive, negative, ...), but has {columns}. For pairs use "
                "SelectiveMultipleNegativesRankingLoss or SelectivePointwiseLoss, or find negatives with "
                "sentence_transformers.util.mine_hard_negatives."
            )
        self._check_batch(rows)

    @named(predicted="scores", target="labels")
    def loss_of_scores(self, scores: Tensor, labels: Any, weight: Tensor | None = None) -> Tensor:
        """The loss of predicted scores.

        Args:
            scores: Predicted scores of shape (batch_size, 1 + n): the positive, then n negatives.
            labels: None; margins of shape (batch_size,) for one negative or (batch_size, n) for n; or scores of shape
                (batch_size, n + 1).
            weight: Weights of the rows, of shape (batch_size,).

        Returns:
            The mean loss, a scalar.

        Raises:
            ValueError: If `targets` is set but there are no labels.
        """
        owner = type(self).__name__
        positive, negative = scores[:, 0], scores[:, 1:]
        if labels is None:
            if self.targets is not None:
                raise ValueError(
                    f'{owner}: targets="{self.targets}" needs labels, but there are none. The dataset needs a column '
                    'named "label", "labels", "score" or "scores"; without labels leave targets out.'
                )
            check_positive_link(owner, self.link, self.space, scores)
            return pairwise_loss(positive, negative, self.link, self.temperature, weight=weight)
        if self._kind_of_labels(labels, *negative.shape) == "margins":
            margins = self._margins(labels, negative.shape[1])
            mask = ~margins.isnan()
            return margin_loss(positive, negative, margins.to(scores), self.link, mask=mask, weight=weight)
        check_label_range(owner, labels, {(f"the range of {self.space.name}", self.space.range): MAP_SCORES})
        check_label_range(owner, labels[:, 0], {})  # a positive without a score is no padding: it is in every pair
        targets = labels.to(scores)
        return listwise_matching_loss(
            torch.stack([positive.unsqueeze(1).expand_as(negative), negative], -1),
            torch.stack([targets[:, :1].expand_as(negative), targets[:, 1:]], -1),
            self.link,
            self.temperature,
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            mask=~(targets[:, :1] + targets[:, 1:]).isnan().unsqueeze(-1).expand(-1, -1, 2),
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
        check_label_range(
            type(self).__name__,
            margins,
            {(what, Interval(scores.low - scores.high, scores.high - scores.low)): "Scale the margins to the scores."},
        )

    def _kind_of_labels(self, labels: Any, rows: int, negatives: int) -> str:
        """Whether labels are margins or scores; an error where they are neither, or could be both."""
        owner = type(self).__name__
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

    def _objective_config(self) -> dict[str, Any]:
        """The settings of the objective, JSON-serialisable."""
        return {
            "link": self.link.get_config_dict(),
            "temperature": self.temperature,
            "targets": self.targets,
            **self._calibration_config(),
        }


class ListwiseObjective(CalibratedObjective):
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

    _TARGETS: ClassVar[tuple[str, ...]] = ("scores", "labels")
    builtin: ClassVar[type[nn.Module] | None] = DistillKLDivLoss
    temperature: float
    student_temperature: float
    teacher_temperature: float
    targets: str
    label_smoothing: float
    teacher_space: str | None
    label_range: tuple[float, float] | None
    lists: str

    def _set_objective(
        self,
        owner: str,
        space: ScoreSpace,
        *,
        link: Link | None,
        temperature: float,
        student_temperature: float | None,
        teacher_temperature: float | None,
        targets: str,
        calibration: float,
        calibration_link: Link | None,
        label_smoothing: float,
        teacher_space: str | None,
        label_range: tuple[float, float] | None,
        lists: str = "rows",
    ) -> None:
        """Set what the loss does with scores, checked.

        Args:
            owner: The loss, for messages.
            space: Where the scores come from.
            link: What matters, or None for the default.
            temperature: The temperature > 0.
            student_temperature: Overrides `temperature` for the predicted probabilities.
            teacher_temperature: Overrides `temperature` for the target's probabilities.
            targets: What labels are: `"scores"` or `"labels"`.
            calibration: The weight >= 0 of the calibration term.
            calibration_link: The link of the calibration term, or None for `link`.
            label_smoothing: For `targets="labels"`: from 0 to 1.
            teacher_space: `"cosine"`, `"probability"`, `"logit"`, or None.
            label_range: The ends of a scale of graded relevance, or None.
            lists: What a list is: `"rows"` or `"batch"`.

        Raises:
            ValueError: If an argument is out of range or excludes another.
        """
        if targets not in self._TARGETS:
            raise ValueError(f"{owner}: targets must be one of {', '.join(map(repr, self._TARGETS))}, got {targets!r}.")
        if lists not in _LISTS:
            raise ValueError(f"{owner}: lists must be one of {', '.join(map(repr, _LISTS))}, got {lists!r}.")
        if lists == "batch" and targets == "labels":
            raise ValueError(
                f'{owner}: lists="batch" is for targets="scores", but targets is "labels". Where labels say which '
                'pairs are right, use SelectivePointwiseLoss(model, targets="link_values").'
            )
        self.lists = lists
        if teacher_space is not None and teacher_space not in _TEACHER_SPACES:
            raise ValueError(
                f"{owner}: teacher_space must be None or one of {', '.join(map(repr, _TEACHER_SPACES))}, got "
                f"{teacher_space!r}."
            )
        if label_range is not None:
            if isinstance(label_range, str) or not isinstance(label_range, Sequence) or len(label_range) != 2:
                raise ValueError(f"{owner}: label_range must be two numbers such as (0, 5), got {label_range!r}.")
            label_range = score_interval(owner, *label_range, names=("label_range[0]", "label_range[1]"))
            if teacher_space is not None:
                raise ValueError(
                    f"{owner}: label_range and teacher_space exclude each other: both say what the labels' scale is. "
                    "Give label_range for graded relevance, teacher_space for a teacher's scores."
                )
        self.label_smoothing = check_smoothing(owner, label_smoothing)
        if targets == "labels":
            given = {"teacher_space": teacher_space, "label_range": label_range}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(f'{owner}: {name} is for targets="scores", but targets is "labels". Leave it out.')
        elif self.label_smoothing:
            raise ValueError(
                f'{owner}: label_smoothing is for targets="labels", but targets is "scores". Use a higher '
                "teacher_temperature to make the target's probabilities smoother."
            )
        self.temperature = finite_number(owner, "temperature", temperature, positive=True)
        self.student_temperature, self.teacher_temperature = (
            self.temperature if value is None else finite_number(owner, name, value, positive=True)
            for name, value in (
                ("student_temperature", student_temperature),
                ("teacher_temperature", teacher_temperature),
            )
        )
        self._set_links(owner, space, link, calibration, calibration_link)
        self.targets = targets
        self.teacher_space = teacher_space
        self.label_range = label_range
        if targets == "labels":
            check_positive_link(owner, self.link, space)
        # Where target scores must lie: what says so, and what to do where they do not.
        self._label_ranges: dict[tuple[str, Interval], str] = {}
        if label_range is not None:
            self._label_ranges["label_range", Interval(*label_range)] = f"Mend the labels, or give {DECLARE_RANGE}."
        elif teacher_space is not None:
            what = f'teacher_space="{teacher_space}"'
            self._label_ranges[what, _TEACHER_SPACES[teacher_space]] = (
                f'Declare the space of the labels: "logit" if they are unbounded, or {DECLARE_RANGE}.'
            )
        elif not (
            isinstance(self.link, ConstantLink)
            and (not self.calibration or isinstance(self.calibration_link, ConstantLink))
        ):
            # A plain Softmax does not care where the scores lie; a link does.
            self._label_ranges[f"the range of {space.name}", space.range] = (
                f'Declare what they are: teacher_space="logit" for the logits of a cross encoder, {DECLARE_RANGE} for '
                f"graded relevance. {MAP_SCORES}"
            )
        self._targets_checked = False

    def _check_columns(self, columns: int, rows: int) -> None:
        """Raise a ValueError if there are too few text columns, or too many, or no rows."""
        if self.lists == "batch" and columns != 2:
            raise ValueError(
                f'{type(self).__name__}: with lists="batch" each row is a pair of texts with a score, but the dataset '
                f'has {columns} text column(s). Where each row is a query with several documents, leave lists="rows".'
            )
        if self.lists == "rows" and columns < 3:
            raise ValueError(
                f"{type(self).__name__} compares candidates of a query, so the dataset needs at least three text "
                f"columns (query, document_1, document_2, ...), but has {columns}: over a single candidate the Softmax "
                "is constant. For pairs use SelectivePointwiseLoss or SelectiveMultipleNegativesRankingLoss."
            )
        self._check_batch(rows)

    @named(predicted="scores", target="labels", listwise_matching_loss='targets="scores"')
    def loss_of_scores(self, scores: Tensor, labels: Any, weight: Tensor | None = None) -> Tensor:
        """The loss of predicted scores.

        Args:
            scores: Predicted scores of shape (batch_size, n), for n candidates a row; of pairs (batch_size,).
            labels: Target scores in that shape; or labels in that shape, or of shape (batch_size,). NaN marks a padded
                candidate.
            weight: Weights of the rows, of shape (batch_size,).

        Returns:
            The mean loss, a scalar.
        """
        if self.lists == "batch":
            scores, labels = self._one_list(scores, labels, weight)
        self._check_labels(scores, labels)
        if self.targets == "labels":
            check_positive_link(type(self).__name__, self.link, self.space, scores)
            mask = None
            if labels.shape == scores.shape and labels.is_floating_point() and bool(labels.isnan().any()):
                mask = ~labels.isnan()
                if not bool(mask.any(-1).all()):
                    check_label_range(type(self).__name__, labels, {})
                labels = torch.where(mask, labels, 0)
            return listwise_label_loss(
                scores,
                labels,
                self.link,
                self.student_temperature,
                label_smoothing=self.label_smoothing,
                mask=mask,
                weight=weight,
            )
        mask, targets = self._scores_of_labels(labels.to(scores))
        if not self._targets_checked:
            self._targets_checked = True
            self._warn_of_targets(targets[:_CHECKED_ROWS])
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

    def _one_list(self, scores: Tensor, labels: Any, weight: Tensor | None) -> tuple[Tensor, Any]:
        """The scores and labels of a batch of pairs as those of one list, checked."""
        owner, rows = type(self).__name__, len(scores)
        if weight is not None:
            raise ValueError(
                f'{owner}: weight is for rows, but with lists="batch" all rows are one list. Leave the weights out, or '
                'use lists="rows".'
            )
        if isinstance(labels, Tensor):
            if tuple(labels.shape) != (rows,):
                raise ValueError(
                    f'{owner}: with lists="batch" labels must have shape ({rows},), a score for each pair, got '
                    f"{tuple(labels.shape)}."
                )
            check_label_range(owner, labels, {})  # a pair without a score is no padding
            labels = labels[None]
        return scores.view(1, rows), labels

    def _scores_of_labels(self, labels: Tensor) -> tuple[Tensor | None, Tensor]:
        """Which candidates count (None for all), and the target scores, minus infinity where one is never right."""
        owner, never = type(self).__name__, labels == -math.inf
        if not bool(never.any()):
            return check_label_range(owner, labels, self._label_ranges), self._to_scores(labels)
        check_label_range(owner, labels.masked_fill(never, math.nan), self._label_ranges)
        return ~labels.isnan(), self._to_scores(labels).masked_fill(never, -math.inf)

    def _to_scores(self, labels: Tensor) -> Tensor:
        """Labels on the scale of the predicted scores."""
        if self.label_range is not None:
            low, high = self.label_range
            return (labels - low) / (high - low)
        if self.teacher_space == "logit":
            return labels.sigmoid()
        return labels

    def _check_labels(self, scores: Tensor, labels: Any) -> None:
        """Raise where the type or the shape of the labels does not fit."""
        owner = type(self).__name__
        rows, documents = scores.shape
        if not isinstance(labels, Tensor):
            raise TypeError(
                f"{owner}: labels must be a tensor, got {type(labels).__name__}. The dataset needs a column named "
                '"label", "labels", "score" or "scores".'
            )
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
            margins = (
                " As many margins as negatives are labels for SelectivePairwiseLoss."
                if shape == (rows, documents - 1)
                else ""
            )
            raise ValueError(
                f"{owner}: labels must have shape ({rows}, {documents}), a score for each document, got {shape}. Pad "
                f"shorter lists with NaN labels and any text.{margins}"
            )

    def _warn_of_targets(self, targets: Tensor) -> None:
        """Warn where the target's probabilities leave nothing to learn: all on one candidate, or the same for all."""
        owner, temperature = type(self).__name__, self.teacher_temperature
        known = targets.isfinite()
        with torch.no_grad():
            potentials = self.link.potential(torch.where(known, targets, 0)).masked_fill(~known, -math.inf)
            counts = known.sum(-1)
            largest = torch.softmax(potentials / temperature, -1).amax(-1)
            lowest = torch.where(known, potentials, math.inf).amin(-1)
            # In a list of two there are no others whose order could be lost.
            saturated = float(largest[counts > 2].mean()) > _SATURATED
            flat = float((largest * counts)[counts > 1].mean()) < _FLAT
        if not (saturated or flat):
            return
        effect = (
            "nearly all of the target's probability lies on one candidate, so the order of the others is not learned"
            if saturated
            else "the target's probabilities are nearly the same for all candidates, so there is little to learn"
        )
        spread = float((potentials.amax(-1) - lowest)[counts > 1].median())
        advice = "The target scores of the first batch do not differ within a list."
        if spread > 0:
            advice = self._resize_link(targets[known]) or (
                f"In the first batch the target's potentials span {spread:.3g} within a list: try "
                f"teacher_temperature={spread / 4:.2g}."
            )
        logger.warning(f"{owner}: at teacher_temperature={temperature:g} {effect}. {advice}")

    def _resize_link(self, targets: Tensor) -> str:
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

    def _objective_config(self) -> dict[str, Any]:
        """The settings of the objective, JSON-serialisable."""
        config: dict[str, Any] = {"temperature": self.temperature}
        for name in ("student_temperature", "teacher_temperature"):
            if getattr(self, name) != self.temperature:
                config[name] = getattr(self, name)
        return {
            **config,
            "link": self.link.get_config_dict(),
            "targets": self.targets,
            **self._calibration_config(),
            "label_smoothing": self.label_smoothing,
            "teacher_space": self.teacher_space,
            "label_range": self.label_range,
            **({} if self.lists == "rows" else {"lists": self.lists}),
        }
