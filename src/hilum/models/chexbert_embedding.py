"""The vector of a report that CheXbert decides from, which RadCliQ compares ("s_emb")."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hilum.models.chexbert import CheXbert

_BATCH = 32


@torch.inference_mode()
def embed(chexbert: CheXbert, texts: Sequence[str]) -> torch.Tensor:
    """The last hidden state of each text's first token, ``[n, H]``, float32, on the CPU.

    Source:
        `encode.py` of CXR-Report-Metric (Yu et al., Patterns 4:100802, 2023), as RadEval 2.2.1 has it.
    """
    distinct = sorted(dict.fromkeys(texts), key=len)
    vectors: dict[str, torch.Tensor] = {}
    network, device = chexbert._network, chexbert._device
    for start in range(0, len(distinct), _BATCH):
        batch = distinct[start : start + _BATCH]
        ids, mask = chexbert.encode(batch)
        states = network.bert(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state
        vectors |= dict(zip(batch, states[:, 0].float().cpu(), strict=True))
    return torch.stack([vectors[text] for text in texts])
