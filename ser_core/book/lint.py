"""What prose may not hold: a number that looks like a result but was typed, and glue that leads nowhere."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

_COUNTED = "clips?|recordings?|utterances?|speakers?|actors?|actresses|participants?|hours?|emotions?|sentences?"
# What looks computed: a decimal, a percentage, points, or a count of what a corpus holds.
_NUMBER = re.compile(
    rf"""(?<![\w.,])(?:
        \d[\d,]*(?:\.\d+)?[\s-]?(?:%|percent\b|per\ cent\b|(?:percentage\s)?points?\b|pp\b|pts?\b)
      | \d+\.\d+
      | \d+e-?\d+
      | (?:UAR|WAR|accuracy|F1|n\s=)\s\d+(?:,\d+)*
      | \d[\d,]*[\s-](?:{_COUNTED})\b
    )(?![\w%]|\.\d)""",
    re.VERBOSE | re.IGNORECASE,
)

ALLOWED = (
    (
        r"\b9[059] (?:%|percent) (?:confidence )?(?:interval|level)s?|\bintervals? at 9[059] %",
        "the level of an interval is a convention, not a result",
    ),
    (r"\bPython 3\.\d+", "a version"),
    (r"\bCC BY(?:-NC)?(?:-SA|-ND)? \d\.\d", "a licence's version"),
    (r"\b(?:wav2vec|data2vec) 2\.0", "a model's name"),
)
"""Patterns that may be typed, each with its reason."""

_ALLOWED = re.compile("|".join(pattern for pattern, _ in ALLOWED), re.IGNORECASE)

# Directives whose first line is prose, and those whose content is not.
_TITLED = {"table", "list-table", "admonition", "dropdown", "topic", "sidebar", "card", "tab-item", "rubric"}
_NOT_PROSE = {"code-cell", "code-block", "code", "raw", "eval-rst", "math", "toctree", "bibliography", "literalinclude"}


@dataclass
class Page:
    """What a page says.

    Args:
        typed: Line number and text of each number that looks typed.
        uses: Line number, document (None: the page itself) and key of each piece of glue.
    """

    typed: list[tuple[int, str]] = field(default_factory=list)
    uses: list[tuple[int, str | None, str]] = field(default_factory=list)


def read(text: str) -> Page:
    """Read a MyST page, or a MyST notebook, of which code cells do not count.

    Args:
        text: The page.

    Returns:
        Numbers that look typed, and the glue that the page uses.

    Examples:
        >>> page = read("We reach 61.2 %, not {glue:text}`floor`; see `0.5`.")
        >>> page.typed, page.uses
        ([(1, '61.2 %')], [(1, None, 'floor')])
    """
    page = Page()
    _blocks(text, 0, page)
    return page


def _blocks(text: str, offset: int, page: Page) -> None:
    extensions = {"colon_fence", "deflist"}
    parser = create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)
    for token in parser.parse(text):
        line = offset + (token.map[0] if token.map else 0) + 1
        if token.type == "inline":
            _inline(token, line, page)
        elif token.type in ("fence", "colon_fence") and (
            found := re.match(r"\{([\w:-]+)\}\s*(.*)", token.info.strip())
        ):
            _directive(found[1], found[2], token.content, line, page)


def _directive(name: str, argument: str, content: str, line: int, page: Page) -> None:
    if name in _NOT_PROSE:
        return
    options, body = _options(content)
    if name.split(":")[0] == "glue":
        page.uses.append((line, options.get("doc"), argument.strip()))
    elif name in _TITLED:
        _blocks(argument, line - 1, page)
    _blocks(body, line, page)


def _options(content: str) -> tuple[dict[str, str], str]:
    """Split a directive's content; option lines stay as empty lines, so that line numbers hold."""
    lines, options = content.splitlines(), {}
    for position, line in enumerate(lines):
        found = re.match(r":([\w-]+):\s*(.*)$", line)
        if not found:
            break
        options[found[1]] = found[2]
        lines[position] = ""
    return options, "\n".join(lines)


def _inline(token: Token, line: int, page: Page) -> None:
    prose = ""
    for child in _outside_links(token.children or []):
        if child.type == "text":
            prose += child.content
        elif child.type in ("softbreak", "hardbreak"):
            prose += "\n"
        else:
            if child.type == "myst_role" and child.meta["name"].split(":")[0] == "glue":
                document, _, key = child.content.rpartition("::")
                page.uses.append((line + prose.count("\n"), document or None, key.removesuffix(":s")))
            prose += "\N{OBJECT REPLACEMENT CHARACTER}"
    allowed = [found.span() for found in _ALLOWED.finditer(prose)]
    for found in _NUMBER.finditer(prose):
        if not any(start <= found.start() < end for start, end in allowed):
            page.typed.append((line + prose.count("\n", 0, found.start()), found[0]))


def _outside_links(children: list[Token]) -> Iterator[Token]:
    depth = 0
    for child in children:
        depth += child.nesting if child.type in ("link_open", "link_close") else 0
        if not depth:
            yield child


def glued(notebook: Path) -> list[str]:
    """Return the keys that an executed notebook glued, in order, doubles included."""
    cells = nbformat.read(notebook, as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.metadata.scrapbook.name for output in outputs if "scrapbook" in output.get("metadata", {})]


def check(root: Path) -> list[str]:
    """Return everything that is wrong with the book's prose, one line a finding.

    Args:
        root: The repository, with its chapters executed into ``book/chapters``.

    Returns:
        Typed numbers, glue that no chapter makes, keys made twice, and keys that no page uses; empty if all is well.
    """
    wrong: list[str] = []
    root = root.resolve()
    chapters = {path.stem for path in root.glob("notebooks/*.md")}
    executed = [path for path in sorted(root.glob("book/chapters/*.ipynb")) if path.stem in chapters]
    keys = {path: glued(path) for path in executed}
    used: set[tuple[Path, str]] = set()
    for path in sorted(
        [*root.glob("book/*.md"), *root.glob("notebooks/*.md"), *root.glob("data_cards/*.md"), root / "README.md"]
    ):
        page, name = read(path.read_text(encoding="utf-8")), path.relative_to(root)
        wrong += [f"{name}:{line}: '{number}' is typed; glue it from a chapter" for line, number in page.typed]
        for line, document, key in page.uses:
            here = root / "book/chapters" / f"{path.stem}.ipynb"
            source = (path.parent / document).resolve() if document else here
            if key not in keys.get(source, []):
                wrong.append(f"{name}:{line}: no chapter {source.stem} glues '{key}'")
            used.add((source, key))
    for path, made in keys.items():
        wrong += [f"{path.stem}: glues '{key}' twice" for key in sorted({key for key in made if made.count(key) > 1})]
        wrong += [f"{path.stem}: glues '{key}', which no page uses" for key in made if (path, key) not in used]
    return wrong
