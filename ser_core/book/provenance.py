"""Where a number, a figure or a table of the book comes from: notebook, cell, Runs, code, verification."""

import ast
import csv
import difflib
import functools
import io
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml

from ser_core import paths
from ser_core.book import chapters, lint
from ser_core.errors import SerError

_RUNS = "results/runs/"
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Glued:
    """Something that a chapter hands to the book.

    Attributes:
        chapter: Name of the notebook, as in ``02_classical_baselines``.
        key: Its name in the chapter.
        kind: ``text``, ``figure``, ``table`` or ``passage``.
        text: What is shown; of a figure its description, of a table its Markdown.
        cell: Number of the code cell that made it, from 1.
        needs: Numbers of the code cells whose names that cell uses, and theirs, with itself.
        experiments: Experiments that the code of these cells names.
        files: Other files and folders that it names.
    """

    chapter: str
    key: str
    kind: str
    text: str
    cell: int
    needs: tuple[int, ...]
    experiments: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """Chapter and key, by which it is found: no other has the same."""
        return f"{self.chapter}::{self.key}"


@dataclass(frozen=True)
class Executed:
    """An executed chapter.

    Attributes:
        name: As in ``02_classical_baselines``.
        sources: The code of each code cell.
        glued: What it hands to the book, in its order.
        facts: How it was executed, see `ser_core.book.chapters.execute`.
    """

    name: str
    sources: tuple[str, ...]
    glued: tuple[Glued, ...]
    facts: dict


def read(path: Path) -> Executed:
    """Read an executed chapter.

    Args:
        path: The ``.ipynb`` that `ser_core.book.chapters.execute` wrote.

    Returns:
        Its cells and what they glue.

    Raises:
        SerError: If it is not an executed chapter.
    """
    notebook = nbformat.read(path, as_version=4)
    facts = notebook.metadata.get("ser", {})
    if "code" not in facts:
        raise SerError(f"{path}: not an executed chapter; delete it and run 'make book'")
    cells = chapters.code_cells(notebook)
    sources = tuple(cell.source for cell in cells)
    needs, declared = needed(sources), facts.get("inputs", [])
    known = {name.removeprefix(_RUNS) for name in declared if name.startswith(_RUNS)}
    experiments, texts = [_experiments(source, known) for source in sources], list(map(_texts, sources))
    glued = []
    for number, cell in enumerate(cells, start=1):
        of_runs, of_files = (set().union(*(part[n - 1] for n in needs[number - 1])) for part in (experiments, texts))
        made_from = tuple(sorted(of_runs)), tuple(name for name in declared if name in of_files)
        for output in cell.outputs:
            key = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if key:
                kind, text = _shown(output.data)
                glued.append(Glued(path.stem, key, kind, text, number, needs[number - 1], *made_from))
    return Executed(path.stem, sources, tuple(glued), facts)


def _shown(data: dict) -> tuple[str, str]:
    """Return the kind and the text of what a cell glued."""
    if "image/png" in data:
        return "figure", data["text/plain"]
    if "text/markdown" in data:
        return "table" if data["text/markdown"].startswith("|") else "passage", data["text/markdown"]
    text = next(value for name, value in data.items() if name.endswith("text/plain"))
    return "text", str(ast.literal_eval(text)) if text[:1] in "'\"" else text


def needed(sources: Iterable[str]) -> list[tuple[int, ...]]:
    """Return for each cell the numbers of the cells that it is computed from, itself included.

    A cell needs another if it uses a name that the other was the last to bind, or to change in place.

    Args:
        sources: The code of each cell.

    Returns:
        Numbers from 1, sorted.

    Examples:
        >>> needed(["a = 1", "b = 2", "c = a + 1", "print(c)"])
        [(1,), (2,), (1, 3), (1, 3, 4)]
    """
    last: dict[str, int] = {}
    modules: set[str] = set()
    closures: list[set[int]] = []
    for number, source in enumerate(sources, start=1):
        uses, binds, imports = _names(source)
        closures.append({number}.union(*(closures[last[name] - 1] for name in uses if name in last)))
        modules |= imports
        last |= dict.fromkeys(binds - (modules - imports), number)
    return [tuple(sorted(closure)) for closure in closures]


def _names(source: str) -> tuple[set[str], set[str], set[str]]:
    """Return the names that a cell takes from cells before it, those that it binds or changes, and what it imports."""
    uses: set[str] = set()
    binds: set[str] = set()
    imports: set[str] = set()
    for statement in ast.parse(source).body:
        nodes = list(ast.walk(statement))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        stored = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
        stored |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        imported = {
            alias.asname or alias.name.partition(".")[0]
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
        scopes = [node.target for node in nodes if isinstance(node, ast.comprehension)]
        own = arguments | {node.id for target in scopes for node in ast.walk(target) if isinstance(node, ast.Name)}
        # What a loop or a function binds inside is its own; the right side of an assignment comes before the left.
        if not isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr):
            own |= stored
        added = {
            node.target.id for node in nodes if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
        }
        loaded = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        uses |= ((loaded - own) | added) - binds
        binds |= stored | imported | _changed(nodes)
        imports |= imported
    return uses, binds, imports


def _changed(nodes: list[ast.AST]) -> set[str]:
    """Return the names whose values are changed in place: an item or attribute set, a method called for itself."""
    places = [
        node for node in nodes if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    places += [
        node.value.func
        for node in nodes
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
    ]
    found = set()
    for place in places:
        while isinstance(place, ast.Subscript | ast.Attribute):
            place = place.value
        if isinstance(place, ast.Name):
            found.add(place.id)
    return found


def _experiments(source: str, known: set[str]) -> set[str]:
    """Return which experiments the texts of a cell name: alone, as the start of a Run's name, or several in a row."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = {word.partition("/")[0] for word in node.value.split()} - {"runs"}
            found |= names if names <= known else set()
        elif isinstance(node, ast.JoinedStr):
            parts = [re.escape(part.value) if isinstance(part, ast.Constant) else ".*" for part in node.values]
            pattern = "".join(parts).partition("/")[0]
            if len(pattern.replace(".*", "")) > 2:
                found |= {name for name in known if re.fullmatch(pattern, name)}
    return found


def _texts(source: str) -> set[str]:
    nodes = ast.walk(ast.parse(source))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def executed(root: Path) -> list[Executed]:
    """Return the executed chapters of a clone, or of an unpacked release.

    Args:
        root: Its folder.

    Raises:
        SerError: If there are none.
    """
    for folder in (root / "book" / "chapters", root / "executed"):
        if found := sorted(folder.glob("[0-9]*.ipynb")):
            return [read(path) for path in found]
    raise SerError(f"{root / 'book' / 'chapters'}: no executed chapters; execute them by: make book")


def uses(root: Path) -> dict[str, list[str]]:
    """Return where each glued thing is used: `Glued.name` -> file and line, as in ``book/index.md:12``.

    Args:
        root: The repository.
    """
    found: dict[str, list[str]] = {}
    for path in [*sorted((root / "notebooks").glob("[0-9]*.md")), *sorted((root / "book").glob("*.md"))]:
        for line, document, key in lint.read(path.read_text(encoding="utf-8")).uses:
            name = f"{Path(document).stem if document else path.stem}::{key}"
            found.setdefault(name, []).append(f"{path.relative_to(root).as_posix()}:{line}")
    return found


_SHOWN = re.compile(
    r"^ *(?P<fence>`{3,}|:{3,})\{(?P<what>glue:figure|table|figure)\} *(?P<key>\w*)|^ *:name: *(?P<name>[\w-]+)"
    r"|^ *`{3,}\{glue:md\} *(?P<table>\w+)",
    re.MULTILINE,
)


def numbers(root: Path) -> dict[str, tuple[str, str]]:
    """Return the number and the anchor of each figure and table of the numbered chapters: `Glued.name` -> both.

    Args:
        root: The repository, with ``_toc.yml`` and ``notebooks/``.

    Returns:
        Such as ``{"02_classical_baselines::fig_grid": ("Fig. 2.1", "fig-grid")}``.
    """
    parts = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    names = [Path(one["file"]).name for part in parts if part.get("numbered") for one in part["chapters"]]
    found = {}
    for number, name in enumerate(names, start=1):
        counts, label, anchor, key = {"Fig.": 0, "Table": 0}, "", "", ""
        for match in _SHOWN.finditer((root / "notebooks" / f"{name}.md").read_text(encoding="utf-8")):
            if match["what"]:
                kind = "Table" if match["what"] == "table" else "Fig."
                counts[kind] += 1
                # A table's first word is of its caption; its key comes with what is in it.
                label, anchor, key = f"{kind} {number}.{counts[kind]}", "", match["key"] if kind == "Fig." else ""
            elif match["name"]:
                anchor = match["name"]
            elif label.startswith("Table") and not key:
                key = match["table"]
            else:
                continue
            if label and key:
                found[f"{name}::{key}"] = label, anchor
    return found


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of a table as the reader sees them, without marks of MyST; the first row is the head.

    An interval becomes three columns, so that a spreadsheet can read it.

    Args:
        markdown: What `ser_core.book.glue.markdown` wrote.

    Examples:
        >>> rows("| corpus | UAR |" + chr(10) + "| :--- | ---: |" + chr(10) + "| EmoDB | 78.6 [74.1, 82.4] |")
        [['corpus', 'UAR', 'UAR, low', 'UAR, high'], ['EmoDB', '78.6', '74.1', '82.4']]
    """
    lines = [[plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in markdown.splitlines()]
    head, body = lines[0], lines[2:]
    split = [any(_INTERVAL.fullmatch(row[place]) for row in body) for place in range(len(head))]
    wide = [[name, f"{name}, low", f"{name}, high"] if two else [name] for name, two in zip(head, split, strict=True)]
    made = [sum(wide, [])]
    for row in body:
        parts = []
        for cell, two in zip(row, split, strict=True):
            found = _INTERVAL.fullmatch(cell)
            parts += [cell, *([""] * (2 * two))] if not found else list(found.groups())
        made.append(parts)
    return made


_INTERVAL = re.compile(r"([+−-]?[\d.,]+)\s*\[([+−-]?[\d.,]+), ([+−-]?[\d.,]+)\]")


def plain(cell: str) -> str:
    r"""Return a cell of a table without marks of MyST.

    Examples:
        >>> plain(" **{cite:t}`eyben2016`** and `x` [here](y.md) "), plain("a \\| b")
        ('eyben2016 and x here', 'a | b')
    """
    cell = re.sub(r"\{[\w:]+\}(?=`)", "", cell.strip())
    cell = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell)
    return re.sub(r"\*\*|`", "", cell).replace(r"\|", "|").replace("&lt;", "<").replace("\N{NO-BREAK SPACE}", " ")


def as_csv(markdown: str) -> str:
    """Return a table as CSV, see `rows`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows(markdown))
    return text.getvalue()


def find(what: str, found: Iterable[Glued], named: dict[str, tuple[str, str]]) -> list[Glued]:
    """Return what a reader means by a key, a number of a figure or table, or a number in the text.

    Args:
        what: A key, with or without its chapter; ``Table 2.2`` or ``fig-grid``; or a number as it is printed.
        found: Everything that is glued.
        named: See `numbers`.

    Returns:
        What has that name or number. If nothing has, what shows it in its text; texts first, then tables and figures.
    """
    found, what = list(found), " ".join(what.split())
    label = re.sub(r"(?i)^(fig(ure)?\.?|table) ?(?=[\d])", lambda m: "Fig. " if m[0][0] in "fF" else "Table ", what)
    exact = [one for one in found if what in (one.name, one.key) or {what, label} & set(named.get(one.name, ()))]
    if exact:
        return exact
    chapter, _, key = what.rpartition("::")
    if key in {one.key for one in found} and chapter:
        return [one for one in found if one.key == key and one.chapter.startswith(chapter)]
    inside = [one for one in found if _shows(one, what) and not one.text.startswith("Source: ")]
    return sorted(inside, key=lambda one: ("text", "table", "figure", "passage").index(one.kind))


def _shows(one: Glued, what: str) -> bool:
    text, what = (part.replace("−", "-").replace("\N{NO-BREAK SPACE}", " ") for part in (one.text, what))
    if _NUMBER.fullmatch(what):
        return what in _NUMBER.findall(text)
    return bool(_NUMBER.search(what)) and what in text


def told(one: Glued, chapter: Executed, root: Path) -> Iterator[str]:
    """Yield the lines that say where something comes from.

    Args:
        one: The thing.
        chapter: Its chapter.
        root: The repository.
    """
    label, _ = numbers(root).get(one.name, ("", ""))
    shown = one.text if one.kind != "table" else as_csv(one.text).rstrip()
    yield f"{one.name}{f', {label}' if label else ''}: {one.kind}"
    yield from (f"  {line}" for line in shown.splitlines()[:40])
    source = chapter.sources[one.cell - 1]
    cells = ", ".join(str(number) for number in one.needs if number != one.cell)
    yield f"made by   notebooks/{one.chapter}.md, code cell {one.cell}: {source.splitlines()[0]}"
    if cells:
        yield f"          with what the code cells {cells} made"
    text = (root / "notebooks" / f"{one.chapter}.md").read_text(encoding="utf-8")
    if source in text:
        yield f"          lines {text[: text.index(source)].count(chr(10)) + 1} and following"
    for experiment, verified in verifications(one.experiments).items():
        yield f"from      experiments/{experiment}.yaml, {_RUNS}{experiment}: {verified}"
    for file in one.files:
        yield f"from      {file}"
    if not one.experiments and not one.files:
        yield f"from      no file that its code names; the chapter reads {', '.join(chapter.facts.get('inputs', []))}"
    yield f"code      {chapter.facts['code']}, Python {chapter.facts['python']}"
    for place in uses(root).get(one.name, ["nowhere in the text"]):
        yield f"used in   {place}"
    if one.experiments:
        yield f"verify by ser verify {' '.join(one.experiments)}"


def verifications(experiments: Iterable[str]) -> dict[str, str]:
    """Return how many Runs of experiments are there, and how many of them are verified by today's code, in words.

    Args:
        experiments: Their names.
    """
    table = _summary()
    told = {}
    for name in experiments:
        if name not in table.index:
            told[name] = "no Runs here"
            continue
        row = table.loc[name]
        more = f" ({row['reason']})" if row["reason"] else ""
        told[name] = f"{row['runs']} Runs, {row['verified_runs']} verified{more}"
    return told


@functools.cache
def _summary():
    from ser_core.experiments import verification_record

    return verification_record.summary().set_index("experiment")


def trace(what: str, root: Path | None = None) -> list[str]:
    """Return where something in the book comes from, or what may be meant if that is several things.

    Args:
        what: See `find`.
        root: The repository, or an unpacked release; the clone if None.

    Returns:
        Lines.

    Raises:
        SerError: If nothing in the book is called that or shows it.
    """
    root = root or paths.repository()
    by_name, named = {chapter.name: chapter for chapter in executed(root)}, numbers(root)
    found = [one for chapter in by_name.values() for one in chapter.glued]
    meant = find(what, found, named)
    if not meant:
        near = difflib.get_close_matches(what, [one.key for one in found], n=3)
        near = f"; near it are {', '.join(near)}" if near else ""
        raise SerError(
            f"nothing in the executed chapters is called '{what}' or shows it{near}; give a number as it is printed, "
            "such as 59.6, a key of glue, or a figure or table, such as 'Table 2.2'"
        )
    if len(meant) == 1:
        return list(told(meant[0], by_name[meant[0].chapter], root))
    lines = [f"{len(meant)} things are called or show '{what}'; ask for one: ser trace {meant[0].name}"]
    for one in meant:
        label, _ = named.get(one.name, (one.kind, ""))
        text = one.text if one.kind == "text" else f"{label}, {_row(one, what)}" if one.kind == "table" else label
        lines.append(f"  {one.name}  {textwrap.shorten(text, 80, placeholder=' ...')}")
    return lines


def _row(table: Glued, what: str) -> str:
    """Return the rows of a table that show a number, by their first cells."""
    found = [row[0] for row in rows(table.text)[1:] if any(what in _NUMBER.findall(cell) for cell in row)]
    return " and ".join(dict.fromkeys(found)) or "all of it"
