"""What names of columns say: what an input is for, what kind of label there is, and what is neither.

A name is read by its words. The last one says what the column is (`answer_letter` is a letter, no answer); words for a
text (`answer_text`, `product_title`) leave that to those before them. The vocabulary is English, German, French,
Spanish, Italian, Portuguese and Dutch, with some Japanese, Chinese, Korean and Russian; accents do not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal

Role = Literal["anchor", "positive", "negative", "numbered"]
Says = Literal["score", "class", "binary", "label", ""]


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


TRAINER_LABELS = ("label", "labels", "score", "scores")  # in the trainer's order
RESERVED = ("dataset_name", "return_loss")  # the trainer refuses them

_ID_NAMES = _set(
    "id ids idx index guid uuid qid qids pid pids did dids sid uid cid nid docid docids docno docnos md5 sha sha1 hash "
    "asin sku isbn doi kennung identifiant identificador identificativo identificatore nummer"
)
# What IDs are of, where one word says both.
_ID_OF = dict.fromkeys(("qid", "qids"), "query") | dict.fromkeys(("pid", "pids"), "passage")
_ID_OF |= dict.fromkeys(("did", "dids", "docid", "docids", "docno", "docnos"), "document")

_ANCHOR_WORDS = _set(
    "anchor anchors query queries question questions q qtext prompt prompts instruction instructions "
    "search searchterm request "
    "frage fragen anfrage suchanfrage suchbegriff suche anker requete recherche ancre "
    "pregunta preguntas consulta busqueda ancla domanda domande richiesta ricerca quesito "
    "pergunta perguntas busca pesquisa ancora vraag vragen zoekopdracht zoekvraag zoekterm "
    "pytanie zapytanie soru sorgu "
    "вопрос запрос 質問 クエリ 检索 検索 问题 查询 질문 질의"
)
_POSITIVE_WORDS = _set(
    "positive positives pos answer answers atext response responses reply document documents doc docs passage passages "
    "paragraph paragraphs context candidate candidates completion entailment evidence "
    "chosen preferred accepted winner winners winning better best upvoted "
    "antwort antworten positiv dokument dokumente absatz kontext kandidat treffer textstelle "
    "reponse reponses positif document paragraphe contexte candidat extrait "
    "respuesta respuestas positivo documento documentos pasaje parrafo contexto candidato "
    "risposta risposte passaggio paragrafo contesto resposta respostas passagem "
    "antwoord antwoorden positief alinea passaggi chunk chunks similar supporting odpowiedz dokument cevap yanit belge "
    "richtiger richtige richtiges ответ документ 回答 文書 商品 正例 答案 文档 正样本 답변 대답 정답 문서 긍정 "
    "pozytywny pozytywna poprawna положительный верный"
)
_NEGATIVE_WORDS = _set(
    "negative negatives neg negs contradiction distractor distractors irrelevant nonrelevant wrong incorrect "
    "downvoted rejected dispreferred unpreferred nonpreferred unchosen loser losers losing worse worst bad "
    "hn hneg distracting dissimilar falscher 負例 负样本 "
    "negativ falsch falsche falsches negatif negatifs faux fausse mauvais mauvaise incorrecte "
    "negativo negativos negativa incorrecto incorrecta errado errada sbagliato sbagliata errato errata "
    "negatief fout foute verkeerd 오답 부정 "
    "negatywny negatywna błedna отрицательный неверный"
)
_EXPLICIT_POSITIVES = _set(
    "similar supporting richtiger richtige 正例 正样本 정답 긍정 "
    "positive positives pos positiv positif positivo positief"
)
_SEARCH = _set(
    "query queries search searchterm suchanfrage suchbegriff requete recherche busqueda ricerca busca zoekopdracht"
)
_RIGHT_WORDS = _set("answers correct gold chosen accepted antworten reponses respuestas risposte respostas antwoorden")
_NUMBERED_STEMS = _set(
    "sentence sent s text txt t input question query q string str phrase utterance title item example clause product "
    "headline paragraph tweet name description word term claim abstract body post code left_title "
    "satz frage phrase oracion frase zin titel texto testo texte titre titulo titolo tekst 文 文章 句子 "
    "문장 텍스트 질문"
)
_NUMBER_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "first": 1, "second": 2, "third": 3, "left": 1, "right": 2}
# Pairs of names whose first comes first, though neither says so without the other.
_NLI_COUPLES = (
    ("premise", "hypothesis"),
    ("premisse", "hypothese"),
    ("pramisse", "hypothese"),
    ("premisa", "hipotesis"),
    ("premissa", "hipotese"),
    ("premessa", "ipotesi"),
    ("посылка", "гипотеза"),
    ("前提", "仮説"),
    ("前提", "假设"),
    ("전제", "가설"),
)
_COUPLES = (
    *_NLI_COUPLES,
    ("source", "target"),
    ("source_sentence", "target_sentence"),
    ("source_text", "target_text"),
    ("src", "tgt"),
    ("claim", "evidence"),
    ("original", "paraphrase"),
    ("sentence", "paraphrase"),
    ("text", "paraphrase"),
    ("source", "paraphrase"),
    ("source", "plagiarism"),
    ("original", "translation"),
    ("english", "non_english"),
    ("job", "resume"),
    ("query", "target"),
    ("anchor", "target"),
    ("question", "sentence"),
    ("input", "output"),
    ("input_text", "output_text"),
    ("input_text", "target_text"),
    ("user", "assistant"),
    ("word", "definition"),
    ("term", "definition"),
    ("citing", "cited"),
    ("context", "utterance"),
    ("context", "response"),
    ("context", "reply"),
    ("history", "response"),
    ("dialogue", "response"),
    ("post", "reply"),
    ("message", "reply"),
)
_DAMAGED_WORDS = _set("damaged noisy noised corrupted corrupt masked")
_RESTORED_WORDS = _set("original clean restored target text")

_SCORE_WORDS = _set(
    "score scores similarity similarities sim relatedness rating ratings sts cosine closeness relevance relevancy "
    "grade grades ahnlichkeit aehnlichkeit bewertung punktzahl punkte relevanz similarite pertinence note "
    "similitud similaridad puntuacion puntaje relevancia calificacion valoracion nota "
    "similarita somiglianza punteggio rilevanza valutazione similaridade semelhanca pontuacao avaliacao "
    "gelijkenis overeenkomst relevantie beoordeling оценка сходство релевантность "
    "podobienstwo benzerlik adequation passung "
    "スコア 関連度 類似度 分数 相似度 유사도 점수 관련도"
)
# Of labels: how good something is, which need not be how well two texts belong together.
_QUALITY_WORDS = _set(
    "оценка ocena puan 評価 评分 "
    "rating ratings grade grades stars bewertung note calificacion valoracion nota beoordeling"
)
# Of labels: what they say is of one text, whatever stands beside it.
_ONE_TEXT = _set(
    "sentiment emotion polarity toxicity toxic fluency quality reward helpfulness readability difficulty spam "
    "stimmung sentimiento sentimento"
)
_CLASS_WORDS = _set(
    "class classes judgment judgement nli verdict stance relation annotation klasse clase classe klass класс"
)
_CLASS_HEADS = _set("type kind level quality status class category klasse kategorie art typ tipo clase categoria")
_RELATION_WORDS = _set(
    "contradiction entailment relation relationship similarity match duplicate paraphrase relevance equivalence "
    "overlap agreement nli"
)
_BINARY_WORDS = _set(
    "duplicate duplicates paraphrase relevant match matches matching matched equivalent correct same "
    "clicked aligned supported entailed linked дубликат trafny ilgili 是否 중복 일치 重複 重复 geklikt "
    "duplikat dublette gleich passend passt treffer doublon pertinent identique duplicado relevante igual coincide "
    "duplicato rilevante uguale duplikaat"
)
_DIFFERENT_WORDS = _set("different dissimilar distinct nonduplicate")
_OTHER_LABEL_WORDS = _set(
    "label labels target gold y margin margins logit logits embedding embeddings emb probabilities probs probability "
    "stars teacher etikett etikette etiquette etiqueta etichetta rotulo метка 标签 ラベル 라벨 레이블"
)
# Classes of single texts.
TOPIC_NAMES = _set(
    "category topic intent sentiment emotion genre domain thema kategorie absicht stimmung gefuhl abteilung "
    "sujet categorie intention emotion tema categoria intencion sentimiento emocion argomento intento sentimento "
    "emozione assunto intencao emocao onderwerp gevoel department priority severity"
)

METADATA_WORDS = _set(
    "length len count num number year month day date time timestamp page offset start end fold votes "
    "vote upvotes downvotes likes views age price tokens token words chars version mask "
    "turn turns round rounds chapter duration salary amount ups latency ms ts seconds minutes hours clicks_total "
    "annotators annotator lineno line row rows seed epoch step batch size at variance std sort order "
    "jahr datum seite preis anzahl lange annee prix fecha precio numero ano anno prezzo preco jaar prijs"
)
METADATA_NAMES = _set(
    "source url link tokens lang language split dataset subset genre domain author authors license file filename "
    "filepath path date timestamp metadata meta type task parse tree category topic year month id_type locale country "
    "region register brand color colour size user username location place state city platform device channel style "
    "artist singer creator publisher repo repository partition hardness os browser company "
    "difficulty level gender sprache quelle autor marke langue auteur marque idioma fuente marca lingua fonte autore "
    "fonte taal bron merk region pays pais paese"
)
# The last word of a name that says something of the text before it.
_FIT_WORDS = _set("rank ranks ranking position confidence weight weights prob")  # how well it fits, in its way
_PERSONS = _set("reviewer annotator editor owner assignee author worker rater speaker")
_REMARKS = _set("explanation explanations rationale reason reasons justification remark remarks comment_on note notes")
_ATTRIBUTES = (
    _ID_NAMES
    | METADATA_WORDS
    | _CLASS_HEADS
    | _set(
        "letter key code lang language locale source url link domain topic author title_id tag tags flag country brand "
        "encoding embedding hash path file reason parse by on"
    )
    | _PERSONS
)
# What is tried first by a model, with the wanted one among it: no text to train on by itself.
_CHOICES = _set("option options choice choices alternatives optionen opciones opzioni opcoes keuzes")
_PARTS = (
    _set(
        "title headline subject heading titel betreff uberschrift titre objet titulo asunto titolo oggetto assunto "
        "onderwerp"
    ),
    _set(
        "body text content message abstract description article review post conclusion story plot details "
        "nachricht inhalt beschreibung corps contenu texte cuerpo contenido descripcion mensaje mensagem corpo "
        "conteudo testo contenuto messaggio bericht inhoud"
    ),
)
_INSTRUCTIONS = _set("prompt instruction instructions system task prefix template anweisung aufgabe consigne")
MEDIA_WORDS = _set("image images img audio video photo picture")

POSITIVE_VALUES = _set(
    "yes true positive relevant entailment equivalent duplicate paraphrase similar same match related "
    "ja wahr gleich oui vrai si verdadero sim verdadeiro vero да tak evet 是 はい y"
)
NEGATIVE_VALUES = _set(
    "no false negative irrelevant different dissimilar mismatch unrelated "
    "nein falsch verschieden non faux nao falso nee нет nie hayir 否 いいえ n"
)
_YES = _set("yes true ja oui si sim wahr vrai y t да tak evet 是 はい")
_JUDGED = _set(
    "good bad up down high low medium partial full none exact poor fair excellent positive negative neutral accept "
    "reject pass fail gut schlecht hoch niedrig bon mauvais bueno malo buono cattivo bom ruim goed slecht"
)
_RELATION_VALUES = _set(
    "entailment contradiction supports support refutes refute undermine attack agree disagree discuss related "
    "unrelated fit match mismatch duplicate paraphrase equivalent relevant irrelevant same different similar dissimilar"
)
_LABEL_NAMES = _set("label labels etikett etikette etiquette etiqueta etichetta rotulo метка 标签 ラベル 라벨 레이블")
NEGATIONS = ("not", "non", "no", "un", "in", "ir", "dis", "mis")
_NOT_WORDS = _set("not non isnt arent")  # each denies what follows, whatever that is
# Of labels: the more there is of it, the less the texts belong together.
_APART_WORDS = _NEGATIVE_WORDS | _set(
    "distance distances dist dists difference differences diff diffs different differs distinct dissimilar dissim "
    "divergence opposite unlike"
)
_ALIKE_WORDS = _set("similar related relation equal alike identical preferred chosen accepted entailment aligned")
# Of labels: these may name one of the inputs, and say nothing of whether they belong together.
CHOICE_WORDS = _set("winner winners preference preferences preferred choice better best convincing")
_FLAG_WORDS = _set("chosen preferred accepted rejected")  # of answers, or of the marks that they got
NLI_VALUES = {"entailment", "neutral", "contradiction", "not_entailment"}

_UNPARTED = _set(
    "正例 負例 正样本 负样本 是否 評価 评分 質問 クエリ 問題 问题 查询 回答 文書 答案 文档 検索 商品 関連度 スコア "
    "類似度 分数 相似度 ラベル 标签 前提 仮説 番号 编号 重複 重复 "
    "질문 질의 답변 대답 정답 오답 문서 문장 텍스트 유사도 점수 관련도 중복 일치 라벨 레이블 전제 가설"
)

_WRITINGS = _set("str string html raw clean cleaned plain markdown text")

# Words for the text itself, which leave it to the others what it is for.
_CARRIERS = _set("text txt title body content string str sentence raw full value description desc snippet")


def _plain(letter: str) -> str:
    """A Latin letter without its accents; other letters are others without theirs."""
    parts = unicodedata.normalize("NFKD", letter)
    return parts[0] if parts[0].isascii() else letter


@cache
def key_of(name: str) -> str:
    """A name in one way of writing: `sentenceA`, `Sentence A`, `sentence_A` and `sêntence-a` are the same."""
    plain = "".join(map(_plain, unicodedata.normalize("NFC", name.strip())))
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain)
    return re.sub(r"[\s\-.:/]+", "_", parted).strip("_").lower()


@cache
def stem_of(name: str) -> tuple[str, int | None]:
    """A name without its number, and the number: that of `sentence_B` and `document_two` is 2."""
    key = key_of(name)
    found = re.fullmatch(r"(.+?)_?(\d+)", key) or re.fullmatch(r"(.+)_([a-e]|one|two|three|four|left|right)", key)
    if found is None and key in ("texta", "textb", "senta", "sentb"):
        found = re.fullmatch(r"(.+)([ab])", key)
    if found is None:
        first, _, rest = key.partition("_")
        return (rest, _NUMBER_WORDS[first]) if rest and first in _NUMBER_WORDS else (key, None)
    stem, number = found.groups()
    if number.isdecimal():
        return stem, int(number)
    return stem, _NUMBER_WORDS.get(number) or ord(number) - ord("a") + 1


@cache
def words_of(name: str) -> list[str]:
    """The words of a name, without its number; where words are not parted, those that are known."""
    words = stem_of(name)[0].split("_")
    if not re.search("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]", name):
        return words
    return words + [word for word in _UNPARTED if word in words[0] and word != words[0]]


def _meant_words(name: str) -> list[str]:
    """The words of a name without those at its end that only say that it is a text: of `answer_text` the first."""
    words = words_of(name)
    while len(words) > 1 and words[-1] in _CARRIERS:
        words = words[:-1]
    return words


@cache
def is_id_name(name: str) -> bool:
    """Whether a name is that of IDs, or of an index that pandas saved."""
    words = words_of(name)
    last = words[-1]
    compound = last.endswith(("nummer", "номер", "番号", "编号")) or (len(last) > 4 and last.endswith("nr"))
    if _CLASS_WORDS & set(words):
        return False  # a class index
    told = last in _ID_NAMES or words[0] == "id" or compound or _id_of(last) is not None
    return told or key_of(name).startswith(("index_level", "unnamed_0"))


def without_id(name: str) -> str:
    """What IDs stand for, by their name: `neg_pid` is a `neg_passage`; empty where the name does not say it."""
    stem, number = stem_of(name)
    kept = [_id_of(word) or word for word in stem.split("_") if word not in _ID_NAMES or word in _ID_OF]
    kept = ["document"] if kept == ["corpus"] else kept
    return "_".join([*kept, *([str(number)] if kept and number is not None else [])])


def _id_of(word: str) -> str | None:
    """What the IDs are of that one word names, as `queryid`."""
    what = re.sub("ids?$", "", word)
    known = what != word and len(what) > 1 and what in _ANCHOR_WORDS | _POSITIVE_WORDS | _NEGATIVE_WORDS
    return _ID_OF.get(word, what if known else None)


def is_headerless(name: str) -> bool:
    """Whether a name is none: `3`, `column_3`, `Unnamed: 3`."""
    return bool(re.fullmatch(r"\d+|(col|column|field|c|f|v|x|unnamed)_?\d+", key_of(name)))


def is_nameless(name: str) -> bool:
    """Whether a name says nothing: none, one letter, a number, or a sentence that was taken for a header."""
    key = key_of(name)
    is_number = bool(re.fullmatch(r"[\d_]+", key))
    return (
        is_headerless(name) or len(key) == 1 or is_number or (key.count("_") > 2 and bool(re.search(r"[.?!]$", name)))
    )


@cache
def is_attribute_name(name: str) -> bool:
    """Whether a name is that of something said of a text: `answer_letter`, `query_locale`, `genre`."""
    words = words_of(name)
    if _is_among(key_of(name), METADATA_NAMES | _PERSONS):
        return True
    return len(words) > 1 and words[-1] in _ATTRIBUTES and not _is_relation_class(words)


def _is_among(key: str, names: frozenset[str]) -> bool:
    """Whether a name is one of some, or several of it."""
    return key in names or key.removesuffix("s") in names or re.sub("ies$", "y", key) in names


def is_fit_name(name: str) -> bool:
    """Whether a name is that of a number which may say how well texts belong together: a rank, a confidence."""
    return bool(_FIT_WORDS & set(words_of(name)))


def is_remark_name(name: str) -> bool:
    """Whether a name is that of what is said of a row, such as why it got its label."""
    return bool(_REMARKS & set(words_of(name)))


def is_topic_name(name: str) -> bool:
    """Whether a name is that of classes of single texts."""
    words = words_of(name)
    return _is_among(key_of(name), TOPIC_NAMES) or (words[0] in TOPIC_NAMES and words[-1] in ("path", "name", "code"))


def is_class_attribute(name: str) -> bool:
    """Whether a name is that of the class of a text: `clause_type`."""
    words = words_of(name)
    return words[-1] in _CLASS_HEADS | {"label"} and not _is_relation_class(words)


def is_title_of(name: str) -> bool:
    """Whether a name is that of the title of something: `document_title`."""
    words = words_of(name)
    return len(words) > 1 and words[-1] == "title"


def is_group_name(name: str) -> bool:
    """Whether a name is that of an ID that several texts share."""
    return bool(_set("cluster group family entity duplicate set") & set(words_of(name)))


def is_search_name(name: str) -> bool:
    """Whether a name is that of what is looked for, so that a label beside it is of what was found for it."""
    return bool(_SEARCH & set(words_of(name)))


def is_weak_label(name: str) -> bool:
    """Whether the name of a label may as well be that of something else."""
    return hint_of(name) == "label" and not {"label", "labels"} & set(words_of(name))


def _is_relation_class(words: Sequence[str]) -> bool:
    """Whether words name the class of how two texts relate: `contradiction_type`."""
    return len(words) > 1 and words[-1] in _CLASS_HEADS and bool(_RELATION_WORDS & set(words[:-1]))


def are_premises(names: Sequence[str]) -> bool:
    """Whether two names are those of a premise and a hypothesis."""
    return {key_of(name) for name in names} in [set(couple) for couple in _NLI_COUPLES]


def are_sides(names: Sequence[str]) -> bool:
    """Whether two names are those of one kind of text from two sides: `our_title` and `competitor_title`."""
    first, second = (words_of(name) for name in names)
    return len(first) > 1 < len(second) and first[-1] == second[-1] and first[0] != second[0]


def is_choices_name(name: str) -> bool:
    """Whether a name is that of the answers to choose from."""
    words = set(words_of(name))
    return bool(_CHOICES & words) and not words & _set("correct right gold")


def is_instruction_name(name: str) -> bool:
    """Whether a name is that of what is told a model in every row."""
    return bool(_INSTRUCTIONS & set(words_of(name)))


def are_parts(names: Sequence[str]) -> bool:
    """Whether two names are those of parts of one text, such as a title and its body."""
    if len(names) != 2 or any(role_of(name) for name in names) or are_sides(names):
        return False
    (first, second), (titles, bodies) = (set(words_of(name)) for name in names), _PARTS
    return bool(first & titles and second & (bodies | titles)) or bool(second & titles and first & bodies)


def is_title_name(name: str) -> bool:
    """Whether a name is that of what stands above a text."""
    return bool(_PARTS[0] & set(words_of(name)))


def is_body_name(name: str) -> bool:
    """Whether a name is that of the main part of a text."""
    return bool(_PARTS[1] & set(words_of(name)))


@cache
def role_of(name: str) -> Role | None:
    """What an input is for, by its name alone."""
    stem, number = stem_of(name)
    listed = _meant_words(name)
    if is_choices_name(name) or (is_attribute_name(name) and not {listed[-1]} & _ANCHOR_WORDS):
        return None
    words = set(listed)
    if _is_relation_class(listed) or (len(listed) > 1 and listed[-1] in _CLASS_WORDS | _SCORE_WORDS):
        return None
    if words & _NEGATIVE_WORDS or (words & _NOT_WORDS and words & (_POSITIVE_WORDS | _BINARY_WORDS)):
        return "negative"
    if words & _EXPLICIT_POSITIVES:
        return "positive"
    if number is not None and stem in _NUMBERED_STEMS:
        return "numbered"
    if words & _POSITIVE_WORDS and listed[-1] in _POSITIVE_WORDS:
        return "positive"
    if words & _ANCHOR_WORDS:
        return "anchor"
    return "positive" if words & _POSITIVE_WORDS else None


def roles_of(names: Sequence[str]) -> dict[str, Role]:
    """The roles of inputs by their names, as far as names say one; some do so only beside others."""
    by_key = {key_of(name): name for name in names}
    roles: dict[str, Role] = {name: role for name in names if (role := role_of(name))}
    for first, second in _COUPLES:
        if first in by_key and second in by_key:
            roles |= {by_key[first]: "anchor", by_key[second]: "positive"}
    contrasted = by_key.keys() & {"entailment", "contradiction", "positive", "negative"}
    for base in ("premise", "hypothesis", "sentence", "text"):
        if base in by_key and contrasted and "anchor" not in roles.values():
            roles[by_key[base]] = "anchor"
    unknown = [name for name in names if name not in roles]
    if len(names) == 3 and len(unknown) == 1 and set(roles.values()) == {"positive", "negative"}:
        return {unknown[0]: "anchor", **roles}
    complete = {"anchor", "positive"} <= set(roles.values())
    return roles if complete else roles | _numbered(names, roles)


def _numbered(names: Sequence[str], known: dict[str, Role]) -> dict[str, Role]:
    """Names that differ in their numbers only."""
    stems: dict[str, list[str]] = {}
    for name in names:
        stem, number = stem_of(name)
        if number is not None and name not in known and not is_choices_name(name) and not is_headerless(name):
            stems.setdefault(stem, []).append(name)
    return {name: "numbered" for several in stems.values() if len(several) > 1 for name in several}


def is_negating(name: str) -> bool:
    """Whether the name of a label says that 1, or more of it, is for texts that do not belong together."""
    words = words_of(name)
    if {"positive", "pos"} & set(words) or _is_relation_class(words):
        return False
    known = _BINARY_WORDS | _SCORE_WORDS | _ALIKE_WORDS
    denied = bool(_NOT_WORDS & set(words)) or (words[0] == "no" and bool(known & set(words)))
    apart = any(word in _APART_WORDS or _denies(word, known) for word in words)
    return denied != apart  # what is not different is the same


def _denies(word: str, known: frozenset[str]) -> bool:
    return any(word.startswith(negation) and word[len(negation) :] in known for negation in NEGATIONS)


def is_flag(name: str, values: Iterable[str]) -> bool:
    """Whether texts are marks, such as yes and no, though their column is named as a text."""
    words = set(words_of(name))
    if not (words & _FLAG_WORDS or is_negating(name)):
        return False
    return {key_of(value) for value in values} <= POSITIVE_VALUES | NEGATIVE_VALUES | {"0", "1"}


def says_right(name: str) -> bool:
    """Whether the name of a list says that all its texts are right ones."""
    return bool((_EXPLICIT_POSITIVES | _RIGHT_WORDS) & set(words_of(name)))


def side_of_scores(name: str) -> Role | None:
    """Of which texts the scores are that a name speaks of: `neg_scores` are of negatives."""
    words = [word for word in words_of(name) if word not in _SCORE_WORDS]
    return role_of("_".join(words)) if words else None


def is_of_one_text(name: str) -> bool:
    """Whether the name of a label speaks of what one text is like."""
    return bool(_ONE_TEXT & set(words_of(name)))


def is_label_name(name: str) -> bool:
    """Whether a name says no more than that it is a label."""
    return bool(_LABEL_NAMES & set(words_of(name)))


def is_relation_name(name: str) -> bool:
    """Whether the name of a label says how two texts relate."""
    return bool((_RELATION_WORDS | _set("stance relevance agreement")) & set(words_of(name)))


def text_of(name: str) -> tuple[object, ...]:
    """Which text a name is of, whatever its way of writing: the same for `resume_str` and `resume_html`."""
    words = [word for word in words_of(name) if word not in _WRITINGS]
    return (*words, stem_of(name)[1]) if words else (name,)


def are_relation_values(values: Iterable[str]) -> bool:
    """Whether the words of labels say how two texts relate."""
    return any(_RELATION_VALUES & set(key_of(value).split("_")) for value in values)


def are_judgements(values: Iterable[str]) -> bool:
    """Whether a few short texts may be what somebody judged of a row: letters, or words for how good it is."""
    keys = {key_of(value) for value in values}
    return all(len(key) == 1 for key in keys) or len(keys & _JUDGED) > 1


def name_sides(values: Iterable[str], inputs: Sequence[str]) -> bool:
    """Whether values say which of the inputs, by their names or what tells them apart: `a` of `text_a` and `text_b`."""
    sides = {key_of(name) for name in inputs} | {re.split("_", key_of(name))[-1] for name in inputs}
    keys = {key_of(value) for value in values}
    return len(inputs) > 1 and len(keys) > 1 and keys - {"tie", "both", "none"} <= sides


def are_yes_and_no(values: Iterable[str]) -> bool:
    """Whether words say yes and no."""
    keys = {key_of(value) for value in values}
    return len(keys) == 2 and bool(keys & _YES) and keys <= POSITIVE_VALUES | NEGATIVE_VALUES


def says_quality(name: str) -> bool:
    """Whether the name of a label speaks of how good something is."""
    return bool(_QUALITY_WORDS & set(words_of(name)))


@cache
def hint_of(name: str) -> Says:
    """What kind of label a name speaks of; empty where it is no name of a label."""
    listed = words_of(name)
    words = set(listed)
    if words & {"match", "matching"} and listed[-1] in _FIT_WORDS:
        return "score"
    if len(listed) > 1 and listed[-1] in (_ATTRIBUTES | _FIT_WORDS | _REMARKS) - _CLASS_HEADS:
        return ""
    if _is_relation_class(listed):
        return "class"
    if not words & {"score", "scores"}:
        denied = any(_denies(word, _BINARY_WORDS | _ALIKE_WORDS) for word in words) or words & _DIFFERENT_WORDS
        flag = listed[0] in ("is", "are", "has") and words & (_ALIKE_WORDS | _POSITIVE_WORDS | _NEGATIVE_WORDS)
        if words & _BINARY_WORDS or denied or flag:
            return "binary"
    if words & _CLASS_WORDS:
        return "class"
    if words & _SCORE_WORDS or listed[-1].endswith("score"):
        return "score"
    return "label" if words & (_OTHER_LABEL_WORDS | CHOICE_WORDS) else ""


def is_damaged_name(name: str) -> bool:
    """Whether a name is that of a text of which words are missing."""
    return bool(_DAMAGED_WORDS & set(words_of(name)))


def is_damaged_first(names: Sequence[str]) -> bool:
    """Whether two names are those of a damaged text and its original, in this order."""
    if len(names) != 2:
        return False
    first, second = (set(words_of(name)) for name in names)
    return bool(first & _DAMAGED_WORDS) and bool(second & _RESTORED_WORDS) and not second & _DAMAGED_WORDS
