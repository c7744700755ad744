"""Light on visible surfaces: key light with soft shadows, light from all around with one bounce, mirrors, glass, sky.

Soft shadows take one ray per pixel (where the four neighbours agree, they decide instead), ambient light one for every
four. Directions come from a 4 x 4 tile of sixteen strata, and an average over 4 x 4 neighbours of the same piece then
holds every stratum exactly once, so flat areas carry no noise.
Axis letters: M visible points, H x W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .materials import KINDS
from .noise import noise
from .render import Geometry, Surface
from .scene import Lighting
from .vectors import Float32s, add_scaled, dot, normalise, scaled

TILE = 4


def _strata() -> Float32s:
    """16 x 2 stratified points in the unit square, in an order that sets neighbouring pixels far apart."""
    order = np.array([0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5])
    points = np.stack([(order % 4 + 0.5) / 4, (order // 4 + 0.5) / 4], 1)
    jitter = np.random.default_rng(16).uniform(-0.1, 0.1, points.shape)
    return (points + jitter).astype(np.float32)


_STRATA = _strata()


def _disc(points: Float32s) -> Float32s:
    radius, angle = np.sqrt(points[:, 0]), 2 * np.pi * points[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)


_DISC = _disc(_STRATA)
_DOME = np.column_stack([_DISC, np.sqrt(np.maximum(1 - (_DISC**2).sum(1), 0))]).astype(np.float32)


def _tile_index(x: NDArray[np.intp], y: NDArray[np.intp]) -> NDArray[np.intp]:
    return (y % TILE) * TILE + x % TILE


def _frames(normal: Float32s) -> tuple[Float32s, Float32s]:
    """Two unit vectors that complete each normal to an orthogonal frame (Duff et al., 2017)."""
    x, y, z = normal.T
    sign = np.where(z >= 0, np.float32(1), np.float32(-1))
    a = -1 / (sign + z)
    b = x * y * a
    return (
        np.stack([1 + sign * x * x * a, sign * b, -sign * x], 1),
        np.stack([b, sign + y * y * a, -y], 1),
    )


def smooth_within(planes: Float32s, label: NDArray[np.int32]) -> Float32s:
    """Averages C x H x W planes over 4 x 4 neighbours, one axis after the other, within areas of one label (H x W)."""
    for axis in (0, 1):
        totals = planes.copy()
        weight = np.ones(label.shape, np.float32)
        for shift in (-1, 1, 2):
            near, far = _overlap(shift, axis)
            same = (label[near] == label[far]).astype(np.float32)
            for total, values in zip(totals, planes, strict=True):
                total[near] += values[far] * same
            weight[near] += same
        totals /= weight
        planes = totals
    return planes


def _sum_of_neighbours(image: Float32s) -> Float32s:
    """The sum over each pixel's four neighbours (H x W); the border's pixels are repeated outside."""
    padded = np.pad(image, 1, mode="edge")
    return padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]


def _overlap(shift: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    forward = slice(None, -shift) if shift > 0 else slice(-shift, None)
    backward = slice(shift, None) if shift > 0 else slice(None, shift)
    whole = slice(None)
    return ((forward, whole), (backward, whole)) if axis == 0 else ((whole, forward), (whole, backward))


class Illumination:
    """Computes light for one picture."""

    def __init__(self, geometry: Geometry, lighting: Lighting, size: tuple[int, int]) -> None:
        self.geometry, self.lighting = geometry, lighting
        self.height, self.width = size
        self.key = lighting.key.astype(np.float32)
        self.zenith = lighting.zenith.astype(np.float32)
        self.horizon = lighting.horizon.astype(np.float32)
        self.below = lighting.below.astype(np.float32)

    def around(self, direction: Float32s) -> Float32s:
        """Light that comes from unit directions N x 3, as N x 3: sky above, far ground below."""
        up = direction[:, 2]
        rise = np.sqrt(np.clip(up, 0, 1))
        fall = np.clip(up * np.float32(-4), 0, 1)
        colour = np.empty(direction.shape, np.float32)
        for k in range(3):
            horizon = self.horizon[k]
            colour[:, k] = horizon + rise * (self.zenith[k] - horizon) + fall * (self.below[k] - horizon)
        return colour

    def sky(self, direction: Float32s) -> Float32s:
        """The sky itself, with clouds and the glow around the sun, for unit directions N x 3."""
        light = self.lighting
        colour = self.around(direction)
        if light.clouds:
            up = np.maximum(direction[:, 2:3], np.float32(0.03))
            where = direction[:, :2] / (up + np.float32(0.12)) * np.float32(0.4) + light.sky_offset.astype(np.float32)
            cover = np.clip((noise(where, octaves=4) + np.float32(3 * light.clouds - 1.6)) * np.float32(0.9), 0, 1)
            cover *= np.clip(direction[:, 2] * 6, 0, 1) * np.float32(0.85)
            bright = self.zenith.mean() * np.float32(0.5) + self.key * np.float32(0.22)
            for k in range(3):
                colour[:, k] += cover * (bright[k] - colour[:, k])
        sun = np.clip(direction @ light.towards.astype(np.float32), 0, 1) ** 200
        add_scaled(colour, self.key * np.float32(0.4), sun)
        return colour

    def _towards_key(self, point: Float32s) -> tuple[Float32s, Float32s]:
        """Unit directions to the middle of the key light, and how strong it is there: N x 3 and N."""
        light = self.lighting
        if light.position is None:
            direction = np.empty(point.shape, np.float32)
            direction[:] = light.towards
            return direction, np.ones(len(point), np.float32)
        direction = light.position.astype(np.float32) - point
        squared = dot(direction, direction) + np.float32(1e-9)
        normalise(direction)
        reach = np.float32(np.linalg.norm(light.position) * 0.5 + 1.0)
        return direction, np.minimum(reach * reach / squared, 4)

    def _towards_point_of_key(self, point: Float32s, strata: NDArray[np.intp]) -> tuple[Float32s, Float32s]:
        """Unit directions to one of sixteen places on the key light, and how far away that is: N x 3 and N."""
        light = self.lighting
        if light.position is None:
            centre = np.broadcast_to(light.towards.astype(np.float32), (TILE * TILE, 3))
            one, two = _frames(centre)
            table = centre + light.softness * (one * _DISC[:, 0:1] + two * _DISC[:, 1:2])
            table = table.astype(np.float32)
            normalise(table)
            return table.take(strata, axis=0), np.full(len(point), 1e4, np.float32)
        direction = light.position.astype(np.float32) - point
        distance = np.sqrt(dot(direction, direction))
        one, two = _frames(scaled(direction, 1 / distance))
        disc = _DISC.take(strata, axis=0) * np.float32(light.softness)
        add_scaled(direction, one, disc[:, 0])
        add_scaled(direction, two, disc[:, 1])
        normalise(direction)
        return direction, np.maximum(distance - np.float32(light.softness * 1.5), np.float32(0.01))

    def key_light(self, surface: Surface, normal: Float32s, label: NDArray[np.int32]) -> tuple[Float32s, Float32s]:
        """Share of the key light that arrives (M, soft shadow included) and unit directions to its centre (M x 3)."""
        y, x = np.divmod(surface.pixel, self.width)
        centre, strength = self._towards_key(surface.point)
        lambert = np.maximum(dot(normal, centre), 0)
        faces = (lambert > 0) & (dot(surface.facing, centre) > 0)
        visible: Float32s = np.zeros(self.height * self.width, np.float32)
        checkerboard = (x + y) % 2 == 0
        self._cast_shadows(surface, np.flatnonzero(faces & checkerboard), x, y, visible)
        around = _sum_of_neighbours(visible.reshape(self.height, self.width)).ravel()
        others = np.flatnonzero(faces & ~checkerboard)
        sum_around = around.take(surface.pixel.take(others))
        visible[surface.pixel.take(others)] = sum_around >= 4
        self._cast_shadows(surface, others[(sum_around > 0) & (sum_around < 4)], x, y, visible)
        visible = smooth_within(visible.reshape(1, self.height, self.width), label).reshape(-1)
        return visible.take(surface.pixel) * lambert * strength, centre

    def _cast_shadows(
        self, surface: Surface, chosen: NDArray[np.intp], x: NDArray[np.intp], y: NDArray[np.intp], visible: Float32s
    ) -> None:
        """Sets, in the flat image ``visible``, whether the key light's rays reach the chosen points."""
        origin = self._lifted(surface, chosen)
        direction, reach = self._towards_point_of_key(origin, _tile_index(x.take(chosen), y.take(chosen)))
        visible[surface.pixel.take(chosen)] = ~self.geometry.blocked(origin, direction, reach)

    @staticmethod
    def _offset(distance: Float32s) -> Float32s:
        return np.float32(2e-4) + np.float32(4e-4) * distance

    def _lifted(self, surface: Surface, chosen: NDArray[np.intp]) -> Float32s:
        """Visible points moved off their surface far enough not to be hit by their own rays."""
        origin = surface.point.take(chosen, axis=0)
        add_scaled(origin, surface.facing.take(chosen, axis=0), self._offset(surface.distance.take(chosen)))
        return origin

    def ambient(self, surface: Surface, normal: Float32s, label: NDArray[np.int32]) -> Float32s:
        """Light from all around with one bounce, M x 3, on every second pixel of every second row, then spread."""
        y, x = np.divmod(surface.pixel, self.width)
        coarse = np.flatnonzero((y % 2 == 0) & (x % 2 == 0))
        cy, cx = y.take(coarse) // 2, x.take(coarse) // 2
        found = self._gather(surface, normal, coarse, _tile_index(cx, cy))
        image = np.zeros((3, (self.height + 1) // 2, (self.width + 1) // 2), np.float32)
        image[:, cy, cx] = found.T
        image = smooth_within(image, label[::2, ::2])
        full, alone = _spread(image, label)
        light = full.reshape(-1, 3).take(surface.pixel, axis=0)
        lost = np.flatnonzero(alone.ravel().take(surface.pixel))
        light[lost] = self.around(surface.normal.take(lost, axis=0)) * np.float32(0.6)
        return light

    def _gather(
        self, surface: Surface, normal: Float32s, chosen: NDArray[np.intp], strata: NDArray[np.intp]
    ) -> Float32s:
        up = normal.take(chosen, axis=0)
        one, two = _frames(up)
        dome = _DOME.take(strata, axis=0)
        direction = scaled(up, dome[:, 2])
        add_scaled(direction, one, dome[:, 0])
        add_scaled(direction, two, dome[:, 1])
        origin = self._lifted(surface, chosen)
        reach = np.full(len(chosen), self.lighting.reach, np.float32)
        triangle = self.geometry.first_triangle(origin, direction, reach)
        light = self.around(direction)
        hit = np.flatnonzero(triangle >= 0)
        look = self.geometry.piece_look.take(self.geometry.triangle_piece.take(triangle.take(hit)))
        bounce = self.horizon * np.float32(0.2) + self.key * np.float32(0.12)
        light[hit] = (self.geometry.look_colours * bounce).take(look, axis=0)
        return light

    def far_colour(self, origin: Float32s, direction: Float32s) -> Float32s:
        """What secondary rays see, N x 3: flat-coloured surfaces under simple light, or the sky."""
        colour = self.sky(direction) if self.lighting.position is None else self.around(direction)
        hits = self.geometry.cast(origin, direction)
        if not len(hits.rays):
            return colour
        look = self.geometry.piece_look.take(hits.piece)
        point = origin.take(hits.rays, axis=0)
        add_scaled(point, hits.direction, hits.distance)
        centre, strength = self._towards_key(point)
        lambert = np.maximum(dot(hits.facing, centre), 0) * strength
        light = self.around(hits.facing) * np.float32(0.6)
        add_scaled(light, self.key * np.float32(0.7), lambert)
        colour[hits.rays] = self.geometry.look_colours.take(look, axis=0) * light
        return colour


def _spread(planes: Float32s, label: NDArray[np.int32]) -> tuple[Float32s, NDArray[np.bool_]]:
    """Doubles C x H/2 x W/2 planes: a pixel takes the mean of its up to four coarse neighbours of its own piece.

    Returns:
        H x W x C, and H x W: where no neighbour shows the same piece.
    """
    height, width = label.shape
    small = np.pad(label[::2, ::2], ((0, 1), (0, 1)), constant_values=-2)
    coarse = np.pad(planes, ((0, 0), (0, 1), (0, 1)))
    out = np.empty((height, width, len(planes)), np.float32)
    alone = np.empty((height, width), bool)
    for dy in (0, 1):
        for dx in (0, 1):
            own = label[dy::2, dx::2]
            rows, columns = own.shape
            totals = np.zeros((len(planes), rows, columns), np.float32)
            weight = np.zeros((rows, columns), np.float32)
            for sy in range(dy + 1):
                for sx in range(dx + 1):
                    near = np.s_[sy : sy + rows, sx : sx + columns]
                    same = (small[near] == own).astype(np.float32)
                    weight += same
                    for total, values in zip(totals, coarse, strict=True):
                        total += values[near] * same
            alone[dy::2, dx::2] = weight == 0
            inverse = 1 / np.maximum(weight, 1)
            for k, total in enumerate(totals):
                out[dy::2, dx::2, k] = total * inverse
    return out, alone


def shade(geometry: Geometry, surface: Surface, albedo: Float32s, normal: Float32s, light: Illumination) -> Float32s:
    """Linear colour of every visible point, M x 3."""
    flat_label = np.full(light.height * light.width, -1, np.int32)
    flat_label[surface.pixel] = surface.piece
    label = flat_label.reshape(light.height, light.width)
    arriving, centre = light.key_light(surface, normal, label)
    colour = light.ambient(surface, normal, label)
    add_scaled(colour, light.key, arriving)
    colour *= albedo
    _add_highlights(geometry, surface, albedo, normal, light, colour, arriving, centre)
    _add_mirrors(geometry, surface, albedo, normal, light, colour)
    if light.lighting.haze:
        clear = np.exp(surface.distance * np.float32(-1 / light.lighting.haze))
        far = light.around(surface.view * np.array([1, 1, 0.3], np.float32))
        colour -= far
        colour = scaled(colour, clear)
        colour += far
    return colour


def _add_highlights(
    geometry: Geometry, surface: Surface, albedo: Float32s, normal: Float32s, light: Illumination,
    colour: Float32s, arriving: Float32s, centre: Float32s,
) -> None:  # fmt: skip
    strength = geometry.look_table(lambda look: KINDS[look.kind].highlight).take(surface.look)
    chosen = np.flatnonzero((strength > 0) & (arriving > 0))
    if len(chosen):
        half = centre.take(chosen, axis=0) - surface.view.take(chosen, axis=0)
        normalise(half)
        shine = geometry.look_table(lambda look: KINDS[look.kind].shine).take(surface.look.take(chosen))
        glint = np.maximum(dot(half, normal.take(chosen, axis=0)), 0) ** shine
        glint *= strength.take(chosen) * np.minimum(arriving.take(chosen) * 3, 1)
        spread: Float32s = np.zeros(len(colour), np.float32)
        spread[chosen] = glint
        add_scaled(colour, light.key, spread)
    glow = geometry.look_table(lambda look: KINDS[look.kind].glow).take(surface.look)
    chosen = np.flatnonzero(glow)
    if len(chosen):
        colour[chosen] += scaled(albedo.take(chosen, axis=0), glow.take(chosen) * np.float32(0.9))


def _add_mirrors(
    geometry: Geometry, surface: Surface, albedo: Float32s, normal: Float32s, light: Illumination, colour: Float32s
) -> None:
    """Reflections with Fresnel's gain at grazing angles, and what glass lets through; only where they matter."""
    base = geometry.look_table(lambda look: KINDS[look.kind].mirror).take(surface.look)
    glossy = np.flatnonzero(base > 0.03)
    facing = np.clip(-dot(normal.take(glossy, axis=0), surface.view.take(glossy, axis=0)), 0, 1)
    share = base.take(glossy)
    share = share + (1 - share) * (1 - facing) ** 5 * np.float32(0.8)
    visible = share > 0.075
    chosen, share = glossy[visible], share[visible]
    if len(chosen):
        view, up = surface.view.take(chosen, axis=0), normal.take(chosen, axis=0)
        add_scaled(view, up, -2 * dot(view, up))
        seen = light.far_colour(light._lifted(surface, chosen), view)
        tinted = geometry.look_table(lambda look: float(KINDS[look.kind].tinted)).take(surface.look.take(chosen))
        tint = 1 + scaled(albedo.take(chosen, axis=0) - 1, tinted)
        own = colour.take(chosen, axis=0)
        colour[chosen] = own + scaled(seen * tint - own, share)
    clear = geometry.look_table(lambda look: KINDS[look.kind].clear).take(surface.look)
    chosen = np.flatnonzero(clear)
    if len(chosen):
        own = colour.take(chosen, axis=0)
        through = _behind(geometry, surface, chosen, light) * (0.25 + 0.75 * albedo.take(chosen, axis=0))
        colour[chosen] = own + scaled(through - own, clear.take(chosen))


def _behind(geometry: Geometry, surface: Surface, chosen: NDArray[np.intp], light: Illumination) -> Float32s:
    """What lies behind clear surfaces, straight on, N x 3; a second clear layer is passed too."""
    view = surface.view.take(chosen, axis=0)
    step = light._offset(surface.distance.take(chosen)) * 3
    origin = surface.point.take(chosen, axis=0)
    add_scaled(origin, view, step)
    clear = geometry.look_table(lambda look: KINDS[look.kind].clear)
    for _ in range(2):
        hits = geometry.cast(origin, view)
        through = clear.take(geometry.piece_look.take(hits.piece)) > 0
        rays = hits.rays[through]
        if not len(rays):
            break
        origin[rays] += scaled(view[rays], hits.distance[through] + step[rays])
    return light.far_colour(origin, view)
