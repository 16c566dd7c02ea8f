"""`selective-st evaluate` and `selective-st plot`, as a user meets them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib.image
import pytest
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from typer.testing import CliRunner, Result

from selective_st.cli import app, evaluation
from selective_st.data import read_pairs
from selective_st.demo import graded_pairs, write_demo_data
from selective_st.evaluation import (
    ScoreRegionEvaluator,
    ScoreThreshold,
    comparison,
    region_metrics,
    remember_threshold,
)
from selective_st.registry.catalog import MODEL_TYPES
from selective_st.training import train_tokenizer
from tests.model_types import cross_encoder, model_for, sentence


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
            "bias_by_score.png", "error_by_score.png", "metrics.json", "report.html", "scores_1.png", "scores_2.png",
        ]  # fmt: skip
        assert str(output / "report.html") in result.output
        html = (output / "report.html").read_text(encoding="utf-8")
        assert html.count("data:image/png;base64,") == 4
        for shown in ("How well larger scores text pairs, against smaller", "on validation.csv (100 pairs"):
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
        assert type(evaluation._load(str(tmp_path / "model"))).__name__ == model_type

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
        assert evaluation._model_type(str(tmp_path)) == expected

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
        assert "say --overwrite" in text(result)
        assert {path: path.stat().st_mtime_ns for path in evaluated[1].iterdir()} == before

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--against", "no-such-model"), "The model no-such-model could not be loaded"),
            (("--focus", "upwards"), "--focus must be high, low"),
            (("--score-range", "5"), "--score-range takes two numbers"),
            (("--validation-data", "missing.csv"), "missing.csv does not exist"),
            (("--positive-from", "2"), "--positive-from must lie above 0"),
            (("--threshold-metric", "f3", "--validation-data", "DATA"), "metric must be one of f1, f0.5, f2"),
            (("--against", "MODEL"), "is the model itself"),
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

    def test_no_pair_in_the_region(self, models: dict[str, Path], tmp_path: Path) -> None:
        (tmp_path / "low.csv").write_text("a,b,score\nx,y,0.1\nx,z,0.2\n", encoding="utf-8")
        result = run("evaluate", models["larger"], tmp_path / "low.csv", "--output", tmp_path / "out")
        assert result.exit_code == 1
        assert "ap_ge_0.95 is not defined there" in text(result)


class TestPlot:
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
            (("--targets", "0.5,2"), "--targets takes scores within --score-range"),
            (("--targets", "x"), "--targets takes scores"),
            (("--score-range", "1,0"), "LOW must be below HIGH"),
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
