"""The runs of a training that are done, kept on disk, so that an interrupted training goes on from there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sentence_transformers import SentenceTransformer

from selective_st.output import OutputError, State, first_line, save_elsewhere, settle

Key = tuple[str, float, int]


@dataclass
class Run:
    """One training run, with its metrics on the eval and the test split."""

    loss: str
    learning_rate: float
    seed: int
    eval: dict[str, float]
    test: dict[str, float]
    test_scores: list[float]
    setting: str = ""

    @property
    def name(self) -> str:
        """The loss and its setting, if several are tried."""
        return f"{self.loss}, {self.setting}" if self.setting else self.loss

    @property
    def key(self) -> Key:
        """Which run it is."""
        return self.name, self.learning_rate, self.seed


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
            try:
                run = Run(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):  # what cannot be read is done again
                continue
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
        others = sum(1 for other in self._state.others for _ in other.glob("*/run.json"))
        if self:
            return f"going on: {self._so_many()} done"
        what = "run of an interrupted training is" if others == 1 else "runs of an interrupted training are"
        return f"starting anew: {others} {what} kept, but with other data, options or versions" if others else ""

    def _folder(self, run: Run) -> Path:
        return self._state.folder / f"{run.name}-{run.learning_rate!r}-{run.seed}"

    def model(self, run: Run) -> Path:
        """Where the model of a run is, if it was kept."""
        return self._folder(run) / "model"

    def add(self, run: Run, model: SentenceTransformer | None, working_folder: Path) -> None:
        """Keep a run, with its model if that is to be kept too; it is there whole or not at all.

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
            os.rename(place, self._folder(run))
        except Exception as error:  # each writer of weights has errors of its own for a full disk
            elsewhere = None if model is None else save_elsewhere(lambda folder: model.save_pretrained(str(folder)))
            if elsewhere is None:
                raise
            raise OutputError(
                f"The model just trained could not be saved in its place ({first_line(error)}). It is kept in "
                f"{elsewhere}: move it to where it can stay. With more room the same command goes on after "
                f"{len(self)} of {self._asked} runs."
            ) from error
        self[run.key] = run
        self._say()

    def forget(self, *runs: Run) -> None:
        """Drop runs, to be done again."""
        for run in runs:
            self.pop(run.key, None)
            shutil.rmtree(self._folder(run), ignore_errors=True)
        self._say()
