"""Spin-mixing and interface conductances of a normal metal against a ferromagnet.

    python drivers/interface.py systems/nf_interface.py --set onsite_down=4.5 --kmesh 200 -o results/nf
    mpiexec -n 4 python -m mpi4py drivers/interface.py ...

Writes PREFIX_interface.nc (k-resolved mixing conductance, k-averaged conductances) and PREFIX_interface.png, and prints
a table in e^2/h per cell and in 1e15 Ohm^-1 m^-2, as scattering gives them and corrected for the Sharvin resistance of
the leads (Schep); and AR* and gamma of the corrected interface, r_up,down = 2 AR* (1 -+ gamma), as drift-diffusion
takes them.
"""

import functools
import time

import _stages

from qtorque import command_line

ENDINGS = ("_interface.nc", "_interface.png")
LEADS = ("left", "right")
LONG_NAMES = {
    "mixing_conductance": "spin-mixing conductance at each k",
    "g_mix": "spin-mixing conductance",
    "g_mix_corrected": "spin-mixing conductance, Sharvin-corrected",
    "conductance": "interface conductance",
    "conductance_corrected": "interface conductance, Sharvin-corrected",
    "sharvin": "Sharvin conductance of the leads",
}


def observe(k, system, energy, lead):
    """At some momenta: mixing conductance over k; sums over these k of the conductances and the open channels."""
    import xarray as xr

    import qtorque as qt

    other = LEADS[1 - LEADS.index(lead)]
    s = qt.solve(system, energy=energy, kmesh=k)
    mixing = qt.mixing_conductance(s, lead=lead)
    with xr.set_options(keep_attrs=True):
        conductance = qt.conductance(s, source=lead, target=other).sum("spin_in", skipna=False).rename(spin_out="spin")
    sums = {
        "g_mix": qt.k_average(mixing),
        "conductance": conductance,
        "normal": qt.sharvin_conductance(s, lead),
        "other": qt.sharvin_conductance(s, other),
        "shifted_weight": _stages.shifted_weight(s),
    }
    return _with_units(mixing.to_dataset()), xr.Dataset(sums)


def complete(sums, area):
    """All conductances of an interface that are means over k, from their sums; `area` of the in-plane cell in nm^2.

    Returns
    -------
    Dataset
        In e^2/h per cell: g_mix, the mean mixing conductance; conductance (spin), the spin counted along the
        magnetization of the other lead; sharvin (side, spin); with _corrected what is left after Schep's correction,
        not a number for a spin that conducts nothing. The polarization of the conductance; AR_star (Ohm m^2) and gamma
        of the corrected conductances.
    """
    import xarray as xr

    import qtorque as qt

    conductance, normal, other = (sums[name] for name in ("conductance", "normal", "other"))
    conducting = conductance > 0
    d = xr.Dataset(
        {
            "g_mix": sums["g_mix"],
            "g_mix_corrected": qt.schep_corrected(sums["g_mix"], normal.mean("spin")),
            "conductance": conductance,
            "conductance_corrected": qt.schep_corrected(
                conductance.where(conducting), normal.where(conducting), other.where(conducting)
            ),
            "sharvin": xr.concat([normal, other], "side").assign_coords(side=["normal", "other"]),
        }
    )
    d["polarization"] = (conductance.sel(spin="up") - conductance.sel(spin="down")) / conductance.sum(
        "spin", skipna=False
    )
    d["polarization"].attrs = {"units": "1", "long_name": "(G_up - G_down)/(G_up + G_down)"}
    interface = _interface(sums, area)
    d["AR_star"] = ((), interface.AR_star, {"units": "Ohm m^2", "long_name": "AR* = (r_up + r_down)/4, corrected"})
    d["gamma"] = ((), interface.gamma, {"units": "1", "long_name": "gamma of r_up,down = 2 AR* (1 -+ gamma)"})
    return _with_units(d).assign_attrs(shifted_weight=float(sums["shifted_weight"]))


def _interface(sums, area):
    """The corrected `qtorque.InterfaceParameters`, named as if the normal lead were the left one, of one side only."""
    import qtorque as qt

    G, normal, other = (sums[name].values.tolist() for name in ("conductance", "normal", "other"))
    scattering = qt.InterfaceParameters(
        conductance_up=G[0],
        conductance_down=G[1],
        mixing_conductance=complex(sums["g_mix"]),
        sharvin_left=normal,
        sharvin_right=other,
        normal_leads=("left",),
        area=area,
        sharvin_corrected=False,
    )
    return qt.without_sharvin_resistance(scattering)


def _with_units(d):
    for name, text in LONG_NAMES.items():
        if name in d:
            d[name].attrs = {"units": "e^2/h per cell", "long_name": text}
    return d


def table(d, area):
    """The lines of a table of the results; `area` of the in-plane cell in nm^2."""
    from qtorque.units import conductance_per_area

    def row(name, *values):
        cells = [f"{value:16.6f}{conductance_per_area(value, area) / 1e15:17.6f}" for value in values]
        return f"{name:<12}" + "".join(cells)

    g, corrected = complex(d["g_mix"]), complex(d["g_mix_corrected"])
    lines = [
        " " * 12 + f"{'scattering':>33}{'Sharvin-corrected':>33}",
        " " * 12 + 2 * f"{'e^2/h per cell':>16}{'1e15 /(Ohm m^2)':>17}",
        row("Re g_mix", g.real, corrected.real),
        row("Im g_mix", g.imag, corrected.imag),
    ]
    for spin in ("up", "down"):
        at = d.sel(spin=spin)
        lines += [row(f"G {spin}", float(at["conductance"]), float(at["conductance_corrected"]))]
    lines += ["Sharvin conductance of the normal and the other lead"]
    for side in ("normal", "other"):
        lines += [row(f"{side} {spin}", float(d["sharvin"].sel(side=side, spin=spin))) for spin in ("up", "down")]
    lines += [f"polarization (G up - G down)/(G up + G down) = {float(d['polarization']):.6f}"]
    resistance = f"AR* = {float(d['AR_star']) * 1e15:.6f} fOhm m^2"
    return [*lines, f"Sharvin-corrected resistance {resistance}, gamma = {float(d['gamma']):.6f}"]


def run(options, comm):
    import qtorque as qt
    from qtorque import plot, store
    from qtorque.bloch import as_layered
    from qtorque.scattering import require_open_leads

    begin = time.monotonic()
    system = as_layered(command_line.load_system(options.system, options.set))
    mesh = qt.kmesh(options.kmesh)
    require_open_leads(system.chain(), mesh, options.energy)
    at = functools.partial(observe, system=system, energy=options.energy, lead=options.lead)
    finish = functools.partial(complete, area=system.area)
    configuration = _stages.configuration(options)
    force = command_line.may_replace(options, configuration)
    data, picture = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([_stages.k_resolved_estimate(at, mesh)], comm)
        return

    def origin():
        return store.provenance(configuration, comm, wall_time=time.monotonic() - begin)

    progress = _stages.label(options, "scattering")
    with command_line.resumable(options, configuration, comm) as checkpoint:
        part = checkpoint.part("scattering")
        found = _stages.solve_over_k(
            at, finish, mesh, data, origin, force=force, comm=comm, checkpoint=part, progress=progress
        )
        if _stages.is_root(comm):
            figure = plot.mixing_conductance_map(found.picture["mixing_conductance"], found.mesh)
            plot.save_figure(figure, picture, force)
    weight = found.complete.attrs["shifted_weight"]
    if _stages.is_root(comm):
        lines = [*table(found.complete, system.area), *_stages.shifted_report(weight)]
        print(*lines, _stages.written([data, picture]), sep="\n")
    _stages.end_for_shifted(weight, comm)


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/nf_interface.py", output="results/nf")
    _stages.add_mesh(parser)
    parser.add_argument("--energy", type=command_line.number, default=0.0, help="eV; default 0, the Fermi energy")
    parser.add_argument("--lead", choices=LEADS, default="left", help="the normal lead; default left")
    command_line.main(run, parser)
