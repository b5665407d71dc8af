"""Intrinsic spin Hall conductivity of a metal by Kubo's formula, and the spin Hall angle it makes.

    python drivers/spin_hall_conductivity.py Pt --xi-d 0.57 -o results/pt
    python drivers/spin_hall_conductivity.py all --tolerance 0.03 -o results/metals
    mpiexec -n 4 python -m mpi4py drivers/spin_hall_conductivity.py Pt --window=-4:4:81 --mesh 48 ...

Metals are those of `python -m qtorque materials`, with the spin-orbit coupling of the parameter file unless --xi-d or
--xi-p is given; `all` stands for every non-magnetic one that has such. The Fermi energy is found anew with spin-orbit
coupling. Prints for each sigma_SH = (1/6) sum epsilon_sij sigma^s_ij, how far the tensor is from that of a cubic
crystal, and (2e/hbar) rho sigma_SH for --resistivity. --window adds a sweep of the Fermi energy around its own value.
Writes PREFIX_spin_hall_conductivity.nc, and with --window PREFIX_spin_hall_conductivity.png.
"""

import time
from pathlib import Path

import _stages

from qtorque import command_line

DATA, FIGURE = "_spin_hall_conductivity.nc", "_spin_hall_conductivity.png"
ALL = "all"
SAMPLE_MESH = 8
"""Points a side of the mesh that a dry run sums over."""
REFINED_POINTS = 3e3
"""Momenta of a refined sum times its tolerance, about: from Pt at 300 K."""


def metals(options):
    """The materials of the options; InputError for what they have not."""
    import qtorque as qt
    from qtorque.materials import material_names, read_parameters

    xi = {shell: value for shell, value in (("p", options.xi_p), ("d", options.xi_d)) if value is not None}
    if options.metal == ALL:
        if xi:
            raise qt.InputError("--xi-d and --xi-p go with one metal; leave them out beside 'all'")
        known = [read_parameters(name, options.file) for name in material_names(options.file)]
        names = [p.name for p in known if p.spin_orbit and not p.splitting]
    else:
        names = [options.metal]
    made = []
    for name in names:
        facet = options.facet or read_parameters(name, options.file).facets[0]
        made.append(qt.slater_koster(name, facet=facet, spin_orbit=xi or True, file=options.file))
    return made


def conductivities(materials, options, comm, checkpoint):
    """The Dataset of every metal at its Fermi energy, over material, and the sweep of --window, None without."""
    import numpy as np
    import xarray as xr

    import qtorque as qt

    def at(material, energy):
        return qt.spin_hall_conductivity(
            material, energy=energy, temperature=options.temperature, tolerance=options.tolerance, mesh=options.mesh,
            comm=comm, checkpoint=checkpoint, progress=_stages.label(options, material.name),
        )  # fmt: skip

    found, sweep = [], None
    for material in materials:
        fermi_energy = qt.fermi_energy(material)
        window = [] if options.window is None else [fermi_energy + x for x in options.window]
        d = at(material, [fermi_energy, *window])
        symmetry = qt.spin_hall_symmetry(d)
        d["isotropic"], d["residual"] = symmetry["isotropic"], symmetry["residual"]
        if window:
            sweep = d.isel(energy=slice(1, None)).sortby("energy").assign_attrs(fermi_energy=fermi_energy)
        own = d.isel(energy=0).reset_coords("energy").rename(energy="fermi_energy")
        if "k_error" not in own:
            unknown = {"units": "(hbar/e) S/cm", "long_name": "estimated error of the sum over k, not known of a mesh"}
            own["k_error"] = ((), np.nan, unknown)
        found.append(own.assign_coords(material=material.name))
    together = xr.concat(found, "material", combine_attrs="drop_conflicts")
    together["material"].attrs = {"units": "1", "long_name": "metal and facet"}
    return together, sweep


def table(d, resistivity):
    """Lines: one for each metal."""
    lines = ["metal        E_F (eV)   sigma_SH ((hbar/e) S/cm)   error   deviation   (2e/hbar) rho sigma_SH"]
    for i in range(d.sizes["material"]):
        at = d.isel(material=i)
        sigma = float(at["isotropic"])
        lines.append(
            f"{str(at['material'].values):<11}{float(at['fermi_energy']):10.4f}   {sigma:24.1f}   "
            f"{float(at['k_error']):5.1f}   {float(at['residual']):9.2g}   {200 * sigma * resistivity:22.4f}"
        )
    return lines


def estimate(materials, options):
    """One line about the work, and its seconds on one core."""
    import qtorque as qt
    from qtorque.spin_hall import TOLERANCE

    count = 1 + (0 if options.window is None else len(options.window))
    seconds = _stages.seconds_of(
        lambda: qt.spin_hall_conductivity(materials[0], energy=[0.0] * count, temperature=300.0, mesh=SAMPLE_MESH)
    )
    each = seconds / (SAMPLE_MESH**3 / 2)
    points = options.mesh**3 / 2 if options.mesh is not None else REFINED_POINTS / (options.tolerance or TOLERANCE)
    work = f"spin Hall: {len(materials)} metals x about {points:.3g} momenta, {1e6 * each:.3g} us each on one core"
    return work, len(materials) * points * each


def run(options, comm):
    from qtorque import plot, store

    begin = time.monotonic()
    check(options)
    known = _stages.configuration(options)
    if options.file:
        known["file_source"] = Path(options.file).read_text(encoding="utf-8")
    force = command_line.may_replace(options, known)
    endings = [DATA] if options.window is None else [DATA, FIGURE]
    paths = command_line.output_files(options.output, endings, force)
    materials = metals(options)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([estimate(materials, options)], comm)
        return
    with command_line.resumable(options, known, comm) as checkpoint:
        d, sweep = conductivities(materials, options, comm, checkpoint)
        if _stages.is_root(comm):
            origin = store.provenance(known, comm, None, options.temperature, time.monotonic() - begin)
            if sweep is not None:
                d = d.merge(sweep.rename({name: f"{name}_sweep" for name in sweep.data_vars}), combine_attrs="override")
                plot.save_figure(plot.spin_hall_versus_energy(sweep), paths[1], force)
            store.save_dataset(d, paths[0], force=force, provenance=origin)
            print(*table(d, options.resistivity), _stages.written(paths), sep="\n")


def check(options):
    """InputError for what would be refused after the Fermi energies are found."""
    from qtorque.errors import InputError
    from qtorque.materials import material_names

    if options.file:
        material_names(options.file)
    if options.mesh is not None and options.tolerance is not None:
        raise InputError(f"--mesh {options.mesh} and --tolerance {options.tolerance:g} are both given; leave one out")
    if options.mesh is not None and options.mesh < 1:
        raise InputError(f"--mesh {options.mesh} is not a number of points; give a positive integer")
    if options.tolerance is not None and not 0 < options.tolerance < 1:
        raise InputError(f"--tolerance {options.tolerance:g} must lie between 0 and 1")
    if options.temperature < 0:
        raise InputError(f"--temperature {options.temperature:g} is negative; give zero or more, in K")
    if options.window is not None and options.metal == ALL:
        raise InputError("--window goes with one metal; leave it out beside 'all'")
    if options.facet is not None and options.metal == ALL:
        raise InputError(f"--facet {options.facet} goes with one metal: not all have it; leave it out beside 'all'")
    if options.resistivity <= 0:
        raise InputError(f"--resistivity {options.resistivity:g} must be positive, in Ohm m")


if __name__ == "__main__":
    number = command_line.number
    parser = command_line.parser(__doc__, output="results/metal")
    parser.add_argument("metal", nargs="?", default="Pt", help="name of a metal, or all; default Pt")
    parser.add_argument("--file", help="a parameter file of your own (TOML), looked at before the package's")
    parser.add_argument("--facet", help="whose lab frame the components are in; default the first of the structure")
    parser.add_argument("--xi-d", type=number, help="spin-orbit coupling of d, eV; default that of the file")
    parser.add_argument("--xi-p", type=number, help="spin-orbit coupling of p, eV; default that of the file")
    parser.add_argument("--temperature", type=number, default=300.0, help="K, of the occupations; default 300")
    parser.add_argument("--tolerance", type=number, help="of the sum over k, relative; default 0.01")
    parser.add_argument("--mesh", type=int, help="N x N x N midpoints in place of a tolerance", metavar="N")
    parser.add_argument(
        "--window", type=command_line.grid, help="eV, around the Fermi energy, start:stop:count; one metal"
    )
    parser.add_argument("--resistivity", type=number, default=2e-7, help="Ohm m, for the angle; default 2e-7")
    command_line.main(run, parser)
