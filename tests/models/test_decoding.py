"""Decoding: the same tokens as transformers' own generate, stopping, batches, and noticing loops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hilum.errors import CapabilityError, UsageError
from hilum.models.decoding import find_repetition
from hilum.models.janus import Reporter, load_reporter
from hilum.records import Radiograph, Study


@pytest.fixture(scope="module")
def reporter(tiny_original: Path) -> Reporter:
    return load_reporter(tiny_original, device="cpu")


def study(seed: int, shape: tuple[int, int] = (90, 70)) -> Study:
    pixels = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return Study(f"s{seed}", (Radiograph(pixels, f"s{seed}"),))


def test_greedy_equals_transformers_generate(reporter: Reporter) -> None:
    prompt = reporter.prompt(study(1), ["Edema"])
    from hilum.models.pixels import janus_input

    pixels = janus_input(prompt.images[0].pixels, reporter.image_transform)
    theirs = reporter.network.generate(
        torch.tensor([reporter.input_ids(prompt)]),
        attention_mask=torch.ones(1, len(reporter.input_ids(prompt)), dtype=torch.long),
        pixel_values=pixels[None],
        max_new_tokens=40,
        do_sample=False,
        pad_token_id=reporter.tokenizer.pad,
        eos_token_id=reporter.tokenizer.eos,
    )[0, len(reporter.input_ids(prompt)) :].tolist()
    assert reporter.generate([prompt], max_new_tokens=40)[0].token_ids == theirs


def test_a_batch_equals_one_by_one(reporter: Reporter) -> None:
    prompts = [
        reporter.prompt(study(i), findings) for i, findings in enumerate([None, ["Edema"], ["Pneumonia", "Fracture"]])
    ]
    together = reporter.generate(prompts, max_new_tokens=24)
    apart = [reporter.generate([prompt], max_new_tokens=24)[0] for prompt in prompts]
    assert [g.token_ids for g in together] == [g.token_ids for g in apart]
    assert len({tuple(g.token_ids) for g in together}) > 1


def test_a_row_stops_after_end_of_text_while_others_go_on(reporter: Reporter) -> None:
    prompts = [reporter.prompt(study(i), None) for i in range(4)]
    free = reporter.generate(prompts, max_new_tokens=12)
    # make a token that one row says, and another does not say so early, the end of text
    end = next(t for t in free[0].token_ids if any(t not in g.token_ids for g in free[1:]))
    changed = Reporter.__new__(Reporter)
    changed.__dict__.update(reporter.__dict__)
    from dataclasses import replace

    changed.tokenizer = replace(reporter.tokenizer, eos=end)
    stopped = changed.generate(prompts, max_new_tokens=12)
    for before, after in zip(free, stopped, strict=True):
        if end in before.token_ids:
            assert after.token_ids == before.token_ids[: before.token_ids.index(end) + 1]
            assert after.finish == "stop"
        else:
            assert after.token_ids == before.token_ids
            assert after.finish == "length"
            assert "cut_off" in {notice.code for notice in after.notices}
    assert {g.finish for g in stopped} == {"stop", "length"}


def test_limits(reporter: Reporter) -> None:
    prompt = reporter.prompt(study(1), None)
    assert len(reporter.generate([prompt], max_new_tokens=1)[0].token_ids) == 1
    assert reporter.generate([], max_new_tokens=5) == []
    with pytest.raises(UsageError, match="at least 1"):
        reporter.generate([prompt], max_new_tokens=0)
    with pytest.raises(CapabilityError, match="this model holds"):
        reporter.generate([prompt], max_new_tokens=5000)


@given(st.lists(st.integers(0, 9), max_size=30), st.lists(st.integers(10, 19), min_size=1, max_size=8, unique=True))
def test_loops_are_noticed(start: list[int], loop: list[int]) -> None:
    repeats = max(3, -(-12 // len(loop)))
    notice = find_repetition(start + loop * repeats, "")
    assert notice is not None
    assert notice.code == "repetition"


@given(st.lists(st.integers(0, 10_000), max_size=60, unique=True))
def test_no_loop_in_distinct_tokens(ids: list[int]) -> None:
    assert find_repetition(ids, "The lungs are clear. The heart is normal.") is None


def test_a_sentence_said_three_times_is_noticed() -> None:
    text = "No pleural effusion. The heart is normal. No pleural  effusion. Lungs clear. no pleural effusion."
    assert find_repetition([1, 2, 3], text) is not None
    assert find_repetition([1, 2, 3], text.replace("Lungs clear. no pleural effusion.", "")) is None
