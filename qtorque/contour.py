"""Occupations, and the two integrals over energy: the Fermi sea along a contour, the bias window on the real axis.

The retarded Green function is analytic in the upper half plane, so the sea is integrated where it is smooth: at T = 0
along an arc from below the spectrum to mu, at T > 0 along an arc and a line above the first poles of the Fermi
function, which are added one by one.
"""

from dataclasses import dataclass

import numpy as np

from qtorque.quadrature import Integral, integrate
from qtorque.units import BOLTZMANN_EV

TAIL = 40.0
"""kT at which the Fermi function is cut off: exp(-40) = 4e-18."""
FERMI_POLES = 4
"""Poles of the Fermi function inside the contour; the contour then runs 8 pi kT above the real axis, half way to the
next."""
BELOW_SPECTRUM = 1.0
"""eV between the start of the contour and the lower bound on the spectrum."""
CONTOUR_NOISE = 1e-15
"""Rounding of the sea's integrand: the difference of two Green functions of order one."""
SMALLEST_ERROR = 1e-16
"""eV per cell: spin currents near a lead are differences of numbers of order one, whose rounding no quadrature
lowers."""


@dataclass(frozen=True)
class Fermi:
    """Occupation of the states from one lead."""

    mu: float
    temperature: float

    @property
    def kT(self) -> float:
        return BOLTZMANN_EV * self.temperature

    def __call__(self, energy: np.ndarray) -> np.ndarray:
        """1/(exp((E - mu)/kT) + 1), a step at T = 0."""
        if self.temperature == 0:
            return 0.5 * (1 - np.sign(energy - self.mu))
        return 0.5 * (1 - np.tanh((energy - self.mu) / (2 * self.kT)))


@dataclass(frozen=True, eq=False)
class Contour:
    """A path z(x), x in [0, 1], with f(z) dz/dx for the Fermi sea of one lead."""

    z: np.ndarray
    step: np.ndarray


def sea_arc(fermi: Fermi, bottom: float, x: np.ndarray) -> Contour:
    """The arc from below the spectrum to mu (T = 0) or to mu - 40 kT + 8 pi i kT, where f is still one.

    A circle around a point of the real axis, with the angle quadratic in x, so that nodes gather at the end near mu.
    """
    end = fermi.mu - TAIL * fermi.kT + 2j * np.pi * FERMI_POLES * fermi.kT
    bottom = min(bottom, end.real - BELOW_SPECTRUM)
    centre = (abs(end) ** 2 - bottom**2) / (2 * (end.real - bottom))
    radius, last = centre - bottom, np.angle(end - centre)
    phi = last + (np.pi - last) * (1 - x) ** 2
    z = centre + radius * np.exp(1j * phi)
    return Contour(z, 1j * (z - centre) * (-2 * (np.pi - last) * (1 - x)))


def sea_line(fermi: Fermi, x: np.ndarray) -> Contour:
    """The line 8 pi kT above the real axis through the edge of the sea; there f(z) = f(Re z), as 4 poles lie below."""
    energy = fermi.mu + TAIL * fermi.kT * (2 * x - 1)
    z = energy + 2j * np.pi * FERMI_POLES * fermi.kT
    return Contour(z, 2 * TAIL * fermi.kT * fermi(energy) + 0j)


def sea_poles(fermi: Fermi) -> Contour:
    """The poles below that line: -2 pi i kT times the sum of the integrand over them closes the contour."""
    z = fermi.mu + 1j * np.pi * fermi.kT * (2 * np.arange(FERMI_POLES) + 1)
    return Contour(z, np.full(FERMI_POLES, -2j * np.pi * fermi.kT))


def sea_integral(kernel, fermi: Fermi, bottom: float, k: np.ndarray, weights: np.ndarray, **accuracy) -> Integral:
    """sum_k w_k Int dE f(E) of an analytic kernel(k, z, step) -> (m, nodes, columns)."""

    def along(path):
        def integrand(index, x):
            contour = path(x)
            return kernel(k[index], contour.z, contour.step)

        return integrate(integrand, 0.0, 1.0, weights, absolute=SMALLEST_ERROR, noise=CONTOUR_NOISE, **accuracy)

    arc = along(lambda x: sea_arc(fermi, bottom, x))
    if fermi.temperature == 0:
        return arc
    line = along(lambda x: sea_line(fermi, x))
    poles = sea_poles(fermi)
    shape = (len(k), FERMI_POLES)
    residues = kernel(k, np.broadcast_to(poles.z, shape), np.broadcast_to(poles.step, shape))
    value = arc.value + line.value + np.einsum("k,knc->c", weights, residues)
    return Integral(value, arc.error + line.error, arc.evaluations + line.evaluations + residues.shape[0] * FERMI_POLES)


def window_integral(kernel, fermis, k: np.ndarray, weights: np.ndarray, resonances=None, **accuracy) -> Integral | None:
    """sum_k w_k Int dE (f_L - f_R) kernel(k, E); None if the occupations are equal.

    `resonances`: function (low, high) -> for every k the energies between which narrow resonances lie, where the first
    intervals are to end: a peak that no node meets would never be found.
    """
    left, right = fermis
    if left == right:
        return None
    edges = np.array([f.mu + sign * TAIL * f.kT for f in fermis for sign in (-1, 0, 1)])
    low, high = float(edges.min()), float(edges.max())

    def integrand(index, energy):
        values = kernel(k[index], energy)
        values *= (left(energy) - right(energy))[..., None]
        return values

    peaks = [np.empty(0)] * len(k) if resonances is None else resonances(low, high)
    breakpoints = [np.concatenate([edges, peak]) if len(peak) else edges for peak in peaks]
    return integrate(integrand, low, high, weights, breakpoints=breakpoints, absolute=SMALLEST_ERROR, **accuracy)
