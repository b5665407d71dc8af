"""Spin-torque ferromagnetic resonance of a free layer under a torque map: rectified voltage versus frequency and field.

    python drivers/resonance.py results/mtj_map.nc --frequency 2e9:14e9:121 --applied-field 0.05:0.3:6 -o results/mtj
    mpiexec -n 4 python -m mpi4py drivers/resonance.py ...

Reads the torque map that drivers/mtj_torque.py wrote; the resistance is that of the same transport run. The rectified
voltage is simulated at 0 K, computed by linear response on a finer grid, and fitted by a symmetric and an antisymmetric
Lorentzian. Writes PREFIX_resonance.nc, PREFIX_resonance_linear.nc, PREFIX_resonance_fits.nc, PREFIX_resonance.png, and
prints a table. By default the field is along the perpendicular easy axis and the fixed moment in the plane. Of the
options of an ensemble --dt counts; the others change nothing. SI units.
"""

import time

import _stages

from qtorque import command_line
from qtorque.errors import InputError

FINER = 5
"""Steps of linear response in a step of the simulation."""
ENDINGS = ("_resonance.nc", "_resonance_linear.nc", "_resonance_fits.nc", "_resonance.png")


def arguments_of(options):
    """Arguments of both routes, and those of the simulation alone."""
    common = {
        "frequency": options.frequency, "amplitude": options.amplitude, "voltage": options.bias,
        "field": options.applied_field, "field_direction": options.field_direction, "initial": options.start,
    }  # fmt: skip
    return common, {"dt": options.dt, "periods": options.periods, "settle": options.settle}


def require_fits(frequency):
    """InputError for fewer frequencies than a fit needs, which would show only after the simulation."""
    from qtorque.llg.lorentzian import FEWEST_POINTS

    if len(set(frequency)) < FEWEST_POINTS:
        raise InputError(
            f"--frequency holds {len(set(frequency))} frequencies; give at least {FEWEST_POINTS} for a fit"
        )


def finer(frequency):
    """Frequencies with others between them."""
    import numpy as np

    places = np.arange(len(frequency))
    return np.interp(np.linspace(0, places[-1], places[-1] * FINER + 1), places, frequency)


def estimate(free, tmap, common, simulated):
    """One line about the work, and its seconds on one core, from one frequency; refuses what a run would refuse."""
    from qtorque import llg

    one = common | {"frequency": [max(common["frequency"])]}
    seconds = _stages.seconds_of(lambda: llg.spin_torque_resonance(free, tmap, **one, **simulated))
    seconds *= len(common["frequency"])
    points = len(common["frequency"]) * len(common["field"]) * len(common["voltage"])
    return f"resonance: {points} points, about {seconds:.3g} s on one core", seconds


def table(d, fits):
    """Lines with the fitted resonance at every field, beside the eigenvalue."""
    lines = [
        "field (mT)   resonance (GHz)   eigenvalue   half width (MHz)   eigenvalue   symmetric (V)   antisymmetric (V)"
    ]
    for i in range(d.sizes["field"]):
        at, fit = d.isel(voltage=0, field=i), fits.isel(voltage=0, field=i)
        lines.append(
            f"{1e3 * float(at['field']):10.4g}   {float(fit['resonance']) / 1e9:15.5f}   "
            f"{float(at['resonance_frequency']) / 1e9:10.5f}   {float(fit['half_width']) / 1e6:16.3f}   "
            f"{float(at['half_width']) / 1e6:10.3f}   {float(fit['symmetric']):13.4g}   "
            f"{float(fit['antisymmetric']):17.4g}"
        )
    return lines


def run(options, comm):
    import qtorque as qt
    from qtorque import llg, plot, store

    begin = time.monotonic()
    tmap = qt.TorqueMap.load(options.map)
    free = _stages.free_layer(options)
    common, simulated = arguments_of(options)
    require_fits(options.frequency)
    known, decisive = _stages.map_configuration(options, tmap)
    force = command_line.may_replace(options, decisive)
    paths = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([estimate(free, tmap, common, simulated)], comm)
        return
    linear = llg.linear_spin_torque_resonance(free, tmap, **(common | {"frequency": finer(options.frequency)}))
    with command_line.resumable(options, decisive, comm) as checkpoint:
        part, progress = checkpoint.part("resonance"), _stages.label(options, "resonance")
        d = llg.spin_torque_resonance(free, tmap, **common, **simulated, comm=comm, checkpoint=part, progress=progress)
        if _stages.is_root(comm):
            # The fits come last: whatever becomes of them, the simulation is written.
            origin = store.provenance(known, comm, wall_time=time.monotonic() - begin)
            store.save_dataset(d, paths[0], force=force, provenance=origin)
            store.save_dataset(linear, paths[1], force=force, provenance=origin)
        fits = llg.fit_resonances(d)
        if _stages.is_root(comm):
            store.save_dataset(fits, paths[2], force=force, provenance=origin)
            plot.save_figure(plot.spin_torque_resonance(d, linear, fits), paths[3], force)
    if _stages.is_root(comm):
        print(*table(d, fits), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    number, grid = command_line.number, command_line.grid
    parser = command_line.parser(__doc__, output="results/mtj")
    parser.add_argument("map", nargs="?", default="results/mtj_map.nc", help="torque map; default results/mtj_map.nc")
    parser.add_argument("--frequency", type=grid, default="3e9:13e9:101", help="Hz; default 3e9:13e9:101")
    parser.add_argument("--amplitude", type=number, default=0.02, help="of the sine, V; default 0.02")
    parser.add_argument("--bias", type=grid, default="0", help="V; default 0")
    parser.add_argument(
        "--applied-field", type=grid, default="0.05:0.3:6", help="T, in place of --field; default 0.05:0.3:6"
    )
    parser.add_argument("--field-direction", type=grid, default="0,0,1", help="unit vector; default 0,0,1")
    parser.add_argument("--start", type=grid, help="unit vector to relax from; default along the field")
    parser.add_argument("--periods", type=int, default=4, help="to average over; default 4")
    parser.add_argument("--settle", type=number, help="s; default 16 relaxation times")
    _stages.add_free_layer(parser)
    _stages.change_defaults(parser, alpha="0.02", fixed="1,0,0")
    command_line.main(run, parser)
