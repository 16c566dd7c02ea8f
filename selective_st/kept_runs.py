"""Runs of several losses, each with its settings: done once, kept on disk as they are done, the best chosen.

A run trains one model with one loss, setting, learning rate and seed. An interrupted training goes on from those that
are kept.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from selective_st._templates import say
from selective_st.errors import first_line
from selective_st.links import Link
from selective_st.output import OutputError, State, save_elsewhere

Key = tuple[str, float, int]


def _name(of: Any) -> str:
    """The loss and its setting, if several are tried."""
    return f"{of.loss}, {of.setting}" if of.setting else str(of.loss)


@dataclass(frozen=True)
class Contender:
    """A loss with one setting, to train and compare.

    Attributes:
        loss: Its name.
        setting: In words; empty where there is one setting only.
        make: Makes the loss of a model; in a distillation it is the loss, of predicted and of target scores, or None
            where the teacher's embeddings are learnt.
        temperature: Its temperature; None if it has none.
        link: Of a distillation's matching loss.
        list_size: How many pairs with the same first text a distillation compares with one another.
        teacher_weight: How much a teacher's scores of further pairs count beside the labels.
    """

    loss: str
    setting: str = ""
    make: Callable[..., Any] | None = None
    temperature: float | None = None
    link: Link | None = None
    list_size: int = 1
    teacher_weight: float = 0.0
    name = property(_name)


@dataclass
class Run:
    """One training run, with its metrics on the eval and the test split."""

    loss: str
    learning_rate: float
    seed: int
    eval: dict[str, Any]
    test: dict[str, Any]
    test_scores: list[Any]
    setting: str = ""
    name = property(_name)

    @property
    def key(self) -> Key:
        """Which run it is."""
        return self.name, self.learning_rate, self.seed


Goodness = Callable[..., float]  # of the runs of one setting and rate, by seed: the better the larger


class KeptRuns(dict[Key, Run]):
    """The runs that are done, by loss and setting, learning rate and seed, each also in a folder of its own.

    Args:
        state: Where they are kept.
        asked: Which runs are asked for, or may be.
        count: How many of them will be done. Default: all.
    """

    def __init__(self, state: State, asked: Sequence[Key], count: int | None = None) -> None:
        super().__init__()
        self._state, self._asked = state, len(asked) if count is None else count
        for path in state.folder.glob("*/run.json"):
            with contextlib.suppress(OSError, ValueError, TypeError):  # what cannot be read is done again
                run = Run(**json.loads(path.read_text(encoding="utf-8")))
                if run.key in asked:
                    self[run.key] = run
        self._say()

    def _say(self) -> None:
        self._state.says = f"{self._so_many()} kept" if self else ""

    def _so_many(self) -> str:
        return f"{len(self)} of {self._asked} runs {'is' if len(self) == 1 else 'are'}"

    @property
    def note(self) -> str:
        """What to tell of an earlier training that was interrupted; nothing if there was none."""
        if self:
            return f"going on: {self._so_many()} done"
        others = sum(1 for other in self._state.others for _ in other.glob("*/run.json"))
        what = "run of an interrupted training is" if others == 1 else "runs of an interrupted training are"
        return f"starting anew: {others} {what} kept, but with other data, options or versions" if others else ""

    def _folder(self, run: Run) -> Path:
        return self._state.folder / f"{run.name}-{run.learning_rate!r}-{run.seed}"

    def model(self, run: Run) -> Path:
        """Where the model of a run is, if it was kept."""
        return self._folder(run) / "model"

    def add(self, run: Run, model: SentenceTransformer | None) -> None:
        """Keep a run, with its model if that is to be kept too; without its file, written last, it is not there.

        Args:
            run: The run.
            model: Its model, if that is to be kept too.

        Raises:
            OutputError: If a model could not be saved there; the message names where it is instead.
        """
        self.forget(run)
        try:
            self._folder(run).mkdir()
            if model is not None:
                model.save_pretrained(str(self.model(run)))
            (self._folder(run) / "run.json").write_text(json.dumps(asdict(run)), encoding="utf-8")
        except Exception as error:  # each writer of weights has errors of its own for a full disk
            elsewhere = None if model is None else save_elsewhere(model.save_pretrained)
            if elsewhere is None:
                raise
            told = {"problem": first_line(error), "elsewhere": elsewhere, "done": len(self), "asked": self._asked}
            raise OutputError(say("not_kept", **told)) from error
        self[run.key] = run
        self._say()

    def forget(self, *runs: Run) -> None:
        """Drop runs, to be done again."""
        for run in runs:
            self.pop(run.key, None)
            shutil.rmtree(self._folder(run), ignore_errors=True)
        self._say()


def do_runs(
    contenders: Sequence[Contender],
    rates: Sequence[float],
    seeds: Sequence[int],
    kept: KeptRuns,
    do: Callable[[Contender, float, int], tuple[Run, SentenceTransformer]],
    goodness: Goodness,
    *,
    sparing: bool = False,
) -> dict[str, list[Run]]:
    """Do all runs that are not kept yet; of the first loss the model of each setting's and rate's best seed is kept.

    Args:
        contenders: The losses, each with each of its settings.
        rates: The learning rates.
        seeds: The seeds.
        kept: The runs that are done, and where each further one is kept.
        do: Does a run.
        goodness: What orders runs.
        sparing: Whether only a loss's first setting is tried with every rate, and the others with the best of these.

    Returns:
        The runs of each loss, in order.
    """

    def of_seeds(contender: Contender, rate: float) -> list[Run]:
        keys = [(contender.name, rate, seed) for seed in seeds]
        done = [kept[key] for key in keys if key in kept]
        is_own = contender.loss == contenders[0].loss
        if is_own and done and not kept.model(max(done, key=goodness)).is_dir():
            kept.forget(*done)
        for key in keys:
            if key not in kept:
                run, model = do(contender, rate, key[-1])
                kept.add(run, model if is_own else None)
                done = sorted((kept[key] for key in keys if key in kept), key=goodness, reverse=True)
                for worse in done[1:]:
                    shutil.rmtree(kept.model(worse), ignore_errors=True)
        return [kept[key] for key in keys]

    found = {}
    for loss, of_loss in itertools.groupby(contenders, lambda each: each.loss):
        settings = list(of_loss)
        first, others = (settings[:1], settings[1:]) if sparing else (settings, [])
        runs = [run for each, rate in itertools.product(first, rates) for run in of_seeds(each, rate)]
        best_rate = best_of(runs, goodness)[0].learning_rate
        found[loss] = runs + [run for each in others for run in of_seeds(each, best_rate)]
    return found


def best_runs(
    found: dict[str, list[Run]], kept: KeptRuns, goodness: Goodness, diverged: str
) -> tuple[dict[str, list[Run]], Run]:
    """The best runs of each loss, and the best one of the first loss.

    Args:
        found: The runs of each loss.
        kept: Where they are kept; none is, where all of the first loss have diverged.
        goodness: What orders them.
        diverged: What to say then.

    Returns:
        For each loss its best runs, by seed; and the run to save.

    Raises:
        ValueError: If all runs of the first loss have diverged.
    """
    best = {loss: best_of(runs, goodness) for loss, runs in found.items()}
    saved = max(next(iter(best.values())), key=goodness)
    if goodness(saved) == -math.inf:
        kept.forget(*kept.values())
        raise ValueError(diverged)
    return best, saved


def best_of(runs: Sequence[Run], goodness: Goodness) -> list[Run]:
    """The runs, by seed, of the setting and learning rate that are best; the first of equally good ones.

    Args:
        runs: The runs of one loss.
        goodness: What orders them.

    Returns:
        The best.
    """
    groups: dict[tuple[str, float], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.setting, run.learning_rate), []).append(run)
    return max(groups.values(), key=lambda of: goodness(*of))
