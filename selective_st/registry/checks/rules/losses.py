"""Lines that take another loss, or the same with other settings."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from selective_st.errors import literal
from selective_st.registry.catalog import CLASSES, LossEntry, loss_entry, rows
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.engine import LossLine, Part

_POSITIVES = "(anchor, positive) pairs"
_UTILITIES = ("pairwise_cos_sim", "pairwise_dot_score", "cos_sim", "dot_score")
_SPARSE_ALONE = ("SparseMSELoss",)
_SPARSE_WEIGHTS = "document_regularizer_weight=3e-5, query_regularizer_weight=5e-5"


def other_loss(context: Context, shape: str, label: str, why: str = "") -> list[tuple[Part, ...]]:
    """Lines that take a loss for another format.

    Args:
        context: What is known of the data.
        shape: The inputs.
        label: The kind of the labels.
        why: What it is for.

    Returns:
        One alternative; none where no loss is for that, or the loss in question is itself.
    """
    model_type = context.entry.model_type
    fitting = [row for row in rows(model_type) if (row.shape, row.label) == (shape, label)]
    if (shape, label) == ("pair", "none"):
        known_inputs = {row.inputs for row in fitting}
        inputs = context.format.meaning if context.format.meaning in known_inputs else _POSITIVES
        fitting = [row for row in fitting if row.inputs == inputs]
    names = [name for row in fitting for name in (*row.recommended, *row.losses, *(one.loss for one in row.selective))]
    known = [loss_entry(name, model_type) for name in dict.fromkeys(names)]
    chosen = next((entry for entry in known if _can_be_taken(context, entry)), None)
    if chosen is None or any(entry.name == context.entry.name for entry in known):
        return []
    return [(loss_line(context, chosen, why=why or f"for labels: {label}"),)]


def _can_be_taken(context: Context, entry: LossEntry) -> bool:
    """Whether a loss needs nothing but the model, and takes this one."""
    modules = [type(module).__name__ for module in getattr(context.model, "children", list)()]
    needs_transformer = any(
        words in caveat for caveat in entry.caveats for words in ("static embeddings", "needs a transformer")
    )
    fits = not (needs_transformer and "StaticEmbedding" in modules)
    return fits and not entry.deprecated and "guide" not in dict(entry.arguments)


def loss_line(context: Context, entry: LossEntry, *given: str, why: str = "") -> LossLine:
    """The lines that make a loss.

    Args:
        context: What is known of the data.
        entry: Which loss.
        *given: Arguments as code, such as `temperature=0.5`. Default: those that the registry suggests.
        why: What it is for.

    Returns:
        Its imports, what its arguments need, and the loss.
    """
    arguments = given or tuple(f"{name}={code}" for name, code in entry.arguments)
    made = f"{entry.name}({', '.join(['model', *arguments])})"
    imports = [f"from {entry.module} import {entry.name}"]
    if entry.model_type == "SparseEncoder" and entry.name not in _SPARSE_ALONE and entry.role == "loss":
        imports.append(f"from {loss_entry('SpladeLoss', entry.model_type).module} import SpladeLoss")
        made = f"SpladeLoss(model, {made}, {_SPARSE_WEIGHTS})"
    label = literal(str(context.label))
    is_list = context.source is not None and context.labels.lengths is not None
    classes = f"len({{dataset}}[{label}][0])" if is_list else f"int(max({{dataset}}[{label}])) + 1"
    setup = [line.replace(CLASSES, classes) for line in entry.setup]
    names = {node.id for node in ast.walk(ast.parse(made)) if isinstance(node, ast.Name)}
    imports += [f"from sentence_transformers.util import {name}" for name in _UTILITIES if name in names]
    line = LossLine("\n".join([*imports, *setup, f"{{loss}} = {made}" + (f"  # {why}" if why else "")]))
    line.entry = entry
    return line


def argument_line(name: str, value: str, imports: Iterable[str] = ()) -> str:
    """The line that sets one of the training arguments."""
    return "\n".join([*imports, f"args.{name} = {value}"])


def sampler_line(name: str) -> str:
    """The lines that choose a sampler of batches."""
    module = "sentence_transformers.sentence_transformer.training_args"
    return argument_line("batch_sampler", f"BatchSamplers.{name}", [f"from {module} import BatchSamplers"])
