"""Lifetime of a free layer against thermal activation: barrier, attempt frequency, retention versus temperature.

    python drivers/lifetime.py --temperatures 250:450:9 -o results/disc
    python drivers/lifetime.py --demag 0.015,0.005,0.98 --temperatures 300,358,398 --failure 1e-6 -o results/ellipse

The rate is Brown's where the energy of the magnet has an axis of symmetry, with the exact eigenvalue of
Fokker-Planck beside it, else that of Kramers and Langer, corrected for low damping. Writes PREFIX_lifetime.nc and
PREFIX_lifetime.png, and prints a table. No torque acts; for times under a torque see qtorque.llg.fokker_planck. SI
units.
"""

import time

import _stages

from qtorque import command_line

ENDINGS = ("_lifetime.nc", "_lifetime.png")
YEAR = 365.25 * 86400
"""s."""


def headline(free, options):
    """Lines about the state at --temperature; what cannot be at any of the temperatures is refused here."""
    from qtorque import llg

    # Formulas fail at temperatures that are not positive, and at high ones: the extremes speak for all.
    for temperature in {min(options.temperatures), max(options.temperatures)}:
        llg.lifetime(free, state=options.initial, temperature=temperature)
    found = llg.lifetime(free, state=options.initial, temperature=options.temperature)
    return [
        f"energy barrier       {found.barrier:.4g} J = {found.barrier_kT:.4g} kT at {options.temperature:g} K",
        f"attempt frequency    {found.attempt_frequency:.4g} 1/s ({found.formula})",
        f"lifetime             {found.lifetime:.4g} s = {found.lifetime / YEAR:.4g} years",
    ]


def table(r):
    """Lines with barrier, rates and retention at every temperature."""
    failure = f"years to {r.attrs['failure_probability']:g}"
    missing = "none" if r.attrs["formula"] == "Brown" else "not axial"
    lines = [f"T (K)    barrier (kT)   f_0 (1/s)    lifetime (s)   rate (1/s)   Fokker-Planck   {failure}"]
    for i, t in enumerate(r["temperature"]):
        at = r.isel(temperature=i)
        exact = float(at["fokker_planck_rate"])
        lines.append(
            f"{float(t):7.4g}  {float(at['barrier_kT']):12.5g}   {float(at['attempt_frequency']):9.4g}    "
            f"{float(at['lifetime']):12.4g}   {float(at['rate']):10.4g}   "
            f"{f'{exact:13.4g}' if exact == exact else missing.rjust(13)}   "
            f"{float(at['time_to_failure']) / YEAR:{len(failure)}.4g}"
        )
    return lines


def run(options, comm):
    from qtorque import llg, plot, store

    begin = time.monotonic()
    free = _stages.free_layer(options)
    known = _stages.configuration(options)
    force = command_line.may_replace(options, known)
    paths = command_line.output_files(options.output, ENDINGS, force)
    lines = headline(free, options)
    arguments = {"state": options.initial, "failure_probability": options.failure}
    if options.dry_run:
        if _stages.is_root(comm):
            first = options.temperatures[0]
            seconds = _stages.seconds_of(lambda: llg.retention(free, temperature=first, **arguments))
            work = f"lifetimes: {len(options.temperatures)} temperatures"
            _stages.report_dry_run([(work, seconds * len(options.temperatures))], comm)
        return
    with command_line.resumable(options, known, comm) as checkpoint:
        part, progress = checkpoint.part("lifetime"), _stages.label(options, "lifetime")
        r = llg.retention(
            free, temperature=options.temperatures, comm=comm, checkpoint=part, progress=progress, **arguments
        )
        if _stages.is_root(comm):
            origin = store.provenance(known, comm, wall_time=time.monotonic() - begin)
            store.save_dataset(r, paths[0], force=force, provenance=origin)
            plot.save_figure(plot.lifetime(r), paths[1], force)
    if _stages.is_root(comm):
        print(*lines, *table(r), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, output="results/disc")
    parser.add_argument(
        "--temperatures", type=command_line.grid, default="250:450:9", help="K, start:stop:count; default 250:450:9"
    )
    parser.add_argument(
        "--failure", type=command_line.number, default=1e-9, help="probability to fail, for retention; default 1e-9"
    )
    parser.add_argument(
        "--initial", choices=("antiparallel", "parallel"), default="antiparallel", help="state; default antiparallel"
    )
    parser.add_argument(
        "--temperature", type=command_line.number, default=300.0, help="of the first lines, K; default 300"
    )
    _stages.add_magnet(parser)
    command_line.main(run, parser)
