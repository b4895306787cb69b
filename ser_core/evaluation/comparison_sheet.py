"""The sheet of two systems on the same clips: the difference, its test, and what the comparison could have found."""

import numpy as np
import pandas as pd

from ser_core.evaluation import comparisons, metrics, power
from ser_core.files import latex, page, text

_TARGET = 0.05  # UAR; the difference for which the number of speakers is told


def facts(a: pd.DataFrame, b: pd.DataFrame, **options) -> dict:
    """Return the paired comparison of two tables of predictions, in plain types.

    Args:
        a: Predictions of the first system, see `ser_core.evaluation.metrics.validate`; each clip has a speaker.
        b: Predictions of the second, for the same clips, truth and speakers.
        **options: ``n_resamples``, ``level`` and others of `ser_core.evaluation.comparisons.of_paired`.

    Returns:
        ``clips``, ``speakers``, ``seeds`` of both; ``metrics``: name -> first, second, difference, low, high, p_value,
        method, no_interval, and ``detectable``, the smallest difference that is found four times in five at 0.05;
        ``speakers_for_5_points``, how many speakers make a difference of 0.05 in UAR detectable, None if unknown.

    Raises:
        SerError: If clips, truth or speakers differ, or there are no speakers; the message states both sides.

    Examples:
        >>> a = pd.DataFrame({"clip": list("abcdef"), "speaker": list("uvwxyz"), "truth": ["sad", "glad"] * 3})
        >>> found = facts(a.assign(prediction=a["truth"]), a.assign(prediction="sad"))
        >>> found["metrics"]["UAR"]["difference"], found["speakers"]
        (0.5, 6)
    """
    rows, needed = {}, None
    scores = [metrics.scores(table) for table in (a, b)]
    seeds = [int(found["n_seeds"]) for found in scores]
    for name, label in metrics.LABELS.items():
        found = comparisons.difference(a, b, name, **options)
        rows[label] = {
            "first": float(scores[0][name]),
            "second": float(scores[1][name]),
            "difference": float(found.interval.value),
            "low": _number(found.interval.low),
            "high": _number(found.interval.high),
            "level": found.interval.level,
            "p_value": _number(found.p_value),
            "method": found.method,
            "no_interval": found.interval.refusal,
            "detectable": _number(power.detectable_in(found)),
        }
        if name == "uar" and seeds == [1, 1] and found.error > 0:
            needed = power.speakers_needed(found.error, found.interval.n_clusters, _TARGET)
    return {
        "clips": int(a["clip"].nunique()),
        "speakers": int(a["speaker"].nunique()),
        "seeds": seeds,
        "metrics": rows,
        "speakers_for_5_points": needed,
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def sheet(names: tuple[str, str], found: dict) -> str:
    """Return the comparison as text.

    Args:
        names: What to call the two systems.
        found: From `facts`.
    """
    lines = [f"first: {names[0]}", f"second: {names[1]}", _counted(found), ""]
    lines.append("metric           first second  difference [interval], p, smallest difference that it would find")
    for label, one in found["metrics"].items():
        lines.append(f"{label:<16}{one['first']:6.3f} {one['second']:6.3f}  {_difference(one)}")
    return "\n".join([*lines, "", *explained(found)])


def _counted(found: dict) -> str:
    seeds = "1 seed each" if found["seeds"] == [1, 1] else f"{found['seeds'][0]} and {found['seeds'][1]} seeds"
    return f"{found['clips']:,} clips and {found['speakers']} speakers, the same of both; {seeds}"


def _difference(one: dict) -> str:
    ends = f"no interval: {one['no_interval']}" if one["low"] is None else f"[{one['low']:+.3f}, {one['high']:+.3f}]"
    p = comparisons.p_text(np.nan if one["p_value"] is None else one["p_value"], "p")
    least = "unknown" if one["detectable"] is None else f"{one['detectable']:.3f}"
    return f"{one['difference']:+.3f} {ends}, {p}, {least}"


def explained(found: dict) -> list[str]:
    """Return what the numbers of a comparison mean and what may be claimed, one sentence each.

    Args:
        found: From `facts`.
    """
    uar = found["metrics"]["UAR"]
    lines = [
        f"Intervals and p-values are for other speakers, paired ({uar['method']}). Four metrics are four tests; choose "
        "one before you look."
    ]
    if uar["low"] is None:
        lines.append(f"Nothing may be claimed beyond these speakers: {uar['no_interval']}.")
    elif (uar["low"] > 0 or uar["high"] < 0) and uar["p_value"] is not None and uar["p_value"] > 0.05:
        lines.append(
            "By UAR neither system is shown to be better: the interval leaves 0 out, and the test does not reject at "
            "0.05. With so few speakers the two may disagree; the p-value decides."
        )
    elif uar["low"] > 0 or uar["high"] < 0:
        better = "first" if uar["difference"] > 0 else "second"
        lines.append(f"By UAR the {better} system is better for people like these, as far as this one test goes.")
    else:
        lines.append("By UAR neither system is shown to be better. That is no evidence that they are equal.")
    if uar["detectable"]:
        lines.append(
            f"A true difference of {uar['detectable']:.3f} in UAR would be found four times in five at the level 0.05."
        )
    if found["speakers_for_5_points"]:
        lines.append(f"To find one of {_TARGET:.2f} so often takes {found['speakers_for_5_points']} such speakers.")
    return lines


def as_html(names: tuple[str, str], found: dict) -> str:
    """Return the comparison as a page that stands alone.

    Args:
        names: What to call the two systems.
        found: From `facts`.
    """
    rows = [
        {"metric": label, "first": one["first"], "second": one["second"], "difference, p, detectable": _difference(one)}
        for label, one in found["metrics"].items()
    ]
    body = [page.text(_counted(found)), page.listing([f"first: {names[0]}", f"second: {names[1]}"])]
    return page.page("Two systems compared", [*body, page.table(pd.DataFrame(rows)), page.listing(explained(found))])


def as_latex(names: tuple[str, str], found: dict) -> str:
    """Return the comparison as a table of LaTeX.

    Args:
        names: What to call the two systems.
        found: From `facts`.
    """
    first, second = shown = list(map(text.shown, names))
    if len({*shown, "metric", "difference", "interval", "p"}) < 6:
        first, second = "first", "second"
    scores = found["metrics"].values()
    level = next((one["level"] for one in scores if one["low"] is not None), None)
    rows = pd.DataFrame(
        {
            "metric": list(found["metrics"]),
            first: [f"{one['first']:.3f}" for one in scores],
            second: [f"{one['second']:.3f}" for one in scores],
            "difference": [f"{one['difference']:+.3f}" for one in scores],
            "interval": [latex.interval(one["low"], one["high"], "+") for one in scores],
            "p": ["-" if one["p_value"] is None else comparisons.p_text(one["p_value"]) for one in scores],
        }
    )
    caption = f"{_counted(found)}; paired, {latex.resampled(level)}."
    return latex.table(rows, caption, "tab:comparison", numbers=list(rows)[1:])
