"""What more than one driver needs: options, the free layer, the work of a sweep over momenta, and estimates of time.

Imports of the package stand inside the functions, so that --help of a driver answers at once.
"""

import contextlib
import math
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtorque import command_line

SAMPLE_POINTS = 64
"""Momenta on which a dry run measures the transport."""
SAMPLE_STEPS = 500
SAMPLE_TRAJECTORIES = 64
"""Steps and trajectories on which a dry run measures the dynamics."""
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in the unit of ru_maxrss."""
SCATTERING_CHUNK = 512
"""Momenta of one chunk of work in a k-resolved solve; larger meshes have `SHARED_CHUNKS` chunks of more, up to
`LARGEST_CHUNK`."""
SHARED_CHUNKS = 64
"""Enough to be shared between ranks; more, smaller ones cost more in the labels of their arrays than in the solve."""
LARGEST_CHUNK = 4096
"""Bounds the memory."""
PICTURE_POINTS = 512
"""Momenta in each direction that a figure shows at most: about one for each of its pixels."""
SHIFTED_WEIGHT_LIMIT = 0.01
"""Share of the zone that may be solved beside the energy asked for; more is an energy on a flat band or a mesh that is
tied to the band edges, and no accident."""
EXIT_SHIFTED = 3


def add_mesh(parser):
    """The option --kmesh."""
    parser.add_argument(
        "--kmesh", type=int, default=32, help="in-plane momenta: a mesh of N x N; default 32", metavar="N"
    )


def add_torque_sweep(parser):
    """Angles and voltages of a torque sweep, and how accurately it is integrated."""
    parser.add_argument("--angle", type=command_line.grid, default="0:pi:9", help="rad, within 0 to pi; default 0:pi:9")
    parser.add_argument("--voltage", type=command_line.grid, default="-1:1:11", help="V, ascending; default -1:1:11")
    parser.add_argument(
        "--electron-temperature", type=command_line.number, default=0.0, help="of the leads, K; default 0", metavar="K"
    )
    parser.add_argument(
        "--tolerance", type=command_line.number, default=1e-6, help="of energy integrals, relative; default 1e-6"
    )


def add_free_layer(parser):
    """A free layer, and the ensemble of its trajectories."""
    add_magnet(parser)
    add_ensemble(parser)


def add_magnet(parser):
    """A disc of 40 nm with an energy barrier of 30 kT at 300 K."""
    group = parser.add_argument_group("free layer")
    number = command_line.number
    group.add_argument("--Ms", type=number, default=1.2e6, help="saturation magnetisation, A/m; default 1.2e6")
    group.add_argument("--thickness", type=number, default=1.5e-9, help="m; default 1.5e-9")
    group.add_argument("--area", type=number, default=1.26e-15, help="m^2; default 1.26e-15, a disc of 40 nm")
    # (K - mu_0 Ms^2 (N_z - N_x)/2) Vol = 30 kT at 300 K, with the demagnetising factors below: K = 9.43381e5 J/m^3.
    group.add_argument("--anisotropy", type=number, default=9.43381e5, help="K, J/m^3; default 9.43381e5")
    # llg.critical_voltage of systems/mtj.py with all other defaults is 0.608 V at this damping, and V_c grows with it.
    group.add_argument("--alpha", type=number, default=0.005, help="Gilbert damping; default 0.005")
    group.add_argument("--easy-axis", type=command_line.grid, default="0,0,1", help="unit vector; default 0,0,1")
    group.add_argument(
        "--demag", type=command_line.grid, default="0.01,0.01,0.98",
        help="demagnetising factors along x, y, z; default 0.01,0.01,0.98",
    )  # fmt: skip
    group.add_argument("--field", type=command_line.grid, default="0,0,0", help="applied mu_0 H, T; default 0,0,0")
    group.add_argument(
        "--fixed", type=command_line.grid, default="0,0,1", help="fixed moment, unit vector; default 0,0,1"
    )


def add_ensemble(parser):
    """Temperature and initial state of the free layer, and the integration of its trajectories."""
    group = parser.add_argument_group("ensemble")
    number = command_line.number
    group.add_argument("--temperature", type=number, default=300.0, help="of the free layer, K; default 300")
    group.add_argument(
        "--initial", choices=("antiparallel", "parallel"), default="antiparallel", help="default antiparallel"
    )
    group.add_argument("--trajectories", type=int, default=512, help="at each voltage; default 512")
    group.add_argument("--duration", type=number, default=50e-9, help="s; default 50e-9")
    group.add_argument("--dt", type=number, default=1e-12, help="time step, s; default 1e-12")
    group.add_argument("--seed", type=int, default=1, help="of the random numbers; default 1")


def change_defaults(parser, **texts):
    """Other defaults of options that are there, as texts of the command line, in the help too."""
    for action in parser._actions:
        if action.dest in texts:
            action.default = texts[action.dest]
            action.help = f"{action.help.partition('; default')[0]}; default {action.default}"


def free_layer(options):
    """The `llg.Macrospin` of the options of `add_magnet`."""
    from qtorque import llg

    return llg.Macrospin(
        Ms=options.Ms,
        thickness=options.thickness,
        area=options.area,
        alpha=options.alpha,
        anisotropy=options.anisotropy,
        easy_axis=options.easy_axis,
        demag=options.demag,
        field=options.field,
        fixed=options.fixed,
    )


def torque_sweep(options):
    """The arguments of `qtorque.spin_torque` among the options of `add_torque_sweep`."""
    return {
        "angle": options.angle,
        "voltage": options.voltage,
        "temperature": options.electron_temperature,
        "tolerance": options.tolerance,
    }


def dynamics(options):
    """The arguments of `llg.ensemble` among the options of `add_ensemble`."""
    names = ("initial", "trajectories", "duration", "dt", "temperature", "seed")
    return {name: getattr(options, name) for name in names}


def configuration(options):
    """Everything a result depends on: all options, the driver, and the system with its file and parameters."""
    from qtorque.checkpoint import source_digest

    ignored = (*command_line.RUN_OPTIONS, "set")
    found = {name: value for name, value in vars(options).items() if name not in ignored}
    found |= {"driver": Path(sys.argv[0]).name, "driver_source": source_digest(Path(__file__).parent)}
    if "system" in found:
        found["system_parameters"] = command_line.system_settings(options.system, options.set)
        found["system_source"] = Path(options.system).read_text(encoding="utf-8")
    return found


def map_configuration(options, tmap, **further):
    """`configuration` of a driver of a torque map, all of it and what decides whether two runs are the same.

    The same map, made again, differs in its attributes: in its date, to begin with. It is told by its numbers.
    """
    import hashlib

    d = tmap.to_dataset().drop_attrs()
    arrays = [d[name].values.tobytes() for name in sorted(map(str, d.variables)) if d[name].dtype.kind in "fc"]
    digest = hashlib.blake2b(b"".join(arrays) + repr(float(tmap.area)).encode(), digest_size=8).hexdigest()
    decisive = {**configuration(options), "map_digest": digest, **further}
    path = decisive.pop("map")
    return {**decisive, "map": path, "map_attributes": tmap.attributes}, decisive


def is_root(comm):
    """Whether this rank is the one that prints and writes."""
    return comm is None or comm.rank == 0


def label(options, text):
    """The label of a progress report, None under --quiet."""
    return None if options.quiet else text


def written(paths):
    """The last words of a driver: its files."""
    return "\n    ".join(["written:", *paths])


@dataclass(frozen=True)
class ZoneSums:
    """What stays in memory of a result at every momentum, which is in a file.

    Attributes
    ----------
    complete
        Data set of all variables without momenta.
    picture
        Data set of the momenta of `mesh`: of the whole mesh, or of those nearest to the points of one that a figure
        can show. None on ranks but the first.
    """

    complete: Any
    picture: Any
    mesh: Any


def blocks_of(mesh):
    """The numbers of the momenta of every chunk of a k-resolved solve, in their order."""
    number = math.ceil(mesh.size / _block_size(mesh))
    return [range(mesh.size * i // number, mesh.size * (i + 1) // number) for i in range(number)]


def _block_size(mesh):
    return min(max(SCATTERING_CHUNK, mesh.size // SHARED_CHUNKS), LARGEST_CHUNK)


def solve_over_k(observe, complete, mesh, path, origin, *, force, comm, checkpoint, progress):
    """Solve at every momentum and write the result to a file by chunks, in memory that does not grow with the mesh.

    Parameters
    ----------
    observe
        Function of `qtorque.kpoints`, part of the mesh with its weights: a data set over k, and one of sums over these
        k.
    complete
        Function of the sums over the whole mesh: a data set of all that the file holds without k.
    path, origin
        The file, and a function that returns the attributes of its provenance.

    Returns
    -------
    ZoneSums
    """
    import numpy as np
    import xarray as xr

    import qtorque as qt
    from qtorque import parallel, store

    shown = qt.kmesh(*(min(n, PICTURE_POINTS) for n in mesh.shape))
    rows, columns = (((np.arange(m) + 0.5) * n / m).astype(int) for m, n in zip(shown.shape, mesh.shape, strict=True))
    numbers = (rows[:, None] * mesh.shape[1] + columns).ravel()
    sums, pieces, start = None, [], 0

    def receive(result):
        nonlocal sums, start
        block, part = result
        file.append(block)
        stop = start + block.sizes["k"]
        inside = numbers[np.searchsorted(numbers, start) : np.searchsorted(numbers, stop)]
        pieces.append(block.isel(k=inside - start))
        with xr.set_options(keep_attrs=True):
            sums = part if sums is None else sums + part
        start = stop

    def one(index):
        return observe(qt.kpoints(*mesh.take(np.asarray(index))))

    growing = store.growing_dataset(path, "k", force=force) if is_root(comm) else contextlib.nullcontext()
    with growing as file:
        parallel.each_chunk(one, blocks_of(mesh), receive, comm, checkpoint, progress)
        # All ranks have the sums: what is refused for them is refused by all.
        sums = sums if comm is None else comm.bcast(sums)
        rest = complete(sums)
        if is_root(comm):
            file.finish(rest, origin())
    return ZoneSums(rest, xr.concat(pieces, "k") if pieces else None, shown)


def k_resolved_estimate(observe, mesh):
    """One line about what `solve_over_k` writes and holds, and its seconds on one core, from a few momenta."""
    few = sample(mesh)
    seconds = seconds_of(lambda: observe(few)) * mesh.size / few.size
    block, _ = observe(few)
    point = sum(v.nbytes for v in block.variables.values() if "k" in v.dims) / few.size
    work = (
        f"scattering: {mesh.size} k-points in {len(blocks_of(mesh))} chunks, about {seconds:.3g} s on one core; "
        f"k-resolved output {point * mesh.size / 1e6:.3g} MB on disk, twice that while it runs, "
        f"{point * _block_size(mesh) / 1e6:.3g} MB in the memory of a rank"
    )
    return work, seconds


def shifted_weight(*solutions):
    """The weight of the momenta that sit on a band edge in any of some `qtorque.Scattering` at the same momenta."""
    import numpy as np

    shifted = np.any([s.shifted for s in solutions], axis=0)
    return float((solutions[0].kset.weights * shifted).sum())


def shifted_report(weight):
    """The lines about momenta on a band edge: none where there are none."""
    if weight == 0:
        return []
    from qtorque.scattering import BAND_EDGE_SHIFT

    verdict = f"more than the limit {SHIFTED_WEIGHT_LIMIT:g}, " if weight > SHIFTED_WEIGHT_LIMIT else ""
    move = "move the energy" if verdict else "recorded as shifted_weight"
    return [f"band edges           weight {weight:.3g} of k solved {BAND_EDGE_SHIFT:g} eV beside, {verdict}{move}"]


def end_for_shifted(weight, comm):
    """End the program with a code of its own if too many momenta sit on a band edge: the last call, on all ranks."""
    from qtorque import parallel

    if weight > SHIFTED_WEIGHT_LIMIT:
        parallel.leave(EXIT_SHIFTED, comm)


def empty_map(angle, voltage, area):
    """A torque map without torque: refuses the same grids as the one to come, and lets the dynamics check its input."""
    import numpy as np

    import qtorque as qt
    from qtorque.torquemap import VARIABLES

    zeros = np.zeros((len(angle), len(voltage)))
    return qt.TorqueMap(angle=angle, voltage=voltage, area=area, **dict.fromkeys(VARIABLES, zeros))


def sample(mesh):
    """A few momenta spread over the mesh, as `qtorque.kpoints` of equal weights."""
    import numpy as np

    import qtorque as qt

    index = np.unique(np.linspace(0, mesh.size - 1, min(mesh.size, SAMPLE_POINTS)).astype(int))
    return qt.kpoints(mesh.take(index)[0])


def seconds_of(work):
    """Wall time of the second of two calls; the first one loads and compiles."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def torque_estimate(system, mesh, *, angle, voltage, temperature, tolerance):
    """One line about a torque sweep, and its seconds on one core, from a few momenta at the largest voltage."""
    import qtorque as qt
    from qtorque.brillouin import interleaved_chunks
    from qtorque.sweeps import CHUNK

    few = sample(mesh)
    largest = max(voltage, key=abs)
    seconds = seconds_of(
        lambda: qt.spin_torque(
            system, angle=angle, voltage=largest, kmesh=few, temperature=temperature, tolerance=tolerance
        )
    )
    seconds *= len(voltage) * mesh.size / few.size
    chunks = len(voltage) * len(interleaved_chunks(mesh.size, CHUNK))
    work = (
        f"transport: {mesh.size} k-points x {len(angle)} angles x {len(voltage)} voltages in {chunks} chunks, "
        f"about {seconds:.3g} s on one core (from {few.size} k-points at {largest:g} V)"
    )
    return work, seconds


def check_ensemble(free, tmap, *, trajectories, duration, dt, **arguments):
    """InputError for what `llg.ensemble` would refuse; runs one step of one trajectory, and returns its result."""
    from qtorque import llg
    from qtorque.llg.dynamics import number_of_steps, require_count

    require_count("trajectories", trajectories)
    number_of_steps(duration, dt)
    return llg.ensemble(free, tmap, trajectories=1, duration=dt, dt=dt, **arguments)


def ensemble_estimate(free, tmap, *, voltage, trajectories, duration, dt, **arguments):
    """One line about an ensemble, and its seconds on one core, from some hundred steps at one voltage."""
    from qtorque import llg

    checked = check_ensemble(
        free, tmap, voltage=voltage, trajectories=trajectories, duration=duration, dt=dt, **arguments
    )
    thermalisation = checked.attrs["thermalisation"]
    few = {"voltage": voltage[-1], "trajectories": min(trajectories, SAMPLE_TRAJECTORIES), "thermalisation": 0.0}
    seconds = seconds_of(lambda: llg.ensemble(free, tmap, duration=SAMPLE_STEPS * dt, dt=dt, **few, **arguments))
    steps = round((thermalisation + duration) / dt)
    total = len(voltage) * trajectories * steps
    seconds *= total / (SAMPLE_STEPS * few["trajectories"])
    work = (
        f"dynamics: {len(voltage)} voltages x {trajectories} trajectories x {steps} steps "
        f"({thermalisation / dt:.0f} of them thermalise) = {total:.3g} trajectory-steps, "
        f"about {seconds:.3g} s on one core"
    )
    return work, seconds


def report_dry_run(estimates, comm):
    """Print what a run would do: its works, each a line and the seconds on one core."""
    work, seconds = [line for line, _ in estimates], sum(each for _, each in estimates)
    ranks = 1 if comm is None else comm.size
    # Work comes in chunks of bounded size; what is kept at every k and of every trajectory comes on top.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT
    print(*work, sep="\n")
    print(f"memory: at least {peak / 1e6:.0f} MB a rank (peak of the sample)")
    print(f"time: about {seconds / ranks:.3g} s on {ranks} rank(s); nothing written")
