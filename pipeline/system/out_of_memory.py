"""Detect that memory ran out, a GPU's or the node's, from an error or a line of a server's log."""

import errno
import re

# The exact words of torch and the servers, not just "out of memory": some servers log their
# prompts, and with them the text of posts.
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
            # Torch where it cannot ask how much is free, such as on a part of a GPU (MIG):
            # https://github.com/pytorch/pytorch/issues/112377
            r"NVML_SUCCESS == .{1,99} INTERNAL ASSERT FAILED at \S*CUDACachingAllocator\.cpp",
            # The node's memory. "[enforce fail at alloc_cpu.cpp:127] err == 0. " comes first.
            r"(\[enforce fail at \S+\] .{0,30})?DefaultCPUAllocator: can't allocate memory",
            r"std::bad_alloc",  # from C++; torch raises it as a RuntimeError
            # oneDNN gives no reason: seen where memory is limited. What it cannot do at all fails
            # earlier, when it creates a primitive's descriptor.
            r"could not create a primitive(?! desc)",
            # vLLM: nothing is left after the weights, or another process has it.
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
    """Tell whether an error means that memory ran out.

    Torch must not be imported for this. It has a type only for the error of its allocator; the
    errors of cuBLAS and the driver are RuntimeErrors that begin with the words. An error that
    quotes a post has another type, or begins with something else.
    """
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and bool(WORDS.match(str(error))))
    )
