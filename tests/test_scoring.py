"""`predict_scores`: whatever a model embeds, and in single precision whatever the model's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import Tensor

from selective_st.evaluation import ScoreListEvaluator, ScoreRegionEvaluator, predict_scores
from selective_st.evaluation.scoring import embeds_queries_apart, first_are_queries
from tests import random_inputs
from tests.host import needs_host
from tests.model_types import (
    WORDS,
    bert_model,
    cross_encoder,
    multi_vector_model,
    sentence,
    splade_model,
    static_model,
    tokenizer,
)

pytestmark = pytest.mark.numerical

FIRST, SECOND = ([sentence(number) for number in range(begin, begin + 20)] for begin in (0, 100))


class Doubles:
    """Embeds {"value": 3} as 3: a stand-in for models of pictures and other inputs that have no hash."""

    def __init__(self) -> None:
        self.embedded = 0

    def encode(self, inputs: Sequence[Any], **settings: Any) -> Tensor:
        self.embedded += len(inputs)
        return torch.tensor([[float(value["value"] if isinstance(value, dict) else len(value))] for value in inputs])

    encode_query = encode_document = encode

    def similarity_pairwise(self, first: Tensor, second: Tensor) -> Tensor:
        return (first * second).sum(1)


@pytest.mark.parametrize("as_queries", [False, True])
def test_inputs_without_a_hash(as_queries: bool) -> None:
    first: list[Any] = [{"value": 2}, {"value": 2}, "abc"]
    second: list[Any] = [{"value": 5}, {"value": 7}, {"value": 1}]
    scores = predict_scores(Doubles(), first, second, as_queries=as_queries)
    assert scores.tolist() == [10, 14, 3]
    regions = ScoreRegionEvaluator(first, second, [0.1, 0.5, 1.0])
    assert regions.predict(Doubles()).tolist() == [10, 14, 3]  # type: ignore[arg-type]


def test_each_text_is_embedded_once_as_a_query() -> None:
    model = Doubles()
    assert predict_scores(model, ["a", "a", "bb"], ["a", "bb", "a"], as_queries=True).tolist() == [1, 2, 2]
    assert model.embedded == 4


@pytest.mark.parametrize("make", [bert_model, splade_model, multi_vector_model])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_embeddings_are_scored_in_single_precision(make: Any, dtype: torch.dtype) -> None:
    model = make().to(dtype)
    if make is multi_vector_model:
        vectors: list[Any] = [model.encode_query(FIRST), model.encode_document(SECOND)]
    else:
        vectors = [model.encode(texts, convert_to_tensor=True).to_dense() for texts in (FIRST, SECOND)]
    single = [[vector.float() for vector in embedded] for embedded in vectors]
    if make is not multi_vector_model:
        single = [torch.stack(embedded) for embedded in single]
    assert vectors[0][0].dtype == dtype or make is splade_model  # whose embeddings are single anyway
    expected = np.asarray(model.similarity_pairwise(*single))
    assert predict_scores(model, FIRST, SECOND) == pytest.approx(expected, abs=1e-6, rel=1e-6)


# --- Queries and documents --------------------------------------------------------------------------------------------

QUERIES, DOCUMENTS = WORDS[:12], WORDS[12:24]  # the word at a place of one answers that of the other
INSTRUCTION = "warm"


def _table(rows: dict[str, Tensor]) -> Tensor:
    """The embeddings of the vocabulary: those given, and others at random."""
    vocabulary = tokenizer().get_vocab()
    table = torch.randn(len(vocabulary), len(QUERIES), generator=random_inputs.generator(0))
    for word, vector in rows.items():
        table[vocabulary[word]] = vector
    return table


def _static(rows: dict[str, Tensor]) -> StaticEmbedding:
    return StaticEmbedding(tokenizer(), embedding_weights=_table(rows).numpy())


def routed() -> SentenceTransformer:
    """It knows queries and documents by two tables; documents' is the default, where queries' words are noise."""
    axes = torch.eye(len(QUERIES))
    router = Router.for_query_document(
        [_static(dict(zip(QUERIES, axes, strict=True)))], [_static(dict(zip(DOCUMENTS, axes, strict=True)))]
    )
    return SentenceTransformer(modules=[router], device="cpu")


def prompted(name: str = "query") -> SentenceTransformer:
    """It finds documents only after its prompt: without it, all queries lie near the same documents."""
    axes = torch.eye(len(QUERIES))
    apart = 5 * torch.linspace(-1, 1, len(QUERIES))
    rows = dict(zip(DOCUMENTS, axes, strict=True)) | {INSTRUCTION: apart}
    rows |= {word: axis - apart for word, axis in zip(QUERIES, axes, strict=True)}
    model = SentenceTransformer(modules=[_static(rows)], device="cpu")
    model.prompts = {name: f"{INSTRUCTION} ", "document" if name == "query" else "query": ""}
    return model


def questions() -> tuple[list[str], list[str], list[float], list[list[int]]]:
    """Each query with four documents, one of them right."""
    first = [query for query in QUERIES for _ in range(4)]
    second = [DOCUMENTS[(place + step) % len(DOCUMENTS)] for place in range(len(QUERIES)) for step in (0, 3, 5, 7)]
    return first, second, [1.0, 0.0, 0.0, 0.0] * len(QUERIES), np.arange(len(first)).reshape(-1, 4).tolist()


MODELS = pytest.mark.parametrize("make", [routed, prompted], ids=["modules", "prompts"])


class TestQueries:
    @MODELS
    def test_are_embedded_as_such(self, make: Any) -> None:
        model = make()
        assert embeds_queries_apart(model)
        *data, groups = questions()
        evaluator = ScoreRegionEvaluator(*data, groups=groups)  # type: ignore[arg-type]
        assert evaluator(model)["map"] == 1
        alike = ScoreRegionEvaluator(*data, groups=groups, as_queries=False)(model)["map"]  # type: ignore[arg-type]
        assert 0.3 < alike < 0.75  # of one in four, by chance 0.52
        # As the evaluator of lists, and as the model itself.
        samples = [
            {"query": query, "positive": DOCUMENTS[place], "negative": [DOCUMENTS[(place + 3) % 12]]}
            for place, query in enumerate(QUERIES)
        ]
        assert ScoreListEvaluator(samples)(model)["map"] == 1
        expected = model.similarity_pairwise(model.encode_query(data[0]), model.encode_document(data[1]))
        assert predict_scores(model, data[0], data[1]) == pytest.approx(expected.numpy(), abs=1e-6)

    @MODELS
    def test_choose_the_threshold_too(self, make: Any) -> None:
        *data, _ = questions()
        found = ScoreRegionEvaluator(*data).choose_threshold(make(), gold=1.0)  # type: ignore[arg-type]
        assert found.metric_value == 1
        # Of a validation split whose texts do not tell, as the pairs that it decides for are embedded.
        some = [column[::4] + column[1:9:4] for column in data]
        on_dev = ScoreRegionEvaluator(some[0][:12], some[1][:12], [*some[2][:11], 0.0])  # type: ignore[arg-type]
        told = ScoreRegionEvaluator(some[0][:12], some[1][:12], [*some[2][:11], 0.0], as_queries=True)  # type: ignore[arg-type]
        evaluator = ScoreRegionEvaluator(*data, threshold_from=on_dev)  # type: ignore[arg-type]
        evaluator(make())
        assert evaluator.threshold == told.choose_threshold(make())
        assert evaluator.threshold != on_dev.choose_threshold(make())

    @MODELS
    def test_symmetric_pairs_stay_symmetric(self, make: Any, caplog: pytest.LogCaptureFixture) -> None:
        model = make()
        first, second = list(QUERIES), list(DOCUMENTS)
        evaluator = ScoreRegionEvaluator(first, second, np.linspace(0, 1, 12))  # type: ignore[arg-type]
        for _ in range(2):
            scores = evaluator.predict(model)
        expected = model.similarity_pairwise(model.encode(first), model.encode(second))
        assert scores == pytest.approx(expected.numpy(), abs=1e-6)
        swapped = ScoreRegionEvaluator(second, first, np.linspace(0, 1, 12)).predict(model)  # type: ignore[arg-type]
        assert swapped == pytest.approx(scores, abs=1e-6)
        # It matters and nobody told: said once.
        assert caplog.text.count("as_queries=True embeds them so") == 2  # of two evaluators
        told = ScoreRegionEvaluator(first, second, np.linspace(0, 1, 12), as_queries=True)  # type: ignore[arg-type]
        caplog.clear()
        assert told.predict(model) == pytest.approx(
            model.similarity_pairwise(model.encode_query(first), model.encode_document(second)).numpy(), abs=1e-6
        )
        assert not caplog.text

    def test_a_prompt_for_documents_matters_too(self) -> None:
        for name in ("document", "passage", "corpus"):
            assert embeds_queries_apart(prompted(name))

    @pytest.mark.parametrize("make", [static_model, bert_model, splade_model, cross_encoder])
    def test_models_that_know_none_say_nothing(self, make: Any, caplog: pytest.LogCaptureFixture) -> None:
        model = make()
        assert not embeds_queries_apart(model)
        with caplog.at_level(logging.INFO, logger="selective_st"):
            ScoreRegionEvaluator(FIRST, SECOND, np.linspace(0, 1, 20)).predict(model)  # type: ignore[arg-type]
        assert not caplog.text

    def test_what_texts_tell(self) -> None:
        assert first_are_queries(["a", "a", "b"])
        assert not first_are_queries(["a", "a", "b", "c", "d"])
        assert not first_are_queries([])
        assert not first_are_queries([{"value": 1}, {"value": 1}])

    def test_refused(self) -> None:
        with pytest.raises(TypeError, match="as_queries must be of type bool"):
            ScoreRegionEvaluator(FIRST, SECOND, [0.5] * 20, as_queries="yes")  # type: ignore[arg-type]


class TestEncoding:
    """The options of upstream's evaluators, against upstream's."""

    GOLD = np.linspace(0, 1, 20).tolist()

    @pytest.mark.parametrize(
        "options",
        [
            {"truncate_dim": 4},
            {"similarity_fn_names": ["cosine"]},
            {"similarity_fn_names": ["cosine", "dot", "euclidean"]},
            {"precision": "float32"},
            *(
                pytest.param({"precision": precision}, marks=needs_host("6.2", "its evaluator fails on integers"))
                for precision in ("int8", "uint8", "binary", "ubinary")
            ),
        ],
        ids=str,
    )
    def test_as_upstream(self, options: dict[str, Any]) -> None:
        model = bert_model()
        theirs = EmbeddingSimilarityEvaluator(FIRST, SECOND, self.GOLD, name="dev", **options)(model)
        evaluator = ScoreRegionEvaluator(FIRST, SECOND, self.GOLD, name="dev", main_metric="spearman", **options)
        ours = evaluator(model)
        assert set(evaluator.metric_names) == {name.removeprefix("dev_") for name in ours}
        end = "" if "similarity_fn_names" in options else "_cosine"
        names = [name for name in theirs if name != "dev_pearson_max"]
        assert names
        for name in names:
            assert ours[name.removesuffix(end)] == pytest.approx(theirs[name], abs=1e-5), name
        assert evaluator.primary_metric in ours
        several = len(options.get("similarity_fn_names", ())) > 1
        assert ("dev_spearman_max" in ours) == several
        assert model.similarity_fn_name == "cosine"  # as it was

    def test_a_prompt_of_the_model(self) -> None:
        model = prompted()
        model.prompts["other"] = "cold "
        evaluator = ScoreRegionEvaluator(list(QUERIES), list(DOCUMENTS), np.linspace(0, 1, 12), prompt_name="other")  # type: ignore[arg-type]
        expected = [model.encode(list(texts), prompt_name="other") for texts in (QUERIES, DOCUMENTS)]
        assert evaluator.predict(model) == pytest.approx(model.similarity_pairwise(*expected).numpy(), abs=1e-6)
        assert evaluator.get_config_dict()["prompt_name"] == "other"
        reranker = cross_encoder()
        reranker.prompts = {"task": "old red "}
        samples = [{"query": FIRST[0], "positive": SECOND[0], "negative": SECOND[1:3]}]
        found = ScoreListEvaluator(samples, prompt_name="task").predict(reranker)[0]
        pairs = [(FIRST[0], text) for text in SECOND[:3]]
        assert found == pytest.approx(reranker.predict(pairs, prompt_name="task"), abs=1e-6)
        assert np.abs(found - reranker.predict(pairs)).max() > 1e-4

    @pytest.mark.parametrize(
        ("make", "options", "message"),
        [
            (bert_model, {"truncate_dim": 0}, "truncate_dim must be a whole number of at least 1"),
            (bert_model, {"precision": "int4"}, "int4"),
            (bert_model, {"similarity_fn_names": "cosine"}, "similarity_fn_names must be a list of names"),
            (bert_model, {"similarity_fn_names": ["nearness"]}, "nearness"),
            (bert_model, {"prompt_name": "task"}, "Prompt name 'task' not found"),
            (cross_encoder, {"truncate_dim": 3}, "a CrossEncoder takes no truncate_dim, got 3"),
            (cross_encoder, {"similarity_fn_names": ["dot"]}, "a CrossEncoder takes no similarity_fn_names"),
            (splade_model, {"precision": "int8"}, "a SparseEncoder takes no precision, got 'int8'"),
        ],
    )
    def test_refused(self, make: Any, options: dict[str, Any], message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=message):
            ScoreRegionEvaluator(FIRST, SECOND, self.GOLD, **options).predict(make())
