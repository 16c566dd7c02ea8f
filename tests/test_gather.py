"""gather_across_devices: two and four processes equal one with the joined batch, in value and gradients.

Each process has the mean loss of its own rows. The mean of these means is the loss of the joined batch; and
DistributedDataParallel, which averages the gradients over the processes, gives its gradient to every one of them.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import yaml
from torch import Tensor
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tests.gather_cases import CASES, CONSTANT, DIMENSION, DTYPES, LOSSES, OPTIONS, ROWS, WORLDS, process, run, table
from tests.gather_script import RUNS, main, train
from tests.loss_cases import CACHE_KEEPS_DOUBLE
from tests.processes import START
from tests.tolerances import LOGGED, are_close, assert_close, largest, operations_of

pytestmark = [
    pytest.mark.skipif(not dist.is_available() or sys.platform == "win32", reason="needs gloo"),
    pytest.mark.numerical,
]

ROOT = Path(__file__).parent.parent
Results = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What each process of each group found."""
    folder = tmp_path_factory.mktemp("gather")
    torch.multiprocessing.start_processes(process, (str(folder),), nprocs=max(WORLDS), start_method=START)
    return {
        world: [torch.load(Path(folder) / f"{world}-{rank}.pt", weights_only=True) for rank in range(world)]
        for world in WORLDS
    }


@cache
def joined(case: tuple[str, str, str]) -> tuple[Tensor, Tensor]:
    """The joined batch in this process."""
    return run(case, slice(None), ddp=False, gather=False)


@cache
def tolerance(case: tuple[str, str, str]) -> dict[str, Any]:
    """What may be rounded: the largest logit of embeddings of length 1, or of several."""
    loss, options, dtype = case
    is_double = dtype == "float64" and (CACHE_KEEPS_DOUBLE or "cached" not in loss)
    arguments = {name: value for name, value in OPTIONS[options].arguments.items() if name not in ("guide", "margin")}
    module: Any = LOSSES[loss].make(table(loss, dtype), **arguments)
    ends = LOSSES[loss].vectors * torch.tensor([-1.0, 1.0], dtype=torch.float64)
    exponent = module.scale * largest(module.link.potential(ends))
    return {"exponent": exponent, "dtype": torch.float64 if is_double else torch.float32}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("case", CASES, ids=", ".join)
@pytest.mark.slow
def test_processes_equal_one_with_the_joined_batch(case: tuple[str, str, str], world: int, results: Results) -> None:
    value, gradient = joined(case)
    values = [result["ddp"][case][0] for result in results[world]]
    assert_close(torch.stack(values).mean(), value, **tolerance(case))
    assert len(set(map(float, values))) > 1  # each has rows of its own
    assert (gradient.flatten(1).abs().sum(1) > 0).sum() > 20  # most texts that there are
    for result in results[world]:
        assert_close(result["ddp"][case][1], gradient, **tolerance(case))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("loss", LOSSES)
def test_without_ddp_a_process_has_the_gradient_of_the_sum(loss: str, world: int, results: Results) -> None:
    # Of its own embeddings only: gathering sends to each process what the others' losses pull at them.
    case = (loss, "default", LOSSES[loss].dtypes[0])
    gradients = torch.stack([result["without ddp"][loss][1] for result in results[world]])
    assert_close(gradients.sum(0) / world, joined(case)[1], **tolerance(case))
    assert (gradients.flatten(2).abs().sum(2) > 0).sum(0).max() == 1


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("loss", LOSSES)
def test_without_gathering_it_is_another_loss(loss: str, world: int, results: Results) -> None:
    value, gradient = joined((loss, "default", LOSSES[loss].dtypes[0]))
    values = torch.stack([result["not gathered"][loss][0] for result in results[world]])
    assert values.mean() < value - 0.1  # fewer negatives
    assert (results[world][0]["not gathered"][loss][1] - gradient).norm() > 0.05 * gradient.norm()


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("loss", [name for name, loss in LOSSES.items() if loss.builtin is not None])
def test_with_a_constant_link_each_process_has_the_built_in_loss(loss: str, world: int, results: Results) -> None:
    case = (loss, CONSTANT, LOSSES[loss].dtypes[0])
    for result in results[world]:
        for own, builtin in zip(result["ddp"][case], result["built-in"][loss], strict=True):
            assert_close(own, builtin, **tolerance(case))


@pytest.mark.parametrize("world", WORLDS)
def test_no_random_number_is_drawn(world: int, results: Results) -> None:
    assert not any(result["random numbers drawn"] for result in results[world])


@pytest.mark.parametrize("world", WORLDS)
def test_only_the_first_process_warns_and_once(world: int, results: Results) -> None:
    first, *others = (result["warnings"] for result in results[world])
    assert len(first) == 2
    assert "hardness_mode='hard_negatives' has no effect" in first[0]
    assert "have the text of another" in first[1]
    assert others == [[]] * (world - 1)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    ("what", "told", "mend"),
    [
        ("rows", "got {rows} rows in process 0, but {fewer} in process {last}", "dataloader_drop_last=True"),
        ("columns", "4 text columns in process 0, but 3 in process {last}", "one dataset"),
        ("labels", "3 teacher's scores a row in process 0, but 0 in process {last}", "one dataset"),
    ],
)
def test_batches_that_differ_are_refused_in_every_process(
    what: str, told: str, mend: str, world: int, results: Results
) -> None:
    rows = 12 // world
    for result in results[world]:
        assert told.format(rows=rows, fewer=rows - 1, last=world - 1) in result["refusals"][what]
        assert mend in result["refusals"][what]


# How each is started, and the runs: what accelerate starts imports everything first, and so makes few.
LAUNCHERS = {"torchrun": [*RUNS], "accelerate": ["cached"]}


@cache
def in_one_process(name: str) -> tuple[list[dict[str, float]], Tensor]:
    """The same run in this process."""
    with tempfile.TemporaryDirectory() as folder:
        return train(name, Path(folder), 1)


def torchrun(folder: Path, *names: str) -> str:
    """Do as the command of this name does, with forks that need not import anything; what they write as errors."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id="gather",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        start_method=START,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(str(folder / "logs"), Std.ERR),
    )
    with ThreadPoolExecutor(1) as thread:  # in the main thread it would take over this process's signals
        thread.submit(elastic_launch(config, main), str(folder), *names).result()
    return "".join(path.read_text(encoding="utf-8") for path in (folder / "logs").rglob("stderr.log"))


def accelerate(folder: Path, *names: str) -> str:
    """Start processes as on GPUs, but without one accelerate takes the CPU; what they write as errors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", str(port)]
    options += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "tests.gather_script"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options, str(folder), *names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module", params=LAUNCHERS)
def launched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes wrote, started by a launcher."""
    folder = tmp_path_factory.mktemp(request.param)
    launch = {"torchrun": torchrun, "accelerate": accelerate}[request.param]
    errors = launch(folder, *LAUNCHERS[request.param])
    assert "Traceback" not in errors
    return [
        {
            name: (logs, torch.load(folder / f"{rank}.pt", weights_only=True)[name])
            for name, logs in json.loads((folder / f"{rank}.json").read_text()).items()
        }
        for rank in range(2)
    ]


@pytest.mark.slow
def test_the_trainer_in_two_processes_is_the_trainer_with_the_double_batch(launched: list[dict[str, Any]]) -> None:
    for name in launched[0]:
        logs, parameters = in_one_process(name)
        steps = [entry for entry in logs if "loss" in entry]
        assert len(steps) == (1 if "accumulated" in name else 3)
        for own_logs, own_parameters in (found[name] for found in launched):
            # The descent adds rounded gradients, of logits up to 20, to the parameters.
            operations = operations_of(RUNS[name].model())
            is_same = _same(own_logs, logs) and are_close(own_parameters, parameters, operations, exponent=20.0)
            assert is_same == (name != "not gathered"), (name, own_logs, logs)


def _same(one: list[dict[str, float]], other: list[dict[str, float]]) -> bool:
    return [[*entry] for entry in one] == [[*entry] for entry in other] and all(
        a[key] == pytest.approx(b[key], rel=LOGGED) for a, b in zip(one, other, strict=True) for key in a
    )


def received(case: tuple[str, str, str], world: int) -> dict[str, int]:
    """The bytes that a process receives in a step, by the formulas of docs/distributed.md."""
    loss, options, dtype = case
    it, chosen = LOSSES[loss], OPTIONS[options]
    rows, documents = ROWS // world, 1 + chosen.negatives
    number = DTYPES[dtype].itemsize
    directions = chosen.arguments.get("directions", ())
    sends_queries = bool({"query_to_query", "doc_to_query"} & set(directions))
    columns = documents + sends_queries
    embeddings = rows * columns * it.vectors * DIMENSION * number
    per_document = 8 * ("mask_same_text" in chosen.arguments) + number * (chosen.labels is not None)
    if it.model_type == "MultiVectorEncoder":
        per_document += it.vectors  # its mask
    of_guide = rows * columns * DIMENSION * number if "guide" in chosen.arguments else 0
    sizes = 5 * 8 + number * chosen.weighted + (8 * documents if it.model_type == "MultiVectorEncoder" else 0)
    return {
        "forward": (world - 1) * (embeddings + of_guide + rows * documents * per_document + sizes),
        "backward": (world - 1) * embeddings,
    }


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("case", CASES, ids=", ".join)
def test_the_bytes_sent_are_those_of_the_document(case: tuple[str, str, str], world: int, results: Results) -> None:
    for result in results[world]:
        assert result["bytes"][case] == received(case, world)


DOCUMENT = (ROOT / "docs" / "distributed.md").read_text(encoding="utf-8")


def test_the_document_s_configurations_are_accelerate_s(tmp_path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    found = re.findall(r"`(\w+\.yaml)`.*?```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert [name for name, _ in found] == ["one_machine.yaml", "cluster.yaml", "fsdp.yaml"]
    for name, text in found:
        (tmp_path / name).write_text(text, encoding="utf-8")
        config = load_config_from_file(str(tmp_path / name))  # raises on a key that it does not know
        written = yaml.safe_load(text)
        assert {key: config.to_dict()[key] for key in written} == written
        arguments = ["--config_file", str(tmp_path / name), "script.py"]
        launched, *_ = _validate_launch_command(launch_command_parser().parse_args(arguments))
        assert (launched.multi_gpu, launched.use_fsdp) == (name != "fsdp.yaml", name == "fsdp.yaml")
        assert (launched.num_processes, launched.num_machines) == (written["num_processes"], written["num_machines"])
        for key, value in written.get("fsdp_config", {}).items():
            assert str(getattr(launched, key)) == str(value)


def test_the_document_s_volumes_are_those_of_its_formulas() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d) \| (no|yes) \| (\S+) \| (\S+) \|$", DOCUMENT, re.M)
    assert len(rows) == 5
    for row in rows:
        world, size, documents, dimension, number = map(int, row[:5])
        embeddings = (world - 1) * size * (documents + (row[5] == "yes")) * dimension * number
        assert f"{(embeddings + 32 * (world - 1)) / 1e6:.2f}" == row[6]
        assert f"{embeddings / 1e6:.2f}" == row[7]
