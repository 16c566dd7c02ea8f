"""A link of your own: one method, `h`, says what matters; the loss, its gradient and its config come from it.

Here a search page shows what scores above 0.7, so an error near 0.7 costs most, and less the farther away. The link is
drawn beside two that come with the library, before anything is trained. `register_link` lets `link_from_config` make it
again from the JSON in the model's card.

    python examples/own_link.py                                       # offline, on data made on the spot
    python examples/own_link.py --data pairs.csv --score-range 0,5    # two texts and a score in each row

Output of the first:

    picture: output/own_link/links.png
    pairs: 4500 to train on, 500 to report on
    built-in: CosineSimilarityLoss; selective: SelectivePointwiseLoss
    on test                       base  built-in  selective
    ap_ge_0.7                    0.748     0.978      0.974
    rmse_0.6_0.8                 0.124     0.085      0.082
    rmse_0_0.6                   0.348     0.102      0.116
    spearman                     0.592     0.960      0.956
    saved: output/own_link
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
from shared import compare, model_of, read_graded, run, save

from selective_st.evaluation import ScoreRegionEvaluator
from selective_st.links import IdentityLink, Link, high_scores, link_from_config, register_link
from selective_st.losses import SelectivePointwiseLoss
from selective_st.plotting import plot_links


@register_link
@dataclass(frozen=True, eq=False, repr=False)
class ArctanLink(Link):
    """Errors near `centre` cost most: the slope of the arc tangent falls off on both sides, by `sharpness`."""

    centre: float = 0.7
    sharpness: float = 8.0

    def h(self, z: torch.Tensor) -> torch.Tensor:
        """The value at scores z: any nondecreasing function in torch."""
        return torch.atan(self.sharpness * (z - self.centre))


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    link = ArctanLink().normalized(0, 1)  # costs on average like half the squared error: the learning rate can stay
    assert link_from_config(link.get_config_dict()) == link
    Path(options.output).mkdir(parents=True, exist_ok=True)
    links = {"all scores alike": IdentityLink(), "high_scores()": high_scores(), "my own": link}
    print(f"picture: {plot_links(links, Path(options.output) / 'links.png')}")
    train, test = read_graded(options).split("test", 0.1, options.seed, by="either")  # no text on both sides
    print(f"pairs: {len(train)} to train on, {len(test)} to report on")
    texts, regions = (test.sentences1, test.sentences2, test.scores), [(0.6, 0.8), (0.0, 0.6)]
    trainer = compare(
        options,
        model_of(options, [*train.sentences1, *train.sentences2], "Trained with a link of its own"),
        {
            "CosineSimilarityLoss": CosineSimilarityLoss,
            "SelectivePointwiseLoss": lambda model: SelectivePointwiseLoss(model, link=link),
        },
        train.dataset,
        ScoreRegionEvaluator(*texts, at_least=[0.7], regions=regions, name="test"),
        ("ap_ge_0.7", "rmse_0.6_0.8", "rmse_0_0.6", "spearman"),
        num_train_epochs=1 if options.model else 5,
        per_device_train_batch_size=64,
        learning_rate=2e-5 if options.model else 0.3,
    )
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "score-range", "model")
