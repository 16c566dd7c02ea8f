"""The callables of language models: identities with the losses they generalise, what they read, bad input."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, logsigmoid
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
from transformers.loss.loss_utils import ForCausalLMLoss
from transformers.modeling_outputs import CausalLMOutput
from transformers.trainer_pt_utils import LabelSmoother

from selective_st.functional import (
    top_tokens,
    vocabulary_log_probabilities,
    vocabulary_loss,
    vocabulary_matching_loss,
)
from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    IdentityLink,
    Link,
    SigmoidLink,
    SinhLink,
    high_scores,
    link_from_config,
    score_region,
)
from selective_st.transformers import (
    PreferenceCollator,
    SelectiveCausalLMLoss,
    SelectiveDistillationLoss,
    SelectivePreferenceLoss,
    probable_tokens,
)
from tests import random_inputs
from tests.tolerances import DTYPES, SCORE, about, assert_close, assert_same_step, largest, rounding

pytestmark = pytest.mark.numerical

ROWS, TOKENS, VOCABULARY = 4, 7, 13


LOGIT = 20.0  # no logit is larger, once centred


def make_logits(dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    values = torch.randn(ROWS, TOKENS, VOCABULARY, generator=random_inputs.generator(seed)) * 2
    return values.to(dtype).requires_grad_()


def make_labels(ignored: int = -100) -> Tensor:
    labels = torch.randint(VOCABULARY, (ROWS, TOKENS), generator=random_inputs.generator(1))
    labels[0, :3] = labels[2, 5:] = ignored
    return labels


def assert_same(ours: Tensor, theirs: Tensor, z: Tensor, exponent: float = LOGIT) -> None:
    assert ours.shape == ()
    steps = (
        [loss.detach(), *torch.autograd.grad(loss, z, retain_graph=True)] for loss in (ours, theirs.to(ours.dtype))
    )
    assert_same_step(*steps, exponent=exponent)


# --- The next token ---------------------------------------------------------------------------------------------------

COUNTS: list[Any] = [None, 17, 23.0, torch.tensor(40), torch.tensor([[31.0]])]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", COUNTS, ids=str)
@pytest.mark.parametrize("center", ["logsumexp", None])
def test_the_next_token_is_what_a_causal_model_computes_itself(dtype: torch.dtype, count: Any, center: Any) -> None:
    z, labels = make_logits(dtype), make_labels()
    theirs = cross_entropy(
        z[:, :-1].reshape(-1, VOCABULARY), labels[:, 1:].reshape(-1), reduction="mean" if count is None else "sum"
    )
    theirs = theirs if count is None else theirs / torch.as_tensor(count).flatten()[0]
    ours = SelectiveCausalLMLoss(ConstantLink(), center=center)(CausalLMOutput(logits=z), labels, count)
    assert_same(ours, theirs, z)
    if dtype == torch.float32 and not isinstance(count, Tensor):
        built_in = ForCausalLMLoss(z, labels, VOCABULARY, num_items_in_batch=count)
        assert_close(ours, built_in, exponent=LOGIT)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("ignored", [-100, 5])
@pytest.mark.parametrize("shift", [True, False])
def test_with_label_smoothing_it_is_the_label_smoother(
    dtype: torch.dtype, epsilon: float, ignored: int, shift: bool
) -> None:
    z, labels = make_logits(dtype), make_labels(ignored)
    theirs = LabelSmoother(epsilon, ignored)({"logits": z}, labels.clone(), shift_labels=shift)
    if dtype == torch.float64 and epsilon:  # of which it adds up a part in single precision; so its formula here
        logits, targets = (z[:, :-1], labels[:, 1:]) if shift else (z, labels)
        each, counts = -logits.log_softmax(-1), targets != ignored
        nll = each.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)[counts].mean()
        exact = (1 - epsilon) * nll + epsilon * each[counts].mean()
        assert_close(exact, theirs, dtype=torch.float32)
        theirs = exact
    loss = SelectiveCausalLMLoss(ConstantLink(), ignore_index=ignored, label_smoothing=epsilon, shift_labels=shift)
    assert_same(loss({"logits": z}, labels), theirs, z)
    counted = (labels[:, 1:] if shift else labels).ne(ignored).sum()
    assert_same(loss((z, "more"), labels, 3 * counted), theirs / 3, z)


@pytest.mark.parametrize("link", [None, ExponentialLink(0.2), IdentityLink() + 30 * ConstantLink()], ids=str)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_with_a_link_it_is_the_cross_entropy_of_the_composite_softmax(link: Link | None, temperature: float) -> None:
    z, labels = make_logits(), make_labels()
    loss = SelectiveCausalLMLoss(link, temperature)
    scores = z - z.logsumexp(-1, keepdim=True)
    composite = loss.link.potential(scores) / temperature
    theirs = cross_entropy(composite[:, :-1].reshape(-1, VOCABULARY), labels[:, 1:].reshape(-1))
    assert_same(loss({"logits": z}, labels), theirs, z, largest(composite))
    assert_close(loss.log_probabilities(z), composite.log_softmax(-1), exponent=largest(composite))


def test_half_precision() -> None:
    labels, loss = make_labels(), SelectiveCausalLMLoss()
    for dtype in (torch.bfloat16, torch.float16):
        z = make_logits(dtype)
        exact = z.detach().float().requires_grad_()
        ours, theirs = loss({"logits": z}, labels), loss({"logits": exact}, labels)
        assert ours.dtype == torch.float32
        assert_close(ours, theirs, SCORE)
        with torch.autocast("cpu", torch.bfloat16):
            assert_close(loss({"logits": z}, labels), theirs, SCORE)
        (found,), (expected,) = torch.autograd.grad(ours, z), torch.autograd.grad(theirs, exact)
        assert found.dtype == dtype
        assert_close(found, expected.to(dtype), 3)


def test_the_default_link_is_safe() -> None:
    link = probable_tokens()
    z = torch.linspace(-1e4, 1e4, 20001, dtype=torch.float64)
    values = link(z)
    assert (values > 0.5).all()
    assert (values.diff() >= 0).all()
    assert link.potential(z).isfinite().all()
    strength = float(link(torch.tensor(50.0)) / link(torch.tensor(-50.0)))
    assert strength == about(3.0, torch.float32)
    nodes = torch.linspace(math.log(1e-4), 0, 20001, dtype=torch.float64)
    assert float(torch.trapezoid(link(nodes), nodes)) / -math.log(1e-4) == pytest.approx(1.0, rel=1 / len(nodes))
    z = make_logits(torch.float32).detach() * 1e4
    for center in ("logsumexp", None):
        logits = z.clone().requires_grad_()
        loss = SelectiveCausalLMLoss(center=center)({"logits": logits}, make_labels())
        assert loss.isfinite()
        assert torch.autograd.grad(loss, logits)[0].isfinite().all()


# --- A teacher --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [None, 50])
@pytest.mark.parametrize("calibration", [0.0, 1.0])
def test_distillation_is_the_kl_divergence(dtype: torch.dtype, count: int | None, calibration: float) -> None:
    z, teacher, labels, temperature = make_logits(dtype), make_logits(dtype, 3).detach(), make_labels(), 2.0
    log_r, log_q = (torch.log_softmax(logits[:, :-1] / temperature, -1) for logits in (z, teacher))
    each = kl_div(log_r, log_q, log_target=True, reduction="none").sum(-1)
    counts = labels[:, 1:] != -100
    theirs = each[counts].sum() / (counts.sum() if count is None else count)
    loss = SelectiveDistillationLoss(ConstantLink(), temperature, calibration)
    assert_same(loss({"logits": z}, labels, count, reference=teacher), theirs, z)
    assert_same(loss({"logits": z, "teacher_logits": teacher}, labels, count), theirs, z)


def test_a_distilled_student_stands_for_its_plain_softmax() -> None:
    """The teacher's logits themselves have the loss 0, so that no other probabilities may be offered for it."""
    loss = SelectiveDistillationLoss(temperature=2.0)
    z = make_logits(seed=3)
    value = loss({"logits": z}, LABELS, reference=TEACHER)
    assert_close(value, torch.zeros_like(value), size=1.0)
    (gradient,) = torch.autograd.grad(value, z)
    assert_close(gradient, torch.zeros_like(gradient), exponent=LOGIT, size=1 / ROWS)
    assert not hasattr(loss, "log_probabilities")
    assert not hasattr(loss, "logits_processor")


def test_any_mapping_may_hold_the_teachers_logits() -> None:
    z = make_logits()
    outputs = UserDict(logits=z, teacher_logits=TEACHER)
    assert_close(DISTIL(outputs, LABELS), DISTIL({"logits": z}, LABELS, reference=TEACHER))


@pytest.mark.parametrize("above", [0.05, 0.5, 0.9])
def test_the_strength_of_the_default_link(above: float) -> None:
    link, ends = probable_tokens(3.0, above), torch.tensor([0.0, -200.0], dtype=torch.float64)
    most, least = link(ends)
    assert_close(most / least, torch.tensor(1 + 2 / (1 + above), dtype=torch.float64))


def test_distillation_with_the_top_tokens() -> None:
    z, teacher, labels = make_logits(), make_logits(seed=3).detach(), make_labels()
    for link in (ConstantLink(), None):
        found = {}
        for top_k in (1, 5, VOCABULARY - 1, VOCABULARY, 99, None):
            loss = SelectiveDistillationLoss(link, 2.0, 0.5, ExponentialLink(0.5), top_k=top_k)
            found[top_k] = loss({"logits": z}, labels, reference=teacher)
            cut = loss.of_reference({"logits": teacher}, labels)
            assert isinstance(cut, Tensor) == (top_k in (VOCABULARY, 99, None))
            assert torch.equal(loss({"logits": z}, labels, reference=cut), found[top_k])
            assert loss({"logits": teacher}, labels, reference=cut).abs() <= rounding(torch.float64, exponent=LOGIT)
        assert 0 < found[1] < found[5] < found[VOCABULARY - 1] < found[None]
        assert found[None] == found[VOCABULARY] == found[99]


# --- Preferences ------------------------------------------------------------------------------------------------------


def log_probs(z: Tensor, labels: Tensor) -> Tensor:
    """A row's log-probability, token by token."""
    rows = []
    for row, tokens in zip(z, labels, strict=True):
        each = [row[t].log_softmax(-1)[tokens[t + 1]] for t in range(TOKENS - 1) if tokens[t + 1] != -100]
        rows.append(torch.stack(each).sum())
    return torch.stack(rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("count", [None, 6])
def test_preferences_are_dpo_and_ipo(dtype: torch.dtype, beta: float, count: int | None) -> None:
    z, labels, reference_logits = make_logits(dtype), make_labels(), make_logits(dtype, 4).detach()
    policy, reference = log_probs(z, labels), log_probs(reference_logits, labels)
    chosen, rejected, reference_chosen, reference_rejected = policy[::2], policy[1::2], reference[::2], reference[1::2]
    # As in the papers, and in the library that everybody trains preferences with.
    log_ratios = (chosen - rejected) - (reference_chosen - reference_rejected)
    pairs = len(chosen) if count is None else count
    dpo = -logsigmoid(beta * log_ratios).sum() / pairs
    smooth = (-0.8 * logsigmoid(beta * log_ratios) - 0.2 * logsigmoid(-beta * log_ratios)).sum() / pairs
    ipo = (log_ratios - 1 / (2 * beta)).square().sum() / pairs

    def ours(loss: SelectivePreferenceLoss) -> Tensor:
        given = loss.of_reference({"logits": reference_logits}, labels)
        assert_close(given, reference)
        assert_close(loss.margins({"logits": z}, labels, given), log_ratios, size=largest(policy, reference))
        return loss({"logits": z}, labels, count, reference=given)

    def assert_preferred(ours: Tensor, theirs: Tensor) -> None:
        """Up to the rounding of the log-probabilities of whole rows, of which the margins are differences."""
        steps = ([value.detach(), *torch.autograd.grad(value, z, retain_graph=True)] for value in (ours, theirs))
        assert_same_step(*steps, exponent=beta * largest(policy, reference))

    for loss, theirs in (
        (SelectivePreferenceLoss(beta=beta), dpo),
        (SelectivePreferenceLoss(SigmoidLink(), beta, target_value=1.0), dpo),
        (SelectivePreferenceLoss(IdentityLink(), beta, target_margin=0.5), beta**2 / 2 * ipo),
        (SelectivePreferenceLoss(IdentityLink(), beta, target_value=0.5), beta**2 / 2 * ipo),
    ):
        value = ours(loss)
        assert_preferred(value, theirs)
    value = ours(SelectivePreferenceLoss(beta=beta, target_value=0.8))
    entropy = -0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    assert_preferred(value + entropy * len(chosen) / pairs, smooth)


def test_pairs_are_collated_side_by_side() -> None:
    rows = [
        {"prompt_ids": [3, 4], "chosen_ids": [5], "rejected_ids": [6, 7, 1], "reference_log_probs": [-1.0, -2.5]},
        {"prompt_ids": [8], "chosen_ids": [9, 1], "rejected_ids": [1], "reference_log_probs": [-3.0, -0.5]},
    ]
    batch = PreferenceCollator(0)(rows)
    assert batch["input_ids"].tolist() == [[3, 4, 5, 0, 0], [3, 4, 6, 7, 1], [8, 9, 1, 0, 0], [8, 1, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5, [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]
    ignored = -100
    assert batch["labels"].tolist() == [
        [ignored, ignored, 5, ignored, ignored],
        [ignored, ignored, 6, 7, 1],
        [ignored, 9, 1, ignored, ignored],
        [ignored, 1, ignored, ignored, ignored],
    ]
    assert batch["reference_log_probs"].tolist() == [-1.0, -2.5, -3.0, -0.5]
    assert set(PreferenceCollator(0)([{name: rows[0][name] for name in list(rows[0])[:3]}])) == set(batch) - {
        "reference_log_probs"
    }


# --- What holds for all -----------------------------------------------------------------------------------------------

EACH: dict[str, Callable[[], Any]] = {
    "causal": lambda: SelectiveCausalLMLoss(ExponentialLink(0.3), 0.7, 5, 0.1, False, center=None),
    "distillation": lambda: SelectiveDistillationLoss(
        probable_tokens(5.0), 2.0, 0.3, SinhLink(0.5), top_k=7, ignore_index=3, shift_labels=False, center=None
    ),
    "preference": lambda: SelectivePreferenceLoss(IdentityLink(), 0.2, target_margin=0.5, ignore_index=3),
    "preference by value": lambda: SelectivePreferenceLoss(target_value=0.9, shift_labels=False),
}


@pytest.mark.parametrize("name", EACH)
def test_the_config_is_json_and_makes_the_same_loss(name: str) -> None:
    loss = EACH[name]()
    config = json.loads(json.dumps(loss.get_config_dict()))
    assert all(getattr(loss, key) == value for key, value in config.items() if not key.endswith("link"))
    arguments = {key: link_from_config(value) if key.endswith("link") else value for key, value in config.items()}
    again = type(loss)(**arguments)
    assert again.get_config_dict() == loss.get_config_dict()
    assert "eprint={2506.04446}" in loss.citation
    expected = {"distillation": ["1503.02531"], "preference": ["2305.18290", "2310.12036"]}
    for paper in expected.get(name, []):
        assert f"eprint={{{paper}}}" in loss.citation


@pytest.mark.slow
def test_importing_the_library_does_not_import_transformers() -> None:
    code = (
        "import sys, selective_st, selective_st.links, selective_st.functional; sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Decreasing(Link):
    def h(self, z: Tensor) -> Tensor:
        return -z


class NotANumber(Link):
    def h(self, z: Tensor) -> Tensor:
        return torch.log(z)


LOGITS, LABELS = {"logits": make_logits().detach()}, make_labels()
TEACHER = make_logits(seed=3).detach()
NOTHING = torch.full_like(LABELS, -100)
CAUSAL, DISTIL = SelectiveCausalLMLoss(ConstantLink()), SelectiveDistillationLoss(ConstantLink())
PREFER = SelectivePreferenceLoss()
PER_ROW = torch.zeros(ROWS)
PAIR = {"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3]}
ERRORS: list[tuple[type[Exception], str, Callable[[], object]]] = [
    (TypeError, r"link must be a Link.*Make one: ConstantLink", lambda: SelectiveCausalLMLoss(ConstantLink)),  # type: ignore[arg-type]
    (ValueError, "must be nondecreasing", lambda: SelectiveCausalLMLoss(Decreasing())),
    (ValueError, "is NaN", lambda: SelectiveCausalLMLoss(NotANumber())),
    (ValueError, "must not be negative", lambda: SelectiveCausalLMLoss(IdentityLink())(LOGITS, LABELS)),
    (ValueError, "temperature must be", lambda: SelectiveCausalLMLoss(temperature=0.0)),
    (ValueError, "temperature must be", lambda: SelectiveCausalLMLoss(temperature=math.nan)),
    (ValueError, "label_smoothing must be", lambda: SelectiveCausalLMLoss(label_smoothing=1.1)),
    (ValueError, "center must be one of", lambda: SelectiveCausalLMLoss(center="max")),  # type: ignore[arg-type]
    (TypeError, "ignore_index must be", lambda: SelectiveCausalLMLoss(ignore_index=1.0)),  # type: ignore[arg-type]
    (TypeError, "shift_labels must be", lambda: SelectiveCausalLMLoss(shift_labels=1)),  # type: ignore[arg-type]
    (TypeError, "shift_labels must be", lambda: SelectivePreferenceLoss(shift_labels="no")),  # type: ignore[arg-type]
    (TypeError, "token ids.*got NoneType.*DataCollator", lambda: CAUSAL(LOGITS, None)),
    (TypeError, "labels must be a tensor of token ids", lambda: CAUSAL(LOGITS, LABELS.float())),
    (ValueError, r"labels .* \(4, 7\), got \(4, 6\)\. .*logits_to_keep", lambda: CAUSAL(LOGITS, LABELS[:, 1:])),
    (ValueError, r"labels .* \(4, 7\), got \(7,\)", lambda: CAUSAL(LOGITS, LABELS[0])),
    (ValueError, r"labels .* \(4, 7\), got \(4, 6\)", lambda: DISTIL(LOGITS, LABELS[:, 1:], reference=TEACHER)),
    (TypeError, "ignore_index must be of type int", lambda: PreferenceCollator(0, 2.5)),  # type: ignore[arg-type]
    (
        ValueError,
        r"reference must be a tensor of floats.*got torch\.int64 of shape \(4,\)",
        lambda: PREFER(LOGITS, LABELS, reference=torch.arange(4)),
    ),
    (ValueError, "labels must be indices from 0 to 12", lambda: CAUSAL(LOGITS, LABELS + 5)),
    (ValueError, r"All labels are -100.*dataset\.filter", lambda: CAUSAL(LOGITS, NOTHING)),
    (ValueError, "nothing in the batch counts", lambda: CAUSAL(LOGITS, LABELS, torch.tensor(0))),
    (TypeError, "got {'loss': 1}", lambda: CAUSAL({"loss": 1}, LABELS)),
    (TypeError, r"got \('a',\)", lambda: CAUSAL(("a",), LABELS)),
    (TypeError, "got namespace", lambda: CAUSAL(SimpleNamespace(), LABELS)),
    (ValueError, "at least one of each", lambda: CAUSAL({"logits": TEACHER[:0]}, LABELS[:0])),
    (ValueError, r"Use ReferenceTrainer\(", lambda: DISTIL(LOGITS, LABELS)),
    (ValueError, "one vocabulary", lambda: DISTIL(LOGITS, LABELS, reference=TEACHER[..., 1:])),
    (
        ValueError,
        "one vocabulary",
        lambda: SelectiveDistillationLoss(top_k=2)(LOGITS, LABELS, reference=TEACHER[..., 1:]),
    ),
    (ValueError, "must have the shape of logits", lambda: DISTIL(LOGITS, LABELS, reference=TEACHER[1:])),
    (ValueError, "All labels are -100", lambda: DISTIL(LOGITS, NOTHING, reference=TEACHER)),
    (TypeError, r"token ids.*got torch\.float64", lambda: DISTIL(LOGITS, TEACHER, reference=TEACHER)),
    (TypeError, "token ids.*got NoneType.*DataCollator", lambda: DISTIL(LOGITS, None, reference=TEACHER)),
    (ValueError, "top_k must be", lambda: SelectiveDistillationLoss(top_k=0)),
    (ValueError, "calibration must be", lambda: SelectiveDistillationLoss(calibration=-1)),
    (TypeError, "calibration_link must be a Link", lambda: SelectiveDistillationLoss(calibration_link="x")),  # type: ignore[arg-type]
    (ValueError, "must be nondecreasing", lambda: SelectiveDistillationLoss(calibration_link=Decreasing())),
    (ValueError, "must have a slope", lambda: SelectivePreferenceLoss(ConstantLink())),
    (ValueError, "exclude each other", lambda: SelectivePreferenceLoss(target_value=1, target_margin=1)),
    (ValueError, r"target_value must lie within \[0, 1\]", lambda: SelectivePreferenceLoss(target_value=1.5)),
    (ValueError, "target_margin must be", lambda: SelectivePreferenceLoss(target_margin=math.inf)),
    (ValueError, "beta must be", lambda: SelectivePreferenceLoss(beta=0)),
    (ValueError, "must be nondecreasing", lambda: SelectivePreferenceLoss(Decreasing())),
    (ValueError, r"Use ReferenceTrainer\(", lambda: PREFER(LOGITS, LABELS)),
    (ValueError, "must be pairs.*got 3 rows", lambda: PREFER({"logits": TEACHER[:3]}, LABELS[:3], reference=PER_ROW)),
    (
        ValueError,
        r"a label that counts.*got 4 rows, of which 4 have none \[0, 1, 2, 3\]",
        lambda: PREFER(LOGITS, NOTHING, reference=PER_ROW),
    ),
    (ValueError, r"of shape \(4,\), got .*\(2,\)", lambda: PREFER(LOGITS, LABELS, reference=PER_ROW[:2])),
    (ValueError, "reference must be a tensor.*got list", lambda: PREFER(LOGITS, LABELS, reference=[0.0])),  # type: ignore[arg-type]
    (TypeError, "pad_token_id must be of type int, got None", lambda: PreferenceCollator(None)),  # type: ignore[arg-type]
    (ValueError, "row 0 lacks rejected_ids", lambda: PreferenceCollator(0)([{"prompt_ids": [], "chosen_ids": []}])),
    (ValueError, "row 0 lacks chosen_ids", lambda: PreferenceCollator(0)([{**PAIR, "chosen_ids": None}])),
    (
        ValueError,
        "row 1 lacks reference_log_probs",
        lambda: PreferenceCollator(0)(
            [{**PAIR, "reference_log_probs": [0.0, 0.0]}, PAIR | {"reference_log_probs": None}]
        ),
    ),
    (
        ValueError,
        "row 1 lacks reference_log_probs",
        lambda: PreferenceCollator(0)([{**PAIR, "reference_log_probs": [0.0, 0.0]}, PAIR]),
    ),
    (ValueError, "strength must be above 1", lambda: probable_tokens(1.0)),
    (ValueError, "above must be", lambda: probable_tokens(above=0.0)),
]


@pytest.mark.parametrize(("kind", "message", "call"), ERRORS, ids=[f"{i}" for i in range(len(ERRORS))])
def test_bad_input(kind: type[Exception], message: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_a_step_without_a_label_that_counts_is_0_beside_steps_with_some() -> None:
    z = make_logits()
    for loss in (CAUSAL, DISTIL):
        value = loss({"logits": z}, NOTHING, 12, **({} if loss is CAUSAL else {"reference": TEACHER}))
        assert value == 0
        assert (torch.autograd.grad(value, z)[0] == 0).all()


class Arctan(Link):
    def h(self, z: Tensor) -> Tensor:
        return torch.atan(z)


class TestForbiddenTokens:
    """A logit of minus infinity forbids a token; no link may give it a probability back."""

    LINKS = (
        ConstantLink(),
        ExponentialLink(1.0),
        probable_tokens(),
        SigmoidLink(2.0, -1.0),
        high_scores(3.0, (-5.0, 0.0)),
        score_region(-3.0, -1.0, score_range=(-8.0, 0.0)) + 2 * ConstantLink(),
        ExponentialLink(1.0).linear_outside(-4.0, None) + ConstantLink(),
        Arctan() + 2 * ConstantLink(),
    )

    @pytest.mark.parametrize("center", ["logsumexp", None])
    @pytest.mark.parametrize("link", LINKS, ids=repr)
    def test_they_stay_forbidden_and_the_rest_is_renormalised(self, link: Link, center: Any) -> None:
        logits = torch.tensor([[0.0, 1.0, -math.inf, -0.5], [-math.inf, 0.3, -math.inf, -2.0]])
        loss = SelectiveCausalLMLoss(link, 0.7, center=center)
        (processor,) = loss.logits_processor()
        for given in (logits, logits.double(), logits.bfloat16()):
            found = processor(torch.zeros(2, 1, dtype=torch.long), given)  # type: ignore[arg-type]
            assert torch.equal(found.isneginf(), logits.isneginf())
            assert_close(found.exp().sum(-1), torch.ones(2, dtype=found.dtype))
        for row in logits:
            allowed = row > -math.inf
            expected = vocabulary_log_probabilities(row[allowed][None], link, 0.7, center=center)
            assert_close(vocabulary_log_probabilities(row[None], link, 0.7, center=center)[:, allowed], expected)

    @pytest.mark.parametrize("link", LINKS, ids=repr)
    def test_losses_and_gradients_are_those_of_the_others(self, link: Link) -> None:
        logits = make_logits().detach().double()[..., :8].requires_grad_()
        teacher = make_logits(seed=3).detach().double()[..., :8]
        labels = LABELS.clamp(max=6)
        forbidden = torch.full_like(logits[..., :1], -math.inf)
        for of in (
            lambda z, t: vocabulary_loss(z, labels, link, 0.7),
            lambda z, t: vocabulary_matching_loss(z, t, link, 0.7, mask=labels >= 0),
            lambda z, t: vocabulary_matching_loss(z, top_tokens(t, 3, link, 0.7), link, 0.7, mask=labels >= 0),
        ):
            expected = of(logits, teacher)
            wide = torch.cat([logits, forbidden], -1)
            loss = of(wide, torch.cat([teacher, forbidden], -1))
            assert_close(loss, expected)
            for create_graph in (False, True):
                gradients = [
                    torch.autograd.grad(x, logits, create_graph=create_graph, retain_graph=True)[0]
                    for x in (loss, expected)
                ]
                assert not gradients[0].isnan().any()
                assert_close(*gradients)

    def test_generation(self) -> None:
        """With tokens that are suppressed: none of them is drawn."""
        torch.manual_seed(random_inputs.seed_of(0))
        config = GPT2Config(
            vocab_size=12, n_positions=40, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=None
        )
        model = GPT2LMHeadModel(config).eval()
        suppressed = list(range(3, 12))
        tokens = model.generate(
            torch.zeros(4, 1, dtype=torch.long),
            attention_mask=torch.ones(4, 1, dtype=torch.long),
            do_sample=True,
            max_new_tokens=12,
            suppress_tokens=suppressed,
            pad_token_id=0,
            logits_processor=SelectiveCausalLMLoss(ExponentialLink(1.0)).logits_processor(),
        )
        assert not torch.isin(tokens, torch.tensor(suppressed)).any()


class TestAnEvaluationWithoutLabels:
    @pytest.mark.parametrize("items", [None, torch.tensor(0), 0])
    def test_is_0_and_says_so(self, items: Any, caplog: pytest.LogCaptureFixture) -> None:
        for call in (
            lambda: CAUSAL(LOGITS, NOTHING, items),
            lambda: DISTIL(LOGITS, NOTHING, items, reference=TEACHER),
        ):
            with torch.no_grad(), caplog.at_level(logging.WARNING):
                assert float(call()) == 0
            assert "In this evaluation the batch has the loss 0" in caplog.text
            caplog.clear()
            with pytest.raises(ValueError, match="nothing in the batch counts"):
                call()

    def test_a_training_goes_on(self, tmp_path: Path) -> None:
        torch.manual_seed(random_inputs.seed_of(0))
        config = GPT2Config(vocab_size=12, n_positions=8, n_embd=8, n_layer=1, n_head=1)
        rows = [{"input_ids": [1, 2, 3, 4], "labels": [1, 2, 3, 4]} for _ in range(8)]
        unlabelled = [{"input_ids": [1, 2, 3, 4], "labels": [-100] * 4} for _ in range(2)]
        trainer = Trainer(
            GPT2LMHeadModel(config),
            TrainingArguments(
                str(tmp_path),
                max_steps=4,
                per_device_train_batch_size=2,
                per_device_eval_batch_size=2,
                eval_strategy="steps",
                eval_steps=2,
                save_strategy="no",
                report_to="none",
                use_cpu=True,
            ),
            train_dataset=rows,  # type: ignore[arg-type]
            eval_dataset=[*rows, *unlabelled],  # type: ignore[arg-type]
            data_collator=lambda batch: {name: torch.tensor([row[name] for row in batch]) for name in batch[0]},
            compute_loss_func=SelectiveCausalLMLoss(),
        )
        trainer.train()
        assert trainer.state.global_step == 4
        losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
        assert len(losses) == 2
        assert all(math.isfinite(loss) and loss > 0 for loss in losses)
