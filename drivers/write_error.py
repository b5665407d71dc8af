"""Write error rate of voltage pulses, and distribution of switching times, under a torque map.

    python drivers/write_error.py results/mtj_map.nc --voltage 0.8,1 --length 10e-9:50e-9:5 -o results/mtj
    mpiexec -n 4 python -m mpi4py drivers/write_error.py ...

Reads the torque map that drivers/mtj_torque.py wrote. Counts trajectories that a pulse of each amplitude and length
leaves where they were, and first passages under a constant voltage of --duration. Where magnet and torque are axially
symmetric the Fokker-Planck equation gives both without sampling, so rates down to 1e-12 too, up to --exact-length.
Writes PREFIX_write_error.nc, PREFIX_write_error.png, PREFIX_switching_times.nc and PREFIX_switching_times.png; of
Fokker-Planck too PREFIX_write_error_exact.nc and PREFIX_switching_times_exact.nc. Prints a table. SI units.
"""

import time

import _stages

from qtorque import command_line

SAMPLED_ENDINGS = (
    "_write_error.nc", "_write_error.png", "_switching_times.nc", "_switching_times.png",
)  # fmt: skip
EXACT_ENDINGS = ("_write_error_exact.nc", "_switching_times_exact.nc")
EXACT_SECONDS = 2.0
"""Of one Fokker-Planck run on one core, for the estimate of a dry run."""
EXACT_POINTS = 16
"""Lengths of the curve of Fokker-Planck among the sampled ones, and a quarter as many beyond, unless they are given."""
EXACT_REACH = 4.0
"""How far beyond the longest sampled pulse that curve goes."""


def exact_lengths(options):
    """Lengths of the pulses (s) for Fokker-Planck."""
    import numpy as np

    if options.exact_length is not None:
        return options.exact_length
    shortest, longest = min(options.length), max(options.length)
    beyond = np.linspace(longest, EXACT_REACH * longest, EXACT_POINTS // 4 + 1)
    return np.union1d(np.linspace(shortest, longest, EXACT_POINTS), beyond).tolist()


def axially_symmetric(free, tmap, options):
    """Whether Fokker-Planck knows this magnet under this map and temperature."""
    from qtorque.llg.equation import equation_of_motion
    from qtorque.llg.fokker_planck import is_axially_symmetric

    if options.temperature <= 0 or free.alpha == 0:
        return False
    return all(is_axially_symmetric(free, equation_of_motion(free, tmap, v)) for v in (0.0, *options.voltage))


def exact_switching_times(free, tmap, options, comm, checkpoint, progress):
    """Fokker-Planck results along the voltages."""
    import numpy as np
    import xarray as xr

    from qtorque import parallel
    from qtorque.llg.fokker_planck import fokker_planck

    names = ("switched", "not_switched", "survival", "first_passage_density", "mean_projection")
    times = np.linspace(0, options.duration, 201)

    def work(voltage):
        d = fokker_planck(
            free, tmap, voltage=voltage, temperature=options.temperature, initial=options.initial,
            duration=options.duration, times=times,
        )  # fmt: skip
        return {name: d[name].values for name in names}, {name: d[name].attrs for name in names}

    found = parallel.map_chunks(work, list(options.voltage), comm, checkpoint, progress)
    variables = {name: (("voltage", "time"), [one[name] for one, _ in found], found[0][1][name]) for name in names}
    coordinates = {
        "voltage": ("voltage", list(options.voltage), {"units": "V", "long_name": "voltage"}),
        "time": ("time", times, {"units": "s", "long_name": "time"}),
    }
    attributes = {"initial": options.initial, "temperature": options.temperature}
    return xr.Dataset(variables, coordinates, attrs=attributes)


def table(r):
    """Lines with the write error rate and its 95 % interval of every pulse."""
    lines = ["voltage (V)   length (s)   write error rate   95 % interval"]
    for i, voltage in enumerate(r["voltage"].values):
        for j, length in enumerate(r["length"].values):
            at = r.isel(voltage=i, length=j)
            low, high = at["write_error_rate_interval"].values
            lines.append(
                f"{voltage:11.4g}   {length:10.4g}   {float(at['write_error_rate']):16.6f}   {low:.6f} ... {high:.6f}"
            )
    return lines


def times_table(r):
    """Lines with the median and mean time of every voltage."""
    lines = ["voltage (V)   share passed   median (s)   mean (s)"]
    for voltage in r["voltage"]:
        at = r.sel(voltage=voltage)
        numbers = [float(at[name]) for name in ("passed", "median_switching_time", "mean_switching_time")]
        lines.append("{:11.4g}   {:12.4f}   {:10.4g}   {:8.4g}".format(float(voltage), *numbers))
    return lines


def check(free, tmap, options, pulses, constant):
    """InputError for what the sampling would refuse; runs a few steps of one trajectory. Thermalisation in s."""
    from qtorque import llg
    from qtorque.llg.dynamics import number_of_steps, require_count
    from qtorque.llg.switching import pulse_lengths, simulated_lengths

    simulated_lengths(options.length, options.dt)
    pulse_lengths(exact_lengths(options))
    require_count("trajectories", options.trajectories)
    number_of_steps(options.duration, options.dt)
    found = llg.switching_map(free, tmap, **pulses | {"trajectories": 1, "length": options.dt})
    llg.switching_times(
        free, tmap, **constant | {"trajectories": 1, "duration": options.dt, "times": None, "thermalisation": 0.0}
    )
    return found.attrs["thermalisation"]


def estimate(free, tmap, options, constant, thermalisation, exact):
    """One line about the sampling and the Fokker-Planck runs, and their seconds on one core."""
    from qtorque import llg

    few = min(options.trajectories, _stages.SAMPLE_TRAJECTORIES)
    short = {"trajectories": few, "duration": _stages.SAMPLE_STEPS * options.dt, "thermalisation": 0.0}
    one = constant | short | {"voltage": options.voltage[-1]}
    seconds = _stages.seconds_of(lambda: llg.switching_times(free, tmap, **one))
    edges = options.rise + options.fall + options.relaxation + thermalisation
    duration = sum(options.length) + len(options.length) * edges + options.duration + thermalisation
    steps = round(duration / options.dt)
    total = len(options.voltage) * options.trajectories * steps
    sampling = seconds * total / (_stages.SAMPLE_STEPS * few)
    runs = len(options.voltage) * (len(exact_lengths(options)) + 1) if exact else 0
    work = (
        f"dynamics: {len(options.voltage)} voltages x {len(options.length)} lengths x {options.trajectories} "
        f"trajectories = {total:.3g} trajectory-steps, about {sampling:.3g} s on one core; {runs} runs of Fokker-Planck"
    )
    return work, sampling + EXACT_SECONDS * runs


def run(options, comm):
    import qtorque as qt
    from qtorque import llg, plot, store

    begin = time.monotonic()
    tmap = qt.TorqueMap.load(options.map)
    free = _stages.free_layer(options)
    edges = {name: getattr(options, name) for name in ("rise", "fall", "relaxation")}
    common = {name: value for name, value in _stages.dynamics(options).items() if name != "duration"}
    common["voltage"] = options.voltage
    pulses = {"length": options.length, **edges, **common}
    constant = {"duration": options.duration, **common}
    known, decisive = _stages.map_configuration(options, tmap)
    force = command_line.may_replace(options, decisive)
    thermalisation = check(free, tmap, options, pulses, constant)
    exact = axially_symmetric(free, tmap, options)
    paths = command_line.output_files(options.output, SAMPLED_ENDINGS + (EXACT_ENDINGS if exact else ()), force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([estimate(free, tmap, options, constant, thermalisation, exact)], comm)
        return

    with command_line.resumable(options, decisive, comm) as checkpoint:

        def shared(name, label):
            return {"comm": comm, "checkpoint": checkpoint.part(name), "progress": _stages.label(options, label)}

        r = llg.switching_map(free, tmap, **pulses, **shared("pulses", "pulses"))
        passages = llg.switching_times(free, tmap, **constant, **shared("passages", "switching times"))
        curves = distribution = None
        if exact:
            fokker_planck = {"voltage": options.voltage, "initial": options.initial, "temperature": options.temperature}
            curves = llg.fokker_planck_switching_map(
                free, tmap, length=exact_lengths(options), **edges, **fokker_planck,
                **shared("exact", "Fokker-Planck, pulses"),
            )  # fmt: skip
            distribution = exact_switching_times(
                free, tmap, options, **shared("exact_passages", "Fokker-Planck, switching times")
            )
        if _stages.is_root(comm):
            origin = store.provenance(known, comm, options.seed, options.temperature, time.monotonic() - begin)
            store.save_dataset(r, paths[0], force=force, provenance=origin)
            plot.save_figure(plot.write_error_rate(r, curves), paths[1], force)
            store.save_dataset(passages, paths[2], force=force, provenance=origin)
            plot.save_figure(plot.switching_times(passages, distribution), paths[3], force)
            for d, path in zip((curves, distribution), paths[4:], strict=False):
                store.save_dataset(d, path, force=force, provenance=origin)
    if _stages.is_root(comm):
        symmetry = [] if exact else ["not axially symmetric: no Fokker-Planck, rare errors are out of reach"]
        print(*table(r), *times_table(passages), *symmetry, _stages.written(paths), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, output="results/mtj")
    parser.add_argument("map", nargs="?", default="results/mtj_map.nc", help="torque map; default results/mtj_map.nc")
    group = parser.add_argument_group("pulse")
    number = command_line.number
    group.add_argument(
        "--voltage", type=command_line.grid, default="0.8,0.9,1", help="amplitudes, V; default 0.8,0.9,1"
    )
    group.add_argument(
        "--length", type=command_line.grid, default="10e-9:50e-9:5", help="at full amplitude, s; default 10e-9:50e-9:5"
    )
    group.add_argument("--rise", type=number, default=0.0, help="s; default 0")
    group.add_argument("--fall", type=number, default=0.0, help="s; default 0")
    group.add_argument("--relaxation", type=number, default=5e-9, help="after the pulse, s; default 5e-9")
    group.add_argument(
        "--exact-length", type=command_line.grid,
        help=f"of Fokker-Planck, s; default up to {EXACT_REACH:g} times the longest",
    )  # fmt: skip
    _stages.add_free_layer(parser)
    command_line.main(run, parser)
