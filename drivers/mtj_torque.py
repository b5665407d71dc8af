"""Magnetoresistance and spin-transfer torque of a junction versus angle and bias.

    python drivers/mtj_torque.py systems/mtj.py --set barrier_layers=4 --kmesh 64 --voltage -0.5:0.5:11 -o results/mtj
    mpiexec -n 4 python -m mpi4py drivers/mtj_torque.py ...

Writes PREFIX_transmission.nc (both states, k-resolved, zero bias), PREFIX_torque.nc (torques, spin and charge
currents), PREFIX_map.nc (the torque map that drivers/switching.py reads) and three figures: PREFIX_transmission.png,
PREFIX_torque_voltage.png and PREFIX_torque_angle.png.
"""

import functools
import math
import time

import _stages

from qtorque import command_line

ENDINGS = (
    "_transmission.nc",
    "_torque.nc",
    "_map.nc",
    "_transmission.png",
    "_torque_voltage.png",
    "_torque_angle.png",
)
STATES = {"parallel": 0.0, "antiparallel": math.pi}


def observe(k, system):
    """At some momenta: transmission (configuration, k, spin_in, spin_out) of both states at the Fermi energy and zero
    bias; its sum over k."""
    import xarray as xr

    import qtorque as qt

    states = [qt.solve(system, energy=0.0, kmesh=k, angle=angle) for angle in STATES.values()]
    with xr.set_options(keep_attrs=True):
        over_k = xr.concat([qt.transmission(s) for s in states], "configuration", coords="minimal", compat="override")
    over_k = over_k.assign_coords(configuration=list(STATES))
    conductance = qt.k_average(over_k)
    conductance.attrs["long_name"] = "conductance"
    sums = xr.Dataset({"conductance": conductance, "shifted_weight": _stages.shifted_weight(*states)})
    return over_k.to_dataset(), sums


def complete(sums):
    """The conductance of both states with the magnetoresistance."""
    import qtorque as qt

    G_P, G_AP = sums["conductance"].sum(["spin_in", "spin_out"], skipna=False).values
    ratio = qt.magnetoresistance_ratio(float(G_P), float(G_AP))
    d = sums[["conductance"]].assign(tmr=((), ratio, {"units": "1", "long_name": "(G_P - G_AP)/G_AP"}))
    return d.assign_attrs(shifted_weight=float(sums["shifted_weight"]))


def check_sweep(system, angle, voltage):
    """InputError for a junction, angles or voltages that no torque map can be made of; returns one without torque."""
    from qtorque.bias import coefficients_have_limits
    from qtorque.errors import InputError
    from qtorque.torque import SMALL_SINE, has_lattice_torque

    if has_lattice_torque(system.chain(0.0), (system.free, system.fixed)):
        raise InputError(
            "a magnet has spin-orbit coupling, so that its torque depends on its azimuth, which a torque map does not "
            "know; leave spin_orbit out of the magnets, or take drivers/layer_profile.py"
        )
    ends = [a for a in angle if abs(math.sin(a)) < SMALL_SINE]
    if ends and not coefficients_have_limits(system):
        raise InputError(
            f"--angle {ends[0]:g}: with spin-orbit coupling, or a third magnet off the axis, there are no coefficients "
            "at 0 and pi; leave these angles out"
        )
    return _stages.empty_map(angle, voltage, system.area)


def summary(transmission, torque):
    """Lines with the TMR, and torkance and coupling at 90 degrees if the voltages enclose zero."""
    import numpy as np

    import qtorque as qt
    from qtorque.units import conductance_per_area, energy_per_area, torkance_per_area

    area = torque.attrs["cell_area"]
    G_P, G_AP = transmission["conductance"].sum(["spin_in", "spin_out"], skipna=False).values
    lines = [
        f"TMR                  {100 * float(transmission['tmr']):.4g} %, G_P = {G_P:.6g} e^2/h per cell "
        f"({conductance_per_area(G_P, area):.4g} Ohm^-1 m^-2), G_AP = {G_AP:.6g}"
    ]
    at = torque.sel(angle=math.pi / 2, method="nearest")
    degrees = math.degrees(float(at["angle"]))
    voltage = at["voltage"].values
    if len(voltage) > 1 and voltage[0] <= 0 <= voltage[-1]:
        slope = float(qt.torkance(torque)["damping_like"].sel(angle=at["angle"]))
        lines.append(
            f"damping-like torkance {slope:.5g} eV/V per cell = {torkance_per_area(slope, area):.4g} "
            f"(hbar/2e) Ohm^-1 m^-2 at zero bias, {degrees:.3g} degrees"
        )
    if np.isclose(voltage, 0).any():
        coupling = float(at["field_like"].sel(voltage=0, method="nearest"))
        kind = "antiferromagnetic" if coupling < 0 else "ferromagnetic"
        lines.append(
            f"zero-bias coupling   {coupling:.5g} eV per cell = {energy_per_area(coupling, area):.4g} J/m^2, {kind} "
            f"(field-like torque at {degrees:.3g} degrees)"
        )
    return lines + _stages.shifted_report(transmission.attrs["shifted_weight"])


def write(transmission, torque, paths, force, origin):
    """The torque, its map and the figures, with their origin (of `store.provenance`)."""
    import qtorque as qt
    from qtorque import plot, store

    _, torque_nc, map_nc, transmission_png, voltage_png, angle_png = paths
    store.save_dataset(torque, torque_nc, force=force, provenance=origin)
    qt.TorqueMap.from_dataset(torque.assign_attrs(origin)).save(map_nc, force)
    panels = {state: transmission.picture["transmission"].sel(configuration=state) for state in STATES}
    plot.save_figure(plot.transmission_map(panels, transmission.mesh), transmission_png, force)
    plot.save_figure(plot.torque_versus_voltage(torque), voltage_png, force)
    plot.save_figure(plot.torque_versus_angle(torque, float(torque["voltage"][-1])), angle_png, force)


def transport(system, mesh, paths, origin, *, options, force, comm, checkpoint):
    """Torque and transmission, computed, written and summed up: (torque, transmission)."""
    import qtorque as qt

    torque = qt.spin_torque(
        system, kmesh=mesh, comm=comm, checkpoint=checkpoint.part("torque"),
        progress=_stages.label(options, "torque"), **_stages.torque_sweep(options),
    )  # fmt: skip
    transmission = _stages.solve_over_k(
        functools.partial(observe, system=system), complete, mesh, paths[0], origin, force=force, comm=comm,
        checkpoint=checkpoint.part("transmission"), progress=_stages.label(options, "transmission"),
    )  # fmt: skip
    if _stages.is_root(comm):
        write(transmission, torque, paths, force, origin())
        print(*summary(transmission.complete, torque), sep="\n", flush=True)
    return torque, transmission.complete


def estimates(system, mesh, options):
    """Lines about the work, with the seconds of each on one core."""
    return [
        _stages.torque_estimate(system, mesh, **_stages.torque_sweep(options)),
        _stages.k_resolved_estimate(functools.partial(observe, system=system), mesh),
    ]


def run(options, comm):
    import qtorque as qt
    from qtorque import store
    from qtorque.bloch import as_layered

    begin = time.monotonic()
    system = as_layered(command_line.load_system(options.system, options.set))
    mesh = qt.kmesh(options.kmesh)
    check_sweep(system, options.angle, options.voltage)
    configuration = _stages.configuration(options)
    force = command_line.may_replace(options, configuration)
    paths = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run(estimates(system, mesh, options), comm)
        return

    def origin():
        return store.provenance(configuration, comm, wall_time=time.monotonic() - begin)

    with command_line.resumable(options, configuration, comm) as checkpoint:
        _, transmission = transport(
            system, mesh, paths, origin, options=options, force=force, comm=comm, checkpoint=checkpoint
        )
    if _stages.is_root(comm):
        print(_stages.written(paths))
    _stages.end_for_shifted(transmission.attrs["shifted_weight"], comm)


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/mtj.py", output="results/mtj")
    _stages.add_mesh(parser)
    _stages.add_torque_sweep(parser)
    command_line.main(run, parser)
