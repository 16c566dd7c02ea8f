"""Every loss on a GPU: right, and at which cost in time and memory beside the built-in losses.

`make gpu` prints the tables, and writes docs/gpu.md and docs/gpu.json; where no CUDA device is at hand it exits with 2.
Each figure is the median over runs that take turns, from embeddings to their gradients; memory is what the allocator's
peak rises by, gradients included. `--quick` has few sizes and rounds.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, cast

import torch
from common import Echo, TinyTransformer, clear, from_embeddings, machine, options, parser_of, progress, take_turns
from loss_cost import links
from sentence_transformers.sentence_transformer import losses as built_in
from torch import Tensor
from torch.nn.functional import normalize

from selective_st import losses
from selective_st.links import ConstantLink, Link, SigmoidLink, high_scores

PAGE = Path(__file__).parent.parent / "docs" / "gpu.md"
SECONDS = 420
DIMENSIONS, SIZES = (384, 1024), (4096, 16384, 32768, 65536)
PRECISIONS = ("bf16", "tf32", "fp32")
LONG = 20.0  # milliseconds, beyond which a step is timed in fewer rounds
LAYERS, STEP_ROWS, TOKENS = 6, 64, 32  # of the encoder's step: columns of texts of so many tokens
CANDIDATES = 16
SCALE = 20.0
Step = Callable[[], Any]
DEVICE = "cuda"
NO_DEVICE = "no CUDA device is at hand: make gpu needs one, and a torch that is built for it."


def autocast(precision: str) -> Any:
    """The context of a trainer with this precision."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast("cuda", low or torch.bfloat16, enabled=low is not None)


def columns_of(count: int, rows: int, dimension: int, device: str) -> list[Tensor]:
    """Embeddings near one another, the same on every device."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(rows, dimension, generator=generator)
    others = [first + torch.randn(rows, dimension, generator=generator) for _ in range(count - 1)]
    return [normalize(column, dim=1).to(device).requires_grad_() for column in (first, *others)]


def step_of(loss: Any, columns: list[Tensor], labels: Tensor | None, precision: str) -> Step:
    """Forward and backward from embeddings, as a trainer does."""
    return from_embeddings(loss, columns, labels, partial(autocast, precision))


def on_device(step: Step) -> float:
    """How many milliseconds of the device a step takes."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    step()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end))


def milliseconds(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """The median time of steps that take turns; fewer turns where they are long."""
    times = take_turns(steps, 1e-3 * LONG * rounds * len(steps), min(3, rounds), rounds, on_device)
    return {name: statistics.median(took) for name, took in times.items()}


def megabytes(step: Step, columns: list[Tensor]) -> float:
    """The extra memory of a step, the gradients of the columns included."""
    step()
    clear(columns)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def all_losses() -> dict[str, tuple[Any, int, str]]:
    """Each loss with each link: the loss, its columns, and its labels."""
    model = cast(Any, Echo())
    all_links: dict[str, Link] = {**links(), "sigmoid": SigmoidLink(20.0, 0.6), "high_scores": high_scores()}
    made: dict[str, tuple[Any, int, str]] = {}
    for name, link in all_links.items():
        in_batch = partial(losses.SelectiveMultipleNegativesRankingLoss, model, link=link)
        both: Any = ("query_to_doc", "doc_to_query")
        kinds = {
            "pointwise": (losses.SelectivePointwiseLoss(model, link), 2, "row"),
            "pairwise": (losses.SelectivePairwiseLoss(model, link=link), 3, "row"),
            "listwise": (losses.SelectiveListwiseLoss(model, link=link), 1 + CANDIDATES, "list"),
            "in-batch": (in_batch(), 2, ""),
            "in-batch, negatives": (in_batch(), 4, ""),
            "symmetric": (in_batch(directions=both, partition_mode="per_direction"), 2, ""),
            "teacher": (in_batch(), 4, "list"),
        }
        if isinstance(link, ConstantLink):  # by which single scores cannot be told apart
            del kinds["pointwise"], kinds["pairwise"]
            kinds["order"] = (losses.SelectiveOrderLoss(model), 2, "row")
        made |= {f"{kind}, {name}": found for kind, found in kinds.items()}
    return made


def labels_of(kind: str, columns: int, rows: int, device: str, dtype: torch.dtype = torch.float32) -> Tensor | None:
    """Labels of a loss."""
    if not kind:
        return None
    shape = (rows,) if kind == "row" else (rows, columns - 1)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)).to(device, dtype)


def error(found: list[Tensor], right: list[Tensor]) -> float:
    """How far gradients are off, relative to their size."""
    away = sum(float((a.cpu().double() - b).square().sum()) for a, b in zip(found, right, strict=True))
    return (away / sum(float(b.square().sum()) for b in right)) ** 0.5


def with_scaler(loss: Any, columns: list[Tensor], labels: Tensor | None) -> list[Tensor]:
    """The gradients in fp16 with a GradScaler, unscaled."""
    scaler = torch.amp.GradScaler("cuda")
    optimizer = torch.optim.SGD(columns, lr=0.0)
    with autocast("fp16"):
        value = loss.compute_loss_from_embeddings(columns, labels)
    scaler.scale(value).backward()
    scaler.unscale_(optimizer)
    return [cast(Tensor, column.grad) for column in columns]


def accuracy(rows: int = 300, dimension: int = 384) -> list[dict[str, Any]]:
    """Errors of each loss and link against float64 on the CPU: value's in fp32, the gradients' in each precision."""
    table = []
    for name, (loss, count, kind) in all_losses().items():
        exact = [column.detach().double().requires_grad_() for column in columns_of(count, rows, dimension, "cpu")]
        right = loss.compute_loss_from_embeddings(exact, labels_of(kind, count, rows, "cpu", torch.float64))
        right.backward()
        gradients = [cast(Tensor, column.grad) for column in exact]
        row: dict[str, Any] = {"loss": name}
        for precision in ("fp32", "bf16", "fp16"):
            columns = columns_of(count, rows, dimension, "cuda")
            labels = labels_of(kind, count, rows, "cuda")
            if precision == "fp16":
                found = with_scaler(loss, columns, labels)
            else:
                value = step_of(loss, columns, labels, precision)()
                found = [cast(Tensor, column.grad) for column in columns]
            if precision == "fp32":
                row["value, fp32"] = float(abs(value.cpu().double() - right.detach()) / right.detach().abs())
            row[precision] = error(found, gradients)
        table.append(row)
    return table


def products(columns: list[Tensor], precision: str) -> Step:
    """The three products that no in-batch loss can do without, in blocks, with operands of the precision."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    queries, documents = (column.detach().to(dtype) for column in columns)
    rows = max(2**26 // len(documents), 1)
    weights = torch.rand(min(rows, len(queries)), len(documents), device=DEVICE).to(dtype)

    def step() -> None:
        with autocast("tf32" if precision == "tf32" else "fp32"):
            for part in queries.split(rows):
                _ = part @ documents.T, weights[: len(part)] @ documents, weights[: len(part)].T @ part

    return step


def others(columns: list[Tensor], precision: str) -> dict[str, Step]:
    """The plain in-batch loss of other libraries, as far as they are installed."""
    own = torch.arange(len(columns[0]), device=DEVICE)

    def step(function: Callable[[Tensor, Tensor], Tensor]) -> Step:
        def run() -> None:
            clear(columns)
            with autocast(precision):
                low = torch.bfloat16 if precision == "bf16" else torch.float32
                function(*(normalize(column, dim=1).to(low) for column in columns)).backward()

        return run

    found: dict[str, Step] = {}
    if hasattr(torch.nn.functional, "linear_cross_entropy"):
        fused = torch.nn.functional.linear_cross_entropy
        options = torch.nn.LinearCrossEntropyOptions()
        found["linear_cross_entropy"] = step(lambda q, d: fused(SCALE * q, d, own, options=options))
    if find_spec("inf_cl"):
        from inf_cl import cal_inf_loss  # type: ignore[import-not-found]

        found["inf_cl"] = step(lambda q, d: cal_inf_loss(q, d, scale=torch.tensor(SCALE, device=DEVICE)))
    return found


def in_batch(sizes: tuple[int, ...], rounds: int, deadline: float) -> list[dict[str, Any]]:
    """Time and memory of the in-batch losses beside the built-in one, the products and other libraries."""
    torch._dynamo.config.recompile_limit = 64  # for losses of every link, precision and size in one process
    table, model = [], cast(Any, Echo())
    for precision, size, dimension in product(PRECISIONS, sizes, DIMENSIONS):
        if time.monotonic() > deadline:
            progress("no time is left for the other sizes and precisions")
            return table
        columns = columns_of(2, size, dimension, "cuda")
        ours = losses.SelectiveMultipleNegativesRankingLoss
        kinds: dict[str, Any] = {name: ours(model, link=link) for name, link in links().items()}
        kinds["built-in"] = built_in.MultipleNegativesRankingLoss(model)
        steps = {name: step_of(loss, columns, None, precision) for name, loss in kinds.items()}
        steps |= {"three products": products(columns, precision), **others(columns, precision)}
        row: dict[str, Any] = {"precision": precision, "batch": size, "dim": dimension}
        for name, step in list(steps.items()):
            try:
                row[f"{name}, MB"] = megabytes(step, columns)
            except (torch.OutOfMemoryError, RuntimeError, TypeError) as problem:
                progress(f"{name}, {precision}, {size}: {problem!s:.80}")
                del steps[name]
        row |= {f"{name}, ms": took for name, took in milliseconds(steps, rounds).items()}
        progress(str(row))
        table.append(row)
    return table


def small(rounds: int) -> list[dict[str, Any]]:
    """One pass of the losses on pairs and lists beside the built-in ones."""
    model, table = cast(Any, Echo()), []
    counterparts: dict[str, Any] = {
        "pointwise, exponential": built_in.CosineSimilarityLoss(model),
        "order, constant": built_in.CoSENTLoss(model),
        "pairwise, exponential": built_in.MarginMSELoss(model),
        "listwise, exponential": built_in.DistillKLDivLoss(model),
    }
    for name, (loss, count, kind) in all_losses().items():
        for rows in (64, 512) if name in counterparts else ():
            columns, labels = columns_of(count, rows, 384, "cuda"), labels_of(kind, count, rows, "cuda")
            both = {"selective": loss, "built-in": counterparts[name]}
            steps = {key: step_of(each, columns, labels, "bf16") for key, each in both.items()}
            took = milliseconds(steps, 4 * rounds)
            table.append({"loss": name, "batch": rows, **{f"{key}, ms": value for key, value in took.items()}})
    return table


def encoder(rounds: int) -> list[dict[str, Any]]:
    """A training step of an encoder, of random weights: forward, loss, backward, AdamW, in bf16."""
    sizes = {"hidden_size": 384, "num_hidden_layers": LAYERS, "intermediate_size": 1536, "vocab_size": 30522}
    model = TinyTransformer(heads=12, **sizes)
    model.to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5, fused=True)
    generator = torch.Generator().manual_seed(0)
    texts = torch.randint(1000, 30000, (2, STEP_ROWS, TOKENS), generator=generator).to(DEVICE)
    features = [{"input_ids": column, "attention_mask": torch.ones_like(column)} for column in texts]
    scores = torch.rand(STEP_ROWS, generator=generator)

    def step_with(loss: Any) -> Step:
        def step() -> None:
            optimizer.zero_grad()
            with autocast("bf16"):
                value = loss(features, scores.to(DEVICE, non_blocking=True))
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        return step

    kinds = {
        "CosineSimilarityLoss": built_in.CosineSimilarityLoss(cast(Any, model)),
        "SelectivePointwiseLoss(high_scores())": losses.SelectivePointwiseLoss(cast(Any, model), high_scores()),
        "CoSENTLoss": built_in.CoSENTLoss(cast(Any, model)),
        "SelectiveOrderLoss": losses.SelectiveOrderLoss(cast(Any, model), weight_link=high_scores()),
    }
    took = milliseconds({name: step_with(loss) for name, loss in kinds.items()}, 4 * rounds)
    return [{"loss": name, "step, ms": value} for name, value in took.items()]


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[row.get(name, "") for name in names] for row in rows]
    lines = [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in line] for line in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in (names, ["---"] * len(names), *lines))


def main() -> int:
    """Print and write the tables; the exit status."""
    parser = parser_of(__doc__, quick="few sizes and rounds, to try the command")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which no more rows are begun")
    arguments = options(parser)
    if not torch.cuda.is_available():
        print(NO_DEVICE, file=sys.stderr)
        return 2
    deadline = time.monotonic() + arguments.seconds
    rounds = 3 if arguments.quick else 9
    tables = {
        "Relative errors against float64 on the CPU": accuracy(),
        "Losses on pairs and lists, from embeddings, bf16 autocast": small(rounds),
        f"A training step of an encoder of {LAYERS} layers, batch {STEP_ROWS}, bf16 autocast": encoder(rounds),
        "In-batch negatives": in_batch(SIZES[:1] if arguments.quick else SIZES, rounds, deadline),
    }
    text = "\n\n".join(f"## {title}\n\n{markdown(rows)}" for title, rows in tables.items())
    device = f"{torch.cuda.get_device_name()}; {machine()}"
    print(text)
    made = f"Made by `make gpu` on {device}; run it again rather than editing this page."
    PAGE.write_text(f"# On a GPU\n\n{made}\n\n{text}\n")
    PAGE.with_suffix(".json").write_text(json.dumps({"device": device, **tables}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
