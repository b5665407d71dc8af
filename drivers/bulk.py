"""Bulk checks of a Slater-Koster metal: bands, density of states, Fermi energy, moment, Sharvin conductance.

    python drivers/bulk.py Co --facet 111 -o results/co
    python drivers/bulk.py Pt --spin-orbit --plane 0,0,1 -o results/pt
    python drivers/bulk.py Fe --lattice-constant 0.29 -o results/fe_strained
    mpiexec -n 2 python -m mpi4py drivers/bulk.py all -o results/all

Prints what the bands give beside what the parameter file states: E_F (0 in both), the moment, the density of states at
E_F, and the Sharvin conductance per spin of every facet, that of the paramagnetic bands too, which is what the file
states. With --spin-orbit the Fermi energy is found anew, all is at that energy and relative to it, and a magnet's
channels are those of both spins together. Writes PREFIX_bands, PREFIX_states (with all numbers of the table) and
PREFIX_fermi_surface, each as .nc, .png.

`all` compares E_F, moment and the Sharvin conductance of every facet of every metal with the file: within 0.02 eV, 0.02
Bohr magnetons and 1 %, or the exit code is 4. Writes PREFIX_check.nc.
"""

import time
from pathlib import Path

import _stages

from qtorque import command_line

ENDINGS = tuple(
    f"_{name}.{kind}" for name in ("bands", "states", "fermi_surface") for kind in ("nc", "png")
)  # fmt: skip
CHECK = "_check.nc"
ALL = "all"
FEWEST = 2
"""Momenta along each direction with which input is checked."""
KMESH, KMESH_OF_ALL = 128, 256
"""In-plane momenta along each direction, unless given."""
ENERGY, MOMENT, SHARVIN = 0.02, 0.02, 0.01
"""eV, Bohr magnetons and relative: what the parameter file promises."""
EXIT_OUTSIDE = 4
PLANE = (0.0, 0.0, 1.0)
"""Normal of the cross-section, unless given."""
LEVELS = "levels"
"""The task of Fermi energies and moment, among those that are facets."""
OF_ONE_METAL = ("facet", "path", "plane", "lattice_constant", "spin_orbit")
"""Options that are refused beside `all`."""


def metal(options, name, facet, magnetic):
    """A metal with the options, cut along a facet."""
    import qtorque as qt

    given = {"facet": facet, "spin_orbit": options.spin_orbit, "file": options.file}
    found = qt.slater_koster(name, magnetic=magnetic, **given)
    return found if options.lattice_constant is None else qt.strained(found, options.lattice_constant)


def kinds(parameters):
    """Which bands there are: with exchange splitting, and without, as in the Sharvin conductances of the file."""
    return (True, False) if parameters.splitting else (False,)


def mesh_of(options, structure, facet):
    """The mesh of a facet; spin-orbit coupling leaves k and -k."""
    import qtorque as qt
    from qtorque.metal_interfaces import FACET_SYMMETRY

    return qt.kmesh(options.kmesh, symmetry="inversion" if options.spin_orbit else FACET_SYMMETRY[structure, facet])


def sharvin(task):
    """Sharvin conductances of up, down and both spins together, 1/(Ohm m^2); nan for what spin-orbit coupling mixes."""
    import numpy as np

    import qtorque as qt

    material, mesh = task
    found = qt.bulk_sharvin_conductance(material, kmesh=mesh)["conductance"]
    if found.dims:
        return np.append(found.values, found.sum())
    return np.array([np.nan, np.nan, float(found)])


def at_fermi_energy(options, facets, magnetic):
    """The metal along several facets with E = 0 at its Fermi energy, and that energy, found along the first.

    Without spin-orbit coupling E = 0 is where the file puts it, and the energy found is its error.
    """
    import dataclasses

    import numpy as np

    import qtorque as qt

    made = [metal(options, options.material, facet, magnetic) for facet in facets]
    level = qt.fermi_energy(made[0], mesh=options.mesh)
    if options.spin_orbit:
        made = [dataclasses.replace(m, onsite=m.onsite - level * np.eye(m.orbitals)) for m in made]
    return made, level


def numbers(material, level, options):
    """E_F, moment, and density of states at E_F of both spins."""
    import qtorque as qt

    states = qt.bulk_density_of_states(material, [0.0], mesh=options.mesh)
    per_spin = states["density_of_states"].isel(energy=0, drop=True)
    return {
        "fermi_energy": ((), level, {"units": "eV", "long_name": "Fermi energy on the scale of the library"}),
        "moment": (
            (), qt.magnetic_moment(material, mesh=options.mesh),
            {"units": "Bohr magneton", "long_name": "spin moment per cell"},
        ),
        "states_at_fermi_level": (
            "spin", per_spin.values, {"units": "1/eV", "long_name": "density of states per cell at E = 0"}
        ),
    }  # fmt: skip


def table(d, parameters, options):
    """The lines of the table; `d` holds what `numbers` and `sharvin` found. The file knows the metal as it is only."""
    stated = not options.spin_orbit and options.lattice_constant is None

    def beside(value):
        return f"{value:12.4f}" if stated and value is not None else ""

    up, down = d["states_at_fermi_level"].values
    names = [f"sharvin_{spin}" for spin in ("up", "down", "both") if f"sharvin_{spin}" in d] + ["sharvin"]
    heads = [name.removeprefix("sharvin_").replace("sharvin", "paramagnet") for name in names]
    lines = [
        f"{parameters.label}, trust: {parameters.trust}",
        f"source               {parameters.source}",
        f"{'':30}{'bands':>12}" + ("        file" if stated else ""),
        f"{'E_F (eV)':30}{float(d['fermi_energy']):12.4f}" + beside(0.0),
        f"{'moment (Bohr magnetons)':30}{float(d['moment']):12.4f}" + beside(parameters.moment),
        f"{'DOS(E_F) up, down (1/eV)':30}{up:12.4f}{down:12.4f}",
        f"{'Sharvin (1e15/(Ohm m^2))':30}" + "".join(f"{h:>12}" for h in heads) + ("        file" if stated else ""),
    ]
    for facet in d["facet"].values:
        found = "".join(f"{float(d[name].sel(facet=facet)) / 1e15:12.4f}" for name in names)
        lines.append(f"{f'  ({facet})':30}" + found + beside(parameters.sharvin.get(facet)))
    return lines


def conductances_of(found, coupled):
    """Variables over facet from what `sharvin` found, shape (facet, kind, 3): magnet, if it is one, and paramagnet."""
    units = {"units": "1/(Ohm m^2)"}
    bare = found[:, -1, 2] / 2
    named = {"sharvin": ("facet", bare, units | {"long_name": "Sharvin conductance per spin, paramagnetic"})}
    chosen = ("both",) if coupled else ("up", "down")
    for spin in chosen:
        values = found[:, 0, ("up", "down", "both").index(spin)]
        text = "both spins together" if spin == "both" else spin
        named[f"sharvin_{spin}"] = ("facet", values, units | {"long_name": f"Sharvin conductance, {text}"})
    return named


def run(options, comm):
    if options.kmesh is None:
        options.kmesh = KMESH_OF_ALL if options.material == ALL else KMESH
    (run_all if options.material == ALL else run_one)(options, comm)


def configured(options, endings):
    """Configuration, whether files may be replaced, and their names: what exists is refused before anything else."""
    configuration = _stages.configuration(options)
    if options.file:
        configuration["file_source"] = Path(options.file).read_text(encoding="utf-8")
    force = command_line.may_replace(options, configuration)
    return configuration, force, command_line.output_files(options.output, endings, force)


def run_one(options, comm):
    import numpy as np

    import qtorque as qt
    from qtorque import parallel, plot, store
    from qtorque.errors import whole_number
    from qtorque.fermi_surface import MOST_CUT_POINTS
    from qtorque.materials import read_parameters

    begin = time.monotonic()
    parameters = read_parameters(options.material, options.file)
    configuration, force, paths = configured(options, ENDINGS)
    facet = options.facet or parameters.facets[0]
    material = metal(options, options.material, facet, True)
    qt.fermi_surface_cut(material, normal=options.plane or PLANE, points=FEWEST)
    whole_number("plane_points", options.plane_points, FEWEST, "momenta along each side", most=MOST_CUT_POINTS)
    qt.bulk_density_of_states(material, options.energies, mesh=min(options.mesh, FEWEST))
    qt.bands(material, options.path, points=options.points)
    meshes = [mesh_of(options, parameters.structure, each) for each in parameters.facets]
    if options.dry_run:
        if _stages.is_root(comm):
            count = len(kinds(parameters)) * len(meshes)
            seconds = _stages.seconds_of(lambda: sharvin((material, _stages.sample(meshes[0]))))
            seconds *= count * meshes[0].size / min(_stages.SAMPLE_POINTS, meshes[0].size)
            work = f"Sharvin conductances: {count} of {options.kmesh} x {options.kmesh} k-points"
            _stages.report_dry_run([(work, seconds)], comm)
        return
    progress = _stages.label(options, "Sharvin conductances")
    at_level = [at_fermi_energy(options, (facet, *parameters.facets), magnetic) for magnetic in kinds(parameters)]
    (material, *_), level = at_level[0]
    tasks = [(made[1 + i], mesh) for i, mesh in enumerate(meshes) for made, _ in at_level]
    with command_line.resumable(options, configuration, comm) as checkpoint:
        found = parallel.map_chunks(sharvin, tasks, comm, checkpoint.part("sharvin"), progress)
        if not _stages.is_root(comm):
            return
        # A few seconds on one rank.
        of_facet = np.array(found).reshape(len(meshes), -1, 3)
        states = qt.bulk_density_of_states(material, options.energies, mesh=options.mesh).assign(
            numbers(material, level, options)
            | conductances_of(of_facet, options.spin_orbit)
        )  # fmt: skip
        states = states.assign_coords(facet=list(parameters.facets))
        bands = qt.bands(material, options.path, points=options.points)
        cut = qt.fermi_surface_cut(material, normal=options.plane or PLANE, points=options.plane_points)
        results = [
            (bands, plot.band_structure(bands)),
            (states, plot.density_of_states(states)),
            (cut, plot.fermi_surface(cut)),
        ]
        origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
        for (data, figure), file, picture in zip(results, paths[::2], paths[1::2], strict=True):
            store.save_dataset(data, file, force=force, provenance=origin)
            plot.save_figure(figure, picture, force)
    print(*table(states, parameters, options), _stages.written(paths), sep="\n")


def compared(task):
    """Of ("levels", name) E_F of the paramagnet, E_F and moment; of (facet, name) Sharvin conductance per spin; pad."""
    import numpy as np

    import qtorque as qt
    from qtorque.materials import read_parameters

    kind, name, options = task
    parameters = read_parameters(name, options.file)
    if kind != LEVELS:
        mesh = mesh_of(options, parameters.structure, kind)
        return np.array([sharvin((metal(options, name, kind, False), mesh))[2] / 2, np.nan, np.nan])
    bare, own = (metal(options, name, parameters.facets[0], magnetic) for magnetic in (False, True))
    level = qt.fermi_energy(bare, mesh=options.mesh)
    if not parameters.splitting:
        return np.array([level, level, 0.0])
    return np.array([level, qt.fermi_energy(own, mesh=options.mesh), qt.magnetic_moment(own, mesh=options.mesh)])


def comparison(known, tasks, found):
    """The numbers of `compared` beside those of the file: over metal, and over cut, each metal and facet."""
    import numpy as np
    import xarray as xr

    of_metal = np.array([x for (kind, _), x in zip(tasks, found, strict=True) if kind == LEVELS])
    cuts = [(name, kind, x[0]) for (kind, name), x in zip(tasks, found, strict=True) if kind != LEVELS]
    stated = {(p.name, facet): 1e15 * value for p in known for facet, value in p.sharvin.items()}
    of_file = np.array([stated.get((name, facet), np.nan) for name, facet, _ in cuts])
    own = np.array([value for _, _, value in cuts])
    moments = np.array([p.moment if p.splitting else 0.0 for p in known])
    with np.errstate(invalid="ignore"):
        deviation = own / of_file - 1
    d = xr.Dataset(
        {
            "fermi_energy_paramagnet": ("metal", of_metal[:, 0], {"units": "eV", "long_name": "Fermi energy, file: 0"}),
            "fermi_energy": ("metal", of_metal[:, 1], {"units": "eV", "long_name": "with exchange, file: 0"}),
            "moment": ("metal", of_metal[:, 2], {"units": "Bohr magneton", "long_name": "spin moment per cell"}),
            "moment_file": ("metal", moments, {"units": "Bohr magneton", "long_name": "spin moment of the file"}),
            "sharvin": ("cut", own, {"units": "1/(Ohm m^2)", "long_name": "Sharvin conductance per spin"}),
            "sharvin_file": ("cut", of_file, {"units": "1/(Ohm m^2)", "long_name": "Sharvin conductance of the file"}),
            "deviation": ("cut", deviation, {"units": "1", "long_name": "relative deviation from the file"}),
        },
        {
            "metal": [p.name for p in known],
            "cut_metal": ("cut", [name for name, _, _ in cuts]),
            "cut_facet": ("cut", [facet for _, facet, _ in cuts]),
        },
    )
    worst = np.maximum(abs(d["fermi_energy"]), abs(d["fermi_energy_paramagnet"]))
    # Written so that nan is outside; where the file states nothing there is nothing to be outside of.
    wrong = ~((worst <= ENERGY) & (abs(d["moment"] - d["moment_file"]) <= MOMENT))
    wrong_cut = ~(abs(d["deviation"]) <= SHARVIN) & d["sharvin_file"].notnull()
    d["outside"] = wrong.assign_attrs(units="1", long_name="Fermi energy or moment outside of the limits")
    d["outside_cut"] = wrong_cut.assign_attrs(units="1", long_name="Sharvin conductance outside of the limits")
    return d


def comparison_table(d):
    """The lines of `all`."""
    verdict = {False: "pass", True: "FAIL"}
    lines = [f"{'metal':12}{'E_F para':>10}{'E_F (eV)':>10}{'moment':>10}{'file':>10}"]
    for i, name in enumerate(d["metal"].values):
        at = [float(d[x][i]) for x in ("fermi_energy_paramagnet", "fermi_energy", "moment", "moment_file")]
        lines.append(f"{name:12}" + "".join(f"{x:10.4f}" for x in at) + f"   {verdict[bool(d['outside'][i])]}")
    lines.append(f"{'Sharvin (1e15/(Ohm m^2))':24}{'bands':>10}{'file':>10}{'deviation':>11}")
    for i, (name, facet) in enumerate(zip(d["cut_metal"].values, d["cut_facet"].values, strict=True)):
        own, stated, off = (float(d[x][i]) for x in ("sharvin", "sharvin_file", "deviation"))
        line = f"{name:12}{f'({facet})':12}{own / 1e15:10.4f}"
        if stated == stated:
            line += f"{stated / 1e15:10.4f}{100 * off:+10.2f}%   {verdict[bool(d['outside_cut'][i])]}"
        lines.append(line)
    energy = max(float(abs(d[x]).max()) for x in ("fermi_energy", "fermi_energy_paramagnet"))
    moment = float(abs(d["moment"] - d["moment_file"]).max())
    lines.append(
        f"largest deviations: E_F {energy:.4f} eV ({ENERGY}), moment {moment:.4f} Bohr magnetons ({MOMENT}), "
        f"Sharvin {float(abs(d['deviation']).max()):.2%} ({SHARVIN:.0%})"
    )
    return lines


def run_all(options, comm):
    from qtorque import parallel, store
    from qtorque.errors import InputError
    from qtorque.materials import material_names, read_parameters

    begin = time.monotonic()
    given = [f"--{name.replace('_', '-')}" for name in OF_ONE_METAL if getattr(options, name)]
    if given:
        raise InputError(f"{', '.join(given)}: goes with one metal; leave it out beside 'all'")
    known = [read_parameters(name, options.file) for name in material_names(options.file)]
    configuration, force, paths = configured(options, [CHECK])
    tasks = [(kind, p.name, options) for p in known for kind in (LEVELS, *p.facets)]
    if options.dry_run:
        if _stages.is_root(comm):
            seconds = len(tasks) * _stages.seconds_of(lambda: compared(tasks[1]))
            _stages.report_dry_run([(f"{len(known)} metals: {len(tasks)} Fermi energies and facets", seconds)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        progress = _stages.label(options, "metals and facets")
        found = parallel.map_chunks(compared, tasks, comm, checkpoint.part("all"), progress)
        d = comparison(known, [(kind, name) for kind, name, _ in tasks], found)
        if _stages.is_root(comm):
            origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
            store.save_dataset(d, paths[0], force=force, provenance=origin)
            print(*comparison_table(d), _stages.written(paths), sep="\n")
    if d["outside"].any() or d["outside_cut"].any():
        parallel.leave(EXIT_OUTSIDE, comm)


if __name__ == "__main__":
    parser = command_line.parser(__doc__, output="results/bulk")
    number, grid = command_line.number, command_line.grid
    parser.add_argument("material", nargs="?", default="Co", help="name in the parameter file, or all; default Co")
    parser.add_argument("--file", help="a parameter file of your own (TOML), looked at before the package's")
    parser.add_argument("--facet", help="of the bands and the density of states; default the first of the structure")
    parser.add_argument("--spin-orbit", action="store_true", help="with the spin-orbit coupling of the file")
    parser.add_argument("--lattice-constant", type=number, help="nm; default that of the file")
    parser.add_argument("--path", help="through the zone, such as G-X-W-L-G-K; default through all symmetry points")
    parser.add_argument("--points", type=int, default=300, help="momenta on the path; default 300")
    parser.add_argument("--energies", type=grid, default="-10:5:1501", help="eV; default -10:5:1501")
    parser.add_argument("--plane", type=grid, help="normal of the Fermi-surface cut; default 0,0,1")
    parser.add_argument("--plane-points", type=int, default=161, help="momenta along each side of it; default 161")
    parser.add_argument("--mesh", type=int, default=48, help="points along each reciprocal vector; default 48")
    parser.add_argument(
        "--kmesh", type=int, help="in-plane momenta of the Sharvin conductance: N x N; default 128, of all 256"
    )
    command_line.main(run, parser)
