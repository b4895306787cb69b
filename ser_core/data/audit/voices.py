"""Whether the names of speakers are those of the voices: one voice under two names, two under one, voices unnamed."""

import dataclasses

import numpy as np
import pandas as pd

from ser_core.errors import SerError

LEAST_CLIPS = 4
"""Clips that a name must have to be compared with others, or searched for two voices."""


@dataclasses.dataclass(frozen=True)
class ErrorRate:
    """How well a likeness tells one voice from two, on speakers who are sure.

    Attributes:
        threshold: Likeness from which on two sets of clips count as one voice.
        rate: Equal error rate in [0, 1]: there, as large a share of voices is parted as of pairs of voices is joined.
        low: Lower end of its 95 % interval over speakers.
        high: Upper end.
        n_speakers: Number of speakers.
    """

    threshold: float
    rate: float
    low: float
    high: float
    n_speakers: int


@dataclasses.dataclass(frozen=True)
class Alarm:
    """When a likeness is reported, and how often that is wrong.

    Attributes:
        threshold: From this likeness on (one voice under two names), or up to it (two voices under one).
        false_alarms: Share of sure cases in order that are reported all the same, in [0, 1].
        misses: Share of sure cases not in order that are not reported, in [0, 1].
    """

    threshold: float
    false_alarms: float
    misses: float


DISTANCE = 0.8
"""Mean distance, one minus the cosine of centred vectors, up to which groups of clips are joined into a pseudo-speaker.

Looked up on RAVDESS, EmoDB and SAVEE, whose purity it flatters therefore: between 0.7 and 0.9, what made about as many
groups as there are speakers."""

ONE_VOICE = {4: Alarm(0.97, 0.01, 0.484), 16: Alarm(0.927, 0.01, 0.117)}
"""From which likeness on two names are reported as one voice, by the fewest clips that each has.

Measured on RAVDESS, EmoDB, SAVEE and TESS, whose speakers are sure, between halves of different emotions."""

TWO_VOICES = Alarm(-0.051, 0.05, 0.447)
"""Up to which likeness a name is reported as two voices, measured on the same corpora."""


def likeness(vectors: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """Return how alike the voices of each two names are: about 1 for one voice, less for two.

    The mean cosine between clips of the one and of the other, by the geometric mean of what clips have among
    themselves within each name. That is the cosine of the two mean voices, corrected for attenuation (Spearman 1904):
    so recordings of one room, or with much emotion, are compared on one scale with others. Of few clips it varies more.

    Args:
        vectors: Voice vectors, shape (n_clips, dim), indexed by clip.
        names: Name of the speaker of each clip; clips without a name are left out.

    Returns:
        Square table, sorted by name, 1 on the diagonal; NaN for a name with one clip.

    Examples:
        >>> vectors = pd.DataFrame([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]], index=list("wxyz"))
        >>> likeness(vectors, pd.Series(list("aabb"), index=list("wxyz"))).loc["a"].tolist()
        [1.0, 0.0]
    """
    names = names.reindex(vectors.index).dropna()
    sums = pd.DataFrame(_unit(vectors.loc[names.index]), index=names.index).groupby(names).sum()
    sizes = names.value_counts().reindex(sums.index).to_numpy("float64")
    within = unity(vectors, names).to_numpy()
    with np.errstate(invalid="ignore"):
        found = sums.to_numpy() @ sums.to_numpy().T / np.outer(sizes, sizes) / np.sqrt(np.outer(within, within))
    np.fill_diagonal(found, np.where(sizes > 1, 1.0, np.nan))
    return pd.DataFrame(found, index=sums.index, columns=list(sums.index)).rename_axis("speaker")


def trials(
    vectors: pd.DataFrame, clips: pd.DataFrame, *, n_clips: int | None = None, n_draws: int = 20, seed: int = 0
) -> pd.DataFrame:
    """Compare halves of what speakers said, who are sure: with their own other half, and with other speakers'.

    Each draw divides the emotions of the corpus in two, because a name may have one mood only, and emotion changes a
    voice. Compared are what one said in some emotions and what the same speaker, or another one of the same gender,
    said in the others.

    Args:
        vectors: Voice vectors, indexed by clip.
        clips: The Clips table of the corpus.
        n_clips: Clips that each half is cut to, drawn at random; None for all.
        n_draws: Number of divisions of the emotions.
        seed: Of all draws.

    Returns:
        One row a comparison: ``draw``, ``a`` and ``b`` (the speakers), ``same``, ``likeness``.
    """
    clips, rng = clips.loc[vectors.index], np.random.default_rng(seed)
    gender = clips.drop_duplicates("speaker").set_index("speaker")["gender"]
    emotions, rows = sorted(set(clips["emotion"])), []
    for draw in range(n_draws):
        first = clips["emotion"].isin(rng.permutation(emotions)[: len(emotions) // 2])
        # The clips in random order, of which the first of each half are taken.
        half = (clips["speaker"] + first.map({True: "|0", False: "|1"})).iloc[rng.permutation(len(clips))]
        half = half[half.groupby(half).cumcount() < (n_clips or len(half))]
        found = likeness(vectors, half)
        for a in gender.index:
            for b in gender.index[gender.eq(gender[a]) | (gender.index == a)]:
                if f"{a}|0" in found.index and f"{b}|1" in found.index:
                    rows.append((draw, a, b, a == b, found.at[f"{a}|0", f"{b}|1"]))
    return pd.DataFrame(rows, columns=["draw", "a", "b", "same", "likeness"]).dropna(ignore_index=True)


def unity(vectors: pd.DataFrame, names: pd.Series) -> pd.Series:
    """Return how alike the clips of each name are among themselves, the mean cosine of two different ones.

    Args:
        vectors: Voice vectors, indexed by clip.
        names: Name of the speaker of each clip; clips without a name are left out.

    Returns:
        Mean cosine by name, sorted by name; NaN for a name with one clip.

    Examples:
        >>> vectors = pd.DataFrame([[1.0, 0.0], [0.0, 1.0]], index=["x", "y"])
        >>> float(unity(vectors, pd.Series("anna", index=["x", "y"]))["anna"])
        0.0
    """
    names = names.reindex(vectors.index).dropna()
    sums = pd.DataFrame(_unit(vectors.loc[names.index]), index=names.index).groupby(names).sum()
    sizes = names.value_counts().reindex(sums.index).astype("float64")
    return ((sums**2).sum(axis=1) - sizes) / (sizes * (sizes - 1)).where(sizes > 1)


def mixtures(vectors: pd.DataFrame, clips: pd.DataFrame) -> pd.DataFrame:
    """Return how alike the clips of a name are: of one sure speaker, and of two of one gender under one name.

    Args:
        vectors: Voice vectors, indexed by clip.
        clips: The Clips table of the corpus.

    Returns:
        One row a name: ``a`` and ``b``, the speakers under it; ``same``, whether they are one; ``likeness``, their
        `unity` minus the median over the corpus's own names, since rooms differ more than names do.
    """
    clips = clips.loc[vectors.index]
    people = clips.drop_duplicates("speaker").set_index("speaker")["gender"].sort_index()
    own = unity(vectors, clips["speaker"])
    rows = [(name, name, True, own[name]) for name in people.index]
    for i, a in enumerate(people.index):
        for b in people.index[i + 1 :]:
            if people[a] == people[b]:
                both = clips["speaker"].isin([a, b])
                rows.append((a, b, False, unity(vectors[both], both[both].astype("str")).iloc[0]))
    found = pd.DataFrame(rows, columns=["a", "b", "same", "likeness"])
    return found.assign(likeness=found["likeness"] - own.median()).dropna(ignore_index=True)


def error_rate(compared: pd.DataFrame, *, n_resamples: int = 1_000, seed: int = 0) -> ErrorRate:
    """Return the equal error rate of comparisons of sure speakers, with an interval over speakers.

    Speakers are resampled, and with them all comparisons they are in; a comparison of two counts as often as the one
    was drawn times the other.

    Args:
        compared: From `trials` or `mixtures`, of one corpus or, with other names, several.
        n_resamples: Number of resamples.
        seed: Of the resamples.

    Raises:
        SerError: If there is no comparison of one voice or none of two.

    Examples:
        >>> table = pd.DataFrame({"a": list("xyxy"), "b": list("xyyx"), "likeness": [0.9, 0.8, 0.5, 0.4]})
        >>> found = error_rate(table.assign(same=[True, True, False, False]))
        >>> found.rate, found.threshold
        (0.0, 0.8)
    """
    same = compared["same"].to_numpy()
    if same.all() or not same.any():
        raise SerError("an error rate needs comparisons of one voice and of two; the table has one kind only")
    people, places = np.unique(compared[["a", "b"]].to_numpy("str"), return_inverse=True)
    first, second = places.reshape(-1, 2).T
    order = np.argsort(compared["likeness"].to_numpy(), kind="stable")
    values, same, first, second = (x[order] for x in (compared["likeness"].to_numpy(), same, first, second))

    def at(counts: np.ndarray) -> tuple[float, float]:
        one, two = np.where(same, counts[first], 0.0), np.where(same, 0.0, counts[first] * counts[second])
        if not one.any() or not two.any():
            return np.nan, np.nan
        missed = np.concatenate([[0.0], np.cumsum(one)]) / one.sum()
        joined = 1 - np.concatenate([[0.0], np.cumsum(two)]) / two.sum()
        best = int(np.abs(missed - joined)[:-1].argmin())
        return (missed[best] + joined[best]) / 2, values[best]

    rng = np.random.default_rng(seed)
    drawn = [
        at(np.bincount(rng.integers(len(people), size=len(people)), minlength=len(people)).astype(float))[0]
        for _ in range(n_resamples)
    ]
    rate, threshold = at(np.ones(len(people)))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return ErrorRate(float(threshold), float(rate), float(low), float(high), len(people))


def alarm(compared: pd.DataFrame, false_alarms: float, *, one_voice: bool) -> Alarm:
    """Return the likeness at which few of the sure cases in order would be reported.

    Args:
        compared: As for `error_rate`.
        false_alarms: Their largest share, in (0, 1).
        one_voice: True to report one voice under two names, from a likeness on; False to report two under one, up
            to a likeness.
    """
    one, two = (np.sort(compared.loc[compared["same"].eq(kind), "likeness"]) for kind in (True, False))
    if one_voice:
        threshold = float(np.quantile(two, 1 - false_alarms, method="higher"))
        return Alarm(threshold, float((two >= threshold).mean()), float((one < threshold).mean()))
    threshold = float(np.quantile(one, false_alarms, method="lower"))
    return Alarm(threshold, float((one <= threshold).mean()), float((two > threshold).mean()))


def one_voice(vectors: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """Return each two names, the most alike first, and which of them are too much alike for two voices.

    Args:
        vectors: Voice vectors, indexed by clip.
        names: Name of the speaker of each clip.

    Returns:
        Columns ``a``, ``b``, ``likeness``, ``n_clips`` (the fewer of the two, from `LEAST_CLIPS` on), ``threshold``
        (of `ONE_VOICE`, by the number of clips) and ``found``.
    """
    sizes = names.reindex(vectors.index).value_counts()
    alike = likeness(vectors, names)
    alike = alike.loc[sizes[alike.index] >= LEAST_CLIPS, sizes[alike.columns] >= LEAST_CLIPS]
    i, j = np.triu_indices(len(alike), 1)
    found = pd.DataFrame({"a": alike.index[i], "b": alike.index[j], "likeness": alike.to_numpy()[i, j]})
    found["n_clips"] = np.minimum(sizes[found["a"]].to_numpy(), sizes[found["b"]].to_numpy()).astype("int64")
    found["threshold"] = [_alarm_of(n).threshold for n in found["n_clips"]]
    found["found"] = found["likeness"] >= found["threshold"]
    return found.sort_values("likeness", ascending=False, kind="stable", ignore_index=True)


def _alarm_of(n_clips: int) -> Alarm:
    """Return what is known of the errors with so many clips: with the next smaller number that was measured."""
    return ONE_VOICE[max(n for n in ONE_VOICE if n <= n_clips)]


def two_voices(vectors: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """Return the names by how little alike their clips are, and which have too little for one voice.

    Args:
        vectors: Voice vectors, indexed by clip.
        names: Name of the speaker of each clip.

    Returns:
        Index speaker, of names with `LEAST_CLIPS` clips or more: ``likeness``, see `mixtures`, and ``found``; the least
        alike first.
    """
    sizes = names.reindex(vectors.index).value_counts()
    within = unity(vectors, names)
    within = within[sizes[within.index] >= LEAST_CLIPS]
    found = (within - within.median()).rename("likeness").sort_values(kind="stable").to_frame()
    return found.assign(found=found["likeness"] <= TWO_VOICES.threshold)


def pseudo_speakers(vectors: pd.DataFrame, n: int | None = None) -> pd.Series:
    """Return groups of clips that sound like one voice, for a corpus that names no speakers.

    Vectors are centred on their mean and joined by average linkage of cosines, as long as the mean distance of two
    groups is below `DISTANCE`. No emotion is asked for, and no name.

    Args:
        vectors: Voice vectors, indexed by clip.
        n: Number of groups, if it is known.

    Returns:
        ``voice1``, ``voice2``, ... by clip, the largest group first.

    Examples:
        >>> vectors = pd.DataFrame([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], index=list("xyz"))
        >>> pseudo_speakers(vectors).to_dict()
        {'x': 'voice1', 'y': 'voice1', 'z': 'voice2'}
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import pdist

    if len(vectors) < 2:
        raise SerError(f"voices are grouped from two clips on, not of {len(vectors)}")
    x = _unit(vectors)
    x = _unit(pd.DataFrame(x - x.mean(axis=0)))
    # The cosine of a row of zeros, where all clips are the same, is no number; the product of rows is.
    tree = hierarchy.linkage(np.maximum(0, pdist(x, "sqeuclidean") / 2), "average")
    groups = hierarchy.fcluster(tree, n or DISTANCE, "maxclust" if n else "distance")
    numbers = pd.Series(groups).map({group: i for i, group in enumerate(pd.Series(groups).value_counts().index, 1)})
    return pd.Series("voice" + numbers.astype("str").to_numpy(), index=vectors.index, name="pseudo_speaker")


def purity(groups: pd.Series, speakers: pd.Series) -> dict[str, float]:
    """Return how far groups of clips are speakers.

    Args:
        groups: Group of each clip.
        speakers: True speaker of each clip.

    Returns:
        ``groups`` and ``speakers``, their numbers; ``purity``, the share of clips of the commonest speaker of their
        group; ``together``, the share of clips in the commonest group of their speaker. In [0, 1].

    Examples:
        >>> purity(pd.Series(["v", "v", "w", "w"]), pd.Series(["anna", "anna", "anna", "bert"]))["purity"]
        0.75
    """
    counts = pd.crosstab(groups, speakers.reindex(groups.index)).to_numpy()
    total = counts.sum()
    return {
        "groups": counts.shape[0],
        "speakers": counts.shape[1],
        "purity": float(counts.max(axis=1).sum() / total),
        "together": float(counts.max(axis=0).sum() / total),
    }


def findings(vectors: pd.DataFrame, clips: pd.DataFrame) -> list[tuple]:
    """Return what the voices say of the names, as rows of an audit: check, severity, fold, detail, value.

    Args:
        vectors: Voice vectors, indexed by clip.
        clips: The Clips table.
    """
    vectors = vectors.loc[clips.index]
    unnamed, rows = clips["speaker"].isna(), []
    if unnamed.any():
        groups = pseudo_speakers(vectors)
        detail = (
            f"{unnamed.sum()} clips have no speaker; by their voices the {len(groups)} clips fall into "
            f"{groups.nunique()} groups that sound like one voice; `ser split --voices` divides by them"
        )
        rows.append(("voices without a name", "note", None, detail, groups.nunique()))
    pairs = one_voice(vectors, clips["speaker"])
    by_chance = sum(_alarm_of(n).false_alarms for n in pairs["n_clips"])
    for row in pairs[pairs["found"]].itertuples():
        misses = _alarm_of(row.n_clips).misses
        detail = (
            f"'{row.a}' and '{row.b}' sound like one voice: likeness {row.likeness:.2f}, reported from "
            f"{row.threshold:.2f} with {row.n_clips} clips, where {misses:.0%} of sure cases are missed; of "
            f"{len(pairs)} pairs of names {by_chance:.1f} are reported by chance"
        )
        rows.append(("one voice under two names", "note", None, detail, row.likeness))
    for name, row in two_voices(vectors, clips["speaker"]).query("found").iterrows():
        detail = (
            f"the clips of '{name}' differ as those of two voices do: likeness {row.likeness:+.2f} from the median of "
            f"the names, reported up to {TWO_VOICES.threshold:+.2f}, where {TWO_VOICES.misses:.0%} of sure cases are "
            f"missed and {TWO_VOICES.false_alarms:.0%} of names reported by chance"
        )
        rows.append(("two voices under one name", "note", None, detail, row.likeness))
    return rows


def _unit(vectors: pd.DataFrame) -> np.ndarray:
    """Return rows of length 1; a row of zeros as it is."""
    x = vectors.to_numpy("float64")
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
