"""Every loss of the four model types, as data: what is true of it whatever the data."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from selective_st.catalog._kinds import CLASSES, DEFAULT_MODEL, OURS, PACKAGES, LossEntry, ModelType

# What the loss packages export besides losses: arguments of losses, and a data loader.
HELPERS: dict[ModelType, tuple[str, ...]] = {
    "SentenceTransformer": (
        "TripletDistanceMetric", "SiameseDistanceMetric", "BatchHardTripletLossDistanceFunction",
        "ContrastiveTensionDataLoader",
    ),
    "CrossEncoder": (
        "PListMLELambdaWeight", "NoWeightingScheme", "NDCGLoss1Scheme", "NDCGLoss2Scheme", "LambdaRankScheme",
        "NDCGLoss2PPScheme",
    ),
    "SparseEncoder": (),
    "MultiVectorEncoder": (),
}  # fmt: skip

# Traits that several losses share.
_Traits = dict[str, Any]
_PAIR: _Traits = {"min_columns": 2, "max_columns": 2}
_FIRST_PAIR: _Traits = {**_PAIR, "extra_columns": "ignored"}
_TRIPLET: _Traits = {"min_columns": 3, "max_columns": 3}
_DOCUMENTS: _Traits = {"min_columns": 3}
_IN_BATCH: _Traits = {"min_columns": 2, "in_batch_negatives": True}
_FIRST_TEXT: _Traits = {"max_columns": 1, "extra_columns": "ignored"}
_CLASS_BATCHES: _Traits = {**_FIRST_TEXT, "class_batches": True}

_SAME_OR_DIFFERENT = "Rows must hold the same text twice, or two different texts: it reads the label off that."
_NO_STATIC = "It does not train static embeddings."
_GUIDE: _Traits = {
    **_IN_BATCH,
    "setup": (f'guide = SentenceTransformer("{DEFAULT_MODEL}")  # a model that knows better',),
    "arguments": (("guide", "guide"),),
    "caveats": (
        "It embeds each batch with the guide too, which costs about one more forward pass.",
        "It does not train static embeddings, unless the guide has the same tokenizer.",
    ),
}
_INNER = ("loss", "MultipleNegativesRankingLoss(model)")
_INNER_CAVEAT = "The inner loss must suit the data; this one stands for it."
_LAYERS_CAVEATS = (_INNER_CAVEAT, "It needs a transformer, and no cached loss.")
_MATRYOSHKA: _Traits = {
    "role": "modifier",
    "setup": ("dimension = model.get_embedding_dimension()",),
    "arguments": (_INNER, ("matryoshka_dims", "[dimension, dimension // 2, dimension // 4]")),
}
_SYMMETRIC = '{}(model, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction")'
_DRIFT = "Its scores keep the order but drift in value: do not use a fixed threshold."
_PROJECTION = "With a teacher of another dimension give projection_dim."
_TEACHER_SCALE = "Scale the teacher's scores to about the student's, or give it a temperature of its own."
_COSINE = ("similarity_fct", "pairwise_cos_sim")

_loss = partial(LossEntry, model_type="SentenceTransformer", module=PACKAGES["SentenceTransformer"])
_SENTENCE_TRANSFORMER = (
    _loss("BatchAllTripletLoss", why="takes all triplets of a batch whose classes fit", **_CLASS_BATCHES),
    _loss(
        "BatchHardSoftMarginTripletLoss",
        why="takes the hardest positive and negative of each text in the batch; no margin to choose",
        **_CLASS_BATCHES,
    ),
    _loss(
        "BatchHardTripletLoss", why="takes the hardest positive and negative of each text in the batch",
        **_CLASS_BATCHES,
    ),
    _loss(
        "BatchSemiHardTripletLoss",
        why="takes negatives a little farther than the positive, which tolerates wrong classes",
        **_CLASS_BATCHES,
    ),
    _loss(
        "ContrastiveTensionLoss", why="learns from texts alone, from pairs of equal and of different texts", **_PAIR,
        caveats=(_SAME_OR_DIFFERENT, _NO_STATIC),
    ),
    _loss(
        "ContrastiveTensionLossInBatchNegatives",
        why="learns from texts alone, against the other texts of the batch",
        in_batch_negatives=True, **_FIRST_TEXT,
    ),
    _loss(
        "DenoisingAutoEncoderLoss", why="learns from texts alone, by restoring a damaged text (TSDAE)", **_PAIR,
        caveats=(
            "It needs a transformer with a decoder of its architecture, and CLS pooling.",
            "Single texts become pairs with DenoisingAutoEncoderDataset, which deletes words.",
        ),
    ),
    _loss(
        "SoftmaxLoss", why="learns from classes of pairs, such as entailment, with a classifier on top", **_PAIR,
        setup=(f"num_labels = {CLASSES}",),
        arguments=(("embedding_dimension", "model.get_embedding_dimension()"), ("num_labels", "num_labels")),
        caveats=("Similarities come out better from triplets of these classes with a ranking loss.",),
    ),
    _loss(
        "MultipleNegativesRankingLoss",
        why="ranks each positive above all other texts of the batch; the usual choice for retrieval", **_IN_BATCH,
    ),
    _loss(
        "CachedMultipleNegativesRankingLoss",
        why="as MultipleNegativesRankingLoss, for batches larger than memory allows, about 20 % slower",
        caveats=(_NO_STATIC,), **_IN_BATCH,
    ),
    _loss(
        "MegaBatchMarginLoss", why="picks the hardest negative of a large batch", max_columns=2, **_IN_BATCH,
        caveats=(
            "It wants large batches (500 and more).",
            "It does not train static embeddings unless use_mini_batched_version=False.",
        ),
    ),
    _loss(
        "GISTEmbedLoss", why="in-batch negatives, less those that a guide model finds too close to the anchor",
        max_columns=3, **_GUIDE,
    ),
    _loss("CachedGISTEmbedLoss", why="as GISTEmbedLoss, for batches larger than memory allows", **_GUIDE),
    _loss(
        "MultipleNegativesSymmetricRankingLoss", why="ranks positives for anchors and anchors for positives",
        deprecated=_SYMMETRIC.format("MultipleNegativesRankingLoss"), **_IN_BATCH,
    ),
    _loss(
        "CachedMultipleNegativesSymmetricRankingLoss",
        why="as MultipleNegativesSymmetricRankingLoss, for batches larger than memory allows",
        caveats=(_NO_STATIC,), deprecated=_SYMMETRIC.format("CachedMultipleNegativesRankingLoss"), **_IN_BATCH,
    ),
    _loss(
        "ContrastiveLoss", why="pulls positive pairs together and pushes negative ones beyond a margin",
        score="probability", **_PAIR,
    ),
    _loss(
        "OnlineContrastiveLoss", why="as ContrastiveLoss, on the hard pairs of a batch only; mostly better",
        score="probability", caveats=("Pairs with a label other than 0 and 1 are ignored.",), **_FIRST_PAIR,
    ),
    _loss(
        "CoSENTLoss", why="orders the pairs of a batch as their labels do; the scores' values are free",
        order_only=True, caveats=(_DRIFT,), **_FIRST_PAIR,
    ),
    _loss(
        "AnglELoss", why="as CoSENTLoss, by angles of complex embeddings", min_columns=2, order_only=True,
        caveats=(_DRIFT,),
    ),
    _loss(
        "CosineSimilarityLoss", why="squared error of the cosine similarity: every score matters alike",
        score="cosine", **_FIRST_PAIR,
    ),
    _loss(
        "TripletLoss", why="the positive nearer than the negative by a margin; no in-batch negatives", **_TRIPLET,
        caveats=("The margin of 5 is for Euclidean distances; for cosine distances take about 0.5.",),
    ),
    _loss("MatryoshkaLoss", why="embeddings that may be cut short afterwards", caveats=(_INNER_CAVEAT,), **_MATRYOSHKA),
    _loss(
        "AdaptiveLayerLoss", why="models whose last layers may be left out afterwards", role="modifier",
        arguments=(_INNER,), caveats=_LAYERS_CAVEATS,
    ),
    _loss("Matryoshka2dLoss", why="both at once", caveats=_LAYERS_CAVEATS, **_MATRYOSHKA),
    _loss(
        "GlobalOrthogonalRegularizationLoss", why="spreads embeddings over the sphere; add it to a loss",
        role="regularizer",
    ),
    _loss(
        "EmbedDistillLoss", why="pulls embeddings towards a teacher's, by cosine distance unless told otherwise",
        caveats=(_PROJECTION,),
    ),
    _loss(
        "MSELoss", why="pulls embeddings towards a teacher's, also to another language, by squared error",
        caveats=(_PROJECTION,),
    ),
    _loss(
        "MarginMSELoss", why="matches a teacher's margin between two documents by squared error",
        arguments=(_COSINE,), caveats=(_TEACHER_SCALE,), **_DOCUMENTS,
    ),
    _loss(
        "DistillKLDivLoss", why="matches a teacher's ranking of the documents; the scores' values are free",
        arguments=(_COSINE, ("temperature", "0.1")), caveats=(_TEACHER_SCALE,), **_DOCUMENTS,
    ),
)  # fmt: skip

_loss = partial(LossEntry, model_type="SentenceTransformer", module="selective_st.losses", origin=OURS)
_SELECTIVE = (
    _loss(
        "SelectivePointwiseLoss", why="brings each score to its target, most exactly where the link says it matters",
        min_columns=2, score="cosine",
    ),
    _loss(
        "SelectivePairwiseLoss",
        why="the better document above the worse one, with most force where the link says it matters",
        score="cosine", **_DOCUMENTS,
    ),
    _loss(
        "SelectiveListwiseLoss",
        why="matches a teacher's ranking and, by calibration, its scores where the link says they matter",
        min_columns=2, score="cosine",
    ),
    _loss(
        "SelectiveMultipleNegativesRankingLoss",
        why="in-batch negatives in less time and memory than the built-in loss, with most force where the link says "
        "it matters; a guide leaves false negatives out",
        score="cosine", **_IN_BATCH,
    ),
    _loss(
        "CachedSelectiveMultipleNegativesRankingLoss",
        why="as SelectiveMultipleNegativesRankingLoss, for batches larger than memory allows",
        score="cosine", caveats=(_NO_STATIC,), **_IN_BATCH,
    ),
    _loss(
        "WeightedLoss", role="modifier",
        why="several losses on one batch with one pass of the model, their weights fixed or changing",
        arguments=(("losses", "[MultipleNegativesRankingLoss(model)]"),),
        caveats=("The losses within must suit the data and read it alike; this one stands for them.",),
    ),
)  # fmt: skip

_ONE_OUTPUT = "The model must have one output label: CrossEncoder(name, num_labels=1)."
_CLASS_OUTPUTS = "The model must have one output label for each class: CrossEncoder(name, num_labels=...)."
_EASY = "Negatives drawn at random are easy; mined ones teach a reranker more."
_ORDERED = (
    "It takes the documents in their given order, whatever their labels, unless respect_input_order=False: sort each "
    "list by its labels."
)
_NAN_BEFORE_62 = "Before sentence-transformers 6.2 a batch in which no list has two different labels gives NaN."

# Each but those for classes wants a model with one output.
_loss = partial(
    LossEntry, model_type="CrossEncoder", module=PACKAGES["CrossEncoder"], caveats=(_ONE_OUTPUT,), min_columns=2
)
_CROSS_ENCODER = (
    _loss("CrossEntropyLoss", why="classifies pairs", max_columns=2, caveats=(_CLASS_OUTPUTS,)),
    _loss(
        "BinaryCrossEntropyLoss", why="the score as a probability, pair by pair; very hard to beat",
        max_columns=2, score="probability",
    ),
    _loss(
        "MultipleNegativesRankingLoss", why="the positive above negatives drawn from the batch",
        in_batch_negatives=True, caveats=(_ONE_OUTPUT, _EASY),
    ),
    _loss(
        "CachedMultipleNegativesRankingLoss",
        why="as MultipleNegativesRankingLoss, for batches larger than memory allows",
        in_batch_negatives=True, caveats=(_ONE_OUTPUT, _EASY),
    ),
    _loss(
        "LambdaLoss", why="ranks lists with nDCG in view; the usual choice for lists",
        max_columns=2, order_only=True, score="nonnegative",
        caveats=(_ONE_OUTPUT, "Labels below 0 count as 0.", _NAN_BEFORE_62),
    ),
    _loss(
        "PListMLELoss", why="the likelihood of the right order, its top weighted",
        max_columns=2, caveats=(_ONE_OUTPUT, _ORDERED),
    ),
    _loss("ListNetLoss", why="the cross entropy of the lists' Softmax", max_columns=2),
    _loss(
        "RankNetLoss", why="each pair of a list in the right order",
        max_columns=2, order_only=True, caveats=(_ONE_OUTPUT, _NAN_BEFORE_62),
    ),
    _loss("ListMLELoss", why="the likelihood of the right order", max_columns=2, caveats=(_ONE_OUTPUT, _ORDERED)),
    _loss("ADRMSELoss", why="squared error of the approximate ranks, for a teacher's rankings", max_columns=2),
    _loss("MSELoss", why="matches a teacher's scores by squared error", max_columns=2),
    _loss("MarginMSELoss", why="matches a teacher's margin between two documents by squared error", **_DOCUMENTS),
)  # fmt: skip

_loss = partial(_loss, module="selective_st.cross_encoder.losses", origin=OURS)
_SELECTIVE_CROSS = (
    _loss(
        "SelectiveCrossEntropyLoss", why="classifies pairs, where the logits matter",
        max_columns=2, caveats=(_CLASS_OUTPUTS,),
    ),
    _loss(
        "SelectivePointwiseLoss",
        why="matches each score to its label, with errors weighed by where the scores lie",
        max_columns=2, score="probability",
    ),
    _loss(
        "SelectivePairwiseLoss",
        why="each positive above its own negatives, by as much as the labels say, where the scores matter",
        **_DOCUMENTS,
    ),
    _loss("SelectiveListwiseLoss", why="all documents of a query against one another, where the scores matter"),
    _loss(
        "SelectiveMultipleNegativesRankingLoss",
        why="the positive above negatives drawn from the batch, where the scores matter; a guide leaves false ones "
        "out",
        in_batch_negatives=True, caveats=(_ONE_OUTPUT, _EASY),
    ),
    _loss(
        "CachedSelectiveMultipleNegativesRankingLoss",
        why="as SelectiveMultipleNegativesRankingLoss, for batches larger than memory allows",
        in_batch_negatives=True, caveats=(_ONE_OUTPUT, _EASY),
    ),
)  # fmt: skip

_SPARSE_INNER = ("loss", "SparseMultipleNegativesRankingLoss(model)")
_SPLADE: _Traits = {
    "role": "modifier",
    "arguments": (_SPARSE_INNER, ("document_regularizer_weight", "3e-5"), ("query_regularizer_weight", "5e-5")),
    "caveats": (_INNER_CAVEAT, "The regularizers' weights decide how sparse embeddings become; tune them."),
}
_WRAP = "Wrap it in SpladeLoss, or in CSRLoss for a SparseAutoEncoder: it is not used alone."

_loss = partial(LossEntry, model_type="SparseEncoder", module=PACKAGES["SparseEncoder"])
_SPARSE_ENCODER = (
    _loss("SpladeLoss", why="adds the sparsity regularizers of SPLADE to a loss", **_SPLADE),
    _loss("CachedSpladeLoss", why="as SpladeLoss, for batches larger than memory allows", **_SPLADE),
    _loss(
        "CSRLoss", why="trains a SparseAutoEncoder: reconstruction beside a loss", role="modifier",
        arguments=(_SPARSE_INNER,), caveats=(_INNER_CAVEAT, "It needs a model with the SparseAutoEncoder module."),
    ),
    _loss(
        "CSRReconstructionLoss", why="the reconstruction inside CSRLoss", role="regularizer",
        caveats=("CSRLoss makes it; it is not used alone.",),
    ),
    _loss(
        "FlopsLoss", why="the sparsity regularizer inside SpladeLoss", role="regularizer",
        caveats=("SpladeLoss makes it; it is not used alone.",),
    ),
    _loss(
        "SparseMultipleNegativesRankingLoss",
        why="ranks each positive above all other texts of the batch; the usual choice", caveats=(_WRAP,), **_IN_BATCH,
    ),
    _loss(
        "SparseCoSENTLoss", why="orders the pairs of a batch as their labels do", order_only=True, caveats=(_WRAP,),
        **_FIRST_PAIR,
    ),
    _loss(
        "SparseAnglELoss", why="as SparseCoSENTLoss, by angles of complex embeddings", order_only=True,
        caveats=(_WRAP,), **_FIRST_PAIR,
    ),
    _loss(
        "SparseCosineSimilarityLoss", why="squared error of the cosine similarity", score="cosine", caveats=(_WRAP,),
        **_FIRST_PAIR,
    ),
    _loss("SparseTripletLoss", why="the positive nearer than the negative by a margin", caveats=(_WRAP,), **_TRIPLET),
    _loss("SparseMSELoss", why="pulls embeddings towards a sparse teacher's; it is used alone"),
    _loss(
        "SparseMarginMSELoss", why="matches a teacher's margin between two documents by squared error",
        caveats=(_WRAP, _TEACHER_SCALE), **_DOCUMENTS,
    ),
    _loss(
        "SparseDistillKLDivLoss", why="matches a teacher's ranking of the documents",
        caveats=(_WRAP, _TEACHER_SCALE), **_DOCUMENTS,
    ),
)  # fmt: skip

_loss = partial(LossEntry, model_type="MultiVectorEncoder", module=PACKAGES["MultiVectorEncoder"])
_MULTI_VECTOR_ENCODER = (
    _loss(
        "MultiVectorMultipleNegativesRankingLoss",
        why="ranks each positive above all other texts of the batch, by late interaction", **_IN_BATCH,
    ),
    _loss(
        "CachedMultiVectorMultipleNegativesRankingLoss",
        why="as MultiVectorMultipleNegativesRankingLoss, for batches larger than memory allows", **_IN_BATCH,
    ),
    _loss(
        "MultiVectorDistillKLDivLoss",
        why="matches a teacher's ranking of the documents: how the strongest such models are trained",
        caveats=(_TEACHER_SCALE,), **_DOCUMENTS,
    ),
    _loss(
        "MultiVectorMarginMSELoss", why="matches a teacher's margin between two documents by squared error",
        caveats=(_TEACHER_SCALE,), **_DOCUMENTS,
    ),
)  # fmt: skip

# Our losses train sparse and multi-vector encoders too: sparse ones inside the same wrappers.
_MEAN_SCORES = 'Its scores are means over the query\'s tokens: set model.similarity_fn_name = "meanmaxsim".'
_SELECTIVE_LOSSES = [entry for entry in _SELECTIVE if entry.role == "loss"]
_SELECTIVE_SPARSE = [
    replace(
        entry,
        model_type="SparseEncoder",
        module="selective_st.sparse_encoder.losses",
        caveats=(_WRAP, *entry.caveats),
        score=entry.score if entry.name == "SelectivePointwiseLoss" else "any",
        max_columns=2 if entry.name == "SelectivePointwiseLoss" else None,
    )
    for entry in _SELECTIVE_LOSSES
    if not entry.name.startswith("Cached")
]
_SELECTIVE_MULTI = [
    replace(
        entry,
        model_type="MultiVectorEncoder",
        module="selective_st.multi_vector_encoder.losses",
        score="any",
        caveats=(_MEAN_SCORES,),
    )
    for entry in _SELECTIVE_LOSSES
]

ENTRIES: tuple[LossEntry, ...] = (
    *_SENTENCE_TRANSFORMER, *_SELECTIVE, *_CROSS_ENCODER, *_SELECTIVE_CROSS, *_SPARSE_ENCODER, *_SELECTIVE_SPARSE,
    *_MULTI_VECTOR_ENCODER, *_SELECTIVE_MULTI,
)  # fmt: skip
