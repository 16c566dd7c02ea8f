"""How a student is made and trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selective_st._templates import say
from selective_st._validation import finite_number, list_of, whole_number

STATIC = "static"
_RATES = {True: (0.02, 0.05), False: (5e-5, 1e-4)}


@dataclass(frozen=True, kw_only=True)
class DistillSettings:
    """How a student is made and trained.

    Attributes:
        thresholds: The teacher's scores at which will be decided. The first one's cut is saved with the student.
        student: `static`, or the folder or hub name of a SentenceTransformer to go on with.
        dimensions: Of the student's embeddings, for `static` and with `layers`.
        layers: Instead: the student is so many first layers of the teacher.
        pairs: How many pairs are drawn for each text to train.
        epochs: Passes over the pairs. Default: 2 for static students, else 1.
        batch_size: Pairs in a step. Default: 1,024 for static students, else 32.
        learning_rates: To choose from, for every loss alike. Default: 0.05 for static students, else 1e-4; to compare
            0.02, 0.05 and 5e-5, 1e-4.
        compare: Whether squared error, CoSENTLoss, softmax KL, the cross entropy of the teacher's decisions and
            embedding distillation are trained too.
        diagnose: Whether two short runs say first what limits the student: its size, or the texts.
        seed: Of the splits, the drawing and the order of the pairs.
    """

    thresholds: Sequence[float] = (0.85,)
    student: str = STATIC
    dimensions: int = 64
    layers: int | None = None
    pairs: int = 48
    epochs: int | None = None
    batch_size: int | None = None
    learning_rates: Sequence[float] | None = None
    compare: bool = False
    diagnose: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        static = self.student == STATIC and self.layers is None
        rates = _RATES[static] if self.compare else _RATES[static][-1:]
        defaults = {"epochs": 2 if static else 1, "batch_size": 1024 if static else 32, "learning_rates": rates}
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        for name in ("dimensions", "pairs", "epochs", "batch_size", *(["layers"] if self.layers is not None else [])):
            whole_number("distill", name, getattr(self, name), least=1)
        found = list_of("distill", "thresholds", self.thresholds, "numbers", "[0.85]")
        if not found or not all(-1 <= finite_number("distill", "threshold", each) <= 1 for each in found):
            raise ValueError(say("no_threshold", found=[f"{each:g}" for each in found]))
        object.__setattr__(self, "thresholds", tuple(map(float, found)))
        for rate in list_of("distill", "learning_rates", self.learning_rates, "numbers", "[0.02, 0.05]"):
            finite_number("distill", "a learning rate", rate, positive=True)
        if self.layers is not None and self.student != STATIC:
            raise ValueError("distill: layers makes a student of the teacher's first layers. Leave student out.")
