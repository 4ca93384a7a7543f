"""Commands that use a finished run."""

from pathlib import Path
from typing import Annotated

import typer

from sonosynth.cli.app import AsJson, CohortPath, Columns, Images, RunPath, app, nothing_to_save, reopened
from sonosynth.errors import UserError


@app.command()
def unseal(run: RunPath) -> None:
    """Score the sealed part of a finished run (split.sealed), once, and report it."""
    reopened(run).unseal(run)


@app.command()
def test(
    run: RunPath,
    cohort: CohortPath,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the test; by default the cohort's.")] = "",
    labels: Annotated[
        list[str],
        typer.Option(metavar="OURS=THEIRS", help="What a label of the other cohort means; repeatable."),
    ] = [],  # noqa: B006
    columns: Columns = "",
    images: Images = None,
) -> None:
    """Test the trained classifiers of a finished run on another hospital's images."""
    from sonosynth.cohort.settings import table_of

    reopened(run).test(run, cohort, name, labels, table=table_of(columns, images))


@app.command()
def export(
    run: RunPath,
    to: Annotated[str, typer.Option(metavar="hub|webui|dicom", help="The form that other tools take.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also export controls, images made from patients' images and refused sets.")
    ] = False,
) -> None:
    """Export the sets and adapters of a finished run in the form that other tools take."""
    with nothing_to_save():
        from sonosynth import exporting

    exporting.export(run, to, out, force=force)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of finished runs.")],
    as_json: AsJson = False,
) -> None:
    """Show runs side by side: settings that differ, arms, distances, and a test on the images that they share."""
    from sonosynth import comparing
    from sonosynth.report import side_by_side as told

    found = comparing.side_by_side(runs)
    typer.echo(told.as_json(found)) if as_json else told.show(found)


@app.command()
def reader(
    run: RunPath,
    out: Annotated[Path | None, typer.Option(metavar="KIT", help="The page to hand out: a new file, KIT.html.")] = None,
    each: Annotated[
        int | None, typer.Option(min=1, help="Real images of each class in it, and as many synthetic ones.")
    ] = None,
    answers: Annotated[list[Path], typer.Option(metavar="FILE", help="Answers that a reader saved; repeatable.")] = [],  # noqa: B006
) -> None:
    """Make a blinded page of images for human readers, or add the answers that they saved to the run."""
    if (out is None) == (not answers) or (answers and each):
        raise UserError("reader: needs either --out KIT (and --each N) or --answers FILE")
    study = reopened(run)
    from sonosynth.readers import make_kit, take_answers

    make_kit(study, run, out, each) if out else take_answers(study, run, answers)
