"""Scripts for mumax3, OOMMF and cmtj from a torque map, by the closed form of Slonczewski that comes nearest to it.

    python drivers/export.py results/mtj_map.nc --voltage 0.6 -o results/mtj

Reads the torque map that drivers/mtj_torque.py wrote. Prints the fitted parameters at every voltage of the map with
their misfit, and says whether the closed form describes the map. Writes PREFIX_mumax3.mx3 (the macrospin in one cell),
PREFIX_mumax3_grid.mx3 (a disc with exchange), PREFIX_oommf.mif and PREFIX_cmtj.py, all for the voltage of --voltage and
0 K, and PREFIX_slonczewski.nc and PREFIX_slonczewski.png with the fit. SI units. J > 0: electrons flow from left
to right, on whichever side the fixed magnet stands.
"""

import time

import _stages

from qtorque import command_line

ENDINGS = (
    "_slonczewski.nc", "_slonczewski.png", "_mumax3.mx3", "_mumax3_grid.mx3", "_oommf.mif", "_cmtj.py",
)  # fmt: skip
LARGEST_MISFIT = 0.05
"""Of the largest torque: more, and the closed form is another torque, with another critical voltage."""


def table(fit):
    """Lines with the parameters at every voltage."""
    lines = ["voltage (V)   J (A/m2)     RA (Ohm m2)       P        Lambda    epsilon'   misfit DL   misfit FL"]
    rows = zip(fit.voltage, fit.current_density, fit.resistance_area, fit.forms, strict=True)
    lines += [
        f"{voltage:11.4g}   {current:10.3e}   {product:11.3e}   {row(form)}" for voltage, current, product, form in rows
    ]
    return [*lines, f"{'all':>11}   {'':10}   {'':11}   {row(fit.overall)}"]


def row(form):
    return (
        f"{form.polarization:8.4f}   {form.Lambda:8.4f}   {form.epsilon_prime:8.4f}   "
        f"{100 * form.damping_like_residual:7.2g} %   {100 * form.field_like_residual:7.2g} %"
    )


def coupling(fit):
    """A line about the interlayer coupling, or why there is none."""
    if fit.coupling_known:
        return f"interlayer coupling  {fit.coupling:.4g} J/m2, in the field of the scripts"
    return "interlayer coupling  not known: the map has no V = 0; epsilon' holds all of the field-like torque"


def verdict(form, where, mend):
    """Lines that say how far to trust a closed form `where`, and what to do where it fails."""
    lines = []
    for name, part in (("damping_like_residual", "damping-like"), ("field_like_residual", "field-like")):
        misfit = getattr(form, name)
        if misfit > LARGEST_MISFIT:
            lines.append(
                f"the closed form does NOT describe the {part} torque {where}: it is off by {100 * misfit:.2g} % of "
                f"the largest one; {mend}"
            )
    return lines or [f"the closed form describes both torques {where} within {100 * LARGEST_MISFIT:g} %"]


def run(options, comm):
    import qtorque as qt
    from qtorque import export, plot, store

    begin = time.monotonic()
    tmap = qt.TorqueMap.load(options.map)
    free = _stages.free_layer(options)
    known = {**_stages.configuration(options), "map_attributes": tmap.attributes}
    paths = command_line.output_files(options.output, ENDINGS, options.force)
    fit = export.fit_slonczewski(tmap, reference_angle=options.reference_angle)
    voltage = float(max(fit.voltage)) if options.voltage is None else options.voltage
    here = export.fit_slonczewski(tmap, voltage=voltage, reference_angle=options.reference_angle)
    parameters = here.at_voltage(voltage)
    common = {
        "initial": export.tilted_direction(free, options.initial, options.tilt), "duration": options.duration,
    }  # fmt: skip
    scripts = (
        export.mumax3_snippet(free, parameters, **common),
        export.mumax3_grid_snippet(free, parameters, exchange_stiffness=options.exchange_stiffness, **common),
        export.oommf_snippet(free, parameters, **common),
        export.cmtj_snippet(free, parameters, dt=options.dt, **common),
    )
    if not _stages.is_root(comm):
        return
    lines = [
        *table(fit),
        "direction of J       > 0: electrons flow from left to right, which is from fixed to free in the usual order",
        coupling(fit),
        f"nominal current      at {fit.reference_angle:.4g} rad between the moments",
        *verdict(here.forms[0], f"at {voltage:g} V", "use the map itself (drivers/switching.py)"),
        *verdict(fit.overall, "at all voltages together", "write scripts for each voltage, its parameters differ"),
    ]
    if options.dry_run:
        print(*lines, f"would write {len(paths)} files; nothing written", sep="\n")
        return
    command_line.make_folder(options.output)
    origin = store.provenance(known, comm, wall_time=time.monotonic() - begin)
    store.save_dataset(fit.to_dataset(), paths[0], force=options.force, provenance=origin)
    plot.save_figure(plot.slonczewski_fit(tmap, fit), paths[1], options.force)
    for text, path in zip(scripts, paths[2:], strict=True):
        export.save_script(text, path, options.force)
    print(*lines, _stages.written(paths), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, output="results/mtj")
    number = command_line.number
    parser.add_argument("map", nargs="?", default="results/mtj_map.nc", help="torque map; default results/mtj_map.nc")
    parser.add_argument("--voltage", type=number, help="V, of the scripts; default the largest one of the map")
    parser.add_argument(
        "--reference-angle", type=number, default="pi/2", help="of the nominal current, rad; default pi/2"
    )
    parser.add_argument(
        "--initial", choices=("antiparallel", "parallel"), default="antiparallel", help="start; default antiparallel"
    )
    parser.add_argument(
        "--tilt", type=number, default=0.02, help="of the initial moment off its axis, rad; default 0.02"
    )
    parser.add_argument(
        "--exchange-stiffness", type=number, default=1.5e-11, help="of the disc in mumax3, J/m; default 1.5e-11"
    )
    parser.add_argument("--duration", type=number, default=50e-9, help="of the scripts, s; default 50e-9")
    parser.add_argument("--dt", type=number, default=1e-12, help="time step of cmtj, s; default 1e-12")
    _stages.add_magnet(parser)
    command_line.main(run, parser)
