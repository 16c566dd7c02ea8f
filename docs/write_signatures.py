"""Write the list in docs/losses.md of what differs between the signatures of our losses and of the built-in ones.

Run with `make docs-formats`; a test checks that the list is complete, and that the page shows it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

LOSSES = Path(__file__).parent / "losses.md"
_BEGIN, _END = "<!-- signatures: begin -->", "<!-- signatures: end -->"

# For each package, which built-in losses each of ours stands for.
COUNTERPARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "sentence_transformer": {
        "SelectivePointwiseLoss": ("CosineSimilarityLoss",),
        "SelectiveOrderLoss": ("CoSENTLoss", "AnglELoss"),
        "SelectiveEmbedDistillLoss": ("EmbedDistillLoss", "MSELoss"),
        "SelectivePairwiseLoss": ("MarginMSELoss",),
        "SelectiveListwiseLoss": ("DistillKLDivLoss",),
        "SelectiveMultipleNegativesRankingLoss": ("MultipleNegativesRankingLoss", "GISTEmbedLoss"),
        "CachedSelectiveMultipleNegativesRankingLoss": ("CachedMultipleNegativesRankingLoss", "CachedGISTEmbedLoss"),
    },
    "sparse_encoder": {
        "SelectivePointwiseLoss": ("SparseCosineSimilarityLoss",),
        "SelectiveOrderLoss": ("SparseCoSENTLoss", "SparseAnglELoss"),
        "SelectivePairwiseLoss": ("SparseMarginMSELoss",),
        "SelectiveListwiseLoss": ("SparseDistillKLDivLoss",),
        "SelectiveMultipleNegativesRankingLoss": ("SparseMultipleNegativesRankingLoss",),
    },
    "multi_vector_encoder": {
        "SelectivePairwiseLoss": ("MultiVectorMarginMSELoss",),
        "SelectiveListwiseLoss": ("MultiVectorDistillKLDivLoss",),
        "SelectiveMultipleNegativesRankingLoss": ("MultiVectorMultipleNegativesRankingLoss",),
        "CachedSelectiveMultipleNegativesRankingLoss": ("CachedMultiVectorMultipleNegativesRankingLoss",),
    },
    "cross_encoder": {
        "SelectivePointwiseLoss": ("BinaryCrossEntropyLoss", "MSELoss"),
        "SelectiveCrossEntropyLoss": ("CrossEntropyLoss",),
        "SelectiveOrderLoss": ("RankNetLoss", "LambdaLoss"),
        "SelectivePairwiseLoss": ("MarginMSELoss", "RankNetLoss", "LambdaLoss"),
        "SelectiveListwiseLoss": ("ListNetLoss",),
        "SelectiveMultipleNegativesRankingLoss": ("MultipleNegativesRankingLoss",),
        "CachedSelectiveMultipleNegativesRankingLoss": ("CachedMultipleNegativesRankingLoss",),
    },
}
# Without a counterpart: no built-in loss does the same.
ALONE = {
    ("sentence_transformer", "WeightedLoss"),
    ("multi_vector_encoder", "SelectivePointwiseLoss"),
    ("multi_vector_encoder", "SelectiveOrderLoss"),
}


class Difference(NamedTuple):
    """What is not as in built-in losses.

    Attributes:
        losses: Those built-in losses.
        arguments: Their arguments.
        here: What is in their place.
        reason: Why.
    """

    losses: tuple[str, ...]
    arguments: tuple[str, ...]
    here: str
    reason: str


_RANKNET = ("RankNetLoss", "LambdaLoss")
_GIST = ("GISTEmbedLoss", "CachedGISTEmbedLoss")
DIFFERENCES = (
    Difference(
        ("CosineSimilarityLoss", "SparseCosineSimilarityLoss"),
        ("loss_fct",),
        "`link`, in its place",
        "a link says what an error costs; `IdentityLink()` is half of the default `MSELoss()`",
    ),
    Difference(
        ("SparseCosineSimilarityLoss",),
        ("similarity_fct",),
        "a dot product by default, where that loss takes cosines only",
        "a SparseEncoder scores by dot products; give `pairwise_cos_sim` for labels from 0 to 1",
    ),
    Difference(
        ("BinaryCrossEntropyLoss", "MSELoss", "CrossEntropyLoss", "MarginMSELoss"),
        ("**kwargs",),
        "`pos_weight`, `weight`, `label_smoothing` and `ignore_index` by name",
        "the others are of torch's losses: its deprecated `reduce`, and a `reduction` that a trainer cannot use",
    ),
    Difference(
        _RANKNET,
        ("sigma",),
        "`temperature`, 1 / `sigma`; `scale` in `SelectiveOrderLoss`",
        "one name for it in all losses",
    ),
    Difference(
        _RANKNET,
        ("eps", "reduction_log"),
        "nothing",
        "the logarithm needs no guard here; a base only multiplies the loss",
    ),
    Difference(
        _RANKNET,
        ("k", "weighting_scheme", "activation_fn", "mini_batch_size"),
        "by name; no scheme by default, in `SelectiveOrderLoss` `weight_link` and `discounts`",
        "one loss stands for `MarginMSELoss` too, whose order it has",
    ),
    Difference(
        ("EmbedDistillLoss", "MSELoss"),
        ("distance_metric", "projection_dim"),
        "nothing",
        "scores are compared, not embeddings: a teacher's may have any dimension",
    ),
    Difference(
        _GIST,
        ("temperature",),
        "`scale`, 1 / `temperature`",
        "the loss is that of `MultipleNegativesRankingLoss`, with its default of 20",
    ),
    Difference(
        _GIST,
        ("contrast_anchors", "contrast_positives"),
        '`directions`, which hold `"query_to_query"`, `"doc_to_doc"`',
        "as in `MultipleNegativesRankingLoss`; there the default is only `query_to_doc`",
    ),
    Difference(
        _GIST,
        ("guide", "margin_strategy", "margin", "gather_across_devices", "show_progress_bar"),
        "by name; `guide` may be left out",
        "the order is that of `MultipleNegativesRankingLoss`",
    ),
)


def ours(package: str, name: str) -> Any:
    """A loss of ours, of a package."""
    return getattr(
        import_module("selective_st.losses" if package == "sentence_transformer" else f"selective_st.{package}.losses"),
        name,
    )


def builtin(package: str, name: str) -> Any:
    """A built-in loss, of a package."""
    return getattr(import_module(f"sentence_transformers.{package}.losses"), name)


def differing(loss: Any, counterpart: Any) -> Iterator[str]:
    """The arguments of a built-in loss that a loss of ours does not have, or not at that place, or not by default.

    Args:
        loss: A loss of ours.
        counterpart: The built-in loss.

    Yields:
        Their names.
    """
    own = inspect.signature(loss).parameters
    positional = [name for name, parameter in own.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    for place, (name, parameter) in enumerate(inspect.signature(counterpart).parameters.items()):
        if parameter.kind is parameter.VAR_KEYWORD:
            yield f"**{name}"
            continue
        moved = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and positional[place : place + 1] != [name]
        if moved or name not in own or not _alike(own[name].default, parameter.default):
            yield name


def _alike(one: object, other: object) -> bool:
    """Whether two defaults mean the same: None stands for no function, and modules are told apart by their kind."""
    one, other = (nn.Identity() if default is None else default for default in (one, other))
    if isinstance(one, nn.Identity) and isinstance(other, nn.Identity):
        return True
    return type(one) is type(other) if isinstance(one, nn.Module) else one == other


def table() -> str:
    """The list, as a table."""
    lines = ["| built-in loss | argument | here | why |", "|---|---|---|---|"]
    for difference in DIFFERENCES:
        losses, arguments = (", ".join(f"`{name}`" for name in names) for names in difference[:2])
        lines.append(f"| {losses} | {arguments} | {difference.here} | {difference.reason} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with the list as it is now.

    Args:
        text: The page.

    Returns:
        The same with the list between the marks replaced.
    """
    block = f"{_BEGIN}\n{table()}\n{_END}"
    return re.sub(f"{_BEGIN}.*?{_END}", lambda _: block, text, flags=re.DOTALL)


if __name__ == "__main__":
    LOSSES.write_text(page(LOSSES.read_text(encoding="utf-8")), encoding="utf-8")
