"""Cases and drafts of reporters whose behaviour is known, and the analysis of them."""

from hilum.evaluation.ablation.arms import ARMS, Arm, Case, flips, natural_errors, other_patients
from hilum.evaluation.ablation.drafts import Draft
from hilum.evaluation.ablation.expert import ExpertOptions, analyse
from hilum.evaluation.findings.cases import LabelRule
from hilum.evaluation.intervals import Resampling
from hilum.records import NAMES, LabelState

FINDINGS = ("Cardiomegaly", "Lung Opacity", "Edema", "Pneumothorax", "Pleural Effusion", "Fracture")
SAID = {
    "Cardiomegaly": "The heart is enlarged.",
    "Lung Opacity": "There is a lung opacity.",
    "Edema": "There is pulmonary edema.",
    "Pneumothorax": "There is a pneumothorax.",
    "Pleural Effusion": "There is a pleural effusion.",
    "Fracture": "There is a rib fracture.",
}
DENIED = {
    "Cardiomegaly": "No cardiomegaly.",
    "Lung Opacity": "No lung opacity.",
    "Edema": "No pulmonary edema.",
    "Pneumothorax": "No pneumothorax.",
    "Pleural Effusion": "No pleural effusion.",
    "Fracture": "No rib fracture.",
}


def case(n, *present, predicted=(), patient=None, uncertain=(), silent=()):
    """A study: `present`, `uncertain` and `silent` findings; the other ones of `FINDINGS` are absent."""
    states = dict.fromkeys(NAMES, LabelState.NOT_MENTIONED)
    for name in FINDINGS:
        states[name] = LabelState.PRESENT if name in present else LabelState.ABSENT
        if name in uncertain:
            states[name] = LabelState.UNCERTAIN
        if name in silent:
            states[name] = LabelState.NOT_MENTIONED
    return Case(f"made/s{n:02d}", f"made/{patient or f'p{n:02d}'}", states, frozenset(predicted))


def text(present, denied=()):
    return " ".join([*(SAID[name] for name in FINDINGS if name in present), *(DENIED[n] for n in denied)])


def parrot(case_, told):
    """Says what it is told and denies the rest; sees nothing."""
    told = told or frozenset()
    return text(told, [name for name in FINDINGS if name not in told])


def seer(case_, told):
    """Says what is there, whatever it is told."""
    present = case_.oracle(FINDINGS)
    return text(present, [name for name in FINDINGS if name not in present])


def analysed(cases, reporter, *, rule=None, per_direction=None, seed=1):
    """The analysis of a reporter that maps (case shown, told) to a text; None stands for a blank picture."""
    other = other_patients([c.study for c in cases], [c.patient for c in cases], seed=seed)
    sets = {
        "none": [None] * len(cases),
        "predicted": [c.predicted for c in cases],
        "wrong": [cases[i].predicted for i in other],
        "oracle": [c.oracle(FINDINGS) for c in cases],
    }
    seen = {"true": list(cases), "shuffled": [cases[i] for i in other], "blank": [case(99)] * len(cases)}
    told = {arm: sets[arm.told] for arm in ARMS}

    def draft(which, names):
        return Draft(reporter(which, names), "stop")

    drafts = {arm: [draft(*pair) for pair in zip(seen[arm.picture], sets[arm.told], strict=True)] for arm in ARMS}
    flipped = [e for n, c in enumerate(cases) for e in flips(c, n, FINDINGS, per_direction=per_direction, seed=seed)]
    own = [e for n, c in enumerate(cases) for e in natural_errors(c, n, FINDINGS)]
    errors = {
        origin: (held, [draft(cases[e.case], e.told) for e in held])
        for origin, held in (("flip", flipped), ("natural", own))
    }
    options = ExpertOptions(
        rule=rule or LabelRule(), seed=seed, resampling=Resampling(n_resamples=200, n_permutations=300)
    )
    facts = {"studies": len(cases), "patients": len({c.patient for c in cases})}
    return analyse(cases, FINDINGS, drafts, told, errors, options=options, facts=facts)


def pooled(found, origin, direction):
    (one,) = [p for p in found.propagation if (p.origin, p.direction, p.finding) == (origin, direction, None)]
    return one


def f1(found, told, picture="true"):
    return found.number(Arm(told, picture), "micro_f1_labels").estimate
