"""How a driver sums over k: refined to a tolerance, or over a given mesh. Options and what follows from them."""

import time

import _stages

from qtorque import command_line
from qtorque.errors import InputError


def add_summation(parser, *, refined, energies):
    """The options --kmesh and --tolerance.

    Parameters
    ----------
    refined
        Default tolerance where the sum over k is refined.
    energies
        Default tolerance of integrals over energy on a given mesh; None where there are none.
    """
    on_mesh = "" if energies is None else f"; with --kmesh of integrals over energy alone, default {energies:g}"
    parser.add_argument(
        "--kmesh", type=int, help="a mesh of N x N in-plane momenta; without it the sum over k is refined", metavar="N"
    )
    parser.add_argument(
        "--tolerance", type=command_line.number, help=f"of the sum over k, relative; default {refined:g}{on_mesh}"
    )


def accuracy(options, *, refined, energies):
    """What to sum over, a mesh or None, and the tolerance: the arguments `kmesh` and `tolerance` of qtorque.

    `refined` and `energies` as for `add_summation`.

    Raises
    ------
    InputError
        For a tolerance that does not lie between 0 and 1, or one beside a mesh where there are no energy integrals.
    """
    import qtorque as qt
    from qtorque.refinement import kset_or_none

    if energies is None and options.kmesh is not None and options.tolerance is not None:
        raise InputError(
            f"--kmesh {options.kmesh} and --tolerance {options.tolerance:g} exclude each other: leave one out, a given "
            "mesh is not refined"
        )
    default, mesh = (refined, None) if options.kmesh is None else (energies, qt.kmesh(options.kmesh))
    tolerance = default if options.tolerance is None else options.tolerance
    return {"kmesh": kset_or_none(mesh, tolerance), "tolerance": tolerance}


def estimate(work, summed, times=1):
    """Words about the momenta of a sum, and the seconds of `times` sums on one core.

    Parameters
    ----------
    work
        Function of the arguments of `accuracy`.
    summed
        These arguments. How many momenta a refined sum needs shows only in the sum: it is done once.
    """
    mesh = summed["kmesh"]
    if mesh is None:
        start = time.perf_counter()
        work(**summed)
        return f"k refined to {summed['tolerance']:g}", times * (time.perf_counter() - start)
    sample = _stages.sample(mesh)
    seconds = _stages.seconds_of(lambda: work(kmesh=sample, tolerance=summed["tolerance"]))
    return f"{mesh.size} k-points", times * seconds * mesh.size / sample.size


def errors_reported(d):
    """A line about the largest errors of a result; none where k was not refined.

    Those of the sum over k and of the integrals over energy together: in `qtorque.refinement` what changes by less
    than the latter counts as converged.
    """
    names = [name.removesuffix("_k_error") for name in d.data_vars if name.endswith("_k_error")]
    texts = []
    for name in names:
        error = d[f"{name}_k_error"] + d.get(f"{name}_energy_error", 0.0)
        texts.append(f"{name} {float(error.max()):.2g} {d[f'{name}_k_error'].attrs['units']}")
    return [f"largest estimated errors: {', '.join(texts)}"] if texts else []
