"""Every data format, with the losses that take it, for each model type; and the settings of ours."""

from __future__ import annotations

from functools import partial
from typing import Any

from selective_st.catalog._kinds import MODEL_TYPES, OURS, LabelKind, ModelType, Row, Selective, Shape

# --- Links and settings of the selective losses -----------------------------------------------------------------------

# Defaults of our losses, as code; a test builds each loss and compares.
_POINTWISE_LINK = "high_scores()"
_LIST_LINK = 'ExponentialLink(1).normalized(0, 1, of="value")'
_STEEPER_LIST_LINK = 'ExponentialLink(2).normalized(0, 1, of="value")'
_UNBOUNDED_LIST_LINK = f"{_LIST_LINK}.linear_outside(None, 1)"
RANKS_ONLY = "ConstantLink()"  # what matters is said by the calibration link
# A sparse encoder's scores are dot products, which have no upper end.
_SPARSE_LIST_LINK = 'ExponentialLink(0.03125).normalized(0, 32, of="value").linear_outside(None, 32)'
# A cross encoder's logits have no ends; a Sigmoid's scores, which the pointwise loss compares, lie from 0 to 1.
LOGIT_LINK = "0.5 * ConstantLink() + SigmoidLink(scale=1, shift=0)"

_Code = dict[str, str]
_COSINE: _Code = {"similarity_fct": "pairwise_cos_sim"}
# A multi-vector encoder's sums over tokens depend on the query's length; links and labels are for means, as of cosines.
_MEAN_OF_PAIRS: _Code = {"similarity_fct": "mean_colbert_scores_pairwise"}
_MEAN_OF_ALL: _Code = {"scale": "20.0", "similarity_fct": "mean_colbert_scores"}
_MEAN_OF_LISTS: _Code = {"similarity_fct": "mean_colbert_kd_scores", "temperature": "0.1"}
_LINK_VALUES, _MARGIN_TARGETS, _SCORE_TARGETS = (
    {"targets": f'"{what}"'} for what in ("link_values", "margins", "scores")
)
# Pairs of a batch as one list, ranked alone: labels from 0 to 1 are no scores to be reached.
_RANKED_PAIRS: _Code = {"calibration": "0.0", "lists": '"batch"'}


def _ours(loss: str, link: str, arguments: _Code | None = None, *, is_default: bool = True) -> Selective:
    return Selective(loss, link, is_default, tuple((arguments or {}).items()))


_pointwise = partial(_ours, "SelectivePointwiseLoss")
_pairwise = partial(_ours, "SelectivePairwiseLoss")
_listwise = partial(_ours, "SelectiveListwiseLoss")
_in_batch = partial(_ours, "SelectiveMultipleNegativesRankingLoss")
_cached = partial(_ours, "CachedSelectiveMultipleNegativesRankingLoss")

_SELECTIVE: dict[ModelType, dict[str, Selective]] = {
    # The lists' settings are good ones of the study (docs/study.md): for lists of a teacher's scores better than
    # squared error in ranking and in error for both students; for right and wrong answers, as lists and as triplets,
    # the best or nearly so on dev; for pairs as lists good for both models.
    "SentenceTransformer": {
        "in-batch": _in_batch(_LIST_LINK),
        "cached": _cached(_LIST_LINK),
        "pointwise": _pointwise(_POINTWISE_LINK),
        "binary": _pointwise("SigmoidLink(scale=20, shift=0.5)", _LINK_VALUES),
        "pairwise": _pairwise(_LIST_LINK, _COSINE | {"temperature": "0.4"}),
        "margins": _pairwise(_LIST_LINK, _COSINE | _MARGIN_TARGETS),
        "pair-scores": _pairwise(_LIST_LINK, _COSINE | {"temperature": "0.1"} | _SCORE_TARGETS),
        "listwise": _listwise(
            RANKS_ONLY,
            _COSINE | {"temperature": "1.0", "calibration": "0.3", "calibration_link": "high_scores(3)"},
            is_default=False,
        ),
        "list-of-pairs": _listwise(
            _STEEPER_LIST_LINK,
            _COSINE
            | {"temperature": "0.8", "calibration": "0.3", "calibration_link": "high_scores(5)", "lists": '"batch"'},
            is_default=False,
        ),
        "list-labels": _listwise(
            _STEEPER_LIST_LINK, _COSINE | {"temperature": "0.2", "targets": '"labels"'}, is_default=False
        ),
    },
    "CrossEncoder": {
        "in-batch": _in_batch(_LIST_LINK),
        "cached": _cached(_LIST_LINK),
        "classes": _ours("SelectiveCrossEntropyLoss", LOGIT_LINK),
        "pointwise": _pointwise(_POINTWISE_LINK),
        "binary": _pointwise("SigmoidLink(scale=1, shift=0)", _LINK_VALUES),
        "pairwise": _pairwise(LOGIT_LINK),
        "margins": _pairwise(LOGIT_LINK, _MARGIN_TARGETS),
        "pair-scores": _pairwise(LOGIT_LINK, _SCORE_TARGETS),
        "listwise": _listwise(LOGIT_LINK),
        "list-of-pairs": _listwise(LOGIT_LINK, {"teacher_temperature": "0.1"} | _RANKED_PAIRS),
        "relevances": _listwise(LOGIT_LINK, {"calibration": "0.0"}),  # which are no logits to be reached
    },
    "SparseEncoder": {
        "in-batch": _in_batch(_SPARSE_LIST_LINK),
        "pointwise": _pointwise(_POINTWISE_LINK, _COSINE),  # labels from 0 to 1 are for cosines
        "pairwise": _pairwise(_UNBOUNDED_LIST_LINK),
        "margins": _pairwise(_UNBOUNDED_LIST_LINK, _MARGIN_TARGETS),
        "pair-scores": _pairwise(_UNBOUNDED_LIST_LINK, _SCORE_TARGETS),
        "listwise": _listwise(_SPARSE_LIST_LINK),
        "list-of-pairs": _listwise(_SPARSE_LIST_LINK, {"teacher_temperature": "0.1"} | _RANKED_PAIRS),
    },
    "MultiVectorEncoder": {
        "in-batch": _in_batch(_UNBOUNDED_LIST_LINK, _MEAN_OF_ALL),
        "cached": _cached(_UNBOUNDED_LIST_LINK, _MEAN_OF_ALL),
        "pointwise": _pointwise(f"{_POINTWISE_LINK}.linear_outside(None, 1)"),
        "pairwise": _pairwise(_UNBOUNDED_LIST_LINK, _MEAN_OF_PAIRS | {"temperature": "0.1"}),
        "margins": _pairwise(_UNBOUNDED_LIST_LINK, _MEAN_OF_PAIRS | _MARGIN_TARGETS),
        "pair-scores": _pairwise(_UNBOUNDED_LIST_LINK, _MEAN_OF_PAIRS | {"temperature": "0.1"} | _SCORE_TARGETS),
        "listwise": _listwise(_UNBOUNDED_LIST_LINK, _MEAN_OF_LISTS),
        "list-of-pairs": _listwise(_UNBOUNDED_LIST_LINK, _MEAN_OF_LISTS | _RANKED_PAIRS),
    },
}

# --- Formats ----------------------------------------------------------------------------------------------------------


def _takes(model_type: ModelType, losses: str, ours: str = "", **more: Any) -> dict[str, Any]:
    """The losses of a model type for a format, * before those commonly recommended; and which of ours."""
    names = losses.split()
    return {
        "model_type": model_type,
        "losses": tuple(name.removeprefix("*") for name in names),
        "recommended": tuple(name[1:] for name in names if name.startswith("*")),
        "selective": tuple(_SELECTIVE[model_type][use] for use in ours.split()),
        **more,
    }


def _format(
    shape: Shape, label: LabelKind, inputs: str, labels: str, *takers: dict[str, Any], **more: Any
) -> list[Row]:
    """A format: a row for each model type that has losses for it."""
    own = {"shape": shape, "label": label, "inputs": inputs, "labels": labels, "section": "main", **more}
    return [Row(**(own | taker)) for taker in takers]


_st = partial(_takes, "SentenceTransformer")
_cross = partial(_takes, "CrossEncoder", outputs="1")
_sparse = partial(_takes, "SparseEncoder")
_multi = partial(_takes, "MultiVectorEncoder")

_PAIRS = "(anchor, positive) pairs"
_INPUT_PAIRS = "(input_A, input_B) pairs"
_INPUTS = "(input_1, input_2, ..., input_N)"
_SIMILARITY = "float similarity score between 0 and 1"
_QUERY_PAIR = "(query, document_one, document_two)"
_QUERY_TRIPLET = "(query, positive, negative)"
_QUERY_TUPLE = "(query, positive, negative_1, ..., negative_n)"
_QUERY_LIST = "(query, doc_1, ..., doc_n)"

_MNRL = "*MultipleNegativesRankingLoss *CachedMultipleNegativesRankingLoss"
_CROSS_MNRL = _MNRL.replace("*", "")
_SPARSE_MNRL = "*SparseMultipleNegativesRankingLoss"
_MULTI_MNRL = "*MultiVectorMultipleNegativesRankingLoss *CachedMultiVectorMultipleNegativesRankingLoss"

_NO_CLASSES = "a class says which texts belong together, not how similar they are; make triplets of them"
_NO_SCORES = "texts alone say nothing about scores"
_NO_EMBEDDINGS = (
    "it matches embeddings, not scores; to match the teacher's scores, give a query, documents and their scores"
)
_WRAPS = "a modifier wraps a loss: also the selective one of the data's row"
_LOOKS_AT_EMBEDDINGS = "it looks at embeddings, not at scores"

_FORMATS = (
    _format(
        "single", "class", "single inputs", "class",
        _st("BatchAllTripletLoss BatchHardSoftMarginTripletLoss BatchHardTripletLoss BatchSemiHardTripletLoss"),
        why_none=_NO_CLASSES,
    ),
    _format(
        "single", "none", "single inputs", "none",
        _st("ContrastiveTensionLoss DenoisingAutoEncoderLoss ContrastiveTensionLossInBatchNegatives"),
        why_none=_NO_SCORES, note="the first two take pairs, which are made of the single texts",
    ),
    _format(
        "pair", "none", _INPUT_PAIRS, "none", _st("ContrastiveTensionLoss"),
        why_none=_NO_SCORES, note="in some rows the same text twice, in others two texts",
    ),
    _format(
        "pair", "none", "(anchor, anchor) pairs", "none", _st("ContrastiveTensionLossInBatchNegatives", "in-batch"),
        note="each row holds the same text twice",
    ),
    _format(
        "pair", "none", "(damaged_input, original_input) pairs", "none", _st("DenoisingAutoEncoderLoss"),
        why_none="a restored text has no score", note="the first text is the second with words deleted",
    ),
    _format(
        "pair", "class", _INPUT_PAIRS, "class",
        _st("SoftmaxLoss", why_none=_NO_CLASSES),
        _cross("CrossEntropyLoss", "classes", outputs="num_classes"),
    ),
    _format(
        "pair", "class probabilities", _INPUT_PAIRS, "class probabilities", _st("SoftmaxLoss"),
        why_none=_NO_CLASSES, since="6.2",
    ),
    _format(
        "pair", "none", _PAIRS, "none",
        _st(
            f"{_MNRL} MegaBatchMarginLoss GISTEmbedLoss CachedGISTEmbedLoss MultipleNegativesSymmetricRankingLoss "
            "CachedMultipleNegativesSymmetricRankingLoss",
            "in-batch cached",
        ),
        _cross(_CROSS_MNRL, "in-batch cached"),
        _sparse(_SPARSE_MNRL, "in-batch"),
        _multi(_MULTI_MNRL, "in-batch cached"),
    ),
    _format(
        "pair", "binary", "(anchor, positive/negative) pairs", "1 if positive, 0 if negative",
        _st("ContrastiveLoss OnlineContrastiveLoss", "binary"),
        _cross("*BinaryCrossEntropyLoss", "binary"),
    ),
    _format(
        "pair", "similarity", _INPUT_PAIRS, _SIMILARITY,
        _st("CoSENTLoss AnglELoss CosineSimilarityLoss", "pointwise list-of-pairs"),
        _cross("*BinaryCrossEntropyLoss", "pointwise list-of-pairs"),
        _sparse("SparseCoSENTLoss SparseAnglELoss SparseCosineSimilarityLoss", "pointwise list-of-pairs"),
    ),
    _format(
        "triplet", "none", "(anchor, positive, negative) triplets", "none",
        _st(f"{_MNRL} TripletLoss CachedGISTEmbedLoss GISTEmbedLoss AnglELoss", "in-batch cached pairwise"),
        _cross(_CROSS_MNRL, "in-batch cached pairwise"),
        _sparse(f"{_SPARSE_MNRL} SparseTripletLoss", "in-batch pairwise"),
        _multi(_MULTI_MNRL, "in-batch cached pairwise"),
    ),
    _format(
        "n-tuple", "none", "(anchor, positive, negative_1, ..., negative_n)", "none",
        _st(f"{_MNRL} CachedGISTEmbedLoss AnglELoss", "in-batch cached pairwise"),
        _cross(_CROSS_MNRL, "in-batch cached pairwise"),
        _sparse(_SPARSE_MNRL, "in-batch pairwise"),
        _multi(_MULTI_MNRL, "in-batch cached pairwise"),
    ),
    _format(
        "pair", "similarity", "(query, document) pairs", _SIMILARITY, _multi("", "pointwise list-of-pairs"),
        origin=OURS,
    ),
    _format(
        "list", "scores", "(query, [doc1, doc2, ..., docN])", "[score1, score2, ..., scoreN]",
        _cross("*LambdaLoss PListMLELoss ListNetLoss RankNetLoss ListMLELoss ADRMSELoss", "relevances"),
    ),
    _format(
        "any", "any", "any", "any",
        _st("MatryoshkaLoss AdaptiveLayerLoss Matryoshka2dLoss"),
        _sparse(
            "SpladeLoss CachedSpladeLoss CSRLoss",
            note="each of the losses here needs one of these around it, save SparseMSELoss",
        ),
        section="modifier", why_none=_WRAPS,
    ),
    _format(
        "any", "any", "any", "any", _st("WeightedLoss"), section="modifier", origin=OURS,
        why_none="it adds up losses: also the selective ones of the data's row",
    ),
    _format(
        "any", "none", "any", "none",
        _st("GlobalOrthogonalRegularizationLoss", why_none=f"{_LOOKS_AT_EMBEDDINGS}; add it to a selective loss"),
        _sparse("FlopsLoss CSRReconstructionLoss", why_none=_LOOKS_AT_EMBEDDINGS),
        section="regularization",
    ),
    _format(
        "pair", "similarity", _INPUT_PAIRS, "similarity score", _cross("MSELoss", "pointwise"), section="distillation",
    ),
    _format(
        "single", "embedding", "input", "teacher embeddings",
        _st("EmbedDistillLoss MSELoss"),
        _sparse("SparseMSELoss", labels="model embeddings"),
        section="distillation", why_none=_NO_EMBEDDINGS,
    ),
    _format(
        "n-tuple", "embedding", _INPUTS, "teacher embeddings",
        _st("EmbedDistillLoss MSELoss", note="one embedding a row, for all its columns"),
        _sparse("SparseMSELoss", labels="model embeddings"),
        section="distillation", why_none=_NO_EMBEDDINGS,
    ),
    _format(
        "n-tuple", "embeddings", _INPUTS, "per-column teacher embeddings", _st("EmbedDistillLoss MSELoss"),
        section="distillation", why_none=_NO_EMBEDDINGS, note="one embedding for each input column",
    ),
    _format(
        "triplet", "margin", _QUERY_PAIR, "gold_sim(query, document_one) - gold_sim(query, document_two)",
        _st("MarginMSELoss", "margins"),
        _cross("MarginMSELoss", "margins", inputs=f"{_QUERY_PAIR} triplets"),
        _sparse("SparseMarginMSELoss", "margins"),
        _multi(
            "MultiVectorMarginMSELoss", "margins",
            inputs=_QUERY_TRIPLET, labels="gold_sim(query, positive) - gold_sim(query, negative)",
        ),
        section="distillation",
    ),
    _format(
        "n-tuple", "margins", _QUERY_TUPLE, "[gold_sim(query, positive) - gold_sim(query, negative_i) for i in 1..n]",
        _st("MarginMSELoss", "margins"),
        _cross("MarginMSELoss", "margins"),
        _sparse("SparseMarginMSELoss", "margins"),
        _multi("MultiVectorMarginMSELoss", "margins"),
        section="distillation",
    ),
    _format(
        "triplet", "scores", _QUERY_TRIPLET, "[gold_sim(query, positive), gold_sim(query, negative)]",
        _st("DistillKLDivLoss MarginMSELoss", "listwise pair-scores pointwise in-batch"),
        _cross("MarginMSELoss", "listwise pair-scores"),
        _sparse("SparseDistillKLDivLoss SparseMarginMSELoss", "listwise pair-scores"),
        _multi("MultiVectorMarginMSELoss MultiVectorDistillKLDivLoss", "listwise pair-scores pointwise in-batch"),
        section="distillation",
    ),
    _format(
        "n-tuple", "scores", _QUERY_TUPLE, "[gold_sim(query, positive), gold_sim(query, negative_i)...]",
        _st("DistillKLDivLoss MarginMSELoss", "listwise pair-scores pointwise in-batch"),
        _cross("MarginMSELoss", "listwise pair-scores"),
        _sparse("*SparseDistillKLDivLoss *SparseMarginMSELoss", "listwise pair-scores"),
        _multi(
            "*MultiVectorDistillKLDivLoss MultiVectorMarginMSELoss", "listwise pair-scores pointwise in-batch",
            inputs=_QUERY_LIST, labels="[gold_sim(query, doc_i) for i in 1..n]",
        ),
        section="distillation",
    ),
    _format(
        "n-tuple", "binary list", _QUERY_LIST, "[1 if right, 0 if not, for doc_i in 1..n]", _st("", "list-labels"),
        origin=OURS, note="shorter lists are padded with any text and the label NaN",
    ),
)  # fmt: skip

ROWS: list[Row] = [
    row for model_type in MODEL_TYPES for rows in _FORMATS for row in rows if row.model_type == model_type
]
