"""Dialogues in words: captions in the place of pictures, whole texts as ids, batches of like length."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llava_corr.models.grounding import SegProjection
from llava_corr.models.tokenizing import train_tokenizer
from llava_corr.records import ImageRef, Mask, Sample, Target, Turn
from llava_corr.zoo.words import ReadWriteAndPoint, Text, Texts, Told, encode, pad, told


def sample(number):
    images = tuple(ImageRef(path=f"{name}.jpg", height=8, width=8) for name in ("a", "b"))
    turn = Turn(user="The <image> (IMAGE1) and <image> (IMAGE2). What is common?", assistant="A mug.")
    return Sample(id=str(number), split="train", source="world", task="common_objects", images=images, turns=(turn,))


CAPTIONS = {"a.jpg": ("a picture of a mug", "The picture shows a mug."), "b.jpg": ("a picture of a mug and a cat",)}


def test_each_picture_is_told_in_its_own_place():
    texts = list(told(map(sample, range(40)), CAPTIONS, seed=0))
    assert {text.answer for text in texts} == {"A mug."}
    questions = {text.question for text in texts}
    assert questions == {
        f"The {first} (IMAGE1) and a picture of a mug and a cat (IMAGE2). What is common?"
        for first in CAPTIONS["a.jpg"]
    }
    assert texts == list(told(map(sample, range(40)), CAPTIONS, seed=0))


def test_ids_are_the_processors_layout_from_beginning_to_end():
    tokenizer = train_tokenizer(["USER: What? ASSISTANT: A mug."], 300)
    (ids,) = encode(tokenizer, [Told("What?", "A mug.", ())], "Be kind.")
    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[1:-1]) == "Be kind. USER: What? ASSISTANT: A mug."


def test_padding_is_masked():
    batch = pad([Text([5, 6, 7], [2, 1]), Text([8], [])], 0)
    assert batch["names"].tolist() == [2, 1]
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert torch.equal(batch["attention_mask"], torch.tensor([[1, 1, 1], [1, 0, 0]]))


def test_a_step_holds_texts_of_like_length_and_all_lengths_come():
    rows = [Text([0] * (1 + k % 97), []) for k in range(2000)]
    texts = Texts(rows, batch=8, steps=200, seed=1)
    assert len(texts) == 1600
    lengths = torch.tensor([len(texts[k].ids) for k in range(1600)]).view(200, 8)
    assert (lengths.max(1).values - lengths.min(1).values).max() <= 5
    assert lengths.min() == 1
    assert lengths.max() == 97
    assert texts[777] == Texts(rows, batch=8, steps=200, seed=1)[777]


def test_each_seg_stands_for_a_category_or_a_part_of_the_category_in_its_picture():
    mask = Mask(size=(8, 8), counts="0P2")
    targets = tuple(
        Target(phrase=phrase, image_index=image, mask=mask, turn=0, role=role)
        for phrase, image, role in (("mug", 0, "object"), ("cat", 1, "object"), ("head", 1, "unique"))
    )
    asked = sample(0).model_copy(update={"task": "unique_parts", "categories": ("mug", "cat"), "targets": targets})
    (text,) = told([asked], CAPTIONS, seed=0)
    assert text.names == (("mug", ""), ("cat", ""), ("cat", "head"))
    (text,) = told([asked.model_copy(update={"task": "grounded_caption"})], CAPTIONS, seed=0)
    assert text.names == (None, None, None)


def test_losses_of_words_and_pointing_by_hand():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=12, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    trunk, projection, prompts = LlamaForCausalLM(config), SegProjection(16, 4), torch.randn(3, 4)
    task = ReadWriteAndPoint(trunk, projection, prompts, seg=9)
    rows = [Text([1, 9, 5, 9, 2], [2, 0]), Text([1, 4, 2], []), Text([1, 3, 9, 2], [-1])]
    total, count, errors = 0.0, 0, []
    for row in rows:
        out = trunk(input_ids=torch.tensor([row.ids]), output_hidden_states=True)
        total += torch.nn.functional.cross_entropy(out.logits[0, :-1], torch.tensor(row.ids[1:]), reduction="sum")
        count += len(row.ids) - 1
        places = [k for k, token in enumerate(row.ids) if token == 9]
        for place, name in zip(places, row.names, strict=True):
            state = out.hidden_states[-1][0, place - 1]
            errors += [((projection(state) - prompts[name]) ** 2).mean()] if name >= 0 else []
    wanted = total / count + torch.stack(errors).mean() / prompts.var(0).mean()
    torch.testing.assert_close(task(**pad(rows, 0))["loss"], wanted)
    assert task(**pad(rows[1:], 0))["loss"].isfinite()
