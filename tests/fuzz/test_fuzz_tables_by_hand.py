"""Tables by hand: predictions, corpora of one's own, and commands on them that cannot be done."""

import json
import re
import zlib

import numpy as np
import pandas as pd
import pytest
import soundfile
from byhand import each, table
from outcomes import told, tried
from predictions import system

from ser_core.data import corpora

# Predictions: the file as it is written, of a kind that its name tells.

HEAD = "clip,speaker,truth,prediction\n"
GOOD = "".join(f"c{i},s{i % 6},{'sad' if i % 2 else 'angry'},{'sad' if i % 3 else 'angry'}\n" for i in range(12))
ROWS = [dict(zip(HEAD.strip().split(","), line.split(","), strict=True)) for line in GOOD.splitlines()]
REFUSED_CSV = table(
    r"""
    no header          | c1,s1,sad,sad\nc2,s2,angry,sad
    only a header      | clip,speaker,truth,prediction
    only blanks        | \n\n   \n
    a word             | hello
    markup             | <html><body>Not found</body></html>
    a pointer of LFS   | version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12
    JSON in a CSV      | {"clip": "c1", "truth": "sad"}
    no clip            | speaker,truth,prediction\ns1,sad,sad
    no truth           | clip,speaker,prediction\nc1,s1,sad
    no prediction      | clip,speaker,truth\nc1,s1,sad
    truth twice        | clip,truth,truth,prediction\nc1,sad,sad,sad
    prediction twice   | clip,truth,prediction,prediction\nc1,sad,sad,angry
    two truths         | clip,y_true,label,prediction\nc1,sad,sad,sad
    a cell more        | clip,speaker,truth,prediction\nc1,s1,sad,sad,0.9\nc2,s2,angry,angry,0.8
    two cells more     | clip,truth,prediction\nc1,sad,sad,1,2
    a comma unquoted   | clip,truth,prediction\na,b,sad,sad
    a quote left open  | clip,truth,prediction\n"c1,sad,sad\nc2,angry,sad
    semicolons, mixed  | clip,speaker;truth,prediction\nc1,s1;sad,sad
    truth empty        | clip,truth,prediction\nc1,,sad\nc2,sad,sad
    truth of blanks    | clip,truth,prediction\nc1,   ,sad\nc2,sad,sad
    answer empty       | clip,truth,prediction\nc1,sad,\nc2,angry,sad
    answer of blanks   | clip,truth,prediction\nc1,sad,  \nc2,angry,sad
    clip empty         | clip,truth,prediction\n,sad,sad\nc2,angry,sad
    clip of blanks     | clip,truth,prediction\n  ,sad,sad\nc2,angry,sad
    clip twice         | clip,truth,prediction\nc1,sad,sad\nc1,sad,sad
    clip twice, .wav   | clip,truth,prediction\nc1,sad,sad\nc1.wav,angry,sad
    clip twice, ./     | clip,truth,prediction\nc1,sad,sad\n./c1,angry,sad
    clip twice, case   | clip,truth,prediction\nC1,sad,sad\nc1,angry,sad
    class of case      | clip,truth,prediction\nc1,sad,Sad\nc2,angry,angry
    class of blank     | clip,truth,prediction\nc1,sad,sad\nc2,sad ,sad\nc3,angry,angry
    class of no-break  | clip,truth,prediction\nc1,sad,sad\nc2,sad\u00a0,sad\nc3,angry,angry
    class of zero wide | clip,truth,prediction\nc1,sad,sad\nc2,sa\u200bd,sad\nc3,angry,angry
    class of NFD       | clip,truth,prediction\nc1,f\u00e9,fe\u0301\nc2,angry,angry
    class of full wide | clip,truth,prediction\nc1,sad,\uff53\uff41\uff44\nc2,angry,angry
    class of number    | clip,truth,prediction\nc1,1,1.0\nc2,2,2.0
    class of zeros     | clip,truth,prediction\nc1,01,1\nc2,02,2
    index for a word   | clip,truth,prediction\nc1,sad,0\nc2,angry,1
    LABEL_0            | clip,truth,prediction\nc1,sad,LABEL_0\nc2,angry,LABEL_1
    another language   | clip,truth,prediction\nc1,sad,\u60b2\u4f24\nc2,angry,\u6124\u6012
    three letters      | clip,truth,prediction\nc1,sadness,sad\nc2,anger,ang
    truth nan          | clip,truth,prediction\nc1,nan,sad\nc2,sad,sad
    answer None        | clip,truth,prediction\nc1,sad,None\nc2,sad,sad\nc3,angry,angry
    speaker nan        | clip,speaker,truth,prediction\nc1,nan,sad,sad\nc2,s2,angry,angry
    speaker of case    | clip,speaker,truth,prediction\nc1,S1,sad,sad\nc2,s1,angry,angry
    speaker of zeros   | clip,speaker,truth,prediction\nc1,01,sad,sad\nc2,1,angry,angry
    speaker of blank   | clip,speaker,truth,prediction\nc1,s 1,sad,sad\nc2,s  1,angry,angry
    seed of text       | clip,seed,truth,prediction\nc1,x,sad,sad\nc2,0,angry,angry
    seed of half       | clip,seed,truth,prediction\nc1,0.5,sad,sad\nc2,0,angry,angry
    seed too large     | clip,seed,truth,prediction\nc1,99999999999999999999999,sad,sad\nc2,0,angry,angry
    seed infinite      | clip,seed,truth,prediction\nc1,inf,sad,sad\nc2,0,angry,angry
    seed empty         | clip,seed,truth,prediction\nc1,,sad,sad\nc2,0,angry,angry
    fold infinite      | clip,fold,truth,prediction\nc1,1e300,sad,sad\nc2,0,angry,angry
    fold of text       | clip,fold,truth,prediction\nc1,first,sad,sad\nc2,0,angry,angry
    truths of seeds    | clip,seed,truth,prediction\nc1,0,sad,sad\nc2,0,angry,sad\nc1,1,angry,sad\nc2,1,sad,sad
    speakers of seeds  | clip,seed,speaker,truth,prediction\nc1,0,a,x,x\nc2,0,b,y,x\nc1,1,b,x,x\nc2,1,b,y,x
    p over one         | clip,truth,prediction,p_sad,p_angry\nc1,sad,sad,1.2,-0.2\nc2,angry,angry,0.1,0.9
    p sum below one    | clip,truth,prediction,p_sad,p_angry\nc1,sad,sad,0.2,0.2\nc2,angry,angry,0.1,0.9
    p in percent       | clip,truth,prediction,p_sad,p_angry\nc1,sad,sad,80,20\nc2,angry,angry,10,90
    p of text          | clip,truth,prediction,p_sad,p_angry\nc1,sad,sad,high,low\nc2,angry,angry,0.1,0.9
    p empty            | clip,truth,prediction,p_sad,p_angry\nc1,sad,sad,,0.5\nc2,angry,angry,0.1,0.9
    p nan              | clip,truth,prediction,p_sad,p_angry\nc1,sad,sad,nan,1\nc2,angry,angry,0.1,0.9
    p infinite         | clip,truth,prediction,p_sad,p_angry\nc1,sad,sad,inf,0\nc2,angry,angry,0.1,0.9
    p with a comma     | clip,truth,prediction,p_sad,p_angry\nc1,sad,sad,"0,8","0,2"\nc2,angry,angry,"0,1","0,9"
    p of one class     | clip,truth,prediction,p_sad\nc1,sad,sad,0.8\nc2,angry,angry,0.1
    p of no class      | clip,truth,prediction,p_sad,p_angry,p_\nc1,sad,sad,0.8,0.1,0.1\nc2,angry,angry,0.1,0.9,0
    p_value            | clip,truth,prediction,p_sad,p_value\nc1,sad,sad,0.8,0.04\nc2,sad,sad,0.9,0.03
    p of case          | clip,truth,prediction,p_Sad,p_Angry\nc1,sad,sad,0.8,0.2\nc2,angry,angry,0.1,0.9
    p in logs          | clip,truth,prediction,p_sad,p_angry\nc1,sad,sad,-0.2,-1.6\nc2,angry,angry,-2.3,-0.1
    p in other order   | clip,truth,prediction,p_sad,p_angry\nc1,sad,sad,0.1,0.9\nc2,angry,angry,0.8,0.2
    an escape          | clip,truth,prediction\nc1,sad\x1b[2J,sad\x1b[2J\nc2,angry,angry
    a forged line      | clip,truth,prediction\nc1,"sad\nUAR 1.000","sad\nUAR 1.000"\nc2,angry,angry
    written backwards  | clip,truth,prediction\nc1,\u202edas,\u202edas\nc2,angry,angry
    numbers, 40 values | clip,truth,prediction\n"""
    + r"\n".join(f"c{i},{i / 7:.3f},{i / 7 + 0.01:.3f}" for i in range(40))
)


@each(REFUSED_CSV)
def test_a_csv_that_is_no_predictions(ser, tmp_path, given):
    (tmp_path / "p.csv").write_text(given, encoding="utf-8")
    assert not told("predictions", ser("score", tmp_path / "p.csv", "--resamples", 100))


def lines(rows):
    return "\n".join(json.dumps(row) for row in rows)


OTHER_FILES = {
    "JSON lines cut": ("p.jsonl", lines(ROWS)[:-9]),
    "JSON lines of lists": ("p.jsonl", "[1, 2]\n[3, 4]"),
    "JSON lines of other keys": ("p.jsonl", lines([ROWS[0], {"a": 1}])),
    "JSON lines, nested": ("p.jsonl", lines([row | {"truth": ["sad"]} for row in ROWS])),
    "JSON lines, mappings": ("p.jsonl", lines([row | {"prediction": {"label": "sad"}} for row in ROWS])),
    "JSON lines, null": ("p.jsonl", lines([row | {"truth": None} for row in ROWS])),
    "JSON lines, a key twice": ("p.jsonl", lines(ROWS).replace('"truth"', '"truth": "x", "truth"')),
    "JSON lines, NaN": ("p.jsonl", lines([row | {"truth": float("nan")} for row in ROWS])),
    "JSON lines, empty": ("p.jsonl", ""),
    "JSON, deep": ("p.jsonl", "[" * 5_000 + "]" * 5_000),
    "TSV, ragged": ("p.tsv", HEAD.replace(",", "\t") + "c1\ts1\tsad\tsad\textra\n"),
    "text": ("p.txt", HEAD + GOOD),
    "no ending": ("p", HEAD + GOOD),
    "utf-16": ("p.csv", (HEAD + GOOD).encode("utf-16")),
    "latin-1": ("p.csv", (HEAD + GOOD).replace("sad", "f\xe9").encode("latin-1")),
    "a null byte": ("p.csv", HEAD + GOOD.replace("sad", "s\x00d", 1)),
    "gzip": ("p.csv", zlib.compress((HEAD + GOOD).encode())),
    "a picture": ("p.csv", b"\x89PNG\r\n\x1a\n" + bytes(60)),
    "a wav": ("p.csv", b"RIFF\x00\x00\x00\x00WAVE" + bytes(60)),
    "parquet of nothing": ("p.parquet", b""),
    "parquet of a CSV": ("p.parquet", HEAD + GOOD),
    "parquet's first half": ("p.parquet", b"PAR1" + bytes(90)),
    "a hundred thousand cells": ("p.csv", HEAD + "c1," + "x," * 100_000),
}


@each(OTHER_FILES)
def test_a_file_of_another_kind_is_no_predictions(ser, tmp_path, given):
    name, content = given
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert not told("predictions", ser("score", tmp_path / name, "--resamples", 100))


FRAME = pd.DataFrame(ROWS)
FRAMES = {
    "lists": FRAME.assign(truth=[[one] for one in FRAME["truth"]]),
    "mappings": FRAME.assign(truth=[{"a": one} for one in FRAME["truth"]]),
    "dates": FRAME.assign(truth=pd.Timestamp("2024-01-01")),
    "a seed of dates": FRAME.assign(seed=pd.Timestamp("2024-01-01")),
    "lists of speakers": FRAME.assign(speaker=[[one] for one in FRAME["speaker"]]),
    "whole and broken numbers": FRAME.assign(truth=FRAME.index % 2, prediction=(FRAME.index % 2) * 1.5),
    "truth values against words": FRAME.assign(prediction=FRAME["prediction"] == "sad"),
    "complex": FRAME.assign(p_sad="1+2j", p_angry="0"),
    "no rows": FRAME.head(0),
    "no columns": FRAME[[]],
    "columns of numbers": FRAME.set_axis(["0", "1", "2", "3"], axis=1),
}


@each(FRAMES)
def test_a_parquet_of_other_types_is_no_predictions(ser, tmp_path, given):
    given.to_parquet(tmp_path / "p.parquet")
    assert not told("predictions", ser("score", tmp_path / "p.parquet", "--resamples", 100))


# Two systems side by side.

BASE = system(clips=24, speakers=6)
OTHERS = {
    "other clips": BASE.assign(clip=BASE["clip"] + "x"),
    "fewer clips": BASE.head(20),
    "other truths": BASE.assign(truth=BASE["truth"].iloc[::-1].to_numpy()),
    "other speakers": BASE.assign(speaker=BASE["speaker"].iloc[::-1].to_numpy()),
    "no speakers": BASE.drop(columns="speaker"),
    "a speaker missing": BASE.assign(speaker=BASE["speaker"].mask(BASE.index == 3)),
    "other words": BASE.replace({"truth": {"sad": "gloomy"}, "prediction": {"sad": "gloomy"}}),
    "other case": BASE.assign(truth=BASE["truth"].str.upper(), prediction=BASE["prediction"].str.upper()),
    "three speakers": BASE.assign(speaker="s" + (BASE.index % 3).astype(str)),
}


@each(OTHERS)
@pytest.mark.parametrize("turned", [False, True], ids=["second", "first"])
def test_two_tables_that_do_not_belong_together(ser, tmp_path, given, turned):
    for name, one in zip("ab", (given, BASE) if turned else (BASE, given), strict=True):
        one.to_csv(tmp_path / f"{name}.csv", index=False)
    done = ser("compare", tmp_path / "a.csv", tmp_path / "b.csv", "--resamples", 100)
    # Few speakers are no fault of the tables: then no interval is given, and why.
    assert not told("two systems", done) or "fewer than 5" in done.out, done.out


# Corpora of one's own, and folds of them.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("own")
    for i in range(6):
        soundfile.write(made / f"{i}.wav", 0.1 * (i + 1) * np.sin(np.arange(1600) / (4 + i)), 16_000)
    return made


REFUSED_CORPORA = table(
    r"""
    no path             | emotion,speaker\nsad,a
    no emotion          | path,speaker\n0.wav,a
    no speaker          | path,emotion\n0.wav,sad
    other heads         | file,label,person\n0.wav,sad,a
    heads of case       | Path,Emotion,Speaker\n0.wav,sad,a
    path twice          | path,path,emotion,speaker\n0.wav,1.wav,sad,a
    semicolons          | path;emotion;speaker\n0.wav;sad;a
    tabs                | path\temotion\tspeaker\n0.wav\tsad\ta
    a cell more         | path,emotion,speaker\n0.wav,sad,a,x
    no rows             | path,emotion,speaker
    nothing there       | path,emotion,speaker\nx.wav,sad,a\ny.wav,angry,b
    all emotions empty  | path,emotion,speaker\n0.wav,,a\n1.wav,,b
    a gender of nobody  | path,emotion,speaker,gender\n0.wav,sad,a,kz
    a gender of case    | path,emotion,speaker,gender\n0.wav,sad,a,Female
    segments            | path,emotion,speaker,start,end\n0.wav,sad,a,0,1
    emotion of case     | path,emotion,speaker\n0.wav,sad,a\n1.wav,Sad,b
    emotion of no-break | path,emotion,speaker\n0.wav,sad,a\n1.wav,sa\u200bd,b
    speaker of case     | path,emotion,speaker\n0.wav,sad,Anna\n1.wav,sad,anna
    speaker of zeros    | path,emotion,speaker\n0.wav,sad,01\n1.wav,sad,1
    speaker of 1.0      | path,emotion,speaker\n0.wav,sad,1.0\n1.wav,sad,1
    speaker of NFD      | path,emotion,speaker\n0.wav,sad,\u00e9\n1.wav,sad,e\u0301
    sentence of case    | path,emotion,speaker,sentence\n0.wav,sad,a,T1\n1.wav,sad,b,t1
    language of case    | path,emotion,speaker,language\n0.wav,sad,a,EN\n1.wav,sad,b,en
    clip of case        | path,emotion,speaker,clip\n0.wav,sad,a,X\n1.wav,sad,b,x
    an escape           | path,emotion,speaker\n0.wav,sad\x1b[31m,a
    a name that acts    | path,emotion,speaker\n0.wav,sad,\u202ea
    a line break        | path,emotion,speaker\n0.wav,"sa\nd",a
    a null byte         | path,emotion,speaker\n0.wav,sa\x00d,a
    a quote left open   | path,emotion,speaker\n"0.wav,sad,a
    markup              | <html></html>
    a word              | hello
    two clips, one name | path,emotion,speaker,clip\n0.wav,sad,a,x\n1.wav,angry,b,x
    """
)


@each(REFUSED_CORPORA)
def test_a_csv_that_is_no_corpus(ser, folder, given):
    (folder / "bad.csv").write_text(given, encoding="utf-8")
    assert not told("own corpora", ser("audit", folder / "bad.csv"))


TOLD_CORPORA = table(
    r"""
    missing file         | nowhere.wav,sad,a,
    missing speaker      | 0.wav,sad,,
    missing emotion      | 0.wav,,a,
    missing path         | ,sad,a,
    listed twice         | 1.wav,sad,b,
    listed twice         , other emotion | 1.wav,angry,c,
    odd speaker          | 0.wav,sad,nan,
    odd emotion          | 0.wav,None,a,
    contradicting gender | 0.wav,sad,b,female
    missing file         , other slash | b\\0.wav,sad,a,
    missing file         , an address | https://x.org/0.wav,sad,a,
    missing file         , a folder | .,sad,a,
    missing file         , out of a folder | ../../../0.wav,sad,a,
    """
)


@pytest.mark.parametrize("kind", TOLD_CORPORA)
def test_a_row_of_a_corpus_that_is_kept_or_left_out_is_told(folder, kind):
    rest = "1.wav,sad,b,male\n2.wav,angry,b,male\n3.wav,sad,c,male\n4.wav,angry,c,male\n"
    (folder / "odd.csv").write_text(
        "path,emotion,speaker,gender\n" + rest + TOLD_CORPORA[kind] + "\n", encoding="utf-8"
    )
    reading = tried("own corpora", corpora.local.read, folder / "odd.csv")
    assert kind.partition(",")[0].strip() in set(reading.problems["problem"]), reading.problems.to_dict("records")


# What is scored, with a word on what is odd: the score and the word are checked.

TOLD_CSV = table(
    r"""
    clips of seeds   : 0.750 : not predicted by every | clip,seed,truth,prediction\nc1,0,x,x\nc2,0,y,x\nc3,1,x,x
    a class unasked  : 0.500 : No clip has the class happy | clip,truth,prediction\nc1,sad,sad\nc2,angry,happy
    no speakers      : 1.000 : name no speakers | clip,truth,prediction\nc1,sad,sad\nc2,angry,angry
    few speakers     : 1.000 : 2 speakers, fewer than 5 | clip,speaker,truth,prediction\nc1,a,sad,sad\nc2,b,angry,angry
    heads of others  : 1.000 : 'y_true' is taken for the truth | file,y_true,y_pred\nc1,sad,sad\nc2,angry,angry
    semicolons       : 1.000 : name no speakers | clip;truth;prediction\nc1;sad;sad\nc2;angry;angry
    a mark of order  : 1.000 : name no speakers | \ufeffclip,truth,prediction\nc1,sad,sad\nc2,angry,angry
    CRLF             : 1.000 : name no speakers | clip,truth,prediction\r\nc1,sad,sad\r\nc2,angry,angry\r\n
    blank lines      : 0.500 : name no speakers | clip,truth,prediction\n\nc1,sad,sad\n\n\nc2,angry,sad\n
    one class        : 0.500 : name no speakers | clip,truth,prediction\nc1,sad,sad\nc2,sad,angry
    NA is a name     : 1.000 : name no speakers | clip,truth,prediction\nc1,NA,NA\nc2,angry,angry
    """
)


@pytest.mark.parametrize("kind", TOLD_CSV)
def test_predictions_that_are_scored_are_scored_right(ser, tmp_path, kind):
    (tmp_path / "p.csv").write_text(TOLD_CSV[kind], encoding="utf-8")
    done = ser("score", tmp_path / "p.csv", "--resamples", 100)
    assert told("predictions", done), done.err
    _, uar, word = (part.strip() for part in kind.split(" : "))
    assert re.search(r"UAR +(\S+)", done.out)[1] == uar and word in done.out + done.err


# Command lines on a corpus of one's own, in a working folder; only its name and options are wrong.

LINES = """
study nowhere.csv | study | study own | study bad/own.csv --features atlantis | study bad/own.csv --out .
study ok/own.csv --jobs 0 | study ok/own.csv --features levels --features levels | study ok/own.csv --features ../x
study ok/own.csv --out ok/own.csv | audit ok/own.csv --out ok/own.csv | features ok/own.csv egemaps --out ok/own.csv
split ok/own.csv --out ok/own.csv | split ok/own.csv --n-folds 1 | split ok/own.csv --n-folds 99 | split nowhere.csv
split ok/own.csv --n-folds x | split ok/own.csv --seed -1 | split ok/own.csv --protocol atlantis | split
split ok/own.csv --protocol corpus | split ok/own.csv --labels atlantis | split ok/own.csv --out a.xlsx
transfer ok/own.csv --with atlantis | transfer ok/own.csv --with own | transfer ok/own.csv --labels native
transfer ok/own.csv --features atlantis | transfer nowhere.csv | transfer ok/own.csv --labels atlantis
report atlantis | report ../x | report /etc | report | report experiments/nowhere.yaml
compare | compare a.csv
compare nowhere.csv nowhere.csv | compare p.csv nowhere.csv | compare p.csv p.csv --format pdf
score p.csv --format pdf | score p.csv --column truth | score p.csv --column x=y | score p.csv --column truth=clip
score p.csv --column truth=prediction --column truth=truth | score p.csv --level 0.2 | score p.csv --resamples 99
score p.csv --out . | score p.csv --column truth=nothing | score p.csv --column seed=speaker | score p.csv p.csv
score p.csv --out p.csv | compare p.csv p.csv --out p.csv | score p.csv --format json --out nowhere/../p.csv
audit ok/own.csv --folder . | audit ok/own.csv --n-folds 9999999999 | audit ok/own.csv --protocol sentence
audit ok/own.csv --out a.xlsx | audit ok | audit ok/own.csv --folds ok/own.csv | audit ok/own.csv+emodb
card ok/own.csv --check --write | card ok/own.csv --folder . | card nowhere.csv | card ok | features ok/own.csv
features ok/own.csv atlantis | features ok/own.csv words | features ok/own.csv levels --out levels.json
features ok/own.csv levels --folder . | transcribe ok/own.csv --model atlantis
transcribe ok/own.csv --model base --window 0
transcribe ok/own.csv --model base --each age | transcribe ok/own.csv --model base --emotions gloomy
transcribe ok/own.csv --model base --keep | run ok/own.csv | run nowhere | run experiments
init . | init ok/own.csv | init lab ok --corpus ok/own.csv | init lab nowhere | init lab --speaker x
init lab ok --word 05| init lab ok --word =sad | init lab ok --word 05=a --word 05=b
verify-bundle p.csv | verify-bundle nowhere.zip | verify-bundle .
verify nowhere | verify --seed -1 | verify --jobs x
weights get ge2e --from nowhere | weights get ge2e --against nowhere --to x | weights put
"""


@pytest.fixture
def lab(tmp_path, monkeypatch, folder):
    for place in ("experiments", "results", "ok", "bad"):
        (tmp_path / place).mkdir()
    rows = [f"{folder}/{i}.wav,{('sad', 'angry')[i % 2]},s{i // 2}" for i in range(6)]
    for place in ("ok", "bad"):
        (tmp_path / place / "own.csv").write_text("\n".join(["path,emotion,speaker", *rows, ""]), encoding="utf-8")
    (tmp_path / "p.csv").write_text(HEAD + GOOD, encoding="utf-8")
    for name in ("SER_RESULTS", "SER_CACHE", "SER_DATA", "SER_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", [line.strip() for line in LINES.replace("\n", "|").split("|") if line.strip()])
def test_a_command_on_ones_own_that_cannot_be_done_leaves_all_as_it_was(ser, lab, line):
    before = {path: path.read_bytes() for path in lab.rglob("*") if path.is_file()}
    assert not told("command lines", ser(*line.split()))
    after = {path: path.read_bytes() for path in lab.rglob("*") if path.is_file()}
    # What the corpus was read into, and the experiment that a study asks for, are whole and stay.
    kept = ("results/clips/", ".cache/", "experiments/study-", "experiments/transfer-")
    made = {str(path.relative_to(lab)) for path in after if after[path] != before.get(path)}
    assert not {path for path in made if not path.startswith(kept)} and set(before) <= set(after)
