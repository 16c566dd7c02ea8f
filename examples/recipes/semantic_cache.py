"""A semantic cache with a budget of false hits: answers are kept for questions that mean the same, and no others.

    python examples/recipes/semantic_cache.py                     # offline, on questions made on the spot
    python examples/recipes/semantic_cache.py --teacher MODEL

The threshold is the lowest that promises, with 95 % confidence, at most 5 false hits among 100 questions that have no
answer in the cache. Among these are questions of opposite meaning, which embeddings confuse. Reported on questions that
chose nothing, for the student and for the teacher itself.
"""

from __future__ import annotations

import random
from itertools import product

import numpy as np
from made import arguments, teacher_of
from scipy.stats import binomtest
from sentence_transformers import SentenceTransformer

from selective_st.evaluation import choose_threshold
from selective_st.training import distill

BUDGET = 0.05
OPPOSITES = (("open", "close"), ("start", "stop"), ("enable", "disable"), ("add", "remove"), ("lock", "unlock"))
WAYS = ("How do I {} the {}?", "how to {} my {}", "{} the {}, please", "{} {}")
KINDS = ("new", "old", "shared", "mobile", "default", "secure", "daily", "local", "main", "guest")
NOUNS = ("account", "window", "server", "folder", "report", "device", "printer", "calendar", "camera", "invoice")
PLACES = ("in the phone app", "on my laptop", "from the office", "for another user", "over the weekend")


def questions(seed: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Cached questions, and asked ones with the cached question of the same meaning, empty if there is none."""
    draw = random.Random(seed)
    cached, asked = [], list[tuple[str, str]]()
    for kind, noun in product(KINDS, NOUNS):
        thing = f"{kind} {noun} {draw.choice(PLACES)}"
        for first, second in draw.sample(OPPOSITES, 3):
            kept, other = (first, second) if draw.random() < 0.5 else (second, first)
            ways = draw.sample(WAYS, 3)
            cached.append(ways[0].format(kept, thing))
            asked += [(ways[1].format(kept, thing), cached[-1]), (ways[2].format(other, thing), "")]
    draw.shuffle(asked)
    return cached, asked


def report(name: str, model: SentenceTransformer, cached: list[str], asked: list[tuple[str, str]]) -> None:
    """Choose the threshold on half of the questions, and print what it does with the others."""
    answers = model.encode(cached, normalize_embeddings=True)
    products = model.encode([question for question, _ in asked], normalize_embeddings=True) @ answers.T
    right = np.array([cached[place] == answer for place, (_, answer) in zip(products.argmax(1), asked, strict=True)])
    scores, half = products.max(1), len(asked) // 2
    try:
        cut = choose_threshold(right[:half].astype(float), scores[:half], 1, "fpr", at_most=BUDGET)  # type: ignore[arg-type]
    except ValueError as error:
        print(f"{name}: no threshold keeps the budget ({error})")
        return
    hit, right = cut.decide(scores[half:]), right[half:]
    false = binomtest(int((hit & ~right).sum()), int((~right).sum()))
    ends = false.proportion_ci()
    rate = (hit & right).sum() / sum(answer != "" for _, answer in asked[half:])
    print(f"{name}: hits from {cut.value:.3f} on, hit rate {rate:.3f}, false-hit rate {false.k / false.n:.3f} "
          f"({ends.low:.3f} to {ends.high:.3f}, {false.n} questions)")  # fmt: skip


def main() -> None:
    """Distil a student on the questions, and compare it with the teacher."""
    options = arguments(__doc__, "semantic_cache")
    cached, asked = questions(seed=0)
    texts = [*cached, *(question for question, _ in asked)]
    teacher = teacher_of(options.teacher, texts)
    distill(teacher, texts, [options.threshold], options.output, dimensions=options.dimensions, overwrite=True)
    for name, model in (("teacher", teacher), ("student", SentenceTransformer(options.output))):
        report(name, model, cached, asked)


if __name__ == "__main__":
    main()
