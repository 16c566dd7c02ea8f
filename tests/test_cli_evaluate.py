"""`selective-st evaluate` and `selective-st plot`, as a user meets them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from typer.testing import CliRunner, Result

from selective_st import plotting
from selective_st.cli import app, common
from selective_st.data import read_pairs
from selective_st.demo import graded_pairs, write_demo_data
from selective_st.evaluation import (
    ScoreRegionEvaluator,
    ScoreThreshold,
    comparison,
    region_metrics,
    remember_threshold,
    threshold_curve,
)
from selective_st.evaluation.thresholds import named_model_type
from selective_st.links import high_scores, link_for_thresholds
from selective_st.registry.catalog import MODEL_TYPES
from selective_st.training import train_tokenizer
from tests import random_inputs
from tests.model_types import cross_encoder, model_for, sentence
from tests.test_scoring import DOCUMENTS, QUERIES, prompted, questions, routed


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def text(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.fixture(scope="module", autouse=True)
def _few_resamples() -> Iterator[None]:
    """The intervals are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_MOST_RESAMPLES", "_FEWEST_RESAMPLES"):
            patch.setattr(comparison, name, 10)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_demo_data(tmp_path_factory.mktemp("data"), {"test": 120, "validation": 100})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two random static models; the second has a threshold."""
    torch.manual_seed(random_inputs.seed_of(0))  # whatever ran before
    folder = tmp_path_factory.mktemp("models")
    tokenizer = train_tokenizer([part for pair in graded_pairs(64) for part in pair[:2]], vocabulary=300)
    for name, size in (("larger", 64), ("smaller", 4)):
        model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=size)], device="cpu")
        if name == "smaller":
            remember_threshold(
                model, ScoreThreshold(0.7, 0.95, metric="f1", metric_value=0.5, chosen_on="dev", pairs=9, positives=3)
            )
        model.save_pretrained(str(folder / name))
    return {name: folder / name for name in ("larger", "smaller")}


@pytest.fixture(scope="module")
def evaluated(
    data: dict[str, Path], models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Result, Path]:
    output = tmp_path_factory.mktemp("out") / "evaluation"
    return run(
        "evaluate", models["larger"], data["test"], "--against", models["smaller"], "--score-range", "0,5",
        "--validation-data", data["validation"], "--output", output,
    ), output  # fmt: skip


class TestEvaluate:
    def test_writes_the_report_the_metrics_and_the_pictures(self, evaluated: tuple[Result, Path]) -> None:
        result, output = evaluated
        assert result.exit_code == 0, result.output
        assert sorted(path.name for path in output.iterdir() if path.name[0] != ".") == [
            "metrics.json", "report.html", "scores_1.png", "scores_2.png", "threshold_curves.png",
        ]  # fmt: skip
        assert str(output / "report.html") in result.output
        html = (output / "report.html").read_text(encoding="utf-8")
        assert html.count("data:image/png;base64,") == 3
        for shown in (
            "How well larger scores text pairs, against smaller", "on validation.csv (100 pairs",
            "Loss at each threshold", "the worst errors of larger", "scored too high", "scored too low",
        ):  # fmt: skip
            assert shown in html
        assert "Average precision, gold ≥ 0.95" in result.output

    def test_the_numbers_are_those_of_the_models(
        self, evaluated: tuple[Result, Path], data: dict[str, Path], models: dict[str, Path]
    ) -> None:
        found = json.loads((evaluated[1] / "metrics.json").read_text())
        test, validation = (read_pairs(str(data[name]), score_range=(0, 5)) for name in ("test", "validation"))
        for entry in found["models"]:
            model = SentenceTransformer(str(models[entry["name"]]), device="cpu")
            cosine = model.similarity_pairwise(model.encode(test.sentences1), model.encode(test.sentences2)).tolist()
            for name, value in region_metrics(test.scores, cosine).items():
                assert entry["metrics"][name] == pytest.approx(value, abs=1e-5), name
            chosen = ScoreRegionEvaluator(validation.sentences1, validation.sentences2, validation.scores)
            threshold = chosen.choose_threshold(model, 0.95)
            assert entry["threshold"]["value"] == pytest.approx(threshold.value, abs=1e-5)
            assert entry["threshold"]["chosen_on"] == "validation.csv"
            assert sum(entry["decisions"].values()) == 120
        assert found["differences"]["spearman"]["value"] == pytest.approx(
            found["models"][0]["metrics"]["spearman"] - found["models"][1]["metrics"]["spearman"]
        )

    def test_takes_the_threshold_saved_with_the_model_and_prints_json(
        self, data: dict[str, Path], models: dict[str, Path], tmp_path: Path
    ) -> None:
        result = run(
            "evaluate", models["smaller"], data["test"], "--score-range", "0,5", "--focus", "0.4:0.6", "--json",
            "--output", tmp_path / "out",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["models"][0]["threshold"]["value"] == 0.7
        assert found["threshold_notes"]["smaller"].startswith(
            "it was saved with the model, where it gave the highest F1"
        )
        assert found["main_metric"] == "rmse_0.4_0.6"
        assert found == json.loads((tmp_path / "out" / "metrics.json").read_text())

    def test_cross_encoders_and_questions(self, transformer_folder: Path, tmp_path: Path) -> None:
        CrossEncoder(str(transformer_folder), num_labels=1, device="cpu").save_pretrained(str(tmp_path / "model"))
        rows = "\n".join(f"what is {i // 4},{second},{i % 4 // 3}" for i, (_, second, _) in enumerate(graded_pairs(80)))
        (tmp_path / "answers.csv").write_text(f"question,answer,label\n{rows}\n", encoding="utf-8")
        result = run("evaluate", tmp_path / "model", tmp_path / "answers.csv", "--output", tmp_path / "out")
        assert result.exit_code == 0, result.output
        metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["models"][0]["metrics"]
        assert metrics["questions"] == 20
        assert 0 < metrics["map"] < 1
        assert "Ranking the candidates of a text" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert "has no threshold: none was saved with it" in text(result)
        # All positives have one label: their order is not defined, and not spoken of.
        assert "Rank correlation, gold 0.8 to 1" not in result.output
        assert "nan" not in result.output

    @pytest.mark.parametrize("model_type", MODEL_TYPES)
    def test_a_model_is_of_the_type_that_it_was_saved_as(self, model_type: str, tmp_path: Path) -> None:
        model_for(model_type).save_pretrained(str(tmp_path / "model"))
        assert type(common.load_model("MODEL", str(tmp_path / "model"))).__name__ == model_type

    def test_a_cross_encoder_of_the_older_layout(self, tmp_path: Path) -> None:
        model = cross_encoder()
        model.model.save_pretrained(tmp_path / "model")
        model.tokenizer.save_pretrained(tmp_path / "model")
        rows = "\n".join(f"{sentence(i)},{sentence(i + 50)},{i / 20}" for i in range(21))
        (tmp_path / "pairs.csv").write_text(f"a,b,score\n{rows}\n", encoding="utf-8")
        result = run("evaluate", tmp_path / "model", tmp_path / "pairs.csv", "--json", "--output", tmp_path / "out")
        assert result.exit_code == 0, result.output
        pairs = read_pairs(str(tmp_path / "pairs.csv"))
        scores = model.predict(list(zip(pairs.sentences1, pairs.sentences2, strict=True))).tolist()
        expected = region_metrics(pairs.scores, scores)["rmse"]
        assert json.loads(result.stdout)["models"][0]["metrics"]["rmse"] == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize(
        ("files", "expected"),
        [
            ({}, "SentenceTransformer"),
            ({"config_sentence_transformers.json": {"model_type": "ColBERT"}}, "MultiVectorEncoder"),  # PyLate's name
            ({"config_sentence_transformers.json": {"prompts": {}}}, "SentenceTransformer"),
            ({"config.json": {"architectures": ["BertForSequenceClassification"]}}, "CrossEncoder"),
            ({"config.json": {"architectures": ["BertModel"]}}, "SentenceTransformer"),
            ({"config.json": {"architectures": None}}, "SentenceTransformer"),
            # Its modules say what is made of the transformer.
            (
                {"config.json": {"architectures": ["BertForSequenceClassification"]}, "modules.json": []},
                "SentenceTransformer",
            ),
        ],
    )
    def test_what_files_say_of_the_type(self, files: dict[str, object], expected: str, tmp_path: Path) -> None:
        for name, content in files.items():
            (tmp_path / name).write_text(json.dumps(content))
        assert (named_model_type(str(tmp_path)) or "SentenceTransformer") == expected

    def test_names_are_no_markup(self, models: dict[str, Path], data: dict[str, Path], tmp_path: Path) -> None:
        for name in ("m[best]", "m[red]"):
            shutil.copytree(models["larger" if name == "m[best]" else "smaller"], tmp_path / name)
        shutil.copy(data["test"], tmp_path / "test[1].csv")
        result = run(
            "evaluate", tmp_path / "m[best]", tmp_path / "test[1].csv", "--against", tmp_path / "m[red]",
            "--score-range", "0,5", "--output", tmp_path / "out",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        lines = result.output.splitlines()
        assert any(line.lstrip().startswith("test[1].csv, 120 pairs") for line in lines)
        header = next(number for number, line in enumerate(lines) if line.split()[:1] == ["metric"])
        assert lines[header].split()[1:3] == ["m[best]", "m[red]"]
        metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert metrics["differences"]["spread"]["better"] is not None
        row = next(line for line in lines[header:] if line.split()[:1] == ["Spread"])
        assert row.split()[-1] == metrics["differences"]["spread"]["better"]

    def test_without_matplotlib_it_goes_on_without_pictures(
        self, data: dict[str, Path], models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "selective_st.plotting", None)
        result = run(
            "evaluate", models["larger"], data["test"], "--score-range", "0,5", "--output", tmp_path / "out"
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        assert 'pip install "selective-st[plot]"' in text(result)
        assert not list((tmp_path / "out").glob("*.png"))
        assert "there are no pictures" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

    def test_never_overwrites_unasked(
        self, evaluated: tuple[Result, Path], data: dict[str, Path], models: dict[str, Path]
    ) -> None:
        before = {path: path.stat().st_mtime_ns for path in evaluated[1].iterdir()}
        result = run("evaluate", models["larger"], data["test"], "--score-range", "0,5", "--output", evaluated[1])
        assert result.exit_code == 1
        assert "add --overwrite" in text(result)
        assert {path: path.stat().st_mtime_ns for path in evaluated[1].iterdir()} == before

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--against", "no-such-model"), "The model no-such-model could not be loaded"),
            (("--focus", "upwards"), "--focus must be high, low"),
            (("--score-range", "5"), "--score-range takes two numbers"),
            (("--validation-data", "missing.csv"), "missing.csv does not exist"),
            (("--positive-from", "2"), "--positive-from must be above 0"),
            (("--threshold-metric", "f3", "--validation-data", "DATA"), "metric must be one of f1, f0.5, f2"),
            (("--against", "MODEL"), "is the model itself"),
            (("--by", "nowhere"), "has no column 'nowhere'"),
            (("--by", "score", "--focus", "low"), "--by is for thresholds that find pairs by high scores"),
            (
                ("--threshold", "0.85", "--focus", "high"),
                "--threshold 0.85 and --focus high both say which scores matter. Leave one",
            ),
            (("--threshold", "-0.5"), "--threshold -0.5: a threshold lies between 0 and 1"),
        ],
    )
    def test_mistakes_are_explained_and_write_nothing(
        self, data: dict[str, Path], models: dict[str, Path], tmp_path: Path, arguments: tuple[str, ...], message: str
    ) -> None:
        names = {"DATA": str(data["validation"]), "MODEL": str(models["larger"])}
        output = tmp_path / "out"
        extra = [names.get(argument, argument) for argument in arguments]
        if "--score-range" not in arguments:
            extra += ["--score-range", "0,5"]
        result = run("evaluate", models["larger"], data["test"], "--output", output, *extra)
        assert result.exit_code == 1, result.output
        assert message in text(result)
        assert "Traceback" not in result.output
        assert not list(tmp_path.iterdir())

    def test_a_column_that_is_not_there_is_told_before_any_work(
        self, data: dict[str, Path], models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(common, "load_model", lambda *_: pytest.fail("the model was loaded"))
        for arguments in (("--by", "nowhere"), ("--by", "score", "--focus", "low")):
            result = run("evaluate", models["larger"], data["test"], "--score-range", "0,5", *arguments)
            assert result.exit_code == 1, result.output
            assert "--by" in text(result)

    def test_no_pair_in_the_region(self, models: dict[str, Path], tmp_path: Path) -> None:
        (tmp_path / "low.csv").write_text("a,b,score\nx,y,0.1\nx,z,0.2\n", encoding="utf-8")
        result = run("evaluate", models["larger"], tmp_path / "low.csv", "--output", tmp_path / "out")
        assert result.exit_code == 1
        assert "ap_ge_0.95 is not defined there" in text(result)


class TestThresholds:
    def test_the_metrics_come_first(
        self, data: dict[str, Path], models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        result = run(
            "evaluate", models["larger"], data["test"], "--score-range", "0,5", "--threshold", "0.8", "--threshold",
            "0.5", "--against", models["smaller"], "--output", tmp_path / "out",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        found = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert (found["focus"], found["main_metric"]) == ("--threshold 0.8 --threshold 0.5", "loss_at_0.8")
        test = read_pairs(str(data["test"]), score_range=(0, 5))
        gold = np.array(test.scores)
        for entry in found["models"]:
            model = SentenceTransformer(str(models[entry["name"]]), device="cpu")
            cosine = model.similarity_pairwise(model.encode(test.sentences1), model.encode(test.sentences2)).numpy()
            evaluator = ScoreRegionEvaluator(
                test.sentences1, test.sentences2, test.scores, at_least=(0.8, 0.5), regions=(), thresholds=(0.8, 0.5)
            )
            for name, value in evaluator.metrics(cosine).items():
                assert entry["metrics"][name] == pytest.approx(value, abs=1e-5), name
            for at in (0.8, 0.5):
                sought, hit = gold >= at - 1e-6, cosine >= at
                expected = {
                    "loss": float(threshold_curve(cosine, gold, [at])[1][0]),
                    "precision": (sought & hit).sum() / max(hit.sum(), 1),
                    "recall": (sought & hit).sum() / sought.sum(),
                    "f1": 2 * (sought & hit).sum() / (sought.sum() + hit.sum()),
                }
                for kind, value in expected.items():
                    assert entry["metrics"][f"{kind}_at_{at}"] == pytest.approx(value, abs=1e-6), kind
            curve = found["threshold_curves"]
            expected_curve = threshold_curve(cosine, gold, curve["thresholds"])[1]
            assert curve["losses"][entry["name"]] == pytest.approx(expected_curve, abs=1e-6)
        assert found["differences"]["loss_at_0.8"]["low"] < found["differences"]["loss_at_0.8"]["high"]
        rows = [line.strip() for line in result.output.splitlines()]
        first = next(number for number, row in enumerate(rows) if row.startswith("Loss at the threshold 0.8"))
        following = [" ".join(row.split()[:5]) for row in rows[first + 1 : first + 8]]
        assert following == [
            *(f"{kind} at the threshold 0.8" for kind in ("F1", "Precision", "Recall")),
            "Loss at the threshold 0.5",
            *(f"{kind} at the threshold 0.5" for kind in ("F1", "Precision", "Recall")),
        ]
        assert "what matters: decisions at 0.8 and 0.5" in (tmp_path / "out" / "report.html").read_text(
            encoding="utf-8"
        )


class TestClaims:
    def evaluate(self, model: Path, data: Path, output: Path, *options: object) -> tuple[Result, Any, str]:
        result = run("evaluate", model, data, "--output", output, *options)
        assert result.exit_code == 0, result.output
        html = (output / "report.html").read_text(encoding="utf-8")
        return result, json.loads((output / "metrics.json").read_text()), " ".join(html.split())

    @pytest.mark.parametrize("kind", ["the same file", "mirrored and in capitals", "a part", "texts only", "nothing"])
    def test_what_chose_the_threshold(
        self, kind: str, data: dict[str, Path], models: dict[str, Path], tmp_path: Path
    ) -> None:
        rows = [line.rsplit(",", 2) for line in data["test"].read_text().splitlines()[1:]]
        others = data["validation"].read_text().splitlines()[1:]
        lines, pairs, texts = {
            "the same file": ([",".join(row) for row in rows], 120, 120),
            "mirrored and in capitals": ([f"{b.upper()},{a},{score}" for a, b, score in rows], 120, 120),
            "a part": ([*others, *(",".join(row) for row in rows[:12])], 12, 12),
            "texts only": ([*others, *(f"{a},Other {i}.,1" for i, (a, _, _) in enumerate(rows[:30]))], 0, 30),
            "nothing": (others, 0, 0),
        }[kind]
        path = tmp_path / "chooses.csv"
        path.write_text("\n".join(["first,second,score", *lines]) + "\n", encoding="utf-8")
        options = ("--score-range", "0,5", "--validation-data", path)
        result, found, html = self.evaluate(models["larger"], data["test"], tmp_path / "out", *options)
        assert found["overlap_with_validation_data"]["pairs"] == pairs
        assert found["overlap_with_validation_data"]["texts"] == texts
        said = f"{pairs} of the 120 pairs reported here had a part in it"
        said = said if pairs else "the pairs reported here had no part in it"
        for place in (html, found["threshold_notes"]["larger"], text(result), " ".join(found["summary"])):
            assert said in place
            assert ("had no part" in place) == (pairs == 0)
            assert (f"{texts} share a text with those that had" in place) == (texts > pairs)
        of_rows = {120: "every row of test.csv (120) is a pair of chooses.csv too", 12: "12 of 120 rows (10 %)"}
        counted = of_rows.get(
            pairs, "30 of 120 rows (25 %) share a text" if texts else "no row of test.csv (120) shares"
        )
        for place in (html, text(result), " ".join(found["notes"])):
            assert counted in place

    def test_a_threshold_of_unknown_pairs(self, data: dict[str, Path], models: dict[str, Path], tmp_path: Path) -> None:
        options = ("--score-range", "0,5")
        _, found, html = self.evaluate(models["smaller"], data["test"], tmp_path / "out", *options)
        for place in (html, found["threshold_notes"]["smaller"]):
            assert "whether the pairs reported here had a part in it is not known" in place
            assert "had no part" not in place

    @pytest.mark.parametrize("rows", ["one", "equal"])
    def test_where_numbers_mean_nothing(
        self, rows: str, data: dict[str, Path], models: dict[str, Path], tmp_path: Path
    ) -> None:
        lines = data["test"].read_text().splitlines()
        path = tmp_path / "few.csv"
        kept = lines[1:2] if rows == "one" else lines[1:]
        path.write_text(
            "\n".join([lines[0], *(f"{line.rsplit(',', 1)[0]},5" for line in kept)]) + "\n", encoding="utf-8"
        )
        options = ("--score-range", "0,5", "--against", models["smaller"])
        result, found, html = self.evaluate(models["larger"], path, tmp_path / "out", *options)
        count = "1 pair" if rows == "one" else "120 pairs"
        nothing = f"every label of few.csv is 1 ({count}): nothing can be said of the order of its scores"
        sentence = f"Average precision, gold ≥ 0.95: not defined, as it rests on 0 of {count}."
        for place in (html, text(result)):
            assert nothing in place
            assert sentence in place
            assert rows == "equal" or "1.000" not in place  # a quantile of 120 labels may be told
        assert sentence in " ".join(found["summary"])
        for model in found["models"]:
            assert model["metrics"]["ap_ge_0.95"] is None
            assert not any(name.startswith(("ap", "spearman")) for name in model["intervals"])
        assert not found["differences"]["ap_ge_0.95"]["better"]
        assert found["support"]["rmse"]["too_few"] == (rows == "one")

    def test_says_the_same_everywhere(self, evaluated: tuple[Result, Path]) -> None:
        found = json.loads((evaluated[1] / "metrics.json").read_text())
        html = " ".join((evaluated[1] / "report.html").read_text(encoding="utf-8").split())
        assert len(found["summary"]) > 5
        for said in found["summary"]:
            assert said in text(evaluated[0])
            assert said.replace("'", "&#39;") in html
        assert " better at " in found["summary"][0]
        assert found["summary"][1].startswith("Average precision, gold ≥ 0.95: ")
        assert found["summary"][2].startswith("Of 10 measures")
        assert "25 of 120 pairs" in html
        assert "25 of 120 pairs" in evaluated[0].output


class TestQueries:
    @pytest.fixture(params=["modules", "prompts"])
    def model(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        made = routed() if request.param == "modules" else prompted()
        made.save_pretrained(str(tmp_path / "model"))
        return tmp_path / "model"

    def map_of(self, model: Path, path: Path, *options: str) -> tuple[float, str, Any]:
        result = run(
            "evaluate", model, path, "--output", model.parent / f"out{len(list(model.parent.iterdir()))}", *options
        )
        assert result.exit_code == 0, result.output
        output = next(Path(word).parent for word in result.output.split() if word.endswith("report.html"))
        found = json.loads((output / "metrics.json").read_text())
        return found["models"][0]["metrics"]["map"], text(result), found

    @pytest.mark.parametrize("header", ["query,document,label", "question,answer,label", "a,b,label", ""])
    def test_are_told_by_names_or_by_groups(self, header: str, model: Path, tmp_path: Path) -> None:
        first, second, labels, _ = questions()
        rows = [f"{a},{b},{label:g}" for a, b, label in zip(first, second, labels, strict=True)]
        path = tmp_path / "pairs.csv"
        path.write_text("\n".join([*([header] if header else []), *rows]) + "\n", encoding="utf-8")
        value, said, found = self.map_of(model, path)
        assert value == 1
        assert found["as_queries"] == {"model": True}
        named = header.startswith("qu")
        assert (f"as the columns' names {header.split(',')[0]!r}" in said) == named
        assert ("most first texts stand in several pairs" in said) != named
        assert "--no-as-queries" in said
        alike, said, found = self.map_of(model, path, "--no-as-queries")
        assert alike < 0.75
        assert found["as_queries"] == {"model": False}
        assert "embeds queries" not in said

    @pytest.mark.slow
    def test_symmetric_pairs_stay_so_unless_told(self, model: Path, tmp_path: Path) -> None:
        loaded = SentenceTransformer(str(model), device="cpu")
        path = tmp_path / "pairs.csv"
        rows = [(QUERIES[i], DOCUMENTS[(i * 5) % 12], i / 11) for i in range(12)]
        for header, note in (
            (
                "sentence1,sentence2,score",
                "texts are embedded alike, as the columns' names 'sentence1' and 'sentence2' say",
            ),
            ("left,right,score", "If they are queries, --as-queries embeds them so"),
        ):
            path.write_text("\n".join([header, *(f"{a},{b},{score}" for a, b, score in rows)]) + "\n", encoding="utf-8")
            for option, first, second in (
                ("", "encode", "encode"),
                ("--as-queries", "encode_query", "encode_document"),
            ):
                output = tmp_path / f"{header[:4]}{option}"
                result = run("evaluate", model, path, "--output", output, *filter(None, [option]))
                assert result.exit_code == 0, result.output
                found = json.loads((output / "metrics.json").read_text())
                embedded = [
                    getattr(loaded, name)([row[side] for row in rows]) for side, name in enumerate((first, second))
                ]
                scores = loaded.similarity_pairwise(*embedded).tolist()
                expected = region_metrics([row[2] for row in rows], scores)["rmse"]
                assert found["models"][0]["metrics"]["rmse"] == pytest.approx(expected, abs=1e-6)
                assert (note in text(result)) == (not option)


class TestPlot:
    @pytest.mark.parametrize(
        ("options", "ends", "targets"),
        [
            ((), (0, 1), [0.2, 0.9]),
            (("--score-range", "0,5"), (0, 5), [1, 4.5]),
            (("--score-range", "1,7", "--targets", "4"), (1, 7), [4]),
            (("--score-range=-1,1", "--focus", "low"), (-1, 1), [-0.6, 0.8]),
        ],
    )
    def test_the_score_range_is_that_of_the_labels(
        self,
        options: tuple[str, ...],
        ends: tuple[float, float],
        targets: list[float],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        figures: list[Any] = []
        write = plotting._write
        monkeypatch.setattr(plotting, "_write", lambda figure, path: (figures.append(figure), write(figure, path))[1])
        for place, given in enumerate((options, tuple(o for o in options if o in ("--focus", "low")))):
            result = run("plot", "--output", tmp_path / f"{place}.png", *given)
            assert result.exit_code == 0, result.output
        values, sensitivity, losses = figures[0].axes
        for axes in figures[0].axes:
            line = axes.lines[-1 - len(targets)] if axes is losses else axes.lines[0]
            assert (line.get_xdata()[0], line.get_xdata()[-1]) == pytest.approx(ends)
        # The link is that of the labels mapped to 0 to 1: only the axis is another.
        for axes, plain in zip(figures[0].axes[:2], figures[1].axes[:2], strict=True):
            assert axes.lines[0].get_ydata() == pytest.approx(plain.lines[0].get_ydata())
        assert [line.get_xdata()[0] for line in losses.lines[-len(targets) :]] == pytest.approx(targets)
        assert losses.get_ylim()[1] < 10
        assert values.get_xlabel() == sensitivity.get_xlabel()

    def test_thresholds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given: list[Any] = []
        draw = plotting.plot_links
        monkeypatch.setattr(
            plotting, "plot_links", lambda links, *args, **more: (given.append(links), draw(links, *args, **more))[1]
        )
        told = ("--threshold", "0.7", "--threshold", "0.9")
        assert run("plot", *told, "--output", tmp_path / "a.png").exit_code == 0
        assert run("plot", *told, "--focus", "high", "--output", tmp_path / "b.png").exit_code == 0
        at_thresholds = {"decisions at 0.7 and 0.9": link_for_thresholds([0.7, 0.9])}
        assert given == [at_thresholds, {"high": high_scores()} | at_thresholds]

    def test_draws_several_links(self, tmp_path: Path) -> None:
        output = tmp_path / "pictures" / "links.png"
        link = '{"type": "SigmoidLink", "scale": 20, "shift": 0.8}'
        result = run("plot", "--focus", "high", "--focus", "0.4:0.6", "--focus", link, "--output", output)
        assert result.exit_code == 0, result.output
        assert matplotlib.image.imread(output).std() > 0.01
        assert [path.name for path in output.parent.iterdir()] == ["links.png"]
        assert str(output) in result.output
        again = run("plot", "--output", output)
        assert again.exit_code == 1
        assert "exists already" in text(again)
        assert run("plot", "--output", output, "--overwrite").exit_code == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--output", "links.gif"), "must end in .png, .svg, .pdf"),
            (("--focus", "up"), "--focus must be high, low"),
            (("--targets", "0.5,2"), "--targets takes comma-separated labels within --score-range"),
            (
                ("--targets", "0.2,0.9", "--score-range", "1,5"),
                "within --score-range, 1 to 5, such as",
            ),
            (("--targets", "x"), "--targets takes comma-separated labels"),
            (("--score-range", "1,0"), "LOW must be below HIGH"),
            (("--threshold", "1.5"), "--threshold 1.5: a threshold lies between 0 and 1"),
        ],
    )
    def test_mistakes_are_explained(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        result = run("plot", *arguments)
        assert result.exit_code == 1
        assert message in text(result)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evaluate", "pairs.csv", "model"), "model is a folder; give a file"),
        (("evaluate", "pairs.csv", "model"), "It holds a model: the model comes before the data, or after --model."),
        (("score", "pairs.csv", "model", "--output", "o.csv"), "model is a folder; give a file"),
        (("evaluate", "pairs.csv", "pairs.csv"), "pairs.csv is a file, but a model is a folder, or a name on the hub."),
        (("score", "model", "pairs.csv", "--names", "s,m", "--output", "o.csv", "--threshold", "85"), "at most 1"),
        (("train", "pairs.csv", "--model", "classifier"), "--model classifier is a CrossEncoder, but this command"),
    ],
)
def test_arguments_in_the_wrong_place(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model_for("SentenceTransformer").save_pretrained("model")
    classifier = cross_encoder()
    classifier.model.save_pretrained("classifier")
    classifier.tokenizer.save_pretrained("classifier")
    rows = "\n".join(f"{sentence(i)},{sentence(i + 50)},{i / 99}" for i in range(100))
    Path("pairs.csv").write_text(f"a,b,score\n{rows}\n", encoding="utf-8")
    result = run(*arguments)
    assert (result.exit_code, said in text(result)) == (1, True), result.output
