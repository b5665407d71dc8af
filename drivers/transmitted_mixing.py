"""Transmitted spin-mixing conductance versus the thickness of a magnetic film: how fast a transverse spin dephases.

    python drivers/transmitted_mixing.py systems/magnetic_film.py --layers 1:40 -o results/film
    mpiexec -n 4 python -m mpi4py drivers/transmitted_mixing.py ...

t_mix = Tr[t_up t_dn^dagger], in e^2/h per cell, beside the reflected g_mix = Tr[1 - r_up r_dn^dagger] of the left lead.
Writes PREFIX_transmitted.nc and PREFIX_transmitted.png, and prints a table.

The sums over k are refined to --tolerance, and their errors are in the file. A mesh given by --kmesh N resolves the
oscillation up to a thickness of about N/4, and shows false dips beyond.
"""

import functools
import time

import _stages
import _summation
import _thickness

from qtorque import command_line

ENDINGS = ("_transmitted.nc", "_transmitted.png")
REFINED = 1e-4
"""Default tolerance of the refined sums over k, each relative to its own value: thirty films in a few seconds."""
LONG_NAMES = {
    "transmitted_mixing_conductance": "transmitted spin-mixing conductance",
    "mixing_conductance": "spin-mixing conductance of the left lead",
}


def at_one_thickness(system, mesh=None, *, energy=0.0, tolerance=None, comm=None, checkpoint=None):
    """Both mixing conductances of a film.

    Parameters
    ----------
    system
        The film between two normal leads.
    mesh
        A `qtorque.kmesh`; without it the sums over k are refined to `tolerance`.
    energy
        eV

    Returns
    -------
    Dataset
        `transmitted_mixing_conductance` and `mixing_conductance`, complex, e^2/h per cell; where refined, the estimated
        error of either (`..._k_error`).
    """
    import xarray as xr

    import qtorque as qt

    calls = {
        "transmitted_mixing_conductance": qt.transmitted_mixing_conductance,
        "mixing_conductance": functools.partial(qt.mixing_conductance, lead="left"),
    }
    found = {}
    for name, call in calls.items():
        part = None if checkpoint is None else checkpoint.part(name)
        x = call(system, energy=energy, kmesh=mesh, tolerance=tolerance, comm=comm, checkpoint=part)
        unit = x.attrs["units"]
        found[name] = ((), complex(x), {"units": unit, "long_name": LONG_NAMES[name]})
        if mesh is None:
            text = f"estimated error of the sum over k, {LONG_NAMES[name]}"
            found[f"{name}_k_error"] = ((), x.attrs["k_error"], {"units": unit, "long_name": text})
    return xr.Dataset(found)


def table(d):
    """The lines of a table of the results."""
    heads = ("Re t_mix", "Im t_mix", "|t_mix|", "Re g_mix", "Im g_mix")
    lines = ["layers" + "".join(f"{head:>14}" for head in heads)]
    for n in d["layers"].values:
        t, g = (complex(d[name].sel(layers=n)) for name in LONG_NAMES)
        lines.append(f"{n:6d}" + "".join(f"{x:14.6e}" for x in (t.real, t.imag, abs(t), g.real, g.imag)))
    return lines


def run(options, comm):
    import qtorque as qt
    from qtorque import plot, store
    from qtorque.bias import OPEN_SAMPLE
    from qtorque.scattering import require_open_leads

    begin = time.monotonic()
    systems = _thickness.systems(options)
    summed = _summation.accuracy(options, refined=REFINED, energies=None)
    mesh = summed["kmesh"] or qt.kmesh(OPEN_SAMPLE)
    require_open_leads(systems[0].chain(), mesh, options.energy)
    # Refuses magnetic leads and magnets that are not collinear before the sweep.
    qt.transmitted_mixing_conductance(qt.solve(systems[0], energy=options.energy, kmesh=_stages.sample(mesh)))
    work = functools.partial(at_one_thickness, energy=options.energy)
    configuration = _stages.configuration(options) | {"tolerance": summed["tolerance"]}
    force = command_line.may_replace(options, configuration)
    data, picture = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            middle = _thickness.representative(systems)
            momenta, seconds = _summation.estimate(
                lambda kmesh, tolerance: work(middle, kmesh, tolerance=tolerance), summed, len(systems)
            )
            text = f"scattering: {len(systems)} thicknesses x {momenta}, about {seconds:.3g} s on one core"
            _stages.report_dry_run([(text, seconds)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        parts = [
            work(
                system, summed["kmesh"], tolerance=summed["tolerance"], comm=comm,
                checkpoint=checkpoint.part(f"{options.parameter}={n}"),
            )
            for n, system in zip(options.layers, systems, strict=True)
        ]  # fmt: skip
        d = _thickness.with_layers(parts, options, systems[0].area)
        if _stages.is_root(comm):
            origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
            store.save_dataset(d, data, force=force, provenance=origin)
            plot.save_figure(plot.transmitted_mixing_versus_thickness(d), picture, force)
            print(*table(d), *_summation.errors_reported(d), _stages.written([data, picture]), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/magnetic_film.py", output="results/film")
    _thickness.add_thickness(parser, parameter="film_layers", layers="1:30")
    _summation.add_summation(parser, refined=REFINED, energies=None)
    parser.add_argument("--energy", type=command_line.number, default=0.0, help="eV; default 0, the Fermi energy")
    command_line.main(run, parser)
