"""A transformers model in process: tiny random ones of both kinds, against transformers' own generation."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from llava_corr.clients.concurrency import complete_all
from llava_corr.clients.local import TransformersClient
from llava_corr.clients.opening import open_client
from llava_corr.clients.requests import ImageFile, Message, Request
from llava_corr.errors import CheckpointError, ClientError, ImageError

SPECIAL = ["<pad>", "<s>", "</s>", "<image>"]
PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
PIECES = (
    "{% for m in messages %}{{ m.role }}: {% for p in m.content %}"
    "{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}{% endfor %}{{ '\\n' }}{% endfor %}assistant:"
)


def tokenizer():
    """Bytes, one token each."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({word: k for k, word in enumerate([*SPECIAL, *letters])}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", extra_special_tokens=["<image>"]
    )


def llama(**changes):
    numbers = {"vocab_size": 260, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return transformers.LlamaConfig(
        **numbers, **ids, num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=400, **changes
    )


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(llama()).save_pretrained(folder)
    words = tokenizer()
    words.chat_template = PLAIN
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def seeing_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeing")
    torch.manual_seed(0)
    vision = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=llama(), image_token_index=3, vision_feature_layer=-1
    )
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    sizes = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessor(**sizes), tokenizer=tokenizer(), patch_size=14,
        vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=PIECES,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for k in range(2):
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (28, 28, 3), np.uint8)).save(folder / f"{k}.png")
    return [ImageFile(path=str(folder / f"{k}.png")) for k in range(2)]


def ask(*content, **settings):
    return Request(model="m", messages=(Message(role="user", content=content),), **{"max_tokens": 12, **settings})


def test_a_language_model_answers_as_transformers_does(language_model):
    client = open_client(f"transformers:{language_model}")
    request = Request(
        model="m", max_tokens=12,
        messages=(Message(role="system", content=("Be brief.",)), Message(role="user", content=("One", "two"))),
    )  # fmt: skip
    reply = client.complete(request)
    words = tokenizer()
    model = transformers.LlamaForCausalLM.from_pretrained(language_model)
    prompt = words("system: Be brief.\nuser: One\ntwo\nassistant:", return_tensors="pt")["input_ids"]
    expected = model.generate(prompt, max_new_tokens=12, do_sample=False)[0, prompt.shape[1] :]
    assert reply.text == words.decode(expected, skip_special_tokens=True).strip()
    assert (reply.prompt_tokens, reply.completion_tokens) == (prompt.shape[1], len(expected))
    assert reply.finish == ("stop" if expected[-1] == 2 else "length")


def test_sampling_follows_the_seed_and_leaves_other_random_numbers_alone(language_model):
    client = TransformersClient(language_model)
    torch.manual_seed(5)
    undisturbed = torch.rand(3)
    torch.manual_seed(5)
    texts = [client.complete(ask("Hello", temperature=1.5, seed=seed)).text for seed in (1, 2, 1)]
    assert torch.equal(torch.rand(3), undisturbed)
    assert texts[0] == texts[2] != texts[1]


def test_a_model_that_sees_is_shown_the_pictures_in_order(seeing_model, pictures):
    client = TransformersClient(seeing_model)
    asked = [ask("A:", pictures[a], "B:", pictures[b], "What?") for a, b in ((0, 1), (1, 0), (0, 1))]
    one, other, again = complete_all(client, asked, workers=3)
    assert one == again
    assert one.prompt_tokens == other.prompt_tokens == len("user: A:B:What?\nassistant:") + 2 * 4
    assert one.text != other.text
    processor = transformers.AutoProcessor.from_pretrained(seeing_model)
    shown = [Image.open(picture.path) for picture in pictures]
    inputs = processor(text="user: A:<image>B:<image>What?\nassistant:", images=shown, return_tensors="pt")
    model = transformers.LlavaForConditionalGeneration.from_pretrained(seeing_model)
    expected = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert one.text == processor.tokenizer.decode(expected, skip_special_tokens=True).strip()
    assert client.complete(ask("Hello")).text  # words alone


def test_what_cannot_be_asked_is_named(language_model, seeing_model, pictures, tmp_path):
    client = TransformersClient(language_model)
    with pytest.raises(ClientError, match="takes no pictures"):
        client.complete(ask(pictures[0]))
    with pytest.raises(ClientError, match=r"has 4.. tokens, the model's context 400"):
        client.complete(ask("x" * 400))
    with pytest.raises(ImageError, match=r"none\.png"):
        TransformersClient(seeing_model).complete(ask(ImageFile(path=str(tmp_path / "none.png"))))
    with pytest.raises(CheckpointError, match="no usable model"):
        TransformersClient(tmp_path / "nowhere")
    transformers.LlamaForCausalLM(llama()).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no chat template"):
        TransformersClient(tmp_path)
