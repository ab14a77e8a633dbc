"""Print the keys of a configuration, for editors and for people: `hpc schema`."""

import argparse
import json

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.config import descriptions
from hpc.display.console import Printer
from pipeline.classifiers import registry


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc schema`."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--template", action="store_true", help="the schema of a file in slurm_templates/"
    )
    what.add_argument(
        "--reference", action="store_true", help="the reference page of all keys, in Markdown"
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Print the schema of a configuration with all classifiers that are installed."""
    kinds = registry.list_installed()
    if options.template:
        document = descriptions.template_schema()
    else:
        document = descriptions.configuration_schema(kinds)
    if options.json:
        return 0, document
    if options.reference:
        print(descriptions.reference_page(kinds), end="")
    else:
        print(json.dumps(document, indent=1))
    return 0, document


VERB = Verb(
    name="schema",
    example="hpc schema > configs/schema.json",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was changed",
)

if __name__ == "__main__":
    cli.main(VERB)
