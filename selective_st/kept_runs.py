"""The runs of a training that are done, kept on disk, so that an interrupted training goes on from there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from sentence_transformers import SentenceTransformer

from selective_st.output import OutputError, State, save_elsewhere, settle


@dataclass
class Run:
    """One training run, with its metrics on the eval and the test split."""

    loss: str
    learning_rate: float
    seed: int
    eval: dict[str, float]
    test: dict[str, float]
    test_scores: list[float]

    @property
    def name(self) -> str:
        """Which run it is."""
        return f"{self.loss}-{self.learning_rate!r}-{self.seed}"


class KeptRuns:
    """The runs that are done, on disk, so that an interrupted training goes on from there.

    Args:
        state: Where they are kept.
        asked: Which runs are asked for: each one's loss, learning rate and seed.
    """

    def __init__(self, state: State, asked: Iterable[tuple[str, float, int]]) -> None:
        self._state = state
        self._asked = set(asked)
        self._runs: dict[str, Run] = {}
        for path in state.folder.glob("*/run.json"):
            try:
                run = Run(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):  # what cannot be read is done again
                continue
            if (run.loss, run.learning_rate, run.seed) in self._asked:
                self._runs[run.name] = run
        self._say()

    def _say(self) -> None:
        self._state.says = f"{self._so_many()} kept" if len(self) else ""

    def _so_many(self) -> str:
        return f"{len(self)} of {len(self._asked)} runs {'is' if len(self) == 1 else 'are'}"

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def notes(self) -> list[str]:
        """What to tell of an earlier training that was interrupted."""
        others = sum(1 for other in self._state.others for _ in other.glob("*/run.json"))
        if len(self):
            return [f"going on: {self._so_many()} done"]
        if others:
            what = "run of an interrupted training is" if others == 1 else "runs of an interrupted training are"
            return [f"starting anew: {others} {what} kept, but with other data, options or versions"]
        return []

    def find(self, loss: str, learning_rate: float, seed: int) -> Run | None:
        """A run that is done, or None.

        Args:
            loss: Its loss.
            learning_rate: Its learning rate.
            seed: Its seed.

        Returns:
            The run.
        """
        return self._runs.get(Run(loss, learning_rate, seed, {}, {}, []).name)

    def model(self, run: Run) -> Path:
        """Where the model of a run is, if it was kept.

        Args:
            run: The run.

        Returns:
            The folder.
        """
        return self._state.folder / run.name / "model"

    def add(self, run: Run, model: SentenceTransformer | None, working_folder: Path) -> None:
        """Keep a run; it is there whole or not at all.

        Args:
            run: The run.
            model: Its model, if that is to be kept too.
            working_folder: A folder on the same disk.

        Raises:
            OutputError: If a model could not be saved there; the message names where it is instead.
        """
        place = working_folder / "run"
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            if model is not None:
                model.save_pretrained(str(place / "model"))
            (place / "run.json").write_text(json.dumps(asdict(run)), encoding="utf-8")
            settle(place)
            self.forget(run)
            os.rename(place, self._state.folder / run.name)
        except Exception as error:  # each writer of weights has errors of its own for a full disk
            elsewhere = None if model is None else save_elsewhere(lambda folder: model.save_pretrained(str(folder)))
            if elsewhere is None:
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise OutputError(
                f"The model just trained could not be saved in its place ({reason}). It is kept in {elsewhere}: move "
                "it to where it can stay. With more room the same command goes on after "
                f"{len(self)} of {len(self._asked)} runs."
            ) from error
        self._runs[run.name] = run
        self._say()

    def forget(self, run: Run) -> None:
        """Drop a run, to be done again.

        Args:
            run: The run.
        """
        self._runs.pop(run.name, None)
        shutil.rmtree(self._state.folder / run.name, ignore_errors=True)
        self._say()

    def discard(self) -> None:
        """Drop everything: there is nothing to go on from."""
        for run in list(self._runs.values()):
            self.forget(run)
