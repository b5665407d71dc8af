"""The whole chain: from the lattice of a junction to the switching probability of its free layer.

    python drivers/pipeline.py systems/mtj.py -o results/mtj
    mpiexec -n 2 python -m mpi4py drivers/pipeline.py systems/mtj.py --kmesh 64 --trajectories 4096 -o results/mtj

Does what drivers/mtj_torque.py and then drivers/switching.py do, writes the same files (PREFIX_transmission.nc,
PREFIX_torque.nc, PREFIX_map.nc, PREFIX_switching.nc and four figures), and ends with a summary.
"""

import time

import _stages
import mtj_torque
import switching

from qtorque import command_line


def run(options, comm):
    import qtorque as qt
    from qtorque import llg, store
    from qtorque.bloch import as_layered
    from qtorque.errors import InputError

    begin = time.monotonic()
    system = as_layered(command_line.load_system(options.system, options.set))
    mesh = qt.kmesh(options.kmesh)
    empty = mtj_torque.check_sweep(system, options.angle, options.voltage)
    free = _stages.free_layer(options)
    arguments = {"voltage": options.voltage, **_stages.dynamics(options)}
    configuration = _stages.configuration(options)
    force = command_line.may_replace(options, configuration)
    paths = command_line.output_files(options.output, mtj_torque.ENDINGS + switching.ENDINGS, force)
    if options.dry_run:
        if _stages.is_root(comm):
            works = mtj_torque.estimates(system, mesh, options)
            _stages.report_dry_run([*works, _stages.ensemble_estimate(free, empty, **arguments)], comm)
        return
    _stages.check_ensemble(free, empty, **arguments)
    transport_paths, switching_paths = paths[: len(mtj_torque.ENDINGS)], paths[len(mtj_torque.ENDINGS) :]

    def origin(seed=None, temperature=None):
        return store.provenance(configuration, comm, seed, temperature, wall_time=time.monotonic() - begin)

    with command_line.resumable(options, configuration, comm) as checkpoint:
        torque, transmission = mtj_torque.transport(
            system, mesh, transport_paths, origin, options=options, force=force, comm=comm, checkpoint=checkpoint
        )
        tmap = qt.TorqueMap.from_dataset(torque)
        barrier, critical, lines = switching.stability(free, tmap, options.initial)
        part, progress = checkpoint.part("switching"), _stages.label(options, "switching")
        try:
            r = llg.ensemble(free, tmap, comm=comm, checkpoint=part, progress=progress, **arguments)
        except InputError as error:
            # Only the real torque can say whether dt is short enough for it; what is finished stays, in its own files.
            checkpoint.discard()
            advice = f"the transport is saved, go on with drivers/switching.py {transport_paths[2]}"
            raise InputError(f"{error}; {advice}") from None
        if _stages.is_root(comm):
            found = origin(options.seed, options.temperature)
            switching.write(r, critical, barrier, switching_paths, force, found)
    if _stages.is_root(comm):
        print(*lines, *switching.table(r), sep="\n")
        print(_stages.written(paths), f"wall time of this session {time.monotonic() - begin:.0f} s", sep="\n")
    _stages.end_for_shifted(transmission.attrs["shifted_weight"], comm)


if __name__ == "__main__":
    parser = command_line.parser(__doc__, system="systems/mtj.py", output="results/mtj")
    _stages.add_mesh(parser)
    _stages.add_torque_sweep(parser)
    _stages.add_free_layer(parser)
    command_line.main(run, parser)
