"""What a custom loss owes Sentence Transformers where users bring links, routes and arguments of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from selective_st.cross_encoder import losses as cross
from selective_st.links import Link
from selective_st.losses import (
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectivePointwiseLoss,
    WeightedLoss,
)
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.registry import create_loss
from tests import model_types
from tests.model_types import WORDS, sentence


class Kind(Enum):
    A = 1


class Holding(Link):
    """A link of a user's own that holds something beside numbers."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held

    def h(self, z: Tensor) -> Tensor:
        return z


HELD: dict[str, tuple[Any, Any]] = {  # what a link holds, and what its loss's config says of it
    "function": (torch.tanh, "tanh"),
    "lambda": (lambda z: z, "<lambda>"),
    "module": (nn.ReLU(), "ReLU"),
    "enum": (Kind.A, "Kind"),
    "tensor": (torch.tensor([1.0, 2.0]), [1.0, 2.0]),
    "array": (np.array([1.0, 2.0]), [1.0, 2.0]),
    "number": (np.float32(2.0), 2.0),
}


@pytest.mark.parametrize("held", HELD)
def test_the_config_is_json_whatever_a_link_holds(held: str) -> None:
    value, said = HELD[held]
    model = model_types.static_model()
    for link, place in ((Holding(value), ()), (0.5 * Holding(value), ("links", 0))):
        loss = SelectivePointwiseLoss(model, link)
        for config in (loss.get_config_dict(), WeightedLoss(model, {"part": loss}).get_config_dict()):
            found: Any = json.loads(json.dumps(config))
            found = found["losses"]["part"]["config"] if "losses" in found else found
            found = found["link"]
            for key in place:
                found = found[key]
            assert found == {"type": "Holding", "held": said}


def test_links_that_hold_tensors_are_compared_and_trained() -> None:
    one, same, other = (Holding(torch.tensor(values)) for values in ([1.0, 2.0], [1.0, 2.0], [1.0, 3.0]))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert Holding(torch.tanh) != Holding(torch.sigmoid)
    loss = SelectiveListwiseLoss(model_types.static_model(), link=one, calibration_link=other)
    columns = [torch.rand(4, 3, requires_grad=True) for _ in range(3)]
    loss.compute_loss_from_embeddings(columns, torch.rand(4, 2)).backward()
    assert all(column.grad is not None and column.grad.abs().sum() > 0 for column in columns)


def test_a_link_that_is_no_data_is_no_focus() -> None:
    data = Dataset.from_dict({"a": ["x", "y"], "b": ["z", "w"], "score": [0.1, 0.9]})
    with pytest.raises(ValueError, match=r"focus must be a link that can be written as code, .* link=\.\.\."):
        create_loss(model_types.static_model(), data, focus=Holding(torch.tanh))


@pytest.mark.slow
@pytest.mark.parametrize("held", ["function", "tensor"])
def test_such_a_link_does_not_stop_a_training_that_writes_a_card(held: str, tmp_path: Path) -> None:
    model = model_types.static_model()
    loss = SelectivePointwiseLoss(model, Holding(HELD[held][0]))
    pairs = {name: [sentence(place + row) for row in range(4)] for place, name in ((0, "a"), (50, "b"))}
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path / "out"), max_steps=1, report_to="none", use_cpu=True, disable_tqdm=True, save_strategy="no"
    )
    trainer = SentenceTransformerTrainer(
        model,
        arguments,
        Dataset.from_dict({**pairs, "score": [0.1, 0.9, 0.4, 0.6]}),
        loss=loss,
        callbacks=[SelectiveModelCardCallback(loss)],
    )
    trainer.train()
    model.save_pretrained(str(tmp_path / "model"))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert json.dumps({"type": "Holding", "held": HELD[held][1]}) in card


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda model: SelectivePointwiseLoss(), "missing a required argument: 'model'"),
        (lambda model: SelectivePointwiseLoss(model, None, link=None), "multiple values for argument 'link'"),
        (lambda model: SelectivePointwiseLoss(model, *[None] * 5), "too many positional arguments"),
    ],
)
def test_arguments_that_do_not_fit_are_told_with_the_loss_and_the_right_ones(
    make: Callable[[Any], Any], words: str
) -> None:
    known = "model, link, cos_score_transformation, similarity_fct, targets"
    with pytest.raises(TypeError, match=f"^SelectivePointwiseLoss: {words}. Its arguments are, in this order, {known}"):
        make(model_types.static_model())


def test_what_is_said_of_an_empty_list_mends_the_dataset() -> None:
    dataset = Dataset.from_dict({"q": ["a", "b"], "docs": [["c"], []], "label": [[1.0], []]})
    loss = cross.SelectivePointwiseLoss(model_types.cross_encoder())
    with pytest.raises(ValueError, match="the list of row 1 of the batch is empty") as raised:
        loss([dataset["q"], dataset["docs"]], [torch.tensor(row) for row in dataset["label"]])
    names: dict[str, Any] = {"dataset": dataset}
    exec(str(raised.value).split("Leave such rows out: ")[1].rstrip("."), names)
    assert names["dataset"]["docs"] == [["c"]]


def _backwards() -> Tokenizer:
    """A tokenizer of the same words with other numbers."""
    vocabulary = {word: place for place, word in enumerate(["[UNK]", *reversed(WORDS)])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def test_a_guide_reads_queries_and_documents_by_its_own_routes_and_the_right_tokens() -> None:
    torch.manual_seed(0)
    queries, documents = [sentence(row) for row in range(4)], [sentence(50 + row) for row in range(4)]
    routes = [StaticEmbedding(tokens, embedding_dim=16) for tokens in (_backwards(), model_types.tokenizer())]
    model, guide = (
        SentenceTransformer(modules=[Router.for_query_document([query], list(document))], device="cpu")
        for query, document in (
            (routes[0], [routes[1]]),
            (StaticEmbedding(model_types.tokenizer(), embedding_dim=16), model_types.bert_model()),
        )
    )
    loss = SelectiveMultipleNegativesRankingLoss(model, guide=guide)
    features = [model.preprocess(queries, task="query"), model.preprocess(documents, task="document")]
    guided = loss._guide.embed(features)
    expected = [guide.encode(texts, task=task) for texts, task in ((queries, "query"), (documents, "document"))]
    for found, wanted in zip(guided, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6)
    loss(features).backward()
