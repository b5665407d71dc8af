"""Non-local resistance and pure spin current of a lateral spin valve versus energy, by Landauer and Buettiker.

    python drivers/nonlocal_spin_valve.py --energy -0.3:0.3:31 --set separation=20 -o results/lateral
    mpiexec -n 4 python -m mpi4py drivers/nonlocal_spin_valve.py ...

Takes a system whose build() has the parameter angle (between both electrodes) and returns a finalised Kwant system
with four leads: injector 0, left end of the bar 1, detector 2, right end of the bar 3. A current flows from 0 to 1;
leads 2 and 3 draw none and show a voltage. The spin current in the bar is its component along z, the spin axis of a
normal lead: with the injector magnetised across z it is 0. Writes PREFIX_nonlocal.nc and PREFIX_nonlocal.png. Ranks
share the energies.
"""

import math
import time

import _stages

from qtorque import command_line

ENDINGS = ("_nonlocal.nc", "_nonlocal.png")
STATES = {"parallel": 0.0, "antiparallel": math.pi}
TERMINALS = 4
INJECTOR, DRAIN, DETECTOR, REFERENCE = range(TERMINALS)


def transmissions(system, energy):
    """T[target, source, spin_in, spin_out] between all pairs of leads of a finalised Kwant system; [p, p] reflects."""
    import numpy as np

    import qtorque as qt

    s = qt.solve(system, energy=energy, engine="kwant")
    leads = range(len(s.leads))
    return np.array([[qt.transmission(s, source=q, target=p).values[0] for q in leads] for p in leads])


def potentials(T, source, drain):
    """Voltages of all leads, that of `drain` zero, for a current of one that enters at `source` and leaves at `drain`.

    I_p = (e^2/h) sum_q (delta_pq N_q - T_pq) V_q, with N_q = sum_p T_pq the channels of lead q (M. Buettiker, Phys.
    Rev. Lett. 57, 1761 (1986), cited from memory). Unit: h/e^2 times the current.
    """
    import numpy as np

    total = T.sum(axis=(2, 3))
    conductance = np.diag(total.sum(axis=0)) - total
    # A common voltage drives nothing: one equation and one voltage are left out.
    kept = [p for p in range(len(T)) if p != drain]
    current = np.array([1.0 if p == source else 0.0 for p in kept])
    voltage = np.zeros(len(T))
    voltage[kept] = np.linalg.solve(conductance[np.ix_(kept, kept)], current)
    return voltage


def resistance(T, current, voltage):
    """R_ij,kl = (V_k - V_l)/I_ij in h/e^2: current in at i and out at j, voltage of k against l."""
    V = potentials(T, *current)
    return V[voltage[0]] - V[voltage[1]]


def spin_current(T, voltage, lead):
    """Current out of the sample into a lead, of each spin along that lead's axis (up, down), in (e^2/h) of `voltage`.

    The axis of a normal lead is z, whatever the injector's.

    I_s = sum_q sum_s' T^{s'->s}_{lead,q} V_q - N_s V_lead: what comes, reflection included, less what is sent in. The
    sum of both spins is the charge current.
    """
    import numpy as np

    arriving = np.einsum("qis,q->s", T[lead], voltage)
    sent = T[:, lead].sum(axis=(0, 2)) * voltage[lead]
    return arriving - sent


def load(options, angle):
    """The finalised system at an angle between both electrodes."""
    from qtorque.errors import InputError

    if any(setting.partition("=")[0] == "angle" for setting in options.set):
        raise InputError("--set angle= is what the driver varies, 0 and pi; leave it out")
    if "angle" not in command_line.system_settings(options.system, options.set):
        raise InputError(f"system={options.system!r}: build() has no parameter 'angle'; the driver turns an electrode")
    system = command_line.load_system(options.system, [*options.set, f"angle={angle!r}"])
    leads = getattr(system, "leads", None)
    if not hasattr(system, "lead_interfaces") or leads is None or len(leads) != TERMINALS:
        raise InputError(
            f"system={options.system!r} is no finalised Kwant system with {TERMINALS} leads; return "
            "builder.finalized(), as systems/lateral_spin_valve.py"
        )
    return system


def nonlocal_transport(systems, energies, *, comm=None, checkpoint=None, progress=None):
    """Resistances and currents of the systems (state -> finalised system) at the energies (eV).

    Returns
    -------
    Dataset
        dims energy, state, target, source, spin_in, spin_out. `nonlocal_resistance` (V_2 - V_3)/I in Ohm;
        `spin_signal` R_P - R_AP; `spin_current` into lead 3, (I_up - I_down)/I along z; `charge_current` into lead 3 in
        the same unit, zero but for rounding; `transmission` between all leads.
    """
    import numpy as np
    import xarray as xr

    from qtorque import parallel
    from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN

    def one(energy):
        return np.array([transmissions(system, energy) for system in systems.values()])

    T = np.array(parallel.map_chunks(one, energies, comm, checkpoint, progress))
    shape = T.shape[:2]
    R, spin, charge = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for place in np.ndindex(shape):
        V = potentials(T[place], INJECTOR, DRAIN)
        up, down = spin_current(T[place], V, REFERENCE)
        R[place], spin[place], charge[place] = V[DETECTOR] - V[REFERENCE], up - down, up + down
    R /= CONDUCTANCE_QUANTUM_PER_SPIN
    states, plane = list(systems), ("energy", "state")
    signal = R[:, states.index("parallel")] - R[:, states.index("antiparallel")]
    variables = {
        "nonlocal_resistance": (plane, R, "Ohm", "non-local resistance (V_2 - V_3)/I"),
        "spin_signal": (("energy",), signal, "Ohm", "spin signal, parallel less antiparallel"),
        "spin_current": (plane, spin, "1", "pure spin current into lead 3 along z, (I_up - I_down)/I"),
        "charge_current": (plane, charge, "1", "charge current into lead 3, I_3/I"),
        "transmission": (
            (*plane, "target", "source", "spin_in", "spin_out"), T, "1", "transmission between leads, summed over modes"
        ),
    }  # fmt: skip
    return xr.Dataset(
        {name: (dims, data, {"units": u, "long_name": text}) for name, (dims, data, u, text) in variables.items()},
        coords={
            "energy": ("energy", energies, {"units": "eV", "long_name": "energy"}),
            "state": states,
            "target": range(TERMINALS),
            "source": range(TERMINALS),
            "spin_in": ["up", "down"],
            "spin_out": ["up", "down"],
        },
    )


def table(d):
    """The lines of a table, and the means over the energies."""
    lines = [f"{'E (eV)':>10}{'R_P (Ohm)':>14}{'R_AP (Ohm)':>14}{'R_P - R_AP':>14}{'I_s,z/I (P)':>14}"]
    row = ("{:14.4f}" * 4).format
    numbers = [*d["nonlocal_resistance"].transpose("state", "energy").values, d["spin_signal"].values]
    numbers.append(d["spin_current"].sel(state="parallel").values)
    lines += [f"{e:10.4f}" + row(*values) for e, *values in zip(d["energy"].values, *numbers, strict=True)]
    lines.append(f"{'mean':>10}" + row(*(values.mean() for values in numbers)))
    return [*lines, f"charge current into lead 3: {float(abs(d['charge_current']).max()):.2g} of the injected current"]


def run(options, comm):
    from qtorque import plot, store

    begin = time.monotonic()
    systems = {state: load(options, angle) for state, angle in STATES.items()}
    configuration = _stages.configuration(options)
    force = command_line.may_replace(options, configuration)
    data, picture = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            seconds = _stages.seconds_of(lambda: nonlocal_transport(systems, options.energy[:1]))
            seconds *= len(options.energy)
            sites = len(systems["parallel"].sites)
            work = f"scattering: {len(options.energy)} energies x 2 states of {sites} sites"
            _stages.report_dry_run([(f"{work}, about {seconds:.3g} s on one core", seconds)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        d = nonlocal_transport(
            systems, options.energy, comm=comm, checkpoint=checkpoint.part("energies"),
            progress=_stages.label(options, "energies"),
        )  # fmt: skip
        if _stages.is_root(comm):
            origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
            store.save_dataset(d, data, force=force, provenance=origin)
            plot.save_figure(plot.nonlocal_resistance(d), picture, force)
            print(*table(d), _stages.written([data, picture]), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/lateral_spin_valve.py", output="results/lateral")
    parser.add_argument(
        "--energy", type=command_line.grid, default="-0.3:0.3:31", help="eV, start:stop:count; default -0.3:0.3:31"
    )
    command_line.main(run, parser)
