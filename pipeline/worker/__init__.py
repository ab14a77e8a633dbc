"""Label one shard: the process that runs on a compute node."""
