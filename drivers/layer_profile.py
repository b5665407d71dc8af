"""Torque on every layer of a stack and transverse spin current between them: how deep a spin reaches into a magnet.

    python drivers/layer_profile.py systems/spin_valve.py --set free_layers=30 -o results/valve
    mpiexec -n 4 python -m mpi4py drivers/layer_profile.py ...

The response to a small voltage, (x(V) - x(-V))/(2 V), so that equilibrium coupling drops out. Both parts of a vector
are taken along m x (p x m) (damping-like) and m x p (field-like), m the free and p the fixed magnet. Writes
PREFIX_profile.nc and PREFIX_profile.png, and prints the torque on every layer of the free magnet. The sum over k is
refined to --tolerance, relative to the largest spin current, and its error is in the file.
"""

import math
import time

import _stages
import _summation

from qtorque import command_line

ENDINGS = ("_profile.nc", "_profile.png")
PARTS = ("damping-like", "field-like")
REFINED = 1e-2
"""Default tolerance of the refined sum over k. The estimates are upper bounds: profiles of systems/spin_valve.py at
1e-2 and at 1e-3 differ by less than 1e-5 of their size."""
ON_MESH = 1e-4
"""Default tolerance of the energy integrals on a given mesh."""


def direction(system, magnet, angle):
    """Unit vector of a magnet, given by its elements, at an angle of the free one."""
    import numpy as np

    onsite = system.chain(angle).onsite
    return np.array(next(onsite[e].spin_part.axis for e in magnet if onsite[e].spin_part.axis is not None))


def profile(
    system, mesh=None, *, angle, voltage, temperature=0.0, tolerance=1e-6, comm=None, checkpoint=None, progress=None
):
    """Response of spin currents and layer torques to a voltage, through the depth of a stack.

    Parameters
    ----------
    system
        A `qtorque.bloch.LayeredSystem` with two magnets or more.
    mesh
        A `qtorque.kmesh`; without it the sum over k is refined to `tolerance`.
    angle
        Between free and fixed magnet, rad; not 0 or pi.
    voltage
        V; responses are differences between both signs.

    Returns
    -------
    Dataset
        spin_current_response (part, bond) and torque_response (part, layer), eV/V per cell; the coordinate `magnet`
        says of every layer whether it belongs to the fixed, the free or another magnet, or to none (""), and
        `lead_magnet` the same of both leads. Errors of the largest spin current, eV/V per cell:
        spin_current_energy_error and, where refined, spin_current_k_error.
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
        coords={
            "magnet": ("layer", [roles.get(e, "") for e in range(1, system.layers + 1)]),
            "lead_magnet": ("lead", [roles.get(e, "") for e in (0, system.layers + 1)]),
            "lead": ["left", "right"],
        },
        attrs=d.attrs | {"angle": angle, "voltage": voltage},
    )
    for name, text in (("spin_current", "transverse spin current per volt"), ("torque", "torque on a layer per volt")):
        result[f"{name}_response"].attrs = {"units": "eV/V per cell", "long_name": text}
    for name in ("energy_error", "k_error"):
        if name in d:
            text = f"{d[name].attrs['long_name']}, per volt"
            error = float(d[name].sum()) / (2 * voltage)
            result[f"spin_current_{name}"] = ((), error, {"units": "eV/V per cell", "long_name": text})
    return result


def table(d):
    """Lines with the torque on every layer of the free magnet and how much of the whole has been taken up to there.

    Where the magnet goes on in a lead, what its layers leave is taken there: into the right lead flows the transverse
    spin current through the last cut, out of the left lead that through the first one.
    """
    import xarray as xr

    free = d["torque_response"].isel(layer=(d["magnet"] == "free").values).drop_vars("magnet")
    flow, (left, right) = d["spin_current_response"], d["lead_magnet"].values == "free"
    rest = right * flow.isel(bond=-1, drop=True) - left * flow.isel(bond=0, drop=True)
    if left or right:
        free = xr.concat([free, rest.expand_dims(layer=["rest, in the lead"])], "layer")
    so_far = free.cumsum("layer")
    lines = [f"{'layer':<24}" + "".join(f"{part:>20}{'so far':>16}" for part in PARTS)]
    for i, name in enumerate(free["layer"].values):
        cells = [f"{float(free.sel(part=p)[i]):20.6e}{float(so_far.sel(part=p)[i]):16.6e}" for p in PARTS]
        lines.append(f"{name:<24}" + "".join(cells))
    return [*lines, "eV/V per cell; divide by the sine of the angle for torkances"]


def run(options, comm):
    import qtorque as qt
    from qtorque import plot, store
    from qtorque.bias import OPEN_SAMPLE
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
    summed = _summation.accuracy(options, refined=REFINED, energies=ON_MESH)
    require_open_leads(system.chain(), summed["kmesh"] or qt.kmesh(OPEN_SAMPLE), 0.0)
    configuration = _stages.configuration(options) | {"tolerance": summed["tolerance"]}
    force = command_line.may_replace(options, configuration)
    data, picture = command_line.output_files(options.output, ENDINGS, force)
    physics = {"angle": options.angle, "voltage": options.voltage, "temperature": options.temperature}
    if options.dry_run:
        if _stages.is_root(comm):
            momenta, seconds = _summation.estimate(
                lambda kmesh, tolerance: profile(system, kmesh, tolerance=tolerance, **physics), summed
            )
            text = f"profile: {momenta} x {system.layers} layers, about {seconds:.3g} s on one core"
            _stages.report_dry_run([(text, seconds)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        progress = _stages.label(options, "profile")
        d = profile(
            system, summed["kmesh"], tolerance=summed["tolerance"], comm=comm, checkpoint=checkpoint.part("profile"),
            progress=progress, **physics,
        )  # fmt: skip
        if _stages.is_root(comm):
            origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
            store.save_dataset(d, data, force=force, provenance=origin)
            plot.save_figure(plot.layer_profile(d), picture, force)
            print(*table(d), *_summation.errors_reported(d), _stages.written([data, picture]), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/spin_valve.py", output="results/valve")
    _summation.add_summation(parser, refined=REFINED, energies=ON_MESH)
    number = command_line.number
    parser.add_argument("--angle", type=number, default=math.pi / 2, help="rad; default pi/2")
    parser.add_argument("--voltage", type=number, default=0.01, help="V; default 0.01")
    parser.add_argument("--temperature", type=number, default=0.0, help="of the leads, K; default 0")
    command_line.main(run, parser)
