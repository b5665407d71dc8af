"""Judge drift-diffusion and circuit theory by quantum transport on the same lattice: a report with verdicts.

    python drivers/validate_diffusion.py -o results/valve
    mpiexec -n 4 python -m mpi4py drivers/validate_diffusion.py --set disorder=2.5 --configurations 400
    python drivers/validate_diffusion.py --table mine.csv

A spin valve N|F|N|F|N with a disordered spacer is solved by quantum transport, averaged over configurations; its parts
alone give the parameters of circuit theory and of noncollinear drift-diffusion. Conductance, angular
magnetoresistance and torques are compared versus angle, spacer thickness and disorder; so is one magnet alone (N|F|N),
and a valve with a clean spacer, where circuit theory fails for want of isotropy. A table of one's own is judged the
same way: CSV, columns angle (degrees) and conductance (Ohm^-1 m^-2), torque (damping-like, on the free magnet, per volt
between the reservoirs, (hbar/2e) Ohm^-1 m^-2) or torque_efficiency (the same per current, hbar/2e).

Takes a system whose build() has the parameters fixed_layers, spacer_layers, free_layers, disorder, configuration and
lattice_constant, such as systems/disordered_spin_valve.py. Writes PREFIX_validation.html (everything in one page),
.csv (all numbers), .nc (samples) and a PNG of every figure.
"""

import hashlib
import time
from pathlib import Path

import _stages

from qtorque import command_line

PICTURES = ("angles", "thickness", "disorder", "magnet", "phase", "spacer", "specular")
ENDINGS = ("_validation.html", "_validation.csv", "_validation.nc", *(f"_validation_{name}.png" for name in PICTURES))
DEFAULT_SYSTEM = "systems/disordered_spin_valve.py"
FIELD_LIKE_SET = ("onsite_up=3.5", "onsite_down=5.5")
"""Of the default system: a magnet with Im g_mix of a fifth of |g_mix| in place of zero."""
TITLE = "Drift-diffusion judged by quantum transport"
PAGE_RESOLUTION = 110
"""Dots per inch of the figures inside the page; those of the files are finer."""
SAME_ANGLE = 1e-9
"""rad; angles that agree to this are one."""
RIGHT_ANGLE = 1
"""Of the angles 0 and 90 degrees, at which thickness and disorder are varied, the second."""
NEEDED = ("fixed_layers", "spacer_layers", "free_layers", "disorder", "configuration", "lattice_constant")
"""Parameters of build() that the studies change."""


def settings_of(options):
    """Parameters of build() of the disordered valve, refused if they are not those of one."""
    from qtorque.errors import InputError

    settings = command_line.system_settings(options.system, options.set)
    missing = [name for name in NEEDED if name not in settings]
    if missing:
        raise InputError(
            f"system={options.system!r}: build() has no parameter {missing[0]!r}; a valve to be validated has "
            f"{', '.join(NEEDED)}, as systems/disordered_spin_valve.py"
        )
    for name in ("fixed_layers", "spacer_layers", "free_layers"):
        if settings[name] < 1:
            raise InputError(f"--set {name}={settings[name]}: a valve has both magnets and a spacer; give 1 or more")
    if settings["disorder"] <= 0:
        raise InputError("--set disorder=0: circuit theory needs a spacer that randomises momenta; give a width in eV")
    if any(setting.startswith("configuration=") for setting in options.set):
        raise InputError("--set configuration= is what --configurations varies; leave it out")
    return settings


def builder(options, further=()):
    """build() of the disordered valve with the settings given, further ones, and other parameters by name."""

    def build(**changed):
        texts = [f"{name}={value!r}" for name, value in changed.items()]
        return command_line.load_system(options.system, [*options.set, *further, *texts])

    return build


def sampling_of(options, configurations):
    from qtorque import validation
    from qtorque.errors import InputError

    if configurations < validation.GROUPS:
        raise InputError(f"{configurations} configurations: errors need {validation.GROUPS} or more")
    return validation.Sampling(
        configurations=configurations, momenta=options.momenta, seed=options.seed, energy=options.energy
    )


def angles_of(options, tables):
    """0, 90 degrees, those of --angle and of the tables, ascending, each once."""
    import numpy as np

    from qtorque.errors import InputError

    # At 0 and 90 degrees thickness and disorder are varied.
    angles = np.concatenate([[0.0, np.pi / 2], options.angle, *(table.angle for table in tables)])
    if np.any((angles < 0) | (angles > np.pi + SAME_ANGLE)):
        raise InputError("--angle: give angles from 0 to pi")
    order = np.argsort(angles, kind="stable")
    return angles[order][np.concatenate([[True], np.diff(angles[order]) > SAME_ANGLE])]


def swept(options, settings):
    """Thicknesses of the spacer and widths of the disorder that are looked at beside those of the valve, ascending."""
    from qtorque.errors import InputError

    layers = sorted({settings["spacer_layers"], *(int(x) for x in options.thicknesses)})
    widths = sorted({settings["disorder"], *options.disorders})
    if min(layers) < 1 or min(widths) <= 0:
        raise InputError("--thicknesses and --disorders: give numbers of monolayers from 1 on, and widths above 0 eV")
    return layers, widths


def field_like_settings(options):
    """Changes of build() for the magnet whose Im g_mix is not small."""
    if options.field_like_set:
        return options.field_like_set
    return FIELD_LIKE_SET if options.system == DEFAULT_SYSTEM else ()


def one_magnet(options, sampling, run):
    """Behind a disordered metal, alone, and that metal alone, of a lattice with a large Im g_mix; None without one."""
    from qtorque import validation

    changed = field_like_settings(options)
    if not changed:
        return None
    build = builder(options, changed)
    part = validation.Run(
        comm=run.comm, checkpoint=run.checkpoint and run.checkpoint.part("field-like"), progress=run.progress
    )
    return (
        validation.sample_composite(build, sampling, part),
        validation.sample_magnet(build, "free", sampling, part),
        validation.sample_spacer(build, sampling, part, "spacer"),
    )


def sampled(options, settings, tables, comm, checkpoint):
    """All that quantum transport has to say: samples of the valve, of its parts, and of the sweeps."""
    import numpy as np

    from qtorque import validation

    run = validation.Run(comm=comm, checkpoint=checkpoint, progress=not options.quiet)
    build = builder(options)
    full, fewer = sampling_of(options, options.configurations), sampling_of(options, options.sweep_configurations)
    layers, widths = swept(options, settings)
    own = settings["spacer_layers"], settings["disorder"]
    points = [(count, own[1]) for count in layers] + [(own[0], width) for width in widths if width != own[1]]
    found = {
        "angles": angles_of(options, tables),
        "parts": validation.sample_parts(build, full, run),
        "composite": validation.sample_composite(build, full, run),
        "phase": one_magnet(options, full, run),
        "points": {},
    }
    found["valve"] = validation.sample_valve(build, found["angles"], full, run)
    for count, width in points:
        changed = {"spacer_layers": count, "disorder": width}
        name = f"{count} layers, disorder {width:g} eV"
        mine = full if (count, width) == own else fewer
        spacer = validation.sample_spacer(build, mine, run, f"spacer of {name}", **changed)
        square = np.array([0.0, np.pi / 2])
        if mine is full:
            valve = found["valve"].sel(angle=square, method="nearest", tolerance=SAME_ANGLE)
        else:
            valve = validation.sample_valve(build, square, mine, run, f"valve of {name}", **changed)
        found["points"][count, width] = valve, spacer
    return found


def specular(options, comm, checkpoint):
    """The valve with a clean spacer."""
    import numpy as np

    import qtorque as qt
    from qtorque import validation

    def build(spacer_layers):
        return command_line.load_system(options.specular_system, [f"spacer_layers={spacer_layers}"])

    return validation.specular_comparisons(
        build, kset=qt.kmesh(options.specular_kmesh, symmetry="square"), layers=range(1, options.specular_layers + 1),
        angle=np.deg2rad([0.0, 90.0, 180.0]), energy=options.energy,
        run=validation.Run(comm=comm, checkpoint=checkpoint, progress=not options.quiet),
    )  # fmt: skip


def picture_of(figure):
    """A figure as PNG."""
    import io

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=PAGE_RESOLUTION)
    return file.getvalue()


def sections_of(options, settings, tables, found, clean):
    """The report, its figures by name, and the data set of all samples."""
    import numpy as np

    from qtorque import plot, validation
    from qtorque.validation import CIRCUIT, DIFFUSION, PER_MOMENTUM, THICK, UNCORRECTED

    layers, widths = swept(options, settings)
    count, width = settings["spacer_layers"], settings["disorder"]
    height = settings["lattice_constant"] * 1e-9
    points, angles, parts = found["points"], found["angles"], found["parts"]
    spacers = {n * height: points[n, width][1] for n in layers}
    line = validation.resistance_of_spacers(spacers)

    def models(n, w, angle):
        # Magnets and spacers of one comparison have the same configurations.
        spacer = points[n, w][1]
        some = validation.Parts(fixed=parts.fixed[: len(spacer)], free=parts.free[: len(spacer)])
        return validation.angular_models(some, spacers, spacer, n * height, angle)

    of_angles = models(count, width, angles)
    square = np.array([0.0, np.pi / 2])
    versus_thickness = [(1e9 * n * height, points[n, width][0], models(n, width, square)) for n in layers]
    versus_disorder = [(w, points[count, w][0], models(count, w, square)) for w in widths]
    comparisons = {
        "angles": validation.angular_comparisons(found["valve"], of_angles, angles),
        "thickness": validation.sweep_comparisons(
            versus_thickness, column=RIGHT_ANGLE, coordinate="thickness of the spacer", coordinate_unit="nm",
            models=(CIRCUIT, DIFFUSION, UNCORRECTED),
        ),
        "disorder": validation.sweep_comparisons(
            versus_disorder, column=RIGHT_ANGLE, coordinate="disorder", coordinate_unit="eV",
            models=(CIRCUIT, UNCORRECTED, THICK),
        ),
        "magnet": validation.single_magnet_comparisons(found["composite"], parts.free, points[count, width][1]),
        "specular": clean[0],
    }  # fmt: skip
    if found["phase"] is not None:
        comparisons["phase"] = validation.single_magnet_comparisons(*found["phase"])
    figures = {name: plot.model_comparison(c) for name, c in comparisons.items() if name != "specular"}
    figures["spacer"] = plot.spacer_resistance(line)
    figures["specular"] = plot.specular_spacer(clean[1])

    def section(name, title, text, *extra, reference=CIRCUIT, tables=()):
        shown = [(title, picture_of(figures[picture])) for picture in (name, *extra)]
        verdicts = validation.judged(comparisons[name], reference)
        return validation.Section(title=title, text=text, comparisons=verdicts, tables=tables, pictures=shown)

    spacer = validation.mean_parameters(points[count, width][1])
    many, fewer = options.configurations, options.sweep_configurations
    phase = []
    if found["phase"] is not None:
        phase = [
            section(
                "phase", "One magnet with a large Im g_mix, N|F|N",
                f"The same with {', '.join(field_like_settings(options))}: Im g_mix is what a spin accumulation turns "
                "into field-like torque, and is compared in sign and size.",
            )
        ]  # fmt: skip
    sections = [
        section(
            "angles", "Disordered valve versus angle",
            f"N|F|N|F|N, {many} configurations. Circuit theory: both magnets and the spacer are resistors whose "
            "parameters were measured on the same lattice, each alone. Torques are coefficients of m x (p x m) and "
            "m x p per volt, sin(angle) removed.", "spacer",
            tables=[validation.parameter_table(parts), validation.spacer_table(line, spacer)],
        ),
        section(
            "thickness", "Thickness of the spacer, magnets at 90 degrees",
            f"{fewer} configurations a thickness ({many} at the valve's own). Drift-diffusion gives all of them one "
            "resistivity; circuit theory the resistance measured at each.",
        ),
        section(
            "disorder", "Disorder of the spacer, magnets at 90 degrees",
            f"{fewer} configurations a width ({many} at the valve's own). The weaker the disorder, the less does the "
            "spacer randomise momenta.",
        ),
        section(
            "magnet", "One magnet behind a disordered metal, N|F|N",
            "The spacer with the free magnet alone. The mixing conductance is that of the whole seen from the side of "
            "the disordered metal.",
        ),
        *phase,
        section(
            "specular", "Clean spacer", "F|N|F with magnets as leads, averaged over the thickness of a clean spacer. "
            "Every momentum is conserved; circuit theory holds at every momentum for itself, not for their sum.",
            reference=PER_MOMENTUM, tables=[validation.specular_table(clean[1])],
        ),
    ]  # fmt: skip
    sections += [
        validation.Section(
            title=f"Your table {table.name}",
            text="Judged by the quantum transport of the first section, at the same angles.",
            comparisons=validation.user_comparisons(table, found["valve"], of_angles, angles),
        )
        for table in tables
    ]
    data = found["valve"].merge(line).assign(clean[1].rename({name: f"specular_{name}" for name in clean[1]}))
    return sections, figures, data


def estimate(options, settings, tables):
    """A line about the work, and its seconds on one core, from one configuration of each kind."""
    from qtorque import validation

    build, few = builder(options), sampling_of(options, validation.GROUPS)
    run = validation.Run()
    layers, widths = swept(options, settings)
    angles = angles_of(options, tables)
    seconds = _stages.seconds_of(lambda: validation.sample_valve(build, angles, few, run))
    seconds += 2 * _stages.seconds_of(lambda: validation.sample_spacer(build, few, run, "spacer"))
    full, others = options.configurations, (len(layers) + len(widths) - 2) * options.sweep_configurations
    work = f"validation: {full} configurations of {len(angles)} angles, {others} at other thicknesses and disorder"
    seconds *= (full + others) / few.configurations
    return f"{work}, about {seconds:.3g} s on one core", seconds


def run(options, comm):
    from qtorque import plot, store, validation

    begin = time.monotonic()
    tables = [validation.read_user_table(path) for path in options.table]
    settings = settings_of(options)
    swept(options, settings)
    angles_of(options, tables)
    for configurations in (options.configurations, options.sweep_configurations):
        sampling_of(options, configurations)
    command_line.load_system(options.specular_system, ["spacer_layers=0"])
    digests = [hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest() for path in options.table]
    configuration = _stages.configuration(options) | {"table_digests": digests}
    force = command_line.may_replace(options, configuration)
    paths = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([estimate(options, settings, tables)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        found = sampled(options, settings, tables, comm, checkpoint)
        clean = specular(options, comm, checkpoint.part("specular"))
        if _stages.is_root(comm):
            sections, figures, data = sections_of(options, settings, tables, found, clean)
            origin = store.provenance(configuration, comm, seed=options.seed, wall_time=time.monotonic() - begin)
            text = "\n".join(f"{name}: {value}" for name, value in origin.items())
            page, numbers, samples, *pictures = paths
            store.save_bytes(validation.as_html(TITLE, sections, text).encode(), page, force)
            store.save_bytes(validation.as_csv(sections).encode(), numbers, force)
            store.save_dataset(data, samples, force=force, provenance=origin)
            drawn = [(figures[name], path) for name, path in zip(PICTURES, pictures, strict=True) if name in figures]
            for figure, path in drawn:
                plot.save_figure(figure, path, force)
            written = [page, numbers, samples, *(path for _, path in drawn)]
            print(*validation.as_text(sections), _stages.written(written), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system=DEFAULT_SYSTEM, output="results/valve")
    parser.add_argument(
        "--angle", type=command_line.grid, default="0:pi:5", help="of the free magnet, rad; default 0:pi:5"
    )
    parser.add_argument("--configurations", type=int, default=140, metavar="N", help="of the valve; default 140")
    parser.add_argument(
        "--sweep-configurations", type=int, default=40, metavar="N", help="at other thicknesses, disorder; default 40"
    )
    parser.add_argument(
        "--momenta", type=int, default=2, metavar="N", help="of a configuration: a shifted mesh of N x N; default 2"
    )
    parser.add_argument(
        "--thicknesses", type=command_line.grid, default="4,12", help="of the spacer, monolayers; default 4,12"
    )
    parser.add_argument("--disorders", type=command_line.grid, default="1,5", help="of the spacer, eV; default 1,5")
    parser.add_argument("--energy", type=command_line.number, default=0.0, help="eV; default 0, the Fermi energy")
    parser.add_argument("--seed", type=int, default=1, help="of momenta; default 1")
    parser.add_argument(
        "--field-like-set", action="append", default=[], metavar="NAME=VALUE",
        help="parameter of build() of a magnet with a large Im g_mix, whose field-like torque is compared; may be "
        "repeated; default of the default system " + " ".join(FIELD_LIKE_SET),
    )  # fmt: skip
    parser.add_argument(
        "--specular-system", default="systems/specular_spin_valve.py", metavar="FILE",
        help="valve with a clean spacer, build(spacer_layers); default systems/specular_spin_valve.py",
    )  # fmt: skip
    parser.add_argument(
        "--specular-layers", type=int, default=100, metavar="N", help="thicknesses 1 to N of it; default 100"
    )
    parser.add_argument("--specular-kmesh", type=int, default=32, metavar="N", help="mesh of it; default 32")
    parser.add_argument(
        "--table", action="append", default=[], metavar="CSV", help="numbers of your own to be judged; may be repeated"
    )
    command_line.main(run, parser)
