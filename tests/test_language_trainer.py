"""A tiny causal model learns with each loss, through the Trainer of transformers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.modeling_outputs import CausalLMOutput

from selective_st.links import ConstantLink, ExponentialLink
from selective_st.transformers import (
    PreferenceCollator,
    ReferenceTrainer,
    SelectiveCausalLMLoss,
    SelectiveDistillationLoss,
    SelectivePreferenceLoss,
)
from tests import random_inputs
from tests.tolerances import LOGGED, SCORE, about, assert_close, operations_of, rounding

VOCABULARY, LENGTH = 24, 10
LOSSES = {
    "causal": SelectiveCausalLMLoss,
    "distillation": SelectiveDistillationLoss,
    "top tokens": lambda **settings: SelectiveDistillationLoss(top_k=5, **settings),
    "preference": lambda: SelectivePreferenceLoss(beta=0.5),
}


def llama(seed: int = 0, **sizes: int) -> LlamaForCausalLM:
    torch.manual_seed(random_inputs.seed_of(seed))
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, **sizes}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=32, pad_token_id=0, **sizes))


def teacher() -> LlamaForCausalLM:
    """Sharper than a random model, so that there is something to learn of it."""
    model = llama(seed=7)
    model.lm_head.weight.data.mul_(30)
    return model


def texts(rows: int = 16) -> Dataset:
    """Token n is followed by n + 1, mostly; some labels do not count, a different number in each row."""
    generator = random_inputs.generator(3)
    start = torch.randint(2, VOCABULARY, (rows, 1), generator=generator)
    tokens = (start + torch.arange(LENGTH)) % (VOCABULARY - 2) + 2
    labels = tokens.clone()
    for row in range(rows):
        labels[row, : row % 5] = -100
    return Dataset.from_dict(
        {"input_ids": tokens.tolist(), "attention_mask": [[1] * LENGTH] * rows, "labels": labels.tolist()}
    )


def pairs(rows: int = 16) -> Dataset:
    """The answer that counts on is chosen, the one that counts back rejected."""
    found = []
    for row in range(rows):
        start = 6 + row % 10
        found.append(
            {
                "prompt_ids": [start, start + 1],
                "chosen_ids": [start + 2, start + 3, 1][: 2 + row % 2],
                "rejected_ids": [start, start - 1, start - 2, 1],
            }
        )
    return Dataset.from_list(found)


def make_trainer(name: str, folder: Path, loss: Any = None, model: nn.Module | None = None, **settings: Any) -> Trainer:
    model = llama() if model is None else model
    is_preference, is_causal = name == "preference", name == "causal"
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "learning_rate": 1e-2,
        "num_train_epochs": 6,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 1,
        "remove_unused_columns": not is_preference,
        **settings,
    }
    data = pairs() if is_preference else texts()
    more = {} if is_causal else {"reference_model": copy.deepcopy(model) if is_preference else teacher()}
    return (Trainer if is_causal else ReferenceTrainer)(
        model=model,
        args=TrainingArguments(**given),
        train_dataset=data,
        eval_dataset=data,
        compute_loss_func=LOSSES[name]() if loss is None else loss,
        **({"data_collator": PreferenceCollator(0)} if is_preference else {}),
        **more,
    )


def logged(trainer: Trainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_it_learns(name: str, half: bool, tmp_path: Path) -> None:
    trainer = make_trainer(name, tmp_path, bf16=half, num_train_epochs=12)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    losses = logged(trainer)
    assert after < 0.7 * before
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    if name == "preference":
        assert before == pytest.approx(
            0.6931, abs=rounding(torch.bfloat16, 1) if half else LOGGED
        )  # log 2: the model is its reference
    if name != "causal":
        reference = trainer.reference_model
        assert all(parameter.grad is None for parameter in reference.parameters())
        assert not reference.training
        start = teacher() if name != "preference" else llama()
        for ours, theirs in zip(reference.parameters(), start.parameters(), strict=True):
            assert torch.equal(ours, theirs)  # it was not trained


def trained(name: str, folder: Path, **settings: Any) -> dict[str, Tensor]:
    settings = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 1e9, **settings}
    trainer = make_trainer(name, folder, model=llama().double(), max_steps=2, **settings)
    if name != "causal":
        trainer.reference_model.double()
    trainer.train()
    return {key: value.detach().clone() for key, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.slow
def test_accumulated_steps_are_one_large_batch(name: str, tmp_path: Path) -> None:
    whole = trained(name, tmp_path, per_device_train_batch_size=8)
    parts = trained(name, tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    start = llama().double().state_dict()
    operations = operations_of(llama())
    for key, value in whole.items():
        assert_close(parts[key], value, operations)
    assert max(float((whole[key] - start[key]).abs().max()) for key in whole) > 1e-3
    if name != "preference":  # texts with few labels that count do not count more
        mean = trained(name, tmp_path, per_device_train_batch_size=4)
        assert max(float((mean[key] - whole[key]).abs().max()) for key in whole) > 1e-6


def test_a_constant_link_trains_as_the_model_does_by_itself(tmp_path: Path) -> None:
    # Plain descent: Adam divides out the size of a gradient, and so magnifies the rounding of a small one.
    settings = {"gradient_accumulation_steps": 2, "num_train_epochs": 2, "optim": "sgd", "learning_rate": 0.1}
    ours = make_trainer("causal", tmp_path, SelectiveCausalLMLoss(ConstantLink()), **settings)
    theirs = make_trainer("causal", tmp_path, **settings)
    theirs.compute_loss_func = None
    for trainer in (ours, theirs):
        trainer.train()
    assert logged(ours) == pytest.approx(logged(theirs), abs=LOGGED)
    assert ours.evaluate()["eval_loss"] == pytest.approx(theirs.evaluate()["eval_loss"], rel=LOGGED)
    for one, other in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        assert_close(one, other, operations_of(ours.model))


def test_label_smoothing_trains_as_that_of_the_trainer(tmp_path: Path) -> None:
    ours = make_trainer("causal", tmp_path, SelectiveCausalLMLoss(ConstantLink(), label_smoothing=0.1))
    theirs = make_trainer("causal", tmp_path, label_smoothing_factor=0.1)
    theirs.compute_loss_func = None
    # In transformers 5.0 the first label of a text is counted by the Trainer, but not by its LabelSmoother.
    batch = ours.data_collator([dict(texts()[row]) for row in range(4)])
    counted = (batch["labels"][:, 1:] != -100).sum()
    found = [trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=counted) for trainer in (ours, theirs)]
    assert_close(found[0], found[1])


@pytest.mark.parametrize("name", LOSSES)
def test_it_goes_on_from_a_checkpoint(name: str, tmp_path: Path) -> None:
    settings = {"save_strategy": "steps", "save_steps": 3, "max_steps": 6}
    straight = make_trainer(name, tmp_path / "a", **settings)
    straight.train()
    again = make_trainer(name, tmp_path / "b", **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    assert again.state.global_step == 6
    for one, other in zip(straight.model.parameters(), again.model.parameters(), strict=True):
        assert_close(one, other, SCORE)
    saved = {path.name for path in (tmp_path / "a" / "checkpoint-3").iterdir()}
    assert len([file for file in saved if file.endswith(".safetensors")]) == 1  # of the model that is trained


@pytest.mark.slow
def test_a_dataset_may_hold_what_the_reference_says(tmp_path: Path) -> None:
    for name in ("distillation", "preference"):
        with_model = make_trainer(name, tmp_path, num_train_epochs=1)
        loss, reference = with_model.compute_loss_func, with_model.reference_model.eval()
        rows = []
        for row in with_model.train_dataset:
            batch = with_model.data_collator([row])
            with torch.no_grad():
                outputs = reference(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            if name == "preference":
                found = loss.of_reference(outputs, batch["labels"]).tolist()
            else:
                found = outputs.logits[0].tolist()
            rows.append({**row, loss.reference_column: found})
        without = make_trainer(name, tmp_path, num_train_epochs=1, remove_unused_columns=False)
        without.reference_model, without.train_dataset = None, Dataset.from_list(rows)
        for trainer in (with_model, without):
            trainer.train()
        assert logged(without) == pytest.approx(logged(with_model), abs=LOGGED)


class WithTeacher(nn.Module):
    """A model that gives its teacher's logits along with its own."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = llama(), teacher().requires_grad_(False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        with torch.no_grad():
            of_teacher = self.teacher(input_ids, attention_mask).logits
        return {"logits": self.student(input_ids, attention_mask).logits, "teacher_logits": of_teacher}


def test_a_model_of_ones_own_may_give_the_teachers_logits_to_a_plain_trainer(tmp_path: Path) -> None:
    args = TrainingArguments(str(tmp_path), max_steps=8, learning_rate=1e-2, report_to="none", use_cpu=True)
    loss = SelectiveDistillationLoss()
    args.logging_steps, args.disable_tqdm, args.save_strategy = 1, True, "no"
    trainer = Trainer(WithTeacher(), args, train_dataset=texts(), compute_loss_func=loss)
    trainer.train()
    assert logged(trainer)[-1] < logged(trainer)[0]


def gpt() -> GPT2LMHeadModel:
    torch.manual_seed(random_inputs.seed_of(0))
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=1, **sizes))


def test_a_model_of_another_family(tmp_path: Path) -> None:
    trainer = make_trainer("causal", tmp_path, model=gpt(), num_train_epochs=3)
    trainer.train()
    assert logged(trainer)[-1] < logged(trainer)[0]


@pytest.mark.parametrize("make", [gpt, llama])
def test_a_reference_trainer_counts_the_labels_that_the_loss_reads(make: Any, tmp_path: Path) -> None:
    # The Trainer counts the first label of a text too, for models that it does not know to shift labels.
    loss = SelectiveDistillationLoss(ConstantLink(), calibration=0.0)
    trainer = make_trainer("distillation", tmp_path, loss, make(), learning_rate=1e-9, per_device_eval_batch_size=16)
    whole = {name: torch.tensor(trainer.eval_dataset[name]) for name in ("input_ids", "attention_mask", "labels")}
    model = make().eval()
    with torch.no_grad():
        inputs = {name: whole[name] for name in ("input_ids", "attention_mask")}
        expected = loss(model(**inputs), whole["labels"], reference=teacher()(**inputs).logits).item()
    assert trainer.evaluate()["eval_loss"] == about(expected, torch.float32, operations_of(trainer.model))
    trainer.args.gradient_accumulation_steps = 4  # all rows in one step
    for module in trainer.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    trainer.args.num_train_epochs = 1
    trainer.train()
    assert logged(trainer)[0] == pytest.approx(expected, rel=10 * LOGGED)


def test_samples_come_from_the_probabilities_of_the_loss() -> None:
    model, loss = teacher().eval(), SelectiveCausalLMLoss(ExponentialLink(0.3), 0.7)
    prompt = torch.tensor([[3, 4]])
    settings = {"max_new_tokens": 1, "return_dict_in_generate": True, "output_scores": True, "do_sample": True}
    settings |= {"top_k": 0, "pad_token_id": 0}
    made = model.generate(prompt, logits_processor=loss.logits_processor(), **settings)
    with torch.no_grad():
        logits = model(prompt).logits[:, -1]
    assert_close(made.scores[0].log_softmax(-1), loss.log_probabilities(logits), operations_of(model))
    assert (made.scores[0].log_softmax(-1) - logits.log_softmax(-1)).abs().max() > 0.1
    greedy = [
        model.generate(prompt, logits_processor=processor, do_sample=False, max_new_tokens=6, pad_token_id=0)
        for processor in (loss.logits_processor(), None)
    ]
    assert torch.equal(*greedy)


def test_what_a_reference_trainer_refuses(tmp_path: Path) -> None:
    model, args = llama(), TrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    loss = SelectiveDistillationLoss()
    with pytest.raises(TypeError, match="compute_loss_func must be of type SelectiveDistillationLoss"):
        ReferenceTrainer(model, args, compute_loss_func=SelectiveCausalLMLoss(), reference_model=teacher())
    with pytest.raises(TypeError, match="reference_model must be of type Module or NoneType, got 'a name'"):
        ReferenceTrainer(model, args, compute_loss_func=loss, reference_model="a name")
    with pytest.raises(ValueError, match=r"copy\.deepcopy"):
        ReferenceTrainer(model, args, compute_loss_func=loss, reference_model=model)
    around = llama(seed=1)  # as an adapter's model is around its base
    around.model = model.model
    with pytest.raises(ValueError, match=r"such as model\..*copy\.deepcopy"):
        ReferenceTrainer(around, args, compute_loss_func=loss, reference_model=model)
    around.model.requires_grad_(False)
    ReferenceTrainer(around, args, compute_loss_func=loss, reference_model=model)  # what is not trained may be shared
    model.requires_grad_(True)
    trainer = ReferenceTrainer(model, args, train_dataset=texts(), compute_loss_func=loss)
    with pytest.raises(ValueError, match=r"got no reference.*teacher_logits.*remove_unused_columns=False"):
        trainer.train()
    assert trainer.compute_loss_func is loss  # left as it was
    wide = make_trainer("distillation", tmp_path, model=llama())
    wide.reference_model = lambda **inputs: CausalLMOutput(logits=torch.zeros(*inputs["input_ids"].shape, 30))
    with pytest.raises(ValueError, match="the teacher gives 30 logits and the student 24"):
        wide.train()
