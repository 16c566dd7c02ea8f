"""A link of your own: one method, `h`, says what matters; the loss, its gradient and its config come from it.

Here a search page shows what scores above 0.7, so an error near 0.7 costs most, and less the farther away. The link is
drawn beside two that come with the library, before anything is trained. `register_link` lets `link_from_config` make it
again from the JSON in the model's card.

    python examples/own_link.py                                       # offline, on data made on the spot
    python examples/own_link.py --data pairs.csv --score-range 0,5    # two texts and a score in each row
    python examples/own_link.py --data sentence-transformers/stsb --model sentence-transformers/all-MiniLM-L6-v2

Output of the first:

    picture: output/own_link/links.png
    pairs: 4501 to train on, 499 to report on
    on test                   base   trained
    ap_ge_0.7                0.750     0.973
    rmse_0.6_0.8             0.125     0.082
    rmse_0_0.6               0.344     0.114
    spearman                 0.598     0.955
    saved: output/own_link
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerModelCardData,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import PrinterCallback

from selective_st.data import GradedPairs, read_pairs
from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.evaluation import ScoreRegionEvaluator
from selective_st.links import IdentityLink, Link, high_scores, link_from_config, register_link
from selective_st.losses import SelectivePointwiseLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.plotting import plot_links
from selective_st.training import train_tokenizer

SHOWN = ("ap_ge_0.7", "rmse_0.6_0.8", "rmse_0_0.6", "spearman")


@register_link
@dataclass(frozen=True, eq=False, repr=False)
class ArctanLink(Link):
    """Errors near `centre` cost most: the slope of the arc tangent falls off on both sides.

    Attributes:
        centre: The score that matters most.
        sharpness: How fast it matters less beside it.
    """

    centre: float = 0.7
    sharpness: float = 8.0

    def h(self, z: torch.Tensor) -> torch.Tensor:
        """The value at scores z: any nondecreasing function in torch."""
        return torch.atan(self.sharpness * (z - self.centre))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train with a link of your own.")
    parser.add_argument("--data", help="a file or hub dataset: two texts and a score in each row")
    parser.add_argument("--score-range", default="0,1", help="the ends of the scores' scale in --data, such as 0,5")
    parser.add_argument("--model", help="a model to fine-tune; default: static embeddings from nothing")
    parser.add_argument("--output", default="output/own_link", help="where to save the model and the picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    return parser.parse_args()


def main() -> None:
    """Read, train, compare, save."""
    arguments = parse_arguments()
    link = ArctanLink().normalized(0, 1)  # costs on average like half the squared error: the learning rate can stay
    assert link_from_config(link.get_config_dict()) == link
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    links = {"all scores alike": IdentityLink(), "high_scores()": high_scores(), "my own": link}
    print(f"picture: {plot_links(links, output / 'links.png')}")

    if arguments.data:
        low, high = map(float, arguments.score_range.split(","))
        pairs = read_pairs(arguments.data, score_range=(low, high))
    else:
        made = graded_pairs(600 if arguments.quick else 5000)
        rows = [{"sentence1": a, "sentence2": b, "score": score / HIGHEST_SCORE} for a, b, score in made]
        pairs = GradedPairs(Dataset.from_list(rows), "pairs made on the spot")
    train, test = pairs.split("test", 0.1, arguments.seed, by="either")  # no text on both sides
    print(f"pairs: {len(train)} to train on, {len(test)} to report on")

    torch.manual_seed(arguments.seed)
    card = SentenceTransformerModelCardData(model_name="Trained with a link of its own", local_files_only=True)
    if arguments.model:
        model = SentenceTransformer(arguments.model, model_card_data=card)
    else:
        static = StaticEmbedding(train_tokenizer([*train.sentences1, *train.sentences2]), embedding_dim=256)
        model = SentenceTransformer(modules=[static], model_card_data=card)

    loss = SelectivePointwiseLoss(model, link=link)
    evaluator = ScoreRegionEvaluator(
        test.sentences1,
        test.sentences2,
        test.scores,
        at_least=[0.7],
        regions=[(0.6, 0.8), (0.0, 0.6)],
        name="test",
    )
    before = evaluator(model)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            arguments.output,
            num_train_epochs=1 if arguments.model else 5,
            per_device_train_batch_size=64,
            learning_rate=2e-5 if arguments.model else 0.3,
            seed=arguments.seed,
            save_strategy="no",
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=train.dataset,
        loss=loss,
        callbacks=[SelectiveModelCardCallback(loss, evaluators=evaluator)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()

    after = evaluator(model)
    print(f"{'on test':<20}{'base':>10}{'trained':>10}")
    for name in SHOWN:
        print(f"{name:<20}{before[f'test_{name}']:>10.3f}{after[f'test_{name}']:>10.3f}")
    model.save_pretrained(arguments.output)
    print(f"saved: {arguments.output}")


if __name__ == "__main__":
    main()
