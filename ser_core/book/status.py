"""The page that says how the chapters were executed, how many Runs are verified, and what was tried to break."""

from collections.abc import Iterable
from pathlib import Path

import nbformat
import pandas as pd

from ser_core import paths
from ser_core.book import glue
from ser_core.errors import SerError
from ser_core.experiments import verification_record


def page(executed: Iterable[Path]) -> str:
    """Return the page that says when, how long and with what each chapter was executed.

    Args:
        executed: Notebooks that `execute` wrote.

    Returns:
        MyST.

    Raises:
        SerError: If a notebook was not written by `execute`.
    """
    rows, versions = [], {}
    for path in sorted(executed):
        facts = nbformat.read(path, as_version=4).metadata.get("ser", {})
        if "code" not in facts:
            raise SerError(f"{path}: not an executed chapter; delete it and run 'make book'")
        given = ", ".join(f"{name} = {value}" for name, value in facts["parameters"].items())
        row = {"Chapter": f"[{path.stem}]({path.name})"}
        if "seconds" in facts:  # a release leaves out what differs from one execution to the next
            row |= {
                "Executed (UTC)": facts["finished"],
                "Seconds": facts["seconds"],
                "Slowest cell, s": max(facts["cell_seconds"], default=0.0),
                "Peak, MiB": facts["peak_mib"],
            }
        rows.append(row | {"Parameters": given or "as printed", "Code": f"`{facts['code']}`"})
        versions |= {"python": facts["python"], **facts["versions"]}
    table = glue.markdown(pd.DataFrame(rows), ".1f")
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    text = f"# Execution status\n\nEvery chapter of this build, as it was executed.\n\n{table}\n\nWith {listed}.\n"
    return f"{text}\n## Verification of the Runs\n\n{verified()}{tried()}"


def verified() -> str:
    """Return how much of each experiment today's code has verified, as MyST."""
    table = verification_record.summary()
    done, n = int(table["verified_runs"].sum()), int(table["runs"].sum())
    columns = {
        "Experiment": "`" + table["experiment"] + "`",
        "Runs": table["runs"],
        "Verified": table["verified_runs"],
        "In all folds": table["all_folds_runs"],
        "Folds": table["folds"],
        "Folds verified": table["verified_folds"],
        "Folds that differ": table["different_folds"],
        "Not converged": table["unconverged_folds"],
        "Why not the others": table["reason"],
    }
    return (
        f"{done} of {n} Runs are verified by the code of this build: at least one fold was fitted again and gave the "
        "committed predictions within the tolerance that the Run names (`ser verify`; the record is "
        "`results/verified.jsonl`). Where a fit was cut off before it converged, another processor stands elsewhere: "
        f"such a fold is neither verified nor wrong.\n\n{glue.markdown(pd.DataFrame(columns))}\n"
    )


def tried() -> str:
    """Return how bad input and sudden ends were tried and what came of it, as MyST; empty without the folder of tests.

    The tables are written by the fuzz tests and by ``make kills``.
    """
    tests, parts = paths.repository() / "tests", []
    if (tests / "fuzz/counts.csv").is_file():
        counts = pd.read_csv(tests / "fuzz/counts.csv").rename(columns=str.capitalize)
        n, refused, accepted, wrong = (int(counts[name].sum()) for name in ("Inputs", "Refused", "Accepted", "Wrong"))
        parts.append(
            f"\n## Bad input\n\n`pytest tests/fuzz` tries {n} inputs, written by hand or made up by hypothesis. "
            f"{refused} are refused in one line. {accepted} are accepted, after a look at what was made of them or "
            f"what was said of them. {wrong} end in another way.\n\n{glue.markdown(counts)}\n"
        )
    if (tests / "kills.csv").is_file():
        kills = pd.read_csv(tests / "kills.csv").rename(columns=str.capitalize)
        n, resumed, same = (int(kills[name].sum()) for name in ("Kills", "Resumed", "Identical"))
        parts.append(
            f"\n## Sudden ends\n\n`make kills` ends commands by SIGKILL at random moments, {n} times, and starts them "
            f"again. Of {resumed} results, {same} are those of an undisturbed command, byte for byte but for facts "
            f"such as times.\n\n{glue.markdown(kills)}\n"
        )
    return "".join(parts)
