"""Start a project with a configuration that fits its source and its cluster: `hpc init`."""

import argparse
import os
import sys
from pathlib import Path

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.display.console import Printer
from hpc.initialize.describe import describe_project, project_document
from hpc.initialize.given import Given
from hpc.initialize.project import start_project


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc init`."""
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="the project's folder (default: this one); it is created if needed",
    )
    parser.add_argument(
        "--yes", action="store_true", help="ask nothing: take each proposal that no option answers"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="keep files that are in the way under another name, and write new ones",
    )
    for title, options in _OPTIONS.items():
        group = parser.add_argument_group(title)
        for flag, (metavar, text) in options.items():
            group.add_argument(flag, type=cli.not_empty, metavar=metavar, help=text)
    parser.add_argument_group("the cluster").add_argument(
        "--setup",
        action="append",
        metavar="LINE",
        help="a line of bash that runs before a task, such as 'module load …'; may be repeated",
    )


_OPTIONS = {
    "the posts": {
        "--source": ("PATH", "a file, a folder or a glob"),
        "--table": ("TABLE", "the table of a database"),
        "--uri-column": ("COLUMN", "the column that identifies a post"),
        "--text-column": ("COLUMN", "the column with the text of a post"),
        "--timestamp-column": ("COLUMN", "the column with the time of a post"),
    },
    "the labels": {
        "--classifier": ("TYPE", "what labels the posts, such as valence, perspective or llm"),
        "--name": ("NAME", "the name of the labels (default: the classifier)"),
        "--base-url": ("URL", "the address of the service or server"),
        "--model": ("MODEL", "the model"),
        "--revision": ("COMMIT", "of a model on the Hugging Face hub"),
        "--labels": ("LABELS", "what an LLM says, such as toxic:bool,leaning:left|right"),
        "--api-key-file": ("FILE", "the file that holds the API key; it may not exist yet"),
        "--api-key-env": ("NAME", "the environment variable that holds the API key"),
        "--requests-per-minute": ("N", "the quota of your key"),
    },
    "where tasks run": {
        "--executor": ("NAME", "slurm or local"),
        "--template": ("FILE", "use this template of a cluster instead of writing one"),
        "--cluster-name": ("NAME", "the cluster, where a site has several"),
        "--account": ("NAME", "the account that pays"),
        "--partition": ("NAME", "the partition of the tasks"),
        "--qos": ("NAME", "the quality of service"),
        "--gres": ("GRES", "generic resources of a task, such as gpu:1; - for none"),
        "--time": ("TIME", "the time limit of a task, such as 4:00:00"),
        "--mem-gb": ("N", "the memory of a task in GiB"),
    },
}


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Ask, and write the files."""
    given = _given(options)
    # Python has no stdin where its descriptor is closed (`<&-`).
    has_terminal = sys.stdin is not None and sys.stdin.isatty() and printer.is_terminal
    asks = has_terminal and not options.yes
    why = "--yes was given" if options.yes else "there is no terminal to ask on"
    project = start_project(given, os.environ, printer, why_unattended="" if asks else why)
    printer.show(*describe_project(project))
    return 0, project_document(project)


def _given(options: argparse.Namespace) -> Given:
    flags = [flag for group in _OPTIONS.values() for flag in group]
    names = [flag.removeprefix("--").replace("-", "_") for flag in flags]
    working_folder = Path.cwd()
    return Given(
        folder=Path(os.path.normpath(working_folder / options.folder.expanduser())),
        working_folder=working_folder,
        force=options.force,
        setup=None if options.setup is None else tuple(filter(None, options.setup)),
        **{name: getattr(options, name) for name in names},
    )


VERB = Verb(
    name="init",
    example="hpc init --source posts.db --classifier valence",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was written",
)

if __name__ == "__main__":
    cli.main(VERB)
