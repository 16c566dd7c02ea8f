"""What both forms of the in-batch loss share: its options, what is known of a batch, and the labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from selective_st._autograd import look
from selective_st._validation import finite_number
from selective_st.functional._common import check_nonnegative, check_smoothing
from selective_st.functional._in_batch_products import Precision
from selective_st.links import ConstantLink, Link
from selective_st.links._numerics import _to_working_precision
from selective_st.links.base import check_domain

Direction = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
PartitionMode = Literal["joint", "per_direction"]
HardnessMode = Literal["in_batch_negatives", "hard_negatives", "all_negatives"]
MarginStrategy = Literal["absolute", "relative"]
SimilarityMatrix = Callable[[Tensor, Tensor], Tensor]
# For a direction, and the anchors from one to another: which candidates are kept; None for all.
Keep = Callable[[Direction, int, int], Tensor | None]

# From whom to whom each direction compares: True for documents, False for queries.
DIRECTIONS: dict[str, tuple[bool, bool]] = {
    "query_to_doc": (False, True),
    "query_to_query": (False, False),
    "doc_to_query": (True, False),
    "doc_to_doc": (True, True),
}
_PARTITION_MODES = ("joint", "per_direction")
_HARDNESS_MODES = ("in_batch_negatives", "hard_negatives", "all_negatives")


@dataclass(frozen=True)
class InBatchOptions:
    """Which comparisons an in-batch loss makes; checked.

    Attributes:
        directions: What is compared with what.
        partition_mode: One Softmax, or one for each direction.
        hardness_mode: Which negatives count more the harder they are.
        hardness_strength: How much.
        label_smoothing: How much of the label is spread.
        owner: Whose options they are, for messages.
    """

    directions: tuple[Direction, ...] = ("query_to_doc",)
    partition_mode: PartitionMode = "joint"
    hardness_mode: HardnessMode | None = None
    hardness_strength: float = 0.0
    label_smoothing: float = 0.0
    owner: str = field(default="in_batch_loss", compare=False)

    def __post_init__(self) -> None:
        owner = self.owner
        directions = self.directions
        if isinstance(directions, str) or not isinstance(directions, Sequence) or not directions:
            raise ValueError(
                f'{owner}: directions must be a tuple such as ("query_to_doc", "doc_to_query"), got {directions!r}.'
            )
        unknown = [direction for direction in directions if direction not in DIRECTIONS]
        if unknown:
            raise ValueError(
                f"{owner}: directions must be among {', '.join(map(repr, DIRECTIONS))}, got {unknown[0]!r}."
            )
        if "query_to_doc" not in directions:
            raise ValueError(
                f'{owner}: directions must include "query_to_doc", which holds the positives; got {directions!r}.'
            )
        # Each once, in one order, whatever order they were given in.
        object.__setattr__(self, "directions", tuple(name for name in DIRECTIONS if name in directions))
        if self.partition_mode not in _PARTITION_MODES:
            raise ValueError(
                f"{owner}: partition_mode must be one of {', '.join(map(repr, _PARTITION_MODES))}, got "
                f"{self.partition_mode!r}."
            )
        without_positive = [name for name in ("query_to_query", "doc_to_doc") if name in directions]
        if self.partition_mode == "per_direction" and without_positive:
            raise ValueError(
                f'{owner}: partition_mode="per_direction" gives each direction a Softmax of its own, but '
                f'{without_positive[0]!r} in directions holds no positive. Use partition_mode="joint".'
            )
        if self.hardness_mode is not None and self.hardness_mode not in _HARDNESS_MODES:
            raise ValueError(
                f"{owner}: hardness_mode must be None or one of {', '.join(map(repr, _HARDNESS_MODES))}, got "
                f"{self.hardness_mode!r}."
            )
        strength = finite_number(owner, "hardness_strength", self.hardness_strength, nonnegative=True)
        object.__setattr__(self, "hardness_strength", strength)
        object.__setattr__(self, "label_smoothing", check_smoothing(owner, self.label_smoothing))

    @property
    def groups(self) -> tuple[tuple[Direction, ...], ...]:
        """The directions of each Softmax."""
        return (self.directions,) if self.partition_mode == "joint" else tuple((name,) for name in self.directions)

    def penalised(self, columns: int) -> tuple[bool, list[int]]:
        """Whether in-batch negatives are raised, and which of the query's own columns are."""
        if self.hardness_mode is None or not self.hardness_strength:
            return False, []
        in_batch = self.hardness_mode != "hard_negatives"
        return in_batch, [] if self.hardness_mode == "in_batch_negatives" else list(range(1, columns))


@dataclass(frozen=True)
class InBatchSetting:
    """What is the same for every batch.

    Attributes:
        link: The link of the composite Softmax.
        scale: 1 / temperature.
        options: Which comparisons are made.
        calibration: The weight of the calibration term.
        calibration_link: Its link.
        normalize: Whether embeddings are normalised first.
        precision: That of the matrix products.
    """

    link: Link
    scale: float
    options: InBatchOptions
    calibration: float
    calibration_link: Link
    normalize: bool
    precision: Precision = "auto"

    @property
    def calibrates(self) -> bool:
        """Whether the calibration term is more than 0."""
        return self.calibration > 0 and not isinstance(self.calibration_link, ConstantLink)


@dataclass(frozen=True)
class FalseNegatives:
    """When a document is too close to an anchor to be its negative, by scores of another model: the guide.

    Attributes:
        margin: How far below the positive's score a negative's must stay.
        margin_strategy: Whether `margin` is that distance itself, or a share of the positive's score.
    """

    margin: float = 0.0
    margin_strategy: MarginStrategy = "absolute"

    def keep(self, scores: Tensor, positives: Tensor) -> Tensor:
        """Which candidates may be negatives.

        Args:
            scores: The guide's scores of the anchors' candidates, of shape (anchors, candidates).
            positives: Its scores of the anchors' positives, of shape (anchors,).

        Returns:
            A mask in the shape of the scores.
        """
        away = self.margin * positives.abs() if self.margin_strategy == "relative" else self.margin
        # The positive's text once more has its very score, but for rounding.
        rounding = 8 * torch.finfo(scores.dtype).eps
        return scores <= (positives - away + rounding).unsqueeze(1)


@dataclass(frozen=True)
class Guidance:
    """What a guide says of a batch; its method `keep` is a `Keep`.

    Attributes:
        queries: The guide's embeddings of the queries.
        documents: Those of the documents, in the order of the in-batch loss.
        rule: When a document is no negative.
    """

    queries: Tensor
    documents: Tensor
    rule: FalseNegatives

    def keep(self, direction: Direction, begin: int, end: int) -> Tensor:
        """Which candidates of the anchors from `begin` to `end` may be negatives, by the guide's cosines."""
        from_documents, to_documents = DIRECTIONS[direction]
        queries, documents = self.queries[begin:end], self.documents[begin:end]
        left = documents if from_documents else queries
        right = self.documents if to_documents else self.queries
        return self.rule.keep(left @ right.mT, (queries * documents).sum(1))


class Checks:
    """What a batch's tensors are asked, on their device: noted on the way, and read at once at the end."""

    def __init__(self) -> None:
        self._notes: list[tuple[Callable[..., None], Sequence[Tensor]]] = []

    def note(self, check: Callable[..., None], *values: Tensor) -> None:
        """Have a check called with numbers, of each tensor the least, which raises where they are wrong."""
        self._notes.append((check, values))

    def note_ends(self, check: Callable[[float, float], None], tensor: Tensor) -> None:
        """Have a check called with the lowest and the highest number of a tensor."""
        if tensor.numel():
            self.note(lambda low, minus_high: check(low, -minus_high), tensor, -tensor)

    def read(self) -> None:
        """Call the checks noted."""
        notes, self._notes = self._notes, []
        if notes:
            look(partial(_call, [(check, len(values)) for check, values in notes]), *(v for _, vs in notes for v in vs))


def _call(checks: Sequence[tuple[Callable[..., None], int]], *values: Tensor) -> None:
    device = values[0].device
    dtype = torch.float32 if device.type == "mps" else torch.float64
    least = [value.amin().to(device, dtype) for value in values]
    numbers = iter(torch.stack(least).tolist() if len(least) > 1 else [least[0].item()])
    for check, count in checks:
        check(*(next(numbers) for _ in range(count)))


@dataclass(frozen=True)
class Batch:
    """What is known of a batch besides its embeddings.

    Attributes:
        queries: How many queries.
        columns: How many documents each has: the positive and its hard negatives.
        begin: The first anchor.
        end: One past the last anchor.
        document_ids: The same for the same text; None if all differ.
        target_scores: The teacher's, for the own documents or all.
        keep: Which candidates are kept; None for all.
        shares: The share of each anchor in the mean, which add up to 1; None for equal ones.
        checks: What is asked of its tensors.
    """

    queries: int
    columns: int
    begin: int
    end: int
    document_ids: Tensor | None
    target_scores: Tensor | None
    keep: Keep | None = None
    shares: Tensor | None = None
    checks: Checks = field(default_factory=Checks, compare=False, repr=False)

    @property
    def anchors(self) -> int:
        """How many anchors."""
        return self.end - self.begin

    def share(self, begin: int, end: int) -> Tensor | float:
        """The share of the anchors from `begin` to `end`, of shape (anchors, 1), or one number for all."""
        if self.shares is None:
            return 1 / self.anchors
        return self.shares[begin - self.begin : end - self.begin].unsqueeze(1)

    def mean(self, losses: Tensor) -> Tensor:
        """The mean of the anchors' losses, by their shares."""
        return losses.mean() if self.shares is None else (losses * self.shares).sum()

    def note_scores(self, setting: InBatchSetting, scores: Tensor) -> None:
        """Have scores checked: the link's domain, and that it is not negative on them.

        It may be negative where a teacher labels every candidate.
        """
        if setting.link.domain == Link.domain and setting.link._lowest_value >= 0:
            return
        low, high = scores.detach().aminmax()
        all_labelled = torch.zeros_like(low)
        if self.teaches_all and setting.options.directions == ("query_to_doc",) and self.target_scores is not None:
            all_labelled = (~self.target_scores.isnan()).all().to(low)
        self.checks.note(partial(_check_scores, setting, setting.link), low, -high, all_labelled)

    def note_targets(self, setting: InBatchSetting) -> None:
        """Have a teacher's scores checked: one in each row, and within the domains of the links."""
        if self.target_scores is None or not self.target_scores.numel():
            return
        known = self.target_scores.isfinite()
        counts = known.any(-1)
        rows = torch.where(counts, len(counts), torch.arange(len(counts), device=counts.device))
        self.checks.note(partial(_check_known, setting.options.owner, len(counts)), rows)
        for link in (setting.link, *([setting.calibration_link] if setting.calibrates else [])):
            if self.anchors and link.domain != Link.domain:
                scores = self.target_scores[self.begin : self.end]
                low, high = (torch.where(scores > -math.inf, scores, end) for end in (math.inf, -math.inf))
                self.checks.note(partial(_check_scores, setting, link), low.amin(), -high.amax(), low.new_ones(()))

    @property
    def teaches_all(self) -> bool:
        """Whether a teacher scored all documents, not only each query's own."""
        return self.target_scores is not None and self.target_scores.shape[1] > self.columns

    def own_columns(self, begin: int, to_documents: bool) -> list[int]:
        """Where, for an anchor `begin`, its own documents (or its own query) stand among the candidates."""
        return [begin + column * self.queries for column in range(self.columns)] if to_documents else [begin]

    @property
    def keeps_all(self) -> bool:
        """Whether no candidate is left out for its text or by a guide."""
        return self.document_ids is None and self.keep is None

    def left_out(self, direction: Direction, begin: int, end: int) -> Tensor | None:
        """Which candidates have, or belong to, the text of the anchors' positives, or are not kept; None for none."""
        kept = None if self.keep is None else self.keep(direction, begin, end)
        if self.document_ids is None:
            return None if kept is None else ~kept
        candidates = self.document_ids if DIRECTIONS[direction][1] else self.document_ids[: self.queries]
        same = self.document_ids[begin:end, None] == candidates[None, :]
        return same if kept is None else same | ~kept


def _check_scores(setting: InBatchSetting, link: Link, low: float, minus_high: float, all_labelled: float) -> None:
    ends = torch.tensor([low, -minus_high], dtype=torch.float64)
    check_domain(setting.options.owner, link, ends)
    if not all_labelled:
        check_nonnegative(setting.options.owner, link, ends)


def _check_known(owner: str, count: int, row: float) -> None:
    if row < count:
        raise ValueError(
            f"{owner}: target_scores must have a number in each row, but row {row:.0f} has none. Leave such rows out."
        )


@dataclass
class Targets:
    """The labels of a block of anchors.

    Attributes:
        probabilities: Of the first own documents (of the positive alone, if there is no teacher), or of all documents.
        constant: How much an anchor's loss is more than the cross entropy, leaving calibration aside.
        scores: The teacher's scores where known, the others replaced by a harmless number; None for labels.
        known: Where they are known; None for labels.
    """

    probabilities: Tensor
    constant: Tensor | float
    scores: Tensor | None
    known: Tensor | None


def targets_of(batch: Batch, setting: InBatchSetting, begin: int, end: int, like: Tensor) -> Targets:
    """The labels of the anchors from `begin` to `end` in the direction query_to_doc, in the dtype of `like`."""
    if batch.target_scores is None:
        return Targets(torch.ones(end - begin, 1, dtype=like.dtype, device=like.device), 0.0, None, None)
    scores = batch.target_scores[begin:end]
    known = (
        scores > -math.inf
    )  # not NaN, and not what the teacher calls never right: both are candidates without a label
    # A fill that is a score of the row stays within the link's domain.
    scores = torch.where(known, scores, torch.where(known, scores, math.inf).amin(-1, keepdim=True))
    precise = _to_working_precision(scores)
    logits = (setting.scale * setting.link._potential(precise)).masked_fill(~known, -math.inf)
    log_q = torch.log_softmax(logits, -1)
    q = log_q.exp()
    negative_entropy = (q * torch.where(q > 0, log_q, 0)).sum(-1)
    return Targets(q.to(like), negative_entropy.to(like), precise, known)
