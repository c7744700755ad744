"""Pictures as chat servers take them: data URLs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from ..errors import ImageError

_SENT_AS_THEY_ARE = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_PLAIN = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
_ORIENTATION = 0x0112  # of EXIF; 1 is upright


def data_url(path: str | Path) -> str:
    """``data:image/...;base64,...`` of a picture file.

    JPEG, PNG and WebP files go out byte for byte. Other formats, and files that ask to be turned when shown, go out as
    PNG with the pixels in the order of the file: masks refer to those, and servers differ in whether they turn them.

    Raises:
        ImageError: the file is missing, broken, or of pixels of unknown range.
    """
    try:
        content = Path(path).read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            mime = _SENT_AS_THEY_ARE.get(image.format or "")
            if mime is None or image.getexif().get(_ORIENTATION, 1) != 1:
                mime, content = "image/png", _png(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as cause:
        raise ImageError(f"the picture cannot be read: {cause}", where=str(path), mend="check the file") from cause
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def _png(image: Image.Image) -> bytes:
    if image.mode not in _PLAIN:
        raise ValueError(f"what white is in a picture of mode {image.mode} is not known; save it with 8 bits a channel")
    out = io.BytesIO()
    image.convert("RGB").save(out, "PNG")  # converted pixels carry no EXIF
    return out.getvalue()
