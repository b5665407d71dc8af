"""Which thicknesses and widths the validation looks at, and what it says about them: the sections of its report."""

from pathlib import Path

from qtorque import command_line

DEFAULT_SYSTEM = "systems/disordered_spin_valve.py"
FIELD_LIKE_SET = ("onsite_up=3.5", "onsite_down=5.5")
"""Of the default system: a magnet with Im g_mix of a fifth of |g_mix| in place of zero."""
RESOLUTION = 150
"""Dots per inch of the figures, in the page and in the files."""
SAME_WIDTH = 1e-6
"""Relative; widths of disorder that agree to this are one."""
RIGHT_ANGLE = 1
"""Of the angles 0 and 90 degrees, at which thickness and disorder are varied, the second."""


def distinct(values):
    """Ascending, without those that differ from their neighbour by rounding alone."""
    import math

    found = []
    for value in sorted(values):
        if not found or not math.isclose(value, found[-1], rel_tol=SAME_WIDTH):
            found.append(value)
    return found


def swept(options, settings):
    """Thicknesses of the spacer and widths of the disorder that are looked at beside those of the valve, ascending."""
    from qtorque.errors import InputError

    if any(x != int(x) or x < 1 for x in options.thicknesses) or min(options.disorders) <= 0:
        raise InputError("--thicknesses and --disorders: give numbers of monolayers from 1 on, and widths above 0 eV")
    own = settings["spacer_layers"], settings["disorder"]
    layers = sorted({own[0], *(int(x) for x in options.thicknesses)})
    if len(layers) < 2:
        raise InputError(
            f"--thicknesses {layers[0]}: give one beside the valve's own, whose resistance is then foretold"
        )
    # The valve's own width stands for those that are it but for rounding.
    others = [w for w in distinct(options.disorders) if len(distinct([w, own[1]])) == 2]
    return layers, sorted([own[1], *others])


def field_like_settings(options):
    """Changes of build() for the magnet whose Im g_mix is not small."""
    if options.field_like_set:
        return options.field_like_set
    default = Path(__file__).parent.parent / DEFAULT_SYSTEM
    return FIELD_LIKE_SET if Path(options.system).samefile(default) else ()


def picture_of(figure):
    """A figure as PNG."""
    import io

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=RESOLUTION)
    return file.getvalue()


def sections_of(options, settings, tables, found, clean):
    """The report, its pictures (PNG) by name, and the data set of the samples."""
    import numpy as np

    from qtorque import plot, validation
    from qtorque.validation import CIRCUIT, DIFFUSION, PER_MOMENTUM, THICK, UNCORRECTED, Section

    layers, widths = swept(options, settings)
    own = count, width = settings["spacer_layers"], settings["disorder"]
    height = settings["lattice_constant"] * 1e-9
    points, angles, parts = found["points"], found["angles"], found["parts"]
    spacers = {n * height: points[n, width][1] for n in layers}
    line = validation.resistance_of_spacers(spacers)

    def models(n, w, angle):
        # Magnets and spacers of one comparison have the same configurations.
        spacer = points[n, w][1]
        some = validation.Parts(fixed=parts.fixed[: len(spacer)], free=parts.free[: len(spacer)])
        # Of another disorder there is one thickness, and no resistivity from others.
        return validation.angular_models(some, spacers if w == width else {}, spacer, n * height, angle)

    def ratio(n, w):
        return validation.mean_free_paths(points[n, w][1], n * height)

    square = np.array([0.0, np.pi / 2])
    of_angles = models(*own, angles)
    at_thickness = [(1e9 * n * height, points[n, width][0], models(n, width, square)) for n in layers]
    at_disorder = [(w, points[count, w][0], models(count, w, square)) for w in widths]
    own_spacer = points[own][1]
    comparisons = {
        "angles": validation.angular_comparisons(found["valve"], of_angles, angles, ratio(*own)),
        "thickness": validation.sweep_comparisons(
            at_thickness, column=RIGHT_ANGLE, coordinate="thickness of the spacer", coordinate_unit="nm",
            models=(CIRCUIT, DIFFUSION, UNCORRECTED), ratios=[ratio(n, width) for n in layers],
        ),
        "disorder": validation.sweep_comparisons(
            at_disorder, column=RIGHT_ANGLE, coordinate="disorder", coordinate_unit="eV",
            models=(CIRCUIT, UNCORRECTED, THICK), ratios=[ratio(count, w) for w in widths],
        ),
        "magnet": validation.single_magnet_comparisons(found["composite"], parts.free, own_spacer, ratio(*own)),
        "specular": clean[0],
    }  # fmt: skip
    if found["phase"] is not None:
        comparisons["phase"] = validation.single_magnet_comparisons(
            *found["phase"], validation.mean_free_paths(found["phase"][2], count * height)
        )
    # The clean spacer has a figure of its own kind.
    figures = {name: plot.model_comparison(c) for name, c in comparisons.items() if name != "specular"}
    figures |= {"spacer": plot.spacer_resistance(line), "specular": plot.specular_spacer(clean[1])}
    pictures = {name: picture_of(figure) for name, figure in figures.items()}

    def section(name, title, text, *, captions, reference=CIRCUIT, tables=()):
        verdicts = validation.judged(comparisons[name], reference)
        shown = [(caption, pictures[picture]) for picture, caption in captions.items()]
        return Section(title=title, text=text, comparisons=verdicts, tables=tables, pictures=shown)

    many, fewer = options.configurations, options.sweep_configurations
    phase = []
    if found["phase"] is not None:
        phase = [
            section(
                "phase", "One magnet with a large Im g_mix, N|F|N",
                f"The same with {', '.join(field_like_settings(options))}: Im g_mix is what a spin accumulation turns "
                "into field-like torque.", captions={"phase": "The magnet behind a disordered metal"},
            )
        ]  # fmt: skip
    regime = validation.regime_table(parts, own_spacer, count * height, settings.get("n", 1) * settings.get("m", 1))
    specular_settings = command_line.system_settings(options.specular_system, options.specular_set)
    lattice = ", ".join(f"{name}={value}" for name, value in specular_settings.items() if name != "spacer_layers")
    sections = [
        section(
            "angles", "Disordered valve versus angle",
            f"N|F|N|F|N, {many} configurations. Circuit theory: both magnets and the spacer are resistors whose "
            "parameters were measured on the same lattice, each alone; drift-diffusion takes the resistivity of the "
            "spacer from other thicknesses. Torques are coefficients of m x (p x m) and m x p per volt between the "
            "reservoirs, sin(angle) removed.", captions={
                "angles": "Conductance, magnetoresistance and torques versus angle",
                "spacer": "The spacer alone, without contact resistance",
            }, tables=[
                regime, validation.parameter_table(parts),
                validation.spacer_table(line, validation.mean_parameters(own_spacer)),
            ],
        ),
        section(
            "thickness", "Thickness of the spacer, magnets at 90 degrees",
            f"{fewer} configurations a thickness ({many} at the valve's own). Drift-diffusion foretells every "
            "thickness from the resistivity of the others; circuit theory has the resistance measured at each.",
            captions={"thickness": "Versus the thickness of the spacer"},
        ),
        section(
            "disorder", "Disorder of the spacer, magnets at 90 degrees",
            f"{fewer} configurations a width ({many} at the valve's own). The weaker the disorder, the less does the "
            "spacer randomise momenta.", captions={"disorder": "Versus the width of the disorder"},
        ),
        section(
            "magnet", "One magnet behind a disordered metal, N|F|N",
            "The spacer with the free magnet alone. The mixing conductance is that of the whole seen from the side of "
            "the disordered metal.", captions={"magnet": "The magnet behind a disordered metal"},
        ),
        *phase,
        section(
            "specular", "Clean spacer", f"Another valve, F|N|F with magnets as leads ({options.specular_system}: "
            f"{lattice}), averaged over {options.specular_layers} thicknesses of a clean spacer. Every momentum is "
            "conserved; circuit theory holds at every momentum for itself, not for their sum.",
            captions={"specular": "Antiparallel transmission through a clean spacer"}, reference=PER_MOMENTUM,
            tables=[validation.specular_table(clean[1])],
        ),
    ]  # fmt: skip
    for table in tables:
        judged = validation.user_comparisons(table, found["valve"], of_angles, angles)
        shown = plot.model_comparison([c for mine, _, ours in judged for c in (mine, *ours)])
        sections.append(
            Section(
                title=f"Your table {table.name}",
                text="Judged by the quantum transport of the first section at the same angles. Torques contain "
                "sin(angle), and are positive where they pull the free magnet towards the fixed one.",
                comparisons=[(c, verdict) for c, verdict, _ in judged],
                pictures=[(f"{table.name} beside the models", picture_of(shown))],
            )
        )
    short = Section(
        title="In short",
        text="The disordered valve versus angle: which model holds for what. A model that holds may be trusted for "
        "lattices of this regime; the sections below say why the others fail.",
        tables=[validation.summary_table(sections[0].comparisons), regime],
    )
    data = found["valve"].merge(line).assign(clean[1].rename({name: f"specular_{name}" for name in clean[1]}))
    return [short, *sections], pictures, data
