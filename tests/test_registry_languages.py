"""Schemas in other languages: the names say what they say in English."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset

from selective_st.registry import DataFormat, detect_format, suggest_losses

N = 20
_WORDS = ["river", "stone", "house", "green", "walk", "music", "paper", "light", "cloud", "train", "market", "garden"]


def _text(seed: int) -> str:
    return " ".join(_WORDS[(seed * step + step * step) % len(_WORDS)] for step in range(1, 8)) + f" {seed}"


_NLI = ("entailment", "neutral", "contradiction")
_REAL = (0.5, 1.25, 3.75, 4.5, 0.1)


@pytest.mark.parametrize(
    ("texts", "label", "values", "kind"),
    [
        ("질의 정답 오답", None, (), "none"),
        ("질문 답변", None, (), "none"),
        ("전제 가설", "라벨", _NLI, "class"),
        ("문장1 문장2", "유사도", _REAL, "similarity"),
        ("질문1 질문2", "중복여부", (0, 1), "binary"),
        ("zapytanie pozytywny negatywny", None, (), "none"),
        ("zdanie_1 zdanie_2", "podobieństwo", _REAL, "similarity"),
        ("vraag juist_antwoord fout_antwoord", None, (), "none"),
        ("查询 正样本 负样本", None, (), "none"),
        ("句子1 句子2", "相似度", _REAL, "similarity"),
        ("前提 仮説", "ラベル", _NLI, "class"),
        ("посылка гипотеза", "метка", (0, 1, 2), "class"),
        ("запрос положительный отрицательный", None, (), "none"),
        ("pregunta respuesta", None, (), "none"),
        ("frase_a frase_b", "semelhança", _REAL, "similarity"),
        ("domanda risposta", None, (), "none"),
        ("texte1 texte2", "est_doublon", (0, 1), "binary"),
    ],
)
def test_names_are_read(texts: str, label: str | None, values: tuple[Any, ...], kind: str) -> None:
    names = texts.split()
    columns: dict[str, list[Any]] = {
        name: [_text(k + 31 * place) for k in range(N)] for place, name in enumerate(names)
    }
    columns |= {} if label is None else {label: [values[k % len(values)] for k in range(N)]}
    # Further columns that people publish beside them change nothing.
    more = {"id": [f"d{k:04d}" for k in range(N)], "url": [f"https://example.org/{k}" for k in range(N)]}
    found = detect_format(more | columns)
    assert isinstance(found, DataFormat)
    assert (found.inputs, found.label, found.label_column) == (tuple(names), kind, label)
    assert found.certainty != "unclear"


@pytest.mark.parametrize(
    "label",
    [
        "Abstand", "Unterschied", "écart", "distancia", "differenza", "diferença", "afstand", "odległość", "mesafe",
        "расстояние", "距離", "差异度", "거리", "avstånd", "vzdálenost", "levenshtein", "euclidean", "ter",
        "error_rate",
    ],
)  # fmt: skip
def test_what_is_the_more_the_less_two_texts_are_alike_is_turned_round(label: str) -> None:
    names = ("satz1", "satz2")
    columns: dict[str, list[Any]] = {
        name: [_text(k + 31 * place) for k in range(N)] for place, name in enumerate(names)
    }
    data = Dataset.from_dict({**columns, label: [k / (N - 1) for k in range(N)]})
    found = detect_format(data)
    assert found.certainty == "unclear"
    assert not suggest_losses(data)
    after = data
    for step in found.readings[0].steps:
        after = step.apply(after)
    assert after["score"][:] == pytest.approx([1 - k / (N - 1) for k in range(N)])
    assert detect_format(after).label == "similarity"
