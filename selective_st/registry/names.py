"""What names of columns say: what an input is for, what kind of label there is, and what is neither.

A name is read by its words. The last one says what the column is (`answer_letter` is a letter, no answer); words for a
text (`answer_text`, `product_title`) leave that to those before them. Accents do not count. `words.json` holds the
words of each concept, by language; what a name says is looked up once, as its tags.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from importlib.resources import files
from itertools import permutations
from typing import Literal

Role = Literal["anchor", "positive", "negative", "numbered"]
Says = Literal["score", "class", "binary", "label", ""]

_VOCABULARY: dict[str, dict[str, str]] = json.loads(
    files("selective_st.registry").joinpath("words.json").read_text("utf-8")
)


@cache
def words_for(*concepts: str) -> frozenset[str]:
    """The words of concepts, in all languages."""
    return frozenset(word for concept in concepts for words in _VOCABULARY[concept].values() for word in words.split())


def _couples_for(*concepts: str) -> list[list[str]]:
    """The couples of names that concepts have."""
    languages = [words for concept in concepts for words in _VOCABULARY[concept].values()]
    return [couple.split() for words in languages for couple in words.split("|")]


TRAINER_LABELS = ("label", "labels", "score", "scores")  # in the trainer's order
RESERVED = ("dataset_name", "return_loss")  # the trainer refuses them

_COUPLED = ("premise and hypothesis", "first and second")
_CONCEPTS = {concept: words_for(concept) for concept in _VOCABULARY if concept not in _COUPLED}
# Words that are written without a space to the next one: those with no letter of an alphabet.
_UNSPACED = [word for word in frozenset().union(*_CONCEPTS.values()) if len(word) > 1 and min(word) > "\u2e7f"]
_NEGATIONS = ("not", "non", "no", "un", "in", "ir", "dis", "mis", "nie", "не")
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "first": 1, "second": 2, "third": 3, "left": 1, "right": 2}
_NUMBERS |= {"1st": 1, "2nd": 2}
# What IDs are of, where one word says both.
_ID_OF = {"qid": "query", "pid": "passage", "did": "document", "docid": "document", "docno": "document"}
_ID_OF |= {f"{word}s": what for word, what in _ID_OF.items()}
_ATTRIBUTES = words_for("id", "metadata word", "class head", "person", "attribute")
_FEATURES = words_for("attribute", "id", "metadata word", "person", "fit", "remark") - words_for("class head")
_OF_TWO = words_for("score", "scorer", "relation", "binary", "alike") - words_for("bare score", "quality")


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
    found = found or re.fullmatch("(text|sent)([ab])", key)
    if found is None:
        first, _, rest = key.partition("_")
        return (rest, _NUMBERS[first]) if rest and first in _NUMBERS else (key, None)
    stem, number = found.groups()
    return stem, int(number) if number.isdecimal() else _NUMBERS.get(number) or ord(number) - ord("a") + 1


@cache
def words_of(name: str) -> list[str]:
    """The words of a name, without its number; where words are not parted, those that are known."""
    words = stem_of(name)[0].split("_")
    whole = words[0]
    known = (word for word in _UNSPACED if word in whole and word != whole)
    return words + sorted(known, key=lambda word: (whole.rfind(word) + len(word), len(word)))  # in the name's order


@cache
def tags_of(name: str) -> frozenset[str]:
    """The concepts of which a name has a word, and what its words say together (`named ...`, `unnamed`)."""
    key, words = key_of(name), words_of(name)
    first, last, several = words[0], words[-1], len(words) > 1
    tags = {concept for concept, known in _CONCEPTS.items() if not known.isdisjoint(words)}
    is_id = last in words_for("id") or first == "id" or _id_of(last) or key.startswith(("index_level", "unnamed_0"))
    is_id = is_id or last.endswith(("nummer", "номер", "番号", "编号")) or (len(last) > 4 and last.endswith("nr"))
    is_id = is_id and "class" not in tags  # no class index
    topics = words_for("topic")
    is_topic = _is_among(key, topics) or (first in topics and last in ("path", "name", "code"))
    is_headerless = re.fullmatch(r"\d+|(col|column|field|c|f|v|x|unnamed)_?\d+", key)
    is_sentence = key.count("_") > 2 and name.rstrip().endswith((".", "?", "!"))  # that was taken for a header
    of_one = not _is_relation_class(words)
    together = {
        "named id": is_id,  # or an index that pandas saved
        # Something said of a text: `answer_letter`, `query_locale`, `genre`.
        "named attribute": _is_among(key, words_for("metadata name", "person"))
        or (several and last in _ATTRIBUTES and of_one),
        "named metadata": key in words_for("metadata name"),
        "named topic": is_topic or (several and "feeling" in tags_of(last)),  # classes of single texts
        "named class": (last in words_for("class head") or last == "label") and of_one,  # of a text: `clause_type`
        # A score, and not of how two texts relate: `imdb_score`, but not `relevance_score`.
        "named bare score": "bare score" in tags and _OF_TWO.isdisjoint(words),
        # Answers to choose from, the wanted one among them: no text to train on by itself.
        "named choices": "choices" in tags and {"correct", "right", "gold"}.isdisjoint(words),
        # What one of several people said of a row, or how many said what.
        "named judgement": ("count" in tags and tags & {"positive value", "negative value", "binary", "relation value"})
        or ("person" in tags and not is_id),
        # A label that may as well be something else.
        "named weak label": hint_of(name) == "label" and {"label", "labels"}.isdisjoint(words),
        "headerless": is_headerless,
        "unnamed": is_headerless or len(key) == 1 or re.fullmatch(r"[\d_]+", key) or is_sentence,
    }
    return frozenset(tags.union(tag for tag, holds in together.items() if holds))


def _is_among(key: str, names: frozenset[str]) -> bool:
    """Whether a name is one of some, or several of it."""
    return not names.isdisjoint((key, key.removesuffix("s"), re.sub("ies$", "y", key)))


def _is_relation_class(words: Sequence[str]) -> bool:
    """Whether words name the class of how two texts relate: `contradiction_type`."""
    *of, head = words
    return head in words_for("class head") and not words_for("relation").isdisjoint(of)


def says(values: Iterable[str], *concepts: str) -> bool:
    """Whether all values are words that `words.json` has for concepts."""
    return {key_of(value) for value in values} <= words_for(*concepts)


def text_of(name: str) -> tuple[object, ...]:
    """Which text a name is of, whatever its way of writing: the same for `resume_str` and `resume_html`."""
    words = [word for word in words_of(name) if word not in words_for("writing")]
    return (*words, stem_of(name)[1]) if words else (name,)


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


# --- Inputs -----------------------------------------------------------------------------------------------------------


def are_premises(names: Sequence[str]) -> bool:
    """Whether two names are those of a premise and a hypothesis."""
    return {key_of(name) for name in names} in map(set, _couples_for("premise and hypothesis"))


def are_sides(names: Sequence[str]) -> bool:
    """Whether two names are those of one kind of text from two sides: `our_title` and `competitor_title`."""
    first, second = map(words_of, names)
    return len(first) > 1 < len(second) and first[-1] == second[-1] and first[0] != second[0]


def are_parts(names: Sequence[str]) -> bool:
    """Whether two names are those of parts of one text, such as a title and its body."""
    if len(names) != 2 or any(map(role_of, names)) or are_sides(names):
        return False
    first, second = map(tags_of, names)
    return ("title" in first and not second.isdisjoint(("body", "title"))) or ("title" in second and "body" in first)


def is_said_before(names: Sequence[str]) -> bool:
    """Whether one of two names is that of what was said before the other: `parent_comment` and `comment`."""
    both = permutations(map(words_of, names))
    return any(one[1:] == other and one[0] in words_for("said before") for one, other in both)


def is_damaged_first(names: Sequence[str]) -> bool:
    """Whether two names are those of a damaged text and its original, in this order."""
    if len(names) != 2:
        return False
    first, second = map(tags_of, names)
    return "damaged" in first and "restored" in second and "damaged" not in second


@cache
def role_of(name: str) -> Role | None:
    """What an input is for, by its name alone."""
    stem, number = stem_of(name)
    words, tags = list(words_of(name)), tags_of(name)
    while len(words) > 1 and words[-1] in words_for("carrier"):  # these only say that it is a text
        words.pop()
    last, several = words[-1], len(words) > 1
    is_attribute = "named attribute" in tags and last not in words_for("anchor")
    is_label = _is_relation_class(words) or (several and last in words_for("class", "score", "label"))
    if "named choices" in tags or is_attribute or is_label:
        return None
    denied = several and any(_denies(word, words_for("binary", "explicit positive")) for word in words)
    if "negative" in tags or ("not" in tags and tags & {"positive", "binary"}) or denied:  # the irrelevant one
        return "negative"
    if "explicit positive" in tags:
        return "positive"
    if number is not None and stem in words_for("numbered"):
        return "numbered"
    if "anchor" in tags and last not in words_for("positive"):
        return "anchor"
    return "positive" if "positive" in tags else None


def roles_of(names: Sequence[str]) -> dict[str, Role]:
    """The roles of inputs by their names, as far as names say one; some do so only beside others."""
    by_key = {key_of(name): name for name in names}
    roles: dict[str, Role] = {name: role for name in names if (role := role_of(name))}
    for first, second in _couples_for(*_COUPLED):
        if first in by_key and second in by_key:
            roles |= {by_key[first]: "anchor", by_key[second]: "positive"}
    contrasted = by_key.keys() & {"entailment", "contradiction", "positive", "negative"}
    for base in ("premise", "hypothesis", "sentence", "text"):
        if base in by_key and contrasted and "anchor" not in roles.values():
            roles[by_key[base]] = "anchor"
    unknown = [name for name in names if name not in roles]
    kinds = set(roles.values())
    if len(names) == 3 and len(unknown) == 1:
        if kinds == {"positive", "negative"}:
            return {unknown[0]: "anchor", **roles}
        if kinds == {"anchor", "negative"} and tags_of(unknown[0]) & {"binary", "right"}:
            return {**roles, unknown[0]: "positive"}
    if {"anchor", "positive"} <= kinds:
        return roles
    counted = [name for name in unknown if stem_of(name)[1] is not None]
    counted = [name for name in counted if tags_of(name).isdisjoint(("named choices", "headerless"))]
    stems = Counter(stem_of(name)[0] for name in counted)  # names that differ in their numbers only have one
    return roles | {name: "numbered" for name in counted if stems[stem_of(name)[0]] > 1}


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
    is_flag = listed[0] in ("is", "are", "has") and words & words_for("alike", "positive", "negative")
    denied = any(_denies(word, words_for("binary", "alike")) for word in words)
    if not words & {"score", "scores"} and (denied or is_flag or words & words_for("binary", "different")):
        return "binary"
    if words & words_for("class"):
        return "class"
    if words & words_for("score") or last.endswith("score"):
        return "score"
    return "label" if words & words_for("label", "other label", "better") else ""


def is_negating(name: str) -> bool:
    """Whether the name of a label says that 1, or more of it, is for texts that do not belong together."""
    words = words_of(name)
    if _is_relation_class(words):
        return False
    known = words_for("binary", "score", "alike")
    denied = "not" in tags_of(name) or (words[0] == "no" and not known.isdisjoint(words))
    if {"positive", "pos"} & set(words):
        return denied
    apart = any(word in words_for("apart", "negative") or _denies(word, known) for word in words)
    return denied != apart  # what is not different is the same


def _denies(word: str, known: frozenset[str]) -> bool:
    return any(word.startswith(negation) and word[len(negation) :] in known for negation in _NEGATIONS)


def is_flag(name: str, values: Collection[str]) -> bool:
    """Whether texts are marks, such as yes and no, though their column is named as a text."""
    tags = tags_of(name)  # yes and no to `entailment`
    if not ("flag" in tags or is_negating(name) or ("relation" in tags and are_yes_and_no(values))):
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


def are_judgements(values: Iterable[str], *, letters: bool = True) -> bool:
    """Whether a few short texts may be what somebody judged of a row: letters, or words for how good it is."""
    keys = {key_of(value) for value in values}
    return (letters and all(len(key) == 1 for key in keys)) or len(keys & words_for("judgement")) > 1


def name_sides(values: Iterable[str], inputs: Sequence[str]) -> bool:
    """Whether values say which of the inputs, by their names or what tells them apart: `a` of `text_a` and `text_b`."""
    sides = {side for name in inputs for side in (key_of(name), key_of(name).split("_")[-1])}
    keys = {key_of(value) for value in values}
    chosen = keys - {"tie", "both", "none"}
    are_groups = any(stem_of(key)[0] in words_for("group", "label", "class", "class head") for key in chosen)
    are_counted = None not in map(_place_of, inputs) and sorted(_place_of(key) or 0 for key in chosen) == [1, 2]
    return len(inputs) > 1 and len(keys) > 1 and (chosen <= sides or (are_counted and not are_groups))


def _place_of(key: str) -> int | None:
    """Which of several texts a word says: 1 for `a`, `left`, `first`, `model_1`."""
    return _NUMBERS.get(key) or stem_of(key)[1] or stem_of(f"text_{key}")[1]


def are_yes_and_no(values: Iterable[str]) -> bool:
    """Whether words say yes and no."""
    keys = {key_of(value) for value in values}
    return len(keys) == 2 and bool(keys & words_for("yes")) and says(keys, "positive value", "negative value")


def is_negation(negative: str, positive: str) -> bool:
    """Whether the first of two names denies what the second says."""
    no, yes = key_of(negative), key_of(positive)
    if (no, yes) == ("0", "1") or (says([negative], "negative value") and says([positive], "positive value")):
        return True
    return any(no in (f"{negation}{yes}", f"{negation}_{yes}") for negation in _NEGATIONS)
