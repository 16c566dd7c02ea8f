"""The in-batch loss in the precision that was asked for: by products in float32 of rounded operands, as on a CPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor
from torch.nn.functional import normalize

from selective_st import losses
from selective_st.functional import in_batch as module
from selective_st.functional import in_batch_loss
from selective_st.functional._blockwise import Products, _matmul_precision
from selective_st.functional._in_batch_rows import _Compiled, _rows_alone
from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    IdentityLink,
    Link,
    SigmoidLink,
    SinhLink,
    high_scores,
)
from tests import random_inputs
from tests.loss_cases import EchoModel
from tests.tolerances import assert_close, rounding

pytestmark = pytest.mark.numerical

LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}
GENTLE = ExponentialLink(1.0).normalized(0, 1, of="value")
LINKS: dict[str, Link] = {
    "constant": ConstantLink(),
    "exponential": GENTLE,
    "sigmoid": SigmoidLink(20.0, 0.6),
    "sum": SigmoidLink(10.0, 0.5) + 0.5 * ConstantLink(),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "pairs": {},
    "negatives": {"columns": 2},
    "per direction": {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"},
    "joint": {"directions": ("query_to_doc", "doc_to_query"), "columns": 2},
    "all directions": {"directions": ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")},
    "hardness": {"columns": 2, "hardness_mode": "all_negatives", "hardness_strength": 2.0},
    "smoothing": {"label_smoothing": 0.1},
    "same texts": {"document_ids": True},
    "kept": {"keep": True},
    "teacher of own": {"columns": 3, "target_scores": "own"},
    "teacher of all": {"target_scores": "all"},
    "weights": {"weight": True},
}
ROWS, DIM = 50, 48
# How far apart the embeddings of a batch are: as at random, near what the loss asks for, all alike.
BATCHES = {"random": (1.0, 0.0), "near the end": (0.1, 0.0), "alike": (0.5, 3.0)}


def embeddings(columns: int = 1, batch: str = "random", rows: int = ROWS, dtype: torch.dtype = torch.float32) -> Any:
    noise, common = BATCHES[batch]
    generator = random_inputs.generator(rows)
    base = torch.randn(rows, DIM, generator=generator) + common * torch.randn(DIM, generator=generator)
    others = [base + noise * torch.randn(rows, DIM, generator=generator) for _ in range(columns)]
    return [column.to(dtype).requires_grad_() for column in (base, *others)]


def made(options: dict[str, Any], rows: int = ROWS) -> dict[str, Any]:
    """The options, with tensors."""
    columns = options.get("columns", 1)
    generator = random_inputs.generator(7)
    options = {name: value for name, value in options.items() if name != "columns"}
    if "document_ids" in options:
        options["document_ids"] = torch.arange(rows * columns) // 2
    if "keep" in options:
        options["keep"] = torch.rand(rows, rows * columns, generator=generator) < 0.7
    if "target_scores" in options:
        width = columns if options["target_scores"] == "own" else rows * columns
        options["target_scores"] = torch.rand(rows, width, generator=generator)
    if "weight" in options:
        options["weight"] = torch.rand(rows, generator=generator)
    return options


def gradients(columns: list[Tensor], link: Link, scale: float = 20.0, **options: Any) -> list[Tensor]:
    queries, *documents = columns
    loss = in_batch_loss(queries, documents, link, scale, normalize=True, **options)
    return [loss.detach(), *torch.autograd.grad(loss, columns)]


def exact(columns: list[Tensor], link: Link, low: torch.dtype | None, **options: Any) -> list[Tensor]:
    """In double precision, from operands rounded or not."""
    columns = [column.detach().double().requires_grad_() for column in columns]
    units = [normalize(column, dim=1) for column in columns]
    if low is not None:
        units = [unit + (unit.to(low).double() - unit).detach() for unit in units]
    loss = in_batch_loss(units[0], units[1:], link, 20.0, form="plain", **options)
    return [loss.detach(), *torch.autograd.grad(loss, columns)]


def error(found: list[Tensor], right: list[Tensor]) -> float:
    pairs = zip(found[1:], right[1:], strict=True)
    away, size = zip(*(((a.double() - b).square().sum(), b.square().sum()) for a, b in pairs), strict=True)
    return float((sum(away) / sum(size)).sqrt())


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("link", LINKS)
def test_the_error_is_that_of_rounded_operands(precision: Any, options: str, link: str) -> None:
    given = made(OPTIONS[options])
    for batch in BATCHES:
        columns = embeddings(OPTIONS[options].get("columns", 1), batch)
        right = exact(columns, LINKS[link], None, **given)
        of_rounded = exact(columns, LINKS[link], LOW[precision], **given)
        # In one Softmax of directions the positive stands twice: near the end, what is left is small beside 1/2.
        joint = batch == "near the end" and options in ("joint", "all directions")
        single = error(gradients(columns, LINKS[link], precision="fp32", **given), right) if joint else 0.0
        for block_size in (7, None):
            found = gradients(columns, LINKS[link], precision=precision, block_size=block_size, **given)
            assert error(found, right) <= 2 * (error(of_rounded, right) + single)
            # A component between two numbers of the operands' precision may be rounded to either; logits are of at
            # most 40, and their differences count.
            either = 0.2 * error(of_rounded, right) + rounding(torch.float32, exponent=80.0)
            assert abs(float(found[0]) - float(of_rounded[0])) <= either * float(of_rounded[0])


@pytest.mark.parametrize("batch", BATCHES)
def test_the_error_is_a_third_of_that_of_autocast(batch: str) -> None:
    columns = embeddings(1, batch)
    right = exact(columns, ConstantLink(), None)
    errors = []
    for loss in (
        MultipleNegativesRankingLoss(EchoModel()),
        losses.SelectiveMultipleNegativesRankingLoss(EchoModel(), link=ConstantLink()),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            value = loss.compute_loss_from_embeddings(columns, None)
        errors.append(error([value.detach(), *torch.autograd.grad(value, columns)], right))
    assert errors[1] <= errors[0] / 3


@pytest.mark.parametrize("link", LINKS)
def test_near_the_end_of_the_symmetric_loss(link: str) -> None:
    """Where the positive has nearly all probability, the gradient is what the others have, not 1 less that."""
    given, options = embeddings(1, "near the end"), OPTIONS["per direction"]
    right = exact(given, LINKS[link], None, **options)
    for block_size in (7, None):
        found = gradients(given, LINKS[link], block_size=block_size, **options)
        assert error(found, right) < 1e-4
        assert_close(found[0], right[0].float(), exponent=40.0)


def test_small_probabilities_keep_their_digits_in_half_precision() -> None:
    """Near the end all weights are far below what half precision can tell from 0."""
    columns = [column.detach() for column in embeddings(1, "near the end")]
    right = exact(columns, ConstantLink(), None)
    assert 0 < float(right[0]) < 1e-4
    columns = [column.requires_grad_() for column in columns]
    assert error(gradients(columns, ConstantLink(), precision="fp16"), right) <= 2 * error(
        exact(columns, ConstantLink(), torch.float16), right
    )


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 8, 15])
@pytest.mark.parametrize("precision", ["auto", "bf16", "fp16", "tf32", "fp32"])
def test_block_boundaries(rows: int, precision: Any) -> None:
    columns = embeddings(2, rows=rows)
    whole = gradients(columns, GENTLE, precision=precision, block_size=1000)
    for block_size in (1, 7, None):
        blocks = gradients(columns, GENTLE, precision=precision, block_size=block_size)
        if precision in LOW and rows:  # which rounds weights, here and there the other way
            assert error(blocks, [part.double() for part in whole]) < 2**-9
        else:
            assert_close(blocks, whole, exponent=20.0)
    if not rows:
        assert [float(part.sum()) for part in whole] == [0.0] * 4


def test_auto_is_autocasts_dtype_or_the_embeddings() -> None:
    columns = embeddings()
    bf16, fp32 = (gradients(columns, GENTLE, precision=precision) for precision in ("bf16", "fp32"))
    assert error(bf16, fp32) > 1e-4
    with torch.autocast("cpu", torch.bfloat16):
        found, kept = gradients(columns, GENTLE), gradients(columns, GENTLE, precision="fp32")
        double = [column.detach().double().requires_grad_() for column in columns]
        doubles = gradients(double, GENTLE)
    assert_close(found, bf16, 0)
    assert_close(kept, fp32, 0)
    assert_close(doubles, gradients(double, GENTLE, precision="fp32"), 0)
    for dtype in LOW.values():
        rounded = [column.detach().to(dtype).requires_grad_() for column in columns]
        assert Products("auto", *rounded).low == dtype
        assert Products("auto", rounded[0], columns[1]).low is None
    assert_close(gradients(columns, GENTLE), fp32, 0)
    assert_close(gradients(columns, GENTLE, precision="tf32"), fp32, 0)  # on a CPU


def test_the_losses_take_it() -> None:
    columns = embeddings()
    for kind in (losses.SelectiveMultipleNegativesRankingLoss, losses.CachedSelectiveMultipleNegativesRankingLoss):
        values = {
            precision: kind(EchoModel(), precision=precision).compute_loss_from_embeddings(columns)
            for precision in ("auto", "fp32", "bf16")
        }
        assert values["auto"] == values["fp32"] != values["bf16"]
        assert "precision" not in kind(EchoModel()).get_config_dict()
        assert kind(EchoModel(), precision="bf16").get_config_dict()["precision"] == "bf16"


@pytest.mark.parametrize("wrong", ["half", "bfloat16", "float32", torch.bfloat16, None, 16])
def test_wrong_precisions(wrong: Any) -> None:
    message = "precision must be one of 'auto', 'bf16', 'fp16', 'tf32', 'fp32', got"
    with pytest.raises(ValueError, match=f"in_batch_loss: {message}"):
        in_batch_loss(torch.eye(3), torch.eye(3), ConstantLink(), precision=wrong)
    with pytest.raises(ValueError, match=f"SelectiveMultipleNegativesRankingLoss: {message}"):
        losses.SelectiveMultipleNegativesRankingLoss(EchoModel(), precision=wrong)


# --- Questions to the device


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a GPU would have to be waited for."""
    asked: list[str] = []

    def counted(name: str, real: Any) -> Any:
        def ask(*args: Any) -> Any:
            asked.append(name)
            return real(*args)

        return ask

    for name in ("item", "__bool__", "__int__", "__index__", "tolist", "nonzero"):
        monkeypatch.setattr(Tensor, name, counted(name, getattr(Tensor, name)))
    return asked


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("link", [*LINKS.values(), IdentityLink(), high_scores().linear_outside(0, 1)], ids=repr)
@pytest.mark.parametrize("options", OPTIONS)
def test_one_question_a_batch(precision: Any, link: Link, options: str, questions: list[str]) -> None:
    columns = [column.detach().abs().requires_grad_() for column in embeddings(OPTIONS[options].get("columns", 1))]
    given = made(OPTIONS[options])
    questions.clear()
    queries, *documents = columns
    loss = in_batch_loss(queries, documents, link, 3.0, normalize=True, block_size=7, precision=precision, **given)
    loss.backward()
    assert len(questions) <= 1


def test_what_is_wrong_in_the_last_block_is_told() -> None:
    columns = embeddings(rows=9)
    with pytest.raises(ValueError, match="link must not be negative on the scores"):
        gradients(columns, IdentityLink(), block_size=2)
    weight = torch.ones(9)
    for value, told in ((-1.0, "-1"), (float("nan"), "nan"), (float("inf"), "inf")):
        weight[8] = value
        with pytest.raises(ValueError, match=f"weight must hold finite numbers >= 0, got {told}"):
            gradients(columns, GENTLE, block_size=2, weight=weight)
    scores = torch.rand(9, 1)
    scores[7] = float("nan")
    with pytest.raises(ValueError, match="target_scores must have a number in each row, but row 7 has none"):
        gradients(columns, GENTLE, block_size=2, target_scores=scores)


# --- As on a GPU


def test_mixed_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with operands that stay in low precision, as CUDA multiplies them."""
    multiply, taken = torch.mm, set()

    def mm(left: Tensor, right: Tensor, *, out_dtype: torch.dtype | None = None, out: Tensor | None = None) -> Tensor:
        if out_dtype is None:
            return multiply(left, right, out=out)
        assert left.dtype == right.dtype
        taken.add(left.dtype)
        return multiply(left.float(), right.float(), out=out)

    def addmm(
        total: Tensor, left: Tensor, right: Tensor, dtype: torch.dtype, *, beta: int, alpha: float, out: Tensor
    ) -> Tensor:
        assert dtype == total.dtype == torch.float32
        assert left.dtype in LOW.values()
        product = alpha * mm(left, right, out_dtype=dtype)
        return out.copy_(beta * total + product if beta else product)

    def mixed(self: Products, *args: Any) -> None:
        initialise(self, *args)
        self.is_mixed = self.low is not None

    initialise = Products.__init__
    for precision, dtype in LOW.items():
        for name, options in OPTIONS.items():
            columns, given = embeddings(options.get("columns", 1)), made(options)
            expected = gradients(columns, GENTLE, precision=precision, block_size=7, **given)
            with monkeypatch.context() as patch:
                patch.setattr(torch, "mm", mm)
                patch.setattr(torch, "addmm", addmm)
                patch.setattr(Products, "__init__", mixed)
                found = gradients(columns, GENTLE, precision=precision, block_size=7, **given)
            assert error(found, [part.double() for part in expected]) < 1e-5, name
            assert dtype in taken


@pytest.mark.parametrize(
    "link",
    [
        *LINKS.values(),
        SinhLink(3.0, -1.5),
        GENTLE.linear_outside(0, 1),
    ],
    ids=repr,
)
def test_the_row_function_is_one_graph(link: Link) -> None:
    scores = torch.rand(5, 12, generator=random_inputs.generator(0))
    left_out = torch.rand(5, 12, generator=random_inputs.generator(1)) < 0.3
    torch.compiler.reset()
    compiled = torch.compile(_rows_alone, backend="aot_eager", fullgraph=True)
    for mask in (None, left_out):
        for low in (None, torch.float32):
            options = (torch.arange(3, 8).unsqueeze(1), mask, link, 20.0, torch.full((1, 1), 0.2), low)
            ours, theirs = (function(scores.clone(), *options) for function in (compiled, _rows_alone))
            assert (ours[2] is None) == (theirs[2] is None) == (low is None)
            assert_close(
                [one for one in ours if one is not None], [one for one in theirs if one is not None], exponent=20.0
            )


def test_what_does_not_compile_runs_as_it_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(function: Any) -> Any:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", fail)
    function = _Compiled(lambda first, more: more + 1)
    on_gpu: Any = SimpleNamespace(is_cuda=True, numel=lambda: 2**30)
    assert [function(on_gpu, 1), function(on_gpu, 2)] == [2, 3]
    assert caplog.text.count("torch.compile fails") == 1


def test_block_size_by_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, gigabyte = torch.device("cuda"), 2**30
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    for free, rows in ((80 * gigabyte, 2048), (2 * gigabyte, 512), (2**20, 1)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert module._default_block_size(gpu, 32768, ConstantLink()) == rows


def test_the_matmul_precision_is_put_back() -> None:
    before = torch.get_float32_matmul_precision()
    with _matmul_precision("high", "tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    with pytest.raises(ZeroDivisionError), _matmul_precision("high", "tf32"):
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == before
