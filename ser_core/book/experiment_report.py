"""The report of any experiment: its Runs with intervals, floors, classes and speakers, as one page of HTML."""

import pandas as pd

from ser_core.data.clips import corpus_of
from ser_core.evaluation import metrics, score_sheet
from ser_core.experiments import runs, scoring, study
from ser_core.files import page


def html(experiment: str) -> str:
    """Return the report of the Runs that an experiment has.

    Args:
        experiment: Its name.

    Returns:
        A page of HTML that stands alone.

    Raises:
        SerError: If there are no Runs, or one is not readable.
    """
    names = runs.names(experiment)
    tested = [part for name in names for part in _parts(name)]
    rows = [{"run": _short(part), "UAR": study.uar(part).text()} for part in tested]
    body = [page.text(runs.info(names[0])["question"]), page.heading("Scores")]
    body.append(page.table(pd.DataFrame(rows), "UAR with intervals over speakers, or the reason why there is none."))
    for part in tested:
        table = scoring.predictions_of(part)
        classes = metrics.class_names(table)
        counts = metrics.confusions(table, classes).mean(axis=0)
        body += [
            page.heading(_short(part)),
            page.table(score_sheet.floors(table).rename_axis("without listening"), "Floors on these clips."),
            page.confusion(counts, classes, "In percent of each true class; clips in brackets."),
        ]
        if table["speaker"].notna().all():
            body.append(page.table(score_sheet.speakers_of(table).sort_values("accuracy"), "Lowest accuracy first."))
    return page.page(f"Experiment {experiment}", body)


def _parts(name: str) -> list[str]:
    """Return a Run's name, or one for each corpus that it tests."""
    tested = sorted(set(corpus_of(runs.read(name).predictions["clip"])))
    return [name] if len(tested) == 1 else [f"{name}@{corpus}" for corpus in tested]


def _short(name: str) -> str:
    return name.partition("/")[2]
