"""scripts/train.py with a loss that is NaN on rank 1 at the third step; run by a launcher in a test.

With FAULT=gradient the loss is finite and its gradient is not.
"""

import functools
import os

from llava_corr.models.modeling import LlavaCorrForConditionalGeneration
from llava_corr.training import ranks
from llava_corr.training.command import main

steps = 0
forward = LlavaCorrForConditionalGeneration.forward


@functools.wraps(forward)  # the trainer reads its signature
def faulty(self, *args, **kwargs):
    global steps
    steps += self.training
    output = forward(self, *args, **kwargs)
    if ranks.rank() == 1 and steps == 3:
        if os.environ.get("FAULT") == "gradient":
            output.loss = output.loss + 0 * (output.loss - output.loss.detach()).sqrt()
        else:
            output.loss = output.loss * float("nan")
    return output


LlavaCorrForConditionalGeneration.forward = faulty
raise SystemExit(main())
