"""The registry as data: every data format, and the losses that suit it.

Two tables. A `LossEntry` says what is true of a loss whatever the data: where it is, what it needs, how it reads
columns and labels. A `Row` is a row of the loss tables of Sentence Transformers: a data format, the losses for it, and
the selective loss or the reason why there is none. Losses are strings here, imported when one is built: this module
imports nothing heavy.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

ModelType = Literal["SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder"]
Shape = Literal["single", "pair", "triplet", "n-tuple", "list", "any"]
LabelKind = Literal[
    "none", "class", "class probabilities", "binary", "similarity", "margin", "margins", "scores", "binary list",
    "embedding", "embeddings", "any",
]  # fmt: skip
Section = Literal["main", "modifier", "regularization", "distillation"]
Role = Literal["loss", "modifier", "regularizer"]
ScoreRange = Literal["cosine", "probability", "nonnegative", "any"]

MODEL_TYPES: tuple[ModelType, ...] = get_args(ModelType)
SHAPES: tuple[Shape, ...] = get_args(Shape)
LABEL_KINDS: tuple[LabelKind, ...] = get_args(LabelKind)

UPSTREAM = "sentence_transformers"
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"  # in code and scripts, where the user has named none
CLASSES = "{classes}"  # in a setup line: stands for the code that counts the classes
OURS = "selective_st"

_PACKAGES: dict[ModelType, str] = {
    "SentenceTransformer": "sentence_transformers.sentence_transformer.losses",
    "CrossEncoder": "sentence_transformers.cross_encoder.losses",
    "SparseEncoder": "sentence_transformers.sparse_encoder.losses",
    "MultiVectorEncoder": "sentence_transformers.multi_vector_encoder.losses",
}

# What the loss packages export besides losses: arguments of losses, and a data loader.
HELPERS: dict[ModelType, tuple[str, ...]] = {
    "SentenceTransformer": (
        "TripletDistanceMetric",
        "SiameseDistanceMetric",
        "BatchHardTripletLossDistanceFunction",
        "ContrastiveTensionDataLoader",
    ),
    "CrossEncoder": (
        "PListMLELambdaWeight",
        "NoWeightingScheme",
        "NDCGLoss1Scheme",
        "NDCGLoss2Scheme",
        "LambdaRankScheme",
        "NDCGLoss2PPScheme",
    ),
    "SparseEncoder": (),
    "MultiVectorEncoder": (),
}


@dataclass(frozen=True)
class LossEntry:
    """What is true of a loss whatever the data.

    Attributes:
        name: The name of its class.
        model_type: Which models it trains.
        module: Where its class is imported from.
        why: What it is good for, in a line.
        role: A loss; a modifier that wraps one; or a regularizer that is added to one.
        min_columns: The fewest text columns it reads.
        max_columns: The most; None for any number.
        extra_columns: What happens to text columns beyond `max_columns`: an error, or ignored in silence.
        score: Where its labels must lie: a cosine's range [-1, 1], [0, 1], at 0 and above, or anywhere.
        in_batch_negatives: Whether the other rows of a batch are negatives, so that duplicates are false ones.
        order_only: Whether it only compares labels with one another: equal labels teach nothing.
        class_batches: Whether a batch must hold several rows of a class.
        setup: Code lines that make what the required arguments need; they may use `model` and `dataset`, and
            `{classes}` stands for the code that counts the classes.
        arguments: The required arguments after the model, and those that suit the model type, as code.
        caveats: What else to know, a sentence each.
        deprecated: What replaces it; empty if it is not deprecated.
        since: The release of Sentence Transformers it came with.
        origin: The package it comes from.
    """

    name: str
    model_type: ModelType
    module: str
    why: str
    role: Role = "loss"
    min_columns: int = 1
    max_columns: int | None = None
    extra_columns: Literal["error", "ignored"] = "error"
    score: ScoreRange = "any"
    in_batch_negatives: bool = False
    order_only: bool = False
    class_batches: bool = False
    setup: tuple[str, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    caveats: tuple[str, ...] = ()
    deprecated: str = ""
    since: str = "6.0"
    origin: str = UPSTREAM

    def load(self) -> type[Any]:
        """Import the class.

        Returns:
            The class.

        Raises:
            ImportError: If the installed version does not have it.
        """
        found: Any = getattr(importlib.import_module(self.module), self.name, None)
        if found is None:
            raise ImportError(
                f"{self.module} has no {self.name}: it needs sentence-transformers {self.since} or newer. Upgrade with "
                "`pip install -U sentence-transformers`."
            )
        loss_class: type[Any] = found
        return loss_class


@dataclass(frozen=True)
class Selective:
    """A selective loss for a row.

    Attributes:
        loss: The name of the loss.
        link: Its default link for this row, as code.
        is_default: Whether the loss takes that link by itself; else it must be passed.
        arguments: Further arguments for this row, as code.
    """

    loss: str
    link: str
    is_default: bool = True
    arguments: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Row:
    """A data format and the losses for it.

    Attributes:
        model_type: Which models.
        section: The table it stands in.
        inputs: The inputs, as Sentence Transformers writes them.
        labels: The labels, likewise.
        shape: The inputs by their number of columns: single, pair, triplet, n-tuple (four or more), list (a query and a
            list column), any.
        label: The kind of the labels.
        losses: The losses for it, in the order of the documentation.
        recommended: Those that Sentence Transformers commonly recommends.
        selective: Our losses for it, the best first.
        why_none: Why there is no selective loss, where there is none.
        outputs: How many output labels a cross encoder must have.
        note: What the columns alone do not say.
        since: The release of Sentence Transformers that the row came with.
        origin: The package it comes from.
    """

    model_type: ModelType
    section: Section
    inputs: str
    labels: str
    shape: Shape
    label: LabelKind
    losses: tuple[str, ...]
    recommended: tuple[str, ...] = ()
    selective: tuple[Selective, ...] = ()
    why_none: str = ""
    outputs: str = ""
    note: str = ""
    since: str = "6.0"
    origin: str = UPSTREAM


# --- Links and selective losses ---------------------------------------------------------------------------------------

# Defaults of our losses, as code; a test builds each loss and compares.
_POINTWISE_LINK = "high_scores()"
_BINARY_LINK = "SigmoidLink(scale=20, shift=0.5)"
_LIST_LINK = 'ExponentialLink(1).normalized(0, 1, of="value")'
_STEEPER_LIST_LINK = 'ExponentialLink(2).normalized(0, 1, of="value")'
RANKS_ONLY = "ConstantLink()"  # what matters is said by the calibration link
_UNBOUNDED_LIST_LINK = f"{_LIST_LINK}.linear_outside(None, 1)"

_COSINE = (("similarity_fct", "pairwise_cos_sim"),)
_POINTWISE = Selective("SelectivePointwiseLoss", _POINTWISE_LINK)
_BINARY = Selective("SelectivePointwiseLoss", _BINARY_LINK, arguments=(("targets", '"link_values"'),))
# Good settings of the study (docs/study.md): for lists of a teacher's scores better than squared error in ranking and
# in error for both students, for right and wrong answers, as lists and as triplets, the best or nearly so on dev, for
# pairs as lists good for both models.
_LISTWISE = Selective(
    "SelectiveListwiseLoss",
    RANKS_ONLY,
    is_default=False,
    arguments=(*_COSINE, ("temperature", "1.0"), ("calibration", "0.3"), ("calibration_link", "high_scores(3)")),
)
_LIST_OF_PAIRS = Selective(
    "SelectiveListwiseLoss",
    _STEEPER_LIST_LINK,
    is_default=False,
    arguments=(
        *_COSINE,
        ("temperature", "0.8"),
        ("calibration", "0.3"),
        ("calibration_link", "high_scores(5)"),
        ("lists", '"batch"'),
    ),
)
_LIST_LABELS = Selective(
    "SelectiveListwiseLoss",
    _STEEPER_LIST_LINK,
    is_default=False,
    arguments=(*_COSINE, ("temperature", "0.2"), ("targets", '"labels"')),
)
_PAIRWISE = Selective("SelectivePairwiseLoss", _LIST_LINK, arguments=(*_COSINE, ("temperature", "0.4")))
_PAIR_MARGINS = Selective("SelectivePairwiseLoss", _LIST_LINK, arguments=(*_COSINE, ("targets", '"margins"')))
_PAIR_SCORES = replace(_PAIRWISE, arguments=(*_COSINE, ("temperature", "0.1"), ("targets", '"scores"')))
_IN_BATCH = Selective("SelectiveMultipleNegativesRankingLoss", _LIST_LINK)
_CACHED = Selective("CachedSelectiveMultipleNegativesRankingLoss", _LIST_LINK)

# A sparse encoder's scores are dot products, which have no upper end; labels from 0 to 1 are for cosines.
_SPARSE_POINTWISE = Selective("SelectivePointwiseLoss", _POINTWISE_LINK, arguments=_COSINE)
_SPARSE_LIST_LINK = 'ExponentialLink(0.03125).normalized(0, 32, of="value").linear_outside(None, 32)'
_SPARSE_IN_BATCH = Selective("SelectiveMultipleNegativesRankingLoss", _SPARSE_LIST_LINK)
_SPARSE_LISTWISE = Selective("SelectiveListwiseLoss", _SPARSE_LIST_LINK)
# Pairs of a batch as one list, ranked alone: labels from 0 to 1 are no scores to be reached.
_RANKED_PAIRS = (("teacher_temperature", "0.1"), ("calibration", "0.0"), ("lists", '"batch"'))
_SPARSE_LIST_OF_PAIRS = replace(_SPARSE_LISTWISE, arguments=_RANKED_PAIRS)
_SPARSE_PAIRWISE = Selective("SelectivePairwiseLoss", _UNBOUNDED_LIST_LINK)
_SPARSE_MARGINS = replace(_SPARSE_PAIRWISE, arguments=(("targets", '"margins"'),))
_SPARSE_SCORES = replace(_SPARSE_PAIRWISE, arguments=(("targets", '"scores"'),))

# A multi-vector encoder's sums over tokens depend on the query's length; links and labels are for means, as of cosines.
_MEAN_OF_PAIRS = (("similarity_fct", "mean_colbert_scores_pairwise"),)
_MEAN_OF_ALL = (("scale", "20.0"), ("similarity_fct", "mean_colbert_scores"))
_MULTI_POINTWISE = Selective("SelectivePointwiseLoss", f"{_POINTWISE_LINK}.linear_outside(None, 1)")
_MULTI_IN_BATCH = Selective("SelectiveMultipleNegativesRankingLoss", _UNBOUNDED_LIST_LINK, arguments=_MEAN_OF_ALL)
_MULTI_CACHED = replace(_MULTI_IN_BATCH, loss="CachedSelectiveMultipleNegativesRankingLoss")
_MULTI_LISTWISE = Selective(
    "SelectiveListwiseLoss",
    _UNBOUNDED_LIST_LINK,
    arguments=(("similarity_fct", "mean_colbert_kd_scores"), ("temperature", "0.1")),
)
_MULTI_LIST_OF_PAIRS = replace(_MULTI_LISTWISE, arguments=(*_MULTI_LISTWISE.arguments, *_RANKED_PAIRS[1:]))
_MULTI_PAIRWISE = Selective(
    "SelectivePairwiseLoss", _UNBOUNDED_LIST_LINK, arguments=(*_MEAN_OF_PAIRS, ("temperature", "0.1"))
)
_MULTI_MARGINS = replace(_MULTI_PAIRWISE, arguments=(*_MEAN_OF_PAIRS, ("targets", '"margins"')))
_MULTI_SCORES = replace(_MULTI_PAIRWISE, arguments=(*_MULTI_PAIRWISE.arguments, ("targets", '"scores"')))

# A cross encoder's logits have no ends; a Sigmoid's scores, which the pointwise loss compares, lie from 0 to 1.
LOGIT_LINK = "0.5 * ConstantLink() + SigmoidLink(scale=1, shift=0)"
_CROSS_BINARY = Selective(
    "SelectivePointwiseLoss", "SigmoidLink(scale=1, shift=0)", arguments=(("targets", '"link_values"'),)
)
_CROSS_IN_BATCH = Selective("SelectiveMultipleNegativesRankingLoss", _LIST_LINK)
_CROSS_CACHED = replace(_CROSS_IN_BATCH, loss="CachedSelectiveMultipleNegativesRankingLoss")
_CROSS_CLASSES = Selective("SelectiveCrossEntropyLoss", LOGIT_LINK)
_CROSS_LISTWISE = Selective("SelectiveListwiseLoss", LOGIT_LINK)
_CROSS_LIST_OF_PAIRS = replace(_CROSS_LISTWISE, arguments=_RANKED_PAIRS)
_CROSS_RELEVANCES = replace(_CROSS_LISTWISE, arguments=(("calibration", "0.0"),))  # which are no logits to be reached
_CROSS_PAIRWISE = Selective("SelectivePairwiseLoss", LOGIT_LINK)
_CROSS_MARGINS = replace(_CROSS_PAIRWISE, arguments=(("targets", '"margins"'),))
_CROSS_SCORES = replace(_CROSS_PAIRWISE, arguments=(("targets", '"scores"'),))

_CLASSES = "a class says which texts belong together, not how similar they are; make triplets of them"
_EMBEDDINGS = (
    "it matches embeddings, not scores; to match the teacher's scores, give a query, documents and their scores"
)

# --- Losses -----------------------------------------------------------------------------------------------------------


def _entries(
    model_type: ModelType, *entries: dict[str, Any], module: str = "", origin: str = UPSTREAM
) -> list[LossEntry]:
    shared: dict[str, Any] = {"model_type": model_type, "module": module or _PACKAGES[model_type], "origin": origin}
    return [LossEntry(**shared, **entry) for entry in entries]


_NO_STATIC = "It does not train static embeddings."
_GUIDE = {
    "setup": (f'guide = SentenceTransformer("{DEFAULT_MODEL}")  # a model that knows better',),
    "arguments": (("guide", "guide"),),
    "in_batch_negatives": True,
    "min_columns": 2,
    "caveats": (
        "It embeds each batch with the guide too, which costs about one more forward pass.",
        "It does not train static embeddings, unless the guide has the same tokenizer.",
    ),
}
_MATRYOSHKA_SETUP = ("dimension = model.get_embedding_dimension()",)
_MATRYOSHKA = ("matryoshka_dims", "[dimension, dimension // 2, dimension // 4]")
_INNER = ("loss", "MultipleNegativesRankingLoss(model)")
_INNER_CAVEAT = "The inner loss must suit the data; this one stands for it."
_TRIPLET_CLASSES = {"max_columns": 1, "extra_columns": "ignored", "class_batches": True}
_TEACHER_SCALE = "Scale the teacher's scores to about the student's, or give it a temperature of its own."

_SENTENCE_TRANSFORMER = _entries(
    "SentenceTransformer",
    {
        "name": "BatchAllTripletLoss",
        "why": "takes all triplets of a batch whose classes fit",
        **_TRIPLET_CLASSES,
    },
    {
        "name": "BatchHardSoftMarginTripletLoss",
        "why": "takes the hardest positive and negative of each text in the batch; no margin to choose",
        **_TRIPLET_CLASSES,
    },
    {
        "name": "BatchHardTripletLoss",
        "why": "takes the hardest positive and negative of each text in the batch",
        **_TRIPLET_CLASSES,
    },
    {
        "name": "BatchSemiHardTripletLoss",
        "why": "takes negatives a little farther than the positive, which tolerates wrong classes",
        **_TRIPLET_CLASSES,
    },
    {
        "name": "ContrastiveTensionLoss",
        "why": "learns from texts alone, from pairs of equal and of different texts",
        "min_columns": 2,
        "max_columns": 2,
        "caveats": (
            "Rows must hold the same text twice, or two different texts: it reads the label off that.",
            _NO_STATIC,
        ),
    },
    {
        "name": "ContrastiveTensionLossInBatchNegatives",
        "why": "learns from texts alone, against the other texts of the batch",
        "max_columns": 1,
        "extra_columns": "ignored",
        "in_batch_negatives": True,
    },
    {
        "name": "DenoisingAutoEncoderLoss",
        "why": "learns from texts alone, by restoring a damaged text (TSDAE)",
        "min_columns": 2,
        "max_columns": 2,
        "caveats": (
            "It needs a transformer with a decoder of its architecture, and CLS pooling.",
            "Single texts become pairs with DenoisingAutoEncoderDataset, which deletes words.",
        ),
    },
    {
        "name": "SoftmaxLoss",
        "why": "learns from classes of pairs, such as entailment, with a classifier on top",
        "min_columns": 2,
        "max_columns": 2,
        "setup": (f"num_labels = {CLASSES}",),
        "arguments": (("embedding_dimension", "model.get_embedding_dimension()"), ("num_labels", "num_labels")),
        "caveats": ("Similarities come out better from triplets of these classes with a ranking loss.",),
    },
    {
        "name": "MultipleNegativesRankingLoss",
        "why": "ranks each positive above all other texts of the batch; the usual choice for retrieval",
        "min_columns": 2,
        "in_batch_negatives": True,
    },
    {
        "name": "CachedMultipleNegativesRankingLoss",
        "why": "as MultipleNegativesRankingLoss, for batches larger than memory allows, about 20 % slower",
        "min_columns": 2,
        "in_batch_negatives": True,
        "caveats": (_NO_STATIC,),
    },
    {
        "name": "MegaBatchMarginLoss",
        "why": "picks the hardest negative of a large batch",
        "min_columns": 2,
        "max_columns": 2,
        "in_batch_negatives": True,
        "caveats": (
            "It wants large batches (500 and more).",
            "It does not train static embeddings unless use_mini_batched_version=False.",
        ),
    },
    {
        "name": "GISTEmbedLoss",
        "why": "in-batch negatives, less those that a guide model finds too close to the anchor",
        "max_columns": 3,
        **_GUIDE,
    },
    {
        "name": "CachedGISTEmbedLoss",
        "why": "as GISTEmbedLoss, for batches larger than memory allows",
        **_GUIDE,
    },
    {
        "name": "MultipleNegativesSymmetricRankingLoss",
        "why": "ranks positives for anchors and anchors for positives",
        "min_columns": 2,
        "in_batch_negatives": True,
        "deprecated": 'MultipleNegativesRankingLoss(model, directions=("query_to_doc", "doc_to_query"), '
        'partition_mode="per_direction")',
    },
    {
        "name": "CachedMultipleNegativesSymmetricRankingLoss",
        "why": "as MultipleNegativesSymmetricRankingLoss, for batches larger than memory allows",
        "min_columns": 2,
        "in_batch_negatives": True,
        "caveats": (_NO_STATIC,),
        "deprecated": 'CachedMultipleNegativesRankingLoss(model, directions=("query_to_doc", "doc_to_query"), '
        'partition_mode="per_direction")',
    },
    {
        "name": "ContrastiveLoss",
        "why": "pulls positive pairs together and pushes negative ones beyond a margin",
        "min_columns": 2,
        "max_columns": 2,
        "score": "probability",
    },
    {
        "name": "OnlineContrastiveLoss",
        "why": "as ContrastiveLoss, on the hard pairs of a batch only; mostly better",
        "min_columns": 2,
        "max_columns": 2,
        "extra_columns": "ignored",
        "score": "probability",
        "caveats": ("Pairs with a label other than 0 and 1 are ignored.",),
    },
    {
        "name": "CoSENTLoss",
        "why": "orders the pairs of a batch as their labels do; the scores' values are free",
        "min_columns": 2,
        "max_columns": 2,
        "extra_columns": "ignored",
        "order_only": True,
        "caveats": ("Its scores keep the order but drift in value: do not use a fixed threshold.",),
    },
    {
        "name": "AnglELoss",
        "why": "as CoSENTLoss, by angles of complex embeddings",
        "min_columns": 2,
        "order_only": True,
        "caveats": ("Its scores keep the order but drift in value: do not use a fixed threshold.",),
    },
    {
        "name": "CosineSimilarityLoss",
        "why": "squared error of the cosine similarity: every score matters alike",
        "min_columns": 2,
        "max_columns": 2,
        "extra_columns": "ignored",
        "score": "cosine",
    },
    {
        "name": "TripletLoss",
        "why": "the positive nearer than the negative by a margin; no in-batch negatives",
        "min_columns": 3,
        "max_columns": 3,
        "caveats": ("The margin of 5 is for Euclidean distances; for cosine distances take about 0.5.",),
    },
    {
        "name": "MatryoshkaLoss",
        "why": "embeddings that may be cut short afterwards",
        "role": "modifier",
        "setup": _MATRYOSHKA_SETUP,
        "arguments": (_INNER, _MATRYOSHKA),
        "caveats": (_INNER_CAVEAT,),
    },
    {
        "name": "AdaptiveLayerLoss",
        "why": "models whose last layers may be left out afterwards",
        "role": "modifier",
        "arguments": (_INNER,),
        "caveats": (_INNER_CAVEAT, "It needs a transformer, and no cached loss."),
    },
    {
        "name": "Matryoshka2dLoss",
        "why": "both at once",
        "role": "modifier",
        "setup": _MATRYOSHKA_SETUP,
        "arguments": (_INNER, _MATRYOSHKA),
        "caveats": (_INNER_CAVEAT, "It needs a transformer, and no cached loss."),
    },
    {
        "name": "GlobalOrthogonalRegularizationLoss",
        "why": "spreads embeddings over the sphere; add it to a loss",
        "role": "regularizer",
    },
    {
        "name": "EmbedDistillLoss",
        "why": "pulls embeddings towards a teacher's, by cosine distance unless told otherwise",
        "caveats": ("With a teacher of another dimension give projection_dim.",),
    },
    {
        "name": "MSELoss",
        "why": "pulls embeddings towards a teacher's, also to another language, by squared error",
        "caveats": ("With a teacher of another dimension give projection_dim.",),
    },
    {
        "name": "MarginMSELoss",
        "why": "matches a teacher's margin between two documents by squared error",
        "min_columns": 3,
        "arguments": (("similarity_fct", "pairwise_cos_sim"),),
        "caveats": (_TEACHER_SCALE,),
    },
    {
        "name": "DistillKLDivLoss",
        "why": "matches a teacher's ranking of the documents; the scores' values are free",
        "min_columns": 3,
        "arguments": (("similarity_fct", "pairwise_cos_sim"), ("temperature", "0.1")),
        "caveats": (_TEACHER_SCALE,),
    },
)

_WEIGHTED: dict[str, Any] = {
    "name": "WeightedLoss",
    "why": "several losses on one batch with one pass of the model, their weights fixed or changing",
    "role": "modifier",
    "arguments": (("losses", "[MultipleNegativesRankingLoss(model)]"),),
    "caveats": ("The losses within must suit the data and read it alike; this one stands for them.",),
}

_SELECTIVE = _entries(
    "SentenceTransformer",
    {
        "name": "SelectivePointwiseLoss",
        "why": "brings each score to its target, most exactly where the link says it matters",
        "min_columns": 2,
        "score": "cosine",
    },
    {
        "name": "SelectivePairwiseLoss",
        "why": "the better document above the worse one, with most force where the link says it matters",
        "score": "cosine",
        "min_columns": 3,
    },
    {
        "name": "SelectiveListwiseLoss",
        "why": "matches a teacher's ranking and, by calibration, its scores where the link says they matter",
        "score": "cosine",
        "min_columns": 2,
    },
    {
        "name": "SelectiveMultipleNegativesRankingLoss",
        "why": "in-batch negatives in less time and memory than the built-in loss, with most force where the link says "
        "it matters; a guide leaves false negatives out",
        "score": "cosine",
        "min_columns": 2,
        "in_batch_negatives": True,
    },
    {
        "name": "CachedSelectiveMultipleNegativesRankingLoss",
        "why": "as SelectiveMultipleNegativesRankingLoss, for batches larger than memory allows",
        "score": "cosine",
        "min_columns": 2,
        "in_batch_negatives": True,
        "caveats": (_NO_STATIC,),
    },
    _WEIGHTED,
    module="selective_st.losses",
    origin=OURS,
)

_ONE_OUTPUT = "The model must have one output label: CrossEncoder(name, num_labels=1)."
_PAIR = {"min_columns": 2, "max_columns": 2}
_CE_LIST = {**_PAIR, "caveats": (_ONE_OUTPUT,)}
_ORDERED = (
    "It takes the documents in their given order, whatever their labels, unless respect_input_order=False: sort each "
    "list by its labels."
)
_NAN_BEFORE_62 = "Before sentence-transformers 6.2 a batch in which no list has two different labels gives NaN."
_CROSS_ENCODER = _entries(
    "CrossEncoder",
    {
        "name": "CrossEntropyLoss",
        "why": "classifies pairs",
        **_PAIR,
        "caveats": ("The model must have one output label for each class: CrossEncoder(name, num_labels=...).",),
    },
    {
        "name": "BinaryCrossEntropyLoss",
        "why": "the score as a probability, pair by pair; very hard to beat",
        **_PAIR,
        "score": "probability",
        "caveats": (_ONE_OUTPUT,),
    },
    {
        "name": "MultipleNegativesRankingLoss",
        "why": "the positive above negatives drawn from the batch",
        "min_columns": 2,
        "in_batch_negatives": True,
        "caveats": (_ONE_OUTPUT, "Negatives drawn at random are easy; mined ones teach a reranker more."),
    },
    {
        "name": "CachedMultipleNegativesRankingLoss",
        "why": "as MultipleNegativesRankingLoss, for batches larger than memory allows",
        "min_columns": 2,
        "in_batch_negatives": True,
        "caveats": (_ONE_OUTPUT, "Negatives drawn at random are easy; mined ones teach a reranker more."),
    },
    {
        "name": "LambdaLoss",
        "why": "ranks lists with nDCG in view; the usual choice for lists",
        **_PAIR,
        "order_only": True,
        "score": "nonnegative",
        "caveats": (_ONE_OUTPUT, "Labels below 0 count as 0.", _NAN_BEFORE_62),
    },
    {
        "name": "PListMLELoss",
        "why": "the likelihood of the right order, its top weighted",
        **_PAIR,
        "caveats": (_ONE_OUTPUT, _ORDERED),
    },
    {"name": "ListNetLoss", "why": "the cross entropy of the lists' Softmax", **_CE_LIST},
    {
        "name": "RankNetLoss",
        "why": "each pair of a list in the right order",
        **_PAIR,
        "order_only": True,
        "caveats": (_ONE_OUTPUT, _NAN_BEFORE_62),
    },
    {
        "name": "ListMLELoss",
        "why": "the likelihood of the right order",
        **_PAIR,
        "caveats": (_ONE_OUTPUT, _ORDERED),
    },
    {"name": "ADRMSELoss", "why": "squared error of the approximate ranks, for a teacher's rankings", **_CE_LIST},
    {
        "name": "MSELoss",
        "why": "matches a teacher's scores by squared error",
        **_PAIR,
        "caveats": (_ONE_OUTPUT,),
    },
    {
        "name": "MarginMSELoss",
        "why": "matches a teacher's margin between two documents by squared error",
        "min_columns": 3,
        "caveats": (_ONE_OUTPUT,),
    },
)

_SELECTIVE_CROSS = _entries(
    "CrossEncoder",
    {
        "name": "SelectiveCrossEntropyLoss",
        "why": "classifies pairs, where the logits matter",
        **_PAIR,
        "caveats": ("The model must have one output label for each class: CrossEncoder(name, num_labels=...).",),
    },
    {
        "name": "SelectivePointwiseLoss",
        "why": "matches each score to its label, with errors weighed by where the scores lie",
        **_PAIR,
        "score": "probability",
        "caveats": (_ONE_OUTPUT,),
    },
    {
        "name": "SelectivePairwiseLoss",
        "why": "each positive above its own negatives, by as much as the labels say, where the scores matter",
        "min_columns": 3,
        "caveats": (_ONE_OUTPUT,),
    },
    {
        "name": "SelectiveListwiseLoss",
        "why": "all documents of a query against one another, where the scores matter",
        "min_columns": 2,
        "caveats": (_ONE_OUTPUT,),
    },
    {
        "name": "SelectiveMultipleNegativesRankingLoss",
        "why": "the positive above negatives drawn from the batch, where the scores matter; a guide leaves false ones "
        "out",
        "min_columns": 2,
        "in_batch_negatives": True,
        "caveats": (_ONE_OUTPUT, "Negatives drawn at random are easy; mined ones teach a reranker more."),
    },
    {
        "name": "CachedSelectiveMultipleNegativesRankingLoss",
        "why": "as SelectiveMultipleNegativesRankingLoss, for batches larger than memory allows",
        "min_columns": 2,
        "in_batch_negatives": True,
        "caveats": (_ONE_OUTPUT, "Negatives drawn at random are easy; mined ones teach a reranker more."),
    },
    module="selective_st.cross_encoder.losses",
    origin=OURS,
)

_SPLADE_WEIGHTS = (("document_regularizer_weight", "3e-5"), ("query_regularizer_weight", "5e-5"))
_SPARSE_INNER = ("loss", "SparseMultipleNegativesRankingLoss(model)")
_WRAP = "Wrap it in SpladeLoss, or in CSRLoss for a SparseAutoEncoder: it is not used alone."
_SPARSE_ENCODER = _entries(
    "SparseEncoder",
    {
        "name": "SpladeLoss",
        "why": "adds the sparsity regularizers of SPLADE to a loss",
        "role": "modifier",
        "arguments": (_SPARSE_INNER, *_SPLADE_WEIGHTS),
        "caveats": (_INNER_CAVEAT, "The regularizers' weights decide how sparse embeddings become; tune them."),
    },
    {
        "name": "CachedSpladeLoss",
        "why": "as SpladeLoss, for batches larger than memory allows",
        "role": "modifier",
        "arguments": (_SPARSE_INNER, *_SPLADE_WEIGHTS),
        "caveats": (_INNER_CAVEAT, "The regularizers' weights decide how sparse embeddings become; tune them."),
    },
    {
        "name": "CSRLoss",
        "why": "trains a SparseAutoEncoder: reconstruction beside a loss",
        "role": "modifier",
        "arguments": (_SPARSE_INNER,),
        "caveats": (_INNER_CAVEAT, "It needs a model with the SparseAutoEncoder module."),
    },
    {
        "name": "CSRReconstructionLoss",
        "why": "the reconstruction inside CSRLoss",
        "role": "regularizer",
        "caveats": ("CSRLoss makes it; it is not used alone.",),
    },
    {
        "name": "FlopsLoss",
        "why": "the sparsity regularizer inside SpladeLoss",
        "role": "regularizer",
        "caveats": ("SpladeLoss makes it; it is not used alone.",),
    },
    {
        "name": "SparseMultipleNegativesRankingLoss",
        "why": "ranks each positive above all other texts of the batch; the usual choice",
        "min_columns": 2,
        "in_batch_negatives": True,
        "caveats": (_WRAP,),
    },
    {
        "name": "SparseCoSENTLoss",
        "why": "orders the pairs of a batch as their labels do",
        "min_columns": 2,
        "max_columns": 2,
        "extra_columns": "ignored",
        "order_only": True,
        "caveats": (_WRAP,),
    },
    {
        "name": "SparseAnglELoss",
        "why": "as SparseCoSENTLoss, by angles of complex embeddings",
        "min_columns": 2,
        "max_columns": 2,
        "extra_columns": "ignored",
        "order_only": True,
        "caveats": (_WRAP,),
    },
    {
        "name": "SparseCosineSimilarityLoss",
        "why": "squared error of the cosine similarity",
        "min_columns": 2,
        "max_columns": 2,
        "extra_columns": "ignored",
        "score": "cosine",
        "caveats": (_WRAP,),
    },
    {
        "name": "SparseTripletLoss",
        "why": "the positive nearer than the negative by a margin",
        "min_columns": 3,
        "max_columns": 3,
        "caveats": (_WRAP,),
    },
    {
        "name": "SparseMSELoss",
        "why": "pulls embeddings towards a sparse teacher's; it is used alone",
    },
    {
        "name": "SparseMarginMSELoss",
        "why": "matches a teacher's margin between two documents by squared error",
        "min_columns": 3,
        "caveats": (_WRAP, _TEACHER_SCALE),
    },
    {
        "name": "SparseDistillKLDivLoss",
        "why": "matches a teacher's ranking of the documents",
        "min_columns": 3,
        "caveats": (_WRAP, _TEACHER_SCALE),
    },
)

# Our losses train sparse encoders too, inside the same wrappers.
_SELECTIVE_SPARSE = [
    replace(
        entry,
        model_type="SparseEncoder",
        module="selective_st.sparse_encoder.losses",
        caveats=(_WRAP, *entry.caveats),
        score=entry.score if entry.name == "SelectivePointwiseLoss" else "any",
        max_columns=2 if entry.name == "SelectivePointwiseLoss" else None,
    )
    for entry in _SELECTIVE
    if entry.role == "loss" and not entry.name.startswith("Cached")
]

_MULTI_VECTOR_ENCODER = _entries(
    "MultiVectorEncoder",
    {
        "name": "MultiVectorMultipleNegativesRankingLoss",
        "why": "ranks each positive above all other texts of the batch, by late interaction",
        "min_columns": 2,
        "in_batch_negatives": True,
    },
    {
        "name": "CachedMultiVectorMultipleNegativesRankingLoss",
        "why": "as MultiVectorMultipleNegativesRankingLoss, for batches larger than memory allows",
        "min_columns": 2,
        "in_batch_negatives": True,
    },
    {
        "name": "MultiVectorDistillKLDivLoss",
        "why": "matches a teacher's ranking of the documents: how the strongest such models are trained",
        "min_columns": 3,
        "caveats": (_TEACHER_SCALE,),
    },
    {
        "name": "MultiVectorMarginMSELoss",
        "why": "matches a teacher's margin between two documents by squared error",
        "min_columns": 3,
        "caveats": (_TEACHER_SCALE,),
    },
)

_MEAN_SCORES = 'Its scores are means over the query\'s tokens: set model.similarity_fn_name = "meanmaxsim".'
_SELECTIVE_MULTI = [
    replace(
        entry,
        model_type="MultiVectorEncoder",
        module="selective_st.multi_vector_encoder.losses",
        score="any",
        caveats=(_MEAN_SCORES,),
    )
    for entry in _SELECTIVE
    if entry.role == "loss"
]

# --- Rows -------------------------------------------------------------------------------------------------------------

_PAIRS = "(anchor, positive) pairs"
_INPUT_PAIRS = "(input_A, input_B) pairs"
_TRIPLETS = "(anchor, positive, negative) triplets"
_TUPLES = "(anchor, positive, negative_1, ..., negative_n)"
_LABELLED_PAIRS = "(anchor, positive/negative) pairs"
_BINARY_LABELS = "1 if positive, 0 if negative"
_SIMILARITY = "float similarity score between 0 and 1"
_QUERY_PAIR = "(query, document_one, document_two)"
_QUERY_TRIPLET = "(query, positive, negative)"
_QUERY_TUPLE = "(query, positive, negative_1, ..., negative_n)"
_MARGIN = "gold_sim(query, document_one) - gold_sim(query, document_two)"
_MARGINS = "[gold_sim(query, positive) - gold_sim(query, negative_i) for i in 1..n]"
_TWO_SCORES = "[gold_sim(query, positive), gold_sim(query, negative)]"
_SCORES = "[gold_sim(query, positive), gold_sim(query, negative_i)...]"
_MNRL = ("MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss")


def _rows(model_type: ModelType, *rows: dict[str, Any]) -> list[Row]:
    return [Row(**{"model_type": model_type, "section": "main", **row}) for row in rows]


def _row(inputs: str, labels: str, shape: Shape, label: LabelKind, *losses: str, **more: Any) -> dict[str, Any]:
    return {"inputs": inputs, "labels": labels, "shape": shape, "label": label, "losses": losses, **more}


_SENTENCE_TRANSFORMER_ROWS = _rows(
    "SentenceTransformer",
    _row(
        "single inputs", "class", "single", "class",
        "BatchAllTripletLoss", "BatchHardSoftMarginTripletLoss", "BatchHardTripletLoss", "BatchSemiHardTripletLoss",
        why_none=_CLASSES,
    ),
    _row(
        "single inputs", "none", "single", "none", "ContrastiveTensionLoss", "DenoisingAutoEncoderLoss",
        "ContrastiveTensionLossInBatchNegatives", why_none="texts alone say nothing about scores",
        note="the first two take pairs, which are made of the single texts",
    ),
    _row(
        _INPUT_PAIRS, "none", "pair", "none", "ContrastiveTensionLoss",
        why_none="texts alone say nothing about scores", note="in some rows the same text twice, in others two texts",
    ),
    _row(
        "(anchor, anchor) pairs", "none", "pair", "none", "ContrastiveTensionLossInBatchNegatives",
        selective=(_IN_BATCH,), note="each row holds the same text twice",
    ),
    _row(
        "(damaged_input, original_input) pairs", "none", "pair", "none", "DenoisingAutoEncoderLoss",
        why_none="a restored text has no score", note="the first text is the second with words deleted",
    ),
    _row(_INPUT_PAIRS, "class", "pair", "class", "SoftmaxLoss", why_none=_CLASSES),
    _row(
        _INPUT_PAIRS, "class probabilities", "pair", "class probabilities", "SoftmaxLoss",
        why_none=_CLASSES, since="6.2",
    ),
    _row(
        _PAIRS, "none", "pair", "none", *_MNRL, "MegaBatchMarginLoss", "GISTEmbedLoss", "CachedGISTEmbedLoss",
        "MultipleNegativesSymmetricRankingLoss", "CachedMultipleNegativesSymmetricRankingLoss",
        recommended=_MNRL, selective=(_IN_BATCH, _CACHED),
    ),
    _row(
        _LABELLED_PAIRS, _BINARY_LABELS, "pair", "binary", "ContrastiveLoss", "OnlineContrastiveLoss",
        selective=(_BINARY,),
    ),
    _row(
        _INPUT_PAIRS, _SIMILARITY, "pair", "similarity", "CoSENTLoss", "AnglELoss", "CosineSimilarityLoss",
        selective=(_POINTWISE, _LIST_OF_PAIRS),
    ),
    _row(
        _TRIPLETS, "none", "triplet", "none", *_MNRL, "TripletLoss", "CachedGISTEmbedLoss", "GISTEmbedLoss",
        "AnglELoss", recommended=_MNRL, selective=(_IN_BATCH, _CACHED, _PAIRWISE),
    ),
    _row(
        _TUPLES, "none", "n-tuple", "none", *_MNRL, "CachedGISTEmbedLoss", "AnglELoss",
        recommended=_MNRL, selective=(_IN_BATCH, _CACHED, _PAIRWISE),
    ),
    _row(
        "any", "any", "any", "any", "MatryoshkaLoss", "AdaptiveLayerLoss", "Matryoshka2dLoss", section="modifier",
        why_none="a modifier wraps a loss: also the selective one of the data's row",
    ),
    _row(
        "any", "any", "any", "any", "WeightedLoss", section="modifier", origin=OURS,
        why_none="it adds up losses: also the selective ones of the data's row",
    ),
    _row(
        "any", "none", "any", "none", "GlobalOrthogonalRegularizationLoss", section="regularization",
        why_none="it looks at embeddings, not at scores; add it to a selective loss",
    ),
    *(
        {**row, "section": "distillation"}
        for row in (
            _row(
                "input", "teacher embeddings", "single", "embedding", "EmbedDistillLoss", "MSELoss",
                why_none=_EMBEDDINGS,
            ),
            _row(
                "(input_1, input_2, ..., input_N)", "teacher embeddings", "n-tuple", "embedding", "EmbedDistillLoss",
                "MSELoss", why_none=_EMBEDDINGS, note="one embedding a row, for all its columns",
            ),
            _row(
                "(input_1, input_2, ..., input_N)", "per-column teacher embeddings", "n-tuple", "embeddings",
                "EmbedDistillLoss", "MSELoss", why_none=_EMBEDDINGS, note="one embedding for each input column",
            ),
            _row(_QUERY_PAIR, _MARGIN, "triplet", "margin", "MarginMSELoss", selective=(_PAIR_MARGINS,)),
            _row(_QUERY_TUPLE, _MARGINS, "n-tuple", "margins", "MarginMSELoss", selective=(_PAIR_MARGINS,)),
            _row(
                _QUERY_TRIPLET, _TWO_SCORES, "triplet", "scores", "DistillKLDivLoss", "MarginMSELoss",
                selective=(_LISTWISE, _PAIR_SCORES, _POINTWISE, _IN_BATCH),
            ),
            _row(
                _QUERY_TUPLE, _SCORES, "n-tuple", "scores", "DistillKLDivLoss", "MarginMSELoss",
                selective=(_LISTWISE, _PAIR_SCORES, _POINTWISE, _IN_BATCH),
            ),
        )
    ),
    _row(
        "(query, doc_1, ..., doc_n)", "[1 if right, 0 if not, for doc_i in 1..n]", "n-tuple", "binary list",
        selective=(_LIST_LABELS,), origin=OURS, note="shorter lists are padded with any text and the label NaN",
    ),
)  # fmt: skip

_CROSS_ENCODER_ROWS = [
    replace(row, outputs=row.outputs or "1")
    for row in _rows(
        "CrossEncoder",
        _row(
            _INPUT_PAIRS, "class", "pair", "class", "CrossEntropyLoss", outputs="num_classes",
            selective=(_CROSS_CLASSES,),
        ),
        _row(_PAIRS, "none", "pair", "none", *_MNRL, selective=(_CROSS_IN_BATCH, _CROSS_CACHED)),
        _row(
            _LABELLED_PAIRS, _BINARY_LABELS, "pair", "binary", "BinaryCrossEntropyLoss",
            recommended=("BinaryCrossEntropyLoss",), selective=(_CROSS_BINARY,),
        ),
        _row(
            _INPUT_PAIRS, _SIMILARITY, "pair", "similarity", "BinaryCrossEntropyLoss",
            recommended=("BinaryCrossEntropyLoss",), selective=(_POINTWISE, _CROSS_LIST_OF_PAIRS),
        ),
        _row(_TRIPLETS, "none", "triplet", "none", *_MNRL, selective=(_CROSS_IN_BATCH, _CROSS_CACHED, _CROSS_PAIRWISE)),
        _row(_TUPLES, "none", "n-tuple", "none", *_MNRL, selective=(_CROSS_IN_BATCH, _CROSS_CACHED, _CROSS_PAIRWISE)),
        _row(
            "(query, [doc1, doc2, ..., docN])", "[score1, score2, ..., scoreN]", "list", "scores",
            "LambdaLoss", "PListMLELoss", "ListNetLoss", "RankNetLoss", "ListMLELoss", "ADRMSELoss",
            recommended=("LambdaLoss",), selective=(_CROSS_RELEVANCES,),
        ),
        *(
            {**row, "section": "distillation"}
            for row in (
                _row(_INPUT_PAIRS, "similarity score", "pair", "similarity", "MSELoss", selective=(_POINTWISE,)),
                _row(
                    f"{_QUERY_PAIR} triplets", _MARGIN, "triplet", "margin", "MarginMSELoss",
                    selective=(_CROSS_MARGINS,),
                ),
                _row(_QUERY_TUPLE, _MARGINS, "n-tuple", "margins", "MarginMSELoss", selective=(_CROSS_MARGINS,)),
                _row(
                    _QUERY_TRIPLET, _TWO_SCORES, "triplet", "scores", "MarginMSELoss",
                    selective=(_CROSS_LISTWISE, _CROSS_SCORES),
                ),
                _row(
                    _QUERY_TUPLE, _SCORES, "n-tuple", "scores", "MarginMSELoss",
                    selective=(_CROSS_LISTWISE, _CROSS_SCORES),
                ),
            )
        ),
    )
]  # fmt: skip

_SPARSE_MNRL = "SparseMultipleNegativesRankingLoss"
_SPARSE_ENCODER_ROWS = _rows(
    "SparseEncoder",
    _row(_PAIRS, "none", "pair", "none", _SPARSE_MNRL, recommended=(_SPARSE_MNRL,), selective=(_SPARSE_IN_BATCH,)),
    _row(
        _INPUT_PAIRS, _SIMILARITY, "pair", "similarity",
        "SparseCoSENTLoss", "SparseAnglELoss", "SparseCosineSimilarityLoss",
        selective=(_SPARSE_POINTWISE, _SPARSE_LIST_OF_PAIRS),
    ),
    _row(
        _TRIPLETS, "none", "triplet", "none", _SPARSE_MNRL, "SparseTripletLoss", recommended=(_SPARSE_MNRL,),
        selective=(_SPARSE_IN_BATCH, _SPARSE_PAIRWISE),
    ),
    _row(
        _TUPLES, "none", "n-tuple", "none", _SPARSE_MNRL, recommended=(_SPARSE_MNRL,),
        selective=(_SPARSE_IN_BATCH, _SPARSE_PAIRWISE),
    ),
    _row(
        "any", "any", "any", "any", "SpladeLoss", "CachedSpladeLoss", "CSRLoss", section="modifier",
        why_none="a modifier wraps a loss: also the selective one of the data's row",
        note="each of the losses here needs one of these around it, save SparseMSELoss",
    ),
    _row(
        "any", "none", "any", "none", "FlopsLoss", "CSRReconstructionLoss", section="regularization",
        why_none="it looks at embeddings, not at scores",
    ),
    *(
        {**row, "section": "distillation"}
        for row in (
            _row("input", "model embeddings", "single", "embedding", "SparseMSELoss", why_none=_EMBEDDINGS),
            _row(
                "(input_1, input_2, ..., input_N)", "model embeddings", "n-tuple", "embedding", "SparseMSELoss",
                why_none=_EMBEDDINGS,
            ),
            _row(_QUERY_PAIR, _MARGIN, "triplet", "margin", "SparseMarginMSELoss", selective=(_SPARSE_MARGINS,)),
            _row(_QUERY_TUPLE, _MARGINS, "n-tuple", "margins", "SparseMarginMSELoss", selective=(_SPARSE_MARGINS,)),
            _row(
                _QUERY_TRIPLET, _TWO_SCORES, "triplet", "scores", "SparseDistillKLDivLoss", "SparseMarginMSELoss",
                selective=(_SPARSE_LISTWISE, _SPARSE_SCORES),
            ),
            _row(
                _QUERY_TUPLE, _SCORES, "n-tuple", "scores", "SparseDistillKLDivLoss", "SparseMarginMSELoss",
                recommended=("SparseDistillKLDivLoss", "SparseMarginMSELoss"),
                selective=(_SPARSE_LISTWISE, _SPARSE_SCORES),
            ),
        )
    ),
)  # fmt: skip

_MULTI_MNRL = ("MultiVectorMultipleNegativesRankingLoss", "CachedMultiVectorMultipleNegativesRankingLoss")
_MULTI_KL = "MultiVectorDistillKLDivLoss"
_MULTI_MARGIN = "MultiVectorMarginMSELoss"
_MULTI_VECTOR_ROWS = _rows(
    "MultiVectorEncoder",
    _row(
        _PAIRS, "none", "pair", "none", *_MULTI_MNRL, recommended=_MULTI_MNRL,
        selective=(_MULTI_IN_BATCH, _MULTI_CACHED),
    ),
    _row(
        _TRIPLETS, "none", "triplet", "none", *_MULTI_MNRL, recommended=_MULTI_MNRL,
        selective=(_MULTI_IN_BATCH, _MULTI_CACHED, _MULTI_PAIRWISE),
    ),
    _row(
        _TUPLES, "none", "n-tuple", "none", *_MULTI_MNRL, recommended=_MULTI_MNRL,
        selective=(_MULTI_IN_BATCH, _MULTI_CACHED, _MULTI_PAIRWISE),
    ),
    _row(
        "(query, document) pairs", _SIMILARITY, "pair", "similarity", origin=OURS,
        selective=(_MULTI_POINTWISE, _MULTI_LIST_OF_PAIRS),
    ),
    *(
        {**row, "section": "distillation"}
        for row in (
            _row(
                _QUERY_TRIPLET, "gold_sim(query, positive) - gold_sim(query, negative)", "triplet", "margin",
                _MULTI_MARGIN, selective=(_MULTI_MARGINS,),
            ),
            _row(_QUERY_TUPLE, _MARGINS, "n-tuple", "margins", _MULTI_MARGIN, selective=(_MULTI_MARGINS,)),
            _row(
                _QUERY_TRIPLET, _TWO_SCORES, "triplet", "scores", _MULTI_MARGIN, _MULTI_KL,
                selective=(_MULTI_LISTWISE, _MULTI_SCORES, _MULTI_POINTWISE, _MULTI_IN_BATCH),
            ),
            _row(
                "(query, doc_1, ..., doc_n)", "[gold_sim(query, doc_i) for i in 1..n]", "n-tuple", "scores",
                _MULTI_KL, _MULTI_MARGIN, recommended=(_MULTI_KL,),
                selective=(_MULTI_LISTWISE, _MULTI_SCORES, _MULTI_POINTWISE, _MULTI_IN_BATCH),
            ),
        )
    ),
)  # fmt: skip

# --- The registry -----------------------------------------------------------------------------------------------------


@dataclass
class _Registry:
    losses: dict[tuple[str, str], LossEntry] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


_REGISTRY = _Registry(
    losses={
        (entry.model_type, entry.name): entry
        for entry in (
            *_SENTENCE_TRANSFORMER,
            *_SELECTIVE,
            *_CROSS_ENCODER,
            *_SELECTIVE_CROSS,
            *_SPARSE_ENCODER,
            *_SELECTIVE_SPARSE,
            *_MULTI_VECTOR_ENCODER,
            *_SELECTIVE_MULTI,
        )
    },
    rows=[*_SENTENCE_TRANSFORMER_ROWS, *_CROSS_ENCODER_ROWS, *_SPARSE_ENCODER_ROWS, *_MULTI_VECTOR_ROWS],
)


def check_model_type(owner: str, model_type: object) -> ModelType:
    """Return the model type, or raise.

    Args:
        owner: The function whose argument it is, for the message.
        model_type: The name of a model class of Sentence Transformers.

    Returns:
        The model type.

    Raises:
        ValueError: If there is no such model type.
    """
    for known in MODEL_TYPES:
        if model_type == known:
            return known
    raise ValueError(f"{owner}: model_type must be one of {', '.join(MODEL_TYPES)}; got {model_type!r}.")


def model_type_of(model: object) -> ModelType | None:
    """Which of the model types a model is.

    Args:
        model: The model.

    Returns:
        The model type, of the class nearest to the model's own; None if it is of none.

    Example:
        >>> model_type_of("no model") is None
        True
    """
    names = [base.__name__ for base in type(uncompiled(model)).__mro__]
    return next((known for name in names for known in MODEL_TYPES if known == name), None)


def uncompiled(model: Any) -> Any:
    """The model within what `torch.compile` makes of it; any other model as it is."""
    return getattr(model, "_orig_mod", model)


def losses(model_type: ModelType | None = None) -> list[LossEntry]:
    """The registered losses.

    Args:
        model_type: Of which models. Default: of all.

    Returns:
        Their entries, in the order of the tables.

    Example:
        >>> [loss.name for loss in losses("MultiVectorEncoder")][3]
        'MultiVectorMarginMSELoss'
    """
    return [entry for entry in _REGISTRY.losses.values() if model_type in (None, entry.model_type)]


def rows(model_type: ModelType | None = None) -> list[Row]:
    """The rows of the tables.

    Args:
        model_type: Of which models. Default: of all.

    Returns:
        The rows.

    Example:
        >>> [row.losses for row in rows("SparseEncoder") if row.section == "regularization"]
        [('FlopsLoss', 'CSRReconstructionLoss')]
    """
    return [row for row in _REGISTRY.rows if model_type in (None, row.model_type)]


def loss_entry(name: str, model_type: ModelType = "SentenceTransformer") -> LossEntry:
    """The entry of a loss.

    Args:
        name: The name of its class.
        model_type: Of which models.

    Returns:
        The entry.

    Raises:
        ValueError: If no such loss is registered; the message names similar ones, or the model type that has it.

    Example:
        >>> loss_entry("CoSENTLoss").order_only
        True
    """
    entry = _REGISTRY.losses.get((model_type, name))
    if entry is not None:
        return entry
    others = sorted(of for of, known in _REGISTRY.losses if known == name)
    if others:
        hint = f'It is a loss for {", ".join(others)}: say model_type="{others[0]}".'
    else:
        names = [entry.name for entry in losses(model_type)]
        hint = did_you_mean(name, names) or f"There are {', '.join(names)}. "
        hint += "Add a loss of your own with selective_st.registry.register_loss."
    raise ValueError(f"There is no loss {name!r} for {model_type} in the registry. {hint}")


def rows_of(name: str, model_type: ModelType = "SentenceTransformer") -> list[Row]:
    """The rows that a loss stands in, be it as a built-in or as a selective one.

    Args:
        name: The name of its class.
        model_type: Of which models.

    Returns:
        The rows.

    Example:
        >>> [row.labels for row in rows_of("CosineSimilarityLoss")]
        ['float similarity score between 0 and 1']
    """
    return [
        row
        for row in rows(model_type)
        if name in row.losses or any(selective.loss == name for selective in row.selective)
    ]


def entry_of(loss: object, model_type: ModelType = "SentenceTransformer") -> LossEntry | None:
    """The entry of a loss that is built.

    Args:
        loss: The loss.
        model_type: Of which models.

    Returns:
        The entry of its class, or of the nearest class that it derives from; None if there is none.

    Example:
        >>> entry_of("no loss") is None
        True
    """
    names = (base.__name__ for base in type(loss).__mro__)
    return next((found for name in names if (found := _REGISTRY.losses.get((model_type, name))) is not None), None)


def formats_of(loss: object, model_type: ModelType = "SentenceTransformer") -> list[tuple[str, str]]:
    """The data that a loss that is built reads, with its settings.

    Args:
        loss: The loss.
        model_type: Of which models.

    Returns:
        Pairs of a shape and a kind of labels, as `register_loss` takes them; none where nothing is known: of a loss
        that is not registered, wraps another, or only regularizes.

    Example:
        >>> formats_of("no loss")
        []
    """
    entry = entry_of(loss, model_type)
    if entry is None or entry.role != "loss":  # a regularizer reads no labels, whatever they are
        return []
    formats: dict[tuple[str, str], None] = {}
    for row in rows_of(entry.name, model_type):
        settings = [dict(selective.arguments) for selective in row.selective if selective.loss == entry.name]
        if not settings or any(_is_set_so(loss, arguments) for arguments in settings):
            formats[row.shape, row.label] = None
    # Our in-batch losses take floats for a teacher's scores, which the tables list for lists alone.
    if entry.origin == OURS and entry.in_batch_negatives:
        formats["pair", "similarity"] = None
    return list(formats)


# Arguments of our losses that say how they read the data.
_READING = ("targets", "lists")


def _is_set_so(loss: object, arguments: dict[str, str]) -> bool:
    """Whether a loss reads the data as these arguments, in code, would have it."""
    parameters = inspect.signature(type(loss)).parameters
    for name in _READING:
        setting = getattr(loss, name, None)
        # None: the loss reads that off the labels.
        if name in parameters and setting is not None:
            default = parameters[name].default
            if setting != (ast.literal_eval(arguments[name]) if name in arguments else default):
                return False
    return True


def register_loss(
    loss: type[Any] | str,
    *,
    formats: Sequence[tuple[str, str]],
    why: str,
    model_type: ModelType = "SentenceTransformer",
    recommended: bool = False,
    exist_ok: bool = False,
    **traits: Any,
) -> LossEntry:
    """Add a loss of your own to the registry: it is then suggested, checked and listed with the others.

    Args:
        loss: Its class, or where to import it from: `"package.module.ClassName"`; then it is imported only when used.
        formats: For which data: pairs of a shape (single, pair, triplet, n-tuple, list, any) and a kind of labels
            (none, class, class probabilities, binary, similarity, margin, margins, scores, binary list, embedding,
            embeddings, any); or of inputs and labels as a row of `loss_table` names them.
        why: What it is good for, in a line.
        model_type: Which models it trains.
        recommended: Whether it is suggested before the losses that are not.
        exist_ok: Whether it may take the place of a loss of that name.
        **traits: Further attributes of `LossEntry`, such as `max_columns=2` or `in_batch_negatives=True`.

    Returns:
        The entry.

    Raises:
        TypeError: If a trait is unknown or of the wrong type, or `loss` is neither a class nor a text.
        ValueError: If the name is taken, or a format is unknown.

    Example:
        >>> entry = register_loss(
        ...     "my_package.losses.HuberLoss", formats=[("pair", "similarity")], why="tolerates wrong labels",
        ...     max_columns=2, score="cosine", exist_ok=True,
        ... )
        >>> "HuberLoss" in loss_table("SentenceTransformer")
        True
        >>> unregister_loss("HuberLoss")
    """
    owner = "register_loss"
    model_type = check_model_type(owner, model_type)
    if isinstance(loss, str):
        module, _, name = loss.rpartition(".")
        if not module or not name.isidentifier():
            raise ValueError(f"{owner}: loss must be written package.module.ClassName; got {loss!r}.")
    elif inspect.isclass(loss):
        module, name = loss.__module__, loss.__name__
    else:
        raise TypeError(f"{owner}: loss must be a class or the text package.module.ClassName; got {loss!r}.")
    known = {attribute.name for attribute in fields(LossEntry)} - {"name", "model_type", "module", "why", "origin"}
    unknown = sorted(set(traits) - known)
    if unknown:
        raise TypeError(f"{owner}: unknown {', '.join(unknown)}; a loss may have {', '.join(sorted(known))}.")
    for trait, value in traits.items():
        hint = get_type_hints(LossEntry)[trait]
        if not _fits(value, hint):
            wanted = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            raise TypeError(f"{owner}: {trait} must be of type {wanted}, got {value!r}.")
    if not isinstance(why, str) or not why.strip():
        raise ValueError(f"{owner}: why must say in a line what {name} is good for; got {why!r}.")
    if (model_type, name) in _REGISTRY.losses and not exist_ok:
        raise ValueError(
            f"{owner}: {model_type} has a loss {name} already. Rename yours, or pass exist_ok=True to replace it."
        )
    pairs = [] if isinstance(formats, str) or not isinstance(formats, Sequence) else list(formats)
    if not pairs or not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise ValueError(
            f"{owner}: formats must hold at least one pair of a shape and a kind of labels, got {formats!r}. Write "
            'formats=[("pair", "similarity")].'
        )
    places = [_row_number(owner, model_type, *pair) for pair in formats]
    entry = LossEntry(
        name=name, model_type=model_type, module=module, why=why, origin=module.partition(".")[0], **traits
    )
    _remove(name, model_type)
    for place in places:
        row = _REGISTRY.rows[place]
        _REGISTRY.rows[place] = replace(
            row,
            losses=(*row.losses, name),
            recommended=(*row.recommended, name) if recommended else row.recommended,
        )
    _REGISTRY.losses[model_type, name] = entry
    return entry


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is of a type that a `LossEntry` uses."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        each = inner[:1] * len(value) if inner[-1] is ... else inner
        return len(value) == len(each) and all(map(_fits, value, each))
    if inner:
        return any(_fits(value, one) for one in inner)
    return isinstance(value, hint) and (hint is not int or not isinstance(value, bool))


def unregister_loss(name: str, model_type: ModelType = "SentenceTransformer") -> None:
    """Take a loss out of the registry.

    Args:
        name: The name of its class.
        model_type: Of which models.

    Raises:
        ValueError: If there is no such loss.
    """
    loss_entry(name, model_type)
    _remove(name, model_type)


def _remove(name: str, model_type: ModelType) -> None:
    _REGISTRY.losses.pop((model_type, name), None)
    for place, row in enumerate(_REGISTRY.rows):
        if row.model_type == model_type and name in row.losses:
            _REGISTRY.rows[place] = replace(
                row,
                losses=tuple(loss for loss in row.losses if loss != name),
                recommended=tuple(loss for loss in row.recommended if loss != name),
            )


def _row_number(owner: str, model_type: ModelType, inputs: str, labels: str) -> int:
    """The place of a row, by its names or by its kinds; of several rows of a kind the most general one."""
    places = [
        place
        for place, row in enumerate(_REGISTRY.rows)
        if row.model_type == model_type and ((row.inputs, row.labels) == (inputs, labels))
    ]
    if not places:
        places = [
            place
            for place, row in enumerate(_REGISTRY.rows)
            if row.model_type == model_type and (row.shape, row.label) == (inputs, labels)
        ]
        places.sort(key=lambda place: bool(_REGISTRY.rows[place].note))
    if places:
        return places[0]
    known = ", ".join(f'("{row.shape}", "{row.label}")' for row in rows(model_type))
    raise ValueError(f'{owner}: {model_type} has no format ("{inputs}", "{labels}"). There are {known}.')


# --- What `selective-st train` knows ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trainable:
    """A loss that `selective-st train` makes the data ready for.

    Attributes:
        name: What `--loss` calls it.
        loss: The name of its class.
        shape: The inputs that the pairs are laid out to.
        label: The kind of their labels then; with the shape, its row.
        what: What it learns from, for people.
        scale: The default scale of its class, where the temperature of the scores is its inverse.
    """

    name: str
    loss: str
    shape: Shape
    label: LabelKind
    what: str
    scale: float | None = None

    @property
    def row(self) -> Row:
        """Its row, which has its settings."""
        fitting = (row for row in rows("SentenceTransformer") if (row.shape, row.label) == (self.shape, self.label))
        return next(row for row in fitting if self.loss in [selective.loss for selective in row.selective])

    @property
    def temperature(self) -> float | None:
        """The temperature in its row's settings; None if it has none."""
        selective = next(selective for selective in self.row.selective if selective.loss == self.loss)
        given = dict(selective.arguments).get("temperature")
        return 1 / self.scale if self.scale else None if given is None else float(given)


TRAINABLE = (
    Trainable("pointwise", "SelectivePointwiseLoss", "pair", "similarity", "each pair"),
    Trainable("pairwise", "SelectivePairwiseLoss", "triplet", "none", "a better against a worse candidate of a text"),
    Trainable("listwise", "SelectiveListwiseLoss", "n-tuple", "scores", "all candidates of a text"),
    Trainable("listwise-labels", "SelectiveListwiseLoss", "n-tuple", "binary list", "the same, right or wrong"),
    Trainable(
        "in-batch", "SelectiveMultipleNegativesRankingLoss", "pair", "none",
        "positives against the rest of the batch", scale=20.0,
    ),
    Trainable(
        "cached-in-batch", "CachedSelectiveMultipleNegativesRankingLoss", "pair", "none",
        "the same for large batches", scale=20.0,
    ),
)  # fmt: skip


def trainable(name: str) -> Trainable | None:
    """What `train` makes of a loss's name.

    Args:
        name: As `--loss` calls it, or the name of its class.

    Returns:
        The loss, the first of its class; None if `train` does not know it.

    Example:
        >>> trainable("SelectiveListwiseLoss").name
        'listwise'
    """
    return next((known for known in TRAINABLE if name in (known.name, known.loss)), None)


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """A question with names that are nearly one that is not known; empty if there is none.

    Args:
        name: What was given.
        names: What is known.

    Returns:
        The question, and a space.

    Example:
        >>> did_you_mean("cosent", ["CosineSimilarityLoss", "CoSENTLoss", "TripletLoss"])
        'Did you mean CoSENTLoss? '
    """
    keys = {key: known for known in names for key in (known.lower(), known.lower().removesuffix("loss"))}
    near = dict.fromkeys(keys[key] for key in difflib.get_close_matches(str(name).lower(), keys, n=4, cutoff=0.5))
    return f"Did you mean {' or '.join(list(near)[:3])}? " if near else ""


# --- The table for people ---------------------------------------------------------------------------------------------

SECTION_TITLES: dict[Section, str] = {
    "main": "Losses",
    "modifier": "Loss modifiers",
    "regularization": "Regularization",
    "distillation": "Distillation",
}


def loss_table(model_type: ModelType = "SentenceTransformer") -> str:
    """The tables of formats and losses, in Markdown.

    Args:
        model_type: Of which models.

    Returns:
        A heading and a table for each section. Commonly recommended losses are marked with a star, deprecated ones with
        a dagger, and what is newer than 6.0 with its release.

    Raises:
        ValueError: If there is no such model type.

    Example:
        >>> print(loss_table("MultiVectorEncoder").splitlines()[0])
        ### Losses
    """
    model_type = check_model_type("loss_table", model_type)
    blocks = []
    for section, title in SECTION_TITLES.items():
        found = [row for row in rows(model_type) if row.section == section]
        if found:
            blocks.append("\n".join([f"### {title}", "", *_table_lines(found)]))
    return "\n\n".join(blocks) + "\n"


def _table_lines(found: list[Row]) -> list[str]:
    with_outputs = any(row.outputs for row in found)
    headings = [
        "inputs",
        "labels",
        *(["output labels"] if with_outputs else []),
        "losses",
        "selective loss, link, settings",
    ]
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for row in found:
        note = f" ({row.note})" if row.note else ""
        cells = [f"`{row.inputs}`{note}{_newer(row.since)}", f"`{row.labels}`"]
        cells += [f"`{row.outputs}`"] if with_outputs else []
        cells.append("<br>".join(_loss_cell(row, name) for name in row.losses) or "none")
        cells.append("<br>".join(_selective_cell(selective) for selective in row.selective) or f"none: {row.why_none}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _loss_cell(row: Row, name: str) -> str:
    entry = loss_entry(name, row.model_type)
    return f"`{name}`{' ★' if name in row.recommended else ''}{' †' if entry.deprecated else ''}{_newer(entry.since)}"


_NOT_IN_TABLE = ("similarity_fct", "targets")  # which follow from the row


def _selective_cell(selective: Selective) -> str:
    settings = "".join(f", `{name}={code}`" for name, code in selective.arguments if name not in _NOT_IN_TABLE)
    return f"`{selective.loss}`, `{selective.link}`{settings}"


def _newer(since: str) -> str:
    return "" if since == "6.0" else f" (from {since})"
