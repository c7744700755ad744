"""A transformers model in process: one for images and text, or a language model that takes no pictures.

Which of the two is read from the model's configuration. One request at a time: threads take turns.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, ClientError, ImageError
from .requests import ImageFile, Message, Reply, Request


class TransformersClient:
    """Answers with a model folder or hub id; the model is loaded here.

    Args:
        folder: with its processor or tokenizer, which must have a chat template.
        device: torch's name of it; by default the GPU if there is one.
        dtype: torch's name of the weights' type; "auto" keeps the file's.

    Raises:
        CheckpointError: no such model, or one without a chat template.
    """

    def __init__(self, folder: str | Path, *, device: str | None = None, dtype: str = "auto") -> None:
        import torch
        import transformers

        self.folder = str(folder)
        self._lock = threading.Lock()
        try:
            config = transformers.AutoConfig.from_pretrained(folder)
            self.sees = type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
            auto = transformers.AutoModelForImageTextToText if self.sees else transformers.AutoModelForCausalLM
            reader = transformers.AutoProcessor if self.sees else transformers.AutoTokenizer
            self.processor: Any = reader.from_pretrained(folder)
            self.model: Any = auto.from_pretrained(folder, dtype=dtype).eval()
        except (OSError, ValueError) as cause:
            raise CheckpointError(
                f"no usable model: {cause}", where=self.folder, mend="check the folder or id"
            ) from cause
        if not getattr(self.processor, "chat_template", None):
            raise CheckpointError("the model has no chat template", where=self.folder, mend="take an instructed model")
        self.model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def complete(self, request: Request) -> Reply:
        """Answers; greedily at temperature 0 or None, else sampled with the request's seed (0 if it has none).

        Raises:
            ClientError: pictures for a model that sees none, or a request that leaves no room in its context.
            ImageError: a picture that cannot be read.
        """
        if request.images() and not self.sees:
            raise ClientError("this model takes no pictures", where=self.folder, mend="take one for images and text")
        with self._lock:
            return self._answer(request)

    def _answer(self, request: Request) -> Reply:
        import torch

        messages = [_as_template_takes_it(m, with_pieces=self.sees) for m in request.messages]
        inputs: Any = self.processor.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        ).to(self.model.device)
        asked = inputs["input_ids"].shape[1]
        self._check_room(asked)
        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if request.temperature:
            sampling = {"do_sample": True, "temperature": request.temperature}
        with torch.random.fork_rng(), torch.no_grad():  # others' random numbers stay as they were
            torch.manual_seed(request.seed or 0)
            out = self.model.generate(**inputs, max_new_tokens=request.max_tokens, **sampling)[0, asked:]
        tokenizer: Any = getattr(self.processor, "tokenizer", self.processor)
        return Reply(
            text=tokenizer.decode(out, skip_special_tokens=True).strip(),
            finish="stop" if self._has_ended(out.tolist(), tokenizer) else "length",
            model=self.folder,
            prompt_tokens=asked,
            completion_tokens=len(out),
        )

    def _check_room(self, asked: int) -> None:
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if context is not None and asked >= context:
            raise ClientError(
                f"the request has {asked} tokens, the model's context {context}",
                where=self.folder,
                mend="ask about fewer pictures, or in fewer words",
            )

    def _has_ended(self, tokens: list[int], tokenizer: Any) -> bool:
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [tokenizer.eos_token_id if ends is None else ends]
        return bool(tokens) and tokens[-1] in ends


def _as_template_takes_it(message: Message, *, with_pieces: bool) -> dict[str, Any]:
    """Templates of models that see take pieces, those of language models plain text."""
    if not with_pieces:
        return {"role": message.role, "content": "\n".join(p for p in message.content if isinstance(p, str))}
    pieces = [
        {"type": "image", "image": _opened(part)} if isinstance(part, ImageFile) else {"type": "text", "text": part}
        for part in message.content
    ]
    return {"role": message.role, "content": pieces}


def _opened(image: ImageFile) -> Any:
    from PIL import Image

    try:
        with Image.open(image.path) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as cause:
        raise ImageError(f"the picture cannot be read: {cause}", where=image.path, mend="check the file") from cause
