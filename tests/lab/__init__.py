"""A small network laboratory for the tests: hosts in network namespaces, NATs made of nftables, coturn as STUN and TURN server.

Needs Linux, root, iproute2, nftables and, for the servers, coturn. See lab.network.Lab and lab.turn.Coturn.
"""

from lab.kinds import Family, Layout, Nat, Shape, Site
from lab.network import Lab, Topology
from lab.place import Place
from lab.turn import PASSWORD, USERNAME, Coturn

__all__ = ["PASSWORD", "USERNAME", "Coturn", "Family", "Lab", "Layout", "Nat", "Place", "Shape", "Site", "Topology"]
