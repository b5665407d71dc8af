"""From the parameters of scattering to an interface of drift-diffusion: every number, its side and its sign."""

import numpy as np
import pytest

from qtorque.diffusion import Layer, Multilayer, Reservoir, interface_from, solve_multilayer
from qtorque.errors import InputError
from qtorque.interfaces import InterfaceParameters
from qtorque.spin import rotation
from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN, ELEMENTARY_CHARGE, HBAR, NM2

ROUNDING = 1e-12
"""Products of a handful of numbers, and one small linear system."""
AREA = 0.09
"""nm^2"""
PER_AREA = CONDUCTANCE_QUANTUM_PER_SPIN / (AREA * NM2)
UP, DOWN, G, OPPOSITE, ON, BACK = 0.7, 0.2, 0.9 + 0.1j, 1.2 - 0.2j, 0.15 + 0.05j, 0.1 - 0.12j
"""e^2/h per cell, all different."""
MU, NU = np.array([0.2, 0.3, -0.1]), np.array([-0.3, 0.1, 0.4])
"""V; sources to the left and to the right."""


def slab(**changes):
    given = {
        "conductance_up": UP, "conductance_down": DOWN,
        "mixing_conductance": G, "mixing_conductance_opposite": OPPOSITE,
        "mixing_transmitted": ON, "mixing_transmitted_back": BACK,
        "sharvin_left": (1.0, 1.0), "sharvin_right": (1.1, 1.1), "normal_leads": ("left", "right"),
        "area": AREA, "sharvin_corrected": True,
    }  # fmt: skip
    return InterfaceParameters(**given | changes)


def face(side, **changes):
    """Of an interface whose other lead is magnetic."""
    none = {"mixing_conductance_opposite": None, "mixing_transmitted": None, "mixing_transmitted_back": None}
    return slab(**none, normal_leads=(side,), **changes)


def across(g, mu, m):
    """The spin current into a magnet: Re g m x (mu x m) + Im g mu x m."""
    return PER_AREA * (g.real * np.cross(m, np.cross(mu, m)) + g.imag * np.cross(mu, m))


def test_every_conductance_arrives_per_area_and_under_its_name():
    found = interface_from(slab(), magnetization=(0, 0.6, 0.8), spin_memory_loss=0.3, name="slab")
    for sign, conductance in ((-1, UP), (1, DOWN)):
        assert 1 / (2 * found.AR_star * (1 + sign * found.gamma)) == pytest.approx(conductance * PER_AREA, rel=ROUNDING)
    assert found.conductance == pytest.approx((UP + DOWN) * PER_AREA, rel=ROUNDING)
    names = "mixing_conductance", "mixing_conductance_opposite", "mixing_transmitted", "mixing_transmitted_back"
    for name, g in zip(names, (G, OPPOSITE, ON, BACK), strict=True):
        assert getattr(found, name) == pytest.approx(g * PER_AREA, rel=ROUNDING)
    assert (found.spin_memory_loss, found.name) == (0.3, "slab")
    assert found.magnetization == pytest.approx((0, 0.6, 0.8), rel=ROUNDING)


@pytest.mark.parametrize("m", [(0.0, 0.0, 1.0), (0.48, -0.64, 0.6)])
def test_the_spin_currents_through_a_slab_are_those_of_the_record(m):
    wall = interface_from(slab(), magnetization=m)
    ends = {"left": Reservoir(spin_accumulation=MU), "right": Reservoir(spin_accumulation=NU)}
    enter, leave = solve_multilayer(Multilayer(elements=[wall], **ends), voltage=0.0).spin_currents_at_ends()
    # The law at the head of qtorque.interfaces, u = mu_x + i mu_y where m is z.
    frame = rotation(m)
    u, v = (complex(*(frame.T @ vector)[:2]) for vector in (MU, NU))
    j_left, j_right = (complex(*(frame.T @ vector)[:2]) for vector in (enter, leave))
    left = PER_AREA * (np.conj(G) * u - np.conj(BACK) * v)
    right = PER_AREA * (np.conj(ON) * u - np.conj(OPPOSITE) * v)
    assert j_left == pytest.approx(left, rel=ROUNDING)
    assert j_right == pytest.approx(right, rel=ROUNDING)
    # The same in vectors, and along m a drop of (mu - nu)/2 for one spin and of minus that for the other.
    m = np.array(m)
    transverse = enter - (enter @ m) * m
    expected = across(G, MU, m) - across(BACK, NU, m)
    np.testing.assert_allclose(transverse, expected, atol=ROUNDING * np.max(np.abs(expected)))
    assert enter @ m == pytest.approx(PER_AREA * (UP + DOWN) / 2 * ((MU - NU) @ m), rel=ROUNDING)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_mixing_conductance_of_an_interface_is_that_of_its_normal_side(side):
    m = np.array([0.0, 1.0, 0.0])
    wall = interface_from(face(side))
    assert wall.mixing_conductance == pytest.approx(G * PER_AREA, rel=ROUNDING)
    assert wall.magnetization is None
    assert wall.mixing_transmitted == 0
    magnet = Layer(thickness=2e-9, rho_star=1e-7, beta=0.4, magnetization=m, name="F")
    ends = {"left": Reservoir(), "right": Reservoir()} | {side: Reservoir(spin_accumulation=MU)}
    elements = [wall, magnet] if side == "left" else [magnet, wall]
    found = solve_multilayer(Multilayer(elements=elements, **ends), voltage=0.0)
    expected = HBAR / (2 * ELEMENTARY_CHARGE) * across(G, MU, m)
    np.testing.assert_allclose(found.torque("F"), expected, atol=ROUNDING * np.max(np.abs(expected)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: interface_from(face("left", conductance_up=np.inf)),
         r"conductance_up=inf e\^2/h: .* finite resistances of both spins; leave a transparent one out"),
        (lambda: interface_from(face("left", conductance_down=0.0)),
         r"conductance_down=0 e\^2/h: an Interface needs finite resistances of both spins"),
        (lambda: interface_from(slab()),
         "magnetization=None: parameters of a slab between normal leads; give its direction"),
    ],
)  # fmt: skip
def test_what_is_no_interface_is_refused_with_its_mend(make, message):
    with pytest.raises(InputError, match=message):
        make()
