"""The runs of a distillation, and how well a student decides."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor, nn
from tqdm.autonotebook import tqdm  # type: ignore[import-untyped]

from selective_st.distillation.agreement import measured
from selective_st.distillation.contenders import OURS, SQUARED, batches, contenders
from selective_st.distillation.pairs import Numbers, Pairs, Teacher, products, save
from selective_st.distillation.students import Embedder, directions, make_student
from selective_st.distillation.texts import SPLITS
from selective_st.evaluation.diagnosis import Diagnosis, diagnose
from selective_st.kept_runs import Contender, KeptRuns, Run, do_runs
from selective_st.output import State

_TIMED = 512  # texts or pairs
_SHORTER = 4  # times than the others, the runs of a diagnosis

_bar = partial(tqdm, unit="step", disable=None)


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
        self, pairs: dict[str, Pairs], some: Sequence[Contender], state: State, working: Path
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

            return do_runs(some, rates, [seed], kept, do, goodness, working, sparing=True), kept


def scored(student: Embedder, pairs: dict[str, Pairs]) -> dict[str, Pairs]:
    """Pairs with the student's scores, their texts numbered anew from 0 on."""
    found = {}
    for name, part in pairs.items():
        numbers, places = np.unique(np.stack([part.left, part.right]), return_inverse=True)
        left, right = places.reshape(2, -1)
        found[name] = Pairs(left, right, part.scores, products(student.units(numbers), left, right))
    return found


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
