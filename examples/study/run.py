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
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from contenders import Contender
from report import RESAMPLED, UNTRAINED, picture, run_file, table
from report import chosen as all_chosen
from resample import resample, settings
from tasks import TASKS, Task

STEP = 3.0
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


def _run(folder: Path, task: Task, contender: Contender, rate: float, seed: int) -> dict[str, float]:
    path = run_file(folder, task, contender, f"{rate:g}", seed)
    if path.exists():
        found: dict[str, float] = json.loads(path.read_text())
        return found
    begin = time.perf_counter()
    metrics = task.run(contender, rate, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, metrics)
    shown = ", ".join(f"{m} {metrics[f'dev_{m}']:.4f} / {metrics[f'test_{m}']:.4f}" for m in task.metrics)
    seconds = time.perf_counter() - begin
    print(
        f"{task.name}: {contender.family}, {contender.setting or 'as it is'}, rate {rate:g}, seed {seed} "
        f"({seconds:.0f} s): {shown}",
        flush=True,
    )
    return metrics


def _write(path: Path, found: object) -> None:
    """Write a file that is there whole or not at all."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(found, indent=1))
    unfinished.replace(path)


def study(task: Task, folder: Path) -> None:
    """Tune every loss of a task, and run the best setting of each with all seeds.

    Args:
        task: The task.
        folder: Where runs are kept.
    """

    def tried(contender: Contender, rate: float) -> tuple[float, Contender, float]:
        runs = [_run(folder, task, contender, rate, seed) for seed in range(task.tuning_seeds)]
        return sum(task.goodness(run) for run in runs) / len(runs), contender, rate

    def best_of(tuned: list[tuple[float, Contender, float]]) -> tuple[float, Contender, float]:
        return max(tuned, key=lambda entry: entry[0])

    for family in dict.fromkeys(contender.family for contender in task.contenders):
        of_family = [contender for contender in task.contenders if contender.family == family]
        tuned = [tried(contender, rate) for contender in of_family for rate in task.rates]
        # Where the best rate is the lowest or the highest tried, the one beyond it is tried too.
        for _ in range(task.beyond):
            _, best, rate = best_of(tuned)
            tried_rates = sorted(other for _, contender, other in tuned if contender is best)
            if tried_rates[0] < rate < tried_rates[-1]:
                break
            tuned.append(tried(best, float(f"{rate / STEP if rate == tried_rates[0] else rate * STEP:.1g}")))
        _, best, rate = best_of(tuned)
        tried_rates = sorted(other for _, contender, other in tuned if contender is best)
        runs = [_run(folder, task, best, rate, seed) for seed in range(task.seeds)]
        chosen = {
            "family": family,
            "setting": best.setting,
            "rate": rate,
            "at_end": len(tried_rates) > 1 and rate in (tried_rates[0], tried_rates[-1]),
            "selective": best.selective,
            "runs": runs,
        }
        _write(folder / task.name / f"chosen {family}.json".replace(" ", "_"), chosen)
    if not (folder / task.name / UNTRAINED).exists():
        _write(folder / task.name / UNTRAINED, task.untrained())
    resampled = folder / task.name / RESAMPLED
    if task.resamples:
        done = json.loads(resampled.read_text())["settings"] if resampled.exists() else []
        if done != settings(all_chosen(folder, task)):
            _write(resampled, resample(task, folder))


def main() -> None:
    """Run the tasks asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data")
    parser.add_argument("--output", type=Path, default=Path("study-results"), help="where runs are kept")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="which tasks")
    parser.add_argument("--report", type=Path, help="a folder for study.md and study.png, of what is done so far")
    arguments = parser.parse_args()
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
