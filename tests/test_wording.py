"""Predictions whose score would be wrong in silence are refused; honest ones pass, and are scored as before."""

import unicodedata

import pandas as pd
import pytest
from predictions import system, with_probabilities

from ser_core.errors import SerError
from ser_core.evaluation import predictions, score_sheet, wording
from ser_core.files import csvfile, text


@pytest.fixture
def read(tmp_path):
    """Write predictions as CSV and parquet and read them back."""

    def call(table):
        table.to_parquet(tmp_path / "p.PARQUET", index=False)
        table.to_csv(tmp_path / "p.CSV", index=False)
        found = [predictions.read(tmp_path / name) for name in ("p.PARQUET", "p.CSV")]
        pd.testing.assert_frame_equal(*found)
        return found[0]

    return call


def renamed(column, change, every=7):
    """Predictions of which every seventh cell of a column is written otherwise."""
    table = system()
    return table.assign(**{column: table[column].mask(table.index % every == 0, table[column].map(change))})


WRITTEN_OTHERWISE = {
    "case": str.upper,
    "blank": lambda name: name + " ",
    "no-break space": lambda name: "\u00a0" + name,
    "zero-width space": lambda name: name[:2] + "\u200b" + name[2:],
    "full width": lambda name: "".join(chr(ord(c) + 0xFEE0) if "a" <= c <= "z" else c for c in name),
}


@pytest.mark.parametrize("column", ["truth", "prediction", "speaker", "clip"])
@pytest.mark.parametrize("change", WRITTEN_OTHERWISE.values(), ids=WRITTEN_OTHERWISE)
def test_one_name_written_in_two_ways_is_refused(column, change):
    table = renamed(column, change)
    if column == "clip":
        table = pd.concat([system(), renamed("clip", change).assign(seed=1)])
    with pytest.raises(SerError, match="differ only in case, blanks, coding .*; write them alike"):
        wording.check(table)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9"), True),
        # Gurmukhi KHHA, as one letter and as KHA with a dot: Unicode excludes it from composition.
        ("\u0a59\u0a41\u0a38\u0a3c", "\u0a16\u0a3c\u0a41\u0a38\u0a3c", True),
        ("Stra\u00dfe", "STRASSE", True),
        ("1", "1.0", True),
        ("01", "1", True),
        ("-1", "1", False),
        ("1.5", "1", False),
        ("s1", "s01", False),
        ("sad", "sadness", False),
        ("\u0633", "\u0635", False),
    ],
)
def test_what_counts_as_one_text(one, other, same):
    assert (text.key(one) == text.key(other)) is same
    assert bool(text.alike([one, other, one])) is same


def test_numbers_as_classes_must_be_of_one_kind(read):
    table = system().replace({"angry": 0, "happy": 1, "neutral": 2, "sad": 3}).astype({"truth": int, "prediction": int})
    right = (table["truth"] == table["prediction"]).mean()
    found = read(table)
    assert (found["truth"] == found["prediction"]).mean() == right
    with pytest.raises(SerError, match="the classes '0' and '0.0' differ only"):
        read(table.astype({"prediction": float}))


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"angry": "LABEL_0", "happy": "LABEL_1", "neutral": "LABEL_2", "sad": "LABEL_3"}, "no answer is a class"),
        ({"angry": "0", "happy": "1", "neutral": "2", "sad": "3"}, "no answer is a class"),
        ({"angry": "anger"}, "'angry' is a class of the truth and never an answer, 'anger' is an answer"),
        ({"neutral": "neu"}, "'neutral' is a class of the truth"),
        ({"angry": "\u751f\u6c14/angry", "sad": "\u96be\u8fc7/sad"}, "'angry' is a class of the truth"),
        ({"angry": "W", "happy": "F", "neutral": "N"}, r"answers are \['F', 'N', 'W'\], which no clip is in truth"),
    ],
)
def test_answers_in_other_words_are_refused(words, match):
    with pytest.raises(SerError, match=match):
        wording.check(system().replace({"prediction": words}))


def test_honest_answers_pass():
    table = system()
    wording.check(table[table["truth"] == "sad"])
    wording.check(table.assign(prediction="sad"))
    wording.check(table.replace({"prediction": {"neutral": "calm"}}))
    wording.check(with_probabilities().query("truth != 'sad'"))


@pytest.mark.parametrize("name", ["nan", "NaN", "<NA>", "None"])
@pytest.mark.parametrize("column", ["truth", "prediction", "speaker"])
def test_words_of_libraries_for_missing_values_are_no_names(column, name):
    table = system()
    with pytest.raises(SerError, match=f"'{column}' holds the text '{name}'"):
        wording.check(table.assign(**{column: table[column].mask(table.index == 3, name)}))


def test_blanks_escapes_and_regressions_are_no_classes():
    table = system()
    with pytest.raises(SerError, match="'speaker' holds blanks only"):
        wording.check(table.assign(speaker=table["speaker"].mask(table.index < 9, "  ")))
    with pytest.raises(SerError, match=r"holds control characters: '\\x1b\[2Jsad'"):
        wording.check(table.replace({"truth": {"sad": "\x1b[2Jsad"}}))
    with pytest.raises(SerError, match=r"the class '0\.\d+' is a number between whole ones, as of a regression"):
        values = [f"{i / 480:.4f}" for i in range(480)]
        wording.check(table.assign(truth=values, prediction=values))


def test_seeds_must_agree_on_truth_and_speaker(read):
    table = system(seeds=2)
    other = table["seed"] == 1
    read(table)
    with pytest.raises(SerError, match=r"more than one speaker: \['toy/s00', 'toy/s00x'\], in 480 clips"):
        read(table.assign(speaker=table["speaker"].mask(other, table["speaker"] + "x")))
    turned = {"angry": "sad", "sad": "angry"}
    with pytest.raises(SerError, match="more than one truth"):
        read(table.assign(truth=table["truth"].mask(other, table["truth"].replace(turned))))
    half = table[~other | (table.index % 2 == 0)]
    assert "240 of 480 clips are not predicted by every seed" in score_sheet.sheet(read(half), n_resamples=200)


def test_seeds_of_64_bits_are_told_apart(read):
    table = system(seeds=2)
    names = {0: 1, 1: 2**32 + 1}
    found = read(table.assign(seed=table["seed"].map(names)))
    assert set(found["seed"]) == set(names.values())
    large = table.assign(seed=(table["seed"].astype("uint64") + (2**64 - 9)))
    assert set(read(large)["seed"]) == {2**64 - 9, 2**64 - 8}
    assert read(table)["seed"].dtype == "int32"  # as stored Runs have it
    with pytest.raises(SerError, match="expected at most 64 bits"):
        predictions.arrange(table.assign(seed=table["seed"].map({0: 0, 1: 10**30})))


def test_probabilities_in_another_order_are_refused_and_few_are_noted(tmp_path):
    table = with_probabilities()
    names = [name for name in table if name.startswith("p_")]
    wording.check(table)
    with pytest.raises(SerError, match="of 200 rows the prediction is not the class with the largest probability"):
        wording.check(table.rename(columns=dict(zip(names, names[1:] + names[:1], strict=True))))
    few = table.assign(prediction=table["prediction"].mask(table.index < 5, table["truth"]))
    n = int((few["prediction"] != table["prediction"]).sum())
    assert wording.notes(few) == [f"in {n} of 200 rows the prediction is not the class with the largest p_"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("clip,speaker,truth,prediction\nc1,s1,happy,happy,0.9\n", "line 2 has 5 cells, the header 4"),
        ("clip,truth,prediction,truth\na,sad,sad,sad\n", "the column 'truth' stands more than once"),
        ('clip,truth,prediction\n"a\nb",sad,sad\nc,sad,sad,\n', "line 4 has 4 cells, the header 3"),
        ("clip,truth,prediction\na,sad,sad\n".encode("utf-16"), "not in UTF-8 at byte 0"),
    ],
)
def test_cells_that_do_not_fit_the_header_are_refused(tmp_path, content, match):
    path = tmp_path / "p.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SerError, match=match):
        predictions.read(path)


def test_lists_dates_and_structures_are_no_words(tmp_path):
    path = tmp_path / "p.parquet"
    for column, value in (("truth", ["sad"]), ("truth", {"a": 1}), ("seed", pd.Timestamp("2024-01-01"))):
        system().assign(**{column: [value] * 480}).to_parquet(path, index=False)
        with pytest.raises(SerError, match=f"'{column}' holds"):
            predictions.read(path)


def test_lines_are_those_of_the_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('\ufeffa,b\r\n"1\n\n2",3\r\n \t\r\n4,5\r\n\r\n', encoding="utf-8", newline="")
    assert csvfile.lines(path) == [2, 6]
    assert csvfile.read(path).to_dict("list") == {"a": ["1\n\n2", "4"], "b": ["3", "5"]}
