"""Tables for papers: LaTeX with the rules of booktabs, whatever the names in them."""

from collections.abc import Iterable

import pandas as pd

from ser_core.files import text


def table(rows: pd.DataFrame, caption: str, label: str, *, numbers: Iterable[str] = ()) -> str:
    r"""Return a table as LaTeX, which needs ``\usepackage{booktabs}``.

    Args:
        rows: Its rows; the index is left out.
        caption: LaTeX, which is not escaped.
        label: By which a text refers to it, such as ``tab:scores``.
        numbers: Columns that are set as formulas, so that a minus is one; others are escaped.

    Returns:
        The environment ``table``.

    Examples:
        >>> rows = pd.DataFrame({"who_is": ["50% & more"], "value": ["-0.5"]})
        >>> print(table(rows, "A table.", "tab:one", numbers=["value"]))
        \begin{table}
        \centering
        \caption{A table.}
        \label{tab:one}
        \begin{tabular}{lr}
        \toprule
        who\_is & value \\
        \midrule
        50\% \& more & $-0.5$ \\
        \bottomrule
        \end{tabular}
        \end{table}
    """
    numbers = list(numbers)
    names = [name for name in rows if name not in numbers]
    rows = rows.assign(**{name: rows[name].map(text.shown) for name in names})
    rows = rows.assign(**{name: "$" + rows[name] + "$" for name in numbers})
    style = rows.rename(columns=text.shown).style.hide(axis="index")
    style = style.format(escape="latex", subset=list(map(text.shown, names))).format_index(axis=1, escape="latex")
    columns = "".join("r" if name in numbers else "l" for name in rows)
    options = {"caption": caption, "label": label, "position_float": "centering", "column_format": columns}
    return style.to_latex(hrules=True, **options).rstrip("\n")


def interval(low: float | None, high: float | None, sign: str = "") -> str:
    """Return an interval for a formula.

    Args:
        low: Its lower end; None if there is none.
        high: Its upper end.
        sign: ``+`` to show the sign of what is above 0.

    Examples:
        >>> interval(-0.1, 0.25, "+"), interval(None, None)
        ('[-0.100, +0.250]', '-')
    """
    return "-" if low is None or high is None else f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def resampled(level: float | None) -> str:
    r"""Return for a caption what the intervals are, or that there are none.

    Args:
        level: Of the intervals; None without them.

    Examples:
        >>> resampled(0.95)
        '95\\% intervals over speakers'
    """
    return "without intervals over speakers" if level is None else f"{100 * level:g}\\% intervals over speakers"
