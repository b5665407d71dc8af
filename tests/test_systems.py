"""The scripts in systems/: each builds a system, those of a lattice scatter, the hand-written one is an example."""

import inspect
from pathlib import Path

import numpy as np
import pytest

import qtorque as qt
from qtorque import command_line
from qtorque.diffusion import Circuit, Multilayer

SYSTEMS = sorted((Path(__file__).parents[1] / "systems").glob("*.py"))
SMALLER = {"disordered_spin_valve": ["n=2", "m=2"]}
"""Parameters of build() of systems whose supercell is large."""
UNITARITY = 1e-10
"""Rounding of a recursive Green function through a few layers is 1e-14; a wrong block breaks it by order one."""
ENGINES = 1e-10
"""Two independent solvers on transmissions of order one."""
COUNTS = {
    "n", "m", "configuration", "seed", "bar_width", "electrode_width", "electrode_height", "separation", "margin",
}  # fmt: skip
"""Parameters that count cells, sites or samples."""
ROUTES = 1e-10
"""Divergence of the spin current against the exchange torque: the same integrals at the same nodes, eV per cell."""


@pytest.fixture(scope="module")
def hand_written():
    return command_line.load_system(Path(__file__).parents[1] / "systems" / "hand_written_kwant.py")


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_every_system_builds_and_unless_it_is_diffusive_scatters_unitarily(path):
    system = command_line.load_system(path, SMALLER.get(path.stem, []))
    if isinstance(system, Circuit | Multilayer):
        # It has no scattering matrix, and tests of its own.
        return
    # A finalised Kwant system has leads of its own and no in-plane momenta.
    finalised = hasattr(system, "lead_interfaces")
    s = qt.solve(system, engine="kwant") if finalised else qt.solve(system, kmesh=qt.kmesh(6))
    assert s.unitarity_error.max() < UNITARITY
    assert float(qt.conductance(s).sum()) > 0


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_every_parameter_of_a_system_can_be_set_to_a_fraction_or_counts_layers(path):
    # --set reads a value as the type of the default: an energy written as 2 instead of 2.0 would refuse 2.5.
    build = command_line._build_function(str(path))
    for name, parameter in inspect.signature(build).parameters.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        expected = int if name.endswith("_layers") or name in COUNTS else str if name == "facet" else float
        assert isinstance(parameter.default, expected), name


@pytest.mark.kwant
def test_the_hand_written_system_gives_the_same_transmission_with_kwants_solver(hand_written):
    k = qt.kpoints([[0.3, 0.4], [1.0, -0.2], [2.5, 0.1]])
    layered, kwant = (
        qt.transmission(qt.solve(hand_written, kmesh=k, angle=0.7, voltage=0.2, engine=engine))
        for engine in ("layered", "kwant")
    )
    assert np.abs(layered - kwant).max() < ENGINES


def test_the_hand_written_system_gives_the_same_torque_by_both_routes(hand_written):
    d = qt.layer_torque(hand_written, angle=0.7, voltage=0.2, kmesh=qt.kmesh(2), tolerance=1e-4)
    assert np.abs(d["torque"]).max() > 1e3 * ROUTES
    assert np.abs(d["torque"] - d["torque_exchange"]).max() < ROUTES


def test_the_hand_written_junction_is_mirror_symmetric(hand_written):
    # tau_R(V) = tau_L(-V), by all of hopping, hybridisation and the potential profile.
    d = qt.spin_torque(hand_written, angle=1.0, voltage=[-0.2, 0.2], kmesh=qt.kmesh(2))
    free, fixed = d["damping_like"].values[0], d["damping_like_fixed"].values[0]
    np.testing.assert_allclose(free, fixed[::-1], rtol=1e-4)
