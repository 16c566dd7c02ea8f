"""The examples run as they are, and the cards of their real runs tell what a card should."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder

from selective_st import links
from selective_st.evaluation import load_threshold, predict_scores
from selective_st.links import base as link_base
from tests.processes import script, started

ROOT = Path(__file__).parent.parent
EXAMPLES, CARDS = ROOT / "examples", ROOT / "model_cards"
LOSSES = {
    "graded_pairs": ["SelectivePointwiseLoss"],
    "in_batch_negatives": ["SelectiveMultipleNegativesRankingLoss"],
    "distributed_training": ["SelectiveMultipleNegativesRankingLoss"],
    "distillation": ["SelectiveListwiseLoss"],
    "answer_selection": ["SelectiveListwiseLoss"],
    "cross_encoder_reranking": ["SelectiveListwiseLoss"],
    "matryoshka": ["MatryoshkaLoss", "SelectivePointwiseLoss"],
    "several_datasets": ["SelectivePointwiseLoss", "SelectiveMultipleNegativesRankingLoss"],
    "own_link": ["SelectivePointwiseLoss"],
    "multi_vector_distillation": ["SelectiveListwiseLoss"],
    "sparse_distillation": ["SpladeLoss", "SelectiveListwiseLoss"],
    "weighted_losses": ["WeightedLoss", "SelectiveListwiseLoss", "SelectivePointwiseLoss"],
}
SMALL = ("graded_order", "embedding_distillation")  # beside a built-in loss, without a card
ENGINES = ("score_in_datasets", "score_in_ray")
MODEL_TYPES: dict[str, Any] = {
    "cross_encoder_reranking": CrossEncoder,
    "multi_vector_distillation": MultiVectorEncoder,
    "sparse_distillation": SparseEncoder,
}
THRESHOLD = "graded_pairs"
NUMBER = re.compile(r"(?<![\w.@-])[+-]?\d[\d,]*(?:\.\d+)?(?![\w.]*\w)")


@pytest.fixture(autouse=True)
def _links_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_base, "_LINKS", dict(link_base._LINKS))  # own_link registers one


def run(name: str, *options: str) -> str:
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", [f"{name}.py", *options])
        patch.syspath_prepend(EXAMPLES)
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return printed.getvalue()


def shape(printed: str) -> list[str]:
    """The lines with their numbers and spaces made alike."""
    return [" ".join(NUMBER.sub("#", line).split()) for line in printed.strip().splitlines()]


def shown_output(name: str) -> str:
    """What the docstring says that the example prints."""
    docstring = ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8")))
    assert docstring is not None
    return docstring.split("Output of the first:", 1)[1]


def check_card(folder: Path, name: str) -> str:
    """The card has the section with its losses, links, picture, metrics and one citation."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.count("## What the Loss Cares About") == 1
    section = card[card.index("<!-- selective_st: begin") : card.index("<!-- selective_st: end -->")]
    for loss in LOSSES[name]:
        assert f"`{loss}`" in section
    configs = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]
    assert len(configs) >= len(LOSSES[name]) - (name in ("matryoshka", "weighted_losses"))
    if name == "own_link":
        assert configs[0]["links"][0]["type"] == "ArctanLink"
    else:
        for config in configs:
            assert links.link_from_config(config).get_config_dict() == config
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", section)
    assert 1 <= len(pictures) <= len(configs)
    for picture in pictures:
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    assert card.count("eprint={2506.04446}") == 1
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    assert any(row[:4] == ["Metric", "Base", "Trained", "Change"] for row in rows)
    numbers = [[cell.removesuffix(" (too few)") for cell in row[1:4]] for row in rows if row[0] != "Metric"]
    numbers = [cells for cells in numbers if not {"n/a", "not defined"} & set(cells)]
    assert numbers
    for base, trained, change in numbers:
        assert float(trained) - float(base) == pytest.approx(float(change), abs=2e-4)
    assert any(float(change) != 0 for *_, change in numbers)
    assert ("### Decision Threshold" in section) == (name == THRESHOLD)
    return card


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.slow
def test_an_example_runs_and_prints_what_its_docstring_shows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run(name, "--quick")
    assert shape(printed) == shape(shown_output(name))
    saved = tmp_path / "output" / name
    assert {path.name for path in tmp_path.iterdir()} == {"output"}
    check_card(saved, name)
    model = MODEL_TYPES.get(name, SentenceTransformer)(str(saved), local_files_only=True)
    is_pair = isinstance(model, CrossEncoder)
    embedding = torch.as_tensor(model.predict([("a text", "another")]) if is_pair else model.encode("a text"))
    assert torch.isfinite(embedding.to_dense() if embedding.is_sparse else embedding).all()
    threshold = load_threshold(saved)
    assert (threshold is not None) == (name == THRESHOLD)
    if threshold is not None:
        assert f"threshold: {threshold}\n" in printed
        assert threshold.chosen_on == "dev"


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.slow
def test_a_small_example_runs_and_prints_what_its_docstring_shows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 80
    assert shape(run(name, "--quick")) == shape(shown_output(name))
    model = SentenceTransformer(str(tmp_path / "output" / name), local_files_only=True)
    assert torch.isfinite(torch.as_tensor(model.encode("a text"))).all()


@pytest.mark.parametrize("name", [*LOSSES, "language_model"])
def test_an_example_is_short_and_shows_a_built_in_loss_beside_it(name: str) -> None:
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 80
    heads = [line.split()[-2:] for line in shown_output(name).splitlines() if line.strip().startswith("on ")]
    assert heads == [["plain" if name == "language_model" else "built-in", "selective"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "nowhere.csv"), "Error: nowhere.csv does not exist. Check the path"),
        (("--data", "pairs.csv", "--score-range", "0;5"), "Error: could not convert string to float: '0;5'"),
        (("--data", "pairs.csv"), "Error: pairs.csv: "),
    ],
)
def test_a_mistake_ends_in_one_line(
    options: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pairs.csv").write_text("first,second,score\na b,c d,1\ne f,g h,5\n", encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        run("graded_pairs", *options)
    assert str(stopped.value).startswith(message)
    assert "\n" not in str(stopped.value)


@pytest.mark.slow
def test_an_example_takes_a_file_and_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("graded_pairs", "--quick")
    run("graded_pairs", "--quick", "--output", "again", "--seed", "1")
    rows = [f"The {i} th text.,Another of {i} texts.,{i % 6}" for i in range(60)]
    Path("pairs.csv").write_text("\n".join(["first,second,score", *rows]), encoding="utf-8")
    options = ["--data", "pairs.csv", "--score-range", "0,5", "--model", "output/graded_pairs"]
    printed = run("own_link", *options, "--output", "fine")
    assert "pairs: 54 to train on, 6 to report on" in printed
    fine, first, again = (
        SentenceTransformer(folder, local_files_only=True)[0].embedding.weight
        for folder in ("fine", "output/graded_pairs", "again")
    )
    assert fine.shape == first.shape  # it went on from the model
    assert 0 < (fine - first).abs().max() < 0.1
    assert not torch.equal(first, again)  # another seed


@pytest.mark.parametrize("name", LOSSES)
def test_a_card_of_a_real_run(name: str) -> None:
    card = check_card(CARDS / name, name)
    assert not re.search(r"/(?:work|tmp|home|root|Users|var)/", card)
    options = runpy.run_path(str(EXAMPLES / "make_cards.py"))["RUNS"][name][2]
    # On data of others no row of it is copied into the card.
    assert ("* Samples:" in card) == (not options)
    # The card of a cross encoder has no examples to try.
    assert ("widget:" in card) == (not options and not name.startswith("cross_encoder"))


@pytest.mark.parametrize("name", LOSSES)
def test_a_card_has_the_numbers_that_its_run_printed(name: str) -> None:
    printed = (CARDS / name / "output.txt").read_text(encoding="utf-8")
    assert shape(printed)[-1] == shape(shown_output(name))[-1] == f"saved: output/{name}"
    rows = re.findall(r"^(\S+) +(?:\d+ +)?(-?\d+\.\d+) +(?:-?\d+\.\d+ +)?(-?\d+\.\d+)$", printed, re.MULTILINE)
    assert len(rows) >= 3
    card = (CARDS / name / "README.md").read_text(encoding="utf-8")
    in_card = re.findall(r"^\| \S.*? +\| +(-?\d+\.\d+) +\| +(-?\d+\.\d+) +\| +[+-]?\d\S* +\|", card, re.MULTILINE)
    for _, *values in rows if name != "matryoshka" else rows[:1]:  # its card has the cut sizes otherwise
        assert any(all(map(_rounded_alike, values, shown)) for shown in in_card), values


def _rounded_alike(one: str, other: str) -> bool:
    """Whether two numbers are one, each written with so many digits."""
    digits = min(len(number.partition(".")[2]) for number in (one, other))
    return abs(float(one) - float(other)) <= 0.5001 * 10**-digits


def test_the_index_has_every_card_and_every_example_is_listed() -> None:
    index = (CARDS / "README.md").read_text(encoding="utf-8")
    assert index == runpy.run_path(str(EXAMPLES / "make_cards.py"))["index"]()
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - {"shared"}
    assert scripts == {
        *LOSSES,
        *SMALL,
        *ENGINES,
        "make_cards",
        "language_model",
    }  # of which test_language_docs.py runs the last
    for name in scripts:
        assert f"]({name}.py)" in readme
    for page, folder in ((index, CARDS), (readme, EXAMPLES)):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page):
            assert (folder / target).exists(), target


def test_a_card_with_a_text_of_the_data_or_a_path_is_refused(tmp_path: Path) -> None:
    check = runpy.run_path(str(EXAMPLES / "make_cards.py"))["check_card"]
    (tmp_path / "stsb").mkdir()
    (tmp_path / "stsb" / "train.csv").write_text("A sentence that nobody may copy.,short,1.0\n", encoding="utf-8")
    check("# A card\nshort https://host/some/path <ul><li>min: 3</li></ul> and/or 1.0", tmp_path)
    with pytest.raises(SystemExit, match=r"text of stsb/train\.csv"):
        check("# A card\n| A sentence that nobody may copy. |", tmp_path)
    with pytest.raises(SystemExit, match="holds a path: /some/where/model"):
        check("# A card\nfinetuned from /some/where/model", tmp_path)


def engine(name: str) -> None:
    script(str(EXAMPLES / f"{name}.py"), RAY_USAGE_STATS_ENABLED="0", PYTHONPATH=str(ROOT))


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_pairs_are_scored_inside_other_engines(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "score_in_ray":
        pytest.importorskip("ray")
    lines = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 80
    monkeypatch.chdir(tmp_path)
    with started(engine, name) as process:
        printed, errors, status = process.end()
    assert status == 0, errors
    matches = re.search(r"([\d,]+) of 1,000 pairs match; saved: (\S+)", printed)
    assert matches is not None
    found = pq.read_table(tmp_path / matches[2]).to_pydict()
    model = SentenceTransformer(str(tmp_path / "output" / "scorer"), device="cpu")
    expected = predict_scores(model, found["first"], found["second"])
    np.testing.assert_allclose(found["score"], expected, atol=1e-6)
    threshold = load_threshold(tmp_path / "output" / "scorer")
    assert threshold is not None
    assert found["match"] == threshold.decide(expected).tolist()
    assert 0 < sum(found["match"]) == int(matches[1].replace(",", "")) < 1000
