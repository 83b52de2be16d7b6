"""The commands `streamlog log dump` and `streamlog log verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamlog.cli.options import examples
from streamlog.cli.output import Output, OutputOption


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Files of a node, read offline: dump, verify.", no_args_is_help=True)
    group.command(
        "dump",
        epilog=examples(
            "streamlog log dump node-1", "streamlog log dump --records -o json FILE.segment"
        ),
    )(dump)
    group.command(
        "verify",
        epilog=examples("streamlog log verify node-1", "streamlog log verify var/cluster -o json"),
    )(verify)

    @group.callback()
    def root() -> None:
        """Read a node's files."""

    application.add_typer(group, name="log")


def dump(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Segment files, or directories that hold some."),
    ],
    records: Annotated[
        bool, typer.Option("--records", help="Print the records of each batch too.")
    ] = False,
    output: OutputOption = Output.TABLE,
    as_json: Annotated[
        bool, typer.Option("--json", help="The same as -o json: one object a line.", hidden=True)
    ] = False,
) -> None:
    """Print the batches of segment files.

    Each is checked; exit code 1 at the first that is damaged.
    """
    from streamlog.cli.log.dump import dump_file, segment_files

    for path in segment_files(paths):
        dump_file(path, records=records, as_json=as_json or output is Output.JSON)


def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Data directories, directories that hold some, segment files."
        ),
    ],
    output: OutputOption = Output.TABLE,
) -> None:
    """Check every file of a stopped node, and say what to do.

    Exit code 0: nothing is damaged; 1: something is; 2: it could not be checked, because a node
    runs on the directory, for one.

    Every checksum is checked, and whether the files fit each other: that segments follow each other
    without a gap, that indexes and states fit them, and that all is there which the checkpoint and
    the journal speak of. The node's own recovery is carried out in memory; nothing is written.

    The verdicts are: ok; normal after a crash (the next start clears it away); not the node's (it
    is left alone); rebuilt at next start (damaged, but nothing is lost); and damaged, with what to
    do next. Damage comes last.
    """
    from streamlog.cli.log.verify import verify_paths

    verify_paths(paths, output)
