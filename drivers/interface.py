"""Spin-mixing and interface conductances of a normal metal against a ferromagnet.

    python drivers/interface.py systems/nf_interface.py --set onsite_down=4.5 --kmesh 200 -o results/nf
    mpiexec -n 4 python -m mpi4py drivers/interface.py ...

Writes PREFIX_interface.nc (k-resolved mixing conductance, k-averaged conductances) and PREFIX_interface.png, and prints
a table in e^2/h per cell and in 1e15 Ohm^-1 m^-2, as scattering gives them and corrected for the Sharvin resistance of
the leads (Schep); and AR* and gamma of the corrected interface, r_up,down = 2 AR* (1 -+ gamma), as drift-diffusion
takes them. A slab between two normal leads is corrected with its transmitted mixing conductances. Up is the majority
of the magnet. What is no interface of one magnet (`qtorque.interface_parameters`) is corrected spin by spin, the spins
counted along the leads, and has no AR* and gamma. Where spin-orbit coupling flips spins there is no correction either.
Leads need channels of one spin each: no spin-orbit coupling in their materials.
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


def of_one_magnet(system, energy, mesh, lead):
    """`qtorque.InterfaceParameters` of a few momenta, uncorrected; None where the system has none, and why.

    Refuses leads that no conductance of one spin or no mixing conductance can be had of.
    """
    import qtorque as qt

    few = qt.solve(system, energy=energy, kmesh=_stages.sample(mesh))
    for side, conserved in zip(LEADS, few.lead_spin_conserved, strict=True):
        if not conserved:
            raise qt.InputError(
                f"the {side} lead conserves no spin, and interface conductances are of one spin each; leave spin_orbit "
                "out of the lead's material (layers may have it)"
            )
    qt.mixing_conductance(few, lead=lead)
    try:
        return qt.interface_parameters(few, sharvin_corrected=False), ""
    except qt.InputError as refused:
        return None, str(refused)


def observe(k, system, energy, lead, one_magnet):
    """At some momenta: mixing conductance over k; sums over these k of all that `complete` takes."""
    import xarray as xr

    import qtorque as qt

    s = qt.solve(system, energy=energy, kmesh=k)
    mixing = qt.mixing_conductance(s, lead=lead)
    shifted = {"shifted_weight": _stages.shifted_weight(s)}
    if one_magnet:
        sums = qt.interface_parameters(s, sharvin_corrected=False).to_dataset().assign(shifted)
        return _with_units(mixing.to_dataset()), sums
    other = LEADS[1 - LEADS.index(lead)]
    with xr.set_options(keep_attrs=True):
        conductance = qt.conductance(s, source=lead, target=other).sum("spin_in", skipna=False).rename(spin_out="spin")
    sums = {
        "g_mix": qt.k_average(mixing),
        "conductance": conductance,
        "normal": qt.sharvin_conductance(s, lead),
        "other": qt.sharvin_conductance(s, other),
    }
    return _with_units(mixing.to_dataset()), xr.Dataset(sums | shifted)


def complete(sums, lead, few, why, flips):
    """All conductances of an interface that are means over k, from their sums.

    Parameters
    ----------
    sums
        Of `observe`.
    lead
        The normal lead of the mixing conductance.
    few, why
        Of `of_one_magnet`.
    flips
        Whether spin-orbit coupling flips spins where there is no interface of one magnet.

    Returns
    -------
    Dataset
        In e^2/h per cell: g_mix, the mean mixing conductance; conductance (spin), up the majority of the one magnet,
        else counted along the other lead; sharvin (side, spin); with _corrected what is left after Schep's correction,
        left out where spins flip. The polarization of the conductance. AR_star (Ohm m^2) and gamma of the corrected
        conductances, or why they are left out in the attribute AR_star.
    """
    import qtorque as qt

    shifted = float(sums["shifted_weight"])
    if few is None and flips:
        return _conductances(sums).assign_attrs(AR_star=f"left out: {why}", shifted_weight=shifted)
    if few is None:
        return _spin_by_spin(sums, why).assign_attrs(shifted_weight=shifted)
    found = qt.InterfaceParameters.from_dataset(sums.assign_attrs(few.to_dataset().attrs))
    try:
        corrected = qt.without_sharvin_resistance(found)
    except qt.InputError as refused:
        return _spin_by_spin(_seen_from(found, lead), str(refused)).assign_attrs(shifted_weight=shifted)
    bare = _seen_from(corrected, lead)
    corrections = {"g_mix_corrected": bare["g_mix"], "conductance_corrected": bare["conductance"]}
    d = _conductances(_seen_from(found, lead), corrections)
    d["AR_star"] = ((), corrected.AR_star, {"units": "Ohm m^2", "long_name": "AR* = (r_up + r_down)/4, corrected"})
    d["gamma"] = ((), corrected.gamma, {"units": "1", "long_name": "gamma of r_up,down = 2 AR* (1 -+ gamma)"})
    return d.assign_attrs(shifted_weight=shifted)


def _seen_from(parameters, lead):
    """The conductances that a normal lead sees: g_mix, conductance (spin), channels of it and of the other lead."""
    import xarray as xr

    p, spin = parameters, {"spin": ["up", "down"]}
    reflected = p.mixing_conductance if lead == p.normal_leads[0] else p.mixing_conductance_opposite
    other = LEADS[1 - LEADS.index(lead)]
    values = {
        "conductance": (p.conductance_up, p.conductance_down), "normal": p.sharvin(lead), "other": p.sharvin(other),
    }  # fmt: skip
    return xr.Dataset({"g_mix": reflected} | {name: ("spin", [*value]) for name, value in values.items()}, spin)


def _spin_by_spin(sums, why):
    """Conductances corrected as if neither lead passed transverse spin; a spin that conducts nothing stays at zero."""
    import qtorque as qt

    conductance, normal, other = (sums[name] for name in ("conductance", "normal", "other"))
    conducting = conductance > 0
    corrected = qt.schep_corrected(*(x.where(conducting) for x in (conductance, normal, other))).fillna(0)
    g_mix = qt.schep_corrected(sums["g_mix"], normal.mean("spin"))
    d = _conductances(sums, {"g_mix_corrected": g_mix, "conductance_corrected": corrected})
    return d.assign_attrs(AR_star=f"left out: {why}")


def _conductances(sums, corrections=None):
    """What the file holds without k, but for AR* and gamma; no corrected values where there are none."""
    import xarray as xr

    conductance, normal, other = (sums[name] for name in ("conductance", "normal", "other"))
    d = xr.Dataset(
        {
            "g_mix": sums["g_mix"],
            "conductance": conductance,
            **(corrections or {}),
            "sharvin": xr.concat([normal, other], "side").assign_coords(side=["normal", "other"]),
        }
    )
    d["polarization"] = (conductance.sel(spin="up") - conductance.sel(spin="down")) / conductance.sum(
        "spin", skipna=False
    )
    d["polarization"].attrs = {"units": "1", "long_name": "(G_up - G_down)/(G_up + G_down)"}
    return _with_units(d)


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

    columns = {"scattering": "", "Sharvin-corrected": "_corrected"}
    kept = {title: ending for title, ending in columns.items() if f"g_mix{ending}" in d}
    g = [complex(d[f"g_mix{ending}"]) for ending in kept.values()]
    lines = [
        " " * 12 + "".join(f"{title:>33}" for title in kept),
        " " * 12 + len(kept) * f"{'e^2/h per cell':>16}{'1e15 /(Ohm m^2)':>17}",
        row("Re g_mix", *(value.real for value in g)),
        row("Im g_mix", *(value.imag for value in g)),
    ]
    for spin in ("up", "down"):
        at = d.sel(spin=spin)
        lines += [row(f"G {spin}", *(float(at[f"conductance{ending}"]) for ending in kept.values()))]
    lines += ["Sharvin conductance of the normal and the other lead"]
    for side in ("normal", "other"):
        lines += [row(f"{side} {spin}", float(d["sharvin"].sel(side=side, spin=spin))) for spin in ("up", "down")]
    lines += [f"polarization (G up - G down)/(G up + G down) = {float(d['polarization']):.6f}"]
    if "AR_star" not in d:
        lost = "AR* and gamma" if len(kept) > 1 else "AR*, gamma and all that is Sharvin-corrected"
        return [*lines, f"{lost} {d.attrs['AR_star']}"]
    resistance = f"AR* = {float(d['AR_star']) * 1e15:.7g} fOhm m^2"
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
    configuration = _stages.configuration(options)
    force = command_line.may_replace(options, configuration)
    data, picture = command_line.output_files(options.output, ENDINGS, force)
    # A few momenta are solved to see whether there is one magnet: after all that needs no solve has been refused.
    few, why = of_one_magnet(system, options.energy, mesh, options.lead)
    one_magnet, flips = few is not None, any(system.chain().spin_orbit_coupled)
    at = functools.partial(observe, system=system, energy=options.energy, lead=options.lead, one_magnet=one_magnet)
    finish = functools.partial(complete, lead=options.lead, few=few, why=why, flips=flips)
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
