"""Talk to an HTTP service: retries, concurrency, quota."""
