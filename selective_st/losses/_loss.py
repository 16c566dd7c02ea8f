"""A loss: a model, a scorer and an objective, made of the constructor's arguments, each of which can be assigned."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from typing import Any, ClassVar, TypeVar

from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss
from sentence_transformers.util import fullname, get_rank, similarity_fct_name
from torch import Tensor, nn

from selective_st._ahead import send_ahead
from selective_st.links import Link
from selective_st.losses._common import (
    PAPER_CITATION,
    Part,
    ScoreSpace,
    builtin_citation,
    check_model,
    json_of,
    labels_and_weight,
    list_link,
    said,
    sentence,
)
from selective_st.losses._guide import Guide, guide_of
from selective_st.losses._objectives import Objective
from selective_st.losses._scorers import Similarity

logger = logging.getLogger(__name__)

_Init = TypeVar("_Init", bound=Callable[..., None])
_OF_A_MODULE = {"_settings", "_said", *vars(nn.Module())}


def constructor(signature: _Init) -> _Init:
    """A constructor that is nothing but its signature: its arguments are the loss's settings."""
    signature.is_constructor = True  # type: ignore[attr-defined]
    return signature


class Loss(nn.Module):
    """A model, a scorer that gives its scores, and an objective that makes a loss of scores and labels.

    Scorer and objective are frozen dataclasses whose fields are among the settings, the arguments of the constructor.
    When a setting is assigned, both are made and checked anew: so a default follows what it depends on, and where a
    check fails, the loss stays as it was.

    Attributes:
        model: The model to train. The scorer does not keep it, so that it can be replaced.
        scorer: From the model's inputs to scores.
        objective: From scores and labels to a loss.
        model_type: The type of model that the loss is for.
        builtin: The built-in loss that it generalises, whose citation goes with the paper's; None if it has none.
        scorer_type: The type of its scorer, a `Scorer`.
        objective_type: The type of its objective.
        said_if_not: Settings that are in the config only where they are not as here.
    """

    model_type: ClassVar[type[nn.Module]] = SentenceTransformer
    builtin: ClassVar[type[nn.Module] | None] = None
    scorer_type: ClassVar[type[Any]] = Similarity
    objective_type: ClassVar[type[Objective]]
    said_if_not: ClassVar[dict[str, Any]] = {"lists": "rows", "show_progress_bar": False, "precision": "auto"}
    model: Any
    scorer: Any
    objective: Any
    _guide: Guide | None
    _composed: dict[str, Any]
    _has_remarked = False  # on the first batch

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _keeping_settings(cls.__init__)  # type: ignore[method-assign]

    def _set_up(self, model: Any, **settings: Any) -> None:
        """What a constructor does."""
        nn.Module.__init__(self)
        check_model(type(self).__name__, model, self.model_type)
        self.model = model
        self._said: set[str] = set()
        self._compose(settings)

    def _compose(self, settings: dict[str, Any]) -> None:
        """Make the scorer and the objective of settings."""
        owner = type(self).__name__
        guide = None
        if "guide" in settings:
            guide = guide_of(owner, self.model, *(settings[name] for name in ("guide", "margin", "margin_strategy")))
        scorer = _made(self.scorer_type, settings, owner=owner)
        space = scorer.space(self.model, self.model_type)
        link = settings["link"]
        if link is None:
            link = self.default_link(space, settings.get("targets"))
        objective = _made(self.objective_type, settings, owner=owner, space=space, link=link)
        values = {**settings, **vars(scorer), **vars(objective)}
        for name in settings:
            is_module = isinstance(values[name], nn.Module)
            (self._modules if is_module else self.__dict__)[name] = values[name]
            (self.__dict__ if is_module else self._modules).pop(name, None)
        self.__dict__.update(_composed=settings, scorer=scorer, objective=objective, _guide=guide)
        for remark in scorer.remarks_on(self.model):
            self.say(remark)

    @staticmethod
    def default_link(space: ScoreSpace, targets: str | None) -> Link:
        """The link where none is given.

        Args:
            space: Where the scores come from.
            targets: What labels are.

        Returns:
            The link.
        """
        return list_link(space)

    @property
    def space(self) -> ScoreSpace:
        """Where the scores lie."""
        space: ScoreSpace = self.objective.space
        return space

    def __setattr__(self, name: str, value: Any) -> None:
        composed, settings = (self.__dict__.get(place, {}) for place in ("_composed", "_settings"))
        # As a trainer does to put a wrapped model in the model's place, and everything else again in its own.
        is_kept = name == "model" or (value is not None and value is self.__dict__.get("_modules", {}).get(name))
        if is_kept or name not in {**composed, **settings}:
            super().__setattr__(name, value)
        elif name in composed:
            self._compose({**composed, name: value})
        else:  # of a subclass with a constructor of its own
            made = type(self)(**{**settings, name: value})
            self.__dict__.update({key: new for key, new in vars(made).items() if key not in _OF_A_MODULE})
            self._modules.update(made._modules)
        if name in settings:
            self.__dict__["_settings"] = {**settings, name: value}

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Any = None) -> Tensor:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: What the loss takes for labels.

        Returns:
            The mean loss, a scalar.
        """
        if isinstance(labels, Mapping) or (isinstance(labels, Tensor) and labels.is_cuda):
            send_ahead(labels)
        if self.model_type is SparseEncoder:
            self.say(sentence("alone", loss=type(self).__name__))
        return self.compute_loss_from_embeddings(self.scorer.embed(self.model, sentence_features), labels)

    def embed(self, sentence_features: Iterable[dict[str, Tensor]]) -> list[Any]:
        """What `compute_loss_from_embeddings` takes.

        Args:
            sentence_features: Tokenized features, one dict for each column.

        Returns:
            The embeddings of each column; of a MultiVectorEncoder those of its tokens.
        """
        if self.model_type is SparseEncoder:
            self.say(sentence("alone", loss=type(self).__name__))
        embeddings: list[Any] = self.scorer.embed(self.model, sentence_features)
        return embeddings

    def compute_loss_from_embeddings(
        self, embeddings: list[Any], labels: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """The loss from embeddings.

        Args:
            embeddings: One tensor of shape (batch_size, dim) a column; of a MultiVectorEncoder the tokens' embeddings,
                and which of them count.
            labels: What the loss takes for labels.
            weight: Weights >= 0 of the rows, of shape (batch_size,), for the mean. They may come with the labels too:
                `{"label": labels, "weight": weight}`, as `with_row_weights` has them collated.

        Returns:
            The mean loss, a scalar.
        """
        columns, rows = len(embeddings), len(embeddings[0]) if embeddings else 0
        if not rows or columns not in self.objective.columns:
            self.objective.check_batch(columns, rows)
        if weight is not None or isinstance(labels, Mapping):
            labels, weight = labels_and_weight(type(self).__name__, labels, weight, rows)
        try:
            targets = self.objective.targets_of(labels, (rows,) if columns == 2 else (rows, columns - 1))
        except (TypeError, ValueError):
            self.scorer.scores(embeddings, None)  # of a similarity function that does not fit it is told first
            raise
        scores = self.scorer.scores(embeddings, targets.mask)
        loss: Tensor = self.objective.loss_of(scores, targets, weight)
        if not self._has_remarked:
            self._remark(scores, labels)
        return loss

    def _remark(self, scores: Tensor, labels: Any) -> None:
        """Say what is odd in the first batch."""
        self._has_remarked = True
        targets = self.objective.to_be_reached(labels)
        remarks = [] if targets is None else self.scorer.remarks(scores, targets)
        for remark in (*remarks, *self.objective.remarks(labels)):
            self.say(remark)

    def say(self, message: str) -> None:
        """Warn once, in one process for all."""
        if message not in self._said:
            self._said.add(message)
            if get_rank() == 0:
                logger.warning(f"{type(self).__name__}: {message}")

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        config = {name: _plain(name, getattr(self, name)) for name in self._composed}
        unsaid = {
            **self.said_if_not,
            **{f"{which}_temperature": config.get("temperature") for which in ("student", "teacher")},
        }
        return {name: value for name, value in config.items() if name not in unsaid or value != unsaid[name]}

    @property
    def citation(self) -> str:
        """BibTeX of the papers on selective matching losses, the loss that this one generalises, and a guide."""
        builtins = [self.builtin] if self.builtin else []
        builtins += [GISTEmbedLoss] if self._guide else []
        return PAPER_CITATION + "".join(builtin_citation(builtin, self) for builtin in builtins)


def _made(kind: type[Part], settings: Mapping[str, Any], **given: Any) -> Any:
    """A part, of those of the settings that are its fields."""
    return kind(**{**{part.name: settings[part.name] for part in fields(kind) if part.name in settings}, **given})


def _plain(name: str, value: Any) -> Any:
    """A setting as JSON can hold it."""
    if isinstance(value, Link):
        return json.loads(json_of(value))
    if isinstance(value, Tensor):
        return value.tolist()
    if name == "guide" and value is not None:
        return getattr(getattr(value, "model_card_data", None), "base_model", None) or type(value).__name__
    if isinstance(value, nn.Module):
        return fullname(value)
    return similarity_fct_name(value) if callable(value) else value


def _keeping_settings(init: Callable[..., None]) -> Callable[..., None]:
    """The constructor, which keeps its arguments: the settings."""
    signature = inspect.signature(init)
    others = next((name for name, one in signature.parameters.items() if one.kind is one.VAR_KEYWORD), None)
    known = list(signature.parameters)[1:]

    @wraps(init)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        is_of_subclass = "_settings" in self.__dict__  # whose constructor calls this one
        if not is_of_subclass:
            for name, value in kwargs.items():
                if others is None and name not in known:
                    raise TypeError(_unknown(type(self).__name__, name, value, known))
            self.__dict__["_settings"] = {}
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:  # which names no loss
            raise TypeError(said("arguments", type(self).__name__, error=error, known=", ".join(known))) from None
        bound.apply_defaults()
        settings = dict(list(bound.arguments.items())[1:])
        settings |= settings.pop(others or "", {})
        if hasattr(init, "is_constructor"):
            self._set_up(**settings)
        else:
            init(self, *args, **kwargs)
        if not is_of_subclass:
            self.__dict__["_settings"] = settings

    return construct


# Arguments of the neighbouring losses of Sentence Transformers: which of ours is in their place, and how.
_INVERSE = "is 1 / {name}: write {ours}={value}."
_OF_NEIGHBOURS: dict[str, dict[str, str]] = {
    "loss_fct": {"link": "says what an error costs: link=IdentityLink() from selective_st.links is half its square."},
    "temperature": {"scale": _INVERSE},
    "scale": {"temperature": _INVERSE},
    "sigma": {"temperature": _INVERSE},
    "distance_metric": {
        "similarity_fct": "is in its place, greater for what is nearer: write similarity_fct=pairwise_cos_sim, from "
        "sentence_transformers.util."
    },
    "margin": {"temperature": "is in its place: small, it asks for a small margin, without ever being content."},
}
_OF_NEIGHBOURS["triplet_margin"] = _OF_NEIGHBOURS["margin"]


def _unknown(owner: str, name: str, value: object, known: list[str]) -> str:
    """That a loss has no such argument, and what it has instead."""
    number = f"{1 / value:g}" if isinstance(value, (int, float)) and value > 0 else f"1 / {name}"
    advice = [
        f"{owner}'s {ours} {text.format(name=name, ours=ours, value=number)}"
        for ours, text in _OF_NEIGHBOURS.get(name, {}).items()
        if ours in known
    ] or [f"Write {close}=..., or leave it out." for close in get_close_matches(name, known, 1)]
    facts = {"name": name, "value": f"{value!r:.60}", "advice": " ".join(advice) or "Leave it out."}
    return said("unknown_argument", owner, known=", ".join(known), **facts)
