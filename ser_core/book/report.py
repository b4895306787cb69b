"""What a chapter hands to the book: checked parameters, glued numbers, figures, tables and where they come from."""

import ast
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ser_core.book import figures
from ser_core.errors import SerError

_INJECTED = "# Parameters"
"""How papermill begins the cell that it puts after the parameters cell."""

__all__ = [
    "begin",
    "figure",
    "glue",
    "markdown",
    "package_hash",
    "passage",
    "source",
    "table",
]

_chapter: str | None = None


def begin(chapter: str, history: Sequence[str]) -> None:
    r"""Start a chapter: refuse unknown parameters, set the figures' style, remember the name for the sources.

    Papermill only warns of a parameter that the notebook does not have, so that a typing error would silently run
    the default. Every chapter calls this in the first cell after its parameters.

    Args:
        chapter: The notebook's name without ending, as in ``01_datasets_and_leakage``.
        history: IPython's ``In``: the source of every cell run so far. The first is the parameters cell.

    Raises:
        SerError: If papermill set a name that the parameters cell does not, or a value of another type.

    Examples:
        >>> begin("01_example", ["", "n_resamples = 1000", "# Parameters\nn_resample = 10", "begin(...)"])
        Traceback (most recent call last):
        ...
        ser_core.errors.SerError: 01_example has no parameter 'n_resample'; it has n_resamples
    """
    global _chapter
    given = [source for source in history if source.startswith(_INJECTED)]
    if given:
        known = {} if history[1].startswith(_INJECTED) else _assignments(history[1])
        for name, value in _assignments(given[-1]).items():
            if name not in known:
                raise SerError(f"{chapter} has no parameter '{name}'; it has {', '.join(known) or 'none'}")
            if not _same_kind(known[name], value):
                raise SerError(f"{chapter}: parameter '{name}' is {value!r}; expected something like {known[name]!r}")
    _chapter = chapter
    figures.use_style()


def _assignments(source: str) -> dict[str, object]:
    assigned = [statement for statement in ast.parse(source).body if isinstance(statement, ast.Assign)]
    return {target.id: _literal(statement.value) for statement in assigned for target in statement.targets}


def _literal(value: ast.expr) -> object:
    """Return the value of a literal; None, which goes with any type, for what must be computed."""
    try:
        return ast.literal_eval(value)
    except ValueError:
        return None


def _same_kind(default: object, value: object) -> bool:
    if default is None or type(default) is type(value):
        return True
    return type(default) is float and type(value) is int


def glue(key: str, text: str) -> None:
    """Store a finished piece of text under a key, for ``{glue:text}`` in prose.

    Args:
        key: Name of the text, unique within the chapter.
        text: The text as the reader sees it, as in ``"61.2 %"``: rounding is decided here, once.

    Raises:
        SerError: If ``text`` is not a string.
    """
    from myst_nb import glue as myst_glue

    if not isinstance(text, str):
        raise SerError(f"glue('{key}', {text!r}): expected formatted text, got {type(text).__name__}")
    myst_glue(key, text.replace(" %", "\N{NO-BREAK SPACE}%"), display=False)


def figure(drawing: Figure, key: str, *, alt: str) -> None:
    """Store a figure for ``{glue:figure}``, readable on light and dark pages and in print, and close it.

    Args:
        drawing: A matplotlib figure drawn in the book's style.
        key: Name of the figure, unique within the chapter.
        alt: What it shows, in words, for those who do not see it; at least ten characters.

    Raises:
        SerError: If ``alt`` is too short to say anything.
    """
    from myst_nb import glue as myst_glue

    if len(alt) < 10:
        raise SerError(f"figure '{key}': alt text {alt!r} is too short; say what the figure shows")
    myst_glue(key, figures.draw(drawing, name=key, alt=alt))


@dataclass(frozen=True)
class _Markdown:
    text: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/markdown": self.text, "text/plain": self.text}


def passage(text: str, key: str) -> None:
    """Store a passage of MyST, such as a data card, for ``{glue:md}``.

    Args:
        text: Blocks of MyST without headings.
        key: Name of the passage, unique within the chapter.
    """
    from myst_nb import glue as myst_glue

    myst_glue(key, _Markdown(text))


def table(frame: pd.DataFrame, key: str, *, formats: Mapping[str, str] | None = None) -> None:
    """Store a table for ``{glue:md}``; see `markdown` for its look.

    Args:
        frame: The table as the reader sees it, without its index.
        key: Name of the table, unique within the chapter.
        formats: Format specification of a column, as in ``{"UAR": ".3f"}``.
    """
    passage(markdown(frame, formats=formats), key)


def markdown(frame: pd.DataFrame, *, formats: Mapping[str, str] | None = None) -> str:
    """Return a table as Markdown: numbers and formatted columns on the right, missing values as a dash.

    Args:
        frame: The table as the reader sees it, without its index. Text may be MyST, such as a citation.
        formats: Format specification of a column, as in ``{"UAR": ".3f"}``; a column of floats needs one, and
            ``">"`` puts a column of text on the right.

    Returns:
        A pipe table.

    Raises:
        SerError: If a column of floats has no format, or a format names no column.

    Examples:
        >>> print(markdown(pd.DataFrame({"corpus": ["a"], "UAR": [0.5]}), formats={"UAR": ".3f"}))
        | corpus | UAR |
        | :--- | ---: |
        | a | 0.500 |
    """
    formats = formats or {}
    if unknown := sorted(set(formats) - set(frame)):
        raise SerError(f"formats name the columns {unknown}, which the table does not have: {list(frame)}")
    floats = [name for name in frame if pd.api.types.is_float_dtype(frame[name]) and name not in formats]
    if floats:
        raise SerError(f"the columns {floats} are floats: say in formats how many digits they show")
    right = [name in formats or pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    rows = [[_cell(str(name), "") for name in frame], ["---:" if numbers else ":---" for numbers in right]]
    rows += [
        [_cell(value, formats.get(name, "")) for name, value in zip(frame, row, strict=True)]
        for row in frame.itertuples(index=False)
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: object, specification: str) -> str:
    text = "–" if pd.isna(value) else format(value, specification)
    return text.replace("|", r"\|").replace("\n", " ")


def package_hash() -> str:
    """Return 8 hex digits that change when any source file of the package does.

    Returns:
        The start of a sha256, the same on every machine.
    """
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]


def source(*inputs: str) -> str:
    """Return where a figure or a table comes from, the last sentence of its caption.

    Args:
        inputs: Runs or other committed files that it was made from, as in ``"runs ladder"``.

    Returns:
        One sentence with the notebook, the inputs and the hash of the code.
    """
    if _chapter is None:
        raise SerError("report.source needs report.begin(chapter, In) first")
    made_from = f", from {', '.join(inputs)}" if inputs else ""
    return f"Source: {_chapter}.ipynb{made_from}; code {package_hash()}."
