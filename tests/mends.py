"""Doing what a check says: all its mends, in the order printed, by their steps and as code that is pasted."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from datasets import Dataset, disable_progress_bars

from selective_st.registry.checks import CheckReport, check_dataset
from tests.model_types import model_for

disable_progress_bars()


class Arguments:
    """Stands for training arguments."""

    def __init__(self) -> None:
        self.accelerator_config = type("AcceleratorConfig", (), {"dispatch_batches": None})()


@dataclass
class Mended:
    """What was found, and what is left when all is mended."""

    before: CheckReport
    after: CheckReport
    dataset: Any
    space: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """All that the mends say."""
        return "\n".join(finding.mend for finding in self.before.findings)

    @property
    def is_better(self) -> bool:
        """Whether the check is clean or shorter, or there was nothing to be done."""
        # What the training arguments say, the check does not see.
        unseen = {"stream-batches"}
        after = [finding for finding in self.after.findings if finding.code not in unseen]
        done = any(line and not line.startswith("#") for line in self.words.splitlines())
        return not done or not after or len(after) < len(self.before.findings)


def paste(code: str, space: dict[str, Any]) -> None:
    """Run code as a user does who pastes it."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        patch("sentence_transformers.CrossEncoder", _cross_encoder)
        if "CrossEncoder(" in code
        else contextlib.nullcontext(),
    ):
        exec(code, space)


def _cross_encoder(name: str, num_labels: int) -> Any:
    """Stands for the class, whose models are not at hand by their names."""
    return model_for("CrossEncoder", num_labels)


def mend(dataset: Any, loss: Any, **options: Any) -> Mended:
    """Apply every mend of a check, in the order printed, and check again.

    Each is pasted; where it is steps, these are applied too, and must give the same.

    Args:
        dataset: The data.
        loss: The loss, or its name.
        **options: Of `check_dataset`; a model is also `model` in the code.

    Returns:
        What was found before and after.
    """
    before = check_dataset(dataset, loss, **options)
    space: dict[str, Any] = {"dataset": dataset, "args": Arguments(), "model": options.get("model")}
    if not isinstance(loss, str):
        space["loss"] = loss
    for finding in before.findings:
        given = space["dataset"] if finding.dataset is None else space["dataset"][finding.dataset]
        try:
            paste(finding.mend, space)
        except Exception as error:
            raise AssertionError(f"{finding}\nraises {type(error).__name__}: {error}\n--- of ---\n{before}") from error
        if finding.steps:
            for step in finding.steps:
                given = step.apply(given)
            pasted = space["dataset"] if finding.dataset is None else space["dataset"][finding.dataset]
            assert given.column_names == pasted.column_names
            assert repr(list(given)) == repr(list(pasted))  # NaN is not equal to itself
    arguments = vars(space["args"])
    if "batch_sampler" in arguments:
        options["sampler"] = arguments["batch_sampler"]
    if "per_device_train_batch_size" in arguments:
        options["batch_size"] = arguments["per_device_train_batch_size"]
    options["model"] = space["model"]
    after = check_dataset(space["dataset"], space.get("loss", loss), **options)
    return Mended(before, after, space["dataset"], space)


def plain(data: Any) -> Any:
    """Data as a Dataset, or as they are where they are a dict of several."""
    return (
        Dataset.from_dict(data)
        if isinstance(data, dict) and not isinstance(next(iter(data.values())), Dataset)
        else data
    )
