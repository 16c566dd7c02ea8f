"""The losses that `selective-st train` makes data ready for; their settings are those of their rows."""

from __future__ import annotations

from dataclasses import dataclass

from selective_st.catalog._kinds import LabelKind, Row, Shape
from selective_st.catalog._lookup import rows


@dataclass(frozen=True)
class Trainable:
    """A loss that `selective-st train` makes the data ready for.

    Attributes:
        name: What `--loss` calls it.
        loss: The name of its class.
        shape: The inputs that the pairs are laid out to.
        label: The kind of their labels then; with the shape, its row.
        what: What it learns from, for people.
        scale: The default scale of its class, where the temperature of the scores is its inverse.
    """

    name: str
    loss: str
    shape: Shape
    label: LabelKind
    what: str
    scale: float | None = None

    @property
    def row(self) -> Row:
        """Its row, which has its settings."""
        fitting = (row for row in rows("SentenceTransformer") if (row.shape, row.label) == (self.shape, self.label))
        return next(row for row in fitting if self.loss in [selective.loss for selective in row.selective])

    @property
    def temperature(self) -> float | None:
        """The temperature in its row's settings; None if it has none."""
        selective = next(selective for selective in self.row.selective if selective.loss == self.loss)
        given = dict(selective.arguments).get("temperature")
        return 1 / self.scale if self.scale else None if given is None else float(given)


TRAINABLE = (
    Trainable("pointwise", "SelectivePointwiseLoss", "pair", "similarity", "each pair"),
    Trainable("pairwise", "SelectivePairwiseLoss", "triplet", "none", "a better against a worse candidate of a text"),
    Trainable("listwise", "SelectiveListwiseLoss", "n-tuple", "scores", "all candidates of a text"),
    Trainable("listwise-labels", "SelectiveListwiseLoss", "n-tuple", "binary list", "the same, right or wrong"),
    Trainable(
        "in-batch", "SelectiveMultipleNegativesRankingLoss", "pair", "none",
        "positives against the rest of the batch", scale=20.0,
    ),
    Trainable(
        "cached-in-batch", "CachedSelectiveMultipleNegativesRankingLoss", "pair", "none",
        "the same for large batches", scale=20.0,
    ),
)  # fmt: skip


def trainable(name: str) -> Trainable | None:
    """What `train` makes of a loss's name.

    Args:
        name: As `--loss` calls it, or the name of its class.

    Returns:
        The loss, the first of its class; None if `train` does not know it.

    Example:
        >>> trainable("SelectiveListwiseLoss").name
        'listwise'
    """
    return next((known for known in TRAINABLE if name in (known.name, known.loss)), None)
