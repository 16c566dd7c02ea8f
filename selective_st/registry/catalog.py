"""The catalog of formats and losses, by its name within the registry: it stands in `selective_st.catalog`."""

from selective_st.catalog import *  # noqa: F403
from selective_st.catalog import __all__ as __all__
