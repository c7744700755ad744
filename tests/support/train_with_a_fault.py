"""scripts/train.py with a loss that is NaN on rank 1 at the third step; run by torchrun in a test."""

from llava_corr.models.modeling import LlavaCorrForConditionalGeneration
from llava_corr.training import ranks
from llava_corr.training.command import main

calls = 0
forward = LlavaCorrForConditionalGeneration.forward


def faulty(self, *args, **kwargs):
    global calls
    calls += 1
    output = forward(self, *args, **kwargs)
    if ranks.rank() == 1 and calls == 3:
        output.loss = output.loss * float("nan")
    return output


LlavaCorrForConditionalGeneration.forward = faulty
raise SystemExit(main())
