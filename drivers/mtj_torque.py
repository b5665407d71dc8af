"""Magnetoresistance and spin-transfer torque of a junction versus angle and bias.

    python drivers/mtj_torque.py systems/mtj.py --set barrier_layers=4 --kmesh 64 --voltage -0.5:0.5:11 -o results/mtj
    mpiexec -n 4 python -m mpi4py drivers/mtj_torque.py ...

Writes PREFIX_transmission.nc (both states, k-resolved, zero bias), PREFIX_torque.nc (torques, spin and charge
currents), PREFIX_map.nc (the torque map that drivers/switching.py reads) and three figures: PREFIX_transmission.png,
PREFIX_torque_voltage.png and PREFIX_torque_angle.png.
"""

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


def transmissions(system, mesh, *, comm=None, progress=None):
    """Transmission (configuration, k, spin_in, spin_out) of both states at the Fermi energy and zero bias; the TMR."""
    import xarray as xr

    import qtorque as qt

    def over_k(angle):
        parts = _stages.over_k(qt.transmission, system, mesh, angle=angle, comm=comm, progress=progress)
        return xr.concat(parts, "k")

    states = [over_k(angle) for angle in STATES.values()]
    d = xr.concat(states, "configuration").assign_coords(configuration=list(STATES)).to_dataset()
    conductance = qt.k_average(d["transmission"])
    conductance.attrs["long_name"] = "conductance"
    d["conductance"] = conductance
    G_P, G_AP = conductance.sum(["spin_in", "spin_out"]).values
    ratio = qt.magnetoresistance_ratio(float(G_P), float(G_AP))
    d["tmr"] = ((), ratio, {"units": "1", "long_name": "(G_P - G_AP)/G_AP"})
    return d


def check_sweep(system, angle, voltage):
    """InputError for a junction, angles or voltages that no torque map can be made of; returns one without torque."""
    system.free  # noqa: B018 -- refuses a stack without two magnets
    return _stages.empty_map(angle, voltage, system.area)


def summary(transmission, torque):
    """Lines with the TMR, and torkance and coupling at 90 degrees if the voltages enclose zero."""
    import numpy as np

    import qtorque as qt
    from qtorque.units import conductance_per_area, energy_per_area, torkance_per_area

    area = torque.attrs["cell_area"]
    G_P, G_AP = transmission["conductance"].sum(["spin_in", "spin_out"]).values
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
    return lines


def write(transmission, torque, mesh, paths, force, origin):
    """Both data sets, the torque map and the figures, with their origin (of `store.provenance`)."""
    import qtorque as qt
    from qtorque import plot, store

    transmission_nc, torque_nc, map_nc, transmission_png, voltage_png, angle_png = paths
    store.save_dataset(transmission, transmission_nc, force=force, provenance=origin)
    store.save_dataset(torque, torque_nc, force=force, provenance=origin)
    qt.TorqueMap.from_dataset(torque.assign_attrs(origin)).save(map_nc, force)
    panels = {state: transmission["transmission"].sel(configuration=state) for state in STATES}
    plot.save_figure(plot.transmission_map(panels, mesh), transmission_png, force)
    plot.save_figure(plot.torque_versus_voltage(torque), voltage_png, force)
    plot.save_figure(plot.torque_versus_angle(torque, float(torque["voltage"][-1])), angle_png, force)


def run(options, comm):
    import qtorque as qt
    from qtorque import store
    from qtorque.bloch import as_layered

    begin = time.monotonic()
    system = as_layered(command_line.load_system(options.system, options.set))
    mesh = qt.kmesh(options.kmesh)
    check_sweep(system, options.angle, options.voltage)
    sweep = _stages.torque_sweep(options)
    paths = command_line.output_files(options.output, ENDINGS, options.force)
    if options.dry_run:
        if _stages.is_root(comm):
            work, seconds = _stages.torque_estimate(system, mesh, **sweep)
            _stages.report_dry_run([work], seconds, comm)
        return
    torque = qt.spin_torque(system, kmesh=mesh, comm=comm, progress=_stages.label(options, "torque"), **sweep)
    transmission = transmissions(system, mesh, comm=comm, progress=_stages.label(options, "transmission"))
    if _stages.is_root(comm):
        command_line.make_folder(options.output)
        origin = store.provenance(_stages.configuration(options), comm, wall_time=time.monotonic() - begin)
        write(transmission, torque, mesh, paths, options.force, origin)
        print(*summary(transmission, torque), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/mtj.py", output="results/mtj")
    _stages.add_mesh(parser)
    _stages.add_torque_sweep(parser)
    command_line.main(run, parser)
