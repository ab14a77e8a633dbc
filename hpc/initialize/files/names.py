"""Name the files of a project, which all lie in its folder. Pure."""

TEMPLATE = "cluster.yaml"
"""The template of the cluster, which several configurations may share."""
SCHEMAS = ".hpc"
"""The folder of the schemas by which editors check the files."""
CONFIGURATION_SCHEMA = f"{SCHEMAS}/configuration-schema.json"
TEMPLATE_SCHEMA = f"{SCHEMAS}/cluster-schema.json"
GITIGNORE = ".gitignore"


def configuration_name(name: str) -> str:
    """Return the file of the configuration with this name."""
    return f"{name}.yaml"


def prompt_name(name: str) -> str:
    """Return the file of the prompt of the configuration with this name."""
    return f"{name}_prompt.txt"
