"""Draw the picture of the README: three links, their sensitivity and their losses. Run it with `make docs`."""

from __future__ import annotations

from pathlib import Path

from selective_st.links import IdentityLink, high_scores, score_region
from selective_st.plotting import plot_links

LINKS = {
    "IdentityLink(): all alike": IdentityLink(),
    "high_scores()": high_scores(),
    "score_region(0.6, 0.8)": score_region(0.6, 0.8),
}

if __name__ == "__main__":
    print(plot_links(LINKS, Path(__file__).with_name("links.png"), targets=(0.2, 0.7)))
