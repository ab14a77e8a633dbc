"""Write a Llama with random weights in Hugging Face's format, for vLLM, SGLang and transformers.

Like the model of `gguf_model`, it says nothing sensible: any structure in its answers comes from
the grammar. Each byte is a token, so every text can be read and every label is spelled out.
"""

from __future__ import annotations

from pathlib import Path

CONTEXT, WIDTH, HIDDEN, HEADS, LAYERS = 8192, 64, 128, 2, 2
SPECIAL = ("<s>", "</s>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "assistant: "
)


def write_model(folder: Path, *, seed: int = 0) -> Path:
    """Write model and tokenizer, and return the folder."""
    # Imported here: every process of the suite collects the modules that may write a model, and
    # these imports take five seconds of it.
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokens = (*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()))
    backend = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(tokens)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)
    return folder
