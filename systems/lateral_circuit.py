"""Non-local lateral spin valve as a circuit: a long normal bar with two ferromagnetic electrodes. SI.

         injector          detector
             |                 |               ferromagnetic wires, an interface at their feet
             |                 |
    ---------A-----------------B---------      a normal bar that goes on to both sides
    left                             right

The current runs from the injector to the left end. No charge flows to the right of A: a pure spin current reaches B,
where the detector, a voltage probe, reads it against the right end. The non-local resistance is

    solution = qtorque.diffusion.solve_circuit(build())
    (solution.potential("detector") - solution.potential("right")) / solution.terminal_current("injector")
"""

import math

from qtorque.diffusion import Circuit, Connection, Interface, Layer, Lead, Node, Reservoir


def build(
    *,
    angle=0.0,
    distance=300e-9,
    end_length=200e-9,
    wire_width=100e-9,
    wire_thickness=60e-9,
    contact_width=100e-9,
    electrode_length=600e-9,
    magnet_rho_star=75e-9,
    magnet_beta=0.46,
    magnet_diffusion_length=60e-9,
    normal_rho_star=6e-9,
    normal_diffusion_length=450e-9,
    interface_AR_star=0.51e-15,
    interface_gamma=0.77,
    mixing_conductance=0.55e15,
    voltage=1e-3,
):
    """The circuit; the injector is magnetised along z, the detector at `angle` to it in the plane of x and z.

    Parameters
    ----------
    angle
        rad; 0 is parallel, pi antiparallel.
    distance, end_length
        Of the bar between A and B, and beyond them up to where its ends are taken over by endless leads, m.
    wire_width, wire_thickness, contact_width
        m; an electrode touches the bar over wire_width x contact_width.
    electrode_length
        m; many spin-diffusion lengths, so that nothing is left of the accumulation at its end.
    magnet_rho_star, magnet_beta, magnet_diffusion_length
        Of both electrodes: Ohm m, rho_up,down = 2 rho* (1 -+ beta), m.
    normal_rho_star, normal_diffusion_length
        Of the bar: Ohm m, m.
    interface_AR_star, interface_gamma, mixing_conductance
        Of the feet of both electrodes: Ohm m^2, r_up,down = 2 AR* (1 -+ gamma), S/m^2.
    voltage
        Of the injector against the left end, V.
    """
    metal = {"rho_star": normal_rho_star, "spin_diffusion_length": normal_diffusion_length}
    section, foot = wire_width * wire_thickness, wire_width * contact_width

    def bar(source, target, length):
        return Connection(source=source, target=target, element=Layer(thickness=length, **metal), area=section)

    def electrode(name, at, m):
        """The wire and its foot; electrons flow from the wire into the bar."""
        wire = Layer(
            thickness=electrode_length, rho_star=magnet_rho_star, beta=magnet_beta,
            spin_diffusion_length=magnet_diffusion_length, magnetization=m,
        )  # fmt: skip
        contact = Interface(
            AR_star=interface_AR_star, gamma=interface_gamma, mixing_conductance=mixing_conductance, magnetization=m
        )
        return [
            Connection(source=name, target=f"{name} foot", element=wire, area=foot, name=f"{name} wire"),
            Connection(source=f"{name} foot", target=at, element=contact, area=foot, name=f"{name} contact"),
        ]

    return Circuit(
        nodes={name: Node() for name in ("A", "B", "injector foot", "detector foot")},
        terminals={
            "injector": Reservoir(voltage=voltage),
            "detector": Reservoir(voltage=None),
            "left": Lead(**metal, voltage=0.0, area=section),
            "right": Lead(**metal, voltage=None, area=section),
        },
        connections=[
            *electrode("injector", "A", (0.0, 0.0, 1.0)),
            *electrode("detector", "B", (math.sin(angle), 0.0, math.cos(angle))),
            bar("A", "left", end_length),
            bar("A", "B", distance),
            bar("B", "right", end_length),
        ],
    )
