"""Compute what one attempt requests on top of the configured resources. Pure."""

from msgspec.structs import replace

from hpc.run.cluster.resources import Resources
from hpc.run.model.arrays import ResourceRequest


def first_request(resources: Resources) -> ResourceRequest:
    """Return what a first attempt requests."""
    return ResourceRequest(mem_gb=resources.task_mem_gb, time_min=resources.time_min)


def apply_request(resources: Resources, request: ResourceRequest) -> Resources:
    """Return the configured resources as one attempt requests them."""
    excluded = [*([resources.exclude] if resources.exclude else []), *request.exclude]
    per_cpu = resources.mem_per_cpu is not None and request.mem_gb is not None
    return replace(
        resources,
        mem_gb=None if per_cpu else request.mem_gb,
        mem_per_cpu=request.mem_gb / resources.cpus if per_cpu and request.mem_gb else None,
        time_min=request.time_min,
        exclude=",".join(excluded) or None,
    )
