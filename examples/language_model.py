"""Fine-tune a language model on a teacher's word: the probabilities of common words shall be right, rare ones' less so.

The text comes from a source of which all probabilities are known, so it can be the teacher, too: each of 120 words is
followed by a few words often and by all others rarely. A Llama of two narrow layers, too small to learn all of it,
first learns one such source, then it is fine-tuned on another: by the plain KL divergence, and with a calibration term
whose link says that the teacher's log-probabilities matter where they are above 5 %. Shown is the error of the
student's log-probabilities, for common and for rare next words, and the KL divergence.

    python examples/language_model.py                       # offline, on text made on the spot
    python examples/language_model.py --calibration 3       # common words matter more

Output of the first:

    words: 12800 to train on, 1600 to report on
    on held-out text         base     plain   selective
    rmse p >= 0.05          4.776     0.968       0.601
    rmse p < 0.002          2.390     2.057       2.028
    kl divergence           4.120     0.482       0.475
    saved: output/language_model
"""

from __future__ import annotations

import argparse
import copy
import math

import torch
from datasets import Dataset
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PrinterCallback,
    TrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.modeling_outputs import CausalLMOutput

from selective_st.links import ConstantLink, score_region
from selective_st.transformers import ReferenceTrainer, SelectiveDistillationLoss

WORDS, LENGTH = 120, 32
COMMON, RARE = 0.05, 0.002


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Distil a tiny language model with a selective loss.")
    parser.add_argument("--calibration", type=float, default=1.0, help="the weight of the calibration term")
    parser.add_argument("--output", default="output/language_model", help="where to save the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little text, to see that it runs")
    return parser.parse_args()


def make_source() -> torch.Tensor:
    """The probability of each word after each word: falling with a random rank, a little different for each."""
    rank = torch.rand(WORDS, WORDS).argsort(1) + 1.0
    return torch.softmax(-1.7 * rank.log() + 0.3 * torch.randn(WORDS, WORDS), 1)


def write_texts(source: torch.Tensor, texts: int) -> Dataset:
    """Texts of the source; their labels are their words."""
    words = [torch.randint(WORDS, (texts,))]
    for _ in range(LENGTH - 1):
        words.append(torch.multinomial(source[words[-1]], 1).squeeze(1))
    rows = torch.stack(words, 1).tolist()
    return Dataset.from_dict({"input_ids": rows, "labels": rows})


class Teacher(nn.Module):
    """A model that knows its source. Any other model with the student's vocabulary would do."""

    def __init__(self, source: torch.Tensor) -> None:
        super().__init__()
        self.log_source = nn.Parameter(source.log(), requires_grad=False)

    def forward(self, input_ids: torch.Tensor) -> CausalLMOutput:
        """The logits of the next word."""
        return CausalLMOutput(logits=self.log_source[input_ids])


def fit(
    model: LlamaForCausalLM,
    loss: SelectiveDistillationLoss,
    source: torch.Tensor,
    texts: Dataset,
    arguments: argparse.Namespace,
) -> LlamaForCausalLM:
    """Train with the Trainer of transformers, and a teacher."""
    trainer = ReferenceTrainer(
        model=model,
        args=TrainingArguments(
            arguments.output,
            num_train_epochs=6,
            per_device_train_batch_size=32,
            learning_rate=1e-2,
            lr_scheduler_type="cosine",
            seed=arguments.seed,
            save_strategy="no",
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=texts,
        data_collator=default_data_collator,
        compute_loss_func=loss,
        reference_model=Teacher(source),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return model


@torch.no_grad()
def measure(model: LlamaForCausalLM, source: torch.Tensor, texts: Dataset) -> dict[str, float]:
    """Errors of the model's log-probabilities by what the source gives, and the KL divergence."""
    model.eval()
    words = torch.tensor(texts["input_ids"], device=model.device)
    found = torch.log_softmax(torch.cat([model(part).logits for part in words.split(64)]), -1).cpu()
    truth = source[words.cpu()]
    error = (found - truth.log()).square()
    return {
        f"rmse p >= {COMMON}": error[truth >= COMMON].mean().sqrt().item(),
        f"rmse p < {RARE}": error[truth < RARE].mean().sqrt().item(),
        "kl divergence": (truth * (truth.log() - found)).sum(-1).mean().item(),
    }


def main() -> None:
    """Write, train, compare, save."""
    arguments = parse_arguments()
    set_seed(arguments.seed)
    count = 80 if arguments.quick else 400
    general, special = make_source(), make_source()
    before, train, test = write_texts(general, count), write_texts(special, count), write_texts(special, count // 8)
    print(f"words: {len(train) * LENGTH} to train on, {len(test) * LENGTH} to report on")

    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
    )
    # The scores are log-probabilities: of about 5 % to 75 %.
    region = score_region(math.log(COMMON), math.log(0.75), strength=30, score_range=(-10, 0))
    plain = SelectiveDistillationLoss(ConstantLink(), calibration=0)
    selective = SelectiveDistillationLoss(ConstantLink(), calibration=arguments.calibration, calibration_link=region)
    base = fit(LlamaForCausalLM(config), plain, general, before, arguments)
    of_plain = fit(copy.deepcopy(base), plain, special, train, arguments)
    model = fit(copy.deepcopy(base), selective, special, train, arguments)
    models = {"base": base, "plain": of_plain, "selective": model}
    results = {name: measure(each, special, test) for name, each in models.items()}
    print(f"{'on held-out text':<20}{'base':>9}{'plain':>10}{'selective':>12}")
    for name in results["base"]:
        base_value, plain_value, value = (result[name] for result in results.values())
        print(f"{name:<20}{base_value:>9.3f}{plain_value:>10.3f}{value:>12.3f}")
    model.save_pretrained(arguments.output)
    print(f"saved: {arguments.output}")


if __name__ == "__main__":
    main()
