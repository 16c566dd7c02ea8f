"""Which Sentence Transformers is installed, and what its older versions do otherwise."""

from __future__ import annotations

import pytest
import sentence_transformers
from packaging.version import Version

HOST = Version(sentence_transformers.__version__)


def needs_host(version: str, reason: str) -> pytest.MarkDecorator:
    """Skip a test, or a case of it, with an older Sentence Transformers.

    Args:
        version: The first version that it runs with.
        reason: What the older ones do otherwise.
    """
    return pytest.mark.skipif(Version(version) > HOST, reason=f"before {version} {reason}")
