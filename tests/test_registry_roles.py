"""Which columns are meant, by names and values: what once was taken for something else, and more of each kind."""

from __future__ import annotations

import random
from typing import Any

import pytest
from datasets import ClassLabel, Dataset

from selective_st.errors import DataError
from selective_st.registry import Suggestions, create_loss, suggest_losses
from selective_st.registry.detection import DataFormat, detect_format
from tests import model_types
from tests.format_generator import ROWS, lists, of, real, texts, votes
from tests.test_registry_corpus import ALL, as_dataset, detected

DRAW = random.Random(7)


def data(names: str, **more: Any) -> dict[str, list[Any]]:
    """Columns of texts, then further ones, each made by its maker."""
    return {**{name: texts(DRAW) for name in names.split()}, **{name: make(DRAW) for name, make in more.items()}}


def classes(dataset: dict[str, list[Any]], *names: str) -> Dataset:
    made = Dataset.from_dict({**dataset, "label": [row % len(names) for row in range(ROWS)]})
    return made.cast_column("label", ClassLabel(names=list(names)))


def found(columns: Any) -> DataFormat:
    result = detect_format(columns)
    assert isinstance(result, DataFormat)
    return result


def told(columns: Any) -> str:
    """Shape, label, inputs and label column; `unclear`, with nothing suggested, where it is."""
    result = found(columns)
    if result.certainty == "unclear":
        assert list(suggest_losses(columns)) == []
        return "unclear"
    return " ".join([f"{result.shape}/{result.label}", *result.inputs, result.label_column or "-"])


_TEXT = of("Find the products for it")
_ANSWERS = of("A", "B", "C")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        # A column of one value, or of a few short ones, is set aside.
        (
            data("query product_title", query_locale=of("us"), score=real(0, 1)),
            "pair/similarity query product_title score",
        ),
        (data("job resume", locale=of("us"), label=of(0, 1)), "pair/binary job resume label"),
        (data("query document", prompt=_TEXT), "pair/none query document -"),
        (data("query title", brand=of("acme", "bolt", "core")), "pair/none query title -"),
        (data("frage antwort", sprache=of("de")), "pair/none frage antwort -"),
        (
            data("premise hypothesis", label=of(0, 1, 2), register=of("formal", "informal")),
            "pair/class premise hypothesis label",
        ),
        (data("query target", context=of("B12", "C07", "A61"), score=real(0, 1)), "pair/similarity query target score"),
        (data("question answer", asked_at=of("2024-01-02 10:00", "2024-02-03 11:30")), "pair/none question answer -"),
        # Three texts and a number are no margin by their number.
        (data("name ingredients story", rating=of(1, 2, 3, 4, 5)), "unclear"),
        (data("query title description", score=real(0, 1)), "unclear"),
        (data("query positive negative", score=real(0.5, 9)), "triplet/margin query positive negative score"),
        # What a label may tell of one text.
        (classes(data("subject message"), "low", "medium", "high"), "unclear"),
        (data("title text", label=of(0, 1)), "unclear"),
        (data("Betreff Nachricht", label=of("positiv", "negativ")), "unclear"),
        (data("title abstract", similarity=real(0, 1)), "pair/similarity title abstract similarity"),
        (data("post reply", score=votes), "unclear"),
        (classes(data("question passage"), "no", "yes"), "unclear"),
        (data("question passage", is_relevant=of(True, False)), "pair/binary question passage is_relevant"),
        (data("recipe_name ingredients", cuisine=of("thai", "greek"), rating=of(1, 2, 3, 4, 5)), "unclear"),
        # Classes of single texts, in words.
        (data("message", emotion=of("joy", "anger", "fear")), "single/class message emotion"),
        (data("Nachricht", Abteilung=of("Vertrieb", "Technik")), "single/class Nachricht Abteilung"),
        (data("clause", clause_type=of("term", "fee")), "single/class clause clause_type"),
        # Labels in words beside two texts; answer keys and times.
        (
            data("clause_a clause_b", contradiction_type=of("none", "partial", "full")),
            "pair/class clause_a clause_b contradiction_type",
        ),
        (
            data("sentence1 sentence2", relation_type=of("cause", "contrast")),
            "pair/class sentence1 sentence2 relation_type",
        ),
        (data("question", options=lists(4), answer_letter=_ANSWERS), "unclear"),
        (data("search_phrase", searched_at=of("2024-01-02 10:00", "2024-02-03 11:30")), "single/none search_phrase -"),
        # Numbered texts, parts, several right texts, a negative alone.
        (data("text_1 text_2 text_3 text_4"), "unclear"),
        (data("title abstract conclusion"), "unclear"),
        (data("query passage response"), "unclear"),
        (data("question wrong_answer"), "unclear"),
        (data("pregunta respuesta_incorrecta"), "unclear"),
        (data("sentence0 sentence1 hard_negative"), "triplet/none sentence0 sentence1 hard_negative -"),
        # IDs alone; numbers that count rows.
        (
            {
                "query_id": [f"q{i}" for i in range(ROWS)],
                "product_id": [f"p{i}" for i in range(ROWS)],
                **data("", label=of("exact", "none")),
            },
            "unclear",
        ),
        ({**data("input_text output_text"), "row_numbers": list(range(ROWS))}, "pair/none input_text output_text -"),
        # What is said of another column is no label beside it.
        (
            data("tweet", tweet_sentiment=of("good", "bad"), tweet_sentiment_confidence=real(0.3, 1)),
            "single/class tweet tweet_sentiment",
        ),
        (
            data("claim tweet", stance=of("support", "deny"), stance_weight=real(0, 2)),
            "pair/class claim tweet stance",
        ),
        (data("question answer", answerType=of("yes_no", "open")), "pair/none question answer -"),
        # Scores by which pairs were mined, beside texts that belong together.
        (data("source_text target_text", laser_score=real(1, 1.3)), "pair/none source_text target_text -"),
        (data("source target", bicleaner_score=real(0, 1)), "pair/none source target -"),
        # Two labels, of which one is known by its words only.
        (
            data("sentence_A sentence_B", similarity=real(1, 5), outcome=of("entailment", "contradiction")),
            "unclear",
        ),
        (data("frase1 frase2", similaridade=real(1, 5), saida=of("implicação", "contradição")), "unclear"),
        # What is denied is a negative, in whatever language.
        (
            data("ricerca documento_rilevante documento_irrilevante"),
            "triplet/none ricerca documento_rilevante documento_irrilevante -",
        ),
        (data("query relevant_text irrelevant_text"), "triplet/none query relevant_text irrelevant_text -"),
        (
            data("zapytanie trafny_dokument nietrafny_dokument"),
            "triplet/none zapytanie trafny_dokument nietrafny_dokument -",
        ),
        # What several people said, and how many said it, is not yet a label; votes of readers are none.
        (data("question1 question2", annotator_1=of(0, 1), annotator_2=of(0, 1)), "unclear"),
        (data("text1 text2", worker1=of(True, False), worker2=of(True, False)), "unclear"),
        (data("question1 question2", yes_votes=of(0, 1, 2, 3), no_votes=of(0, 1, 2, 3)), "unclear"),
        (data("text_a text_b", ja_stimmen=of(0, 1, 2, 3), nein_stimmen=of(0, 1, 2, 3)), "unclear"),
        (
            data("query passage", expert_1=of("relevant", "not relevant"), expert_2=of("relevant", "not relevant")),
            "unclear",
        ),
        (data("question answer", second_look=of("match", "mismatch")), "pair/binary question answer second_look"),
        (data("question answer", has_image=of("yes", "no")), "pair/none question answer -"),
        (data("question answer", annotator=of(0, 1, 2, 3)), "pair/none question answer -"),
        (data("question answer", upvotes=of(0, 1, 2, 3), downvotes=of(0, 1, 2, 3)), "pair/none question answer -"),
        # A score of something else, beside two texts.
        (data("title plot", imdb_score=real(1, 9)), "unclear"),
        (data("タイトル 本文", 点数=real(0, 5)), "unclear"),
        (data("name description", health_score=real(0, 100)), "unclear"),
        (data("title plot", relevance_score=real(0, 1)), "pair/similarity title plot relevance_score"),
        (data("title plot", cross_encoder_score=real(0, 1)), "pair/similarity title plot cross_encoder_score"),
        # A label named after one of two texts, whose values tell of both, or not.
        (
            data("claim evidence", evidence_label=of("SUPPORTS", "REFUTES", "NEI"), entropy=real(0, 1)),
            "pair/class claim evidence evidence_label",
        ),
        (data("question answer", answer_label=of("yes", "no")), "pair/binary question answer answer_label"),
        (data("context response", context_label=of("happy", "sad", "angry")), "pair/none context response -"),
        # Right and wrong in more languages.
        (data("domanda risposta", corretta=of(0, 1)), "pair/binary domanda risposta corretta"),
        (data("문장1 문장2", 유사여부=of(0, 1)), "pair/binary 문장1 문장2 유사여부"),
        (
            data("soru doğru_cevap yanlış_cevap"),  # noqa: RUF001
            "triplet/none soru doğru_cevap yanlış_cevap -",  # noqa: RUF001
        ),
        (
            data("Frage korrekte_Antwort inkorrekte_Antwort"),
            "triplet/none Frage korrekte_Antwort inkorrekte_Antwort -",
        ),
        # Names that are not English.
        (data("질문 정답문서 오답문서"), "triplet/none 질문 정답문서 오답문서 -"),
        (data("문장1 문장2", 유사도=real(0, 5)), "pair/similarity 문장1 문장2 유사도"),
        (data("전제 가설", 레이블=of("함의", "모순", "중립")), "pair/class 전제 가설 레이블"),
        (data("zoekvraag", afdeling=of("Verkoop", "Techniek")), "single/class zoekvraag afdeling"),
        (data("Frage Antwort", Bewertung=real(0, 5)), "pair/similarity Frage Antwort Bewertung"),
        (data("requête document", pertinence=of(0, 1, 2, 3)), "pair/similarity requête document pertinence"),
        (
            data("pregunta respuesta_positiva respuesta_negativa"),
            "triplet/none pregunta respuesta_positiva respuesta_negativa -",
        ),
    ],
)
def test_what_the_columns_are(columns: Any, expected: str) -> None:
    assert told(columns) == expected


@pytest.mark.parametrize(("words", "label"), [(("same", "different"), "class"), (("different", "same"), "binary")])
def test_words_beside_a_label_say_what_its_numbers_mean(words: tuple[str, str], label: str) -> None:
    numbers = [row % 2 for row in range(ROWS)]
    columns = {**data("text_a text_b"), "label": numbers, "label_name": [words[number] for number in numbers]}
    assert told(columns) == f"pair/{label} text_a text_b label"
    assert found(columns).certainty == "likely"


def test_what_is_set_aside_is_told_with_its_reason() -> None:
    result = found(data("query document", prompt=_TEXT, locale=of("us", "de")))
    assert any(
        "'prompt'" in reason and "same text in every row" in reason and "prompts" in reason for reason in result.reasons
    )
    assert any("'locale'" in reason and "few short texts" in reason for reason in result.reasons)


# --- Lists of right and wrong texts -----------------------------------------------------------------------------------


def _steps_done(columns: dict[str, Any], model_type: Any = "SentenceTransformer") -> Dataset:
    suggestions = suggest_losses(columns, model_type=model_type)
    dataset = Dataset.from_dict(columns)
    for step in suggestions[0].steps:  # type: ignore[index]
        dataset = step.apply(dataset)
    return dataset


@pytest.mark.parametrize(("right", "wrong"), [(3, 2), (1, 2), (2, 1), (4, 4)])
def test_lists_of_positives_are_rows_of_their_own(right: int, wrong: int) -> None:
    columns = data("query", pos=lists(right), neg=lists(wrong))
    made = _steps_done(columns)
    negatives = ["negative"] if wrong == 1 else [f"negative_{k + 1}" for k in range(wrong)]
    assert made.column_names == ["query", "positive", *negatives]
    assert len(made) == right * ROWS
    by_query = {query: (set(pos), set(neg)) for query, pos, neg in zip(*columns.values(), strict=True)}
    for row in made:
        assert row["positive"] in by_query[row["query"]][0]
        assert {row[name] for name in negatives} == by_query[row["query"]][1]
    assert set(made["positive"]) == {text for texts in columns["pos"] for text in texts}


def test_an_empty_list_of_negatives_is_none() -> None:
    columns = {**data("query", pos=lists(2)), "neg": [[] for _ in range(ROWS)]}
    assert told(columns) == "pair/none query pos -"
    assert _steps_done(columns).column_names == ["query", "positive"]
    some = {**columns, "neg": [["a b c"] if row % 2 else [] for row in range(ROWS)]}
    assert any("left out" in step.why for step in found(some).steps)
    assert len(_steps_done(some)) == ROWS  # two rows for each of half of them


def test_scores_of_right_and_wrong_texts_are_joined() -> None:
    columns = data("query", pos=lists(1), neg=lists(2))
    columns |= {"pos_scores": [[0.9]] * ROWS, "neg_scores": [[0.3, 0.1]] * ROWS, "prompt": ["Find it for me"] * ROWS}
    assert told(columns) == "list/scores query pos neg -"
    made = _steps_done(columns, "CrossEncoder")
    assert made.column_names == ["query", "documents", "labels"]
    assert made[0]["labels"] == [0.9, 0.3, 0.1]
    assert made[0]["documents"] == [*columns["pos"][0], *columns["neg"][0]]


def test_a_list_for_a_cross_encoder_holds_both_sides() -> None:
    columns = data("query", pos=lists(2), neg=lists(3))
    suggestions = suggest_losses(columns, model_type="CrossEncoder")
    assert isinstance(suggestions, Suggestions)
    [conversion] = [each for each in suggestions.conversions if each.to == ("list", "scores")]
    dataset = Dataset.from_dict(columns)
    for step in conversion.steps:
        dataset = step.apply(dataset)
    assert dataset[0]["labels"] == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert dataset[0]["documents"] == [*columns["pos"][0], *columns["neg"][0]]


# --- Cells that hold more than texts ----------------------------------------------------------------------------------


def test_cells_of_objects_are_named_with_the_line_that_takes_out_their_texts() -> None:
    passages = [[{"docid": str(row), "text": f"a passage about the number {row}"}] for row in range(ROWS)]
    columns = {**data("query"), "positive_passages": passages}
    assert told(columns) == "unclear"
    assert any("'docid'" in doubt and "'text'" in doubt for doubt in found(columns).doubts)
    [reading] = found(columns).readings
    assert reading.code().splitlines()[-1] == 'dataset = flatten_cells(dataset, "positive_passages", "text")'
    made = Dataset.from_dict(columns)
    for step in reading.steps:
        made = step.apply(made)
    assert told(made) == "pair/none query positive_passages -"


# --- Readings ---------------------------------------------------------------------------------------------------------

UNCLEAR = [name for name in ALL if detected(name).certainty == "unclear" and "image" not in name]


@pytest.mark.parametrize("name", UNCLEAR)
def test_the_steps_of_a_reading_choose_it(name: str) -> None:
    assert len(detected(name).readings) <= 3
    for reading in detected(name).readings:
        dataset = as_dataset(name)
        for step in reading.steps:
            dataset = step.apply(dataset)
        again = found(dataset)
        assert reading.words
        if reading.steps and reading.shape is not None:
            assert again.certainty != "unclear", (reading.words, again.doubts)
            assert (again.shape, again.label) == (reading.shape, reading.label), reading.words


def test_most_of_what_is_unclear_has_readings() -> None:
    assert sum(bool(detected(name).readings) for name in UNCLEAR) >= 15


def test_unclear_data_get_the_readings_instead_of_a_loss() -> None:
    model = model_types.static_model()
    columns = data("title text", label=of(0, 1))
    with pytest.raises(
        DataError, match=r"(?s)not clear.*If 'label' is the class of 'text':.*select_columns\(\[\"text\""
    ):
        create_loss(model, columns)
    built = create_loss(model, Dataset.from_dict(columns), loss="ContrastiveLoss")
    assert type(built).__name__ == "ContrastiveLoss"


@pytest.mark.parametrize(
    "columns",
    [
        classes(data("title content"), "negative", "positive"),
        classes(data("title text"), "no", "yes"),
        data("text1 text2", annotator1=of("yes", "no"), annotator2=of("yes", "no")),
    ],
)
def test_yes_and_no_of_two_texts_are_read_as_0_and_1(columns: Any) -> None:
    """Not as classes, which the steps of the reading would not make of them."""
    kinds = {(reading.shape, reading.label) for reading in found(columns).readings}
    assert ("pair", "binary") in kinds
    assert ("pair", "class") not in kinds


def test_a_label_of_premises_needs_no_name_that_says_so() -> None:
    """A premise and a hypothesis are no pair without their label."""
    pairs = data("premise hypothesis")
    assert told({**pairs, **data("", foo=of("yes", "no"))}) == "pair/binary premise hypothesis foo"
    assert (
        told({**pairs, **data("", category=of("alpha", "beta", "gamma"))}) == "pair/class premise hypothesis category"
    )


def test_what_a_person_judged_is_no_person() -> None:
    result = found(data("question answer", reviewer_opinion=of("good", "bad", "fair")))
    assert (result.certainty, result.label_column) == ("unclear", "reviewer_opinion")
    assert found(data("question answer", speaker=of("A", "B"))).label_column is None
