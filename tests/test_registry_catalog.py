"""The catalog is true: what it says of each loss, and of each data format, holds for the installed libraries.

Every claim is tried, not compared with another list: losses are built with the catalog's code and run on tiny models,
and the tables in the docstrings of Sentence Transformers are read as they are installed.
"""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any, get_args

import pytest
import sentence_transformers
import torch
import transformers
from datasets import Dataset
from packaging.version import Version
from sentence_transformers import util
from sentence_transformers.base.data_collator import BaseDataCollator
from sentence_transformers.base.trainer import BaseTrainer
from sentence_transformers.cross_encoder.data_collator import CrossEncoderDataCollator
from sentence_transformers.multi_vector_encoder import scoring
from sentence_transformers.multi_vector_encoder.data_collator import MultiVectorEncoderDataCollator
from torch import Tensor, nn

import selective_st.links
import selective_st.losses
from selective_st import catalog
from selective_st.catalog import _ENTRIES, _ROWS
from selective_st.registry.catalog import (
    HELPERS,
    LABEL_KINDS,
    MODEL_TYPES,
    SHAPES,
    UPSTREAM,
    LossEntry,
    Row,
    Selective,
    loss_entry,
    loss_table,
    losses,
    register_loss,
    rows,
    rows_of,
    unregister_loss,
)
from selective_st.registry.columns import ColumnKind, Looks

from . import model_types
from .host import HOST

ROWS = 6
NO_TABLE = {"CSRLoss", "CSRReconstructionLoss", "CachedSpladeLoss", "FlopsLoss", "SpladeLoss"}
NOT_ALONE = {"FlopsLoss", "CSRReconstructionLoss"}


def available(since: str) -> bool:
    return Version(since) <= HOST


def upstream(model_type: Any) -> list[LossEntry]:
    return [entry for entry in losses(model_type) if entry.origin == UPSTREAM]


# --- Coverage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_exported_loss_is_listed_and_no_other(model_type: Any) -> None:
    package = importlib.import_module(catalog.PACKAGES[model_type])
    exported = set(package.__all__)
    assert set(HELPERS[model_type]) <= exported
    listed = {entry.name for entry in upstream(model_type) if available(entry.since)}
    wanted = exported - set(HELPERS[model_type])
    assert listed == wanted
    print(f"{model_type}: {len(listed & wanted)} of {len(wanted)} losses of {HOST}")


@pytest.mark.parametrize("entry", losses(), ids=lambda entry: f"{entry.model_type}-{entry.name}")
def test_an_entry_loads_if_the_installed_version_has_it(entry: LossEntry) -> None:
    if available(entry.since):
        assert issubclass(entry.load(), nn.Module)
        assert entry.load().__name__ == entry.name
    else:
        with pytest.raises(ImportError, match=re.escape(entry.since)):
            entry.load()


def test_helpers_are_no_losses() -> None:
    for model_type, names in HELPERS.items():
        package = importlib.import_module(catalog.PACKAGES[model_type])
        for name in names:
            helper = getattr(package, name)
            takes_model = "model" in inspect.signature(helper).parameters
            assert not takes_model, f"{name} takes a model"


def test_names_in_code_are_where_the_catalog_says() -> None:
    for name, module in catalog.MODULES.items():
        assert hasattr(importlib.import_module(module), name), f"{module} has no {name}"


def test_every_shape_label_and_kind_of_column_has_its_words() -> None:
    told = catalog.SAID
    assert [*told["texts"]] == [*told["texts without label"]] == [*SHAPES]
    assert [*told["labels"]] == [*LABEL_KINDS]
    assert {*told["kinds"]} == {*get_args(ColumnKind)}
    assert {*told["looks"]} <= {*get_args(Looks)}
    assert {*told["readings"]} <= {f"{row.shape}, {row.label}" for row in rows()}
    for said in told["readings"].values():
        assert "{" not in said.format("one", "two", "three", label="label")


def test_every_doubt_has_its_words_and_is_raised_somewhere() -> None:
    folder = resources.files("selective_st.registry")
    sources = "\n".join(folder.joinpath(f"{name}.py").read_text("utf-8") for name in ("labels", "meaning", "roles"))
    assert {*re.findall(r'said\("([^"]+)"', sources)} == {*catalog.SAID["doubts"]}


@pytest.mark.parametrize("entry", losses(), ids=lambda entry: f"{entry.model_type}-{entry.name}")
def test_every_loss_stands_in_a_row(entry: LossEntry) -> None:
    assert rows_of(entry.name, entry.model_type), "a loss without a row is never suggested"


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_rows_name_registered_losses_only(model_type: Any) -> None:
    for row in rows(model_type):
        assert row.shape in SHAPES
        assert row.label in LABEL_KINDS
        assert set(row.recommended) <= set(row.losses)
        for name in (*row.losses, *(selective.loss for selective in row.selective)):
            assert loss_entry(name, model_type).name == name
        assert bool(row.selective) != bool(row.why_none), "a selective loss, or why there is none"


# --- The docstrings of the installed version --------------------------------------------------------------------------


def shape_of(inputs: str) -> str:
    inputs = inputs.replace("\\", "").strip("` ")
    if inputs == "any":
        return "any"
    if inputs in ("single inputs", "input") or inputs.startswith("input fed through"):
        return "single"
    if "[" in inputs:
        return "list"
    if "..." in inputs:
        return "n-tuple"
    return {1: "pair", 2: "triplet"}[inputs.count(",")]


def label_of(labels: str) -> str:
    labels = labels.replace("`", "").replace("\\", "").strip()
    known = {
        "none": "none",
        "any": "any",
        "class": "class",
        "class probabilities": "class probabilities",
        "1 if positive, 0 if negative": "binary",
        "float similarity score": "similarity",
        "float similarity score between 0 and 1": "similarity",
        "similarity score": "similarity",
        "model embeddings": "embedding",
        "teacher embeddings (batch_size, teacher_dim)": "embedding",
        "teacher embeddings (batch_size, N, teacher_dim)": "embeddings",
    }
    if labels.lower() in known:
        return known[labels.lower()]
    if labels in known:
        return known[labels]
    if labels.startswith("[") and " - " in labels:
        return "margins"
    if labels.startswith("["):
        return "scores"
    if " - " in labels:
        return "margin"
    raise AssertionError(f"labels of an unknown kind: {labels!r}")


def documented(loss_class: type[Any]) -> list[list[str]]:
    """The rows of the table of inputs in a loss's docstring, cell by cell."""
    for text in (loss_class.__doc__, loss_class.__init__.__doc__):
        lines = [line.strip() for line in (text or "").splitlines()]
        heads = [place for place, line in enumerate(lines) if re.match(r"\|\s*(Inputs|Texts)\s*\|", line)]
        if not heads:
            continue
        table: list[list[str]] = []
        for line in lines[heads[0] + 1 :]:
            if not line.startswith(("+", "|")):
                break
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if line.startswith("|") and cells[0]:
                table.append(cells)
            elif line.startswith("|"):  # a long cell goes on in the next line
                table[-1] = [f"{a} {b}".strip() for a, b in zip(table[-1], cells, strict=True)]
        return table
    return []


@pytest.mark.parametrize(
    ("entry"), [entry for entry in upstream(None) if available(entry.since)], ids=lambda e: f"{e.model_type}-{e.name}"
)
def test_documented_formats_are_rows(entry: LossEntry) -> None:
    table = documented(entry.load())
    assert bool(table) == (entry.name not in NO_TABLE)
    known = {(row.shape, row.label): row for row in rows_of(entry.name, entry.model_type)}
    for inputs, labels, *outputs in table:
        row = known.get((shape_of(inputs), label_of(labels)))
        assert row is not None, f"no row {shape_of(inputs)!r}, {label_of(labels)!r} for {inputs} | {labels}"
        assert [row.outputs] == [output.strip("`") for output in outputs] or not outputs
        assert bool(row.outputs) == (entry.model_type == "CrossEncoder")


# Rows that the loss overview has and the docstring of the loss has not, or only as a case of another.
NOT_IN_DOCSTRING = {
    ("MultiVectorEncoder", "MultiVectorDistillKLDivLoss", "triplet", "scores"),  # (query, document_1, ..., document_N)
    ("SentenceTransformer", "ContrastiveTensionLoss", "single", "none"),
    ("SentenceTransformer", "ContrastiveTensionLossInBatchNegatives", "pair", "none"),
}


@pytest.mark.parametrize(
    ("entry"), [entry for entry in upstream(None) if available(entry.since)], ids=lambda e: f"{e.model_type}-{e.name}"
)
def test_rows_are_documented_formats(entry: LossEntry) -> None:
    table = {(shape_of(inputs), label_of(labels)) for inputs, labels, *_ in documented(entry.load())}
    if not table:
        pytest.skip("its docstring has no table")
    for row in rows_of(entry.name, entry.model_type):
        if available(row.since) and (entry.model_type, entry.name, row.shape, row.label) not in NOT_IN_DOCSTRING:
            assert (row.shape, row.label) in table


# --- Building and running ---------------------------------------------------------------------------------------------


@dataclass
class Batch:
    """Rows of a format: text columns, and labels or None."""

    columns: list[list[Any]]
    labels: list[Any] | None

    def dataset(self) -> Dataset:
        named: dict[str, list[Any]] = {f"text_{place}": column for place, column in enumerate(self.columns)}
        if self.labels is not None:
            named["label"] = self.labels
        return Dataset.from_dict(named)


WIDTHS = {"single": 1, "pair": 2, "triplet": 3, "n-tuple": 4, "list": 2, "any": 2}


def make_labels(label: str, width: int, dimension: int = model_types.DIMENSION) -> list[Any] | None:
    count = ROWS
    graded = [0.9, 0.1, 0.6, 0.3, 0.8, 0.2, 0.5, 0.4]
    lists = [[(graded[(row + 3 * place) % 8]) for place in range(width)] for row in range(count)]
    generator = torch.Generator().manual_seed(7)
    vectors = torch.randn(count, width, dimension, generator=generator)
    made: dict[str, list[Any] | None] = {
        "none": None,
        "any": None,
        "class": [row // 2 for row in range(count)],
        "class probabilities": [[score, 0.9 - score, 0.1] for score in graded[:count]],
        "binary": [1 - row % 2 for row in range(count)],
        "similarity": graded[:count],
        "margin": [score - 0.4 for score in graded[:count]],
        "margins": [row[: width - 2] for row in lists],
        "scores": [row[: width - 1] for row in lists],
        "binary list": [[float(place == row % (width - 1)) for place in range(width - 1)] for row in range(count)],
        "embedding": vectors[:, 0].tolist(),
        "embeddings": vectors.tolist(),
    }
    return made[label]


def make_batch(row: Row, name: str, width: int | None = None) -> Batch:
    """Rows of the format of `row` for a loss, with `width` text columns if they are to be others than the row's."""
    count = ROWS
    if row.shape == "list":
        lengths = [3 + place % 3 for place in range(count)]  # lists may differ in length
        documents = [[model_types.sentence(100 * place + k) for k in range(size)] for place, size in enumerate(lengths)]
        scores = [[float((place + 2 * k) % 5) for k in range(size)] for place, size in enumerate(lengths)]
        ordered = [sorted(one, reverse=True) for one in scores]  # the likelihood losses take the order as it comes
        batch = Batch([[model_types.sentence(9000 + place) for place in range(count)], documents], ordered)
        for extra in range(2, width or 2):
            batch.columns.append([model_types.sentence(7000 + 100 * extra + place) for place in range(count)])
        return batch
    entry = loss_entry(name, row.model_type)
    width = width or max(WIDTHS[row.shape], entry.min_columns)
    columns = [[model_types.sentence(100 * place + number) for number in range(count)] for place in range(width)]
    if width > 1 and row.inputs.startswith("(anchor, anchor)"):
        columns[1] = list(columns[0])
    if width > 1 and name == "ContrastiveTensionLoss":
        columns[1] = [columns[place % 2][place] for place in range(count)]
    if width > 1 and name == "DenoisingAutoEncoderLoss":
        columns[0] = [" ".join(text.split()[::2]) for text in columns[1]]
    dimension = len(model_types.tokenizer()) if row.model_type == "SparseEncoder" else model_types.DIMENSION
    return Batch(columns, make_labels(row.label, width, dimension))


def is_wrapped(entry: LossEntry) -> bool:
    return entry.model_type == "SparseEncoder" and entry.role == "loss" and entry.name != "SparseMSELoss"


def names_for(entry: LossEntry, model: Any, dataset: Dataset) -> dict[str, Any]:
    """What the catalog's code may use."""
    package = importlib.import_module(catalog.PACKAGES[entry.model_type])
    return {
        **vars(selective_st.links),
        **{name: getattr(package, name) for name in package.__all__},
        **{name: getattr(selective_st.losses, name) for name in selective_st.losses.__all__},
        **{name: getattr(util, name) for name in ("pairwise_cos_sim", "pairwise_dot_score", "dot_score")},
        **vars(scoring),
        "SentenceTransformer": lambda name: model_types.bert_model(),  # in place of the guide, which is on the hub
        entry.name: entry.load(),
        "model": model,
        "dataset": dataset,
    }


def build(entry: LossEntry, model: Any, dataset: Dataset, selective: Selective | None = None, **more: Any) -> nn.Module:
    """Run the catalog's code for a loss."""
    names = names_for(entry, model, dataset)
    count_classes = 'len(label) if isinstance(label := dataset["label"][0], list) else max(dataset["label"]) + 1'
    for line in entry.setup:
        exec(line.replace(catalog.CLASSES, count_classes), names)
    arguments = dict(entry.arguments)
    if selective is not None:
        arguments |= dict(selective.arguments)
        if not selective.is_default:
            arguments["link"] = selective.link
    code = ", ".join(["model", *(f"{name}={value}" for name, value in arguments.items() if name not in more)])
    built: nn.Module = eval(f"lambda **more: {entry.name}({code}, **more)", names)(**more)
    return built


def wrap(entry: LossEntry, model: Any, loss: nn.Module) -> nn.Module:
    if not is_wrapped(entry):
        return loss
    weights = {"document_regularizer_weight": 3e-5, "query_regularizer_weight": 5e-5}
    return loss_entry("SpladeLoss", "SparseEncoder").load()(model, loss, **weights)


def run(model: Any, loss: nn.Module, batch: Batch) -> Tensor:
    """What the trainer does with a batch: collate, collect the features, and add up the parts of the loss."""
    examples = batch.dataset().to_list()
    collate: Callable[..., dict[str, Any]]
    if isinstance(model, sentence_transformers.CrossEncoder):
        inputs = CrossEncoderDataCollator(model.preprocess)(examples)
        labels = inputs.pop("label", None)
        value = loss(list(inputs.values()), labels)
    else:
        several = isinstance(model, sentence_transformers.MultiVectorEncoder)
        collate = (MultiVectorEncoderDataCollator if several else BaseDataCollator)(model.preprocess)
        features, labels = BaseTrainer.collect_features(None, collate(examples))  # it makes no use of the trainer
        value = loss(features, labels)
    return torch.stack(list(value.values())).sum() if isinstance(value, dict) else value


def gradient(model: Any, value: Tensor) -> Tensor:
    model.zero_grad()
    value.backward()
    parts = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return torch.cat(parts) if parts else torch.zeros(1)


def model_of(entry: LossEntry, row: Row | None = None) -> Any:
    if entry.name == "CSRLoss":
        return model_types.autoencoder_model()
    many = row is not None and row.outputs not in ("", "1")
    return model_types.model_for(entry.model_type, num_labels=3 if many else 1)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    transformers.logging.set_verbosity_error()  # what is missing in the decoder of DenoisingAutoEncoderLoss
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


CASES = [
    pytest.param(row, name, None, id=f"{row.model_type}-{row.shape}-{row.label}-{name}".replace(" ", "_"))
    for row in rows()
    for name in row.losses
    if name not in NOT_ALONE
] + [
    pytest.param(row, one.loss, one, id=f"{row.model_type}-{row.shape}-{row.label}-{one.loss}".replace(" ", "_"))
    for row in rows()
    for one in row.selective
]


@pytest.mark.parametrize(("row", "name", "selective"), CASES)
def test_every_loss_of_every_row_trains(row: Row, name: str, selective: Selective | None) -> None:
    entry = loss_entry(name, row.model_type)
    if not available(entry.since):
        pytest.skip(f"it came with {entry.since}")
    model = model_of(entry, row)
    batch = make_batch(row, name)
    if not available(row.since):
        with pytest.raises(Exception):  # noqa: B017, PT011 - upstream did not say how it would fail
            run(model, wrap(entry, model, build(entry, model, batch.dataset(), selective)), batch)
        return
    loss = wrap(entry, model, build(entry, model, batch.dataset(), selective))
    value = run(model, loss, batch)
    assert value.shape == ()
    assert value.isfinite()
    slope = gradient(model, value)
    assert slope.isfinite().all()
    assert slope.abs().sum() > 0


def _selective_rows() -> list[Any]:
    return [case for case in CASES if case.values[2] is not None]


@pytest.mark.parametrize(("row", "name", "selective"), _selective_rows())
def test_default_links_are_as_stated(row: Row, name: str, selective: Selective) -> None:
    entry = loss_entry(name, row.model_type)
    model = model_of(entry, row)
    dataset = make_batch(row, name).dataset()
    loss: Any = build(entry, model, dataset, Selective(name, "", arguments=selective.arguments))
    stated = eval(selective.link, dict(vars(selective_st.links)))
    if row.label == "margins" or row.label == "margin" or "margins" in str(selective.arguments):
        run(model, wrap(entry, model, loss), make_batch(row, name))
    assert (loss.link == stated) == selective.is_default


@pytest.mark.parametrize("name", sorted(NOT_ALONE))
def test_parts_of_modifiers_are_not_used_alone(name: str) -> None:
    entry = loss_entry(name, "SparseEncoder")
    assert any("not used alone" in caveat for caveat in entry.caveats)
    model = model_types.splade_model()
    batch = Batch([[model_types.sentence(1)], [model_types.sentence(2)]], None)
    with pytest.raises((NotImplementedError, TypeError)):
        run(model, build(entry, model, batch.dataset()), batch)


@pytest.mark.parametrize("entry", [e for e in losses("SparseEncoder") if e.role == "loss"], ids=lambda e: e.name)
def test_sparse_losses_that_need_a_wrapper_say_so(entry: LossEntry) -> None:
    stated = any("not used alone" in caveat for caveat in entry.caveats)
    assert stated == is_wrapped(entry)
    row = rows_of(entry.name, "SparseEncoder")[0]
    model, batch = model_types.splade_model(), make_batch(row, entry.name)
    loss = build(entry, model, batch.dataset(), next((one for one in row.selective if one.loss == entry.name), None))
    if stated and entry.origin == UPSTREAM:
        with pytest.raises(AttributeError, match="alone"):
            run(model, loss, batch)
    else:
        assert run(model, loss, batch).isfinite()


MODIFIED = [
    ("SentenceTransformer", "MatryoshkaLoss", "SelectivePointwiseLoss"),
    ("SentenceTransformer", "MatryoshkaLoss", "SelectiveListwiseLoss"),
    ("SentenceTransformer", "MatryoshkaLoss", "SelectivePairwiseLoss"),
    ("SentenceTransformer", "AdaptiveLayerLoss", "SelectivePointwiseLoss"),
    ("SentenceTransformer", "Matryoshka2dLoss", "SelectiveMultipleNegativesRankingLoss"),
    ("SparseEncoder", "CachedSpladeLoss", "SelectiveListwiseLoss"),
    ("SparseEncoder", "CSRLoss", "SelectivePairwiseLoss"),
    ("SparseEncoder", "CSRLoss", "SelectiveMultipleNegativesRankingLoss"),
]


@pytest.mark.parametrize(("model_type", "modifier", "inner"), MODIFIED)
def test_modifiers_wrap_selective_losses(model_type: Any, modifier: str, inner: str) -> None:
    entry = loss_entry(modifier, model_type)
    row, selective = next((row, one) for row in rows(model_type) for one in row.selective if one.loss == inner)
    model, batch = model_of(entry), make_batch(row, inner)
    wrapped = build(loss_entry(inner, model_type), model, batch.dataset(), selective)
    value = run(model, build(entry, model, batch.dataset(), loss=wrapped), batch)
    assert value.isfinite()
    assert gradient(model, value).abs().sum() > 0


# --- Traits -----------------------------------------------------------------------------------------------------------

PLAIN = [entry for entry in losses() if entry.role == "loss" and available(entry.since)]
by_entry = pytest.mark.parametrize("entry", PLAIN, ids=[f"{entry.model_type}-{entry.name}" for entry in PLAIN])


def widest(entry: LossEntry) -> tuple[Row, Selective | None]:
    """The row of a loss with the most columns that the installed version takes."""
    found = [row for row in rows_of(entry.name, entry.model_type) if available(row.since)]
    row = max(found, key=lambda row: WIDTHS[row.shape])
    return row, next((one for one in row.selective if one.loss == entry.name), None)


def attempt(entry: LossEntry, row: Row, selective: Selective | None, batch: Batch) -> tuple[float, Tensor]:
    """The value and the gradient of a loss on a batch; for a sparse encoder without the regularizers around it."""
    torch.manual_seed(0)  # for negatives drawn at random, and a classifier's weights
    model = model_of(entry, row)
    loss: Any = build(entry, model, batch.dataset(), selective)
    if is_wrapped(entry):
        collated = BaseDataCollator(model.preprocess)(batch.dataset().to_list())
        features, labels = BaseTrainer.collect_features(None, collated)
        value = loss.compute_loss_from_embeddings([model(one)["sentence_embedding"] for one in features], labels)
    else:
        value = run(model, loss, batch)
    return value.item(), gradient(model, value)


@by_entry
def test_columns_beyond_the_last_one(entry: LossEntry) -> None:
    row, selective = widest(entry)
    batch = make_batch(row, entry.name)
    if entry.max_columns is None:
        for width in (5, 6):
            wider = make_batch(row, entry.name, width)
            value, slope = attempt(entry, row, selective, wider)
            assert value == value
            assert slope.abs().sum() > 0
            # Each column counts: another text there gives another value. The query itself is the closest of all, which
            # also a loss notices that looks at the worst confusion nearly alone.
            wider.columns[-1] = wider.columns[0]
            assert attempt(entry, row, selective, wider)[0] != pytest.approx(value, rel=1e-7)
        return
    batch.columns = batch.columns[: entry.max_columns]
    assert len(batch.columns) == entry.max_columns
    value, _ = attempt(entry, row, selective, batch)
    extra = [model_types.sentence(6000 + place) for place in range(ROWS)]
    batch = Batch([*batch.columns, extra], batch.labels)
    if entry.extra_columns == "ignored":
        assert attempt(entry, row, selective, batch)[0] == pytest.approx(value, rel=1e-5)
    else:
        with pytest.raises((ValueError, AssertionError, TypeError)):
            attempt(entry, row, selective, batch)


@by_entry
def test_columns_below_the_first_one(entry: LossEntry) -> None:
    if entry.min_columns == 1:
        pytest.skip("there is always one column")
    narrowest = min(
        (row for row in rows_of(entry.name, entry.model_type) if available(row.since)),
        key=lambda row: max(WIDTHS[row.shape], entry.min_columns),
    )
    selective = next((one for one in narrowest.selective if one.loss == entry.name), None)
    width = max(WIDTHS[narrowest.shape], entry.min_columns)
    assert width == entry.min_columns, "no row has as few columns"
    attempt(entry, narrowest, selective, make_batch(narrowest, entry.name))
    batch = make_batch(narrowest, entry.name)
    batch.columns.pop()
    candidates = [batch.labels]
    if narrowest.label in ("scores", "margins", "binary list"):
        candidates.append([row[: len(batch.columns) - 1] for row in batch.labels or []])
    for labels in candidates:
        with pytest.raises(Exception):  # noqa: B017, PT011 - upstream fails in many ways
            attempt(entry, narrowest, selective, Batch(batch.columns, labels))


MEAN_OF_NOTHING = {"LambdaLoss", "RankNetLoss"}  # before 6.2 their loss is NaN where no two labels of a batch differ
LABELLED = ("binary", "similarity", "margin", "margins", "scores", "binary list")


def labelled_rows(entry: LossEntry) -> list[tuple[Row, Selective | None]]:
    return [
        (row, next((one for one in row.selective if one.loss == entry.name), None))
        for row in rows_of(entry.name, entry.model_type)
        if row.label in LABELLED and available(row.since)
    ]


def map_labels(labels: Any, change: Callable[[float], float]) -> Any:
    return [map_labels(label, change) for label in labels] if isinstance(labels, list) else change(labels)


@by_entry
def test_equal_labels_teach_nothing_where_only_their_order_counts(entry: LossEntry) -> None:
    found = labelled_rows(entry)
    if not found:
        assert not entry.order_only, "without labels there is no order"
        pytest.skip("its labels are no scores")
    for row, selective in found:
        batch = make_batch(row, entry.name)
        value, slope = attempt(entry, row, selective, batch)
        assert slope.abs().sum() > 0
        equal = 1 if row.label.startswith("binary") else 0.5
        batch.labels = map_labels(batch.labels, lambda _: equal)  # noqa: B023
        if entry.name == "SelectiveMultipleNegativesRankingLoss":  # which takes them for a teacher's scores
            with pytest.raises(ValueError, match=r"in this batch all are 0\.5, which teaches nothing"):
                attempt(entry, row, selective, batch)
            continue
        value, slope = attempt(entry, row, selective, batch)
        if entry.name in MEAN_OF_NOTHING and not available("6.2"):
            assert value != value
            assert entry.order_only
        elif entry.order_only:
            assert value == 0
            assert not slope.any()
        else:
            assert slope.abs().sum() > 0, f"equal labels teach nothing in {row.inputs}, {row.labels}"


@by_entry
def test_labels_anywhere_where_the_catalog_says_so(entry: LossEntry) -> None:
    if entry.score != "any" or not labelled_rows(entry):
        pytest.skip("its labels have a range, or are no scores")
    for row, selective in labelled_rows(entry):
        if selective is not None and "labels" in str(selective.arguments):
            continue  # 1 and 0 for right and wrong
        for scale, shift in ((10.0, 3.0), (1.0, -5.0)):
            batch = make_batch(row, entry.name)
            batch.labels = map_labels(batch.labels, lambda label: scale * label + shift)  # noqa: B023
            value, slope = attempt(entry, row, selective, batch)
            assert value == value
            assert abs(value) < float("inf")
            assert slope.isfinite().all()
            assert slope.abs().sum() > 0, f"labels times {scale} plus {shift} teach nothing"


@pytest.mark.parametrize("name", ["CoSENTLoss", "AnglELoss"])
def test_order_losses_take_any_scale(name: str) -> None:
    entry = loss_entry(name)
    row, selective = labelled_rows(entry)[0]
    batch = make_batch(row, name)
    value, _ = attempt(entry, row, selective, batch)
    batch.labels = map_labels(batch.labels, lambda label: 100 * label - 7)
    assert attempt(entry, row, selective, batch)[0] == pytest.approx(value, rel=1e-6)


# Texts as rows of a table: what each text's embedding is, and the gradient of each, are known exactly.


def table_batch(row: Row, entry: LossEntry, width: int) -> Batch:
    columns = [[str(ROWS * place + number) for number in range(ROWS)] for place in range(width)]
    return Batch(columns, make_labels(row.label, width))


def table_run(
    entry: LossEntry, row: Row, selective: Selective | None, weight: Tensor, batch: Batch
) -> tuple[Tensor, Tensor]:
    """The value and the gradient of each text's embedding."""
    torch.manual_seed(0)
    model = model_types.table_model(entry.model_type, weight)
    guide = model_types.table_model(entry.model_type, torch.randn(weight.shape)) if entry.setup else None
    more = {"guide": guide} if "guide" in dict(entry.arguments) else {}
    loss = build(entry, model, batch.dataset(), selective, **more)
    if is_wrapped(entry):
        columns = [model[0].weight[[int(text) for text in column], 0] for column in batch.columns]
        value = loss.compute_loss_from_embeddings(columns, None if batch.labels is None else torch.tensor(batch.labels))
    else:
        value = run(model, loss, batch)
    value.backward()
    return value.detach(), model[0].weight.grad


def turned(weight: Tensor, texts: Sequence[int]) -> Tensor:
    """The embeddings of these texts times i, as complex numbers: their similarities to one another stay the same."""
    real, imaginary = weight[list(texts)].chunk(2, dim=-1)
    changed = weight.clone()
    changed[list(texts)] = torch.cat([-imaginary, real], dim=-1)
    return changed


BY_TABLE = [entry for entry in PLAIN if entry.model_type != "CrossEncoder" and entry.name != "DenoisingAutoEncoderLoss"]


@pytest.mark.parametrize("entry", BY_TABLE, ids=lambda e: f"{e.model_type}-{e.name}")
def test_in_batch_negatives_are_the_texts_of_other_rows(entry: LossEntry) -> None:
    row, selective = widest(entry)
    width = max(WIDTHS[row.shape], entry.min_columns)
    batch = table_batch(row, entry, width)
    weight = torch.randn(width * ROWS, 2, model_types.DIMENSION, generator=torch.Generator().manual_seed(3))
    last = [ROWS * place + ROWS - 1 for place in range(width)]
    others = [text for text in range(width * ROWS) if text not in last]
    _, before = table_run(entry, row, selective, weight, batch)
    _, after = table_run(entry, row, selective, turned(weight, last), batch)
    assert before[others].abs().sum() > 0
    depends = not torch.allclose(before[others], after[others], rtol=1e-4, atol=1e-7)
    # Losses on classes compare a text with those of other rows too, as their labels say.
    compares = entry.class_batches or entry.name == "SelectiveEmbedDistillLoss"  # with all others, as its teacher does
    assert depends == (entry.in_batch_negatives or compares)


def test_restoring_a_text_takes_no_other_rows() -> None:
    entry = loss_entry("DenoisingAutoEncoderLoss")
    assert not entry.in_batch_negatives
    row = next(row for row in rows_of(entry.name) if row.shape == "pair")
    slopes = []
    for changed in (False, True):
        batch = make_batch(row, entry.name)
        if changed:
            batch.columns = [[*column[:-1], " ".join(reversed(column[-1].split()))] for column in batch.columns]
        torch.manual_seed(0)  # the decoder's new weights
        model = model_types.bert_model()
        kept: list[Tensor] = []

        def keep(_module: Any, _inputs: Any, output: dict[str, Tensor], kept: list[Tensor] = kept) -> None:
            output["sentence_embedding"].retain_grad()
            kept.append(output["sentence_embedding"])

        model[1].register_forward_hook(keep)
        run(model, build(entry, model, batch.dataset()), batch).backward()
        assert kept[0].grad is not None
        slopes.append(kept[0].grad[:-1])
    assert slopes[0].abs().sum() > 0
    torch.testing.assert_close(slopes[0], slopes[1])


@pytest.mark.parametrize("entry", [e for e in PLAIN if e.model_type == "CrossEncoder"], ids=lambda e: e.name)
def test_cross_encoders_score_texts_of_other_rows_where_stated(entry: LossEntry) -> None:
    row, selective = widest(entry)
    batch = make_batch(row, entry.name)
    model = model_of(entry, row)
    scored: list[tuple[str, str]] = []
    preprocess = model.preprocess

    def record(pairs: Any, **options: Any) -> Any:
        scored.extend((query, document) for query, document in pairs)
        return preprocess(pairs, **options)

    model.preprocess = record
    run(model, build(entry, model, batch.dataset(), selective), batch)
    own = set()
    for query, *others in zip(*batch.columns, strict=True):
        for other in others:
            own |= {(query, document) for document in (other if isinstance(other, list) else [other])}
    assert own <= set(scored)
    assert (set(scored) != own) == entry.in_batch_negatives


def _score_entries(score: str) -> list[LossEntry]:
    return [entry for entry in PLAIN if entry.score == score]


@pytest.mark.parametrize("entry", _score_entries("cosine"), ids=lambda e: f"{e.model_type}-{e.name}")
def test_cosine_losses_reach_labels_from_minus_1_to_1_only(entry: LossEntry) -> None:
    weight = torch.randn(4 * ROWS, 2, model_types.DIMENSION, generator=torch.Generator().manual_seed(3))
    found = labelled_rows(entry)
    if not found:
        pytest.skip("no row of it has labels")
    checked = 0
    for row, selective in found:
        if row.label in ("scores", "margins", "margin"):
            batch = make_batch(row, entry.name)
            batch.labels = map_labels(batch.labels, lambda label: 2 * label - 1)
            assert attempt(entry, row, selective, batch)[1].abs().sum() > 0
            batch.labels = map_labels(batch.labels, lambda label: 10 * label)
            limits = r"\[-1, 1\]" if row.label == "scores" else r"\[-2, 2\]"  # a margin is the difference of two
            with pytest.raises(ValueError, match=limits):
                attempt(entry, row, selective, batch)
            checked += 1
        for label in (1.0, -1.0) if row.label == "similarity" else ():
            weight[ROWS : 2 * ROWS] = label * weight[:ROWS]
            batch = table_batch(row, entry, 2)
            batch.labels = [label] * ROWS
            value, _ = table_run(entry, row, selective, weight, batch)
            assert value.item() == pytest.approx(0, abs=1e-5)
            batch.labels = [1.5 * label] * ROWS
            if entry.origin == UPSTREAM:
                assert table_run(entry, row, selective, weight, batch)[0].item() > 0.1
            else:
                with pytest.raises(ValueError, match=r"\[-1, 1\]"):
                    table_run(entry, row, selective, weight, batch)
            checked += 1
    assert checked


@pytest.mark.parametrize("entry", _score_entries("probability"), ids=lambda e: f"{e.model_type}-{e.name}")
def test_probability_losses_make_no_sense_of_other_labels(entry: LossEntry) -> None:
    row, selective = labelled_rows(entry)[0]
    batch = make_batch(row, entry.name)
    batch.columns[1] = list(batch.columns[0])  # the closest of pairs
    batch.labels = [2.0] * ROWS
    if entry.model_type == "CrossEncoder":
        model = model_of(entry, row)
        with torch.no_grad():
            model[0].model.classifier.bias.fill_(30.0)  # as sure as can be
        loss = build(entry, model, batch.dataset(), selective)
        if entry.origin != UPSTREAM:
            with pytest.raises(ValueError, match=r"\[0, 1\]"):
                run(model, loss, batch)
            return
        value = run(model, loss, batch)
        assert value.item() < 0, "a right answer has a loss of 0 or more"
        return
    value, slope = attempt(entry, row, selective, batch)
    assert value < 0 or not slope.any(), "a right answer has a loss of 0 or more, and teaches"


@pytest.mark.parametrize("entry", [e for e in losses() if available(e.since)], ids=lambda e: f"{e.model_type}-{e.name}")
def test_deprecated_losses_warn_and_no_others(entry: LossEntry) -> None:
    row = next(row for row in rows_of(entry.name, entry.model_type) if available(row.since))
    selective = next((one for one in row.selective if one.loss == entry.name), None)
    model, batch = model_of(entry, row), make_batch(row, entry.name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build(entry, model, batch.dataset(), selective)
    told = [str(one.message) for one in caught if entry.name in str(one.message) and "deprecated" in str(one.message)]
    assert bool(told) == bool(entry.deprecated)


STATIC = [e for e in losses("SentenceTransformer") if e.role != "regularizer" and available(e.since)]


@pytest.mark.parametrize("entry", STATIC, ids=lambda e: e.name)
def test_losses_that_do_not_train_static_embeddings_say_so(entry: LossEntry) -> None:
    stated = any("static" in caveat or "transformer" in caveat for caveat in entry.caveats)
    row, selective = widest(entry)
    batch = make_batch(row, entry.name)
    model = model_types.static_model()
    trained = True
    try:
        value = run(model, build(entry, model, batch.dataset(), selective), batch)
        trained = bool(gradient(model, value).abs().sum() > 0)
    except (ValueError, AssertionError, RuntimeError, LookupError, TypeError):
        trained = False
    assert trained != stated


# --- Adding losses, and the table -------------------------------------------------------------------------------------


class HuberLoss(nn.Module):
    """A loss of a reader's own."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, sentence_features: Any, labels: Tensor) -> Tensor:
        one, other = (self.model(features)["sentence_embedding"] for features in sentence_features)
        return nn.functional.huber_loss(torch.cosine_similarity(one, other), labels)


@pytest.fixture
def registry() -> Iterator[None]:
    """The registry is as before after the test."""
    entries, rows_before = dict(_ENTRIES), list(_ROWS)
    yield
    _ENTRIES.clear()
    _ENTRIES.update(entries)
    _ROWS[:] = rows_before


@pytest.mark.usefixtures("registry")
def test_a_registered_loss_is_listed_found_and_trained() -> None:
    before = losses(), rows(), loss_table()
    entry = register_loss(HuberLoss, formats=[("pair", "similarity")], why="tolerates wrong labels", max_columns=2)
    assert (entry.name, entry.model_type, entry.origin) == ("HuberLoss", "SentenceTransformer", "tests")
    assert entry.load() is HuberLoss
    assert loss_entry("HuberLoss") is entry
    assert losses()[-1] is entry
    (row,) = rows_of("HuberLoss")
    assert (row.shape, row.label) == ("pair", "similarity")
    assert row.losses[-1] == "HuberLoss"
    assert "HuberLoss" not in row.recommended
    assert loss_table().replace("<br>`HuberLoss`", "") == before[2]
    assert "HuberLoss" not in loss_table("SparseEncoder")
    value, slope = attempt(entry, row, None, make_batch(row, "HuberLoss"))
    assert value > 0
    assert slope.abs().sum() > 0
    unregister_loss("HuberLoss")
    assert (losses(), rows(), loss_table()) == before


@pytest.mark.usefixtures("registry")
def test_a_registered_loss_may_have_several_formats_and_be_recommended() -> None:
    formats = [("(input_A, input_B) pairs", "float similarity score between 0 and 1"), ("triplet", "margin")]
    register_loss("mine.losses.Both", formats=formats, why="does both", recommended=True)
    assert [(row.shape, row.label) for row in rows_of("Both")] == [("pair", "similarity"), ("triplet", "margin")]
    assert all("Both" in row.recommended for row in rows_of("Both"))
    assert loss_table().count("`Both` ★") == 2
    with pytest.raises(ImportError, match="mine"):
        loss_entry("Both").load()
    replaced = register_loss("other.Both", formats=[("pair", "binary")], why="does another", exist_ok=True)
    assert loss_entry("Both") == replaced
    assert [(row.shape, row.label) for row in rows_of("Both")] == [("pair", "binary")]
    assert loss_table().count("`Both`") == 1


@pytest.mark.usefixtures("registry")
def test_of_several_rows_of_a_kind_the_general_one_is_taken() -> None:
    register_loss("mine.Pairs", formats=[("pair", "none")], why="takes pairs")
    assert [row.inputs for row in rows_of("Pairs")] == ["(anchor, positive) pairs"]
    assert sum((row.shape, row.label) == ("pair", "none") for row in rows("SentenceTransformer")) > 1


@pytest.mark.usefixtures("registry")
def test_a_loss_may_have_the_name_of_one_for_another_model_type() -> None:
    register_loss("mine.HuberLoss", formats=[("pair", "similarity")], why="x", model_type="CrossEncoder")
    with pytest.raises(ValueError, match=r'model_type="CrossEncoder"'):
        loss_entry("HuberLoss")
    assert loss_entry("HuberLoss", "CrossEncoder").module == "mine"


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"loss": "HuberLoss"}, ValueError, "package.module.ClassName"),
    ({"loss": "mine.not a name"}, ValueError, "package.module.ClassName"),
    ({"loss": 3}, TypeError, "must be a class"),
    ({"loss": "mine.CoSENTLoss"}, ValueError, "exist_ok=True"),
    ({"formats": []}, ValueError, "at least one"),
    ({"formats": [("pair", "wishes")]}, ValueError, r'no format \("pair", "wishes"\)'),
    ({"why": " "}, ValueError, "why"),
    ({"model_type": "Encoder"}, ValueError, "must be one of SentenceTransformer"),
    ({"colour": "red"}, TypeError, "unknown colour"),
    ({"origin": "selective_st"}, TypeError, "unknown origin"),
    ({"score": "kosine"}, TypeError, "score must be of type .*cosine.*, got 'kosine'"),
    ({"max_columns": "2"}, TypeError, r"max_columns must be of type int \| None, got '2'"),
    ({"in_batch_negatives": 1}, TypeError, "in_batch_negatives must be of type bool, got 1"),
    ({"setup": "teacher = 1"}, TypeError, "setup must be of type tuple"),
]


@pytest.mark.parametrize(("change", "error", "match"), WRONG)
def test_wrong_registrations_are_refused_and_change_nothing(
    change: dict[str, Any], error: type[Exception], match: str
) -> None:
    before = losses(), rows()
    arguments: dict[str, Any] = {"loss": "mine.HuberLoss", "formats": [("pair", "similarity")], "why": "x"} | change
    with pytest.raises(error, match=match):
        register_loss(arguments.pop("loss"), **arguments)
    assert (losses(), rows()) == before


def test_every_trait_may_be_registered() -> None:
    traits = {one.name for one in fields(LossEntry)} - {"name", "model_type", "module", "why", "origin"}
    with pytest.raises(TypeError, match=r"a loss may have ") as told:
        register_loss("mine.HuberLoss", formats=[("pair", "similarity")], why="x", colour="red")
    assert set(re.findall(r"\w+", str(told.value).split("may have ")[1])) == traits


def test_a_loss_that_is_not_there_is_met_with_help() -> None:
    with pytest.raises(ValueError, match=r"Did you mean .*CoSENTLoss"):
        loss_entry("CosentLoss")
    with pytest.raises(ValueError, match=r'for SparseEncoder: say model_type="SparseEncoder"'):
        loss_entry("SpladeLoss")
    with pytest.raises(ValueError, match=r"(?s)There are .*SpladeLoss.*register_loss"):
        loss_entry("zzz", "SparseEncoder")
    with pytest.raises(ValueError, match="no loss 'zzz'"):
        unregister_loss("zzz")
    assert rows_of("zzz") == []


def test_rows_of_a_loss_are_those_that_name_it() -> None:
    assert {(row.shape, row.label) for row in rows_of("DistillKLDivLoss")} == {
        ("triplet", "scores"),
        ("n-tuple", "scores"),
    }
    assert all(
        "SelectiveListwiseLoss" in {one.loss for one in row.selective} for row in rows_of("SelectiveListwiseLoss")
    )
    assert rows_of("SelectiveListwiseLoss")
    assert rows_of("CachedSelectiveMultipleNegativesRankingLoss", "SparseEncoder") == []
    cached = rows_of("CachedSelectiveMultipleNegativesRankingLoss", "CrossEncoder")
    assert {row.shape for row in cached} == {"pair", "triplet", "n-tuple"}


def test_selections_by_model_type_add_up() -> None:
    assert [entry for model_type in MODEL_TYPES for entry in losses(model_type)] == sorted(
        losses(), key=lambda entry: MODEL_TYPES.index(entry.model_type)
    )
    assert sum(len(rows(model_type)) for model_type in MODEL_TYPES) == len(rows())


# The stars of Sentence Transformers' own loss overviews: "commonly recommended default choices". The overview of cross
# encoders has no stars, but names these two in words.
STARRED: dict[Any, set[tuple[str, str, str]]] = {
    "SentenceTransformer": {
        (name, shape, "none")
        for name in ("MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss")
        for shape in ("pair", "triplet", "n-tuple")
    },
    "CrossEncoder": {
        ("BinaryCrossEntropyLoss", "pair", "binary"),
        ("BinaryCrossEntropyLoss", "pair", "similarity"),
        ("LambdaLoss", "list", "scores"),
    },
    "SparseEncoder": {
        ("SparseMultipleNegativesRankingLoss", shape, "none") for shape in ("pair", "triplet", "n-tuple")
    },
    "MultiVectorEncoder": {
        *(
            (name, shape, "none")
            for name in ("MultiVectorMultipleNegativesRankingLoss", "CachedMultiVectorMultipleNegativesRankingLoss")
            for shape in ("pair", "triplet", "n-tuple")
        ),
        ("MultiVectorDistillKLDivLoss", "n-tuple", "scores"),
    },
}


# What has no star, but is named in words among the commonly used losses, may be recommended too.
NAMED: dict[Any, set[tuple[str, str, str]]] = {
    "SentenceTransformer": {
        (name, "pair", "similarity") for name in ("CoSENTLoss", "AnglELoss", "CosineSimilarityLoss")
    },
    "SparseEncoder": {(name, "n-tuple", "scores") for name in ("SparseDistillKLDivLoss", "SparseMarginMSELoss")},
}


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_recommended_losses_are_those_with_a_star(model_type: Any) -> None:
    found = {(name, row.shape, row.label) for row in rows(model_type) for name in row.recommended}
    assert STARRED[model_type] <= found
    assert found - STARRED[model_type] <= NAMED.get(model_type, set())


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_table_says_what_the_rows_say(model_type: Any) -> None:
    titles = {"main": "Losses", "modifier": "Loss modifiers", "regularization": "Regularization"}
    titles["distillation"] = "Distillation"
    lines = loss_table(model_type).splitlines()
    for section, title in titles.items():
        wanted = [row for row in rows(model_type) if row.section == section]
        assert (f"### {title}" in lines) == bool(wanted)
        if not wanted:
            continue
        start = lines.index(f"### {title}") + 2
        heading, rule, *rest = lines[start:]
        body = rest[: len(wanted)]
        assert len(rest) == len(wanted) or rest[len(wanted)] == "", "as many lines as rows"
        count = 4 + any(row.outputs for row in wanted)
        assert heading.count(" | ") == count - 1
        assert rule == f"|{'---|' * count}"
        for row, line in zip(wanted, body, strict=True):
            cells = line[2:-2].split(" | ")
            assert len(cells) == count, f"a cell holds the table's own sign: {line}"
            assert cells[0].startswith(f"`{row.inputs}`")
            assert ("(from " in cells[0]) == (row.since != "6.0")
            assert row.note in cells[0]
            assert cells[1] == f"`{row.labels}`"
            assert cells[2] == f"`{row.outputs}`" or count == 4
            told = [] if cells[-2] == "none" else cells[-2].split("<br>")
            assert len(told) == len(row.losses)
            for name, cell in zip(row.losses, told, strict=True):
                entry = loss_entry(name, model_type)
                assert cell.startswith(f"`{name}`")
                assert ("★" in cell) == (name in row.recommended)
                assert ("†" in cell) == bool(entry.deprecated)
                assert (f"(from {entry.since})" in cell) == (entry.since != "6.0")
            for one in row.selective:
                assert f"`{one.loss}`, `{one.link}`" in cells[-1]
            assert row.selective or cells[-1] == f"none: {row.why_none}"


def test_the_table_is_of_a_known_model_type() -> None:
    with pytest.raises(ValueError, match="loss_table: model_type must be one of SentenceTransformer, CrossEncoder"):
        loss_table("Encoder")  # type: ignore[arg-type]


def test_the_catalog_imports_nothing_heavy() -> None:
    code = (
        "import sys, selective_st.registry.catalog as catalog; catalog.loss_table(); "
        "print(sorted({'torch', 'datasets', 'pandas', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
