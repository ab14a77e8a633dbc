"""Check the planned files as a configuration is checked, before any of them is written."""

from collections.abc import Sequence

from hpc.config.run_config import ConfigurationFile
from hpc.initialize.files.names import TEMPLATE
from hpc.initialize.files.plan_files import PlannedFile
from hpc.run.cluster.resources import ClusterTemplate
from pipeline.classifiers.configured_classifier import check_classifier
from pipeline.config import strict_yaml
from pipeline.config.check import Problems, check


def check_files(files: Sequence[PlannedFile]) -> None:
    """Check the configuration, which is the first file, and the template.

    Raises:
        InputError: an answer does not fit its key; the message names each key.
    """
    problems = Problems()
    configuration, *others = files
    values = strict_yaml.read(configuration.text)
    check(ConfigurationFile, values, source=configuration.name, problems=problems)
    check_classifier(values["classifier"], source=configuration.name, folders=(), problems=problems)
    for file in others:
        if file.name == TEMPLATE:
            template = strict_yaml.read(file.text)
            check(ClusterTemplate, template, source=file.name, problems=problems)
    problems.raise_any()
