"""Mixing conductance of interfaces between real metals: layered engine against plain Kwant, in one run.

    python benchmarks/interface_table.py --interfaces Cu/Co:111,Cr/Fe:001 --repeats 5

Plain Kwant is the loop that a user would write: one spinless system for each spin, so that both find the same modes in
the normal lead, and `kwant.smatrix` of each at every momentum, reflection alone. The modes of the normal lead are
solved for each spin. Without MUMPS, Kwant solves with SciPy; systems of so few sites take most of their time elsewhere.
The layered engine is timed from end to end: `qt.mixing_conductance` streamed over as many momenta without any symmetry.
In each repeat one is timed after the other, so that a busy machine slows both; medians are printed. Before the clock
starts, both have to agree.
The symmetry of the mesh (12 operations on fcc (111), 8 on (001)) comes on top for the layered engine, and as a factor
that a user could write down for Kwant too; it is not in the ratio.
"""

import argparse
import inspect
import statistics
import sys
import time
import warnings

import numpy as np
from _table import row

AGREEMENT = 1e-9
"""Largest difference of g_mix at a k-point, in channels: a resonance near a band edge amplifies rounding."""


def of_one_spin(builder, spin, params):
    """A copy of a builder of a stack with the orbitals of one spin."""
    import kwant

    families = {}

    def family(old):
        if old not in families:
            families[old] = kwant.lattice.general(old.prim_vecs, norbs=old.norbs // 2, name=old.name)
        return families[old]

    def value(old, site):
        if callable(old):
            names = [name for name in ("voltage", "m_F1") if name in inspect.signature(old).parameters]
            old = old(site, *(params[name] for name in names))
        return np.asarray(old)[spin::2, spin::2]

    copy = kwant.Builder(kwant.TranslationalSymmetry(*builder.symmetry.periods))
    for site, onsite in builder.site_value_pairs():
        copy[family(site.family)(*site.tag)] = value(onsite, site)
    for (to, start), hopping in builder.hopping_value_pairs():
        copy[family(to.family)(*to.tag), family(start.family)(*start.tag)] = value(hopping, to)
    return copy


def kwant_mixing(systems, points):
    """Tr[1 - r_up r_dn^dagger] of the left lead at each momentum, by Kwant alone."""
    import kwant

    found = []
    for k_x, k_y in points:
        up, down = (
            kwant.smatrix(system, 0.0, params={"k_x": k_x, "k_y": k_y}, out_leads=[0], in_leads=[0]).data
            for system in systems
        )
        found.append(len(up) - np.trace(up @ down.conj().T))
    return np.array(found)


def compare(interface, options):
    """Time both in turn and print the row."""
    import qtorque as qt
    from qtorque.metal_interfaces import clean_stack
    from qtorque.stack import wrap

    stack = clean_stack(interface)
    builders, params = stack.builders(), stack.params()
    systems = [wrap(*(of_one_spin(builder, spin, params) for builder in builders)) for spin in range(2)]
    few = np.random.default_rng(1).uniform(-np.pi, np.pi, (options.momenta, 2))
    expected = kwant_mixing(systems, few)
    own = qt.mixing_conductance(qt.solve(stack, kmesh=qt.kpoints(few))).values
    difference = np.abs(own - expected).max()
    if not difference < AGREEMENT:
        sys.exit(f"{interface.label}: g_mix differs by {difference:.3g}; no speed without the right answer")
    mesh = qt.kmesh(options.mesh)
    seconds = {"kwant": [], "layered": []}
    for _ in range(options.repeats):
        start = time.perf_counter()
        kwant_mixing(systems, few)
        between = time.perf_counter()
        qt.mixing_conductance(stack, energy=0.0, kmesh=mesh)
        seconds["layered"].append((time.perf_counter() - between) / mesh.size)
        seconds["kwant"].append((between - start) / len(few))
    kwant, ours = (statistics.median(values) for values in seconds.values())
    row("mixing conductance", interface.label, 1e6 * ours, "us per k, both spins", "plain Kwant", kwant / ours)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = "Cu/Co:111,Cr/Fe:001"
    parser.add_argument("--interfaces", default=default, help=f"normal/magnet:facet,...; default {default}")
    parser.add_argument("--repeats", type=int, default=3, help="default 3")
    parser.add_argument("--momenta", type=int, default=20, help="for Kwant in a repeat; default 20")
    parser.add_argument("--mesh", type=int, default=24, help="the layered engine solves its square; default 24")
    options = parser.parse_args()
    if min(options.repeats, options.momenta, options.mesh) < 1:
        parser.error("--repeats, --momenta and --mesh must be at least 1")
    warnings.filterwarnings("ignore", message="MUMPS is not available")
    from qtorque import parallel
    from qtorque.metal_interfaces import read_interfaces

    parallel.limit_threads()
    for interface in read_interfaces(options.interfaces):
        compare(interface, options)


if __name__ == "__main__":
    main()
