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
from selective_st.losses import _common as common
from selective_st.losses._guide import Guide, guide_of
from selective_st.losses._objectives import Objective
from selective_st.losses._scorers import Similarity
from selective_st.losses._settings import Part

logger = logging.getLogger(__name__)

_Init = TypeVar("_Init", bound=Callable[..., None])


def constructor(init: _Init, signature: inspect.Signature | None = None) -> _Init:
    """A constructor that is nothing but its signature: its arguments are the loss's settings."""
    signature = signature or inspect.signature(init)
    names = list(signature.parameters)[1:]

    @wraps(init)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:  # which names no loss
            close = [near for name in kwargs if name not in names for near in get_close_matches(name, names, 1)]
            facts = {"error": error, "known": ", ".join(names), "close": close}
            raise TypeError(common.said("arguments", type(self).__name__, **facts)) from None
        bound.apply_defaults()
        self._set_up(**{name: bound.arguments[name] for name in names})

    construct.__signature__ = signature  # type: ignore[attr-defined]
    return construct  # type: ignore[return-value]


def with_defaults(init: _Init, *, without: str = "", **defaults: Any) -> _Init:
    """The constructor of another loss with other defaults, and without one of its arguments."""
    signature = inspect.signature(init)
    kept = [one for name, one in signature.parameters.items() if name != without]
    parameters = [one.replace(default=defaults.get(one.name, one.default)) for one in kept]
    return constructor(init, signature.replace(parameters=parameters))


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
        builtins: The built-in losses that it generalises, whose citations go with the paper's.
        scorer_type: The type of its scorer.
        objective_type: The type of its objective.
        default_link: The link where none is given, of the score space and of what labels are.
        said_if_not: Settings that are in the config only where they are not as here.
    """

    model_type: ClassVar[type[nn.Module]] = SentenceTransformer
    builtins: ClassVar[tuple[Any, ...]] = ()
    scorer_type: ClassVar[type[Any]] = Similarity
    objective_type: ClassVar[type[Objective]]
    default_link: ClassVar[Any] = staticmethod(common.list_link)
    said_if_not: ClassVar[dict[str, Any]] = {"lists": "rows", "show_progress_bar": False, "precision": "auto"}
    model: Any
    scorer: Any
    objective: Any
    _guide: Guide | None
    _composed: dict[str, Any]
    _has_remarked = False  # on the first batch

    def _set_up(self, model: Any, **settings: Any) -> None:
        """What a constructor does."""
        super().__init__()
        common.check_model(type(self).__name__, model, self.model_type)
        self.model = model
        self._said: set[str] = set()
        self._compose(settings)
        if self.model_type is SparseEncoder:
            self.register_forward_pre_hook(_say_alone)

    def _compose(self, settings: dict[str, Any]) -> None:
        """Make the scorer and the objective of settings."""
        owner = type(self).__name__
        guide = guide_of(owner, self.model, settings) if "guide" in settings else None
        scorer = _made(self.scorer_type, settings, owner=owner)
        space = scorer.space(self.model, self.model_type)
        link = settings["link"]
        if link is None:
            link = self.default_link(space, settings.get("targets"))
        objective = _made(self.objective_type, settings, owner=owner, space=space, link=link)
        values = {**settings, **vars(scorer), **vars(objective)}
        self.__dict__.update(_composed=settings, scorer=scorer, objective=objective, _guide=guide)
        for name in settings:
            self._modules.pop(name, None)
            super().__setattr__(name, values[name])
        for remark in scorer.remarks_on(self.model):
            self.say(remark)

    def __setattr__(self, name: str, value: Any) -> None:
        composed = self.__dict__.get("_composed", {})
        # A trainer puts every module again in its own place.
        if name in composed and (value is None or value is not self._modules.get(name)):
            self._compose({**composed, name: value})
        else:
            super().__setattr__(name, value)

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
        return self.compute_loss_from_embeddings(self.scorer.embed(self.model, sentence_features), labels)

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
        columns, lengths = len(embeddings), {*map(len, embeddings)}
        if len(lengths) != 1 or 0 in lengths or columns not in self.objective.columns:
            self.objective.rows_of(embeddings)  # which raises
        (rows,) = lengths
        if weight is not None or isinstance(labels, Mapping):
            labels, weight = common.labels_and_weight(type(self).__name__, labels, weight, rows)
        targets = self.objective.targets_of(labels, (rows,) if columns == 2 else (rows, columns - 1))
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
        if message not in self._said and get_rank() == 0:
            logger.warning(f"{type(self).__name__}: {message}")
        self._said.add(message)

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        config = {name: _plain(name, getattr(self, name)) for name in self._composed}
        unsaid = {
            **self.said_if_not,
            **dict.fromkeys(("student_temperature", "teacher_temperature"), config.get("temperature")),
        }
        return {name: value for name, value in config.items() if name not in unsaid or value != unsaid[name]}

    @property
    def citation(self) -> str:
        """BibTeX of the papers on selective matching losses, the losses that this one generalises, and a guide."""
        builtins: Any = (*self.builtins, *([GISTEmbedLoss] if self._guide else []))
        return "".join([common.PAPER_CITATION, *(builtin.citation.fget(self) for builtin in builtins)])


def _say_alone(loss: Any, _: Any) -> None:
    # The wrappers of sparse losses ask for the loss of embeddings.
    loss.say(common.sentence("alone", loss=type(loss).__name__))


def _made(kind: type[Part], settings: Mapping[str, Any], **given: Any) -> Any:
    """A part, of those of the settings that are its fields."""
    return kind(**{**{part.name: settings[part.name] for part in fields(kind) if part.name in settings}, **given})


def _plain(name: str, value: Any) -> Any:
    """A setting as JSON can hold it."""
    if isinstance(value, Link):
        return json.loads(common.json_of(value))
    if isinstance(value, Tensor):
        return value.tolist()
    if name == "guide" and value is not None:
        return getattr(getattr(value, "model_card_data", None), "base_model", None) or type(value).__name__
    if isinstance(value, nn.Module):
        return fullname(value)
    return similarity_fct_name(value) if callable(value) else value
