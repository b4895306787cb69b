"""An audit as a table or as JSON: every finding, every pair of recordings, every problem of the reading."""

import json
from pathlib import Path

import pandas as pd

from ser_core import files
from ser_core.errors import SerError

SUFFIXES = (".csv", ".json")


def check_path(path: Path) -> None:
    """Raise unless an audit can be written there.

    Raises:
        SerError: If the ending is none of `SUFFIXES`, or the path is a folder.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise SerError(f"{path}: findings are written as .csv or .json, not as '{Path(path).suffix}'")
    if Path(path).is_dir():
        raise SerError(f"{path}: is a folder; name a file in it")


def write(report, path: Path, problems: pd.DataFrame | None = None) -> None:
    """Write an audit, whole or not at all.

    Args:
        report: As from `ser_core.data.audit.audit`.
        path: A file; the ending decides: ``.csv`` has a row a finding, a pair of recordings or a problem, ``.json``
            all tables of the report.
        problems: What was found wrong when the corpus was read, see `ser_core.data.corpora.Reading`.

    Raises:
        SerError: If the ending is neither.
    """
    check_path(path)
    problems = pd.DataFrame(columns=["path", "problem", "detail"]) if problems is None else problems
    with files.replacing(Path(path)) as temporary:
        if Path(path).suffix.lower() == ".csv":
            _table(report, problems).to_csv(temporary, index=False, encoding="utf-8")
        else:
            temporary.write_text(_json(report, problems), encoding="utf-8")


def _table(report, problems: pd.DataFrame) -> pd.DataFrame:
    columns = ["check", "severity", "fold", "detail", "value"]
    pairs = report.pairs.assign(check="same sound", severity="pair", detail=report.pairs["kind"])
    read = pd.DataFrame(
        {"check": problems["problem"], "severity": "problem", "path": problems["path"], "detail": problems["detail"]}
    )
    pairs = pairs.drop(columns="kind").rename(columns={"similarity": "value"})
    tables = [table for table in (report.findings, pairs, read) if len(table)]
    found = pd.concat([table.astype("object") for table in tables]) if tables else report.findings
    return found[[*columns, *(name for name in found if name not in columns)]]


def _json(report, problems: pd.DataFrame) -> str:
    def records(table: pd.DataFrame) -> list[dict]:
        return json.loads(table.to_json(orient="records", force_ascii=False, double_precision=10))

    found = {"title": report.title, "findings": records(report.findings), "pairs": records(report.pairs)}
    found["problems"] = records(problems)
    for name in ("confounding", "effective_speakers", "shortcuts"):
        found[name] = records(getattr(report, name).reset_index())
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
