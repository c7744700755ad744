"""llava_corr: large vision-language models that see what corresponds to what across images.

Importing this package is light: no torch, transformers or deepspeed until something needs them.
``import llava_corr.auto`` registers the model with the transformers Auto classes.
"""

import logging

__version__ = "0.1.0"

# Its import, through peft and accelerate, warns on a CPU of a kernel that it does without.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
