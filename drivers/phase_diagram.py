"""Phase diagram of a free layer under a torque map over voltage and field at 0 K, and its hysteresis loops.

    python drivers/phase_diagram.py results/mtj_map.nc --duration 100e-9 -o results/mtj
    mpiexec -n 4 python -m mpi4py drivers/phase_diagram.py ...

Reads the torque map that drivers/mtj_torque.py wrote. At each voltage and field the state is told that the moment
reaches from parallel and from antiparallel, and whether these two are linearly stable. Then field and voltage are swept
up and down in turn. Writes PREFIX_phase_diagram.nc and .png, PREFIX_field_hysteresis.nc, PREFIX_voltage_hysteresis.nc
and PREFIX_hysteresis.png, and prints how much of the diagram is in each state. Of the options of an ensemble --duration
and --dt count; the others change nothing. SI units.
"""

import time

import _stages

from qtorque import command_line

ENDINGS = (
    "_phase_diagram.nc", "_field_hysteresis.nc", "_voltage_hysteresis.nc", "_phase_diagram.png", "_hysteresis.png",
)  # fmt: skip
VOLTAGES = 41
"""Where none are given: so many, evenly spread over the map."""


def arguments_of(options, tmap):
    """Arguments of the diagram, of the loop in field, and of the loop in voltage."""
    import numpy as np

    voltage = options.voltage or np.linspace(tmap.voltage[0], tmap.voltage[-1], VOLTAGES)
    common = {"field_direction": options.field_direction, "dt": options.dt}
    swept = {"voltage": voltage, "field": options.applied_field}
    diagram = {**swept, "duration": options.duration, **common}
    loop = {"dwell": options.dwell, **common}
    return (
        diagram,
        {**loop, "field": options.applied_field, "voltage": options.loop_voltage},
        {**loop, "voltage": voltage, "field": options.loop_field},
    )


def check(free, tmap, diagram, field_loop, voltage_loop):
    """InputError for what the sweeps would refuse: one step at each point of the loops, and none of the diagram."""
    from qtorque import llg
    from qtorque.llg.macrospin import require_positive
    from qtorque.llg.phases import diagram_grid

    require_positive("dwell", field_loop["dwell"])
    diagram_grid(free, tmap, **diagram)
    llg.field_hysteresis(free, tmap, **(field_loop | {"dwell": field_loop["dt"]}))
    llg.voltage_hysteresis(free, tmap, **(voltage_loop | {"dwell": voltage_loop["dt"]}))


def estimates(free, tmap, diagram, field_loop, voltage_loop):
    """Lines about the sweeps and their seconds on one core, from those of the corners of the diagram, one chunk."""
    from qtorque import llg
    from qtorque.llg.lanes import LANES
    from qtorque.llg.rest_states import RELAXATION_STEPS

    corners = {name: [diagram[name][0], diagram[name][-1]] for name in ("voltage", "field")}
    begin = time.perf_counter()
    llg.phase_diagram(free, tmap, **(diagram | corners))
    seconds = time.perf_counter() - begin
    number = len(diagram["voltage"]) * len(diagram["field"])
    chunks = -(-2 * number // LANES)
    steps = diagram["duration"] / diagram["dt"]
    loops = 2 * (len(diagram["voltage"]) + len(diagram["field"])) * field_loop["dwell"] / field_loop["dt"]
    sweeps = (
        (f"phase diagram: {number} points in {chunks} chunks, {steps:.3g} steps from both states", chunks),
        (f"hysteresis: loops of {loops:.3g} steps", loops / (steps + RELAXATION_STEPS)),
    )
    return [(f"{words}, about {seconds * share:.3g} s on one core", seconds * share) for words, share in sweeps]


def table(d):
    """Lines with the share of every state in the diagram."""
    import numpy as np

    state = d["state"]
    names = state.attrs["flag_meanings"].split()
    lines = ["states                                            share of the diagram"]
    for code, count in zip(*np.unique(state, return_counts=True), strict=True):
        own = [name for mask, name in zip(state.attrs["flag_masks"], names, strict=True) if code & mask]
        lines.append(f"{' or '.join(own).replace('_', ' '):48}  {count / state.size:8.1%}")
    return lines


def run(options, comm):
    import qtorque as qt
    from qtorque import llg, plot, store

    begin = time.monotonic()
    tmap = qt.TorqueMap.load(options.map)
    free = _stages.free_layer(options)
    sweeps = arguments_of(options, tmap)
    known, decisive = _stages.map_configuration(options, tmap)
    force = command_line.may_replace(options, decisive)
    paths = command_line.output_files(options.output, ENDINGS, force)
    check(free, tmap, *sweeps)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run(estimates(free, tmap, *sweeps), comm)
        return
    functions = llg.phase_diagram, llg.field_hysteresis, llg.voltage_hysteresis
    with command_line.resumable(options, decisive, comm) as checkpoint:
        results = []
        for function, arguments in zip(functions, sweeps, strict=True):
            part = checkpoint.part(function.__name__)
            progress = _stages.label(options, function.__name__.replace("_", " "))
            results.append(function(free, tmap, **arguments, comm=comm, checkpoint=part, progress=progress))
        if _stages.is_root(comm):
            origin = store.provenance(known, comm, wall_time=time.monotonic() - begin)
            for result, path in zip(results, paths, strict=False):
                store.save_dataset(result, path, force=force, provenance=origin)
            plot.save_figure(plot.phase_diagram(results[0]), paths[3], force)
            plot.save_figure(plot.hysteresis(*results[1:]), paths[4], force)
    if _stages.is_root(comm):
        print(*table(results[0]), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    grid = command_line.grid
    parser = command_line.parser(__doc__, output="results/mtj")
    parser.add_argument("map", nargs="?", default="results/mtj_map.nc", help="torque map; default results/mtj_map.nc")
    parser.add_argument("--voltage", type=grid, help="V, ascending; default 41 from end to end of the map")
    parser.add_argument(
        "--applied-field", type=grid, default="-0.2:0.2:41", help="T, on top of --field; default -0.2:0.2:41"
    )
    parser.add_argument("--field-direction", type=grid, help="unit vector; default that of the fixed moment")
    parser.add_argument("--loop-voltage", type=grid, default="0", help="V, of loops in field; default 0")
    parser.add_argument("--loop-field", type=grid, default="0", help="T, of loops in voltage; default 0")
    parser.add_argument(
        "--dwell", type=command_line.number, default=20e-9, help="s, at each step of a loop; default 20e-9"
    )
    _stages.add_free_layer(parser)
    # Beside the lines of stability deviations grow slowly: after 50 ns two cells there were undecided, at alpha 0.005.
    _stages.change_defaults(parser, duration="200e-9")
    command_line.main(run, parser)
