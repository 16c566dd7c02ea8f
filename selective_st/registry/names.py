"""What names of columns say: what an input is for, what kind of label there is, and what is neither."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

Role = Literal["anchor", "positive", "negative", "numbered"]
Says = Literal["score", "class", "binary", "label", ""]


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


TRAINER_LABELS = ("label", "labels", "score", "scores")  # in the trainer's order
RESERVED = ("dataset_name", "return_loss")  # the trainer refuses them

_ID_NAMES = _set(
    "id ids idx index guid uuid qid qids pid pids did dids sid uid cid nid docid docids docno docnos md5 sha1 hash"
)
# What IDs are of, where one word says both.
_ID_OF = dict.fromkeys(("qid", "qids"), "query") | dict.fromkeys(("pid", "pids"), "passage")
_ID_OF |= dict.fromkeys(("did", "dids", "docid", "docids", "docno", "docnos"), "document")

_ANCHOR_WORDS = _set("anchor anchors query queries question questions q qtext prompt instruction")
_POSITIVE_WORDS = _set(
    "positive positives pos answer answers atext response responses document documents doc docs passage passages "
    "paragraph context candidate candidates completion entailment "
    "chosen preferred accepted winner winners winning better best"
)
_NEGATIVE_WORDS = _set(
    "negative negatives neg negs contradiction distractor distractors irrelevant nonrelevant wrong incorrect "
    "rejected dispreferred unpreferred nonpreferred unchosen loser losers losing worse worst bad"
)
_NUMBERED_STEMS = _set("sentence sent s text txt t input question query q string phrase utterance title item example")
_NUMBER_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "first": 1, "second": 2, "third": 3}
# Pairs of names whose first comes first, though neither says so without the other.
_COUPLES = (("premise", "hypothesis"), ("source", "target"), ("source_sentence", "target_sentence"))
NLI_NAMES = {"premise", "hypothesis"}
_DAMAGED_WORDS = _set("damaged noisy noised corrupted corrupt masked")
_RESTORED_WORDS = _set("original clean restored target text")

_SCORE_WORDS = _set(
    "score scores similarity similarities sim relatedness rating ratings sts cosine closeness relevance relevancy "
    "grade grades"
)
_CLASS_WORDS = _set("class classes judgment judgement nli")
_BINARY_WORDS = _set("is duplicate duplicates paraphrase relevant match matches equivalent correct same")
_DIFFERENT_WORDS = _set("different dissimilar distinct nonduplicate")
_OTHER_LABEL_WORDS = _set(
    "label labels target gold y margin margins logit logits embedding embeddings emb probabilities probs probability "
    "stars teacher"
)
TOPIC_NAMES = _set("category topic intent sentiment emotion genre domain")  # classes of single texts

METADATA_WORDS = _set(
    "length len count num number year month day date time timestamp page position offset start end rank fold votes "
    "upvotes downvotes likes views age price tokens token words chars version mask confidence weight weights "
    "annotators lineno line seed epoch step batch size"
)
METADATA_NAMES = _set(
    "source url link lang language split dataset subset genre domain author authors license file filename filepath "
    "path date timestamp metadata meta type task parse tree category topic year month id_type"
)
MEDIA_WORDS = _set("image images img audio video photo picture")

POSITIVE_VALUES = _set("yes true positive relevant entailment equivalent duplicate paraphrase similar same match")
NEGATIVE_VALUES = _set("no false negative irrelevant different dissimilar mismatch unrelated")
NEGATIONS = ("not", "non", "no", "un", "in", "ir", "dis", "mis")
_NOT_WORDS = _set("not non isnt arent")  # each denies what follows, whatever that is
# Of labels: the more there is of it, the less the texts belong together.
_APART_WORDS = _NEGATIVE_WORDS | _set(
    "distance distances dist dists difference differences diff diffs different differs distinct dissimilar dissim "
    "divergence opposite unlike"
)
_ALIKE_WORDS = _set("similar related relation equal alike identical preferred chosen accepted entailment aligned")
# Of labels: these may name one of the inputs, and say nothing of whether they belong together.
CHOICE_WORDS = _set("winner winners preference preferences choice")
_FLAG_WORDS = _set("chosen preferred accepted rejected")  # of answers, or of the marks that they got
NLI_VALUES = {"entailment", "neutral", "contradiction", "not_entailment"}


def key_of(name: str) -> str:
    """A name in one way of writing: `sentenceA`, `Sentence A` and `sentence_A` are the same."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-.:]+", "_", parted).strip("_").lower()


def stem_of(name: str) -> tuple[str, int | None]:
    """A name without its number, and the number: that of `sentence_B` and `document_two` is 2."""
    key = key_of(name)
    found = re.fullmatch(r"(.+?)_?(\d+)", key) or re.fullmatch(r"(.+)_([a-e]|one|two|three|four)", key)
    if found is None and key in ("texta", "textb", "senta", "sentb"):
        found = re.fullmatch(r"(.+)([ab])", key)
    if found is None:
        first, _, rest = key.partition("_")
        return (rest, _NUMBER_WORDS[first]) if rest and first in _NUMBER_WORDS else (key, None)
    stem, number = found.groups()
    if number.isdecimal():
        return stem, int(number)
    return stem, _NUMBER_WORDS.get(number) or ord(number) - ord("a") + 1


def words_of(name: str) -> list[str]:
    """The words of a name, without its number."""
    return stem_of(name)[0].split("_")


def is_id_name(name: str) -> bool:
    """Whether a name is that of IDs, or of an index that pandas saved."""
    last = words_of(name)[-1]
    return last in _ID_NAMES or _id_of(last) is not None or key_of(name).startswith(("index_level", "unnamed_0"))


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


def role_of(name: str) -> Role | None:
    """What an input is for, by its name alone."""
    stem, number = stem_of(name)
    words = set(stem.split("_"))
    if words & _NEGATIVE_WORDS or (words & _NOT_WORDS and words & (_POSITIVE_WORDS | _BINARY_WORDS)):
        return "negative"
    if "positive" in words or "positives" in words:
        return "positive"
    if number is not None and stem in _NUMBERED_STEMS:
        return "numbered"
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
    return roles


def is_negating(name: str) -> bool:
    """Whether the name of a label says that 1, or more of it, is for texts that do not belong together."""
    words = words_of(name)
    if {"positive", "pos"} & set(words):
        return False
    known = _BINARY_WORDS | _SCORE_WORDS | _ALIKE_WORDS
    denied = bool(_NOT_WORDS & set(words)) or (words[0] == "no" and bool(known & set(words)))
    apart = any(word in _APART_WORDS or _denies(word, known - {"is"}) for word in words)
    return denied != apart  # what is not different is the same


def _denies(word: str, known: frozenset[str]) -> bool:
    return any(word.startswith(negation) and word[len(negation) :] in known for negation in NEGATIONS)


def is_flag(name: str, values: Iterable[str]) -> bool:
    """Whether texts are marks, such as yes and no, though their column is named as a text."""
    words = set(words_of(name))
    if not (words & _FLAG_WORDS or is_negating(name)):
        return False
    return {key_of(value) for value in values} <= POSITIVE_VALUES | NEGATIVE_VALUES | {"0", "1"}


def hint_of(name: str) -> Says:
    """What kind of label a name speaks of; empty where it is no name of a label."""
    words = set(words_of(name))
    if words & _BINARY_WORDS and not words & {"score", "scores"}:
        return "binary"
    if any(_denies(word, _BINARY_WORDS - {"is"} | _ALIKE_WORDS) for word in words) or words & _DIFFERENT_WORDS:
        return "binary"
    if words & _CLASS_WORDS:
        return "class"
    if words & _SCORE_WORDS:
        return "score"
    return "label" if words & (_OTHER_LABEL_WORDS | CHOICE_WORDS) else ""


def is_damaged_first(names: Sequence[str]) -> bool:
    """Whether two names are those of a damaged text and its original, in this order."""
    if len(names) != 2:
        return False
    first, second = (set(words_of(name)) for name in names)
    return bool(first & _DAMAGED_WORDS) and bool(second & _RESTORED_WORDS) and not second & _DAMAGED_WORDS
