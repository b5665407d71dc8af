"""Bulk checks of a Slater-Koster metal: bands, density of states, Fermi energy, moment, Sharvin conductance.

    python drivers/bulk.py Co --facet 111 -o results/co
    python drivers/bulk.py Pt --spin-orbit --plane 0,0,1 -o results/pt
    python drivers/bulk.py Fe --lattice-constant 0.29 -o results/fe_strained
    mpiexec -n 4 python -m mpi4py drivers/bulk.py ...

Prints what the bands give beside what the parameter file states: E_F (0 in both), the moment, the density of states at
E_F, and the Sharvin conductance per spin of every facet, that of the paramagnetic bands too, which is what the file
states. Writes PREFIX_bands, PREFIX_states (with all numbers of the table) and PREFIX_fermi_surface, each as .nc, .png.
"""

import time
from pathlib import Path

import _stages

from qtorque import command_line

ENDINGS = tuple(
    f"_{name}.{kind}" for name in ("bands", "states", "fermi_surface") for kind in ("nc", "png")
)  # fmt: skip
SYMMETRY = {
    ("fcc", "111"): "hexagonal", ("fcc", "001"): "square", ("fcc", "110"): "rectangular",
    ("bcc", "001"): "square", ("bcc", "110"): "rhombic", ("rocksalt", "001"): "square",
}  # fmt: skip
"""Of the bands of a facet seen along its normal."""
FEWEST = 2
"""Momenta along each direction with which input is checked."""


def metal(options, facet, magnetic):
    """The material of the options cut along a facet."""
    import qtorque as qt

    given = {"facet": facet, "spin_orbit": options.spin_orbit, "file": options.file}
    found = qt.slater_koster(options.material, magnetic=magnetic, **given)
    return found if options.lattice_constant is None else qt.strained(found, options.lattice_constant)


def kinds(parameters):
    """Which bands there are: with exchange splitting, and without, as in the Sharvin conductances of the file."""
    return (True, False) if parameters.splitting else (False,)


def mesh_of(options, structure, facet):
    """The mesh of a facet; spin-orbit coupling leaves k and -k."""
    import qtorque as qt

    return qt.kmesh(options.kmesh, symmetry="inversion" if options.spin_orbit else SYMMETRY[structure, facet])


def sharvin_per_spin(task):
    """Sharvin conductance of up and down, 1/(Ohm m^2); with spin-orbit coupling half of that of both."""
    import numpy as np

    import qtorque as qt

    material, mesh = task
    found = qt.bulk_sharvin_conductance(material, kmesh=mesh)["conductance"]
    return found.values if found.dims else np.full(2, 0.5 * float(found))


def numbers(material, options):
    """E_F, moment, and density of states at E_F of both spins."""
    import qtorque as qt

    states = qt.bulk_density_of_states(material, [0.0], mesh=options.mesh)
    per_spin = states["density_of_states"].isel(energy=0, drop=True)
    return {
        "fermi_energy": (
            (), qt.fermi_energy(material, mesh=options.mesh), {"units": "eV", "long_name": "Fermi energy"}
        ),
        "moment": (
            (), qt.magnetic_moment(material, mesh=options.mesh),
            {"units": "Bohr magneton", "long_name": "spin moment per cell"},
        ),
        "states_at_fermi_level": (
            "spin", per_spin.values, {"units": "1/eV", "long_name": "density of states per cell at E = 0"}
        ),
    }  # fmt: skip


def table(d, parameters):
    """The lines of the table; `d` holds what `numbers` and `sharvin_per_spin` found."""
    up, down = d["states_at_fermi_level"].values
    lines = [
        f"{parameters.label}, trust: {parameters.trust}",
        f"source               {parameters.source}",
        f"{'':30}{'bands':>12}{'file':>12}",
        f"{'E_F (eV)':30}{float(d['fermi_energy']):12.4f}{0.0:12.4f}",
        f"{'moment (Bohr magnetons)':30}{float(d['moment']):12.4f}{parameters.moment:12.4f}",
        f"{'DOS(E_F) up, down (1/eV)':30}{up:12.4f}{down:12.4f}",
        f"{'Sharvin (1e15/(Ohm m^2))':30}{'up':>12}{'down':>12}{'paramagnet':>12}{'file':>12}",
    ]
    for facet in d["facet"].values:
        up, down, bare = (float(d[name].sel(facet=facet)) / 1e15 for name in ("sharvin_up", "sharvin_down", "sharvin"))
        stated = f"{parameters.sharvin[facet]:12.4f}" if facet in parameters.sharvin else f"{'':>12}"
        lines.append(f"{f'  ({facet})':30}{up:12.4f}{down:12.4f}{bare:12.4f}{stated}")
    return lines


def run(options, comm):
    import numpy as np

    import qtorque as qt
    from qtorque import parallel, plot, store
    from qtorque.materials import read_parameters

    begin = time.monotonic()
    parameters = read_parameters(options.material, options.file)
    facet = options.facet or parameters.facets[0]
    material = metal(options, facet, True)
    qt.fermi_surface_cut(material, normal=options.plane, points=FEWEST)
    qt.bulk_density_of_states(material, options.energies, mesh=min(options.mesh, FEWEST))
    qt.bands(material, options.path, points=options.points)
    tasks = [
        (metal(options, each, magnetic), mesh_of(options, parameters.structure, each))
        for each in parameters.facets
        for magnetic in kinds(parameters)
    ]
    configuration = _stages.configuration(options)
    if options.file:
        configuration["file_source"] = Path(options.file).read_text(encoding="utf-8")
    force = command_line.may_replace(options, configuration)
    paths = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            seconds = _stages.seconds_of(lambda: sharvin_per_spin((material, _stages.sample(tasks[0][1]))))
            seconds *= sum(mesh.size for _, mesh in tasks) / min(_stages.SAMPLE_POINTS, tasks[0][1].size)
            work = f"Sharvin conductances: {len(tasks)} of {options.kmesh} x {options.kmesh} k-points"
            _stages.report_dry_run([(work, seconds)], comm)
        return
    progress = _stages.label(options, "Sharvin conductances")
    with command_line.resumable(options, configuration, comm) as checkpoint:
        found = parallel.map_chunks(sharvin_per_spin, tasks, comm, checkpoint.part("sharvin"), progress)
        if not _stages.is_root(comm):
            return
        # A few seconds on one rank.
        of_facet = np.array(found).reshape(len(parameters.facets), -1, 2)
        units = {"units": "1/(Ohm m^2)"}
        states = qt.bulk_density_of_states(material, options.energies, mesh=options.mesh).assign(
            numbers(material, options)
            | {
                "sharvin_up": ("facet", of_facet[:, 0, 0], units | {"long_name": "Sharvin conductance, up"}),
                "sharvin_down": ("facet", of_facet[:, 0, 1], units | {"long_name": "Sharvin conductance, down"}),
                "sharvin": (
                    "facet", of_facet[:, -1].mean(axis=-1), units | {"long_name": "Sharvin conductance, paramagnetic"}
                ),
            }
        )  # fmt: skip
        states = states.assign_coords(facet=list(parameters.facets))
        bands = qt.bands(material, options.path, points=options.points)
        cut = qt.fermi_surface_cut(material, normal=options.plane)
        results = [
            (bands, plot.band_structure(bands)),
            (states, plot.density_of_states(states)),
            (cut, plot.fermi_surface(cut)),
        ]
        origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
        for (data, figure), file, picture in zip(results, paths[::2], paths[1::2], strict=True):
            store.save_dataset(data, file, force=force, provenance=origin)
            plot.save_figure(figure, picture, force)
    print(*table(states, parameters), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, output="results/bulk")
    number, grid = command_line.number, command_line.grid
    parser.add_argument("material", nargs="?", default="Co", help="name in the parameter file; default Co")
    parser.add_argument("--file", help="a parameter file of your own (TOML), looked at before the package's")
    parser.add_argument("--facet", help="of the bands and the density of states; default the first of the structure")
    parser.add_argument("--spin-orbit", action="store_true", help="with the spin-orbit coupling of the file")
    parser.add_argument("--lattice-constant", type=number, help="nm; default that of the file")
    parser.add_argument("--path", help="through the zone, such as G-X-W-L-G-K; default through all symmetry points")
    parser.add_argument("--points", type=int, default=300, help="momenta on the path; default 300")
    parser.add_argument("--energies", type=grid, default="-10:5:1501", help="eV; default -10:5:1501")
    parser.add_argument("--plane", type=grid, default="0,0,1", help="normal of the Fermi-surface cut; default 0,0,1")
    parser.add_argument("--mesh", type=int, default=48, help="points along each reciprocal vector; default 48")
    parser.add_argument(
        "--kmesh", type=int, default=128, help="in-plane momenta of the Sharvin conductance: N x N; default 128"
    )
    command_line.main(run, parser)
