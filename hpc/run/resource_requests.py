"""What one attempt requests, on top of the configured resources. Pure."""

from msgspec.structs import replace

from hpc.run.model import ResourceRequest
from hpc.run.resources import Resources


def first_request(resources: Resources) -> ResourceRequest:
    """Return what a first attempt requests."""
    return ResourceRequest(mem_gb=resources.mem_gb, time_min=resources.time_min)


def apply_request(resources: Resources, request: ResourceRequest) -> Resources:
    """Return the configured resources as one attempt requests them."""
    excluded = [*([resources.exclude] if resources.exclude else []), *request.exclude]
    return replace(
        resources,
        mem_gb=request.mem_gb,
        time_min=request.time_min,
        exclude=",".join(excluded) or None,
    )
