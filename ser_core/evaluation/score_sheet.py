"""The score sheet of predictions: metrics with intervals over speakers, floors, classes, speakers, calibration."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ser_core.evaluation import bootstrap, calibration, intervals, metrics, wording
from ser_core.evaluation.floors import resubstitution_lookup
from ser_core.files import latex, page

# A terminal shows no more of them; JSON and HTML have all.
_MOST_CLASSES, _MOST_SPEAKERS = 12, 12


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
    lines += [f"  {words}" for words in _remarks(facts["absent"], wording.notes(predictions))]

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
        table = speakers_of(predictions)
        if len(table) <= _MOST_SPEAKERS:
            width = max(16, *(len(name) + 2 for name in table.index))
            lines += [
                f"  {name:<{width}}{row.accuracy:.3f}, {_count(int(row.clips), 'clip')}"
                for name, row in table.iterrows()
            ]
    counts, width = metrics.confusions(predictions).mean(axis=0), max(8, *(len(name) + 2 for name in names))
    if len(names) <= _MOST_CLASSES:
        lines += ["", f"Confusion, clips by truth (rows) and prediction (columns){over}"]
        lines.append(f"  {'':<{width}}" + "".join(f"{name:>{width}}" for name in names))
        lines += [
            f"  {name:<{width}}" + "".join(f"{count:>{width}.4g}" for count in row)
            for name, row in zip(names, counts, strict=True)
        ]
    if any(column.startswith("p_") for column in predictions):
        lines += ["", "Calibration of the probabilities, 0 is best"]
        lines.append(f"  expected calibration error {calibration.ece(predictions):.3f}, Brier score ")
        lines[-1] += f"{calibration.brier(predictions):.3f} (guessing all classes alike: {1 - 1 / len(names):.3f})"
    return "\n".join(lines)


def _remarks(absent: Sequence[str], notes: Iterable[str]) -> list[str]:
    """Return what is to be known beside the scores, one sentence each."""
    found = [f"No clip has the class {', '.join(absent)}; UAR is over the others."] if absent else []
    return [*found, *(f"Note: {note}." for note in notes)]


def speakers_of(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy of each speaker's clips, the mean over seeds.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`; each clip has a speaker.

    Returns:
        Index speaker, sorted: ``clips``, ``classes`` (how many of the true ones the speaker has) and ``accuracy`` in
        [0, 1].
    """
    right = predictions.assign(right=predictions["truth"] == predictions["prediction"]).groupby("speaker")
    return pd.DataFrame(
        {"clips": right["clip"].nunique(), "classes": right["truth"].nunique(), "accuracy": right["right"].mean()}
    ).rename_axis("speaker")


def facts(predictions: pd.DataFrame, **options) -> dict:
    """Return what the score sheet says, in plain types that JSON can hold.

    Args:
        predictions: See `ser_core.evaluation.metrics.validate`.
        **options: As of `sheet`.

    Returns:
        ``clips``, ``speakers`` (None if not named), ``seeds``, ``classes``; ``absent``, classes that no clip has;
        ``notes``, see `ser_core.evaluation.wording.notes`; ``metrics`` and ``recalls``, each a name with value, low,
        high, level, and why there is no interval; ``floors``; ``confusion``, counts by truth (rows) and prediction,
        the mean over seeds; ``by_speaker``; ``calibration``, None without probabilities.

    Examples:
        >>> table = pd.DataFrame({"clip": list("ab"), "truth": ["sad", "happy"], "prediction": "sad"})
        >>> facts(table)["confusion"]
        [[0.0, 1.0], [0.0, 1.0]]
    """
    scores, names = metrics.scores(predictions), list(metrics.class_names(predictions))
    reason = _no_speakers(predictions)
    present = [name for name in names if name in set(predictions["truth"])]
    recalls = dict.fromkeys(present)
    for name in present:
        if reason is None:
            recalls[name] = _plain(intervals.interval(predictions, f"recall:{name}", **options))
        else:
            value = float(metrics.metric(f"recall:{name}", names)(metrics.confusions(predictions)).mean())
            recalls[name] = {"value": value, "low": None, "high": None, "level": None, "no_interval": reason}
    probable = any(column.startswith(metrics.PROBABILITY) for column in predictions)
    return {
        "clips": int(scores["n_clips"]),
        "speakers": int(scores["n_speakers"]) if reason is None else None,
        "seeds": int(scores["n_seeds"]),
        "classes": names,
        "absent": list(scores["absent"]),
        "notes": wording.notes(predictions),
        "metrics": {name: _plain(found) for name, found in headline(predictions, **options)["interval"].items()},
        "recalls": recalls,
        "floors": {name: {"uar": float(row.uar), "wa": float(row.wa)} for name, row in floors(predictions).iterrows()},
        "confusion": metrics.confusions(predictions).mean(axis=0).tolist(),
        "by_speaker": [] if reason else speakers_of(predictions).reset_index().to_dict("records"),
        "calibration": {"ece": calibration.ece(predictions), "brier": calibration.brier(predictions)}
        if probable
        else None,
    }


def _plain(found: intervals.Interval) -> dict:
    ends = {name: None if np.isnan(end) else float(end) for name, end in (("low", found.low), ("high", found.high))}
    return {"value": float(found.value), **ends, "level": found.level, "no_interval": found.refusal}


def as_html(title: str, found: dict) -> str:
    """Return the score sheet as a page that stands alone.

    Args:
        title: Its title.
        found: From `facts`.
    """
    who = "speakers not named" if found["speakers"] is None else _count(found["speakers"], "speaker")
    counted = (
        _count(found["clips"], "clip"),
        who,
        _count(len(found["classes"]), "class"),
        _count(found["seeds"], "seed"),
    )
    body = [page.text(", ".join(counted))]
    reasons = {one["no_interval"] for one in found["metrics"].values()} - {None}
    body += [page.box([page.text(f"No intervals: {reason}.")], "warn") for reason in sorted(reasons)]
    body += [
        page.heading("Scores"),
        page.table(
            _rows(found["metrics"], "metric"), "Intervals resample speakers, and seeds where there are several."
        ),
        page.text("UAR is the mean of the classes' recalls, WA the share of clips that are right.", "muted"),
        *map(page.text, _remarks(found["absent"], found["notes"])),
        page.heading("Floors"),
        page.table(
            pd.DataFrame.from_dict(found["floors"], orient="index").rename_axis("without listening"),
            "What can be scored on these clips without listening.",
        ),
        page.heading("Classes"),
        page.table(_rows(found["recalls"], "recall of")),
        page.confusion(
            np.array(found["confusion"]), found["classes"], "In percent of each true class; clips in brackets."
        ),
    ]
    if found["by_speaker"]:
        body += [page.heading("Speakers"), page.table(pd.DataFrame(found["by_speaker"]).sort_values("accuracy"))]
    if found["calibration"]:
        body += [
            page.heading("Calibration"),
            page.text(
                f"Expected calibration error {found['calibration']['ece']:.3f}, Brier score "
                f"{found['calibration']['brier']:.3f}; 0 is best. Guessing all classes alike has the Brier score "
                f"{1 - 1 / len(found['classes']):.3f}."
            ),
        ]
    return page.page(title, body)


def as_latex(found: dict) -> str:
    """Return metrics with their intervals as a table of LaTeX.

    Args:
        found: From `facts`.
    """
    scores = found["metrics"]
    level = next((one["level"] for one in scores.values() if one["low"] is not None), None)
    rows = pd.DataFrame(
        {
            "metric": list(scores),
            "value": [f"{one['value']:.3f}" for one in scores.values()],
            "interval": [latex.interval(one["low"], one["high"]) for one in scores.values()],
        }
    )
    who = "speakers not named" if found["speakers"] is None else _count(found["speakers"], "speaker")
    counted = (_count(found["clips"], "clip"), who, _count(len(found["classes"]), "class"))
    seeds = "" if found["seeds"] == 1 else f", means of {found['seeds']} seeds"
    return latex.table(
        rows, f"{', '.join(counted)}{seeds}; {latex.resampled(level)}.", "tab:scores", numbers=["value", "interval"]
    )


def _rows(found: dict[str, dict], what: str) -> pd.DataFrame:
    rows = [{what: name, **{key: one[key] for key in ("value", "low", "high")}} for name, one in found.items()]
    return pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})


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
