"""Distillation for thresholds: a small student that decides as its teacher does, from texts without labels.

The teacher scores pairs of the texts, drawn so that scores around the thresholds are dense, and pairs that a first
student takes for neighbours; the student learns these scores by a matching loss whose link is sensitive at the
thresholds. Texts to train, to choose and to report are apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder, SentenceTransformer

from selective_st._validation import instance_of
from selective_st.distillation import runs
from selective_st.distillation.settings import DistillSettings
from selective_st.distillation.taught import Taught, taught_pairs
from selective_st.distillation.teacher import Teacher, check_pairs, quantiles, states_of
from selective_st.distillation.texts import SPLITS, read_all_texts, read_texts, split_texts
from selective_st.evaluation.thresholds import ScoreThreshold, remember_threshold
from selective_st.kept_runs import best_runs
from selective_st.output import Output, write_metrics

__all__ = [
    "DistillSettings",
    "Taught",
    "distill",
    "distill_into",
    "read_all_texts",
    "read_texts",
    "split_texts",
    "taught_pairs",
]


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
    reads = {"student": asked.student} | ({"teacher": teacher} if isinstance(teacher, str) else {})
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
    ends = np.cumsum([len(parts[name]) for name in SPLITS])
    rows = dict(zip(SPLITS, np.split(np.arange(len(every)), ends[:-1]), strict=True))
    state_of = states_of(place, model)
    teacher, rng = Teacher(model, every, state_of), np.random.default_rng(settings.seed)
    # First what is learnt, and what is held out.
    draw = partial(teacher.drawn, thresholds=settings.thresholds, of_each=settings.pairs, rng=rng)
    pairs = {"train": draw(rows["train"]), **{name: teacher.held_out(rows[name], name, rng) for name in SPLITS[1:]}}
    check_pairs(pairs, settings.thresholds)
    lessons, diagnosis = runs.Lessons(teacher, settings), None
    if settings.diagnose:
        told = lessons.diagnosed(pairs["train"], draw(rows["validation"]))
        diagnosis = {**told.as_dict(), "sentence": told.sentence("texts: more texts")}
    # A first student's mistakes among the pairs, then the runs, of which the best is the student.
    others = runs.OTHERS[: len(runs.OTHERS) - teacher.is_cross] if settings.compare else ()  # one has no embeddings
    some = runs.contenders(settings.thresholds, [runs.OURS, *others], settings.pairs)
    of_first, of_runs = (state_of(what, repr(settings), *every) for what in ("first student", "runs"))
    pairs["train"] = lessons.with_false_matches(pairs["train"], rows["train"], some[0], of_first)
    done, kept = lessons.runs(pairs, some, of_runs)
    diverged = "distill: training diverged with every learning rate. Lower --learning-rates."
    by_loss, best = best_runs(done, kept, runs.goodness, diverged)
    chosen = {loss: found[0] for loss, found in by_loss.items()}
    student, at = SentenceTransformer(str(kept.model(best)), device="cpu"), best.test["thresholds"]
    remember_threshold(student, ScoreThreshold(**at[0]["cut"]))
    student.save_pretrained(str(place.new))
    link = next(each.link for each in some if each.name == best.name)
    found = {
        "settings": {**asdict(settings), "link": link and link.get_config_dict()},
        "texts": {name: len(parts[name]) for name in SPLITS},
        "pairs": {name: len(pairs[name].scores) for name in SPLITS},
        "held_out_pairs": "drawn pairs" if teacher.is_cross else "all pairs",
        "teacher_scores": quantiles(pairs["test"].scores),
        "student_threshold": at[0]["cut"]["value"],
        "chosen": {loss: {"loss": run.name, "learning_rate": run.learning_rate} for loss, run in chosen.items()},
        "test": {loss: run.test["thresholds"] for loss, run in chosen.items()},
        "f1_gained": {loss: runs.gained(best, run) for loss, run in chosen.items() if loss != runs.OURS},
        "diagnosis": diagnosis,
        "runs": [
            {"loss": run.name} | {key: getattr(run, key) for key in ("learning_rate", "seed", "eval", "test")}
            for run in chain(*done.values())
        ],
        "unit": "pairs" if teacher.is_cross else "texts",
        "per_second": runs.speeds(teacher, student, parts["test"]),
        "megabytes": {
            name: sum(each.nbytes for each in of.parameters()) / 1e6
            for name, of in (("teacher", model), ("student", student))
        },
        "f1": at[0]["at_own"]["f1"],
    }
    return write_metrics(place.new, found)
