"""The options of a command as one dataclass: of its fields typer's signature is made, of its docstring their help."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeVar, get_type_hints

import typer
from typer.models import ArgumentInfo

from selective_st._validation import finite_number, score_interval
from selective_st.cli.common import mistakes_in_words

if TYPE_CHECKING:
    from selective_st.focus import Focus

Options = TypeVar("Options")


def argument() -> Any:
    """A field that is an argument of the command."""
    return field(metadata={"typer": typer.Argument()})


def option(
    default: Any,
    *names: str,
    help: str = "",
    parse: Callable[[str, str], Any] | None = None,
    min: float = -math.inf,
    max: float = math.inf,
    **more: Any,
) -> Any:
    """A field that is an option of the command.

    Args:
        default: Its default; `MISSING` if it must be given.
        *names: Its names, if they are not that of the field.
        help: What it is for, where the docstring does not say it.
        parse: What makes its value of its name and its text; then `typer` sees a text.
        min: The least number that it may be.
        max: The largest.
        **more: Further arguments of `typer.Option`.

    Returns:
        The field.
    """
    metadata = {"typer": typer.Option(*names, help=help, **more), "parse": parse, "names": names, "range": (min, max)}
    return field(default=default, metadata=metadata)


def _said(options: type) -> dict[str, str]:
    """What the docstrings of a dataclass, and of those that it extends, say of their fields."""
    docs = [inspect.getdoc(of) or "" for of in reversed(options.__mro__)]
    found = [pair for doc in docs for pair in re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", doc, re.MULTILINE)]
    return {name: " ".join(words.split()) for name, words in found}


def command(options: type[Options], *first: str) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Make a command of a function that takes its options.

    Args:
        options: Their dataclass.
        *first: The fields that come first in its help; those that commands share come last.

    Returns:
        What turns the function into one with a parameter for each field, as typer reads it. It prints the user's
        mistakes in a line.
    """
    said, found = _said(options), {each.name: each for each in fields(options)}  # type: ignore[arg-type]
    names = (name for of in options.__mro__ for name in inspect.get_annotations(of))
    ordered = [found[name] for name in dict.fromkeys((*first, *names))]

    def decorate(run: Callable[[Options], None]) -> Callable[..., None]:
        def called(**given: Any) -> None:
            with mistakes_in_words():
                run(options(**{each.name: _value(each, given[each.name]) for each in ordered}))

        hints = get_type_hints(options)
        paragraphs = inspect.cleandoc(run.__doc__ or "").split("\n\n")
        called.__name__, called.__module__ = run.__name__, run.__module__
        called.__doc__ = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)  # typer keeps line ends
        parameters = [_parameter(each, hints[each.name], said.get(each.name, "")) for each in ordered]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorate


def _parameter(of: Field[Any], hint: Any, said: str) -> inspect.Parameter:
    of.metadata["typer"].help = of.metadata["typer"].help or said
    kind = Optional[str] if of.metadata.get("parse") else hint  # noqa: UP045  (typer reads it on Python 3.10 too)
    default = inspect.Parameter.empty if of.default is MISSING else of.default
    if isinstance(of.metadata["typer"], ArgumentInfo):
        of.metadata["typer"].metavar = of.name.upper()  # as help and messages call it
    return inspect.Parameter(
        of.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, of.metadata["typer"]]
    )


def _value(of: Field[Any], given: Any) -> Any:
    least, most = of.metadata.get("range", (-math.inf, math.inf))
    if isinstance(given, int) and not least <= given <= most:
        allowed = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise typer.BadParameter(f"{_name(of)} must be {allowed}, got {given}.")
    parse = of.metadata.get("parse")
    return parse(_name(of), given) if parse and given is not None else given


def _name(of: Field[Any]) -> str:
    return next(iter(of.metadata.get("names") or ()), f"--{of.name.replace('_', '-')}")


def numbers(text: str) -> list[float]:
    """The comma-separated numbers of an option; none if it does not hold just those."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return []


def two_numbers(name: str, text: str) -> tuple[float, float]:
    """The two comma-separated numbers of an option, the smaller one first."""
    found = numbers(text)
    if len(found) != 2:
        raise ValueError(f"{name} takes two numbers with a comma between, for example {name} 0,5; got {text!r}.")
    return score_interval(name, *found, names=("LOW", "HIGH"))


def positive_numbers(name: str, text: str) -> tuple[float, ...]:
    """The comma-separated positive numbers of an option, each once, in order of size."""
    found = numbers(text)
    if not found:
        raise ValueError(f"{name} takes numbers with a comma between, for example {name} 0.01,0.03; got {text!r}.")
    return tuple(sorted({finite_number(name, "a learning rate", value, positive=True) for value in found}))


def column_names(name: str, text: str) -> list[str]:
    """The comma-separated names of an option."""
    return [part.strip() for part in text.split(",")]


def words_of(options: Any, *names: str) -> list[str]:
    """The words of a command that asks for the same: its arguments, then each option that is not at its default.

    Where fields are named, those of them alone.
    """
    arguments, words = list[str](), list[str]()
    for each in (each for each in fields(options) if not names or each.name in names):
        value, name = getattr(options, each.name), _name(each)
        if isinstance(each.metadata["typer"], ArgumentInfo):
            arguments.append(str(value))
        elif value != each.default and isinstance(value, bool):
            yes, _, no = name.partition("/")
            words.append(yes if value else no)
        elif value != each.default:
            parts = value if isinstance(value, (list, tuple)) else [value]
            texts = [f"{part:g}" if isinstance(part, float) else str(part) for part in parts]
            texts = [",".join(texts)] if each.metadata["parse"] else texts
            words += [word for text in texts for word in (name, text)]
    return [*arguments, *words]


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Which columns hold texts without labels.

    Attributes:
        text_columns: The columns of the unlabelled texts. Default: all that contain texts.
    """

    text_columns: list[str] | None = option(None, parse=column_names, metavar="NAME,...")


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which data, and how they are read: the same for every command.

    Attributes:
        data: The data: a .csv, .tsv, .jsonl or .parquet file, or the name of a dataset on the Hugging Face hub.
        score_range: The scale of the labels, such as 0,5; it is mapped to 0 to 1. Not for classes.
        columns: The columns to use, by name or number (from 1): the texts in the order in which the loss takes them,
            then the label, if there is one. Default: detected, if there is only one choice.
        header: Whether a CSV file has a header row. Default: detected, and reported.
        split: The split of a hub dataset to use. Default: train.
    """

    data: str = argument()
    score_range: tuple[float, float] | None = option(None, parse=two_numbers, metavar="LOW,HIGH")
    columns: list[str] | None = option(None, parse=column_names, metavar="TEXT,...,LABEL")
    header: bool | None = option(None, "--header/--no-header")
    split: str | None = option(None)


def told_words(options: DataOptions, *more: str, **guessed: Any) -> list[str]:
    """The words of a command that say how the data are read, and more; `guessed` is what was not told, and is to be."""
    options = replace(options, **{name: of for name, of in guessed.items() if getattr(options, name) is None})
    return words_of(options, *more, *(each.name for each in fields(DataOptions) if each.name != "data"))


@dataclass(frozen=True, kw_only=True)
class FocusOptions:
    """Which scores matter.

    Attributes:
        focus: Which scores matter: high, low, extremes, middle, a region LOW:HIGH, or a link as JSON.
        threshold: Instead of --focus: the score at which you will decide, between 0 and 1. Repeat the option for
            several thresholds.
    """

    focus: str | None = option(None)
    threshold: list[float] | None = option(None)

    def told_focus(self) -> Focus | None:
        """What matters, as --focus or --threshold says."""
        if self.focus is None and not self.threshold:
            return None
        from selective_st.focus import read_focus  # late: it imports torch

        return read_focus(self.focus, self.threshold)


@dataclass(frozen=True, kw_only=True)
class PairOptions(FocusOptions, DataOptions):
    """How labelled pairs are taken by the commands that learn from them or measure on them.

    Attributes:
        focus: Which scores matter: high, low, extremes, middle, a region LOW:HIGH, or a link as JSON. Default: high.
        positive_from: The lowest label, after --score-range, with which a candidate counts as positive.
        as_queries: Whether the first texts are queries and the second ones documents, for models that embed the two
            differently. Default: detected by the names of the columns, or by first texts that occur in several pairs.
        overwrite: Replace an earlier output of this command.
    """

    focus: str | None = option(None)
    positive_from: float = option(0.8)
    as_queries: bool | None = option(None, "--as-queries/--no-as-queries")
    overwrite: bool = option(False, "--overwrite")

    def read_focus(self) -> Focus:
        """What matters, as --focus or --threshold says; by default, high scores."""
        from selective_st.focus import parse_focus

        return self.told_focus() or parse_focus("high")

    def __post_init__(self) -> None:
        if not 0 < self.positive_from <= 1:
            raise ValueError(
                f"--positive-from must be above 0 and at most 1, as the mapped labels are; got {self.positive_from:g}."
            )
