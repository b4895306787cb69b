"""What is wrong with any (Clips, Folds): leaks between parts, confounds of the labels, shortcuts, missing classes."""

import dataclasses
import itertools

import pandas as pd

from ser_core.data import clips as clips_table
from ser_core.data import splits
from ser_core.data.audit import export, names
from ser_core.data.audit import voices as voices_of
from ser_core.data.audit.confounds import confounding, effective_speakers, shortcuts
from ser_core.data.audit.duplicates import heard, levels, near_duplicates
from ser_core.errors import SerError

__all__ = [
    "Report",
    "audit",
    "confounding",
    "effective_speakers",
    "export",
    "heard",
    "levels",
    "near_duplicates",
    "shortcuts",
]

SEVERITIES = ("leak", "confound", "note")
# Pairs of parts to compare; shares are of the first part's clips.
_PAIRS = (("test", "train"), ("test", "dev"), ("dev", "train"))
# Above these a finding is a confound: share of the label's entropy, and UAR of a look-up beyond chance.
_SHARE, _LOOKUP_GAIN = 0.05, 0.10
# Duration, loudness and silence may be honest cues, as long as they do not go this far from chance to certainty.
_STRONG = 0.25
# A class with fewer speakers than this cannot carry an interval over speakers (see `ser_core.evaluation.intervals`).
_FEW_SPEAKERS = 3.0


@dataclasses.dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        title: Corpus, size and protocol.
        findings: One row a finding, worst first: check, severity (``leak``: the test or dev part is not what it seems;
            ``confound``: the label can be told from something else; ``note``: to be stated beside a result), fold
            (missing for findings about the corpus), detail, value (a share, score or count in the detail).
        confounding: As from `confounding`.
        effective_speakers: As from `effective_speakers`.
        shortcuts: As from `shortcuts`.
        pairs: Clips that hold the same sound: clip_a, clip_b, kind, similarity, and of each its speaker and emotion.
    """

    title: str
    findings: pd.DataFrame
    confounding: pd.DataFrame
    effective_speakers: pd.DataFrame
    shortcuts: pd.DataFrame
    pairs: pd.DataFrame

    @property
    def leaks(self) -> pd.DataFrame:
        """The findings of severity ``leak``."""
        return self.findings[self.findings["severity"] == "leak"]

    def to_text(self) -> str:
        """Return the report for a terminal; findings that recur in several folds are told once."""
        lines = [self.title]
        for severity in SEVERITIES:
            found = self.findings[self.findings["severity"] == severity]
            lines.append(f"\n{severity}s: {len(found) or 'none'}")
            for check, rows in found.groupby("check", sort=False):
                fold = rows["fold"].iloc[0]
                where = "" if pd.isna(fold) else f"fold {fold}: "
                more = f" (and in {len(rows) - 1} more folds)" if where and len(rows) > 1 else ""
                details = rows["detail"].iloc[:1] if where else rows["detail"]
                lines += [f"  {check}: {where}{detail}{more}" for detail in details]
        if len(self.shortcuts):
            scores = [f"{name} {row.uar:.3f}" for name, row in self.shortcuts.iterrows()]
            lines.append(f"\nshortcut scores (UAR, chance {self.shortcuts['chance'].iloc[0]:.3f}): {', '.join(scores)}")
        return "\n".join(lines)


def audit(
    clips: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    levels: pd.DataFrame | None = None,
    duplicates: pd.DataFrame | None = None,
    recordings: pd.DataFrame | None = None,
    voices: pd.DataFrame | None = None,
) -> Report:
    """Look for leaks, confounds and shortcuts in a corpus as divided by folds.

    Shared speakers and shared recordings are leaks under every protocol, the random ones too: whoever wants them
    reads the protocol. Shared sentences and sessions are leaks where the protocol promises to keep them apart, and
    notes elsewhere, because many corpora have a few sentences that everybody says.

    Args:
        clips: A Clips table.
        folds: Folds of it.
        levels: Index clip, columns as in `ser_core.data.audio.levels`, for the shortcuts loudness and silence.
        duplicates: Pairs of recordings that hold the same sound, as from `near_duplicates`; without it only
            recordings with equal ``sha256`` are found.
        recordings: Index clip, columns rate and channels, as of `ser_core.data.corpora.Reading`, for the shortcuts
            sampling rate and channels.
        voices: Index clip, a voice vector a row, such as the feature set ``ge2e``; with it names are held against
            voices, see `ser_core.data.audit.voices`, and the shortcut ``voice`` is scored.

    Returns:
        The report.

    Raises:
        SerError: If the folds have a clip that the table lacks, or no train or test part.

    Examples:
        >>> from ser_core.data import synthetic
        >>> report = audit(synthetic.clips(), splits.make(synthetic.clips(), "speaker"))
        >>> len(report.leaks), len(audit(synthetic.clips(), splits.make(synthetic.clips(), "clip")).leaks)
        (0, 5)
    """
    unknown = folds.loc[~folds["clip"].isin(clips.index), "clip"]
    if len(unknown):
        raise SerError(
            f"the folds have {unknown.nunique()} clips that the Clips table lacks, first '{unknown.iloc[0]}'"
        )
    told = confounding(clips)
    speakers = effective_speakers(clips)
    scores = shortcuts(clips, folds, levels, recordings, voices)
    pairs = _recordings(clips, duplicates)
    rows = [
        *_overlaps(clips, folds),
        *_shared_recordings(folds, pairs),
        *_told(told),
        *_few_speakers(speakers),
        *_looked_up(scores),
        *_absent_classes(clips, folds),
        *_duplicates(clips, pairs),
        *_unknown(clips),
        *names.findings(clips),
        *_left_out(folds),
        *(voices_of.findings(voices, clips) if voices is not None else ()),
    ]
    findings = pd.DataFrame(rows, columns=["check", "severity", "fold", "detail", "value"])
    findings = findings.astype({"check": "str", "severity": "str", "fold": "Int64", "detail": "str", "value": float})
    order = findings["severity"].map({name: i for i, name in enumerate(SEVERITIES)}).sort_values(kind="stable").index
    title = f"{clips_table.describe(clips)}; protocol '{folds.attrs.get('protocol', 'unknown')}'"
    return Report(title, findings.loc[order].reset_index(drop=True), told, speakers, scores, _described(clips, pairs))


def _left_out(folds: pd.DataFrame) -> list[tuple]:
    """Return a finding for what folds of one's own leave out, which is all that `ser_core.data.splits.read` notes."""
    own = folds.attrs.get("protocol") == "given"
    return [("folds leave out", "note", None, note, None) for note in folds.attrs["notes"]] if own else []


def _overlaps(clips: pd.DataFrame, folds: pd.DataFrame) -> list[tuple]:
    """Return a finding for each fold and each column of which two parts share values."""
    promised = splits.promised(folds)
    rows = []
    for fold, members in folds.groupby("fold"):
        parts = {role: clips.loc[rows_["clip"]] for role, rows_ in members.groupby("role")}
        for column in ("speaker", "sentence", "session"):
            details, shares = [], []
            for one, other in _PAIRS:
                if one not in parts or other not in parts:
                    continue
                values = parts[one][column].dropna()
                shared = values.isin(set(parts[other][column].dropna()))
                if shared.any():
                    n, of = values[shared].nunique(), values.nunique()
                    details.append(f"{n} of {of} {column}s of {one} are also in {other}")
                    shares.append(shared.sum() / len(parts[one]))
            if details:
                severity = "leak" if column == "speaker" or column in promised else "note"
                rows.append((f"{column} overlap", severity, fold, "; ".join(details), max(shares)))
    return rows


def _recordings(clips: pd.DataFrame, duplicates: pd.DataFrame | None) -> pd.DataFrame:
    """Return the pairs of clips that hold the same sound, as far as known."""
    known = clips["sha256"].dropna()
    pairs = [
        pair for group in known.groupby(known).groups.values() for pair in itertools.combinations(sorted(group), 2)
    ]
    same = pd.DataFrame(pairs, columns=["clip_a", "clip_b"], dtype="str").assign(kind="exact", similarity=1.0)
    if duplicates is not None:
        inside = duplicates["clip_a"].isin(clips.index) & duplicates["clip_b"].isin(clips.index)
        same = pd.concat([same, duplicates.loc[inside, [*same.columns]]])
    return same.drop_duplicates(["clip_a", "clip_b"], ignore_index=True)


def _described(clips: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs with who speaks and which emotion it is, those that contradict themselves first."""
    facts = {
        f"{name}_{side}": clips[name].reindex(pairs[f"clip_{side}"]).to_numpy()
        for name in ("speaker", "emotion")
        for side in "ab"
    }
    found = pairs.assign(**facts)
    differ = (found["emotion_a"] != found["emotion_b"]) * 2 + (found["speaker_a"] != found["speaker_b"])
    return found.loc[differ.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _shared_recordings(folds: pd.DataFrame, pairs: pd.DataFrame) -> list[tuple]:
    rows = []
    for fold, members in folds.groupby("fold"):
        role = members.set_index("clip")["role"]
        table = pairs.assign(a=pairs["clip_a"].map(role), b=pairs["clip_b"].map(role)).dropna()
        table = table[table["a"] != table["b"]]
        if len(table):
            first = table.iloc[0]
            detail = (
                f"{len(table)} pairs of the same sound in two parts ({(table['kind'] == 'exact').sum()} exact), first "
                f"'{first['clip_a']}' in {first['a']} and '{first['clip_b']}' in {first['b']}"
            )
            rows.append(("recording overlap", "leak", fold, detail, len(table)))
    return rows


def _told(told: pd.DataFrame) -> list[tuple]:
    return [
        (
            f"emotion told by {name}",
            "confound",
            None,
            f"the {name} alone tells {row.bits:.2f} bits of the emotion ({row.chance_bits:.2f} by chance), "
            f"{row.share:.0%} of its entropy",
            row.share,
        )
        for name, row in told.iterrows()
        if row.share >= _SHARE
    ]


def _few_speakers(speakers: pd.DataFrame) -> list[tuple]:
    return [
        (
            "few speakers",
            "note",
            None,
            f"{emotion}: {row.n_clips:.0f} clips by {row.n_speakers:.0f} speakers count as {row.effective:.1f}",
            row.effective,
        )
        for emotion, row in speakers.iterrows()
        if row.effective < _FEW_SPEAKERS
    ]


def _looked_up(scores: pd.DataFrame) -> list[tuple]:
    """Return a finding for each shortcut well above chance; what is part of speaking may be an honest cue."""

    def is_cue(name: str, row) -> bool:
        weak = row.uar < row.chance + _STRONG * (1 - row.chance)
        # Emotion changes a voice, so that its vector tells of both, however strongly.
        return name == "voice" or (name in ("duration", "loudness", "silence") and weak)

    return [
        (
            f"shortcut by {name}",
            "note" if is_cue(name, row) else "confound",
            None,
            f"the {name} alone gives UAR {row.uar:.3f} (chance {row.chance:.3f})",
            row.uar,
        )
        for name, row in scores.iterrows()
        if row.uar >= row.chance + _LOOKUP_GAIN
    ]


def _absent_classes(clips: pd.DataFrame, folds: pd.DataFrame) -> list[tuple]:
    return [
        (f"class absent from {role}", "note", fold, f"no {', '.join(names)} in {role}", len(names))
        for role in splits.ROLES
        for fold, names in splits.absent(folds, clips, role).items()
    ]


def _duplicates(clips: pd.DataFrame, pairs: pd.DataFrame) -> list[tuple]:
    if pairs.empty:
        return []
    differ = {
        name: int((clips[name].loc[pairs["clip_a"]].to_numpy() != clips[name].loc[pairs["clip_b"]].to_numpy()).sum())
        for name in ("speaker", "emotion")
    }
    first = _described(clips, pairs).iloc[0]
    detail = (
        f"{len(pairs)} pairs of clips hold the same sound ({(pairs['kind'] == 'exact').sum()} exact), "
        f"{differ['speaker']} of them under two speakers and {differ['emotion']} under two emotions; first "
        f"'{first['clip_a']}' and '{first['clip_b']}'"
    )
    return [("duplicate recordings", "note", None, detail, len(pairs))]


def _unknown(clips: pd.DataFrame) -> list[tuple]:
    missing = clips["speaker"].isna().sum()
    if not missing:
        return []
    detail = f"{missing} of {len(clips)} clips have no speaker, so nobody can tell whether parts share one"
    return [("speaker unknown", "note", None, detail, missing / len(clips))]
