"""Do the loss, the model and the batches fit together, so that there is something to learn?"""

from __future__ import annotations

from typing import Any

from selective_st.registry.catalog import OURS
from selective_st.registry.checks.context import Checked, Context, Found, row_numbers
from selective_st.registry.names import TRAINER_LABELS


def lone_row(context: Context) -> Checked:
    """Batches of one row, where the loss compares the rows of a batch."""
    entry, rows = context.entry, context.table.rows
    size = context.batch_size if rows is None else min(context.batch_size, rows)
    if size > 1 or getattr(context.loss, "gather_across_devices", False) is True:
        return
    in_batch = entry.in_batch_negatives and len(context.read_inputs) < 3 and context.read_label is None
    # Lists are ordered within a row, and pairs across rows.
    ordered = entry.order_only and context.label is not None and context.labels.numbers is not None
    if not (in_batch or ordered or entry.class_batches) or len(context.read_inputs) < entry.min_columns:
        return
    few = rows is not None and rows <= 1
    name = context.variable
    yield Found(
        "error",
        f"{entry.name} compares the rows of a batch, but "
        + ("there is one row" if few else "a batch has one row")
        + ": it teaches nothing",
        f"{name} = concatenate_datasets([{name}, more])  # from datasets; `more`: more rows of the same columns"
        if few
        else "args.per_device_train_batch_size = 32",
    )


def short_lists(context: Context) -> Checked:
    """Lists of one document, which have no order."""
    lists = [column for column in context.inputs if context.kinds[column] == "texts"]
    if context.shapes != {"list"} or len(lists) != 1:
        return
    lengths = context.scan.texts[lists[0]].lengths
    if lengths is None:
        return
    tally = context.scan.tally(lengths < 2)
    if tally.count < 0.5 * len(lengths):
        return
    name, everywhere = context.variable, tally.count == len(lengths)
    yield Found(
        "error" if everywhere else "warning",
        f"{lists[0]!r} holds fewer than two texts in {row_numbers(tally)}: {context.entry.name} learns from the order "
        "of a query's texts, and there is none",
        "loss = BinaryCrossEntropyLoss(model)  # learns from pairs: "
        f"split_lists of selective_st.conversion makes them of {name}"
        if everywhere
        else context.keep("texts", "len(texts) > 1", lists[0]),
        lists[0],
        tally,
    )


def loss_targets(context: Context) -> Checked:
    """SelectivePairwiseLoss without `targets` for labels that could be two things, or with it for none."""
    if context.loss is None or context.entry.name != "SelectivePairwiseLoss" or context.entry.origin != OURS:
        return
    targets = getattr(context.loss, "targets", None)
    label, documents = context.label, len(context.inputs) - 1
    if label is None and targets is not None:
        column = context.format.label_column
        yield Found(
            "error",
            f"targets={targets!r} needs labels in a column called {', '.join(TRAINER_LABELS[:-1])} or "
            f"{TRAINER_LABELS[-1]}, but there are none",
            "loss = SelectivePairwiseLoss(model)" if column is None else context.step("rename_column", column, "label"),
            column,
        )
        return
    if label is None or documents < 2:
        return
    lengths = context.labels.lengths
    found = 1 if lengths is None else int(lengths.max()) if len(lengths) else 0
    if targets is None and lengths is not None and found == documents:
        yield Found(
            "error",
            f"the {documents} labels of each row in {label!r} could mean two things, and {context.entry.name} wants to "
            'be told: targets="scores" (to be reached) or targets="margins" (their differences are)',
            'loss = SelectivePairwiseLoss(model, similarity_fct=pairwise_cos_sim, targets="scores")',
            label,
        )
    elif targets == "scores" and found == documents - 1 and context.labels.type in ("float", "list"):
        yield Found(
            "error",
            f'targets="scores" takes {documents} labels a row, one for each document, but {label!r} has {found}, as '
            "margins have",
            'loss = SelectivePairwiseLoss(model, similarity_fct=pairwise_cos_sim, targets="margins")',
            label,
        )


def no_autoencoder(context: Context) -> Checked:
    """CSRLoss with a model that has no SparseAutoEncoder."""
    names = [type(wrapper).__name__ for wrapper in context.subject.wrappers]
    if "CSRLoss" not in [*names, context.entry.name] or context.model is None:
        return
    modules = _modules(context.model)
    if not modules or "SparseAutoEncoder" in modules:
        return
    yield Found(
        "error",
        f"CSRLoss reads what a SparseAutoEncoder puts out, but the model has none: {', '.join(modules)}",
        "loss = SpladeLoss(model, SparseMultipleNegativesRankingLoss(model), document_regularizer_weight=3e-5, "
        "query_regularizer_weight=5e-5)",
    )


def _modules(model: Any) -> list[str]:
    """The names of the classes of a model's modules, and of their bases."""
    children = getattr(model, "modules", None)
    if not callable(children):
        return []
    found = [type(module).__name__ for module in getattr(model, "children", list)()]
    inner = [base.__name__ for module in children() for base in type(module).__mro__]
    return [*found, "SparseAutoEncoder"] if "SparseAutoEncoder" in inner else found


def classifier_size(context: Context) -> Checked:
    """A classifier of SoftmaxLoss for embeddings of another size."""
    size = context.dimension
    wanted = getattr(getattr(context.loss, "classifier", None), "in_features", None)
    if context.entry.name != "SoftmaxLoss" or size is None or not isinstance(wanted, int):
        return
    parts = ("rep", "difference", "multiplication")
    taken = [int(getattr(context.loss, f"concatenation_sent_{part}", False)) for part in parts]
    vectors = 2 * taken[0] + taken[1] + taken[2]
    if vectors and wanted != vectors * size:
        yield Found(
            "error",
            f"the classifier of SoftmaxLoss is for embeddings of {wanted // vectors} numbers, but those of the model "
            f"have {size}",
            f"loss = SoftmaxLoss(model, model.get_embedding_dimension(), num_labels={context.loss.num_labels})",
        )
