"""llava_corr: large vision-language models that see what corresponds to what across images.

Importing this package is light: no torch, transformers or deepspeed until something needs them.
``import llava_corr.auto`` registers the model with the transformers Auto classes.
"""

__version__ = "0.1.0"
