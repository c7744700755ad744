"""Any MLLM or LLM behind one request: an OpenAI-compatible server, transformers in process, echo; recorded replies.

client = OpenAIClient("http://localhost:8000/v1")
request = Request(model="some-model", messages=(Message(role="user", content=("Compare", ImageFile(path="a.jpg"))),))
print(client.complete(request).text)
"""

from ..registry import Registry

CLIENTS = Registry(
    "client",
    {
        "echo": "llava_corr.clients.echo:EchoClient",
        "openai": "llava_corr.clients.http:OpenAIClient",
        "transformers": "llava_corr.clients.local:TransformersClient",
    },
)
