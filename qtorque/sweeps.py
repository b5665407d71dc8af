"""Sums over momenta of the integrals over energy, for all angles and voltages of a sweep, shared between ranks."""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qtorque import parallel
from qtorque.bloch import LayeredSystem
from qtorque.brillouin import KSet, interleaved_chunks, require_symmetry
from qtorque.chain import Chain
from qtorque.contour import BELOW_SPECTRUM, Fermi, sea_arc, sea_integral, window_integral
from qtorque.density_of_states import ladder
from qtorque.errors import InputError, finite_number
from qtorque.refinement import INNER_SHARE, Refined, climb, describe, warn_if_short
from qtorque.torque import Cuts, resonance_panels, sea_kernel, window_kernel

CHUNK = 512
"""Most momenta in one chunk of work: enough to fill the loops, few enough to share between ranks."""
CHUNK_VALUES = 2**14
"""Matrix elements of a layer at the momenta of a chunk: with nine orbitals it takes half a minute, and no longer, as
a run that is told to end finishes the chunk it is at."""
SYMMETRY_NODES = np.array([0.2, 0.6, 0.95])
"""Places along the window and the contour at which a declared symmetry is verified."""
SYMMETRY_NOISE = 1e-12
"""Rounding of the integrands of the sea, which may be the difference of much larger numbers."""
WARNED_SHARE = 10.0
"""Window and sea each keep the tolerance by their own size, and may cancel in part; beyond this factor one warns."""
ROUNDING_ERROR = 1e-14
"""eV per cell; an error of this size is the rounding of the sea, which no tolerance lowers."""


def _integrals(
    chains: Sequence[Chain],
    cuts: Cuts,
    fermis: tuple[Fermi, Fermi],
    k: np.ndarray,
    weights: np.ndarray,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Window and sea together: (value, error), each (angle, columns)."""
    accuracy = {"tolerance": tolerance, "reference": np.tile(cuts.is_spin_current, len(chains))}
    window = window_integral(
        lambda q, energy: window_kernel(chains, cuts, q, energy), fermis, k, weights,
        resonances=lambda low, high: resonance_panels(chains, k, low, high), **accuracy,
    )  # fmt: skip
    parts = [window]
    bottom = min(chain.lowest_energy for chain in chains) - BELOW_SPECTRUM
    for fermi in dict.fromkeys(fermis):
        share = 0.5 * fermis.count(fermi)
        sea = sea_integral(
            lambda q, z, step, share=share: sea_kernel(chains, cuts, q, z, share * step),
            fermi,
            bottom,
            k,
            weights,
            **accuracy,
        )
        parts.append(sea)
    found = [p for p in parts if p is not None]
    value, error = sum(p.value for p in found), sum(p.error for p in found)
    return np.reshape(value, (len(chains), -1)), np.reshape(error, (len(chains), -1))


@dataclass(frozen=True, eq=False)
class Sums:
    """Integrals over k and energy of a sweep.

    `value`, the error of the energy quadrature `error` and, where the sum over k was refined, its error `k_error`:
    shape (voltage, angle, columns); `attributes` say what was used.
    """

    value: np.ndarray
    error: np.ndarray
    k_error: np.ndarray | None
    attributes: dict


def sweep(
    stack: LayeredSystem,
    angles: np.ndarray,
    voltages: np.ndarray,
    cuts: Cuts,
    kset: KSet | None,
    temperature,
    tolerance: float,
    comm,
    checkpoint: parallel.Checkpoint | None,
    progress: str | None,
) -> Sums:
    """All integrals for all voltages, summed over a given mesh, or over a ladder of momenta for each voltage."""

    # The chunks of one voltage follow each other, and share its chains.
    @functools.lru_cache(maxsize=1)
    def biased(v: int) -> tuple[list[Chain], tuple]:
        return _biased(stack, angles, float(voltages[v]), temperature)

    def one(v: int, k: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chains, fermis = biased(v)
        value, error = _integrals(chains, cuts, fermis, k, weights, energy_tolerance)
        return value.ravel(), error.ravel()

    energy_tolerance = tolerance if kset is not None else INNER_SHARE * tolerance
    every = (_biased(stack, angles, voltage, temperature) for voltage in voltages.tolist())
    checkpoint = parallel.checkpoint_part(checkpoint, "sweep", cuts, kset, tolerance, every)
    shape = (len(voltages), len(angles), cuts.columns)
    if kset is None:
        both = [_biased(stack, angles, voltage, temperature) for voltage in voltages.tolist()]
        found = climb(
            [ladder(chains, [fermi.mu for fermi in dict.fromkeys(fermis)]) for chains, fermis in both],
            in_stages(one, stack, comm, checkpoint, progress),
            tolerance=tolerance,
            reference=np.tile(cuts.is_spin_current, len(angles)),
        )
        for voltage, result in zip(voltages, found, strict=True):
            warn_if_short(result, tolerance, f"torque at {voltage:g} V", comm, stacklevel=4)
        value, error, k_error = (
            np.reshape([getattr(result, name) for result in found], shape) for name in ("value", "noise", "error")
        )
        sums = Sums(value, error, k_error, refined_attributes(found, tolerance))
    else:
        farthest = float(voltages[np.argmax(np.abs(voltages))])
        require_symmetry(kset, _integrands(*_biased(stack, angles, farthest, temperature), cuts), SYMMETRY_NOISE)
        sets = [(v, kset) for v in range(len(voltages))]
        parts = summed(one, stack, sets, comm, checkpoint, progress)
        value, error = (np.reshape([part[i] for part in parts], shape) for i in range(2))
        sums = Sums(value, error, None, {"kmesh": repr(kset), "energy_tolerance": tolerance})
    _report_accuracy(sums.value, sums.error, cuts, voltages, energy_tolerance, comm)
    return sums


def refined_attributes(results: Sequence[Refined], tolerance: float) -> dict:
    return {"kmesh": describe(results), "tolerance": tolerance, "energy_tolerance": INNER_SHARE * tolerance}


def momenta_at_once(stack: LayeredSystem) -> int:
    """Momenta in one chunk of integrals over energy."""
    return min(CHUNK, max(1, CHUNK_VALUES // max(stack.dimensions) ** 2))


def summed(
    one: Callable, stack: LayeredSystem, sets: Sequence[tuple[int, KSet]], comm, checkpoint, progress
) -> list[tuple]:
    """one(number, momenta, weights) -> (value, error), summed over the chunks of every numbered set in their order."""
    most = momenta_at_once(stack)
    work = [
        (i, number, index) for i, (number, kset) in enumerate(sets) for index in interleaved_chunks(kset.size, most)
    ]

    def chunk(item):
        i, number, index = item
        return one(number, *sets[i][1].take(index))

    results = parallel.map_chunks(chunk, work, comm, checkpoint, progress)
    return [
        parallel.sum_in_order([result for (j, _, _), result in zip(work, results, strict=True) if j == i])
        for i in range(len(sets))
    ]


def in_stages(
    one: Callable, stack: LayeredSystem, comm, checkpoint: parallel.Checkpoint | None, progress: str | None
) -> Callable:
    """The same as a function (sets, name of the stage), with a part of the checkpoint for every stage."""

    def evaluate(sets: Sequence[tuple[int, KSet]], stage: str) -> list[tuple]:
        return summed(one, stack, sets, comm, None if checkpoint is None else checkpoint.part(stage), progress)

    return evaluate


def _biased(stack: LayeredSystem, angles: np.ndarray, voltage: float, temperature) -> tuple[list[Chain], tuple]:
    """The chains at all angles and the occupations of both leads, at a voltage."""
    left, right = lead_temperatures(temperature)
    chains = [stack.chain(float(angle), voltage) for angle in angles]
    return chains, (Fermi(voltage / 2, left), Fermi(-voltage / 2, right))


def _integrands(chains: Sequence[Chain], fermis: tuple[Fermi, Fermi], cuts: Cuts):
    """Function phases (n, 2) -> window and sea integrands at a few energies, (n, columns)."""
    low, high = (f(fermi.mu for fermi in fermis) for f in (min, max))
    bottom = min(chain.lowest_energy for chain in chains) - BELOW_SPECTRUM
    path = sea_arc(fermis[0], bottom, SYMMETRY_NODES)

    def at(points: np.ndarray) -> np.ndarray:
        shape = (len(points), len(SYMMETRY_NODES))
        energy = np.broadcast_to(low + (high - low) * SYMMETRY_NODES, shape)
        z, step = np.broadcast_to(path.z, shape), np.broadcast_to(path.step, shape)
        both = window_kernel(chains, cuts, points, energy), sea_kernel(chains, cuts, points, z, step)
        return np.concatenate(both, axis=-1).reshape(len(points), -1)

    return at


def _report_accuracy(value, error, cuts: Cuts, voltages, tolerance: float, comm) -> None:
    """Warn, once, where the energy quadrature ended short of its tolerance and not at rounding."""
    largest = np.abs(value[:, :, cuts.is_spin_current]).max(axis=(1, 2))
    achieved = error[:, :, cuts.is_spin_current].max(axis=(1, 2))
    short = achieved > np.maximum(WARNED_SHARE * tolerance * largest, ROUNDING_ERROR)
    if short.any() and (comm is None or comm.rank == 0):
        v = int(np.argmax(np.where(short, achieved / np.maximum(largest, np.finfo(float).tiny), 0)))
        warnings.warn(
            f"the energy quadrature at {voltages[v]:g} V is off by {achieved[v]:.2g} of {largest[v]:.2g} eV per "
            f"cell, more than the tolerance {tolerance:g}; see energy_error",
            stacklevel=4,
        )


def lead_temperatures(temperature) -> tuple[float, float]:
    pair = (temperature, temperature) if np.ndim(temperature) == 0 else tuple(temperature)
    values = tuple(finite_number("temperature", T, "K, or two for (left, right)") for T in pair)
    if len(values) != 2 or min(values) < 0:
        raise InputError(f"temperature={temperature!r} must be one number in K, not negative, or (left, right)")
    return values[0], values[1]
