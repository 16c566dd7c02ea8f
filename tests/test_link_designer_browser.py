"""The page that designs links has the numbers of Python, in a real browser, and does what its controls say."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from selective_st import links
from selective_st.cli import app
from selective_st.evaluation import threshold_curve
from selective_st.focus import parse_focus
from selective_st.link_designer import link_designer
from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    IdentityLink,
    Link,
    PiecewiseLink,
    SigmoidLink,
    SinhLink,
    extreme_scores,
    high_scores,
    link_for_thresholds,
    link_from_config,
    low_scores,
    middle_scores,
    score_region,
)

pytestmark = pytest.mark.slow

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
TEN_KNOTS = PiecewiseLink([i / 9 for i in range(10)], [1, 0, 0, 2, 5, 0.5, 8, 8, 0, 3])
LINKS = [
    high_scores(), high_scores(0.3), high_scores(20, (-1, 1)), low_scores(8), extreme_scores(3, (0, 5)),
    middle_scores(12), score_region(0.7, 0.9), score_region(0.0, 0.2, 100), score_region(1, 2, 3, (0, 5)),
    link_for_thresholds([0.8]), link_for_thresholds([0.3, 0.8], [1, 4], 0.01, 0), link_for_thresholds([0.4, 0.45, 0.5]),
    link_for_thresholds([0.5], elsewhere=1), link_for_thresholds([-3, 2], width=0.7, score_range=(-5, 5)),
    PiecewiseLink([0.4], [2]), PiecewiseLink([0, 0.5, 0.6, 1], [1, 1, 9, 0]), TEN_KNOTS, TEN_KNOTS.normalized(0, 1),
    0.3 * IdentityLink() + SigmoidLink(20, 0.8), SinhLink(5, 0.5) + 2 * ExponentialLink(-3) + ConstantLink(),
    ExponentialLink(9).linear_outside(0.2, 0.8), (3 * SigmoidLink(30, 0.4)).linear_outside(None, 0.6),
    0.5 * TEN_KNOTS.linear_outside(0.25, None),
]  # fmt: skip
PAIRS = [(0.7, 0.8), (0.95, 0.3), (0.2, 0.2), (-0.1, 0.6), (0.6, 0.5), (1.2, 1.0)]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright, which drives the browser")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip("no Chromium here: install it (apt-get install chromium), or name one in CHROMIUM")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path)
        yield running
        running.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("designer") / "links.html"
    assert run("plot", "--interactive", path).exit_code == 0
    return path


def opening(browser: Any, file: Path) -> Iterator[Callable[..., Any]]:
    """What opens a page, in which no script may fail and from which nothing may leave."""
    wrong: list[str] = []
    contexts = []

    def opens(path: Path = file, **settings: Any) -> Any:
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("request", lambda request: request.url.startswith("file:") or wrong.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_function("link !== undefined")
        return page

    yield opens
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Callable[..., Any]]:
    yield from opening(browser, file)


@pytest.fixture
def page(opened: Callable[..., Any]) -> Any:
    return opened()


@pytest.fixture(scope="module")
def kept(browser: Any, file: Path) -> Iterator[Any]:
    """A page for tests that leave it as they found it."""
    for opens in opening(browser, file):
        yield opens()


def drag(page: Any, picture: str, handle: str, *ways: tuple[float, float]) -> None:
    """Drag a handle to shares of a picture's width and height, from left and top."""
    page.locator(f"#{picture} svg").scroll_into_view_if_needed()
    box = page.locator(f"#{picture} svg").bounding_box()
    knob = page.get_by_role("slider", name=handle).locator(".knob").bounding_box()
    page.mouse.move(knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2)
    page.mouse.down()
    for across, down in ways:
        page.mouse.move(*point(box, across, down), steps=4)
    page.mouse.up()


def point(box: dict[str, float], across: float, down: float) -> tuple[float, float]:
    left, right, top, bottom = 46, 12, 8, 26  # the margins around the drawing
    return (
        box["x"] + left + across * (box["width"] - left - right),
        box["y"] + top + down * (box["height"] - top - bottom),
    )


def choose(page: Any, mode: str) -> None:
    page.get_by_role("radio", name=mode).check()


def copied(page: Any, button: str) -> str:
    page.get_by_role("button", name=f"Copy {button}", exact=True).click()
    page.get_by_text("Copied.").wait_for()
    return str(page.evaluate("navigator.clipboard.readText()"))


def copied_link(page: Any) -> Link:
    """The link of the copied Python, which is that of the copied JSON, of `--focus`, and of the page's own values."""
    code = copied(page, "Python")
    names = {**vars(links), "model": None}
    exec("\n".join(line for line in code.splitlines() if "Selective" not in line), names)
    link = names["link"]
    assert isinstance(link, Link)
    of_json = link_from_config(json.loads(copied(page, "JSON")))
    scores = torch.linspace(0, 1, 101, dtype=torch.float64)
    torch.testing.assert_close(of_json.sensitivity(scores), link.sensitivity(scores), rtol=1e-9, atol=1e-9)
    values = page.evaluate("scores => scores.map(link.slope)", scores.tolist())
    torch.testing.assert_close(
        torch.tensor(values, dtype=torch.float64), link.sensitivity(scores), rtol=1e-9, atol=1e-9
    )
    return link


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_the_numbers_of_a_link_are_those_of_python(kept: Any, link: Link) -> None:
    low, high = (-5.0, 5.0) if repr(link).endswith("5.0))") else (-0.3, 1.3)
    scores = torch.linspace(low, high, 33, dtype=torch.float64)
    p, s = (each.flatten() for each in torch.meshgrid(scores, scores, indexing="ij"))
    p = torch.cat([p, s + 1e-4, s - 1e-7])
    s = torch.cat([s, s, s])
    h, slope, loss, potential = kept.evaluate(
        """([config, z, p, s]) => {
            const link = linkFromConfig(config);
            const loss = p.map((each, i) => link.loss(each, s[i]));
            return [z.map(link.h), z.map(link.slope), loss, z.map(link.potential)];
        }""",
        [link.get_config_dict(), scores.tolist(), p.tolist(), s.tolist()],
    )
    for found, right in ((h, link(scores)), (slope, link.sensitivity(scores)), (loss, link.divergence(p, s))):
        torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), right, rtol=1e-6, atol=1e-25)
    right = link.potential(scores) - link.potential(torch.tensor(0.0, dtype=torch.float64))  # the page's is 0 there
    size = float(right.abs().max())
    torch.testing.assert_close(torch.tensor(potential, dtype=torch.float64), right, rtol=1e-6, atol=1e-12 * size)


@pytest.mark.parametrize(
    ("preset", "positional", "keywords"),
    [
        *((preset, (), {"strength": strength, "score_range": (low, high)})
          for preset in (high_scores, low_scores, extreme_scores, middle_scores)
          for strength, low, high in ((5, 0, 1), (0.7, -1, 1), (20, 0, 5), (200, 0, 1))),
        (score_region, (0.7, 0.9), {"strength": 10, "score_range": (0, 1)}),
        (score_region, (0, 5), {"strength": 3, "score_range": (0, 5)}),
        (link_for_thresholds, ([0.8],), {"width": 0.05, "elsewhere": 0.1, "score_range": (0, 1)}),
        (link_for_thresholds, ([0.8, 0.85, 0.2],),
         {"weights": [2, 1, 5], "width": 0.02, "elsewhere": 0.3, "score_range": (0, 1)}),
        (link_for_thresholds, ([0.4, 0.6],), {"width": 0.2, "elsewhere": 0, "score_range": (0, 1)}),
        (link_for_thresholds, ([1, 4],), {"weights": None, "width": 0.1, "elsewhere": 1, "score_range": (0, 5)}),
    ],
)  # fmt: skip
def test_presets_are_those_of_python(
    kept: Any, preset: Callable[..., Link], positional: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    right = preset(*positional, **keywords).get_config_dict()
    found = kept.evaluate(
        "([name, positional, keywords]) => PRESETS[name](...positional, keywords)",
        [preset.__name__, list(positional), keywords],
    )
    assert shape_of(found) == shape_of(right)
    assert numbers_in(found) == pytest.approx(numbers_in(right), rel=1e-9)


def numbers_in(config: Any) -> list[float]:
    if isinstance(config, (dict, list)):
        return [x for part in (config.values() if isinstance(config, dict) else config) for x in numbers_in(part)]
    return [] if isinstance(config, str) else [config]


def shape_of(config: Any) -> Any:
    if isinstance(config, dict):
        return {name: shape_of(value) for name, value in config.items()}
    return [shape_of(part) for part in config] if isinstance(config, list) else type(config) is str and config


@pytest.mark.parametrize("case", ["random", "ties", "one side", "equal", "far out"])
def test_the_threshold_curve_is_that_of_python(kept: Any, case: str) -> None:
    rng = np.random.default_rng(0)
    predicted, target = rng.normal(0.5, 0.3, 500), rng.uniform(0, 1, 500)
    if case == "ties":
        predicted, target = predicted.round(1), target.round(1)
    if case == "one side":
        predicted = target + 0.2
    if case == "equal":
        predicted[::2] = target[::2]
    if case == "far out":
        predicted, target = 1000 * predicted - 300, 1000 * target
    thresholds = np.concatenate([np.linspace(-0.5, 1.5, 101), predicted[:20], target[:20]])
    right = threshold_curve(predicted, target, thresholds)[1]
    found = kept.evaluate("given => thresholdCurve(...given)", [list(zip(predicted, target)), thresholds.tolist()])  # noqa: B905
    assert found == pytest.approx(right.tolist(), rel=1e-9, abs=1e-12)


def test_thresholds_are_typed_dragged_moved_by_keys_and_removed(page: Any) -> None:
    assert copied_link(page) == link_for_thresholds([0.8])
    page.get_by_label("Thresholds", exact=True).and_(page.get_by_role("textbox")).fill("0.4, 0.8")
    page.get_by_label("Their weights").fill("1, 3")
    page.get_by_role("spinbutton", name="Width").fill("0.02")
    page.get_by_role("slider", name="Elsewhere").fill("0.25")
    assert copied_link(page) == link_for_thresholds([0.4, 0.8], [1, 3], 0.02, 0.25)
    handle = page.get_by_role("slider", name="Threshold 1")
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert handle.get_attribute("aria-valuenow") == "0.31"
    assert copied_link(page) == link_for_thresholds([0.31, 0.8], [1, 3], 0.02, 0.25)
    drag(page, "sensitivity", "Threshold 2", (0.6, 0.5))
    assert page.evaluate("state.thresholds") == [0.31, pytest.approx(0.6, abs=2e-3)]
    page.get_by_role("slider", name="Threshold 1").press("Delete")
    assert page.evaluate("[state.thresholds.length, state.weights]") == [1, [3]]
    page.mouse.dblclick(*point(page.locator("#sensitivity svg").bounding_box(), 0.2, 0.3))
    assert page.evaluate("state.thresholds") == pytest.approx([0.6, 0.2], abs=2e-3)
    page.get_by_role("slider", name="Threshold 1").press("Delete")
    page.get_by_role("slider", name="Threshold 1").press("Delete")  # the last one stays
    assert page.get_by_role("slider", name="Threshold").count() == 1


def test_presets_by_their_sliders(page: Any) -> None:
    choose(page, "Preset")
    for preset in (high_scores, low_scores, extreme_scores, middle_scores):
        page.get_by_label("Preset", exact=True).and_(page.get_by_role("combobox")).select_option(preset.__name__)
        page.get_by_role("slider", name="Strength").fill("5")
        assert copied_link(page) == preset()
        assert copied(page, "Python").count("strength") == 0
        page.get_by_role("slider", name="Strength").press("ArrowRight")
        assert copied_link(page) == preset(5.1)
        assert page.locator("#preset-words").inner_text().startswith(str(preset.__doc__).split(":")[0].split(".")[0])
        assert "at 5.0" in page.locator("#strength-words").inner_text()


def test_a_region_and_its_ends(page: Any) -> None:
    choose(page, "Region")
    assert copied_link(page) == score_region(0.7, 0.9)
    page.get_by_role("slider", name="End of the region 1").press("ArrowLeft")
    page.get_by_role("spinbutton", name="To").first.fill("0.85")
    page.get_by_role("slider", name="How many times").fill("20")
    assert copied_link(page) == score_region(0.69, 0.85, 20)
    page.get_by_role("spinbutton", name="To").first.fill("0.5")
    assert page.locator("#error").inner_text() == "To: give a score within their range, above the other end."
    assert page.evaluate("link.slope(0.8) > 3")  # the last that was right


def test_a_sensitivity_drawn_by_hand(page: Any) -> None:
    choose(page, "Draw")
    start = copied_link(page)  # it starts from the link that was there
    assert float(start.sensitivity(torch.tensor(0.75))) == pytest.approx(
        float(link_for_thresholds([0.8]).sensitivity(torch.tensor(0.75))), rel=0.1
    )
    page.get_by_label("Knots (scores)").fill("0, 0.5, 1")
    page.get_by_label("Sensitivities").fill("1, 1, 4")
    assert copied_link(page) == PiecewiseLink([0, 0.5, 1], [1, 1, 4]).normalized(0, 1)
    knot = page.get_by_role("slider", name="Knot 2")
    knot.press("ArrowRight")
    knot.press("Shift+ArrowUp")
    assert page.evaluate("[state.knots, state.heights]") == [[0, 0.51, 1], [1, pytest.approx(2, abs=0.02), 4]]
    page.mouse.dblclick(*point(page.locator("#sensitivity svg").bounding_box(), 0.25, 0.5))
    assert page.evaluate("[state.knots, state.heights]") == [
        [0, pytest.approx(0.25, abs=2e-3), 0.51, 1], [1, pytest.approx(1.5, abs=0.02), pytest.approx(2, abs=0.02), 4],
    ]  # fmt: skip
    page.get_by_role("slider", name="Knot 1").press("Delete")
    assert page.evaluate("state.knots") == [pytest.approx(0.25, abs=2e-3), 0.51, 1]
    drag(page, "sensitivity", "Knot 3", (0.9, 1), (0.3, 1.5))  # not past the next
    knots, heights = page.evaluate("[state.knots, state.heights]")
    assert 0.51 < knots[2] < 0.91
    assert heights[2] == 0
    copied_link(page)
    page.get_by_label("Sensitivities").fill("0, 0, 0")
    assert "All sensitivities are 0" in page.locator("#error").inner_text()


@pytest.mark.parametrize("link", [LINKS[1], LINKS[11], LINKS[17], LINKS[20], LINKS[22]], ids=repr)
def test_a_links_json(page: Any, link: Link) -> None:
    choose(page, "JSON")
    assert link_from_config(json.loads(page.locator("#json").input_value())) == link_for_thresholds([0.8])
    page.locator("#json").fill(json.dumps(link.get_config_dict()))
    assert copied_link(page) == link


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"type": "SigmoidLink", "scale": 20', "not valid JSON"),
        ('{"type": "eval"}', "one of ConstantLink, IdentityLink"),
        ("5", "got 5"),
        ("null", "got null"),
        ('{"type": "SigmoidLink", "scale": 20}', "besides its type: scale, shift; got scale."),
        ('{"type": "SigmoidLink", "scale": "20", "shift": 0}', 'scale must be a number, got "20"'),
        ('{"type": "PiecewiseLink", "knots": 1, "sensitivities": [1]}', "knots must be a list, got 1"),
        ('{"type": "PiecewiseLink", "knots": [1, 0], "sensitivities": [1, 1]}', "knots must increase"),
        ('{"type": "WeightedSumLink", "weights": [1], "links": [null]}', "got null"),
        ('{"type": "WeightedSumLink", "weights": [-1], "links": [{"type": "IdentityLink"}]}', "must be above 0"),
        ('{"type": "ExponentialLink", "scale": 5000}', "overflows"),
        ('{"type": "ConstantLink"}', "nothing would matter"),
        ('{"type": "LinearOutsideLink", "link": {"type": "IdentityLink"}, "low": 1, "high": 0}', "low must be below"),
    ],
)
def test_a_wrong_json_is_told(kept: Any, text: str, says: str) -> None:
    choose(kept, "JSON")
    kept.locator("#json").fill(text)
    assert says in kept.locator("#error").inner_text()
    assert kept.evaluate("link.slope(0.8) > 3")  # the last that was right
    choose(kept, "Thresholds")
    assert kept.locator("#error").inner_text() == ""


@pytest.mark.parametrize(
    ("label", "text", "says"),
    [
        ("#thresholds", "", "Thresholds: give scores within their range"),
        ("#thresholds", "0.8, high", "Thresholds: give scores within their range"),
        ("#thresholds", "80", "Thresholds: give scores within their range"),
        ("#weights", "1, 2", "one weight for each threshold"),
        ("#weights", "-1", "Their weights: give numbers above 0"),
        ("#width", "0", "Width: give a number above 0"),
        ("#width", "", "Width: give a number above 0"),
        ("#elsewhere", "2", "share of the highest: give a number from 0 to 1"),
        ("#targets", "0.5, 7", "Targets: give scores within"),
    ],
)
def test_a_wrong_field_is_told(kept: Any, label: str, text: str, says: str) -> None:
    right = kept.locator(label).input_value()
    kept.locator(label).fill(text)
    assert says in kept.locator("#error").inner_text()
    assert kept.locator(label).get_attribute("aria-invalid") == ("false" if "each" in says else "true")
    kept.locator(label).fill(right)
    assert kept.locator("#error").inner_text() == ""


def test_the_potential_is_drawn_and_read(page: Any) -> None:
    assert page.locator("#potential .line").count() == 1
    page.locator("#potential svg").hover(position={"x": 100, "y": 50})
    score, value = map(float, page.locator("#potential output").inner_text().removeprefix("H(").split(") = "))
    assert page.evaluate("z => link.potential(z)", score) == pytest.approx(value, rel=0.02, abs=0.02)
    cells = page.locator("#table tr").last.locator("td").all_text_contents()
    assert float(cells[3]) == pytest.approx(page.evaluate("link.potential(range[1])"), rel=0.01)


def test_another_range_of_scores(page: Any) -> None:
    page.get_by_text("Range of the scores").click()
    page.get_by_role("spinbutton", name="To").last.fill("5")
    page.get_by_label("Thresholds", exact=True).and_(page.get_by_role("textbox")).fill("4")
    page.get_by_role("spinbutton", name="Width").fill("0.25")
    assert copied_link(page) == link_for_thresholds([4], width=0.25, score_range=(0, 5))
    assert page.get_by_role("button", name="Copy --focus").is_disabled()  # which is for scores from 0 to 1
    choose(page, "Region")
    page.get_by_role("spinbutton", name="To").first.fill("4.5")
    assert copied_link(page) == score_region(0.7, 4.5, score_range=(0, 5))


def test_targets_move_and_their_losses_with_them(page: Any) -> None:
    before = page.locator("#loss .line").last.get_attribute("d")
    page.get_by_role("slider", name="Target 2").press("ArrowLeft")
    assert page.get_by_label("Targets", exact=True).and_(page.get_by_role("textbox")).input_value() == "0.2, 0.89"
    assert page.locator("#loss .line").last.get_attribute("d") != before
    page.get_by_label("Targets", exact=True).and_(page.get_by_role("textbox")).fill("0.1 0.5 0.6")
    assert page.locator("#loss .line:not(.other)").count() == 3
    page.locator("#loss svg").hover(position={"x": 100, "y": 50})
    assert page.locator("#loss output").inner_text().count(", ") == 2


def test_what_is_copied_is_what_focus_takes(page: Any, tmp_path: Path) -> None:
    choose(page, "Region")
    link = copied_link(page)
    option, text = shlex.split(copied(page, "--focus"))
    assert option == "--focus"
    assert parse_focus(text).link == link
    assert parse_focus(text).regions == ((0.65, 0.95),)  # where it is at least half of its highest
    assert run("plot", "--focus", text, "--output", tmp_path / "links.png").exit_code == 0
    result = run("plot", "--focus", text, "--interactive", tmp_path / "links.html")
    assert result.exit_code == 0, result.output


def shown_loss(page: Any) -> float:
    return float(page.locator("#figures dd").first.inner_text())


def test_scores_of_ones_own(page: Any, tmp_path: Path) -> None:
    assert "made up" in page.locator("#read").inner_text()
    p, s = (torch.tensor(column, dtype=torch.float64) for column in zip(*PAIRS, strict=True))
    rows = "\n".join(f'"{i}, ""so""\nto say",{a},{b}' for i, (a, b) in enumerate(PAIRS))
    (tmp_path / "scored.csv").write_text(f"text,score,label\n{rows}\n", encoding="utf-8")
    page.locator("#file").set_input_files(tmp_path / "scored.csv")
    page.get_by_text("6 pairs.").wait_for()
    assert chosen_columns(page) == ["score", "label"]
    link = link_for_thresholds([0.8])
    mean = float(link.divergence(p, s).mean())
    assert shown_loss(page) == pytest.approx(mean, rel=5e-3)
    # The area under the curve, weighed by the sensitivity, is the mean loss.
    at = torch.linspace(-0.1, 1.2, 20001, dtype=torch.float64)
    curve = page.evaluate("at => thresholdCurve(scaledPairs(), at)", at.tolist())
    area = torch.trapezoid(torch.tensor(curve, dtype=torch.float64) * link.sensitivity(at), at)
    assert float(area) == pytest.approx(mean, rel=1e-3)
    drawn = np.array(page.evaluate("curve"))
    assert drawn[:, 1].tolist() == pytest.approx(threshold_curve(p, s, drawn[:, 0])[1].tolist(), abs=1e-12)
    # The pulls that the pairs of a batch would get.
    dots = page.locator("#gradient .dots").last.get_attribute("d")
    assert dots.count("M") == 6
    gradient = page.evaluate("scaledPairs().map(([p, s]) => link.h(p) - link.h(s))")
    predicted = p.clone().requires_grad_()
    link.divergence(predicted, s).sum().backward()
    assert gradient == pytest.approx(predicted.grad.tolist(), rel=1e-6, abs=1e-12)


def chosen_columns(page: Any) -> list[str]:
    return [str(page.evaluate(f"byId('{name}').selectedOptions[0].text")) for name in ("predicted", "target")]


TWO = [[0.5, 1], [0.25, 0]]


@pytest.mark.parametrize(
    ("text", "pairs", "columns", "says"),
    [
        ("predicted,target\n0.5,1\n0.25,0", TWO, ["predicted", "target"], "2 pairs."),
        ("target\tpredicted\r\n1\t.5\r\n\r\n0\t2.5e-1\r\n", TWO, ["predicted", "target"], "2 pairs."),
        ("predicted,target\r0.5,1\r0.25,0\r", TWO, ["predicted", "target"], "2 pairs."),
        ("0,5;1\n0,25;0", TWO, ["column 1", "column 2"], "2 pairs."),
        ("mine,theirs\n0.5,1\n0.25,0", TWO, ["mine", "theirs"], "2 pairs."),
        ("text,score,gold,more\n,0.5,1,x\n,0.25,0,7", TWO, ["score", "gold"], "2 pairs."),
        ("predicted,score\n0.5,1\n0.25,0", TWO, ["predicted", "score"], "2 pairs."),
        ('predicted,target\n0.5,1\nhigh,1\n0.3,\n"0.25","0"', TWO, ["predicted", "target"],
         "2 pairs. 2 of 4 rows are left out:\nline 3: predicted is “high”, no number\nline 4: target is missing"),
        ("predicted,target\nNaN,1\n0x10,1\n1e999,1\n0.5,1\n0.25,0", TWO, ["predicted", "target"],
         "line 4: predicted is “1e999”, no number"),
    ],
)  # fmt: skip
def test_rows_that_are_pasted(kept: Any, text: str, pairs: list[list[float]], columns: list[str], says: str) -> None:
    kept.locator("#pasted").fill(text)
    assert says in kept.locator("#read").inner_text()
    assert kept.evaluate("scores.pairs") == pairs
    assert chosen_columns(kept) == columns


def test_columns_can_be_chosen(page: Any) -> None:
    page.locator("#pasted").fill("<b>,mine,rating\nx,0.5,1\ny,0.25,0")
    assert "Choose the columns of predicted and target scores." in page.locator("#read").inner_text()
    page.locator("#predicted").select_option("mine")
    page.locator("#target").select_option("rating")
    assert page.evaluate("scores.pairs") == TWO
    assert page.locator("#read").inner_text() == "2 pairs."
    page.locator("#target").select_option("mine")
    assert "Choose the columns" in page.locator("#read").inner_text()
    page.locator("#target").select_option("<b>")
    assert "2 of 2 rows are left out:\nline 2: <b> is “x”, no number" in page.locator("#read").inner_text()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b,c\n1,2,3", "Choose the columns"),
        ("1,2,3", "Choose the columns"),
        ("predicted,target", "There are no rows below the names."),
        ("predicted,target\nx,y", "1 of 1 rows are left out:\nline 2: predicted is “x”, no number"),
        ("0.5\n0.6", "There is one column: give two"),
        ("\n \n", "There are no rows"),
    ],
)
def test_rows_that_cannot_be_read_are_told(kept: Any, text: str, says: str) -> None:
    kept.locator("#pasted").fill(text)
    told = kept.locator("#read").inner_text()
    assert says in told
    assert told.endswith("The pictures show made-up pairs.")
    kept.locator("#pasted").fill("")
    assert "until you give yours" in kept.locator("#read").inner_text()
    assert kept.locator("#columns").is_hidden()


def test_labels_on_a_scale_of_their_own(page: Any) -> None:
    page.locator("#pasted").fill("0.5,4\n0.2,0")
    assert "Targets outside the range of the scores: 1." in page.locator("#read").inner_text()
    page.get_by_label("Scale of the labels").fill("0, 5")
    assert page.evaluate("scaledPairs()") == [[0.5, 0.8], [0.2, 0]]
    assert page.locator("#read").inner_text() == "2 pairs."
    page.get_by_label("Scale of the labels").fill("5")
    assert "give two numbers, such as 0, 5" in page.locator("#read").inner_text()


def test_many_rows_are_quick_enough(page: Any) -> None:
    rng = np.random.default_rng(0)
    rows = "\n".join(f"{p:.4f},{s:.4f}" for p, s in rng.uniform(0, 1, (50_000, 2)))
    milliseconds = page.evaluate(
        "text => { const start = performance.now(); read(text); return performance.now() - start; }", rows
    )
    assert page.evaluate("scores.pairs.length") == 50_000
    assert milliseconds < 20_000


def test_a_link_that_the_page_does_not_know(opened: Callable[..., Any], tmp_path: Path) -> None:
    page = link_designer(parse_focus(json.dumps(LINKS[17].get_config_dict())))
    (tmp_path / "links.html").write_text(page.replace("PiecewiseLink\\", "MyLink\\"), encoding="utf-8")
    shown = opened(tmp_path / "links.html")
    assert 'LinearOutsideLink; got "MyLink".' in shown.locator("#error").inner_text()
    choose(shown, "Draw")
    copied_link(shown)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_width_and_can_be_read(opened: Callable[..., Any], scheme: str, tmp_path: Path) -> None:
    page = opened(color_scheme=scheme, viewport={"width": 360, "height": 800})
    sizes = []
    for width in (360, 480, 768, 960, 1200, 1600):
        page.set_viewport_size({"width": width, "height": 800})
        for mode in ("Thresholds", "Preset", "Region", "Draw", "JSON"):
            choose(page, mode)
            assert page.evaluate("document.documentElement.scrollWidth") == width, mode
        if width in (360, 1200):
            sizes.append(len(page.screenshot(path=str(tmp_path / f"{width}.png"), full_page=True)))
    assert min(sizes) > 30_000
    contrast = """([a, b]) => {
        const style = getComputedStyle(document.documentElement);
        const light = (name) => {
            const hex = style.getPropertyValue(name).trim().slice(1);
            const six = hex.length === 3 ? [...hex].map((c) => c + c).join("") : hex;
            const rgb = [0, 2, 4].map((i) => parseInt(six.slice(i, i + 2), 16) / 255);
            const linear = rgb.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
            return 0.05 + 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
        };
        return Math.max(light(a), light(b)) / Math.min(light(a), light(b));
    }"""
    for text in ("--text", "--muted", "--wrong", "--accent"):
        for ground in ("--page", "--panel", "--field", "--code"):
            assert page.evaluate(contrast, [text, ground]) >= 4.5, (text, ground)
    assert page.evaluate(contrast, ["--on-accent", "--accent"]) >= 4.5
    for drawn in ("--accent", "--other", "--edge"):
        assert page.evaluate(contrast, [drawn, "--panel"]) >= 3, drawn


def test_every_control_has_a_name(page: Any) -> None:
    unnamed = """() => [...document.querySelectorAll("input, select, textarea, button, [role=slider]")]
        .filter((control) => !(control.labels?.length || control.ariaLabel || control.textContent.trim()))
        .map((control) => control.outerHTML)"""
    assert page.evaluate(unnamed) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("arguments", "state", "link"),
    [
        (["--focus", "low"], {"mode": "preset", "targets": [0.2, 0.9], "labels": []}, low_scores()),
        (["--focus", "0.2:0.4", "--targets", "0.3"], {"mode": "region", "targets": [0.3]}, score_region(0.2, 0.4)),
        (["--focus", json.dumps(LINKS[18].get_config_dict())], {"mode": "json"}, LINKS[18]),
        (["--score-range", "1,5", "--targets", "2,5"], {"targets": [0.25, 1], "labels": [1, 5]}, LINKS[9]),
    ],
)  # fmt: skip
def test_begins_as_the_command_says(
    opened: Callable[..., Any], tmp_path: Path, arguments: list[str], state: dict[str, Any], link: Link
) -> None:
    path = tmp_path / "links.html"
    result = run("plot", *arguments, "--interactive", path)
    assert result.exit_code == 0, result.output
    page = opened(path)
    assert {name: page.evaluate(f"state.{name}") for name in state} == state
    assert copied_link(page) == link
    *others, option, value = shlex.split(copied(page, "--focus"))
    assert others == (["--score-range", "1,5"] if "--score-range" in arguments else [])
    middle = torch.tensor(0.5, dtype=torch.float64)
    assert (option, float(parse_focus(value).link(middle))) == ("--focus", pytest.approx(float(link(middle))))
