"""Pairs of texts that a teacher has scored, to learn beside labelled pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import Dataset
from sentence_transformers import CrossEncoder, SentenceTransformer

from selective_st._templates import say
from selective_st._validation import instance_of, whole_number
from selective_st.distillation.teacher import Teacher, states_of
from selective_st.distillation.texts import checked_texts
from selective_st.errors import DataError
from selective_st.evaluation import predict_scores
from selective_st.kept_runs import Contender
from selective_st.layouts import PAIR_COLUMNS, Examples, GradedPairs
from selective_st.links._numerics import numbers_of
from selective_st.output import Output

_WEIGHTS = (0.0, 0.3, 1.0)
_FEWEST = 30  # texts
_COMPARED = 2_000  # labelled pairs by which a teacher's scores are brought to the scale of the labels
_SEED = 0


@dataclass(frozen=True)
class Taught:
    """Pairs of texts that a teacher has scored, on the scale of the labels.

    Attributes:
        pairs: The texts and the scores.
        teacher: What the teacher is called.
        texts: How many different texts there are.
        weights: How much such a pair may count beside a labelled one; the eval split chooses.
    """

    pairs: Dataset
    teacher: str
    texts: int
    weights: tuple[float, ...] = _WEIGHTS

    @property
    def note(self) -> str:
        """What will be tried."""
        return say("to_be_taught", taught=self, weights=[f"{each:g}" for each in self.weights])

    def contenders(self, of: Contender) -> list[Contender]:
        """A loss with each weight of the teacher's scores."""
        setting = f"{of.setting}, " if of.setting else ""
        return [replace(of, setting=f"{setting}teacher {each:g}", teacher_weight=each) for each in self.weights]

    def laid_out(self, examples: Examples, loss: str, *, as_queries: bool) -> Taught:
        """The same in the columns of the examples, or raise if the loss or the model does not take such pairs."""
        columns = examples.dataset.column_names
        if set(columns) != set(PAIR_COLUMNS):
            raise ValueError(say("no_single_pairs", loss=loss, noun=examples.noun))
        if as_queries:
            raise ValueError(say("teacher_of_queries"))
        return replace(self, pairs=self.pairs.select_columns(columns).cast(examples.dataset.features))

    def sentence(self, weight: float) -> str:
        """What has come of it."""
        return say("was_taught", taught=self, weight=weight)

    def as_dict(self, weight: float) -> dict[str, Any]:
        """The figures, for JSON."""
        told = {"model": self.teacher, "texts": self.texts, "pairs": len(self.pairs)}
        return told | {"weights": list(self.weights), "weight": weight}


def taught_pairs(
    place: Output,
    teacher: SentenceTransformer | CrossEncoder,
    name: str,
    texts: Iterable[str],
    labelled: GradedPairs,
    held_out: Sequence[GradedPairs],
    thresholds: Sequence[float],
    count: int = 20_000,
) -> Taught:
    """Draw pairs of texts as `distill` does, and let a teacher score them.

    Its scores are brought to the scale of the labels, by the quantiles of both on the labelled pairs.

    Args:
        place: An output, beside which the teacher's embeddings are kept until it is published.
        teacher: The teacher; the scores of a cross encoder must lie within [-1, 1].
        name: What it is called.
        texts: The texts; each counts once, and those of the held-out pairs do not.
        labelled: The labelled pairs to train on.
        held_out: Those to choose and to report on.
        thresholds: At which will be decided: pairs are drawn more densely there.
        count: How many pairs are drawn.

    Returns:
        The pairs.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there are too few texts, or the teacher's scores are no such numbers.

    Example:
        >>> with Output(Path("model"), "train") as place:                                         # doctest: +SKIP
        ...     taught = taught_pairs(place, teacher, "teacher", texts, train, [dev, test], [0.8])
        ...     task = prepare(splits, focus, settings, taught)
    """
    owner, mend = "taught_pairs", "Give a SentenceTransformer or a CrossEncoder."
    instance_of(owner, "teacher", teacher, (SentenceTransformer, CrossEncoder), mend)
    for name_of, given in [("labelled", labelled), *(("held_out", pairs) for pairs in held_out)]:
        instance_of(owner, name_of, given, GradedPairs, "Read them with read_pairs(file).")
    cuts = numbers_of(owner, "thresholds", thresholds)
    whole_number(owner, "count", count, least=1)
    rng = np.random.default_rng(_SEED)
    known = {text.strip() for pairs in held_out for text in (*pairs.sentences1, *pairs.sentences2)}
    different = dict.fromkeys(map(str.strip, checked_texts(owner, texts)))
    some = [text for text in different if text and text not in known]
    if len(some) < _FEWEST:
        raise DataError(say("few_texts_for_teacher", found=len(some), least=_FEWEST))
    some = [some[number] for number in rng.permutation(len(some))[:count]]  # more would have no pair each
    asked = Teacher(teacher, some, states_of(place, teacher))
    drawn = asked.drawn(np.arange(len(some)), cuts, math.ceil(count / len(some)), rng)
    drawn = drawn[rng.permutation(len(drawn.scores))[:count]]
    rows = rng.permutation(len(labelled))[:_COMPARED]
    first, second, labels = (
        [column[row] for row in rows] for column in (labelled.sentences1, labelled.sentences2, labelled.scores)
    )
    # By their quantiles, which keeps their spread: a regression would draw them to the mean.
    scores = np.interp(drawn.scores, np.sort(predict_scores(teacher, first, second)), np.sort(labels))
    columns = [some[i] for i in drawn.left], [some[i] for i in drawn.right], scores.tolist()
    return Taught(Dataset.from_dict(dict(zip(PAIR_COLUMNS, columns, strict=True))), name, len(some))
