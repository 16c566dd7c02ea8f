"""The options of a command as one dataclass, of whose fields typer's signature is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Annotated, Any, Optional, TypeVar, get_type_hints

import typer
from typer.models import ArgumentInfo

from selective_st.cli.common import Errors, column_names, two_numbers

Options = TypeVar("Options")

DATA_HELP = "A .csv, .tsv, .jsonl or .parquet file, or the name of a dataset on the Hugging Face hub."


def argument(help: str) -> Any:
    """A field that is an argument of the command.

    Args:
        help: What it is.

    Returns:
        The field.
    """
    return field(metadata={"typer": typer.Argument(help=help)})


def required(help: str) -> Any:
    """A field that is an option without a default.

    Args:
        help: What it is for.

    Returns:
        The field.
    """
    return field(metadata={"typer": typer.Option(help=help)})


def option(
    default: Any, help: str, *names: str, parse: Callable[[str, str | None], Any] | None = None, **settings: Any
) -> Any:
    """A field that is an option of the command.

    Args:
        default: Its default.
        help: What it is for.
        *names: Its names, if they are not that of the field.
        parse: What makes its value of its name and its text; then `typer` sees a text.
        **settings: Further arguments of `typer.Option`.

    Returns:
        The field.
    """
    return field(
        default=default, metadata={"typer": typer.Option(*names, help=help, **settings), "parse": parse, "names": names}
    )


def command(options: type[Options]) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Make a command of a function that takes its options.

    Args:
        options: Their dataclass.

    Returns:
        What turns the function into one with a parameter for each field, as typer reads it. It prints the user's
        mistakes in a line.
    """

    def decorate(run: Callable[[Options], None]) -> Callable[..., None]:
        def called(**given: Any) -> None:
            with Errors():
                run(options(**{each.name: _value(each, given[each.name]) for each in fields(options)}))  # type: ignore[arg-type]

        hints = get_type_hints(options)
        parameters = [_parameter(each, hints[each.name]) for each in fields(options)]  # type: ignore[arg-type]
        called.__name__, called.__doc__, called.__module__ = run.__name__, run.__doc__, run.__module__
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorate


def _parameter(of: Field[Any], hint: Any) -> inspect.Parameter:
    kind = Optional[str] if of.metadata.get("parse") else hint  # noqa: UP045  (typer reads it on Python 3.10 too)
    return inspect.Parameter(
        of.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if of.default is MISSING else of.default,
        annotation=Annotated[kind, of.metadata["typer"]],
    )


def _value(of: Field[Any], given: Any) -> Any:
    parse = of.metadata.get("parse")
    return parse(_names(of)[0], given) if parse else given


def _names(of: Field[Any]) -> tuple[str, ...]:
    return of.metadata.get("names") or (f"--{of.name.replace('_', '-')}",)


def words_of(options: Any) -> list[str]:
    """The words of a command that asks for the same.

    Args:
        options: The options of the command.

    Returns:
        Its arguments, then each option that is not at its default.
    """
    words: dict[bool, list[str]] = {False: [], True: []}
    for each in fields(options):
        value, [name, *_] = getattr(options, each.name), _names(each)
        is_argument = isinstance(each.metadata["typer"], ArgumentInfo)
        if is_argument:
            words[False].append(str(value))
        elif value != each.default and isinstance(value, bool):
            yes, _, no = name.partition("/")
            words[True].append(yes if value else no)
        elif value != each.default:
            parts = value if isinstance(value, (list, tuple)) else [value]
            words[True] += [name, ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)]
    return [*words[False], *words[True]]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which data, and how they are read: the same for every command."""

    data: str = argument(DATA_HELP)
    score_range: tuple[float, float] | None = option(
        None,
        "Ends of the labels' scale, mapped to 0 and 1. For example 0,5. Not for classes.",
        parse=two_numbers,
        metavar="LOW,HIGH",
    )
    columns: list[str] | None = option(
        None,
        "The columns to use, names or numbers counted from 1, in the order in which a loss shall see them: texts, then "
        "the label, if there is one. Default: the only choice, if there is one.",
        parse=column_names,
        metavar="TEXT,...,LABEL",
    )
    header: bool | None = option(
        None, "Whether a CSV has a header row. Default: told from its first row, and said.", "--header/--no-header"
    )
    split: str | None = option(None, "Which split of a hub dataset. Default: train.")


def told_words(options: DataOptions, **guessed: Any) -> list[str]:
    """The words of a command that say how the data are read.

    Args:
        options: What was told.
        **guessed: What was not told, and is to be.

    Returns:
        The words after the name of the data.
    """
    told = {each.name: getattr(options, each.name) for each in fields(DataOptions)}
    told |= {name: value for name, value in guessed.items() if told[name] is None}
    return words_of(DataOptions(**told))[1:]
