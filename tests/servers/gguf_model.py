"""Write a llama model of half a megabyte with random weights, for a real server without a download.

It says nothing sensible, and that is its use: any structure in its answers comes from the server's
grammar. The seed makes the file the same, byte by byte.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

CONTEXT, WIDTH, HIDDEN, HEADS, LAYERS = 8192, 64, 128, 4, 2

# Roles and contents as plain lines: the posts' text reaches the model as it is.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "assistant: "
)


def write_model(path: Path, *, seed: int = 0) -> Path:
    """Write the model and return its path.

    The tensors' names and shapes are llama.cpp's for the architecture "llama"; numpy's order is
    the reverse of ggml's, so a matrix is (out, in).
    """
    random = np.random.default_rng(seed)
    tokens, kinds = _vocabulary()

    def matrix(rows: int, columns: int) -> np.ndarray:
        values = random.standard_normal((rows, columns), dtype=np.float32)
        return values / np.float32(columns) ** np.float32(0.5)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)

    writer.add_tensor("token_embd.weight", matrix(len(tokens), WIDTH))
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        writer.add_tensor(f"{block}.attn_norm.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}.{name}.weight", matrix(WIDTH, WIDTH))
        writer.add_tensor(f"{block}.ffn_norm.weight", np.ones(WIDTH, np.float32))
        writer.add_tensor(f"{block}.ffn_gate.weight", matrix(HIDDEN, WIDTH))
        writer.add_tensor(f"{block}.ffn_up.weight", matrix(HIDDEN, WIDTH))
        writer.add_tensor(f"{block}.ffn_down.weight", matrix(WIDTH, HIDDEN))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output.weight", matrix(len(tokens), WIDTH))

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary() -> tuple[list[str], list[int]]:
    """Return a SentencePiece vocabulary: a token for each printable ASCII character and each byte.

    The byte tokens let any text through, including emoji and right-to-left text. SentencePiece
    writes a space as U+2581.
    """
    special = [("<unk>", gguf.TokenType.UNKNOWN)]
    special += [(name, gguf.TokenType.CONTROL) for name in ("<s>", "</s>")]
    single_bytes = [(f"<0x{byte:02X}>", gguf.TokenType.BYTE) for byte in range(256)]
    printable = ["\u2581", *map(chr, range(ord("!"), ord("~") + 1))]
    characters = [(character, gguf.TokenType.NORMAL) for character in printable]
    vocabulary = special + single_bytes + characters
    return [token for token, _ in vocabulary], [int(kind) for _, kind in vocabulary]
