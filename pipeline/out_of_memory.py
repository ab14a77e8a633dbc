"""Whether memory lacks, a GPU's above all: by an error, or by a line of an engine's log."""

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
