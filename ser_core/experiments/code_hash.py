"""Which code decides a result: all definitions of the package that a function reaches, as one digest."""

import ast
import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ser_core.errors import SerError

PACKAGE = "ser_core"
# Annotations do not decide a result, and the rest differs between versions of Python or says where a node stands.
_SKIPPED = {"annotation", "returns", "type_comment", "type_params", "type_ignores", "ctx", "kind"}

Name = tuple[str, str]
"""A module below the package, as ``evaluation.metrics``, and the name of a definition in it, as ``uar``."""


@dataclass
class _Module:
    """What a module defines at its top, and what its imports stand for."""

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)


def digest(roots: Iterable[str], *, without: Iterable[str] = (), entries: Mapping[str, str] | None = None) -> str:
    """Return 16 hex digits that change when code that decides a result changes.

    Followed are functions, classes and constants of the package, also through other modules, from each root on. Not
    followed are imports of other packages, whose versions a Run records. Comments, docstrings, annotations, the
    arguments of what is raised, and the module that a definition stands in, do not count.

    Args:
        roots: Definitions to start from, ``module:name`` or ``module:Class.method``.
        without: Definitions, or whole modules, that are not followed, such as readers of data that is hashed itself.
        entries: For definitions that are a dict literal, the one key that counts; a key that is made by unpacking
            (``**``) stands for all that is unpacked.

    Returns:
        The digest. It is the same under every version of Python.

    Raises:
        KeyError: If a root is not there.
        SerError: If a module has what is not followed: a star import, a relative one, or at its top something else
            than imports, definitions and assignments; or if a definition takes a module of the package as a value.

    Examples:
        >>> digest(["evaluation.metrics:uar"]) == digest(["evaluation.metrics:uar"], without=["errors"])
        True
        >>> digest(["evaluation.metrics:uar"]) == digest(["evaluation.metrics:wa"])
        False
    """
    found = reached(roots, without=without, entries=entries)
    several = Counter(name for _, name in found)
    texts = sorted(f"{f'{module}:' * (several[name] > 1)}{name}={text}" for (module, name), text in found.items())
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def reached(
    roots: Iterable[str], *, without: Iterable[str] = (), entries: Mapping[str, str] | None = None
) -> dict[Name, str]:
    """Return every definition that roots reach, with its code in a form that does not depend on its layout.

    Args:
        roots: As for `digest`.
        without: As for `digest`.
        entries: As for `digest`.

    Returns:
        Code by module and name.

    Raises:
        KeyError: If a root is not there.
        SerError: As for `digest`.

    Examples:
        >>> sorted(name for _, name in reached(["evaluation.metrics:wa"]))
        ['_diagonal', '_ratio', 'support', 'wa']
    """
    root = str(Path(__file__).parent.parent)
    return dict(_reached(root, tuple(roots), tuple(without), tuple(sorted((entries or {}).items()))))


@functools.lru_cache(maxsize=4096)
def _reached(
    root: str, roots: tuple[str, ...], without: tuple[str, ...], entries: tuple[tuple[str, str], ...]
) -> tuple[tuple[Name, str], ...]:
    stops = {tuple(name.split(":")) for name in without if ":" in name}
    stopped = [name for name in without if ":" not in name]
    keys = {tuple(name.split(":")): key for name, key in entries}
    todo, found = [tuple(name.split(":")) for name in roots], {}
    for module, name in todo:
        if not _nodes(root, module, name):
            raise KeyError(f"no definition '{name}' in module '{PACKAGE}.{module}'")
    while todo:
        module, name = todo.pop()
        if (module, name) in found or (module, name) in stops:
            continue
        if any(f"{module}.".startswith(f"{stop}.") for stop in stopped):
            continue
        nodes = _nodes(root, module, name)
        if (module, name) in keys:
            nodes = _entry(nodes, keys[module, name])
        writer = _Writer(root, module)
        found[module, name] = [text for node in nodes for text in writer.write(node)]
        todo += writer.references
    # A reference is written without the module, so that a definition may move; not where modules share the name.
    targets = {part for parts in found.values() for part in parts if isinstance(part, tuple)}
    several = Counter(name for _, name in targets)

    def text(part: str | Name) -> str:
        if isinstance(part, str):
            return part
        return f"@{part[0]}:{part[1]}" if several[part[1]] > 1 else f"@{part[1]}"

    return tuple(sorted((name, " ".join(map(text, parts))) for name, parts in found.items()))


def _nodes(root: str, module: str, name: str) -> list[ast.AST]:
    """Return the statements that define a name of a module, or a method of a class of it; empty if nothing does."""
    known = _modules(root).get(module)
    if known is None:
        return []
    first, _, method = name.partition(".")
    nodes = known.definitions.get(first, [])
    if method:
        nodes = [part for node in nodes for part in getattr(node, "body", ()) if getattr(part, "name", None) == method]
    return nodes


def _entry(nodes: list[ast.AST], key: str) -> list[ast.AST]:
    """Return the value that a dict literal has under a key, or what is unpacked into it if it has none.

    What is made in another way, such as in several statements, is returned whole.
    """
    if len(nodes) > 1 or not isinstance(literal := getattr(nodes[0], "value", None), ast.Dict):
        return nodes
    pairs = list(zip(literal.keys, literal.values, strict=True))
    own = [value for name, value in pairs if isinstance(name, ast.Constant) and name.value == key]
    return own or [value for name, value in pairs if name is None] or nodes


@functools.lru_cache(maxsize=4)
def _modules(root: str) -> dict[str, _Module]:
    """Return all modules of a package by their name below it."""
    found = {}
    for path in sorted(Path(root).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or PACKAGE
        module = found[name] = _Module()
        for node in _statements(path.read_text(encoding="utf-8")):
            _add(module, node, path)
    return found


@functools.lru_cache(maxsize=1024)
def _statements(source: str) -> list[ast.stmt]:
    """Return what stands at the top of a module; after a change of one module, the others are not parsed again."""
    return ast.parse(source).body


def _refuse(what: str, node: ast.AST, where: object) -> None:
    """Raise, for what is not followed could change a result and no digest."""
    raise SerError(f"{where}, line {node.lineno}: {what} is not followed by the digest of code; write it otherwise")


def _add(module: _Module, node: ast.stmt, path: Path) -> None:
    """Note what a statement at the top of a module defines or imports."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        module.imports |= _imports(node, path)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        module.definitions.setdefault(node.name, []).append(node)
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for part in (part for target in targets for part in ast.walk(target)):
            if isinstance(part, ast.Name):
                module.definitions.setdefault(part.id, []).append(node)
    elif not _is_harmless(node):
        _refuse(f"'{type(node).__name__}' at the top of a module", node, path)


def _is_harmless(node: ast.stmt) -> bool:
    """Return whether a statement is a docstring, or what is only done as a script or while types are checked."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'") and not node.orelse
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _imports(node: ast.Import | ast.ImportFrom, where: object) -> dict[str, tuple[str, str | None]]:
    """Return what names an import gives: a module of the package, or a name in one; others are left out."""
    found = {}
    for alias in node.names:
        if isinstance(node, ast.ImportFrom) and node.level:
            _refuse("a relative import", node, where)
        if alias.name == "*" and node.module.split(".")[0] == PACKAGE:
            _refuse("'import *'", node, where)
        if isinstance(node, ast.Import) and not alias.asname and alias.name.split(".")[0] == PACKAGE:
            _refuse(f"'import {alias.name}' without 'as'", node, where)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            found[alias.asname or alias.name] = (node.module.partition(".")[2] or PACKAGE, alias.name)
        elif isinstance(node, ast.Import) and alias.asname and alias.name.startswith(f"{PACKAGE}."):
            found[alias.asname] = (alias.name.partition(".")[2], None)
    return found


_SCOPES = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


def _own_names(scope: ast.AST) -> set[str]:
    """Return the names that a function or comprehension itself gives values to, which hide those of the module."""
    names, todo = set(), list(ast.iter_child_nodes(scope))
    while todo:
        part = todo.pop()
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            names.add(part.id)
        elif isinstance(part, ast.arg):
            names.add(part.arg)
        if not isinstance(part, (*_SCOPES, ast.ClassDef)):
            todo += ast.iter_child_nodes(part)
    return names


class _Writer:
    """Writes a definition as parts of a text, in which each reference to another is that one's module and name."""

    def __init__(self, root: str, module: str):
        self.modules, self.module = _modules(root), module
        self.references: list[Name] = []
        self.local: dict[str, tuple[str, str | None]] = {}
        self.scopes: list[set[str]] = []

    def write(self, node: ast.AST) -> Iterator[str | Name]:
        """Yield the parts of the text of a node."""
        for part in ast.walk(node):
            if isinstance(part, ast.Import | ast.ImportFrom):
                for name, target in _imports(part, self.module).items():
                    if self.local.setdefault(name, target) != target:
                        _refuse(f"'{name}', imported from two places by one definition,", part, self.module)
        yield from self._write(node)

    def _write(self, node: object) -> Iterator[str | Name]:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass):
            return
        if isinstance(node, list):
            yield "["
            for part in node:
                yield from self._write(part)
            yield "]"
        elif isinstance(node, ast.Raise):
            yield "Raise"
        elif isinstance(node, ast.Name | ast.Attribute) and (target := self._resolve(node)):
            self.references.append(target)
            yield target
        elif isinstance(node, ast.AST):
            yield f"{type(node).__name__}("
            own = _own_names(node) if isinstance(node, _SCOPES) else None
            for name, value in ast.iter_fields(node):
                if name in _SKIPPED or value is None or value == []:
                    continue
                if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    value = value[1:] if ast.get_docstring(node) is not None else value
                yield f"{name}="
                # Decorators and defaults stand outside of the scope of their function.
                if inner := own is not None and name not in ("args", "decorator_list"):
                    self.scopes.append(own)
                yield from self._write(value)
                if inner:
                    self.scopes.pop()
            yield ")"
        else:
            yield repr(node)

    def _resolve(self, node: ast.AST) -> Name | None:
        """Return the definition of the package that a name or a chain of attributes stands for."""
        whole, chain = node, []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or any(node.id in scope for scope in self.scopes):
            return None
        target = self.local.get(node.id) or self._in_module(self.module, node.id)
        if target and target[1] is not None:
            # A name that another module hands on may stand for a module, too.
            target = self._in_module(*target) or target
        while target and chain and target[1] is None:
            target = self._in_module(target[0], chain.pop(0))
        if target and target[1] is None:
            _refuse(f"'{ast.unparse(whole)}', a module as a value,", whole, self.module)
        # What hangs on a definition, such as a method, is written with it: `Part.collate` is an attribute of `Part`.
        if target is None or chain:
            return None
        return self._follow(target)

    def _in_module(self, module: str, name: str) -> tuple[str, str | None] | None:
        """Return what a name in a module stands for: a definition, or a module (its second part is None then)."""
        for _ in range(10):  # a name can be handed on from module to module
            known = self.modules.get(module)
            if known is None:
                return None
            if name in known.definitions:
                return module, name
            below = f"{module}.{name}" if module != PACKAGE else name
            if name not in known.imports:
                return (below, None) if below in self.modules else None
            module, name = known.imports[name]
            if name is None:
                return module, None
            below = f"{module}.{name}" if module != PACKAGE else name
            if below in self.modules and name not in self.modules[module].definitions:
                return below, None
        return None

    def _follow(self, target: tuple[str, str]) -> Name | None:
        found = self._in_module(*target)
        return found if found and found[1] else None
