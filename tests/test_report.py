import re

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import colors
from matplotlib import pyplot as plt

from ser_core import paths
from ser_core.book import figures, literature, report
from ser_core.errors import SerError
from ser_core.evaluation.intervals import Interval

PARAMETERS = "n_resamples = 10_000\nlevel = 0.95\ncorpora = ['ravdess']"


@pytest.mark.parametrize("given", ["n_resamples = 20", "level = 1", "corpora = []\nlevel = 0.9"])
def test_known_parameters_are_accepted(given):
    report.begin("01_x", ["", PARAMETERS, f"# Parameters\n{given}\n", "report.begin('01_x', In)"])


def test_without_papermill_nothing_is_checked():
    report.begin("01_x", ["", "%load_ext autoreload", PARAMETERS, "typo = 1", "report.begin('01_x', In)"])


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (
            ["", PARAMETERS, "# Parameters\ntypo = 1"],
            "01_x has no parameter 'typo'; it has n_resamples, level, corpora",
        ),
        (["", PARAMETERS, "# Parameters\nlevel = 'high'"], "01_x: parameter 'level' is 'high'; expected .* 0.95"),
        (["", PARAMETERS, "# Parameters\nn_resamples = 0.5"], "parameter 'n_resamples' is 0.5"),
        (["", "# Parameters\ntypo = 1"], "01_x has no parameter 'typo'; it has none"),
    ],
)
def test_unknown_and_ill_typed_parameters_are_refused(history, message):
    with pytest.raises(SerError, match=message):
        report.begin("01_x", history)


def test_only_text_is_glued():
    with pytest.raises(SerError, match="expected formatted text, got float"):
        report.glue("uar", 0.5)


def test_source_names_chapter_inputs_and_code():
    report.begin("01_x", [""])
    assert report.source("runs ladder", "published.yaml") == (
        f"Source: 01_x.ipynb, from runs ladder, published.yaml; code {report.package_hash()}."
    )


def test_table_needs_formats_for_floats_and_escapes_pipes():
    frame = pd.DataFrame({"a|b": ["x|y", None], "n": [3, 4], "u": [0.12345, np.nan]})
    assert report.markdown(frame, formats={"u": ".2f"}).splitlines() == [
        "| a\\|b | n | u |",
        "| :--- | ---: | ---: |",
        "| x\\|y | 3 | 0.12 |",
        "| – | 4 | – |",
    ]
    with pytest.raises(SerError, match=r"columns \['u'\] are floats"):
        report.markdown(frame)
    with pytest.raises(SerError, match=r"columns \['v'\], which the table does not have"):
        report.markdown(frame, formats={"u": ".2f", "v": ".2f"})


def test_every_published_figure_has_its_reference():
    table = literature.published()
    references = (paths.repository() / "book/references.bib").read_text()
    known = set(re.findall(r"^@\w+\{([^,\s]+)", references, flags=re.MULTILINE))
    assert set(table["citation"]) <= known
    assert table.loc[("emodb-wagner", "ComParE 2016 + SVM", "uar"), "value"] == 0.771
    assert table.loc[("merged-sharma", "k-NN", "wa"), "value"] == 0.6294
    within = table[table.index.get_level_values("study").str.endswith("khan-classical")]
    across = table[table.index.get_level_values("study").str.contains("-to-")]
    assert len(within.xs("uar", level="metric")) == len(across.xs("uar", level="metric")) == 30
    assert table.loc[table["speaker_independent"] == False, "faults"].str.len().gt(0).all()  # noqa: E712


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda study: study.pop("protocol"), r"lacks or should not have \['protocol'\]"),
        (lambda study: study["results"].append({"system": "x", "UAR": 0.5}), r"unknown fields \['UAR'\]"),
        (lambda study: study["results"].append({"system": "x", "uar": 61.2}), r"outside \[0, 1\]"),
        (
            lambda study: study["results"].append({"system": "x", "uar": 0.5, "intervals": {"wa": [0.4, 0.6]}}),
            r"unknown fields \['wa'\]",
        ),
        (
            lambda study: study["results"].append({"system": "x", "uar": 0.5, "intervals": {"uar": [0.6, 0.7]}}),
            r"or its interval",
        ),
        (lambda study: study["results"].append(study["results"][0]), "stands there twice"),
    ],
)
def test_published_refuses_what_it_cannot_vouch_for(tmp_path, change, message):
    studies = yaml.safe_load((paths.repository() / "book/published.yaml").read_text())
    change(studies["emodb-wagner"])
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(studies))
    with pytest.raises(SerError, match=message):
        literature.published(path)


def test_published_counts_are_of_a_study_that_has_them(tmp_path):
    with pytest.raises(SerError, match=r"no counts of study 'ravdess-sharma'; there are those of \['merged-sharma'\]"):
        literature.published_counts("ravdess-sharma")
    studies = yaml.safe_load((paths.repository() / "book/published.yaml").read_text())
    del studies["merged-sharma"]["counts"]["test"]["calm"]
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(studies))
    with pytest.raises(SerError, match="'merged-sharma' are not of the same classes in each part"):
        literature.published_counts("merged-sharma", path)


def test_published_intervals_stand_beside_their_values():
    table = literature.published()
    shows = table.loc[("urdu-khan-shows", "XLS-R 300M", "uar")]
    assert shows[["value", "low", "high"]].tolist() == [0.103, 0.075, 0.131]
    assert table.loc[("emodb-wagner", "ComParE 2016 + SVM", "uar"), ["low", "high"]].isna().all()
    assert table["low"].isna().equals(table["high"].isna())
    # Four conditions, pooled with three metrics and as the mean of three trainings with two.
    assert table["low"].notna().sum() == 4 * (3 + 2)


def test_published_confusions_have_a_row_for_absent_classes_too():
    table = literature.published_confusions("urdu-khan-shows")
    assert table.index.unique("part").tolist() == ["SM2", "SM3", "SM4"]
    assert table.columns.tolist() == table.loc["SM2"].index.tolist() == ["angry", "happy", "neutral", "sad"]
    assert table.loc[("SM3", "neutral")].tolist() == [0, 1, 0, 7]
    assert table.groupby(level="part").sum().sum(axis=1).to_dict() == {"SM2": 28, "SM3": 12, "SM4": 48}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: parts["SM2"].pop("clips"), r"'SM2': lacks or should not have \['clips'\]"),
        (lambda parts: parts["SM2"].update(answered={"sad": 1}), r"should not have \['answered'\]"),
        (lambda parts: parts["SM2"].update(clips=29), "add up to 28 clips; stated are 29"),
        (lambda parts: parts["SM2"]["rows"].update(angry=[26, 2, 0]), r"rows of \['angry'\] are no lists of 4 counts"),
        (lambda parts: parts["SM2"]["rows"].update(angry=[26.5, 1.5, 0, 0]), "not a whole number"),
        (lambda parts: parts["SM2"]["rows"].update(angry=[30, -2, 0, 0]), "not a whole number of 0 or more"),
        (lambda parts: parts["SM2"]["rows"].update(calm=[0, 0, 0, 0]), r"\['calm'\], which are not among the classes"),
        (lambda parts: parts["SM4"].update(classes=parts["SM2"]["classes"][::-1]), "different classes or orders"),
    ],
)
def test_confusions_that_cannot_be_are_refused(tmp_path, change, message):
    studies = yaml.safe_load((paths.repository() / "book/published.yaml").read_text())
    change(studies["urdu-khan-shows"]["confusions"])
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(studies))
    with pytest.raises(SerError, match=message):
        literature.published_confusions("urdu-khan-shows", path)


def test_confusions_are_of_a_study_that_has_them():
    with pytest.raises(
        SerError, match=r"no confusions of study 'emodb-wagner'; there are those of \['urdu-khan-shows'"
    ):
        literature.published_confusions("emodb-wagner")


def test_commonest_answers_are_counted():
    answers = literature.published_answers("punjabi-khan-urdu")
    assert answers["answer"].tolist() == ["sad", "happy", "angry"]
    assert answers["n"].tolist() == [961, 961, 927]
    assert answers.loc["seed 2024", "share"] == pytest.approx(927 / 962)
    # Counted in the printed matrix: 94 + 102 + 669 + 95 answers are sad.
    assert literature.published_answers("punjabi-khan-urdu-single").loc["test"].tolist() == ["sad", 960, 960 / 962]


def test_statements_are_numbers_of_a_study_that_has_them(tmp_path):
    assert literature.published_statements("ravdess-khan-si")["uar_xlsr"] == 0.773
    with pytest.raises(SerError, match="no stated of study 'emodb-wagner'; there are those of"):
        literature.published_statements("emodb-wagner")
    studies = yaml.safe_load((paths.repository() / "book/published.yaml").read_text())
    studies["ravdess-khan-si"]["stated"]["uar_xlsr"] = "high"
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(studies))
    with pytest.raises(SerError, match=r"study 'ravdess-khan-si' states \['uar_xlsr'\] that are no numbers"):
        literature.published_statements("ravdess-khan-si", path)


def _drawing(alt="Two <lines>"):
    figures.use_style()
    figure, axes = plt.subplots()
    axes.plot([1, 2], [1, 2], marker="o", markerfacecolor=figures.PAPER)
    axes.set_title("A title")
    return figures.draw(figure, name="fig_x", alt=alt)


def test_the_same_figure_gives_the_same_bytes():
    assert _drawing() == _drawing()


def test_figure_follows_the_theme():
    svg = _drawing().svg
    assert 'role="img" aria-label="Two &lt;lines&gt;"' in svg
    assert {"ink", "muted", "paper", "c1"} == set(re.findall(r"var\(--ser-(\w+), #", svg))
    # No colour is left that does not follow the theme, and no id that could meet another figure's.
    assert not re.findall(r"(?<!, )#[0-9a-f]{6}\b", svg)
    assert all(name.startswith("fig_x-") for name in re.findall(r'\bid="([^"]+)"', svg))
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    assert {a or b for a, b in used} <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_css_knows_every_colour_of_the_figures():
    css = (paths.repository() / "book/_static/ser.css").read_text()
    light, dark = re.findall(r"^html[^{]*\{([^}]*)\}", css, flags=re.MULTILINE)[:2]
    for position, colour in enumerate(figures.PALETTE, start=1):
        assert f"--ser-c{position}: {colour};" in light
        assert f"--ser-c{position}:" in dark


def _luminance(colour):
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colors.to_rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_colours_stand_out_from_the_page():
    css = (paths.repository() / "book/_static/ser.css").read_text()
    light, dark = re.findall(r"^html[^{]*\{([^}]*)\}", css, flags=re.MULTILINE)[:2]
    # WCAG 2: at least 3 for lines, 4.5 for text.
    for block, page in ((light, "#ffffff"), (dark, "#121212")):
        for name, colour in re.findall(r"--ser-(ink|muted|c\d): (#\w{6})", block):
            high, low = sorted([_luminance(colour), _luminance(page)], reverse=True)
            assert (high + 0.05) / (low + 0.05) >= (3 if name.startswith("c") else 4.5), (name, colour)


def test_short_alt_text_is_refused():
    with pytest.raises(SerError, match="alt text 'plot' is too short"):
        report.figure(plt.figure(), "fig_x", alt="plot")
    plt.close("all")


def test_forest_says_why_there_is_no_interval():
    kept = Interval(0.6, 0.5, 0.7, 0.95, "percentile", "speaker", 24)
    refused = Interval(0.5, np.nan, np.nan, 0.95, "percentile", "speaker", 4, "4 speakers, fewer than 5")
    figure, axes = plt.subplots()
    figures.forest(axes, [kept, refused], ["a", "b"], reference=0.125)
    assert [text.get_text() for text in axes.texts] == ["no interval: 4 speakers, fewer than 5"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[12.5, 12.5], [60], [50, 70], [50]]
    assert axes.lines[-1].get_markerfacecolor() == figures.PAPER
    with pytest.raises(ValueError, match="argument 2"):
        figures.forest(axes, [kept, refused], ["a"])
    plt.close(figure)


def test_grouped_forest_sets_rows_under_their_headings():
    kept = Interval(0.6, 0.5, 0.7, 0.95, "expanded", "speaker", 24)
    refused = Interval(0.5, np.nan, np.nan, 0.95, "expanded", "speaker", 4, "4 speakers, fewer than 5")
    groups = {"RAVDESS": {"head": kept, "last": kept}, "SAVEE": {"head": refused}}
    figure, axes = plt.subplots()
    figures.grouped_forest(axes, groups, colours={"last": figures.MUTED}, references={"SAVEE": 1 / 7})
    written = [(tick.get_text(), tick.get_fontweight()) for tick in axes.get_yticklabels()]
    assert written == [
        ("RAVDESS", "bold"),
        ("head", "normal"),
        ("last", "normal"),
        ("SAVEE", "bold"),
        ("head", "normal"),
    ]
    points = {line.get_ydata()[0]: line for line in axes.lines if line.get_marker() == "o"}
    drawn = {row: line.get_xdata()[0] for row, line in points.items() if not np.isnan(line.get_xdata()[0])}
    assert drawn == {1: 60, 2: 60, 4: 50}
    assert [points[row].get_color() for row in (1, 2, 4)] == [figures.PALETTE[0], figures.MUTED, figures.PALETTE[0]]
    assert points[4].get_markerfacecolor() == figures.PAPER
    (chance,) = (line for line in axes.lines if line.is_dashed())
    assert list(chance.get_xdata()) == pytest.approx([100 / 7] * 2)
    assert list(chance.get_ydata()) == [3.5, 4.5]
    with pytest.raises(ValueError, match=r"no row or heading is called \['EmoDB', 'full'\]"):
        figures.grouped_forest(axes, groups, colours={"full": figures.INK}, references={"EmoDB": 0.1})
    plt.close(figure)


def test_confusion_shows_recall_and_empty_classes():
    figure, axes = plt.subplots()
    figures.confusion(axes, np.array([[3, 1], [0, 0]]), ["sad", "happy"])
    assert [text.get_text() for text in axes.texts] == ["75", "25", "–", "–"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["sad (4)", "happy (0)"]
    with pytest.raises(ValueError, match=r"expected \(3, 3\)"):
        figures.confusion(axes, np.eye(2), ["a", "b", "c"])
    plt.close(figure)


def test_grid_marks_the_highest_score():
    figure, axes = plt.subplots()
    figures.grid(axes, np.array([[0.5, 0.61], [0.4, 0.3]]), ["a", "b"], ["x", "y"])
    assert [(text.get_text(), text.get_fontweight()) for text in axes.texts][:2] == [
        ("50.0", "normal"),
        ("61.0", "bold"),
    ]
    with pytest.raises(ValueError, match=r"expected \(1, 2\)"):
        figures.grid(axes, np.eye(2), ["a"], ["x", "y"])
    plt.close(figure)


def test_a_number_and_its_percent_sign_stay_on_one_line(monkeypatch):
    glued = {}
    monkeypatch.setattr("myst_nb.glue", lambda key, value, display: glued.update({key: (value, display)}))
    report.glue("share", "61.2 % of 24")
    assert glued == {"share": ("61.2\N{NO-BREAK SPACE}% of 24", False)}


def test_grid_writes_percent_marks_the_best_and_leaves_gaps():
    axes = plt.figure().add_subplot()
    figures.grid(axes, [[0.5, np.nan], [0.25, 0.75]], ["a", "b"], ["x", "y"])
    written = {(*text.get_position(), text.get_text(), text.get_fontweight()) for text in axes.texts}
    assert written == {
        (0, 0, "50.0", "normal"),
        (1, 0, "–", "normal"),
        (0, 1, "25.0", "normal"),
        (1, 1, "75.0", "bold"),
    }
    shades = {patch.get_xy(): patch.get_alpha() for patch in axes.patches}
    assert shades == {(-0.5, -0.5): 0.25, (-0.5, 0.5): 0.0, (0.5, 0.5): 0.5}
    with pytest.raises(ValueError, match=r"\(2, 2\); expected \(1, 2\)"):
        figures.grid(axes, [[0.5, 0.5], [0.5, 0.5]], ["a"], ["x", "y"])
