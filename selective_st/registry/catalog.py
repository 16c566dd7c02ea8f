"""The catalog, by its name within the registry (it stands in `selective_st.catalog`), and its tables for people."""

from selective_st._templates import render
from selective_st.catalog import *  # noqa: F403
from selective_st.catalog import SECTION_TITLES, ModelType, check_model_type, losses, rows
from selective_st.catalog import __all__ as _catalog

__all__ = [*_catalog, "loss_table"]


def loss_table(model_type: ModelType = "SentenceTransformer") -> str:
    """The tables of formats and losses, in Markdown.

    Args:
        model_type: Of which models.

    Returns:
        A heading and a table for each section. Commonly recommended losses are marked with a star, deprecated ones with
        a dagger, and what is newer than 6.0 with its release.

    Raises:
        ValueError: If there is no such model type.

    Example:
        >>> print(loss_table("MultiVectorEncoder").splitlines()[0])
        ### Losses
    """
    model_type = check_model_type("loss_table", model_type)
    entries = {entry.name: entry for entry in losses(model_type)}
    return render("loss_table.md", titles=SECTION_TITLES, rows=rows(model_type), entries=entries)
