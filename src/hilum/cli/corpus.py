"""`hilum corpus`: from downloaded folders to one manifest, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from hilum.cli.stopping import ending_on_sigterm, goes_on

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make manifests of corpora, and check them.")

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")]
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
        Path | None,
        typer.Option(
            metavar="TOML",
            help="site: how the hospital's columns are called; sought in the current folder, then in --root.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Whose labels count as published; mimic_cxr: chexpert, negbio or radiologist; "
            "chexpert_plus: report, findings or impression."
        ),
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="mimic_cxr: the reports' folder or archive, where it is not below --root."),
    ] = None,
    pictures: Annotated[
        str | None, typer.Option(help="mimic_cxr: jpg or dicom; if not given what is there, and jpg of both.")
    ] = None,
    no_reports: Annotated[
        bool, typer.Option("--no-reports", help="Of pictures and published labels alone; no report is read.")
    ] = False,
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
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="Shares of patients to train, validate and test on, where the corpus has no split; 0.8,0.1,0.1 if not "
            "given. Must be given where the publisher's split is missing.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 takes one for each processor.")] = 0,
) -> None:
    """Write one manifest of a corpus, and a page that says what is in it and what was left out.

    A patient in two splits stops the work. A build that was stopped goes on when the same command is given again.
    Reports that are missing, and an official split, must be done without in so many words (--no-reports, --shares).
    open_i and nih_chestxray14 take none of --config, --labels, --reports and --pictures.
    """
    from hilum.cli.progress import counting
    from hilum.corpora import open_corpus
    from hilum.corpora.build import BuildOptions
    from hilum.corpora.build import build as build_manifest
    from hilum.corpora.manifest import check_manifest
    from hilum.corpora.preparation import Preparation
    from hilum.corpora.qc import qc_page

    # the reports' place in full, so that a build goes on from another folder too
    choices = {"labels": labels, "reports": reports and reports.resolve(), "pictures": pictures}
    options = BuildOptions(
        images="trust" if trust_images else "exist",
        preparation=Preparation(masks=not keep_masks, comparisons=not keep_comparisons),
        language=language,
        shares=None if shares is None else _shares(shares),
        reports=not no_reports,
        workers=workers,
        choices={choice: str(value) for choice, value in choices.items() if value is not None},
    )
    corpus = open_corpus(name, root, config=config, **choices)
    with goes_on(), counting("studies") as progress:
        result = build_manifest(corpus, root, out, options, progress)
        faults = check_manifest(result.manifest)
        page = qc_page(result.manifest, corpus.about, result.counts, result.examples, faults, result.split)
        (out / "qc.html").write_text(page, encoding="utf-8")
    _print_counts(result.counts)
    typer.echo(f"split: {result.split}")
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
    read_images: Annotated[
        bool, typer.Option("--read-images", help="Also read every picture, as predict will; takes long.")
    ] = False,
    examples: Annotated[
        bool, typer.Option("--examples", help="Name up to five of each, also those of a hospital's own export.")
    ] = False,
) -> None:
    """Look for what makes a manifest unfit: leaks between splits, studies twice, priors that are none, lost pictures.

    Of published corpora examples are named; of a hospital's own export, whose ids may be patients', only if asked for.
    Exit status: 0 nothing found, 3 something found.
    """
    from hilum.cli.progress import counting
    from hilum.corpora import published
    from hilum.corpora.manifest import check_manifest, read_manifest
    from hilum.corpora.readable import unreadable_images
    from hilum.pages import printable_name

    table = read_manifest(manifest)
    named = examples or published(table["corpus"].unique())
    faults = check_manifest(table, images=images or read_images)
    if read_images:
        with counting("pictures") as progress:
            faults += unreadable_images(table, progress=progress)
    for fault in faults:
        typer.echo(f"{fault.code}: {fault.n}" + named * f" ({printable_name(', '.join(fault.examples))})")
    if not faults:
        asked = "every picture is there; none was read" if images else "pictures were not looked for"
        typer.echo("Nothing found" + ("" if read_images else f" ({asked})") + ".")
    elif not named:
        typer.echo("--examples names some; they are as confidential as the ids in the export.", err=True)
    raise typer.Exit(3 if faults else 0)


@app.command()
def merge(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests of different corpora.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The manifest to write (.parquet).")],
    overwrite: Overwrite = False,
) -> None:
    """Put manifests together into one; a patient in two splits or a study twice is refused."""
    from hilum.corpora.manifest import merge as together
    from hilum.corpora.manifest import read_manifest, write_manifest
    from hilum.corpora.outputs import check_file

    check_file(out, [".parquet"], overwrite=overwrite)
    table = together([read_manifest(path) for path in manifests])
    write_manifest(table, out)
    typer.echo(f"Written to {out}: {table.height} studies.", err=True)


@app.command()
def sample(
    manifest: Manifest,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The manifest to write (.parquet).")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients to draw.")] = 100,
    split: Annotated[str | None, typer.Option(help="Only from this split.")] = None,
    seed: Annotated[int, typer.Option(help="From 0; the same seed draws the same patients.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Draw patients at random, with all of their studies."""
    from hilum.corpora.manifest import read_manifest, write_manifest
    from hilum.corpora.manifest import sample as draw
    from hilum.corpora.outputs import check_file

    check_file(out, [".parquet"], overwrite=overwrite)
    table = draw(read_manifest(manifest), patients, seed=seed, split=split)
    write_manifest(table, out)
    drawn = table.select("corpus", "patient").n_unique()
    typer.echo(f"Written to {out}: {table.height} studies of {drawn} patients.", err=True)
    if drawn < patients:
        typer.echo(f"There are no more than {drawn} patients{f' in the split {split}' if split else ''}.", err=True)


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
        Path | None, typer.Option("--make-key", metavar="FILE", help="Write a new key there, and use it.")
    ] = None,
    drop_patient_characteristics: Annotated[
        bool, typer.Option("--drop-patient-characteristics", help="Leave age, sex and the like out too.")
    ] = False,
    allow_class: Annotated[
        list[str] | None,
        typer.Option(metavar="UID", help="A SOP class whose images have no text in them; may be repeated."),
    ] = None,
    dropped: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The list of files dropped, with reasons (CSV); if not given beside the key."
        ),
    ] = None,
) -> None:
    """Write DICOM images without what names a patient (PS3.15 basic profile, dates shifted, keyed pseudonyms).

    Images that may have text burned in are dropped with the reason unless their class is allowed. The key is as
    confidential as the images: whoever has it can make the same pseudonyms. So is the list of the files dropped, since
    their names may name patients. Exit status: 0 nothing dropped, 3 something dropped.
    """
    from collections import Counter

    from rich.console import Console

    from hilum.cli.progress import progress_bar
    from hilum.imaging import TextFree, deidentify_folder
    from hilum.imaging.deidentified_folders import DroppedFiles
    from hilum.imaging.pseudonyms import write_key
    from hilum.pages import printable_name

    secret = _key(key, make_key)
    key_file = next(each for each in (key, make_key) if each is not None)
    listed = dropped or key_file.with_name(f"{key_file.name}.dropped.csv")
    outcomes = deidentify_folder(
        source,
        out,
        key=secret,
        keep_patient_characteristics=not drop_patient_characteristics,
        allow_burned_in=[TextFree(sop_class=uid) for uid in allow_class or []],
        apart=[key_file, listed],
    )
    not_written = DroppedFiles(listed)
    if make_key is not None:
        write_key(make_key, secret)  # after all that refuses, or the mended command would find that its key exists
    counts: Counter[str] = Counter()
    try:
        with ending_on_sigterm(), progress_bar(Console(stderr=True), outcomes.n_files) as bar:
            for outcome in outcomes:
                not_written.add(outcome)
                counts[outcome.kind] += 1
                with bar.aside(counts.total()):
                    pass
    finally:  # also of a run that is interrupted
        some_dropped = not_written.write()
    # never the names of the files: they often name patients
    for what, n in sorted(counts.items()):
        typer.echo(f"{what}: {n}")
    if some_dropped:
        where = printable_name(str(listed))
        typer.echo(f"The dropped files by name, with reasons: {where}. As confidential as the originals.", err=True)
    raise typer.Exit(3 if some_dropped else 0)


Columns = list[str] | None


@app.command()
def pseudonymise(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV (.csv, .tsv, .gz) or Parquet.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The table to write, CSV or Parquet by its ending.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="The key that the images were de-identified with.")],
    patient: Annotated[str, typer.Option(metavar="COLUMN", help="Patient ID.")],
    issuer: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Issuer of Patient ID, where the images have it.")
    ] = None,
    issuer_value: Annotated[
        str, typer.Option(metavar="TEXT", help="The one issuer of all, where no column says it.")
    ] = "",
    study_uid: Annotated[
        Columns, typer.Option(metavar="COLUMN", help="Study Instance UID; the first stands in for a missing patient.")
    ] = None,
    uid: Annotated[Columns, typer.Option(metavar="COLUMN", help="Series, SOP Instance and other UIDs.")] = None,
    accession: Annotated[Columns, typer.Option(metavar="COLUMN", help="Accession Number.")] = None,
    study_id: Annotated[Columns, typer.Option(metavar="COLUMN", help="Study ID (0020,0010).")] = None,
    date: Annotated[
        Columns, typer.Option(metavar="COLUMN", help="Date, with or without time: moved by the patient's days.")
    ] = None,
    age: Annotated[Columns, typer.Option(metavar="COLUMN", help="Age: above 89 years it becomes 90.")] = None,
    keep: Annotated[
        Columns, typer.Option(metavar="COLUMN", help="Kept as it is; what no option names is left out.")
    ] = None,
    empty: Annotated[
        Columns, typer.Option(metavar="TEXT", help='What stands for an empty cell, as "NULL" or 1900-01-01.')
    ] = None,
    date_format: Annotated[
        str | None, typer.Option(metavar="FORM", help="Form of the dates, as %d.%m.%Y; by default 1999-12-31 or alike.")
    ] = None,
    encoding: Annotated[
        Literal["utf-8", "gb18030", "utf-16", "cp1252"], typer.Option(help="Of CSV, read and written.")
    ] = "utf-8",
    delimiter: Annotated[str, typer.Option(help="Between the cells of CSV; \\t is a tab.")] = ",",
    wrong_bytes: Annotated[
        Literal["refuse", "replace"], typer.Option(help="Bytes that are none of the encoding, in columns kept.")
    ] = "refuse",
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The de-identified images: count the patients and studies that have some."),
    ] = None,
) -> None:
    """Give a table of reports the pseudonyms and the moved dates that deidentify gave the images, so that they join.

    Only the columns that are named are kept; reports and other columns under --keep are not searched for names. From
    --study-uid to --empty every option may be repeated. Exit status: 0 written, 3 written, but rows name no patient.
    """
    from hilum.corpora.pseudonymised_tables import TableColumns, found_images, pseudonymise_table
    from hilum.corpora.table_cells import TableForm
    from hilum.errors import UsageError
    from hilum.imaging import Identity, Pseudonyms, check_folder_key
    from hilum.pages import printable_name

    if issuer and issuer_value:
        raise UsageError("Give --issuer COLUMN or --issuer-value TEXT, not both.")
    columns = TableColumns(
        patient=patient,
        issuer=issuer,
        study_uid=tuple(study_uid or ()),
        uid=tuple(uid or ()),
        accession=tuple(accession or ()),
        study_id=tuple(study_id or ()),
        date=tuple(date or ()),
        age=tuple(age or ()),
        keep=tuple(keep or ()),
    )
    form = TableForm(encoding, delimiter.replace("\\t", "\t"), wrong_bytes, tuple(empty or ()), date_format)
    pseudonyms = Pseudonyms(_key(key, None))
    if images is not None:
        check_folder_key(images, pseudonyms)
    done = pseudonymise_table(table, out, columns, pseudonyms, Identity, form, issuer=issuer_value)
    _print_counts(
        {
            "rows": done.rows,
            "rows without a patient": done.without_patient,
            "dates emptied": done.dates_emptied,
            "values that are no UID": done.odd_uids,
        }
    )
    if images is not None:
        for what, (n, of) in found_images(done, images).items():
            typer.echo(f"{what} with images: {n} of {of}")
    if done.left_out:
        typer.echo(printable_name(f"Left out: {', '.join(done.left_out)}."), err=True)
    if done.kept:
        typer.echo(
            printable_name(f"Kept as they are, not searched for names: {', '.join(done.kept)}. Read some."), err=True
        )
    raise typer.Exit(3 if done.without_patient else 0)


def _key(key: Path | None, make_key: Path | None) -> bytes:
    """The key from a file, or a new one for a file that can be made; it is not yet."""
    import secrets

    from hilum.errors import UsageError
    from hilum.imaging.pseudonyms import KEY_FILE_BYTES, check_new_key, read_key

    if key is not None and make_key is None:
        return read_key(key)
    if make_key is not None and key is None:
        check_new_key(make_key)
        return secrets.token_bytes(KEY_FILE_BYTES)
    raise UsageError("Give --key FILE, or --make-key FILE for a new one.")


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
