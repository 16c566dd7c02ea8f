"""From a teacher to a small static model that decides as it does, from texts alone.

    python examples/recipes/teacher_to_static.py                                   # offline, on texts made on the spot
    python examples/recipes/teacher_to_static.py --teacher MODEL --texts texts.txt --threshold 0.8 --dimensions 64

The student is saved with the threshold at which it agrees best with its teacher; three lines load it and decide.
"""

from __future__ import annotations

from made import arguments, teacher_of, texts_of
from sentence_transformers import SentenceTransformer

from selective_st.evaluation import load_threshold, predict_scores
from selective_st.training import distill


def main() -> None:
    """Distil, compare with squared error, and decide."""
    asked = arguments(__doc__, "teacher_to_static", threshold=0.45)
    texts = texts_of(asked.texts)
    teacher = teacher_of(asked.teacher, texts)
    settings = {"dimensions": asked.dimensions, "compare": True, "overwrite": True}
    found = distill(teacher, texts, [asked.threshold], asked.output, **settings)

    for loss in ("selective", "squared error"):
        (one,) = found["test"][loss]
        low, high = one["at_own_intervals"]["f1"]
        print(f"{loss}: F1 {one['at_own']['f1']:.3f} ({low:.3f} to {high:.3f}), loss {one['loss']:.3f} per mille")
    speed, size = found["per_second"], found["megabytes"]
    print(f"texts a second: teacher {speed['teacher']:,.0f}, student {speed['student']:,.0f}")
    print(f"megabytes: teacher {size['teacher']:.3f}, student {size['student']:.3f}")

    student, threshold = SentenceTransformer(asked.output), load_threshold(asked.output)
    assert threshold is not None
    scores = predict_scores(student, texts[:100], [f"{text[:-1]} again." for text in texts[:100]])
    print(f"{threshold.decide(scores).sum()} of 100 rewritten texts match from {threshold.value:.3f} on")


if __name__ == "__main__":
    main()
