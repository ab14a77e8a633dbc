"""Whether memory lacks, a GPU's or the node's: by an error, or by a line of an engine's log."""

import errno
import re

# Torch's and the engines' own words, not just "out of memory": some log their prompts, and so the
# posts' text.
WORDS = re.compile(
    "|".join(
        [
            r"(CUDA|HIP|XPU|NPU) out of memory",  # torch: vLLM, SGLang, transformers
            r"OutOfMemoryError",
            # "CUDA error:", llama.cpp's "cudaMalloc failed:"
            r"((CUDA|HIP|XPU|NPU) )?(error|failed): out of memory",
            r"((CUDA|HIP) error: )?(cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY"
            r"|(CUBLAS|HIPBLAS)_STATUS_ALLOC_FAILED)",
            r"cuDNN error: CUDNN_STATUS_(INTERNAL_ERROR_(HOST|DEVICE)_)?ALLOC(ATION)?_FAILED",
            # Torch again, where it may not ask how much is free, as on a part of a GPU (MIG):
            # https://github.com/pytorch/pytorch/issues/112377
            r"NVML_SUCCESS == .{1,99} INTERNAL ASSERT FAILED at \S*CUDACachingAllocator\.cpp",
            # Of cores. "[enforce fail at alloc_cpu.cpp:127] err == 0. " comes first.
            r"(\[enforce fail at \S+\] .{0,30})?DefaultCPUAllocator: can't allocate memory",
            r"std::bad_alloc",  # of C++, which torch tells as a RuntimeError
            # oneDNN's, without a reason: seen where memory is limited. What it cannot do at all
            # shows earlier, when it makes a primitive's descriptor.
            r"could not create a primitive(?! desc)",
            # vLLM: after the weights nothing is left, or another process has it.
            r"No available memory for the cache blocks",
            r"larger than the available KV cache memory",
            r"less than desired (GPU|CPU) memory utilization",
            # SGLang
            r"Not enough memory\. Please try to increase --mem-fraction-static",
            r"out of memory\. Try to lower your batch size",
        ]
    ),
    re.IGNORECASE,
)


def is_cause_of(error: BaseException) -> bool:
    """Torch, which must not be imported to ask, has a type of its own for its allocator's error
    alone; others, such as cuBLAS's and the driver's, are RuntimeErrors that begin with the words.
    What quotes a post is of another type, or says first what it is about.
    """
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and bool(WORDS.match(str(error))))
    )
