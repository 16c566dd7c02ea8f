"""The tasks of the study: data, training and measuring for each data format."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import contenders as losses
import numpy as np
import torch
from contenders import Contender
from sentence_transformers import CrossEncoder, SentenceTransformer
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve
from students import Student, load_encoder
from torch import Tensor, nn
from torch.nn.functional import embedding

from selective_st.data import GradedPairs, read_pairs
from selective_st.distillation.teacher import layered_student
from selective_st.evaluation import ranking_metrics, region_metrics

SPLITS = ("train", "dev", "test")
Split = tuple[Tensor, Tensor, Tensor]  # the numbers of both texts, and the scores
TOP = 10
_WARMUP = 0.1
_STATIC_RATES = (0.01, 0.03, 0.1)
_POSITIVE, _HIGH = 0.8, 0.95
_PAIRS_OF_ENCODER = 2000


class Task:
    """What is trained and measured for one data format.

    Attributes:
        name: A short name, for files and the command line.
        title: What the table says.
        contenders: The losses.
        rates: The learning rates, the same for every loss.
        metrics: The metrics shown, the main one first; names with `rmse` are errors.
        tuned_for: The metrics whose mean is tuned for on the dev split. Default: the main one.
        tuning_seeds: How many seeds each setting and rate is tried with.
        seeds: How many seeds are reported.
        rows: How many rows there are to train on.
        epochs: Passes over the data.
        batch_size: Rows in a step.
        beyond: How often the next learning rate is tried where the best lies at an end of the grid.
        resamples: What of the test split is drawn anew, in words; empty where nothing is.
        draws_alike: Whether the batches are the same whatever the making of model and loss has drawn.
    """

    name: str
    title: str
    contenders: list[Contender]
    rates: tuple[float, ...] = _STATIC_RATES
    metrics: tuple[str, ...] = ()
    tuned_for: tuple[str, ...] = ()
    tuning_seeds: int = 2
    seeds: int = 5
    epochs: int = 5
    batch_size: int = 64
    beyond: int = 2
    resamples: str = ""
    draws_alike: bool = True
    rows: int
    student: Student

    def rates_of(self, family: str) -> tuple[float, ...]:
        """The learning rates that a loss is tried with: the same for every loss."""
        return self.rates

    def batches(self, rows: int) -> Iterator[Tensor]:
        """The rows of each step, in an order that the seed of torch decides."""
        for _ in range(self.epochs):
            yield from torch.randperm(rows).split(self.batch_size)

    def columns(self, rows: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The numbers of the texts of each column, and the labels, of some rows."""
        raise NotImplementedError

    def goodness(self, metrics: dict[str, float]) -> float:
        """What is tuned for, of the metrics of a run: never of the test split."""
        names = self.tuned_for or self.metrics[:1]
        return sum(metrics[f"dev_{name}"] for name in names) / len(names)

    @staticmethod
    def schedule(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
        """A learning rate that rises for a tenth of the steps and then falls to 0."""
        warmup = max(1, round(_WARMUP * steps))
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
        )

    def train(self, contender: Contender, rate: float, seed: int) -> Any:
        """A model trained with one loss: Adam, the highest learning rate, and the seed of all that is drawn."""
        model = self.student.make(seed)
        loss = contender.make(model)
        weights = dict.fromkeys((*model.parameters(), *loss.parameters()))  # of a projection too
        optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0, fused=True)
        if self.draws_alike:
            torch.manual_seed(seed)
        batches = list(self.batches(self.rows))
        schedule = self.schedule(optimizer, len(batches))
        for rows in batches:
            columns, labels = self.columns(rows)
            # Each text of the batch is embedded once.
            used, places = torch.stack(columns, 1).unique(return_inverse=True)
            embeddings = self.student.embed(model, used)
            optimizer.zero_grad()
            given = [embedding(column, embeddings) for column in places.unbind(1)]
            loss.compute_loss_from_embeddings(given, labels).backward()
            if self.student.kind == "encoder":
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        return model

    def measure(self, model: Any) -> dict[str, float]:
        """The metrics, each preceded by `dev_` or `test_`."""
        raise NotImplementedError

    def main_metric_of_rows(self, model: Any) -> tuple[int, Callable[[Any], float]]:
        """How many rows `resamples` speaks of, and the main metric of some of them, by their numbers."""
        raise NotImplementedError

    def run(self, contender: Contender, rate: float, seed: int) -> dict[str, float]:
        """Train and measure."""
        return self.measure(self.train(contender, rate, seed))

    def untrained(self) -> dict[str, dict[str, float]]:
        """Metrics to know others by: of the first seed's model before training, and such."""
        return {"untrained": self.measure(self.student.make(0))}


def _numbered(*splits: GradedPairs) -> tuple[list[str], list[Split]]:
    """All different texts, and for each split the numbers of both texts and the scores."""
    number: dict[str, int] = {}
    found = []
    for split in splits:
        first, second = (
            torch.tensor([number.setdefault(text, len(number)) for text in side])
            for side in (split.sentences1, split.sentences2)
        )
        found.append((first, second, torch.tensor(split.scores, dtype=torch.float32)))
    return list(number), found


def _sts(data: Path) -> list[GradedPairs]:
    return [read_pairs(str(data / f"stsb/{split}.csv"), score_range=(0, 5)) for split in SPLITS]


class Graded(Task):
    """Graded pairs: the STS Benchmark."""

    metrics = ("ap_ge_0.95", "ap_ge_0.8", "rmse_0.8_1", "spearman")
    # The top is to be found better, and the rest not to be ordered worse.
    tuned_for = ("ap_ge_0.95", "spearman")

    def __init__(self, data: Path, kind: str) -> None:
        self.name, self.contenders = f"graded-{kind}", losses.graded()
        splits = _sts(data)
        texts, self.splits = _numbered(*splits)
        self.gold = np.array(splits[2].scores) >= _HIGH - 1e-6
        self.resamples = f"the {len(self.gold):,} test pairs ({int(self.gold.sum())} of them with such a gold score)"
        of_train = [*splits[0].sentences1, *splits[0].sentences2]
        encoder = None if kind == "scratch" else load_encoder()
        self.student = Student(kind, texts, 256, of_train, encoder)
        table = "static embeddings from the token table of all-MiniLM-L6-v2"
        what = {"scratch": "static embeddings from nothing", "table": table, "encoder": "all-MiniLM-L6-v2 itself"}
        self.title = f"Graded pairs, STS Benchmark: {what[kind]}"
        if kind == "table":
            self.rates = (0.001, 0.003, 0.01)
        if kind == "encoder":
            # A run with all 5,749 pairs takes five minutes of a processor: fewer pairs, and one learning rate, which
            # was the best of 3e-5, 1e-4 and 3e-4 for squared error.
            self.rates, self.beyond, self.seeds, self.epochs, self.batch_size = (1e-4,), 0, 3, 1, 32
            self.contenders, self.tuning_seeds = losses.graded_of_encoder(), 1
            self.resamples = ""
            self.title += f", fine-tuned on {_PAIRS_OF_ENCODER} pairs"
            order = torch.randperm(len(self.splits[0][2]), generator=torch.Generator().manual_seed(0))
            self.splits[0] = tuple(part[order[:_PAIRS_OF_ENCODER]] for part in self.splits[0])  # type: ignore[assignment]
        self.rows = len(self.splits[0][2])

    def columns(self, rows: Tensor) -> tuple[list[Tensor], Tensor]:
        """Both texts, and the scores."""
        first, second, scores = self.splits[0]
        return [first[rows], second[rows]], scores[rows]

    def scores(self, model: SentenceTransformer) -> list[Tensor]:
        """The cosines of the dev split's pairs, and of the test split's."""
        splits = self.splits[1:]
        used, places = torch.cat([side for split in splits for side in split[:2]]).unique(return_inverse=True)
        units = self.student.embed_all(model, used)
        sides = units[places].split([len(side) for split in splits for side in split[:2]])
        return [(first * second).sum(-1) for first, second in zip(sides[::2], sides[1::2], strict=True)]

    def main_metric_of_rows(self, model: SentenceTransformer) -> tuple[int, Callable[[Any], float]]:
        """The test pairs, and average precision of some of them."""
        scores = self.scores(model)[1].numpy()
        return len(scores), lambda rows: float(average_precision_score(self.gold[rows], scores[rows]))

    def measure(self, model: SentenceTransformer) -> dict[str, float]:
        """Region metrics."""
        found = {}
        for name, split, cosines in zip(("dev", "test"), self.splits[1:], self.scores(model), strict=True):
            found |= _named(name, region_metrics(split[2].tolist(), cosines.tolist()))
        return found


def _named(split: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{split}_{metric}": value for metric, value in metrics.items()}


def _recall(units: Tensor, queries: Tensor, documents: Tensor, right: list[set[int]]) -> float:
    """How many of the right documents stand among the ten nearest (of at most ten right ones), on average."""
    scores = units[queries] @ units[documents].T
    scores[queries.unsqueeze(1) == documents] = -2  # not the query itself
    nearest = documents[scores.topk(TOP).indices].tolist()
    return sum(
        len(set(row) & of_row) / min(TOP, len(of_row)) for row, of_row in zip(nearest, right, strict=True)
    ) / len(right)


def digest_of(texts: Sequence[str]) -> str:
    """By which texts are known."""
    return hashlib.blake2b(json.dumps(texts).encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=1)
def _embeddings_of_encoder(texts: tuple[str, ...]) -> Tensor:
    """Those of all-MiniLM-L6-v2, which are kept among the machine's temporary files: they take minutes."""
    kept = Path(tempfile.gettempdir()) / f"selective-st-embeddings-{digest_of(texts)}.pt"
    if not kept.exists():
        found: Tensor = load_encoder().encode(list(texts), convert_to_tensor=True, normalize_embeddings=True)
        torch.save(found, unfinished := kept.with_suffix(f".{os.getpid()}"))
        unfinished.replace(kept)
    return torch.load(kept, weights_only=True)  # type: ignore[no-any-return]


class Distillation(Task):
    """Lists of candidates with a teacher's scores: sentences of the STS Benchmark, teacher all-MiniLM-L6-v2."""

    metrics = ("recall@10", "rmse_top10")
    rates = (0.1, 0.3, 1.0)
    batch_size = 128
    held_out = 1500
    near, of_nearest, candidates = 4, 32, 16

    def __init__(self, data: Path, dimension: int) -> None:
        self.name, self.contenders = f"distillation-{dimension}", losses.distillation()
        if dimension > 64:
            self.tuning_seeds = 1
        self.title = f"Distillation lists: all-MiniLM-L6-v2 into static embeddings of {dimension} dimensions"
        self.share_out(_numbered(*_sts(data))[0], dimension)

    def share_out(self, texts: list[str], dimension: int) -> None:
        """Draw the sentences that are held out, and have the teacher read all."""
        order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0)).tolist()
        texts = [texts[i] for i in order]
        self.teacher = _embeddings_of_encoder(tuple(texts))
        sizes = [self.held_out, self.held_out, len(texts) - 2 * self.held_out]
        self.parts = dict(zip(("dev", "test", "train"), torch.arange(len(texts)).split(sizes), strict=True))
        self.rows = len(self.parts["train"])
        self.student = Student("scratch", texts, dimension, texts[2 * self.held_out :])
        self.nearest = {name: _nearest(self.teacher, part, self.of_nearest) for name, part in self.parts.items()}

    def columns(self, rows: Tensor) -> tuple[list[Tensor], Tensor]:
        """Anchors with some of the teacher's nearest sentences and random others, and the teacher's cosines."""
        anchors, lists = self.lists("train", rows)
        return [anchors, *lists.unbind(1)], cosines(self.teacher, anchors, lists)

    def lists(self, name: str, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Anchors of a part, and lists for them."""
        part = self.parts[name]
        chosen = torch.rand(len(rows), self.of_nearest).argsort(1)[:, : self.near]
        others = torch.randint(len(part) - 1, (len(rows), self.candidates - self.near))
        others += others >= rows.unsqueeze(1)  # never the anchor itself
        return part[rows], torch.cat([self.nearest[name][rows].gather(1, chosen), part[others]], 1)

    def measure(self, model: SentenceTransformer) -> dict[str, float]:
        """Recall of the teacher's nearest sentences, and the error of their scores."""
        units, found = self.student.embed_all(model), {}
        for name in ("dev", "test"):
            found |= _named(name, _beside_teacher(units, self.teacher, self.parts[name], self.nearest[name][:, :TOP]))
        return found


def _beside_teacher(units: Tensor, teacher: Tensor, part: Tensor, top: Tensor) -> dict[str, float]:
    """Of the teacher's nearest texts the recall, and the error of their scores."""
    return {
        "recall@10": _recall(units, part, part, [set(row) for row in top.tolist()]),
        "rmse_top10": rmse(cosines(units, part, top), cosines(teacher, part, top)),
    }


def rmse(predicted: Tensor, target: Tensor) -> float:
    """The root mean squared error."""
    return float((predicted - target).square().mean().sqrt())


class Neighbours(Distillation):
    """In-batch negatives: a sentence and one of the teacher's nearest."""

    metrics = ("recall@10",)
    near, candidates = 1, 1

    def __init__(self, data: Path) -> None:
        super().__init__(data, 256)
        self.name, self.contenders, self.rates = "in-batch-neighbours", losses.in_batch_one_way(), (0.1, 0.3)
        self.title = "In-batch negatives: a sentence and a near one, static embeddings from nothing"

    def columns(self, rows: Tensor) -> tuple[list[Tensor], None]:
        """Anchors, and one of the teacher's four nearest."""
        part = self.parts["train"]
        chosen = torch.randint(4, (len(rows), 1))
        return [part[rows], self.nearest["train"][rows].gather(1, chosen).squeeze(1)], None  # type: ignore[return-value]


class Paraphrases(Task):
    """In-batch negatives: the pairs of the STS Benchmark with a score of at least 4 of 5."""

    name = "in-batch-paraphrases"
    title = "In-batch negatives: paraphrases of STS-B, static embeddings from a token table"
    metrics = ("recall@10",)
    rates = (0.001, 0.003, 0.01)

    def __init__(self, data: Path) -> None:
        self.contenders = losses.in_batch()
        texts, splits = _numbered(*_sts(data))
        self.pairs = [(first[s >= _POSITIVE], second[s >= _POSITIVE]) for first, second, s in splits]
        self.documents = torch.arange(len(texts))
        self.student = Student("table", texts, encoder=load_encoder())
        self.rows = len(self.pairs[0][0])

    def columns(self, rows: Tensor) -> tuple[list[Tensor], None]:
        """Both texts."""
        return [side[rows] for side in self.pairs[0]], None  # type: ignore[return-value]

    def measure(self, model: SentenceTransformer) -> dict[str, float]:
        """Whether the paraphrase stands among the ten nearest of all texts."""
        units = self.student.embed_all(model)
        found = {}
        for name, (first, second) in zip(("dev", "test"), self.pairs[1:], strict=True):
            found[f"{name}_recall@10"] = _recall(units, first, self.documents, [{text} for text in second.tolist()])
        return found


@dataclass
class _Question:
    text: int
    right: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)

    def drawn(self, most_right: int) -> tuple[list[int], list[int]]:
        """Some of the right candidates and all wrong ones, in an order drawn anew."""
        right, wrong = ([of[i] for i in torch.randperm(len(of)).tolist()] for of in (self.right, self.wrong))
        return right[:most_right], wrong


def _questions(split: Split) -> list[_Question]:
    """The questions with a right and a wrong candidate."""
    found: dict[int, _Question] = {}
    for text, candidate, label in zip(*(column.tolist() for column in split), strict=True):
        question = found.setdefault(text, _Question(text))
        (question.right if label >= _POSITIVE else question.wrong).append(candidate)
    return [question for question in found.values() if question.right and question.wrong]


class Questions(Task):
    """Questions with candidates, right or wrong: TrecQA."""

    metrics = ("map", "mrr@10", "ndcg@10")
    list_size: int

    def read(self, data: Path) -> list[str]:
        """Read the splits, and give all texts."""
        splits = [
            read_pairs(str(data / f"trecqa/{split}.csv"), columns=["qtext", "atext", "label"]) for split in SPLITS
        ]
        texts, self.splits = _numbered(*splits)
        self.questions = _questions(self.splits[0])
        self.rows = len(self.questions)
        # By the rows of their candidates, those whose ranking can be measured.
        self.groups: list[list[list[int]]] = []
        for first, _, labels in self.splits[1:]:
            rows = defaultdict(list)
            for row, text in enumerate(first.tolist()):
                rows[text].append(row)
            self.groups.append([of for of in rows.values() if 0 < int((labels[of] >= _POSITIVE).sum()) < len(of)])
        self.resamples = f"the {len(self.groups[1])} test questions"
        return texts

    def scorer(self, model: Any) -> Callable[[Tensor, Tensor], Tensor]:
        """What scores questions with candidates, by their numbers."""
        raise NotImplementedError

    def main_metric_of_rows(self, model: Any) -> tuple[int, Callable[[Any], float]]:
        """The test questions, and the mean average precision of some of them."""
        (first, second, labels), scorer = self.splits[2], self.scorer(model)
        gold, scores = labels.tolist(), scorer(first, second).tolist()
        found = np.array([ranking_metrics([rows], gold, scores)["map"] for rows in self.groups[1]])
        return len(found), lambda rows: float(found[rows].mean())

    def measure(self, model: Any) -> dict[str, float]:
        """Ranking metrics."""
        return self._measured(self.scorer(model))

    def _measured(self, scorer: Callable[[Tensor, Tensor], Tensor]) -> dict[str, float]:
        found = {}
        for name, (first, second, labels), groups in zip(SPLITS[1:], self.splits[1:], self.groups, strict=True):
            measured = torch.tensor([row for group in groups for row in group])  # of others there is nothing to measure
            scores = torch.zeros(len(labels)).index_copy(0, measured, scorer(first[measured], second[measured]))
            found |= _named(name, ranking_metrics(groups, labels.tolist(), scores.tolist()))
        return found


class Answers(Questions):
    """Questions with lists of answers, for embeddings."""

    rates = (0.001, 0.003, 0.01)
    batch_size, epochs = 8, 20
    list_size = 16

    def __init__(self, data: Path) -> None:
        self.name, self.contenders = "answers", losses.answers()
        self.title = "Answer lists, TrecQA: static embeddings from the token table of all-MiniLM-L6-v2"
        self.student = Student("table", self.read(data), encoder=load_encoder())

    def columns(self, rows: Tensor) -> tuple[list[Tensor], Any]:
        """Questions with lists of candidates drawn anew, at least one right and one wrong; repeated where few."""
        lists, labels = [], []
        for question in (self.questions[row] for row in rows.tolist()):
            right, wrong = question.drawn(self.list_size // 2)
            wrong = (wrong * self.list_size)[: self.list_size - len(right)]
            lists.append([question.text, *right, *wrong])
            labels.append([1.0] * len(right) + [0.0] * len(wrong))
        return list(torch.tensor(lists).unbind(1)), torch.tensor(labels)

    def scorer(self, model: SentenceTransformer) -> Callable[[Tensor, Tensor], Tensor]:
        """Cosines of embeddings."""
        return partial(cosines, self.student.embed_all(model))

    def untrained(self) -> dict[str, dict[str, float]]:
        """The metrics of the student before training, and of the encoder that its tokens are from."""
        encoder = Student("encoder", self.student.texts, encoder=load_encoder())
        itself = partial(cosines, encoder.embed_all(encoder.make(0)))
        return super().untrained() | {"all-MiniLM-L6-v2 itself, untrained": self._measured(itself)}


class AnswersInBatch(Answers):
    """In-batch negatives with a hard one: a question, a right answer, a wrong candidate of the same question."""

    metrics = ("map", "mrr@10")
    batch_size, epochs = 32, 10

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.name, self.contenders = "in-batch-answers", losses.in_batch_with_hard_negatives()
        self.title = "Triplets, and in-batch negatives with a hard one: TrecQA, static embeddings from a token table"
        self.triplets = [(q, right) for q in self.questions for right in q.right]
        self.rows = len(self.triplets)

    def columns(self, rows: Tensor) -> tuple[list[Tensor], None]:
        """The question, a right answer, and a wrong one drawn anew."""
        found = []
        for question, right in (self.triplets[row] for row in rows.tolist()):
            found.append([question.text, right, question.wrong[int(torch.randint(len(question.wrong), ()))]])
        return list(torch.tensor(found).unbind(1)), None


class Reranker(Questions):
    """A cross encoder on questions with candidates: TrecQA, and all-MiniLM-L6-v2 with a new head."""

    name, title = "reranker", "Reranking, TrecQA: a cross encoder made of all-MiniLM-L6-v2"
    rates = (1e-4,)  # and those beyond, three times lower and higher
    tuning_seeds, seeds, epochs, batch_size = 1, 3, 4, 4
    list_size, length = 8, 64

    def __init__(self, data: Path) -> None:
        self.contenders = losses.rerankers()
        self.folder = tempfile.TemporaryDirectory()
        transformer: Any = load_encoder()[0]
        for part in (transformer.auto_model, transformer.tokenizer):
            part.save_pretrained(self.folder.name)
        self.texts: Sequence[Any] = self.read(data)

    def _model(self, seed: int) -> Any:
        torch.manual_seed(seed)
        return CrossEncoder(self.folder.name, num_labels=1, max_length=self.length, device="cpu")

    def train(self, contender: Contender, rate: float, seed: int) -> Any:
        """A cross encoder trained with one loss, as in `Task.train`."""
        model = self._model(seed).train()
        loss: Any = contender.make(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
        batches = list(self.batches(self.rows))
        schedule = self.schedule(optimizer, len(batches))
        for rows in batches:
            lists, labels = zip(*(self._list(self.questions[row]) for row in rows.tolist()), strict=True)
            queries = [self.texts[self.questions[row].text] for row in rows.tolist()]
            optimizer.zero_grad()
            if contender.family == "BinaryCrossEntropyLoss":
                repeated = [query for query, texts in zip(queries, lists, strict=True) for _ in texts]
                value = loss([repeated, list(chain(*lists))], torch.tensor(list(chain(*labels))))
            else:
                value = loss([queries, list(lists)], [torch.tensor(row) for row in labels])
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        return model

    def _list(self, question: _Question) -> tuple[list[Any], list[float]]:
        """Candidates drawn anew, at least one right and one wrong."""
        right, wrong = question.drawn(self.list_size // 2)
        wrong = wrong[: self.list_size - len(right)]
        return [self.texts[i] for i in [*right, *wrong]], [1.0] * len(right) + [0.0] * len(wrong)

    def untrained(self) -> dict[str, dict[str, float]]:
        """The metrics before training: of a random head."""
        return {"untrained": self.measure(self._model(0))}

    def scorer(self, model: Any) -> Callable[[Tensor, Tensor], Tensor]:
        """The cross encoder's scores."""

        def scores(first: Tensor, second: Tensor) -> Tensor:
            pairs = [(self.texts[i], self.texts[j]) for i, j in zip(first.tolist(), second.tolist(), strict=True)]
            return torch.as_tensor(model.eval().predict(pairs, show_progress_bar=False, batch_size=64))

        return scores


class Head(nn.Module):
    """Scores a pair of texts by the encoder's embeddings, which stay as they are; losses take it for a CrossEncoder."""

    num_labels, device = 1, torch.device("cpu")

    def __init__(self, embeddings: Tensor) -> None:
        super().__init__()
        self.embeddings, dimension = embeddings, embeddings.shape[1]
        self.layers = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * dimension, 64), nn.ReLU(), nn.Linear(64, 1))
        self.slope = nn.Parameter(torch.tensor(5.0))

    def preprocess(self, pairs: list[tuple[int, int]], **_: Any) -> dict[str, Tensor]:
        """The numbers of the texts."""
        return {"pairs": torch.tensor(pairs)}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """The logits: a multiple of the cosine, and what the layers add."""
        first, second = self.embeddings[features["pairs"]].unbind(1)
        size = first.shape[1] ** 0.5  # products of unit vectors are small
        added = self.layers(torch.cat([size * first * second, (first - second).abs() * size], -1))
        return {"scores": self.slope * (first * second).sum(-1, keepdim=True) + added}

    @torch.no_grad()
    def predict(self, pairs: list[tuple[int, int]], **_: Any) -> Tensor:
        """The logits."""
        return self(self.preprocess(pairs))["scores"].squeeze(-1)  # type: ignore[no-any-return]


class HeadReranker(Reranker):
    """The losses of order on a small reranker: two layers over the embeddings of all-MiniLM-L6-v2."""

    name, title = "reranker-order", "Reranking, TrecQA: two layers over the embeddings of all-MiniLM-L6-v2"
    rates = (3e-4, 1e-3, 3e-3)
    tuning_seeds, seeds, batch_size, epochs, beyond = 1, 5, 8, 20, 0
    list_size = 16

    def __init__(self, data: Path) -> None:
        self.contenders, texts = losses.rerankers_by_order(), self.read(data)
        self.embeddings = _embeddings_of_encoder(tuple(texts))
        self.texts = range(len(texts))  # known by their numbers

    def _model(self, seed: int) -> Head:
        torch.manual_seed(seed)
        return Head(self.embeddings)


TASKS = {
    "graded-scratch": lambda data: Graded(data, "scratch"),
    "graded-table": lambda data: Graded(data, "table"),
    "distillation-64": lambda data: Distillation(data, 64),
    "distillation-256": lambda data: Distillation(data, 256),
    "in-batch-neighbours": Neighbours,
    "in-batch-paraphrases": Paraphrases,
    "in-batch-answers": AnswersInBatch,
    "answers": Answers,
    "graded-encoder": lambda data: Graded(data, "encoder"),
    "reranker": Reranker,
}


class TeacherEmbeddings(Task):
    """A teacher's embeddings: sentences of the STS Benchmark, teacher all-MiniLM-L6-v2. Do its thresholds hold?"""

    metrics = ("recall@10", "rmse_top10", "f1_at_teacher", "f1_at_own")
    tuned_for = ("recall@10", "f1_at_teacher")
    rates = (0.03, 0.1, 0.3)
    tuning_seeds, seeds, batch_size, beyond = 1, 5, 128, 1
    near, of_nearest, candidates = 4, 32, 16

    def __init__(self, data: Path, epochs: int, *, sums: bool = False, dimension: int = 64) -> None:
        self.name, self.epochs = f"embeddings-{epochs}", epochs
        self.title = f"A teacher's embeddings: all-MiniLM-L6-v2 into {dimension} static dimensions, {epochs} passes"
        splits = _sts(data)
        texts, self.splits = _numbered(*splits)
        self.teacher = _embeddings_of_encoder(tuple(texts))
        self.contenders = losses.of_teacher_embeddings(self.teacher.shape[1], sums=sums)
        self.parts = [torch.cat(split[:2]).unique() for split in self.splits]
        of_train = [*splits[0].sentences1, *splits[0].sentences2]
        self.student = Student("scratch", texts, dimension, of_train)
        self.nearest = [_nearest(self.teacher, part, self.of_nearest) for part in self.parts]
        self.in_lists, self.rows = False, len(self.parts[0])

    def train(self, contender: Contender, rate: float, seed: int) -> Any:
        """As `Task.train`, on single sentences, or for the KL divergence on lists of them."""
        self.in_lists = contender.family == "DistillKLDivLoss"
        return super().train(contender, rate, seed)

    def columns(self, rows: Tensor) -> tuple[list[Tensor], Any]:
        """Sentences and the teacher's embeddings; or with some of its nearest and random others, and its cosines."""
        part = self.parts[0]
        if not self.in_lists:
            return [part[rows]], [self.teacher[part[rows]]]
        chosen = torch.rand(len(rows), self.of_nearest).argsort(1)[:, : self.near]
        others = torch.randint(len(part), (len(rows), self.candidates - self.near))
        lists = torch.cat([self.nearest[0][rows].gather(1, chosen), part[others]], 1)
        return [part[rows], *lists.unbind(1)], cosines(self.teacher, part[rows], lists)

    def measure(self, model: SentenceTransformer) -> dict[str, float]:
        """Recall of the teacher's nearest, the error of their scores, F1 at the teacher's threshold and at its own."""
        held_out = torch.cat(self.parts[1:]).unique()
        found = self.student.embed_all(model, held_out)
        return self._measured(found.new_zeros(len(self.teacher), found.shape[1]).index_copy(0, held_out, found))

    def untrained(self) -> dict[str, dict[str, float]]:
        """The metrics of the student before training, and of the teacher."""
        return {**super().untrained(), "the teacher": self._measured(self.teacher)}

    def _measured(self, units: Tensor) -> dict[str, float]:
        scores = [[cosines(of, *split[:2]) for split in self.splits] for of in (self.teacher, units)]
        at_teacher, at_own = (_best_threshold(self.splits[1][2], of[1]) for of in scores)
        found = {}
        for place, name in ((1, "dev"), (2, "test")):
            part, top = self.parts[place], self.nearest[place][:, :TOP]
            found |= _named(name, _beside_teacher(units, self.teacher, part, top))
            gold = self.splits[place][2] >= _POSITIVE - 1e-6
            for of, threshold in (("teacher", at_teacher), ("own", at_own)):
                found[f"{name}_f1_at_{of}"] = float(f1_score(gold, scores[1][place] >= threshold))
        return found


def cosines(units: Tensor, first: Tensor, others: Tensor) -> Tensor:
    """Of texts with others, or each with a list of others."""
    return (units[first.view(-1, *[1] * (others.dim() - 1))] * units[others]).sum(-1).clamp(-1, 1)


def _nearest(units: Tensor, part: Tensor, number: int) -> Tensor:
    """Of each text of a part the nearest others of it."""
    return part[(units[part] @ units[part].T).fill_diagonal_(-2).topk(number).indices]


def _best_threshold(gold: Tensor, scores: Tensor) -> float:
    """Where F1 is highest."""
    precision, recall, thresholds = precision_recall_curve(gold >= _POSITIVE - 1e-6, scores)
    return float(thresholds[(2 * precision * recall / (precision + recall + 1e-12))[:-1].argmax()])


class TeacherLayers(TeacherEmbeddings):
    """The same for the teacher's first two layers: as they keep its dimensions, no loss needs a projection."""

    rates, seeds, beyond = (1e-3, 3e-3), 3, 0
    layers = 2

    def __init__(self, data: Path) -> None:
        super().__init__(data, epochs=1)
        self.name, self.contenders = "embeddings-layers", losses.of_teacher_embeddings_by_layers()
        encoder, texts = load_encoder(), self.student.texts
        dimension = self.teacher.shape[1]
        into = f"its own first {self.layers} layers ({dimension} dimensions)"
        self.title = f"A teacher's embeddings: all-MiniLM-L6-v2 into {into}, one pass"
        self.student = Student("encoder", texts, encoder=layered_student(encoder, self.layers, dimension, texts))

    def columns(self, rows: Tensor) -> tuple[list[Tensor], Any]:
        """As there, but with lists of no more texts than the batch has rows: random others are of the batch's texts."""
        if not self.in_lists:
            return super().columns(rows)
        (anchors, *lists), _ = super().columns(rows[: len(rows) // (1 + self.near)])
        near = torch.stack(lists[: self.near], 1)
        batch = torch.cat([anchors, near.flatten()])
        steps = torch.randint(1, len(batch), (len(anchors), self.candidates - self.near))  # never to the anchor itself
        others = batch[(torch.arange(len(anchors)).unsqueeze(1) + steps) % len(batch)]
        found = torch.cat([near, others], 1)
        return [anchors, *found.unbind(1)], cosines(self.teacher, anchors, found)


# Of `make study-order`.
ORDER_TASKS: tuple[Callable[[Path], Task], ...] = (
    HeadReranker,
    partial(TeacherEmbeddings, epochs=5, sums=True),
    partial(TeacherEmbeddings, epochs=40),
    TeacherLayers,
)
