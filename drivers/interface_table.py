"""Conductances of interfaces between real metals as a table, published ranges beside them.

    python drivers/interface_table.py -o results/metals
    python drivers/interface_table.py --interfaces Cu/Co:111,Pd/Ni:111 --neutral 3 --rough 2 -o results/more
    mpiexec -n 2 python -m mpi4py drivers/interface_table.py ...

For each normal metal/magnet(facet): Sharvin conductances, G_up, G_dn and g_mix as scattering gives them and without
the contact resistance of the leads (Schep), AR* and gamma, polarization; all per area of the normal metal's cell. The
mesh of in-plane momenta grows until G_up, G_dn and Re g_mix stay within --tolerance and Im g_mix within
1e13 Ohm^-1 m^-2; the error in the table is the largest difference to the two meshes before. The metals are those of
`python -m qtorque materials`, with bulk on-site levels and a common Fermi level.

Writes PREFIX_table.md, .csv, .nc and .png; PREFIX_films.png, the reflected and transmitted mixing conductance of films
N|F|N versus thickness (--films); PREFIX_zone.png, g_mix over the in-plane zone (--zone-kmesh). --neutral adds rigid
layer shifts that keep both metals neutral, --rough an interface of two alloyed layers in a supercell.
"""

import csv
import io
import time
from pathlib import Path

import _stages
import _thickness

from qtorque import command_line

FEMTO = 1e-15
"""Ohm m^2; the unit of AR* in the tables."""


def film_thicknesses(text):
    """As `_thickness.layer_counts`; none of "none"."""
    return [] if text == "none" else _thickness.layer_counts(text)


def endings(options):
    """Of the files that these options make: the table first."""
    extra = (["_films.png"] if options.films else []) + (["_zone.png"] if options.zone_kmesh else [])
    return ["_table.md", "_table.csv", "_table.nc", "_table.png", *extra]


def one_interface(interface, sizes, options, *, comm=None, checkpoint=None):
    """The row of an interface with all columns that the options ask for."""
    import xarray as xr

    from qtorque import interface_table as table
    from qtorque.metal_interfaces import clean_stack

    shared = {"comm": comm, "checkpoint": checkpoint, "progress": _stages.label(options, interface.label)}
    stack = clean_stack(interface)
    found = table.converged_interface(stack, sizes=sizes, tolerance=options.tolerance, **shared)
    parts = [table.row(interface, found)]
    if options.films:
        parts.append(table.film_columns(interface, options.films, size=options.film_kmesh, **shared))
    if options.zone_kmesh:
        parts.append(table.zone_columns(stack, size=options.zone_kmesh, **shared))
    if options.neutral:
        size = options.neutral_kmesh
        parts.append(table.neutral_columns(interface, found.mesh, layers=options.neutral, size=size, **shared))
    if options.rough:
        sampling = {"configurations": options.configurations, "size": options.rough_kmesh, "seed": options.seed}
        parts.append(table.rough_columns(interface, options.rough, **sampling, **shared))
    return xr.merge(parts)


def published_text(bounds):
    """A published range in 1e15 Ohm^-1 m^-2, empty where there is none."""
    low, high = (float(x) / 1e15 for x in bounds)
    if low != low:
        return ""
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def records(d):
    """One dictionary of heading with unit -> number or text for each interface, for the CSV file."""
    unit = "1e15 Ohm^-1 m^-2"
    found = []
    for label in d["interface"].values:
        at = d.sel(interface=label)
        up, down = (at.sel(spin=spin) for spin in ("up", "down"))
        record = {
            "interface": str(label),
            f"Sharvin N ({unit})": float(at["sharvin_normal"]) / 1e15,
            f"Sharvin F up ({unit})": float(up["sharvin_magnet"]) / 1e15,
            f"Sharvin F down ({unit})": float(down["sharvin_magnet"]) / 1e15,
        }
        for name, heading in (("", ""), ("_corrected", " corrected")):
            g = complex(at[f"g_mix{name}"]) / 1e15
            record |= {
                f"G up{heading} ({unit})": float(up[f"conductance{name}"]) / 1e15,
                f"G down{heading} ({unit})": float(down[f"conductance{name}"]) / 1e15,
                f"Re g_mix{heading} ({unit})": g.real,
                f"Im g_mix{heading} ({unit})": g.imag,
            }
        error = complex(at["g_mix_k_error"]) / 1e15
        record |= {
            "AR* (fOhm m^2)": float(at["AR_star"]) / FEMTO,
            "gamma (1)": float(at["gamma"]),
            "polarization (1)": float(at["polarization"]),
            f"k error of G up ({unit})": float(up["conductance_k_error"]) / 1e15,
            f"k error of G down ({unit})": float(down["conductance_k_error"]) / 1e15,
            f"k error of Re g_mix ({unit})": error.real,
            f"k error of Im g_mix ({unit})": error.imag,
            "mesh (points a side)": int(at["mesh"]),
            "converged (1 or 0)": int(at["converged"]),
            f"published G up ({unit})": published_text(up["published_conductance"]),
            f"published G down ({unit})": published_text(down["published_conductance"]),
            f"published Re g_mix ({unit})": published_text(at["published_g_mix_real"]),
            f"published |Im g_mix| ({unit})": published_text(at["published_g_mix_imag_size"]),
            "trust N": str(at["trust_normal"].values),
            "trust F": str(at["trust_magnet"].values),
        }
        for kind in ("neutral", "rough"):
            if f"{kind}_g_mix" in at:
                g = complex(at[f"{kind}_g_mix"]) / 1e15
                record |= {
                    f"G up, {kind} ({unit})": float(up[f"{kind}_conductance"]) / 1e15,
                    f"G down, {kind} ({unit})": float(down[f"{kind}_conductance"]) / 1e15,
                    f"Re g_mix, {kind} ({unit})": g.real,
                    f"Im g_mix, {kind} ({unit})": g.imag,
                }
        found.append(record)
    return found


def csv_text(d):
    """The table as comma-separated values, units in the headings."""
    rows, text = records(d), io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{x:.7g}" if isinstance(x, float) else x for k, x in row.items()} for row in rows)
    return text.getvalue()


def markdown(d):
    """The lines of the tables: scattering values beside published ones, corrected values, what options added."""
    rows = [d.sel(interface=label) for label in d["interface"].values]
    lines = [
        "Clean interfaces, 1e15 Ohm^-1 m^-2 per area of the normal metal's cell and spin; published ranges in "
        "brackets. The error is that of the sum over k: relative, the largest of G_up, G_dn and Re g_mix; absolute of "
        "Im g_mix.",
        "",
    ]
    heads = (
        "interface",
        "Sharvin N",
        "Sharvin F",
        "G_up",
        "G_dn",
        "Re g_mix",
        "Im g_mix",
        "error",
        "mesh",
        "parameters",
    )
    lines += table_lines(heads, [scattering_cells(row) for row in rows])
    lines += ["", "Without the contact resistance of the leads (Schep); P is that of the scattering values.", ""]
    heads = ("interface", "G_up", "G_dn", "Re g_mix", "Im g_mix", "AR* (fOhm m^2)", "gamma", "P")
    lines += table_lines(heads, [corrected_cells(row) for row in rows])
    for kind, what in (
        ("neutral", "With neutral layers (rigid shifts)"),
        ("rough", "Two alloyed layers, mean over configurations"),
    ):
        if f"{kind}_g_mix" in d:
            heads = ("interface", "G_up", "G_dn", "Re g_mix", "Im g_mix")
            lines += ["", f"{what}; the clean interface in brackets.", ""]
            lines += table_lines(heads, [changed_cells(row, kind) for row in rows])
    sources = {str(row["published_source"].values): str(row["published_trust"].values) for row in rows}
    lines += ["", *(f"Published: {source} ({trust})." for source, trust in sources.items() if source)]
    return lines


def table_lines(heads, rows):
    """A Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]


def conductances(row, name=""):
    """G_up, G_dn, Re and Im g_mix in 1e15 Ohm^-1 m^-2; `name` puts brackets of another kind of interface around it."""
    g = complex(row[f"{name}g_mix"]) / 1e15
    return [*(row[f"{name}conductance"].values / 1e15).tolist(), g.real, g.imag]


def scattering_cells(row):
    from qtorque.interface_table import row_error

    sharvin = row["sharvin_magnet"].values / 1e15
    bounds = [*row["published_conductance"].values, row["published_g_mix_real"], row["published_g_mix_imag_size"]]
    published = [published_text(getattr(x, "values", x)) for x in bounds]
    published[3] = f"size {published[3]}" if published[3] else ""
    cells = [f"{x:.3f}" + (f" ({p})" if p else "") for x, p in zip(conductances(row), published, strict=True)]
    relative, imaginary = row_error(row)
    error = f"{100 * relative:.1f} %, {imaginary / 1e15:.3f}" + ("" if int(row["converged"]) else ", NOT CONVERGED")
    trust = "/".join(str(row[f"trust_{metal}"].values) for metal in ("normal", "magnet"))
    label, mesh = str(row["interface"].values), int(row["mesh"])
    both = f"{sharvin[0]:.3f}, {sharvin[1]:.3f}"
    return [label, f"{float(row['sharvin_normal']) / 1e15:.3f}", both, *cells, error, str(mesh), trust]


def corrected_cells(row):
    g = complex(row["g_mix_corrected"]) / 1e15
    values = [*(row["conductance_corrected"].values / 1e15), g.real, g.imag, float(row["AR_star"]) / FEMTO]
    values += [float(row["gamma"]), float(row["polarization"])]
    return [str(row["interface"].values), *(f"{x:.3f}" for x in values)]


def changed_cells(row, kind):
    found = conductances(row, f"{kind}_")
    beside = conductances(row)
    errors = [""] * 4
    if kind == "rough":
        g, error = complex(row["rough_g_mix_clean"]) / 1e15, complex(row["rough_g_mix_error"]) / 1e15
        beside = [*(row["rough_conductance_clean"].values / 1e15), g.real, g.imag]
        both = [*(row["rough_conductance_error"].values / 1e15), error.real, error.imag]
        errors = [f" +- {x:.3f}" for x in both]
    cells = [f"{x:.3f}{e} ({y:.3f})" for x, e, y in zip(found, errors, beside, strict=True)]
    return [str(row["interface"].values), *cells]


def estimates(interfaces, sizes, options):
    """(line, seconds on one core) of each interface, from a small mesh."""
    import qtorque as qt
    from qtorque.interface_table import MESHES_COMPARED, on_mesh
    from qtorque.metal_interfaces import clean_stack, film_stack, mesh_symmetry, rough_stack

    def seconds_a_momentum(stack):
        mesh = qt.kmesh(8, symmetry=mesh_symmetry(stack))
        return _stages.seconds_of(lambda: on_mesh(stack, mesh)) / mesh.size

    works = []
    for interface in interfaces:
        stack = clean_stack(interface)
        symmetry = mesh_symmetry(stack)
        momenta = sum(qt.kmesh(n, symmetry=symmetry).size for n in sizes[:MESHES_COMPARED])
        momenta += qt.kmesh(options.zone_kmesh, symmetry=symmetry).size if options.zone_kmesh else 0
        seconds = seconds_a_momentum(stack) * momenta
        if options.films:
            each = sum(qt.kmesh(n, symmetry=symmetry).size for n in (options.film_kmesh, options.film_kmesh * 2 // 3))
            middle = film_stack(interface, options.films[len(options.films) // 2])
            seconds += len(options.films) * each * seconds_a_momentum(middle)
        if options.rough:
            each = qt.kmesh(options.rough_kmesh, symmetry="inversion").size
            rough = rough_stack(interface, options.rough, configuration=0)
            seconds += options.configurations * each * seconds_a_momentum(rough)
        more = "; neutral layers, which are not in it, take about as long" if options.neutral else ""
        works.append(
            (f"{interface.label}: {momenta} k-points or more, about {seconds:.3g} s on one core{more}", seconds)
        )
    return works


def check(options):
    """The interfaces and the sizes of the meshes; refuses options that make no sense."""
    import qtorque as qt
    from qtorque.interface_table import mesh_sizes
    from qtorque.metal_interfaces import read_interfaces

    for name, least in (("film_kmesh", 3), ("neutral_kmesh", 2), ("rough_kmesh", 1), ("configurations", 2)):
        if getattr(options, name) < least:
            raise qt.InputError(f"--{name.replace('_', '-')} {getattr(options, name)}: give {least} or more")
    for name in ("zone_kmesh", "neutral", "rough", "seed"):
        if getattr(options, name) < 0:
            raise qt.InputError(f"--{name.replace('_', '-')} {getattr(options, name)}: give a number from 0 on")
    if options.rough == 1:
        raise qt.InputError("--rough 1: an alloy needs 2 or more sites a side")
    if not 0 < options.tolerance < 1:
        raise qt.InputError(f"--tolerance {options.tolerance:g}: give a relative error between 0 and 1")
    rule = {"geometric": qt.geometric_mean, "arithmetic": qt.arithmetic_mean}[options.hopping]
    interfaces = read_interfaces(options.interfaces, unlike_hopping=rule, file=options.file)
    return interfaces, mesh_sizes(options.coarsest, options.finest)


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
            figures += [plot.mixing_in_zone(d)] if options.zone_kmesh else []
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
        ("--zone-kmesh", 96, "points a side of the maps over the zone, 0 for none"),
        ("--neutral", 0, "layers of each metal that are kept neutral, 0 for none"),
        ("--neutral-kmesh", 16, "points a side of the mesh on which charge is counted"),
        (
            "--rough",
            0,
            "sites a side of a rough supercell (2: an ordered alloy, 3: a random one), 0 for none",
        ),
        ("--rough-kmesh", 12, "points a side of the mesh of the supercell"),
        ("--configurations", 4, "of the rough interface"),
        ("--seed", 1, "of the rough interface"),
    ):
        parser.add_argument(name, type=int, default=value, help=f"{text}; default {value}", metavar="N")
    parser.add_argument(
        "--films", type=film_thicknesses, default="1:10", help="monolayers, first:last, a,b,c or none; default 1:10"
    )
    command_line.main(run, parser)
