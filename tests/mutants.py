"""Mutations of the code, each run against the tests of its area: `make mutants` prints those that survive.

Of the mathematics a mutation is a line of a file and what it is replaced by, chosen by hand. Of checks, conversions and
evaluators a few of each file are drawn: a comparison, a condition, a sign or a number is another one. Of these some
change nothing that can be noticed; the share that is noticed is the figure. Results are kept in `.mutants.json`, so
that the command can be stopped and started again; it runs anew what changed: the mutation, the file, or a test of its
area.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "selective_st"
RESULTS = ROOT / ".mutants.json"
SECONDS = 900  # a mutant that takes longer runs in circles, and is noticed

# The tests of each area, those first that notice most in the shortest time.
LINKS = ("test_links", "test_link_accuracy", "test_far_out", "test_link_properties", "test_transforms")
POINTWISE = ("test_functional_pointwise", "test_far_out", "test_transforms")
LISTS = ("test_functional_listwise", "test_functional_pairwise", "test_embeddings_given", "test_transforms")
IN_BATCH = ("test_functional_in_batch", "test_embeddings_given", "test_transforms")
VOCABULARY = ("test_language_functional", "test_language_losses", "test_transforms")
LOSSES = (
    "test_loss_settings",
    "test_pointwise_loss",
    "test_embeddings_given",
    "test_in_batch_modules",
    "test_loss_properties",
)
CROSS = ("test_cross_encoder_losses", "test_loss_settings", "test_loss_properties")
LATE = ("test_multi_vector_losses", "test_loss_settings", "test_loss_properties")


CHECKS = ("test_registry_checking", "test_checks_mends", "test_opposite_labels", "test_label_ranges")
CONVERSIONS = ("test_conversion", "test_layouts", "test_label_ranges")
EVALUATION = (
    "test_evaluation",
    "test_list_evaluator",
    "test_threshold_curve",
    "test_claims",
    "test_threshold_promises",
    "test_scoring",
    "test_consistency",
    "test_diagnosis",
    "test_saved_thresholds",
    "test_report",
    "test_bad_input",
)
# Where mutations are drawn: of each file so many.
DRAWN = {"registry/checks": CHECKS, "conversion": CONVERSIONS, "evaluation": EVALUATION}
EACH = 4


@dataclass(frozen=True)
class Mutant:
    """One mutation.

    Attributes:
        file: Within the package.
        line: The line that is replaced, without the space around it; there is one such line in the file.
        replacement: By what.
        tests: The test files of its area.
        survives: Why no test can notice it; empty if one must.
        place: Of a drawn one, between which characters of the file `line` stands.
    """

    file: str
    line: str
    replacement: str
    tests: tuple[str, ...]
    survives: str = ""
    place: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        where = "" if self.place is None else f" at {self.place[0]}"
        return f"{self.file}{where}: {self.line}  ->  {self.replacement}"

    def mutated(self, text: str) -> str:
        """The file's text with the mutation.

        Args:
            text: The text as it is.

        Returns:
            The text as it is to be tried.

        Raises:
            ValueError: If there is not just one such line.
        """
        if self.place is not None:
            start, end = self.place
            return text[:start] + self.replacement + text[end:]
        lines = text.splitlines()
        places = [place for place, line in enumerate(lines) if line.strip() == self.line]
        if len(places) != 1:
            raise ValueError(f"{self.file} has {len(places)} lines that read {self.line!r}; a mutant needs one.")
        indent = lines[places[0]][: len(lines[places[0]]) - len(lines[places[0]].lstrip())]
        lines[places[0]] = indent + self.replacement
        return "\n".join(lines) + "\n"

    def key(self) -> str:
        """What changes where the mutant has to be run again."""
        parts = [str(self.place), self.line, self.replacement, (ROOT / PACKAGE / self.file).read_text()]
        parts += [(ROOT / "tests" / f"{test}.py").read_text() for test in self.tests]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _links(line: str, replacement: str, survives: str = "") -> Mutant:
    package = ROOT / PACKAGE
    files = [path for path in sorted((package / "links").glob("*.py")) if _has_line(path, line.splitlines()[0])]
    return Mutant(files[0].relative_to(package).as_posix(), line, replacement, LINKS, survives)


def _has_line(path: Path, line: str) -> bool:
    return line.strip() in map(str.strip, path.read_text().splitlines())


MUTANTS = [
    # The eight that an earlier round of mutations survived.
    _links(
        "slack = 1e-6 * max([abs(end) for end in self.range if math.isfinite(end)], default=0.0)",
        "slack = 1e-3 * max([abs(end) for end in self.range if math.isfinite(end)], default=0.0)",
    ),
    _links(
        "first, *others = (weight * of(link) for weight, link in self._parts)",
        "first, *others = (of(link) for weight, link in self._parts)",
    ),
    _links(
        "table = self._potential(edges[:1]) + torch.cat([torch.zeros_like(edges[:1]), rises.cumsum(0)])",
        "table = torch.cat([torch.zeros_like(edges[:1]), rises.cumsum(0)])",
    ),
    _links("grid = torch.cat([even, near_zero[(near_zero >= low) & (near_zero <= high)]]).unique()", "grid = even"),
    _links(
        "domain = Interval(max(link.domain.low for link in links), min(link.domain.high for link in links))",
        "domain = Interval(min(link.domain.low for link in links), max(link.domain.high for link in links))",
    ),
    Mutant(
        "functional/_checks.py",
        "if float(link(lowest + _ROUNDING * lowest.abs().clamp(min=1))) < 0:",
        "if float(link(lowest)) < 0:",
        LOSSES,
    ),
    Mutant("losses/_common.py", "tokens = tokens.long() + 1", "tokens = tokens.long()", ("test_in_batch_modules",)),
    # Links
    _links("divergence = torch.where(close, d * (d * weighted_slope), d * rise)", "divergence = d * rise"),
    _links("_CANCELLATION = 5e-3", "_CANCELLATION = 5e-10"),
    _links("_PANELS = 32", "_PANELS = 2"),
    _links("_LARGEST_HALF = 709.0", "_LARGEST_HALF = 354.0"),
    _links("SERIES_END = 0.02", "SERIES_END = 2.0"),
    _links("decay.copysign_(x)", "pass"),
    _links("parts = gamma.copysign_(x).addcmul_(x.clamp(max=0), decay)", "parts = gamma"),
    _links("decay = torch.expm1(-x.abs()).copysign(flip * x)", "decay = torch.expm1(-x.abs()).copysign(x)"),
    _links("divergence = torch.where(x.abs() < 1, near, far) / self.scale", "divergence = far / self.scale"),
    _links("flip = torch.copysign(_constants(1.0, v.dtype, v.device), -v)", "flip = torch.ones_like(v)"),
    _links(
        "small = torch.where(overflows & (distance != 0), self._small_sensitivity(precise), 0)",
        "small = torch.zeros_like(sensitivity)",
    ),
    _links("return change * torch.where((change == 0) & slope.isinf(), 0, slope)", "return change * slope"),
    _links("a, b = a.clamp(-_LARGEST_SCORE, _LARGEST_SCORE), b.clamp(-_LARGEST_SCORE, _LARGEST_SCORE)", "pass"),
    _links("s = s.clamp(-_LARGEST_SCORE, _LARGEST_SCORE)", "pass"),
    _links("cls._is_exact_far_out = cls._matching is not Link._matching", "cls._is_exact_far_out = True"),
    _links("_set(weighted, _log_weight=math.log(weight) + self._log_weight)", "_set(weighted, _log_weight=0.0)"),
    _links("return (torch.log(y.abs()) - self._log_weight) / self.scale", "return torch.log(y.abs()) / self.scale"),
    _links(
        "return torch.asinh(y * math.exp(-self._log_weight)) / self.scale + self.shift",
        "return torch.asinh(y) / self.scale + self.shift",
    ),
    _links("return rising.add_(falling), rise.sub_(fall)", "return rising.add_(falling), rise.add_(fall)"),
    _links(
        "divergence = divergence.addcmul(width, (p - start).add_(p - end), value=slope / 2)",
        "divergence = divergence.addcmul(width, width, value=slope / 2)",
    ),
    _links("difference = difference.add(width, alpha=slope)", "pass"),
    _links(
        "terms = at_left * (from_left / 3 + from_right / 6) + at_right * (from_left / 6 + from_right / 3)",
        "terms = (at_left + at_right) * (from_left + from_right) / 4",
    ),
    _links(
        "falls = (values[1:] < values[:-1] - 1e-9 * (values[1:].abs() + values[:-1].abs())).nonzero()",
        "falls = (values[1:] < values[:-1] - 1.0).nonzero()",
    ),
    _links(
        "ends = torch.where(values <= self.range.low, -math.inf, math.inf).to(values)",
        "ends = torch.full_like(values, math.inf)",
    ),
    # What is computed otherwise on a GPU
    Mutant("links/_numerics.py", "divergence.addcmul_(x.clamp(max=0), difference)", "pass", ("test_operators",)),
    Mutant(
        "links/_numerics.py",
        "return torch.addcmul(gamma, x.expm1(), torch.maximum(gamma, x.neg())).abs_()",
        "return torch.addcmul(gamma, x.expm1(), gamma).abs_()",
        ("test_operators",),
    ),
    Mutant(
        "losses/_scorers.py",
        "return [torch.stack(documents).mul_(factors).sum(0), *(factors * anchors)]",
        "return [torch.stack(documents).sum(0), *(factors * anchors)]",
        ("test_operators",),
    ),
    # Pointwise and what all share
    Mutant(
        "functional/_common.py", "return weight > 0 if mask is None else mask & (weight > 0)", "return mask", POINTWISE
    ),
    Mutant(
        "functional/_common.py",
        "return total / torch.where(total_weight > 0, total_weight, 1)",
        "return total / loss.numel()",
        POINTWISE,
    ),
    Mutant(
        "functional/pointwise.py",
        "target = torch.where(mask, target, filling.to(target.dtype))",
        "pass",
        POINTWISE,
    ),
    Mutant(
        "losses/_scorers.py",
        "(across * documents).addcmul_(of_anchors, anchors, value=-1),",
        "across * documents,",
        ("test_pointwise_loss",),
    ),
    # Lists
    Mutant("functional/listwise.py", "kl = torch.log1p(total)", "kl = total", LISTS),
    Mutant(
        "functional/listwise.py", "LARGEST_RISE = 300.0  # beyond, e^x might overflow", "LARGEST_RISE = 3000.0", LISTS
    ),
    Mutant(
        "functional/listwise.py",
        "rise += of_target * (1 - self.temperature / self.target_temperature)",
        "pass",
        LISTS,
    ),
    Mutant(
        "functional/listwise.py",
        "share = self.calibration / self.temperature",
        "share = self.calibration / self.target_temperature",
        LISTS,
    ),
    Mutant(
        "functional/listwise.py",
        "total = total + y.clamp(max=LARGEST_RISE).exp().sum(-1, keepdim=True)",
        "pass",
        LISTS,
    ),
    Mutant("functional/listwise.py", "tilt = tilt + (y - kl).exp()", "pass", LISTS),
    Mutant(
        "functional/listwise.py", "value = torch.where(is_positive.any(-1, keepdim=True), value, rest)", "pass", LISTS
    ),
    Mutant(
        "functional/listwise.py",
        "probabilities = (1 - smoothing) * probabilities + smoothing / count",
        "probabilities = (1 - smoothing) * probabilities + smoothing / predicted.shape[-1]",
        LISTS,
    ),
    Mutant(
        "functional/listwise.py",
        "return None if mask is None else mask.any(-1)",
        "return None if mask is None else mask.all(-1)",
        LISTS,
    ),
    # In-batch
    Mutant(
        "functional/_blockwise.py",
        "part.addcmul_(unit, (part * unit).sum(1, keepdim=True), value=-1).div_(norm)",
        "part.div_(norm)",
        IN_BATCH,
    ),
    Mutant(
        "functional/_blockwise.py",
        "self._is_written_once = is_one_way and rows.end - rows.begin == count",
        "self._is_written_once = is_one_way",
        IN_BATCH,
    ),
    Mutant(
        "functional/_in_batch_rows.py",
        "self._columns = [top, total.mul_((before - top).exp_()).add_(back.sub_(top).exp_().sum(0))]",
        "self._columns = [top, total.add_(back.sub_(top).exp_().sum(0))]",
        IN_BATCH,
    ),
    Mutant(
        "functional/_in_batch_rows.py",
        "losses = _log_of_one_and(rest - positive)",
        "losses = torch.logaddexp(rest + top, positive + top) - (positive + top)",
        IN_BATCH,
    ),
    Mutant("functional/_in_batch_rows.py", "left_out &= ~known", "pass", IN_BATCH),
    Mutant(
        "functional/_in_batch_rows.py", "whole = torch.where(positive < 0, whole, losses + positive)", "pass", IN_BATCH
    ),
    Mutant(
        "functional/_in_batch_rows.py",
        "log = shares.amax(1, keepdim=True).log_()",
        "log = shares.sum(1, keepdim=True).log_()",
        IN_BATCH,
    ),
    Mutant(
        "functional/_in_batch_rows.py",
        "return torch.where(logarithm > 0, logarithm + softplus(-logarithm), softplus(logarithm))",
        "return softplus(logarithm, threshold=_LARGEST[logarithm.dtype])",
        IN_BATCH,
    ),
    Mutant(
        "functional/_in_batch_rows.py",
        "top = torch.where(first.positive < highest, highest, first.positive)",
        "top = highest",
        IN_BATCH,
    ),
    Mutant("functional/_in_batch_rows.py", "taken = excess.sigmoid()", "taken = (excess - losses).exp()", IN_BATCH),
    Mutant(
        "functional/_in_batch_rows.py",
        "counted, count = logits.masked_fill(left_out, 0), (~left_out).sum(1, keepdim=True).to(logits)",
        "counted = logits.masked_fill(left_out, 0)",
        IN_BATCH,
    ),
    # Vocabulary
    Mutant(
        "functional/vocabulary.py", "scores = torch.where(forbidden, some_score(self.link), scores)", "pass", VOCABULARY
    ),
    Mutant(
        "functional/vocabulary.py",
        "scores = torch.log_softmax(z, -1) if self.centers else z",
        "scores = z - z.logsumexp(-1, keepdim=True).detach() if self.centers else z",
        VOCABULARY,
    ),
    Mutant(
        "functional/vocabulary.py",
        "p, s = (torch.where(q > 0, scores, some_score(calibration_link)) for scores in (p, s))",
        "pass",
        VOCABULARY,
    ),
    Mutant(
        "functional/vocabulary.py",
        "log_q = torch.log_softmax(logits if rest is None else _joined(logits, rest.to(z)), -1)",
        "log_q = torch.log_softmax(logits if rest is None else _joined(logits, rest.to(z) - 99), -1)",
        VOCABULARY,
    ),
    # Losses
    Mutant(
        "losses/_common.py",
        "documents[place] = torch.where(rows, documents[place], 0)",
        "documents[place] = documents[place] * rows",
        LOSSES,
    ),
    Mutant(
        "losses/_common.py",
        "position = (mask.cumsum(1) - 1).clamp(min=0)  # so that padding on the left changes nothing",
        "position = torch.arange(tokens.shape[1]).expand_as(tokens)",
        ("test_in_batch_modules",),
    ),
    Mutant(
        "losses/_objectives.py",
        "check_nonnegative(self.owner, self.link, -float(scores.detach().abs().max()))",
        "pass",
        LOSSES,
    ),
    Mutant(
        "losses/_objectives.py",
        "labels = labels[:, :1] - labels[:, 1:]",
        "labels = labels[:, 1:] - labels[:, :1]",
        ("test_loss_identities", *LOSSES),
    ),
    Mutant("losses/_loss.py", "self._compose({**composed, name: value})", "pass", LOSSES),
    Mutant("losses/_loss.py", "self._modules.pop(name, None)", "pass", LOSSES),
    Mutant("losses/in_batch.py", "if first.numel() > 1 and bool((first == first[0]).all()):", "if False:", LOSSES),
    Mutant(
        "cross_encoder/losses/_scoring.py",
        "return scores if len(scores) == documents.rows else scores.view(-1, documents.rows).T",
        "return scores if len(scores) == documents.rows else scores.view(documents.rows, -1)",
        CROSS,
    ),
    Mutant(
        "multi_vector_encoder/losses/_scoring.py",
        "space = space._replace(range=Interval(-1.0, 1.0))",
        "pass",
        LATE,
    ),
]


_OTHER: dict[type[ast.AST], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.In: "not in",
    ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is", ast.And: "or", ast.Or: "and", ast.Add: "-", ast.Sub: "+",
    ast.Mult: "/", ast.Div: "*",
}  # fmt: skip


def drawn(folder: str, tests: tuple[str, ...], each: int = EACH) -> list[Mutant]:
    """Mutations of the files of a folder, so many of each; the same as long as a file stays the same.

    Args:
        folder: Within the package.
        tests: The test files of its area.
        each: How many of a file.

    Returns:
        The mutations.
    """
    found: list[Mutant] = []
    for path in sorted((ROOT / PACKAGE / folder).rglob("*.py")):
        text = path.read_text()
        file = path.relative_to(ROOT / PACKAGE).as_posix()
        places = sorted(set(_possible(text)))
        chosen = random.Random(file).sample(places, min(each, len(places)))
        found += [Mutant(file, text[a:b], new, tests, place=(a, b)) for a, b, new in sorted(chosen)]
    return found


def _possible(text: str) -> Iterator[tuple[int, int, str]]:
    """Between which characters something can be written that means another thing, and what."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    encoded = text.encode()

    def place(line: int, column: int) -> int:
        return len(encoded[: starts[line - 1] + column].decode())

    def span(node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)

    def between(left: ast.expr, right: ast.expr, operator: ast.AST) -> Iterator[tuple[int, int, str]]:
        if type(operator) in _OTHER:
            start, end = span(left)[1], span(right)[0]
            # A parenthesis or a comment between them: leave these to others.
            if text[start:end].strip() in _OTHER.values():
                yield start, end, f" {_OTHER[type(operator)]} "

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield from between(node.left, node.comparators[0], node.ops[0])
        elif isinstance(node, ast.BoolOp):
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from between(left, right, node.op)
        elif isinstance(node, ast.BinOp) and not any(_is_text(side) for side in (node.left, node.right)):
            yield from between(node.left, node.right, node.op)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            start, end = span(node)
            yield start, end, f"bool({text[slice(*span(node.operand))]})"
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            yield *span(node), str(node.value + 1)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def run(mutant: Mutant, copy: Path) -> str:
    """Run the tests on a mutated copy.

    Args:
        mutant: The mutation.
        copy: A folder with the package and the tests, which is left as it was.

    Returns:
        `"noticed"`, with the first failure, or `"survived"`.
    """
    file = copy / PACKAGE / mutant.file
    text = file.read_text()
    file.write_text(mutant.mutated(text))
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", "--tb=no"]
    try:
        # One file after the other: most mutants are noticed by the first.
        for test in mutant.tests:
            done = subprocess.run(
                [*command, f"tests/{test}.py"],
                cwd=copy,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
            )
            if done.returncode:
                failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
                return f"noticed: {failed[0][:160] if failed else done.stdout[-160:]}"
    except subprocess.TimeoutExpired:
        return "noticed: it did not end"
    finally:
        file.write_text(text)
    return "survived"


def main() -> None:
    """Run the mutants that have no result yet, and print those that survive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only mutants with this text in their name")
    arguments = parser.parse_args()
    results: dict[str, str] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    every = [*MUTANTS, *(mutant for folder, tests in DRAWN.items() for mutant in drawn(folder, tests))]
    chosen = [mutant for mutant in every if arguments.only in mutant.name]
    with tempfile.TemporaryDirectory(prefix="selective-st-mutants-") as folder:
        copy = Path(folder)
        for name in (PACKAGE, "tests", "benchmarks"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for place, mutant in enumerate(chosen, start=1):
            key = mutant.key()
            if key not in results:
                results[key] = run(mutant, copy)
                RESULTS.write_text(json.dumps(results, indent=1))
            print(f"{place:3} of {len(chosen)}  {mutant.name}\n           {results[key]}", flush=True)
    survivors = [mutant for mutant in chosen if results[mutant.key()] == "survived"]
    for mutant in survivors:
        print(f"SURVIVED  {mutant.name}  {f'(explained: {mutant.survives})' if mutant.survives else ''}")
    by_hand = [mutant for mutant in chosen if mutant.place is None]
    unexplained = [mutant for mutant in survivors if not mutant.survives and mutant in by_hand]
    print(f"{len(by_hand)} mutants by hand, {len(unexplained)} of them survived without a reason.")
    for folder in DRAWN:
        of_it = [mutant for mutant in chosen if mutant.place and mutant.file.startswith(folder)]
        if of_it:
            noticed = len(of_it) - sum(mutant in survivors for mutant in of_it)
            print(f"{folder}: {noticed} of {len(of_it)} drawn mutants noticed, {noticed / len(of_it):.0%}.")
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main()
