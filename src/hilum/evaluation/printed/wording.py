"""What the names on a card mean, in the field's terms: of measures, floors, groups, verdicts and conventions.

The page, the tables and the comparison of cards say a name in the same words.
"""

from __future__ import annotations

import re
from functools import cache

from hilum.evaluation.card import JUDGED
from hilum.evaluation.clinical import slug
from hilum.evaluation.differences.table import KINDS, table
from hilum.records import NAMES

FLOORS = {
    "constant_normal": "constant normal",
    "most_frequent": "most frequent",
    "random_training": "random",
    "self": "references themselves",
}
"""The sanity rows of a card, in the order they are shown; the last is the ceiling."""

_EXACT = {
    "rouge_l": ("ROUGE-L", "longest common run of words, gaps allowed"),
    "cider": ("CIDEr", "word runs in common, rare ones counting more; 0 to 10"),
    "meteor": ("METEOR", "words in common, stems and synonyms included"),
    "sacrebleu": ("sacreBLEU", "BLEU as machine translation prints it; 0 to 100"),
    "any_share": ("Any difference, share of studies", "studies with at least one difference of any kind"),
    "any_mean": ("Differences per study", "of any kind"),
    "agreement_14": ("Four-state agreement, 14 findings", "present, absent, uncertain, not mentioned: the very same"),
    "agreement_13": ("Four-state agreement, 13 findings", "without No Finding"),
    "agreement_5": ("Four-state agreement, 5 findings", "the five of CheXpert"),
    "agreement_all_14": ("Studies with all 14 states equal", ""),
    "kappa_mean_14": ("Mean kappa of the four states", "agreement beyond chance, mean over findings"),
    "most_frequent_share": ("Most frequent report", "share of studies that get this one text"),
    "template_share": ("Template sentences", "share of sentences that stand in at least 2 % of the reports"),
    "repeated_share": ("Repeated phrases", "share of 4-word phrases said before in the same report"),
    "length_ratio": ("Length", "words by words of the references; 1 is as long"),
    "looping_share": ("Looping reports", "the same words three times in a row"),
    "empty_share": ("Empty reports", ""),
    "distinct_share": ("Distinct reports", "different texts by studies"),
    "same_findings_share": ("Same findings with another picture", "share of drafts; all four states of 14 findings"),
    "same_text_share": ("Same text with another picture", "share of drafts, word for word"),
    "outside_word_share": ("Words outside the field's language", "of all words; see what is counted below"),
    "colloquial_report_share": ("Reports with a colloquial phrase", "as “looks big” for enlarged"),
    "chexbert": ("Labels of CheXbert", ""),
    "bertscore": ("BERTScore F1", "vectors of the tokens, each with the likest of the other text"),
    "bertscore_precision": ("BERTScore precision", ""),
    "bertscore_recall": ("BERTScore recall", ""),
    "radgraph": ("RadGraph F1", ""),
    "radgraph_f1": ("RadGraph F1", ""),
    "radgraph_simple": ("RadGraph F1, simple", "entities: words and label"),
    "radgraph_partial": ("RadGraph F1, partial", "entities, and whether they have relations"),
    "radgraph_complete": ("RadGraph F1, complete", "entities with each of their relations"),
    "radgraph_combined": ("RadGraph F1, combined", "mean over entities and relations; a part of RadCliQ"),
    "semb_score": ("CheXbert vector similarity", "cosine; a part of RadCliQ"),
    "radcliq_v1": ("RadCliQ-v1", "errors that radiologists would count, estimated; not its inverse"),
    "green": ("GREEN", "findings in common over these and the significant errors"),
    "ratescore": ("RaTEScore", "medical entities by their vectors"),
}
_AVERAGES = {
    "micro": "pooled over findings and studies",
    "macro": "mean over findings, each counting the same",
    "macro_supported": "mean over findings that some reference has",
    "weighted": "mean over findings by how frequent they are",
    "example": "mean over studies",
    "example_empty_1": "mean over studies, one without findings on either side counting 1",
}
_PARTS = {"f1": "F1", "precision": "precision", "recall": "recall"}
_SETS = {"14": "14 findings", "13": "13 findings", "5": "5 findings"}
_OF_FINDING = {
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "n_reference": "Positive references",
    "n_prediction": "Positive predictions",
    "agreement": "Four-state agreement",
    "kappa": "Four-state kappa",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "prevalence": "Prevalence",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "brier": "Brier score",
    "ece": "Calibration error",
    "slope": "Calibration slope",
    "intercept": "Calibration intercept",
    "in_the_large": "Calibration in the large",
    "observed_expected": "Observed by expected",
    "pointing_random": "Pointing at random",
    "pointing_fixed": "Pointing at one fixed place",
    "pointing": "Pointing",
}
_FINDING = {slug(name): name for name in NAMES} | {"macro": "mean over findings"}
_AVERAGE = re.compile(r"(micro|macro_supported|macro|weighted|example_empty_1|example)_(f1|precision|recall)_(14|13|5)")


KINDS_EXPLAINED = {
    "omission": "the reference states it, the draft is silent",
    "invention": "the draft states it, the reference is silent",
    "negation": "one states what the other denies",
    "side": "left for right, one side for both",
    "location": "another lobe or zone",
    "severity": "large or severe on one side only",
    "certainty": "how sure the two are",
    "number": "one for several, or several for one",
    "acuity": "how old it is said to be",
    "course": "better, worse or unchanged",
    "device": "a tube, line or implant",
    "device_position": "where its tip lies",
    "prior": "“unchanged”, “compared with”, where nothing was compared",
    "measurement": "a size in figures",
    "view": "a projection the study is not known to have",
    "recommendation": "follow-up or another examination, made up or left out",
    "communication": "a call or message that nobody reports",
    "statement": "a sentence in other words, unread",
}
"""What the kinds of differences are, in a phrase."""


@cache
def titled(name: str) -> tuple[str, str]:
    """A measure's title and a phrase that explains it, the latter empty where the title says it."""
    if name in _EXACT:
        return _EXACT[name]
    if match := re.fullmatch(r"bleu_([1-4])", name):
        runs = "words in common" if match[1] == "1" else f"runs of up to {match[1]} words in common"
        return f"BLEU-{match[1]}", runs
    if match := _AVERAGE.fullmatch(name):
        how, part, size = match.groups()
        return f"{average_title(how)} {_PARTS[part]}, {_SETS[size]}", _AVERAGES[how]
    for kind in KINDS:
        if name in (f"{kind}_share", f"{kind}_mean"):
            what = "share of studies" if name.endswith("_share") else "per study"
            return f"{table().kinds[kind].title}, {what}", ""
    for what, said in _OF_FINDING.items():
        if name.startswith(f"{what}_") and name.removeprefix(f"{what}_") in _FINDING:
            return f"{said}, {_FINDING[name.removeprefix(f'{what}_')]}", ""
    return name.replace("_", " "), ""


def average_title(how: str) -> str:
    """What an average over findings is called."""
    return "Example, empty as 1," if how == "example_empty_1" else how.replace("_", " ").capitalize()


def title(name: str) -> str:
    """A measure's title."""
    return titled(name)[0]


def system_title(system: str, judged: str) -> str:
    """What a system is called: the judged one by its name, a floor by what it does.

    Args:
        system: of a `Number`.
        judged: the card's own.
    """
    return judged if system == JUDGED else FLOORS.get(system, system)


def group_title(group: str | None) -> str:
    """A subgroup as "view: PA"."""
    if group is None:
        return "all studies"
    what, _, which = group.partition("=")
    return f"{what}: {which}" if which else what


VERDICTS = {
    "empty_system": "Empty reports",
    "repeating_system": "Repeats itself",
    "constant_normal": "One normal report for everything",
    "copier": "Copies the most frequent report",
    "constant_report": "One report for everything",
    "few_reports": "Few different reports",
    "below_floor": "Worse than a system that does not look at the picture",
    "at_floor": "No better than a system that does not look at the picture",
    "empty_predictions": "Empty predictions",
    "unreadable_predictions": "Unreadable predictions",
    "without_reference": "Studies left out",
    "without_picture": "Studies without a picture",
    "not_labelled": "Studies without labels",
    "patients_unknown": "Patients unknown",
    "few_studies": "Too few studies",
    "few_patients": "Too few patients",
    "one_sided_section": "A section is on one side only",
    "references_judged": "The references themselves",
    "labeller_unmeasured": "Labeller not measured",
    "nothing_ranked": "Too few cases of every finding",
    "scores_missing": "Scores missing",
    "unknown_columns": "Columns not used",
    "constant_scores": "The same score for every study",
    "chance": "Not told from chance",
    "below_chance": "Worse than chance",
    "decisions": "Decisions instead of scores",
    "failed_predictions": "Studies without a prediction",
    "miscalibrated": "Scores are no probabilities",
    "few_positives": "Few positives",
    "prevalence_shift": "Other prevalence than in training",
    "out_of_fold": "Judged out of fold",
    "composed_references": "Not held against radiologists' reports",
    "other_picture": "What the picture adds",
}
"""Headings of verdicts, by code."""


_MILDER = {"below_floor": "In some measures worse than a system that does not look at the picture"}


def verdict_title(code: str, *, grave: bool = True) -> str:
    """The heading of a verdict."""
    if not grave and code in _MILDER:
        return _MILDER[code]
    return VERDICTS.get(code, code.replace("_", " ").capitalize())


def spoken(text: str) -> str:
    """A text with the titles of measures and floors for their names: "BLEU-1" for "bleu_1"."""
    for name, called in FLOORS.items():
        text = text.replace(f"“{name.replace('_', ' ')}”", f"“{called}”")
    # a word without an underscore may be any word: only where its two numbers follow is it a measure's name
    text = re.sub(r"\b[a-z]+(?= -?[\d.]+ against )", lambda match: _title_or_name(match[0]), text)
    return re.sub(r"\b[a-z]+(?:_[a-z0-9]+)+\b", lambda match: _title_or_name(match[0]), text)


def _title_or_name(name: str) -> str:
    found = title(name)
    return name if found == name.replace("_", " ") else found


_GLOSSES = {
    "bleu": "implementation; corpus: counts are summed before dividing",
    "rouge_l": "implementation; beta weighs recall; mean over studies",
    "cider": "implementation; idf: how rare a word run is, counted on these references",
    "meteor": "implementation",
    "sacrebleu": "sacreBLEU's own signature",
    "protocol": "how a text becomes words",
    "sections": "which sections of the report are judged",
    "labeller": "what turned texts into findings, with its version",
    "states": "present, absent, uncertain, not mentioned, compared as they are",
    "differences": "version of the rules and weights",
    "habits": "what is counted",
    "terminology": "what counts as the field's language",
    "labels": "where the labels come from",
    "threshold": "where the thresholds come from",
    "bins": "of scores, for the calibration error",
    "mean_over": "the findings that the mean is over",
    "picture": "the one that is shown instead of the study's own",
    "boxes": "outlines drawn by radiologists",
    "hit": "what counts as pointing into a box",
    "scale": "of the number",
    "bertscore": "implementation",
    "encoder": "network that gives the vectors, by the digest of its weights",
    "layer": "of the encoder, whose vectors are compared",
    "idf": "on what tokens are weighed by how rare they are",
    "baseline": "what unrelated sentences score, to rescale by",
    "empty": "what an empty text scores",
    "radgraph": "network, by the digest of its weights",
    "radcliq": "coefficients",
    "chexbert_vector": "network, by the digest of its weights",
    "green": "network, by the digest of its weights",
    "ratescore": "network, by the digest of its weights",
    "package": "that computes it",
}
_VALUE_GLOSSES = {
    "uncertain:negative": "a finding called possible counts as not there",
    "uncertain:positive": "a finding called possible counts as there",
    "uncertain:excluded": "a finding called possible is left out",
    "zero_division:0": "what has no denominator counts 0",
    "zero_division:nan": "what has no denominator stays undefined",
    "not_mentioned:absent": "a finding not mentioned counts as not there",
    "not_mentioned:excluded": "a finding not mentioned is left out",
    "hierarchy:as_given": "labels as they are",
    "hierarchy:closed_upward": "a present finding makes its parents present",
    "failures:excluded": "studies without a prediction are left out",
    "failures:called_absent": "studies without a prediction count as called absent",
    "empty_map:miss": "an empty heat map counts as a miss",
    "sections:both": "FINDINGS and IMPRESSION",
    "protocol:coco": "as COCO's caption evaluation: Penn Treebank tokens in lower case, no punctuation",
    "protocol:r2gen": "as R2Gen does to MIMIC-CXR",
    "protocol:r2gen_iu": "as R2Gen does to IU X-Ray",
    "protocol:raw": "parted at spaces; case and punctuation count",
}


def parts(convention: str) -> dict[str, str]:
    """A convention's parts by their keys; a part without a key stands under itself."""
    found = {}
    for part in convention.split("|"):
        key, _, value = part.partition(":")
        found[key] = value
    return found


def explained(convention: str) -> list[tuple[str, str, str]]:
    """The parts of a convention as key, value and what they mean (empty where the words say it)."""
    out = []
    for key, value in parts(convention).items():
        gloss = _VALUE_GLOSSES.get(f"{key}:{value}") or _VALUE_GLOSSES.get(f"{key}:{value.split(':')[0]}")
        out.append((key.replace("_", " "), value, gloss or _GLOSSES.get(key, "")))
    return out
