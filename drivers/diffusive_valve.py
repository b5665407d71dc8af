"""Resistance, accumulation and torque of a spin valve by drift-diffusion, and the torque map for the dynamics.

    python drivers/diffusive_valve.py --set spacer_thickness=10e-9 -o results/valve
    python drivers/diffusive_valve.py --vary free_thickness --values 1e-9:20e-9:20 -o results/thickness
    python drivers/switching.py results/valve_map.nc -o results/valve

Takes a system whose build() returns a qtorque.diffusion.Multilayer with two magnets or more. Writes PREFIX_diffusion.nc
(resistance and torques versus angle, and potential, spin accumulation and spin current through the stack at
--profile-angle), PREFIX_diffusion.png and PREFIX_map.nc, the torque map that drivers/switching.py reads. With --vary it
also writes PREFIX_NAME.nc and PREFIX_NAME.png: magnetoresistance and torque versus that parameter of build(). Prints a
table of both states and of the torque at 90 degrees. The model is linear in the voltage. SI units.

Of a stack without any mixing conductance and transverse length, the model of Valet and Fert, there are both collinear
states and their profile, no torques and no map.
"""

import math
import time

import _stages

from qtorque import command_line

ENDINGS, MAP_ENDING = ("_diffusion.nc", "_diffusion.png"), "_map.nc"
CELL = 1.0
"""nm^2 that the torque map is per; the dynamics scale it to the area of the free layer."""
LAYER_POINTS = 41
"""Positions at which the profile shows each layer."""
ACROSS = math.pi / 2
"""Angle at which the table shows the torque."""
UNITS = {
    "thickness": "m", "length": "m", "rho_star": "Ohm m", "AR_star": "Ohm m^2", "mixing_conductance": "S/m^2",
    "imaginary": "S/m^2", "transmitted": "S/m^2", "beta": "1", "gamma": "1", "loss": "1",
}  # fmt: skip
"""Of parameters of build(), by how their names end; others are in SI."""
SUMMARY = {
    "resistance_area_parallel": ("Ohm m^2", "resistance times area, parallel"),
    "resistance_area_antiparallel": ("Ohm m^2", "resistance times area, antiparallel"),
    "magnetoresistance": ("1", "(R_AP - R_P)/R_P"),
    "damping_like_efficiency": ("1", "damping-like torque at 90 degrees per current density, in hbar/2e"),
    "field_like_efficiency": ("1", "field-like torque at 90 degrees per current density, in hbar/2e"),
}
"""Units and long name of what `summary` returns; a stack without torques has the first three."""


def load(options, **changed):
    """The multilayer with some parameters changed."""
    from qtorque.diffusion import Layer, Multilayer
    from qtorque.errors import InputError

    texts = [f"{name}={value!r}" for name, value in changed.items()]
    multilayer = command_line.load_system(options.system, [*options.set, *texts])
    if isinstance(multilayer, Multilayer) and not any(isinstance(e, Layer) for e in multilayer.elements):
        raise InputError(f"system={options.system!r}: a stack of interfaces alone has no profile; add a layer")
    if not isinstance(multilayer, Multilayer):
        raise InputError(
            f"system={options.system!r}: build() returns a {type(multilayer).__name__}; give a system that returns a "
            "qtorque.diffusion.Multilayer, such as systems/diffusive_spin_valve.py"
        )
    return multilayer


def magnets(multilayer, options):
    """The arguments free= and fixed= of the functions of qtorque.diffusion."""
    return {"free": multilayer.magnet(options.free, -1).name, "fixed": multilayer.magnet(options.fixed, 0).name}


def is_collinear(multilayer):
    """Whether the stack says nothing of spin across a magnetisation: magnets at an angle have no answer then."""
    from qtorque.diffusion import Interface

    items = [multilayer.left, *multilayer.elements, multilayer.right]
    return all(
        (item.mixing_conductance if isinstance(item, Interface) else getattr(item, "transverse_decay_length", None))
        is None
        for item in items
    )


def versus_angle(multilayer, options, angle):
    """`angular_dependence` with the torques per current density beside those per volt."""
    from qtorque.diffusion import angular_dependence
    from qtorque.units import ELEMENTARY_CHARGE, HBAR

    d = angular_dependence(multilayer, angle=angle, **magnets(multilayer, options))
    per_current = d["resistance_area"] / (HBAR / (2 * ELEMENTARY_CHARGE))
    for part in ("damping_like", "field_like"):
        for name, magnet in ((part, "free"), (f"{part}_fixed", "fixed")):
            text = f"{part.replace('_', '-')} torque coefficient on the {magnet} magnet per current density, in hbar/2e"
            d[f"{name}_efficiency"] = (d[name] * per_current).assign_attrs(units="1", long_name=text)
    return d


def summary(multilayer, options):
    """The numbers that `SUMMARY` names, as an array."""
    import numpy as np

    from qtorque.diffusion import magnetoresistance

    found = magnetoresistance(multilayer, **magnets(multilayer, options))
    states = [found.parallel, found.antiparallel, found.ratio]
    if is_collinear(multilayer):
        return np.array(states)
    across = versus_angle(multilayer, options, [ACROSS]).isel(angle=0)
    return np.array([*states, *(float(across[name]) for name in ("damping_like_efficiency", "field_like_efficiency"))])


def profile_angle(multilayer, options):
    """That of --profile-angle, by default 90 degrees, of collinear stacks the antiparallel state."""
    if options.profile_angle is not None:
        return options.profile_angle
    return math.pi if is_collinear(multilayer) else ACROSS


def profile(multilayer, options):
    """Potential, accumulation and spin current through the stack at --profile-angle, per current density.

    Returns
    -------
    Dataset
        Over position (m), each face of a layer once: potential, spin_accumulation and spin_current (position,
        component); over layer: layer_name, layer_start, layer_end (m) and magnetic.
    """
    import numpy as np
    import xarray as xr

    from qtorque.diffusion import Layer, solve_multilayer
    from qtorque.spin import direction_at, rotation

    names = magnets(multilayer, options)
    p = multilayer.magnet(names["fixed"], 0).direction
    angle = profile_angle(multilayer, options)
    turned = multilayer.turned(names["free"], direction_at(angle, p))
    solution = solve_multilayer(turned, current_density=1.0)
    layers = [(n, element) for n, element in enumerate(turned.elements) if isinstance(element, Layer)]
    edges = turned.positions
    # At an interface the solution shows its right side; the last number before it is on the left one.
    z = np.concatenate([
        [*np.linspace(edges[n], edges[n + 1], LAYER_POINTS)[:-1], np.nextafter(edges[n + 1], 0)] for n, _ in layers
    ])  # fmt: skip
    frame = rotation(p)
    text = ("spin accumulation mu_up - mu_down", "spin current (j_up - j_down)/j")
    variables = {
        "potential": (("position",), solution.potential(z), "Ohm m^2", "mean potential per current density"),
        "spin_accumulation": (
            ("position", "component"), solution.spin_accumulation(z) @ frame, "Ohm m^2",
            f"{text[0]} per current density",
        ),
        "spin_current": (("position", "component"), solution.spin_current(z) @ frame, "1", text[1]),
        "layer_start": (("layer",), [edges[n] for n, _ in layers], "m", "left face of a layer"),
        "layer_end": (("layer",), [edges[n + 1] for n, _ in layers], "m", "right face of a layer"),
        "layer_name": (("layer",), [element.name for _, element in layers], "", "name of a layer"),
        "magnetic": (("layer",), [int(element.magnetization is not None) for _, element in layers], "1", "magnet: 1"),
    }  # fmt: skip
    return xr.Dataset(
        {name: (dims, data, {"units": unit, "long_name": t}) for name, (dims, data, unit, t) in variables.items()},
        {
            "position": ("position", z, {"units": "m", "long_name": "position along the current"}),
            "component": ("component", ["x", "y", "z"], {"long_name": "fixed magnet along z, m = (sin, 0, cos)"}),
        },
        attrs={"profile_angle": angle},
    )


def pumping_conductance(multilayer, name):
    """What a magnet takes of the accumulation that it sees in its rotating frame, S/m^2; None if nothing is given.

    Where it precesses all its faces see -hbar omega/e. A face to a normal metal takes the reflected mixing conductance
    of it; a magnet lumped into an interface has two faces, and what passes from one to the other is not taken.
    """
    from qtorque.diffusion import Interface, Layer, Lead

    items = [multilayer.left, *multilayer.elements, multilayer.right]
    taken = []
    for n in multilayer.magnet(name, 0).elements:
        element = multilayer.elements[n]
        if not isinstance(element, Interface) or element.mixing_conductance is None:
            continue
        sides = items[n], items[n + 2]
        beside = [isinstance(item, Layer | Lead) and item.magnetization is not None for item in sides]
        if not any(beside):
            taken.append(complex(element.mixing.sum()))
        elif not all(beside):
            taken.append(element.mixing_conductance)
    return sum(taken) if taken else None


def map_of(multilayer, options):
    """The torque map, with the mixing conductances of the faces of the free magnet for its damping."""
    from qtorque.diffusion import torque_map

    names = magnets(multilayer, options)
    return torque_map(
        multilayer, angle=options.angle, voltage=options.voltages, area=CELL,
        mixing_conductance=pumping_conductance(multilayer, names["free"]), **names,
    )  # fmt: skip


def unit_of(parameter):
    """The unit of a parameter of build()."""
    return next((unit for ending, unit in UNITS.items() if parameter.endswith(ending)), "SI")


def versus_parameter(options, *, comm=None, checkpoint=None):
    """What `SUMMARY` names over the values of the varied parameter, as a Dataset."""
    import numpy as np
    import xarray as xr

    from qtorque import parallel

    def one(value):
        return summary(load(options, **{options.vary: value}), options)

    rows = np.array(parallel.map_chunks(one, options.values, comm, checkpoint, _stages.label(options, options.vary)))
    label = {"units": unit_of(options.vary), "long_name": options.vary.replace("_", " ")}
    return xr.Dataset(
        {
            name: ("value", rows[:, n], {"units": unit, "long_name": text})
            for n, (name, (unit, text)) in enumerate(list(SUMMARY.items())[: rows.shape[1]])
        },
        {"value": ("value", options.values, label)},
        attrs={"parameter": options.vary},
    )


def table(numbers, d, varied):
    """Lines with both states, the torque at 90 degrees, and the varied parameter."""
    import numpy as np

    R_P, R_AP, ratio, *torque = numbers
    size = np.linalg.norm(d["spin_accumulation"], axis=1)
    most = int(size.argmax())
    degrees = math.degrees(d.attrs["profile_angle"])
    lines = [
        f"resistance times area {1e15 * R_P:.6g} fOhm m^2 parallel, {1e15 * R_AP:.6g} antiparallel",
        f"magnetoresistance     {100 * ratio:.5g} % of the parallel resistance",
    ]
    if torque:
        damping, field = torque
        lines += [
            f"torque efficiency     {damping:.6g} damping-like, {field:.6g} field-like (hbar/2e per current) "
            "at 90 degrees",
            f"field-like share      {field / damping:.5g} of the damping-like torque" if damping else "no torque",
        ]
    else:
        lines.append("no torques, no map    they need mixing_conductance= of the interfaces; the stack has none")
    lines.append(
        f"largest accumulation  {1e15 * size[most]:.5g} mV per 1e12 A/m^2, {1e9 * float(d['position'][most]):.4g} nm "
        f"from the left at {degrees:.4g} degrees"
    )
    if varied is not None:
        name = f"{varied.attrs['parameter']} ({varied['value'].attrs['units']})"
        shown = "   damping-like   field-like (hbar/2e)" if "damping_like_efficiency" in varied else ""
        lines.append(f"{name}   R_P, R_AP (fOhm m^2)   MR (%){shown}")
        for value in varied["value"].values:
            here = varied.sel(value=value)
            R_P, R_AP, ratio, *torque = (float(here[key]) for key in SUMMARY if key in here)
            line = f"{value:{len(name)}.6g}   {1e15 * R_P:9.5f} {1e15 * R_AP:10.5f}   {100 * ratio:8.4f}"
            lines.append(line + "".join(f"   {number:11.6f}" for number in torque))
    return lines


def check(options, settings):
    """InputError for angles that make no curve, a varied parameter that build() has not, values that it refuses."""
    from qtorque.errors import InputError

    if len(options.angle) < 2:
        raise InputError(f"--angle {options.angle[0]:g}: a map between angles needs two or more; give start:stop:count")
    if (options.vary is None) != (options.values is None):
        raise InputError(f"--vary {options.vary}, --values {options.values}: give both or neither")
    if options.vary is None:
        return
    if options.vary not in settings:
        raise InputError(f"--vary {options.vary}: build() has no such parameter; it has: {', '.join(settings)}")
    if any(text.partition("=")[0] == options.vary for text in options.set):
        raise InputError(f"--set {options.vary}= is what --values varies; leave it out")
    if len(set(options.values)) < len(options.values):
        raise InputError(f"--values {','.join(f'{x:g}' for x in options.values)}: a value is repeated; give each once")
    stacks = [load(options, **{options.vary: value}) for value in options.values]
    for stack in stacks:
        magnets(stack, options)
    if len({is_collinear(stack) for stack in stacks}) > 1:
        raise InputError(f"--values of {options.vary}: some stacks have torques, others none; give values of one kind")


def run(options, comm):
    import xarray as xr

    from qtorque import plot, store

    begin = time.monotonic()
    check(options, command_line.system_settings(options.system, options.set))
    multilayer = load(options)
    known = _stages.configuration(options)
    force = command_line.may_replace(options, known)
    further = () if options.vary is None else (f"_{options.vary}.nc", f"_{options.vary}.png")
    first = ENDINGS if is_collinear(multilayer) else (*ENDINGS, MAP_ENDING)
    paths = command_line.output_files(options.output, (*first, *further), force)
    # A fraction of a second: computed here, so that a dry run refuses what they do.
    d, tmap = profile(multilayer, options), None
    if not is_collinear(multilayer):
        tmap = map_of(multilayer, options)
        d = xr.merge((versus_angle(multilayer, options, options.angle), d), combine_attrs="no_conflicts")
    numbers = summary(multilayer, options)
    if options.dry_run:
        if _stages.is_root(comm):
            stacks = 1 + len(options.values or [])
            seconds = _stages.seconds_of(lambda: summary(multilayer, options)) * stacks
            _stages.report_dry_run([(f"diffusion: {stacks} stacks, about {seconds:.3g} s", seconds)], comm)
        return
    with command_line.resumable(options, known, comm) as checkpoint:
        varied = versus_parameter(options, comm=comm, checkpoint=checkpoint.part("vary")) if options.vary else None
        if _stages.is_root(comm):
            origin = store.provenance(known, comm, wall_time=time.monotonic() - begin)
            store.save_dataset(d, paths[0], force=force, provenance=origin)
            plot.save_figure(plot.diffusive_valve(d), paths[1], force)
            if tmap is not None:
                store.save_dataset(tmap.to_dataset(), paths[2], force=force, provenance=origin)
            if varied is not None:
                store.save_dataset(varied, paths[-2], force=force, provenance=origin)
                plot.save_figure(plot.diffusive_valve_versus(varied), paths[-1], force)
    if _stages.is_root(comm):
        print(*table(numbers, d, varied), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/diffusive_spin_valve.py", output="results/valve")
    parser.add_argument(
        "--angle", type=command_line.grid, default="0:pi:37", help="rad, within 0 to pi; default 0:pi:37"
    )
    parser.add_argument(
        "--voltages", type=command_line.grid, default="-1e-4:1e-4:21", help="of the map, V; default -1e-4:1e-4:21"
    )
    parser.add_argument(
        "--profile-angle", type=command_line.number, help="rad; default pi/2, of a stack without torques pi"
    )
    parser.add_argument("--free", help="name of the magnet that turns; default the last one")
    parser.add_argument("--fixed", help="name of the magnet it turns against; default the first one")
    parser.add_argument("--vary", metavar="NAME", help="a parameter of build()")
    parser.add_argument("--values", type=command_line.grid, help="of it: start:stop:count or a list")
    command_line.main(run, parser)
