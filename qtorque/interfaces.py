"""The seam between quantum transport and diffusive transport: what an interface, or a thin slab, does to both spins.

An `InterfaceParameters` holds what scattering found, in e^2/h per in-plane cell and spin and in the SPIN frame: up is
the majority spin of the magnet. Its properties give SI, which is what drift-diffusion and circuit theory take.

Currents and potentials that belong to these numbers: the collinear current of spin s is G_s times the drop of its
potential. Transverse to a magnet along z, with u = mu_x + i mu_y of the spin accumulation and j = j_x + i j_y of the
spin current that flows to the right,

    j_left  = g*       u_left - g_t_back*  u_right,
    j_right = g_t*     u_left - g_opposite* u_right,

so that a normal metal to the left of a thick magnet loses Re g m x (mu_s x m) + Im g mu_s x m.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from typing import Any

import numpy as np
import xarray as xr

from qtorque import store
from qtorque.errors import InputError
from qtorque.units import conductance_per_area

SIDES = ("left", "right")
UNIT = "e^2/h per cell"
SCATTERING_TOLERANCE = 1e-6
"""Relative, of the inequalities that scattering values obey: numbers printed with seven digits pass."""
ROUNDING = 1e-12
"""Of the same, in Sharvin conductances: a mixing conductance is a difference of sums over channels, and rounds like
them even where a tunnel barrier makes it many orders smaller."""

LONG_NAMES = {
    "conductance_up": "conductance of the majority spin",
    "conductance_down": "conductance of the minority spin",
    "mixing_conductance": "spin-mixing conductance of the normal lead (the left one of two)",
    "mixing_conductance_opposite": "spin-mixing conductance of the right one of two normal leads",
    "mixing_transmitted": "transmitted spin-mixing conductance, left to right",
    "mixing_transmitted_back": "transmitted spin-mixing conductance, right to left",
    "sharvin_left": "Sharvin conductance of the left lead, up and down",
    "sharvin_right": "Sharvin conductance of the right lead, up and down",
}
"""What each variable of the file is; all are in e^2/h per cell."""
OF_TWO_NORMAL_LEADS = ("mixing_conductance_opposite", "mixing_transmitted", "mixing_transmitted_back")
OWN_ATTRIBUTES = ("cell_area", "cell_area_units", "normal_leads", "sharvin_corrected")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InterfaceParameters:
    """Spin-dependent conductances of one interface N|F or F|N, or of one magnetic slab N|F|N; all e^2/h per cell.

    Attributes
    ----------
    conductance_up, conductance_down : float
        G_s of the majority and the minority spin of the magnet. Infinite where a corrected interface is transparent.
    mixing_conductance : complex
        g = Tr[1 - r_up r_dn^dagger] of the normal lead; of the left one where both are normal.
    mixing_conductance_opposite, mixing_transmitted, mixing_transmitted_back : complex or None
        Of a slab between two normal leads: g of the right lead, Tr[t_up t_dn^dagger] from left to right and from right
        to left. None where one lead is magnetic: what enters a semi-infinite magnet dephases. The four are complex(inf)
        for a transparent corrected slab that turns no spin.
    sharvin_left, sharvin_right : (float, float)
        Open channels of each lead for spin up and down.
    normal_leads : tuple of "left", "right"
        Which leads are not magnetic.
    area : float, nm^2
        Of the in-plane cell.
    sharvin_corrected : bool
        False for scattering values, which contain the contact resistance of the leads; True where it is taken off
        (`qtorque.extraction.without_sharvin_resistance`).
    attributes : dict of str or number
        Where the values come from; does not count in comparisons.

    Raises
    ------
    InputError
        For values that are not numbers, negative conductances, transmitted mixing conductances that do not fit
        `normal_leads`; and, of scattering values, where 2 Re g < G_up + G_dn, |g - g_N| > g_N,
        |g_t| > sqrt(G_up G_dn) or G_s is above the Sharvin conductance.

    Notes
    -----
    2 Re g - G_up - G_dn = Tr|r_up - r_dn|^2 >= 0 holds for scattering values, not for corrected ones; so do
    |g - g_N| = |Tr r_up r_dn^dagger| <= g_N and |g_t| <= sqrt(G_up G_dn), by Schwarz. Values of some momenta only may
    have leads without channels. A. Brataas, Yu. V. Nazarov, G. E. W. Bauer, Phys. Rev. Lett. 84, 2481 (2000); AR* and
    gamma: T. Valet and A. Fert, Phys. Rev. B 48, 7099 (1993) (both from memory).
    """

    conductance_up: float
    conductance_down: float
    mixing_conductance: complex
    sharvin_left: tuple[float, float]
    sharvin_right: tuple[float, float]
    normal_leads: tuple[str, ...]
    area: float
    sharvin_corrected: bool
    mixing_conductance_opposite: complex | None = None
    mixing_transmitted: complex | None = None
    mixing_transmitted_back: complex | None = None
    attributes: dict[str, str | int | float] = dataclasses.field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        given = self.normal_leads if isinstance(self.normal_leads, list | tuple) else ()
        leads = tuple(side for side in SIDES if side in given)
        if not leads or not all(side in SIDES for side in given):
            raise InputError(
                f"normal_leads={self.normal_leads!r} names no leads; give 'left', 'right' or both in a tuple"
            )
        object.__setattr__(self, "normal_leads", leads)
        if not isinstance(self.sharvin_corrected, bool | np.bool_):
            raise InputError(f"sharvin_corrected={self.sharvin_corrected!r} is no yes or no; give True or False")
        object.__setattr__(self, "sharvin_corrected", bool(self.sharvin_corrected))
        for name in ("conductance_up", "conductance_down"):
            object.__setattr__(self, name, _conductance(name, getattr(self, name)))
        for side in SIDES:
            name, values = f"sharvin_{side}", getattr(self, f"sharvin_{side}")
            if not isinstance(values, list | tuple | np.ndarray) or len(values) != 2:
                raise InputError(f"{name}={values!r} is not of two spins; give (up, down)")
            channels = tuple(_conductance(name, value) for value in values)
            if math.inf in channels:
                raise InputError(f"{name}={values!r} is infinite; give the open channels in {UNIT}")
            object.__setattr__(self, name, channels)
        for name in ("mixing_conductance", *OF_TWO_NORMAL_LEADS):
            value = getattr(self, name)
            if name in OF_TWO_NORMAL_LEADS and (value is None) == (len(leads) == 2):
                mend = "leave it out beside a magnetic lead" if len(leads) == 1 else "give it for a slab"
                raise InputError(f"{name}={value!r} does not fit normal_leads={leads}; {mend}")
            if value is not None:
                object.__setattr__(self, name, _mixing(name, value))
        if not (isinstance(self.area, numbers.Real) and not isinstance(self.area, bool) and 0 < self.area < math.inf):
            raise InputError(f"area={self.area!r} is not an area; give the in-plane cell in nm^2")
        object.__setattr__(self, "area", float(self.area))
        if not isinstance(self.attributes, dict):
            raise InputError(f"attributes={self.attributes!r} is no dict; give names with text or numbers, or none")
        for key, value in self.attributes.items():
            if isinstance(value, bool) or not isinstance(value, str | numbers.Real):
                raise InputError(f"attributes[{key!r}]={value!r} is neither text nor number; give str(...) of it")
        self._require_consistent()

    def _require_consistent(self) -> None:
        """Refuse what no scattering matrix gives."""
        for side in self.normal_leads:
            up, down = self.sharvin(side)
            # Scattering at some momenta may find no channel; there is nothing to correct then.
            some = up > 0 or not self.sharvin_corrected
            if not (some and math.isclose(up, down, rel_tol=SCATTERING_TOLERANCE)):
                raise InputError(
                    f"sharvin_{side}={(up, down)!r} is not that of a normal lead; give two equal, positive numbers"
                )
        reflected = dict(zip(self.normal_leads, ("mixing_conductance", "mixing_conductance_opposite"), strict=False))
        rounding = ROUNDING * max(self.sharvin(side)[0] for side in self.normal_leads)
        for name in reflected.values():
            g = getattr(self, name)
            if g.real < -SCATTERING_TOLERANCE * abs(g) - rounding:
                raise InputError(f"{name}={g!r} has a negative real part; give Tr[1 - r_up r_dn^dagger]")
        if self.sharvin_corrected:
            return
        collinear = self.conductance_up, self.conductance_down
        for spin, name in enumerate(("conductance_up", "conductance_down")):
            most = min(self.sharvin_left[spin], self.sharvin_right[spin])
            if collinear[spin] > most * (1 + SCATTERING_TOLERANCE) + rounding:
                raise InputError(
                    f"{name}={collinear[spin]:.6g} is above the Sharvin conductance {most:.6g} of a lead; "
                    "scattering gives less, set sharvin_corrected=True if it is corrected"
                )
        for side, name in reflected.items():
            g, channels = getattr(self, name), self.sharvin(side)[0]
            if 2 * g.real < sum(collinear) * (1 - SCATTERING_TOLERANCE) - rounding:
                raise InputError(
                    f"{name}={g:.6g}: 2 Re g_mix is below G_up + G_dn = {sum(collinear):.6g}, which scattering "
                    "excludes; set sharvin_corrected=True if the values are corrected"
                )
            # Asked so that an infinite g fails too.
            if not abs(g - channels) <= channels * (1 + SCATTERING_TOLERANCE) + rounding:
                raise InputError(
                    f"{name}={g:.6g}: |g_mix - g_N| is above the Sharvin conductance g_N = {channels:.6g}, which "
                    "scattering excludes; set sharvin_corrected=True if the values are corrected"
                )
        most = math.sqrt(collinear[0] * collinear[1])
        for name in ("mixing_transmitted", "mixing_transmitted_back"):
            g = getattr(self, name)
            if g is not None and not abs(g) <= most * (1 + SCATTERING_TOLERANCE) + rounding:
                raise InputError(
                    f"{name}={g:.6g} is above sqrt(G_up G_dn) = {most:.6g}, which scattering excludes; "
                    "set sharvin_corrected=True if the values are corrected"
                )

    def sharvin(self, side: str) -> tuple[float, float]:
        """Open channels (up, down) of the lead "left" or "right", e^2/h per cell."""
        return {"left": self.sharvin_left, "right": self.sharvin_right}[side]

    @property
    def polarization(self) -> float:
        """(G_up - G_dn)/(G_up + G_dn); 0 where the spins conduct alike, nothing or without limit."""
        up, down = self.conductance_up, self.conductance_down
        if up == down:
            return 0.0
        if math.isinf(up) or math.isinf(down):
            return math.copysign(1.0, up - down)
        return (up - down) / (up + down)

    @property
    def gamma(self) -> float:
        """gamma of r_up,dn = 2 AR* (1 -+ gamma); r_s is 1/G_s per area, so it is the polarization."""
        return self.polarization

    @property
    def AR_star(self) -> float:
        """AR* = (r_up + r_dn)/4 in Ohm m^2; 0 for a transparent corrected interface, inf if a spin conducts nothing."""
        return 0.25 * (_resistance(self.conductance_up_per_area) + _resistance(self.conductance_down_per_area))

    @property
    def conductance_up_per_area(self) -> float:
        """G_up in Ohm^-1 m^-2."""
        return conductance_per_area(self.conductance_up, self.area)

    @property
    def conductance_down_per_area(self) -> float:
        """G_dn in Ohm^-1 m^-2."""
        return conductance_per_area(self.conductance_down, self.area)

    @property
    def mixing_conductance_per_area(self) -> complex:
        """g of the normal lead (the left one of two) in Ohm^-1 m^-2."""
        return _complex_per_area(self.mixing_conductance, self.area)

    @property
    def mixing_conductance_opposite_per_area(self) -> complex | None:
        """g of the right one of two normal leads in Ohm^-1 m^-2."""
        return self._if_any(self.mixing_conductance_opposite)

    @property
    def mixing_transmitted_per_area(self) -> complex | None:
        """g_t from left to right in Ohm^-1 m^-2."""
        return self._if_any(self.mixing_transmitted)

    @property
    def mixing_transmitted_back_per_area(self) -> complex | None:
        """g_t from right to left in Ohm^-1 m^-2."""
        return self._if_any(self.mixing_transmitted_back)

    def _if_any(self, g: complex | None) -> complex | None:
        return None if g is None else _complex_per_area(g, self.area)

    def to_dataset(self) -> xr.Dataset:
        """The values with units and long_name; what is None is left out."""
        variables = {}
        for name, long_name in LONG_NAMES.items():
            value = getattr(self, name)
            if value is not None:
                dims = ("spin",) if name.startswith("sharvin") else ()
                variables[name] = (dims, np.asarray(value), {"units": UNIT, "long_name": long_name})
        own: dict[str, str | int | float] = {"cell_area": self.area, "cell_area_units": "nm^2"}
        own |= {"normal_leads": ",".join(self.normal_leads), "sharvin_corrected": int(self.sharvin_corrected)}
        spin = ("spin", ["up", "down"], {"units": "1", "long_name": "spin along the majority of the magnet"})
        return xr.Dataset(variables, {"spin": spin}, attrs={**self.attributes, **own})

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> InterfaceParameters:
        """The parameters in a Dataset of `to_dataset`; InputError for a missing variable or attribute."""
        missing = [name for name in LONG_NAMES if name not in dataset and name not in OF_TWO_NORMAL_LEADS]
        missing += [name for name in OWN_ATTRIBUTES if name not in dataset.attrs]
        if missing:
            raise InputError(f"the dataset has no {missing[0]!r}; give what InterfaceParameters.to_dataset returns")
        found = {name: dataset[name].values for name in LONG_NAMES if name in dataset}
        values: dict[str, Any] = {n: tuple(x.tolist()) if x.ndim else x.item() for n, x in found.items()}
        attributes = {key: _plain(value) for key, value in dataset.attrs.items() if key not in OWN_ATTRIBUTES}
        return cls(
            **values,
            normal_leads=tuple(dataset.attrs["normal_leads"].split(",")),
            area=float(dataset.attrs["cell_area"]),
            sharvin_corrected=bool(dataset.attrs["sharvin_corrected"]),
            attributes=attributes,
        )

    def save(self, path: str | os.PathLike[str], force: bool = False) -> None:
        """Write the parameters as NetCDF; an existing file is replaced only with `force`, otherwise InputError."""
        store.save_dataset(self.to_dataset(), path, force=force)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> InterfaceParameters:
        """The parameters in a NetCDF file written by `save`."""
        return cls.from_dataset(store.load_dataset(path))


def _conductance(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or math.isnan(value):
        raise InputError(f"{name}={value!r} is not a number; give a conductance in {UNIT}")
    if value < 0:
        raise InputError(f"{name}={float(value):.6g} is negative; give a conductance in {UNIT}")
    return float(value)


def _mixing(name: str, value: object) -> complex:
    if isinstance(value, bool) or not isinstance(value, numbers.Complex):
        raise InputError(f"{name}={value!r} is not a number; give a complex conductance in {UNIT}")
    g = complex(value)
    if math.isnan(g.real) or math.isnan(g.imag):
        raise InputError(f"{name}={g!r} is not a number; give a complex conductance in {UNIT}")
    return g


def _resistance(conductance: float) -> float:
    return math.inf if conductance == 0 else 1 / conductance


def _complex_per_area(g: complex, area: float) -> complex:
    """Part by part: an infinite complex number times a real one would have an imaginary part that is no number."""
    return complex(conductance_per_area(g.real, area), conductance_per_area(g.imag, area))


def _plain(value: object) -> str | int | float:
    """An attribute as a Python number (files give numpy's) or as text."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
