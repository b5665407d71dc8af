"""Spectrum of a free layer under a torque map: frequency versus voltage, linewidth and emitted power.

    python drivers/oscillator.py results/mtj_map.nc --voltage 0:1:21 --temperature 20 -o results/mtj
    mpiexec -n 4 python -m mpi4py drivers/oscillator.py ...

Reads the torque map that drivers/mtj_torque.py wrote, writes PREFIX_oscillator.nc, PREFIX_oscillator.png (spectrum
versus voltage) and PREFIX_oscillator_spectra.png, and prints a table of lines. The signal is the current of the same
transport run at constant voltage. By default a disc of 100 nm with a weak easy plane under a fixed moment between
normal and plane at 20 K: it goes round the normal at the frequency at which damping and torque balance. SI units.
"""

import time

import _stages

from qtorque import command_line

ENDINGS = ("_oscillator.nc", "_oscillator.png", "_oscillator_spectra.png")


def arguments_of(options, tmap):
    """The arguments of `llg.oscillator`."""
    names = ("duration", "settle", "dt", "segment", "temperature", "trajectories", "seed", "band")
    initial = options.initial if options.start is None else options.start
    voltage = tmap.voltage if options.voltage is None else options.voltage
    return {"voltage": voltage, "initial": initial, **{name: getattr(options, name) for name in names}}


def estimate(free, tmap, arguments):
    """One line about the work, and its seconds on one core, from a run of a few segments at the last voltage.

    InputError for what `llg.oscillator` would refuse.
    """
    from qtorque import llg
    from qtorque.llg.dynamics import number_of_steps, require_count
    from qtorque.llg.spectra import CHUNK_TRAJECTORIES

    require_count("trajectories", arguments["trajectories"])
    number_of_steps(arguments["duration"], arguments["dt"])
    few = min(arguments["trajectories"], CHUNK_TRAJECTORIES)
    short = {"voltage": arguments["voltage"][-1:], "trajectories": few, "settle": 0.0}
    span = min(2 * arguments["segment"], arguments["duration"])
    # The whole list of voltages is looked at, too.
    once = {"trajectories": 1, "settle": min(arguments["settle"], arguments["dt"]), "duration": span}
    llg.oscillator(free, tmap, **(arguments | once))
    seconds = _stages.seconds_of(lambda: llg.oscillator(free, tmap, **(arguments | short | {"duration": span})))
    total = len(arguments["voltage"]) * (arguments["settle"] + arguments["duration"]) * arguments["trajectories"]
    seconds *= total / (span * few)
    work = (
        f"oscillator: {len(arguments['voltage'])} voltages x {arguments['trajectories']} trajectories = "
        f"{total / arguments['dt']:.3g} trajectory-steps, about {seconds:.3g} s on one core"
    )
    return work, seconds


def table(d):
    """Lines with frequency, widths and power at every voltage."""
    lines = ["voltage (V)   line (GHz)   phase (GHz)   width (MHz)   of phase (MHz)   amplitude   power (nW)"]
    for voltage in d["voltage"].values:
        at = d.sel(voltage=voltage)
        numbers = [float(at[name]) for name in ("peak_frequency", "phase_frequency", "linewidth", "phase_linewidth")]
        scaled = [x * unit for x, unit in zip(numbers, (1e-9, 1e-9, 1e-6, 1e-6), strict=True)]
        lines.append(
            f"{voltage:11.4g}   {scaled[0]:10.4f}   {scaled[1]:11.4f}   {scaled[2]:11.4g}   {scaled[3]:14.4g}   "
            f"{float(at['amplitude']):9.4f}   {1e9 * float(at['power']):10.4g}"
        )
    return lines


def run(options, comm):
    import qtorque as qt
    from qtorque import llg, plot, store

    begin = time.monotonic()
    tmap = qt.TorqueMap.load(options.map)
    free = _stages.free_layer(options)
    arguments = arguments_of(options, tmap)
    known, decisive = _stages.map_configuration(options, tmap)
    force = command_line.may_replace(options, decisive)
    paths = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([estimate(free, tmap, arguments)], comm)
        return
    with command_line.resumable(options, decisive, comm) as checkpoint:
        part, progress = checkpoint.part("oscillator"), _stages.label(options, "oscillator")
        d = llg.oscillator(free, tmap, **arguments, comm=comm, checkpoint=part, progress=progress)
        if _stages.is_root(comm):
            origin = store.provenance(known, comm, options.seed, options.temperature, time.monotonic() - begin)
            store.save_dataset(d, paths[0], force=force, provenance=origin)
            plot.save_figure(plot.oscillator_spectrum(d), paths[1], force)
            plot.save_figure(plot.noise_spectrum(d), paths[2], force)
    if _stages.is_root(comm):
        print(*table(d), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    number, grid = command_line.number, command_line.grid
    parser = command_line.parser(__doc__, output="results/mtj")
    parser.add_argument("map", nargs="?", default="results/mtj_map.nc", help="torque map; default results/mtj_map.nc")
    parser.add_argument("--voltage", type=grid, help="V; default those of the map")
    parser.add_argument("--settle", type=number, default=20e-9, help="s, not recorded; default 20e-9")
    parser.add_argument(
        "--segment", type=number, default=100e-9, help="s, inverse of the step in frequency; default 100e-9"
    )
    parser.add_argument("--band", type=grid, help="Hz, where the line is looked for", metavar="LOW,HIGH")
    parser.add_argument("--start", type=grid, help="unit vector to start from, in place of --initial")
    _stages.add_free_layer(parser)
    _stages.change_defaults(
        parser, anisotropy="6.4e5", area="7.85e-15", alpha="0.01", fixed="0.6,0,0.8", temperature="20",
        trajectories="64", duration="400e-9",
    )  # fmt: skip
    command_line.main(run, parser)
