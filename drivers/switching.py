"""Switching probability of a free layer under a torque map, by an ensemble of thermal macrospin trajectories.

    python drivers/switching.py results/mtj_map.nc --alpha 0.01 --temperature 300 --duration 20e-9 -o results/mtj
    mpiexec -n 4 python -m mpi4py drivers/switching.py ...

Reads the torque map that drivers/mtj_torque.py wrote, writes PREFIX_switching.nc and PREFIX_switching.png, and prints
the energy barrier, the critical voltage at 0 K and a table of probabilities. SI units.
"""

import time

import _stages

from qtorque import command_line

ENDINGS = ("_switching.nc", "_switching.png")


def stability(free, tmap, initial):
    """Energy barrier (J) and critical voltage (V) of the initial state, None where there is none; lines about both."""
    from qtorque import llg
    from qtorque.errors import InputError
    from qtorque.units import BOLTZMANN

    # A state that is no minimum, or one that nothing destabilises, is a result here and not a mistake.
    barrier, found = None, None
    try:
        barrier = llg.energy_barrier(free, initial)
        lines = [f"energy barrier       {barrier:.4g} J = {barrier / (300 * BOLTZMANN):.4g} kT at 300 K"]
    except InputError as reason:
        lines = [f"energy barrier       none: {reason}"]
    try:
        found = llg.critical_voltage(free, tmap, initial)
        none = f"the {initial} state is stable at every voltage of the map"
        lines.append("critical voltage     " + (f"{found.voltage:.4g} V at 0 K" if found else none))
    except InputError as reason:
        lines.append(f"critical voltage     none: {reason}")
    return barrier, found.voltage if found else None, lines


def table(r):
    """Lines with the switching probability and its 95 % interval at every voltage."""
    lines = ["voltage (V)   switching probability   95 % interval"]
    for voltage in r["voltage"]:
        at = r.sel(voltage=voltage)
        low, high = at["switching_probability_interval"].values
        lines.append(f"{float(voltage):11.4g}   {float(at['switching_probability']):21.4f}   {low:.4f} ... {high:.4f}")
    return lines


def write(r, critical, barrier, paths, force, origin):
    """Data set and figure of an ensemble, with its origin (of `store.provenance`)."""
    from qtorque import plot, store

    found = {"critical_voltage": critical, "energy_barrier": barrier}
    r = r.assign_attrs({name: value for name, value in found.items() if value is not None})
    store.save_dataset(r, paths[0], force=force, provenance=origin)
    plot.save_figure(plot.switching_probability(r, critical), paths[1], force)


def run(options, comm):
    import qtorque as qt
    from qtorque import llg, store

    begin = time.monotonic()
    tmap = qt.TorqueMap.load(options.map)
    free = _stages.free_layer(options)
    voltage = tmap.voltage if options.voltage is None else options.voltage
    arguments = {"voltage": voltage, **_stages.dynamics(options)}
    known, decisive = _stages.map_configuration(options, tmap)
    force = command_line.may_replace(options, decisive)
    paths = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([_stages.ensemble_estimate(free, tmap, **arguments)], comm)
        return
    _stages.check_ensemble(free, tmap, **arguments)
    barrier, critical, lines = stability(free, tmap, options.initial)
    with command_line.resumable(options, decisive, comm) as checkpoint:
        part, progress = checkpoint.part("switching"), _stages.label(options, "switching")
        r = llg.ensemble(free, tmap, comm=comm, checkpoint=part, progress=progress, **arguments)
        if _stages.is_root(comm):
            origin = store.provenance(known, comm, options.seed, options.temperature, time.monotonic() - begin)
            write(r, critical, barrier, paths, force, origin)
    if _stages.is_root(comm):
        print(*lines, *table(r), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, output="results/mtj")
    parser.add_argument("map", nargs="?", default="results/mtj_map.nc", help="torque map; default results/mtj_map.nc")
    parser.add_argument("--voltage", type=command_line.grid, help="V; default those of the map")
    _stages.add_free_layer(parser)
    command_line.main(run, parser)
