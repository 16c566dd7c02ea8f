"""The study: the losses of a data format against one another, at equal work. One command, which can be resumed.

    python examples/study/run.py --data DATA

DATA is a folder with `stsb/` (train, dev and test.csv of the STS Benchmark) and `trecqa/` (the same of TrecQA). For
each task, loss, setting and learning rate, two seeds are run (one where a run takes long); where the best rate lies at
an end of the grid, the next one beyond is tried too. The setting and rate that are best on the dev split are run with
all seeds, and their metrics on the test split are reported. Each run is a file in the output folder, and is not
repeated.
At the end study.md and study.png are written there; `--report FOLDER` writes them of what is done so far, and runs
nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from contenders import Contender
from report import RESAMPLED, UNTRAINED, chosen, chosen_file, families, picture, run_file, table
from tasks import TASKS, Task

STEP, DRAWS = 3.0, 1000
_HEAD = """# The study: losses against one another, each data format by itself

Made by `make study DATA=PATH`: selective losses against built-in ones for the same data, and against simple losses one
might write instead. Every loss of a task has the same model, data, steps, batches and learning rates. Each setting and
rate is run with two seeds (one for the encoders, the cross encoder and 256 dimensions); where the best rate lies at an
end of the grid the next one beyond is tried too (twice at most; "end" says that it is still there); what is best on the
dev split is run with all seeds.

Not among the built-in losses: for in-batch negatives `GISTEmbedLoss` and `MegaBatchMarginLoss`, which read texts again,
the cached forms, which have the same value, and for the cross encoder `ListMLELoss`, `PListMLELoss` and `ADRMSELoss`.

**The data.** PATH holds the folders `stsb` and `trecqa` with `train.csv`, `dev.csv` and `test.csv`. `stsb`: the STS
Benchmark in English, as in [stsb-multi-mt](https://github.com/PhilipMay/stsb-multi-mt) (5,749, 1,500 and 1,379 pairs;
no header; two sentences and a score from 0 to 5). `trecqa`: answer sentence selection of Wang et al. 2007, as in
[dataset-sts](https://github.com/brmson/dataset-sts) (4,718, 1,148 and 1,517 rows; columns `qtext`, `label`, `atext`).

**How to read the tables.** Metrics are of the test split, mean ± 95 % interval over seeds; "dev" is what setting and
rate were chosen by, the mean over the same seeds. The last rows are paired differences to the best other loss.
Selective losses are in bold; behind a setting stands how many were tried of the loss. Then:

- *from nothing*: each token has a random vector; *token table*: it has the encoder's own, without the layers above.
- *T*: `temperature`; *by value*: a preset with the mean value 1 on the scores from 0 to 1,
  `high_scores(2).normalized(0, 1, of="value")`; *constant*: `ConstantLink()`; *labels*: `targets="labels"`.
- *SelectiveListwiseLoss over the batch*: `lists="batch"`, with `calibration=0.3, calibration_link=high_scores(5)`.
- *SelectiveListwiseLoss, high_scores(3) 0.1*: `link=ConstantLink(), calibration_link=high_scores(3), calibration=0.1`.
- *CosineSimilarityLoss* on lists is the same squared error of every candidate.

![The main metric of every loss of every task](study.png)
"""


def write(path: Path, found: object) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".part{os.getpid()}")
    unfinished.write_text(json.dumps(found, indent=1))
    unfinished.replace(path)


def kept(path: Path, measure: Callable[[], Any], shown: Callable[[Any], str] = lambda found: "") -> Any:
    """What was measured before; or now, and then it is kept and shown."""
    if not path.exists():
        begin, found = time.perf_counter(), measure()
        write(path, found)
        print(f"{path.parent.name}: {path.stem} ({time.perf_counter() - begin:.0f} s) {shown(found)}", flush=True)
    return json.loads(path.read_text())


def one_run(folder: Path, task: Task, contender: Contender, rate: float, seed: int) -> dict[str, Any]:
    """The metrics of a run, kept."""

    def shown(metrics: dict[str, float]) -> str:
        return ", ".join(f"{m} {metrics[f'dev_{m}']:.4f} / {metrics[f'test_{m}']:.4f}" for m in task.metrics)

    path = run_file(folder, task, contender, f"{rate:g}", seed)
    found: dict[str, Any] = kept(path, lambda: task.run(contender, rate, seed), shown)
    return found


def tuned(folder: Path, task: Task, family: str) -> tuple[Contender, dict[str, Any]]:
    """The setting of a loss that is best on dev, and the same in words, with its rate and what else was tried."""
    tried: list[tuple[float, Contender, float, float]] = []  # by goodness on dev; with the main metric on test

    def add(contender: Contender, rate: float) -> None:
        runs = [one_run(folder, task, contender, rate, seed) for seed in range(task.tuning_seeds)]
        dev = sum(map(task.goodness, runs)) / len(runs)
        tried.append((dev, contender, rate, sum(run[f"test_{task.metrics[0]}"] for run in runs) / len(runs)))

    for contender in task.contenders:
        for rate in task.rates_of(family) if contender.family == family else ():
            add(contender, rate)
    for more in reversed(range(task.beyond + 1)):
        _, best, rate, _ = max(tried, key=lambda entry: entry[0])
        rates = sorted(other for _, contender, other, _ in tried if contender is best)
        if not more or rates[0] < rate < rates[-1]:
            break
        # Where the best rate is the lowest or the highest tried, the one beyond it is tried too.
        add(best, float(f"{rate / STEP if rate == rates[0] else rate * STEP:.1g}"))
    at_end = len(rates) > 1 and rate in (rates[0], rates[-1])
    others = [(dev, main, contender.setting, other) for dev, contender, other, main in tried]
    named = {"family": family, "setting": best.setting, "rate": rate, "at_end": at_end, "selective": best.selective}
    return best, {**named, "tried": others}


def study(task: Task, folder: Path) -> list[dict[str, Any]]:
    """Tune every loss of a task, and run the best setting of each with all seeds.

    Args:
        task: The task.
        folder: Where runs are kept.

    Returns:
        The chosen setting of each loss, with its runs.
    """
    for family in families(task):
        best, entry = tuned(folder, task, family)
        runs = [one_run(folder, task, best, entry["rate"], seed) for seed in range(task.seeds)]
        write(chosen_file(folder, task, family), {**entry, "runs": runs})
    kept(folder / task.name / UNTRAINED, task.untrained)
    found, path = chosen(folder, task), folder / task.name / RESAMPLED
    settings = [[entry["family"], entry["setting"], entry["rate"]] for entry in found]
    if task.resamples and not (path.exists() and json.loads(path.read_text())["settings"] == settings):
        write(path, {"settings": settings, "differences": resampled(task, found)})
    return found


def resampled(task: Task, found: list[dict[str, Any]]) -> dict[str, list[float]]:
    """How far the test split decides: the difference in the main metric with its pairs or questions drawn anew.

    The study's intervals are over seeds: they say what another training would change, not what other test data would.
    Of each selective and each other loss, with the first seed, as mean and ends of the 95 % interval.
    """
    contenders = {(contender.family, contender.setting): contender for contender in task.contenders}
    drawn = {}
    for entry in found:
        model = task.train(contenders[entry["family"], entry["setting"]], entry["rate"], 0)
        size, metric = task.main_metric_of_rows(model)
        generator = np.random.default_rng(0)
        drawn[entry["family"]] = np.array([metric(generator.integers(size, size=size)) for _ in range(DRAWS)])
    differences = {}
    for ours in (entry["family"] for entry in found if entry["selective"]):
        for theirs in (entry["family"] for entry in found if not entry["selective"]):
            difference = drawn[ours] - drawn[theirs]
            low, high = np.quantile(difference, [0.025, 0.975])
            differences[f"{ours} - {theirs}"] = [float(difference.mean()), float(low), float(high)]
    return differences


def main() -> None:
    """Run the tasks asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data")
    parser.add_argument("--output", type=Path, default=Path("study-results"), help="where runs are kept")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="which tasks")
    parser.add_argument("--report", type=Path, help="a folder for study.md and study.png, of what is done so far")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tasks = []
    for name in arguments.tasks:
        tasks.append(TASKS[name](arguments.data))
        if arguments.report is None:
            study(tasks[-1], arguments.output)
    folder = arguments.report or arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    findings = (Path(__file__).parent / "findings.md").read_text(encoding="utf-8")
    text = "\n".join(filter(None, (table(arguments.output, task) for task in tasks)))
    (folder / "study.md").write_text(f"{_HEAD}\n{findings}\n{text}", encoding="utf-8")
    picture(arguments.output, tasks, folder / "study.png")
    print(folder / "study.md", folder / "study.png", sep="\n")


if __name__ == "__main__":
    main()
