"""Define what a task requests of the cluster: the section `cluster` and its templates."""
