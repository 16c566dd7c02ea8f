"""The size of the house: `make size` prints code lines, the largest modules, import circles and late imports.

A code line holds something other than a docstring or a comment.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "selective_st"
MOST_LINES = 500
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(source: str) -> int:
    """How many lines hold something other than docstrings (those below attributes included), comments and blanks."""
    said: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            said.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - said)


def imports(tree: ast.Module, modules: set[str]) -> Iterator[tuple[str, bool]]:
    """What a module imports of the package, and whether within a function."""
    late = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    typing = {id(node) for test in ast.walk(tree) if _is_type_checking(test) for node in ast.walk(test)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith(PACKAGE)
            and id(node) not in typing
        ):
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in modules else node.module, id(node) in late


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def main() -> None:
    """Print it."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((ROOT / PACKAGE).rglob("*.py"))
    }
    sources = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    sizes = {name: code_lines(source) for name, source in sources.items()}
    found = {name: list(imports(ast.parse(source), set(paths))) for name, source in sources.items()}
    tests = sum(code_lines(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("*.py"))
    print(f"code lines of the package: {sum(sizes.values()):,} in {len(sizes)} modules; of the tests: {tests:,}")
    areas: dict[str, int] = {}
    for name, size in sizes.items():
        area = name.split(".")[1] if paths[name].parent != ROOT / PACKAGE else "."
        areas[area] = areas.get(area, 0) + size
    print("  " + ", ".join(f"{area} {size:,}" for area, size in sorted(areas.items(), key=lambda pair: -pair[1])))
    large = {name: size for name, size in sizes.items() if size > MOST_LINES}
    print(f"modules over {MOST_LINES}: " + (", ".join(f"{name} {size}" for name, size in large.items()) or "none"))
    packages = {name for name, path in paths.items() if path.name == "__init__.py"}
    early = {name: {other for other, late in links if not late and other != name} for name, links in found.items()}
    # A package's own module may import from below it; what others import of a package stands in a module of it.
    graph = {name: {other for other in others if other not in packages} for name, others in early.items()}
    try:
        TopologicalSorter(graph).prepare()
        print("import circles: none")
    except CycleError as error:
        print("import circle: " + " <- ".join(error.args[1]))
    late_ones = sorted({(name, other) for name, links in found.items() for other, late in links if late})
    print(f"imports within functions: {len(late_ones)}")
    for name, other in late_ones:
        print(f"  {name}: {other}")


if __name__ == "__main__":
    main()
