"""Long recordings, of which a sheet lists spans by start and end: each span becomes a recording of its own."""

import re
import tempfile
from pathlib import Path, PurePosixPath

import pandas as pd

from ser_core.data import audio
from ser_core.data.corpora import recordings
from ser_core.data.corpora.guessing import read_sheet, sheets, which_recording
from ser_core.data.corpora.words import role_of
from ser_core.errors import SerError

_SUBTYPES = {"PCM_S8": "PCM_16", "PCM_U8": "PCM_16", "PCM_16": "PCM_16"}  # all others as 24 bits


def spans(folder: Path) -> tuple[Path, pd.DataFrame] | None:
    """Return the sheet that lists spans of recordings, and its rows with what they say; None if there is none.

    Args:
        folder: The folder of recordings.

    Returns:
        The sheet, and its rows as text with ``_recording``, ``_start`` and ``_end`` (as written) added.
    """
    named = which_recording([PurePosixPath(path.relative_to(folder).as_posix()) for path in recordings.find(folder)])
    for sheet in sheets(folder):
        table = read_sheet(sheet)
        heads = {role_of(head): head for head in reversed(table.columns)}
        if not {"start", "end"} <= set(heads):
            continue
        each = {head: table[head].map(named) for head in table if head not in (heads["start"], heads["end"])}
        best = max(each, key=lambda head: each[head].notna().sum(), default=None)
        # A recording that is named once may be a file that says where in a film it was; two rows are spans.
        if best is not None and each[best].dropna().duplicated().any():
            said = {"_recording": each[best], "_start": table[heads["start"]], "_end": table[heads["end"]]}
            return sheet, table.drop(columns=[best, heads["start"], heads["end"]]).assign(**said)
    return None


def seconds(written: str) -> float | None:
    """Return a time in seconds as people write it, None if it is none: with a point or a comma, or with colons.

    Examples:
        >>> seconds("4,31"), seconds("1:02.5"), seconds("1:00:00"), seconds("soon")
        (4.31, 62.5, 3600.0, None)
    """
    parts = written.strip().removesuffix("s").strip().replace(",", ".").split(":")
    if len(parts) > 3 or not all(re.fullmatch(r"\d+(\.\d*)?", part) for part in parts):
        return None
    return sum(float(part) * 60**place for place, part in enumerate(reversed(parts)))


def cut(folder: Path, sheet: Path, rows: pd.DataFrame, to: Path) -> list[str]:
    """Write each span as a FLAC file, and a sheet beside them that names them in place of the spans.

    Args:
        folder: The folder of recordings.
        sheet: The sheet, from `spans`.
        rows: Its rows, from `spans`.
        to: The folder to write; it is there only when all is written. Spans of a recording without a session in the
            sheet get the recording as their session.

    Returns:
        What was left out, one line each.

    Raises:
        SerError: If a recording cannot be read, or no span lies in its recording.
    """
    import soundfile

    rows = rows.assign(_from=rows["_start"].map(seconds), _to=rows["_end"].map(seconds))
    has_session = any(role_of(head) == "session" for head in rows)
    kept, wrong, notes = [], [], []
    twice = rows.duplicated(["_recording", "_start", "_end"]) & rows["_recording"].notna()
    wrong += [(row, "is listed again") for _, row in rows[twice].iterrows()]
    wrong += [(row, "names no recording here") for _, row in rows[rows["_recording"].isna()].iterrows()]
    if to.exists():
        raise SerError(f"{to}: is there already; remove it, or name another folder")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}-") as unfinished:
        temporary = Path(unfinished) / to.name
        temporary.mkdir()
        for name, group in rows[~twice].groupby("_recording", sort=False):
            path = folder / name
            samples, rate = audio.channels(path)
            length = len(samples) / rate
            # A little after the end is rounding.
            fits = (group["_from"] >= 0) & (group["_from"] < group["_to"]) & (group["_to"] <= length + 0.05)
            wrong += [(row, f"does not lie in its {length:.2f} s") for _, row in group[~fits].iterrows()]
            subtype = _SUBTYPES.get(soundfile.info(str(path)).subtype, "PCM_24")
            for number, (_, row) in enumerate(group[fits].sort_values("_from").iterrows(), 1):
                short = f"{PurePosixPath(name).with_suffix('')}/{number:04}.flac"
                (temporary / short).parent.mkdir(parents=True, exist_ok=True)
                part = samples[round(row["_from"] * rate) : round(row["_to"] * rate)]
                soundfile.write(temporary / short, part, rate, subtype=subtype)
                more = {} if has_session else {"session": str(PurePosixPath(name).with_suffix(""))}
                kept.append({"path": short} | more | row[[head for head in row.index if head[0] != "_"]].to_dict())
            inside = group[fits].sort_values("_from")
            if overlaps := int((inside["_from"].to_numpy()[1:] < inside["_to"].cummax().to_numpy()[:-1]).sum()):
                notes.append(f"{overlaps} spans of {name} overlap the one before: they share sound")
        if not kept:
            first, why = wrong[0]
            raise SerError(
                f"{sheet}: none of its {len(rows)} spans can be cut; the first, {first['_recording']} from "
                f"{first['_start']} to {first['_end']}, {why}; times are in seconds or as 1:02.5"
            )
        pd.DataFrame(kept).to_csv(temporary / f"{sheet.stem}.csv", index=False, encoding="utf-8")
        temporary.rename(to)
    for why in dict.fromkeys(re.sub(r"[\d.]+ s$", "recording", why) for _, why in wrong):
        same = [row for row, reason in wrong if re.sub(r"[\d.]+ s$", "recording", reason) == why]
        first = f"{same[0]['_recording']} from {same[0]['_start']} to {same[0]['_end']}"
        notes.append(f"{len(same)} rows of {sheet.name} are left out: the first, {first}, {why}")
    return [f"{len(kept)} spans of {sheet.name} are cut into files", *notes]
