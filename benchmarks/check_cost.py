"""Print what checking a large dataset costs. Run it with `make bench-check`.

A million rows with two texts of about 100 bytes, some of them repeated, and a score; as they lie in memory, and
shuffled (the dataset then goes through an index). Each check runs in a process of its own; its extra memory is the
highest that the process reached less what it had before, of which a part is the dataset's own pages.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = (("CosineSimilarityLoss", 3), ("MultipleNegativesRankingLoss", 2), ("SelectivePointwiseLoss", 3))


def make(rows: int, path: Path) -> None:
    """Write the dataset."""
    from datasets import Dataset

    def columns(numbers: list[int]) -> dict[str, list[object]]:
        filler = "a text of some length that says nothing but takes the room that a real one would take"
        return {
            "sentence1": [f"{filler} {i}" for i in numbers],
            "sentence2": [f"{filler} {i % 100_000}" for i in numbers],
            "score": [i % 1000 / 1000 for i in numbers],
        }

    numbers = Dataset.from_dict({"number": range(rows)})
    numbers.map(lambda batch: columns(batch["number"]), batched=True, remove_columns="number").save_to_disk(str(path))


def check(path: Path, loss: str, columns: int, *, shuffled: bool) -> None:
    """Check once, and print seconds and extra memory as JSON."""
    from datasets import load_from_disk

    from selective_st.registry import check_dataset

    dataset = load_from_disk(str(path))
    dataset = dataset.select_columns(dataset.column_names[:columns])
    if shuffled:
        dataset = dataset.shuffle(seed=0)
    check_dataset(dataset.select(range(1000)), loss, batch_size=64)  # so that no import is counted
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    report = check_dataset(dataset, loss, batch_size=64)
    seconds = time.perf_counter() - begin
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"seconds": seconds, "megabytes": memory, "read": report.read}))


def main() -> None:
    """Measure every case, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=4, metavar=("PATH", "LOSS", "COLUMNS", "SHUFFLED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.rows, arguments.make)
        return
    if arguments.one:
        path, loss, columns, shuffled = arguments.one
        check(Path(path), loss, int(columns), shuffled=shuffled == "shuffled")
        return
    with tempfile.TemporaryDirectory() as folder:
        # A process of its own: the highest memory of a process passes on to those that it starts.
        command = [sys.executable, __file__, "--rows", str(arguments.rows), "--make", f"{folder}/data"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        print(f"{arguments.rows:,} rows")
        for loss, columns in CASES:
            for order in ("in order", "shuffled"):
                command = [sys.executable, __file__, "--one", f"{folder}/data", loss, str(columns), order]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found = json.loads(output.splitlines()[-1])
                print(
                    f"{loss:30} {order:9} {found['seconds']:5.1f} s {found['megabytes']:6.0f} MB; read {found['read']}"
                )


if __name__ == "__main__":
    main()
