"""A valve with a clean spacer: phases averaged over its thickness, momenta conserved, and where circuit theory fails.

In a specular spacer every momentum is a problem of its own. Averaged over the phase of a round trip only those terms
survive that go back and forth alike in both amplitudes of a product, and what is left is a theory of intensities: for
the spinor amplitudes r_L, r_R of both interfaces the distribution matrix rho that moves to the right obeys

    rho = T_L + M rho M^dagger,  M = r_L r_R,  T_L = 1 - r_L r_L^dagger,

and the currents are those of rho - r_R rho r_R^dagger. Of collinear magnets it is 1/T = 1/T_a + 1/T_b - 1 for each
spin. Circuit theory mixes all momenta in the spacer instead; G. E. W. Bauer et al., Phys. Rev. B 67, 094421 (2003)
(from memory) need a diffuse spacer for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from qtorque.brillouin import KSet
from qtorque.diffusion import Interface, Multilayer, Reservoir, interface_from
from qtorque.errors import InputError
from qtorque.extraction import interface_parameters
from qtorque.linear_response import linear_torkance
from qtorque.parallel import map_chunks
from qtorque.scattering import Scattering, solve
from qtorque.spin import PAULI, direction_at, su2
from qtorque.torque import SMALL_SINE
from qtorque.units import conductance_per_area, torkance_per_area
from qtorque.validation.comparison import Comparison
from qtorque.validation.models import UP, predictions
from qtorque.validation.samples import CONDUCTANCE_UNIT, TORKANCE_UNIT, Build
from qtorque.validation.studies import CIRCUIT, LABELS, Run

PER_MOMENTUM = "circuit theory at every momentum"
NO_ISOTROPY = "want of isotropy: a specular spacer conserves the momentum that circuit theory takes as randomised"
CLOSED = 1e-12
"""Transmission of an interface below which a momentum is taken as closed: evanescent, or a gap of the magnet."""
TOO_FEW = "the mean over few thicknesses, or a phase that repeats with the lattice"
PER_MOMENTUM_TOLERANCE = 1e-3
"""Of a transmission, absolute: what a hundred thicknesses average to."""


def smooth_weights(count: int) -> np.ndarray:
    """Weights of `count` thicknesses, exp(-1/(x (1 - x))): sums over phases converge faster than any power of it."""
    x = (np.arange(count) + 0.5) / count
    weights = np.exp(-1 / (x * (1 - x)))
    return weights / weights.sum()


def hann_weights(count: int) -> np.ndarray:
    """Weights of `count` thicknesses, sin^2(pi x): of a dozen they leave less interference than `smooth_weights` do."""
    weights = np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 2
    return weights / weights.sum()


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ThicknessMean:
    """Quantum transport averaged over the thickness of a clean spacer, and how far the average has come.

    transmission : (k,), per spin of the antiparallel valve; quantities : (2, angles), conductance and damping-like
    torque on the right magnet summed over the momenta, SI. Errors are the differences from means over the thinner half.
    """

    transmission: np.ndarray
    transmission_error: np.ndarray
    quantities: np.ndarray
    quantities_error: np.ndarray


def mean_over_thickness(
    build: Build, *, kset: KSet, layers: Sequence[int], angle: Sequence[float], energy: float, run: Run
) -> ThicknessMean:
    """Quantum transport of the valve at every thickness, and its mean."""

    def one(count: int) -> tuple[np.ndarray, np.ndarray]:
        stack = build(spacer_layers=count)
        s = solve(stack, energy=energy, kmesh=kset, angle=np.pi)
        d = linear_torkance(stack, angle=angle, kmesh=kset, energy=energy)
        area = d.attrs["cell_area"]
        G = conductance_per_area(d["conductance"].values, area)
        torque = torkance_per_area(d["damping_like"].values, area)
        return 0.5 * s.probabilities("left", "right").sum(axis=(1, 2)), np.array([G, torque])

    found = map_chunks(one, list(layers), **run.arguments("specular", "clean spacer"))
    transmission, quantities = (np.array(x) for x in zip(*found, strict=True))

    def mean(values: np.ndarray, count: int) -> np.ndarray:
        return np.tensordot(smooth_weights(count), values[:count], axes=1)

    def both(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        whole = mean(values, len(layers))
        return whole, np.abs(whole - mean(values, -(-len(layers) // 2)))

    values, errors = zip(both(transmission), both(quantities), strict=True)
    return ThicknessMean(
        transmission=values[0], transmission_error=errors[0], quantities=values[1], quantities_error=errors[1]
    )


def reflections(s: Scattering) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes r_up, r_down of the normal lead of an interface N|F of one band, 1 where the lead has no channel.

    InputError for several channels.
    """
    r = s.reflection("left")
    if s.open_channels[:, 0].max() > 1 or not s.lead_spins_equal[0]:
        raise InputError("a specular spacer is compared for one normal band; take a single-band system N|F")
    closed = s.open_channels[:, 0, 0] == 0
    # No index of a channel where none is open at any momentum.
    up, down = (r[:, n, n, 0, 0] if r.shape[-1] else np.ones(len(closed), complex) for n in range(2))
    return np.where(closed, 1.0, up), np.where(closed, 1.0, down)


def incoherent_transmission(T_first: np.ndarray, T_second: np.ndarray) -> np.ndarray:
    """1/T = 1/T_a + 1/T_b - 1; 0 where either is closed."""
    product = T_first * T_second
    is_open = (T_first > CLOSED) & (T_second > CLOSED)
    return np.where(is_open, product / np.where(is_open, T_first + T_second - product, 1.0), 0.0)


def distribution(enters: np.ndarray, trip: np.ndarray) -> np.ndarray:
    """rho = enters + M rho M^dagger of the round trip M, at every momentum: all (k, 2, 2)."""
    kernel = np.einsum("kab,kcd->kacbd", trip, trip.conj()).reshape(-1, 4, 4)
    # A spin that never enters is never lost on its way either: the inverse leaves out what has no loss.
    return (np.linalg.pinv(np.eye(4) - kernel, rcond=CLOSED) @ enters.reshape(-1, 4, 1)).reshape(-1, 2, 2)


def incoherent_response(up: np.ndarray, down: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Conductance (k,) and spin current in the spacer (k, 3) at every momentum, e^2/h and per unit window.

    Two equal interfaces with the amplitudes up, down (k,), the right magnet at `angle` to the left one, which is along
    z. The spin current is Tr sigma j of the current matrix j; divided by 4 pi it is eV per cell and volt.
    """
    U = su2(direction_at(angle, UP))
    left = np.zeros((len(up), 2, 2), dtype=complex)
    left[:, 0, 0], left[:, 1, 1] = up, down
    right = U @ left @ U.conj().T
    rho = distribution(np.eye(2) - left @ left.conj().swapaxes(1, 2), left @ right)
    j = rho - right @ rho @ right.conj().swapaxes(1, 2)
    return np.trace(j, axis1=1, axis2=2).real, np.einsum("aij,kji->ka", PAULI[1:], j).real


def incoherent_quantities(
    up: np.ndarray, down: np.ndarray, weights: np.ndarray, angle: Sequence[float], area: float
) -> np.ndarray:
    """(conductance, damping_like on the right magnet) summed over the momenta, SI: (2, angles); no torque at 0, pi."""
    found = np.full((2, len(angle)), np.nan)
    p = np.array(UP)
    for n, a in enumerate(angle):
        G, spin = incoherent_response(up, down, a)
        found[0, n] = conductance_per_area(weights @ G, area)
        m = direction_at(a, UP)
        pull = np.cross(m, np.cross(p, m))
        if abs(np.sin(a)) > SMALL_SINE:
            torque = (weights @ spin) @ pull / (pull @ pull) / (4 * np.pi)
            found[1, n] = torkance_per_area(torque, area)
    return found


def corrected_valve(s: Scattering) -> Multilayer:
    """Circuit theory of two equal interfaces F|N between magnets that are the reservoirs: the spacer is one node.

    The contact resistance is taken off on the side of the spacer; the magnets are ballistic reservoirs and keep theirs.
    """
    parameters = interface_parameters(s, corrected_sides=("left",))
    element = interface_from(parameters, magnetization=UP)
    return Multilayer(left=Reservoir(), elements=[_named(element, "fixed"), _named(element, "free")], right=Reservoir())


def antiparallel_sums(s: Scattering) -> tuple[float, float]:
    """Antiparallel transmission per spin and cell of two equal interfaces: momentum by momentum, by circuit theory."""
    T_up, T_down = (1 - np.abs(r) ** 2 for r in reflections(s))
    assert s.area is not None, "a stack has an in-plane cell"
    circuit = predictions(corrected_valve(s), [np.pi])[0, 0] / 2 / conductance_per_area(1, s.area)
    return float(s.kset.weights @ incoherent_transmission(T_up, T_down)), float(circuit)


def specular_comparisons(
    build: Build,
    *,
    kset: KSet,
    fine: KSet,
    layers: Sequence[int],
    angle: Sequence[float],
    energy: float,
    run: Run,
) -> tuple[list[Comparison], xr.Dataset]:
    """A clean valve F|N|F averaged over its thickness, beside circuit theory at every momentum and of all together.

    Parameters
    ----------
    build
        build(spacer_layers=n): two equal magnets as leads and n layers between them; n = 0 is the interface N|F.
    fine
        Momenta at which the interface alone is summed, for the figures that do not need the valve.

    Returns
    -------
    comparisons; the transmissions per spin of the antiparallel valve at every momentum (Dataset)
    """
    s = solve(build(spacer_layers=0), energy=energy, kmesh=kset)
    up, down = reflections(s)
    assert s.area is not None, "a stack has an in-plane cell"
    incoherent = incoherent_transmission(*(1 - np.abs(r) ** 2 for r in (up, down)))
    summed, circuit = antiparallel_sums(s)
    fine_sums = antiparallel_sums(solve(build(spacer_layers=0), energy=energy, kmesh=fine))
    mean = mean_over_thickness(build, kset=kset, layers=layers, angle=angle, energy=energy, run=run)
    is_open = incoherent > CLOSED
    each = int(is_open.sum())
    weights = kset.weights
    point: dict[str, Any] = {
        "quantity": "antiparallel transmission per spin", "unit": "per cell", "coordinate": "", "coordinate_unit": "",
        "at": np.zeros(1), "quantum": np.array([weights @ mean.transmission]),
        "quantum_error": np.array([weights @ mean.transmission_error]),
    }  # fmt: skip
    found = [
        Comparison(
            quantity="antiparallel transmission, each k", unit="1", model=PER_MOMENTUM, coordinate="momentum number",
            coordinate_unit="", at=np.flatnonzero(is_open), quantum=mean.transmission[is_open],
            quantum_error=mean.transmission_error[is_open], found=incoherent[is_open], scale=np.ones(each),
            scale_name="a channel", tolerance=PER_MOMENTUM_TOLERANCE, regime=[TOO_FEW] * each,
        ),
        Comparison(model=PER_MOMENTUM, found=np.array([summed]), regime=[TOO_FEW], **point),
        Comparison(model=CIRCUIT, found=np.array([circuit]), assumption=NO_ISOTROPY, **point),
    ]  # fmt: skip
    per_momentum = incoherent_quantities(up, down, weights, angle, s.area)
    of_all = predictions(corrected_valve(s), angle)[:2]
    for row, (name, unit) in enumerate((("conductance", CONDUCTANCE_UNIT), ("damping_like", TORKANCE_UNIT))):
        kept = np.flatnonzero((row == 0) | (np.abs(np.sin(angle)) > SMALL_SINE))
        shared: dict[str, Any] = {
            "quantity": LABELS[name], "unit": unit, "coordinate": "angle", "coordinate_unit": "deg",
            "at": np.rad2deg(np.asarray(angle))[kept], "quantum": mean.quantities[row, kept],
            "quantum_error": mean.quantities_error[row, kept],
        }  # fmt: skip
        found += [
            Comparison(model=PER_MOMENTUM, found=per_momentum[row, kept], regime=[TOO_FEW] * len(kept), **shared),
            Comparison(model=CIRCUIT, found=of_all[row, kept], assumption=NO_ISOTROPY, **shared),
        ]
    text = "transmission per spin, antiparallel, mean over thickness"
    momenta = xr.Dataset(
        {
            "quantum": ("k", mean.transmission, {"units": "1", "long_name": text}),
            "quantum_error": (
                "k",
                mean.transmission_error,
                {"units": "1", "long_name": "its change over half of them"},
            ),
            "incoherent": ("k", incoherent, {"units": "1", "long_name": "1/(1/T_up + 1/T_down - 1)"}),
            "weight": ("k", weights, {"units": "1", "long_name": "weight in a sum over k"}),
        },
        attrs={
            "circuit": circuit,
            "fine_mesh": repr(fine),
            "fine_incoherent": fine_sums[0],
            "fine_circuit": fine_sums[1],
        },
    )
    return found, momenta


def _named(element: Interface, name: str) -> Interface:
    return dataclasses.replace(element, magnetization=UP, name=name)
