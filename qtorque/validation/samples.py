"""Samples of a disordered spin valve and of its parts: quantum transport, configuration by configuration. SI, per area.

A configuration is one draw of the disorder with one shift of the mesh of its supercell's momenta; at a shifted mesh no
sample has time-reversal symmetry, so that there is no weak localisation to leading order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from qtorque.brillouin import KPoints, kpoints
from qtorque.errors import InputError
from qtorque.extraction import interface_parameters
from qtorque.interfaces import InterfaceParameters
from qtorque.linear_response import linear_torkance
from qtorque.parallel import Checkpoint, map_chunks
from qtorque.scattering import solve
from qtorque.stack import Stack
from qtorque.units import conductance_per_area, torkance_per_area

TORQUES = ("damping_like", "field_like", "damping_like_fixed", "field_like_fixed")
CONDUCTANCE_UNIT = "Ohm^-1 m^-2"
TORKANCE_UNIT = "(hbar/2e) Ohm^-1 m^-2"
MIXING = ("mixing_conductance", "mixing_conductance_opposite", "mixing_transmitted", "mixing_transmitted_back")
SLAB = ("conductance_up", "conductance_down", *MIXING)
"""Of `InterfaceParameters` of a slab between normal leads."""

GROUPS = 20
"""Of configurations, of which one after the other is left out."""

Build = Callable[..., Stack]
"""build(configuration=c): one sample."""


def shifted_momenta(side: int, seed: int, configuration: int) -> KPoints:
    """A mesh of side x side momenta, shifted as a whole by random numbers of (seed, configuration)."""
    shift = np.random.default_rng([seed, configuration]).random(2)
    index = np.stack(np.divmod(np.arange(side * side), side), axis=-1)
    return kpoints(2 * np.pi * (index + shift) / side)


def valve_samples(
    build: Build,
    *,
    angle: Sequence[float],
    configurations: int,
    momenta: int,
    seed: int,
    energy: float = 0.0,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Conductance and torkance of every configuration of a valve, dims (configuration, angle).

    `conductance` in Ohm^-1 m^-2, the coefficients of `linear_torkance` in (hbar/2e) Ohm^-1 m^-2.
    """

    def one(configuration: int) -> np.ndarray:
        stack = build(configuration=configuration)
        d = linear_torkance(stack, angle=angle, kmesh=shifted_momenta(momenta, seed, configuration), energy=energy)
        area = d.attrs["cell_area"]
        found = [conductance_per_area(d["conductance"].values, area)]
        return np.array(found + [torkance_per_area(d[name].values, area) for name in TORQUES])

    values = np.array(map_chunks(one, list(range(configurations)), comm, checkpoint, progress))
    if not np.isfinite(values).all():
        raise InputError(f"energy={energy:g} eV: a configuration of the valve has no finite solution; move the energy")
    names = {"conductance": CONDUCTANCE_UNIT} | dict.fromkeys(TORQUES, TORKANCE_UNIT)
    return xr.Dataset(
        {
            name: (
                ("configuration", "angle"), values[:, i],
                {"units": unit, "long_name": f"{name.replace('_', ' ')} of one configuration, linear response"},
            )
            for i, (name, unit) in enumerate(names.items())
        },
        {"angle": ("angle", np.asarray(angle, dtype=float), {"units": "rad", "long_name": "angle between magnets"})},
    )  # fmt: skip


def slab_samples(
    build: Build,
    *,
    configurations: int,
    momenta: int,
    seed: int,
    energy: float = 0.0,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> list[InterfaceParameters]:
    """Scattering values of every configuration of a slab between normal leads."""

    def one(configuration: int) -> InterfaceParameters:
        s = solve(
            build(configuration=configuration), energy=energy,
            kmesh=shifted_momenta(momenta, seed, configuration),
        )  # fmt: skip
        return interface_parameters(s, sharvin_corrected=False)

    return map_chunks(one, list(range(configurations)), comm, checkpoint, progress)


def mean_parameters(samples: Sequence[InterfaceParameters]) -> InterfaceParameters:
    """The mean over configurations, for which the Sharvin correction is made once, after the mean."""
    first = samples[0]
    names = [name for name in SLAB if getattr(first, name) is not None]
    mean: dict[str, Any] = {name: np.mean([getattr(s, name) for s in samples]).item() for name in names}
    for side in ("left", "right"):
        mean[f"sharvin_{side}"] = tuple(np.mean([s.sharvin(side) for s in samples], axis=0).tolist())
    return InterfaceParameters(
        **mean,
        normal_leads=first.normal_leads,
        area=first.area,
        sharvin_corrected=False,
        attributes={"configurations": len(samples)},
    )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Estimate:
    """A mean over configurations, and what it is without each group of them.

    value : any shape; left_out : (groups, *shape)
    """

    value: np.ndarray
    left_out: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """Standard error."""
        return np.sqrt((len(self.left_out) - 1) * np.var(self.left_out, axis=0))

    def __getitem__(self, index) -> Estimate:
        """A part of the values."""
        index = index if isinstance(index, tuple) else (index,)
        return Estimate(value=self.value[index], left_out=self.left_out[(slice(None), *index)])

    def minus(self, other: Estimate) -> Estimate:
        """The difference; fluctuations that both have in common cancel in its error."""
        return Estimate(value=self.value - other.value, left_out=self.left_out - other.left_out)


def jackknife(function: Callable[..., np.ndarray], *samples: Sequence, groups: int = GROUPS) -> Estimate:
    """function(all samples), by leaving out one group of configurations after the other.

    B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans (SIAM, 1982) (from memory). `samples` are
    sequences over configurations; the same number in each stands for the same disorder, and is left out in all.
    """
    if min(len(s) for s in samples) < groups:
        raise InputError(f"{min(len(s) for s in samples)} configurations: {groups} groups are left out; sample more")
    left_out = [
        np.asarray(function(*([x for n, x in enumerate(s) if n % groups != group] for s in samples)))
        for group in range(groups)
    ]
    return Estimate(value=np.asarray(function(*samples)), left_out=np.array(left_out))
