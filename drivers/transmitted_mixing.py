"""Transmitted spin-mixing conductance versus the thickness of a magnetic film: how fast a transverse spin dephases.

    python drivers/transmitted_mixing.py systems/magnetic_film.py --layers 1:40 --kmesh 200 -o results/film
    mpiexec -n 4 python -m mpi4py drivers/transmitted_mixing.py ...

t_mix = Tr[t_up t_dn^dagger], in e^2/h per cell, beside the reflected g_mix = Tr[1 - r_up r_dn^dagger] of the left lead.
Writes PREFIX_transmitted.nc and PREFIX_transmitted.png, and prints a table.
"""

import time

import _stages
import _thickness

from qtorque import command_line

ENDINGS = ("_transmitted.nc", "_transmitted.png")
CHUNK = 4096
"""Momenta of one chunk of work: bounds the memory, and is shared between ranks."""
LONG_NAMES = {
    "transmitted_mixing_conductance": "transmitted spin-mixing conductance",
    "mixing_conductance": "spin-mixing conductance of the left lead",
}


def observe(s):
    """Both mixing conductances of a `qtorque.Scattering`, averaged over its momenta."""
    import qtorque as qt

    both = qt.transmitted_mixing_conductance(s), qt.mixing_conductance(s, lead="left")
    return tuple(qt.k_average(x).values for x in both)


def at_one_thickness(system, mesh, *, energy=0.0, comm=None, checkpoint=None):
    """Dataset with `transmitted_mixing_conductance` and `mixing_conductance`, complex, e^2/h per cell."""
    import xarray as xr

    import qtorque as qt
    from qtorque import parallel
    from qtorque.brillouin import interleaved_chunks

    def one(index):
        return observe(qt.solve(system, energy=energy, kmesh=qt.kpoints(*mesh.take(index))))

    chunks = interleaved_chunks(mesh.size, CHUNK)
    values = parallel.sum_in_order(parallel.map_chunks(one, chunks, comm, checkpoint))
    return xr.Dataset(
        {
            name: ((), complex(x), {"units": "e^2/h per cell", "long_name": text})
            for (name, text), x in zip(LONG_NAMES.items(), values, strict=True)
        }
    )


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
    from qtorque.scattering import require_open_leads

    begin = time.monotonic()
    systems = _thickness.systems(options)
    mesh = qt.kmesh(options.kmesh)
    require_open_leads(systems[0].chain(), mesh, options.energy)
    # Refuses magnetic leads and magnets that are not collinear before the sweep.
    observe(qt.solve(systems[0], energy=options.energy, kmesh=_stages.sample(mesh)))
    configuration = _stages.configuration(options)
    force = command_line.may_replace(options, configuration)
    data, picture = command_line.output_files(options.output, ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            sample = _stages.sample(mesh)
            middle = _thickness.representative(systems)
            seconds = _stages.seconds_of(lambda: at_one_thickness(middle, sample, energy=options.energy))
            seconds *= len(systems) * mesh.size / sample.size
            text = f"scattering: {len(systems)} thicknesses x {mesh.size} k-points, about {seconds:.3g} s on one core"
            _stages.report_dry_run([(text, seconds)], comm)
        return
    with command_line.resumable(options, configuration, comm) as checkpoint:
        parts = [
            at_one_thickness(
                system, mesh, energy=options.energy, comm=comm, checkpoint=checkpoint.part(f"{options.parameter}={n}")
            )
            for n, system in zip(options.layers, systems, strict=True)
        ]
        d = _thickness.with_layers(parts, options, systems[0].area)
        if _stages.is_root(comm):
            origin = store.provenance(configuration, comm, wall_time=time.monotonic() - begin)
            store.save_dataset(d, data, force=force, provenance=origin)
            plot.save_figure(plot.transmitted_mixing_versus_thickness(d), picture, force)
            print(*table(d), _stages.written([data, picture]), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/magnetic_film.py", output="results/film")
    _thickness.add_thickness(parser, parameter="film_layers", layers="1:30")
    _stages.add_mesh(parser)
    parser.add_argument("--energy", type=command_line.number, default=0.0, help="eV; default 0, the Fermi energy")
    command_line.main(run, parser)
