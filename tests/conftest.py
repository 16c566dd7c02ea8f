"""Which cases are quick, and what all of them have in common: no network. The fixtures are in tests/fixtures.py."""

from __future__ import annotations

import gc
import logging
import os
import tempfile
from collections import defaultdict
from typing import Any

import pytest

_CACHE = tempfile.TemporaryDirectory(prefix="selective-st-tests-")  # of datasets; the user's own stays as it is
os.environ["HF_HOME"] = _CACHE.name
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

QUICK_CASES = 2
"""Of each test in `make test`, one where there are not more than thirty; `make test-all` has all."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accuracy-cases", type=int, default=300, help="random cases for each link in test_link_accuracy")
    parser.addoption("--far-out-cases", type=int, default=500, help="random links in test_far_out")
    parser.addoption("--fuzz-examples", type=int, default=40, help="damaged files of each kind in test_files")


def pytest_configure(config: pytest.Config) -> None:
    # The process that deals the cases to others need not import what takes seconds.
    if not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tests.fixtures")


@pytest.hookimpl(tryfirst=True)  # before some are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as quick a few cases of each test that is not slow, such that they show as many values as they can."""
    tests: dict[tuple[str, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("slow") is None:
            tests[item.parent.nodeid if item.parent else "", getattr(item, "originalname", item.name)].append(item)
    for cases in tests.values():
        for item in _spread(_showing_each_value(cases), QUICK_CASES if len(cases) > 15 * QUICK_CASES else 1):
            item.add_marker("quick")


def pytest_collection_finish() -> None:
    """Let the collections of garbage, one after each training, pass over all that was imported: a third of the time.

    And pytest attaches its handlers, three times a case, to each logger that does not propagate: torch alone has sixty.
    """
    gc.freeze()
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.propagate = True


def _showing_each_value(cases: list[pytest.Item]) -> list[pytest.Item]:
    """As few cases as hold every value of every parameter that there is."""
    seen: set[tuple[str, Any]] = set()
    kept = []
    for case in cases:
        parameters = getattr(getattr(case, "callspec", None), "params", {})
        values = {(name, x if isinstance(x, (str, int, float)) else id(x)) for name, x in parameters.items()}
        if not kept or not values <= seen:
            kept.append(case)
        seen |= values
    return kept


def _spread(cases: list[pytest.Item], most: int) -> list[pytest.Item]:
    """So many of them, evenly from first to last."""
    if len(cases) <= most:
        return cases
    return [cases[i * len(cases) // most] for i in range(most)]
