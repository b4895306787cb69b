"""What was made from what, for machines: an RO-Crate 1.2 of the release, a Croissant of each corpus."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ser_core import files
from ser_core.book import identity
from ser_core.data import corpora
from ser_core.errors import SerError

CRATE = "ro-crate-metadata.json"
"""Where the RO-Crate is in a bundle."""
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
# Of the code; of text and figures.
_LICENCES = {"MIT": "https://spdx.org/licenses/MIT", "CC-BY-4.0": "https://spdx.org/licenses/CC-BY-4.0"}
_FOLDERS = {
    "html/": "The pages of the book",
    "executed/": "The chapters with their outputs",
    "results/": "Predictions, clip tables, features, simulations",
    "experiments/": "What was run",
    "data_cards/": "What is known of each corpus",
    "notebooks/": "The chapters as text",
    "ser_core/": "The package that computes everything",
    "croissant/": "A description of each corpus's table of clips",
    "tables/": "Scores of every Run",
}


def crate(work: identity.Work, members: Mapping[str, Path | bytes], *, seconds: int, commit: str) -> bytes:
    """Return the RO-Crate of a release: its parts, and each Run and chapter as an action that made files from files.

    Args:
        work: The book.
        members: Every other file of the bundle: name -> file or bytes.
        seconds: Time of the commit.
        commit: Its hash.

    Returns:
        ``ro-crate-metadata.json``, the same bytes for the same members.
    """
    from rocrate.rocrate import ROCrate

    made = ROCrate(version="1.2")
    day = datetime.fromtimestamp(seconds, UTC)
    made.name, made.description, made.datePublished = work.title, work.abstract, day.isoformat()
    made.keywords = ", ".join(work.keywords)
    root = made.root_dataset
    root["version"], root["identifier"] = work.version, work.doi or f"git:{commit}"
    people = [_context(made, f"#author-{n}", "Organization", name=name) for n, name in enumerate(work.authors)]
    root["author"] = root["publisher"] = people
    licences = [_context(made, url, "CreativeWork", name=name) for name, url in _LICENCES.items()]
    made.license = licences
    profile = {"name": "Process Run Crate", "version": "0.5"}
    root["conformsTo"] = _context(made, PROFILE, "CreativeWork", **profile)
    code = {"name": "ser_core", "version": work.version, "softwareVersion": work.version, "license": licences[0]}
    package = _context(made, "#ser_core", ["SoftwareApplication", "SoftwareSourceCode"], **code)
    package["codeRepository"] = work.repository or "ser_core/"
    described = {}

    def file(name: str):
        if name not in described:
            data = members[name] if isinstance(members[name], bytes) else members[name].read_bytes()
            about = {"contentSize": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}
            about |= {"name": name, "encodingFormat": _format(name)}
            described[name] = made.add_file(dest_path=name, properties=about)
        return described[name]

    for folder, title in _FOLDERS.items():
        if any(name.startswith(folder) for name in members):
            made.add_dataset(dest_path=folder, properties={"name": title, "description": title})
    stamps = [name for name in sorted(members) if name.startswith("results/runs/") and name.endswith("/run.json")]
    beside: dict[str, list[str]] = {}
    for name in sorted(members):
        beside.setdefault(name.rpartition("/")[0], []).append(name)
    for stamp in stamps:
        _run_action(made, stamp, members, beside[stamp.rpartition("/")[0]], file, package, people)
    for name in sorted(members):
        if name.startswith("executed/"):
            text = f"notebooks/{Path(name).stem}.md"
            made.add_action(
                [package],
                identifier=f"#{name}",
                object=[file(text)] if text in members else None,
                result=[file(name)],
                properties={"name": f"Execution of {Path(name).stem}", "agent": people},
            )
        elif name.startswith(("croissant/", "tables/", "data_cards/")) or name.endswith(".pdf"):
            file(name)
    root["mentions"] = [made.dereference(f"#{stamp}") for stamp in stamps] + [
        made.dereference(f"#{name}") for name in sorted(members) if name.startswith("executed/")
    ]
    return (json.dumps(made.metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _context(made, identifier: str, kind: str | list[str], **properties: object):
    from rocrate.model.contextentity import ContextEntity

    return made.add(ContextEntity(made, identifier, properties={"@type": kind} | properties))


def _run_action(made, stamp: str, members: Mapping, beside: list[str], file, package, people: list) -> None:
    """Add a Run as an action: the experiment file and the clip tables went in, its predictions came out."""
    content = members[stamp]
    facts = json.loads(content if isinstance(content, bytes) else content.read_text(encoding="utf-8"))
    folder = stamp.removesuffix("run.json")
    cell = facts.get("cell") or {}
    parts = str(cell.get("corpus", "")).split("+")
    used = [f"experiments/{facts.get('experiment')}.yaml", *(f"results/clips/{part}.parquet" for part in parts)]
    properties = {"name": f"Run {folder.removeprefix('results/runs/').rstrip('/')}", "agent": people}
    properties["description"] = f"{facts.get('question', '')} Code {facts.get('code')}."
    if isinstance(facts.get("made"), str):
        properties["endTime"] = facts["made"]
    made.add_action(
        [package],
        identifier=f"#{stamp}",
        object=[file(name) for name in used if name in members],
        result=[file(name) for name in beside],
        properties=properties,
    )


def _format(name: str) -> str:
    kinds = {"json": "application/json", "parquet": "application/vnd.apache.parquet", "pdf": "application/pdf"}
    kinds |= {"csv": "text/csv", "md": "text/markdown", "yaml": "application/yaml"}
    kinds |= {"ipynb": "application/x-ipynb+json"}
    return kinds.get(name.rsplit(".", 1)[-1], "application/octet-stream")


def croissant(name: str, root: Path, work: identity.Work, day: str) -> bytes:
    """Return the Croissant description of a corpus's table of clips; the recordings are where its authors put them.

    Args:
        name: Name of the corpus.
        root: The repository, for its table of clips and the bibliography.
        work: The book.
        day: Day of the release.

    Returns:
        JSON-LD.

    Raises:
        SerError: If `mlcroissant` finds a mistake in it; it names all.
    """
    import mlcroissant as mlc

    about, clips = corpora.info(name), root / "results" / "clips" / f"{name}.parquet"
    table = files.read_parquet(clips)
    file = mlc.FileObject(
        id="clips.parquet",
        name="clips.parquet",
        description="One row per clip.",
        content_url=f"../results/clips/{clips.name}",
        encoding_formats=["application/x-parquet"],
        sha256=files.sha256(clips),
    )
    fields = [
        mlc.Field(
            id=f"clips/{column}",
            name=column,
            description=_COLUMNS.get(column, column),
            data_types=[mlc.DataType.FLOAT if pd.api.types.is_float_dtype(table[column]) else mlc.DataType.TEXT],
            source=mlc.Source(file_object="clips.parquet", extract=mlc.Extract(column=column)),
        )
        for column in table
    ]
    metadata = mlc.Metadata(
        name=name,
        description=f"Table of the {len(table)} clips of {about.title}. The recordings are not in it: "
        f"{' '.join(about.how_to_get.split())}",
        url=about.homepage,
        license=[about.licence_url or about.licence],
        cite_as=_reference(root / "book" / "references.bib", about.citation),
        version=work.version if work.version.count(".") == 2 else None,
        date_published=datetime.fromisoformat(day),
        in_language=[about.language],
        distribution=[file],
        record_sets=[mlc.RecordSet(id="clips", name="clips", description="One record per clip.", fields=fields)],
    )
    if metadata.issues.errors:
        raise SerError(f"Croissant of {name}: {'; '.join(sorted(map(str, metadata.issues.errors)))}")
    return (json.dumps(metadata.to_json(), indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n").encode()


def _reference(bibliography: Path, key: str) -> str:
    """Return an entry of a BibTeX file as it stands there."""
    found = re.search(rf"^@\w+\{{{re.escape(key)},\n.*?^\}}", bibliography.read_text(encoding="utf-8"), re.M | re.S)
    if not found:
        raise SerError(f"{bibliography}: no entry '{key}', which a corpus cites")
    return found[0]


_COLUMNS = {
    "clip": "Name of the clip, unique over all corpora.",
    "corpus": "Name of the corpus.",
    "language": "BCP 47 tag of what is spoken.",
    "speaker": "Who speaks.",
    "gender": "Gender of the speaker, as the corpus states it.",
    "emotion": "The label, in the corpus's own word.",
    "sentence": "Which sentence is spoken; two clips with the same value have the same words.",
    "transcript": "The words, where the corpus publishes them.",
    "session": "Session or dialogue of the recording.",
    "split": "Part of the split that the corpus publishes.",
    "path": "File of the recording, below the corpus's folder.",
    "duration_s": "Duration of the recording, in seconds.",
    "sha256": "Checksum of the decoded samples.",
}
