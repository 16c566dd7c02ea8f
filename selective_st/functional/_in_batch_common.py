"""What the in-batch loss is told: its setting, what is known of a batch, and what that is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from selective_st._autograd import look
from selective_st.functional._blockwise import PRECISIONS, Direction, Precision
from selective_st.functional._checks import RULES, check_calibration, check_nonnegative, checked, one_of
from selective_st.links import Link
from selective_st.links.base import check_domain

PartitionMode = Literal["joint", "per_direction"]
HardnessMode = Literal["in_batch_negatives", "hard_negatives", "all_negatives"]
MarginStrategy = Literal["absolute", "relative"]
SimilarityMatrix = Callable[[Tensor, Tensor], Tensor]
# For a direction, and the anchors from one to another: which candidates are kept; None for all.
Keep = Callable[[Direction, int, int], Tensor | None]

# From whom to whom each direction compares: True for documents, False for queries.
DIRECTIONS: dict[Direction, tuple[bool, bool]] = {
    "query_to_doc": (False, True),
    "query_to_query": (False, False),
    "doc_to_query": (True, False),
    "doc_to_doc": (True, True),
}


@dataclass(frozen=True)
class InBatchSetting:
    """What is the same for every batch; checked.

    Attributes:
        link: The link of the composite Softmax.
        scale: 1 / temperature.
        calibration: The weight of the calibration term.
        calibration_link: Its link; `link` if None was given.
        directions: What is compared with what, each once, in one order.
        partition_mode: One Softmax, or one for each direction.
        hardness_mode: Which negatives count more the harder they are.
        hardness_strength: How much.
        label_smoothing: How much of the label is spread.
        precision: That of the matrix products.
        owner: Whose setting it is, for messages.
        directions_by_name: From whom to whom each direction compares.
        groups: The directions of each Softmax.
        hardens: Whether any negatives' logits are raised.
        calibrates: Whether the calibration term is more than 0.
        asks_scores: Whether the link is not defined, or may be negative, on some scores.
    """

    link: Link
    scale: float
    calibration: float = 1.0
    calibration_link: Any = None
    directions: tuple[Direction, ...] = ("query_to_doc",)
    partition_mode: PartitionMode = "joint"
    hardness_mode: HardnessMode | None = None
    hardness_strength: float = 0.0
    label_smoothing: float = 0.0
    precision: Precision = "auto"
    owner: str = field(default="in_batch_loss", compare=False)
    directions_by_name: dict[Direction, tuple[bool, bool]] = field(init=False, compare=False, repr=False)
    groups: tuple[tuple[Direction, ...], ...] = field(init=False, compare=False, repr=False)
    hardens: bool = field(init=False, compare=False, repr=False)
    calibrates: bool = field(init=False, compare=False, repr=False)
    asks_scores: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        owner = self.owner
        given = {name: value for name, value in vars(self).items() if name in RULES}
        self.__dict__.update(zip(given, checked(owner, **given), strict=True))
        one_of(owner, "precision", self.precision, PRECISIONS)
        weight, calibration_link = check_calibration(owner, self.link, self.calibration, self.calibration_link)
        directions = self._checked_directions()
        by_partition = {"joint": (directions,), "per_direction": tuple((name,) for name in directions)}
        self.__dict__.update(
            calibration_link=calibration_link,
            directions=directions,
            directions_by_name={name: DIRECTIONS[name] for name in directions},
            groups=by_partition[self.partition_mode],
            hardens=self.hardness_mode is not None and self.hardness_strength > 0,
            calibrates=weight > 0,
            asks_scores=self.link.domain != Link.domain or self.link._lowest_value < 0,
        )

    def _checked_directions(self) -> tuple[Direction, ...]:
        given = self.directions
        is_sequence = isinstance(given, Sequence) and not isinstance(given, str)
        if not is_sequence or "query_to_doc" not in given or not all(name in DIRECTIONS for name in given):
            raise ValueError(
                f'{self.owner}: directions must include "query_to_doc", which holds the positives, and may hold others '
                f'of {", ".join(map(repr, DIRECTIONS))}, got {given!r}. Write directions=("query_to_doc",).'
            )
        without_positive = [name for name in ("query_to_query", "doc_to_doc") if name in given]
        if self.partition_mode == "per_direction" and without_positive:
            raise ValueError(
                f'{self.owner}: partition_mode="per_direction" gives each direction a Softmax of its own, but '
                f'{without_positive[0]!r} in directions holds no positive. Use partition_mode="joint".'
            )
        return tuple(name for name in DIRECTIONS if name in given)


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
        shares: The share of each anchor in the mean, which add up to 1, of shape (anchors, 1); None for equal ones.
        questions: What its tensors are asked on their device, noted on the way: a check, and the tensors of whose
            least numbers it raises where they are wrong.
    """

    queries: int
    columns: int
    begin: int
    end: int
    document_ids: Tensor | None = None
    target_scores: Tensor | None = None
    keep: Keep | None = None
    shares: Tensor | None = None
    questions: list[tuple[Callable[..., None], Sequence[Tensor]]] = field(default_factory=list, compare=False)

    @property
    def teaches_all(self) -> bool:
        """Whether a teacher scored all documents, not only each query's own."""
        return self.target_scores is not None and self.target_scores.shape[1] > self.columns

    def left_out(self, direction: Direction, begin: int, end: int) -> Tensor | None:
        """Which candidates have, or belong to, the text of the anchors' positives, or are not kept; None for none."""
        kept = None if self.keep is None else self.keep(direction, begin, end)
        if self.document_ids is None:
            return None if kept is None else ~kept
        candidates = self.document_ids if DIRECTIONS[direction][1] else self.document_ids[: self.queries]
        same = self.document_ids[begin:end, None] == candidates[None, :]
        return same if kept is None else same | ~kept

    def note_scores(self, setting: InBatchSetting, scores: Tensor) -> None:
        """Have scores checked: the link's domain, and that it is not negative on them.

        It may be negative where a teacher labels every candidate.
        """
        if not setting.asks_scores:
            return
        low, high = scores.detach().aminmax()
        all_labelled = torch.zeros_like(low)
        if self.teaches_all and setting.directions == ("query_to_doc",) and self.target_scores is not None:
            all_labelled = (~self.target_scores.isnan()).all().to(low)
        self.questions.append((partial(_check_scores, setting.owner, setting.link), (low, -high, all_labelled)))

    def note_targets(self, setting: InBatchSetting) -> None:
        """Have a teacher's scores checked: one in each row, and within the domains of the links."""
        if self.target_scores is None or not self.target_scores.numel():
            return
        counts = self.target_scores.isfinite().any(-1)
        rows = torch.where(counts, len(counts), torch.arange(len(counts), device=counts.device))
        self.questions.append((partial(_check_known, setting.owner, len(counts)), (rows,)))
        scores = self.target_scores[self.begin : self.end]
        for link in (setting.link, *([setting.calibration_link] if setting.calibrates else [])):
            if scores.numel() and link.domain != Link.domain:
                low, high = (torch.where(scores > -math.inf, scores, end) for end in (math.inf, -math.inf))
                ends = low.amin(), -high.amax(), low.new_ones(())
                self.questions.append((partial(_check_scores, setting.owner, link), ends))

    def note_ends(self, check: Callable[[float, float], None], tensor: Tensor) -> None:
        """Have a check called with the lowest and the highest number of a tensor."""
        if tensor.numel():
            self.questions.append((lambda low, minus_high: check(low, -minus_high), (tensor, -tensor)))

    def ask(self) -> None:
        """Read all answers at once, and call the checks."""
        if self.questions:
            checks = [(check, len(values)) for check, values in self.questions]
            tensors = [value for _, values in self.questions for value in values]
            self.questions.clear()
            look(partial(_call, checks), *tensors)


def _call(checks: Sequence[tuple[Callable[..., None], int]], *values: Tensor) -> None:
    device = values[0].device
    dtype = torch.float32 if device.type == "mps" else torch.float64
    numbers = iter(torch.stack([value.amin().to(device, dtype) for value in values]).tolist())
    for check, count in checks:
        check(*(next(numbers) for _ in range(count)))


def _check_scores(owner: str, link: Link, low: float, minus_high: float, all_labelled: float) -> None:
    ends = torch.tensor([low, -minus_high], dtype=torch.float64)
    check_domain(owner, link, ends)
    if not all_labelled:
        check_nonnegative(owner, link, ends)


def _check_known(owner: str, count: int, row: float) -> None:
    if row < count:
        raise ValueError(
            f"{owner}: target_scores must have a number in each row, but row {row:.0f} has none. Leave such rows out."
        )
