"""Command lines of anybody: exit status 0, 1 or 2, one line, nothing left behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcomes import told

LINES = """
score | score nowhere.csv | score . | score p.xlsx | score /dev/null | score nowhere.csv --resamples 0
score nowhere.csv --resamples 1000000000000 | score nowhere.csv --level 2 | score nowhere.csv --level nan
audit | audit atlantis | audit nowhere.csv | audit emodb --n-folds 1 | audit emodb --n-folds 0
audit emodb --n-folds x | audit emodb --n-folds 1.5 | audit emodb --n-folds 99999999999999999999
audit emodb --seed -1 | audit emodb --seed 4294967296 | audit emodb --seed 1e3 | audit emodb --protocol atlantis
audit emodb --labels atlantis | audit emodb --folds nowhere.csv | audit emodb --out a.txt | audit emodb --out .
audit emodb+tess | audit tess+emodb --labels common4 | audit emodb+emodb | audit + | audit ravdess+
audit emodb --protocol khan2026-si | audit emodb --n-folds -3
audit meld --protocol sentence | audit savee | audit punjabi_elc | audit iemocap | audit .. | audit /dev/null | audit -
features | features emodb | features emodb atlantis | features atlantis egemaps | features meld egemaps
features nowhere.csv egemaps | features emodb egemaps --out a.txt | features nowhere.csv egemaps --folder .
card | card atlantis | card urdu --check --write | card iemocap | card .. | card urdu --check --folder /nowhere
fetch | fetch atlantis | run | run nowhere.yaml | run . | run /dev/null | run experiments/ladder.yaml --only atlantis
run experiments/ladder.yaml --system atlantis | run experiments/ladder.yaml --jobs x | transcribe
transcribe emodb | transcribe emodb --model atlantis | transcribe emodb --model base --language klingon
transcribe emodb --model base --task summarise | transcribe nowhere.csv --model base | weights get
weights get atlantis | weights get whisper-base whisper-tiny.en --from . | verify atlantis
verify --runs 0 | verify --system atlantis
init | init /dev/null | init . --corpus nowhere.csv | atlantis | --atlantis | score --atlantis | audit emodb extra
"""


@pytest.mark.parametrize("line", [line.strip() for line in LINES.replace("\n", "|").split("|") if line.strip()])
def test_a_command_that_cannot_be_done_says_so_in_a_line(ser, tmp_path, monkeypatch, line):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))
    before = sorted(tmp_path.rglob("*"))
    done = ser(*line.split())
    told("command lines", done)
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before and "cache" not in path.parts]
    assert done.code != 2 or not left


words = st.one_of(
    st.sampled_from(["emodb", "urdu", "nowhere.csv", "-", "--", "", "--seed", "--n-folds", "2", "--labels", "common4"]),
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=6),
)


@given(command=st.sampled_from(["score", "audit", "card", "features", "transcribe"]), rest=st.lists(words, max_size=3))
def test_any_words_are_a_command_or_are_refused(ser, tmp_path, command, rest):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv("SER_RESULTS", str(tmp_path / "results"))
        told("command lines", ser(command, *(word for word in rest if word not in ("--help",))))
