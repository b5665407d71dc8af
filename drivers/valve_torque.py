"""Torque and conductance of a spin valve versus angle: quantum transport beside circuit theory of its own interfaces.

    python drivers/valve_torque.py systems/co_cu_co_valve.py --set fixed_layers=10 -o results/co_cu_co
    mpiexec -n 4 python -m mpi4py drivers/valve_torque.py ...

Response to a vanishing voltage. Circuit theory takes its parameters from the same magnets, each alone between its
normal leads, at the same momenta: with and without the Sharvin correction, all momenta mixed in the spacer, and at
every momentum by itself where none has several channels. It knows no interference across the spacer, which a clean
spacer has: quantum transport is averaged over the thicknesses --layers of the spacer, with weights that fall smoothly
to both ends, and its error is the change of that mean from the thinner half to all of them. What is left between the
two is what a clean spacer remembers of momenta.

Takes a system whose build() has the parameters fixed_layers, spacer_layers and free_layers, each of which may be 0,
with leads and spacer of one normal metal. Writes PREFIX_valve_torque.nc, .csv, .md and .png and the scattering values
of the magnets, PREFIX_fixed.nc and PREFIX_free.nc (qt.InterfaceParameters.load), and prints the table: torques,
sin(angle) removed, per volt and per current, the largest deviations, and P and Lambda of the Slonczewski form of each
curve. The coefficients at 0 and pi are left out: single momenta have narrow peaks there. Near pi the quantum torque
needs many momenta for the same reason: at 150 degrees meshes of 32 and 36 differ by a third, up to 90 degrees by 7 %.
"""

import time

import _stages
import _thickness

from qtorque import command_line

ENDINGS = (
    "_valve_torque.nc", "_valve_torque.csv", "_valve_torque.md", "_valve_torque.png", "_fixed.nc", "_free.nc",
)  # fmt: skip
QUANTUM = "quantum transport"
NEEDED = ("fixed_layers", "spacer_layers", "free_layers")
"""Parameters of build() that tell the parts."""
TRANSPARENT = 1e-6
"""Share of the channels of leads and spacer that may be reflected between them: they are one metal, or they are not."""
FEWEST = 2
"""Thicknesses, of which an error is told."""
ROUNDING = 1e-9
"""rad; of an angle typed as pi."""
NO_SYMMETRY = "none"
PRINTED = 1e15
"""Ohm^-1 m^-2, the unit in which tables print."""


def parts_of(options):
    """The valve at every thickness of the spacer, the two magnets alone, and the spacer alone.

    Refused unless leads and spacer are one metal.
    """
    import numpy as np

    import qtorque as qt
    from qtorque.brillouin import require_symmetry
    from qtorque.scattering import require_open_leads
    from qtorque.torque import SMALL_SINE

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
    if len(options.layers) < FEWEST:
        raise qt.InputError(
            f"--layers {options.layers[0]}: interference needs an average; give first:last, such as 4:11"
        )
    angles = np.asarray(options.angle)
    inside = np.sin(angles) > SMALL_SINE
    if np.any(angles < 0) or np.any(angles > np.pi + ROUNDING) or np.any(np.diff(angles) <= 0) or sum(inside) < 3:
        raise qt.InputError(f"--angle {options.angle}: give ascending angles, three or more between 0 and pi")

    def build(**changed):
        texts = [f"{name}={value}" for name, value in changed.items()]
        return command_line.load_system(options.system, [*options.set, *texts])

    systems = _thickness.systems(options)
    for system in systems:
        system.free  # noqa: B018 -- refuses a stack without two magnets
    fixed, free = (build(spacer_layers=0, **{name: 0}) for name in ("free_layers", "fixed_layers"))
    alone = build(fixed_layers=0, free_layers=0, spacer_layers=options.layers[0])
    mesh = qt.kmesh(options.kmesh, symmetry=None if options.symmetry == NO_SYMMETRY else options.symmetry)
    require_open_leads(systems[0].chain(), mesh, options.energy)
    few = _stages.sample(mesh)
    for magnet in (fixed, free):
        # Refuses magnetic leads and spin-orbit coupling before the sweep.
        qt.interface_parameters(qt.solve(magnet, energy=options.energy, kmesh=few), sharvin_corrected=False)
    s = qt.solve(alone, energy=options.energy, kmesh=few)
    through, channels = float(qt.conductance(s).sum()), float(qt.sharvin_conductance(s, "left").sum())
    if not abs(through - channels) <= TRANSPARENT * channels:
        raise qt.InputError(
            f"system={options.system!r}: the spacer alone passes {through:.6g} of the {channels:.6g} channels; "
            "circuit theory of the parts needs leads and spacer of one metal"
        )

    def torques(k):
        d = qt.k_resolved_torkance(systems[0], angle=angles[inside][0], kmesh=qt.kpoints(k), energy=options.energy)
        return np.concatenate([d["torque"].values[:, 0], d["torque_fixed"].values[:, 0]], axis=-1)

    # The sweep looks at it too, but a dry run shall refuse it as well.
    require_symmetry(mesh, torques)
    return systems, fixed, free, mesh


def quantum(systems, options, mesh, comm, checkpoint, progress):
    """`QUANTITIES` of `qtorque.validation.models` at every thickness, (thicknesses, quantities, angles), SI."""
    import numpy as np

    import qtorque as qt
    from qtorque.units import conductance_per_area, torkance_per_area
    from qtorque.validation.models import QUANTITIES

    found = []
    for n, system in zip(options.layers, systems, strict=True):
        d = qt.linear_torkance(
            system, angle=options.angle, kmesh=mesh, energy=options.energy, comm=comm,
            checkpoint=checkpoint.part(f"{options.parameter}={n}"), progress=progress and f"{progress}, {n} layers",
        )  # fmt: skip
        torques = [torkance_per_area(d[name].values, system.area) for name in QUANTITIES[1:]]
        found.append([conductance_per_area(d["conductance"].values, system.area), *torques])
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


def mean_and_error(values):
    """Mean over the thicknesses (first axis), and its change from the thinner half of them."""
    import numpy as np

    from qtorque.validation.specular import smooth_weights

    whole, half = (np.tensordot(smooth_weights(n), values[:n], axes=1) for n in (len(values), -(-len(values) // 2)))
    return whole, np.abs(whole - half)


def models_of(parts, angle):
    """Circuit theory of the parts by name, each (quantities, angles)."""
    from qtorque import validation
    from qtorque.validation.models import predictions

    found = {} if parts.per_momentum is None else {validation.PER_MOMENTUM: parts.per_momentum}
    for name, corrected in ((validation.CIRCUIT, True), (validation.UNCORRECTED, False)):
        multilayer = validation.clean_valve(parts.fixed, parts.free, sharvin_corrected=corrected)
        found[name] = without_ends(predictions(multilayer, angle), angle)
    return found


def slonczewski(curve, angle):
    """P, Lambda, epsilon' and misfit of the Slonczewski form of torque per current, from one (quantities, angles)."""
    import numpy as np

    from qtorque.export import fit_slonczewski
    from qtorque.torquemap import TorqueMap
    from qtorque.units import ELEMENTARY_CHARGE, HBAR, NM2
    from qtorque.validation.models import QUANTITIES

    inside = np.isfinite(curve[1])
    conductance, *torques = curve[:, inside]
    # The form is one of torque per current: at 1 A/m^2 whatever the angle, through a cell of 1 nm^2.
    to_cell = HBAR / (2 * ELEMENTARY_CHARGE) * NM2 / ELEMENTARY_CHARGE
    per_current = {
        name: (values / conductance * to_cell)[:, np.newaxis]
        for name, values in zip(QUANTITIES[1:], torques, strict=True)
    }
    current = np.full((np.count_nonzero(inside), 1), NM2)
    tmap = TorqueMap(angle=angle[inside], voltage=np.ones(1), charge_current=current, area=1.0, **per_current)
    form = fit_slonczewski(tmap).forms[0]
    return form.polarization, form.Lambda, form.epsilon_prime, form.damping_like_residual


def dataset(values, models, options, parts, area):
    """All numbers: dims layers, angle, route (quantum transport and the models)."""
    import numpy as np
    import xarray as xr

    from qtorque.validation.models import QUANTITIES
    from qtorque.validation.samples import CONDUCTANCE_UNIT, TORKANCE_UNIT
    from qtorque.validation.studies import LABELS

    mean, error = mean_and_error(values)
    routes = {QUANTUM: mean, **models}
    variables = {}
    for row, name in enumerate(QUANTITIES):
        attributes = {"units": CONDUCTANCE_UNIT if row == 0 else TORKANCE_UNIT, "long_name": LABELS[name]}
        if row:
            attributes["long_name"] += ", per volt, sin(angle) removed"
        curves = np.array([curve[row] for curve in routes.values()])
        variables[name] = (("route", "angle"), curves, attributes)
        at_each = attributes | {"long_name": attributes["long_name"] + ", at one thickness"}
        variables[f"{name}_of_layers"] = (("layers", "angle"), values[:, row], at_each)
        changed = attributes | {"long_name": attributes["long_name"] + ", change over the thicker half"}
        variables[f"{name}_error"] = (("angle",), error[row], changed)
        if row:
            per_current = {"units": "hbar/2e", "long_name": f"{LABELS[name]}, per charge current, sin(angle) removed"}
            variables[f"{name}_per_current"] = (
                ("route", "angle"), np.array([curve[row] / curve[0] for curve in routes.values()]), per_current
            )  # fmt: skip
            at_each = per_current | {"long_name": per_current["long_name"] + ", at one thickness"}
            variables[f"{name}_per_current_of_layers"] = (("layers", "angle"), values[:, row] / values[:, 0], at_each)
    forms = np.array([slonczewski(curve, np.asarray(options.angle)) for curve in routes.values()])
    texts = {
        "polarization": "P of the Slonczewski form of torque per current",
        "Lambda": "Lambda of the Slonczewski form of torque per current",
        "epsilon_prime": "epsilon' of the Slonczewski form of torque per current",
        "misfit": "largest misfit of the damping-like torque over its largest value",
    }
    for column, (name, text) in enumerate(texts.items()):
        variables[name] = (("route",), forms[:, column], {"units": "1", "long_name": text})
    return xr.Dataset(
        variables,
        coords={
            "angle": ("angle", options.angle, {"units": "rad", "long_name": "angle between free and fixed magnet"}),
            "layers": ("layers", options.layers, {"units": "monolayers", "long_name": "thickness of the spacer"}),
            "route": ("route", list(routes), {"long_name": "what the numbers are from"}),
        },
        attrs={
            "cell_area": area,
            "cell_area_units": "nm^2",
            "energy": options.energy,
            "energy_units": "eV",
            "momenta": parts.fixed.attributes["momenta"],
            "most_channels": parts.most_channels,
        },
    )


def comparisons_of(d, angle):
    """Every model beside quantum transport, as `qtorque.validation` judges it."""
    import numpy as np

    from qtorque import validation
    from qtorque.validation.models import QUANTITIES
    from qtorque.validation.specular import NO_ISOTROPY, TOO_FEW
    from qtorque.validation.studies import LABELS, NO_CORRECTION, WHOLE_TORQUE, whole_torque

    assumptions = {validation.PER_MOMENTUM: "", validation.CIRCUIT: NO_ISOTROPY, validation.UNCORRECTED: NO_CORRECTION}
    mean = np.array([d[name].sel(route=QUANTUM).values for name in QUANTITIES])
    found = []
    for row, name in enumerate(QUANTITIES):
        kept = np.isfinite(mean[row])
        part = {} if row == 0 else {"scale": whole_torque(mean, name)[kept], "scale_name": WHOLE_TORQUE}
        found += [
            validation.Comparison(
                quantity=LABELS[name], unit=d[name].attrs["units"], model=model, coordinate="angle",
                coordinate_unit="deg", at=np.rad2deg(angle)[kept], quantum=mean[row, kept],
                quantum_error=d[f"{name}_error"].values[kept], found=d[name].sel(route=model).values[kept],
                assumption=assumptions[model], regime=() if assumptions[model] else [TOO_FEW] * int(kept.sum()), **part,
            )
            for model in d["route"].values[1:].tolist()
        ]  # fmt: skip
    reference = validation.PER_MOMENTUM if validation.PER_MOMENTUM in d["route"].values else validation.CIRCUIT
    return validation.judged(found, reference)


def table(d, verdicts):
    """The results as lines of Markdown."""
    import numpy as np

    from qtorque.validation.sections import summary_table

    routes, degrees = d["route"].values.tolist(), np.rad2deg(d["angle"].values)
    columns = [f"{x:.0f} deg" for x in degrees]

    def rows(name, scale):
        for route in routes:
            cells = [f"{x / scale:.4f}" for x in d[name].sel(route=route).values]
            if route == QUANTUM and f"{name}_error" in d:
                cells = [f"{x} +- {e / scale:.4f}" for x, e in zip(cells, d[f"{name}_error"].values, strict=True)]
            yield [route, *("" if "nan" in cell else cell for cell in cells)]

    lines = []
    for name, unit, scale in (
        ("conductance", "1e15 Ohm^-1 m^-2", PRINTED),
        ("damping_like", "1e15 (hbar/2e) Ohm^-1 m^-2", PRINTED),
        ("field_like", "1e15 (hbar/2e) Ohm^-1 m^-2", PRINTED),
        ("damping_like_per_current", "hbar/2e", 1.0),
    ):
        lines += [f"{d[name].attrs['long_name']} ({unit})", "", *_markdown(["", *columns], rows(name, scale)), ""]
    forms = [
        [route, *(f"{float(d[name].sel(route=route)):.4f}" for name in ("polarization", "Lambda", "epsilon_prime"))]
        + [f"{100 * float(d['misfit'].sel(route=route)):.2g} %"]
        for route in routes
    ]
    header = ["", "P", "Lambda", "epsilon'", "misfit"]
    lines += ["Slonczewski form of the damping-like torque per current, free magnet", "", *_markdown(header, forms), ""]
    summary = summary_table(verdicts)
    return [*lines, summary.caption, "", *_markdown(list(summary.header), summary.rows)]


def _markdown(header, rows):
    """A table of texts as lines."""
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]


def remarks(d):
    """What the reader of the table has to know beside it."""
    layers = d["layers"].values
    lines = [
        f"Quantum transport is the mean over {layers[0]} to {layers[-1]} monolayers of a clean spacer, +- its change "
        f"over the thicker half; {d.attrs['momenta']}."
    ]
    if d.attrs["most_channels"] > 1:
        lines.append(
            f"Circuit theory at every momentum is left out: a momentum has {d.attrs['most_channels']} channels, whose "
            "phases a clean spacer does not randomise one by one."
        )
    return lines


def estimate(systems, options, mesh):
    """A line about the work, and its seconds on one core, from some momenta in the thickest valve."""
    import qtorque as qt

    few = _stages.sample(mesh)
    seconds = _stages.seconds_of(
        lambda: qt.linear_torkance(systems[-1], angle=options.angle, kmesh=few, energy=options.energy)
    )
    seconds *= len(systems) * mesh.size / few.size
    text = f"valve: {len(systems)} thicknesses x {mesh.size} k-points x {len(options.angle)} angles"
    return f"{text}, about {seconds:.3g} s on one core", seconds


def run(options, comm):
    from qtorque import plot, store, validation

    begin = time.monotonic()
    systems, fixed, free, mesh = parts_of(options)
    configuration = _stages.configuration(options)
    force = command_line.may_replace(options, configuration)
    paths = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([estimate(systems, options, mesh)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        at = validation.Run(comm=comm, checkpoint=checkpoint, progress=not options.quiet)
        parts = validation.valve_parts(fixed, free, kmesh=mesh, angle=options.angle, energy=options.energy, run=at)
        models = models_of(parts, options.angle)
        values = quantum(systems, options, mesh, comm, checkpoint, _stages.label(options, "valve"))
        if _stages.is_root(comm):
            d = dataset(values, models, options, parts, systems[0].area)
            verdicts = comparisons_of(d, d["angle"].values)
            origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
            data, numbers, text, picture, of_fixed, of_free = paths
            lines = [*table(d, verdicts), "", *remarks(d)]
            section = validation.Section(title="spin valve", text="", comparisons=verdicts)
            store.save_dataset(d, data, force=force, provenance=origin)
            store.save_bytes(validation.as_csv([section]).encode(), numbers, force)
            store.save_bytes("\n".join([*lines, ""]).encode(), text, force)
            plot.save_figure(plot.spin_valve_torque(d), picture, force)
            parts.fixed.save(of_fixed, force)
            parts.free.save(of_free, force)
            print(*lines, "", *validation.as_text([section]), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/co_cu_co_valve.py", output="results/co_cu_co")
    _stages.add_mesh(parser)
    parser.add_argument(
        "--symmetry", default="trigonal",
        help="of the mesh (qt.kmesh): trigonal for (111), square for (001), rectangular for (110), or none; default "
        "trigonal",
    )  # fmt: skip
    parser.add_argument(
        "--angle", type=command_line.grid, default="0:pi:7", help="of the free magnet, rad; default 0:pi:7"
    )
    parser.add_argument(
        "--layers", type=_thickness.layer_counts, default=_thickness.layer_counts("4:15"),
        help="thicknesses of the spacer, first:last or a,b,c; default 4:15",
    )  # fmt: skip
    parser.set_defaults(parameter="spacer_layers", kmesh=72)
    parser.add_argument("--energy", type=command_line.number, default=0.0, help="eV; default 0, the Fermi energy")
    command_line.main(run, parser)
