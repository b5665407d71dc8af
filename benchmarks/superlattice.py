"""Time of a drift-diffusion solution of a superlattice, collinear or turning, and that it grows with the layers only.

    python benchmarks/superlattice.py
    python benchmarks/superlattice.py --layers 1000 --repeats 3

Magnet | normal metal, again and again, between reservoirs. The time of one solution at a voltage of a stack that is
already built, median over repeats.

Before the clock: without spin flips the collinear stack must have the resistance of two channels of resistors in
series, and the currents at both ends must be the same.
"""

import argparse
import statistics
import sys
import time

import _table
import numpy as np

AGREEMENT = 1e-12
"""Rounding of a sum of a thousand resistances."""
KIRCHHOFF = 1e-12
"""Per layer: the current through one of them is read from a voltage that is smaller the more there are."""
BETA, RHO_MAGNET, RHO_NORMAL = 0.46, 75e-9, 6e-9
THICKNESSES = (3e-9, 4e-9)
LIMIT_MS = 50
"""What a thousand layers may take."""


def superlattice(layers, directions, spin_diffusion_length=60e-9):
    """Layers in turn magnetic and normal; the magnets point in the directions one after the other."""
    from qtorque.diffusion import Layer, Multilayer, Reservoir

    inside = {"transverse_decay_length": 1e-9, "precession_length": 1e-9}
    elements = [
        Layer(
            thickness=THICKNESSES[0], rho_star=RHO_MAGNET, beta=BETA, spin_diffusion_length=spin_diffusion_length,
            magnetization=directions[n // 2 % len(directions)], name=f"magnet {n}", **inside,
        )
        if n % 2 == 0
        else Layer(thickness=THICKNESSES[1], rho_star=RHO_NORMAL, spin_diffusion_length=7.5 * spin_diffusion_length)
        for n in range(layers)
    ]  # fmt: skip
    return Multilayer(left=Reservoir(), elements=elements, right=Reservoir())


COLLINEAR = ((0, 0, 1), (0, 0, -1))
TURNING = ((0, 0, 1), (1, 0, 0), (0, 0, -1), (0, 1, 0))


def check(layers):
    """Resistance of the collinear stack without spin flips; the charge that comes out of the turning one."""
    from qtorque.diffusion import solve_multilayer

    up = down = 0.0
    for n in range(layers):
        beta = BETA * (-1) ** (n // 2) if n % 2 == 0 else 0.0
        resistance = (RHO_MAGNET * THICKNESSES[0], RHO_NORMAL * THICKNESSES[1])[n % 2]
        up, down = up + 2 * resistance * (1 - beta), down + 2 * resistance * (1 + beta)
    series = up * down / (up + down)
    found = solve_multilayer(superlattice(layers, COLLINEAR, np.inf), voltage=1.0).resistance_area
    if not abs(found / series - 1) < AGREEMENT:
        sys.exit(f"wrong answer: {layers} layers have {found:.15g} Ohm m2, resistors in series {series:.15g}")
    turning = solve_multilayer(superlattice(layers, TURNING), voltage=1.0)
    enters, leaves = turning.current_density, -turning.network.currents[-1, 1, 0]
    if not abs(leaves / enters - 1) < KIRCHHOFF * layers:
        sys.exit(f"wrong answer: of {enters:.15g} A/m2 that enter {layers} layers {leaves:.15g} leave them")


def milliseconds(stack, repeats):
    """Of one solution, median over repeats after a first one."""
    from qtorque.diffusion import solve_multilayer

    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        solve_multilayer(stack, voltage=1.0)
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="default 9")
    parser.add_argument("--layers", type=int, nargs="+", default=[100, 1000, 10_000], help="default 100 1000 10000")
    options = parser.parse_args()
    for layers in options.layers:
        check(layers)
        for kind, directions in (("collinear", COLLINEAR), ("turning", TURNING)):
            found = milliseconds(superlattice(layers, directions), options.repeats)
            against = (f"at most {LIMIT_MS}", found / LIMIT_MS) if layers == 1000 else ("", None)
            _table.row(f"superlattice, {kind}", f"{layers} layers", found, "ms a solution", *against)


if __name__ == "__main__":
    main()
