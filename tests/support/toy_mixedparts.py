"""Small samples and answers for the tests of the MixedParts scores: rectangles on 20 x 24 images."""

from __future__ import annotations

import numpy as np

from llava_corr.records import ImageRef, Mask, Prediction, Sample, Segment, Target, Turn

HEIGHT, WIDTH = 20, 24
NAMES = ("leg", "seat", "back", "arm", "seat cushion", "back pillow")
ROLES = {"common_objects": "object", "common_parts": "common", "unique_parts": "unique"}
PARTS = "The common parts are shown."


def box(x0, y0, x1, y1):
    pixels = np.zeros((HEIGHT, WIDTH), dtype=bool)
    pixels[y0:y1, x0:x1] = True
    return Mask.from_array(pixels)


def target(phrase, image_index, mask, role="common"):
    return Target(phrase=phrase, image_index=image_index, mask=mask, turn=0, role=role)


def segment(phrase, image_index, mask, score=1.0, sentence=PARTS):
    return Segment(phrase=phrase, image_index=image_index, mask=mask, score=score, sentence=sentence)


def sample(name, targets=(), task="common_parts", images=2, question="Segment."):
    return Sample(
        id=name,
        split="test",
        source="toy",
        task=task,
        images=tuple(ImageRef(path=f"{name}-{k}.jpg", height=HEIGHT, width=WIDTH) for k in range(images)),
        turns=(Turn(user=question, assistant=""),),
        targets=tuple(targets),
    )


def answer(to, segments=(), trail=(), **changes):
    fields = {
        "sample_id": to.id,
        "truth": to.truth_hash(),
        "text": "",
        "image_sizes": tuple((i.height, i.width) for i in to.images),
        "segments": tuple(segments),
        "trail": tuple(trail),
    }
    return Prediction(**{**fields, **changes})


def perfect(to, score=1.0):
    return answer(to, [segment(t.phrase, t.image_index, t.mask, score) for t in to.targets])


def random_box(rng):
    x, y = rng.integers(0, WIDTH - 8), rng.integers(0, HEIGHT - 8)
    return int(x), int(y), int(x + rng.integers(4, 9)), int(y + rng.integers(4, 9))


def random_pair(rng, name, task):
    """A sample and an answer with shifted, missed, spurious and misnamed masks."""
    targets, segments = [], []
    for image in range(2):
        for word in rng.choice(NAMES, size=rng.integers(0, 4), replace=False):
            x0, y0, x1, y1 = random_box(rng)
            targets.append(target(f"the {word}", image, box(x0, y0, x1, y1), ROLES[task]))
            dx, dy = rng.integers(-2, 3, 2)
            if rng.random() < 0.8:
                moved = box(max(x0 + dx, 0), max(y0 + dy, 0), x1 + dx, y1 + dy)
                said = word if rng.random() < 0.7 else rng.choice(NAMES)
                segments.append(segment(f"The {said}", image, moved, float(rng.integers(1, 9)) / 8))
        if rng.random() < 0.4:
            segments.append(segment(str(rng.choice(NAMES)), image, box(*random_box(rng)), float(rng.random())))
    made = sample(name, targets, task)
    return made, answer(made, segments)


def random_data(seed, count=12, tasks=tuple(ROLES)):
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng, f"s{k:03d}", tasks[k % len(tasks)]) for k in range(count)]
    return [s for s, _ in pairs], [p for _, p in pairs]
