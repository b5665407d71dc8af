"""Numbers of a spin valve by several routes: errors, comparisons and tables of drivers/valve_torque.py.

A route is (curve, windows, coarse): its (quantities, angles), those of parts of the thicknesses, and those on the
coarser mesh. What is told of a curve is told of them all, and its error is how it changes.
"""

QUANTUM = "quantum transport"
PRINTED = 1e15
"""Ohm^-1 m^-2, the unit in which tables print."""
MOST_DIGITS = 6
"""Behind the point, of a number without an error."""
NOT_TESTED = "not tested here: "


def averaged(fine, coarse):
    """Mean over the thicknesses (first axis), those over any three quarters of them, and that on the coarse mesh."""
    import numpy as np

    from qtorque.validation.specular import hann_weights

    def mean(values):
        return np.tensordot(hann_weights(len(values)), values, axes=1)

    length = -(-3 * len(fine) // 4)
    return mean(fine), [mean(fine[i : i + length]) for i in range(len(fine) - length + 1)], mean(coarse)


def with_error(function, route):
    """function(curve) of a route as `averaged` gives it, and its error."""
    import numpy as np

    whole, windows, coarse = route
    value = np.asarray(function(whole))
    spread = np.max([np.abs(function(window) - value) for window in windows], axis=0)
    return value, np.hypot(spread, np.abs(function(coarse) - value))


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
    return np.array([form.polarization, form.Lambda, form.epsilon_prime, form.damping_like_residual])


def dataset(values, models, curves, curve_angle, options, parts, area):
    """All numbers: dims layers, angle, route (quantum transport and the models).

    Parameters
    ----------
    values
        (thicknesses, quantities, angles) of quantum transport on both meshes.
    models
        By name, (quantities, angles) on both meshes.
    curves
        By name, at the angles `curve_angle` of the figure.
    parts
        The `qtorque.validation.ValveParts` on both meshes.
    """
    import numpy as np
    import xarray as xr

    from qtorque.validation.models import QUANTITIES
    from qtorque.validation.samples import CONDUCTANCE_UNIT, TORKANCE_UNIT
    from qtorque.validation.studies import LABELS

    of_models = {name: (fine, [fine], models[1][name]) for name, fine in models[0].items()}
    routes = {QUANTUM: averaged(*values), **of_models}
    variables = {}

    def add(name, function, attributes):
        found, errors = zip(*(with_error(function, route) for route in routes.values()), strict=True)
        text = attributes["long_name"]
        variables[name] = (("route", "angle"), np.array(found), attributes)
        of_error = attributes | {"long_name": f"{text}, error"}
        variables[f"{name}_error"] = (("route", "angle"), np.array(errors), of_error)
        at_each = attributes | {"long_name": f"{text}, at one thickness"}
        variables[f"{name}_of_layers"] = (("layers", "angle"), np.array([function(x) for x in values[0]]), at_each)
        drawn = np.array([function(curve) for curve in curves.values()])
        variables[f"{name}_curve"] = (("model", "curve_angle"), drawn, attributes)

    for row, name in enumerate(QUANTITIES):
        attributes = {"units": CONDUCTANCE_UNIT if row == 0 else TORKANCE_UNIT, "long_name": LABELS[name]}
        if row:
            attributes["long_name"] += ", per volt, sin(angle) removed"
        add(name, lambda curve, row=row: curve[row], attributes)
        # Model and transport are of the same momenta: what the mesh does to both is no part of their difference.
        whole, windows, coarse = routes[QUANTUM]
        of_thickness = np.max([np.abs(window[row] - whole[row]) for window in windows], axis=0)
        of_mesh = [(fine[row] - whole[row]) - (rough[row] - coarse[row]) for fine, _, rough in of_models.values()]
        variables[f"{name}_difference_error"] = (
            ("model", "angle"), np.hypot(of_thickness, of_mesh),
            attributes | {"long_name": f"{attributes['long_name']}, error of model - quantum transport"},
        )  # fmt: skip
        if row:
            text = f"{LABELS[name]}, per charge current, sin(angle) removed"
            add(
                f"{name}_per_current", lambda curve, row=row: curve[row] / curve[0],
                {"units": "hbar/2e", "long_name": text},
            )  # fmt: skip
    angle = np.asarray(options.angle)
    forms = [with_error(lambda curve: slonczewski(curve, angle), route) for route in routes.values()]
    texts = {
        "polarization": "P of the Slonczewski form of torque per current",
        "Lambda": "Lambda of the Slonczewski form of torque per current",
        "epsilon_prime": "epsilon' of the Slonczewski form of torque per current",
        "misfit": "largest misfit of the damping-like torque over its largest value",
    }
    for column, (name, text) in enumerate(texts.items()):
        for ending, which, suffix in (("", 0, ""), ("_error", 1, ", error")):
            found = np.array([form[which][column] for form in forms])
            variables[name + ending] = (("route",), found, {"units": "1", "long_name": text + suffix})
    of_angle = {"units": "rad", "long_name": "angle between free and fixed magnet"}
    return xr.Dataset(
        variables,
        coords={
            "angle": ("angle", angle, of_angle),
            "curve_angle": ("curve_angle", curve_angle, of_angle),
            "layers": ("layers", options.layers, {"units": "monolayers", "long_name": "thickness of the spacer"}),
            "route": ("route", list(routes), {"long_name": "what the numbers are from"}),
            "model": ("model", list(of_models), {"long_name": "the routes but quantum transport"}),
        },
        attrs={
            "cell_area": area,
            "cell_area_units": "nm^2",
            "energy": options.energy,
            "energy_units": "eV",
            "momenta": parts[0].fixed.attributes["momenta"],
            "coarse_momenta": parts[1].fixed.attributes["momenta"],
            "most_channels": max(part.most_channels for part in parts),
        },
    )


def comparisons_of(d, models):
    """Every model beside quantum transport; its reason to fail is tested on the model without that assumption.

    Parameters
    ----------
    d, models
        `dataset`, and the models it was made of.
    """
    import numpy as np

    from qtorque import validation
    from qtorque.validation.models import QUANTITIES
    from qtorque.validation.specular import NO_ISOTROPY, TOO_FEW
    from qtorque.validation.studies import LABELS, NO_CORRECTION, WHOLE_TORQUE, whole_torque

    assumptions = {validation.CIRCUIT: NO_ISOTROPY, validation.UNCORRECTED: NO_CORRECTION}
    better = {validation.CIRCUIT: validation.PER_MOMENTUM, validation.UNCORRECTED: validation.CIRCUIT}
    names = d["model"].values.tolist()
    # Two models change alike with the mesh; of both the same is left out.
    left_out = {model: np.array([models[1][model], 2 * models[0][model] - models[1][model]]) for model in names}
    mean = np.array([d[name].sel(route=QUANTUM).values for name in QUANTITIES])
    verdicts = []
    for row, name in enumerate(QUANTITIES):
        kept = np.isfinite(mean[row])
        part = {} if row == 0 else {"scale": whole_torque(mean, name)[kept], "scale_name": WHOLE_TORQUE}
        found = {}
        for model in names:
            tested = better.get(model) in names
            reason = f"{NOT_TESTED}{assumptions.get(model, TOO_FEW)}"
            found[model] = validation.Comparison(
                quantity=LABELS[name], unit=d[name].attrs["units"], model=model, coordinate="angle",
                coordinate_unit="deg", at=np.rad2deg(d["angle"].values)[kept], quantum=mean[row, kept],
                quantum_error=d[f"{name}_error"].sel(route=QUANTUM).values[kept],
                found=d[name].sel(route=model).values[kept],
                found_error=d[f"{name}_error"].sel(route=model).values[kept],
                difference_error=d[f"{name}_difference_error"].sel(model=model).values[kept],
                left_out=left_out[model][:, row, kept], assumption=assumptions[model] if tested else "",
                regime=() if tested else [reason] * int(kept.sum()), **part,
            )  # fmt: skip
        verdicts += [(c, validation.judge(c, found.get(better.get(model)))) for model, c in found.items()]
    return verdicts


def table(d, verdicts):
    """The results as lines of Markdown."""
    import numpy as np

    from qtorque.validation.sections import summary_table

    routes, degrees = d["route"].values.tolist(), np.rad2deg(d["angle"].values)
    columns = [f"{x:.0f} deg" for x in degrees]

    def rows(name, scale):
        for route in routes:
            found, errors = (d[x].sel(route=route).values / scale for x in (name, f"{name}_error"))
            yield [route, *(number(x, e) for x, e in zip(found, errors, strict=True))]

    lines = []
    for name, unit, scale in (
        ("conductance", "1e15 Ohm^-1 m^-2", PRINTED),
        ("damping_like", "1e15 (hbar/2e) Ohm^-1 m^-2", PRINTED),
        ("field_like", "1e15 (hbar/2e) Ohm^-1 m^-2", PRINTED),
        ("damping_like_per_current", "hbar/2e", 1.0),
    ):
        lines += [f"{d[name].attrs['long_name']} ({unit})", "", *_markdown(["", *columns], rows(name, scale)), ""]
    forms = [
        [
            route,
            *(
                number(float(d[name].sel(route=route)), float(d[f"{name}_error"].sel(route=route)))
                for name in ("polarization", "Lambda", "epsilon_prime")
            ),
            f"{100 * float(d['misfit'].sel(route=route)):.2g} %",
        ]
        for route in routes
    ]
    header = ["", "P", "Lambda", "epsilon'", "misfit"]
    lines += ["Slonczewski form of the damping-like torque per current, free magnet", "", *_markdown(header, forms), ""]
    summary = summary_table(verdicts)
    return [*lines, summary.caption, "", *_markdown(list(summary.header), summary.rows)]


def number(value, error):
    """A number with its error, to two digits of the error; empty where it is none."""
    import math

    if not math.isfinite(value):
        return ""
    if not (math.isfinite(error) and error > 0):
        return f"{value:.4f}"
    digits = min(MOST_DIGITS, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def _markdown(header, rows):
    """A table of texts as lines."""
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]


def remarks(d):
    """What the reader of the table has to know beside it."""
    layers = d["layers"].values
    lines = [
        f"Quantum transport is the mean over {layers[0]} to {layers[-1]} monolayers of a clean spacer, "
        f"{d.attrs['momenta']}. Errors are no standard errors: the largest change of that mean over three quarters of "
        f"the thicknesses, and the change from {d.attrs['coarse_momenta']}. Verdicts allow twice of them, and leave "
        "out what the mesh changes alike in a model and in quantum transport."
    ]
    if d.attrs["most_channels"] > 1:
        lines.append(
            f"Circuit theory at every momentum is left out: a momentum has {d.attrs['most_channels']} channels, whose "
            "phases a clean spacer does not randomise one by one."
        )
    return lines
