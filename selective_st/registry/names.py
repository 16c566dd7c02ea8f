"""What names of columns say: what an input is for, what kind of label there is, and what is neither."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Role = Literal["anchor", "positive", "negative", "numbered"]
Says = Literal["score", "class", "binary", "label", ""]


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


TRAINER_LABELS = ("label", "labels", "score", "scores")  # in the trainer's order
RESERVED = ("dataset_name", "return_loss")  # the trainer refuses them

_ID_NAMES = _set("id ids idx index guid uuid qid pid did sid uid cid nid docid docno md5 sha1 hash")
_ID_ENDS = ("_id", "_ids", "_idx", "_uuid", "_guid", "_index", "_hash")

_ANCHOR_WORDS = _set("anchor anchors query queries question questions q qtext prompt instruction")
_POSITIVE_WORDS = _set(
    "positive positives pos answer answers atext response responses document documents doc docs passage passages "
    "paragraph context candidate candidates completion entailment"
)
_NEGATIVE_WORDS = _set("negative negatives neg negs contradiction distractor distractors irrelevant")
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
    stem, _ = stem_of(name)
    key = key_of(name)
    return stem in _ID_NAMES or stem.endswith(_ID_ENDS) or key.startswith(("index_level", "unnamed_0"))


def is_headerless(name: str) -> bool:
    """Whether a name is none: `3`, `column_3`, `Unnamed: 3`."""
    return bool(re.fullmatch(r"\d+|(col|column|field|c|f|v|x|unnamed)_?\d+", key_of(name)))


def role_of(name: str) -> Role | None:
    """What an input is for, by its name alone."""
    stem, number = stem_of(name)
    words = set(stem.split("_"))
    if words & _NEGATIVE_WORDS:
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


def hint_of(name: str) -> Says:
    """What kind of label a name speaks of; empty where it is no name of a label."""
    words = set(words_of(name))
    if words & _BINARY_WORDS and not words & {"score", "scores"}:
        return "binary"
    if words & _CLASS_WORDS:
        return "class"
    if words & _SCORE_WORDS:
        return "score"
    return "label" if words & _OTHER_LABEL_WORDS else ""


def is_damaged_first(names: Sequence[str]) -> bool:
    """Whether two names are those of a damaged text and its original, in this order."""
    if len(names) != 2:
        return False
    first, second = (set(words_of(name)) for name in names)
    return bool(first & _DAMAGED_WORDS) and bool(second & _RESTORED_WORDS) and not second & _DAMAGED_WORDS
