"""`hilum corpus`: from downloaded folders to one manifest, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make manifests of corpora, and check them.")

Manifest = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest, or the folder it was built in.")]


@app.command()
def build(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="mimic_cxr, chexpert_plus, open_i, nih_chestxray14 or site.")
    ],
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder the corpus lies in, as its publisher ships it.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to make; a stopped build goes on in it.")],
    config: Annotated[
        Path | None, typer.Option(metavar="TOML", help="site: how the hospital's columns are called.")
    ] = None,
    trust_images: Annotated[
        bool, typer.Option("--trust-images", help="Do not look whether every picture is there.")
    ] = False,
    keep_comparisons: Annotated[
        bool, typer.Option("--keep-comparisons", help="Leave comparisons with priors in the reports.")
    ] = False,
    keep_masks: Annotated[
        bool, typer.Option("--keep-masks", help="Leave the marks of de-identification in the reports.")
    ] = False,
    language: Annotated[str, typer.Option(help="Of the reports.")] = "en",
    shares: Annotated[
        str, typer.Option(help="Shares of patients to train, validate and test on, where there is no official split.")
    ] = "0.8,0.1,0.1",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 takes one for each processor.")] = 0,
) -> None:
    """Write one manifest of a corpus, and a page that says what is in it and what was left out.

    A patient in two splits stops the work. A build that was stopped goes on when the same command is given again.
    """
    from rich.console import Console
    from rich.progress import Progress

    from hilum.corpora import open_corpus
    from hilum.corpora.build import BuildOptions
    from hilum.corpora.build import build as build_manifest
    from hilum.corpora.manifest import check_manifest
    from hilum.corpora.preparation import Preparation
    from hilum.corpora.qc import qc_page

    options = BuildOptions(
        images="trust" if trust_images else "exist",
        preparation=Preparation(masks=not keep_masks, comparisons=not keep_comparisons),
        language=language,
        shares=_shares(shares),
        workers=workers,
    )
    corpus = open_corpus(name, root, config=config)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("studies", total=None)
        result = build_manifest(corpus, root, out, options, lambda done, n: bar.update(task, completed=done, total=n))
    page = qc_page(result.manifest, corpus.about, result.counts, result.examples, check_manifest(result.manifest))
    (out / "qc.html").write_text(page, encoding="utf-8")
    _print_counts(result.counts)
    typer.echo(f"Written to {out}: manifest.parquet, qc.html, build.json ({result.manifest.height} studies).", err=True)


@app.command()
def show(manifest: Manifest) -> None:
    """Print what is in a manifest."""
    from hilum.corpora.manifest import read_manifest
    from hilum.corpora.qc import summarise

    table = read_manifest(manifest)
    summary = summarise(table)
    typer.echo(f"{table.height} studies of {', '.join(table['corpus'].unique().sort())}")
    for split, row in summary.splits.items():
        typer.echo(f"  {split:10} " + ", ".join(f"{n} {what}" for what, n in row.items()))
    typer.echo("views: " + ", ".join(f"{view} {n}" for view, n in summary.views.items()))
    typer.echo(f"studies with a prior: {summary.priors}")
    for origin, findings in summary.prevalence.items():
        typer.echo(f"labels {origin}: finding, present / uncertain / absent / not mentioned")
        for name, row in findings.items():
            typer.echo(
                f"  {name:28} {row['present']:7} {row['uncertain']:7} {row['absent']:7} {row['not_mentioned']:7}"
            )


@app.command()
def check(
    manifest: Manifest,
    images: Annotated[bool, typer.Option("--images", help="Also look whether every picture is there.")] = False,
) -> None:
    """Look for what makes a manifest unfit: leaks between splits, studies twice, priors that are none, lost pictures.

    Exit status: 0 nothing found, 3 something found.
    """
    from hilum.corpora.manifest import check_manifest, read_manifest

    faults = check_manifest(read_manifest(manifest), images=images)
    for fault in faults:
        typer.echo(f"{fault.code}: {fault.n} ({', '.join(fault.examples)})")
    if not faults:
        typer.echo("Nothing found.")
    raise typer.Exit(3 if faults else 0)


@app.command()
def merge(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests of different corpora.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The manifest to write (.parquet).")],
) -> None:
    """Put manifests together into one; a patient in two splits or a study twice is refused."""
    from hilum.corpora.manifest import merge as together
    from hilum.corpora.manifest import read_manifest, write_manifest

    table = together([read_manifest(path) for path in manifests])
    write_manifest(table, out)
    typer.echo(f"Written to {out}: {table.height} studies.", err=True)


@app.command()
def sample(
    manifest: Manifest,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The manifest to write (.parquet).")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients to draw.")] = 100,
    split: Annotated[str | None, typer.Option(help="Only from this split.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same patients.")] = 0,
) -> None:
    """Draw patients at random, with all of their studies."""
    from hilum.corpora.manifest import read_manifest, write_manifest
    from hilum.corpora.manifest import sample as draw

    table = draw(read_manifest(manifest), patients, seed=seed, split=split)
    write_manifest(table, out)
    typer.echo(f"Written to {out}: {table.height} studies.", err=True)


@app.command()
def deidentify(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="DICOM files, or a folder of them.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the de-identified files go.")],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="The hospital's key: 32 bytes or more; the same key, the same names."
        ),
    ] = None,
    make_key: Annotated[
        Path | None, typer.Option("--make-key", metavar="FILE", help="Write a new key there first, and use it.")
    ] = None,
    drop_patient_characteristics: Annotated[
        bool, typer.Option("--drop-patient-characteristics", help="Leave age, sex and the like out too.")
    ] = False,
    allow_class: Annotated[
        list[str] | None,
        typer.Option(metavar="UID", help="A SOP class whose images have no text in them; may be repeated."),
    ] = None,
) -> None:
    """Write DICOM images without what names a patient (PS3.15 basic profile, dates shifted, keyed pseudonyms).

    Images that may have text burned in are dropped with the reason unless their class is allowed. The key is as
    confidential as the images: whoever has it can make the same pseudonyms. Exit status: 0 all written, 3 some dropped.
    """
    from collections import Counter

    from rich.console import Console
    from rich.progress import Progress

    from hilum.imaging import TextFree, deidentify_folder

    secret = _key(key, make_key)
    written: Counter[str] = Counter()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("files", total=None)
        for outcome in deidentify_folder(
            source,
            out,
            key=secret,
            keep_patient_characteristics=not drop_patient_characteristics,
            allow_burned_in=[TextFree(sop_class=uid) for uid in allow_class or []],
            progress=lambda done, n: bar.update(task, completed=done, total=n),
        ):
            written["written" if outcome.code is None else f"dropped: {outcome.code}"] += 1
    # never the names of the files: they often name patients
    for what, n in sorted(written.items()):
        typer.echo(f"{what}: {n}")
    raise typer.Exit(3 if set(written) - {"written"} else 0)


def _key(key: Path | None, make_key: Path | None) -> bytes:
    """The key from a file, or a new one written to one that only its owner may read."""
    import os
    import secrets

    from hilum.errors import UsageError

    if (key is None) == (make_key is None):
        raise UsageError("Give --key FILE, or --make-key FILE for a new one.")
    if make_key is not None:
        secret = secrets.token_bytes(32)
        try:
            handle = os.open(make_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise UsageError(f"{make_key} exists; a key is never written over. Give it as --key.") from None
        with os.fdopen(handle, "wb") as stream:
            stream.write(secret)
        return secret
    assert key is not None
    try:
        secret = key.read_bytes()
    except OSError as error:
        raise UsageError(f"The key {key} cannot be read ({error.strerror}).") from None
    if len(secret) < 32:
        raise UsageError(f"The key {key} has {len(secret)} bytes; at least 32 are needed. Make one with --make-key.")
    return secret


def _shares(text: str) -> tuple[float, float, float]:
    from hilum.errors import UsageError

    try:
        train, validate, test = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--shares {text}: expected three numbers, as 0.8,0.1,0.1.") from None
    return train, validate, test


def _print_counts(counts: Mapping[str, int]) -> None:
    for name, n in sorted(counts.items()):
        typer.echo(f"{name.replace('_', ' ')}: {n}")
