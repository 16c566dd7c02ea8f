"""Distillation for thresholds: a small student that decides as its teacher does, from texts without labels.

The teacher scores pairs of the texts, drawn so that scores around the thresholds are dense; the student learns these
scores by a matching loss whose link is sensitive at the thresholds. Texts to train, to choose and to report are apart.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder, SentenceTransformer

from selective_st._validation import instance_of
from selective_st.distillation.pairs import Teacher, check_pairs, quantiles, state_of
from selective_st.distillation.runs import do_runs, goodness, megabytes, speeds
from selective_st.distillation.settings import OURS, DistillSettings
from selective_st.distillation.texts import SPLITS, read_texts, split_texts
from selective_st.evaluation.thresholds import ScoreThreshold, remember_threshold
from selective_st.kept_runs import KeptRuns
from selective_st.output import Output, without_nan

__all__ = ["DistillSettings", "distill", "distill_into", "read_texts", "split_texts"]
METRICS_FILE = "metrics.json"


def distill(
    teacher: SentenceTransformer | CrossEncoder | str,
    texts: Sequence[str],
    thresholds: Sequence[float] = (0.85,),
    output: str | Path = "distilled-model",
    *,
    overwrite: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Train a small model that decides as a teacher does at the thresholds that matter, from texts alone.

    The student is saved with the threshold at which it agrees best with the teacher (`load_threshold`). What an
    interrupted call has computed is kept beside `output`, and the same call goes on from there.

    Args:
        teacher: A SentenceTransformer, its folder or hub name, or a CrossEncoder, whose scores must lie within [-1, 1].
        texts: The texts; each counts once.
        thresholds: The teacher's scores at which will be decided.
        output: The folder for the student and its metrics.
        overwrite: Whether an earlier output may be replaced.
        **settings: The other fields of `DistillSettings`, such as `student`, `dimensions` or `compare`.

    Returns:
        The metrics, as they stand in `metrics.json`.

    Raises:
        ValueError: If a setting is out of range, there are too few texts, the teacher's scores are all alike or none
            lies at a threshold, or the output exists.

    Example:
        >>> distill("all-MiniLM-L6-v2", texts, [0.85], "student")["f1"]        # doctest: +SKIP
    """
    asked = DistillSettings(thresholds=thresholds, **settings)
    reads = {
        name: value for name, value in (("teacher", teacher), ("student", asked.student)) if isinstance(value, str)
    }
    with Output(Path(output), "distill", reads, overwrite=overwrite) as place:
        model = SentenceTransformer(teacher) if isinstance(teacher, str) else teacher
        found = distill_into(place, model, texts, asked)
        place.publish()
    return found


def distill_into(
    place: Output, model: SentenceTransformer | CrossEncoder, texts: Sequence[str], settings: DistillSettings
) -> dict[str, Any]:
    """Distil into an output that is claimed already, and not yet published.

    Args:
        place: The output.
        model: The teacher.
        texts: The texts.
        settings: How.

    Returns:
        The metrics.

    Raises:
        ValueError: As `distill`.
    """
    mend = "Give a SentenceTransformer or a CrossEncoder."
    instance_of("distill", "teacher", model, (SentenceTransformer, CrossEncoder), mend)
    parts = split_texts(texts, settings.seed)
    every = [text for name in SPLITS for text in parts[name]]
    teacher = Teacher(model, every, partial(state_of, place, model))
    ends = np.cumsum([len(part) for part in parts.values()])
    rows = dict(zip(SPLITS, np.split(np.arange(len(every)), ends[:-1]), strict=True))
    rng = np.random.default_rng(settings.seed)
    pairs = {"train": teacher.drawn(rows["train"], settings, rng)}
    for name in SPLITS[1:]:
        pairs[name] = teacher.held_out(rows[name], name, rng)
    check_pairs(pairs, settings.thresholds)
    state = state_of(place, model, "runs", repr(settings), *every)
    kept = KeptRuns(state, settings.runs(teacher.is_cross))
    runs = do_runs(teacher, pairs, settings, kept, place.new / "working")
    chosen = {
        loss: max((run for run in runs if run.loss == loss), key=goodness)
        for loss in dict.fromkeys(run.loss for run in runs)
    }
    if math.isinf(goodness(chosen[OURS])):
        kept.forget(*kept.values())
        raise ValueError("distill: training diverged with every learning rate. Lower --learning-rates.")
    student = SentenceTransformer(str(kept.model(chosen[OURS])), device="cpu")
    cut: dict[str, Any] = chosen[OURS].eval["thresholds"][0]["cut"]  # type: ignore[index]
    remember_threshold(student, ScoreThreshold(**cut))
    student.save_pretrained(str(place.new))
    shutil.rmtree(place.new / "working", ignore_errors=True)  # none where every run was done before
    found = without_nan(
        {
            "settings": {**asdict(settings), "link": settings.link.get_config_dict()},
            "texts": {name: len(parts[name]) for name in SPLITS},
            "pairs": {name: len(pairs[name].scores) for name in SPLITS},
            "held_out_pairs": "drawn pairs" if teacher.is_cross else "all pairs",
            "teacher_scores": quantiles(pairs["test"].scores),
            "student_threshold": cut["value"],
            "learning_rates": {loss: run.learning_rate for loss, run in chosen.items()},
            "test": {loss: run.test["thresholds"] for loss, run in chosen.items()},
            "runs": [{key: value for key, value in asdict(run).items() if key != "test_scores"} for run in runs],
            "unit": "pairs" if teacher.is_cross else "texts",
            "per_second": speeds(teacher, student, parts["test"]),
            "megabytes": {"teacher": megabytes(model), "student": megabytes(student)},
        }
    )
    found["f1"] = found["test"][OURS][0]["at_own"]["f1"]
    text = json.dumps(found, indent=2, allow_nan=False)
    (place.new / METRICS_FILE).write_text(f"{text}\n", encoding="utf-8")
    return dict(json.loads(text))
