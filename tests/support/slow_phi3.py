"""Tokenizer files of InternVL2-4B at tiny size, and the ids that the tokenizers of CoLVA's time make of a text.

Without ``legacy: false`` they agree. With it this is the fast one, which training used (of transformers 4.45); the slow
one puts a word boundary of its own before an added token that a text begins with.
"""

import json
import re

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from slow_llama import write_tokenizer

ADDED = (
    "<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|placeholder2|>", "<|placeholder3|>", "<|placeholder4|>",
    "<|system|>", "<|end|>", "<|placeholder5|>", "<|placeholder6|>", "<|user|>", "<img>", "</img>", "<IMG_CONTEXT>",
    "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>",
)  # fmt: skip
WORDS = 330
ROWS = WORDS + len(ADDED)
STRIPS = ("<|assistant|>", "<|system|>", "<|end|>", "<|user|>")  # the blanks behind them, as Phi-3's do


def write_phi3_tokenizer(folder, legacy=False, bos=True):
    """tokenizer.model, added_tokens.json, special_tokens_map.json, tokenizer_config.json."""
    assert write_tokenizer(folder, ADDED, WORDS) == ROWS
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text()) | {"add_bos_token": bos, "pad_token": "<|endoftext|>"}
    config |= {} if legacy is None else {"legacy": legacy}
    first = {0: "<unk>", 1: "<s>", 2: "</s>"} | {WORDS + n: token for n, token in enumerate(ADDED)}
    config["added_tokens_decoder"] = {
        str(number): {"content": token, "lstrip": False, "rstrip": token in STRIPS, "normalized": False,
                      "single_word": False, "special": True}
        for number, token in first.items()
    }  # fmt: skip
    file.write_text(json.dumps(config))


def their_ids(folder, text, legacy=False):
    """Text between special tokens goes to sentencepiece by itself: each piece with a word boundary in front (legacy),
    or only one that begins the text."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString((folder / "tokenizer.model").read_bytes())
    proto.normalizer_spec.add_dummy_prefix = bool(legacy)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    special = json.loads((folder / "added_tokens.json").read_text()) | {"<unk>": 0, "<s>": 1, "</s>": 2}
    parts = re.split(f"({'|'.join(map(re.escape, special))})", text)
    ids = []
    for k, part in enumerate(parts):
        if part in special:
            ids.append(special[part])
            continue
        if k > 0 and parts[k - 1] in STRIPS:
            part = part.lstrip()
        if part:
            ids += pieces.encode(part if legacy or k > 0 else f"▁{part}")
    return ids
