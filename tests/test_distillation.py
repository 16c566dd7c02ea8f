"""Distillation for thresholds: drawing, training, what is kept, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from typer.testing import CliRunner

from selective_st.cli import app
from selective_st.demo import graded_pairs
from selective_st.distillation import DistillSettings, read_texts, runs, split_texts
from selective_st.distillation import teacher as teachers
from selective_st.distillation.runs import batches, contenders, decisions, threshold_loss
from selective_st.distillation.teacher import Embedder, Pairs, Teacher, layered_student, static_student
from selective_st.errors import DataError
from selective_st.evaluation import load_threshold
from selective_st.links import SigmoidLink
from selective_st.output import OutputError, State
from selective_st.training import distill, train_tokenizer

COMPARED = ["squared error", "CoSENTLoss", "softmax KL", "cross entropy of decisions", "embedding distillation"]
QUICK: dict[str, Any] = {"dimensions": 8, "pairs": 8, "learning_rates": (0.03,), "batch_size": 256}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(dict.fromkeys(text for pair in graded_pairs(400, seed=2) for text in pair[:2]))


@pytest.fixture(scope="module")
def teacher(texts: list[str]) -> SentenceTransformer:
    """Random word vectors: the texts have words in common, so that scores lie from -0.15 to 0.95."""
    torch.manual_seed(0)
    module = StaticEmbedding(train_tokenizer(texts, vocabulary=300), embedding_dim=32)
    return SentenceTransformer(modules=[module], device="cpu")


def states(folder: Path) -> Any:
    def state_of(*parts: str) -> State:
        place = folder / hashlib.sha1("-".join(parts).encode()).hexdigest()
        place.mkdir(parents=True, exist_ok=True)
        return State(place)

    return state_of


class TestFigures:
    @pytest.mark.parametrize(
        ("gold", "predicted", "cut", "f1", "precision", "recall", "loss"),
        [
            ([0.9, 0.8, 0.2], [0.9, 0.3, 0.7], 0.6, 1 / 2, 1 / 2, 1 / 2, 1000 * (0.3 + 0.1) / 3),
            ([0.6 - 5e-7, 0.1], [0.6, 0.1], 0.6, 1, 1, 1, 0),  # a teacher's score reaches it up to rounding
            ([0.9, 0.9, 0.9, 0.1], [0.5, 0.5, 0.2, 0.5], 0.5, 2 / 3, 2 / 3, 2 / 3, 1000 * (0.1 + 0.1 + 0.4) / 4),
            ([0.9, 0.1], [0.2, 0.1], 0.6, 0, 0, 0, 1000 * 0.4 / 2),
        ],
    )
    def test_agreement(
        self, gold: Any, predicted: Any, cut: float, f1: float, precision: float, recall: float, loss: float
    ) -> None:
        found = decisions(gold, predicted, 0.6, cut)
        assert found == pytest.approx({"f1": f1, "precision": precision, "recall": recall})
        assert threshold_loss(gold, predicted, 0.6) == pytest.approx(loss, abs=1e-9)

    @pytest.mark.parametrize("thresholds", [[0.6], [0.3, 0.9], [-0.5]])
    def test_links_are_sensitive_at_the_thresholds(self, thresholds: list[float]) -> None:
        low = -1.0 if min(thresholds) < 0 else 0.0
        z = torch.linspace(low, 1, 20_001, dtype=torch.float64)
        some = contenders(thresholds, ["selective"], 48)
        assert len({each.name for each in some}) == len(some) > 1
        for each in some:
            width, floor = (float(part.split()[1]) for part in each.setting.split(", "))
            assert each.link is not None
            sensitivity = each.link.sensitivity(z)
            assert sensitivity.mean() == pytest.approx(1.0, abs=1e-3)
            humps = sum(SigmoidLink(1 / width, t).sensitivity(z) for t in thresholds)
            expected = (1 - floor) * humps / humps.max() + floor
            torch.testing.assert_close(sensitivity / sensitivity.max(), expected, rtol=2e-2, atol=1e-3)

    def test_the_losses_of_others(self) -> None:
        torch.manual_seed(0)
        p, s = torch.rand(2, 32, dtype=torch.float64)
        names = ["squared error", "CoSENTLoss", "softmax KL", "cross entropy of decisions"]
        first = {each.loss: each for each in reversed(contenders([0.4, 0.6], names, 8))}
        found = {name: each.make(p, s) for name, each in first.items() if each.make}
        gaps = (20 * (p[None] - p[:, None]))[s[:, None] > s[None]]
        decided = torch.stack([s >= t for t in (0.4, 0.6)]).double()
        logits = 20 * torch.stack([p - t for t in (0.4, 0.6)])
        size = first["softmax KL"].list_size
        q, log_p = (s.view(-1, size) / 0.1).softmax(1), (p.view(-1, size) / 0.1).log_softmax(1)
        expected = {
            "squared error": ((p - s) ** 2).mean() / 2,
            "CoSENTLoss": torch.log1p(gaps.exp().sum()),
            "softmax KL": 0.01 * (q * (q.log() - log_p)).sum(1).mean(),
            "cross entropy of decisions": torch.nn.functional.binary_cross_entropy(logits.sigmoid(), decided),
        }
        assert size == 4
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-9)

    def test_batches_of_lists(self) -> None:
        left = torch.tensor([3, 1, 1, 3, 3, 1, 7, 3, 1, 3])
        order = list(batches(left, 5, torch.Generator().manual_seed(0), 2))
        assert [len(batch) for batch in order] == [4, 4]
        assert [left[batch].view(-1, 2).diff().abs().sum() for batch in order] == [0, 0]
        assert len(torch.cat(order).unique()) == 8
        whole = list(batches(left, 4, torch.Generator().manual_seed(0), 1))
        assert sorted(torch.cat(whole).tolist()) == list(range(10))

    def test_intervals_are_those_of_naive_resamples(self) -> None:
        rng = np.random.default_rng(1)
        left, right = np.triu_indices(40, 1)
        gold = rng.random(len(left)).astype(np.float32)
        scored = Pairs(left, right, gold, (gold + 0.2 * rng.normal(size=len(left))).astype(np.float32))
        found = runs._resampled(scored, 0.7, 0.65, 3)
        times = np.random.default_rng(3).multinomial(40, np.full(40, 1 / 40), size=runs._DRAWS)
        for draw in (0, 7, 499):
            rows = np.repeat(np.arange(len(left)), times[draw][left] * times[draw][right])
            expected = decisions(gold[rows], scored.predicted[rows], 0.7, 0.65)
            assert {name: values[draw] for name, values in found.items()} == pytest.approx(expected, abs=1e-6)


class TestSplits:
    def test_texts_are_apart_and_stay_where_they_are(self, texts: list[str]) -> None:
        some, more = split_texts(texts[:300]), split_texts([*texts, *texts, "  ", " a text "])
        every = [text for part in more.values() for text in part]
        assert sorted(every) == sorted({*texts, "a text"})
        for name, part in some.items():
            assert {*part} <= {*more[name]}
        assert 0.7 < len(more["train"]) / len(every) < 0.9
        assert split_texts(texts, seed=1) != split_texts(texts)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (["one"], "1 texts hold 1 different ones.*too few"),
            (["one"] * 500, "500 texts hold 1 different ones"),
            ([f"{k}" for k in range(20)], "20 texts hold 20 different ones.*too few.*at least 200"),
        ],
    )
    def test_too_few(self, given: list[str], message: str) -> None:
        with pytest.raises(DataError, match=message):
            split_texts(given)


class TestDrawing:
    def test_pairs_hold_the_nearest_and_the_teachers_scores(
        self, teacher: SentenceTransformer, texts: list[str], tmp_path: Path
    ) -> None:
        some = Teacher(teacher, texts, states(tmp_path))
        units = teacher.encode(texts, normalize_embeddings=True)
        rows = np.arange(50, 350)
        ((left, right),) = some.pool(rows, np.random.default_rng(0))
        assert (left != right).all()
        assert {*left, *right} <= {*rows}
        scores = units[rows] @ units[rows].T
        np.fill_diagonal(scores, -2)
        partners = {}
        for i, j in zip(left, right, strict=True):
            partners.setdefault(i, set()).add(j)
        for place, number in enumerate(rows):
            assert rows[scores[place].argmax()] in partners[number]
        np.testing.assert_allclose(some.scores(left, right), (units[left] * units[right]).sum(1), atol=1e-6)

    def test_scores_are_denser_at_the_threshold(
        self, teacher: SentenceTransformer, texts: list[str], tmp_path: Path
    ) -> None:
        some, rows = Teacher(teacher, texts, states(tmp_path)), np.arange(len(texts))
        for threshold in (0.5, 0.8):
            drawn = some.drawn(rows, [threshold], 50, np.random.default_rng(0))
            assert len(drawn.scores) == 50 * len(texts)
            ((left, right),) = some.pool(rows, np.random.default_rng(0))
            pool, counts = some.scores(left, right), []
            for scores in (pool, drawn.scores):
                counts.append([(np.abs(scores - place) < 0.025).sum() for place in (threshold, threshold - 0.25)])
            # By the square root of how many there are, and up to 4 times as many at the threshold.
            expected = 4 * (counts[0][0] / counts[0][1]) ** 0.5
            assert counts[1][0] / counts[1][1] == pytest.approx(expected, rel=0.3)
        held_out = some.held_out(rows[:40], "test", np.random.default_rng(0))
        assert {*zip(held_out.left, held_out.right, strict=True)} == {(i, j) for j in range(40) for i in range(j)}

    def test_chunks_bound_the_work(
        self, teacher: SentenceTransformer, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(teachers, "_CHUNK", 100)
        some, rows = Teacher(teacher, texts, states(tmp_path)), np.arange(len(texts))
        parts = list(some.pool(rows, np.random.default_rng(0)))
        assert len(parts) == -(-len(texts) // 100)
        assert np.unique(np.concatenate([left for left, _ in parts])).tolist() == rows.tolist()
        for left, right in parts:
            assert np.ptp(np.concatenate([left, right])) < 100

    def test_half_is_what_a_first_student_takes_for_neighbours(
        self, teacher: SentenceTransformer, texts: list[str], tmp_path: Path
    ) -> None:
        some, rows, rng = Teacher(teacher, texts, states(tmp_path)), np.arange(10, 400), np.random.default_rng(0)
        drawn = some.drawn(rows, [0.6], 40, rng)
        units = np.linalg.qr(rng.normal(size=(32, 32)))[0][rng.integers(0, 32, 390)].astype(np.float32)
        found = some.with_mined(drawn, rows, units, rng)
        size = len(drawn.scores)
        assert len(found.scores) == size
        before = {*zip(drawn.left, drawn.right, strict=True)}
        assert {*zip(found.left[: size // 2], found.right[: size // 2], strict=True)} <= before
        left, right = found.left[size // 2 :], found.right[size // 2 :]
        same = (units[left - 10] * units[right - 10]).sum(1) > 0.99
        counts = (units @ units.T > 0.99).sum(1) - 1
        assert same.mean() == pytest.approx(np.minimum(counts, 32).mean() / 32, abs=0.01)
        assert (left != right).all()
        np.testing.assert_allclose(found.scores, some.scores(found.left, found.right), atol=1e-6)

    def test_the_first_student_is_trained_once(
        self, teacher: SentenceTransformer, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trained, seen = runs.Lessons.train, list[int]()

        def counted(lessons: Any, student: Any, some: Any, *rest: Any) -> None:
            seen.append(len(some.scores))
            if len(seen) == 2:
                raise KeyboardInterrupt
            trained(lessons, student, some, *rest)

        monkeypatch.setattr(runs.Lessons, "train", counted)
        with pytest.raises(KeyboardInterrupt, match="neighbours that a first student finds are kept"):
            distill(teacher, texts, [0.6], tmp_path / "student", **QUICK)
        distill(teacher, texts, [0.6], tmp_path / "student", **QUICK)
        size = seen[1]
        assert seen == [size // 2, *[size] * (len(seen) - 1)]


class TestStudents:
    def test_static_vectors_are_the_teachers_cut_down(self, transformer_model: Any, texts: list[str]) -> None:
        student = static_student(transformer_model, 32, texts)
        table = transformer_model[0].auto_model.embeddings.word_embeddings.weight.detach()
        counts = torch.zeros(len(table))
        for text in texts:
            for number in student[0].tokenizer.encode(text, add_special_tokens=False).ids:
                counts[number] += 1
        expected = (table - table.mean(0)) * (1e-3 / (1e-3 + counts / counts.sum()))[:, None]
        found = student[0].embedding.weight.detach()
        products, wanted = found @ found.T, expected @ expected.T  # all dimensions: only turned and scaled
        torch.testing.assert_close(products / products.norm(), wanted / wanted.norm(), rtol=1e-3, atol=1e-6)
        assert static_student(transformer_model, 5, texts).get_embedding_dimension() == 5
        with pytest.raises(ValueError, match=r"have 32 dimensions.*Write --dimensions 32, or less"):
            static_student(transformer_model, 33, texts)

    def test_layers(self, transformer_model: Any, texts: list[str], tmp_path: Path) -> None:
        student = layered_student(transformer_model, 2, 6, texts)
        assert len(transformer_model[0].auto_model.encoder.layer) == 3
        student.save_pretrained(str(tmp_path / "student"))
        loaded = SentenceTransformer(str(tmp_path / "student"), device="cpu")
        assert (len(loaded[0].auto_model.encoder.layer), loaded.get_embedding_dimension()) == (2, 6)
        np.testing.assert_allclose(loaded.encode(texts[:3]), student.encode(texts[:3]), atol=1e-5)
        whole = layered_student(transformer_model, 2, 32, texts).encode(texts[:40])
        cut = student.encode(texts[:40])
        assert np.corrcoef((whole @ whole.T).ravel(), (cut @ cut.T).ravel())[0, 1] > 0.95
        with pytest.raises(ValueError, match="no 3 layers to keep and others to leave out"):
            layered_student(transformer_model, 3, 6, texts)

    @pytest.mark.parametrize("model", ["static_model", "transformer_model"])
    def test_embeddings_are_those_of_encode(self, model: str, texts: list[str], request: pytest.FixtureRequest) -> None:
        student = request.getfixturevalue(model)
        numbers = np.array([5, 3, 3, 70])
        found = Embedder(student, texts).units(numbers)
        expected = student.encode([texts[number] for number in numbers], normalize_embeddings=True)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture(scope="module")
def compared(
    teacher: SentenceTransformer, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A student's folder, alone in its own, and what the distillation found, beside the other losses."""
    folder = tmp_path_factory.mktemp("compared") / "student"
    settings = {**QUICK, "pairs": 48, "compare": True, "diagnose": True}
    return folder, distill(teacher, texts, [0.6, 0.8], folder, **settings)


class TestDistill:
    def test_agrees_better_than_before_and_saves_its_threshold(
        self, teacher: SentenceTransformer, texts: list[str], compared: tuple[Path, dict[str, Any]]
    ) -> None:
        folder, found = compared
        assert found == json.loads((folder / "metrics.json").read_text())
        assert set(found["test"]) == {"selective", *COMPARED}
        student = SentenceTransformer(str(folder), device="cpu")
        threshold = load_threshold(student) or load_threshold(folder)
        assert threshold is not None
        assert (threshold.gold, threshold.value) == (0.6, found["student_threshold"])
        # The figures are those of the saved model on all pairs of the test texts.
        test = split_texts(texts)["test"]
        gold, predicted = (model.encode(test, normalize_embeddings=True) for model in (teacher, student))
        index = np.triu_indices(len(test), 1)
        gold, predicted = (gold @ gold.T)[index], (predicted @ predicted.T)[index]
        for one in found["test"]["selective"]:
            t = one["threshold"]
            assert one["at_teachers"] == pytest.approx(decisions(gold, predicted, t, t), abs=2e-3)
            assert one["at_own"] == pytest.approx(decisions(gold, predicted, t, one["cut"]["value"]), abs=2e-3)
            assert one["loss"] == pytest.approx(threshold_loss(gold, predicted, t), rel=1e-3)
        before = static_student(teacher, 8, texts).encode(test, normalize_embeddings=True)
        assert found["test"]["selective"][0]["loss"] < 0.5 * threshold_loss(gold, (before @ before.T)[index], 0.6)
        assert [path.name for path in folder.parent.iterdir()] == ["student"]
        assert not (folder / "working").exists()

    def test_says_what_limits_and_what_is_gained(self, compared: tuple[Path, dict[str, Any]]) -> None:
        folder, found = compared
        words = {
            "model": "limited by the model",
            "labels": "limited by texts: more texts would help",
            "nothing": "neither",
        }
        assert words[found["diagnosis"]["limit"]] in found["diagnosis"]["sentence"]
        assert found["diagnosis"]["training"]["share"] > 0.05
        ours = found["test"]["selective"][0]
        for metric, (low, high) in ours["at_own_intervals"].items():
            assert 0 <= low <= ours["at_own"][metric] <= high <= 1
            assert 0.02 < high - low < 0.4
        for loss in COMPARED:
            other, gains = found["test"][loss][0], found["f1_gained"][loss][0]
            for where, gain in gains.items():
                assert gain["f1"] == pytest.approx(ours[where]["f1"] - other[where]["f1"])
                assert gain["interval"][0] <= gain["f1"] <= gain["interval"][1]
        assert "draws" not in (folder / "metrics.json").read_text()

    def test_trained_on_no_held_out_text(
        self, teacher: SentenceTransformer, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trained = runs.Lessons.train
        seen: set[str] = set()

        def keep(lessons: Any, student: Any, pairs: Any, *rest: Any) -> None:
            seen.update(lessons.teacher.texts[number] for number in {*pairs.left, *pairs.right})
            trained(lessons, student, pairs, *rest)

        monkeypatch.setattr(runs.Lessons, "train", keep)
        distill(teacher, texts, [0.6], tmp_path / "student", **QUICK)
        parts = split_texts(texts)
        assert seen <= {*parts["train"]}
        assert len(seen) > 0.98 * len(parts["train"])

    def test_goes_on_after_an_interruption(
        self, teacher: SentenceTransformer, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(teachers, "_KEPT", 100)
        encode, asked = SentenceTransformer.encode, list[int]()

        def interrupted(self: Any, rows: Any, **kwargs: Any) -> Any:
            if kwargs.get("normalize_embeddings"):
                asked.append(len(rows))
                if len(asked) == 3:
                    raise KeyboardInterrupt
            return encode(self, rows, **kwargs)

        monkeypatch.setattr(SentenceTransformer, "encode", interrupted)
        with pytest.raises(KeyboardInterrupt, match=r"nothing was written.*200 of [\d,]+ teacher embeddings are kept"):
            distill(teacher, texts, [0.6], tmp_path / "student", **QUICK)
        monkeypatch.setattr(runs, "measured", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt, match=f"{len(texts)} of {len(texts)} teacher embeddings"):
            distill(teacher, texts, [0.6], tmp_path / "student", **QUICK)
        assert sum(asked) - 100 == len(texts)  # none was asked for twice but the block that was interrupted
        monkeypatch.undo()
        resumed = distill(teacher, texts, [0.6], tmp_path / "student", **QUICK)
        whole = distill(teacher, texts, [0.6], tmp_path / "other", **QUICK)
        assert resumed["runs"] == whole["runs"]

    def test_runs_that_are_done_are_not_done_again(
        self, teacher: SentenceTransformer, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trained, rates = runs.Lessons.train, list[float]()

        def counted(*arguments: Any) -> None:
            rates.append(arguments[4])
            if len(rates) == 3:
                raise KeyboardInterrupt
            trained(*arguments)

        monkeypatch.setattr(runs.Lessons, "train", counted)
        settings = {**QUICK, "learning_rates": (0.01, 0.1)}
        with pytest.raises(KeyboardInterrupt, match="1 of 4 runs is kept"):
            distill(teacher, texts, [0.6], tmp_path / "student", **settings)
        distill(teacher, texts, [0.6], tmp_path / "student", **settings)
        assert rates[:4] == [0.1, 0.01, 0.1, 0.1]  # the first student's, and each rate's with the first link
        assert len(rates) == 6
        assert len({*rates[4:]}) == 1  # the other links, with the better rate

    @pytest.mark.slow
    @pytest.mark.parametrize("own", [False, True])
    def test_transformer_students(
        self, own: bool, transformer_model: Any, transformer_folder: Path, texts: list[str], tmp_path: Path
    ) -> None:
        units = transformer_model.encode(texts[:300], normalize_embeddings=True)
        middle = float(np.median(units @ units.T))
        asked = {"student": str(transformer_folder)} if own else {"layers": 2, "dimensions": 6}
        settings = {"pairs": 4, "learning_rates": (1e-3,), "compare": not own}
        found = distill(transformer_model, texts[:300], [middle], tmp_path / "student", **asked, **settings)
        student = SentenceTransformer(str(tmp_path / "student"), device="cpu")
        assert student.get_embedding_dimension() == (32 if own else 6)
        assert found["settings"]["batch_size"] == 32
        assert found["test"]["selective"][0]["at_own"]["f1"] > 0.72  # finding every pair has 0.67

    def test_a_cross_encoder_teaches_its_scores(
        self, texts: list[str], transformer_folder: Path, tmp_path: Path
    ) -> None:
        bert = str(transformer_folder)
        cross = CrossEncoder(bert, num_labels=1, device="cpu", max_length=32)
        with torch.no_grad():
            for parameter in cross.model.parameters():
                parameter *= 2
        scores = cross.predict([(texts[i], texts[i + 1]) for i in range(100)])
        middle = float(np.median(scores))
        found = distill(cross, texts[:300], [middle], tmp_path / "student", compare=True, **QUICK)
        assert (found["unit"], found["held_out_pairs"]) == ("pairs", "drawn pairs")
        assert "embedding distillation" not in found["test"]
        cross.activation_fn = torch.nn.Identity()
        with torch.no_grad():
            cross.model.classifier.bias += 5
        with pytest.raises(ValueError, match=r"must be one number a pair within \[-1, 1\].*Sigmoid"):
            distill(cross, texts[:300], [0.5], tmp_path / "other", **QUICK)


class TestRefused:
    @pytest.mark.parametrize(
        ("thresholds", "more", "message"),
        [
            ([1.2], {}, r"within \[-1, 1\].*got 1.2. Write --threshold 0.85"),
            ([0.8, -3], {}, r"got 0.8, -3"),
            ([], {}, "got none"),
            ([float("nan")], {}, "threshold must be a finite number"),
            ([0.8], {"dimensions": 0}, "dimensions must be a whole number of at least 1"),
            ([0.8], {"layers": 2, "student": "folder"}, "Leave student out"),
            ([0.8], {"learning_rates": (-1,)}, "a learning rate must be a finite number > 0"),
            ([0.8], {"student": "./nowhere"}, "--student ./nowhere could not be loaded"),
        ],
    )
    def test_settings(
        self, thresholds: Any, more: Any, message: str, teacher: Any, texts: list[str], tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match=message):
            distill(teacher, texts, thresholds, tmp_path / "student", **more)
        assert not (tmp_path / "student").exists()

    def test_a_model_of_another_kind(self, teacher: Any, texts: list[str], tmp_path: Path) -> None:
        with pytest.raises(TypeError, match=r"teacher must be of type SentenceTransformer or CrossEncoder"):
            distill(teacher[0], texts, [0.8], tmp_path / "student")

    def test_no_scores_at_the_threshold(self, teacher: Any, texts: list[str], tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no pair of the .* at or above the threshold 1.*quantiles .*\(50.0%\)"):
            distill(teacher, texts, [1.0], tmp_path / "student", **QUICK)
        with pytest.raises(DataError, match=r"every pair of the .* at or above the threshold -1"):
            distill(teacher, texts, [-1.0], tmp_path / "student", **QUICK)

    def test_scores_that_are_all_alike(self, teacher: Any, texts: list[str], tmp_path: Path) -> None:
        constant = SentenceTransformer(modules=[StaticEmbedding(teacher[0].tokenizer, embedding_dim=16)], device="cpu")
        with torch.no_grad():
            constant[0].embedding.weight.fill_(0.5)
        with pytest.raises(DataError, match="gives every pair the score 1"):
            distill(constant, texts, [0.8], tmp_path / "student", **QUICK)

    def test_the_output_exists(self, teacher: Any, texts: list[str], tmp_path: Path) -> None:
        (tmp_path / "student").mkdir()
        (tmp_path / "student" / "thesis.txt").write_text("years of work")
        with pytest.raises(OutputError, match="exists and was not written by this command"):
            distill(teacher, texts, [0.8], tmp_path / "student", overwrite=True, **QUICK)


class TestFiles:
    def test_texts_of_every_kind(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"one\r\n\ntwo, three\n")
        (tmp_path / "b.csv").write_text("title,year,body\nA pear,1999,It is green.\nA bear,2001,It is brown.\n")
        (tmp_path / "c.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
        assert read_texts(str(tmp_path / "a.txt"))[0] == ["one", "", "two, three"]
        found, notes = read_texts(str(tmp_path / "b.csv"))
        assert sorted(found) == ["A bear", "A pear", "It is brown.", "It is green."]
        assert notes[-1] == "b.csv: texts of 'title', 'body'"
        assert read_texts(str(tmp_path / "b.csv"), ["body"])[0] == ["It is green.", "It is brown."]
        assert read_texts(str(tmp_path / "c.jsonl"))[0] == ["a", "b"]

    def test_what_is_wrong(self, tmp_path: Path) -> None:
        (tmp_path / "b.csv").write_text("id,year\n1,1999\n2,2001\n")
        (tmp_path / "l.txt").write_bytes("caf\xe9\n".encode("latin1"))
        for name, columns, message in (
            ("b.csv", None, "has no texts in any column; it has the columns id, year"),
            ("b.csv", ["body"], "has no column 'body'; it has id, year. Mend --text-columns"),
            ("l.txt", None, "is not UTF-8 text in line 1; convert it first"),
            ("n.txt", None, "does not exist"),
        ):
            with pytest.raises(DataError, match=message):
                read_texts(str(tmp_path / name), columns)


def run(*arguments: object) -> Any:
    return CliRunner(env={"COLUMNS": "250"}).invoke(app, [str(argument) for argument in arguments])


class TestCommand:
    @pytest.mark.slow
    def test_prints_the_agreement_and_what_it_wrote(
        self, teacher: SentenceTransformer, texts: list[str], tmp_path: Path
    ) -> None:
        teacher.save_pretrained(str(tmp_path / "teacher"))
        (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
        more = ("--dimensions", 8, "--learning-rates", "0.03", "--threshold", 0.6, "--threshold", 0.8)
        asked = ("distill", tmp_path / "teacher", tmp_path / "texts.txt", *more, "--output", tmp_path / "student")
        result = run(*asked, "--compare")
        assert result.exit_code == 0, result.output
        for words in (
            "Agreement with the teacher at 0.6, on all pairs",
            "Agreement with the teacher at 0.8",
            "squared error",
            "embedding distillation",
            "texts a second",
            "Saved with the student: a pair matches from",
            str(tmp_path / "student" / "metrics.json"),
        ):
            assert words in result.output
        metrics = json.loads((tmp_path / "student" / "metrics.json").read_text())
        one = metrics["test"]["selective"][1]
        said = " ".join(result.output.split())
        assert f"selective, as the teacher 0.800 {one['at_teachers']['f1']:.3f} (" in said
        assert f"selective, its own best {one['cut']['value']:.3f} {one['at_own']['f1']:.3f} (" in said
        squared = metrics["test"]["squared error"][1]["loss"]
        assert f"{squared:.4f} (ours {100 * one['loss'] / squared:.0f} % of it)" in said
        assert f"at 0.8 this student is of little use: F1 {one['at_own']['f1']:.2f} at its own best threshold" in said
        assert "more dimensions (--dimensions, now 8), more texts" in said
        assert "at 0.6 this student" not in said
        gain = metrics["f1_gained"]["squared error"][1]["at_own"]["f1"]
        assert f"{gain:+.3f} (" in result.output
        again = run(*asked)
        assert (again.exit_code, "add --overwrite" in " ".join(again.output.split())) == (1, True)

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (("--threshold", 2), "a threshold must be a score of the teacher within [-1, 1]"),
            (("--threshold", 0.8, "--text-columns", "body"), "has no column 'body'"),
            (("--threshold", 0.8), "2 texts hold 2 different ones that are not empty: too few"),
        ],
    )
    def test_mistakes_in_a_line(self, more: Any, message: str, teacher: Any, tmp_path: Path) -> None:
        teacher.save_pretrained(str(tmp_path / "teacher"))
        (tmp_path / "t.csv").write_text("text,year\nA pear,1999\nA bear,2001\n")
        result = run("distill", tmp_path / "teacher", tmp_path / "t.csv", *more, "--output", tmp_path / "student")
        assert result.exit_code == 1
        assert f"Error: {message}" in " ".join(result.output.replace("distill: ", "").replace("t.csv ", "").split())
        assert not (tmp_path / "student").exists()


class TestDefaults:
    @pytest.mark.parametrize(
        ("asked", "epochs", "batch_size", "rates"),
        [
            ({}, 2, 1024, (0.05,)),
            ({"compare": True}, 2, 1024, (0.02, 0.05)),
            ({"layers": 2}, 1, 32, (1e-4,)),
            ({"student": "folder", "compare": True}, 1, 32, (5e-5, 1e-4)),
            ({"learning_rates": [0.3], "epochs": 7}, 7, 1024, [0.3]),
        ],
    )
    def test_by_the_student(self, asked: Any, epochs: int, batch_size: int, rates: Any) -> None:
        settings = DistillSettings(**asked)
        assert (settings.epochs, settings.batch_size, settings.learning_rates) == (epochs, batch_size, rates)
