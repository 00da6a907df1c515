"""A run on a small real reporter: what is asked, what is kept, how it goes on, and what is left out."""

import json
from dataclasses import fields
from importlib.resources import files

import jsonschema
import polars as pl
import pytest

from evaluation.ablation.pictures import make_manifest, picture_of
from hilum.corpora.manifest import of_split, read_manifest
from hilum.errors import DataError, UsageError
from hilum.evaluation.ablation.cases import OutOfFoldScores
from hilum.evaluation.ablation.documents import as_json
from hilum.evaluation.ablation.drafts import BLANK
from hilum.evaluation.ablation.expert import ExpertOptions, ablate_expert
from hilum.evaluation.ablation.measures import Propagation
from hilum.evaluation.ablation.run import Rows
from hilum.evaluation.card import Number, Verdict
from hilum.evaluation.findings.cases import LabelRule
from hilum.evaluation.intervals import Resampling
from hilum.models.janus import Reporter
from tiny_expert import write_expert

SCHEMA = json.loads(files("hilum.evaluation").joinpath("ablation.schema.json").read_text(encoding="utf-8"))
STUDIES = [f"mimic_cxr/{50000300 + n}" for n in range(6)]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def expert(tmp_path_factory):
    return write_expert(tmp_path_factory.mktemp("expert") / "tiny")


@pytest.fixture
def run(tiny_original, expert):
    """Run it with few tokens and few resamples."""

    def go(manifest, out, table=None, progress=None, **options):
        chosen = {"batch": 3, "max_new_tokens": 6, "resampling": Resampling(n_resamples=100, n_permutations=100)}
        chosen |= {"model": tiny_original, "expert": expert} | options
        rows = of_split(read_manifest(manifest), "test") if table is None else table
        return ablate_expert(rows, out, ExpertOptions(**chosen), progress=progress)

    return go


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, manifest, tiny_original, expert):
    """An unbroken run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    options = ExpertOptions(
        model=tiny_original, expert=expert, batch=3, max_new_tokens=6,
        resampling=Resampling(n_resamples=100, n_permutations=100),
    )  # fmt: skip
    return out, ablate_expert(of_split(read_manifest(manifest), "test"), out, options)


def test_each_question_is_asked_once(whole):
    out, found = whole
    rows = lines(out / "drafts.jsonl")
    keys = [(row["picture"], row["instruction"]) for row in rows]
    assert len(keys) == len(set(keys)) == found.facts["distinct_prompts"]
    assert {row["picture"] for row in rows} == {BLANK, *STUDIES}
    # the expert says the same of all, so that a blank picture is asked about twice: told, and not
    assert sum(row["picture"] == BLANK for row in rows) == 2
    told = {tuple(row["told"]) for row in rows if row["told"] is not None}
    assert ("Cardiomegaly", "Lung Opacity") in told
    assert all(list(names) == sorted(names) for names in told), "in the order of the published prompts"
    for row in rows:
        for name in row["told"] or ():
            assert name in row["instruction"]
        assert row["finish"] in ("stop", "length")


def test_what_is_measured_is_what_labels_determine_and_the_expert_assesses(whole):
    _, found = whole
    assert found.findings == ("Cardiomegaly", "Lung Opacity", "Edema", "Pneumonia", "Pneumothorax", "Pleural Effusion")
    assert (found.facts["studies"], found.facts["patients"]) == (6, 5)
    assert (found.facts["labels"], found.excluded) == ("published_labels", {})
    # the prompt without an expert says nothing, so an oracle's only finding cannot be left out of it
    assert found.facts["prompt_version"] == "janus-pro-cxr/1"
    assert found.facts["prompts_that_tell_nothing"] == 2
    assert {p.direction for p in found.propagation if p.origin == "flip"} == {"false_negative", "false_positive"}


def test_the_schema_names_every_attribute():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for name, kind in {"number": Number, "verdict": Verdict, "propagation": Propagation}.items():
        assert set(SCHEMA["$defs"][name]["required"]) == {field.name for field in fields(kind)}, name
    for part in [SCHEMA, *SCHEMA["$defs"].values()]:
        assert set(part.get("required", ())) <= set(part.get("properties", ()))


def test_what_is_written_is_what_the_schema_says(whole):
    jsonschema.validate(json.loads(as_json(whole[1])), SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    [{"experiment": "other"}, {"experiment": "stage"}, {"numbers": [{}]}, {"arms": [{"key": "none/true"}]},
     {"propagation": None}, {"facts": {}}, {"systems": ["a", "b"]}, {"more": 1}],
)  # fmt: skip
def test_the_schema_refuses_what_is_no_ablation(whole, wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**json.loads(as_json(whole[1])), **wrong}, SCHEMA)


@pytest.mark.parametrize("key", ["model", "studies", "labeller_f1"])
def test_the_schema_asks_for_the_facts(whole, key):
    held = json.loads(as_json(whole[1]))
    del held["facts"][key]
    with pytest.raises(jsonschema.ValidationError, match=key):
        jsonschema.validate(held, SCHEMA)


class Stop(Exception):
    pass


def stopping(when, at):
    def tell(what, done, _n):
        if (what, done) >= (when, at) and what == when:
            raise Stop

    return tell


@pytest.mark.parametrize(("when", "at"), [("pictures", 3), ("drafts", 9)])
def test_a_run_that_was_stopped_goes_on_and_gives_the_same(run, whole, manifest, tmp_path, monkeypatch, when, at):
    out = tmp_path / "run"
    with pytest.raises(Stop):
        run(manifest, out, progress=stopping(when, at))
    file = out / ("studies.jsonl" if when == "pictures" else "drafts.jsonl")
    assert len(lines(file)) == at
    file.write_bytes(file.read_bytes()[:-20])  # the last row was cut in the middle
    asked = []
    generate = Reporter.generate_from

    def counting(self, prompts, pixels, **more):
        asked.append(len(prompts))
        return generate(self, prompts, pixels, **more)

    monkeypatch.setattr(Reporter, "generate_from", counting)
    found = run(manifest, out)
    before, again = whole
    for name in ("studies.jsonl", "drafts.jsonl"):
        assert sorted(map(str, lines(out / name))) == sorted(map(str, lines(before / name)))
    assert [n.estimate for n in found.numbers] == pytest.approx([n.estimate for n in again.numbers], nan_ok=True)
    # a batch of which a part is there is written again, and no other
    n = found.facts["distinct_prompts"]
    assert sum(asked) == (n if when == "pictures" else n - at + 3)
    asked.clear()
    run(manifest, out)
    assert asked == [], "what is done is not done again"


def test_another_run_s_folder_is_refused(run, whole, manifest, tmp_path):
    out, _ = whole
    for other, word in (({"seed": 5}, "seed"), ({"flips": 1}, "flips"), ({"expert": "starter"}, "expert")):
        with pytest.raises(UsageError, match=rf"holds another run \({word} differ\)"):
            run(manifest, out, **other)
    with pytest.raises(UsageError, match="studies differ"):
        run(manifest, out, table=of_split(read_manifest(manifest), "test").head(5))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds something else \(letter.txt\)"):
        run(manifest, tmp_path / "mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="is a file"):
        run(manifest, tmp_path / "file")


def test_a_picture_that_cannot_be_read_is_counted_and_costs_nothing_else(run, tmp_path):
    manifest = make_manifest(tmp_path)
    picture_of(manifest, "50000301").write_bytes(b"no picture")
    picture_of(manifest, "50000302").unlink()
    found = run(manifest, tmp_path / "run", flips=0)
    assert found.excluded == {"unknown_format": 1, "not_found": 1}
    assert (found.facts["studies"], found.facts["patients"]) == (4, 3)
    assert {p.origin for p in found.propagation} == {"natural"}


def test_one_patient_is_too_few(run, manifest, tmp_path):
    table = of_split(read_manifest(manifest), "test").tail(2)
    with pytest.raises(DataError, match=r"2 studies of 1 patients are left \(none was left out\)"):
        run(manifest, tmp_path / "run", table=table)


def test_labels_of_the_reports_where_none_are_published(run, tmp_path):
    found = run(make_manifest(tmp_path, labels=False), tmp_path / "run", flips=1)
    assert found.facts["labels"] == "text_labels"
    assert "hilum-rules-en" in found.facts["labels_origin"]


def scores_file(path, keys, **columns):
    names = ["Cardiomegaly", "Lung Opacity", "Edema", "Fracture"]
    rows = [",".join([*keys, *names])]
    for n in range(6):
        cells = [str(columns[key](n)) for key in keys]
        rows.append(",".join([*cells, "0.9" if n == 0 else "0.1", "0.2", "", "0.99"]))
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("by", ["study", "image"])
def test_out_of_fold_scores_stand_in_for_the_expert_s(run, manifest, tmp_path, by):
    table = of_split(read_manifest(manifest), "test")
    if by == "study":
        path = scores_file(
            tmp_path / "scores.csv",
            ["corpus", "study"],
            corpus=lambda n: "mimic_cxr",
            study=lambda n: table["study"][n],
        )
    else:
        # the ending does not matter: tables of pictures are made of PNG and JPEG alike
        files = [images[0]["path"].rsplit("/", 1)[-1].replace(".jpg", ".png") for images in table["images"]]
        path = scores_file(tmp_path / "scores.csv", ["image"], image=lambda n: files[n])
    found = run(manifest, tmp_path / "run", scores=path, expert="starter", flips=0)
    said = {row["study"]: row["predicted"] for row in lines(tmp_path / "run" / "studies.jsonl")}
    assert "Cardiomegaly" in said[STUDIES[0]]
    assert all("Fracture" not in names for names in said.values()), "the expert does not assess it"
    assert found.findings == ("Cardiomegaly", "Lung Opacity")
    assert found.facts["scores"] == "scores.csv"


def test_a_study_without_scores_is_left_out(run, manifest, tmp_path):
    table = of_split(read_manifest(manifest), "test")
    path = scores_file(
        tmp_path / "scores.csv", ["corpus", "study"], corpus=lambda n: "mimic_cxr",
        study=lambda n: table["study"][n] if n else "another",
    )  # fmt: skip
    assert run(manifest, tmp_path / "run", scores=path, flips=0).excluded == {"no_scores": 1}


def test_the_scores_that_training_writes_are_read_as_they_are(tmp_path):
    row = {"corpus": "a", "study": "b", "fold": 0, "scores": {"Edema": 0.5, "Fracture": None}}
    pl.DataFrame([row]).write_parquet(tmp_path / "scores.parquet")
    found = OutOfFoldScores(tmp_path / "scores.parquet")
    assert found.of({"corpus": "a", "study": "b"}) == {"Edema": 0.5, "Fracture": None}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study,Edema\na,0.5\n", "expected a column for each finding"),
        ("image,Hernia\na,0.5\n", "expected a column for each finding"),
        ("image,Edema\na.png,0.5\na.jpg,0.5\n", "has one image twice"),
        ("image,Edema\na.png,1.5\n", "a score of Edema is '1.5'"),
        ("image,Edema\na.png,high\n", "a score of Edema is 'high'"),
    ],
)
def test_a_table_that_is_none_of_scores(tmp_path, text, words):
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        OutOfFoldScores(tmp_path / "scores.csv")


def test_options_are_checked_when_built():
    for wrong in ({"batch": 0}, {"max_new_tokens": 0}, {"flips": -1}, {"rule": LabelRule("negative")}):
        with pytest.raises(UsageError):
            ExpertOptions(**wrong)


def test_rows_that_were_cut_are_forgotten(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = Rows(path)
    rows.add([{"a": 1}, {"a": "é"}])
    path.write_bytes(path.read_bytes() + b'{"a": ')
    assert Rows(path).held == [{"a": 1}, {"a": "é"}]
    assert path.read_bytes().endswith(b"\n")
