"""Near-duplicates: from texts without labels to groups of texts that say the same.

    python examples/recipes/near_duplicates.py                                     # offline, on texts made on the spot
    python examples/recipes/near_duplicates.py --teacher MODEL --texts texts.txt --threshold 0.85

A small student learns from the teacher where to cut (half of the texts); the other half it embeds, looks for each
text's neighbours, decides about these pairs only, and joins the texts that match.
"""

from __future__ import annotations

import numpy as np
from made import arguments, teacher_of, texts_of
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import semantic_search

from selective_st.evaluation import load_threshold
from selective_st.training import distill

NEIGHBOURS = 20  # of a text that are looked at


def main() -> None:
    """Learn from some texts, decide about the others."""
    asked = arguments(__doc__, "near_duplicates", threshold=0.85)
    texts = texts_of(asked.texts)
    known, new = texts[::2], texts[1::2]
    teacher = teacher_of(asked.teacher, texts)
    distill(teacher, known, [asked.threshold], asked.output, dimensions=asked.dimensions, overwrite=True)
    student, threshold = SentenceTransformer(asked.output), load_threshold(asked.output)
    assert threshold is not None

    units = student.encode(new, normalize_embeddings=True, convert_to_tensor=True)
    found = semantic_search(units, units, top_k=NEIGHBOURS + 1)
    pairs = [
        (i, hit["corpus_id"], hit["score"]) for i, hits in enumerate(found) for hit in hits if hit["corpus_id"] > i
    ]
    left, right, scores = (np.array(column) for column in zip(*pairs, strict=True))
    match = threshold.decide(scores)
    links = coo_array((np.ones(match.sum()), (left[match], right[match])), shape=(len(new), len(new)))
    count, group = connected_components(links, directed=False)

    embedded = teacher.encode(new, normalize_embeddings=True)
    agreed = ((embedded[left[match]] * embedded[right[match]]).sum(axis=1) >= asked.threshold).mean()
    print(f"{len(new)} texts, {match.sum()} pairs match from {threshold.value:.3f} on, {count} groups")
    print(f"the teacher agrees with {agreed:.0%} of the pairs")
    largest = np.bincount(group).argmax()
    print("one group:", *(new[place] for place in np.flatnonzero(group == largest)[:3]), sep="\n  ")


if __name__ == "__main__":
    main()
