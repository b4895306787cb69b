import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from ser_core import paths
from ser_core.book import glue
from ser_core.errors import SerError
from ser_core.evaluation import comparisons
from ser_core.evaluation.comparisons import Difference
from ser_core.evaluation.intervals import Interval

PARAMETERS = "n_resamples = 10_000\nlevel = 0.95\ncorpora = ['ravdess']"


@pytest.mark.parametrize("given", ["n_resamples = 20", "level = 1", "corpora = []\nlevel = 0.9"])
def test_known_parameters_are_accepted(given):
    glue.begin("01_x", ["", PARAMETERS, f"# Parameters\n{given}\n", "glue.begin('01_x', In)"])


def test_without_papermill_nothing_is_checked():
    glue.begin("01_x", ["", "%load_ext autoreload", PARAMETERS, "typo = 1", "glue.begin('01_x', In)"])


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
        glue.begin("01_x", history)


@pytest.fixture
def glued(monkeypatch):
    found = {}
    monkeypatch.setattr("myst_nb.glue", lambda key, value, display=True: found.update({key: value}))
    return found


KEPT = Interval(0.6123, 0.5708, 0.6502, 0.95, "expanded", "speaker", 24)
REFUSED = Interval(0.5, np.nan, np.nan, 0.95, "expanded", "speaker", 4, "4 speakers, fewer than 5")


def test_values_are_glued_as_the_reader_sees_them(glued):
    glue.text({f"n_{name}": n for name, n in {"a": np.int64(1440), "b": 0}.items()}, best="x", uar=KEPT, savee=REFUSED)
    assert glued == {
        "n_a": "1,440",
        "n_b": "0",
        "best": "x",
        "uar": "61.2 [57.1, 65.0]",
        "savee": "50.0 (no interval: 4 speakers, fewer than 5)",
    }
    gain = Interval(0.031, 0.01, 0.052, 0.95, "expanded", "speaker", 24)
    glue.text(gain=Difference(gain, 0.004, "exact"), share=glue.share(0.6123, unit="%"))
    assert (glued["gain"], glued["share"]) == ("+3.1 [+1.0, +5.2]", "61.2\N{NO-BREAK SPACE}%")


@pytest.mark.parametrize(
    ("value", "kind"), [(0.5, "float"), (np.float64(0.5), "float64"), (True, "bool"), (None, "NoneType")]
)
def test_what_has_no_one_reading_is_refused(glued, value, kind):
    with pytest.raises(SerError, match=f"glue.text, key 'uar': .* is of type {kind}.*; expected .* glue.share"):
        glue.text(uar=value)
    assert not glued


def test_shares_are_rounded_once_and_never_minus_zero():
    assert glue.share(-0.0004) == "0.0" and glue.share(-0.0004, sign=True) == "+0.0"
    # As floats 0.05 and 0.65 are a little more than that; numpy's own round would say 0.0 and 0.6.
    assert glue.share(np.float64(0.0005)) == "0.1" and glue.share(np.float64(0.0065)) == "0.7"
    assert glue.share(0.125, 0) == "12" and glue.share(0.031, 0, "points", sign=True) == "+3 points"
    with pytest.raises(SerError, match="a share of nan cannot be shown"):
        glue.share(np.nan)
    assert glue.span(pd.Series([0.301, 0.2, 0.5])) == "20.0 to 50.0"
    # What reads alike is said once.
    assert glue.span([0.301, 0.304], 0, "%") == "30 %"


def test_shares_that_are_written_alike_are_glued_together(glued):
    glue.shares("%", 0, {f"uar_{name}": value for name, value in {"a": 0.5, "b": 0.61}.items()}, best=0.7)
    glue.shares(sign=True, gain=0.031)
    assert glued == {"uar_a": "50\xa0%", "uar_b": "61\xa0%", "best": "70\xa0%", "gain": "+3.1"}


def test_scores_are_described_with_their_names_and_headings():
    gain = Difference(Interval(0.031, 0.01, 0.052, 0.95, "expanded", "speaker", 24), 0.004, "exact")
    assert glue.described({"a": KEPT, "b": gain, "c": 0.5}, 1) == "a 61.2, b 3.1, c 50.0"
    groups = {"RAVDESS": pd.Series({"a": KEPT}), "EmoDB": {"b": gain}}
    assert glue.described(groups, 1, "points", sign=True) == "RAVDESS: a +61.2 points; EmoDB: b +3.1 points"
    assert glue.described({"a": (KEPT, 0.5)}, unit="%") == "a 61 and 50 %"
    assert glue.described({"speed, pitch": 0.5, "masks": 0.25}) == "speed, pitch 50; masks 25"


def test_source_names_chapter_inputs_and_code(glued):
    glue.begin("01_x", [""])
    sentence = f"Source: 01_x.ipynb, from runs ladder, published.yaml; code {paths.package_hash()}."
    assert glue.source("source_x", "runs ladder", "published.yaml") == sentence
    assert glued == {"source_x": sentence}
    assert glue.source("source_x", "published.yaml", runs="ladder") == sentence
    assert glue.source("source_x", "published.yaml", runs=["ladder/a", "ladder/b"]) == sentence


def test_table_writes_intervals_and_differences_on_the_right():
    rows = [{"corpus": "a", "UAR": KEPT, "p": 0.0004}, {"corpus": "b", "UAR": REFUSED, "p": np.nan}]
    assert glue.markdown(rows, comparisons.p_text, reasons=False).splitlines() == [
        "| corpus | UAR | p |",
        "| :--- | ---: | ---: |",
        "| a | 61.2 [57.1, 65.0] | < 0.001 |",
        "| b | 50.0 | – |",
    ]
    assert "| b | 50.0 (no interval: 4 speakers, fewer than 5) |" in glue.markdown(rows, {"p": ".3f"})


def test_table_shows_its_index_if_that_has_a_name():
    frame = pd.DataFrame({"years": ["3 to 4", "5"], "n": [0.5, 1.0]}, index=pd.Index([("a", "x"), ("b", "y")]))
    assert glue.markdown(frame, ".1f", index=["corpus", "system"], right=["years"]).splitlines() == [
        "| corpus | system | years | n |",
        "| :--- | :--- | ---: | ---: |",
        "| a | x | 3 to 4 | 0.5 |",
        "| b | y | 5 | 1.0 |",
    ]
    assert glue.markdown(frame, ".1f").startswith("| years | n |")
    with pytest.raises(SerError, match=r"columns \['year'\], which the table does not have"):
        glue.markdown(frame, ".1f", right=["year"])
    with pytest.raises(SerError, match=r"index names \['corpus'\], and the index has 2 levels"):
        glue.markdown(frame, ".1f", index="corpus")


def test_table_needs_formats_for_floats_and_escapes_pipes():
    frame = pd.DataFrame({"a|b": ["x|y", None], "n": [3, 4], "u": [0.12345, np.nan]})
    assert glue.markdown(frame, formats={"u": ".2f"}).splitlines() == [
        "| a\\|b | n | u |",
        "| :--- | ---: | ---: |",
        "| x\\|y | 3 | 0.12 |",
        "| – | 4 | – |",
    ]
    with pytest.raises(SerError, match=r"columns \['u'\] are floats"):
        glue.markdown(frame)
    with pytest.raises(SerError, match=r"columns \['v'\], which the table does not have"):
        glue.markdown(frame, formats={"u": ".2f", "v": ".2f"})


def test_table_writes_p_values_as_such():
    frame = pd.DataFrame({"dev": [0.5], "p": [0.0213], "p (probe)": [0.0002], "pooled": [0.25]})
    assert glue.markdown(frame, glue.share).splitlines()[-1] == "| 50.0 | 0.021 | < 0.001 | 25.0 |"
    assert glue.markdown(frame[["p"]]).splitlines()[-1] == "| 0.021 |"
    assert glue.markdown(frame[["p"]], {"p": ".1f"}).splitlines()[-1] == "| 0.0 |"


def test_short_alt_text_is_refused():
    with pytest.raises(SerError, match="alt text 'plot' is too short"):
        glue.figure(plt.figure(), "fig_x", alt="plot")
    plt.close("all")
