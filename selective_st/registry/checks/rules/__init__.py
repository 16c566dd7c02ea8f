"""The rules, by what they look at."""

from selective_st.registry.checks.rules import batches, columns, labels, setup, values

__all__ = ["batches", "columns", "labels", "setup", "values"]
