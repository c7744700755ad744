"""The model: answers do not depend on batch, padding or who shares a picture; gradients reach what is trained."""

import re

import pytest
import torch

from llava_corr.datasets.collate import Collator
from llava_corr.errors import CountMismatchError
from llava_corr.models.modeling import LlavaCorrForConditionalGeneration


def run(model, batch):
    return model(**{k: v for k, v in batch.items() if k != "sample_ids"})


@pytest.fixture
def with_masks(toy):
    _, _, samples = toy
    return [s for s in samples if s.targets][:3] + [s for s in samples if not s.targets][:1]


def test_losses_add_up_over_batches(toy, with_masks):
    model, processor, _ = toy
    together = run(model, Collator(processor)(with_masks))
    alone = [run(model, Collator(processor)([s])) for s in with_masks]
    assert torch.allclose(together.loss_sums, sum(o.loss_sums for o in alone), rtol=1e-4)
    assert torch.equal(together.counts, sum(o.counts for o in alone))


def test_masks_are_the_same_alone_and_in_company(toy, with_masks):
    model, processor, _ = toy
    together = run(model, Collator(processor)(with_masks)).mask_logits
    alone = torch.cat([run(model, Collator(processor)([s])).mask_logits for s in with_masks])
    assert torch.allclose(together, alone, atol=1e-4)


def test_padding_side_changes_nothing(toy, with_masks):
    model, processor, _ = toy
    right = Collator(processor)(with_masks)
    left = Collator(processor)
    left.with_answers = True
    dialogue_batch = dict(right)
    shift = (right["attention_mask"] == 0).sum(1)
    ids = torch.stack([row.roll(int(n)) for row, n in zip(right["input_ids"], shift, strict=True)])
    mask = torch.stack([row.roll(int(n)) for row, n in zip(right["attention_mask"], shift, strict=True)])
    labels = torch.stack([row.roll(int(n)) for row, n in zip(right["labels"], shift, strict=True)])
    positions = right["seg_positions"].clone()
    positions[:, 1] += shift[positions[:, 0]]
    dialogue_batch |= {"input_ids": ids, "attention_mask": mask, "labels": labels, "seg_positions": positions}
    a, b = run(model, right), run(model, dialogue_batch)
    assert torch.allclose(a.mask_logits, b.mask_logits, atol=1e-4)
    assert torch.allclose(a.loss_sums, b.loss_sums, rtol=1e-4)


def test_shared_pictures_give_the_same_as_copies(toy, with_masks):
    model, processor, _ = toy
    shared = Collator(processor)([with_masks[0], with_masks[0]])
    single = run(model, Collator(processor)([with_masks[0]]))
    assert torch.allclose(run(model, shared).mask_logits, single.mask_logits.repeat(2, 1, 1), atol=1e-4)


def test_the_state_before_seg_points(toy, with_masks):
    """Changing what comes at or after the last [SEG] leaves its mask alone; changing what comes before does not."""
    model, processor, _ = toy
    batch = Collator(processor)([with_masks[0]])
    before = run(model, batch).mask_logits[-1]
    position = int(batch["seg_positions"][-1, 1])
    later = dict(batch) | {"input_ids": batch["input_ids"].clone()}
    later["input_ids"][0, position:] = processor.tokenizer.eos_token_id
    assert torch.allclose(run(model, later).mask_logits[-1], before, atol=1e-5)
    earlier = dict(batch) | {"input_ids": batch["input_ids"].clone()}
    earlier["input_ids"][0, position - 1] = processor.tokenizer.eos_token_id
    moved = (run(model, earlier).mask_logits[-1] - before).abs().max()
    assert moved > 100 * (run(model, later).mask_logits[-1] - before).abs().max()


# Keys' biases shift all attention logits alike, so their gradient is zero by construction; the IoU head and the other
# mask tokens of SAM's decoder have no loss and are touched at weight 0.
NO_SIGNAL = re.compile(r"k_proj\.bias$|key\.bias$|iou_prediction_head|iou_token|output_hypernetworks_mlps\.[123]\.")


def test_every_trained_parameter_gets_a_gradient(toy, stirred, with_masks):
    _, processor, _ = toy
    run(stirred, Collator(processor)(with_masks)).loss.backward()
    without = [n for n, p in stirred.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []  # a rank that gave none would stop the others
    silent = [n for n, p in stirred.named_parameters() if p.requires_grad and not p.grad.any()]
    assert [n for n in silent if not NO_SIGNAL.search(n)] == []
    assert [n for n, p in stirred.named_parameters() if not p.requires_grad and p.grad is not None] == []


def test_a_batch_without_masks_still_runs_every_module(toy):
    model, processor, samples = toy
    turn = samples[0].turns[0].model_copy(update={"assistant": "There is no common object."})
    without = [samples[0].model_copy(update={"targets": (), "turns": (turn,)})]
    output = run(model, Collator(processor)(without))
    assert output.mask_logits.shape[0] == 0
    assert output.counts[1] == 0
    model.zero_grad()
    output.loss.backward()
    assert model.seg_projection.layers[0].weight.grad is not None
    assert not model.seg_projection.layers[0].weight.grad.any()
    model.zero_grad()


def test_image_positions_and_visual_tokens_must_agree(toy, with_masks):
    model, processor, _ = toy
    batch = Collator(processor)([with_masks[0]])
    batch["image_index"] = batch["image_index"][:1]
    with pytest.raises(CountMismatchError, match="8 image positions for 4 visual tokens"):
        run(model, batch)


def test_denominators_scale_the_terms(toy, with_masks):
    model, processor, _ = toy
    batch = Collator(processor)(with_masks)
    own = run(model, batch)
    doubled = model(**{k: v for k, v in batch.items() if k != "sample_ids"}, loss_denominators=2 * own.counts)
    assert doubled.loss.item() == pytest.approx(own.loss.item() / 2, rel=1e-5)


def test_save_and_load_gives_the_same_masks(toy, with_masks, tmp_path):
    model, processor, _ = toy
    model.save_pretrained(tmp_path)
    again = LlavaCorrForConditionalGeneration.from_pretrained(tmp_path).eval()
    batch = Collator(processor)(with_masks)
    assert torch.equal(run(model, batch).mask_logits, run(again, batch).mask_logits)


def test_auto_classes(toy, tmp_path):
    from transformers import AutoConfig, AutoModel

    import llava_corr.auto  # noqa: F401

    model, _, _ = toy
    model.save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)).__name__ == "LlavaCorrConfig"
    assert isinstance(AutoModel.from_pretrained(tmp_path), LlavaCorrForConditionalGeneration)


def frozen_but_for(model, part):
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(part))
    return model


@pytest.mark.parametrize("part", ["visual_tokens.projection", "adaptation"])
def test_a_frozen_trunk_is_recomputed_where_gradients_pass_it(toy, stirred, with_masks, part):
    """The alignment stage: the gradients are the same, and fewer activations are kept for them."""
    batch = Collator(toy[1])(with_masks)
    model = frozen_but_for(stirred, part)
    found = []
    for recompute in (False, True):
        if recompute:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
        kept = []

        def keep(tensor, kept=kept):
            kept.append(tensor.numel())
            return tensor

        model.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = run(model, batch).loss
        loss.backward()
        found.append((sum(kept), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}))
    (plain, ours), (recomputed, theirs) = found
    assert recomputed < 0.7 * plain
    assert ours.keys() == theirs.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    assert all(torch.allclose(ours[n], theirs[n], atol=1e-6) for n in ours)
    layer = model.trunk.model.layers[0]
    assert layer.training
    assert not any(inner.training for inner in layer.modules() if inner is not layer)
    assert not any(module.training for module in model.eval().modules())


def test_frozen_parts_stay_in_eval_mode(stirred):
    model = frozen_but_for(stirred, "visual_tokens.qformer").train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters:
            assert module.training == any(p.requires_grad for p in parameters)
    assert not any(m.training for m in model.grounding.modules())
    assert all(m.training for m in model.visual_tokens.qformer.modules())
    assert not any(m.training for m in frozen_but_for(model, "nothing").train().modules())
