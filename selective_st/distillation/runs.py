"""The runs of a distillation, and how well a student decides."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.losses import CoSENTLoss
from torch import Tensor, nn
from tqdm.autonotebook import tqdm  # type: ignore[import-untyped]

from selective_st.distillation.pairs import Floats, Pairs, Teacher, products
from selective_st.distillation.settings import COSENT, EMBEDDINGS, OURS, DistillSettings
from selective_st.distillation.students import Embedder, directions, make_student
from selective_st.distillation.texts import SPLITS
from selective_st.evaluation.metrics import losses_at
from selective_st.evaluation.thresholds import ScoreThreshold, choose_threshold
from selective_st.kept_runs import KeptRuns, Run
from selective_st.links import IdentityLink, Link
from selective_st.losses import SelectivePointwiseLoss

Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # embeddings of both texts, and their numbers, to a loss

_TIMED = 512  # texts or pairs


def _step(loss: str, model: SentenceTransformer, teacher: Teacher, pairs: Pairs, link: Link) -> Step:
    """What a loss makes of a batch: embeddings of both texts, and which pairs they are of."""
    if loss == EMBEDDINGS:
        rows = torch.from_numpy(np.array(teacher.embeddings))
        targets = rows @ directions(rows, min(model.get_embedding_dimension() or 1, rows.shape[1]))
        targets = targets / targets.std()
        numbers = [torch.from_numpy(side) for side in (pairs.left, pairs.right)]

        def of_embeddings(first: Tensor, second: Tensor, batch: Tensor) -> Tensor:
            both = zip((first, second), numbers, strict=True)
            return sum((nn.functional.mse_loss(x, targets[n[batch]].to(x.device)) for x, n in both), torch.tensor(0.0))

        return of_embeddings
    of_pairs: Any = (
        CoSENTLoss(model)
        if loss == COSENT
        else SelectivePointwiseLoss(model, link=link if loss == OURS else IdentityLink())
    )
    scores = torch.from_numpy(pairs.scores)
    return lambda first, second, batch: of_pairs.compute_loss_from_embeddings(
        [first, second], scores[batch].to(first.device)
    )


def train_student(
    model: SentenceTransformer, texts: Sequence[str], pairs: Pairs, step: Step, rate: float, settings: Any, bar: Any
) -> None:
    """Train in place, by Adam, with a rate that rises for a tenth of the steps and then falls to 0."""
    embedder = Embedder(model, texts)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    steps = _steps(len(pairs.scores), settings)
    rise = max(steps / 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: min((done + 1) / rise, (steps - done) / max(steps - rise, 1))
    )
    left, right = torch.from_numpy(pairs.left), torch.from_numpy(pairs.right)
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.epochs):
        for batch in torch.randperm(len(left), generator=generator).split(settings.batch_size):
            first, second = embedder(torch.cat([left[batch], right[batch]])).split(len(batch))
            optimizer.zero_grad()
            step(first, second, batch).backward()
            optimizer.step()
            schedule.step()
            bar.update()


def _steps(pairs: int, settings: Any) -> int:
    return int(settings.epochs * math.ceil(pairs / settings.batch_size))


def do_runs(
    teacher: Teacher, pairs: dict[str, Pairs], settings: DistillSettings, kept: KeptRuns, working: Path
) -> list[Run]:
    """All runs, in order; those that are done already are not done again."""
    asked = settings.runs(teacher.is_cross)
    todo = [key for key in asked if key not in kept]
    train = [teacher.texts[number] for number in np.unique(pairs["train"].left)]
    start = make_student(teacher.model, settings, train) if todo else None
    steps = _steps(len(pairs["train"].scores), settings)
    runs = []
    with tqdm(total=steps * len(asked), initial=steps * (len(asked) - len(todo)), unit="step", disable=None) as bar:
        for loss, rate, seed in asked:
            if (loss, rate, seed) in todo:
                bar.set_description(f"{loss}, rate {rate:g}")
                model: Any = copy.deepcopy(start)
                step = _step(loss, model, teacher, pairs["train"], settings.link)
                train_student(model, teacher.texts, pairs["train"], step, rate, settings, bar)
                found = _measured(model, teacher, pairs, settings.thresholds)
                kept.add(Run(loss, rate, seed, *found, test_scores=[]), model if loss == OURS else None, working)
            runs.append(kept[loss, rate, seed])
    return runs


def _measured(
    model: SentenceTransformer, teacher: Teacher, pairs: dict[str, Pairs], thresholds: Sequence[float]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metrics on the validation and the test pairs; what the student decides by is chosen on the first."""
    embedder = Embedder(model, teacher.texts)
    scores = {}
    for name in SPLITS[1:]:
        numbers = np.unique(np.concatenate([pairs[name].left, pairs[name].right]))
        units = embedder.units(numbers)
        places = (np.searchsorted(numbers, side) for side in (pairs[name].left, pairs[name].right))
        scores[name] = products(units, *places)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in scores}
    for threshold in thresholds:
        cut = _best_cut(pairs["validation"].scores, scores["validation"], threshold)
        for name, predicted in scores.items():
            gold = pairs[name].scores
            found[name].append(
                {
                    "threshold": threshold,
                    "matches": int((gold >= threshold).sum()),
                    "at_teachers": decisions(gold, predicted, threshold, threshold),
                    "at_own": decisions(gold, predicted, threshold, cut.value if cut else math.nan),
                    "cut": cut.as_dict() if cut else None,
                    "loss": threshold_loss(gold, predicted, threshold),
                }
            )
    return {"thresholds": found["validation"]}, {"thresholds": found["test"]}


def _best_cut(gold: Floats, predicted: Floats, threshold: float) -> ScoreThreshold | None:
    """The student's best threshold; none where training has diverged."""
    if not np.isfinite(predicted).all():
        return None
    return choose_threshold(gold, predicted, gold_at_least=threshold, chosen_on="validation")  # type: ignore[arg-type]


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
    sought, found = np.asarray(gold) >= threshold, np.asarray(predicted) >= cut
    hits, of_found, of_sought = int((sought & found).sum()), int(found.sum()), int(sought.sum())
    return {
        "f1": 2 * hits / max(of_found + of_sought, 1),
        "precision": hits / max(of_found, 1),
        "recall": hits / max(of_sought, 1),
    }


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
    gold, predicted = np.asarray(gold, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if np.isnan(predicted).any():  # training has diverged
        return math.nan
    return float(1000 * losses_at(gold, predicted, threshold).mean())


def goodness(run: Run) -> float:
    """What chooses the rate: the least loss at the thresholds on the validation pairs."""
    mean = float(np.mean([each["loss"] for each in run.eval["thresholds"]]))  # type: ignore[attr-defined]
    return -math.inf if math.isnan(mean) else -mean


def megabytes(model: nn.Module) -> float:
    """The size of a model's weights."""
    return sum(each.numel() * each.element_size() for each in model.parameters()) / 1e6


def speeds(teacher: Teacher, student: SentenceTransformer, texts: Sequence[str]) -> dict[str, float]:
    """How many texts, or pairs of a cross encoder, each of them takes in a second."""
    some, model = list(texts[:_TIMED]), teacher.model
    run: Any = model.predict if isinstance(model, CrossEncoder) else model.encode
    rows: list[Any] = [(text, some[0]) for text in some] if teacher.is_cross else some
    encode = partial(student.encode, show_progress_bar=False)
    more = some * max(1, 8 * _TIMED // len(some))
    return {"teacher": _rate(partial(run, show_progress_bar=False), rows), "student": _rate(encode, more)}


def _rate(run: Callable[[list[Any]], Any], rows: list[Any]) -> float:
    run(rows[:32])
    begin = time.perf_counter()
    run(rows)
    return len(rows) / (time.perf_counter() - begin)
