"""Labels as people write them: numbers in many ways, yes and no, grades in words, names of classes.

Words are known in English, German, French, Spanish, Italian, Portuguese and Dutch, some in a few more languages.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

Kind = Literal["numbers", "lists", "opposites", "grades", "classes", "mixed", "texts"]

_FEW = 0.2  # of the rows may hold something else than numbers, to be left out; marks of a missing label may be more
_NAME_WORDS = 5  # a longer text is no name of a class

# --- Numbers ----------------------------------------------------------------------------------------------------------

_POINT = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = r"[+-]?\d+(?:[.,]\d+)?"
_OF = r"\s*(?:/|out of|of|von|sur|de|su|di|van|из)\s*"
_UNIT = r"[^\W\d_][^\d%]*"
_COMMAS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")  # thousands, or a decimal comma before three digits: who knows


def _plain(text: str) -> float | None:
    return float(text) if re.fullmatch(f"{_POINT}|[+-]?(?:nan|inf|infinity)", text, re.IGNORECASE) else None


def _comma(text: str) -> float | None:
    return float(text.replace(",", ".")) if re.fullmatch(r"[+-]?\d+,\d+", text) else _plain(text)


def _percent(text: str) -> float | None:
    found = re.fullmatch(rf"({_NUMBER})\s*%", text)
    return float(found[1].replace(",", ".")) / 100 if found else (0.0 if text == "0" else None)


def _fraction(text: str) -> float | None:
    found = re.fullmatch(rf"({_NUMBER}){_OF}({_NUMBER})(?:\s*{_UNIT})?", text, re.IGNORECASE)
    if not found:
        return None
    part, whole = (float(number.replace(",", ".")) for number in found.groups())
    return part / whole if whole > 0 else None


def _stars(text: str) -> float | None:
    return float(len(text.rstrip("☆"))) if re.fullmatch("[★⭐]+☆*|☆+", text) else None


def _named(text: str) -> float | None:
    """A number with what it means: `2 - fair`, `2: fair`."""
    found = re.fullmatch(rf"({_NUMBER})\s*[-\u2013:=.)]\s*{_UNIT}", text)
    return float(found[1].replace(",", ".")) if found else None


def _counted(text: str) -> float | None:
    found = re.fullmatch(rf"({_NUMBER})[\s-]*{_UNIT}", text)
    return float(found[1].replace(",", ".")) if found else None


_WAYS: tuple[Callable[[str], float | None], ...] = (_plain, _comma, _percent, _fraction, _stars, _named, _counted)


def _numbers(counts: Mapping[str, int]) -> tuple[dict[str, float], bool]:
    """The numbers that texts say in the way of writing that most of them have; in several, if all lie from 0 to 1.

    Args:
        counts: How often each text stands there.

    Returns:
        The number of each text that says one so, and whether some of the others say one in another way.
    """
    found: dict[str, float] = {}
    together: dict[str, float] = {}
    best = 0
    for way in _WAYS:
        if len(found) == len(counts):
            break
        read = {text: number for text in counts if (number := way(text)) is not None}
        if way is _comma and all(map(_COMMAS.fullmatch, (text for text in read if "," in text))):
            read = {text: number for text, number in read.items() if "," not in text}
        if way is _counted and len({re.sub(r"[\d\W_]", "", text.casefold())[:3] for text in read}) > 1:
            continue  # 4 kg and 3 days are no numbers of one kind
        share = sum(counts[text] for text in read)
        if share > best:
            found, best = read, share
        together = {**read, **together}
    if len(together) > len(found) and all(0 <= number <= 1 for number in together.values()):
        return together, False
    return found, len(together) > len(found)


def _list(text: str) -> list[float] | None:
    """Several numbers in one text: `[3, 4, 5]`, `3; 4; 5`, `3|4|5` or `3, 4, 5`."""
    if text.startswith("["):
        try:
            return _flat(json.loads(re.sub(r"\bnan\b", "null", text, flags=re.IGNORECASE)))
        except ValueError:
            return None
    parts = re.split(r"\s*[;|]\s*|,\s+", text)
    numbers = [_plain(part.strip()) for part in parts]
    return [number for number in numbers if number is not None] if len(parts) > 1 and None not in numbers else None


def _flat(value: Any) -> list[float] | None:
    if not isinstance(value, list) or not all(isinstance(item, (int, float, type(None))) for item in value):
        return None
    return [float("nan") if item is None else float(item) for item in value]


# --- Words ------------------------------------------------------------------------------------------------------------


def _set(words: str) -> frozenset[str]:
    return frozenset(key for word in words.split("|") if (key := _key(word)))


@lru_cache(maxsize=4096)
def _key(text: str) -> str:
    """A text in one way of writing: without accents, case and marks."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", " ", plain.replace("\u0131", "i")).strip()


_MISSING = _set(
    "na|n a|nan|null|none|nil|missing|unknown|not available|not applicable|tbd|x|k a|unbekannt|fehlt|inconnu|s o|"
    "desconocido|nd|n d|s d|sconosciuto|desconhecido|onbekend|nvt|no data|undefined|error|invalid"
)
_YES = _set(
    "yes|y|true|t|1|match|matched|matching|same|similar|identical|equal|equivalent|duplicate|duplicates|related|"
    "relevant|entailment|entailed|paraphrase|positive|correct|right|valid|agree|synonym|compatible|"
    "ja|j|wahr|gleich|identisch|ähnlich|duplikat|dublette|verwandt|passend|passt|zutreffend|trifft zu|richtig|korrekt|"
    "relevant|positiv|oui|vrai|vraie|identique|même|pareil|similaire|semblable|doublon|lié|pertinent|correct|positif|"
    "juste|sí|verdadero|verdadera|cierto|igual|idéntico|mismo|parecido|similar|duplicado|relacionado|relevante|"
    "correcto|positivo|coincide|sì|vero|vera|uguale|identico|stesso|simile|duplicato|correlato|pertinente|rilevante|"
    "corretto|giusto|sim|verdadeiro|verdadeira|idêntico|mesmo|semelhante|correto|certo|waar|juist|gelijk|hetzelfde|"
    "identiek|vergelijkbaar|soortgelijk|duplicaat|gerelateerd|verwant|relevant|positief|"
    "samma|lika|tak|prawda|да|верно|evet|doğru|はい|同じ|一致|是|相同|예|네"
)
_NO = _set(
    "no|n|false|f|0|mismatch|mismatched|different|dissimilar|distinct|unequal|unrelated|irrelevant|negative|wrong|"
    "incorrect|invalid|disagree|nonduplicate|contradictory|antonym|"
    "nein|falsch|verschieden|unterschiedlich|anders|unähnlich|unpassend|unzutreffend|negativ|non|faux|fausse|différent|"
    "distinct|négatif|falso|falsa|diferente|distinto|negativo|diverso|diversa|differente|sbagliato|errato|scorretto|"
    "não|errado|distinta|nee|onwaar|onjuist|fout|verschillend|anders|negatief|nej|olika|nie|fałsz|нет|неверно|hayir|"
    "yanlis|いいえ|異なる|不一致|否|不是|不同|아니요|아니오"
)
# A yes or no to whatever was asked; the others above say themselves what they are about.
_PLAIN = _set(
    "yes|y|true|t|1|ja|j|wahr|oui|vrai|vraie|sí|verdadero|verdadera|cierto|sì|vero|vera|sim|verdadeiro|verdadeira|waar|"
    "tak|prawda|да|evet|はい|是|예|네|no|n|false|f|0|nein|non|faux|fausse|falso|falsa|não|nee|onwaar|nej|nie|fałsz|нет|"
    "hayir|いいえ|否|不是|아니요|아니오"
)
# Letters that say yes and no beside each other only.
_LETTERS = {"y": "n", "j": "n", "o": "n", "s": "n", "t": "n", "д": "н", "v": "f", "w": "f", "e": "h"}
_LETTERS |= {"真": "假", "对": "错"}
_MAYBE = _set(
    "maybe|perhaps|possibly|unsure|uncertain|unclear|undecided|partly|partially|partial|partial match|somewhat|"
    "borderline|half|neutral|vielleicht|unklar|unsicher|teilweise|teils|peut être|incertain|partiellement|en partie|"
    "quizá|quizás|tal vez|en parte|parcialmente|forse|in parte|parzialmente|talvez|em parte|misschien|deels|"
    "gedeeltelijk|onzeker"
)
_NOT = "not|non|no|isnt|nicht|kein|keine|keinen|ne|pas|pas un|pas une|pas de|aucun|aucune|não|nao|geen|niet|ikke|inte"
_NOT_PREFIXES = ("un", "in", "ir", "im", "dis", "mis", "non", "nicht", "on", "des", "mé")
# How much of it there is; 1 is that without a word for it.
_MODIFIERS = {
    0.3: _set("slightly|barely|hardly|weakly|weak|poor|low|kaum|wenig|etwas|peu|un peu|poco|pouco|um pouco|weinig"),
    0.5: _set(
        "partially|partly|partial|somewhat|moderately|moderate|fairly|teilweise|teils|partiellement|en partie|"
        "assez|parcialmente|parcial|in parte|parzialmente|parziale|gedeeltelijk|deels"
    ),
    0.8: _set("mostly|largely|quite|good|close|near|weitgehend|überwiegend|plutôt|mayormente|quasi|grotendeels"),
    1.2: _set(
        "very|highly|strongly|fully|completely|perfectly|totally|exactly|exact|definitely|perfect|full|complete|"
        "extremely|sehr|völlig|vollständig|genau|exakt|très|totalement|tout à fait|exactement|muy|totalmente|"
        "completamente|exacto|molto|perfettamente|muito|zeer|volledig|helemaal|exact"
    ),
}
# Words in their order, from the least to the most; a word is in a family once.
_ORDERS = tuple(
    tuple(_set(tier) for tier in tiers)
    for tiers in (
        (
            "terrible|awful|horrible|worst|schrecklich|ungenügend|affreux|pésimo|pessimo|verschrikkelijk",
            "bad|poor|insufficient|schlecht|mangelhaft|mauvais|mauvaise|malo|mala|deficiente|cattivo|cattiva|scarso|"
            "insufficiente|insuficiente|ruim|mau|má|slecht|onvoldoende",
            "fair|mediocre|passable|mäßig|ausreichend|médiocre|regular|discreto|matig",
            "average|ok|okay|medium|acceptable|neutral|so so|mittel|durchschnittlich|mittelmäßig|befriedigend|moyen|"
            "moyenne|medio|médio|sufficiente|suficiente|aceptable|gemiddeld|voldoende",
            "good|gut|bon|bonne|bueno|buena|buono|buona|bom|boa|goed",
            "great|very good",
            "excellent|perfect|outstanding|best|ausgezeichnet|hervorragend|perfekt|parfait|excelente|perfecto|"
            "eccellente|ottimo|ottima|perfetto|ótimo|ótima|perfeito|uitstekend|perfect",
        ),
        (
            "none|no|nothing|zero|not at all|irrelevant|unrelated|keine|kein|gar nicht|aucun|aucune|ninguno|ninguna|"
            "nada|nessuno|nessuna|nenhum|nenhuma|geen",
            "minimal|very low|minimum|sehr niedrig|très faible|muy bajo|molto basso|muito baixo|zeer laag",
            "low|little|minor|slight|weak|niedrig|gering|schwach|faible|bas|basse|bajo|baja|basso|bassa|debole|baixo|"
            "baixa|laag|zwak",
            "medium|moderate|partial|some|mid|mittel|mittlere|teilweise|moyen|moyenne|modéré|partiel|partielle|medio|"
            "media|moderado|parcial|parziale|moderato|médio|média|gemiddeld|matig|gedeeltelijk",
            "high|strong|major|hoch|stark|élevé|élevée|haut|haute|fort|forte|alto|alta|fuerte|elevato|hoog|sterk",
            "very high|full|complete|total|exact|maximum|sehr hoch|voll|vollständig|très élevé|complet|complète|total|"
            "muy alto|completo|completa|exacto|molto alto|totale|muito alto|exato|zeer hoog|volledig|exact",
        ),
        (
            "never|nie|niemals|jamais|nunca|mai|nooit",
            "rarely|seldom|selten|rarement|raramente|rara vez|zelden",
            "sometimes|occasionally|manchmal|parfois|a veces|a volte|às vezes|soms",
            "often|frequently|usually|oft|häufig|souvent|a menudo|spesso|frequentemente|vaak",
            "always|immer|toujours|siempre|sempre|altijd",
        ),
        (
            "irrelevant|unrelated|no match",
            "complement|complementary",
            "substitute|partial match|related",
            "exact|exact match|identical|duplicate",
        ),
    )
)
_NLI = {"entailment", "neutral", "contradiction"}


def _relation(key: str) -> float | None:
    """How far a word says that two texts belong together: 1 for yes, 0 for no, between them for less than yes."""
    if key in _NO:
        return 0.0
    if key in _YES:
        return 1.0
    if key in _MAYBE:
        return 0.5
    for negation in sorted(_set(_NOT), key=len, reverse=True):
        if key.startswith(f"{negation} ") and key[len(negation) + 1 :] in _YES:
            return 0.0
    if any(key.startswith(prefix) and key[len(prefix) :] in _YES for prefix in _NOT_PREFIXES):
        return 0.0
    for strength, modifiers in _MODIFIERS.items():
        for modifier in modifiers:
            rest = key.removeprefix(f"{modifier} ")
            if rest != key and rest in _YES:
                return strength
            if rest != key and rest in _NO and strength > 1:
                return -0.2
    return None


def are_plain(texts: Iterable[str]) -> bool:
    """Whether texts are yes and no, in words or letters that leave to the question what that is about."""
    keys = {_key(text) for text in texts}
    return keys <= _PLAIN or any(keys == {yes, no} for yes, no in _LETTERS.items())


def _place(order: tuple[frozenset[str], ...], key: str) -> float | None:
    """Where a word stands in an order; a word such as `very` moves it away from the middle."""
    for place, tier in enumerate(order):
        if key in tier:
            return float(place)
    middle = (len(order) - 1) / 2
    for modifier in _MODIFIERS[1.2]:
        rest = key.removeprefix(f"{modifier} ")
        for place, tier in enumerate(order):
            if rest != key and rest in tier:
                return place + (0.5 if place > middle else -0.5)
    return None


def _ranked(keys: Mapping[str, str]) -> tuple[Kind, dict[str, float]] | None:
    """Opposites or grades: the number from 0 to 1 of each text; None where texts are none."""
    if not keys or set(keys.values()) >= {"entailment", "contradiction"}:
        return None
    couple = sorted(set(keys.values()))
    for yes, no in _LETTERS.items():
        if couple == sorted((yes, no)):
            return "opposites", _spread({text: float(key == yes) for text, key in keys.items()})
    said = {text: rank for text, key in keys.items() if (rank := _relation(key)) is not None}
    if len(said) == len(keys):
        return ("opposites" if set(said.values()) <= {0.0, 1.0} else "grades"), _spread(said)
    denied = _denied(keys)
    if denied is not None:
        return "opposites", denied
    for order in _ORDERS:
        places = {text: place for text, key in keys.items() if (place := _place(order, key)) is not None}
        if len(places) == len(keys) and len(set(places.values())) == len(set(keys.values())) > 1:
            return "grades", _spread(places)
    return None


def _denied(keys: Mapping[str, str]) -> dict[str, float] | None:
    """Two texts of which one denies the other, whatever that is: overlap, no overlap."""
    found = sorted(set(keys.values()), key=len)
    if len(found) != 2 or not any(found[1] == f"{negation} {found[0]}" for negation in _set(_NOT)):
        return None
    return {text: float(key == found[0]) for text, key in keys.items()}


def _spread(ranks: Mapping[str, float]) -> dict[str, float]:
    """Ranks as numbers from 0 to 1, at equal distances; yes and no keep theirs."""
    different = sorted(set(ranks.values()))
    if set(different) <= {0.0, 1.0}:
        return dict(sorted(ranks.items(), key=lambda item: -item[1]))
    spaced = {rank: round(place / (len(different) - 1), 2) for place, rank in enumerate(different)}
    return {text: spaced[rank] for text, rank in sorted(ranks.items(), key=lambda item: item[1])}


# --- What a column of texts says --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """What texts say that stand where a label is expected.

    Attributes:
        kind: `numbers` in some way of writing; `lists` of several numbers; `opposites`, such as yes and no; `grades` in
            words that have an order; `classes`: names without one; `mixed`: numbers and other things, or numbers
            written in several ways; `texts`.
        values: The number of each text that says one (a list of them for lists), for all kinds but the last three.
        others: The texts beside them that say none, such as NA.
    """

    kind: Kind
    values: Mapping[str, Any]
    others: tuple[str, ...] = ()


def read_written(counts: Mapping[str, int]) -> Written:
    """Read labels that are written as text.

    Args:
        counts: How often each text stands there; empty texts do not count.

    Returns:
        What they say.

    Example:
        >>> read_written({"80%": 3, "25 %": 4, "n/a": 1})
        Written(kind='numbers', values={'80%': 0.8, '25 %': 0.25}, others=('n/a',))
        >>> read_written({"Duplikat": 5, "kein Duplikat": 7}).values
        {'Duplikat': 1.0, 'kein Duplikat': 0.0}
        >>> read_written({"poor": 2, "very good": 3, "fair": 1}).values
        {'poor': 0.0, 'fair': 0.5, 'very good': 1.0}
        >>> read_written({"sports": 4, "politics": 3}).kind
        'classes'
    """
    stripped: dict[str, int] = {}
    for text, count in counts.items():
        if text.strip():
            stripped[text.strip()] = stripped.get(text.strip(), 0) + count
    total = sum(stripped.values())
    lists = {text: several for text in stripped if (several := _list(text)) is not None}
    numbers, in_several_ways = _numbers(stripped)
    if len(lists) * 2 >= len(stripped) and len(lists) > len(numbers):
        return Written("lists", lists, tuple(text for text in stripped if text not in lists))
    if len(numbers) == len(stripped):
        return Written("numbers", numbers)
    keys = {text: _key(text) for text in stripped}
    present = {text: key for text, key in keys.items() if key and key not in _MISSING}
    for chosen in (keys, present):
        ranked = _ranked(chosen)
        if ranked is not None:
            return Written(*ranked, tuple(text for text in stripped if text not in chosen))
    others = tuple(text for text in stripped if text not in numbers)
    share = sum(stripped[text] for text in others) / total if total else 0.0
    if numbers and share <= 0.5:
        can_be_left_out = not in_several_ways and (share <= _FEW or not set(others) & set(present))
        return Written("numbers" if can_be_left_out else "mixed", numbers, others)
    if not any(re.search(r"[^\W\d_]", text) for text in stripped):
        return Written("mixed", {})
    if total > len(stripped) and all(len(text.split()) <= _NAME_WORDS for text in stripped):
        names = present if len(present) > 1 else keys
        return Written("classes", {}, tuple(text for text in stripped if text not in names))
    return Written("texts", {})
