"""Spin-mixing and interface conductances of a normal metal against a ferromagnet.

    python drivers/interface.py systems/nf_interface.py --set onsite_down=4.5 --kmesh 200 -o results/nf
    mpiexec -n 4 python -m mpi4py drivers/interface.py ...

Writes PREFIX_interface.nc (k-resolved mixing conductance, k-averaged conductances) and PREFIX_interface.png, and prints
a table in e^2/h per cell and in 1e15 Ohm^-1 m^-2, as scattering gives them and corrected for the Sharvin resistance of
the leads (Schep).
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


def observe(s, lead):
    """Of a `qtorque.Scattering`: mixing conductance over k, conductance of each spin, open channels of both leads."""
    import xarray as xr

    import qtorque as qt

    other = LEADS[1 - LEADS.index(lead)]
    with xr.set_options(keep_attrs=True):
        conductance = qt.conductance(s, source=lead, target=other).sum("spin_in").rename(spin_out="spin")
    channels = [qt.sharvin_conductance(s, side) for side in (lead, other)]
    return qt.mixing_conductance(s, lead=lead), (conductance, *channels)


def interface_conductances(system, mesh, *, energy=0.0, lead="left", comm=None, progress=None):
    """All conductances of an interface.

    Parameters
    ----------
    system
        A stack with a normal lead.
    mesh
        A `qtorque.kmesh`.
    energy
        eV.
    lead
        "left" or "right": the normal one, from which the electrons come.

    Returns
    -------
    Dataset
        In e^2/h per cell: mixing_conductance (k) and its mean g_mix; conductance (spin), the spin counted along the
        magnetization of the other lead; sharvin (side, spin); with _corrected what is left after Schep's correction,
        not a number for a spin that conducts nothing. And the polarization of the conductance.
    """
    import xarray as xr

    import qtorque as qt
    from qtorque.parallel import sum_in_order

    at_lead = functools.partial(observe, lead=lead)
    parts = _stages.over_k(at_lead, system, mesh, energy=energy, comm=comm, progress=progress)
    mixing = xr.concat([over_k for over_k, _ in parts], "k")
    conductance, normal, other = sum_in_order([means for _, means in parts])
    g_mix = qt.k_average(mixing)
    conducting = conductance > 0
    d = xr.Dataset(
        {
            "mixing_conductance": mixing,
            "g_mix": g_mix,
            "g_mix_corrected": qt.schep_corrected(g_mix, normal.mean("spin")),
            "conductance": conductance,
            "conductance_corrected": qt.schep_corrected(
                conductance.where(conducting), normal.where(conducting), other.where(conducting)
            ),
            "sharvin": xr.concat([normal, other], "side").assign_coords(side=["normal", "other"]),
        }
    )
    for name, text in LONG_NAMES.items():
        d[name].attrs = {"units": "e^2/h per cell", "long_name": text}
    d["polarization"] = (conductance.sel(spin="up") - conductance.sel(spin="down")) / conductance.sum("spin")
    d["polarization"].attrs = {"units": "1", "long_name": "(G_up - G_down)/(G_up + G_down)"}
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
    return [*lines, f"polarization (G up - G down)/(G up + G down) = {float(d['polarization']):.6f}"]


def estimate(system, mesh, energy, lead, comm):
    """Print the size of the work, with a time measured on a few momenta."""
    sample = _stages.sample(mesh)
    seconds = _stages.seconds_of(
        lambda: _stages.over_k(functools.partial(observe, lead=lead), system, sample, energy=energy)
    )
    seconds *= mesh.size / sample.size
    _stages.report_dry_run([f"scattering: {mesh.size} k-points, about {seconds:.3g} s on one core"], seconds, comm)


def run(options, comm):
    import qtorque as qt
    from qtorque import plot, store
    from qtorque.bloch import as_layered
    from qtorque.scattering import require_open_leads

    begin = time.monotonic()
    system = as_layered(command_line.load_system(options.system, options.set))
    mesh = qt.kmesh(options.kmesh)
    require_open_leads(system.chain(), mesh, options.energy)
    data, picture = command_line.output_files(options.output, ENDINGS, options.force)
    if options.dry_run:
        if _stages.is_root(comm):
            estimate(system, mesh, options.energy, options.lead, comm)
        return
    progress = _stages.label(options, "scattering")
    d = interface_conductances(system, mesh, energy=options.energy, lead=options.lead, comm=comm, progress=progress)
    if _stages.is_root(comm):
        command_line.make_folder(options.output)
        origin = store.provenance(_stages.configuration(options), comm, wall_time=time.monotonic() - begin)
        store.save_dataset(d, data, force=options.force, provenance=origin)
        plot.save_figure(plot.mixing_conductance_map(d["mixing_conductance"], mesh), picture, options.force)
        print(*table(d, system.area), _stages.written([data, picture]), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/nf_interface.py", output="results/nf")
    _stages.add_mesh(parser)
    parser.add_argument("--energy", type=command_line.number, default=0.0, help="eV; default 0, the Fermi energy")
    parser.add_argument("--lead", choices=LEADS, default="left", help="the normal lead; default left")
    command_line.main(run, parser)
