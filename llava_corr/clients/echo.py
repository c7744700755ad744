"""A client that says back what it was told: for trials of the plumbing."""

from __future__ import annotations

from .requests import Reply, Request


class EchoClient:
    """Answers with the words of the last message, cut at ``max_tokens`` words."""

    def complete(self, request: Request) -> Reply:
        last = request.model_copy(update={"messages": request.messages[-1:]})
        text = last.words()
        words = text.split()
        cut = len(words) > request.max_tokens
        return Reply(
            text=" ".join(words[: request.max_tokens]) if cut else text,
            finish="length" if cut else "stop",
            model="echo",
            prompt_tokens=len(request.words().split()),
            completion_tokens=min(len(words), request.max_tokens),
        )
