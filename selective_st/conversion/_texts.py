"""Single texts, made into triplets or pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset, Value

from selective_st._validation import whole_number
from selective_st.conversion._common import (
    converter,
    finite,
    is_missing,
    label_column,
    mapped,
    needed_label,
    of_rows,
    single_text_column,
    values_in,
)
from selective_st.errors import DataError

_TRIES = 20  # to draw a text of another class that is not of this one too


@converter
def class_to_triplets(dataset: Dataset, seed: int = 0) -> Dataset:
    """Make triplets of single texts with classes: a text, another of its class, and one of another class.

    Args:
        dataset: A column of texts and a label column with classes.
        seed: Which of the texts are drawn.

    Returns:
        Columns anchor, positive and negative: a row for each distinct text of a class that has at least two.

    Raises:
        DataError: If there is not one text column and a label column, or the classes make no triplets.

    Example:
        >>> texts = Dataset.from_dict({"text": ["cat", "dog", "oak", "elm"], "label": [0, 0, 1, 1]})
        >>> class_to_triplets(texts)["positive"][:]
        ['dog', 'cat', 'elm', 'oak']
    """
    owner = "class_to_triplets"
    label = needed_label(owner, dataset)
    column = single_text_column(owner, dataset, label, None)
    classes: dict[Any, dict[str, None]] = {}  # of each class its texts, each once, in order
    for text, kind in values_in(dataset, [column, label]):
        if not is_missing(text) and not is_missing(kind):
            classes.setdefault(kind, {})[text] = None
    usable = {kind: list(texts) for kind, texts in classes.items() if len(texts) > 1}
    if len(classes) < 2 or not usable:
        raise DataError(
            f"{owner}: column {label!r} has {len(classes)} class(es), {len(usable)} of them with two or more texts. "
            "Triplets need two classes, one of which has two texts: choose the right label column with "
            'dataset = dataset.rename_column("...", "label").'
        )
    random = np.random.default_rng(whole_number(owner, "seed", seed))
    everything = [text for texts in classes.values() for text in texts]
    rows: list[tuple[str, str, str]] = []
    for kind, texts in usable.items():
        order = [texts[i] for i in random.permutation(len(texts))]
        positives = dict(zip(order, [*order[1:], order[0]], strict=True))
        for text in texts:
            for _ in range(_TRIES):
                negative = everything[random.integers(len(everything))]
                if negative not in classes[kind]:
                    rows.append((text, positives[text], negative))
                    break
            else:  # nearly all texts are of this class
                others = [other for other in everything if other not in classes[kind]]
                if others:
                    rows.append((text, positives[text], others[random.integers(len(others))]))
    if not rows:
        raise DataError(
            f"{owner}: every text is in the same class, or in all of them. Choose the right label column with "
            'dataset = dataset.rename_column("...", "label").'
        )
    return of_rows(("anchor", "positive", "negative"), rows)


@converter
def damage_texts(dataset: Dataset, column: str | None = None, ratio: float = 0.6, seed: int = 0) -> Dataset:
    """Make (damaged, original) pairs of single texts, by deleting words at random, as `DenoisingAutoEncoderLoss` needs.

    At least one word is left. Of a text without white space characters are deleted.

    Args:
        dataset: The dataset.
        column: The column of texts. Default: the only one.
        ratio: The share of words that is deleted, on average.
        seed: Which words.

    Returns:
        Columns damaged and original; other columns are left out, since the loss would read them.

    Raises:
        DataError: If it is not clear which column to take.
        ValueError: If `ratio` is not between 0 and 1.

    Example:
        >>> damage_texts(Dataset.from_dict({"text": ["one two three four"]}), seed=1)[0]
        {'damaged': 'two four', 'original': 'one two three four'}
    """
    owner = "damage_texts"
    ratio = finite(owner, "ratio", ratio)
    if not 0 < ratio < 1:
        raise ValueError(f"{owner}: ratio must lie between 0 and 1, such as 0.6; got {ratio:g}.")
    whole_number(owner, "seed", seed)
    column = single_text_column(owner, dataset, label_column(dataset), column)

    def change(batch: dict[str, list[Any]], rows: list[int]) -> dict[str, list[Any]]:
        texts = [text or "" for text in batch[column]]
        return {
            "damaged": [_damaged(text, ratio, seed, row) for text, row in zip(texts, rows, strict=True)],
            "original": texts,
        }

    features = {"damaged": Value("string"), "original": Value("string")}
    settings = (owner, column, ratio, seed)
    made = mapped(dataset, change, features, settings, with_indices=True, remove_columns=dataset.column_names)
    return made.select_columns(list(features))


@converter
def texts_to_pairs(dataset: Dataset, column: str | None = None, different: int = 0, seed: int = 0) -> Dataset:
    """Make pairs of single texts for the Contrastive Tension losses.

    Args:
        dataset: The dataset.
        column: The column of texts. Default: the only one.
        different: For each text, how many pairs with another text there are beside the pair of the text with itself:
            0 for `ContrastiveTensionLossInBatchNegatives`, 7 for `ContrastiveTensionLoss`.
        seed: Which other texts.

    Returns:
        Columns text_1 and text_2.

    Raises:
        DataError: If it is not clear which column to take, or there are not two different texts to pair.
        ValueError: If `different` is not a whole number of at least 0.

    Example:
        >>> texts = Dataset.from_dict({"text": ["cat", "oak"]})
        >>> texts_to_pairs(texts)[:]
        {'text_1': ['cat', 'oak'], 'text_2': ['cat', 'oak']}
        >>> texts_to_pairs(texts, different=1)["text_2"][:]
        ['cat', 'oak', 'oak', 'cat']
    """
    owner = "texts_to_pairs"
    if isinstance(different, bool) or not isinstance(different, int) or different < 0:
        raise ValueError(f"{owner}: different must be a whole number such as 0 or 7; got {different!r}.")
    column = single_text_column(owner, dataset, label_column(dataset), column)
    texts = list(dict.fromkeys(text for (text,) in values_in(dataset, [column]) if not is_missing(text)))
    if len(texts) < (2 if different else 1):
        raise DataError(
            f"{owner}: column {column!r} has {len(texts)} distinct text(s), so there is nothing to pair. Give more "
            "texts, or another column: texts_to_pairs(dataset, column=...)."
        )
    random = np.random.default_rng(whole_number(owner, "seed", seed))
    rows: list[tuple[str, str]] = []
    for place, text in enumerate(texts):
        rows.append((text, text))
        if different:
            # A step of 1 to n - 1 never leads back to the text itself.
            steps = random.integers(1, len(texts), size=different)
            rows += [(text, texts[(place + int(step)) % len(texts)]) for step in steps]
    return of_rows(("text_1", "text_2"), rows)


def _damaged(text: str, ratio: float, seed: int, row: int) -> str:
    words, glue = text.split(), " "
    if len(words) == 1:
        words, glue = list(words[0]), ""
    if len(words) < 2:
        return text
    random = np.random.default_rng([seed, row])
    kept = random.random(len(words)) >= ratio
    if not kept.any():
        kept[random.integers(len(words))] = True
    return glue.join(word for word, keep in zip(words, kept, strict=True) if keep)
