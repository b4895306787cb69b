"""Reading CSV tables that others wrote: what pandas would shift, drop or rename in silence is refused."""

import csv
from pathlib import Path

import pandas as pd

from ser_core.errors import SerError


def read(path: Path | str, words: tuple[str, ...] | None = None, *, divider: str = ",") -> pd.DataFrame:
    r"""Read a CSV table in UTF-8; only an empty cell is missing, for NA may be somebody's initials.

    Args:
        path: The file.
        words: Columns that are texts, whatever they look like; all columns if not given.
        divider: What stands between cells.

    Returns:
        The table. Rows may have fewer cells than the header, which are missing then.

    Raises:
        SerError: If the file is not there, is no CSV in UTF-8, a column stands twice in its header, or a row has more
            cells than the header.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.csv"
        >>> _ = path.write_text("clip,fold\n01,2\n")
        >>> read(path, ("clip",)).to_dict("list")
        {'clip': ['01'], 'fold': [2]}
    """
    lines(path, divider)
    types = "str" if words is None else dict.fromkeys(words, "str")
    try:
        return pd.read_csv(
            path,
            sep=divider,
            dtype=types,
            keep_default_na=False,
            na_values=[""],
            encoding="utf-8",
            index_col=False,
            low_memory=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise _unreadable(path, str(error)) from error


def lines(path: Path | str, divider: str = ",") -> list[int]:
    """Return the line on which each row of a CSV table begins, and refuse a table whose cells do not fit its header.

    Args:
        path: The file.
        divider: What stands between cells.

    Raises:
        SerError: As `read`.
    """
    starts, before = [], 1
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, delimiter=divider)
            header = next((row for row in rows if row), None)
            if header is None:
                raise _unreadable(path, "it is empty")
            if twice := sorted({name for name in header if name and header.count(name) > 1}):
                raise SerError(f"{path}: the column '{twice[0]}' stands more than once in its header; keep one of them")
            before = rows.line_num + 1
            for row in rows:
                if len(row) > len(header):
                    wide = f"line {before} has {len(row)} cells, the header {len(header)}"
                    raise _unreadable(path, f"{wide}; name each column, and quote cells that hold a comma")
                # pandas passes over a line of blanks, too.
                if len(row) > 1 or "".join(row).strip(" \t"):
                    starts.append(before)
                before = rows.line_num + 1
    except FileNotFoundError as error:
        raise SerError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"not in UTF-8 at byte {error.start}; save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise _unreadable(path, str(error)) from error
    return starts


def _unreadable(path: Path | str, reason: str) -> SerError:
    return SerError(f"{path}: not a readable CSV table ({reason.splitlines()[0]})")
