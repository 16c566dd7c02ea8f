"""The notebook runs from top to bottom, and what it says of the threshold comes out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "examples" / "csv_to_threshold.ipynb"


def printed(cell: Any) -> str:
    return "".join(output.get("text", "") for output in cell.get("outputs", ()))


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the extra test is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the extra test is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # nothing that was printed elsewhere is kept
    nbclient.NotebookClient(notebook, timeout=170, resources={"metadata": {"path": str(tmp_path)}}).execute()
    text = "\n".join(printed(cell) for cell in notebook.cells)
    precision_of = dict(re.findall(r"^(selective|squared error) +AP (0\.\d+)", text, re.MULTILINE))
    assert float(precision_of["selective"]) > 0.9
    assert float(precision_of["selective"]) >= float(precision_of["squared error"]) - 0.02
    assert "SelectivePointwiseLoss: " in text
    shown = re.findall(r"precision (\d\.\d+), recall (\d\.\d+) on the test split", text)
    assert len(shown) == 2
    assert float(shown[1][0]) >= 0.85
    assert any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))
    assert (tmp_path / "output" / "model" / "score_threshold.json").is_file()
