"""Reader of PACO-LVIS (Ramanathan et al., 2023): common objects and their parts, many per picture.

Layout below ``root``::

    annotations/paco_lvis_v1_{train,val,test}.json     (or the files directly below root)
    train2017/*.jpg  val2017/*.jpg                     (COCO 2017; elsewhere: pass image_root)

One COCO-style file holds 75 ``OBJECT`` categories (LVIS ids) and 456 ``PART`` categories (``mug:handle``, ids 2000 to
2455). Every row names its owner in ``obj_ann_id``: an object row names itself, a part row the object it belongs to.
``file_name`` is relative to the COCO folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ..errors import AnnotationError, Findings
from ..records import AnnotatedImage, ImageObject, Mask, Part
from ..taxonomy import PartClass, everyday, paco_part
from . import _coco
from ._coco import CocoFile, Row
from ._images import image_is_sound

SOURCE = "paco_lvis"


def read(
    root: str | Path,
    split: str,
    *,
    findings: Findings,
    image_root: str | Path | None = None,
    check_images: bool = False,
) -> Iterator[AnnotatedImage]:
    """Reads one split, in the order of the file.

    Names are everyday names (``car_(automobile):door_handle`` is the door handle of a car). Left out with a finding:
    rows without pixels (``empty_mask``), parts whose owner is missing (``part_without_owner``), on another image
    (``owner_on_other_image``) or of another class (``part_of_other_class``).

    Args:
        root: folder of the annotations.
        split: train, val or test.
        findings: takes what was left out.
        image_root: folder that ``file_name`` starts from; ``root`` if not given.
        check_images: open and decode every image; missing, truncated and wrongly sized ones are left out and listed.

    Raises:
        AnnotationError: missing or broken file, duplicate or unknown ids, an object row that names another owner.
        MaskError: a mask of another size than its image, or undecodable.
    """
    root = Path(root)
    name = f"paco_lvis_v1_{split}.json"
    path = _coco.first_existing([root / "annotations" / name, root / name], f"PACO-LVIS annotations of split {split!r}")
    coco = _coco.load(path, findings, unique_ids=True)
    owners = _object_rows(coco)
    folder = Path(image_root) if image_root is not None else root
    return _images(coco, owners, folder, split, findings, check_images)


def _images(
    coco: CocoFile, owners: dict[int, Row], folder: Path, split: str, findings: Findings, check: bool
) -> Iterator[AnnotatedImage]:
    for image in coco.images:
        path = folder / image["file_name"]
        if check and not image_is_sound(path, image["height"], image["width"], findings):
            continue
        yield AnnotatedImage(
            image_id=str(image["id"]),
            path=str(path),
            height=image["height"],
            width=image["width"],
            source=SOURCE,
            split=split,
            objects=_objects(coco, image, owners, findings),
        )


def _object_rows(coco: CocoFile) -> dict[int, Row]:
    """Object rows of the whole file by id, each checked to be its own owner."""
    owners = {}
    for rows in coco.rows.values():
        for row in rows:
            if not isinstance(row.get("obj_ann_id"), int):
                raise AnnotationError(
                    "no obj_ann_id", where=coco.where(row), mend="use the PACO-LVIS v1 files, not plain LVIS ones"
                )
            if _is_part(coco, row):
                continue
            if row["obj_ann_id"] != row["id"]:
                raise AnnotationError(
                    f"object row {row['id']} names {row['obj_ann_id']} as its owner",
                    where=coco.where(row),
                    mend="set obj_ann_id of an object row to its own id",
                )
            owners[row["id"]] = row
    return owners


def _is_part(coco: CocoFile, row: Row) -> bool:
    category = coco.category(row)
    is_part = category.get("supercategory") == "PART"
    if is_part != (":" in category["name"]):
        raise AnnotationError(
            f"category {category['name']!r} with supercategory {category.get('supercategory')!r}",
            where=f"{coco.path}, category {category['id']}",
            mend="parts are named object:part and have supercategory PART",
        )
    return is_part


def _objects(coco: CocoFile, image: Row, owners: dict[int, Row], findings: Findings) -> tuple[ImageObject, ...]:
    masks: dict[int, Mask] = {}
    parts: dict[int, list[Part]] = defaultdict(list)
    part_rows = []
    for row in coco.rows.get(image["id"], []):
        if _is_part(coco, row):
            part_rows.append(row)
        elif (mask := coco.mask(row, image, findings)) is not None:
            masks[row["id"]] = mask
    for row in part_rows:
        part = paco_part(coco.category(row)["name"])
        if not _owner_is_sound(coco, row, part, owners, masks, findings):
            continue
        if (mask := coco.mask(row, image, findings)) is not None:
            parts[row["obj_ann_id"]].append(Part(name=part.part, mask=mask))
    return tuple(
        ImageObject(
            category=everyday(coco.category(owners[row_id])["name"]),
            instance_id=str(row_id),
            mask=mask,
            parts=tuple(parts[row_id]),
        )
        for row_id, mask in masks.items()
    )


def _owner_is_sound(
    coco: CocoFile, row: Row, part: PartClass, owners: dict[int, Row], masks: dict[int, Mask], findings: Findings
) -> bool:
    owner = owners.get(row["obj_ann_id"])
    where = coco.where(row)
    if owner is None:
        findings.add("part_without_owner", where, f"{part.whole}'s {part.part}, owner {row['obj_ann_id']}; left out")
    elif owner["image_id"] != row["image_id"]:
        findings.add("owner_on_other_image", where, f"owner {owner['id']} is on image {owner['image_id']}; left out")
    elif everyday(coco.category(owner)["name"]) != part.whole:
        findings.add("part_of_other_class", where, f"{part.whole}'s {part.part} on another class; left out")
    elif owner["id"] not in masks:
        findings.add("part_without_owner", where, f"owner {owner['id']} has an empty mask; left out")
    else:
        return True
    return False
