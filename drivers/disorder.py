"""Conductances and mixing conductance of a disordered interface, averaged over configurations, beside the clean ones.

    python drivers/disorder.py --set n=4 --set m=4 --vary disorder --values 0.5:2:4 --configurations 32 -o results/dirty
    mpiexec -n 4 python -m mpi4py drivers/disorder.py --vary mixing --values 0.1,0.3,0.5 --set disorder=0

Takes a system whose build() has the parameters n, m, configuration and one or both of disorder and mixing, such as
systems/disordered_interface.py. The clean interface is the system with n = m = 1 and all disorder 0, on the mesh that
the supercell's folds. Writes PREFIX_disorder.nc (every configuration, means, standard errors) and PREFIX_disorder.png;
all numbers are per primitive cell. Momenta on a band edge of a lead are solved beside it; if these weigh too much, the
exit code is 3.
"""

import time

import _stages

from qtorque import command_line

ENDINGS = ("_disorder.nc", "_disorder.png")
KINDS = {"disorder": ("width of the Anderson disorder", "eV"), "mixing": ("probability of the other metal", "1")}
"""Parameters of build() that make an interface clean where they are 0."""
LEADS = ("left", "right")
MOMENTA_AT_ONCE = 64
"""A supercell of 36 sites holds 72 x 72 complex numbers in every block of every momentum: 6 MB a block."""
UNITARITY_LIMIT = 1e-6
"""Of S^dagger S - 1; sound solutions of some hundred channels stay below 1e-9."""


def observe(system, momenta, *, energy, lead):
    """At some momenta: sums of the conductance of both spins, of g_mix (per cell of the system) and of the weight on a
    band edge; and the largest error of unitarity."""
    import qtorque as qt

    other = LEADS[1 - LEADS.index(lead)]
    s = qt.solve(system, energy=energy, kmesh=momenta)
    conductance = qt.conductance(s, source=lead, target=other).sum("spin_in", skipna=False).values
    g_mix = qt.k_average(qt.mixing_conductance(s, lead=lead)).values
    return conductance, g_mix, _stages.shifted_weight(s), s.unitarity_error.max()


def blocks_of(mesh):
    """The momenta of a mesh in blocks that bound the memory."""
    import numpy as np

    import qtorque as qt

    numbers = np.array_split(np.arange(mesh.size), -(-mesh.size // MOMENTA_AT_ONCE))
    return [qt.kpoints(*mesh.take(index)) for index in numbers]


def together(parts):
    """The results of `observe` at all blocks of a mesh as one."""
    import numpy as np

    from qtorque.parallel import sum_in_order

    # Not the built-in max, which may pass over what is not a number.
    return *sum_in_order([part[:-1] for part in parts]), np.max([part[-1] for part in parts])


def require_finite(found, what, options):
    """InputError unless all that `observe` returns is a number."""
    import numpy as np

    from qtorque.errors import InputError

    if not all(np.isfinite(x).all() for x in found):
        raise InputError(f"--energy {options.energy:g}: {what} has no finite solution at some k; move the energy")


def settings_of(options):
    """Parameters of build(), refused if they are not those of a disordered interface."""
    from qtorque.errors import InputError

    settings = command_line.system_settings(options.system, options.set)
    missing = [name for name in ("n", "m", "configuration", options.vary) if name not in settings]
    if missing:
        raise InputError(
            f"system={options.system!r}: build() has no parameter {missing[0]!r}; a disordered interface has n, m, "
            f"configuration and {options.vary}, as systems/disordered_interface.py"
        )
    varied = {"configuration": "--configurations", options.vary: "--values"}
    for name in (setting.partition("=")[0] for setting in options.set):
        if name in varied:
            raise InputError(f"--set {name}= is what {varied[name]} varies; leave it out")
    return settings


def load(options, **changed):
    """The system with some parameters changed."""
    from qtorque.bloch import as_layered

    texts = [f"{name}={value!r}" for name, value in changed.items()]
    return as_layered(command_line.load_system(options.system, [*options.set, *texts]))


def clean_interface(options, settings):
    """The primitive cell without disorder, and the mesh that the supercell's folds."""
    import qtorque as qt
    from qtorque.scattering import require_open_leads

    system = load(options, n=1, m=1, **{kind: 0 for kind in KINDS if kind in settings})
    mesh = qt.kmesh(options.kmesh * settings["n"], options.kmesh * settings["m"])
    require_open_leads(system.chain(), mesh, options.energy)
    return system, mesh


def clean_conductances(system, mesh, options, *, comm=None, checkpoint=None):
    """Of the `clean_interface`: what `observe` returns, over the whole mesh."""
    from qtorque import parallel

    def one(momenta):
        return observe(system, momenta, energy=options.energy, lead=options.lead)

    found = together(parallel.map_chunks(one, blocks_of(mesh), comm, checkpoint))
    require_finite(found, "the clean interface", options)
    return found


def averages(options, settings, clean, area, *, comm=None, checkpoint=None):
    """All configurations at all values of the varied parameter, with their means and standard errors.

    Parameters
    ----------
    clean
        Of `clean_conductances`.
    area
        Of the primitive cell, nm^2.

    Returns
    -------
    Dataset
        In e^2/h per primitive cell: conductance (value, spin) and g_mix (value), means over the configurations;
        conductance_error and g_mix_error, their standard errors (of real and imaginary part, as a complex number);
        conductance_sample and g_mix_sample (value, configuration, ...); clean_conductance, clean_g_mix. And
        unitarity_error (value), the largest of all configurations, and shifted_weight (value), the mean weight of
        momenta on a band edge; clean_unitarity_error, clean_shifted_weight.

    Raises
    ------
    InputError
        Where a result is not a finite number: no route solves that energy.
    """
    import numpy as np
    import xarray as xr

    import qtorque as qt
    from qtorque import parallel

    mesh, cells = qt.kmesh(options.kmesh), settings["n"] * settings["m"]
    work = [(value, number) for value in options.values for number in range(options.configurations)]

    def one(item):
        value, number = item
        system = load(options, configuration=number, **{options.vary: value})
        return together([observe(system, k, energy=options.energy, lead=options.lead) for k in blocks_of(mesh)])

    results = parallel.map_chunks(one, work, comm, checkpoint, _stages.label(options, "configurations"))
    for (value, number), result in zip(work, results, strict=True):
        require_finite(result, f"{options.vary}={value:g}, configuration={number}", options)
    shape = len(options.values), options.configurations
    conductance, g_mix, shifted, unitarity = (
        np.array(x).reshape(*shape, *np.shape(x[0])) for x in zip(*results, strict=True)
    )
    conductance, g_mix = conductance / cells, g_mix / cells

    def standard_error(samples):
        return samples.std(axis=1, ddof=1) / np.sqrt(options.configurations)

    unit, one_value = "e^2/h per cell", ("value",)
    spin, mixing = "interface conductance", "spin-mixing conductance"
    variables = {
        "conductance": ((*one_value, "spin"), conductance.mean(axis=1), unit, f"{spin}, mean"),
        "conductance_error": ((*one_value, "spin"), standard_error(conductance), unit, f"{spin}, standard error"),
        "g_mix": (one_value, g_mix.mean(axis=1), unit, f"{mixing}, mean"),
        "g_mix_error": (
            one_value, standard_error(g_mix.real) + 1j * standard_error(g_mix.imag), unit,
            f"{mixing}, standard errors of both parts",
        ),
        "conductance_sample": ((*one_value, "configuration", "spin"), conductance, unit, f"{spin} of a configuration"),
        "g_mix_sample": ((*one_value, "configuration"), g_mix, unit, f"{mixing} of a configuration"),
        "clean_conductance": (("spin",), clean[0], unit, f"{spin} without disorder"),
        "clean_g_mix": ((), clean[1], unit, f"{mixing} without disorder"),
        "unitarity_error": (one_value, unitarity.max(axis=1), "1", "largest |S^dagger S - 1| of all configurations"),
        "clean_unitarity_error": ((), clean[3], "1", "largest |S^dagger S - 1| without disorder"),
        "shifted_weight": (one_value, shifted.mean(axis=1), "1", "weight of momenta on a band edge, mean"),
        "clean_shifted_weight": ((), clean[2], "1", "weight of momenta on a band edge without disorder"),
    }  # fmt: skip
    text, value_unit = KINDS[options.vary]
    return xr.Dataset(
        {name: (dims, data, {"units": u, "long_name": long}) for name, (dims, data, u, long) in variables.items()},
        coords={
            "value": ("value", options.values, {"units": value_unit, "long_name": text}),
            "configuration": range(options.configurations),
            "spin": ["up", "down"],
        },
        attrs={
            "parameter": options.vary,
            "cells": cells,
            "supercell_mesh": repr(mesh),
            "cell_area": area,
            "cell_area_units": "nm^2",
        },
    )


def largest(d, name):
    """Of a quantity over `value` and its clean one."""
    return max(float(d[name].max()), float(d[f"clean_{name}"]))


def table(d):
    """The lines of a table: the clean interface first."""
    from qtorque.units import conductance_per_area

    per_area = conductance_per_area(1, d.attrs["cell_area"]) / 1e15
    lines = [
        f"e^2/h per primitive cell (times {per_area:.6g} in 1e15 Ohm^-1 m^-2), "
        f"{d.sizes['configuration']} configurations of {d.attrs['cells']} cells",
        f"{d.attrs['parameter']:>12}{'G up':>20}{'G down':>20}{'Re g_mix':>20}{'Im g_mix':>20}",
    ]
    g_mix = complex(d["clean_g_mix"])
    values = [*d["clean_conductance"].values, g_mix.real, g_mix.imag]
    lines.append(f"{'clean':>12}" + "".join(f"{x:11.5f}{'':9}" for x in values))
    for value in d["value"].values:
        at = d.sel(value=value)
        g_mix, error = complex(at["g_mix"]), complex(at["g_mix_error"])
        values = [*at["conductance"].values, g_mix.real, g_mix.imag]
        errors = [*at["conductance_error"].values, error.real, error.imag]
        lines.append(f"{value:12g}" + "".join(f"{x:11.5f} +-{e:6.5f}" for x, e in zip(values, errors, strict=True)))
    unitarity = largest(d, "unitarity_error")
    verdict = f", more than {UNITARITY_LIMIT:g}: do not trust these numbers" if unitarity > UNITARITY_LIMIT else ""
    lines.append(f"largest unitarity error {unitarity:.2g}{verdict}")
    return [*lines, *_stages.shifted_report(largest(d, "shifted_weight"))]


def estimate(options, settings):
    """One line about the work, and its seconds on one core, from one configuration at the last value."""
    import qtorque as qt

    mesh = qt.kmesh(options.kmesh)
    system = load(options, configuration=0, **{options.vary: options.values[-1]})
    few = blocks_of(mesh)[0]
    seconds = _stages.seconds_of(lambda: observe(system, few, energy=options.energy, lead=options.lead))
    count = len(options.values) * options.configurations
    seconds *= count * mesh.size / few.size
    cells = settings["n"] * settings["m"]
    work = f"disorder: {count} configurations of {cells} cells x {mesh.size} k-points"
    return f"{work}, about {seconds:.3g} s on one core", seconds


def run(options, comm):
    from qtorque import plot, store
    from qtorque.errors import InputError

    begin = time.monotonic()
    if options.configurations < 2:
        raise InputError(f"--configurations {options.configurations}: a standard error needs 2 or more")
    if len(set(options.values)) < len(options.values):
        raise InputError(f"--values {','.join(f'{x:g}' for x in options.values)}: a value is repeated; give each once")
    settings = settings_of(options)
    # Refuses the last value, such as a probability above 1, before the first one is computed.
    for value in options.values:
        load(options, configuration=0, **{options.vary: value})
    configuration = _stages.configuration(options)
    force = command_line.may_replace(options, configuration)
    data, picture = command_line.output_files(options.output, ENDINGS, force)
    system, unfolded = clean_interface(options, settings)
    if options.dry_run:
        if _stages.is_root(comm):
            _stages.report_dry_run([estimate(options, settings)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        clean = clean_conductances(system, unfolded, options, comm=comm, checkpoint=checkpoint.part("clean"))
        part = checkpoint.part("configurations")
        d = averages(options, settings, clean, system.area, comm=comm, checkpoint=part)
        if _stages.is_root(comm):
            origin = store.provenance(
                configuration, comm, seed=settings.get("seed"), wall_time=time.monotonic() - begin
            )
            store.save_dataset(d, data, force=force, provenance=origin)
            plot.save_figure(plot.configuration_average(d), picture, force)
            print(*table(d), _stages.written([data, picture]), sep="\n")
    _stages.end_for_shifted(largest(d, "shifted_weight"), comm)


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/disordered_interface.py", output="results/dirty")
    parser.add_argument(
        "--kmesh", type=int, default=8, metavar="N", help="momenta of the supercell: a mesh of N x N; default 8"
    )
    parser.add_argument("--vary", choices=tuple(KINDS), default="disorder", help="which disorder; default disorder")
    parser.add_argument("--values", type=command_line.grid, default="0.5:2:4", help="of it; default 0.5:2:4")
    parser.add_argument("--configurations", type=int, default=16, help="at each value; default 16", metavar="N")
    parser.add_argument("--energy", type=command_line.number, default=0.0, help="eV; default 0, the Fermi energy")
    parser.add_argument("--lead", choices=LEADS, default="left", help="the normal lead; default left")
    command_line.main(run, parser)
