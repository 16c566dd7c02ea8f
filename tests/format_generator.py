"""Variants of datasets whose meaning is known: names in seven languages, further columns, every order.

Each is a schema of a kind that people publish, with columns beside it that are no inputs: constants, categories, IDs,
dates, links, counts and tags. What does not matter must change nothing; what cannot be told must be said to be unclear.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

ROWS = 20
_LINE = (
    "river stone house green walk music paper light cloud train market garden winter summer blue happy long small "
    "people city school book water fire table window morning friend road letter"
)
_WORDS = _LINE.split()


@dataclass(frozen=True)
class Variant:
    """A dataset, and what it means.

    Attributes:
        kind: Which schema.
        columns: The data.
        shape: The inputs; None where it cannot be told.
        label: The kind of the labels.
        inputs: The inputs in their order.
        label_column: The label column.
    """

    kind: str
    columns: dict[str, list[Any]]
    shape: str | None
    label: str | None
    inputs: tuple[str, ...]
    label_column: str | None


Maker = Callable[[random.Random], list[Any]]


def text(draw: random.Random, words: int = 5) -> str:
    return " ".join(draw.choice(_WORDS) for _ in range(words))


def texts(draw: random.Random) -> list[str]:
    return [text(draw) for _ in range(ROWS)]


def lists(size: int) -> Maker:
    return lambda draw: [[text(draw) for _ in range(size)] for _ in range(ROWS)]


def of(*values: Any) -> Maker:
    def make(draw: random.Random) -> list[Any]:
        found = [values[i % len(values)] for i in range(ROWS)]
        draw.shuffle(found)
        return found

    return make


def real(low: float, high: float) -> Maker:
    return lambda draw: [round(draw.uniform(low, high), 2) for _ in range(ROWS - 2)] + [low, high]


def votes(draw: random.Random) -> list[int]:
    return [draw.randrange(4_000) for _ in range(ROWS)]


# Names of a text and what belongs to it; of two texts alike and what grades them; of right and wrong; of a class.
_ASKED = {
    "en": ("query", "document"),
    "en2": ("question", "answer"),
    "en3": ("user_query", "passage_text"),
    "de": ("Frage", "Antwort"),
    "fr": ("requête", "réponse"),
    "es": ("pregunta", "respuesta"),
    "it": ("domanda", "risposta"),
    "pt": ("pergunta", "resposta"),
    "nl": ("vraag", "antwoord"),
}
_ALIKE = {
    "en": ("sentence1", "sentence2", "score"),
    "en2": ("text_a", "text_b", "similarity"),
    "en3": ("headline_1", "headline_2", "relatedness_score"),
    "de": ("satz1", "satz2", "Ähnlichkeit"),
    "fr": ("phrase1", "phrase2", "similarité"),
    "es": ("oracion1", "oracion2", "similitud"),
    "it": ("frase1", "frase2", "punteggio"),
    "pt": ("texto_1", "texto_2", "pontuação"),
    "nl": ("zin1", "zin2", "gelijkenis"),
}
_SAME = {
    "en": ("question1", "question2", "is_duplicate"),
    "en2": ("title_left", "title_right", "label"),
    "de": ("text_a", "text_b", "Duplikat"),
    "fr": ("texte1", "texte2", "doublon"),
    "es": ("texto1", "texto2", "duplicado"),
    "it": ("testo1", "testo2", "duplicato"),
    "pt": ("frase1", "frase2", "igual"),
}
_CONTRAST = {
    "en": ("anchor", "positive", "negative"),
    "en2": ("query", "positive_passage", "negative_passage"),
    "en3": ("prompt", "chosen", "rejected"),
    "de": ("Frage", "richtige_Antwort_positiv", "falsche_Antwort"),
    "fr": ("question", "réponse_positive", "réponse_fausse"),
    "es": ("consulta", "respuesta_positiva", "respuesta_negativa"),
    "it": ("domanda", "risposta_positiva", "risposta_sbagliata"),
    "pt": ("consulta", "resposta_positiva", "resposta_errada"),
    "nl": ("vraag", "antwoord_positief", "fout_antwoord_negatief"),
}
_CLASSES = {
    "en": ("text", "category", ("sports", "politics", "science")),
    "en2": ("message", "emotion", ("joy", "anger", "fear")),
    "en3": ("utterance_text", "intent", ("book", "cancel", "ask")),
    "de": ("Nachricht", "Abteilung", ("Vertrieb", "Technik")),
    "fr": ("message", "sentiment", ("positif", "négatif", "neutre")),
    "es": ("comentario", "categoría", ("queja", "elogio")),
    "it": ("messaggio", "argomento", ("sport", "cultura")),
    "pt": ("mensagem", "assunto", ("venda", "suporte")),
    "nl": ("bericht", "onderwerp", ("sport", "politiek")),
}
_INFERENCE = {
    "en": ("premise", "hypothesis", ("entailment", "neutral", "contradiction")),
    "en2": ("clause_a", "clause_b", ("none", "partial", "full")),
    "en3": ("claim", "evidence", ("supports", "refutes", "not enough info")),
}

_BESIDE: dict[str, Maker] = {
    "locale": of("us"),
    "query_locale": of("en_US", "de_DE"),
    "id": lambda draw: [f"row-{i:04}" for i in range(ROWS)],
    "uuid": lambda draw: [f"{draw.getrandbits(32):08x}-0000-4000-8000-{i:012d}" for i in range(ROWS)],
    "row_number": lambda draw: list(range(ROWS)),
    "created_at": lambda draw: [f"2024-03-{i + 1:02} 10:{i:02}:00" for i in range(ROWS)],
    "Datum": lambda draw: [f"{i + 1:02}.03.2024" for i in range(ROWS)],
    "brand": of("acme", "bolt", "core"),
    "register": of("formal", "informal"),
    "kleur": of("rood", "blauw", "groen", "geel"),
    "genre": of("news", "fiction"),
    "length": lambda draw: [draw.randrange(300) for _ in range(ROWS)],
    "url": lambda draw: [f"https://example.org/{i}" for i in range(ROWS)],
    "source": of("web", "wiki"),
    "split": of("train"),
    "upvotes": votes,
    "tokens": lists(3),
    "system": of("You are a helpful assistant."),
    "context_code": lambda draw: [f"B{draw.randrange(10, 99)}" for _ in range(ROWS)],
    "year": lambda draw: [draw.randrange(1990, 2024) for _ in range(ROWS)],
    "empty": lambda draw: [None] * ROWS,
    "meta_json": lambda draw: [f'{{"page": {i}}}' for i in range(ROWS)],
}


def _schemas() -> Iterator[tuple[str, dict[str, Maker], str | None, str | None, str | None]]:
    """The kinds: columns in the order that is meant, then shape, label and label column."""
    for first, second in _ASKED.values():
        yield "asked", {first: texts, second: texts}, "pair", "none", None
        yield "asked, 0/1", {first: texts, second: texts, "label": of(0, 1)}, "pair", "binary", "label"
    for first, second, score in _ALIKE.values():
        yield "alike", {first: texts, second: texts, score: real(0, 1)}, "pair", "similarity", score
        yield "alike to 5", {first: texts, second: texts, score: real(0, 5)}, "pair", "similarity", score
    for first, second, label in _SAME.values():
        yield "same", {first: texts, second: texts, label: of(0, 1)}, "pair", "binary", label
    for names in _CONTRAST.values():
        yield "contrast", dict.fromkeys(names, texts), "triplet", "none", None
    for name, label, classes in _CLASSES.values():
        yield "class", {name: texts, label: of(*classes)}, "single", "class", label
        yield "class in numbers", {name: texts, "label": of(0, 1, 2)}, "single", "class", "label"
    for first, second, classes in _INFERENCE.values():
        yield "inference", {first: texts, second: texts, "label": of(*classes)}, "pair", "class", "label"
    yield (
        "relation in words",
        _columns("clause_a clause_b", contradiction_type=of("none", "partial")),
        "pair",
        "class",
        ("contradiction_type"),
    )
    yield "right and wrong", {"query": texts, "pos": lists(3), "neg": lists(2)}, "n-tuple", "none", None
    yield "right ones", {"question": texts, "positives": lists(2)}, "pair", "none", None
    # What nobody can tell.
    for label in (of(0, 1), of("low", "medium", "high"), real(0, 1)):
        yield "parts", _columns("title body", label=label), None, None, None
        yield "parts", _columns("Betreff Nachricht", label=label), None, None, None
        yield "three and a number", _columns("name description story", rating=real(1, 5)), None, None, None
    yield "three and a number", _columns("query title description", score=real(0, 1)), None, None, None
    yield "numbered", _columns("text_1 text_2 text_3 text_4"), None, None, None
    yield "three", _columns("title abstract conclusion"), None, None, None
    yield "two right", _columns("query passage response"), None, None, None
    yield "only wrong", _columns("question wrong_answer"), None, None, None
    yield "only wrong", _columns("Frage falsche_Antwort"), None, None, None
    yield "votes", _columns("post reply", score=votes), None, None, None
    yield "quality", _columns("recipe_name ingredients", rating=of(1, 2, 3, 4, 5)), None, None, None
    yield "yes or no", _columns("question passage", label=of("yes", "no")), None, None, None
    yield "choices", _columns("question", options=lists(4), answer_letter=of("A", "B", "C")), None, None, None
    yield "opposite", _columns("sentence1 sentence2", not_duplicate=of(0, 1)), None, None, None
    yield "unknown number", _columns("query document", extent=real(0, 1)), None, None, None


def _columns(names: str, **more: Maker) -> dict[str, Maker]:
    return {**dict.fromkeys(names.split(), texts), **more}


def variants(times: int = 24) -> Iterator[Variant]:
    """Every schema with other columns beside it, in another order, `times` times.

    Yields:
        The variants.
    """
    for number, (kind, makers, shape, label, label_column) in enumerate(_schemas()):
        for time in range(times):
            draw = random.Random(f"{number} {time}")
            others = [name for name in _BESIDE if kind != "class" or name not in ("genre", "kleur")]  # rival classes
            beside = draw.sample(others, min(time, draw.randrange(4)))
            made = {name: maker(draw) for name, maker in (makers | {each: _BESIDE[each] for each in beside}).items()}
            order = list(made)
            if time:
                draw.shuffle(order)
            inputs = tuple(name for name in makers if name != label_column)
            yield Variant(kind, {name: made[name] for name in order}, shape, label, inputs, label_column)
