"""Students: static ones, first layers of a teacher, and their embeddings."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer, SentenceTransformerModelCardData
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from torch import Tensor, nn

from selective_st.distillation.settings import STATIC, DistillSettings
from selective_st.errors import loading

Floats = npt.NDArray[np.float32]
_FREQUENCY = 1e-3  # tokens as frequent as this count half in a static student's first embeddings
_BLOCK = 1_024  # texts at a time
_MAPPED = 3_000  # texts from whose embeddings a map begins


def static_student(
    teacher: SentenceTransformer | CrossEncoder, dimensions: int, texts: Sequence[str]
) -> SentenceTransformer:
    """A static model from a teacher's own tokenizer and token vectors, cut to fewer dimensions.

    Args:
        teacher: The teacher.
        dimensions: Of the embeddings; at most those of the teacher's token vectors.
        texts: Texts, by which frequent tokens begin with less weight.

    Returns:
        The model.

    Raises:
        ValueError: If the teacher has no tokenizer or token vectors to begin with, or not so many dimensions.
    """
    tokenizer, table = token_vectors(teacher)
    if dimensions > min(table.shape):
        raise ValueError(
            f"distill: the teacher's token vectors have {table.shape[1]} dimensions, so the student cannot have "
            f"{dimensions}. Write --dimensions {min(table.shape)}, or less."
        )
    count = torch.zeros(len(table))
    for begin in range(0, len(texts), _BLOCK):
        encodings = tokenizer.encode_batch(list(texts[begin : begin + _BLOCK]), add_special_tokens=False)
        count += torch.bincount(torch.tensor([i for e in encodings for i in e.ids]), minlength=len(table))
    table = table - table.mean(0)
    vectors = table @ directions(table, dimensions)
    vectors *= (_FREQUENCY / (_FREQUENCY + count / count.sum().clamp(min=1)))[:, None]
    card = SentenceTransformerModelCardData(model_name="Distilled static embeddings", local_files_only=True)
    module = StaticEmbedding(tokenizer, embedding_weights=vectors / vectors.std())
    return SentenceTransformer(modules=[module], model_card_data=card, device="cpu")


def token_vectors(teacher: nn.Module) -> tuple[Tokenizer, Tensor]:
    """A teacher's tokenizer and its vectors of tokens."""
    own: Any = teacher.tokenizer
    tokenizer = getattr(own, "backend_tokenizer", own)
    tables = [part for part in teacher.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))]
    if not isinstance(tokenizer, Tokenizer) or not tables:
        raise ValueError(
            "distill: this teacher has no fast tokenizer or no token vectors to make a static student of. Give a "
            "student of your own: --student FOLDER."
        )
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, tables[0].weight.detach().float().cpu()


def directions(rows: Tensor, dimensions: int) -> Tensor:
    """The directions in which rows vary most."""
    return cast(Tensor, torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -dimensions:].flip(1))


def layered_student(teacher: Any, layers: int, dimensions: int, texts: Sequence[str]) -> SentenceTransformer:
    """The first layers of a teacher, its pooling, and a map to fewer dimensions.

    Args:
        teacher: A SentenceTransformer on a transformer.
        layers: How many.
        dimensions: Of the embeddings.
        texts: Texts, on whose embeddings the map begins as their main directions.

    Returns:
        The model.

    Raises:
        ValueError: If the teacher has no such layers.
    """
    model: SentenceTransformer = copy.deepcopy(teacher).cpu()
    lists = [part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) > layers]
    if isinstance(model, CrossEncoder) or not isinstance(model[0], Transformer) or not lists:
        raise ValueError(
            f"distill: the teacher has no {layers} layers to keep and others to leave out. Write fewer --layers, or "
            "leave that out for a static student."
        )
    del lists[0][layers:]
    model[0].auto_model.config.num_hidden_layers = layers
    units = torch.from_numpy(np.asarray(model.encode(list(texts[:_MAPPED]), show_progress_bar=False)))
    if dimensions < units.shape[1]:
        dense = Dense(units.shape[1], dimensions, bias=False, activation_function=nn.Identity())
        dense.linear.weight.data = directions(units.float(), dimensions).T.contiguous()
        kept = [part for part in model if type(part).__name__ != "Normalize"]
        model = SentenceTransformer(modules=[*kept, dense], device="cpu")
    return model


class Embedder:
    """A model's embeddings of numbered texts; a static model's texts are tokenised once.

    Args:
        model: The model.
        texts: The texts.
    """

    def __init__(self, model: SentenceTransformer, texts: Sequence[str]) -> None:
        self.model, self._texts = model, texts
        self._ids: list[Tensor] = []  # of each text of a static model
        for begin in range(0, len(texts) if isinstance(model[0], StaticEmbedding) else 0, _BLOCK):
            part: Any = model.preprocess(list(texts[begin : begin + _BLOCK]))
            self._ids += part["input_ids"].tensor_split(part["offsets"][1:])

    def fresh(self) -> Embedder:
        """The same texts for a copy of the model."""
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model)
        return other

    def __call__(self, numbers: Tensor) -> Tensor:
        """The embeddings of some texts, with a graph."""
        if self._ids:
            ids = [self._ids[number] for number in numbers.tolist()]
            ends = torch.tensor([0, *map(len, ids)]).cumsum(0)
            features: Any = {"input_ids": torch.cat(ids), "offsets": ends[:-1]}
        else:
            features = self.model.preprocess([self._texts[number] for number in numbers.tolist()])
        features = {name: x.to(self.model.device) if isinstance(x, Tensor) else x for name, x in features.items()}
        return cast(Tensor, self.model(features)["sentence_embedding"])

    @torch.no_grad()
    def units(self, numbers: npt.NDArray[np.int64] | None = None) -> Floats:
        """The unit embeddings of some texts, or of all."""
        self.model.eval()
        chosen = torch.arange(len(self._texts)) if numbers is None else torch.from_numpy(numbers)
        parts = [self(part).float().cpu() for part in chosen.split(_BLOCK if self._ids else 64)]
        return cast(Floats, nn.functional.normalize(torch.cat(parts), dim=-1).numpy())


def make_student(teacher: Any, settings: DistillSettings, train: Sequence[str]) -> SentenceTransformer:
    """The student that the settings ask for, before it learns from a teacher."""
    torch.manual_seed(settings.seed)
    if settings.layers is not None:
        return layered_student(teacher, settings.layers, settings.dimensions, train)
    if settings.student == STATIC:
        return static_student(teacher, settings.dimensions, train)
    mend = f"the folder of a SentenceTransformer, a name on the hub (with a connection), or {STATIC}."
    with loading(f"--student {settings.student} could not be loaded", mend):
        return SentenceTransformer(settings.student)
