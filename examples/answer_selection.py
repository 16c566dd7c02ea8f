"""Answer selection: questions with lists of candidate sentences, some of which answer them.

`SelectiveListwiseLoss` with `targets="labels"` learns the right ones from 0 and 1 against the wrong candidates of the
same question. Lists may differ in length: `pairs_to_lists` fills them up, and what is filled up does not count.

    python examples/answer_selection.py                        # offline, on questions made on the spot
    python examples/answer_selection.py --data train.csv --test-data test.csv --columns question,answer,label
    python examples/answer_selection.py --data train.csv --model sentence-transformers/all-MiniLM-L6-v2

A row holds a question, a candidate, and 1 or 0. On TrecQA (its card: model_cards/) the built-in loss is ahead, from
4,277 triplets; ours learns from 78 lists. Output of the first:

    questions: 160 to train on, 40 to report on
    built-in: MultipleNegativesRankingLoss; selective: SelectiveListwiseLoss
    on test                       base  built-in  selective
    map                          0.551     1.000      1.000
    mrr@10                       0.551     1.000      1.000
    ndcg@10                      0.660     1.000      1.000
    recall@1                     0.325     1.000      1.000
    saved: output/answer_selection
"""

from __future__ import annotations

import argparse

from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import pairwise_cos_sim
from shared import compare, lists_of, made_questions, model_of, run, save, split_questions

from selective_st.conversion import pairs_to_lists, pairs_to_triplets
from selective_st.evaluation import ScoreListEvaluator
from selective_st.links import ExponentialLink
from selective_st.losses import SelectiveListwiseLoss


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    train, test = split_questions(options, made_questions, 60 if options.quick else 200)
    lists, samples = pairs_to_lists(train.dataset, list_size=16), lists_of(test)
    print(f"questions: {len(lists)} to train on, {len(samples)} to report on")
    # A link that ranks is normalised by its value: then the temperature means what it means in a plain Softmax.
    link = ExponentialLink(2.0).normalized(0, 1, of="value")
    trainer = compare(
        options,
        model_of(options, [*train.sentences1, *train.sentences2], "Answer selection", size=128),
        {
            "MultipleNegativesRankingLoss": MultipleNegativesRankingLoss,
            "SelectiveListwiseLoss": lambda model: SelectiveListwiseLoss(
                model, pairwise_cos_sim, temperature=0.2, link=link, targets="labels"
            ),
        },
        {
            "MultipleNegativesRankingLoss": pairs_to_triplets(train.dataset, positive=1, negative=0),
            "SelectiveListwiseLoss": lists,
        },
        ScoreListEvaluator(samples, at_k=[1, 10], name="test", main_metric="map"),
        ("map", "mrr@10", "ndcg@10", "recall@1"),
        num_train_epochs=2 if options.model else 5,
        per_device_train_batch_size=8,
        learning_rate=2e-5 if options.model else 0.1,
    )
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "test-data", "columns", "model")
