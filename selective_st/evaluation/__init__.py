"""Metrics by score region, and the evaluators that report them during training.

The usual single number (Spearman over all pairs) hides just what a selective loss changes, so these look at the regions
that matter: average precision of the pairs whose gold score reaches a threshold, error and bias within a region, rank
correlation inside it, decisions at a fixed threshold, and whether the scores are squeezed. For questions with
candidates: how high the positives stand in each question's ranking, and how far off the scores of the best ones are.

    >>> from selective_st.evaluation import region_metrics
    >>> metrics = region_metrics(gold=[0.0, 0.5, 0.9, 1.0], predicted=[0.1, 0.4, 0.8, 0.9], at_least=(0.9,))
    >>> metrics["ap_ge_0.9"], round(metrics["rmse"], 3)
    (1.0, 0.1)

What asks a model is imported when it is used: metrics alone need no Sentence Transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from selective_st.evaluation.curve import compare_curves, threshold_curve
from selective_st.evaluation.diagnosis import Diagnosis, ThresholdConsistency, diagnose, parts_by, threshold_consistency
from selective_st.evaluation.metrics import (
    RANKING_METRICS,
    error_by_score_bin,
    list_metrics,
    ranking_metrics,
    region_metrics,
)
from selective_st.evaluation.thresholds import (
    ScoreThreshold,
    choose_threshold,
    load_threshold,
    remember_threshold,
    save_threshold,
)

if TYPE_CHECKING:
    from selective_st.evaluation.evaluators import ScoreListEvaluator, ScoreRegionEvaluator, store_threshold
    from selective_st.evaluation.scoring import predict_scores

__all__ = [
    "RANKING_METRICS",
    "Diagnosis",
    "ScoreListEvaluator",
    "ScoreRegionEvaluator",
    "ScoreThreshold",
    "ThresholdConsistency",
    "choose_threshold",
    "compare_curves",
    "diagnose",
    "error_by_score_bin",
    "list_metrics",
    "load_threshold",
    "parts_by",
    "predict_scores",
    "ranking_metrics",
    "region_metrics",
    "remember_threshold",
    "save_threshold",
    "store_threshold",
    "threshold_consistency",
    "threshold_curve",
]

_LATE = {"predict_scores": "scoring"} | dict.fromkeys(
    ("ScoreListEvaluator", "ScoreRegionEvaluator", "store_threshold"), "evaluators"
)


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
