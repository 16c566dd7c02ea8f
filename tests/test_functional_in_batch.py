"""The in-batch loss on tensors: a naive loop, the fused against the plain form, and what neither may depend on."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from torch import Tensor

from selective_st.functional import in_batch_loss, listwise_label_loss, listwise_matching_loss
from selective_st.functional._in_batch_common import InBatchSetting
from selective_st.functional.in_batch import in_batch_loss_of_scores
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Link, SigmoidLink
from tests import random_inputs
from tests.link_cases import From1
from tests.loss_references import CONSTANT, POSITIVE_LINKS, PositiveLink, in_batch
from tests.tolerances import SCORE, assert_close, assert_same_step, largest, rounding

pytestmark = pytest.mark.numerical

Options = dict[str, Any]
SCALE = 6.0
ALL_DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
BY_NAME = {link.name: link for link in POSITIVE_LINKS}
EXPONENTIAL = BY_NAME["exponential(3)"]
ENDS = torch.tensor([-1.0, 1.0], dtype=torch.float64)  # of cosines

# The options that make one loss; documents are `columns` of `rows`, and doubled texts have one id.
PARTITIONS: dict[str, Options] = {
    **{
        "+".join(directions): {"directions": directions}
        for size in range(4)
        for others in itertools.combinations(ALL_DIRECTIONS[1:], size)
        for directions in [("query_to_doc", *others)]
    },
    "per direction, one": {"partition_mode": "per_direction"},
    "per direction, two": {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"},
}
EXTRAS: dict[str, Options] = {
    "nothing": {},
    "in-batch hardness": {"hardness_mode": "in_batch_negatives", "hardness_strength": 3.0},
    "hard hardness": {"hardness_mode": "hard_negatives", "hardness_strength": 3.0},
    "all hardness": {"hardness_mode": "all_negatives", "hardness_strength": 3.0},
    "smoothing": {"label_smoothing": 0.2},
    "ids": {"document_ids": True},
    "ids, smoothing, hardness": {
        "document_ids": True,
        "label_smoothing": 0.2,
        "hardness_mode": "all_negatives",
        "hardness_strength": 2.0,
    },
    "keep": {"keep": True},
    "keep, ids, smoothing, hardness": {
        "keep": True,
        "document_ids": True,
        "label_smoothing": 0.2,
        "hardness_mode": "all_negatives",
        "hardness_strength": 2.0,
    },
    "weight": {"weight": True},
    "weight, smoothing, hardness, ids": {
        "weight": True,
        "label_smoothing": 0.2,
        "hardness_mode": "all_negatives",
        "hardness_strength": 2.0,
        "document_ids": True,
    },
    "weight, some rows, teacher of all": {"weight": True, "rows": (1, 3), "target_scores": "all, unknown"},
    "weight, teacher of own": {"weight": True, "target_scores": "own"},
    "keep, some rows, teacher": {"keep": True, "rows": (1, 3), "target_scores": "own, unknown"},
    "teacher of own": {"target_scores": "own"},
    "teacher of own, some unknown": {"target_scores": "own, unknown"},
    "teacher of all": {"target_scores": "all"},
    "teacher of all, some unknown": {"target_scores": "all, unknown"},
    "teacher of all, another calibration, ids, hardness": {
        "target_scores": "all, unknown",
        "calibration": 0.3,
        "calibration_link": BY_NAME["exponential(1) of mean value 1"],
        "document_ids": True,
        "hardness_mode": "all_negatives",
        "hardness_strength": 2.0,
    },
    "teacher of own, ranking only, ids": {
        "target_scores": "own, unknown",
        "calibration": 0.0,
        "document_ids": True,
    },
    "some rows": {"rows": (1, 3)},
    "some rows, teacher, ids": {"rows": (2, 4), "target_scores": "all, unknown", "document_ids": True},
}


def options_for(names: Options, rows: int, columns: int, seed: int = 0) -> Options:
    """The options, with tensors made for this size."""
    generator = random_inputs.generator(100 + seed)
    options = dict(names)
    if options.get("document_ids"):
        ids = torch.arange(rows * columns)
        if rows > 2:
            ids[2] = ids[0]  # two positives of one text
        if columns > 1:
            ids[rows] = ids[0]  # a hard negative of the text of its own positive
            ids[-1] = ids[1 % rows]  # and one of the text of another's
        options["document_ids"] = ids
    if which := options.get("target_scores"):
        width = columns if "own" in which else rows * columns
        scores = 2 * torch.rand(rows, width, generator=generator, dtype=torch.float64) - 1
        if "unknown" in which:
            unknown = torch.rand(rows, width, generator=generator) < 0.4
            unknown[torch.arange(rows), torch.arange(rows) % width] = False
            scores = scores.masked_fill(unknown, float("nan"))
        options["target_scores"] = scores
    if "rows" in options:
        options["rows"] = tuple(min(end, rows) for end in options["rows"])
        if options["rows"][0] == options["rows"][1]:
            options["rows"] = (0, 1)
    if options.get("keep"):
        begin, end = options.get("rows", (0, rows))
        options["keep"] = torch.rand(end - begin, rows * columns, generator=generator) < 0.6
    if options.get("weight"):
        begin, end = options.get("rows", (0, rows))
        options["weight"] = 3 * torch.rand(end - begin, generator=generator, dtype=torch.float64)
        options["weight"][1:2] = 0.0
    return options


def for_us(options: Options) -> Options:
    link = options.get("calibration_link")
    return options if link is None else {**options, "calibration_link": link.link}


def embeddings(rows: int, columns: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    """Queries, positives, hard negatives: normalised leaves."""
    generator = random_inputs.generator(seed)
    return [
        torch.nn.functional.normalize(torch.randn(rows, 5, generator=generator, dtype=torch.float64), dim=1)
        .to(dtype)
        .requires_grad_()
        for _ in range(1 + columns)
    ]


def of_columns(queries: Tensor, documents: list[Tensor], **arguments: Any) -> Tensor:
    return in_batch_loss(queries, documents, arguments.pop("link"), **arguments)


def value_and_gradients(loss: Callable[[Tensor, list[Tensor]], Tensor], columns: list[Tensor]) -> list[Tensor]:
    value = loss(columns[0], columns[1:])
    return [value.detach(), *torch.autograd.grad(value, columns, materialize_grads=True)]


def largest_logit(link: Link, scale: float = SCALE) -> float:
    return scale * largest(link.potential(ENDS))


def assert_alike(ours: list[Tensor], theirs: list[Tensor], link: Link, scale: float = SCALE) -> None:
    """Up to the rounding of the largest logit; by the share of a row's steepest score where gradients cancel."""
    slope = scale * largest(link(ENDS)) / len(theirs[1])
    assert_same_step(ours, theirs, exponent=largest_logit(link, scale), size=1.0, slope=slope)


class TestReference:
    """The plain form and the fused one against a loop over single scores."""

    @pytest.mark.parametrize("partition", PARTITIONS)
    @pytest.mark.parametrize("extra", EXTRAS)
    def test_options(self, partition: str, extra: str) -> None:
        rows, columns = 4, 2
        options = options_for({**PARTITIONS[partition], **EXTRAS[extra]}, rows, columns)
        inputs = embeddings(rows, columns)
        naive = value_and_gradients(lambda q, d: in_batch(q, d, EXPONENTIAL, SCALE, **options), inputs)
        for form in ("plain", "fused"):
            ours = value_and_gradients(
                lambda q, d, form=form: in_batch_loss(q, d, EXPONENTIAL.link, SCALE, form=form, **for_us(options)),
                inputs,
            )
            assert_alike(ours, naive, EXPONENTIAL.link)

    @pytest.mark.parametrize("link", POSITIVE_LINKS, ids=lambda link: link.name)
    @pytest.mark.parametrize("columns", [1, 3])
    def test_links(self, link: PositiveLink, columns: int) -> None:
        inputs = embeddings(3, columns, seed=1)
        for names in (
            {},
            {"directions": ALL_DIRECTIONS, "label_smoothing": 0.1},
            {"target_scores": "all, unknown", "directions": ("query_to_doc", "doc_to_query")},
        ):
            options = options_for(names, 3, columns)
            naive = value_and_gradients(lambda q, d: in_batch(q, d, link, SCALE, **options), inputs)  # noqa: B023
            for form in ("plain", "fused"):
                ours = value_and_gradients(
                    partial(of_columns, link=link.link, scale=SCALE, form=form, **options), inputs
                )
                assert_alike(ours, naive, link.link)

    @pytest.mark.parametrize("rows", [1, 2])
    @pytest.mark.parametrize("columns", [1, 2])
    @pytest.mark.parametrize("partition", PARTITIONS)
    def test_small_batches(self, rows: int, columns: int, partition: str) -> None:
        inputs = embeddings(rows, columns, seed=2)
        for extra in ("nothing", "smoothing", "all hardness", "teacher of all", "ids"):
            options = options_for({**PARTITIONS[partition], **EXTRAS[extra]}, rows, columns)
            naive = value_and_gradients(lambda q, d: in_batch(q, d, EXPONENTIAL, SCALE, **options), inputs)  # noqa: B023
            for form in ("plain", "fused"):
                ours = value_and_gradients(
                    partial(of_columns, link=EXPONENTIAL.link, scale=SCALE, form=form, **options),
                    inputs,
                )
                assert_alike(ours, naive, EXPONENTIAL.link)


class TestFused:
    """The fused form against the plain one."""

    @pytest.mark.parametrize("extra", EXTRAS)
    @pytest.mark.parametrize("link", POSITIVE_LINKS, ids=lambda link: link.name)
    def test_every_option(self, link: PositiveLink, extra: str) -> None:
        everything = link is EXPONENTIAL
        # In turn, so that each link and each option has either.
        turn = (POSITIVE_LINKS.index(link) + list(EXTRAS).index(extra)) % 2
        sizes: list[Any] = [(PARTITIONS[("+".join(ALL_DIRECTIONS), "per direction, two")[turn]], 3 - turn)]
        if everything:
            sizes = list(zip(PARTITIONS.values(), itertools.cycle((3, 1, 2))))
        for partition, columns in sizes:
            options = for_us(options_for({**partition, **EXTRAS[extra]}, 7, columns, seed=columns))
            precisions: list[Any] = [(torch.float64, (1, 3, 100) if everything else (3,))]
            if everything or columns == 2:
                precisions.append((torch.float32, (3,)))
            for dtype, block_sizes in precisions:
                inputs = embeddings(7, columns, dtype, seed=3)
                if "target_scores" in options:
                    options["target_scores"] = options["target_scores"].to(dtype)
                loss = partial(of_columns, link=link.link, scale=SCALE, **options)
                plain = value_and_gradients(partial(loss, form="plain"), inputs)
                for block_size in block_sizes:
                    fused = value_and_gradients(partial(loss, block_size=block_size), inputs)
                    assert_alike(fused, plain, link.link)

    @seed(random_inputs.seed_of())
    @settings(max_examples=60, deadline=None, database=None)
    @given(
        rows=st.integers(1, 9),
        columns=st.integers(1, 4),
        partition=st.sampled_from(sorted(PARTITIONS)),
        extra=st.sampled_from(sorted(EXTRAS)),
        link=st.sampled_from(POSITIVE_LINKS),
        block_size=st.integers(1, 10),
        scale=st.sampled_from([0.5, 20.0, 100.0]),
        number=st.integers(0, 1000),
    )
    def test_anything(
        self,
        rows: int,
        columns: int,
        partition: str,
        extra: str,
        link: PositiveLink,
        block_size: int,
        scale: float,
        number: int,
    ) -> None:
        options = for_us(options_for({**PARTITIONS[partition], **EXTRAS[extra]}, rows, columns, number))
        inputs = embeddings(rows, columns, seed=number)
        plain = value_and_gradients(lambda q, d: in_batch_loss(q, d, link.link, scale, form="plain", **options), inputs)
        fused = value_and_gradients(
            lambda q, d: in_batch_loss(q, d, link.link, scale, block_size=block_size, **options), inputs
        )
        assert_alike(fused, plain, link.link, scale)

    def test_a_larger_batch_in_more_blocks_than_one(self) -> None:
        for dtype in (torch.float64, torch.float32):
            inputs = embeddings(130, 2, dtype, seed=4)
            for names in ({}, {"directions": ALL_DIRECTIONS, "document_ids": True, "label_smoothing": 0.1}):
                options = options_for(names, 130, 2)
                plain, whole, blocks = (
                    value_and_gradients(
                        lambda q, d, a=arguments: in_batch_loss(q, d, EXPONENTIAL.link, 20.0, **options, **a),  # noqa: B023
                        inputs,
                    )
                    for arguments in ({"form": "plain"}, {}, {"block_size": 33})
                )
                assert_alike(whole, plain, EXPONENTIAL.link, 20.0)
                assert_alike(blocks, plain, EXPONENTIAL.link, 20.0)

    @pytest.mark.parametrize("partition", PARTITIONS)
    def test_half_precision_is_single_precision_of_the_rounded(self, partition: str) -> None:
        for dtype in (torch.bfloat16, torch.float16):
            inputs = embeddings(5, 2, dtype)
            single = [column.detach().float().requires_grad_() for column in inputs]
            for form in ("plain", "fused"):

                def loss(q: Tensor, d: list[Tensor], form: Any = form, precision: Any = "auto") -> Tensor:
                    options = {"form": form, "precision": precision, **PARTITIONS[partition]}
                    return in_batch_loss(q, d, EXPONENTIAL.link, SCALE, **options)

                half, whole = value_and_gradients(loss, inputs), value_and_gradients(loss, single)
                assert half[0].dtype == torch.float32
                assert_close(half[0], whole[0], SCORE)
                for one, other in zip(half[1:], whole[1:], strict=True):
                    assert one.dtype == dtype
                    assert_close(one, other.to(dtype), 1)
                rounded = value_and_gradients(partial(loss, precision="bf16"), single)
                for precision, expected in (("fp32", whole), ("auto", rounded)):
                    with torch.autocast("cpu", dtype=torch.bfloat16):
                        value = loss(single[0], single[1:], precision=precision)
                    assert_close(value, expected[0], 0)
                    assert_close(list(torch.autograd.grad(value, single)), expected[1:], 0)

    @pytest.mark.parametrize("form", ["plain", "fused"])
    def test_only_what_asks_for_a_gradient_gets_one(self, form: Any) -> None:
        queries, positives, negatives = embeddings(5, 2)
        whole = value_and_gradients(
            lambda q, d: in_batch_loss(q, d, EXPONENTIAL.link, SCALE, form=form), [queries, positives, negatives]
        )
        frozen = [positives.detach(), negatives.detach()]
        loss = in_batch_loss(queries, frozen, EXPONENTIAL.link, SCALE, form=form)
        assert_close(torch.autograd.grad(loss, queries)[0], whole[1])
        loss = in_batch_loss(queries.detach(), [positives, frozen[1]], EXPONENTIAL.link, SCALE, form=form)
        assert_close(torch.autograd.grad(loss, positives)[0], whole[2])
        loss = in_batch_loss(queries.detach(), frozen, EXPONENTIAL.link, SCALE, form=form)
        assert not loss.requires_grad
        assert_close(loss, whole[0])
        with torch.no_grad():
            assert_close(in_batch_loss(queries, [positives, negatives], EXPONENTIAL.link, SCALE, form=form), whole[0])

    def test_the_incoming_gradient_multiplies(self) -> None:
        inputs = embeddings(5, 2)
        once = value_and_gradients(lambda q, d: in_batch_loss(q, d, EXPONENTIAL.link, SCALE), inputs)
        thrice = value_and_gradients(lambda q, d: 3 * in_batch_loss(q, d, EXPONENTIAL.link, SCALE), inputs)
        for one, three in zip(once, thrice, strict=True):
            assert_close(3 * one, three)
        loss = in_batch_loss(inputs[0], inputs[1:], EXPONENTIAL.link, SCALE)
        loss.backward(retain_graph=True)
        loss.backward()
        assert_close(inputs[0].grad, 2 * once[1])

    def test_inputs_are_left_alone(self) -> None:
        for extra in EXTRAS.values():
            options = for_us(options_for({**extra, "directions": ALL_DIRECTIONS}, 5, 2))
            inputs = embeddings(5, 2)
            before = [column.detach().clone() for column in inputs]
            tensors = {name: value.clone() for name, value in options.items() if isinstance(value, Tensor)}
            value_and_gradients(lambda q, d: in_batch_loss(q, d, EXPONENTIAL.link, SCALE, **options), inputs)  # noqa: B023
            for column, copy in zip(inputs, before, strict=True):
                assert torch.equal(column, copy)
            for name, copy in tensors.items():
                assert_close(options[name], copy, 0, equal_nan=True)

    def test_strided_embeddings(self) -> None:
        wide = torch.randn(5, 12, dtype=torch.float64, requires_grad=True)
        queries, documents = wide[:, ::2], wide.flip(0)[:, 1::2]
        fused = in_batch_loss(queries, documents, CONSTANT.link, SCALE)
        plain = in_batch_loss(queries, documents, CONSTANT.link, SCALE, form="plain")
        assert_close(fused, plain)
        assert_close(torch.autograd.grad(fused, wide), torch.autograd.grad(plain, wide), exponent=SCALE)


GRADCHECKS: list[tuple[str, PositiveLink, Options]] = [
    ("constant", CONSTANT, {}),
    ("exponential", EXPONENTIAL, {}),
    ("all directions", EXPONENTIAL, {"directions": ALL_DIRECTIONS}),
    ("symmetric", EXPONENTIAL, PARTITIONS["per direction, two"]),
    ("smoothing and ids", EXPONENTIAL, {"label_smoothing": 0.2, "document_ids": True}),
    ("teacher", EXPONENTIAL, {"target_scores": "all, unknown"}),
    ("teacher of own", EXPONENTIAL, {"target_scores": "own", "calibration": 0.5}),
]


@pytest.mark.parametrize(
    ("name", "link", "names"), GRADCHECKS, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("form", ["plain", "fused"])
def test_gradients_of_both_orders(name: str, link: PositiveLink, names: Options, form: Any) -> None:
    options = options_for(names, 3, 2)
    inputs = tuple(column.detach()[:, :3].clone().requires_grad_() for column in embeddings(3, 2))

    def loss(queries: Tensor, *documents: Tensor) -> Tensor:
        return in_batch_loss(queries, list(documents), link.link, 3.0, form=form, block_size=2, **options)

    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs, fast_mode=True)


@pytest.mark.parametrize("form", ["plain", "fused"])
def test_hardness_is_no_part_of_the_gradient(form: Any) -> None:
    # So finite differences do not apply: the gradient is that with the penalty of this very batch held fixed.
    queries, positives, negatives = embeddings(4, 2)
    options: Options = {"hardness_mode": "all_negatives", "hardness_strength": 5.0}
    loss = in_batch_loss(queries, [positives, negatives], CONSTANT.link, SCALE, form=form, **options)
    scores = queries @ torch.cat([positives, negatives]).T
    penalty = 5.0 * scores.detach()
    penalty[torch.arange(4), torch.arange(4)] = 0
    expected = torch.nn.functional.cross_entropy(SCALE * scores + penalty, torch.arange(4))
    assert_close(loss, expected)
    inputs = [queries, positives, negatives]
    assert_close(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs))


class TestMeaning:
    """What the loss is, in terms of the others."""

    @pytest.mark.parametrize("form", ["plain", "fused"])
    def test_it_is_the_label_loss_of_each_row(self, form: Any) -> None:
        queries, positives, negatives = embeddings(6, 2)
        documents = torch.cat([positives, negatives])
        for smoothing in (0.0, 0.3):
            ours = in_batch_loss(queries, documents, EXPONENTIAL.link, SCALE, form=form, label_smoothing=smoothing)
            theirs = listwise_label_loss(
                queries @ documents.T,
                torch.arange(6),
                EXPONENTIAL.link,
                1 / SCALE,
                label_smoothing=smoothing,
            )
            assert_close(ours, theirs, exponent=largest_logit(EXPONENTIAL.link))

    @pytest.mark.parametrize("form", ["plain", "fused"])
    @pytest.mark.parametrize("calibration", [0.0, 1.0, 0.2])
    def test_a_teacher_of_all_makes_it_the_matching_loss_of_each_row(self, form: Any, calibration: float) -> None:
        queries, positives, negatives = embeddings(6, 2)
        documents = torch.cat([positives, negatives])
        teacher = options_for({"target_scores": "all"}, 6, 2)["target_scores"]
        arguments: Options = {"calibration": calibration, "calibration_link": ExponentialLink(1.0)}
        ours = in_batch_loss(queries, documents, EXPONENTIAL.link, SCALE, form=form, target_scores=teacher, **arguments)
        theirs = listwise_matching_loss(queries @ documents.T, teacher, EXPONENTIAL.link, 1 / SCALE, **arguments)
        inputs = [queries, positives, negatives]
        of_ours, of_theirs = (
            [loss.detach(), *torch.autograd.grad(loss, inputs, retain_graph=True)] for loss in (ours, theirs)
        )
        assert_alike(of_ours, of_theirs, EXPONENTIAL.link)

    @pytest.mark.parametrize("form", ["plain", "fused"])
    def test_a_teacher_of_the_positive_alone_leaves_the_labels_and_places_the_positive(self, form: Any) -> None:
        queries, positives, negatives = embeddings(6, 2)
        teacher = torch.full((6, 2), float("nan"), dtype=torch.float64)
        teacher[:, 0] = 0.7
        ours = in_batch_loss(queries, [positives, negatives], EXPONENTIAL.link, SCALE, form=form, target_scores=teacher)
        labels = in_batch_loss(queries, [positives, negatives], EXPONENTIAL.link, SCALE, form=form)
        own = (queries * positives).sum(1)
        assert_close(ours, labels + SCALE * EXPONENTIAL.link.divergence(own, teacher[:, 0]).mean())

    @pytest.mark.parametrize("form", ["plain", "fused"])
    def test_matching_texts_are_left_out(self, form: Any) -> None:
        queries, positives = embeddings(3, 1)
        positives = positives[[0, 1, 0]].detach()
        ids = torch.tensor([5, 9, 5])
        ours = in_batch_loss(queries, positives, CONSTANT.link, SCALE, form=form, document_ids=ids)
        scores = SCALE * queries @ positives.T
        scores[0, 2] = scores[2, 0] = -torch.inf  # the second query keeps both: neither has its own positive's text
        assert_close(ours, torch.nn.functional.cross_entropy(scores, torch.arange(3)))
        # All of one text: nothing is left to tell apart.
        loss = in_batch_loss(
            queries, positives[[0, 0, 0]], CONSTANT.link, SCALE, form=form, document_ids=torch.ones(3, dtype=torch.long)
        )
        assert_close(loss, torch.zeros((), dtype=torch.float64), size=1.0)

    @pytest.mark.parametrize("form", ["plain", "fused"])
    def test_rows_add_up(self, form: Any) -> None:
        inputs = embeddings(7, 2)
        for extra in ("nothing", "ids, smoothing, hardness", "teacher of all, some unknown"):
            options = options_for({**EXTRAS[extra], "directions": ALL_DIRECTIONS}, 7, 2)
            loss = partial(of_columns, link=EXPONENTIAL.link, scale=SCALE, form=form, **options)
            whole = value_and_gradients(loss, inputs)
            parts = [
                [(end - begin) / 7 * x for x in value_and_gradients(partial(loss, rows=(begin, end)), inputs)]
                for begin, end in ((0, 3), (3, 4), (4, 7))
            ]
            assert_alike([sum(part[i] for part in parts) for i in range(4)], whole, EXPONENTIAL.link)  # type: ignore[misc]

    @pytest.mark.parametrize("extra", EXTRAS)
    def test_scores_that_are_known(self, extra: str) -> None:
        """The same from the scores of some anchors; those in half precision are raised to single."""
        queries, *documents = (column.detach() for column in embeddings(5, 3))
        options = for_us(options_for({"rows": (1, 4), **EXTRAS[extra]}, 5, 3))
        begin, end = rows = options.pop("rows")
        scores = (queries[begin:end] @ torch.cat(documents).T).requires_grad_()
        plain = partial(in_batch_loss, queries, documents, EXPONENTIAL.link, SCALE, rows=rows, form="plain")
        theirs = value_and_gradients(lambda *_: plain(similarity_fct=lambda *_: scores, **options), [scores])
        of_batch = {
            name: options.pop(name) for name in ("document_ids", "keep", "target_scores", "weight") if name in options
        }
        link, factor = options.pop("calibration_link", EXPONENTIAL.link), options.pop("calibration", 1.0)
        setting = InBatchSetting(EXPONENTIAL.link, SCALE, factor, link, **options)
        loss = partial(in_batch_loss_of_scores, setting, queries=5, rows=rows, **of_batch)
        assert_close(value_and_gradients(lambda scores, _: loss(scores), [scores]), theirs, 0)
        half = scores.detach().half()
        assert_close(loss(half), loss(half.float()), 0)

    def test_scores_that_do_not_fit(self) -> None:
        setting = InBatchSetting(CONSTANT.link, SCALE)
        for shape, rows, message in (
            ((3, 7), None, "as many columns for each of the 3 queries"),
            ((3, 0), None, "as many columns for each of the 3 queries"),
            ((3,), None, "as many columns for each of the 3 queries"),
            ((2, 6), None, "a row for each of the 3 anchors"),
            ((3, 6), (0, 2), "a row for each of the 2 anchors"),
        ):
            with pytest.raises(ValueError, match=message):
                in_batch_loss_of_scores(setting, torch.zeros(shape), 3, rows=rows)
        both = dataclasses.replace(setting, directions=ALL_DIRECTIONS)
        with pytest.raises(ValueError, match="in directions="):
            in_batch_loss_of_scores(both, torch.zeros(3, 6), 3)
        nothing = torch.zeros(0, 6, requires_grad=True)
        loss = in_batch_loss_of_scores(setting, nothing, 3, rows=(1, 1))
        loss.backward()  # there is a graph
        assert loss == 0

    @pytest.mark.parametrize("form", ["plain", "fused"])
    def test_the_order_of_the_batch_does_not_matter(self, form: Any) -> None:
        inputs = embeddings(6, 3)
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        turned = [column.detach()[order].requires_grad_() for column in inputs]
        turned = [turned[0], turned[1], turned[3], turned[2]]  # the hard negatives too
        for partition in PARTITIONS.values():
            for extra in (EXTRAS["nothing"], EXTRAS["all hardness"], EXTRAS["smoothing"]):
                loss = partial(of_columns, link=EXPONENTIAL.link, scale=SCALE, form=form, **partition, **extra)
                whole, ours = value_and_gradients(loss, inputs), value_and_gradients(loss, turned)
                expected = [whole[0], *(gradient[order] for gradient in (whole[1], whole[2], whole[4], whole[3]))]
                assert_alike(ours, expected, EXPONENTIAL.link)

    def test_one_tensor_or_a_list_of_columns(self) -> None:
        queries, *documents = embeddings(5, 3)
        assert_close(
            in_batch_loss(queries, torch.cat(documents), EXPONENTIAL.link, SCALE),
            in_batch_loss(queries, documents, EXPONENTIAL.link, SCALE),
            0,
        )

    @pytest.mark.parametrize("form", ["plain", "fused"])
    def test_a_teacher_may_use_a_link_that_is_negative(self, form: Any) -> None:
        queries, positives = embeddings(5, 1)
        teacher = options_for({"target_scores": "all"}, 5, 1)["target_scores"]
        ours = in_batch_loss(queries, positives, IdentityLink(), SCALE, target_scores=teacher, form=form)
        theirs = listwise_matching_loss(queries @ positives.T, teacher, IdentityLink(), 1 / SCALE)
        assert_close(ours, theirs)


@pytest.mark.parametrize("form", ["plain", "fused"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
class TestExtremes:
    def test_identical_and_opposite(self, form: Any, dtype: torch.dtype) -> None:
        for sign in (1, -1):
            queries = torch.nn.functional.normalize(torch.ones(4, 3, dtype=dtype), dim=1).requires_grad_()
            documents = (sign * queries.detach()).repeat(2, 1).requires_grad_()
            for partition, link in itertools.product(PARTITIONS.values(), (CONSTANT, EXPONENTIAL)):
                loss = in_batch_loss(queries, documents, link.link, 20.0, form=form, **partition)
                assert loss.isfinite()
                for gradient in torch.autograd.grad(loss, [queries, documents]):
                    assert gradient.isfinite().all()

    def test_huge_scores(self, form: Any, dtype: torch.dtype) -> None:
        link = ExponentialLink(1.0).normalized(0, 1, of="value").linear_outside(None, 1.0)
        for used, rows in itertools.product((ConstantLink(), link), (2, 5)):
            queries, documents = (100 * column.detach() for column in embeddings(rows, 1, dtype))
            documents[0] = queries[0]
            queries[1] = -documents[1]
            queries.requires_grad_()
            documents.requires_grad_()
            for partition in PARTITIONS.values():
                loss = in_batch_loss(queries, documents, used, 20.0, form=form, **partition)
                assert loss.isfinite()
                assert loss >= 0
                for gradient in torch.autograd.grad(loss, [queries, documents]):
                    assert gradient.isfinite().all()

    def test_a_nan_stays_visible(self, form: Any, dtype: torch.dtype) -> None:
        queries, documents = (column.detach() for column in embeddings(4, 1, dtype))
        queries[2, 0] = float("nan")
        assert in_batch_loss(queries, documents, CONSTANT.link, 20.0, form=form).isnan()
        assert in_batch_loss(queries, documents, CONSTANT.link, 20.0, form=form, rows=(0, 2)).isfinite()


def test_a_wrong_gradient_is_told_apart() -> None:
    """The comparison can fail."""
    inputs = embeddings(4, 2)
    right = value_and_gradients(lambda q, d: in_batch_loss(q, d, EXPONENTIAL.link, SCALE), inputs)
    for i in range(4):
        wrong = list(right)
        wrong[i] = wrong[i] * (1 + 1e-9)
        with pytest.raises(AssertionError):
            assert_alike(wrong, right, EXPONENTIAL.link)
    for wrong_link in (ExponentialLink(3.0 + 1e-8), ConstantLink()):
        wrong = value_and_gradients(lambda q, d: in_batch_loss(q, d, wrong_link, SCALE), inputs)  # noqa: B023
        with pytest.raises(AssertionError):
            assert_alike(wrong, right, EXPONENTIAL.link)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("link", [ConstantLink(), ExponentialLink(1.0)], ids=repr)
def test_a_positive_whose_probability_vanishes(dtype: torch.dtype, block_size: int | None, link: Link) -> None:
    """Its logit lies hundreds below the largest, where e^x is 0 in single precision."""
    queries = torch.nn.functional.normalize(torch.randn(7, 8, dtype=dtype), dim=1).requires_grad_()
    documents = torch.cat([-queries.detach()[:1], queries.detach()[:1].expand(6, 8)]).requires_grad_()
    values, found = [], []
    for form in ("fused", "plain"):
        loss = in_batch_loss(queries, documents, link, 500.0, form=form, block_size=block_size)
        values.append(loss)
        found.append(torch.autograd.grad(loss, (queries, documents)))
    assert values[0] > 100
    assert_close(values[0], values[1])
    for fused, plain in zip(*found, strict=True):
        assert_close(fused, plain, exponent=float(values[0].detach()))


def test_a_second_backward_through_the_same_graph() -> None:
    queries, documents = torch.randn(2, 5, 8, dtype=torch.float64).unbind()
    queries.requires_grad_()
    loss = in_batch_loss(queries, documents, ConstantLink(), 3.0, normalize=True, block_size=2)
    first = torch.autograd.grad(loss, queries, torch.tensor(2.0, dtype=torch.float64), retain_graph=True)
    second = torch.autograd.grad(loss, queries)
    assert_close(first[0], 2 * second[0])


def test_a_link_of_the_users_own_on_many_scores() -> None:
    """Its potential is integrated by a table; a link whose potential is known shows that this changes nothing."""

    class OwnSigmoid(Link):
        def h(self, z: Tensor) -> Tensor:
            return torch.sigmoid(6 * (z - 0.3))

    queries, documents = (torch.randn(2, 200, 8, dtype=torch.float64)).requires_grad_().unbind()
    results = []
    for link in (OwnSigmoid(), SigmoidLink(6, 0.3)):
        loss = in_batch_loss(queries, documents, link, 20.0, normalize=True)
        results.append((loss, *torch.autograd.grad(loss, (queries, documents))))
    for own, known in zip(*results, strict=True):
        assert_close(own, known, exponent=largest_logit(SigmoidLink(6, 0.3), 20.0))


@pytest.mark.parametrize("targets", ["own", "all"])
@pytest.mark.parametrize("link", [ConstantLink(), ExponentialLink(1.0)], ids=repr)
def test_a_calibration_link_of_its_own(targets: str, link: Link) -> None:
    queries, documents = torch.randn(2, 6, 8, dtype=torch.float64).requires_grad_().unbind()
    target_scores = torch.rand(6, 6 if targets == "all" else 1, dtype=torch.float64)
    results = []
    for form in ("fused", "plain"):
        loss = in_batch_loss(
            queries, documents, link, 3.0, target_scores=target_scores, calibration=0.3,
            calibration_link=ExponentialLink(2.0), normalize=True, form=form, block_size=4,
        )  # fmt: skip
        results.append((loss, *torch.autograd.grad(loss, (queries, documents))))
    for fused, plain in zip(*results, strict=True):
        assert_close(fused, plain)


def test_an_unknown_teachers_score_needs_no_score_of_the_links_domain() -> None:
    """What it is filled with counts for nothing."""
    queries, documents = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    negatives = torch.tensor([[0.9, 0.8], [0.8, 0.9]])
    target = torch.tensor([[2.0, 1.5], [2.5, math.nan]])
    loss = in_batch_loss(queries, [documents, negatives], From1(), 2.0, target_scores=target)
    filled = target.clone()
    filled[1, 1] = -math.inf  # a candidate without probability, as an unknown one is
    assert_close(loss, in_batch_loss(queries, [documents, negatives], From1(), 2.0, target_scores=filled))
    plain = in_batch_loss(queries, [documents, negatives], From1(), 2.0, target_scores=target, form="plain")
    assert_close(loss, plain)


@pytest.mark.parametrize("unknown", [math.nan, -math.inf])
@pytest.mark.parametrize("form", ["fused", "plain"])
def test_what_has_no_label_needs_no_score_of_the_calibrations_domain(form: Any, unknown: float) -> None:
    queries, documents = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    taught = {"target_scores": torch.tensor([[2.0, unknown], [2.5, unknown]]), "form": form}
    ours, everywhere = (
        in_batch_loss(queries, [documents, documents / 9], CONSTANT.link, 2.0, calibration_link=link, **taught)
        for link in (From1(), From1().linear_outside(1.5, None))  # the same for the scores that have a label
    )
    assert_close(ours, everywhere)


@pytest.mark.parametrize("form", ["fused", "plain"])
def test_rows_nearly_right_keep_their_digits_with_any_option(form: Any) -> None:
    queries = torch.eye(3)
    others = ("query_to_doc", "query_to_query", "doc_to_doc")
    for negatives, options in ((2, {"weight": torch.tensor([1.0, 2.0, 0.5])}), (6, {"directions": others})):
        loss = in_batch_loss(queries, queries, ConstantLink(), 20.0, form=form, **options)  # type: ignore[arg-type]
        assert float(loss) == pytest.approx(math.log1p(negatives * math.exp(-20)), rel=1e-5)


@pytest.mark.parametrize("form", ["fused", "plain"])
def test_what_the_teacher_has_scored_is_a_candidate_though_its_text_is_the_positives(form: Any) -> None:
    torch.manual_seed(random_inputs.seed_of(0))
    queries, documents, ids = torch.randn(4, 5).double(), torch.randn(8, 5).double(), torch.tensor([0, 1, 1, 3] * 2)
    for shape in ((4, 2), (4, 8)):
        scores = torch.rand(shape, dtype=torch.float64)
        whole, with_ids = (
            in_batch_loss(queries, documents, ConstantLink(), target_scores=scores, document_ids=each, form=form)
            for each in (None, ids)
        )
        if shape == (4, 8):
            assert_close(with_ids, whole)
        else:  # the others' are left out
            assert float(with_ids) < float(whole)
        scores[:, 1] = math.nan
        others = in_batch_loss(queries, documents, ConstantLink(), target_scores=scores, document_ids=ids, form=form)
        assert float(others) != pytest.approx(float(with_ids))


@pytest.mark.parametrize("own_only", [True, False])
def test_a_teacher_with_calibration_in_inference_mode(own_only: bool) -> None:
    queries, positives, negatives = torch.nn.functional.normalize(torch.randn(3, 5, 4), dim=-1)
    target_scores = torch.rand(5, 2 if own_only else 10)

    def value() -> Tensor:
        return in_batch_loss(queries, [positives, negatives], EXPONENTIAL.link, SCALE, target_scores=target_scores)

    with torch.inference_mode():
        found = value()
    assert_close(found, value())


@pytest.mark.parametrize("form", ["fused", "plain"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.2}, {"directions": ALL_DIRECTIONS[:2]}], ids=str)
def test_documents_that_are_all_alike_share_the_probability_however_large_the_logits(
    form: Any, options: Options
) -> None:
    queries = torch.full((4, 2), 3.0)
    documents = torch.full((4, 2), 3.0)
    loss = in_batch_loss(queries, documents, ExponentialLink(2.0), 1.0, form=form, **options)  # logits of 10^15
    assert_close(loss, torch.tensor(7.0 if "directions" in options else 4.0).log())


def test_going_back_twice_within_autocast_is_as_without() -> None:
    queries, documents = torch.nn.functional.normalize(torch.randn(2, 5, 4), dim=-1).requires_grad_()
    loss = in_batch_loss(queries, documents, EXPONENTIAL.link, SCALE)
    first = torch.autograd.grad(loss, [queries, documents], retain_graph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = torch.autograd.grad(loss, [queries, documents], retain_graph=True)
        to_be_differentiated = torch.autograd.grad(loss, [queries, documents], create_graph=True)
    for gradients in (again, to_be_differentiated):
        for gradient, expected in zip(gradients, first, strict=True):
            assert_close(gradient, expected)


class TestDigits:
    """In single precision, score by score: queries are unit vectors, so that a document's gradient holds the slopes."""

    SETTINGS: ClassVar[dict[str, Options]] = {
        "nothing": {},
        "all directions": {"directions": ALL_DIRECTIONS},
        "symmetric": PARTITIONS["per direction, two"],
        "joint symmetric": {"directions": ("query_to_doc", "doc_to_query")},
        "hardness": {"hardness_mode": "all_negatives", "hardness_strength": 1.0},
        "little smoothing": {"label_smoothing": 0.1},
        "all is smoothing": {"label_smoothing": 1.0},
        "all is smoothing, all directions": {"label_smoothing": 1.0, "directions": ALL_DIRECTIONS},
        "teacher": {"target_scores": "own"},
        "teacher, both ways": {"target_scores": "own", "directions": ("query_to_doc", "doc_to_query")},
    }

    @staticmethod
    def value_and_slopes(form: Any, documents: Tensor, options: Options, order: int) -> list[Tensor]:
        queries = torch.eye(len(documents), dtype=documents.dtype)
        documents = documents.clone().requires_grad_()
        loss = in_batch_loss(queries, documents, CONSTANT.link, 1.0, form=form, **options)
        (slopes,) = torch.autograd.grad(loss, documents, create_graph=order > 1)
        if order == 1:
            return [loss.detach(), slopes]
        factors = torch.linspace(-1, 1, slopes.numel(), dtype=slopes.dtype).view_as(slopes)
        return [loss.detach(), *torch.autograd.grad((slopes * factors).sum(), documents)]

    @pytest.mark.parametrize(("order", "rows"), [(1, 300), (2, 40)])
    @pytest.mark.parametrize("above", [0.0, -300.0])
    @pytest.mark.parametrize("setting", SETTINGS)
    def test_as_many_as_single_precision_has(self, setting: str, above: float, order: int, rows: int) -> None:
        """Where positives are as high as the others, and where they are far below: as in double precision."""
        self.has_digits(setting, above, order, rows)

    @pytest.mark.parametrize("setting", ["nothing", "joint symmetric", "teacher"])
    def test_where_rows_are_nearly_right(self, setting: str) -> None:
        self.has_digits(setting, 12.0, 1, 300)

    def has_digits(self, setting: str, above: float, order: int, rows: int) -> None:
        options = options_for(self.SETTINGS[setting], rows, 1)
        scores = torch.rand(rows, rows, generator=random_inputs.generator(3))
        scores.diagonal().add_(above)
        for form in ("fused", "plain"):
            ours = self.value_and_slopes(form, scores, options, order)
            right = self.value_and_slopes(form, scores.double(), options, order)
            for one, other in zip(ours, right, strict=True):
                # A row's sums go over all directions together.
                bound = rounding(torch.float32, 4 * rows, abs(above)) * other.abs().amax(-1, keepdim=True)
                if form == "plain":  # which adds up the positive's slope from terms of the size of a row's share
                    bound += rounding(torch.float32, 4) / rows
                assert ((one - other).abs() <= bound).all(), form

    @pytest.mark.parametrize("order", [1, 2])
    def test_the_slope_of_a_positive_nearly_right_in_both_directions(self, order: int) -> None:
        """It is what the others share, 1e-5, and no difference of shares that are nearly 1/2."""
        scores = torch.linspace(0, 1, 25).view(5, 5) + 12 * torch.eye(5)
        ours, right = (
            self.value_and_slopes("fused", scores.to(dtype), self.SETTINGS["joint symmetric"], order)[1].diagonal()
            for dtype in (torch.float32, torch.float64)
        )
        assert ((ours / right - 1).abs() < (1e-5 if order == 1 else 1e-3)).all()

    @pytest.mark.parametrize("form", ["fused", "plain"])
    def test_the_loss_of_a_row_that_student_and_teacher_hold_for_right(self, form: Any) -> None:
        """It is about what both leave to the others, 1e-8, and no difference of logarithms."""
        taught = {"target_scores": 22 * torch.eye(4), "calibration": 0.0}
        loss = self.value_and_slopes(form, 20 * torch.eye(4), taught, 1)[0]
        left, left_by_teacher = (3 / (math.exp(positive) + 3) for positive in (20, 22))
        right = left_by_teacher * math.log(left_by_teacher / left)
        right += (1 - left_by_teacher) * (math.log1p(-left_by_teacher) - math.log1p(-left))
        assert_close(loss, torch.tensor(right), exponent=22.0)

    @pytest.mark.parametrize("form", ["fused", "plain"])
    def test_small_second_derivatives_of_a_great_loss(self, form: Any) -> None:
        """Of one wrong document above the positive by 12, in p (1 - p), where p is nearly 1."""
        documents = torch.tensor([[0.0, 12.0], [0.0, 0.0]])

        def second(dtype: torch.dtype) -> Tensor:
            given = documents.to(dtype).requires_grad_()
            loss = in_batch_loss(torch.eye(2, dtype=dtype), given, CONSTANT.link, 1.0, form=form, rows=(1, 2))
            (slopes,) = torch.autograd.grad(loss, given, create_graph=True)
            return torch.autograd.grad(slopes[0, 1], given)[0][1, 1]

        assert_close(
            second(torch.float32), second(torch.float64), exponent=12.0, dtype=torch.float32, check_dtype=False
        )

    @pytest.mark.parametrize("setting", ["nothing", "symmetric", "joint symmetric", "little smoothing"])
    @pytest.mark.parametrize("form", ["fused", "plain"])
    def test_gradients_where_differences_of_logits_overflow(self, setting: str, form: Any) -> None:
        documents = 2e38 * torch.tensor([[-1.0, 1.0, 0.5], [1.0, 0.2, 0.3], [0.1, -1.0, 0.4]])
        slopes = self.value_and_slopes(form, documents, self.SETTINGS[setting], 1)[1]
        assert slopes.isfinite().all()

    def test_gradients_of_known_scores_whose_differences_overflow(self) -> None:
        scores = (2e38 * torch.tensor([[-1.0, 1.0], [0.2, 1.0]])).requires_grad_()
        loss = in_batch_loss_of_scores(InBatchSetting(CONSTANT.link, 1.0), scores, 2)
        assert torch.equal(torch.autograd.grad(loss, scores)[0], torch.tensor([[-0.5, 0.5], [0.0, 0.0]]))


@pytest.mark.parametrize("options", [{}, {"form": "plain"}, {"label_smoothing": 0.1}, {"directions": ALL_DIRECTIONS}])
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_second_derivatives_of_texts_that_are_made_of_one_another(options: Options, factor: float) -> None:
    def loss(x: Tensor) -> Tensor:
        return in_batch_loss(x, x if factor == 1 else factor * x, EXPONENTIAL.link, 2.0, **options)

    x = torch.rand(4, 3, dtype=torch.float64, generator=random_inputs.generator(3)).requires_grad_()
    value = loss(x)
    first, with_graph = (
        torch.autograd.grad(value, x, retain_graph=True, create_graph=each)[0] for each in (False, True)
    )
    assert_close(with_graph, first)
    assert torch.autograd.gradgradcheck(loss, x, fast_mode=True)
