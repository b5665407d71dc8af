"""Torque on every layer of a stack and transverse spin current between them: how deep a spin reaches into a magnet.

    python drivers/layer_profile.py systems/spin_valve.py --set free_layers=30 -o results/valve
    mpiexec -n 4 python -m mpi4py drivers/layer_profile.py ...

The response to a small voltage, (x(V) - x(-V))/(2 V), so that equilibrium coupling drops out. Both parts of a vector
are taken along m x (p x m) (damping-like) and m x p (field-like), m the free and p the fixed magnet. Writes
PREFIX_profile.nc and PREFIX_profile.png, and prints the torque on every layer of the free magnet: the divergence of the
spin current and, where a layer has spin-orbit coupling, its exchange torque, which is what acts on the magnetization,
beside it. The file then has the torque on the lattice too, the difference. The sum over k is refined to --tolerance,
relative to the largest spin current, and its error is in the file.
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


def directions(system, angle):
    """Unit vectors of the free and the fixed magnet at an angle; refuses a system that has them otherwise."""
    from qtorque.bias import directions_of

    return directions_of(system.chain(angle), (system.free, system.fixed), angle)


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
        spin_current_response (part, bond) and torque_response (part, layer), eV/V per cell; where a layer has
        spin-orbit coupling also torque_exchange_response and torque_lattice_response (part, layer), whose sum is
        torque_response. The coordinate `magnet`
        says of every layer whether it belongs to the fixed, the free or another magnet, or to none (""), and
        `lead_magnet` the same of both leads. Errors of the largest spin current, eV/V per cell:
        spin_current_energy_error and, where refined, spin_current_k_error.
    """
    import numpy as np
    import xarray as xr

    import qtorque as qt

    m, p = directions(system, angle)
    d = qt.layer_torque(
        system, angle=angle, voltage=[-voltage, voltage], kmesh=mesh, temperature=temperature, tolerance=tolerance,
        comm=comm, checkpoint=checkpoint, progress=progress,
    ).isel(angle=0)  # fmt: skip
    field_like = np.cross(m, p)
    frame = xr.DataArray(
        np.array([np.cross(field_like, m), field_like]) / np.linalg.norm(field_like),
        dims=("part", "xyz"), coords={"part": list(PARTS), "xyz": ["x", "y", "z"]},
    )  # fmt: skip
    response = (d.isel(voltage=1) - d.isel(voltage=0)) / (2 * voltage)
    roles = {e: "other" for magnet in system.magnets for e in magnet}
    roles |= dict.fromkeys(system.fixed, "fixed") | dict.fromkeys(system.free, "free")
    texts = {"spin_current": "transverse spin current per volt", "torque": "torque on a layer per volt"}
    if any(system.chain(angle).spin_orbit_coupled):
        texts["torque_exchange"] = "torque on the magnetization of a layer per volt"
        texts["torque_lattice"] = "torque on the lattice of a layer per volt"
    result = xr.Dataset(
        {f"{name}_response": response[name].dot(frame, "xyz").transpose("part", ...) for name in texts},
        coords={
            "magnet": ("layer", [roles.get(e, "") for e in range(1, system.layers + 1)]),
            "lead_magnet": ("lead", [roles.get(e, "") for e in (0, system.layers + 1)]),
            "lead": ["left", "right"],
        },
        attrs=d.attrs | {"angle": angle, "voltage": voltage},
    )
    for name, text in texts.items():
        result[f"{name}_response"].attrs = {"units": "eV/V per cell", "long_name": text}
    for name in ("energy_error", "k_error"):
        if name in d:
            text = f"{d[name].attrs['long_name']}, per volt"
            error = float(d[name].sum()) / (2 * voltage)
            result[f"spin_current_{name}"] = ((), error, {"units": "eV/V per cell", "long_name": text})
    return result


def table(d):
    """Lines with the torque on every layer of the free magnet and how much of the whole has been taken up to there.

    The same of the exchange torque where there is one.

    Where the magnet goes on in a lead, what its layers leave is taken there: into the right lead flows the transverse
    spin current through the last cut, out of the left lead that through the first one.
    """
    lines = _rows(d, "torque_response")
    if "torque_exchange_response" in d:
        lines.append("exchange torque of these layers, on the magnetization")
        lines += _rows(d, "torque_exchange_response", in_lead=False)
    return [*lines, "eV/V per cell; divide by the sine of the angle for torkances"]


def _rows(d, name, in_lead=True):
    """The lines of one torque; `in_lead`: with what a lead takes that the magnet goes on in."""
    import xarray as xr

    free = d[name].isel(layer=(d["magnet"] == "free").values).drop_vars("magnet")
    flow, (left, right) = d["spin_current_response"], d["lead_magnet"].values == "free"
    rest = right * flow.isel(bond=-1, drop=True) - left * flow.isel(bond=0, drop=True)
    if in_lead and (left or right):
        free = xr.concat([free, rest.expand_dims(layer=["rest, in the lead"])], "layer")
    so_far = free.cumsum("layer")
    lines = [f"{'layer':<24}" + "".join(f"{part:>20}{'so far':>16}" for part in PARTS)]
    for i, layer in enumerate(free["layer"].values):
        cells = [f"{float(free.sel(part=p)[i]):20.6e}{float(so_far.sel(part=p)[i]):16.6e}" for p in PARTS]
        lines.append(f"{layer:<24}" + "".join(cells))
    return lines


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
    directions(system, options.angle)
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
