"""What is released: exactly the package, a description that can be read anywhere, and types for a user's script."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from selective_st.demo import write_demo_data

ROOT = Path(__file__).parent.parent
PACKAGE = "selective_st"
BESIDE = {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "setup.py", "MANIFEST.in"}
MADE = {"PKG-INFO", "setup.cfg"}


def files_of_the_package() -> set[str]:
    paths = (path for path in (ROOT / PACKAGE).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in paths}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a wheel and an sdist, built from a copy of the files that belong to them and some that do not."""
    pytest.importorskip("build", reason="the extra dev is not installed")
    source, output = (tmp_path_factory.mktemp(name) for name in ("source", "dist"))
    for name in BESIDE | {"Makefile"}:
        shutil.copy(ROOT / name, source)
    for name in (PACKAGE, "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(source)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "Warning: Package" not in made.stdout + made.stderr
    return output


@pytest.mark.slow
def test_wheel_and_sdist_hold_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    assert {name for name in held if ".dist-info/" not in name} == files_of_the_package()
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}
    assert {name for name in names if ".egg-info/" not in name} == files_of_the_package() | BESIDE | MADE


@pytest.mark.slow
def test_the_index_takes_them_and_their_description_has_no_relative_link(built: Path) -> None:
    pytest.importorskip("twine", reason="the extra dev is not installed")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.iterdir())]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_bytes(archive.read(name))
    assert metadata["Description-Content-Type"] == "text/markdown"
    description = str(metadata.get_payload())
    assert description.startswith("# selective_st")
    assert re.findall(r"\]\((?!https://)", description) == []
    assert any(address.startswith("Paper, https://") for address in metadata.get_all("Project-URL", []))
    extras = set(metadata.get_all("Provides-Extra", []))
    assert {"plot", "docs", "test", "dev"} <= extras


@pytest.mark.parametrize("address", ["", "https://example.org/someone/selective-st"])
def test_the_links_of_the_description_lead_to_the_repository(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setuptools = pytest.importorskip("setuptools", reason="the extra dev is not installed")
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    if address:
        settings = (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
        named = settings.replace("[project.urls]\n", f'[project.urls]\nRepository = "{address}"\n')
        (tmp_path / "pyproject.toml").write_text(named, encoding="utf-8")
    readme = "[the *study*](docs/study.md#top), ![a picture](docs/links.png) [paper](https://arxiv.org/abs/2506.04446)"
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    runpy.run_path(str(tmp_path / "setup.py"), run_name="__main__")
    kept = "[paper](https://arxiv.org/abs/2506.04446)"
    if address:
        links = f"[the *study*]({address}/blob/main/docs/study.md#top), ![a picture]({address}/raw/main/docs/links.png)"
        assert given["long_description"] == f"{links} {kept}"
    else:
        assert given["long_description"] == f"the *study*,  {kept}"


@pytest.fixture(scope="module")
def user(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel in it; what it needs is taken from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ask = "import site; print(site.getsitepackages()[-1])"
    where = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    packages = Path(where.stdout.strip())
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(packages)
    (packages / "these.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("-packages")) + "\n", encoding="utf-8"
    )
    return python


def run(python: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    return subprocess.run([python, *arguments], cwd=folder, env=kept, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_installed_command_does_its_job(user: Path, tmp_path: Path) -> None:
    ran = run(user, "-m", "selective_st.cli", "--version", folder=tmp_path)
    assert ran.stdout.strip() == importlib.import_module(PACKAGE).__version__, ran.stderr
    write_demo_data(tmp_path, {"train": 60})
    ran = run(user, "-m", "selective_st.cli", "suggest", "train.csv", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "SelectiveOrderLoss" in ran.stdout
    where = run(user, "-c", "import selective_st; print(selective_st.__file__)", folder=tmp_path).stdout
    assert str(user.parent.parent) in where


RIGHT = """
from sentence_transformers import SentenceTransformer
from torch import Tensor

from selective_st.evaluation import ScoreThreshold, choose_threshold
from selective_st.functional import matching_loss
from selective_st.links import Link, high_scores, link_for_thresholds
from selective_st.losses import SelectivePointwiseLoss, WeightedLoss


def make_loss(model: SentenceTransformer) -> WeightedLoss:
    link: Link = 0.5 * high_scores() + link_for_thresholds([0.85])
    return WeightedLoss(model, {"scores": SelectivePointwiseLoss(model, link=link)})


def value(predicted: Tensor, target: Tensor) -> Tensor:
    return matching_loss(predicted, target, high_scores(3.0))


cut: ScoreThreshold = choose_threshold([0.0, 1.0], [0.2, 0.8], 0.9)
reveal_type(cut.value)
"""
WRONG = """
from selective_st.evaluation import choose_threshold
from selective_st.links import high_scores, link_for_thresholds

high_scores("5")
link_for_thresholds([0.85], wide=0.1)
number: str = choose_threshold([0.0, 1.0], [0.2, 0.8], 0.9).value
"""


@pytest.mark.slow
def test_a_users_script_is_checked_against_the_types(
    user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mypy", reason="the extra dev is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    named = importlib.import_module("write_site").public_names()
    pairs = [(module, name) for module, names in named.items() for name in names]
    every = "\n".join(f"from {module} import {name} as name_{at}" for at, (module, name) in enumerate(pairs))
    scripts = {"right.py": RIGHT, "wrong.py": WRONG, "every.py": every}
    for name, text in scripts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    kept = ["--cache-dir", str(ROOT / ".mypy_cache"), "--python-version", "3.10"]  # `make types` has read most of it
    options = ["--strict", "--no-error-summary", "--python-executable", str(user), "--config-file", "", *kept, *scripts]
    told = run(Path(sys.executable), "-m", "mypy", *options, folder=tmp_path).stdout.splitlines()
    errors = set(re.findall(r"^(\w+\.py):(\d+): error: .*\[([\w-]+)\]$", "\n".join(told), re.MULTILINE))
    wrong = {("5", "arg-type"), ("6", "call-arg"), ("7", "assignment")}
    assert errors == {("wrong.py", line, code) for line, code in wrong}, told
    assert any('Revealed type is "float"' in line or 'Revealed type is "builtins.float"' in line for line in told)
