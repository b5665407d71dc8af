"""One trajectory of a free layer under a torque map and any voltage, on the sphere and with its resistance.

    python drivers/trajectory.py results/mtj_map.nc --voltage 0.9 --duration 30e-9 -o results/mtj
    python drivers/trajectory.py results/mtj_map.nc --voltage 0.9 --pulse 5e-9,1e-10,1e-10 -o results/mtj
    python drivers/trajectory.py results/mtj_map.nc --waveform voltage.txt --temperature 0 --start 0.1,0,-0.995 ...

Reads the torque map that drivers/mtj_torque.py wrote, writes PREFIX_trajectory.nc and PREFIX_trajectory.png. The
current is that of the same transport run. At 0 K a moment along an axis of symmetry stays there: give --start. Of the
options of an ensemble --trajectories changes nothing. SI units.
"""

import time

import _stages

from qtorque import command_line

ENDINGS = ("_trajectory.nc", "_trajectory.png")


def waveform(options):
    """The voltage of the options."""
    from qtorque import llg
    from qtorque.errors import InputError

    if options.waveform is not None:
        if options.bias != 0:
            raise InputError(f"--bias={options.bias:g} V is not added to --waveform; add it in the file")
        return llg.read_waveform(options.waveform)
    lengths = {"pulse": (1, 3), "sine": (1, 1), "chirp": (2, 2)}
    for name, (least, most) in lengths.items():
        given = getattr(options, name)
        if given is not None and not least <= len(given) <= most:
            raise InputError(f"--{name} has {len(given)} numbers; see --help for what they are")
    if options.pulse is not None:
        length, rise, fall = (*options.pulse, *[0.0] * (3 - len(options.pulse)))
        return llg.pulse(options.voltage, length, rise=rise, fall=fall, base=options.bias)
    if options.sine is not None:
        return llg.sine(options.voltage, options.sine[0], offset=options.bias)
    if options.chirp is not None:
        return llg.chirp(options.voltage, *options.chirp, options.duration, offset=options.bias)
    return llg.constant(options.voltage + options.bias)


def with_signals(d, tmap, free, voltage):
    """The trajectory with drive, current and resistance over time."""
    import numpy as np

    from qtorque import llg

    times = d["time"].values
    drive = voltage(times)
    angle = np.arccos(np.clip(d["m"].values @ np.asarray(free.fixed), -1, 1))
    found = {
        "drive": (drive, "V", "voltage"),
        "current": (llg.junction_current(tmap, free.area, angle, drive), "A", "current"),
        "resistance": (llg.junction_resistance(tmap, free.area, angle, drive), "Ohm", "resistance"),
    }
    return d.assign(
        {name: ("time", values, {"units": units, "long_name": words}) for name, (values, units, words) in found.items()}
    )


def estimate(free, tmap, voltage, arguments):
    """One line about the work and its seconds. InputError for what `llg.run` would refuse."""
    from qtorque import llg
    from qtorque.llg.dynamics import number_of_steps

    steps = number_of_steps(arguments["duration"], arguments["dt"])
    few = arguments | {"duration": min(steps, _stages.SAMPLE_STEPS) * arguments["dt"]}
    seconds = _stages.seconds_of(lambda: llg.run(free, tmap, voltage=voltage, **few))
    seconds *= steps / min(steps, _stages.SAMPLE_STEPS)
    return f"trajectory: {steps} steps, about {seconds:.3g} s", seconds


def run(options, comm):
    import qtorque as qt
    from qtorque import llg, plot, store

    begin = time.monotonic()
    tmap = qt.TorqueMap.load(options.map)
    free = _stages.free_layer(options)
    voltage = waveform(options)
    names = ("duration", "dt", "temperature", "seed", "samples")
    initial = options.initial if options.start is None else options.start
    arguments = {"initial": initial, **{name: getattr(options, name) for name in names}}
    shape = {"times": voltage.time, "voltages": voltage.value}
    known, decisive = _stages.map_configuration(options, tmap, **shape)
    force = command_line.may_replace(options, decisive)
    paths = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([estimate(free, tmap, voltage, arguments)], comm)
        return
    d = with_signals(llg.run(free, tmap, voltage=voltage, **arguments), tmap, free, voltage)
    if _stages.is_root(comm):
        command_line.make_folder(options.output)
        origin = store.provenance(known, comm, options.seed, options.temperature, time.monotonic() - begin)
        store.save_dataset(d, paths[0], force=force, provenance=origin)
        plot.save_figure(plot.trajectory_on_sphere(d), paths[1], force)
        last = ", ".join(f"{x:.4f}" for x in d["m"][-1].values)
        print(f"moment at {1e9 * options.duration:.4g} ns   ({last})", _stages.written(paths), sep="\n")


if __name__ == "__main__":
    number, grid = command_line.number, command_line.grid
    parser = command_line.parser(__doc__, output="results/mtj")
    parser.add_argument("map", nargs="?", default="results/mtj_map.nc", help="torque map; default results/mtj_map.nc")
    parser.add_argument("--voltage", type=number, default=0.9, help="V, constant or amplitude; default 0.9")
    parser.add_argument("--bias", type=number, default=0.0, help="V, added, or before and after a pulse; default 0")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--pulse", type=grid, help="s; edges default 0", metavar="LENGTH[,RISE,FALL]")
    shape.add_argument("--sine", type=grid, help="Hz", metavar="FREQUENCY")
    shape.add_argument("--chirp", type=grid, help="Hz, over the duration", metavar="FROM,TO")
    shape.add_argument("--waveform", help="text file of two columns, s and V, in place of --voltage", metavar="FILE")
    parser.add_argument("--start", type=grid, help="unit vector to start from, in place of --initial")
    parser.add_argument("--samples", type=int, default=5000, help="recorded times; default 5000")
    _stages.add_free_layer(parser)
    command_line.main(run, parser)
