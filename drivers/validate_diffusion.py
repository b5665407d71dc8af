"""Judge drift-diffusion and circuit theory by quantum transport on the same lattice: a report with verdicts.

    python drivers/validate_diffusion.py -o results/valve
    mpiexec -n 4 python -m mpi4py drivers/validate_diffusion.py --set disorder=2.5 --configurations 400
    python drivers/validate_diffusion.py --table mine.csv

A spin valve N|F|N|F|N with a disordered spacer is solved by quantum transport, averaged over configurations; its parts
alone give the parameters of circuit theory and of noncollinear drift-diffusion. Conductance, angular
magnetoresistance and torques are compared versus angle, spacer thickness and disorder; so is one magnet alone (N|F|N),
and a valve with a clean spacer, where circuit theory fails for want of isotropy. A table of one's own is judged the
same way: CSV, columns angle (degrees) and conductance (Ohm^-1 m^-2), torque (damping-like, on the free magnet, per volt
between the reservoirs, (hbar/2e) Ohm^-1 m^-2) or torque_efficiency (the same per current, hbar/2e). Such torques
contain sin(angle), and are positive where electrons from the fixed to the free magnet pull it towards the fixed one.

Takes a system whose build() has the parameters fixed_layers, spacer_layers, free_layers, disorder, configuration and
lattice_constant, such as systems/disordered_spin_valve.py. Writes PREFIX_validation.html (everything in one page),
.csv (every compared number), .nc (samples of the valve, resistances, the clean spacer), PREFIX_fixed.nc and
PREFIX_free.nc (parameters of the magnets, for qt.InterfaceParameters.load) and a PNG of every figure.
"""

import dataclasses
import hashlib
import time
from pathlib import Path

import _stages
from _validation import DEFAULT_SYSTEM, FIELD_LIKE_SET, field_like_settings, sections_of, swept

from qtorque import command_line

PICTURES = ("angles", "thickness", "disorder", "magnet", "phase", "spacer", "specular")
ENDINGS = (
    "_validation.html",
    "_validation.csv",
    "_validation.nc",
    "_fixed.nc",
    "_free.nc",
    *(f"_validation_{name}.png" for name in PICTURES),
)
TITLE = "Drift-diffusion judged by quantum transport"
SLABS = 7
"""Slabs beside each configuration of the valve: both magnets, the spacer, spacer and magnet, and the last three again
with a large Im g_mix."""
FINE_MESH = 200
"""Of an interface alone."""
SAME_ANGLE = 1e-9
"""rad; angles that agree to this are one."""
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


def check(options, tables, settings):
    """InputError for all that a study would refuse, before the first of them."""
    import qtorque as qt
    from qtorque.errors import InputError

    angles_of(options, tables)
    qt.kmesh(options.specular_kmesh)
    for configurations in (options.configurations, options.sweep_configurations):
        sampling_of(options, configurations)
    if options.sweep_configurations > options.configurations:
        raise InputError(
            f"--sweep-configurations {options.sweep_configurations} is more than --configurations "
            f"{options.configurations}; the magnets of a comparison are those of the same configurations"
        )
    for name, least in (("momenta", 1), ("specular_layers", 2), ("seed", 0)):
        if getattr(options, name) < least:
            option = name.replace("_", "-")
            raise InputError(f"--{option} {getattr(options, name)}: too small; give {least} or more")
    for option, given, varied in (
        ("--specular-set", options.specular_set, ("spacer_layers",)),
        ("--field-like-set", options.field_like_set, NEEDED),
    ):
        taken = [setting for setting in given if setting.partition("=")[0] in varied]
        if taken:
            raise InputError(f"{option} {taken[0]} is what the study varies or shares with the valve; leave it out")
    layers, widths = swept(options, settings)
    builder(options)(spacer_layers=layers[0], disorder=widths[0])
    builder(options, field_like_settings(options))()


def check_clean_spacer(options):
    """InputError where the clean spacer has no model, which it has from the interface alone."""
    import qtorque as qt
    from qtorque import validation

    interface = specular_build(options)(0)
    validation.antiparallel_sums(qt.solve(interface, energy=options.energy, kmesh=qt.kmesh(options.specular_kmesh)))


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
        name = f"{count} layers, disorder {width!r} eV"
        mine = full if (count, width) == own else fewer
        spacer = validation.sample_spacer(build, mine, run, f"spacer of {name}", **changed)
        square = np.array([0.0, np.pi / 2])
        if mine is full:
            valve = found["valve"].sel(angle=square, method="nearest", tolerance=SAME_ANGLE)
        else:
            valve = validation.sample_valve(build, square, mine, run, f"valve of {name}", **changed)
        found["points"][count, width] = valve, spacer
    return found


def specular_build(options):
    """build(spacer_layers) of the valve with a clean spacer."""

    def build(spacer_layers):
        return command_line.load_system(
            options.specular_system, [*options.specular_set, f"spacer_layers={spacer_layers}"]
        )

    return build


def specular(options, comm, checkpoint):
    """The valve with a clean spacer."""
    import numpy as np

    import qtorque as qt
    from qtorque import validation

    return validation.specular_comparisons(
        specular_build(options), kset=qt.kmesh(options.specular_kmesh), fine=qt.kmesh(FINE_MESH),
        layers=range(1, options.specular_layers + 1), angle=np.deg2rad([0.0, 90.0, 180.0]), energy=options.energy,
        run=validation.Run(comm=comm, checkpoint=checkpoint, progress=not options.quiet),
    )  # fmt: skip


def estimate(options, settings, tables):
    """A line about the work, and its seconds on one core, from one configuration of each kind."""
    from qtorque import validation

    build, one = builder(options), dataclasses.replace(sampling_of(options, options.configurations), configurations=1)
    run = validation.Run()
    layers, widths = swept(options, settings)
    angles = angles_of(options, tables)
    valve = _stages.seconds_of(lambda: validation.sample_valve(build, angles, one, run))
    slab = _stages.seconds_of(lambda: validation.sample_composite(build, one, run))
    full, others = options.configurations, (len(layers) + len(widths) - 2) * options.sweep_configurations
    work = f"validation: {full} configurations of {len(angles)} angles, {others} at other thicknesses and disorder"
    seconds = full * (valve + SLABS * slab) + others * (valve + slab)
    return f"{work}, about {seconds:.3g} s on one core", seconds


def run(options, comm):
    from qtorque import store, validation

    begin = time.monotonic()
    tables = [validation.read_user_table(path) for path in options.table]
    settings = settings_of(options)
    check(options, tables, settings)
    digests = [hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest() for path in options.table]
    configuration = _stages.configuration(options) | {
        "table_digests": digests,
        "specular_parameters": command_line.system_settings(options.specular_system, options.specular_set),
        "specular_source": Path(options.specular_system).read_text(encoding="utf-8"),
    }
    force = command_line.may_replace(options, configuration)
    paths = command_line.output_files(options.output, ENDINGS, force)
    check_clean_spacer(options)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([estimate(options, settings, tables)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        found = sampled(options, settings, tables, comm, checkpoint)
        clean = specular(options, comm, checkpoint.part("specular"))
        if _stages.is_root(comm):
            sections, pictures, data = sections_of(options, settings, tables, found, clean)
            origin = store.provenance(configuration, comm, seed=options.seed, wall_time=time.monotonic() - begin)
            text = "\n".join(f"{name}: {value}" for name, value in origin.items())
            page, numbers, samples, fixed, free, *places = paths
            store.save_bytes(validation.as_html(TITLE, sections, text).encode(), page, force)
            store.save_bytes(validation.as_csv(sections).encode(), numbers, force)
            store.save_dataset(data, samples, force=force, provenance=origin)
            for slabs, path in ((found["parts"].fixed, fixed), (found["parts"].free, free)):
                validation.mean_parameters(slabs).save(path, force)
            drawn = [(pictures[name], path) for name, path in zip(PICTURES, places, strict=True) if name in pictures]
            for picture, path in drawn:
                store.save_bytes(picture, path, force)
            written = [page, numbers, samples, fixed, free, *(path for _, path in drawn)]
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
    parser.add_argument(
        "--seed", type=int, default=1, help="of the shifts of momenta, not of the disorder (--set seed=); default 1"
    )
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
        "--specular-set", action="append", default=[], metavar="NAME=VALUE", help="parameter of its build()"
    )
    parser.add_argument(
        "--specular-layers", type=int, default=100, metavar="N", help="thicknesses 1 to N of it; default 100"
    )
    parser.add_argument("--specular-kmesh", type=int, default=16, metavar="N", help="mesh of it; default 16")
    parser.add_argument(
        "--table", action="append", default=[], metavar="CSV", help="numbers of your own to be judged; may be repeated"
    )
    command_line.main(run, parser)
