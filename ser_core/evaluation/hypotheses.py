"""What becomes of a hypothesis that was written down, with its rule, before anything was scored."""

from collections.abc import Iterable

from ser_core.evaluation import families, power
from ser_core.evaluation.comparisons import Difference

CONFIRMED, CONTRADICTED, SMALL, OPEN = "confirmed", "contradicted", "too small to matter", "open"
"""Verdicts of a row, see `verdict`."""

IN_PART = "in part"
"""A further verdict of a whole hypothesis, see `whole`."""


def verdict(difference: Difference, p_adjusted: float, margin: float) -> str:
    """Return the verdict on one difference that was expected to be above zero.

    Args:
        difference: The difference.
        p_adjusted: Its p-value within the family of its hypothesis; NaN if it is in none.
        margin: The largest difference that does not matter, above 0, as 0.03 for three points.

    Returns:
        ``confirmed`` or ``contradicted`` if the difference is clear, see `ser_core.evaluation.families.clear`; else
        ``too small to matter`` if two one-sided tests place it within the margin, see
        `ser_core.evaluation.power.equivalence`; else ``open``. A confirmed one that lies within the margin is
        ``confirmed, too small to matter``.

    Examples:
        >>> from ser_core.evaluation.comparisons import Interval
        >>> one = Interval(0.031, 0.010, 0.052, 0.95, "expanded", "speaker", 24)
        >>> verdict(Difference(one, 0.004, "Student's t", error=0.010, freedom=23), 0.012, 0.03)
        'confirmed'
        >>> verdict(Difference(one, 0.004, "Student's t", error=0.010, freedom=23), 0.12, 0.03)
        'open'
    """
    small = power.equivalence(difference, margin) < families.ALPHA
    if families.clear(difference, p_adjusted):
        found = CONFIRMED if difference.interval.value > 0 else CONTRADICTED
        return f"{found}, {SMALL}" if small else found
    return SMALL if small else OPEN


def whole(verdicts: Iterable[str]) -> str:
    """Return the verdict on a hypothesis from those on its rows that count.

    Args:
        verdicts: From `verdict`, one a row.

    Returns:
        ``contradicted`` if a row is; ``confirmed`` if all rows are; ``in part`` if some are; else ``open``.

    Examples:
        >>> whole(["confirmed", "open"]), whole(["confirmed", "contradicted"]), whole(["open", "too small to matter"])
        ('in part', 'contradicted', 'open')
    """
    verdicts = [found.partition(",")[0] for found in verdicts]
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    n_confirmed = verdicts.count(CONFIRMED)
    if n_confirmed == 0:
        return OPEN
    return CONFIRMED if n_confirmed == len(verdicts) else IN_PART
