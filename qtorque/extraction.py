"""Interface parameters from scattering: what drift-diffusion and circuit theory need of a quantum calculation.

A conductance between two leads contains the contact resistance of the leads, half a Sharvin resistance 1/(2 g_lead) for
each. In a diffusive model the leads are part of the model, and it has to be taken off (Schep). The electrons that come
in from a lead are at a potential f, the currents into the element are i = Y f, and those that go back are at
f - i/g_lead. The model knows the mean of both, mu = f - i/(2 g_lead), so that f = mu + i/(2 g_lead) and

    i = Y~ mu,    Y~ = (1 - Y S)^-1 Y,    S = diag(1/(2 g_left), 1/(2 g_right)).

Between two leads, one spin, Y = g [[1, -1], [-1, 1]], it is 1/g~ = 1/g - (1/2)(1/g_left + 1/g_right). For the spin
transverse to a slab Y = [[g, -g_t_back], [-g_t, g_opposite]], and where a thick magnet lets nothing through,
1/g~ = 1/g - 1/(2 g_left). K. M. Schep et al., Phys. Rev. B 56, 10805 (1997); G. E. W. Bauer et al., Phys. Rev. B 67,
094421 (2003) (from memory). It holds where the leads are isotropic, that is diffusive; momenta that are conserved have
to be corrected one by one.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qtorque.conductances import (
    along,
    conductance,
    k_average,
    mixing_conductance,
    schep_corrected,
    sharvin_conductance,
    transmitted_mixing_conductance,
)
from qtorque.errors import InputError
from qtorque.green import common_axis
from qtorque.interfaces import SIDES, InterfaceParameters
from qtorque.scattering import Scattering

TRANSPARENT = 1e-10
"""Share of a resistance that is not the contacts': below it is rounding, and the interface is taken as transparent."""
SPIN_FLIP_TOLERANCE = 1e-9
"""Share of the transmission that flips spins: rounding of collinear magnets is far below, spin-orbit coupling above."""


def interface_parameters(
    s: Scattering, *, sharvin_corrected: bool = True, corrected_sides: Sequence[str] = SIDES
) -> InterfaceParameters:
    """Conductances of both spins and mixing conductances of an interface N|F or F|N, or of a slab N|F|N.

    G_s = sum_k w_k T_s(k), g = sum_k w_k Tr[1 - r_up r_dn^dagger], g_t = sum_k w_k Tr[t_up t_dn^dagger], spins along
    the magnet; corrected for the Sharvin resistance of the leads.

    Parameters
    ----------
    s
        Between a left and a right lead of which one at least is not magnetic, without a second direction of
        magnetization and without spin-orbit coupling.
    sharvin_corrected
        False leaves the values as scattering gives them. For a mean over disorder take the mean of these, and correct
        it (`without_sharvin_resistance`).
    corrected_sides
        Which leads stand for a diffusive metal of the model. A lead that is a reservoir itself (a ballistic contact)
        keeps its contact resistance: leave it out.

    Returns
    -------
    InterfaceParameters
        e^2/h per cell and spin.

    Raises
    ------
    InputError
        For leads that are both magnetic, magnets of several directions, transmission that flips spins, a system without
        an in-plane cell; for a slab on a mesh whose symmetry the transmitted mixing conductance has not.

    Notes
    -----
    The sum over k comes before the correction: the leads of a diffusive model are isotropic.
    """
    axis = _axis(s)
    s = _along(s, axis)
    G = conductance(s)
    flipped = float(G.values[0, 1] + G.values[1, 0])
    if flipped > SPIN_FLIP_TOLERANCE * float(G.sum()):
        raise InputError(
            f"the transmission flips spins ({flipped:.3g} of {float(G.sum()):.3g} e^2/h per cell); "
            "leave spin_orbit out of the materials and turn all magnets to one axis"
        )
    normal_leads = tuple(side for side, magnetic in zip(SIDES, s.lead_magnetic, strict=True) if not magnetic)
    mixing = [complex(k_average(mixing_conductance(s, lead=side))) for side in normal_leads]
    found: dict[str, Any] = {"mixing_conductance": mixing[0]}
    if len(normal_leads) == 2:
        found["mixing_conductance_opposite"] = mixing[1]
        found["mixing_transmitted"] = complex(k_average(transmitted_mixing_conductance(s)))
        found["mixing_transmitted_back"] = complex(k_average(transmitted_mixing_conductance(s, "right", "left")))
    assert s.area is not None, "_axis has refused systems without an in-plane cell"
    parameters = InterfaceParameters(
        conductance_up=float(G.values[0, 0]),
        conductance_down=float(G.values[1, 1]),
        sharvin_left=tuple(sharvin_conductance(s, "left").values.tolist()),
        sharvin_right=tuple(sharvin_conductance(s, "right").values.tolist()),
        normal_leads=normal_leads,
        area=s.area,
        sharvin_corrected=False,
        attributes={"energy": s.energy, "momenta": repr(s.kset)},
        **found,
    )
    return without_sharvin_resistance(parameters, corrected_sides=corrected_sides) if sharvin_corrected else parameters


def without_sharvin_resistance(
    parameters: InterfaceParameters, *, corrected_sides: Sequence[str] = SIDES
) -> InterfaceParameters:
    """The parameters without the contact resistance 1/(2 g_lead) of the leads on the `corrected_sides`.

    A conductance that is the contacts' alone becomes infinite, and so do the mixing conductances of a slab that is
    transparent and turns no spin.

    Raises
    ------
    InputError
        For parameters that are corrected already, a side that is unknown, a normal lead without channels, and where
        a mixing conductance other than that of a transparent slab would be infinite.
    """
    sides = (corrected_sides,) if isinstance(corrected_sides, str) else tuple(corrected_sides)
    if not sides or not set(sides) <= set(SIDES) or len(set(sides)) < len(sides):
        raise InputError(f"corrected_sides={corrected_sides!r}; give 'left', 'right' or both, once each")
    if parameters.sharvin_corrected:
        raise InputError("sharvin_corrected=True: the contacts are taken off already; give scattering values")
    closed = [side for side in parameters.normal_leads if not parameters.sharvin(side)[0]]
    if closed:
        raise InputError(f"sharvin_{closed[0]}=(0, 0): the lead has no channel; take another energy or more momenta")
    up, down = (
        _collinear(g, [parameters.sharvin(side)[spin] for side in sides])
        for spin, g in enumerate((parameters.conductance_up, parameters.conductance_down))
    )
    return dataclasses.replace(
        parameters,
        conductance_up=up,
        conductance_down=down,
        sharvin_corrected=True,
        attributes={**parameters.attributes, "corrected_sides": ",".join(side for side in SIDES if side in sides)},
        **_transverse(parameters, sides),
    )


def _collinear(g: float, contacts: Sequence[float]) -> float:
    """Schep's correction of one spin; 0 stays 0, and what is the contacts' alone is infinite."""
    if g == 0 or 0 in contacts:
        return 0.0
    with np.errstate(divide="ignore"):
        corrected = float(schep_corrected(np.float64(g), *contacts))
    # Rounding leaves a transparent interface a resistance of either sign.
    return corrected if 0 < corrected < g / TRANSPARENT else math.inf


def _transverse(parameters: InterfaceParameters, sides: Sequence[str]) -> dict[str, Any]:
    """Y~ = (1 - Y S)^-1 Y of the spin transverse to the magnet, one row and column for every normal lead.

    All four numbers enter the currents conjugated (see `qtorque.interfaces`), so the correction may leave that out.
    """
    p, leads = parameters, parameters.normal_leads
    if p.mixing_conductance_opposite is None or p.mixing_transmitted is None or p.mixing_transmitted_back is None:
        Y = np.array([[p.mixing_conductance]])
    else:
        Y = np.array(
            [
                [p.mixing_conductance, -p.mixing_transmitted_back],
                [-p.mixing_transmitted, p.mixing_conductance_opposite],
            ]
        )
    S = np.diag([0.5 / p.sharvin(side)[0] if side in sides else 0.0 for side in leads])
    rest = np.eye(len(leads)) - Y @ S
    if np.linalg.svd(rest, compute_uv=False)[-1] < TRANSPARENT:
        if np.any(abs(Y.sum(axis=1)) > TRANSPARENT * abs(Y).max()):
            raise InputError(
                f"mixing_conductance={p.mixing_conductance:.6g} is infinite without the contacts of the leads; "
                "take sharvin_corrected=False or other corrected_sides"
            )
        Y = np.array([[math.inf, -math.inf], [-math.inf, math.inf]])
    else:
        Y = np.linalg.solve(rest, Y)
    if len(leads) == 1:
        return {"mixing_conductance": complex(Y[0, 0])}
    return {
        "mixing_conductance": complex(Y[0, 0]),
        "mixing_conductance_opposite": complex(Y[1, 1]),
        "mixing_transmitted": complex(-Y[1, 0]),
        "mixing_transmitted_back": complex(-Y[0, 1]),
    }


def _axis(s: Scattering) -> tuple[float, float, float]:
    """The one direction of all magnets, after refusing what has none or is no interface."""
    if s.leads != SIDES:
        raise InputError(f"the leads are {', '.join(s.leads)}; interface parameters are of a left and a right one")
    if s.area is None:
        raise InputError("area is unknown; give the Scattering of a stack, or set area= by dataclasses.replace")
    for side, conserved in zip(SIDES, s.lead_spin_conserved, strict=True):
        if not conserved:
            raise InputError(
                f"the {side} lead conserves no spin, and interface parameters are of one spin each; leave spin_orbit "
                "out of the lead's material"
            )
    if all(s.lead_magnetic):
        raise InputError("both leads are magnetic; give one interface N|F or F|N, or a slab between normal leads")
    left, right = s.magnet_axes
    if left is None or right is None or not (common_axis(left, right) and np.dot(left, right) > 0):
        raise InputError("the magnets have several directions; interface parameters are of one, turn them all parallel")
    return left


def _along(s: Scattering, axis: tuple[float, float, float]) -> Scattering:
    """The same scattering with the spins of both leads along one axis."""
    axes = [tuple(own.tolist()) for own in s.lead_axes]
    if all(common_axis(axis, own) and np.dot(axis, own) > 0 for own in axes):
        return s
    amplitudes = {(p, q): along(s, s.amplitudes[p, q], p, q, axis) for p in range(2) for q in range(2)}
    return dataclasses.replace(s, amplitudes=amplitudes, lead_axes=np.array([axis, axis]))
