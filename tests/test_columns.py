"""Predictions as other tools write them: forms of files, names of columns, and what is printed of them."""

import io
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from predictions import CLASSES, system, with_probabilities
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from ser_core.errors import SerError
from ser_core.evaluation import comparison_sheet, score_sheet
from ser_core.evaluation.predictions import read
from ser_core.files import datasets, page

TABLE = system().drop(columns="seed")


def same(found):
    expected = TABLE.sort_values("clip", ignore_index=True)
    pd.testing.assert_frame_equal(found[list(TABLE)].reset_index(drop=True), expected, check_dtype=False)


def jsonl(table, path):
    path.write_text("\n".join(json.dumps(row) for row in table.to_dict("records")))


FORMATS = ("text", "json", "html")
FORMS = {
    "a.tsv": lambda table, path: table.to_csv(path, sep="\t", index=False),
    "b.csv": lambda table, path: table.to_csv(path, sep=";", index=False),
    "C.CSV": lambda table, path: table.to_csv(path, index=False, encoding="utf-8-sig"),
    "d.jsonl": jsonl,
    "e.json": lambda table, path: path.write_text(json.dumps(table.to_dict("records"))),
    "f.parquet": lambda table, path: table.to_parquet(path),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read_as_the_same_table(tmp_path, name):
    FORMS[name](TABLE, tmp_path / name)
    same(read(tmp_path / name))


def test_standard_input_is_read(monkeypatch):
    for text in (TABLE.to_csv(index=False), "\n".join(json.dumps(row) for row in TABLE.to_dict("records"))):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        same(read("-"))


def features():
    label = {"_type": "ClassLabel", "names": CLASSES}
    return {"clip": {"_type": "Value", "dtype": "string"}, "truth": label, "prediction": label}


def coded():
    number = {name: i for i, name in enumerate(CLASSES)}
    return TABLE.assign(truth=TABLE["truth"].map(number), prediction=TABLE["prediction"].map(number))


def test_a_folder_that_datasets_saved_has_its_class_names(tmp_path):
    # The layout of `Dataset.save_to_disk`: Arrow streams in parts, and dataset_info.json.
    half = len(TABLE) // 2
    for number, part in enumerate((coded().iloc[:half], coded().iloc[half:])):
        table = pa.Table.from_pandas(part, preserve_index=False)
        with pa.ipc.new_stream(tmp_path / f"data-{number:05}-of-00002.arrow", table.schema) as stream:
            stream.write_table(table)
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": features()}))
    same(read(tmp_path))


def test_parts_of_a_dataset_are_alike_and_its_cache_is_none_of_them(tmp_path):
    def part(name, table):
        with pa.ipc.new_stream(tmp_path / name, table.schema) as stream:
            stream.write_table(table)

    part("data-00000-of-00001.arrow", pa.Table.from_pandas(TABLE, preserve_index=False))
    part("cache-1b3f.arrow", pa.table({"clip": [1]}))
    same(read(tmp_path))
    part("data-00001-of-00001.arrow", pa.table({"clip": [1]}))
    with pytest.raises(SerError, match=r"not a readable dataset \(Schema at index 1 was different\)"):
        read(tmp_path)


def test_json_keeps_what_a_text_or_a_gap_would_change(tmp_path):
    rows = [{"clip": f"c{i}\u2028\x85", "truth": i, "prediction": i, "speaker": i or None} for i in (0, 1)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    table = datasets.read(path)
    assert table["clip"].tolist() == [row["clip"] for row in rows] and table["speaker"].tolist() == [None, 1]
    path.write_text("\n".join(json.dumps(row | {"clip": i, "fold": i}) for i, row in enumerate(rows)))
    found = read(path)
    assert found["speaker"].tolist()[1:] == ["1"] and found["fold"].tolist() == [0, 1] and found["speaker"].isna()[0]


def test_parquet_of_datasets_has_its_class_names_and_paths_of_recordings(tmp_path):
    audio = [{"bytes": None, "path": clip} for clip in TABLE["clip"]]
    table = pa.Table.from_pandas(coded().assign(clip=audio), preserve_index=False)
    noted = {b"huggingface": json.dumps({"info": {"features": features()}}).encode()}
    pq.write_table(table.replace_schema_metadata(noted), tmp_path / "0.parquet")
    same(read(tmp_path / "0.parquet"))
    same(read(tmp_path))


def test_a_dict_of_splits_and_a_folder_of_nothing_are_refused(tmp_path):
    with pytest.raises(SerError, match="no .parquet and no .arrow file"):
        datasets.read(tmp_path)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["test"]}')
    (tmp_path / "test").mkdir()
    with pytest.raises(SerError, match=r"holds the splits \['test'\]; name one of them"):
        datasets.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[1, 2]", "expected an object a line, or a list of objects"),
        ("b.jsonl", '{"clip": ', "not valid JSON"),
        ("c.csv", b"clip\xff\xfe", "not in UTF-8"),
        ("d.xlsx", "", "not from '.xlsx'"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SerError, match=message):
        datasets.read(tmp_path / name)


def renamed(**names):
    return TABLE.rename(columns=names)


@pytest.mark.parametrize(
    "table",
    [
        renamed(clip="file", truth="emotion", prediction="predictions"),  # nkululeko
        renamed(clip="filename", truth="y_true", prediction="y_pred", speaker="spk"),
        renamed(clip=" Clip", truth="Truth", prediction="Prediction "),
    ],
)
def test_usual_names_of_columns_are_known_and_told(tmp_path, table):
    told = []
    table.to_csv(tmp_path / "a.csv", index=False)
    same(read(tmp_path / "a.csv", note=told.append))
    assert len(told) == 1 and "is taken for the truth" in told[0]


def test_columns_are_named_where_they_are_not_known(tmp_path, ser):
    odd = renamed(clip="wav", truth="gold standard", prediction="our answer")
    odd.to_csv(tmp_path / "a.csv", index=False)
    done = ser("score", tmp_path / "a.csv")
    assert done.code == 2 and "say which is which by --column clip=NAME" in done.err and done.err.count("\n") == 1
    given = {"clip": "wav", "truth": "gold standard", "prediction": "our answer"}
    same(read(tmp_path / "a.csv", given))
    for wrong, message in (({"clip": "x"}, "there is no column 'x'"), ({"clap": "wav"}, "'clap' is no column that")):
        with pytest.raises(SerError, match=message):
            read(tmp_path / "a.csv", wrong)


def test_columns_may_be_given_crosswise_and_each_for_one(tmp_path):
    TABLE.rename(columns={"truth": "prediction", "prediction": "truth"}).to_csv(tmp_path / "a.csv", index=False)
    same(read(tmp_path / "a.csv", {"truth": "prediction", "prediction": "truth"}))
    with pytest.raises(SerError, match="one column of the table is given for two"):
        read(tmp_path / "a.csv", {"clip": "clip", "speaker": "clip"})


def test_two_columns_that_may_be_the_truth_are_refused(tmp_path):
    TABLE.assign(label=TABLE["truth"]).rename(columns={"truth": "emotion"}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(SerError, match=r"\['emotion', 'label'\] may all be the column 'truth'; say which by --column"):
        read(tmp_path / "a.csv")
    same(read(tmp_path / "a.csv", {"truth": "label"}))


def test_an_audformat_table_of_segments_has_a_clip_a_segment(tmp_path):
    starts = pd.to_timedelta(np.arange(len(TABLE)) % 3, unit="s")
    table = TABLE.assign(file="a.wav", start=starts, end=starts + pd.to_timedelta(1, unit="s"))
    table["file"] = [f"{i // 3}.wav" for i in range(len(table))]
    table.drop(columns="clip").to_csv(tmp_path / "a.csv", index=False)
    found = read(tmp_path / "a.csv")
    assert len(found) == len(TABLE) and found["clip"].is_unique
    first = TABLE["truth"].iloc[4]
    assert found.loc[found["clip"] == "1.wav 0 days 00:00:01 0 days 00:00:02", "truth"].iloc[0] == first


def test_columns_named_as_the_classes_are_probabilities(tmp_path):
    table = with_probabilities()
    table.rename(columns=lambda name: name.removeprefix("p_")).to_csv(tmp_path / "a.csv", index=False)
    found = read(tmp_path / "a.csv").set_index("clip")
    for name in CLASSES:
        expected = table.set_index("clip")[f"p_{name}"].reindex(found.index)
        assert np.allclose(found[f"p_{name}"], expected, atol=1e-6)


def test_facts_are_those_of_scikit_learn(ser, tmp_path):
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    done = ser("score", tmp_path / "a.csv", "--format", "json", "--resamples", 200)
    found = json.loads(done.out)
    assert found["metrics"]["UAR"]["value"] == pytest.approx(
        balanced_accuracy_score(TABLE["truth"], TABLE["prediction"])
    )
    assert found["confusion"] == confusion_matrix(TABLE["truth"], TABLE["prediction"], labels=CLASSES).tolist()
    right = (TABLE["truth"] == TABLE["prediction"]).groupby(TABLE["speaker"]).mean()
    assert {row["speaker"]: row["accuracy"] for row in found["by_speaker"]} == pytest.approx(right.to_dict())
    text = ser("score", tmp_path / "a.csv", "--resamples", 200).out
    assert "Confusion, clips by truth (rows) and prediction (columns)" in text
    assert f"toy/s00{' ' * 9}{right['toy/s00']:.3f}, 40 clips" in text


def test_every_form_of_a_sheet_has_its_notes(ser, tmp_path):
    table = TABLE.query("truth != 'sad'").assign(speaker=lambda rows: rows["clip"])
    table.to_csv(tmp_path / "a.csv", index=False)
    forms = {form: ser("score", tmp_path / "a.csv", "--format", form, "--resamples", 100).out for form in FORMATS}
    note = "each clip has a speaker of its own: intervals over speakers are intervals over clips"
    assert json.loads(forms["json"])["notes"] == [note] and json.loads(forms["json"])["absent"] == ["sad"]
    for form in ("text", "html"):
        assert f"Note: {note}." in forms[form] and "No clip has the class sad; UAR is over the others." in forms[form]


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_a_page_escapes_every_name_and_asks_nothing_of_the_network(ser, tmp_path):
    evil = '<img src=x onerror=alert(1)>&"'
    table = TABLE.replace({"sad": evil, "toy/s01": f"toy/{evil}"})
    table.to_csv(tmp_path / "a.csv", index=False)
    done = ser("score", tmp_path / "a.csv", "--format", "html", "--resamples", 200, "--out", tmp_path / "a.html")
    assert done.out.strip() == str(tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text()
    found = Tags()
    found.feed(html)
    assert not {"img", "script", "link", "iframe"} & {tag for tag, _ in found.tags}
    assert "onerror=alert(1)" in found.text and "http://" not in html and "https://" not in html
    assert "prefers-color-scheme: dark" in html


def test_a_comparison_is_paired_over_speakers(ser, tmp_path):
    a, b = system(0.8, seed=1), system(0.3, seed=2)
    a.to_csv(tmp_path / "a.csv", index=False)
    b.to_parquet(tmp_path / "b.parquet")
    done = ser("compare", tmp_path / "a.csv", tmp_path / "b.parquet", "--format", "json", "--resamples", 5000)
    found = json.loads(done.out)["metrics"]["WA (accuracy)"]
    right = [(table["truth"] == table["prediction"]).groupby(table["speaker"]).mean() for table in (a, b)]
    each = right[0] - right[1]  # every speaker has as many clips
    assert found["difference"] == pytest.approx(each.mean())
    assert found["low"] < each.mean() < found["high"]
    exact = stats.permutation_test(
        (each.to_numpy(),), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert found["p_value"] == pytest.approx(exact.pvalue, abs=0.01)
    # The smallest difference that a paired t test of these speakers finds four times in five.
    error, freedom = found["detectable"] / 1, len(each) - 1
    at = stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, error / (each.std(ddof=1) / np.sqrt(len(each))))
    assert at == pytest.approx(0.8, abs=0.06)
    text = ser("compare", tmp_path / "a.csv", tmp_path / "b.parquet", "--resamples", 500).out
    assert "the first system is better" in text and "12 speakers, the same of both" in text


def test_systems_that_are_not_different_are_not_called_equal():
    a = system(0.4, seed=1).drop(columns="seed")
    words = comparison_sheet.explained(comparison_sheet.facts(a, system(0.4, seed=2).drop(columns="seed")))
    assert any("no evidence that they are equal" in line for line in words)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.iloc[1:], "the systems cover different clips"),
        (lambda table: table.assign(truth="sad"), "the systems differ in truth"),
        (lambda table: table.assign(speaker="x"), "the systems differ in speaker"),
        (lambda table: table.drop(columns="speaker"), "480 rows have no speaker; a paired test is over speakers"),
    ],
)
def test_what_cannot_be_paired_is_one_line(ser, tmp_path, change, message):
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    change(TABLE).to_csv(tmp_path / "b.csv", index=False)
    done = ser("compare", tmp_path / "a.csv", tmp_path / "b.csv")
    assert done.code == 2 and done.err.count("\n") == 1 and message in done.err and done.out == ""


def test_a_form_that_is_none_is_refused_before_anything_is_read(ser):
    assert "--format is text, json, html or latex, not 'pdf'" in ser("score", "nowhere.csv", "--format", "pdf").err


def test_pages_show_numbers_to_the_right_and_missing_ones_as_a_dash():
    made = page.table(pd.DataFrame({"a": [1234, 5], "b": [0.5, np.nan], "c": ["x", None]}))
    assert '<td class="number">1,234</td><td class="number">0.500</td><td>x</td>' in made
    assert '<td class="number">–</td><td>–</td>' in made


def test_speakers_of_several_seeds_count_their_clips_once():
    table = score_sheet.speakers_of(system(seeds=3))
    assert table["clips"].tolist() == [40] * 12 and table["classes"].tolist() == [4] * 12


# What LaTeX prints for each command that stands for a letter.
LETTERS = {r"\textbackslash ": "\\", r"\textasciitilde ": "~", r"\textasciicircum ": "^"}
LETTERS |= {rf"\{letter}": letter for letter in "&%$#_{}"}


def compiled(source):
    """Read a table as LaTeX does: environments close in order, each row has its columns, no letter acts by chance."""
    opened = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", source):
        opened.append(name) if what == "begin" else opened.remove(name)
        assert what == "begin" or name not in opened
    assert opened == [] and source.count(r"\toprule") == source.count(r"\bottomrule") == 1
    columns, body = re.search(r"\\begin\{tabular\}\{(\w+)\}\n(.+?)\\end\{tabular\}", source, re.DOTALL).groups()
    rows = []
    for line in [line for line in body.splitlines() if not line.endswith("rule")]:
        assert line.endswith(r" \\")
        cells = re.split(r"(?<!\\)&", line.removesuffix(r"\\"))
        assert len(cells) == len(columns)
        cells = [re.sub(r"^\$(.*)\$$", r"\1", cell.strip()) for cell in cells]
        parts = [re.split(r"(\\text\w+ ?|\\[&%$#_{}])", cell) for cell in cells]
        assert not [part for cell in parts for part in cell[::2] if re.search(r"[\\&%$#_{}~^]", part)]
        rows.append(
            [
                "".join(LETTERS.get(f"{part.strip()} " if "text" in part else part, part) for part in cell)
                for cell in parts
            ]
        )
    caption = re.search(r"\\caption\{(.*)\}", source)[1]
    assert not re.search(r"(?<!\\)[%&#_$]", caption)
    return rows, caption


def test_latex_has_the_scores_of_scikit_learn(ser, tmp_path):
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    done = ser("score", tmp_path / "a.csv", "--format", "latex", "--resamples", 500)
    (head, *rows), caption = compiled(done.out)
    assert head == ["metric", "value", "interval"] and [row[0] for row in rows][:2] == ["UAR", "WA (accuracy)"]
    assert rows[0][1] == f"{balanced_accuracy_score(TABLE['truth'], TABLE['prediction']):.3f}"
    found = json.loads(ser("score", tmp_path / "a.csv", "--format", "json", "--resamples", 500).out)["metrics"]
    assert [row[2] for row in rows] == [f"[{one['low']:.3f}, {one['high']:.3f}]" for one in found.values()]
    assert caption == r"480 clips, 12 speakers, 4 classes; 95\% intervals over speakers."


def test_latex_without_speakers_has_no_interval_and_says_why(ser, tmp_path):
    TABLE.drop(columns="speaker").to_csv(tmp_path / "a.csv", index=False)
    done = ser("score", tmp_path / "a.csv", "--format", "latex", "--out", tmp_path / "a.tex")
    rows, caption = compiled((tmp_path / "a.tex").read_text())
    assert {row[2] for row in rows[1:]} == {"-"} and "without intervals" in caption
    assert done.code == 0 and done.err.count("ser: no interval: the predictions name no speakers") == 1


@pytest.mark.parametrize("name", ["b_1.csv", r"50% & more #{x} $y$ ~^\z.csv", "difference"])
def test_latex_of_a_comparison_has_any_name_as_it_is(ser, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("a.csv", index=False)
    found = comparison_sheet.facts(TABLE.assign(seed=0), TABLE.assign(seed=0, prediction="sad"), n_resamples=500)
    (head, *rows), caption = compiled(comparison_sheet.as_latex(("a.csv", name), found))
    systems = ["first", "second"] if name == "difference" else ["a.csv", name]
    assert head == ["metric", *systems, "difference", "interval", "p"]
    uar = balanced_accuracy_score(TABLE["truth"], TABLE["prediction"])
    assert (
        rows[0][1:4] == [f"{uar:.3f}", "0.250", f"{uar - 0.25:+.3f}"]
        and rows[0][5] == f"{found['metrics']['UAR']['p_value']:.3f}"
    )
    assert caption.startswith("480 clips and 12 speakers")


def test_compare_writes_latex(ser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b.csv"):
        TABLE.to_csv(name, index=False)
    done = ser("compare", "a.csv", "b.csv", "--format", "latex", "--resamples", 500)
    _, (_, first, second, difference, *_), *_ = compiled(done.out)[0]
    assert first == second and difference == "+0.000"


def test_an_interval_and_a_test_that_disagree_show_nothing():
    a = system(0.4, seed=1).drop(columns="seed")
    found = comparison_sheet.facts(a, system(0.4, seed=2).drop(columns="seed"))
    found["metrics"]["UAR"] |= {"difference": -0.049, "low": -0.101, "high": -0.002, "p_value": 0.056}
    assert any("the p-value decides" in line for line in comparison_sheet.explained(found))
    found["metrics"]["UAR"]["p_value"] = 0.04
    assert any("the second system is better" in line for line in comparison_sheet.explained(found))
