"""Light on visible surfaces: key light with soft shadows, light from all around with one bounce, mirrors, glass, sky.

Soft shadows and ambient light take one ray per pixel; its direction comes from a 4 x 4 tile of sixteen strata, and an
average over 4 x 4 neighbours of the same piece then holds every stratum exactly once, so flat areas carry no noise.
Axis letters: M visible points, H x W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .materials import KINDS
from .noise import noise_2d
from .render import Geometry, Surface
from .scene import Lighting

Float32s = NDArray[np.float32]
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


def _dot(a: Float32s, b: Float32s) -> Float32s:
    return np.einsum("nk,nk->n", a, b)


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


def smooth_within(values: Float32s, label: NDArray[np.int32]) -> Float32s:
    """Averages an H x W x C image over 4 x 4 neighbours, one axis after the other, within areas of one label."""
    for axis in (0, 1):
        total = values.copy()
        weight = np.ones(label.shape, np.float32)
        for shift in (-1, 1, 2):
            near, far = _overlap(shift, axis)
            same = (label[near] == label[far]).astype(np.float32)
            total[near] += values[far] * same[..., None]
            weight[near] += same
        values = total / weight[..., None]
    return values


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
        up = direction[:, 2:3]
        rise = np.sqrt(np.clip(up, 0, 1))
        colour = self.horizon + rise * (self.zenith - self.horizon)
        fall = np.clip(-up * 4, 0, 1)
        return colour + fall * (self.below - colour)

    def sky(self, direction: Float32s) -> Float32s:
        """The sky itself, with clouds and the glow around the sun, for unit directions N x 3."""
        light = self.lighting
        colour = self.around(direction)
        up = np.maximum(direction[:, 2:3], np.float32(0.03))
        where = direction[:, :2] / (up + np.float32(0.12)) * np.float32(0.55) + light.sky_offset.astype(np.float32)
        cloud = noise_2d(where, octaves=4)[:, :1]
        cover = np.clip((cloud + np.float32(3 * light.clouds - 1.6)) * np.float32(0.9), 0, 1)
        cover *= np.clip(direction[:, 2:3] * 6, 0, 1)
        bright = self.zenith.mean() * np.float32(0.5) + self.key * np.float32(0.22)
        colour = colour + cover * (bright - colour) * np.float32(0.85)
        sun = np.clip(direction @ light.towards.astype(np.float32), 0, 1)
        return colour + (sun[:, None] ** 200) * self.key * np.float32(0.4)

    def _towards_key(self, point: Float32s, strata: NDArray[np.intp] | None) -> tuple[Float32s, Float32s]:
        """Unit directions to (a point of) the key light, and how strong it is there: M x 3 and M."""
        light = self.lighting
        if light.position is None:
            centre = light.towards.astype(np.float32)
            direction = np.broadcast_to(centre, point.shape)
            strength = np.ones(len(point), np.float32)
            radius = np.float32(light.softness)
        else:
            direction = light.position.astype(np.float32) - point
            length = np.sqrt(_dot(direction, direction)) + np.float32(1e-6)
            direction = direction / length[:, None]
            reach = np.float32(np.linalg.norm(light.position) * 0.5 + 1.0)
            strength = np.minimum((reach / length) ** 2, 4)
            radius = np.float32(light.softness) / length[:, None]
        if strata is None:
            return direction, strength
        one, two = _frames(direction)
        disc = _DISC.take(strata, axis=0) * radius
        direction = direction + one * disc[:, 0:1] + two * disc[:, 1:2]
        return direction / np.sqrt(_dot(direction, direction))[:, None], strength

    def key_light(self, surface: Surface, normal: Float32s, label: NDArray[np.int32]) -> tuple[Float32s, Float32s]:
        """Share of the key light that arrives (M, soft shadow included) and unit directions to its centre (M x 3)."""
        y, x = np.divmod(surface.pixel, self.width)
        centre, strength = self._towards_key(surface.point, None)
        lambert = np.maximum(_dot(normal, centre), 0)
        lit = np.flatnonzero((lambert > 0) & (_dot(surface.facing, centre) > 0))
        jittered, _ = self._towards_key(surface.point.take(lit, axis=0), _tile_index(x, y).take(lit))
        facing = surface.facing.take(lit, axis=0)
        origin = surface.point.take(lit, axis=0) + facing * self._offset(surface.distance.take(lit))
        blocked = self.geometry.blocked(origin, jittered, self._reach_of_key(origin))
        visible = np.zeros((self.height * self.width, 1), np.float32)
        visible[surface.pixel.take(lit), 0] = ~blocked
        visible = smooth_within(visible.reshape(self.height, self.width, 1), label).reshape(-1)
        return visible.take(surface.pixel) * lambert * strength, centre

    def _reach_of_key(self, origin: Float32s) -> Float32s:
        if self.lighting.position is None:
            return np.full(len(origin), 1e4, np.float32)
        gap = self.lighting.position.astype(np.float32) - origin
        return np.sqrt(_dot(gap, gap)) - np.float32(self.lighting.softness * 1.5)

    @staticmethod
    def _offset(distance: Float32s) -> Float32s:
        return (np.float32(2e-4) + np.float32(4e-4) * distance)[:, None]

    def ambient(self, surface: Surface, normal: Float32s, label: NDArray[np.int32]) -> Float32s:
        """Light from all around with one bounce, M x 3, on every second pixel of every second row, then spread."""
        y, x = np.divmod(surface.pixel, self.width)
        coarse = np.flatnonzero((y % 2 == 0) & (x % 2 == 0))
        cy, cx = y.take(coarse) // 2, x.take(coarse) // 2
        found = self._gather(surface, normal, coarse, _tile_index(cx, cy))
        height, width = (self.height + 1) // 2, (self.width + 1) // 2
        image = np.zeros((height, width, 3), np.float32)
        image[cy, cx] = found
        small = label[::2, ::2]
        image = smooth_within(image, small)
        return self._spread(image, small, label, surface)

    def _gather(
        self, surface: Surface, normal: Float32s, chosen: NDArray[np.intp], strata: NDArray[np.intp]
    ) -> Float32s:
        up = normal.take(chosen, axis=0)
        one, two = _frames(up)
        dome = _DOME.take(strata, axis=0)
        direction = one * dome[:, 0:1] + two * dome[:, 1:2] + up * dome[:, 2:3]
        offset = self._offset(surface.distance.take(chosen))
        origin = surface.point.take(chosen, axis=0) + surface.facing.take(chosen, axis=0) * offset
        reach = np.full(len(chosen), self.lighting.reach, np.float32)
        triangle = self.geometry.first_triangle(origin, direction, reach)
        light = self.around(direction)
        hit = np.flatnonzero(triangle >= 0)
        look = self.geometry.piece_look.take(self.geometry.triangle_piece.take(triangle.take(hit)))
        bounce = self.horizon * np.float32(0.35) + self.key * np.float32(0.12)
        light[hit] = self.geometry.look_colours.take(look, axis=0) * bounce
        return light

    def _spread(
        self, image: Float32s, small: NDArray[np.int32], label: NDArray[np.int32], surface: Surface
    ) -> Float32s:
        """Each pixel takes the mean of the up to four coarse neighbours that show its own piece."""
        height, width = small.shape
        y, x = np.divmod(surface.pixel, self.width)
        own = label.ravel().take(surface.pixel)
        total = np.zeros((len(own), 3), np.float32)
        weight = np.full(len(own), 1e-6, np.float32)
        flat, flat_label = image.reshape(-1, 3), small.ravel()
        for dy in (0, 1):
            row = np.minimum(y // 2 + dy * (y % 2), height - 1) * width
            for dx in (0, 1):
                at = row + np.minimum(x // 2 + dx * (x % 2), width - 1)
                same = (flat_label.take(at) == own).astype(np.float32)
                total += flat.take(at, axis=0) * same[:, None]
                weight += same
        alone = weight < 0.5
        total /= weight[:, None]
        if alone.any():
            total[alone] = self.around(surface.normal[alone]) * np.float32(0.6)
        return total

    def far_colour(self, origin: Float32s, direction: Float32s) -> Float32s:
        """What secondary rays see, N x 3: flat-coloured surfaces under simple light, or the sky."""
        colour = self.sky(direction) if self.lighting.position is None else self.around(direction)
        hits = self.geometry.cast(origin, direction)
        if not len(hits.rays):
            return colour
        look = self.geometry.piece_look.take(hits.piece)
        point = origin.take(hits.rays, axis=0) + hits.direction * hits.distance[:, None]
        centre, strength = self._towards_key(point, None)
        lambert = np.maximum(_dot(hits.facing, centre), 0) * strength
        light = self.around(hits.facing) * np.float32(0.6) + self.key * (lambert * np.float32(0.7))[:, None]
        colour[hits.rays] = self.geometry.look_colours.take(look, axis=0) * light
        return colour


def shade(geometry: Geometry, surface: Surface, albedo: Float32s, normal: Float32s, light: Illumination) -> Float32s:
    """Linear colour of every visible point, M x 3."""
    label = np.full(light.height * light.width, -1, np.int32)
    label[surface.pixel] = surface.piece
    label = label.reshape(light.height, light.width)
    arriving, centre = light.key_light(surface, normal, label)
    ambient = light.ambient(surface, normal, label)
    colour = albedo * (light.key * arriving[:, None] + ambient)
    _add_highlights(geometry, surface, albedo, normal, light, colour, arriving, centre)
    _add_mirrors(geometry, surface, albedo, normal, light, colour)
    if light.lighting.haze:
        lost = 1 - np.exp(surface.distance * np.float32(-1 / light.lighting.haze))
        colour += lost[:, None] * (light.around(surface.view * np.float32([1, 1, 0.3])) - colour)
    return colour


def _add_highlights(
    geometry: Geometry, surface: Surface, albedo: Float32s, normal: Float32s, light: Illumination,
    colour: Float32s, arriving: Float32s, centre: Float32s,
) -> None:  # fmt: skip
    strength = geometry.look_table(lambda look: KINDS[look.kind].highlight).take(surface.look)
    chosen = np.flatnonzero((strength > 0) & (arriving > 0))
    if len(chosen):
        half = centre.take(chosen, axis=0) - surface.view.take(chosen, axis=0)
        half /= np.sqrt(_dot(half, half))[:, None]
        shine = geometry.look_table(lambda look: KINDS[look.kind].shine).take(surface.look.take(chosen))
        glint = np.maximum(_dot(half, normal.take(chosen, axis=0)), 0) ** shine
        glint *= strength.take(chosen) * np.minimum(arriving.take(chosen) * 3, 1)
        colour[chosen] += glint[:, None] * light.key
    glow = geometry.look_table(lambda look: KINDS[look.kind].glow).take(surface.look)
    chosen = np.flatnonzero(glow)
    if len(chosen):
        colour[chosen] += albedo.take(chosen, axis=0) * glow.take(chosen)[:, None] * np.float32(0.9)


def _add_mirrors(
    geometry: Geometry, surface: Surface, albedo: Float32s, normal: Float32s, light: Illumination, colour: Float32s
) -> None:
    """Reflections with Fresnel's gain at grazing angles, and what glass lets through; only where they matter."""
    base = geometry.look_table(lambda look: KINDS[look.kind].mirror).take(surface.look)
    facing = np.clip(-_dot(normal, surface.view), 0, 1)
    share = np.where(base > 0.03, base + (1 - base) * (1 - facing) ** 5 * np.float32(0.8), 0)
    chosen = np.flatnonzero(share > 0.05)
    if len(chosen):
        view, up = surface.view.take(chosen, axis=0), normal.take(chosen, axis=0)
        mirrored = view - 2 * _dot(view, up)[:, None] * up
        step = surface.facing.take(chosen, axis=0) * light._offset(surface.distance.take(chosen))
        seen = light.far_colour(surface.point.take(chosen, axis=0) + step, mirrored)
        tinted = geometry.look_table(lambda look: float(KINDS[look.kind].tinted)).take(surface.look.take(chosen))
        tint = 1 + tinted[:, None] * (albedo.take(chosen, axis=0) - 1)
        weight = share.take(chosen)[:, None]
        colour[chosen] += weight * (seen * tint - colour[chosen])
    clear = geometry.look_table(lambda look: KINDS[look.kind].clear).take(surface.look)
    chosen = np.flatnonzero(clear)
    if len(chosen):
        behind = _behind(geometry, surface, chosen, light)
        weight = clear.take(chosen)[:, None]
        colour[chosen] += weight * (behind * (0.25 + 0.75 * albedo.take(chosen, axis=0)) - colour[chosen])


def _behind(geometry: Geometry, surface: Surface, chosen: NDArray[np.intp], light: Illumination) -> Float32s:
    """What lies behind clear surfaces, straight on, N x 3; a second clear layer is passed too."""
    view = surface.view.take(chosen, axis=0)
    step = light._offset(surface.distance.take(chosen)) * 3
    origin = surface.point.take(chosen, axis=0) + view * step
    clear = geometry.look_table(lambda look: KINDS[look.kind].clear)
    for _ in range(2):
        hits = geometry.cast(origin, view)
        through = clear.take(geometry.piece_look.take(hits.piece)) > 0
        rays = hits.rays[through]
        if not len(rays):
            break
        origin[rays] += view[rays] * (hits.distance[through][:, None] + step[rays])
    return light.far_colour(origin, view)
