"""Share one quota of requests per minute among all tasks that use a key."""
