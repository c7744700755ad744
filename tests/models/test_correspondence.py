"""CEM and CAM: against their formulas, without leaks, through the frozen Q-Former, and in every ablation."""

import copy

import numpy as np
import pytest
import torch
from toy import small_config, toy_samples, write_toy
from transformers import DynamicCache

from llava_corr.datasets.collate import Collator
from llava_corr.errors import ConfigError
from llava_corr.models.correspondence import ZeroLinear
from llava_corr.training.model import build_model

NO_DINO = "model.correspondence=null"
NO_CAM = "model.adaptation.guidance=false"
NO_CEM = ("model.correspondence=null", "model.adaptation.requery=false")
NEITHER = ("model.correspondence=null", "model.adaptation=null")
NO_QFORMER = (*NEITHER, "model.qformer=null")


def run(model, batch):
    return model(**{k: v for k, v in batch.items() if k != "sample_ids"})


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    folder = tmp_path_factory.mktemp("correspondence")
    samples = write_toy(folder, 6)

    def make(*overrides):
        parts, processor = build_model(small_config(folder, *overrides), samples)
        torch.manual_seed(1)
        for module in parts.model.modules():
            if isinstance(module, ZeroLinear):
                torch.nn.init.normal_(module.weight, std=0.3)
        return parts.model.eval(), processor, samples

    return make


def by_hand(model, batch):
    """The trunk's final states, layer by layer, with what Calico's equations 4 to 9 add."""
    c = model.config
    patches = model.look(batch["pixel_values"])
    rich = patches
    if hasattr(model, "correspondence"):
        semantic = model.look_for_meaning(batch["pixel_values"])
        rich = patches + attention_by_hand(model.correspondence.attention, patches, semantic)
    tower = model.visual_tokens
    first = tower.projection(tower.qformer(
        input_ids=None, query_embeds=tower.query_tokens.expand(len(patches), -1, -1), encoder_hidden_states=patches
    ).last_hidden_state)  # fmt: skip
    embeddings = model.get_input_embeddings()(batch["input_ids"])
    out = []
    for row in range(len(embeddings)):
        length = int(batch["attention_mask"][row].sum())
        hidden = embeddings[row : row + 1, :length].clone()
        places = (batch["input_ids"][row, :length] == c.image_token_id).nonzero()[:, 0]
        slots = batch["image_index"][batch["image_owner"] == row]
        if len(slots):
            hidden[0, places] = first[slots].flatten(0, 1)
        ids = torch.arange(length)[None]
        positions = model.trunk.model.rotary_emb(hidden, position_ids=ids)
        mask = torch.full((1, 1, length, length), float("-inf")).triu(1)
        for n, layer in enumerate(model.trunk.model.layers):
            if n in c.adaptation_layers and len(slots):
                cam = model.adaptation[str(n)]
                guide = hidden[0, int(batch["guide_positions"][row])]
                if not c.adaptation_requery:
                    added = cam.output(cam.guidance(guide)).expand(len(slots), c.num_query_tokens, -1)
                else:
                    queries = tower.query_tokens.expand(len(slots), -1, -1)
                    queries = queries + cam.guidance(guide) if cam.guidance is not None else queries
                    added = cam.output(tower.qformer(
                        input_ids=None, query_embeds=queries, encoder_hidden_states=rich[slots]
                    ).last_hidden_state)  # fmt: skip
                hidden = hidden.clone()
                hidden[0, places] += added.flatten(0, 1)
            hidden = layer(hidden, attention_mask=mask, position_ids=ids, position_embeddings=positions)
        out.append(model.trunk.model.norm(hidden)[0])
    return out


def attention_by_hand(attention, queries, keys):
    q_weight, k_weight, v_weight = attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight
    q_bias, k_bias, v_bias = attention.in_proj_bias.chunk(3)
    heads = attention.num_heads

    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    q, k, v = (split(x @ w.T + b) for x, w, b in
               ((queries, q_weight, q_bias), (keys, k_weight, k_bias), (keys, v_weight, v_bias)))  # fmt: skip
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2) @ attention.out_proj.weight.T + attention.out_proj.bias


@pytest.mark.parametrize("overrides", [(), (NO_DINO,), (NO_CAM,), NO_CEM, NEITHER], ids=str)
@torch.no_grad()
def test_states_are_those_of_the_equations(build, overrides):
    model, processor, samples = build(*overrides)
    batch = Collator(processor)(samples[:3])
    hidden = run(model, batch).hidden_states
    for row, expected in enumerate(by_hand(model, batch)):
        assert torch.allclose(hidden[row, : len(expected)], expected, atol=2e-4)


@torch.no_grad()
def test_a_fresh_cem_and_cam_change_nothing(build, toy):
    fresh, processor, samples = toy
    plain = copy.deepcopy(fresh)
    plain.config.adaptation_layers = []
    batch = Collator(processor)(samples[:3])
    assert torch.equal(run(fresh, batch).hidden_states, run(plain, batch).hidden_states)


def test_what_a_configuration_leaves_out_is_absent(build):
    for overrides, present in (
        ((), {"correspondence", "adaptation", "visual_tokens.qformer"}),
        ((NO_DINO,), {"adaptation", "visual_tokens.qformer"}),
        (NEITHER, {"visual_tokens.qformer"}),
        (NO_QFORMER, set()),
    ):
        names = [name for name, _ in build(*overrides)[0].named_parameters()]
        found = {p for p in ("correspondence", "adaptation", "visual_tokens.qformer")
                 if any(n.startswith(p) for n in names)}  # fmt: skip
        assert found == present
    assert build(NO_CAM)[0].adaptation["1"].guidance is None


@torch.no_grad()
def test_without_a_q_former_every_patch_is_a_token(build):
    model, processor, samples = build(*NO_QFORMER)
    batch = Collator(processor)(samples[:2])
    assert processor.tokens_per_image == 16  # (32 / 8) ** 2
    tokens = model.visual_tokens(model.look(batch["pixel_values"]))
    expected = model.visual_tokens.projection(model.look(batch["pixel_values"])[:, 1:])
    assert torch.equal(tokens, expected)
    assert run(model, batch).loss.isfinite()


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("model.qformer=null",), "adaptation needs Q-Former tokens"),
        (("model.adaptation=null",), "nothing would use it"),
        (("model.adaptation.requery=false",), "nothing would use it"),
        ((NO_DINO, NO_CAM, "model.adaptation.requery=false"), "adds nothing"),
        (("model.adaptation.layers=[1/2,1/2]",), "rising order"),
        (("model.adaptation.layers=[2/3,1/3]",), "rising order"),
        (("model.adaptation.layers=[1.5]",), "no share of the depth"),
        (("model.adaptation.layers=[x]",), "no share of the depth"),
        (("model.adaptation.layers=[9/10]",), "choose from 0 to 2"),
        (("model.correspondence.attention_heads=5",), "do not divide"),
    ],
)
def test_configurations_that_cannot_work_are_refused_with_the_reason(build, overrides, reason):
    with pytest.raises(ConfigError, match=reason):
        build(*overrides)


@torch.no_grad()
def test_no_answer_leaks_into_what_comes_before_it(build):
    """Other words in the answer, a second turn, padding: all states up to the first answer stay as they are."""
    model, processor, samples = build()
    sample = next(s for s in samples if s.targets)
    batch = Collator(processor)([sample])
    before = run(model, batch).hidden_states
    guide = int(batch["guide_positions"][0])
    assert processor.tokenizer.decode(batch["input_ids"][0, : guide + 1]).endswith("ASSISTANT:")
    other = dict(batch) | {"input_ids": batch["input_ids"].clone()}
    other["input_ids"][0, guide + 1 :] = processor.tokenizer.eos_token_id
    after = run(model, other).hidden_states
    assert torch.equal(after[0, : guide + 1], before[0, : guide + 1])
    assert not torch.allclose(after[0, guide + 1 :], before[0, guide + 1 :])
    question = dict(batch) | {"input_ids": batch["input_ids"].clone()}
    question["input_ids"][0, guide] = processor.tokenizer.eos_token_id
    places = batch["input_ids"][0] == model.config.image_token_id
    assert not torch.allclose(run(model, question).hidden_states[0, places], before[0, places], atol=1e-3)


def test_gradients_reach_cem_and_cam_through_the_frozen_q_former(build):
    model, processor, samples = build()
    model.requires_grad_(False)
    trained = [model.correspondence.attention, model.adaptation]
    for part in trained:
        part.requires_grad_(True)
    model.train()
    assert not model.visual_tokens.qformer.training
    run(model, Collator(processor)(samples[:3])).loss.backward()
    for part in trained:
        for name, p in part.named_parameters():
            assert p.grad is not None, name
    # the keys' share of the bias moves no attention
    width = model.config.vision_config.hidden_size
    bias = model.correspondence.attention.in_proj_bias.grad.split(width)
    assert bias[0].any()
    assert bias[2].any()
    assert all(p.grad.any() for p in model.adaptation.parameters())
    assert all(p.grad is None for n, p in model.named_parameters() if not n.startswith(("correspondence.attention",
                                                                                         "adaptation")))  # fmt: skip


def test_fresh_adaptations_start_to_learn(toy):
    """From zero: W2 moves in the first step, W1 and the CEM from the second on (facts 3)."""
    model, processor, samples = copy.deepcopy(toy[0]), toy[1], toy[2]
    batch = Collator(processor)([s for s in samples if s.targets][:3])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    for _ in range(3):
        optimiser.zero_grad()
        run(model, batch).loss.backward()
        parts = (model.adaptation["1"].output, model.adaptation["1"].guidance, model.correspondence.attention.out_proj)
        seen.append([bool(p.weight.grad.any()) for p in parts])
        optimiser.step()
    assert seen == [[True, False, False], [True, True, True], [True, True, True]]


@torch.no_grad()
def test_any_number_of_images_in_one_batch(build, tmp_path):
    model, processor, _ = build()
    mixed = [toy_samples(tmp_path / str(n), 1, images=n)[0].model_copy(update={"id": str(n)}) for n in (1, 2, 3, 4)]
    turn = mixed[0].turns[0].model_copy(update={"user": "What is red?", "assistant": "A colour."})
    mixed.append(mixed[0].model_copy(update={"id": "text", "images": (), "turns": (turn,), "targets": ()}))
    batch = Collator(processor)(mixed)
    together = run(model, batch)
    assert (together.hidden_states.isfinite() | ~batch["attention_mask"].bool()[..., None]).all()
    for row, sample in enumerate(mixed):
        alone = run(model, Collator(processor)([sample]))
        length = alone.hidden_states.shape[1]
        assert torch.allclose(alone.hidden_states[0], together.hidden_states[row, :length], atol=1e-4)


def test_a_batch_without_images_gives_every_parameter_a_gradient(build, tmp_path):
    model, processor, samples = build()
    turn = samples[0].turns[0].model_copy(update={"user": "What is red?", "assistant": "A colour."})
    text = samples[0].model_copy(update={"images": (), "turns": (turn,), "targets": ()})
    batch = Collator(processor)([text])
    assert len(batch["image_index"]) == 0
    assert len(batch["pixel_values"]) == 1
    run(model, batch).loss.backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not model.adaptation["1"].output.weight.grad.any()


def test_passes_of_any_length_give_the_same(build):
    model, processor, samples = build()
    batch = Collator(processor)(samples[:3])
    results = []
    for longest in (None, 1, 4):
        model.max_images_per_tower_pass = longest
        model.zero_grad()
        output = run(model, batch)
        output.loss.backward()
        grads = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append((output.mask_logits.detach(), grads))
    for masks, grads in results[1:]:
        assert torch.allclose(masks, results[0][0], atol=1e-5)
        assert torch.allclose(grads, results[0][1], atol=1e-4)


def test_gradient_checkpointing_changes_nothing(build):
    model, processor, samples = build()
    batch = Collator(processor)(samples[:3])
    results = []
    for checkpointing in (False, True):
        model.train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        loss = run(model, batch).loss
        loss.backward()
        results.append((loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}))
    model.gradient_checkpointing_disable()
    assert any(m.gradient_checkpointing for m in model.modules() if hasattr(m, "gradient_checkpointing")) is False
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    for name, grad in results[0][1].items():
        assert torch.allclose(grad, results[1][1][name], atol=1e-5), name


@torch.no_grad()
def test_features_stand_for_the_pictures(build):
    model, processor, samples = build()
    batch = {k: v for k, v in Collator(processor)(samples[:3]).items() if k != "sample_ids"}
    direct = model(**batch)
    found = model.features(**batch)
    pictures = ("pixel_values", "semantic_pixels", "grounding_pixels")
    again = model(**{k: v for k, v in batch.items() if k not in pictures}, **found)
    assert torch.equal(direct.mask_logits, again.mask_logits)
    assert torch.equal(direct.loss, again.loss)


@torch.no_grad()
def test_dinov2_may_see_another_size(build):
    model, processor, samples = build("model.correspondence.image_size=48")
    batch = Collator(processor)(samples[:2])
    assert batch["semantic_pixels"].shape[-2:] == (48, 48)
    assert model.look_for_meaning(batch["semantic_pixels"]).shape[1] == 36
    assert run(model, batch).loss.isfinite()


@torch.no_grad()
def test_registers_are_no_patches(build):
    model, processor, samples = build("model.correspondence.registers=3")
    batch = Collator(processor)(samples[:2])
    assert type(model.correspondence.semantic_model).__name__ == "Dinov2WithRegistersModel"
    assert model.look_for_meaning(batch["pixel_values"]).shape[1] == 16


@torch.no_grad()
def test_the_cache_holds_what_was_injected(build):
    """One pass over all tokens, and a pass over the prompt followed by one token at a time, give the same states."""
    model, processor, samples = build()
    batch = Collator(processor)([next(s for s in samples if s.targets)])
    whole = run(model, batch).hidden_states[0]
    guide = int(batch["guide_positions"][0]) + 1
    seen = model.features(**batch)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    inputs = model.prompt(ids[:, :guide], mask[:, :guide], seen["patches"], seen["semantic"], batch["image_index"],
                          batch["image_owner"], batch["guide_positions"])  # fmt: skip
    cache = DynamicCache(config=model.trunk.config)
    states = [model.trunk.model(**inputs, past_key_values=cache, use_cache=True).last_hidden_state[0]]
    for position in range(guide, ids.shape[1]):
        states.append(model.trunk.model(input_ids=ids[:, position : position + 1], past_key_values=cache,
                                        use_cache=True).last_hidden_state[0])  # fmt: skip
    assert np.allclose(torch.cat(states), whole, atol=1e-4)
