"""Peers that hold the code and break the protocol in every way, against the real program on the other side.

case: what a case states; forging, nonsense: messages as nobody should send them; rogue: the programmable peer. offers, manifests,
contents, senders: the cases of a sender, in tables; grants, receivers: those of a receiver; resumes, channels, races: of both.
joined: the victim in this process, over channels that hand messages over; distant: the victim as a process of its own, over a real
connection. verdict: what has to be true of every victim afterwards. `python -m hostile` plays everything, and tells the count, the
longest time and the largest memory.
"""
