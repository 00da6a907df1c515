"""A language is a table: a wrong one is refused with its place, and a second one needs no change of code."""

import tomllib
from pathlib import Path

import pytest

from hilum.errors import DataError, UsageError
from hilum.labeling import Language, RuleLabeller, language, read_language
from hilum.records import NAMES, LabelState

CHINESE = """
language = "zh"
version = "1"
sentence_ends = ["。", "！", "？"]
units = ["cm", "mm"]
times = ["x", "×"]
skipped_sections = ["病史", "检查方法"]
read_sections = ["影像所见", "诊断意见"]
structure_sections = ["心脏", "双肺"]

[classes]
be = ["为", "呈", "："]

[[concept]]
name = "normal study"
findings = ["No Finding"]
phrases = ["未见 明显? 异常"]

[[concept]]
name = "wide mediastinum"
findings = ["Enlarged Cardiomediastinum"]
phrases = ["纵隔 影? 增宽"]
normal = ["纵隔居中", "纵隔 <be>? 正常"]
structures = ["纵隔"]

[[concept]]
name = "cardiomegaly"
findings = ["Cardiomegaly"]
phrases = ["心影|心脏 明显? 增大"]
normal = ["心影 大小|形态? 正常", "心影不大", "心脏 <be>? 正常"]
structures = ["心影|心脏"]

[[concept]]
name = "nodule or mass"
findings = ["Lung Lesion"]
phrases = ["结节", "肿块", "占位", "肿瘤"]

[[concept]]
name = "opacity"
findings = ["Lung Opacity"]
phrases = ["斑片|片状|密度增高 影", "渗出"]
normal = ["双肺|两肺 野? <be>? 清晰"]

[[concept]]
name = "edema"
findings = ["Edema"]
phrases = ["肺水肿"]

[[concept]]
name = "consolidation"
findings = ["Consolidation"]
phrases = ["实变"]

[[concept]]
name = "pneumonia"
findings = ["Pneumonia"]
phrases = ["肺炎", "肺部感染"]

[[concept]]
name = "atelectasis"
findings = ["Atelectasis"]
phrases = ["肺不张"]

[[concept]]
name = "pneumothorax"
findings = ["Pneumothorax"]
phrases = ["气胸"]

[[concept]]
name = "effusion"
findings = ["Pleural Effusion"]
phrases = ["胸腔 ... 积液", "胸水"]

[[concept]]
name = "pleura"
findings = ["Pleural Other"]
phrases = ["胸膜 ... 增厚"]

[[concept]]
name = "fracture"
findings = ["Fracture"]
phrases = ["骨折"]

[[concept]]
name = "device"
findings = ["Support Devices"]
phrases = ["气管插管", "引流管", "起搏器", "PICC"]

[cues.absent]
before = ["未见", "无", "不"]

[cues.gone]
after = ["已吸收", "消失", "已拔除"]

[cues.open]
before = ["不除外"]
after = ["待排", "不除外"]

[cues.uncertain]
before = ["可能", "考虑", "疑"]
after = ["可能"]

[cues.stop]
anywhere = ["；", "但"]

[scope]
commas = ["，"]
joins = ["、", "及", "和", "伴"]
alternatives = ["或"]
verbs = ["示", "为"]
predicates = []
openers = ["左", "右", "双", "两", "心", "余"]

[severities]
small = ["少量"]
large = ["大量"]

[sides]
left = ["左"]
right = ["右"]
bilateral = ["双侧", "两侧", "双肺", "两肺"]
"""
SAID = {
    "双肺野清晰，未见实变。心影大小正常。": {
        "Lung Opacity": "absent",
        "Consolidation": "absent",
        "Cardiomegaly": "absent",
        "No Finding": "present",
    },
    "右侧胸腔少量积液。": {"Pleural Effusion": "present"},
    "左肺下叶斑片影，考虑肺炎。": {"Lung Opacity": "present", "Pneumonia": "uncertain"},
    "未见气胸及胸腔积液。": {"Pneumothorax": "absent", "Pleural Effusion": "absent", "No Finding": "present"},
    "心影增大，双侧胸腔积液，肺水肿可能。": {
        "Cardiomegaly": "present",
        "Pleural Effusion": "present",
        "Edema": "uncertain",
    },
    "右上肺结节；肺不张待排。": {"Lung Lesion": "present", "Atelectasis": "uncertain"},
    "左侧气胸已吸收，右侧胸膜增厚。": {"Pneumothorax": "absent", "Pleural Other": "present"},
    "肺炎或肺不张。": {"Pneumonia": "uncertain", "Atelectasis": "uncertain"},
    "病史：肺炎。影像所见：心脏、纵隔正常，无骨折。气管插管在位。": {
        "Cardiomegaly": "absent",
        "Enlarged Cardiomediastinum": "absent",
        "Fracture": "absent",
        "Support Devices": "present",
        "No Finding": "present",
    },
    "未见明显异常。": {"No Finding": "present"},
    "双肺片状影，不除外肺部感染": {"Lung Opacity": "present", "Pneumonia": "uncertain"},
}


def chinese() -> Language:
    return Language.model_validate(tomllib.loads(CHINESE))


@pytest.mark.parametrize("sentence", SAID)
def test_a_second_language_is_a_table(sentence: str) -> None:
    (found,) = RuleLabeller(chinese()).label([sentence])
    states = {name: state.value for name, state in found.states.items() if state is not LabelState.NOT_MENTIONED}
    assert states == SAID[sentence]
    for mention in found.mentions:
        assert sentence[mention.span.start : mention.span.end] == mention.span.text


@pytest.mark.parametrize("sentence", ["No effusion.", "Kein Pneumothorax", "PTX left", "。。。"])
def test_a_second_language_knows_its_own(sentence: str) -> None:
    (found,) = RuleLabeller(chinese()).label([sentence])
    assert found.failed
    assert not found.states


def test_letters_of_a_table_s_own_are_not_foreign() -> None:
    (found,) = RuleLabeller(chinese()).label(["PICC管尖端位于上腔静脉"])
    assert found.of(LabelState.PRESENT) == ("Support Devices",)


def test_a_table_without_headings() -> None:
    table = {**tomllib.loads(CHINESE), "skipped_sections": [], "read_sections": [], "structure_sections": []}
    (found,) = RuleLabeller(Language.model_validate(table)).label(["病史：肺炎。：气胸"])
    assert set(found.of(LabelState.PRESENT)) == {"Pneumonia", "Pneumothorax"}


def test_sides_and_amounts_of_a_second_language() -> None:
    labeller = RuleLabeller(chinese())
    found = labeller.label(["右侧胸腔少量积液。左侧气胸，双侧胸膜增厚。"])[0].mentions
    assert [(m.concept, m.side, m.severity) for m in found] == [
        ("effusion", "right", "small"),
        ("pneumothorax", "left", None),
        ("pleura", "bilateral", None),
    ]
    assert labeller.identity == "hilum-rules-zh/1"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('findings = ["Edema"]', 'findings = ["Oedema"]', "not a finding: Oedema"),
        ('findings = ["Edema"]', "findings = []", "no concept counts for Edema"),
        ('name = "edema"', 'name = "pleura"', "concepts with one name: pleura"),
        ('name = "edema"', 'name = "edema"\nbeside = ["x"]', "no concept is named x"),
        ('phrases = ["肺水肿"]', 'phrases = ["肺水肿"]\nelliptic = ["..."]', "concept 'edema', elliptic: .*gap"),
        ("[scope]", '[scope]\nalone = ["一|"]', r"scope\.alone: .*an alternative that is no word"),
        ('phrases = ["肺水肿"]', 'phrases = ["<lung> 水肿"]', "concept 'edema', phrases: .*<lung>.*does not have"),
        ('phrases = ["肺水肿"]', 'phrases = ["肺水肿?"]', "concept 'edema', phrases: .*can be empty"),
        ('before = ["未见", "无", "不"]', 'before = ["... 无"]', r"cues\.absent\.before: .*begins or ends with a gap"),
        ('be = ["为", "呈", "："]', 'be = ["为|"]', r"classes\.be: .*an alternative that is no word"),
        ('be = ["为", "呈", "："]', 'be = ["<be> 为"]', r"classes\.be: .*<be>"),
        ('small = ["少量"]', 'small = [""]', r"severities\.small: .*can be empty"),
        ('small = ["少量"]', 'tiny = ["少量"]', "severities.tiny"),
        ('joins = ["、", "及", "和", "伴"]', 'joins = ["以及"]', r"scope\.joins: '以及' is not one word"),
        ('version = "1"', 'version = "1"\nauthor = "x"', "author: Extra inputs"),
        ('version = "1"', "", "version: Field required"),
        ("[scope]", "[scope", "not valid TOML"),
    ],
)
def test_an_error_in_a_table_names_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "zh.toml"
    assert old in CHINESE
    path.write_text(CHINESE.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_language(path)
    assert str(path) in str(caught.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.toml cannot be read"):
        read_language(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'language = "\xe9"')
    with pytest.raises(DataError, match="not valid TOML"):
        read_language(tmp_path / "latin.toml")
    with pytest.raises(UsageError, match="'xx'; there are: en"):
        language("xx")


def test_the_built_in_table_speaks_of_every_finding() -> None:
    rules = language()
    assert {name for concept in rules.concept for name in concept.findings} == set(NAMES)
    assert rules.language == "en"
