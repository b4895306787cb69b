"""Files of others that are no tables, archives, experiments or stores: one line each, and nothing half done."""

import socket
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from ser_core import cli, files, paths
from ser_core.book import glue
from ser_core.data import corpora, splits, synthetic
from ser_core.data.cards.rendering import _code
from ser_core.data.corpora import fetch, urdu_sindhi
from ser_core.data.corpora.base import Download
from ser_core.errors import SerError
from ser_core.experiments import configuration, runs, wellformed
from ser_core.files import yamlfile
from ser_core.systems import features
from ser_core.systems.features import punjabi

CLASSICAL = {"name": "x", "question": "Why?", "corpora": ["emodb"], "protocols": ["speaker"], "features": ["egemaps"]}
CLASSICAL |= {"models": ["logreg"]}
NETWORK = {key: CLASSICAL[key] for key in ("name", "question", "corpora", "protocols")}
FUSION = {"members": ["nus/a"], "rule": "mean", "average": True}


@pytest.mark.parametrize("field", ["protocols", "models", "normalisations", "features", "test_features", "corpora"])
@pytest.mark.parametrize("value", [["a"], {}, 5, 1.5, True], ids=str)
def test_lists_of_names_hold_names(tmp_path, field, value):
    refused(tmp_path, CLASSICAL | {field: [value]}, f"'{field}' must be a list of names")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"labels": []}, "'labels' must be a name"),
        ({"labels": ["native"]}, "'labels' must be a name"),
        ({"folds": []}, "'folds' must be"),
        ({"folds": {"emodb": [5]}}, "'folds' must be"),
        ({"folds": True}, "'folds' must be"),
        ({"folds": 1}, "'folds' must be"),
        ({"train_clips": 0}, "'train_clips' must be a number from 1"),
        ({"question": ["x"]}, "'question' must be a sentence"),
        ({"question": float("nan")}, "'question' must be a sentence"),
        ({"question": pd.Timestamp("2024-01-01").date()}, "'question' must be a sentence"),
        ({"recipe": {"bogus": 1}}, "'recipe' holds settings of networks"),
        ({"recipe": 5}, "'recipe' must be a mapping"),
        ({"networks": []}, "'networks' must be a mapping"),
        ({"networks": {}}, "'networks' is empty"),
        ({1: 2, "bogus": 3, None: 4}, r"unknown fields \['1', 'None', 'bogus'\]"),
    ],
)
def test_fields_of_other_types_are_refused(tmp_path, changed, match):
    refused(tmp_path, CLASSICAL | changed, match)


@pytest.mark.parametrize(
    "name", ["/../../x", "..", "a/b", "a b", "", "$(touch x)", "a\n", "-x", "x" * 300, 1, None, "a\\b", "\u0627"]
)
@pytest.mark.parametrize("field", ["networks", "fusions"])
def test_what_names_a_folder_is_a_name(tmp_path, field, name):
    refused(tmp_path, NETWORK | {field: {name: FUSION if field == "fusions" else {}}}, f"in '{field}' is no name")


@pytest.mark.parametrize("stem", ["...", "a b", "$(touch x)", "a\nb", "-x"])
def test_the_name_of_an_experiment_is_a_name(tmp_path, stem):
    refused(tmp_path, CLASSICAL | {"name": stem}, "is no name for an experiment", stem=stem)


def test_every_committed_experiment_is_well_formed():
    committed = sorted((paths.repository() / "experiments").rglob("*.yaml"))
    for path in committed:
        content = yamlfile.read(path)
        wellformed.check_own_name(path)
        wellformed.check(path, content)
        for name, fusion in content.get("fusions", {}).items():
            wellformed.check_fusion(path, name, fusion)
    assert len(committed) > 80


@pytest.mark.parametrize("folds", ["2 of 6", "loo", 5, {"emodb": "1 of 10"}])
def test_some_folds_of_a_division_are_folds(folds):
    wellformed.check(Path("x.yaml"), CLASSICAL | {"folds": folds})


@pytest.mark.parametrize("folds", ["0 of 6", "2 of", "2 of 6 of 7", "some", "2.5 of 6", "2 of 60000"])
def test_other_words_are_no_folds(folds):
    with pytest.raises(SerError, match=f"'folds' must be a number.* n_folds='{folds}': expected an integer"):
        wellformed.check(Path("x.yaml"), CLASSICAL | {"folds": folds})


def test_members_are_runs_and_runs_are_in_the_results(tmp_path):
    for member in ("../../x", "a/../b", "a b", "a/b/c/d"):
        refused(tmp_path, NETWORK | {"fusions": {"f": FUSION | {"members": [member]}}}, "is no <experiment>/<system>")
    refused(tmp_path, NETWORK | {"fusions": {"f": FUSION | {"rule": []}}}, "'rule' must be a name")
    for experiment, system in (("..", "x"), ("x", ".."), ("a/b", "x"), ("x", "a/b")):
        with pytest.raises(SerError, match="is a path"):
            runs.folder(experiment, system)
    assert wellformed.is_name("emodb+ravdess.v2")


def refused(tmp_path, content, match, stem="x"):
    path = tmp_path / f"{stem}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(SerError, match=match):
        configuration.load(path)


# Archives and downloads


def archive(path, members, **how):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members:
            zipped.writestr(name, content, **how)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "match"),
    [
        ([], "holds no file"),
        ([("a", b"1"), ("a", b"2")], "its member 'a' is there twice"),
        ([(".", b"1")], "a member without a name"),
        ([("a", bytes(200 * 2**20))], "would unpack to 209715200"),
    ],
)
def test_archives_that_are_odd_are_not_unpacked(tmp_path, members, match):
    with pytest.raises(SerError, match=match):
        fetch.unpack(archive(tmp_path / "a.zip", members), tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_damage_anywhere_in_an_archive_is_one_line(tmp_path):
    content = np.random.default_rng(0).integers(0, 40, 3000).astype("uint8").tobytes()
    whole = archive(tmp_path / "a.zip", [("b/a.wav", content)]).read_bytes()
    for at in range(0, len(whole), 7):
        bent = bytearray(whole)
        bent[at] ^= 0xFF
        (tmp_path / "a.zip").write_bytes(bent)
        try:
            (written,) = fetch.unpack(tmp_path / "a.zip", tmp_path / "to")
        except SerError:
            continue
        assert written.read_bytes() == content and written.is_relative_to(tmp_path / "to")


@pytest.fixture
def answering():
    """Serve one answer to every request, piece by piece."""
    sockets = []

    def start(head, pieces=(b"",), wait=None):
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(head)
                        for piece in pieces:
                            connection.sendall(piece)
                            if wait:
                                wait()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/x"

    yield start
    for listening in sockets:
        listening.close()


OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("head", "match"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://[::bad/\r\nContent-Length: 0\r\n\r\n", "no answer"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://" + b"a" * 300 + b"/\r\nContent-Length: 0\r\n\r\n", "no answer"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", "no answer"),
        (OK + b"Content-Length: 999999\r\n\r\n", "wrong size: 999999 bytes, expected 7; the download was removed"),
        (b"no http\r\n\r\n", "no answer"),
    ],
)
def test_answers_that_are_none_are_one_line(answering, tmp_path, head, match):
    with pytest.raises(SerError, match=match):
        fetch.download(Download(url=answering(head), filename="x", size=7), tmp_path, progress=False)
    assert not (tmp_path / "x").exists()


def test_more_than_was_published_stops_the_download(answering, tmp_path):
    url = answering(OK + b"Content-Length: abc\r\n\r\n", [b"x" * 100_000] * 50)
    with pytest.raises(SerError, match=r"wrong size: \d{3,6} bytes or more, expected 276"):
        fetch.download(Download(url=url, filename="x", size=276), tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_server_that_drips_is_not_waited_for(answering, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_TIMEOUT_S", 0.2)
    url = answering(OK + b"\r\n", [b"x"] * 100, wait=lambda: threading.Event().wait(0.05))
    with pytest.raises(SerError, match=r"bytes came in 0 s; the same command goes on"):
        fetch.download(Download(url=url, filename="x", size=276), tmp_path, progress=False)


# Stores


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The features of EmoDB in a store of their own."""
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    table, source = features.load("emodb", "egemaps"), features.location("emodb", "egemaps")
    facts = files.read_metadata(source)
    clips = corpora.table("emodb")
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))

    def call(change, metadata=facts):
        files.write_parquet(change(table), tmp_path / "results/features/emodb.egemaps.parquet", metadata)
        return features.load("emodb", "egemaps", clips)

    return call


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.iloc[:, 1:], "its 87 columns are not 'egemaps'"),
        (lambda t: t.assign(extra=1.0), "its 89 columns are not 'egemaps'"),
        (lambda t: t.rename(columns={t.columns[0]: "other"}), "columns are not 'egemaps'"),
        (lambda t: t[t.columns[::-1]], "in another order"),
        (lambda t: t.astype({t.columns[3]: "str"}), "holds no numbers"),
        (lambda t: t.iloc[1:], "clips are not the 535"),
    ],
)
def test_stores_of_another_shape_are_refused(stored, change, match):
    assert stored(lambda t: t).shape == (535, 88)
    with pytest.raises(SerError, match=match):
        stored(change)


def test_notes_that_are_none_are_refused(stored, tmp_path):
    stored(lambda t: t)
    path = tmp_path / "results/features/emodb.egemaps.parquet"
    import pyarrow.parquet as pq

    for notes in (b"{", b"[]", b"\xff"):
        pq.write_table(pq.read_table(path).replace_schema_metadata({b"ser_core": notes}), path)
        with pytest.raises(SerError, match="its notes are"):
            files.read_metadata(path)


def test_a_published_table_that_was_corrected_is_read_again(tmp_path, monkeypatch):
    for variable in ("SER_CACHE", "SER_RESULTS"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    clips = corpora.clips.validate(
        pd.DataFrame({"corpus": punjabi.CORPUS, "language": "pa", "emotion": "sad"}, index=["punjabi_elc/a/b"])
    )
    columns = features.get(punjabi.EXTRACTOR).columns
    folder, row = tmp_path / "in", {"relative_path": "a\\b.wav"} | dict.fromkeys(columns, 1.5)
    folder.mkdir()

    def extract(value):
        pd.DataFrame([row | {columns[3]: value}]).to_csv(folder / punjabi.FILE, index=False)
        features.extract(punjabi.CORPUS, punjabi.EXTRACTOR, folder=folder, clips=clips, progress=False)
        return float(features.load(punjabi.CORPUS, punjabi.EXTRACTOR, clips)[columns[3]].iloc[0])

    assert (extract(1.5), extract(-2.25)) == (1.5, -2.25)
    with pytest.raises(SerError, match=f"'-358,5' of clip 'punjabi_elc/a/b', column '{columns[3]}', is no number"):
        extract("-358,5")


def test_vectors_that_are_damaged_or_no_numbers_are_refused(tmp_path):
    from scipy.io import savemat

    place = tmp_path / "Feats - Urdu" / f"{urdu_sindhi.SETS[0]} funcs" / "Matfiles"
    place.mkdir(parents=True)
    path = place / "Angry_0001.mat"
    savemat(path, {"x": np.array([1.0, np.nan])})
    with pytest.raises(SerError, match="not finite numbers"):
        urdu_sindhi.read(tmp_path, "Urdu", urdu_sindhi.SETS[0])
    savemat(path, {"x": np.arange(500.0)}, do_compression=True)
    whole = path.read_bytes()
    for at in range(128, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with pytest.raises(SerError):
            urdu_sindhi.read(tmp_path, "Urdu", urdu_sindhi.SETS[0])


def test_folds_of_ones_own_say_what_they_leave_out(tmp_path):
    clips, path = synthetic.clips(), tmp_path / "folds.CSV"
    made = splits.make(clips, "speaker", n_folds=2, dev=False)
    made.to_csv(path, index=False)
    assert splits.read(path, clips).attrs["notes"] == []
    part = made[made["fold"] == 0].iloc[3:]
    part.to_csv(path, index=False)
    (note,) = splits.read(path, clips).attrs["notes"]
    assert note.startswith(f"3 of {len(clips)} clips are in no part of folds.CSV")
    pd.concat([made, made.iloc[:1]]).to_csv(path, index=False)
    with pytest.raises(SerError, match="stands twice in fold 0"):
        splits.read(path, clips)
    made.assign(fold="1e30").to_csv(path, index=False)
    with pytest.raises(SerError, match="fold 1e30 is too large"):
        splits.read(path, clips)


# What is shown


def test_names_of_others_do_not_become_pages_or_act_on_a_terminal(capsys):
    cell = glue.markdown([{"name": "<script>alert(1)</script>|<https://a.b>"}]).splitlines()[-1]
    assert cell == r"| &lt;script>alert(1)&lt;/script>\|<https://a.b> |"
    assert _code("a`<b>`\x1b") == r"`` a`<b>`\x1b ``"
    with pytest.raises(SystemExit):
        cli._fail("a\x1b[2J\u202e" + "x" * 5_000 + "end")
    line = capsys.readouterr().err
    assert line.startswith(r"ser: a\x1b[2J\u202exxx") and line.endswith("end\n") and len(line) < 1_100


def test_two_that_do_the_same_wait_for_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    order, inside, told = [], threading.Event(), threading.Event()

    def first():
        with files.alone("x"):
            inside.set()
            told.wait(20)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(20)
    with files.alone("x", note=lambda line: (order.append(line), told.set())):
        order.append("second")
    thread.join()
    assert order == ["waiting for another process that makes: x", "first", "second"]


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(SerError, match=r"a.csv: cannot be written \(\[Errno 28\] No space left on device\)"):
        with files.replacing(tmp_path / "a.csv"):
            raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_had_begun_to_write_is_removed_by_the_next(tmp_path):
    target = tmp_path / "a.txt"
    begin = f"held = {files.__name__}.replacing(pathlib.Path({str(target)!r})); held.__enter__(); os._exit(9)"
    subprocess.run([sys.executable, "-c", f"import os, pathlib, {files.__name__}; {begin}"], check=False)
    (begun,) = tmp_path.iterdir()
    with files.replacing(target) as mine, files.replacing(target) as other:  # of a process that runs: both stay
        assert not begun.exists() and mine.exists() and other.exists()
        mine.write_text("1"), other.write_text("2")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
