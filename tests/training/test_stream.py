"""The samples of a run: each a function of the recipe and its number, with the prompt and pixels of reading."""

import math
import pickle
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from hilum.imaging import Decoder
from hilum.labeling import read_back
from hilum.models.janus import Reporter, load_reporter
from hilum.models.pixels import janus_input
from hilum.models.prompt import NOTHING_FOUND, WITHOUT_EXPERT, instruction
from hilum.records import NAMES, NO_FINDING, LabelState, Report
from hilum.training.augmentation import augment
from hilum.training.conditioning import Told, told_findings
from hilum.training.pictures import PictureStore, prepare_pictures
from hilum.training.reporter_recipe import Conditioning, Images, Source
from hilum.training.stream import (
    IGNORED,
    Order,
    Sample,
    SampleMaker,
    SampleStream,
    assessed_findings,
    collate,
    length_of,
)
from hilum.training.studies import TrainingStudy, read_material
from training.runs import TINY

ASSESSED = assessed_findings(TINY["assessed"])
SEVERAL = Images(most=3, lateral=True, prior=True)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def reporter(tiny_base: Path) -> Reporter:
    return load_reporter(tiny_base, device="cpu")


@pytest.fixture(scope="module")
def studies(centre: Path) -> tuple[TrainingStudy, ...]:
    return read_material([Source(manifest=centre)], SEVERAL, None).train


@pytest.fixture(scope="module")
def store(
    reporter: Reporter, studies: tuple[TrainingStudy, ...], tmp_path_factory: pytest.TempPathFactory
) -> PictureStore:
    files = list(dict.fromkeys(file for one in studies for file in one.files))
    return prepare_pictures(files, reporter.image_transform, tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def told(studies: tuple[TrainingStudy, ...]) -> dict[str, Told]:
    return told_findings(studies, Conditioning(findings="oracle"), "hilum/1")[0]


class Making:
    """Makers over the made centre that differ in a few settings."""

    def __init__(
        self, reporter: Reporter, store: PictureStore, told: dict[str, Told], studies: tuple[TrainingStudy, ...]
    ) -> None:
        self.reporter, self.store, self.told, self.studies = reporter, store, told, studies

    def maker(
        self, *, text: Any = "report", single: float = 0, augmentation: float = 0, **shares: float
    ) -> SampleMaker:
        images = SEVERAL.model_copy(update={"single": single, "augmentation": augmentation})
        conditioning = Conditioning(findings="oracle", **{"without_expert": 0, "corrupted": 0, **shares})  # type: ignore[arg-type]
        source = Source(manifest=Path("m"), text=text)
        return SampleMaker(self.reporter, self.store, self.told, ASSESSED, images, conditioning, [source])

    def stream(self, n: int = 40, *, seed: int = 3, batch: int = 4, **options: Any) -> SampleStream:
        order = Order([length_of(one, 16) for one in self.studies], [0] * len(self.studies), [1.0], batch, seed)
        return SampleStream(self.studies, self.maker(**options), order, n, seed)

    def text(self, sample: Sample) -> str:
        """The prompt as written, placeholders as they stand; special tokens are kept."""
        return str(self.reporter.tokenizer.tokenizer.decode(sample.prompt, skip_special_tokens=False))

    def answer(self, sample: Sample) -> str:
        return str(self.reporter.tokenizer.decode(sample.answer))


@pytest.fixture(scope="module")
def making(
    reporter: Reporter, store: PictureStore, told: dict[str, Told], studies: tuple[TrainingStudy, ...]
) -> Making:
    return Making(reporter, store, told, studies)


def same(one: Sample, other: Sample) -> bool:
    return (
        one.prompt == other.prompt
        and one.answer == other.answer
        and len(one.pixels) == len(other.pixels)
        and all(torch.equal(a, b) for a, b in zip(one.pixels, other.pixels, strict=True))
    )


def grammar(studies: Sequence[TrainingStudy]) -> list[TrainingStudy]:
    """The same studies with answers from the grammar."""
    return [replace(one, report=None) for one in studies]


# --- a sample is a function of the recipe and its number

CHANCE: dict[str, Any] = {"single": 0.3, "augmentation": 0.7, "without_expert": 0.2, "corrupted": 0.3}


def test_a_sample_is_the_same_alone_in_any_order_and_in_another_stream(making: Making) -> None:
    whole = [making.stream(24, **CHANCE)[k] for k in range(24)]
    other, order = making.stream(99, **CHANCE), list(range(24))
    random.Random(0).shuffle(order)
    random.seed(5)  # nothing else may have a say
    torch.manual_seed(5)
    for k in order:
        assert same(other[k], whole[k]), k
    assert sum(same(making.stream(24, seed=4, **CHANCE)[k], whole[k]) for k in range(24)) < 4
    assert not same(whole[0], whole[1])


def test_workers_make_the_same_samples_in_the_same_order(making: Making) -> None:
    stream = making.stream(12, **CHANCE)
    loader = DataLoader(
        stream, batch_size=4, num_workers=2, collate_fn=list, multiprocessing_context="fork", shuffle=False
    )
    made = [sample for batch in loader for sample in batch]
    assert len(made) == len(stream)
    assert all(same(sample, stream[k]) for k, sample in enumerate(made))


# --- the order


@given(
    st.lists(st.tuples(st.integers(0, 40), st.floats(0.05, 3)), min_size=1, max_size=3).filter(
        lambda sources: any(n for n, _ in sources)
    ),
    st.integers(1, 9),
    st.integers(0, 5),
)
@settings(max_examples=80, deadline=None)
def test_every_study_is_drawn_about_its_weight_times_in_an_epoch(
    sources: list[tuple[int, float]], batch: int, seed: int
) -> None:
    """A weight times, rounded down or up, but for what does not fill a batch."""
    of = [number for number, (n, _) in enumerate(sources) for _ in range(n)]
    sizes = [float((i * 7) % 13) for i in range(len(of))]
    order = Order(sizes, of, [weight for _, weight in sources], batch, seed)
    assert order.epoch_length % batch == 0
    assert order.epoch_length >= batch
    wanted = [max(round(n * weight), 1) / n for n, weight in sources for _ in range(n)]
    missing = round(sum(wanted)) - order.epoch_length
    assert missing < batch
    for epoch in range(3):
        drawn = Counter(order[epoch * order.epoch_length + k] for k in range(order.epoch_length))
        if missing < 0:
            continue  # fewer studies than a batch holds: below
        assert all(drawn[study] <= math.ceil(share - 1e-9) for study, share in enumerate(wanted))
        too_few = sum(max(math.floor(share + 1e-9) - drawn[study], 0) for study, share in enumerate(wanted))
        assert too_few <= missing
    again = Order(sizes, of, [weight for _, weight in sources], batch, seed)
    for k in random.Random(seed).sample(range(3 * order.epoch_length), 5 if order.epoch_length > 1 else 1):
        assert again[k] == order[k]


def test_half_a_weight_takes_a_new_half_each_time() -> None:
    order = Order([1.0] * 40, [0] * 40, [0.5], 4, 0)
    assert order.epoch_length == 20
    halves = [frozenset(order[20 * epoch + k] for k in range(20)) for epoch in range(40)]
    assert all(len(half) == 20 for half in halves)
    assert len(set(halves)) == 40
    assert frozenset().union(*halves) == frozenset(range(40))


def test_a_source_that_hardly_counts_is_still_drawn_from() -> None:
    order = Order([1.0] * 3, [0, 0, 0], [0.01], 4, 0)
    assert order.epoch_length == 4
    assert {order[k] for k in range(40)} == {0, 1, 2}


def test_fewer_studies_than_a_batch_are_repeated_evenly() -> None:
    for n, batch in ((1, 8), (3, 8), (5, 8), (7, 8)):
        order = Order([float(i) for i in range(n)], [0] * n, [1.0], batch, 0)
        assert order.epoch_length == batch
        first = [order[k] for k in range(batch)]
        assert set(first) == set(range(n))
        drawn = Counter(order[k] for k in range(100 * batch))
        assert max(drawn.values()) - min(drawn.values()) < 0.15 * 100 * batch


def test_batches_are_whole_and_of_like_length() -> None:
    rng = random.Random(0)
    sizes = [rng.uniform(0, 100) for _ in range(1000)]
    order = Order(sizes, [0] * 1000, [1.0], 8, 1)
    batches = [[sizes[order[8 * b + k]] for k in range(8)] for b in range(125)]
    assert sum(max(batch) - min(batch) for batch in batches) / 125 < 5
    means = [sum(batch) for batch in batches]
    rising = sum(one < after for one, after in pairwise(means))
    assert 40 < rising < 84, "long and short ones are mixed"
    first, second = ([order[1000 * epoch + k] for k in range(1000)] for epoch in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(1000))


def test_an_empty_source_takes_no_part() -> None:
    order = Order([1.0] * 4, [1] * 4, [1.0, 1.0, 2.0], 4, 0)
    assert order.epoch_length == 4
    assert sorted(order[k] for k in range(4)) == [0, 1, 2, 3]


# --- the prompt and the pixels of reading


def test_the_prompt_is_that_of_reading(making: Making) -> None:
    maker = making.maker()
    for one in making.studies:
        sample = maker.train(one, random.Random(0))
        prompt = making.reporter.prompt(one.study, making.told[one.key])
        assert sample.prompt == making.reporter.input_ids(prompt)
        assert instruction(making.told[one.key], "hilum/1") in making.text(sample)
        held, shown, reference = maker.held_out(one)
        assert same(held, sample), "without chance training and validation are the same"
        assert shown.content == prompt.content
        assert reference is one.report


def test_the_answer_is_the_report_and_an_end(making: Making) -> None:
    for one in making.studies:
        sample = making.maker().train(one, random.Random(0))
        assert one.report is not None
        assert making.answer(sample) == " " + one.report.format()
        assert sample.answer[-1] == making.reporter.tokenizer.eos
        assert sample.answer.count(making.reporter.tokenizer.eos) == 1
        parsed = Report.parse(making.answer(sample))
        assert (parsed.findings_text, parsed.impression_text) == (
            one.report.findings_text,
            one.report.impression_text,
        )


def test_every_place_has_its_picture_in_order(making: Making) -> None:
    seen = set()
    with Decoder() as decoder:
        for one in making.studies:
            sample = making.maker().train(one, random.Random(0))
            expected = [
                *one.study.frontals,
                *one.study.laterals,
                *(one.study.prior.frontals[:1] if one.study.prior else ()),
            ]
            seen.add((len(one.study.laterals), one.study.prior is not None))
            assert [image.source for image in expected] == list(one.files)
            places = [f"{name}: " for name, n in (("Frontal image", 1), ("Lateral image", len(one.study.laterals)),
                      ("Prior frontal image", one.study.prior is not None)) if n]  # fmt: skip
            text = making.text(sample)
            assert len(sample.pixels) == len(expected) == len(places)
            if len(places) > 1:
                assert sorted(places, key=text.index) == places
            assert sample.prompt.count(making.reporter.tokenizer.image) == len(expected) * making.reporter.image_tokens
            assert sample.prompt.count(making.reporter.tokenizer.boi) == len(expected)
            for image, pixels in zip(expected, sample.pixels, strict=True):
                read = decoder.read(image.source).pixels
                assert torch.equal(pixels, janus_input(read, making.reporter.image_transform))
    assert seen == {(1, False), (0, True)}


def test_single_is_the_share_of_prompts_with_one_picture(making: Making) -> None:
    lateral = next(one for one in making.studies if one.study.laterals)
    for share in (0.0, 0.3, 1.0):
        maker = making.maker(single=share)
        n = 300
        alone = [len(maker.train(lateral, random.Random(k)).pixels) == 1 for k in range(n)]
        within(sum(alone), n, share)
    sample = making.maker(single=1.0).train(lateral, random.Random(0))
    assert "image: " not in making.text(sample), "one picture has the authors' own form"
    assert torch.equal(sample.pixels[0], making.store.pixels(lateral.files[0]))


def test_augmentation_stays_between_black_and_white(making: Making) -> None:
    low, high = making.store.ends()
    one, moved = making.studies[0], set()
    for k in range(10):
        sample = making.maker(augmentation=1.0).train(one, random.Random(k))
        for pixels, file in zip(sample.pixels, one.files, strict=True):
            assert ((pixels >= low) & (pixels <= high)).all()
            assert not torch.equal(pixels, making.store.pixels(file))
            moved.add(round(float((pixels - making.store.pixels(file)).mean()), 6))
    assert len(moved) == 10 * len(one.files), "every picture varies in its own way"
    ends = (torch.tensor([[[-2.0]], [[-1.0]], [[0.0]]]), torch.tensor([[[2.0]], [[3.0]], [[1.0]]]))
    white = ends[1].expand(3, 8, 8)[None].contiguous()
    varied = torch.cat([augment(white, torch.Generator().manual_seed(k), 1.0, ends) for k in range(20)])
    assert (varied <= ends[1]).all()
    assert (varied[:, 1] > 1.5).all(), "a scale that ends above 1 is not cut at 1"


# --- shares of what the prompt says


def within(found: int, n: int, share: float) -> None:
    """A binomial count within four standard deviations of its mean."""
    assert abs(found - n * share) <= 4 * (n * share * (1 - share)) ** 0.5, (found, n, share)


def test_shares_without_an_expert_and_with_a_wrong_one(making: Making) -> None:
    n = 900
    stream = making.stream(n, without_expert=0.2, corrupted=0.3)
    order = Order([length_of(one, 16) for one in making.studies], [0] * len(making.studies), [1.0], 4, 3)
    counts = Counter[str]()
    for k in range(n):
        one, sample = making.studies[order[k]], stream[k]
        assert one.report is not None
        assert making.answer(sample) == " " + one.report.format(), "the answer stays right whatever is told"
        asked = making.text(sample).rpartition("\n\nAssistant:")[0].rpartition("\n")[2].removeprefix("User: ")
        if asked == instruction(making.told[one.key], "hilum/1"):
            counts["right"] += 1
        else:
            counts["none" if asked == WITHOUT_EXPERT else "wrong"] += 1
    within(counts["none"], n, 0.2)
    within(counts["wrong"], n, 0.3)
    assert any(NOTHING_FOUND in making.text(stream[k]) for k in range(n)), "found nothing is not the same as no expert"


def test_shares_of_random_findings(making: Making) -> None:
    maker = making.maker(text="grammar", random_findings=0.4, without_expert=0.25)
    studies, n = grammar(making.studies), 900
    counts = Counter[str]()
    for k in range(n):
        sample = maker.train(studies[k % len(studies)], random.Random(f"{k}"))
        text = making.text(sample)
        if all(bool((pixels == 0).all()) for pixels in sample.pixels):
            counts["blank"] += 1
        counts["none"] += WITHOUT_EXPERT in text
    within(counts["blank"], n, 0.2)
    within(counts["none"], n, 0.6 * 0.25)


def test_a_random_set_is_in_the_prompt_and_in_the_answer(making: Making) -> None:
    maker = making.maker(text="grammar", random_findings=1.0, corrupted=1.0)
    one = grammar(making.studies)[0]
    sizes = set()
    for k in range(40):
        sample = maker.train(one, random.Random(k))
        said = read_back(making.answer(sample)).states
        present = [name for name in NAMES if said.get(name) is LabelState.PRESENT and name != NO_FINDING]
        assert instruction(present, "hilum/1") in making.text(sample)
        sizes.add(len(present))
    assert len(sizes) > 5


def test_grammar_answers_say_the_labels_of_what_is_assessed(making: Making) -> None:
    maker = making.maker(text="grammar")
    one = replace(making.studies[0], report=None, labels={
        "Lung Lesion": LabelState.PRESENT, "Pleural Effusion": LabelState.ABSENT, "Fracture": LabelState.PRESENT,
        "Edema": LabelState.ABSENT,
    })  # fmt: skip
    texts = {making.answer(maker.train(one, random.Random(k))) for k in range(12)}
    assert len(texts) > 3, "the wording varies"
    for text in texts:
        states = {name: state for name, state in read_back(text).states.items() if name != NO_FINDING}
        assert states == {"Lung Lesion": LabelState.PRESENT, "Pleural Effusion": LabelState.ABSENT}
    (held, _, reference), (again, _, _) = maker.held_out(one), maker.held_out(one)
    assert same(held, again)
    assert making.answer(held) == " " + reference.format()


# --- batches


def test_collate_pads_on_the_right_and_has_a_loss_on_answers_alone(making: Making) -> None:
    stream = making.stream(8, **CHANCE)
    samples = [stream[k] for k in range(8)]
    pad = making.reporter.tokenizer.pad
    batch = collate(samples, pad)
    length = max(len(s.prompt) + len(s.answer) for s in samples)
    assert {name: tuple(value.shape) for name, value in batch.items() if name != "pixel_values"} == dict.fromkeys(
        ("input_ids", "attention_mask", "labels"), (8, length)
    )
    picture = 0
    for row, sample in enumerate(samples):
        n, start = len(sample.prompt) + len(sample.answer), len(sample.prompt)
        assert batch["input_ids"][row].tolist() == [*sample.prompt, *sample.answer, *[pad] * (length - n)]
        assert batch["attention_mask"][row].tolist() == [1] * n + [0] * (length - n)
        assert batch["labels"][row].tolist() == [IGNORED] * start + sample.answer + [IGNORED] * (length - n)
        # the state at the last token of the prompt predicts the first of the answer, that before the end the end
        wanted = batch["labels"][row, 1:]
        at = (wanted != IGNORED).nonzero().flatten().tolist()
        assert at == list(range(start - 1, n - 1))
        assert batch["input_ids"][row, :-1][at].tolist() == [sample.prompt[-1], *sample.answer[:-1]]
        for pixels in sample.pixels:
            assert torch.equal(batch["pixel_values"][picture], pixels)
            picture += 1
    assert picture == len(batch["pixel_values"])


def test_a_batch_of_one_has_no_padding(making: Making) -> None:
    sample = making.stream(1)[0]
    batch = collate([sample], 0)
    assert bool(batch["attention_mask"].all())
    assert batch["input_ids"].dtype == torch.int64


def test_longer_reports_and_more_pictures_are_taken_for_longer_samples(making: Making) -> None:
    one = making.studies[0]
    assert one.report is not None
    longer = replace(one, report=Report(one.report.findings_text * 5, one.report.impression_text))
    single = replace(one, files=one.files[:1])
    n = making.reporter.image_tokens
    assert length_of(single, n) < length_of(one, n) < length_of(longer, n)
    assert length_of(one, n) - length_of(single, n) == n


def test_a_stream_goes_to_a_worker_that_is_started_anew(making: Making) -> None:
    """Python starts workers by forkserver from 3.14 on, and always by spawn on macOS and Windows."""
    stream = making.stream(12, augmentation=0.5, without_expert=0.3)
    here = [stream[k] for k in range(12)]  # caches are warm
    sent = pickle.dumps(stream)
    weights = sum(p.nbytes for p in making.reporter.network.parameters())
    assert len(sent) < weights, "no weights go along"
    there = pickle.loads(sent)
    assert all(same(a, there[k]) for k, a in enumerate(here))
    assert making.reporter.network is not None, "what is sent is a copy"
    loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    assert all(same(a, b) for a, b in zip(here, loader, strict=True))
