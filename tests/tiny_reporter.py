"""Writes a reporter's checkpoint with random weights that says it has been through stage 1: one to adapt."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hilum.models.checkpoint import CheckpointInfo, ImageTransform
from hilum.models.convert import write_reporter
from hilum.models.folders import Folder
from hilum.training.fresh import fresh_network, write_tokenizer
from hilum.training.reporter_recipe import FreshNetwork

SIZES = FreshNetwork(
    image_size=32, vision_width=16, vision_layers=1, vision_heads=2, language_width=32, language_layers=1,
    language_heads=2, language_ffn=32, vocabulary=400,
)  # fmt: skip


def write_running(folder: Path, *, seed: int = 3) -> Path:
    """Write it; one that is not trained writes up to the longest draft."""
    folder.mkdir(parents=True)
    with TemporaryDirectory() as place:
        tokenizer = write_tokenizer(Path(place), ("Lung Lesion",), SIZES.vocabulary)
        network = fresh_network(SIZES, tokenizer, seed)
        info = CheckpointInfo(
            kind="reporter", name="ours", version="1", demonstration=True, prompt_version="hilum/1",
            image=ImageTransform(size=SIZES.image_size), provenance={"stage_history": ["stage1"]},
        )  # fmt: skip
        write_reporter(folder, network, Folder(Path(place), "hilum", network.config, info, tokenizer, None), info)
    return folder
