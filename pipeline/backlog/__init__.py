"""Read the backlog of posts, select the unlabeled ones, and write shards."""
