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
import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import common
import torch
from common import MEGABYTE, TIMES, Echo, clear, from_embeddings, print_heading, progress
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses as built_in
from torch import Tensor, nn
from torch.nn.functional import normalize

from selective_st import losses
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Link, high_scores

DIMENSION = 384
PAIRS = (64, 256, 1024, 4096, 8192)
WITH_NEGATIVES, NEGATIVES = (64, 256, 1024, 4096), 3
SYMMETRIC = 4096
GRADED = (64, 512, 4096, 16384)
CACHED, MINI_BATCH = 2048, 64
LISTS, CANDIDATES = 256, 16
GROWTH = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
BUILT_IN_ALWAYS, FITTED_FROM = 8192, 1024
# From this many scores on, what a batch costs is what its score matrix costs.
LARGE = 4096**2
TABLE = Path(__file__).parent.parent / "docs" / "loss_cost.md"
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

    @property
    def kind(self) -> str:
        """What is said of it."""
        return f", {self.negatives} hard negatives" if self.negatives else ", symmetric" if self.symmetric else ""


def in_batch_cases(*names: str) -> list[Case]:
    """The losses by batch size, and the plain one with negatives and symmetric."""
    cases = [Case(name, size) for size in PAIRS for name in names]
    cases += [Case(CONSTANT, size, negatives=NEGATIVES) for size in WITH_NEGATIVES]
    return [*cases, Case(CONSTANT, SYMMETRIC, symmetric=True)]


class OwnLink(Link):
    """A link of which nothing but its values is known, so that its potential is integrated numerically."""

    def h(self, z: Tensor) -> Tensor:
        """Positive, and rising most at 0.7."""
        return 2.0 + torch.atan(10.0 * (z - 0.7))


@functools.cache
def links() -> dict[str, Link]:
    """The links that are timed."""
    return {CONSTANT: ConstantLink(), EXPONENTIAL: ExponentialLink(1.0).normalized(0.0, 1.0, of="value")}


def in_batch_step(case: Case) -> Callable[[], object]:
    """A step of an in-batch loss: from embeddings, or if cached from token ids with an optimiser's step."""
    torch.manual_seed(0)
    options: dict[str, Any] = {}
    if case.symmetric:
        options = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    if case.loss != BUILT_IN:
        options["link"] = links()[case.loss]
    if case.cached:
        return cached_step(case, options)
    ours = losses.SelectiveMultipleNegativesRankingLoss
    kind: Any = built_in.MultipleNegativesRankingLoss if case.loss == BUILT_IN else ours
    columns = [torch.randn(case.batch_size, DIMENSION) for _ in range(2 + case.negatives)]
    return from_embeddings(kind(Echo(), **options), columns)


def cached_step(case: Case, options: dict[str, Any]) -> Callable[[], object]:
    """A whole training step of a cached loss with a tiny transformer."""
    model = SentenceTransformer(modules=[common.TinyTransformer()], device="cpu").train()
    ours = losses.CachedSelectiveMultipleNegativesRankingLoss
    kind: Any = built_in.CachedMultipleNegativesRankingLoss if case.loss == BUILT_IN else ours
    loss = kind(model, mini_batch_size=MINI_BATCH, **options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    features = [common.texts_of(case.batch_size, 12, 6, 1000) for _ in range(2 + case.negatives)]

    def step() -> None:
        loss([dict(column) for column in features], cast(Any, None)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def three_products(case: Case) -> Callable[[], object]:
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


def linear_cross_entropy(case: Case) -> Callable[[], object]:
    """A step of torch's own fused form of the plain in-batch loss."""
    torch.manual_seed(0)
    columns = [torch.randn(case.batch_size, DIMENSION, requires_grad=True) for _ in range(2)]
    labels = torch.arange(case.batch_size)

    def step() -> None:
        clear(columns)
        queries, documents = (normalize(column, dim=1) for column in columns)
        cast(Any, torch.nn.functional).linear_cross_entropy(20.0 * queries, documents, labels).backward()

    return step


def time_in_batch(quick: bool) -> None:
    """Print the times of the in-batch losses, against the built-in loss, the floor and one another."""
    print_heading(f"In-batch, {DIMENSION} dimensions, from embeddings", TIMES)
    for case in in_batch_cases(CONSTANT):
        if quick and case.scores > 1024**2:
            continue
        kind = case.kind
        progress(f"timing in-batch{kind}, batch {case.batch_size}")
        steps = {name: in_batch_step(replace(case, loss=name)) for name in (BUILT_IN, CONSTANT, EXPONENTIAL)}
        steps[FLOOR] = three_products(case)
        if hasattr(torch.nn.functional, LINEAR) and not case.negatives and not case.symmetric:
            steps[LINEAR] = linear_cross_entropy(case)
        times = common.take_turns(steps, *((1.0, 5, 100) if quick else (20.0, 9, 500)))
        large = case.scores >= LARGE
        of_built_in, of_floor = (0.6, None) if case.symmetric else (0.5, 1.25) if large else (1.0, None)
        ratios = [(CONSTANT, BUILT_IN, of_built_in), (CONSTANT, FLOOR, of_floor)]
        if LINEAR in steps:
            ratios.append((CONSTANT, LINEAR, 1.0))
        # The smallest batches are all overhead, with no score matrix to speak of.
        ratios.append((EXPONENTIAL, CONSTANT, 1.15 if large and not case.symmetric else None))
        for ours, base, at_most in ratios:
            common.print_times(f"{ours} / {base}{kind}", case.batch_size, times[base], times[ours], at_most)


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
    return common.peak_memory(step)


@functools.cache
def extra_memory(case: Case, runs: int = 1) -> float:
    """The extra peak memory of one step in megabytes: the median over fresh processes."""
    asked = __file__, "--measure", json.dumps(asdict(case))
    return statistics.median(float(common.in_a_process(*asked)) for _ in range(runs))


def print_memory(name: str, batch_size: int, base: float, ours: float, at_most: float | None) -> None:
    """Print two sizes and their ratio."""
    ratio = ours / base if base else math.nan
    print(
        f"{name:44}  {batch_size:5}  {base:7.1f} MB  {ours:7.1f} MB  {ratio:5.3f}  {common.verdict(ratio, at_most)}",
        flush=True,
    )


def weigh_in_batch(quick: bool) -> None:
    """Print the peak extra memory of the in-batch losses against the built-in loss."""
    print_heading(f"In-batch, {DIMENSION} dimensions, from embeddings: peak extra memory", "ratio  to reach")
    for case in in_batch_cases(CONSTANT, EXPONENTIAL):
        if quick and case.batch_size != 1024:
            continue
        progress(f"weighing in-batch{case.kind}, batch {case.batch_size}")
        base, ours = extra_memory(replace(case, loss=BUILT_IN)), extra_memory(case)
        name = f"{case.loss} / {BUILT_IN}{case.kind}"
        print_memory(name, case.batch_size, base, ours, 0.1 if case.scores >= LARGE else None)


def compare_cached(quick: bool) -> None:
    """Print time and peak extra memory of whole steps of the cached losses."""
    size = 256 if quick else CACHED
    base, *ours = (Case(name, size, cached=True) for name in (BUILT_IN, CONSTANT, EXPONENTIAL))
    title = f"Cached, a training step of a random BERT of 2 layers, mini-batch {MINI_BATCH}"
    print_heading(title, TIMES)
    progress(f"timing cached, batch {size}")
    steps = {case.loss: in_batch_step(case) for case in (base, *ours)}
    common.compare(BUILT_IN, steps, size, (3.0, 3, 9) if quick else (60.0, 9, 15), 1.0)
    print_heading(f"{title}: peak extra memory", "ratio  to reach")
    runs = 1 if quick else 3
    for case in ours:
        progress(f"weighing cached, batch {size}, {case.loss}")
        print_memory(f"{case.loss} / {BUILT_IN}", size, extra_memory(base, runs), extra_memory(case, runs), 1.0)


def compare_lists(quick: bool) -> None:
    """Print the times of the pairwise and listwise losses."""
    print_heading(f"{CANDIDATES} candidates, {DIMENSION} dimensions, from embeddings", TIMES)
    torch.manual_seed(0)
    model: Any = Echo()
    margins, scores = torch.rand(LISTS, CANDIDATES - 1) - 0.5, torch.rand(LISTS, CANDIDATES)
    for kind, same, base, ours, labels in (
        ("pairwise", "identity", built_in.MarginMSELoss, losses.SelectivePairwiseLoss, margins),
        ("listwise", "constant", built_in.DistillKLDivLoss, losses.SelectiveListwiseLoss, scores),
    ):
        progress(f"timing {base.__name__}")
        links_of = {same: IdentityLink() if same == "identity" else ConstantLink(), EXPONENTIAL: links()[EXPONENTIAL]}
        made: dict[str, nn.Module] = {base.__name__: base(model)}
        made |= {f"{kind}, {name}": ours(model, link=link) for name, link in links_of.items()}
        made[f"{kind}, default link"] = ours(model)
        steps = {name: from_embeddings(loss, unit_columns(1 + CANDIDATES), labels) for name, loss in made.items()}
        common.compare(base.__name__, steps, LISTS, (1.0, 9, 30) if quick else (10.0, 9, 500), 1.0)


def unit_columns(count: int) -> list[Tensor]:
    """Embeddings of length 1."""
    return [normalize(torch.randn(LISTS, DIMENSION), dim=1) for _ in range(count)]


def compare_order(quick: bool) -> None:
    """Print the times of the order loss, from one column of cosines, so that the loss itself is measured."""
    print_heading("Graded pairs, from their scores", TIMES)
    torch.manual_seed(0)
    model: Any = Echo()
    first: Any = {"similarity_fct": lambda scores, _: scores[:, 0]}
    weights, order = high_scores(3.0), losses.SelectiveOrderLoss
    for size in GRADED[:2] if quick else GRADED:
        progress(f"timing CoSENTLoss, batch {size}")
        columns, labels = [2 * torch.rand(size, 1) - 1] * 2, torch.rand(size)
        made: dict[str, nn.Module] = {
            "CoSENTLoss": built_in.CoSENTLoss(model, **first),
            "order": order(model, **first),
            "order, weights": order(model, **first, weight_link=weights),
            "order, weights and link": order(model, **first, weight_link=weights, link=high_scores(2.0)),
        }
        steps = {name: from_embeddings(loss, columns, labels) for name, loss in made.items()}
        common.compare("CoSENTLoss", steps, size, (1.0, 9, 30) if quick else (5.0, 9, 500), 1.0)


def compare_own_link(quick: bool) -> None:
    """Print what a link of one's own costs against the default link."""
    print_heading(f"A link of one's own, {DIMENSION} dimensions, from embeddings", TIMES)
    torch.manual_seed(0)
    model: Any = Echo()
    for name, make, columns, labels in (
        ("in-batch", losses.SelectiveMultipleNegativesRankingLoss, unit_columns(2), None),
        ("listwise", losses.SelectiveListwiseLoss, unit_columns(1 + CANDIDATES), torch.rand(LISTS, CANDIDATES)),
    ):
        progress(f"timing an own link, {name}")
        kinds = {"default": None, "own": OwnLink()}
        steps = {kind: from_embeddings(make(model, link=link), columns, labels) for kind, link in kinds.items()}
        title = f"{name}: own link / default link"
        common.compare("default", steps, LISTS, (1.0, 9, 30) if quick else (10.0, 9, 500), None, title)


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
        times = common.take_turns(
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

{common.machine()}.
"""
        )
        progress(f"wrote {TABLE.relative_to(Path(__file__).parent.parent)}")


PARTS: dict[str, Callable[..., None]] = {
    "in-batch": time_in_batch,
    "memory": weigh_in_batch,
    "cached": compare_cached,
    "lists": compare_lists,
    "order": compare_order,
    "own-link": compare_own_link,
    "growth": report_growth,
}


def main() -> None:
    """Print the tables asked for."""
    parser = common.parser_of(__doc__, quick="few sizes and rounds, to try the command")
    parser.add_argument("--only", default=",".join(PARTS), help=f"which tables, of {','.join(PARTS)}")
    parser.add_argument("--write", action="store_true", help="write the table of growth to docs/loss_cost.md")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = common.options(parser)
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
    print(common.machine())
    started = time.perf_counter()
    for part in (part for part in PARTS if part in only):
        if part == "growth":
            report_growth(arguments.quick, arguments.write)
        else:
            PARTS[part](arguments.quick)
    progress(f"took {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
