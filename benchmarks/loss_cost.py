"""What the losses on pairs, lists and batches cost, against the built-in losses that they generalise.

Each figure compares two things that take turns on the same embeddings, forward and backward, so that a drift of the
machine's speed hits both: "median of ratios" is the median over the turns, and "ratio of fastest" comes closest to a
machine that does nothing else. The floor of an in-batch loss are the three matrix products that it cannot do without:
the scores, and the gradients of queries and documents. Memory is the peak resident size during forward and backward
less that just before, gradients included, in a process of its own for each figure; the workspace that the library for
matrix products keeps to itself is not counted. Run it with

    make bench-losses

and rewrite the table of docs/loss_cost.md with `python benchmarks/loss_cost.py --only growth --write`.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from common import (
    MEGABYTE,
    THREADS,
    TIMES,
    Echo,
    TinyTransformer,
    in_a_process,
    machine,
    peak_memory,
    print_heading,
    print_times,
    progress,
    take_turns,
    verdict,
)
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    CoSENTLoss,
    DistillKLDivLoss,
    MarginMSELoss,
    MultipleNegativesRankingLoss,
)
from torch import Tensor, nn
from torch.nn.functional import normalize

from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Link, high_scores
from selective_st.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
)

DIMENSION = 384
PAIRS = (64, 256, 1024, 4096, 8192)
WITH_NEGATIVES = (64, 256, 1024, 4096)
NEGATIVES = 3
SYMMETRIC = 4096
GRADED = (64, 512, 4096, 16384)
CACHED = 2048
MINI_BATCH = 64
LISTS = 256
CANDIDATES = 16
GROWTH = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
BUILT_IN_ALWAYS = 8192
FITTED_FROM = 1024
# From this many scores on, what a batch costs is what its score matrix costs.
LARGE = 4096**2
TABLE = Path(__file__).parent.parent / "docs" / "loss_cost.md"
PARTS = ("in-batch", "memory", "cached", "lists", "order", "own-link", "growth")
BUILT_IN, CONSTANT, EXPONENTIAL, FLOOR = "built-in", "constant", "exponential", "three products"
LINEAR = "linear_cross_entropy"  # of torch 2.13 and later: the plain in-batch loss


@dataclass(frozen=True)
class Case:
    """A step of an in-batch loss: which loss, on how much."""

    loss: str
    batch_size: int
    negatives: int = 0
    symmetric: bool = False
    cached: bool = False

    @property
    def scores(self) -> int:
        """The entries of the score matrix."""
        return self.batch_size**2 * (1 + self.negatives)


class OwnLink(Link):
    """A link of which nothing but its values is known, so that its potential is integrated numerically."""

    def h(self, z: Tensor) -> Tensor:
        """Positive, and rising most at 0.7."""
        return 2.0 + torch.atan(10.0 * (z - 0.7))


@functools.cache
def links() -> dict[str, Link]:
    """The links that are timed."""
    return {CONSTANT: ConstantLink(), EXPONENTIAL: ExponentialLink(1.0).normalized(0.0, 1.0, of="value")}


def from_embeddings(loss: nn.Module, columns: list[Tensor], labels: Tensor | None = None) -> Callable[[], None]:
    """A step that goes from the embeddings to their gradients."""
    for column in columns:
        column.requires_grad_()

    def step() -> None:
        for column in columns:
            column.grad = None
        cast(Any, loss).compute_loss_from_embeddings(columns, labels).backward()

    return step


def in_batch_step(case: Case) -> Callable[[], None]:
    """A step of an in-batch loss: from embeddings, or if cached from token ids with an optimiser's step."""
    torch.manual_seed(0)
    options: dict[str, Any] = {}
    if case.symmetric:
        options = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    if case.loss != BUILT_IN:
        options["link"] = links()[case.loss]
    if case.cached:
        return cached_step(case, options)
    kind = MultipleNegativesRankingLoss if case.loss == BUILT_IN else SelectiveMultipleNegativesRankingLoss
    columns = [torch.randn(case.batch_size, DIMENSION) for _ in range(2 + case.negatives)]
    return from_embeddings(kind(cast(Any, Echo()), **options), columns)


def cached_step(case: Case, options: dict[str, Any]) -> Callable[[], None]:
    """A whole training step of a cached loss with a tiny transformer."""
    model = SentenceTransformer(modules=[TinyTransformer()], device="cpu").train()
    kind = CachedMultipleNegativesRankingLoss if case.loss == BUILT_IN else CachedSelectiveMultipleNegativesRankingLoss
    loss = kind(model, mini_batch_size=MINI_BATCH, **options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    features: list[dict[str, Tensor]] = []
    for _ in range(2 + case.negatives):
        lengths = torch.randint(6, 13, (case.batch_size, 1))
        mask = (torch.arange(12) < lengths).long()
        features.append({"input_ids": torch.randint(1, 1000, mask.shape) * mask, "attention_mask": mask})

    def step() -> None:
        loss([dict(column) for column in features], cast(Any, None)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def three_products(case: Case) -> Callable[[], None]:
    """The three matrix products without which there is no loss and gradient, into memory that is there."""
    torch.manual_seed(0)
    documents = torch.randn(case.batch_size * (1 + case.negatives), DIMENSION)
    queries = torch.randn(case.batch_size, DIMENSION)
    probabilities = torch.rand(case.batch_size, len(documents))
    scores = torch.zeros_like(probabilities)
    of_queries, of_documents = torch.zeros_like(queries), torch.zeros_like(documents)

    def step() -> None:
        torch.mm(queries, documents.T, out=scores)
        torch.mm(probabilities, documents, out=of_queries)
        torch.mm(probabilities.T, queries, out=of_documents)

    return step


def linear_cross_entropy(case: Case) -> Callable[[], None]:
    """A step of torch's own fused form of the plain in-batch loss."""
    torch.manual_seed(0)
    columns = [torch.randn(case.batch_size, DIMENSION, requires_grad=True) for _ in range(2)]
    labels = torch.arange(case.batch_size)

    def step() -> None:
        for column in columns:
            column.grad = None
        queries, documents = (normalize(column, dim=1) for column in columns)
        cast(Any, torch.nn.functional).linear_cross_entropy(20.0 * queries, documents, labels).backward()

    return step


def time_in_batch(quick: bool) -> None:
    """Print the times of the in-batch losses, against the built-in loss, the floor and one another."""
    print_heading(f"In-batch, {DIMENSION} dimensions, from embeddings", TIMES)
    cases = [Case(CONSTANT, size) for size in PAIRS]
    cases += [Case(CONSTANT, size, negatives=NEGATIVES) for size in WITH_NEGATIVES]
    cases.append(Case(CONSTANT, SYMMETRIC, symmetric=True))
    for case in cases:
        if quick and case.scores > 1024**2:
            continue
        kind = f", {case.negatives} hard negatives" if case.negatives else ", symmetric" if case.symmetric else ""
        progress(f"timing in-batch{kind}, batch {case.batch_size}")
        steps = {name: in_batch_step(replace(case, loss=name)) for name in (BUILT_IN, CONSTANT, EXPONENTIAL)}
        steps[FLOOR] = three_products(case)
        if hasattr(torch.nn.functional, LINEAR) and not case.negatives and not case.symmetric:
            steps[LINEAR] = linear_cross_entropy(case)
        times = take_turns(steps, *((1.0, 5, 100) if quick else (20.0, 9, 500)))
        large = case.scores >= LARGE
        to_reach = (0.6, None) if case.symmetric else (0.5, 1.25) if large else (1.0, None)
        for base, at_most in zip((BUILT_IN, FLOOR), to_reach, strict=True):
            print_times(f"{CONSTANT} / {base}{kind}", case.batch_size, times[base], times[CONSTANT], at_most)
        if LINEAR in steps:
            print_times(f"{CONSTANT} / {LINEAR}", case.batch_size, times[LINEAR], times[CONSTANT], 1.0)
        # The smallest batches are all overhead, with no score matrix to speak of.
        at_most = 1.15 if large and not case.symmetric else None
        print_times(f"{EXPONENTIAL} / {CONSTANT}{kind}", case.batch_size, times[CONSTANT], times[EXPONENTIAL], at_most)


def warm_up_products(case: Case) -> None:
    """Multiply matrices of the sizes to come: the workspace that the library keeps for this is neither loss's."""
    queries = torch.zeros(case.batch_size, DIMENSION)
    documents = torch.zeros(case.batch_size * (1 + case.negatives), DIMENSION)
    for rows in (queries, queries[:512], queries[:256]):
        scores = rows @ documents.mT
        _ = scores @ documents, scores.mT @ rows


def measure(case: Case) -> float:
    """The extra peak memory of one step in this process, which must have done nothing else."""
    in_batch_step(replace(case, batch_size=8))()
    step = in_batch_step(case)
    warm_up_products(case)
    return peak_memory(step)


@functools.cache
def extra_memory(case: Case, runs: int = 1) -> float:
    """The extra peak memory of one step in megabytes: the median over fresh processes."""
    asked = __file__, "--measure", json.dumps(asdict(case))
    return statistics.median(float(in_a_process(*asked)) for _ in range(runs))


def print_memory(name: str, batch_size: int, base: float, ours: float, at_most: float | None) -> None:
    """Print two sizes and their ratio."""
    ratio = ours / base if base else math.nan
    print(
        f"{name:44}  {batch_size:5}  {base:7.1f} MB  {ours:7.1f} MB  {ratio:5.3f}  {verdict(ratio, at_most)}",
        flush=True,
    )


def weigh_in_batch(quick: bool) -> None:
    """Print the peak extra memory of the in-batch losses against the built-in loss."""
    print_heading(f"In-batch, {DIMENSION} dimensions, from embeddings: peak extra memory", "ratio  to reach")
    cases = [Case(name, size) for size in PAIRS for name in (CONSTANT, EXPONENTIAL)]
    cases += [Case(CONSTANT, size, negatives=NEGATIVES) for size in WITH_NEGATIVES]
    cases.append(Case(CONSTANT, SYMMETRIC, symmetric=True))
    for case in cases:
        if quick and case.batch_size != 1024:
            continue
        kind = f", {case.negatives} hard negatives" if case.negatives else ", symmetric" if case.symmetric else ""
        progress(f"weighing in-batch{kind}, batch {case.batch_size}")
        base, ours = extra_memory(replace(case, loss=BUILT_IN)), extra_memory(case)
        name = f"{case.loss} / {BUILT_IN}{kind}"
        print_memory(name, case.batch_size, base, ours, 0.1 if case.scores >= LARGE else None)


def compare_cached(quick: bool) -> None:
    """Print time and peak extra memory of whole steps of the cached losses."""
    size = 256 if quick else CACHED
    base, *ours = (Case(name, size, cached=True) for name in (BUILT_IN, CONSTANT, EXPONENTIAL))
    title = f"Cached, a training step of a random BERT of 2 layers, mini-batch {MINI_BATCH}"
    print_heading(title, TIMES)
    progress(f"timing cached, batch {size}")
    steps = {case.loss: in_batch_step(case) for case in (base, *ours)}
    times = take_turns(steps, *((3.0, 3, 9) if quick else (60.0, 9, 15)))
    for case in ours:
        print_times(f"{case.loss} / {BUILT_IN}", size, times[BUILT_IN], times[case.loss], 1.0)
    print_heading(f"{title}: peak extra memory", "ratio  to reach")
    runs = 1 if quick else 3
    for case in ours:
        progress(f"weighing cached, batch {size}, {case.loss}")
        print_memory(f"{case.loss} / {BUILT_IN}", size, extra_memory(base, runs), extra_memory(case, runs), 1.0)


def compare_lists(quick: bool) -> None:
    """Print the times of the pairwise and listwise losses."""
    print_heading(f"{CANDIDATES} candidates, {DIMENSION} dimensions, from embeddings", TIMES)
    torch.manual_seed(0)
    model = cast(Any, Echo())
    margins, scores = torch.rand(LISTS, CANDIDATES - 1) - 0.5, torch.rand(LISTS, CANDIDATES)
    exponential = links()[EXPONENTIAL]
    comparisons: list[tuple[str, nn.Module, dict[str, nn.Module], Tensor]] = [
        (
            "MarginMSELoss",
            MarginMSELoss(model),
            {
                "pairwise, identity": SelectivePairwiseLoss(model, link=IdentityLink()),
                "pairwise, exponential": SelectivePairwiseLoss(model, link=exponential),
                "pairwise, default link": SelectivePairwiseLoss(model),
            },
            margins,
        ),
        (
            "DistillKLDivLoss",
            DistillKLDivLoss(model),
            {
                "listwise, constant": SelectiveListwiseLoss(model, link=ConstantLink()),
                "listwise, exponential": SelectiveListwiseLoss(model, link=exponential),
                "listwise, default link": SelectiveListwiseLoss(model),
            },
            scores,
        ),
    ]
    for name, built_in, ours, labels in comparisons:
        progress(f"timing {name}")
        steps = {}
        for key, loss in {name: built_in, **ours}.items():
            columns = [normalize(torch.randn(LISTS, DIMENSION), dim=1) for _ in range(1 + CANDIDATES)]
            steps[key] = from_embeddings(loss, columns, labels)
        times = take_turns(steps, *((1.0, 9, 30) if quick else (10.0, 9, 500)))
        for key in ours:
            print_times(f"{key} / {name}", LISTS, times[name], times[key], 1.0)


def compare_order(quick: bool) -> None:
    """Print the times of the order loss, from one column of cosines, so that the loss itself is measured."""
    print_heading("Graded pairs, from their scores", TIMES)
    torch.manual_seed(0)
    model = cast(Any, Echo())
    first = {"similarity_fct": lambda scores, _: scores[:, 0]}
    weights = high_scores(3.0)
    ours = {
        "order": SelectiveOrderLoss(model, **first),
        "order, weights": SelectiveOrderLoss(model, **first, weight_link=weights),
        "order, weights and link": SelectiveOrderLoss(model, **first, weight_link=weights, link=high_scores(2.0)),
    }
    for size in GRADED[:2] if quick else GRADED:
        progress(f"timing CoSENTLoss, batch {size}")
        columns, labels = [2 * torch.rand(size, 1) - 1] * 2, torch.rand(size)
        losses = {"CoSENTLoss": CoSENTLoss(model, **first), **ours}
        steps = {name: from_embeddings(loss, columns, labels) for name, loss in losses.items()}
        times = take_turns(steps, *((1.0, 9, 30) if quick else (5.0, 9, 500)))
        for name in ours:
            print_times(f"{name} / CoSENTLoss", size, times["CoSENTLoss"], times[name], 1.0)


def compare_own_link(quick: bool) -> None:
    """Print what a link of one's own costs against the default link."""
    print_heading(f"A link of one's own, {DIMENSION} dimensions, from embeddings", TIMES)
    torch.manual_seed(0)
    model = cast(Any, Echo())
    in_batch = [normalize(torch.randn(LISTS, DIMENSION), dim=1) for _ in range(2)]
    lists = [normalize(torch.randn(LISTS, DIMENSION), dim=1) for _ in range(1 + CANDIDATES)]
    scores = torch.rand(LISTS, CANDIDATES)
    for name, make, columns, labels in (
        ("in-batch", SelectiveMultipleNegativesRankingLoss, in_batch, None),
        ("listwise", SelectiveListwiseLoss, lists, scores),
    ):
        progress(f"timing an own link, {name}")
        default, own = (from_embeddings(make(model, link=link), columns, labels) for link in (None, OwnLink()))
        times = take_turns({"default": default, "own": own}, *((1.0, 9, 30) if quick else (10.0, 9, 500)))
        print_times(f"{name}: own link / default link", LISTS, times["default"], times["own"], None)


def available_megabytes() -> float:
    """What memory the machine has left."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1024


def exponent(sizes: Iterable[int], values: Iterable[float]) -> float:
    """The least-squares slope of log value on log size."""
    pairs = [(math.log(size), math.log(max(value, 1e-9))) for size, value in zip(sizes, values, strict=True)]
    return float(statistics.linear_regression(*zip(*pairs, strict=True)).slope)


def growth_table(quick: bool) -> str:
    """A table, in Markdown, of time and memory against the batch size."""
    sizes = (64, 512, 1024, 2048) if quick else GROWTH
    found: dict[str, dict[int, tuple[float, float]]] = {BUILT_IN: {}, CONSTANT: {}}
    for size in sizes:
        names = [BUILT_IN, CONSTANT]
        if size > BUILT_IN_ALWAYS and 6 * 4 * size**2 / MEGABYTE > 0.8 * available_megabytes():
            progress(f"the built-in loss would not fit into memory at batch {size}")
            names.remove(BUILT_IN)
        progress(f"growth, batch {size}")
        times = take_turns(
            {name: in_batch_step(Case(name, size)) for name in names}, *((1, 3, 99) if quick else (8, 5, 500))
        )
        for name in names:
            found[name][size] = (1e3 * statistics.median(times[name]), extra_memory(Case(name, size)))
    lines = [
        "| batch | built-in, ms | selective, ms | ratio | built-in, MB | selective, MB | ratio |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for size in sizes:
        base, ours = found[BUILT_IN].get(size), found[CONSTANT][size]
        cells = []
        for i, digits in enumerate((2, 1)):
            # Below a megabyte, memory is what the allocator happens to have at hand.
            ratio = f"{ours[i] / base[i]:.3f}" if base and base[i] >= 1 else ""
            cells += [f"{base[i]:.{digits}f}" if base else "", f"{ours[i]:.{digits}f}", ratio]
        lines.append(f"| {size} | {' | '.join(cells)} |")
    cells = []
    for i in range(2):
        for name in (BUILT_IN, CONSTANT):
            fitted = {size: figures[i] for size, figures in found[name].items() if size >= FITTED_FROM}
            cells.append(f"{exponent(fitted.keys(), fitted.values()):.2f}")
        cells.append("")
    lines.append(f"| exponent | {' | '.join(cells)} |")
    return "\n".join(lines)


def report_growth(quick: bool, write: bool) -> None:
    """Print the table of growth, and write it if asked to."""
    table = growth_table(quick)
    print(f"\nGrowth with the batch size, {DIMENSION} dimensions, from embeddings\n\n{table}", flush=True)
    if write:
        TABLE.write_text(
            f"""# What the in-batch loss costs as the batch grows

Made by `python benchmarks/loss_cost.py --only growth --write`; run it again rather than editing this page.

Time of forward and backward (median) and peak extra memory of `MultipleNegativesRankingLoss` and of
`SelectiveMultipleNegativesRankingLoss(model, link=ConstantLink())`, which has the same value and gradient: from
embeddings of {DIMENSION} dimensions in float32 to their gradients, which count as extra memory of both. The exponent is
that of the batch size, fitted by least squares to the logarithms from batch {FITTED_FROM} on.

{table}

{machine()}.
"""
        )
        progress(f"wrote {TABLE.relative_to(Path(__file__).parent.parent)}")


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few sizes and rounds, to try the command")
    parser.add_argument("--only", default=",".join(PARTS), help=f"which tables, of {','.join(PARTS)}")
    parser.add_argument("--write", action="store_true", help="write the table of growth to docs/loss_cost.md")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(THREADS)
    if arguments.measure:
        print(measure(Case(**json.loads(arguments.measure))))
        return
    only = arguments.only.split(",")
    if unknown := set(only) - set(PARTS):
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    if arguments.write and "growth" not in only:
        parser.error("--write writes the table of growth: leave --only away, or add growth to it")
    if arguments.write and arguments.quick:
        parser.error("--write needs all sizes: leave --quick away")
    print(machine())
    started = time.perf_counter()
    for part in PARTS:
        if part not in only:
            continue
        if part == "growth":
            report_growth(arguments.quick, arguments.write)
        else:
            {
                "in-batch": time_in_batch,
                "memory": weigh_in_batch,
                "cached": compare_cached,
                "lists": compare_lists,
                "order": compare_order,
                "own-link": compare_own_link,
            }[part](arguments.quick)
    progress(f"took {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
