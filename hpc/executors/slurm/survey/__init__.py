"""Survey a cluster: what a user may choose there, such as accounts and partitions."""
