"""In-batch losses in several processes: the cases, and what each process does with them.

A batch of twelve rows is joined from two processes of six, or four of three. The model is a table with a row for each
text, so that the gradient of its one parameter shows the gradient of each embedding apart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from sentence_transformers.multi_vector_encoder.losses import (
    MultiVectorMultipleNegativesRankingLoss as BuiltinMultiVectorLoss,
)
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import dot_score
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from selective_st.links import ConstantLink, ExponentialLink
from selective_st.losses import CachedSelectiveMultipleNegativesRankingLoss, SelectiveMultipleNegativesRankingLoss
from selective_st.multi_vector_encoder import losses as multi_vector
from tests import random_inputs
from tests.loss_cases import ALL_DIRECTIONS, SYMMETRIC, half_the_cosine
from tests.model_types import table_model

WORLDS = (2, 4)
ROWS, NEGATIVES, DIMENSION = 12, 2, 6
LONGEST_WAIT = 60  # seconds


@dataclass(frozen=True)
class Loss:
    """An in-batch loss with `gather_across_devices`.

    Attributes:
        make: The loss for a model and options.
        model_type: Of the model.
        vectors: How many vectors a text has.
        without: Names of the options that it does not have.
        builtin: The built-in loss that it is with `ConstantLink()`.
        dtypes: Of the embeddings.
    """

    make: Callable[..., nn.Module]
    model_type: str = "SentenceTransformer"
    vectors: int = 1
    without: tuple[str, ...] = ()
    builtin: Callable[..., nn.Module] | None = None
    dtypes: tuple[str, ...] = ("float64", "float32")


@dataclass(frozen=True)
class Options:
    """Options of a loss, and the batch for them.

    Attributes:
        arguments: Of the loss.
        negatives: How many columns of hard negatives.
        labels: None, "all" of a teacher's scores, or "some".
        repeats: Whether the same text occurs in several rows.
        weighted: Whether rows have weights.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    negatives: int = NEGATIVES
    labels: str | None = None
    repeats: bool = False
    weighted: bool = False


_OF_MATRICES = (
    "symmetric",
    "symmetric joint",
    "queries",
    "guide, queries, texts",
    "weights, teacher, all directions",
    "all directions",
    "all directions, texts",
    "dot products",
    "own similarity",
    "own similarity, all directions",
    "own similarity, teacher",
    "in-batch hardness",
    "hard negatives",
    "all negatives",
)
_MULTI_VECTOR: dict[str, Any] = {
    "model_type": "MultiVectorEncoder",
    "vectors": 3,
    "without": _OF_MATRICES,
    "dtypes": ("float32",),  # Sentence Transformers sums MaxSim in single precision, whatever the embeddings are
}

# A loss that gathers is one entry here.
LOSSES = {
    "in-batch": Loss(SelectiveMultipleNegativesRankingLoss, builtin=MultipleNegativesRankingLoss),
    "cached": Loss(
        partial(CachedSelectiveMultipleNegativesRankingLoss, mini_batch_size=2),
        builtin=partial(CachedMultipleNegativesRankingLoss, mini_batch_size=2),
    ),
    "multi-vector": Loss(
        multi_vector.SelectiveMultipleNegativesRankingLoss, builtin=BuiltinMultiVectorLoss, **_MULTI_VECTOR
    ),
    "multi-vector, cached": Loss(
        partial(multi_vector.CachedSelectiveMultipleNegativesRankingLoss, mini_batch_size=2),
        **_MULTI_VECTOR,
    ),
}
CONSTANT = "constant"
OPTIONS = {
    "default": Options(),
    CONSTANT: Options({"link": ConstantLink()}),
    "pairs": Options(negatives=0),
    "symmetric": Options(SYMMETRIC),
    "symmetric joint": Options({**SYMMETRIC, "partition_mode": "joint"}, negatives=0),
    "queries": Options({"directions": ("query_to_doc", "query_to_query")}),
    "all directions": Options({**ALL_DIRECTIONS, "link": ExponentialLink(2.0), "label_smoothing": 0.1}),
    "dot products": Options({"similarity_fct": dot_score, "scale": 1.0}),
    "own similarity": Options({"similarity_fct": half_the_cosine}),
    "own similarity, all directions": Options({**ALL_DIRECTIONS, "similarity_fct": half_the_cosine}),
    "own similarity, teacher": Options({"similarity_fct": half_the_cosine, "calibration": 0.5}, labels="some"),
    "in-batch hardness": Options({"hardness_mode": "in_batch_negatives", "hardness_strength": 3.0}),
    "hard negatives": Options({"hardness_mode": "hard_negatives", "hardness_strength": 3.0}),
    "all negatives": Options({"hardness_mode": "all_negatives", "hardness_strength": 3.0}),
    "smoothing": Options({"label_smoothing": 0.2}),
    "teacher": Options({"calibration": 0.5}, labels="all"),
    "teacher, some scores": Options({"calibration": 0.5, "calibration_link": ExponentialLink(3.0)}, labels="some"),
    "texts": Options({"mask_same_text": True}, repeats=True),
    "all directions, texts": Options({**ALL_DIRECTIONS, "mask_same_text": True}, repeats=True),
    "teacher, texts": Options({"mask_same_text": True}, labels="some", repeats=True),
    "weights": Options(weighted=True),
    "weights, teacher, all directions": Options({**ALL_DIRECTIONS, "calibration": 0.5}, labels="some", weighted=True),
    "guide": Options({"guide": True, "margin": 0.1, "scale": 5.0}),
    "guide, queries, texts": Options(
        {"guide": True, "directions": ("query_to_doc", "query_to_query"), "mask_same_text": True}, repeats=True
    ),
}
DTYPES = {"float64": torch.float64, "float32": torch.float32}
_SECOND_TOO = 3  # one option of so many is tried in the second type as well
CASES = [
    (loss, options, dtype)
    for loss, it in LOSSES.items()
    for place, options in enumerate(OPTIONS)
    if options not in it.without
    for dtype in it.dtypes[: 1 + (place % _SECOND_TOO == 0)]
]


@cache
def table(loss: str, dtype: str) -> Any:
    """A model with a row for each text."""
    shape = (ROWS * (2 + NEGATIVES), LOSSES[loss].vectors, DIMENSION)
    weight = torch.randn(shape, generator=random_inputs.generator(1), dtype=torch.float64)
    model = table_model(LOSSES[loss].model_type, nn.functional.normalize(weight, dim=-1).to(DTYPES[dtype]))
    model[0].register_forward_hook(_cut)
    return model


@cache
def guide(dtype: str) -> Any:
    """Another model with a row for each text."""
    weight = torch.randn(ROWS * (2 + NEGATIVES), 1, DIMENSION, generator=random_inputs.generator(7))
    return table_model("SentenceTransformer", weight.to(DTYPES[dtype]))


def _cut(_: nn.Module, arguments: tuple[dict[str, Tensor]], features: dict[str, Tensor]) -> dict[str, Tensor]:
    """As many vectors as there are tokens."""
    return {**features, "token_embeddings": features["token_embeddings"][:, : features["input_ids"].shape[1]]}


@cache
def in_ddp(model: Any, _world: int) -> DistributedDataParallel:
    """A model whose gradients are averaged over the processes of the group that there is."""
    return DistributedDataParallel(model)


def batch(loss: str, options: str, rows: slice) -> tuple[list[dict[str, Tensor]], Tensor | None]:
    """Some rows of the joined batch: the features of each column, and labels."""
    case, generator = OPTIONS[options], random_inputs.generator(2)
    columns = torch.arange(ROWS * (2 + case.negatives)).view(-1, ROWS)
    if case.repeats:
        columns[1:] = torch.randint(ROWS, 2 * ROWS, columns[1:].shape, generator=generator)
        columns[1:, -1] = columns[1:, 0]  # the same in the first process and the last
    features = []
    # Texts of different lengths, and every process pads as far as its own need: the last ones are longer for a model of
    # one vector a text, and shorter for a model of several.
    vectors = LOSSES[loss].vectors
    for texts in columns[:, rows]:
        lengths = (texts >= ROWS // 2).long() + 1 if vectors == 1 else vectors - (texts % ROWS >= ROWS // 2).long()
        longest = int(lengths.max())
        mask = (torch.arange(longest) < lengths[:, None]).long()
        features.append({"input_ids": texts[:, None].repeat(1, longest) * mask, "attention_mask": mask})
    if case.labels is None:
        return features, None
    labels = torch.rand(ROWS, 1 + case.negatives, generator=generator) * 0.5
    if case.labels == "some":
        labels[1::3, 1] = torch.nan
    return features, labels[rows]


def run(
    case: tuple[str, str, str], rows: slice, *, ddp: bool, gather: bool, builtin: bool = False
) -> tuple[Tensor, Tensor]:
    """The value of a loss for some rows and the gradient of the table, which DDP averages over the processes."""
    loss, options, dtype = case
    model = table(loss, dtype)
    model[0].weight.grad = None
    features, labels = batch(loss, options, rows)
    if labels is not None:
        labels = labels.to(DTYPES[dtype])
    arguments = {"gather_across_devices": gather, **OPTIONS[options].arguments}
    if builtin:
        arguments.pop("link")
    if "guide" in arguments:
        arguments["guide"] = guide(dtype)
    make = LOSSES[loss].builtin if builtin else LOSSES[loss].make
    assert make is not None
    module: Any = make(model, **arguments)
    if "guide" in arguments:
        module._guide._decoders = {}  # a table reads numbers, no texts
    if ddp:
        module.model = in_ddp(model, dist.get_world_size())  # as the trainer does
    if OPTIONS[options].weighted:
        weight = torch.rand(ROWS, generator=random_inputs.generator(3))
        weight[::4] = 0
        labels = {"weight": weight[rows], **({} if labels is None else {"label": labels})}
    value = module(features, labels)
    value.backward()
    return value.detach(), model[0].weight.grad


def rows_of(rank: int, world: int) -> slice:
    """The rows of a process."""
    return slice(rank * ROWS // world, (rank + 1) * ROWS // world)


@contextmanager
def group(rank: int, world: int, folder: str) -> Iterator[None]:
    """A process group."""
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous-{world}",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=LONGEST_WAIT),
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


class _Messages(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def warnings_of_the_first_batch(rank: int, world: int) -> list[str]:
    """What a process logs about two batches with the same text twice."""
    listener = _Messages()
    logger = logging.getLogger("selective_st")
    logger.addHandler(listener)
    loss = SelectiveMultipleNegativesRankingLoss(
        table("in-batch", "float64"), gather_across_devices=True, hardness_mode="hard_negatives"
    )
    for _ in range(2):
        # The last rows repeat others, in every process.
        features, labels = batch("in-batch", "default", rows_of(rank, world))
        for column in features[1:]:
            column["input_ids"][-1] = column["input_ids"][0]
        loss(features, labels)
    logger.removeHandler(listener)
    return listener.messages


def refusal(rank: int, world: int, what: str) -> str:
    """The error where the processes' batches differ."""
    options = "teacher" if what == "labels" else "default"
    features, labels = batch("in-batch", options, rows_of(rank, world))
    is_last = rank == world - 1
    if is_last and what == "rows":
        features = [{name: value[:-1] for name, value in column.items()} for column in features]
    if is_last and what == "columns":
        features = features[:-1]
    if is_last and what == "labels":
        labels = None
    loss = SelectiveMultipleNegativesRankingLoss(table("in-batch", "float64"), gather_across_devices=True)
    try:
        loss(features, labels)
    except ValueError as error:
        return str(error)
    return ""


@contextmanager
def counting(rank: int, received: dict[str, int]) -> Iterator[None]:
    """Count the bytes that a process receives from others, forward and backward; not those of DDP."""
    all_gather, scatter, all_reduce = dist.all_gather, dist.scatter, dist.all_reduce

    def counting_all_gather(into: list[Tensor], tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        received["forward"] += sum(part.nbytes for i, part in enumerate(into) if i != rank)
        return all_gather(into, tensor, *args, **kwargs)

    def counting_scatter(into: Tensor, parts: Any, source: int, *args: Any, **kwargs: Any) -> Any:
        received["backward"] += into.nbytes if source != rank else 0
        return scatter(into, parts, source, *args, **kwargs)

    def counting_all_reduce(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        received["forward"] += tensor.nbytes * (dist.get_world_size() - 1)
        return all_reduce(tensor, *args, **kwargs)

    with (
        mock.patch.object(dist, "all_gather", counting_all_gather),
        mock.patch.object(dist, "scatter", counting_scatter),
        mock.patch.object(dist, "all_reduce", counting_all_reduce),
    ):
        yield


def work(rank: int, world: int) -> dict[str, Any]:
    """What each process of a group does."""
    rows = rows_of(rank, world)
    before = torch.get_rng_state()
    found: dict[str, Any] = {"ddp": {}, "bytes": {}}
    for case in CASES:
        found["bytes"][case] = {"forward": 0, "backward": 0}
        with counting(rank, found["bytes"][case]):
            found["ddp"][case] = run(case, rows, ddp=True, gather=True)
    found["random numbers drawn"] = not torch.equal(before, torch.get_rng_state())
    plain = {loss: (loss, "default", it.dtypes[0]) for loss, it in LOSSES.items()}
    found["without ddp"] = {loss: run(case, rows, ddp=False, gather=True) for loss, case in plain.items()}
    found["not gathered"] = {loss: run(case, rows, ddp=True, gather=False) for loss, case in plain.items()}
    found["built-in"] = {
        loss: run((loss, CONSTANT, it.dtypes[0]), rows, ddp=True, gather=True, builtin=True)
        for loss, it in LOSSES.items()
        if it.builtin is not None
    }
    found["warnings"] = warnings_of_the_first_batch(rank, world)
    found["refusals"] = {what: refusal(rank, world, what) for what in ("rows", "columns", "labels")}
    return found


def process(rank: int, folder: str) -> None:
    """A process: in each group that it belongs to."""
    torch.set_num_threads(1)
    for world in WORLDS:
        if rank < world:
            with group(rank, world, folder):
                torch.save(work(rank, world), f"{folder}/{world}-{rank}.pt")
