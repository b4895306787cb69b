"""The append-only record of verifications: what was fitted again, by which code, on what machine, and what came out."""

import functools
import json
import platform
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ser_core import files, paths
from ser_core.errors import SerError
from ser_core.experiments import keys, runs, specs
from ser_core.experiments.specs import NetworkSystem, System
from ser_core.experiments.verification import (
    CLOSE,
    DIFFERENT,
    IDENTICAL,
    UNCONVERGED,
    Verified,
    committed,
    cost,
)
from ser_core.systems import features


def record_path() -> Path:
    """Return where `append` records verifications: ``results/verified.jsonl``."""
    return paths.results() / "verified.jsonl"


def check_record(path: Path) -> None:
    """Raise unless lines can be appended to a record; what was to be recorded would be lost after hours of fitting.

    Args:
        path: The record, which need not be there.

    Raises:
        SerError: If it is not a record.
        OSError: If it cannot be written to.
    """
    if path.is_file():
        _lines(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.open("ab").close()


def append(verified: Verified, path: Path | None = None) -> None:
    """Add what verifying a Run gave to the record; what is there is never changed.

    Args:
        verified: From `ser_core.experiments.verification.verify`; one without a fold is not recorded.
        path: The record; `record_path` if None.
    """
    if not verified.folds:
        return
    path = path or record_path()
    info, environment = runs.info(verified.run), _environment()
    folds: dict[str, dict[str, list[int]]] = {}
    for fold in verified.folds:
        folds.setdefault(fold.outcome, {}).setdefault(str(fold.seed), []).append(fold.fold)
    line = {
        "run": verified.run,
        "key": info["key"],
        "predictions": info["tables"]["predictions"][:16],
        "code": keys.code_of(specs.read(info["cell"])),
        "environment": environment["environment"],
        "date": datetime.now(UTC).date().isoformat(),
        "folds": folds,
    }
    if changed := [fold for fold in verified.folds if fold.outcome != IDENTICAL]:
        line["differences"] = [[fold.seed, fold.fold, fold.answers, fold.clips, fold.probability] for fold in changed]
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another process could read half a line, or write the same environment.
    with files.lock(str(path.resolve())):
        known = path.is_file() and environment["environment"] in _environments(path)
        lines = [line] if known else [environment, line]
        text = "".join(json.dumps(one, sort_keys=True) + "\n" for one in lines).encode()
        with path.open("ab", buffering=0) as stream:
            if stream.write(text) < len(text):
                raise SerError(f"{path}: the disk is full; delete its last line, which is cut")


def _environment() -> dict:
    """Return what the outcome depends on beside the code: versions of libraries, and the machine."""
    facts = {"versions": runs.versions(), "machine": f"{platform.system()} {platform.machine()}, {_processor()}"}
    return {"environment": files.digest(facts), **facts}


@functools.cache
def _processor() -> str:
    """Return the processor's name and its widest vectors, on which the last bits of a sum depend."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = set(facts.get("flags", "").split()) & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}
    return " ".join([facts.get("model name", platform.processor() or "unknown"), *sorted(flags)])


def _environments(path: Path) -> set[str]:
    return {row["environment"] for row in _lines(path) if "versions" in row}


_LINE = {"run", "key", "predictions", "code", "environment", "date", "folds"}


def _lines(path: Path) -> list[dict]:
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not (isinstance(row, dict) and line.endswith(b"\n") and ({*row} >= _LINE or "versions" in row)):
            raise SerError(
                f"{path}, line {number}: not a line of a record of verifications; if it was cut when one was written, "
                f"delete it"
            )
        found.append(row)
    return found


def record(path: Path | None = None) -> pd.DataFrame:
    """Return the record of verifications, one row for each fold that was fitted again.

    Args:
        path: The record; `record_path` if None.

    Returns:
        Columns run, key, predictions (first 16 hex digits of the sha256 of the file), code, environment, date, seed,
        fold and outcome; in the order of the record.

    Raises:
        SerError: If the record is not readable.
    """
    path = path or record_path()
    rows = []
    for line in _lines(path) if path.is_file() else []:
        if "run" not in line:
            continue
        shared = {name: line[name] for name in ("run", "key", "predictions", "code", "environment", "date")}
        for outcome, seeds in line["folds"].items():
            rows += [{**shared, "seed": int(s), "fold": f, "outcome": outcome} for s, fs in seeds.items() for f in fs]
    columns = ["run", "key", "predictions", "code", "environment", "date", "seed", "fold", "outcome"]
    return pd.DataFrame(rows, columns=columns)


def summary(path: Path | None = None) -> pd.DataFrame:
    """Return how much of each experiment is verified by today's code.

    Args:
        path: The record; `record_path` if None.

    Returns:
        One row an experiment: ``experiment``, ``runs``, ``folds``; ``verified_runs`` and ``verified_folds``, whose last
        verification is by today's code, on the committed predictions, and ``identical`` or ``within tolerance``;
        ``all_folds_runs``, of which that holds for every fold; ``different_folds`` and ``unconverged_folds``; and
        ``reason``, why the others are not verified: the commonest, empty if there are none.
    """
    known = record(path).drop_duplicates(["run", "seed", "fold"], keep="last")
    by_run = dict(tuple(known.groupby("run")))
    rows = []
    for experiment, systems in runs.catalogue().groupby("experiment")["system"]:
        row = Counter(runs=len(systems))
        reasons: Counter = Counter()
        for folder in systems:
            info = runs.info(f"{experiment}/{folder}")
            system, n = specs.read(info["cell"]), len(info["folds"])
            found = by_run.get(f"{experiment}/{folder}", known.iloc[:0])
            current = (found["code"] == keys.code_of(system)) & (found["key"] == info["key"])
            current &= found["predictions"] == info["tables"]["predictions"][:16]
            good = int((current & found["outcome"].isin([IDENTICAL, CLOSE])).sum())
            row.update(folds=n, verified_folds=good, verified_runs=good > 0, all_folds_runs=good == n)
            different, unconverged = (int((current & (found["outcome"] == o)).sum()) for o in (DIFFERENT, UNCONVERGED))
            row.update(different_folds=different, unconverged_folds=unconverged)
            if not good:
                reasons["its fits did not converge" if unconverged else _why_not(system, info)] += 1
        rows.append({"experiment": experiment, **row, "reason": reasons.most_common(1)[0][0] if reasons else ""})
    return pd.DataFrame(rows)


def _why_not(system: System, info: dict) -> str:
    """Return why a Run is not verified, in words that do not depend on the machine."""
    if isinstance(system, NetworkSystem):
        return f"needs recordings or weights, about {max(1, cost(info) / 60):.0f} minutes a fold"
    if set(system.feature_sets) & set(features.WORDS) or not committed(system):
        return "features or transcripts are not committed"
    return "not fitted again yet"
