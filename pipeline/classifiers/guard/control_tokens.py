"""Break what a model's tokenizer could read as a control token in the text of a post.

Servers tokenize a whole prompt at once, a rendered chat included. `<end_of_turn>` in a post would
then end the user's turn, and the rest of the post would speak for the model. No server says which
texts are control tokens of its model, so everything of their form is broken, by one space behind
its first sign: `< end_of_turn>`. A blank is not removed by any tokenizer, unlike a character of
width zero. Pure.
"""

import re

# Mistral's; other words in brackets, such as [BREAKING], are common in posts and no tokens.
_MISTRAL = (
    "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS|CALL_ID|THINK"
    "|IMG|IMG_BREAK|IMG_END|AUDIO|BEGIN_AUDIO|TRANSCRIBE|PREFIX|MIDDLE|SUFFIX|MODEL_SETTINGS"
)
# Llama's <|eot_id|>, Qwen's <|im_end|>, DeepSeek's <｜User｜>, Gemma 4's <|turn> and <turn|>,
# EXAONE's [|endofturn|];
# Gemma's <end_of_turn>, Llama 2's <<SYS>> and </s>, and the tags that many templates are made of,
# such as <END CONVERSATION> and <Document>.
_FIRST_SIGN = re.compile(
    r"(?P<sign>[<\[](?=[|｜])|[|｜](?=[>\]])|<(?=/?[A-Za-z][\w :.-]{0,64}>)"
    rf"|\[(?=/?(?:{_MISTRAL})\]))"
)


def break_control_tokens(text: str) -> str:
    """Return a text with a space behind the first sign of each possible control token."""
    return _FIRST_SIGN.sub(r"\g<sign> ", text)
