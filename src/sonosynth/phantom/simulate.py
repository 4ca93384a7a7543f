"""Simulated B-mode images of breast-like phantoms, with lesion masks.

The chain is the textbook one: random scatterers weighted by the tissue's echogenicity, a depth-dependent
point spread function, envelope detection, attenuation and its compensation, log compression. Scatterers are
circular complex Gaussian numbers on a grid finer than a resolution cell (the baseband signal of many random
scatterers), so homogeneous tissue gives fully developed, Rayleigh-distributed speckle: mean over standard
deviation sqrt(pi / (4 - pi)) = 1.91 before compression (Goodman, J. Opt. Soc. Am. 66:1145, 1976; Wagner et
al., IEEE Trans. Sonics Ultrason. 30:156, 1983). Everything is an operation on whole arrays.

Axes are (depth, lateral), in millimetres; levels are in decibels. These are simulations: no number measured
on them says anything about patients.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import fft, ndimage

KINDS = ("normal", "benign", "malignant")

Array = np.ndarray


@dataclass(frozen=True)
class Probe:
    """A linear array and the settings of its scanner.

    frequency: centre frequency, MHz. cycles: pulse length in wavelengths. aperture: active aperture, mm.
    focus: transmit focus depth, mm. depth, width: field of view, mm. gain: level of the brightest tissue
    relative to white, dB. dynamic_range: range from black to white, dB. compensation: share of the mean
    attenuation that the time-gain compensation undoes. looks: independent views that are averaged (spatial
    compounding). smoothing: speckle-reduction filter, in pixels (standard deviation). sharpening: share of
    the difference from a blurred picture that edge enhancement adds. gamma: grey map exponent. floor:
    electronic noise, dB below white at the surface.
    """

    frequency: float = 10.0
    cycles: float = 2.0
    aperture: float = 15.0
    focus: float = 20.0
    depth: float = 38.0
    width: float = 40.0
    gain: float = -20.0
    dynamic_range: float = 60.0
    compensation: float = 0.9
    looks: int = 2
    smoothing: float = 0.4
    sharpening: float = 0.0
    gamma: float = 1.0
    floor: float = 75.0


@dataclass(frozen=True)
class Phantom:
    """One simulated image: `image` (H, W) uint8 grey, `mask` (H, W) bool, true on the lesion."""

    image: Array
    mask: Array
    kind: str
    traits: tuple[str, ...]
    probe: Probe


def random_probe(rng: np.random.Generator) -> Probe:
    """A probe drawn from the range that the embedded base is pretrained on."""
    depth = rng.uniform(28, 55)
    return Probe(
        frequency=rng.uniform(6, 12),
        cycles=rng.uniform(1.5, 3.0),
        aperture=rng.uniform(8, 22),
        focus=depth * rng.uniform(0.3, 0.75),
        depth=depth,
        width=depth * rng.uniform(0.9, 1.3),
        gain=rng.uniform(-32, -10),
        dynamic_range=rng.uniform(50, 75),
        compensation=rng.uniform(0.5, 1.0),
        looks=int(rng.integers(1, 5)),
        smoothing=rng.uniform(0.0, 0.8),
        sharpening=rng.choice([0.0, rng.uniform(0.2, 1.0)]),
        gamma=rng.uniform(0.8, 1.5),
        floor=rng.uniform(60, 85),
    )


def envelope(echogenicity: Array, probe: Probe, rng: np.random.Generator) -> Array:
    """Detected envelope (H, W), linear scale, of tissue with the given echogenicity (H, W) in dB.

    The lateral width of the point spread function is diffraction limited at the focus and widens away from
    it as a Gaussian beam does; the axial one is set by the pulse length. Each row of the transfer function
    has unit energy, so homogeneous tissue has the same mean level at every depth.
    """
    rows, columns = echogenicity.shape
    z = (np.arange(rows) + 0.5) * probe.depth / rows
    wavelength = 1.54 / probe.frequency
    scatterers = rng.standard_normal((2, rows, columns), dtype=np.float32)
    field = (scatterers[0] + 1j * scatterers[1]) * 10 ** (echogenicity.astype(np.float32) / 20)

    waist = 0.6 * wavelength * max(probe.focus / probe.aperture, 1.0)
    rayleigh = np.pi * waist**2 / wavelength * 4
    lateral = waist * np.sqrt(1 + ((z - probe.focus) / rayleigh) ** 2)
    lateral = np.minimum(lateral, 1.5)
    axial = 0.25 * probe.cycles * wavelength

    fx = fft.fftfreq(columns, probe.width / columns).astype(np.float32)
    fz = fft.fftfreq(rows, probe.depth / rows).astype(np.float32)
    beam = np.exp(-2 * (np.pi * lateral[:, None].astype(np.float32) * fx) ** 2)
    beam /= np.sqrt((beam**2).mean(axis=1, keepdims=True))
    pulse = np.exp(-2 * (np.pi * axial * fz) ** 2)
    pulse /= np.sqrt((pulse**2).mean())
    field = fft.ifft(fft.fft(field, axis=1) * beam, axis=1)
    field = fft.ifft(fft.fft(field, axis=0) * pulse[:, None], axis=0)
    return np.abs(field) / np.sqrt(2)


def simulate(
    kind: str, rng: np.random.Generator, probe: Probe | None = None, size: int | tuple[int, int] = 128
) -> Phantom:
    """One phantom of `kind` ("normal", "benign" or "malignant"), `size` pixels (side, or height and width).

    Benign lesions are smooth, wider than tall, homogeneous and mostly enhance what lies behind; malignant ones
    are irregular, spiculated, taller than wide, heterogeneous and mostly cast a shadow; normal images have none.

    Raises:
        ValueError: if `kind` is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; known kinds: {', '.join(KINDS)}")
    probe = probe or Probe()
    height, width = (size, size) if isinstance(size, int) else size
    rows, columns = 2 * height, 2 * width  # simulated finer than shown, as a scan converter reduces it
    z = (np.arange(rows)[:, None] + 0.5) * probe.depth / rows
    x = (np.arange(columns)[None, :] + 0.5) * probe.width / columns

    level, attenuation, traits = _anatomy(z, x, probe, rng)
    mask = np.zeros((rows, columns), bool)
    if kind != "normal":
        level, attenuation, mask, of_lesion = _lesion(kind, z, x, level, attenuation, probe, rng)
        traits += of_lesion

    # Round trip, relative to what the compensation assumes (0.6 dB/cm/MHz).
    dz = probe.depth / rows / 10
    loss = 2 * probe.frequency * dz * np.cumsum(attenuation - 0.6 * probe.compensation, axis=0)
    gain = probe.gain - 0.55 * loss
    echo = np.mean([envelope(level + gain, probe, rng) for _ in range(probe.looks)], axis=0)
    amplification = 10 ** (2 * 0.6 * probe.compensation * 0.55 * probe.frequency * z / 10 / 20)
    noise = rng.standard_normal((2, rows, columns), dtype=np.float32)
    echo = np.hypot(echo, np.hypot(noise[0], noise[1]) * amplification * 10 ** (-probe.floor / 20))

    decibels = 20 * np.log10(echo + 1e-6)
    shown = decibels.reshape(height, 2, width, 2).mean(axis=(1, 3))
    shown = ndimage.gaussian_filter(shown, probe.smoothing) if probe.smoothing > 0.2 else shown
    if probe.sharpening:
        shown = shown + probe.sharpening * (shown - ndimage.gaussian_filter(shown, 1.5))
    grey = np.clip(shown / probe.dynamic_range + 1, 0, 1) ** probe.gamma
    mask = mask.reshape(height, 2, width, 2).mean(axis=(1, 3)) >= 0.5
    return Phantom(np.round(255 * grey).astype(np.uint8), mask, kind, traits, probe)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: tuple[float, float]) -> Array:
    """Unit-variance Gaussian noise (H, W) whose correlation length is `scale` pixels along each axis."""
    coarse = tuple(max(4, int(np.ceil(n / s)) + 3) for n, s in zip(shape, scale, strict=True))
    grid = rng.standard_normal(coarse)
    offset = rng.uniform(0, 1, 2)
    axes = [np.arange(n) / s + o + 1 for n, s, o in zip(shape, scale, offset, strict=True)]
    return 1.3 * _bicubic(grid, *axes)


def _bicubic(grid: Array, rows: Array, columns: Array) -> Array:
    """Separable cubic B-spline evaluation of `grid` at the outer product of `rows` and `columns`."""

    def weights(position: Array, length: int) -> Array:
        distance = np.abs(position[:, None] - np.arange(length)[None, :])
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = np.clip(2 - distance, 0, None) ** 3 / 6
        return np.where(distance < 1, near, far)

    return 1.6 * weights(rows, grid.shape[0]) @ grid @ weights(columns, grid.shape[1]).T


def _web(rng: np.random.Generator, shape: tuple[int, int], scale: tuple[float, float], thickness: float) -> Array:
    """Thin sheets, 1 on them and 0 away (H, W), `thickness` pixels: where smooth noise changes sign."""
    noise = _smooth_noise(rng, shape, scale)
    slope = np.hypot(*np.gradient(noise)) + 0.15 / min(scale)
    return np.exp(-((noise / slope / thickness) ** 2))


def _anatomy(z: Array, x: Array, probe: Probe, rng: np.random.Generator) -> tuple[Array, Array, tuple[str, ...]]:
    """Layered tissue: echogenicity (dB, 0 is bright fibroglandular tissue), attenuation (dB/cm/MHz), traits."""
    shape = (z.shape[0], x.shape[1])
    dz, dx = probe.depth / shape[0], probe.width / shape[1]

    def boundary(mean: float, amplitude: float, scale: float) -> Array:
        wave = _smooth_noise(rng, (4, shape[1]), (4, scale / dx))[0]
        return mean + amplitude * wave

    dense = rng.random() < 0.5
    skin = boundary(rng.uniform(0.8, 2.0), 0.15, 15)
    fat = skin + np.clip(boundary(rng.uniform(0.05, 0.16 if dense else 0.4) * probe.depth, 1.5, 12), 0.8, None)
    gland = fat + np.clip(boundary(rng.uniform(0.3, 0.6) * probe.depth, 2.5, 15), 3, None)
    muscle = gland + np.clip(boundary(rng.uniform(0.03, 0.15) * probe.depth, 1.0, 12), 0.5, None)

    # Tissue is stretched laterally and bent; ligaments are thin bright sheets in fat and gland.
    bend = 2.5 * _smooth_noise(rng, shape, (12 / dz, 10 / dx)) / dz
    fibres = _sheared(_smooth_noise(rng, shape, (rng.uniform(0.5, 1.1) / dz, rng.uniform(3, 9) / dx)), bend)
    lobules = _smooth_noise(rng, shape, (rng.uniform(2, 4) / dz, rng.uniform(3, 7) / dx))
    thick = rng.uniform(0.15, 0.35) / dz
    septa = _sheared(_web(rng, shape, (rng.uniform(2, 4) / dz, rng.uniform(6, 12) / dx), thick), bend)
    sheets = _sheared(_web(rng, shape, (rng.uniform(1, 2.5) / dz, rng.uniform(7, 16) / dx), thick), bend)
    strands = np.clip(fibres - rng.uniform(0.5, 1.1), 0, None)

    fatty = -19 + 1.5 * lobules + rng.uniform(10, 18) * septa * np.clip(0.8 + 0.4 * fibres, 0.2, 1.3)
    glandular = -8 + rng.uniform(1.0, 3.0) * fibres + rng.uniform(2, 6) * lobules
    glandular += rng.uniform(4, 10) * strands + rng.uniform(2, 9) * sheets
    muscular = -17 + 2 * fibres + 7 * strands + 9 * sheets
    level = np.where(z < fat, fatty, np.where(z < gland, glandular, np.where(z < muscle, fatty, muscular)))
    level = np.where(z < skin, 0.0, level)
    for edge, bright in ((skin, 8), (fat, 7), (gland, 6), (muscle, 14)):
        level = level + bright * np.exp(-(((z - edge) / 0.3) ** 2)) * np.clip(0.7 + 0.5 * lobules, 0, 1.3)
    attenuation = np.where(z < fat, 0.48, np.where(z < gland, 0.75, 0.65)) + 0.06 * lobules
    return level, attenuation, ("dense tissue" if dense else "fatty tissue",)


def _sheared(field: Array, shift: Array) -> Array:
    """`field` (H, W) with every sample moved `shift` (H, W) pixels in depth."""
    rows = np.arange(field.shape[0])[:, None] + shift
    low = np.floor(rows).astype(int)
    share = rows - low
    columns = np.arange(field.shape[1])[None, :]
    last = field.shape[0] - 1
    above, below = field[np.clip(low, 0, last), columns], field[np.clip(low + 1, 0, last), columns]
    return (1 - share) * above + share * below


def _lesion(
    kind: str, z: Array, x: Array, level: Array, attenuation: Array, probe: Probe, rng: np.random.Generator
) -> tuple[Array, Array, Array, tuple[str, ...]]:
    """Put a lesion of `kind` into the tissue: new level, attenuation, mask, and the traits that name it."""
    benign = kind == "benign"
    radius = np.sqrt(rng.uniform(0.02, 0.1 if benign else 0.12) * probe.depth * probe.width / np.pi)
    taller = rng.uniform(0.5, 0.8) if benign else rng.uniform(1.05, 1.5)  # height over width
    half_height, half_width = radius * np.sqrt(taller), radius / np.sqrt(taller)
    low, high = half_height + 3.0, probe.depth * 0.75 - half_height
    centre_z = rng.uniform(low, high) if high > low else (low + high) / 2
    centre_x = rng.uniform(1.2 * half_width, probe.width - 1.2 * half_width)

    tilt = rng.normal(0, 0.18)
    u, v = z - centre_z, x - centre_x
    u, v = u * np.cos(tilt) + v * np.sin(tilt), v * np.cos(tilt) - u * np.sin(tilt)
    angle = np.arctan2(u / half_height, v / half_width)
    distance = np.hypot(u / half_height, v / half_width)
    outline = np.ones_like(angle)
    waves = range(2, 4) if benign else range(2, 9)
    for k in waves:
        size = rng.normal(0, 0.05 if benign else 0.28 / k**0.7)
        outline += size * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    if not benign:
        for _ in range(rng.integers(5, 12)):  # spicules: narrow rays that leave the outline
            direction, width = rng.uniform(-np.pi, np.pi), rng.uniform(0.06, 0.14)
            turn = np.angle(np.exp(1j * (angle - direction)))
            outline += rng.uniform(0.25, 0.8) * np.exp(-0.5 * (turn / width) ** 2)
    outline = np.clip(outline, 0.3, None)
    inside = distance < outline

    ratio = distance / outline
    shape = level.shape
    px = probe.width / shape[1]
    texture = _smooth_noise(rng, shape, (2.0 / px, 2.0 / px))
    column_share = np.clip(1.15 - np.abs(v) / half_width, 0, 1) ** 0.5
    behind = (z > centre_z) & ~inside
    if benign:
        cyst = rng.random() < 0.3
        depth_db = rng.uniform(34, 45) if cyst else rng.uniform(8, 18)
        core = -5 - depth_db + 0.7 * texture
        edge = 1 / (1 + np.exp(np.clip((ratio - 1) * 45, -60, 60)))
        capsule = rng.uniform(3, 9) * np.exp(-(((ratio - 1.06) / 0.05) ** 2))
        enhances = cyst or rng.random() < 0.7
        enhancement = rng.uniform(5, 12) * column_share * behind * enhances
        level = level * (1 - edge) + core * edge + capsule + enhancement
        shadow_x = np.exp(-(((np.abs(v) - half_width) / (0.12 * half_width)) ** 2))
        level = level - 5 * shadow_x * (z > centre_z)  # refraction at the lateral edges
        traits = ("cyst" if cyst else "solid", "smooth", *(("posterior enhancement",) * enhances))
    else:
        core = -5 - rng.uniform(11, 20) + rng.uniform(2.5, 5) * texture
        spots = np.clip(_smooth_noise(rng, shape, (0.6 / px, 0.6 / px)) - 2.0, 0, None) * 14
        edge = 1 / (1 + np.exp(np.clip((ratio - 1) * rng.uniform(9, 25), -60, 60)))
        halo = rng.uniform(2, 7) * np.exp(-(((ratio - 1.2) / 0.15) ** 2))
        shadows = rng.random() < 0.8
        shadow = rng.uniform(8, 22) * column_share * np.clip((z - centre_z) / half_height, 0, 1) * shadows
        level = level * (1 - edge) + (core + spots) * edge + halo - shadow * ~inside * (z > centre_z)
        traits = ("solid", "spiculated", *(("posterior shadowing",) * shadows))
    return level, attenuation, inside, traits


DEMO_PROBE = replace(
    Probe(), frequency=14.0, aperture=9.0, focus=12.0, depth=32.0, width=46.0, gain=-16.0, dynamic_range=46.0,
    compensation=0.8, looks=2, smoothing=0.0, gamma=0.75,
)  # fmt: skip
"""The probe of the demo's cohort and of `sonosynth phantoms`: outside of what the embedded base is pretrained on."""
