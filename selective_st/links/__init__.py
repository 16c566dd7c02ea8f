r"""Links: what a selective loss cares about.

A link `h` is a nondecreasing function of a score. Its slope is the **sensitivity**: how much an error costs where the
score is `z`. Its primitive `H` (the **potential**, `H' = h`) is convex, and the **matching loss** is the Bregman
divergence of `H`:

    D_H(p, s) = H(p) - H(s) - (p - s) h(s)        p predicted, s target;  D >= 0;  dD/dp = h(p) - h(s)

Start from what matters, and let a preset choose the function:

    >>> import torch
    >>> from selective_st.links import high_scores
    >>> link = high_scores()
    >>> predicted, target = torch.tensor([0.1, 0.9]), torch.tensor([0.2, 1.0])
    >>> link.divergence(predicted, target)          # the same error of 0.1 costs more at the top
    tensor([0.0004, 0.0215])

Links add up and scale, because convex potentials do; a link is described by plain JSON, and rebuilt from it:

    >>> from selective_st.links import IdentityLink, SigmoidLink, link_from_config
    >>> link = 0.3 * IdentityLink() + SigmoidLink(scale=20, shift=0.8)
    >>> link_from_config(link.get_config_dict()) == link
    True

Every method takes and returns tensors, elementwise, in at least float32. Source: arXiv 2506.04446 (Shamir & Warmuth
2025) for matching losses and the selective links; the numerically stable forms are this project's own.
"""

from __future__ import annotations

from selective_st.links._numerics import Interval
from selective_st.links.base import Link, link_from_config, register_link, registered_links
from selective_st.links.combined import LinearOutsideLink, WeightedSumLink
from selective_st.links.kinds import ConstantLink, ExponentialLink, IdentityLink, PiecewiseLink, SigmoidLink, SinhLink
from selective_st.links.presets import (
    extreme_scores,
    high_scores,
    link_for_thresholds,
    low_scores,
    middle_scores,
    score_region,
)

__all__ = [
    "ConstantLink",
    "ExponentialLink",
    "IdentityLink",
    "Interval",
    "LinearOutsideLink",
    "Link",
    "PiecewiseLink",
    "SigmoidLink",
    "SinhLink",
    "WeightedSumLink",
    "extreme_scores",
    "high_scores",
    "link_for_thresholds",
    "link_from_config",
    "low_scores",
    "middle_scores",
    "register_link",
    "registered_links",
    "score_region",
]

# One place to find them, whatever file they stand in: in messages, in pickles.
for _name in __all__:
    globals()[_name].__module__ = __name__
