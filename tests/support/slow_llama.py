"""A Llama release's tokenizer files at tiny size, and the ids that the slow tokenizer of its time makes."""

import io
import json
import re

import sentencepiece

GLAMM = ("<im_start>", "<im_end>", "<bbox>", "<point>", "[SEG]", "<p>", "</p>")
LISA = ("<im_patch>", "<im_start>", "<im_end>", "[SEG]")
TEXTS = [
    "USER: The (IMAGE1) and (IMAGE2) provide an overview of the pictures. Please segment the common objects.",
    "ASSISTANT: The common parts are the seat, the leg and the back of the chair, and the unique parts the arms.",
]


def write_tokenizer(folder, added=GLAMM, words=330):
    """tokenizer.model, added_tokens.json, special_tokens_map.json, tokenizer_config.json; returns the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 4), model_writer=model, vocab_size=words, model_type="bpe", byte_fallback=True,
        split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, minloglevel=2,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    ids = {token: words + k for k, token in enumerate(added)}
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    whole = {
        name: {"content": token, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        for name, token in marks.items()
    }
    (folder / "added_tokens.json").write_text(json.dumps(ids))
    (folder / "special_tokens_map.json").write_text(json.dumps(whole | {"pad_token": "<unk>"}))
    config = {"add_bos_token": True, "add_eos_token": False, "model_max_length": 1536, "padding_side": "right"}
    config |= {"clean_up_tokenization_spaces": False, "tokenizer_class": "LlamaTokenizer", "pad_token": None}
    typed = {name: {"__type": "AddedToken"} | values for name, values in whole.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | typed))
    return words + len(added)


def slow_ids(folder, text):
    """Text between special tokens goes to sentencepiece by itself, stripped on the sides of added ones."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    added = json.loads((folder / "added_tokens.json").read_text())
    special = added | {"<unk>": 0, "<s>": 1, "</s>": 2}
    parts = re.split(f"({'|'.join(map(re.escape, special))})", text)
    ids = []
    for k, part in enumerate(parts):
        if part in special:
            ids.append(special[part])
            continue
        part = part.lstrip() if k > 0 and parts[k - 1] in added else part
        part = part.rstrip() if k < len(parts) - 1 and parts[k + 1] in added else part
        ids += pieces.encode(part) if part else []
    return ids
