"""Interlayer exchange coupling and torkance of two magnets versus a thickness.

    python drivers/coupling.py systems/spin_valve.py --set onsite_normal=2.8 --layers 3:30 -o results/valve
    python drivers/coupling.py systems/mtj.py --parameter barrier_layers --layers 1:8 -o results/mtj
    mpiexec -n 4 python -m mpi4py drivers/coupling.py ...

At every thickness: the coupling energy Omega(0) - Omega(pi), its second route -2 tau_FL at 90 degrees and zero bias
(they differ by what is not proportional to the cosine of the angle), and both torkances at 90 degrees. Writes
PREFIX_coupling.nc, PREFIX_coupling.png and PREFIX_torkance.png, and prints a table and, where the coupling changes
sign four times or more, its period.

The sums over k are refined to --tolerance, relative to the coupling and to the largest spin current, and their errors
are in the file. A mesh given by --kmesh N resolves the oscillation up to a thickness of about N/4; a temperature damps
what a mesh cannot resolve.

The magnets of systems/spin_valve.py confine the minority, and the majority where the leads are closed: narrow
resonances and bound states cross the Fermi energy as k varies. At T = 0 each is a kink or a step in k. The refined sum
is split there; on a mesh they show as jumps between thicknesses. Torkances of thick spacers take most of the time:
2:13 takes less than a minute, 2:20 two.
"""

import functools
import math
import time

import _stages
import _summation
import _thickness

from qtorque import command_line

ENDINGS = ("_coupling.nc", "_coupling.png", "_torkance.png")
FEWEST_FOR_PERIOD = 12
"""Thicknesses, each one more than the one before, below which no period is looked for."""
FEWEST_CHANGES = 4
"""Changes of sign of the coupling, two periods, below which no period is printed: a decay or a drift has a largest
Fourier component too."""
REFINED = 1e-2
"""Default tolerance of the refined sums over k. The estimates are upper bounds: torkances of systems/spin_valve.py at
1e-2 and at 1e-3 differ by less than 1e-4 of their size."""
ON_MESH = 1e-6
"""Default tolerance of the energy integrals on a given mesh."""
FREQUENCIES = 20000
"""Trial frequencies between 0 and 1/2 per layer: finer than any finite range of thicknesses tells them apart."""


def at_one_thickness(system, mesh=None, *, voltage, temperature, tolerance, comm=None, checkpoint=None):
    """Coupling and torkances of a system.

    Parameters
    ----------
    system
        A system with two magnets, the free one outermost.
    mesh
        A `qtorque.kmesh`; without it the sums over k are refined.
    voltage
        V; torkances are differences of the torques at +voltage and -voltage.
    temperature
        K
    tolerance
        Of the sums over k, with a mesh of the energy integrals; relative.

    Returns
    -------
    Dataset
        coupling_energy, field_like (zero bias, 90 degrees), eV per cell; damping_like_torkance, field_like_torkance,
        eV/V per cell. Their errors: ..._energy_error of the energy integrals and, where refined, ..._k_error of the
        sums over k. Those of field_like and torkance are of the largest spin current; a torque on a magnet between two
        cuts is the difference of two.
    """
    import xarray as xr

    import qtorque as qt

    shared = {"kmesh": mesh, "temperature": temperature, "tolerance": tolerance, "comm": comm}
    coupling, torque = (
        {"checkpoint": None if checkpoint is None else checkpoint.part(n)} for n in ("coupling", "torque")
    )
    omega = qt.interlayer_coupling(system, angle=(math.pi, 0.0), **shared, **coupling)
    potential = omega["grand_potential"]
    d = qt.spin_torque(system, angle=math.pi / 2, voltage=[-voltage, 0.0, voltage], **shared, **torque).isel(angle=0)
    found = {
        "coupling_energy": (float(potential[1] - potential[0]), "eV per cell", "Omega(0) - Omega(pi)"),
        "field_like": (float(d["field_like"][1]), "eV per cell", "field-like torque at 90 degrees, zero bias"),
    }
    for name in ("damping_like", "field_like"):
        slope = float(d[name][2] - d[name][0]) / (2 * voltage)
        found[f"{name}_torkance"] = (slope, "eV/V per cell", f"{name.replace('_', '-')} torkance at 90 degrees")
    for name in ("energy_error", "k_error"):
        if name in d:
            text = d[name].attrs["long_name"]
            below, zero, above = d[name].values
            slope = float(below + above) / (2 * voltage)
            error = float(omega[name].max())
            found[f"coupling_energy_{name}"] = (error, "eV per cell", omega[name].attrs["long_name"])
            found[f"field_like_{name}"] = (float(zero), "eV per cell", f"{text} at zero bias")
            found[f"torkance_{name}"] = (slope, "eV/V per cell", f"{text}, per volt")
    return xr.Dataset({name: ((), x, {"units": u, "long_name": text}) for name, (x, u, text) in found.items()})


def period(layers, values, power=2):
    """Period of values ~ sin(2 pi n/P + phase)/n^power over consecutive thicknesses n, in layers.

    The peak of the Fourier transform of n^power values, mean removed, under a Hann window: accurate to a small part of
    P^2/(2 (last - first)). A period is known up to aliasing: P and P/(P - 1) are one, and the longer is returned.
    """
    import numpy as np

    n = np.asarray(layers, dtype=float)
    scaled = n**power * np.asarray(values)
    window = np.hanning(len(n) + 2)[1:-1]
    scaled = scaled - (window @ scaled) / window.sum()
    # Slower than one period in the whole range is no oscillation but a drift.
    frequency = np.linspace(1 / (n[-1] - n[0]), 0.5, FREQUENCIES)
    size = np.abs(np.exp(-2j * np.pi * np.outer(frequency, n)) @ (window * scaled))
    return float(1 / frequency[np.argmax(size)])


def changes_of_sign(d):
    """How often the coupling changes its sign with the thickness, where it is larger than its error."""
    import numpy as np

    from qtorque.plot import above_error

    sign = np.sign(d["coupling_energy"].values[above_error(d, "coupling_energy", "coupling_energy")])
    return int(np.count_nonzero(np.diff(sign)))


def table(d):
    """The lines of a table of the results."""
    from qtorque.units import energy_per_area

    names = ("coupling_energy", "field_like", "damping_like_torkance", "field_like_torkance")
    heads = ("Omega(0)-Omega(pi)", "-2 tau_FL", "(mJ/m^2)", "d tau_DL/dV", "d tau_FL/dV")
    lines = ["layers" + "".join(f"{head:>20}" for head in heads)]
    for n in d["layers"].values:
        energy, torque, damping_like, field_like = (float(d[name].sel(layers=n)) for name in names)
        row = (energy, -2 * torque, 1e3 * energy_per_area(energy, d.attrs["cell_area"]), damping_like, field_like)
        lines.append(f"{n:6d}" + "".join(f"{x:20.6e}" for x in row))
    layers = d["layers"].values
    consecutive = len(layers) >= FEWEST_FOR_PERIOD and layers[-1] - layers[0] == len(layers) - 1
    if consecutive and changes_of_sign(d) >= FEWEST_CHANGES:
        lines.append(f"period of the coupling: {period(layers, d['coupling_energy'].values):.3f} layers")
    return [*lines, "eV and eV/V per cell; the coupling is antiferromagnetic where Omega(0) > Omega(pi)"]


def run(options, comm):
    import qtorque as qt
    from qtorque import plot, store
    from qtorque.bias import OPEN_SAMPLE
    from qtorque.errors import InputError
    from qtorque.scattering import require_open_leads

    begin = time.monotonic()
    if not options.voltage > 0:
        raise InputError(
            f"--voltage {options.voltage:g} must be positive: torkances are differences between both signs"
        )
    systems = _thickness.systems(options)
    for system in systems:
        system.free  # noqa: B018 -- refuses a stack without two magnets
    summed = _summation.accuracy(options, refined=REFINED, energies=ON_MESH)
    require_open_leads(systems[0].chain(), summed["kmesh"] or qt.kmesh(OPEN_SAMPLE), 0.0)
    configuration = _stages.configuration(options) | {"tolerance": summed["tolerance"]}
    force = command_line.may_replace(options, configuration)
    paths = command_line.output_files(options.output, ENDINGS, force)
    physics = {"voltage": options.voltage, "temperature": options.temperature}
    work = functools.partial(at_one_thickness, **physics)
    if options.dry_run:
        if _stages.is_root(comm):
            middle = _thickness.representative(systems)
            momenta, seconds = _summation.estimate(
                lambda kmesh, tolerance: work(middle, kmesh, tolerance=tolerance), summed, len(systems)
            )
            text = f"coupling: {len(systems)} thicknesses x {momenta}, about {seconds:.3g} s on one core"
            _stages.report_dry_run([(text, seconds)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        parts = []
        for n, system in zip(options.layers, systems, strict=True):
            part = checkpoint.part(f"{options.parameter}={n}")
            parts.append(work(system, summed["kmesh"], tolerance=summed["tolerance"], comm=comm, checkpoint=part))
            if _stages.is_root(comm) and not options.quiet:
                print(f"{options.parameter}={n}: {float(parts[-1]['coupling_energy']):.6e} eV per cell", flush=True)
        d = _thickness.with_layers(parts, options, systems[0].area)
        if _stages.is_root(comm):
            origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
            data, coupling_png, torkance_png = paths
            store.save_dataset(d, data, force=force, provenance=origin)
            plot.save_figure(plot.coupling_versus_thickness(d), coupling_png, force)
            plot.save_figure(plot.torkance_versus_thickness(d), torkance_png, force)
            print(*table(d), *_summation.errors_reported(d), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/spin_valve.py", output="results/valve")
    _thickness.add_thickness(parser, parameter="spacer_layers", layers="2:13")
    _summation.add_summation(parser, refined=REFINED, energies=ON_MESH)
    parser.add_argument("--voltage", type=command_line.number, default=0.01, help="V, of the torkance; default 0.01")
    parser.add_argument("--temperature", type=command_line.number, default=0.0, help="of the leads, K; default 0")
    command_line.main(run, parser)
