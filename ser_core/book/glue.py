"""What a chapter hands to the book: checked parameters, glued texts, figures, tables and where they come from."""

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from ser_core import paths
from ser_core.book import style
from ser_core.errors import SerError
from ser_core.evaluation.comparisons import Difference, p_text
from ser_core.evaluation.intervals import Interval

if TYPE_CHECKING:
    from ser_core.book.play import Playable

_INJECTED = "# Parameters"
"""How papermill begins the cell that it puts after the parameters cell."""

__all__ = [
    "begin",
    "described",
    "figure",
    "listed",
    "markdown",
    "passage",
    "playable",
    "share",
    "shares",
    "shown",
    "source",
    "span",
    "table",
    "tally",
    "text",
]

Format = str | Callable[[float], str]
"""How a float is shown in a table: a format specification such as ``".3f"``, or a function such as `share`."""

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
            if name.startswith("n_") and isinstance(value, int) and value < 1:
                raise SerError(f"{chapter}: parameter '{name}' is {value}; expected 1 or more")
    _chapter = chapter
    style.use_style()


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


def text(values: Mapping[str, object] | None = None, /, **more: object) -> None:
    """Store values under their keys, for ``{glue:text}`` in prose; see `shown` for how each is written.

    Args:
        values: Key -> value, for keys that are computed, as in ``{f"best_{name}": best[name] for name in names}``. A
            key is unique within the chapter.
        **more: Key and value, for keys that are not.

    Raises:
        SerError: As `shown`, with the key.
    """
    from myst_nb import glue as myst_glue

    for key, value in {**(values or {}), **more}.items():
        try:
            written = shown(value)
        except SerError as error:
            raise SerError(f"glue.text, key '{key}': {error}") from None
        myst_glue(key, written.replace(" %", "\N{NO-BREAK SPACE}%"), display=False)


def shares(
    unit: str = "", digits: int = 1, values: Mapping[str, float] | None = None, *, sign: bool = False, **more: float
) -> None:
    """Store shares that are written alike under their keys, each as by `share`.

    Args:
        unit: As for `share`.
        digits: As for `share`.
        values: Key -> share, for keys that are computed.
        sign: As for `share`.
        **more: Key and share, for keys that are not.

    Raises:
        SerError: If a share is no finite number.
    """
    text({key: share(value, digits, unit, sign=sign) for key, value in {**(values or {}), **more}.items()})


def shown(value: object, *, reasons: bool = True) -> str:
    """Return a value as the reader sees it: scores in percent, differences in points, each with its interval.

    Args:
        value: Text, a whole number, an interval or a difference. How a float is rounded must be said: see `share`.
        reasons: Say why there is no interval.

    Raises:
        SerError: If it is anything else.

    Examples:
        >>> shown(1440), shown(Interval(0.6123, 0.5708, 0.6502, 0.95, "expanded", "speaker", 24))
        ('1,440', '61.2 [57.1, 65.0]')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Interval):
        return value.text(percent=True, reasons=reasons)
    if isinstance(value, Difference):
        return value.points(reasons=reasons)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return f"{value:,}"
    raise SerError(
        f"{value!r} is of type {type(value).__name__}; expected text, a whole number, an Interval or a Difference; "
        "round a float by glue.share(value) or an f-string"
    )


def share(value: float, digits: int = 1, unit: str = "", *, sign: bool = False) -> str:
    """Return a share, or a difference of shares, in percent.

    Args:
        value: In [0, 1], or a difference of such.
        digits: Decimals.
        unit: What stands behind it, such as ``%`` or ``points``.
        sign: Show a plus sign.

    Raises:
        SerError: If it is no finite number.

    Examples:
        >>> share(0.6123), share(0.6123, 0, "%"), share(0.031, unit="points", sign=True)
        ('61.2', '61 %', '+3.1 points')
    """
    if not math.isfinite(value):
        raise SerError(f"a share of {value} cannot be shown; expected a finite number")
    # Numpy's own round is not exact. Adding 0.0 afterwards turns -0.0 into 0.0.
    return f"{round(float(100 * value), digits) + 0.0:{'+' if sign else ''}.{digits}f} {unit}".rstrip()


def span(values: Iterable[float], digits: int = 1, unit: str = "", *, sign: bool = False) -> str:
    """Return the least and the largest of some shares in percent, or one if both read alike.

    Args:
        values: The shares.
        digits: As for `share`.
        unit: As for `share`.
        sign: As for `share`.

    Examples:
        >>> span([0.5, 0.61, 0.42]), span([0.031, -0.02], unit="points", sign=True), span([0.5, 0.5], 0, "%")
        ('42.0 to 61.0', '-2.0 to +3.1 points', '50 %')
    """
    values = list(values)
    low, high = (share(end, digits, sign=sign) for end in (min(values), max(values)))
    return f"{low if low == high else f'{low} to {high}'} {unit}".rstrip()


def tally(kept: Iterable[bool]) -> str:
    """Return how many of all are true.

    Examples:
        >>> tally(pd.Series([True, False, True]))
        '2 of 3'
    """
    kept = list(kept)
    return f"{sum(map(bool, kept)):,} of {len(kept):,}"


def listed(names: Iterable[str], none: str = "none") -> str:
    """Return names as a list in prose.

    Examples:
        >>> listed(["EmoDB", "SAVEE", "TESS"]), listed(["EmoDB"]), listed([])
        ('EmoDB, SAVEE and TESS', 'EmoDB', 'none')
    """
    *first, last = list(names) or [none]
    return f"{', '.join(first)} and {last}" if first else last


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
    myst_glue(key, style.draw(drawing, name=key, alt=alt))


def playable(chart: "Playable") -> None:
    """Store a chart to play with under its name, for ``{glue}`` on the page that shows it.

    Args:
        chart: Made by a function of `ser_core.book.play`.
    """
    from myst_nb import glue as myst_glue

    myst_glue(chart.name, chart, display=False)


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


def described(scores: Mapping[str, object] | pd.Series, digits: int = 0, unit: str = "", *, sign: bool = False) -> str:
    """Return scores with their names, or groups of such, as the alternative text of a figure tells them.

    Args:
        scores: Name -> score, an interval, a difference or a float, or several of them; or heading -> such a mapping.
        digits: As for `share`.
        unit: As for `share`.
        sign: As for `share`.

    Examples:
        >>> described({"probe": 0.61, "ComParE": 0.58}, unit="%")
        'probe 61 %, ComParE 58 %'
        >>> described({"EmoDB": {"probe": 0.75}, "SAVEE": {"probe": 0.612}}, 1)
        'EmoDB: probe 75.0; SAVEE: probe 61.2'
        >>> described({"EmoDB": (0.6, 0.75), "SAVEE": (0.4, 0.61)}, unit="%")
        'EmoDB 60 and 75 %, SAVEE 40 and 61 %'
    """
    scores = dict(scores.items())
    if any(isinstance(score, Mapping | pd.Series) for score in scores.values()):
        return "; ".join(f"{name}: {described(part, digits, unit, sign=sign)}" for name, part in scores.items())
    told = {name: score if isinstance(score, tuple) else (score,) for name, score in scores.items()}
    told = {name: [share(_value(score), digits, sign=sign) for score in several] for name, several in told.items()}
    between = "; " if any("," in name for name in told) else ", "
    return between.join(f"{name} {' and '.join(several)} {unit}".rstrip() for name, several in told.items())


def _value(score: Interval | Difference | float) -> float:
    score = score.interval if isinstance(score, Difference) else score
    return score.value if isinstance(score, Interval) else score


Rows = pd.DataFrame | Sequence[Mapping[str, object]] | Mapping[str, Iterable]
"""A table as a frame, row by row, or column by column."""


def table(
    rows: Rows,
    key: str,
    formats: Format | Mapping[str, Format] | None = None,
    **options: object,
) -> None:
    """Store a table for ``{glue:md}``; see `markdown` for its look.

    Args:
        rows: The table as the reader sees it.
        key: Name of the table, unique within the chapter.
        formats: See `markdown`.
        **options: As for `markdown`.
    """
    passage(markdown(rows, formats, **options), key)


def markdown(
    rows: Rows,
    formats: Format | Mapping[str, Format] | None = None,
    *,
    index: str | Sequence[str] = (),
    right: Sequence[str] = (),
    reasons: bool = True,
) -> str:
    """Return a table as Markdown: what is a number or formatted on the right, what is missing as a dash.

    Args:
        rows: The table as the reader sees it. Text may be MyST, such as a citation; intervals and differences are
            written as in `shown`, on the right.
        formats: How floats are shown: in all columns of floats, or by column, as in ``{"UAR": ".3f", "share": share}``.
            A column of floats needs it; but p-values, in the column ``p`` or ``p (...)``, are shown by `p_text`.
        index: What the index is called, or its levels, to show it in front; else it is left out.
        right: Columns of text that stand on the right, too.
        reasons: Say why there is no interval where there is none.

    Returns:
        A pipe table.

    Raises:
        SerError: If a column of floats has no format, or ``formats`` or ``right`` names no column.

    Examples:
        >>> print(markdown([{"corpus": "a", "clips": 24, "UAR": 0.5}], share))
        | corpus | clips | UAR |
        | :--- | ---: | ---: |
        | a | 24 | 50.0 |
    """
    frame = pd.DataFrame(rows)
    if index:
        names = [index] if isinstance(index, str) else list(index)
        if len(names) != frame.index.nlevels:
            raise SerError(f"index names {names}, and the index has {frame.index.nlevels} levels")
        frame = frame.reset_index(names=names)
    floats = [name for name in frame if pd.api.types.is_float_dtype(frame[name])]
    p_values = [name for name in floats if name == "p" or str(name).startswith("p (")]
    if isinstance(formats, str) or callable(formats):
        formats = dict.fromkeys(set(floats) - set(p_values), formats)
    formats = dict.fromkeys(p_values, p_text) | dict(formats or {})
    if unknown := sorted({*formats, *right} - set(frame)):
        raise SerError(f"formats name the columns {unknown}, which the table does not have: {list(frame)}")
    if bare := [name for name in floats if name not in formats]:
        raise SerError(f"the columns {bare} are floats: say in formats how many digits they show")
    sides = ["---:" if name in right or name in formats or _numbers(frame[name]) else ":---" for name in frame]
    lines = [[_cell(str(name)) for name in frame], sides]
    lines += [
        [_cell(value, formats.get(name, ""), reasons) for name, value in zip(frame, row, strict=True)]
        for row in frame.itertuples(index=False)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _numbers(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) or column.map(lambda v: isinstance(v, Interval | Difference)).any()


def _cell(value: object, how: Format = "", reasons: bool = True) -> str:
    if isinstance(value, Interval | Difference):
        written = shown(value, reasons=reasons)
    elif pd.isna(value):
        written = "–"
    else:
        written = how(value) if callable(how) else format(value, how)
    # A name from somebody's file must not become a part of the page; an address in angle brackets may.
    written = re.sub(r"<(?!https?://)(?=[A-Za-z/!?])", "&lt;", written)
    return written.replace("|", r"\|").replace("\n", " ")


def source(key: str, *inputs: str, runs: str | Iterable[str] = "") -> str:
    """Store and return where a figure or a table comes from, the last sentence of its caption.

    Args:
        key: Name of the sentence, unique within the chapter.
        inputs: Runs or other committed files that it was made from, as in ``"runs ladder"``.
        runs: Experiments, named before the inputs: a string such as ``"a b"`` for ``"runs a", "runs b"``; or the names
            of Runs, whose experiments are named once each.

    Returns:
        One sentence with the notebook, the inputs and the hash of the code.

    Raises:
        SerError: If the chapter has not begun.
    """
    if _chapter is None:
        raise SerError("glue.source needs glue.begin(chapter, In) first")
    experiments = runs.split() if isinstance(runs, str) else dict.fromkeys(run.partition("/")[0] for run in runs)
    inputs = [*(f"runs {experiment}" for experiment in experiments), *inputs]
    made_from = f", from {', '.join(inputs)}" if inputs else ""
    sentence = f"Source: {_chapter}.ipynb{made_from}; code {paths.package_hash()}."
    text({key: sentence})
    return sentence
