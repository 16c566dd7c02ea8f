"""The untrained model that a training begins with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerModelCardData
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from selective_st._validation import instance_of, list_of, whole_number
from selective_st.layouts import GradedPairs
from selective_st.loss_kinds import check_pairs

STATIC = "static"
_STATIC_DIMENSION = 256
_STATIC_VOCABULARY = 10_000


def train_tokenizer(texts: Sequence[str], vocabulary: int = _STATIC_VOCABULARY) -> Tokenizer:
    """Train a lower-casing byte-pair tokenizer; the same texts give the same tokenizer.

    Args:
        texts: What to train it on.
        vocabulary: The most tokens it may have.

    Returns:
        The tokenizer.
    """
    owner = "train_tokenizer"
    texts = list_of(owner, "texts", texts, "texts", '["a cat", "a dog"]')
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f'{owner}: texts must hold texts, at least one, got {texts!r:.60}. Write ["a cat", "a dog"].')
    whole_number(owner, "vocabulary", vocabulary, least=1)
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Training WordPiece, or byte pairs with a prefix for continuations, gives another vocabulary in each process.
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def model_maker(spec: str, train: GradedPairs) -> Callable[[int], SentenceTransformer]:
    """How to make the untrained model, anew for each run.

    Args:
        spec: `static`, for a tokenizer and a `StaticEmbedding` from nothing, or a path or hub name.
        train: The training pairs, on which a tokenizer is trained.

    Returns:
        A function of the seed. A pretrained model is the same for every seed.

    Raises:
        ValueError: If the model cannot be loaded.
    """
    instance_of("model_maker", "spec", spec, str, f'Write "{STATIC}", or a path or hub name.')
    check_pairs("model_maker", "train", train)
    if spec == STATIC:
        tokenizer = train_tokenizer([*train.sentences1, *train.sentences2])

        def make_static(seed: int) -> SentenceTransformer:
            torch.manual_seed(seed)
            module = StaticEmbedding(Tokenizer.from_str(tokenizer.to_str()), embedding_dim=_STATIC_DIMENSION)
            card = SentenceTransformerModelCardData(
                model_name=f"Static embeddings trained on {train.name}", local_files_only=True
            )
            return SentenceTransformer(modules=[module], model_card_data=card)

        return make_static
    try:
        if not spec.strip():
            raise FileNotFoundError("an empty name")
        pretrained = SentenceTransformer(spec)
    except Exception as error:  # the hub client raises many kinds; all mean that the model cannot be had
        first_line = (str(error).splitlines() or ["no details"])[0]
        raise ValueError(
            f"--model {spec} could not be loaded ({type(error).__name__}: {first_line}). Give the folder of a "
            f"SentenceTransformer, a name on the hub (with a connection), or {STATIC}."
        ) from error
    if pretrained.similarity_fn_name != "cosine":
        raise ValueError(
            f"--model {spec} compares embeddings by {pretrained.similarity_fn_name!r}, but this command trains cosine "
            'similarities. If that is what you want, set model.similarity_fn_name = "cosine", save the model, and give '
            "the folder."
        )
    pretrained.to("cpu")

    def make_copy(seed: int) -> SentenceTransformer:
        torch.manual_seed(seed)
        return copy.deepcopy(pretrained)

    return make_copy
