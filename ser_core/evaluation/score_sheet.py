"""The score sheet of predictions: metrics with intervals over speakers, floors, classes, speakers, calibration."""

import numpy as np
import pandas as pd

from ser_core.evaluation import bootstrap, calibration, intervals, metrics, wording
from ser_core.evaluation.floors import resubstitution_lookup


def sheet(predictions: pd.DataFrame, **options) -> str:
    """Return the score sheet as text: metrics with intervals, floors, classes, speakers, calibration.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`.
        **options: ``n_resamples``, ``level``, ``seed`` and others of `ser_core.evaluation.intervals.from_counts`.

    Returns:
        Lines of text.

    Examples:
        >>> table = pd.DataFrame({"clip": list("abcd"), "truth": ["sad", "happy"] * 2, "prediction": "sad"})
        >>> print(sheet(table).splitlines()[0])
        4 clips, speakers not named, 2 classes, 1 seed
    """
    facts = metrics.scores(predictions)
    has_speakers = _no_speakers(predictions) is None
    speakers = _count(facts["n_speakers"], "speaker") if has_speakers else "speakers not named"
    if facts["n_speakers"] and not has_speakers:
        speakers = "speakers not named for all"
    counted = (_count(facts["n_clips"], "clip"), speakers, _count(facts["n_classes"], "class"))
    lines = [", ".join((*counted, _count(facts["n_seeds"], "seed"))), ""]

    table = headline(predictions, **options)
    first = table["interval"].iloc[0]
    refusals = {interval.refusal for interval in table["interval"]}
    # What holds for all of them is said once.
    refused = first.refusal if len(refusals) == 1 else None
    over, also = ("", "") if facts["n_seeds"] == 1 else (" (means over the seeds)", " and seeds")
    if refused:
        lines.append(f"Metrics{over}, without intervals: {refused}")
    else:
        lines.append(f"Metrics{over}, with {100 * first.level:g}% intervals that resample speakers{also}")
    lines += [f"  {name:<16}{_text(interval, refused)}" for name, interval in table["interval"].items()]
    lines.append("  UAR is the mean of the classes' recalls, WA the share of clips that are right.")
    if facts["absent"]:
        lines.append(f"  No clip has the class {', '.join(facts['absent'])}; UAR is over the others.")
    lines += [f"  Note: {note}." for note in wording.notes(predictions)]

    lines += ["", "Floors: scores on these clips without listening          UAR    WA"]
    lines += [f"  {name:<52}{row.uar:8.3f}{row.wa:6.3f}" for name, row in floors(predictions).iterrows()]
    if has_speakers:
        lines.append("  The look-up knows only who speaks: each speaker's commonest class on these very clips.")

    lines += ["", "Recall of each class"]
    names = metrics.class_names(predictions)
    support = predictions.drop_duplicates("clip")["truth"].value_counts()
    width = max(16, *(len(name) + 2 for name in names))
    for name in [name for name in names if name in support]:
        if has_speakers:
            text = _text(intervals.interval(predictions, f"recall:{name}", **options), refused)
        else:
            text = f"{float(metrics.metric(f'recall:{name}', names)(metrics.confusions(predictions)).mean()):.3f}"
        lines.append(f"  {name:<{width}}{text}, {_count(support[name], 'clip')}")

    if has_speakers:
        right = (predictions["truth"] == predictions["prediction"]).groupby(predictions["speaker"]).mean()
        lines += ["", "Accuracy by speaker"]
        lines.append(f"  lowest {right.min():.3f} ({right.idxmin()}), median {right.median():.3f}, ")
        lines[-1] += f"highest {right.max():.3f} ({right.idxmax()})"
    if any(column.startswith("p_") for column in predictions):
        lines += ["", "Calibration of the probabilities, 0 is best"]
        lines.append(f"  expected calibration error {calibration.ece(predictions):.3f}, Brier score ")
        lines[-1] += f"{calibration.brier(predictions):.3f} (guessing all classes alike: {1 - 1 / len(names):.3f})"
    return "\n".join(lines)


def headline(predictions: pd.DataFrame, **options) -> pd.DataFrame:
    """Return every metric with its interval over speakers.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`. Without a speaker for every clip the intervals are
            refused.
        **options: ``n_resamples``, ``level``, ``seed`` and others of `ser_core.evaluation.intervals.from_counts`.

    Returns:
        One row a metric, indexed by its name, with the column ``interval``.
    """
    rows = {}
    reason = _no_speakers(predictions)
    for name, label in metrics.LABELS.items():
        if reason is None:
            rows[label] = intervals.interval(predictions, name, **options)
        else:
            value = metrics.scores(predictions)[name]
            level = options.get("level", 0.95)
            rows[label] = intervals.Interval(value, np.nan, np.nan, level, bootstrap.METHOD, "speaker", 0, reason)
    return pd.Series(rows, name="interval").to_frame()


def floors(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return what can be scored on the same clips without listening, from the predictions file alone.

    Without the training parts the look-up of speakers is in-sample, an upper bound: what a system would score that
    hears only who speaks, on clips of speakers it knows.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`.

    Returns:
        One row a floor with the columns ``uar`` and ``wa``, each in [0, 1].
    """
    once = predictions.drop_duplicates("clip").reset_index(drop=True)
    counts = once["truth"].value_counts(normalize=True)
    rows = {
        "always the commonest class": {"uar": 1 / len(counts), "wa": counts.iloc[0]},
        "chance, in proportion to the classes": {"uar": 1 / len(counts), "wa": float((counts**2).sum())},
    }
    if _no_speakers(once) is None:
        clips = once.set_index("clip")[["speaker", "truth"]].rename(columns={"truth": "emotion"})
        looked_up = metrics.scores(resubstitution_lookup(clips, "speaker"))
        rows["speaker look-up (in-sample)"] = {"uar": looked_up["uar"], "wa": looked_up["wa"]}
    return pd.DataFrame.from_dict(rows, orient="index")


def _no_speakers(predictions: pd.DataFrame) -> str | None:
    """Return why nothing can be said of speakers; None if every clip has one."""
    if "speaker" not in predictions or predictions["speaker"].isna().all():
        return "the predictions name no speakers, and clips are not independent; add a column 'speaker'"
    unnamed = predictions.loc[predictions["speaker"].isna(), "clip"]
    if len(unnamed):
        n, first = unnamed.nunique(), unnamed.iloc[0]
        return f"{n} of the clips have no speaker, the first is '{first}'; fill in the column 'speaker'"
    return None


def _count(n: int, what: str) -> str:
    """Return '1 clip', '2 clips', '3 classes'."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}{'es' if what.endswith('s') else 's'}"


def _text(interval: intervals.Interval, refused: str | None) -> str:
    """Return a score with its interval, or without the reason for none if that was told already."""
    return f"{interval.value:.3f}" if refused and interval.refusal == refused else interval.text()
