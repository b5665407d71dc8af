"""Spin Hall bilayer versus the thickness of its metal: torque efficiencies, magnetoresistance, pumping.

    python drivers/spin_hall_bilayer.py --angle 0.08 --length 1.5e-9 --thicknesses 0.5e-9:15e-9:59 -o results/pt
    python drivers/spin_hall_bilayer.py --mixing 5e14,5e13 --spin-memory-loss 0.7 --spin-memory-loss-resistance 0.4e-15

A normal metal with spin Hall effect under a magnet, by exact spin diffusion. Efficiencies are torque per charge current
in units of hbar/2e; the equivalent fields are those at --current-density for the magnet given. Writes
PREFIX_spin_hall.nc and PREFIX_spin_hall.png, and prints a table. SI units.
"""

import time

import _stages

from qtorque import command_line

ENDINGS = ("_spin_hall.nc", "_spin_hall.png")
ROWS = 13
"""Lines of the printed table; the file holds every thickness."""


def bilayer(options):
    """The bilayer of the options, at the thickness --at."""
    from qtorque.diffusion import SpinHallBilayer
    from qtorque.errors import InputError

    if len(options.mixing) not in (1, 2):
        raise InputError(f"--mixing={options.mixing} is not one conductance; give RE or RE,IM in S/m^2")
    return SpinHallBilayer(
        spin_hall_angle=options.angle,
        spin_diffusion_length=options.length,
        thickness=options.at,
        resistivity=options.resistivity,
        mixing_conductance=complex(*options.mixing),
        longitudinal_conductance=options.longitudinal,
        spin_memory_loss=options.spin_memory_loss,
        spin_memory_loss_resistance=options.spin_memory_loss_resistance,
    )


def headline(b, options):
    """Lines about the thickness --at."""
    from qtorque import diffusion

    d = diffusion.spin_hall_versus_thickness(b, thickness=[b.thickness]).isel(thickness=0)
    magnet = {"Ms": options.Ms, "magnet_thickness": options.magnet_thickness}
    damping_like, field_like = diffusion.equivalent_fields(b, options.current_density, **magnet)
    return [
        f"metal                {1e9 * b.thickness:g} nm, {b.resistivity:g} Ohm m, spin-diffusion length "
        f"{1e9 * b.spin_diffusion_length:g} nm, spin Hall angle {b.spin_hall_angle:g}",
        f"torque efficiency    damping-like {float(d['damping_like']):.6g}, field-like {float(d['field_like']):.6g}",
        f"equivalent fields    damping-like {1e3 * damping_like:.5g} mT, field-like {1e3 * field_like:.5g} mT "
        f"at {options.current_density:g} A/m^2",
        f"magnetoresistance    {float(d['magnetoresistance']):.5g}; Hall resistivity {float(d['hall_ratio']):.5g} rho",
        f"mixing conductance   {complex(d['effective_mixing_conductance']):.5g} S/m^2 with backflow, "
        f"added damping {diffusion.pumping_damping(b, **magnet):.4g}",
    ]


def table(d):
    """Lines at some of the thicknesses."""
    lines = ["d (nm)    damping-like   field-like    rho_xx (Ohm m)   magnetoresistance   Hall ratio   Re G_eff (S/m2)"]
    step = max(1, -(-d.sizes["thickness"] // ROWS))
    for i in range(0, d.sizes["thickness"], step):
        at = d.isel(thickness=i)
        lines.append(
            f"{1e9 * float(at['thickness']):7.4g}   {float(at['damping_like']):12.5g}   {float(at['field_like']):10.3g}"
            f"    {float(at['resistivity']):14.7g}   {float(at['magnetoresistance']):17.4g}"
            f"   {float(at['hall_ratio']):10.3g}   {float(at['effective_mixing_conductance'].real):15.5g}"
        )
    return lines


def run(options, comm):
    from qtorque import diffusion, plot, store

    begin = time.monotonic()
    b = bilayer(options)
    known = _stages.configuration(options)
    force = command_line.may_replace(options, known)
    paths = command_line.output_files(options.output, ENDINGS, force)
    lines = headline(b, options)
    ends = [min(options.thicknesses), max(options.thicknesses)]
    if options.dry_run:
        if _stages.is_root(comm):
            seconds = _stages.seconds_of(lambda: diffusion.spin_hall_versus_thickness(b, thickness=ends))
            work = f"bilayers: {len(options.thicknesses)} thicknesses"
            _stages.report_dry_run([(work, 0.5 * seconds * len(options.thicknesses))], comm)
        return
    # A fraction of a second: one rank does it all, and there is nothing to stop or to go on with.
    if _stages.is_root(comm):
        d = diffusion.spin_hall_versus_thickness(b, thickness=options.thicknesses)
        command_line.make_folder(options.output)
        origin = store.provenance(known, comm, wall_time=time.monotonic() - begin)
        store.save_dataset(d, paths[0], force=force, provenance=origin)
        plot.save_figure(plot.spin_hall_bilayer(d), paths[1], force)
        print(*lines, *table(d), _stages.written(paths), sep="\n")


if __name__ == "__main__":
    parser = command_line.parser(__doc__, output="results/bilayer")
    number = command_line.number
    metal = parser.add_argument_group("metal")
    metal.add_argument("--angle", type=number, default=0.05, help="spin Hall angle; default 0.05")
    metal.add_argument("--length", type=number, default=1.5e-9, help="spin-diffusion length, m; default 1.5e-9")
    metal.add_argument("--resistivity", type=number, default=8.6e-7, help="Ohm m; default 8.6e-7")
    metal.add_argument(
        "--thicknesses", type=command_line.grid, default="0.25e-9:15e-9:60",
        help="m, start:stop:count; default 0.25e-9:15e-9:60",
    )  # fmt: skip
    metal.add_argument("--at", type=number, default=3e-9, help="thickness of the first lines, m; default 3e-9")
    interface = parser.add_argument_group("interface")
    interface.add_argument(
        "--mixing", type=command_line.grid, default="5e14,5e13", help="RE or RE,IM, S/m^2; default 5e14,5e13"
    )
    interface.add_argument(
        "--longitudinal", type=number, default=0.0, help="conductance of the magnet for spins along m, S/m^2; default 0"
    )
    interface.add_argument("--spin-memory-loss", type=number, default=0.0, help="delta of a layer between; default 0")
    interface.add_argument(
        "--spin-memory-loss-resistance", type=number, default=0.0, help="of that layer, Ohm m^2; default 0"
    )
    magnet = parser.add_argument_group("magnet and drive")
    magnet.add_argument("--Ms", type=number, default=1e6, help="saturation magnetisation, A/m; default 1e6")
    magnet.add_argument("--magnet-thickness", type=number, default=1e-9, help="m; default 1e-9")
    magnet.add_argument(
        "--current-density", type=number, default=1e11, help="charge current in the metal, A/m^2; default 1e11"
    )
    command_line.main(run, parser)
