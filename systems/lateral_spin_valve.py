"""Lateral spin valve: a normal bar with two ferromagnetic electrodes, four terminals, on a square lattice.

               F1            F2
               ||            ||                 leads 0 and 2: ferromagnets, upwards
               ||            ||
    N ===========================================  N
    lead 1                                    lead 3

A current through the circuit of leads 0 and 1 puts a spin accumulation under F1; it spreads to the right, where no
charge flows, and F2 sees it as a voltage against lead 3. This is a finalised Kwant system for `qt.solve(system,
engine="kwant")`: shape, leads and on-site terms are plain Kwant. Look at it with drivers/nonlocal_spin_valve.py.
"""

import kwant
import numpy as np

import qtorque as qt

UNIT = np.eye(2)
SIGMA = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
"""Pauli matrices x, y, z."""


def build(
    *,
    angle=0.0,
    injector_angle=0.0,
    bar_width=6,
    electrode_width=4,
    electrode_height=4,
    separation=10,
    margin=4,
    onsite_normal=1.3,
    onsite_up=1.5,
    onsite_down=3.2,
    hopping=-1.0,
    contact_hopping=-0.6,
    rashba=0.0,
    lattice_constant=0.3,
):
    """The spin valve; both magnetizations lie in the plane of x and z.

    Parameters
    ----------
    angle
        Between both magnetizations, rad: 0 is parallel, pi antiparallel.
    injector_angle
        Of the magnetization of F1 to z, rad; that of F2 has `angle` more. Without Rashba coupling nothing but the axis
        of the spin current depends on it.
    bar_width, electrode_width
        Sites across the bar and across each electrode.
    electrode_height
        Sites of each electrode that belong to the region; its lead goes on from there.
    separation
        Sites of the bar between the electrodes, centre to centre; more than electrode_width.
    margin
        Sites of the bar beyond each electrode, up to the leads.
    onsite_normal
        On-site energy of the bar, eV. The Fermi energy is 0 and the band is 4 |hopping| wide to each side.
    onsite_up, onsite_down
        On-site energies of majority and minority electrons in the electrodes, eV; onsite_down >= onsite_up.
    hopping
        To each of the four neighbours, eV.
    contact_hopping
        Between bar and electrodes, eV: less than `hopping` makes an interface resistance.
    rashba
        Rashba spin-orbit coupling of the bar's sites between the leads, eV (alpha/2a); 0 keeps the spin.
    lattice_constant
        nm.
    """
    counts = {"bar_width": bar_width, "electrode_width": electrode_width, "electrode_height": electrode_height}
    for name, count in counts.items():
        if count < 1:
            raise qt.InputError(f"{name}={count} sites; give 1 or more")
    if separation <= electrode_width or margin < 0:
        raise qt.InputError(
            f"separation={separation}, margin={margin}: the electrodes (electrode_width={electrode_width}) overlap or "
            "the bar ends under them; give a wider separation and a margin from 0 on"
        )
    exchange = onsite_down - onsite_up
    if exchange < 0:
        raise qt.InputError(f"onsite_down={onsite_down} lies below onsite_up={onsite_up}; up is the majority")

    def magnet(theta):
        """-(1/2) D m.sigma lowers the electrons whose spin is along m = (sin theta, 0, cos theta)."""
        m = np.array([np.sin(theta), 0, np.cos(theta)])
        return (onsite_up + onsite_down) / 2 * UNIT - exchange / 2 * np.einsum("a,aij->ij", m, SIGMA)

    injector, detector = magnet(injector_angle), magnet(injector_angle + angle)
    square = kwant.lattice.square(lattice_constant, norbs=2)
    along, across = kwant.builder.HoppingKind((1, 0), square), kwant.builder.HoppingKind((0, 1), square)
    starts = margin, margin + separation
    length = starts[1] + electrode_width + margin
    top = bar_width + electrode_height

    system = kwant.Builder()
    system[(square(x, y) for x in range(length) for y in range(bar_width))] = onsite_normal * UNIT
    # H_R = alpha (k_y sigma_x - k_x sigma_y); on the lattice <x|k_x|x - a> = i/2a.
    system[along] = hopping * UNIT - 1j * rashba * SIGMA[1]
    system[across] = hopping * UNIT + 1j * rashba * SIGMA[0]
    for start, onsite in zip(starts, (injector, detector), strict=True):
        columns = range(start, start + electrode_width)
        system[(square(x, y) for x in columns for y in range(bar_width, top))] = onsite
        for x in columns:
            system[square(x, bar_width), square(x, bar_width - 1)] = contact_hopping * UNIT
            for y in range(bar_width, top):
                if y > bar_width:
                    system[square(x, y), square(x, y - 1)] = hopping * UNIT
                if x > start:
                    system[square(x, y), square(x - 1, y)] = hopping * UNIT

    def electrode(start, onsite):
        lead = kwant.Builder(kwant.TranslationalSymmetry((0, lattice_constant)))
        lead[(square(x, 0) for x in range(start, start + electrode_width))] = onsite
        lead[[along, across]] = hopping * UNIT
        return lead

    bar = kwant.Builder(kwant.TranslationalSymmetry((-lattice_constant, 0)))
    bar[(square(0, y) for y in range(bar_width))] = onsite_normal * UNIT
    bar[[along, across]] = hopping * UNIT

    system.attach_lead(electrode(starts[0], injector))
    system.attach_lead(bar)
    system.attach_lead(electrode(starts[1], detector))
    system.attach_lead(bar.reversed())
    return system.finalized()
