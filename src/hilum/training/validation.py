"""What is measured while a reporter is trained: the loss of held-out answers, and the clinical F1 of held-out drafts.

The drafts are labelled and held against their references by the judge's own code (`hilum.evaluation`), uncertain
counted as negative. They are a sample for choosing a checkpoint, on the validation split, and no result to report.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from hilum.evaluation.clinical import CLASSES, averages, per_finding
from hilum.evaluation.labelled import LabelledTexts, label_texts, pair_labels
from hilum.evaluation.pairs import Pair, Pairs, whole_text
from hilum.models.janus import Reporter
from hilum.models.prompt import Prompt
from hilum.records import Report
from hilum.training.reporter_recipe import Validation
from hilum.training.stream import IGNORED, Sample, SampleMaker, collate
from hilum.training.studies import TrainingStudy

KEPT = ("loss", *(f"{average}_f1_{n}" for average in ("micro", "macro") for n in CLASSES))
"""The figures every validation gives; the per-finding F1 come on top, as "f1_edema"."""


class Validator:
    """Measures a reporter under training on a fixed sample of the validation studies.

    Args:
        reporter: around the very network that is trained.
        maker: makes the samples, as at reading time.
        studies: of the validation splits; none means that nothing can be measured.
        options: of the recipe.
        micro_batch: studies at once.
        seed: of the sample.
        samples: where the drafts of the newest validation are written, as JSON lines.
        bfloat16: compute so under autocast, as in training.
    """

    def __init__(
        self,
        reporter: Reporter,
        maker: SampleMaker,
        studies: Sequence[TrainingStudy],
        options: Validation,
        *,
        micro_batch: int,
        seed: int,
        samples: Path,
        bfloat16: bool,
    ) -> None:
        rng = random.Random(f"validation/{seed}")  # noqa: S311  # a reproducible sample, no secret
        drawn = rng.sample(list(studies), min(len(studies), max(options.loss_studies, options.report_studies)))
        self._reporter = reporter
        self._maker = maker
        self._for_loss = drawn[: options.loss_studies]
        self._for_reports = drawn[: options.report_studies]
        self._options = options
        self._micro_batch = micro_batch
        self._samples = samples
        self._bfloat16 = bfloat16
        self._references: LabelledTexts | None = None

    def __call__(self, model: nn.Module, step: int) -> dict[str, float]:
        """The figures of this step: `KEPT`, as far as the recipe asks for them, and F1 per finding with cases."""
        device = next(model.parameters()).device
        self._reporter.device = device
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bfloat16):
            figures = {"loss": self._loss(model, device)}
            if self._for_reports:
                figures |= self._clinical(step)
        return figures

    def _loss(self, model: nn.Module, device: torch.device) -> float:
        """Mean over the answers' tokens."""
        total = torch.zeros(2, dtype=torch.float64)
        own = _share(self._for_loss)
        for start in range(0, len(own), self._micro_batch):
            batch = collate(
                [self._sample(one) for one in own[start : start + self._micro_batch]], self._reporter.tokenizer.pad
            )
            tokens = int((batch["labels"][:, 1:] != IGNORED).sum())
            loss = float(model(**{name: value.to(device) for name, value in batch.items()}))
            total += torch.tensor([loss * tokens, tokens], dtype=torch.float64)
        if dist.is_initialized():
            dist.all_reduce(total := total.to(device) if device.type == "cuda" else total)
        return float(total[0] / total[1]) if total[1] else math.nan

    def _sample(self, one: TrainingStudy) -> Sample:
        return self._maker.held_out(one)[0]

    def _clinical(self, step: int) -> dict[str, float]:
        """F1 of the drafts; every process writes its share of them, all get the same figures."""
        own: list[tuple[int, str, bool]] = []
        mine = _share(list(enumerate(self._for_reports)))
        for start in range(0, len(mine), self._micro_batch):
            part = mine[start : start + self._micro_batch]
            made = [self._maker.held_out(one) for _, one in part]
            written = self._reporter.generate_from(
                [prompt for _, prompt, _ in made],
                [sample.pixels for sample, _, _ in made],
                max_new_tokens=self._options.max_new_tokens,
            )
            own += [(number, one.text, one.finish == "stop") for (number, _), one in zip(part, written, strict=True)]
        every: list[Any] = [own]
        if dist.is_initialized():
            every = [None] * dist.get_world_size()
            dist.all_gather_object(every, own)
        drafts = sorted(row for part in every for row in part)
        made = [self._maker.held_out(one) for one in self._for_reports]
        references = [whole_text(r.findings_text, r.impression_text) for _, _, r in made]
        texts = [whole_text(r.findings_text, r.impression_text) for r in (Report.parse(text) for _, text, _ in drafts)]
        rows = zip(self._for_reports, references, texts, strict=True)
        pairs = Pairs(tuple(Pair(s.key, s.patient, r, t) for s, r, t in rows), "both", patients_known=True)
        if self._references is None:
            self._references = label_texts(references, workers=1)
        labelled = pair_labels(pairs, self._references, label_texts(texts, workers=1))
        found: dict[str, float] = {}
        for measures in (averages(labelled, "uncertain_negative"), per_finding(labelled, "uncertain_negative")):
            found |= dict(zip(measures.names, map(float, measures.all()), strict=True))
        figures = {name: found[name] for name in KEPT if name in found}
        figures |= {n: v for n, v in found.items() if n.startswith("f1_") and math.isfinite(v)}
        figures["cut_off"] = sum(not whole for _, _, whole in drafts) / max(len(drafts), 1)
        figures["distinct_reports"] = len(set(texts)) / max(len(texts), 1)
        if not dist.is_initialized() or dist.get_rank() == 0:
            self._write(step, [prompt for _, prompt, _ in made], references, texts, drafts)
        return figures

    def _write(
        self,
        step: int,
        prompts: Sequence[Prompt],
        references: Sequence[str],
        texts: Sequence[str],
        drafts: Sequence[tuple[int, str, bool]],
    ) -> None:
        lines = [
            json.dumps(
                {
                    "step": step,
                    "prompt": prompt.content.splitlines()[-1],
                    "reference": reference,
                    "draft": text,
                    "written": written,  # the draft before its sections were read
                    "cut_off": not whole,
                },
                ensure_ascii=False,
            )
            for prompt, reference, text, (_, written, whole) in zip(prompts, references, texts, drafts, strict=True)
        ]
        self._samples.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _share(items: list[Any]) -> list[Any]:
    """Those of this process."""
    return items[dist.get_rank() :: dist.get_world_size()] if dist.is_initialized() else items
