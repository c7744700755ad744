"""Dialogues in words: captions in the place of pictures, whole texts as ids, batches of like length."""

import torch

from llava_corr.models.tokenizing import train_tokenizer
from llava_corr.records import ImageRef, Sample, Turn
from llava_corr.zoo.words import Texts, encode, pad, told


def sample(number):
    images = tuple(ImageRef(path=f"{name}.jpg", height=8, width=8) for name in ("a", "b"))
    turn = Turn(user="The <image> (IMAGE1) and <image> (IMAGE2). What is common?", assistant="A mug.")
    return Sample(id=str(number), split="train", source="world", task="common_objects", images=images, turns=(turn,))


CAPTIONS = {"a.jpg": ("a picture of a mug", "The picture shows a mug."), "b.jpg": ("a picture of a mug and a cat",)}


def test_each_picture_is_told_in_its_own_place():
    texts = list(told(map(sample, range(40)), CAPTIONS, seed=0))
    assert {answer for _, answer in texts} == {"A mug."}
    questions = {question for question, _ in texts}
    assert questions == {
        f"The {first} (IMAGE1) and a picture of a mug and a cat (IMAGE2). What is common?"
        for first in CAPTIONS["a.jpg"]
    }
    assert texts == list(told(map(sample, range(40)), CAPTIONS, seed=0))


def test_ids_are_the_processors_layout_from_beginning_to_end():
    tokenizer = train_tokenizer(["USER: What? ASSISTANT: A mug."], 300)
    (ids,) = encode(tokenizer, [("What?", "A mug.")], "Be kind.")
    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[1:-1]) == "Be kind. USER: What? ASSISTANT: A mug."


def test_padding_is_masked():
    batch = pad([[5, 6, 7], [8]], 0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert torch.equal(batch["attention_mask"], torch.tensor([[1, 1, 1], [1, 0, 0]]))


def test_a_step_holds_texts_of_like_length_and_all_lengths_come():
    ids = [[0] * (1 + k % 97) for k in range(2000)]
    texts = Texts(ids, batch=8, steps=200, seed=1)
    assert len(texts) == 1600
    lengths = torch.tensor([len(texts[k]) for k in range(1600)]).view(200, 8)
    assert (lengths.max(1).values - lengths.min(1).values).max() <= 5
    assert lengths.min() == 1
    assert lengths.max() == 97
    assert texts[777] == Texts(ids, batch=8, steps=200, seed=1)[777]
