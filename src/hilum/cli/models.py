"""`hilum models`: what is bundled, what a checkpoint says of itself, whether it is whole, converting one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hilum.models.checkpoint import CheckpointInfo

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, show, verify and convert models.")


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A checkpoint folder, starter for the bundled ones, or a hub id fetched before."
    ),
]


@app.command("list")
def list_() -> None:
    """List the bundled models."""
    from hilum.models.checkpoint import read_info, starters

    for folder in starters():
        info = read_info(folder)
        megabytes = sum(p.stat().st_size for p in folder.iterdir() if p.is_file()) / 1e6
        demo = "  for demonstration only" if info.demonstration else ""
        _say(f"{info.kind:9} starter  {info.name} {info.version}  {megabytes:.1f} MB{demo}")


@app.command()
def show(
    model: Model,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print hilum.json as it is; of several (starter), a list.")
    ] = False,
) -> None:
    """Show what a checkpoint says of itself: findings and thresholds, capabilities, licence, provenance."""
    from hilum.models.checkpoint import MANIFEST, read_info

    shown = []
    for folder in _folders(model):
        if (folder / MANIFEST).exists():
            info = read_info(folder)
        else:
            from hilum.models.folders import open_folder

            info = open_folder(folder).info
        if not as_json:
            _describe(info)
        shown.append(info.model_dump(mode="json", by_alias=True, exclude_none=True))
    if as_json:
        # in ASCII, so that any terminal or pipe carries it unharmed
        typer.echo(json.dumps(shown if len(shown) > 1 else shown[0], indent=2))


@app.command()
def verify(model: Model) -> None:
    """Check every file of a checkpoint against the hashes in its hilum.json."""
    from hilum.models.checkpoint import verify as verify_checkpoint

    for folder in _folders(model):
        info = verify_checkpoint(folder)
        _say(f"{folder}: {info.kind} {info.name} {info.version}: all {len(info.files)} files are as listed.")


@app.command()
def convert(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A Janus folder (original or Hugging Face format) or hub id.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The checkpoint folder to make.")],
    download: Annotated[bool, typer.Option("--download", help="Allow fetching IN from the hub.")] = False,
) -> None:
    """Write a Janus checkpoint of another format, pickled weights included, as a Hilum checkpoint folder."""
    from hilum.models.convert import convert as convert_checkpoint

    info = convert_checkpoint(source, out, download=download)
    _say(f"{out}: {info.kind} {info.name}, {len(info.files)} files. Read with it: hilum read PATH --model {out}")


def _folders(model: str) -> list[Path]:
    """The folders that a reference means."""
    from hilum.models.checkpoint import starters

    if model == "starter":
        return starters()
    folder = Path(model).expanduser()
    if folder.is_dir():
        return [folder]
    from hilum.models.folders import resolve  # brings torch, which a folder does not need

    return [resolve(model)]


def _say(text: str) -> None:
    """Print what a checkpoint says; its names must not steer the terminal."""
    from hilum.pages import printable_name

    typer.echo(printable_name(text))


_YES_NO = {True: "yes", False: "no", None: "not stated"}


def _describe(info: CheckpointInfo) -> None:
    able = info.capabilities
    lines = [
        ("kind", info.kind + (", for demonstration only" if info.demonstration else "")),
        ("licence", info.licence or "not stated"),
        ("views", ", ".join(view.value for view in able.views)),
        ("images per report", str(able.max_images) if info.kind == "reporter" else ""),
        ("prior images", ("yes" if able.prior else "no") if info.kind == "reporter" else ""),
        ("indication", _YES_NO[able.indication] if info.kind == "reporter" else ""),
        ("language", able.language if info.kind == "reporter" else ""),
        ("youngest patient", "not stated" if able.min_age_years is None else f"{able.min_age_years:g} years"),
        ("heat maps point", (", ".join(able.pointing) or "not tested, or not passed") if info.kind == "expert" else ""),
        ("grey values", able.intensity.replace("_", " ")),
        ("prompt", info.prompt_version or ""),
        ("input", f"{info.input_size} px" if info.input_size else ""),
        *((name, str(value)) for name, value in info.provenance.items() if isinstance(value, str | int | float)),
    ]
    _say(f"{info.name} {info.version}")
    for name, value in lines:
        if value:
            _say(f"  {name:18} {value}")
    if info.gate:
        _say(f"  {'looks at features of':18} {info.gate.expert}, weights sha256 {info.gate.expert_weights[:12]}")
        _say(f"  {'kind':28}   warn  abstain")
        for kind in info.gate.kinds:
            warn, abstain = ("-" if each is None else f"{each:.2f}" for each in (kind.warn, kind.abstain))
            _say(f"  {kind.code:28} {warn:>6}  {abstain:>7}")
    if info.findings:
        _say(f"  {'finding':28} inject  positives  calibrated")
    for spec in info.findings:
        if spec.assessed:
            inject = "-" if spec.thresholds.inject is None else f"{spec.thresholds.inject:.2f}"
            positives = "-" if spec.n_positive is None else str(spec.n_positive)
            _say(f"  {spec.name:28} {inject:>6}  {positives:>9}  {'yes' if spec.calibration else 'no'}")
        else:
            _say(f"  {spec.name:28} not assessed: {spec.reason or 'not trained'}")
