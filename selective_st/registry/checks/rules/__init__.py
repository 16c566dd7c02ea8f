"""The rules, by what they look at."""

from selective_st.registry.checks.rules import columns, labels, setup

__all__ = ["columns", "labels", "setup"]
