"""The runs of a distillation, and how well a student decides."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor, nn
from tqdm.autonotebook import tqdm  # type: ignore[import-untyped]

from selective_st.distillation.agreement import Scored, measured
from selective_st.distillation.contenders import OURS, SQUARED, batches, contenders
from selective_st.distillation.pairs import Pairs, Teacher, products
from selective_st.distillation.settings import DistillSettings
from selective_st.distillation.students import Embedder, directions, make_student
from selective_st.distillation.texts import SPLITS
from selective_st.evaluation.diagnosis import Diagnosis, diagnose
from selective_st.kept_runs import Contender, KeptRuns, Run, do_runs
from selective_st.output import State

Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # embeddings of both texts, and their numbers, to a loss

_TIMED = 512  # texts or pairs
_SHORTER = 4  # times than the others, the runs of a diagnosis


def _step(contender: Contender, model: SentenceTransformer, teacher: Teacher, pairs: Pairs) -> Step:
    """What a loss makes of a batch: embeddings of both texts, and which pairs they are of."""
    if contender.make is not None:
        of_scores, scores = contender.make, torch.from_numpy(pairs.scores)
        return lambda first, second, batch: of_scores(
            nn.functional.cosine_similarity(first, second), scores[batch].to(first.device)
        )
    rows = torch.from_numpy(np.array(teacher.embeddings))
    targets = rows @ directions(rows, min(model.get_embedding_dimension() or 1, rows.shape[1]))
    targets = targets / targets.std()
    numbers = [torch.from_numpy(side) for side in (pairs.left, pairs.right)]

    def of_embeddings(first: Tensor, second: Tensor, batch: Tensor) -> Tensor:
        both = zip((first, second), numbers, strict=True)
        return sum((nn.functional.mse_loss(x, targets[n[batch]].to(x.device)) for x, n in both), torch.tensor(0.0))

    return of_embeddings


def train_student(
    student: Embedder,
    teacher: Teacher,
    pairs: Pairs,
    contender: Contender,
    rate: float,
    settings: DistillSettings,
    on_step: Callable[[], object],
) -> None:
    """Train in place, by Adam, with a rate that rises for a tenth of the steps and then falls to 0."""
    step = _step(contender, student.model, teacher, pairs)
    student.model.train()
    optimizer = torch.optim.AdamW(student.model.parameters(), lr=rate, weight_decay=0.0)
    steps = _steps(pairs, settings)
    rise = max(steps / 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: min((done + 1) / rise, max(steps - done, 0) / max(steps - rise, 1))
    )
    left, right = torch.from_numpy(pairs.left), torch.from_numpy(pairs.right)
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.epochs or 1):
        for batch in batches(left, settings.batch_size or 1, generator, contender.list_size):
            first, second = student(torch.cat([left[batch], right[batch]])).split(len(batch))
            optimizer.zero_grad()
            step(first, second, batch).backward()
            optimizer.step()
            schedule.step()
            on_step()


def _steps(pairs: Pairs, settings: Any) -> int:
    return int(settings.epochs * math.ceil(len(pairs.scores) / settings.batch_size))


def with_false_matches(
    teacher: Teacher, pairs: Pairs, rows: npt.NDArray[np.int64], contender: Contender, settings: Any, state: State
) -> Pairs:
    """Pairs, half of them changed for those that a first student, trained on half of them, takes for neighbours."""
    path = state.folder / "embeddings.npy"
    rng = np.random.default_rng(settings.seed)
    half = pairs[rng.permutation(len(pairs.scores))[::2]]
    if not path.exists():
        student = _first(teacher, pairs, settings)
        with tqdm(total=_steps(half, settings), desc="a first student", unit="step", disable=None) as bar:
            train_student(student, teacher, half, contender, settings.learning_rates[-1], settings, bar.update)
        part = path.with_name("part.npy")
        np.save(part, student.units(rows))
        os.replace(part, path)
        state.says = "the neighbours that a first student finds are kept"
    return teacher.with_mined(pairs, rows, np.load(path), rng)


def diagnosed(teacher: Teacher, pairs: Pairs, others: Pairs, settings: Any) -> Diagnosis:
    """What limits the student, by two short runs on some of the pairs, and pairs of other texts drawn alike."""
    pairs = pairs[np.random.default_rng(settings.seed).permutation(len(pairs.scores))[::_SHORTER]]
    start, found = _first(teacher, pairs, settings), {}
    with tqdm(total=2 * _steps(pairs, settings), desc="diagnosis", unit="step", disable=None) as bar:
        for name, loss in (("squared", SQUARED), ("selective", OURS)):
            student, first = start.fresh(), contenders(settings.thresholds, [loss], settings.pairs)[0]
            train_student(student, teacher, pairs, first, settings.learning_rates[-1], settings, bar.update)
            found[name] = scored(student, {"training": pairs, "validation": others})
    splits = [
        (part.scores, {name: of[split].predicted for name, of in found.items()})
        for split, part in (("training", pairs), ("validation", others))
    ]
    clusters: Any = pairs.left, others.left
    return diagnose(splits[0], splits[1], settings.thresholds, clusters=clusters)


def _first(teacher: Teacher, pairs: Pairs, settings: DistillSettings) -> Embedder:
    """The student before it learns, with the texts as it takes them."""
    some = [teacher.texts[number] for number in np.unique(pairs.left)]
    return Embedder(make_student(teacher.model, settings, some), teacher.texts)


def all_runs(
    teacher: Teacher,
    pairs: dict[str, Pairs],
    some: Sequence[Contender],
    settings: DistillSettings,
    state: State,
) -> tuple[dict[str, list[Run]], KeptRuns]:
    """The runs of each loss: its first setting with every rate, the others with the best; none is done twice."""
    rates, steps = settings.learning_rates or (), _steps(pairs["train"], settings)
    count = len(some) + len({each.loss for each in some}) * (len(rates) - 1)
    keys = [(each.name, rate, settings.seed) for each, rate in product(some, rates)]
    kept = KeptRuns(state, keys, count)
    start = cache(partial(_first, teacher, pairs["train"], settings))
    with tqdm(total=steps * count, initial=steps * len(kept), unit="step", disable=None) as bar:

        def do(contender: Contender, rate: float, seed: int) -> tuple[Run, SentenceTransformer]:
            bar.set_description(f"{contender.name}, rate {rate:g}")
            student = start().fresh()
            train_student(student, teacher, pairs["train"], contender, rate, settings, bar.update)
            of_splits = measured(scored(student, {name: pairs[name] for name in SPLITS[1:]}), settings)
            return Run(contender.loss, rate, seed, *of_splits, [], contender.setting), student.model

        return do_runs(some, rates, [settings.seed], kept, do, goodness, sparing=True), kept


def scored(student: Embedder, pairs: dict[str, Pairs]) -> dict[str, Scored]:
    """Pairs with the student's scores."""
    found = {}
    for name, part in pairs.items():
        numbers, left, right = part.numbered
        found[name] = Scored(left, right, part.scores, products(student.units(numbers), left, right))
    return found


def goodness(run: Run) -> float:
    """What chooses the rate: the least loss at the thresholds on the validation pairs."""
    mean = float(np.mean([each["loss"] for each in run.eval["thresholds"]]))
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
