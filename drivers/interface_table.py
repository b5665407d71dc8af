"""Conductances of interfaces between real metals as a table, published ranges beside them.

    python drivers/interface_table.py -o results/metals
    python drivers/interface_table.py --interfaces Cu/Co:111,Pd/Ni:111 --neutral 3 --rough 2 -o results/more
    mpiexec -n 2 python -m mpi4py drivers/interface_table.py ...

For each normal metal/magnet(facet): Sharvin conductances, G_up, G_dn and g_mix as scattering gives them and without
the contact resistance of the leads (Schep), AR* and gamma, polarization; all per area of the normal metal's cell. The
mesh of in-plane momenta grows until G_up, G_dn and Re g_mix differ by less than --tolerance from both meshes before and
Im g_mix by less than 1e13 Ohm^-1 m^-2. The error of a number is its largest difference to these two meshes, and not
relatively less than the largest of G_up, G_dn and Re g_mix; of corrected numbers, than the largest of all. The metals
are those of `python -m qtorque materials`, with bulk on-site levels and a common Fermi level. Published ranges are left
out where --file replaces a metal.

Writes PREFIX_table.md, .csv, .nc and .png; PREFIX_films.png, the reflected and transmitted mixing conductance of films
N|F|N versus thickness (--films); PREFIX_zone.png, g_mix over the in-plane zone on the third mesh (--no-zone: none).
--neutral adds rigid layer shifts that keep both metals neutral, --rough an interface of two alloyed layers in a
supercell.
"""

import argparse
import csv
import io
import time
from pathlib import Path

import _stages
import _thickness

from qtorque import command_line

SAMPLE = 8
"""Points a side of the mesh on which a dry run measures."""
FEMTO = 1e-15
"""Ohm m^2; the unit of AR* in the tables."""
UNIT = "1e15 Ohm^-1 m^-2"
"""Of conductances in the tables, qtorque.interface_table.TABLE_UNIT."""


def film_thicknesses(text):
    """As `_thickness.layer_counts`; none of "none"."""
    return [] if text == "none" else _thickness.layer_counts(text)


def endings(options):
    """Of the files that these options make: the table first."""
    extra = (["_films.png"] if options.films else []) + (["_zone.png"] if options.zone else [])
    return ["_table.md", "_table.csv", "_table.nc", "_table.png", *extra]


def one_interface(interface, sizes, options, *, comm=None, checkpoint=None):
    """The row of an interface with all columns that the options ask for."""
    import xarray as xr

    from qtorque import interface_table as table
    from qtorque import interface_variants as variants
    from qtorque.metal_interfaces import clean_stack

    shared = {"comm": comm, "checkpoint": checkpoint, "progress": _stages.label(options, interface.label)}
    stack = clean_stack(interface)
    found = table.converged_interface(stack, sizes=sizes, tolerance=options.tolerance, **shared)
    parts = [table.row(interface, found)]
    if options.films:
        parts.append(variants.film_columns(interface, options.films, size=options.film_kmesh, **shared))
    if options.zone:
        parts.append(variants.zone_columns(stack, found.zone_mesh, found.zone_mixing))
    if options.neutral:
        size = options.neutral_kmesh
        parts.append(variants.neutral_columns(interface, found.mesh, layers=options.neutral, size=size, **shared))
    if options.rough:
        sampling = {"configurations": options.configurations, "size": options.rough_kmesh, "seed": options.seed}
        parts.append(variants.rough_columns(interface, options.rough, **sampling, **shared))
    return xr.merge(parts)


def in_table(x):
    """An array or number in Ohm^-1 m^-2 in the unit of the tables."""
    from qtorque.interface_table import TABLE_UNIT

    return x / TABLE_UNIT


def published_text(bounds):
    """A published range in 1e15 Ohm^-1 m^-2, empty where there is none."""
    low, high = (float(in_table(x)) for x in bounds)
    if low != low:
        return ""
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def both_spins(row, name):
    """(heading, number) of up and down of a variable over spin, in the unit of the tables."""
    return [(spin, float(in_table(row[name].sel(spin=spin)))) for spin in ("up", "down")]


def both_parts(row, name):
    """(heading, number) of the real and the imaginary part of a variable, in the unit of the tables."""
    g = complex(in_table(row[name]))
    return [("Re", g.real), ("Im", g.imag)]


def four(row, ending="", prefix="", wording="{}"):
    """heading with unit -> number of G up, G down, Re g_mix and Im g_mix."""
    numbers = [(f"G {spin}", x) for spin, x in both_spins(row, f"{prefix}conductance{ending}")]
    numbers += [(f"{part} g_mix", x) for part, x in both_parts(row, f"{prefix}g_mix{ending}")]
    return {f"{wording.format(quantity)} ({UNIT})": x for quantity, x in numbers}


def record(row):
    """heading with unit -> number or text of an interface, for the CSV file."""
    sharvin = both_spins(row, "sharvin_magnet")
    sharvin_error = both_spins(row, "sharvin_magnet_k_error")
    found = {
        "interface": str(row["interface"].values),
        f"Sharvin N ({UNIT})": float(in_table(row["sharvin_normal"])),
        **{f"Sharvin F {spin} ({UNIT})": x for spin, x in sharvin},
        **four(row),
        **four(row, "_corrected", wording="{} corrected"),
        "AR* (fOhm m^2)": float(row["AR_star"]) / FEMTO,
        "gamma (1)": float(row["gamma"]),
        "polarization (1)": float(row["polarization"]),
        f"k error of Sharvin N ({UNIT})": float(in_table(row["sharvin_normal_k_error"])),
        **{f"k error of Sharvin F {spin} ({UNIT})": x for spin, x in sharvin_error},
        **four(row, "_k_error", wording="k error of {}"),
        **four(row, "_corrected_k_error", wording="k error of {} corrected"),
        "k error of AR* (fOhm m^2)": float(row["AR_star_k_error"]) / FEMTO,
        "k error of gamma (1)": float(row["gamma_k_error"]),
        "k error of polarization (1)": float(row["polarization_k_error"]),
        "mesh (points a side)": int(row["mesh"]),
        "converged (1 or 0)": int(row["converged"]),
    }
    for name, bounds in zip(("G up", "G down", "Re g_mix", "|Im g_mix|"), published_bounds(row), strict=True):
        for which, x in zip(("lowest", "highest"), bounds, strict=True):
            found[f"published {name}, {which} ({UNIT})"] = "" if x != x else float(in_table(x))
    found |= {"trust N": str(row["trust_normal"].values), "trust F": str(row["trust_magnet"].values)}
    if "neutral_g_mix" in row:
        found |= four(row, prefix="neutral_", wording="{}, neutral")
        found |= {
            "neutral: layers of each metal (monolayers)": int(row["neutral_layers"]),
            "neutral: mesh of the count (points a side)": int(row["neutral_mesh"]),
            "neutral: converged (1 or 0)": int(row["neutral_converged"]),
            "neutral: residual (electrons per cell)": float(row["neutral_residual"]),
            "neutral: mesh error (electrons per cell)": float(row["neutral_mesh_error"]),
            "neutral: excess in the leads (electrons per cell)": float(row["neutral_lead_excess"]),
        }
    if "rough_g_mix" in row:
        found |= four(row, prefix="rough_", wording="{}, rough")
        found |= four(row, "_error", prefix="rough_", wording="standard error of {}, rough")
        found |= four(row, "_clean", prefix="rough_", wording="{}, clean on the mesh of rough")
        found |= {
            "rough: cell (sites a side)": int(row["rough_cells"]),
            "rough: configurations (1)": int(row["rough_configurations"]),
            "rough: mesh (points a side)": int(row["rough_mesh"]),
        }
    return found


def csv_text(d):
    """The table as comma-separated values, units in the headings, one number in a cell."""
    rows, text = [record(row) for row in rows_of(d)], io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{x:.7g}" if isinstance(x, float) else x for k, x in row.items()} for row in rows)
    return text.getvalue()


def rows_of(d):
    """The interfaces of a table one by one."""
    return [d.sel(interface=label) for label in d["interface"].values]


def published_bounds(row):
    """(lowest, highest) of G_up, G_dn, Re g_mix and the size of Im g_mix."""
    further = (row["published_g_mix_real"].values, row["published_g_mix_imag_size"].values)
    return [*row["published_conductance"].transpose("spin", "bound").values, *further]


def markdown(d):
    """The lines of the tables: scattering values beside published ones, corrected values, what options added."""
    rows = rows_of(d)
    heads = ["interface", "Sharvin N", "G_up", "G_dn", "Re g_mix", "Im g_mix", "error", "mesh", "parameters"]
    lines = [
        f"Clean interfaces, {UNIT} per area of the normal metal's cell and spin; published ranges in brackets. The "
        "error is that of the sum over k: relative, the largest of G_up, G_dn and Re g_mix; absolute of Im g_mix.",
        "",
        *table_lines(heads, [scattering_cells(row) for row in rows]),
        "",
        "Without the contact resistance of the leads (Schep), which are the Sharvin N above and the Sharvin F here; P "
        "is that of the scattering values. The error is relative, the largest of G_up, G_dn, Re g_mix and AR*.",
        "",
    ]
    heads = ["interface", "Sharvin F up", "Sharvin F dn", "G_up", "G_dn", "Re g_mix", "Im g_mix"]
    lines += table_lines([*heads, "AR* (fOhm m^2)", "gamma", "P", "error"], [corrected_cells(row) for row in rows])
    heads = ["interface", "G_up", "G_dn", "Re g_mix", "Im g_mix"]
    if "neutral_g_mix" in d:
        n, mesh = (int(rows[0][f"neutral_{name}"]) for name in ("layers", "mesh"))
        lines += [
            "",
            f"With {n} neutral layers of each metal (rigid shifts, charge counted on a mesh of {mesh} x {mesh}); the "
            "clean interface in brackets. Electrons per cell: the largest excess that a shifted layer keeps, the same "
            "on a mesh finer by a half, and that of the unshifted layers beside them.",
            "",
            *table_lines([*heads, "excess", "finer mesh", "beside"], [neutral_cells(row) for row in rows]),
        ]
    if "rough_g_mix" in d:
        cells, count, mesh = (int(rows[0][f"rough_{name}"]) for name in ("cells", "configurations", "mesh"))
        lines += [
            "",
            f"Two alloyed layers, mean +- standard error of {count} configurations of {cells} x {cells} sites on a "
            f"mesh of {mesh} x {mesh}; the clean interface on the mesh that the supercell folds in brackets.",
            "",
            *table_lines(heads, [rough_cells(row) for row in rows]),
        ]
    sources = dict.fromkeys(str(row["published_source"].values) for row in rows)
    return [*lines, "", *(f"Published: {source}." for source in sources if source)]


def table_lines(heads, rows):
    """A Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]


def conductances(row, prefix="", ending=""):
    """G_up, G_dn, Re and Im g_mix in the unit of the tables."""
    return list(four(row, ending, prefix).values())


def name_of(row):
    return str(row["interface"].values)


def scattering_cells(row):
    from qtorque.interface_table import relative_error

    published = [published_text(bounds) for bounds in published_bounds(row)]
    published[3] = f"size {published[3]}" if published[3] else ""
    cells = [f"{x:.3f}" + (f" ({p})" if p else "") for x, p in zip(conductances(row), published, strict=True)]
    relative = relative_error(row, ("conductance", "g_mix"))
    imaginary = complex(in_table(row["g_mix_k_error"])).imag
    error = f"{100 * relative:.2g} %; Im {imaginary:.1g}" + ("" if int(row["converged"]) else ", NOT CONVERGED")
    trust = "/".join(str(row[f"trust_{metal}"].values) for metal in ("normal", "magnet"))
    sharvin = f"{float(in_table(row['sharvin_normal'])):.3f}"
    return [name_of(row), sharvin, *cells, error, str(int(row["mesh"])), trust]


def corrected_cells(row):
    from qtorque.interface_table import relative_error

    values = [x for _, x in both_spins(row, "sharvin_magnet")] + conductances(row, ending="_corrected")
    values += [float(row["AR_star"]) / FEMTO, float(row["gamma"]), float(row["polarization"])]
    relative = relative_error(row, ("conductance_corrected", "g_mix_corrected", "AR_star"))
    return [name_of(row), *(f"{x:.3f}" for x in values), f"{100 * relative:.2g} %"]


def neutral_cells(row):
    cells = [f"{x:.3f} ({y:.3f})" for x, y in zip(conductances(row, "neutral_"), conductances(row), strict=True)]
    excess, finer, beside = (float(row[f"neutral_{name}"]) for name in ("residual", "mesh_error", "lead_excess"))
    verdict = "" if int(row["neutral_converged"]) else ", NOT NEUTRAL"
    return [name_of(row), *cells, f"{excess:.1g}{verdict}", f"{finer:.1g}", f"{beside:.1g}"]


def rough_cells(row):
    columns = (conductances(row, "rough_", ending) for ending in ("", "_error", "_clean"))
    return [name_of(row), *(f"{x:.3f} +- {e:.3f} ({y:.3f})" for x, e, y in zip(*columns, strict=True))]


def estimates(interfaces, sizes, options):
    """(line, seconds on one core) of each interface, from a small mesh."""
    import qtorque as qt
    from qtorque.interface_table import MESHES_COMPARED, on_mesh
    from qtorque.magnetic_films import film_conductances
    from qtorque.metal_interfaces import clean_stack, film_stack, mesh_symmetry, rough_stack

    def seconds_a_momentum(work):
        # Without a symmetry, which would have to be looked at and take longer than so few momenta.
        mesh = qt.kmesh(SAMPLE)
        return _stages.seconds_of(lambda: work(mesh)) / mesh.size

    def momenta(sizes, symmetry):
        return sum(qt.kmesh(n, symmetry=symmetry).size for n in sizes)

    works = []
    for interface in interfaces:
        stack = clean_stack(interface)
        symmetry = mesh_symmetry(stack)
        each = seconds_a_momentum(lambda mesh, stack=stack: on_mesh(stack, mesh))
        count = momenta(sizes[:MESHES_COMPARED], symmetry)
        most = momenta(sizes, symmetry)
        seconds = each * count
        if options.films:
            films = [film_stack(interface, n) for n in options.films]
            n = options.film_kmesh
            per_momentum = seconds_a_momentum(lambda mesh, films=films: film_conductances(films, [mesh]))
            seconds += momenta((n // 2, n * 3 // 4, n), symmetry) * per_momentum
        if options.rough:
            rough = rough_stack(interface, options.rough, configuration=0)
            of_rough = _stages.seconds_of(lambda rough=rough: on_mesh(rough, qt.kmesh(1)))
            own = momenta((options.rough_kmesh,), "inversion")
            folded = momenta((options.rough_kmesh * options.rough,), "inversion")
            seconds += options.configurations * own * of_rough + folded * each
        more = f" or more ({most} at most)" + ("; neutral layers come on top" if options.neutral else "")
        works.append((f"{interface.label}: about {seconds:.3g} s on one core, {count} k-points{more}", seconds))
    return works


def check(options):
    """The interfaces and the sizes of the meshes; refuses options that make no sense."""
    import qtorque as qt
    from qtorque.interface_table import mesh_sizes, require_metals
    from qtorque.interface_variants import SMALLEST_ALLOY, SMALLEST_FILM_MESH
    from qtorque.metal_interfaces import clean_stack, read_interfaces

    smallest = {"film_kmesh": SMALLEST_FILM_MESH, "neutral_kmesh": 2, "rough_kmesh": 1, "configurations": 2}
    for name, least in smallest.items():
        if getattr(options, name) < least:
            raise qt.InputError(f"--{name.replace('_', '-')} {getattr(options, name)}: give {least} or more")
    for name in ("neutral", "rough", "seed"):
        if getattr(options, name) < 0:
            raise qt.InputError(f"--{name.replace('_', '-')} {getattr(options, name)}: give a number from 0 on")
    if 0 < options.rough < SMALLEST_ALLOY:
        raise qt.InputError(f"--rough {options.rough}: a random alloy needs {SMALLEST_ALLOY} sites a side; 0 for none")
    if not 0 < options.tolerance < 1:
        raise qt.InputError(f"--tolerance {options.tolerance:g}: give a relative error between 0 and 1")
    rule = {"geometric": qt.geometric_mean, "arithmetic": qt.arithmetic_mean}[options.hopping]
    interfaces = read_interfaces(options.interfaces, unlike_hopping=rule, file=options.file)
    sizes = mesh_sizes(options.coarsest, options.finest)
    for interface in interfaces:
        try:
            require_metals(clean_stack(interface))
        except qt.InputError as error:
            raise qt.InputError(f"--interfaces: {interface.label}: {error}") from None
    return interfaces, sizes


def run(options, comm):
    from qtorque import plot, store
    from qtorque.interface_table import table_of

    begin = time.monotonic()
    interfaces, sizes = check(options)
    configuration = _stages.configuration(options)
    if options.file is not None:
        configuration["file_content"] = Path(options.file).read_text(encoding="utf-8")
    force = command_line.may_replace(options, configuration)
    paths = command_line.output_files(options.output, endings(options), force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run(estimates(interfaces, sizes, options), comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        rows, seconds = [], []
        for interface in interfaces:
            start = time.monotonic()
            rows.append(one_interface(interface, sizes, options, comm=comm, checkpoint=checkpoint))
            seconds.append(f"{interface.label} {time.monotonic() - start:.1f} s")
        d = table_of(rows, interfaces).assign_attrs(hopping=options.hopping, tolerance=options.tolerance)
        if _stages.is_root(comm):
            origin = store.provenance(configuration, comm, seed=options.seed, wall_time=time.monotonic() - begin)
            lines = markdown(d)
            for path, text in zip(paths, ("\n".join(lines) + "\n", csv_text(d)), strict=False):
                store.save_bytes(text.encode(), path, force)
            store.save_dataset(d, paths[2], force=force, provenance=origin)
            figures = [plot.interface_conductances(d)]
            figures += [plot.film_mixing(d)] if options.films else []
            figures += [plot.mixing_in_zone(d)] if options.zone else []
            for figure, path in zip(figures, paths[3:], strict=True):
                plot.save_figure(figure, path, force)
            print(*lines, "", ", ".join(seconds), _stages.written(paths), sep="\n")
    weight = float(d["shifted_weight"].max())
    if _stages.is_root(comm):
        print(*_stages.shifted_report(weight), sep="\n", end="\n" if weight else "")
    _stages.end_for_shifted(weight, comm)


if __name__ == "__main__":
    parser = command_line.parser(__doc__, output="results/metals")
    default = "Cu/Co:111,Cu/Co:001,Cu/Ni:111,Cr/Fe:001,Au/Fe:001,Ag/Fe:001"
    parser.add_argument("--interfaces", default=default, help=f"normal/magnet:facet,...; default {default}")
    parser.add_argument("--file", help="TOML file with metals of your own", metavar="FILE")
    parser.add_argument(
        "--hopping", choices=("geometric", "arithmetic"), default="geometric",
        help="mean of the integrals of two unlike metals; default geometric",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=command_line.number, default=0.01, help="of the sums over k, relative; default 0.01"
    )
    for name, value, text in (
        ("--coarsest", 48, "points a side of the first mesh, even"),
        ("--finest", 384, "points a side of the finest mesh that is tried"),
        ("--film-kmesh", 96, "points a side of the mesh for films"),
        ("--neutral", 0, "layers of each metal that are kept neutral, 0 for none"),
        ("--neutral-kmesh", 16, "points a side of the mesh on which charge is counted"),
        (
            "--rough",
            0,
            "sites a side of a rough supercell, 3 or more, 0 for none",
        ),
        ("--rough-kmesh", 12, "points a side of the mesh of the supercell"),
        ("--configurations", 4, "of the rough interface"),
        ("--seed", 1, "of the rough interface"),
    ):
        parser.add_argument(name, type=int, default=value, help=f"{text}; default {value}", metavar="N")
    films = "1,2,3,4,6,8,10"
    parser.add_argument(
        "--films", type=film_thicknesses, default=films, help=f"monolayers, first:last, a,b,c or none; default {films}"
    )
    parser.add_argument(
        "--zone", action=argparse.BooleanOptionalAction, default=True, help="maps of g_mix over the zone; default yes"
    )
    command_line.main(run, parser)
