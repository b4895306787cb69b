"""A guess at who speaks, what and how in a folder of recordings: from names of files and folders, or a sheet beside."""

import csv
import io
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from ser_core import files
from ser_core.data.corpora import recordings
from ser_core.data.corpora.words import COLUMNS, EMOTIONS, GENDERS, LETTERS, plain, role_of
from ser_core.errors import SerError
from ser_core.files import text

ROLES = ("emotion", "speaker", "gender", "sentence", "transcript", "session", "split", "language")
"""Columns of a corpus's CSV that can be found in a folder."""

_SHEETS = (".csv", ".tsv", ".txt")
_SPEAKER = re.compile(r"(speaker|spkr?|sp|actor|act|subj?|subject|participant|person|talker|voice|s|p|s[fmw])[ _-]?\d+")
_PERSON = re.compile(r"[fmw]\d+")
_SESSION = re.compile(r"(session|sess?|ses)[ _-]?\d+")
_SENTENCE = re.compile(r"(text|txt|sentence|sent|utt|prompt|line|t|q|l)[ _-]?\d+")
_LETTERS = r"[^\d\s_-]+"  # with the vowel signs of Indian scripts, which are no word characters to re
_KNOWN = 0.6  # the least share of recordings with a known word, for a field to be that of emotions


@dataclass(frozen=True)
class Guess:
    """What a folder of recordings seems to be.

    Attributes:
        table: One row a recording, sorted: ``path`` below the folder, and a column of each of `ROLES` that was found.
        found: Role -> the field that it was read from, in words.
        notes: What is unsure or was left out, one line each.
        fields: Every field with some of its values, in words; one of them can be named where a guess is wrong.
    """

    table: pd.DataFrame
    found: dict[str, str]
    notes: tuple[str, ...]
    fields: dict[str, str]

    def text(self) -> str:
        """Return the guess in lines for a terminal."""
        lines = [f"{len(self.table)} recordings"]
        for role, field in self.found.items():
            lines.append(f"  {role:<11}{field}: {_shown(self.table[role])}")
        missing = [role for role in ("speaker", "sentence", "gender") if role not in self.found]
        lines += [f"  {role:<11}not found" for role in missing]
        lines += ["unsure:", *(f"  {note}" for note in self.notes)] if self.notes else []
        lines += ["fields, to name one where the guess is wrong, as in --speaker 'part 1':"]
        lines += [f"  {name}: {values}" for name, values in self.fields.items()]
        return "\n".join(map(text.shown, lines))


def guess(
    folder: Path,
    given: Mapping[str, str] | None = None,
    *,
    words: Mapping[str, str] | None = None,
    own_words: bool = False,
) -> Guess:
    """Guess what the recordings of a folder are.

    Fields are the folders above a recording, the parts of its name, and the columns of a sheet (CSV, TSV) beside the
    recordings that names them. The field whose words are emotions is the emotion, in any of several languages. The
    speaker is the field that looks most like one: its values are as ``s01`` or ``Actor_01``, and have all emotions.

    Args:
        folder: The folder; its WAV and FLAC files may be nested.
        given: Role -> name of the field that holds it, in place of a guess. Where a sheet has columns of several
            raters, the field ``majority`` is the word that most of them chose. It is guessed to be the emotion
            if there are three or more and no column is called so. A column may be named by its head alone.
        words: Code or word -> the word for an emotion that it stands for, before anything is guessed.
        own_words: Keep words for emotions that are not English as they are; else the English word is written.

    Returns:
        The guess.

    Raises:
        SerError: If the folder is not there or holds no recording, no field holds words for emotions, or a field that
            is named is none.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("s1_sad", "s1_happy", "s2_sad", "s2_happy"):
        ...     (folder / f"{name}.wav").touch()
        >>> guess(folder).table["speaker"].tolist(), guess(folder).found["emotion"]
        (['s1', 's1', 's2', 's2'], 'part 2')
    """
    folder, given = Path(folder), dict(given or {})
    if not folder.is_dir():
        if folder.is_file():
            raise SerError(f"{folder}: is a file; name the folder that holds it and the recordings")
        raise SerError(f"{folder}: no such folder; expected one with .wav or .flac recordings")
    paths = [PurePosixPath(path.relative_to(folder).as_posix()) for path in recordings.find(folder)]
    if not paths:
        raise SerError(f"{folder}: no .wav or .flac recording in it; convert others, as by: ffmpeg -i a.mp3 a.wav")
    paths, left_out = _usable(sorted(paths))
    left_out += _other_formats(folder)
    if not paths:
        raise SerError(f"{folder}: {left_out[0]}")
    fields, notes = _fields(paths)
    notes = [*left_out, *notes]
    sheet, hints = _sheet(folder, paths, notes)
    majority = _majority(sheet, hints)
    fields = pd.concat([sheet, *([] if majority is None else [majority]), fields], axis=1)
    heads = {_head(name): name for name in sheet}
    given = {role: name if name in fields else heads.get(name, name) for role, name in given.items()}
    if unknown := sorted(set(given.values()) - set(fields)):
        raise SerError(f"{folder}: there is no field '{unknown[0]}'; there are {', '.join(map(repr, fields))}")
    found = {role: column for column, role in hints.items()} | given
    table = pd.DataFrame({"path": [str(path) for path in paths]}, index=fields.index)
    if majority is not None and len(_raters(sheet, hints)) > 2:
        found.setdefault("emotion", "majority")
    found["emotion"] = found.get("emotion") or _emotion_field(folder, fields, notes)
    notes += _other_labels(fields, found["emotion"])
    table["emotion"] = _emotions(folder, fields[found["emotion"]], words or {}, own_words, notes)
    _genders(fields, table, found, notes)
    taken = {found["emotion"], found.get("gender"), *(name for name in fields if " of part " in name)}
    # What says no more than the emotion is another name of it.
    taken |= {name for name in fields if _same(fields[name], table["emotion"])}
    session = next((name for name in fields if _is_session(fields[name])), None)
    if session and "session" not in found and session not in found.values():
        found["session"] = session
    taken |= {found["session"]} if "session" in found else set()
    for role, score in (("speaker", _speaker_score), ("sentence", _sentence_score)):
        if role not in found:
            _choose(role, score, fields.drop(columns=[name for name in taken if name]), table, found, notes)
        if role in found:
            table[role] = _values(fields[found[role]])
            notes += _merged(role, fields[found[role]])
            taken |= {name for name in fields if fields[name].equals(fields[found[role]])} | {found[role]}
    for role in ROLES:
        if role in found and role not in table:
            table[role] = _values(fields[found[role]])
    for role in ("emotion", "speaker"):
        if role in table and (missing := table[role].isna()).any():
            which = f"the first is {table.loc[missing, 'path'].iloc[0]}"
            otherwise = "they are left out" if role == "emotion" else "remove the rows: tests on new speakers need all"
            notes.append(f"{missing.sum()} recordings have no {role}, {which}; fill them in, or {otherwise}")
    if "speaker" not in table:
        notes.append("no field looks like speakers; without them nothing can be said of people not trained on")
    elif "session" in table and table.groupby("session")["speaker"].nunique().mean() > table["speaker"].nunique() / 2:
        table["session"] = table["speaker"] + " " + table["session"]
        notes.append(f"{found['session']} counts the sessions of each speaker, so a session is a speaker's")
    order = [role for role in ROLES if role in table]
    shown = {name: _shown(fields[name]) for name in fields}
    return Guess(table[["path", *order]], {role: found[role] for role in order}, tuple(notes), shown)


def _usable(paths: list[PurePosixPath]) -> tuple[list[PurePosixPath], list[str]]:
    """Return the recordings whose names can be written down and are no leftovers of a system, and notes on the rest."""
    kept, notes = [], []
    hidden = [path for path in paths if any(part.startswith(".") or part == "__MACOSX" for part in path.parts)]
    for path in sorted(set(paths) - set(hidden)):
        if recordings.is_utf8(str(path)):
            kept.append(path)
        else:
            notes.append(f"the name {text.shown(path)} is no UTF-8, so it cannot stand in a CSV; rename it")
    if hidden:
        notes.append(f"{len(hidden)} hidden files are left out, the first is {hidden[0]}")
    return kept, notes


def _other_formats(folder: Path) -> list[str]:
    """Return a note on recordings in formats that are not read, if there are any."""
    others = [path.relative_to(folder) for path in files.walk(folder)]
    others = sorted(
        path for path in others if path.suffix.lower() in recordings.OTHER_SUFFIXES and path.name[0] not in "._"
    )
    if not others:
        return []
    kinds = ", ".join(sorted({path.suffix.lower() for path in others}))
    return [
        f"{len(others)} recordings in {kinds} are not read, the first is {text.shown(others[0].as_posix())}; "
        "convert them, as by: ffmpeg -i a.mp3 a.wav"
    ]


def _head(field: str) -> str:
    """Return the head of the column of a sheet that a field is, empty if it is none."""
    return field.removeprefix("column '").rpartition("' of ")[0]


def _meant(values: pd.Series) -> pd.Series:
    """Return the emotion that each word stands for, or the word itself if it is not known."""
    return values.map(lambda value: EMOTIONS.get(plain(value), value), na_action="ignore")


def _raters(sheet: pd.DataFrame, hints: Mapping[str, str]) -> list[str]:
    """Return the columns of a sheet that hold words for emotions, without the one that its head calls the emotion."""
    return [name for name in sheet if hints.get(name) != "emotion" and _share_known(sheet[name], EMOTIONS) >= _KNOWN]


def _majority(sheet: pd.DataFrame, hints: Mapping[str, str]) -> pd.Series | None:
    """Return the word that most raters chose, by meaning, if a sheet has several columns of such words."""
    raters = _raters(sheet, hints)
    if len(raters) < 2:
        return None
    meant = sheet[raters].apply(_meant)

    def chosen(row: pd.Series) -> str | None:
        votes = Counter(row.dropna()).most_common(2)
        return votes[0][0] if votes and (len(votes) == 1 or votes[0][1] > votes[1][1]) else None

    return meant.apply(chosen, axis=1).rename("majority").astype("str").where(lambda word: word != "None")


def _other_labels(fields: pd.DataFrame, taken: str) -> list[str]:
    """Return notes on other fields that hold words for emotions, and how often they agree with the one taken."""
    known = _meant(fields[taken])
    notes = []
    for name in fields:
        if name == taken or _share_known(fields[name], EMOTIONS) < _KNOWN:
            continue
        other, head = _meant(fields[name]), _head(name) or name
        both = known.notna() & other.notna()
        if both.any() and (share := (known == other)[both].mean()) < 1:
            what = "the word that most raters chose," if name == "majority" else "words for emotions, too,"
            notes.append(
                f"{name} holds {what} and agrees with {taken} in {share:.0%} of {both.sum()} recordings; "
                f"--emotion {shlex.quote(head)} takes it"
            )
    if "majority" in fields and (torn := int(fields["majority"].isna().sum())):
        notes.append(f"raters are divided on {torn} recordings, where majority is empty")
    return notes


def _is_session(values: pd.Series) -> bool:
    """Return whether the values of a field are a word for a session and a number."""
    words = pd.Series([plain(value) for value in values.dropna().unique()], dtype="str")
    return len(words) > 1 and _named(words, "session", _SESSION) == 1


def _merged(role: str, values: pd.Series) -> list[str]:
    """Return a note on each name that stands in two Unicode forms, which look the same."""
    forms = pd.Series(values.dropna().unique(), dtype="str")
    each = forms.groupby(_values(forms)).nunique()
    return [f"'{name}' is written in {n} Unicode forms and is one {role}" for name, n in each[each > 1].items()]


def _shown(values: pd.Series) -> str:
    """Return some of the values of a field, and how many there are."""
    each = sorted(values.dropna().unique(), key=lambda value: (len(value), value))
    few = each if len(each) <= 10 else [*each[:3], "...", each[-1]]
    return f"{', '.join(few)} ({len(each)})" if len(each) > 10 else ", ".join(few)


def _same(one: pd.Series, other: pd.Series) -> bool:
    """Return whether each value of one goes with a single value of the other."""
    pairs = pd.DataFrame({"one": one, "other": other}).dropna().drop_duplicates()
    return len(pairs) > 0 and not pairs["one"].duplicated().any() and not pairs["other"].duplicated().any()


def _values(values: pd.Series) -> pd.Series:
    """Return values with one spelling each: NFC, without blanks at the ends."""
    return values.map(lambda value: unicodedata.normalize("NFC", value).strip(), na_action="ignore").replace("", pd.NA)


def _fields(paths: list[PurePosixPath]) -> tuple[pd.DataFrame, list[str]]:
    """Return the folders above each recording and the parts of its name, and what does not fit."""
    stems, notes = [path.stem for path in paths], []
    split = [[part for part in re.split(r"[\s_\-.,;+()\[\]=~]+", stem) if part] for stem in stems]
    if Counter(map(len, split)).most_common(1)[0][0] < 2:  # such as 03a01Fa
        split = [re.findall(rf"\d+|{_LETTERS}", stem) for stem in stems]
    usual = Counter(map(len, split)).most_common(1)[0][0]
    columns: dict[str, list] = {}
    deepest = max(len(path.parents) - 1 for path in paths)
    for above in range(deepest):
        names = [path.parts[-2 - above] if len(path.parts) > 1 + above else None for path in paths]
        columns["folder" if above == 0 else f"folder {above + 1} above"] = names
    for at in range(usual):
        columns[f"part {at + 1}"] = [parts[at] if len(parts) == usual else None for parts in split]
    if odd := [path for path, parts in zip(paths, split, strict=True) if len(parts) != usual]:
        notes.append(f"{len(odd)} names do not have {usual} parts as the others, the first is {odd[0]}")
    table = pd.DataFrame(columns, index=[str(path) for path in paths], dtype="str")
    table = table[[name for name in table if table[name].nunique() > 1]]
    for name in list(table):  # s01 is also the letters s, if they differ, as in sad01
        both = table[name].str.extract(rf"^({_LETTERS})[ _-]?(\d+)$")
        if both[0].notna().mean() >= _KNOWN and both[0].nunique() > 1:
            table[f"letters of {name}"] = both[0]
        first = table[name].str.extract(r"^([^\W\d_a-z])[a-z]$")[0]  # Wa and Wb are takes of W
        if first.notna().mean() >= _KNOWN and first.nunique() > 1:
            table[f"first letter of {name}"] = first
    return table, notes


def _sheet(folder: Path, paths: list[PurePosixPath], notes: list[str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the columns of the sheet that names most recordings, and the roles that its heads tell."""
    index = [str(path) for path in paths]
    recording, best = which_recording(paths), None
    beside = sorted(path for path in files.walk(folder) if path.is_file())
    for sheet in sheets(folder):
        table = read_sheet(sheet)
        for column in table:
            named = table[column].map(recording)
            if best is None or named.nunique() > best[0]:
                best = (named.nunique(), sheet, table, column, named)
    for other in beside:
        if other.suffix.lower() in (".xlsx", ".xls", ".ods", ".json"):
            notes.append(f"{other.relative_to(folder)} is not read; save a sheet as CSV")
    if best is None or best[0] < max(2, len(paths) / 2):
        notes += [f"{sheet.relative_to(folder)} does not name the recordings; not used" for sheet in sheets(folder)]
        return pd.DataFrame(index=index), {}
    _, sheet, table, path_column, named = best
    name = sheet.relative_to(folder).as_posix()
    if lost := int(named.isna().sum()):
        notes.append(
            f"{lost} rows of {name} name no recording here, the first '{table[path_column][named.isna()].iloc[0]}'"
        )
    twice = named[named.notna() & named.duplicated()]
    if len(twice):
        notes.append(
            f"{len(twice)} rows of {name} name a recording again, the first {twice.iloc[0]}; the first row counts"
        )
    table = table[named.notna() & ~named.duplicated()].set_axis(named[named.notna() & ~named.duplicated()], axis=0)
    if missing := len(paths) - len(table):
        first = next(path for path in index if path not in table.index)
        notes.append(f"{missing} recordings are not in {name}, the first {first}")
    columns = {column: f"column '{column}' of {name}" for column in table if column != path_column}
    roles = {column: role_of(column) for column in columns}
    hints = {columns[column]: role for column, role in roles.items() if role in ROLES}
    if len(set(hints.values())) < len(hints):  # two columns for one role: neither is sure
        twice_named = [role for role, n in Counter(hints.values()).items() if n > 1]
        notes.append(f"several columns of {name} may be the {twice_named[0]}")
        hints = {column: role for column, role in hints.items() if role not in twice_named}
    values = table[list(columns)].rename(columns=columns).replace("", pd.NA).reindex(index)
    emotion = next((column for column, role in hints.items() if role == "emotion"), None)
    if emotion and values[emotion].nunique() > 40:  # ids or numbers under the head of a label
        del hints[emotion]
    hints = {column: role for column, role in hints.items() if values[column].notna().any()}
    return values[[column for column in values if values[column].notna().any()]], hints


def sheets(folder: Path) -> list[Path]:
    """Return the tables as text under a folder, fifty at most."""
    return sorted(path for path in files.walk(folder) if path.is_file() and path.suffix.lower() in _SHEETS)[:50]


def which_recording(paths: list[PurePosixPath]) -> Callable[[str], str | None]:
    """Return what tells which recording a cell of a sheet means: by its path or name, with or without its ending.

    Args:
        paths: The recordings, below their folder.

    Examples:
        >>> which_recording([PurePosixPath("a/1.wav")])("1"), which_recording([PurePosixPath("a/1.wav")])("2")
        ('a/1.wav', None)
    """
    by_name: dict[str, set[str]] = {}
    for path in paths:
        for name in (str(path), str(path.with_suffix("")), path.name, path.stem):
            by_name.setdefault(plain(name), set()).add(str(path))

    def recording(cell: str) -> str | None:
        found = by_name.get(plain(cell.replace("\\", "/")), set())
        return next(iter(found)) if len(found) == 1 else None

    return recording


def read_sheet(path: Path) -> pd.DataFrame:
    """Return a sheet as text, whatever its encoding and what divides its columns; empty if it is none.

    Args:
        path: The sheet.
    """
    data = path.read_bytes()[:20_000_000]
    marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        try:
            content = data.decode(encoding)
            break
        except UnicodeError:
            continue
    else:
        return pd.DataFrame()
    head = content.partition("\n")[0]
    divider = max("\t;,|", key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(content, newline=""), delimiter=divider)) if head.count(divider) else []
    except csv.Error:
        rows = []
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2 or len(set(rows[0])) < len(rows[0]):
        return pd.DataFrame()
    width = len(rows[0])
    cells = [[cell.strip() for cell in (row + [""] * width)[:width]] for row in rows[1:]]
    return pd.DataFrame(cells, columns=[name.strip() or f"column {at}" for at, name in enumerate(rows[0], 1)])


def _share_known(values: pd.Series, words: Mapping[str, str]) -> float:
    """Return for what share of recordings the word is known, 0 if fewer than two meanings are among them."""
    meant = values.map(lambda value: words.get(plain(value)), na_action="ignore")
    return float(meant.notna().mean()) if meant.nunique() > 1 else 0.0


def _emotion_field(folder: Path, fields: pd.DataFrame, notes: list[str]) -> str:
    shares = {name: _share_known(fields[name], EMOTIONS) for name in fields}
    best = max(shares, key=shares.get, default=None)
    if best and shares[best] >= _KNOWN:
        return best
    letters = {
        name: _share_known(fields[name], LETTERS)
        for name in fields
        if fields[name].nunique() > 2 and set(fields[name].dropna().map(plain)) <= set(LETTERS)
    }
    if letters:
        return max(letters, key=letters.get)
    shown = "; ".join(f"{name}: {_shown(fields[name])}" for name in fields)
    unread = "".join(f"; {note}" for note in notes if " not read" in note)
    raise SerError(
        f"{folder}: no field holds words for emotions{unread}; name one by --emotion, or write a CSV with the columns "
        f"path, emotion, speaker and give it by --corpus. The fields are {shown or 'none'}"
    )


def _emotions(
    folder: Path, values: pd.Series, words: Mapping[str, str], own_words: bool, notes: list[str]
) -> pd.Series:
    """Return a word for each recording, one spelling each, with notes on what was read as what."""
    values, told = _values(values), {}
    if unknown := sorted(set(words) - set(values.dropna())):
        raise SerError(f"{folder}: no emotion is written '{unknown[0]}'; there are {_shown(values)}")
    values = values.replace(dict(words))
    letters = set(values.dropna().map(plain)) <= set(LETTERS)
    known = LETTERS if letters else EMOTIONS
    spelt: dict[str, Counter] = {}
    for value in values.dropna():
        spelt.setdefault(plain(value), Counter())[value] += 1
    for word, spellings in spelt.items():
        commonest = spellings.most_common(1)[0][0]
        english = commonest.casefold() if commonest.isascii() and len(commonest) > 1 else commonest
        meant = known.get(word)
        keep = own_words or meant is None or (word.isascii() and len(word) > 3 and meant[:3] == word[:3])
        told[word] = (english if not own_words else commonest) if keep else meant
        if meant is None and any(plain(other) in known for other in spelt):
            notes.append(f"'{commonest}' ({spellings.total()} recordings) is no word for an emotion that is known")
        if len(spellings) > 1:
            notes.append(f"{', '.join(map(repr, spellings))} are taken for one word, '{told[word]}'")
    for meant, same in _alike(spelt, known).items():
        each = ", ".join(f"'{spelt[word].most_common(1)[0][0]}'" for word in same)
        if own_words:
            notes.append(f"{each} all mean {meant} and stay {len(same)} classes; without --own-words they are one")
            continue
        # The English word that the corpus itself has, if it has one only; else a class of the same emotion would split.
        written = {told[word] for word in same if told[word] != meant}
        one = written.pop() if len(written) == 1 else meant
        told |= dict.fromkeys(same, one)
        notes.append(f"{each} are taken for one emotion, '{one}'")
    changed = {next(iter(spelt[word])): new for word, new in told.items() if plain(new) != word}
    if changed:
        words = ", ".join(f"{old} = {new}" for old, new in changed.items())
        notes.append(f"words are read as {words}{'; letters are a guess' if letters else ''}; --own-words keeps them")
    return values.map(lambda value: told[plain(value)], na_action="ignore")


def _alike(spelt: Mapping[str, Counter], known: Mapping[str, str]) -> dict[str, list[str]]:
    """Return each emotion that a corpus has several words for, as one labelled in two languages has, with the words."""
    groups: dict[str, list[str]] = {}
    for word in spelt:
        if word in known:
            groups.setdefault(known[word], []).append(word)
    return {meant: same for meant, same in groups.items() if len(same) > 1}


def _genders(fields: pd.DataFrame, table: pd.DataFrame, found: dict[str, str], notes: list[str]) -> None:
    """Find and write the gender: a field all of whose words are genders."""
    if "gender" not in found:
        for name in fields:
            if name != found["emotion"] and _share_known(fields[name], GENDERS) > 0.9:
                found["gender"] = name
                break
        else:
            return
    meant = fields[found["gender"]].map(lambda value: GENDERS.get(plain(value)), na_action="ignore")
    if len(unknown := fields[found["gender"]][meant.isna()].dropna()):
        notes.append(
            f"gender '{unknown.iloc[0]}' is neither female nor male and is left empty ({len(unknown)} recordings)"
        )
    table["gender"] = meant


def _named(words: pd.Series, role: str, pattern: re.Pattern) -> float:
    """Return the share of values that are a word for a role and a number, in English or as the head of a sheet."""
    heads = words.str.extract(rf"^({_LETTERS})[ _-]?\d+$")[0].map(COLUMNS)
    return float((words.str.fullmatch(pattern) | (heads == role)).mean())


def _speaker_score(name: str, values: pd.Series, table: pd.DataFrame, place: int) -> float:
    """Return how much a field looks like speakers; 0 and less: not at all."""
    each = values.dropna().unique()
    if not 2 <= len(each) <= len(values) / 2:
        return 0.0
    words = pd.Series([plain(value) for value in each])
    named = _named(words, "speaker", _SPEAKER) + 0.7 * words.str.fullmatch(_PERSON).mean()
    crossing = table["emotion"].groupby(values).nunique().mean() / max(table["emotion"].nunique(), 1)
    score = 3 * named + crossing - 0.1 * place + 1.5 * crossing * name.startswith("folder")
    score -= 3 * _named(words, "sentence", _SENTENCE) * (named < 1)
    score += 0.5 * (not words.str.isdecimal().any())
    # Two or three small numbers are takes or intensities.
    return score - 2 * (len(each) < 4 and bool(words.str.isdecimal().all()))


def _sentence_score(name: str, values: pd.Series, table: pd.DataFrame, place: int) -> float:
    """Return how much a field looks like sentences: things that most speakers say."""
    each = values.dropna().unique()
    if "speaker" not in table or not 2 <= len(each) <= len(values) / 2:
        return 0.0
    said = table["speaker"].groupby(values).nunique().mean() / table["speaker"].nunique()
    words = pd.Series([plain(value) for value in each])
    return 3 * _named(words, "sentence", _SENTENCE) + 2 * said + min(len(each), 10) / 10 - 2 * (said < 0.5)


def _choose(
    role: str, score, fields: pd.DataFrame, table: pd.DataFrame, found: dict[str, str], notes: list[str]
) -> None:
    """Take the field that looks most like a role, and say which other might be it."""
    scores = {name: score(name, fields[name], table, place) for place, name in enumerate(fields)}
    ranked = sorted((name for name in scores if scores[name] > 1), key=lambda name: -scores[name])
    if not ranked:
        return
    found[role] = ranked[0]
    near = [name for name in ranked[1:] if scores[ranked[0]] - scores[name] < 2]
    near = [name for name in near if not fields[name].equals(fields[ranked[0]])]
    if near:
        notes.append(f"the {role} may also be {' or '.join(f'{name} ({_shown(fields[name])})' for name in near[:2])}")
