"""Torque on every layer of a stack and transverse spin current between them: how deep a spin reaches into a magnet.

    python drivers/layer_profile.py systems/spin_valve.py --set free_layers=30 --kmesh 32 -o results/valve
    mpiexec -n 4 python -m mpi4py drivers/layer_profile.py ...

The response to a small voltage, (x(V) - x(-V))/(2 V), so that equilibrium coupling drops out. Both parts of a vector
are taken along m x (p x m) (damping-like) and m x p (field-like), m the free and p the fixed magnet. Writes
PREFIX_profile.nc and PREFIX_profile.png, and prints the torque on every layer of the free magnet.
"""

import math
import time

import _stages

from qtorque import command_line

ENDINGS = ("_profile.nc", "_profile.png")
PARTS = ("damping-like", "field-like")


def direction(system, magnet, angle):
    """Unit vector of a magnet, given by its elements, at an angle of the free one."""
    import numpy as np

    onsite = system.chain(angle).onsite
    return np.array(next(onsite[e].spin_part.axis for e in magnet if onsite[e].spin_part.axis is not None))


def profile(
    system, mesh, *, angle, voltage, temperature=0.0, tolerance=1e-6, comm=None, checkpoint=None, progress=None
):
    """Response of spin currents and layer torques to a voltage, through the depth of a stack.

    Parameters
    ----------
    system
        A `qtorque.bloch.LayeredSystem` with two magnets or more.
    mesh
        A `qtorque.kmesh`.
    angle
        Between free and fixed magnet, rad; not 0 or pi.
    voltage
        V; responses are differences between both signs.

    Returns
    -------
    Dataset
        spin_current_response (part, bond) and torque_response (part, layer), eV/V per cell; the coordinate `magnet`
        says of every layer whether it belongs to the fixed, the free or another magnet, or to none ("").
    """
    import numpy as np
    import xarray as xr

    import qtorque as qt

    d = qt.layer_torque(
        system, angle=angle, voltage=[-voltage, voltage], kmesh=mesh, temperature=temperature, tolerance=tolerance,
        comm=comm, checkpoint=checkpoint, progress=progress,
    ).isel(angle=0)  # fmt: skip
    m, p = (direction(system, magnet, angle) for magnet in (system.free, system.fixed))
    field_like = np.cross(m, p)
    frame = xr.DataArray(
        np.array([np.cross(field_like, m), field_like]) / np.linalg.norm(field_like),
        dims=("part", "xyz"), coords={"part": list(PARTS), "xyz": ["x", "y", "z"]},
    )  # fmt: skip
    response = (d.isel(voltage=1) - d.isel(voltage=0)) / (2 * voltage)
    roles = {e: "other" for magnet in system.magnets for e in magnet}
    roles |= dict.fromkeys(system.fixed, "fixed") | dict.fromkeys(system.free, "free")
    result = xr.Dataset(
        {
            "spin_current_response": response["spin_current"].dot(frame, "xyz").transpose("part", "bond"),
            "torque_response": response["torque"].dot(frame, "xyz").transpose("part", "layer"),
        },
        coords={"magnet": ("layer", [roles.get(e, "") for e in range(1, system.layers + 1)])},
        attrs=d.attrs | {"angle": angle, "voltage": voltage},
    )
    for name, text in (("spin_current", "transverse spin current per volt"), ("torque", "torque on a layer per volt")):
        result[f"{name}_response"].attrs = {"units": "eV/V per cell", "long_name": text}
    return result


def table(d):
    """Lines with the torque on every layer of the free magnet and how much of the whole has been taken up to there."""
    free = d["torque_response"].isel(layer=(d["magnet"] == "free").values)
    so_far = free.cumsum("layer")
    lines = [f"{'layer':<24}" + "".join(f"{part:>20}{'so far':>16}" for part in PARTS)]
    for i, name in enumerate(free["layer"].values):
        cells = [f"{float(free.sel(part=p)[i]):20.6e}{float(so_far.sel(part=p)[i]):16.6e}" for p in PARTS]
        lines.append(f"{name:<24}" + "".join(cells))
    return [*lines, "eV/V per cell; divide by the sine of the angle for torkances"]


def run(options, comm):
    import qtorque as qt
    from qtorque import plot, store
    from qtorque.bloch import as_layered
    from qtorque.errors import InputError
    from qtorque.scattering import require_open_leads
    from qtorque.torque import SMALL_SINE

    begin = time.monotonic()
    system = as_layered(command_line.load_system(options.system, options.set))
    system.free  # noqa: B018 -- refuses a stack without two magnets
    if abs(math.sin(options.angle)) < SMALL_SINE:
        raise InputError(
            f"--angle {options.angle:g} leaves no transverse spin; give one between 0 and pi, such as pi/2"
        )
    if not options.voltage > 0:
        raise InputError(
            f"--voltage {options.voltage:g} must be positive: responses are differences between both signs"
        )
    mesh = qt.kmesh(options.kmesh)
    require_open_leads(system.chain(), mesh, 0.0)
    configuration = _stages.configuration(options)
    force = command_line.may_replace(options, configuration)
    data, picture = command_line.output_files(options.output, ENDINGS, force)
    physics = {
        "angle": options.angle,
        "voltage": options.voltage,
        "temperature": options.temperature,
        "tolerance": options.tolerance,
    }
    if options.dry_run:
        if _stages.is_root(comm):
            sample = _stages.sample(mesh)
            seconds = _stages.seconds_of(lambda: profile(system, sample, **physics)) * mesh.size / sample.size
            text = f"profile: {mesh.size} k-points x {system.layers} layers, about {seconds:.3g} s on one core"
            _stages.report_dry_run([(text, seconds)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        progress = _stages.label(options, "profile")
        d = profile(system, mesh, comm=comm, checkpoint=checkpoint.part("profile"), progress=progress, **physics)
        if _stages.is_root(comm):
            origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
            store.save_dataset(d, data, force=force, provenance=origin)
            plot.save_figure(plot.layer_profile(d), picture, force)
            print(*table(d), _stages.written([data, picture]), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/spin_valve.py", output="results/valve")
    _stages.add_mesh(parser)
    number = command_line.number
    parser.add_argument("--angle", type=number, default=math.pi / 2, help="rad; default pi/2")
    parser.add_argument("--voltage", type=number, default=0.01, help="V; default 0.01")
    parser.add_argument("--temperature", type=number, default=0.0, help="of the leads, K; default 0")
    parser.add_argument("--tolerance", type=number, default=1e-4, help="of energy integrals, relative; default 1e-4")
    command_line.main(run, parser)
