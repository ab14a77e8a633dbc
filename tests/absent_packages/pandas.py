"""Nothing: verbs and tasks do not depend on pandas, and the tests should not either.

PyArrow imports pandas where it is installed, as soon as it converts a list. That takes a third of
the time of a small task. With this folder first on its module path, a process runs as if pandas
were not installed.
"""

raise ImportError("pandas is absent from the verbs and tasks that the tests start")
