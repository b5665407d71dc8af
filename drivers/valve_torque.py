"""Torque and conductance of a spin valve versus angle: quantum transport beside circuit theory of its own interfaces.

    python drivers/valve_torque.py systems/co_cu_co_valve.py --set fixed_layers=10 -o results/co_cu_co
    mpiexec -n 4 python -m mpi4py drivers/valve_torque.py ...

Response to a vanishing voltage. Circuit theory takes its parameters from the same magnets, each alone between its
normal leads, at the same momenta: with and without the Sharvin correction, all momenta mixed in the spacer, and at
every momentum by itself where none has several channels. It knows no interference across the spacer, which a clean
spacer has: quantum transport is averaged over the consecutive thicknesses --layers of the spacer, with weights that
fall smoothly to both ends. What is left between the two is what a clean spacer remembers of momenta.

Errors are no standard errors. They join two changes: the largest one of the mean over thicknesses when it is taken over
any three consecutive quarters of them, and that of everything on a mesh of two thirds of --kmesh, which is solved as
well. Near pi the quantum torque needs the most momenta, single ones have narrow peaks there: in the valve of
systems/co_cu_co_valve.py meshes of 60 and 72 with trigonal symmetry differ by 11.5 % at 150 degrees, by 1.5 % at 120
and by 1.0 % at 90. The coefficients at 0 and pi are left out for the same reason.

Takes a system whose build() has the parameters fixed_layers, spacer_layers and free_layers, each of which may be 0,
with leads and spacer of one normal metal. Writes PREFIX_valve_torque.nc, .csv, .md and .png and the scattering values
of the magnets, PREFIX_fixed.nc and PREFIX_free.nc (qt.InterfaceParameters.load), and prints the table: torques,
sin(angle) removed, per volt and per current, the largest deviations, and P and Lambda of the Slonczewski form of each
curve.
"""

import time

import _stages
import _thickness
import _valve

from qtorque import command_line

ENDINGS = (
    "_valve_torque.nc", "_valve_torque.csv", "_valve_torque.md", "_valve_torque.png", "_fixed.nc", "_free.nc",
)  # fmt: skip
NEEDED = ("fixed_layers", "spacer_layers", "free_layers")
"""Parameters of build() that tell the parts."""
TRANSPARENT = 1e-6
"""Share of the channels of leads and spacer that may be reflected between them: they are one metal, or they are not."""
FEWEST = 4
"""Thicknesses, of which three quarters are not all of them and more than two."""
FEWEST_MOMENTA = 3
"""A side of the mesh: two thirds of it are a mesh as well."""
ROUNDING = 1e-9
"""rad; of an angle typed as pi."""
END = 2e-4
"""rad; in place of 0 and pi, where limits of torques would cost angles of their own. The conductance is even there."""
CURVE_POINTS = 181
"""Angles of the models in the figure, which cost next to nothing."""
NO_SYMMETRY = "none"
SYMMETRIES = (
    NO_SYMMETRY, "inversion", "rectangular", "rhombic", "square", "trigonal", "hexagonal", "hexagonal-120",
)  # fmt: skip


def require_numbers(options):
    """Refuse thicknesses, meshes and angles that make no comparison."""
    import numpy as np

    import qtorque as qt
    from qtorque.torque import SMALL_SINE

    if len(options.layers) < FEWEST or set(np.diff(options.layers)) != {1}:
        raise qt.InputError(
            f"--layers {','.join(map(str, options.layers))}: a mean without interference needs {FEWEST} or more "
            "consecutive thicknesses; give first:last, such as 4:15"
        )
    if options.kmesh < FEWEST_MOMENTA:
        raise qt.InputError(
            f"--kmesh {options.kmesh}: the error is told from a coarser kmesh; give {FEWEST_MOMENTA} or more"
        )
    angles = np.asarray(options.angle)
    inside = np.sin(angles) > SMALL_SINE
    if np.any(angles < 0) or np.any(angles > np.pi + ROUNDING) or np.any(np.diff(angles) <= 0) or sum(inside) < 3:
        raise qt.InputError(f"--angle {options.angle}: give ascending angles, three or more between 0 and pi")


def meshes_of(options):
    """The mesh, and the coarser one that tells its error."""
    import qtorque as qt

    symmetry = None if options.symmetry == NO_SYMMETRY else options.symmetry
    return tuple(qt.kmesh(n, symmetry=symmetry) for n in (options.kmesh, max(2, round(2 * options.kmesh / 3))))


def parts_of(options):
    """The valve at every thickness of the spacer, the two magnets alone, and the meshes.

    Refused unless the valve is the sum of its parts, and leads and spacer are one metal.
    """
    import numpy as np

    import qtorque as qt
    from qtorque.brillouin import require_symmetry
    from qtorque.scattering import require_open_leads
    from qtorque.validation.models import predictions

    settings = command_line.system_settings(options.system, options.set)
    missing = [name for name in NEEDED if name not in settings]
    if missing:
        raise qt.InputError(
            f"system={options.system!r}: build() has no parameter {missing[0]!r}; a valve has {', '.join(NEEDED)}, as "
            "systems/co_cu_co_valve.py"
        )
    for name in ("fixed_layers", "free_layers"):
        if settings[name] < 1:
            raise qt.InputError(f"--set {name}={settings[name]}: a valve has two magnets; give 1 or more")
    require_numbers(options)

    def build(**changed):
        texts = [f"{name}={value}" for name, value in changed.items()]
        return command_line.load_system(options.system, [*options.set, *texts])

    systems = _thickness.systems(options)
    for system in systems:
        system.free  # noqa: B018 -- refuses a stack without two magnets
    fixed, free = (build(spacer_layers=0, **{name: 0}) for name in ("free_layers", "fixed_layers"))
    for count in (options.layers[0], options.layers[-1]):
        alone = build(fixed_layers=0, free_layers=0, spacer_layers=count)
        if monolayers(build(spacer_layers=count)) != [x for part in (fixed, alone, free) for x in monolayers(part)]:
            raise qt.InputError(
                f"system={options.system!r}: the valve with spacer_layers={count} is not the fixed magnet, the spacer "
                "and the free magnet one after the other; let build() leave out the parts of 0 layers, and add nothing"
            )
    meshes = meshes_of(options)
    for mesh in meshes:
        require_open_leads(systems[0].chain(), mesh, options.energy)
    few = _stages.sample(meshes[0])
    slabs = [
        qt.interface_parameters(qt.solve(magnet, energy=options.energy, kmesh=few), sharvin_corrected=False)
        for magnet in (fixed, free)
    ]
    s = qt.solve(alone, energy=options.energy, kmesh=few)
    through, channels = float(qt.conductance(s).sum()), float(qt.sharvin_conductance(s, "left").sum())
    if not abs(through - channels) <= TRANSPARENT * channels:
        raise qt.InputError(
            f"system={options.system!r}: the spacer alone passes {through:.6g} of the {channels:.6g} channels; "
            "circuit theory of the parts needs leads and spacer of one metal"
        )
    try:
        for circuit in circuits(*slabs).values():
            predictions(circuit, options.angle)
    except qt.InputError as refused:
        raise qt.InputError(
            f"system={options.system!r}: no circuit theory of its magnets ({refused}); take magnets that let both "
            "spins pass"
        ) from refused

    def response(k):
        inside = np.clip(options.angle, END, np.pi - END)[len(options.angle) // 2]
        d = qt.k_resolved_torkance(systems[0], angle=inside, kmesh=qt.kpoints(k), energy=options.energy)
        return np.concatenate([d["conductance"].values, *(d[x].values[:, 0] for x in ("torque", "torque_fixed"))], -1)

    try:
        require_symmetry(meshes[0], response)
    except qt.InputError as refused:
        raise qt.InputError(f"--symmetry {options.symmetry}: {refused}") from refused
    return systems, fixed, free, meshes


def monolayers(stack):
    """What tells the monolayers of a region apart, in their order; of another system than a `Stack` only how many."""
    import qtorque as qt
    from qtorque.bloch import as_layered

    if not isinstance(stack, qt.Stack):
        return [None] * as_layered(stack).layers
    return [
        (layer.material.name, layer.material.onsite.tobytes(), layer.material.exchange.tobytes(), layer.shift)
        for layer in stack.layers
        for _ in range(layer.n)
    ]


def quantum(systems, options, mesh, parts, comm, checkpoint, progress):
    """`QUANTITIES` of `qtorque.validation.models` at every thickness, (thicknesses, quantities, angles), SI.

    Momenta on a band edge are solved beside it, as those of the magnets are; those without a channel carry nothing.
    """
    import numpy as np

    import qtorque as qt
    from qtorque.scattering import BAND_EDGE_SHIFT
    from qtorque.units import conductance_per_area, torkance_per_area
    from qtorque.validation.models import QUANTITIES

    angle = np.clip(options.angle, END, np.pi - END)
    points, weights = mesh.points, mesh.weights
    groups = ((~parts.shifted, options.energy), (parts.shifted, options.energy + BAND_EDGE_SHIFT))
    found = []
    for n, system in zip(options.layers, systems, strict=True):
        total = np.zeros((len(QUANTITIES), len(angle)))
        for group, energy in groups:
            kept = group & (parts.channels > 0)
            if not kept.any():
                continue
            d = qt.linear_torkance(
                system, angle=angle, kmesh=qt.kpoints(points[kept], weights[kept]), energy=energy, comm=comm,
                checkpoint=checkpoint.part(f"{options.parameter}={n}"), progress=progress and f"{progress}, {n} layers",
            )  # fmt: skip
            torques = [torkance_per_area(d[name].values, system.area) for name in QUANTITIES[1:]]
            total += np.array([conductance_per_area(d["conductance"].values, system.area), *torques])
        found.append(total)
    return without_ends(np.array(found), options.angle)


def without_ends(values, angle):
    """(..., quantities, angles) without torque coefficients at 0 and pi.

    They are limits, and those of single momenta have narrow peaks there: see
    `qtorque.validation.incoherent_quantities`.
    """
    import numpy as np

    from qtorque.torque import SMALL_SINE

    values = values.copy()
    values[..., 1:, np.abs(np.sin(angle)) < SMALL_SINE] = np.nan
    return values


def circuits(fixed, free):
    """Circuit theory of the summed parameters by name."""
    from qtorque import validation

    return {
        name: validation.clean_valve(fixed, free, sharvin_corrected=corrected)
        for name, corrected in ((validation.CIRCUIT, True), (validation.UNCORRECTED, False))
    }


def models_of(parts, angle):
    """Circuit theory of the parts by name, each (quantities, angles); `angle` are those of `parts`."""
    from qtorque import validation
    from qtorque.validation.models import predictions

    found = {} if parts.per_momentum is None else {validation.PER_MOMENTUM: parts.per_momentum}
    for name, multilayer in circuits(parts.fixed, parts.free).items():
        found[name] = without_ends(predictions(multilayer, angle), angle)
    return found


def curve_angles(options):
    """The angles of the models in the figure, rad."""
    import numpy as np

    return np.linspace(options.angle[0], options.angle[-1], CURVE_POINTS)


def estimate(systems, options, meshes):
    """A line about the work, and its seconds on one core, from some momenta in the thickest valve."""
    import numpy as np

    import qtorque as qt

    few = _stages.sample(meshes[0])
    angle = np.clip(options.angle, END, np.pi - END)
    seconds = _stages.seconds_of(
        lambda: qt.linear_torkance(systems[-1], angle=angle, kmesh=few, energy=options.energy)
    )
    momenta = sum(mesh.size for mesh in meshes)
    seconds *= len(systems) * momenta / few.size
    text = f"valve: {len(systems)} thicknesses x {momenta} k-points on two meshes x {len(options.angle)} angles"
    return f"{text}, about {seconds:.3g} s on one core", seconds


def run(options, comm):
    import numpy as np

    from qtorque import plot, store, validation

    begin = time.monotonic()
    systems, fixed, free, meshes = parts_of(options)
    configuration = _stages.configuration(options)
    force = command_line.may_replace(options, configuration)
    paths = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([estimate(systems, options, meshes)], comm)
        return
    count, curve = len(options.angle), curve_angles(options)
    every = np.array([*options.angle, *curve])
    with command_line.resumable(options, configuration, comm) as checkpoint:
        at = validation.Run(comm=comm, checkpoint=checkpoint, progress=not options.quiet)
        parts = [
            validation.valve_parts(fixed, free, kmesh=mesh, angle=angle, energy=options.energy, run=at)
            for mesh, angle in zip(meshes, (every, options.angle), strict=True)
        ]
        of_all, of_coarse = models_of(parts[0], every), models_of(parts[1], np.asarray(options.angle))
        models = [{name: found[:, :count] for name, found in of_all.items()}, of_coarse]
        # One mesh may meet several channels where the other does not.
        models = [{name: model[name] for name in models[0] if name in models[1]} for model in models]
        curves = {name: of_all[name][:, count:] for name in models[0]}
        values = [
            quantum(systems, options, mesh, part, comm, checkpoint, _stages.label(options, f"valve, {mesh!r}"))
            for mesh, part in zip(meshes, parts, strict=True)
        ]
        shifted = max(
            float(mesh.weights @ (part.shifted & (part.channels > 0)))
            for mesh, part in zip(meshes, parts, strict=True)
        )  # fmt: skip
        if _stages.is_root(comm):
            d = _valve.dataset(values, models, curves, curve, options, parts, systems[0].area)
            d = d.assign_attrs(shifted_weight=shifted)
            verdicts = _valve.comparisons_of(d, models)
            origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
            data, numbers, text, picture, of_fixed, of_free = paths
            lines = [*_valve.table(d, verdicts), "", *_valve.remarks(d), *_stages.shifted_report(shifted)]
            section = validation.Section(title="spin valve", text="", comparisons=verdicts)
            store.save_dataset(d, data, force=force, provenance=origin)
            store.save_bytes(validation.as_csv([section]).encode(), numbers, force)
            store.save_bytes("\n".join([*lines, ""]).encode(), text, force)
            plot.save_figure(plot.spin_valve_torque(d), picture, force)
            for magnet, path in ((parts[0].fixed, of_fixed), (parts[0].free, of_free)):
                store.save_dataset(magnet.to_dataset(), path, force=force, provenance=origin)
            print(*lines, "", *validation.as_text([section]), _stages.written(paths), sep="\n")
    _stages.end_for_shifted(shifted, comm)


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/co_cu_co_valve.py", output="results/co_cu_co")
    _stages.add_mesh(parser)
    _stages.change_defaults(parser, kmesh="72")
    parser.add_argument(
        "--symmetry", default="trigonal", choices=SYMMETRIES,
        help="of the mesh (qt.kmesh): trigonal for (111), square for (001), rectangular for (110), or none; default "
        "trigonal",
    )  # fmt: skip
    parser.add_argument(
        "--angle", type=command_line.grid, default="0:pi:7", help="of the free magnet, rad; default 0:pi:7"
    )
    parser.add_argument(
        "--layers", type=_thickness.layer_counts, default=_thickness.layer_counts("4:15"),
        help="thicknesses of the spacer, consecutive, first:last; default 4:15",
    )  # fmt: skip
    parser.set_defaults(parameter="spacer_layers")
    parser.add_argument("--energy", type=command_line.number, default=0.0, help="eV; default 0, the Fermi energy")
    command_line.main(run, parser)
