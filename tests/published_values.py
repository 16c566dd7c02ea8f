"""The table of published schemas is read here, and its columns get values, from a short notation.

A kind of value is one of:

- `t` words, `s` a sentence, `q` a question, `b` a body of sentences, `h` a headline, `w` a word, `n` a name; with a
  number of words (`t3`), a language (`q.de`), and a number of different ones that come again (`5*q`).
- `~x` a sentence that shares words with column x, `~~x` a body that does; `=x` the same; `other x` those of other rows.
- `a|b|c` these values again and again (numbers and true/false as such), `|a` always a, `!a|b` a ClassLabel of these,
  `map x a|b` a word for each value of column x.
- `index`, `int 1 9`, `float 0 1`, `num 1 9` (a number as text), `vec 384`, `id q`, `hash`, `uuid`, `url`, `date`,
  `iso`, `unix`, `code`, `sql`, `none`.
- `[kind]3` lists of three, `[kind]` of one to four, `[kind]0` empty ones; `{a=kind, b=kind}` dicts, `json{...}`
  as text.
"""

# ruff: noqa: RUF001
from __future__ import annotations

import json
import random
import re
import zlib
from dataclasses import dataclass
from typing import Any, Literal

from datasets import ClassLabel, Dataset

ROWS = 20

_WORDS = {
    "en": "river market window engine garden doctor policy mountain signal winter student camera bridge kitchen letter "
    "summer museum forest border island paper village network coffee teacher ocean planet ticket battery village "
    "farmer castle journey picture station science history payment station library quickly repair compare discover "
    "deliver announce improve measure protect replace support travel explain several modern quiet bright heavy early "
    "local annual public global digital careful ancient between during against without before because after",
    "de": "Fluss Markt Fenster Motor Garten Ärztin Gesetz Berg Signal Winter Schüler Kamera Brücke Küche Brief Sommer "
    "Museum Wald Grenze Insel Dorf Netz Kaffee Lehrer Bahnhof Geschichte Zahlung prüfen liefern messen schützen "
    "erklären neu ruhig hell schwer früh örtlich jährlich öffentlich zwischen während gegen ohne über unter",
    "fr": "rivière marché fenêtre moteur jardin médecin loi montagne signal hiver élève caméra pont cuisine lettre été "
    "musée forêt frontière île village réseau café gare histoire paiement livrer mesurer protéger expliquer nouveau "
    "calme clair lourd tôt local annuel public entre pendant contre sans sur sous avant après",
    "es": "río mercado ventana motor jardín médica ley montaña señal invierno alumno cámara puente cocina carta verano "
    "museo bosque frontera isla pueblo red café estación historia pago entregar medir proteger explicar nuevo "
    "tranquilo claro pesado temprano local anual público entre durante contra sin sobre bajo antes después",
    "it": "fiume mercato finestra motore giardino medico legge montagna segnale inverno studente ponte cucina lettera "
    "estate museo bosco confine isola paese rete caffè stazione storia pagamento consegnare misurare proteggere nuovo "
    "tranquillo chiaro pesante presto locale annuale pubblico tra durante contro senza sopra sotto prima dopo",
    "pt": "rio mercado janela motor jardim médica lei montanha sinal inverno aluno câmera ponte cozinha carta verão "
    "museu floresta fronteira ilha aldeia rede café estação história pagamento entregar medir proteger explicar novo "
    "calmo claro pesado cedo local anual público entre durante contra sem sobre sob antes depois",
    "nl": "rivier markt venster motor tuin dokter wet berg signaal winter leerling camera brug keuken brief zomer "
    "museum bos grens eiland dorp netwerk koffie station geschiedenis betaling leveren meten beschermen uitleggen "
    "nieuw rustig helder zwaar vroeg lokaal jaarlijks openbaar tussen tijdens tegen zonder boven onder",
    "ru": "река рынок окно двигатель сад врач закон гора сигнал зима ученик камера мост кухня письмо лето музей лес "
    "граница остров деревня сеть кофе вокзал история оплата доставить измерить защитить объяснить новый тихий светлый "
    "тяжёлый рано местный ежегодный между против без после",
    "ja": "東京 会議 市場 電車 学校 医師 法律 山道 信号 冬休み 生徒 写真 料理 手紙 夏祭り 美術館 森林 国境 島 村 "
    "通信 珈琲 駅前 歴史 支払い 届ける 測る 守る 新しい 静かな 明るい 重い 早い 地元の 公共の について では から まで",
    "zh": "北京 会议 市场 火车 学校 医生 法律 山路 信号 冬天 学生 照片 厨房 信件 夏天 博物馆 森林 边境 岛屿 "
    "村庄 网络 咖啡 车站 历史 付款 送货 测量 保护 新的 安静 明亮 沉重 很早 本地 公共 关于 之间 以后",
    "pl": "rzeka rynek okno silnik ogród lekarz prawo góra sygnał zima uczeń kamera most kuchnia list lato muzeum las "
    "granica wyspa wieś sieć kawa dworzec historia płatność dostarczyć mierzyć chronić wyjaśnić nowy cichy jasny "
    "ciężki wczesny lokalny publiczny między podczas przeciw bez nad pod",
    "ko": "서울 회의 시장 기차 학교 의사 법률 산길 신호 겨울 학생 사진 주방 편지 여름 박물관 숲 국경 섬 마을 네트워크 "
    "커피 역사 결제 배송 측정 보호 새로운 조용한 밝은 무거운 이른 지역 공공 대하여 사이에 이후",
    "tr": "nehir pazar pencere motor bahçe doktor yasa dağ sinyal kış öğrenci kamera köprü mutfak mektup yaz müze "
    "orman sınır ada köy ağ kahve istasyon tarih ödeme teslim ölçmek korumak açıklamak yeni sessiz parlak ağır erken "
    "yerel yıllık kamu arasında sırasında karşı olmadan üzerinde altında",
}
_ASKS = {
    "en": "how what why when where which", "de": "wie was warum wann wo", "fr": "comment pourquoi quand où",
    "es": "cómo qué cuándo dónde", "it": "come perché quando dove", "pt": "como quando onde", "nl": "hoe wat waarom",
    "ru": "как что почему когда", "pl": "jak dlaczego kiedy gdzie", "tr": "nasıl neden ne nerede",
    "ja": "なぜ どこで いつ", "ko": "왜 어디서 언제", "zh": "为什么 怎么 哪里",
}  # fmt: skip
_TEXT = re.compile(r"(?:(\d+)\*)?([tsqbhwn])(\d*)(?:\.(\w\w))?")
_LENGTHS = {"t": 4, "s": 9, "q": 7, "b": 32, "h": 5, "w": 1, "n": 2}


def dataset_of(columns: str) -> Dataset:
    """The dataset of a line such as `question=q; answer=~~question; id=index`."""
    made: dict[str, list[Any]] = {}
    classes: dict[str, list[str]] = {}
    for part in columns.split("; "):
        name, kind = part.split("=", 1)
        made[name] = column(kind, random.Random(zlib.crc32(f"{name}={kind}".encode())), made)
        if kind.startswith("!"):
            classes[name] = kind[1:].split("|")
    dataset = Dataset.from_dict(made)
    for name, names in classes.items():
        dataset = dataset.cast_column(name, ClassLabel(names=names))
    return dataset


def column(kind: str, draw: random.Random, made: dict[str, list[Any]]) -> list[Any]:
    """The values of a column of this kind."""
    if text := _TEXT.fullmatch(kind):
        found = [_text(text, draw) for _ in range(int(text[1] or ROWS))]
        return [found[i * len(found) // ROWS] for i in range(ROWS)]
    if kind.startswith("~"):
        return [_sharing(words, kind.startswith("~~"), draw) for words in made[kind.lstrip("~")]]
    if kind.startswith("="):
        return made[kind[1:]]
    if kind.startswith("other "):
        return made[kind[6:]][7:] + made[kind[6:]][:7]
    if kind.startswith("map "):
        _, source, words = kind.split(" ", 2)
        known = sorted(set(made[source]))
        return [words.split("|")[known.index(value)] for value in made[source]]
    if kind.startswith("json"):
        return [json.dumps(value) for value in column(kind[4:], draw, made)]
    if kind.startswith("["):
        inner, _, size = kind[1:].rpartition("]")
        sizes = [int(size) if size else 1 + i * 3 % 4 for i in range(ROWS)]
        pool = [value for _ in range(max(sizes) or 1) for value in column(inner, draw, made)]
        return [pool[i : i + size * ROWS : ROWS] if size else [] for i, size in enumerate(sizes)]
    if kind.startswith("{"):
        parts = [part.split("=", 1) for part in _split(kind[1:-1])]
        values = {name: column(inner, draw, made) for name, inner in parts}
        return [{name: values[name][i] for name in values} for i in range(ROWS)]
    if "|" in kind:
        return _choices(kind, draw)
    return [_value(kind.split(), i, draw) for i in range(ROWS)]


def _split(parts: str) -> list[str]:
    return re.split(r", (?![^\[{]*[\]}])", parts)


def _text(text: re.Match[str], draw: random.Random) -> str:
    kind, language = text[2], text[4] or "en"
    number = int(text[3] or _LENGTHS[kind])
    words = [draw.choice(_WORDS[language].split()) for _ in range(number)]
    space = "" if language in ("ja", "zh") else " "
    stop = "。" if not space else "."
    if kind == "q":
        return space.join([draw.choice(_ASKS[language].split()).capitalize(), *words]) + ("?" if space else "？")
    if kind == "b":
        parts = [words[i : i + 8] for i in range(0, number, 8)]
        return space.join(space.join(part).capitalize() + stop for part in parts)
    if kind == "s":
        joined = space.join(words)
        return joined[0].upper() + joined[1:] + stop
    if kind in ("h", "n"):
        return space.join(word.capitalize() for word in words)
    return space.join(words)


def _sharing(text: str, as_body: bool, draw: random.Random) -> str:
    spaced = " " in text
    parts = text.strip("?.。？").split() if spaced else [text[i : i + 3] for i in range(0, len(text), 3)]
    kept = [part for part in parts if draw.random() < 0.6] or parts[:1]
    pool = _WORDS[
        "en"
        if re.search("[a-z]", text)
        else "ru"
        if re.search("[а-я]", text)
        else "ko"
        if re.search("[가-힣]", text)
        else "zh"
    ].split()
    added = [draw.choice(pool) for _ in range(28 if as_body else 3)]
    mixed = kept + added
    draw.shuffle(mixed)
    return (" " if spaced else "").join(mixed).capitalize() + ("?" if text.endswith("?") and not as_body else ".")


def _choices(kind: str, draw: random.Random) -> list[Any]:
    is_class = kind.startswith("!")
    words = kind.lstrip("!").split("|")
    if kind.startswith("|"):
        return [_typed(words[1:])[0]] * ROWS
    values = list(range(len(words))) if is_class else _typed(words)
    found = [values[i % len(values)] for i in range(ROWS)]
    draw.shuffle(found)
    return found


def _typed(words: list[str]) -> list[Any]:
    if set(words) <= {"true", "false"}:
        return [word == "true" for word in words]
    for kind in (int, float):
        try:
            return [kind(word) for word in words]
        except ValueError:
            continue
    return [word.strip('"') for word in words]


def _value(kind: list[str], i: int, draw: random.Random) -> Any:
    low, high = (float(part) for part in kind[1:3]) if len(kind) == 3 else (0.0, 0.0)
    made: dict[str, Any] = {
        "index": i,
        "int": draw.randint(int(low), int(high)),
        "float": round(draw.uniform(low, high), 3),
        "num": f"{draw.uniform(low, high):.2f}",
        "id": f"{kind[-1]}{1000 + i * 37 % 97}",
        "hash": f"{draw.getrandbits(128):032x}",
        "uuid": f"{draw.getrandbits(32):08x}-{draw.getrandbits(16):04x}-4{draw.getrandbits(12):03x}-a{i:03x}-{i:012x}",
        "url": f"https://www.example.org/{draw.choice(_WORDS['en'].split())}/{draw.randint(100, 9999)}",
        "date": f"20{draw.randint(10, 24)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
        "iso": f"2023-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}T{draw.randint(0, 23):02}:17:0{i % 10}Z",
        "unix": 1_600_000_000 + draw.randint(0, 90_000_000),
        "code": f"def {draw.choice(_WORDS['en'].split())}_{i}(x):\n    y = {draw.randint(0, 99)}\n    return x * y",
        "sql": f"SELECT {draw.choice(_WORDS['en'].split())} FROM table_{i} WHERE year > {draw.randint(1990, 2020)}",
        "none": None,
    }
    if kind[0] == "vec":
        return [draw.gauss(0, 0.1) for _ in range(int(kind[1]))]
    return made[kind[0]]


# --- The table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """One right answer: shape, kinds of labels, inputs, label column; `positive` is the label that means yes."""

    shape: str
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    label_column: str | None
    any_order: bool
    positive: str | None


@dataclass(frozen=True)
class Published:
    """A schema: its name, its columns as `dataset_of` takes them, and what it is."""

    name: str
    columns: str
    tell: Literal["must", "may", "cannot"]
    answers: tuple[Answer, ...]


def read_table(table: str) -> list[Published]:
    """The schemas of a table: see `tests/format_published.py`."""
    entries = re.sub(r"\n +", " ", table.strip()).splitlines()
    return [_entry(entry) for entry in entries if not entry.startswith("#")]


def _entry(entry: str) -> Published:
    head, columns = entry.split(" :: ")
    name, _, answer = head.partition(": ")
    tell: Literal["must", "may", "cannot"] = "must"
    if answer.startswith("?"):
        tell, answer = "cannot", answer[1:].strip()
    elif answer.startswith("may "):
        tell, answer = "may", answer[4:]
    return Published(name, columns, tell, tuple(_answer(part) for part in answer.split(" || ")) if answer else ())


def _answer(text: str) -> Answer:
    kind, rest = text.split(": ", 1)
    shape, labels = kind.split("/", 1)
    any_order, rest = rest.endswith(" <>"), rest.removesuffix(" <>")
    rest, _, positive = rest.partition(" @")
    inputs, _, label = rest.partition(" > ")
    return Answer(
        shape, tuple(labels.split("|")), tuple(inputs.split(", ")), label or None, any_order, positive or None
    )
