"""The rules, by what they look at."""

from selective_st.registry.checks.rules import batches, inputs, labels, setup, teachers, values

__all__ = ["batches", "inputs", "labels", "setup", "teachers", "values"]
