"""`predict_scores`: whatever a model embeds, and in single precision whatever the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from selective_st.evaluation import ScoreRegionEvaluator, predict_scores
from tests.model_types import bert_model, multi_vector_model, sentence, splade_model
from tests.tolerances import about

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
    assert predict_scores(model, FIRST, SECOND) == about(expected, torch.float32)
