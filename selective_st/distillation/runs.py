"""The losses that a student may learn by, how it learns, and how well it then decides as its teacher does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Any, cast

import numpy as np
import torch
from scipy import sparse
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor, nn
from tqdm.autonotebook import tqdm  # type: ignore[import-untyped]

from selective_st.distillation.settings import DistillSettings
from selective_st.distillation.teacher import Embedder, Numbers, Pairs, Teacher, directions, make_student, save, scored
from selective_st.distillation.texts import SPLITS
from selective_st.evaluation._checks import Bools, Floats
from selective_st.evaluation.claims import Support, interval
from selective_st.evaluation.diagnosis import Diagnosis, diagnose
from selective_st.evaluation.metrics import loss_at, shares
from selective_st.evaluation.thresholds import ScoreThreshold, choose_threshold
from selective_st.functional import listwise_matching_loss, matching_loss, order_loss
from selective_st.kept_runs import Contender, KeptRuns, Run, do_runs
from selective_st.links import ConstantLink, IdentityLink, Link, link_for_thresholds
from selective_st.output import State

OfScores = Callable[[Tensor, Tensor], Tensor]  # the student's and the teacher's scores of pairs, to a loss
OURS, SQUARED, EMBEDDINGS = "selective", "squared error", "embedding distillation"
COSENT, KL, DECISIONS = "CoSENTLoss", "softmax KL", "cross entropy of decisions"
OTHERS = (SQUARED, COSENT, KL, DECISIONS, EMBEDDINGS)
_LIST = 16  # pairs with the same first text, at most
_SHAPES = ((0.05, 0.0), (0.05, 0.15), (0.02, 0.0))  # width and floor of the link at a threshold
_SCALES = (20.0, 10.0, 40.0)
_TEMPERATURES = (0.1, 0.05, 0.3)
_SHORTER = 4  # times than the others, the runs of a diagnosis
PLACES = "at_teachers", "at_own"  # threshold
_DRAWS = 500  # of texts
_PER_MILLE = 1000
_TIMED = 512  # texts or pairs
_bar = partial(tqdm, unit="step", disable=None)

# --- Losses -----------------------------------------------------------------------------------------------------------


def contenders(thresholds: Sequence[float], losses: Sequence[str], pairs: int) -> list[Contender]:
    """The losses, each with the settings to choose from; the first of each is tried with every rate.

    Args:
        thresholds: At which will be decided.
        losses: Which losses.
        pairs: How many pairs a text has.

    Returns:
        The contenders.

    Example:
        >>> [each.setting for each in contenders([0.8], ["selective"], 48)]
        ['width 0.05, floor 0', 'width 0.05, floor 0.15', 'width 0.02, floor 0']
    """
    size = max(min(_LIST, pairs // 2), 2)
    scores = -1.0 if min(thresholds) < 0 else 0.0, 1.0
    hump = partial(link_for_thresholds, thresholds, score_range=scores)
    links = {f"width {width:g}, floor {floor:g}": hump(width=width, elsewhere=floor) for width, floor in _SHAPES}
    kl, of_decisions = partial(_kl, size=size), partial(_of_decisions, thresholds=thresholds)
    every = [
        *(Contender(OURS, said, _matching(link), link=link) for said, link in links.items()),
        Contender(SQUARED, "", _matching(IdentityLink()), link=IdentityLink()),
        *(Contender(COSENT, f"scale {a:g}", partial(_cosent, scale=a)) for a in _SCALES),
        *(Contender(KL, f"temperature {t:g}", partial(kl, temperature=t), list_size=size) for t in _TEMPERATURES),
        *(Contender(DECISIONS, f"scale {a:g}", partial(of_decisions, scale=a)) for a in _SCALES),
        Contender(EMBEDDINGS),
    ]
    return [contender for loss in losses for contender in every if contender.loss == loss]


def _matching(link: Link) -> OfScores:
    return lambda predicted, target: matching_loss(predicted, target, link)


def _cosent(predicted: Tensor, target: Tensor, scale: float) -> Tensor:
    """That of CoSENTLoss, which is CoSENT's in time B log B."""
    return scale * order_loss(predicted, target, scale=scale)


def _kl(predicted: Tensor, target: Tensor, temperature: float, size: int) -> Tensor:
    """That of DistillKLDivLoss on lists."""
    of_student, of_teacher = (scores.view(-1, size) for scores in (predicted, target))
    return temperature**2 * listwise_matching_loss(of_student, of_teacher, ConstantLink(), temperature)


def _of_decisions(predicted: Tensor, target: Tensor, thresholds: Sequence[float], scale: float) -> Tensor:
    """The binary cross entropy of the teacher's decisions."""
    at = torch.tensor(thresholds, device=predicted.device)
    decided = (target[:, None] >= at).to(predicted.dtype)
    return nn.functional.binary_cross_entropy_with_logits(scale * (predicted[:, None] - at), decided)


def batches(first_texts: Tensor, size: int, generator: torch.Generator, list_size: int) -> Iterator[Tensor]:
    """The pairs of an epoch, batch by batch.

    Args:
        first_texts: The number of each pair's first text.
        size: Pairs in a batch.
        generator: Of their order.
        list_size: How many pairs with the same first text stand together; those left over are left out.

    Yields:
        The numbers of the pairs.
    """
    order = torch.randperm(len(first_texts), generator=generator)
    if list_size > 1:
        order = order[first_texts[order].argsort(stable=True)]
        counts = torch.bincount(first_texts)
        place = torch.arange(len(order)) - (counts.cumsum(0) - counts)[first_texts[order]]
        whole = (counts // list_size * list_size)[first_texts[order]]
        lists = order[place < whole].view(-1, list_size)
        order = lists[torch.randperm(len(lists), generator=generator)].view(-1)
    yield from order.split(max(size // list_size, 1) * list_size)


# --- Lessons ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lessons:
    """How the students of a teacher learn.

    Attributes:
        teacher: The teacher.
        settings: The settings.
    """

    teacher: Teacher
    settings: Any  # DistillSettings, of which nothing is None any more but layers

    def student(self, pairs: Pairs) -> Embedder:
        """The student before it learns from some pairs, with all texts as it takes them."""
        some = [self.teacher.texts[number] for number in np.unique(pairs.left)]
        return Embedder(make_student(self.teacher.model, self.settings, some), self.teacher.texts)

    def steps(self, pairs: Pairs) -> int:
        """How many steps a student makes."""
        return int(self.settings.epochs * math.ceil(len(pairs.scores) / self.settings.batch_size))

    def train(
        self, student: Embedder, pairs: Pairs, contender: Contender, rate: float, on_step: Callable[[], object]
    ) -> None:
        """Train in place, by Adam, with a rate that rises for a tenth of the steps and then falls to 0."""
        loss_of = self._loss(contender, student.model, pairs)
        student.model.train()
        optimizer = torch.optim.AdamW(student.model.parameters(), lr=rate, weight_decay=0.0)
        steps = self.steps(pairs)
        rise = max(steps / 10, 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda done: min((done + 1) / rise, max(steps - done, 0) / max(steps - rise, 1))
        )
        sides = torch.from_numpy(np.stack([pairs.left, pairs.right]))
        generator = torch.Generator().manual_seed(self.settings.seed)
        for _ in range(self.settings.epochs):
            for batch in batches(sides[0], self.settings.batch_size, generator, contender.list_size):
                texts = sides[:, batch]
                optimizer.zero_grad()
                loss_of(student(texts.flatten()).view(*texts.shape, -1), texts, batch).backward()
                optimizer.step()
                schedule.step()
                on_step()

    def _loss(self, contender: Contender, model: SentenceTransformer, pairs: Pairs) -> Callable[..., Tensor]:
        """What makes a loss of the embeddings of both sides, the numbers of these texts, and those of the pairs."""
        if contender.make is not None:
            make, scores = contender.make, torch.from_numpy(pairs.scores)
            return lambda both, _, batch: make(nn.functional.cosine_similarity(*both), scores[batch].to(both.device))
        rows = torch.from_numpy(self.teacher.embeddings)
        targets = rows @ directions(rows, min(model.get_embedding_dimension() or 1, rows.shape[1]))
        targets = targets / targets.std()
        return lambda both, texts, _: 2 * nn.functional.mse_loss(both, targets[texts].to(both.device))

    def with_false_matches(self, pairs: Pairs, rows: Numbers, contender: Contender, state: State) -> Pairs:
        """Pairs, half of them changed for those that a first student, trained on half, takes for neighbours."""
        path, rng = state.folder / "embeddings.npy", np.random.default_rng(self.settings.seed)
        half = pairs[rng.permutation(len(pairs.scores))[::2]]
        if not path.exists():
            student = self.student(pairs)
            with _bar(total=self.steps(half), desc="a first student") as bar:
                self.train(student, half, contender, self.settings.learning_rates[-1], bar.update)
            save(path, student.units(rows))
            state.says = "the neighbours that a first student finds are kept"
        return self.teacher.with_mined(pairs, rows, np.load(path), rng)

    def diagnosed(self, pairs: Pairs, others: Pairs) -> Diagnosis:
        """What limits the student, by two short runs on some of the pairs, and pairs of other texts drawn alike."""
        pairs = pairs[np.random.default_rng(self.settings.seed).permutation(len(pairs.scores))[::_SHORTER]]
        start, found = self.student(pairs), {}
        with _bar(total=2 * self.steps(pairs), desc="diagnosis") as bar:
            for name, loss in (("squared", SQUARED), ("selective", OURS)):
                student, first = start.fresh(), contenders(self.settings.thresholds, [loss], self.settings.pairs)[0]
                self.train(student, pairs, first, self.settings.learning_rates[-1], bar.update)
                found[name] = scored(student, {"training": pairs, "validation": others})
        training, validation = (
            (part.scores, {name: of[split].predicted for name, of in found.items()})
            for split, part in (("training", pairs), ("validation", others))
        )
        clusters: Any = pairs.left, others.left
        return diagnose(training, validation, self.settings.thresholds, clusters=clusters)

    def runs(
        self, pairs: dict[str, Pairs], some: Sequence[Contender], state: State
    ) -> tuple[dict[str, list[Run]], KeptRuns]:
        """The runs of each loss: its first setting with every rate, the others with the best; none is done twice."""
        rates, seed, steps = self.settings.learning_rates, self.settings.seed, self.steps(pairs["train"])
        count = len(some) + len({each.loss for each in some}) * (len(rates) - 1)
        kept = KeptRuns(state, [(each.name, rate, seed) for each, rate in product(some, rates)], count)
        start = cache(partial(self.student, pairs["train"]))
        with _bar(total=steps * count, initial=steps * len(kept)) as bar:

            def do(contender: Contender, rate: float, seed: int) -> tuple[Run, SentenceTransformer]:
                bar.set_description(f"{contender.name}, rate {rate:g}")
                student = start().fresh()
                self.train(student, pairs["train"], contender, rate, bar.update)
                of_splits = measured(scored(student, {name: pairs[name] for name in SPLITS[1:]}), self.settings)
                return Run(contender.loss, rate, seed, *of_splits, contender.setting), student.model

            return do_runs(some, rates, [seed], kept, do, goodness, sparing=True), kept


def goodness(run: Run) -> float:
    """What chooses the rate: the least loss at the thresholds on the validation pairs."""
    mean = np.mean([each["loss"] for each in run.eval["thresholds"]])
    return float(np.nan_to_num(-mean, nan=-math.inf, neginf=-math.inf))


def speeds(teacher: Teacher, student: SentenceTransformer, texts: Sequence[str]) -> dict[str, float]:
    """How many texts, or pairs of a cross encoder, each of them takes in a second."""
    some, model = list(texts[:_TIMED]), teacher.model
    of_teacher: Any = model.predict if isinstance(model, CrossEncoder) else model.encode
    rows: list[Any] = [(text, some[0]) for text in some] if teacher.is_cross else some
    more = some * max(1, 8 * _TIMED // len(some))
    found = {}
    for name, run, given in (("teacher", of_teacher, rows), ("student", student.encode, more)):
        run(given[:32], show_progress_bar=False)
        begin = time.perf_counter()
        run(given, show_progress_bar=False)
        found[name] = len(given) / (time.perf_counter() - begin)
    return found


# --- Agreement --------------------------------------------------------------------------------------------------------


def measured(pairs: dict[str, Pairs], settings: DistillSettings) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """The metrics on the validation and the test pairs, and F1 where texts are drawn anew, at each threshold.

    What the student decides by is chosen on the validation pairs.
    """
    of, losses, agreement, draws = pairs["validation"], [], [], []
    gold, predicted = of.scores.astype(float).tolist(), of.predicted.astype(float).tolist()
    for threshold in settings.thresholds:
        losses.append({"threshold": threshold, "loss": threshold_loss(gold, predicted, threshold)})
        own = None
        if np.isfinite(predicted).all():  # else training has diverged
            own = choose_threshold(gold, predicted, gold_at_least=threshold, chosen_on="validation")
        found, of_texts = _agreement(pairs["test"], threshold, own, settings.seed)
        agreement.append(found)
        draws.append(of_texts)
    return {"thresholds": losses}, {"thresholds": agreement}, draws


def _agreement(
    pairs: Pairs, threshold: float, own: ScoreThreshold | None, seed: int
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """At the teacher's threshold and at the student's own, with intervals over texts; and the draws of F1."""
    sought, f1 = _sought(pairs.scores, threshold), {}
    texts = len(np.unique([pairs.left[sought], pairs.right[sought]]))
    support = Support(int(sought.sum()), len(sought), texts=texts)
    loss = threshold_loss(pairs.scores, pairs.predicted, threshold)
    found = {"threshold": threshold, "matches": support.cases, "loss": loss, "cut": own and own.as_dict()}
    for where, cut in zip(PLACES, (threshold, own.value if own else math.nan), strict=True):
        draws = _resampled(pairs, threshold, cut, seed)
        ends = {metric: interval(of, support) for metric, of in draws.items()}
        found[where] = decisions(pairs.scores, pairs.predicted, threshold, cut)
        found[f"{where}_intervals"] = {metric: of and np.clip(of, 0, 1).tolist() for metric, of in ends.items()}
        f1[where] = draws["f1"].round(5).tolist()
    return found, f1


def gained(ours: Run, other: Run) -> list[dict[str, Any]]:
    """How much higher our F1 is than another's at each threshold, with the interval on the same resamples of texts."""
    gains = []
    for place, (a, b) in enumerate(zip(ours.test["thresholds"], other.test["thresholds"], strict=True)):
        support, gain = Support(a["matches"], a["matches"]), {}
        for where in PLACES:
            ends = interval(np.subtract(*(run.test_scores[place][where] for run in (ours, other))), support)
            gain[where] = {"f1": a[where]["f1"] - b[where]["f1"], "interval": ends and list(ends)}
        gains.append(gain)
    return gains


def _resampled(pairs: Pairs, threshold: float, cut: float, seed: int) -> dict[str, Floats]:
    """F1, precision and recall where texts are drawn anew: a pair counts as often as both its texts are drawn."""
    texts = int(max(pairs.left.max(), pairs.right.max())) + 1
    times = np.random.default_rng(seed).multinomial(texts, np.full(texts, 1 / texts), size=_DRAWS).astype(np.float32)
    sought, found = _sought(pairs.scores, threshold), pairs.predicted >= cut

    def count(which: Bools) -> Floats:
        places = pairs.left[which], pairs.right[which]
        matrix = sparse.csr_matrix((np.ones(len(places[0]), np.float32), places), (texts, texts))
        return cast(Floats, np.einsum("dt,td->d", times, matrix @ times.T, dtype=np.float64))

    return shares(count(sought & found), count(found), count(sought))


def _sought(gold: Any, threshold: float) -> Bools:
    """Which pairs the teacher finds: its threshold is reached up to rounding, as where the student's is chosen."""
    return ScoreThreshold(threshold, threshold).is_sought(gold)


def decisions(gold: Any, predicted: Any, threshold: float, cut: float) -> dict[str, float]:
    """How well a student's decisions agree with its teacher's.

    Args:
        gold: The teacher's scores.
        predicted: The student's scores.
        threshold: The teacher decides by this.
        cut: The student decides by this.

    Returns:
        F1, precision and recall; 0 where nothing is found.

    Example:
        >>> decisions(np.array([0.9, 0.8, 0.2]), np.array([0.9, 0.3, 0.7]), 0.6, 0.6)
        {'f1': 0.5, 'precision': 0.5, 'recall': 0.5}
    """
    sought, found = _sought(gold, threshold), np.asarray(predicted) >= cut
    counted = shares((sought & found).sum(), found.sum(), sought.sum())
    return {name: float(share) for name, share in counted.items()}


def threshold_loss(gold: Any, predicted: Any, threshold: float) -> float:
    """The mean loss of deciding at a threshold, in per mille: how far a prediction on the wrong side lies beyond it.

    Args:
        gold: The teacher's scores.
        predicted: The student's scores.
        threshold: The threshold.

    Returns:
        The loss.

    Example:
        >>> round(threshold_loss(np.array([0.9, 0.8, 0.2]), np.array([0.9, 0.3, 0.7]), 0.6), 6)
        133.333333
    """
    gold, predicted = (np.asarray(scores, dtype=np.float64) for scores in (gold, predicted))
    return _PER_MILLE * loss_at(threshold).compute(gold, predicted)  # NaN where training has diverged
