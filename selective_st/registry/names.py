"""What names of columns say: what an input is for, what kind of label there is, and what is neither.

A name is read by its words. The last one says what the column is (`answer_letter` is a letter, no answer); words for a
text (`answer_text`, `product_title`) leave that to those before them. Accents do not count. `words.json` holds the
words, by language.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal

from selective_st.registry.words import couples_for, unspaced_words, words_for

Role = Literal["anchor", "positive", "negative", "numbered"]
Says = Literal["score", "class", "binary", "label", ""]

TRAINER_LABELS = ("label", "labels", "score", "scores")  # in the trainer's order
RESERVED = ("dataset_name", "return_loss")  # the trainer refuses them
CHOICE_WORDS = words_for("better")  # these may name one of the inputs, and say nothing of whether texts belong together
TOPIC_NAMES = words_for("topic")
POSITIVE_VALUES = words_for("positive value")
NEGATIVE_VALUES = words_for("negative value")
NLI_VALUES = words_for("nli value")
_NEGATIONS = ("not", "non", "no", "un", "in", "ir", "dis", "mis", "nie", "не")

_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "first": 1, "second": 2, "third": 3, "left": 1, "right": 2}
# What IDs are of, where one word says both.
_ID_OF = {
    word: what
    for what, words in {"query": "qid", "passage": "pid", "document": "did docid docno"}.items()
    for stem in words.split()
    for word in (stem, stem + "s")
}
_ATTRIBUTES = words_for("id", "metadata word", "class head", "person", "attribute")
_FEATURES = words_for("attribute", "id", "metadata word", "person", "fit", "remark") - words_for("class head")


# --- A name and its words ---------------------------------------------------------------------------------------------


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
        return (rest, _NUMBERS[first]) if rest and first in _NUMBERS else (key, None)
    stem, number = found.groups()
    if number.isdecimal():
        return stem, int(number)
    return stem, _NUMBERS.get(number) or ord(number) - ord("a") + 1


@cache
def words_of(name: str) -> list[str]:
    """The words of a name, without its number; where words are not parted, those that are known."""
    words = stem_of(name)[0].split("_")
    if not re.search("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]", name):
        return words
    return words + [word for word in unspaced_words() if word in words[0] and word != words[0]]


@cache
def speaks_of(name: str, *concepts: str) -> bool:
    """Whether a word of a name is one of those that `words.json` has for concepts."""
    return not words_for(*concepts).isdisjoint(words_of(name))


def says(values: Iterable[str], *concepts: str) -> bool:
    """Whether all values are words that `words.json` has for concepts."""
    return {key_of(value) for value in values} <= words_for(*concepts)


def _meant_words(name: str) -> list[str]:
    """The words of a name without those at its end that only say that it is a text: of `answer_text` the first."""
    words = words_of(name)
    while len(words) > 1 and words[-1] in words_for("carrier"):
        words = words[:-1]
    return words


def text_of(name: str) -> tuple[object, ...]:
    """Which text a name is of, whatever its way of writing: the same for `resume_str` and `resume_html`."""
    words = [word for word in words_of(name) if word not in words_for("writing")]
    return (*words, stem_of(name)[1]) if words else (name,)


def is_headerless(name: str) -> bool:
    """Whether a name is none: `3`, `column_3`, `Unnamed: 3`."""
    return bool(re.fullmatch(r"\d+|(col|column|field|c|f|v|x|unnamed)_?\d+", key_of(name)))


def is_nameless(name: str) -> bool:
    """Whether a name says nothing: none, one letter, a number, or a sentence that was taken for a header."""
    key = key_of(name)
    is_sentence = key.count("_") > 2 and name.rstrip().endswith((".", "?", "!"))
    return is_headerless(name) or len(key) == 1 or bool(re.fullmatch(r"[\d_]+", key)) or is_sentence


# --- IDs --------------------------------------------------------------------------------------------------------------


@cache
def is_id_name(name: str) -> bool:
    """Whether a name is that of IDs, or of an index that pandas saved."""
    words = words_of(name)
    last = words[-1]
    compound = last.endswith(("nummer", "номер", "番号", "编号")) or (len(last) > 4 and last.endswith("nr"))
    if speaks_of(name, "class"):
        return False  # a class index
    told = last in words_for("id") or words[0] == "id" or compound or _id_of(last) is not None
    return told or key_of(name).startswith(("index_level", "unnamed_0"))


def without_id(name: str) -> str:
    """What IDs stand for, by their name: `neg_pid` is a `neg_passage`; empty where the name does not say it."""
    stem, number = stem_of(name)
    kept = [_id_of(word) or word for word in stem.split("_") if word not in words_for("id") or word in _ID_OF]
    kept = ["document"] if kept == ["corpus"] else kept
    return "_".join([*kept, *([str(number)] if kept and number is not None else [])])


def _id_of(word: str) -> str | None:
    """What the IDs are of that one word names, as `queryid`."""
    what = re.sub("ids?$", "", word)
    known = what != word and len(what) > 1 and what in words_for("anchor", "positive", "negative")
    return _ID_OF.get(word, what if known else None)


# --- What is said of a text -------------------------------------------------------------------------------------------


@cache
def is_attribute_name(name: str) -> bool:
    """Whether a name is that of something said of a text: `answer_letter`, `query_locale`, `genre`."""
    words = words_of(name)
    if _is_among(key_of(name), words_for("metadata name", "person")):
        return True
    return len(words) > 1 and words[-1] in _ATTRIBUTES and not _is_relation_class(words)


def _is_among(key: str, names: frozenset[str]) -> bool:
    """Whether a name is one of some, or several of it."""
    return key in names or key.removesuffix("s") in names or re.sub("ies$", "y", key) in names


def is_topic_name(name: str) -> bool:
    """Whether a name is that of classes of single texts."""
    words = words_of(name)
    of_topic = words[0] in TOPIC_NAMES and words[-1] in ("path", "name", "code")
    return of_topic or _is_among(key_of(name), TOPIC_NAMES) or (len(words) > 1 and speaks_of(words[-1], "feeling"))


def is_class_attribute(name: str) -> bool:
    """Whether a name is that of the class of a text: `clause_type`."""
    words = words_of(name)
    return (words[-1] in words_for("class head") or words[-1] == "label") and not _is_relation_class(words)


def _is_relation_class(words: Sequence[str]) -> bool:
    """Whether words name the class of how two texts relate: `contradiction_type`."""
    *of, head = words
    return head in words_for("class head") and not words_for("relation").isdisjoint(of)


# --- Inputs -----------------------------------------------------------------------------------------------------------


def are_premises(names: Sequence[str]) -> bool:
    """Whether two names are those of a premise and a hypothesis."""
    return {key_of(name) for name in names} in [set(couple) for couple in couples_for("premise and hypothesis")]


def are_sides(names: Sequence[str]) -> bool:
    """Whether two names are those of one kind of text from two sides: `our_title` and `competitor_title`."""
    first, second = (words_of(name) for name in names)
    return len(first) > 1 < len(second) and first[-1] == second[-1] and first[0] != second[0]


def are_parts(names: Sequence[str]) -> bool:
    """Whether two names are those of parts of one text, such as a title and its body."""
    if len(names) != 2 or any(role_of(name) for name in names) or are_sides(names):
        return False
    return any(
        speaks_of(title, "title") and speaks_of(body, *others)
        for title, body, others in [(*names, ("body", "title")), (*names[::-1], ("body",))]
    )


def is_bare_score(name: str) -> bool:
    """Whether a name speaks of a score, and not of how two texts relate: `imdb_score`, but not `relevance_score`."""
    related = words_for("score", "scorer", "relation", "binary", "alike") - words_for("bare score", "quality")
    return speaks_of(name, "bare score") and related.isdisjoint(words_of(name))


def is_choices_name(name: str) -> bool:
    """Whether a name is that of answers to choose from, the wanted one among them: no text to train on by itself."""
    return speaks_of(name, "choices") and {"correct", "right", "gold"}.isdisjoint(words_of(name))


def is_damaged_first(names: Sequence[str]) -> bool:
    """Whether two names are those of a damaged text and its original, in this order."""
    if len(names) != 2:
        return False
    first, second = names
    return speaks_of(first, "damaged") and speaks_of(second, "restored") and not speaks_of(second, "damaged")


@cache
def role_of(name: str) -> Role | None:
    """What an input is for, by its name alone."""
    stem, number = stem_of(name)
    listed = _meant_words(name)
    last, words = listed[-1], set(listed)
    if is_choices_name(name) or (is_attribute_name(name) and last not in words_for("anchor")):
        return None
    if _is_relation_class(listed) or (len(listed) > 1 and last in words_for("class", "score", "label")):
        return None
    if words & words_for("negative") or (words & words_for("not") and words & words_for("positive", "binary")):
        return "negative"
    if len(listed) > 1 and any(_denies(word, words_for("binary", "explicit positive")) for word in listed):
        return "negative"  # the irrelevant one
    if words & words_for("explicit positive"):
        return "positive"
    if number is not None and stem in words_for("numbered"):
        return "numbered"
    if words & words_for("anchor") and last not in words_for("positive"):
        return "anchor"
    return "positive" if words & words_for("positive") else None


def roles_of(names: Sequence[str]) -> dict[str, Role]:
    """The roles of inputs by their names, as far as names say one; some do so only beside others."""
    by_key = {key_of(name): name for name in names}
    roles: dict[str, Role] = {name: role for name in names if (role := role_of(name))}
    for first, second in (*couples_for("premise and hypothesis"), *couples_for("first and second")):
        if first in by_key and second in by_key:
            roles |= {by_key[first]: "anchor", by_key[second]: "positive"}
    contrasted = by_key.keys() & {"entailment", "contradiction", "positive", "negative"}
    for base in ("premise", "hypothesis", "sentence", "text"):
        if base in by_key and contrasted and "anchor" not in roles.values():
            roles[by_key[base]] = "anchor"
    unknown = [name for name in names if name not in roles]
    if len(names) == 3 and len(unknown) == 1:
        kinds = set(roles.values())
        if kinds == {"positive", "negative"}:
            return {unknown[0]: "anchor", **roles}
        if kinds == {"anchor", "negative"} and speaks_of(unknown[0], "binary", "right"):
            return {**roles, unknown[0]: "positive"}
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


# --- Labels -----------------------------------------------------------------------------------------------------------


@cache
def hint_of(name: str) -> Says:
    """What kind of label a name speaks of; empty where it is no name of a label."""
    listed = words_of(name)
    words, last = set(listed), listed[-1]
    if words & {"match", "matching"} and last in words_for("fit"):
        return "score"
    if len(listed) > 1 and last in _FEATURES:
        return ""
    if _is_relation_class(listed):
        return "class"
    if not words & {"score", "scores"} and _speaks_of_two(listed):
        return "binary"
    if words & words_for("class"):
        return "class"
    if words & words_for("score") or last.endswith("score"):
        return "score"
    return "label" if words & words_for("label", "other label", "better") else ""


def _speaks_of_two(listed: Sequence[str]) -> bool:
    """Whether words say yes or no."""
    words = set(listed)
    denied = any(_denies(word, words_for("binary", "alike")) for word in words)
    is_flag = listed[0] in ("is", "are", "has") and words & words_for("alike", "positive", "negative")
    return denied or bool(is_flag or words & words_for("binary", "different"))


def is_weak_label(name: str) -> bool:
    """Whether the name of a label may as well be that of something else."""
    return hint_of(name) == "label" and {"label", "labels"}.isdisjoint(words_of(name))


def is_negating(name: str) -> bool:
    """Whether the name of a label says that 1, or more of it, is for texts that do not belong together."""
    words = words_of(name)
    if {"positive", "pos"} & set(words) or _is_relation_class(words):
        return False
    known = words_for("binary", "score", "alike")
    denied = speaks_of(name, "not") or (words[0] == "no" and not known.isdisjoint(words))
    apart = any(word in words_for("apart", "negative") or _denies(word, known) for word in words)
    return denied != apart  # what is not different is the same


def _denies(word: str, known: frozenset[str]) -> bool:
    return any(word.startswith(negation) and word[len(negation) :] in known for negation in _NEGATIONS)


def is_flag(name: str, values: Iterable[str]) -> bool:
    """Whether texts are marks, such as yes and no, though their column is named as a text."""
    if not (speaks_of(name, "flag") or is_negating(name)):
        return False
    return says((value for value in values if value not in ("0", "1")), "positive value", "negative value")


def side_of_scores(name: str) -> Role | None:
    """Of which texts the scores are that a name speaks of: `neg_scores` are of negatives."""
    words = [word for word in words_of(name) if word not in words_for("score")]
    return role_of("_".join(words)) if words else None


# --- Values of labels -------------------------------------------------------------------------------------------------


def are_relation_values(values: Iterable[str]) -> bool:
    """Whether the words of labels say how two texts relate."""
    return any(not words_for("relation value").isdisjoint(key_of(value).split("_")) for value in values)


def are_judgements(values: Iterable[str]) -> bool:
    """Whether a few short texts may be what somebody judged of a row: letters, or words for how good it is."""
    keys = {key_of(value) for value in values}
    return all(len(key) == 1 for key in keys) or len(keys & words_for("judgement")) > 1


def name_sides(values: Iterable[str], inputs: Sequence[str]) -> bool:
    """Whether values say which of the inputs, by their names or what tells them apart: `a` of `text_a` and `text_b`."""
    sides = {key_of(name) for name in inputs} | {key_of(name).split("_")[-1] for name in inputs}
    keys = {key_of(value) for value in values}
    return len(inputs) > 1 and len(keys) > 1 and keys - {"tie", "both", "none"} <= sides


def are_yes_and_no(values: Iterable[str]) -> bool:
    """Whether words say yes and no."""
    keys = {key_of(value) for value in values}
    return len(keys) == 2 and bool(keys & words_for("yes")) and says(keys, "positive value", "negative value")


def is_negation(negative: str, positive: str) -> bool:
    """Whether the first of two names denies what the second says."""
    no, yes = key_of(negative), key_of(positive)
    if (no, yes) == ("0", "1") or (no in NEGATIVE_VALUES and yes in POSITIVE_VALUES):
        return True
    return any(no in (f"{negation}{yes}", f"{negation}_{yes}") for negation in _NEGATIONS)
