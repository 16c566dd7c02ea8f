"""Preferences: what is logged, adapters as reference, means over tokens, a further term; and no logits in memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.functional import logsigmoid
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from selective_st.functional import HiddenStates, output_layer, top_tokens, vocabulary_loss, vocabulary_matching_loss
from selective_st.links import ConstantLink, IdentityLink, Link, SigmoidLink
from selective_st.transformers import (
    PreferenceCollator,
    ReferenceTrainer,
    SelectiveCausalLMLoss,
    SelectivePreferenceLoss,
    without_logits,
)
from tests.test_language_trainer import llama, make_trainer, pairs

VOCABULARY = 11


def batch_of(rows: int = 4, tokens: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels of answers of different lengths, and the reference's logits."""
    generator = torch.Generator().manual_seed(1)
    logits, reference = (torch.randn(rows, tokens, VOCABULARY, generator=generator, dtype=torch.float64) for _ in "ab")
    labels = torch.randint(VOCABULARY, (rows, tokens), generator=generator)
    for row in range(rows):
        labels[row, : 1 + row % 3] = -100
    return logits.requires_grad_(), labels, reference


def log_probs_of(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The sum over an answer's tokens, in a loop, and how many they are."""
    sums, counts = [], []
    for row in range(len(labels)):
        places = [t for t in range(1, labels.shape[1]) if labels[row, t] != -100]
        steps = [torch.log_softmax(logits[row, t - 1], 0)[labels[row, t]] for t in places]
        sums.append(torch.stack(steps).sum())
        counts.append(len(places))
    return torch.stack(sums), torch.tensor(counts)


# --- The loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ["sum", "mean"])
@pytest.mark.parametrize("sft", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["dpo", "ipo"])
def test_sums_and_means_and_a_further_term(measure: Any, sft: float, kind: str) -> None:
    """IPO over the mean of tokens as trl computes it, and the further term of RPO."""
    logits, labels, reference = batch_of()
    (sums, counts), (of_reference, _) = log_probs_of(logits, labels), log_probs_of(reference, labels)
    assert len(set(counts.tolist())) > 1
    ratios = sums - of_reference if measure == "sum" else (sums - of_reference) / counts
    margins, beta = ratios[::2] - ratios[1::2], 0.4
    if kind == "dpo":
        expected, loss = -logsigmoid(beta * margins), SelectivePreferenceLoss(beta=beta, log_probs=measure, sft=sft)
    else:
        expected = beta**2 / 2 * (margins - 1 / (2 * beta)).square()
        loss = SelectivePreferenceLoss(IdentityLink(), beta, target_margin=0.5, log_probs=measure, sft=sft)
    expected = (expected - sft * sums[::2] / counts[::2]).mean()
    given = loss.of_reference({"logits": reference}, labels)
    assert_close(given, of_reference if measure == "sum" else of_reference / counts)
    value = loss({"logits": logits}, labels, reference=given)
    assert_close(value, expected, rtol=1e-9, atol=0)
    ours, theirs = (torch.autograd.grad(each, logits, retain_graph=True)[0] for each in (value, expected))
    assert_close(ours, theirs, rtol=0, atol=1e-10 * float(theirs.abs().max()))
    assert_close(loss.margins({"logits": logits}, labels, given), margins)
    assert (loss.get_config_dict()["log_probs"], loss.get_config_dict()["sft"]) == (measure, sft)


def test_what_is_reported() -> None:
    logits, labels, reference = batch_of()
    for measure, sft in (("sum", 0.0), ("mean", 0.5)):
        loss = SelectivePreferenceLoss(beta=0.4, log_probs=measure, sft=sft)  # type: ignore[arg-type]
        reported: list[dict[str, Tensor]] = []
        given = loss.of_reference({"logits": reference}, labels)
        loss({"logits": logits}, labels, reference=given, report=reported.append)
        (values,) = reported
        ours = loss.of_reference({"logits": logits}, labels).detach()
        rewards = 0.4 * (ours - given)
        expected = {
            "rewards/chosen": rewards[::2],
            "rewards/rejected": rewards[1::2],
            "rewards/margins": rewards[::2] - rewards[1::2],
            "rewards/accuracies": (rewards[::2] > rewards[1::2]).double(),
            "logps/chosen": ours[::2],
            "logps/rejected": ours[1::2],
        }
        if sft:
            sums, counts = log_probs_of(logits.detach(), labels)
            expected["nll_loss"] = -sums[::2] / counts[::2]
        assert set(values) == set(expected)
        for name, value in expected.items():
            assert not values[name].requires_grad
            assert_close(values[name], value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"log_probs": "average"}, ValueError, "log_probs must be one of sum, mean, got 'average'"),
        ({"sft": -0.1}, ValueError, "sft must be a finite number >= 0, got -0.1"),
        ({"sft": "1"}, TypeError, "sft must be a finite number >= 0, got '1'"),
        ({"sft": math.inf}, ValueError, "sft must be a finite number >= 0, got inf"),
    ],
)  # fmt: skip
def test_bad_settings(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^SelectivePreferenceLoss: {message}"):
        SelectivePreferenceLoss(**arguments)


# --- The log ----------------------------------------------------------------------------------------------------------

NAMES = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
)


def test_rewards_stand_in_the_log_as_means_over_pairs(tmp_path: Path) -> None:
    """Over batches of different sizes, accumulated and not; those of an evaluation are metrics to choose by."""
    model = llama()
    settings = {"per_device_train_batch_size": 6, "num_train_epochs": 2, "logging_steps": 1, "eval_strategy": "epoch"}
    trainer: Any = make_trainer(
        "preference", tmp_path, model=model, gradient_accumulation_steps=2, **settings, save_strategy="epoch",
        load_best_model_at_end=True, metric_for_best_model="eval_rewards/margins", greater_is_better=True,
    )  # fmt: skip
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    evaluations = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(evaluations) == 2
    for entry in steps:
        assert set(NAMES) < set(entry)
        assert entry["rewards/margins"] == pytest.approx(entry["rewards/chosen"] - entry["rewards/rejected"], abs=1e-5)
        assert 0 <= entry["rewards/accuracies"] <= 1
    assert steps[0]["rewards/margins"] == pytest.approx(0, abs=1e-5)  # the model is its reference
    assert not any(name.startswith("eval_") for entry in steps for name in entry)
    best = max(entry["eval_rewards/margins"] for entry in evaluations)
    assert trainer.state.best_metric == pytest.approx(best)
    # By hand, over all pairs at once.
    loss = trainer.compute_loss_func
    batch = PreferenceCollator(0)(list(pairs()))
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        ours = loss.of_reference(model.eval()(**inputs), batch["labels"])
        theirs = loss.of_reference(trainer.reference_model(**inputs), batch["labels"])
    rewards = loss.beta * (ours - theirs)
    found = trainer.evaluate()
    assert found["eval_rewards/chosen"] == pytest.approx(float(rewards[::2].mean()), rel=1e-4)
    assert found["eval_rewards/margins"] == pytest.approx(float((rewards[::2] - rewards[1::2]).mean()), rel=1e-4)
    assert found["eval_rewards/accuracies"] == pytest.approx(float((rewards[::2] > rewards[1::2]).double().mean()))
    assert found["eval_logps/rejected"] == pytest.approx(float(ours[1::2].mean()), rel=1e-4)
    assert trainer.predict(pairs()).metrics["test_rewards/chosen"] == pytest.approx(found["eval_rewards/chosen"])


def test_a_distillation_reports_nothing(tmp_path: Path) -> None:
    trainer = make_trainer("distillation", tmp_path, num_train_epochs=1)
    trainer.train()
    assert not any("rewards" in name for entry in trainer.state.log_history for name in entry)


# --- Adapters ---------------------------------------------------------------------------------------------------------


class Adapted(nn.Module):
    """A model with an adapter on its output, as PEFT would make it: off within `disable_adapter()`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.is_on, self.modes = model, True, []  # type: ignore[var-annotated]
        self.config = model.config
        model.requires_grad_(False)
        self.adapter = nn.Parameter(torch.zeros(24))
        self.dropout = nn.Dropout(0.5)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        self.is_on = False
        try:
            yield
        finally:
            self.is_on = True

    def forward(self, **inputs: Any) -> Any:
        outputs = self.model(**inputs)
        self.modes.append((self.is_on, self.training, torch.is_grad_enabled()))
        if self.is_on:
            outputs.logits = outputs.logits + self.dropout(self.adapter)
        return outputs


class Loaded(Adapted):
    """The same, as a model of transformers that has loaded an adapter."""

    disable_adapter = None  # type: ignore[assignment]
    _hf_peft_config_loaded = True

    def disable_adapters(self) -> None:
        self.is_on = False

    def enable_adapters(self) -> None:
        self.is_on = True


def preference_trainer(model: nn.Module, folder: Path, **more: Any) -> ReferenceTrainer:
    arguments = TrainingArguments(
        str(folder), per_device_train_batch_size=4, learning_rate=0.1, max_steps=6, logging_steps=1, report_to="none",
        save_strategy="no", use_cpu=True, disable_tqdm=True, remove_unused_columns=False, seed=1,
        label_names=["labels"],
    )  # fmt: skip
    return ReferenceTrainer(
        model, arguments, train_dataset=pairs(), eval_dataset=pairs(), data_collator=PreferenceCollator(0),
        compute_loss_func=SelectivePreferenceLoss(beta=0.5), **more,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [Adapted, Loaded])
def test_a_model_without_its_adapters_is_the_reference(kind: Any, tmp_path: Path) -> None:
    base = llama()
    model = kind(copy.deepcopy(base))
    trainer = preference_trainer(model, tmp_path)
    before = trainer.evaluate()
    assert before["eval_loss"] == pytest.approx(math.log(2), abs=1e-5)
    model.modes.clear()
    trainer.train()
    # The reference is asked before the model: without adapter, dropout and gradient; the model is as before then.
    assert model.modes[:2] == [(False, False, False), (True, True, True)]
    assert model.is_on
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"] - 0.01
    explicit = preference_trainer(model, tmp_path, reference_model=base).evaluate()
    for name in ("eval_loss", "eval_rewards/margins", "eval_rewards/chosen"):
        assert after[name] == pytest.approx(explicit[name], rel=1e-4)


def test_without_adapters_a_reference_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got no reference to compare with"):
        preference_trainer(llama(), tmp_path).train()


# --- Without logits ---------------------------------------------------------------------------------------------------

LINKS: list[Link] = [ConstantLink(), ConstantLink() + SigmoidLink(2.0, shift=-1.0)]


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_layer, "_BLOCK", 3 * VOCABULARY)  # of three tokens


class Memory(TorchDispatchMode):
    """How many bytes tensors have that are made, at most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(each, Tensor):
                storage = each.untyped_storage()
                self._made[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._made = {place: made for place, made in self._made.items() if not made[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._made.values()))
        return found


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("link", LINKS, ids=repr)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_hidden_states_are_as_good_as_their_logits(link: Link, bias: bool, reduction: Any) -> None:
    torch.manual_seed(0)
    layer, of_teacher = nn.Linear(4, VOCABULARY, bias=bias).double(), nn.Linear(3, VOCABULARY).double()
    hidden = torch.randn(2, 7, 4, dtype=torch.float64, requires_grad=True)
    states = HiddenStates(hidden, layer.weight, layer.bias)
    labels = torch.randint(VOCABULARY, (2, 7))
    labels[0, :3] = labels[1, -1] = -100
    teachers = torch.randn(2, 7, 3, dtype=torch.float64)
    logits = of_teacher(teachers).detach()
    given: list[tuple[Any, Any]] = [
        (logits, logits),
        (top_tokens(logits, 4, link), top_tokens(logits, 4, link)),
        (logits, HiddenStates(teachers, of_teacher.weight, of_teacher.bias)),
    ]
    forms = [
        [
            vocabulary_loss(each, labels, link, 0.7, label_smoothing=0.1, reduction=reduction),
            *(
                vocabulary_matching_loss(
                    each, teacher[place], link, 0.7, calibration=0.3, mask=labels >= 0, reduction=reduction
                )
                for teacher in given
            ),
        ]
        for place, each in enumerate((layer(hidden), states))
    ]
    parameters = [hidden, *layer.parameters()]
    for plain, fused in zip(*forms, strict=True):
        assert_close(fused, plain, rtol=1e-12, atol=1e-14)
        pull = torch.randn(plain.shape, dtype=torch.float64)
        ours, theirs = (
            torch.autograd.grad((each * pull).sum(), parameters, retain_graph=True) for each in (fused, plain)
        )
        for one, other in zip(ours, theirs, strict=True):
            assert other.abs().max() > 0
            assert_close(one, other, rtol=0, atol=1e-12 * float(other.abs().max()))
    for one, other in zip(
        top_tokens(HiddenStates(teachers, of_teacher.weight, of_teacher.bias), 4, link)[:3],
        top_tokens(logits, 4, link)[:3],
        strict=True,
    ):
        assert_close(one, other)


@pytest.mark.parametrize("link", LINKS, ids=repr)
@pytest.mark.slow
def test_the_logits_are_never_in_memory_at_once(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither they nor their gradient, on the way there and on the way back."""
    tokens, vocabulary, block = 400, 200, 2
    monkeypatch.setattr(output_layer, "_BLOCK", block * vocabulary)
    layer = nn.Linear(3, vocabulary, bias=False)
    hidden, labels = torch.randn(tokens, 3, requires_grad=True), torch.randint(vocabulary, (tokens,))
    teachers = torch.randn(tokens, 3)
    of_logits = 4 * tokens * vocabulary
    with Memory() as plain:
        vocabulary_loss(layer(hidden), labels, link).backward()
    assert plain.peak >= 2 * of_logits
    with Memory() as fused:
        vocabulary_loss(HiddenStates(hidden, layer.weight), labels, link).backward()
    assert fused.peak < of_logits / 2
    with Memory() as fused:
        states = HiddenStates(hidden, layer.weight)
        vocabulary_matching_loss(states, HiddenStates(teachers, layer.weight), link).backward()
    assert fused.peak < of_logits / 2


@pytest.mark.usefixtures("_small_blocks")
def test_nothing_that_counts_and_half_precision() -> None:
    layer = nn.Linear(4, VOCABULARY)
    hidden = torch.randn(5, 4, requires_grad=True)
    nothing = vocabulary_loss(HiddenStates(hidden, layer.weight), torch.full((5,), -100), ConstantLink())
    assert nothing == 0
    nothing.backward()
    assert hidden.grad is not None
    assert hidden.grad.abs().sum() == 0
    half = HiddenStates(hidden.detach().bfloat16(), layer.weight, layer.bias)
    labels = torch.arange(5)
    loss = vocabulary_loss(half, labels, ConstantLink())
    assert loss.dtype == torch.float32
    logits = nn.functional.linear(half.hidden, layer.weight.bfloat16(), layer.bias.bfloat16())
    assert_close(loss, vocabulary_loss(logits, labels, ConstantLink()))


def states(tokens: int, vocabulary: int = 3) -> HiddenStates:
    return HiddenStates(torch.ones(tokens, 2), torch.ones(vocabulary, 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: HiddenStates([1.0], torch.ones(3, 2)), TypeError, "hidden must be a torch.Tensor, got list"),  # type: ignore[arg-type]
        (lambda: HiddenStates(torch.ones(4, 2).long(), torch.ones(3, 2)), TypeError, "hidden .* got dtype torch.int64"),
        (lambda: HiddenStates(torch.ones(4, 2), torch.ones(2, 3)), ValueError, r"got \(4, 2\) and \(2, 3\)"),
        (lambda: HiddenStates(torch.ones(2), torch.ones(3, 2)), ValueError, r"got \(2,\) and \(3, 2\)"),
        (lambda: HiddenStates(torch.ones(4, 2), torch.ones(3, 2), torch.ones(2)), ValueError, r"bias .* got \(2,\)"),
        (
            lambda: vocabulary_loss(states(4), torch.ones(3).long(), LINKS[0]),
            ValueError,
            r"labels must have the shape .* \(4,\), got \(3,\)",
        ),
        (
            lambda: vocabulary_loss(states(1), torch.tensor([3]), LINKS[0]),
            ValueError,
            "labels must be indices from 0 to 2",
        ),
        (
            lambda: vocabulary_loss(states(0), torch.ones(0).long(), LINKS[0]),
            ValueError,
            "at least one of each",
        ),
        (
            lambda: vocabulary_matching_loss(torch.ones(4, 3), states(4), LINKS[0]),
            TypeError,
            "teacher must be logits where the student's are, got HiddenStates",
        ),
        (
            lambda: vocabulary_matching_loss(states(4), states(4, 5), LINKS[0]),
            ValueError,
            "need one vocabulary",
        ),
        (
            lambda: vocabulary_matching_loss(states(4), torch.ones(2, 3), LINKS[0]),
            ValueError,
            "teacher must have the shape of logits",
        ),
    ],
)  # fmt: skip
def test_bad_hidden_states(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", ["causal", "distillation", "top tokens", "preference"])
@pytest.mark.slow
def test_training_without_logits_is_training(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_layer, "_BLOCK", 5 * 24)
    trained = []
    for fused in (False, True):
        settings = {"optim": "sgd", "learning_rate": 0.1, "max_steps": 4, "gradient_accumulation_steps": 2}
        model = llama().double()
        trainer: Any = make_trainer(name, tmp_path, model=model, prediction_loss_only=True, **settings)
        others = []
        if name != "causal":
            others = [trainer.reference_model.double()]
        if fused:
            with without_logits(model, *others):
                trainer.train()
                evaluated = trainer.evaluate()["eval_loss"]
        else:
            trainer.train()
            evaluated = trainer.evaluate()["eval_loss"]
        trained.append(({key: value.clone() for key, value in model.state_dict().items()}, evaluated))
        assert isinstance(model(torch.ones(1, 3, dtype=torch.long)).logits, Tensor)  # as before
        assert "forward" not in vars(model.lm_head)
    assert trained[0][1] == pytest.approx(trained[1][1], rel=1e-9)
    for key, value in trained[0][0].items():
        assert_close(trained[1][0][key], value, rtol=1e-8, atol=1e-10)
    assert not torch.equal(trained[0][0]["lm_head.weight"], llama().double().lm_head.weight)


@pytest.mark.slow
def test_tied_weights_and_half_precision_without_logits(tmp_path: Path) -> None:
    found = []
    for fused in (False, True):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=24, n_positions=16, n_embd=16, n_layer=1, n_head=2))
        assert model.lm_head.weight is model.transformer.wte.weight
        trainer = make_trainer("causal", tmp_path, model=model, bf16=True, max_steps=3)
        if fused:
            with without_logits(model):
                trainer.train()
        else:
            trainer.train()
        assert model.lm_head.weight is model.transformer.wte.weight
        found.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert found[0] == pytest.approx(found[1], rel=2e-2)


def test_what_has_no_such_layer() -> None:
    linear = nn.Linear(2, 3)
    with (
        pytest.raises(TypeError, match=r"must have a torch.nn.Linear .* got Linear with NoneType there. Train"),
        without_logits(linear),
    ):
        pass
    model = llama()
    model.lm_head = nn.Sequential(model.lm_head)
    with pytest.raises(TypeError, match="got LlamaForCausalLM with Sequential there"), without_logits(model):
        pass
    model = llama()
    model.config.final_logit_softcapping = 30.0
    changed = r"LlamaForCausalLM changes them \(final_logit_softcapping=30.0\)"
    with pytest.raises(ValueError, match=changed), without_logits(model):
        pass
    assert "forward" not in vars(model.lm_head)


def test_a_plain_trainer_without_logits_learns(tmp_path: Path) -> None:
    trainer = make_trainer("causal", tmp_path, num_train_epochs=8)
    assert type(trainer) is Trainer
    assert isinstance(trainer.compute_loss_func, SelectiveCausalLMLoss)
    before = trainer.evaluate()["eval_loss"]
    with without_logits(trainer.model):  # type: ignore[arg-type]
        trainer.train()
    assert trainer.evaluate()["eval_loss"] < 0.8 * before


# --- Hidden states in other surroundings ------------------------------------------------------------------------------


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_single_precision_is_that_of_the_plain_form(link: Link) -> None:
    torch.manual_seed(2)
    layer, hidden, labels = nn.Linear(4, VOCABULARY), torch.randn(9, 4), torch.arange(9)
    results = []
    for dtype, fused in ((torch.float64, False), (torch.float32, True)):
        weight, bias, rows = (x.detach().to(dtype).requires_grad_() for x in (layer.weight, layer.bias, hidden))
        logits = HiddenStates(rows, weight, bias) if fused else nn.functional.linear(rows, weight, bias)
        loss = vocabulary_loss(logits, labels, link, 0.7, label_smoothing=0.2)
        results.append([loss, *torch.autograd.grad(loss, [rows, weight, bias])])
    for exact, found in zip(*results, strict=True):
        assert found.dtype == torch.float32
        assert_close(found.double(), exact, rtol=0, atol=2e-6 * float(exact.detach().abs().max()))


@pytest.mark.usefixtures("_small_blocks")
def test_a_layer_that_also_makes_the_hidden_states_gets_both_gradients() -> None:
    """Weights tied to the embedding of the tokens; and the gradient of a gradient."""
    table = torch.randn(VOCABULARY, 4, dtype=torch.float64, requires_grad=True)
    tokens, labels = torch.tensor([1, 4, 4, 0, 9]), torch.tensor([4, -100, 0, 9, 1])
    results = []
    for fused in (False, True):
        hidden = torch.tanh(table[tokens])
        logits = HiddenStates(hidden, table) if fused else hidden @ table.T
        loss = vocabulary_loss(logits, labels, LINKS[1])
        (gradient,) = torch.autograd.grad(loss, table, create_graph=True)
        results.append([gradient, torch.autograd.grad(gradient.square().sum(), table)[0]])
    for plain, fused_one in zip(*results, strict=True):
        assert plain.abs().max() > 1e-3
        assert_close(fused_one, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_transforms_of_torch_func(link: Link) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, VOCABULARY).double().requires_grad_(False)
    hidden, labels = torch.randn(2, 5, 4, dtype=torch.float64), torch.randint(VOCABULARY, (2, 5))
    labels[:, 1] = -100

    def fused(rows: Tensor, of_rows: Tensor) -> Tensor:
        return vocabulary_loss(HiddenStates(rows, layer.weight, layer.bias), of_rows, link)

    def plain(rows: Tensor, of_rows: Tensor) -> Tensor:
        return vocabulary_loss(layer(rows), of_rows, link)

    for transform in (torch.func.grad, torch.func.jacrev, lambda f: torch.vmap(torch.func.grad(f))):
        given = (hidden, labels) if transform not in (torch.func.grad, torch.func.jacrev) else (hidden[0], labels[0])
        assert_close(transform(fused)(*given), transform(plain)(*given), rtol=1e-12, atol=1e-14)


def test_blocks_within_blocks_and_layers_that_had_a_forward_of_their_own() -> None:
    model, ids = llama(), torch.ones(1, 3, dtype=torch.long)
    of_layer = type(model.lm_head).forward
    model.lm_head.forward = lambda hidden: of_layer(model.lm_head, hidden)  # as accelerate's hooks
    before = model.lm_head.forward
    with without_logits(model, model):
        assert isinstance(model(ids).logits, HiddenStates)
        with without_logits(model):
            assert isinstance(model(ids).logits, HiddenStates)
        assert isinstance(model(ids).logits, HiddenStates)
    assert model.lm_head.forward is before
    assert isinstance(model(ids).logits, Tensor)


class Scaled(nn.Module):
    """A model that does something to the logits of its layer."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.layer, self.change = nn.Linear(2, 3), change

    def get_output_embeddings(self) -> nn.Module:
        return self.layer

    def forward(self, hidden: Tensor) -> Any:
        return self.change(self.layer(hidden))


@pytest.mark.parametrize(
    "change",
    [
        lambda z: z / 2,
        lambda z: 0.5 * z,
        lambda z: z + torch.ones(3),
        lambda z: torch.ones(3) + z,
        lambda z: z[..., :2],
        lambda z: torch.tanh(z),
    ],
)
def test_a_model_that_changes_its_logits_is_refused(change: Any) -> None:
    model = Scaled(change)
    with without_logits(model), pytest.raises(TypeError):
        model(torch.ones(1, 2, 2))
    assert isinstance(model(torch.ones(1, 2, 2)), Tensor)


def test_what_without_logits_refuses() -> None:
    model = llama()
    mend = r"give the model that is trained, got none\. Write without_logits\(model\)"
    with pytest.raises(ValueError, match=mend), without_logits():
        pass
    with (
        without_logits(model),
        pytest.raises(TypeError, match=r"no logits here.*after the block `with without_logits\(model\)"),
    ):
        model.generate(torch.ones(1, 3, dtype=torch.long), max_new_tokens=1)
