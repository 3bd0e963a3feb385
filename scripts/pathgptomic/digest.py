"""Which package modules a script reaches, and one digest over their text.

Snakemake hashes the script file of a rule but not what the script imports. Every rule therefore carries this digest as
a param, so that a change in a module reruns the rules that reach it and no others.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent
NAME = PACKAGE.name


def code_digest(script: str, *resources: str) -> str:
    """Return a short digest of the package modules that ``scripts/<script>.py`` imports, directly or not.

    Parameters
    ----------
    script
        Name of a script without its ending; the script's own text is left to Snakemake.
    *resources
        Further files that the code reads, relative to the package (a template, a table).
    """
    digest = hashlib.sha256()
    files = [PACKAGE / resource for resource in resources]
    for path in sorted([*import_closure(PACKAGE.parent / f"{script}.py"), *files]):
        digest.update(str(path.relative_to(PACKAGE)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def import_closure(script: Path) -> set[Path]:
    """Return the package files that `script` reaches through imports at any depth of nesting."""
    found: set[Path] = set()
    todo = [script]
    while todo:
        for path in _imports(todo.pop()):
            if path not in found:
                found.add(path)
                todo.append(path)
    return found - {script}


@functools.cache
def _imports(path: Path) -> frozenset[Path]:
    """Return the package files that one file names in its import statements, with the packages around them."""
    modules: set[str] = set()
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path)
            modules.add(base)
            modules.update(f"{base}.{alias.name}" for alias in node.names)
    files: set[Path] = set()
    for module in modules:
        parts = module.split(".")
        if parts[0] == NAME:
            for depth in range(1, len(parts) + 1):
                files.update(_module_file(PACKAGE.joinpath(*parts[1:depth])))
    return frozenset(files)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield every statement of a module at any depth; its expressions, ten times as many, are passed over."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):
            todo.extend(getattr(node, field, ()))


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    """Return the absolute name of the module an import starts from."""
    if not node.level:
        return node.module or ""
    package = path.parent
    for _ in range(node.level - 1):
        package = package.parent
    parts = [NAME, *package.relative_to(PACKAGE).parts]
    return ".".join(parts + ([node.module] if node.module else []))


@functools.cache
def _module_file(base: Path) -> list[Path]:
    """Return the file of a module of the package, or nothing where the name is an attribute."""
    candidates = [base / "__init__.py", base.with_suffix(".py")]
    return [path for path in candidates if path.is_file()]
