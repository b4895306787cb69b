"""Rates that are ratios of sums, such as word errors over words: their intervals over speakers, and differences."""

import numpy as np
import pandas as pd
from scipy import stats

from ser_core.errors import SerError
from ser_core.evaluation import bootstrap, families
from ser_core.evaluation.comparisons import STUDENT, Difference
from ser_core.evaluation.intervals import MIN_CLUSTERS, Interval


def rate(
    table: pd.DataFrame, part: str, whole: str, *, unit: str = "speaker", n_resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Return the sum of one column over the sum of another, with its bootstrap interval over speakers.

    Args:
        table: One row a clip.
        part: Column of the numerator, such as the errors of each clip; at least 0.
        whole: Column of the denominator, such as its words; at least 0.
        unit: The column whose values are resampled.
        n_resamples: Number of resamples.
        seed: Of the random numbers.

    Returns:
        The rate, which may be above 1; its 95 % interval is refused where there are fewer than five speakers, or
        nothing is counted in the numerator.

    Raises:
        SerError: If columns are missing or have gaps, or the denominator is 0 for a speaker.

    Examples:
        >>> clips = pd.DataFrame({"speaker": list("abcdef"), "errors": [0, 1, 0, 2, 0, 0], "words": 6})
        >>> rate(clips, "errors", "words").text(digits=2)
        '0.08 [0.00, 0.25]'
    """
    sums = _sums(table, part, whole, unit)
    return _interval(float(_ratio(sums.sum(axis=0))), [sums], unit, n_resamples, seed)[0]


def difference(
    table: pd.DataFrame,
    by: str,
    first: str,
    second: str,
    part: str,
    whole: str,
    *,
    unit: str = "speaker",
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Return the rate of some clips minus that of others, of the same speakers.

    Both rates are of the same resamples of the speakers who have clips of both. The clips are not the same, so that
    the p-value is that of Student's t, of the difference in standard errors of the resamples.

    Args:
        table: One row a clip.
        by: Column that tells the clips apart, such as ``emotion``.
        first: Its value in the first clips.
        second: Its value in the others.
        part: As of `rate`.
        whole: As of `rate`.
        unit: As of `rate`.
        n_resamples: As of `rate`.
        seed: As of `rate`.

    Returns:
        The difference; its interval and p-value are refused where there are fewer than five such speakers, or nothing
        is counted on either side.

    Raises:
        SerError: As of `rate`, or if no speaker has clips of both.

    Examples:
        >>> clips = pd.DataFrame({"speaker": [*"abcdef"] * 2, "emotion": ["sad"] * 6 + ["neutral"] * 6, "words": 6})
        >>> clips["errors"] = [2, 1, 2, 3, 2, 2] + [0] * 6
        >>> found = difference(clips, "emotion", "sad", "neutral", "errors", "words")
        >>> found.interval.text(digits=2), round(found.p_value, 4)
        ('0.33 [0.22, 0.44]', 0.0006)
    """
    groups = [table[table[by] == name] for name in (first, second)]
    common = set(groups[0][unit].dropna()) & set(groups[1][unit].dropna())
    if not common:
        raise SerError(f"no {unit} has clips of both '{first}' and '{second}'; the difference is of the same {unit}s")
    sums = [_sums(group[group[unit].isin(common)], part, whole, unit) for group in groups]
    value = float(_ratio(sums[0].sum(axis=0)) - _ratio(sums[1].sum(axis=0)))
    interval, draws = _interval(value, sums, unit, n_resamples, seed)
    if draws is None:
        return Difference(interval, np.nan, STUDENT, np.nan, np.nan)
    found = bootstrap.spread(draws, len(common))
    p_value = 2 * stats.t.sf(abs(value) / found.error, found.freedom) if found.error else float(value == 0)
    return Difference(interval, float(p_value), STUDENT, found.error, found.freedom)


def by(table: pd.DataFrame, column: str, part: str, whole: str, **options) -> pd.Series:
    """Return the rate of the clips of each value of a column, such as of each emotion.

    Args:
        table: One row a clip.
        column: Whose values tell the clips apart.
        part: As of `rate`.
        whole: As of `rate`.
        **options: As of `rate`.

    Returns:
        An `ser_core.evaluation.intervals.Interval` for each value, sorted.

    Examples:
        >>> clips = pd.DataFrame({"speaker": [*"abcdef"], "errors": 0, "words": 6, "emotion": ["sad"] * 6})
        >>> str(by(clips, "emotion", "errors", "words")["sad"])
        '0.000 (no interval: none counted)'
    """
    return pd.Series(
        {name: rate(group, part, whole, **options) for name, group in table.groupby(column)}, dtype=object
    ).rename_axis(column)


def against(table: pd.DataFrame, column: str, reference: str, part: str, whole: str, **options) -> pd.DataFrame:
    """Return by how much the rate of each value of a column differs from that of one of them, as one family.

    Args:
        table: One row a clip.
        column: Whose values tell the clips apart, such as ``emotion``.
        reference: The value that the others are held against, such as ``neutral``.
        part: As of `rate`.
        whole: As of `rate`.
        **options: As of `difference`.

    Returns:
        One row for each other value, as of `ser_core.evaluation.families.corrected`.

    Examples:
        >>> clips = pd.DataFrame({"speaker": [*"abcdef"] * 2, "emotion": ["sad"] * 6 + ["neutral"] * 6, "words": 6})
        >>> clips["errors"] = [2, 1, 2, 3, 2, 2] + [0] * 6
        >>> against(clips, "emotion", "neutral", "errors", "words")["clear"].to_dict()
        {'sad': True}
    """
    others = [name for name in sorted(table[column].dropna().unique()) if name != reference]
    found = [difference(table, column, name, reference, part, whole, **options) for name in others]
    return families.corrected(pd.Series(found, index=pd.Index(others, name=column), dtype=object))


def _sums(table: pd.DataFrame, part: str, whole: str, unit: str) -> np.ndarray:
    """Return the two sums of each speaker, in the order of their names, shape (G, 2)."""
    if missing := [name for name in (part, whole, unit) if name not in table]:
        raise SerError(f"the table lacks the columns {missing}; it has {list(table)}")
    if (gaps := table[[part, whole, unit]].isna().any(axis=1)).any():
        raise SerError(f"{table.index[gaps][0]}: no {part}, {whole} or {unit}; leave such rows out")
    sums = table.groupby(unit)[[part, whole]].sum()
    if (empty := sums.index[~(sums[whole] > 0)]).size or sums.empty:
        raise SerError(f"the sum of '{whole}' of {unit} '{(*empty, 'of none')[0]}' is not above 0; there is no rate")
    return sums.to_numpy(dtype=float)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def _interval(
    value: float, sums: list[np.ndarray], unit: str, n_resamples: int, seed: int
) -> tuple[Interval, np.ndarray | None]:
    """Return the interval of a rate, or of the first less the second, and the resamples; None if it is refused."""
    g = len(sums[0])
    refusal = f"{g} {unit}{'s' * (g != 1)}, fewer than {MIN_CLUSTERS}" if g < MIN_CLUSTERS else None
    if not refusal and not any(each[:, 0].any() for each in sums):
        refusal = "none counted"  # resamples of nothing are nothing, which says not how little there can be
    draws, low, high, slack = None, np.nan, np.nan, 0.0
    if refusal is None:
        # The resampler draws speakers' counts of shape (S, G, K, K); here the first row of K = 2 holds both sums.
        tables = [np.stack([each, np.zeros_like(each)], axis=1)[None] for each in sums]
        drawn = bootstrap.resampled(
            tables, lambda counts: _ratio(counts[..., 0, :]), n_resamples, np.random.default_rng(seed), same_seeds=True
        )
        draws = drawn[0] if len(drawn) == 1 else drawn[0] - drawn[1]
        low, high = bootstrap.ends(draws, 0.95, bootstrap.METHOD, g)
        if len(sums) == 1:
            low = max(low, 0.0)  # a rate, unlike a difference, cannot be below
        slack = bootstrap.slack(draws, 0.95, bootstrap.METHOD, g)
    return Interval(value, low, high, 0.95, bootstrap.METHOD, unit, g, refusal, "", slack), draws
