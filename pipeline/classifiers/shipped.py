"""List the program's own classifiers, by the type that a configuration names.

They are listed here and not in the package's metadata, so that a newer version of the code has
them at once.
"""

SHIPPED = {
    "external": "pipeline.classifiers.external:ExternalLabels",
    "guard": "pipeline.classifiers.guard.classifier:Guard",
    "llm": "pipeline.classifiers.llm.classifier:Llm",
    "moderation": "pipeline.classifiers.moderation.classifier:Moderation",
    "perspective": "pipeline.classifiers.perspective.classifier:Perspective",
    "transformers": "pipeline.classifiers.transformers.classifier:TransformersClassifier",
    "valence": "pipeline.classifiers.valence:Valence",
}

# Labels that people gave. No configuration can choose it, because no task can ask people.
RECORDED = {"human": "pipeline.classifiers.human:HumanLabels"}

# All their values are Python's own. Packages that compute with NumPy, as transformers do, may give
# its arrays to PyArrow, and so may other people's classifiers.
WITHOUT_NUMPY = frozenset(SHIPPED) - {"transformers"}
